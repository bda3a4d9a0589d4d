"""SqueezeNet 1.0 and 1.1."""

from collections.abc import Callable, Mapping
from typing import Any

import unifront as uf
from unifront import layers
from unifront_zoo._classic import pool_up, variant
from unifront_zoo._parts import ImageShape

FIRES = {2: 16, 3: 16, 4: 32, 5: 32, 6: 48, 7: 48, 8: 64, 9: 64}
"""The squeezed channels of each fire module; it expands them to four times as many of 1×1 and of 3×3."""

# Filters and size of the first convolution, the fire modules that a pooling follows, parameters.
MODELS = {
    "squeezenet1_0": (96, 7, (4, 8), 1_248_424, 0.82),
    "squeezenet1_1": (64, 3, (3, 5), 1_235_496, 0.35),
}


def _fire(x: Any, squeezed: int, name: str) -> Any:
    x = layers.Conv2D(squeezed, 1, activation="relu", name=f"{name}_squeeze1x1")(x)
    one = layers.Conv2D(4 * squeezed, 1, activation="relu", name=f"{name}_expand1x1")(x)
    three = layers.Conv2D(4 * squeezed, 3, padding="same", activation="relu", name=f"{name}_expand3x3")(x)
    return layers.Concatenate(name=f"{name}_concat")([one, three])


def _squeezenet(
    name: str,
    filters: int,
    size: int,
    pooled: tuple[int, ...],
    input_shape: ImageShape = (224, 224, 3),
    classes: int | None = 1000,
    classifier_activation: str | Callable[..., Any] | None = "softmax",
    dropout: float = 0.5,
) -> uf.Model:
    image = uf.Input(input_shape, name="image")
    x = layers.Conv2D(filters, size, strides=2, activation="relu", name="conv1")(image)
    x = pool_up(x, 3, "pool1")
    for number, squeezed in FIRES.items():
        x = _fire(x, squeezed, f"fire{number}")
        if number in pooled:
            x = pool_up(x, 3, f"pool{number}")
    if classes is not None:
        x = layers.Dropout(dropout, name="fire9_dropout")(x)
        x = layers.Conv2D(classes, 1, activation="relu", name="predictions")(x)
        x = layers.GlobalAveragePooling2D(name="avg_pool")(x)
        if classifier_activation is not None:
            x = layers.Activation(classifier_activation, name="probabilities")(x)
    return uf.Model(image, x, name=name)


def _torchvision(model: uf.Model) -> Mapping[str, str]:
    names, index = {"features.0": "conv1", "classifier.1": "predictions"}, 2
    for layer in model.layers:
        if isinstance(layer, layers.MaxPooling2D):
            index += 1
        elif layer.name.endswith("squeeze1x1"):
            fire = layer.name.removesuffix("_squeeze1x1")
            names[f"features.{index}.squeeze"] = layer.name
            names |= {f"features.{index}.expand{n}x{n}": f"{fire}_expand{n}x{n}" for n in (1, 3)}
            index += 1
    return names


def _define(name: str) -> Any:
    *fixed, parameters, billions = MODELS[name]
    build = variant(
        _squeezenet, name, *fixed,
        summary=f"SqueezeNet {name[-3:].replace('_', '.')}: AlexNet's accuracy with a fiftieth of its weights.\n\n"
        f"{parameters / 1e6:.2f} M parameters, {billions} G multiply-adds: ``[batch, 224, 224, 3]`` → ``[batch, "
        "classes]``.",
    )  # fmt: skip
    register = uf.zoo.register(
        name,
        source="Iandola et al. 2016; torchvision",
        parameters=parameters,
        peers={"torchvision": _torchvision},
    )
    return register(build)


squeezenet1_0, squeezenet1_1 = map(_define, MODELS)
