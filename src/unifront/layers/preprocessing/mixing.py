"""Layers that mix images with each other, and erase parts of them."""

from __future__ import annotations

from typing import Any, Unpack

import numpy as np

from unifront import ops, random
from unifront.arguments import Positive, checked
from unifront.errors import ArgumentError
from unifront.layers.arguments import Seed
from unifront.layers.preprocessing.base import (
    BaseImagePreprocessingLayer,
    Factor,
    ImageOptions,
    between,
    pair,
    range_of,
)
from unifront.opset.images import number, positions
from unifront.opset.tensor import type_of

UNIT = (0.0, 1.0)


class _Boxed(BaseImagePreprocessingLayer):
    """A layer that draws a rectangle in each image."""

    _USE_BASE_FACTOR = False
    _FACTOR_BOUNDS = (0, 1)

    def rectangles(self, images: Any, shares: tuple[Any, Any], seed: Any) -> tuple[Any, Any]:
        """Where rectangles of the ``shares`` of height and width are, ``[batch, height, width, 1]`` (or as the data
        format says), and their parts of the image, ``[batch]``."""
        batch = self.batch_of(images)
        inside: Any = None
        first = self.data_format == "channels_first"
        for which, (size, share) in enumerate(zip(self.size_of(images), shares, strict=True)):
            length = number(size, "float32", images)
            extent = ops.multiply(share, length)
            start = ops.multiply(self.uniform((batch,), UNIT, seed, images), ops.subtract(length, extent))
            axis = which + 2 if first else which + 1
            place = positions(size, "float32", images)
            place = ops.expand_dims(place, tuple(one for one in range(4) if one != axis))
            low, high = (ops.expand_dims(one, (1, 2, 3)) for one in (start, ops.add(start, extent)))
            here = ops.logical_and(ops.greater_equal(place, low), ops.less(place, high))
            inside = here if inside is None else ops.logical_and(inside, here)
        return inside, ops.multiply(*shares)


class RandomErasing(_Boxed):
    """A rectangle of each image covered, each with a probability drawn from ``factor``.

    Args:
        factor: in [0, 1].
        scale: how large it is, in parts of the image: two bounds, or the upper one.
        fill_value: a number, or three for red, green and blue; None for noise.
    """

    @checked
    def __init__(
        self,
        factor: Factor = 1.0,
        scale: Factor = (0.02, 0.33),
        fill_value: Any = None,
        value_range: Any = (0, 255),
        seed: Seed = None,
        data_format: str | None = None,
        **options: Unpack[ImageOptions],
    ) -> None:
        super().__init__(data_format=data_format, **options)
        self._set_factor(factor)
        self.scale, self.value_range = pair("scale", scale, 0, 1), range_of(value_range)
        given = fill_value if isinstance(fill_value, list | tuple) else [fill_value] * 3
        if len(given) != 3 or not all(one is None or isinstance(one, int | float) for one in given):
            raise ArgumentError(
                "The `fill_value` argument should be a number (or a list of three numbers). "
                f"Received: fill_value={fill_value}"
            )
        self.fill_value, self.seed = fill_value, seed

    def get_random_transformation(self, data: Any, training: bool = True, seed: Any = None) -> Any:
        if not training:
            return None
        images = self.images_in(data)
        batch = self.batch_of(images)
        down, across = (ops.sqrt(self.uniform((batch,), self.scale, seed, images)) for _ in range(2))
        inside, _ = self.rectangles(images, (down, across), seed)
        return {
            "apply_erasing": self.chosen(images, seed),
            "batch_masks": inside,
            "fill_value": self._fill(images, seed),
        }

    def _fill(self, images: Any, seed: Any) -> Any:
        low, high = self.value_range
        if self.fill_value is None:
            shape = type_of(images).shape
            noise = ops.random_normal(
                self.key(seed), shape, 0.0, float(high), self.compute_dtype, like=images
            )
            return between(noise, low, high)
        fill = np.clip(np.asarray(self.fill_value, self.compute_dtype.numpy), low, high)
        return fill.reshape(-1, 1, 1) if fill.ndim and self.data_format == "channels_first" else fill

    def transform_images(self, images: Any, transformation: Any = None, training: bool = True) -> Any:
        images = self.floats(images)
        if not training or transformation is None:
            return images
        covered = ops.where(transformation["batch_masks"], transformation["fill_value"], images)
        return ops.where(transformation["apply_erasing"], covered, images)

    def transform_segmentation_masks(
        self, segmentation_masks: Any, transformation: Any = None, training: bool = True
    ) -> Any:
        return segmentation_masks


def _order(layer: BaseImagePreprocessingLayer, images: Any, seed: Any) -> Any:
    """The images of a batch in another order, by their numbers."""
    return random.shuffle(positions(layer.batch_of(images), "int32", images), seed=layer.key(seed))


class MixUp(BaseImagePreprocessingLayer):
    """Each image, and its label, mixed with another one of the batch (Zhang et al. 2018).

    Args:
        alpha: the weight is of the beta distribution with both parameters ``alpha``.
    """

    @checked
    def __init__(
        self,
        alpha: Positive = 0.2,
        data_format: str | None = None,
        seed: Seed = None,
        **options: Unpack[ImageOptions],
    ) -> None:
        super().__init__(data_format=data_format, **options)
        self.alpha, self.seed = alpha, seed

    def get_random_transformation(self, data: Any, training: bool = True, seed: Any = None) -> Any:
        images = self.images_in(data)
        shape = (self.batch_of(images),)
        alpha = ops.full(shape, float(self.alpha), "float32", like=images)
        weight = random.beta(shape, alpha, alpha, "float32", self.key(seed))
        return {"mix_weight": weight, "permutation_order": _order(self, images, seed)}

    def _mixed(self, x: Any, drawn: Any, least: int = 1) -> Any:
        """``x`` mixed with itself in another order; what has less than ``least`` axes belongs to one image."""
        known = type_of(x)
        weight = ops.reshape(drawn["mix_weight"], (-1, *(1,) * (max(known.rank, least) - 1)))
        x = x if known.dtype.is_float else ops.cast(x, "float32")
        weight = ops.cast(weight, type_of(x).dtype)
        other = ops.take(x, drawn["permutation_order"], 0)
        return ops.add(ops.multiply(weight, x), ops.multiply(ops.subtract(1.0, weight), other))

    def transform_images(self, images: Any, transformation: Any = None, training: bool = True) -> Any:
        return self._mixed(self.floats(images), transformation, 4) if training else self.floats(images)

    def transform_labels(self, labels: Any, transformation: Any, training: bool = True) -> Any:
        return self._mixed(labels, transformation) if training else labels

    def transform_segmentation_masks(
        self, segmentation_masks: Any, transformation: Any, training: bool = True
    ) -> Any:
        return self._mixed(segmentation_masks, transformation) if training else segmentation_masks

    def transform_bounding_boxes(
        self, bounding_boxes: Any, transformation: Any, training: bool = True
    ) -> Any:
        if not training:
            return bounding_boxes
        order = transformation["permutation_order"]
        return {
            name: ops.concatenate([bounding_boxes[name], ops.take(bounding_boxes[name], order, 0)], 1)
            for name in ("boxes", "labels")
        }


class CutMix(_Boxed):
    """A rectangle of each image, and its part of the label, from another one of the batch (Yun et al. 2019).

    Args:
        factor: the parameter of the beta distribution of its size, in [0, 1]: two bounds, or the upper one.
    """

    @checked
    def __init__(
        self,
        factor: Factor = 1.0,
        seed: Seed = None,
        data_format: str | None = None,
        **options: Unpack[ImageOptions],
    ) -> None:
        super().__init__(data_format=data_format, **options)
        self._set_factor(factor)
        self.seed = seed

    def get_random_transformation(self, data: Any, training: bool = True, seed: Any = None) -> Any:
        if not training:
            return None
        images = self.images_in(data)
        if type_of(images).rank == 3:
            return None
        batch = self.batch_of(images)
        alpha = ops.broadcast_to(ops.add(self.uniform((1,), self.factor, seed, images), 1e-6), (batch,))
        key = self.key(seed)
        one, two = (ops.random_gamma(ops.fold_in(key, stream), alpha) for stream in (1, 2))
        kept = ops.divide(one, ops.maximum(ops.add(one, two), 1e-30))
        share = ops.sqrt(ops.subtract(1.0, kept))
        inside, part = self.rectangles(images, (share, share), seed)
        return {
            "permutation_order": _order(self, images, seed),
            "batch_masks": inside,
            "mix_weight": ops.subtract(1.0, part),
        }

    def transform_images(self, images: Any, transformation: Any = None, training: bool = True) -> Any:
        images = self.floats(images)
        return self._cut(images, transformation) if training and transformation is not None else images

    def _cut(self, images: Any, drawn: Any) -> Any:
        return ops.where(drawn["batch_masks"], ops.take(images, drawn["permutation_order"], 0), images)

    def transform_labels(self, labels: Any, transformation: Any, training: bool = True) -> Any:
        if not training or transformation is None:
            return labels
        labels = labels if type_of(labels).dtype.is_float else ops.cast(labels, "float32")
        other = ops.take(labels, transformation["permutation_order"], 0)
        weight = ops.reshape(transformation["mix_weight"], (-1, *(1,) * (type_of(labels).rank - 1)))
        weight = ops.cast(weight, type_of(labels).dtype)
        return ops.add(ops.multiply(weight, labels), ops.multiply(ops.subtract(1.0, weight), other))

    def transform_segmentation_masks(
        self, segmentation_masks: Any, transformation: Any, training: bool = True
    ) -> Any:
        if not training or transformation is None:
            return segmentation_masks
        return self._cut(segmentation_masks, transformation)

    def transform_bounding_boxes(
        self, bounding_boxes: Any, transformation: Any, training: bool = True
    ) -> Any:
        raise ArgumentError("CutMix cuts images apart, which leaves no boxes around what is in them.")
