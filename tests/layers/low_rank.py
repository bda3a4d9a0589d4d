"""Layers with LoRA, written once for Keras and for us."""

from __future__ import annotations

import os
from typing import Any

import numpy as np

LAYERS: dict[str, tuple[str, tuple[int, ...]]] = {
    "dense": ("Dense(3, activation='tanh', kernel_regularizer='l2')", (5,)),
    "dense_steps": ("Dense(3)", (2, 5)),
    "einsum": ("EinsumDense('abc,cd->abd', (None, 4), bias_axes='d')", (3, 5)),
    "einsum_heads": ("EinsumDense('abc,cde->abde', (None, 2, 4))", (3, 5)),
    "conv1d": ("Conv1D(4, 3, padding='causal')", (6, 2)),
    "conv2d": ("Conv2D(4, 3, groups=2, strides=2)", (6, 5, 4)),
    "embedding": ("Embedding(7, 4)", (6,)),
    "asked": ("Dense(3, lora_rank=2)", (5,)),
}


def seen(keras: Any, name: str, **where: Any) -> list[Any]:
    """Names, what trains, outputs, and the weights after a step of SGD."""
    text, shape = LAYERS[name]
    rng = np.random.default_rng(5)
    x = rng.integers(0, 7, (4, *shape)) if name == "embedding" else rng.normal(size=(4, *shape))
    layer = eval(text, dict(vars(keras.layers)))
    given = keras.Input(shape, dtype="int32" if name == "embedding" else None)
    model = keras.Model(given, layer(given))
    if "lora" not in text:
        layer.enable_lora(2, lora_alpha=6)
    values = [rng.normal(size=w.shape).astype("float32") for w in layer.weights]
    layer.set_weights(values)
    x = x.astype("int32" if name == "embedding" else "float32")
    before = np.asarray(model.predict(x, verbose=0, **where))
    y = rng.normal(size=before.shape).astype("float32")
    model.compile(keras.optimizers.SGD(0.1), loss="mse")
    model.fit(x, y, verbose=0, shuffle=False, **where)
    names = [(w.name, tuple(w.shape)) for w in layer.weights], [w.name for w in layer.trainable_weights]
    return [names, before, *(np.asarray(w) for w in layer.get_weights())]


def by_keras() -> dict[str, list[Any]]:
    """What Keras sees of all; it runs in a process of its own."""
    os.environ["KERAS_BACKEND"] = "tensorflow"
    import keras

    return {name: seen(keras, name) for name in LAYERS}
