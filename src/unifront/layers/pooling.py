"""Pooling."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Unpack

from unifront import ops
from unifront.arguments import checked, in_order, with_defaults
from unifront.layers.arguments import DataFormat, LayerOptions, Padding, PerAxis, check_mask, check_rank
from unifront.layers.layer import Layer
from unifront.opset.tensor import type_of


class _Pooling(Layer):
    built_at_once = True
    rank: int
    paddings = ("valid", "same")
    pool: Callable[..., Any]

    @in_order("name")
    def __init__(
        self,
        pool_size: PerAxis = 2,
        strides: PerAxis | None = None,
        padding: Padding = "valid",
        data_format: DataFormat = None,
        **options: Unpack[LayerOptions],
    ) -> None:
        super().__init__(**options)
        self.pool_size, self.strides = pool_size, pool_size if strides is None else strides
        self.padding, self.data_format = padding, data_format

    def call(self, x: Any) -> Any:
        check_rank(self, x, self.rank + 2)
        return type(self).pool(
            x,
            pool_size=self.pool_size,
            strides=self.strides,
            padding=self.padding,
            data_format=self.data_format,
        )


def _define(kind: str, rank: int, pool: Callable[..., Any]) -> type[_Pooling]:
    what = {"Max": "largest", "Average": "mean"}[kind]
    name = f"{kind}Pooling{rank}D"
    doc = (
        f"The {what} of each window over {rank} spatial axes.\n\n"
        "    Args:\n"
        "        pool_size: an int or one for each spatial axis.\n"
        "        strides: the same; the pool_size unless given.\n"
        '        padding: "valid" or "same"; padding does not count toward a mean.\n'
        '        data_format: "channels_last" (default) or "channels_first".\n    '
    )
    members = {"rank": rank, "pool": staticmethod(pool), "__doc__": doc, "__module__": __name__}
    return with_defaults(pool_size=2 if rank == 1 else (2,) * rank)(type(name, (_Pooling,), members))


MaxPooling1D = _define("Max", 1, ops.max_pool)
MaxPooling2D = _define("Max", 2, ops.max_pool)
MaxPooling3D = _define("Max", 3, ops.max_pool)
AveragePooling1D = _define("Average", 1, ops.average_pool)
AveragePooling2D = _define("Average", 2, ops.average_pool)
AveragePooling3D = _define("Average", 3, ops.average_pool)


class _AdaptivePooling(Layer):
    rank: int
    pool: Callable[..., Any]

    @checked
    def __init__(
        self, output_size: PerAxis, data_format: DataFormat = None, **options: Unpack[LayerOptions]
    ) -> None:
        super().__init__(**options)
        self.output_size, self.data_format = output_size, data_format

    def call(self, x: Any) -> Any:
        check_rank(self, x, self.rank + 2)
        return type(self).pool(x, self.output_size, self.data_format)


def _define_adaptive(kind: str, rank: int, pool: Callable[..., Any]) -> type[_AdaptivePooling]:
    what = {"Max": "largest", "Average": "mean"}[kind]
    doc = (
        f"The {what} of each of ``output_size`` bins along {rank} spatial axes, which overlap where they must.\n\n"
        "    Args:\n"
        "        output_size: an int or one for each spatial axis.\n"
        '        data_format: "channels_last" (default) or "channels_first".\n\n'
        "    Raises `ShapeError` where a spatial size of the input is not known.\n    "
    )
    members = {"rank": rank, "pool": staticmethod(pool), "__doc__": doc, "__module__": __name__}
    return type(f"Adaptive{kind}Pooling{rank}D", (_AdaptivePooling,), members)


AdaptiveMaxPooling1D = _define_adaptive("Max", 1, ops.adaptive_max_pool)
AdaptiveMaxPooling2D = _define_adaptive("Max", 2, ops.adaptive_max_pool)
AdaptiveMaxPooling3D = _define_adaptive("Max", 3, ops.adaptive_max_pool)
AdaptiveAveragePooling1D = _define_adaptive("Average", 1, ops.adaptive_average_pool)
AdaptiveAveragePooling2D = _define_adaptive("Average", 2, ops.adaptive_average_pool)
AdaptiveAveragePooling3D = _define_adaptive("Average", 3, ops.adaptive_average_pool)


class _GlobalPooling(Layer):
    built_at_once = True
    rank: int

    @checked
    def __init__(
        self, data_format: DataFormat = None, keepdims: bool = False, **options: Unpack[LayerOptions]
    ) -> None:
        super().__init__(**options)
        self.data_format, self.keepdims = data_format, keepdims

    @property
    def axes(self) -> tuple[int, ...]:
        """The spatial axes."""
        first = 2 if self.data_format == "channels_first" else 1
        return tuple(range(first, first + self.rank))


class _GlobalMax(_GlobalPooling):
    def call(self, x: Any) -> Any:
        check_rank(self, x, self.rank + 2)
        return ops.max(x, axis=self.axes, keepdims=self.keepdims)


class _GlobalAverage(_GlobalPooling):
    def call(self, x: Any) -> Any:
        check_rank(self, x, self.rank + 2)
        return ops.mean(x, axis=self.axes, keepdims=self.keepdims)


class GlobalMaxPooling1D(_GlobalMax):
    """The largest of all steps: ``[batch, steps, channels]`` → ``[batch, channels]``.

    Args:
        data_format: ``"channels_last"`` (default) or ``"channels_first"``.
        keepdims: keep the steps as an axis of size one.
    """

    rank = 1


class GlobalMaxPooling2D(_GlobalMax):
    """The largest of all pixels: ``[batch, height, width, channels]`` → ``[batch, channels]``.

    Arguments as for `GlobalMaxPooling1D`.
    """

    rank = 2


class GlobalMaxPooling3D(_GlobalMax):
    """The largest of all voxels: ``[batch, depth, height, width, channels]`` → ``[batch, channels]``.

    Arguments as for `GlobalMaxPooling1D`.
    """

    rank = 3


class GlobalAveragePooling1D(_GlobalAverage):
    """The mean of the steps inside the mask: ``[batch, steps, channels]`` → ``[batch, channels]``.

    Arguments as for `GlobalMaxPooling1D`.
    """

    rank = 1
    supports_masking = True

    def call(self, x: Any, mask: Any = None) -> Any:
        if mask is None:
            return super().call(x)
        check_rank(self, x, 3)
        (axis,) = self.axes
        check_mask(mask, x, axis)
        weights = ops.expand_dims(ops.cast(mask, type_of(x).dtype), 2 if axis == 1 else 1)
        total = ops.sum(ops.multiply(x, weights), axis=axis, keepdims=self.keepdims)
        return ops.divide(total, ops.sum(weights, axis=axis, keepdims=self.keepdims))

    def compute_mask(self, inputs: Any, mask: Any = None) -> Any:
        return None


class GlobalAveragePooling2D(_GlobalAverage):
    """The mean of all pixels: ``[batch, height, width, channels]`` → ``[batch, channels]``.

    Arguments as for `GlobalMaxPooling1D`.
    """

    rank = 2


class GlobalAveragePooling3D(_GlobalAverage):
    """The mean of all voxels: ``[batch, depth, height, width, channels]`` → ``[batch, channels]``.

    Arguments as for `GlobalMaxPooling1D`.
    """

    rank = 3


# Keras's other names.
AvgPool1D = AveragePooling1D
AvgPool2D = AveragePooling2D
AvgPool3D = AveragePooling3D
MaxPool1D = MaxPooling1D
MaxPool2D = MaxPooling2D
MaxPool3D = MaxPooling3D
GlobalAvgPool1D = GlobalAveragePooling1D
GlobalAvgPool2D = GlobalAveragePooling2D
GlobalAvgPool3D = GlobalAveragePooling3D
GlobalMaxPool1D = GlobalMaxPooling1D
GlobalMaxPool2D = GlobalMaxPooling2D
GlobalMaxPool3D = GlobalMaxPooling3D
