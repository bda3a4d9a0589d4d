"""`fit(resume=...)`: a run that was killed and begun again ends as one that was not, to the bit."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import unifront as uf
from tests.models import TRAINABLE
from unifront import layers
from unifront.errors import ArgumentError, DataError, FileFormatError, FileWriteError, UnifrontError
from unifront.train.checkpoint import Checkpoint
from unifront.train.plain import changes, copied, packed, unpacked
from unifront.train.resume import FILE, Every, Writer

ANY = "torch" if "torch" in TRAINABLE else TRAINABLE[0]  # it compiles nothing
RNG = np.random.default_rng(0)
X = RNG.normal(size=(44, 6, 6, 1)).astype(np.float32)
Y = RNG.integers(0, 3, 44)


class Killed(Exception):
    """What ends a process, here."""


class KillAt(uf.callbacks.Callback):
    """Ends training at one of its events."""

    def __init__(self, event: str, number: int) -> None:
        self.event, self.number = event, number
        setattr(self, event, self.kill)

    def kill(self, number: int, logs: Any = None) -> None:
        if self.number == 0:
            raise Killed
        self.number -= 1


def model_of(optimizer: Any = None) -> uf.Model:
    uf.set_seed(7)
    x = uf.Input((6, 6, 1), name="image")
    y = layers.BatchNormalization()(layers.Conv2D(3, 3, activation="relu")(x))
    y = layers.Dropout(0.2)(layers.Flatten()(y))
    model = uf.Model(x, layers.Dense(3)(y), name="small")
    loss = uf.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(optimizer or uf.optimizers.Adam(0.02, use_ema=True), loss, metrics=["accuracy"])
    return model


def as_in_a_new_process(model: uf.Model) -> uf.Model:
    """``model`` as its script makes it, but for weights, which a checkpoint has to bring; its programs stay compiled."""
    rng = np.random.default_rng(1)
    for variable in (*model.weights, *model.optimizer.variables):
        variable.assign(rng.random(variable.shape))
    model.optimizer.calls, model.optimizer.learning_rate = 0, 0.02
    uf.set_seed(int(rng.integers(100)))
    return model


def state_of(model: uf.Model) -> list[np.ndarray]:
    return [*model.get_weights(), *(slot.numpy() for slot in model.optimizer.variables)]


def assert_same(a: list[np.ndarray], b: list[np.ndarray]) -> None:
    assert len(a) == len(b)
    for one, other in zip(a, b, strict=True):
        np.testing.assert_array_equal(one, other)


def callbacks() -> list[uf.callbacks.Callback]:
    return [
        uf.callbacks.LearningRateScheduler(lambda epoch, rate: rate * 0.9),
        uf.callbacks.EarlyStopping("loss", min_delta=0.02, patience=2, restore_best_weights=True),
        uf.callbacks.ReduceLROnPlateau("loss", patience=1, min_delta=0.05),
    ]


def fit(model: uf.Model, backend: str, *more: uf.callbacks.Callback, **options: Any) -> uf.callbacks.History:
    given: dict[str, Any] = {
        "batch_size": 8, "epochs": 5, "verbose": 0, "validation_split": 0.25, "backend": backend, **options
    }  # fmt: skip
    return model.fit(X, Y, callbacks=[*callbacks(), *more], **given)


@pytest.mark.parametrize("backend", TRAINABLE)
def test_killed_and_resumed_is_as_never_killed(backend: str, tmp_path: Path) -> None:
    """Killed in the middle of an epoch, at the end of one, in a validation, again and again."""
    model = model_of()
    model.optimizer.build(model.trainable_weights)
    begun = state_of(model)
    history = fit(model, backend)
    whole, rate = state_of(model), model.optimizer.learning_rate
    kills = [
        KillAt("on_train_batch_end", 2), KillAt("on_epoch_end", 1), KillAt("on_train_batch_begin", 3),
        KillAt("on_test_begin", 1), KillAt("on_epoch_begin", 0),
    ]  # fmt: skip
    given = {"resume": tmp_path, "save_every": 2}
    for variable, value in zip((*model.weights, *model.optimizer.variables), begun, strict=True):
        variable.assign(value)
    model.optimizer.calls, model.optimizer.learning_rate = 0, 0.02
    uf.set_seed(7)
    for kill in kills:
        with pytest.raises(Killed):
            fit(model, backend, kill, **given)
        as_in_a_new_process(model)
    again = fit(model, backend, **given)
    assert_same(state_of(model), whole)
    assert again.history == history.history
    assert again.epoch == history.epoch
    assert model.optimizer.learning_rate == rate
    assert [path.name for path in tmp_path.iterdir()] == [FILE]


@pytest.mark.parametrize("every", ["epoch", 1, 7, "0.001s", None])
def test_however_often_it_is_kept(every: Any, tmp_path: Path) -> None:
    whole = model_of("sgd")
    fit(whole, ANY)
    for number in (0, 5, 9):
        with pytest.raises(Killed):
            fit(model_of("sgd"), ANY, KillAt("on_train_batch_end", number), resume=tmp_path, save_every=every)
    resumed = model_of("sgd")
    fit(resumed, ANY, resume=tmp_path, save_every=every)
    assert_same(state_of(resumed), state_of(whole))


@pytest.mark.skipif(len(TRAINABLE) < 2, reason="needs two backends")
def test_resumed_on_another_backend(tmp_path: Path) -> None:
    def model() -> uf.Model:
        uf.set_seed(3)
        x = uf.Input((6, 6, 1))
        y = layers.Flatten()(layers.BatchNormalization()(layers.Conv2D(3, 3, use_bias=False)(x)))
        made = uf.Model(x, layers.Dense(3)(y))
        made.compile(
            uf.optimizers.SGD(0.1, momentum=0.9, gradient_accumulation_steps=2, use_ema=True),
            uf.losses.SparseCategoricalCrossentropy(from_logits=True),
        )
        return made

    options: dict[str, Any] = {"batch_size": 8, "epochs": 3, "verbose": 0}
    whole = model()
    whole.fit(X, Y, backend=TRAINABLE[0], **options)
    kill = KillAt("on_train_batch_end", 8)
    with pytest.raises(Killed):
        model().fit(X, Y, backend=TRAINABLE[0], resume=tmp_path, save_every=1, callbacks=kill, **options)
    resumed = model()
    resumed.fit(X, Y, backend=TRAINABLE[1], resume=tmp_path, **options)
    for one, other in zip(state_of(resumed), state_of(whole), strict=True):
        np.testing.assert_allclose(one, other, rtol=0, atol=1e-6 * max(1, np.abs(other).max()))


class Thaw(uf.callbacks.Callback):
    """Trains the head alone, and from the third epoch on everything."""

    def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:
        if epoch == 2:
            self.model.layers[1].trainable = True


@pytest.mark.parametrize("event", ["on_epoch_end", "on_train_batch_end"])
def test_layers_that_a_callback_has_thawed_stay_so(event: str, tmp_path: Path) -> None:
    def frozen() -> uf.Model:
        model = model_of(uf.optimizers.SGD(0.02, momentum=0.9))
        model.layers[1].trainable = False
        return model

    model, resumed = frozen(), frozen()
    history = fit(model, ANY, Thaw())
    counts = {"on_epoch_end": 2, "on_train_batch_end": 11}
    with pytest.raises(Killed):
        fit(resumed, ANY, Thaw(), KillAt(event, counts[event]), resume=tmp_path, save_every=1)
    resumed = frozen()
    again = fit(resumed, ANY, Thaw(), resume=tmp_path, save_every=1)
    assert_same(resumed.get_weights(), model.get_weights())
    slots, expected = ({slot.path: slot.numpy() for slot in m.optimizer.variables} for m in (resumed, model))
    assert slots.keys() == expected.keys()  # made in another order
    assert_same([slots[path] for path in expected], list(expected.values()))
    assert again.history == history.history


def test_epochs_that_begin_where_the_last_one_ended(tmp_path: Path) -> None:
    whole = model_of("sgd")
    fit(whole, ANY, steps_per_epoch=3)
    for number in (2, 4, 7):
        kill = KillAt("on_train_batch_end", number)
        with pytest.raises(Killed):
            fit(model_of("sgd"), ANY, kill, steps_per_epoch=3, resume=tmp_path, save_every=1)
    resumed = model_of("sgd")
    fit(resumed, ANY, steps_per_epoch=3, resume=tmp_path, save_every=1)
    assert_same(state_of(resumed), state_of(whole))


class Batches:
    def __iter__(self) -> Iterator[Any]:
        return ((X[i : i + 8], Y[i : i + 8]) for i in range(0, 40, 8))


class Numbered(uf.utils.PyDataset):
    """Batches in another order each pass, and of other numbers each epoch."""

    def __init__(self) -> None:
        super().__init__()
        self.rng = np.random.default_rng(5)
        self.chosen = self.rng.permutation(len(X))

    def __len__(self) -> int:
        return 5

    def __getitem__(self, index: int) -> Any:
        rows = self.chosen[8 * index : 8 * index + 8]
        return X[rows], Y[rows]

    def on_epoch_end(self) -> None:
        self.chosen = self.rng.permutation(len(X))


def endless() -> Iterator[Any]:
    while True:
        yield from Batches()


@pytest.mark.parametrize(
    ("source", "steps"),
    [(Batches, None), (Batches, 3), (endless, 4), (Numbered, None), (Numbered, 4)],
    ids=["passes", "steps", "generator", "dataset", "dataset-steps"],
)
def test_data_that_give_batches(source: Callable[[], Any], steps: int | None, tmp_path: Path) -> None:
    options: dict[str, Any] = {"epochs": 4, "verbose": 0, "backend": ANY, "steps_per_epoch": steps}
    whole = model_of("sgd")
    whole.fit(source(), **options)
    for number in (1, 4, 6):
        kill = KillAt("on_train_batch_end", number)
        with pytest.raises(Killed):
            model_of("sgd").fit(source(), callbacks=kill, resume=tmp_path, save_every=1, **options)
    resumed = model_of("sgd")
    resumed.fit(source(), resume=tmp_path, **options)
    assert_same(state_of(resumed), state_of(whole))


def test_a_finished_run_trains_no_more_and_goes_on_when_asked(tmp_path: Path) -> None:
    whole = model_of()
    history = fit(whole, ANY, epochs=3)
    done = model_of()
    fit(done, ANY, epochs=2, resume=tmp_path)
    again = model_of()
    begun: list[int] = []
    watch = uf.callbacks.LambdaCallback(on_epoch_begin=lambda epoch, logs: begun.append(epoch))
    fit(again, ANY, watch, epochs=2, resume=tmp_path)
    assert not begun
    assert_same(state_of(again), state_of(done))
    longer = model_of()
    assert fit(longer, ANY, watch, epochs=3, resume=tmp_path).history == history.history
    assert begun == [2]
    assert_same(state_of(longer), state_of(whole))


def test_what_stopped_training_stops_it_after_all(tmp_path: Path) -> None:
    class Stop(uf.callbacks.Callback):
        def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
            self.model.stop_training = epoch == 1

    model = model_of()
    fit(model, ANY, Stop(), resume=tmp_path)
    again = model_of()
    assert fit(again, ANY, Stop(), resume=tmp_path).epoch == [0, 1]
    assert_same(state_of(again), state_of(model))


opt, CosineDecay = uf.optimizers, uf.optimizers.schedules.CosineDecay
KEPT: dict[str, Callable[[], Any]] = {
    "the scale of the loss": lambda: opt.LossScaleOptimizer(opt.Adam(0.02), 64.0, dynamic_growth_steps=3),
    "gathered gradients": lambda: opt.Adam(0.02, gradient_accumulation_steps=4),
    "gathered examples": lambda: opt.SGD(0.1, gradient_accumulation_steps=4, accumulate_examples=True),
    "a schedule": lambda: opt.SGD(CosineDecay(0.1, 20), momentum=0.5),
    "a schedule on the device": lambda: opt.LossScaleOptimizer(
        opt.SGD(CosineDecay(0.1, 20), gradient_accumulation_steps=3), 64.0, 2
    ),
    "averages": lambda: opt.Adam(0.02, use_ema=True, ema_overwrite_frequency=3),
    "several": lambda: opt.MultiOptimizer(opt.OptimizerMap(opt.SGD(0.1), {".*/bias": opt.Adam(0.02)})),
}


CONSTANT = ("the scale of the loss", "gathered gradients", "averages")


@pytest.mark.parametrize("what", KEPT)
def test_what_optimizers_keep_goes_on(what: str, tmp_path: Path) -> None:
    """Killed in the middle of what is gathered, between two changes of the scale, before weights are overwritten."""

    def train(*more: uf.callbacks.Callback, **options: Any) -> list[np.ndarray]:
        model = model_of(KEPT[what]())
        own = [uf.callbacks.LearningRateScheduler(lambda epoch, rate: rate * 0.75)] * (what in CONSTANT)
        model.fit(X, Y, batch_size=8, epochs=3, verbose=0, backend=ANY, callbacks=[*own, *more], **options)
        return state_of(model)

    whole = train()
    for number in (1, 4, 6):
        with pytest.raises(Killed):
            train(KillAt("on_train_batch_end", number), resume=tmp_path, save_every=1)
    assert_same(train(resume=tmp_path), whole)


def test_several_inputs_outputs_and_metrics_with_states(tmp_path: Path) -> None:
    """Draws by a layer's own seed, a state that stays from batch to batch, a metric's counts."""

    def train(*more: uf.callbacks.Callback, **options: Any) -> tuple[list[np.ndarray], Any]:
        uf.set_seed(3)
        image, word = (
            uf.Input((6, 6, 1), batch_size=4, name="image"),
            uf.Input((3,), batch_size=4, name="word"),
        )
        steps = layers.LSTM(3, stateful=True)(layers.Reshape((6, 6))(image))
        joined = layers.Concatenate()(
            [layers.GaussianNoise(0.5, seed=5)(steps), layers.Dropout(0.5, seed=6)(word)]
        )
        outputs = {
            "class": layers.Dense(3, activation="softmax", name="class")(joined),
            "size": layers.Dense(1, name="size")(joined),
        }
        model = uf.Model({"image": image, "word": word}, outputs)
        loss = {"class": "sparse_categorical_crossentropy", "size": "mse"}
        model.compile("adam", loss, metrics={"size": [uf.metrics.RootMeanSquaredError()]})
        data = {"image": X, "word": X[:, 0, :3, 0]}, {"class": Y, "size": Y.astype(np.float32)}
        history = model.fit(
            *data, batch_size=4, epochs=2, verbose=0, backend=ANY, callbacks=list(more), **options
        )
        return state_of(model), history.history

    whole, history = train()
    for number in (2, 5, 9):
        with pytest.raises(Killed):
            train(KillAt("on_train_batch_end", number), resume=tmp_path, save_every=1)
    found, resumed = train(resume=tmp_path)
    assert_same(found, whole)
    assert resumed == history


class Counts(uf.callbacks.Callback):
    """Notes what a user's callback may note."""

    def __init__(self, given: int) -> None:
        self.given = given
        self.batches = 0
        self.best: dict[str, Any] = {}
        self.lock = threading.Lock()

    def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
        self.batches += 1
        self.best = {"loss": logs["loss"], "at": (batch, self.batches), "array": np.arange(self.batches)}


def test_callbacks_of_ones_own_go_on(tmp_path: Path) -> None:
    counts = Counts(1)
    with pytest.raises(Killed):
        fit(model_of(), ANY, counts, KillAt("on_train_batch_end", 6), resume=tmp_path, save_every=3)
    resumed = Counts(2)
    fit(model_of(), ANY, resumed, epochs=2, resume=tmp_path)
    whole = Counts(3)
    fit(model_of(), ANY, whole, epochs=2)
    assert resumed.given == 2  # what did not change since training began is as it is given now
    assert resumed.batches == whole.batches == 10
    assert (resumed.best["loss"], resumed.best["at"]) == (whole.best["loss"], whole.best["at"])
    np.testing.assert_array_equal(resumed.best["array"], whole.best["array"])


def test_a_state_that_cannot_be_kept() -> None:
    class Odd(uf.callbacks.Callback):
        def state_dict(self) -> dict[str, Any]:
            return {"lock": threading.Lock()}

    with pytest.raises(ArgumentError, match=r"Odd\.state_dict gives a dict of plain data"):
        fit(model_of(), ANY, Odd(), resume=Path("."))


@pytest.mark.parametrize(
    ("given", "match"),
    [
        ({"resume": __file__}, "resume is a folder for checkpoints"),
        ({"resume": 3}, r"A path is a str or an os\.PathLike"),
        *(
            ({"resume": "unused", "save_every": every}, "save_every is 'epoch'")
            for every in (0, True, "5 days", -2, 1.5)
        ),
    ],
)
def test_arguments_that_are_refused(given: dict[str, Any], match: str, tmp_path: Path) -> None:
    if given["resume"] == "unused":
        given = {**given, "resume": tmp_path}
    with pytest.raises(ArgumentError, match=match):
        fit(model_of(), ANY, **given)


def test_how_often() -> None:
    assert Every.of("90s") == Every.of(timedelta(seconds=90)) == Every(False, None, 90.0)
    assert Every.of("1.5m").seconds == 90.0
    assert Every.of("2h").seconds == 7200.0
    assert Every.of(None) == Every(True, None, 300.0)


def broken(path: Path, how: str) -> None:
    data = path.read_bytes()
    half = len(data) // 2
    path.write_bytes(
        {
            "empty": b"",
            "cut": data[:half],
            "damaged": data[:-9] + bytes([data[-9] ^ 1]) + data[-8:],
            "told": data.replace(b'\\"done\\":', b'\\"dona\\":', 1),
            "other": b"hello" * 100,
        }[how]
    )


@pytest.mark.parametrize("how", ["empty", "cut", "damaged", "told", "other"])
def test_a_broken_checkpoint(how: str, tmp_path: Path) -> None:
    fit(model_of("sgd"), ANY, epochs=1, resume=tmp_path)
    broken(tmp_path / FILE, how)
    before = (tmp_path / FILE).read_bytes()
    model = model_of("sgd")
    weights = model.get_weights()
    with pytest.raises(
        FileFormatError, match="is not a valid checkpoint: .* Remove it to train from the beginning"
    ):
        fit(model, ANY, epochs=2, resume=tmp_path)
    assert_same(model.get_weights(), weights)
    assert (tmp_path / FILE).read_bytes() == before


def test_a_checkpoint_of_another_model(tmp_path: Path) -> None:
    fit(model_of("sgd"), ANY, epochs=1, resume=tmp_path)
    x = uf.Input((6, 6, 1))
    other = uf.Model(x, layers.Dense(3, name="dense_9")(layers.Flatten()(x)))
    other.compile("sgd", uf.losses.SparseCategoricalCrossentropy(from_logits=True))
    with pytest.raises(
        FileFormatError, match="does not fit: the model has 'dense_9/.*', of which it holds no value"
    ):
        fit(other, ANY, resume=tmp_path)
    with pytest.raises(
        FileFormatError, match=r"the model has '.*/(momentum|velocity)', of which it holds no value"
    ):
        fit(model_of("adam"), ANY, resume=tmp_path)


def test_other_data_in_the_middle_of_an_epoch(tmp_path: Path) -> None:
    with pytest.raises(Killed):
        fit(model_of("sgd"), ANY, KillAt("on_train_batch_end", 2), resume=tmp_path, save_every=1)
    with pytest.raises(DataError, match="33 examples in batches of 8. There are 33 in batches of 4 now"):
        fit(model_of("sgd"), ANY, resume=tmp_path, batch_size=4)


def test_a_disk_that_is_full(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The error arrives, the weights are those of a whole step, and the last good checkpoint stays."""
    whole = model_of("sgd")
    fit(whole, ANY)
    with pytest.raises(Killed):
        fit(model_of("sgd"), ANY, KillAt("on_epoch_end", 1), resume=tmp_path)
    before = (tmp_path / FILE).read_bytes()
    written: list[int] = []

    def full(contents: Any, file: Any) -> None:
        file.write(contents.header)
        written.append(1)
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr("unifront.safetensors.Contents.write", full)
        with pytest.raises(FileWriteError, match="No space left on device"):
            fit(model_of("sgd"), ANY, resume=tmp_path)
    assert written
    assert (tmp_path / FILE).read_bytes() == before
    assert [path.name for path in tmp_path.iterdir()] == [FILE]
    resumed = model_of("sgd")
    fit(resumed, ANY, resume=tmp_path)
    assert_same(state_of(resumed), state_of(whole))


def test_writing_does_not_hold_training_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """While a checkpoint is being written training ends, and of those that waited the newest is written."""
    go_on, writes = threading.Event(), []
    write = Checkpoint.write

    def slow(checkpoint: Checkpoint, path: Path) -> None:
        go_on.wait(30)
        writes.append(checkpoint.state["runs"])
        write(checkpoint, path)

    monkeypatch.setattr(Checkpoint, "write", slow)
    steps: list[int] = []

    def count(batch: int, logs: Any) -> None:
        steps.append(batch)
        if len(steps) == 12:
            go_on.set()

    watch = uf.callbacks.LambdaCallback(on_train_batch_end=count)
    fit(model_of("sgd"), ANY, watch, resume=tmp_path, save_every=1, epochs=3)
    assert len(steps) == 15
    assert writes[-1] == 15
    assert len(writes) < 10  # of 15 that were due


def test_an_error_in_the_thread_is_raised_once(tmp_path: Path) -> None:
    writer = Writer(tmp_path / "no folder" / FILE)
    writer.write(Checkpoint({}, {}))
    writer.close()
    with pytest.raises(UnifrontError, match="there is no folder"):
        writer.check()
    writer.check()


PLAIN: list[Any] = [
    None, True, 3, 2**70, -0.0, 1e-300, float("inf"), "text", [], (), {}, [1.5] * 40, (1, [2, (3.5,)]), {1: "a", "b": {2: []}},
    np.arange(6, dtype=np.int8).reshape(2, 3), np.float32(0.1), np.bool_(True), np.zeros((0, 3)),
]  # fmt: skip


@pytest.mark.parametrize("value", PLAIN, ids=repr)
def test_plain_data_and_back(value: Any) -> None:
    arrays: dict[str, np.ndarray] = {}
    text = json.dumps(packed({"x": value}, arrays, "a"), allow_nan=False)
    found = unpacked(json.loads(text), arrays)["x"]
    assert type(found) is type(value)
    assert not changes({"x": found}, {"x": value})
    assert changes({"x": found}, {"x": [value]}) == {"x": found} or isinstance(value, np.ndarray)


def test_nan_and_what_is_no_plain_data() -> None:
    arrays: dict[str, np.ndarray] = {}
    found = unpacked(json.loads(json.dumps(packed([float("nan")], arrays, "a"))), arrays)
    assert np.isnan(found[0])
    assert copied({"a": 1, "b": threading.Lock(), "c": [object()], "d": {(1, 2): 3}}) == {"a": 1}
