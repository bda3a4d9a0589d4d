"""Models that begin in the midst of a graph, written once for Keras and for us."""

from __future__ import annotations

import os
from typing import Any

import numpy as np

from tests.layers.surgery import fill

RNG = np.random.default_rng(12)
X = RNG.normal(size=(8, 9, 6)).astype("float32")


def parts(keras: Any, **where: Any) -> dict[str, list[np.ndarray]]:
    """What parts of one model compute, and what is left of all after some of them learned."""
    layers = keras.layers
    x = keras.Input((9, 6), name="x")
    conv = layers.Conv1D(4, 3, activation="tanh", name="conv")(x)
    normal = layers.BatchNormalization(name="normal")(conv)
    doubled = normal * 2.0
    pooled = layers.GlobalAveragePooling1D(name="pool")(doubled)
    side = layers.Dense(4, name="side")(layers.Flatten(name="flat")(x))
    both = layers.Add(name="both")([pooled, side])
    head, other = layers.Dense(3, name="head")(both), layers.Dense(2, name="other")(both)
    whole = keras.Model(x, [head, other], name="whole")
    fill(whole, np.random.default_rng(3))

    def predicted(model: Any, given: Any) -> list[np.ndarray]:
        found = model.predict(given, verbose=0, **where)
        return [np.asarray(one) for one in (found if isinstance(found, list) else [found])]

    features = predicted(keras.Model(x, conv), X)[0]
    middle = keras.Model(conv, doubled, name="middle")
    tail = keras.Model([pooled, side], [head, other], name="tail")
    mixed = keras.Model([conv, x], head, name="mixed")
    seen = {
        "the middle": predicted(middle, features),
        "a tail of two": predicted(tail, [X[:, 0, :4], X[:, 1, :4]]),
        "from the midst and from the beginning": predicted(mixed, [features, X]),
        "the whole": predicted(whole, X),
    }
    tail.compile(keras.optimizers.SGD(0.1), loss="mse")
    tail.fit(
        [X[:, 0, :4], X[:, 1, :4]],
        [X[:, 2, :3], X[:, 3, :2]],
        batch_size=4,
        epochs=2,
        shuffle=False,
        verbose=0,
        **where,
    )
    middle.compile(keras.optimizers.SGD(0.1), loss="mse")
    middle.fit(features, features, batch_size=4, shuffle=False, verbose=0, **where)
    seen["the whole, whose parts have learned"] = predicted(whole, X)
    seen["and its weights"] = [np.asarray(weight) for weight in whole.get_weights()]
    return seen


def by_keras() -> dict[str, list[np.ndarray]]:
    """What Keras sees; it runs in a process of its own."""
    os.environ["KERAS_BACKEND"] = "tensorflow"
    import keras

    return parts(keras)
