"""Every public name of ``keras.ops`` is in `unifront.ops`, with Keras's parameters: names, order, defaults.

What is not there yet stands in `MISSING`, by family, and what takes other parameters in `OTHER_PARAMETERS`: both
only shrink. What is to stay different has its reason in `REASONS`.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

import keras
import pytest

from tests.signatures import differences
from unifront import ops
from unifront.opset.namespaces import NAMES, NOT_FLAT

MISSING: dict[str, str] = {}
"""Names that are not there yet. Who adds one takes it out."""

OTHER_PARAMETERS = {}
"""Names whose parameters are not Keras's yet."""

REASONS: dict[str, str] = {
    "cond": "it takes operands for its two functions too, behind Keras's arguments",
}
"""Names that differ for good, and why."""

SPACES = {"": keras.ops, **{name: getattr(keras.ops, name) for name in ("image", "linalg", "nn", "numpy")}}


def words(table: dict[str, str]) -> set[str]:
    return {name for names in table.values() for name in names.split()}


def public(module: Any) -> set[str]:
    return {
        name
        for name, value in vars(module).items()
        if not name.startswith("_") and not inspect.ismodule(value)
    }


KERAS: dict[str, Callable[..., Any]] = {
    name: getattr(module, name) for module in SPACES.values() for name in public(module)
}


def ours(name: str) -> Callable[..., Any] | None:
    home = ops.image if name in NOT_FLAT else ops
    return getattr(home, name) if name in home.__all__ else None


FOUND = {name: function for name in KERAS if (function := ours(name)) is not None}


def test_every_name_is_there():
    missing = KERAS.keys() - FOUND.keys()
    print(f"\nkeras.ops: {len(KERAS)} names, {len(KERAS) - len(missing)} of them in uf.ops")  # noqa: T201  # `pytest -s` shows the counts
    assert sorted(missing - REASONS.keys() - words(MISSING)) == []
    assert sorted(words(MISSING) - missing) == [], "These are there: take them out of MISSING."


def test_every_parameter_is_as_in_keras():
    other = {name: found for name in FOUND if (found := differences(FOUND[name], KERAS[name]))}
    print(f"\nkeras.ops: {len(FOUND) - len(other)} of {len(FOUND)} names with Keras's parameters")  # noqa: T201  # `pytest -s` shows the counts
    new = other.keys() - REASONS.keys() - words(OTHER_PARAMETERS)
    assert {name: other[name] for name in sorted(new)} == {}
    assert sorted(words(OTHER_PARAMETERS) - other.keys()) == [], (
        "These are as in Keras: take them out of OTHER_PARAMETERS."
    )


def test_reasons_are_few_and_needed():
    assert len(REASONS) <= 12
    assert [n for n in REASONS if n in FOUND and not differences(FOUND[n], KERAS[n])] == []


def test_the_namespaces_show_the_names_that_keras_has_there():
    for name in ("image", "linalg", "nn", "numpy"):
        assert set(NAMES[name]) == public(SPACES[name])
    for name in ("core", "math"):
        home = f"keras.src.ops.{name}"
        assert set(NAMES[name]) == {n for n in public(keras.ops) if getattr(keras.ops, n).__module__ == home}
    assert public(keras.ops) <= {name for names in NAMES.values() for name in names} | {"rearrange"}
    assert NOT_FLAT.isdisjoint(public(keras.ops))


@pytest.mark.parametrize(
    ("mine", "found"),
    [
        (lambda x, axis=0: 0, []),
        (lambda x, axis=0, *, like=None: 0, []),
        (lambda y, axis=0: 0, ["parameter 0 is x"]),
        (lambda x, axis=1: 0, ["axis is 0 by default"]),
        (lambda x, axis=0, k=1: 0, ["k is no parameter by position"]),
        (lambda x, *axis: 0, ["parameter 1 is axis", "the rest by position is []"]),
    ],
)
def test_a_difference_is_told(mine, found):
    assert differences(mine, lambda x, axis=0: 0) == found
