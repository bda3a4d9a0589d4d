"""Convolutions."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from unifront import ops
from unifront.errors import ArgumentError, ShapeError, UnknownName
from unifront.layers import activations
from unifront.layers.arguments import axes_tuple, data_format_of, positive
from unifront.layers.layer import Layer, feature_size


class _Conv(Layer):
    """What the convolutions share. ``rank`` is the number of spatial axes."""

    rank: int
    paddings: tuple[str, ...] = ("valid", "same")

    def __init__(
        self,
        kernel_size: int | Sequence[int],
        strides: int | Sequence[int],
        padding: str,
        data_format: str | None,
        dilation_rate: int | Sequence[int],
        activation: Any,
        use_bias: bool,
        bias_initializer: Any,
        bias_regularizer: Any,
        **options: Any,
    ) -> None:
        super().__init__(**options)
        kind = type(self).__name__
        self.kernel_size = axes_tuple(kind, "kernel_size", kernel_size, self.rank)
        self.strides = axes_tuple(kind, "strides", strides, self.rank)
        self.dilation_rate = axes_tuple(kind, "dilation_rate", dilation_rate, self.rank)
        if padding not in self.paddings:
            raise UnknownName(f"padding of {kind}", padding, self.paddings)
        self.padding = padding
        self.data_format = data_format_of(data_format)
        if padding == "causal" and self.data_format == "channels_first":
            raise ArgumentError(f"{kind}: causal padding needs data_format='channels_last'.")
        if max(self.strides) > 1 and max(self.dilation_rate) > 1:
            raise ArgumentError(
                f"{kind}: strides {self.strides} and dilation_rate {self.dilation_rate} cannot both be "
                "above 1."
            )
        self.activation = activations.get(activation)
        self.use_bias = use_bias
        self.bias_initializer, self.bias_regularizer = bias_initializer, bias_regularizer
        self.bias: Any = None

    def channels(self, shape: Any) -> int:
        """The number of channels of an input of ``shape``; `ShapeError` for another rank."""
        if len(shape) != self.rank + 2:
            form = (
                "(batch, channels, *spatial)"
                if self.data_format == "channels_first"
                else "(batch, *spatial, channels)"
            )
            raise ShapeError(
                f"{type(self).__name__} takes {self.rank + 2} dimensions, {form}; "
                f"the input has the shape {shape}."
            )
        return feature_size(shape, 1 if self.data_format == "channels_first" else -1)

    def add_bias(self, size: int) -> None:
        """Make the bias, if there is one."""
        if self.use_bias:
            self.bias = self.add_weight(
                (size,), self.bias_initializer, name="bias", regularizer=self.bias_regularizer
            )

    @property
    def window(self) -> dict[str, Any]:
        """The arguments that the convolution operations take."""
        return {
            "strides": self.strides, "padding": self.padding, "dilation": self.dilation_rate,
            "data_format": self.data_format,
        }  # fmt: skip


class _FullConv(_Conv):
    def __init__(
        self,
        filters: int,
        kernel_size: int | Sequence[int],
        strides: int | Sequence[int] = 1,
        padding: str = "valid",
        data_format: str | None = None,
        dilation_rate: int | Sequence[int] = 1,
        groups: int = 1,
        activation: Any = None,
        use_bias: bool = True,
        kernel_initializer: Any = "glorot_uniform",
        bias_initializer: Any = "zeros",
        kernel_regularizer: Any = None,
        bias_regularizer: Any = None,
        **options: Any,
    ) -> None:
        super().__init__(
            kernel_size, strides, padding, data_format, dilation_rate, activation, use_bias, bias_initializer,
            bias_regularizer, **options,
        )  # fmt: skip
        self.filters = positive(type(self).__name__, "filters", filters)
        self.groups = positive(type(self).__name__, "groups", groups)
        if filters % groups:
            raise ArgumentError(
                f"{type(self).__name__}: {filters} filters do not divide into {groups} groups."
            )
        self.kernel_initializer, self.kernel_regularizer = kernel_initializer, kernel_regularizer

    def build(self, shape: Any) -> None:
        channels = self.channels(shape)
        if channels % self.groups:
            raise ShapeError(
                f"{channels} channels of the input {shape} do not divide into {self.groups} groups."
            )
        self.kernel = self.add_weight(
            (*self.kernel_size, channels // self.groups, self.filters), self.kernel_initializer,
            name="kernel", regularizer=self.kernel_regularizer,
        )  # fmt: skip
        self.add_bias(self.filters)

    def call(self, x: Any) -> Any:
        return self.activation(ops.conv(x, self.kernel, self.bias, groups=self.groups, **self.window))


class Conv1D(_FullConv):
    """Convolution over one axis: ``[batch, steps, in]`` → ``[batch, new_steps, filters]``.

    Args:
        filters: output channels.
        kernel_size, strides, dilation_rate: ints; strides and dilation_rate cannot both be above 1.
        padding: ``"valid"``, ``"same"`` or ``"causal"``.
        data_format: ``"channels_last"`` (default) or ``"channels_first"``.
        groups: the channels fall into so many groups that do not see each other.
        activation, use_bias: as for `Dense`.
        kernel_initializer, bias_initializer, kernel_regularizer, bias_regularizer: as for `Dense`.

    The weights are ``kernel[kernel_size, in/groups, filters]`` and ``bias[filters]``.

    Raises `ShapeError` for an input of another rank, or channels that do not divide into the groups.

    Example::

        x = layers.Conv1D(8, 3, padding="causal")(uf.Input((None, 4)))
    """

    rank = 1
    paddings = ("valid", "same", "causal")


class Conv2D(_FullConv):
    """Convolution over two axes: ``[batch, height, width, in]`` → ``[batch, …, …, filters]``.

    Args:
        filters: output channels.
        kernel_size, strides, dilation_rate: ints or pairs; strides and dilation_rate cannot both be above 1.
        padding: ``"valid"`` or ``"same"``.
        data_format: ``"channels_last"`` (default) or ``"channels_first"``.
        groups: the channels fall into so many groups that do not see each other.
        activation, use_bias: as for `Dense`.
        kernel_initializer, bias_initializer, kernel_regularizer, bias_regularizer: as for `Dense`.

    The weights are ``kernel[*kernel_size, in/groups, filters]`` and ``bias[filters]``.

    Raises `ShapeError` for an input of another rank, or channels that do not divide into the groups.

    Example::

        x = layers.Conv2D(8, 3, strides=2, padding="same", activation="relu")(uf.Input((8, 8, 1)))
    """

    rank = 2


class Conv3D(_FullConv):
    """Convolution over three axes: ``[batch, depth, height, width, in]`` → ``[batch, …, filters]``.

    Arguments as for `Conv2D`, sizes being ints or triples.
    """

    rank = 3


class _DepthwiseConv(_Conv):
    def __init__(
        self,
        kernel_size: int | Sequence[int],
        strides: int | Sequence[int] = 1,
        padding: str = "valid",
        depth_multiplier: int = 1,
        data_format: str | None = None,
        dilation_rate: int | Sequence[int] = 1,
        activation: Any = None,
        use_bias: bool = True,
        depthwise_initializer: Any = "glorot_uniform",
        bias_initializer: Any = "zeros",
        depthwise_regularizer: Any = None,
        bias_regularizer: Any = None,
        **options: Any,
    ) -> None:
        super().__init__(
            kernel_size, strides, padding, data_format, dilation_rate, activation, use_bias, bias_initializer,
            bias_regularizer, **options,
        )  # fmt: skip
        self.depth_multiplier = positive(type(self).__name__, "depth_multiplier", depth_multiplier)
        self.depthwise_initializer, self.depthwise_regularizer = depthwise_initializer, depthwise_regularizer

    def build(self, shape: Any) -> None:
        channels = self.channels(shape)
        self.kernel = self.add_weight(
            (*self.kernel_size, channels, self.depth_multiplier), self.depthwise_initializer, name="kernel",
            regularizer=self.depthwise_regularizer,
        )  # fmt: skip
        self.add_bias(channels * self.depth_multiplier)

    def call(self, x: Any) -> Any:
        return self.activation(ops.depthwise_conv(x, self.kernel, self.bias, **self.window))


class DepthwiseConv1D(_DepthwiseConv):
    """Each channel by itself: ``[batch, steps, in]`` → ``[batch, new_steps, in * depth_multiplier]``.

    Args:
        depth_multiplier: kernels for each channel; the weight is ``[kernel_size, in, depth_multiplier]``.
        depthwise_initializer, depthwise_regularizer: of that weight.

    The other arguments are those of `Conv1D`; there is no causal padding.
    """

    rank = 1


class DepthwiseConv2D(_DepthwiseConv):
    """Each channel by itself: ``[batch, height, width, in]`` → ``[batch, …, in * depth_multiplier]``.

    Args:
        depth_multiplier: kernels for each channel; the weight is ``[*kernel_size, in, depth_multiplier]``.
        depthwise_initializer, depthwise_regularizer: of that weight.

    The other arguments are those of `Conv2D`.

    Example::

        x = layers.DepthwiseConv2D(3, depth_multiplier=2)(uf.Input((8, 8, 3)))
    """

    rank = 2


class SeparableConv2D(_Conv):
    """Each channel convolved by itself, then the channels mixed by a 1×1 convolution (Chollet 2017).

    Arguments as for `Conv2D`, and:

    Args:
        depth_multiplier: how many kernels each channel has in the first step.
    """

    rank = 2

    def __init__(
        self,
        filters: int,
        kernel_size: int | Sequence[int],
        strides: int | Sequence[int] = 1,
        padding: str = "valid",
        data_format: str | None = None,
        dilation_rate: int | Sequence[int] = 1,
        depth_multiplier: int = 1,
        activation: Any = None,
        use_bias: bool = True,
        depthwise_initializer: Any = "glorot_uniform",
        pointwise_initializer: Any = "glorot_uniform",
        bias_initializer: Any = "zeros",
        depthwise_regularizer: Any = None,
        pointwise_regularizer: Any = None,
        bias_regularizer: Any = None,
        **options: Any,
    ) -> None:
        super().__init__(
            kernel_size, strides, padding, data_format, dilation_rate, activation, use_bias, bias_initializer,
            bias_regularizer, **options,
        )  # fmt: skip
        self.filters = positive("SeparableConv2D", "filters", filters)
        self.depth_multiplier = positive("SeparableConv2D", "depth_multiplier", depth_multiplier)
        self._initializers = (depthwise_initializer, pointwise_initializer)
        self._regularizers = (depthwise_regularizer, pointwise_regularizer)

    def build(self, shape: Any) -> None:
        channels = self.channels(shape)
        shapes = {
            "depthwise_kernel": (*self.kernel_size, channels, self.depth_multiplier),
            "pointwise_kernel": (1, 1, channels * self.depth_multiplier, self.filters),
        }
        self.depthwise_kernel, self.pointwise_kernel = (
            self.add_weight(size, initializer, name=name, regularizer=regularizer)
            for (name, size), initializer, regularizer in zip(
                shapes.items(), self._initializers, self._regularizers, strict=True
            )
        )
        self.add_bias(self.filters)

    def call(self, x: Any) -> Any:
        each = ops.depthwise_conv(x, self.depthwise_kernel, **self.window)
        mixed = ops.conv(each, self.pointwise_kernel, self.bias, data_format=self.data_format)
        return self.activation(mixed)
