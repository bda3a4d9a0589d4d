"""`Model.summary`: the layers, their output types and numbers of weights, as a table."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

import numpy as np
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from unifront import tree
from unifront.weights import Variable

if TYPE_CHECKING:
    from unifront.model import Model


def count(weights: list[Variable]) -> int:
    """The number of numbers in ``weights``."""
    return sum(int(np.prod(weight.shape)) for weight in weights)


def summary_table(model: Model, expand_nested: bool = False) -> Table:
    """The table that `Model.summary` prints. Raises `NotBuiltError` if the inputs are not known."""
    model.trace()
    table = Table(title=_shown(f"{model.name}: {type(model).__name__}"), title_justify="left")
    table.add_column("layer", overflow="fold")
    table.add_column("output", overflow="fold")
    table.add_column("weights", justify="right", overflow="fold")
    for name, type_ in model.input_types.items():
        table.add_row(_shown(f"{name} (Input)"), _shown(str(type_)), "")
    for name, kind, types, own in _of_layers(model, expand_nested):
        table.add_row(_shown(f"{name} ({kind})"), _shown(", ".join(types)), f"{own:,}" if own else "")
    total, trained = count(model.weights), count(model.trainable_weights)
    size = sum(int(np.prod(w.shape)) * w.dtype.bits // 8 for w in model.weights)
    table.caption_justify = "left"
    table.caption = (
        f"{total:,} weights ({size / 2**20:.2f} MiB), {trained:,} trainable, {total - trained:,} not"
    )
    return table


Row = tuple[str, str, list[str], int]
"""A layer's name, what it is, its output types, the number of its weights."""


def _of_layers(model: Model, expand_nested: bool) -> Iterator[Row]:
    direct = [(layer.name, layer) for layer in model.children()]
    for path, layer in list(model.walk())[1:] if expand_nested else direct:
        types = [str(leaf) for leaf in tree.leaves(layer.output_types) if leaf is not None]
        yield path, getattr(layer, "kind", type(layer).__name__), types, count(layer.weights)


def _shown(text: str) -> str:
    """``text`` without markup, and without what would steer the terminal: names may come from a file."""
    return escape(text if text.isprintable() else ascii(text)[1:-1])


def summarize(
    model: Model,
    print_fn: Callable[[str], Any] | None = None,
    line_length: int | None = None,
    expand_nested: bool = False,
) -> None:
    """Print the table, or give its text to ``print_fn``."""
    table = summary_table(model, expand_nested)
    if print_fn is None:
        Console(width=line_length).print(table)
        return
    console = Console(width=line_length or 110)
    with console.capture() as capture:
        console.print(table)
    print_fn(capture.get())
