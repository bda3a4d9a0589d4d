"""A tree-LSTM reads nested sums and differences and says whether the result is above zero (Tai et al. 2015).

    python examples/tree_lstm.py --backend torch

Trees of different form are computed together: a batch holds all nodes in one tensor, and each round works out those
whose parts are known, with one matrix product for all; there are as many rounds as the highest tree has levels.
"""

from __future__ import annotations

import argparse
from typing import Any

import numpy as np

import unifront as uf
from unifront import layers, ops

WORDS = {str(number): number + 9 for number in range(-9, 10)} | {"+": 19, "-": 20, "": 21}
LEVELS, NODES = 4, 15


def expression(rng: np.random.Generator, levels: int) -> Any:
    """A number, or ``(left, sign, right)``."""
    if levels == 1 or rng.random() < 0.2:
        return int(rng.integers(-9, 10))
    return expression(rng, levels - 1), str(rng.choice(["+", "-"])), expression(rng, levels - 1)


def value(tree: Any) -> int:
    if isinstance(tree, int):
        return tree
    left, sign, right = tree
    return value(left) + value(right) if sign == "+" else value(left) - value(right)


def flat(tree: Any) -> list[tuple[int, int, int]]:
    """The nodes, parts before wholes: word, place of the left part, of the right one; of a number 0."""
    nodes: list[tuple[int, int, int]] = []

    def place(part: Any) -> int:
        if isinstance(part, int):
            nodes.append((WORDS[str(part)], 0, 0))
        else:
            left, right = place(part[0]), place(part[2])
            nodes.append((WORDS[part[1]], left, right))
        return len(nodes)  # places count from 1

    place(tree)
    free = NODES - len(nodes)
    moved = [(word, left and left + free, right and right + free) for word, left, right in nodes]
    return [(WORDS[""], 0, 0)] * free + moved


def trees(count: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Nodes ``[count, 15, 3]``, the root last, and whether the value is above zero."""
    rng = np.random.default_rng(seed)
    made = [expression(rng, LEVELS) for _ in range(count)]
    return np.array([flat(tree) for tree in made], "int32"), np.array(
        [[value(tree) > 0] for tree in made], "float32"
    )


class TreeLSTM(layers.Layer):
    """The state of the root: ``[batch, nodes, 3]`` → ``[batch, units]``. Each part has a forget gate of its own."""

    def __init__(self, units: int, **options: Any) -> None:
        super().__init__(**options)
        self.units = units
        self.words = layers.Embedding(len(WORDS), units)
        self.gates = layers.Dense(5 * units)

    def call(self, nodes: Any) -> Any:
        word, places = self.words(nodes[..., 0]), nodes[..., 1:]
        hidden = cell = ops.zeros_like(word)
        for _ in range(LEVELS):
            h, c = self.parts(hidden, places), self.parts(cell, places)
            i, o, update, *forget = ops.split(self.gates(ops.concatenate([word, *h], axis=-1)), 5, axis=-1)
            kept = sum(ops.sigmoid(gate + 1.0) * part for gate, part in zip(forget, c, strict=True))
            cell = ops.sigmoid(i) * ops.tanh(update) + kept
            hidden = ops.sigmoid(o) * ops.tanh(cell)
        return hidden[:, -1]

    def parts(self, states: Any, places: Any) -> list[Any]:
        """The states of the left and the right parts; zeros where there is none."""
        known = ops.pad(states, [[0, 0], [1, 0], [0, 0]])
        return [ops.take_along_axis(known, places[..., side, None], axis=1) for side in (0, 1)]


def main(backend: str | None = None, quick: bool = False) -> list[float]:
    uf.set_seed(0)
    x, y = trees(256 if quick else 10_000, seed=0)
    nodes = uf.Input((NODES, 3), dtype="int32", name="nodes")
    model = uf.Model(nodes, layers.Dense(1)(TreeLSTM(16 if quick else 48)(nodes)))
    loss = uf.losses.BinaryCrossentropy(from_logits=True)
    model.compile(
        uf.optimizers.Adam(0.01), loss=loss, metrics=[uf.metrics.BinaryAccuracy(threshold=0)], backend=backend
    )
    history = model.fit(x, y, batch_size=64, epochs=3 if quick else 5, verbose=0 if quick else 2)
    if not quick:
        loss, accuracy = model.evaluate(*trees(2000, seed=1), verbose=0)
        print(f"on sums it has not seen: loss {loss:.3f}, accuracy {accuracy:.1%}")
    return history.history["loss"]


if __name__ == "__main__":
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--backend", help="torch, jax or tensorflow")
    parser.add_argument("--quick", action="store_true", help="a few steps on little data")
    losses = main(**vars(parser.parse_args()))
    assert losses[-1] < losses[0], losses
