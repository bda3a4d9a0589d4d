"""LeNet-5."""

from collections.abc import Callable
from typing import Any

import unifront as uf
from unifront import layers


@uf.zoo.register("lenet5", source="LeCun et al. 1998, as commonly built today")
def lenet5(
    input_shape: tuple[int, int, int] = (28, 28, 1),
    classes: int = 10,
    activation: str | Callable[..., Any] = "tanh",
) -> uf.Model:
    """Two convolutions with average pooling, then 120, 84 and ``classes`` units: logits."""
    image = uf.Input(input_shape, name="image")
    x = layers.Conv2D(6, 5, padding="same", activation=activation)(image)
    x = layers.AveragePooling2D()(x)
    x = layers.Conv2D(16, 5, activation=activation)(x)
    x = layers.AveragePooling2D()(x)
    x = layers.Flatten()(x)
    x = layers.Dense(120, activation=activation)(x)
    x = layers.Dense(84, activation=activation)(x)
    return uf.Model(image, layers.Dense(classes)(x), name="lenet5")
