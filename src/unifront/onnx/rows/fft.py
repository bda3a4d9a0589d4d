"""Fourier transforms."""

from __future__ import annotations

from typing import Any

import numpy as np

from unifront.ir.dims import Dim
from unifront.onnx.writer import Ref, Row, Writer
from unifront.opset import fft as f
from unifront.opset.spec import OpSpec


def _fft(w: Writer, real: Ref, imag: Ref | None, kind: str, dimensions: int, length: Dim) -> Any:
    """DFT takes the parts along a last axis. It inverts whole transforms only."""
    if w.opset < 17 or kind == "irfft":
        return NotImplemented
    rank = real.type.rank
    parts = [w.expand_dims(part, (rank,)) for part in (real, imag) if part is not None]
    # DFT wants an axis before the signal's.
    x = parts[0] if len(parts) == 1 else w.op("Concat", *parts, axis=rank)
    alone = rank == 1
    x = w.op("Unsqueeze", x, np.array([0])) if alone else x
    for axis in range(rank - dimensions, rank):
        flags = {"inverse": int(kind == "ifft"), "onesided": int(kind == "rfft")}
        if w.opset >= 20:
            x = w.op("DFT", x, None, np.array(axis + alone), **flags)
        else:
            x = w.op("DFT", x, axis=axis + alone, **flags)
    x = w.op("Squeeze", x, np.array([0])) if alone else x
    return tuple(w.op("Gather", x, np.array(part), axis=rank) for part in (0, 1))


TABLE: dict[OpSpec, Row] = {f.FFT: _fft}
