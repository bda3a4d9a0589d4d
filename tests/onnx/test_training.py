"""Training steps as ONNX files: ONNX Runtime and ONNX's reference train with them as PyTorch's autograd does."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx.reference import ReferenceEvaluator

import unifront as uf
from tests.onnx.runtimes import session_of
from unifront import layers, ops
from unifront.errors import ArgumentError, ExportError

RNG = np.random.default_rng(0)
SPARSE = uf.losses.SparseCategoricalCrossentropy(from_logits=True)


def floats(*shape: int) -> np.ndarray:
    return RNG.normal(size=shape).astype("float32")


def perceptron() -> Any:
    x = uf.Input((6,), name="x")
    y = layers.LayerNormalization()(layers.Dense(8, activation="gelu")(x))
    model = uf.Model(x, layers.Dense(3)(y))
    model.compile("sgd", loss=SPARSE, metrics=["accuracy"])
    return model, floats(8, 6), RNG.integers(0, 3, 8).astype("int32")


def images() -> Any:
    """Convolutions in groups, with strides and without; statistics that are carried on."""
    x = uf.Input((8, 8, 3), name="x")
    y = layers.ReLU()(layers.BatchNormalization()(layers.Conv2D(4, 3, padding="same", use_bias=False)(x)))
    y = layers.DepthwiseConv2D(3, padding="same", strides=2)(layers.MaxPooling2D(3, 1)(y))
    y = layers.AveragePooling2D(2, 1)(layers.Conv2D(4, 2, groups=2, padding="same")(y))
    y = layers.Conv2DTranspose(3, 3, strides=2, padding="same")(y)
    model = uf.Model(x, layers.Dense(3)(layers.GlobalAveragePooling2D()(y)))
    model.compile(uf.optimizers.SGD(0.1, momentum=0.9), loss=SPARSE)
    return model, floats(4, 8, 8, 3), RNG.integers(0, 3, 4).astype("int32")


def words() -> Any:
    """Recurrent layers over sequences that end early."""
    x = uf.Input((None,), name="x", dtype="int32")
    y = layers.Embedding(9, 4, mask_zero=True)(x)
    y = layers.GRU(3)(layers.Bidirectional(layers.LSTM(3, return_sequences=True))(y))
    model = uf.Model(x, layers.Dense(1, activation="sigmoid")(y))
    model.compile(uf.optimizers.SGD(0.5), loss="binary_crossentropy")
    sentences = RNG.integers(1, 9, (4, 5)).astype("int32")
    sentences[1, 3:] = 0
    return model, sentences, RNG.integers(0, 2, (4, 1)).astype("float32")


def attention() -> Any:
    """Decay and clipping of all gradients together."""
    x = uf.Input((None, 8), name="x")
    y = layers.MultiHeadAttention(2, 4)(x, x, use_causal_mask=True)
    y = layers.Dense(8, activation="silu")(layers.RMSNormalization()(layers.Add()([x, y])))
    model = uf.Model(x, layers.Dense(2)(layers.GlobalAveragePooling1D()(y)))
    model.compile(uf.optimizers.SGD(0.1, weight_decay=0.01, global_clipnorm=0.5), loss="mse")
    return model, floats(4, 3, 8), floats(4, 2)


MODELS: dict[str, Callable[[], Any]] = {
    "perceptron": perceptron, "images": images, "words": words, "attention": attention,
}  # fmt: skip
STEPS = 3


def next_state(results: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    return {name[4:]: value for name, value in results.items() if name.startswith("new ")}


def stepped(path: Path) -> Callable[..., dict[str, np.ndarray]]:
    """The file as ONNX Runtime runs it, on inputs by their names."""
    session = session_of(str(path))
    names = [one.name for one in session.get_outputs()]
    return lambda given: dict(zip(names, session.run(None, given), strict=True))


@pytest.mark.parametrize("name", MODELS)
def test_runtimes_for_inference_train_as_pytorch_does(name: str, tmp_path: Path) -> None:
    uf.set_seed(0)
    model, x, y = MODELS[name]()
    model.export(tmp_path / "step.onnx", training=(x, y))
    step, state = stepped(tmp_path / "step.onnx"), {}
    target = next(one.name for one in onnx.load(tmp_path / "step.onnx").graph.input if "target" in one.name)
    for number in range(STEPS):
        part = slice(0, len(x) - number)  # batches of other sizes than the example
        found = step({"x": x[part], target: y[part], **state})
        state = next_state(found)
        wanted = model.train_on_batch(x[part], y[part], backend="torch", return_dict=True)
        for log, value in wanted.items():
            np.testing.assert_allclose(found[log], value, rtol=2e-5, atol=1e-6, err_msg=log)
    trained = [weight for weight in model.weights if weight.path in state]
    assert {weight.path for weight in model.weights} == {weight.path for weight in trained}
    for weight in trained:
        np.testing.assert_allclose(
            state[weight.path], weight.numpy(), rtol=1e-4, atol=2e-6, err_msg=weight.path
        )


@pytest.mark.slow
@pytest.mark.parametrize(
    "optimizer",
    sorted(
        {one.__name__.lower() for one in uf.optimizers.CLASSES} - {"lossscaleoptimizer", "multioptimizer"}
    ),
)
def test_every_optimizer_is_written(optimizer: str, tmp_path: Path) -> None:
    uf.set_seed(0)
    model, x, y = perceptron()
    model.compile(optimizer, loss=SPARSE)
    model.export(tmp_path / "step.onnx", training=(x, y))
    step, state = stepped(tmp_path / "step.onnx"), {}
    for _ in range(STEPS):
        found = step({"x": x, "target dense_1": y, **state})
        state = next_state(found)
        loss = model.train_on_batch(x, y, backend="torch", return_dict=True)["loss"]
        np.testing.assert_allclose(found["loss"], loss, rtol=2e-5)


def test_the_reference_of_onnx_runs_a_step(tmp_path: Path) -> None:
    uf.set_seed(0)
    model, x, y = perceptron()
    model.export(tmp_path / "step.onnx", training=(x, y), optimize=False, opset=17)
    found = stepped(tmp_path / "step.onnx")({"x": x, "target dense_1": y})
    proto = onnx.load(tmp_path / "step.onnx")
    onnx.checker.check_model(proto, full_check=True)
    judge = ReferenceEvaluator(proto).run(None, {"x": x, "target dense_1": y})
    for (name, one), wanted in zip(found.items(), judge, strict=True):
        np.testing.assert_allclose(one, wanted, rtol=1e-4, atol=1e-6, err_msg=name)


@pytest.mark.parametrize(
    "options", [{"functions": True}, {"external_data": True}, {"opset": 13}, {"opset": 23}], ids=str
)
def test_a_step_takes_the_options_of_a_model(options: dict[str, Any], tmp_path: Path) -> None:
    uf.set_seed(0)
    model, x, y = perceptron()
    model.export(tmp_path / "step.onnx", training=(x, y), **options)
    found = stepped(tmp_path / "step.onnx")({"x": x, "target dense_1": y})
    wanted = model.train_on_batch(x, y, backend="torch", return_dict=True)["loss"]
    np.testing.assert_allclose(found["loss"], wanted, rtol=1e-5)
    assert (tmp_path / "step.onnx.data").exists() == ("external_data" in options)
    assert bool(onnx.load(tmp_path / "step.onnx").functions) == ("functions" in options)


def test_the_state_is_said_in_the_metadata_and_counts(tmp_path: Path) -> None:
    model, x, y = perceptron()
    model.compile("adam", loss=SPARSE)
    model.export(tmp_path / "step.onnx", training=(x, y))
    proto = onnx.load(tmp_path / "step.onnx")
    said = dict(
        reversed(line.split(" → "))
        for line in proto.metadata_props[0].value.splitlines()  # type: ignore[misc]
    )
    assert said["adam iteration"] == "new adam iteration"
    assert said["dense/kernel/velocity"] == "new dense/kernel/velocity"
    assert {one.name for one in proto.graph.initializer} >= {*said, "adam learning rate"}
    found = stepped(tmp_path / "step.onnx")({"x": x, "target dense_1": y})
    assert found["new adam iteration"] == 1


def test_dropout_drops_the_same_in_both_directions(tmp_path: Path) -> None:
    x = uf.Input((50,), name="x")
    model = uf.Model(x, layers.Dense(1, use_bias=False)(layers.Dropout(0.5)(x)))
    model.compile(uf.optimizers.SGD(1.0), loss=lambda true, predicted: ops.mean(predicted))
    ones = np.ones((2, 50), "float32")
    model.export(tmp_path / "step.onnx", training=(ones, ones[:, :1]))
    step, before = stepped(tmp_path / "step.onnx"), model.weights[0].numpy()
    given = {"x": ones, "target dense": ones[:, :1]}
    found = step(given)
    slope = before - found["new dense/kernel"]
    np.testing.assert_allclose(found["loss"], np.sum(before * slope), rtol=1e-4)
    assert set(np.round(slope.ravel(), 4)) <= {0.0, 1.0, 2.0}
    assert not np.array_equal(step(given)["new dense/kernel"], found["new dense/kernel"])


def test_the_rate_of_a_schedule_is_given_at_each_run(tmp_path: Path) -> None:
    model, x, y = perceptron()
    model.compile(uf.optimizers.SGD(uf.optimizers.schedules.ExponentialDecay(0.5, 2, 0.9)), loss=SPARSE)
    model.export(tmp_path / "step.onnx", training=(x, y))
    step = stepped(tmp_path / "step.onnx")
    still = step({"x": x, "target dense_1": y, "sgd learning rate": np.zeros((), "float32")})
    np.testing.assert_array_equal(still["new dense/kernel"], model.get_layer("dense").kernel.numpy())


def factored() -> Any:
    x = uf.Input((2, 2), name="x")
    y = layers.Lambda(lambda one: ops.det(one))(layers.Dense(2)(x))
    model = uf.Model(x, y)
    model.compile("sgd", loss="mse")
    return model, floats(3, 2, 2), floats(3)


def free() -> Any:
    x = uf.Input((None, None, 1), name="x")
    model = uf.Model(x, layers.GlobalAveragePooling2D()(layers.Conv2D(2, 3)(x)))
    model.compile("sgd", loss="mse")
    return model, floats(2, 5, 5, 1), floats(2, 2)


def uncompiled() -> Any:
    model, x, y = perceptron()
    return uf.Model(model.inputs, model.outputs), x, y


REFUSED: dict[str, tuple[Callable[[], Any], dict[str, Any], type[Exception], str]] = {
    "no rule": (factored, {}, ExportError, r"lambda: .*det.* has no gradient that is written in ONNX: there is no rule"),
    "free sizes": (free, {}, ExportError, "conv2d: .*images whose sizes are free"),
    "not compiled": (uncompiled, {}, ArgumentError, "compile"),
    "an option": (perceptron, {"quantize": "static"}, ArgumentError, "with training=… there is no option 'quantize'"),
    "an opset": (perceptron, {"opset": 12}, ArgumentError, "opset is an int from 13 to 28"),
}  # fmt: skip


@pytest.mark.parametrize("case", REFUSED)
def test_what_cannot_be_written_is_refused(case: str, tmp_path: Path) -> None:
    make, options, error, text = REFUSED[case]
    model, x, y = make()
    with pytest.raises(error, match=text):
        model.export(tmp_path / "step.onnx", training=(x, y), **options)
    assert not (tmp_path / "step.onnx").exists()


def test_a_batch_is_a_tuple(tmp_path: Path) -> None:
    with pytest.raises(ArgumentError, match=r"training is a batch: \(x, y\)"):
        perceptron()[0].export(tmp_path / "step.onnx", training=True)
