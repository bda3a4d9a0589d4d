"""JAX's convolutions on a CPU, where they or their gradients are not XLA's, against XLA's own."""

from __future__ import annotations

from dataclasses import replace
from itertools import product

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
KINDS = {
    # channels, groups, filters
    "dense": (3, 1, 4),
    "grouped": (4, 2, 6),
    "by channel": (3, 3, 3),
    "by channel, two each": (3, 3, 6),
}
SIZES, WINDOW = (9, 7, 5), (3, 2, 2)


def _ours(x, kernel, strides, padding, dilation, groups=1, data_format="channels_last"):
    return conv._conv(x, kernel, None, strides, padding, dilation, groups, data_format)


def _plain(x, kernel, strides, padding, dilation, groups=1, data_format="channels_last"):
    letters = "HWD"[: len(strides)]
    padding = padding if isinstance(padding, tuple) else padding.upper()
    data = f"N{letters}C" if data_format == "channels_last" else f"NC{letters}"
    return jax.lax.conv_general_dilated(
        x,
        kernel,
        strides,
        padding,
        rhs_dilation=dilation,
        dimension_numbers=(data, f"{letters}IO", data),
        feature_group_count=groups,
    )


@pytest.fixture(params=product(GEOMETRIES, KINDS), ids=", ".join)
def case(request, monkeypatch):
    """Geometry and operands, with every convolution large and one image, or all four, at a time."""
    small = replace(conv.POLICY, positions=0, multiplications=0, patches=400, seen=300)
    monkeypatch.setattr(conv, "POLICY", small)
    geometry, (channels, groups, filters) = GEOMETRIES[request.param[0]], KINDS[request.param[1]]
    rank, generator = len(geometry[0]), np.random.default_rng(0)
    with jax.enable_x64(True):
        x = jnp.asarray(generator.standard_normal((4, *SIZES[:rank], channels)))
        kernel = jnp.asarray(generator.standard_normal((*WINDOW[:rank], channels // groups, filters)))
        yield (*geometry, groups), x, kernel


def _close(found, wanted):
    np.testing.assert_allclose(found, wanted, rtol=1e-10, atol=1e-10)


def test_gradients_are_those_of_XLA(case):
    geometry, x, kernel = case

    def gradients(convolution):
        return jax.jit(jax.grad(lambda *operands: (convolution(*operands, *geometry) ** 3).sum(), (0, 1)))

    for found, wanted in zip(gradients(_ours)(x, kernel), gradients(_plain)(x, kernel), strict=True):
        _close(found, wanted)


def test_values_with_channels_first(case):
    geometry, x, kernel = case
    x = jnp.moveaxis(x, -1, 1)
    found, wanted = (
        jax.jit(lambda x, kernel, f=f: f(x, kernel, *geometry, data_format="channels_first"))(x, kernel)
        for f in (_ours, _plain)
    )
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


@pytest.mark.parametrize("groups", [2, 4])
def test_groups_are_exported_with_a_free_batch(groups):
    kernel = jnp.asarray(np.random.default_rng(0).standard_normal((3, 3, 4 // groups, 4), np.float32))
    (batch,) = jax.export.symbolic_shape("batch")
    x = jax.ShapeDtypeStruct((batch, 8, 8, 4), jnp.float32)

    def both(x):
        y, gradient = jax.vjp(lambda k: _ours(x, k, (1, 1), "same", (1, 1), groups), kernel)
        return y, gradient(y)

    exported, images = jax.export.export(jax.jit(both))(x), jnp.ones((3, 8, 8, 4))
    for found, wanted in zip(exported.call(images), both(images), strict=True):
        np.testing.assert_allclose(found, wanted, rtol=1e-5)


def test_nothing_is_left_of_xlas_convolution_by_channel():
    x, kernel = jnp.ones((2, 8, 8, 4)), jnp.ones((3, 3, 1, 4))

    def step(x, kernel):
        return jax.grad(lambda *of: (_ours(*of, (2, 2), "same", (1, 1), 4) ** 2).sum(), (0, 1))(x, kernel)

    cpu, cuda = (
        jax.jit(step).trace(x, kernel).lower(lowering_platforms=(kind,)).as_text() for kind in ("cpu", "cuda")
    )
    assert cpu.count("stablehlo.convolution") == 0
    assert cuda.count("stablehlo.convolution") == 3


@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
def test_halves_add_up_in_float32(dtype):
    rng = np.random.default_rng(0)
    x, kernel = (jnp.asarray(rng.random(shape), dtype) for shape in ((1, 20, 20, 3), (9, 9, 1, 3)))
    found = _ours(x, kernel, (1, 1), "valid", (1, 1), 3)
    wanted = _plain(x.astype("float32"), kernel.astype("float32"), (1, 1), "valid", (1, 1), 3)
    assert found.dtype == dtype
    assert (
        found == wanted.astype(dtype)
    ).mean() > 0.99  # rounded once; added up in halves few would be the same


@pytest.mark.parametrize(
    ("shape", "window", "padding"),
    [((0, 5, 5, 2), (3, 3), "same"), ((2, 2, 5, 2), (3, 3), "valid"), ((2, 14, 14, 2), (12, 12), "same")],
    ids=["no image", "nothing comes out", "a large window"],
)
def test_odd_sizes_by_channel(shape, window, padding):
    x, kernel = jnp.ones(shape), jnp.ones((*window, 1, 2))
    found, wanted = (f(x, kernel, (1, 1), padding, (1, 1), 2) for f in (_ours, _plain))
    assert found.shape == wanted.shape
    np.testing.assert_allclose(found, wanted)
    gradient = jax.grad(lambda k: _ours(x, k, (1, 1), padding, (1, 1), 2).sum())(kernel)
    np.testing.assert_allclose(
        gradient, jax.grad(lambda k: _plain(x, k, (1, 1), padding, (1, 1), 2).sum())(kernel)
    )
