"""AlexNet: the two towers of 2012 as groups of channels, and the one tower of 2014."""

from collections.abc import Callable, Mapping
from typing import Any

import unifront as uf
from unifront import layers, ops
from unifront_zoo._classic import resized
from unifront_zoo._parts import ImageShape


def _classifier(x: Any, classes: int, activation: Any, dropout: float, units: int) -> Any:
    x = layers.Flatten(name="flatten")(x)
    for name in ("fc6", "fc7"):
        x = layers.Dropout(dropout, name=f"{name}_dropout")(x)
        x = layers.Dense(units, activation="relu", name=name)(x)
    return layers.Dense(classes, activation=activation, name="predictions")(x)


@uf.zoo.register(
    "alexnet",
    source="Krizhevsky, Sutskever and Hinton 2012: ImageNet classification with deep CNNs; 227×227 as in Caffe",
    parameters=60_965_224,
)
def alexnet(
    input_shape: ImageShape = (227, 227, 3),
    classes: int | None = 1000,
    classifier_activation: str | Callable[..., Any] | None = "softmax",
    dropout: float = 0.5,
    units: int = 4096,
) -> uf.Model:
    """AlexNet as published: towers that see each other in the third layer, local response normalization.

    60.97 M parameters, 0.72 G multiply-adds: ``[batch, 227, 227, 3]`` → ``[batch, classes]``. The paper says 224, but
    its 55×55 first map takes 227. The two towers are two groups of channels.
    """
    image = uf.Input(input_shape, name="image")
    x = layers.Conv2D(96, 11, strides=4, activation="relu", name="conv1")(image)
    x = ops.local_response_normalization(x, 5, alpha=1e-4, beta=0.75, bias=2.0)
    x = layers.MaxPooling2D(3, 2, name="pool1")(x)
    x = layers.Conv2D(256, 5, padding="same", groups=2, activation="relu", name="conv2")(x)
    x = ops.local_response_normalization(x, 5, alpha=1e-4, beta=0.75, bias=2.0)
    x = layers.MaxPooling2D(3, 2, name="pool2")(x)
    for name, filters, groups in (("conv3", 384, 1), ("conv4", 384, 2), ("conv5", 256, 2)):
        x = layers.Conv2D(filters, 3, padding="same", groups=groups, activation="relu", name=name)(x)
    x = layers.MaxPooling2D(3, 2, name="pool5")(x)
    if classes is not None:
        x = _classifier(x, classes, classifier_activation, dropout, units)
    return uf.Model(image, x, name="alexnet")


def _torchvision(model: uf.Model) -> Mapping[str, str]:
    convs = {f"features.{at}": f"conv{i}" for i, at in enumerate((0, 3, 6, 8, 10), 1)}
    return convs | {"classifier.1": "fc6", "classifier.4": "fc7", "classifier.6": "predictions"}


@uf.zoo.register(
    "alexnet_owt",
    source="Krizhevsky 2014: One weird trick for parallelizing convolutional neural networks; torchvision",
    parameters=61_100_840,
    peers={"torchvision": _torchvision},
)
def alexnet_owt(
    input_shape: ImageShape = (224, 224, 3),
    classes: int | None = 1000,
    classifier_activation: str | Callable[..., Any] | None = "softmax",
    dropout: float = 0.5,
    units: int = 4096,
) -> uf.Model:
    """AlexNet with one tower, without local response normalization.

    61.10 M parameters, 0.71 G multiply-adds: ``[batch, 224, 224, 3]`` → ``[batch, classes]``. Another size is pooled to
    6×6 before the dense layers, as torchvision does.
    """
    image = uf.Input(input_shape, name="image")
    x = layers.ZeroPadding2D(2, name="conv1_pad")(image)
    x = layers.Conv2D(64, 11, strides=4, activation="relu", name="conv1")(x)
    x = layers.MaxPooling2D(3, 2, name="pool1")(x)
    x = layers.Conv2D(192, 5, padding="same", activation="relu", name="conv2")(x)
    x = layers.MaxPooling2D(3, 2, name="pool2")(x)
    for name, filters in (("conv3", 384), ("conv4", 256), ("conv5", 256)):
        x = layers.Conv2D(filters, 3, padding="same", activation="relu", name=name)(x)
    x = layers.MaxPooling2D(3, 2, name="pool5")(x)
    if classes is not None:
        x = _classifier(resized(x, 6, "avg_pool"), classes, classifier_activation, dropout, units)
    return uf.Model(image, x, name="alexnet_owt")
