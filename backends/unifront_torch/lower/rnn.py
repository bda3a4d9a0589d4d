"""Recurrent networks in PyTorch: the fused calls behind ``torch.nn.LSTM``, ``GRU`` and ``RNN``.

They run over whole sequences, padding included, with no loop in Python and no wait for the device: sequences
that are read backwards are turned around first, and what stands past the end of a sequence is replaced after.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import _VF, Tensor
from torch.nn import functional as F

from unifront.ir.layouts import Storage
from unifront.opset import rnn as ops
from unifront.opset.spec import OpSpec


def _transposed(weight: Tensor) -> Tensor:
    return weight.t().contiguous()


def _swapped(weight: Tensor) -> Tensor:
    """Keras's gates (update, reset, candidate) on axis 0 as torch's (reset, update, candidate), or back."""
    first, second, third = weight.chunk(3)
    return torch.cat([second, first, third])


def _swapped_bias(bias: Tensor) -> Tensor:
    first, second, third = bias.chunk(3, -1)
    return torch.cat([second, first, third], -1)


KERNEL = Storage("rnn_kernel", _transposed, _transposed)
GRU_KERNEL = Storage("gru_kernel", lambda w: _swapped(w.t()), lambda w: _swapped(w).t().contiguous())
GRU_BIAS = Storage("gru_bias", _swapped_bias, _swapped_bias)


class _Reading:
    """The steps of a batch in the order they are read, in ``x``; `back` puts the outputs in place.

    What stands past the end is zeros in ``x``.
    """

    def __init__(self, x: Tensor, lengths: Tensor | None, reverse: bool) -> None:
        self.lengths, self.reverse, self.x = lengths, reverse, x
        self.index: Tensor | None = None
        self.padding: Tensor | None = None
        if lengths is None:
            self.x = x.flip(1) if reverse else x
            return
        steps = torch.arange(x.size(1), device=x.device)
        last = lengths.unsqueeze(1) - 1
        self.padding = (steps > last).unsqueeze(-1)
        self.x = x.masked_fill(self.padding, 0.0)
        if reverse:  # its own inverse: what is past the end stays
            self.index = torch.where(steps > last, steps, last - steps).unsqueeze(-1)
            self.x = self._moved(self.x)

    def held(self, kernel: Tensor, form: str) -> tuple[Tensor, Tensor]:
        """The steps with one more feature, set past the end, and the kernel with a column for it: `ops.HOLD`."""
        if self.padding is None or form not in ops.HOLD:
            return self.x, kernel
        saturation = ops.SATURATION[str(kernel.dtype).removeprefix("torch.")]
        gates = ops.HOLD[form]
        columns = [kernel.new_full((kernel.size(0) // len(gates), 1), gate * saturation) for gate in gates]
        steps = torch.cat([self.x, self.padding.to(self.x.dtype)], -1)
        return steps, torch.cat([kernel, torch.cat(columns)], 1)

    def _moved(self, x: Tensor) -> Tensor:
        assert self.index is not None
        return x.gather(1, self.index.expand(-1, -1, x.size(-1)))

    def last(self, sequence: Tensor, initial: Tensor) -> Tensor:
        """The state after the last step read, from the outputs in the order read."""
        if self.lengths is None:
            return sequence[:, -1]
        ends = (self.lengths.long() - 1).clamp(0).view(-1, 1, 1).expand(-1, 1, sequence.size(-1))
        return torch.where((self.lengths > 0).unsqueeze(-1), sequence.gather(1, ends).squeeze(1), initial)

    def back(self, sequence: Tensor) -> Tensor:
        if self.padding is not None:
            sequence = sequence.masked_fill(self.padding, 0.0)
            return self._moved(sequence) if self.reverse else sequence
        return sequence.flip(1) if self.reverse else sequence


def _initial(state: Tensor | None, x: Tensor, recurrent_kernel: Tensor) -> Tensor:
    return x.new_zeros(x.size(0), recurrent_kernel.size(1)) if state is None else state


def _weights(kernel: Tensor, recurrent_kernel: Tensor, biases: Sequence[Tensor]) -> tuple[list[Tensor], bool]:
    """The weights as the fused calls take them, and whether there are biases."""
    weights = [kernel, recurrent_kernel, *biases]
    if not kernel.is_cuda:
        return weights, bool(biases)
    # cuDNN wants them in one chunk of memory, biases included; else it copies them, with a warning.
    if not biases:
        weights += [kernel.new_zeros(kernel.size(0)) for _ in range(2)]
    chunk = torch.cat([weight.reshape(-1) for weight in weights])
    parts = chunk.split([weight.numel() for weight in weights])
    return [part.view(weight.shape) for part, weight in zip(parts, weights, strict=True)], True


def _single(bias: Tensor | None) -> list[Tensor]:
    return [] if bias is None else [bias, torch.zeros_like(bias)]


def _lstm(
    x: Tensor, kernel: Tensor, recurrent_kernel: Tensor, bias: Tensor | None, h0: Tensor | None,
    c0: Tensor | None, lengths: Tensor | None, reverse: bool,
) -> tuple[Tensor, Tensor, Tensor]:  # fmt: skip
    reading = _Reading(x, lengths, reverse)
    h0, c0 = _initial(h0, x, recurrent_kernel), _initial(c0, x, recurrent_kernel)
    steps, kernel = reading.held(kernel, "lstm")
    weights, has_biases = _weights(kernel, recurrent_kernel, _single(bias))
    training = torch.is_grad_enabled()
    states = (h0.unsqueeze(0), c0.unsqueeze(0))
    sequence, h, c = _VF.lstm(steps, states, weights, has_biases, 1, 0.0, training, False, True)
    h = h[0] if lengths is None else reading.last(sequence, h0)
    return reading.back(sequence), h, c[0]


def _simple(
    fused: Callable[..., tuple[Tensor, Tensor]], x: Tensor, kernel: Tensor, recurrent_kernel: Tensor,
    biases: Sequence[Tensor], h0: Tensor | None, lengths: Tensor | None, reverse: bool, form: str = "",
) -> tuple[Tensor, Tensor]:  # fmt: skip
    """A network whose only state is its output."""
    reading = _Reading(x, lengths, reverse)
    h0 = _initial(h0, x, recurrent_kernel)
    steps, kernel = reading.held(kernel, form)
    weights, has_biases = _weights(kernel, recurrent_kernel, biases)
    training = torch.is_grad_enabled()
    sequence, h = fused(steps, h0.unsqueeze(0), weights, has_biases, 1, 0.0, training, False, True)
    return reading.back(sequence), h[0] if lengths is None else reading.last(sequence, h0)


def _gru(
    x: Tensor, kernel: Tensor, recurrent_kernel: Tensor, bias: Tensor | None, h0: Tensor | None,
    lengths: Tensor | None, reverse: bool, reset_after: bool,
) -> tuple[Tensor, Tensor]:  # fmt: skip
    if not reset_after:
        return _gru_reset_before(x, kernel, recurrent_kernel, bias, h0, lengths, reverse)
    biases: list[Tensor] = [] if bias is None else [bias[0], bias[1]]
    return _simple(_VF.gru, x, kernel, recurrent_kernel, biases, h0, lengths, reverse)


def _gru_reset_before(
    x: Tensor, kernel: Tensor, recurrent_kernel: Tensor, bias: Tensor | None, h0: Tensor | None,
    lengths: Tensor | None, reverse: bool,
) -> tuple[Tensor, Tensor]:  # fmt: skip
    """The reset gate before the recurrent product: torch has no fused call for it, hence the loop."""
    reading = _Reading(x, lengths, reverse)
    units = recurrent_kernel.size(1)
    h = h0 = _initial(h0, x, recurrent_kernel)
    gates_kernel, candidate_kernel = recurrent_kernel.split([2 * units, units])
    outputs = []
    for step in F.linear(reading.x, kernel, bias).unbind(1):
        gates, candidate = step.split([2 * units, units], 1)
        reset, update = torch.sigmoid(gates + F.linear(h, gates_kernel)).chunk(2, 1)
        candidate = torch.tanh(candidate + F.linear(reset * h, candidate_kernel))
        h = candidate + update * (h - candidate)
        outputs.append(h)
    sequence = torch.stack(outputs, 1)
    return reading.back(sequence), reading.last(sequence, h0)


_FUSED = {"tanh": _VF.rnn_tanh, "relu": _VF.rnn_relu}


def _simple_rnn(
    x: Tensor, kernel: Tensor, recurrent_kernel: Tensor, bias: Tensor | None, h0: Tensor | None,
    lengths: Tensor | None, reverse: bool, activation: str,
) -> tuple[Tensor, Tensor]:  # fmt: skip
    biases = _single(bias)
    return _simple(_FUSED[activation], x, kernel, recurrent_kernel, biases, h0, lengths, reverse, activation)


TABLE: dict[OpSpec, Callable[..., Any]] = {
    ops.LSTM: _lstm,
    ops.GRU: _gru,
    ops.SIMPLE_RNN: _simple_rnn,
}
STORAGE: dict[tuple[OpSpec, int], Storage] = {
    (ops.LSTM, 1): KERNEL,
    (ops.LSTM, 2): KERNEL,
    (ops.GRU, 1): GRU_KERNEL,
    (ops.GRU, 2): GRU_KERNEL,
    (ops.GRU, 3): GRU_BIAS,
    (ops.SIMPLE_RNN, 1): KERNEL,
    (ops.SIMPLE_RNN, 2): KERNEL,
}
