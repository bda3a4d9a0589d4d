"""Layers that give images another frame: sizes, crops and mirrors, with their boxes and masks."""

from __future__ import annotations

from collections.abc import Mapping
from functools import reduce
from typing import Any, Unpack

import numpy as np

from unifront import ops
from unifront.arguments import Size, checked, in_order
from unifront.errors import ShapeError
from unifront.ir.dims import maximum, minimum
from unifront.layers.arguments import Seed
from unifront.layers.preprocessing import boxes as box
from unifront.layers.preprocessing.base import (
    BaseImagePreprocessingLayer,
    FormatOptions,
    ImageOptions,
)
from unifront.layers.preprocessing.spatial import UNIT, Spatial, fixed, known_of
from unifront.opset.images import number, part
from unifront.opset.tensor import type_of


class _Sized(Spatial):
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
        height, width = (fixed(size, self) for size in transformation)
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
        wanted = (self.height, self.width)
        pairs = list(zip(self.size_of(images), wanted, strict=True))

        def resized(images: Any) -> Any:
            return ops.image.resize(
                images, wanted, interpolation, crop_to_aspect_ratio=True, data_format=self.data_format
            )

        def cropped(images: Any) -> Any:
            for axis, (one, want) in zip(self.axes(images), pairs, strict=True):
                images = _window(images, axis, (one - want) // 2, want)
            return images

        if any(isinstance(one, int) and one < want for one, want in pairs):
            return resized(images)
        smaller = [
            ops.less(number(one, "int32", images), want) for one, want in pairs if not isinstance(one, int)
        ]
        return (
            ops.cond(reduce(ops.logical_or, smaller), resized, cropped, images)
            if smaller
            else cropped(images)
        )

    def transform_images(self, images: Any, transformation: Any = None, training: bool = True) -> Any:
        return self._transform_images(self.floats(images), transformation, "bilinear")

    def transform_segmentation_masks(
        self, segmentation_masks: Any, transformation: Any = None, training: bool = True
    ) -> Any:
        return self._transform_images(segmentation_masks, transformation, "nearest")

    def transform_bounding_boxes(
        self, bounding_boxes: Any, transformation: Any, training: bool = True
    ) -> Any:
        size = tuple(fixed(one, self) for one in self.size_in(transformation["input_shape"]))
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

    @in_order("name")
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


class RandomFlip(Spatial):
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
        self.mode = known_of("mode", mode, ("horizontal", "vertical", "horizontal_and_vertical"))
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
            widths[1] = (0, max(self.max_number - fixed(size, self), 0))
            found[name] = ops.pad(kept, widths, "constant", self.fill_value)
        return found
