"""The gradient that JAX's convolutions take of large kernels on a CPU, against XLA's own."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

jax = pytest.importorskip("jax")
jnp = pytest.importorskip("jax.numpy")
conv = pytest.importorskip("unifront_jax.lower.conv")

GEOMETRIES = {
    "plain": ((1, 1), "valid", (1, 1)),
    "strided": ((2, 1), "same", (1, 1)),
    "dilated": ((1, 1), "same", (2, 3)),
    "padded": ((1, 2), ((2, 0), (1, 3)), (1, 1)),
    "one axis": ((2,), "same", (1,)),
    "three axes": ((1, 2, 1), "same", (1, 1, 1)),
}
SIZES, WINDOW = (9, 7, 5), (3, 2, 2)


def _ours(x, kernel, strides, padding, dilation):
    return conv._conv(x, kernel, None, strides, padding, dilation, 1, "channels_last")


def _plain(x, kernel, strides, padding, dilation):
    letters = "HWD"[: len(strides)]
    padding = padding if isinstance(padding, tuple) else padding.upper()
    numbers = (f"N{letters}C", f"{letters}IO", f"N{letters}C")
    return jax.lax.conv_general_dilated(
        x, kernel, strides, padding, rhs_dilation=dilation, dimension_numbers=numbers
    )


@pytest.fixture(params=GEOMETRIES)
def case(request, monkeypatch):
    """Geometry and operands, with every convolution large and patches made of one image, or of all four, at a time."""
    monkeypatch.setattr(conv, "POLICY", replace(conv.POLICY, positions=0, multiplications=0, patches=400))
    geometry, generator = GEOMETRIES[request.param], np.random.default_rng(0)
    rank = len(geometry[0])
    with jax.enable_x64(True):
        x = jnp.asarray(generator.standard_normal((4, *SIZES[:rank], 3)))
        kernel = jnp.asarray(generator.standard_normal((*WINDOW[:rank], 3, 4)))
        yield geometry, x, kernel


def _close(found, wanted):
    np.testing.assert_allclose(found, wanted, rtol=1e-10, atol=1e-10)


def test_gradients_are_those_of_XLA(case):
    geometry, x, kernel = case

    def gradients(convolution):
        return jax.jit(jax.grad(lambda *operands: (convolution(*operands, *geometry) ** 3).sum(), (0, 1)))

    for found, wanted in zip(gradients(_ours)(x, kernel), gradients(_plain)(x, kernel), strict=True):
        _close(found, wanted)


def test_forward_mode_and_over_reverse_mode(case):
    geometry, *operands = case

    def curved(convolution):
        return lambda *operands: (convolution(*operands, *geometry) ** 3).sum()

    def tangents(function):
        return jax.jit(lambda *operands: jax.jvp(function, operands, operands)[1])

    for differentiated in (lambda f: f, lambda f: jax.grad(f, 1)):
        found, wanted = (tangents(differentiated(curved(conv)))(*operands) for conv in (_ours, _plain))
        _close(found / wanted, jnp.ones_like(wanted))


def test_a_gradient_per_example(case):
    geometry, x, kernel = case

    def of_kernel(convolution):
        return jax.grad(lambda k, x: (convolution(x, k, *geometry) ** 2).sum())

    batches = jnp.stack([x, 2 * x])
    found, wanted = (jax.jit(jax.vmap(of_kernel(f), (None, 0)))(kernel, batches) for f in (_ours, _plain))
    _close(found, wanted)


def test_a_large_convolution_in_float32():
    generator = np.random.default_rng(1)
    x = jnp.asarray(generator.standard_normal((16, 32, 32, 16), np.float32))
    kernel = jnp.asarray(generator.standard_normal((3, 3, 16, 32), np.float32))
    upstream = jnp.asarray(generator.standard_normal((16, 32, 32, 32), np.float32))
    geometry = ((1, 1), "same", (1, 1))

    def of_kernel(convolution):
        return jax.jit(jax.grad(lambda k: (convolution(x, k, *geometry) * upstream).sum()))

    assert "platform_index" in str(jax.make_jaxpr(of_kernel(_ours))(kernel))
    found, wanted = of_kernel(_ours)(kernel), of_kernel(_plain)(kernel)
    np.testing.assert_allclose(found, wanted, atol=1e-4 * float(jnp.abs(wanted).max()))


def test_the_gradient_is_exported_with_a_free_batch():
    kernel = jnp.ones((3, 3, 2, 4))
    (batch,) = jax.export.symbolic_shape("batch")
    x = jax.ShapeDtypeStruct((batch, 16, 16, 2), jnp.float32)

    def gradient(x):
        return jax.grad(lambda k: _ours(x, k, (1, 1), "same", (1, 1)).sum())(kernel)

    exported, images = jax.export.export(jax.jit(gradient))(x), jnp.ones((3, 16, 16, 2))
    np.testing.assert_allclose(exported.call(images), gradient(images), rtol=1e-6)
