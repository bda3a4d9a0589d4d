"""Every public name of ``keras.layers`` is in `unifront.layers`."""

from __future__ import annotations

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
