"""The row for Fourier transforms."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax.numpy as jnp
from jax import lax

from unifront.opset import fft as ops
from unifront.opset.spec import OpSpec


def _fft(real: Any, imag: Any, kind: str, dimensions: int, length: int) -> Any:
    if 0 in real.shape:
        shape = (*real.shape[:-1], length // 2 + 1 if kind == "rfft" else length)
        empty = jnp.zeros(shape, real.dtype)
        return empty if kind == "irfft" else (empty, empty)
    if imag is None:
        found = jnp.fft.rfft(real, length)
    elif kind == "irfft":
        return jnp.fft.irfft(lax.complex(real, imag), length)
    else:
        transform = jnp.fft.fftn if kind == "fft" else jnp.fft.ifftn
        found = transform(lax.complex(real, imag), axes=tuple(range(-dimensions, 0)))
    return jnp.real(found), jnp.imag(found)


TABLE: dict[OpSpec, Callable[..., Any]] = {ops.FFT: _fft}
