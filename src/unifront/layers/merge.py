"""Layers of several inputs, given as a list."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import reduce
from typing import Annotated, Any, Unpack

from unifront import ops
from unifront.arguments import Check, Wrong, checked, shown
from unifront.errors import ArgumentError, ShapeError
from unifront.layers.arguments import Axis, LayerOptions
from unifront.layers.layer import Layer
from unifront.opset.rules import axis_in, broadcast, is_whole, joined
from unifront.opset.tensor import type_of


def _check_several(layer: Layer, shapes: Any, least: int = 1, most: int | None = None) -> None:
    """Raise `ArgumentError` unless ``shapes`` are those of a list of so many tensors."""
    listed = isinstance(shapes, list | tuple) and all(isinstance(shape, tuple) for shape in shapes)
    if not listed or len(shapes) < least or len(shapes) > (most or len(shapes)):
        number = least if most else f"at least {least}"
        raise ArgumentError(
            f"{type(layer).__name__} takes a list of {number} tensors; the shapes of what was given are {shapes}."
        )


class _Merge(Layer):
    """What the layers share that join their inputs, which broadcast, two by two."""

    supports_masking = True
    join: Callable[[Any, Any], Any]

    def build(self, shapes: Any) -> None:
        _check_several(self, shapes, 2)
        rank = max(map(len, shapes))
        broadcast(*((*shape[:1], *(1,) * (rank - len(shape)), *shape[1:]) for shape in shapes), unify=True)

    def call(self, xs: Any) -> Any:
        """The inputs joined; those of fewer dimensions get axes of size one behind the batch, as in Keras."""
        rank = max(type_of(x).rank for x in xs)
        return reduce(type(self).join, [_widened(x, rank) for x in xs])

    def compute_mask(self, inputs: Any, mask: Any = None) -> Any:
        masks = _masks(inputs, mask)
        return None if any(one is None for one in masks) else reduce(ops.logical_or, masks)


def _masks(inputs: Any, mask: Any) -> list[Any]:
    """One mask for each input, or None; `ArgumentError` for what is no list of so many."""
    for name, given in (("inputs", inputs), ("mask", mask)):
        if not isinstance(given, list | tuple) and not (name == "mask" and given is None):
            raise ArgumentError(
                f"`{name}` should be a list, with one for each input; given was {shown(given)}."
            )
    if mask is not None and len(mask) != len(inputs):
        raise ArgumentError(
            f"The lists `inputs` and `mask` should have the same length; they have {len(inputs)} and {len(mask)}."
        )
    return [None] * len(inputs) if mask is None else list(mask)


def _as(mask: Any, x: Any) -> Any:
    """``mask`` with trailing axes of size one, so that it broadcasts to ``x``."""
    for _ in range(type_of(x).rank - type_of(mask).rank):
        mask = ops.expand_dims(mask, -1)
    return mask


def _widened(x: Any, rank: int) -> Any:
    missing = rank - type_of(x).rank
    return ops.expand_dims(x, tuple(range(1, 1 + missing))) if missing else x


class Add(_Merge):
    """The sum of the inputs, broadcast."""

    join = staticmethod(ops.add)


class Multiply(_Merge):
    """The product of the inputs, broadcast."""

    join = staticmethod(ops.multiply)

    def call(self, xs: Any, mask: Any = None) -> Any:
        """The product. As in Keras, a masked step of one input does not count; masked in all it is zero."""
        given = _masks(xs, mask)
        masks = [None if one is None else _as(one, x) for x, one in zip(xs, given, strict=True)]
        counted = [x if one is None else ops.where(one, x, 1.0) for x, one in zip(xs, masks, strict=True)]
        product = super().call(counted)
        if any(one is None for one in masks):
            return product
        return ops.where(reduce(ops.logical_or, masks), product, 0.0)


class _Extreme(_Merge):
    """One of the inputs, element by element. As in Keras, a masked step of one input does not count."""

    def call(self, xs: Any, mask: Any = None) -> Any:
        masks = _masks(xs, mask)
        if all(one is None for one in masks):
            return super().call(xs)
        found, kept = xs[0], None if masks[0] is None else _as(masks[0], xs[0])
        for x, one in zip(xs[1:], masks[1:], strict=True):
            own = None if one is None else _as(one, x)
            x = x if own is None else ops.where(own, x, found)
            found = type(self).join(found if kept is None else ops.where(kept, found, x), x)
            kept = None if own is None or kept is None else ops.logical_or(kept, own)
        return found


class Maximum(_Extreme):
    """The largest of the inputs, element by element."""

    join = staticmethod(ops.maximum)


class Minimum(_Extreme):
    """The smallest of the inputs, element by element."""

    join = staticmethod(ops.minimum)


class Average(_Merge):
    """The mean of the inputs."""

    join = staticmethod(ops.add)

    def call(self, xs: Any) -> Any:
        return ops.divide(super().call(xs), float(len(xs)))


class Subtract(_Merge):
    """The first input less the second."""

    join = staticmethod(ops.subtract)

    def build(self, shapes: Any) -> None:
        _check_several(self, shapes, 2, 2)
        super().build(shapes)


class Concatenate(Layer):
    """The inputs one after the other along ``axis``; their other sizes are equal."""

    supports_masking = True

    @checked
    def __init__(self, axis: Axis = -1, **options: Unpack[LayerOptions]) -> None:
        super().__init__(**options)
        self.axis = axis

    def build(self, shapes: Any) -> None:
        _check_several(self, shapes)
        axis = axis_in(self.axis, len(shapes[0]))
        if joined(shapes, axis) is None:
            raise ShapeError(f"Concatenate along axis {self.axis}: the shapes {shapes} differ elsewhere.")

    def call(self, xs: Any) -> Any:
        return ops.concatenate(xs, axis=self.axis)

    def compute_mask(self, inputs: Any, mask: Any = None) -> Any:
        masks = _masks(inputs, mask)
        if all(one is None for one in masks):
            return None
        rank = type_of(inputs[0]).rank
        axis = axis_in(self.axis, rank)
        full = [self._full(x, one) for x, one in zip(inputs, masks, strict=True)]
        joined = ops.concatenate(full, axis=axis)
        return ops.any(joined, axis=-1)

    @staticmethod
    def _full(x: Any, mask: Any) -> Any:
        """A mask of the shape of ``x``."""
        ones = ops.cast(ops.ones_like(x), "bool")
        if mask is None:
            return ones
        return ops.logical_and(ones, _as(mask, x))


def _two_axes(axes: Any, owner: Any) -> tuple[int, int]:
    both = tuple(axes) if isinstance(axes, list | tuple) else (axes, axes)
    if len(both) != 2 or not all(is_whole(axis) and axis != 0 for axis in both):
        raise Wrong("an int other than 0, or two")
    return int(both[0]), int(both[1])


TwoAxes = Annotated[Any, Check(_two_axes)]
"""One axis for both inputs, or one of each."""


class Dot(Layer):
    """The inner products of two inputs, example by example, over one axis of each.

    Args:
        axes: the axis of both, or one of each; batch is axis 0.
        normalize: divide both by their length first, which gives the cosine.
    """

    supports_masking = True

    @checked
    def __init__(self, axes: TwoAxes, normalize: bool = False, **options: Unpack[LayerOptions]) -> None:
        super().__init__(**options)
        self.axes, self.normalize = axes, normalize

    def build(self, shapes: Any) -> None:
        _check_several(self, shapes, 2, 2)
        a, b = (shape[axis_in(axis, len(shape))] for shape, axis in zip(shapes, self.axes, strict=True))
        if a != b:
            raise ShapeError(f"Dot over the axes {self.axes} of {shapes}: the sizes {a} and {b} differ.")

    def call(self, xs: Any) -> Any:
        a, b = (ops.moveaxis(x, axis, -1) for x, axis in zip(xs, self.axes, strict=True))
        if self.normalize:
            a, b = (self._unit(x) for x in (a, b))
        first, second = type_of(a).shape[1:-1], type_of(b).shape[1:-1]
        rows, columns = (ops.reshape(x, (type_of(x).shape[0], -1, type_of(x).shape[-1])) for x in (a, b))
        products = ops.matmul(rows, ops.transpose(columns, (0, 2, 1)))
        return ops.reshape(products, (type_of(a).shape[0], *(first + second or (1,))))

    @staticmethod
    def _unit(x: Any) -> Any:
        squared = ops.sum(ops.square(x), axis=-1, keepdims=True)
        return ops.multiply(x, ops.rsqrt(ops.maximum(squared, 1e-12)))  # Keras's epsilon

    def compute_mask(self, inputs: Any, mask: Any = None) -> Any:
        return None


# ---------------------------------------------------------------- as functions


@checked
def add(inputs: Any, **options: Any) -> Any:
    """`Add` of ``inputs``; the options are the layer's."""
    return Add(**options)(inputs)


@checked
def subtract(inputs: Any, **options: Any) -> Any:
    """`Subtract` of two ``inputs``; the options are the layer's."""
    return Subtract(**options)(inputs)


@checked
def multiply(inputs: Any, **options: Any) -> Any:
    """`Multiply` of ``inputs``; the options are the layer's."""
    return Multiply(**options)(inputs)


@checked
def average(inputs: Any, **options: Any) -> Any:
    """`Average` of ``inputs``; the options are the layer's."""
    return Average(**options)(inputs)


@checked
def maximum(inputs: Any, **options: Any) -> Any:
    """`Maximum` of ``inputs``; the options are the layer's."""
    return Maximum(**options)(inputs)


@checked
def minimum(inputs: Any, **options: Any) -> Any:
    """`Minimum` of ``inputs``; the options are the layer's."""
    return Minimum(**options)(inputs)


@checked
def concatenate(inputs: Any, axis: int = -1, **options: Any) -> Any:
    """`Concatenate` of ``inputs``; the options are the layer's."""
    return Concatenate(axis=axis, **options)(inputs)


@checked
def dot(inputs: Any, axes: int | Sequence[int] = -1, **options: Any) -> Any:
    """`Dot` of two ``inputs``; the options are the layer's."""
    return Dot(axes=axes, **options)(inputs)
