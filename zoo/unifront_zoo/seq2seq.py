"""Sequence to sequence: an encoder, and a decoder that attends to what the encoder made of each word.

Bahdanau et al. 2015: the state so far chooses what the next step reads. Luong et al. 2015: what a step made chooses,
and what it read goes into the next step (input feeding).
"""

from typing import Any

import unifront as uf
from unifront import layers, ops
from unifront_zoo import decoding


def _read(scores: Any, memory: Any, counts: Any) -> Any:
    """The mean of ``memory[batch, source, size]``, weighted by the softmax of ``scores[batch, source]``."""
    weights = ops.softmax(ops.where(counts, scores, ops.full_like(scores, -1e9)), axis=-1)
    return ops.sum(ops.multiply(ops.expand_dims(weights, 2), memory), axis=1)


class Decoder(uf.Layer):
    """What goes through the targets, one `step` after the other.

    Call it on the embedded ``targets[batch, target, embedding]``, ``memory[batch, source, size]``, ``counts[batch,
    source]``, true where memory counts, and what `first_state` takes; it gives ``[batch, target, units]``.
    """

    def __init__(self, units: int, **options: Any) -> None:
        super().__init__(**options)
        self.units = units
        self.key = layers.Dense(units, use_bias=False)

    def first_state(self, *given: Any) -> Any:
        """The state before the first target, by the encoder's states."""
        raise NotImplementedError

    def step(self, embedded: Any, state: Any, keys: Any, memory: Any, counts: Any) -> tuple[Any, Any]:
        """The output and the state behind one target, ``[batch, embedding]``; ``keys`` are `key` of the memory."""
        raise NotImplementedError

    def call(self, targets: Any, memory: Any, counts: Any, *given: Any) -> Any:
        keys = self.key(memory)

        def body(state: Any, embedded: Any) -> tuple[Any, Any]:
            output, state = self.step(embedded, state, keys, memory, counts)
            return state, output

        _, outputs = ops.scan(body, self.first_state(*given), ops.swapaxes(targets, 0, 1))
        return ops.swapaxes(outputs, 0, 1)


class BahdanauDecoder(Decoder):
    """A GRU that reads the mean of memory weighted by ``score · tanh(query(state) + key(memory))``, and the target.

    A step's output is the largest of two linear functions of state, target and what was read (maxout).
    """

    def __init__(self, units: int, **options: Any) -> None:
        super().__init__(units, **options)
        self.first = layers.Dense(units, activation="tanh")
        self.query, self.score = layers.Dense(units), layers.Dense(1, use_bias=False)
        self.cell, self.readout = layers.GRUCell(units), layers.Dense(2 * units)

    def build(self, targets: Any, memory: Any, *_: Any) -> None:
        embedding, size = targets[-1], memory[-1]
        self.key.build((None, None, size))
        for layer in (self.first, self.query, self.score):
            layer.build((None, self.units))
        self.cell.build((None, embedding + size))
        self.readout.build((None, self.units + embedding + size))

    def first_state(self, backward: Any) -> Any:
        return self.first(backward)

    def step(self, embedded: Any, state: Any, keys: Any, memory: Any, counts: Any) -> tuple[Any, Any]:
        scores = self.score(ops.tanh(ops.add(ops.expand_dims(self.query(state), 1), keys)))[:, :, 0]
        context = _read(scores, memory, counts)
        new, _ = self.cell(ops.concatenate([embedded, context], axis=-1), [state])
        pieces = self.readout(ops.concatenate([state, embedded, context], axis=-1))
        return ops.max(ops.reshape(pieces, (*ops.shape(new), 2)), axis=-1), new


class LuongDecoder(Decoder):
    """Stacked LSTMs; the last one's output ``h`` weighs memory by ``h · key(memory)``, and what it makes of that mean
    and itself is the step's output, which goes into the next step beside the target ("general" score)."""

    def __init__(self, units: int, depth: int, **options: Any) -> None:
        super().__init__(units, **options)
        self.cells = [layers.LSTMCell(units) for _ in range(depth)]
        self.combine = layers.Dense(units, activation="tanh", use_bias=False)

    def build(self, targets: Any, memory: Any, *_: Any) -> None:
        self.key.build((None, None, memory[-1]))
        for i, cell in enumerate(self.cells):
            cell.build((None, self.units if i else targets[-1] + self.units))
        self.combine.build((None, self.units + memory[-1]))

    def first_state(self, *given: Any) -> Any:
        """The state of each LSTM of the encoder, ``h`` and ``c`` one after the other, and no output yet."""
        pairs = [[h, c] for h, c in zip(given[::2], given[1::2], strict=True)]
        return [pairs, ops.zeros_like(given[0])]

    def step(self, embedded: Any, state: Any, keys: Any, memory: Any, counts: Any) -> tuple[Any, Any]:
        pairs, fed = state
        x, after = ops.concatenate([embedded, fed], axis=-1), []
        for cell, own in zip(self.cells, pairs, strict=True):
            x, new = cell(x, own)
            after.append(list(new))
        context = _read(ops.sum(ops.multiply(ops.expand_dims(x, 1), keys), axis=-1), memory, counts)
        output = self.combine(ops.concatenate([context, x], axis=-1))
        return output, [after, output]


@uf.zoo.register("seq2seq_bahdanau", source="Bahdanau et al. 2015, RNNsearch")
def seq2seq_bahdanau(
    source_words: int = 30_000,
    target_words: int = 30_000,
    embedding: int = 620,
    units: int = 1000,
    dropout: float = 0.0,
) -> uf.Model:
    """RNNsearch: ``source[batch, s]`` and ``target[batch, t]`` → logits ``[batch, t, target_words]``.

    A bidirectional GRU reads the source, padded with 0; the target begins with a start token, and the output at each
    place is what follows there (teacher forcing). 99 M parameters with the paper's sizes, about 49 M multiply-adds a
    word of the target and 12 M a word of the source. `translate` decodes.
    """
    source, x, targets = _ends(source_words, target_words, embedding, dropout)
    reader = layers.Bidirectional(layers.GRU(units, return_sequences=True, return_state=True), name="encoder")
    memory, _, backward = reader(x)
    x = BahdanauDecoder(units, name="decoder")(targets[1], memory, ops.not_equal(source, 0), backward)
    return _model("seq2seq_bahdanau", source, targets[0], x, target_words, dropout)


@uf.zoo.register("seq2seq_luong", source="Luong et al. 2015, general score with input feeding")
def seq2seq_luong(
    source_words: int = 50_000, target_words: int = 50_000, embedding: int = 1000, units: int = 1000,
    depth: uf.zoo.Depth = 4, dropout: float = 0.2,
) -> uf.Model:  # fmt: skip
    """Stacked LSTMs with global attention: ``source[batch, s]``, ``target[batch, t]`` → logits ``[batch, t, …]``.

    As `seq2seq_bahdanau`, but the decoder begins with the encoder's states and attends behind each step. 221 M
    parameters with the paper's sizes, about 88 M multiply-adds a word of the target and 33 M a word of the source.
    """
    source, x, targets = _ends(source_words, target_words, embedding, dropout)
    states: list[Any] = []
    for i in range(depth):
        lstm = layers.LSTM(units, return_sequences=True, return_state=True, name=f"encoder_{i + 1}")
        x, *state = lstm(x)
        states += state
    x = LuongDecoder(units, depth, name="decoder")(targets[1], x, ops.not_equal(source, 0), *states)
    return _model("seq2seq_luong", source, targets[0], x, target_words, dropout)


def _ends(
    source_words: int, target_words: int, size: int, dropout: float
) -> tuple[Any, Any, tuple[Any, Any]]:
    """The source, it embedded, and the target with it embedded."""
    source = uf.Input(("source_time",), name="source", dtype="int32")
    target = uf.Input(("target_time",), name="target", dtype="int32")
    x = layers.Embedding(source_words, size, mask_zero=True, name="source_embedding")(source)
    y = layers.Embedding(target_words, size, name="target_embedding")(target)
    x, y = (
        layers.Dropout(dropout, name=f"{name}_dropout")(one) for name, one in (("source", x), ("target", y))
    )
    return source, x, (target, y)


def _model(name: str, source: Any, target: Any, x: Any, words: int, dropout: float) -> uf.Model:
    x = layers.Dropout(dropout, name="dropout")(x)
    return uf.Model([source, target], layers.Dense(words, name="predictions")(x), name=name)


def encode(model: uf.Model, source: Any) -> dict[str, Any]:
    """What decoding needs of ``source[batch, s]``: the state of `step_of`'s step."""
    decoder, counts = model.get_layer("decoder"), ops.not_equal(source, 0)
    x, states = model.get_layer("source_embedding")(source), []
    for layer in model.layers:
        if layer.name.startswith("encoder"):
            x, *state = layer(x, mask=counts)
            states += state
    first = decoder.first_state(*(states[1:] if isinstance(decoder, BahdanauDecoder) else states))
    return {"state": first, "keys": decoder.key(x), "memory": x, "counts": counts}


def step_of(model: uf.Model) -> decoding.Step:
    """One step of `decoding`'s functions, whose state is what `encode` gives."""

    def step(tokens: Any, position: Any, given: Any) -> tuple[Any, Any]:
        embedded = model.get_layer("target_embedding")(tokens)
        rest = given["keys"], given["memory"], given["counts"]
        output, state = model.get_layer("decoder").step(embedded, given["state"], *rest)
        return model.get_layer("predictions")(output), {**given, "state": state}

    return step


def translate(
    model: uf.Model,
    source: Any,
    length: int,
    *,
    start: int = 1,
    end: int = 2,
    width: int = 1,
    alpha: float = 0.0,
) -> Any:
    """The likeliest targets that beam search finds: ``source[batch, s]`` → int32 ``[batch, length]``.

    Args:
        length: how many words there are at most, with the end token.
        start, end: the tokens that begin and end a target; behind its end a target repeats ``end``.
        width, alpha: as of `decoding.beam_search`; a width of 1 takes the likeliest word at each step.
    """
    state = encode(model, source)
    return decoding.best(
        step_of(model), source, state, length, start=start, end=end, width=width, alpha=alpha
    )
