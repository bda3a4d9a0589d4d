"""The row for Fourier transforms."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch

from unifront.opset import fft as ops
from unifront.opset.spec import OpSpec


def _fft(real: torch.Tensor, imag: torch.Tensor | None, kind: str, dimensions: int, length: int) -> Any:
    if not real.numel():  # MKL refuses
        size = length // 2 + 1 if kind == "rfft" else length
        empty = real.new_zeros((*real.shape[:-1], size))
        return empty if kind == "irfft" else (empty, empty.clone())
    if imag is None:
        found = torch.fft.rfft(real, length)
    elif kind == "irfft":
        return torch.fft.irfft(torch.complex(real, imag), length)
    else:
        transform = torch.fft.fftn if kind == "fft" else torch.fft.ifftn
        found = transform(torch.complex(real, imag), dim=tuple(range(-dimensions, 0)))
    return found.real, found.imag


TABLE: dict[OpSpec, Callable[..., Any]] = {ops.FFT: _fft}
