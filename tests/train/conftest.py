"""What the tests of training share."""

from __future__ import annotations

from collections.abc import Iterator

import pytest


@pytest.fixture
def keras_in_float64() -> Iterator[None]:
    """Keras computes in float64, as a judge has to, and afterwards as before."""
    from tests.train.keras_judge import keras

    before = keras.config.floatx()
    keras.config.set_floatx("float64")
    yield
    keras.config.set_floatx(before)
