"""Noise while training."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, Unpack

from unifront import ops
from unifront.arguments import Amount, Fraction, Share, Size, checked, in_order
from unifront.errors import ShapeError
from unifront.ir.dims import DimExpr
from unifront.layers.arguments import DataFormat, LayerOptions, Options, Seed
from unifront.layers.layer import Layer
from unifront.layers.regularizers import L1L2
from unifront.opset.tensor import type_of


class Dropout(Layer):
    """While training, set a random share ``rate`` of the numbers to zero and scale up the rest.

    Srivastava et al. 2014.

    Args:
        rate: the share, in [0, 1).
        noise_shape: where it has a 1, one draw serves the whole axis; None stands for the input's size.
        seed: gives this layer a stream of its own.
    """

    built_at_once = True
    supports_masking = True

    @checked
    def __init__(
        self,
        rate: Share,
        noise_shape: Sequence[Size | None] | None = None,
        seed: Seed = None,
        **options: Unpack[LayerOptions],
    ) -> None:
        super().__init__(**options)
        self.rate, self.noise_shape, self.seed = rate, noise_shape, seed

    def noise(self, x: Any) -> tuple[Any, ...] | None:
        """The shape of the draws, or None for that of ``x``."""
        if self.noise_shape is None:
            return None
        shape = type_of(x).shape
        if len(self.noise_shape) != len(shape) or any(
            n not in (None, 1, size) and not isinstance(size, DimExpr)
            for n, size in zip(self.noise_shape, shape, strict=True)
        ):
            raise ShapeError(f"noise_shape {self.noise_shape} does not fit the input, which is {type_of(x)}.")
        return tuple(size if n is None else n for n, size in zip(self.noise_shape, shape, strict=True))

    def call(self, x: Any, training: bool = False) -> Any:
        noise_shape = self.noise(x)  # what does not fit is said of inference too
        if not training or self.rate == 0:
            return x
        return ops.dropout(x, self.random_key(self.seed), rate=self.rate, noise_shape=noise_shape)


class SpatialDropout1D(Dropout):
    """`Dropout` of whole channels of ``[batch, steps, channels]``."""

    @in_order("name", "dtype")
    def __init__(self, rate: Share, seed: Seed = None, **options: Unpack[LayerOptions]) -> None:
        super().__init__(rate, noise_shape=(None, 1, None), seed=seed, **options)


class SpatialDropout2D(Dropout):
    """`Dropout` of whole channels of ``[batch, height, width, channels]``."""

    @in_order("name", "dtype")
    def __init__(
        self, rate: Share, data_format: DataFormat = None, seed: Seed = None, **options: Unpack[LayerOptions]
    ) -> None:
        first = data_format == "channels_first"
        super().__init__(
            rate, noise_shape=(None, None, 1, 1) if first else (None, 1, 1, None), seed=seed, **options
        )


class SpatialDropout3D(Dropout):
    """`Dropout` of whole channels of ``[batch, depth, height, width, channels]``."""

    @in_order("name", "dtype")
    def __init__(
        self, rate: Share, data_format: DataFormat = None, seed: Seed = None, **options: Unpack[LayerOptions]
    ) -> None:
        first = data_format == "channels_first"
        super().__init__(
            rate, noise_shape=(None, None, 1, 1, 1) if first else (None, 1, 1, 1, None), seed=seed, **options
        )


class AlphaDropout(Dropout):
    """`Dropout` that keeps mean and variance of what `selu` gives: what is dropped becomes its negative limit.

    Klambauer et al. 2017, Self-Normalizing Neural Networks.

    Args:
        rate: the share, in [0, 1).
        noise_shape: where it has a 1, one draw serves the whole axis; None stands for the input's size.
        seed: gives this layer a stream of its own.
    """

    _LOWEST = -1.6732632423543772 * 1.0507009873554805  # -alpha * scale of selu

    def call(self, x: Any, training: bool = False) -> Any:
        noise_shape = self.noise(x)
        if not training or self.rate == 0:
            return x
        known = type_of(x)
        draws = ops.random_uniform(self.random_key(self.seed), noise_shape or known.shape, like=x)
        kept = ops.where(ops.greater_equal(draws, self.rate), x, self._LOWEST)
        scale = ((1 - self.rate) * (1 + self.rate * self._LOWEST**2)) ** -0.5
        return ops.add(ops.multiply(kept, scale), -scale * self._LOWEST * self.rate)


class GaussianDropout(Layer):
    """While training, multiply by noise of the mean 1 and the standard deviation ``sqrt(rate / (1 - rate))``.

    Srivastava et al. 2014.

    Args:
        rate: as of `Dropout`, in [0, 1).
        seed: gives this layer a stream of its own.
    """

    supports_masking = True

    @checked
    def __init__(self, rate: Share, seed: Seed = None, **options: Unpack[LayerOptions]) -> None:
        super().__init__(**options)
        self.rate, self.seed = rate, seed

    def call(self, x: Any, training: bool = False) -> Any:
        if not training or not self.rate:
            return x
        known = type_of(x)
        deviation = math.sqrt(self.rate / (1 - self.rate))
        noise = ops.random_normal(
            self.random_key(self.seed), known.shape, 1.0, deviation, known.dtype, like=x
        )
        return ops.multiply(x, noise)


class GaussianNoise(Layer):
    """While training, add noise with the standard deviation ``stddev``, in [0, 1]."""

    built_at_once = True
    supports_masking = True

    @checked
    def __init__(self, stddev: Fraction, seed: Seed = None, **options: Unpack[LayerOptions]) -> None:
        super().__init__(**options)
        self.stddev, self.seed = stddev, seed

    def call(self, x: Any, training: bool = False) -> Any:
        if not training or not self.stddev:
            return x
        type_ = type_of(x)
        key = self.random_key(self.seed)
        noise = ops.random_normal(key, type_.shape, stddev=self.stddev, dtype=type_.dtype, like=x)
        return ops.add(x, noise)


class ActivityRegularization(Layer):
    """The input as it is, with a penalty on it added to the loss: ``(l1 * sum(|x|) + l2 * sum(x**2)) / batch``."""

    built_at_once = True
    supports_masking = True

    @checked
    def __init__(self, l1: Amount = 0.0, l2: Amount = 0.0, **options: Unpack[Options]) -> None:
        super().__init__(activity_regularizer=L1L2(l1, l2), **options)

    def call(self, x: Any) -> Any:
        return x
