"""Layers that change the colours of images."""

from __future__ import annotations

from typing import Any, Unpack

import numpy as np

from unifront import ops
from unifront.arguments import Numbers, checked
from unifront.errors import ArgumentError
from unifront.layers.arguments import LayerOptions, Seed
from unifront.layers.layer import Layer
from unifront.layers.preprocessing.base import (
    BaseImagePreprocessingLayer,
    Factor,
    FormatOptions,
    ImageOptions,
    between,
    pair,
    range_of,
    rescaled,
)
from unifront.opset.data_format import image_data_format
from unifront.opset.tensor import type_of

BYTE = (0.0, 255.0)
UNIT = (0.0, 1.0)


class Rescaling(Layer):
    """The input times ``scale`` plus ``offset``; numbers, or arrays that broadcast to it."""

    supports_masking = True
    autocast = False

    @checked
    def __init__(self, scale: Numbers, offset: Numbers = 0.0, **options: Unpack[LayerOptions]) -> None:
        super().__init__(**options)
        self.scale, self.offset = scale, offset

    def call(self, x: Any) -> Any:
        x = ops.cast(x, self.compute_dtype)
        scale, offset = (np.asarray(value, self.compute_dtype.numpy) for value in (self.scale, self.offset))
        if scale.ndim and image_data_format() == "channels_first":
            scale = scale.reshape(scale.shape + (1,) * (3 - scale.ndim))
        return ops.add(ops.multiply(x, scale), offset)


class ColorLayer(BaseImagePreprocessingLayer):
    """A layer whose `transform_images` is ``changed(images, what was drawn)`` while training."""

    _USE_BASE_FACTOR = False
    value_range: tuple[float, float] = BYTE

    def changed(self, images: Any, drawn: Any) -> Any:
        raise NotImplementedError

    def transform_images(self, images: Any, transformation: Any = None, training: bool = True) -> Any:
        images = self.floats(images)
        return self.changed(images, transformation) if training else images

    @property
    def _rows(self) -> tuple[int, int]:
        return (-2, -1) if self.data_format == "channels_first" else (-3, -2)

    @property
    def _channels(self) -> int:
        return -3 if self.data_format == "channels_first" else -1

    def for_each(self, images: Any, bounds: tuple[float, float], seed: Any) -> Any:
        """A number for each image, ``[batch, 1, 1, 1]``, or ``[1, 1, 1]`` for one image."""
        shape = (self.batch_of(images), 1, 1, 1) if type_of(images).rank == 4 else (1, 1, 1)
        return self.uniform(shape, bounds, seed, images)

    def _of_dtype(self, x: Any) -> Any:
        return ops.cast(x, self.compute_dtype)


class RandomBrightness(ColorLayer):
    """A number added to each image.

    Args:
        factor: how much of the range of values, in [-1, 1]: two bounds, or one for both ways.
        value_range: the least and the largest value of a pixel.
        seed: gives the layer a stream of its own.
    """

    @checked
    def __init__(
        self, factor: Factor, value_range: Any = (0, 255), seed: Seed = None, **options: Unpack[FormatOptions]
    ) -> None:
        super().__init__(**options)
        self._set_factor(factor)
        self.seed, self.value_range = seed, range_of(value_range)

    def get_random_transformation(self, data: Any, training: bool = True, seed: Any = None) -> Any:
        images = self.images_in(data)
        low, high = self.factor if training else (0.0, 0.0)
        delta = self.for_each(images, (low, high), seed)
        return {"rgb_delta": ops.multiply(delta, float(self.value_range[1] - self.value_range[0]))}

    def changed(self, images: Any, drawn: Any) -> Any:
        return between(ops.add(images, self._of_dtype(drawn["rgb_delta"])), *self.value_range)


class RandomContrast(ColorLayer):
    """Each image's distance from its mean scaled by a number near 1.

    Args:
        factor: in [0, 1]: the number is drawn from ``[1 - lower, 1 + upper]``.
        value_range: the least and the largest value of a pixel.
        seed: gives the layer a stream of its own.
    """

    _FACTOR_BOUNDS = (0, 1)

    @checked
    def __init__(
        self, factor: Factor, value_range: Any = (0, 255), seed: Seed = None, **options: Unpack[FormatOptions]
    ) -> None:
        super().__init__(**options)
        self.factor = pair("factor", factor, 0, 1)
        if not isinstance(factor, list | tuple):
            self.factor = (self.factor[1], self.factor[1])
        self.seed, self.value_range = seed, range_of(value_range)

    def told_argument(self, name: str, given: Any) -> Any:
        return given if name == "factor" else super().told_argument(name, given)

    def get_random_transformation(self, data: Any, training: bool = True, seed: Any = None) -> Any:
        low, high = (1.0 - self.factor[0], 1.0 + self.factor[1]) if training else (0.0, 0.0)
        return {"contrast_factor": self.for_each(self.images_in(data), (low, high), seed)}

    def changed(self, images: Any, drawn: Any) -> Any:
        mean = ops.mean(images, axis=self._rows, keepdims=True)
        apart = ops.multiply(ops.subtract(images, mean), self._of_dtype(drawn["contrast_factor"]))
        return between(ops.add(apart, mean), *self.value_range)


class _Ranged(ColorLayer):
    """A layer with a factor, a range of values and a seed."""

    @checked
    def __init__(
        self,
        factor: Factor,
        value_range: Any = (0, 255),
        data_format: str | None = None,
        seed: Seed = None,
        **options: Unpack[ImageOptions],
    ) -> None:
        super().__init__(data_format=data_format, **options)
        self._set_factor(factor)
        self.seed, self.value_range = seed, range_of(value_range)

    def get_random_transformation(self, data: Any, training: bool = True, seed: Any = None) -> Any:
        images = self.images_in(data)
        return {"factor": self.uniform((self.batch_of(images), 1, 1, 1), self.factor, seed, images)}


class RandomColorDegeneration(_Ranged):
    """Each image mixed with its gray one, ``factor`` parts of it, in [0, 1]."""

    def changed(self, images: Any, drawn: Any) -> Any:
        gray = ops.image.rgb_to_grayscale(images, data_format=self.data_format)
        mixed = ops.add(images, ops.multiply(ops.subtract(gray, images), self._of_dtype(drawn["factor"])))
        return between(mixed, *self.value_range)


class RandomSharpness(_Ranged):
    """Each image mixed with a smoother one: 0.5 leaves it as it is, less is smoother, more is sharper."""

    _FACTOR_BOUNDS = (0, 1)

    def changed(self, images: Any, drawn: Any) -> Any:
        first = self.data_format == "channels_first"
        images = ops.moveaxis(images, -3, -1) if first else images
        window = np.full((3, 3, 1, 1), 1 / 13)
        window[1, 1] = 5 / 13
        channels = type_of(images).shape[-1]
        kernel = ops.broadcast_to(window.astype(self.compute_dtype.numpy), (3, 3, channels, 1))
        smooth = ops.depthwise_conv(images, kernel, strides=1, padding="same", data_format="channels_last")
        factor = ops.reshape(self._of_dtype(drawn["factor"]), (-1, 1, 1, 1))
        share = ops.subtract(1.0, ops.multiply(factor, 2.0))
        found = ops.add(images, ops.multiply(ops.subtract(smooth, images), share))
        found = between(found, *self.value_range)
        return ops.moveaxis(found, -1, -3) if first else found


class RandomSaturation(_Ranged):
    """The saturation of each image times ``factor / (1 - factor)``: 0.5 leaves it, 0 makes it gray."""

    def get_random_transformation(self, data: Any, training: bool = True, seed: Any = None) -> Any:
        images = self.images_in(data)
        factor = self.uniform((self.batch_of(images),), self.factor, seed, images)
        return {"factor": ops.divide(factor, ops.subtract(1.0 + 1e-7, factor))}

    def changed(self, images: Any, drawn: Any) -> Any:
        unit = rescaled(images, self.value_range, (0.0, 1.0))
        hue, saturation, value = _split(ops.image.rgb_to_hsv(unit, self.data_format), self._channels)
        factor = ops.expand_dims(self._of_dtype(drawn["factor"]), (1, 2, 3))
        saturation = between(ops.multiply(saturation, factor), 0.0, 1.0)
        colors = ops.concatenate([hue, saturation, value], self._channels)
        return rescaled(ops.image.hsv_to_rgb(colors, self.data_format), (0.0, 1.0), self.value_range)


class RandomHue(_Ranged):
    """The hue of each image turned, by up to ``factor`` half turns either way, in [0, 1]."""

    _FACTOR_BOUNDS = (0, 1)

    def get_random_transformation(self, data: Any, training: bool = True, seed: Any = None) -> Any:
        images = self.images_in(data)
        shape = (self.batch_of(images),)
        sign = ops.where(ops.greater(self.uniform(shape, UNIT, seed, images), 0.5), -0.5, 0.5)
        return {"factor": ops.multiply(self.uniform(shape, self.factor, seed, images), sign)}

    def changed(self, images: Any, drawn: Any) -> Any:
        unit = rescaled(images, self.value_range, (0.0, 1.0))
        hue, saturation, value = _split(ops.image.rgb_to_hsv(unit, self.data_format), self._channels)
        hue = ops.add(hue, ops.expand_dims(self._of_dtype(drawn["factor"]), (1, 2, 3)))
        hue = ops.where(ops.greater(hue, 1.0), ops.subtract(hue, 1.0), hue)
        hue = ops.where(ops.less(hue, 0.0), ops.add(hue, 1.0), hue)
        colors = ops.concatenate([hue, saturation, value], self._channels)
        found = between(ops.image.hsv_to_rgb(colors, self.data_format), 0.0, 1.0)
        return rescaled(found, (0.0, 1.0), self.value_range)


def _split(images: Any, axis: int) -> Any:
    return ops.split(images, 3, axis)


class RandomPosterization(_Ranged):
    """Each colour of an image in fewer bits, ``factor`` of 8."""

    _FACTOR_BOUNDS = (1, 8)

    def _set_factor(self, factor: Factor) -> None:
        self.factor = pair("factor", factor, 1, 8)
        if not isinstance(factor, list | tuple):
            self.factor = (self.factor[1], self.factor[1])

    def get_random_transformation(self, data: Any, training: bool = True, seed: Any = None) -> Any:
        images = self.images_in(data)
        low, high = (int(bits) for bits in self.factor)
        bits = ops.floor(self.uniform((self.batch_of(images), 1, 1, 1), (low, high), seed, images))
        return {"shift_factor": ops.subtract(8.0, bits)}

    def changed(self, images: Any, drawn: Any) -> Any:
        whole = ops.floor(rescaled(images, self.value_range, BYTE))
        step = ops.power(2.0, ops.reshape(self._of_dtype(drawn["shift_factor"]), (-1, 1, 1, 1)))
        found = ops.multiply(ops.floor(ops.divide(whole, step)), step)
        return rescaled(found, BYTE, self.value_range)


class RandomGrayscale(ColorLayer):
    """Images made gray with the probability ``factor``, their channels kept."""

    @checked
    def __init__(
        self,
        factor: Any = 0.5,
        data_format: str | None = None,
        seed: Seed = None,
        **options: Unpack[ImageOptions],
    ) -> None:
        super().__init__(data_format=data_format, **options)
        if not isinstance(factor, int | float) or not 0 <= factor <= 1:
            raise ArgumentError(f"`factor` should be between 0 and 1. Received: factor={factor}")
        self.factor, self.seed = factor, seed

    def get_random_transformation(self, data: Any, training: bool = True, seed: Any = None) -> Any:
        images = self.images_in(data)
        return ops.less(
            self.uniform((self.batch_of(images), 1, 1, 1), UNIT, seed, images), float(self.factor)
        )

    def changed(self, images: Any, drawn: Any) -> Any:
        drawn = self.get_random_transformation(images) if drawn is None else drawn
        return ops.where(drawn, ops.image.rgb_to_grayscale(images, self.data_format), images)


class RandomInvert(ColorLayer):
    """Images with their values turned around, each with a probability drawn from ``factor``, in [0, 1]."""

    _FACTOR_BOUNDS = (0, 1)

    @checked
    def __init__(
        self,
        factor: Factor = 1.0,
        value_range: Any = (0, 255),
        seed: Seed = None,
        data_format: str | None = None,
        **options: Unpack[ImageOptions],
    ) -> None:
        super().__init__(data_format=data_format, **options)
        self._set_factor(factor)
        self.seed, self.value_range = seed, range_of(value_range)

    def get_random_transformation(self, data: Any, training: bool = True, seed: Any = None) -> Any:
        return {"apply_inversion": self.chosen(self.images_in(data), seed)} if training else None

    def changed(self, images: Any, drawn: Any) -> Any:
        turned = ops.subtract(float(self.value_range[1]), images)
        return ops.where(_lasting(drawn["apply_inversion"]), turned, images)


def _lasting(choice: Any) -> Any:
    """A choice for each image, ``[batch]``, so that it broadcasts to images."""
    return ops.expand_dims(choice, (1, 2, 3)) if type_of(choice).rank == 1 else choice


class Solarization(ColorLayer):
    """A number added to each image, then its values above a threshold turned around.

    Args:
        addition_factor: how much of the range of values is added, in [0, 1]: two bounds, or the upper one.
        threshold_factor: where the threshold is, likewise; at 0, its default, all values are turned around.
    """

    @checked
    def __init__(
        self,
        addition_factor: Factor = 0.0,
        threshold_factor: Factor = 0.0,
        value_range: Any = (0, 255),
        seed: Seed = None,
        **options: Unpack[FormatOptions],
    ) -> None:
        super().__init__(**options)
        self.addition_factor = pair("addition_factor", addition_factor, 0, 1, both_ways=False)
        self.threshold_factor = pair("threshold_factor", threshold_factor, 0, 1, both_ways=False)
        self.seed, self.value_range = seed, range_of(value_range)

    def get_random_transformation(self, data: Any, training: bool = True, seed: Any = None) -> Any:
        if not training:
            return None
        images = self.images_in(data)
        shape = (self.batch_of(images), 1, 1, 1)

        def drawn(factor: tuple[float, float]) -> Any:
            return ops.multiply(self.uniform(shape, factor, seed, images), 255.0)

        return {
            "additions": drawn(self.addition_factor),
            "thresholds": drawn(self.threshold_factor),
        }

    def changed(self, images: Any, drawn: Any) -> Any:
        if drawn is None:
            return images
        added = ops.add(rescaled(images, self.value_range, BYTE), self._of_dtype(drawn["additions"]))
        added = between(added, *BYTE)
        below = ops.less(added, self._of_dtype(drawn["thresholds"]))
        return rescaled(ops.where(below, added, ops.subtract(255.0, added)), BYTE, self.value_range)


class AutoContrast(ColorLayer):
    """Each channel of an image stretched to the whole range of values. It does so in inference too."""

    @checked
    def __init__(self, value_range: Any = (0, 255), **options: Unpack[FormatOptions]) -> None:
        super().__init__(**options)
        self.value_range = range_of(value_range)

    def transform_images(self, images: Any, transformation: Any = None, training: bool = True) -> Any:
        return self.changed(self.floats(images), None)

    def changed(self, images: Any, drawn: Any) -> Any:
        bytes_ = rescaled(images, self.value_range, BYTE)
        low = ops.min(bytes_, axis=self._rows, keepdims=True)
        spread = ops.subtract(ops.max(bytes_, axis=self._rows, keepdims=True), low)
        flat = ops.equal(spread, 0.0)
        scale = ops.divide(255.0, ops.where(flat, 1.0, spread))
        wide = between(ops.multiply(ops.subtract(bytes_, low), scale), *BYTE)
        return ops.where(flat, images, rescaled(wide, BYTE, self.value_range))


class RandomGaussianBlur(ColorLayer):
    """Images smoothed, each with a probability drawn from ``factor``.

    Args:
        factor: in [0, 1].
        kernel_size: odd numbers of rows and columns of the window.
        sigma: its standard deviation, in [0, 1]: two bounds, or the upper one.
    """

    _FACTOR_BOUNDS = (0, 1)

    @checked
    def __init__(
        self,
        factor: Factor = 1.0,
        kernel_size: Any = 3,
        sigma: Factor = 1.0,
        value_range: Any = (0, 255),
        data_format: str | None = None,
        seed: Seed = None,
        **options: Unpack[ImageOptions],
    ) -> None:
        super().__init__(data_format=data_format, **options)
        self._set_factor(factor)
        sizes = tuple(kernel_size) if isinstance(kernel_size, list | tuple) else (kernel_size, kernel_size)
        if len(sizes) != 2 or not all(isinstance(one, int) and one % 2 for one in sizes):
            raise ArgumentError(
                f"kernel_size must be an odd number (or two). Received: kernel_size={kernel_size}"
            )
        self.kernel_size, self.sigma = sizes, pair("sigma", sigma, 0, 1)
        self.seed, self.value_range = seed, range_of(value_range)

    def get_random_transformation(self, data: Any, training: bool = True, seed: Any = None) -> Any:
        if not training:
            return None
        images = self.images_in(data)
        sigma = ops.add(self.uniform((2,), self.sigma, seed, images), 1e-6)
        return {"should_apply_blur": self.chosen(images, seed), "blur_factor": sigma}

    def changed(self, images: Any, drawn: Any) -> Any:
        if drawn is None:
            return images
        smooth = ops.image.gaussian_blur(
            images, self.kernel_size, self._of_dtype(drawn["blur_factor"]), self.data_format
        )
        return between(ops.where(_lasting(drawn["should_apply_blur"]), smooth, images), *self.value_range)


class RandomColorJitter(ColorLayer):
    """`RandomBrightness`, `RandomContrast`, `RandomSaturation` and `RandomHue` after each other.

    Those without a factor are left out.
    """

    @checked
    def __init__(
        self,
        value_range: Any = (0, 255),
        brightness_factor: Factor = None,
        contrast_factor: Factor = None,
        saturation_factor: Factor = None,
        hue_factor: Factor = None,
        seed: Seed = None,
        data_format: str | None = None,
        **options: Unpack[ImageOptions],
    ) -> None:
        super().__init__(data_format=data_format, **options)
        self.seed, self.value_range = seed, range_of(value_range)
        self.brightness_factor, self.contrast_factor = brightness_factor, contrast_factor
        self.saturation_factor, self.hue_factor = saturation_factor, hue_factor
        kinds: tuple[tuple[type[ColorLayer], Any], ...] = (
            (RandomBrightness, brightness_factor), (RandomContrast, contrast_factor),
            (RandomSaturation, saturation_factor), (RandomHue, hue_factor),
        )  # fmt: skip
        self.steps = [
            kind(factor=factor, value_range=value_range, seed=seed, data_format=data_format)
            for kind, factor in kinds
            if factor is not None
        ]

    def changed(self, images: Any, drawn: Any) -> Any:
        for step in self.steps:
            step._policy = self.dtype_policy
            images = step.changed(images, step.get_random_transformation(images))
        return images
