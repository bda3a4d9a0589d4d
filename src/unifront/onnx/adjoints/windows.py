"""The rules of convolutions and pooling, in their own operations: with sizes that are known."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from unifront.ir.facts import inverse, to_channels_first
from unifront.onnx.adjoints.reverse import Rule, Written, shape_of
from unifront.onnx.adjoints.shape import spread
from unifront.opset import comparison as c
from unifront.opset import conv, pool, reduce, slicing
from unifront.opset import elementwise as e
from unifront.opset import shape as s
from unifront.opset.conv_transpose import CONV_TRANSPOSE
from unifront.opset.padding import pad
from unifront.opset.spec import OpSpec
from unifront.opset.tensor import bind, type_of
from unifront.opset.windows import Pairs, explicit, reach_of, spatial

LAST: Mapping[str, Any] = {"data_format": "channels_last"}


def _pairs(w: Written, window: Sequence[int], dilation: Sequence[int]) -> Pairs:
    """The padding in numbers; refused where a size is free."""
    sizes = spatial(shape_of(w.operands[0]), w["data_format"])
    known = [size for size in sizes if isinstance(size, int)]
    if len(known) < len(sizes):
        raise w.fail("of images whose sizes are free; give them in Input")
    return explicit(w["padding"], known, window, w["strides"], dilation)


def _last(w: Written, x: Any) -> Any:
    """``x`` with its channels last."""
    rank = type_of(x).rank
    first = w["data_format"] == "channels_first"
    return s.transpose(x, inverse(to_channels_first(rank))) if first else x


def _back(w: Written, x: Any) -> Any:
    """``x`` with its channels where the operation has them."""
    first = w["data_format"] == "channels_first"
    return s.transpose(x, to_channels_first(type_of(x).rank)) if first else x


def _bias(w: Written, g: Any) -> Any:
    """The sum of the gradient over all but the channels, if there is a bias."""
    return None if w.operands[2] is None else reduce.sum(g, range(type_of(g).rank - 1))


def _conv(w: Written, g: Any) -> Any:
    x, kernel, _ = w.operands
    x, g = _last(w, x), _last(w, g)
    window = tuple(shape_of(kernel)[:-2])
    pairs = _pairs(w, window, w["dilation"])
    of_x = _back(w, _conv_input(w, shape_of(x), kernel, g, pairs)) if w.wanted[0] else None
    of_kernel = _conv_kernel(w, x, window, g, pairs) if w.wanted[1] else None
    return of_x, of_kernel, _bias(w, g)


def _conv_input(w: Written, shape: Any, kernel: Any, g: Any, pairs: Pairs) -> Any:
    """The transposed convolution; of groups a convolution of what has zeros between its elements."""
    strides, dilation, groups = w["strides"], w["dilation"], w["groups"]
    window = shape_of(kernel)[:-2]
    reach, sizes, outs = reach_of(window, dilation), shape[1:-1], shape_of(g)[1:-1]
    if groups == 1:
        full = [(n - 1) * step + r for n, step, r in zip(outs, strides, reach, strict=True)]
        crops = tuple((p[0], f - p[0] - n) for p, f, n in zip(pairs, full, sizes, strict=True))
        return bind(CONV_TRANSPOSE, g, kernel, None, strides=strides, crops=crops, dilation=dilation, **LAST)
    for axis, step in enumerate(strides):
        g = spread(g, axis + 1, step)
    widths = []
    for n, p, r, there in zip(sizes, pairs, reach, shape_of(g)[1:-1], strict=True):
        before = r - 1 - p[0]
        widths.append((before, n + r - 1 - before - there))
    g = _moved(g, widths)
    *_, inner, out = shape_of(kernel)
    rank = len(window)
    flipped = slicing.flip(kernel, range(rank))
    parts = s.reshape(flipped, (*window, inner, groups, out // groups))
    turned = s.transpose(parts, [*range(rank), rank + 2, rank + 1, rank])
    turned = s.reshape(turned, (*window, out // groups, groups * inner))
    none = ((0, 0),) * rank
    return bind(
        conv.CONV,
        g,
        turned,
        None,
        strides=(1,) * rank,
        padding=none,
        dilation=dilation,
        groups=groups,
        **LAST,
    )


def _moved(x: Any, widths: Sequence[tuple[int, int]]) -> Any:
    """``x`` with zeros at the ends of its spatial axes; where the number is negative, without what is there."""
    starts = [0, *(max(-before, 0) for before, _ in widths)]
    shape = shape_of(x)
    stops = [None, *(n - max(-after, 0) for n, (_, after) in zip(shape[1:-1], widths, strict=True))]
    x = slicing.strided_slice(x, starts, stops)
    return pad(x, [(0, 0), *((max(a, 0), max(b, 0)) for a, b in widths), (0, 0)])


def _conv_kernel(w: Written, x: Any, window: tuple[int, ...], g: Any, pairs: Pairs) -> Any:
    """The convolution of the input with the gradient, examples being what is summed over, channels the examples."""
    strides, dilation, groups = w["strides"], w["dilation"], w["groups"]
    batch, *sizes, channels = shape_of(x)
    rank, outs = len(window), shape_of(g)[1:-1]
    widths = []
    for n, p, k, d, o, step in zip(sizes, pairs, window, dilation, outs, strides, strict=True):
        widths.append((p[0], d * (k - 1) + 1 + step * (o - 1) - n - p[0]))
    x = _moved(x, widths)
    sizes = list(shape_of(x)[1:-1])
    each = channels // groups
    parts = s.reshape(x, (batch, *sizes, groups, each))
    order = [rank + 2, *range(1, rank + 1), rank + 1, 0]
    turned = s.reshape(s.transpose(parts, order), (each, *sizes, batch * groups))
    weights = s.transpose(g, [*range(1, rank + 1), 0, rank + 1])
    none = ((0, 0),) * rank
    found = bind(
        conv.CONV,
        turned,
        weights,
        None,
        strides=dilation,
        padding=none,
        dilation=strides,
        groups=groups,
        **LAST,
    )
    return s.transpose(found, [*range(1, rank + 1), 0, rank + 1])


def _conv_transpose(w: Written, g: Any) -> Any:
    """A transposed convolution is linear: its gradients are a convolution, and one of the gradient with the input."""
    x, kernel, _ = w.operands
    x, g = _last(w, x), _last(w, g)
    strides, dilation, crops = w["strides"], w["dilation"], w["crops"]
    sizes = shape_of(x)[1:-1]
    if not all(isinstance(size, int) for size in sizes):
        raise w.fail("of images whose sizes are free; give them in Input")
    whole = _moved(g, crops)  # what was cut off had no part in the result
    of_bias = _bias(w, g)
    window = shape_of(kernel)[:-2]
    rank = len(window)
    none = ((0, 0),) * rank
    of_x = bind(
        conv.CONV, whole, kernel, None, strides=strides, padding=none, dilation=dilation, groups=1, **LAST
    )
    turned = s.transpose(whole, [rank + 1, *range(1, rank + 1), 0])
    weights = s.transpose(x, [*range(1, rank + 1), 0, rank + 1])
    of_kernel = bind(
        conv.CONV, turned, weights, None, strides=dilation, padding=none, dilation=strides, groups=1, **LAST
    )
    return _back(w, of_x), s.transpose(of_kernel, [*range(1, rank + 1), 0, rank + 1]), of_bias


# ---------------------------------------------------------------- pooling


def _overlaid(g: Any, window: Sequence[int], strides: Sequence[int], sizes: Sequence[int]) -> Any:
    """Each element of ``g`` added to all of its window, of images of ``sizes``: one axis after the other."""
    for i, (k, step, n) in enumerate(zip(window, strides, sizes, strict=True)):
        g = spread(g, i + 1, step)
        g = _sum_of([_placed(g, i, tap, n) for tap in range(k)])
    return g


def _sum_of(parts: Sequence[Any]) -> Any:
    total = parts[0]
    for one in parts[1:]:
        total = e.add(total, one)
    return total


def _placed(x: Any, axis: int, start: int, size: int) -> Any:
    """``x`` from ``start`` on among ``size`` elements of a spatial axis; what is beyond them are zeros."""
    rank = type_of(x).rank - 2
    widths = [(0, 0)] * rank
    there = shape_of(x)[axis + 1]
    widths[axis] = (start, size - start - there)
    return _moved(x, widths)


def _padded_sizes(x: Any, pairs: Pairs) -> list[int]:
    return [n + before + after for n, (before, after) in zip(shape_of(x)[1:-1], pairs, strict=True)]


def _unpadded(x: Any, pairs: Pairs) -> Any:
    return _moved(x, [(-before, -after) for before, after in pairs])


def _average_pool(w: Written, g: Any) -> Any:
    x, g = _last(w, w.operands[0]), _last(w, g)
    window, strides = w["pool_size"], w["strides"]
    pairs = _pairs(w, window, (1,) * len(window))
    counts: Any = np.ones(())
    for n, k, step, (before, after), o in zip(
        shape_of(x)[1:-1], window, strides, pairs, shape_of(g)[1:-1], strict=True
    ):
        inside = np.zeros(before + n + after, int)
        inside[before : before + n] = 1
        counts = np.multiply.outer(counts, [inside[i * step : i * step + k].sum() for i in range(o)])
    shares = (1 / counts)[None, ..., None].astype(type_of(g).dtype.numpy)
    found = _overlaid(e.multiply(g, shares), window, strides, _padded_sizes(x, pairs))
    return (_back(w, _unpadded(found, pairs)),)


def _max_pool(w: Written, g: Any) -> Any:
    """The first of the largest elements of each window gets the gradient."""
    x, y, g = (_last(w, one) for one in (w.operands[0], w.results[0], g))
    window, strides = w["pool_size"], w["strides"]
    pairs = _pairs(w, window, (1,) * len(window))
    filled = pad(x, [(0, 0), *pairs, (0, 0)], constant_values=-np.inf) if any(map(any, pairs)) else x
    outs, sizes = shape_of(y)[1:-1], _padded_sizes(x, pairs)
    free, total = None, None
    for taps in np.ndindex(*window):
        stops = [t + (o - 1) * step + 1 for t, o, step in zip(taps, outs, strides, strict=True)]
        seen = slicing.strided_slice(filled, [0, *taps], [None, *stops], [1, *strides])
        here = c.equal(seen, y)
        if free is not None:
            here = c.logical_and(here, free)
        free = c.logical_not(here) if free is None else c.logical_and(free, c.logical_not(here))
        part = e.where(here, g, 0)
        for axis, step in enumerate(strides):
            part = spread(part, axis + 1, step)
        for axis, (tap, n) in enumerate(zip(taps, sizes, strict=True)):
            part = _placed(part, axis, tap, n)
        total = part if total is None else e.add(total, part)
    return (_back(w, _unpadded(total, pairs)),)


TABLE: Mapping[OpSpec, Rule] = {
    conv.CONV: _conv,
    CONV_TRANSPOSE: _conv_transpose,
    pool.MAX_POOL: _max_pool,
    pool.AVERAGE_POOL: _average_pool,
}
