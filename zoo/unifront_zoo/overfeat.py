"""OverFeat, the fast model."""

from collections.abc import Callable
from typing import Any

import unifront as uf
from unifront import layers
from unifront_zoo._parts import ImageShape


@uf.zoo.register(
    "overfeat",
    source="Sermanet et al. 2013: OverFeat: integrated recognition, localization and detection, table 1",
    parameters=145_920_872,
)
def overfeat(
    input_shape: ImageShape = (231, 231, 3),
    classes: int | None = 1000,
    classifier_activation: str | Callable[..., Any] | None = "softmax",
    dropout: float = 0.5,
    units: tuple[int, int] = (3072, 4096),
) -> uf.Model:
    """OverFeat's fast model: five convolutions, three poolings, three dense layers.

    145.9 M parameters, 2.8 G multiply-adds: ``[batch, 231, 231, 3]`` → ``[batch, classes]``.
    """
    image = uf.Input(input_shape, name="image")
    x = layers.Conv2D(96, 11, strides=4, activation="relu", name="conv1")(image)
    x = layers.MaxPooling2D(2, name="pool1")(x)
    x = layers.Conv2D(256, 5, activation="relu", name="conv2")(x)
    x = layers.MaxPooling2D(2, name="pool2")(x)
    for name, filters in (("conv3", 512), ("conv4", 1024), ("conv5", 1024)):
        x = layers.Conv2D(filters, 3, padding="same", activation="relu", name=name)(x)
    x = layers.MaxPooling2D(2, name="pool5")(x)
    if classes is not None:
        x = layers.Flatten(name="flatten")(x)
        for name, size in zip(("fc6", "fc7"), units, strict=True):
            x = layers.Dropout(dropout, name=f"{name}_dropout")(x)
            x = layers.Dense(size, activation="relu", name=name)(x)
        x = layers.Dense(classes, activation=classifier_activation, name="predictions")(x)
    return uf.Model(image, x, name="overfeat")
