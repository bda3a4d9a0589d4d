"""Bounding boxes, as ``keras.utils.bounding_boxes``."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from unifront import ops
from unifront.errors import ArgumentError
from unifront.layers.preprocessing.boxes import clip_to_image_size, convert_format, crop, pad
from unifront.opset.tensor import type_of

__all__ = [
    "clip_to_image_size",
    "convert_format",
    "crop",
    "decode_deltas_to_boxes",
    "encode_box_to_deltas",
    "pad",
]

_LEAST = 1e-7
"""No box is narrower, so that nothing is divided by zero."""


def _sizes(image_shape: Sequence[Any] | None) -> tuple[Any, Any]:
    return (None, None) if image_shape is None else (image_shape[0], image_shape[1])


def _halves(boxes: Any) -> tuple[Any, Any]:
    """Centres and sizes, ``[…, 2]`` each."""
    first, second = ops.split(boxes, 2, type_of(boxes).rank - 1)
    return first, second


def _centered(encoding: str) -> str:
    if encoding not in ("center_xywh", "center_yxhw"):
        raise ArgumentError(f"The encoding is 'center_xywh' or 'center_yxhw', not {encoding!r}.")
    return encoding


def encode_box_to_deltas(
    anchors: Any,
    boxes: Any,
    anchor_format: str,
    box_format: str,
    encoding_format: str = "center_yxhw",
    variance: Any = None,
    image_shape: Sequence[Any] | None = None,
) -> Any:
    """How boxes differ from anchors: their centres in sizes of the anchor, and the logarithms of their sizes in these
    (Ren et al. 2015).

    Args:
        anchors, boxes: ``[…, 4]``, in the formats of `convert_format`.
        encoding_format: ``"center_yxhw"`` or ``"center_xywh"``.
        variance: four numbers that the result is divided by.
        image_shape: height, width and channels; needed for relative formats.
    """
    height, width = _sizes(image_shape)
    target = _centered(encoding_format)
    anchor, anchor_size = _halves(convert_format(anchors, anchor_format, target, height, width))
    box, box_size = _halves(convert_format(boxes, box_format, target, height, width))
    anchor_size, box_size = ops.maximum(anchor_size, _LEAST), ops.maximum(box_size, _LEAST)
    found = [ops.divide(ops.subtract(box, anchor), anchor_size), ops.log(ops.divide(box_size, anchor_size))]
    deltas = ops.concatenate(found, type_of(found[0]).rank - 1)
    return deltas if variance is None else ops.divide(deltas, ops.cast(variance, "float32"))


def decode_deltas_to_boxes(
    anchors: Any,
    boxes_delta: Any,
    anchor_format: str,
    box_format: str,
    encoded_format: str = "center_yxhw",
    variance: Any = None,
    image_shape: Sequence[Any] | None = None,
) -> Any:
    """The boxes that `encode_box_to_deltas` encoded; arguments as there. Dicts are taken level by level."""
    if isinstance(anchors, dict) and isinstance(boxes_delta, dict):
        return {
            level: decode_deltas_to_boxes(
                anchor, boxes_delta[level], anchor_format, box_format, encoded_format, variance, image_shape
            )
            for level, anchor in anchors.items()
        }
    height, width = _sizes(image_shape)
    source = _centered(encoded_format)
    anchor, size = _halves(convert_format(anchors, anchor_format, source, height, width))
    deltas = boxes_delta if variance is None else ops.multiply(boxes_delta, ops.cast(variance, "float32"))
    moved, grown = _halves(deltas)
    parts = [ops.add(ops.multiply(moved, size), anchor), ops.multiply(ops.exp(grown), size)]
    found = ops.concatenate(parts, type_of(parts[0]).rank - 1)
    return convert_format(found, source, box_format, height, width)
