"""Numbers as the numbers of the intervals they lie in."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import pairwise
from typing import Annotated, Any, Literal, Self, Unpack

import numpy as np

from unifront import ops
from unifront.arguments import in_order, shown, within
from unifront.errors import ArgumentError, DTypeError, NotBuiltError
from unifront.layers.arguments import LayerOptions
from unifront.layers.preprocessing.data import DataLayer, array_of, batches, is_array
from unifront.layers.preprocessing.encoding import Dense, encoded, encoded_shape
from unifront.opset.tensor import type_of

Precision = Annotated[float, within("(0, 1)")]


class Discretization(DataLayer):
    """Each number as the index of the interval between boundaries in which it lies.

    Args:
        bin_boundaries: ``[0.0, 1.0]`` makes the bins ``(-inf, 0)``, ``[0, 1)`` and ``[1, inf)``.
        num_bins: how many bins `adapt` makes, of about equally many numbers each.
        epsilon: how exact the quantiles are; smaller ones take longer.
        output_mode: ``"int"``: the indices, in int32; else as of `CategoryEncoding`.
        sparse: taken at False only.

    Raises `ArgumentError` unless one of ``bin_boundaries`` and ``num_bins`` is given. Source:
    ``keras.layers.Discretization``.

    Example::

        layers.Discretization(bin_boundaries=[0.0, 1.0, 2.0])(np.array([[-1.5, 1.0, 3.4]]))  # [[0 2 3]]
    """

    @in_order("dtype", "name")
    def __init__(
        self,
        bin_boundaries: Any = None,
        num_bins: int | None = None,
        epsilon: Precision = 0.01,
        output_mode: Literal["int", "one_hot", "multi_hot", "count"] = "int",
        sparse: Dense = False,
        **options: Unpack[LayerOptions],
    ) -> None:
        super().__init__(**options)
        if num_bins is not None and num_bins < 0:
            raise ArgumentError(
                f"`num_bins` must be greater than or equal to 0. Received: `num_bins={num_bins}`"
            )
        if num_bins is not None and bin_boundaries is not None:
            raise ArgumentError(
                "Both `num_bins` and `bin_boundaries` should not be set. "
                f"Received: `num_bins={num_bins}` and `bin_boundaries={bin_boundaries}`"
            )
        if num_bins is None and bin_boundaries is None:
            raise ArgumentError("You need to set either `num_bins` or `bin_boundaries`.")
        self.num_bins, self.epsilon, self.output_mode, self.sparse = num_bins, epsilon, output_mode, sparse
        self.bin_boundaries = None if bin_boundaries is None else _ascending(bin_boundaries)
        self.summary: np.ndarray = np.zeros((2, 0), np.float32)

    def traced_state(self) -> tuple[float, ...]:
        """The boundaries, which are constants of graphs."""
        return tuple(self.bin_boundaries or ())

    def get_config(self) -> dict[str, Any]:
        """The arguments to make it again with, and the boundaries it adapted to."""
        base = super().get_config()
        return {
            "name": base["name"], "dtype": base["dtype"], "bin_boundaries": self.bin_boundaries,
            "num_bins": self.num_bins, "epsilon": self.epsilon, "output_mode": self.output_mode,
            "sparse": self.sparse,
        }  # fmt: skip

    @classmethod
    def from_config(cls, config: Mapping[str, Any]) -> Self:
        """A layer from what `get_config` gave, with the boundaries it had adapted to."""
        config = dict(config)
        adapted = config.pop("bin_boundaries", None) if config.get("num_bins") is not None else None
        layer = super().from_config(config)
        if adapted is not None:
            layer.bin_boundaries = _ascending(adapted)
        return layer

    def adapt(self, data: Any, steps: int | None = None) -> None:
        """Find boundaries that cut the numbers of ``data`` into bins of about the same size.

        Args:
            data: an array, or an iterable of batches, such as a ``tf.data.Dataset``.
            steps: how many batches to take at most.
        """
        self.reset_state()
        for batch in [data] if is_array(data) else batches(data, steps):
            self.update_state(batch)
        self.finalize_state()

    def update_state(self, data: Any) -> None:
        """Let the numbers of ``data`` count too."""
        if self.num_bins is None:
            raise ArgumentError(
                "Cannot adapt a Discretization layer that has been initialized with `bin_boundaries`, use "
                "`num_bins` instead."
            )
        numbers = np.sort(array_of(data).astype(np.float32).reshape(-1))
        if numbers.size:
            merged = np.concatenate([_summary(numbers, self.epsilon), self.summary], axis=1)
            self.summary = _compressed(merged[:, np.argsort(merged[0], kind="stable")], self.epsilon)

    def finalize_state(self) -> None:
        """Take the boundaries of what was counted."""
        if self.num_bins:
            self.bin_boundaries = _compressed(self.summary, 1.0 / self.num_bins)[0, :-1].tolist()

    def reset_state(self) -> None:
        """Forget the numbers that were counted."""
        self.summary = np.zeros((2, 0), np.float32)

    def compute_output_shape(self, input_shape: Any, *more: Any) -> Any:
        """The shape of what `call` gives; ``num_bins`` says it before there are boundaries."""
        if self.bin_boundaries is None:
            return encoded_shape(input_shape, self.output_mode, self.num_bins)
        return encoded_shape(input_shape, self.output_mode, len(self.bin_boundaries) + 1)

    def call(self, inputs: Any) -> Any:
        if self.bin_boundaries is None:
            raise NotBuiltError(
                "You need to either pass the `bin_boundaries` argument at construction time or call "
                "`adapt(dataset)` before you can start using the `Discretization` layer."
            )
        known = np.float64 if type_of(inputs).dtype == "float64" else np.float32
        indices = ops.digitize(inputs, np.asarray(self.bin_boundaries, known))
        dtype = "int32" if self.output_mode == "int" else self.compute_dtype
        return encoded(indices, self.output_mode, len(self.bin_boundaries) + 1, dtype)


def _ascending(boundaries: Any) -> list[float]:
    array = array_of(boundaries)
    if array.dtype.kind not in "biuf":
        raise DTypeError(f"bin_boundaries are numbers; given were {shown(boundaries)}.")
    found = [float(one) for one in array.reshape(-1)]
    if any(not a <= b for a, b in pairwise(found)):
        raise ArgumentError(f"bin_boundaries ascend; given were {boundaries}.")
    return found


def _summary(ordered: np.ndarray, epsilon: float) -> np.ndarray:
    """About ``1 / epsilon`` of the sorted numbers, and how many each stands for: ``[2, n]``."""
    step = max(ordered.size * epsilon, 1)
    kept = ordered[int(step - 1) :: int(step)]
    return np.stack([kept, np.full_like(kept, step)])


def _compressed(summary: np.ndarray, epsilon: float) -> np.ndarray:
    """A summary of at most ``1 / epsilon`` numbers, by interpolation of the cumulated weights.

    Source: the mergeable quantile summary of ``keras.layers.Discretization``.
    """
    if summary.shape[1] * epsilon < 1:
        return summary
    shares = epsilon + np.arange(0.0, 1.0, epsilon)
    weights = summary[1].cumsum()
    place = weights / weights[-1]
    weights_there = np.interp(shares, place, weights)
    return np.stack([np.interp(shares, place, summary[0]), np.diff(weights_there, prepend=0.0)]).astype(
        np.float32
    )
