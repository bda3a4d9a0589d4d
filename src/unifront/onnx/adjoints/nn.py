"""The rules of softmax and what is made of it, and of dropout."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from unifront.onnx.adjoints.reverse import Form, Rule, Written
from unifront.opset import creation, index, nn, random, reduce
from unifront.opset import elementwise as e
from unifront.opset import shape as s
from unifront.opset.spec import OpSpec
from unifront.opset.tensor import bind, type_of


def _softmax(w: Written, g: Any) -> Any:
    y = w.results[0]
    return (y * (g - reduce.sum(g * y, w["axis"], keepdims=True)),)


def _log_softmax(w: Written, g: Any) -> Any:
    return (g - e.exp(w.results[0]) * reduce.sum(g, w["axis"], keepdims=True),)


def _sparse(w: Written, g: Any) -> Any:
    logits, labels = w.operands
    rank = type_of(labels).rank
    classes = type_of(logits).shape[-1]
    chosen = bind(
        index.ONE_HOT,
        e.cast(labels, "int32"),
        num_classes=classes,
        axis=rank,
        dtype=type_of(logits).dtype.name,
    )
    return (nn.softmax(logits) - chosen) * s.expand_dims(g, rank), None


def _dropout(x: Any, key: Any, rate: float, noise_shape: tuple[Any, ...]) -> Any:
    """``x`` times what dropout makes of ones: the mask, which the gradient is multiplied by too."""
    one = creation.ones(noise_shape, type_of(x).dtype, like=x)
    return e.multiply(x, e.stop_gradient(bind(random.DROPOUT, one, key, rate=rate, noise_shape=noise_shape)))


FORMS: Mapping[OpSpec, Form] = {random.DROPOUT: _dropout}

TABLE: Mapping[OpSpec, Rule] = {
    nn.SOFTMAX: _softmax,
    nn.LOG_SOFTMAX: _log_softmax,
    nn.SPARSE_SOFTMAX_CROSS_ENTROPY: _sparse,
}
