"""Calls on native arrays made again: they give what the functions as written give, and run none of their checks."""

import gc
import weakref
from itertools import pairwise

import numpy as np
import pytest

import unifront as uf
from tests.attacks.wrong_calls import op_targets
from unifront import ops, tree
from unifront.backends import added_rows, backend_of, get_backend, installed, is_plain
from unifront.dtypes import dtype_of, floatx
from unifront.errors import ArgumentError, DTypeError, ShapeError, UnifrontError
from unifront.opset import elementwise, making, quick
from unifront.opset.tensor import type_of
from unifront.testing import assert_close

BACKENDS = installed()


def native(name, value):
    return get_backend(name).array(np.asarray(value))


def host(value):
    backend = backend_of(value)
    return (
        value
        if backend is None
        else np.asarray(backend.numpy(value), None if type_of(value).dtype.is_complex else "float64")
    )


@pytest.fixture
def counted(monkeypatch):
    """The operations that functions of one or two operands bind."""
    calls = []
    real = making.bind
    monkeypatch.setattr(
        making, "bind", lambda *args, **kwargs: calls.append(args[0]) or real(*args, **kwargs)
    )
    quick.forget()
    return calls


def test_from_the_third_call_on_the_function_does_not_run(counted):
    x, y = np.ones((2, 3), "float32"), np.ones(3, "float32")
    for _ in range(5):
        assert_close(ops.add(x, y), x + y)
    assert len(counted) == 2
    ops.add(x, np.ones((1, 3), "float32"))  # another shape
    assert len(counted) == 3


def different(value, k):
    """Other values of the type of ``value``, floats and booleans; integers may be indices and stay in range."""
    if not isinstance(value, np.ndarray) or value.dtype.kind not in "fb" or not value.ndim:
        return value
    rng = np.random.default_rng(k)
    return (
        rng.uniform(0.1, 0.9, value.shape).astype(value.dtype)
        if value.dtype.kind == "f"
        else rng.random(value.shape) < 0.5
    )


@pytest.mark.parametrize("name", [name for name in BACKENDS if name in ("numpy", "torch")])
def test_every_public_function_gives_the_same_again(name):
    compared = 0
    for target in op_targets():
        for k in range(4):
            given = tree.map_leaves(lambda leaf, k=k: different(leaf, k), target.right)
            given = tree.map_leaves(
                lambda leaf: native(name, leaf) if isinstance(leaf, np.ndarray) else leaf, given
            )
            try:
                with np.errstate(all="ignore"):  # some are not defined for what they are given
                    remembered = target.function(**given)
            except (UnifrontError, TypeError):  # the table has no right arguments for it
                continue
            with np.errstate(all="ignore"):
                fresh = target.function.__wrapped__(**given)  # what it runs may be remembered, it is not
            for one, other in zip(tree.leaves(remembered), tree.leaves(fresh), strict=True):
                if backend_of(other) is not None and type_of(other).dtype.kind != "k":
                    assert type_of(one) == type_of(other), target.name
                    np.testing.assert_array_equal(host(one), host(other), err_msg=target.name)
                    compared += 1
    assert compared > 300


@pytest.mark.parametrize("name", BACKENDS)
@pytest.mark.parametrize("pair", [(1, 1.0), (1, True), (2, 3), (0.5, float("nan")), (0, False)], ids=str)
def test_numbers_count_by_value_and_class(name, pair):
    x = native(name, np.array([1, -2], "int32"))
    for number in [*pair] * 4:
        found = ops.add(x, number)
        assert type_of(found).dtype.name == ("float32" if isinstance(number, float) else "int32")
        np.testing.assert_array_equal(host(found), np.array([1.0, -2.0]) + number)


@pytest.mark.parametrize("name", BACKENDS)
def test_the_sign_of_a_zero_counts(name):
    x = native(name, np.array([-0.0], "float32"))
    for number in (0.0, -0.0) * 3:
        assert np.signbit(host(ops.add(x, number)))[0] == np.signbit(np.float32(-0.0) + np.float32(number))


@pytest.mark.parametrize("name", BACKENDS)
def test_one_array_given_twice_is_not_two(name):
    x, y = native(name, np.float32([1, 2])), native(name, np.float32([3, 5]))
    for _ in range(3):
        assert_close(host(ops.subtract(x, x)), np.zeros(2))
    for _ in range(3):
        assert_close(host(ops.subtract(x, y)), np.array([-2.0, -3.0]))
        assert_close(host(ops.subtract(y, y)), np.zeros(2))


@pytest.mark.parametrize("name", BACKENDS)
def test_errors_are_those_of_the_function_however_often(name):
    x, y = native(name, np.ones((2, 3), "float32")), native(name, np.ones(2, "float32"))
    for _ in range(4):
        with pytest.raises(ShapeError, match=r"add: The shapes \(2, 3\) and \(2,\) do not broadcast"):
            ops.add(x, y)
        with pytest.raises(ArgumentError, match=r"sum: axis is an int or a list, not True"):
            ops.sum(x, axis=True)
        assert type_of(ops.sum(x, axis=1)).shape == (2,)
        with pytest.raises(DTypeError, match="not 'one'"):
            ops.add(x, "one")


def test_a_value_that_is_read_is_read_again():
    def first(x):
        return ops.multiply(x, float(uf.opset.tensor.to_numpy(x)[0]))

    def size(x, count):
        return ops.reshape(x, (int(count), -1))

    x = np.float32([2, 3])
    for function, args, expected in (
        (first, (x,), [4, 6]),
        (first, (x + 1,), [9, 12]),
        (size, (x, np.array(2)), [[2], [3]]),
        (size, (x, np.array(1)), [[2, 3]]),
    ):
        remembered = quick.remembering(function)
        for _ in range(3):
            assert_close(remembered(*args), np.float32(expected))
    both = quick.remembering(size)
    for count in (1, 1, 1, 2, 1):
        assert both(x, np.array(count)).shape[0] == count


def test_indices_are_checked_each_time():
    table, good, bad = np.ones((3, 2), "float32"), np.int32([0, 2]), np.int32([0, 7])
    for _ in range(4):
        assert ops.embedding(good, table).shape == (2, 2)
    for _ in range(2):
        with pytest.raises(ArgumentError, match="7"):
            ops.embedding(bad, table)


@pytest.mark.parametrize("name", [name for name in BACKENDS if name != "numpy"])
def test_a_row_that_is_added_counts_at_once(name):
    x = native(name, np.float32([1, 2]))
    rows = added_rows(name)
    for _ in range(3):
        assert host(ops.exp(x))[0] == pytest.approx(np.e, rel=1e-6)
    rows[elementwise.EXP] = lambda x: x
    try:
        assert host(ops.exp(x))[0] == 1
    finally:
        del rows[elementwise.EXP]
    assert host(ops.exp(x))[0] == pytest.approx(np.e, rel=1e-6)


@pytest.mark.parametrize("name", BACKENDS)
@pytest.mark.parametrize("dtype", ["float16", "bfloat16", "float32"])
def test_rows_of_plain_operands_give_what_the_rows_give(name, dtype):
    rows = get_backend(name).rows()
    compared = set()
    for spec, row in rows.table.items():
        plain = getattr(row, "plain", None)
        for sample in [] if plain is None else spec.samples(np.random.default_rng(0)):
            given = [np.asarray(one) for one in sample.operands]
            operands = [
                native(name, x.astype(dtype_of(dtype).numpy) if x.dtype.kind == "f" else x) for x in given
            ]
            if all(is_plain(type_of(one)) for one in operands):
                one, other = (run(*operands, **sample.attributes) for run in (row, plain))
                for a, b in zip(tree.leaves(one), tree.leaves(other), strict=True):
                    assert type_of(a) == type_of(b)
                    np.testing.assert_array_equal(host(a), host(b), err_msg=spec.name)
                compared.add(spec.name)
    assert len(compared) >= {"numpy": 0, "jax": 1}.get(name, 6), compared


@pytest.mark.parametrize(
    ("change", "values", "got"),
    [
        (uf.set_floatx, ("float16", "float64", "float32"), lambda x: ops.cast(x, floatx())),
        (
            uf.config.set_image_data_format,
            ("channels_first", "channels_last"),
            lambda x: ops.average_pool(x, 2),
        ),
    ],
)
def test_defaults_of_the_process_count(change, values, got):
    x = np.arange(64, dtype="float32").reshape(1, 4, 4, 4)
    remembered = quick.remembering(got)
    for value in values:
        change(value)
        try:
            expected = got(x)
            for _ in range(3):
                result = remembered(x)
                assert (result.dtype, result.shape) == (expected.dtype, expected.shape)
        finally:
            change(values[-1])


def test_a_change_while_a_call_is_noted_counts(monkeypatch):
    x, plain = np.float32([1, 2]), quick.Plan.function

    def changing(plan):
        uf.set_floatx("float16")  # as another thread might, just before the plan is kept
        return plain(plan)

    remembered = quick.remembering(lambda x: ops.cast(x, floatx()))
    remembered(x)
    try:
        with monkeypatch.context() as patch:
            patch.setattr(quick.Plan, "function", changing)
            assert remembered(x).dtype == "float32"
        assert remembered(x).dtype == "float16"
    finally:
        uf.set_floatx("float32")


@pytest.mark.parametrize("name", ["by", "lambda", "not a name", "'"])
def test_attributes_of_any_name_reach_the_row(name):
    seen = []
    step = quick.Step(
        elementwise.EXP, {name: 2.0, "axis": 1}, (0,), None, lambda x, **given: seen.append(given)
    )
    quick.Plan(((0, None),), (), (step,), 1).function()((np.ones(2),))
    assert seen == [{name: 2.0, "axis": 1}]


def test_keys_are_never_remembered():
    drawn = [ops.dropout(np.ones(64, "float32"), uf.random_key(seed), 0.5) for seed in range(4)]
    assert all((one != other).any() for one, other in pairwise(drawn))


@pytest.mark.parametrize("name", BACKENDS)
def test_weights_are_the_arrays_that_they_are_at_the_time(name, counted):
    with uf.backend(name):
        weight, other = uf.Variable(np.float32([1, 2])), uf.metrics.Mean().total
        x = native(name, np.float32([10, 20]))
        for value in range(5):
            weight.assign(native(name, np.float32([value, 1])))
            other.assign(native(name, np.float32(value)))
            assert_close(host(ops.add(x, weight)), [10.0 + value, 21])
            assert_close(host(ops.multiply(x1=weight, x2=other)), [value * value, value])
        assert len(counted) == (4 if name in ("jax", "torch") else 10)  # the leaves of others are no arrays
        weight.retype("float64")  # another dtype
        assert type_of(ops.add(x, weight)).dtype.name == "float64"
        layer = uf.layers.Dense(2)
        layer.build((None, 2))
        for value in range(4):
            layer.set_weights([np.full((2, 2), value, "float32"), np.float32([1, 2])])
            assert_close(host(layer(x[None])), [[30.0 * value + 1, 30 * value + 2]])


def test_a_weight_meets_arrays_of_each_backend_in_turn():
    weight = uf.Variable(np.float32([1, 2]))
    for _ in range(4):
        for name in BACKENDS:
            found = ops.add(native(name, np.float32([1, 1])), weight)
            assert backend_of(found).name == ("jax" if name == "numpy" else name)  # the default
            assert_close(host(found), [2.0, 3])


def test_what_a_call_does_with_a_weight_is_remembered_with_where_it_is_called():
    """In a layer that computes in another dtype weights are cast, in a graph they are read by that, in a stateless call
    other values stand for them."""

    class Scale(uf.layers.Layer):
        def build(self, shape):
            self.scale = self.add_weight((2,), "ones", name="scale")
            self.kept = self.add_weight((2,), "ones", name="kept", autocast=False)

        def call(self, x):
            return ops.multiply(x, self.scale), ops.multiply(ops.cast(x, "float32"), self.kept)

    x = np.ones((1, 2), "float32")
    for _ in range(4):
        for dtype, dtypes in (("float32", ["float32"] * 2), ("mixed_float16", ["float16", "float32"])):
            layer = Scale(dtype=dtype)
            assert [type_of(one).dtype.name for one in layer(x)] == dtypes
        layer = Scale()
        layer(x)
        own = layer.scale + 0.0
        again = uf.jit(lambda x, layer=layer: ops.add(x, layer.scale))
        for value in (1, 2):
            layer.scale.assign(np.full(2, value, "float32"))
            assert_close(host(ops.add(own, layer.scale)), [1.0 + value] * 2)
            assert_close(host(again(own)), [1.0 + value] * 2)
        (found, _), _ = layer.stateless_call([np.full(2, 5, "float32"), np.ones(2, "float32")], [], x)
        assert_close(host(found), [[5.0, 5]])


def test_a_weight_stays_one_where_nothing_runs():
    pytest.importorskip("torch")
    with uf.backend("torch"):
        weight = uf.Variable(np.float32([1, 2]))
        for _ in range(4):
            assert ops.is_tensor(weight) is False
            assert ops.shape(weight) == (2,)


def test_gradients_reach_weights_through_remembered_calls():
    torch = pytest.importorskip("torch")
    with uf.backend("torch"):
        weight = uf.Variable(np.float32([1, 2]))
        for turn in range(6):
            weight.trainable = turn != 4
            found = ops.sum(ops.multiply(torch.ones(2), weight))
            assert found.requires_grad == (turn != 4)
            if turn != 4:
                weight.value.grad = None
                found.backward()
                assert_close(weight.value.grad.numpy(), np.ones(2, "float32"))
            with torch.no_grad():
                assert not ops.sum(ops.multiply(torch.ones(2), weight)).requires_grad


def test_gradients_pass_through_remembered_calls():
    torch = pytest.importorskip("torch")
    for _ in range(4):
        x = torch.ones(3, requires_grad=True)
        ops.sum(ops.square(ops.multiply(x, 2.0))).backward()
        assert_close(x.grad.numpy(), np.full(3, 8, "float32"))


def test_traced_arrays_of_jax_are_left_alone():
    jax = pytest.importorskip("jax")

    def function(x):
        return ops.add(ops.multiply(x, 2.0), x)

    for n in (2, 3, 2):
        assert_close(np.asarray(jax.jit(function)(np.ones(n, "float32"))), np.full(n, 3, "float32"))
        assert_close(np.asarray(jax.jit(function)(jax.numpy.ones(n))), np.full(n, 3, "float32"))
        assert_close(np.asarray(function(jax.numpy.ones(n))), np.full(n, 3, "float32"))


def test_a_constant_of_a_tensorflow_function_does_not_leak():
    tf = pytest.importorskip("tensorflow")
    quick.forget()
    constant = tf.ones(2)
    inside = tf.function(lambda: ops.add(constant, 2.0), autograph=False)
    for _ in range(3):
        inside.get_concrete_function()
    assert_close(inside().numpy(), np.full(2, 3, "float32"))
    for _ in range(3):
        assert_close(ops.add(constant, 2.0).numpy(), np.full(2, 3, "float32"))


def test_no_array_is_kept():
    torch = pytest.importorskip("torch")
    quick.forget()
    x, y = torch.ones(7), torch.ones(7)
    kept = [weakref.ref(x), weakref.ref(y)]
    for _ in range(4):
        ops.stack([ops.add(x, y), x])
    del x, y
    gc.collect()
    assert [one() for one in kept] == [None, None]


def test_no_more_than_so_many_signatures_are_kept():
    def same(x):
        return ops.negative(x)

    remembered = quick.remembering(same)
    kept = quick._remembered[-2:]
    for size in range(quick._MOST + 10):
        remembered(np.ones(size, "float32"))
        remembered(np.ones(2 * size, "float32"))
    assert all(len(plans) <= quick._MOST for plans in kept)


REMEMBERED = {
    "add": lambda x, y: ops.add(x, y),
    "divide": lambda x, y: ops.divide(x, y),
    "relu": lambda x, y: ops.relu(x) * y,
    "matmul": lambda x, y: ops.matmul(x, y),
    "reshape": lambda x, y: ops.reshape(x, (1, 4)) * 2.0,
    "sum": lambda x, y: ops.sum(x * y, axis=-1, keepdims=True),
}


@pytest.mark.parametrize("case", REMEMBERED)
@pytest.mark.parametrize("name", [name for name in BACKENDS if name != "numpy"])
def test_calls_made_again_keep_gradients_and_are_traced_by_the_framework(name, case):
    function = REMEMBERED[case]
    x, y = np.array([[0.0, -1.0], [2.0, 3.0]], "float32"), np.array([[1.0, 2.0], [4.0, 5.0]], "float32")
    for _ in range(3):
        function(native(name, x), native(name, y))
    if name == "torch":
        import torch

        leaf = torch.tensor(x, requires_grad=True)
        function(leaf, torch.tensor(y)).sum().backward()
        gradient, traced = leaf.grad, function(torch.tensor(x), torch.tensor(y))
    elif name == "jax":
        import jax

        gradient = jax.grad(lambda one: function(one, native(name, y)).sum())(native(name, x))
        traced = jax.jit(function)(native(name, x), native(name, y))
    else:
        import tensorflow as tf

        leaf = native(name, x)
        with tf.GradientTape() as tape:
            tape.watch(leaf)
            loss = tf.reduce_sum(function(leaf, native(name, y)))
        gradient = tape.gradient(loss, leaf)
        compiled = tf.function(lambda one, other: function(one, other)).get_concrete_function(
            *(tf.TensorSpec(one.shape) for one in (leaf, leaf))
        )
        assert not compiled.captured_inputs  # a tensor that was kept would be an argument
        assert compiled.outputs[0].shape == function(leaf, leaf).shape
        traced = compiled(leaf, native(name, y))
    expected = {
        "add": np.ones_like(x),
        "divide": 1 / y,
        "relu": y * (x > 0),
        "matmul": np.broadcast_to(y.sum(1), x.shape),
        "reshape": np.full_like(x, 2),
        "sum": y,
    }[case]
    assert_close(host(gradient), expected)
    assert_close(host(traced), host(function(native(name, x), native(name, y))))


@pytest.mark.parametrize("name", BACKENDS)
def test_relu_made_again_gives_what_it_gave(name):
    x = native(name, np.array([[np.nan, -np.inf, -1.0, -0.0, 0.0, np.inf]], "float32"))
    first, *others = (host(ops.relu(x)) for _ in range(4))
    np.testing.assert_array_equal(first, [[np.nan, 0.0, 0.0, 0.0, 0.0, np.inf]])
    for other in others:
        np.testing.assert_array_equal(first, other)
        np.testing.assert_array_equal(np.signbit(first), np.signbit(other))


def test_a_weight_is_not_moved_where_nothing_runs():
    torch = pytest.importorskip("torch")
    weight = uf.Variable(np.float32([1, 2]))
    kept = weight.native("torch")
    for _ in range(4):
        (
            ops.cast(weight, "float32"),
            ops.shape(weight),
            ops.is_tensor(weight),
        )  # the default is another backend
        assert weight.home == "torch:cpu"
    assert torch.is_tensor(kept)
