"""cuDNN's LSTM and GRU: ``CudnnRNNV3``, whose weights lie in one vector.

Of one layer in one direction that vector holds, one after the other, the kernel of the inputs and that of the
states, each transposed (``[gates * units, features]``), then the bias of the inputs and that of the states. The gates
of an LSTM are in Keras's order (input, forget, cell, output); those of a GRU are reset, update, candidate
(``cudnnGetRNNWeightParams`` in NVIDIA's documentation; Keras packs them so too).

The kernel takes lengths from 1, and leaves what is past the end out. XLA does not know it: steps that XLA compiles run
the loops, see `unifront_tensorflow.runtime`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import tensorflow as tf

from unifront_tensorflow.shapes import size

Array = Any
Arrays = tuple[Array, ...]
GATES = {"lstm": 4, "gru": 3}
DTYPES = (tf.float16, tf.float32, tf.float64)


def takes(x: Array, recurrent: Array) -> bool:
    """Whether cuDNN runs over ``x``: it has no kernel for bfloat16, and takes nothing that is known to be empty."""
    return x.dtype in DTYPES and 0 not in (*x.shape, *recurrent.shape)


def packed(mode: str, kernel: Array, recurrent: Array, outer: Array, inner: Array) -> Array:
    """The vector of kernels and biases that cuDNN takes."""
    kernels = [tf.reshape(tf.transpose(_swapped(mode, one)), [-1]) for one in (kernel, recurrent)]
    return tf.concat([*kernels, _swapped(mode, outer), _swapped(mode, inner)], 0)


def _unpacked(mode: str, params: Array, features: int, units: int) -> Arrays:
    """Kernels and biases of the vector, or their gradients of its."""
    rows = GATES[mode] * units
    kernel, recurrent, outer, inner = tf.split(params, [rows * features, rows * units, rows, rows])
    kernels = [tf.transpose(tf.reshape(one, (rows, -1))) for one in (kernel, recurrent)]
    return tuple(_swapped(mode, one) for one in (*kernels, outer, inner))


def _swapped(mode: str, weight: Array) -> Array:
    """Gates in Keras's order as in cuDNN's, or back."""
    if mode == "lstm":
        return weight
    first, second, third = tf.split(weight, 3, -1)
    return tf.concat([second, first, third], -1)


def _backward(mode: str, given: Arrays, made: Arrays, lengths: Array, gradients: Arrays) -> Arrays:
    """Gradients of ``x``, kernels, biases and initial states.

    Args:
        given: all of these, as cuDNN took them: ``input``, ``input_h``, ``input_c``, ``params``.
        made: the results of ``CudnnRNNV3``.
        gradients: of the sequence and the last states.
    """
    x, h0, c0, params = given
    outputs, h, c, reserve, host = made
    d_outputs, *d_states = gradients
    d_h, d_c = ([tf.expand_dims(d, 1) for d in d_states] + [tf.zeros_like(c)])[:2]
    d_x, d_h0, d_c0, d_params = tf.raw_ops.CudnnRNNBackpropV3(
        input=x, input_h=h0, input_c=c0, params=params, sequence_lengths=lengths,
        output=outputs, output_h=h, output_c=c,
        output_backprop=d_outputs, output_h_backprop=d_h, output_c_backprop=d_c,
        reserve_space=reserve, host_reserved=host, rnn_mode=mode, time_major=False,
    )  # fmt: skip
    weights = _unpacked(mode, d_params, x.shape[-1], h0.shape[-1])
    return (d_x, *weights, *(tf.squeeze(d, 1) for d in (d_h0, d_c0)[: len(d_states)]))


def run(
    mode: str, x: Array, weights: Sequence[Array], states: Sequence[Array], lengths: Array | None,
    plain: Callable[..., Arrays],
) -> Arrays:  # fmt: skip
    """The outputs ``[batch, time, units]`` and the last states.

    cuDNN gives gradients, and no gradients of these: those are of ``plain``.

    Args:
        weights: the kernels of inputs and states, and the biases of inputs and states.
        states: the initial ones, ``[batch, units]``.
        lengths: of a sequence without steps nothing that comes out counts.
        plain: the same of ``(x, *weights, *states)`` in TensorFlow's own operations.
    """
    count = tf.fill([size(x, 0)], size(x, 1)) if lengths is None else tf.maximum(lengths, 1)

    @tf.custom_gradient
    def forward(*operands: Array) -> Any:
        x, *weights = operands[:5]
        states = [tf.expand_dims(state, 1) for state in operands[5:]]
        h0, c0 = (*states, tf.zeros((), x.dtype))[:2]
        given = (x, h0, c0, packed(mode, *weights))
        made = tf.raw_ops.CudnnRNNV3(
            input=x, input_h=h0, input_c=c0, params=given[-1], sequence_lengths=count,
            rnn_mode=mode, is_training=True, time_major=False,
        )  # fmt: skip
        kept = len(operands)

        @tf.custom_gradient
        def backward(*values: Array) -> Any:
            def again(*gradients: Array) -> Any:
                with tf.GradientTape(watch_accessed_variables=False) as outer:
                    outer.watch(values)
                    with tf.GradientTape(watch_accessed_variables=False) as inner:
                        inner.watch(values[:kept])
                        results = plain(*values[:kept])
                    found = inner.gradient(results, values[:kept], values[kept:])
                zero = tf.UnconnectedGradients.ZERO
                return outer.gradient(found, values, gradients, unconnected_gradients=zero)

            return _backward(mode, given, tuple(made), count, values[kept:]), again

        def gradient(*gradients: Array) -> Any:
            return backward(*operands, *gradients)

        return (made[0], *(tf.squeeze(state, 1) for state in made[1:3][: len(states)])), gradient

    found: Arrays = forward(x, *weights, *states)
    return found
