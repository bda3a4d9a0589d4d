"""`Model.summary`: the layers, their output types and numbers of weights, as a table."""

from __future__ import annotations

from collections.abc import Callable
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


def summary_table(model: Model) -> Table:
    """The table that `Model.summary` prints. Raises `NotBuiltError` if the inputs are not known."""
    model.trace()
    table = Table(title=f"{model.name}: {type(model).__name__}", title_justify="left")
    table.add_column("layer")
    table.add_column("output")
    table.add_column("weights", justify="right")
    for name, type_ in model.input_types.items():
        table.add_row(escape(f"{name} (Input)"), escape(str(type_)), "")
    for layer in model.layers:
        shown = ", ".join(str(leaf) for leaf in tree.leaves(layer.output_types) if leaf is not None)
        own = count(layer.weights)
        table.add_row(
            escape(f"{layer.name} ({type(layer).__name__})"), escape(shown), f"{own:,}" if own else ""
        )
    total, trained = count(model.weights), count(model.trainable_weights)
    size = sum(int(np.prod(w.shape)) * w.dtype.bits // 8 for w in model.weights)
    table.caption_justify = "left"
    table.caption = (
        f"{total:,} weights ({size / 2**20:.2f} MiB), {trained:,} trainable, {total - trained:,} not"
    )
    return table


def summarize(model: Model, print_fn: Callable[[str], Any] | None = None) -> None:
    """Print the table, or give its text to ``print_fn``."""
    table = summary_table(model)
    if print_fn is None:
        Console().print(table)
        return
    console = Console(width=110)
    with console.capture() as capture:
        console.print(table)
    print_fn(capture.get())
