"""A call that fails changes nothing: the model takes other data afterwards, as if it had not been made."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import unifront as uf
from unifront import layers
from unifront.backends import installed
from unifront.errors import DataError, ShapeError, UnifrontError

IMAGES = np.ones((4, 6, 6, 2), np.float32)
LABELS = np.zeros((4, 3), np.float32)


def convolutional() -> uf.Sequential:
    """Dense takes any shape, so that the first layer is built before the second one fails."""
    model = uf.Sequential(
        [layers.Dense(5), layers.Conv2D(3, 3), layers.GlobalAveragePooling2D(), layers.Dense(3)]
    )
    model.compile("sgd", "mse")
    return model


FAILING: dict[str, Callable[[Any], Any]] = {
    "predict": lambda model: model.predict(np.ones((4, 7), np.float32), backend="numpy"),
    "evaluate": lambda model: model.evaluate(np.ones((4, 7), np.float32), LABELS, backend="numpy"),
    "fit": lambda model: model.fit(np.ones((4, 7), np.float32), LABELS, verbose=0),
    "fit, wrong targets": lambda model: model.fit(np.ones((4, 6, 6, 9)), LABELS[:3], verbose=0),
    "fit, wrong metric": lambda model: model.fit(np.ones((4, 6, 6, 9)), np.zeros((4, 8)), verbose=0),
    "build": lambda model: model.build((None, 7)),
    "call": lambda model: model(np.ones((4, 7), np.float32)),
    "call on a symbol": lambda model: model(uf.Input((7,))),
    "a generator": lambda model: model.predict(iter([np.ones((2, 6, 6, 9)), np.ones((2, 7))]), backend="numpy"),
}  # fmt: skip


@pytest.mark.parametrize("name", FAILING)
def test_it_can_be_built_for_other_data(name: str) -> None:
    if name.startswith("fit") and len(installed()) < 2:
        pytest.skip("training needs a framework")
    model = convolutional()
    with pytest.raises(UnifrontError):
        FAILING[name](model)
    assert model.weights == []
    assert model.has_free_inputs
    assert model.predict(IMAGES, backend="numpy").shape == (4, 3)
    assert [weight.path for weight in model.weights][:2] == ["dense/kernel", "dense/bias"]
    assert model.weights[0].shape == (2, 5)


def test_numbers_are_those_of_a_model_that_never_failed() -> None:
    found = []
    for fails in (False, True):
        uf.set_seed(3)
        model = convolutional()
        if fails:
            with pytest.raises(ShapeError, match=r"conv2d: Conv2D takes 4 dimensions"):
                model.predict(np.ones((4, 7), np.float32), backend="numpy")
        found.append(model.predict(IMAGES, backend="numpy"))
    np.testing.assert_array_equal(*found)


def test_a_layer_that_does_not_fit_is_not_added() -> None:
    model = uf.Sequential([uf.Input((4,)), layers.Dense(3)])
    odd = layers.Conv2D(3, 3)
    with pytest.raises(ShapeError, match="Conv2D takes 4 dimensions"):
        model.add(odd)
    assert [layer.name for layer in model.layers] == ["dense"]
    assert odd._name is None
    model.add(layers.Dense(2))
    assert model.predict(np.ones((1, 4)), backend="numpy").shape == (1, 2)


def test_what_is_built_is_not_built_for_another_shape() -> None:
    model = uf.Sequential([uf.Input((4,)), layers.Dense(3)])
    model.build((None, 4))
    model.build(input_shape=(8, 4))
    with pytest.raises(
        ShapeError, match=r"to take float32\[batch, 4\]; it cannot be built for the shape \(None, 5\)"
    ):
        model.build((None, 5))


def test_a_failed_compile_leaves_the_old_one() -> None:
    model = uf.Sequential([uf.Input((4,)), layers.Dense(3)])
    model.compile("sgd", "mse")
    optimizer = model.optimizer
    for wrong in ({"loss": "mze"}, {"optimizer": 3}, {"metrics": ["acurracy"]}, {"backend": "no"}):
        with pytest.raises(UnifrontError):
            model.compile(**wrong)
    assert model.optimizer is optimizer


def test_data_that_fails_later_leaves_a_built_model() -> None:
    model = uf.Sequential([uf.Input((4,)), layers.Dense(3)])
    before = [weight.numpy() for weight in model.weights]
    with pytest.raises(DataError, match="the model takes"):
        model.predict(np.ones((2, 5)), backend="numpy")
    for old, weight in zip(before, model.weights, strict=True):
        np.testing.assert_array_equal(old, weight.numpy())
