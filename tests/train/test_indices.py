"""An index outside its table is an error that names layer and index, before anything is trained or predicted."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import unifront as uf
from tests.models import TRAINABLE
from unifront import errors, layers

GOOD = np.array([[0, 1, 2], [3, 4, 0]])
Y = np.ones((2, 1), np.float32)
CALLS: dict[str, Callable[..., Any]] = {
    "fit": lambda model, x, name: model.fit(x, Y, verbose=0, backend=name),
    "a stream": lambda model, x, name: model.fit(iter([(GOOD, Y), (x, Y)]), verbose=0, backend=name),
    "evaluate": lambda model, x, name: model.evaluate(x, Y, backend=name),
    "predict": lambda model, x, name: model.predict(x, backend=name),
}


@pytest.mark.parametrize("bad", [5, -1])
@pytest.mark.parametrize("call", CALLS)
@pytest.mark.parametrize("name", TRAINABLE)
def test_an_index_outside_the_table_is_named(name: str, call: str, bad: int) -> None:
    words = uf.Input((3,), dtype="int32")
    x = layers.Flatten()(layers.Embedding(5, 2, name="words")(words))
    model = uf.Model(words, layers.Dense(1)(x))
    model.compile("sgd", "mse")
    model.predict(GOOD, backend=name)
    wrong = GOOD.copy()
    wrong[1, 2] = bad
    with pytest.raises(errors.ArgumentError, match=rf"words: .*index {bad} at \(1, 2\)"):
        CALLS[call](model, wrong, name)
    assert np.isfinite(model.predict(GOOD, backend=name)).all()
