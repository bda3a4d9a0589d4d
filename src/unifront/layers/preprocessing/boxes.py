"""Bounding boxes: their formats, and what becomes of them when an image is cut (keras.utils.bounding_boxes)."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from unifront import ops
from unifront.dtypes import DTypeLike
from unifront.errors import ArgumentError
from unifront.opset.rules import show
from unifront.opset.tensor import type_of

Corners = tuple[Any, Any, Any, Any]


def _from_sizes(x: Any, y: Any, width: Any, height: Any) -> Corners:
    return x, y, ops.add(x, width), ops.add(y, height)


def _to_sizes(x1: Any, y1: Any, x2: Any, y2: Any) -> Corners:
    return x1, y1, ops.subtract(x2, x1), ops.subtract(y2, y1)


def _from_center(x: Any, y: Any, width: Any, height: Any) -> Corners:
    half_width, half_height = ops.divide(width, 2.0), ops.divide(height, 2.0)
    return (
        ops.subtract(x, half_width), ops.subtract(y, half_height), ops.add(x, half_width), ops.add(y, half_height),
    )  # fmt: skip


def _to_center(x1: Any, y1: Any, x2: Any, y2: Any) -> Corners:
    _, _, width, height = _to_sizes(x1, y1, x2, y2)
    return ops.add(x1, ops.divide(width, 2.0)), ops.add(y1, ops.divide(height, 2.0)), width, height


def _turned(a: Any, b: Any, c: Any, d: Any) -> Corners:
    return b, a, d, c


FORMATS: dict[str, tuple[Callable[..., Corners], Callable[..., Corners]]] = {
    "xyxy": (lambda *box: box, lambda *box: box),
    "yxyx": (_turned, _turned),
    "xywh": (_from_sizes, _to_sizes),
    "center_xywh": (_from_center, _to_center),
    "center_yxhw": (
        lambda *box: _from_center(*_turned(*box)),
        lambda *box: _turned(*_to_center(*box)),
    ),
}
"""How each format becomes left, top, right and bottom, and back. With ``rel_`` before it, in parts of the image."""
NAMES = (*FORMATS, "rel_xyxy", "rel_yxyx", "rel_xywh", "rel_center_xywh")


def parts_of(boxes: Any) -> Corners:
    """The four numbers of boxes, ``[…, 1]`` each."""
    last = type_of(boxes).rank - 1
    a, b, c, d = ops.split(boxes, 4, last)
    return a, b, c, d


def _joined(corners: Corners) -> Any:
    return ops.concatenate(list(corners), type_of(corners[0]).rank - 1)


def _size(value: Any, boxes: Any) -> Any:
    """A height or width as a tensor of the dtype of ``boxes``."""
    if hasattr(value, "dtype"):
        return ops.cast(value, type_of(boxes).dtype)
    return ops.full((), value, type_of(boxes).dtype, like=boxes)


def _scaled(corners: Corners, height: Any, width: Any, operation: Callable[[Any, Any], Any]) -> Corners:
    x1, y1, x2, y2 = corners
    return operation(x1, width), operation(y1, height), operation(x2, width), operation(y2, height)


def convert_format(
    boxes: Any,
    source: str,
    target: str,
    height: Any = None,
    width: Any = None,
    dtype: DTypeLike = "float32",
) -> Any:
    """Boxes in another format (keras.utils.bounding_boxes.convert_format).

    Args:
        boxes: ``[…, 4]``, or a dict with such ``"boxes"``.
        source, target: ``"xyxy"``, ``"yxyx"``, ``"xywh"``, ``"center_xywh"``, ``"center_yxhw"``, and the first
            four with ``rel_`` before them, in parts of the image.
        height, width: of the image; needed from and to relative formats.
        dtype: of the result.
    """
    if isinstance(boxes, Mapping):
        return {**boxes, "boxes": convert_format(boxes["boxes"], source, target, height, width, dtype)}
    known = type_of(boxes)
    if known.shape[-1:] != (4,):
        raise ArgumentError(
            "`boxes` must be a tensor with the last dimension of 4. "
            f"Received: boxes.shape={show(known.shape)}"
        )
    source, target = source.lower(), target.lower()
    if source not in NAMES or target not in NAMES:
        raise ArgumentError(f"Invalid source or target format. Supported formats: {NAMES}")
    relative = source.startswith("rel_"), target.startswith("rel_")
    if any(relative) and (width is None or height is None):
        raise ArgumentError(
            "convert_format() must receive `height` and `width` transforming between relative and absolute formats."
            f"convert_format() received source=`{source}`, target=`{target}, but height={height} and width={width}."
        )
    boxes = ops.cast(boxes, dtype)
    if source == target:
        return boxes
    corners = FORMATS[source.removeprefix("rel_")][0](*parts_of(boxes))
    if relative[0] != relative[1]:
        sizes = _size(height, boxes), _size(width, boxes)
        corners = _scaled(corners, *sizes, ops.multiply if relative[0] else ops.divide)
    return _joined(FORMATS[target.removeprefix("rel_")][1](*corners))


def _limited(x: Any, low: Any, high: Any) -> Any:
    return ops.minimum(ops.maximum(x, low), high)


def clip_to_image_size(
    bounding_boxes: Mapping[str, Any],
    height: Any = None,
    width: Any = None,
    bounding_box_format: str = "xyxy",
) -> dict[str, Any]:
    """Boxes without what lies outside the image; the labels of those of which nothing is left become -1.

    Args:
        bounding_boxes: a dict of ``"boxes"`` and, perhaps, ``"labels"``.
        bounding_box_format: ``"xyxy"`` or ``"rel_xyxy"``.
    """
    if bounding_box_format not in ("xyxy", "rel_xyxy"):
        raise ArgumentError(
            f"clip_to_image_size takes boxes as xyxy or rel_xyxy, not {bounding_box_format!r}; see convert_format."
        )
    if bounding_box_format == "xyxy" and (height is None or width is None):
        raise ArgumentError("`height` and `width` must be set if `format='xyxy'`.")
    boxes = bounding_boxes["boxes"]
    x1, y1, x2, y2 = parts_of(boxes)
    bottom, right = (
        (1.0, 1.0) if bounding_box_format == "rel_xyxy" else (_size(height, boxes), _size(width, boxes))
    )
    corners = (
        _limited(x1, 0.0, right),
        _limited(y1, 0.0, bottom),
        _limited(x2, 0.0, right),
        _limited(y2, 0.0, bottom),
    )
    found = {**bounding_boxes, "boxes": _joined(corners)}
    if bounding_boxes.get("labels") is not None:
        _, _, wide, high = _to_sizes(*corners)
        area = ops.squeeze(ops.multiply(wide, high), type_of(boxes).rank - 1)
        labels = bounding_boxes["labels"]
        found["labels"] = ops.where(ops.greater(area, 0.0), labels, ops.cast(-1, type_of(labels).dtype))
    return found


def shifted(boxes: Any, right: Any, down: Any) -> Any:
    """Boxes ``xyxy`` moved; by numbers, or by tensors that broadcast to ``[…, 1]``."""
    x1, y1, x2, y2 = parts_of(boxes)
    return _joined((ops.add(x1, right), ops.add(y1, down), ops.add(x2, right), ops.add(y2, down)))


def crop(boxes: Any, top: Any, left: Any, height: Any, width: Any, bounding_box_format: str = "xyxy") -> Any:
    """Boxes within the part of an image that begins at ``top`` and ``left`` (keras.utils.bounding_boxes.crop)."""
    need_corners(bounding_box_format)
    x1, y1, x2, y2 = parts_of(boxes)
    across = (_limited(ops.subtract(x, left), 0, width) for x in (x1, x2))
    down = (_limited(ops.subtract(y, top), 0, height) for y in (y1, y2))
    (left_, right_), (top_, bottom_) = across, down
    return _joined((left_, top_, right_, bottom_))


def pad(
    boxes: Any, top: Any, left: Any, height: Any = None, width: Any = None, bounding_box_format: str = "xyxy"
) -> Any:
    """Boxes of an image that got borders at its top and left (keras.utils.bounding_boxes.pad)."""
    need_corners(bounding_box_format)
    return shifted(boxes, left, top)


def need_corners(name: str) -> None:
    """`ArgumentError` for boxes that are not ``xyxy``."""
    if name != "xyxy":
        raise ArgumentError(f"The boxes are taken as xyxy, not {name!r}; see convert_format.")


def around(corners: list[tuple[Any, Any]]) -> Any:
    """The boxes ``xyxy`` around points, each given as x and y ``[…, 1]``."""
    last = type_of(corners[0][0]).rank - 1
    xs, ys = (ops.concatenate([corner[i] for corner in corners], last) for i in (0, 1))

    def edge(function: Callable[..., Any], values: Any) -> Any:
        return function(values, axis=last, keepdims=True)

    return _joined((edge(ops.min, xs), edge(ops.min, ys), edge(ops.max, xs), edge(ops.max, ys)))


def corners_of(boxes: Any) -> list[tuple[Any, Any]]:
    """The four corners of boxes ``xyxy``."""
    x1, y1, x2, y2 = parts_of(boxes)
    return [(x1, y1), (x2, y1), (x1, y2), (x2, y2)]
