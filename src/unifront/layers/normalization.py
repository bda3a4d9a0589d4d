"""Normalization."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from unifront import ops
from unifront.errors import ShapeError
from unifront.layers.arguments import number, positive
from unifront.layers.layer import Layer, feature_size
from unifront.opset.rules import axes_in, axis_in, show
from unifront.opset.tensor import type_of


class _Affine(Layer):
    """What normalizations share: a learnt scale ``gamma`` and offset ``beta``."""

    supports_masking = True

    def __init__(
        self,
        axis: int | Sequence[int] = -1,
        epsilon: float = 1e-3,
        center: bool = True,
        scale: bool = True,
        beta_initializer: Any = "zeros",
        gamma_initializer: Any = "ones",
        beta_regularizer: Any = None,
        gamma_regularizer: Any = None,
        **options: Any,
    ) -> None:
        super().__init__(**options)
        self.axis: Any = axis
        self.epsilon = number(type(self).__name__, "epsilon", epsilon, 0)
        self.center, self.scale = center, scale
        self.beta_initializer, self.gamma_initializer = beta_initializer, gamma_initializer
        self.beta_regularizer, self.gamma_regularizer = beta_regularizer, gamma_regularizer

    def add_affine(self, sizes: Sequence[int]) -> None:
        """Make ``gamma`` and ``beta``, those there are."""
        self.gamma = self.beta = None
        if self.scale:
            self.gamma = self.add_weight(
                sizes, self.gamma_initializer, name="gamma", regularizer=self.gamma_regularizer
            )
        if self.center:
            self.beta = self.add_weight(
                sizes, self.beta_initializer, name="beta", regularizer=self.beta_regularizer
            )


class BatchNormalization(_Affine):
    """Normalize each channel by its mean and variance over the batch, and learn its scale and offset.

    While training, the batch's statistics are used and the moving ones updated; otherwise the moving ones are
    used. With ``trainable=False`` they are used always (Ioffe and Szegedy 2015; Keras BatchNormalization).

    Args:
        axis: the channels' axis.
        momentum: the share of the moving statistics kept at each step, in [0, 1].
        epsilon: added to the variance.
        center, scale: whether there are ``beta[channels]`` and ``gamma[channels]``.
        beta_initializer, gamma_initializer, moving_mean_initializer, moving_variance_initializer: see
            `unifront.layers.initializers`.
        beta_regularizer, gamma_regularizer: see `unifront.layers.regularizers`.

    Raises `NotBuiltError` if the number of channels is free.

    Example::

        x = layers.BatchNormalization(momentum=0.9)(uf.Input((8, 8, 16)))
    """

    def __init__(
        self,
        axis: int = -1,
        momentum: float = 0.99,
        epsilon: float = 1e-3,
        center: bool = True,
        scale: bool = True,
        beta_initializer: Any = "zeros",
        gamma_initializer: Any = "ones",
        moving_mean_initializer: Any = "zeros",
        moving_variance_initializer: Any = "ones",
        beta_regularizer: Any = None,
        gamma_regularizer: Any = None,
        **options: Any,
    ) -> None:
        super().__init__(
            axis, epsilon, center, scale, beta_initializer, gamma_initializer, beta_regularizer,
            gamma_regularizer, **options,
        )  # fmt: skip
        self.momentum = number("BatchNormalization", "momentum", momentum, 0, 1)
        self.moving_mean_initializer = moving_mean_initializer
        self.moving_variance_initializer = moving_variance_initializer

    def build(self, shape: Any) -> None:
        size = (feature_size(shape, self.axis),)
        self.add_affine(size)
        self.moving_mean = self.add_weight(
            size, self.moving_mean_initializer, name="moving_mean", trainable=False
        )
        self.moving_variance = self.add_weight(
            size, self.moving_variance_initializer, name="moving_variance", trainable=False
        )

    def call(self, x: Any, training: bool = False, mask: Any = None) -> Any:
        axis = axis_in(self.axis, type_of(x).rank)
        common: dict[str, Any] = {"axis": axis, "epsilon": self.epsilon}
        if not training or not self.trainable:
            return ops.batch_norm(x, self.moving_mean, self.moving_variance, self.gamma, self.beta, **common)
        if mask is None:
            y, mean, variance = ops.batch_norm_training(x, self.gamma, self.beta, **common)
        else:
            mean, variance = self._masked_moments(x, mask, axis)
            y = ops.batch_norm(x, mean, variance, self.gamma, self.beta, **common)
        for moving, batch in ((self.moving_mean, mean), (self.moving_variance, variance)):
            kept = ops.multiply(moving, self.momentum)
            self.update(moving, ops.add(kept, ops.multiply(batch, 1 - self.momentum)))
        return y

    @staticmethod
    def _masked_moments(x: Any, mask: Any, axis: int) -> tuple[Any, Any]:
        """Mean and variance over the steps inside ``mask``, whose shape is the beginning of that of ``x``."""
        type_ = type_of(x)
        weights = ops.cast(mask, type_.dtype)
        for _ in range(type_.rank - type_of(mask).rank):
            weights = ops.expand_dims(weights, -1)
        others = tuple(i for i in range(type_.rank) if i != axis)
        wide = ops.multiply(ops.ones_like(x), weights)
        count = ops.add(ops.sum(wide, axis=others, keepdims=True), 1e-7)  # Keras's epsilon
        mean = ops.divide(ops.sum(ops.multiply(x, wide), axis=others, keepdims=True), count)
        squares = ops.multiply(ops.square(ops.subtract(x, mean)), wide)
        variance = ops.divide(ops.sum(squares, axis=others, keepdims=True), count)
        return ops.squeeze(mean, others), ops.squeeze(variance, others)


class LayerNormalization(_Affine):
    """Normalize each example over ``axis``, and learn scale and offset (Ba et al. 2016).

    Args:
        axis: an int or several.
        epsilon: added to the variance.
        center, scale: whether there are ``beta`` and ``gamma``.
    """

    def build(self, shape: Any) -> None:
        self.add_affine([feature_size(shape, axis) for axis in axes_in(self.axis, len(shape))])

    def call(self, x: Any) -> Any:
        return ops.layer_norm(x, self.gamma, self.beta, axis=self.axis, epsilon=self.epsilon)


class GroupNormalization(_Affine):
    """Normalize each example over groups of channels; learn each channel's scale and offset (Wu and He 2018).

    Args:
        groups: how many; it divides the channels. -1 for a group of each channel (instance normalization).
        axis: the channels' axis.
        epsilon: added to the variance.
        center, scale: whether there are ``beta`` and ``gamma``.
    """

    def __init__(
        self,
        groups: int = 32,
        axis: int = -1,
        epsilon: float = 1e-3,
        center: bool = True,
        scale: bool = True,
        beta_initializer: Any = "zeros",
        gamma_initializer: Any = "ones",
        beta_regularizer: Any = None,
        gamma_regularizer: Any = None,
        **options: Any,
    ) -> None:
        super().__init__(
            axis, epsilon, center, scale, beta_initializer, gamma_initializer, beta_regularizer,
            gamma_regularizer, **options,
        )  # fmt: skip
        self.groups = groups if groups == -1 else positive("GroupNormalization", "groups", groups)

    def build(self, shape: Any) -> None:
        size = feature_size(shape, self.axis)
        if self.groups == -1:
            self.groups = size
        if size % self.groups:
            raise ShapeError(
                f"{size} channels of the input {show(shape)} do not divide into {self.groups} groups."
            )
        self.add_affine((size,))

    def call(self, x: Any) -> Any:
        return ops.group_norm(
            x, self.gamma, self.beta, groups=self.groups, axis=self.axis, epsilon=self.epsilon
        )


class RMSNormalization(Layer):
    """Divide each example by the root of its mean square over ``axis``, and learn a scale.

    Zhang and Sennrich 2019.

    Args:
        axis: an int or several.
        epsilon: added to the mean square.
    """

    def __init__(self, axis: int | Sequence[int] = -1, epsilon: float = 1e-6, **options: Any) -> None:
        super().__init__(**options)
        self.axis, self.epsilon = axis, number("RMSNormalization", "epsilon", epsilon, 0)

    def build(self, shape: Any) -> None:
        sizes = [feature_size(shape, axis) for axis in axes_in(self.axis, len(shape))]
        self.scale = self.add_weight(sizes, "ones", name="scale")

    def call(self, x: Any) -> Any:
        return ops.rms_norm(x, self.scale, axis=self.axis, epsilon=self.epsilon)
