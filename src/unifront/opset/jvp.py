"""Derivatives along a direction."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from unifront.backends import backend_of
from unifront.errors import ArgumentError, UnsupportedOp
from unifront.opset import elementwise as e
from unifront.opset import reduce
from unifront.opset.creation import zeros_like
from unifront.opset.gradient import GRADIENT, eager_gradient, traced_gradient
from unifront.opset.regions import refilled, tensor_leaves
from unifront.opset.rules import show
from unifront.opset.tensor import Traced, active_builder, builder_of, native, replayed, type_of


def _gradient(function: Callable[[Any], Any], leaves: list[Any]) -> list[Any]:
    """The gradient of a scalar function of a list of tensors; None for those that it does not use."""
    builder = active_builder() or builder_of([leaf for leaf in leaves if isinstance(leaf, Traced)])
    if builder is not None:
        return traced_gradient(function, [], [leaves], (), builder)[2]
    backend = next(b for b in map(backend_of, leaves) if b is not None)
    row = backend.rows().table.get(GRADIENT)
    if row is None or backend.name == "numpy":
        raise UnsupportedOp(
            f"jvp: the backend {backend.name!r} has no gradients. Give arrays of a framework."
        )
    return eager_gradient(function, row, lambda one: native(one, backend), [], [leaves], ())[2]


def _product(left: Sequence[Any], right: Sequence[Any]) -> Any:
    total: Any = None
    for one, other in zip(left, right, strict=True):
        term = reduce.sum(e.multiply(one, other))
        total = term if total is None else e.add(total, term)
    return total


@replayed
def jvp(
    fun: Callable[..., Any], primals: Sequence[Any], tangents: Sequence[Any], has_aux: bool = False
) -> tuple[Any, ...]:
    """``fun`` at ``primals``, and its derivative there along ``tangents`` (jax.jvp).

    Args:
        fun: takes ``*primals`` and gives a structure of tensors; with ``has_aux`` a pair of it and anything else.
        primals: a list or tuple of structures of float tensors.
        tangents: of the same structure and shapes.

    Returns ``(outputs, their derivatives)``, with ``has_aux`` ``(outputs, derivatives, aux)``. Raises `ArgumentError`
    where ``tangents`` do not fit ``primals``. The derivative is taken as the gradient of a gradient by the weights of
    the outputs, on which that depends linearly, so every backend that has gradients has it.

    Example::

        uf.ops.jvp(uf.ops.square, (x,), (uf.ops.ones_like(x),))  # x ** 2 and 2 * x
    """
    points, directions = tensor_leaves(list(primals)), tensor_leaves(list(tangents))
    shapes = [[type_of(leaf).shape for leaf in leaves] for leaves in (points, directions)]
    if shapes[0] != shapes[1]:
        raise ArgumentError(
            f"jvp: the tangents have the shapes {', '.join(map(show, shapes[1]))}, the primals "
            f"{', '.join(map(show, shapes[0]))}."
        )
    directions = [e.cast(one, type_of(point).dtype) for one, point in zip(directions, points, strict=True)]

    def outputs(leaves: Sequence[Any]) -> Any:
        result = fun(*refilled(list(primals), leaves))
        return result if has_aux else (result, None)

    value, aux = outputs(points)
    found = tensor_leaves(value)

    def along(weights: list[Any]) -> Any:
        slopes = _gradient(lambda leaves: _product(tensor_leaves(outputs(leaves)[0]), weights), points)
        pairs = [(s, d) for s, d in zip(slopes, directions, strict=True) if s is not None]
        return _product(*zip(*pairs, strict=True)) if pairs else reduce.sum(zeros_like(weights[0]))

    weights = [zeros_like(output) for output in found]
    slopes = _gradient(along, weights) if weights else []
    filled = [zero if slope is None else slope for slope, zero in zip(slopes, weights, strict=True)]
    derivative = refilled(value, filled)
    return (value, derivative, aux) if has_aux else (value, derivative)
