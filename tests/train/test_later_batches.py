"""Every batch of a stream is held to the types of the first; what was trained before stays."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import unifront as uf
from tests.models import TRAINABLE
from unifront import errors, layers

X = np.ones((8, 3), np.float32)


def model(outputs: int, loss: Any) -> uf.Model:
    x = uf.Input((3,))
    made = uf.Model(x, layers.Dense(outputs, name="out")(x))
    made.compile("sgd", loss)
    return made


SPARSE = uf.losses.SparseCategoricalCrossentropy(from_logits=True)
CASES = {
    "narrower": (2, "mse", (X, np.ones((8, 2))), (X, np.ones((8, 1))), r"Batch 1: 'target out' is float32\[8, 1\]"),
    "a column": (3, SPARSE, (X, np.ones(8, int)), (X, np.ones((8, 1), int)), r"Batch 1: 'target out' is int32\[8, 1\]"),
    "floats": (3, SPARSE, (X, np.ones(8, int)), (X, np.ones(8, np.float32)), r"Batch 1: 'target out' is float32\[8\]"),
    "weights": (2, "mse", (X, np.ones((8, 2))), (X, np.ones((8, 2)), np.ones(8)), "Batch 1 has 3 arrays; the first had 2"),
}  # fmt: skip


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("name", TRAINABLE)
def test_a_later_batch_of_another_kind_is_refused(name: str, case: str) -> None:
    outputs, loss, first, second, match = CASES[case]
    made = model(outputs, loss)
    with pytest.raises(errors.DataError, match=match):
        made.fit(iter([first, second]), verbose=0, backend=name)
    assert made.optimizer.iterations == 1
    with pytest.raises(errors.DataError, match=match):
        made.evaluate(iter([first, second]), backend=name)
    assert np.isfinite(made.predict(X, backend=name)).all()
