"""Batch normalization in training that is written out: with the statistics of its own input."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from unifront.ir.graph import Node, Value

if TYPE_CHECKING:
    from unifront.onnx.patterns import See


def channel_of(axes: tuple[int, ...], rank: int) -> int | None:
    """The axis of the channels where a mean goes over ``axes``, all others: not the first one, whose norm is that of a
    layer."""
    left = [axis for axis in range(rank) if axis not in axes]
    return left[0] if len(left) == 1 and left[0] and rank > 1 else None


def normalized(x: Value, axis: int, epsilon: float, node: Node, see: See) -> Value:
    """``x`` by its own mean and variance over all axes but ``axis``."""
    return see.add_all("batch_norm_training", (x, None, None), {"axis": axis, "epsilon": epsilon}, node)[0]


def vector_of(value: Value | None, x: Value, axis: int, node: Node, see: See) -> Value | None:
    """A number for each channel of ``x``, which broadcasts to it, as a vector; None for anything else."""
    if value is None or value.type.dtype != x.type.dtype or value.type.rank > x.type.rank:
        return None
    shape = (1,) * (x.type.rank - value.type.rank) + value.type.shape
    if any(dim != (x.type.shape[axis] if i == axis else 1) for i, dim in enumerate(shape)):
        return None
    if value.type.rank == 1:
        return value
    return see.add("reshape", (value,), {"shape": (x.type.shape[axis],)}, node)


def scaled(node: Node, see: See) -> Value | None:
    """Numbers of channels that multiply such a normalization, or are added to it, are its scale and shift."""
    place = 1 if node.op.name == "multiply" else 2
    for one, other in (node.operands, node.operands[::-1]):
        made = see.maker(one, "batch_norm_training")
        if made is None or one is not made.outputs[0] or made.operands[place] is not None:
            continue
        x, gamma, beta = made.operands
        if x is None or (place == 1 and beta is not None):
            continue
        vector = vector_of(other, x, made.attributes["axis"], node, see)
        if vector is None:
            continue
        operands = (x, vector, beta) if place == 1 else (x, gamma, vector)
        return see.add_all("batch_norm_training", operands, made.attributes, node)[0]
    return None


def folded(node: Node, see: See) -> Value | None:
    """``x * inverse + (beta - mean * inverse)``, the inverse of the deviation times gamma: TensorFlow's form."""
    for product, rest in (node.operands, node.operands[::-1]):
        times, less = see.maker(product, "multiply"), see.maker(rest, "subtract")
        moved = see.maker(less.operands[1], "multiply") if less is not None else None
        if times is None or less is None or moved is None:
            continue
        for x, inverse in (times.operands, times.operands[::-1]):
            if inverse not in moved.operands or x is None:
                continue
            mean = moved.operands[0 if inverse is moved.operands[1] else 1]
            found = _statistics(x, mean, inverse, see)
            if found is None:
                continue
            axis, epsilon, scale = found
            gamma = None if scale is None else vector_of(scale, x, axis, node, see)
            beta = vector_of(less.operands[0], x, axis, node, see)
            if beta is None or (scale is not None and gamma is None):
                continue
            attributes: dict[str, Any] = {"axis": axis, "epsilon": epsilon}
            return see.add_all("batch_norm_training", (x, gamma, beta), attributes, node)[0]
    return None


def _statistics(
    x: Value, mean: Value | None, inverse: Value | None, see: See
) -> tuple[int, float, Value | None] | None:
    """The axis, epsilon and scale, where ``mean`` and ``inverse`` are of ``x`` over all axes but that one."""
    root, scale = inverse, None
    product = see.maker(inverse, "multiply")
    if product is not None:
        root, scale = product.operands
        if _variance(root, see) is None:
            root, scale = product.operands[::-1]
    found = _variance(root, see)
    if found is None:
        return None
    spread, epsilon = found
    square = see.squared(see.maker(spread.operands[0])) if spread is not None else None
    less = see.maker(square, "subtract")
    own = see.maker(bare(mean, see), "mean")
    if less is None or own is None or spread is None:
        return None
    other = see.maker(bare(less.operands[1], see), "mean")
    axes = tuple(own.attributes["axes"])
    axis = channel_of(axes, x.type.rank)
    same = other is not None and other.operands == own.operands and tuple(other.attributes["axes"]) == axes
    if axis is None or not same or own.operands[0] is not x or less.operands[0] is not x:
        return None
    return (axis, epsilon, scale) if tuple(spread.attributes["axes"]) == axes else None


def bare(value: Value | None, see: See) -> Value | None:
    """What is reshaped, squeezed, or has new axes."""
    made = see.maker(value, "squeeze", "expand_dims", "reshape", "stop_gradient")
    while made is not None:
        value = made.operands[0]
        made = see.maker(value, "squeeze", "expand_dims", "reshape", "stop_gradient")
    return value


def _variance(root: Value | None, see: See) -> tuple[Node | None, float] | None:
    """The mean under ``1 / sqrt(mean + epsilon)``, and epsilon."""
    made = see.inverse_root(bare(root, see))
    split = see.split(see.maker(bare(made.operands[0], see), "add")) if made is not None else None
    return None if split is None else (see.maker(bare(split[0], see), "mean"), split[1])
