"""Whole models: what ONNX Runtime computes against NumPy, and which operators they are made of."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable

import numpy as np
import pytest

import unifront as uf
from tests.onnx.runtimes import check, kinds, runtime
from unifront import layers, ops
from unifront.onnx.export import convert
from unifront.testing import assert_close

BATCH = 2


def _shaken(model: uf.Model) -> uf.Model:
    """The model with weights and statistics that are not those of a new one."""
    model.trace(False)
    rng = np.random.default_rng(11)
    for variable in model.weights:
        if variable.name == "moving_variance":
            variable.assign(rng.uniform(0.5, 2, variable.shape))
        elif len(variable.shape) == 1:
            variable.assign(rng.uniform(0.5, 1.5, variable.shape) * rng.choice([-1, 1], variable.shape))
    return model


def _data(model: uf.Model, free: int = 0, batch: int = BATCH) -> list[np.ndarray]:
    """Inputs; ``free`` is the length of axes whose length is free, the batch apart."""
    rng = np.random.default_rng(free)
    found = []
    for type_ in model.input_types.values():
        shape = [batch, *(dim if isinstance(dim, int) else free for dim in type_.shape[1:])]
        floats = type_.dtype.is_float
        values = rng.normal(size=shape) if floats else rng.integers(0, 9, shape)
        found.append(values.astype(type_.dtype.numpy))
    return found


def _agrees(model: uf.Model, *sizes: int, **options: object) -> object:
    """Export; assert that ONNX Runtime gives what NumPy does for each size of the free axes."""
    exported, _ = convert(model.trace(False), **options)
    check(exported)
    for size in sizes or (0,):
        inputs = _data(model, size)
        expected = model.predict(inputs if len(inputs) > 1 else inputs[0], backend="numpy")
        wanted = expected if isinstance(expected, list | tuple) else [expected]
        for result, one in zip(runtime(exported, inputs), wanted, strict=True):
            assert_close(result, one)
    return exported


@pytest.mark.parametrize("name", ["mlp", "lenet5", "digits_cnn", "rosetta_cifar"])
@pytest.mark.parametrize("optimize", [True, False])
def test_zoo(name: str, optimize: bool) -> None:
    _agrees(_shaken(uf.zoo.create(name)), optimize=optimize)


@pytest.mark.parametrize("name", ["lstm_classifier", "rosetta_imdb"])
def test_recurrent_zoo(name: str) -> None:
    _agrees(_shaken(uf.zoo.create(name)), 1, 7)


@pytest.mark.parametrize("name", ["resnet18", "resnet50"])
def test_resnets_have_one_transpose_at_the_input(name: str) -> None:
    model = _shaken(uf.zoo.create(name, input_shape=(64, 64, 3)))
    found = kinds(_agrees(model))
    assert found[0] == "Transpose"
    assert Counter(found)["Transpose"] == 1
    # Padding and batch normalization are in the convolutions and the pooling.
    assert set(found[1:]) == {
        "Conv",
        "Relu",
        "MaxPool",
        "Add",
        "GlobalAveragePool",
        "Flatten",
        "Gemm",
        "Softmax",
    }


def test_resnet50_is_written_in_five_seconds(tmp_path) -> None:
    model = uf.zoo.create("resnet50")
    model.trace(False)
    begin = time.process_time()
    model.export(tmp_path / "resnet50.onnx")
    assert time.process_time() - begin < 5


def test_without_optimization_batch_normalization_stays() -> None:
    model = _shaken(uf.zoo.create("digits_cnn"))
    assert "BatchNormalization" in kinds(_agrees(model, optimize=False))


def _sequence(layer: Callable[[], object], free: str = "time") -> uf.Model:
    x = uf.Input((free, 5), name="x")
    return _shaken(uf.Model(x, layers.Dense(3)(layer()(x)), name="recurrent"))


RECURRENT = {
    "LSTM": lambda: layers.LSTM(4),
    "GRU": lambda: layers.GRU(4),
    "GRU, reset before": lambda: layers.GRU(4, reset_after=False),
    "RNN": lambda: layers.SimpleRNN(4),
    "LSTM, bidirectional": lambda: layers.Bidirectional(layers.LSTM(4, return_sequences=True)),
    "GRU, bidirectional": lambda: layers.Bidirectional(layers.GRU(4)),
    "LSTM, backwards": lambda: layers.LSTM(4, go_backwards=True, return_sequences=True),
}


@pytest.mark.parametrize("name", RECURRENT)
def test_recurrent_layers_are_nodes_at_every_length(name: str) -> None:
    exported = _agrees(_sequence(RECURRENT[name]), 1, 4, 13)
    kind = name.partition(",")[0]
    assert Counter(kinds(exported))[kind] == (2 if "bidirectional" in name else 1)


def test_stacked_recurrent_layers_have_one_transpose() -> None:
    x = uf.Input((None, 5), name="x")
    y = layers.Bidirectional(layers.LSTM(4, return_sequences=True))(x)
    y = layers.LayerNormalization()(y)
    y = layers.GRU(3, return_sequences=True)(y)
    model = _shaken(uf.Model(x, layers.SimpleRNN(4)(y), name="stack"))
    assert Counter(kinds(_agrees(model, 1, 6)))["Transpose"] == 1


@pytest.mark.parametrize("layer", ["LSTM", "GRU", "SimpleRNN"])
@pytest.mark.parametrize("both", [False, True], ids=["forward", "bidirectional"])
def test_masked_words(layer: str, both: bool) -> None:
    words = uf.Input((None,), name="words", dtype="int32")
    y = layers.Embedding(9, 6, mask_zero=True)(words)
    wrap = layers.Bidirectional if both else lambda one: one
    y = wrap(getattr(layers, layer)(4, return_sequences=True))(y)
    y = wrap(getattr(layers, layer)(3))(y)
    _agrees(_shaken(uf.Model(words, layers.Dense(2)(y), name="masked")), 1, 5, 12)


def test_several_inputs_and_outputs_keep_their_names() -> None:
    a, b = uf.Input((4,), name="left"), uf.Input((6,), name="right")
    both = layers.Concatenate()([a, b])
    first = layers.Dense(3, activation="gelu", name="first")(both)
    model = uf.Model(
        [a, b], [first, layers.Dense(2, activation="softmax", name="second")(first)], name="pair"
    )
    exported = _agrees(_shaken(model))
    assert [value.name for value in exported.graph.input] == ["left", "right"]
    assert [value.name for value in exported.graph.output] == list(model.trace(False).graph.output_names)


def test_layers_over_time() -> None:
    video = uf.Input((None, 8, 8, 3), name="video")
    y = layers.TimeDistributed(layers.Conv2D(4, 3, activation="relu"))(video)
    y = layers.TimeDistributed(layers.GlobalAveragePooling2D())(y)
    _agrees(_shaken(uf.Model(video, layers.LSTM(5)(y), name="video")), 1, 3)


def test_free_height_and_width() -> None:
    image = uf.Input(("height", "width", 3), name="image")
    y = layers.Conv2D(4, 3, padding="same", strides=2)(image)
    y = layers.BatchNormalization()(y)
    y = layers.MaxPooling2D(2, padding="same")(y)
    y = layers.DepthwiseConv2D(3, padding="same", activation="relu")(y)
    model = _shaken(uf.Model(image, [layers.GlobalAveragePooling2D()(y), y], name="free"))
    exported = _agrees(model, 8, 13)
    dims = [dim.dim_param or dim.dim_value for dim in exported.graph.input[0].type.tensor_type.shape.dim]
    assert dims == ["batch", "height", "width", 3]


def test_flatten_reads_in_the_order_of_channels_last() -> None:
    image = uf.Input((5, 6, 3), name="image")
    y = layers.Conv2D(4, 2, activation="relu")(image)
    y = layers.Permute((2, 1, 3))(y)
    exported = _agrees(_shaken(uf.Model(image, layers.Dense(7)(layers.Flatten()(y)), name="flat")))
    assert kinds(exported) == [
        "Transpose",
        "Conv",
        "Relu",
        "Flatten",
        "Gemm",
    ]  # the kernel's rows are reordered


def test_flatten_that_others_read_is_transposed() -> None:
    image = uf.Input((5, 6, 3), name="image")
    flat = layers.Flatten()(layers.Conv2D(4, 2)(image))
    exported = _agrees(_shaken(uf.Model(image, [layers.Dense(7)(flat), flat], name="flat")))
    assert Counter(kinds(exported))["Transpose"] == 2


def test_sizes_are_computed_where_one_number_does_not_say_them() -> None:
    x = uf.Input(("time", 4), name="x")
    y = ops.reshape(x, (x.shape[0] * x.shape[1], 2, 2))
    y = ops.reshape(ops.swapaxes(y, 1, 2), (x.shape[0], x.shape[1], 4))
    positions = ops.arange(x.shape[1], dtype="float32", like=x)
    y = ops.add(y, ops.expand_dims(positions, -1))
    _agrees(uf.Model(x, ops.slice(y, [0, 0], [None, x.shape[1] // 2 + 1]), name="sizes"), 1, 6, 7)


def test_loops_and_branches() -> None:
    x = uf.Input(("time", 4), name="x")

    def step(carry, one):
        carry = ops.tanh(carry + one)
        return carry, carry * 2

    last, all_ = ops.scan(step, ops.mean(x, 1) * 0, ops.swapaxes(x, 0, 1))
    chosen = ops.cond(ops.greater(ops.sum(x), 0), lambda y: y * 2, lambda y: y - 1, last)
    (grown,) = ops.while_loop(lambda y: ops.less(ops.sum(ops.abs(y)), 50), lambda y: (y * 2,), [last + 1])
    model = uf.Model(x, [chosen, grown, ops.swapaxes(all_, 0, 1)], name="loops")
    assert {"Scan", "If", "Loop"} <= set(kinds(_agrees(model, 1, 2, 5)))


@pytest.mark.parametrize("dtype", ["float64", "float16"])
def test_float32_written_as_another_dtype(dtype: str) -> None:
    model = _shaken(uf.zoo.create("mlp"))
    exported, weights = convert(model.trace(False), dtype=dtype)
    check(exported)
    (x,) = _data(model)
    (result,) = runtime(exported, [x.astype(dtype)])
    # The judge is the float32 model: a float64 result is off by its rounding.
    assert_close(
        result, model.predict(x, backend="numpy"), dtype=dtype, bounds={"float64": 1e-5, "float16": 2e-2}
    )
    assert {proto.data_type for proto in weights} == {{"float64": 11, "float16": 10}[dtype]}


@pytest.mark.parametrize("dtype", ["float64", "bfloat16"])
def test_models_of_another_dtype(dtype: str) -> None:
    x = uf.Input((5,), name="x", dtype=dtype)
    y = layers.LayerNormalization(dtype=dtype)(layers.Dense(8, activation="gelu", dtype=dtype)(x))
    model = uf.Model(x, layers.Dense(3, dtype=dtype)(y), name="wide")
    check(convert(model.trace(False))[0])
