"""The graph itself: numbering, users, symbols, literals."""

import copy
import pickle
from dataclasses import replace

import numpy as np
import pytest

from tests.ir.graphs import APPLY, BATCH, TIME, run, tiny, tiny_body, with_body
from unifront.dtypes import float32
from unifront.errors import GraphError
from unifront.ir.graph import Graph, Literal, Node, Value
from unifront.ir.types import TensorType
from unifront.ir.verify import verify
from unifront.opset.spec import OPS


def test_graphs_are_equal_whatever_the_numbers():
    graph = tiny()
    shifted = graph.with_values(lambda value: Value(value.id * 7 + 3, value.type))
    assert shifted == graph
    assert hash(shifted) == hash(graph)
    assert str(shifted) == str(graph)
    assert [value.id for value in shifted.renumbered().values()] == list(range(len(list(graph.values()))))


def _changed(**parts):
    return lambda graph: replace(graph, **{name: change(graph) for name, change in parts.items()})


def _last(**parts):
    return _changed(nodes=lambda g: (*g.nodes[:-1], replace(g.nodes[-1], **parts)))


OTHERS = {
    "name": _changed(name=lambda g: "other"),
    "input name": _changed(input_names=lambda g: ("z",)),
    "output": _changed(outputs=lambda g: g.inputs),
    "number of outputs": _changed(outputs=lambda g: g.outputs * 2, output_names=lambda g: ()),
    "trainable": _changed(variables=lambda g: (replace(g.variables[0], trainable=False),)),
    "number of nodes": _changed(nodes=lambda g: g.nodes[:-1], outputs=lambda g: g.nodes[-2].outputs),
    "operation": _last(op=OPS["abs"]),
    "layer": _last(name="other"),
    "attributes": _last(attributes={"slope": 1}),
    "operand": _changed(
        nodes=lambda g: (*g.nodes[:-1], replace(g.nodes[-1], operands=g.nodes[1].outputs)),
    ),
    "bodies": _last(regions=(tiny_body(),)),
    "type": lambda g: g.with_values(lambda v: Value(v.id, v.type.with_dtype("float64"))),
}


@pytest.mark.parametrize("change", OTHERS.values(), ids=OTHERS)
def test_graphs_that_differ_are_not_equal(change):
    assert change(tiny()) != tiny()


def test_values_and_nodes_are_compared_by_identity():
    x = Value(0, TensorType(float32))
    assert x != Value(0, TensorType(float32))
    node = tiny().nodes[-1]
    assert node != replace(node)


@pytest.mark.parametrize(
    "copied", [copy.deepcopy, lambda g: pickle.loads(pickle.dumps(g))], ids=["deep", "pickle"]
)
@pytest.mark.parametrize("graph", [tiny(), tiny_body()], ids=["tiny", "body"])
def test_copies_share_values_and_operations(graph, copied):
    """A value is one object, wherever it is read; operations are those of the process."""
    before, after = copied((graph.outputs, graph))
    assert after == graph
    assert before[0] is after.outputs[0]
    verify(after)
    assert all(a.op is b.op for a, b in zip(after.nodes, graph.nodes, strict=True))
    assert all(a.type.dtype is b.type.dtype for a, b in zip(after.values(), graph.values(), strict=True))


def test_operations_are_copied_as_themselves():
    for spec in (OPS["conv"], APPLY):
        assert copy.copy(spec) is spec
        assert copy.deepcopy([spec])[0] is spec
    assert pickle.loads(pickle.dumps(OPS["conv"])) is OPS["conv"]
    with pytest.raises(GraphError, match="<op apply> is not registered"):
        pickle.dumps(APPLY)


def test_bodies_are_renumbered_too():
    graph = with_body()
    body = graph.renumbered().nodes[0].regions[0]
    assert [value.id for value in body.values()] == [0, 1]
    assert graph.renumbered().renumbered() == graph.renumbered()


def test_names_of_inputs_and_outputs_have_defaults():
    value = Value(0, TensorType(float32))
    graph = Graph("g", (value,), (), (), (value,))
    assert (graph.input_names, graph.output_names) == (("input_0",), ("output_0",))


def test_users_and_producers():
    graph = tiny_body()
    add, tanh = graph.nodes
    assert graph.users()[graph.inputs[0]] == [(add, 0), (add, 1)]
    assert graph.producers() == {add.outputs[0]: add, tanh.outputs[0]: tanh}


def test_symbols_are_bound_in_types_attributes_and_bodies():
    x, y = Value(0, TensorType(float32, (BATCH, TIME))), Value(1, TensorType(float32, (BATCH * TIME,)))
    node = Node(OPS["reshape"], (x,), (y,), {"shape": (BATCH * TIME,)})
    graph = Graph("g", (x,), (), (node,), (y,))
    assert graph.symbols == {"batch", "time"}
    bound = graph.bind_symbols({"time": 4})
    assert bound.outputs[0].type.shape == (4 * BATCH,)
    assert bound.nodes[0].attributes["shape"] == (4 * BATCH,)
    assert bound.symbols == {"batch"}


@pytest.mark.parametrize(
    "array",
    [
        np.float32(2.5),
        np.zeros((0, 2)),
        np.array([True, False]),
        np.arange(6, dtype=">f4").reshape(2, 3),
        np.arange(6.0).reshape(2, 3).T,
        np.array([np.nan, np.inf, -0.0]),
    ],
)
def test_literals_keep_the_array(array):
    back = Literal.of(np.asarray(array)).numpy()
    assert back.shape == np.shape(array)
    np.testing.assert_array_equal(back, array)
    assert Literal.of(back) == Literal.of(np.asarray(array))
    assert hash(Literal.of(back)) == hash(Literal.of(np.asarray(array)))


def test_literals_of_bfloat16():
    ml_dtypes = pytest.importorskip("ml_dtypes")
    array = np.array([1.5, -2], ml_dtypes.bfloat16)
    assert Literal.of(array).numpy().dtype == array.dtype


def test_str_is_the_text():
    assert str(tiny()).startswith('graph "tiny"(%0 "x": float32[batch, 3]) {')


def test_bodies_run():
    x = np.ones((2, 3))
    np.testing.assert_allclose(run(with_body(), [x])[0], np.tanh(2 * x))
