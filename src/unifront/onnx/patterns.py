"""What exporters write out, as the operation that it means: a table of rules, each tried at every node.

A rule is ``rule(node, see)`` and gives ``(operation, operands, attributes)`` for a node whose one result that is, a
value that stands for it, or None where it does not match. Rules look at nodes through `See`, upwards from the result;
what is not read any more goes by itself. The rules are small, and work on each other's results: a layer
normalization is found first without scale and bias, which then join it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from unifront.ir.graph import Graph, Literal, Node, Value
from unifront.ir.passes.dead_code import without_dead_code
from unifront.ir.passes.rewrite import Result, Rewriter, Values, in_regions
from unifront.onnx import batch_stats, fused
from unifront.onnx.batch_stats import channel_of, normalized
from unifront.opset.spec import OPS
from unifront.reference import evaluate

New = tuple[str, tuple[Value | None, ...], Mapping[str, Any]]
Rule = Callable[[Node, "See"], "New | Value | None"]


class See:
    """The nodes of a graph as it is being written."""

    def __init__(self, writer: Rewriter) -> None:
        self._writer = writer
        self._makers: dict[Value, Node] = {}
        self._seen = 0
        self._users: Mapping[Value, Any] | None = None
        self.weights = {variable.value for variable in writer.graph.variables}

    def maker(self, value: Value | None, *ops: str) -> Node | None:
        """The node that makes ``value``, if it is of one of these operations."""
        for node in self._writer.nodes[self._seen :]:
            self._makers.update(dict.fromkeys(node.outputs, node))
        self._seen = len(self._writer.nodes)
        found = None if value is None else self._makers.get(value)
        return found if found is not None and (not ops or found.op.name in ops) else None

    def array(self, value: Value | None) -> np.ndarray | None:
        """A constant."""
        node = self.maker(value, "constant")
        if node is None:
            return None
        literal = node.attributes["value"]
        assert isinstance(literal, Literal)
        return literal.numpy()

    def number(self, value: Value | None) -> float | None:
        """A constant of one element."""
        array = self.array(value)
        return (
            float(array.reshape(()))
            if array is not None and array.size == 1 and array.dtype.kind == "f"
            else None
        )

    def add(
        self, op: str, operands: tuple[Value | None, ...], attributes: Mapping[str, Any], node: Node
    ) -> Value:
        """The result of a new node, of the layer of ``node``."""
        (found,) = self.add_all(op, operands, attributes, node)
        return found

    def add_all(
        self, op: str, operands: tuple[Value | None, ...], attributes: Mapping[str, Any], node: Node
    ) -> tuple[Value, ...]:
        """The results of a new node, of the layer of ``node``."""
        return self._writer.add(OPS[op], operands, attributes, node.name)

    def squared(self, node: Node | None) -> Value | None:
        """What is squared by ``node``."""
        if node is None:
            return None
        if node.op.name == "square":
            return node.operands[0]
        if node.op.name == "multiply" and node.operands[0] is node.operands[1]:
            return node.operands[0]
        return node.operands[0] if node.op.name == "power" and self.number(node.operands[1]) == 2 else None

    def inverse_root(self, value: Value | None) -> Node | None:
        """The node of which ``value`` is one over the square root."""
        made = self.maker(value, "rsqrt", "reciprocal", "divide")
        if made is None or made.op.name == "rsqrt":
            return made
        if made.op.name == "divide" and self.number(made.operands[0]) != 1:
            return None
        return self.maker(made.operands[-1], "sqrt")

    def mean(self, value: Value | None) -> tuple[Node, tuple[int, ...]] | None:
        """The mean that ``value`` is, with its axes kept; and these, which are the last ones, or all but one."""
        made = self.maker(value, "mean", "reshape", "expand_dims")
        if made is not None and made.op.name != "mean":
            made = self.maker(made.operands[0], "mean")
        x = None if made is None else made.operands[0]
        if made is None or x is None or value is None:
            return None
        axes, rank = tuple(made.attributes["axes"]), x.type.rank
        kept = tuple(1 if axis in axes else dim for axis, dim in enumerate(x.type.shape))
        meant = axes and (_are_last(axes, rank) or channel_of(axes, rank) is not None)
        return (made, axes) if meant and value.type.shape == kept else None

    def readers(self, value: Value) -> int:
        """How often ``value`` is read in the graph as it was, its outputs among them."""
        if self._users is None:
            self._users = self._writer.graph.users()
        return len(self._users.get(value, ())) + self._writer.graph.outputs.count(value)

    def split(self, node: Node | None) -> tuple[Value, float] | None:
        """The operand and the number of an operation that has one of each, in either order."""
        if node is None or len(node.operands) != 2:
            return None
        for one, other in (node.operands, node.operands[::-1]):
            number = self.number(other)
            if one is not None and number is not None:
                return one, number
        return None


def find_patterns(graph: Graph, values: Values) -> Result:
    """``graph`` with the rules applied as often as they match."""
    after = graph
    while (found := _once(after)) is not after:
        after = found
    return after, values, after is not graph


def _once(graph: Graph) -> Graph:
    writer = Rewriter(graph)
    see = See(writer)
    for node in graph.nodes:
        kept = writer.keep(in_regions(lambda body: find_patterns(body, {})[0], node))
        for rule in RULES.get(node.op.name, ()):
            found = rule(kept, see)
            if found is None:
                continue
            if isinstance(found, tuple):
                op, operands, attributes = found
                (found,) = writer.add(OPS[op], operands, attributes, node.name)
            if found.type == node.outputs[0].type:
                writer.replace(node.outputs[0], found)
                break
    return without_dead_code(writer.finish())


# ---------------------------------------------------------------- axes that come and go


def _squeeze(node: Node, see: See) -> Value | None:
    made = see.maker(node.operands[0], "expand_dims")
    same = made is not None and made.attributes["axes"] == node.attributes["axes"]
    return made.operands[0] if made is not None and same else None


def _merged_stack(node: Node, see: See) -> New | None:
    """``reshape(stack(xs, k))`` that joins axis ``k`` with the one behind it is ``concatenate(xs, k)``."""
    moved = see.maker(node.operands[0], "transpose")
    made = see.maker(moved.operands[0] if moved is not None else node.operands[0], "stack")
    if made is None or node.operands[0] is None:
        return None
    shape, rank = node.operands[0].type.shape, node.operands[0].type.rank
    axis = made.attributes["axis"]
    order = tuple(range(rank)) if moved is None else moved.attributes["axes"]
    place = order.index(axis)
    rest = tuple(a - (a > axis) for a in order if a != axis)
    merged = place + 1 < rank and node.attributes["shape"] == (
        *shape[:place], shape[place] * shape[place + 1], *shape[place + 2 :],
    )  # fmt: skip
    if not merged or rest != tuple(range(rank - 1)):
        return None
    return "concatenate", made.operands, {"axis": place}


# ---------------------------------------------------------------- products


def _dense(node: Node, see: See) -> New | None:
    """``x · kernel + bias`` of weights is a dense layer."""
    for one, bias in (node.operands, node.operands[::-1]):
        made = see.maker(one, "matmul")
        if made is None or bias not in see.weights or made.operands[1] not in see.weights:
            continue
        kernel = made.operands[1]
        assert kernel is not None
        assert bias is not None
        if kernel.type.rank == 2 and bias.type.shape == kernel.type.shape[1:]:
            return "dense", (made.operands[0], kernel, bias), {}
    return None


# ---------------------------------------------------------------- normalizations


def _are_last(axes: tuple[int, ...], rank: int) -> bool:
    return axes == tuple(range(rank - len(axes), rank))


def _over_deviation(node: Node, see: See) -> tuple[Value, Value, tuple[int, ...], float] | None:
    """``(x, y, axes, epsilon)`` of ``x / sqrt(mean(y²) + epsilon)``, as a quotient or a product."""
    for x, below in (node.operands, node.operands[::-1]):
        if node.op.name == "divide":
            if below is not node.operands[1]:
                continue
            root = see.maker(below, "sqrt")
        else:
            root = see.inverse_root(below)
        split = see.split(see.maker(root.operands[0], "add")) if root is not None else None
        found = see.mean(split[0]) if split is not None else None
        y = see.squared(see.maker(found[0].operands[0])) if found is not None else None
        if x is not None and y is not None and found is not None and split is not None:
            return x, y, found[1], split[1]
    return None


def _norm(node: Node, see: See) -> New | Value | None:
    found = _over_deviation(node, see)
    if found is None:
        return None
    x, y, axes, epsilon = found
    less = see.maker(x, "subtract")
    mean = see.mean(less.operands[1]) if less is not None else None
    if less is not None and mean is not None:
        own = mean[0].operands[0] is less.operands[0] and mean[1] == axes
        other = see.maker(y, "subtract")
        same = x is y or (other is not None and other.operands == less.operands)
        base = less.operands[0]
        if own and same and base is not None:
            axis = channel_of(axes, x.type.rank)
            if axis is not None:
                return normalized(base, axis, epsilon, node, see)
            return "layer_norm", (base, None, None), {"axes": axes, "epsilon": epsilon}
    is_root = x is y and _are_last(axes, x.type.rank)
    return ("rms_norm", (x, None), {"axes": axes, "epsilon": epsilon}) if is_root else None


def _norm_scale(node: Node, see: See) -> New | None:
    """A vector that multiplies a normalization is its scale."""
    for one, vector in (node.operands, node.operands[::-1]):
        made = see.maker(one, "layer_norm", "rms_norm")
        if made is not None and made.operands[1] is None and _fits(made, vector):
            x, _, *rest = made.operands
            if rest and rest[0] is not None:
                continue
            return made.op.name, (x, vector, *rest), made.attributes
    return None


def _norm_bias(node: Node, see: See) -> New | None:
    """A vector that is added to it is its bias."""
    for one, vector in (node.operands, node.operands[::-1]):
        made = see.maker(one, "layer_norm")
        if made is not None and made.operands[2] is None and _fits(made, vector):
            return "layer_norm", (*made.operands[:2], vector), made.attributes
    return None


def _fits(made: Node, vector: Value | None) -> bool:
    x = made.operands[0]
    return (
        x is not None
        and vector is not None
        and vector.type.shape == tuple(x.type.shape[axis] for axis in made.attributes["axes"])
    )


# ---------------------------------------------------------------- activations

_ARITHMETIC = ("add", "subtract", "multiply", "divide", "negative", "power", "square")
_POINTS = np.concatenate([np.linspace(-12, 12, 241), [-1e3, -50.0, 1e-3, 50.0, 1e3]])
_CLOSE = 2e-6
"""How near the numbers are: the constants in files are float32."""
_LONGEST = 16
ACTIVATIONS: tuple[tuple[str, str, Mapping[str, Any]], ...] = (
    ("erf", "gelu", {"approximate": False}),
    ("tanh", "gelu", {"approximate": True}),
    ("sigmoid", "silu", {}),
)
"""A function of the first operation, once, and arithmetic that is the second one wherever both are computed is that."""


def _activation(node: Node, see: See) -> New | None:
    """A product of ``x`` and a function of it that is an activation.

    The nodes are arithmetic with numbers around one ``erf``, ``tanh`` or ``sigmoid``: functions that are analytic, so
    that those which agree on two hundred points are the same up to the rounding of the numbers in them.
    """
    part: list[Node] = []
    inputs: dict[Value, None] = {}
    stack: list[Value | None] = list(node.outputs)
    while stack:
        value = stack.pop()
        made = see.maker(value, *_ARITHMETIC, *(first for first, _, _ in ACTIVATIONS))
        if value is not None and see.number(value) is not None:
            continue
        if made is None or len(part) > _LONGEST:
            inputs[value] = None  # type: ignore[index]  # no operation of these leaves an operand out
        elif made not in part:
            part.append(made)
            stack += made.operands
    kinds = [one.op.name for one in part if one.op.name not in _ARITHMETIC]
    if len(kinds) != 1 or len(inputs) != 1:
        return None
    (x,) = inputs
    if x.type != node.outputs[0].type:
        return None
    found = _computed(node, part, x, see)
    for first, op, attributes in ACTIVATIONS:
        if first == kinds[0]:
            (wanted,) = evaluate(Node(OPS[op], (x,), (), attributes), [_POINTS])
            if np.allclose(found, wanted, rtol=_CLOSE, atol=_CLOSE):
                return op, (x,), attributes
    return None


def _computed(node: Node, part: list[Node], x: Value, see: See) -> np.ndarray:
    """What the nodes make of the points, in float64."""
    known: dict[Value | None, np.ndarray] = {x: _POINTS}

    def value_of(value: Value | None) -> np.ndarray:
        if value not in known:
            number = see.number(value)
            made = see.maker(value)
            if number is not None:
                known[value] = np.asarray(number)
            else:
                assert made is not None
                operands = [value_of(operand) for operand in made.operands]
                (known[value],) = evaluate(Node(made.op, made.operands, (), made.attributes), operands)
        return known[value]

    with np.errstate(all="ignore"):
        return value_of(node.outputs[0])


RULES: Mapping[str, tuple[Rule, ...]] = {
    "squeeze": (_squeeze,),
    "reshape": (_merged_stack, fused.group_norm),
    "add": (_dense, _norm_bias, fused.group_scale, batch_stats.scaled, batch_stats.folded),
    "multiply": (_norm, _norm_scale, fused.group_scale, batch_stats.scaled, _activation),
    "matmul": (fused.attention,),
    "divide": (_norm,),
}
"""By the operation of the node whose result is replaced."""
