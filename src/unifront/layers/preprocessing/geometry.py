"""Layers that cut, move, turn and bend images, with their boxes and masks."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, Unpack

import numpy as np

from unifront import ops
from unifront.arguments import Size, checked
from unifront.errors import ArgumentError, ShapeError
from unifront.ir.dims import maximum, minimum
from unifront.layers.arguments import Seed
from unifront.layers.preprocessing import boxes as box
from unifront.layers.preprocessing.base import (
    BaseImagePreprocessingLayer,
    Factor,
    FormatOptions,
    ImageOptions,
    between,
    pair,
    range_of,
)
from unifront.opset.image_geometry import homography
from unifront.opset.images import number, part
from unifront.opset.tensor import type_of

INTERPOLATIONS = ("nearest", "bilinear")
FILL_MODES = ("reflect", "wrap", "constant", "nearest")
UNIT = (0.0, 1.0)


def _known(what: str, value: Any, known: tuple[str, ...]) -> str:
    if value not in known:
        raise ArgumentError(f"Unknown `{what}` {value}. Expected of one {known}.")
    return str(value)


class _Spatial(BaseImagePreprocessingLayer):
    """A layer that moves pixels: masks go as images do, by nearest pixels."""

    _USE_BASE_FACTOR = False

    def axes(self, images: Any) -> tuple[int, int]:
        """The axes of height and width, counted from the front."""
        last = type_of(images).rank - (self.data_format == "channels_last")
        return last - 2, last - 1

    def transform_segmentation_masks(
        self, segmentation_masks: Any, transformation: Any, training: bool = True
    ) -> Any:
        if not training or transformation is None:
            return segmentation_masks
        return self._transform_images(segmentation_masks, transformation, "nearest")

    def moved_boxes(self, boxes: Any, drawn: Any) -> Any:
        """Boxes ``xyxy`` as the images are moved."""
        raise NotImplementedError

    def transform_bounding_boxes(
        self, bounding_boxes: Any, transformation: Any, training: bool = True
    ) -> Any:
        if not training or transformation is None:
            return bounding_boxes
        height, width = self.size_in(transformation["input_shape"])
        assert self.bounding_box_format is not None
        found = box.convert_format(bounding_boxes, self.bounding_box_format, "xyxy", height, width)
        found["boxes"] = self.moved_boxes(found["boxes"], transformation)
        found = box.clip_to_image_size(found, height, width)
        return box.convert_format(found, "xyxy", self.bounding_box_format, height, width)


class _Sized(_Spatial):
    """A layer that gives images of a size of its own."""

    height: int
    width: int

    def resized_boxes(self, bounding_boxes: Any, size: Any, corners: Any) -> Any:
        """Boxes of images of ``size`` with new ``corners`` in those of the layer's."""
        assert self.bounding_box_format is not None
        found = box.convert_format(bounding_boxes, self.bounding_box_format, "xyxy", *size)
        found["boxes"] = corners(found["boxes"])
        found = box.clip_to_image_size(found, self.height, self.width)
        return box.convert_format(found, "xyxy", self.bounding_box_format, self.height, self.width)

    def cut(self, size: tuple[Any, Any]) -> Any:
        """The middle of images of ``size`` in the proportions of the layer's: its start and size along both axes."""
        height, width = size
        kept = (
            maximum(minimum(height, width * self.height // self.width), 1),
            maximum(minimum(width, height * self.width // self.height), 1),
        )
        return [((whole - keep) // 2, keep) for whole, keep in zip(size, kept, strict=True)]


def _linear(boxes: Any, scale: Any, offset: Any) -> Any:
    """Boxes ``xyxy`` times ``(down, across)`` plus an offset ``(down, across)``."""
    factors = np.array([scale[1], scale[0]] * 2, np.float32)
    return ops.add(ops.multiply(boxes, factors), np.array([offset[1], offset[0]] * 2, np.float32))


class Resizing(_Sized):
    """Images in another size; see `uf.ops.image.resize`, whose arguments it takes. It does so in inference too."""

    @checked
    def __init__(
        self,
        height: Size,
        width: Size,
        interpolation: str = "bilinear",
        crop_to_aspect_ratio: bool = False,
        pad_to_aspect_ratio: bool = False,
        fill_mode: str = "constant",
        fill_value: Any = 0.0,
        antialias: bool = False,
        data_format: str | None = None,
        **options: Unpack[ImageOptions],
    ) -> None:
        super().__init__(data_format=data_format, **options)
        self.height, self.width, self.interpolation = height, width, interpolation
        self.crop_to_aspect_ratio, self.pad_to_aspect_ratio = crop_to_aspect_ratio, pad_to_aspect_ratio
        self.fill_mode, self.fill_value, self.antialias = fill_mode, fill_value, antialias

    def get_random_transformation(self, data: Any, training: bool = True, seed: Any = None) -> Any:
        return self.size_of(self.images_in(data))

    def _transform_images(self, images: Any, transformation: Any, interpolation: str) -> Any:
        return ops.image.resize(
            images, (self.height, self.width), interpolation, self.antialias, self.crop_to_aspect_ratio,
            self.pad_to_aspect_ratio, self.fill_mode, self.fill_value, self.data_format,
        )  # fmt: skip

    def transform_images(self, images: Any, transformation: Any = None, training: bool = True) -> Any:
        return self._transform_images(images, transformation, self.interpolation)

    def transform_segmentation_masks(
        self, segmentation_masks: Any, transformation: Any = None, training: bool = True
    ) -> Any:
        return self._transform_images(segmentation_masks, transformation, "nearest")

    def transform_bounding_boxes(
        self, bounding_boxes: Any, transformation: Any, training: bool = True
    ) -> Any:
        height, width = (_fixed(size, self) for size in transformation)
        scale = [self.height / height, self.width / width]
        offset = [0.0, 0.0]
        if self.pad_to_aspect_ratio or self.crop_to_aspect_ratio:
            one = (min if self.pad_to_aspect_ratio else max)(scale)
            scale = [one, one]
            offset = [(self.height - height * one) // 2, (self.width - width * one) // 2]
            if self.crop_to_aspect_ratio:
                offset = [-((height * one - self.height) // 2), -((width * one - self.width) // 2)]
        boxes = bounding_boxes["boxes"]
        last = type_of(boxes).rank - 1
        none = ops.logical_or(
            ops.all(ops.equal(boxes, -1.0), axis=last, keepdims=True),
            ops.all(ops.equal(boxes, 0.0), axis=last, keepdims=True),
        )

        def corners(xyxy: Any) -> Any:
            return ops.where(none, 0.0, _linear(xyxy, scale, offset))

        return self.resized_boxes(bounding_boxes, (height, width), corners)


def _fixed(size: Any, layer: Any) -> int:
    if not isinstance(size, int):
        raise ShapeError(
            f"{type(layer).__name__} needs images of a known height and width where there are bounding boxes."
        )
    return size


class CenterCrop(_Sized):
    """The middle of images, ``height`` and ``width`` pixels of it.

    Smaller images are cut in these proportions and resized. It does so in inference too.
    """

    @checked
    def __init__(
        self, height: Size, width: Size, data_format: str | None = None, **options: Unpack[ImageOptions]
    ) -> None:
        super().__init__(data_format=data_format, **options)
        self.height, self.width = height, width

    def get_random_transformation(self, data: Any, training: bool = True, seed: Any = None) -> Any:
        return {"input_shape": type_of(self.images_in(data)).shape}

    def _transform_images(self, images: Any, transformation: Any, interpolation: str) -> Any:
        size, wanted = self.size_of(images), (self.height, self.width)
        if all(isinstance(one, int) and one < want for one, want in zip(size, wanted, strict=True)) or any(
            isinstance(one, int) and one < want for one, want in zip(size, wanted, strict=True)
        ):
            return ops.image.resize(
                images, wanted, interpolation, crop_to_aspect_ratio=True, data_format=self.data_format
            )
        starts = [(one - want) // 2 for one, want in zip(size, wanted, strict=True)]
        for axis, start, want in zip(self.axes(images), starts, wanted, strict=True):
            images = _window(images, axis, start, want)
        return images

    def transform_images(self, images: Any, transformation: Any = None, training: bool = True) -> Any:
        return self._transform_images(self.floats(images), transformation, "bilinear")

    def transform_segmentation_masks(
        self, segmentation_masks: Any, transformation: Any = None, training: bool = True
    ) -> Any:
        return self._transform_images(segmentation_masks, transformation, "nearest")

    def transform_bounding_boxes(
        self, bounding_boxes: Any, transformation: Any, training: bool = True
    ) -> Any:
        size = tuple(_fixed(one, self) for one in self.size_in(transformation["input_shape"]))
        wanted = (self.height, self.width)
        spans = [((one - want) // 2, want) for one, want in zip(size, wanted, strict=True)]
        if any(start < 0 for start, _ in spans):
            spans = self.cut((size[0], size[1]))

        def corners(xyxy: Any) -> Any:
            (top, high), (left, wide) = spans
            inside = box.crop(xyxy, float(top), float(left), float(high), float(wide))
            return _linear(inside, (self.height / high, self.width / wide), (0.0, 0.0))

        return self.resized_boxes(bounding_boxes, size, corners)


def _window(images: Any, axis: int, start: Any, size: int) -> Any:
    """``size`` pixels from ``start`` on, an int, a dimension or an integer scalar."""
    if isinstance(start, int):
        return part(images, axis, start, start + size)
    first = (
        start
        if hasattr(start, "dtype") and not isinstance(start, np.generic)
        else number(start, "int32", images)
    )
    return ops.take(images, ops.add(np.arange(size, dtype=np.int32), first), axis)


class RandomCrop(_Sized):
    """Some ``height`` and ``width`` pixels of images, the same of all, while training.

    Smaller images are cut in these proportions, in the middle, and resized.
    """

    @checked
    def __init__(
        self,
        height: Size,
        width: Size,
        seed: Seed = None,
        data_format: str | None = None,
        **options: Unpack[ImageOptions],
    ) -> None:
        super().__init__(data_format=data_format, **options)
        self.height, self.width, self.seed = height, width, seed

    def get_random_transformation(self, data: Any, training: bool = True, seed: Any = None) -> Any:
        images = self.images_in(data)
        size, wanted = self.size_of(images), (self.height, self.width)
        if any(not isinstance(one, int) for one in size):
            raise ShapeError(
                "RandomCrop requires the input to have a fully defined height and width. "
                f"Received: images.shape={type_of(images).shape}"
            )
        if training and all(one > want for one, want in zip(size, wanted, strict=True)):
            return tuple(
                ops.cast(self.uniform((), (0.0, float(one - want + 1)), seed, images), "int32")
                for one, want in zip(size, wanted, strict=True)
            )
        return tuple(start for start, _ in self.cut(size))

    def _transform_images(self, images: Any, transformation: Any, interpolation: str) -> Any:
        size = self.size_of(images)
        for axis, start, one, want in zip(
            self.axes(images), transformation, size, (self.height, self.width), strict=True
        ):
            whole = isinstance(start, int) and start + want > one
            images = part(images, axis, start, one) if whole else _window(images, axis, start, want)
        if self.size_of(images) == (self.height, self.width):
            return images
        return ops.image.resize(
            images, (self.height, self.width), interpolation, data_format=self.data_format
        )

    def transform_images(self, images: Any, transformation: Any, training: bool = True) -> Any:
        images = self.floats(images)
        return self._transform_images(images, transformation, "bilinear") if training else images

    def transform_bounding_boxes(
        self, bounding_boxes: Any, transformation: Any, training: bool = True
    ) -> Any:
        if not training:
            return bounding_boxes
        top, left = (ops.cast(start, "float32") for start in transformation)
        assert self.bounding_box_format is not None
        size = (self.height, self.width)
        found = box.convert_format(bounding_boxes, self.bounding_box_format, "xyxy", *size)
        found["boxes"] = ops.maximum(box.shifted(found["boxes"], ops.negative(left), ops.negative(top)), 0.0)
        return box.convert_format(found, "xyxy", self.bounding_box_format, *size)


class RandomFlip(_Spatial):
    """Each image flipped or not.

    Args:
        mode: ``"horizontal"``, ``"vertical"`` or ``"horizontal_and_vertical"``.
        seed: gives the layer a stream of its own.
    """

    @checked
    def __init__(
        self,
        mode: str = "horizontal_and_vertical",
        seed: Seed = None,
        data_format: str | None = None,
        **options: Unpack[ImageOptions],
    ) -> None:
        super().__init__(data_format=data_format, **options)
        self.mode = _known("mode", mode, ("horizontal", "vertical", "horizontal_and_vertical"))
        self.seed = seed

    def get_random_transformation(self, data: Any, training: bool = True, seed: Any = None) -> Any:
        if not training:
            return None
        images = self.images_in(data)
        shape = (self.batch_of(images), 1, 1, 1) if type_of(images).rank == 4 else (1, 1, 1)
        flips = ops.less_equal(self.uniform(shape, UNIT, seed, images), 0.5)
        return {"flips": flips, "input_shape": type_of(images).shape}

    def _transform_images(self, images: Any, transformation: Any, interpolation: str) -> Any:
        if transformation is None:
            return images
        down, across = self.axes(images)
        found = images
        for name, axis in (("horizontal", across), ("vertical", down)):
            if name in self.mode:
                found = ops.flip(found, axis)
        return ops.where(transformation["flips"], found, images)

    def moved_boxes(self, boxes: Any, drawn: Any) -> Any:
        height, width = (number(size, "float32", boxes) for size in self.size_in(drawn["input_shape"]))
        x1, y1, x2, y2 = ops.split(boxes, 4, type_of(boxes).rank - 1)
        if "horizontal" in self.mode:
            x1, x2 = ops.subtract(width, x2), ops.subtract(width, x1)
        if "vertical" in self.mode:
            y1, y2 = ops.subtract(height, y2), ops.subtract(height, y1)
        flips = drawn["flips"]
        flips = ops.squeeze(flips, type_of(flips).rank - 1)
        return ops.where(flips, ops.concatenate([x1, y1, x2, y2], type_of(boxes).rank - 1), boxes)


class _Mapped(_Spatial):
    """A layer that looks images up through an affine map, ``[batch, 8]``, from new places to old."""

    fill_mode = "constant"
    fill_value: Any = 0.0

    def _set_map(self, fill_mode: str, interpolation: str, seed: Any, fill_value: Any) -> None:
        self.fill_mode = _known("fill_mode", fill_mode, FILL_MODES)
        self.interpolation = _known("interpolation", interpolation, INTERPOLATIONS)
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


class RandomPerspective(_Spatial):
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
        self.interpolation = _known("interpolation", interpolation, INTERPOLATIONS)
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


class RandomElasticTransform(_Spatial):
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
        self.interpolation = _known("interpolation", interpolation, INTERPOLATIONS)
        self.fill_mode = _known("fill_mode", fill_mode, (*FILL_MODES, "mirror"))
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
        smooth = min(_fixed(height, self), _fixed(width, self)) * 0.05 * self.scale[1]
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


class MaxNumBoundingBoxes(BaseImagePreprocessingLayer):
    """As many boxes of each image as ``max_number``: more are left out, fewer are filled up with ``fill_value``."""

    @checked
    def __init__(self, max_number: Size, fill_value: int = -1, **options: Unpack[FormatOptions]) -> None:
        super().__init__(**options)
        self.max_number, self.fill_value = max_number, fill_value

    def transform_images(self, images: Any, transformation: Any = None, training: bool = True) -> Any:
        return images

    def transform_bounding_boxes(
        self, bounding_boxes: Any, transformation: Any = None, training: bool = True
    ) -> Any:
        found = dict(bounding_boxes) if isinstance(bounding_boxes, Mapping) else bounding_boxes
        for name in ("boxes", "labels"):
            rows = found[name]
            size = type_of(rows).shape[1]
            kept = part(rows, 1, 0, minimum(size, self.max_number))
            widths = [(0, 0)] * type_of(rows).rank
            widths[1] = (0, max(self.max_number - _fixed(size, self), 0))
            found[name] = ops.pad(kept, widths, "constant", self.fill_value)
        return found
