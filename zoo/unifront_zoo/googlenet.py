"""GoogLeNet (Inception v1), with its auxiliary classifiers."""

from collections.abc import Callable, Mapping
from typing import Any

import unifront as uf
from unifront import layers, ops
from unifront_zoo._classic import head, pool_up
from unifront_zoo._parts import ImageShape, chosen

# Table 1: filters of 1×1, 3×3 reduce, 3×3, 5×5 reduce, 5×5 and pool projection.
MODULES = {
    "3a": (64, 96, 128, 16, 32, 32),
    "3b": (128, 128, 192, 32, 96, 64),
    "4a": (192, 96, 208, 16, 48, 64),
    "4b": (160, 112, 224, 24, 64, 64),
    "4c": (128, 128, 256, 24, 64, 64),
    "4d": (112, 144, 288, 32, 64, 64),
    "4e": (256, 160, 320, 32, 128, 128),
    "5a": (256, 160, 320, 32, 128, 128),
    "5b": (384, 192, 384, 48, 128, 128),
}
AUXILIARY = {"4a": "aux1", "4d": "aux2"}
BRANCHES = {
    "branch1": ("1x1",),
    "branch2": ("3x3_reduce", "3x3"),
    "branch3": ("5x5_reduce", "5x5"),
    "branch4": ("proj",),
}
"""torchvision's names of the branches, and the paper's of their convolutions."""


def _conv(x: Any, filters: int, size: int, name: str, like: str, strides: int = 1) -> Any:
    """A convolution and ReLU; torchvision puts batch norm between them."""
    padding = "same"
    if strides > 1:  # as much on both sides
        x, padding = layers.ZeroPadding2D(size // 2, name=f"{name}_pad")(x), "valid"
    if like == "paper":
        return layers.Conv2D(filters, size, strides, padding, activation="relu", name=name)(x)
    x = layers.Conv2D(filters, size, strides, padding, use_bias=False, name=name)(x)
    x = layers.BatchNormalization(momentum=0.9, epsilon=1e-3, name=f"{name}_bn")(x)
    return layers.Activation("relu", name=f"{name}_relu")(x)


def _inception(x: Any, filters: tuple[int, ...], name: str, like: str) -> Any:
    def conv(x: Any, place: int, size: int, part: str) -> Any:
        return _conv(x, filters[place], size, f"{name}_{part}", like)

    widest = 5 if like == "paper" else 3  # torchvision's weights are of 3×3 (its issue 906)
    branches = [
        conv(x, 0, 1, "1x1"),
        conv(conv(x, 1, 1, "3x3_reduce"), 2, 3, "3x3"),
        conv(conv(x, 3, 1, "5x5_reduce"), 4, widest, "5x5"),
        conv(layers.MaxPooling2D(3, 1, padding="same", name=f"{name}_pool")(x), 5, 1, "proj"),
    ]
    return layers.Concatenate(name=name)(branches)


def _local_response(x: Any) -> Any:
    return ops.local_response_normalization(x, 5, alpha=1e-4 / 5)  # Caffe divides alpha by the size


def _auxiliary(x: Any, classes: int, activation: Any, name: str, like: str) -> Any:
    if like == "paper":
        x = layers.AveragePooling2D(5, 3, name=f"{name}_pool")(x)
    else:
        x = layers.AdaptiveAveragePooling2D(4, name=f"{name}_pool")(x)
    x = _conv(x, 128, 1, f"{name}_conv", like)
    x = layers.Flatten(name=f"{name}_flatten")(x)
    x = layers.Dense(1024, activation="relu", name=f"{name}_fc")(x)
    x = layers.Dropout(0.7, name=f"{name}_dropout")(x)
    return layers.Dense(classes, activation=activation, name=name)(x)


def _torchvision(model: uf.Model) -> Mapping[str, str | None]:
    here = {layer.name for layer in model.layers}
    convs = {"conv1": "conv1", "conv2": "conv2_reduce", "conv3": "conv2"}
    for number in MODULES:
        for branch, parts in BRANCHES.items():
            for i, part in enumerate(parts):
                place = i if len(parts) == 2 else 1 if branch == "branch4" else None
                path = f"inception{number}.{branch}" + ("" if place is None else f".{place}")
                convs[path] = f"inception_{number}_{part}"
    names = {"fc": "predictions"}
    for aux in AUXILIARY.values():
        convs[f"{aux}.conv"] = f"{aux}_conv"
        names |= {f"{aux}.fc1": f"{aux}_fc", f"{aux}.fc2": aux}
    names |= {f"{path}.conv": name for path, name in convs.items()}
    names |= {f"{path}.bn": f"{name}_bn" for path, name in convs.items()}
    return {path: name if name in here else None for path, name in names.items()}


@uf.zoo.register(
    "googlenet",
    source="Szegedy et al. 2014: Going deeper with convolutions; Caffe's bvlc_googlenet and torchvision",
    parameters=6_998_552,
    peers={"torchvision": _torchvision},
)
def googlenet(
    input_shape: ImageShape = (224, 224, 3),
    classes: int | None = 1000,
    classifier_activation: str | Callable[..., Any] | None = "softmax",
    aux: bool = False,
    dropout: float = 0.4,
    like: str = "paper",
) -> uf.Model:
    """GoogLeNet: nine inception modules, local response normalization, no batch norm.

    7.0 M parameters, 1.6 G multiply-adds: ``[batch, 224, 224, 3]`` → ``[batch, classes]``. With ``aux`` it gives a
    dict, ``{"predictions", "aux1", "aux2"}``, to train with the losses' weights 1, 0.3 and 0.3 of the paper (13.4 M
    parameters). ``like="torchvision"`` is what torchvision has: batch norm, and 3×3 for the paper's 5×5.

    Example:
        >>> model = uf.zoo.create("googlenet", classes=10, aux=True)
        >>> weights = {"predictions": 1, "aux1": 0.3, "aux2": 0.3}
        >>> model.compile("sgd", "sparse_categorical_crossentropy", loss_weights=weights)
    """
    normalized = chosen(like, {"paper": _local_response, "torchvision": lambda x: x})
    x = image = uf.Input(input_shape, name="image")
    x = pool_up(_conv(x, 64, 7, "conv1", like, strides=2), 3, "pool1")
    x = _conv(_conv(normalized(x), 64, 1, "conv2_reduce", like), 192, 3, "conv2", like)
    x = pool_up(normalized(x), 3, "pool2")
    outputs = {}
    for number, filters in MODULES.items():
        x = _inception(x, filters, f"inception_{number}", like)
        if aux and classes is not None and number in AUXILIARY:
            name = AUXILIARY[number]
            outputs[name] = _auxiliary(x, classes, classifier_activation, name, like)
        if number in ("3b", "4e"):
            x = pool_up(x, 2 if number == "4e" and like == "torchvision" else 3, f"pool{number[0]}")
    x = head(x, classes, classifier_activation, dropout)
    return uf.Model(image, {"predictions": x} | outputs if outputs else x, name="googlenet")
