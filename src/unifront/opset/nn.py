"""Softmax and the cross-entropies."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from unifront.errors import DTypeError, ShapeError
from unifront.ir import facts
from unifront.ir.types import TensorType
from unifront.opset import elementwise, reduce
from unifront.opset.elementwise import TensorLike, floating, promoted
from unifront.opset.rules import axis_in, is_whole, need_float, same_dtype, show
from unifront.opset.spec import OpSpec, Sample, register
from unifront.opset.tensor import bind, type_of


def _softmax_rule(x: TensorType, axis: int) -> TensorType:
    axis_in(axis, x.rank)
    return need_float(x)


def _softmax_samples(rng: np.random.Generator) -> Iterator[Sample]:
    for shape, axis in (((3,), 0), ((2, 5), 1), ((2, 3, 4), 1), ((0, 3), 1), ((3, 1), 1), ((2, 2, 2), 0)):
        yield Sample((rng.normal(size=shape) * 3,), {"axis": axis})


def _log_softmax(x: np.ndarray, axis: int) -> np.ndarray:
    shifted = x - x.max(axis=axis, keepdims=True, initial=-np.inf)
    return shifted - np.log(np.exp(shifted).sum(axis=axis, keepdims=True))


def _shifted(x: Any, axis: Any) -> Any:
    return elementwise.subtract(x, reduce.max(x, axis, keepdims=True))


def _softmax_decomposed(x: Any, axis: int) -> Any:
    exponentials = elementwise.exp(_shifted(x, axis))
    return elementwise.divide(exponentials, reduce.sum(exponentials, axis, keepdims=True))


def _log_softmax_decomposed(x: Any, axis: Any) -> Any:
    shifted = _shifted(x, axis)
    return elementwise.subtract(
        shifted, elementwise.log(reduce.sum(elementwise.exp(shifted), axis, keepdims=True))
    )


SOFTMAX = register(
    OpSpec(
        "softmax",
        _softmax_rule,
        lambda x, axis: np.exp(_log_softmax(x, axis)),
        _softmax_samples,
        "ONNX Softmax-13",
        attributes={"axis": int},
        decomposition=_softmax_decomposed,
        facts=facts.along(facts.ALONG_AXIS, "float32", keeps_zeros=False, sign="not negative", fresh=True),
    )
)
LOG_SOFTMAX = register(
    OpSpec(
        "log_softmax",
        _softmax_rule,
        _log_softmax,
        _softmax_samples,
        "ONNX LogSoftmax-13",
        attributes={"axis": int},
        decomposition=_log_softmax_decomposed,
        facts=facts.along(facts.ALONG_AXIS, "float32", keeps_zeros=False, sign="any", fresh=True),
    )
)


def softmax(x: TensorLike, axis: int | Sequence[int] | None = -1) -> Any:
    """Exponentials of ``x`` divided by their sum along ``axis``, one or several, None for all (ONNX Softmax)."""
    x = floating(x)
    if is_whole(axis):
        return bind(SOFTMAX, x, axis=axis_in(axis, type_of(x).rank))
    exponentials = elementwise.exp(_shifted(x, axis))
    return elementwise.divide(exponentials, reduce.sum(exponentials, axis, keepdims=True))


def log_softmax(x: TensorLike, axis: int | Sequence[int] | None = -1) -> Any:
    """The logarithm of `softmax`, without its loss of precision (ONNX LogSoftmax)."""
    x = floating(x)
    if is_whole(axis):
        return bind(LOG_SOFTMAX, x, axis=axis_in(axis, type_of(x).rank))
    return _log_softmax_decomposed(x, axis)


def _sparse_rule(logits: TensorType, labels: TensorType) -> TensorType:
    need_float(logits, "logits")
    if not labels.dtype.is_integer:
        raise DTypeError(
            f"labels are class numbers, integers, not {labels.dtype}; "
            "for probabilities use softmax_cross_entropy."
        )
    if not logits.rank or labels.shape != logits.shape[:-1]:
        raise ShapeError(
            f"labels of shape {show(labels.shape)} do not fit logits of shape {show(logits.shape)}: "
            "there is one label for each row of logits."
        )
    return logits.with_shape(labels.shape)


def _sparse_reference(logits: np.ndarray, labels: np.ndarray) -> np.ndarray:
    chosen = np.take_along_axis(_log_softmax(logits, -1), labels[..., None].astype(np.int64), axis=-1)
    return -chosen[..., 0]


def _sparse_samples(rng: np.random.Generator) -> Iterator[Sample]:
    for shape, dtype in (
        ((3, 5), "int32"),
        ((2, 3, 4), "int64"),
        ((5,), "int32"),
        ((0, 4), "int32"),
        ((2, 1), "uint8"),
    ):
        labels = np.asarray(rng.integers(shape[-1], size=shape[:-1]), dtype)
        yield Sample((rng.normal(size=shape) * 3, labels))


SPARSE_SOFTMAX_CROSS_ENTROPY = register(
    OpSpec(
        "sparse_softmax_cross_entropy",
        _sparse_rule,
        _sparse_reference,
        _sparse_samples,
        "ONNX SoftmaxCrossEntropyLoss-13 with reduction='none'",
        facts=facts.along(None, "float32", keeps_zeros=False, sign="not negative"),
    )
)


def sparse_softmax_cross_entropy(logits: TensorLike, labels: TensorLike) -> Any:
    """``-log(softmax(logits)[label])`` of each row (ONNX SoftmaxCrossEntropyLoss, no reduction).

    Args:
        logits: floats, shape ``(..., classes)``.
        labels: integers from 0 to ``classes - 1``, shape ``(...)``. Compiled programs do not check the range,
            and the result for a label outside it is not defined: check labels on the host, as the training
            loop does.

    Returns:
        The loss of each row, shape ``(...)``.
    """
    return bind(SPARSE_SOFTMAX_CROSS_ENTROPY, floating(logits), labels)


def _pair_rule(logits: TensorType, targets: TensorType) -> TensorType:
    need_float(logits, "logits")
    same_dtype(logits, targets)
    if targets.shape != logits.shape:
        raise ShapeError(
            f"targets of shape {show(targets.shape)} do not fit logits of shape {show(logits.shape)}."
        )
    return logits


def _softmax_pair_rule(logits: TensorType, targets: TensorType) -> TensorType:
    if not logits.rank:
        raise ShapeError("logits have no axis of classes: their shape is ().")
    return _pair_rule(logits, targets).with_shape(logits.shape[:-1])


def _target_samples(rng: np.random.Generator) -> Iterator[Sample]:
    for shape in ((3, 5), (2, 3, 4), (5,), (0, 4), (2, 1)):
        targets = rng.random(shape)
        yield Sample((rng.normal(size=shape) * 3, targets))  # rows need not sum to one


def _softmax_pair_decomposed(logits: Any, targets: Any) -> Any:
    chosen = elementwise.multiply(targets, log_softmax(logits, -1))
    return elementwise.negative(reduce.sum(chosen, -1))


SOFTMAX_CROSS_ENTROPY = register(
    OpSpec(
        "softmax_cross_entropy",
        _softmax_pair_rule,
        lambda logits, targets: -(targets * _log_softmax(logits, -1)).sum(-1),
        _target_samples,
        "TensorFlow softmax_cross_entropy_with_logits, also where targets do not sum to one",
        decomposition=_softmax_pair_decomposed,
        facts=facts.along(None, "float32", keeps_zeros=True, sign="any"),
    )
)


def softmax_cross_entropy(logits: TensorLike, targets: TensorLike) -> Any:
    """``-sum(targets * log(softmax(logits)))`` over the last axis.

    Args:
        logits: floats, shape ``(..., classes)``.
        targets: probabilities, or any weights, of the same shape.
    """
    logits, targets = promoted(floating(logits), targets)
    return bind(SOFTMAX_CROSS_ENTROPY, logits, targets)


def _sigmoid_reference(logits: np.ndarray, targets: np.ndarray) -> np.ndarray:
    return np.maximum(logits, 0) - logits * targets + np.log1p(np.exp(-np.abs(logits)))


def _sigmoid_samples(rng: np.random.Generator) -> Iterator[Sample]:
    for shape in ((), (3,), (2, 3), (0, 2), (2, 1)):
        yield Sample((rng.normal(size=shape) * 3, rng.random(shape)))


def _sigmoid_decomposed(logits: Any, targets: Any) -> Any:
    # softplus(x) - x * target: stable, because softplus is
    return elementwise.subtract(elementwise.softplus(logits), elementwise.multiply(logits, targets))


SIGMOID_CROSS_ENTROPY = register(
    OpSpec(
        "sigmoid_cross_entropy",
        _pair_rule,
        _sigmoid_reference,
        _sigmoid_samples,
        "TensorFlow sigmoid_cross_entropy_with_logits",
        decomposition=_sigmoid_decomposed,
        facts=facts.elementwise("float32", keeps_zeros=False, sign="any", commutes=False),
    )
)


def sigmoid_cross_entropy(logits: TensorLike, targets: TensorLike) -> Any:
    """``-targets * log(sigmoid(logits)) - (1 - targets) * log(1 - sigmoid(logits))`` of each element, stably.

    Args:
        logits: floats of any shape.
        targets: probabilities of the same shape.
    """
    logits, targets = promoted(floating(logits), targets)
    return bind(SIGMOID_CROSS_ENTROPY, logits, targets)
