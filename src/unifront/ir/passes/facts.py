"""What passes know of operations by name: which work on each element, how others follow a change of axes.

An operand written ``transpose(base, order)`` has its axis ``i`` at axis ``order[i]`` of ``base``. A `Follows`
says how an operation runs on ``base`` instead, and in which order of axes its results then stand.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from unifront.ir.graph import Node

Order = tuple[int, ...]

ELEMENTWISE = frozenset({
    "negative", "abs", "sign", "square", "exp", "expm1", "log", "log1p", "sqrt", "rsqrt", "reciprocal",
    "sin", "cos", "tan", "tanh", "sigmoid", "erf", "floor", "ceil", "round", "relu", "softplus",
    "softsign", "silu", "selu", "hard_sigmoid", "gelu", "leaky_relu", "elu", "cast", "clip",
    "stop_gradient", "add", "subtract", "multiply", "divide", "floor_divide", "remainder", "power",
    "maximum", "minimum", "equal", "not_equal", "less", "less_equal", "greater", "greater_equal",
    "logical_and", "logical_or", "logical_not", "where",
})  # fmt: skip
"""Operations on each element, whose operands broadcast and whose attributes name no axis."""

REDUCTIONS = frozenset({"sum", "prod", "mean", "max", "min", "logsumexp", "var", "std", "all", "any"})
"""Operations with the attributes ``axes`` and ``keepdims``."""

ALONG_AXIS = frozenset({"softmax", "log_softmax", "cumsum", "sort", "argsort"})
"""Operations of one operand along the attribute ``axis``, whose results have the operand's axes."""

CHANNEL_KERNELS = frozenset({"conv", "depthwise_conv", "dense"})
"""Operations ``(x, kernel, bias)`` whose kernel and bias hold one part for each channel of the result."""


@dataclass(frozen=True)
class Follows:
    """How an operation runs on untransposed operands.

    Args:
        attributes: ``(node, order) -> attributes`` of the node that runs on them; None if it cannot.
        order: ``(node, order) -> `` the order in which its results then stand.
        operands: how many operands, from the first, are transposed; None means all.
    """

    attributes: Callable[[Node, Order], Mapping[str, Any] | None]
    order: Callable[[Node, Order], Order] = lambda node, order: order
    operands: int | None = 1


def _axis(node: Node, order: Order) -> Mapping[str, Any]:
    return {**node.attributes, "axis": order[node.attributes["axis"]]}


def _axes(node: Node, order: Order) -> Mapping[str, Any]:
    return {**node.attributes, "axes": tuple(sorted(order[axis] for axis in node.attributes["axes"]))}


def _left(node: Node, order: Order, axes: Sequence[int]) -> Order:
    """The order of the axes that stay when ``axes`` go."""
    if node.attributes.get("keepdims", False):
        return order
    kept = [axis for i, axis in enumerate(order) if i not in axes]
    return tuple(sorted(kept).index(axis) for axis in kept)


def _one_axis(node: Node, order: Order) -> Mapping[str, Any] | None:
    """Of an operation whose weights have the axes ``axes``: in another order they would not fit."""
    return _axes(node, order) if len(node.attributes["axes"]) == 1 else None


def _per_axis(*names: str) -> Callable[[Node, Order], Mapping[str, Any]]:
    """Attributes with one entry for each axis."""

    def moved(node: Node, order: Order) -> Mapping[str, Any]:
        back = inverse(order)
        return {**node.attributes, **{name: tuple(node.attributes[name][i] for i in back) for name in names}}

    return moved


_reduction = Follows(_axes, lambda node, order: _left(node, order, node.attributes["axes"]))
_position = Follows(_axis, lambda node, order: _left(node, order, (node.attributes["axis"],)))
FOLLOWS: dict[str, Follows] = {
    **dict.fromkeys(REDUCTIONS, _reduction),
    **dict.fromkeys(ALONG_AXIS, Follows(_axis)),
    "squeeze": _reduction,
    "argmax": _position,
    "argmin": _position,
    "concatenate": Follows(_axis, operands=None),
    "split": Follows(_axis),
    "flip": Follows(_axes),
    "pad": Follows(_per_axis("widths")),
    "slice": Follows(_per_axis("starts", "stops", "strides")),
    "layer_norm": Follows(_one_axis),
    "rms_norm": Follows(_one_axis),
    "batch_norm": Follows(_axis),  # its other operands are vectors
}


def inverse(order: Order) -> Order:
    """The order that undoes ``order``."""
    return tuple(order.index(axis) for axis in range(len(order)))


def to_channels_first(rank: int) -> Order:
    """The axes of a channels-last tensor with its channels second."""
    return (0, rank - 1, *range(1, rank - 1))
