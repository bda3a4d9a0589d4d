"""MobileNet and what came after: sizes as published, Keras Applications and torch modules as judges."""

from __future__ import annotations

import math
from itertools import pairwise
from typing import Any

import pytest

from tests.zoo.modern_judges import check_keras
from unifront import errors, zoo

FAMILIES = ("convnext", "efficientnet", "mobilenet", "regnet", "shufflenet", "vit")


PUBLISHED = {
    "regnet_x_200mf": 2_684_792, "regnet_x_400mf": 5_495_976, "regnet_x_600mf": 6_196_040,
    "regnet_x_800mf": 7_259_656, "regnet_x_1_6gf": 9_190_136, "regnet_x_3_2gf": 15_296_552,
    "regnet_x_4gf": 22_118_248, "regnet_x_6_4gf": 26_209_256, "regnet_x_8gf": 39_572_648,
    "regnet_x_12gf": 46_106_056, "regnet_x_16gf": 54_278_536, "regnet_x_32gf": 107_811_560,
    "regnet_y_200mf": 3_162_996, "regnet_y_400mf": 4_344_144, "regnet_y_600mf": 6_055_160,
    "regnet_y_800mf": 6_432_512, "regnet_y_1_6gf": 11_202_430, "regnet_y_3_2gf": 19_436_338,
    "regnet_y_4gf": 20_646_656, "regnet_y_6_4gf": 30_583_252, "regnet_y_8gf": 39_381_472,
    "regnet_y_12gf": 51_822_544, "regnet_y_16gf": 83_590_140, "regnet_y_32gf": 145_046_770,
    "regnet_y_128gf": 644_812_894, "shufflenet_v2_x0_5": 1_366_792, "shufflenet_v2_x1_0": 2_278_604,
    "shufflenet_v2_x1_5": 3_503_624, "shufflenet_v2_x2_0": 7_393_996,
    "vit_ti_16": 5_717_416, "vit_s_16": 22_050_664, "vit_b_16": 86_567_656, "vit_b_32": 88_224_232,
    "vit_l_16": 304_326_632, "vit_l_32": 306_535_400, "vit_h_14": 632_045_800,
    "r3d_18": 33_371_472, "r2plus1d_18": 31_505_325,
}  # fmt: skip
"""Parameters without moving statistics, as torchvision (``num_params``) and timm count them."""


@pytest.mark.parametrize(
    "name",
    [
        pytest.param(entry.name, marks=[pytest.mark.slow] * (entry.parameters > 4e6))
        for entry in zoo.entries()
        if entry.family in FAMILIES or entry.name in PUBLISHED
    ],
)
def test_the_size_is_that_published(name: str) -> None:
    """Keras Applications count the moving statistics; torchvision and timm do not."""
    entry, model = zoo.entries(name)[0], zoo.create(name)
    assert model.count_params() == entry.parameters
    if name in PUBLISHED:
        assert sum(math.prod(w.shape) for w in model.trainable_weights) == PUBLISHED[name]


def test_the_sizes_of_the_papers_without_published_weights() -> None:
    """Counted by hand: kernels and biases of the layers that the papers' figures show."""
    widths = (64, 128, 256, 512, 1024)
    down = sum(9 * (a + b) * b + 2 * b for a, b in zip((1, *widths), widths, strict=False))
    up = sum(4 * b * a + a + 9 * (2 * a + a) * a + 2 * a for a, b in pairwise(widths))
    assert zoo.create("unet").count_params() == down + up + 64 * 2 + 2
    vgg, scored = 14_714_688 + 49 * 512 * 4096 + 4096 + 4096 * 4096 + 4096, 4096 * 21 + 21
    skips = 512 * 21 + 21, 256 * 21 + 21
    assert zoo.create("fcn32s").count_params() == vgg + scored + (64 * 21) ** 2
    assert zoo.create("fcn16s").count_params() == vgg + scored + skips[0] + (4 * 21) ** 2 + (32 * 21) ** 2
    assert (
        zoo.create("fcn8s").count_params() == vgg + scored + sum(skips) + 2 * (4 * 21) ** 2 + (16 * 21) ** 2
    )
    assert zoo.create("ssd300").count_params() == 26_285_486  # Caffe's and torchvision's for Pascal VOC
    assert zoo.create("ssd300", classes=91).count_params() == 35_641_826  # torchvision's for COCO
    convolutions = ((3, 64), (64, 128), (128, 256), (256, 256), (256, 512), *[(512, 512)] * 3)
    dense = ((8192, 4096), (4096, 4096), (4096, 487))
    c3d = sum(27 * a * b + b for a, b in convolutions) + sum(a * b + b for a, b in dense)
    assert zoo.create("c3d").count_params() == c3d
    for name in ("unet", "fcn32s", "fcn16s", "fcn8s", "ssd300", "c3d"):
        assert zoo.create(name).count_params() == zoo.entries(name)[0].parameters


KERAS: list[tuple[str, int, dict[str, Any]]] = [
    ("mobilenet", 32, {"alpha": 0.25, "classes": 7, "classifier_activation": "softmax"}),
    ("mobilenet_v3_small", 64, {"alpha": 0.75}),
    ("convnext_tiny", 32, {}),
]
KERAS_SLOWLY: list[tuple[str, int, dict[str, Any]]] = [
    ("mobilenet", 65, {"alpha": 0.5, "depth_multiplier": 2}),
    ("mobilenet_v2", 64, {"alpha": 0.35}),
    ("mobilenet_v2", 61, {"alpha": 1.4}),
    ("efficientnet_b0", 32, {}),
    ("efficientnet_v2_b0", 32, {}),
    ("mobilenet_v3_small", 97, {"minimalistic": True}),
    ("mobilenet_v3_large", 64, {}),
    ("efficientnet_b3", 65, {"classes": 7}),
    ("efficientnet_b7", 64, {"classes": 7}),
    ("efficientnet_v2_b3", 65, {"include_preprocessing": False}),
    ("efficientnet_v2_s", 64, {}),
    ("efficientnet_v2_l", 64, {}),
    ("convnext_base", 65, {"include_preprocessing": False}),
    ("mobilenet_v3_large", 67, {"alpha": 1.25, "minimalistic": True}),
]


@pytest.mark.parametrize(
    ("name", "size", "options"),
    [*KERAS, *(pytest.param(*row, marks=pytest.mark.slow) for row in KERAS_SLOWLY)],
)
def test_it_gives_what_keras_applications_gives(name: str, size: int, options: dict[str, Any]) -> None:
    check_keras(name, size, options)


_HEADLESS = (
    "mobilenet",
    "mobilenet_v2",
    "mobilenet_v3_small",
    "efficientnet_b0",
    "efficientnet_v2_b0",
    "convnext_tiny",
)


@pytest.mark.slow
@pytest.mark.parametrize("name", _HEADLESS)
def test_without_its_classifier_it_is_keras_without_its_top(name: str) -> None:
    check_keras(name, 64, {"classes": None}, include_top=False)


@pytest.mark.parametrize("name", ["mobilenet_v2", "mobilenet_v3_large", "efficientnet_b0"])
def test_another_publisher_is_refused(name: str) -> None:
    with pytest.raises(
        errors.ArgumentError, match="like='timm': this model is built like one of 'keras', 'torchv"
    ):
        zoo.create(name, like="timm")


@pytest.mark.parametrize(
    "name",
    ["mobilenet_v3_small", "shufflenet_v2_x0_5", "efficientnet_v2_b0", "regnet_y_400mf", "convnext_tiny"],
)
def test_images_of_any_size_are_taken(name: str) -> None:
    model = zoo.create(name, input_shape=(None, None, 3), classes=None)
    assert [type(size) for size in model.output.shape[1:3]] != [int, int]
    assert isinstance(model.output.shape[-1], int)
