"""What layers on images share: data in its forms, factors and ranges, keys, and hooks for what goes with an image."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import wraps
from typing import Any

import numpy as np

from unifront import ops
from unifront.errors import ArgumentError, ShapeError
from unifront.layers.arguments import LayerOptions
from unifront.layers.layer import Layer
from unifront.opset.arrays import backend_of_arrays
from unifront.opset.data_format import standardize_data_format
from unifront.opset.rules import show
from unifront.opset.seeds import drawn_key
from unifront.opset.tensor import type_of

Factor = Any
Transformation = Any


class ImageOptions(LayerOptions, total=False):
    """The keywords of layers on images that name their data format themselves."""

    bounding_box_format: str | None


class FormatOptions(ImageOptions, total=False):
    """The keywords of the other layers on images."""

    data_format: str | None


def pair(
    name: str, factor: Any, low: float, high: float, *, both_ways: bool = True, open_low: bool = False
) -> tuple[float, float]:
    """Lower and upper bound of a factor: two numbers, or one for from its negative (or zero) to itself."""
    given = factor.tolist() if isinstance(factor, np.ndarray | np.generic) else factor
    numbers = given if isinstance(given, list | tuple) else (given,)
    fits = len(numbers) == (2 if isinstance(given, list | tuple) else 1) and all(
        isinstance(one, int | float) and not isinstance(one, bool) and low <= one <= high for one in numbers
    )
    if not fits or (open_low and low in numbers):
        raise ArgumentError(
            f"The `{name}` argument should be a number (or a list of two numbers) "
            f"in the range {'(' if open_low else '['}{low}, {high}]. Received: {name}={factor}"
        )
    if len(numbers) == 2:
        return min(numbers), max(numbers)
    size = abs(numbers[0])
    return (max(-size, low) if both_ways else 0), size


def range_of(value_range: Any) -> tuple[float, float]:
    """The least and the largest value of a pixel; `ArgumentError` unless these are two numbers."""
    numbers = isinstance(value_range, list | tuple) and all(
        isinstance(one, int | float | np.number) for one in value_range
    )
    if not numbers or len(value_range) != 2:
        raise ArgumentError(
            f"The `value_range` argument should be a list of two numbers. Received: value_range={value_range}"
        )
    low, high = sorted(value_range)
    return low, high


def between(x: Any, low: float, high: float) -> Any:
    """``x`` limited to ``[low, high]``."""
    return ops.minimum(ops.maximum(x, float(low)), float(high))


def rescaled(images: Any, source: tuple[float, float], target: tuple[float, float]) -> Any:
    """Float images from one range of values to another."""
    if tuple(source) == tuple(target):
        return images
    unit = ops.divide(ops.subtract(images, float(source[0])), float(source[1] - source[0]))
    return ops.add(ops.multiply(unit, float(target[1] - target[0])), float(target[0]))


def _where_data_are(method: Callable[..., Transformation]) -> Callable[..., Transformation]:
    """``method``, whose keys are of its data's backend: where TensorFlow traces, each run draws anew."""

    @wraps(method)
    def drawn(self: Any, data: Any, *args: Any, **options: Any) -> Transformation:
        with backend_of_arrays(data):
            return method(self, data, *args, **options)

    return drawn


class BaseImagePreprocessingLayer(Layer):
    """A layer on images, which also takes a dict of what goes with them.

    `call` takes images ``[batch, height, width, channels]`` or one image, or a dict of ``"images"`` and any of
    ``"labels"``, ``"bounding_boxes"`` (a dict of ``"boxes"`` and ``"labels"``) and ``"segmentation_masks"``, which are
    transformed alike. A subclass gives `get_random_transformation`, what a call draws, and ``transform_images``,
    ``transform_labels``, ``transform_bounding_boxes`` and ``transform_segmentation_masks``, which each take their part,
    as a batch, and what was drawn. A call trains unless ``training=False`` says otherwise, as `predict` does.

    Args:
        factor: how much is changed, a number or two.
        bounding_box_format: of the boxes given and returned, see `unifront.layers.preprocessing.boxes`.
        data_format: ``"channels_last"`` or ``"channels_first"``; None for the default.
    """

    autocast = False
    reads_values = True
    _USE_BASE_FACTOR = True
    _FACTOR_BOUNDS: tuple[float, float] = (-1, 1)
    factor: Any = None
    seed: int | None = None
    interpolation = "nearest"

    def __init_subclass__(cls, **options: Any) -> None:
        super().__init_subclass__(**options)
        if "get_random_transformation" in vars(cls):
            drawn = cls.get_random_transformation
            cls.get_random_transformation = _where_data_are(drawn)  # type: ignore[method-assign]  # for all of the class

    def __init__(
        self,
        factor: Factor = None,
        bounding_box_format: str | None = None,
        data_format: str | None = None,
        **options: Any,
    ) -> None:
        super().__init__(**options)
        self.bounding_box_format = bounding_box_format
        self.data_format = standardize_data_format(data_format)
        if self._USE_BASE_FACTOR:
            self._set_factor(factor or 0.0)
        elif factor is not None:
            raise ArgumentError(
                f"Layer {type(self).__name__} does not take a `factor` argument. Received: factor={factor}"
            )

    def build(self, *shapes: Any) -> None:
        """Nothing is made: there are no weights."""

    def _set_factor(self, factor: Factor) -> None:
        self.factor = pair("factor", factor, *self._FACTOR_BOUNDS)

    # ------------------------------------------------------------ what a call draws

    def key(self, seed: Any = None) -> Any:
        """A key for one draw, which no other draw has; of a ``seed``, or what a function ``seed`` gives."""
        if callable(seed):
            return seed()
        return self.random_key(self.seed) if seed is None else drawn_key(seed)

    def uniform(
        self, shape: Any, bounds: tuple[float, float], seed: Any, like: Any, dtype: Any = "float32"
    ) -> Any:
        """Numbers drawn evenly between ``bounds``, where ``like`` is."""
        low, high = bounds
        if low == high:
            return ops.full(shape, float(low), dtype, like=like)
        return ops.random_uniform(self.key(seed), shape, float(low), float(high), dtype, like=like)

    def chosen(self, images: Any, seed: Any) -> Any:
        """Which images of a batch are changed, ``[batch, 1, 1, 1]``: each with a probability drawn from the factor."""
        shape = (self.batch_of(images), 1, 1, 1)
        probability = self.uniform(shape, self.factor, seed, images)
        return ops.less(self.uniform(shape, (0.0, 1.0), seed, images), probability)

    def images_in(self, data: Any) -> Any:
        """The images of what is given to `call`; `ShapeError` if they are none."""
        images = data["images"] if isinstance(data, Mapping) else data
        known = type_of(images)
        if known.rank not in (3, 4):
            raise ShapeError(
                "Expected image tensor to have rank 3 (single image) or 4 (batch of images). "
                f"Received: data.shape={show(known.shape)}"
            )
        return images

    def batch_of(self, images: Any) -> Any:
        """How many images there are."""
        known = type_of(images)
        return known.shape[0] if known.rank == 4 else 1

    def size_of(self, images: Any) -> tuple[Any, Any]:
        """Height and width of images."""
        return self.size_in(type_of(images).shape)

    def size_in(self, shape: Any) -> tuple[Any, Any]:
        """Height and width in the shape of images."""
        return (shape[-2], shape[-1]) if self.data_format == "channels_first" else (shape[-3], shape[-2])

    def floats(self, images: Any) -> Any:
        """Images in the dtype of the layer."""
        return ops.cast(images, self.compute_dtype)

    # ------------------------------------------------------------ hooks

    def get_random_transformation(self, data: Any, training: bool = True, seed: Any = None) -> Transformation:
        """What one call draws, for all the parts of its data."""
        return None

    def _transform_images(self, images: Any, transformation: Transformation, interpolation: str) -> Any:
        raise NotImplementedError

    def transform_images(self, images: Any, transformation: Transformation, training: bool = True) -> Any:
        """The images."""
        images = self.floats(images)
        return self._transform_images(images, transformation, self.interpolation) if training else images

    def transform_labels(self, labels: Any, transformation: Transformation, training: bool = True) -> Any:
        """The labels, which stay as they are unless a subclass mixes images."""
        return labels

    def transform_bounding_boxes(
        self, bounding_boxes: Any, transformation: Transformation, training: bool = True
    ) -> Any:
        """The boxes, which stay as they are unless a subclass moves pixels."""
        return bounding_boxes

    def transform_segmentation_masks(
        self, segmentation_masks: Any, transformation: Transformation, training: bool = True
    ) -> Any:
        """The masks, which stay as they are unless a subclass moves pixels."""
        return segmentation_masks

    def _single(self, function: Callable[..., Any], part: Any, transformation: Any, training: bool) -> Any:
        batch = _each(lambda x: ops.expand_dims(x, 0), part)
        found = function(batch, transformation, training=training)
        return _each(lambda x: ops.squeeze(x, 0), found)

    def transform_single_image(self, image: Any, transformation: Any, training: bool = True) -> Any:
        """One image."""
        return self._single(self.transform_images, image, transformation, training)

    def transform_single_label(self, label: Any, transformation: Any, training: bool = True) -> Any:
        """The label of one image."""
        return self._single(self.transform_labels, label, transformation, training)

    def transform_single_bounding_box(
        self, bounding_box: Any, transformation: Any, training: bool = True
    ) -> Any:
        """The boxes of one image."""
        return self._single(self.transform_bounding_boxes, bounding_box, transformation, training)

    def transform_single_segmentation_mask(
        self, segmentation_mask: Any, transformation: Any, training: bool = True
    ) -> Any:
        """The mask of one image."""
        return self._single(self.transform_segmentation_masks, segmentation_mask, transformation, training)

    def call(self, data: Any, training: bool = True) -> Any:
        """Images, or a dict of what belongs together, transformed alike."""
        images = self.images_in(data)
        transformation = self.get_random_transformation(data, training=training)
        single = type_of(images).rank == 3
        functions: dict[str, Callable[..., Any]] = {
            "images": self.transform_single_image if single else self.transform_images,
            "bounding_boxes": self.transform_single_bounding_box if single else self.transform_bounding_boxes,
            "labels": self.transform_single_label if single else self.transform_labels,
            "segmentation_masks": (
                self.transform_single_segmentation_mask if single else self.transform_segmentation_masks
            ),
        }
        if not isinstance(data, Mapping):
            return functions["images"](images, transformation, training=training)
        found = dict(data)
        for name, function in functions.items():
            if name in data:
                part = self._checked_boxes(data[name]) if name == "bounding_boxes" else data[name]
                found[name] = function(part, transformation, training=training)
        return found

    def _checked_boxes(self, boxes: Any) -> Any:
        if not self.bounding_box_format:
            raise ArgumentError(
                "You passed an input with a 'bounding_boxes' key, but you didn't specify a bounding box format. Pass a "
                f"`bounding_box_format` argument to your {type(self).__name__} layer, e.g. "
                "`bounding_box_format='xyxy'`."
            )
        if not isinstance(boxes, Mapping) or not {"boxes", "labels"} <= boxes.keys():
            raise ArgumentError(
                f"Expected `bounding_boxes` to be a dict with keys 'boxes' and 'labels'. Received: {boxes}"
            )
        return {**boxes, "boxes": ops.cast(boxes["boxes"], "float32"), "labels": _array(boxes["labels"])}


def _array(value: Any) -> Any:
    return np.asarray(value) if isinstance(value, list | tuple) else value


def _each(function: Callable[[Any], Any], part: Any) -> Any:
    return {name: function(x) for name, x in part.items()} if isinstance(part, Mapping) else function(part)
