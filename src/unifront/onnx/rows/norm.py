"""Normalization; where ONNX's operators do not fit, the decomposition is written."""

from __future__ import annotations

from typing import Any

import numpy as np

from unifront.onnx.rows.activations import exact
from unifront.onnx.writer import Ref, Row, Writer
from unifront.opset import norm as n
from unifront.opset.spec import OpSpec


def _batch_norm(
    w: Writer,
    x: Ref,
    mean: Ref,
    variance: Ref,
    gamma: Ref | None,
    beta: Ref | None,
    axis: int,
    epsilon: float,
) -> Any:
    if axis != 1 or not exact(epsilon, x):
        return NotImplemented
    channels = x.type.shape[1]
    assert isinstance(channels, int)
    dtype = x.type.dtype.numpy
    scale = np.ones(channels, dtype) if gamma is None else gamma
    shift = np.zeros(channels, dtype) if beta is None else beta
    return w.op("BatchNormalization", x, scale, shift, mean, variance, epsilon=epsilon)


def _layer_norm(
    w: Writer, x: Ref, gamma: Ref | None, beta: Ref | None, axes: tuple[int, ...], epsilon: float
) -> Any:
    inner = tuple(dim for dim in x.type.shape[axes[0] :] if isinstance(dim, int))
    last = axes == tuple(range(axes[0], x.type.rank)) and len(inner) == len(axes)
    if w.opset < 17 or not last or not exact(epsilon, x):
        return NotImplemented
    scale = np.ones(inner, x.type.dtype.numpy) if gamma is None else gamma
    return w.op("LayerNormalization", x, scale, beta, axis=axes[0], epsilon=epsilon)


TABLE: dict[OpSpec, Row] = {n.BATCH_NORM: _batch_norm, n.LAYER_NORM: _layer_norm}
