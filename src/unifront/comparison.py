"""`parity`: how far backends differ on a model, layer by layer, forward and gradient."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from unifront import ops
from unifront.arguments import Name, checked, shown
from unifront.backends import Placement, installed, placement
from unifront.errors import ArgumentError
from unifront.ir.graph import Graph, Value
from unifront.opset.replay import inline
from unifront.opset.tensor import Builder, Traced
from unifront.pages import Cell, Page
from unifront.testing import difference
from unifront.trace import Tracing
from unifront.train import data
from unifront.weights import together

SHADES = {"good": 1e-5, "fair": 1e-3}
"""How a difference of at most so much is shaded in a report; one of more, or NaN, is ``"bad"``."""
Values = Mapping[int, np.ndarray]
"""The values of variables by their ids, all of one step of a training that may go on meanwhile."""


@dataclass(frozen=True)
class Row:
    """One layer, or one weight.

    Args:
        path: of the layer or weight.
        size: the largest magnitude of the compared numbers.
        differences: backend → largest difference from the judge, relative to ``size``.
    """

    path: str
    size: float
    differences: dict[str, float]


@dataclass(frozen=True, repr=False)
class Parity:
    """What `parity` found: layers' outputs judged by NumPy, weights' gradients judged by their median."""

    model: str
    backends: tuple[str, ...]
    forward: tuple[Row, ...]
    gradients: tuple[Row, ...] = field(default=())

    @property
    def worst_forward(self) -> float:
        """The largest difference of any layer's output."""
        return max((d for row in self.forward for d in row.differences.values()), default=0.0)

    @property
    def worst_gradient(self) -> float:
        """The largest difference of any weight's gradient."""
        return max((d for row in self.gradients for d in row.differences.values()), default=0.0)

    def __repr__(self) -> str:
        gradients = f", worst gradient {self.worst_gradient:.1e}" if self.gradients else ""
        names = ", ".join(self.backends)
        return f"<Parity of {self.model!r} on {names}: worst layer {self.worst_forward:.1e}{gradients}>"

    def rows(self) -> list[dict[str, Any]]:
        """Everything as plain values: ``"forward"`` or ``"gradient"``, path, size, each backend's difference."""
        return [
            {"what": what, "path": row.path, "size": row.size, "differences": dict(row.differences)}
            for what, rows in (("forward", self.forward), ("gradient", self.gradients))
            for row in rows
        ]

    def html(self, path: Any) -> None:
        """Write the tables as one HTML file that needs no other, large differences shaded."""
        page = Page(f"{self.model}: how far backends differ")
        worst = {"largest difference of a layer": f"{self.worst_forward:.1e}"}
        if self.gradients:
            worst["largest difference of a gradient"] = f"{self.worst_gradient:.1e}"
        page.facts({"backends": ", ".join(self.backends), **worst})
        for title, rows in self._titled():
            page.heading(title)
            page.table(
                ["layer" if rows is self.forward else "weight", "largest", *self.backends],
                [
                    [row.path, f"{row.size:.3g}", *(_shaded(row.differences[name]) for name in self.backends)]
                    for row in rows
                ],
            )
        page.note(
            "Differences are relative to the largest number compared. Rounding in float32 makes some 1e-6 of a layer, "
            "more of a deep model; an operation that a backend computes otherwise stands out where it is."
        )
        page.write(path)

    def _titled(self) -> list[tuple[str, tuple[Row, ...]]]:
        both = [("forward, from NumPy", self.forward), ("gradients, from their median", self.gradients)]
        return [(title, rows) for title, rows in both if rows]

    def print(self, console: Console | None = None) -> None:
        """Print the tables."""
        for title, rows in self._titled():
            table = Table(title=escape(f"{self.model}: {title}"), title_justify="left")
            table.add_column("layer" if rows is self.forward else "weight")
            table.add_column("largest", justify="right")
            for name in self.backends:
                table.add_column(name, justify="right")
            for row in rows:
                shown = (f"{row.differences[name]:.1e}" for name in self.backends)
                table.add_row(escape(row.path), f"{row.size:.3g}", *shown)
            (console or Console()).print(table)


def _shaded(difference: float) -> Cell:
    return Cell(
        f"{difference:.1e}", next((shade for shade, most in SHADES.items() if difference <= most), "bad")
    )


@checked
def parity(
    model: Any, x: Any, *, backends: Name | Sequence[Name] | None = None, gradients: bool = False
) -> Parity:
    """Compare backends on ``model``, each layer's output and each weight's gradient.

    Args:
        x: a batch of inputs, as for `Model.predict`.
        backends: which to compare; all installed ones with gradients by default.
        gradients: also compare the gradients of the mean squared output to every trainable weight. Their judge
            is the median of the backends, so that one backend alone has nothing to differ from.

    Returns:
        A `Parity`; call its ``print()``. Differences are relative to the largest magnitude compared.

    Raises `ArgumentError` if no backend is installed, for a model that draws random numbers in inference, or for
    gradients of a model without a float output;
    `DataError` if ``x`` does not fit the model.
    """
    if not hasattr(model, "has_free_inputs"):
        raise ArgumentError(f"parity: model is a uf.Model, not {shown(model)}.")
    if isinstance(backends, str):
        backends = (backends,)
    names = (
        tuple(backends) if backends is not None else tuple(name for name in installed() if name != "numpy")
    )
    if not names:
        raise ArgumentError(
            'There is no backend to compare: install one, such as pip install "unifront[torch]".'
        )
    places = [placement(name) for name in names]
    inputs = data.check_inputs(model, x)
    traced = model.trace(False)
    count = traced.output_count  # without new values of variables
    given = replace(
        traced.graph, outputs=traced.graph.outputs[:count], output_names=traced.graph.output_names[:count]
    )
    paths, graph = _layer_outputs(given)
    with together(traced.variables):
        values = {id(variable): variable.numpy() for variable in traced.variables}
    if graph.takes_key:
        raise ArgumentError(
            f"The model {model.name!r} draws random numbers in inference, other ones on each backend: there is nothing "
            "to compare."
        )
    judge = _run(graph, traced, values, inputs, placement("numpy"))
    found = {
        name: _run(graph, traced, values, inputs, place) for name, place in zip(names, places, strict=True)
    }
    forward = tuple(_row(path, judge[i], {n: found[n][i] for n in names}) for i, path in enumerate(paths))
    if not gradients:
        return Parity(model.name, names, forward)
    loss, wrt = _squared(traced)
    slopes = {
        name: _gradients(loss, wrt, traced, values, inputs, place)
        for name, place in zip(names, places, strict=True)
    }
    rows = []
    for i, path in enumerate(wrt):
        each = {name: slopes[name][i] for name in names}
        rows.append(_row(path, np.median(list(each.values()), axis=0), each))
    return Parity(model.name, names, forward, tuple(rows))


def _row(path: str, judge: np.ndarray, each: dict[str, np.ndarray]) -> Row:
    size = float(np.abs(np.asarray(judge, np.float64)).max(initial=0.0))
    return Row(path, size, {name: difference(value, judge) for name, value in each.items()})


def _layer_outputs(graph: Graph) -> tuple[list[str], Graph]:
    """A graph whose outputs are the last values of every layer and what else the model gives, and their names."""
    last: dict[str, Value] = {}
    for node in graph.nodes:
        if node.name and node.op.name != "constant" and node.outputs[0].type.dtype.is_float:
            last[node.name] = node.outputs[0]
    for name, value in zip(graph.output_names, graph.outputs, strict=True):
        if value not in last.values():
            last[f"{name} (output)" if name in last else name] = value
    paths = list(last)
    return paths, replace(graph, outputs=tuple(last.values()), output_names=tuple(paths))


def _run(
    graph: Graph, traced: Tracing, values: Values, inputs: Sequence[np.ndarray], place: Placement
) -> list[np.ndarray]:
    program = place.backend.compile(graph, place.device)
    outputs = program(*_operands(program, traced, values, inputs, place))
    return [place.backend.numpy(output) for output in outputs]


def _operands(
    program: Any, traced: Tracing, values: Values, inputs: Sequence[np.ndarray], place: Placement
) -> tuple[Any, Any]:
    """Native inputs and variables."""
    backend, device = place.backend, place.device
    natives = []
    for variable, storage in zip(traced.variables, program.storage, strict=True):
        native = backend.array(values[id(variable)], device)
        natives.append(storage.to_native(native) if storage else native)
    return [backend.array(array, device) for array in inputs], natives


def _squared(traced: Tracing) -> tuple[Graph, list[str]]:
    """The graph of the mean squared output, and the names of the trainable weights."""
    graph = traced.graph
    builder = Builder("mean squared output")
    inputs = [builder.input(n, v.type) for n, v in zip(graph.input_names, graph.inputs, strict=True)]
    values = [builder.new(seen.value.type) for seen in graph.variables]
    outputs = inline(graph, builder, inputs, [Traced(value, builder) for value in values])
    total: Any = None
    for output in outputs[: traced.output_count]:
        if output.dtype.is_float:
            term = ops.mean(ops.square(output))
            total = term if total is None else ops.add(total, term)
    if total is None:
        raise ArgumentError(f"The model {graph.name!r} has no float output, and so no gradients to compare.")
    variables = [replace(seen, value=value) for seen, value in zip(graph.variables, values, strict=True)]
    wrt = [seen.name for seen in graph.variables if seen.trainable]
    return builder.graph([total], ["loss"], variables), wrt


def _gradients(
    loss: Graph,
    wrt: list[str],
    traced: Tracing,
    values: Values,
    inputs: Sequence[np.ndarray],
    place: Placement,
) -> list[np.ndarray]:
    program = place.backend.value_and_grad(loss, wrt, place.device)
    _, *gradients = program(*_operands(program, traced, values, inputs, place))
    layouts = {seen.name: storage for seen, storage in zip(loss.variables, program.storage, strict=True)}
    found = []
    for name, gradient in zip(wrt, gradients, strict=True):
        storage = layouts[name]
        found.append(np.array(place.backend.numpy(storage.from_native(gradient) if storage else gradient)))
    return found
