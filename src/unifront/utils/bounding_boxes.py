"""Bounding boxes, as ``keras.utils.bounding_boxes``."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from unifront import ops
from unifront.errors import ArgumentError, ShapeError
from unifront.layers.preprocessing.boxes import (
    around,
    clip_to_image_size,
    convert_format,
    corners_of,
    crop,
    need_corners,
    pad,
    parts_of,
)
from unifront.opset.rules import show
from unifront.opset.tensor import type_of

__all__ = [
    "affine_transform",
    "clip_to_image_size",
    "compute_ciou",
    "compute_iou",
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


def _extent(low: Any, high: Any) -> Any:
    """How far from ``low`` to ``high``, not below zero."""
    return ops.maximum(ops.subtract(high, low), 0.0)


def _corners(boxes: Any, bounding_box_format: str, image_shape: Sequence[Any] | None) -> tuple[Any, ...]:
    """The parts of boxes as left, top, right and bottom, ``[…, 1]`` each."""
    height, width = _sizes(image_shape)
    return parts_of(convert_format(boxes, bounding_box_format, "xyxy", height, width))


def compute_iou(
    boxes1: Any,
    boxes2: Any,
    bounding_box_format: str,
    use_masking: bool = False,
    mask_val: float = -1,
    image_shape: Sequence[Any] | None = None,
) -> Any:
    """What share of the two together each box of ``boxes1`` has in common with each of ``boxes2``
    (keras.utils.bounding_boxes.compute_iou): ``[N, M]``, or ``[batch, N, M]`` where either is a batch.

    Args:
        boxes1: ``[N, 4]`` or ``[batch, N, 4]``, in a format of `convert_format`.
        boxes2: ``[M, 4]`` or ``[batch, M, 4]``.
        use_masking: give ``mask_val`` for pairs with a box of which all is below zero.
        image_shape: height, width and channels; needed for relative formats.

    Raises `ShapeError` for boxes of another rank.
    """
    ranks = [type_of(boxes).rank for boxes in (boxes1, boxes2)]
    if not set(ranks) <= {2, 3}:
        raise ShapeError(
            "compute_iou() expects boxes1 and boxes2 to be batched, or to be unbatched, [N, 4] or [batch, N, 4]. "
            f"Received boxes1.shape={show(type_of(boxes1).shape)}, boxes2.shape={show(type_of(boxes2).shape)}."
        )
    first = _corners(boxes1, bounding_box_format, image_shape)
    second = tuple(ops.swapaxes(one, -1, -2) for one in _corners(boxes2, bounding_box_format, image_shape))
    left, top = (ops.maximum(first[at], second[at]) for at in (0, 1))
    right, bottom = (ops.minimum(first[at], second[at]) for at in (2, 3))
    common = ops.multiply(_extent(left, right), _extent(top, bottom))
    areas = [
        ops.multiply(ops.subtract(one[2], one[0]), ops.subtract(one[3], one[1])) for one in (first, second)
    ]
    together = ops.subtract(ops.add(*areas), common)
    found = ops.divide(common, ops.add(together, _LEAST))
    if not use_masking:
        return found
    below = [ops.less(ops.maximum(one[2], one[3]), 0.0) for one in (first, second)]
    return ops.where(ops.logical_or(*below), float(mask_val), found)


def compute_ciou(
    boxes1: Any, boxes2: Any, bounding_box_format: str, image_shape: Sequence[Any] | None = None
) -> Any:
    """The complete IoU of each pair of boxes, ``[…]`` (Zheng et al. 2020; keras.utils.bounding_boxes.compute_ciou):
    their common share, less what their centres are apart and their proportions differ.

    Args:
        boxes1, boxes2: ``[…, 4]``, in a format of `convert_format`; they broadcast.
        image_shape: height, width and channels; needed for relative formats.
    """
    last = max(type_of(boxes).rank for boxes in (boxes1, boxes2)) - 1
    one, two = (_corners(boxes, bounding_box_format, image_shape) for boxes in (boxes1, boxes2))
    wide, high = (
        [ops.add(ops.subtract(box[at + 2], box[at]), at * _LEAST) for box in (one, two)] for at in (0, 1)
    )
    common = ops.multiply(
        *(_extent(ops.maximum(one[at], two[at]), ops.minimum(one[at + 2], two[at + 2])) for at in (0, 1))
    )
    areas = ops.add(ops.multiply(wide[0], high[0]), ops.multiply(wide[1], high[1]))
    iou = ops.divide(common, ops.add(ops.subtract(areas, common), 2 * _LEAST))
    around_both = [
        ops.subtract(ops.maximum(one[at + 2], two[at + 2]), ops.minimum(one[at], two[at])) for at in (0, 1)
    ]
    diagonal = ops.add(ops.add(*map(ops.square, around_both)), _LEAST)
    between = [
        ops.subtract(*(ops.multiply(ops.add(box[at], box[at + 2]), 0.5) for box in (one, two)))
        for at in (0, 1)
    ]
    apart = ops.divide(ops.add(*map(ops.square, between)), diagonal)
    angles = ops.subtract(*(ops.arctan(ops.divide(wide[at], high[at])) for at in (1, 0)))
    differ = ops.multiply(ops.square(angles), 4 / math.pi**2)
    weight = ops.divide(differ, ops.add(ops.subtract(differ, iou), 1 + _LEAST))
    found = ops.subtract(iou, ops.add(apart, ops.multiply(differ, weight)))
    return ops.squeeze(found, last)


def affine_transform(
    boxes: Any,
    angle: Any,
    translate_x: Any,
    translate_y: Any,
    scale: Any,
    shear_x: Any,
    shear_y: Any,
    height: Any,
    width: Any,
    center_x: Any = None,
    center_y: Any = None,
    bounding_box_format: str = "xyxy",
) -> Any:
    """The boxes around boxes that are turned, moved, scaled and sheared (keras.utils.bounding_boxes.affine_transform).

    Args:
        boxes: ``[batch, N, 4]``, ``xyxy``.
        angle: ``[batch]``, in degrees, positive ones counter-clockwise; so are ``shear_x`` and ``shear_y``.
        translate_x, translate_y: ``[batch]``, in parts of the image.
        scale: ``[batch]``, how much larger boxes become.
        height, width: of the image.
        center_x, center_y: of the turn, in parts of the image; its middle unless given.
    """
    need_corners(bounding_box_format)

    def each(value: Any, unit: float = 1.0) -> Any:
        return ops.expand_dims(ops.multiply(ops.cast(value, "float32"), unit), (1, 2))

    turn, lean_x, lean_y = (each(one, -math.pi / 180) for one in (angle, shear_x, shear_y))
    rest = ops.subtract(turn, lean_y)
    across = ops.divide(ops.cos(rest), ops.cos(lean_y))
    down = ops.negative(ops.divide(ops.sin(rest), ops.cos(lean_y)))
    a0 = ops.subtract(ops.cos(turn), ops.multiply(down, ops.tan(lean_x)))
    a1 = ops.negative(ops.add(ops.multiply(across, ops.tan(lean_x)), ops.sin(turn)))
    b0, b1 = ops.negative(down), across
    middle = [
        ops.multiply(0.5 if center is None else center, float(size) - 1)
        for center, size in ((center_x, width), (center_y, height))
    ]
    moved = [each(translate_x, float(width) - 1), each(translate_y, float(height) - 1)]

    def place(x: Any, y: Any) -> tuple[Any, Any]:
        x, y = (
            ops.multiply(each(scale), ops.add(ops.subtract(one, centre), by))
            for one, centre, by in zip((x, y), middle, moved, strict=True)
        )
        return (
            ops.add(ops.add(ops.multiply(a0, x), ops.multiply(a1, y)), middle[0]),
            ops.add(ops.add(ops.multiply(b0, x), ops.multiply(b1, y)), middle[1]),
        )

    return around([place(x, y) for x, y in corners_of(ops.cast(boxes, "float32"))])
