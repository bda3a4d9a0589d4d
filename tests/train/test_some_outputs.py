"""Models of several outputs, of which some have no target or weights of their own."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import unifront as uf
from tests.models import TRAINABLE
from tests.train.keras_judge import keras
from unifront import errors
from unifront.testing import difference

rng = np.random.default_rng(0)
X, A, B = (rng.normal(size=(8, size)).astype("float32") for size in (3, 2, 1))
W = rng.random(8).astype("float32")


def model_of(library: Any, named: bool) -> Any:
    """Three outputs, a, b and c, as a dict or a list."""
    x = library.Input((3,), name="x")
    sizes = {"a": 2, "b": 1, "c": 1}
    found = {
        name: library.layers.Dense(size, name=name, kernel_initializer="ones")(x)
        for name, size in sizes.items()
    }
    return library.Model(x, found if named else list(found.values()))


def test_weights_for_each_output_are_keras() -> None:
    logs = []
    for library in (uf, keras):
        model = model_of(library, named=False)
        model.compile(
            library.optimizers.SGD(0.1), loss=["mse", "mae", "mse"], weighted_metrics=[["mae"], [], ["mae"]]
        )
        given = {"sample_weight": [W, 2 * W, W[::-1]], "batch_size": 4, "epochs": 2}
        logs.append(model.fit(X, [A, B, B], **given, shuffle=False, verbose=0).history)
    ours, theirs = logs
    assert ours.keys() == theirs.keys()
    for name in ours:
        assert difference(np.array(ours[name], "float32"), np.array(theirs[name], "float32")) < 1e-5, name


@pytest.mark.parametrize("backend", TRAINABLE)
@pytest.mark.parametrize("named", [True, False])
def test_an_output_that_nothing_judges_needs_no_target(backend: str, named: bool) -> None:
    """The same losses as of a model that has the judged outputs alone."""
    model = model_of(uf, named)
    model.compile(uf.optimizers.SGD(0.1), loss={"a": "mse", "b": "mae"} if named else ["mse", "mae", None])
    y, weight = ({"a": A, "b": B}, {"b": W}) if named else ([A, B, None], [None, W, None])
    logs = model.fit(X, y, sample_weight=weight, epochs=2, shuffle=False, verbose=0, backend=backend).history
    x = uf.Input((3,), name="x")
    dense = [
        uf.layers.Dense(size, name=name, kernel_initializer="ones")(x) for name, size in [("a", 2), ("b", 1)]
    ]
    judge = uf.Model(x, dense)
    judge.compile(uf.optimizers.SGD(0.1), loss=["mse", "mae"])
    weights = [np.ones_like(W), W]
    expected = judge.fit(
        X, [A, B], sample_weight=weights, epochs=2, shuffle=False, verbose=0, backend=backend
    ).history
    assert {name: pytest.approx(values) for name, values in expected.items()} == logs
    stream = model.evaluate(iter([(X, y, weight)]), steps=1, return_dict=True, backend=backend)
    assert stream["b_loss"] == pytest.approx(
        model.evaluate(X, y, sample_weight=weight, return_dict=True, backend=backend)["b_loss"], rel=1e-6
    )


@pytest.mark.parametrize(
    ("y", "weight", "said"),
    [
        ([A, None, B], None, "The target of output 'b' is None; it is needed"),
        ({"a": A}, None, r"The target has the keys \['a'\]; the model needs"),
        ([A], None, "The target has 1 parts; the model needs 3"),
        ([A, B, None], {"z": W}, "Unknown output in sample_weight 'z'"),
        ([A, B, None], [W, W[:3], None], r"sample_weight of output 'b' has the shape \(3,\)"),
        (
            [A, B, None],
            [W, W * np.nan, None],
            "sample_weight of output 'b' holds numbers that are not finite",
        ),
    ],
)
def test_what_does_not_fit_is_refused(y: Any, weight: Any, said: str) -> None:
    model = model_of(uf, named=False)
    model.compile("sgd", loss=["mse", "mae", None])
    with pytest.raises(errors.UnifrontError, match=said):
        model.fit(X, y, sample_weight=weight, verbose=0)


@pytest.mark.filterwarnings("ignore:Gradients do not exist")
@pytest.mark.parametrize("place", range(3))
def test_targets_of_the_judged_outputs_alone_are_taken_as_by_keras(place: int) -> None:
    """``loss=[mse, None, None]`` with one target, as in keras.io's miniature GPT."""
    target = [A, B, B][place]
    for y, weight in ((target, None), ([target], [W]), ((target,), W)):
        weight = None if place else weight  # Keras counts them by all outputs elsewhere, and has too few
        logs = []
        for library in (uf, keras):
            model = model_of(library, named=False)
            losses: list[Any] = [None, None, None]
            losses[place] = "mse"
            model.compile(library.optimizers.SGD(0.1), loss=losses)
            logs.append(
                model.fit(
                    X, y, sample_weight=weight, batch_size=4, shuffle=False, verbose=0, validation_data=(X, y)
                ).history
            )
        ours, theirs = logs
        assert ours.keys() == theirs.keys()
        assert all(difference(np.array(ours[name]), np.array(theirs[name])) < 1e-5 for name in ours)
    model = model_of(uf, named=False)
    model.compile("sgd", loss=losses)
    with pytest.raises(errors.DataError, match="has 2 parts; the model needs 3"):
        model.fit(X, [target, target], verbose=0)


class Unsupervised(uf.layers.Layer):
    def call(self, x: Any) -> Any:
        self.add_loss(uf.ops.mean(uf.ops.square(x)))
        return x


@pytest.mark.parametrize("form", [lambda x: x, lambda x: (x,), lambda x: {"x": x}, lambda x: [x]])
def test_data_held_out_may_have_no_targets(form: Any) -> None:
    x = uf.Input((3,), name="x")
    model = uf.Model(x, Unsupervised()(uf.layers.Dense(2, kernel_initializer="ones")(x)))
    model.compile(uf.optimizers.SGD(0.0))
    history = model.fit(X, validation_data=form(X), verbose=0, shuffle=False).history
    assert history["val_loss"] == pytest.approx([float(np.mean(X.sum(1) ** 2))], rel=1e-5)
