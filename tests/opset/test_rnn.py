"""Recurrent operations against Keras's layers and PyTorch's modules, with copied weights."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from unifront import backends, ops, testing
from unifront.backends import placement
from unifront.dtypes import dtype_of
from unifront.errors import ArgumentError, ShapeError
from unifront.ir.dims import symbol
from unifront.ir.types import TensorType
from unifront.opset.tensor import Builder, type_of

UNITS, FEATURES, BATCH, TIME = 4, 3, 5, 6
GATES = {"lstm": 4, "gru": 3, "simple_rnn": 1}
LAYERS = {"lstm": "LSTM", "gru": "GRU", "simple_rnn": "SimpleRNN"}
STATES = {"lstm": 2, "gru": 1, "simple_rnn": 1}
BOUND = {"float64": 2e-6}
"""Keras computes in float32."""


def _weights(name: str, rng: np.random.Generator, **attributes: Any) -> list[np.ndarray]:
    gates = GATES[name]
    rows = (2,) if name == "gru" and attributes.get("reset_after", True) else ()
    shapes = [(FEATURES, gates * UNITS), (UNITS, gates * UNITS), (*rows, gates * UNITS)]
    return [rng.normal(size=shape).astype("float32").astype("float64") for shape in shapes]


def _x(rng: np.random.Generator) -> np.ndarray:
    return rng.normal(size=(BATCH, TIME, FEATURES)).astype("float32").astype("float64")


def _keras(
    name: str, weights: list[np.ndarray], x: np.ndarray, mask: Any = None, initial: Any = None, **config: Any
) -> Any:
    keras = pytest.importorskip("keras")
    layer = getattr(keras.layers, LAYERS[name])(UNITS, return_sequences=True, return_state=True, **config)
    layer.build(x.shape)
    layer.set_weights(weights)
    states = None if initial is None else [keras.ops.convert_to_tensor(state, "float32") for state in initial]
    given = keras.ops.convert_to_tensor(x, "float32")
    outputs = layer(
        given, mask=None if mask is None else keras.ops.convert_to_tensor(mask), initial_state=states
    )
    return [keras.ops.convert_to_numpy(output) for output in outputs]


CASES = [
    ("lstm", {}), ("gru", {}), ("gru", {"reset_after": False}), ("simple_rnn", {}),
    ("simple_rnn", {"activation": "relu"}),
]  # fmt: skip


@pytest.mark.parametrize("reverse", [False, True])
@pytest.mark.parametrize(("name", "attributes"), CASES)
def test_agrees_with_keras(name: str, attributes: dict[str, Any], reverse: bool) -> None:
    rng = np.random.default_rng(1)
    x, weights = _x(rng), _weights(name, rng, **attributes)
    initial = [rng.normal(size=(BATCH, UNITS)) for _ in range(STATES[name])]
    sequence, *states = getattr(ops, name)(x, *weights, *initial, reverse=reverse, **attributes)
    expected = _keras(name, weights, x, initial=initial, go_backwards=reverse, **attributes)
    found = sequence[:, ::-1] if reverse else sequence  # Keras gives the steps in the order read
    for i, (a, e) in enumerate(zip([found, *states], expected, strict=True)):
        testing.assert_close(a, e, bounds=BOUND, what=f"{name} output {i}")


@pytest.mark.parametrize("reverse", [False, True])
@pytest.mark.parametrize("zero_output", [False, True])
@pytest.mark.parametrize(("name", "attributes"), CASES)
def test_a_mask_with_holes_means_what_it_means_in_keras(
    name: str, attributes: dict[str, Any], zero_output: bool, reverse: bool
) -> None:
    rng = np.random.default_rng(2)
    x, weights = _x(rng), _weights(name, rng, **attributes)
    mask = rng.random((BATCH, TIME)) < 0.6
    mask[0], mask[1], mask[2] = True, False, [True, True, True, False, False, False]

    def run(x: Any, lengths: Any) -> Any:
        return getattr(ops, name)(x, *weights, lengths=lengths, reverse=reverse, **attributes)

    sequence, *states = ops.with_mask(run, x, mask, reverse=reverse, zero_output=zero_output)
    config = {**attributes, "go_backwards": reverse, "zero_output_for_mask": zero_output, "use_cudnn": False}
    if name == "simple_rnn":
        config.pop("use_cudnn")
    expected = _keras(name, weights, x, mask, **config)
    found = sequence[:, ::-1] if reverse else sequence
    for i, (a, e) in enumerate(zip([found, *states], expected, strict=True)):
        testing.assert_close(a, e, bounds=BOUND, what=f"{name} output {i}")


@pytest.mark.parametrize("name", ["lstm", "gru"])
def test_agrees_with_torch_on_packed_sequences(name: str) -> None:
    torch = pytest.importorskip("torch")
    rng = np.random.default_rng(3)
    x, (kernel, recurrent, bias) = _x(rng), _weights(name, rng)
    lengths = np.array([6, 1, 3, 5, 2])
    module = getattr(torch.nn, name.upper())(FEATURES, UNITS, batch_first=True, dtype=torch.float64)
    order = [0, 1, 2, 3] if name == "lstm" else [1, 0, 2]

    def native(weight: np.ndarray) -> np.ndarray:
        blocks = np.split(weight, len(order), axis=-1)
        return np.concatenate([blocks[i] for i in order], axis=-1).T.copy()

    biases = np.stack([bias, np.zeros_like(bias)]) if bias.ndim == 1 else bias
    values = [native(kernel), native(recurrent), native(biases[0]), native(biases[1])]
    with torch.no_grad():
        for parameter, value in zip(module.parameters(), values, strict=True):
            parameter.copy_(torch.from_numpy(value))
        packed = torch.nn.utils.rnn.pack_padded_sequence(
            torch.from_numpy(x), torch.from_numpy(lengths), batch_first=True, enforce_sorted=False
        )
        out, last = module(packed)
        expected, _ = torch.nn.utils.rnn.pad_packed_sequence(out, batch_first=True)
    sequence, *states = getattr(ops, name)(x, kernel, recurrent, bias, lengths=lengths)
    testing.assert_close(sequence, expected.numpy())
    for a, e in zip(states, last if isinstance(last, tuple) else (last,), strict=True):
        testing.assert_close(a, e[0].numpy())


def test_wrong_operands_are_named() -> None:
    x = np.zeros((2, 3, 4))
    with pytest.raises(
        ShapeError, match=r"kernel has the shape \(4, 6\); with x \(2, 3, 4\) and 2 units it is \(4, 8\)"
    ):
        ops.lstm(x, np.zeros((4, 6)), np.zeros((2, 8)))
    with pytest.raises(ArgumentError, match="activation is one of tanh, relu, not 'gelu'"):
        ops.simple_rnn(x, np.zeros((4, 2)), np.zeros((2, 2)), activation="gelu")


@pytest.mark.parametrize("reverse", [False, True])
@pytest.mark.parametrize("backend_name", [name for name in backends.installed() if name != "numpy"])
def test_a_mask_in_a_graph_of_free_sizes(backend_name: str, reverse: bool) -> None:
    rng = np.random.default_rng(4)
    weights = _weights("gru", rng)
    builder = Builder("masked")
    batch, time = symbol("batch"), symbol("time")
    x = builder.input("x", TensorType(dtype_of("float64"), (batch, time, FEATURES)))
    mask = builder.input("mask", TensorType(dtype_of("bool"), (batch, time)))
    kernels = [builder.input(f"w{i}", type_of(weight)) for i, weight in enumerate(weights)]

    def run(x: Any, lengths: Any) -> Any:
        return ops.gru(x, *kernels, lengths=lengths, reverse=reverse)

    sequence, h = ops.with_mask(run, x, mask, reverse=reverse)
    graph = builder.graph([ops.sum(ops.add(ops.sum(ops.square(sequence)), ops.sum(h))), sequence, h])
    place = placement(backend_name)
    program = place.backend.value_and_grad(graph, ["x", "w1"])
    values = _x(rng), rng.random((BATCH, TIME)) < 0.6
    outputs = program([place.backend.array(value) for value in (*values, *weights)], [])
    _, sequence, h, d_x, d_w = (place.backend.numpy(output) for output in outputs)
    expected = placement("numpy").backend.compile(graph)([*values, *weights], [])
    testing.assert_close(sequence, expected[1])
    testing.assert_close(h, expected[2])
    assert np.all(d_x[~values[1]] == 0)
    assert np.all(np.isfinite(d_w))
    assert np.any(d_x != 0)


@pytest.mark.parametrize("dtype", ["bfloat16", "float16"])
@pytest.mark.parametrize("backend_name", [name for name in backends.installed() if name != "numpy"])
@pytest.mark.parametrize("name", ["lstm", "gru", "simple_rnn"])
def test_half_precision(name: str, backend_name: str, dtype: str) -> None:
    rng = np.random.default_rng(5)
    operands = [np.asarray(o, dtype_of(dtype).numpy) for o in (_x(rng), *_weights(name, rng))]
    lengths = np.array([6, 0, 3, 5, 2], np.int32)
    place = placement(backend_name)
    natives = [place.backend.array(o) for o in (*operands, lengths)]
    found = getattr(ops, name)(*natives[:-1], lengths=natives[-1])
    expected = getattr(ops, name)(*(o.astype("float64") for o in operands), lengths=lengths)
    for a, e in zip(found, expected, strict=True):
        # The state is rounded at each of the six steps.
        testing.assert_close(place.backend.numpy(a), e, dtype=dtype, bounds={dtype: 0.06}, what=name)


def _gradients(
    backend_name: str, name: str, attributes: dict[str, Any], operands: dict[str, Any], *others: np.ndarray
) -> list[list[Any]]:
    """Outputs of a recurrent operation, and the gradients of a sum of them; also with ``others`` for ``x``."""
    builder = Builder(name)
    given = {key: builder.input(key, type_of(value)) for key, value in operands.items()}
    outputs = getattr(ops, name)(**given, **attributes)
    total = ops.sum(ops.square(outputs[0]))
    for state in outputs[1:]:
        total = ops.add(total, ops.sum(ops.tanh(state)))
    place = placement(backend_name)
    wrt = [key for key in operands if key != "lengths"]
    program = place.backend.value_and_grad(builder.graph([total, *outputs]), wrt)
    found = []
    for x in (operands["x"], *others):
        natives = [place.backend.array(value) for value in {**operands, "x": x}.values()]
        found.append([place.backend.numpy(output) for output in program(natives, [])])
    return found


@pytest.mark.parametrize("dtype", ["float32", pytest.param("float16", marks=pytest.mark.slow)])
@pytest.mark.parametrize(("name", "attributes"), CASES)
@pytest.mark.parametrize("backend_name", [name for name in backends.installed() if name != "numpy"])
def test_padding_and_huge_weights_do_not_reach_the_state(
    backend_name: str, name: str, attributes: dict[str, Any], dtype: str
) -> None:
    rng = np.random.default_rng(6)
    huge = 200.0 if dtype == "float16" else 1e6
    kernel, recurrent, bias = _weights(name, rng, **attributes)
    if name != "simple_rnn":
        recurrent, bias = recurrent * huge, bias * huge
    operands = {"x": _x(rng), "kernel": kernel, "recurrent_kernel": recurrent, "bias": bias}
    operands = {key: value.astype(dtype) for key, value in operands.items()}
    operands["lengths"] = np.array([TIME, 0, 3, 1, 2], np.int32)
    outside = np.arange(TIME) >= operands["lengths"][:, None]
    xs = [np.where(outside[..., None], p, operands["x"]).astype(dtype) for p in (0.0, 1e4, np.nan)]
    found = _gradients(backend_name, name, attributes, operands, *xs)[1:]
    for clean, *others in zip(*found, strict=True):
        assert np.all(np.isfinite(clean))
        for other in others:
            np.testing.assert_array_equal(other, clean)
    *_, last = operands["lengths"]  # the same sequence alone, without padding
    alone = {**operands, "x": operands["x"][-1:, :last]}
    del alone["lengths"]
    (expected,) = _gradients(backend_name, name, attributes, alone)
    count = 1 + STATES[name]
    for a, e in zip(found[0][2 : 1 + count], expected[2 : 1 + count], strict=True):
        testing.assert_close(a[-1:], e, what=f"{name}: state")


@pytest.mark.parametrize("backend_name", [name for name in backends.installed() if name != "numpy"])
def test_a_state_that_grows_stays_finite_past_the_end(backend_name: str) -> None:
    rng = np.random.default_rng(7)
    x = np.abs(rng.normal(size=(2, 80, 1))).astype("float32")
    operands = {
        "x": x, "kernel": np.ones((1, 2), "float32"), "recurrent_kernel": np.full((2, 2), 9, "float32"),
        "lengths": np.array([2, 3], np.int32),
    }  # fmt: skip
    (found,) = _gradients(backend_name, "simple_rnn", {"activation": "relu"}, operands)
    (short,) = _gradients(backend_name, "simple_rnn", {"activation": "relu"}, {**operands, "x": x[:, :3]})
    for position in (0, 2, 4, 5):  # total, state, gradients of the kernels
        testing.assert_close(found[position], short[position], bounds=testing.GRADIENT)


@pytest.mark.parametrize("kind", ["LSTM", "GRU", "SimpleRNN"])
@pytest.mark.parametrize("backend_name", [name for name in backends.installed() if name != "numpy"])
def test_a_masked_layer_over_one_feature_trains(backend_name: str, kind: str) -> None:
    import unifront as uf
    from unifront import layers

    steps = uf.Input((None, 1))
    model = uf.Model(steps, getattr(layers, kind)(2)(layers.Masking()(steps)))
    model.compile("sgd", loss="mse")
    data = np.array([[[1.0], [2.0], [0.0]], [[3.0], [0.0], [0.0]]], np.float32)
    before = [weight.numpy().copy() for weight in model.weights]
    model.fit(data, np.ones((2, 2), np.float32), verbose=0, backend=backend_name)
    for weight, old in zip(model.weights, before, strict=True):
        assert np.all(np.isfinite(weight.numpy()))
        assert np.any(weight.numpy() != old)
