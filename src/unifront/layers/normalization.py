"""Normalization."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal, Unpack

import numpy as np

from unifront import ops
from unifront.arguments import Amount, Fraction, Size, checked
from unifront.dtypes import float32, promote
from unifront.errors import ArgumentError, ShapeError
from unifront.layers.arguments import Axes, Axis, Constraint, LayerOptions
from unifront.layers.building import feature_size
from unifront.layers.initializers import InitializerLike
from unifront.layers.layer import Layer
from unifront.layers.regularizers import RegularizerLike
from unifront.opset.rules import axes_in, axis_in, show
from unifront.opset.tensor import type_of


def _wide(x: Any) -> Any:
    """``x`` in which statistics are taken and numbers normalized: at least float32, as in Keras."""
    return ops.cast(x, promote(type_of(x).dtype, float32)) if type_of(x).dtype.is_float else x


class _Affine(Layer):
    """What normalizations share: a learnt scale ``gamma`` and offset ``beta``, read as they are."""

    supports_masking = True

    @checked
    def __init__(
        self,
        axis: Axes = -1,
        epsilon: Amount = 1e-3,
        center: bool = True,
        scale: bool = True,
        beta_initializer: InitializerLike = "zeros",
        gamma_initializer: InitializerLike = "ones",
        beta_regularizer: RegularizerLike = None,
        gamma_regularizer: RegularizerLike = None,
        beta_constraint: Constraint = None,
        gamma_constraint: Constraint = None,
        **options: Unpack[LayerOptions],
    ) -> None:
        super().__init__(**options)
        self.axis: Any = axis
        self.epsilon, self.center, self.scale = epsilon, center, scale
        self.declare("beta", beta_initializer, beta_regularizer, beta_constraint)
        self.declare("gamma", gamma_initializer, gamma_regularizer, gamma_constraint)

    def add_affine(self, sizes: Sequence[int]) -> None:
        """Make ``gamma`` and ``beta``, those there are."""
        self.gamma = self.add_declared("gamma", sizes, autocast=False) if self.scale else None
        self.beta = self.add_declared("beta", sizes, autocast=False) if self.center else None


def _clipping(given: Mapping[str, float]) -> dict[str, float]:
    """The bounds of renormalization that are given."""
    keys = ["rmax", "rmin", "dmax"]
    if set(given) - set(keys):
        raise ArgumentError(
            f"Received invalid keys for `renorm_clipping` argument: {dict(given)}. Supported values: {keys}."
        )
    found = {key: float(value) for key, value in given.items() if value is not None}
    if found.get("rmax", np.inf) < found.get("rmin", -np.inf):
        raise ArgumentError(
            f"rmax should be greater than rmin in the `renorm_clipping` argument. Received: rmax={given['rmax']}, "
            f"rmin={given['rmin']}."
        )
    if found.get("dmax", 0.0) < 0:
        raise ArgumentError(
            f"dmax should be non-negative in the `renorm_clipping` argument. Received: dmax={given['dmax']}."
        )
    return found


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
        synchronized: says nothing: a step on several devices has the statistics of the whole batch anyway.
        renorm: whether training corrects the batch's statistics to moving ones (Ioffe 2017).
        renorm_clipping: bounds ``rmin`` and ``rmax`` of the correction's factor, and ``dmax`` of its shift.
        renorm_momentum: the share kept of the moving statistics that the correction goes by.

    Raises `NotBuiltError` if the number of channels is free.

    Example::

        x = layers.BatchNormalization(momentum=0.9)(uf.Input((8, 8, 16)))
    """

    @checked
    def __init__(
        self,
        axis: Axis = -1,
        momentum: Fraction = 0.99,
        epsilon: Amount = 1e-3,
        center: bool = True,
        scale: bool = True,
        beta_initializer: InitializerLike = "zeros",
        gamma_initializer: InitializerLike = "ones",
        moving_mean_initializer: InitializerLike = "zeros",
        moving_variance_initializer: InitializerLike = "ones",
        beta_regularizer: RegularizerLike = None,
        gamma_regularizer: RegularizerLike = None,
        beta_constraint: Constraint = None,
        gamma_constraint: Constraint = None,
        renorm: bool = False,
        renorm_clipping: Mapping[str, float] | None = None,
        renorm_momentum: Fraction = 0.99,
        synchronized: bool = False,
        **options: Unpack[LayerOptions],
    ) -> None:
        super().__init__(
            axis, epsilon, center, scale, beta_initializer, gamma_initializer, beta_regularizer,
            gamma_regularizer, beta_constraint, gamma_constraint, **options,
        )  # fmt: skip
        self.momentum, self.synchronized = momentum, synchronized
        self.renorm, self.renorm_momentum = renorm, renorm_momentum
        self.renorm_clipping = _clipping(renorm_clipping or {}) if renorm else renorm_clipping
        self.declare("moving_mean", moving_mean_initializer)
        self.declare("moving_variance", moving_variance_initializer)

    def build(self, shape: Any) -> None:
        size = (feature_size(shape, self.axis),)
        self.add_affine(size)
        self.moving_mean = self.add_declared("moving_mean", size, trainable=False, autocast=False)
        self.moving_variance = self.add_declared("moving_variance", size, trainable=False, autocast=False)
        if self.renorm:
            given: Any = vars(self)["moving_variance_initializer"]

            def deviation(shape: Any, dtype: Any, rng: Any) -> Any:
                return np.sqrt(given(shape, dtype, rng))

            mean: Any = vars(self)["moving_mean_initializer"]
            kept: dict[str, Any] = {"trainable": False, "autocast": False}
            self.moving_stddev = self.add_weight(size, deviation, name="moving_stddev", **kept)
            self.renorm_mean = self.add_weight(size, mean, name="renorm_mean", **kept)
            self.renorm_stddev = self.add_weight(size, deviation, name="renorm_stddev", **kept)

    def call(self, x: Any, training: bool = False, mask: Any = None) -> Any:
        return ops.cast(self._normalized(_wide(x), training, mask), self.compute_dtype)

    def _normalized(self, x: Any, training: bool, mask: Any) -> Any:
        axis = axis_in(self.axis, type_of(x).rank)
        common: dict[str, Any] = {"axis": axis, "epsilon": self.epsilon}
        if not training or not self.trainable:
            return ops.batch_norm(x, self.moving_mean, self.moving_variance, self.gamma, self.beta, **common)
        if self.renorm:
            return self._renormalized(x, mask, axis)
        if mask is None:
            y, mean, variance = ops.batch_norm_training(x, self.gamma, self.beta, **common)
        else:
            mean, variance = self._masked_moments(x, mask, axis)
            y = ops.batch_norm(x, mean, variance, self.gamma, self.beta, **common)
        self._move(self.moving_mean, mean, self.momentum)
        self._move(self.moving_variance, variance, self.momentum)
        return y

    def _move(self, moving: Any, batch: Any, momentum: float) -> Any:
        """Let a moving statistic follow that of the batch, and give its new value."""
        new = ops.add(ops.multiply(moving, momentum), ops.multiply(batch, 1 - momentum))
        self.update(moving, new)
        return new

    def _renormalized(self, x: Any, mask: Any, axis: int) -> Any:
        """``x`` normalized by the batch, and corrected to the statistics before it (Ioffe 2017, algorithm 1)."""
        if mask is None:
            y, mean, variance = ops.batch_norm_training(x, axis=axis, epsilon=self.epsilon)
        else:
            mean, variance = self._masked_moments(x, mask, axis)
            y = ops.batch_norm(x, mean, variance, axis=axis, epsilon=self.epsilon)
        deviation = ops.sqrt(ops.add(variance, self.epsilon))
        before = ops.maximum(self.renorm_stddev, self.epsilon**0.5)
        factor = ops.divide(deviation, before)
        shift = ops.divide(ops.subtract(mean, self.renorm_mean), before)
        bounds: Any = self.renorm_clipping
        if "rmin" in bounds:
            factor = ops.maximum(factor, bounds["rmin"])
        if "rmax" in bounds:
            factor = ops.minimum(factor, bounds["rmax"])
        if "dmax" in bounds:
            shift = ops.maximum(ops.minimum(shift, bounds["dmax"]), -bounds["dmax"])
        scale, offset = ops.stop_gradient(factor), ops.stop_gradient(shift)
        if self.gamma is not None:
            scale, offset = ops.multiply(scale, self.gamma), ops.multiply(offset, self.gamma)
        if self.beta is not None:
            offset = ops.add(offset, self.beta)
        self._move(self.renorm_mean, mean, self.renorm_momentum)
        self._move(self.renorm_stddev, deviation, self.renorm_momentum)
        self._move(self.moving_mean, mean, self.momentum)
        moved = self._move(self.moving_stddev, deviation, self.momentum)
        self.update(self.moving_variance, ops.relu(ops.subtract(ops.square(moved), self.epsilon)))
        after = tuple(range(1, type_of(x).rank - axis))
        scale, offset = (ops.expand_dims(one, after) if after else one for one in (scale, offset))
        return ops.add(ops.multiply(y, scale), offset)

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
        y = ops.layer_norm(_wide(x), self.gamma, self.beta, axis=self.axis, epsilon=self.epsilon)
        return ops.cast(y, self.compute_dtype)


class GroupNormalization(_Affine):
    """Normalize each example over groups of channels; learn each channel's scale and offset (Wu and He 2018).

    Args:
        groups: how many; it divides the channels. -1 for a group of each channel (instance normalization).
        axis: the channels' axis.
        epsilon: added to the variance.
        center, scale: whether there are ``beta`` and ``gamma``.
    """

    @checked
    def __init__(
        self,
        groups: Size | Literal[-1] = 32,
        axis: Axis = -1,
        epsilon: Amount = 1e-3,
        center: bool = True,
        scale: bool = True,
        beta_initializer: InitializerLike = "zeros",
        gamma_initializer: InitializerLike = "ones",
        beta_regularizer: RegularizerLike = None,
        gamma_regularizer: RegularizerLike = None,
        beta_constraint: Constraint = None,
        gamma_constraint: Constraint = None,
        **options: Unpack[LayerOptions],
    ) -> None:
        super().__init__(
            axis, epsilon, center, scale, beta_initializer, gamma_initializer, beta_regularizer,
            gamma_regularizer, beta_constraint, gamma_constraint, **options,
        )  # fmt: skip
        self.groups = groups

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
        y = ops.group_norm(
            _wide(x), self.gamma, self.beta, groups=self.groups, axis=self.axis, epsilon=self.epsilon
        )
        return ops.cast(y, self.compute_dtype)


class RMSNormalization(Layer):
    """Divide each example by the root of its mean square over ``axis``, and learn a scale.

    Zhang and Sennrich 2019.

    Args:
        axis: an int or several.
        epsilon: added to the mean square.
    """

    @checked
    def __init__(self, axis: Axes = -1, epsilon: Amount = 1e-6, **options: Unpack[LayerOptions]) -> None:
        super().__init__(**options)
        self.axis, self.epsilon = axis, epsilon

    def build(self, shape: Any) -> None:
        sizes = [feature_size(shape, axis) for axis in axes_in(self.axis, len(shape))]
        self.scale = self.add_weight(sizes, "ones", name="scale")

    def call(self, x: Any) -> Any:
        return ops.rms_norm(x, self.scale, axis=self.axis, epsilon=self.epsilon)


class UnitNormalization(Layer):
    """Divide each example by its length over ``axis``, which is then 1.

    Args:
        axis: an int or several.
    """

    built_at_once = True
    supports_masking = True

    @checked
    def __init__(self, axis: Axes = -1, **options: Unpack[LayerOptions]) -> None:
        super().__init__(**options)
        self.axis = axis

    def call(self, x: Any) -> Any:
        return ops.normalize(x, axis=self.axis, order=2, epsilon=1e-12)
