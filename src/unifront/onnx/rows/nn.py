"""Softmax and cross-entropy."""

from __future__ import annotations

from typing import Any

import numpy as np

from unifront.onnx.writer import Ref, Row, Writer
from unifront.opset import nn
from unifront.opset.spec import OpSpec


def _sparse(w: Writer, logits: Ref, labels: Ref) -> Any:
    logarithms = w.op("LogSoftmax", logits, axis=-1)
    column = w.expand_dims(w.cast(labels, "int64"), (labels.type.rank,))
    chosen = w.op("GatherElements", logarithms, column, axis=labels.type.rank)
    return w.op("Neg", w.op("Squeeze", chosen, np.array([-1])))


TABLE: dict[OpSpec, Row] = {
    nn.SOFTMAX: lambda w, x, axis: w.op("Softmax", x, axis=axis),
    nn.LOG_SOFTMAX: lambda w, x, axis: w.op("LogSoftmax", x, axis=axis),
    nn.SPARSE_SOFTMAX_CROSS_ENTROPY: _sparse,
}
