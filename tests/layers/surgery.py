"""Cuts into one nested model, written once for Keras and for us: what it computes and learns after each."""

from __future__ import annotations

import os
from typing import Any

import numpy as np

X = np.random.default_rng(8).normal(size=(12, 6)).astype("float32")
Y = X[:, :2] * X[:, 2:4]


def fill(model: Any, rng: np.random.Generator) -> None:
    """Give the model weights that are the same for both, variances positive."""
    model.set_weights([abs(rng.normal(0.3, 0.4, size=w.shape)).astype("float32") for w in model.weights])


def built(keras: Any) -> Any:
    """A model around a block that it runs twice, with a model in the block, and a statistic."""
    layers = keras.layers
    inside = keras.Sequential(
        [keras.Input((6,)), layers.Dense(5, activation="tanh", name="first"), layers.Dense(6, name="second")],
        name="inside",
    )
    inner = keras.Input((6,), name="inner_in")
    norm = layers.BatchNormalization(name="norm")(inside(inner))
    block = keras.Model(inner, layers.Add(name="sum")([inner, norm]), name="block")
    x = keras.Input((6,), name="x")
    y = block(layers.Dense(6, name="stem")(x))
    y = layers.Activation("tanh", name="bent")(block(y))
    return keras.Model(x, layers.Dense(4, name="head")(y), name="whole")


def walk(keras: Any, **where: Any) -> dict[str, list[np.ndarray]]:
    """The cuts one after the other; what there is to see after each."""
    layers, rng = keras.layers, np.random.default_rng(1)
    seen: dict[str, list[np.ndarray]] = {}

    def look(name: str, *models: Any) -> None:
        predicted = [np.asarray(model.predict(X, verbose=0, **where)) for model in models]
        seen[name] = [*predicted, *(np.asarray(w) for model in models for w in model.get_weights())]

    def learn(model: Any, y: np.ndarray = Y) -> None:
        model.compile(keras.optimizers.SGD(0.05), loss="mse")
        model.fit(X, y, batch_size=4, epochs=2, shuffle=False, verbose=0, **where)

    whole = built(keras)
    fill(whole, rng)
    trunk = keras.Model(whole.input, whole.get_layer("bent").output, name="trunk")
    part = keras.Model(whole.get_layer("block").input, whole.get_layer("block").get_layer("norm").output)
    look("parts", trunk, part)

    new = keras.Model(trunk.input, layers.Dense(2, name="new_head")(trunk.output), name="new")
    fill(new, rng)
    trunk.trainable = False
    learn(new)
    look("a new head on a frozen trunk", new, whole)

    trunk.trainable = True
    new.get_layer("block").get_layer("inside").get_layer("first").trainable = False
    new.get_layer("block").get_layer("norm").trainable = False
    learn(new)
    look("but for two layers inside, all is free", new, whole)
    learn(whole, X[:, :4])
    look("the first model goes on with the weights shared", new, whole)

    stack = keras.Sequential([new.get_layer("stem"), whole.get_layer("block"), layers.Dense(1, name="old")])
    stack.build((None, 6))
    stack.pop()
    stack.add(layers.Dense(2, name="later"))
    fill(stack, rng)
    whole.get_layer("block").trainable = False  # Keras does nothing where the value is the one of before
    whole.get_layer("block").trainable = True
    learn(stack)
    look("a stack whose end was taken off", stack, whole)
    return seen


def by_keras() -> dict[str, list[np.ndarray]]:
    """What Keras sees; it runs in a process of its own."""
    os.environ["KERAS_BACKEND"] = "tensorflow"
    import keras

    return walk(keras)
