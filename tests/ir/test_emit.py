"""Graphs as straight-line Python functions."""

import re
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings

from tests.ir.graphs import ALL_OPS, BATCH, TIME, arrays_for, random_graphs, rows, run, tiny, with_body
from unifront.dtypes import float32
from unifront.errors import GraphError, UnsupportedOp
from unifront.ir.dims import symbol
from unifront.ir.emit import Rows, emit
from unifront.ir.graph import Graph, Node, Value, Variable
from unifront.ir.layouts import Storage, storage_of
from unifront.ir.types import TensorType
from unifront.opset.spec import OPS

MATRIX = TensorType(float32, (2, 3))


def chain(*ops, **changes):
    """The operations one after another."""
    values = [Value(i, MATRIX) for i in range(len(ops) + 1)]
    nodes = tuple(Node(OPS[op], (values[i],), (values[i + 1],), name=f"layer{i}") for i, op in enumerate(ops))
    return replace(Graph("g", (values[0],), (), nodes, (values[-1],)), **changes)


def test_the_source():
    assert emit(tiny(), rows()).source.splitlines() == [
        "def program(inputs, variables):",
        "    v0, = inputs",
        "    v1, = variables",
        "    v3 = multiply_1(v0, v1)  # layer",
        "    del v0",
        "    v4 = add_2(v3, v2)",
        "    del v3",
        "    v5 = relu_3(v4)",
        "    del v4",
        "    return (v5,)",
    ]


def test_it_runs():
    x, kernel = np.array([[1, -2, 3]], np.float32), np.array([1, 2, -1], np.float32)
    (y,) = run(tiny(), [x], [kernel])
    np.testing.assert_array_equal(y, [[3, 0, 0]])
    assert y.dtype == np.float32


def test_no_nodes_and_no_outputs():
    x = Value(0, MATRIX)
    assert run(Graph("g", (x,), (), (), (x, x)), [np.ones(2)])[1].shape == (2,)
    assert run(Graph("g", (x,), (), (), ()), [np.ones(2)]) == ()
    assert run(Graph("g", (), (), (), ())) == ()


def test_values_nobody_reads_are_dropped_at_once():
    graph = chain("relu", "tanh")
    unread = replace(graph, outputs=(graph.nodes[0].outputs[0],))
    assert "    v2 = tanh_1(v1)  # layer1\n    del v2\n" in emit(unread, rows()).source


@given(random_graphs())
@settings(deadline=None, max_examples=50)
def test_every_value_is_deleted_once_and_never_read_afterwards(graph):
    gone = set()
    for line in emit(graph, rows()).source.splitlines():
        read = set(re.findall(r"\bv\d+\b", line.partition("#")[0]))
        assert not read & gone
        if line.startswith("    del "):
            gone |= read
    made = {f"v{v.id}" for n in graph.nodes if n.op.name != "constant" for v in n.outputs}
    kept = {f"v{v.id}" for v in (*graph.outputs, *graph.inputs)}
    assert gone | kept >= made
    assert len(run(graph, arrays_for(graph))) == len(graph.outputs)


def reshaped(shape, *dims):
    x = Value(0, TensorType(float32, dims))
    y = Value(1, TensorType(float32, shape))
    return Graph("g", (x,), (), (Node(OPS["reshape"], (x,), (y,), {"shape": shape}, name="flatten"),), (y,))


def test_symbols_are_read_from_the_inputs():
    graph = reshaped((BATCH, 2 * (TIME // 2) * 3), BATCH, TIME, 3)
    source = emit(graph, rows()).source
    assert "D_batch = size(v0, 0)" in source
    assert "D_time = size(v0, 1)" in source
    assert run(graph, [np.zeros((5, 4, 3), np.float32)])[0].shape == (5, 12)


def test_symbols_nobody_needs_are_not_read():
    assert "size" not in emit(tiny(), rows()).source


@pytest.mark.parametrize(
    "name", ["lambda", "import", "size", "inputs", "variables", "program", "v0", "reshape_0"]
)
def test_no_name_of_a_symbol_is_in_the_way(name):
    size = symbol(name)
    assert run(reshaped((2 * size,), size, 2), [np.zeros((3, 2), np.float32)])[0].shape == (6,)


def test_a_symbol_that_no_axis_is_alone_cannot_be_read():
    with pytest.raises(GraphError, match="no input has an axis of the size time alone"):
        emit(reshaped((TIME,), 2 * TIME), rows())


@pytest.mark.parametrize("name", ["a\nb", "\x00", "\ud800", "é", "#", "import os"])
def test_names_never_become_code(name):
    graph = chain("relu")
    graph = replace(graph, name=name, nodes=tuple(replace(node, name=name) for node in graph.nodes))
    assert run(graph, [np.ones((2, 3), np.float32)])[0].shape == (2, 3)


def test_bodies_are_functions():
    x = np.ones((2, 3))
    np.testing.assert_allclose(run(with_body(), [x])[0], np.tanh(2 * x))


def test_absent_operands_are_none():
    seen = []
    x, y = Value(0, MATRIX), Value(1, MATRIX)
    graph = Graph("g", (x,), (), (Node(OPS["relu"], (x, None), (y,)),), (y,))
    table = {OPS["relu"]: lambda a, b: seen.append(b) or a}
    emit(graph, replace(rows(), table=table)).function((1,), ())
    assert seen == [None]


def test_several_results():
    x = Value(0, MATRIX)
    parts = tuple(Value(i, TensorType(float32, (2, 1))) for i in (1, 2, 3))
    node = Node(OPS["split"], (x,), parts, {"sizes": (1, 1, 1), "axis": 1})
    outputs = run(Graph("g", (x,), (), (node,), parts[::-1]), [np.arange(6, dtype=np.float32).reshape(2, 3)])
    np.testing.assert_array_equal(np.concatenate(outputs, 1), [[2, 1, 0], [5, 4, 3]])


def test_a_missing_row_is_named_with_its_reason():
    table = {op: row for op, row in rows().table.items() if op.name != "tanh"}
    with pytest.raises(
        UnsupportedOp, match=r"layer1: tanh: the backend 'numpy' cannot run it: it has no row"
    ):
        emit(chain("relu", "tanh"), replace(rows(), table=table))
    with pytest.raises(UnsupportedOp, match="cannot run it: too hard"):
        emit(chain("tanh"), replace(rows(), table=table, reasons={OPS["tanh"]: "too hard"}))


# ---------------------------------------------------------------- storage

FLIPPED = Storage("flipped", lambda a: ("flipped", a), lambda a: a[1])
OTHER = Storage("flipped", lambda a: ("other", a), lambda a: a[1])  # two layouts may have one name


def stored_rows(storage):
    """Rows that note what they are given."""
    log = []

    def row(name):
        def call(*operands):
            log.append((name, operands))
            return name

        return call

    table = {OPS[name]: row(name) for name in ("relu", "tanh", "abs")}
    return replace(rows(), table=table, storage=storage), log


def with_variable(*ops):
    """Every operation reads the variable; the variable is an output too."""
    kernel = Value(0, MATRIX)
    outputs = [Value(i + 1, MATRIX) for i in range(len(ops))]
    nodes = tuple(Node(OPS[op], (kernel,), (value,)) for op, value in zip(ops, outputs, strict=True))
    return Graph("g", (), (Variable("kernel", kernel),), nodes, (*outputs, kernel))


def test_a_variable_is_kept_as_its_first_asker_wants_it():
    wanting, _ = stored_rows({(OPS["tanh"], 0): FLIPPED, (OPS["abs"], 0): OTHER})
    assert storage_of(with_variable("relu", "tanh", "abs"), wanting.storage) == (FLIPPED,)
    assert storage_of(with_variable("relu"), wanting.storage) == (None,)


def test_every_row_gets_the_layout_it_declared():
    wanting, log = stored_rows({(OPS["tanh"], 0): FLIPPED, (OPS["abs"], 0): OTHER})
    program = emit(with_variable("relu", "tanh", "abs"), wanting)
    outputs = program.function((), (("flipped", "k"),))
    # relu asks for none: it works on elements, in whatever layout they are
    assert log == [("relu", (("flipped", "k"),)), ("tanh", (("flipped", "k"),)), ("abs", (("other", "k"),))]
    assert outputs[-1] == "k"
    assert program.storage == (FLIPPED,)


def test_the_layout_may_be_decided_before():
    wanting, log = stored_rows({(OPS["tanh"], 0): FLIPPED})
    program = emit(with_variable("tanh"), wanting, stored={"kernel": None})
    assert program.storage == (None,)
    assert program.function((), ("k",))[-1] == "k"
    assert log == [("tanh", (("flipped", "k"),))]


def test_other_values_are_converted_too():
    wanting, log = stored_rows({(OPS["tanh"], 0): FLIPPED})
    emit(chain("relu", "tanh"), wanting).function(("x",), ())
    assert log[1] == ("tanh", (("flipped", "relu"),))


def test_rows_are_looked_up_by_the_operation_itself():
    assert isinstance(rows(), Rows)
    assert set(ALL_OPS.values()) == set(rows().table)


def overwriting():
    """Rows that write over their first operand, beside NumPy's."""
    base = rows()
    over = {
        OPS["relu"]: lambda x: np.maximum(x, 0, out=x),
        OPS["tanh"]: lambda x: np.tanh(x, out=x),
        OPS["add"]: lambda x, y: np.add(x, y, out=x),
        OPS["subtract"]: lambda x, y: np.subtract(x, y, out=x),
        OPS["multiply"]: lambda x, y: np.multiply(x, y, out=x),
    }
    return replace(base, over=over)


def overwritten(graph, **options):
    """How many lines of ``graph`` write over an operand."""
    program = emit(graph, overwriting(), **options).function
    chosen = (getattr(one, "func", one) for one in program.__globals__.values())
    return sum(
        one.__code__.co_filename == __file__
        for one in chosen
        if hasattr(one, "__code__") and one is not program
    )


@given(random_graphs())
@settings(deadline=None, max_examples=100)
def test_operands_that_nobody_needs_are_written_over(graph):
    given_arrays = arrays_for(graph)
    kept = [array.copy() for array in given_arrays]
    wanted = run(graph, arrays_for(graph))
    with np.errstate(all="ignore"):
        found = emit(graph, overwriting(), records=False).function(tuple(given_arrays), ())
    for one, other in zip(found, wanted, strict=True):
        np.testing.assert_array_equal(one, other)
    for one, other in zip(given_arrays, kept, strict=True):
        np.testing.assert_array_equal(one, other)


def test_what_is_written_over():
    assert overwritten(chain("tanh", "relu", "tanh"), records=False) == 2  # not the input
    assert overwritten(chain("tanh", "relu", "tanh")) == 0
    both = chain("tanh", "relu")
    assert overwritten(replace(both, outputs=(both.nodes[0].outputs[0], *both.outputs)), records=False) == 0
    a, b, wide = Value(0, MATRIX), Value(1, TensorType(float32, (3,))), Value(2, TensorType(float32, (3,)))
    total, flat = Value(3, MATRIX), Value(4, MATRIX)
    nodes = (
        Node(OPS["tanh"], (b,), (wide,), name="one"),
        Node(OPS["tanh"], (a,), (flat,), name="other"),
        Node(OPS["add"], (wide, flat), (total,), name="sum"),
    )
    graph = Graph("g", (a, b), (), nodes, (total,))
    assert overwritten(graph, records=False) == 1  # the second: the sum does not fit into the first
    assert (
        overwritten(replace(graph, nodes=(*nodes[:2], replace(nodes[2], op=OPS["subtract"]))), records=False)
        == 0
    )
    cast = Value(5, MATRIX)
    aliased = (Node(OPS["cast"], (a,), (cast,), {"dtype": "float32"}), Node(OPS["relu"], (cast,), (flat,)))
    assert (
        overwritten(Graph("g", (a,), (), aliased, (flat,)), records=False) == 0
    )  # a cast may be its operand
