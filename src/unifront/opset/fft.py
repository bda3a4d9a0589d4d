"""Fourier transforms, on pairs of real tensors, and those of short windows."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from unifront.arguments import Size
from unifront.dtypes import float32, float64
from unifront.errors import ArgumentError, DTypeError, ShapeError
from unifront.ir import facts
from unifront.ir.dims import Dim, DimExpr
from unifront.ir.types import TensorType
from unifront.opset import elementwise as e
from unifront.opset import flops, reduce
from unifront.opset.arrays import host_array
from unifront.opset.creation import iota
from unifront.opset.elementwise import TensorLike
from unifront.opset.index import take
from unifront.opset.padding import pad
from unifront.opset.rules import need_float, same_dtype, show
from unifront.opset.shape import reshape, swapaxes
from unifront.opset.slicing import get_item, tile
from unifront.opset.spec import OpSpec, Sample, register
from unifront.opset.tensor import bind, is_tensor, replayed, type_of

_KINDS = ("fft", "ifft", "rfft", "irfft")


def _unequal(kind: str, real: TensorType, imag: TensorType) -> str:
    return (
        f"{kind}: both the real and imaginary parts should have the same shape; they have {show(real.shape)} and "
        f"{show(imag.shape)}."
    )


def _fft_rule(
    real: TensorType, imag: TensorType | None, kind: str, dimensions: int, length: Dim
) -> tuple[TensorType, ...]:
    if kind not in _KINDS or not 1 <= dimensions <= (1 if "r" in kind else 2):
        raise ArgumentError(f"There is no transform {kind!r} over {dimensions} axes.")
    parts = [part for part in (real, imag) if part is not None]
    if same_dtype(*parts) not in (float32, float64):
        raise DTypeError(f"{kind}: the signal is {real.dtype}; float32 or float64 is needed.")
    if (kind == "rfft") != (imag is None):
        raise ArgumentError(
            f"{kind}: the signal is {'one tensor' if kind == 'rfft' else 'a pair of tensors'}."
        )
    if any(part.shape != real.shape for part in parts):
        raise ShapeError(_unequal(kind, *parts))
    if real.rank < dimensions:
        raise ShapeError(f"{kind}: the shape {show(real.shape)} has fewer than {dimensions} axes.")
    wanted = length // 2 + 1 if kind == "irfft" else length
    if real.shape[-1] != wanted or 0 in real.shape[-dimensions:] or length == 0:
        raise ShapeError(f"{kind}: a signal of {length} samples does not fit the shape {show(real.shape)}.")
    size = length // 2 + 1 if kind == "rfft" else length
    found = real.with_shape((*real.shape[:-1], size))
    return (found,) if kind == "irfft" else (found, found)


def _fft(real: np.ndarray, imag: np.ndarray | None, kind: str, dimensions: int, length: int) -> Any:
    if imag is None:
        found = np.fft.rfft(real, length)
    elif kind == "irfft":
        return np.fft.irfft(real + 1j * imag, length)
    else:
        transform = np.fft.fftn if kind == "fft" else np.fft.ifftn
        found = transform(real + 1j * imag, axes=tuple(range(-dimensions, 0)))
    return found.real, found.imag


def _fft_samples(rng: np.random.Generator) -> Iterator[Sample]:
    for shape, dimensions in (((5,), 1), ((2, 4), 1), ((2, 1, 3), 2), ((1,), 1), ((4, 6), 2), ((0, 4), 1)):
        for kind in ("fft", "ifft"):
            attributes = {"kind": kind, "dimensions": dimensions, "length": shape[-1]}
            yield Sample((rng.normal(size=shape), rng.normal(size=shape)), attributes)
    for batch, length in (((), 5), ((2,), 4), ((2, 3), 1), ((0,), 4)):
        attributes = {"dimensions": 1, "length": length}
        yield Sample((rng.normal(size=(*batch, length)), None), {"kind": "rfft", **attributes})
        halves = (*batch, length // 2 + 1)
        yield Sample((rng.normal(size=halves), rng.normal(size=halves)), {"kind": "irfft", **attributes})


FFT = register(
    OpSpec(
        "fft", _fft_rule, _fft, _fft_samples, "NumPy fft; ONNX DFT",
        {"kind": str, "dimensions": int, "length": (int, DimExpr)}, facts=facts.opaque("float32"), flops=flops.fft,
    )
)  # fmt: skip

Pair = Any
"""A tuple or list of two tensors, the real and the imaginary part."""


def _pair(kind: str, x: Pair) -> tuple[Any, Any]:
    if not isinstance(x, tuple | list) or len(x) != 2:
        raise ArgumentError(
            f"{kind}: x should be a tuple of two tensors, real and imaginary; given was {type(x).__name__}."
        )
    types = [type_of(part) for part in x]
    for type_ in types:
        if not type_.dtype.is_float:
            raise ArgumentError(f"{kind}: a part of x is {type_.dtype}; floats are needed.")
    if types[0].shape != types[1].shape:
        raise ShapeError(_unequal(kind, *types))
    real, imag = e.promoted(*x)
    return real, imag


def _transformed(
    kind: str, parts: Sequence[Any], dimensions: int = 1, length: int | None = None
) -> tuple[Any, ...]:
    """The transform, of 16-bit floats in float32 and rounded."""
    dtype = type_of(parts[0]).dtype
    given = [part if dtype in (float32, float64) else e.cast(part, float32) for part in parts]
    shape = type_of(given[0]).shape
    if len(shape) < dimensions:
        raise ShapeError(f"{kind}: the shape {show(shape)} has fewer than {dimensions} axes.")
    if length is None:
        size: Dim = 2 * (shape[-1] - 1) if kind == "irfft" else shape[-1]
    else:
        size = length
        given = [_of_length(part, length // 2 + 1 if kind == "irfft" else length) for part in given]
    operands = given if len(given) == 2 else [*given, None]
    found = bind(FFT, *operands, kind=kind, dimensions=dimensions, length=size)
    results = found if isinstance(found, tuple) else (found,)
    return results if dtype in (float32, float64) else tuple(e.cast(part, dtype) for part in results)


def _of_length(x: Any, length: int) -> Any:
    """``x`` with its last axis cut, or filled up with zeros, to ``length``."""
    shape = type_of(x).shape
    if shape[-1] == length:
        return x
    if not isinstance(shape[-1], int) or shape[-1] < length:
        x = pad(x, [(0, 0)] * (len(shape) - 1) + [(0, length)])
    return get_item(x, (..., slice(0, length)))


@replayed
def fft(x: Pair) -> tuple[Any, Any]:
    """The discrete Fourier transform along the last axis (NumPy fft.fft; ONNX DFT).

    Args:
        x: the real and the imaginary part, floats of one shape.

    Returns the two parts of the result. Raises `ArgumentError` for anything but a pair of floats, `ShapeError` where
    they do not fit.

    Example::

        uf.ops.fft((np.array([1.0, 2.0]), np.array([0.0, 1.0])))  # ([3., -1.], [1., -1.])
    """
    real, imag = _transformed("fft", _pair("fft", x))
    return real, imag


@replayed
def fft2(x: Pair) -> tuple[Any, Any]:
    """`fft` along the last two axes (NumPy fft.fft2)."""
    real, imag = _transformed("fft", _pair("fft2", x), 2)
    return real, imag


@replayed
def ifft2(x: Pair) -> tuple[Any, Any]:
    """The inverse of `fft2` (NumPy fft.ifft2)."""
    real, imag = _transformed("ifft", _pair("ifft2", x), 2)
    return real, imag


@replayed
def rfft(x: TensorLike, fft_length: Size | None = None) -> tuple[Any, Any]:
    """The first ``fft_length // 2 + 1`` terms of the transform of a real signal along its last axis; the others are
    their conjugates (NumPy fft.rfft).

    Args:
        x: ``[..., n]``; integers become float32.
        fft_length: to which the signal is cut, or filled up with zeros. Default its own length.

    Returns the real and the imaginary part. Raises `DTypeError` for complex numbers.
    """
    x = e.floating(x)
    need_float(type_of(x), "the signal")
    real, imag = _transformed("rfft", [x], length=fft_length)
    return real, imag


@replayed
def irfft(x: Pair, fft_length: Size | None = None) -> Any:
    """The real signal of which `rfft` gives ``x`` (NumPy fft.irfft).

    Args:
        x: the real and the imaginary part, ``[..., k]``.
        fft_length: the length of the signal, for which ``fft_length // 2 + 1`` terms are taken. Default
            ``2 * (k - 1)``; an odd length must be given.
    """
    return _transformed("irfft", _pair("irfft", x), length=fft_length)[0]


@replayed
def extract_sequences(x: TensorLike, sequence_length: Size, sequence_stride: Size) -> Any:
    """Windows of the last axis: ``[..., n]`` → ``[..., 1 + (n - length) // stride, length]`` (torch.Tensor.unfold).

    Args:
        sequence_length: of a window.
        sequence_stride: from the beginning of one window to that of the next.

    Raises `ShapeError` for a scalar, or where no window fits.
    """
    shape = type_of(x).shape
    if not shape:
        raise ShapeError("extract_sequences: a scalar has no windows.")
    if isinstance(shape[-1], int) and shape[-1] < sequence_length:
        raise ShapeError(
            f"extract_sequences: a window of {sequence_length} does not fit the shape {show(shape)}."
        )
    count = 1 + (shape[-1] - sequence_length) // sequence_stride
    starts, within = iota((count, 1), 0, like=x), iota((1, sequence_length), 1, like=x)
    return take(x, e.add(e.multiply(starts, sequence_stride), within), axis=-1)


_WINDOWS = {"hann": (0.5, 0.5), "hamming": (0.54, 0.46)}


def _need_stride(name: str, stride: Any) -> None:
    if not isinstance(stride, int) or isinstance(stride, bool) or stride <= 0:
        raise ArgumentError(f"{name}: `sequence_stride` must be a positive integer, not {stride!r}.")


def _window(name: str, window: Any, sequence_length: int, fft_length: int, like: Any) -> Any:
    """The window as a tensor of ``fft_length`` and of the dtype of ``like``; None for none."""
    if fft_length < sequence_length:
        raise ArgumentError(
            f"{name}: `fft_length` must equal or exceed the length of a sequence; they are {fft_length} and "
            f"{sequence_length}."
        )
    if window is None:
        return None
    dtype = type_of(like).dtype
    if isinstance(window, str):
        if window not in _WINDOWS:
            raise ArgumentError(f"{name}: a window is 'hann', 'hamming' or a tensor, not {window!r}.")
        level, swing = _WINDOWS[window]
        turn = 2 * np.pi * np.arange(sequence_length) / sequence_length
        window = (level - swing * np.cos(turn)).astype(dtype.numpy)
    elif not is_tensor(window):
        window = host_array(window)
    if type_of(window).shape != (sequence_length,):
        raise ShapeError(
            f"{name}: the shape of `window` must be equal to [sequence_length], which is [{sequence_length}]; it is "
            f"{show(type_of(window).shape)}."
        )
    before = (fft_length - sequence_length) // 2
    return pad(e.cast(window, dtype), [(before, fft_length - sequence_length - before)])


@replayed
def stft(
    x: TensorLike,
    sequence_length: Size,
    sequence_stride: Any,
    fft_length: Size,
    window: Any = "hann",
    center: bool = True,
) -> tuple[Any, Any]:
    """Transforms of windows along the last axis: ``[..., n]`` → ``[..., windows, fft_length // 2 + 1]``
    (librosa.stft; torch.stft).

    Args:
        x: float32 or float64.
        sequence_length: of the window.
        sequence_stride: from one window to the next.
        fft_length: of the transforms, at least ``sequence_length``; the window stands in the middle of it.
        window: ``"hann"``, ``"hamming"`` (both periodic), a tensor ``[sequence_length]``, or None for none.
        center: mirror the signal at both ends by ``fft_length // 2``, so that window ``t`` is centred at
            ``t * sequence_stride``.

    Returns the real and the imaginary part.
    """
    _need_stride("stft", sequence_stride)
    if type_of(x).dtype not in (float32, float64):
        raise DTypeError(
            f"stft: x is {type_of(x).dtype}; it should be `float32` or `float64`. Cast it first."
        )
    weights = _window("stft", window, sequence_length, fft_length, x)
    if center:
        x = pad(x, [(0, 0)] * (type_of(x).rank - 1) + [(fft_length // 2,) * 2], mode="reflect")
    sequences = extract_sequences(x, fft_length, sequence_stride)
    real, imag = rfft(sequences if weights is None else e.multiply(sequences, weights))
    return real, imag


def _overlapped(x: Any, length: int, stride: int) -> Any:
    """Windows added at their places: ``[..., windows, length]`` → ``[..., (windows - 1 + blocks) * stride]``.

    The windows are cut in blocks of ``stride``. The k-th blocks, followed by zeros, are rows of a sheared matrix
    in which each row stands k blocks later.
    """
    *batch, count, _ = type_of(x).shape
    blocks = -(-length // stride)
    x = pad(x, [(0, 0)] * (len(batch) + 1) + [(0, blocks * stride - length)])
    x = swapaxes(reshape(x, (*batch, count, blocks, stride)), -3, -2)
    x = pad(x, [(0, 0)] * (len(batch) + 1) + [(0, blocks), (0, 0)])
    x = reshape(x, (*batch, blocks * (count + blocks), stride))
    x = get_item(x, (..., slice(0, blocks * (count + blocks - 1)), slice(None)))
    summed = reduce.sum(reshape(x, (*batch, blocks, count + blocks - 1, stride)), axis=-3)
    return reshape(summed, (*batch, (count + blocks - 1) * stride))


def _inverse_window(window: Any, length: int, stride: int) -> Any:
    """``window`` divided by the sum of its squares at all places where windows overlap."""
    blocks = -(-length // stride)
    squares = reshape(pad(e.square(window), [(0, blocks * stride - length)]), (blocks, stride))
    total = get_item(tile(reduce.sum(squares, axis=0), blocks), slice(0, length))
    return e.divide(window, total)


@replayed
def istft(
    x: Pair,
    sequence_length: Size,
    sequence_stride: Any,
    fft_length: Size,
    length: Size | None = None,
    window: Any = "hann",
    center: bool = True,
) -> Any:
    """The signal of which `stft` with the same arguments gives ``x`` (Griffin and Lim 1984; librosa.istft).

    Args:
        x: the real and the imaginary part, ``[..., windows, fft_length // 2 + 1]``.
        sequence_length, sequence_stride, fft_length, window, center: see `stft`.
        length: of the result, which is cut, or filled up with zeros, to it.

    Returns ``[..., samples]``. Where the windows leave gaps the signal is not known, and NaN.
    """
    _need_stride("istft", sequence_stride)
    parts = _pair("istft", x)
    if type_of(parts[0]).rank < 2:
        raise ShapeError(f"istft: x is [..., windows, terms]; the shape is {show(type_of(parts[0]).shape)}.")
    count = type_of(parts[0]).shape[-2]
    weights = _window("istft", window, sequence_length, fft_length, parts[0])
    sequences = irfft(parts, fft_length)
    if weights is not None:
        sequences = e.multiply(sequences, _inverse_window(weights, fft_length, sequence_stride))
    signal = _overlapped(sequences, fft_length, sequence_stride)
    start = fft_length // 2 if center else 0
    end = fft_length + sequence_stride * (count - 1)
    if length is not None:
        return _of_length(get_item(signal, (..., slice(start, None))), length)
    return get_item(signal, (..., slice(start, end - start)))
