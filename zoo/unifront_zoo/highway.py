"""Highway networks: layers that learn how much of their input to let through."""

from collections.abc import Callable
from typing import Any

import unifront as uf
from unifront import layers


@uf.zoo.register(
    "highway",
    source="Srivastava, Greff and Schmidhuber 2015: Training very deep networks, section 3.1",
    parameters=544_660,
)
def highway(
    features: int = 784,
    classes: int | None = 10,
    classifier_activation: str | Callable[..., Any] | None = "softmax",
    units: int = 50,
    depth: uf.zoo.Depth = 100,
    activation: str | Callable[..., Any] = "relu",
    transform_bias: float = -4.0,
) -> uf.Model:
    """A dense layer, then ``depth - 1`` highway layers: ``y = H(x) T(x) + x (1 - T(x))``, ``T`` a sigmoid.

    0.5 M parameters and multiply-adds: ``[batch, features]`` → ``[batch, classes]``. ``transform_bias``, negative, lets
    all through at the start, so that hundreds of layers train.
    """
    image = uf.Input((features,), name="features")
    x = layers.Dense(units, activation=activation, name="plain")(image)
    for i in range(1, depth):
        bias = uf.initializers.Constant(transform_bias)
        carried = layers.Dense(units, activation=activation, name=f"highway{i}_hidden")(x)
        gate = layers.Dense(units, "sigmoid", bias_initializer=bias, name=f"highway{i}_gate")(x)
        x = carried * gate + x * (1.0 - gate)
    if classes is not None:
        x = layers.Dense(classes, activation=classifier_activation, name="predictions")(x)
    return uf.Model(image, x, name="highway")
