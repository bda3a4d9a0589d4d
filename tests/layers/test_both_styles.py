"""A tree-LSTM and a decoder with a beam, written as plain Python on native arrays and with control-flow operations: the
same numbers, and gradients, in both styles on every backend."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import unifront as uf
from tests.models import TRAINABLE
from unifront import layers, ops
from unifront.backends import get_backend
from unifront.testing import GRADIENT, assert_close

pytestmark = pytest.mark.slow
UNITS, WORDS = 5, 9
TREE = (1, (2, (3,), (4,), (5,)), (6, (7, (8,))))
"""A word and its children: of no, one, two or three."""


class ChildSum(uf.Layer):
    """The child-sum cell (Tai et al. 2015, equations 2 to 8) on one node, and both ways over a tree."""

    def __init__(self) -> None:
        super().__init__()
        self.embed = layers.Embedding(WORDS, UNITS)
        self.gates, self.forget = layers.Dense(3 * UNITS), layers.Dense(UNITS)

    def node(self, word: Any, h: Any, c: Any, there: Any) -> tuple[Any, Any]:
        """Of a word and its children's states ``[children, units]``, of which ``there`` says which are."""
        x = ops.reshape(self.embed(word), (1, UNITS))
        h, c = (ops.where(ops.expand_dims(there, 1), one, 0.0) for one in (h, c))
        total = ops.sum(h, axis=0, keepdims=True)
        inner, outer, new = ops.split(self.gates(ops.concatenate([x, total], 1)), 3, 1)
        many = ops.add(ops.zeros_like(h), x)
        forget = ops.sigmoid(self.forget(ops.concatenate([many, h], 1)))
        own = ops.multiply(ops.sigmoid(inner), ops.tanh(new))
        state = ops.add(own, ops.sum(ops.multiply(forget, c), axis=0, keepdims=True))
        return ops.multiply(ops.sigmoid(outer), ops.tanh(state)), state

    def by_recursion(self, tree: Any, native: Any) -> tuple[Any, Any]:
        below = [self.by_recursion(child, native) for child in tree[1:]]
        nothing = native(np.zeros((1, UNITS), np.float32))
        h, c = (ops.concatenate([nothing, *(pair[i] for pair in below)], 0) for i in (0, 1))
        there = native(np.arange(len(tree)) > 0)
        return self.node(native(np.array(tree[0], np.int32)), h, c, there)

    def call(self, words: Any, children: Any) -> Any:
        """The root's state by a scan over nodes, children before parents; ``children[node, place]`` counts from 1."""
        count = words.shape[0]
        place = ops.expand_dims(ops.arange(1, count + 1), 1)
        start = ops.zeros((count + 1, UNITS))
        numbers = ops.arange(1, count + 1)

        def step(states: Any, given: Any) -> tuple[Any, Any]:
            h, c = states
            number, word, below = given
            new = self.node(word, ops.take(h, below, 0), ops.take(c, below, 0), ops.greater(below, 0))
            at = ops.concatenate([ops.zeros((1, 1), "bool"), ops.equal(place, number)], 0)
            return tuple(ops.where(at, own, old) for own, old in zip(new, states, strict=True)), None

        (h, _), _ = ops.scan(step, (start, start), (numbers, words, children))
        return h[-1:]


def flat(tree: Any) -> tuple[np.ndarray, np.ndarray]:
    """The words and children of a tree as arrays, children first."""
    words: list[int] = []
    children: list[list[int]] = []

    def add(node: Any) -> int:
        below = [add(child) for child in node[1:]]
        words.append(node[0])
        children.append(below + [0] * (3 - len(below)))
        return len(words)

    add(tree)
    return np.array(words, np.int32), np.array(children, np.int32)


def filled(layer: uf.Layer) -> None:
    rng = np.random.default_rng(5)
    layer.set_weights([rng.normal(size=w.shape).astype(np.float32) for w in layer.weights])


def test_a_tree_lstm_in_both_styles() -> None:
    layer, arrays = ChildSum(), flat(TREE)
    with uf.backend("numpy"):
        layer(*arrays)
    filled(layer)
    first: list[np.ndarray] | None = None
    for name in TRAINABLE:
        native = get_backend(name)

        def by_run(*_: Any, native: Any = native) -> Any:
            return ops.sum(ops.square(layer.by_recursion(TREE, native.array)[0]))

        def by_graph(words: Any, children: Any) -> Any:
            return ops.sum(ops.square(layer(words, children)))

        given = [native.array(array) for array in arrays]
        for function, arguments in ((by_run, given), (uf.jit(by_graph), given), (by_graph, given)):
            with uf.backend(name):
                loss, gradients = uf.value_and_grad(function, wrt=layer)(*arguments)
            found = [native.numpy(one) for one in (loss, *gradients)]
            first = first or found
            for ours, theirs in zip(found, first, strict=True):
                assert_close(ours, theirs, bounds=GRADIENT, what=f"{function.__name__}, {name}")
    assert first is not None
    assert all(np.abs(one).max() > 1e-3 for one in first)


BEAM, LENGTH, END = 3, 7, 0
Step = tuple[Any, Any, Any, Any]


class Decoder(uf.Layer):
    """A recurrent decoder; a beam goes with the likeliest tokens until all its rows have ended."""

    def __init__(self) -> None:
        super().__init__()
        self.embed, self.cell, self.out = (
            layers.Embedding(WORDS, UNITS),
            layers.GRUCell(UNITS),
            layers.Dense(WORDS),
        )

    def grow(self, time: Any, tokens: Any, scores: Any, state: Any) -> Step:
        """The beam after a step: ``tokens[beam, length]`` written at ``time``, the best first."""
        count = LENGTH + 1
        place = ops.expand_dims(ops.arange(count), 0)
        before = ops.sum(ops.where(ops.equal(place, time), tokens, 0), axis=1)
        y, (after,) = self.cell(self.embed(before), [state])
        ended = ops.logical_and(ops.equal(before, END), ops.greater(time, 0))
        stay = ops.where(ops.equal(ops.expand_dims(ops.arange(WORDS), 0), END), 0.0, -1e9)
        gain = ops.where(ops.expand_dims(ended, 1), stay, ops.log_softmax(self.out(y)))
        best, chosen = ops.top_k(ops.reshape(ops.add(ops.expand_dims(scores, 1), gain), (-1,)), BEAM)
        row = ops.floor_divide(chosen, WORDS)
        token = ops.expand_dims(ops.subtract(chosen, ops.multiply(row, WORDS)), 1)
        kept = ops.where(ops.equal(place, ops.add(time, 1)), token, ops.take(tokens, row, 0))
        return ops.add(time, 1), kept, best, ops.take(after, row, 0)

    def goes_on(self, time: Any, tokens: Any, scores: Any, state: Any) -> Any:
        here = ops.sum(
            ops.where(ops.equal(ops.expand_dims(ops.arange(LENGTH + 1), 0), time), tokens, 0), axis=1
        )
        alive = ops.logical_or(ops.equal(time, 0), ops.any(ops.not_equal(here, END)))
        return ops.logical_and(ops.less(time, LENGTH), alive)

    def start(self, state: Any) -> Step:
        tokens = ops.zeros((BEAM, LENGTH + 1), "int32")
        scores = ops.where(ops.equal(ops.arange(BEAM), 0), 0.0, -1e9)
        return ops.cast(ops.zeros(()), "int32"), tokens, scores, ops.add(ops.zeros((BEAM, UNITS)), state)

    def by_run(self, state: Any) -> tuple[Any, Any]:
        beam = self.start(state)
        while bool(self.goes_on(*beam)):
            beam = self.grow(*beam)
        return beam[1], beam[2]

    def call(self, state: Any) -> tuple[Any, Any]:
        _, tokens, scores, _ = ops.while_loop(self.goes_on, self.grow, self.start(state))
        return tokens, scores


def test_a_decoder_with_a_beam_in_both_styles() -> None:
    layer = Decoder()
    states = np.random.default_rng(1).normal(size=(4, 1, UNITS)).astype(np.float32)
    with uf.backend("numpy"):
        layer(states[0])
        filled(layer)
        expected = [[np.asarray(one) for one in layer.by_run(state)] for state in states]
    assert len({tuple(tokens[0]) for tokens, _ in expected}) > 1, "every state gives the same"
    for name in TRAINABLE:
        native, program = get_backend(name), uf.jit(layer.call)
        for state, known in zip(states, expected, strict=True):
            with uf.backend(name):
                for tokens, scores in (layer.by_run(native.array(state)), program(native.array(state))):
                    assert np.array_equal(native.numpy(tokens), known[0]), name
                    assert_close(native.numpy(scores), known[1], what=name)
