"""Recurrent language models and what is decoded from them: brute force, NumPy and hand-written torch judge."""

from __future__ import annotations

from itertools import product
from typing import Any

import numpy as np
import pytest
import torch

import unifront as uf
from tests.models import TRAINABLE
from unifront import errors
from unifront.backends import installed
from unifront.testing import assert_close
from unifront_zoo import char_lm, decoding

RNG = np.random.default_rng(0)


def log_softmax(x: np.ndarray) -> np.ndarray:
    x = x - x.max(-1, keepdims=True)
    return x - np.log(np.exp(x).sum(-1, keepdims=True))


# ---------------------------------------------------------------- choosing

LOGITS = np.log(np.array([[0.1, 0.4, 0.2, 0.3]], np.float32))  # by likelihood: 1, 3, 2, 0


@pytest.mark.parametrize(
    ("noise", "options", "expected"),
    [
        (0.0, {}, 1),
        (0.39, {}, 1),
        (0.41, {}, 3),
        (0.69, {}, 3),
        (0.71, {}, 2),
        (0.91, {}, 0),
        (np.nextafter(np.float32(1), np.float32(0)), {}, 0),
        (0.99, {"temperature": 0}, 1),
        (0.99, {"top_k": 1}, 1),
        (0.56, {"top_k": 2}, 1),  # 0.4 of 0.7
        (0.58, {"top_k": 2}, 3),
        (0.99, {"top_k": 9}, 0),
        (0.99, {"top_p": 0.39}, 1),
        (0.99, {"top_p": 0.41}, 3),
        (0.99, {"top_p": 1.0}, 0),
        (0.55, {"temperature": 0.5}, 3),  # 16 of 30 for class 1, then 9
        (0.53, {"temperature": 0.5}, 1),
        (0.99, {"top_k": 3, "top_p": 0.5}, 3),  # of what top_k leaves, 4 and 3 of 9
    ],
)
def test_a_class_is_chosen_by_the_noise(noise: float, options: Any, expected: int) -> None:
    found = decoding.choose(torch.tensor(LOGITS), np.array([noise], np.float32), **options)
    assert_close(found.numpy(), np.array([expected], np.int32))


def test_classes_are_drawn_as_often_as_they_are_likely() -> None:
    count = 4000
    noise = (np.arange(count, dtype=np.float32) + 0.5) / count
    found = decoding.choose(torch.tensor(np.repeat(LOGITS, count, 0)), noise)
    assert np.bincount(np.asarray(found)).tolist() == [400, 1600, 800, 1200]


@pytest.mark.parametrize("options", [{"temperature": -1}, {"top_k": 0}, {"top_p": 0.0}, {"top_p": 1.5}])
def test_choices_that_make_no_sense_are_refused(options: Any) -> None:
    with pytest.raises(
        errors.ArgumentError, match=r"A temperature is at least 0, top_k at least 1, top_p in"
    ):
        decoding.choose(LOGITS, np.zeros(1, np.float32), **options)


# ---------------------------------------------------------------- sequences, by brute force

CLASSES, END, LENGTH = 4, 0, 4
CHAIN = RNG.normal(size=(2, LENGTH, CLASSES, CLASSES)).astype(np.float32) * 2
"""Logits of the next token, by row, position and token: what each row's state leads to."""


def chain(tokens: Any, position: Any, state: Any) -> Any:
    """A step whose state says which row it is, and how many steps were made (they must follow the beams)."""
    table = uf.ops.take(CHAIN, position, axis=1)
    rows = uf.ops.take(table, state["row"], axis=0)
    picked = uf.ops.take_along_axis(rows, uf.ops.reshape(tokens, (-1, 1, 1)), axis=1)
    return picked[:, 0], {"row": state["row"], "sum": state["sum"] + tokens}


STATE = {"row": torch.arange(2, dtype=torch.int32), "sum": torch.zeros(2, dtype=torch.int32)}
FIRST = torch.tensor([1, 2], dtype=torch.int32)


def scored(row: int, alpha: float = 0.0) -> list[tuple[float, tuple[int, ...]]]:
    """Every sequence and its score, the best first."""
    found: dict[tuple[int, ...], float] = {}
    for tokens in product(range(CLASSES), repeat=LENGTH):
        total, before, kept = 0.0, int(FIRST[row]), []
        for position, token in enumerate(tokens):
            if END in kept:
                kept.append(END)
                continue
            total += log_softmax(CHAIN[row, position, before])[token]
            before = token
            kept.append(token)
        length = kept.index(END) + 1 if END in kept else LENGTH
        found[tuple(kept)] = total / ((5 + length) / 6) ** alpha
    return sorted(((score, kept) for kept, score in found.items()), reverse=True)


@pytest.mark.parametrize("alpha", [0.0, 0.8])
def test_a_wide_beam_finds_what_brute_force_finds(alpha: float) -> None:
    width = 60  # more than any two steps leave open
    sequences, scores = decoding.beam_search(chain, FIRST, STATE, LENGTH, width=width, end=END, alpha=alpha)
    for row in range(2):
        expected = scored(row, alpha)
        assert np.asarray(sequences)[row, :10].tolist() == [list(kept) for _, kept in expected[:10]]
        np.testing.assert_allclose(np.asarray(scores)[row, :10], [s for s, _ in expected[:10]], rtol=1e-5)


def test_a_beam_of_one_is_greedy() -> None:
    sequences, _ = decoding.beam_search(chain, FIRST, STATE, LENGTH, width=1, end=END)
    assert_close(sequences[:, 0].numpy(), decoding.greedy(chain, FIRST, STATE, LENGTH, end=END).numpy())
    before, greedy = FIRST.tolist(), []
    for position in range(LENGTH):
        before = [
            END if position and before[row] == END else int(CHAIN[row, position, before[row]].argmax())
            for row in (0, 1)
        ]
        greedy.append(before)
    assert np.asarray(sequences)[:, 0].tolist() == np.transpose(greedy).tolist()


def test_more_beams_than_sequences_are_marked() -> None:
    _, scores = decoding.beam_search(chain, FIRST, STATE, 1, width=CLASSES + 2)
    assert (np.asarray(scores)[:, CLASSES:] < -1e29).all()
    np.testing.assert_allclose(np.exp(np.asarray(scores)[:, :CLASSES]).sum(1), 1, rtol=1e-5)


@pytest.mark.slow
def test_what_was_decoded_is_the_same_everywhere() -> None:
    noise = RNG.random((LENGTH, 2)).astype(np.float32)
    found = uf.jit(
        lambda first, row, total, noise: (
            decoding.beam_search(chain, first, {"row": row, "sum": total}, LENGTH, width=3, end=END)[0],
            decoding.sample(chain, first, {"row": row, "sum": total}, LENGTH, noise=noise, top_p=0.9),
        )
    )
    eager = decoding.beam_search(chain, FIRST, STATE, LENGTH, width=3, end=END)[0]
    drawn = decoding.sample(chain, FIRST, STATE, LENGTH, noise=noise, top_p=0.9)
    for name in installed():
        with uf.backend(name):
            beams, sampled = found(FIRST.numpy(), STATE["row"].numpy(), STATE["sum"].numpy(), noise)
        assert_close(uf.ops.convert_to_numpy(beams), eager.numpy(), what=name)
        assert_close(uf.ops.convert_to_numpy(sampled), drawn.numpy(), what=name)


@pytest.mark.parametrize(
    ("options", "name"), [({"length": 0}, "length"), ({"length": 2, "width": 0}, "width")]
)
def test_nothing_to_decode_is_refused(options: Any, name: str) -> None:
    with pytest.raises(errors.ArgumentError, match=f"Decoding needs a {name} of at least 1, not 0"):
        decoding.beam_search(chain, FIRST, STATE, **options)
    with pytest.raises(errors.ArgumentError, match=r"A prompt has at least one character"):
        char_lm.generate(
            uf.zoo.create("char_gru", characters=3, units=2), torch.zeros((1, 0), dtype=torch.int32), 2
        )


# ---------------------------------------------------------------- characters

TEXT = "how much wood would a woodchuck chuck if a woodchuck could chuck wood? " * 12


@pytest.mark.parametrize("name", ["char_lstm", "char_gru"])
def test_text_drawn_a_step_at_a_time_is_what_the_whole_model_says(name: str) -> None:
    model = uf.zoo.create(name, characters=11, units=6)
    for prompt in (np.array([[3, 1, 4], [1, 5, 9]], np.int32), np.array([[2]], np.int32)):
        text = prompt
        for _ in range(4):
            logits = model.predict(text, backend="torch")
            text = np.concatenate([text, logits[:, -1:].argmax(-1).astype(np.int32)], 1)
        found = char_lm.generate(model, torch.tensor(prompt), 4, temperature=0)
        assert_close(found.numpy(), text[:, prompt.shape[1] :])


def test_seeds_decide_what_is_drawn() -> None:
    model = uf.zoo.create("char_gru", characters=11, units=6)
    prompt = torch.tensor([[3, 1, 4]])
    one, same, other = (char_lm.generate(model, prompt, 30, seed=seed).numpy() for seed in (1, 1, 2))
    assert (one == same).all()
    assert (one != other).any()
    assert one.min() >= 0 <= 10 >= one.max()


@pytest.mark.slow
@pytest.mark.parametrize("name", ["char_lstm", "char_gru"])
def test_characters_are_learnt(name: str) -> None:
    uf.set_seed(0)
    letters = sorted(set(TEXT))
    numbers = np.array([letters.index(letter) for letter in TEXT], np.int32)
    windows = np.stack([numbers[i : i + 41] for i in range(0, len(numbers) - 41, 3)])
    model = uf.zoo.create(name, characters=len(letters), units=48)
    model.compile(uf.optimizers.Adam(0.01), uf.losses.SparseCategoricalCrossentropy(from_logits=True))
    model.fit(windows[:, :-1], windows[:, 1:], epochs=25, batch_size=32, verbose=0, backend="torch")
    prompt = torch.tensor(numbers[None, :10])
    found = char_lm.generate(model, prompt, 60, temperature=0).numpy()[0]
    words = "".join(letters[number] for number in found).split()[1:-1]
    assert len(words) > 5
    assert np.mean([word in TEXT.split() for word in words]) > 0.8
    likeliest = model.predict(windows[:, :-1], backend="torch").argmax(-1)
    assert (likeliest == windows[:, 1:])[:, 10:].mean() > 0.9  # one letter of 16 by chance


# ---------------------------------------------------------------- Penn Treebank


class TorchPtb(torch.nn.Module):
    """The model by hand, with torch's LSTM."""

    def __init__(self, words: int, units: int) -> None:
        super().__init__()
        self.embedding = torch.nn.Embedding(words, units)
        self.lstm = torch.nn.LSTM(units, units, 2, batch_first=True)
        self.predictions = torch.nn.Linear(units, words)

    def forward(self, words: Any, states: Any = None) -> Any:
        x, states = self.lstm(self.embedding(words), states)
        return self.predictions(x), states


def torch_ptb(model: uf.Model, words: int, units: int) -> TorchPtb:
    judge = TorchPtb(words, units)
    values = [torch.tensor(value) for value in model.get_weights()]
    embedding, *recurrent, kernel, bias = values
    found = {"embedding.weight": embedding, "predictions.weight": kernel.T, "predictions.bias": bias}
    for i in range(2):
        own = recurrent[3 * i : 3 * i + 3]
        found |= {
            f"lstm.weight_ih_l{i}": own[0].T,
            f"lstm.weight_hh_l{i}": own[1].T,
            f"lstm.bias_ih_l{i}": own[2],
        }
        found[f"lstm.bias_hh_l{i}"] = torch.zeros_like(own[2])
    judge.load_state_dict(found)
    return judge


def test_states_are_carried_from_batch_to_batch() -> None:
    model = uf.zoo.create("ptb_small", words=12, units=5, length=4, batch_size=3)
    stream = RNG.integers(0, 12, (3, 12)).astype(np.int32)
    judge = torch_ptb(model, 12, 5)
    states = None
    for at in range(0, 12, 4):
        part = stream[:, at : at + 4]
        expected, states = judge(torch.tensor(part), states)
        assert_close(model.predict(part, batch_size=3, backend="torch"), expected.detach().numpy())
    for name in ("lstm_1", "lstm_2"):
        model.get_layer(name).reset_state()
    again = model.predict(stream[:, :4], batch_size=3, backend="torch")
    assert_close(again, judge(torch.tensor(stream[:, :4]))[0].detach().numpy())


@pytest.mark.slow
def test_training_goes_on_from_the_states_everywhere() -> None:
    """Four steps of the paper's training, SGD with clipped gradients: equal losses, and those of torch by hand."""
    stream = RNG.integers(0, 12, (3, 17)).astype(np.int32)
    batches = [(stream[:, at : at + 4], stream[:, at + 1 : at + 5]) for at in range(0, 16, 4)]
    start = uf.zoo.create("ptb_small", words=12, units=5, length=4, batch_size=3)
    judge, states, expected = torch_ptb(start, 12, 5), None, []
    rate = torch.optim.SGD([p for name, p in judge.named_parameters() if "bias_hh" not in name], 1.0)
    for x, y in batches:
        logits, states = judge(torch.tensor(x), states)
        states = tuple(state.detach() for state in states)
        loss = torch.nn.functional.cross_entropy(logits.reshape(-1, 12), torch.tensor(y).reshape(-1).long())
        rate.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(rate.param_groups[0]["params"], 0.5)
        rate.step()
        expected.append(loss.item())
    for name in TRAINABLE:
        model = uf.zoo.create("ptb_small", words=12, units=5, length=4, batch_size=3)
        model.set_weights(start.get_weights())
        optimizer = uf.optimizers.SGD(1.0, global_clipnorm=0.5)
        model.compile(optimizer, uf.losses.SparseCategoricalCrossentropy(from_logits=True))
        losses = [
            model.fit(x, y, batch_size=3, verbose=0, backend=name).history["loss"][0] for x, y in batches
        ]
        np.testing.assert_allclose(losses, expected, rtol=1e-5, err_msg=name)


@pytest.mark.slow
def test_streams_are_learnt() -> None:
    """Eight words in a circle, four streams that begin at different ones; a batch goes on where the last one ended."""
    uf.set_seed(0)
    model = uf.zoo.create("ptb_medium", words=8, units=16, length=6, batch_size=4, dropout=0.2)
    words = np.array([3, 1, 4, 1, 5, 1, 2, 6])  # what follows 1 is said by the words before it
    stream = np.stack([np.tile(np.roll(words, 2 * row), 40)[:241] for row in range(4)]).astype(np.int32)
    batches = [(stream[:, at : at + 6], stream[:, at + 1 : at + 7]) for at in range(0, 240, 6)]
    x, y = (np.concatenate(parts) for parts in zip(*batches, strict=True))
    loss = uf.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(uf.optimizers.Adam(0.01), loss)
    model.fit(x, y, batch_size=4, epochs=12, shuffle=False, verbose=0, backend="torch")
    assert model.evaluate(x, y, batch_size=4, verbose=0, backend="torch") < 0.1  # 0.41 for whom sees one word


@pytest.mark.parametrize("name", uf.zoo.list("ptb_*"))
def test_the_papers_counts_of_parameters(name: str) -> None:
    (entry,) = uf.zoo.entries(name)
    assert uf.zoo.create(name).count_params() == entry.parameters


# ---------------------------------------------------------------- reviews


def test_padding_of_reviews_does_not_count() -> None:
    model = uf.zoo.create("imdb_gru", words=20, embedding=4, units=5)
    short, padded = np.array([[3, 1, 4]], np.int32), np.array([[3, 1, 4, 0, 0]], np.int32)
    assert_close(model.predict(padded, backend="torch"), model.predict(short, backend="torch"))


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("imdb_gru", {"embedding": 8, "units": 16}),
        ("transformer_classifier", {"width": 16, "inner": 32}),
    ],
)
def test_reviews_are_learnt(name: str, options: Any) -> None:
    """Which of two words came last: more than the counts of words say."""
    uf.set_seed(0)
    rng = np.random.default_rng(1)
    words = rng.integers(3, 30, (600, 20)).astype(np.int32)
    words[:, 4], words[:, 15] = 1, 2
    labels = rng.integers(0, 2, 600)
    words[labels == 1, 4], words[labels == 1, 15] = 2, 1
    model = uf.zoo.create(name, words=30, dropout=0.0, **options)
    loss = uf.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(uf.optimizers.Adam(0.01), loss, metrics=["accuracy"])
    model.fit(words[:500], labels[:500], epochs=20, batch_size=50, verbose=0, backend="torch")
    assert (
        model.evaluate(words[500:], labels[500:], verbose=0, backend="torch", return_dict=True)["accuracy"]
        > 0.95
    )
