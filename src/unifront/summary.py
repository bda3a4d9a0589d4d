"""`Model.summary`: the layers, their output types and numbers of weights, as a table of text or HTML."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from html import escape as escape_html
from typing import TYPE_CHECKING, Any

import numpy as np
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from unifront import tree
from unifront.errors import ArgumentError, UnknownName
from unifront.ir.dims import Dim
from unifront.layers.input import BATCH
from unifront.opset.flops import flops_by_path
from unifront.weights import Variable

if TYPE_CHECKING:
    from unifront.layers.layer import Layer
    from unifront.model import Model


def count(weights: list[Variable]) -> int:
    """The number of numbers in ``weights``."""
    return sum(int(np.prod(weight.shape)) for weight in weights)


Counts = dict[str, Dim]


@dataclass(frozen=True)
class Summary:
    """What a summary says: the model, the heads of the columns, the rows, the lines below."""

    title: str
    heads: list[str]
    rows: list[list[str]]
    totals: list[str]


def _flops(model: Model) -> Counts:
    """The floating-point operations of the inference, by the path of the layer; of one example if it may be one."""
    return flops_by_path(model.trace().graph, {str(BATCH): 1})


def _below(counts: Counts, path: str = "") -> Dim:
    total: Dim = 0
    for name, one in counts.items():
        if not path or name == path or name.startswith(f"{path}/"):
            total = one + total
    return total


def count_flops(model: Model) -> Dim:
    """See `Model.count_flops`."""
    return _below(_flops(model))


def summary_of(
    model: Model,
    expand_nested: bool = False,
    show_trainable: bool = False,
    layer_range: Sequence[str] | None = None,
    flops: bool = False,
) -> Summary:
    """What `Model.summary` shows. Of a model whose inputs are not known yet the layers alone, as far as they are."""
    known = not model.has_free_inputs
    if known:
        model.trace()
    counts = _flops(model) if flops else {}
    heads = ["layer", "output", "weights", *(["trainable"] if show_trainable else [])]
    rows = [
        [f"{name} (Input)", str(type_), ""] for name, type_ in (model.input_types if known else {}).items()
    ]
    rows = [[*row, ""] if show_trainable else row for row in rows]
    if flops:
        heads.append("FLOPs")
        rows = [[*row, ""] for row in rows]
    for path, layer in _ranged(list(_layers(model, expand_nested)), layer_range):
        types = [str(leaf) for leaf in tree.leaves(layer.output_types) if leaf is not None]
        row = [
            f"{path} ({getattr(layer, 'kind', type(layer).__name__)})",
            ", ".join(types) or "?",
            _own(layer),
        ]
        if show_trainable:
            row.append(("yes" if layer.trainable else "no") if layer.weights else "-")
        if flops:
            row.append(_number(_below(counts, path)))
        rows.append(row)
    return Summary(f"{model.name}: {type(model).__name__}", heads, rows, list(_totals(model, counts)))


def _own(layer: Layer) -> str:
    own = count(layer.weights)
    return f"{own:,}" if own else "" if layer.built else "(unbuilt)"


def _totals(model: Model, counts: Counts) -> Iterator[str]:
    total, trained = count(model.weights), count(model.trainable_weights)
    size = sum(int(np.prod(w.shape)) * w.dtype.bits // 8 for w in model.weights)
    yield f"{total:,} weights ({size / 2**20:.2f} MiB), {trained:,} trainable, {total - trained:,} not"
    if counts:
        batch = next(iter(model.input_types.values())).shape[0]
        of = f"a batch of {batch}" if isinstance(batch, int) else "one example"
        yield f"{_number(_below(counts))} FLOPs for {of} (a product and its addition are two)"


def _number(number: Dim) -> str:
    return f"{number:,}" if isinstance(number, int) else str(number)


def _layers(model: Model, expand_nested: bool) -> Iterator[tuple[str, Layer]]:
    if expand_nested:
        yield from list(model.walk())[1:]
    else:
        yield from ((layer.name, layer) for layer in model.children())


def _ranged(found: list[tuple[str, Layer]], layer_range: Sequence[str] | None) -> list[tuple[str, Layer]]:
    """The layers from the first to the last of two names."""
    if layer_range is None:
        return found
    names = [path for path, _ in found]
    if len(layer_range) != 2:
        raise ArgumentError(f"summary: layer_range is the names of two layers, not {list(layer_range)}.")
    for name in layer_range:
        if name not in names:
            raise UnknownName("layer", name, names)
    first, last = map(names.index, layer_range)
    return found[first : last + 1]


def summary_table(model: Model, **options: Any) -> Table:
    """The table that `Model.summary` prints."""
    told = summary_of(model, **options)
    table = Table(title=_shown(told.title), title_justify="left", caption_justify="left")
    for number, head in enumerate(told.heads):
        table.add_column(head, overflow="fold", justify="right" if number > 1 else "left")
    for row in told.rows:
        table.add_row(*map(_shown, row))
    table.caption = "\n".join(told.totals)
    return table


def _shown(text: str) -> str:
    """``text`` without markup, and without what would steer the terminal: names may come from a file."""
    return escape(text if text.isprintable() else ascii(text)[1:-1])


def summarize(
    model: Model, print_fn: Callable[[str], Any] | None = None, line_length: int | None = None, **options: Any
) -> None:
    """Print the table, or give its text to ``print_fn``."""
    table = summary_table(model, **options)
    if print_fn is None:
        Console(width=line_length).print(table)
        return
    console = Console(width=line_length or 110)
    with console.capture() as capture:
        console.print(table)
    print_fn(capture.get())


def summary_html(model: Model) -> str:
    """The summary as an HTML table, for notebooks."""
    told = summary_of(model)

    def line(kind: str, cells: list[str]) -> str:
        return f"<tr>{''.join(f'<{kind}>{escape_html(cell)}</{kind}>' for cell in cells)}</tr>"

    body = [line("th", told.heads), *(line("td", row) for row in told.rows)]
    below = "<br>".join(map(escape_html, told.totals))
    return f"<table><caption>{escape_html(told.title)}</caption>{''.join(body)}</table><p>{below}</p>"
