"""Convolutions."""

from __future__ import annotations

from typing import Any, Unpack

from unifront import ops
from unifront.arguments import Real, Size, checked, with_defaults
from unifront.errors import ArgumentError, ShapeError
from unifront.layers.activations import ActivationAttribute, ActivationLike
from unifront.layers.arguments import Constraint, DataFormat, Options, Padding, PerAxis
from unifront.layers.building import feature_size
from unifront.layers.initializers import InitializerLike
from unifront.layers.layer import Layer
from unifront.layers.lora import LowRank
from unifront.layers.regularizers import RegularizerLike


class _Conv(Layer):
    """What the convolutions share. ``rank`` is the number of spatial axes."""

    activation = ActivationAttribute()

    rank: int
    paddings: tuple[str, ...] = ("valid", "same")

    def __init__(
        self,
        kernel_size: Any,
        strides: Any,
        padding: Any,
        data_format: Any,
        dilation_rate: Any,
        activation: Any,
        use_bias: bool,
        **options: Any,
    ) -> None:
        super().__init__(**options)
        kind = type(self).__name__
        self.kernel_size, self.strides, self.dilation_rate = kernel_size, strides, dilation_rate
        self.padding, self.data_format = padding, data_format
        if padding == "causal" and self.data_format == "channels_first":
            raise ArgumentError(f"{kind}: causal padding needs data_format='channels_last'.")
        if max(self.strides) > 1 and max(self.dilation_rate) > 1:
            raise ArgumentError(
                f"{kind}: strides {self.strides} and dilation_rate {self.dilation_rate} cannot both be "
                "above 1."
            )
        self.activation, self.use_bias = activation, use_bias
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
            self.bias = self.add_declared("bias", (size,))

    @property
    def window(self) -> dict[str, Any]:
        """The arguments that the convolution operations take."""
        return {
            "strides": self.strides, "padding": self.padding, "dilation_rate": self.dilation_rate,
            "data_format": self.data_format,
        }  # fmt: skip


class _FullConv(LowRank, _Conv):
    @checked
    def __init__(
        self,
        filters: Size,
        kernel_size: PerAxis,
        strides: PerAxis = 1,
        padding: Padding = "valid",
        data_format: DataFormat = None,
        dilation_rate: PerAxis = 1,
        groups: Size = 1,
        activation: ActivationLike = None,
        use_bias: bool = True,
        kernel_initializer: InitializerLike = "glorot_uniform",
        bias_initializer: InitializerLike = "zeros",
        kernel_regularizer: RegularizerLike = None,
        bias_regularizer: RegularizerLike = None,
        activity_regularizer: RegularizerLike = None,
        kernel_constraint: Constraint = None,
        bias_constraint: Constraint = None,
        *,
        lora_rank: Size | None = None,
        lora_alpha: Real | None = None,
        **options: Unpack[Options],
    ) -> None:
        super().__init__(
            kernel_size, strides, padding, data_format, dilation_rate, activation, use_bias,
            activity_regularizer=activity_regularizer, **options,
        )  # fmt: skip
        self.declare("kernel", kernel_initializer, kernel_regularizer, kernel_constraint)
        self.declare("bias", bias_initializer, bias_regularizer, bias_constraint)
        self.ask_lora(lora_rank, lora_alpha)
        self.filters, self.groups = filters, groups
        if filters % groups:
            raise ArgumentError(
                f"{type(self).__name__}: {filters} filters do not divide into {groups} groups."
            )

    def build(self, shape: Any) -> None:
        channels = self.channels(shape)
        if channels % self.groups:
            raise ShapeError(
                f"{channels} channels of the input {shape} do not divide into {self.groups} groups."
            )
        self.kernel = self.add_declared("kernel", (*self.kernel_size, channels // self.groups, self.filters))
        self.add_bias(self.filters)
        self.begin_lora()

    def call(self, x: Any) -> Any:
        kernel = self.adapted(self.kernel)
        return self.activation(ops.conv(x, kernel, bias=self.bias, groups=self.groups, **self.window))


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
        lora_rank, lora_alpha: as for `Dense`.

    The weights are ``kernel[kernel_size, in/groups, filters]`` and ``bias[filters]``.

    Raises `ShapeError` for an input of another rank, or channels that do not divide into the groups.

    Example::

        x = layers.Conv1D(8, 3, padding="causal")(uf.Input((None, 4)))
    """

    rank = 1
    paddings = ("valid", "same", "causal")


@with_defaults(strides=(1, 1), dilation_rate=(1, 1))
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
        lora_rank, lora_alpha: as for `Dense`.

    The weights are ``kernel[*kernel_size, in/groups, filters]`` and ``bias[filters]``.

    Raises `ShapeError` for an input of another rank, or channels that do not divide into the groups.

    Example::

        x = layers.Conv2D(8, 3, strides=2, padding="same", activation="relu")(uf.Input((8, 8, 1)))
    """

    rank = 2


@with_defaults(strides=(1, 1, 1), dilation_rate=(1, 1, 1))
class Conv3D(_FullConv):
    """Convolution over three axes: ``[batch, depth, height, width, in]`` → ``[batch, …, filters]``.

    Arguments as for `Conv2D`, sizes being ints or triples.
    """

    rank = 3


class _DepthwiseConv(_Conv):
    @checked
    def __init__(
        self,
        kernel_size: PerAxis,
        strides: PerAxis = 1,
        padding: Padding = "valid",
        depth_multiplier: Size = 1,
        data_format: DataFormat = None,
        dilation_rate: PerAxis = 1,
        activation: ActivationLike = None,
        use_bias: bool = True,
        depthwise_initializer: InitializerLike = "glorot_uniform",
        bias_initializer: InitializerLike = "zeros",
        depthwise_regularizer: RegularizerLike = None,
        bias_regularizer: RegularizerLike = None,
        activity_regularizer: RegularizerLike = None,
        depthwise_constraint: Constraint = None,
        bias_constraint: Constraint = None,
        **options: Unpack[Options],
    ) -> None:
        super().__init__(
            kernel_size, strides, padding, data_format, dilation_rate, activation, use_bias,
            activity_regularizer=activity_regularizer, **options,
        )  # fmt: skip
        self.declare("depthwise", depthwise_initializer, depthwise_regularizer, depthwise_constraint)
        self.declare("bias", bias_initializer, bias_regularizer, bias_constraint)
        self.depth_multiplier = depth_multiplier

    def build(self, shape: Any) -> None:
        channels = self.channels(shape)
        self.kernel = self.add_declared(
            "depthwise", (*self.kernel_size, channels, self.depth_multiplier), called="kernel"
        )
        self.add_bias(channels * self.depth_multiplier)

    def call(self, x: Any) -> Any:
        return self.activation(ops.depthwise_conv(x, self.kernel, bias=self.bias, **self.window))


class DepthwiseConv1D(_DepthwiseConv):
    """Each channel by itself: ``[batch, steps, in]`` → ``[batch, new_steps, in * depth_multiplier]``.

    Args:
        depth_multiplier: kernels for each channel; the weight is ``[kernel_size, in, depth_multiplier]``.
        depthwise_initializer, depthwise_regularizer: of that weight.

    The other arguments are those of `Conv1D`; there is no causal padding.
    """

    rank = 1


@with_defaults(strides=(1, 1), dilation_rate=(1, 1))
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


class _SeparableConv(_Conv):
    @checked
    def __init__(
        self,
        filters: Size,
        kernel_size: PerAxis,
        strides: PerAxis = 1,
        padding: Padding = "valid",
        data_format: DataFormat = None,
        dilation_rate: PerAxis = 1,
        depth_multiplier: Size = 1,
        activation: ActivationLike = None,
        use_bias: bool = True,
        depthwise_initializer: InitializerLike = "glorot_uniform",
        pointwise_initializer: InitializerLike = "glorot_uniform",
        bias_initializer: InitializerLike = "zeros",
        depthwise_regularizer: RegularizerLike = None,
        pointwise_regularizer: RegularizerLike = None,
        bias_regularizer: RegularizerLike = None,
        activity_regularizer: RegularizerLike = None,
        depthwise_constraint: Constraint = None,
        pointwise_constraint: Constraint = None,
        bias_constraint: Constraint = None,
        **options: Unpack[Options],
    ) -> None:
        super().__init__(
            kernel_size, strides, padding, data_format, dilation_rate, activation, use_bias,
            activity_regularizer=activity_regularizer, **options,
        )  # fmt: skip
        self.declare("depthwise", depthwise_initializer, depthwise_regularizer, depthwise_constraint)
        self.declare("pointwise", pointwise_initializer, pointwise_regularizer, pointwise_constraint)
        self.declare("bias", bias_initializer, bias_regularizer, bias_constraint)
        self.filters, self.depth_multiplier = filters, depth_multiplier

    def build(self, shape: Any) -> None:
        channels = self.channels(shape)
        each, mixed = channels * self.depth_multiplier, self.filters
        self.depthwise_kernel = self.add_declared(
            "depthwise", (*self.kernel_size, channels, self.depth_multiplier), called="depthwise_kernel"
        )
        self.pointwise_kernel = self.add_declared(
            "pointwise", (*(1,) * self.rank, each, mixed), called="pointwise_kernel"
        )
        self.add_bias(self.filters)

    def call(self, x: Any) -> Any:
        mixed = ops.separable_conv(
            x, self.depthwise_kernel, self.pointwise_kernel, bias=self.bias, **self.window
        )
        return self.activation(mixed)


class SeparableConv1D(_SeparableConv):
    """Each channel convolved by itself, then the channels mixed by a window of one step (Chollet 2017).

    Arguments as for `Conv1D` but ``groups`` and causal padding, and:

    Args:
        depth_multiplier: how many kernels each channel has in the first step.
    """

    rank = 1


@with_defaults(strides=(1, 1), dilation_rate=(1, 1))
class SeparableConv2D(_SeparableConv):
    """Each channel convolved by itself, then the channels mixed by a 1×1 convolution (Chollet 2017).

    Arguments as for `Conv2D` but ``groups``, and:

    Args:
        depth_multiplier: how many kernels each channel has in the first step.
    """

    rank = 2


# Keras's other names.
Convolution1D = Conv1D
Convolution2D = Conv2D
Convolution3D = Conv3D
SeparableConvolution1D = SeparableConv1D
SeparableConvolution2D = SeparableConv2D
