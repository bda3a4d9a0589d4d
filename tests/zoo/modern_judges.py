"""How the modern CNNs of the zoo are compared with Keras Applications' and with torch modules."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from tests.models import TRAINABLE
from tests.train.keras_judge import keras
from unifront import zoo
from unifront.testing import difference

RESIDUAL = 0.8
"""How large what a block of EfficientNet adds is kept. At 1 the output grows with the depth,
and each rounding with it: B7 then differs by a third from itself in float64, in Keras as here. At 0.5 images are told
apart no more. At this it differs by 1e-6, and every image has an output of its own."""


def drawn(weight: Any, seed: int, gain: float) -> np.ndarray:
    """Values for a weight of Keras's that keep the size of what passes through, so that every one counts."""
    rng, shape, path = np.random.default_rng(seed), tuple(weight.shape), weight.path
    if weight.dtype != "float32":
        return weight.numpy()
    if len(shape) > 1:
        depthwise = "depthwise" in path or "dw" in path
        return (
            rng.normal(size=shape) * math.sqrt(gain / math.prod(shape[: -2 if depthwise else -1]))
        ).astype("float32")
    positive = any(kind in path for kind in ("gamma", "variance"))
    values = 1 + 0.2 * rng.random(shape) if positive else 0.1 * rng.normal(size=shape)
    if "project_bn/gamma" in path:
        values *= RESIDUAL
    return values.astype("float32")


def shapes(model: Any) -> list[tuple[str, list[tuple[int, ...]]]]:
    """The shapes of each layer's weights, in the model's order."""
    return [(layer.name, [tuple(w.shape) for w in layer.weights]) for layer in model.layers if layer.weights]


def check_keras(name: str, size: int, options: dict[str, Any], **keras_options: Any) -> None:
    """The weights' names, shapes and order are those of Keras Applications, and so is the output."""
    keras.utils.clear_session()  # which numbers layers without a name
    # what keeps the size of numbers through swish and squeezes, and through ReLU
    gain = 1.3 if "v2_" in name else 2.0
    options = {"classifier_activation": None} | options
    entry = zoo.entries(name)[0]
    judge = getattr(keras.applications, entry.keras)(
        weights=None, input_shape=(size, size, 3), **(keras_options or options)
    )
    model = zoo.create(name, input_shape=(size, size, 3), **options)
    assert shapes(model) == shapes(judge)
    assert model.count_params() == judge.count_params()
    judge.set_weights([drawn(weight, seed, gain) for seed, weight in enumerate(judge.weights)])
    for layer in judge.layers:
        if layer.weights:
            model.get_layer(layer.name).set_weights(layer.get_weights())
    x = (255 * np.random.default_rng(0).random((2, size, size, 3))).astype("float32")
    x[1] *= 0.2
    prepared = not any(family in name for family in ("v3", "efficient", "convnext"))
    x = x / 127.5 - 1 if prepared or not options.get("include_preprocessing", True) else x
    check_same(model.predict(x, backend=TRAINABLE[-1], verbose=0), judge.predict(x, verbose=0))


def check_same(ours: np.ndarray, theirs: np.ndarray) -> None:
    """Equal to 1e-4 of the largest, and so is what tells the first sample from the second."""
    assert difference(ours, theirs) < 1e-4
    told = theirs[0] - theirs[1]
    assert abs(told).max() > 1e-4 * abs(theirs).max()
    assert difference(ours[0] - ours[1], told) < 1e-2
