"""Convolutional LSTMs: the products of an LSTM are convolutions, its states are pictures (Shi et al. 2015)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Unpack

from unifront import ops
from unifront.arguments import Size, in_order
from unifront.errors import ArgumentError, NotBuiltError
from unifront.ir.types import Shape
from unifront.layers.activations import ActivationAttribute, ActivationLike
from unifront.layers.arguments import DataFormat, Padding, PerAxis
from unifront.layers.building import feature_size
from unifront.layers.recurrent import OfCell, OverCell
from unifront.layers.recurrent_arguments import (
    CONSTRAINTS,
    DROPOUT,
    INITIALIZERS,
    READING,
    REGULARIZERS,
    ConvLSTMOptions,
    of_layer_and_cell,
)
from unifront.layers.rnn_cells import Cell, ForgetBias, States, long_short_term
from unifront.opset import windows
from unifront.opset.tensor import type_of


class ConvLSTMCell(Cell):
    """One step of a convolutional LSTM over ``len(kernel_size)`` axes; made by `ConvLSTM2D` and its like.

    Takes converted arguments of theirs. ``states`` is ``[h, c]``, each of the shape that the convolution gives.
    """

    gates = 4
    state_count = 2
    masks_per_gate = True
    notes_arguments = False
    recurrent_activation = ActivationAttribute()

    def __init__(
        self,
        filters: int,
        kernel_size: tuple[int, ...],
        strides: tuple[int, ...],
        padding: str,
        data_format: str,
        dilation_rate: tuple[int, ...],
        *gates: Any,
        **options: Any,
    ) -> None:
        unit_forget_bias = options.pop("unit_forget_bias")
        super().__init__(*gates, **options)
        self.unit_forget_bias = unit_forget_bias
        self.filters, self.kernel_size, self.strides = filters, kernel_size, strides
        self.padding, self.data_format, self.dilation_rate = padding, data_format, dilation_rate
        self.rank = len(kernel_size)
        self.channels_last = data_format == "channels_last"
        self.axis = -1 if self.channels_last else -self.rank - 1
        self.state_size = [filters, filters]
        self.output_size = filters

    def build(self, shape: Any) -> None:
        channels = feature_size(shape, self.axis)
        spatial = shape[1:-1] if self.channels_last else shape[2:]
        if not all(isinstance(size, int) for size in spatial):
            raise NotBuiltError(
                f"A convolutional LSTM has states of a fixed size; the sizes of its pictures {shape} are not "
                "known. Give Input fixed ones."
            )
        self._step_shape = tuple(shape[1:])
        self._state_shape = tuple(self.compute_output_shape(shape)[1:])
        self.kernel = self.add_declared("kernel", (*self.kernel_size, channels, 4 * self.filters))
        self.recurrent_kernel = self.add_declared(
            "recurrent", (*self.kernel_size, self.filters, 4 * self.filters), called="recurrent_kernel"
        )
        self.bias: Any = None
        if self.use_bias:
            bias = ForgetBias(self.bias_initializer) if self.unit_forget_bias else self.bias_initializer
            self.bias = self.add_declared("bias", (4 * self.filters,), initializer=bias)

    def compute_output_shape(self, shape: Any) -> tuple[Any, ...]:
        """The shape of the state for a step's input of ``shape``."""
        spatial = shape[1:-1] if self.channels_last else shape[2:]
        sizes = [None if size is None else self._reduced(size, i) for i, size in enumerate(spatial)]
        return (shape[0], *sizes, self.filters) if self.channels_last else (shape[0], self.filters, *sizes)

    def _reduced(self, size: Any, axis: int) -> Any:
        padding = "same" if self.padding == "same" else ((0, 0),)
        one = slice(axis, axis + 1)
        found = windows.output_sizes(
            (size,), self.kernel_size[one], self.strides[one], padding, self.dilation_rate[one]
        )  # fmt: skip
        return found[0]

    def input_shape(self) -> Shape:
        return self._step_shape

    def state_shapes(self) -> list[Shape]:
        return [self._state_shape] * 2

    def enter(self, x: Any, masks: Sequence[Any] | None) -> Any:
        if masks is None:
            return self._convolved(x, self.kernel, self.bias)
        kernels = ops.split(self.kernel, 4, axis=-1)
        biases = [None] * 4 if self.bias is None else ops.split(self.bias, 4)
        parts = [
            self._convolved(ops.multiply(x, mask), kernel, bias)
            for mask, kernel, bias in zip(masks, kernels, biases, strict=True)
        ]
        return ops.concatenate(parts, axis=self.axis)

    def _convolved(self, x: Any, kernel: Any, bias: Any) -> Any:
        """The convolution of one step, or of all, time first, as if they were one batch."""
        shape = type_of(x).shape
        of_time = len(shape) == self.rank + 3
        if of_time:
            x = ops.reshape(x, (shape[0] * shape[1], *shape[2:]))
        found = ops.conv(
            x, kernel, self.strides, self.padding, self.data_format, self.dilation_rate, bias=bias
        )
        return ops.reshape(found, (*shape[:2], *type_of(found).shape[1:])) if of_time else found

    def advance(self, inner: Any, states: Sequence[Any], masks: Sequence[Any] | None) -> States:
        h, c = states
        if masks is None:
            recurred = self._recurred(h, self.recurrent_kernel)
        else:
            kernels = ops.split(self.recurrent_kernel, 4, axis=-1)
            parts = [
                self._recurred(ops.multiply(h, mask), kernel)
                for mask, kernel in zip(masks, kernels, strict=True)
            ]
            recurred = ops.concatenate(parts, axis=self.axis)
        sums = ops.add(inner, recurred)
        return long_short_term(sums, c, self.activation, self.recurrent_activation, self.axis)

    def _recurred(self, h: Any, kernel: Any) -> Any:
        return ops.conv(h, kernel, 1, "same", self.data_format)


class _ConvLSTM(OverCell):
    paddings: tuple[str, ...] = ("valid", "same")
    rank: int
    filters, kernel_size, strides, padding, data_format, dilation_rate = (OfCell() for _ in range(6))
    recurrent_activation, unit_forget_bias = OfCell(), OfCell()

    @in_order(
        *INITIALIZERS, "unit_forget_bias", *REGULARIZERS, "activity_regularizer", *CONSTRAINTS, *DROPOUT, "seed",
        *READING,
    )  # fmt: skip
    def __init__(
        self,
        filters: Size,
        kernel_size: PerAxis,
        strides: PerAxis = 1,
        padding: Padding = "valid",
        data_format: DataFormat = None,
        dilation_rate: PerAxis = 1,
        activation: ActivationLike = "tanh",
        recurrent_activation: ActivationLike = "sigmoid",
        use_bias: bool = True,
        **options: Unpack[ConvLSTMOptions],
    ) -> None:
        own, given = of_layer_and_cell(options)
        each: Any = (strides, dilation_rate)
        if all(max(one) > 1 for one in each):
            raise ArgumentError(
                f"{type(self).__name__}: strides {strides} and dilation_rate {dilation_rate} cannot both be "
                "above 1."
            )
        window: Any = (kernel_size, strides, padding, data_format, dilation_rate)
        gates: Any = (activation, recurrent_activation, use_bias)
        cell = ConvLSTMCell(filters, *window, *gates, name="conv_lstm_cell", **given)
        super().__init__(cell, **own)

    def compute_output_shape(self, sequences_shape: Any, initial_state_shape: Any = None) -> Any:
        """The shape of the output, and of the states if they are given, for an input of this shape."""
        own = self.cell.compute_output_shape((sequences_shape[0], *sequences_shape[2:]))
        return self._shapes_given(own, sequences_shape[1], (own, own))


class ConvLSTM1D(_ConvLSTM):
    """A convolutional LSTM over one axis: ``[batch, time, steps, channels]`` → ``[batch, new_steps, filters]``.

    Arguments as for `ConvLSTM2D`, sizes being ints.
    """

    rank, input_rank = 1, 4


class ConvLSTM2D(_ConvLSTM):
    """An LSTM whose products are convolutions (Shi et al. 2015, without the cell's own part of the gates).

    ``[batch, time, height, width, channels]`` → ``[batch, new_height, new_width, filters]``.

    Args:
        filters: channels of the states and of the output.
        kernel_size, strides, dilation_rate: ints or pairs, of the convolution of the input; the states are convolved
            by a kernel of the same size, padded so that they keep theirs.
        padding: ``"valid"`` or ``"same"``.
        data_format: ``"channels_last"`` (default) or ``"channels_first"``, ``[batch, time, channels, height, width]``.
        activation, recurrent_activation, unit_forget_bias: as for `LSTM`.

    The other arguments are those of `SimpleRNN`. The weights are ``kernel[*kernel_size, channels, 4 * filters]``,
    ``recurrent_kernel[*kernel_size, filters, 4 * filters]`` and ``bias[4 * filters]``, gates in the order i, f, c, o.

    Raises `ArgumentError` for strides and dilation_rate both above 1, `NotBuiltError` where a size other than batch
    and time is free.

    Example::

        x = layers.ConvLSTM2D(8, 3, padding="same")(uf.Input((None, 16, 16, 3)))  # float32[batch, 16, 16, 8]
    """

    rank, input_rank = 2, 5


class ConvLSTM3D(_ConvLSTM):
    """A convolutional LSTM over three axes: ``[batch, time, depth, height, width, channels]`` → the same without time.

    Arguments as for `ConvLSTM2D`, sizes being ints or triples.
    """

    rank, input_rank = 3, 6
