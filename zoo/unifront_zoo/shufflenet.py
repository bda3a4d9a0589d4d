"""ShuffleNet V2 (Ma et al. 2018), as in torchvision."""

from collections.abc import Callable
from typing import Any

import unifront as uf
from unifront import layers, ops
from unifront_zoo._parts import ImageShape

BLOCKS = (4, 8, 4)
"""Of the stages 2 to 4."""


def _conv_bn(x: Any, filters: int, name: str, size: int = 1, strides: int = 1) -> Any:
    x = layers.ZeroPadding2D(1, name=f"{name}_pad")(x) if strides == 2 else x
    padding = "valid" if strides == 2 else "same"
    x = layers.Conv2D(filters, size, strides=strides, padding=padding, use_bias=False, name=f"{name}_conv")(x)
    x = layers.BatchNormalization(momentum=0.9, epsilon=1e-5, name=f"{name}_bn")(x)
    return layers.ReLU(name=f"{name}_relu")(x)


def _depthwise_bn(x: Any, strides: int, name: str) -> Any:
    x = layers.ZeroPadding2D(1, name=f"{name}_pad")(x)
    x = layers.DepthwiseConv2D(3, strides=strides, use_bias=False, name=f"{name}_conv")(x)
    return layers.BatchNormalization(momentum=0.9, epsilon=1e-5, name=f"{name}_bn")(x)


def _shuffled(left: Any, right: Any) -> Any:
    """The channels of two tensors in turn: what a concatenation and a shuffle of two groups give."""
    *places, channels = left.shape
    return ops.reshape(ops.stack([left, right], axis=-1), (*places, 2 * channels))


def _block(x: Any, filters: int, strides: int, name: str) -> Any:
    half = filters // 2
    if strides == 1:
        left, right = ops.split(x, 2, axis=-1)
    else:
        left, right = _depthwise_bn(x, 2, f"{name}_left_1"), x
        left = _conv_bn(left, half, f"{name}_left_2")
    right = _conv_bn(right, half, f"{name}_right_1")
    right = _depthwise_bn(right, strides, f"{name}_right_2")
    right = _conv_bn(right, half, f"{name}_right_3")
    return _shuffled(left, right)


def _names(model: uf.Model) -> dict[str, str]:
    groups = {"conv1": ("conv1", 0), "conv5": ("conv5", 0)}
    for stage, blocks in enumerate(BLOCKS, 2):
        for i in range(blocks):
            here, there = f"stage{stage}_block{i + 1}", f"stage{stage}.{i}"
            if not i:
                groups |= {
                    f"{here}_left_1": (f"{there}.branch1", 0),
                    f"{here}_left_2": (f"{there}.branch1", 2),
                }
            groups |= {f"{here}_right_{j}": (f"{there}.branch2", at) for j, at in ((1, 0), (2, 3), (3, 5))}
    names = {f"{there}.{at}": f"{here}_conv" for here, (there, at) in groups.items()}
    names |= {f"{there}.{at + 1}": f"{here}_bn" for here, (there, at) in groups.items()}
    return names | {"fc": "predictions"}


def _define(name: str, filters: tuple[int, ...], parameters: int, published: int, flops: float) -> None:
    def build(
        input_shape: ImageShape = (224, 224, 3),
        classes: int | None = 1000,
        classifier_activation: str | Callable[..., Any] | None = "softmax",
    ) -> uf.Model:
        image = uf.Input(input_shape, name="image")
        x = _conv_bn(image, filters[0], "conv1", 3, 2)
        x = layers.ZeroPadding2D(1, name="pool1_pad")(x)  # after ReLU, zeros are never above what is there
        x = layers.MaxPooling2D(3, strides=2, name="pool1")(x)
        for stage, blocks in enumerate(BLOCKS, 2):
            for i in range(blocks):
                x = _block(x, filters[stage - 1], 1 if i else 2, f"stage{stage}_block{i + 1}")
        x = _conv_bn(x, filters[-1], "conv5")
        if classes is not None:
            x = layers.GlobalAveragePooling2D(name="avg_pool")(x)
            x = layers.Dense(classes, activation=classifier_activation, name="predictions")(x)
        return uf.Model(image, x, name=name)

    build.__name__ = build.__qualname__ = name
    build.__doc__ = f"""ShuffleNet V2: {published / 1e6:.1f} M parameters, {flops} G multiply-adds.

    Images ``[batch, height, width, 3]`` (normalized by ImageNet's mean and deviation for torchvision's weights) →
    probabilities ``[batch, classes]``, or the last features ``[batch, height/32, width/32, {filters[-1]}]`` for
    ``classes=None``.

    Args:
        input_shape: height and width may be None.
        classes, classifier_activation: None leaves out the classifier, or its activation.
    """
    globals()[name] = uf.zoo.register(
        name, source="Ma et al. 2018; torchvision", parameters=parameters, peers={"torchvision": _names}
    )(build)


_define("shufflenet_v2_x0_5", (24, 48, 96, 192, 1024), 1_374_744, 1_366_792, 0.04)
_define("shufflenet_v2_x1_0", (24, 116, 232, 464, 1024), 2_294_784, 2_278_604, 0.14)
_define("shufflenet_v2_x1_5", (24, 176, 352, 704, 1024), 3_527_064, 3_503_624, 0.30)
_define("shufflenet_v2_x2_0", (24, 244, 488, 976, 2048), 7_427_712, 7_393_996, 0.58)
