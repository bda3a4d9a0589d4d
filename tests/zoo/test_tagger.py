"""The tagger with a conditional random field: brute force over all sequences of tags judges."""

from __future__ import annotations

from itertools import product
from typing import Any

import numpy as np
import pytest
import torch

import unifront as uf
from tests.models import TRAINABLE
from unifront.backends import installed
from unifront.testing import assert_close
from unifront_zoo import tagger

RNG = np.random.default_rng(0)


def all_scores(potentials: np.ndarray) -> dict[tuple[int, ...], float]:
    """The score of every sequence of tags of one sentence, ``[time, tags, tags]``."""
    time, _, tags = potentials.shape
    return {
        one: sum(potentials[t, one[max(t - 1, 0)], one[t]] for t in range(time))
        for one in product(range(tags), repeat=time)
    }


def sentences(time: int, tags: int, lengths: list[int]) -> tuple[Any, Any, Any]:
    potentials = RNG.normal(size=(len(lengths), time, tags, tags))
    potentials[:, 0] = potentials[:, 0, :1]  # there is no tag before the first one
    counts = np.arange(time) < np.array(lengths)[:, None]
    return potentials, np.where(counts, RNG.integers(0, tags, counts.shape), -1).astype(np.int32), counts


@pytest.mark.parametrize(
    ("time", "tags", "lengths"), [(4, 3, [4, 2, 1]), (1, 3, [1, 1]), (2, 1, [2, 1]), (5, 2, [3, 5])]
)
def test_brute_force_over_all_sequences(time: int, tags: int, lengths: list[int]) -> None:
    potentials, labels, counts = sentences(time, tags, lengths)
    given = torch.tensor(potentials)
    losses = tagger.crf_loss(torch.tensor(labels), given).numpy()
    found, best = tagger.viterbi(given, torch.tensor(counts))
    for row, length in enumerate(lengths):
        scores = all_scores(potentials[row, :length])
        own = scores[tuple(labels[row, :length].tolist())]
        np.testing.assert_allclose(losses[row], np.logaddexp.reduce(list(scores.values())) - own, rtol=1e-12)
        likeliest = max(scores, key=lambda one: scores[one])
        assert found[row].tolist() == [*likeliest, *[-1] * (time - length)]
        np.testing.assert_allclose(best[row], scores[likeliest], rtol=1e-12)


def test_a_sentence_of_padding_has_no_loss() -> None:
    potentials, _, _ = sentences(3, 2, [3, 3])
    labels = torch.tensor([[-1, -1, -1], [0, 1, -1]], dtype=torch.int32)
    losses = tagger.crf_loss(labels, torch.tensor(potentials))
    assert losses[0] == 0
    assert losses[1] > 0
    found, _ = tagger.viterbi(torch.tensor(potentials), labels >= 0)
    assert found[0].tolist() == [-1, -1, -1]


def test_scores_of_a_million_stay_finite() -> None:
    potentials, labels, counts = sentences(4, 3, [4, 2])
    losses = tagger.crf_loss(torch.tensor(labels), torch.tensor(potentials * 1e6)).numpy()
    assert np.isfinite(losses).all()
    found, _ = tagger.viterbi(torch.tensor(potentials * 1e6), torch.tensor(counts))
    same, _ = tagger.viterbi(torch.tensor(potentials), torch.tensor(counts))
    assert (found == same).all()


def test_the_gradient_is_what_is_expected_less_what_is_there() -> None:
    """By the potentials: the probability of each pair of tags, less one where the labels have it."""
    potentials, labels, _ = sentences(3, 2, [3])
    given = torch.tensor(potentials, requires_grad=True)
    tagger.crf_loss(torch.tensor(labels), given).sum().backward()
    scores = all_scores(potentials[0])
    total = np.logaddexp.reduce(list(scores.values()))
    expected = np.zeros((3, 2, 2))
    for one, value in scores.items():
        for t in (1, 2):
            expected[t, one[t - 1], one[t]] += np.exp(value - total)
    for t in (1, 2):
        expected[t, labels[0, t - 1], labels[0, t]] -= 1
    np.testing.assert_allclose(given.grad[0, 1:].numpy(), expected[1:], atol=1e-12)


def test_potentials_are_emissions_and_transitions() -> None:
    layer = tagger.Transitions()
    layer.build((None, None, 3))
    layer.set_weights([RNG.normal(size=(3, 3)).astype("float32"), RNG.normal(size=3).astype("float32")])
    transitions, start = layer.get_weights()
    emissions = RNG.normal(size=(2, 4, 3)).astype("float32")
    expected = emissions[:, :, None] + transitions
    expected[:, 0] = (emissions[:, 0] + start)[:, None]
    assert_close(layer(torch.tensor(emissions)).detach().numpy(), expected)


def test_padding_changes_neither_tags_nor_loss() -> None:
    model = uf.zoo.create("bilstm_crf", words=12, tags=3, embedding=4, units=5)
    words = np.array([[3, 1, 4]], np.int32)
    padded = np.array([[3, 1, 4, 0, 0]], np.int32)
    short, long = (torch.tensor(model.predict(one, backend="torch")) for one in (words, padded))
    labels = np.array([[0, 2, 1, -1, -1]], np.int32)
    assert_close(
        tagger.crf_loss(torch.tensor(labels), long).numpy(),
        tagger.crf_loss(torch.tensor(labels[:, :3]), short).numpy(),
    )
    counts = torch.tensor(padded != 0)
    assert tagger.viterbi(long, counts)[0][:, :3].tolist() == tagger.viterbi(short)[0].tolist()


GRAMMAR = np.random.default_rng(2)


def tagged(count: int) -> tuple[np.ndarray, np.ndarray]:
    """Words whose tags depend on the tag before: 1 opens or closes (tags 1, 2), others are inside (3) or not (0)."""
    words = np.where(GRAMMAR.random((count, 10)) < 0.3, 1, GRAMMAR.integers(2, 12, (count, 10))).astype(
        np.int32
    )
    tags, is_open = np.zeros_like(words), np.zeros(count, bool)
    for t in range(10):
        mark = words[:, t] == 1
        tags[:, t] = np.where(mark, np.where(is_open, 2, 1), np.where(is_open, 3, 0))
        is_open ^= mark
    for row, length in enumerate(GRAMMAR.integers(4, 11, count)):
        words[row, length:], tags[row, length:] = 0, -1
    return words, tags


@pytest.mark.slow
def test_a_grammar_is_learnt_with_equal_losses() -> None:
    words, tags = tagged(640)
    size = {"words": 12, "tags": 4, "embedding": 8, "units": 12, "dropout": 0.0}
    uf.set_seed(0)
    start, losses = uf.zoo.create("bilstm_crf", **size), {}
    for name in TRAINABLE:
        model = uf.zoo.create("bilstm_crf", **size)
        model.set_weights(start.get_weights())
        model.compile(uf.optimizers.Adam(0.01), tagger.crf_loss)
        losses[name] = model.fit(
            words[:64], tags[:64], batch_size=32, epochs=2, shuffle=False, verbose=0, backend=name
        ).history["loss"]
    for name in TRAINABLE:
        np.testing.assert_allclose(losses[name], losses["torch"], rtol=2e-5, err_msg=name)
    start.compile(uf.optimizers.Adam(0.02), tagger.crf_loss)
    start.fit(words[:512], tags[:512], batch_size=32, epochs=10, verbose=0, backend="torch")
    potentials = start.predict(words[512:], backend="torch")
    found, _ = tagger.viterbi(torch.tensor(potentials), torch.tensor(words[512:] != 0))
    assert (found.numpy() == tags[512:])[words[512:] != 0].mean() > 0.95


@pytest.mark.slow
def test_one_program_decodes_the_same_everywhere() -> None:
    potentials, labels, counts = sentences(4, 3, [4, 2, 1])
    potentials = potentials.astype("float32")
    program = uf.jit(lambda p, tags, counts: (tagger.crf_loss(tags, p), *tagger.viterbi(p, counts)))
    expected = [np.asarray(one) for one in program(potentials, labels, counts)]
    for name in installed():
        with uf.backend(name):
            for found, value in zip(program(potentials, labels, counts), expected, strict=True):
                assert_close(uf.ops.convert_to_numpy(found), value, what=name)
