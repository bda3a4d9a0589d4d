"""Graphs to test with: hand-built ones, an operation that has a body, and random small ones."""

import numpy as np
from hypothesis import strategies as st

from unifront import ops
from unifront.dtypes import float32, float64
from unifront.errors import ShapeError
from unifront.ir import facts
from unifront.ir.dims import symbol
from unifront.ir.emit import Rows, emit
from unifront.ir.graph import Graph, Node, Value, Variable
from unifront.ir.types import TensorType
from unifront.opset.spec import OPS, OpSpec
from unifront.opset.tensor import Builder
from unifront.reference import BACKEND, row_of

BATCH, TIME = symbol("batch"), symbol("time")


def _apply_rule(*types, regions):
    (body,) = regions
    if tuple(value.type for value in body.inputs) != types:
        raise ShapeError("apply: the operands are not the inputs of the body.")
    return tuple(value.type for value in body.outputs)


APPLY = OpSpec(
    "apply",
    rule=_apply_rule,
    reference=lambda *operands, regions: regions[0](operands, ())[0],
    samples=lambda rng: [],
    source="calls its body once",
    facts=facts.opaque("half"),
)
ALL_OPS = {**OPS, "apply": APPLY}


def rows():
    """NumPy's table, and `APPLY`."""
    base = BACKEND.rows()
    return Rows("numpy", {**base.table, APPLY: row_of(APPLY)}, base.constant, base.size, {}, {})


def run(graph, inputs=(), variables=()):
    """The outputs of ``graph`` on NumPy."""
    with np.errstate(all="ignore"):
        return emit(graph, rows()).function(tuple(inputs), tuple(variables))


def tiny():
    """relu(x * kernel + 2) with a free batch, a variable and a constant."""
    builder = Builder("tiny")
    x = builder.input("x", TensorType(float32, (BATCH, 3)))
    kernel = builder.new(TensorType(float32, (3,)))
    (product,) = builder.add(OPS["multiply"], (x.value, kernel), {}, name="layer")
    result = ops.relu(ops.add(product, np.float32(2)))
    return builder.graph([result], ["y"], [Variable("layer/kernel", kernel)])


def with_body():
    """A graph whose one node has a body, whose node has a body."""
    inner = tiny_body()
    type_ = inner.inputs[0].type
    a, b = Value(5, type_), Value(3, type_)
    middle = Graph("middle", (a,), (), (Node(APPLY, (a,), (b,), {}, (inner,), "in"),), (b,))
    x, y = Value(0, type_), Value(7, type_)
    return Graph("outer", (x,), (), (Node(APPLY, (x,), (y,), {}, (middle,), "out"),), (y,))


def tiny_body():
    builder = Builder("body")
    x = builder.input("x", TensorType(float64, (2, 3)))
    return builder.graph([ops.tanh(ops.add(x, x))])


UNARY = ("negative", "tanh", "relu", "abs", "square")
BINARY = ("add", "subtract", "multiply", "maximum", "minimum")


@st.composite
def random_graphs(draw, constants=True):
    """Small graphs over [2, 3] float64 values, with values nobody reads, equal nodes and constants."""
    builder = Builder("random")
    type_ = TensorType(float64, (2, 3))
    found = [builder.input(f"x{i}", type_) for i in range(draw(st.integers(1, 2)))]
    if constants:
        found += [
            builder.constant(np.full((2, 3), float(number)))
            for number in draw(st.lists(st.integers(-2, 2), max_size=2))
        ]
    for number in range(draw(st.integers(0, 10))):
        pick = st.integers(0, len(found) - 1)
        if draw(st.booleans()):
            op, operands = draw(st.sampled_from(UNARY)), [found[draw(pick)]]
        else:
            op, operands = draw(st.sampled_from(BINARY)), [found[draw(pick)], found[draw(pick)]]
        found += builder.add(OPS[op], [o.value for o in operands], {}, name=f"n{number}")
    outputs = [found[i] for i in draw(st.lists(st.integers(0, len(found) - 1), min_size=1, max_size=3))]
    return builder.graph(outputs)


def arrays_for(graph, seed=0, batch=2):
    """Random inputs for ``graph``, every symbol being ``batch``."""
    rng = np.random.default_rng(seed)
    sizes = dict.fromkeys(graph.symbols, batch)
    types = [value.type for value in graph.bind_symbols(sizes).inputs]
    return [rng.normal(size=t.shape).astype(t.dtype.numpy) for t in types]


def names(graph):
    """The names of the operations in order, without constants."""
    return [node.op.name for node in graph.nodes if node.op.name != "constant"]
