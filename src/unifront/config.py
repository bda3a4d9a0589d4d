"""Defaults of the whole process, as ``keras.config``."""

from __future__ import annotations

from unifront.backends import default_name
from unifront.backends import set_backend as _set_backend
from unifront.dtype_policies import dtype_policy as dtype_policy
from unifront.dtype_policies import set_dtype_policy as set_dtype_policy
from unifront.dtypes import floatx as _floatx
from unifront.dtypes import set_floatx as _set_floatx
from unifront.errors import ArgumentError
from unifront.opset.data_format import image_data_format as image_data_format
from unifront.opset.data_format import set_image_data_format as set_image_data_format

_epsilon = [1e-7]
_interactive = [True]


def backend() -> str:
    """The name of the default backend: "torch", "tensorflow", "jax" or another that is installed."""
    return default_name().partition(":")[0]


def set_backend(backend: str) -> None:
    """Make ``backend`` ("jax", "torch:cuda:1" …) the default; see `uf.set_backend`."""
    _set_backend(backend)


def floatx() -> str:
    """The name of the float dtype of inputs and weights whose dtype nobody says."""
    return _floatx().name


def set_floatx(value: str) -> None:
    """Make ``value`` (float16, bfloat16, float32 or float64) the one that `floatx` gives."""
    _set_floatx(value)


def epsilon() -> float:
    """The small number that keeps norms and logarithms from zero (1e-7 at first)."""
    return _epsilon[-1]


def set_epsilon(value: float) -> None:
    """Make ``value`` (a number above 0) the one that `epsilon` gives."""
    if isinstance(value, bool) or not isinstance(value, int | float) or not value > 0:
        raise ArgumentError(f"epsilon is a number above 0, not {value!r}.")
    _epsilon[:] = [float(value)]


def enable_interactive_logging() -> None:
    """Let ``verbose="auto"`` mean a progress bar, as it does at first."""
    _interactive[:] = [True]


def disable_interactive_logging() -> None:
    """Let ``verbose="auto"`` mean a line an epoch, for logs."""
    _interactive[:] = [False]


def is_interactive_logging_enabled() -> bool:
    """Whether ``verbose="auto"`` means a progress bar."""
    return _interactive[-1]
