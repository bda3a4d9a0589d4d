"""Branches, counted loops, maps and scans: at once and in graphs, the same on every backend, with gradients."""

import numpy as np
import pytest

import unifront as uf
from unifront import ops
from unifront.backends import get_backend, installed
from unifront.errors import ArgumentError, ShapeError
from unifront.opset.tensor import to_numpy
from unifront.testing import assert_close

RNG = np.random.default_rng(0)
X = RNG.normal(size=(7, 3)).astype("float32")

CASES = {
    "fori_loop": (
        lambda x: ops.fori_loop(1, 4, lambda i, v: ops.multiply(v, ops.cast(i, "float32")), x),
        X * 6,
    ),
    "fori_loop, none": (lambda x: ops.fori_loop(3, 3, lambda i, v: v + 1, x), X),
    "map": (lambda x: ops.map(lambda row: ops.sum(row) * row, x), X.sum(1, keepdims=True) * X),
    "map of a dict": (
        lambda x: ops.map(lambda row: {"a": row["x"] * 2, "b": row["x"]}, {"x": x})["a"],
        X * 2,
    ),
    "vectorized_map": (lambda x: ops.vectorized_map(lambda rows: rows[0] - rows[1], [x, x * 3]), -2 * X),
    "switch": (
        lambda x: ops.switch(1, [lambda a: a, lambda a: a * 2, lambda a: a * 3], x),
        X * 2,
    ),
    "switch by a tensor": (
        lambda x: ops.switch(
            ops.cast(ops.sum(x) * 0 + 9, "int32"), [lambda a: a, lambda a: a * 2, lambda a: a * 3], x
        ),
        X * 3,
    ),
    "associative_scan": (lambda x: ops.associative_scan(ops.add, x, axis=0), X.cumsum(0)),
    "associative_scan, reverse": (
        lambda x: ops.associative_scan(ops.add, x, reverse=True, axis=-1),
        X[:, ::-1].cumsum(1)[:, ::-1],
    ),
    "associative_scan of a pair": (
        lambda x: ops.associative_scan(lambda a, b: (a[0] * b[0], b[0] * a[1] + b[1]), (ops.tanh(x), x))[0],
        np.tanh(X).cumprod(0),
    ),
    "while_loop over one": (lambda x: ops.while_loop(lambda v: ops.max(v) < 50, lambda v: v * 2, x), None),
    "while_loop over a dict": (
        lambda x: ops.while_loop(
            lambda v: v["n"] < 3,
            lambda v: {"n": v["n"] + 1, "x": v["x"] * 2},
            {"n": ops.cast(ops.sum(x) * 0, "int32"), "x": x},
        )["x"],
        X * 8,
    ),
}


@pytest.mark.parametrize("case", CASES)
def test_at_once(case):
    function, wanted = CASES[case]
    if wanted is None:
        wanted = X * 2.0 ** np.ceil(np.log2(50 / X.max()))
    for name in ("numpy", "torch", "tensorflow"):
        if name in installed():
            found = to_numpy(function(get_backend(name).array(X)))
            assert_close(found, wanted, what=name)


@pytest.mark.parametrize("free", [False, True])
def test_in_one_graph(free):
    x = uf.Input(batch_shape=(None if free else 7, 3))
    model = uf.Model(x, [function(x) for function, _ in CASES.values()])
    for name in installed():
        found = model(get_backend(name).array(X))
        for case, one in zip(CASES, found, strict=True):
            wanted = CASES[case][1]
            wanted = X * 2.0 ** np.ceil(np.log2(50 / X.max())) if wanted is None else wanted
            assert_close(to_numpy(one), wanted, what=f"{name} {case}")


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: ops.switch(0, [], X), ArgumentError, "switch: branches are functions, at least one"),
        (
            lambda: ops.scan(lambda c, x: (c, x), X, X, unroll=-1),
            ArgumentError,
            "a positive integer or boolean",
        ),
        (lambda: ops.scan(lambda c, x: (c, x), X), ArgumentError, "no xs to scan over and no length"),
        (
            lambda: ops.associative_scan(ops.add, (X, X[1:])),
            ShapeError,
            r"same first dimension.*\(7, 3\), \(6, 3\)",
        ),
        (lambda: ops.associative_scan(3, X), ArgumentError, "f is a function, not 3"),
    ],
)
def test_errors_say_what_does_not_fit(call, error, message):
    with pytest.raises(error, match=message):
        call()


def test_sequences_of_a_length_that_is_not_known_in_a_function_of_tensorflow() -> None:
    tf = pytest.importorskip("tensorflow")
    layer = uf.layers.Dense(2)
    layer.build((None, 3))

    def loops(x):
        carry, y = ops.scan(lambda carry, row: (carry + row, carry * row), ops.sum(x, 0) * 0, x)
        with tf.GradientTape() as tape:
            tape.watch(x)
            mapped = ops.map(lambda row: layer(row[None])[0], x)
            loss = tf.reduce_sum(mapped)
        drawn = ops.map(lambda row: row * 0 + uf.random.normal((3,)), x)
        return carry, y, mapped, tape.gradient(loss, x), drawn

    traced = tf.function(loops, input_signature=[tf.TensorSpec((None, 3))], autograph=False)
    seen = []
    for rows in (X, X[:2]):
        carry, y, mapped, gradient, drawn = (one.numpy() for one in traced(tf.constant(rows)))
        before = np.cumsum(rows, 0) - rows
        assert_close(carry, rows.sum(0))
        assert_close(y, before * rows, bounds={"float32": 1e-6})
        assert_close(mapped, rows @ layer.kernel.numpy())
        assert_close(gradient, np.broadcast_to(layer.kernel.numpy().sum(1), rows.shape))
        seen.append(drawn)
    every = np.concatenate(seen)
    assert len(np.unique(every)) == every.size  # other numbers for each row and each call
