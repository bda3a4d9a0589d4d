"""TensorFlow's step gives the next number of the step itself: what it counts is what the host counts."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

import unifront as uf
from unifront import layers
from unifront.testing import assert_close

pytest.importorskip("tensorflow")
RNG = np.random.default_rng(0)
X, Y = RNG.normal(size=(12, 3)).astype("float32"), RNG.normal(size=(12, 1)).astype("float32")


@pytest.mark.parametrize("accumulated", [None, 2])
def test_steps_one_by_one_are_those_of_a_loop(accumulated: int | None) -> None:
    """Arrays are gone through by a loop of the graph, a generator by calls; Adam's rate heeds the number of the step."""
    uf.set_seed(0)
    start = uf.Sequential([uf.Input((3,)), layers.Dense(1)]).get_weights()

    def trained(fit: Any) -> list[np.ndarray]:
        model = uf.Sequential([uf.Input((3,)), layers.Dense(1)])
        model.set_weights(start)
        model.compile(uf.optimizers.Adam(0.1, gradient_accumulation_steps=accumulated), "mse")
        fit(model)
        fit(model)  # another step function goes on where the first ended
        return model.get_weights()

    def batches() -> Iterator[Any]:
        for first in range(0, 12, 2):
            yield X[first : first + 2], Y[first : first + 2]

    options = {"verbose": 0, "backend": "tensorflow"}
    looped = trained(lambda model: model.fit(X, Y, batch_size=2, shuffle=False, **options))
    called = trained(lambda model: model.fit(batches(), **options))
    for one, other in zip(called, looped, strict=True):
        assert_close(one, other)
