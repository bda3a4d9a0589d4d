"""The Transformer: PyTorch's own module judges, and the cache is judged by the model without it."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

import unifront as uf
from tests.models import TRAINABLE
from unifront import errors
from unifront.backends import installed
from unifront.testing import assert_close
from unifront_zoo import decoding, transformer

SMALL: dict[str, Any] = {"words": 13, "width": 8, "depth": 2, "heads": 2, "inner": 12, "dropout": 0.0}
SOURCE = np.array([[3, 1, 4, 1, 5], [2, 7, 8, 0, 0]], np.int32)
TARGET = np.array([[1, 3, 4, 2], [1, 9, 5, 6]], np.int32)


def lively(name: str = "transformer") -> uf.Model:
    model = uf.zoo.create(name, **SMALL)
    rng = np.random.default_rng(0)
    model.set_weights([rng.normal(size=w.shape).astype("float32") * 0.7 for w in model.weights])
    return model


def torch_values(model: uf.Model) -> dict[str, torch.Tensor]:
    """The weights, with the names of ``torch.nn.Transformer``."""
    found: dict[str, Any] = {}

    def linear(theirs: str, ours: str) -> None:
        kernel, bias = model.get_layer(ours).get_weights()
        found.update({f"{theirs}.weight": kernel.T, f"{theirs}.bias": bias})

    def attention(theirs: str, ours: str) -> None:
        weights = model.get_layer(ours).get_weights()  # query, key, value, output: kernels and biases
        kernels = [kernel.reshape(8, 8).T for kernel in weights[0:6:2]]
        found.update({f"{theirs}.in_proj_weight": np.concatenate(kernels)})
        found.update(
            {f"{theirs}.in_proj_bias": np.concatenate([bias.reshape(-1) for bias in weights[1:6:2]])}
        )
        found.update(
            {f"{theirs}.out_proj.weight": weights[6].reshape(8, 8).T, f"{theirs}.out_proj.bias": weights[7]}
        )

    for side, parts in (("encoder", ("self",)), ("decoder", ("self", "cross"))):
        for i in range(2):
            theirs, ours = f"{side}.layers.{i}", f"{side}_{i + 1}"
            for part in parts:
                attention(f"{theirs}.{'self_attn' if part == 'self' else 'multihead_attn'}", f"{ours}_{part}")
            linear(f"{theirs}.linear1", f"{ours}_inner")
            linear(f"{theirs}.linear2", f"{ours}_outer")
            for number, part in enumerate((*parts, "feed"), 1):
                gamma, beta = model.get_layer(f"{ours}_{part}_norm").get_weights()
                found.update({f"{theirs}.norm{number}.weight": gamma, f"{theirs}.norm{number}.bias": beta})
    return {name: torch.tensor(value) for name, value in found.items()}


def test_pytorchs_transformer_gives_the_same() -> None:
    """Embedding, positions and the tied output by hand, all between by ``torch.nn.Transformer``."""
    model = lively()
    judge = torch.nn.Transformer(8, 2, 2, 2, 12, dropout=0.0, batch_first=True)
    judge.encoder.norm = judge.decoder.norm = None
    judge.load_state_dict(torch_values(model))
    vectors = torch.tensor(model.get_layer("embedding").get_weights()[0])
    angles = np.arange(5)[:, None] / 10_000 ** (np.arange(0, 8, 2) / 8)
    waves = torch.tensor(np.stack([np.sin(angles), np.cos(angles)], -1).reshape(5, 8), dtype=torch.float32)
    source, target = torch.tensor(SOURCE).long(), torch.tensor(TARGET).long()
    padding, later = source == 0, torch.triu(torch.ones(4, 4, dtype=torch.bool), 1)
    with torch.no_grad():
        expected = judge(
            vectors[source] * 8**0.5 + waves, vectors[target] * 8**0.5 + waves[:4], tgt_mask=later,
            src_key_padding_mask=padding, memory_key_padding_mask=padding,
        ) @ vectors.T  # fmt: skip
    assert_close(model.predict([SOURCE, TARGET], backend="torch"), expected.numpy())


def test_the_size_of_the_paper() -> None:
    """Table 3 says 65 M; PyTorch's module of these sizes has 44,140,544, with two norms of 1024 at the ends."""
    assert uf.zoo.create("transformer").count_params() == 44_140_544 - 2 * 1024 + 37_000 * 512


def test_the_cache_changes_nothing() -> None:
    model = lively()
    whole = model.predict([SOURCE, TARGET], backend="torch")
    state = transformer.encode(model, torch.tensor(SOURCE), 4)
    for position in range(4):
        tokens = torch.tensor(TARGET[:, position])
        logits, state = transformer.step_of(model)(tokens, position, state)
        assert_close(logits.detach().numpy(), whole[:, position])


def test_translations_are_what_the_model_says() -> None:
    """A beam's scores are those that the model without a cache gives its sequences."""
    model = lively()
    sequences, scores = decoding.beam_search(
        transformer.step_of(model), torch.tensor([1, 1]), transformer.encode(model, torch.tensor(SOURCE), 4), 4,
        width=3,
    )  # fmt: skip
    for beam in range(3):
        tokens = sequences[:, beam].numpy()
        given = np.concatenate([[[1], [1]], tokens[:, :-1]], 1).astype(np.int32)
        logits = torch.log_softmax(torch.tensor(model.predict([SOURCE, given], backend="torch")), -1).numpy()
        expected = np.take_along_axis(logits, tokens[..., None], 2)[..., 0].sum(1)
        np.testing.assert_allclose(scores[:, beam].detach().numpy(), expected, rtol=1e-4)
    greedy = transformer.translate(model, torch.tensor(SOURCE), 4, width=1)
    first = model.predict([SOURCE, TARGET[:, :1]], backend="torch")[:, 0].argmax(-1)
    assert greedy[:, 0].tolist() == first.tolist()


def test_padding_does_not_count() -> None:
    model = lively("transformer_classifier")
    words = np.array([[3, 1, 4]], np.int32)
    padded = np.array([[3, 1, 4, 0, 0]], np.int32)
    assert_close(model.predict(padded, backend="torch"), model.predict(words, backend="torch"))
    assert np.isfinite(model.predict(np.zeros((1, 3), np.int32), backend="torch")).all()


@pytest.mark.parametrize("name", ["transformer", "transformer_classifier"])
def test_heads_that_do_not_fit_are_refused(name: str) -> None:
    with pytest.raises(errors.ArgumentError, match=f"{name}: 3 heads do not share a width of 8"):
        uf.zoo.create(name, **SMALL | {"heads": 3})


@pytest.mark.slow
def test_one_program_translates_the_same_everywhere() -> None:
    model = lively()
    program = uf.jit(lambda source: transformer.translate(model, source, 4, width=3))
    expected = transformer.translate(model, torch.tensor(SOURCE), 4, width=3).numpy()
    for name in installed():
        with uf.backend(name):
            assert_close(uf.ops.convert_to_numpy(program(SOURCE)), expected, what=name)


@pytest.mark.slow
def test_counting_up_is_learnt_with_equal_losses() -> None:
    """The target is the source, each number one larger."""
    rng = np.random.default_rng(0)
    source = rng.integers(3, 11, (1200, 5)).astype(np.int32)
    target = np.concatenate([np.full((1200, 1), 1), source + 1, np.full((1200, 1), 2)], 1).astype(np.int32)
    size = SMALL | {"width": 32, "inner": 64, "heads": 4}
    uf.set_seed(0)
    start, losses = uf.zoo.create("transformer", **size), {}
    loss = uf.losses.SparseCategoricalCrossentropy(from_logits=True)
    for name in TRAINABLE:
        model = uf.zoo.create("transformer", **size)
        model.set_weights(start.get_weights())
        model.compile(uf.optimizers.Adam(0.003), loss)
        losses[name] = model.fit(
            [source[:64], target[:64, :-1]], target[:64, 1:], batch_size=32, epochs=2, shuffle=False, verbose=0,
            backend=name,
        ).history["loss"]  # fmt: skip
    for name in TRAINABLE:
        np.testing.assert_allclose(losses[name], losses["torch"], rtol=2e-5, err_msg=name)
    start.compile(uf.optimizers.Adam(0.003), loss)
    start.fit(
        [source[:1000], target[:1000, :-1]],
        target[:1000, 1:],
        batch_size=50,
        epochs=12,
        verbose=0,
        backend="torch",
    )
    found = transformer.translate(start, torch.tensor(source[1000:]), 6).numpy()
    assert (found == target[1000:, 1:]).all(1).mean() > 0.9
