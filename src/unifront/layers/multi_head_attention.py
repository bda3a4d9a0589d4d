"""Attention of many heads, each with projections of its own."""

from __future__ import annotations

from collections.abc import Sequence
from string import ascii_letters
from typing import Any, Unpack

from unifront import ops
from unifront.arguments import Share, Size, checked
from unifront.errors import ArgumentError, ShapeError
from unifront.layers.activations import masked_softmax
from unifront.layers.arguments import Axes, Constraint, Options, Seed
from unifront.layers.einsum_dense import EinsumDense
from unifront.layers.initializers import InitializerLike
from unifront.layers.layer import Layer
from unifront.layers.regularizers import RegularizerLike
from unifront.opset.rules import axes_in, show
from unifront.opset.tensor import type_of
from unifront.trace import current_context


class _Heads(Layer):
    """What attention of many heads shares: projections, masks, and the way without a fused kernel."""

    supports_masking = True
    heads: int
    source_heads: int
    key_size: int
    value_size: int
    dropout: float
    seed: int | None
    sliding_window: int | None
    use_bias: bool
    use_gate: bool
    flash_attention: bool | None
    attention_axes: tuple[int, ...] = (1,)
    gate_dense: Any = None

    def keep(self, flash_attention: Any, dropout: Any, sliding_window: Any, weights: dict[str, Any]) -> None:
        """Keep arguments that the layers have in common."""
        if flash_attention and dropout:
            raise ArgumentError(
                "Dropout is not supported when flash attention is enabled. Please set dropout to 0.0 to use flash "
                "attention."
            )
        self.flash_attention, self.dropout, self.sliding_window = flash_attention, dropout, sliding_window
        self._weight_options = weights

    def __call__(self, *args: Any, training: bool | None = None, **kwargs: Any) -> Any:
        for name in ("query", "value", "key")[len(args) :]:  # in their places, where `build` looks for shapes
            if kwargs.get(name) is not None:
                args = (*args, kwargs.pop(name))
        return super().__call__(*args, training=training, **kwargs)

    def project(self, name: str, shape: Any, inner: int, sizes: Sequence[int], **options: Any) -> EinsumDense:
        """A built dense layer from the last ``inner`` axes of an input of ``shape`` to ``sizes``."""
        rank = len(shape)
        kept, summed = ascii_letters[: rank - inner], ascii_letters[rank - inner : rank]
        new = ascii_letters[rank : rank + len(sizes)]
        layer = EinsumDense(
            f"{kept}{summed},{summed}{new}->{kept}{new}",
            output_shape=(*(None,) * (rank - inner - 1), *sizes),
            bias_axes=new if self.use_bias else None,
            name=name, dtype=self.dtype_policy, **self._weight_options, **options,
        )  # fmt: skip
        layer.build(shape)
        return layer

    def build_projections(self, query: Any, value: Any, key: Any, output: Sequence[int]) -> None:
        """Make the layers that Keras makes, in its order."""
        self.query_dense = self.project("query", query, 1, (self.heads, self.key_size))
        self.key_dense = self.project("key", key, 1, (self.source_heads, self.key_size))
        if self.use_gate:
            gate = (self.heads, self.value_size)
            self.gate_dense = self.project("gate", query, 1, gate, activation="sigmoid")
        self.value_dense = self.project("value", value, 1, (self.source_heads, self.value_size))
        self.output_dense = self.project(
            "attention_output", (*query[:-1], self.heads, self.value_size), 2, output
        )

    def call(
        self,
        query: Any,
        value: Any,
        key: Any = None,
        query_mask: Any = None,
        value_mask: Any = None,
        key_mask: Any = None,
        attention_mask: Any = None,
        return_attention_scores: bool = False,
        training: bool = False,
        use_causal_mask: bool = False,
    ) -> Any:
        if self.flash_attention and return_attention_scores:
            raise ArgumentError(
                "Returning attention scores is not supported when flash attention is enabled. Please disable flash "
                "attention to access attention scores."
            )
        mask = self._mask(
            query, value,
            (query_mask if query_mask is not None else _mask_of(query), -1),
            (value_mask if value_mask is not None else _mask_of(value), -2),
            (key_mask if key_mask is not None else _mask_of(key), -2),
            attention_mask,
        )  # fmt: skip
        gate = None if self.gate_dense is None else self.gate_dense(query)
        heads = self.query_dense(query)
        keys, values = self.key_dense(value if key is None else key), self.value_dense(value)
        scores = None
        if return_attention_scores or self.dropout or type_of(heads).rank != 4:
            result, scores = self._step_by_step(heads, keys, values, mask, training, use_causal_mask)
        else:
            if mask is not None and type_of(mask).rank == 3:
                mask = ops.expand_dims(mask, 1)
            result = ops.dot_product_attention(
                heads, keys, values, mask=mask, scale=self.key_size**-0.5, is_causal=use_causal_mask,
                flash_attention=self.flash_attention,
            )  # fmt: skip
        result = self.output_dense(result if gate is None else ops.multiply(result, gate))
        return (result, scores) if return_attention_scores else result

    def _mask(self, query: Any, value: Any, *given: Any) -> Any:
        """Which pairs count, ``(batch, target, source)``, but for causality; None if all do."""
        *of_inputs, attention_mask = given
        found = [] if attention_mask is None else [ops.cast(attention_mask, "bool")]
        found += [
            ops.expand_dims(ops.cast(mask, "bool"), axis) for mask, axis in of_inputs if mask is not None
        ]
        if self.sliding_window is not None:
            shape = (type_of(query).shape[1], type_of(value).shape[1])
            rows, columns = (ops.iota(shape, axis, "int32", like=query) for axis in (0, 1))
            near = ops.less(ops.abs(ops.subtract(rows, columns)), self.sliding_window)
            found.append(ops.expand_dims(near, 0))
        total = None
        for one in found:
            total = one if total is None else ops.logical_and(total, one)
        return total

    def _step_by_step(
        self, query: Any, key: Any, value: Any, mask: Any, training: bool, causal: bool
    ) -> tuple[Any, Any]:
        """The result and the weights of each pair, by products and a softmax of their own."""
        if self.source_heads != self.heads:
            key, value = (ops.repeat(one, self.heads // self.source_heads, 2) for one in (key, value))
        score_equation, result_equation, spread = _equations(type_of(query).rank, self.attention_axes)
        count = len(self.attention_axes)
        scores = ops.einsum(score_equation, ops.multiply(query, self.key_size**-0.5), key)
        if causal:
            shape = (type_of(query).shape[1], type_of(value).shape[1])
            rows, columns = (ops.iota(shape, axis, "int32", like=query) for axis in (0, 1))
            earlier = ops.greater_equal(rows, columns)
            mask = earlier if mask is None else ops.logical_and(mask, earlier)
        if mask is not None:
            for _ in range(spread - type_of(mask).rank):  # the heads
                mask = ops.expand_dims(mask, -2 * count - 1 if type_of(mask).rank > 2 * count else 0)
        weights = masked_softmax(scores, mask, tuple(range(-count, 0)))
        kept = weights
        if training and self.dropout:
            kept = ops.dropout(weights, self.random_key(self.seed), rate=self.dropout)
        return ops.einsum(result_equation, kept, value), weights


def _mask_of(tensor: Any) -> Any:
    context = current_context()
    return None if context is None or tensor is None else context.mask_of(tensor)


def _equations(rank: int, axes: tuple[int, ...]) -> tuple[str, str, int]:
    """Of queries and keys to scores, and of scores and values to results; the rank of scores.

    The last two axes are heads and features. Scores have what is not attended, then the targets, then the sources.
    """
    target = ascii_letters[:rank]
    source = "".join(ascii_letters[rank + i] if i in axes else label for i, label in enumerate(target))
    batch = "".join(label for i, label in enumerate(target[:-1]) if i not in axes)
    scores = batch + "".join(target[i] for i in axes) + "".join(source[i] for i in axes)
    new = ascii_letters[2 * rank]  # the features of values, which may be others
    return (
        f"{target},{source}->{scores}", f"{scores},{source[:-1]}{new}->{target[:-1]}{new}", len(scores),
    )  # fmt: skip


class MultiHeadAttention(_Heads):
    """Attention of many heads (Vaswani et al. 2017): call it on ``query, value`` and perhaps ``key``.

    The query is ``(batch, target, size)``, value and key (the value unless given) ``(batch, source, size)``. The call
    takes ``attention_mask[batch, target, source]`` (or what broadcasts to it with an axis of heads, or without a
    batch), true where a pair counts, ``use_causal_mask``, by which a target sees only sources up to its own place, and
    ``return_attention_scores``, which gives the weights of the pairs too. Masks of the inputs are heeded, and that of
    the query passes on.

    Args:
        num_heads: how many heads.
        key_dim: the size of a head's queries and keys.
        value_dim: of its values; ``key_dim`` unless given.
        dropout: the share of the weights that is dropped while training, in [0, 1).
        use_bias: whether the projections have one.
        output_shape: the size or sizes of the result's last axes; those of the query unless given.
        attention_axes: the axes that are attended, of inputs with more than one; all of them unless given.
        sliding_window: how many places (itself among them) a target sees to either side; None for all.
        flash_attention: a wish; no number changes by it.
        kernel_initializer, bias_initializer, kernel_regularizer, bias_regularizer: of all projections.
        use_gate: whether the heads' results are multiplied by ``sigmoid`` of one more projection of the query.
        seed: gives this layer a stream of its own.

    The weights are those of the layers ``query``, ``key``, perhaps ``gate``, ``value`` and ``attention_output``.

    Example::

        x = uf.Input((None, 32))
        y = layers.MultiHeadAttention(4, 8)(x, x, use_causal_mask=True)
    """

    @checked
    def __init__(
        self,
        num_heads: Size,
        key_dim: Size,
        value_dim: Size | None = None,
        dropout: Share = 0.0,
        use_bias: bool = True,
        output_shape: Size | Sequence[Size] | None = None,
        attention_axes: Axes | None = None,
        sliding_window: Size | None = None,
        flash_attention: bool | None = None,
        kernel_initializer: InitializerLike = "glorot_uniform",
        bias_initializer: InitializerLike = "zeros",
        kernel_regularizer: RegularizerLike = None,
        bias_regularizer: RegularizerLike = None,
        activity_regularizer: RegularizerLike = None,
        kernel_constraint: Constraint = None,
        bias_constraint: Constraint = None,
        use_gate: bool = False,
        seed: Seed = None,
        **options: Unpack[Options],
    ) -> None:
        super().__init__(activity_regularizer=activity_regularizer, **options)
        self.heads = self.source_heads = self.num_heads = num_heads
        self.key_size = self.key_dim = key_dim
        self.value_size = self.value_dim = value_dim or key_dim
        self.use_bias, self.use_gate, self.seed = use_bias, use_gate, seed
        self.output_sizes = (output_shape,) if isinstance(output_shape, int) else output_shape
        self._axes_given = (attention_axes,) if isinstance(attention_axes, int) else attention_axes
        weights = {
            "kernel_initializer": kernel_initializer, "bias_initializer": bias_initializer,
            "kernel_regularizer": kernel_regularizer, "bias_regularizer": bias_regularizer,
            "kernel_constraint": kernel_constraint, "bias_constraint": bias_constraint,
        }  # fmt: skip
        self.keep(flash_attention, dropout, sliding_window, weights)

    def build(self, query_shape: Any, value_shape: Any, key_shape: Any = None) -> None:
        key_shape = value_shape if key_shape is None else key_shape
        if tuple(value_shape[1:-1]) != tuple(key_shape[1:-1]):
            raise ShapeError(
                "All dimensions of `value` and `key`, except the last one, must be equal. Received: "
                f"value_shape={show(value_shape)} and key_shape={show(key_shape)}"
            )
        rank = len(query_shape)
        axes = self._axes_given
        self.attention_axes = axes_in(range(1, rank - 1) if axes is None else axes, rank)
        output = self.output_sizes or (query_shape[-1],)
        self.build_projections(query_shape, value_shape, key_shape, output)


class GroupQueryAttention(_Heads):
    """Attention of many heads of which several share keys and values (Ainslie et al. 2023).

    It is called as `MultiHeadAttention` is.

    Args:
        head_dim: the size of a head.
        num_query_heads: how many heads the queries have.
        num_key_value_heads: how many the keys and values have; it divides that of the queries.

    The other arguments are those of `MultiHeadAttention`.
    """

    @checked
    def __init__(
        self,
        head_dim: Size,
        num_query_heads: Size,
        num_key_value_heads: Size,
        dropout: Share = 0.0,
        use_bias: bool = True,
        sliding_window: Size | None = None,
        flash_attention: bool | None = None,
        kernel_initializer: InitializerLike = "glorot_uniform",
        bias_initializer: InitializerLike = "zeros",
        kernel_regularizer: RegularizerLike = None,
        bias_regularizer: RegularizerLike = None,
        activity_regularizer: RegularizerLike = None,
        kernel_constraint: Constraint = None,
        bias_constraint: Constraint = None,
        use_gate: bool = False,
        seed: Seed = None,
        **options: Unpack[Options],
    ) -> None:
        super().__init__(activity_regularizer=activity_regularizer, **options)
        if num_query_heads % num_key_value_heads:
            raise ArgumentError(
                "`num_query_heads` must be divisible by `num_key_value_heads`: given were "
                f"{num_query_heads} and {num_key_value_heads}."
            )
        self.head_dim = self.key_size = self.value_size = head_dim
        self.num_query_heads = self.heads = num_query_heads
        self.num_key_value_heads = self.source_heads = num_key_value_heads
        self.use_bias, self.use_gate, self.seed = use_bias, use_gate, seed
        weights = {
            "kernel_initializer": kernel_initializer, "bias_initializer": bias_initializer,
            "kernel_regularizer": kernel_regularizer, "bias_regularizer": bias_regularizer,
            "kernel_constraint": kernel_constraint, "bias_constraint": bias_constraint,
        }  # fmt: skip
        self.keep(flash_attention, dropout, sliding_window, weights)

    def build(self, query_shape: Any, value_shape: Any, key_shape: Any = None) -> None:
        key_shape = value_shape if key_shape is None else key_shape
        self.build_projections(query_shape, value_shape, key_shape, (query_shape[-1],))
