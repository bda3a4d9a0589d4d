"""A generative adversarial network that learns a ring of eight clusters (Goodfellow et al. 2014).

    python examples/gan.py --backend torch

The training step is the model's own: written once, traced into one graph, and run compiled on every backend. What goes
down is the distance between the means and covariances of what is made and of what is real (Fréchet).
"""

from __future__ import annotations

import argparse
from typing import Any

import numpy as np

import unifront as uf
from unifront import layers, ops

NOISE = 8


def ring(count: int, rng: np.random.Generator) -> np.ndarray:
    """Points ``[count, 2]`` near eight places on a circle around (3, 0)."""
    angles = rng.integers(0, 8, count) * np.pi / 4
    centres = np.stack([3 + 2 * np.cos(angles), 2 * np.sin(angles)], axis=1)
    return (centres + rng.normal(0, 0.1, (count, 2))).astype("float32")


def network(inputs: int, units: int, outputs: int, name: str) -> uf.Sequential:
    hidden = [
        layers.Dense(units),
        layers.LeakyReLU(negative_slope=0.2),
        layers.Dense(units, activation="relu"),
    ]
    return uf.Sequential([uf.Input((inputs,)), *hidden, layers.Dense(outputs)], name=name)


class GAN(uf.Model):
    def __init__(self, units: int) -> None:
        super().__init__()
        self.generator, self.critic = network(NOISE, units, 2, "generator"), network(2, units, 1, "critic")
        self.critic_optimizer = uf.optimizers.Adam(2e-3, beta_1=0.5)
        self.says = uf.losses.BinaryCrossentropy(from_logits=True)
        self.seeds = uf.random.SeedGenerator(0)

    def train_step(self, data: Any) -> dict[str, Any]:
        real = data[0] if isinstance(data, tuple | list) else data
        noise = uf.random.normal((ops.shape(real)[0], NOISE), seed=self.seeds)

        def critic_loss() -> Any:
            logits = ops.concatenate([self.critic(real), self.critic(self.generator(noise))])
            truth = ops.concatenate([ops.ones_like(real[:, :1]), ops.zeros_like(real[:, :1])])
            return self.says(truth, logits)

        def generator_loss() -> Any:
            return self.says(ops.ones_like(real[:, :1]), self.critic(self.generator(noise)))

        critic, gradients = uf.value_and_grad(critic_loss, wrt=self.critic.trainable_variables)()
        self.critic_optimizer.apply(gradients, self.critic.trainable_variables)
        generator, gradients = uf.value_and_grad(generator_loss, wrt=self.generator.trainable_variables)()
        self.optimizer.apply(gradients, self.generator.trainable_variables)
        return {"critic": critic, "generator": generator}


def distance(made: np.ndarray, real: np.ndarray) -> float:
    """Between normal distributions of the same means and covariances (Fréchet 1957)."""
    a, b = np.cov(made.T), np.cov(real.T)
    mixed = np.sqrt(np.maximum(np.linalg.eigvals(a @ b).real, 0)).sum()
    return float(((made.mean(0) - real.mean(0)) ** 2).sum() + np.trace(a) + np.trace(b) - 2 * mixed)


def main(backend: str | None = None, quick: bool = False) -> list[float]:
    uf.set_seed(0)
    rng = np.random.default_rng(0)
    gan = GAN(16 if quick else 64)
    gan.compile(uf.optimizers.Adam(1e-3, beta_1=0.5), backend=backend)
    noise, distances = rng.normal(size=(1000, NOISE)).astype("float32"), []
    for epoch in range(3 if quick else 30):
        distances.append(distance(gan.generator.predict(noise, verbose=0, backend=backend), ring(1000, rng)))
        print(f"epoch {epoch}: distance {distances[-1]:.3f}")
        gan.fit(ring(1024 if quick else 8192, rng), batch_size=64, verbose=0)
    made = gan.generator.predict(noise, verbose=0, backend=backend)
    distances.append(distance(made, ring(1000, rng)))
    if not quick:
        counts, *_ = np.histogram2d(made[:, 1], made[:, 0], bins=(16, 32), range=((-3, 3), (0, 6)))
        print("\n".join("".join(" .:*#"[min(int(n), 4)] for n in row) for row in counts))
    return distances


if __name__ == "__main__":
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--backend", help="torch, jax or tensorflow")
    parser.add_argument("--quick", action="store_true", help="a few steps on little data")
    losses = main(**vars(parser.parse_args()))
    assert losses[-1] < losses[0], losses
