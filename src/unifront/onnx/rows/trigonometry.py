"""Inverses of sines and tangents, their hyperbolic kin."""

from __future__ import annotations

import math
from typing import Any

from unifront.onnx.writer import Ref, Row, Writer
from unifront.opset import trigonometry as t
from unifront.opset.spec import OpSpec


def _plain(kind: str) -> Row:
    return lambda w, x: w.op(kind, x)


def _arctan2(w: Writer, y: Ref, x: Ref) -> Any:
    zero = w.number(0, x)
    angle = w.op("Atan", w.op("Div", y, x))
    half = w.op("Where", w.op("Less", y, zero), w.number(-math.pi, y), w.number(math.pi, y))
    angle = w.op("Where", w.op("Less", x, zero), w.op("Add", angle, half), angle)
    on_axis = w.op("And", w.op("Equal", y, zero), w.op("GreaterOrEqual", x, zero))  # 0 / 0 is no angle
    return w.op("Where", on_axis, w.op("Add", y, w.op("Mul", x, zero)), angle)


TABLE: dict[OpSpec, Row] = {
    t.ARCSIN: _plain("Asin"),
    t.ARCCOS: _plain("Acos"),
    t.ARCTAN: _plain("Atan"),
    t.SINH: _plain("Sinh"),
    t.COSH: _plain("Cosh"),
    t.ARCSINH: _plain("Asinh"),
    t.ARCCOSH: _plain("Acosh"),
    t.ARCTAN2: _arctan2,
}
