"""Windowed and normalizing operations compiled once for free batch and spatial sizes, run at several."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import tensorflow as tf

import unifront as uf
from unifront import ops, testing
from unifront.backends import get_backend, installed
from unifront.dtypes import dtype_of
from unifront.errors import ShapeError
from unifront.ir.dims import symbol
from unifront.ir.types import TensorType
from unifront.opset.tensor import Builder, to_numpy

RNG = np.random.default_rng(5)
KERNELS = {n: RNG.normal(size=(*(3,) * n, 4, 6)).astype("float32") for n in (1, 2, 3)}
DEPTHWISE = RNG.normal(size=(3, 3, 4, 2)).astype("float32")
GROUPED = RNG.normal(size=(3, 2, 6)).astype("float32")

CALLS: dict[str, tuple[int, Callable[[Any], Any]]] = {
    "conv1d_causal_dilated": (1, lambda x: ops.conv(x, KERNELS[1], padding="causal", dilation_rate=2)),
    "conv1d_grouped": (1, lambda x: ops.conv(x, GROUPED, padding="same", strides=2, groups=2)),
    "conv2d_same_strided": (2, lambda x: ops.conv(x, KERNELS[2], padding="same", strides=2)),
    "conv2d_dilated_strided": (
        2,
        lambda x: ops.conv(x, KERNELS[2], padding="same", strides=2, dilation_rate=2),
    ),
    "conv2d_pairs": (2, lambda x: ops.conv(x, KERNELS[2], padding=[(0, 1), (2, 0)], strides=(1, 2))),
    "conv3d_same": (3, lambda x: ops.conv(x, KERNELS[3], padding="same", strides=2)),
    "depthwise": (2, lambda x: ops.depthwise_conv(x, DEPTHWISE, padding="same", strides=2)),
    "depthwise_unequal": (2, lambda x: ops.depthwise_conv(x, DEPTHWISE, padding="same", strides=(1, 2))),
    "max_pool1d": (1, lambda x: ops.max_pool(x, 3, 2, padding="same")),
    "max_pool2d": (2, lambda x: ops.max_pool(x, 3, 2, padding="same")),
    "average_pool2d": (2, lambda x: ops.average_pool(x, 3, 2, padding="same")),
    "average_pool2d_pairs": (2, lambda x: ops.average_pool(x, 3, 2, padding=1)),
    "average_pool3d": (3, lambda x: ops.average_pool(x, 2, padding="same")),
    "float64_pool3d_conv3d": (
        3,
        lambda x: ops.cast(
            ops.conv(ops.max_pool(ops.cast(x, "float64"), 2), KERNELS[3], padding=1), "float32"
        ),
    ),
    "batch_norm_training": (2, lambda x: ops.batch_norm_training(x)[0]),
    "layer_norm": (1, lambda x: ops.layer_norm(x)),
    "group_norm": (2, lambda x: ops.group_norm(x, groups=2)),
    "softmax": (1, lambda x: ops.softmax(x, 1)),
    "global_average_pool": (2, ops.global_average_pool),
}


@pytest.mark.parametrize("call", CALLS)
@pytest.mark.parametrize("name", [n for n in installed() if n != "numpy"])
def test_free_sizes(name: str, call: str) -> None:
    rank, function = CALLS[call]
    native, builder = get_backend(name), Builder()
    free = tuple(symbol(s) for s in ("batch", "height", "width", "depth")[: rank + 1])
    x = builder.input("x", TensorType(dtype_of("float32"), (*free, 4)))
    program = native.value_and_grad(builder.graph([ops.sum(y := function(x)), y]), ["x"])
    for sizes in ((2, 5, 6, 4), (1, 6, 7, 5)):
        array = RNG.normal(size=(*sizes[: rank + 1], 4)).astype("float32")
        _, result, gradient = (native.numpy(value) for value in program([native.array(array)], []))
        testing.assert_close(result, function(array), bounds={"float32": 2e-5}, what=call)
        assert gradient.shape == array.shape


def test_unstack_makes_a_free_size_known_and_checks_it() -> None:
    x = uf.Input((None, 2))
    parts = ops.unstack(x, num=3, axis=1)
    assert [part.shape[1:] for part in parts] == [(2,)] * 3
    model = uf.Model(x, parts)
    data = np.arange(12, dtype="float32").reshape(2, 3, 2)
    for backend in installed():
        for i, part in enumerate(model.predict(data, backend=backend, verbose=0)):
            assert np.array_equal(to_numpy(part), data[:, i])
        for length in (1, 4):
            with pytest.raises(
                (ShapeError, tf.errors.InvalidArgumentError), match="sizes that should be equal"
            ):
                model.predict(np.zeros((2, length, 2), "float32"), backend=backend, verbose=0)
    with pytest.raises(ShapeError, match=r"axis 1 of the shape \(2, 4, 2\) is not 3 long"):
        model(np.zeros((2, 4, 2), "float32"))
