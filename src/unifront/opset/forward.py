"""Derivatives along a direction."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from unifront import tree
from unifront.arguments import shown
from unifront.errors import ArgumentError, ShapeError
from unifront.opset import reduce
from unifront.opset.creation import zeros_like
from unifront.opset.differentiation import value_and_grad
from unifront.opset.elementwise import add, multiply
from unifront.opset.regions import refilled
from unifront.opset.rules import show
from unifront.opset.tensor import Symbolic, record, type_of


def jvp(
    fun: Callable[..., Any], primals: Sequence[Any], tangents: Sequence[Any], has_aux: bool = False
) -> tuple[Any, ...]:
    """The value of ``fun`` and its derivative along ``tangents`` (``jax.jvp``; keras.ops.jvp).

    Args:
        fun: of float tensors, or structures of them; gives such; with ``has_aux`` a pair ``(value, aux)``.
        primals: the arguments of ``fun``.
        tangents: a direction, of the structure and shapes of ``primals``.
        has_aux: see ``fun``.

    Returns:
        ``(value, derivative)``, and ``aux`` behind them if there is one.

    The product with a gradient is linear in what it is multiplied by; its own gradient is the derivative sought, so
    that two passes back do what one forward does elsewhere. Raises `ArgumentError` where ``tangents`` do not fit.

    Example::

        value, derivative = uf.ops.jvp(uf.ops.sin, (x,), (uf.ops.ones_like(x),))
    """
    for name, several in (("primals", primals), ("tangents", tangents)):
        if not isinstance(several, tuple | list):
            raise ArgumentError(
                f"jvp: {name} is a tuple or a list, one for each argument, not {shown(several)}."
            )
    given, along = list(primals), tree.leaves(list(tangents))
    leaves = tree.leaves(given)
    if len(leaves) != len(along):
        raise ArgumentError(f"jvp: there are {len(leaves)} primals and {len(along)} tangents.")
    for one, other in zip(leaves, along, strict=True):
        if type_of(one).shape != type_of(other).shape:
            raise ShapeError(
                f"jvp: a primal has the shape {show(type_of(one).shape)}, its tangent {show(type_of(other).shape)}."
            )
    if any(isinstance(leaf, Symbolic) for leaf in [*leaves, *along]):
        found: tuple[Any, ...] = record(jvp, fun, tuple(primals), tuple(tangents), has_aux)
        return found

    def parts(*arguments: Any) -> tuple[Any, Any]:
        result = fun(*arguments)
        if not has_aux:
            return result, ()
        if not isinstance(result, tuple) or len(result) != 2:
            raise ArgumentError("jvp: with has_aux the function gives a pair (value, aux).")
        return result

    def pulled(weights: list[Any]) -> tuple[Any, Any]:
        """The direction times the gradient of the values, each weighed."""

        def weighed(*arguments: Any) -> tuple[Any, Any]:
            value, aux = parts(*arguments)
            return _product(tree.leaves(value), weights), (value, aux)

        (_, results), gradients = value_and_grad(weighed, tuple(range(len(given))), has_aux=True)(*given)
        return _product(tree.leaves(list(gradients)), along), results

    value, _ = parts(*given)
    zeros = [zeros_like(leaf) for leaf in tree.leaves(value)]
    (_, (value, aux)), derivative = value_and_grad(pulled, 0, has_aux=True)(zeros)
    filled = [zero if one is None else one for one, zero in zip(derivative, zeros, strict=True)]
    return (value, refilled(value, filled), aux) if has_aux else (value, refilled(value, filled))


def _product(left: Sequence[Any], right: Sequence[Any]) -> Any:
    """The inner product of two lists of tensors, None being zero."""
    pairs = [(a, b) for a, b in zip(left, right, strict=True) if a is not None]
    terms = [reduce.sum(multiply(a, b)) for a, b in pairs]
    total = terms[0] if terms else reduce.sum(zeros_like(right[0]))
    for term in terms[1:]:
        total = add(total, term)
    return total
