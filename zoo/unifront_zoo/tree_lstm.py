"""Tree-LSTMs (Tai et al. 2015), batched by structure: nodes of equal depth of all trees go into one matrix product.

A tree is ``(word, *children)``, each child a tree; 0 is no word. `batched` lays trees out by depth, the deepest level
first, so that the children of a level are in the one before it. The recursion is then a scan over levels: as many
products as the deepest tree has levels, whatever the number of nodes and trees (DyNet's batching; Neubig et al. 2017).
"""

from collections.abc import Sequence
from typing import Any

import numpy as np

import unifront as uf
from unifront import layers, ops

Tree = tuple[Any, ...]


def batched(
    trees: Sequence[Tree], *, levels: int | None = None, width: int | None = None, arity: int | None = None
) -> dict[str, np.ndarray]:
    """Trees as arrays: int32 ``words[tree, level, place]`` and ``children[tree, level, place, arity]``.

    The root is at place 0 of the last level. Children are counted from 1, in the level before; 0 is none.

    Args:
        levels, width, arity: sizes to fill up to, so that batches have one shape and programs are compiled once;
            what the trees need unless given.

    Raises `ArgumentError` for trees that do not fit.

    Example::

        tree_lstm.batched([(0, (3,), (5,))])["words"]  # [[[3, 5], [0, 0]]]
    """
    rows = [_by_depth(tree) for tree in trees]
    places = [level for row in rows for level in row]
    needed = {
        "levels": max((len(row) for row in rows), default=1),
        "width": max((len(level) for level in places), default=1),
        "arity": max((len(node[1]) for level in places for node in level), default=0) or 1,
    }
    given = {"levels": levels, "width": width, "arity": arity}
    for name, size in given.items():
        if size is not None and size < needed[name]:
            raise uf.errors.ArgumentError(f"batched: {name}={size}, but the trees need {needed[name]}.")
    sizes = [given[name] or needed[name] for name in needed]
    words = np.zeros((len(rows), *sizes[:2]), np.int32)
    children = np.zeros((len(rows), *sizes), np.int32)
    for i, row in enumerate(rows):
        for depth, level in enumerate(row):
            for place, (word, below) in enumerate(level):
                words[i, -1 - depth, place] = word
                children[i, -1 - depth, place, : len(below)] = below
    return {"words": words, "children": children}


def _by_depth(tree: Tree) -> list[list[tuple[int, list[int]]]]:
    """For each depth the nodes' words and the places of their children, counted from 1."""
    found, nodes = [], [tree]
    while nodes:
        below = [child for node in nodes for child in node[1:]]
        counts = np.cumsum([0, *(len(node) - 1 for node in nodes)])
        level = [
            (int(node[0]), list(range(counts[i] + 1, counts[i + 1] + 1))) for i, node in enumerate(nodes)
        ]
        found.append(level)
        nodes = below
    return found


class _TreeLSTM(uf.Layer):
    """What the two kinds share: ``x[batch, level, place, size]`` and ``children`` → ``h[…, units]`` of each place."""

    def __init__(self, units: int, **options: Any) -> None:
        super().__init__(**options)
        self.units = units

    def enter(self, x: Any) -> Any:
        """What the words add, for all nodes at once."""
        raise NotImplementedError

    def advance(self, entered: Any, leaf: Any, h: Any, c: Any) -> tuple[Any, Any]:
        """States of a level, by those of the children ``[batch, place, arity, units]``, which are 0 where is none."""
        raise NotImplementedError

    def call(self, x: Any, children: Any) -> Any:
        batch, _, width, arity = ops.shape(children)
        none = ops.zeros((batch, width, self.units), self.compute_dtype, like=x)
        row = ops.zeros((batch, 1, self.units), self.compute_dtype, like=x)

        def below(states: Any, places: Any) -> Any:
            chosen = ops.reshape(places, (batch, width * arity, 1))
            found = ops.take_along_axis(ops.concatenate([row, states], axis=1), chosen, axis=1)
            return ops.reshape(found, (batch, width, arity, self.units))

        def body(state: Any, given: Any) -> tuple[Any, Any]:
            entered, places = given
            leaf = ops.expand_dims(ops.equal(ops.max(places, axis=-1), 0), -1)
            h, c = self.advance(entered, leaf, *(below(one, places) for one in state))
            return [h, c], h

        levels = ops.swapaxes(self.enter(x), 0, 1), ops.swapaxes(children, 0, 1)
        _, h = ops.scan(body, [none, none], levels)
        return ops.swapaxes(h, 0, 1)


class ChildSumTreeLSTM(_TreeLSTM):
    """Any number of children, in any order: gates see the sum of their states, each has a forget gate of its own
    (equations 2 to 8)."""

    def __init__(self, units: int, **options: Any) -> None:
        super().__init__(units, **options)
        self.entering, self.summed = layers.Dense(4 * units), layers.Dense(3 * units)
        self.forget = layers.Dense(units)

    def build(self, x: Any, children: Any) -> None:
        self.entering.build((None, x[-1]))
        for layer in (self.summed, self.forget):
            layer.build((None, self.units))

    def enter(self, x: Any) -> Any:
        return self.entering(x)

    def advance(self, entered: Any, leaf: Any, h: Any, c: Any) -> tuple[Any, Any]:
        own, forgotten = entered[..., : 3 * self.units], entered[..., 3 * self.units :]
        i, o, u = ops.split(ops.add(own, self.summed(ops.sum(h, axis=2))), 3, axis=-1)
        forget = ops.sigmoid(ops.add(ops.expand_dims(forgotten, 2), self.forget(h)))
        kept = ops.sum(ops.multiply(forget, c), axis=2)
        c = ops.add(ops.multiply(ops.sigmoid(i), ops.tanh(u)), kept)
        return ops.multiply(ops.sigmoid(o), ops.tanh(c)), c


class BinaryTreeLSTM(_TreeLSTM):
    """Two children in their order, and words at leaves only: that of constituency trees (equations 9 to 14, N = 2)."""

    def __init__(self, units: int, **options: Any) -> None:
        super().__init__(units, **options)
        self.leaf = layers.Dense(2 * units)
        self.left, self.right = layers.Dense(5 * units), layers.Dense(5 * units)

    def build(self, x: Any, children: Any) -> None:
        if children[-1] != 2:
            raise uf.errors.ShapeError(f"A binary tree has two children; those given are {children[-1]}.")
        self.leaf.build((None, x[-1]))
        for layer in (self.left, self.right):
            layer.build((None, self.units))

    def enter(self, x: Any) -> Any:
        return self.leaf(x)

    def advance(self, entered: Any, leaf: Any, h: Any, c: Any) -> tuple[Any, Any]:
        gates = ops.add(self.left(h[:, :, 0]), self.right(h[:, :, 1]))
        i, left, right, o, u = ops.split(gates, 5, axis=-1)
        kept = ops.add(
            ops.multiply(ops.sigmoid(left), c[:, :, 0]), ops.multiply(ops.sigmoid(right), c[:, :, 1])
        )
        own, output = entered[..., : self.units], entered[..., self.units :]
        c = ops.where(leaf, own, ops.add(ops.multiply(ops.sigmoid(i), ops.tanh(u)), kept))
        return ops.multiply(ops.sigmoid(ops.where(leaf, output, o)), ops.tanh(c)), c


def _model(name: str, layer: _TreeLSTM, words: int, arity: int | str, embedding: int, classes: int, dropout: float,
           every_node: bool) -> uf.Model:  # fmt: skip
    found = uf.Input(("levels", "width"), name="words", dtype="int32")
    children = uf.Input(("levels", "width", arity), name="children", dtype="int32")
    x = layers.Embedding(words, embedding, name="embedding")(found)
    x = layer(x, children)
    x = layers.Dropout(dropout, name="dropout")(x if every_node else x[:, -1, 0])
    return uf.Model([found, children], layers.Dense(classes, name="predictions")(x), name=name)


@uf.zoo.register("tree_lstm_binary", source="Tai et al. 2015, constituency Tree-LSTM")
def tree_lstm_binary(
    words: int = 20_000, embedding: int = 300, units: int = 150, classes: int = 5, dropout: float = 0.5,
    every_node: bool = False,
) -> uf.Model:  # fmt: skip
    """A constituency Tree-LSTM: `batched` trees → logits of each tree, ``[batch, classes]``, or of each node.

    316,800 parameters compose trees (the paper's number); the embedding has 6 M, the last layer 755. Each place costs
    0.32 M multiply-adds. With ``every_node`` the logits are ``[batch, level, place, classes]``; those of places that
    hold no node mean nothing.
    """
    layer = BinaryTreeLSTM(units, name="tree_lstm")
    return _model("tree_lstm_binary", layer, words, 2, embedding, classes, dropout, every_node)


@uf.zoo.register("tree_lstm_child_sum", source="Tai et al. 2015, dependency Tree-LSTM")
def tree_lstm_child_sum(
    words: int = 20_000, embedding: int = 300, units: int = 168, classes: int = 5, dropout: float = 0.5,
    every_node: bool = False,
) -> uf.Model:  # fmt: skip
    """A dependency Tree-LSTM, any number of children to a node; 315,840 parameters compose trees (the paper's number).

    Each place costs 0.29 M multiply-adds, and 0.03 M for each child that it may have. Otherwise as `tree_lstm_binary`.
    """
    layer = ChildSumTreeLSTM(units, name="tree_lstm")
    return _model("tree_lstm_child_sum", layer, words, "arity", embedding, classes, dropout, every_node)
