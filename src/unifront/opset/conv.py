"""Convolutions over one to three spatial axes. Kernels are Keras's: ``(*window, in / groups, out)``."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from unifront.errors import ShapeError
from unifront.ir import facts
from unifront.ir.types import TensorType
from unifront.opset import flops
from unifront.opset.elementwise import TensorLike
from unifront.opset.rules import need_float, same_dtype, show
from unifront.opset.spec import OpSpec, Sample, register
from unifront.opset.tensor import bind, type_of
from unifront.opset.windows import (
    Padding,
    assemble,
    canonical_padding,
    channel_axis,
    conv_operands,
    explicit,
    layout_of,
    output_sizes,
    per_axis,
    spatial,
    spatial_rank,
    window_of,
    windows,
)

Axes = tuple[int, ...]
_ATTRIBUTES: dict[str, type | tuple[type, ...]] = {
    "strides": tuple,
    "padding": (str, tuple),
    "dilation": tuple,
    "data_format": str,
}


def _result(
    x: TensorType, window: Axes, out: Any, bias: TensorType | None,
    strides: Axes, padding: Padding, dilation: Axes, data_format: str,
) -> TensorType:  # fmt: skip
    if bias is not None and bias.shape != (out,):
        raise ShapeError(
            f"The bias has the shape {show(bias.shape)}; the convolution has {out} output channels."
        )
    sizes = output_sizes(spatial(x.shape, data_format), window, strides, padding, dilation)
    return x.with_shape(assemble(x.shape[0], sizes, out, data_format))


def _conv_rule(
    x: TensorType, kernel: TensorType, bias: TensorType | None,
    strides: Axes, padding: Padding, dilation: Axes, groups: int, data_format: str,
) -> TensorType:  # fmt: skip
    need_float(x)
    same_dtype(*(type_ for type_ in (x, kernel, bias) if type_ is not None))
    window = window_of(kernel, spatial_rank(x, "conv"))
    channels = x.shape[channel_axis(data_format, x.rank)]
    inner, out = kernel.shape[-2:]
    if channels != inner * groups:
        times = f" in each of {groups} groups" if groups > 1 else ""
        raise ShapeError(
            f"The number of input channels must match the kernel: the input of shape {show(x.shape)} ({data_format}) "
            f"has {channels} channels; the kernel of shape {show(kernel.shape)} takes {inner}{times}."
        )
    if not isinstance(out, int) or out % groups:
        raise ShapeError(f"{out} output channels cannot be shared by {groups} groups.")
    return _result(x, window, out, bias, strides, padding, dilation, data_format)


def _conv_reference(
    x: np.ndarray, kernel: np.ndarray, bias: np.ndarray | None,
    strides: Axes, padding: Padding, dilation: Axes, groups: int, data_format: str,
) -> np.ndarray:  # fmt: skip
    if data_format == "channels_first":
        x = np.moveaxis(x, 1, -1)
    window = kernel.shape[:-2]
    pairs = explicit(padding, x.shape[1:-1], window, strides, dilation)
    views = windows(x, window, strides, pairs, dilation, 0.0)  # [batch, *outputs, channels, *window]
    inner = tuple(range(x.ndim - 1, views.ndim)), (len(window), *range(len(window)))
    shares = zip(np.split(views, groups, axis=x.ndim - 1), np.split(kernel, groups, axis=-1), strict=True)
    y = np.concatenate([np.tensordot(v, k, inner) for v, k in shares], axis=-1) + (
        0 if bias is None else bias
    )
    return np.moveaxis(y, -1, 1) if data_format == "channels_first" else y


def _conv_samples(rng: np.random.Generator) -> Iterator[Sample]:
    def sample(
        x: Axes, kernel: Axes, padding: str | Padding = "valid", *, strides: int | Axes = 1,
        dilation: int | Axes = 1, groups: int = 1, first: bool = False, bias: bool = True,
    ) -> Sample:  # fmt: skip
        data_format = "channels_first" if first else "channels_last"
        window = kernel[:-2]
        steps, spread = per_axis(strides, len(window), "strides"), per_axis(dilation, len(window), "dilation")
        return Sample(
            (rng.normal(size=x), rng.normal(size=kernel), rng.normal(size=kernel[-1]) if bias else None),
            {
                "strides": steps,
                "padding": canonical_padding(padding, spatial(x, data_format), window, steps, spread),
                "dilation": spread,
                "groups": groups,
                "data_format": data_format,
            },
        )

    yield sample((2, 6, 5, 3), (3, 3, 3, 4), "same")
    yield sample((1, 6, 6, 2), (3, 2, 2, 3), "same", strides=(2, 1))  # pads (0, 1) and (0, 1)
    yield sample(
        (2, 4, 7, 5), (2, 3, 2, 4), ((1, 0), (0, 3)), strides=2, dilation=(1, 2), groups=2, first=True
    )
    yield sample((1, 4, 4, 3), (1, 1, 3, 2), strides=2, bias=False)
    yield sample((2, 7, 3), (3, 3, 2), "causal", dilation=2)
    yield sample((2, 4, 5), (2, 2, 4), "same", groups=2, first=True)
    yield sample((1, 3, 4, 3, 2), (2, 3, 2, 2, 3), "same", strides=(1, 2, 1))
    rest = sample((2, 7, 4, 2), (3, 3, 2, 2), "same", strides=2)
    yield Sample(rest.operands, {**rest.attributes, "padding": "same"})  # as it is for sizes not known


CONV = register(
    OpSpec(
        "conv",
        _conv_rule,
        _conv_reference,
        _conv_samples,
        "ONNX Conv-22, in Keras's layouts",
        attributes={**_ATTRIBUTES, "groups": int},
        facts=facts.product(1, "zeros"),
        flops=flops.conv,
    )
)


def conv(
    inputs: TensorLike,
    kernel: TensorLike,
    strides: int | Sequence[int] = 1,
    padding: str | int | Sequence[Any] = "valid",
    data_format: str | None = None,
    dilation_rate: int | Sequence[int] = 1,
    *,
    bias: TensorLike | None = None,
    groups: int | None = None,
) -> Any:
    """The convolution (as everywhere in this field: cross-correlation) of ``inputs``, plus ``bias`` (ONNX Conv).

    Args:
        inputs: floats, ``(batch, *spatial, in)`` with 1 to 3 spatial axes, or ``(batch, in, *spatial)``.
        kernel: ``(*window, in / groups, out)``, in either data format.
        strides, dilation_rate: an int, or one for each spatial axis.
        padding: "valid", "same" (as many outputs as ceil(size / stride), the odd pad after), "causal" (all
            before, for one axis), or a pair (before, after) for each spatial axis.
        data_format: "channels_last" (None too) or "channels_first".
        bias: ``(out,)`` or None.
        groups: the channels fall into so many groups that do not see each other; as many as the kernel's sizes say
            unless given.

    Raises `ShapeError` if channels or sizes do not fit, `ArgumentError` for a wrong argument.

        >>> uf.ops.conv(np.ones((1, 4, 4, 3)), np.ones((3, 3, 3, 8)), padding="same").shape
        (1, 4, 4, 8)
    """
    x, kernel, bias, window = conv_operands(inputs, kernel, bias, "conv")
    fixed = _fixed(x, window, strides, padding, dilation_rate, layout_of(data_format))
    if groups is None:
        groups = _groups(x, kernel, fixed["data_format"])
    return bind(CONV, x, kernel, bias, groups=int(groups), **fixed)


def _groups(x: Any, kernel: Any, data_format: str) -> int:
    """How many groups the sizes mean; 1 where they mean none, of which the type rule then speaks."""
    channels, inner = type_of(x).shape[channel_axis(data_format, type_of(x).rank)], type_of(kernel).shape[-2]
    if not isinstance(channels, int) or not isinstance(inner, int) or not inner or channels % inner:
        return 1
    return channels // inner or 1


def _fixed(
    x: Any, window: Axes, strides: Any, padding: Any, dilation: Any, data_format: str
) -> dict[str, Any]:
    steps, spread = (
        per_axis(strides, len(window), "strides"),
        per_axis(dilation, len(window), "dilation_rate"),
    )
    sizes = spatial(type_of(x).shape, data_format)
    pairs = canonical_padding(padding, sizes, window, steps, spread)
    return {"strides": steps, "padding": pairs, "dilation": spread, "data_format": data_format}


def _flat_kernel(shape: Sequence[Any]) -> tuple[Any, ...]:
    """The shape of a depthwise kernel as one of as many groups as channels."""
    return (*shape[:-2], 1, shape[-2] * shape[-1])


def _depthwise_rule(
    x: TensorType, kernel: TensorType, bias: TensorType | None,
    strides: Axes, padding: Padding, dilation: Axes, data_format: str,
) -> TensorType:  # fmt: skip
    need_float(x)
    same_dtype(*(type_ for type_ in (x, kernel, bias) if type_ is not None))
    window = window_of(kernel, spatial_rank(x, "depthwise_conv"))
    channels = x.shape[channel_axis(data_format, x.rank)]
    if channels != kernel.shape[-2]:
        raise ShapeError(
            f"The number of input channels must match the kernel: the input of shape {show(x.shape)} ({data_format}) "
            f"has {channels} channels; the depthwise kernel of shape {show(kernel.shape)} takes {kernel.shape[-2]}."
        )
    out = _flat_kernel(kernel.shape)[-1]
    return _result(x, window, out, bias, strides, padding, dilation, data_format)


def _depthwise_reference(
    x: np.ndarray, kernel: np.ndarray, bias: np.ndarray | None, **attributes: Any
) -> Any:
    flat = kernel.reshape(_flat_kernel(kernel.shape))
    return _conv_reference(x, flat, bias, groups=kernel.shape[-2], **attributes)


def _depthwise_samples(rng: np.random.Generator) -> Iterator[Sample]:
    def sample(
        x: Axes, kernel: Axes, padding: Padding, strides: Axes, dilation: Axes, data_format: str
    ) -> Sample:
        bias = rng.normal(size=kernel[-1] * kernel[-2])
        attributes = {
            "strides": strides,
            "padding": padding,
            "dilation": dilation,
            "data_format": data_format,
        }
        return Sample((rng.normal(size=x), rng.normal(size=kernel), bias), attributes)

    last, first = "channels_last", "channels_first"
    yield sample((2, 5, 4, 3), (3, 3, 3, 2), ((1, 1), (1, 1)), (1, 1), (1, 1), last)
    yield sample((1, 6, 6, 2), (3, 3, 2, 1), ((0, 1), (0, 1)), (2, 2), (1, 1), last)
    yield sample((1, 5, 6, 2), (2, 3, 2, 2), ((0, 1), (1, 1)), (2, 1), (1, 1), last)
    yield sample((1, 2, 5, 6), (2, 2, 2, 2), ((0, 0), (0, 0)), (1, 1), (2, 1), first)
    yield sample((2, 6, 3), (3, 3, 1), ((2, 0),), (1,), (1,), last)
    yield sample((1, 4, 3, 3, 2), (2, 2, 2, 2, 1), ((0, 1), (0, 0), (1, 0)), (1, 1, 1), (1, 1, 1), last)


def _depthwise_decomposed(x: Any, kernel: Any, bias: Any, **attributes: Any) -> Any:
    from unifront.opset.shape import reshape

    shape = type_of(kernel).shape
    return bind(CONV, x, reshape(kernel, _flat_kernel(shape)), bias, groups=shape[-2], **attributes)


DEPTHWISE_CONV = register(
    OpSpec(
        "depthwise_conv",
        _depthwise_rule,
        _depthwise_reference,
        _depthwise_samples,
        "Keras DepthwiseConv2D; ONNX Conv-22 with as many groups as channels",
        attributes=_ATTRIBUTES,
        decomposition=_depthwise_decomposed,
        facts=facts.product(2, "zeros"),
        flops=flops.depthwise_conv,
    )
)


def depthwise_conv(
    inputs: TensorLike,
    kernel: TensorLike,
    strides: int | Sequence[int] = 1,
    padding: str | int | Sequence[Any] = "valid",
    data_format: str | None = None,
    dilation_rate: int | Sequence[int] = 1,
    *,
    bias: TensorLike | None = None,
) -> Any:
    """Each channel convolved with kernels of its own; the rest as for `conv` (Keras DepthwiseConv2D).

    Args:
        kernel: ``(*window, in, multiplier)``; output channel ``c * multiplier + m`` comes from channel ``c``.
        bias: ``(in * multiplier,)`` or None.
    """
    x, kernel, bias, window = conv_operands(inputs, kernel, bias, "depthwise_conv")
    fixed = _fixed(x, window, strides, padding, dilation_rate, layout_of(data_format))
    return bind(DEPTHWISE_CONV, x, kernel, bias, **fixed)


def separable_conv(
    inputs: TensorLike,
    depthwise_kernel: TensorLike,
    pointwise_kernel: TensorLike,
    strides: int | Sequence[int] = 1,
    padding: str | int | Sequence[Any] = "valid",
    data_format: str | None = None,
    dilation_rate: int | Sequence[int] = 1,
    *,
    bias: TensorLike | None = None,
) -> Any:
    """`depthwise_conv`, then the channels mixed by a window of one element (Chollet 2017; Keras separable_conv).

    Args:
        depthwise_kernel: ``(*window, in, multiplier)``.
        pointwise_kernel: ``(1, …, in * multiplier, out)``.
        bias: ``(out,)`` or None.
    """
    each = depthwise_conv(inputs, depthwise_kernel, strides, padding, data_format, dilation_rate)
    return conv(each, pointwise_kernel, data_format=data_format, bias=bias, groups=1)
