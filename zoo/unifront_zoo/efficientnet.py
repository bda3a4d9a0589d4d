"""EfficientNet B0 to B7 (Tan and Le 2019) and EfficientNet V2 B0 to B3, S, M, L (Tan and Le 2021).

Layers, names and order of weights are those of Keras Applications; ``like="torchvision"`` pads and normalizes as
torchvision's models do, and takes images that are normalized already.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import unifront as uf
from unifront import layers
from unifront_zoo._parts import ImageShape, chosen, divisible, dropped_path, padded

MEAN, DEVIATION = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
"""ImageNet's, for each channel of images in [0, 1]."""
KERNEL = uf.initializers.VarianceScaling(2.0, "fan_out", "truncated_normal")
DENSE = uf.initializers.VarianceScaling(1 / 3, "fan_out", "uniform")


@dataclass(frozen=True)
class Stage:
    """A row of the paper's table of stages."""

    blocks: int
    filters: int
    kernel_size: int
    strides: int
    expansion: int
    fused: bool = False
    """Whether one full convolution stands for the expansion and the depthwise one, without squeeze and excite."""


def _stages(*rows: tuple[int, int, int, int, int], fused: int = 0) -> tuple[Stage, ...]:
    return tuple(Stage(*row, fused=i < fused) for i, row in enumerate(rows))


V1 = _stages(
    (1, 16, 3, 1, 1), (2, 24, 3, 2, 6), (2, 40, 5, 2, 6), (3, 80, 3, 2, 6), (3, 112, 5, 1, 6), (4, 192, 5, 2, 6),
    (1, 320, 3, 1, 6),
)  # fmt: skip
V2_B = _stages(
    (1, 16, 3, 1, 1), (2, 32, 3, 2, 4), (2, 48, 3, 2, 4), (3, 96, 3, 2, 4), (5, 112, 3, 1, 6), (8, 192, 3, 2, 6),
    fused=3,
)  # fmt: skip
V2_S = _stages(
    (2, 24, 3, 1, 1), (4, 48, 3, 2, 4), (4, 64, 3, 2, 4), (6, 128, 3, 2, 4), (9, 160, 3, 1, 6), (15, 256, 3, 2, 6),
    fused=3,
)  # fmt: skip
V2_M = _stages(
    (3, 24, 3, 1, 1), (5, 48, 3, 2, 4), (5, 80, 3, 2, 4), (7, 160, 3, 2, 4), (14, 176, 3, 1, 6),
    (18, 304, 3, 2, 6), (5, 512, 3, 1, 6), fused=3,
)  # fmt: skip
V2_L = _stages(
    (4, 32, 3, 1, 1), (7, 64, 3, 2, 4), (7, 96, 3, 2, 4), (10, 192, 3, 2, 4), (19, 224, 3, 1, 6),
    (25, 384, 3, 2, 6), (7, 640, 3, 1, 6), fused=3,
)  # fmt: skip


@dataclass(frozen=True)
class _Style:
    """What versions and publishers have differently."""

    like: str
    first: bool
    momentum: float
    epsilon: float

    def conv(self, x: Any, filters: int, size: int, strides: int, name: str, pad: str) -> Any:
        x, padding = self.padded(x, size, strides, pad)
        return layers.Conv2D(
            filters,
            size,
            strides=strides,
            padding=padding,
            use_bias=False,
            kernel_initializer=KERNEL,
            name=name,
        )(x)

    def depthwise(self, x: Any, size: int, strides: int, name: str, pad: str) -> Any:
        x, padding = self.padded(x, size, strides, pad)
        return layers.DepthwiseConv2D(
            size, strides=strides, padding=padding, use_bias=False, depthwise_initializer=KERNEL, name=name
        )(x)

    def padded(self, x: Any, size: int, strides: int, pad: str) -> tuple[Any, str]:
        if strides == 1 or (self.like == "keras" and not self.first):
            return x, "same"
        return padded(x, size, self.like, pad), "valid"

    def norm(self, x: Any, name: str, activation: str | None = None) -> Any:
        x = layers.BatchNormalization(momentum=self.momentum, epsilon=self.epsilon, name=name)(x)
        return layers.Activation("swish", name=activation)(x) if activation else x


def _squeeze_excite(x: Any, squeezed: int, name: str) -> Any:
    filters = x.shape[-1]
    y = layers.GlobalAveragePooling2D(name=f"{name}se_squeeze")(x)
    y = layers.Reshape((1, 1, filters), name=f"{name}se_reshape")(y)
    y = layers.Conv2D(squeezed, 1, activation="swish", kernel_initializer=KERNEL, name=f"{name}se_reduce")(y)
    y = layers.Conv2D(filters, 1, activation="sigmoid", kernel_initializer=KERNEL, name=f"{name}se_expand")(y)
    return layers.Multiply(name=f"{name}se_excite")([x, y])


def _block(x: Any, stage: Stage, filters: int, strides: int, drop: float, style: _Style, name: str) -> Any:
    start, channels, size = x, x.shape[-1], stage.kernel_size
    if stage.expansion > 1:
        step = (size, strides) if stage.fused else (1, 1)
        x = style.conv(x, channels * stage.expansion, *step, f"{name}expand_conv", f"{name}expand_pad")
        x = style.norm(x, f"{name}expand_bn", f"{name}expand_activation")
    if not stage.fused:
        x = style.depthwise(
            x, size, strides, f"{name}dwconv" if style.first else f"{name}dwconv2", f"{name}dwconv_pad"
        )
        x = style.norm(x, f"{name}bn", f"{name}activation")
        x = _squeeze_excite(x, max(1, channels // 4), name)
    alone = stage.fused and stage.expansion == 1
    step = (size, strides) if alone else (1, 1)
    x = style.conv(x, filters, *step, f"{name}project_conv", f"{name}project_pad")
    x = style.norm(x, f"{name}project_bn", f"{name}project_activation" if alone else None)
    if strides == 1 and channels == filters:
        x = layers.Add(name=f"{name}add")([dropped_path(x, drop, f"{name}drop"), start])
    return x


def _efficientnet(
    name: str, image: Any, x: Any, stages: Sequence[Stage], stem: int, style: _Style, width: float, depth: float,
    dropout_rate: float, drop_connect_rate: float, classes: int | None, classifier_activation: Any,
) -> uf.Model:  # fmt: skip
    def wide(filters: int) -> int:
        return divisible(filters * width, least=0.9 if style.first else 0)

    x = style.conv(x, wide(stem), 3, 2, "stem_conv", "stem_conv_pad")
    x = style.norm(x, "stem_bn", "stem_activation")
    repeats = [math.ceil(stage.blocks * depth) for stage in stages]
    # Keras counts version 2's dropped paths by the blocks before the depth is scaled.
    total, count = sum(repeats) if style.first else sum(stage.blocks for stage in stages), 0
    for i, stage in enumerate(stages):
        for j in range(repeats[i]):
            drop = min(drop_connect_rate * count / total, 1.0)
            strides, block = 1 if j else stage.strides, f"block{i + 1}{chr(ord('a') + j)}_"
            x = _block(x, stage, wide(stage.filters), strides, drop, style, block)
            count += 1
    x = style.conv(x, wide(1280), 1, 1, "top_conv", "top_pad")
    x = style.norm(x, "top_bn", "top_activation")
    if classes is not None:
        x = layers.GlobalAveragePooling2D(name="avg_pool")(x)
        x = layers.Dropout(dropout_rate, name="top_dropout")(x) if dropout_rate else x
        x = layers.Dense(
            classes, activation=classifier_activation, kernel_initializer=DENSE, name="predictions"
        )(x)  # fmt: skip
    return uf.Model(image, x, name=name)


def _names(model: uf.Model) -> dict[str, str]:
    """torchvision's modules: a stage is a number, its blocks are numbered in it, and their parts again in these."""
    own = {layer.name for layer in model.layers}
    names, stage = {"features.0.0": "stem_conv", "features.0.1": "stem_bn"}, 1
    while f"block{stage}a_project_conv" in own:
        j = 0
        while (block := f"block{stage}{chr(ord('a') + j)}_") + "project_conv" in own:
            found = [
                part
                for part in ("expand_conv", "dwconv", "dwconv2", "se_reduce", "project_conv")
                if block + part in own
            ]
            for k, part in enumerate(found):
                inner = f"features.{stage}.{j}.block.{k}"
                if part == "se_reduce":
                    names |= {f"{inner}.fc1": f"{block}se_reduce", f"{inner}.fc2": f"{block}se_expand"}
                else:
                    norm = block + part.replace("_conv", "_bn") if "_conv" in part else f"{block}bn"
                    names |= {f"{inner}.0": block + part, f"{inner}.1": norm}
            j += 1
        stage += 1
    names |= {f"features.{stage}.0": "top_conv", f"features.{stage}.1": "top_bn"}
    return names | {"classifier.1": "predictions"}


_V1 = {
    "b0": (1.0, 1.0, 224, 0.2, 5_330_571, 0.39),
    "b1": (1.0, 1.1, 240, 0.2, 7_856_239, 0.70),
    "b2": (1.1, 1.2, 260, 0.3, 9_177_569, 1.0),
    "b3": (1.2, 1.4, 300, 0.3, 12_320_535, 1.8),
    "b4": (1.4, 1.8, 380, 0.4, 19_466_823, 4.2),
    "b5": (1.6, 2.2, 456, 0.4, 30_562_527, 9.9),
    "b6": (1.8, 2.6, 528, 0.5, 43_265_143, 19.0),
    "b7": (2.0, 3.1, 600, 0.5, 66_658_687, 37.0),
}
"""Width, depth, size of images, dropout, parameters, 10⁹ multiply-adds."""


def _define_v1(size: str) -> None:
    width, depth, side, dropout, parameters, flops = _V1[size]
    name = f"efficientnet_{size}"
    epsilon = 1e-3 if size in {"b5", "b6", "b7"} else 1e-5  # torchvision's

    def build(
        input_shape: ImageShape = (side, side, 3),
        classes: int | None = 1000,
        classifier_activation: str | Callable[..., Any] | None = "softmax",
        width_coefficient: float = width,
        depth_coefficient: uf.zoo.Multiple = depth,
        dropout_rate: float = dropout,
        drop_connect_rate: float = 0.2,
        imagenet: bool = False,
        like: str = "keras",
    ) -> uf.Model:
        theirs = {"keras": (0.99, 1e-3), "torchvision": (0.99 if epsilon == 1e-3 else 0.9, epsilon)}
        style = _Style(like, True, *chosen(like, theirs))
        x = image = uf.Input(input_shape, name="image")
        if like == "keras":
            x = layers.Rescaling(1 / 255)(x)
            x = layers.Normalization(name="normalization")(x)
            x = layers.Rescaling([one**-0.5 for one in DEVIATION])(x) if imagenet else x
        return _efficientnet(
            name, image, x, V1, 32, style, width_coefficient, depth_coefficient, dropout_rate, drop_connect_rate,
            classes, classifier_activation,
        )  # fmt: skip

    build.__name__ = build.__qualname__ = name
    build.__doc__ = f"""EfficientNet-{size.upper()}: {parameters / 1e6:.1f} M parameters, {flops} G multiply-adds.

    Images ``[batch, height, width, 3]`` in [0, 255] → probabilities ``[batch, classes]``, or the last features
    ``[batch, height/32, width/32, {divisible(1280 * width)}]`` for ``classes=None``.

    Args:
        input_shape: height and width may be None.
        classes, classifier_activation: None leaves out the classifier, or its activation.
        width_coefficient, depth_coefficient: how many filters and blocks there are for one of B0's.
        dropout_rate: before the classifier.
        drop_connect_rate: the share of samples that skip the last block in training; it grows from 0 at the first.
        imagenet: divides the normalized images by the root of ImageNet's deviations, which Keras's published
            weights were trained with (Keras does so for ``weights="imagenet"`` only, not for a file).
        like: ``"keras"``, or ``"torchvision"``: symmetric padding, its epsilon, images normalized before.
    """
    globals()[name] = uf.zoo.register(
        name, source="Tan and Le 2019; Keras Applications, torchvision", parameters=parameters,
        keras=f"EfficientNet{size.upper()}", peers={"torchvision": _names},
    )(build)  # fmt: skip


_V2 = {
    "b0": (V2_B, 32, 1.0, 1.0, 224, 7_200_312, 0.72),
    "b1": (V2_B, 32, 1.0, 1.1, 240, 8_212_124, 1.2),
    "b2": (V2_B, 32, 1.1, 1.2, 260, 10_178_374, 1.7),
    "b3": (V2_B, 32, 1.2, 1.4, 300, 14_467_622, 3.0),
    "s": (V2_S, 24, 1.0, 1.0, 384, 21_612_360, 8.8),
    "m": (V2_M, 24, 1.0, 1.0, 480, 54_431_388, 24.0),
    "l": (V2_L, 32, 1.0, 1.0, 480, 119_027_848, 53.0),
}
"""Stages, filters of the stem, width, depth, size of images, parameters, 10⁹ multiply-adds."""


def _define_v2(size: str) -> None:
    stages, stem, width, depth, side, parameters, flops = _V2[size]
    name = f"efficientnet_v2_{size}"
    published = {"keras": (0.9, 1e-3)} | ({} if stages is V2_B else {"torchvision": (0.9, 1e-3)})

    def build(
        input_shape: ImageShape = (side, side, 3),
        classes: int | None = 1000,
        classifier_activation: str | Callable[..., Any] | None = "softmax",
        width_coefficient: float = width,
        depth_coefficient: uf.zoo.Multiple = depth,
        dropout_rate: float = 0.2,
        drop_connect_rate: float = 0.2,
        include_preprocessing: bool = True,
        like: str = "keras",
    ) -> uf.Model:
        style = _Style(like, False, *chosen(like, published))
        x = image = uf.Input(input_shape, name="image")
        if like == "keras" and include_preprocessing:
            if stages is V2_B and input_shape[-1] == 3:
                x = layers.Rescaling(1 / 255)(x)
                x = layers.Normalization(mean=MEAN, variance=[one**2 for one in DEVIATION])(x)
            else:
                x = layers.Rescaling(1 / 128, -1.0)(x)
        return _efficientnet(
            name, image, x, stages, stem, style, width_coefficient, depth_coefficient, dropout_rate,
            drop_connect_rate, classes, classifier_activation,
        )  # fmt: skip

    build.__name__ = build.__qualname__ = name
    build.__doc__ = f"""EfficientNet V2-{size.upper()}: {parameters / 1e6:.1f} M parameters, {flops} G multiply-adds.

    Images ``[batch, height, width, 3]`` in [0, 255] → probabilities ``[batch, classes]``, or the last features
    ``[batch, height/32, width/32, {divisible(1280 * width)}]`` for ``classes=None``.

    Args:
        input_shape: height and width may be None.
        classes, classifier_activation: None leaves out the classifier, or its activation.
        width_coefficient, depth_coefficient: how many filters and blocks there are for one of the paper's.
        dropout_rate: before the classifier.
        drop_connect_rate: the share of samples that skip the last block in training; it grows from 0 at the first.
        include_preprocessing: whether the model normalizes [0, 255] itself (only like Keras).
        like: {" or ".join(f'``"{one}"``' for one in published)}: who pads strided convolutions how.
    """
    globals()[name] = uf.zoo.register(
        name, source="Tan and Le 2021; Keras Applications, torchvision", parameters=parameters,
        keras=f"EfficientNetV2{size.upper()}",
        peers={"torchvision": _names} if len(published) > 1 else {},
    )(build)  # fmt: skip


for _size in _V1:
    _define_v1(_size)
for _size in _V2:
    _define_v2(_size)
