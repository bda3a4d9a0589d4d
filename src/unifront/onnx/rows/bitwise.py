"""Operations on the bits of integers."""

from __future__ import annotations

from typing import Any

from unifront.errors import UnsupportedOp
from unifront.onnx.writer import Ref, Row, Writer
from unifront.opset import bitwise as b
from unifront.opset.spec import OpSpec


def _plain(kind: str) -> Row:
    def row(w: Writer, x: Ref, y: Ref) -> Any:
        if w.opset < 18:
            raise UnsupportedOp(
                f"{w.path or 'graph'}: {kind} cannot be written for the opset {w.opset}. Try opset=18."
            )
        return w.op(kind, x, y)

    return row


def _power_of_two(w: Writer, y: Ref) -> Any:
    return w.cast(w.op("Pow", w.number(2, w.cast(y, "int64")), w.cast(y, "int64")), y.type.dtype)


def _left(w: Writer, x: Ref, y: Ref) -> Any:
    if x.type.dtype.kind == "u":
        return w.op("BitShift", x, y, direction="LEFT")
    return w.op("Mul", x, _power_of_two(w, y))


def _right(w: Writer, x: Ref, y: Ref) -> Any:
    if x.type.dtype.kind == "u":
        return w.op("BitShift", x, y, direction="RIGHT")
    step = _power_of_two(w, y)
    return w.op("Div", w.op("Sub", x, w.op("Mod", x, step)), step)


TABLE: dict[OpSpec, Row] = {
    b.BITWISE_AND: _plain("BitwiseAnd"),
    b.BITWISE_OR: _plain("BitwiseOr"),
    b.BITWISE_XOR: _plain("BitwiseXor"),
    b.LEFT_SHIFT: _left,
    b.RIGHT_SHIFT: _right,
}
