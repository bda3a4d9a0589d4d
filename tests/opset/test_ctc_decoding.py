"""Beam search for CTC: against all paths added up, and against Keras (by TensorFlow's decoder, which counts less of prefixes that fell out of a beam)."""

from __future__ import annotations

import itertools
from collections import defaultdict
from typing import Any

import keras
import numpy as np
import pytest

import unifront as uf
from unifront import ops
from unifront.backends import get_backend, installed
from unifront.errors import ArgumentError, ShapeError
from unifront.testing import assert_close

RNG = np.random.default_rng(31)


def added_up(logits: np.ndarray, blank: int) -> list[tuple[tuple[int, ...], float]]:
    """Every sequence of labels with the logarithm of its probability, the likeliest first: of all paths."""
    logarithms = logits - np.log(np.exp(logits).sum(-1, keepdims=True))
    found: dict[tuple[int, ...], list[float]] = defaultdict(list)
    for path in itertools.product(range(logits.shape[1]), repeat=len(logits)):
        labels = tuple(label for label, _ in itertools.groupby(path) if label != blank)
        found[labels].append(sum(logarithms[step, label] for step, label in enumerate(path)))
    sums = {labels: float(np.logaddexp.reduce(ways)) for labels, ways in found.items()}
    return sorted(sums.items(), key=lambda item: -item[1])


def by_prefixes(logits: np.ndarray, blank: int, width: int) -> list[tuple[tuple[int, ...], float]]:
    """The search as it is told (Hannun et al. 2014): prefixes in a dict, with both logarithms, cut after each step."""
    logarithms = logits - np.log(np.exp(logits).sum(-1, keepdims=True))
    beam: dict[tuple[int, ...], tuple[float, float]] = {(): (0.0, -np.inf)}
    for row in logarithms:
        found: dict[tuple[int, ...], tuple[float, float]] = {}

        def add(prefix: tuple[int, ...], ends_blank: float, ends_label: float, found: Any = found) -> None:
            before = found.get(prefix, (-np.inf, -np.inf))
            found[prefix] = (np.logaddexp(before[0], ends_blank), np.logaddexp(before[1], ends_label))

        for prefix, (ends_blank, ends_label) in beam.items():
            either = np.logaddexp(ends_blank, ends_label)
            add(prefix, either + row[blank], ends_label + row[prefix[-1]] if prefix else -np.inf)
            for label in set(range(len(row))) - {blank}:
                before = ends_blank if prefix[-1:] == (label,) else either
                add((*prefix, label), -np.inf, before + row[label])
        kept = sorted(found.items(), key=lambda item: -np.logaddexp(*item[1]))
        beam = dict(kept[:width])
    return [(prefix, float(np.logaddexp(*ways))) for prefix, ways in beam.items()]


def same(labels: np.ndarray, score: Any, known: tuple[tuple[int, ...], float]) -> None:
    assert labels.tolist() == [*known[0], *[-1] * (len(labels) - len(known[0]))]
    assert_close(np.asarray(score), np.asarray(known[1], np.asarray(score).dtype))


def decoded(backend: str, logits: np.ndarray, lengths: Any, **options: Any) -> tuple[np.ndarray, np.ndarray]:
    native = get_backend(backend)
    found = ops.ctc_decode(
        native.array(logits), native.array(np.asarray(lengths, np.int32)), "beam_search", **options
    )
    labels, scores = map(native.numpy, found)
    return labels, scores


@pytest.mark.parametrize(("backend", "blank"), [("numpy", 0), ("numpy", 2), ("torch", 2)])
def test_a_beam_wide_enough_finds_the_likeliest_of_all(backend: str, blank: int) -> None:
    logits = RNG.normal(size=(3, 5, 3)) * 2
    lengths = [5, 4, 1]
    labels, scores = decoded(backend, logits, lengths, beam_width=90, top_paths=4, mask_index=blank)
    assert labels.shape == (4, 3, 5)
    assert labels.dtype == np.int32
    for row, steps in enumerate(lengths):
        expected = added_up(logits[row, :steps], blank)[:4]
        for rank in range(4):
            known = expected[rank] if rank < len(expected) else ((), -np.inf)
            same(labels[rank, row], scores[row, rank], known)


def test_a_beam_that_drops_nothing_is_that_of_keras() -> None:
    logits, lengths = (RNG.normal(size=(4, 4, 3)) * 1.5).astype(np.float32), np.array([4, 4, 3, 2], np.int32)
    for blank in (0, 2):
        theirs = keras.ops.ctc_decode(logits, lengths, "beam_search", 40, 2, mask_index=blank)
        labels, scores = decoded("numpy", logits, lengths, beam_width=40, top_paths=2, mask_index=blank)
        assert np.array_equal(labels, np.asarray(theirs[0]))
        assert_close(scores, np.asarray(theirs[1]))


@pytest.mark.parametrize(("width", "blank"), [(3, 0), (8, 4), (20, 1)])
def test_a_prefix_that_fell_out_may_come_back(width: int, blank: int) -> None:
    logits, lengths = RNG.normal(size=(6, 14, 5)) * 1.5, [14, 13, 9, 5, 2, 14]
    labels, scores = decoded("numpy", logits, lengths, beam_width=width, top_paths=2, mask_index=blank)
    for row, steps in enumerate(lengths):
        known = by_prefixes(logits[row, :steps], blank, width)
        for rank in range(2):
            same(labels[rank, row], scores[row, rank], known[rank])


def test_in_a_graph_with_free_sizes() -> None:
    x, lengths = uf.Input((None, 4)), uf.Input((), dtype="int32")
    labels, scores = ops.ctc_decode(x, lengths, "beam_search", beam_width=6, top_paths=2, mask_index=None)
    assert (labels.shape[0], scores.shape[1]) == (2, 2)
    model = uf.Model([x, lengths], [ops.transpose(labels, (1, 0, 2)), scores])
    logits, steps = RNG.normal(size=(2, 7, 4)).astype(np.float32), np.array([7, 3], np.int32)
    for backend in installed():
        found = model.predict([logits, steps], backend=backend)
        for row, count in enumerate(steps):
            known = by_prefixes(logits[row, :count].astype(np.float64), 3, 6)
            for rank in range(2):
                same(found[0][row, rank], found[1][row, rank], known[rank])


@pytest.mark.parametrize(
    ("options", "error", "match"),
    [
        ({"strategy": "beam"}, ArgumentError, "strategy is 'greedy' or 'beam_search', not 'beam'"),
        (
            {"strategy": "beam_search", "beam_width": 0},
            ArgumentError,
            "beam_width is an int from 1 on, not 0",
        ),
        (
            {"strategy": "beam_search", "beam_width": 2, "top_paths": 3},
            ArgumentError,
            "the width 2 has no 3 paths",
        ),
        ({"mask_index": 4}, ShapeError, "the class mask_index 4 is out of range"),
    ],
)
def test_refused(options: dict[str, Any], error: type[Exception], match: str) -> None:
    with pytest.raises(error, match=match):
        ops.ctc_decode(RNG.normal(size=(1, 3, 4)), np.array([3]), **options)
