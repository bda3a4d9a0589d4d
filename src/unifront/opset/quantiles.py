"""The normal distribution's quantiles, by arithmetic, a square root and a logarithm alone."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from unifront.opset import elementwise as e

# Wichura, "Algorithm AS 241: The percentage points of the normal distribution", Applied Statistics 37, 1988: PPND16,
# three quotients of polynomials, lowest power first.
_MIDDLE = (
    (
        3.3871328727963666080e0, 1.3314166789178437745e2, 1.9715909503065514427e3, 1.3731693765509461125e4,
        4.5921953931549871457e4, 6.7265770927008700853e4, 3.3430575583588128105e4, 2.5090809287301226727e3,
    ),
    (
        1.0, 4.2313330701600911252e1, 6.8718700749205790830e2, 5.3941960214247511077e3,
        2.1213794301586595867e4, 3.9307895800092710610e4, 2.8729085735721942674e4, 5.2264952788528545610e3,
    ),
)  # fmt: skip
_NEAR = (
    (
        1.42343711074968357734e0, 4.63033784615654529590e0, 5.76949722146069140550e0, 3.64784832476320460504e0,
        1.27045825245236838258e0, 2.41780725177450611770e-1, 2.27238449892691845833e-2, 7.74545014278341407640e-4,
    ),
    (
        1.0, 2.05319162663775882187e0, 1.67638483018380384940e0, 6.89767334985100004550e-1,
        1.48103976427480074590e-1, 1.51986665636164571966e-2, 5.47593808499534494600e-4, 1.05075007164441684324e-9,
    ),
)  # fmt: skip
_FAR = (
    (
        6.65790464350110377720e0, 5.46378491116411436990e0, 1.78482653991729133580e0, 2.96560571828504891230e-1,
        2.65321895265761230930e-2, 1.24266094738807843860e-3, 2.71155556874348757815e-5, 2.01033439929228813265e-7,
    ),
    (
        1.0, 5.99832206555887937690e-1, 1.36929880922735805310e-1, 1.48753612908506148525e-2,
        7.86869131145613259100e-4, 1.84631831751005468180e-5, 1.42151175831644588870e-7, 2.04426310338993978564e-15,
    ),
)  # fmt: skip
_MIDDLE_REACH, _NEAR_REACH = 0.425, 5.0


def _polynomial(coefficients: Sequence[float], x: Any) -> Any:
    found: Any = coefficients[-1]
    for coefficient in reversed(coefficients[:-1]):
        found = e.add(e.multiply(found, x), coefficient)
    return found


def _quotient(table: Sequence[Sequence[float]], x: Any) -> Any:
    return e.divide(_polynomial(table[0], x), _polynomial(table[1], x))


def normal_quantile(p: Any) -> Any:
    """The number below which a standard normal number lies with the probability ``p``, in (0, 1)."""
    from_middle = e.subtract(p, 0.5)
    middle = e.multiply(from_middle, _quotient(_MIDDLE, e.subtract(_MIDDLE_REACH**2, e.square(from_middle))))
    tail = e.sqrt(e.negative(e.log(e.minimum(p, e.subtract(1.0, p)))))
    near = _quotient(_NEAR, e.subtract(tail, 1.6))
    far = _quotient(_FAR, e.subtract(tail, _NEAR_REACH))
    outside = e.multiply(e.sign(from_middle), e.where(e.less_equal(tail, _NEAR_REACH), near, far))
    return e.where(e.less_equal(e.abs(from_middle), _MIDDLE_REACH), middle, outside)


def normal_share(x: float) -> float:
    """The probability that a standard normal number lies below ``x``."""
    return 0.5 * math.erfc(-x / math.sqrt(2))
