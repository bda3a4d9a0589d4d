"""Keras as the judge of training: imported in one place, since its backend is chosen once for the process."""

from __future__ import annotations

import os

os.environ.setdefault("KERAS_BACKEND", "torch")

from typing import Any

import keras
import numpy as np

if keras.backend.backend() != os.environ["KERAS_BACKEND"] or keras.backend.backend() != "torch":
    raise RuntimeError(
        "These tests are judged by Keras on torch; run them in a process of their own, as make test does."
    )

import unifront as uf


def copy_weights(model: uf.Model, judge: Any) -> None:
    """Give ``judge``, a Keras model of the same layers, the weights of ``model``."""
    judge.set_weights(model.get_weights())


def value(tensor: Any) -> np.ndarray:
    """A Keras tensor as NumPy."""
    return keras.ops.convert_to_numpy(tensor)
