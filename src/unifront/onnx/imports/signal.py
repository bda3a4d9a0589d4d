"""Fourier transforms and what filters of sound are made of."""

from __future__ import annotations

from typing import Any

import numpy as np

from unifront import ops
from unifront.onnx.imports.node import Node, Row, axis_of, rank, whole
from unifront.onnx.imports.shape import padded
from unifront.onnx.imports.values import carrier
from unifront.opset.tensor import type_of


def _dft(node: Node, x: Any, length: Any = None, axis: Any = None) -> Any:
    place = node["axis"] if node.version < 20 else -2 if axis is None else int(axis.reshape(-1)[0])
    place = axis_of(node, place, rank(x))
    if place == rank(x) - 1:
        node.fail("the last axis holds real and imaginary parts, and is not transformed")
    size = None if length is None else int(length.reshape(-1)[0])
    return transformed(node, x, place, size, inverse=bool(node["inverse"]), onesided=bool(node["onesided"]))


def transformed(node: Node, x: Any, axis: int, size: int | None, *, inverse: bool, onesided: bool) -> Any:
    """The discrete Fourier transform along ``axis`` of numbers with their parts along the last axis."""
    parts = type_of(x).shape[-1]
    count = size if size is not None else type_of(x).shape[axis]
    if inverse and onesided:
        if size is None:
            count = 2 * (count - 1)
        return _real(x, axis, whole(node, count, "the length"))
    x = _of_length(node, x, axis, count)
    real = ops.moveaxis(ops.get_item(x, (..., 0)), axis, -1)
    imag = ops.moveaxis(ops.get_item(x, (..., 1)), axis, -1) if parts == 2 else ops.zeros_like(real)
    if inverse:  # the conjugate of the transform of the conjugate
        real, imag = ops.fft((real, ops.negative(imag)))
        real, imag = ops.divide(real, count), ops.negative(ops.divide(imag, count))
    else:
        real, imag = ops.fft((real, imag))
    y = ops.stack([ops.moveaxis(real, -1, axis), ops.moveaxis(imag, -1, axis)], -1)
    if not onesided:
        return y
    half = count // 2 + 1
    return ops.strided_slice(y, (0,) * (axis + 1), (*(None,) * axis, half))


def _real(x: Any, axis: int, count: int) -> Any:
    """The real numbers of which ``x`` is one half of the transform."""
    real, imag = (ops.moveaxis(ops.get_item(x, (..., i)), axis, -1) for i in range(2))
    y = ops.irfft((real, imag), count)
    return ops.expand_dims(ops.moveaxis(y, -1, axis), -1)


def _of_length(node: Node, x: Any, axis: int, count: Any) -> Any:
    have = type_of(x).shape[axis]
    more = count - have
    if not isinstance(more, int):
        node.fail("a transform of another length than that of the axis, which is free")
    pairs = [(0, more) if i == axis else (0, 0) for i in range(rank(x))]
    return padded(x, pairs, "constant") if more else x


def _stft(node: Node, x: Any, step: Any, window: Any = None, length: Any = None) -> Any:
    """Transforms of pieces, each ``step`` after the other, seen through a window."""
    size = (
        int(length.reshape(-1)[0])
        if length is not None
        else whole(node, type_of(window).shape[0], "the window")
    )
    hop = int(step.reshape(-1)[0])
    total = type_of(x).shape[1]
    if not isinstance(total, int):
        node.fail("a signal of free length")
    count = (total - size) // hop + 1
    node.room(count * size)
    places = np.arange(count)[:, None] * hop + np.arange(size)
    frames = ops.take(x, places, 1)  # [batch, frames, size, parts]
    if window is not None:
        frames = ops.multiply(frames, ops.reshape(window, (size, 1)))
    return transformed(node, frames, 2, None, inverse=False, onesided=bool(node["onesided"]))


def _mel_weights(node: Node, bins: Any, length: Any, rate: Any, low: Any, high: Any) -> Any:
    """Triangles that are equally wide on the mel scale, over the frequencies of a transform."""
    count, size, rate, low, high = (one.reshape(-1)[0].item() for one in (bins, length, rate, low, high))
    spectrum = size // 2 + 1
    if not 0 < count <= 2**16 or not 0 < spectrum <= 2**16:
        node.fail(f"{count} bins over {spectrum} frequencies")
    begin, end = (2595 * np.log10(1 + edge / 700) for edge in (low, high))
    mel = begin + np.arange(count + 2) * (end - begin) / (count + 2)
    edges = ((size + 1) * (700 * (10 ** (mel / 2595) - 1)) // rate).astype(np.int64)
    weights = np.zeros((spectrum, count))
    for i in range(count):
        lower, centre, upper = edges[i : i + 3]
        rise, fall = centre - lower, upper - centre
        if rise == 0:
            weights[centre, i] = 1
        else:
            places = np.arange(lower, centre + 1)
            weights[places, i] = (places - lower) / rise
        if fall > 0:
            places = np.arange(centre, upper)
            weights[places, i] = (upper - places) / fall
    return weights.astype(carrier(node["output_datatype"]).numpy)


TABLE = {
    "DFT": Row(_dft, known=(1, 2)),
    "STFT": Row(_stft, known=(1, 3)),
    "MelWeightMatrix": Row(_mel_weights, known=range(5)),
}
