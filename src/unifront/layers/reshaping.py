"""Layers that add or leave out steps and pixels."""

from __future__ import annotations

from typing import Annotated, Any, Literal, Unpack

import numpy as np

from unifront import ops
from unifront.arguments import LARGEST, Check, Wrong, checked, with_defaults
from unifront.errors import ShapeError
from unifront.layers.arguments import DataFormat, LayerOptions, PerAxis, check_rank
from unifront.layers.layer import Layer
from unifront.opset.rules import is_whole, show
from unifront.opset.tensor import type_of


def _pairs(given: Any, owner: Any) -> tuple[tuple[int, int], ...]:
    """The two sizes at each spatial axis."""
    one = tuple(given) if isinstance(given, list | tuple) else (given,) * owner.rank
    if owner.rank == 1 and len(one) == 2 and not any(isinstance(size, list | tuple) for size in one):
        one = (one,)  # (before, after)
    pairs = tuple(tuple(side) if isinstance(side, list | tuple) else (side, side) for side in one)
    fits = len(pairs) == owner.rank and all(len(pair) == 2 for pair in pairs)
    if not fits or any(not is_whole(size) or not 0 <= size <= LARGEST for pair in pairs for size in pair):
        raise Wrong(f"an int >= 0, or one int or pair for each of {owner.rank} axes")
    return pairs


Border = Annotated[Any, Check(_pairs)]
"""Sizes before and after each spatial axis: an int, or an int or a pair for each."""


class _Border(Layer):
    rank: int

    def __init__(self, data_format: Any, **options: Any) -> None:
        super().__init__(**options)
        self.data_format = data_format

    def everywhere(self, pairs: tuple[tuple[int, int], ...]) -> tuple[tuple[int, int], ...]:
        """The pairs of all axes, those of batch and channels zero."""
        none = ((0, 0),)
        return (*none, *none, *pairs) if self.data_format == "channels_first" else (*none, *pairs, *none)


class _ZeroPadding(_Border):
    @checked
    def __init__(
        self, padding: Border = 1, data_format: DataFormat = None, **options: Unpack[LayerOptions]
    ) -> None:
        super().__init__(data_format, **options)
        self.padding = padding

    def told_argument(self, name: str, given: Any) -> Any:
        """Keras's layers of one axis take what theirs of several take for each."""
        value = super().told_argument(name, given)
        return value[0] if self.rank == 1 and name == "padding" else value

    def call(self, x: Any) -> Any:
        check_rank(self, x, self.rank + 2)
        return ops.pad(x, self.everywhere(self.padding))


@with_defaults(padding=1)
class ZeroPadding1D(_ZeroPadding):
    """Zeros before and after the steps of ``[batch, steps, channels]``.

    Args:
        padding: an int or ``(before, after)``.
        data_format: ``"channels_last"`` (default) or ``"channels_first"``.
    """

    rank = 1


@with_defaults(padding=(1, 1))
class ZeroPadding2D(_ZeroPadding):
    """Zeros around an image: ``[batch, height, width, channels]``, with the two sizes in the middle grown.

    Args:
        padding: an int, ``(rows, columns)`` or ``((top, bottom), (left, right))``.
        data_format: ``"channels_last"`` (default) or ``"channels_first"``.
    """

    rank = 2


@with_defaults(padding=((1, 1), (1, 1), (1, 1)))
class ZeroPadding3D(_ZeroPadding):
    """Zeros around a volume.

    Args:
        padding: an int, or one int or pair for each of the three axes.
        data_format: ``"channels_last"`` (default) or ``"channels_first"``.
    """

    rank = 3


class _Cropping(_Border):
    @checked
    def __init__(
        self, cropping: Border = 0, data_format: DataFormat = None, **options: Unpack[LayerOptions]
    ) -> None:
        super().__init__(data_format, **options)
        self.cropping = cropping

    def told_argument(self, name: str, given: Any) -> Any:
        """Keras's layers of one axis take what theirs of several take for each."""
        value = super().told_argument(name, given)
        return value[0] if self.rank == 1 and name == "cropping" else value

    def build(self, shape: Any) -> None:
        for axis, (size, pair) in enumerate(zip(shape, self.everywhere(self.cropping), strict=False)):
            if isinstance(size, int) and any(pair) and sum(pair) >= size:
                raise ShapeError(
                    f"Nothing is left of axis {axis} of {show(shape)} when {pair} are cut off. Values in `cropping` "
                    "argument should be smaller than the corresponding spatial dimension of the input."
                )

    def call(self, x: Any) -> Any:
        check_rank(self, x, self.rank + 2)
        pairs = self.everywhere(self.cropping)
        return ops.strided_slice(
            x, [before for before, _ in pairs], [-after if after else None for _, after in pairs]
        )


class Cropping1D(_Cropping):
    """The first and last steps of ``[batch, steps, channels]`` left out.

    Args:
        cropping: an int or ``(before, after)``; ``(1, 1)`` by default.
        data_format: ``"channels_last"`` (default) or ``"channels_first"``.
    """

    rank = 1

    @checked
    def __init__(
        self, cropping: Border = (1, 1), *, data_format: DataFormat = None, **options: Unpack[LayerOptions]
    ) -> None:
        super().__init__(cropping, data_format, **options)


@with_defaults(cropping=((0, 0), (0, 0)))
class Cropping2D(_Cropping):
    """The borders of an image ``[batch, height, width, channels]`` left out.

    Args:
        cropping: an int, ``(rows, columns)`` or ``((top, bottom), (left, right))``.
        data_format: ``"channels_last"`` (default) or ``"channels_first"``.
    """

    rank = 2


@with_defaults(cropping=((1, 1), (1, 1), (1, 1)))
class Cropping3D(_Cropping):
    """The borders of a volume left out.

    Args:
        cropping: an int, or one int or pair for each of the three axes; 1 by default.
        data_format: ``"channels_last"`` (default) or ``"channels_first"``.
    """

    rank = 3


class _UpSampling(Layer):
    rank: int

    def __init__(self, size: Any, data_format: Any = None, **options: Any) -> None:
        super().__init__(**options)
        self.size, self.data_format = size, data_format

    def told_argument(self, name: str, given: Any) -> Any:
        """Keras's layers of one axis take what theirs of several take for each."""
        value = super().told_argument(name, given)
        return value[0] if self.rank == 1 and name == "size" else value

    def call(self, x: Any) -> Any:
        check_rank(self, x, self.rank + 2)
        first = 2 if self.data_format == "channels_first" else 1
        for axis, times in enumerate(self.size, first):
            x = ops.repeat(x, times, axis=axis) if times > 1 else x
        return x


class UpSampling1D(_UpSampling):
    """Each step of ``[batch, steps, channels]`` ``size`` times over."""

    rank = 1

    @checked
    def __init__(self, size: PerAxis = 2, **options: Unpack[LayerOptions]) -> None:
        super().__init__(size, **options)


class UpSampling2D(_UpSampling):
    """Each pixel of ``[batch, height, width, channels]`` as a block of ``size``.

    Args:
        size: an int or ``(rows, columns)``.
        data_format: ``"channels_last"`` (default) or ``"channels_first"``.
        interpolation: of `uf.ops.image.resize`: ``"nearest"``, ``"bilinear"``, ``"bicubic"``, ``"lanczos3"`` ….
    """

    rank = 2

    @checked
    def __init__(
        self,
        size: PerAxis = (2, 2),
        data_format: DataFormat = None,
        interpolation: Literal["nearest", "bilinear", "bicubic", "lanczos3", "lanczos5"] = "nearest",
        **options: Unpack[LayerOptions],
    ) -> None:
        super().__init__(size, data_format, **options)
        self.interpolation = interpolation

    def call(self, x: Any) -> Any:
        if self.interpolation == "nearest":
            return super().call(x)
        check_rank(self, x, 4)
        first = 2 if self.data_format == "channels_first" else 1
        axes, shape = (first, first + 1), list(type_of(x).shape)
        for axis, times in zip(axes, self.size, strict=True):
            shape[axis] = shape[axis] * times
        wanted = [size for size in shape[first : first + 2] if isinstance(size, int)]
        if len(wanted) == 2:
            return ops.image.resize(x, wanted, self.interpolation, data_format=self.data_format)
        scale = np.asarray(self.size, "float32")
        return ops.image.scale_and_translate(  # the same, of sizes that are not known
            x, shape, scale, np.zeros(2, "float32"), axes, self.interpolation, antialias=False
        )


class UpSampling3D(_UpSampling):
    """Each element of a volume ``[batch, depth, height, width, channels]`` as a block of ``size``.

    Args:
        size: an int, or one for each of the three axes.
        data_format: ``"channels_last"`` (default) or ``"channels_first"``.
    """

    rank = 3

    @checked
    def __init__(
        self, size: PerAxis = (2, 2, 2), data_format: DataFormat = None, **options: Unpack[LayerOptions]
    ) -> None:
        super().__init__(size, data_format, **options)
