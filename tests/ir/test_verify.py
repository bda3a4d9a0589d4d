"""Every rule of the graph, broken once."""

from dataclasses import replace

import pytest

from tests.ir.graphs import ALL_OPS, APPLY, BATCH, tiny, with_body
from unifront.dtypes import float32
from unifront.errors import GraphError
from unifront.ir.graph import Graph, Node, Value, Variable
from unifront.ir.types import TensorType
from unifront.ir.verify import verify
from unifront.opset.spec import OPS

VECTOR = TensorType(float32, (3,))
X, Y, Z = (Value(i, VECTOR) for i in range(3))


def relu(operand, result, name="layer"):
    return Node(OPS["relu"], (operand,), (result,), name=name)


GOOD = Graph("good", (X,), (Variable("w", Y),), (relu(X, Z),), (Z,), ("x",), ("z",))


@pytest.mark.parametrize("graph", [GOOD, tiny(), with_body()], ids=["good", "tiny", "body"])
def test_good_graphs_come_back(graph):
    assert verify(graph) is graph


def _body(region, types=(VECTOR,)):
    return replace(GOOD, nodes=(Node(APPLY, (X,), (Z,), {}, (region,), "layer"),))


BROKEN = {
    "axis counted from the end": (
        replace(GOOD, nodes=(Node(OPS["softmax"], (X,), (Z,), {"axis": -1}, name="layer"),)),
        "layer: softmax: softmax: axis is counted from the front, unlike -1",
    ),
    "axes counted from the end": (
        replace(GOOD, nodes=(Node(OPS["flip"], (X,), (Z,), {"axes": (-1,)}, name="layer"),)),
        r"layer: flip: flip: axes is counted from the front, unlike \(-1,\)",
    ),
    "value defined twice": (
        replace(GOOD, nodes=(relu(X, Z), relu(X, Z))),
        "layer: relu: the value %2 is defined twice",
    ),
    "input defined twice": (
        replace(GOOD, inputs=(X, X), input_names=("a", "b")),
        "input 'b': the value %0 is defined",
    ),
    "same number, other type": (
        replace(GOOD, variables=(Variable("w", Value(0, TensorType(float32))),)),
        "variable 'w': the value %0 is defined twice",
    ),
    "use before definition": (
        replace(GOOD, nodes=(relu(Z, Value(5, VECTOR)), relu(X, Z))),
        "the operand %2 is used before",
    ),
    "use with another type": (
        replace(GOOD, nodes=(relu(Value(0, TensorType(float32)), Z),)),
        "the operand %0 is used before it is defined",
    ),
    "undefined output": (replace(GOOD, nodes=()), "output 'z' of graph 'good' is %2, which nothing defines"),
    "inputs of one name": (
        replace(GOOD, inputs=(X, Value(9, VECTOR)), input_names=("x", "x")),
        "two inputs called 'x'",
    ),
    "outputs of one name": (replace(GOOD, outputs=(Z, Z), output_names=("z", "z")), "two outputs called 'z'"),
    "variables of one name": (
        replace(GOOD, variables=(Variable("w", Y), Variable("w", Value(9, VECTOR)))),
        "two variables called 'w'",
    ),
    "symbolic variable": (
        replace(GOOD, variables=(Variable("w", Value(1, TensorType(float32, (BATCH,)))),)),
        r"Variable 'w' has the symbolic type float32\[batch\]",
    ),
    "wrong output type": (
        replace(GOOD, nodes=(relu(X, Value(2, TensorType(float32, (4,)))),)),
        r"layer: relu: the outputs are \[float32\[4\]\], the type rule says \[float32\[3\]\]",
    ),
    "too many outputs": (
        replace(GOOD, nodes=(Node(OPS["relu"], (X,), (Z, Value(7, VECTOR))),)),
        "graph: relu: the outputs are",
    ),
    "unknown attribute": (
        replace(GOOD, nodes=(Node(OPS["relu"], (X,), (Z,), {"slope": 1}),)),
        r"relu takes the attributes \[\]; given were \['slope'\]",
    ),
    "attribute of another type": (
        replace(GOOD, nodes=(Node(OPS["elu"], (X,), (Z,), {"alpha": "1"}),)),
        "elu: alpha is a float, not '1'",
    ),
    "operand missing": (replace(GOOD, nodes=(Node(OPS["add"], (X,), (Z,)),)), "graph: add: .*missing"),
    "operand absent": (replace(GOOD, nodes=(Node(OPS["add"], (X, None), (Z,)),)), "graph: add: "),
    "rule refuses": (
        replace(GOOD, nodes=(Node(OPS["sum"], (X,), (Z,), {"axes": (7,), "keepdims": True}, name="a/b"),)),
        "a/b: sum: ",
    ),
    "broken body": (_body(replace(GOOD, variables=(), nodes=())), "which nothing defines"),
    "body with variables": (_body(GOOD), "layer: apply: its region 'good' has variables"),
}


@pytest.mark.parametrize(("graph", "match"), BROKEN.values(), ids=BROKEN)
def test_broken_graphs_are_refused(graph, match):
    with pytest.raises(GraphError, match=match):
        verify(graph)


@pytest.mark.parametrize("op", ALL_OPS.values(), ids=ALL_OPS)
@pytest.mark.parametrize("operands", [(), (None,), (X,), (None, X), (X, X, X, X)], ids=len)
def test_senseless_operands_are_a_graph_error_whatever_the_operation(op, operands):
    defaults = {int: 0, float: 0.5, bool: True, str: "x", tuple: (0,)}
    attributes = {
        name: defaults.get(kind[0] if isinstance(kind, tuple) else kind)
        for name, kind in op.attributes.items()
    }
    node = Node(op, operands, (Value(9, TensorType(float32, (77, 77))),), attributes)
    with pytest.raises(GraphError):
        verify(Graph("senseless", (X,), (), (node,), ()))
