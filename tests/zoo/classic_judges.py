"""How the classic CNNs of the zoo are compared with Keras Applications' and with torch modules."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

import unifront as uf
from unifront.testing import difference


def scaled(shape: tuple[int, ...], fan_in: int, seed: int) -> np.ndarray:
    """Weights that keep the size of what passes through ReLUs, so that every one of them counts in the output."""
    rng = np.random.default_rng(seed)
    if len(shape) < 2:
        return (0.8 + 0.4 * rng.random(shape)).astype("float32")
    return (rng.normal(size=shape) * math.sqrt(2 / fan_in)).astype("float32")


def shapes(model: Any) -> list[tuple[str, list[tuple[int, ...]]]]:
    """The names of the layers with weights and the shapes of these, in the model's order."""
    return [(layer.name, [tuple(w.shape) for w in layer.weights]) for layer in model.layers if layer.weights]


def from_keras(judge: Any, model: uf.Model) -> None:
    """Random weights into a Keras model, and the same ones into ours, by layer name; all of them."""
    assert shapes(model) == shapes(judge)
    values = []
    for seed, weight in enumerate(judge.weights):
        shape = tuple(weight.shape)
        inputs = shape[:-2] if "depthwise" in weight.path else shape[:-1]
        values.append(scaled(shape, math.prod(inputs), seed))
    judge.set_weights(values)
    for layer in judge.layers:
        if layer.weights:
            model.get_layer(layer.name).set_weights(layer.get_weights())


def check_same(ours: np.ndarray, theirs: np.ndarray) -> None:
    """Equal to 1e-4 of the largest, and so is what tells the first image from the second."""
    assert difference(ours, theirs) < 1e-4
    told = theirs[0] - theirs[1]
    assert abs(told).max() > 1e-3 * abs(theirs).max()
    assert difference(ours[0] - ours[1], told) < 1e-3
