"""Models in the other layout: the same numbers up to the order of axes, the same weights, trained on every backend."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import unifront as uf
from tests.models import TRAINABLE
from unifront import layers, ops
from unifront.errors import ArgumentError, UnknownName
from unifront.models import with_data_format
from unifront.testing import GRADIENT, assert_close

IMAGES = np.random.default_rng(3).normal(size=(3, 8, 10, 4)).astype("float32")


def _other(array: Any, to: str) -> np.ndarray:
    array = np.asarray(array)
    return array if array.ndim < 3 else np.moveaxis(array, *((-1, 1) if to == "channels_first" else (1, -1)))


def _residual() -> uf.Model:
    x = uf.Input((8, 10, 4), name="image")
    y = layers.Conv2D(6, 3, padding="same", activation="relu", groups=2)(x)
    y = layers.BatchNormalization()(y)
    z = layers.SeparableConv2D(6, 3, padding="same")(layers.Dropout(0.3)(y))
    y = layers.Concatenate()([layers.Add()([y, z]), layers.Activation("tanh")(x)])
    y = layers.LayerNormalization()(layers.MaxPooling2D()(y))
    y = layers.GroupNormalization(2)(layers.Conv2DTranspose(4, 3, strides=2)(y))
    return uf.Model(x, layers.Dense(3)(layers.Flatten()(y)), name="residual")


def _nested() -> uf.Model:
    block = uf.Sequential(
        [uf.Input((None, None, 4)), layers.Conv2D(4, 3, padding="same"), layers.ReLU()], name="block"
    )
    x = uf.Input((8, 10, 4))
    y = block(block(layers.ZeroPadding2D(1)(x)) * 0.5)
    return uf.Model(x, [y, layers.GlobalAveragePooling2D()(y), layers.GlobalMaxPooling2D(keepdims=True)(y)])


def _awkward() -> uf.Model:
    """What does not know of layouts: a function, a reshape, a Dense, weights of several axes, a softmax."""
    x = uf.Input((8, 10, 4))
    y = layers.PReLU()(layers.Conv2D(4, 1, activation="softmax")(layers.Conv2D(4, 1)(x)))
    y = layers.Dense(4)(ops.flip(y, 1) + ops.mean(x, axis=-1, keepdims=True))
    y = layers.LayerNormalization(axis=[1, -1])(layers.UpSampling2D(2)(y))
    y = layers.Conv1D(3, 3, padding="causal")(layers.Reshape((160, 8))(y))
    return uf.Model(x, layers.AveragePooling1D(2)(y))


def _two() -> uf.Model:
    image, extra = uf.Input((8, 10, 4), name="image"), uf.Input((5, 3), name="steps")
    seen = layers.Flatten()(layers.Conv2D(2, 3, strides=3)(image))
    return uf.Model({"image": image, "steps": extra}, layers.Concatenate()([seen, layers.Flatten()(extra)]))


MODELS: dict[str, Callable[[], uf.Model]] = {"residual": _residual, "nested": _nested, "awkward": _awkward}


def _filled(model: uf.Model) -> uf.Model:
    rng = np.random.default_rng(0)
    model.set_weights([abs(rng.normal(size=w.shape)).astype("float32") * 0.5 for w in model.weights])
    return model


@pytest.mark.parametrize("name", MODELS)
def test_outputs_are_the_same_in_the_other_layout_and_back(name: str) -> None:
    model = _filled(MODELS[name]())
    first = with_data_format(model, "channels_first")
    again = with_data_format(first, "channels_last")
    assert first.input_shape == (None, 4, 8, 10)
    assert again.input_shape == model.input_shape
    expected = model(IMAGES)
    found = first(_other(IMAGES, "channels_first"))
    for ours, back, theirs in zip(*map(_list, (found, again(IMAGES), expected)), strict=True):
        wanted = (
            theirs if name == "awkward" and ours.shape == theirs.shape else _other(theirs, "channels_first")
        )
        assert_close(np.asarray(ours), np.asarray(wanted))
        assert_close(np.asarray(back), np.asarray(theirs))
    for made in (first, again):
        assert [(w.path, w.shape) for w in made.weights] == [(w.path, w.shape) for w in model.weights]


def _list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]


def test_every_layer_has_the_new_layout_and_axes_follow() -> None:
    first = with_data_format(_residual(), "channels_first")
    formats = {layer.data_format for layer in first.layers if hasattr(layer, "data_format")}
    axes = {layer.axis for layer in first.layers if hasattr(layer, "axis")}
    assert (formats, axes) == ({"channels_first"}, {1})
    assert not [
        node for node in first.graph().nodes if node.op.name == "transpose" and "flatten" not in node.name
    ]


def test_inputs_without_channels_stay() -> None:
    model = _two()
    first = with_data_format(model, "channels_first")
    assert {name: str(type_) for name, type_ in first.input_types.items()} == {
        "image": "float32[batch, 4, 8, 10]", "steps": "float32[batch, 5, 3]",
    }  # fmt: skip
    steps = np.ones((3, 5, 3), "float32")
    found = first({"image": _other(IMAGES, "channels_first"), "steps": steps})
    assert_close(np.asarray(found), np.asarray(model({"image": IMAGES, "steps": steps})))


@pytest.mark.parametrize("backend", TRAINABLE)
def test_it_trains_as_the_first_one_does(backend: str) -> None:
    uf.set_seed(2)
    x = uf.Input((8, 10, 4))
    y = layers.BatchNormalization()(layers.Conv2D(5, 3, activation="tanh")(x))
    last = uf.Model(x, layers.Dense(2)(layers.Flatten()(layers.AveragePooling2D()(y))))
    first = with_data_format(last, "channels_first")
    targets = IMAGES[:, 0, 0, :2]
    for model, images in ((last, IMAGES), (first, _other(IMAGES, "channels_first"))):
        model.compile(uf.optimizers.SGD(0.01), loss="mse")
        model.fit(images, targets, epochs=4, verbose=0, shuffle=False, backend=backend)
    for ours, theirs in zip(first.get_weights(), last.get_weights(), strict=True):
        assert_close(ours, theirs, bounds=GRADIENT)


def test_a_model_that_does_not_say_its_layers_is_refused() -> None:
    class Net(uf.Model):
        def call(self, x: Any) -> Any:
            return x

    for model in (Net(), uf.Sequential([layers.Conv2D(2, 3)])):
        with pytest.raises(ArgumentError, match="does not say how its layers are connected"):
            with_data_format(model, "channels_first")
    with pytest.raises(UnknownName, match="channels_last"):
        with_data_format(_two(), "nchw")
