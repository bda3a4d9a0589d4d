"""`rearrange`: axes by name."""

from __future__ import annotations

import math
import re
from typing import Any

from unifront.errors import ArgumentError, ShapeError
from unifront.ir.dims import Dim, divide_exactly
from unifront.opset.elementwise import TensorLike
from unifront.opset.rules import show
from unifront.opset.shape import reshape, transpose
from unifront.opset.tensor import replayed, type_of

TOKEN = re.compile(r"\s*(\(|\)|\.\.\.|…|1(?!\w)|[A-Za-z_]\w*|\S)")


def _side(text: str, pattern: str) -> list[list[str]]:
    """The groups of names of one side: ``"b (h w) c"`` is ``[[b], [h, w], [c]]``."""
    groups: list[list[str]] = []
    inside: list[str] | None = None
    for token in TOKEN.findall(text):
        if token == "(" and inside is None:
            inside = []
        elif token == ")" and inside is not None:
            groups.append(inside)
            inside = None
        elif token in ("...", "…") and inside is None:
            groups.append(["..."])
        elif token.isidentifier() or token == "1":
            name = [] if token == "1" else [token]
            if inside is None:
                groups.append(name)
            else:
                inside += name
        else:
            raise ArgumentError(f"rearrange: {token!r} has no meaning in the pattern {pattern!r}.")
    if inside is not None:
        raise ArgumentError(f"rearrange: a bracket stays open in the pattern {pattern!r}.")
    names = [name for group in groups for name in group]
    if len(set(names)) != len(names):
        raise ArgumentError(f"rearrange: a name comes twice on one side of the pattern {pattern!r}.")
    return groups


def _spread(groups: list[list[str]], rank: int, pattern: str, shape: tuple[Dim, ...]) -> list[list[str]]:
    """``groups`` with as many axes as are left in the place of the ellipsis."""
    left = rank - sum(group != ["..."] for group in groups)
    if ["..."] in groups:
        at = groups.index(["..."])
        groups[at : at + 1] = [[f"...{i}"] for i in range(left)]
    if len(groups) != rank:
        raise ShapeError(
            f"rearrange: the pattern {pattern!r} does not name the axes of the shape {show(shape)}."
        )
    return groups


@replayed
def rearrange(tensor: TensorLike, pattern: str, **axes_lengths: Dim) -> Any:
    """``tensor`` with its axes in another order, joined and taken apart, by name (einops.rearrange; Rogozhnikov 2022).

    Args:
        pattern: ``"b (h s) c -> b h (c s)"``: the axes before and after. A bracket is one axis made of several, the
            last of which runs fastest; ``...`` stands for any others, ``1`` for an axis of that length.
        axes_lengths: the lengths of parts of brackets; of each bracket one may be left out.

    Raises `ArgumentError` for a pattern that makes no sense, `ShapeError` where the lengths do not fit.

    Example::

        uf.ops.rearrange(np.ones((2, 6)), "b (h s) -> b s h", h=3).shape  # (2, 2, 3)
    """
    shape = type_of(tensor).shape
    sides = pattern.split("->")
    if len(sides) != 2:
        raise ArgumentError(f"rearrange: the pattern has two sides, as in 'a b -> b a', unlike {pattern!r}.")
    before, after = (_side(side, pattern) for side in sides)
    if (["..."] in before) != (["..."] in after):
        raise ArgumentError(f"rearrange: an ellipsis stands on both sides or none, unlike in {pattern!r}.")
    before = _spread(before, len(shape), pattern, shape)
    if ["..."] in after:
        at = after.index(["..."])
        after[at : at + 1] = [group for group in before if group and group[0].startswith("...")]
    names = [name for group in before for name in group]
    wanted = [name for group in after for name in group]
    if sorted(names) != sorted(wanted):
        odd = sorted({*names} ^ {*wanted})
        raise ArgumentError(
            f"rearrange: {', '.join(odd)} stands on one side only of the pattern {pattern!r}."
        )
    unknown = sorted(axes_lengths.keys() - set(names))
    if unknown:
        raise ArgumentError(f"rearrange: the pattern {pattern!r} has no axis {', '.join(unknown)}.")
    lengths = _lengths(before, shape, axes_lengths, pattern)
    apart = reshape(tensor, tuple(lengths[name] for name in names))
    moved = transpose(apart, [names.index(name) for name in wanted])
    return reshape(moved, tuple(math.prod(lengths[name] for name in group) for group in after))


def _lengths(
    groups: list[list[str]], shape: tuple[Dim, ...], given: dict[str, Dim], pattern: str
) -> dict[str, Dim]:
    """The length of each name."""
    lengths: dict[str, Dim] = dict(given)
    for group, dim in zip(groups, shape, strict=True):
        free = [name for name in group if name not in lengths]
        if len(free) > 1:
            raise ArgumentError(
                f"rearrange: give the length of {' or '.join(free)} of the pattern {pattern!r}."
            )
        known = math.prod(lengths[name] for name in group if name in lengths)
        rest = divide_exactly(dim, known)
        if rest is None or (not free and rest != 1):
            raise ShapeError(
                f"rearrange: an axis of {dim} of the shape {show(shape)} is not ({' '.join(group)}) with "
                f"{', '.join(f'{name}={lengths[name]}' for name in group if name in lengths) or 'one element'}."
            )
        for name in free:
            lengths[name] = rest
    return lengths
