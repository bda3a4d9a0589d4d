"""What several families share: rounding of widths, the padding of strided convolutions, dropped paths."""

from collections.abc import Mapping
from typing import Any, TypeVar

import unifront as uf
from unifront import layers

Setting = TypeVar("Setting")
ImageShape = tuple[int | None, int | None, int]


def chosen(like: str, settings: Mapping[str, Setting]) -> Setting:
    """The setting of the publisher ``like``; `ArgumentError` names those there are."""
    if like not in settings:
        known = ", ".join(map(repr, settings))
        raise uf.errors.ArgumentError(f"like={like!r}: this model is built like one of {known}.")
    return settings[like]


def divisible(value: float, by: int = 8, least: float = 0.9) -> int:
    """The multiple of ``by`` nearest to ``value``, but not below its share ``least`` (MobileNet's rule for widths)."""
    rounded = max(by, int(value + by / 2) // by * by)
    return rounded + by if rounded < least * value else rounded


def padded(x: Any, kernel_size: int, like: str, name: str | None = None) -> Any:
    """Zeros around ``x`` for a convolution with strides of 2.

    Keras leaves out the first row and column of them when the size is even, as its ``"same"`` does (and takes a
    free size to be even); torch's padding is symmetric.
    """
    after = kernel_size // 2
    odd = [size % 2 if isinstance(size, int) else 0 for size in x.shape[1:3]]
    before = [after - 1 + one for one in odd] if like == "keras" else [after, after]
    return layers.ZeroPadding2D(((before[0], after), (before[1], after)), name=name)(x)


def dropped_path(x: Any, rate: float, name: str) -> Any:
    """``x`` with whole samples set to zero at ``rate`` in training (stochastic depth, Huang et al. 2016)."""
    return layers.Dropout(rate, noise_shape=(None, 1, 1, 1), name=name)(x) if rate else x


class LayerScale(layers.Layer):
    """Multiplies each channel by a weight ``gamma[channels]`` (Touvron et al. 2021), ``init_values`` at first."""

    def __init__(self, init_values: float, projection_dim: int, **options: Any) -> None:
        super().__init__(**options)
        self.init_values, self.projection_dim = init_values, projection_dim

    def build(self, shape: Any) -> None:
        self.gamma = self.add_weight(
            (self.projection_dim,), uf.initializers.Constant(self.init_values), name="gamma"
        )  # fmt: skip

    def call(self, x: Any) -> Any:
        return x * self.gamma
