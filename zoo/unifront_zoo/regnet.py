"""RegNet X and Y (Radosavovic et al. 2020), as in torchvision and timm.

A model is four or five numbers: the widths of its blocks grow along a line, are rounded to steps of a factor, and
blocks of equal width make a stage.
"""

import math
from collections.abc import Callable
from itertools import groupby
from typing import Any

import unifront as uf
from unifront import layers
from unifront_zoo._parts import ImageShape, chosen, divisible


def nearest(width: int, group: int) -> int:
    """The multiple of ``group`` nearest to ``width``; the even one of two."""
    return group * round(width / group)


def stages(
    depth: int, w_0: int, w_a: float, w_m: float, group_width: int, whole: Callable[[int, int], int] = nearest
) -> list[tuple[int, int, int]]:
    """Width, blocks and width of the groups of each stage (equations 2 to 4 of the paper).

    Args:
        depth: blocks in all.
        w_0, w_a: the line: width of the first block, and how much each block adds.
        w_m: the factor between the widths of stages.
        group_width: channels in a group of the 3×3 convolutions.
        whole: rounds a width to whole groups.
    """
    powers = [round(math.log((w_0 + w_a * i) / w_0, w_m)) for i in range(depth)]
    found = []
    for width, blocks in groupby(8 * round(w_0 * w_m**power / 8) for power in powers):
        group = min(group_width, width)
        found.append((whole(width, group), len(list(blocks)), group))
    return found


def _conv_bn(x: Any, filters: int, name: str, size: int = 1, strides: int = 1, groups: int = 1) -> Any:
    x = layers.ZeroPadding2D(1, name=f"{name}_pad")(x) if size == 3 else x
    x = layers.Conv2D(filters, size, strides=strides, groups=groups, use_bias=False, name=f"{name}_conv")(x)
    return layers.BatchNormalization(momentum=0.9, epsilon=1e-5, name=f"{name}_bn")(x)


def _conv_bn_relu(x: Any, filters: int, name: str, size: int = 1, strides: int = 1, groups: int = 1) -> Any:
    return layers.ReLU(name=f"{name}_relu")(_conv_bn(x, filters, name, size, strides, groups))


def _block(x: Any, filters: int, strides: int, group: int, squeeze: bool, name: str) -> Any:
    """1×1, grouped 3×3 (with squeeze and excite in Y) and 1×1 convolutions beside a shortcut."""
    start, channels = x, x.shape[-1]
    if strides > 1 or channels != filters:
        start = _conv_bn(x, filters, f"{name}_shortcut", strides=strides)
    x = _conv_bn_relu(x, filters, f"{name}_1")
    x = _conv_bn_relu(x, filters, f"{name}_2", 3, strides, filters // group)
    if squeeze:
        y = layers.GlobalAveragePooling2D(keepdims=True, name=f"{name}_squeeze")(x)
        y = layers.Conv2D(round(channels / 4), 1, activation="relu", name=f"{name}_reduce")(y)
        y = layers.Conv2D(filters, 1, activation="sigmoid", name=f"{name}_expand")(y)
        x = layers.Multiply(name=f"{name}_excite")([x, y])
    x = _conv_bn(x, filters, f"{name}_3")
    return layers.ReLU(name=f"{name}_relu")(layers.Add(name=f"{name}_add")([start, x]))


def _blocks(own: set[str]) -> list[tuple[int, int]]:
    """Stage and number of each block, from 1, in a model with these layers."""
    found, stage = [], 1
    while f"stage{stage}_block1_add" in own:
        blocks = sum(f"stage{stage}_block{i + 1}_add" in own for i in range(len(own)))
        found += [(stage, i + 1) for i in range(blocks)]
        stage += 1
    return found


_OUTSIDE = (
    ("stem_conv", "stem.0", "stem.conv"),
    ("stem_bn", "stem.1", "stem.bn"),
    ("predictions", "fc", "head.fc"),
)
"""What a layer is called here, by torchvision, and by timm; below too."""
_BLOCK = ("stage{0}_block{1}_", "trunk_output.block{0}.block{0}-{2}.", "s{0}.b{1}.")
_PARTS = (
    ("shortcut", "proj", "downsample"),
    ("1", "f.a", "conv1"),
    ("2", "f.b", "conv2"),
    ("3", "f.c", "conv3"),
)
_HALVES = (("_conv", ".0", ".conv"), ("_bn", ".1", ".bn"))
_INSIDE: tuple[tuple[str, ...], ...] = (
    *(tuple(map("".join, zip(part, half, strict=True))) for part in _PARTS for half in _HALVES),
    ("reduce", "f.se.fc1", "se.fc1"),
    ("expand", "f.se.fc2", "se.fc2"),
)


def _names(publisher: int) -> Callable[[uf.Model], dict[str, str]]:
    """The layer for each module of the publisher in that column."""

    def names(model: uf.Model) -> dict[str, str]:
        own = {layer.name for layer in model.layers}
        rows: list[tuple[str, ...]] = [*_OUTSIDE]
        for stage, i in _blocks(own):
            before = [block.format(stage, i, i - 1) for block in _BLOCK]
            rows += [tuple(map("".join, zip(before, row, strict=True))) for row in _INSIDE]
        return {row[publisher]: row[0] for row in rows if row[0] in own}

    return names


_MODELS: dict[str, tuple[int, int, float, float, int, int]] = {
    "x_200mf": (13, 24, 36.44, 2.49, 8, 2_705_640),
    "x_400mf": (22, 24, 24.48, 2.54, 16, 5_533_832),
    "x_600mf": (16, 48, 36.97, 2.24, 24, 6_229_320),
    "x_800mf": (16, 56, 35.73, 2.28, 16, 7_296_968),
    "x_1_6gf": (18, 80, 34.01, 2.25, 24, 9_233_640),
    "x_3_2gf": (25, 88, 26.31, 2.25, 48, 15_359_112),
    "x_4gf": (23, 96, 38.65, 2.43, 40, 22_194_312),
    "x_6_4gf": (17, 184, 60.83, 2.07, 56, 26_283_464),
    "x_8gf": (23, 80, 49.56, 2.88, 120, 39_663_112),
    "x_12gf": (19, 168, 73.36, 2.37, 112, 46_202_440),
    "x_16gf": (22, 216, 55.59, 2.1, 128, 54_389_704),
    "x_32gf": (23, 320, 69.86, 2.0, 168, 107_973_576),
    "y_200mf": (13, 24, 36.44, 2.49, 8, 3_183_844),
    "y_400mf": (16, 48, 27.89, 2.09, 8, 4_371_296),
    "y_600mf": (15, 48, 32.54, 2.32, 16, 6_084_920),
    "y_800mf": (14, 56, 38.84, 2.4, 16, 6_462_944),
    "y_1_6gf": (27, 48, 20.71, 2.65, 24, 11_255_102),
    "y_3_2gf": (21, 80, 42.63, 2.66, 24, 19_502_498),
    "y_4gf": (22, 96, 31.41, 2.24, 64, 20_708_928),
    "y_6_4gf": (25, 112, 33.22, 2.27, 72, 30_665_684),
    "y_8gf": (17, 192, 76.82, 2.19, 56, 39_468_000),
    "y_12gf": (19, 168, 73.36, 2.37, 112, 51_918_928),
    "y_16gf": (18, 200, 106.23, 2.48, 112, 83_712_956),
    "y_32gf": (20, 232, 115.89, 2.53, 232, 145_205_058),
    "y_128gf": (27, 456, 160.83, 2.52, 264, 645_227_966),
}
"""Depth, w_0, w_a, w_m, width of groups, parameters with the moving statistics."""
_TIMM_ONLY = {"200mf", "600mf", "4gf", "6_4gf", "12gf"}


def _define(size: str) -> None:
    own_depth, own_w_0, own_w_a, own_w_m, own_group, parameters = _MODELS[size]
    name, kind, flops = f"regnet_{size}", size[0].upper(), size[2:].replace("_", ".")
    flops = f"{float(flops[:-2]) / (1000 if flops.endswith('mf') else 1):g}"
    peers = {} if size[2:] in _TIMM_ONLY else {"torchvision": _names(1)}
    whole: dict[str, Callable[[int, int], int]] = {} if size[2:] in _TIMM_ONLY else {"torchvision": divisible}
    whole["timm"] = nearest

    def build(
        input_shape: ImageShape = (224, 224, 3),
        classes: int | None = 1000,
        classifier_activation: str | Callable[..., Any] | None = "softmax",
        depth: uf.zoo.Depth = own_depth,
        w_0: int = own_w_0,
        w_a: float = own_w_a,
        w_m: float = own_w_m,
        group_width: int = own_group,
        like: str = next(iter(whole)),
    ) -> uf.Model:
        image = uf.Input(input_shape, name="image")
        x = _conv_bn_relu(image, 32, "stem", 3, 2)
        for stage, row in enumerate(stages(depth, w_0, w_a, w_m, group_width, chosen(like, whole)), 1):
            filters, blocks, group = row
            for i in range(blocks):
                x = _block(x, filters, 1 if i else 2, group, kind == "Y", f"stage{stage}_block{i + 1}")
        if classes is not None:
            x = layers.GlobalAveragePooling2D(name="avg_pool")(x)
            x = layers.Dense(classes, activation=classifier_activation, name="predictions")(x)
        return uf.Model(image, x, name=name)

    build.__name__ = build.__qualname__ = name
    build.__doc__ = f"""RegNet{kind}-{flops}GF: {parameters / 1e6:.1f} M parameters, {flops} G multiply-adds.

    Images ``[batch, height, width, 3]`` (normalized by ImageNet's mean and deviation for published weights) →
    probabilities ``[batch, classes]``, or the last features for ``classes=None``.

    Args:
        input_shape: height and width may be None.
        classes, classifier_activation: None leaves out the classifier, or its activation.
        depth, w_0, w_a, w_m, group_width: the design; see `stages`.
        like: {" or ".join(f'``"{one}"``' for one in whole)}: how widths are rounded to whole groups.
    """
    globals()[name] = uf.zoo.register(
        name, source="Radosavovic et al. 2020; torchvision, timm", parameters=parameters,
        peers=peers | {"timm": _names(2)},
    )(build)  # fmt: skip


for _size in _MODELS:
    _define(_size)
