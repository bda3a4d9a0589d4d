"""Sequence to sequence: the paper's formulas in NumPy judge, and brute force over all targets."""

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
from unifront_zoo import decoding, seq2seq

NAMES = ("seq2seq_bahdanau", "seq2seq_luong")
SMALL: dict[str, Any] = {"source_words": 9, "target_words": 5, "embedding": 4, "units": 3, "dropout": 0.0}
SOURCE = np.array([[3, 1, 4, 1, 5], [2, 7, 8, 0, 0]], np.int32)
TARGET = np.array([[1, 3, 4, 2], [1, 2, 0, 0]], np.int32)


def lively(name: str) -> uf.Model:
    depth = {"depth": 2} if name == "seq2seq_luong" else {}
    model = uf.zoo.create(name, **SMALL, **depth)
    rng = np.random.default_rng(0)
    model.set_weights([rng.normal(size=w.shape).astype("float32") for w in model.weights])
    return model


def weights_of(model: uf.Model) -> dict[str, np.ndarray]:
    return {weight.path: np.asarray(weight.numpy(), np.float64) for weight in model.weights}


def sigmoid(x: np.ndarray) -> np.ndarray:
    return 1 / (1 + np.exp(-x))


def softmax(x: np.ndarray) -> np.ndarray:
    x = np.exp(x - x.max())
    return x / x.sum()


def gru(w: dict[str, np.ndarray], path: str, x: np.ndarray, h: np.ndarray) -> np.ndarray:
    (z, r, c), (hz, hr, hc) = (
        np.split(one @ w[f"{path}/{name}"] + bias, 3)
        for one, name, bias in zip((x, h), ("kernel", "recurrent_kernel"), w[f"{path}/bias"], strict=True)
    )
    z = sigmoid(z + hz)
    return z * h + (1 - z) * np.tanh(c + sigmoid(r + hr) * hc)


def lstm(w: dict[str, np.ndarray], path: str, x: np.ndarray, h: np.ndarray, c: np.ndarray) -> Any:
    gates = x @ w[f"{path}/kernel"] + h @ w[f"{path}/recurrent_kernel"] + w[f"{path}/bias"]
    i, f, g, o = np.split(gates, 4)
    c = sigmoid(f) * c + sigmoid(i) * np.tanh(g)
    return sigmoid(o) * np.tanh(c), c


def bahdanau(w: dict[str, np.ndarray], source: np.ndarray, target: np.ndarray) -> np.ndarray:
    """One pair, by the equations of Bahdanau et al. 2015."""
    x = w["source_embedding/embeddings"][source]
    both = []
    for path, order in (("encoder/forward_gru/gru_cell", 1), ("encoder/backward_gru/gru_cell", -1)):
        h, states = np.zeros(3), []
        for one in x[::order]:
            h = gru(w, path, one, h)
            states.append(h)
        both.append(states[::order])
    memory = np.concatenate(both, -1)
    s = np.tanh(both[1][0] @ w["decoder/first/kernel"] + w["decoder/first/bias"])
    logits = []
    for y in w["target_embedding/embeddings"][target]:
        query = s @ w["decoder/query/kernel"] + w["decoder/query/bias"]
        weights = softmax(
            (np.tanh(query + memory @ w["decoder/key/kernel"]) @ w["decoder/score/kernel"])[:, 0]
        )
        context = weights @ memory
        readout = np.concatenate([s, y, context]) @ w["decoder/readout/kernel"] + w["decoder/readout/bias"]
        s = gru(w, "decoder/cell", np.concatenate([y, context]), s)
        logits.append(readout.reshape(-1, 2).max(-1) @ w["predictions/kernel"] + w["predictions/bias"])
    return np.array(logits)


def luong(w: dict[str, np.ndarray], source: np.ndarray, target: np.ndarray) -> np.ndarray:
    """One pair, by the equations of Luong et al. 2015."""
    x, states = list(w["source_embedding/embeddings"][source]), []
    for path in ("encoder_1/lstm_cell", "encoder_2/lstm_cell"):
        h = c = np.zeros(3)
        for t, one in enumerate(x):
            x[t] = h = (found := lstm(w, path, one, h, c))[0]
            c = found[1]
        states.append((h, c))
    memory, fed, logits = np.array(x), np.zeros(3), []
    for y in w["target_embedding/embeddings"][target]:
        h = np.concatenate([y, fed])
        for i in range(2):
            states[i] = lstm(w, f"decoder/cells_{i}", h, *states[i])
            h = states[i][0]
        context = softmax(memory @ w["decoder/key/kernel"] @ h) @ memory
        fed = np.tanh(np.concatenate([context, h]) @ w["decoder/combine/kernel"])
        logits.append(fed @ w["predictions/kernel"] + w["predictions/bias"])
    return np.array(logits)


JUDGES = {"seq2seq_bahdanau": bahdanau, "seq2seq_luong": luong}


@pytest.mark.parametrize("name", NAMES)
def test_the_papers_formulas(name: str) -> None:
    """With teacher forcing; the second source is padded, which the formulas do not see."""
    model = lively(name)
    found, weights = model.predict([SOURCE, TARGET], backend="torch"), weights_of(model)
    for row, length in enumerate((5, 3)):
        assert_close(found[row], JUDGES[name](weights, SOURCE[row, :length], TARGET[row]).astype("float32"))


@pytest.mark.parametrize("name", NAMES)
def test_a_wide_beam_finds_the_best_of_all_targets(name: str) -> None:
    model, length = lively(name), 3
    targets = {
        tuple(one[: one.index(2) + 1]) + (2,) * (length - one.index(2) - 1) if 2 in one else one
        for one in product(range(5), repeat=length)
    }
    order = sorted(targets)
    given = np.array([[1, *one[:-1]] for one in order], np.int32)
    found, scores = decoding.beam_search(
        seq2seq.step_of(model), torch.tensor([1, 1]), seq2seq.encode(model, torch.tensor(SOURCE)), length,
        width=40, end=2,
    )  # fmt: skip
    for row in range(2):
        logits = model.predict([np.repeat(SOURCE[row : row + 1], len(order), 0), given], backend="torch")
        logs = torch.log_softmax(torch.tensor(logits), -1).numpy()
        ends = [one.index(2) + 1 if 2 in one else length for one in order]
        totals = [sum(logs[i, t, one[t]] for t in range(ends[i])) for i, one in enumerate(order)]
        best = np.argsort(totals)[::-1][:8]
        assert found[row, :8].tolist() == [list(order[i]) for i in best]
        np.testing.assert_allclose(scores[row, :8].detach().numpy(), np.array(totals)[best], rtol=1e-5)
    greedy = decoding.greedy(
        seq2seq.step_of(model),
        torch.tensor([1, 1]),
        seq2seq.encode(model, torch.tensor(SOURCE)),
        length,
        end=2,
    )
    assert seq2seq.translate(model, torch.tensor(SOURCE), length).tolist() == greedy.tolist()


@pytest.mark.slow
@pytest.mark.parametrize("name", NAMES)
def test_reversing_is_learnt_with_equal_losses(name: str) -> None:
    rng = np.random.default_rng(0)
    source = rng.integers(3, 11, (1200, 5)).astype(np.int32)
    for row, length in enumerate(rng.integers(2, 6, 1200)):
        source[row, length:] = 0
    target = np.zeros((1200, 7), np.int32)
    for row, one in enumerate(source):
        words = one[one > 0][::-1]
        target[row, : len(words) + 2] = [1, *words, 2]
    size: dict[str, Any] = {
        "source_words": 11,
        "target_words": 11,
        "embedding": 16,
        "units": 32,
        "dropout": 0.0,
    }
    size |= {"depth": 1} if name == "seq2seq_luong" else {}
    loss = uf.losses.SparseCategoricalCrossentropy(from_logits=True, ignore_class=0)
    uf.set_seed(0)
    start, losses = uf.zoo.create(name, **size), {}
    for backend in TRAINABLE:
        model = uf.zoo.create(name, **size)
        model.set_weights(start.get_weights())
        model.compile(uf.optimizers.Adam(0.01), loss)
        losses[backend] = model.fit(
            [source[:64], target[:64, :-1]], target[:64, 1:], batch_size=32, epochs=2, shuffle=False, verbose=0,
            backend=backend,
        ).history["loss"]  # fmt: skip
    for backend in TRAINABLE:
        np.testing.assert_allclose(losses[backend], losses["torch"], rtol=2e-5, err_msg=backend)
    start.compile(uf.optimizers.Adam(0.01), loss)
    start.fit(
        [source[:1000], target[:1000, :-1]],
        target[:1000, 1:],
        batch_size=50,
        epochs=12,
        verbose=0,
        backend="torch",
    )
    found = seq2seq.translate(start, torch.tensor(source[1000:]), 6, width=3).numpy()
    wanted = np.where(target[1000:, 1:] == 0, 2, target[1000:, 1:])
    assert (found == wanted).all(1).mean() > 0.8


@pytest.mark.slow
@pytest.mark.parametrize("name", NAMES)
def test_one_program_translates_the_same_everywhere(name: str) -> None:
    model = lively(name)
    program = uf.jit(lambda source: seq2seq.translate(model, source, 4, width=3, alpha=0.6))
    expected = seq2seq.translate(model, torch.tensor(SOURCE), 4, width=3, alpha=0.6).numpy()
    for backend in installed():
        with uf.backend(backend):
            assert_close(uf.ops.convert_to_numpy(program(SOURCE)), expected, what=backend)
