"""Numbers shifted and scaled to mean 0 and variance 1."""

from __future__ import annotations

from math import prod
from typing import Any, Unpack

import numpy as np

from unifront import config, ops
from unifront.arguments import checked
from unifront.errors import ArgumentError, DTypeError, NotBuiltError, ShapeError
from unifront.layers.arguments import Axes, LayerOptions
from unifront.layers.preprocessing.data import DataLayer, array_of, batches, is_array
from unifront.opset.rules import show
from unifront.opset.tensor import type_of


class Normalization(DataLayer):
    """``(inputs - mean) / sqrt(variance)``, with the mean and variance that data has, or that are given.

    Args:
        axis: the axes that have a mean and variance for each index; the others are averaged over. None for one of all.
        mean, variance: given both or none; numbers or arrays that broadcast along the kept axes. Without them `adapt`
            measures them.
        invert: do the opposite: ``inputs * sqrt(variance) + mean``.

    Its weights are ``mean``, ``variance`` and ``count``, unless mean and variance are given. The deviation is at least
    ``uf.config.epsilon()``. Source: ``keras.layers.Normalization``.

    Example::

        layer = layers.Normalization()
        layer.adapt(np.array([[0.0, 7.0], [2.0, 9.0]]))
        layer(np.array([[1.0, 9.0]]))  # [[0. 1.]]
    """

    supports_masking = True
    adapt_mean: Any = None
    adapt_variance: Any = None

    @checked
    def __init__(
        self,
        axis: Axes | None = -1,
        mean: Any = None,
        variance: Any = None,
        invert: bool = False,
        **options: Unpack[LayerOptions],
    ) -> None:
        super().__init__(**options)
        self.axis = () if axis is None else axis if isinstance(axis, tuple) else (axis,)
        self.invert = invert
        if (mean is None) != (variance is None):
            raise ArgumentError(
                "Normalization: when setting values directly, both `mean` and `variance` must be set. "
                f"Received: mean={mean} and variance={variance}"
            )
        self.input_mean = None if mean is None else array_of(mean)
        self.input_variance = None if variance is None else array_of(variance)
        if self.input_mean is not None and self.input_variance is not None:
            self._check_given(self.input_mean.shape, self.input_variance.shape)

    def _check_given(self, mean: tuple[int, ...], variance: tuple[int, ...]) -> None:
        if mean != variance:
            raise ShapeError(
                "Normalization: when setting values directly, `mean` and `variance` must have the same shape. "
                f"Received: mean shape {mean} and variance shape {variance}"
            )
        if len(mean) > len(self.axis):
            raise ShapeError(
                "Normalization: the rank of `mean` must be less than or equal to the number of axes "
                f"({len(self.axis)}). Received: mean shape {mean} for axis {self.axis}"
            )

    def told_argument(self, name: str, given: Any) -> Any:
        """Mean and variance as lists."""
        if name in ("mean", "variance"):
            return (
                None if given is None else np.asarray(array_of(given) if is_array(given) else given).tolist()
            )
        return super().told_argument(name, given)

    def build(self, shape: Any) -> None:
        if not isinstance(shape, tuple):
            raise ShapeError(f"Normalization takes one tensor; the shapes of what was given are {shape}.")
        rank = len(shape)
        if any(not -rank <= axis < rank for axis in self.axis):
            raise ShapeError(
                f"All `axis` values must be in the range [-ndim, ndim). Received inputs with ndim={rank}, "
                f"while axis={self.axis}"
            )
        self._kept = tuple(sorted(axis % rank for axis in self.axis))
        for axis in self._kept:
            if not isinstance(shape[axis], int):
                raise NotBuiltError(
                    "All `axis` values to be kept must have a known shape. "
                    f"Received axis={self.axis}, inputs.shape={show(shape)}, with unknown axis at index {axis}"
                )
        self._sizes = tuple(shape[axis] for axis in self._kept)
        if self.input_mean is None:
            self.adapt_mean = self.add_weight(self._sizes, "zeros", name="mean", trainable=False)
            self.adapt_variance = self.add_weight(self._sizes, "ones", name="variance", trainable=False)
            self.count = self.add_weight((), "zeros", name="count", dtype="int32", trainable=False)
        else:
            self._constant(self.input_mean)  # which says what does not fit

    def _constant(self, given: Any) -> np.ndarray:
        """What was given, for each index of the kept axes."""
        try:
            return np.broadcast_to(given, self._sizes)
        except ValueError:
            raise ShapeError(
                f"Normalization: the mean of the shape {given.shape} does not fit the axes {self.axis}, "
                f"which have the sizes {self._sizes}."
            ) from None

    def adapt(self, data: Any, steps: int | None = None) -> None:
        """Measure mean and variance, in float64, and keep them; what was measured before is forgotten.

        Args:
            data: an array, or an iterable of batches: a list, generator, ``tf.data.Dataset``, ``PyDataset`` or torch
                ``DataLoader``; of a tuple the first.
            steps: how many batches to take at most.

        Raises `ShapeError` for data of another shape than the layer was built for, `ArgumentError` if there is none.
        """
        if self.input_mean is not None:
            raise ArgumentError("Normalization: mean and variance were given, so there is nothing to adapt.")
        count, mean, squares = 0, np.zeros(()), np.zeros(())
        for batch in [data] if is_array(data) else batches(_batched(data), steps):
            if not is_array(batch):
                raise DTypeError(
                    "adapt() expects an iterable that yields arrays or tensors with a `.shape` attribute. "
                    f"Got an element of type {type(batch).__name__}."
                )
            values = array_of(batch).astype(np.float64)
            self._fit(values.shape)
            over = tuple(axis for axis in range(values.ndim) if axis not in self._kept)
            n = prod(values.shape[axis] for axis in over)
            if n == 0:
                continue
            # two sets of numbers as one: Chan, Golub and LeVeque 1979
            own = values.mean(axis=over)
            apart = own - mean
            count += n
            mean = mean + apart * (n / count)
            squares = squares + values.var(axis=over) * n + apart**2 * (n * (count - n) / count)
        if not count:
            raise ArgumentError(
                "adapt() received an empty iterable (no batches). Expected at least one batch with numbers."
            )
        self.adapt_mean.assign(mean.astype(self.dtype.numpy))
        self.adapt_variance.assign((squares / count).astype(self.dtype.numpy))

    def _fit(self, shape: tuple[int, ...]) -> None:
        if not self.built:
            self.build(shape)
        known = vars(self)["_built_for"][0]
        if len(shape) != len(known) or any(shape[axis] != known[axis] for axis in self._kept):
            raise ShapeError(
                f"The layer was built with input_shape={show(known)}, but adapt() is being called with data with "
                f"an incompatible shape, data.shape={shape}"
            )

    def finalize_state(self) -> None:
        """Nothing is left to do: mean and variance are read from the weights. It is here for Keras's callers."""

    @property
    def mean(self) -> Any:
        """The mean, with axes of size one where it is averaged over; None before it is known."""
        return self._statistic(self.input_mean, self.adapt_mean)

    @property
    def variance(self) -> Any:
        """The variance, as `mean`."""
        return self._statistic(self.input_variance, self.adapt_variance)

    def _statistic(self, given: Any, weight: Any) -> Any:
        if not self.built:
            return None
        return self._spread(self._constant(given) if given is not None else weight.numpy(), self._rank())

    def _rank(self) -> int:
        return len(vars(self)["_built_for"][0])

    def _spread(self, value: Any, rank: int) -> Any:
        """``value`` for inputs of ``rank``. Axes count from the last, whatever the rank was that it was built for."""
        sizes = {axis - self._rank(): size for axis, size in zip(self._kept, self._sizes, strict=True)}
        return ops.reshape(value, tuple(sizes.get(axis, 1) for axis in range(-rank, 0)))

    def call(self, inputs: Any) -> Any:
        x, rank = ops.cast(inputs, self.compute_dtype), type_of(inputs).rank
        given = self.input_mean is not None
        mean, variance = (
            self._spread(self._constant(one).astype(self.compute_dtype.numpy) if given else weight, rank)
            for one, weight in (
                (self.input_mean, self.adapt_mean),
                (self.input_variance, self.adapt_variance),
            )
        )
        deviation = ops.maximum(ops.sqrt(variance), config.epsilon())
        if self.invert:
            return ops.add(ops.multiply(x, deviation), mean)
        return ops.divide(ops.subtract(x, mean), deviation)


def _batched(data: Any) -> Any:
    """A dataset of vectors that are no batches, in batches, as Keras takes it."""
    spec = getattr(data, "element_spec", None)
    first = spec[0] if isinstance(spec, tuple) else spec
    single = first is not None and getattr(first.shape, "rank", None) == 1 and hasattr(data, "batch")
    return data.batch(128) if single else data
