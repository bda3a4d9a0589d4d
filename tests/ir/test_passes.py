"""Passes: what they leave of a graph, and that it still computes the same."""

from collections import Counter
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.ir.graphs import ALL_OPS, APPLY, BATCH, arrays_for, names, random_graphs, run, tiny
from unifront import ops
from unifront.dtypes import float32, float64, key
from unifront.errors import GraphError
from unifront.ir import passes
from unifront.ir.facts import opaque
from unifront.ir.graph import Graph, Node, Value, Variable
from unifront.ir.passes import Pass, on_graph
from unifront.ir.types import TensorType
from unifront.ir.verify import verify
from unifront.opset.spec import OPS, OpSpec
from unifront.opset.tensor import Builder, Traced, bind, scope
from unifront.reference import evaluate, simplified
from unifront.testing import assert_close


def alone(function, **options):
    """What a pass makes of a graph; that it says rightly whether that is another one is asserted."""

    def rewrite(graph, **more):
        after, values, changed = function(graph, {}, **options, **more)
        assert changed == (after is not graph) == (after != graph)
        assert values == {}
        return after

    return rewrite


def fold_batch_norm(graph, values):
    after, values, changed = passes.fold_batch_norm(graph, values)
    assert changed == (after is not graph)
    return after, values


fold = alone(passes.fold_constants, ops=ALL_OPS, evaluate=evaluate)
layout = alone(passes.simplify_layout, ops=ALL_OPS)
channels_first = alone(passes.channels_first, ops=ALL_OPS)
common_subexpressions = alone(passes.common_subexpressions)
dead_code = alone(passes.dead_code)
unused_variables = alone(passes.unused_variables)


def built(function, *types, dtype=float64):
    """A graph of what ``function`` makes of inputs of these shapes."""
    builder = Builder("g")
    inputs = [builder.input(f"x{i}", TensorType(dtype, shape)) for i, shape in enumerate(types)]
    result = function(*inputs)
    return builder.graph(list(result) if isinstance(result, tuple | list) else [result])


def assert_same(before, after, values=None, new_values=None):
    """Both graphs are right, and give the same numbers."""
    verify(before)
    verify(after)
    inputs = arrays_for(before)
    values = values or {
        v.name: np.ones(v.value.type.shape, v.value.type.dtype.numpy) for v in before.variables
    }
    new_values = new_values or values
    expected = run(before, inputs, [values[v.name] for v in before.variables])
    actual = run(after, inputs, [new_values[v.name] for v in after.variables])
    assert len(actual) == len(expected)
    for a, e in zip(actual, expected, strict=True):
        assert_close(a, e)


def count(graph, name):
    return names(graph).count(name)


# ---------------------------------------------------------------- dead code


def test_dead_code_goes():
    graph = built(lambda x: (ops.tanh(ops.exp(x)), ops.relu(x))[1], (2, 3))
    after = dead_code(graph)
    assert names(after) == ["relu"]
    assert_same(graph, after)


def test_a_node_of_which_one_result_is_read_stays():
    graph = built(lambda x: ops.split(x, 3, axis=1)[1], (2, 3))
    assert names(dead_code(graph)) == ["split"]


def test_dead_code_in_bodies_goes():
    body = built(lambda x: (ops.tanh(x), ops.exp(x))[0], (2, 3))
    x, y = Value(0, body.inputs[0].type), Value(1, body.inputs[0].type)
    graph = Graph("g", (x,), (), (Node(APPLY, (x,), (y,), {}, (body,)),), (y,))
    after = dead_code(graph)
    assert names(after.nodes[0].regions[0]) == ["tanh"]
    assert_same(graph, after)


def test_unused_variables_go_only_when_asked():
    graph = tiny()
    unread = replace(graph, nodes=(), outputs=graph.inputs)
    assert dead_code(unread).variables == unread.variables
    assert unused_variables(unread).variables == ()
    assert [v.name for v in unused_variables(graph).variables] == ["layer/kernel"]


def test_a_variable_that_is_an_output_is_used():
    graph = tiny()
    kept = unused_variables(replace(graph, nodes=(), outputs=(graph.variables[0].value,)))
    assert [v.name for v in kept.variables] == ["layer/kernel"]


# ---------------------------------------------------------------- common subexpressions


def test_equal_nodes_become_one():
    graph = built(lambda x: ops.add(ops.tanh(ops.exp(x)), ops.tanh(ops.exp(x))), (2, 3))
    after = common_subexpressions(graph)
    assert names(after) == ["exp", "tanh", "add"]
    assert_same(graph, after)


def test_the_first_name_stays():
    x = Value(0, TensorType(float64, (3,)))
    y, z = Value(1, x.type), Value(2, x.type)
    nodes = (Node(OPS["tanh"], (x,), (y,), name="first"), Node(OPS["tanh"], (x,), (z,), name="second"))
    after = common_subexpressions(Graph("g", (x,), (), nodes, (y, z)))
    assert [node.name for node in after.nodes] == ["first"]
    assert after.outputs[0] == after.outputs[1]


@pytest.mark.parametrize(
    ("op", "a", "b"),
    [
        ("clip", {"minimum": 0.0, "maximum": 1.0}, {"minimum": 0.0, "maximum": 2.0}),
        ("clip", {"minimum": 0.0, "maximum": 1.0}, {"minimum": -0.0, "maximum": 1.0}),
        ("clip", {"minimum": 0, "maximum": 1}, {"minimum": 0.0, "maximum": 1.0}),
        ("elu", {"alpha": 1.0}, {"alpha": 0.5}),
    ],
)
def test_other_attributes_are_another_node(op, a, b):
    x = Value(0, TensorType(float64, (3,)))
    y, z, w = (Value(i, x.type) for i in (1, 2, 3))
    nodes = tuple(
        Node(OPS[op], (x,), (value,), attributes) for value, attributes in ((y, a), (z, b), (w, dict(a)))
    )
    assert len(common_subexpressions(Graph("g", (x,), (), nodes, (y, z, w))).nodes) == 2


def test_random_nodes_stay_apart():
    draw = OpSpec(
        "draw",
        lambda *_: TensorType(float32, (3,)),
        lambda *_: None,
        lambda rng: [],
        "a test",
        facts=opaque("half"),
    )
    k = Value(0, TensorType(key))
    y, z = Value(1, TensorType(float32, (3,))), Value(2, TensorType(float32, (3,)))
    graph = Graph("g", (k,), (), (Node(draw, (k,), (y,)), Node(draw, (k,), (z,))), (y, z))
    assert len(common_subexpressions(graph).nodes) == 2


def test_equal_bodies_are_one():
    body, other = built(ops.tanh, (2, 3)), built(ops.relu, (2, 3))
    x = Value(0, body.inputs[0].type)
    a, b, c = (Value(i, x.type) for i in (1, 2, 3))
    bodies = ((a, body), (b, other), (c, body.with_values(lambda v: Value(v.id + 9, v.type))))
    nodes = tuple(Node(APPLY, (x,), (value,), {}, (region,)) for value, region in bodies)
    graph = Graph("g", (x,), (), nodes, (a, b, c))
    after = common_subexpressions(graph)
    assert len(after.nodes) == 2
    assert_same(graph, after)


# ---------------------------------------------------------------- constants


def test_what_hangs_on_constants_alone_becomes_one():
    def function(x):
        two = x.builder.constant(np.full((1, 3), 2.0))
        return ops.add(ops.multiply(ops.exp(two), two), x)

    graph = built(function, (2, 3))
    after = dead_code(fold(graph))
    assert names(after) == ["add"]
    assert [node.op.name for node in after.nodes] == ["constant", "add"]
    assert_same(graph, after)


def test_large_results_are_left():
    def function(x):
        return ops.broadcast_to(x.builder.constant(np.zeros((1, 1))), (90, 90)), x

    graph = built(function, (1,))
    assert names(dead_code(fold(graph))) == []
    assert names(dead_code(fold(graph, limit=1000))) == ["broadcast_to"]


def test_results_no_larger_than_their_operands_are_not_left():
    graph = built(lambda x: (ops.transpose(x.builder.constant(np.ones((40, 50)))), x), (1,))
    assert names(fold(graph, limit=10)) == []


def test_symbolic_shapes_are_left():
    graph = built(lambda x: ops.add(ops.broadcast_to(x.builder.constant(np.ones(3)), x.shape), x), (BATCH, 3))
    after = fold(graph)
    assert names(after) == ["broadcast_to", "add"]
    assert_same(graph, after)


def test_dtypes_are_those_of_the_rule():
    def function(x):
        return ops.cast(ops.add(x.builder.constant(np.float32([1, 2])), np.float32(0.5)), "float16"), x

    after = dead_code(fold(built(function, (1,))))
    assert str(after.outputs[0].type) == "float16[2]"
    assert names(after) == []
    verify(after)


@pytest.mark.parametrize(
    "function",
    [lambda x, c: ops.take(c(np.ones(3)), c(np.int32(7)), 0), lambda x, c: ops.power(c(2), c(np.int32(-1)))],
    ids=["position that is not there", "integer to a negative power"],
)
def test_what_has_no_value_is_left(function):
    """It may stand in a branch that is never taken."""
    graph = built(lambda x: function(x, lambda value: x.builder.constant(np.asarray(value, "int32"))), (1,))
    assert fold(graph) == graph


# ---------------------------------------------------------------- layout


def turned(x, *axes):
    return bind(OPS["transpose"], x, axes=axes)


def shaped(x, *shape):
    return bind(OPS["reshape"], x, shape=shape)


def sliced(x, starts, stops, strides):
    return bind(OPS["slice"], x, starts=starts, stops=stops, strides=strides)


def cancels(function):
    """``function`` between two transposes that undo each other."""

    def around(x):
        result = function(turned(x, 0, 2, 3, 1))
        return turned(result, 0, 3, 1, 2)

    return around


LAYOUTS = {
    # what stands in the graph, the input's shapes, transposes left, reshapes left
    "identity": (lambda x: turned(x, 0, 1), [(2, 3)], 0, 0),
    "there and back": (lambda x: turned(turned(x, 1, 2, 0), 2, 0, 1), [(2, 3, 4)], 0, 0),
    "two become one": (lambda x: turned(turned(x, 1, 2, 0), 1, 2, 0), [(2, 3, 4)], 1, 0),
    "two of equal effect": (lambda x: (turned(x, 1, 0), turned(x, 1, 0)), [(2, 3)], 1, 0),
    "reshape of a reshape": (lambda x: shaped(shaped(x, 6), 3, 2), [(2, 3)], 0, 1),
    "reshape and back": (lambda x: ops.exp(shaped(shaped(x, 6), 2, 3)), [(2, 3)], 0, 0),
    "reshape to the same": (lambda x: shaped(x, 2, 3), [(2, 3)], 0, 0),
    "reshape of a symbolic shape": (lambda x: shaped(shaped(x, 6 * BATCH), BATCH, 6), [(BATCH, 2, 3)], 0, 1),
    "transpose of ones, then reshape": (lambda x: shaped(turned(x, 0, 3, 1, 2), 2, 5), [(2, 1, 1, 5)], 0, 1),
    "transpose, then reshape": (lambda x: shaped(turned(x, 1, 0), 6), [(2, 3)], 1, 1),
    "elementwise": (cancels(lambda x: ops.relu(ops.exp(x))), [(2, 3, 4, 5)], 0, 0),
    "with a scalar": (cancels(lambda x: ops.add(x, 2.0)), [(2, 3, 4, 5)], 0, 0),
    "with itself": (cancels(lambda x: ops.multiply(x, ops.tanh(x))), [(2, 3, 4, 5)], 0, 0),
    "with a vector": (cancels(lambda x: ops.add(x, np.arange(3.0))), [(2, 3, 4, 5)], 0, 1),
    "with a row": (cancels(lambda x: ops.multiply(x, np.arange(4.0).reshape(4, 1, 1))), [(2, 3, 4, 5)], 0, 1),
    "with a matrix": (cancels(lambda x: ops.add(x, np.ones((4, 5, 3)))), [(2, 3, 4, 5)], 2, 0),
    "where": (cancels(lambda x: ops.where(ops.greater(x, 0.0), x, 1.0)), [(2, 3, 4, 5)], 0, 0),
    "with its own transpose": (lambda x: ops.add(x, turned(x, 1, 0)), [(3, 3)], 1, 0),
    "of two": (
        lambda x, y: turned(ops.add(turned(x, 1, 0), turned(y, 1, 0)), 1, 0),
        [(2, 3), (2, 3)],
        0,
        0,
    ),
    "of two orders": (
        lambda x, y: ops.add(turned(x, 1, 2, 0), turned(y, 2, 0, 1)),
        [(4, 2, 3), (3, 4, 2)],
        2,
        0,
    ),
    "sum of two is turned once": (lambda x, y: ops.add(turned(x, 1, 0), turned(y, 1, 0)), [(2, 3)] * 2, 1, 0),
    "softmax": (cancels(lambda x: ops.softmax(x, axis=-1)), [(2, 3, 4, 5)], 0, 0),
    "cumsum": (cancels(lambda x: ops.cumsum(x, axis=1)), [(2, 3, 4, 5)], 0, 0),
    "flip": (cancels(lambda x: ops.flip(x, axis=(1, 3))), [(2, 3, 4, 5)], 0, 0),
    "pad": (cancels(lambda x: ops.pad(x, ((0, 0), (1, 2), (3, 0), (0, 1)))), [(2, 3, 4, 5)], 0, 0),
    "slice": (cancels(lambda x: sliced(x, (0, 1, 0, 0), (2, 3, 5, 2), (1, 1, 2, 1))), [(2, 3, 4, 5)], 0, 0),
    "concatenate": (cancels(lambda x: ops.concatenate([x, ops.exp(x), x], axis=2)), [(2, 3, 4, 5)], 0, 0),
    "split": (cancels(lambda x: ops.add(*ops.split(x, 2, axis=1))), [(2, 3, 4, 5)], 0, 0),
    "reduction, kept": (cancels(lambda x: ops.mean(x, axis=(1, 2), keepdims=True)), [(2, 3, 4, 5)], 0, 0),
    "reduction": (lambda x: ops.sum(turned(x, 0, 2, 3, 1), axis=(1, 2)), [(2, 3, 4, 5)], 0, 0),
    "reduction of some": (lambda x: ops.max(turned(x, 3, 1, 0, 2), axis=1), [(2, 3, 4, 5)], 1, 0),
    "reduction of all": (lambda x: ops.sum(turned(x, 1, 0)), [(2, 3)], 0, 0),
    "argmax": (lambda x: ops.argmax(turned(x, 0, 2, 1), axis=1), [(2, 3, 4)], 0, 0),
    "squeeze": (lambda x: ops.squeeze(turned(x, 1, 2, 0), axis=1), [(2, 3, 1)], 1, 0),
    "layer_norm": (cancels(lambda x: ops.layer_norm(x, np.arange(3.0), None, axis=-1)), [(2, 3, 4, 5)], 0, 0),
    "layer_norm over two": (
        cancels(lambda x: ops.layer_norm(x, np.ones((5, 3)), None, axis=(2, 3))),
        [(2, 3, 4, 5)],
        2,
        0,
    ),
    "batch_norm": (
        cancels(lambda x: ops.batch_norm(x, np.arange(3.0), np.ones(3), None, np.ones(3), axis=3)),
        [(2, 3, 4, 5)],
        0,
        0,
    ),
    "matmul needs the result": (lambda x: ops.matmul(turned(x, 1, 0), x), [(2, 3)], 1, 0),
    "an output needs the result": (lambda x: (ops.exp(turned(x, 1, 0)), turned(x, 1, 0)), [(2, 3)], 1, 0),
    "never more": (lambda x: [f(turned(x, 1, 0)) for f in (ops.exp, ops.tanh, ops.relu)], [(2, 3)], 1, 0),
}


@pytest.mark.parametrize(("function", "shapes", "transposes", "reshapes"), LAYOUTS.values(), ids=LAYOUTS)
def test_layout(function, shapes, transposes, reshapes):
    graph = built(function, *shapes)
    after = layout(graph)
    assert_same(graph, after)
    assert (count(after, "transpose"), count(after, "reshape")) == (transposes, reshapes)


def test_layout_in_bodies():
    body = built(lambda x: turned(turned(x, 1, 0), 1, 0), (2, 3))
    x, y = Value(0, body.inputs[0].type), Value(1, body.inputs[0].type)
    graph = Graph("g", (x,), (), (Node(APPLY, (x,), (y,), {}, (body,)),), (y,))
    after = layout(graph)
    assert after.nodes[0].regions[0].nodes == ()
    assert_same(graph, after)


STEPS = (
    lambda draw, x: turned(x, *draw(st.permutations(range(x.rank)))),
    lambda draw, x: ops.tanh(x),
    lambda draw, x: ops.add(x, np.arange(float(x.shape[-1]))),
    lambda draw, x: ops.multiply(x, ops.exp(x)),
    lambda draw, x: ops.add(x, turned(turned(x, *range(x.rank)[::-1]), *range(x.rank)[::-1])),
    lambda draw, x: ops.softmax(x, axis=draw(st.integers(0, x.rank - 1))),
    lambda draw, x: ops.sum(x, axis=draw(st.integers(0, x.rank - 1)), keepdims=True),
    lambda draw, x: shaped(x, *draw(st.permutations(x.shape))),
    lambda draw, x: ops.concatenate([x, ops.tanh(x)], axis=draw(st.integers(0, x.rank - 1))),
    lambda draw, x: ops.flip(x, axis=draw(st.integers(0, x.rank - 1))),
)


def test_bodies_deep_inside_are_simplified_once():
    graph = built(lambda x: turned(turned(x, 1, 0), 1, 0), (2, 3))
    x, y = Value(0, graph.inputs[0].type), Value(1, graph.inputs[0].type)
    for _ in range(30):  # twice at each level would take years
        graph = Graph("g", (x,), (), (Node(APPLY, (x,), (y,), {}, (graph,)),), (y,))
    after = layout(graph)
    for _ in range(30):
        (node,) = after.nodes
        (after,) = node.regions
    assert after.nodes == ()


@given(st.data())
@settings(deadline=None, max_examples=100)
def test_layout_of_random_graphs(data):
    def function(x):
        found = [x]
        for _ in range(data.draw(st.integers(1, 8))):
            step = data.draw(st.sampled_from(STEPS))
            found.append(step(data.draw, data.draw(st.sampled_from(found[-3:]))))
        return found[-2:]

    graph = built(function, (2, 1, 3))
    after = layout(graph)
    assert_same(graph, after)
    assert count(after, "transpose") <= count(graph, "transpose")
    assert count(after, "reshape") <= count(graph, "reshape") + names(graph).count("add")


# ---------------------------------------------------------------- convolutional networks


class Net:
    """A graph of layers with weights, being built."""

    def __init__(self, *shape):
        self.builder, self.rng = Builder("net"), np.random.default_rng(0)
        self.values, self.variables = {}, []
        self.x = self.builder.input("image", TensorType(float64, shape))

    def weight(self, name, *shape):
        variable = Variable(name, self.builder.new(TensorType(float64, shape)))
        self.values[name] = self.rng.uniform(0.5, 1.5, shape)
        self.variables.append(variable)
        return Traced(variable.value, self.builder)

    def conv(self, x, name, filters, *, op=None, bias=False, size=3, **options):
        with scope(name):
            if op is ops.depthwise_conv:
                kernel = self.weight(f"{name}/kernel", size, size, x.shape[-1], filters)
                filters *= x.shape[-1]
            else:
                kernel = self.weight(
                    f"{name}/kernel", size, size, x.shape[-1] // options.get("groups", 1), filters
                )
            given = self.weight(f"{name}/bias", filters) if bias else None
            return (op or ops.conv)(x, kernel, bias=given, padding="same", **options)

    def norm(self, x, name, axis=-1):
        with scope(name):
            weights = [
                self.weight(f"{name}/{part}", x.shape[axis]) for part in ("mean", "variance", "gamma", "beta")
            ]
            return ops.batch_norm(x, *weights, axis=axis, epsilon=1e-3)

    def graph(self, *outputs):
        return self.builder.graph(list(outputs), variables=self.variables)


def residual(shape=(BATCH, 9, 8, 3)):
    """The shape of a ResNet: stem, a block with and one without a projection, pooling, dense."""
    net = Net(*shape)
    x = ops.pad(net.x, ((0, 0), (3, 3), (3, 3), (0, 0)))
    x = ops.relu(net.norm(net.conv(x, "stem", 4, strides=2, bias=True), "stem_norm"))
    x = ops.max_pool(x, 3, 2, padding="same")
    for block, project in (("one", True), ("two", False)):
        shortcut = net.norm(net.conv(x, f"{block}/0", 4, size=1), f"{block}/0n") if project else x
        y = ops.relu(net.norm(net.conv(x, f"{block}/1", 4), f"{block}/1n"))
        y = net.norm(net.conv(y, f"{block}/2", 4), f"{block}/2n")
        x = ops.relu(ops.add(shortcut, y))
    x = ops.mean(ops.average_pool(x, 2, 1), axis=(1, 2))
    return net, net.graph(
        ops.softmax(ops.dense(x, net.weight("head/kernel", 4, 5), net.weight("head/bias", 5)))
    )


def test_channels_first_wraps_each_operation():
    net, graph = residual()
    after = channels_first(graph)
    counts = Counter(names(after))
    formats = [node.attributes["data_format"] for node in after.nodes if "data_format" in node.attributes]
    assert set(formats) == {"channels_first"}
    assert counts["transpose"] == 2 * len(formats)
    assert [v.name for v in after.variables] == [v.name for v in graph.variables]
    assert_same(graph, after, net.values)


def test_a_residual_network_keeps_one_transpose_at_its_input():
    net, graph = residual()
    after = layout(channels_first(graph))
    assert count(after, "transpose") == 1
    (transpose,) = (node for node in after.nodes if node.op.name == "transpose")
    assert (
        transpose.operands[0] == after.inputs[0] or after.producers()[transpose.operands[0]].op.name == "pad"
    )
    assert_same(graph, after, net.values)


def test_channels_first_of_what_is_channels_first_changes_nothing():
    net = Net(2, 3, 4, 4)
    kernel = net.weight("kernel", 1, 1, 3, 2)
    graph = net.graph(ops.conv(net.x, kernel, data_format="channels_first"))
    assert channels_first(graph) == graph


@pytest.mark.parametrize("rank", [1, 2, 3])
def test_channels_first_of_every_rank(rank):
    net = Net(BATCH, *(5,) * rank, 2)
    x = ops.conv(net.x, net.weight("kernel", *(2,) * rank, 2, 3))
    graph = net.graph(ops.max_pool(x, 2))
    after = layout(channels_first(graph))
    assert count(after, "transpose") == 2
    assert_same(graph, after, net.values)


FOLDED = {
    "conv": lambda net: net.norm(net.conv(net.x, "c", 5), "n"),
    "conv with bias": lambda net: net.norm(net.conv(net.x, "c", 5, bias=True), "n"),
    "groups": lambda net: net.norm(net.conv(net.x, "c", 6, groups=2), "n"),
    "depthwise": lambda net: net.norm(net.conv(net.x, "c", 2, op=ops.depthwise_conv), "n"),
    "channels_first": lambda net: net.norm(
        ops.conv(net.x, net.weight("c/kernel", 1, 1, 4, 3), data_format="channels_first"), "n", axis=1
    ),
    "dense": lambda net: net.norm(
        ops.dense(net.x, net.weight("c/kernel", 4, 3), net.weight("c/bias", 3)), "n"
    ),
    "without gamma and beta": lambda net: ops.batch_norm(
        net.conv(net.x, "c", 3), net.weight("m", 3), net.weight("v", 3), None, None, axis=3
    ),
    "constant statistics": lambda net: ops.batch_norm(
        net.conv(net.x, "c", 3), np.arange(3.0), np.full(3, 2.0), None, net.weight("b", 3), axis=3
    ),
    "two in a row": lambda net: ops.relu(
        net.norm(net.conv(net.norm(net.conv(net.x, "c", 3), "n"), "d", 2), "m")
    ),
}


@pytest.mark.parametrize("function", FOLDED.values(), ids=FOLDED)
def test_batch_norm_is_folded(function):
    net = Net(2, 4, 4, 4)
    graph = net.graph(function(net))
    given = {name: value.copy() for name, value in net.values.items()}
    after, values = fold_batch_norm(graph, net.values)
    assert count(after, "batch_norm") == 0
    assert set(values) == {variable.name for variable in after.variables}
    assert {name.partition("/")[0] for name in values} <= {"c", "d"}
    assert_same(graph, after, net.values, values)
    for name, value in given.items():
        np.testing.assert_array_equal(net.values[name], value)


def shared_kernel(net):
    kernel = net.weight("c/kernel", 1, 1, 4, 3)
    return net.norm(ops.conv(net.x, kernel), "n"), ops.conv(net.x, kernel)


def shared_bias(net):
    bias = net.weight("c/bias", 3)
    return net.norm(ops.conv(net.x, net.weight("c/kernel", 1, 1, 4, 3), bias=bias), "n"), ops.exp(bias)


def shared_result(net):
    x = net.conv(net.x, "c", 3)
    return net.norm(x, "n"), ops.exp(x)


def result_is_output(net):
    x = net.conv(net.x, "c", 3)
    return net.norm(x, "n"), x


def computed_kernel(net):
    return (net.norm(ops.conv(net.x, ops.exp(net.weight("c/kernel", 1, 1, 4, 3))), "n"),)


def computed_statistics(net):
    x = net.conv(net.x, "c", 4)
    return (ops.batch_norm(x, ops.mean(net.x, axis=(0, 1, 2)), net.weight("v", 4), None, None, axis=3),)


NOT_FOLDED = {
    "shared kernel": shared_kernel,
    "shared bias": shared_bias,
    "shared result": shared_result,
    "result is an output": result_is_output,
    "computed kernel": computed_kernel,
    "computed statistics": computed_statistics,
    "activation between": lambda net: (net.norm(ops.relu(net.conv(net.x, "c", 3)), "n"),),
    "another axis": lambda net: (net.norm(net.conv(net.x, "c", 3), "n", axis=1),),
    "nothing before": lambda net: (net.norm(net.x, "n"),),
}


@pytest.mark.parametrize("function", NOT_FOLDED.values(), ids=NOT_FOLDED)
def test_batch_norm_is_left_where_something_else_needs_the_parts(function):
    net = Net(2, 4, 4, 4)
    graph = net.graph(*function(net))
    after, values = fold_batch_norm(graph, net.values)
    assert count(after, "batch_norm") == 1
    assert_same(graph, after, net.values, values)


def test_a_new_bias_has_a_name_of_its_own():
    net = Net(2, 4, 4, 4)
    x = net.norm(net.conv(net.x, "c", 3), "n")
    graph = net.graph(ops.add(x, net.weight("c/bias", 3)))
    after, values = fold_batch_norm(graph, net.values)
    assert [variable.name for variable in after.variables] == ["c/kernel", "c/bias", "c/bias_1"]
    assert_same(graph, after, net.values, values)


def test_a_residual_network_loses_all_its_batch_norms_in_either_layout():
    net, graph = residual()
    for before in (graph, layout(channels_first(graph))):
        after, values = fold_batch_norm(before, net.values)
        assert count(after, "batch_norm") == 0
        assert {node.name for node in after.nodes if node.op.name == "conv"} == {
            node.name for node in graph.nodes if node.op.name == "conv"
        }
        assert_same(graph, after, net.values, values)


# ---------------------------------------------------------------- all together


@given(random_graphs())
@settings(deadline=None, max_examples=100)
def test_every_pass_keeps_the_meaning_of_random_graphs(graph):
    for one in passes.registry(ALL_OPS, evaluate).values():
        assert_same(graph, one(graph)[0])
    after = simplified(graph)
    assert_same(graph, after)
    assert len(names(after)) <= len(names(graph))


@given(random_graphs())
@settings(deadline=None, max_examples=50)
def test_passes_come_to_an_end(graph):
    after = simplified(graph)
    assert simplified(after) == after


@given(random_graphs())
@settings(deadline=None, max_examples=50)
def test_nothing_is_left_to_find(graph):
    after = simplified(graph)
    assert len({(n.op.name, n.operands) for n in after.nodes if n.op.name != "constant"}) == len(names(after))
    read = {value for node in after.nodes for value in node.operands} | set(after.outputs)
    assert all(read.intersection(node.outputs) for node in after.nodes)
    made = {node.outputs[0] for node in after.nodes if node.op.name == "constant"}
    assert all(not made.issuperset(node.operands) for node in after.nodes if node.op.name != "constant")


def test_standard_passes_on_a_network():
    net, graph = residual()
    after = simplified(graph)
    assert names(after) == [name for name in names(graph) if name != "pad"]  # the convolution pads
    assert_same(graph, after, net.values)


BREAKING = {
    "another name": (lambda g: replace(g, name="other"), "changed the name of graph 'tiny'"),
    "another input": (lambda g: replace(g, input_names=("z",)), "changed the inputs of graph 'tiny'"),
    "another output": (
        lambda g: replace(g, outputs=(g.inputs[0],) * 2, output_names=()),
        "changed the outputs",
    ),
    "no variable": (lambda g: replace(g, variables=()), "changed the variables"),
    "fixed variable": (
        lambda g: replace(g, variables=(replace(g.variables[0], trainable=False),)),
        "changed the variables",
    ),
    "new layer": (
        lambda g: replace(g, nodes=tuple(replace(node, name="new") for node in g.nodes)),
        "made up the layer name 'new'",
    ),
    "no nodes": (
        lambda g: replace(g, nodes=()),
        "The pass 'bad' broke graph 'tiny': .* which nothing defines",
    ),
}


@pytest.mark.parametrize(("function", "match"), BREAKING.values(), ids=BREAKING)
def test_a_pass_that_breaks_its_contract_is_caught(function, match):
    with pytest.raises(GraphError, match=match):
        passes.run(tiny(), {}, [Pass("bad", on_graph(function))])


def test_a_pass_may_say_what_it_changes():
    changed = Pass("rename", on_graph(lambda g: replace(g, name="other")), frozenset({"name"}))
    assert changed(tiny())[0].name == "other"


def test_a_pass_that_denies_its_change_is_caught():
    liar = Pass("liar", lambda graph, values: (replace(graph), values, False))
    with pytest.raises(GraphError, match="The pass 'liar' says that it left graph 'tiny' as it was, but did"):
        liar(tiny())


def test_a_pass_may_not_make_up_values():
    maker = Pass("maker", lambda graph, values: (replace(graph), {"other": np.ones(3)}, True))
    with pytest.raises(
        GraphError, match="The pass 'maker' gives the value of 'other', which graph 'tiny' has"
    ):
        maker(tiny())


def test_passes_are_asked_again_only_after_another_has_changed_something():
    asked = []

    def one(name, changes):
        left = iter(changes)

        def function(graph, values):
            asked.append(name)
            changed = next(left)
            return (replace(graph) if changed else graph), values, changed

        return Pass(name, function)

    order = [one("a", [False, False]), one("b", [True, False]), one("c", [True]), one("d", [False])]
    assert passes.run(tiny(), {}, order)[2]
    assert asked == list("abcdab")


def test_passes_that_undo_one_another_are_caught():
    there = Pass(
        "there", on_graph(lambda g: replace(g, name="b") if g.name == "a" else g), frozenset({"name"})
    )
    back = Pass("back", on_graph(lambda g: replace(g, name="a") if g.name == "b" else g), frozenset({"name"}))
    with pytest.raises(GraphError, match="The passes there, back come to no end"):
        passes.run(replace(tiny(), name="a"), {}, [there, back])


def test_what_commutes_is_computed_once_in_either_order():
    graph = built(lambda x, y: ops.subtract(ops.add(x, y), ops.add(y, x)), (2, 3), (2, 3))
    assert names(common_subexpressions(graph)) == ["add", "subtract"]
    graph = built(lambda x, y: ops.add(ops.subtract(x, y), ops.subtract(y, x)), (2, 3), (2, 3))
    assert names(common_subexpressions(graph)) == ["subtract", "subtract", "add"]


def test_batch_norms_of_unknown_weights_stay():
    net = Net(2, 4, 4, 4)
    graph = net.graph(net.norm(net.conv(net.x, "c", 5), "n"))
    known = {name: value for name, value in net.values.items() if name != "n/mean"}
    for values in ({}, known):
        after, kept = fold_batch_norm(graph, values)
        assert after is graph
        assert kept == values
