"""Small models and data that many tests share."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

import unifront as uf
from unifront import backends, layers

TRAINABLE = [name for name in backends.installed() if name != "numpy"]
Data = tuple[np.ndarray, np.ndarray]


def mlp(dtype: str = "float32") -> tuple[uf.Model, Data]:
    """Two dense layers on 5 features, 3 classes."""
    x = uf.Input((5,), name="features", dtype=dtype)
    y = layers.Dense(3)(layers.Dense(8, activation="tanh")(x))
    return uf.Model(x, y, name="mlp"), _data((40, 5), 3, dtype)


def cnn(dtype: str = "float32") -> tuple[uf.Model, Data]:
    """Convolution, batch norm, pooling, on 6×6 images."""
    x = uf.Input((6, 6, 2), name="image", dtype=dtype)
    y = layers.Conv2D(4, 3, padding="same", activation="relu")(x)
    y = layers.BatchNormalization(momentum=0.9)(y)
    y = layers.Conv2D(6, 3, strides=2, padding="same", use_bias=False)(y)
    y = layers.LayerNormalization()(y)
    y = layers.MaxPooling2D()(y)
    return uf.Model(x, layers.Dense(3)(layers.Flatten()(y)), name="cnn"), _data((40, 6, 6, 2), 3, dtype)


def rnn(dtype: str = "float32") -> tuple[uf.Model, Data]:
    """An LSTM both ways, a GRU and a simple RNN, with free length."""
    x = uf.Input(("time", 4), name="sequence", dtype=dtype)
    y = layers.Bidirectional(layers.LSTM(3, return_sequences=True))(x)
    y = layers.GRU(4, return_sequences=True)(y)
    y = layers.SimpleRNN(5)(y)
    return uf.Model(x, layers.Dense(3)(y), name="rnn"), _data((40, 7, 4), 3, dtype)


def masked(dtype: str = "float32") -> tuple[uf.Model, Data]:
    """Embedded words with padding through a GRU."""
    rng = np.random.default_rng(5)
    x = uf.Input(("time",), name="words", dtype="int32")
    y = layers.Embedding(11, 4, mask_zero=True, dtype=dtype)(x)
    y = layers.GRU(5, return_sequences=True, dtype=dtype)(y)
    y = layers.LSTM(4, dtype=dtype)(y)
    words = rng.integers(0, 11, (40, 6)).astype(np.int32)
    return uf.Model(x, layers.Dense(3, dtype=dtype)(y), name="masked"), (words, words.sum(axis=1) % 3)


MODELS: dict[str, Callable[[str], tuple[uf.Model, Data]]] = {
    "mlp": mlp,
    "cnn": cnn,
    "rnn": rnn,
    "masked": masked,
}


def _data(shape: tuple[int, ...], classes: int, dtype: str) -> Data:
    rng = np.random.default_rng(3)
    x = rng.normal(size=shape).astype(dtype)
    weights = rng.normal(size=(int(np.prod(shape[1:])), classes))
    return x, (x.reshape(len(x), -1) @ weights).argmax(axis=1)


def cross_entropy() -> uf.losses.Loss:
    """The loss of every model here."""
    return uf.losses.SparseCategoricalCrossentropy(from_logits=True)
