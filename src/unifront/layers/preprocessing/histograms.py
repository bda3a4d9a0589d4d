"""Layers that spread the values of images by how often they are."""

from __future__ import annotations

from typing import Any, Unpack

import numpy as np

from unifront import ops
from unifront.arguments import Real, Size, checked
from unifront.errors import ArgumentError
from unifront.ir.dims import Dim
from unifront.layers.arguments import LayerOptions
from unifront.layers.building import feature_size
from unifront.layers.preprocessing.base import ImageOptions, between, range_of, rescaled
from unifront.layers.preprocessing.color import BYTE, ColorLayer
from unifront.opset.images import as_batch, number, part, positions
from unifront.opset.tensor import type_of


class Equalization(ColorLayer):
    """Each channel's values spread so that all are about as frequent.

    Args:
        bins: of the histogram of values.
    """

    @checked
    def __init__(
        self,
        value_range: Any = (0, 255),
        bins: Size = 256,
        data_format: str | None = None,
        **options: Unpack[ImageOptions],
    ) -> None:
        super().__init__(data_format=data_format, **options)
        self.value_range, self.bins = range_of(value_range), bins

    def changed(self, images: Any, drawn: Any) -> Any:
        count = feature_size(type_of(images).shape, self._channels)
        parts = ops.split(images, count, self._channels)
        return ops.concatenate([self._equalized(part) for part in parts], self._channels)

    def _equalized(self, channel: Any) -> Any:
        values = rescaled(channel, self.value_range, BYTE)
        place = ops.cast(
            between(ops.multiply(values, (self.bins - 1) / 255.0), 0.0, self.bins - 1.0), "int32"
        )
        # How many pixels are in each bin or below: the table of the sums of the histogram.
        up_to = ops.cast(_up_to(ops.flatten(place), np.arange(self.bins, dtype=np.int32)), "float32")
        first = ops.sum(ops.cast(ops.equal(place, ops.min(place)), "float32"))
        last = ops.max(up_to)
        rest = ops.subtract(last, first)
        table = ops.divide(ops.multiply(ops.subtract(up_to, first), 255.0), ops.maximum(rest, 1.0))
        found = ops.take(between(ops.round(table), *BYTE), place, 0)
        found = ops.where(ops.equal(rest, 0.0), values, ops.cast(found, self.compute_dtype))
        return rescaled(found, BYTE, self.value_range)


def _up_to(values: Any, bins: Any) -> Any:
    """How many of ``values`` ``[n]`` are at most each of ``bins``."""
    return ops.searchsorted(ops.sort(values), bins, side="right")


_LEVELS = 256


class ContrastLimitedAdaptiveHistogramEqualization(ColorLayer):
    """Each region's values spread so that all are about as frequent, but for a limit (CLAHE; Zuiderveld 1994).

    The image is cut into tiles. What the histogram of a tile has above the limit is spread over all its values, and
    between the middles of tiles a pixel becomes the bilinear mean of what their four tables make of it. It does so in
    inference too, and gives images of the dtype that they have.

    Args:
        value_range: the least and the largest value of a pixel.
        clip_limit: how often a value counts at most, in parts of the mean; 0 or less for no limit.
        tile_grid_size: how many tiles there are down and across.
    """

    @checked
    def __init__(
        self,
        value_range: Any = (0, 255),
        clip_limit: Real = 4.0,
        tile_grid_size: Any = (8, 8),
        data_format: str | None = None,
        **options: Unpack[LayerOptions],
    ) -> None:
        super().__init__(data_format=data_format, **options)
        grid = tuple(tile_grid_size) if isinstance(tile_grid_size, list | tuple) else ()
        if len(grid) != 2 or not all(isinstance(one, int) and one > 0 for one in grid):
            raise ArgumentError(f"tile_grid_size is two positive ints, not {tile_grid_size!r}.")
        self.value_range, self.clip_limit, self.tile_grid_size = range_of(value_range), clip_limit, grid

    def transform_images(self, images: Any, transformation: Any = None, training: bool = True) -> Any:
        known = type_of(images).dtype
        batch, back = as_batch(images, self.data_format)
        values = rescaled(ops.cast(batch, "float32"), self.value_range, BYTE)
        found = rescaled(self._equalized(values), BYTE, self.value_range)
        return back(ops.cast(found, known))

    def _equalized(self, images: Any) -> Any:
        batch, *sizes, channels = type_of(images).shape
        grid = self.tile_grid_size
        tile: list[Dim] = [(size + count - 1) // count for size, count in zip(sizes, grid, strict=True)]
        whole = images
        for axis, (size, count, step) in enumerate(zip(sizes, grid, tile, strict=True), 1):
            whole = ops.take(whole, _mirrored(step * count, size, images), axis)
        levels = ops.cast(between(whole, *BYTE), "int32")
        tables = self._tables(levels, tile, (batch, *grid, channels))
        rows, columns = (_between_tiles(step, count, images) for step, count in zip(tile, grid, strict=True))
        found = _looked_up(tables, levels, rows, columns)
        for axis, size in enumerate(sizes, 1):
            found = part(found, axis, 0, size)
        return found

    def _tables(self, levels: Any, tile: list[Dim], shape: tuple[Dim, ...]) -> Any:
        """What becomes of each level in each tile, ``[batch, down, across, channels, 256]``."""
        batch, down, across, channels = shape
        cut = ops.reshape(levels, (batch, down, tile[0], across, tile[1], channels))
        cut = ops.reshape(ops.transpose(cut, (0, 1, 3, 5, 2, 4)), (-1, tile[0] * tile[1]))
        count = type_of(cut).shape[0]
        starts = ops.multiply(positions(count, "int32", levels), _LEVELS)
        numbered = ops.add(cut, ops.expand_dims(starts, 1))
        up_to = _up_to(ops.flatten(numbered), positions(count * _LEVELS, "int32", levels))
        pixels = number(tile[0] * tile[1], "float32", levels)
        before = ops.multiply(ops.cast(positions(count, "int32", levels), "float32"), pixels)
        sums = ops.subtract(
            ops.reshape(ops.cast(up_to, "float32"), (-1, _LEVELS)), ops.expand_dims(before, 1)
        )
        if self.clip_limit > 0:
            often = ops.subtract(sums, ops.pad(part(sums, 1, 0, _LEVELS - 1), [(0, 0), (1, 0)]))
            kept = ops.minimum(often, ops.multiply(pixels, self.clip_limit / _LEVELS))
            spare = ops.sum(ops.subtract(often, kept), axis=1, keepdims=True)
            sums = ops.cumsum(ops.add(kept, ops.divide(spare, float(_LEVELS))), axis=1)
        least = ops.min(sums, axis=1, keepdims=True)
        rest = ops.subtract(pixels, least)
        table = ops.divide(
            ops.multiply(ops.subtract(sums, least), 255.0), ops.where(ops.equal(rest, 0.0), 1.0, rest)
        )
        return ops.reshape(between(table, *BYTE), (*shape, _LEVELS))


def _mirrored(count: Dim, size: Dim, like: Any) -> Any:
    """``count`` places in an axis of ``size``, which is mirrored, its edge included, where it ends."""
    twice = number(size * 2, "int32", like)
    place = ops.mod(positions(count, "int32", like), twice)
    return ops.minimum(place, ops.subtract(ops.subtract(twice, place), 1))


def _between_tiles(step: Dim, count: int, like: Any) -> tuple[Any, Any, Any]:
    """For each pixel along an axis of ``count`` tiles of ``step`` pixels: the tile whose middle is before it, the one
    whose middle is behind it, and how far it is on the way."""
    long = number(step, "float32", like)
    place = ops.divide(ops.subtract(positions(step * count, "float32", like), ops.multiply(long, 0.5)), long)
    before = ops.floor(place)
    low, high = (ops.cast(between(one, 0.0, count - 1.0), "int32") for one in (before, ops.add(before, 1.0)))
    return low, high, ops.subtract(place, before)


def _looked_up(tables: Any, levels: Any, rows: Any, columns: Any) -> Any:
    """``levels`` ``[batch, height, width, channels]`` through the tables of the four tiles around each."""
    batch, down, across, channels, _ = type_of(tables).shape
    flat = ops.flatten(tables)
    images = ops.expand_dims(positions(batch, "int32", levels), (1, 2, 3))
    channel = positions(channels, "int32", levels)

    def through(row: Any, column: Any) -> Any:
        tile = ops.add(
            ops.multiply(images, number(down * across, "int32", levels)), ops.multiply(row, across)
        )
        place = ops.add(ops.multiply(ops.add(tile, column), number(channels, "int32", levels)), channel)
        return ops.take(flat, ops.add(ops.multiply(place, _LEVELS), levels), 0)

    (top, bottom, below), (left, right, aside) = (
        [ops.expand_dims(one, axes) for one in ones]
        for ones, axes in ((rows, (0, 2, 3)), (columns, (0, 1, 3)))
    )

    def mixed(first: Any, second: Any, share: Any) -> Any:
        return ops.add(ops.multiply(first, ops.subtract(1.0, share)), ops.multiply(second, share))

    upper, lower = (mixed(through(row, left), through(row, right), aside) for row in (top, bottom))
    return mixed(upper, lower, below)
