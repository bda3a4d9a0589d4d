"""What weights and outputs are called."""

from __future__ import annotations

import copy
import pickle
from collections.abc import Callable

import numpy as np
import pytest

import unifront as uf
from unifront import layers


def part(name: str) -> uf.Sequential:
    return uf.Sequential([uf.Input((3,)), layers.Dense(3, name="hidden")], name=name)


def test_models_inside_a_model_do_not_share_paths() -> None:
    model = uf.Sequential([uf.Input((3,)), part("first"), part("second")])
    assert [weight.path for weight in model.weights] == [
        "first/hidden/kernel", "first/hidden/bias", "second/hidden/kernel", "second/hidden/bias",
    ]  # fmt: skip
    assert [v.name for v in model.graph().variables] == [weight.path for weight in model.weights]


def test_so_they_do_not_begin_with_equal_numbers() -> None:
    uf.set_seed(0)
    model = uf.Sequential([uf.Input((3,)), part("first"), part("second")])
    first, _, second, _ = model.get_weights()
    assert not np.allclose(first, second)


def test_a_model_inside_two_keeps_the_paths_of_the_first() -> None:
    shared = part("shared")
    outer = uf.Sequential([uf.Input((3,)), shared, layers.Dense(1)], name="outer")
    uf.Sequential([uf.Input((3,)), layers.Dense(3), shared], name="other")
    assert outer.weights[0].path == "shared/hidden/kernel"
    whole = uf.Sequential([uf.Input((3,)), outer])
    assert whole.weights[0].path == "outer/shared/hidden/kernel"


@pytest.mark.parametrize("copied", [copy.deepcopy, lambda one: pickle.loads(pickle.dumps(one))])
def test_copies_of_a_model_inside_a_model_do_not_share_paths(copied: Callable[[uf.Model], uf.Model]) -> None:
    one, two = part("one"), part("two")
    for model in (one, two):
        model(np.ones((2, 3), np.float32))
    one, two = copied(one), copied(two)
    assert one.weights[0].path == two.weights[0].path == "hidden/kernel"
    outer = uf.Sequential([uf.Input((3,)), one, two])
    assert [weight.path for weight in outer.weights][::2] == ["one/hidden/kernel", "two/hidden/kernel"]
    assert [weight.path for weight in copied(outer).weights][::2] == [
        "one/hidden/kernel",
        "two/hidden/kernel",
    ]


def two_headed() -> uf.Model:
    x = uf.Input((3,))
    return uf.Model(x, {"size": layers.Dense(1, name="a")(x), "kind": layers.Dense(2, name="b")(x)})


def test_outputs_are_called_by_the_keys_of_their_dict() -> None:
    model = two_headed()
    assert model.graph().output_names == ("size", "kind")
    found = model.predict(np.ones((2, 3)), backend="numpy")
    assert list(found) == ["size", "kind"]
    model.compile("sgd", loss={"size": "mse", "kind": "mae"})
    logs = model.evaluate(
        np.ones((2, 3)), {"size": np.ones((2, 1)), "kind": np.ones((2, 2))}, return_dict=True, backend="numpy"
    )
    assert list(logs) == ["loss", "size_loss", "kind_loss"]


def test_also_those_of_a_subclass() -> None:
    class Heads(uf.Model):
        def __init__(self) -> None:
            super().__init__()
            self.a, self.b = layers.Dense(1), layers.Dense(2)

        def call(self, x):  # type: ignore[no-untyped-def]
            return {"size": self.a(x), "kind": self.b(x)}

    model = Heads()
    model.build((None, 3))
    assert model.graph().output_names == ("size", "kind")


def test_input_shape_begins_a_sequential() -> None:
    for first in (layers.Dense(4, input_shape=(3,)), layers.Dense(4, input_dim=3)):
        model = uf.Sequential([first, layers.Dense(2)])
        assert [weight.shape for weight in model.weights] == [(3, 4), (4,), (4, 2), (2,)]
    model = uf.Sequential()
    model.add(layers.Conv2D(2, 3, padding="SAME", input_shape=(8, 8, 1)))
    assert model.outputs[0].shape[1:] == (8, 8, 2)
