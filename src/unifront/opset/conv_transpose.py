"""Transposed convolutions. Kernels are Keras's: ``(*window, out, in)``."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import product
from typing import Any

import numpy as np

from unifront.arguments import LARGEST
from unifront.errors import ArgumentError, ShapeError
from unifront.ir import facts
from unifront.ir.types import TensorType
from unifront.opset import flops
from unifront.opset.elementwise import TensorLike
from unifront.opset.rules import is_whole, need_float, same_dtype, show
from unifront.opset.spec import OpSpec, Sample, register
from unifront.opset.tensor import bind, type_of
from unifront.opset.windows import (
    Pairs,
    assemble,
    channel_axis,
    conv_operands,
    layout_of,
    per_axis,
    reach_of,
    spatial,
    spatial_rank,
    window_of,
)

Axes = tuple[int, ...]


def _rule(
    x: TensorType, kernel: TensorType, bias: TensorType | None,
    strides: Axes, crops: Pairs, dilation: Axes, data_format: str,
) -> TensorType:  # fmt: skip
    need_float(x)
    same_dtype(*(type_ for type_ in (x, kernel, bias) if type_ is not None))
    window = window_of(kernel, spatial_rank(x, "conv_transpose"))
    out, inner = kernel.shape[-2:]
    channels = x.shape[channel_axis(data_format, x.rank)]
    if channels != inner:
        raise ShapeError(
            f"The number of input channels must match the kernel: the input of shape {show(x.shape)} ({data_format}) "
            f"has {channels} channels; the kernel of shape {show(kernel.shape)} takes {inner}."
        )
    if bias is not None and bias.shape != (out,):
        raise ShapeError(
            f"The bias has the shape {show(bias.shape)}; the convolution has {out} output channels."
        )
    reach = reach_of(window, dilation)
    sizes = tuple(
        (n - 1) * s + (r - before - after)
        for n, s, r, (before, after) in zip(spatial(x.shape, data_format), strides, reach, crops, strict=True)
    )
    if any(isinstance(size, int) and size < 0 for size in sizes):
        raise ShapeError(
            f"The crops {crops} leave nothing of the transposed convolution of {show(x.shape)} with a kernel of "
            f"{show(kernel.shape)}."
        )
    return x.with_shape(assemble(x.shape[0], sizes, out, data_format))


def _reference(
    x: np.ndarray, kernel: np.ndarray, bias: np.ndarray | None,
    strides: Axes, crops: Pairs, dilation: Axes, data_format: str,
) -> np.ndarray:  # fmt: skip
    if data_format == "channels_first":
        x = np.moveaxis(x, 1, -1)
    window, (out, _), sizes = kernel.shape[:-2], kernel.shape[-2:], x.shape[1:-1]
    full = [
        max(0, (n - 1) * s + r) for n, s, r in zip(sizes, strides, reach_of(window, dilation), strict=True)
    ]
    y = np.zeros((x.shape[0], *full, out), np.result_type(x, kernel))
    for tap in product(*map(range, window)):
        places = tuple(
            slice(t * d, t * d + (n - 1) * s + 1 if n else t * d, s)
            for t, d, n, s in zip(tap, dilation, sizes, strides, strict=True)
        )
        y[(slice(None), *places)] += x @ kernel[tap].T
    y = np.pad(y, ((0, 0), *((max(-a, 0), max(-b, 0)) for a, b in crops), (0, 0)))
    kept = (slice(max(a, 0), n - max(b, 0)) for n, (a, b) in zip(y.shape[1:-1], crops, strict=True))
    y = y[(slice(None), *kept)] + (0 if bias is None else bias)
    return np.moveaxis(y, -1, 1) if data_format == "channels_first" else y


def _crops(window: Axes, strides: Axes, dilation: Axes, padding: str, extra: Axes | None) -> Pairs:
    """What is cut off both ends of the largest result, ``(n - 1) * stride + reach``: the same for every size."""
    crops = []
    for axis, (s, r) in enumerate(zip(strides, reach_of(window, dilation), strict=True)):
        if padding == "valid":
            crops.append((0, -(max(r, s) - r if extra is None else extra[axis])))
        else:  # of n * s elements, or (n - 1) * s + r % 2 + extra
            total = r - s if extra is None else r - r % 2 - extra[axis]
            before = max(total // 2, 0)
            crops.append((before, total - before))
    return tuple(crops)


def _samples(rng: np.random.Generator) -> Iterator[Sample]:
    def sample(
        x: Axes, kernel: Axes, padding: str, strides: int | Axes = 1, dilation: int | Axes = 1,
        extra: Axes | None = None, first: bool = False, bias: bool = True,
    ) -> Sample:  # fmt: skip
        window = kernel[:-2]
        steps, spread = per_axis(strides, len(window), "strides"), per_axis(dilation, len(window), "dilation")
        operands = (
            rng.normal(size=x),
            rng.normal(size=kernel),
            rng.normal(size=kernel[-2]) if bias else None,
        )
        return Sample(
            operands,
            {
                "strides": steps,
                "crops": _crops(window, steps, spread, padding, extra),
                "dilation": spread,
                "data_format": "channels_first" if first else "channels_last",
            },
        )

    yield sample((2, 4, 3, 3), (3, 2, 2, 3), "valid", strides=2)
    yield sample((1, 4, 5, 2), (3, 3, 4, 2), "same", strides=2, bias=False)
    yield sample((1, 3, 3, 2), (2, 4, 3, 2), "same", strides=(3, 2), extra=(1, 0))
    yield sample((2, 3, 4, 3), (3, 3, 2, 3), "valid", dilation=(2, 1), first=True)
    yield sample((2, 2, 3, 2), (1, 2, 3, 2), "valid", strides=(3, 2), extra=(2, 1))
    yield sample((2, 5, 3), (4, 2, 3), "same", strides=3)
    yield sample((1, 3, 4), (3, 2, 3), "valid", strides=2, extra=(1,), first=True)
    yield sample((1, 2, 3, 2, 2), (2, 3, 2, 2, 2), "same", strides=(2, 1, 2))
    yield sample((1, 1, 1, 1), (1, 1, 1, 1), "same")


CONV_TRANSPOSE = register(
    OpSpec(
        "conv_transpose",
        _rule,
        _reference,
        _samples,
        "ONNX ConvTranspose-22, in Keras's layouts; what is cut off is given instead of pads",
        attributes={"strides": tuple, "crops": tuple, "dilation": tuple, "data_format": str},
        facts=facts.product(0),
        flops=flops.conv_transpose,
    )
)


def conv_transpose(
    inputs: TensorLike,
    kernel: TensorLike,
    strides: int | Sequence[int] = 1,
    padding: str = "valid",
    output_padding: int | Sequence[int] | None = None,
    data_format: str | None = None,
    dilation_rate: int | Sequence[int] = 1,
    *,
    bias: TensorLike | None = None,
) -> Any:
    """The transposed convolution: what `conv` with the same kernel does to gradients (Zeiler et al. 2010).

    Args:
        inputs: floats, ``(batch, *spatial, in)`` with 1 to 3 spatial axes, or ``(batch, in, *spatial)``.
        kernel: ``(*window, out, in)``, in either data format.
        strides, dilation_rate: an int, or one for each spatial axis.
        padding: "valid" for ``(n - 1) * stride + window`` outputs (at least ``n * stride``), "same" for
            ``n * stride``.
        output_padding: with it there are ``(n - 1) * stride + window + output_padding`` outputs, of "same"
            ``(n - 1) * stride + window % 2 + output_padding``. An int, or one for each spatial axis.
        data_format: "channels_last" (None too) or "channels_first".
        bias: ``(out,)`` or None.

    Raises `ShapeError` if channels or sizes do not fit, `ArgumentError` for a wrong argument.

        >>> uf.ops.conv_transpose(np.ones((1, 4, 4, 3)), np.ones((3, 3, 8, 3)), 2, padding="same").shape
        (1, 8, 8, 8)
    """
    x, kernel, bias, window = conv_operands(inputs, kernel, bias, "conv_transpose")
    padding = padding.lower()
    if padding not in ("valid", "same"):
        raise ArgumentError(f"padding of a transposed convolution is 'valid' or 'same', not {padding!r}.")
    rank, layout = len(window), layout_of(data_format)
    extra = None if output_padding is None else _extras(output_padding, rank)
    steps, spread = per_axis(strides, rank, "strides"), per_axis(dilation_rate, rank, "dilation_rate")
    crops = _crops(window, steps, spread, padding, extra)
    channel_axis(layout, type_of(x).rank)
    return bind(
        CONV_TRANSPOSE, x, kernel, bias, strides=steps, crops=crops, dilation=spread, data_format=layout
    )


def _extras(value: int | Sequence[int], rank: int) -> Axes:
    given = tuple(value) if isinstance(value, Sequence) else (value,) * rank
    if len(given) != rank or not all(is_whole(n) and 0 <= n <= LARGEST for n in given):
        raise ArgumentError(f"output_padding is an int from 0 up or {rank} of them, not {value!r}.")
    return given
