"""The row for Fourier transforms."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import tensorflow as tf

from unifront.ir.graph import Op
from unifront.opset import fft as ops

_TRANSFORMS = {
    ("fft", 1): tf.signal.fft, ("fft", 2): tf.signal.fft2d,
    ("ifft", 1): tf.signal.ifft, ("ifft", 2): tf.signal.ifft2d,
}  # fmt: skip


def _fft(real: Any, imag: Any, kind: str, dimensions: int, length: Any) -> Any:
    if imag is None:
        found = tf.signal.rfft(real, [length])
    elif kind == "irfft":
        return tf.signal.irfft(tf.complex(real, imag), [length])
    else:
        found = _TRANSFORMS[kind, dimensions](tf.complex(real, imag))
    return tf.math.real(found), tf.math.imag(found)


TABLE: dict[Op, Callable[..., Any]] = {ops.FFT: _fft}
