"""Sizes that come from values: one program, whose results are as long as the numbers say."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

import unifront as uf
from unifront import backends, layers, ops
from unifront.dtypes import dtype_of
from unifront.errors import ArgumentError, GraphError, ShapeError, UnsupportedOp
from unifront.ir.graph import Node, Value
from unifront.ir.text import parse_graph
from unifront.ir.types import TensorType, parse_type
from unifront.ir.verify import verify
from unifront.opset import OPS
from unifront.opset.tensor import Builder, type_of
from unifront.reference import simplified
from unifront.testing import assert_close

COMPILING = [name for name in backends.installed() if name != "jax"]
X = np.array([[3, 0, 5, 3], [0, 0, 7, 1]], np.float32)
N = np.array([2, 0, 3, 1], np.int32)
STOP = np.array(7, np.int32)

CALLS = {
    "nonzero": (lambda x, n, stop: ops.nonzero(x), lambda x, n, stop: np.nonzero(x)),
    "boolean_mask": (lambda x, n, stop: ops.boolean_mask(x, ops.greater(x, 2)), lambda x, n, stop: x[x > 2]),
    "mask in brackets": (
        lambda x, n, stop: x[ops.greater(ops.sum(x, 1), 9)],
        lambda x, n, stop: x[x.sum(1) > 9],
    ),
    "unique": (lambda x, n, stop: ops.unique(x), lambda x, n, stop: np.unique(x)),
    "repeat": (lambda x, n, stop: ops.repeat(x, n, 1), lambda x, n, stop: np.repeat(x, n, 1)),
    "repeat of all": (
        lambda x, n, stop: ops.repeat(x, ops.concatenate([n, n], 0)),
        lambda x, n, stop: np.repeat(x, np.concatenate([n, n])),
    ),
    "arange": (lambda x, n, stop: ops.arange(stop), lambda x, n, stop: np.arange(stop)),
    "arange from": (lambda x, n, stop: ops.arange(2, stop, 2), lambda x, n, stop: np.arange(2, stop, 2)),
    "arange down": (lambda x, n, stop: ops.arange(stop, -3, -3), lambda x, n, stop: np.arange(stop, -3, -3)),
    "arange of nothing": (lambda x, n, stop: ops.arange(stop, 3), lambda x, n, stop: np.arange(stop, 3)),
    "what reads the size": (
        lambda x, n, stop: ops.reshape(ops.tile(x[:1], (ops.bind_size(stop).shape[0], 1)), (-1, 2)),
        lambda x, n, stop: np.tile(x[:1], (stop, 1)).reshape(-1, 2),
    ),
    "two sizes": (
        lambda x, n, stop: ops.matmul(
            ops.reshape(ops.cast(ops.arange(stop), "float32"), (-1, 1)),
            ops.reshape(ops.cast(ops.nonzero(n)[0], "float32"), (1, -1)),
        ),
        lambda x, n, stop: np.arange(stop)[:, None] * np.nonzero(n)[0][None, :].astype("float32"),
    ),
    "in a branch": (
        lambda x, n, stop: ops.cond(
            ops.greater(stop, 3), lambda: ops.sum(ops.arange(stop)), lambda: ops.sum(n)
        ),
        lambda x, n, stop: np.arange(stop).sum() if stop > 3 else n.sum(),
    ),
    "around a branch": (
        lambda x, n, stop: (
            lambda part: ops.cond(
                ops.greater(stop, 3), lambda: ops.full(part.shape, 2.0, like=part), lambda: ops.negative(part)
            )
        )(ops.boolean_mask(x, ops.greater(x, 2))),
        lambda x, n, stop: np.full(x[x > 2].shape, 2.0) if stop > 3 else -x[x > 2],
    ),
}
INPUTS = [
    (X, N, STOP),
    (X * 0, N[::-1].copy(), np.array(0, np.int32)),
    (X[:1] + 1, N * 0, np.array(4, np.int32)),
]


def graph_of(function, types=("float32[batch, 4]", "int32[4]", "int32[]")):
    builder = Builder("program")
    result = function(*(builder.input(f"x{i}", parse_type(type_)) for i, type_ in enumerate(types)))
    return verify(builder.graph(list(result) if isinstance(result, tuple) else [result]))


def outputs(backend, graph, inputs):
    native = backends.get_backend(backend)
    return [native.numpy(o) for o in native.compile(graph, "cpu")([native.array(i) for i in inputs], [])]


def same(found, expected):
    expected = expected if isinstance(expected, tuple) else (expected,)
    for a, b in zip(found, expected, strict=True):
        assert_close(a, np.asarray(b, a.dtype))


def runnable(name, inputs):
    return not (name == "repeat of all" and len(inputs[0]) != 2)


@pytest.mark.parametrize("backend", COMPILING)
@pytest.mark.parametrize("name", CALLS)
def test_one_program_for_all_values(name, backend):
    function, judge = CALLS[name]
    types = ("float32[2, 4]", "int32[4]", "int32[]") if name == "repeat of all" else None
    graph = graph_of(function, types) if types else graph_of(function)
    assert parse_graph(str(graph), OPS) == graph
    for inputs in INPUTS:
        if runnable(name, inputs):
            for one in (graph, simplified(graph)):
                same(outputs(backend, one, inputs), judge(*inputs))


@pytest.mark.parametrize("backend", backends.installed())
@pytest.mark.parametrize(
    "name", sorted(CALLS.keys() - {"what reads the size", "in a branch", "around a branch"})
)
def test_at_once(name, backend):
    function, judge = CALLS[name]
    native = backends.get_backend(backend)
    for inputs in INPUTS:
        if runnable(name, inputs):
            found = function(*map(native.array, inputs))
            same([native.numpy(o) for o in (found if isinstance(found, tuple) else (found,))], judge(*inputs))


FIXED = {
    "nonzero": (lambda x, n, stop: ops.nonzero(x, size=5, fill_value=-1), ([0, 0, 0, 1, 1], [0, 2, 3, 2, 3])),
    "nonzero, cut": (lambda x, n, stop: ops.nonzero(n, size=2), ([0, 2],)),
    "nonzero, filled": (lambda x, n, stop: ops.nonzero(n, size=6, fill_value=9), ([0, 2, 3, 9, 9, 9],)),
    "boolean_mask": (
        lambda x, n, stop: ops.boolean_mask(n, ops.greater(n, 1), size=3, fill_value=-2),
        ([2, 3, -2],),
    ),
    "unique": (lambda x, n, stop: ops.unique(x, size=7, fill_value=-1), ([0, 1, 3, 5, 7, -1, -1],)),
    "repeat": (lambda x, n, stop: ops.repeat(n, n, size=8), ([2, 2, 3, 3, 3, 1, 1, 1],)),
    "arange": (lambda x, n, stop: ops.arange(2, stop, 2, size=4), ([2, 4, 6, 8],)),
}


@pytest.mark.parametrize("backend", backends.installed())
@pytest.mark.parametrize("name", FIXED)
def test_fixed_sizes_run_everywhere(name, backend):
    function, expected = FIXED[name]
    graph = graph_of(function, ("float32[2, 4]", "int32[4]", "int32[]"))
    assert all(value.type.is_static for value in graph.outputs)
    same(outputs(backend, graph, (X, N, STOP)), tuple(expected))


class Positive(layers.Layer):
    def call(self, x):
        return ops.boolean_mask(x, ops.greater(x, 0))


class Counting(layers.Layer):
    def call(self, stop):
        return ops.bind_size(ops.reshape(ops.sum(stop), ()))


def test_jax_says_which_layer_asked_and_what_to_do():
    pytest.importorskip("jax")
    model = uf.Sequential([uf.Input((3,)), Positive(name="positive")])
    assert model.predict(np.ones((2, 3), "float32"), backend="numpy").shape == (6,)
    with pytest.raises(UnsupportedOp, match=r"positive: bind_size: .*'jax' cannot run it: XLA .* size="):
        model.predict(np.ones((2, 3), "float32"), backend="jax")


@pytest.mark.parametrize("backend", COMPILING)
def test_a_negative_size_is_one_error_with_the_layer(backend):
    model = uf.Sequential([uf.Input((1,), dtype="int32"), Counting(name="counting")])
    with pytest.raises(
        Exception, match=r"counting: a size that is computed .* is (-3|below 0); it is negative"
    ):
        model(backends.get_backend(backend).array(np.array([[-3]], "int32")))
    graph = model.graph()
    with pytest.raises(
        Exception, match=r"counting: a size that is computed .* is (-3|below 0); it is negative"
    ):
        outputs(backend, graph, (np.array([[-3]], "int32"),))


@pytest.mark.parametrize("backend", [name for name in COMPILING if name != "numpy"])
def test_gradients_flow_through_what_is_picked(backend):
    graph = graph_of(
        lambda x: ops.sum(ops.square(ops.boolean_mask(x, ops.greater(x, 2)))), ("float32[batch, 4]",)
    )
    native = backends.get_backend(backend)
    _, gradient = native.value_and_grad(graph, ["x0"], "cpu")([native.array(X)], [])
    assert_close(native.numpy(gradient), np.where(X > 2, 2 * X, 0))


def test_models_are_saved_and_exported(tmp_path):
    onnxruntime = pytest.importorskip("onnxruntime")
    steps = uf.Input((4,), name="steps")
    model = uf.Model(
        steps, [layers.Dense(2)(ops.reshape(steps[ops.greater(steps, 0)], (-1, 1))), ops.nonzero(steps)[1]]
    )
    model.save(tmp_path / "m.uf")
    again = uf.load(tmp_path / "m.uf")
    model.export(tmp_path / "m.onnx")
    session = onnxruntime.InferenceSession(tmp_path / "m.onnx", providers=["CPUExecutionProvider"])
    for x in (X, X * 0, X[:1]):
        expected = model.predict(x, backend="numpy")
        for found in (again.predict(x, backend="numpy"), session.run(None, {"steps": x})):
            for a, e in zip(found, expected, strict=True):
                assert_close(a, e)


def test_a_graph_twice_in_another_has_sizes_of_its_own():
    from unifront.opset.replay import inline

    inner = graph_of(lambda x: ops.boolean_mask(x, ops.greater(x, 2)), ("float32[4]",))
    builder = Builder("outer")
    x = builder.input("x", parse_type("float32[4]"))
    (a,) = inline(inner, builder, [x], [])
    (b,) = inline(inner, builder, [ops.negative(x)], [])
    assert (str(a.type), str(b.type)) == ("float32[size]", "float32[size_1]")
    graph = verify(builder.graph([ops.concatenate([a, b], 0)]))
    x = np.array([3, -4, 1, -5], np.float32)
    same(outputs("numpy", graph, (x,)), np.array([3, 4, 5]))


def test_a_size_is_named_once():
    size = ops.bind_size(np.int32(3))
    assert size.shape == (3,)
    graph = graph_of(
        lambda x, n, stop: (
            ops.bind_size(stop, "batch"),
            ops.bind_size(ops.add(stop, 1), "steps"),
            ops.bind_size(ops.add(stop, 2), "steps"),
        )
    )
    assert [str(v.type) for v in graph.outputs] == ["bool[batch_1]", "bool[steps]", "bool[steps_1]"]
    twice = [node for node in graph.nodes if node.op.name == "bind_size"][0]
    again = Node(twice.op, twice.operands, (Value(99, twice.outputs[0].type),), twice.attributes)
    with pytest.raises(GraphError, match="the size batch_1 has a value already"):
        verify(type(graph)("g", graph.inputs, (), (*graph.nodes, again), graph.outputs))


def test_a_size_that_only_attributes_need_is_not_dead():
    graph = graph_of(lambda x, n, stop: ops.broadcast_to(n[:1], (ops.bind_size(stop).shape[0],)))
    assert "bind_size" in [node.op.name for node in simplified(graph).nodes]
    unread = graph_of(lambda x, n, stop: (ops.bind_size(stop), ops.tanh(x))[1])
    assert [node.op.name for node in simplified(unread).nodes] == ["tanh"]


@pytest.mark.parametrize(
    ("call", "error", "match"),
    [
        (lambda: ops.bind_size(np.float32(3)), ShapeError, "A size is an integer scalar, not float32"),
        (lambda: ops.bind_size(np.array([3])), ShapeError, "A size is an integer scalar, not int64"),
        (lambda: ops.bind_size(np.int32(-1)), ShapeError, "a size .* is -1; it is negative"),
        (lambda: ops.nonzero(np.float32(3)), ShapeError, "a scalar has no axes"),
        (lambda: ops.boolean_mask(X, X), ShapeError, "a mask of the type float32.* does not fit"),
        (
            lambda: ops.boolean_mask(X, np.ones(3, bool)),
            ShapeError,
            r"bool\[3\] does not fit the shape \(2, 4\)",
        ),
        (
            lambda: ops.repeat(X, np.array([1, 2, 3]), 0),
            ShapeError,
            r"\(3,\) is not one number for each position",
        ),
        (lambda: ops.arange(np.int32(3), step=0.5), ArgumentError, "the step is an int and not 0"),
        (lambda: ops.arange(np.float32(3)), ArgumentError, "bounds that are tensors are integer scalars"),
        (lambda: ops.nonzero(X, size=-1), ArgumentError, "size is an int from 0 up, not -1"),
    ],
)
def test_what_is_refused(call, error, match):
    with pytest.raises(error, match=match):
        call()


@given(
    hnp.arrays(np.int32, hnp.array_shapes(max_dims=3, min_side=0, max_side=4), elements=st.integers(-2, 2))
)
@settings(deadline=None, max_examples=50)
def test_numpy_agrees(x):
    for found, expected in zip(ops.nonzero(x), np.nonzero(x), strict=True):
        np.testing.assert_array_equal(found, expected)
    np.testing.assert_array_equal(ops.unique(x), np.unique(x))
    np.testing.assert_array_equal(ops.boolean_mask(x, x > 0), x[x > 0])
    np.testing.assert_array_equal(ops.repeat(x, np.abs(x).reshape(-1)), np.repeat(x, np.abs(x).reshape(-1)))
    assert type_of(ops.unique(x)) == TensorType(dtype_of("int32"), np.unique(x).shape)


def test_eager_calls_of_one_type_have_sizes_of_their_own():
    """Also where a call of that type was remembered twice with one size."""
    for name in backends.installed():
        place = backends.placement(name)
        for values, found in (([1, 0], 1), ([0, 1], 1), ([1, 1], 2), ([0, 0], 0), ([1, 0], 1)):
            (positions,) = ops.nonzero(place.backend.array(np.array(values)))
            assert tuple(positions.shape) == (found,), name


def test_two_sizes_of_one_value_are_one_symbol():
    """So what is as long fits together; another value's size is another symbol, however it is called."""
    builder = Builder()
    count, other = (builder.input(name, TensorType(dtype_of("int32"))) for name in ("count", "other"))
    first, second = ops.bind_size(count), ops.bind_size(count, "again")
    assert type_of(ops.logical_or(first, second)).shape == type_of(first).shape == type_of(second).shape
    assert type_of(ops.bind_size(other)).shape != type_of(first).shape
    assert sum(node.op.name == "bind_size" for node in builder.nodes) == 2
