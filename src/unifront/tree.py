"""Nested lists, tuples and dicts of leaves."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any


def leaves(structure: Any) -> list[Any]:
    """Every leaf, in order; None counts as a leaf."""
    match structure:
        case list() | tuple():
            return [leaf for item in structure for leaf in leaves(item)]
        case dict():
            return [leaf for item in structure.values() for leaf in leaves(item)]
    return [structure]


def map_leaves(function: Callable[[Any], Any], structure: Any) -> Any:
    """The same structure with ``function(leaf)`` in place of each leaf."""
    match structure:
        case list() | tuple():
            items = [map_leaves(function, item) for item in structure]
            return type(structure)(*items) if hasattr(structure, "_fields") else type(structure)(items)
        case dict():
            return {name: map_leaves(function, item) for name, item in structure.items()}
    return function(structure)
