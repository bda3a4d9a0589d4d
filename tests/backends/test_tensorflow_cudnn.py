"""cuDNN's rows on TensorFlow, without a GPU: what they give to ``CudnnRNNV3`` is what Keras gives to it, and what they
make of its results is right if these are those of PyTorch's LSTM and GRU, whose weights have the names of cuDNN's."""

from __future__ import annotations

import importlib
from collections import namedtuple
from typing import Any

import numpy as np
import pytest

from unifront.opset import rnn as ops
from unifront.testing import GRADIENT, assert_close

tf = pytest.importorskip("tensorflow")
torch = pytest.importorskip("torch")

from unifront_tensorflow.lower import OVERLAYS, TABLE  # noqa: E402

GATES = {"lstm": 4, "gru": 3}
Made = namedtuple("Made", "output output_h output_c reserve_space host_reserved")


def network(mode: str, given: dict[str, Any]) -> tuple[Any, list[Any]]:
    """PyTorch's network over what ``CudnnRNNV3`` gets: results, and the leaves to differentiate to."""
    x, h0, c0, params = (
        torch.tensor(given[key].numpy(), requires_grad=True)
        for key in ("input", "input_h", "input_c", "params")
    )
    features, units, rows = x.shape[-1], h0.shape[-1], GATES[mode] * h0.shape[-1]
    sizes = [rows * features, rows * units, rows, rows]
    assert params.numel() == sum(sizes)
    parts = params.split(sizes)
    weights = [parts[0].view(rows, features), parts[1].view(rows, units), *parts[2:]]
    lengths = torch.tensor(given["sequence_lengths"].numpy())
    assert lengths.min() >= 1  # cuDNN takes no others
    assert lengths.max() <= x.shape[1]
    outputs, h, c = [], [], []
    for row, length in enumerate(lengths.tolist()):
        one = x[row : row + 1, :length]
        first = h0[row : row + 1].transpose(0, 1)
        if mode == "lstm":
            states = (first, c0[row : row + 1].transpose(0, 1))
            y, last, cell = torch._VF.lstm(one, states, weights, True, 1, 0.0, True, False, True)
            c.append(cell[0])
        else:
            y, last = torch._VF.gru(one, first, weights, True, 1, 0.0, True, False, True)
        outputs.append(torch.nn.functional.pad(y[0], (0, 0, 0, x.shape[1] - length)))
        h.append(last[0])
    found = [torch.stack(outputs), torch.stack(h), torch.stack(c) if c else c0 * 1]
    return found, [x, h0, c0, params]


@pytest.fixture
def calls(monkeypatch: pytest.MonkeyPatch) -> list[dict[str, Any]]:
    """``CudnnRNNV3`` and its gradient by PyTorch, neither with a gradient of its own; the calls of the first."""
    seen: list[dict[str, Any]] = []

    def forward(**given: Any) -> Made:
        given = {**given, "input_c": tf.convert_to_tensor(given["input_c"], given["input"].dtype)}
        seen.append(given)
        assert given["is_training"] is True
        assert given["time_major"] is False
        results = [tf.constant(result.detach().numpy()) for result in network(given["rnn_mode"], given)[0]]
        return Made(*results, tf.zeros(3), tf.zeros(2, tf.int8))

    def backward(**given: Any) -> tuple[Any, ...]:
        results, leaves = network(given["rnn_mode"], given)
        ups = [torch.tensor(given[f"output{part}_backprop"].numpy()) for part in ("", "_h", "_c")]
        for mine, kept in zip(results, ("output", "output_h", "output_c"), strict=True):
            np.testing.assert_array_equal(mine.detach(), given[kept].numpy())
        found = torch.autograd.grad(results, leaves, ups, allow_unused=True)
        return tuple(
            tf.constant((torch.zeros_like(leaf) if one is None else one).numpy())
            for one, leaf in zip(found, leaves, strict=True)
        )

    monkeypatch.setattr(tf.raw_ops, "CudnnRNNV3", forward)
    monkeypatch.setattr(tf.raw_ops, "CudnnRNNBackpropV3", backward)
    return seen


CASES = [
    (op, i, sample)
    for op in (ops.LSTM, ops.GRU)
    for i, sample in enumerate(op.samples(np.random.default_rng(0)))
]


@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize(("op", "number", "sample"), CASES, ids=lambda one: getattr(one, "name", one) if not hasattr(one, "operands") else "")  # fmt: skip
def test_results_and_gradients_are_those_of_the_reference_and_the_loops(
    op: Any, number: int, sample: Any, dtype: str, calls: list[Any]
) -> None:
    arrays = [
        None if one is None else one.astype(dtype) if one.dtype.kind == "f" else one
        for one in sample.operands
    ]
    tensors = [None if one is None else tf.constant(one) for one in arrays]
    watched = [one for one in tensors if one is not None and one.dtype.is_floating]
    rng = np.random.default_rng(1)

    def run(table: Any) -> tuple[Any, Any]:
        with tf.GradientTape() as tape:
            tape.watch(watched)
            results = table[op](*tensors, **sample.attributes)
        return results, lambda ups: tape.gradient(results, watched, ups)

    expected = op.reference(*arrays, **sample.attributes)
    results, gradients = run(OVERLAYS["cuda"])
    _, of_loops = run(TABLE)
    ups = [tf.constant(rng.normal(size=one.shape), dtype) for one in expected]
    for result, one in zip(results, expected, strict=True):
        assert_close(result.numpy(), one)
    for mine, other in zip(gradients(ups), of_loops(ups), strict=True):
        assert_close(mine.numpy(), other.numpy(), bounds=GRADIENT)
    assert len(calls) == sample.attributes.get("reset_after", True)  # cuDNN has no other GRU


@pytest.mark.parametrize("op", [ops.LSTM, ops.GRU], ids=lambda op: op.name)
def test_gradients_of_gradients_are_those_of_the_loops(op: Any, calls: list[Any]) -> None:
    sample = next(iter(op.samples(np.random.default_rng(0))))
    x, *rest = (
        None if one is None else tf.constant(np.nan_to_num(one) if one.dtype.kind == "f" else one)
        for one in sample.operands
    )

    def penalty(table: Any) -> list[Any]:
        kernel, recurrent = rest[:2]
        with tf.GradientTape() as outer:
            outer.watch([x, kernel, recurrent])
            with tf.GradientTape() as inner:
                inner.watch(x)
                total = sum(tf.reduce_sum(one**2) for one in table[op](x, *rest, **sample.attributes))
            loss = tf.reduce_sum(inner.gradient(total, x) ** 2)
        return outer.gradient(loss, [x, kernel, recurrent])

    for mine, other in zip(penalty(OVERLAYS["cuda"]), penalty(TABLE), strict=True):
        assert_close(mine.numpy(), other.numpy(), bounds=GRADIENT)
    assert calls


@pytest.mark.parametrize("lengths", [None, [4, 1, 2]], ids=["full", "lengths"])
@pytest.mark.parametrize("reverse", [False, True])
@pytest.mark.parametrize("op", [ops.LSTM, ops.GRU], ids=lambda op: op.name)
def test_the_kernel_gets_what_keras_gives_it(op: Any, reverse: bool, lengths: Any, calls: list[Any]) -> None:
    keras_rnn = importlib.import_module("keras.src.backend.tensorflow.rnn")  # a function hides it
    rng = np.random.default_rng(0)
    gates, states = GATES[op.name], 2 if op.name == "lstm" else 1
    mask = None if lengths is None else tf.sequence_mask(lengths, 4)
    x = rng.normal(size=(3, 4, 2)).astype("float32")
    if mask is not None:
        x = x * mask.numpy()[:, :, None]  # what Keras lets stand past the end, ours makes zeros
    kernel, recurrent = (tf.constant(rng.normal(size=(n, gates * 3)), "float32") for n in (2, 3))
    bias = tf.constant(rng.normal(size=(gates * 3,) if states == 2 else (2, gates * 3)), "float32")
    initial = [tf.constant(rng.normal(size=(3, 3)), "float32") for _ in range(states)]
    attributes = {"reverse": reverse} if states == 2 else {"reverse": reverse, "reset_after": True}
    ends = None if lengths is None else tf.constant(lengths)
    OVERLAYS["cuda"][op](tf.constant(x), kernel, recurrent, bias, *initial, ends, **attributes)
    theirs = getattr(keras_rnn, f"_cudnn_{op.name}")
    theirs(tf.constant(x), *initial, kernel, recurrent, bias, mask, False, reverse, True)
    mine, keras = calls
    assert mine.keys() == keras.keys()
    for name, value in mine.items():
        if name == "input_c" and states == 1:  # an empty place
            continue
        np.testing.assert_array_equal(value, keras[name], err_msg=name)


@pytest.mark.parametrize(
    ("dtype", "shape"), [("bfloat16", (2, 3, 2)), ("float32", (2, 0, 2)), ("float32", (0, 3, 2))]
)
def test_what_the_kernel_does_not_take_runs_in_loops(
    dtype: str, shape: tuple[int, ...], calls: list[Any]
) -> None:
    x = tf.zeros(shape, dtype)
    rows = OVERLAYS["cuda"][ops.LSTM]
    y, h, c = rows(x, tf.ones((2, 12), dtype), tf.ones((3, 12), dtype), None, None, None, None, reverse=False)
    assert (y.shape, h.shape, c.shape) == ((*shape[:2], 3), (shape[0], 3), (shape[0], 3))
    assert not calls


def nodes_of(function: Any) -> list[str]:
    graph = function.graph.as_graph_def()
    return [node.op for node in graph.node] + [
        node.op for one in graph.library.function for node in one.node_def
    ]


@pytest.mark.parametrize("op", [ops.LSTM, ops.GRU], ids=lambda op: op.name)
def test_a_graph_with_its_gradient_holds_cudnn_and_no_loop(op: Any) -> None:
    """Batch and time are free; every operation has a kernel for GPUs."""
    from tensorflow.python.framework import kernels  # there is no public way to what is registered

    gates, states = GATES[op.name], 2 if op.name == "lstm" else 1
    attributes = {"reverse": True} if states == 2 else {"reverse": True, "reset_after": True}

    def loss(x: Any, kernel: Any, recurrent: Any, lengths: Any) -> Any:
        with tf.GradientTape() as tape:
            tape.watch([x, kernel, recurrent])
            y, *_ = OVERLAYS["cuda"][op](x, kernel, recurrent, None, *[None] * states, lengths, **attributes)
        return y, tape.gradient(y, [x, kernel, recurrent])

    specs = [tf.TensorSpec(s) for s in ((None, None, 2), (2, gates * 3), (3, gates * 3))]
    function = tf.function(loss).get_concrete_function(*specs, tf.TensorSpec([None], tf.int32))
    found = nodes_of(function)
    assert (found.count("CudnnRNNV3"), found.count("CudnnRNNBackpropV3")) == (1, 1)
    assert not [name for name in found if "While" in name]
    assert function.structured_outputs[0].shape.as_list() == [None, None, 3]
    if any(kernel.device_type == "GPU" for kernel in kernels.get_registered_kernels_for_op("MatMul").kernel):
        for name in ("CudnnRNNV3", "CudnnRNNBackpropV3"):
            registered = kernels.get_registered_kernels_for_op(name).kernel
            types = {kind for k in registered for c in k.constraint for kind in c.allowed_values.list.type}
            assert {tf.dtypes.as_dtype(kind) for kind in types} >= {tf.float16, tf.float32, tf.float64}


def test_steps_for_xla_and_modules_take_no_rows_of_one_device(monkeypatch: pytest.MonkeyPatch) -> None:
    from unifront_tensorflow.runtime import BACKEND

    monkeypatch.setattr(type(BACKEND), "devices", lambda self: ("gpu:0", "cpu"))
    for op in (ops.LSTM, ops.GRU):
        # By name: other tests import the backend anew.
        assert BACKEND.rows("gpu:0").table[op].__name__ == OVERLAYS["cuda"][op].__name__
        assert BACKEND.portable_rows("gpu:0").table[op].__name__ == TABLE[op].__name__
