"""Fourier transforms."""

from __future__ import annotations

from typing import Any

import numpy as np

from unifront.ir.dims import Dim
from unifront.onnx.writer import Ref, Row, Writer
from unifront.opset import fft as f
from unifront.opset.spec import OpSpec


def _dft(w: Writer, parts: list[Ref], rank: int, axis: int, kind: str) -> tuple[Any, Any]:
    """One DFT, which takes the parts along a last axis, and an axis before the signal's."""
    x = w.op("Concat", *(w.op("Unsqueeze", part, np.array([rank])) for part in parts), axis=rank)
    alone = int(rank == 1)
    x = w.op("Unsqueeze", x, np.array([0])) if alone else x
    flags = {"inverse": int(kind == "ifft"), "onesided": int(kind == "rfft")}
    if w.opset >= 20:
        x = w.op("DFT", x, None, np.array(axis + alone), **flags)
    else:
        x = w.op("DFT", x, axis=axis + alone, **flags)
    x = w.op("Squeeze", x, np.array([0])) if alone else x
    real, imag = (w.op("Gather", x, np.array(part), axis=rank) for part in (0, 1))
    return real, imag


def _sums(w: Writer, parts: list[Ref], axis: int, length: int, like: Ref, kind: str) -> tuple[Any, Any]:
    """The definition, before there was DFT: a product with the matrix of cosines and sines."""
    size = length // 2 + 1 if kind == "rfft" else length
    turn = 2 * np.pi * np.outer(np.arange(length), np.arange(size)) / length
    scale = 1 / length if kind == "ifft" else 1
    dtype = like.type.dtype.numpy
    cos, sin = ((scale * function(turn)).astype(dtype) for function in (np.cos, np.sin))
    sin = -sin if kind == "ifft" else sin  # exp(-i t) = cos t - i sin t; inverted exp(i t)
    order = list(range(like.type.rank))
    order[axis], order[-1] = order[-1], order[axis]
    turned = [w.op("Transpose", part, perm=order) for part in parts]
    real, imag = w.op("MatMul", turned[0], cos), w.op("Neg", w.op("MatMul", turned[0], sin))
    if len(parts) == 2:
        real = w.op("Add", real, w.op("MatMul", turned[1], sin))
        imag = w.op("Add", imag, w.op("MatMul", turned[1], cos))
    return w.op("Transpose", real, perm=order), w.op("Transpose", imag, perm=order)


def _whole_spectrum(w: Writer, real: Ref, imag: Ref, length: int) -> list[Any]:
    """The terms that `irfft` leaves out are conjugates of others; the first and a middle one are real."""
    axis, known = real.type.rank - 1, length // 2 + 1
    mirrored = np.arange(length - known, 0, -1)
    is_real = (np.arange(known) == 0) | (2 * np.arange(known) == length)
    imag = w.op("Mul", imag, np.where(is_real, 0, 1).astype(real.type.dtype.numpy))
    rest = [w.op("Gather", part, mirrored, axis=axis) for part in (real, imag)]
    return [
        w.op("Concat", real, rest[0], axis=axis),
        w.op("Concat", imag, w.op("Neg", rest[1]), axis=axis),
    ]


def _fft(w: Writer, real: Ref, imag: Ref | None, kind: str, dimensions: int, length: Dim) -> Any:
    rank = real.type.rank
    sizes = real.type.shape[rank - dimensions :]
    has_free = not all(isinstance(size, int) for size in (length, *sizes))
    if has_free and (kind == "irfft" or w.opset < 17):
        return NotImplemented
    parts: list[Any] = [real] if imag is None else [real, imag]
    inner = kind
    if kind == "irfft":
        assert imag is not None
        parts, inner = _whole_spectrum(w, real, imag, int(length)), "ifft"  # type: ignore[arg-type]  # looked at above
    for axis in range(rank - dimensions, rank):
        if w.opset >= 17:
            parts = list(_dft(w, parts, rank, axis, inner))
        else:
            size: Any = length if axis == rank - 1 else real.type.shape[axis]
            parts = list(_sums(w, parts, axis, size, real, inner))
    return parts[0] if kind == "irfft" else tuple(parts)


TABLE: dict[OpSpec, Row] = {f.FFT: _fft}
