"""Losses, their weights and metrics in every structure that outputs have: the names and numbers of logs are Keras's."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import unifront as uf
from tests.train.keras_judge import keras
from unifront import errors
from unifront.testing import assert_close

RNG = np.random.default_rng(0)
X = RNG.random((6, 3)).astype("float32")
A = RNG.random((6, 2)).astype("float32")
B = RNG.integers(0, 2, (6, 1)).astype("float32")
C = RNG.integers(0, 3, (6,)).astype("int32")


def model(kit: Any, make: Callable[..., Any]) -> Any:
    """A model of the outputs ``a[2]``, ``b[1]`` and ``c[3]`` in the structure that ``make`` gives them."""
    x = kit.Input((3,))
    layers = kit.layers
    a, b = layers.Dense(2, name="a")(x), layers.Dense(1, activation="sigmoid", name="b")(x)
    c = layers.Dense(3, activation="softmax", name="c")(x)
    return kit.Model(x, make(a, b, c))


def in_list(a: Any, b: Any, c: Any) -> Any:
    return [a, b, c]


def in_dict(a: Any, b: Any, c: Any) -> Any:
    return {"first": a, "second": b, "third": c}


def nested(a: Any, b: Any, c: Any) -> Any:
    return {"pair": (a, b), "one": c}


def alone(a: Any, b: Any, c: Any) -> Any:
    return a


SPARSE = "sparse_categorical_crossentropy"
TOGETHER = {
    "keras": lambda t, p: keras.ops.mean(keras.ops.abs(t[0] - p[0])) + keras.ops.mean(p[1]),
    "uf": lambda t, p: uf.ops.mean(uf.ops.abs(t[0] - p[0])) + uf.ops.mean(p[1]),
}
"""A loss of two outputs at once."""

CASES: list[tuple[str, Callable[..., Any], Any, dict[str, Any]]] = [
    ("a list", in_list, [A, B, C], {"loss": ["mse", "bce", SPARSE], "loss_weights": [1.0, 0.5, 2.0]}),
    ("by names", in_list, [A, B, C], {"loss": {"a": "mse", "b": "bce", "c": SPARSE}, "loss_weights": [1, 2, 3]}),
    ("metrics by names", in_list, [A, B, C], {"loss": ["mse", "mae", SPARSE], "metrics": {"c": ["accuracy"]}}),
    ("one has no loss", in_list, [A, B, C], {"loss": ["mse", None, SPARSE], "metrics": [["mae"], ["mae"], []]}),
    ("one has the only loss", in_list, [A, B, C], {"loss": [None, "bce", None]}),
    ("a dict", in_dict, {"first": A, "second": B, "third": C}, {
        "loss": {"first": "mse", "second": "bce", "third": SPARSE}, "loss_weights": {"first": 0.5, "second": 1, "third": 2},
        "metrics": {"first": "mae", "third": ["accuracy"]},
    }),
    ("a dict, some", in_dict, {"first": A, "second": B, "third": C}, {"loss": {"first": "mse", "second": "bce"}}),
    ("nested", nested, {"pair": (A, B), "one": C}, {"loss": {"pair": ("mse", "bce"), "one": SPARSE}}),
    ("nested, some", nested, {"pair": (A, B), "one": C}, {"loss": {"pair": (None, "bce"), "one": SPARSE}}),
    ("of two at once", nested, {"pair": (A, B), "one": C}, {"loss": {"pair": [TOGETHER, (None, "bce")], "one": SPARSE}}),
    ("metrics nested", nested, {"pair": (A, B), "one": C}, {
        "loss": {"pair": ("mse", "bce"), "one": SPARSE}, "metrics": {"pair": (["mae"], ["mse"]), "one": ["accuracy"]},
    }),
    ("several of one", in_list, [A, B, C], {"loss": ["mse", ["mae", "bce"], SPARSE]}),
    ("one output", alone, A, {"loss": "mse", "metrics": ["mae", "mae"], "weighted_metrics": ["mae"]}),
    ("one output by name", alone, A, {"loss": {"a": "mse"}, "loss_weights": 0.5, "metrics": {"a": ["mae"]}}),
    ("crossentropy", in_list, [A, B, C], {"loss": ["crossentropy", "crossentropy", "ce"]}),
]  # fmt: skip


def _of(kit: str, given: Any) -> Any:
    if given is TOGETHER:
        return TOGETHER[kit]
    if isinstance(given, dict):
        return {key: _of(kit, one) for key, one in given.items()}
    return type(given)(_of(kit, one) for one in given) if isinstance(given, list | tuple) else given


@pytest.mark.parametrize(
    ("make", "y", "options"), [case[1:] for case in CASES], ids=[case[0] for case in CASES]
)
def test_logs_are_those_of_keras(make: Callable[..., Any], y: Any, options: dict[str, Any]) -> None:
    ours, theirs = model(uf, make), model(keras, make)
    for layer in theirs.layers:  # by name: Keras lists layers of nested outputs in another order
        layer.set_weights(ours.get_layer(layer.name).get_weights() if layer.weights else [])
    ours.compile("sgd", **_of("uf", options))
    theirs.compile("sgd", **_of("keras", options))
    found = ours.evaluate(X, y, return_dict=True, batch_size=6, backend="numpy")
    expected = theirs.evaluate(X, y, return_dict=True, batch_size=6, verbose=0)
    assert found.keys() == expected.keys()
    for name, value in expected.items():
        assert_close(np.float32(found[name]), np.float32(value), what=name)


def test_several_losses_of_the_only_output_are_added() -> None:
    """Keras 3.15 takes the first and forgets the others."""
    ours = model(uf, alone)
    ours.compile("sgd", loss=["mse", "mae"], loss_weights=[1.0, 3.0], metrics=["mse", "mae"])
    logs = ours.evaluate(X, A, return_dict=True, backend="numpy")
    assert_close(np.float32(logs["loss"]), np.float32(logs["mse"] + 3 * logs["mae"]))


@pytest.mark.parametrize(
    ("make", "options", "error", "match"),
    [
        (in_list, {"loss": {"d": "mse"}}, errors.UnknownName, "Unknown output in loss 'd'.*Known: a, b, c"),
        (in_dict, {"loss": {"a": "mse"}}, errors.UnknownName, "Unknown output in loss 'a'.*Known: first"),
        (in_list, {"loss": ["mse", ["mse"]]}, errors.ArgumentError, "loss has 2 entries at its top.*3 outputs"),
        (in_list, {"loss": "mse", "loss_weights": [1.0]}, errors.ArgumentError, "loss_weights has 1 entries"),
        (in_list, {"loss": "mse", "metrics": ["mae"]}, errors.ArgumentError, "Invalid `metrics`.*\\['mae'\\]"),
        (in_list, {"loss": "mse", "metrics": {"d": ["mae"]}}, errors.ArgumentError, "Invalid `metrics`.*'d'"),
        (nested, {"loss": {"one": {"deep": "mse"}}}, errors.ArgumentError, "loss has a dict at 'one'"),
    ],
)  # fmt: skip
def test_what_does_not_fit_the_outputs(make: Any, options: Any, error: Any, match: str) -> None:
    ours = model(uf, make)
    ours.compile("sgd", **options)
    y = {id(in_list): [A, B, C], id(in_dict): in_dict(A, B, C), id(nested): nested(A, B, C)}[id(make)]
    with pytest.raises(error, match=match):
        ours.evaluate(X, y, backend="numpy")
