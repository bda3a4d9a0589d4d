"""Fewer transposes and reshapes: they are carried towards the outputs, where they meet and cancel."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from unifront.ir.dims import Dim
from unifront.ir.facts import Order
from unifront.ir.graph import Graph, Node, Op, Value
from unifront.ir.passes.dead_code import without_dead_code
from unifront.ir.passes.rewrite import Result, Rewriter, Values, in_regions, with_nodes


def simplify_layout(graph: Graph, values: Values, *, ops: Mapping[str, Op]) -> Result:
    """``graph`` with at most as many transposes as before, and no reshape of a reshape.

    A transpose is carried through elementwise operations, reductions, concatenations and whatever else can
    follow a change of axes (`Facts.follows`), to one that undoes it or an operation that needs its result.

    Args:
        ops: operations by name; ``transpose`` and ``reshape`` are taken from there.
    """
    after = _simplified(graph, ops)
    return after, values, after is not graph


def _simplified(graph: Graph, ops: Mapping[str, Op]) -> Graph:
    inner = with_nodes(graph, [in_regions(lambda body: _simplified(body, ops), node) for node in graph.nodes])
    if not any(node.op.name in ("transpose", "reshape") for node in inner.nodes):
        return inner
    after = without_dead_code(_Layouts(inner, ops, carry=False).rewrite())
    if _transposes(inner):
        carried = without_dead_code(_Layouts(inner, ops, carry=True).rewrite())
        after = carried if _transposes(carried) <= _transposes(after) else after
    return inner if after == inner else after


def _transposes(graph: Graph) -> int:
    return sum(node.op.name == "transpose" for node in graph.nodes)


@dataclass(frozen=True)
class _Place:
    """An old value as ``transpose(base, order)`` of a new one; ``name``: of the layer that transposed it."""

    base: Value
    order: Order
    name: str = ""

    @property
    def is_plain(self) -> bool:
        return self.order == tuple(range(len(self.order)))

    @property
    def moves_ones_only(self) -> bool:
        """Whether the elements stay in their order in memory."""
        wide = [axis for axis in self.order if self.base.type.shape[axis] != 1]
        return wide == sorted(wide)


class _Layouts:
    def __init__(self, graph: Graph, ops: Mapping[str, Op], carry: bool) -> None:
        self.writer, self.ops, self.carry = Rewriter(graph), ops, carry
        self.places: dict[Value, _Place] = {}
        self.transposed: dict[tuple[Value, Order], Value] = {}
        self.reshaped: dict[Value, Value] = {}

    def rewrite(self) -> Graph:
        for node in self.writer.graph.nodes:
            if node.op.name == "transpose":
                self.transpose(node)
            elif node.op.name == "reshape":
                self.reshape(node)
            elif not (self.carry and (self.follow(node) or self.elementwise(node))):
                for value in node.operands:
                    self.plain(value)
                self.writer.keep(node)
        for value in self.writer.graph.outputs:
            self.plain(value)
        return self.writer.finish()

    def place(self, value: Value) -> _Place:
        now = self.writer.now(value)
        return self.places.get(value) or _Place(now, tuple(range(now.type.rank)))

    def plain(self, value: Value | None) -> Value | None:
        """``value`` in its own order of axes, transposed now if it has to be."""
        if value is None:
            return None
        place = self.place(value)
        new = place.base
        if not place.is_plain:
            made = (place.base, place.order)
            if made not in self.transposed:
                (self.transposed[made],) = self.writer.add(
                    self.ops["transpose"], (place.base,), {"axes": place.order}, place.name
                )
            new = self.transposed[made]
        self.writer.replace(value, new)
        return new

    def transpose(self, node: Node) -> None:
        (operand,) = node.operands
        assert operand is not None
        place = self.place(operand)
        order = tuple(place.order[axis] for axis in node.attributes["axes"])
        self.places[node.outputs[0]] = _Place(place.base, order, place.name or node.name)

    def reshape(self, node: Node) -> None:
        (operand,) = node.operands
        assert operand is not None
        place = self.place(operand)
        source = place.base if place.moves_ones_only else self.plain(operand)
        assert source is not None
        source = self.reshaped.get(source, source)
        (old,) = node.outputs
        if source.type == old.type:
            self.writer.replace(old, source)
            return
        (new,) = self.writer.add(node.op, (source,), node.attributes, node.name)
        self.writer.replace(old, new)
        self.reshaped[new] = source

    def follow(self, node: Node) -> bool:
        """Run ``node`` on untransposed operands if its kind allows."""
        rule = node.op.facts.follows
        if rule is None:
            return False
        count = len(node.operands) if rule.operands is None else rule.operands
        places = [self.place(value) for value in node.operands[:count] if value is not None]
        orders = {place.order for place in places}
        if len(orders) != 1 or len(places) < count or places[0].is_plain:
            return False
        order = places[0].order
        attributes = rule.attributes(node, order)
        if attributes is None:
            return False
        rest = [self.plain(value) for value in node.operands[count:]]
        operands = [*(place.base for place in places), *rest]
        self.done(node, operands, attributes, rule.order(node, order), places[0].name)
        return True

    def elementwise(self, node: Node) -> bool:
        """Run an elementwise ``node`` on untransposed operands if the others are scalars or vectors."""
        if not node.op.facts.elementwise:
            return False
        rank = node.outputs[0].type.rank
        values = [value for value in node.operands if value is not None]
        moved = [p for p in map(self.place, values) if not p.is_plain and len(p.order) == rank]
        if len({place.order for place in moved}) != 1:
            return False
        order = moved[0].order
        if any(self.place(value).order != order and _breadth(value) > 1 for value in values):
            return False
        operands = [self.aligned(value, order, node.name) for value in node.operands]
        self.done(node, operands, node.attributes, order, moved[0].name)
        return True

    def aligned(self, value: Value | None, order: Order, name: str) -> Value | None:
        """An operand of an elementwise operation as it stands beside untransposed ones."""
        if value is None:
            return None
        place = self.place(value)
        if place.order == order:
            return place.base
        plain = self.plain(value)
        if plain is None or _breadth(value) == 0:
            return plain
        shape = (1,) * (len(order) - value.type.rank) + value.type.shape
        sizes: dict[int, Dim] = dict(zip(order, shape, strict=True))
        (new,) = self.writer.add(
            self.ops["reshape"], (plain,), {"shape": tuple(sizes[axis] for axis in range(len(order)))}, name
        )
        return new

    def done(
        self,
        node: Node,
        operands: list[Value | None],
        attributes: Mapping[str, object],
        order: Order,
        name: str,
    ) -> None:
        results = self.writer.add(node.op, operands, attributes, node.name, node.regions)
        for old, new in zip(node.outputs, results, strict=True):
            place = _Place(new, order, name)
            self.places[old] = place
            if place.is_plain:
                self.writer.replace(old, new)


def _breadth(value: Value) -> int:
    """How many axes are not 1 long: with at most one, a transpose is a reshape."""
    return sum(dim != 1 for dim in value.type.shape)
