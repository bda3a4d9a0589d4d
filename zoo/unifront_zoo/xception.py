"""Xception, layer by layer that of Keras Applications."""

from typing import Any

import unifront as uf
from unifront import layers
from unifront_zoo._classic import head
from unifront_zoo._parts import ImageShape


def _separable(x: Any, filters: int, name: str) -> Any:
    x = layers.SeparableConv2D(filters, 3, padding="same", use_bias=False, name=name)(x)
    return layers.BatchNormalization(name=f"{name}_bn")(x)


def _relu(x: Any, name: str) -> Any:
    return layers.Activation("relu", name=f"{name}_act")(x)


def _halved(x: Any, filters: tuple[int, int], name: str, relu: bool = True) -> Any:
    """Two separable convolutions and a pooling beside a strided 1×1 convolution."""
    shortcut = layers.Conv2D(filters[1], 1, strides=2, padding="same", use_bias=False)(x)
    shortcut = layers.BatchNormalization()(shortcut)
    if relu:
        x = _relu(x, f"{name}_sepconv1")
    x = _separable(x, filters[0], f"{name}_sepconv1")
    x = _separable(_relu(x, f"{name}_sepconv2"), filters[1], f"{name}_sepconv2")
    x = layers.MaxPooling2D(3, 2, padding="same", name=f"{name}_pool")(x)
    return layers.Add()([x, shortcut])


@uf.zoo.register(
    "xception",
    source="Chollet 2016: Xception: deep learning with depthwise separable convolutions; Keras Applications",
    parameters=22_910_480,
    keras="Xception",
)
def xception(
    input_shape: ImageShape = (299, 299, 3),
    classes: int | None = 1000,
    classifier_activation: str | None = "softmax",
) -> uf.Model:
    """Xception: inception modules carried through to depthwise separable convolutions.

    22.9 M parameters, 8.4 G multiply-adds: ``[batch, 299, 299, 3]`` → ``[batch, classes]``.
    """
    x = image = uf.Input(input_shape, name="image")
    for name, filters, strides in (("block1_conv1", 32, 2), ("block1_conv2", 64, 1)):
        x = layers.Conv2D(filters, 3, strides=strides, use_bias=False, name=name)(x)
        x = _relu(layers.BatchNormalization(name=f"{name}_bn")(x), name)
    x = _halved(x, (128, 128), "block2", relu=False)
    x = _halved(x, (256, 256), "block3")
    x = _halved(x, (728, 728), "block4")
    for block in range(5, 13):
        y = x
        for i in (1, 2, 3):
            name = f"block{block}_sepconv{i}"
            y = _separable(_relu(y, name), 728, name)
        x = layers.Add()([y, x])
    x = _halved(x, (728, 1024), "block13")
    for name, filters in (("block14_sepconv1", 1536), ("block14_sepconv2", 2048)):
        x = _relu(_separable(x, filters, name), name)
    return uf.Model(image, head(x, classes, classifier_activation), name="xception")
