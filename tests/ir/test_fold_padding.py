"""Padding taken into what reads it, only where that is the same."""

import numpy as np
import pytest

import unifront as uf
from unifront import layers, ops
from unifront.ir.passes import fold_padding
from unifront.reference import BACKEND
from unifront.testing import assert_close

IMAGE = uf.Input((5, 6, 2), name="image")


def _folded(output) -> list[str]:
    """The operations after the pass; it is asserted that the result is the same."""
    model = uf.Model(IMAGE, output, name="padded")
    before = model.graph()
    after, _, _ = fold_padding(before, {})
    x = np.random.default_rng(0).normal(size=(2, 5, 6, 2)).astype("float32") - 2
    values = [variable.numpy() for variable in model.trace(False).variables]
    for a, b in zip(BACKEND.compile(after)([x], values), BACKEND.compile(before)([x], values), strict=True):
        assert_close(a, b)
    return [node.op.name for node in after.nodes]


def _pad(x, value: float = 0.0):
    return ops.pad(x, [[0, 0], [1, 0], [2, 1], [0, 0]], constant_values=value)


@pytest.mark.parametrize(
    "layer", [layers.Conv2D(3, 2, use_bias=False), layers.DepthwiseConv2D(2, use_bias=False)]
)
def test_into_a_convolution(layer) -> None:
    assert len(_folded(layer(_pad(IMAGE)))) == 1


def test_into_a_convolution_that_pads_itself() -> None:
    assert _folded(layers.Conv2D(3, 3, padding="same", use_bias=False)(_pad(IMAGE))) == ["conv"]


def test_into_a_max_pooling_of_what_is_never_negative() -> None:
    assert _folded(layers.MaxPooling2D(3)(_pad(ops.relu(IMAGE)))) == ["relu", "max_pool"]
    mixed = ops.add(ops.relu(IMAGE), ops.sigmoid(IMAGE))
    assert "pad" not in _folded(layers.MaxPooling2D(3)(_pad(mixed)))


@pytest.mark.parametrize(
    "output",
    [
        layers.MaxPooling2D(3)(_pad(IMAGE)),  # negative elements, below the zeros
        layers.MaxPooling2D(2)(_pad(ops.relu(IMAGE))),  # windows of padding alone
        layers.AveragePooling2D(3)(_pad(ops.relu(IMAGE))),  # the zeros count
        layers.Conv2D(3, 2)(_pad(IMAGE, 1.0)),
        layers.Conv2D(3, 2)(ops.pad(IMAGE, [[0, 0], [0, 0], [0, 0], [0, 1]])),
        layers.Conv2D(3, 2)(ops.pad(IMAGE, [[0, 0], [1, 1], [1, 1], [0, 0]], mode="reflect")),
    ],
)
def test_left_where_it_would_differ(output) -> None:
    assert "pad" in _folded(output)


def test_a_pad_that_others_read_stays_for_them() -> None:
    padded = _pad(IMAGE)
    flat = ops.reshape(
        layers.Conv2D(2, 1, padding="valid", use_bias=False)(padded), (IMAGE.shape[0], 6 * 9 * 2)
    )
    found = _folded(ops.concatenate([flat, ops.reshape(padded, (IMAGE.shape[0], 6 * 9 * 2))], axis=1))
    assert sorted(found) == ["concatenate", "conv", "pad", "reshape", "reshape"]
