"""One compiled program serves every size: attributes that hold named dimensions, on every backend."""

import numpy as np
import pytest

from unifront import backends, ops
from unifront.ir.types import parse_type
from unifront.ir.verify import verify
from unifront.opset.tensor import Builder
from unifront.testing import assert_close

TYPE = parse_type("float32[batch, time, 4]")
TABLE = np.arange(12, dtype="float32").reshape(6, 2)


def branch(x):
    """A body that knows the size ``time`` only from around it."""
    half = x[:, ::2]
    return ops.cond(
        ops.less(ops.sum(x), 0.0),
        lambda: ops.reshape(ops.tanh(ops.flatten(half)), half.shape),
        lambda: ops.negative(half),
    )


def steps(x):
    """A body within a body, likewise."""

    def step(total, row):
        def fresh():
            return ops.add(total, ops.full((), x.shape[0], "float32", like=row))

        return ops.cond(ops.less(ops.sum(row), 0.0), fresh, lambda: total), ops.sum(row)

    half = ops.reshape(x, (-1, 4))
    return ops.scan(step, ops.zeros((), "float32", like=x), half)[1]


FUNCTIONS = {
    "cond": branch,
    "scan": steps,
    "reshape": lambda x: ops.reshape(x, (x.shape[0], -1)),
    "reshape of a product": lambda x: ops.reshape(x, (-1, 2)),
    "flatten and back": lambda x: ops.reshape(ops.flatten(x), x.shape),
    "broadcast_to": lambda x: ops.broadcast_to(x[:, :1], x.shape),
    "concatenate": lambda x: ops.concatenate([x, x[:, 1:]], 1)[:, 1 : x.shape[1]],
    "split": lambda x: ops.split(x, [1], 1)[1],
    "stack": lambda x: ops.stack([x, x], 1),
    "last": lambda x: x[:, -1],
    "reversed": lambda x: x[:, ::-1, ::-2],
    "strided": lambda x: x[:, 1::2],
    "until": lambda x: x[:, : x.shape[1] - 1],
    "pad": lambda x: ops.pad(x, ((0, 0), (1, 2), (0, 0)), "reflect"),
    "repeat": lambda x: ops.repeat(x, 2, 1),
    "tile": lambda x: ops.tile(x[:, :1], (1, x.shape[1], 1)),
    "zeros_like": lambda x: ops.zeros_like(x),
    "positions": lambda x: ops.iota(x.shape, 1, like=x),
    "arange": lambda x: ops.arange(1, x.shape[1], 2, like=x),
    "size": lambda x: ops.full((2,), x.shape[0] * x.shape[1], "int32", like=x),
    "mean": lambda x: ops.mean(x, 1),
    "var": lambda x: ops.var(x, (0, 1)),
    "argmax": lambda x: ops.argmax(x),
    "cumsum": lambda x: ops.cumsum(x, 1, exclusive=True),
    "take": lambda x: ops.take(x, np.array([-1, 0]), 1),
    "take_along_axis": lambda x: ops.take_along_axis(x, ops.argsort(x, 1)[:, :1], 1),
    "embedding": lambda x: ops.embedding(ops.argmax(x, -1), TABLE),
    "one_hot": lambda x: ops.one_hot(ops.argmax(x, -1), 4),
    "matmul": lambda x: x @ ops.swapaxes(x, 1, 2),
    "einsum": lambda x: ops.einsum("btd,bsd->bts", x, x),
    "dense": lambda x: ops.dense(x, np.ones((4, 3), "float32"), np.ones(3, "float32")),
    "tensordot": lambda x: ops.tensordot(x, np.ones((4, 2), "float32"), 1),
}


def graph_of(name):
    builder = Builder("program")
    return verify(builder.graph([FUNCTIONS[name](builder.input("x", TYPE))]))


@pytest.mark.parametrize("framework", [name for name in backends.installed() if name != "numpy"])
@pytest.mark.parametrize("name", FUNCTIONS)
def test_one_program_for_all_sizes(name, framework):
    graph, native = graph_of(name), backends.get_backend(framework)
    judge, program = backends.get_backend("numpy").compile(graph), native.compile(graph, "cpu")
    for shape in ((2, 3, 4), (1, 5, 4)):
        x = np.random.default_rng(0).normal(size=shape).astype("float32")
        (expected,) = judge([x], [])
        (found,) = program([native.array(x, "cpu")], [])
        assert_close(native.numpy(found), expected, what=f"{name} on {framework}")
        assert expected.shape == FUNCTIONS[name](x).shape
