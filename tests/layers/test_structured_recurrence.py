"""A tree-LSTM and a beam search: as plain Python on native arrays, and with control flow in a graph, on every backend."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import unifront as uf
from tests.layers.judge import BACKENDS
from unifront import layers, ops
from unifront.backends import installed, placement
from unifront.testing import GRADIENT, assert_close

RNG = np.random.default_rng(0)
WORDS = RNG.normal(size=(7, 3)).astype(np.float32)
CHILDREN = np.array([[-1, -1], [-1, -1], [0, 1], [-1, -1], [2, 3], [-1, -1], [4, 5]], np.int32)
"""Nodes after their children; -1 where there is none."""


class TreeLSTM(uf.Layer):
    """The binary tree-LSTM of Tai, Socher and Manning 2015: each child has a forget gate of its own."""

    def __init__(self, units: int, **options: Any) -> None:
        super().__init__(**options)
        self.units = units

    def build(self, words: Any, children: Any = None) -> None:
        self.kernel = self.add_weight((words[-1], 5 * self.units), name="kernel")
        self.left = self.add_weight((self.units, 5 * self.units), name="left")
        self.right = self.add_weight((self.units, 5 * self.units), name="right")

    def node(self, word: Any, a: Any, b: Any) -> Any:
        """The states ``h, c`` of a node, from those of its children."""
        sums = ops.matmul(word, self.kernel) + ops.matmul(a[0], self.left) + ops.matmul(b[0], self.right)
        i, f, g, u, o = ops.split(sums, 5, axis=-1)
        c = ops.sigmoid(f) * a[1] + ops.sigmoid(g) * b[1] + ops.sigmoid(i) * ops.tanh(u)
        return ops.sigmoid(o) * ops.tanh(c), c

    def call(self, words: Any, children: Any) -> Any:
        """The root's ``h``, by a scan over the nodes, which writes states into a table."""
        count = words.shape[0]
        table = ops.zeros(
            (count + 1, self.units), self.dtype, like=words
        )  # the last row: of a child that is not there

        def step(carry: Any, x: Any) -> Any:
            hs, cs = carry
            word, pair, place = x
            found = [(ops.take(hs, pair[k], axis=0), ops.take(cs, pair[k], axis=0)) for k in (0, 1)]
            h, c = self.node(word, *found)
            at = ops.reshape(place, (1, 1))
            return (ops.scatter_update(hs, at, h[None]), ops.scatter_update(cs, at, c[None])), None

        pairs = ops.where(children < 0, count, children)
        places = ops.arange(count, dtype="int32")
        (hs, _), _ = ops.scan(step, (table, table), (words, pairs, places))
        return hs[count - 1]

    def by_python(self, words: Any) -> Any:
        """The same by recursion over Python's own tree."""
        nothing = (ops.zeros((self.units,), self.dtype, like=words),) * 2

        def states(node: int) -> Any:
            return nothing if node < 0 else self.node(words[node], *(states(int(k)) for k in CHILDREN[node]))

        return states(len(words) - 1)[0]


def tree() -> TreeLSTM:
    uf.set_seed(3)
    layer = TreeLSTM(4)
    layer.build(WORDS.shape, CHILDREN.shape)
    return layer


@pytest.mark.parametrize("backend", installed())
def test_a_tree_lstm_by_recursion_and_by_a_scan(backend: str) -> None:
    place = placement(backend)
    with uf.backend(backend):
        with uf.backend("numpy"):
            expected = np.asarray(tree().by_python(WORDS))
        layer = tree()
        words = place.backend.array(WORDS)
        assert_close(place.backend.numpy(layer.by_python(words)), expected)
        assert_close(place.backend.numpy(layer(words, CHILDREN)), expected)
        layer.hybridize()
        assert_close(place.backend.numpy(layer(words, CHILDREN)), expected)


def test_gradients_of_a_tree_lstm_agree() -> None:
    found = {}
    for backend in BACKENDS:
        with uf.backend(backend):
            layer = tree()

            def loss(words: Any, layer: Any = layer) -> Any:
                return ops.sum(ops.square(layer(words, CHILDREN)))

            run = uf.value_and_grad(loss, wrt=layer.trainable_weights)
            place = placement(backend)
            value, slopes = run(place.backend.array(WORDS))
            leaves = slopes.values() if isinstance(slopes, dict) else slopes
            found[backend] = [place.backend.numpy(one) for one in (value, *leaves)]
    first, *others = found.values()
    assert all(np.abs(one).max() > 0 for one in first)
    for other in others:
        for a, b in zip(first, other, strict=True):
            assert_close(a, b, bounds=GRADIENT)


# ---------------------------------------------------------------- beam search

VOCABULARY, END, WIDTH, LONGEST = 6, 0, 3, 8


class Decoder(uf.Layer):
    """The scores of the next word, by a GRU cell; the search keeps the ``WIDTH`` best beginnings."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self.embedding, self.cell = layers.Embedding(VOCABULARY, 4), layers.GRUCell(5)
        self.dense = layers.Dense(VOCABULARY)

    def next_scores(self, word: Any, state: Any) -> Any:
        """``log p`` of each next word ``[beams, words]``, and the state."""
        output, (new,) = self.cell(self.embedding(word), [state])
        return ops.log_softmax(self.dense(output) * 2.0), new

    def call(self, state: Any) -> Any:
        """The best sentence and its score, by ``while_loop``: it ends when every beam has."""
        places = ops.arange(LONGEST, dtype="int32")

        def going(t: Any, words: Any, scores: Any, ended: Any, state: Any) -> Any:
            return ops.logical_and(ops.less(t, LONGEST), ops.logical_not(ops.all(ended)))

        def step(t: Any, words: Any, scores: Any, ended: Any, state: Any) -> Any:
            last = ops.where(
                ops.greater(t, 0), ops.sum(ops.where(ops.equal(places[None], t - 1), words, 0), axis=1), 1
            )
            found, new = self.next_scores(ops.cast(last, "int32"), state)
            only_end = ops.where(ops.arange(VOCABULARY, dtype="int32") == END, 0.0, -1e9)
            total = ops.add(
                scores[:, None], ops.where(ended[:, None], ops.cast(only_end, self.dtype)[None], found)
            )
            best, chosen = ops.top_k(ops.reshape(total, (WIDTH * VOCABULARY,)), WIDTH)
            beam, word = chosen // VOCABULARY, chosen % VOCABULARY
            words = ops.where(ops.equal(places[None], t), word[:, None], ops.take(words, beam, axis=0))
            state = ops.where(
                ops.take(ended, beam, axis=0)[:, None],
                ops.take(state, beam, axis=0),
                ops.take(new, beam, axis=0),
            )
            return t + 1, ops.cast(words, "int32"), best, ops.equal(word, END), state

        words = ops.zeros((WIDTH, LONGEST), "int32")
        scores = ops.cast(np.array([0.0, -1e9, -1e9]), self.dtype)  # one beginning, not three
        start = (
            ops.cast(0, "int32"),
            words,
            scores,
            ops.zeros((WIDTH,), "bool"),
            ops.tile(state, (WIDTH, 1)),
        )
        _, words, scores, _, _ = ops.while_loop(going, step, start)
        return words[0], scores[0]

    def by_python(self, state: Any) -> tuple[list[int], float]:
        """The same with Python's lists of beginnings."""
        beams: list[Any] = [([], 0.0, state)]
        for _ in range(LONGEST):
            grown: list[Any] = []
            for words, score, own in beams:
                if words and words[-1] == END:
                    grown.append((words, score, own))
                    continue
                found, new = self.next_scores(np.array([words[-1] if words else 1], np.int32), own)
                numbers = np.asarray(placement().backend.numpy(found))[0]
                grown += [([*words, k], score + float(numbers[k]), new) for k in range(VOCABULARY)]
            beams = sorted(grown, key=lambda one: -one[1])[:WIDTH]
            if all(words[-1] == END for words, _, _ in beams):
                break
        words, score, _ = beams[0]
        return words + [END] * (LONGEST - len(words)), score


@pytest.mark.parametrize("backend", installed())
def test_a_beam_search_by_lists_and_by_a_loop(backend: str) -> None:
    place = placement(backend)
    rng = np.random.default_rng(3)
    with uf.backend(backend):
        layer = Decoder()
        layer(place.backend.array(np.zeros((1, 5), np.float32)))
        layer.set_weights([2 * rng.normal(size=weight.shape) for weight in layer.weights])
        sentences = set()
        for seed in range(3):
            state = place.backend.array(
                np.random.default_rng(seed).uniform(-1, 1, size=(1, 5)).astype(np.float32)
            )
            expected, score = layer.by_python(state)
            words, found = layer(state)
            compiled = uf.jit(layer)(state)
            for one, total in ((words, found), compiled):
                assert place.backend.numpy(one).tolist() == expected
                assert_close(place.backend.numpy(total), np.float32(score))
            sentences.add(tuple(expected))
        assert len(sentences) > 1
