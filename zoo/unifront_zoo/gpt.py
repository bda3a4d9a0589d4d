"""GPT-2 (Radford et al. 2019): a Transformer's decoder that says each next token, and text drawn from it.

The weights are named and shaped as in the published files, so that those of Hugging Face's ``transformers`` fit. Keys
and values of what was read are kept, so that each further token costs one row of products.
"""

from collections.abc import Callable
from typing import Any

import numpy as np

import unifront as uf
from unifront import layers, ops
from unifront_zoo import decoding

Cache = list[dict[str, Any]]
"""For each block the ``keys`` and ``values`` of the tokens so far, ``[batch, size of the cache, heads, head size]``."""


class PositionEmbedding(layers.Embedding):
    """A learnt vector for each position, added to ``x[batch, time, width]``, whose first one stands at ``position``."""

    def call(self, x: Any, position: Any = 0) -> Any:
        time, width = ops.shape(x)[1:]
        return ops.add(x, ops.slice(self.embeddings, (position, 0), (time, width)))


class CausalAttention(uf.Layer):
    """Attention of many heads to the tokens so far, with one product for queries, keys and values.

    ``[batch, time, width]`` → the same shape.
    """

    def __init__(self, heads: int, width: int, scale: float, **options: Any) -> None:
        super().__init__(**options)
        self.heads, self.width = heads, width
        self.c_attn = layers.Dense(3 * width, kernel_initializer=_normal(0.02))
        self.c_proj = layers.Dense(width, kernel_initializer=_normal(scale))

    def _projected(self, x: Any) -> list[Any]:
        """Queries, keys and values, ``[batch, time, heads, size]``."""
        batch, time = ops.shape(x)[:2]
        shape = (batch, time, self.heads, self.width // self.heads)
        return [ops.reshape(part, shape) for part in ops.split(self.c_attn(x), 3, axis=-1)]

    def _joined(self, heads: Any) -> Any:
        batch, time = ops.shape(heads)[:2]
        return self.c_proj(ops.reshape(heads, (batch, time, self.width)))

    def call(self, x: Any) -> Any:
        return self._joined(ops.dot_product_attention(*self._projected(x), is_causal=True))

    def extend(self, x: Any, cache: dict[str, Any], position: Any) -> tuple[Any, dict[str, Any]]:
        """As a call, for what stands at ``position`` behind the tokens in ``cache``; and the cache with it."""
        found, after = decoding.attend(*self._projected(x), cache, position)
        return self._joined(found), after


def _normal(scale: float) -> Any:
    return uf.initializers.RandomNormal(stddev=scale)


def _layers(
    vocabulary: int, context: int, width: int, depth: int, heads: int, dropout: float
) -> dict[str, uf.Layer]:
    residual = 0.02 / (2 * depth) ** 0.5  # of what is added to the residual stream
    found: list[uf.Layer] = [
        layers.ReversibleEmbedding(vocabulary, width, embeddings_initializer=_normal(0.02), name="wte"),
        PositionEmbedding(context, width, embeddings_initializer=_normal(0.01), name="wpe"),
        layers.Dropout(dropout, name="drop"),
        layers.LayerNormalization(epsilon=1e-5, name="ln_f"),
    ]
    for i in range(depth):
        found += [
            layers.LayerNormalization(epsilon=1e-5, name=f"h{i}_ln_1"),
            CausalAttention(heads, width, residual, name=f"h{i}_attn"),
            layers.Dropout(dropout, name=f"h{i}_attn_drop"),
            layers.LayerNormalization(epsilon=1e-5, name=f"h{i}_ln_2"),
            layers.Dense(4 * width, kernel_initializer=_normal(0.02), name=f"h{i}_mlp_c_fc"),
            layers.Dense(width, kernel_initializer=_normal(residual), name=f"h{i}_mlp_c_proj"),
            layers.Dropout(dropout, name=f"h{i}_mlp_drop"),
        ]
    return {layer.name: layer for layer in found}


def _logits(
    layer: Callable[[str], Any], depth: int, tokens: Any, attend: Callable[[int, Any], Any], **at: Any
) -> Any:
    """The model: ``layer`` gives the layers, ``attend(i, x)`` the attention of a block."""
    x = layer("drop")(layer("wpe")(layer("wte")(tokens), **at))
    for i in range(depth):
        x = ops.add(x, layer(f"h{i}_attn_drop")(attend(i, layer(f"h{i}_ln_1")(x))))
        inner = ops.gelu(layer(f"h{i}_mlp_c_fc")(layer(f"h{i}_ln_2")(x)), approximate=True)
        x = ops.add(x, layer(f"h{i}_mlp_drop")(layer(f"h{i}_mlp_c_proj")(inner)))
    return layer("wte")(layer("ln_f")(x), reverse=True)


def transformers_names(model: uf.Model) -> dict[str, str | None]:
    """The layer or weight here for each module of the ``GPT2LMHeadModel`` of ``transformers``.

    The published files leave ``transformer.`` out. Kernels there are as ours, not transposed ("Conv1D"), so they are
    named one by one; what is None are constant masks.
    """
    found: dict[str, str | None] = {"wte": "wte", "wpe": "wpe", "ln_f": "ln_f"}
    for i in range(_depth(model)):
        theirs, ours = f"h.{i}", f"h{i}"
        found |= {f"{theirs}.attn.bias": None, f"{theirs}.attn.masked_bias": None}
        found |= {f"{theirs}.ln_{n}": f"{ours}_ln_{n}" for n in (1, 2)}
        for part, layer in (
            ("attn.c_attn", "attn/c_attn"), ("attn.c_proj", "attn/c_proj"), ("mlp.c_fc", "mlp_c_fc"),
            ("mlp.c_proj", "mlp_c_proj"),
        ):  # fmt: skip
            found[f"{theirs}.{part}.weight"] = f"{ours}_{layer}/kernel"
            found[f"{theirs}.{part}.bias"] = f"{ours}_{layer}/bias"
    return {**found, **{f"transformer.{name}": layer for name, layer in found.items()}, "lm_head": "wte"}


def _depth(model: uf.Model) -> int:
    return sum(isinstance(layer, CausalAttention) for layer in model.layers)


_SIZES = {  # width, depth, heads, parameters
    "gpt2": (768, 12, 12, 124_439_808),
    "gpt2_medium": (1024, 24, 16, 354_823_168),
    "gpt2_large": (1280, 36, 20, 774_030_080),
    "gpt2_xl": (1600, 48, 25, 1_557_611_200),
}


def _define(name: str) -> None:
    width_, depth_, heads_, parameters = _SIZES[name]

    def build(
        vocabulary: int = 50_257, context: int = 1024, width: int = width_, depth: uf.zoo.Depth = depth_,
        heads: int = heads_, dropout: float = 0.1,
    ) -> uf.Model:  # fmt: skip
        if width % heads:
            raise uf.errors.ArgumentError(f"{name}: {heads} heads do not share a width of {width}.")
        own = _layers(vocabulary, context, width, depth, heads, dropout)
        tokens = uf.Input(("time",), name="tokens", dtype="int32")
        logits = _logits(own.__getitem__, depth, tokens, lambda i, x: own[f"h{i}_attn"](x))
        return uf.Model(tokens, logits, name=name)

    build.__name__ = build.__qualname__ = name
    build.__doc__ = f"""GPT-2, {depth_} blocks {width_} wide: ``[batch, time]`` → logits ``[batch, time, vocabulary]``.

    {parameters / 1e6:.1f} M parameters, about {(parameters - 1024 * width_) / 1e9:.2f} G multiply-adds a token and \
what attention adds. Learnt
    positions, norms before each part, GELU, and the embedding as the last layer too. ``time`` is at most ``context``.
    ``dropout`` acts on the embedded tokens and on what each part adds, not on the weights of attention. `generate`
    draws text.
    """
    register = uf.zoo.register(
        name, source="Radford et al. 2019; openai-community on Hugging Face", parameters=parameters,
        peers={"transformers": transformers_names},
    )  # fmt: skip
    globals()[name] = register(build)


for _name in _SIZES:
    _define(_name)


def empty_cache(model: uf.Model, batch: int, size: int) -> Cache:
    """The cache before any token, for at most ``size`` of them: NumPy's zeros, which go with tokens of any backend."""
    attention = model.get_layer("h0_attn")
    shape = (batch, size, attention.heads, attention.width // attention.heads)
    zeros = ops.zeros(shape, attention.compute_dtype, like=np.zeros(()))
    return [{"keys": zeros, "values": zeros} for _ in range(_depth(model))]


def advance(model: uf.Model, tokens: Any, cache: Cache, position: Any = 0) -> tuple[Any, Cache]:
    """The logits behind each of ``tokens[batch, time]``, the first of which stands at ``position`` behind those in
    ``cache``; and the cache with them."""
    after: Cache = []

    def attend(i: int, x: Any) -> Any:
        found, own = model.get_layer(f"h{i}_attn").extend(x, cache[i], position)
        after.append(own)
        return found

    return _logits(model.get_layer, len(cache), tokens, attend, position=position), after


def step_of(model: uf.Model) -> decoding.Step:
    """One step of `decoding`'s functions, whose state is the cache."""

    def step(tokens: Any, position: Any, cache: Cache) -> tuple[Any, Cache]:
        logits, cache = advance(model, ops.expand_dims(tokens, 1), cache, position)
        return logits[:, 0], cache

    return step


def read(model: uf.Model, prompt: Any, length: int) -> Cache:
    """The cache behind all but the last token of ``prompt[batch, time]``, with place for ``length`` further ones.

    Raises `ArgumentError` where that is more than the model's context.
    """
    batch, time = ops.shape(prompt)
    context = model.get_layer("wpe").input_dim
    if time < 1 or time + length > context + 1:  # the last token is given, not read
        raise uf.errors.ArgumentError(
            f"A prompt of {time} tokens and {length} further ones do not fit: a prompt has at least one token, and "
            f"the model's context is {context}."
        )
    cache = empty_cache(model, batch, time + length - 1)
    return cache if time == 1 else advance(model, prompt[:, :-1], cache)[1]


def generate(model: uf.Model, prompt: Any, length: int, **options: Any) -> Any:
    """``length`` tokens that go on where ``prompt`` ends: ``[batch, time]`` → ``[batch, length]``.

    Args:
        model: one of this file's.
        prompt: at least one token.
        options: ``temperature``, ``top_k``, ``top_p``, ``end``, ``noise`` and ``seed``, as of `decoding.sample`.

    Under `uf.jit` it is one program; outside it runs step by step on the backend of ``prompt``. `read` and `step_of`
    give the same to `decoding.beam_search`. Raises `ArgumentError` where the context is too small.
    """
    cache, last = read(model, prompt, length), ops.shape(prompt)[1] - 1
    return decoding.sample(step_of(model), prompt[:, -1], cache, length, start=last, **options)
