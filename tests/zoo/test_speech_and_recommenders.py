"""Deep Speech 2 by torch's modules, and recommenders over hashed categories."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

import unifront as uf
from tests.models import TRAINABLE
from unifront.backends import installed
from unifront.testing import assert_close
from unifront_zoo import deep_speech, recommender

RNG = np.random.default_rng(0)


# ---------------------------------------------------------------- speech


class TorchDeepSpeech(torch.nn.Module):
    """The model by hand, on ``[batch, time, bins]``."""

    def __init__(self, bins: int, filters: int, units: int, classes: int) -> None:
        super().__init__()
        self.convs = torch.nn.ModuleList(
            [
                torch.nn.Conv2d(1, filters, (11, 41), bias=False),
                torch.nn.Conv2d(filters, filters, (11, 21), bias=False),
            ]
        )
        self.conv_norms = torch.nn.ModuleList([torch.nn.BatchNorm2d(filters, eps=1e-3) for _ in range(2)])
        features = filters * ((bins + 3) // 4)
        sizes = (features, units)
        self.grus = torch.nn.ModuleList(
            [torch.nn.GRU(n, units, bidirectional=True, batch_first=True) for n in sizes]
        )
        self.norms = torch.nn.ModuleList([torch.nn.BatchNorm1d(units, eps=1e-3) for _ in range(2)])
        self.predictions = torch.nn.Linear(units, classes)

    def forward(self, x: Any) -> Any:
        x = x[:, None]
        for conv, norm, strides in zip(self.convs, self.conv_norms, ((2, 2), (1, 2)), strict=True):
            pads: list[int] = []
            for size, kernel, stride in zip(
                x.shape[:1:-1], conv.kernel_size[::-1], strides[::-1], strict=True
            ):
                total = max((-(-size // stride) - 1) * stride + kernel - size, 0)  # as "same" pads
                pads += [total // 2, total - total // 2]
            x = torch.nn.functional.conv2d(torch.nn.functional.pad(x, pads), conv.weight, stride=strides)
            x = norm(x).clamp(0, 20)
        x = x.permute(0, 2, 3, 1).flatten(2)  # bins, then channels
        for gru, norm in zip(self.grus, self.norms, strict=True):
            x = sum(gru(x)[0].chunk(2, -1))
            x = norm(x.transpose(1, 2)).transpose(1, 2)
        return self.predictions(x)


def torch_speech(model: uf.Model, judge: TorchDeepSpeech) -> None:
    def of(name: str) -> list[torch.Tensor]:
        return [torch.tensor(w) for w in model.get_layer(name).get_weights()]

    def norm(module: Any, name: str) -> None:
        for own, value in zip(("weight", "bias", "running_mean", "running_var"), of(name), strict=True):
            getattr(module, own).data = value

    for i in range(2):
        judge.convs[i].weight.data = of(f"conv_{i + 1}")[0].permute(3, 2, 0, 1)
        norm(judge.conv_norms[i], f"conv_{i + 1}_norm")
        norm(judge.norms[i], "gru_2_norm" if i == 0 else "norm")
        weights = of(f"gru_{i + 1}")
        for suffix, (kernel, recurrent, bias) in (("", weights[:3]), ("_reverse", weights[3:])):
            for name, value in (("weight_ih", kernel.T), ("weight_hh", recurrent.T), ("bias_ih", bias[0]),
                                ("bias_hh", bias[1])):  # fmt: skip
                z, r, h = value.chunk(3)  # torch has r, z, n
                getattr(judge.grus[i], f"{name}_l0{suffix}").data = torch.cat([r, z, h])
    judge.predictions.weight.data, judge.predictions.bias.data = of("predictions")[0].T, of("predictions")[1]


@pytest.mark.parametrize("time", [1, 12, 13])
def test_torchs_modules_give_the_same(time: int) -> None:
    model = uf.zoo.create("deep_speech2", bins=9, classes=5, filters=2, units=4, depth=2)
    model.set_weights([RNG.uniform(0.2, 1, w.shape).astype("float32") for w in model.weights])
    judge = TorchDeepSpeech(9, 2, 4, 5).eval()
    torch_speech(model, judge)
    x = RNG.normal(size=(3, time, 9)).astype("float32")
    found = model.predict(x, backend="torch")
    assert found.shape == (3, -(-time // 2), 5)
    assert_close(found, judge(torch.tensor(x)).detach().numpy())


def test_labels_are_what_collapses() -> None:
    path = np.array([[0, 3, 3, 0, 3, 4], [2, 2, 2, 0, 0, 0], [0, 0, 0, 0, 0, 0]])
    logits = torch.tensor(np.eye(5, dtype=np.float32)[path])
    labels = deep_speech.transcribe(logits)
    assert labels.tolist() == [[3, 3, 4, -1, -1, -1], [2, -1, -1, -1, -1, -1], [-1] * 6]
    short = deep_speech.transcribe(logits, torch.tensor([3, 1, 6]))
    assert short[:2, :2].tolist() == [[3, -1], [2, -1]]
    assert deep_speech.text_of(labels) == ["aab", " ", ""]


def test_there_may_be_fewer_labels_than_steps() -> None:
    """The loss of `fit` is torch's, on 2 labels of 6 steps; the second row has one."""
    model = uf.zoo.create("deep_speech2", bins=9, classes=5, filters=2, units=4, depth=1)
    x, labels = RNG.normal(size=(2, 12, 9)).astype("float32"), np.array([[2, 4], [3, 0]], np.int32)
    model.compile("sgd", uf.losses.CTC())
    found = model.evaluate(x, labels, verbose=0, backend="torch")
    logits = torch.tensor(model.predict(x, backend="torch")).log_softmax(-1).transpose(0, 1)
    expected = torch.nn.functional.ctc_loss(
        logits, torch.tensor(labels), torch.tensor([6, 6]), torch.tensor([2, 1]), reduction="none"
    ).mean()
    np.testing.assert_allclose(found, float(expected), rtol=1e-5)
    model.fit(
        x, labels, epochs=20, verbose=0, backend="torch"
    )  # one step lowers the loss of its own batch norm only
    assert model.evaluate(x, labels, verbose=0, backend="torch") < found


@pytest.mark.slow
def test_tones_are_transcribed_with_equal_losses() -> None:
    """Each label is a few frames of a tone of its own, with silence between."""
    rng = np.random.default_rng(0)
    labels = rng.integers(1, 5, (300, 3)).astype(np.int32)
    x = 0.1 * rng.normal(size=(300, 36, 9)).astype(np.float32)
    for row in range(300):
        for k in range(3):
            begin = 12 * k + int(rng.integers(0, 4))
            x[row, begin : begin + 6, 2 * labels[row, k] - 1] += 2
    size: dict[str, Any] = {"bins": 9, "classes": 5, "filters": 4, "units": 16, "depth": 1}
    uf.set_seed(0)
    start, losses = uf.zoo.create("deep_speech2", **size), {}
    for name in TRAINABLE:
        model = uf.zoo.create("deep_speech2", **size)
        model.set_weights(start.get_weights())
        model.compile(uf.optimizers.Adam(0.003), uf.losses.CTC())
        losses[name] = model.fit(
            x[:32], labels[:32], batch_size=16, epochs=2, shuffle=False, verbose=0, backend=name
        ).history["loss"]
    for name in TRAINABLE:
        np.testing.assert_allclose(losses[name], losses["torch"], rtol=1e-4, err_msg=name)
    start.compile(uf.optimizers.Adam(0.01), uf.losses.CTC())
    start.fit(x[:250], labels[:250], batch_size=25, epochs=8, verbose=0, backend="torch")
    found = deep_speech.transcribe(torch.tensor(start.predict(x[250:], backend="torch"))).numpy()
    assert ((found[:, :3] == labels[250:]).all(1) & (found[:, 3] == -1)).mean() > 0.8


# ---------------------------------------------------------------- recommenders


def hashed_by_numpy(numbers: np.ndarray, buckets: int, seed: int) -> np.ndarray:
    """The same in unsigned 64 bits, cut to 32."""
    x = (numbers.astype(np.int64) & 0xFFFFFFFF).astype(np.uint64)
    x ^= np.uint64((seed * 0x9E3779B1 + 0x7F4A7C15) % 2**31)
    for shift in (16, 13):
        x ^= x >> np.uint64(shift)
        x = (x * np.uint64(2_654_435_769)) & np.uint64(0xFFFFFFFF)
    found = (x >> np.uint64(1)) % np.uint64(buckets - 1) + np.uint64(1)
    return np.where(numbers == 0, 0, found).astype(np.int32)


NUMBERS = np.array([0, 1, 2, -1, 12345, 2**31 - 1, -(2**31), *RNG.integers(-(2**31), 2**31, 50)], np.int32)


@pytest.mark.parametrize(
    "backend",
    [pytest.param(name, marks=[pytest.mark.slow] * (name in ("jax", "tensorflow"))) for name in installed()],
)
def test_hashes_are_the_same_everywhere(backend: str) -> None:
    with uf.backend(backend):
        for seed, buckets in ((0, 1000), (3, 7), (11, 2)):
            found = recommender.hashed(uf.ops.convert_to_tensor(NUMBERS), buckets, seed)
            assert_close(uf.ops.convert_to_numpy(found), hashed_by_numpy(NUMBERS, buckets, seed))


def test_hashes_spread_evenly_and_seeds_differ() -> None:
    numbers = torch.arange(1, 100_001, dtype=torch.int32)
    one, two = (recommender.hashed(numbers, 101, seed).numpy() for seed in (0, 1))
    counts = np.bincount(one)[1:]
    assert len(counts) == 100
    assert ((counts - 1000) ** 2 / 1000).sum() < 160  # chi square of 99 degrees: 1 in 10,000 above
    assert (one == two).mean() < 0.02


def test_a_vector_is_the_sum_of_those_of_its_hashes() -> None:
    layer = recommender.HashedEmbedding(50, 3, hashes=2, seed=5)
    numbers = np.array([[7, 0], [123456789, -4]], np.int32)
    found = layer(torch.tensor(numbers)).detach().numpy()
    (table,) = layer.get_weights()
    expected = sum(table[hashed_by_numpy(numbers, 50, seed)] for seed in (5, 6))
    assert_close(found, np.where((numbers == 0)[..., None], 0, expected).astype("float32"))


def test_chosen_items_as_ones() -> None:
    found = recommender.chosen_items(torch.tensor([[3, 1, 0], [0, 0, 0]]), 4)
    assert found.tolist() == [[1, 0, 1, 0], [0, 0, 0, 0]]


@pytest.mark.slow
def test_clicks_are_learnt_with_equal_losses() -> None:
    """What pairs of neighbouring categories say, of a million each, which no column says by itself."""
    rng = np.random.default_rng(0)
    users, items = rng.integers(1, 2**31, 20), rng.integers(1, 2**31, 20)
    likes = rng.random((20, 20)) < 0.5
    u, i = rng.integers(0, 20, 4000), rng.integers(0, 20, 4000)
    x = [np.stack([users[u], items[i]], 1).astype(np.int32), rng.normal(size=(4000, 2)).astype(np.float32)]
    y = likes[u, i].astype(np.float32)[:, None]
    size: dict[str, Any] = {"categories": 2, "numbers": 2, "buckets": 5000, "embedding": 8, "hidden": (16,)}
    loss = uf.losses.BinaryCrossentropy(from_logits=True)
    uf.set_seed(0)
    start, losses = uf.zoo.create("wide_deep", **size), {}
    for name in TRAINABLE:
        model = uf.zoo.create("wide_deep", **size)
        model.set_weights(start.get_weights())
        model.compile(uf.optimizers.Adam(0.01), loss)
        losses[name] = model.fit(
            [one[:64] for one in x], y[:64], batch_size=32, epochs=2, shuffle=False, verbose=0, backend=name
        ).history["loss"]
    for name in TRAINABLE:
        np.testing.assert_allclose(losses[name], losses["torch"], rtol=2e-5, err_msg=name)
    start.compile(uf.optimizers.Adam(0.02), loss)
    start.fit([one[:3500] for one in x], y[:3500], batch_size=100, epochs=10, verbose=0, backend="torch")
    found = start.predict([one[3500:] for one in x], backend="torch") > 0
    assert (found == (y[3500:] > 0)).mean() > 0.9


@pytest.mark.slow
def test_what_goes_together_is_recommended() -> None:
    """People choose within one of four shelves; an item that was left out is found by the others."""
    rng = np.random.default_rng(0)
    shelf = rng.integers(0, 4, 1200)
    chosen = np.stack([1 + 8 * one + rng.permutation(8)[:5] for one in shelf]).astype(np.int32)
    model = uf.zoo.create("sparse_autoencoder", items=32, hidden=(16, 16))
    uf.set_seed(0)
    model.compile(uf.optimizers.Adam(0.02), uf.losses.BinaryCrossentropy(from_logits=True))
    targets = uf.ops.convert_to_numpy(recommender.chosen_items(torch.tensor(chosen), 32))
    model.fit(chosen[:1000], targets[:1000], batch_size=50, epochs=20, verbose=0, backend="torch")
    best = model.predict(chosen[1000:, :2], backend="torch").argsort(-1)[:, -8:]
    assert (best // 8 == shelf[1000:, None]).mean() > 0.9
