"""Every public name of ``keras.layers`` is in `unifront.layers`."""

from __future__ import annotations

import inspect

import keras

from unifront import layers


def names(module: object) -> set[str]:
    return {name for name in dir(module) if not name.startswith("_")}


def test_every_name_is_there() -> None:
    wanted = names(keras.layers)
    missing = {name for name in wanted if not hasattr(layers, name)}
    assert not missing
    print(  # noqa: T201  # the count that the README has
        f"{len(wanted)} public names of keras.layers, {len(wanted) - len(missing)} in unifront.layers"
    )


def test_names_of_one_class_in_keras_are_names_of_one_class() -> None:
    for name in names(keras.layers):
        theirs = getattr(keras.layers, name)
        if isinstance(theirs, type) and hasattr(layers, theirs.__name__):
            assert getattr(layers, name) is getattr(layers, theirs.__name__), name


REASONS: dict[str, str] = {}
"""Classes whose arguments are not all Keras's, and why."""


def differences(ours: type, theirs: type) -> list[str]:
    """In words, one for each argument of Keras's constructor that ours does not take as it does.

    What Keras takes as ``**kwargs`` ours may name or take so too, and it may take more by keyword.
    """
    own = list(inspect.signature(ours).parameters.values())
    by_name = {p.name: p for p in own}
    placed = [p.name for p in own if p.kind is p.POSITIONAL_OR_KEYWORD]
    more = any(p.kind is p.VAR_KEYWORD for p in own)
    found = []
    for i, one in enumerate(inspect.signature(theirs).parameters.values()):
        if one.kind is one.VAR_KEYWORD:
            continue
        same = by_name.get(one.name)
        if same is None:
            if not (more and one.name in ALWAYS):
                found.append(f"{one.name} is no argument")
        elif one.default is not one.empty and same.default != one.default:
            found.append(f"{one.name} is {one.default!r} by default, not {same.default!r}")
        elif one.kind is one.POSITIONAL_OR_KEYWORD and placed[i : i + 1] != [one.name]:
            found.append(f"argument {i} is {one.name}")
    return found


ALWAYS = ("name", "dtype", "trainable", "activity_regularizer", "autocast", "data_format", "seed")


def test_every_argument_is_as_in_keras() -> None:
    classes = {
        n: getattr(keras.layers, n) for n in names(keras.layers) if isinstance(getattr(keras.layers, n), type)
    }
    other = {
        n: found for n, cls in sorted(classes.items()) if (found := differences(getattr(layers, n), cls))
    }
    assert {n: found for n, found in other.items() if n not in REASONS} == {}
    assert len(REASONS) <= 12
    assert not REASONS.keys() - other.keys()
