"""Powers of numbers near one, as the corrections of running means have them."""

from __future__ import annotations

import math
from typing import Any

from unifront.opset.elementwise import expm1, multiply, negative


def one_minus_power(beta: float, step: Any) -> Any:
    """``1 - beta ** step`` without the cancellation that costs float32 four digits."""
    return negative(expm1(multiply(step, math.log(beta)))) if beta > 0.0 else 1.0
