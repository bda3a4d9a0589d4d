"""What passes and backends ask of an operation, said once with the operation itself (`OpSpec.facts`).

No field has a default: whoever adds an operation says all of it. The functions below say it for families.

An operand written ``transpose(base, order)`` has its axis ``i`` at axis ``order[i]`` of ``base``. A `Follows`
says how an operation runs on ``base`` instead, and in which order of axes its results then stand.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    from unifront.ir.graph import Node

Order = tuple[int, ...]
Attributes = Mapping[str, Any]
Precision = Literal["half", "accumulate", "float32"]
Sign = Literal["any", "kept", "not negative"]


@dataclass(frozen=True)
class Follows:
    """How an operation runs on untransposed operands.

    Args:
        attributes: ``(node, order) -> attributes`` of the node that runs on them; None if it cannot.
        order: ``(node, order) -> `` the order in which its results then stand.
        operands: how many operands, from the first, are transposed; None means all.
    """

    attributes: Callable[[Node, Order], Attributes | None]
    order: Callable[[Node, Order], Order] = lambda node, order: order
    operands: int | None = 1


@dataclass(frozen=True, kw_only=True, eq=False)
class Facts:
    """What is known of an operation beside its meaning.

    Args:
        elementwise: it works on each element: operands broadcast, and no attribute names an axis.
        follows: how it runs on untransposed operands; None if it cannot, or if it is elementwise.
        commutes: its two operands may change places.
        keeps_zeros: operands of nothing but zeros give results of nothing but zeros; it may hang on the attributes.
        sign: whether results can be negative: ``"not negative"`` never, ``"kept"`` only where an operand is.
        precision: ``"half"``: 16-bit floats are safe; ``"accumulate"``: for operands, while sums are kept in
            float32; ``"float32"``: neither.
        channel_axes: of an operation ``(x, kernel, bias)``, how many of the kernel's last axes are the channels
            of the result, each with its part of the bias; 0 for all other operations.
        pads_with: what its own attribute ``padding`` adds around the data: zeros, or what is lower than all.
        fresh: its results have memory of their own on every backend. Of others they may be a view of an operand, or
            the operand: where weights are read that costs speed, never a wrong number.
        whole: its result has each element of its one operand, none more. Where sizes are not known, the types need not
            show it: it is looked after when the sizes arrive.
    """

    elementwise: bool
    follows: Follows | None
    commutes: bool
    keeps_zeros: bool | Callable[[Attributes], bool]
    sign: Sign | Callable[[Attributes], Sign]
    precision: Precision
    channel_axes: int
    pads_with: Literal["zeros", "lowest"] | None
    fresh: bool
    whole: bool

    def keeps_zeros_with(self, attributes: Attributes) -> bool:
        """`keeps_zeros` of a node with these attributes."""
        return self.keeps_zeros if isinstance(self.keeps_zeros, bool) else self.keeps_zeros(attributes)

    def sign_with(self, attributes: Attributes) -> Sign:
        """`sign` of a node with these attributes."""
        return self.sign if isinstance(self.sign, str) else self.sign(attributes)


def elementwise(
    precision: Precision,
    *,
    keeps_zeros: bool | Callable[[Attributes], bool],
    sign: Sign | Callable[[Attributes], Sign],
    commutes: bool,
    fresh: bool = True,
) -> Facts:
    """Of an operation on each element."""
    return Facts(
        elementwise=True, follows=None, commutes=commutes, keeps_zeros=keeps_zeros, sign=sign,
        precision=precision, channel_axes=0, pads_with=None, fresh=fresh, whole=False,
    )  # fmt: skip


def along(
    follows: Follows | None,
    precision: Precision,
    *,
    keeps_zeros: bool,
    sign: Sign,
    fresh: bool = False,
    whole: bool = False,
) -> Facts:
    """Of an operation along axes, which follows a change of them as ``follows`` says."""
    return Facts(
        elementwise=False, follows=follows, commutes=False, keeps_zeros=keeps_zeros, sign=sign,
        precision=precision, channel_axes=0, pads_with=None, fresh=fresh, whole=whole,
    )  # fmt: skip


def moving(follows: Follows | None, *, fresh: bool = False, whole: bool = False) -> Facts:
    """Of an operation that gives its operand's elements in other places."""
    return along(follows, "half", keeps_zeros=True, sign="kept", fresh=fresh, whole=whole)


def product(channel_axes: int, pads_with: Literal["zeros"] | None = None, *, fresh: bool = True) -> Facts:
    """Of an operation that sums products of its operands, such as a convolution."""
    return Facts(
        elementwise=False, follows=None, commutes=False, keeps_zeros=True, sign="kept",
        precision="accumulate", channel_axes=channel_axes, pads_with=pads_with, fresh=fresh,
        whole=False,
    )  # fmt: skip


def opaque(precision: Precision, *, fresh: bool = False) -> Facts:
    """Of an operation of which no pass can know more than what it computes in."""
    return along(None, precision, keeps_zeros=False, sign="any", fresh=fresh)


def inverse(order: Order) -> Order:
    """The order that undoes ``order``."""
    return tuple(order.index(axis) for axis in range(len(order)))


def to_channels_first(rank: int) -> Order:
    """The axes of a channels-last tensor with its channels second."""
    return (0, rank - 1, *range(1, rank - 1))


def _axis(node: Node, order: Order) -> Attributes:
    return {**node.attributes, "axis": order[node.attributes["axis"]]}


def _axes(node: Node, order: Order) -> Attributes:
    return {**node.attributes, "axes": tuple(sorted(order[axis] for axis in node.attributes["axes"]))}


def _left(node: Node, order: Order, axes: Sequence[int]) -> Order:
    """The order of the axes that stay when ``axes`` go."""
    if node.attributes.get("keepdims", False):
        return order
    kept = [axis for i, axis in enumerate(order) if i not in axes]
    return tuple(sorted(kept).index(axis) for axis in kept)


def _one_axis(node: Node, order: Order) -> Attributes | None:
    return _axes(node, order) if len(node.attributes["axes"]) == 1 else None


def per_axis(*names: str) -> Follows:
    """Of an operation whose attributes ``names`` have one entry for each axis."""

    def moved(node: Node, order: Order) -> Attributes:
        back = inverse(order)
        return {**node.attributes, **{name: tuple(node.attributes[name][i] for i in back) for name in names}}

    return Follows(moved)


ALONG_AXIS = Follows(_axis)
"""The attribute ``axis``, and results with the operand's axes."""
ALONG_AXES = Follows(_axes)
"""The attribute ``axes``, and results with the operand's axes."""
ALONG_ONE_AXIS = Follows(_one_axis)
"""`ALONG_AXES` while it is one axis: weights with several axes would not fit them in another order."""
OVER_AXES = Follows(_axes, lambda node, order: _left(node, order, node.attributes["axes"]))
"""The attribute ``axes``, which go unless ``keepdims``."""
OVER_AXIS = Follows(_axis, lambda node, order: _left(node, order, (node.attributes["axis"],)))
"""The attribute ``axis``, which goes unless ``keepdims``."""
JOINED = Follows(_axis, operands=None)
"""The attribute ``axis``, along which all operands are joined."""
