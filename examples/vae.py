"""A variational autoencoder of handwritten digits (Kingma and Welling 2014).

    python examples/vae.py --backend jax

Written as a script of keras.io is: a layer that draws, a model that adds a loss of its own.
"""

from __future__ import annotations

import argparse
from typing import Any

import numpy as np
from sklearn.datasets import load_digits

import unifront as keras
from unifront import layers, ops


class Sampling(layers.Layer):
    """Draws a code from the normal distribution of ``mean`` and ``log_variance``."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self.seed_generator = keras.random.SeedGenerator(1337)

    def call(self, inputs: Any) -> Any:
        mean, log_variance = inputs
        noise = keras.random.normal(ops.shape(mean), seed=self.seed_generator)
        return mean + ops.exp(0.5 * log_variance) * noise


class VAE(keras.Model):
    def __init__(self, codes: int, units: int, **options: Any) -> None:
        super().__init__(**options)
        self.encoder = keras.Sequential([layers.Dense(units, activation="relu"), layers.Dense(2 * codes)])
        self.sampling = Sampling()
        self.decoder = keras.Sequential([layers.Dense(units, activation="relu"), layers.Dense(64)])

    def call(self, x: Any) -> Any:
        mean, log_variance = ops.split(self.encoder(x), 2, axis=-1)
        logits = self.decoder(self.sampling([mean, log_variance]))
        divergence = 0.5 * ops.sum(ops.square(mean) + ops.exp(log_variance) - log_variance - 1, axis=-1)
        self.add_loss(ops.mean(divergence))
        return logits


def reconstruction(y_true: Any, logits: Any) -> Any:
    """Minus the logarithm of the pixels' probability, summed over the image."""
    return ops.sum(ops.binary_crossentropy(y_true, logits, from_logits=True), axis=-1)


def main(backend: str | None = None, quick: bool = False) -> list[float]:
    keras.utils.set_random_seed(0)
    images = (load_digits().data / 16).astype("float32")
    images = images[:300] if quick else images
    vae = VAE(codes=2, units=16 if quick else 128)
    vae.compile(
        optimizer=keras.optimizers.Adam(0.01 if quick else 0.003), loss=reconstruction, backend=backend
    )
    history = vae.fit(images, images, epochs=3 if quick else 40, batch_size=64, verbose=0 if quick else 2)
    if not quick:
        grid = np.array([[a, b] for b in (-1.5, 0, 1.5) for a in (-1.5, -0.5, 0.5, 1.5)], "float32")
        drawn = 1 / (1 + np.exp(-vae.decoder.predict(grid, verbose=0).reshape(3, 4, 8, 8)))
        for row in drawn.transpose(0, 2, 1, 3).reshape(24, 32):
            print("".join(" .:*#"[min(int(pixel * 5), 4)] * 2 for pixel in row))
    return history.history["loss"]


if __name__ == "__main__":
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--backend", help="torch, jax or tensorflow")
    parser.add_argument("--quick", action="store_true", help="a few steps on little data")
    losses = main(**vars(parser.parse_args()))
    assert losses[-1] < losses[0], losses
