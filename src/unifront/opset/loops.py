"""Branches and loops made of `cond`, `while_loop` and `scan`: one of many branches, a counted loop, a map, a scan by
pairs."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from unifront import tree
from unifront.dtypes import int32
from unifront.errors import ArgumentError, ShapeError
from unifront.opset import comparison, creation
from unifront.opset import elementwise as e
from unifront.opset.control import cond, scan, while_loop
from unifront.opset.elementwise import TensorLike
from unifront.opset.index import whole_numbers
from unifront.opset.regions import refilled, tensor_leaves
from unifront.opset.rules import axis_in, is_whole, show
from unifront.opset.shape import concatenate, expand_dims, moveaxis, reshape, squeeze, stack
from unifront.opset.slicing import flip, strided_slice
from unifront.opset.tensor import Symbolic, record, type_of

Function = Callable[..., Any]


def switch(index: TensorLike, branches: Sequence[Function], *operands: Any) -> Any:
    """``branches[index](*operands)``; an index outside takes the first or the last (``jax.lax.switch``).

    Args:
        index: an integer scalar.
        branches: functions that give the same structure of tensors of the same types.

    Raises `ArgumentError` where there are no branches.
    """
    if not isinstance(branches, Sequence) or not branches or not all(callable(branch) for branch in branches):
        raise ArgumentError(f"switch: branches are functions, at least one, not {branches!r}.")
    place = int(index) if is_whole(index) else reshape(whole_numbers("switch", index), ())

    def among(low: int, high: int, given: Sequence[Any]) -> Any:
        """The branch from ``low`` up to ``high``: halved, so that few conditions are asked."""
        if high - low == 1:
            return branches[low](*given)
        middle = (low + high) // 2
        if isinstance(place, int):
            return among(low, middle, given) if place < middle else among(middle, high, given)
        return cond(
            comparison.less(place, middle),
            lambda *inner: among(low, middle, inner),
            lambda *inner: among(middle, high, inner),
            *given,
        )

    if isinstance(place, Symbolic) or any(isinstance(leaf, Symbolic) for leaf in tree.leaves(list(operands))):
        return record(switch, index, tuple(branches), *operands)
    return among(0, len(branches), operands)


def fori_loop(lower: int | TensorLike, upper: int | TensorLike, body_fun: Function, init_val: Any) -> Any:
    """``val = body_fun(i, val)`` for each ``i`` from ``lower`` to before ``upper`` (Keras ops.fori_loop).

    Args:
        lower, upper: ints, with which the loop has a gradient on every backend; or integer scalars: JAX then has none.
        init_val: the first value, a tensor or a structure of tensors, whose types stay.
    """
    if is_whole(lower) and is_whole(upper):
        if upper <= lower:
            return init_val
        counted = creation.arange(int(lower), int(upper))
        return scan(lambda value, i: (body_fun(i, value), None), init_val, counted)[0]
    for name, bound in (("lower", lower), ("upper", upper)):
        if not type_of(bound).dtype.is_integer or type_of(bound).shape:
            raise ArgumentError(f"fori_loop: {name} is an int or an integer scalar, not {type_of(bound)}.")
    start = e.cast(lower, int32)

    def step(i: Any, value: Any) -> tuple[Any, Any]:
        return e.add(i, 1), body_fun(i, value)

    return while_loop(lambda i, _: comparison.less(i, upper), step, (start, init_val))[1]


def map(f: Function, xs: Any) -> Any:
    """``f`` of each part of ``xs`` along axis 0, one after the other, stacked (Keras ops.map; ``jax.lax.map``).

    Args:
        f: takes a part of ``xs`` (a tensor, or the structure of them) and gives a tensor or a structure of tensors.
        xs: a tensor or a structure of tensors of one length.
    """
    return scan(lambda carry, x: (carry, f(x)), (), xs)[1]


def associative_scan(f: Function, elems: Any, reverse: bool = False, axis: int = 0) -> Any:
    """The results of joining the first 1, 2, 3 … parts along ``axis`` by ``f`` (Blelloch 1990).

    Args:
        f: ``(a, b) -> c`` of parts of ``elems`` several positions long: each position is joined by itself. It is
            associative: ``f(f(a, b), c)`` is ``f(a, f(b, c))``.
        elems: a tensor or a structure of tensors, equally long along ``axis``.
        reverse: begin with the last parts.

    An axis of free length is gone through in order. Raises `ArgumentError` for a function that is none, `ShapeError`
    where the lengths differ.

    Example::

        uf.ops.associative_scan(uf.ops.add, np.array([1, 2, 3]))  # [1, 3, 6]
    """
    if not callable(f):
        raise ArgumentError(f"associative_scan: f is a function, not {f!r}.")
    leaves = tensor_leaves(elems)
    if any(isinstance(leaf, Symbolic) for leaf in leaves):
        return record(associative_scan, f, elems, reverse, axis)
    places = [axis_in(axis, type_of(leaf).rank) for leaf in leaves]
    lengths = list(
        dict.fromkeys(type_of(leaf).shape[place] for leaf, place in zip(leaves, places, strict=True))
    )
    if len(lengths) != 1:
        shapes = ", ".join(show(type_of(leaf).shape) for leaf in leaves)
        raise ShapeError(
            f"associative_scan: all have the same first dimension, or that along axis {axis}; the shapes are {shapes}."
        )
    moved = [moveaxis(leaf, place, 0) if place else leaf for leaf, place in zip(leaves, places, strict=True)]
    if reverse:
        moved = [flip(leaf, 0) for leaf in moved]

    def join(a: list[Any], b: list[Any]) -> list[Any]:
        given = [
            refilled(
                elems, [moveaxis(x, 0, place) if place else x for x, place in zip(side, places, strict=True)]
            )
            for side in (a, b)
        ]
        found = tensor_leaves(f(*given))
        return [moveaxis(x, place, 0) if place else x for x, place in zip(found, places, strict=True)]

    found = _halved(join, moved, lengths[0]) if isinstance(lengths[0], int) else _in_order(join, moved)
    if reverse:
        found = [flip(leaf, 0) for leaf in found]
    return refilled(
        elems, [moveaxis(x, 0, place) if place else x for x, place in zip(found, places, strict=True)]
    )


def _halved(join: Function, leaves: list[Any], length: int) -> list[Any]:
    """Neighbours are joined, what they give is scanned, and the rest lies between: about twice ``length`` joins."""
    if length < 2:
        return leaves
    pairs = length // 2
    even = [strided_slice(leaf, [0], [2 * pairs], [2]) for leaf in leaves]
    odd = [strided_slice(leaf, [1], [None], [2]) for leaf in leaves]
    ends = _halved(join, join(even, odd), pairs)  # at positions 1, 3, 5 …
    first = [strided_slice(leaf, [0], [1]) for leaf in leaves]
    count = (length - 1) // 2  # of the even positions from 2 on
    if not count:
        return [concatenate([a, b], 0) for a, b in zip(first, ends, strict=True)]
    later = [strided_slice(leaf, [2], [None], [2]) for leaf in leaves]
    between = join([strided_slice(leaf, [0], [count]) for leaf in ends], later)
    starts = [concatenate([a, b], 0) for a, b in zip(first, between, strict=True)]
    return [_interleaved(a, b, length) for a, b in zip(starts, ends, strict=True)]


def _interleaved(even: Any, odd: Any, length: int) -> Any:
    pairs = length // 2
    rest = type_of(even).shape[1:]
    both = reshape(stack([strided_slice(even, [0], [pairs]), odd], 1), (2 * pairs, *rest))
    return concatenate([both, strided_slice(even, [pairs], [None])], 0) if length % 2 else both


def _in_order(join: Function, leaves: list[Any]) -> list[Any]:
    """The parts one after the other, from the first on."""

    def step(carry: list[Any], parts: list[Any]) -> tuple[list[Any], list[Any]]:
        found = join(carry, [expand_dims(part, 0) for part in parts])
        return found, [squeeze(one, 0) for one in found]

    first = [strided_slice(leaf, [0], [1]) for leaf in leaves]
    _, later = scan(step, first, [strided_slice(leaf, [1], [None]) for leaf in leaves])
    found = [concatenate([a, b], 0) for a, b in zip(first, later, strict=True)]
    return found
