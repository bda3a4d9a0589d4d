"""Recurrent layers as ``LSTM``, ``GRU`` and ``RNN`` nodes, over sequences with the time first."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from unifront.dtypes import int32
from unifront.onnx.recurrent import BIDIRECTIONAL, TIME_MAJOR
from unifront.onnx.writer import Ref, Row, Writer
from unifront.opset.rnn import GRU, LSTM, SIMPLE_RNN
from unifront.opset.spec import OpSpec

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
    """``[inputs, gates * units]`` as ``[gates * units, inputs]``."""
    return w.transpose(_gates(w, kernel, order), (1, 0))


def _biases(w: Writer, bias: Ref | None, order: tuple[int, ...]) -> Ref | None:
    """The input's bias and behind it the state's, which is zeros where there is one bias only."""
    if bias is None:
        return None
    if bias.type.rank == 2:  # both, of a GRU, whose gates are in ONNX's order
        return w.reshape(bias, (2 * bias.type.shape[1],))
    zeros = w.known(np.zeros(bias.type.shape, bias.type.dtype.numpy))  # type: ignore[arg-type]  # static
    return w.concat([_gates(w, bias, order), zeros], 0)


def _stacked(w: Writer, operands: Sequence[Ref | None]) -> Ref | None:
    """One operand of each direction with the axis of directions first."""
    there = [w.expand_dims(operand, (0,)) for operand in operands if operand is not None]
    return w.concat(there, 0) if len(there) > 1 else there[0] if there else None


def _row(kind: str, order: tuple[int, ...], own: Callable[..., dict[str, Any]], directions: int) -> Row:
    """The row of one operation.

    Args:
        order: Keras's gates in ONNX's order.
        own: the operator's attributes from the operation's.
        directions: 1, or 2 whose operands follow each other between ``x`` and ``lengths``.
    """

    def row(w: Writer, x: Ref, *operands: Ref | None, reverse: bool | None = None, **attributes: Any) -> Any:
        *given, lengths = operands
        count = len(given) // directions
        columns = []
        for kernel, recurrent_kernel, bias, *states in (
            given[i * count : (i + 1) * count] for i in range(directions)
        ):
            assert kernel is not None
            assert recurrent_kernel is not None
            hidden_size = recurrent_kernel.type.shape[0]
            weights = (_weight(w, matrix, order) for matrix in (kernel, recurrent_kernel))
            columns.append((*weights, _biases(w, bias, order), *states))
        kernels, recurrent_kernels, biases, *initial = (
            _stacked(w, one) for one in zip(*columns, strict=True)
        )
        if lengths is not None and lengths.type.dtype != int32:
            lengths = w.cast(lengths, int32)
        sequence, *final = w.op(
            kind, x, kernels, recurrent_kernels, biases, lengths, *initial, outputs=1 + len(initial),
            direction="bidirectional" if reverse is None else "reverse" if reverse else "forward",
            hidden_size=hidden_size, **own(directions, **attributes),
        )  # fmt: skip
        if lengths is not None:  # a sequence of no steps keeps its state; ONNX Runtime gives zeros
            none = w.op("Equal", w.expand_dims(lengths, (1,)), np.array(0, np.int32))
            pairs = zip(initial, final, strict=True)
            final = [new if old is None else w.op("Where", none, old, new) for old, new in pairs]
        if directions > 1:
            return (sequence, *final)
        final = [w.op("Squeeze", state, np.array([0])) for state in final]
        return (w.op("Squeeze", sequence, np.array([1])), *final)

    return row


_KINDS: dict[OpSpec, tuple[str, tuple[int, ...], Callable[..., dict[str, Any]]]] = {
    LSTM: ("LSTM", LSTM_GATES, lambda directions: {}),
    GRU: ("GRU", GRU_GATES, lambda directions, reset_after: {"linear_before_reset": int(reset_after)}),
    SIMPLE_RNN: (
        "RNN", (0,), lambda directions, activation: {"activations": [activation.capitalize()] * directions}
    ),
}  # fmt: skip

TABLE: dict[OpSpec, Row] = {
    **{TIME_MAJOR[spec]: _row(*kind, directions=1) for spec, kind in _KINDS.items()},
    **{BIDIRECTIONAL[TIME_MAJOR[spec]]: _row(*kind, directions=2) for spec, kind in _KINDS.items()},
}
