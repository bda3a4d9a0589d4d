"""A bidirectional LSTM under a conditional random field, which tags the words of a sentence (Huang et al. 2015).

The model gives the field's potentials: ``potentials[b, t, i, j]`` is what tag ``j`` at ``t`` behind tag ``i`` at
``t - 1`` adds to the score of a sequence of tags (at 0 all ``i`` are alike). `crf_loss` and `viterbi` need no more.
"""

from typing import Any

import unifront as uf
from unifront import layers, ops


class Transitions(uf.Layer):
    """What each tag and the change to it from the tag before are worth: ``[batch, time, tags]`` → ``[…, tags, tags]``.

    Its weights are ``transitions[from, to]`` and ``start[tags]``.
    """

    def build(self, shape: Any) -> None:
        tags = shape[-1]
        self.transitions = self.add_weight((tags, tags), "glorot_uniform", name="transitions")
        self.start = self.add_weight((tags,), "zeros", name="start")

    def call(self, emissions: Any) -> Any:
        time, tags = ops.shape(emissions)[1:]
        first = ops.equal(ops.iota((time, 1, 1), 0, "int32", like=emissions), 0)
        start = ops.broadcast_to(self.start, (tags, tags))
        return ops.add(ops.expand_dims(emissions, 2), ops.where(first, start, self.transitions))


@uf.zoo.register("bilstm_crf", source="Huang et al. 2015; Lafferty et al. 2001")
def bilstm_crf(
    words: int = 20_000, tags: int = 9, embedding: int = 100, units: int = 100, dropout: float = 0.5
) -> uf.Model:
    """A BiLSTM-CRF: word numbers ``[batch, time]``, padded with 0 → potentials ``[batch, time, tags, tags]``.

    2.2 M parameters with the default 9 tags (CoNLL 2003's), 2.0 M of them the embedding; 0.2 M multiply-adds a word.
    Train it with ``loss=tagger.crf_loss``, whose labels are -1 where there is padding; `viterbi` finds the tags.
    """
    text = uf.Input(("time",), name="words", dtype="int32")
    x = layers.Embedding(words, embedding, mask_zero=True, name="embedding")(text)
    x = layers.Dropout(dropout, name="dropout")(x)
    x = layers.Bidirectional(layers.LSTM(units, return_sequences=True), name="bilstm")(x)
    x = layers.Dense(tags, name="emissions")(x)
    return uf.Model(text, Transitions(name="transitions")(x), name="bilstm_crf")


def _steps(potentials: Any, counts: Any) -> tuple[Any, Any]:
    """What later steps add, and whether they count: with time first, as `scan` goes."""
    return ops.transpose(potentials[:, 1:], (1, 0, 2, 3)), ops.transpose(counts[:, 1:])


def log_partition(potentials: Any, counts: Any) -> Any:
    """The logarithm of the sum of ``exp(score)`` over all sequences of tags, ``[batch]``, by the forward algorithm.

    Args:
        potentials: ``[batch, time, tags, tags]``.
        counts: booleans ``[batch, time]``, false where there is padding, which is at the end.
    """

    def step(alpha: Any, given: Any) -> tuple[Any, Any]:
        potential, counted = given
        new = ops.logsumexp(ops.add(ops.expand_dims(alpha, 2), potential), axis=1)
        return ops.where(ops.expand_dims(counted, 1), new, alpha), None

    alpha = potentials[:, 0, 0]
    if ops.shape(potentials)[1] != 1:
        alpha, _ = ops.scan(step, alpha, _steps(potentials, counts))
    return ops.logsumexp(alpha, axis=-1)


def score(potentials: Any, tags: Any, counts: Any) -> Any:
    """The score of the sequences ``tags[batch, time]``, ``[batch]``; arguments as of `log_partition`."""
    tags = ops.cast(ops.maximum(tags, 0), "int32")
    before = ops.concatenate([tags[:, :1], tags[:, :-1]], axis=1)
    rows = ops.take_along_axis(potentials, ops.expand_dims(before, (2, 3)), axis=2)[:, :, 0]
    added = ops.take_along_axis(rows, ops.expand_dims(tags, 2), axis=2)[:, :, 0]
    return ops.sum(ops.where(counts, added, ops.zeros_like(added)), axis=1)


def crf_loss(tags: Any, potentials: Any) -> Any:
    """Minus the log-likelihood of each sentence's tags, ``[batch]``: a loss for ``compile``.

    Args:
        tags: integers ``[batch, time]``, -1 where there is padding, which is at the end; a sentence of nothing else
            has the loss 0.
        potentials: what the model gives.
    """
    counts = ops.greater_equal(tags, 0)
    loss = ops.subtract(log_partition(potentials, counts), score(potentials, tags, counts))
    return ops.where(counts[:, 0], loss, ops.zeros_like(loss))


def viterbi(potentials: Any, counts: Any = None) -> tuple[Any, Any]:
    """The tags of the highest score, int32 ``[batch, time]``, and that score, ``[batch]`` (Viterbi 1967).

    Args:
        potentials: ``[batch, time, tags, tags]``.
        counts: as of `log_partition`; all words count unless given. Tags of padding are -1.
    """
    time = ops.shape(potentials)[1]
    if counts is None:
        counts = ops.greater_equal(ops.argmax(potentials[:, :, 0], axis=-1), 0)
    best = potentials[:, 0, 0]
    if time == 1:
        tags = ops.cast(ops.argmax(best, axis=-1, keepdims=True), "int32")
        return ops.where(counts, tags, -1), ops.max(best, axis=-1)
    same = ops.cast(
        ops.add(ops.zeros_like(best), ops.arange(ops.shape(best)[1], dtype="int32", like=best)), "int32"
    )

    def step(best: Any, given: Any) -> tuple[Any, Any]:
        potential, counted = given
        total = ops.add(ops.expand_dims(best, 2), potential)
        counted = ops.expand_dims(counted, 1)
        back = ops.where(counted, ops.cast(ops.argmax(total, axis=1), "int32"), same)
        return ops.where(counted, ops.max(total, axis=1), best), back

    def follow(tag: Any, back: Any) -> tuple[Any, Any]:
        return ops.take_along_axis(back, tag, axis=1), tag

    best, back = ops.scan(step, best, _steps(potentials, counts))
    last = ops.cast(ops.argmax(best, axis=-1, keepdims=True), "int32")
    first, later = ops.scan(follow, last, back, reverse=True)
    tags = ops.concatenate([first, ops.transpose(later[:, :, 0])], axis=1)
    return ops.where(counts, tags, -1), ops.max(best, axis=-1)
