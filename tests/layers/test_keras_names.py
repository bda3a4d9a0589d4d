"""Every public name of ``keras.layers`` is in `unifront.layers`, or stands here with its reason."""

from __future__ import annotations

import keras

from unifront import layers

WRAPPERS = (
    "it holds another framework's module, which no graph can; `lower` a model into the framework instead"
)
REASONS = dict.fromkeys(("FlaxLayer", "JaxLayer", "TFSMLayer", "TorchModuleWrapper"), WRAPPERS)


def names(module: object) -> set[str]:
    return {name for name in dir(module) if not name.startswith("_")}


def test_every_name_is_there_or_has_a_reason() -> None:
    wanted = names(keras.layers)
    missing = {name for name in wanted if not hasattr(layers, name)}
    assert missing == REASONS.keys()
    print(  # noqa: T201  # the count that the README has
        f"{len(wanted)} public names of keras.layers, {len(wanted) - len(missing)} in unifront.layers"
    )


def test_names_of_one_class_in_keras_are_names_of_one_class() -> None:
    for name in names(keras.layers) - REASONS.keys():
        theirs = getattr(keras.layers, name)
        if isinstance(theirs, type) and hasattr(layers, theirs.__name__):
            assert getattr(layers, name) is getattr(layers, theirs.__name__), name
