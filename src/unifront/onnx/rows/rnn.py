"""Recurrent layers as ``LSTM``, ``GRU`` and ``RNN`` nodes, over sequences with the time first."""

from __future__ import annotations

from typing import Any

import numpy as np

from unifront.dtypes import int32
from unifront.onnx.recurrent import TIME_MAJOR
from unifront.onnx.writer import Ref, Row, Writer
from unifront.ops.rnn import GRU, LSTM, SIMPLE_RNN
from unifront.ops.spec import OpSpec

LSTM_GATES = (0, 3, 1, 2)
"""Input, output, forget, cell: Keras's gates in ONNX's order."""
GRU_GATES = (0, 1, 2)
"""Update, reset, hidden, as in Keras."""


def _gates(w: Writer, weight: Ref, order: tuple[int, ...]) -> Ref:
    """``[…, gates * units]`` with the gates in another order."""
    last = weight.type.shape[-1]
    assert isinstance(last, int)
    if order == tuple(range(len(order))):
        return weight
    units = np.arange(last).reshape(len(order), -1)[list(order)].reshape(-1)
    return w.take(weight, units, weight.type.rank - 1)


def _weight(w: Writer, kernel: Ref, order: tuple[int, ...]) -> Ref:
    """``[inputs, gates * units]`` as ``[1, gates * units, inputs]``."""
    return w.expand_dims(w.transpose(_gates(w, kernel, order), (1, 0)), (0,))


def _node(
    w: Writer, kind: str, order: tuple[int, ...], x: Ref, kernel: Ref, recurrent_kernel: Ref,
    bias: Ref | None, states: tuple[Ref | None, ...], lengths: Ref | None, reverse: bool, **attributes: Any,
) -> Any:  # fmt: skip
    """The node and its results, without the axis of directions."""
    lengths = w.cast(lengths, int32) if lengths is not None and lengths.type.dtype != int32 else lengths
    if bias is not None:
        bias = w.expand_dims(bias, (0,))
    initial = [None if state is None else w.expand_dims(state, (0,)) for state in states]
    results = w.op(
        kind, x, _weight(w, kernel, order), _weight(w, recurrent_kernel, order), bias, lengths, *initial,
        hidden_size=recurrent_kernel.type.shape[0], direction="reverse" if reverse else "forward",
        outputs=1 + len(states), **attributes,
    )  # fmt: skip
    sequence, *last = results
    final = [w.op("Squeeze", state, np.array([0])) for state in last]
    if lengths is not None:  # a sequence of no steps keeps its state; ONNX Runtime gives zeros
        none = w.op("Equal", w.expand_dims(lengths, (1,)), np.array(0, np.int32))
        pairs = zip(states, final, strict=True)
        final = [new if old is None else w.op("Where", none, old, new) for old, new in pairs]
    return (w.op("Squeeze", sequence, np.array([1])), *final)


def _two_biases(w: Writer, bias: Ref | None, order: tuple[int, ...]) -> Ref | None:
    """The input's bias with zeros for the state's."""
    if bias is None:
        return None
    zeros = w.known(np.zeros(bias.type.shape, bias.type.dtype.numpy))  # type: ignore[arg-type]  # static
    return w.concat([_gates(w, bias, order), zeros], 0)


def _lstm(
    w: Writer, x: Ref, kernel: Ref, recurrent_kernel: Ref, bias: Ref | None, h0: Ref | None, c0: Ref | None,
    lengths: Ref | None, reverse: bool,
) -> Any:  # fmt: skip
    both = _two_biases(w, bias, LSTM_GATES)
    return _node(w, "LSTM", LSTM_GATES, x, kernel, recurrent_kernel, both, (h0, c0), lengths, reverse)


def _gru(
    w: Writer, x: Ref, kernel: Ref, recurrent_kernel: Ref, bias: Ref | None, h0: Ref | None,
    lengths: Ref | None, reverse: bool, reset_after: bool,
) -> Any:  # fmt: skip
    if bias is not None and reset_after:
        both: Ref | None = w.reshape(bias, (2 * bias.type.shape[1],))
    else:
        both = _two_biases(w, bias, GRU_GATES)
    return _node(
        w, "GRU", GRU_GATES, x, kernel, recurrent_kernel, both, (h0,), lengths, reverse,
        linear_before_reset=int(reset_after),
    )  # fmt: skip


def _simple_rnn(
    w: Writer, x: Ref, kernel: Ref, recurrent_kernel: Ref, bias: Ref | None, h0: Ref | None,
    lengths: Ref | None, reverse: bool, activation: str,
) -> Any:  # fmt: skip
    return _node(
        w, "RNN", (0,), x, kernel, recurrent_kernel, _two_biases(w, bias, (0,)), (h0,), lengths,
        reverse, activations=[activation.capitalize()],
    )  # fmt: skip


TABLE: dict[OpSpec, Row] = {
    TIME_MAJOR[LSTM]: _lstm,
    TIME_MAJOR[GRU]: _gru,
    TIME_MAJOR[SIMPLE_RNN]: _simple_rnn,
}
