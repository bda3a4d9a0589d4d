"""Attention with few weights: the scores of queries and keys weigh values."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal, Unpack

from unifront import ops
from unifront.arguments import Fraction, checked
from unifront.errors import ArgumentError
from unifront.layers.arguments import LayerOptions, Seed
from unifront.layers.building import feature_size
from unifront.layers.layer import Layer
from unifront.opset.tensor import type_of


class Attention(Layer):
    """Luong's attention: ``softmax(query · keyᵀ) · value`` (Luong et al. 2015).

    Call it on ``[query, value]`` or ``[query, value, key]``: ``(batch, target, size)`` and ``(batch, source, size)``;
    with ``return_attention_scores`` it gives the weights ``(batch, target, source)`` too, and with ``use_causal_mask``
    a target sees only sources up to its own place. ``mask`` is a list of a mask for the queries, whose results are
    zero where it is false, and one for the values, which do not count there; either may be None.

    Args:
        use_scale: whether a learnt number, ``scale``, multiplies the scores.
        score_mode: ``"dot"``, or ``"concat"`` for the sum of ``tanh(query + key)``, times a learnt number.
        dropout: the share of the weights that is dropped while training, in [0, 1].
        seed: gives this layer a stream of its own.
    """

    supports_masking = True

    @checked
    def __init__(
        self,
        use_scale: bool = False,
        score_mode: Literal["dot", "concat"] = "dot",
        dropout: Fraction = 0.0,
        seed: Seed = None,
        **options: Unpack[LayerOptions],
    ) -> None:
        super().__init__(**options)
        self.use_scale, self.score_mode, self.dropout, self.seed = use_scale, score_mode, dropout, seed
        self.scale: Any = None
        self.concat_score_weight: Any = None

    def build(self, shape: Any) -> None:
        self._check(shape)
        if self.use_scale:
            self.scale = self.add_weight((), "ones", name="scale")
        if self.score_mode == "concat":
            self.concat_score_weight = self.add_weight((), "ones", name="concat_score_weight")

    def _check(self, inputs: Any, mask: Any = None) -> None:
        name = type(self).__name__
        if not isinstance(inputs, list):
            raise ArgumentError(
                f"{name} layer must be called on a list of inputs, namely [query, value] or [query, value, key]. "
                f"Received: inputs={inputs}."
            )
        if not 2 <= len(inputs) <= 3:
            raise ArgumentError(
                f"{name} layer accepts inputs list of length 2 or 3, namely [query, value] or [query, value, key]. "
                f"Received length: {len(inputs)}."
            )
        if mask is not None and not isinstance(mask, list):
            raise ArgumentError(
                f"{name} layer mask must be a list, namely [query_mask, value_mask]. Received: mask={mask}."
            )
        if mask is not None and not 2 <= len(mask) <= 3:
            raise ArgumentError(f"{name} layer accepts mask list of length 2 or 3. Received: mask={mask}.")

    def scores(self, query: Any, key: Any) -> Any:
        """How much each source says to each target, ``(batch, target, source)``."""
        if self.score_mode == "dot":
            products = ops.matmul(query, ops.swapaxes(key, -2, -1))
            return products if self.scale is None else ops.multiply(products, self.scale)
        pairs = ops.add(ops.expand_dims(query, -2), ops.expand_dims(key, -3))
        pairs = pairs if self.scale is None else ops.multiply(pairs, self.scale)
        return ops.multiply(ops.sum(ops.tanh(pairs), -1), self.concat_score_weight)

    def call(
        self,
        inputs: Any,
        mask: Any = None,
        training: bool = False,
        return_attention_scores: bool = False,
        use_causal_mask: bool = False,
    ) -> Any:
        self._check(inputs, mask)
        query, value, *rest = inputs
        query_mask, value_mask = mask[:2] if mask else (None, None)
        scores = self.scores(query, rest[0] if rest else value)
        counts = None if value_mask is None else ops.expand_dims(ops.cast(value_mask, "bool"), -2)
        if use_causal_mask:
            earlier = causal_mask(scores)
            counts = earlier if counts is None else ops.logical_and(counts, earlier)
        if counts is not None:  # less, not replaced: of a row without any, the scores decide as in Keras
            far = 65504.0 if type_of(scores).dtype.name == "float16" else 1e9
            scores = ops.where(counts, scores, ops.subtract(scores, far))
        weights = ops.softmax(scores, -1)
        kept = weights
        if training and self.dropout:
            kept = ops.dropout(weights, self.random_key(self.seed), rate=self.dropout)
        result = ops.matmul(kept, value)
        if query_mask is not None:
            result = ops.where(
                ops.expand_dims(ops.cast(query_mask, "bool"), -1), result, ops.zeros_like(result)
            )
        return (result, kept) if return_attention_scores else result

    def compute_mask(self, inputs: Any, mask: Any = None) -> Any:
        return mask[0] if isinstance(mask, Sequence) else None


def causal_mask(scores: Any) -> Any:
    """Whether a source is not after the target, for ``scores[…, target, source]``: ``(target, source)``."""
    shape = type_of(scores).shape[-2:]
    rows, columns = (ops.iota(shape, axis, "int32", like=scores) for axis in (0, 1))
    return ops.greater_equal(rows, columns)


class AdditiveAttention(Attention):
    """Bahdanau's attention: the scores are the sum of ``scale * tanh(query + key)`` (Bahdanau et al. 2015).

    It is called as `Attention` is.

    Args:
        use_scale: whether there is a learnt ``scale[size]``.
        dropout: the share of the weights that is dropped while training, in [0, 1].
    """

    @checked
    def __init__(
        self,
        use_scale: bool = True,
        dropout: Fraction = 0.0,
        *,
        seed: Seed = None,
        **options: Unpack[LayerOptions],
    ) -> None:
        super().__init__(use_scale=use_scale, dropout=dropout, seed=seed, **options)

    def build(self, shape: Any) -> None:
        self._check(shape)
        if self.use_scale:
            self.scale = self.add_weight((feature_size(shape[0]),), name="scale")

    def scores(self, query: Any, key: Any) -> Any:
        """How much each source says to each target, ``(batch, target, source)``."""
        pairs = ops.tanh(ops.add(ops.expand_dims(query, -2), ops.expand_dims(key, -3)))
        return ops.sum(pairs if self.scale is None else ops.multiply(pairs, self.scale), -1)
