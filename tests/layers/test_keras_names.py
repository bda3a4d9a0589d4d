"""Every public name of ``keras.layers``, and of the smaller namespaces of classes, is ours too, with Keras's parameters."""

from __future__ import annotations

import inspect
from fnmatch import fnmatchcase
from typing import Any

import keras
import pytest

import unifront as uf
from tests.signatures import differences
from unifront import layers

REASONS: dict[str, str] = {
    "Av*Pool*D": "windows are of two by default, as those of the largest element are in Keras too",
}
"""Layers whose parameters differ for good, and why."""

OTHERS: dict[str, dict[str, str]] = {
    "activations": {},
    "callbacks": {},
    "constraints": {},
    "initializers": {},
    "losses": {},
    "metrics": {},
    "optimizers": {
        "Muon": "what is Muon's own comes before what all optimizers take",
        "Optimizer": "it takes what it can be given, where Keras's takes anything and refuses it",
    },
    "optimizers.schedules": {},
    "random": {},
    "regularizers": {},
}
"""The other namespaces, and in each what differs for good."""


def public(module: Any) -> dict[str, Any]:
    """The public names of ``module``, without modules."""
    return {
        name: value
        for name, value in ((name, getattr(module, name)) for name in dir(module))
        if not name.startswith("_") and not inspect.ismodule(value) and callable(value)
    }


def differing(ours: Any, theirs: Any) -> dict[str, list[str]]:
    """By name, in which parameters the public names of ``theirs`` differ."""
    found = {name: differences(getattr(ours, name), one) for name, one in public(theirs).items()}
    return {name: each for name, each in found.items() if each}


def without_reason(found: dict[str, list[str]], reasons: dict[str, str]) -> dict[str, list[str]]:
    return {name: each for name, each in found.items() if not any(fnmatchcase(name, one) for one in reasons)}


def needless(found: dict[str, list[str]], reasons: dict[str, str]) -> list[str]:
    return [one for one in reasons if not any(fnmatchcase(name, one) for name in found)]


def test_every_name_is_there() -> None:
    wanted = public(keras.layers).keys()
    missing = {name for name in wanted if not hasattr(layers, name)}
    assert not missing
    print(  # noqa: T201  # the count that the README has
        f"{len(wanted)} public names of keras.layers, {len(wanted) - len(missing)} in unifront.layers"
    )


def test_every_parameter_is_as_in_keras() -> None:
    found = differing(layers, keras.layers)
    count = len(public(keras.layers))
    print(f"\nkeras.layers: {count - len(found)} of {count} names with Keras's parameters")  # noqa: T201  # `pytest -s`
    assert without_reason(found, REASONS) == {}
    assert needless(found, REASONS) == []
    assert len(REASONS) <= 12


@pytest.mark.parametrize("space", OTHERS)
def test_every_parameter_of_other_namespaces_is_as_in_keras(space: str) -> None:
    ours, theirs = uf, keras
    for part in space.split("."):
        ours, theirs = getattr(ours, part), getattr(theirs, part)
    found = differing(ours, theirs)
    assert without_reason(found, OTHERS[space]) == {}
    assert needless(found, OTHERS[space]) == []


def test_names_of_one_class_in_keras_are_names_of_one_class() -> None:
    for name, theirs in public(keras.layers).items():
        if isinstance(theirs, type) and hasattr(layers, theirs.__name__):
            assert getattr(layers, name) is getattr(layers, theirs.__name__), name


def test_defaults_that_a_class_shows_are_taken() -> None:
    assert layers.Conv2D(3, 1).strides == layers.Conv2D(3, 1, 1).strides == (1, 1)
    assert layers.Conv2D(3, 1, strides=2).strides == layers.Conv2D(3, 1, (2, 2)).strides == (2, 2)
    assert layers.MaxPooling3D().pool_size == (2, 2, 2)
    assert layers.Cropping2D().cropping == ((0, 0), (0, 0))
    assert layers.ZeroPadding2D(padding=(2, 1)).padding == ((2, 2), (1, 1))
    assert layers.MaxPooling2D(2, 2, "valid", None, "pool").name == "pool"
    assert layers.StringLookup(*(None, 1, None, "[UNK]", ["a"]), name="words").name == "words"
