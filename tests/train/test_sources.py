"""Sources of batches: threads, workers and processes, tables; each trains as arrays do, and none leaves a thread."""

from __future__ import annotations

import _thread
import itertools
import os
import signal
import threading
import time
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

import unifront as uf
from tests.models import MODELS, TRAINABLE, cross_entropy
from tests.train.numbered import Numbered
from unifront import errors, layers
from unifront.train.data import Ahead
from unifront.train.data.py_dataset import batches_in_order
from unifront.train.data.sources import KINDS, Pass

ANY = TRAINABLE[0]
SIZE = 8
QUIET: dict[str, Any] = {"verbose": 0, "backend": ANY}


def compiled() -> tuple[uf.Model, np.ndarray, np.ndarray]:
    uf.set_seed(1)
    model, (x, y) = MODELS["mlp"]("float32")
    model.compile(uf.optimizers.SGD(0.1, momentum=0.9), cross_entropy(), metrics=["accuracy"])
    return model, x, y


def expected() -> dict[str, list[float]]:
    model, x, y = compiled()
    return model.fit(x, y, batch_size=SIZE, epochs=2, shuffle=False, **QUIET).history


@pytest.fixture(autouse=True)
def _no_thread_is_left() -> Iterator[None]:
    yield
    left = [one.name for one in threading.enumerate() if one.name.startswith("unifront data")]
    assert not left


class Batches(uf.utils.PyDataset):
    def __init__(self, x: Any, y: Any, **options: Any) -> None:
        super().__init__(**options)
        self.x, self.y = x, y
        self.epochs: list[str] = []

    def __len__(self) -> int:
        return -(-len(self.x) // SIZE)

    def __getitem__(self, i: int) -> Any:
        return self.x[i * SIZE : (i + 1) * SIZE], self.y[i * SIZE : (i + 1) * SIZE]

    def on_epoch_begin(self) -> None:
        self.epochs.append("begin")

    def on_epoch_end(self) -> None:
        self.epochs.append("end")


def grain_dataset(x: np.ndarray, y: np.ndarray) -> Any:
    grain = pytest.importorskip("grain")
    return grain.MapDataset.source(list(zip(x, y, strict=True))).to_iter_dataset().batch(SIZE)


def hub_dataset(x: np.ndarray, y: np.ndarray) -> Any:
    hub = pytest.importorskip("datasets")
    return hub.Dataset.from_dict({"features": x.tolist(), "label": y.tolist()})


SOURCES: dict[str, Any] = {
    "py_dataset": Batches,
    "py_dataset_without_a_thread": lambda x, y: Batches(x, y, workers=0),
    "py_dataset_of_threads": lambda x, y: Batches(x, y, workers=3, max_queue_size=2),
    "grain": grain_dataset,
    "hugging_face": hub_dataset,
    "hugging_face_iterable": lambda x, y: hub_dataset(x, y).to_iterable_dataset(),
}


@pytest.mark.parametrize("source", SOURCES)
def test_sources_train_as_arrays_do(source: str) -> None:
    model, x, y = compiled()
    given = SOURCES[source](x, y)
    history = model.fit(
        given, epochs=2, batch_size=SIZE, shuffle=False, validation_data=given, **QUIET
    ).history
    for name, values in expected().items():
        np.testing.assert_allclose(history[name], values, rtol=1e-6)
    np.testing.assert_allclose(
        history["val_loss"][-1], model.evaluate(x, y, batch_size=SIZE, **QUIET)[0], rtol=1e-6
    )
    np.testing.assert_allclose(
        model.predict(given, batch_size=SIZE, **QUIET), model.predict(x, **QUIET), rtol=1e-5, atol=1e-6
    )


def test_datasets_by_processes() -> None:
    numbered = Numbered(workers=1, use_multiprocessing=True)
    found = list(batches_in_order(numbered, [2, 0]))
    assert [number for number, _ in found] == [2, 0]
    assert os.getpid() not in {process for _, process in found}


def test_epochs_of_a_dataset_begin_and_end() -> None:
    model, x, y = compiled()
    for steps in (None, 3):
        data = Batches(x, y)
        model.fit(data, epochs=2, steps_per_epoch=steps, **QUIET)
        assert data.epochs == ["begin", "end"] * 2
    model.evaluate(data, **QUIET)
    model.predict(data, steps=1, **QUIET)
    assert data.epochs == ["begin", "end"] * 4


def test_batches_are_shuffled_each_epoch() -> None:
    class Noted(uf.utils.PyDataset):
        num_batches = 6  # type: ignore[assignment]

        def __init__(self) -> None:
            super().__init__(workers=0)
            self.asked: list[int] = []

        def __getitem__(self, i: int) -> Any:
            self.asked.append(i)
            return np.ones((2, 1)), np.ones((2, 1))

    model = uf.Sequential([uf.Input((1,)), layers.Dense(1)])
    model.compile("sgd", "mse")
    orders = {}
    for shuffle in (True, False):
        data = Noted()
        model.fit(data, epochs=2, shuffle=shuffle, **QUIET)
        orders[shuffle] = [data.asked[:6], data.asked[6:]]
        assert [sorted(one) for one in orders[shuffle]] == [list(range(6))] * 2
    assert orders[False] == [list(range(6))] * 2
    assert orders[True][0] != orders[True][1]


def test_an_endless_dataset_needs_a_number_of_steps() -> None:
    class Endless(Batches):
        num_batches = None  # type: ignore[assignment]

        def __getitem__(self, i: int) -> Any:
            return super().__getitem__(i % 5)

    model, x, y = compiled()
    data = Endless(x, y, workers=2)
    for call in (model.fit, model.evaluate, model.predict):
        with pytest.raises(errors.ArgumentError, match="a PyDataset without an end: give"):
            call(data, **QUIET)
    model.fit(data, steps_per_epoch=7, epochs=2, **QUIET)
    assert model.optimizer.iterations == 14
    assert len(model.predict(data, steps=2, **QUIET)) == 2 * SIZE


class Trouble(Exception):
    pass


@pytest.mark.parametrize("workers", [0, 1, 3])
def test_what_a_dataset_raises_is_raised(workers: int) -> None:
    class Fails(Batches):
        def __getitem__(self, i: int) -> Any:
            if i == 3:
                raise Trouble("batch 3")
            return super().__getitem__(i)

    model, x, y = compiled()
    with pytest.raises(Trouble, match="batch 3"):
        model.fit(Fails(x, y, workers=workers), shuffle=False, **QUIET)
    assert model.optimizer.iterations == 3  # the steps before it are done
    with pytest.raises(Trouble, match="batch 3"):
        model.predict(Fails(x, y, workers=workers), **QUIET)
    model.fit(Batches(x, y), **QUIET)


def test_a_batch_of_another_shape_in_mid_epoch() -> None:
    class Odd(Batches):
        def __getitem__(self, i: int) -> Any:
            x, y = super().__getitem__(i)
            return (x[:, :4] if i == 2 else x), y

    model, x, y = compiled()
    with pytest.raises(errors.DataError, match=r"input 'features' .* has the shape \(8, 4\)"):
        model.fit(Odd(x, y), shuffle=False, **QUIET)
    assert model.optimizer.iterations == 2


@pytest.mark.skipif(signal.getsignal(signal.SIGINT) is signal.SIG_IGN, reason="Ctrl-C is ignored here")
def test_an_interrupt_ends_a_slow_dataset() -> None:
    class Slow(Batches):
        def __getitem__(self, i: int) -> Any:
            if i == 2:
                timer.start()
                time.sleep(1)  # nothing ends this but itself: the thread is waited for
            return super().__getitem__(i)

    model, x, y = compiled()
    timer = threading.Timer(0.2, _thread.interrupt_main)
    with pytest.raises(KeyboardInterrupt):
        model.fit(Slow(x, y), shuffle=False, **QUIET)
    assert model.optimizer.iterations == 2
    timer.join()
    model.fit(Batches(x, y), **QUIET)
    assert model.optimizer.iterations == 7


def test_a_held_out_table_names_its_columns() -> None:
    hub = pytest.importorskip("datasets")
    model, x, y = compiled()
    rows = hub.Dataset.from_dict({"features": x.tolist(), "kind": y.tolist()})
    history = model.fit(rows, "kind", validation_data=(rows, "kind"), **QUIET).history
    assert np.isfinite(history["val_loss"]).all()
    with pytest.raises(errors.DataError, match="The data has no column 'sort'; it has features, kind"):
        model.evaluate(rows, "sort", **QUIET)


def test_what_stops_training_ends_the_threads() -> None:
    class Stop(uf.callbacks.Callback):
        def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
            self.model.stop_training = True

    model, x, y = compiled()
    model.fit(Batches(x, y, workers=2), callbacks=Stop(), **QUIET)
    assert model.optimizer.iterations == 1


def test_a_dataset_without_its_constructor_warns() -> None:
    class Bare(uf.utils.PyDataset):
        def __init__(self) -> None:
            pass

        def __len__(self) -> int:
            return 1

        def __getitem__(self, i: int) -> Any:
            return np.ones((2, 1)), np.ones((2, 1))

    model = uf.Sequential([uf.Input((1,)), layers.Dense(1)])
    model.compile("sgd", "mse")
    with pytest.warns(UserWarning, match="should call `super"):
        model.fit(Bare(), **QUIET)


REFUSED = {
    "targets beside it": ({"y": np.ones(40)}, "When x is a PyDataset, it gives .* pass neither y"),
    "weights beside it": ({"sample_weight": np.ones(40)}, "When x is a PyDataset, it gives"),
    "a share": ({"validation_split": 0.5}, "validation_split needs arrays"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_arguments_that_a_dataset_does_not_go_with(case: str) -> None:
    model, x, y = compiled()
    options, match = REFUSED[case]
    with pytest.raises(errors.ArgumentError, match=match):
        model.fit(Batches(x, y), **options, **QUIET)


def test_single_examples_of_torch_are_refused() -> None:
    data = pytest.importorskip("torch.utils.data")
    torch = pytest.importorskip("torch")
    model, x, y = compiled()
    examples = data.TensorDataset(torch.from_numpy(x), torch.from_numpy(y))
    with pytest.raises(errors.ArgumentError, match=r"TensorDataset .* single examples.*DataLoader\(dataset"):
        model.fit(examples, **QUIET)


# ---------------------------------------------------------------- tables


def table(kind: str, columns: dict[str, Any]) -> Any:
    module = pytest.importorskip(kind)
    return module.table(columns) if kind == "pyarrow" else module.DataFrame(columns)


@pytest.mark.parametrize("kind", ["pandas", "polars", "pyarrow"])
def test_tables_are_matrices_with_named_columns(kind: str) -> None:
    model, x, y = compiled()
    columns = {f"c{i}": x[:, i] for i in range(5)}
    options = {"batch_size": SIZE, "epochs": 2, "shuffle": False, **QUIET}
    for given in [
        (table(kind, {**columns, "kind": y}), "kind"),
        (table(kind, columns), table(kind, {"kind": y})),
    ]:
        model, _, _ = compiled()
        history = model.fit(*given, **options).history
        np.testing.assert_allclose(history["loss"], expected()["loss"], rtol=1e-6)
    np.testing.assert_array_equal(model.predict(table(kind, columns), **QUIET), model.predict(x, **QUIET))
    with pytest.raises(errors.DataError, match="table has no column 'sort'; it has c0"):
        model.fit(table(kind, columns), "sort", **QUIET)
    words = table(kind, {**columns, "c4": ["a"] * len(x)})
    with pytest.raises(
        errors.DataError, match="input 'features' .*column 'c4' of the table is .*encode it first"
    ):
        model.predict(words, **QUIET)


@pytest.mark.parametrize("kind", ["pandas", "polars", "pyarrow"])
def test_columns_are_inputs_by_name(kind: str) -> None:
    a, b = uf.Input((1,), name="a"), uf.Input((1,), name="b")
    model = uf.Model({"a": a, "b": b}, layers.Subtract()([a, b]))
    found = model.predict(table(kind, {"b": [1, 2], "a": [5.0, None]}), backend="numpy")
    np.testing.assert_array_equal(found, [[4], [np.nan]])


def test_columns_that_do_not_say_what_they_are() -> None:
    hub = pytest.importorskip("datasets")
    model, x, _ = compiled()
    with pytest.raises(errors.DataError, match="has the columns one, two; the model takes features. Rename"):
        model.predict(hub.Dataset.from_dict({"one": x.tolist(), "two": x.tolist()}), **QUIET)


# ---------------------------------------------------------------- the thread


def test_ahead_gives_all_in_order_and_no_more_than_its_depth() -> None:
    made: list[int] = []

    def items() -> Iterator[int]:
        for i in range(20):
            made.append(i)
            yield i

    with Ahead(items(), depth=2) as ahead:
        first = next(ahead)
        deadline = time.monotonic() + 5
        while len(made) < 3 and time.monotonic() < deadline:
            time.sleep(0.001)
        time.sleep(0.02)
        assert made == [0, 1, 2]  # one used, two waiting
        assert [first, *ahead] == list(range(20))
        assert list(ahead) == []


def test_ahead_closed_early_ends_what_it_takes_from() -> None:
    ended = []

    def items() -> Iterator[int]:
        try:
            yield from itertools.count()
        finally:
            ended.append(threading.current_thread().name)

    with Ahead(items()) as ahead:
        next(ahead)
    assert ended == ["unifront data"]


def test_nothing_is_taken_ahead_of_an_epoch() -> None:
    class Noted(Batches):
        def __getitem__(self, i: int) -> Any:
            self.epochs.append(f"{i}")
            return super().__getitem__(i)

    model, x, y = compiled()
    data = Noted(x, y)
    model.fit(data, epochs=3, steps_per_epoch=4, shuffle=False, **QUIET)
    expected = ["begin", *"0123", "end", "begin", *"4012", "end", "begin", *"3401", "end"]
    assert data.epochs == expected


def test_ahead_keeps_the_default_backend() -> None:
    from unifront.backends import placement

    with uf.backend("numpy"), Ahead(placement(None).name for _ in range(2)) as ahead:
        assert list(ahead) == ["numpy", "numpy"]


@pytest.mark.parametrize("taken", [1, 3])
def test_an_iterator_of_tensorflow_is_let_go_elsewhere(taken: int) -> None:
    """That waits for TensorFlow's own threads, up to a second and more: here, until the pass is over."""
    over, gone = threading.Event(), threading.Event()

    class Numbers:
        def __init__(self) -> None:
            self.left = iter(range(3))

        def __iter__(self) -> Numbers:
            return self

        def __next__(self) -> int:
            return next(self.left)

        def __del__(self) -> None:
            if over.wait(20):
                gone.set()

    class Dataset:
        def __iter__(self) -> Numbers:
            return Numbers()

    kind = next(kind for kind in KINDS if "tf.data" in kind.name)
    batches = kind.begin(Dataset(), Pass(0, False, 1))
    assert list(itertools.islice(batches, taken)) == [0, 1, 2][:taken]
    batches.close()
    assert not gone.is_set()
    over.set()
    assert gone.wait(20)
