"""How the modern CNNs of the zoo are compared with Keras Applications' and with torch modules."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from tests.models import TRAINABLE
from tests.train.keras_judge import keras
from unifront import zoo
from unifront.testing import difference


def drawn(shape: tuple[int, ...], fan_in: int, seed: int) -> np.ndarray:
    """Weights that keep the size of what passes through, so that every one of them counts in the output."""
    rng = np.random.default_rng(seed)
    if len(shape) < 2:
        return (0.8 + 0.4 * rng.random(shape)).astype("float32")
    return (rng.normal(size=shape) * math.sqrt(2 / fan_in)).astype("float32")


def shapes(model: Any) -> list[tuple[str, list[tuple[int, ...]]]]:
    """The shapes of each layer's weights, in the model's order."""
    return [(layer.name, [tuple(w.shape) for w in layer.weights]) for layer in model.layers if layer.weights]


def fan_in(shape: tuple[int, ...], path: str) -> int:
    """How many numbers of the input are in one of the output."""
    depthwise = "depthwise" in path or "dw" in path
    return math.prod(shape[:-2] if depthwise and len(shape) == 4 else shape[:-1])


def check_keras(name: str, size: int, options: dict[str, Any], **keras_options: Any) -> None:
    """The weights' names, shapes and order are those of Keras Applications, and so is the output."""
    options = {"classifier_activation": None} | options
    entry = zoo.entries(name)[0]
    judge = getattr(keras.applications, entry.keras)(
        weights=None, input_shape=(size, size, 3), **(keras_options or options)
    )
    model = zoo.create(name, input_shape=(size, size, 3), **options)
    assert shapes(model) == shapes(judge)
    assert model.count_params() == judge.count_params()
    values = [
        w.numpy() if w.ndim == 0 else drawn(tuple(w.shape), fan_in(tuple(w.shape), w.path), i)
        for i, w in enumerate(judge.weights)
    ]
    judge.set_weights(values)
    for layer in judge.layers:
        if layer.weights:
            model.get_layer(layer.name).set_weights(layer.get_weights())
    x = (255 * np.random.default_rng(0).random((2, size, size, 3))).astype("float32")
    x = x if "v3" in name or "efficient" in name or "convnext" in name else x / 127.5 - 1
    check_same(model.predict(x, backend=TRAINABLE[-1], verbose=0), judge.predict(x, verbose=0))


def check_same(ours: np.ndarray, theirs: np.ndarray) -> None:
    """Equal to 1e-4 of the largest, and so is what tells the first sample from the second."""
    assert difference(ours, theirs) < 1e-4
    told = theirs[0] - theirs[1]
    assert abs(told).max() > 1e-3 * abs(theirs).max()
    assert difference(ours[0] - ours[1], told) < 1e-3
