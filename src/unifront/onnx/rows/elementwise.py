"""Arithmetic, comparisons, casts."""

from __future__ import annotations

from typing import Any

from unifront.dtypes import bool_
from unifront.onnx.writer import Ref, Row, Writer
from unifront.opset import comparison as c
from unifront.opset import elementwise as e
from unifront.opset.spec import OpSpec


def _plain(kind: str) -> Row:
    """The row of an operation that ONNX has as it is."""
    return lambda w, *operands: w.op(kind, *operands)


def _floats_only(kind: str) -> Row:
    """As `_plain`; of integers it is the identity."""
    return lambda w, x: w.op(kind, x) if x.type.dtype.is_float else x


def _floor_divide(w: Writer, x: Ref, y: Ref) -> Any:
    if x.type.dtype.is_float:
        return w.op("Floor", w.op("Div", x, y))
    # ONNX cuts the quotient of integers toward zero; the remainder of Mod has the sign of the divisor.
    return w.op("Div", w.op("Sub", x, w.op("Mod", x, y)), y)


def _remainder(w: Writer, x: Ref, y: Ref) -> Any:
    if not x.type.dtype.is_float:
        return w.op("Mod", x, y)
    rest, zero = w.op("Mod", x, y, fmod=1), w.number(0, x)  # with the sign of x
    differ = w.op("Xor", w.op("Less", rest, zero), w.op("Less", y, zero))
    wrong = w.op("And", differ, w.op("Not", w.op("Equal", rest, zero)))
    return w.op("Where", wrong, w.op("Add", rest, y), rest)


def _clip(w: Writer, x: Ref, minimum: float, maximum: float) -> Any:
    return w.op("Clip", x, w.number(minimum, x), w.number(maximum, x))


_PLAIN = {
    e.NEGATIVE: "Neg", e.ABS: "Abs", e.SIGN: "Sign", e.EXP: "Exp", e.LOG: "Log", e.SQRT: "Sqrt",
    e.RECIPROCAL: "Reciprocal", e.SIN: "Sin", e.COS: "Cos", e.TANH: "Tanh", e.ERF: "Erf",
    e.SUBTRACT: "Sub", e.DIVIDE: "Div", e.POWER: "Pow",
    c.EQUAL: "Equal", c.LESS: "Less", c.LESS_EQUAL: "LessOrEqual", c.GREATER: "Greater",
    c.GREATER_EQUAL: "GreaterOrEqual", c.LOGICAL_AND: "And", c.LOGICAL_OR: "Or", c.LOGICAL_NOT: "Not",
    e.WHERE: "Where",
}  # fmt: skip


def _of_booleans(kind: str, logical: str) -> Row:
    """As `_plain`; of booleans another one."""
    return lambda w, x, y: w.op(logical if x.type.dtype == bool_ else kind, x, y)


TABLE: dict[OpSpec, Row] = {
    **{spec: _plain(kind) for spec, kind in _PLAIN.items()},
    **{spec: _floats_only(kind) for spec, kind in ((e.FLOOR, "Floor"), (e.CEIL, "Ceil"), (e.ROUND, "Round"))},
    e.ADD: _of_booleans("Add", "Or"),
    e.MULTIPLY: _of_booleans("Mul", "And"),
    e.MAXIMUM: _of_booleans("Max", "Or"),
    e.MINIMUM: _of_booleans("Min", "And"),
    e.SQUARE: lambda w, x: w.op("Mul", x, x),
    e.EXPM1: lambda w, x: w.op("Sub", w.op("Exp", x), w.number(1, x)),
    e.LOG1P: lambda w, x: w.op("Log", w.op("Add", x, w.number(1, x))),
    e.RSQRT: lambda w, x: w.op("Reciprocal", w.op("Sqrt", x)),
    e.TAN: lambda w, x: w.op("Div", w.op("Sin", x), w.op("Cos", x)),  # there is no Tan of float64
    c.NOT_EQUAL: lambda w, x, y: w.op("Not", w.op("Equal", x, y)),
    e.FLOOR_DIVIDE: _floor_divide,
    e.REMAINDER: _remainder,
    e.CAST: lambda w, x, dtype: w.cast(x, dtype),
    e.CLIP: _clip,
    e.STOP_GRADIENT: lambda w, x: x,
}
