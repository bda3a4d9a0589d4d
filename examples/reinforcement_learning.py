"""Reinforcement learning: balance a pole on a cart by the policy gradient with a baseline (Sutton and Barto, ch. 13).

    python examples/reinforcement_learning.py --backend jax

The cart and the pole are NumPy (the equations of Barto, Sutton and Anderson 1983, as Gymnasium's CartPole-v1 has them),
many at a time. What goes down is the share of the 200 steps in which the pole no longer stands.
"""

from __future__ import annotations

import argparse
from typing import Any

import numpy as np

import unifront as uf
from unifront import layers, ops

STEPS, DISCOUNT = 200, 0.98


class Carts:
    """Carts at once; a state is place, speed, angle and turning speed."""

    def __init__(self, count: int, rng: np.random.Generator) -> None:
        self.state = rng.uniform(-0.05, 0.05, (count, 4))

    def step(self, right: np.ndarray) -> np.ndarray:
        """Push each cart to the right or to the left for 0.02 s; gives which poles stand."""
        _, speed, angle, turning = self.state.T
        force, sin, cos = np.where(right, 10.0, -10.0), np.sin(angle), np.cos(angle)
        push = (force + 0.05 * turning**2 * sin) / 1.1
        turn = (9.8 * sin - cos * push) / (0.5 * (4 / 3 - 0.1 * cos**2 / 1.1))
        change = np.stack([speed, push - 0.05 * turn * cos / 1.1, turning, turn], axis=1)
        self.state = self.state + 0.02 * change
        return (abs(self.state[:, 0]) < 2.4) & (abs(self.state[:, 2]) < np.deg2rad(12))


class Agent(uf.Model):
    """Gives logits of left and right, and how much reward is to come."""

    def __init__(self, units: int) -> None:
        super().__init__()
        self.policy = uf.Sequential([layers.Dense(units, activation="tanh"), layers.Dense(2)])
        self.value = uf.Sequential([layers.Dense(units, activation="tanh"), layers.Dense(1)])

    def call(self, states: Any) -> Any:
        return ops.concatenate([self.policy(states), self.value(states)], axis=-1)


def decide(weights: list[np.ndarray], states: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Draw actions from the policy: two small products, quicker in NumPy than any call of a framework."""
    first, first_bias, second, second_bias = weights
    logits = np.tanh(states @ first + first_bias) @ second + second_bias
    return rng.random(len(states)) < 1 / (1 + np.exp(logits[:, 0] - logits[:, 1]))


def play(agent: Agent, count: int, rng: np.random.Generator) -> tuple[np.ndarray, ...]:
    """States, actions, discounted rewards to come, and which carts still played: ``[steps, carts, …]``."""
    carts, alive, weights = Carts(count, rng), np.ones(count, bool), agent.policy.get_weights()
    states, actions, played = [], [], []
    for _ in range(STEPS):
        right = decide(weights, carts.state, rng)
        states.append(carts.state), actions.append(right), played.append(alive)
        alive = alive & carts.step(right)
    returns, total = np.zeros((STEPS, count)), alive / (1 - DISCOUNT)  # what still stands may stand for ever
    for t in reversed(range(STEPS)):
        returns[t] = total = played[t] + DISCOUNT * total
    return (
        np.array(states, "float32"),
        np.array(actions, "int32"),
        returns.astype("float32"),
        np.array(played),
    )


def objective(target: Any, outputs: Any) -> Any:
    """Minus the actions' log-probability times their advantage; the value's error; a little entropy."""
    action, to_come = target[:, 0], target[:, 1] / 50
    log_policy, value = ops.log_softmax(outputs[:, :2]), outputs[:, 2]
    chosen = ops.where(ops.greater(action, 0.5), log_policy[:, 1], log_policy[:, 0])
    advantage = ops.stop_gradient(to_come - value)
    advantage = (advantage - ops.mean(advantage)) / (ops.std(advantage) + 1e-3)
    entropy = -ops.sum(ops.exp(log_policy) * log_policy, axis=-1)
    return -chosen * advantage + 0.5 * ops.square(to_come - value) - 0.01 * entropy


def main(backend: str | None = None, quick: bool = False) -> list[float]:
    uf.set_seed(0)
    rng = np.random.default_rng(0)
    agent = Agent(32)
    agent.build((None, 4))
    agent.compile(uf.optimizers.Adam(0.01), loss=objective, backend=backend)
    fallen = []
    for generation in range(10 if quick else 60):
        states, actions, returns, played = play(agent, 32, rng)
        fallen.append(1 - float(played.mean()))
        print(f"generation {generation}: the pole stood for {STEPS * (1 - fallen[-1]):.0f} of {STEPS} steps")
        if fallen[-1] == 0:  # no pole fell: there is nothing left to learn
            break
        chosen = rng.choice(np.flatnonzero(played), 2048)  # as many each time, so that one program does
        told = np.stack([actions, returns], axis=-1).astype("float32").reshape(-1, 2)[chosen]
        agent.fit(states.reshape(-1, 4)[chosen], told, batch_size=1024, verbose=0)
    return fallen


if __name__ == "__main__":
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--backend", help="torch, jax or tensorflow")
    parser.add_argument("--quick", action="store_true", help="a few steps on little data")
    losses = main(**vars(parser.parse_args()))
    assert losses[-1] < losses[0], losses
