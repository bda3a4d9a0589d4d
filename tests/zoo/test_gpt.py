"""GPT-2: judged by Hugging Face's module, and the cache by the model without it."""

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
from unifront_zoo import decoding, gpt

SMALL = {"vocabulary": 30, "context": 16, "width": 8, "depth": 2, "heads": 2}
TOKENS = np.random.default_rng(0).integers(0, 30, (2, 9)).astype(np.int32)


def lively(seed: int = 0) -> uf.Model:
    """A model whose weights are large enough that its choices vary."""
    model = uf.zoo.create("gpt2", **SMALL, dropout=0.0)
    rng = np.random.default_rng(seed)
    model.set_weights([rng.normal(size=w.shape).astype("float32") * 0.7 for w in model.weights])
    return model


def test_the_published_sizes() -> None:
    for entry in uf.zoo.entries("gpt2*"):
        assert uf.zoo.create(entry.name).count_params() == entry.parameters, entry.name


def test_every_module_of_transformers_is_named() -> None:
    """The names and shapes of GPT2LMHeadModel, written out as its `state_dict` has them."""
    model = lively()
    names = gpt.transformers_names(model)
    block = {
        "ln_1": [(8,), (8,)], "attn.c_attn": [(8, 24), (24,)], "attn.c_proj": [(8, 8), (8,)], "ln_2": [(8,), (8,)],
        "mlp.c_fc": [(8, 32), (32,)], "mlp.c_proj": [(32, 8), (8,)],
    }  # fmt: skip
    expected: dict[str, Any] = {
        f"transformer.h.{i}.{name}": shapes for i in (0, 1) for name, shapes in block.items()
    }
    expected |= {"transformer.wte": [(30, 8)], "transformer.wpe": [(16, 8)], "transformer.ln_f": [(8,), (8,)]}
    expected["lm_head"] = expected["transformer.wte"]
    shapes = {theirs: [w.shape for w in model.get_layer(ours).weights] for theirs, ours in names.items()}
    assert shapes == expected
    assert {id(w) for ours in names.values() for w in model.get_layer(ours).weights} == {
        id(w) for w in model.weights
    }


@pytest.mark.slow
def test_transformers_gives_the_same() -> None:
    transformers = pytest.importorskip("transformers")
    config = transformers.GPT2Config(
        vocab_size=30, n_positions=16, n_embd=8, n_layer=2, n_head=2, attn_pdrop=0, resid_pdrop=0, embd_pdrop=0,
        bos_token_id=0, eos_token_id=None,
    )  # fmt: skip
    judge, model = transformers.GPT2LMHeadModel(config).eval(), lively()
    values = {}
    for theirs, ours in gpt.transformers_names(model).items():
        for leaf, weight in zip(("weight", "bias"), model.get_layer(ours).get_weights(), strict=False):
            values[f"{theirs}.{leaf}"] = torch.tensor(weight)
    judge.load_state_dict(values)
    tokens = torch.tensor(TOKENS, dtype=torch.int64)
    assert_close(model.predict(TOKENS, backend="torch"), judge(tokens).logits.detach().numpy())
    prompt = torch.tensor(TOKENS)
    for beams in (1, 4):
        expected = judge.generate(
            tokens, max_new_tokens=6, do_sample=False, num_beams=beams, pad_token_id=0, length_penalty=0.0
        )[:, 9:]
        found, _ = decoding.beam_search(
            gpt.step_of(model), prompt[:, -1], gpt.read(model, prompt, 6), 6, width=beams, start=8
        )
        assert found[:, 0].tolist() == expected.tolist()


@pytest.mark.parametrize("cut", [1, 4, 9])
def test_the_cache_changes_nothing(cut: int) -> None:
    """Read in two pieces, the second one behind the cache of the first: the logits of the whole."""
    model, tokens = lively(), torch.tensor(TOKENS)
    whole = model.predict(TOKENS, backend="torch")
    cache, found = gpt.empty_cache(model, 2, 12), []
    for start, stop in ((0, cut), (cut, 9)):
        if start < stop:
            logits, cache = gpt.advance(model, tokens[:, start:stop], cache, start)
            found.append(logits.detach().numpy())
    assert_close(np.concatenate(found, 1), whole)


@pytest.mark.parametrize("length", [1, 5])
def test_text_is_what_the_model_without_a_cache_says(length: int) -> None:
    model, text = lively(), TOKENS[:, :length]
    noise = np.random.default_rng(3).random((17 - length, 2)).astype(np.float32)
    for drawn in noise:  # the last token does not come back as input: 17 of them for 16 positions
        logits = torch.tensor(model.predict(text, backend="torch")[:, -1])
        text = np.concatenate([text, decoding.choose(logits, drawn, 3.0).numpy()[:, None]], 1)
    assert len(np.unique(text[:, length:])) > 4
    found = gpt.generate(model, torch.tensor(TOKENS[:, :length]), len(noise), temperature=3.0, noise=noise)
    assert_close(found.numpy(), text[:, length:])


def test_what_does_not_fit_is_refused() -> None:
    model = lively()
    with pytest.raises(
        errors.ArgumentError, match=r"A prompt of 9 tokens and 9 further ones do not fit.* is 16"
    ):
        gpt.generate(model, torch.tensor(TOKENS), 9)
    with pytest.raises(errors.ArgumentError, match="A prompt of 0 tokens"):
        gpt.generate(model, torch.tensor(TOKENS[:, :0]), 9)
    with pytest.raises(errors.ShapeError, match="wpe: .* 17 and 16"):
        model.predict(np.zeros((1, 17), np.int32), backend="torch")
    with pytest.raises(errors.ArgumentError, match="gpt2: 3 heads do not share a width of 8"):
        uf.zoo.create("gpt2", **SMALL | {"heads": 3})


@pytest.mark.slow
def test_one_program_draws_the_same_text_everywhere() -> None:
    model = lively()
    noise = np.random.default_rng(1).random((6, 2)).astype(np.float32)
    drawn = uf.jit(lambda prompt, noise: gpt.generate(model, prompt, 6, noise=noise, top_k=8, top_p=0.9))
    expected = gpt.generate(model, torch.tensor(TOKENS), 6, noise=noise, top_k=8, top_p=0.9).numpy()
    for name in installed():
        with uf.backend(name):
            found = uf.ops.convert_to_numpy(drawn(TOKENS, noise))
        assert_close(found, expected, what=name)
    assert len(drawn._programs) == 1


@pytest.mark.slow
def test_sorting_is_learnt_with_equal_losses() -> None:
    """Five numbers, then the same in order: the model is exact after training, and losses agree on all backends."""
    rng = np.random.default_rng(0)
    numbers = rng.integers(1, 10, (2048, 5)).astype(np.int32)
    text = np.concatenate([numbers, np.zeros((2048, 1), np.int32), np.sort(numbers, 1)], 1)
    size = {"vocabulary": 10, "context": 11, "width": 48, "depth": 2, "heads": 4, "dropout": 0.0}
    uf.set_seed(0)
    start, losses = uf.zoo.create("gpt2", **size), {}
    values = start.get_weights()
    for name in TRAINABLE:
        model = uf.zoo.create("gpt2", **size)
        model.set_weights(values)
        model.compile(uf.optimizers.Adam(3e-3), uf.losses.SparseCategoricalCrossentropy(from_logits=True))
        few = model.fit(
            text[:96, :-1], text[:96, 1:], batch_size=32, epochs=2, shuffle=False, verbose=0, backend=name
        )
        losses[name] = few.history["loss"]
    for name in TRAINABLE:
        np.testing.assert_allclose(losses[name], losses["torch"], rtol=2e-5, err_msg=name)
    weight = np.zeros((2048, 10), np.float32)
    weight[:, 5:] = 1  # what is sorted can be known
    start.compile(uf.optimizers.Adam(3e-3), uf.losses.SparseCategoricalCrossentropy(from_logits=True))
    start.fit(
        text[:, :-1], text[:, 1:], sample_weight=weight, batch_size=64, epochs=12, verbose=0, backend="torch"
    )
    prompt = np.concatenate([rng.integers(1, 10, (50, 5)), np.zeros((50, 1), int)], 1).astype(np.int32)
    found = gpt.generate(start, torch.tensor(prompt), 5, temperature=0).numpy()
    assert (found == np.sort(prompt[:, :5], 1)).all(1).mean() > 0.9
