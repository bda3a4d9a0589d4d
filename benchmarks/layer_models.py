"""The rows' models written with layers. `api` is `keras` or `unifront`: one text makes the model of both."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from rows import CHAIN, Row


def mlp(api: Any, row: Row) -> Any:
    layers = api.layers
    return api.Sequential(
        [
            api.Input(row.input_shape),
            layers.Dense(128, activation="relu", name="dense_1"),
            layers.Dense(128, activation="relu", name="dense_2"),
            layers.Dense(row.classes, name="logits"),
        ]
    )


def chain(api: Any, row: Row) -> Any:
    hidden = [api.layers.Dense(8, name=f"hidden_{number}") for number in range(CHAIN)]
    return api.Sequential([api.Input(row.input_shape), *hidden, api.layers.Dense(row.classes, name="logits")])


def cifar(api: Any, row: Row) -> Any:
    layers = api.layers
    first, second, third = row.dropout
    return api.Sequential(
        [
            api.Input(row.input_shape),
            layers.Conv2D(50, 3, padding="same", activation="relu", name="conv_1"),
            layers.Conv2D(50, 3, padding="same", activation="relu", name="conv_2"),
            layers.MaxPooling2D(2),
            layers.Dropout(first),
            layers.Conv2D(100, 3, padding="same", activation="relu", name="conv_3"),
            layers.Conv2D(100, 3, padding="same", activation="relu", name="conv_4"),
            layers.MaxPooling2D(2),
            layers.Dropout(second),
            layers.Flatten(),
            layers.Dense(512, activation="relu", name="dense"),
            layers.Dropout(third),
            layers.Dense(row.classes, name="logits"),
        ]
    )


def gru(api: Any, row: Row) -> Any:
    layers = api.layers
    return api.Sequential(
        [
            api.Input(row.input_shape, dtype="int32"),
            layers.Embedding(row.vocabulary, 125, name="embedding"),
            layers.GRU(100, name="gru"),
            layers.Dense(row.classes, name="logits"),
        ]
    )


def lstm(api: Any, row: Row) -> Any:
    layers = api.layers
    return api.Sequential(
        [
            api.Input(row.input_shape),
            layers.LSTM(256, return_sequences=True, name="lstm_1"),
            layers.LSTM(256, name="lstm_2"),
            layers.Dense(row.classes, name="logits"),
        ]
    )


MODELS: dict[str, Callable[[Any, Row], Any]] = {
    "mlp": mlp,
    "chain": chain,
    "cifar": cifar,
    "gru": gru,
    "lstm": lstm,
}
