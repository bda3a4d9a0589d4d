"""Whole models: what ONNX Runtime computes against NumPy, and which operators they are made of."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable
from typing import Any

import numpy as np
import onnx
import pytest

import unifront as uf
from tests.onnx.runtimes import check, kinds, reference, runtime
from unifront import layers, ops, tree
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


def _agrees(model: uf.Model, *sizes: int, **options: object) -> Any:
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
    (node,) = (node for node in exported.graph.node if node.op_type == kind)
    way = "reverse" if "backwards" in name else "bidirectional" if "bidirectional" in name else "forward"
    assert onnx.helper.get_node_attr_value(node, "direction") == way.encode()


def _pair(kind: str, free: str = "time", **options: Any) -> uf.Model:
    x = uf.Input((free, 5), name="x")
    layer = layers.Bidirectional(getattr(layers, kind)(4, **options), name="both")
    return _shaken(uf.Model(x, layer(x), name="pair"))


def _one_node_in_both_directions(exported: Any, kind: str, name: str = "both") -> None:
    (node,) = (node for node in exported.graph.node if node.op_type in ("LSTM", "GRU", "RNN"))
    assert (node.op_type, node.name) == (kind, f"{name}/{kind}")
    assert onnx.helper.get_node_attr_value(node, "direction") == b"bidirectional"


@pytest.mark.parametrize("kind", ["LSTM", "GRU", "SimpleRNN"])
@pytest.mark.parametrize(
    "options",
    [
        {},
        {"return_sequences": True},
        {"use_bias": False},
        {"return_sequences": True, "return_state": True},
        {"go_backwards": True, "return_sequences": True},
    ],
    ids=lambda options: ", ".join(options) or "last state",
)
def test_both_directions_are_one_node(kind: str, options: dict[str, bool]) -> None:
    model = _pair(kind, **options)
    exported, _ = convert(model.trace(False))
    check(exported)
    _one_node_in_both_directions(exported, kind.removeprefix("Simple"))
    for length, batch in ((1, 1), (1, 4), (5, 3), (12, 2)):
        inputs = _data(model, length, batch)
        wanted = tree.leaves(model.predict(inputs[0], backend="numpy"))
        for judge in (reference, runtime):
            for result, one in zip(judge(exported, inputs), wanted, strict=True):
                assert_close(result, one)


def test_joined_directions_have_no_operations_of_their_own() -> None:
    """Nothing is split, squeezed and concatenated where the layer's output is both directions joined."""
    assert kinds(_agrees(_pair("LSTM"), 1, 3)) == ["Transpose", "LSTM", "Transpose", "Flatten"]
    assert kinds(_agrees(_pair("GRU", return_sequences=True), 1, 3)) == [
        "Transpose", "GRU", "Transpose", "Reshape", "Transpose",
    ]  # fmt: skip


@pytest.mark.parametrize("mode", ["sum", "mul", "ave", None])
def test_directions_that_are_not_concatenated_are_split(mode: str | None) -> None:
    x = uf.Input(("time", 5), name="x")
    layer = layers.Bidirectional(layers.LSTM(4, return_sequences=True), merge_mode=mode, name="both")
    exported = _agrees(_shaken(uf.Model(x, layer(x), name="merged")), 1, 6)
    _one_node_in_both_directions(exported, "LSTM", "both" if mode else "both/forward_lstm")
    assert "Concat" not in kinds(exported)


@pytest.mark.parametrize("kind", ["lstm", "gru", "simple_rnn"])
@pytest.mark.parametrize("with_states", [False, True], ids=["from zeros", "from given states"])
def test_both_directions_with_lengths(kind: str, with_states: bool) -> None:
    """An operation of each direction, written by hand: some sequences are empty, some are whole."""
    run, gates = {"lstm": (ops.lstm, 4), "gru": (ops.gru, 3), "simple_rnn": (ops.simple_rnn, 1)}[kind]
    count = 1 + (kind == "lstm")

    class Both(uf.Layer):
        def build(self, x: Any, *others: Any) -> None:
            self.matrices = [
                (
                    self.add_weight((5, 4 * gates), "glorot_uniform", name=f"kernel_{way}"),
                    self.add_weight((4, 4 * gates), "orthogonal", name=f"recurrent_kernel_{way}"),
                )
                for way in ("ahead", "back")
            ]

        def call(self, x: Any, lengths: Any, *states: Any) -> Any:
            half = len(states) // 2
            results = []
            for i, matrices in enumerate(self.matrices):
                given = states[half * i : half * (i + 1)] or (None,) * count
                results.append(run(x, *matrices, None, *given, lengths, reverse=bool(i)))
            return [ops.concatenate(pair, -1) for pair in zip(*results, strict=True)]

    x, lengths = uf.Input(("time", 5), name="x"), uf.Input((), name="lengths", dtype="int32")
    states = [uf.Input((4,), name=f"state_{i}") for i in range(2 * count if with_states else 0)]
    model = uf.Model([x, lengths, *states], Both(name="own")(x, lengths, *states), name="lengths")
    exported, _ = convert(model.trace(False))
    check(exported)
    _one_node_in_both_directions(exported, {"simple_rnn": "RNN"}.get(kind, kind.upper()), "own")
    rng = np.random.default_rng(0)
    for length, ends in ((1, [0, 1]), (4, [4, 0, 2]), (7, [7, 7])):
        given = [rng.normal(size=(len(ends), 4)).astype("float32") for _ in states]
        sequence = rng.normal(size=(len(ends), length, 5)).astype("float32")
        inputs = [sequence, np.array(ends, np.int32), *given]
        wanted = model.predict(inputs, backend="numpy")
        for result, one in zip(runtime(exported, inputs), wanted, strict=True):
            assert_close(result, one)


def test_directions_that_stay_two_nodes() -> None:
    """Of two layers, of other sizes, on other inputs, or where the second begins as the first one ends."""
    x, other = uf.Input(("time", 5), name="x"), uf.Input(("time", 5), name="other")
    ahead = layers.LSTM(4, name="ahead", return_state=True)(x)
    back = layers.LSTM(4, name="back", go_backwards=True)(x)
    uneven = layers.Bidirectional(
        layers.GRU(3), backward_layer=layers.GRU(2, go_backwards=True), name="uneven"
    )(x)

    class Chained(uf.Layer):
        def __init__(self, **options: Any) -> None:
            super().__init__(**options)
            self.first = layers.SimpleRNN(4, return_state=True)
            self.second = layers.SimpleRNN(4, go_backwards=True)

        def call(self, x: Any, y: Any) -> Any:
            output, state = self.first(x)
            return ops.concatenate([output, self.second(y, initial_state=state)], -1)

    chained = Chained(name="chained")(x, x)
    apart = Chained(name="apart")(x, other)
    outputs = [ahead[0], back, uneven, chained, apart]
    exported = _agrees(_shaken(uf.Model([x, other], outputs, name="two")), 1, 4)
    found = [
        (node.name.partition("/")[0], onnx.helper.get_node_attr_value(node, "direction"))
        for node in exported.graph.node
        if node.op_type in ("LSTM", "GRU", "RNN")
    ]
    pairs = [(name, way) for name in ("uneven", "chained", "apart") for way in (b"forward", b"reverse")]
    assert sorted(found) == sorted([("ahead", b"forward"), ("back", b"reverse"), *pairs])


def test_stacked_recurrent_layers_stay_time_major() -> None:
    x = uf.Input((None, 5), name="x")
    y = layers.Bidirectional(layers.LSTM(4, return_sequences=True))(x)
    y = layers.LayerNormalization()(y)
    y = layers.GRU(3, return_sequences=True)(y)
    model = _shaken(uf.Model(x, layers.SimpleRNN(4)(y), name="stack"))
    # One at the input, and the one that brings the two directions side by side.
    assert Counter(kinds(_agrees(model, 1, 6)))["Transpose"] == 2


@pytest.mark.parametrize("layer", ["LSTM", "GRU", "SimpleRNN"])
@pytest.mark.parametrize("both", [False, True], ids=["forward", "bidirectional"])
def test_masked_words(layer: str, both: bool) -> None:
    words = uf.Input((None,), name="words", dtype="int32")
    y = layers.Embedding(9, 6, mask_zero=True)(words)
    wrap = layers.Bidirectional if both else lambda one: one
    y = wrap(getattr(layers, layer)(4, return_sequences=True))(y)
    y = wrap(getattr(layers, layer)(3))(y)
    exported = _agrees(_shaken(uf.Model(words, layers.Dense(2)(y), name="masked")), 1, 5, 12)
    found = Counter(kinds(exported))
    assert found[layer.removeprefix("Simple")] == 2  # one for each layer, whatever its directions


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
    _agrees(uf.Model(x, ops.strided_slice(y, [0, 0], [None, x.shape[1] // 2 + 1]), name="sizes"), 1, 6, 7)


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
