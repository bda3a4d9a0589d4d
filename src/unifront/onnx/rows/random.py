"""Random operations, drawn by ONNX's own generators.

ONNX has no keys: each draw is a node with a seed of its own, made of the keys that lead to it. What a key would
repeat, a node draws anew each time it is run.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from unifront.dtypes import dtype_of
from unifront.dtypes import key as key_dtype
from unifront.ir.dims import Dim
from unifront.ir.types import Shape, TensorType
from unifront.onnx.writer import Ref, Row, Writer, element_type
from unifront.opset import random as r
from unifront.opset.spec import OpSpec

_ANY = 2**32
"""The stream that stands for those whose number is known only when the model runs."""
_SEEDS = 2**24
"""Seeds are float32 in ONNX, which holds these integers exactly."""


def _fold_in(w: Writer, key: Ref, data: Ref | None, number: int | None) -> Any:
    assert key.key is not None
    return Ref("", TensorType(key_dtype), key=key.key.fold_in(_ANY if number is None else number))


def _drawn(w: Writer, kind: str, key: Ref, shape: Shape, dtype: str, **attributes: float) -> Ref:
    """Values of a shape; in float32 where a runtime may not draw narrower ones."""
    assert key.key is not None
    own = dtype if dtype in ("float32", "float64") else "float32"
    options: dict[str, Any] = {
        **attributes,
        "dtype": element_type(dtype_of(own)),
        "seed": float(key.key % _SEEDS),
    }
    static: list[Dim] = [size for size in shape if isinstance(size, int)]
    if shape and len(static) == len(shape):
        values = w.op(kind, shape=static, **options)
    else:
        values = w.op(f"{kind}Like", w.op("Expand", np.zeros((), np.float32), w.sizes(shape)), **options)
    return values if own == dtype else w.cast(values, dtype)


def _uniform(
    w: Writer, key: Ref, like: Ref | None, shape: Shape, minimum: float, maximum: float, dtype: str
) -> Any:
    return _drawn(w, "RandomUniform", key, shape, dtype, low=minimum, high=maximum)


def _normal(
    w: Writer, key: Ref, like: Ref | None, shape: Shape, mean: float, stddev: float, dtype: str
) -> Any:
    return _drawn(w, "RandomNormal", key, shape, dtype, mean=mean, scale=stddev)


def _dropout(w: Writer, x: Ref, key: Ref, rate: float, noise_shape: Shape) -> Any:
    """Not ONNX's Dropout, which runtimes take out of graphs for inference."""
    drawn = _drawn(w, "RandomUniform", key, noise_shape, "float32", low=0.0, high=1.0)
    keep = w.op("GreaterOrEqual", drawn, np.array(rate, np.float32))
    return w.op("Where", keep, w.op("Div", x, w.number(1 - rate, x)), w.number(0, x))


TABLE: dict[OpSpec, Row] = {
    r.FOLD_IN: _fold_in,
    r.RANDOM_UNIFORM: _uniform,
    r.RANDOM_NORMAL: _normal,
    r.DROPOUT: _dropout,
}
