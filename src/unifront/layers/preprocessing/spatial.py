"""What layers that move pixels share: boxes and masks go as images do."""

from __future__ import annotations

from typing import Any

from unifront.errors import ArgumentError, ShapeError
from unifront.layers.preprocessing import boxes as box
from unifront.layers.preprocessing.base import (
    BaseImagePreprocessingLayer,
)
from unifront.opset.tensor import type_of

INTERPOLATIONS = ("nearest", "bilinear")
FILL_MODES = ("reflect", "wrap", "constant", "nearest")
UNIT = (0.0, 1.0)


def known_of(what: str, value: Any, known: tuple[str, ...]) -> str:
    """``value``, which is one of ``known``."""
    if value not in known:
        raise ArgumentError(f"Unknown `{what}` {value}. Expected of one {known}.")
    return str(value)


class Spatial(BaseImagePreprocessingLayer):
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


def fixed(size: Any, layer: Any) -> int:
    """``size`` of an image, which the layer must know."""
    if not isinstance(size, int):
        raise ShapeError(
            f"{type(layer).__name__} needs images of a known height and width where there are bounding boxes."
        )
    return size
