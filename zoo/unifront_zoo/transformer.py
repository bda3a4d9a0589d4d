"""The Transformer (Vaswani et al. 2017): an encoder and a decoder that translate, and an encoder that classifies."""

from collections.abc import Callable
from typing import Any

import numpy as np

import unifront as uf
from unifront import layers, ops
from unifront_zoo import decoding

Layers = Callable[[str], Any]
"""A layer by its name: of those being put together, or of a model."""


class SinePositions(uf.Layer):
    """``x[batch, time, width] * sqrt(width)``, plus sines and cosines of the positions (section 3.5)."""

    def call(self, x: Any, position: Any = 0) -> Any:
        time, width = ops.shape(x)[1:]
        rates = np.power(10_000.0, -np.arange(0, width, 2) / width).astype(np.float32)
        place = ops.cast(ops.add(ops.arange(time, dtype="int32", like=x), position), "float32")
        angles = ops.multiply(ops.expand_dims(place, 1), rates)
        waves = ops.reshape(ops.stack([ops.sin(angles), ops.cos(angles)], axis=-1), (time, 2 * len(rates)))
        return ops.add(ops.multiply(x, width**0.5), ops.cast(waves[:, :width], self.compute_dtype))


def _block(
    name: str, width: int, heads: int, inner: int, dropout: float, parts: tuple[str, ...]
) -> list[uf.Layer]:
    found: list[uf.Layer] = [
        layers.MultiHeadAttention(heads, width // heads, name=f"{name}_{part}") for part in parts
    ]
    found += [
        layers.Dense(inner, activation="relu", name=f"{name}_inner"),
        layers.Dense(width, name=f"{name}_outer"),
    ]
    for part in (*parts, "feed"):
        found.append(layers.Dropout(dropout, name=f"{name}_{part}_drop"))
        found.append(layers.LayerNormalization(epsilon=1e-5, name=f"{name}_{part}_norm"))
    return found


def _added(layer: Layers, name: str, x: Any, y: Any) -> Any:
    """The norm behind the sum of ``x`` and what a part made of it."""
    return layer(f"{name}_norm")(ops.add(x, layer(f"{name}_drop")(y)))


def _fed(layer: Layers, name: str, x: Any) -> Any:
    return _added(layer, f"{name}_feed", x, layer(f"{name}_outer")(layer(f"{name}_inner")(x)))


def _encoded(layer: Layers, depth: int, tokens: Any, counts: Any) -> Any:
    x = layer("drop")(layer("positions")(layer("embedding")(tokens)))
    mask = ops.expand_dims(counts, 1)
    for i in range(1, depth + 1):
        y = layer(f"encoder_{i}_self")(x, x, attention_mask=mask)
        x = _fed(layer, f"encoder_{i}", _added(layer, f"encoder_{i}_self", x, y))
    return x


def _decoded(
    layer: Layers, depth: int, tokens: Any, attend: Callable[[str, Any], Any], position: Any = 0
) -> Any:
    """The logits; ``attend(name, x)`` gives what an attention of the decoder reads."""
    x = layer("drop")(layer("positions")(layer("embedding")(tokens), position))
    for i in range(1, depth + 1):
        for part in ("self", "cross"):
            name = f"decoder_{i}_{part}"
            x = _added(layer, name, x, attend(name, x))
        x = _fed(layer, f"decoder_{i}", x)
    return layer("embedding")(x, reverse=True)


def _check(name: str, width: int, heads: int) -> None:
    if width % heads:
        raise uf.errors.ArgumentError(f"{name}: {heads} heads do not share a width of {width}.")


@uf.zoo.register("transformer", source="Vaswani et al. 2017, base model")
def transformer(
    words: int = 37_000,
    width: int = 512,
    depth: uf.zoo.Depth = 6,
    heads: int = 8,
    inner: int = 2048,
    dropout: float = 0.1,
) -> uf.Model:
    """The base model: ``source[batch, s]`` and ``target[batch, t]`` → logits ``[batch, t, words]``.

    63 M parameters with the paper's 37,000 tokens, which both sides and the output share; 22 M multiply-adds a token of
    the source, 41 M one of the target, and what attention adds. The source is padded with 0; the target begins with a
    start token, and the output at each place is what follows there (teacher forcing). `translate` decodes, with caches.
    """
    _check("transformer", width, heads)
    own: list[uf.Layer] = [
        layers.ReversibleEmbedding(
            words,
            width,
            embeddings_initializer=uf.initializers.RandomNormal(stddev=width**-0.5),
            name="embedding",
        ),
        SinePositions(name="positions"),
        layers.Dropout(dropout, name="drop"),
    ]
    for i in range(1, depth + 1):
        own += _block(f"encoder_{i}", width, heads, inner, dropout, ("self",))
        own += _block(f"decoder_{i}", width, heads, inner, dropout, ("self", "cross"))
    layer = {one.name: one for one in own}.__getitem__
    source = uf.Input(("source_time",), name="source", dtype="int32")
    target = uf.Input(("target_time",), name="target", dtype="int32")
    counts = ops.not_equal(source, 0)
    memory = _encoded(layer, depth, source, counts)

    def attend(name: str, x: Any) -> Any:
        if name.endswith("_self"):
            return layer(name)(x, x, use_causal_mask=True)
        return layer(name)(x, memory, attention_mask=ops.expand_dims(counts, 1))

    return uf.Model([source, target], _decoded(layer, depth, target, attend), name="transformer")


@uf.zoo.register(
    "transformer_classifier", source="Vaswani et al. 2017, an encoder and the mean of its outputs"
)
def transformer_classifier(
    words: int = 20_000, width: int = 128, depth: uf.zoo.Depth = 2, heads: int = 4, inner: int = 256, classes: int = 2,
    dropout: float = 0.1,
) -> uf.Model:  # fmt: skip
    """A text's class: ``[batch, time]``, padded with 0 → logits ``[batch, classes]``.

    2.8 M parameters, 2.6 M of them the embedding; 0.3 M multiply-adds a token and what attention adds.
    """
    _check("transformer_classifier", width, heads)
    own: list[uf.Layer] = [
        layers.Embedding(words, width, name="embedding"), SinePositions(name="positions"),
        layers.Dropout(dropout, name="drop"),
    ]  # fmt: skip
    for i in range(1, depth + 1):
        own += _block(f"encoder_{i}", width, heads, inner, dropout, ("self",))
    text = uf.Input(("time",), name="words", dtype="int32")
    counts = ops.not_equal(text, 0)
    x = _encoded({one.name: one for one in own}.__getitem__, depth, text, counts)
    shares = ops.cast(ops.expand_dims(counts, 2), "float32")
    total = ops.maximum(ops.sum(shares, axis=1), 1.0)
    x = ops.divide(ops.sum(ops.multiply(x, shares), axis=1), total)
    return uf.Model(text, layers.Dense(classes, name="predictions")(x), name="transformer_classifier")


def _depth(model: uf.Model) -> int:
    return sum(layer.name.endswith("_cross") for layer in model.layers)


def encode(model: uf.Model, source: Any, length: int) -> dict[str, Any]:
    """What decoding ``length`` tokens needs of ``source[batch, s]``: the state of `step_of`'s step."""
    counts = ops.not_equal(source, 0)
    memory = _encoded(model.get_layer, _depth(model), source, counts)
    read, caches = {}, {}
    for i in range(1, _depth(model) + 1):
        cross, own = (model.get_layer(f"decoder_{i}_{part}") for part in ("cross", "self"))
        read[cross.name] = {"keys": cross.key_dense(memory), "values": cross.value_dense(memory)}
        shape = (ops.shape(source)[0], length, own.num_heads, own.key_dim)
        zeros = ops.zeros(shape, own.compute_dtype, like=memory)
        caches[own.name] = {"keys": zeros, "values": zeros}
    return {"read": read, "caches": caches, "counts": counts}


def step_of(model: uf.Model) -> decoding.Step:
    """One step of `decoding`'s functions, whose state is what `encode` gives."""

    def step(tokens: Any, position: Any, state: Any) -> tuple[Any, Any]:
        mask, caches = ops.expand_dims(state["counts"], (1, 2)), {}

        def attend(name: str, x: Any) -> Any:
            layer = model.get_layer(name)
            query = layer.query_dense(x)
            if name in state["read"]:
                known = state["read"][name]
                found = ops.dot_product_attention(query, known["keys"], known["values"], mask=mask)
            else:
                found, caches[name] = decoding.attend(
                    query, layer.key_dense(x), layer.value_dense(x), state["caches"][name], position
                )
            return layer.output_dense(found)

        logits = _decoded(model.get_layer, _depth(model), ops.expand_dims(tokens, 1), attend, position)
        return logits[:, 0], {**state, "caches": caches}

    return step


def translate(
    model: uf.Model,
    source: Any,
    length: int,
    *,
    start: int = 1,
    end: int = 2,
    width: int = 4,
    alpha: float = 0.6,
) -> Any:
    """The likeliest targets that beam search finds: ``source[batch, s]`` → int32 ``[batch, length]``.

    Args:
        length: how many tokens there are at most, with the end token.
        start, end: the tokens that begin and end a target; behind its end a target repeats ``end``.
        width, alpha: as of `decoding.beam_search`; the paper's.
    """
    state = encode(model, source, length)
    return decoding.best(
        step_of(model), source, state, length, start=start, end=end, width=width, alpha=alpha
    )
