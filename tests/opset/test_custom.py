"""A gradient that the user writes: at once by each framework's autograd, in a graph, and the gradient of it."""

import numpy as np
import pytest

import unifront as uf
from unifront import ops
from unifront.errors import ArgumentError
from unifront.testing import assert_close

X = np.array([-2.0, 0.5, 3.0], "float32")


@ops.custom_gradient
def rounded(x, n):
    """The nearest integer and a half; straight through backwards, three times over. ``n`` has no gradient."""
    return ops.round(x) + ops.cast(n, "float32"), lambda g: (g * x * 3.0, None)


N = np.array([1, 2, 3], "int32")


def test_pytorch_at_once():
    import torch

    x = torch.tensor(X, requires_grad=True)
    y = rounded(x, torch.tensor(N))
    assert_close(y.detach().numpy(), np.round(X) + N)
    (first,) = torch.autograd.grad(y.sum(), x, create_graph=True)
    assert_close(first.detach().numpy(), 3 * X)
    (second,) = torch.autograd.grad(first.sum(), x)
    assert_close(second.numpy(), np.full(3, 3, "float32"))


def test_jax_at_once():
    import jax

    loss = lambda x: rounded(x, jax.numpy.asarray(N)).sum()  # noqa: E731
    assert_close(np.asarray(jax.jit(jax.grad(loss))(X)), 3 * X)
    assert_close(np.asarray(jax.grad(lambda x: jax.grad(loss)(x).sum())(X)), np.full(3, 3, "float32"))


def test_tensorflow_at_once():
    import tensorflow as tf

    x = tf.constant(X)
    with tf.GradientTape() as outer:
        outer.watch(x)
        with tf.GradientTape() as tape:
            tape.watch(x)
            y = rounded(x, tf.constant(N))
        first = tape.gradient(y, x)
    assert_close(first.numpy(), 3 * X)
    assert_close(outer.gradient(first, x).numpy(), np.full(3, 3, "float32"))


class Rounding(uf.Layer):
    def build(self, shape):
        self.w = self.add_weight(shape=(3,), initializer="ones", name="w")

    def call(self, x):
        return rounded(x * self.w, N)


@pytest.mark.parametrize("backend", ["torch", "jax", "tensorflow"])
def test_in_a_graph(backend):
    x = uf.Input((3,))
    model = uf.Model(x, Rounding()(x))
    model.compile(uf.optimizers.SGD(1.0), "mae")
    data = X[None]
    model.fit(data, np.full((1, 3), -100.0, "float32"), epochs=1, verbose=0, backend=backend)
    # The loss is the mean of (y + 100): its gradient by w is 3 x · x / 3.
    assert_close(model.get_weights()[0], 1 - X * X)


def test_refusals():
    with pytest.raises(ArgumentError, match="gives a pair, its result and the function of its gradient"):
        ops.custom_gradient(lambda x: x)(X)
    y = uf.Input((3,))
    with pytest.raises(ArgumentError, match="the gradient gives 2 tensors for 1 arguments"):
        ops.custom_gradient(lambda x: (x, lambda g: (g, g)))(y)
