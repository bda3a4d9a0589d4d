"""Forms of data: arrays of any framework, generators, loaders, dicts and lists; equal numbers from each."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import nullcontext
from typing import Any

import numpy as np
import pytest

import unifront as uf
from tests.models import MODELS, TRAINABLE, cross_entropy
from unifront import layers

ANY = TRAINABLE[0]
SIZE = 8


def compiled() -> tuple[uf.Model, np.ndarray, np.ndarray]:
    uf.set_seed(1)
    model, (x, y) = MODELS["mlp"]("float32")
    model.compile(uf.optimizers.SGD(0.1, momentum=0.9), cross_entropy(), metrics=["accuracy"])
    return model, x, y


def expected_history(epochs: int = 2) -> dict[str, list[float]]:
    model, x, y = compiled()
    return model.fit(x, y, batch_size=SIZE, epochs=epochs, shuffle=False, verbose=0, backend=ANY).history


def batches(x: Any, y: Any) -> Iterator[Any]:
    for i in range(0, len(x), SIZE):
        yield x[i : i + SIZE], y[i : i + SIZE]


class Again:
    """An iterable that begins anew each time, of batches that are tuples or lists."""

    def __init__(self, x: Any, y: Any, kind: type = tuple) -> None:
        self.x, self.y, self.kind = x, y, kind

    def __iter__(self) -> Iterator[Any]:
        return map(self.kind, batches(self.x, self.y))


def torch_loader(x: np.ndarray, y: np.ndarray) -> Any:
    data = pytest.importorskip("torch.utils.data")
    torch = pytest.importorskip("torch")
    return data.DataLoader(data.TensorDataset(torch.from_numpy(x), torch.from_numpy(y)), batch_size=SIZE)


def tf_dataset(x: np.ndarray, y: np.ndarray) -> Any:
    tf = pytest.importorskip("tensorflow")
    return tf.data.Dataset.from_tensor_slices((x, y)).batch(SIZE)


def endless(x: np.ndarray, y: np.ndarray) -> Iterator[Any]:
    while True:
        yield from batches(x, y)


SOURCES: dict[str, tuple[Any, dict[str, Any]]] = {
    "iterable": (Again, {}),
    "lists": (lambda x, y: Again(x, y, list), {}),
    "endless_generator": (endless, {"steps_per_epoch": 5}),
    "two_passes_in_one_generator": (
        lambda x, y: (b for _ in range(2) for b in batches(x, y)),
        {"steps_per_epoch": 5},
    ),
    "iterable_with_steps": (Again, {"steps_per_epoch": 5}),
    "torch_loader": (torch_loader, {}),
    "tf_dataset": (tf_dataset, {}),
    "tf_dataset_repeated": (lambda x, y: tf_dataset(x, y).repeat(), {"steps_per_epoch": 5}),
}


@pytest.mark.parametrize("source", SOURCES)
def test_streams_train_as_arrays_do(source: str) -> None:
    model, x, y = compiled()
    make, options = SOURCES[source]
    history = model.fit(make(x, y), epochs=2, verbose=0, backend=ANY, **options).history
    for name, values in expected_history().items():
        np.testing.assert_allclose(history[name], values, rtol=1e-6)


@pytest.mark.parametrize("backend", TRAINABLE)
def test_streams_on_every_backend(backend: str) -> None:
    model, x, y = compiled()
    history = model.fit(
        Again(x, y), epochs=2, verbose=0, backend=backend, validation_data=Again(x, y)
    ).history
    np.testing.assert_allclose(history["loss"], expected_history()["loss"], rtol=1e-5)
    assert history["val_accuracy"][-1] == pytest.approx(model.evaluate(x, y, backend=backend)[1])


def test_steps_of_a_generator_are_not_lost() -> None:
    model, x, y = compiled()
    taken = []

    def counted() -> Iterator[Any]:
        for i, batch in enumerate(endless(x, y)):
            taken.append(i)
            yield batch

    model.fit(counted(), steps_per_epoch=3, epochs=4, verbose=0, backend=ANY)
    assert model.optimizer.iterations == 12
    assert len(taken) == 12


@pytest.mark.parametrize("framework", ["torch", "jax", "tensorflow", "numpy", "list"])
def test_arrays_of_any_framework(framework: str) -> None:
    model, x, y = compiled()
    if framework == "list":
        given: Any = (x.tolist(), y.tolist())
    else:
        if framework not in (*TRAINABLE, "numpy"):
            pytest.skip(f"{framework} is not installed")
        from unifront.backends import get_backend

        backend = get_backend(framework)
        given = (backend.array(x), backend.array(y))
    history = model.fit(*given, batch_size=SIZE, epochs=2, shuffle=False, verbose=0, backend=ANY).history
    np.testing.assert_allclose(history["loss"], expected_history()["loss"], rtol=1e-6)
    np.testing.assert_allclose(model.predict(given[0], backend="numpy"), model.predict(x, backend="numpy"))


def two_inputs(structure: str) -> uf.Model:
    uf.set_seed(2)
    a, b = uf.Input((2,), name="a"), uf.Input((3,), name="b")
    joined = layers.Concatenate()([a, b])
    inputs: Any = {"a": a, "b": b} if structure == "dict" else [a, b]
    outputs = {"x": layers.Dense(2, name="x")(joined), "y": layers.Dense(1, name="y")(joined)}
    model = uf.Model(inputs, outputs if structure == "dict" else list(outputs.values()))
    model.compile("sgd", {"x": "mse", "y": "mae"})
    return model


@pytest.mark.parametrize("structure", ["dict", "list"])
def test_dicts_and_lists_mean_the_same(structure: str) -> None:
    rng = np.random.default_rng(0)
    a, b = rng.normal(size=(10, 2)).astype("float32"), rng.normal(size=(10, 3)).astype("float32")
    x, y = rng.normal(size=(10, 2)).astype("float32"), rng.normal(size=(10, 1)).astype("float32")
    losses = []
    for inputs, targets in [([a, b], [x, y]), ({"b": b, "a": a}, {"y": y, "x": x}), ((a, b), (x, y))]:
        model = two_inputs(structure)
        told = structure == "dict" and not isinstance(inputs, dict)
        with pytest.warns(UserWarning, match="taken in the order of the keys") if told else nullcontext():
            history = model.fit(inputs, targets, epochs=2, shuffle=False, verbose=0, backend=ANY)
            losses.append(history.history["loss"])
            predicted = model.predict(inputs, backend="numpy")
        assert isinstance(predicted, dict if structure == "dict" else list)
        assert len(predicted) == 2
    assert losses[0] == losses[1] == losses[2]


def test_predict_in_batches_and_streams() -> None:
    model, x, _ = compiled()
    whole = model.predict(x, backend="numpy", batch_size=1000)
    np.testing.assert_array_equal(model.predict(x, backend="numpy", batch_size=7), whole)
    np.testing.assert_array_equal(
        model.predict((x[i : i + 9] for i in range(0, 40, 9)), backend="numpy"), whole
    )
    np.testing.assert_array_equal(model.predict(x, backend="numpy", steps=2), whole[:64])


@pytest.mark.parametrize("backend", ["numpy", *TRAINABLE])
@pytest.mark.parametrize("name", MODELS)
def test_predictions_for_no_examples(name: str, backend: str) -> None:
    model, (x, _) = MODELS[name]("float64")
    found = model.predict(x[:0], backend=backend)
    assert (found.shape, found.dtype) == ((0, 3), np.float64)


def test_predictions_for_no_examples_in_the_structure_of_the_outputs() -> None:
    words = uf.Input((None,), dtype="int32")
    vectors = layers.Embedding(5, 4)(words)
    model = uf.Model(words, {"steps": vectors, "mean": layers.GlobalAveragePooling1D()(vectors)})
    found = model.predict(np.zeros((0, 7), "int32"), backend="numpy")
    assert {name: one.shape for name, one in found.items()} == {"steps": (0, 7, 4), "mean": (0, 4)}


def test_a_number_of_steps_takes_no_more_from_a_stream() -> None:
    model, x, y = compiled()
    stream = endless(x, y)
    options = {"verbose": 0, "backend": ANY}
    model.fit(x, y, epochs=2, validation_data=stream, validation_steps=2, **options)
    model.evaluate(stream, steps=3, **options)
    model.predict(stream, steps=1, **options)
    rest = [next(stream)[0] for _ in range(2)]  # 2 * 2 + 3 + 1 of 5 in a pass are taken
    np.testing.assert_array_equal(np.concatenate(rest), x[3 * SIZE :])


def test_evaluate_streams_and_steps() -> None:
    model, x, y = compiled()
    whole = model.evaluate(x, y, backend="numpy")
    np.testing.assert_allclose(model.evaluate(Again(x, y), backend="numpy"), whole, rtol=1e-6)
    np.testing.assert_allclose(
        model.evaluate(x, y, batch_size=SIZE, steps=2, backend="numpy"),
        model.evaluate(x[: 2 * SIZE], y[: 2 * SIZE], backend="numpy"),
        rtol=1e-6,
    )


def test_weights_of_batches_in_a_stream() -> None:
    model, x, y = compiled()
    weights = np.random.default_rng(1).random(len(x)).astype("float32")
    expected = model.evaluate(x, y, sample_weight=weights, backend="numpy")
    stream = [(x[:30], y[:30], weights[:30]), (x[30:], y[30:], weights[30:])]
    np.testing.assert_allclose(model.evaluate(iter(stream), backend="numpy"), expected, rtol=1e-6)


def test_more_steps_than_the_data_has_pass_over_it_again() -> None:
    model, x, y = compiled()
    history = model.fit(x, y, batch_size=SIZE, steps_per_epoch=10, shuffle=False, verbose=0, backend=ANY)
    assert model.optimizer.iterations == 10
    assert history.history["loss"][0] == pytest.approx(np.mean(expected_history()["loss"]), rel=1e-5)


def test_shuffling_is_repeatable_and_another_in_each_epoch() -> None:
    orders = []
    for _ in range(2):
        seen: list[Any] = []

        class Watch(uf.callbacks.Callback):
            def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
                seen.append(logs["loss"])  # noqa: B023  # read within the loop

        model, x, y = compiled()
        model.compile(uf.optimizers.SGD(0.0), cross_entropy())
        model.fit(x, y, batch_size=1, epochs=2, verbose=0, callbacks=[Watch()], backend=ANY)
        orders.append(seen)
    assert orders[0] == orders[1]
    assert orders[0][:40] != orders[0][40:]
    np.testing.assert_allclose(orders[0][39], orders[0][79], rtol=1e-5)


def test_small_and_large_integers_fit_their_input() -> None:
    words = uf.Input((3,), dtype="int32")
    model = uf.Model(words, layers.Embedding(300, 2)(words))
    for dtype in ("uint8", "int64", "int32", "bool"):
        assert model.predict(np.ones((2, 3), dtype), backend="numpy").shape == (2, 3, 2)


def test_a_sequential_model_learns_its_inputs_from_data() -> None:
    model = uf.Sequential([layers.Dense(4), layers.Dense(1)])
    model.compile("sgd", "mse")
    history = model.fit(np.ones((6, 3)), np.ones(6), verbose=0, backend=ANY)
    assert np.isfinite(history.history["loss"][0])
    assert str(model.input_types["input"]) == "float32[batch, 3]"
