"""A model in a .uf file is the whole model: it runs, trains, nests and is saved again without its source."""

from __future__ import annotations

import subprocess
import sys
import textwrap
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import unifront as uf
from tests.models import MODELS, TRAINABLE, cross_entropy
from unifront import layers, ops
from unifront.backends import get_backend

FIRST, LAST = TRAINABLE[0], TRAINABLE[-1]
ANY = LAST


def assert_same_weights(a: uf.Model, b: uf.Model, bound: float = 0.0) -> None:
    found, expected = by_path(b), by_path(a)
    assert sorted(found) == sorted(expected)
    for path, weight in expected.items():
        assert found[path].dtype == weight.dtype
        np.testing.assert_allclose(found[path].numpy(), weight.numpy(), rtol=0, atol=bound, err_msg=path)


def by_path(model: uf.Model) -> dict[str, Any]:
    paths = model.variable_paths()
    return {paths[id(weight)]: weight for weight in model.weights}


@pytest.mark.parametrize("name", ["mlp", "cnn", pytest.param("rnn", marks=pytest.mark.slow), "masked"])
def test_training_goes_on_after_loading_on_another_backend(name: str, tmp_path: Path) -> None:
    uf.set_seed(1)
    model, (x, y) = MODELS[name]("float64")
    model.compile(uf.optimizers.Adam(0.01, clipnorm=1.0), cross_entropy(), metrics=["accuracy"])
    model.fit(x, y, batch_size=8, verbose=0, backend=FIRST)
    model.save(tmp_path / "model.uf")
    loaded = uf.load(tmp_path / "model.uf")
    assert loaded.optimizer.iterations == 5
    assert loaded.optimizer.config() == model.optimizer.config()
    assert loaded.input_types == model.input_types
    assert_same_weights(model, loaded)
    options = {"batch_size": 8, "epochs": 2, "verbose": 0, "shuffle": False}
    expected = model.fit(x, y, backend=FIRST, **options).history
    found = loaded.fit(x, y, backend=LAST, **options).history
    assert sorted(found) == sorted(expected)
    np.testing.assert_allclose(found["loss"], expected["loss"], rtol=1e-10)
    assert_same_weights(model, loaded, 1e-10)
    np.testing.assert_allclose(loaded.predict(x, backend=LAST), model.predict(x, backend="numpy"), atol=1e-10)


def everything(dtype: str = "float64") -> uf.Model:
    """Several inputs and outputs, a nested model, masks, dropout, regularizers, statistics, an added loss."""
    words, image = (
        uf.Input(("time",), name="words", dtype="int32"),
        uf.Input((4, 4, 2), name="image", dtype=dtype),
    )
    pixels = uf.Input((4, 4, 2), dtype=dtype)
    y = layers.Conv2D(3, 3, padding="same", kernel_regularizer="l2", dtype=dtype)(pixels)
    y = layers.BatchNormalization(dtype=dtype)(y)
    eye = uf.Model(pixels, layers.GlobalAveragePooling2D()(layers.ReLU()(y)), name="eye")
    seen = layers.Dropout(0.0)(eye(image))
    x = layers.Embedding(9, 4, mask_zero=True, dtype=dtype)(words)
    steps = layers.GRU(3, return_sequences=True, dtype=dtype)(x)
    last = layers.LSTM(3, dtype=dtype)(steps)
    joined = layers.Concatenate()([seen, last])
    label = layers.Dense(2, name="label", activity_regularizer="l1", dtype=dtype)(joined)
    tags = layers.TimeDistributed(layers.Dense(2, dtype=dtype), name="tags")(steps)
    return uf.Model({"words": words, "image": image}, {"label": label, "tags": tags}, name="everything")


def everything_data() -> tuple[dict[str, np.ndarray], dict[str, np.ndarray]]:
    rng = np.random.default_rng(0)
    words = rng.integers(1, 9, (12, 5)) * (np.arange(5) < rng.integers(1, 6, (12, 1)))
    x = {"words": words.astype("int32"), "image": rng.normal(size=(12, 4, 4, 2))}
    return x, {"label": rng.integers(0, 2, 12), "tags": rng.integers(0, 2, (12, 5))}


SLOW = [pytest.param(name, marks=pytest.mark.slow) for name in TRAINABLE if name != LAST]


@pytest.mark.parametrize("backend", [LAST, *SLOW])
def test_everything_at_once(backend: str, tmp_path: Path) -> None:
    uf.set_seed(3)
    model, (x, y) = everything(), everything_data()
    ce = uf.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(
        uf.optimizers.SGD(uf.schedules.CosineDecay(0.1, 50), momentum=0.9, nesterov=True),
        {"label": ce, "tags": ce},
        loss_weights={"label": 0.5, "tags": 2.0},
        metrics={"label": ["accuracy"], "tags": [uf.metrics.SparseCategoricalAccuracy(name="right")]},
    )
    options = {"batch_size": 5, "verbose": 0, "shuffle": False, "backend": backend}
    model.fit(x, y, **options)
    model.save(tmp_path / "all.uf")
    loaded = uf.load(tmp_path / "all.uf")
    before = model.evaluate(x, y, return_dict=True, backend="numpy")
    assert loaded.evaluate(x, y, return_dict=True, backend="numpy") == pytest.approx(before, rel=1e-12)
    expected, found = model.fit(x, y, **options).history, loaded.fit(x, y, **options).history
    assert sorted(found) == sorted(expected)
    for key, losses in expected.items():
        np.testing.assert_allclose(found[key], losses, rtol=1e-10, err_msg=key)
    assert_same_weights(model, loaded, 1e-10)
    outputs, others = loaded.predict(x, backend=backend), model.predict(x, backend="numpy")
    assert list(outputs) == ["label", "tags"]
    for name, output in outputs.items():
        np.testing.assert_allclose(output, others[name], rtol=0, atol=1e-10)


def test_saved_again_it_is_the_same_file(tmp_path: Path) -> None:
    model, (x, y) = everything(), everything_data()
    model.compile("adam", ["sparse_categorical_crossentropy", "sparse_categorical_crossentropy"])
    model.fit(x, y, verbose=0, backend=ANY)
    model.save(tmp_path / "once.uf")
    uf.load(tmp_path / "once.uf").save(tmp_path / "twice.uf")
    uf.load(tmp_path / "twice.uf").save(tmp_path / "thrice.uf")
    assert (tmp_path / "twice.uf").read_bytes() == (tmp_path / "thrice.uf").read_bytes()
    again = uf.load(tmp_path / "thrice.uf")
    assert_same_weights(model, again)
    assert again.evaluate(x, y, backend="numpy") == pytest.approx(
        model.evaluate(x, y, backend="numpy"), rel=1e-6
    )


def test_a_loaded_model_inside_a_new_one(tmp_path: Path) -> None:
    model, (x, y) = everything(), everything_data()
    model.save(tmp_path / "all.uf")
    base = uf.load(tmp_path / "all.uf")
    words, image = uf.Input((5,), dtype="int32", name="w"), uf.Input((4, 4, 2), dtype="float64", name="i")
    found = base({"words": words, "image": image})
    head = layers.Dense(3, name="head", dtype="float64")(found["label"])
    new = uf.Model([words, image], [head, found["tags"]], name="new")
    outputs = new.predict([x["words"], x["image"]], backend="numpy")
    np.testing.assert_allclose(outputs[1], model.predict(x, backend="numpy")["tags"], atol=1e-12)
    base.trainable = False
    new.compile("sgd", cross_entropy())
    start = {weight.path: weight.numpy() for weight in base.weights}
    new.fit([x["words"], x["image"]], [y["label"], y["tags"]], verbose=0, backend=ANY)
    moved = [weight.path for weight in base.weights if (weight.numpy() != start[weight.path]).any()]
    assert all("moving" in path for path in moved)
    base.trainable = True
    new.fit([x["words"], x["image"]], [y["label"], y["tags"]], verbose=0, backend=ANY)
    assert any((weight.numpy() != start[weight.path]).any() for weight in base.trainable_weights)
    new.save(tmp_path / "new.uf")
    again = uf.load(tmp_path / "new.uf").predict([x["words"], x["image"]], backend="numpy")
    for a, b in zip(again, new.predict([x["words"], x["image"]], backend="numpy"), strict=True):
        np.testing.assert_allclose(a, b, atol=1e-12)


@pytest.mark.parametrize(
    "backend",
    [pytest.param(name, marks=[pytest.mark.slow] * (name == "jax")) for name in (*TRAINABLE, "numpy")],
)
def test_a_loaded_model_called_on_native_arrays(backend: str, tmp_path: Path) -> None:
    from unifront.backends import get_backend

    model, (x, _) = everything(), everything_data()
    model.save(tmp_path / "all.uf")
    loaded, native = uf.load(tmp_path / "all.uf"), get_backend(backend)
    given = {name: native.array(array) for name, array in x.items()}
    expected = model.predict(x, backend="numpy")
    for name, output in loaded(given).items():
        np.testing.assert_allclose(native.numpy(output), expected[name], rtol=0, atol=1e-10)
    before = {weight.path: weight.numpy() for weight in loaded.weights}
    loaded(given, training=True)
    changed = [path for path, value in before.items() if (loaded_value(loaded, path) != value).any()]
    assert len(changed) == 2
    assert all("moving" in path for path in changed)


def loaded_value(model: uf.Model, path: str) -> np.ndarray:
    return next(weight.numpy() for weight in model.weights if weight.path == path)


class Scale(uf.Layer):
    """A layer that exists in this file only, with a running statistic and Python control flow."""

    def build(self, shape: Any) -> None:
        self.scale = self.add_weight((shape[-1],), "ones", name="scale")
        self.seen = self.add_weight((), "zeros", name="seen", trainable=False)

    def call(self, x: Any, training: bool = False) -> Any:
        if training:
            self.update(self.seen, ops.add(self.seen, 1.0))
        for power in range(1, 3):
            x = ops.multiply(x, ops.power(self.scale, float(power)))
        return ops.tanh(x)


@pytest.mark.parametrize("backend", ["numpy", *TRAINABLE])
def test_loops_of_free_length_run_on_native_arrays(backend: str, tmp_path: Path) -> None:
    class Total(uf.Layer):
        def call(self, x: Any) -> Any:
            steps = ops.transpose(x, (1, 0, 2))
            return ops.scan(lambda sum, step: (ops.add(sum, step), step), ops.zeros_like(x[:, 0]), steps)[0]

    x = uf.Input((None, 3))
    model = uf.Model(x, Total()(x))
    model.save(tmp_path / "model.uf")
    loaded, data = (
        uf.load(tmp_path / "model.uf"),
        np.random.default_rng(0).normal(size=(2, 5, 3)).astype("float32"),
    )
    native = get_backend(backend)
    found = native.numpy(loaded(native.array(data)))
    np.testing.assert_allclose(found, data.sum(1), atol=1e-5)


def test_custom_layers_need_no_source(tmp_path: Path) -> None:
    uf.set_seed(1)
    x = uf.Input((3,), name="x")
    model = uf.Model(x, layers.Dense(2)(Scale(name="scaled")(x)), name="custom")
    model.compile("adam", "mse")
    data, targets = (
        np.random.default_rng(0).normal(size=(20, 3)).astype("float32"),
        np.ones((20, 2), "float32"),
    )
    model.fit(data, targets, batch_size=10, verbose=0, backend=ANY)
    model.save(tmp_path / "custom.uf")
    np.savez(tmp_path / "data.npz", x=data, y=targets)
    code = f"""
        import numpy as np
        import unifront as uf
        data = np.load("data.npz")
        model = uf.load("custom.uf")
        print(model.evaluate(data["x"], data["y"], backend="numpy"))
        model.fit(data["x"], data["y"], batch_size=10, epochs=2, verbose=0, shuffle=False, backend={ANY!r})
        print(model.evaluate(data["x"], data["y"], backend="numpy"))
        print(model.optimizer.iterations, model.get_weights()[1 if model.weights[0].shape else 0])
        print(type(model.lower({ANY!r})).__module__.partition(".")[0])
        print([weight.path for weight in model.weights])
    """
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(code)],
        cwd=tmp_path, capture_output=True, text=True, check=False, timeout=200,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    first, second, steps, _, paths = done.stdout.splitlines()
    assert float(first) == pytest.approx(model.evaluate(data, targets, backend="numpy"), rel=1e-5)
    model.fit(data, targets, batch_size=10, epochs=2, verbose=0, shuffle=False, backend=ANY)
    assert float(second) == pytest.approx(model.evaluate(data, targets, backend="numpy"), rel=1e-4)
    assert steps.split()[0] == "6"
    assert "'scaled/scale'" in paths


@pytest.mark.parametrize("dtype", ["float16", "bfloat16", "float64"])
def test_dtypes_of_weights(dtype: str, tmp_path: Path) -> None:
    x = uf.Input((3,), name="x", dtype=dtype)
    model = uf.Model(x, layers.Dense(2, dtype=dtype)(x))
    model.save(tmp_path / "model.uf")
    loaded = uf.load(tmp_path / "model.uf")
    assert {weight.dtype.name for weight in loaded.weights} == {dtype}
    assert_same_weights(model, loaded)
    data = np.ones((2, 3), np.float32)
    np.testing.assert_array_equal(
        loaded.predict(data, backend="numpy").astype("float64"),
        model.predict(data, backend="numpy").astype("float64"),
    )


def test_what_is_the_users_own_is_left_out(tmp_path: Path) -> None:
    """A loss, metric, optimizer or schedule of the user's: the model loads, and has to be compiled again."""

    def error(true: Any, predicted: Any) -> Any:
        return ops.mean(ops.square(ops.subtract(true, predicted)), axis=-1)

    class Own(uf.optimizers.SGD):
        pass

    class MeanSquaredError(uf.losses.Loss):  # one of ours is called so
        def call(self, true: Any, predicted: Any) -> Any:
            return error(true, predicted)

    for options in (
        {"loss": error},
        {"loss": "mse", "metrics": [error]},
        {"loss": "mse", "optimizer": Own()},
        {"loss": "mse", "optimizer": uf.optimizers.SGD(lambda step: 0.1)},
        {"loss": MeanSquaredError()},
    ):
        model, (x, y) = MODELS["mlp"]("float32")
        model.compile(**{"optimizer": "adam", **options})
        model.save(tmp_path / "own.uf")
        loaded = uf.load(tmp_path / "own.uf")
        assert_same_weights(model, loaded)
        with pytest.raises(uf.errors.ArgumentError, match="The model 'mlp' is not compiled"):
            loaded.evaluate(x, y)
        loaded.compile("adam", "mse")
        assert loaded.evaluate(x, np.eye(3)[y], backend="numpy") > 0


@pytest.mark.parametrize(
    "optimizer",
    [
        uf.optimizers.SGD(np.float32(0.25)),
        uf.optimizers.AdamW(
            uf.schedules.PiecewiseConstantDecay(np.array([3, 5]), (0.1, 0.2, 0.3)), weight_decay=0.5
        ),
        uf.optimizers.RMSprop(
            uf.schedules.PolynomialDecay(0.1, 10, cycle=True), rho=0.5, global_clipnorm=2.0
        ),
    ],
    ids=lambda optimizer: optimizer.name,
)
def test_optimizers_and_metrics_come_back(optimizer: Any, tmp_path: Path) -> None:
    model, (x, y) = MODELS["mlp"]("float32")
    metrics = [uf.metrics.MeanSquaredError(name="distance"), uf.metrics.BinaryAccuracy(threshold=0.3)]
    loss = uf.losses.CategoricalCrossentropy(from_logits=True, label_smoothing=0.1, reduction="sum")
    model.compile(optimizer, loss, metrics=metrics)
    model.fit(x, np.eye(3)[y], verbose=0, backend=ANY)
    model.save(tmp_path / "model.uf")
    loaded = uf.load(tmp_path / "model.uf")
    assert type(loaded.optimizer) is type(optimizer)
    assert [loaded.optimizer.rate(i) for i in range(12)] == [optimizer.rate(i) for i in range(12)]
    expected = model.evaluate(x, np.eye(3)[y], return_dict=True, backend="numpy")
    assert loaded.evaluate(x, np.eye(3)[y], return_dict=True, backend="numpy") == expected
    assert sorted(expected) == ["binary_accuracy", "distance", "loss"]


@pytest.mark.parametrize("name", ["MeanSquaredError", "MeanAbsoluteError"])
def test_a_loss_and_a_metric_of_one_name(name: str, tmp_path: Path) -> None:
    model, (x, y) = MODELS["mlp"]("float32")
    loss, metric = getattr(uf.losses, name)(reduction="sum"), getattr(uf.metrics, name)(name="other")
    model.compile("sgd", loss, metrics=[metric])
    model.save(tmp_path / "model.uf")
    expected = model.evaluate(x, np.eye(3)[y], return_dict=True, backend="numpy")
    assert (
        uf.load(tmp_path / "model.uf").evaluate(x, np.eye(3)[y], return_dict=True, backend="numpy")
        == expected
    )
    assert sorted(expected) == ["loss", "other"]


def test_frozen_layers_stay_frozen_and_odd_names_come_through(tmp_path: Path) -> None:
    x = uf.Input((3,), name="new x = %0")
    hidden = layers.Dense(2, name='new "hidden" λ')
    model = uf.Model(x, layers.Dense(1, name="new head")(hidden(x)), name="new model")
    model.compile("adam", "mse")
    model.fit(np.ones((4, 3)), np.ones(4), verbose=0, backend=ANY)
    hidden.trainable = False
    model.save(tmp_path / "model.uf")
    loaded = uf.load(tmp_path / "model.uf")
    assert sorted(weight.path for weight in loaded.trainable_weights) == ["new head/bias", "new head/kernel"]
    start = loaded.get_weights()
    loaded.fit(np.ones((4, 3)), np.ones(4), verbose=0, backend=ANY)
    moved = [w.path for w, old in zip(loaded.weights, start, strict=True) if (w.numpy() != old).any()]
    assert sorted(moved) == ["new head/bias", "new head/kernel"]
    assert loaded.optimizer.iterations == 2


def test_bad_calls_of_a_loaded_model(tmp_path: Path) -> None:
    model, (x, _) = MODELS["mlp"]("float32")
    model.save(tmp_path / "model.uf")
    loaded = uf.load(tmp_path / "model.uf")
    for given in (x[:, :3], x[0], x.astype("int32")):
        with pytest.raises(
            uf.errors.ShapeError, match=r"input 'features' of 'mlp' is float32.batch, 5.; .* was given"
        ):
            loaded(given)
    with pytest.raises(uf.errors.ArgumentError, match="takes 1 inputs; 2 were given"):
        loaded([x, x])
    assert loaded(x.astype("float64")).dtype == np.float32


def test_weights_alone(tmp_path: Path) -> None:
    path = tmp_path / "weights.safetensors"
    first, second = MODELS["cnn"]("float32")[0], MODELS["cnn"]("float32")[0]
    for weight in first.weights:
        weight.assign(np.random.default_rng(0).normal(size=weight.shape))
    first.save_weights(path)
    second.load_weights(path)
    assert_same_weights(first, second)
    from safetensors.numpy import load_file

    assert sorted(load_file(path)) == sorted(weight.path for weight in first.weights)
    before = MODELS["mlp"]("float32")[0].get_weights()
    other = MODELS["mlp"]("float32")[0]
    with pytest.raises(
        uf.errors.FileFormatError,
        match=r"weights.safetensors does not fit the model 'mlp': it lacks .* and holds",
    ):
        other.load_weights(path)
    with pytest.raises(uf.errors.FileFormatError, match=r"missing: there is no such file"):
        other.load_weights(tmp_path / "missing")
    wide = MODELS["cnn"]("float64")[0]
    with pytest.raises(uf.errors.FileFormatError, match=r"is float32.* the model has float64"):
        wide.load_weights(path)
    assert [a.shape for a in before] == [b.shape for b in other.get_weights()]
