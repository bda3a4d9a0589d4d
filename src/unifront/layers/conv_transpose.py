"""Transposed convolutions."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any, Unpack, cast

from unifront import ops
from unifront.arguments import Check, Size, Wrong, checked, with_defaults
from unifront.errors import ArgumentError
from unifront.layers.activations import ActivationLike
from unifront.layers.arguments import Constraint, DataFormat, Options, Padding, PerAxis
from unifront.layers.conv import _Conv
from unifront.layers.initializers import InitializerLike
from unifront.layers.regularizers import RegularizerLike
from unifront.opset.rules import is_whole


def _extra(value: Any, owner: Any) -> tuple[int, ...]:
    values = tuple(value) if isinstance(value, list | tuple) else (value,) * owner.rank
    if len(values) != owner.rank or not all(is_whole(one) and one >= 0 for one in values):
        raise Wrong(f"an int >= 0, or {owner.rank} of them")
    return tuple(map(int, values))


OutputPadding = Annotated[int | Sequence[int], Check(_extra)]
"""An int from 0 up, or one for each of the layer's spatial axes; becomes a tuple."""


class _ConvTranspose(_Conv):
    @checked
    def __init__(
        self,
        filters: Size,
        kernel_size: PerAxis,
        strides: PerAxis = 1,
        padding: Padding = "valid",
        output_padding: OutputPadding | None = None,
        data_format: DataFormat = None,
        dilation_rate: PerAxis = 1,
        activation: ActivationLike = None,
        use_bias: bool = True,
        kernel_initializer: InitializerLike = "glorot_uniform",
        bias_initializer: InitializerLike = "zeros",
        kernel_regularizer: RegularizerLike = None,
        bias_regularizer: RegularizerLike = None,
        activity_regularizer: RegularizerLike = None,
        kernel_constraint: Constraint = None,
        bias_constraint: Constraint = None,
        **options: Unpack[Options],
    ) -> None:
        super().__init__(
            kernel_size, strides, padding, data_format, dilation_rate, activation, use_bias,
            activity_regularizer=activity_regularizer, **options,
        )  # fmt: skip
        self.declare("kernel", kernel_initializer, kernel_regularizer, kernel_constraint)
        self.declare("bias", bias_initializer, bias_regularizer, bias_constraint)
        self.filters: int = filters
        self.output_padding = cast(tuple[int, ...] | None, output_padding)
        extra = self.output_padding
        if extra is not None and any(n >= s for n, s in zip(extra, self.strides, strict=True)):
            raise ArgumentError(
                f"{type(self).__name__}: output_padding {output_padding} must be strictly less than the strides "
                f"{self.strides}."
            )

    def build(self, shape: Any) -> None:
        self.kernel = self.add_declared("kernel", (*self.kernel_size, self.filters, self.channels(shape)))
        self.add_bias(self.filters)

    def call(self, x: Any) -> Any:
        y = ops.conv_transpose(
            x, self.kernel, output_padding=self.output_padding, bias=self.bias, **self.window
        )
        return self.activation(y)


class Conv1DTranspose(_ConvTranspose):
    """The transposed convolution over one axis: ``[batch, steps, in]`` → ``[batch, new_steps, filters]``.

    Args:
        filters: output channels.
        kernel_size, strides, dilation_rate: ints; strides and dilation_rate cannot both be above 1.
        padding: ``"valid"`` for ``(steps - 1) * stride + kernel_size`` new steps (at least ``steps * stride``),
            ``"same"`` for ``steps * stride``.
        output_padding: below the stride; with it there are ``(steps - 1) * stride + kernel_size + output_padding``
            new steps, with ``"same"`` ``kernel_size % 2`` instead of ``kernel_size``.
        data_format: ``"channels_last"`` (default) or ``"channels_first"``.
        activation, use_bias: as for `Dense`.
        kernel_initializer, bias_initializer, kernel_regularizer, bias_regularizer: as for `Dense`.

    The weights are ``kernel[kernel_size, filters, in]`` and ``bias[filters]``.

    Raises `ShapeError` for an input of another rank.

    Example::

        x = layers.Conv1DTranspose(8, 3, strides=2, padding="same")(uf.Input((None, 4)))
    """

    rank = 1


@with_defaults(strides=(1, 1), dilation_rate=(1, 1))
class Conv2DTranspose(_ConvTranspose):
    """The transposed convolution over two axes: ``[batch, height, width, in]`` → ``[batch, …, …, filters]``.

    Arguments as for `Conv1DTranspose`, sizes being ints or pairs. The weights are
    ``kernel[*kernel_size, filters, in]`` and ``bias[filters]``.
    """

    rank = 2


@with_defaults(strides=(1, 1, 1), dilation_rate=(1, 1, 1))
class Conv3DTranspose(_ConvTranspose):
    """The transposed convolution over three axes: ``[batch, depth, height, width, in]`` → ``[batch, …, filters]``.

    Arguments as for `Conv1DTranspose`, sizes being ints or triples.
    """

    rank = 3

    @checked
    def __init__(  # Keras has data_format before output_padding here
        self,
        filters: Size,
        kernel_size: PerAxis,
        strides: PerAxis = 1,
        padding: Padding = "valid",
        data_format: DataFormat = None,
        output_padding: OutputPadding | None = None,
        dilation_rate: PerAxis = 1,
        activation: ActivationLike = None,
        use_bias: bool = True,
        kernel_initializer: InitializerLike = "glorot_uniform",
        bias_initializer: InitializerLike = "zeros",
        kernel_regularizer: RegularizerLike = None,
        bias_regularizer: RegularizerLike = None,
        activity_regularizer: RegularizerLike = None,
        kernel_constraint: Constraint = None,
        bias_constraint: Constraint = None,
        **options: Unpack[Options],
    ) -> None:
        super().__init__(
            filters, kernel_size, strides, padding, output_padding, data_format, dilation_rate, activation,
            use_bias, kernel_initializer, bias_initializer, kernel_regularizer, bias_regularizer,
            activity_regularizer, kernel_constraint, bias_constraint, **options,
        )  # fmt: skip


# Keras's other names.
Convolution1DTranspose = Conv1DTranspose
Convolution2DTranspose = Conv2DTranspose
Convolution3DTranspose = Conv3DTranspose
