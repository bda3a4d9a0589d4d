"""Gradients of maxima in compiled programs, where XLA may compute an element twice and round it in two ways."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from unifront import ops
from unifront.backends import get_backend
from unifront.opset.spec import OPS

jax = pytest.importorskip("jax")
jnp = pytest.importorskip("jax.numpy")


def row(name: str) -> Any:
    return get_backend("jax").rows("cpu").table[OPS[name]]


@pytest.mark.parametrize("name", ["max", "min"])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_they_are_those_of_single_operations(name: str, dtype: str) -> None:
    """Normalized words, some of them twice: a maximum of JAX's own loses the gradient in one of ten."""
    tokens = jnp.asarray([[0, 5, 2, 4, 1], [4, 1, 3, 4, 1], [3, 3, 3, 3, 3]])

    def loss(table: Any, scale: Any, offset: Any) -> Any:
        x = jnp.take(table, tokens, axis=0)
        x = x - x.mean((1, 2), keepdims=True)
        x = x * jax.lax.rsqrt((x * x).mean((1, 2), keepdims=True) + 0.01) * scale + offset
        return (row(name)(x, axes=(1,), keepdims=False) ** 2).sum()

    rng, compiled = np.random.default_rng(0), jax.jit(jax.grad(loss))
    with jax.enable_x64(dtype == "float64"):
        given = [jnp.asarray(rng.normal(size=(100, *size)).astype(dtype)) for size in ((6, 1), (1,), (1,))]
        bound = 2e-3 if dtype == "float32" else 1e-9
        for expected, *draw in zip(jax.vmap(jax.grad(loss))(*given), *given, strict=True):
            np.testing.assert_allclose(compiled(*draw), expected, rtol=bound, atol=bound)


@pytest.mark.parametrize("name", ["maximum", "minimum", "clip"])
def test_the_larger_of_two_has_the_gradient_of_jax(name: str) -> None:
    """Of equal ones either has half of it, at any broadcast and order."""
    attributes = {"minimum": -0.5, "maximum": 0.5} if name == "clip" else {}
    theirs = {"maximum": jnp.maximum, "minimum": jnp.minimum, "clip": lambda x: jnp.clip(x, -0.5, 0.5)}[name]
    x = np.array([[-1.0, -0.5, 0.0], [0.5, 2.0, 0.25]], "float32")
    given = (x,) if name == "clip" else (x, np.array([[0.0, -0.5, 0.25]], "float32"))

    def ours(*operands: Any) -> Any:
        return row(name)(*operands, **attributes)

    places = tuple(range(len(given)))
    for function in (lambda one, f: one(*f), lambda one, f: jnp.sin(one(*(x**3 for x in f)))):
        own, other = (
            jax.jit(jax.grad(lambda *f, o=o, g=function: g(o, f).sum(), places))(*given)
            for o in (ours, theirs)
        )
        for a, b in zip(own, other, strict=True):
            np.testing.assert_allclose(a, b, rtol=1e-6)
    if name != "clip":
        assert jax.jit(ours)(*(x.astype("int32") for x in given)).dtype == jnp.int32
    forward = jax.jvp(ours, given, given)
    for a, b in zip(forward, jax.jvp(theirs, given, given), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-6)


def test_equal_elements_share_the_gradient_along_any_axes() -> None:
    x = np.zeros((2, 3, 4), "float32")
    x[0, 1, 2] = x[0, 2, 0] = x[1, 0, 0] = 5
    x[1, 2, 3] = np.nan
    for axes, shares in (((1, 2), {(0, 1, 2): 0.5, (0, 2, 0): 0.5, (1, 2, 3): 1}), ((2, 0), None)):
        for keepdims in (False, True):
            gradient = jax.jit(
                jax.grad(lambda x, k=keepdims, a=axes: row("max")(x, axes=a, keepdims=k).sum())
            )
            found = np.asarray(gradient(x))
            np.testing.assert_allclose(found.sum(axes), 1)
            assert (
                shares is None
                or {i: found[i] for i in zip(*map(list, found.nonzero()), strict=True)} == shares
            )
    second = jax.jit(
        jax.grad(lambda x: jax.grad(lambda x: row("max")(x**3, axes=(0,), keepdims=False))(x).sum())
    )
    np.testing.assert_allclose(second(np.array([1.0, 2.0], "float32")), [0, 12])
    assert ops.max(jnp.asarray([1, 3])).dtype == jnp.int32
