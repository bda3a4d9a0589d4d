"""Layers that move, turn and bend images, with their boxes and masks."""

from __future__ import annotations

import math
from typing import Any, Unpack

import numpy as np

from unifront import ops
from unifront.arguments import checked
from unifront.errors import ArgumentError
from unifront.layers.arguments import Seed
from unifront.layers.preprocessing import boxes as box
from unifront.layers.preprocessing.base import (
    Factor,
    ImageOptions,
    between,
    pair,
    range_of,
)
from unifront.layers.preprocessing.spatial import FILL_MODES, INTERPOLATIONS, UNIT, Spatial, fixed, known_of
from unifront.opset.image_geometry import homography
from unifront.opset.images import number
from unifront.opset.tensor import type_of


class _Mapped(Spatial):
    """A layer that looks images up through an affine map, ``[batch, 8]``, from new places to old."""

    fill_mode = "constant"
    fill_value: Any = 0.0

    def _set_map(self, fill_mode: str, interpolation: str, seed: Any, fill_value: Any) -> None:
        self.fill_mode = known_of("fill_mode", fill_mode, FILL_MODES)
        self.interpolation = known_of("interpolation", interpolation, INTERPOLATIONS)
        self.seed, self.fill_value = seed, fill_value

    def map_of(self, drawn: Any) -> Any:
        """The maps."""
        raise NotImplementedError

    def _transform_images(self, images: Any, transformation: Any, interpolation: str) -> Any:
        if transformation is None:
            return images
        return ops.image.affine_transform(
            images,
            self.map_of(transformation),
            interpolation,
            self.fill_mode,
            self.fill_value,
            self.data_format,
        )

    def moved_boxes(self, boxes: Any, drawn: Any) -> Any:
        """The boxes around the corners, which go where the map comes from."""
        a0, a1, a2, b0, b1, b2 = _each(boxes, self.map_of(drawn))[:6]
        area = ops.subtract(ops.multiply(a0, b1), ops.multiply(a1, b0))
        area = ops.where(ops.equal(area, 0.0), np.inf, area)  # of an image that became a line no box is left
        corners = []
        for x, y in box.corners_of(boxes):
            x, y = ops.subtract(x, a2), ops.subtract(y, b2)
            across = ops.subtract(ops.multiply(b1, x), ops.multiply(a1, y))
            down = ops.subtract(ops.multiply(a0, y), ops.multiply(b0, x))
            corners.append((ops.divide(across, area), ops.divide(down, area)))
        return box.around(corners)


def _each(boxes: Any, maps: Any) -> list[Any]:
    """The eight numbers of maps ``[batch, 8]``, so that they broadcast to the parts of boxes ``[batch, count, 1]``, or
    of the boxes of one image."""
    return [ops.expand_dims(one, tuple(range(1, type_of(boxes).rank))) for one in ops.unstack(maps, 8, 1)]


def _matrix(like: Any, *entries: Any) -> Any:
    """Maps ``[batch, 8]`` of their first six entries, numbers or tensors ``[batch]`` as ``like``."""
    none = ops.multiply(like, 0.0)
    columns = [one if hasattr(one, "dtype") else ops.add(none, float(one)) for one in (*entries, 0.0, 0.0)]
    return ops.stack(columns, 1)


class RandomTranslation(_Mapped):
    """Images moved.

    Args:
        height_factor, width_factor: how far, in parts of the image, in [-1, 1]: two bounds, or one for both ways.
        fill_mode: what comes in: ``"reflect"``, ``"wrap"``, ``"constant"`` (``fill_value``) or ``"nearest"``.
        interpolation: ``"bilinear"`` or ``"nearest"``.
    """

    @checked
    def __init__(
        self,
        height_factor: Factor,
        width_factor: Factor,
        fill_mode: str = "reflect",
        interpolation: str = "bilinear",
        seed: Seed = None,
        fill_value: Any = 0.0,
        data_format: str | None = None,
        **options: Unpack[ImageOptions],
    ) -> None:
        super().__init__(data_format=data_format, **options)
        self.height_factor, self.width_factor = height_factor, width_factor
        self.height_lower, self.height_upper = pair("height_factor", height_factor, -1.0, 1.0)
        self.width_lower, self.width_upper = pair("width_factor", width_factor, -1.0, 1.0)
        self._set_map(fill_mode, interpolation, seed, fill_value)

    def get_random_transformation(self, data: Any, training: bool = True, seed: Any = None) -> Any:
        if not training:
            return None
        images = self.images_in(data)
        shape, (height, width) = (self.batch_of(images), 1), self.size_of(images)
        down = self.uniform(shape, (self.height_lower, self.height_upper), seed, images)
        across = self.uniform(shape, (self.width_lower, self.width_upper), seed, images)
        moves = [
            ops.multiply(across, number(width, "float32", images)),
            ops.multiply(down, number(height, "float32", images)),
        ]
        return {"translations": ops.concatenate(moves, 1), "input_shape": type_of(images).shape}

    def map_of(self, drawn: Any) -> Any:
        across, down = ops.unstack(drawn["translations"], 2, 1)
        return _matrix(across, 1, 0, ops.negative(across), 0, 1, ops.negative(down))


class RandomRotation(_Mapped):
    """Images turned around their middle.

    Args:
        factor: in parts of a full turn, in [-1, 1]: two bounds, or one for both ways; positive ones turn
            counter-clockwise.
        fill_mode, interpolation, fill_value: as of `RandomTranslation`.
    """

    @checked
    def __init__(
        self,
        factor: Factor,
        fill_mode: str = "reflect",
        interpolation: str = "bilinear",
        seed: Seed = None,
        fill_value: Any = 0.0,
        data_format: str | None = None,
        **options: Unpack[ImageOptions],
    ) -> None:
        super().__init__(data_format=data_format, **options)
        self._set_factor(factor)
        self._set_map(fill_mode, interpolation, seed, fill_value)

    def get_random_transformation(self, data: Any, training: bool = True, seed: Any = None) -> Any:
        if not training:
            return None
        images = self.images_in(data)
        bounds = (self.factor[0] * 360.0, self.factor[1] * 360.0)
        angle = self.uniform((self.batch_of(images),), bounds, seed, images)
        return {"angle": angle, "input_shape": type_of(images).shape}

    def map_of(self, drawn: Any) -> Any:
        angle = ops.multiply(drawn["angle"], math.pi / 180)
        cos, sin = ops.cos(angle), ops.sin(angle)
        middle = [
            ops.subtract(number(size, "float32", angle), 1.0) for size in self.size_in(drawn["input_shape"])
        ]
        y, x = (ops.multiply(size, 0.5) for size in middle)
        across = ops.add(ops.subtract(x, ops.multiply(x, cos)), ops.multiply(y, sin))
        down = ops.subtract(ops.subtract(y, ops.multiply(x, sin)), ops.multiply(y, cos))
        return _matrix(angle, cos, ops.negative(sin), across, sin, cos, down)


class RandomZoom(_Mapped):
    """Images seen from nearer or farther away.

    Args:
        height_factor, width_factor: how much more of the image is seen, in (-1, 1]: two bounds, or one for both ways;
            without ``width_factor`` proportions are kept.
        fill_mode, interpolation, fill_value: as of `RandomTranslation`.
    """

    @checked
    def __init__(
        self,
        height_factor: Factor,
        width_factor: Factor = None,
        fill_mode: str = "reflect",
        interpolation: str = "bilinear",
        seed: Seed = None,
        fill_value: Any = 0.0,
        data_format: str | None = None,
        **options: Unpack[ImageOptions],
    ) -> None:
        super().__init__(data_format=data_format, **options)
        self.height_factor, self.width_factor = height_factor, width_factor
        self.height_lower, self.height_upper = pair("height_factor", height_factor, -1.0, 1.0, open_low=True)
        if width_factor is not None:
            self.width_lower, self.width_upper = pair("width_factor", width_factor, -1.0, 1.0, open_low=True)
        self._set_map(fill_mode, interpolation, seed, fill_value)

    def get_random_transformation(self, data: Any, training: bool = True, seed: Any = None) -> Any:
        if not training:
            return None
        images = self.images_in(data)
        shape = (self.batch_of(images), 1)
        down = self.uniform(shape, (1.0 + self.height_lower, 1.0 + self.height_upper), seed, images)
        across = down
        if self.width_factor is not None:
            across = self.uniform(shape, (1.0 + self.width_lower, 1.0 + self.width_upper), seed, images)
        return {"height_zoom": down, "width_zoom": across, "input_shape": type_of(images).shape}

    def map_of(self, drawn: Any) -> Any:
        down, across = (ops.squeeze(drawn[f"{name}_zoom"], 1) for name in ("height", "width"))
        offsets = [
            ops.multiply(
                ops.multiply(ops.subtract(number(size, "float32", zoom), 1.0), 0.5), ops.subtract(1.0, zoom)
            )
            for size, zoom in zip(self.size_in(drawn["input_shape"]), (down, across), strict=True)
        ]
        return _matrix(down, across, 0, offsets[1], 0, down, offsets[0])


class RandomShear(_Mapped):
    """Images with their rows, or columns, moved the farther the further down, or right, they are.

    Args:
        x_factor, y_factor: how far, in [0, 1]: two bounds, or one for both ways.
        fill_mode, interpolation, fill_value: as of `RandomTranslation`.
    """

    @checked
    def __init__(
        self,
        x_factor: Factor = 0.0,
        y_factor: Factor = 0.0,
        interpolation: str = "bilinear",
        fill_mode: str = "reflect",
        fill_value: Any = 0.0,
        data_format: str | None = None,
        seed: Seed = None,
        **options: Unpack[ImageOptions],
    ) -> None:
        super().__init__(data_format=data_format, **options)
        self.x_factor, self.y_factor = (
            _both(name, f) for name, f in (("x_factor", x_factor), ("y_factor", y_factor))
        )
        self._set_map(fill_mode, interpolation, seed, fill_value)

    def told_argument(self, name: str, given: Any) -> Any:
        return given if name in ("x_factor", "y_factor") else super().told_argument(name, given)

    def get_random_transformation(self, data: Any, training: bool = True, seed: Any = None) -> Any:
        if not training:
            return None
        images = self.images_in(data)
        shape = (self.batch_of(images), 1)
        sign = ops.where(ops.greater(self.uniform(shape, UNIT, seed, images), 0.5), -1.0, 1.0)
        factors = [self.uniform(shape, bounds, seed, images) for bounds in (self.x_factor, self.y_factor)]
        shear = ops.multiply(ops.concatenate(factors, 1), sign)
        return {"shear_factor": shear, "input_shape": type_of(images).shape}

    def map_of(self, drawn: Any) -> Any:
        across, down = ops.unstack(drawn["shear_factor"], 2, 1)
        return _matrix(across, 1, across, 0, down, 1, 0)


def _both(name: str, factor: Any) -> tuple[float, float]:
    low, high = pair(name, factor, 0.0, 1.0)
    return (low, high) if isinstance(factor, list | tuple) else (-high, high)


class RandomPerspective(Spatial):
    """Images seen from the side, each with a probability drawn from ``factor``.

    Args:
        factor: in [0, 1].
        scale: how far the corners are moved at most, in [0, 1].
        interpolation, fill_value: as of `RandomTranslation`.
    """

    _FACTOR_BOUNDS = (0, 1)

    @checked
    def __init__(
        self,
        factor: Factor = 1.0,
        scale: Any = 1.0,
        interpolation: str = "bilinear",
        fill_value: Any = 0.0,
        seed: Seed = None,
        data_format: str | None = None,
        **options: Unpack[ImageOptions],
    ) -> None:
        super().__init__(data_format=data_format, **options)
        self._set_factor(factor)
        if not isinstance(scale, int | float) or not 0 <= scale <= 1:
            raise ArgumentError(
                f"The `scale` argument should be a number in the range [0,1]. Received: scale={scale}"
            )
        self.interpolation = known_of("interpolation", interpolation, INTERPOLATIONS)
        self.scale, self.fill_value, self.seed = scale, fill_value, seed

    def get_random_transformation(self, data: Any, training: bool = True, seed: Any = None) -> Any:
        if not training:
            return None
        images = self.images_in(data)
        batch, (height, width) = self.batch_of(images), self.size_of(images)
        bottom, right = (ops.subtract(number(size, "float32", images), 1.0) for size in (height, width))
        unit = np.array([[0, 0], [1, 0], [0, 1], [1, 1]], np.float32)
        start = ops.multiply(unit, ops.stack([right, bottom], 0))
        factor = self.uniform((batch, 4, 2), (-0.5 * self.scale, 0.5 * self.scale), seed, images)
        start = ops.add(ops.multiply(factor, 0.0), start)
        return {
            "apply_perspective": self.chosen(images, seed),
            "start_points": start,
            "end_points": ops.add(start, ops.multiply(start, factor)),
            "input_shape": type_of(images).shape,
        }

    def _transform_images(self, images: Any, transformation: Any, interpolation: str) -> Any:
        if transformation is None:
            return images
        seen = ops.image.perspective_transform(
            images, transformation["start_points"], transformation["end_points"], interpolation,
            self.fill_value, self.data_format,
        )  # fmt: skip
        choice = ops.reshape(transformation["apply_perspective"], (-1, *(1,) * (type_of(images).rank - 1)))
        return ops.where(choice, seen, images)

    def moved_boxes(self, boxes: Any, drawn: Any) -> Any:
        forth = homography(drawn["end_points"], drawn["start_points"])
        a = _each(boxes, forth)

        def line(x: Any, y: Any, three: Any) -> Any:
            return ops.add(ops.add(ops.multiply(three[0], x), ops.multiply(three[1], y)), three[2])

        corners = []
        for x, y in box.corners_of(boxes):
            depth = line(x, y, (a[6], a[7], 1.0))
            corners.append((ops.divide(line(x, y, a[:3]), depth), ops.divide(line(x, y, a[3:6]), depth)))
        choice = ops.reshape(drawn["apply_perspective"], (-1, *(1,) * (type_of(boxes).rank - 1)))
        return ops.where(choice, box.around(corners), boxes)


class RandomElasticTransform(Spatial):
    """Images bent, each with a probability drawn from ``factor``; see `uf.ops.image.elastic_transform`.

    Args:
        factor: in [0, 1].
        scale: how much, in [0, 1]: two bounds, or the upper one. The upper one says how smooth the bending is.
    """

    _FACTOR_BOUNDS = (0, 1)

    @checked
    def __init__(
        self,
        factor: Factor = 1.0,
        scale: Factor = 1.0,
        interpolation: str = "bilinear",
        fill_mode: str = "reflect",
        fill_value: Any = 0.0,
        value_range: Any = (0, 255),
        seed: Seed = None,
        data_format: str | None = None,
        **options: Unpack[ImageOptions],
    ) -> None:
        super().__init__(data_format=data_format, **options)
        self._set_factor(factor)
        self.scale = pair("scale", scale, 0, 1)
        self.interpolation = known_of("interpolation", interpolation, INTERPOLATIONS)
        self.fill_mode = known_of("fill_mode", fill_mode, (*FILL_MODES, "mirror"))
        self.fill_value, self.value_range, self.seed = fill_value, range_of(value_range), seed

    def get_random_transformation(self, data: Any, training: bool = True, seed: Any = None) -> Any:
        if not training or not self.scale[1] or not self.factor[1]:
            return None
        images = self.images_in(data)
        return {
            "apply_transform": self.chosen(images, seed),
            "distortion_factor": self.uniform((), self.scale, seed, images),
            "seed": self.key(seed),
        }

    def _transform_images(self, images: Any, transformation: Any, interpolation: str) -> Any:
        if transformation is None:
            return images
        height, width = self.size_of(images)
        smooth = min(fixed(height, self), fixed(width, self)) * 0.05 * self.scale[1]
        far = ops.multiply(transformation["distortion_factor"], 0.1 * max(height, width))
        known = type_of(images).dtype
        bent = ops.image.elastic_transform(
            self.floats(images), ops.cast(far, self.compute_dtype), smooth, interpolation, self.fill_mode,
            self.fill_value, transformation["seed"], self.data_format,
        )  # fmt: skip
        bent = ops.where(transformation["apply_transform"], bent, self.floats(images))
        return ops.cast(between(bent, *self.value_range), known)

    def transform_bounding_boxes(
        self, bounding_boxes: Any, transformation: Any, training: bool = True
    ) -> Any:
        return bounding_boxes
