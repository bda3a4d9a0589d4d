"""Embedding that also leads back from vectors to indices."""

from __future__ import annotations

from typing import Annotated, Any, Unpack

from unifront import ops
from unifront.arguments import Size, checked, within
from unifront.errors import NotQuantizable
from unifront.layers.arguments import Constraint, DTypeName, LayerOptions
from unifront.layers.core import Embedding
from unifront.layers.initializers import InitializerLike
from unifront.layers.regularizers import RegularizerLike
from unifront.quantizers import AbsMaxQuantizer, QuantizationConfig
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

    reverse_embeddings_scale: Any

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
        logits = self._logits(inputs) if self.quantization_mode is None else self._quantized_logits(inputs)
        if self.logit_soft_cap is None:
            return logits
        return ops.multiply(ops.tanh(ops.divide(logits, self.logit_soft_cap)), self.logit_soft_cap)

    def _logits(self, inputs: Any) -> Any:
        kernel = ops.transpose(self.adapted(self.embeddings)) if self.tie_weights else self.reverse_embeddings
        dtype = self.reverse_dtype or self.compute_dtype
        return ops.matmul(ops.cast(inputs, dtype), ops.cast(kernel, dtype))

    # ------------------------------------------------------------ quantized

    def _quantized_logits(self, inputs: Any) -> Any:
        if self.tie_weights:
            return self.quantized_product(
                inputs,
                lambda x, rows: ops.matmul(x, ops.transpose(rows)),
                lambda up, rows: ops.matmul(up, rows),
            )
        return self.quantized_product(
            inputs, ops.matmul, lambda up, kernel: ops.matmul(up, ops.transpose(kernel)),
            weight=(self.reverse_embeddings, self.reverse_embeddings_scale),
        )  # fmt: skip

    def quantized_axes(self) -> tuple[int, ...]:
        return (-1,)

    def _quantize(self, config: QuantizationConfig, told: Any = ...) -> None:
        if not self.tie_weights and config.mode != "int8":
            raise NotQuantizable(f"{self.name}: without tie_weights it is quantized to 'int8' only.")
        super()._quantize(config, told)
        if not self.tie_weights:
            quantizer = config.weight_quantizer or AbsMaxQuantizer(axis=0)
            values, scale = quantizer(self.reverse_embeddings, axis=0, to_numpy=True)
            made = {"reverse_embeddings": values, "reverse_embeddings_scale": scale[0]}
            self._replace(self.reverse_embeddings, made)

    def compute_mask(self, inputs: Any, mask: Any = None) -> Any:
        return None  # `call` sets it, which knows the way
