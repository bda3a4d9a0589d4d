"""Callbacks that write: checkpoints, tables, TensorBoard, services; and the walk over Keras's names."""

from __future__ import annotations

import csv
import inspect
import json
import sys
import warnings
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

import unifront as uf
from tests.models import TRAINABLE
from tests.train.keras_judge import keras
from unifront import layers
from unifront.errors import ArgumentError, BackendMissing, NonFiniteLoss

ANY = "torch" if "torch" in TRAINABLE else TRAINABLE[0]
RNG = np.random.default_rng(0)
X, Y = RNG.normal(size=(20, 4)).astype(np.float32), RNG.normal(size=(20, 1)).astype(np.float32)


def model_of(optimizer: Any = "sgd") -> uf.Model:
    uf.set_seed(2)
    model = uf.Sequential([layers.Input((4,)), layers.Dense(3, name="first"), layers.Dense(1, name="last")])
    model.compile(optimizer, "mse")
    return model


def fit(model: uf.Model, *callbacks: uf.callbacks.Callback, **options: Any) -> uf.callbacks.History:
    given = {"epochs": 4, "batch_size": 5, "verbose": 0, "backend": ANY, "validation_split": 0.5, **options}
    return model.fit(X, Y, callbacks=list(callbacks), **given)


def test_every_callback_of_keras_is_there() -> None:
    names = {
        name
        for name, one in vars(keras.callbacks).items()
        if isinstance(one, type) and not name.startswith("_")
    }
    assert all(hasattr(uf.callbacks, name) for name in names)
    for name in names - {"ReduceLROnPlateau"}:  # whose kwargs are for an argument of long ago
        judge = inspect.signature(getattr(keras.callbacks, name)).parameters
        own = inspect.signature(getattr(uf.callbacks, name)).parameters
        ours = {key: one.default for key, one in own.items() if one.kind is not one.KEYWORD_ONLY}
        assert list(ours.items()) == [(key, one.default) for key, one in judge.items()], name
    events = {name for name in dir(keras.callbacks.Callback) if name.startswith("on_")}
    assert events == {name for name in dir(uf.callbacks.Callback) if name.startswith("on_")}


EVENTS = [name for name in dir(uf.callbacks.Callback) if name.startswith("on_") and "on_batch" not in name]


def test_every_event_of_evaluation_and_prediction() -> None:
    seen: list[Any] = []

    def note(event: str) -> Any:
        return lambda *args, logs=None: seen.append((event, *args[:1]) if len(args) > 1 else (event,))

    watch = uf.callbacks.LambdaCallback(**{event: note(event) for event in EVENTS})
    model = model_of()
    model.evaluate(X[:6], Y[:6], batch_size=4, callbacks=[watch], backend=ANY)
    test = [
        ("on_test_begin",), ("on_test_batch_begin", 0), ("on_test_batch_end", 0), ("on_test_batch_begin", 1),
        ("on_test_batch_end", 1), ("on_test_end",),
    ]  # fmt: skip
    assert seen == test
    seen.clear()
    model.predict(X[:6], batch_size=4, callbacks=watch, backend=ANY)
    assert seen == [(one[0].replace("test", "predict"), *one[1:]) for one in test]
    seen.clear()
    model.fit(
        X[:4],
        Y[:4],
        validation_data=(X[:6], Y[:6]),
        validation_batch_size=4,
        callbacks=watch,
        verbose=0,
        backend=ANY,
    )
    assert seen == [
        ("on_train_begin",), ("on_epoch_begin", 0), ("on_train_batch_begin", 0), ("on_train_batch_end", 0), *test,
        ("on_epoch_end", 0), ("on_train_end",),
    ]  # fmt: skip


def test_what_evaluation_and_prediction_tell() -> None:
    model = model_of()
    told: dict[str, Any] = {}
    watch = uf.callbacks.LambdaCallback(
        on_test_batch_end=lambda batch, logs: told.setdefault("test", []).append(logs["loss"]),
        on_test_end=lambda logs: told.update(end=logs),
        on_predict_batch_end=lambda batch, logs: told.update(outputs=logs["outputs"]),
    )
    found = model.evaluate(X, Y, batch_size=10, callbacks=watch, return_dict=True, backend=ANY)
    assert told["end"] == found
    assert told["test"][-1] == found["loss"] != told["test"][0]
    outputs = model.predict(X[:3], callbacks=watch, backend=ANY)
    np.testing.assert_array_equal(told["outputs"], outputs)


def test_a_list_of_callbacks_by_itself() -> None:
    seen: list[Any] = []
    watch = uf.callbacks.LambdaCallback(
        on_epoch_end=lambda epoch, logs: seen.append((epoch, logs)),
        on_train_end=lambda logs: seen.append(logs),
    )
    model = model_of()
    several = uf.callbacks.CallbackList(
        [watch], add_history=True, add_progbar=True, model=model, epochs=2, steps=1
    )
    several.append(uf.callbacks.TerminateOnNaN())
    several.on_train_begin()
    several.on_epoch_begin(0)
    several.on_train_batch_begin(0)
    several.on_train_batch_end(0, {"loss": float("inf")})
    several.on_epoch_end(0, logs={"loss": 0.5})
    several.on_train_end()
    assert seen == [(0, {"loss": 0.5}), {}]
    assert several.callbacks[1].history == {"loss": [0.5]}
    assert watch.params == {"epochs": 2, "steps": 1}
    assert model.stop_training


def test_checkpoints_by_template(tmp_path: Path) -> None:
    model = model_of()
    history = fit(
        model,
        uf.callbacks.ModelCheckpoint(tmp_path / "a" / "{epoch:02d}-{val_loss:.3f}.uf"),
        uf.callbacks.ModelCheckpoint(
            tmp_path / "b" / "{epoch}-{batch}.safetensors", save_weights_only=True, save_freq=3
        ),
        epochs=3,
    ).history
    assert sorted(path.name for path in (tmp_path / "a").iterdir()) == [
        f"{epoch:02d}-{loss:.3f}.uf" for epoch, loss in enumerate(history["val_loss"], 1)
    ]
    assert sorted(path.name for path in (tmp_path / "b").iterdir()) == ["2-1.safetensors", "3-2.safetensors"]
    last = uf.load(tmp_path / "a" / f"03-{history['val_loss'][-1]:.3f}.uf")
    for one, other in zip(last.get_weights(), model.get_weights(), strict=True):
        np.testing.assert_array_equal(one, other)


class Scripted(uf.callbacks.Callback):
    """Puts chosen numbers into the logs."""

    def __init__(self, *values: float) -> None:
        self.values = values

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        logs["score"] = self.values[epoch]


@pytest.mark.parametrize(
    ("mode", "options", "kept"),
    [
        ("max", {"save_best_only": True}, [1, 3]),
        ("min", {"save_best_only": True}, [1, 2, 4]),
        ("max", {"save_best_only": True, "initial_value_threshold": 0.6}, [3]),
        ("max", {"save_top_k": 2}, [1, 3]),
        ("min", {"save_top_k": 1}, [4]),
        ("min", {"save_top_k": 9}, [1, 2, 3, 4]),
    ],
)
def test_the_best_are_kept(mode: Any, options: dict[str, Any], kept: list[int], tmp_path: Path) -> None:
    callback = uf.callbacks.ModelCheckpoint(tmp_path / "{epoch}.uf", "score", mode=mode, **options)
    fit(model_of(), Scripted(0.5, 0.3, 0.7, 0.1), callback)
    assert sorted(int(path.stem) for path in tmp_path.iterdir()) == kept
    assert callback.best == (max if mode == "max" else min)(0.5, 0.3, 0.7, 0.1)
    if "save_top_k" in options:
        assert [int(Path(path).stem) for _, path in callback.kept] == sorted(
            kept, key=lambda epoch: (-1 if mode == "max" else 1) * [0.5, 0.3, 0.7, 0.1][epoch - 1]
        )


@pytest.mark.parametrize(
    ("make", "match"),
    [
        (lambda: uf.callbacks.ModelCheckpoint("a.h5"), "'a.h5' promises a file of Keras"),
        (lambda: uf.callbacks.ModelCheckpoint("a.uf", save_weights_only=True), "promises a model"),
        (lambda: uf.callbacks.ModelCheckpoint("a.uf", save_freq="often"), "Unrecognized save_freq"),
        (lambda: uf.callbacks.ModelCheckpoint("a.uf", save_top_k=2), "save_top_k=2 files need different names"),
        (lambda: fit(model_of(), uf.callbacks.ModelCheckpoint("{lost}.uf")), "Failed to format .*'lost'"),
        (lambda: uf.callbacks.BackupAndRestore(""), "Empty `backup_dir` argument passed"),
        (lambda: uf.callbacks.BackupAndRestore("a", save_freq=0.5), "Invalid value for argument `save_freq`"),
        (lambda: fit(model_of(), uf.callbacks.BackupAndRestore("a"), resume="b"), "give one of them"),
        (lambda: uf.callbacks.TensorBoard(update_freq=0), "update_freq is 'epoch', 'batch' or a number"),
        (lambda: uf.callbacks.TensorBoard(profile_batch=(3, 1)), "profile_batch must be a non-negative integer"),
        (lambda: fit(model_of(), uf.callbacks.SwapEMAWeights()), "SwapEMAWeights must be used when `use_ema=True`"),
        (lambda: uf.callbacks.LambdaCallback(on_lunch=print), "there is no event 'on_lunch'"),
        (
            lambda: fit(model_of(), uf.callbacks.LearningRateScheduler(lambda epoch: 1)),
            "The output of the `schedule` function should be a float, not 1",
        ),
    ],
)  # fmt: skip
def test_what_is_refused(make: Any, match: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ArgumentError, match=match):
        make()


class Stop(uf.callbacks.Callback):
    """Ends training as an error does."""

    def __init__(self, after: int) -> None:
        self.after = after

    def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
        self.after -= 1
        if not self.after:
            raise InterruptedError


@pytest.mark.parametrize("damaged", [False, True])
def test_backup_and_restore(damaged: bool, tmp_path: Path) -> None:
    whole = model_of()
    fit(whole)
    folder = tmp_path / "backup"
    kept = {"save_freq": 1, "double_checkpoint": True}
    with pytest.raises(InterruptedError):
        fit(model_of(), uf.callbacks.BackupAndRestore(folder, **kept), Stop(5))
    (last,) = folder.glob("*.safetensors")
    if damaged:
        last.write_bytes(b"0")
    resumed = model_of()
    fit(resumed, uf.callbacks.BackupAndRestore(folder, **kept))
    for one, other in zip(resumed.get_weights(), whole.get_weights(), strict=True):
        np.testing.assert_array_equal(one, other)
    assert not folder.exists()
    fit(model_of(), uf.callbacks.BackupAndRestore(folder, delete_checkpoint=False))
    assert len(list(folder.iterdir())) == 1


def test_a_table_of_the_logs(tmp_path: Path) -> None:
    path = tmp_path / "log.tsv"
    history = fit(model_of(), uf.callbacks.CSVLogger(path, separator="\t"), validation_freq=2).history
    logger = uf.callbacks.CSVLogger(path, separator="\t", append=True)
    fit(model_of(), logger, epochs=1)
    fit(model_of(), logger, epochs=1)
    rows = list(csv.DictReader(path.read_text().splitlines(), delimiter="\t"))
    assert [row["epoch"] for row in rows] == ["0", "1", "2", "3", "0", "0"]
    assert [float(row["loss"]) for row in rows[:4]] == history["loss"]
    assert [row["val_loss"] for row in rows[:3]] == ["NA", str(history["val_loss"][0]), "NA"]
    uf.callbacks.CSVLogger(path)
    fit(model_of(), uf.callbacks.CSVLogger(path), epochs=1)
    assert len(path.read_text().splitlines()) == 2


def test_a_resumed_table_has_each_epoch_once(tmp_path: Path) -> None:
    options: dict[str, Any] = {"resume": tmp_path / "r", "save_every": 4}
    fit(model_of(), uf.callbacks.CSVLogger(tmp_path / "whole.csv"))
    for after in (3, 5):
        with pytest.raises(InterruptedError):
            fit(model_of(), uf.callbacks.CSVLogger(tmp_path / "log.csv"), Stop(after), **options)
    fit(model_of(), uf.callbacks.CSVLogger(tmp_path / "log.csv"), **options)
    assert (tmp_path / "log.csv").read_text() == (tmp_path / "whole.csv").read_text()


def test_a_remote_monitor(monkeypatch: pytest.MonkeyPatch) -> None:
    requests = pytest.importorskip("requests")
    sent: list[Any] = []
    monkeypatch.setattr(requests, "post", lambda url, **given: sent.append((url, given)))
    history = fit(
        model_of(), uf.callbacks.RemoteMonitor(root="http://there", send_as_json=True), epochs=1
    ).history
    body = {"epoch": 0, "loss": history["loss"][0], "val_loss": history["val_loss"][0]}
    assert sent == [("http://there/publish/epoch/end/", {"headers": None, "json": body})]
    uf.callbacks.RemoteMonitor(field="row").on_epoch_end(3, {"a": np.float32(0.5)})
    assert json.loads(sent[-1][1]["data"]["row"]) == {"epoch": 3, "a": 0.5}

    def fails(*_: Any, **__: Any) -> None:
        raise requests.exceptions.ConnectionError

    monkeypatch.setattr(requests, "post", fails)
    with pytest.warns(UserWarning, match="Could not reach RemoteMonitor root server at http://there"):
        uf.callbacks.RemoteMonitor(root="http://there").on_epoch_end(0, {})


@pytest.mark.parametrize("swap_on_epoch", [False, True])
def test_averages_stand_for_weights(swap_on_epoch: bool, tmp_path: Path) -> None:
    """Validation sees the averages, training goes on with the weights; the model ends with the averages."""
    plain = model_of(uf.optimizers.SGD(0.1, use_ema=True, ema_momentum=0.5))
    fit(plain)
    model = model_of(uf.optimizers.SGD(0.1, use_ema=True, ema_momentum=0.5))
    saved = uf.callbacks.ModelCheckpoint(tmp_path / "{epoch}.uf")
    history = fit(model, uf.callbacks.SwapEMAWeights(swap_on_epoch), saved).history
    for one, other in zip(model.get_weights(), plain.get_weights(), strict=True):
        np.testing.assert_array_equal(one, other)
    assert model.evaluate(X[10:], Y[10:], backend=ANY) == history["val_loss"][-1]
    last = uf.load(tmp_path / "4.uf")
    same = all(np.array_equal(a, b) for a, b in zip(last.get_weights(), model.get_weights(), strict=True))
    assert same is swap_on_epoch


def test_nan_ends_training_without_an_error() -> None:
    def broken(raise_error: bool) -> Any:
        target = Y.copy()
        target[4] = np.inf
        return model_of().fit(
            X, target, batch_size=2, epochs=3, shuffle=False, verbose=0, backend=ANY,
            callbacks=uf.callbacks.TerminateOnNaN(raise_error),
        )  # fmt: skip

    history = broken(False).history
    assert len(history["loss"]) == 1
    assert not np.isfinite(history["loss"][0])
    with pytest.raises(NonFiniteLoss, match="NaN or Inf loss encountered at batch 2"):
        broken(True)


def events(folder: Path) -> Iterator[Any]:
    from tensorboard.backend.event_processing.event_file_loader import RawEventFileLoader
    from tensorboard.compat.proto.event_pb2 import Event

    for path in folder.rglob("events.out.*"):
        for raw in RawEventFileLoader(str(path)).Load():
            yield path.parent.name, Event.FromString(raw)


def test_tensorboard(tmp_path: Path) -> None:
    pytest.importorskip("tensorboard")
    from tensorboard.util import tensor_util

    board = uf.callbacks.TensorBoard(
        tmp_path,
        histogram_freq=2,
        write_images=True,
        write_steps_per_second=True,
        update_freq=3,
        embeddings_freq=1,
    )
    model = model_of()
    history = fit(model, board).history
    found: dict[tuple[str, str], list[Any]] = {}
    graphs = []
    for part, event in events(tmp_path):
        if event.graph_def:
            graphs.append(event.graph_def)
        for value in event.summary.value:
            array = tensor_util.make_ndarray(value.tensor)
            found.setdefault((part, value.tag), []).append((event.step, array))
    assert [float(a) for _, a in found["train", "epoch_loss"]] == [np.float32(one) for one in history["loss"]]
    assert [float(a) for _, a in found["validation", "epoch_loss"]] == [
        np.float32(o) for o in history["val_loss"]
    ]
    assert [step for step, _ in found["validation", "evaluation_loss_vs_iterations"]] == [2, 4, 6, 8]
    assert [step for step, _ in found["train", "batch_loss"]] == [3, 6]
    assert {float(a) for _, a in found["train", "epoch_learning_rate"]} == {np.float32(0.01)}
    assert len(found["train", "epoch_steps_per_second"]) == 4
    counts = found["train", "first/kernel/histogram"][0][1][:, 2]
    assert counts.sum() == 12
    png = found["train", "first/kernel/image"][0][1]
    assert (png[0], png[1], png[2][:4]) == (b"4", b"3", b"\x89PNG")
    (graph,) = graphs
    assert b"first/" in graph
    assert b"last/" in graph


@pytest.mark.parametrize(
    "backend", [name for name in TRAINABLE if name != "jax"]
)  # JAX's dies with Python 3.11
def test_tensorboard_profiles(backend: str, tmp_path: Path) -> None:
    pytest.importorskip("tensorboard")
    board = uf.callbacks.TensorBoard(tmp_path, profile_batch=(2, 3), write_graph=False)
    fit(model_of(), board, backend=backend)
    found = [path for path in tmp_path.rglob("*") if path.name.endswith((".pt.trace.json", ".xplane.pb"))]
    assert len(found) == 1


def test_services_that_track(monkeypatch: pytest.MonkeyPatch) -> None:
    """By modules that stand in for the libraries, and record."""
    calls: list[Any] = []

    def note(name: str, result: Any = None) -> Any:
        return lambda *args, **options: (calls.append((name, args, options)), result)[1]

    mlflow = SimpleNamespace(
        active_run=lambda: None, start_run=note("start"), log_params=note("params"), log_metrics=note("metrics"),
        end_run=note("end"),
    )  # fmt: skip
    run = SimpleNamespace(finish=note("finish"))
    wandb = SimpleNamespace(
        run=None, init=note("init", run), log=note("log"), config=SimpleNamespace(update=note("config"))
    )
    monkeypatch.setitem(sys.modules, "mlflow", mlflow)
    monkeypatch.setitem(sys.modules, "wandb", wandb)
    history = fit(
        model_of(), uf.callbacks.MLflowLogger(), uf.callbacks.WandbLogger(project="p"), epochs=1
    ).history
    metrics = {name: values[0] for name, values in history.items()}
    names = [name for name, _, _ in calls]
    assert names == ["start", "params", "init", "config", "metrics", "log", "end", "finish"]
    assert calls[1][1][0] == {"model": "sequential", "parameters": 19, "optimizer": "SGD", "learning_rate": 0.01, "epochs": 1} | {"model": calls[1][1][0]["model"]}  # fmt: skip
    assert calls[2][2] == {"project": "p"}
    assert calls[4][1:] == ((metrics,), {"step": 0})
    assert calls[5][1] == ({"epoch": 0, **metrics},)
    monkeypatch.setitem(sys.modules, "wandb", None)
    with pytest.raises(BackendMissing, match="WandbLogger needs the library wandb: pip install wandb"):
        fit(model_of(), uf.callbacks.WandbLogger())


def test_throughput() -> None:
    history = fit(model_of(), uf.callbacks.Throughput(5)).history
    assert len(history["steps_per_second"]) == 4
    names = ("steps_per_second", "seconds", "examples_per_second")
    for steps, seconds, examples in zip(*(history[name] for name in names), strict=True):
        assert steps * seconds == pytest.approx(2)
        assert examples == 5 * steps


def test_callbacks_that_watch_epochs_do_not_wait_for_batches() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        watched = [
            uf.callbacks.ModelCheckpoint("a.uf"), uf.callbacks.TensorBoard(), uf.callbacks.EarlyStopping(),
            uf.callbacks.CSVLogger("a.csv"), uf.callbacks.BackupAndRestore("a"), uf.callbacks.SwapEMAWeights(),
            uf.callbacks.Throughput(), uf.callbacks.MLflowLogger(), uf.callbacks.History(),
        ]  # fmt: skip
    assert not any(one.wants(event) for one in watched for event in EVENTS if "batch" in event)
    assert uf.callbacks.ModelCheckpoint("a.uf", save_freq=2).wants("on_train_batch_end")
    assert uf.callbacks.TerminateOnNaN().wants("on_train_batch_end")
