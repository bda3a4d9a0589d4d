"""Layers are found in attributes, whenever and however these came to hold them."""

from __future__ import annotations

import copy
import pickle
from typing import Any

import numpy as np
import pytest

import unifront as uf
from unifront import layers


class Holds(uf.Layer):
    """Nothing, at first."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self.first: Any = None
        self.second: Any = 1
        self.many: list[Any] = []
        self.named: dict[str, Any] = {}

    def call(self, x: Any) -> Any:
        return x


def inside(layer: uf.Layer) -> list[str]:
    return [one.name for one in layer.layers_below()][1:]


def test_each_way_to_hold_one_counts_at_once() -> None:
    layer = Holds()
    assert inside(layer) == []
    layer.many.append(layers.Dense(1, name="appended"))
    assert inside(layer) == ["appended"]
    layer.second = layers.Dense(1, name="instead_of_a_number")
    assert inside(layer) == [
        "instead_of_a_number",
        "appended",
    ]  # in the order in which the attributes were first set
    layer.first = [1, (layers.Dense(1, name="nested"),)]
    layer.named["key"] = layers.Dense(1, name="by_key")
    layer.late = {"a": layers.Dense(1, name="late")}
    assert inside(layer) == ["nested", "instead_of_a_number", "appended", "by_key", "late"]
    layer.many[0] = layers.Dense(1, name="replaced")
    layer.second = None
    del layer.late
    assert inside(layer) == ["nested", "replaced", "by_key"]
    layer.second = layers.Dense(1, name="again")
    assert inside(layer) == ["nested", "again", "replaced", "by_key"]


@pytest.mark.parametrize("copied", [copy.copy, copy.deepcopy, lambda one: pickle.loads(pickle.dumps(one))])
def test_a_copy_finds_its_own(copied: Any) -> None:
    layer = Holds()
    layer.second = layers.Dense(1, name="one")
    assert inside(layer) == ["one"]
    other = copied(layer)
    other.first = layers.Dense(1, name="other")
    assert (inside(layer), inside(other)) == (["one"], ["other", "one"])


def test_what_is_appended_later_is_frozen_trained_and_listed() -> None:
    class Blocks(uf.Model):
        def __init__(self) -> None:
            super().__init__()
            self.blocks: list[Any] = []

        def call(self, x: Any) -> Any:
            for block in self.blocks:
                x = block(x)
            return x

    model = Blocks()
    model.blocks.append(layers.Dense(3))
    model(np.ones((2, 4), np.float32))
    assert len(model.weights) == 2
    model.blocks.append(layers.Dense(2))
    model(np.ones((2, 4), np.float32))
    assert len(model.weights) == 4
    model.trainable = False
    assert not model.trainable_weights
    model.blocks.append(layers.Dense(2))
    assert not [*model.layers_below()][-1].trainable


def test_a_model_made_for_given_inputs_is_no_layer_of_the_one_it_is_made_of() -> None:
    """What a model keeps for itself is not looked into."""
    a, b = uf.Input((2,), name="a"), uf.Input((2,), name="b", optional=True)

    class Sum(uf.Layer):
        def call(self, x: Any, y: Any = None) -> Any:
            return x if y is None else x + y

    model = uf.Model([a, b], layers.Dense(1)(Sum()(a, b)))
    before = inside(model)
    model.predict([np.ones((3, 2), np.float32), None], verbose=0)
    assert inside(model) == before
