"""SSD300 on VGG-16 (Liu et al. 2016): scores and boxes at 8732 default boxes, and what detections they make."""

import math
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

import unifront as uf
from unifront import layers
from unifront_zoo._parts import LayerScale

SIDE = 300
MAPS, STEPS = (38, 19, 10, 5, 3, 1), (8, 16, 32, 64, 100, 300)
"""Rows of each feature map, and pixels from one of its places to the next."""
SCALES = (0.07, 0.15, 0.33, 0.51, 0.69, 0.87, 1.05)
"""Sizes of the boxes of each map, and of one more, as shares of the image."""
RATIOS = ((2,), (2, 3), (2, 3), (2, 3), (2,), (2,))
"""Width to height of the boxes of each map, beside two squares; each also upright."""
VARIANCES = np.array([0.1, 0.1, 0.2, 0.2])
"""What offsets of centres and logarithms of sizes are in units of."""


def default_boxes() -> np.ndarray:
    """The boxes ``[8732, 4]``: centre's x and y, width and height as shares of the image (section 2.2 of the paper)."""
    found = []
    for k, (rows, step) in enumerate(zip(MAPS, STEPS, strict=True)):
        sizes = [(SCALES[k],) * 2, (math.sqrt(SCALES[k] * SCALES[k + 1]),) * 2]
        for ratio in RATIOS[k]:
            long, short = SCALES[k] * math.sqrt(ratio), SCALES[k] / math.sqrt(ratio)
            sizes += [(long, short), (short, long)]
        centres = (np.arange(rows) + 0.5) * step / SIDE
        y, x, size = np.meshgrid(centres, centres, np.arange(len(sizes)), indexing="ij")
        widths = np.minimum(sizes, 1.0)[size]
        found.append(np.concatenate([np.stack([x, y], -1), widths], -1).reshape(-1, 4))
    return np.concatenate(found).astype("float32")


def decoded(offsets: np.ndarray) -> np.ndarray:
    """The boxes that ``offsets`` ``[..., 8732, 4]`` from the default ones mean: left, top, right, bottom in [0, 1]."""
    default, scaled = default_boxes(), offsets * VARIANCES
    centres = default[:, :2] + scaled[..., :2] * default[:, 2:]
    halves = default[:, 2:] * np.exp(np.minimum(scaled[..., 2:], math.log(1000 / 16))) / 2
    return np.clip(np.concatenate([centres - halves, centres + halves], -1), 0.0, 1.0)


def kept(boxes: np.ndarray, scores: np.ndarray, overlap: float) -> np.ndarray:
    """Non-maximum suppression: the best of ``boxes`` ``[n, 4]``, those that no better kept one overlaps by more.

    Args:
        boxes: left, top, right, bottom.
        scores: ``[n]``.
        overlap: of the intersection over the union.

    Returns:
        Indices, best first.
    """
    areas = np.prod(boxes[:, 2:] - boxes[:, :2], axis=-1)
    left, chosen = np.argsort(-scores, kind="stable"), []
    while left.size:
        best, left = left[0], left[1:]
        chosen.append(best)
        low, high = np.maximum(boxes[best, :2], boxes[left, :2]), np.minimum(boxes[best, 2:], boxes[left, 2:])
        shared = np.prod(np.maximum(high - low, 0), axis=-1)
        left = left[shared <= overlap * (areas[best] + areas[left] - shared)]
    return np.array(chosen, dtype=np.int64)


def detections(
    outputs: Mapping[str, Any],
    least: float = 0.01,
    overlap: float = 0.45,
    candidates: int = 400,
    most: int = 200,
) -> list[dict[str, np.ndarray]]:
    """What the model's outputs say is in each image.

    Args:
        outputs: ``{"scores": [batch, 8732, classes], "boxes": [batch, 8732, 4]}`` of ``model.predict``, the scores
            being probabilities of the classes, the first of which is the background.
        least: the least probability.
        overlap: above which the less probable of two boxes of a class is left out.
        candidates: the most probable boxes of each class that are looked at.
        most: detections of an image.

    Returns:
        For each image ``{"boxes": [n, 4], "scores": [n], "labels": [n]}``, the most probable first; boxes are left,
        top, right, bottom as shares of the image.
    """
    found = []
    for scores, boxes in zip(outputs["scores"], decoded(np.asarray(outputs["boxes"])), strict=True):
        rows = []
        for label in range(1, scores.shape[-1]):
            order = np.argsort(-scores[:, label], kind="stable")[:candidates]
            order = order[scores[order, label] > least]
            order = order[kept(boxes[order], scores[order, label], overlap)]
            rows += [(scores[i, label], label, i) for i in order]
        rows = sorted(rows, key=lambda row: -row[0])[:most]
        places = [i for _, _, i in rows]
        found.append({
            "boxes": boxes[places].astype("float32"),
            "scores": np.array([score for score, _, _ in rows], dtype="float32"),
            "labels": np.array([label for _, label, _ in rows], dtype=np.int64),
        })  # fmt: skip
    return found


def _conv(
    x: Any, filters: int, name: str, size: int = 3, strides: int = 1, padding: str = "same", dilation: int = 1
) -> Any:
    if strides > 1:
        x, padding = layers.ZeroPadding2D(1, name=f"{name}_pad")(x), "valid"
    return layers.Conv2D(
        filters, size, strides=strides, padding=padding, dilation_rate=dilation, activation="relu", name=name
    )(x)


def _names(model: uf.Model) -> dict[str, str]:
    at = iter((0, 2, 5, 7, 10, 12, 14, 17, 19, 21))
    names = {
        f"backbone.features.{next(at)}": f"conv{block}_{i + 1}"
        for block, count in enumerate((2, 2, 3, 3), 1)
        for i in range(count)
    }
    names |= {"backbone.scale_weight": "conv4_3_scale"}
    names |= {f"backbone.extra.0.{2 * i + 1}": f"conv5_{i + 1}" for i in range(3)}
    names |= {"backbone.extra.0.7.1": "conv6", "backbone.extra.0.7.3": "conv7"}
    names |= {f"backbone.extra.{k}.{2 * i}": f"conv{k + 7}_{i + 1}" for k in range(1, 5) for i in range(2)}
    names |= {f"head.classification_head.module_list.{k}": f"scores{k + 1}" for k in range(6)}
    return names | {f"head.regression_head.module_list.{k}": f"boxes{k + 1}" for k in range(6)}


@uf.zoo.register(
    "ssd300", source="Liu et al. 2016; torchvision", parameters=26_285_486, peers={"torchvision": _names}
)
def ssd300(
    classes: int | None = 21,
    classifier_activation: str | Callable[..., Any] | None = "softmax",
    filters: int = 64,
) -> uf.Model:
    """SSD300: detects objects of 20 classes at six sizes, 26.3 M parameters, 31 G multiply-adds.

    Images ``[batch, 300, 300, 3]`` (less ImageNet's mean) → ``{"scores": [batch, 8732, classes], "boxes": [batch,
    8732, 4]}``: the probabilities of the class at each of the `default_boxes` and its offsets from it, of which
    `detections` makes boxes. ``classes=None`` gives the six feature maps.

    Args:
        classes, classifier_activation: the first class is the background; an activation of None gives logits.
        filters: of the first block, by which all others go.
    """
    image = uf.Input((SIDE, SIDE, 3), name="image")
    x, maps = image, []
    for block, (factor, count) in enumerate(((1, 2), (2, 2), (4, 3), (8, 3), (8, 3)), 1):
        for i in range(count):
            x = _conv(x, factor * filters, f"conv{block}_{i + 1}")
        if block == 4:
            y = layers.UnitNormalization(name="conv4_3_norm")(x)
            maps.append(LayerScale(20.0, factor * filters, name="conv4_3_scale")(y))
        size, strides = (2, 2) if block < 5 else (3, 1)
        x = layers.MaxPooling2D(size, strides=strides, padding="same", name=f"pool{block}")(x)
    x = _conv(x, 16 * filters, "conv6", dilation=6)
    x = _conv(x, 16 * filters, "conv7", size=1)
    maps.append(x)
    for block, factor, strides in ((8, 4, 2), (9, 2, 2), (10, 2, 1), (11, 2, 1)):
        x = _conv(x, factor * filters, f"conv{block}_1", size=1)
        wide = 2 * factor * filters
        x = _conv(x, wide, f"conv{block}_2", strides=strides, padding="valid")
        maps.append(x)
    if classes is None:
        return uf.Model(image, maps, name="ssd300")
    parts: dict[str, list[Any]] = {"scores": [], "boxes": []}
    for k, (x, ratios) in enumerate(zip(maps, RATIOS, strict=True), 1):
        for name, width in (("scores", classes), ("boxes", 4)):
            y = layers.Conv2D((2 + 2 * len(ratios)) * width, 3, padding="same", name=f"{name}{k}")(x)
            parts[name].append(layers.Reshape((-1, width), name=f"{name}{k}_rows")(y))
    outputs = {name: layers.Concatenate(axis=1, name=f"all_{name}")(rows) for name, rows in parts.items()}
    outputs["scores"] = layers.Activation(classifier_activation, name="predictions")(outputs["scores"])
    return uf.Model(image, outputs, name="ssd300")
