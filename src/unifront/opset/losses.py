"""Keras's cross-entropies: of logits by the operations in `unifront.opset.nn`, of probabilities by their logarithms."""

from __future__ import annotations

from typing import Any

from unifront.errors import ShapeError
from unifront.opset import elementwise, nn, reduce
from unifront.opset.elementwise import TensorLike, floating, promoted
from unifront.opset.normalize import EPSILON
from unifront.opset.rules import axis_in, show
from unifront.opset.shape import moveaxis, squeeze
from unifront.opset.tensor import type_of


def _pair(target: TensorLike, output: TensorLike) -> tuple[Any, Any]:
    """Both in one float dtype; `ShapeError` unless they may have one shape."""
    output, target = promoted(floating(output), target)
    ours, theirs = type_of(target).shape, type_of(output).shape
    if len(ours) != len(theirs):
        raise ShapeError(
            "Arguments `target` and `output` must have the same rank (ndim). Received: "
            f"target.shape={show(ours)}, output.shape={show(theirs)}"
        )
    if any(isinstance(a, int) and isinstance(b, int) and a != b for a, b in zip(ours, theirs, strict=True)):
        raise ShapeError(
            "Arguments `target` and `output` must have the same shape. Received: "
            f"target.shape={show(ours)}, output.shape={show(theirs)}"
        )
    return target, output


def _inside(probabilities: Any) -> Any:
    return elementwise.clip(probabilities, EPSILON, 1 - EPSILON)


def binary_crossentropy(target: TensorLike, output: TensorLike, from_logits: bool = False) -> Any:
    """``-target * log(output) - (1 - target) * log(1 - output)`` of each element.

    Args:
        target: probabilities.
        output: probabilities of the same shape, which are kept 1e-7 from 0 and 1; with ``from_logits`` the logits of
            such (any numbers).

    Raises `ShapeError` for shapes that differ.
    """
    target, output = _pair(target, output)
    if from_logits:
        return nn.sigmoid_cross_entropy(output, target)
    output = _inside(output)
    other = elementwise.multiply(
        elementwise.subtract(1, target), elementwise.log(elementwise.subtract(1, output))
    )
    return elementwise.negative(elementwise.add(elementwise.multiply(target, elementwise.log(output)), other))


def categorical_crossentropy(
    target: TensorLike, output: TensorLike, from_logits: bool = False, axis: int = -1
) -> Any:
    """``-sum(target * log(output))`` over the classes.

    Args:
        target: the probability of each class.
        output: the same of the model, divided by their sum and kept 1e-7 from 0 and 1; with ``from_logits``
            logits.
        axis: of the classes.

    Raises `ShapeError` for shapes that differ, or without an axis.
    """
    target, output = _pair(target, output)
    shape = type_of(target).shape
    if not shape:
        raise ShapeError(
            "Arguments `target` and `output` must be at least rank 1. Received: "
            f"target.shape={show(shape)}, output.shape={show(type_of(output).shape)}"
        )
    if from_logits:
        logarithms = nn.log_softmax(output, axis)
    else:
        logarithms = elementwise.log(_inside(elementwise.divide(output, reduce.sum(output, axis, True))))
    return elementwise.negative(reduce.sum(elementwise.multiply(target, logarithms), axis))


def sparse_categorical_crossentropy(
    target: TensorLike, output: TensorLike, from_logits: bool = False, axis: int = -1
) -> Any:
    """``-log(output[target])``: `categorical_crossentropy` with the number of the right class.

    Args:
        target: integers of the shape of ``output`` without the classes, or with a last axis of 1.
        output: probabilities of classes, kept 1e-7 from 0 and 1; with ``from_logits`` logits.
        axis: of the classes.

    Raises `ShapeError` for shapes that do not fit.
    """
    output = floating(output)
    if not type_of(output).rank:
        raise ShapeError("Argument `output` must be at least rank 1. Received: output.shape=()")
    place, given = axis_in(axis, type_of(output).rank), type_of(target).shape
    if len(given) == type_of(output).rank and given[-1] == 1:
        target = squeeze(target, -1)
    shape, wanted = type_of(target).shape, type_of(output).shape
    wanted = (*wanted[:place], *wanted[place + 1 :])
    if len(shape) != len(wanted):
        raise ShapeError(
            "Argument `output` must have rank (ndim) `target.ndim - 1`. Received: "
            f"target.shape={show(given)}, output.shape={show(type_of(output).shape)}"
        )
    if any(isinstance(a, int) and isinstance(b, int) and a != b for a, b in zip(shape, wanted, strict=True)):
        raise ShapeError(
            "Arguments `target` and `output` must have the same shape up until the last dimension: "
            f"target.shape={show(given)}, output.shape={show(type_of(output).shape)}"
        )
    if not from_logits:
        output = elementwise.log(_inside(output))
    if not type_of(target).dtype.is_integer:
        target = elementwise.cast(target, "int32")
    return nn.sparse_softmax_cross_entropy(moveaxis(output, place, -1), target)
