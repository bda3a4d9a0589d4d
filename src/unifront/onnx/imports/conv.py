"""Convolutions: channels first, as ONNX has them; the kernels of weights are laid out as unifront's are."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from unifront import ops
from unifront.onnx.imports.node import Node, Row, rank
from unifront.opset.conv_transpose import CONV_TRANSPOSE
from unifront.opset.tensor import bind, type_of
from unifront.opset.windows import same_pairs, window_of

FIRST = "channels_first"
Pairs = list[tuple[int, int]]


def spread(node: Node, name: str, count: int) -> tuple[int, ...]:
    """An attribute with one int for each spatial axis, 1 unless given."""
    given = tuple(node[name] or (1,) * count)
    if len(given) != count or any(n < 1 for n in given):
        node.fail(f"{name} is {given}; positive ints for {count} axes are needed")
    return given


def pairs_of(pads: Sequence[int]) -> Pairs:
    """ONNX's pads, all begins and then all ends, as pairs."""
    half = len(pads) // 2
    return [(int(low), int(high)) for low, high in zip(pads[:half], pads[half:], strict=True)]


def padding(
    node: Node, sizes: Sequence[Any], window: Sequence[int], strides: Sequence[int], dilation: Sequence[int]
) -> Pairs | str:
    """The padding of a window: pairs, or ``"same"`` where it hangs on a size that is free."""
    mode = node["auto_pad"] or "NOTSET"
    if mode == "NOTSET":
        given = tuple(node["pads"] or (0,) * 2 * len(window))
        if len(given) != 2 * len(window):
            node.fail(f"{len(given)} pads for {len(window)} axes")
        return pairs_of(given)
    if mode == "VALID":
        return [(0, 0)] * len(window)
    if mode not in ("SAME_UPPER", "SAME_LOWER"):
        node.fail(f"auto_pad is {mode!r}")
    if not all(isinstance(size, int) for size in sizes):
        if mode == "SAME_UPPER" or all(
            s == 1 and (d * (k - 1)) % 2 == 0 for k, s, d in zip(window, strides, dilation, strict=True)
        ):
            return "same"
        node.fail("auto_pad SAME_LOWER over axes of free length")
    found = same_pairs([int(size) for size in sizes], window, strides, dilation)
    return [(high, low) if mode == "SAME_LOWER" else (low, high) for low, high in found]


def kernel_axes(count: int) -> tuple[int, ...]:
    """From ``[out, in, *window]`` to ``[*window, in, out]``."""
    return (*range(2, 2 + count), 1, 0)


def convolution(node: Node, x: Any, kernel: Any, bias: Any = None, *, last: bool = False) -> Any:
    """The row of Conv; ``last``: whether kernels are ``[out, *window, in]``."""
    shape = kernel.shape if isinstance(kernel, np.ndarray) else getattr(kernel, "array", kernel).shape
    count = len(shape) - 2
    if rank(x) != count + 2 or count < 1:
        node.fail(f"an input of {type_of(x)} and a kernel of {shape}")
    bias = None if bias is None else node.weight(bias)
    order = (*range(1, 1 + count), 1 + count, 0) if last else kernel_axes(count)
    return convolved(node, x, node.weight(kernel, order), bias, node["group"])


def convolved(node: Node, x: Any, kernel: Any, bias: Any, groups: int) -> Any:
    """The convolution with a kernel ``[*window, in, out]``."""
    count = rank(x) - 2
    window = window_of(type_of(kernel), count)
    strides, dilation = spread(node, "strides", count), spread(node, "dilations", count)
    pads = padding(node, type_of(x).shape[2:], window, strides, dilation)
    if not isinstance(pads, str) and any(n < 0 for pair in pads for n in pair):
        from unifront.onnx.imports.shape import padded

        x, pads = padded(x, [(0, 0), (0, 0), *pads], "constant"), [(0, 0)] * count
    return ops.conv(x, kernel, strides, pads, FIRST, dilation, bias=bias, groups=groups)


def _conv_transpose(node: Node, x: Any, kernel: Any, bias: Any = None) -> Any:
    shape = kernel.shape if isinstance(kernel, np.ndarray) else getattr(kernel, "array", kernel).shape
    count, groups = len(shape) - 2, node["group"]
    kernel = node.weight(kernel, (*range(2, 2 + count), 1, 0))  # [in, out, *window] as [*window, out, in]
    bias = None if bias is None else node.weight(bias)
    window, strides, dilation = shape[2:], spread(node, "strides", count), spread(node, "dilations", count)
    crops = _crops(node, type_of(x).shape[2:], window, strides, dilation)
    attributes: dict[str, Any] = {
        "strides": strides,
        "crops": crops,
        "dilation": dilation,
        "data_format": FIRST,
    }
    if groups == 1:
        return bind(CONV_TRANSPOSE, x, kernel, bias, **attributes)
    parts = zip(ops.split(x, groups, 1), ops.split(kernel, groups, -1), strict=True)
    joined = ops.concatenate([bind(CONV_TRANSPOSE, part, own, None, **attributes) for part, own in parts], 1)
    return joined if bias is None else ops.add(joined, ops.reshape(bias, (-1, *(1,) * count)))


def _crops(
    node: Node, sizes: Sequence[Any], window: Sequence[int], strides: Sequence[int], dilation: Sequence[int]
) -> tuple[tuple[int, int], ...]:
    """What is cut off the largest result at both ends: the pads, less what the output is to have more."""
    count = len(window)
    extra = tuple(node["output_padding"] or (0,) * count)
    mode, wanted = node["auto_pad"] or "NOTSET", node["output_shape"]
    if wanted is None and mode in ("NOTSET", "VALID"):
        pads = pairs_of(node["pads"] or (0,) * 2 * count) if mode == "NOTSET" else [(0, 0)] * count
        return tuple((low, high - more) for (low, high), more in zip(pads, extra, strict=True))
    crops = []
    for i in range(count):
        size, s, reach = sizes[i], strides[i], dilation[i] * (window[i] - 1) + 1
        out = size * s if wanted is None else wanted[-count:][i]
        total = (size - 1) * s + reach + extra[i] - out
        if not isinstance(total, int):
            node.fail("an output shape over an axis of free length")
        half = total // 2
        low, high = (half, total - half) if mode == "SAME_UPPER" else (total - half, half)
        crops.append((low, high - extra[i]))
    return tuple(crops)


TABLE = {
    "Conv": Row(convolution, weights=(1, 2)),
    "ConvTranspose": Row(_conv_transpose, weights=(1, 2)),
}
