"""Sequences out of models that say what comes next: sampling, greedy choice and beam search.

Each takes ``step(tokens, position, state) -> (logits, state)``: the tokens ``[batch]`` that stand at ``position`` (an
int32 scalar) → the logits ``[batch, vocabulary]`` of those that follow. The state is any structure of tensors with
the batch first. All are written with ``uf.ops``: they run on native arrays, and as one program under `uf.jit`.
"""

from collections.abc import Callable
from typing import Any

import unifront as uf
from unifront import ops

Step = Callable[[Any, Any, Any], tuple[Any, Any]]

NEVER = -1e30
"""The log-probability of what cannot be."""


def attend(
    query: Any, key: Any, value: Any, cache: dict[str, Any], position: Any
) -> tuple[Any, dict[str, Any]]:
    """Attention of what stands at ``position`` to itself and to what is in ``cache``, causally; the cache with it.

    Args:
        query, key, value: ``[batch, time, heads, size]``.
        cache: ``keys`` and ``values`` of the places before, ``[batch, places, heads, size]``.

    Returns ``[batch, time, heads, size]``, and a new cache.
    """
    keys = ops.slice_update(cache["keys"], (0, position, 0, 0), key)
    values = ops.slice_update(cache["values"], (0, position, 0, 0), value)
    time, places = ops.shape(query)[1], ops.shape(keys)[1]
    own = ops.add(ops.expand_dims(ops.arange(time, dtype="int32", like=query), 1), position)
    mask = ops.less_equal(ops.arange(places, dtype="int32", like=query), own)
    return ops.dot_product_attention(query, keys, values, mask=mask), {"keys": keys, "values": values}


def choose(
    logits: Any, noise: Any, temperature: float = 1.0, top_k: int | None = None, top_p: float | None = None
) -> Any:
    """A class of each row, by the inverse of its cumulative probabilities.

    Args:
        logits: ``[batch, classes]``.
        noise: numbers drawn evenly from [0, 1), ``[batch]``; equal ones choose equally on every backend.
        temperature: divides the logits; 0 takes the likeliest class.
        top_k: only so many of the likeliest classes may be chosen (Fan et al. 2018).
        top_p: only the fewest likeliest classes whose probabilities reach this sum (Holtzman et al. 2020).

    Returns int32 ``[batch]``. Raises `ArgumentError` for a temperature below 0, a ``top_k`` below 1 and a ``top_p``
    outside (0, 1].
    """
    if temperature < 0 or (top_k is not None and top_k < 1) or (top_p is not None and not 0 < top_p <= 1):
        raise uf.errors.ArgumentError(
            "A temperature is at least 0, top_k at least 1, top_p in (0, 1]; given were "
            f"temperature={temperature}, top_k={top_k}, top_p={top_p}."
        )
    if temperature == 0:
        return ops.cast(ops.argmax(logits, axis=-1), "int32")
    classes = ops.shape(logits)[-1]
    values, order = ops.top_k(ops.cast(logits, "float32"), classes if top_k is None else min(top_k, classes))
    shares = ops.softmax(ops.divide(values, temperature), axis=-1)
    if top_p is not None:
        before = ops.subtract(ops.cumsum(shares, axis=-1), shares)
        shares = ops.where(ops.less(before, top_p), shares, 0.0)
    reached = ops.cumsum(shares, axis=-1)
    sought = ops.multiply(ops.cast(ops.expand_dims(noise, 1), "float32"), reached[:, -1:])
    passed = ops.sum(ops.cast(ops.less_equal(reached, sought), "int32"), axis=-1, keepdims=True)
    last = ops.sum(ops.cast(ops.greater(shares, 0.0), "int32"), axis=-1, keepdims=True) - 1
    return ops.cast(ops.take_along_axis(order, ops.minimum(passed, last), axis=1)[:, 0], "int32")


def _need(name: str, count: int) -> None:
    if not isinstance(count, int) or count < 1:
        raise uf.errors.ArgumentError(f"Decoding needs a {name} of at least 1, not {count}.")


def sample(
    step: Step, first: Any, state: Any, length: int, *, start: Any = 0, temperature: float = 1.0,
    top_k: int | None = None, top_p: float | None = None, end: int | None = None, noise: Any = None,
    seed: Any = None,
) -> Any:  # fmt: skip
    """``length`` tokens after ``first``, at least one, each drawn by the logits that ``step`` gives.

    Args:
        first: the tokens ``[batch]`` to begin after; they stand at the position ``start``.
        state: that of ``step`` before ``first``.
        temperature, top_k, top_p: see `choose`.
        end: the token that ends a sequence; what follows it is this token too.
        noise: the random numbers ``[length, batch]`` in [0, 1); drawn with ``seed`` unless given.

    Returns int32 ``[batch, length]``.
    """
    _need("length", length)
    first = ops.cast(first, "int32")
    if noise is None:  # where nothing is drawn, any numbers will do
        shape = (length, ops.shape(first)[0])
        noise = (
            uf.random.uniform(shape, seed=seed, like=first) if temperature else ops.zeros(shape, like=first)
        )
    positions = ops.add(ops.arange(length, dtype="int32", like=first), start)

    def body(carry: Any, given: Any) -> Any:
        tokens, ended, kept = carry
        position, drawn = given
        logits, kept = step(tokens, position, kept)
        tokens = choose(logits, drawn, temperature, top_k, top_p)
        if end is not None:
            tokens = ops.where(ended, end, tokens)
            ended = ops.equal(tokens, end)
        return (tokens, ended, kept), tokens

    ended = ops.zeros(ops.shape(first), "bool", like=first)
    _, tokens = ops.scan(body, (first, ended, state), (positions, noise))
    return ops.transpose(tokens)


def greedy(step: Step, first: Any, state: Any, length: int, *, start: Any = 0, end: int | None = None) -> Any:
    """The likeliest token at every step; arguments as of `sample`."""
    return sample(step, first, state, length, start=start, temperature=0, end=end)


def beam_search(
    step: Step, first: Any, state: Any, length: int, *, width: int = 4, end: int | None = None, start: Any = 0,
    alpha: float = 0.0,
) -> tuple[Any, Any]:  # fmt: skip
    """The likeliest sequences, of which ``width`` are followed at a time.

    Args:
        first, state, start, end: as of `sample`.
        alpha: of the length penalty; the log-probability of a sequence is divided by ``((5 + its length) / 6)^alpha``
            before sequences are compared (Wu et al. 2016). Its length counts ``end``.

    Returns int32 ``[batch, width, length]``, the best first, and their scores ``[batch, width]``. Where there are fewer
    sequences than ``width``, the scores of the rest are below -1e29.
    """
    _need("length", length)
    _need("width", width)
    first = ops.cast(first, "int32")
    batch = ops.shape(first)[0]
    rows = ops.multiply(ops.expand_dims(ops.arange(batch, dtype="int32", like=first), 1), width)
    places = ops.add(ops.multiply(rows, 0), ops.arange(width, dtype="int32", like=first))

    def body(carry: Any, position: Any) -> Any:
        tokens, scores, ended, kept = carry
        logits, kept = step(ops.reshape(tokens, (batch * width,)), position, kept)
        classes = ops.shape(logits)[-1]
        gain = ops.reshape(ops.log_softmax(ops.cast(logits, "float32")), (batch, width, classes))
        if end is not None:  # of what has ended there is one continuation
            stays = ops.where(ops.equal(ops.arange(classes, dtype="int32", like=first), end), 0.0, NEVER)
            gain = ops.where(ops.expand_dims(ended, -1), stays, gain)
        total = ops.maximum(ops.add(ops.expand_dims(scores, -1), gain), NEVER)
        scores, found = ops.top_k(ops.reshape(total, (batch, width * classes)), width)
        parents, tokens = ops.floor_divide(found, classes), ops.mod(found, classes)
        taken = ops.reshape(ops.add(rows, parents), (batch * width,))
        kept = uf.tree.map_structure(lambda leaf: ops.take(leaf, taken, axis=0), kept)
        if end is not None:
            ended = ops.logical_or(ops.take_along_axis(ended, parents, axis=1), ops.equal(tokens, end))
        return (tokens, scores, ended, kept), (parents, tokens)

    def back(place: Any, given: Any) -> Any:
        parents, tokens = given
        return ops.take_along_axis(parents, place, axis=1), ops.take_along_axis(tokens, place, axis=1)

    begun = ops.where(ops.equal(places, 0), 0.0, NEVER)
    tokens = ops.add(ops.expand_dims(first, 1), ops.multiply(places, 0))
    many = uf.tree.map_structure(lambda leaf: ops.repeat(leaf, width, axis=0), state)
    positions = ops.add(ops.arange(length, dtype="int32", like=first), start)
    carry, (parents, chosen) = ops.scan(body, (tokens, begun, ops.less(places, 0), many), positions)
    _, chosen = ops.scan(back, places, (parents, chosen), reverse=True)
    sequences, scores = ops.transpose(chosen, (1, 2, 0)), carry[1]
    if alpha and end is not None:
        going = ops.cast(ops.not_equal(sequences, end), "int32")
        count = ops.minimum(ops.add(ops.sum(going, axis=-1), 1), length)
        penalty = ops.power(ops.divide(ops.add(ops.cast(count, "float32"), 5.0), 6.0), alpha)
        scores, order = ops.top_k(ops.maximum(ops.divide(scores, penalty), NEVER), width)
        sequences = ops.take_along_axis(sequences, ops.expand_dims(order, -1), axis=1)
    return sequences, scores


def best(
    step: Step, source: Any, state: Any, length: int, *, start: int, end: int, width: int, alpha: float
) -> Any:
    """The best sequence that `beam_search` finds for each row of ``source``, behind the token ``start``.

    Returns int32 ``[batch, length]``.
    """
    first = ops.add(ops.multiply(ops.cast(source[:, 0], "int32"), 0), start)
    return beam_search(step, first, state, length, width=width, end=end, alpha=alpha)[0][:, 0]
