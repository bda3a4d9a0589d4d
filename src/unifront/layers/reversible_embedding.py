"""Embedding that also leads back from vectors to indices."""

from __future__ import annotations

from typing import Annotated, Any, Unpack

from unifront import ops
from unifront.arguments import Size, checked, within
from unifront.layers.arguments import Constraint, DTypeName, LayerOptions
from unifront.layers.core import Embedding
from unifront.layers.initializers import InitializerLike
from unifront.layers.regularizers import RegularizerLike
from unifront.trace import current_context

Cap = Annotated[float, within("(0, inf]")]


class ReversibleEmbedding(Embedding):
    """`Embedding`, and with ``reverse=True`` the logits of the indices: ``[..., output_dim]`` → ``[..., input_dim]``.

    Args:
        tie_weights: whether the way back uses the same vectors; else it has ``reverse_embeddings[output_dim,
            input_dim]``.
        reverse_dtype: in which the logits are computed; None for the layer's.
        logit_soft_cap: what limits the logits, ``cap * tanh(logits / cap)``; None for no limit.

    The other arguments are those of `Embedding`. Source: ``keras.layers.ReversibleEmbedding``.

    Example::

        embedding = layers.ReversibleEmbedding(100, 8)
        logits = embedding(embedding(np.array([[3, 1]])), reverse=True)  # [1, 2, 100]
    """

    @checked
    def __init__(
        self,
        input_dim: Size,
        output_dim: Size,
        tie_weights: bool = True,
        embeddings_initializer: InitializerLike = "uniform",
        embeddings_regularizer: RegularizerLike = None,
        embeddings_constraint: Constraint = None,
        mask_zero: bool = False,
        reverse_dtype: DTypeName = None,
        logit_soft_cap: Cap | None = None,
        weights: Any = None,
        **options: Unpack[LayerOptions],
    ) -> None:
        super().__init__(
            input_dim, output_dim, embeddings_initializer, embeddings_regularizer, embeddings_constraint,
            mask_zero, weights, **options,
        )  # fmt: skip
        self.tie_weights, self.reverse_dtype, self.logit_soft_cap = tie_weights, reverse_dtype, logit_soft_cap

    def build(self, shape: Any = None) -> None:
        super().build(shape)
        if not self.tie_weights:
            self.reverse_embeddings = self.add_weight(
                (self.output_dim, self.input_dim),
                vars(self)["embeddings_initializer"],
                name="reverse_embeddings",
            )

    def call(self, inputs: Any, reverse: bool = False) -> Any:
        if not reverse:
            vectors = super().call(inputs)
            context = current_context()
            if self.mask_zero and context is not None:
                context.set_mask(vectors, ops.not_equal(inputs, 0))
            return vectors
        kernel = ops.transpose(self.adapted(self.embeddings)) if self.tie_weights else self.reverse_embeddings
        dtype = self.reverse_dtype or self.compute_dtype
        logits = ops.matmul(ops.cast(inputs, dtype), ops.cast(kernel, dtype))
        if self.logit_soft_cap is None:
            return logits
        return ops.multiply(ops.tanh(ops.divide(logits, self.logit_soft_cap)), self.logit_soft_cap)

    def compute_mask(self, inputs: Any, mask: Any = None) -> Any:
        return None  # `call` sets it, which knows the way
