"""A graph as a straight-line Python function over native callables: how every backend runs a graph.

The function is real source text (kept in `Program.source`), one line per node, with each attribute bound
beforehand, sizes read once from the inputs, and every value dropped after its last use:

    def digits(inputs, variables):
        v0, = inputs
        v1, v2, = variables
        D_batch = size(v0, 0)
        v3 = dense_0(v0, v1, v2)
        del v0
        return v3,
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Container, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any

import numpy as np

from unifront.errors import GraphError, ShapeError, UnsupportedOp
from unifront.ir.dims import DimExpr, minimum, symbol
from unifront.ir.facts import JOINED
from unifront.ir.graph import Graph, Literal, Node, Op, Value, bound_symbol, symbols_in
from unifront.ir.in_place import Update, updates_in, updates_of
from unifront.ir.layouts import (
    AS_THEY_LIE,
    Layouts,
    Storage,
    bodies,
    inside,
    lane_layout,
    lanes,
    spread,
    storage_of,
)
from unifront.ir.types import TensorType


def same_sizes(array: Any, layer: str, *sizes: Any) -> Any:
    """``array``; raises `ShapeError` unless ``sizes`` are equal."""
    if any(size != sizes[0] for size in sizes[1:]):
        raise ShapeError(unequal(layer, " and ".join(map(str, sizes))))
    return array


def unequal(layer: str, sizes: str) -> str:
    """What is said of sizes that were unknown to each other, and differ when they arrive."""
    return f"{layer}: its operands do not fit: sizes that should be equal are {sizes}."


@dataclass(frozen=True)
class Rows:
    """What `emit` needs of a backend.

    Args:
        table: the native callable of each operation, called with operands and attributes (and ``regions``).
        constant: NumPy array → native constant.
        size: native array, axis → the size of that axis.
        storage: (operation, operand position) → how a row wants that operand. The row always gets it so.
        reasons: why an operation has no row.
        in_place: operations that overwrite carried variables (`unifront.ir.passes.group_updates`). Their rows get
            the cells of what they replace, and give nothing.
        batched: operations that are quicker on lists of arrays in a step, and their rows on lists
            (`unifront.ir.passes.batch_elementwise`).
        over: operations that can write over their first operand, and their rows that do. They run where nothing is
            recorded for gradients, and where that operand is memory which nobody else sees or needs again.
        read: cell → its value.
        minimum: the smallest of several sizes, as ``size`` gives them, and ints.
        typed: ``(operation, operand types, attributes)`` → a row for these alone, quicker than that of ``table``.
        same: ``(array, layer, *sizes)``: the array, for an operation that wants the sizes equal; raises an error that
            names the layer unless they are. That it gives the array keeps the check before the operation, where a
            framework runs in any order what does not hang together.
    """

    backend: str
    table: Mapping[Op, Callable[..., Any]]
    constant: Callable[[np.ndarray], Any]
    size: Callable[[Any, int], Any]
    storage: Mapping[tuple[Op, int], Storage]
    reasons: Mapping[Op, str]
    minimum: Callable[..., Any] = min
    same: Callable[..., Any] = same_sizes
    in_place: Mapping[Op, Callable[..., None]] = field(default_factory=dict)
    read: Callable[[Any], Any] | None = None
    batched: Mapping[Op, Callable[..., Any]] = field(default_factory=dict)
    over: Mapping[Op, Callable[..., Any]] = field(default_factory=dict)
    typed: Callable[[Op, Sequence[TensorType | None], Mapping[str, Any]], Callable[..., Any]] | None = None


@dataclass(frozen=True)
class Program:
    """``function(inputs, variables) -> outputs`` (tuples of native arrays), and its source text.

    With operations in place it is ``function(inputs, variables, cells)``, where a cell is the backend's own handle
    of a variable; what was written in place is None among the outputs.

    ``storage`` gives the layout in which the function expects each variable of the graph (None: Keras's), and ``reads``
    whether it looks at its value; of another, such as a slot that is written in place, it may be given None.
    """

    function: Callable[..., tuple[Any, ...]]
    source: str
    storage: tuple[Storage | None, ...]
    reads: tuple[bool, ...]


def emit(
    graph: Graph,
    rows: Rows,
    *,
    stored: Mapping[str, Storage | None] | None = None,
    carry: Sequence[int] = (),
    records: bool = True,
) -> Program:
    """Write, compile and return the function of ``graph``.

    Args:
        stored: the layout of variables by name, where it is decided already; else `storage_of`.
        carry: the positions of the variables whose new values are the last outputs, which come in the variable's
            layout.
        records: whether somebody may record the calls for gradients; else rows of `Rows.over` are used.

    Raises `UnsupportedOp` naming the layer and the reason if an operation has no row.
    """
    layouts = storage_of(graph, rows.storage)
    if stored is not None:
        layouts = tuple(stored.get(v.name, own) for v, own in zip(graph.variables, layouts, strict=True))
    known = {v.value: s for v, s in zip(graph.variables, layouts, strict=True)}
    results = len(graph.outputs) - len(carry)
    writer = _Writer(
        graph,
        rows if not records else replace(rows, over={}),
        known,
        [*[None] * results, *(layouts[position] for position in carry)],
        results,
    )
    if writer.free:
        missing = ", ".join(writer.free)
        raise GraphError(f"Graph {graph.name!r}: no input has an axis of the size {missing} alone.")
    function, source = writer.program()
    return Program(function, source, layouts, tuple(v.value in writer.seen for v in graph.variables))


_SYMBOL = "D_"
"""Stands before the name of a symbol, which a user chose, so that it is no name of ours and no keyword."""


class _Writer:
    def __init__(
        self,
        graph: Graph,
        rows: Rows,
        layouts: Layouts,
        outputs: Sequence[Storage | None] = (),
        results: int | None = None,
        replaced: Container[int] = (),
    ) -> None:
        self.graph, self.rows, self.replaced = graph, rows, replaced
        self.layouts = layouts = spread(graph, layouts)
        self.output_layouts = list(outputs) or [None] * len(graph.outputs)
        self.results = len(graph.outputs) if results is None else results
        updates = updates_in(graph, rows.in_place)
        overwritten = {value for update in updates for value, _ in update}
        held = [v.value for v in graph.variables] + [value for value in graph.inputs if value in overwritten]
        self.cells = {value: f"c{value.id}" for value in held}
        self.written = {new for update in updates for _, new in update}
        self.seen: set[Value] = set()
        self.is_in_place = bool(updates)
        self.names: dict[str, Any] = {
            "size": rows.size, "min": rows.minimum, "same": rows.same, "partial": partial
        }  # fmt: skip
        self.lines: list[str] = []
        self.last_use: dict[Value, int] = {}
        self.read = {value for node in graph.nodes for value in node.operands if value is not None}
        self.read.update(v for i, v in enumerate(graph.outputs[: self.results]) if i not in replaced)
        for number, node in enumerate(graph.nodes):
            for value in node.operands:
                if value is not None:
                    self.last_use[value] = number
        for value in (*graph.outputs, *(v.value for v in graph.variables)):
            self.last_use.pop(value, None)
        self.uses = Counter(value for node in graph.nodes for value in node.operands)
        # Of several results one may be a view of another.
        self.new = {n.outputs[0] for n in graph.nodes if n.op.facts.fresh and len(n.outputs) == 1}
        self.regions = {number: list(self.writers(node)) for number, node in enumerate(graph.nodes)}
        used = self.used_symbols()
        self.known: dict[str, tuple[Value, int]] = {}
        for value in graph.inputs:
            for axis, dim in enumerate(value.type.shape):
                if isinstance(dim, DimExpr) and str(dim) in used:
                    self.known.setdefault(str(dim), (value, axis))
        self.free = sorted(used - self.known.keys() - {bound_symbol(node) for node in graph.nodes})
        """The symbols that no input has alone: those of a region are parameters of its function."""

    def writers(self, node: Node) -> Iterator[_Writer]:
        """What writes the regions of ``node``."""
        if node.op.name not in AS_THEY_LIE:
            for region in node.regions:
                yield _Writer(region, self.rows, {})
            return
        outputs, replaced = [], []
        if node.op.name == "cond":  # both branches give their results in one layout
            outputs = [self.layouts.get(value) for value in node.outputs]
            replaced = [i for i, value in enumerate(node.outputs) if value in self.written]
        for region, operands in bodies(node):
            layouts = inside(region, operands, self.layouts)
            yield _Writer(region, self.rows, layouts, outputs, replaced=replaced)

    def program(self) -> tuple[Callable[..., Any], str]:
        """The function and its source text."""
        source = self.write()
        code = compile(source, f"<unifront {self.rows.backend} {self.graph.name!a}>", "exec")
        exec(code, self.names)  # noqa: S102 the text is written just above, from checked names and numbers alone
        return self.names["program"], source

    def write(self) -> str:
        graph = self.graph
        self.unpack(graph.inputs, "inputs")
        self.unpack([variable.value for variable in graph.variables], "variables")
        if self.is_in_place:
            self.lines.append(f"{', '.join(self.cells.values())}, = cells")
        for name, (value, axis) in self.known.items():
            self.lines.append(f"{_SYMBOL}{name} = size(v{value.id}, {axis})")
        for number, node in enumerate(graph.nodes):
            self.node(number, node)
        outputs = [
            "None" if i >= self.results and value in self.written else self.operand(value, wanted)
            for i, (value, wanted) in enumerate(zip(graph.outputs, self.output_layouts, strict=True))
            if i not in self.replaced
        ]
        self.lines.append(f"return ({', '.join(outputs)},)" if outputs else "return ()")
        body = "\n".join(f"    {line}" for line in self.lines)
        cells = ["cells"] if self.is_in_place else []
        parameters = ", ".join(["inputs", "variables", *cells, *(_SYMBOL + name for name in self.free)])
        return f"def program({parameters}):\n{body}\n"

    def unpack(self, values: Any, source: str) -> None:
        if values:
            self.lines.append(f"{', '.join(f'v{value.id}' for value in values)}, = {source}")

    def used_symbols(self) -> set[str]:
        used = {name for regions in self.regions.values() for region in regions for name in region.free}

        for node in self.graph.nodes:
            if bound_symbol(node) is None:
                used |= symbols_in(node.attributes)
        return used

    def node(self, number: int, node: Node) -> None:
        if not node.outputs:
            return  # a branch that gives nothing: there are no effects to run it for
        if node.op.name == "constant":
            literal = node.attributes["value"]
            assert isinstance(literal, Literal)
            self.names[f"v{node.outputs[0].id}"] = self.rows.constant(literal.numpy())
            return
        updates = updates_of(node, self.rows.in_place)
        if node.op in self.rows.in_place:
            self.in_place(number, node, updates)
            return
        if node.op not in self.rows.table:
            reason = self.rows.reasons.get(node.op, "it has no row for it")
            raise UnsupportedOp(f"{node.where()}: the backend {self.rows.backend!r} cannot run it: {reason}.")
        bound = bound_symbol(node)
        # The symbol that a node binds has no value yet: it is given as what it is called.
        fixed = {k: v for k, v in node.attributes.items() if bound or not _has_symbols(v)}
        live = [f"{k}={_expression(v)}" for k, v in node.attributes.items() if k not in fixed]
        regions = self.regions[number]
        if any(region.free or region.is_in_place for region in regions):
            live.append(f"regions=({''.join(self.region(number, i, r) for i, r in enumerate(regions))})")
        elif regions:
            fixed["regions"] = tuple(region.program()[0] for region in regions)
        callee = f"{node.op.name}_{number}"
        wanted = self.wanted(node)
        unread = self.unread(node, regions) if updates else set()
        operands = [
            "None" if value in unread else self.operand(value, wanted[i])
            for i, value in enumerate(node.operands)
        ]
        row, place = self.rows.table[node.op], self.spent(node, wanted)
        if place is not None:
            row = self.rows.over[node.op]
            operands.insert(0, operands.pop(place))
        self.names[callee] = partial(row, **fixed) if fixed else row
        self.lines += self.checks(node)
        given = [value for value in node.outputs if not updates or value not in self.written]
        outputs = ", ".join(f"v{value.id}" for value in given) + "," * (len(given) > 1)
        comment = f"  # {node.name}" if node.name and node.name.isprintable() else ""
        call = f"{callee}({', '.join([*operands, *live])}){comment}"
        self.lines.append(f"{outputs} = {call}" if given else call)
        self.read_again(updates)
        if bound is not None:
            self.lines.append(f"{_SYMBOL}{bound} = size(v{node.outputs[0].id}, 0)")
        dead = sorted({f"v{v.id}" for v in node.operands if v is not None and self.last_use.get(v) == number})
        dead += [f"v{v.id}" for v in given if v not in self.last_use and v not in self.graph.outputs]
        dead = [name for name in dead if name not in self.names]
        if dead:
            self.lines.append(f"del {', '.join(dead)}")

    def checks(self, node: Node) -> Iterator[str]:
        """What holds the operands of ``node`` to sizes that the types do not show to be equal."""
        sizes: list[list[str]] = []
        if node.op.facts.elementwise or node.op.facts.follows is JOINED:
            sizes += _unknown(node)
        if node.op.facts.whole:
            sizes += _uncounted(node)
        if sizes:
            held = next(f"v{v.id}" for v in node.operands if v is not None and not v.type.is_static)
            for equal in sizes:
                yield f"{held} = same({held}, {node.where()!r}, {', '.join(equal)})"

    def spent(self, node: Node, wanted: Sequence[Storage | None]) -> int | None:
        """The place of the operand that ``node`` may write over: nothing else uses it, so no view of it is about."""
        if node.op not in self.rows.over:
            return None
        for place, value in enumerate(node.operands[: 1 + node.op.facts.commutes]):
            if (
                value in self.new
                and self.uses[value] == 1
                and value in self.last_use
                and value.type == node.outputs[0].type
                and value.type.dtype.is_float
                and self.layouts.get(value) is wanted[place]
            ):
                return place
        return None

    def wanted(self, node: Node) -> list[Storage | None]:
        """The layouts in which ``node`` takes its operands."""
        found = [self.rows.storage.get((node.op, i)) for i in range(len(node.operands))]
        if self.layouts:
            if node.op.name in AS_THEY_LIE:
                return [None if value is None else self.layouts.get(value) for value in node.operands]
            own: Layouts = {}
            for operands, _ in lanes(node):
                own.update(dict.fromkeys(operands, lane_layout(operands, self.layouts)))
            for i, value in enumerate(node.operands):
                if value is not None and found[i] is None:
                    found[i] = own.get(value)
        return found

    def in_place(self, number: int, node: Node, updates: Sequence[Update]) -> None:
        """A call that overwrites what the node replaces: the first and the later operands of each lane."""
        cells = {value: self.cells[value] for update in updates for value, _ in update}
        callee = f"{node.op.name}_{number}"
        self.names[callee] = partial(self.rows.in_place[node.op], **node.attributes)
        pairs = zip(node.operands, self.wanted(node), strict=True)
        given = [cells[v] if v in cells else self.operand(v, storage) for v, storage in pairs]
        self.lines.append(f"{callee}({', '.join(given)})")
        self.read_again(updates)

    def read_again(self, updates: Sequence[Update]) -> None:
        """Read what was overwritten where the new values are used."""
        for value, result in (pair for update in updates for pair in update):
            if result in self.read:
                self.names["read"] = self.rows.read
                self.lines.append(f"v{result.id} = {'read' if self.rows.read else ''}({self.cells[value]})")

    def unread(self, node: Node, regions: Sequence[_Writer]) -> set[Value | None]:
        """The operands that its branches overwrite, and do not look at."""
        return {
            value
            for i, value in enumerate(node.operands[1:])
            if any(region.graph.inputs[i] in region.cells for region in regions)
            and not any(region.graph.inputs[i] in region.seen for region in regions)
        }

    def region(self, number: int, i: int, region: _Writer) -> str:
        """The expression of the function of a region, which is given its free symbols and what it overwrites."""
        name = f"region_{number}_{i}"
        self.names[name] = region.program()[0]
        given = [f"{_SYMBOL}{s}={_SYMBOL}{s}" for s in region.free]
        if region.is_in_place:
            pairs = zip(region.graph.inputs, self.graph.nodes[number].operands[1:], strict=True)
            held = [value for own, value in pairs if own in region.cells and value is not None]
            cells = "".join(f"{self.cells[value]}, " for value in held)
            given.append(f"cells=({cells})")
        return f"partial({', '.join([name, *given])}), "

    def operand(self, value: Value | None, wanted: Storage | None) -> str:
        """The expression of ``value`` in the layout ``wanted`` (None: the canonical one)."""
        if value is None:
            return "None"
        self.seen.add(value)
        name, have = f"v{value.id}", self.layouts.get(value)
        if have is wanted:
            return name
        if have is not None:
            name = f"{self.helper(have.name, 'from', have.from_native)}({name})"
        if wanted is not None:
            name = f"{self.helper(wanted.name, 'to', wanted.to_native)}({name})"
        return name

    def helper(self, name: str, direction: str, function: Callable[[Any], Any]) -> str:
        count = 0
        while self.names.setdefault(f"{direction}_{name}_{count}", function) is not function:
            count += 1  # another layout of the same name
        return f"{direction}_{name}_{count}"


def _unknown(node: Node) -> list[list[str]]:
    """For each axis where operands that broadcast, or are joined, have sizes unknown to each other, what reads them."""
    found: list[list[str]] = []
    shape = node.outputs[0].type.shape
    if all(isinstance(dim, int) for dim in shape) and all(
        v is None or v.type.is_static for v in node.operands
    ):
        return found
    joins = node.op.facts.follows is JOINED
    for back, result in enumerate(reversed(shape), 1):
        reads: dict[str, str] = {}
        if joins and len(shape) - back == node.attributes["axis"]:
            continue
        for value in node.operands:
            if value is not None and value.type.rank >= back:
                dim = value.type.shape[-back]
                if joins or dim == result or not (dim == 1 or dim == minimum(1, result)):
                    reads.setdefault(str(dim), f"size(v{value.id}, {value.type.rank - back})")
        if len(reads) > 1:
            found.append(list(reads.values()))
    return found


def _uncounted(node: Node) -> list[list[str]]:
    """How many elements there are and how many there must be, where the types do not show that these are equal."""
    operand = node.operands[0]
    assert operand is not None
    total, wanted = operand.type.size, node.outputs[0].type.size
    return [] if total == wanted else [[_expression(total), _expression(wanted)]]


def _has_symbols(attribute: Any) -> bool:
    if isinstance(attribute, tuple):
        return any(_has_symbols(item) for item in attribute)
    return isinstance(attribute, DimExpr)


def _expression(attribute: Any) -> str:
    if isinstance(attribute, tuple):
        return f"({''.join(_expression(item) + ', ' for item in attribute)})"
    if isinstance(attribute, DimExpr):
        return str(attribute.substitute({name: symbol(_SYMBOL + name) for name in attribute.symbols()}))
    return repr(attribute)
