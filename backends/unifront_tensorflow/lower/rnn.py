"""Recurrent networks in TensorFlow: a ``tf.while_loop`` over the steps, with a gradient of its own.

Inside the loops features come first and the batch last, ``[features, batch]``: gates are then split and joined
without copying, each product is a matrix of weights times a narrow one (half the time where TensorFlow does
without oneDNN, which it uses on processors with AVX-512 VNNI or AMX), and turning a sequence from
``[batch, time, features]`` is one plain transpose. A step of a sequence is a slice that shares its memory, where
``TensorArray.unstack`` would copy it. The backward loop gives the gradient of the gates; those of inputs, kernels
and biases are one product each after it, instead of sums over the steps. Multiplying the inputs step by step is
quicker than doing it before the loop. ``BlockLSTMV2`` was slower to train, and has no float64. A GPU has rows of its
own for what cuDNN runs.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import tensorflow as tf

from unifront.opset import rnn as ops
from unifront.opset.spec import OpSpec
from unifront_tensorflow.lower import _cudnn
from unifront_tensorflow.shapes import size

Array = Any
Arrays = tuple[Array, ...]
Step = Callable[[Arrays, Arrays], tuple[Arrays, Arrays]]


def _scan(
    step: Step,
    states: Arrays,
    sequences: Arrays,
    widths: Sequence[int],
    reverse: bool = False,
) -> tuple[list[Array], list[Array]]:
    """Run ``step(states, slices) -> (states, outputs)``; the last states, and the outputs of all steps.

    Args:
        states: each ``[width, batch]``, as are the outputs of a step.
        sequences: each ``[time, width, batch]``, as are the outputs of all.
        widths: of the outputs.
        reverse: whether to begin with the last step.
    """
    count, dtype, batch, steps = len(states), states[0].dtype, states[0].shape[1], size(sequences[0], 0)
    outputs = [tf.TensorArray(dtype, size=steps, element_shape=(width, batch)) for width in widths]

    def body(t: Array, *values: Any) -> tuple[Any, ...]:
        position = steps - 1 - t if reverse else t
        old = values[:count]
        new, found = step(old, tuple(sequence[position] for sequence in sequences))
        for after, before in zip(new, old, strict=True):
            after.set_shape(before.shape)
        written = (array.write(position, value) for array, value in zip(values[count:], found, strict=True))
        return (t + 1, *new, *written)

    _, *values = tf.while_loop(lambda t, *_: t < steps, body, (tf.constant(0), *states, *outputs))
    return values[:count], [array.stack() for array in values[count:]]


def _time_first(sequence: Array) -> Array:
    """``[time, features, batch]`` of ``[batch, time, features]``."""
    return tf.transpose(sequence, (1, 2, 0))


def _batch_first(sequence: Array) -> Array:
    """``[batch, time, features]`` of ``[time, features, batch]``."""
    return tf.transpose(sequence, (2, 0, 1))


def _sigmoid_gradient(y: Array, d_y: Array) -> Array:
    return tf.raw_ops.SigmoidGrad(y=y, dy=d_y)


def _tanh_gradient(y: Array, d_y: Array) -> Array:
    return tf.raw_ops.TanhGrad(y=y, dy=d_y)


def _before(outputs: Array, initial: Array) -> Array:
    """For each step of ``[batch, time, units]`` the state that was there before it."""
    return tf.concat([initial[:, None], outputs[:, :-1]], 1)[:, : size(outputs, 1)]


def _product(x: Array, y: Array) -> Array:
    """The gradient of a kernel between two sequences ``[batch, time, …]``."""
    flat = (tf.reshape(array, (-1, array.shape[-1])) for array in (x, y))
    return tf.matmul(*flat, transpose_a=True)


def _input_gradients(x: Array, kernel: Array, d_gates: Array) -> tuple[Array, Array, Array]:
    """Gradients of the inputs, their kernel and the bias."""
    return tf.tensordot(d_gates, kernel, [[2], [1]]), _product(x, d_gates), tf.reduce_sum(d_gates, (0, 1))


@tf.custom_gradient
def _lstm_loop(x: Array, kernel: Array, recurrent: Array, bias: Array, h0: Array, c0: Array) -> Any:
    """Outputs ``[batch, time, units]`` and the last states, of ``x`` ``[batch, time, features]``."""
    units = recurrent.shape[0]
    of_x, of_h, column = tf.transpose(kernel), tf.transpose(recurrent), bias[:, None]

    def forward(state: Arrays, x: Arrays) -> tuple[Arrays, Arrays]:
        h, c_before = state
        i, f, g, o = tf.split(tf.matmul(of_x, x[0]) + tf.matmul(of_h, h) + column, 4)
        i, f, g, o = tf.sigmoid(i), tf.sigmoid(f), tf.tanh(g), tf.sigmoid(o)
        c = f * c_before + i * g
        tanh = tf.tanh(c)
        h = o * tanh
        return (h, c), (h, tf.concat([i, f, g, o, tanh, c_before], 0))

    start = (tf.transpose(h0), tf.transpose(c0))
    (h, c), (states, kept) = _scan(forward, start, (_time_first(x),), (units, 6 * units))
    outputs = _batch_first(states)

    def gradient(d_outputs: Array, d_h: Array, d_c: Array) -> tuple[Array, ...]:
        def backward(state: Arrays, x: Arrays) -> tuple[Arrays, Arrays]:
            d_output, kept = x
            i, f, g, o, tanh, c_before = tf.split(kept, 6)
            d_h = state[0] + d_output
            d_c = state[1] + _tanh_gradient(tanh, d_h * o)
            parts = [
                _sigmoid_gradient(i, d_c * g),
                _sigmoid_gradient(f, d_c * c_before),
                _tanh_gradient(g, d_c * i),
                _sigmoid_gradient(o, d_h * tanh),
            ]
            d_gates = tf.concat(parts, 0)
            return (tf.matmul(recurrent, d_gates), d_c * f), (d_gates,)

        start, sequences = (tf.transpose(d_h), tf.transpose(d_c)), (_time_first(d_outputs), kept)
        (d_h0, d_c0), (found,) = _scan(backward, start, sequences, (4 * units,), reverse=True)
        d_gates = _batch_first(found)
        d_x, d_kernel, d_bias = _input_gradients(x, kernel, d_gates)
        d_recurrent = _product(_before(outputs, h0), d_gates)
        return d_x, d_kernel, d_recurrent, d_bias, tf.transpose(d_h0), tf.transpose(d_c0)

    return (outputs, tf.transpose(h), tf.transpose(c)), gradient


@tf.custom_gradient
def _gru_loop(x: Array, kernel: Array, recurrent: Array, outer: Array, inner: Array, h0: Array) -> Any:
    """Outputs ``[batch, time, units]`` and the last state, of ``x`` ``[batch, time, features]``; two biases."""
    units = recurrent.shape[0]
    of_x, of_h = tf.transpose(kernel), tf.transpose(recurrent)
    outer_column, inner_column = outer[:, None], inner[:, None]

    def forward(state: Arrays, x: Arrays) -> tuple[Arrays, Arrays]:
        (h_before,) = state
        x_gates, x_candidate = tf.split(tf.matmul(of_x, x[0]) + outer_column, (2 * units, units))
        h_gates, h_candidate = tf.split(tf.matmul(of_h, h_before) + inner_column, (2 * units, units))
        gates = tf.sigmoid(x_gates + h_gates)
        z, r = tf.split(gates, 2)
        candidate = tf.tanh(x_candidate + r * h_candidate)
        h = candidate + z * (h_before - candidate)
        return (h,), (h, tf.concat([gates, candidate, h_candidate, h_before], 0))

    (h,), (states, kept) = _scan(forward, (tf.transpose(h0),), (_time_first(x),), (units, 5 * units))
    outputs = _batch_first(states)

    def gradient(d_outputs: Array, d_h: Array) -> tuple[Array, ...]:
        def backward(state: Arrays, x: Arrays) -> tuple[Arrays, Arrays]:
            d_output, kept = x
            z, r, candidate, h_candidate, h_before = tf.split(kept, 5)
            d_h = state[0] + d_output
            d_kept = d_h * z
            d_candidate = _tanh_gradient(candidate, d_h - d_kept)
            d_z = _sigmoid_gradient(z, d_h * (h_before - candidate))
            d_r = _sigmoid_gradient(r, d_candidate * h_candidate)
            d_inner = tf.concat([d_z, d_r, d_candidate * r], 0)
            return (d_kept + tf.matmul(recurrent, d_inner),), (d_candidate, d_inner)

        start, sequences, widths = (tf.transpose(d_h),), (_time_first(d_outputs), kept), (units, 3 * units)
        (d_h0,), found = _scan(backward, start, sequences, widths, reverse=True)
        d_candidate, d_inner = map(_batch_first, found)
        d_gates = tf.concat([d_inner[..., : 2 * units], d_candidate], -1)
        d_x, d_kernel, d_outer = _input_gradients(x, kernel, d_gates)
        d_recurrent = _product(_before(outputs, h0), d_inner)
        return d_x, d_kernel, d_recurrent, d_outer, tf.reduce_sum(d_inner, (0, 1)), tf.transpose(d_h0)

    return (outputs, tf.transpose(h)), gradient


def _gru_reset_before_loop(
    x: Array, kernel: Array, recurrent: Array, bias: Array, h0: Array
) -> tuple[Array, Array]:
    """As `_gru_loop`; its gradient is TensorFlow's own."""
    units = recurrent.shape[0]
    of_x, column = tf.transpose(kernel), bias[:, None]
    gates_of_h, candidate_of_h = tf.split(tf.transpose(recurrent), (2 * units, units))

    def forward(state: Arrays, x: Arrays) -> tuple[Arrays, Arrays]:
        (h,) = state
        gates, candidate = tf.split(tf.matmul(of_x, x[0]) + column, (2 * units, units))
        z, r = tf.split(tf.sigmoid(gates + tf.matmul(gates_of_h, h)), 2)
        h = z * h + (1 - z) * tf.tanh(candidate + tf.matmul(candidate_of_h, r * h))
        return (h,), (h,)

    (h,), (states,) = _scan(forward, (tf.transpose(h0),), (_time_first(x),), (units,))
    return _batch_first(states), tf.transpose(h)


_ACTIVATIONS: dict[str, Callable[[Array], Array]] = {"tanh": tf.tanh, "relu": tf.nn.relu}
_ACTIVATION_GRADIENTS: dict[str, Callable[[Array, Array], Array]] = {
    "tanh": _tanh_gradient,
    "relu": lambda h, d_h: tf.raw_ops.ReluGrad(gradients=d_h, features=h),
}


def _simple_loop(x: Array, kernel: Array, recurrent: Array, bias: Array, h0: Array, activation: str) -> Any:
    units = recurrent.shape[0]

    @tf.custom_gradient
    def loop(x: Array, kernel: Array, recurrent: Array, bias: Array, h0: Array) -> Any:
        of_x, of_h, column = tf.transpose(kernel), tf.transpose(recurrent), bias[:, None]

        def forward(state: Arrays, x: Arrays) -> tuple[Arrays, Arrays]:
            h = _ACTIVATIONS[activation](tf.matmul(of_x, x[0]) + tf.matmul(of_h, state[0]) + column)
            return (h,), (h,)

        (h,), (states,) = _scan(forward, (tf.transpose(h0),), (_time_first(x),), (units,))
        outputs = _batch_first(states)

        def gradient(d_outputs: Array, d_h: Array) -> tuple[Array, ...]:
            def backward(state: Arrays, x: Arrays) -> tuple[Arrays, Arrays]:
                d_output, h = x
                d_gates = _ACTIVATION_GRADIENTS[activation](h, state[0] + d_output)
                return (tf.matmul(recurrent, d_gates),), (d_gates,)

            start, sequences = (tf.transpose(d_h),), (_time_first(d_outputs), states)
            (d_h0,), (found,) = _scan(backward, start, sequences, (units,), reverse=True)
            d_gates = _batch_first(found)
            d_x, d_kernel, d_bias = _input_gradients(x, kernel, d_gates)
            return d_x, d_kernel, _product(_before(outputs, h0), d_gates), d_bias, tf.transpose(d_h0)

        return (outputs, tf.transpose(h)), gradient

    return loop(x, kernel, recurrent, bias, h0)


class _Reading:
    """The steps of a batch in the order they are read, in ``x``; `back` puts the outputs in place.

    The loops run over padding too, which is zeros in ``x``; what they give there is replaced after.
    """

    def __init__(self, x: Array, lengths: Array | None, reverse: bool) -> None:
        self.lengths, self.reverse = lengths, reverse
        if lengths is not None:
            self.padding = tf.range(size(x, 1)) >= lengths[:, None]
            x = tf.where(self.padding[:, :, None], tf.zeros((), x.dtype), x)
        self.x = self._in_order(x)

    def held(self, kernel: Array, form: str) -> tuple[Array, Array]:
        """The steps with one more feature, set past the end, and the kernel with a row for it: `ops.HOLD`."""
        if self.lengths is None or form not in ops.HOLD:
            return self.x, kernel
        gates = tf.constant(
            [gate * ops.SATURATION[kernel.dtype.name] for gate in ops.HOLD[form]], kernel.dtype
        )
        row = tf.repeat(gates, kernel.shape[1] // gates.shape[0])[None]
        padding = tf.cast(self.padding[:, :, None], self.x.dtype)
        return tf.concat([self.x, padding], -1), tf.concat([kernel, row], 0)

    def _in_order(self, x: Array) -> Array:
        if not self.reverse:
            return x
        return tf.reverse(x, [1]) if self.lengths is None else tf.reverse_sequence(x, self.lengths, 1, 0)

    def back(self, sequence: Array, *states: Array, initial: Array) -> tuple[Array, ...]:
        """Outputs in place, and the last states."""
        if self.lengths is None:
            return self._in_order(sequence), *states
        ends = tf.maximum(self.lengths - 1, 0)
        h = tf.where((self.lengths > 0)[:, None], tf.gather(sequence, ends, batch_dims=1), initial)
        sequence = tf.where(self.padding[:, :, None], tf.zeros((), sequence.dtype), sequence)
        return self._in_order(sequence), h, *states[1:]


def _initial(state: Array | None, x: Array, kernel: Array) -> Array:
    if state is not None:
        return state
    return tf.zeros((size(x, 0), kernel.shape[0]), x.dtype)


def _bias(bias: Array | None, kernel: Array) -> Array:
    return tf.zeros(kernel.shape[1:], kernel.dtype) if bias is None else bias


def _lstm(
    x: Array, kernel: Array, recurrent_kernel: Array, bias: Array | None, h0: Array | None, c0: Array | None,
    lengths: Array | None, reverse: bool,
) -> tuple[Array, ...]:  # fmt: skip
    reading = _Reading(x, lengths, reverse)
    h0, c0 = _initial(h0, x, recurrent_kernel), _initial(c0, x, recurrent_kernel)
    bias = _bias(bias, kernel)
    steps, kernel = reading.held(kernel, "lstm")
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
    bias = _bias(bias, kernel)
    steps, kernel = reading.held(kernel, activation)
    outputs, h = _simple_loop(steps, kernel, recurrent_kernel, bias, h0, activation)
    return reading.back(outputs, h, initial=h0)


TABLE: dict[OpSpec, Callable[..., Any]] = {
    ops.LSTM: _lstm,
    ops.GRU: _gru,
    ops.SIMPLE_RNN: _simple_rnn,
}


def _lstm_of_cudnn(
    x: Array, kernel: Array, recurrent_kernel: Array, bias: Array | None, h0: Array | None, c0: Array | None,
    lengths: Array | None, reverse: bool,
) -> tuple[Array, ...]:  # fmt: skip
    if not _cudnn.takes(x, recurrent_kernel):
        return _lstm(x, kernel, recurrent_kernel, bias, h0, c0, lengths, reverse)

    def plain(
        x: Array, kernel: Array, recurrent: Array, outer: Array, inner: Array, h0: Array, c0: Array
    ) -> Arrays:
        return _lstm(x, kernel, recurrent, outer + inner, h0, c0, lengths, False)

    reading = _Reading(x, lengths, reverse)
    h0, c0 = _initial(h0, x, recurrent_kernel), _initial(c0, x, recurrent_kernel)
    bias = _bias(bias, kernel)
    weights = (kernel, recurrent_kernel, tf.zeros_like(bias), bias)
    outputs, h, c = _cudnn.run("lstm", reading.x, weights, (h0, c0), lengths, plain)
    if lengths is not None:
        c = tf.where((lengths > 0)[:, None], c, c0)
    return reading.back(outputs, h, c, initial=h0)


def _gru_of_cudnn(
    x: Array, kernel: Array, recurrent_kernel: Array, bias: Array | None, h0: Array | None,
    lengths: Array | None, reverse: bool, reset_after: bool,
) -> tuple[Array, ...]:  # fmt: skip
    if not (reset_after and _cudnn.takes(x, recurrent_kernel)):
        return _gru(x, kernel, recurrent_kernel, bias, h0, lengths, reverse, reset_after)

    def plain(x: Array, kernel: Array, recurrent: Array, outer: Array, inner: Array, h0: Array) -> Arrays:
        return _gru(x, kernel, recurrent, tf.stack([outer, inner]), h0, lengths, False, True)

    reading = _Reading(x, lengths, reverse)
    h0 = _initial(h0, x, recurrent_kernel)
    outer, inner = (_bias(None, kernel),) * 2 if bias is None else (bias[0], bias[1])
    weights = (kernel, recurrent_kernel, outer, inner)
    outputs, h = _cudnn.run("gru", reading.x, weights, (h0,), lengths, plain)
    return reading.back(outputs, h, initial=h0)


OVERLAYS: dict[str, dict[OpSpec, Callable[..., Any]]] = {
    "cuda": {ops.LSTM: _lstm_of_cudnn, ops.GRU: _gru_of_cudnn},
}
