"""Recurrent networks in JAX: ``lax.scan`` over time-major steps, with a gradient of its own.

XLA would add up the kernels' gradients step by step and keep what it thinks it needs. Here the backward
loop gives the gradient of the gates; those of inputs, kernels and biases are one product each after it. The
inputs are multiplied step by step too: on two cores (batch 32, 100 steps, 256 units) that takes a quarter
less time than one product before the loop, whose result does not fit the caches; unrolling changed nothing.

A GPU runs the same loops. cuDNN's LSTM is in `jax.experimental.rnn` (in float32, and no GRU), which asks the library
for the sizes of its buffers when it is traced: without a GPU it can be neither lowered nor checked, so it has no row.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
from jax import lax

from unifront.opset import rnn as ops
from unifront.opset.spec import OpSpec

Array = Any


def _before(sequence: Array, initial: Array, reverse: bool) -> Array:
    """For each step of a time-major sequence of states the state that was there before it."""
    parts = [sequence[1:], initial[None]] if reverse else [initial[None], sequence[:-1]]
    return jnp.concatenate(parts, 0)


def _product(x: Array, y: Array) -> Array:
    """The gradient of a kernel between two sequences ``[time, batch, …]``."""
    return jnp.einsum("tbi,tbj->ij", x, y)


def _input_gradients(x: Array, kernel: Array, d_gates: Array) -> tuple[Array, Array, Array]:
    """Gradients of the inputs, their kernel and the bias."""
    return d_gates @ kernel.T, _product(x, d_gates), d_gates.sum((0, 1))


def _lstm_cell(gates: Array, c: Array) -> tuple[Array, ...]:
    i, f, g, o = jnp.split(gates, 4, -1)
    i, f, g, o = jax.nn.sigmoid(i), jax.nn.sigmoid(f), jnp.tanh(g), jax.nn.sigmoid(o)
    c = f * c + i * g
    return o * jnp.tanh(c), c, i, f, g, o


@partial(jax.custom_vjp, nondiff_argnums=(6,))
def _lstm_loop(
    x: Array, kernel: Array, recurrent: Array, bias: Array, h0: Array, c0: Array, reverse: bool
) -> tuple[Array, ...]:
    """Outputs ``[time, batch, units]`` and the last states."""

    def step(state: tuple[Array, Array], x: Array) -> tuple[tuple[Array, Array], Array]:
        h, c, *_ = _lstm_cell(x @ kernel + state[0] @ recurrent + bias, state[1])
        return (h, c), h

    (h, c), outputs = lax.scan(step, (h0, c0), x, reverse=reverse)
    return outputs, h, c


def _lstm_forward(
    x: Array, kernel: Array, recurrent: Array, bias: Array, h0: Array, c0: Array, reverse: bool
) -> tuple[Any, Any]:
    def step(state: tuple[Array, Array], x: Array) -> tuple[tuple[Array, Array], tuple[Array, ...]]:
        h, c, *activations = _lstm_cell(x @ kernel + state[0] @ recurrent + bias, state[1])
        return (h, c), (h, c, jnp.concatenate(activations, -1))

    (h, c), (outputs, cells, activations) = lax.scan(step, (h0, c0), x, reverse=reverse)
    return (outputs, h, c), (outputs, cells, activations, x, kernel, recurrent, h0, c0)


def _lstm_backward(
    reverse: bool, saved: tuple[Array, ...], gradients: tuple[Array, ...]
) -> tuple[Array, ...]:
    outputs, cells, activations, x, kernel, recurrent, h0, c0 = saved
    d_outputs, d_h, d_c = gradients

    def step(state: tuple[Array, Array], x: tuple[Array, ...]) -> tuple[tuple[Array, Array], Array]:
        d_output, activations, c, c_before = x
        i, f, g, o = jnp.split(activations, 4, -1)
        d_h, d_c = state[0] + d_output, state[1]
        tanh = jnp.tanh(c)
        d_c = d_c + d_h * o * (1 - tanh * tanh)
        parts = [
            d_c * g * i * (1 - i),
            d_c * c_before * f * (1 - f),
            d_c * i * (1 - g * g),
            d_h * tanh * o * (1 - o),
        ]
        d_gates = jnp.concatenate(parts, -1)
        return (d_gates @ recurrent.T, d_c * f), d_gates

    steps = (d_outputs, activations, cells, _before(cells, c0, reverse))
    (d_h0, d_c0), d_gates = lax.scan(step, (d_h, d_c), steps, reverse=not reverse)
    d_x, d_kernel, d_bias = _input_gradients(x, kernel, d_gates)
    return d_x, d_kernel, _product(_before(outputs, h0, reverse), d_gates), d_bias, d_h0, d_c0


_lstm_loop.defvjp(_lstm_forward, _lstm_backward)


def _gru_cell(x: Array, inner: Array, h: Array) -> tuple[Array, ...]:
    xz, xr, xh = jnp.split(x, 3, -1)
    hz, hr, hh = jnp.split(inner, 3, -1)
    z, r = jax.nn.sigmoid(xz + hz), jax.nn.sigmoid(xr + hr)
    candidate = jnp.tanh(xh + r * hh)
    return z * h + (1 - z) * candidate, z, r, candidate, hh


@partial(jax.custom_vjp, nondiff_argnums=(6,))
def _gru_loop(
    x: Array, kernel: Array, recurrent: Array, outer: Array, inner: Array, h0: Array, reverse: bool
) -> tuple[Array, ...]:
    """Outputs ``[time, batch, units]`` and the last state; two biases."""

    def step(h: Array, x: Array) -> tuple[Array, Array]:
        h = _gru_cell(x @ kernel + outer, h @ recurrent + inner, h)[0]
        return h, h

    h, outputs = lax.scan(step, h0, x, reverse=reverse)
    return outputs, h


def _gru_forward(
    x: Array, kernel: Array, recurrent: Array, outer: Array, inner: Array, h0: Array, reverse: bool
) -> tuple[Any, Any]:
    def step(h: Array, x: Array) -> tuple[Array, tuple[Array, Array]]:
        h, *activations = _gru_cell(x @ kernel + outer, h @ recurrent + inner, h)
        return h, (h, jnp.concatenate(activations, -1))

    h, (outputs, activations) = lax.scan(step, h0, x, reverse=reverse)
    return (outputs, h), (outputs, activations, x, kernel, recurrent, h0)


def _gru_backward(reverse: bool, saved: tuple[Array, ...], gradients: tuple[Array, ...]) -> tuple[Array, ...]:
    outputs, activations, x, kernel, recurrent, h0 = saved
    d_outputs, d_h = gradients
    before = _before(outputs, h0, reverse)

    def step(d_h: Array, x: tuple[Array, ...]) -> tuple[Array, tuple[Array, Array]]:
        d_output, activations, h = x
        z, r, candidate, hh = jnp.split(activations, 4, -1)
        d_h = d_h + d_output
        d_candidate = d_h * (1 - z) * (1 - candidate * candidate)
        d_z, d_r = d_h * (h - candidate) * z * (1 - z), d_candidate * hh * r * (1 - r)
        d_inner = jnp.concatenate([d_z, d_r, d_candidate * r], -1)
        return d_h * z + d_inner @ recurrent.T, (d_candidate, d_inner)

    steps = (d_outputs, activations, before)
    d_h0, (d_candidate, d_inner) = lax.scan(step, d_h, steps, reverse=not reverse)
    units = recurrent.shape[0]
    d_gates = jnp.concatenate([d_inner[..., : 2 * units], d_candidate], -1)
    d_x, d_kernel, d_outer = _input_gradients(x, kernel, d_gates)
    return d_x, d_kernel, _product(before, d_inner), d_outer, d_inner.sum((0, 1)), d_h0


_gru_loop.defvjp(_gru_forward, _gru_backward)


def _gru_reset_before_loop(
    x: Array, kernel: Array, recurrent: Array, bias: Array, h0: Array, reverse: bool
) -> tuple[Array, Array]:
    units = recurrent.shape[0]
    gates_kernel, candidate_kernel = recurrent[:, : 2 * units], recurrent[:, 2 * units :]

    def step(h: Array, x: Array) -> tuple[Array, Array]:
        z, r = jnp.split(jax.nn.sigmoid(x[:, : 2 * units] + h @ gates_kernel), 2, -1)
        h = z * h + (1 - z) * jnp.tanh(x[:, 2 * units :] + (r * h) @ candidate_kernel)
        return h, h

    h, outputs = lax.scan(step, h0, x @ kernel + bias, reverse=reverse)
    return outputs, h


_ACTIVATIONS: dict[str, Callable[[Array], Array]] = {"tanh": jnp.tanh, "relu": jax.nn.relu}
_SLOPES: dict[str, Callable[[Array], Array]] = {
    "tanh": lambda h: 1 - h * h,
    "relu": lambda h: (h > 0).astype(h.dtype),
}
"""The derivative of each activation, from its result."""


@partial(jax.custom_vjp, nondiff_argnums=(5, 6))
def _simple_loop(
    x: Array, kernel: Array, recurrent: Array, bias: Array, h0: Array, reverse: bool, activation: str
) -> tuple[Array, Array]:
    def step(h: Array, x: Array) -> tuple[Array, Array]:
        h = _ACTIVATIONS[activation](x @ kernel + h @ recurrent + bias)
        return h, h

    h, outputs = lax.scan(step, h0, x, reverse=reverse)
    return outputs, h


def _simple_forward(
    x: Array, kernel: Array, recurrent: Array, bias: Array, h0: Array, reverse: bool, activation: str
) -> tuple[Any, Any]:
    outputs, h = _simple_loop(x, kernel, recurrent, bias, h0, reverse, activation)
    return (outputs, h), (outputs, x, kernel, recurrent, h0)


def _simple_backward(
    reverse: bool, activation: str, saved: tuple[Array, ...], gradients: tuple[Array, ...]
) -> tuple[Array, ...]:
    outputs, x, kernel, recurrent, h0 = saved
    d_outputs, d_h = gradients

    def step(d_h: Array, x: tuple[Array, Array]) -> tuple[Array, Array]:
        d_gates = (d_h + x[0]) * _SLOPES[activation](x[1])
        return d_gates @ recurrent.T, d_gates

    d_h0, d_gates = lax.scan(step, d_h, (d_outputs, outputs), reverse=not reverse)
    d_x, d_kernel, d_bias = _input_gradients(x, kernel, d_gates)
    return d_x, d_kernel, _product(_before(outputs, h0, reverse), d_gates), d_bias, d_h0


_simple_loop.defvjp(_simple_forward, _simple_backward)


class _Reading:
    """The steps of a batch in the order they are read; `back` puts the outputs in place.

    Without lengths the loop itself runs backwards. With them each sequence is turned around first, and the
    loop runs over the padding too, which is zeros in ``x``, and whose outputs are replaced after.
    """

    def __init__(self, x: Array, lengths: Array | None, reverse: bool) -> None:
        self.lengths = lengths
        self.loop_reverse = reverse and lengths is None
        self.index: Array | None = None
        if lengths is not None:
            steps = jnp.arange(x.shape[1], dtype=lengths.dtype)
            last = lengths[:, None] - 1
            self.padding = steps > last
            x = jnp.where(self.padding[:, :, None], 0, x)
            if reverse:  # its own inverse: what is past the end stays
                self.index = jnp.where(self.padding, steps, last - steps)
                x = self._moved(x)
        self.x = jnp.swapaxes(x, 0, 1)

    def held(self, kernel: Array, form: str) -> tuple[Array, Array]:
        """The steps with one more feature, set past the end, and the kernel with a row for it: `ops.HOLD`."""
        if self.lengths is None or form not in ops.HOLD:
            return self.x, kernel
        gates = jnp.asarray(ops.HOLD[form], kernel.dtype) * ops.SATURATION[kernel.dtype.name]
        row = jnp.repeat(gates, kernel.shape[1] // gates.size)[None]
        padding = self.padding.T[:, :, None].astype(self.x.dtype)
        return jnp.concatenate([self.x, padding], -1), jnp.concatenate([kernel, row], 0)

    def _moved(self, x: Array) -> Array:
        rows = jnp.arange(x.shape[0])[:, None]
        return x.at[rows, self.index].get(mode="promise_in_bounds", unique_indices=True)

    def back(self, outputs: Array, *states: Array, initial: Array) -> tuple[Array, ...]:
        """Batch-major outputs in place, and the last states."""
        sequence = jnp.swapaxes(outputs, 0, 1)
        if self.lengths is None:
            return sequence, *states
        ends = jnp.maximum(self.lengths - 1, 0)
        h = jnp.where((self.lengths > 0)[:, None], sequence[jnp.arange(ends.shape[0]), ends], initial)
        sequence = jnp.where(self.padding[:, :, None], 0, sequence)
        return sequence if self.index is None else self._moved(sequence), h, *states[1:]


def _initial(state: Array | None, x: Array, kernel: Array) -> Array:
    return jnp.zeros((x.shape[0], kernel.shape[0]), x.dtype) if state is None else state


def _bias(bias: Array | None, kernel: Array) -> Array:
    return jnp.zeros(kernel.shape[1], kernel.dtype) if bias is None else bias


def _lstm(
    x: Array, kernel: Array, recurrent_kernel: Array, bias: Array | None, h0: Array | None, c0: Array | None,
    lengths: Array | None, reverse: bool,
) -> tuple[Array, ...]:  # fmt: skip
    reading = _Reading(x, lengths, reverse)
    h0, c0 = _initial(h0, x, recurrent_kernel), _initial(c0, x, recurrent_kernel)
    bias = _bias(bias, kernel)
    steps, kernel = reading.held(kernel, "lstm")
    outputs, h, c = _lstm_loop(steps, kernel, recurrent_kernel, bias, h0, c0, reading.loop_reverse)
    return reading.back(outputs, h, c, initial=h0)


def _gru(
    x: Array, kernel: Array, recurrent_kernel: Array, bias: Array | None, h0: Array | None,
    lengths: Array | None, reverse: bool, reset_after: bool,
) -> tuple[Array, ...]:  # fmt: skip
    reading = _Reading(x, lengths, reverse)
    h0 = _initial(h0, x, recurrent_kernel)
    kernels = (kernel, recurrent_kernel)
    if not reset_after:
        outputs, h = _gru_reset_before_loop(
            reading.x, *kernels, _bias(bias, kernel), h0, reading.loop_reverse
        )
        return reading.back(outputs, h, initial=h0)
    outer, inner = (_bias(None, kernel),) * 2 if bias is None else (bias[0], bias[1])
    outputs, h = _gru_loop(reading.x, *kernels, outer, inner, h0, reading.loop_reverse)
    return reading.back(outputs, h, initial=h0)


def _simple_rnn(
    x: Array, kernel: Array, recurrent_kernel: Array, bias: Array | None, h0: Array | None,
    lengths: Array | None, reverse: bool, activation: str,
) -> tuple[Array, ...]:  # fmt: skip
    reading = _Reading(x, lengths, reverse)
    h0 = _initial(h0, x, recurrent_kernel)
    bias = _bias(bias, kernel)
    steps, kernel = reading.held(kernel, activation)
    outputs, h = _simple_loop(steps, kernel, recurrent_kernel, bias, h0, reading.loop_reverse, activation)
    return reading.back(outputs, h, initial=h0)


TABLE: dict[OpSpec, Callable[..., Any]] = {
    ops.LSTM: _lstm,
    ops.GRU: _gru,
    ops.SIMPLE_RNN: _simple_rnn,
}
