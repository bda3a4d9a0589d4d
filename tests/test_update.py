"""`layer.update`: in a graph that is being built it is an output of that graph, never an assignment."""

import numpy as np
import pytest

import unifront as uf
from unifront import ops
from unifront.backends import installed
from unifront.errors import ArgumentError, ShapeError
from unifront.testing import assert_close

X = np.ones((2, 3), "float32")


class Keeps(uf.Layer):
    """Puts what ``given`` makes into its weight."""

    def __init__(self, given, **options):
        super().__init__(**options)
        self.given = given

    def build(self, shape):
        self.kept = self.add_weight((3,), "zeros", name="kept", trainable=False)
        self.source = self.add_weight((3,), "ones", name="source")

    def call(self, x):
        self.update(self.kept, self.given(self, x))
        return x


VALUES = {
    "variable": lambda layer, x: layer.source,
    "numpy": lambda layer, x: np.ones(3),
    "numbers": lambda layer, x: [1, 1, 1],
    "tensor": lambda layer, x: ops.mean(x, axis=0),
    "half": lambda layer, x: ops.cast(ops.mean(x, axis=0), "float16"),
}


@pytest.mark.parametrize("given", VALUES.values(), ids=VALUES)
def test_tracing_assigns_nothing(given):
    layer = Keeps(given)
    model = uf.Sequential([uf.Input((3,)), layer])
    traced = model.trace(True)
    assert traced.updates == (layer.kept,)
    assert traced.graph.outputs[-1].type == layer.kept.type
    assert_close(layer.kept.numpy(), np.zeros(3, "float32"))


@pytest.mark.parametrize("given", VALUES.values(), ids=VALUES)
@pytest.mark.parametrize("name", [name for name in installed() if name != "numpy"])
def test_training_does_it(name, given):
    layer = Keeps(given)
    model = uf.Sequential([uf.Input((3,)), layer, uf.layers.Dense(3)])
    model.compile("sgd", "mse")
    model.fit(X, X, backend=name, verbose=0)
    assert_close(layer.kept.numpy(), np.ones(3, "float32"))


@pytest.mark.parametrize("given", VALUES.values(), ids=VALUES)
def test_an_eager_call_does_it_at_once(given):
    layer = Keeps(given)
    layer(X)
    assert_close(layer.kept.numpy(), np.ones(3, "float32"))


def test_what_is_refused():
    with pytest.raises(
        ShapeError, match=r"keeps: keeps/kept has the shape \(3,\); a value of float32\[batch, 3\]"
    ):
        uf.Sequential([uf.Input((3,)), Keeps(lambda layer, x: x, name="keeps")])
    with pytest.raises(ShapeError, match=r"kept has the shape \(3,\); a value of shape \(2,\)"):
        uf.Sequential([uf.Input((3,)), Keeps(lambda layer, x: [1, 2])])
    layer = Keeps(VALUES["numpy"])
    layer(X)
    with pytest.raises(ArgumentError, match="kept is updated outside a layer"):
        layer.update(layer.kept, uf.Input((3,)))

    def in_a_loop(layer, x):
        def body(total, row):
            layer.update(layer.kept, layer.source)
            return total + row, row

        return ops.scan(body, ops.zeros_like(layer.kept), x)[0]

    with pytest.raises(
        ArgumentError, match="body gives a weight a new value, which a loop cannot carry outside"
    ):
        uf.Sequential([uf.Input((3,)), Keeps(in_a_loop)])
