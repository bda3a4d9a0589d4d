"""Weight constraints: by formula as Keras's, after each update, on every backend."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import unifront as uf
from tests.train.keras_judge import keras
from unifront import errors, layers
from unifront.backends import installed
from unifront.layers import constraints
from unifront.testing import assert_close

BACKENDS = [name for name in installed() if name != "numpy"]
TEXTS = [
    "MaxNorm(0.7)", "MaxNorm(0.5, axis=1)", "MaxNorm(0.5, axis=[0, 1])", "NonNeg()", "UnitNorm()", "UnitNorm(axis=1)",
    "MinMaxNorm(0.5, 0.8)", "MinMaxNorm(0.5, 0.8, rate=0.3, axis=1)", "Constraint()",
]  # fmt: skip
WEIGHTS = np.array([[0.3, -1.0, 0.0], [0.2, 4.0, 0.0]], np.float32)


@pytest.mark.parametrize("text", TEXTS)
def test_formulas_are_keras(text: str) -> None:
    ours, theirs = (eval(f"c.{text}", {"c": c}) for c in (constraints, keras.constraints))
    assert_close(np.asarray(ours(WEIGHTS)), keras.ops.convert_to_numpy(theirs(keras.ops.array(WEIGHTS))))


def models(text: str, optimizer: str = "sgd") -> tuple[Any, Any]:
    """One layer with the constraint, ours and Keras's, with equal weights."""
    found = []
    for library in (uf, keras):
        layer = eval(f"l.Dense(3, kernel_constraint=c.{text}, bias_constraint='non_neg')",
                     {"l": library.layers, "c": library.constraints})  # fmt: skip
        model = library.Sequential([library.Input((2,)), layer])
        model.compile(optimizer, loss="mse")
        model.set_weights([WEIGHTS, np.array([0.1, 0.0, -0.2], np.float32)])
        found.append(model)
    return found[0], found[1]


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize(
    ("text", "optimizer"), [("MaxNorm(0.7)", "sgd"), ("UnitNorm(axis=1)", "adam"), ("NonNeg()", "adam")]
)
def test_weights_are_constrained_after_each_update(text: str, optimizer: str, backend: str) -> None:
    ours, theirs = models(text, optimizer)
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(12, 2)).astype(np.float32), rng.normal(size=(12, 3)).astype(np.float32)
    ours.fit(x, y, batch_size=4, epochs=2, shuffle=False, verbose=0, backend=backend)
    theirs.fit(x, y, batch_size=4, epochs=2, shuffle=False, verbose=0)
    for mine, keras_value in zip(ours.get_weights(), theirs.get_weights(), strict=True):
        assert_close(mine, keras_value, bounds={"float32": 1e-5})
    assert (ours.layers[0].bias.numpy() >= 0).all()


def test_names_classes_functions_and_nothing() -> None:
    assert constraints.get("max_norm") == constraints.MaxNorm()
    assert constraints.get(constraints.NonNeg) == constraints.NonNeg()
    assert constraints.get(None) is None
    half = constraints.get(lambda w: w * 0.5)
    assert half(2.0) == 1.0
    assert constraints.get(constraints.serialize(constraints.UnitNorm(axis=1))) == constraints.UnitNorm(
        axis=1
    )


def test_wrong_ones_are_refused_when_the_layer_is_made() -> None:
    with pytest.raises(
        errors.UnknownName, match=r"Dense: kernel_constraint: .*constraint 'max_nrm'.*Did you mean 'max_norm'"
    ):
        layers.Dense(3, kernel_constraint="max_nrm")
    with pytest.raises(errors.ArgumentError, match="MaxNorm: max_value is a number in"):
        constraints.MaxNorm(-1.0)


def test_constraints_of_saved_models_hold_without_their_source(tmp_path: Any) -> None:
    layer = layers.Dense(3, kernel_constraint=lambda w: w * 0.5, bias_constraint="non_neg")
    model = uf.Sequential([uf.Input((2,)), layer])
    model.compile(uf.optimizers.SGD(0.1), loss="mse")
    model.set_weights([WEIGHTS, np.array([0.1, 0.0, 0.2], np.float32)])
    model.save(tmp_path / "m.uf")
    again = uf.load(tmp_path / "m.uf")
    x, y = np.ones((4, 2), np.float32), np.full((4, 3), -9.0, np.float32)
    for one in (model, again):
        one.fit(x, y, epochs=2, verbose=0, backend=BACKENDS[0])
    for ours, theirs in zip(again.get_weights(), model.get_weights(), strict=True):
        np.testing.assert_array_equal(ours, theirs)
    assert again.get_weights()[1].min() == 0
