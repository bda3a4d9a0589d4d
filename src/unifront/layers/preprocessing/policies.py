"""Layers that apply other layers on images, chosen anew for each batch."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from itertools import count
from typing import Any, Unpack

import numpy as np

from unifront import ops, random
from unifront.arguments import Amount, Count, checked
from unifront.layers.arguments import Seed
from unifront.layers.preprocessing import color, histograms, warping
from unifront.layers.preprocessing.base import (
    BaseImagePreprocessingLayer,
    Factor,
    ImageOptions,
    between,
    range_of,
)
from unifront.opset.tensor import type_of

Change = Callable[[BaseImagePreprocessingLayer, Any, Any], Any]


class _Policy(BaseImagePreprocessingLayer):
    """A layer with `steps`, of which each call chooses some."""

    _USE_BASE_FACTOR = False
    _FACTOR_BOUNDS = (0, 1)
    value_range: tuple[float, float]
    steps: list[BaseImagePreprocessingLayer]

    def make_steps(self, every: bool = True) -> None:
        """Make the layers that are chosen among; all of them, or those that are not in the usual tests of
        robustness (Hendrycks et al. 2020)."""
        common: dict[str, Any] = {
            "seed": self.seed, "data_format": self.data_format, "bounding_box_format": self.bounding_box_format,
        }  # fmt: skip
        moving = {**common, "interpolation": self.interpolation}
        ranged = {**common, "value_range": self.value_range}
        plain = {key: value for key, value in ranged.items() if key != "seed"}
        own = self.factor
        self.steps = [
            warping.RandomShear(own, own, **moving),
            warping.RandomTranslation(own, own, **moving),
            warping.RandomRotation(own, **moving),
            color.RandomPosterization(max(1, int(8 * own[1])), **ranged),
            color.Solarization(own, own, **ranged),
            color.AutoContrast(**plain),
            histograms.Equalization(**plain),
        ]
        if every:
            self.steps += [
                color.RandomBrightness(own, **ranged),
                color.RandomColorDegeneration(own, **ranged),
                color.RandomContrast(own, **ranged),
                color.RandomSharpness(own, **ranged),
            ]

    def choices(self, shape: tuple[int, ...], among: int, seed: Any, images: Any) -> Any:
        """Numbers below ``among``, drawn evenly."""
        return ops.cast(ops.floor(self.uniform(shape, (0.0, float(among)), seed, images)), "int32")

    def stepped(self, x: Any, which: Any, key: Any, images: Any, change: Change) -> Any:
        """``x`` changed by the step of the number ``which``, with what it draws from ``key``; beyond them all as it
        is. Only that step is run."""

        def changed(step: BaseImagePreprocessingLayer, x: Any) -> Any:
            step._policy = self.dtype_policy
            draws = count()
            own = step.get_random_transformation(images, seed=lambda: ops.fold_in(key, next(draws)))
            return change(step, x, own)

        branches: list[Callable[..., Any]] = [*(partial(changed, step) for step in self.steps), lambda x: x]
        return ops.switch(which, branches, x)


class RandAugment(_Policy):
    """``num_ops`` layers after each other, chosen anew for each batch (Cubuk et al. 2019).

    Args:
        factor: how much each of them does, in [0, 1].
    """

    @checked
    def __init__(
        self,
        value_range: Any = (0, 255),
        num_ops: Count = 2,
        factor: Factor = 0.5,
        interpolation: str = "bilinear",
        seed: Seed = None,
        data_format: str | None = None,
        **options: Unpack[ImageOptions],
    ) -> None:
        super().__init__(data_format=data_format, **options)
        self._set_factor(factor)
        self.value_range, self.num_ops, self.interpolation = range_of(value_range), num_ops, interpolation
        self.seed = seed
        self.make_steps()

    def get_random_transformation(self, data: Any, training: bool = True, seed: Any = None) -> Any:
        if not training:
            return None
        images = self.images_in(data)
        which = self.choices((self.num_ops,), len(self.steps), seed, images)
        return {"layer_idxes": which, "key": self.key(seed), "images": images}

    def _augmented(self, x: Any, drawn: Any, change: Change) -> Any:
        for place in range(self.num_ops):
            key = ops.fold_in(drawn["key"], place)
            x = self.stepped(x, drawn["layer_idxes"][place], key, drawn["images"], change)
        return x

    def transform_images(self, images: Any, transformation: Any, training: bool = True) -> Any:
        images = self.floats(images)
        if not training or transformation is None:
            return images
        return self._augmented(images, transformation, lambda step, x, own: step.transform_images(x, own))

    def transform_segmentation_masks(
        self, segmentation_masks: Any, transformation: Any, training: bool = True
    ) -> Any:
        if not training or transformation is None:
            return segmentation_masks
        return self._augmented(
            segmentation_masks, transformation, lambda step, x, own: step.transform_segmentation_masks(x, own)
        )

    def transform_bounding_boxes(
        self, bounding_boxes: Any, transformation: Any, training: bool = True
    ) -> Any:
        if not training or transformation is None:
            return bounding_boxes
        return self._augmented(
            dict(bounding_boxes), transformation, lambda step, x, own: step.transform_bounding_boxes(x, own)
        )


class AugMix(_Policy):
    """The image mixed with some that chains of layers make of it (Hendrycks et al. 2020).

    The layers of the chains are chosen anew for each batch.

    Args:
        value_range: the least and the largest value of a pixel.
        num_chains: how many chains there are.
        chain_depth: how many layers are in each at most.
        factor: how much each of them does, in [0, 1].
        alpha: the parameter of the Dirichlet distribution of the chains' shares and of the beta distribution of the
            image's own.
        all_ops: choose among brightness, colour, contrast and sharpness too.
        interpolation: ``"bilinear"`` or ``"nearest"``.
        seed: gives the layer a stream of its own.
    """

    @checked
    def __init__(
        self,
        value_range: Any = (0, 255),
        num_chains: Count = 3,
        chain_depth: Count = 3,
        factor: Factor = 0.3,
        alpha: Amount = 1.0,
        all_ops: bool = True,
        interpolation: str = "bilinear",
        seed: Seed = None,
        data_format: str | None = None,
        **options: Unpack[ImageOptions],
    ) -> None:
        super().__init__(data_format=data_format, **options)
        self._set_factor(factor)
        self.value_range, self.interpolation, self.seed = range_of(value_range), interpolation, seed
        self.num_chains, self.chain_depth, self.alpha, self.all_ops = num_chains, chain_depth, alpha, all_ops
        self.make_steps(all_ops)

    def get_random_transformation(self, data: Any, training: bool = True, seed: Any = None) -> Any:
        if not training:
            return None
        images = self.images_in(data)
        alpha = ops.full((self.num_chains,), float(self.alpha), "float32", like=images)
        parts = ops.random_gamma(self.key(seed), alpha)
        return {
            "chain_mixing_weights": ops.divide(parts, ops.maximum(ops.sum(parts), 1e-30)),
            "weight_sample": random.beta((1,), alpha[:1], alpha[:1], "float32", self.key(seed))[0],
            "layer_idxes": self.choices(
                (self.num_chains * self.chain_depth,), len(self.steps) + 1, seed, images
            ),
            "key": self.key(seed),
            "images": images,
        }

    def _mixed(self, x: Any, drawn: Any, change: Change) -> Any:
        """The chains one after the other, as one loop: each begins with ``x``, and is added when it ends."""
        steps = self.num_chains * self.chain_depth
        begins = np.arange(steps) % self.chain_depth == 0
        ends = np.roll(begins, -1).astype(np.float32)
        shares = ops.multiply(ops.repeat(drawn["chain_mixing_weights"], self.chain_depth, 0), ends)

        def step(carry: Any, given: Any) -> Any:
            image, total = carry
            begin, share, which, place = given
            image = ops.where(begin, x, image)
            key = ops.fold_in(drawn["key"], place)
            image = ops.cast(self.stepped(image, which, key, drawn["images"], change), dtype)
            return (image, ops.add(total, ops.multiply(image, ops.cast(share, dtype)))), None

        dtype = type_of(x).dtype
        each = (begins, shares, drawn["layer_idxes"], np.arange(steps, dtype=np.int32))
        (_, total), _ = ops.scan(step, (x, ops.zeros_like(x)), each)
        own = ops.cast(drawn["weight_sample"], dtype)
        return ops.add(ops.multiply(own, x), ops.multiply(ops.subtract(1.0, own), total))

    def transform_images(self, images: Any, transformation: Any, training: bool = True) -> Any:
        images = self.floats(images)
        if not training or transformation is None:
            return images
        found = self._mixed(images, transformation, lambda step, x, own: step.transform_images(x, own))
        return between(found, *self.value_range)

    def transform_segmentation_masks(
        self, segmentation_masks: Any, transformation: Any, training: bool = True
    ) -> Any:
        if not training or transformation is None:
            return segmentation_masks
        return self._mixed(
            self.floats(segmentation_masks), transformation,
            lambda step, x, own: step.transform_segmentation_masks(x, own),
        )  # fmt: skip
