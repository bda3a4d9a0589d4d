"""Recurrent networks in JAX: one product of all inputs, then ``lax.scan`` over time-major gates.

The loops have gradients of their own. XLA would add up the recurrent kernel's gradient step by step and
keep what it thinks it needs; here the backward loop gives the gradient of the gates, and that of the kernel
is one product after it. (Measured on two cores, batch 32, 100 steps, 256 units: a tenth to a seventh off
the LSTM's training step; unrolling these loops further made training slower.)
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
from jax import lax

from unifront.ops import rnn as ops
from unifront.ops.spec import OpSpec

Array = Any
_SATURATED = 1e4
"""A sigmoid of this is exactly 1, and of its negative exactly 0, in every float dtype."""
_INFERENCE_UNROLL = 4


def _before(sequence: Array, initial: Array, reverse: bool) -> Array:
    """For each step of a time-major sequence of states the state that was there before it."""
    parts = [sequence[1:], initial[None]] if reverse else [initial[None], sequence[:-1]]
    return jnp.concatenate(parts, 0)


def _kernel_gradient(before: Array, gates: Array) -> Array:
    return jnp.einsum("tbu,tbg->ug", before, gates)


def _lstm_cell(gates: Array, c: Array) -> tuple[Array, ...]:
    i, f, g, o = jnp.split(gates, 4, -1)
    i, f, g, o = jax.nn.sigmoid(i), jax.nn.sigmoid(f), jnp.tanh(g), jax.nn.sigmoid(o)
    c = f * c + i * g
    return o * jnp.tanh(c), c, i, f, g, o


@partial(jax.custom_vjp, nondiff_argnums=(4,))
def _lstm_loop(gates: Array, kernel: Array, h0: Array, c0: Array, reverse: bool) -> tuple[Array, ...]:
    """Outputs ``[time, batch, units]`` and the last states, from what the inputs add to the gates."""

    def step(state: tuple[Array, Array], x: Array) -> tuple[tuple[Array, Array], Array]:
        h, c, *_ = _lstm_cell(x + state[0] @ kernel, state[1])
        return (h, c), h

    (h, c), outputs = lax.scan(step, (h0, c0), gates, reverse=reverse, unroll=_INFERENCE_UNROLL)
    return outputs, h, c


def _lstm_forward(gates: Array, kernel: Array, h0: Array, c0: Array, reverse: bool) -> tuple[Any, Any]:
    def step(state: tuple[Array, Array], x: Array) -> tuple[tuple[Array, Array], tuple[Array, ...]]:
        h, c, *activations = _lstm_cell(x + state[0] @ kernel, state[1])
        return (h, c), (h, c, jnp.concatenate(activations, -1))

    (h, c), (outputs, cells, activations) = lax.scan(step, (h0, c0), gates, reverse=reverse)
    return (outputs, h, c), (outputs, cells, activations, kernel, h0, c0)


def _lstm_backward(
    reverse: bool, saved: tuple[Array, ...], gradients: tuple[Array, ...]
) -> tuple[Array, ...]:
    outputs, cells, activations, kernel, h0, c0 = saved
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
        return (d_gates @ kernel.T, d_c * f), d_gates

    steps = (d_outputs, activations, cells, _before(cells, c0, reverse))
    (d_h0, d_c0), d_gates = lax.scan(step, (d_h, d_c), steps, reverse=not reverse)
    return d_gates, _kernel_gradient(_before(outputs, h0, reverse), d_gates), d_h0, d_c0


_lstm_loop.defvjp(_lstm_forward, _lstm_backward)


def _gru_cell(x: Array, inner: Array, h: Array) -> tuple[Array, ...]:
    xz, xr, xh = jnp.split(x, 3, -1)
    hz, hr, hh = jnp.split(inner, 3, -1)
    z, r = jax.nn.sigmoid(xz + hz), jax.nn.sigmoid(xr + hr)
    candidate = jnp.tanh(xh + r * hh)
    return z * h + (1 - z) * candidate, z, r, candidate, hh


@partial(jax.custom_vjp, nondiff_argnums=(4,))
def _gru_loop(gates: Array, kernel: Array, bias: Array, h0: Array, reverse: bool) -> tuple[Array, ...]:
    """Outputs ``[time, batch, units]`` and the last state; ``bias`` is the state's."""

    def step(h: Array, x: Array) -> tuple[Array, Array]:
        h = _gru_cell(x, h @ kernel + bias, h)[0]
        return h, h

    h, outputs = lax.scan(step, h0, gates, reverse=reverse, unroll=_INFERENCE_UNROLL)
    return outputs, h


def _gru_forward(gates: Array, kernel: Array, bias: Array, h0: Array, reverse: bool) -> tuple[Any, Any]:
    def step(h: Array, x: Array) -> tuple[Array, tuple[Array, Array]]:
        h, *activations = _gru_cell(x, h @ kernel + bias, h)
        return h, (h, jnp.concatenate(activations, -1))

    h, (outputs, activations) = lax.scan(step, h0, gates, reverse=reverse)
    return (outputs, h), (outputs, activations, kernel, h0)


def _gru_backward(reverse: bool, saved: tuple[Array, ...], gradients: tuple[Array, ...]) -> tuple[Array, ...]:
    outputs, activations, kernel, h0 = saved
    d_outputs, d_h = gradients
    before = _before(outputs, h0, reverse)

    def step(d_h: Array, x: tuple[Array, ...]) -> tuple[Array, tuple[Array, Array]]:
        d_output, activations, h = x
        z, r, candidate, hh = jnp.split(activations, 4, -1)
        d_h = d_h + d_output
        d_candidate = d_h * (1 - z) * (1 - candidate * candidate)
        d_z, d_r = d_h * (h - candidate) * z * (1 - z), d_candidate * hh * r * (1 - r)
        d_inner = jnp.concatenate([d_z, d_r, d_candidate * r], -1)
        return d_h * z + d_inner @ kernel.T, (d_candidate, d_inner)

    steps = (d_outputs, activations, before)
    d_h0, (d_candidate, d_inner) = lax.scan(step, d_h, steps, reverse=not reverse)
    units = kernel.shape[0]
    d_gates = jnp.concatenate([d_inner[..., : 2 * units], d_candidate], -1)
    return d_gates, _kernel_gradient(before, d_inner), d_inner.sum((0, 1)), d_h0


_gru_loop.defvjp(_gru_forward, _gru_backward)


def _gru_reset_before_loop(gates: Array, kernel: Array, h0: Array, reverse: bool) -> tuple[Array, Array]:
    units = kernel.shape[0]
    gates_kernel, candidate_kernel = kernel[:, : 2 * units], kernel[:, 2 * units :]

    def step(h: Array, x: Array) -> tuple[Array, Array]:
        z, r = jnp.split(jax.nn.sigmoid(x[:, : 2 * units] + h @ gates_kernel), 2, -1)
        h = z * h + (1 - z) * jnp.tanh(x[:, 2 * units :] + (r * h) @ candidate_kernel)
        return h, h

    h, outputs = lax.scan(step, h0, gates, reverse=reverse)
    return outputs, h


_ACTIVATIONS: dict[str, Callable[[Array], Array]] = {"tanh": jnp.tanh, "relu": jax.nn.relu}
_SLOPES: dict[str, Callable[[Array], Array]] = {
    "tanh": lambda h: 1 - h * h,
    "relu": lambda h: (h > 0).astype(h.dtype),
}
"""The derivative of each activation, from its result."""


@partial(jax.custom_vjp, nondiff_argnums=(3, 4))
def _simple_loop(
    gates: Array, kernel: Array, h0: Array, reverse: bool, activation: str
) -> tuple[Array, Array]:
    def step(h: Array, x: Array) -> tuple[Array, Array]:
        h = _ACTIVATIONS[activation](x + h @ kernel)
        return h, h

    h, outputs = lax.scan(step, h0, gates, reverse=reverse, unroll=_INFERENCE_UNROLL)
    return outputs, h


def _simple_forward(
    gates: Array, kernel: Array, h0: Array, reverse: bool, activation: str
) -> tuple[Any, Any]:
    outputs, h = _simple_loop(gates, kernel, h0, reverse, activation)
    return (outputs, h), (outputs, kernel, h0)


def _simple_backward(
    reverse: bool, activation: str, saved: tuple[Array, ...], gradients: tuple[Array, ...]
) -> tuple[Array, ...]:
    outputs, kernel, h0 = saved
    d_outputs, d_h = gradients

    def step(d_h: Array, x: tuple[Array, Array]) -> tuple[Array, Array]:
        d_gates = (d_h + x[0]) * _SLOPES[activation](x[1])
        return d_gates @ kernel.T, d_gates

    d_h0, d_gates = lax.scan(step, d_h, (d_outputs, outputs), reverse=not reverse)
    return d_gates, _kernel_gradient(_before(outputs, h0, reverse), d_gates), d_h0


_simple_loop.defvjp(_simple_forward, _simple_backward)


class _Reading:
    """The steps of a batch in the order they are read; `back` puts the outputs in place.

    Without lengths the loop itself runs backwards. With them each sequence is turned around first, and the
    loop runs over the padding too, whose outputs are replaced after.
    """

    def __init__(self, x: Array, lengths: Array | None, reverse: bool) -> None:
        self.lengths = lengths
        self.loop_reverse = reverse and lengths is None
        self.index: Array | None = None
        if lengths is not None:
            steps = jnp.arange(x.shape[1], dtype=lengths.dtype)
            last = lengths[:, None] - 1
            self.padding = steps > last
            if reverse:  # its own inverse: what is past the end stays
                self.index = jnp.where(self.padding, steps, last - steps)
                x = self._moved(x)
        self.x = jnp.swapaxes(x, 0, 1)

    def _moved(self, x: Array) -> Array:
        rows = jnp.arange(x.shape[0])[:, None]
        return x.at[rows, self.index].get(mode="promise_in_bounds", unique_indices=True)

    def back(self, outputs: Array, *states: Array, initial: Array) -> tuple[Array, ...]:
        """Batch-major outputs in place, and the last states."""
        sequence = jnp.swapaxes(outputs, 0, 1)
        if self.lengths is None:
            return sequence, *states
        ends = jnp.maximum(self.lengths - 1, 0)
        h = jnp.where((self.lengths > 0)[:, None], sequence[jnp.arange(len(ends)), ends], initial)
        sequence = jnp.where(self.padding[:, :, None], 0, sequence)
        return sequence if self.index is None else self._moved(sequence), h, *states[1:]


def _initial(state: Array | None, x: Array, kernel: Array) -> Array:
    return jnp.zeros((x.shape[0], kernel.shape[0]), x.dtype) if state is None else state


def _gates(x: Array, kernel: Array, bias: Array | None) -> Array:
    return x @ kernel if bias is None else x @ kernel + bias


def _lstm(
    x: Array, kernel: Array, recurrent_kernel: Array, bias: Array | None, h0: Array | None, c0: Array | None,
    lengths: Array | None, reverse: bool,
) -> tuple[Array, ...]:  # fmt: skip
    reading = _Reading(x, lengths, reverse)
    h0, c0 = _initial(h0, x, recurrent_kernel), _initial(c0, x, recurrent_kernel)
    gates = _gates(reading.x, kernel, bias)
    if lengths is not None:  # past the end hold the cell state: forget gate open, input gate shut
        hold = jnp.repeat(jnp.asarray([-_SATURATED, _SATURATED, 0, 0], x.dtype), recurrent_kernel.shape[0])
        gates = gates + jnp.where(reading.padding.T[:, :, None], hold, 0)
    outputs, h, c = _lstm_loop(gates, recurrent_kernel, h0, c0, reading.loop_reverse)
    return reading.back(outputs, h, c, initial=h0)


def _gru(
    x: Array, kernel: Array, recurrent_kernel: Array, bias: Array | None, h0: Array | None,
    lengths: Array | None, reverse: bool, reset_after: bool,
) -> tuple[Array, ...]:  # fmt: skip
    reading = _Reading(x, lengths, reverse)
    h0 = _initial(h0, x, recurrent_kernel)
    if not reset_after:
        gates = _gates(reading.x, kernel, bias)
        outputs, h = _gru_reset_before_loop(gates, recurrent_kernel, h0, reading.loop_reverse)
        return reading.back(outputs, h, initial=h0)
    outer, inner = (None, jnp.zeros(kernel.shape[1], x.dtype)) if bias is None else (bias[0], bias[1])
    gates = _gates(reading.x, kernel, outer)
    outputs, h = _gru_loop(gates, recurrent_kernel, inner, h0, reading.loop_reverse)
    return reading.back(outputs, h, initial=h0)


def _simple_rnn(
    x: Array, kernel: Array, recurrent_kernel: Array, bias: Array | None, h0: Array | None,
    lengths: Array | None, reverse: bool, activation: str,
) -> tuple[Array, ...]:  # fmt: skip
    reading = _Reading(x, lengths, reverse)
    h0 = _initial(h0, x, recurrent_kernel)
    gates = _gates(reading.x, kernel, bias)
    outputs, h = _simple_loop(gates, recurrent_kernel, h0, reading.loop_reverse, activation)
    return reading.back(outputs, h, initial=h0)


TABLE: dict[OpSpec, Callable[..., Any]] = {
    ops.LSTM: _lstm,
    ops.GRU: _gru,
    ops.SIMPLE_RNN: _simple_rnn,
}
