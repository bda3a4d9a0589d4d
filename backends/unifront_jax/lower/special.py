"""Functions of probability and physics."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax.numpy as jnp
from jax import lax

from unifront.opset import special as ops
from unifront.opset.spec import OpSpec

TABLE: dict[OpSpec, Callable[..., Any]] = {
    ops.ERFC: lax.erfc,
    ops.ERFINV: lax.erf_inv,
    ops.I0: jnp.i0,
}
