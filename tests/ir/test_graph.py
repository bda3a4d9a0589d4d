"""The graph itself: numbering, users, symbols, literals."""

import numpy as np
import pytest

from tests.ir.graphs import BATCH, TIME, run, tiny, tiny_body, with_body
from unifront.dtypes import float32
from unifront.ir.graph import Graph, Literal, Node, Value
from unifront.ir.types import TensorType
from unifront.opset.spec import OPS


def test_renumbered_graphs_compare_equal():
    graph = tiny()
    shifted = graph.with_values(lambda value: Value(value.id * 7 + 3, value.type))
    assert shifted != graph
    assert shifted.renumbered() == graph


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
