"""The rules of operations that move elements, and of reductions."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from unifront.ir.facts import inverse
from unifront.onnx.adjoints.reverse import Rule, Written, fitted
from unifront.opset import comparison as c
from unifront.opset import creation, cumulative, reduce, slicing
from unifront.opset import elementwise as e
from unifront.opset import shape as s
from unifront.opset.padding import pad
from unifront.opset.predicates import isfinite
from unifront.opset.spec import OpSpec
from unifront.opset.tensor import bind, type_of


def _as_before(w: Written, g: Any) -> Any:
    return (s.reshape(g, type_of(w.operands[0]).shape),)


def _transpose(w: Written, g: Any) -> Any:
    return (s.transpose(g, inverse(w["axes"])),)


def _broadcast_to(w: Written, g: Any) -> Any:
    return (fitted(g, w.operands[0]),)


def _concatenate(w: Written, g: Any) -> Any:
    sizes = tuple(type_of(x).shape[w["axis"]] for x in w.operands)
    return (g,) if len(sizes) == 1 else bind(s.SPLIT, g, sizes=sizes, axis=w["axis"])


def _stack(w: Written, g: Any) -> Any:
    return (s.squeeze(g, w["axis"]),) if len(w.operands) == 1 else bind(s.UNSTACK, g, axis=w["axis"])


def _split(w: Written, *gradients: Any) -> Any:
    return (s.concatenate(list(gradients), w["axis"]),)


def _unstack(w: Written, *gradients: Any) -> Any:
    return (s.stack(list(gradients), w["axis"]),)


def spread(x: Any, axis: int, stride: int) -> Any:
    """``x`` with ``stride - 1`` zeros between neighbours along ``axis``, and behind the last."""
    if stride == 1:
        return x
    shape = type_of(x).shape
    widths = [(0, 0)] * (axis + 1) + [(0, stride - 1)] + [(0, 0)] * (len(shape) - axis - 1)
    padded = pad(s.expand_dims(x, axis + 1), widths)
    return s.reshape(padded, (*shape[:axis], shape[axis] * stride, *shape[axis + 1 :]))


def _slice(w: Written, g: Any) -> Any:
    """Zeros where the slice left something out."""
    shape = type_of(w.operands[0]).shape
    for axis, (start, stop, stride) in enumerate(zip(w["starts"], w["stops"], w["strides"], strict=True)):
        if (start, stop, stride) == (0, None, 1):
            continue
        if isinstance(start, int) and start < 0:  # counted from the end
            start = max(shape[axis] + start, 0) if isinstance(shape[axis], int) else shape[axis] + start
        g = spread(g, axis, stride)
        if stride > 1:  # what stands behind the last element may be longer than what was there
            room, size = shape[axis] - start, type_of(g).shape[axis]
            if not (isinstance(room, int) and isinstance(size, int)):
                raise w.fail("a slice with steps of an axis of free length")
            g = slicing.strided_slice(g, [0] * (axis + 1), [None] * axis + [min(room, size)])
        after = shape[axis] - start - type_of(g).shape[axis]
        if isinstance(start, int) and isinstance(after, int):
            widths = [(0, 0)] * len(shape)
            widths[axis] = (start, after)
            g = pad(g, widths)
        else:
            g = _between(g, axis, start, after)
    return (g,)


def _between(g: Any, axis: int, before: Any, after: Any) -> Any:
    """``g`` between zeros, as many as free sizes say."""
    shape, dtype = type_of(g).shape, type_of(g).dtype
    parts = [
        creation.zeros((*shape[:axis], size, *shape[axis + 1 :]), dtype, like=g) for size in (before, after)
    ]
    return s.concatenate([parts[0], g, parts[1]], axis)


def _pad(w: Written, g: Any) -> Any:
    if w["mode"] != "constant":
        raise w.fail(f"padding of the mode {w['mode']!r}")
    shape = type_of(w.operands[0]).shape
    starts = [before for before, _ in w["widths"]]
    stops = [before + size for before, size in zip(starts, shape, strict=True)]
    return (slicing.strided_slice(g, starts, stops),)


def _repeat(w: Written, g: Any) -> Any:
    shape, axis = type_of(w.operands[0]).shape, w["axis"]
    rows = s.reshape(g, (*shape[: axis + 1], w["repeats"], *shape[axis + 1 :]))
    return (reduce.sum(rows, axis + 1),)


def _tile(w: Written, g: Any) -> Any:
    shape, repeats = type_of(w.operands[0]).shape, w["repeats"]
    pairs = [size for pair in zip(repeats, shape, strict=True) for size in pair]
    return (reduce.sum(s.reshape(g, pairs), range(0, len(pairs), 2)),) if pairs else (g,)


# ---------------------------------------------------------------- reductions


def kept(w: Written, value: Any) -> Any:
    """A result of the reduction, or its gradient, with the axes that it went over."""
    axes: Sequence[int] = w["axes"]
    return value if w["keepdims"] or not axes else s.expand_dims(value, axes)


def _sum(w: Written, g: Any) -> Any:
    return (s.broadcast_to(kept(w, g), type_of(w.operands[0]).shape),)


def _mean(w: Written, g: Any) -> Any:
    count: Any = 1
    for axis in w["axes"]:
        count = count * type_of(w.operands[0]).shape[axis]
    number = creation.full((), count, type_of(g).dtype, like=g)
    return _sum(w, e.divide(g, number))


def _extremum(w: Written, g: Any) -> Any:
    """Equal ones share the gradient."""
    x = w.operands[0]
    chosen = e.cast(c.equal(x, kept(w, w.results[0])), type_of(x).dtype)
    return (chosen * (kept(w, g) / reduce.sum(chosen, w["axes"], keepdims=True)),)


def _logsumexp(w: Written, g: Any) -> Any:
    top = kept(w, w.results[0])
    safe = e.where(isfinite(top), top, 0)
    return (kept(w, g) * e.exp(w.operands[0] - safe),)


def _cumsum(w: Written, g: Any) -> Any:
    return (bind(cumulative.CUMSUM, g, axis=w["axis"], reverse=not w["reverse"], exclusive=w["exclusive"]),)


TABLE: Mapping[OpSpec, Rule] = {
    s.RESHAPE: _as_before,
    s.EXPAND_DIMS: _as_before,
    s.SQUEEZE: _as_before,
    s.TRANSPOSE: _transpose,
    s.BROADCAST_TO: _broadcast_to,
    s.CONCATENATE: _concatenate,
    s.STACK: _stack,
    s.SPLIT: _split,
    s.UNSTACK: _unstack,
    slicing.SLICE: _slice,
    slicing.PAD: _pad,
    slicing.FLIP: lambda w, g: (slicing.flip(g, w["axes"]),),
    slicing.REPEAT: _repeat,
    slicing.TILE: _tile,
    reduce.SUM: _sum,
    reduce.MEAN: _mean,
    reduce.MAX: _extremum,
    reduce.MIN: _extremum,
    reduce.LOGSUMEXP: _logsumexp,
    cumulative.CUMSUM: _cumsum,
}
