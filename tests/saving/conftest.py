"""A file to damage."""

from __future__ import annotations

import pytest

import unifront as uf
from unifront import layers


@pytest.fixture(scope="module")
def good(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """A file with all there is: weights, statistics, an optimizer with slots."""
    x = uf.Input((4,), name="x")
    y = layers.BatchNormalization()(layers.Dense(3, activation="relu", kernel_regularizer="l2")(x))
    model = uf.Model(x, layers.Dense(2)(layers.Dropout(0.5)(y)), name="small")
    model.compile(uf.optimizers.Adam(0.01), "mse", metrics=["mae"])
    for weight in model.trainable_weights:
        model.optimizer.slots(weight)
    path = tmp_path_factory.mktemp("good") / "good.uf"
    model.save(path)
    return path.read_bytes()
