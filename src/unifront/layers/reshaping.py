"""Layers that add or leave out steps and pixels."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from unifront import ops
from unifront.errors import ArgumentError, ShapeError, UnknownName
from unifront.layers.arguments import axes_tuple, check_rank, data_format_of
from unifront.layers.layer import Layer
from unifront.opset.rules import show


class _Border(Layer):
    rank: int

    def __init__(self, data_format: str | None, **options: Any) -> None:
        super().__init__(**options)
        self.data_format = data_format_of(data_format)

    def pairs(self, name: str, given: Any) -> tuple[tuple[int, int], ...]:
        """The two sizes at each axis meant by the argument ``name``."""
        one = tuple(given) if isinstance(given, Sequence) else (given,) * self.rank
        if self.rank == 1 and len(one) == 2 and not any(isinstance(size, Sequence) for size in one):
            one = (one,)  # (before, after)
        pairs = tuple(tuple(side) if isinstance(side, Sequence) else (side, side) for side in one)
        fits = len(pairs) == self.rank and all(len(pair) == 2 for pair in pairs)
        if not fits or any(not isinstance(size, int) or size < 0 for pair in pairs for size in pair):
            raise ArgumentError(
                f"{type(self).__name__}: {name} is an int >= 0, or one int or pair for each of "
                f"{self.rank} axes; given was {given!r}."
            )
        return pairs

    def everywhere(self, pairs: tuple[tuple[int, int], ...]) -> tuple[tuple[int, int], ...]:
        """The pairs of all axes, those of batch and channels zero."""
        none = ((0, 0),)
        return (*none, *none, *pairs) if self.data_format == "channels_first" else (*none, *pairs, *none)


class _ZeroPadding(_Border):
    def __init__(self, padding: Any = 1, data_format: str | None = None, **options: Any) -> None:
        super().__init__(data_format, **options)
        self.padding = self.pairs("padding", padding)

    def call(self, x: Any) -> Any:
        check_rank(self, x, self.rank + 2)
        return ops.pad(x, self.everywhere(self.padding))


class ZeroPadding1D(_ZeroPadding):
    """Zeros before and after the steps of ``[batch, steps, channels]``.

    Args:
        padding: an int or ``(before, after)``.
        data_format: ``"channels_last"`` (default) or ``"channels_first"``.
    """

    rank = 1


class ZeroPadding2D(_ZeroPadding):
    """Zeros around an image: ``[batch, height, width, channels]``, with the two sizes in the middle grown.

    Args:
        padding: an int, ``(rows, columns)`` or ``((top, bottom), (left, right))``.
        data_format: ``"channels_last"`` (default) or ``"channels_first"``.
    """

    rank = 2


class ZeroPadding3D(_ZeroPadding):
    """Zeros around a volume.

    Args:
        padding: an int, or one int or pair for each of the three axes.
        data_format: ``"channels_last"`` (default) or ``"channels_first"``.
    """

    rank = 3


class _Cropping(_Border):
    def __init__(self, cropping: Any = 0, data_format: str | None = None, **options: Any) -> None:
        super().__init__(data_format, **options)
        self.cropping = self.pairs("cropping", cropping)

    def build(self, shape: Any) -> None:
        for axis, (size, pair) in enumerate(zip(shape, self.everywhere(self.cropping), strict=False)):
            if isinstance(size, int) and any(pair) and sum(pair) >= size:
                raise ShapeError(f"Nothing is left of axis {axis} of {show(shape)} when {pair} are cut off.")

    def call(self, x: Any) -> Any:
        check_rank(self, x, self.rank + 2)
        pairs = self.everywhere(self.cropping)
        return ops.slice(
            x, [before for before, _ in pairs], [-after if after else None for _, after in pairs]
        )


class Cropping1D(_Cropping):
    """The first and last steps of ``[batch, steps, channels]`` left out.

    Args:
        cropping: an int or ``(before, after)``; ``(1, 1)`` by default.
        data_format: ``"channels_last"`` (default) or ``"channels_first"``.
    """

    rank = 1

    def __init__(self, cropping: Any = (1, 1), data_format: str | None = None, **options: Any) -> None:
        super().__init__(cropping, data_format, **options)


class Cropping2D(_Cropping):
    """The borders of an image ``[batch, height, width, channels]`` left out.

    Args:
        cropping: an int, ``(rows, columns)`` or ``((top, bottom), (left, right))``.
        data_format: ``"channels_last"`` (default) or ``"channels_first"``.
    """

    rank = 2


class _UpSampling(Layer):
    rank: int

    def __init__(self, size: int | Sequence[int], data_format: str | None = None, **options: Any) -> None:
        super().__init__(**options)
        self.size = axes_tuple(type(self).__name__, "size", size, self.rank)
        self.data_format = data_format_of(data_format)

    def call(self, x: Any) -> Any:
        check_rank(self, x, self.rank + 2)
        first = 2 if self.data_format == "channels_first" else 1
        for axis, times in enumerate(self.size, first):
            x = ops.repeat(x, times, axis=axis) if times > 1 else x
        return x


class UpSampling1D(_UpSampling):
    """Each step of ``[batch, steps, channels]`` ``size`` times over."""

    rank = 1

    def __init__(self, size: int = 2, **options: Any) -> None:
        super().__init__(size, **options)


class UpSampling2D(_UpSampling):
    """Each pixel of ``[batch, height, width, channels]`` as a block of ``size``.

    Args:
        size: an int or ``(rows, columns)``.
        data_format: ``"channels_last"`` (default) or ``"channels_first"``.
        interpolation: ``"nearest"`` is the only one.
    """

    rank = 2

    def __init__(
        self,
        size: int | Sequence[int] = (2, 2),
        data_format: str | None = None,
        interpolation: str = "nearest",
        **options: Any,
    ) -> None:
        super().__init__(size, data_format, **options)
        if interpolation != "nearest":
            raise UnknownName("interpolation of UpSampling2D", interpolation, ["nearest"])
