"""Which losses are named in logs; Keras 3.15 names them so."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import unifront as uf
from unifront import layers


@pytest.mark.parametrize(
    ("loss", "names"),
    [
        (["mse", None], ["loss", "a_mae", "b_mae"]),
        ({"a": "mse"}, ["loss", "a_mae", "b_mae"]),
        (["mse", "mae"], ["loss", "a_loss", "b_loss", "a_mae", "b_mae"]),
    ],
)
def test_a_loss_alone_is_the_total(loss: Any, names: list[str]) -> None:
    x = uf.Input((3,))
    model = uf.Model(x, [layers.Dense(1, name="a")(x), layers.Dense(2, name="b")(x)])
    model.compile("sgd", loss=loss, metrics=[["mae"], ["mae"]])
    targets = [np.ones((4, 1)), np.ones((4, 2))]
    logs = model.evaluate(np.ones((4, 3)), targets, return_dict=True, backend="numpy")
    assert list(logs) == names
