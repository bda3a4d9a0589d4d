"""Local response normalization is PyTorch's and TensorFlow's."""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf
import torch

import unifront as uf
from unifront import errors, ops
from unifront.testing import assert_close

X = np.random.default_rng(0).normal(size=(2, 3, 4, 7)).astype("float32")


@pytest.mark.parametrize("size", [1, 3, 5, 21])
def test_is_that_of_pytorch(size: int) -> None:
    judge = torch.nn.functional.local_response_norm(torch.tensor(X), size, 0.3, 0.7, 1.5).numpy()
    assert_close(ops.local_response_normalization(X, size, 0.3 / size, 0.7, 1.5, axis=1), judge)


@pytest.mark.parametrize("size", [2, 6])
def test_even_sizes_are_onnx_text(size: int) -> None:
    """From ``floor((size - 1) / 2)`` below to ``ceil((size - 1) / 2)`` above (LRN-13): no runtime here takes them."""
    total = np.zeros_like(X)
    for channel in range(7):
        low, high = max(0, channel - (size - 1) // 2), channel + size // 2
        total[..., channel] = (X[..., low : high + 1] ** 2).sum(-1)
    assert_close(ops.local_response_normalization(X, size, 0.3, 0.7, 1.5), X / (1.5 + 0.3 * total) ** 0.7)


@pytest.mark.parametrize("radius", [0, 1, 2])
def test_is_that_of_tensorflow(radius: int) -> None:
    judge = tf.nn.local_response_normalization(X, radius, 2.0, 0.3, 0.75).numpy()
    assert_close(ops.local_response_normalization(X, 2 * radius + 1, 0.3, 0.75, 2.0), judge)


def test_channels_may_be_free_none_or_halves() -> None:
    image = uf.Input((None, None))
    model = uf.Model(image, ops.local_response_normalization(image, 3, 0.3))
    values = X[0]
    assert_close(model.predict(values, verbose=0), ops.local_response_normalization(values, 3, 0.3))
    assert ops.local_response_normalization(X[:0]).shape == (0, 3, 4, 7)
    assert ops.local_response_normalization(X[..., :0]).shape == (2, 3, 4, 0)
    half = ops.local_response_normalization(torch.tensor(X, dtype=torch.float16), 3, 0.3)
    assert half.dtype == torch.float16
    assert_close(half.numpy(), ops.local_response_normalization(X, 3, 0.3).astype("float16"))
    # Krizhevsky et al. 2012, by hand: a lone channel of 2 with k = 2, alpha = 1, beta = 0.5 is 2 / sqrt(2 + 4).
    assert_close(
        ops.local_response_normalization(np.full((1, 1), 2.0), 5, 1.0, 0.5, 2.0), np.full((1, 1), 2 / 6**0.5)
    )


@pytest.mark.parametrize("size", [0, -1, 2.5])
def test_sizes_below_one_are_refused(size: float) -> None:
    with pytest.raises(errors.ArgumentError, match="size"):
        ops.local_response_normalization(X, size)
