"""Embedding that also leads back from vectors to indices."""

from __future__ import annotations

from typing import Annotated, Any, Unpack

from unifront import ops
from unifront.arguments import Real, Size, checked, within
from unifront.layers.arguments import Constraint, DTypeName, LayerOptions
from unifront.layers.core import Embedding
from unifront.layers.initializers import InitializerLike
from unifront.layers.quantized import INT4
from unifront.layers.regularizers import RegularizerLike
from unifront.quantizers import (
    AbsMaxQuantizer,
    QuantizationConfig,
    abs_max_quantize_grouped_with_zero_point,
    dequantize_with_sz_map,
    pack_int4,
    unpack_int4,
)
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
    reverse_embeddings_zero: Any

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
        *,
        weights: Any = None,
        lora_rank: Size | None = None,
        lora_alpha: Real | None = None,
        quantization_config: Any = None,
        **options: Unpack[LayerOptions],
    ) -> None:
        super().__init__(
            input_dim, output_dim, embeddings_initializer, embeddings_regularizer, embeddings_constraint,
            mask_zero, weights, lora_rank, lora_alpha, quantization_config, **options,
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
        integers = self.reverse_embeddings
        if self.quantization_mode == "int4":
            integers = unpack_int4(integers, self.output_dim, axis=0)
        if self._block_size is not None:
            scales = (
                ops.cast(self.reverse_embeddings_scale, self.compute_dtype),
                self.reverse_embeddings_zero,
            )
            kernel = dequantize_with_sz_map(
                ops.cast(integers, self.compute_dtype), *scales, self.g_idx, group_axis=0
            )
            return ops.matmul(inputs, kernel)
        if self.inputs_quantizer is None:
            kernel = ops.divide(ops.cast(integers, self.compute_dtype), self.reverse_embeddings_scale)
            return ops.matmul(inputs, kernel)
        return self.quantized_product(
            inputs, ops.matmul, lambda up, kernel: ops.matmul(up, ops.transpose(kernel)),
            weight=(integers, self.reverse_embeddings_scale),
        )  # fmt: skip

    def quantized_axes(self) -> tuple[int, ...]:
        return (-1,)

    def _quantize(self, config: QuantizationConfig, told: Any = ...) -> None:
        super()._quantize(config, told)
        if self.tie_weights:
            return
        whole, name = self.reverse_embeddings, "reverse_embeddings"
        if config.mode == "int8":
            values, scale = (config.weight_quantizer or AbsMaxQuantizer())(whole, axis=0, to_numpy=True)
            made = {name: values, f"{name}_scale": scale[0]}
        elif self._block_size is None:
            quantizer = config.weight_quantizer or AbsMaxQuantizer(value_range=INT4)
            values, scale = quantizer(whole, axis=0, to_numpy=True)
            made = {name: pack_int4(values, axis=0)[0], f"{name}_scale": scale[0]}
        else:
            values, scale, zero = abs_max_quantize_grouped_with_zero_point(
                whole, self._block_size, to_numpy=True
            )
            packed = pack_int4(values, axis=0)[0]
            made = {name: packed, f"{name}_scale": scale, f"{name}_zero": zero.astype(scale.dtype)}
        self._replace(whole, made)

    def compute_mask(self, inputs: Any, mask: Any = None) -> Any:
        return None  # `call` sets it, which knows the way
