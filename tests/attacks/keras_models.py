"""Keras's side of the comparison of random models, in processes of its own: one for each backend of Keras."""

from __future__ import annotations

import os
import warnings
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np

from tests.attacks.random_models import Program

DTYPES = {"tensorflow": "float64", "jax": "float32"}
"""In what Keras computes on each backend: on JAX its means and recurrent layers are float32 whatever one asks."""


def initialize(backend: str) -> None:
    """Choose Keras's backend for this process."""
    os.environ["KERAS_BACKEND"] = backend


@dataclass
class Verdict:
    """What a model gives: weights by layer before and after one step of SGD, and its outputs before."""

    before: list[list[np.ndarray]]
    output: np.ndarray
    after: list[list[np.ndarray]]


@cache
def _names() -> dict[str, Any]:
    import keras

    assert keras.backend.backend() == os.environ["KERAS_BACKEND"]
    keras.config.set_floatx(DTYPES[keras.backend.backend()])
    keras.config.set_dtype_policy(keras.config.floatx())

    class MultiHeadAttention(keras.layers.MultiHeadAttention):  # type: ignore[misc]  # Keras has no types
        """Keras's takes the masks away from its operands, so that who reads them later finds none: it gets
        copies (a slope of 1 leaves the numbers, and masks, as they are)."""

        def __call__(self, *operands: Any, **options: Any) -> Any:
            return super().__call__(*(keras.layers.LeakyReLU(1.0)(one) for one in operands), **options)

    own = {"Input": keras.Input, "Model": keras.Model, "MultiHeadAttention": MultiHeadAttention}
    return {**vars(keras.layers), **own}


def weights_of(names: list[tuple[str, tuple[int, ...]]], rng: np.random.Generator) -> list[np.ndarray]:
    """Random weights of a usual size; variances positive."""
    values = [rng.normal(size=shape) * 0.5 for _, shape in names]
    return [np.abs(v) + 0.5 if "variance" in n else v for (n, _), v in zip(names, values, strict=True)]


def verdict(program: Program, rate: float) -> Verdict:
    """What Keras says, in the dtype of `DTYPES`."""
    names = _names()
    import keras

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        keras.utils.clear_session(free_memory=False)
        model, layers = program.build(names)
        rng = np.random.default_rng(program.seed)
        for layer in layers:
            layer.set_weights(weights_of([(w.name, tuple(w.shape)) for w in layer.weights], rng))
        before = [layer.get_weights() for layer in layers]
        arrays = program.arrays()
        given = arrays if len(arrays) > 1 else arrays[0]
        output = keras.ops.convert_to_numpy(model(given, training=False))
        model.compile(keras.optimizers.SGD(rate), loss="mse", run_eagerly=True)
        model.train_on_batch(given, np.zeros(output.shape))
        return Verdict(before, np.array(output), [layer.get_weights() for layer in layers])
