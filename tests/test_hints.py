"""What unifront says to those who look for a thing elsewhere, and how its objects print."""

from __future__ import annotations

import inspect
import operator
import re
from typing import Any

import numpy as np
import pytest
from typer.testing import CliRunner

import unifront as uf
from unifront import arguments, initializers, layers
from unifront.backends import installed
from unifront.errors import ArgumentError, ShapeError, UnsupportedOp


@pytest.mark.parametrize(
    ("name", "place"),
    [
        ("Dense", "layers.Dense"), ("Adam", "optimizers.Adam"), ("adam", "optimizers.Adam"), ("relu", "ops.relu"),
        ("EarlyStopping", "callbacks.EarlyStopping"), ("CosineDecay", "schedules.CosineDecay"),
        ("GlorotUniform", "initializers.GlorotUniform"), ("L2", "regularizers.L2"), ("Huber", "losses.Huber"),
    ],
)  # fmt: skip
def test_names_that_live_elsewhere_say_where(name: str, place: str) -> None:
    with pytest.raises(AttributeError, match=rf"has no attribute '{name}'; it is uf\.{re.escape(place)}\."):
        getattr(uf, name)
    found = uf
    for part in place.split("."):
        found = getattr(found, part)
    assert callable(found)


def test_schedules_are_where_keras_has_them() -> None:
    assert uf.optimizers.schedules is uf.schedules


SYMBOL = uf.Input((3,), name="x")


@pytest.mark.parametrize(
    ("framework", "call", "name"),
    [
        ("numpy", lambda np, x: np.exp(x), "exp"),
        ("numpy", lambda np, x: np.sum(x), "sum"),
        ("numpy", lambda np, x: np.concatenate([x, x]), "concatenate"),
        ("numpy", lambda np, x: np.asarray(x), "exp"),
        ("torch", lambda torch, x: torch.exp(x), "exp"),
        ("torch", lambda torch, x: torch.nn.functional.relu(x), "relu"),
        ("jax.numpy", lambda jnp, x: jnp.exp(x), "exp"),
        ("tensorflow", lambda tf, x: tf.exp(x), "exp"),
    ],
)
def test_functions_of_frameworks_say_what_to_use(framework, call, name) -> None:  # type: ignore[no-untyped-def]
    module = pytest.importorskip(framework)
    with pytest.raises(ArgumentError, match=rf"{framework}.* symbolic tensors.*use .*uf\.ops\.{name}"):
        call(module, SYMBOL)


def test_numpy_arrays_still_meet_tensors_in_operators() -> None:
    ones = np.ones(3, np.float32)
    model = uf.Model(
        SYMBOL, [ones + SYMBOL, ones - SYMBOL, ones / SYMBOL, np.float32(3) * SYMBOL, ones < SYMBOL]
    )
    found = model.predict(np.full((1, 3), 2, np.float32), backend="numpy")
    for array, wanted in zip(found, (3, -1, 0.5, 6, True), strict=True):
        np.testing.assert_array_equal(array, np.full((1, 3), wanted))


def test_initializers_are_called_as_in_keras() -> None:
    uf.set_seed(1)
    draw = initializers.HeNormal(seed=3)
    assert draw((2, 3)).dtype == np.float32
    assert draw(shape=(2, 3), dtype="float16").dtype == np.float16
    np.testing.assert_array_equal(draw((2, 3)), draw((2, 3)))
    assert initializers.Zeros()([4]).shape == (4,)
    with pytest.raises(ShapeError, match="Ones: a shape is a tuple of sizes, not 'no'"):
        initializers.Ones()("no")


def test_padding_in_capitals() -> None:
    assert layers.Conv2D(2, 3, padding="SAME").padding == "same"
    assert layers.MaxPooling1D(padding="VALID").padding == "valid"


def test_what_prints() -> None:
    assert repr(uf.optimizers.Adam(0.01)).startswith("<Adam(learning_rate=0.01, beta_1=0.9")
    assert "clipnorm=2.0" in repr(uf.optimizers.SGD(clipnorm=2))
    assert repr(uf.callbacks.EarlyStopping(patience=3)).startswith("<EarlyStopping(monitor='val_loss'")
    history = uf.callbacks.History()
    history.on_epoch_end(0, {"loss": 0.25})
    assert repr(history) == "<History of 1 epochs: at last loss 0.25>"


def test_parity_prints_its_worst() -> None:
    model = uf.Sequential([uf.Input((3,)), layers.Dense(2)])
    found = uf.parity(model, np.ones((2, 3), np.float32), backends=["numpy"])
    assert re.fullmatch(r"<Parity of 'sequential' on numpy: worst layer \S+>", repr(found))


def test_numpy_does_not_advise_to_install_what_is_there() -> None:
    model = uf.Sequential([uf.Input((3,)), layers.Dense(2)])
    model.compile("sgd", "mse")
    others = [name for name in installed() if name != "numpy"]
    advice = rf"Say backend='{others[0]}'" if others else "pip install"
    with pytest.raises(UnsupportedOp, match=advice):
        model.fit(np.ones((2, 3)), np.ones((2, 2)), backend="numpy", verbose=0)


def test_the_list_of_the_zoo_holds_no_markup() -> None:
    from unifront.cli import app

    shown = CliRunner().invoke(app, ["zoo", "list"]).output
    assert "resnet50" in shown
    assert "``" not in shown


@pytest.mark.parametrize("cls", [uf.Model, uf.Sequential, uf.Layer, uf.Variable])
def test_the_checks_of_every_method_are_known_when_it_is_called(cls):
    """Annotations are looked up at the first call; what a method gives may be known to type checkers alone."""
    found = [
        arguments._checks(method.__checked__)
        for name in dir(cls)
        if hasattr(method := inspect.getattr_static(cls, name), "__checked__")
    ]
    assert found


@pytest.mark.parametrize("backend", installed())
def test_native_arrays_meet_tensors_on_the_left_of_operators(backend: str) -> None:
    if backend == "tensorflow":
        names = "add sub mul truediv floordiv mod pow matmul"  # its comparisons leave nothing to what is on the right
    else:
        names = "add sub mul truediv floordiv mod pow matmul lt le gt ge eq ne"
    kept, given = np.full((3, 3), 2, np.float32), np.arange(1, 10, dtype=np.float32).reshape(3, 3)
    with uf.backend(backend):

        class Held(layers.Layer):
            def __init__(self) -> None:
                super().__init__()
                self.held = uf.ops.convert_to_tensor(kept)

            def call(self, x: Any) -> list[Any]:
                return [getattr(operator, name)(self.held, x) for name in names.split()]

        x = uf.Input((3,), batch_size=3)
        found = uf.Model(x, Held()(x)).predict(given, verbose=0)
    for name, array in zip(names.split(), found, strict=True):
        np.testing.assert_allclose(array, getattr(operator, name)(kept, given), rtol=1e-6, err_msg=name)
