"""A recommender: how would a user rate a film? Factors of users and films, and a small network over them.

    python examples/recommender.py --backend tensorflow

The ratings are made: users and films have hidden tastes, of which only some noisy ratings are seen.
"""

from __future__ import annotations

import argparse
from typing import Any

import numpy as np

import unifront as keras
from unifront import layers, ops


def ratings(users: int, films: int, count: int) -> tuple[np.ndarray, np.ndarray]:
    """Pairs ``[count, 2]`` of a user and a film, and the rating of each, from 1 to 5 stars."""
    rng = np.random.default_rng(0)
    tastes, kinds = rng.normal(size=(users, 4)), rng.normal(size=(films, 4))
    pairs = np.stack([rng.integers(0, users, count), rng.integers(0, films, count)], axis=1).astype("int32")
    liking = (tastes[pairs[:, 0]] * kinds[pairs[:, 1]]).sum(-1) + rng.normal(0, 0.3, count)
    return pairs, np.clip(np.round(3 + 0.8 * liking), 1, 5).astype("float32")


class Recommender(keras.Model):
    """Three stars, what the user and the film add to them, their factors' product, and a network's word."""

    def __init__(self, users: int, films: int, factors: int, **options: Any) -> None:
        super().__init__(**options)
        small = keras.regularizers.L2(1e-5)
        self.user_factors = layers.Embedding(users, factors, embeddings_regularizer=small)
        self.film_factors = layers.Embedding(films, factors, embeddings_regularizer=small)
        self.user_bias, self.film_bias = layers.Embedding(users, 1), layers.Embedding(films, 1)
        self.network = keras.Sequential([layers.Dense(16, activation="relu"), layers.Dense(1)])

    def call(self, pairs: Any) -> Any:
        user, film = pairs[:, 0], pairs[:, 1]
        mine, its = self.user_factors(user), self.film_factors(film)
        product = ops.sum(mine * its, axis=-1, keepdims=True)
        deep = self.network(ops.concatenate([mine, its], axis=-1))
        return 3.0 + self.user_bias(user) + self.film_bias(film) + product + deep


def main(backend: str | None = None, quick: bool = False) -> list[float]:
    keras.utils.set_random_seed(0)
    users, films, count = (50, 40, 1000) if quick else (600, 400, 40_000)
    pairs, stars = ratings(users, films, count)
    cut = count * 9 // 10
    model = Recommender(users, films, factors=4 if quick else 8)
    model.compile(
        optimizer=keras.optimizers.Adam(0.01),
        loss="mse",
        metrics=[keras.metrics.RootMeanSquaredError(name="rmse")],
        backend=backend,
    )
    history = model.fit(
        pairs[:cut], stars[:cut, None], batch_size=64 if quick else 256, epochs=3 if quick else 12,
        validation_data=(pairs[cut:], stars[cut:, None]), verbose=0 if quick else 2,
    )  # fmt: skip
    if not quick:
        print(
            f"root of the mean squared error: {history.history['val_rmse'][-1]:.3f}; of the mean: {stars.std():.3f}"
        )
        mine = np.array([[7, film] for film in range(films)], "int32")
        best = model.predict(mine, verbose=0)[:, 0].argsort()[::-1]
        print("films for user 7:", best[:5].tolist())
    return history.history["loss"]


if __name__ == "__main__":
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--backend", help="torch, jax or tensorflow")
    parser.add_argument("--quick", action="store_true", help="a few steps on little data")
    losses = main(**vars(parser.parse_args()))
    assert losses[-1] < losses[0], losses
