"""The functions of ``keras.backend``. What is called `uf.backend` holds them: see `unifront.backend`."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from unifront.backends import Placement, default_name, placement, use_backend
from unifront.config import backend as backend
from unifront.config import epsilon as epsilon
from unifront.config import floatx as floatx
from unifront.config import image_data_format as image_data_format
from unifront.config import set_epsilon as set_epsilon
from unifront.config import set_floatx as set_floatx
from unifront.config import set_image_data_format as set_image_data_format
from unifront.dtypes import dtype_of, promote
from unifront.errors import ArgumentError
from unifront.utils import clear_session as clear_session
from unifront.utils import is_keras_tensor as is_keras_tensor
from unifront.utils import standardize_dtype as standardize_dtype

_used: Counter[str] = Counter()


def get_uid(prefix: str = "") -> int:
    """How many times this was asked for ``prefix``, this time counted: 1, 2, 3 …"""
    _used[prefix] += 1
    return _used[prefix]


def result_type(*dtypes: Any) -> str:
    """The name of the dtype that operations promote ``dtypes`` to; Python's ``int`` and ``float`` are weak.

    Example::

        uf.backend.result_type("int32", "float32")  # 'float32'
    """
    if not dtypes:
        raise ArgumentError("result_type takes at least one dtype.")
    weak = {int: 0, "int": 0, float: 0.0, "float": 0.0}
    given: list[Any] = [
        weak[one] if isinstance(one, type | str) and one in weak else dtype_of(standardize_dtype(one))
        for one in dtypes
    ]
    if any(isinstance(one, float) for one in given) and all(isinstance(one, int | float) for one in given):
        return floatx()
    return promote(*given).name


def is_float_dtype(dtype: Any) -> bool:
    """Whether ``dtype``, in any spelling, is one of floats."""
    return dtype_of(standardize_dtype(dtype)).is_float


def is_int_dtype(dtype: Any) -> bool:
    """Whether ``dtype``, in any spelling, is one of integers."""
    return dtype_of(standardize_dtype(dtype)).is_integer


@contextmanager
def device(device_name: str) -> Iterator[Placement]:
    """A block in which the default backend works on ``device_name``: ``"cpu"``, ``"gpu:0"`` (``keras.device``).

    Raises `ArgumentError` if it has no such device.
    """
    if not isinstance(device_name, str):
        raise ArgumentError(f"A device is a name, such as 'cpu:0' or 'gpu:0', not {device_name!r}.")
    name = default_name().partition(":")[0]
    kind, _, index = device_name.lower().partition(":")
    devices = placement(name).backend.devices()
    kinds = {one.partition(":")[0] for one in devices}
    for alias in ("gpu", "cuda"):  # one word for the other
        if kind in ("gpu", "cuda") and kind not in kinds and alias in kinds:
            kind = alias
    with use_backend(f"{name}:{kind}{':' if index else ''}{index}") as place:
        yield place
