"""Recurrent networks in TensorFlow: a ``tf.while_loop`` over the steps, with a gradient of its own.

Inside the loops features come first and the batch last, ``[features, batch]``: gates are then split and joined
without copying, and each product is a weight matrix times a narrow one. Without oneDNN (which TensorFlow uses
only where the processor has AVX-512 or AMX) that halves a step's product, and takes a third off the LSTM's
training step (batch 32, 100 steps, 256 units, 2 cores); with it a tenth.

The backward loop gives the gradient of the gates; those of inputs, kernels and biases are one product each
after it, instead of sums over the steps. Multiplying the inputs step by step is quicker than doing it before
the loop. ``BlockLSTMV2`` infers in the time of the loop that has the batch first, trains in 1.6 times that
one's, and has no float64. A GPU runs the same loops, not cuDNN's.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import tensorflow as tf

from unifront.ops import rnn as ops
from unifront.ops.spec import OpSpec

Array = Any
Step = Callable[[tuple[Array, ...], tuple[Array, ...]], tuple[tuple[Array, ...], tuple[Array, ...]]]
_SATURATED = 1e4
"""A sigmoid of this is exactly 1, and of its negative exactly 0, in every float dtype."""


def _scan(
    step: Step,
    states: Sequence[Array],
    sequences: Sequence[Array],
    widths: Sequence[int],
    reverse: bool = False,
) -> tuple[list[Array], list[Array]]:
    """Run ``step(states, slices) -> (states, outputs)`` over axis 0; last states and stacked outputs.

    Args:
        states: each ``[width, batch]``, as are the slices and the outputs.
        widths: of the outputs.
    """
    dtype, count = states[0].dtype, len(states)
    steps = tf.shape(sequences[0])[0]
    arrays = [tf.TensorArray(s.dtype, size=steps, element_shape=s.shape[1:]).unstack(s) for s in sequences]
    batch = sequences[0].shape[2]
    outputs = [tf.TensorArray(dtype, size=steps, element_shape=(width, batch)) for width in widths]

    def body(t: Array, *values: Any) -> tuple[Any, ...]:
        position = steps - 1 - t if reverse else t
        old = values[:count]
        new, found = step(old, tuple(array.read(position) for array in arrays))
        for after, before in zip(new, old, strict=True):
            after.set_shape(before.shape)
        written = (array.write(position, value) for array, value in zip(values[count:], found, strict=True))
        return (t + 1, *new, *written)

    start = (tf.constant(0), *states, *outputs)
    _, *values = tf.while_loop(lambda t, *_: t < steps, body, start)
    return values[:count], [array.stack() for array in values[count:]]


def _turned(array: Array) -> Array:
    """The last two axes exchanged."""
    return tf.linalg.matrix_transpose(array)


def _sigmoid_gradient(y: Array, d_y: Array) -> Array:
    return tf.raw_ops.SigmoidGrad(y=y, dy=d_y)


def _tanh_gradient(y: Array, d_y: Array) -> Array:
    return tf.raw_ops.TanhGrad(y=y, dy=d_y)


def _before(sequence: Array, initial: Array) -> Array:
    """For each step of a time-major sequence of states the state that was there before it."""
    return tf.concat([initial[None], sequence[:-1]], 0)


def _product(x: Array, y: Array) -> Array:
    """The gradient of a kernel between two sequences ``[time, batch, …]``."""
    flat = (tf.reshape(array, (-1, array.shape[-1])) for array in (x, y))
    return tf.matmul(*flat, transpose_a=True)


def _input_gradients(x: Array, kernel: Array, d_gates: Array) -> tuple[Array, Array, Array]:
    """Gradients of the inputs, their kernel and the bias."""
    return tf.tensordot(d_gates, kernel, [[2], [1]]), _product(x, d_gates), tf.reduce_sum(d_gates, (0, 1))


@tf.custom_gradient
def _lstm_loop(x: Array, kernel: Array, recurrent: Array, bias: Array, h0: Array, c0: Array) -> Any:
    """Outputs ``[time, batch, units]`` and the last states, of ``x`` ``[time, batch, features]``."""
    units = recurrent.shape[0]
    of_x, of_h, column = _turned(kernel), _turned(recurrent), bias[:, None]
    initial = _turned(c0)

    def forward(state: tuple[Array, ...], x: tuple[Array, ...]) -> Any:
        i, f, g, o = tf.split(tf.matmul(of_x, x[0]) + tf.matmul(of_h, state[0]) + column, 4)
        i, f, g, o = tf.sigmoid(i), tf.sigmoid(f), tf.tanh(g), tf.sigmoid(o)
        c = f * state[1] + i * g
        h = o * tf.tanh(c)
        return (h, c), (h, c, tf.concat([i, f, g, o], 0))

    start, widths = (_turned(h0), initial), (units, units, 4 * units)
    (h, c), (outputs, cells, activations) = _scan(forward, start, (_turned(x),), widths)
    outputs = _turned(outputs)

    def gradient(d_outputs: Array, d_h: Array, d_c: Array) -> tuple[Array, ...]:
        def backward(state: tuple[Array, ...], x: tuple[Array, ...]) -> Any:
            d_output, activations, c, c_before = x
            i, f, g, o = tf.split(activations, 4)
            d_h, tanh = state[0] + d_output, tf.tanh(c)
            d_c = state[1] + _tanh_gradient(tanh, d_h * o)
            parts = [
                _sigmoid_gradient(i, d_c * g),
                _sigmoid_gradient(f, d_c * c_before),
                _tanh_gradient(g, d_c * i),
                _sigmoid_gradient(o, d_h * tanh),
            ]
            d_gates = tf.concat(parts, 0)
            return (tf.matmul(recurrent, d_gates), d_c * f), (d_gates,)

        steps = (_turned(d_outputs), activations, cells, _before(cells, initial))
        start = (_turned(d_h), _turned(d_c))
        (d_h0, d_c0), (d_gates,) = _scan(backward, start, steps, (4 * units,), reverse=True)
        d_gates = _turned(d_gates)
        d_x, d_kernel, d_bias = _input_gradients(x, kernel, d_gates)
        d_recurrent = _product(_before(outputs, h0), d_gates)
        return d_x, d_kernel, d_recurrent, d_bias, _turned(d_h0), _turned(d_c0)

    return (outputs, _turned(h), _turned(c)), gradient


@tf.custom_gradient
def _gru_loop(x: Array, kernel: Array, recurrent: Array, outer: Array, inner: Array, h0: Array) -> Any:
    """Outputs ``[time, batch, units]`` and the last state, of ``x`` ``[time, batch, features]``; two biases."""
    units = recurrent.shape[0]
    of_x, of_h, outer_column, inner_column = (
        _turned(kernel),
        _turned(recurrent),
        outer[:, None],
        inner[:, None],
    )
    initial = _turned(h0)

    def forward(state: tuple[Array, ...], x: tuple[Array, ...]) -> Any:
        (h,) = state
        x_gates, x_candidate = tf.split(tf.matmul(of_x, x[0]) + outer_column, (2 * units, units))
        h_gates, h_candidate = tf.split(tf.matmul(of_h, h) + inner_column, (2 * units, units))
        gates = tf.sigmoid(x_gates + h_gates)
        z, r = tf.split(gates, 2)
        candidate = tf.tanh(x_candidate + r * h_candidate)
        h = candidate + z * (h - candidate)
        return (h,), (h, tf.concat([gates, candidate, h_candidate], 0))

    (h,), (states, activations) = _scan(forward, (initial,), (_turned(x),), (units, 4 * units))
    outputs = _turned(states)

    def gradient(d_outputs: Array, d_h: Array) -> tuple[Array, ...]:
        def backward(state: tuple[Array, ...], x: tuple[Array, ...]) -> Any:
            d_output, activations, h = x
            z, r, candidate, h_candidate = tf.split(activations, 4)
            d_h = state[0] + d_output
            d_kept = d_h * z
            d_candidate = _tanh_gradient(candidate, d_h - d_kept)
            d_z = _sigmoid_gradient(z, d_h * (h - candidate))
            d_r = _sigmoid_gradient(r, d_candidate * h_candidate)
            d_inner = tf.concat([d_z, d_r, d_candidate * r], 0)
            return (d_kept + tf.matmul(recurrent, d_inner),), (d_candidate, d_inner)

        steps = (_turned(d_outputs), activations, _before(states, initial))
        widths = (units, 3 * units)
        (d_h0,), (d_candidate, d_inner) = _scan(backward, (_turned(d_h),), steps, widths, reverse=True)
        d_candidate, d_inner = _turned(d_candidate), _turned(d_inner)
        d_gates = tf.concat([d_inner[..., : 2 * units], d_candidate], -1)
        d_x, d_kernel, d_outer = _input_gradients(x, kernel, d_gates)
        d_recurrent = _product(_before(outputs, h0), d_inner)
        return d_x, d_kernel, d_recurrent, d_outer, tf.reduce_sum(d_inner, (0, 1)), _turned(d_h0)

    return (outputs, _turned(h)), gradient


def _gru_reset_before_loop(
    x: Array, kernel: Array, recurrent: Array, bias: Array, h0: Array
) -> tuple[Array, Array]:
    """As `_gru_loop`; its gradient is TensorFlow's own."""
    units = recurrent.shape[0]
    of_x, column = _turned(kernel), bias[:, None]
    gates_of_h, candidate_of_h = tf.split(_turned(recurrent), (2 * units, units))

    def forward(state: tuple[Array, ...], x: tuple[Array, ...]) -> Any:
        (h,) = state
        gates, candidate = tf.split(tf.matmul(of_x, x[0]) + column, (2 * units, units))
        z, r = tf.split(tf.sigmoid(gates + tf.matmul(gates_of_h, h)), 2)
        h = z * h + (1 - z) * tf.tanh(candidate + tf.matmul(candidate_of_h, r * h))
        return (h,), (h,)

    (h,), (outputs,) = _scan(forward, (_turned(h0),), (_turned(x),), (units,))
    return _turned(outputs), _turned(h)


_ACTIVATIONS: dict[str, Callable[[Array], Array]] = {"tanh": tf.tanh, "relu": tf.nn.relu}
_ACTIVATION_GRADIENTS: dict[str, Callable[[Array, Array], Array]] = {
    "tanh": _tanh_gradient,
    "relu": lambda h, d_h: tf.raw_ops.ReluGrad(gradients=d_h, features=h),
}


def _simple_loop(x: Array, kernel: Array, recurrent: Array, bias: Array, h0: Array, activation: str) -> Any:
    units = recurrent.shape[0]

    @tf.custom_gradient
    def loop(x: Array, kernel: Array, recurrent: Array, bias: Array, h0: Array) -> Any:
        of_x, of_h, column = _turned(kernel), _turned(recurrent), bias[:, None]

        def forward(state: tuple[Array, ...], x: tuple[Array, ...]) -> Any:
            h = _ACTIVATIONS[activation](tf.matmul(of_x, x[0]) + tf.matmul(of_h, state[0]) + column)
            return (h,), (h,)

        (h,), (states,) = _scan(forward, (_turned(h0),), (_turned(x),), (units,))
        outputs = _turned(states)

        def gradient(d_outputs: Array, d_h: Array) -> tuple[Array, ...]:
            def backward(state: tuple[Array, ...], x: tuple[Array, ...]) -> Any:
                d_gates = _ACTIVATION_GRADIENTS[activation](x[1], state[0] + x[0])
                return (tf.matmul(recurrent, d_gates),), (d_gates,)

            start, steps = (_turned(d_h),), (_turned(d_outputs), states)
            (d_h0,), (d_gates,) = _scan(backward, start, steps, (units,), reverse=True)
            d_gates = _turned(d_gates)
            d_x, d_kernel, d_bias = _input_gradients(x, kernel, d_gates)
            return d_x, d_kernel, _product(_before(outputs, h0), d_gates), d_bias, _turned(d_h0)

        return (outputs, _turned(h)), gradient

    return loop(x, kernel, recurrent, bias, h0)


class _Reading:
    """The steps of a batch in the order they are read, time-major in ``x``; `back` puts the outputs in place.

    The loops run over padding too; what they give there is replaced after.
    """

    def __init__(self, x: Array, lengths: Array | None, reverse: bool) -> None:
        self.lengths, self.reverse = lengths, reverse
        if lengths is not None:
            self.padding = tf.range(tf.shape(x)[1]) >= lengths[:, None]
        self.x = tf.transpose(self._in_order(x), (1, 0, 2))

    def _in_order(self, x: Array) -> Array:
        if not self.reverse:
            return x
        return tf.reverse(x, [1]) if self.lengths is None else tf.reverse_sequence(x, self.lengths, 1, 0)

    def back(self, outputs: Array, *states: Array, initial: Array) -> tuple[Array, ...]:
        """Batch-major outputs in place, and the last states."""
        sequence = tf.transpose(outputs, (1, 0, 2))
        if self.lengths is None:
            return self._in_order(sequence), *states
        ends = tf.maximum(self.lengths - 1, 0)
        h = tf.where((self.lengths > 0)[:, None], tf.gather(sequence, ends, batch_dims=1), initial)
        sequence = tf.where(self.padding[:, :, None], tf.zeros((), sequence.dtype), sequence)
        return self._in_order(sequence), h, *states[1:]


def _initial(state: Array | None, x: Array, kernel: Array) -> Array:
    if state is not None:
        return state
    batch = tf.shape(x)[0] if x.shape[0] is None else x.shape[0]
    return tf.zeros((batch, kernel.shape[0]), x.dtype)


def _bias(bias: Array | None, kernel: Array) -> Array:
    return tf.zeros(kernel.shape[1:], kernel.dtype) if bias is None else bias


def _lstm(
    x: Array, kernel: Array, recurrent_kernel: Array, bias: Array | None, h0: Array | None, c0: Array | None,
    lengths: Array | None, reverse: bool,
) -> tuple[Array, ...]:  # fmt: skip
    reading = _Reading(x, lengths, reverse)
    h0, c0 = _initial(h0, x, recurrent_kernel), _initial(c0, x, recurrent_kernel)
    bias, steps = _bias(bias, kernel), reading.x
    if lengths is not None:
        # One more feature, set past the end, holds the cell state: forget gate open, input gate shut.
        hold = tf.repeat(tf.constant([-_SATURATED, _SATURATED, 0, 0], x.dtype), recurrent_kernel.shape[0])
        padding = tf.cast(tf.transpose(reading.padding)[:, :, None], x.dtype)
        steps, kernel = tf.concat([steps, padding], -1), tf.concat([kernel, hold[None]], 0)
    outputs, h, c = _lstm_loop(steps, kernel, recurrent_kernel, bias, h0, c0)
    return reading.back(outputs, h, c, initial=h0)


def _gru(
    x: Array, kernel: Array, recurrent_kernel: Array, bias: Array | None, h0: Array | None,
    lengths: Array | None, reverse: bool, reset_after: bool,
) -> tuple[Array, ...]:  # fmt: skip
    reading = _Reading(x, lengths, reverse)
    h0 = _initial(h0, x, recurrent_kernel)
    if not reset_after:
        outputs, h = _gru_reset_before_loop(reading.x, kernel, recurrent_kernel, _bias(bias, kernel), h0)
        return reading.back(outputs, h, initial=h0)
    outer, inner = (_bias(None, kernel),) * 2 if bias is None else (bias[0], bias[1])
    outputs, h = _gru_loop(reading.x, kernel, recurrent_kernel, outer, inner, h0)
    return reading.back(outputs, h, initial=h0)


def _simple_rnn(
    x: Array, kernel: Array, recurrent_kernel: Array, bias: Array | None, h0: Array | None,
    lengths: Array | None, reverse: bool, activation: str,
) -> tuple[Array, ...]:  # fmt: skip
    reading = _Reading(x, lengths, reverse)
    h0 = _initial(h0, x, recurrent_kernel)
    outputs, h = _simple_loop(reading.x, kernel, recurrent_kernel, _bias(bias, kernel), h0, activation)
    return reading.back(outputs, h, initial=h0)


TABLE: dict[OpSpec, Callable[..., Any]] = {
    ops.LSTM: _lstm,
    ops.GRU: _gru,
    ops.SIMPLE_RNN: _simple_rnn,
}
