"""Recurrent networks in TensorFlow: one product of all inputs, then a ``tf.while_loop`` over the gates.

The loops have gradients of their own: the backward loop gives the gradient of the gates, and that of the
recurrent kernel is one product after it, instead of a sum over the steps. (Measured on two cores, batch 32,
100 steps, 256 units: an eighth off the LSTM's training step. ``BlockLSTMV2`` infers in the same time, trains
in 1.6 times this one's, and has no float64.) A GPU runs the same loops, not cuDNN's.
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
        widths: the sizes of the outputs, each ``[batch, width]``.
    """
    dtype, count = states[0].dtype, len(states)
    steps = tf.shape(sequences[0])[0]
    arrays = [tf.TensorArray(s.dtype, size=steps, element_shape=s.shape[1:]).unstack(s) for s in sequences]
    batch = sequences[0].shape[1]
    outputs = [tf.TensorArray(dtype, size=steps, element_shape=(batch, width)) for width in widths]

    def body(t: Array, *values: Any) -> tuple[Any, ...]:
        position = steps - 1 - t if reverse else t
        old = values[:count]
        new, found = step(old, tuple(array.read(position) for array in arrays))
        for after, before in zip(new, old, strict=True):
            after.set_shape(before.shape)
        written = (array.write(position, value) for array, value in zip(values[count:], found, strict=True))
        return (t + 1, *new, *written)

    start = (tf.constant(0), *states, *outputs)
    _, *values = tf.while_loop(lambda t, *_: t < steps, body, start, maximum_iterations=steps)
    return values[:count], [array.stack() for array in values[count:]]


def _before(sequence: Array, initial: Array) -> Array:
    """For each step of a time-major sequence of states the state that was there before it."""
    return tf.concat([initial[None], sequence[:-1]], 0)


def _kernel_gradient(before: Array, gates: Array) -> Array:
    def flat(x: Array) -> Array:
        return tf.reshape(x, (-1, x.shape[-1]))

    return tf.matmul(flat(before), flat(gates), transpose_a=True)


@tf.custom_gradient
def _lstm_loop(gates: Array, kernel: Array, h0: Array, c0: Array) -> Any:
    """Outputs ``[time, batch, units]`` and the last states, from what the inputs add to the gates."""
    units = kernel.shape[0]

    def forward(state: tuple[Array, ...], x: tuple[Array, ...]) -> Any:
        i, f, g, o = tf.split(x[0] + tf.matmul(state[0], kernel), 4, -1)
        i, f, g, o = tf.sigmoid(i), tf.sigmoid(f), tf.tanh(g), tf.sigmoid(o)
        c = f * state[1] + i * g
        h = o * tf.tanh(c)
        return (h, c), (h, c, tf.concat([i, f, g, o], -1))

    (h, c), (outputs, cells, activations) = _scan(forward, (h0, c0), (gates,), (units, units, 4 * units))

    def gradient(d_outputs: Array, d_h: Array, d_c: Array) -> tuple[Array, ...]:
        def backward(state: tuple[Array, ...], x: tuple[Array, ...]) -> Any:
            d_output, activations, c, c_before = x
            i, f, g, o = tf.split(activations, 4, -1)
            d_h, d_c = state[0] + d_output, state[1]
            tanh = tf.tanh(c)
            d_c += d_h * o * (1 - tanh * tanh)
            d_o = d_h * tanh * o * (1 - o)
            d_gates = tf.concat(
                [d_c * g * i * (1 - i), d_c * c_before * f * (1 - f), d_c * i * (1 - g * g), d_o], -1
            )
            return (tf.matmul(d_gates, kernel, transpose_b=True), d_c * f), (d_gates,)

        steps = (d_outputs, activations, cells, _before(cells, c0))
        (d_h0, d_c0), (d_gates,) = _scan(backward, (d_h, d_c), steps, (4 * units,), reverse=True)
        return d_gates, _kernel_gradient(_before(outputs, h0), d_gates), d_h0, d_c0

    return (outputs, h, c), gradient


@tf.custom_gradient
def _gru_loop(gates: Array, kernel: Array, bias: Array, h0: Array) -> Any:
    """Outputs ``[time, batch, units]`` and the last state; ``bias`` is the state's."""
    units = kernel.shape[0]

    def forward(state: tuple[Array, ...], x: tuple[Array, ...]) -> Any:
        (h,) = state
        xz, xr, xh = tf.split(x[0], 3, -1)
        hz, hr, hh = tf.split(tf.matmul(h, kernel) + bias, 3, -1)
        z, r = tf.sigmoid(xz + hz), tf.sigmoid(xr + hr)
        candidate = tf.tanh(xh + r * hh)
        h = z * h + (1 - z) * candidate
        return (h,), (h, tf.concat([z, r, candidate, hh], -1))

    (h,), (outputs, activations) = _scan(forward, (h0,), (gates,), (units, 4 * units))

    def gradient(d_outputs: Array, d_h: Array) -> tuple[Array, ...]:
        before = _before(outputs, h0)

        def backward(state: tuple[Array, ...], x: tuple[Array, ...]) -> Any:
            d_output, activations, h = x
            z, r, candidate, hh = tf.split(activations, 4, -1)
            d_h = state[0] + d_output
            d_candidate = d_h * (1 - z) * (1 - candidate * candidate)
            d_z, d_r = d_h * (h - candidate) * z * (1 - z), d_candidate * hh * r * (1 - r)
            d_inner = tf.concat([d_z, d_r, d_candidate * r], -1)
            return (d_h * z + tf.matmul(d_inner, kernel, transpose_b=True),), (d_candidate, d_inner)

        steps = (d_outputs, activations, before)
        (d_h0,), (d_candidate, d_inner) = _scan(backward, (d_h,), steps, (units, 3 * units), reverse=True)
        d_gates = tf.concat([d_inner[..., : 2 * units], d_candidate], -1)
        return d_gates, _kernel_gradient(before, d_inner), tf.reduce_sum(d_inner, (0, 1)), d_h0

    return (outputs, h), gradient


def _gru_reset_before_loop(gates: Array, kernel: Array, h0: Array) -> tuple[Array, Array]:
    units = kernel.shape[0]
    gates_kernel, candidate_kernel = kernel[:, : 2 * units], kernel[:, 2 * units :]

    def forward(state: tuple[Array, ...], x: tuple[Array, ...]) -> Any:
        (h,) = state
        z, r = tf.split(tf.sigmoid(x[0][:, : 2 * units] + tf.matmul(h, gates_kernel)), 2, -1)
        h = z * h + (1 - z) * tf.tanh(x[0][:, 2 * units :] + tf.matmul(r * h, candidate_kernel))
        return (h,), (h,)

    (h,), (outputs,) = _scan(forward, (h0,), (gates,), (units,))
    return outputs, h


_ACTIVATIONS: dict[str, Callable[[Array], Array]] = {"tanh": tf.tanh, "relu": tf.nn.relu}
_SLOPES: dict[str, Callable[[Array], Array]] = {
    "tanh": lambda h: 1 - h * h,
    "relu": lambda h: tf.cast(h > 0, h.dtype),
}
"""The derivative of each activation, from its result."""


def _simple_loop(gates: Array, kernel: Array, h0: Array, activation: str) -> Any:
    units = kernel.shape[0]

    @tf.custom_gradient
    def loop(gates: Array, kernel: Array, h0: Array) -> Any:
        def forward(state: tuple[Array, ...], x: tuple[Array, ...]) -> Any:
            h = _ACTIVATIONS[activation](x[0] + tf.matmul(state[0], kernel))
            return (h,), (h,)

        (h,), (outputs,) = _scan(forward, (h0,), (gates,), (units,))

        def gradient(d_outputs: Array, d_h: Array) -> tuple[Array, ...]:
            def backward(state: tuple[Array, ...], x: tuple[Array, ...]) -> Any:
                d_gates = (state[0] + x[0]) * _SLOPES[activation](x[1])
                return (tf.matmul(d_gates, kernel, transpose_b=True),), (d_gates,)

            (d_h0,), (d_gates,) = _scan(backward, (d_h,), (d_outputs, outputs), (units,), reverse=True)
            return d_gates, _kernel_gradient(_before(outputs, h0), d_gates), d_h0

        return (outputs, h), gradient

    return loop(gates, kernel, h0)


class _Reading:
    """The steps of a batch in the order they are read, time-major in ``x``; `back` puts the outputs in place.

    The loops run over padding too; what they give there is replaced after.
    """

    def __init__(self, x: Array, lengths: Array | None, reverse: bool) -> None:
        self.lengths, self.reverse = lengths, reverse
        if lengths is not None:
            self.padding = tf.range(tf.shape(x)[1]) >= lengths[:, None]
        self.x = tf.transpose(self._turned(x), (1, 0, 2))

    def _turned(self, x: Array) -> Array:
        if not self.reverse:
            return x
        return tf.reverse(x, [1]) if self.lengths is None else tf.reverse_sequence(x, self.lengths, 1, 0)

    def back(self, outputs: Array, *states: Array, initial: Array) -> tuple[Array, ...]:
        """Batch-major outputs in place, and the last states."""
        sequence = tf.transpose(outputs, (1, 0, 2))
        if self.lengths is None:
            return self._turned(sequence), *states
        ends = tf.maximum(self.lengths - 1, 0)
        h = tf.where((self.lengths > 0)[:, None], tf.gather(sequence, ends, batch_dims=1), initial)
        sequence = tf.where(self.padding[:, :, None], tf.zeros((), sequence.dtype), sequence)
        return self._turned(sequence), h, *states[1:]


def _initial(state: Array | None, x: Array, kernel: Array) -> Array:
    if state is not None:
        return state
    batch = tf.shape(x)[0] if x.shape[0] is None else x.shape[0]
    return tf.zeros((batch, kernel.shape[0]), x.dtype)


def _gates(x: Array, kernel: Array, bias: Array | None) -> Array:
    product = tf.tensordot(x, kernel, 1)
    return product if bias is None else product + bias


def _lstm(
    x: Array, kernel: Array, recurrent_kernel: Array, bias: Array | None, h0: Array | None, c0: Array | None,
    lengths: Array | None, reverse: bool,
) -> tuple[Array, ...]:  # fmt: skip
    reading = _Reading(x, lengths, reverse)
    h0, c0 = _initial(h0, x, recurrent_kernel), _initial(c0, x, recurrent_kernel)
    gates = _gates(reading.x, kernel, bias)
    if lengths is not None:  # past the end hold the cell state: forget gate open, input gate shut
        hold = tf.repeat(tf.constant([-_SATURATED, _SATURATED, 0, 0], x.dtype), recurrent_kernel.shape[0])
        gates += tf.where(tf.transpose(reading.padding)[:, :, None], hold, tf.zeros((), x.dtype))
    outputs, h, c = _lstm_loop(gates, recurrent_kernel, h0, c0)
    return reading.back(outputs, h, c, initial=h0)


def _gru(
    x: Array, kernel: Array, recurrent_kernel: Array, bias: Array | None, h0: Array | None,
    lengths: Array | None, reverse: bool, reset_after: bool,
) -> tuple[Array, ...]:  # fmt: skip
    reading = _Reading(x, lengths, reverse)
    h0 = _initial(h0, x, recurrent_kernel)
    if not reset_after:
        outputs, h = _gru_reset_before_loop(_gates(reading.x, kernel, bias), recurrent_kernel, h0)
        return reading.back(outputs, h, initial=h0)
    outer, inner = (None, tf.zeros(kernel.shape[1], x.dtype)) if bias is None else (bias[0], bias[1])
    outputs, h = _gru_loop(_gates(reading.x, kernel, outer), recurrent_kernel, inner, h0)
    return reading.back(outputs, h, initial=h0)


def _simple_rnn(
    x: Array, kernel: Array, recurrent_kernel: Array, bias: Array | None, h0: Array | None,
    lengths: Array | None, reverse: bool, activation: str,
) -> tuple[Array, ...]:  # fmt: skip
    reading = _Reading(x, lengths, reverse)
    h0 = _initial(h0, x, recurrent_kernel)
    outputs, h = _simple_loop(_gates(reading.x, kernel, bias), recurrent_kernel, h0, activation)
    return reading.back(outputs, h, initial=h0)


TABLE: dict[OpSpec, Callable[..., Any]] = {
    ops.LSTM: _lstm,
    ops.GRU: _gru,
    ops.SIMPLE_RNN: _simple_rnn,
}
