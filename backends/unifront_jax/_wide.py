"""64-bit types without the user's global flag.

JAX cuts 64-bit types to 32 bits unless ``jax_enable_x64`` is set. `wide` holds that setting for one thread
and one block only; programs that have no 64-bit type never enter it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from contextlib import AbstractContextManager, nullcontext
from functools import wraps
from typing import Any

import jax

from unifront.ir.graph import Graph

WIDE = frozenset({"float64", "int64", "uint64", "complex128"})


def _context() -> Callable[[bool], AbstractContextManager[Any]]:
    if hasattr(jax, "enable_x64"):
        return jax.enable_x64
    from jax.experimental import enable_x64  # JAX before 0.8

    return enable_x64


enable_x64 = _context()
_NOTHING = nullcontext()


def wide(needed: bool) -> AbstractContextManager[Any]:
    """A context with 64-bit types if they are ``needed``, else one that changes nothing."""
    return enable_x64(True) if needed else _NOTHING


def is_wide(value: Any) -> bool:
    """Whether ``value`` is an array of a 64-bit type, or the name of one."""
    return value in WIDE if isinstance(value, str) else str(getattr(value, "dtype", "")) in WIDE


def any_wide(values: Iterable[Any]) -> bool:
    """Whether any of ``values`` is 64 bits wide."""
    return any(map(is_wide, values))


def graph_is_wide(graph: Graph) -> bool:
    """Whether a value of ``graph``, or of a body inside it, has a 64-bit type."""
    return any(value.type.dtype.name in WIDE for value in graph.values()) or any(
        any_wide(node.attributes.values()) or any(map(graph_is_wide, node.regions)) for node in graph.nodes
    )


def eager(row: Callable[..., Any]) -> Callable[..., Any]:
    """``row`` for calls outside a compiled program: it keeps the 64-bit types it is given or asked for."""

    @wraps(row)
    def call(*operands: Any, **attributes: Any) -> Any:
        if any_wide(operands) or any_wide(attributes.values()):
            with enable_x64(True):
                return row(*operands, **attributes)
        return row(*operands, **attributes)

    return call
