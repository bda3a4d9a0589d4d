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


def published(model: uf.Model, prefix: str = "transformer.") -> dict[str, torch.Tensor]:
    """The weights as the `state_dict` of GPT2LMHeadModel has them: kernels ``[in, out]``, norms and embeddings."""
    found: dict[str, Any] = {"wte.weight": model.get_layer("wte").get_weights()[0]}
    found["wpe.weight"] = model.get_layer("wpe").get_weights()[0]
    parts = {"ln_1": "ln_1", "attn.c_attn": "attn/c_attn", "attn.c_proj": "attn/c_proj", "ln_2": "ln_2"}
    parts |= {"mlp.c_fc": "mlp_c_fc", "mlp.c_proj": "mlp_c_proj"}
    modules = {f"h.{i}.{theirs}": f"h{i}_{ours}" for i in (0, 1) for theirs, ours in parts.items()}
    for theirs, ours in {**modules, "ln_f": "ln_f"}.items():
        found[f"{theirs}.weight"], found[f"{theirs}.bias"] = model.get_layer(ours).get_weights()
    return {prefix + name: torch.tensor(value) for name, value in found.items()}


def test_every_weight_is_named() -> None:
    """Of what `published` gives, with either prefix: the layer's weight of that shape, and all weights of the model."""
    model = lively()
    names = gpt.transformers_names(model)
    for prefix in ("", "transformer."):
        found = set()
        for parameter, value in published(model, prefix).items():
            module, _, leaf = parameter.rpartition(".")
            layer, _, weight = (names.get(parameter) or f"{names[module]}/").rpartition("/")
            own = {weight.name: weight for weight in model.get_layer(layer).weights}
            chosen = own[weight] if weight else list(own.values())[leaf == "bias"]
            assert chosen.shape == tuple(value.shape), parameter
            found.add(id(chosen))
        assert found == {id(weight) for weight in model.weights}


@pytest.mark.parametrize("prefix", ["", "transformer."])
def test_published_weights_are_taken(tmp_path: Any, prefix: str) -> None:
    """With the masks of old files, with or without the head, which is the embedding."""
    source, path = lively(), tmp_path / "gpt2.pt"
    values = published(source, prefix)
    if prefix:
        values["lm_head.weight"] = values["transformer.wte.weight"]
    else:
        values |= {f"h.{i}.attn.bias": torch.tril(torch.ones(1, 1, 16, 16)) for i in (0, 1)}
    torch.save(values, path)
    model = uf.zoo.create("gpt2", **SMALL, weights=path)
    assert_close(model.predict(TOKENS, backend="torch"), source.predict(TOKENS, backend="torch"))
    torch.save({name: value for name, value in values.items() if "h.1.ln_2" not in name}, path)
    with pytest.raises(errors.UnifrontError, match="h1_ln_2"):
        uf.zoo.create("gpt2", **SMALL, weights=path)


def judge_module() -> Any:
    """Hugging Face's module, of the same size."""
    transformers = pytest.importorskip("transformers")
    config = transformers.GPT2Config(
        vocab_size=30, n_positions=16, n_embd=8, n_layer=2, n_head=2, attn_pdrop=0, resid_pdrop=0, embd_pdrop=0,
        bos_token_id=0, eos_token_id=None,
    )  # fmt: skip
    return transformers.GPT2LMHeadModel(config).eval()


@pytest.mark.slow
def test_transformers_gives_the_same() -> None:
    judge, model = judge_module(), lively()
    values = published(model)
    values["lm_head.weight"] = values["transformer.wte.weight"]
    judge.load_state_dict(values)
    tokens = torch.tensor(TOKENS, dtype=torch.int64)
    assert_close(model.predict(TOKENS, backend="torch"), judge(tokens).logits.detach().numpy())
    prompt = torch.tensor(TOKENS)
    for beams in (1, 4):
        expected = judge.generate(
            tokens, attention_mask=torch.ones_like(tokens), max_new_tokens=6, do_sample=False, num_beams=beams,
            pad_token_id=0, length_penalty=0.0,
        )[:, 9:]  # fmt: skip
        found, _ = decoding.beam_search(
            gpt.step_of(model), prompt[:, -1], gpt.read(model, prompt, 6), 6, width=beams, start=8
        )
        assert found[:, 0].tolist() == expected.tolist()


@pytest.mark.slow
def test_files_that_transformers_writes_are_taken(tmp_path: Any) -> None:
    """Those of `save_pretrained`, and the older `pytorch_model.bin`, of the whole module and of its body alone."""
    judge = judge_module()
    for seed, value in enumerate(judge.parameters()):
        torch.nn.init.normal_(value, std=0.7, generator=torch.Generator().manual_seed(seed))
    judge.save_pretrained(tmp_path / "whole")
    judge.transformer.save_pretrained(tmp_path / "body")
    torch.save(judge.state_dict(), tmp_path / "pytorch_model.bin")
    expected = judge(torch.tensor(TOKENS, dtype=torch.int64)).logits.detach().numpy()
    for name in ("whole/model.safetensors", "body/model.safetensors", "pytorch_model.bin"):
        model = uf.zoo.create("gpt2", **SMALL, weights=tmp_path / name)
        assert_close(model.predict(TOKENS, backend="torch"), expected)


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
    numbers = rng.integers(1, 10, (1024, 5)).astype(np.int32)
    text = np.concatenate([numbers, np.zeros((1024, 1), np.int32), np.sort(numbers, 1)], 1)
    size = {"vocabulary": 10, "context": 11, "width": 32, "depth": 2, "heads": 4, "dropout": 0.0}
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
    weight = np.zeros((1024, 10), np.float32)
    weight[:, 5:] = 1  # what is sorted can be known
    start.compile(uf.optimizers.Adam(5e-3), uf.losses.SparseCategoricalCrossentropy(from_logits=True))
    start.fit(
        text[:, :-1], text[:, 1:], sample_weight=weight, batch_size=64, epochs=20, verbose=0, backend="torch"
    )
    prompt = np.concatenate([rng.integers(1, 10, (50, 5)), np.zeros((50, 1), int)], 1).astype(np.int32)
    found = gpt.generate(start, torch.tensor(prompt), 5, temperature=0).numpy()
    assert (found == np.sort(prompt[:, :5], 1)).all(1).mean() > 0.9
