"""Character language models of stacked LSTMs or GRUs, and text drawn from them."""

from collections.abc import Callable
from typing import Any

import unifront as uf
from unifront import layers, ops
from unifront_zoo import decoding


def _language_model(
    kind: Callable[..., Any], name: str, characters: int, units: int, depth: int, dropout: float
) -> uf.Model:
    x = text = uf.Input(("time",), name="text", dtype="int32")
    x = layers.Embedding(characters, units, name="embedding")(x)
    for i in range(depth):
        x, *_ = kind(units, return_sequences=True, return_state=True, name=f"recurrent_{i + 1}")(x)
        x = layers.Dropout(dropout, name=f"dropout_{i + 1}")(x)
    return uf.Model(text, layers.Dense(characters, name="predictions")(x), name=name)


@uf.zoo.register("char_lstm", source="Karpathy 2015, char-rnn; Graves 2013")
def char_lstm(
    characters: int = 128, units: int = 128, depth: uf.zoo.Depth = 2, dropout: float = 0.0
) -> uf.Model:
    """A stacked LSTM that says each next character: ``[batch, time]`` → logits ``[batch, time, characters]``.

    0.3 M parameters. The defaults are char-rnn's, with ASCII's characters, each a learnt vector where char-rnn has a
    one-hot one. ``dropout`` acts behind every layer. `generate` draws text.
    """
    return _language_model(layers.LSTM, "char_lstm", characters, units, depth, dropout)


@uf.zoo.register("char_gru", source="Karpathy 2015, char-rnn; Cho et al. 2014")
def char_gru(
    characters: int = 128, units: int = 128, depth: uf.zoo.Depth = 2, dropout: float = 0.0
) -> uf.Model:
    """A stacked GRU that says each next character: ``[batch, time]`` → logits ``[batch, time, characters]``.

    0.2 M parameters; otherwise as `char_lstm`.
    """
    return _language_model(layers.GRU, "char_gru", characters, units, depth, dropout)


def _recurrent(model: uf.Model) -> list[Any]:
    return [layer for layer in model.layers if layer.name.startswith("recurrent_")]


def first_states(model: uf.Model, batch: int) -> list[Any]:
    """The states before any character: a list for each recurrent layer."""
    return [layer.get_initial_state(batch) for layer in _recurrent(model)]


def advance(model: uf.Model, text: Any, states: list[Any]) -> tuple[Any, list[Any]]:
    """The logits behind each character of ``text[batch, time]``, read from ``states`` on, and the states then."""
    x, after = model.get_layer("embedding")(text), []
    for layer, state in zip(_recurrent(model), states, strict=True):
        x, *new = layer(x, initial_state=state)
        after.append(new)
    return model.get_layer("predictions")(x), after


def generate(model: uf.Model, prompt: Any, length: int, **options: Any) -> Any:
    """``length`` characters that go on where ``prompt`` ends: ``[batch, time]`` → ``[batch, length]``.

    Args:
        model: a `char_lstm` or `char_gru`.
        prompt: the numbers of at least one character.
        options: ``temperature``, ``top_k``, ``top_p``, ``end``, ``noise`` and ``seed``, as of `decoding.sample`.

    Under `uf.jit` it is one program; outside it runs step by step on the backend of ``prompt``.
    """
    batch, time = ops.shape(prompt)
    if time < 1:
        raise uf.errors.ArgumentError("A prompt has at least one character; the one given has none.")
    states = first_states(model, batch)
    if time > 1:
        _, states = advance(model, prompt[:, :-1], states)

    def step(tokens: Any, position: Any, states: Any) -> tuple[Any, Any]:
        logits, states = advance(model, ops.expand_dims(tokens, 1), states)
        return logits[:, 0], states

    return decoding.sample(step, prompt[:, -1], states, length, **options)
