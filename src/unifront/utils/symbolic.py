"""Symbolic tensors, seeds, and what a session has left behind."""

from __future__ import annotations

import gc
import random
from typing import Any

import numpy as np

from unifront import tree
from unifront.dtypes import dtype_of, floatx
from unifront.errors import ArgumentError
from unifront.opset.tensor import Symbolic
from unifront.trace import set_seed


def is_keras_tensor(x: Any) -> bool:
    """Whether ``x`` is a symbolic tensor: what `Input` gives, and what layers give of it.

    Raises `ArgumentError` for what is no tensor of any kind (``keras.utils.is_keras_tensor``)."""
    return isinstance(x, Symbolic)


def get_source_inputs(tensor: Any) -> list[Any]:
    """The `Input` tensors from which the symbolic ``tensor`` is computed (``keras.utils.get_source_inputs``).

    Raises `ArgumentError` for what is no symbolic tensor.
    """
    if not isinstance(tensor, Symbolic):
        raise ArgumentError(f"get_source_inputs takes a symbolic tensor, not {tensor!r}.")
    found: dict[int, Any] = {}
    stack, seen = [tensor], set()
    while stack:
        one = stack.pop()
        if one.call is None:
            found[id(one)] = one
        elif id(one.call) not in seen:
            seen.add(id(one.call))
            given = tree.leaves([one.call.args, dict(one.call.kwargs)])
            stack += reversed([leaf for leaf in given if isinstance(leaf, Symbolic)])
    return list(found.values())


def set_random_seed(seed: int) -> None:
    """`uf.set_seed`, and the seeds of Python's and NumPy's own generators, as ``keras.utils.set_random_seed``."""
    if isinstance(seed, bool) or not isinstance(seed, int | np.integer):
        raise ArgumentError(f"Expected `seed` argument to be an integer, not {seed!r}.")
    set_seed(int(seed))
    random.seed(int(seed))
    np.random.seed(int(seed) % 2**32)  # noqa: NPY002  # the generator that scripts use


def standardize_dtype(dtype: Any) -> str:
    """The name of a dtype in any spelling, frameworks' too; of None that of `floatx` (``keras.utils``)."""
    if dtype is None:
        return floatx().name
    python = {int: "int32", float: floatx().name, bool: "bool", "int": "int32", "float": floatx().name}
    if isinstance(dtype, type | str) and dtype in python:
        return python[dtype]
    named = getattr(dtype, "name", None)
    text = named if isinstance(named, str) else str(dtype).removeprefix("torch.")
    return dtype_of(dtype if isinstance(dtype, type) else text).name


def clear_session(free_memory: bool = True) -> None:
    """Let go of what is not used any more (``keras.utils.clear_session``).

    There is no global graph to clear: layers, programs and values live as long as their model does.
    """
    if free_memory:
        gc.collect()
