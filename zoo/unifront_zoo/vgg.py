"""VGG with 11, 13, 16 and 19 layers, with and without batch norm.

16 and 19 carry the layer names of Keras Applications, the others are named in the same way; all take the weights of
torchvision and timm.
"""

from collections.abc import Callable, Mapping
from typing import Any

import unifront as uf
from unifront import layers
from unifront_zoo._classic import resized, variant
from unifront_zoo._parts import ImageShape, chosen

FILTERS = (64, 128, 256, 512, 512)
DROPOUT = {"keras": 0.0, "torchvision": 0.5, "timm": 0.5}

# Convolutions per stage, with the size of the weights and the billions of multiply-adds; the statistics of batch norm
# are counted as Keras counts them.
MODELS = {
    "vgg11": ((1, 1, 2, 2, 2), False, 132_863_336, 7.6),
    "vgg13": ((2, 2, 2, 2, 2), False, 133_047_848, 11.3),
    "vgg16": ((2, 2, 3, 3, 3), False, 138_357_544, 15.5),
    "vgg19": ((2, 2, 4, 4, 4), False, 143_667_240, 19.6),
    "vgg11_bn": ((1, 1, 2, 2, 2), True, 132_874_344, 7.6),
    "vgg13_bn": ((2, 2, 2, 2, 2), True, 133_059_624, 11.3),
    "vgg16_bn": ((2, 2, 3, 3, 3), True, 138_374_440, 15.5),
    "vgg19_bn": ((2, 2, 4, 4, 4), True, 143_689_256, 19.6),
}


def _vgg(
    name: str,
    stages: tuple[int, ...],
    batch_norm: bool,
    input_shape: ImageShape = (224, 224, 3),
    classes: int | None = 1000,
    classifier_activation: str | Callable[..., Any] | None = "softmax",
    dropout: float | None = None,
    units: int = 4096,
    like: str = "keras",
) -> uf.Model:
    x = image = uf.Input(input_shape, name="image")
    for stage, (depth, filters) in enumerate(zip(stages, FILTERS, strict=True), 1):
        for i in range(1, depth + 1):
            activation = None if batch_norm else "relu"
            conv = f"block{stage}_conv{i}"
            x = layers.Conv2D(filters, 3, padding="same", activation=activation, name=conv)(x)
            if batch_norm:
                x = layers.BatchNormalization(momentum=0.9, epsilon=1e-5, name=f"block{stage}_bn{i}")(x)
                x = layers.Activation("relu", name=f"block{stage}_relu{i}")(x)
        x = layers.MaxPooling2D(2, name=f"block{stage}_pool")(x)
    if classes is not None:
        x = _classifier(x, units, dropout, like)
        x = layers.Dense(classes, activation=classifier_activation, name="predictions")(x)
    return uf.Model(image, x, name=name)


def _classifier(x: Any, units: int, dropout: float | None, like: str) -> Any:
    usual = chosen(like, DROPOUT)
    rate = usual if dropout is None else dropout
    if like != "keras":
        x = resized(x, 7, "avg_pool")
    x = layers.Flatten(name="flatten")(x)
    for name in ("fc1", "fc2"):
        x = layers.Dense(units, activation="relu", name=name)(x)
        if rate:
            x = layers.Dropout(rate, name=f"{name}_dropout")(x)
    return x


def _torchvision(model: uf.Model) -> Mapping[str, str]:
    names, index = {}, 0
    normalized = any(isinstance(layer, layers.BatchNormalization) for layer in model.layers)
    for layer in model.layers:
        if isinstance(layer, layers.Conv2D):
            names[f"features.{index}"] = layer.name
            index += 1 if normalized else 2  # a ReLU follows
        elif isinstance(layer, layers.BatchNormalization):
            names[f"features.{index}"] = layer.name
            index += 2
        elif isinstance(layer, layers.MaxPooling2D):
            index += 1
    return names | {"classifier.0": "fc1", "classifier.3": "fc2", "classifier.6": "predictions"}


def _timm(model: uf.Model) -> Mapping[str, str]:
    there = {"classifier.0": "pre_logits.fc1", "classifier.3": "pre_logits.fc2", "classifier.6": "head.fc"}
    return {there.get(path, path): name for path, name in _torchvision(model).items()}


def _define(name: str) -> Any:
    stages, batch_norm, parameters, billions = MODELS[name]
    build = variant(
        _vgg, name, stages, batch_norm,
        summary=f"VGG with {sum(stages) + 3} layers{' and batch norm' * batch_norm}: images to probabilities.\n\n"
        f"{parameters / 1e6:.1f} M parameters, {billions} G multiply-adds: ``[batch, 224, 224, 3]`` → ``[batch, "
        "classes]``. The paper trains with ``dropout=0.5`` between the dense layers; Keras Applications has none.\n"
        '``like="torchvision"`` has it, and pools images of another size to 7×7 before them.',
    )  # fmt: skip
    register = uf.zoo.register(
        name,
        source="Simonyan and Zisserman 2014; Keras Applications and torchvision",
        parameters=parameters,
        keras=name.upper() if name in ("vgg16", "vgg19") else None,
        peers={"torchvision": _torchvision, "timm": _timm},
    )
    return register(build)


vgg11, vgg13, vgg16, vgg19, vgg11_bn, vgg13_bn, vgg16_bn, vgg19_bn = map(_define, MODELS)
