"""Functions of probability and physics."""

from __future__ import annotations

import math

import numpy as np

from unifront.opset.making import KEEPS, POSITIVE, WIDE_POSITIVE, unary


def _erfc(x: np.ndarray) -> np.ndarray:
    return np.vectorize(math.erfc, otypes=[np.float64])(x).astype(x.dtype)


def _erfinv_of(y: float) -> float:
    """Giles's approximation ("Approximating the erfinv function", 2010), and Newton's method to all digits."""
    if not -1 < y < 1:
        return math.copysign(math.inf, y) if abs(y) == 1 else math.nan
    if y == 0:
        return y
    w = -math.log1p(-y * y)
    x = (
        y * (1.5 - 0.25 * math.sqrt(w) + 0.33 * w) / (1 + 0.18 * w)
        if w < 5
        else math.copysign(math.sqrt(w), y)
    )
    for _ in range(60):
        # Near one the difference of complements keeps the digits that 1 - y has.
        off = math.erf(x) - y if abs(y) < 0.5 else math.copysign(1, y) * ((1 - abs(y)) - math.erfc(abs(x)))
        slope = 2 / math.sqrt(math.pi) * math.exp(-x * x)
        step = off / slope
        step /= 1 + x * step  # Halley's, which is safe far out
        x -= step
        if abs(step) <= 1e-16 * abs(x):
            break
    return x


def _erfinv(x: np.ndarray) -> np.ndarray:
    return np.vectorize(_erfinv_of, otypes=[np.float64])(x).astype(x.dtype)


ERFC, erfc = unary("erfc", _erfc, "C erfc: 1 - erf(x), with all digits where that is small", facts=POSITIVE)
ERFINV, erfinv = unary("erfinv", _erfinv, "SciPy erfinv: the inverse of erf", (-0.95, 0.95), facts=KEEPS)
I0, i0 = unary(
    "i0", np.i0, "NumPy i0: the modified Bessel function of the first kind, order 0", facts=WIDE_POSITIVE
)
