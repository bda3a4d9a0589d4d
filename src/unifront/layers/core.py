"""Dense, Embedding, and layers that only move numbers about."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from unifront import ops
from unifront.errors import ArgumentError
from unifront.layers import activations
from unifront.layers.layer import Layer, feature_size
from unifront.ops.tensor import type_of


class Dense(Layer):
    """``activation(x @ kernel + bias)`` over the last axis: ``[..., in]`` → ``[..., units]``.

    Args:
        units: size of the output's last axis.
        activation: a name or callable; None for none.
        use_bias: whether there is a ``bias[units]`` beside the ``kernel[in, units]``.
        kernel_initializer, bias_initializer: see `unifront.layers.initializers`.
        kernel_regularizer, bias_regularizer, activity_regularizer: see `unifront.layers.regularizers`.

    Raises `NotBuiltError` if the size of the input's last axis is free.
    """

    supports_masking = True

    def __init__(
        self,
        units: int,
        activation: Any = None,
        use_bias: bool = True,
        kernel_initializer: Any = "glorot_uniform",
        bias_initializer: Any = "zeros",
        kernel_regularizer: Any = None,
        bias_regularizer: Any = None,
        **options: Any,
    ) -> None:
        super().__init__(**options)
        self.units = positive("Dense", "units", units)
        self.activation = activations.get(activation)
        self.use_bias = use_bias
        self.kernel_initializer, self.bias_initializer = kernel_initializer, bias_initializer
        self.kernel_regularizer, self.bias_regularizer = kernel_regularizer, bias_regularizer

    def build(self, shape: Any) -> None:
        size = feature_size(shape)
        self.kernel = self.add_weight(
            (size, self.units), self.kernel_initializer, name="kernel", regularizer=self.kernel_regularizer
        )
        self.bias = None
        if self.use_bias:
            self.bias = self.add_weight(
                (self.units,), self.bias_initializer, name="bias", regularizer=self.bias_regularizer
            )

    def call(self, x: Any) -> Any:
        return self.activation(ops.dense(x, self.kernel, self.bias))


class Flatten(Layer):
    """``[batch, ...]`` → ``[batch, product]``.

    Args:
        data_format: with ``"channels_first"`` the channels are moved last first, as Keras does.
    """

    def __init__(self, data_format: str | None = None, **options: Any) -> None:
        super().__init__(**options)
        self.data_format = data_format or "channels_last"

    def call(self, x: Any) -> Any:
        rank = type_of(x).rank
        if rank == 1:
            return ops.expand_dims(x, -1)
        if self.data_format == "channels_first" and rank > 2:
            x = ops.transpose(x, (0, *range(2, rank), 1))
        return ops.flatten(x, 1)


class Reshape(Layer):
    """``[batch, ...]`` → ``[batch, *target_shape]``; one size may be -1."""

    def __init__(self, target_shape: Sequence[int], **options: Any) -> None:
        super().__init__(**options)
        self.target_shape = tuple(target_shape)

    def call(self, x: Any) -> Any:
        return ops.reshape(x, (type_of(x).shape[0], *self.target_shape))


def positive(layer: str, name: str, value: Any) -> int:
    """``value``, which must be a positive int; else `ArgumentError`."""
    if not isinstance(value, int) or isinstance(value, bool) or value < 1:
        raise ArgumentError(f"{layer}: {name} is a positive int, not {value!r}.")
    return value
