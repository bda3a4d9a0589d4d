"""Time series: the next day of an hourly series from the last three, with a causal convolution and an LSTM.

    python examples/time_series.py --backend torch

The series is made: a daily and a weekly rhythm, a slow trend, and noise. A forecast that repeats yesterday is the bar.
"""

from __future__ import annotations

import argparse

import numpy as np

import unifront as keras
from unifront import layers

PAST, AHEAD = 72, 24


def series(hours: int, seed: int = 0) -> np.ndarray:
    rng = np.random.default_rng(seed)
    t = np.arange(hours)
    daily = np.sin(2 * np.pi * t / 24) * (1 + 0.3 * np.sin(2 * np.pi * t / (24 * 28)))
    weekly = 0.5 * (t // 24 % 7 >= 5)
    return (daily + weekly + t / 5000 + rng.normal(0, 0.1, hours)).astype("float32")


def windows(values: np.ndarray, batch_size: int, shuffle: bool) -> object:
    """Batches of ``[batch, 72, 1]`` hours and the ``[batch, 24]`` that follow."""
    ahead = np.lib.stride_tricks.sliding_window_view(values[PAST:], AHEAD)
    return keras.utils.timeseries_dataset_from_array(
        values[: len(ahead) + PAST - 1, None], ahead, PAST, batch_size=batch_size, shuffle=shuffle, seed=0
    )


def make_model(units: int) -> keras.Model:
    hours = keras.Input((PAST, 1))
    x = layers.Conv1D(units, 5, strides=2, padding="causal", activation="relu")(hours)
    x = layers.LSTM(units)(x)
    change = layers.Dense(AHEAD)(x)
    yesterday = hours[:, -AHEAD:, 0]
    return keras.Model(hours, yesterday + change)


def main(backend: str | None = None, quick: bool = False) -> list[float]:
    keras.utils.set_random_seed(0)
    values = series(24 * (21 if quick else 365))
    values = (values - values.mean()) / values.std()
    cut = int(len(values) * 0.8)
    train, test = windows(values[:cut], 64, True), windows(values[cut - PAST :], 64, False)
    model = make_model(8 if quick else 32)
    model.compile(keras.optimizers.Adam(0.01), loss="mse", metrics=["mae"], backend=backend)
    slower = keras.callbacks.ReduceLROnPlateau("loss", factor=0.5, patience=2)
    history = model.fit(train, epochs=3 if quick else 8, callbacks=[slower], verbose=0 if quick else 2)
    if not quick:
        targets = np.concatenate([np.asarray(y) for _, y in test])
        yesterday = np.concatenate([np.asarray(x)[:, -AHEAD:, 0] for x, _ in test])
        _, error = model.evaluate(test, verbose=0)
        print(f"mean absolute error: {error:.3f}; of yesterday again: {abs(targets - yesterday).mean():.3f}")
    return history.history["loss"]


if __name__ == "__main__":
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--backend", help="torch, jax or tensorflow")
    parser.add_argument("--quick", action="store_true", help="a few steps on little data")
    losses = main(**vars(parser.parse_args()))
    assert losses[-1] < losses[0], losses
