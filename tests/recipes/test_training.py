"""Training by recipes, end to end: what is in the folder, going on, evaluating, predicting."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner

import unifront as uf
from tests.models import TRAINABLE
from tests.recipes.made import images
from unifront.cli import app
from unifront.errors import ArgumentError, DataError, FileFormatError
from unifront.recipes import results, running
from unifront.recipes.bundled import airline, sonnets, titanic
from unifront.testing import assert_close

RUNNER = CliRunner()


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def output(*arguments: str) -> str:
    result = RUNNER.invoke(app, list(arguments), env={"COLUMNS": "100"}, catch_exceptions=False)
    assert result.exit_code == 0, result.output
    return result.output


def told(*arguments: str) -> Any:
    return json.loads(output(*arguments, "--json"))


QUICK = "torch" if "torch" in TRAINABLE else TRAINABLE[0]
"""Which is ready soonest."""


def backend(number: int) -> str:
    """Another one for each recipe."""
    return TRAINABLE[number % len(TRAINABLE)]


def test_digits(here: Path) -> None:
    found = told("train", "digits-cnn", "epochs=2", "layers.3.Conv2D.filters=8", "--backend", QUICK)
    assert found["files"] == ["history.csv", "history.json", "model.uf", "recipe.yaml"]
    assert (found["epochs"], found["backend"], found["folder"]) == (2, QUICK, "digits-cnn")
    assert found["last"]["val_accuracy"] > 0.3
    rows = list(csv.DictReader((here / "digits-cnn" / "history.csv").read_text().splitlines()))
    history = json.loads((here / "digits-cnn" / "history.json").read_text())
    assert [float(row["val_loss"]) for row in rows] == history["val_loss"]
    assert history["loss"][-1] == found["last"]["loss"]
    again = told("evaluate", "digits-cnn", "--backend", "numpy")
    assert again["loss"] == pytest.approx(found["last"]["val_loss"], rel=1e-4)
    assert again["accuracy"] == pytest.approx(found["last"]["val_accuracy"])
    model = uf.load("digits-cnn/model.uf")
    assert model.metadata["classes"] == [str(digit) for digit in range(10)]
    x = np.random.default_rng(0).integers(0, 255, (3, 8, 8, 1)).astype(np.uint8)
    for i, pixels in enumerate(x):
        Image.fromarray(pixels[:, :, 0]).save(here / f"{i}.png")
    output(
        "predict", "digits-cnn/model.uf", "0.png", "1.png", "2.png", "--backend", "numpy", "--out", "p.npz"
    )
    logits = model.predict(x.astype(np.float32), backend="numpy").astype(np.float64)
    shares = np.exp(logits) / np.exp(logits).sum(axis=-1, keepdims=True)
    with np.load("p.npz") as written:
        assert_close(written["outputs"], shares)
        assert list(written["examples"]) == ["0.png", "1.png", "2.png"]
    every = told("evaluate", "digits-cnn", "digits", "--backend", QUICK)  # those trained on too
    assert every["accuracy"] > 0.3
    assert len(told("predict", "digits-cnn", "digits", "--backend", QUICK)) == 1797
    model.export("digits.onnx")  # what is done to pixels is in it
    assert_close(
        uf.from_onnx("digits.onnx").predict(x.astype(np.float32), backend="numpy"), logits.astype(np.float32)
    )


@pytest.mark.parametrize(
    "place", [one if one == QUICK else pytest.param(one, marks=pytest.mark.slow) for one in TRAINABLE]
)
def test_a_folder_of_images_is_fine_tuned(place: str, here: Path) -> None:
    images(here / "pictures", {"dark": 8, "light": 8}, ((20, 30), (40, 16), (32, 32)))
    found = told(
        "train", "fine-tuning", "model=lenet5", "data.images=pictures", "data.image_size=16", "data.augment=[]", "epochs=4", "optimizer.learning_rate=0.01",
        "data.color=rgb", "data.batch_size=4", "--backend", place, "--out", "out",
    )  # fmt: skip
    assert found["epochs"] == 5  # one of them of the head alone
    assert found["last"]["val_accuracy"] == 1.0
    assert told("evaluate", "out", "pictures", "--backend", place)["accuracy"] == 1.0
    rows = told(
        "predict", "out", "pictures/dark", "pictures/light/3.png", "--backend", place, "--out", "p.csv"
    )
    assert [row["class"] for row in rows] == ["dark"] * 8 + ["light"]
    assert [row["class"] for row in csv.DictReader((here / "p.csv").read_text().splitlines())] == [
        row["class"] for row in rows
    ]
    assert all(0.5 < row["probability"] <= 1 for row in rows)
    assert "pictures/light/3.png" in output("predict", "out", "pictures/light", "--backend", place)
    with pytest.raises(
        DataError, match=r"The bundled digits are gray, .* for others: size=\[16, 16\] color=rgb"
    ):
        results.evaluate(results.opened("out"), ["digits"])


def test_a_table(here: Path) -> None:
    columns = titanic()
    rng = np.random.default_rng(0)
    with (here / "t.csv").open("w", newline="") as file:
        rows = csv.writer(file)
        rows.writerow(["sex (of two)", "amount", "gap", "y"])
        for sex, survived in zip(columns["sex"][::9], columns["survived"][::9], strict=True):
            amount = rng.normal() * 1e6 + 5e6 * (survived == "yes")
            rows.writerow([sex, amount, "" if rng.random() < 0.3 else rng.random(), survived])
    options = ["data.table=t.csv", "data.target=y", "data.missing=mean", "epochs=4", "data.batch_size=16"]
    found = told("train", "tabular", *options, "--backend", backend(2))
    assert found["last"]["val_accuracy"] > 0.9
    assert told("evaluate", "tabular", "t.csv", "--backend", "numpy")["accuracy"] > 0.9
    model = uf.load("tabular/model.uf")
    assert {name: str(type_) for name, type_ in model.input_types.items()} == {
        "sex__of_two_": "int32[batch, 1]", "amount": "float32[batch, 1]", "gap": "float32[batch, 1]",
    }  # fmt: skip
    (here / "new.csv").write_text("gap,amount,sex (of two)\n,6e6,male\n0.5,-6e6,other\n")
    rows = told("predict", "tabular", "new.csv", "--backend", "numpy")
    assert [row["class"] for row in rows] == ["yes", "no"]
    (here / "short.csv").write_text("gap,amount\n1,2\n")
    with pytest.raises(
        uf.errors.DataError, match=r"short\.csv has no column 'sex \(of two\)'; it has gap, amount"
    ):
        results.predict(results.opened("tabular"), ["short.csv"])


def test_a_bundled_table_is_evaluated_by_its_name(here: Path) -> None:
    found = told("train", "tabular", "epochs=1", "data.validation=0.0", "callbacks=[]", "--backend", QUICK)
    again = told("evaluate", "tabular", "titanic", "--backend", QUICK)
    assert again.keys() == found["last"].keys()
    assert again["accuracy"] > 0.6
    assert len(told("predict", "tabular", "titanic", "--backend", QUICK)) == 2201


def test_a_time_series(here: Path) -> None:
    found = told("train", "time-series", "epochs=20", "--backend", backend(0))
    assert found["last"]["val_mape"] < 30
    rows = told("predict", "time-series", "airline", "--backend", "numpy")
    assert list(rows[0]) == ["example", "passengers"]
    assert len(rows) == 12
    model = uf.load("time-series/model.uf")
    seen = airline()["passengers"][-24:].astype(np.float32)[None, :, None]
    given = [row["passengers"] for row in rows]
    assert_close(np.array(given, np.float32), model.predict(seen, backend="numpy")[0, :, 0])
    assert 200 < min(given) < max(given) < 1000  # in the unit of the series


def test_a_text(here: Path) -> None:
    (here / "t.txt").write_text(sonnets()[:2000], encoding="utf-8")
    options = ["data.text=t.txt", "layers.1.LSTM.units=16", "data.length=32", "data.stride=32", "epochs=1"]
    told("train", "char-lstm", *options, "--backend", backend(1))
    text = told("predict", "char-lstm", "thy self", "--length", "3", "--backend", "numpy")["text"]
    assert text.startswith("thy self")
    assert len(text) == 11
    same = ("predict", "char-lstm", "thy self", "--length", "3", "--backend", "numpy", "--seed", "0")
    assert told(*same)["text"] == text
    assert told("evaluate", "char-lstm", "t.txt", "--backend", "numpy")["accuracy"] > 0
    with pytest.raises(uf.errors.DataError, match="The beginning has the character '#'"):
        results.predict(results.opened("char-lstm"), ["#"])


RECIPE = """
layers:
  - Dense: {units: 8, activation: relu, kernel_regularizer: {L2: 0.001}}
  - Dropout: 0.5
  - Dense: $classes
data: {table: iris, target: species, batch_size: 16}
optimizer: {name: adam, learning_rate: 0.01}
callbacks: [{ModelCheckpoint: {filepath: best.uf, save_best_only: true}}]
epochs: 4
"""


@pytest.mark.parametrize("kept", [True, False], ids=["whole", "fine-tuned"])
def test_resuming_ends_where_an_uninterrupted_training_does(kept: bool, here: Path) -> None:
    text = RECIPE if kept else RECIPE + "fine_tune: {freeze_epochs: 2}\n"
    (here / "r.yaml").write_text(text, encoding="utf-8")
    place = QUICK
    whole = running.train("r.yaml", backend=place, out="whole", verbose=0)

    class Stop(uf.callbacks.Callback):
        seen = 0

        def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
            Stop.seen += 1
            if Stop.seen == 3:
                raise KeyboardInterrupt

    with pytest.MonkeyPatch.context() as patched:
        callbacks = running._callbacks
        patched.setattr(running, "_callbacks", lambda *given: [*callbacks(*given), Stop()])
        with pytest.raises(KeyboardInterrupt):
            running.train("r.yaml", backend=place, out="cut", verbose=0)
    assert not (here / "cut" / "model.uf").exists()
    with pytest.raises(FileFormatError, match="Its training is not over: unifront train cut --resume"):
        results.opened("cut")
    resumed = running.train("cut", backend=place, resume=True, verbose=0)
    assert resumed.history == whole.history
    assert (here / "cut" / "best.uf").is_file()
    for path, weight in (
        whole.model.variables_by_path.items() if hasattr(whole.model, "variables_by_path") else ()
    ):
        np.testing.assert_array_equal(weight.numpy(), resumed.model.variables_by_path[path].numpy())
    for one, other in zip(whole.model.get_weights(), resumed.model.get_weights(), strict=True):
        np.testing.assert_array_equal(one, other)


def test_what_stands_in_the_folder_already(here: Path) -> None:
    (here / "r.yaml").write_text(RECIPE, encoding="utf-8")
    place = QUICK
    with pytest.raises(ArgumentError, match=r"There is nothing to resume in out: no recipe\.yaml"):
        running.train("r.yaml", out="out", backend=place, resume=True)
    first = running.train("r.yaml", ["epochs=1"], out="out", backend=place, verbose=0)
    with pytest.raises(ArgumentError, match="out holds a training already. --resume goes on"):
        running.train("r.yaml", out="out", backend=place)
    longer = running.train("r.yaml", ["epochs=2"], out="out", backend=place, resume=True, verbose=0)
    assert longer.history["loss"][:1] == first.history["loss"]
    assert len(longer.history["loss"]) == 2
    with pytest.raises(
        ArgumentError, match=r"^r\.yaml:7: optimizer: it differs|^override .*: optimizer.*: it differs"
    ):
        running.train("r.yaml", ["optimizer.learning_rate=1"], out="out", backend=place, resume=True)
    anew = running.train("r.yaml", ["epochs=1"], out="out", backend=place, overwrite=True, verbose=0)
    assert anew.history["loss"] == first.history["loss"]
    (here / "file").touch()
    with pytest.raises(ArgumentError, match="file is a file; the results go into a folder"):
        running.train("r.yaml", out="file", backend=place)


def test_images_that_do_not_fit_into_memory_train_alike(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    images(here / "pictures", {"a": 6, "b": 6})
    text = """
layers: [Flatten, {Dense: $classes}]
data: {images: pictures, image_size: 8, batch_size: 3}
epochs: 2
"""
    (here / "r.yaml").write_text(text, encoding="utf-8")
    kept = running.train("r.yaml", out="kept", backend=QUICK, verbose=0)
    monkeypatch.setattr("unifront.recipes.images.IN_MEMORY", 0)
    streamed = running.train("r.yaml", out="streamed", backend=QUICK, verbose=0)
    assert {name: len(values) for name, values in streamed.history.items()} == dict.fromkeys(kept.history, 2)
    assert streamed.history["val_loss"][0] == pytest.approx(
        kept.history["val_loss"][0], rel=0.5
    )  # another order
    assert told("evaluate", "streamed", "--backend", QUICK)["loss"] == pytest.approx(
        streamed.history["val_loss"][-1], rel=1e-5
    )
    assert kept.model.count_params() == streamed.model.count_params()


def test_a_mixed_precision_recipe(here: Path) -> None:
    (here / "r.yaml").write_text(RECIPE + "mixed_precision: bfloat16\n", encoding="utf-8")
    before = uf.mixed_precision.global_policy().name
    trained = running.train("r.yaml", ["epochs=1"], out="out", backend=QUICK, verbose=0)
    assert uf.mixed_precision.global_policy().name == before
    assert {weight.dtype.name for weight in trained.model.weights} == {"float32"}
    assert " bfloat16[" in str(trained.model.trace(False).graph)


def test_layers_that_branch(here: Path) -> None:
    text = """
layers:
  - Dense: {units: 4, name: a}
  - Dense: {units: 4, name: b}
  - Add:
    inputs: [a, b]
  - class_name: Dense
    config: {units: 3}
data: {table: iris, target: species}
"""
    (here / "r.yaml").write_text(text, encoding="utf-8")
    model = running.model_of("r.yaml")
    assert [type(layer).__name__ for layer in model.layers][-4:] == ["Dense", "Dense", "Add", "Dense"]
    assert model.get_layer("add").input[0] is model.get_layer("a").output


# ---------------------------------------------------------------- models of other origin


def test_arrays(here: Path) -> None:
    x = uf.Input((3,), name="x")
    model = uf.Model(x, uf.layers.Dense(2)(x))
    model.compile("sgd", "mse")
    model.save("m.uf")
    rng = np.random.default_rng(0)
    given, wanted = rng.normal(size=(4, 3)).astype(np.float32), rng.normal(size=(4, 2)).astype(np.float32)
    np.savez("d.npz", x=given, y=wanted)
    np.save("x.npy", given)
    outputs = model.predict(given, backend="numpy")
    assert told("evaluate", "m.uf", "d.npz", "--backend", "numpy")["loss"] == pytest.approx(
        float(np.mean((outputs - wanted) ** 2)), rel=1e-5
    )
    rows = told("predict", "m.uf", "x.npy", "--backend", "numpy")
    assert_close(np.array([[row["output[0]"], row["output[1]"]] for row in rows], np.float32), outputs)
    for arguments, match in (
        (["m.uf"], "There are data to be named"),
        (["m.uf", "d.csv"], r"m\.uf does not say how its data are read"),
        (["m.uf", "nowhere.npz"], r"nowhere\.npz: there is no such file"),
    ):
        with pytest.raises(uf.errors.UnifrontError, match=match):
            results.predict(results.opened(arguments[0]), arguments[1:])
    (here / "bad.npz").write_bytes(b"PK no zip")
    np.save("objects.npy", np.array([{}], object), allow_pickle=True)
    for name in ("bad.npz", "objects.npy"):
        with pytest.raises(FileFormatError, match="cannot be read as arrays of NumPy"):
            results.predict(results.opened("m.uf"), [name])
    np.savez("none.npz")
    np.savez("alone.npz", y=wanted)
    np.save("number.npy", np.float32(3))
    np.save("empty.npy", given[:0])
    for name, match in (
        ("none.npz", r"none\.npz has no array of inputs"),
        ("alone.npz", r"alone\.npz has no array of inputs"),
        ("number.npy", r"The array 'x' of number\.npy is one number"),
        ("empty.npy", r"There are no examples in empty\.npy"),
    ):
        with pytest.raises(uf.errors.DataError, match=match):
            results.predict(results.opened("m.uf"), [name])
    with pytest.raises(uf.errors.DataError, match=r"has no array 'y', the targets"):
        results.evaluate(results.opened("m.uf"), ["x.npy"])
    with pytest.raises(ArgumentError, match=r"p\.txt is of no format that predictions are written in"):
        RUNNER.invoke(app, ["predict", "m.uf", "x.npy", "--out", "p.txt"], catch_exceptions=False)


def test_metadata_go_along(here: Path) -> None:
    x = uf.Input((3,), name="x")
    model = uf.Model(x, uf.layers.Dense(2)(x))
    assert model.metadata == {}
    model.metadata = {"classes": ["é", "b"], "deep": {"a": [1, 2.5, None, True]}}
    model.save("m.uf")
    assert uf.load("m.uf").metadata == model.metadata
    for odd in ({"a": object()}, {"a": float("nan")}, [1]):
        model.metadata = odd  # type: ignore[assignment]
        with pytest.raises(ArgumentError, match="The metadata of the model"):
            model.save("m.uf")


def test_a_folder_of_images_is_told_apart_from_scratch(here: Path) -> None:
    """Three colors, in a few epochs; the recipe is as it comes but for its sizes."""
    rng = np.random.default_rng(0)
    for name, color in (("red", (1, 0, 0)), ("green", (0, 1, 0)), ("blue", (0, 0, 1))):
        (here / "pictures" / name).mkdir(parents=True)
        for i in range(10):
            pixels = rng.integers(0, 120, (20, 24, 3)) + 120 * np.array(color)
            Image.fromarray(pixels.astype(np.uint8)).save(here / "pictures" / name / f"{i}.png")
    options = ("data.images=pictures", "data.image_size=16", "data.batch_size=4", "epochs=12")
    found = told("train", "image-folder", *options, "--backend", QUICK)
    assert found["last"]["val_accuracy"] == 1.0
    assert told("evaluate", "image-folder", "pictures", "--backend", QUICK)["accuracy"] > 0.9
