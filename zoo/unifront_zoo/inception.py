"""Inception v3 and Inception-ResNet v2, layer by layer those of Keras Applications."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

import unifront as uf
from unifront import layers
from unifront_zoo._classic import head
from unifront_zoo._parts import ImageShape, chosen

Conv = Callable[..., Any]


def _conv_bn(like: str) -> Conv:
    """Convolution, batch norm and ReLU; Keras's batch norm has no scale and its names are counted."""
    momentum = 0.99 if like == "keras" else 0.9

    def conv(
        x: Any,
        filters: int,
        size: int | tuple[int, int],
        strides: int = 1,
        padding: str = "same",
        name: str | None = None,
    ) -> Any:
        x = layers.Conv2D(filters, size, strides=strides, padding=padding, use_bias=False, name=name)(x)
        x = layers.BatchNormalization(momentum=momentum, scale=like != "keras", name=name and f"{name}_bn")(x)
        return layers.Activation("relu", name=name and f"{name}_ac")(x)

    return conv


def _chain(conv: Conv, x: Any, *steps: tuple[Any, ...]) -> Any:
    for step in steps:
        x = conv(x, *step)
    return x


def _average(x: Any, like: str) -> Any:
    """3×3 averages; torchvision's count the zeros around the image."""
    if like == "torchvision":
        return layers.AveragePooling2D(3, 1)(layers.ZeroPadding2D(1)(x))
    return layers.AveragePooling2D(3, 1, padding="same")(x)


def _stem(x: Any, conv: Conv) -> Any:
    x = conv(x, 32, 3, 2, "valid")
    x = conv(x, 32, 3, 1, "valid")
    x = layers.MaxPooling2D(3, 2)(conv(x, 64, 3))
    x = conv(x, 80, 1, 1, "valid")
    return layers.MaxPooling2D(3, 2)(conv(x, 192, 3, 1, "valid"))


def _reduced(x: Any, conv: Conv, *branches: tuple[tuple[Any, ...], ...], name: str) -> Any:
    """Half the height and width: the last convolution of each branch is strided, beside a pooling."""
    ends = [_chain(conv, x, *branch[:-1], (*branch[-1], 2, "valid")) for branch in branches]
    return layers.Concatenate(name=name)([*ends, layers.MaxPooling2D(3, 2)(x)])


def _inception_a(x: Any, conv: Conv, pooled: int, name: str, like: str) -> Any:
    branches = [
        conv(x, 64, 1),
        _chain(conv, x, (48, 1), (64, 5)),
        _chain(conv, x, (64, 1), (96, 3), (96, 3)),
        conv(_average(x, like), pooled, 1),
    ]
    return layers.Concatenate(name=name)(branches)


def _inception_c(x: Any, conv: Conv, inner: int, name: str, like: str) -> Any:
    """7×7 in factors."""
    row, column = (1, 7), (7, 1)
    branches = [
        conv(x, 192, 1),
        _chain(conv, x, (inner, 1), (inner, row), (192, column)),
        _chain(conv, x, (inner, 1), (inner, column), (inner, row), (inner, column), (192, row)),
        conv(_average(x, like), 192, 1),
    ]
    return layers.Concatenate(name=name)(branches)


def _inception_e(x: Any, conv: Conv, number: int, like: str) -> Any:
    """The widest: 3×3 as 1×3 beside 3×1."""

    def split(x: Any, name: str | None) -> Any:
        return layers.Concatenate(name=name)([conv(x, 384, (1, 3)), conv(x, 384, (3, 1))])

    branches = [
        conv(x, 320, 1),
        split(conv(x, 384, 1), f"mixed9_{number}"),
        split(_chain(conv, x, (448, 1), (384, 3)), None),
        conv(_average(x, like), 192, 1),
    ]
    return layers.Concatenate(name=f"mixed{9 + number}")(branches)


# torchvision's modules in the order of the convolutions here.
_A = (
    "branch1x1",
    "branch5x5_1",
    "branch5x5_2",
    "branch3x3dbl_1",
    "branch3x3dbl_2",
    "branch3x3dbl_3",
    "branch_pool",
)
_B = ("branch3x3", "branch3x3dbl_1", "branch3x3dbl_2", "branch3x3dbl_3")
_C = (
    "branch1x1",
    *(f"branch7x7_{i}" for i in (1, 2, 3)),
    *(f"branch7x7dbl_{i}" for i in (1, 2, 3, 4, 5)),
    "branch_pool",
)
_D = ("branch3x3_1", "branch3x3_2", *(f"branch7x7x3_{i}" for i in (1, 2, 3, 4)))
_E = (
    "branch1x1", "branch3x3_1", "branch3x3_2a", "branch3x3_2b",
    "branch3x3dbl_1", "branch3x3dbl_2", "branch3x3dbl_3a", "branch3x3dbl_3b", "branch_pool",
)  # fmt: skip
_PATHS = (
    *(f"Conv2d_{name}" for name in ("1a_3x3", "2a_3x3", "2b_3x3", "3b_1x1", "4a_3x3")),
    *(
        f"Mixed_{block}.{part}"
        for blocks, parts in (("5b 5c 5d", _A), ("6a", _B), ("6b 6c 6d 6e", _C), ("7a", _D), ("7b 7c", _E))
        for block in blocks.split()
        for part in parts
    ),
)


def _torchvision(model: uf.Model) -> Mapping[str, str | None]:
    names = {}
    for i, path in enumerate(_PATHS):
        number = f"_{i}" if i else ""
        names |= {f"{path}.conv": f"conv2d{number}", f"{path}.bn": f"batch_normalization{number}"}
    aux = {"AuxLogits.fc": "aux"}
    for i in (0, 1):
        aux |= {f"AuxLogits.conv{i}.conv": f"aux_conv{i}", f"AuxLogits.conv{i}.bn": f"aux_conv{i}_bn"}
    here = {layer.name for layer in model.layers}
    names |= aux | {"fc": "predictions"}
    return {path: name if name in here else None for path, name in names.items()}


@uf.zoo.register(
    "inception_v3",
    source="Szegedy et al. 2015: Rethinking the Inception architecture; Keras Applications and torchvision",
    parameters=23_851_784,
    keras="InceptionV3",
    peers={"torchvision": _torchvision, "timm": _torchvision},
)
def inception_v3(
    input_shape: ImageShape = (299, 299, 3),
    classes: int | None = 1000,
    classifier_activation: str | Callable[..., Any] | None = "softmax",
    aux: bool = False,
    dropout: float | None = None,
    like: str = "keras",
) -> uf.Model:
    """Inception v3: convolutions in factors, batch norm everywhere.

    23.9 M parameters, 5.7 G multiply-adds: ``[batch, 299, 299, 3]`` → ``[batch, classes]``. With ``aux`` it gives a
    dict, ``{"predictions", "aux"}``, to train with 0.3 or 0.4 of the auxiliary loss. ``like="torchvision"`` (and
    ``"timm"``) has batch norm with a scale, averages that count the padding, and dropout of a half before the end.
    """
    details = chosen(like, {"keras": "keras", "torchvision": "torchvision", "timm": "torchvision"})
    conv = _conv_bn(details)
    image = uf.Input(input_shape, name="image")
    x = _stem(image, conv)
    for i, pooled in enumerate((32, 64, 64)):
        x = _inception_a(x, conv, pooled, f"mixed{i}", details)
    x = _reduced(x, conv, ((384, 3),), ((64, 1), (96, 3), (96, 3)), name="mixed3")
    for i, inner in enumerate((128, 160, 160, 192), 4):
        x = _inception_c(x, conv, inner, f"mixed{i}", details)
    middle = x
    x = _reduced(
        x, conv, ((192, 1), (320, 3)), ((192, 1), (192, (1, 7)), (192, (7, 1)), (192, 3)), name="mixed8"
    )
    for number in (0, 1):
        x = _inception_e(x, conv, number, details)
    rate = {"keras": 0.0, "torchvision": 0.5}[details] if dropout is None else dropout
    x = head(x, classes, classifier_activation, rate)
    if not aux or classes is None:
        return uf.Model(image, x, name="inception_v3")
    y = layers.AveragePooling2D(5, 3, name="aux_pool")(middle)
    y = conv(y, 128, 1, name="aux_conv0")
    y = conv(y, 768, 5, 1, "valid", name="aux_conv1")
    y = layers.GlobalAveragePooling2D(name="aux_avg_pool")(y)
    y = layers.Dense(classes, activation=classifier_activation, name="aux")(y)
    return uf.Model(image, {"predictions": x, "aux": y}, name="inception_v3")


# ------------------------------------------------------------------ Inception-ResNet v2

# Scale of the residual, and the branches' convolutions.
RESIDUALS: Mapping[str, tuple[float, tuple[tuple[tuple[Any, ...], ...], ...]]] = {
    "block35": (0.17, (((32, 1),), ((32, 1), (32, 3)), ((32, 1), (48, 3), (64, 3)))),
    "block17": (0.1, (((192, 1),), ((128, 1), (160, (1, 7)), (192, (7, 1))))),
    "block8": (0.2, (((192, 1),), ((192, 1), (224, (1, 3)), (256, (3, 1))))),
}


def _residual(x: Any, conv: Conv, kind: str, number: int, last: bool = False) -> Any:
    scale, branches = RESIDUALS[kind]
    name = f"{kind}_{number}"
    mixed = layers.Concatenate(name=f"{name}_mixed")([_chain(conv, x, *branch) for branch in branches])
    y = layers.Conv2D(x.shape[-1], 1, name=f"{name}_conv")(mixed)
    x = x + (y if last else y * scale)
    return x if last else layers.Activation("relu", name=f"{name}_ac")(x)


def _timm(model: uf.Model) -> Mapping[str, str]:
    def paths(block: str, branches: Iterable[tuple[int, int]]) -> Iterator[str]:
        for branch, depth in branches:
            yield from (f"{block}.branch{branch}" + (f".{i}" if depth > 1 else "") for i in range(depth))

    convs = [f"conv2d_{name}" for name in ("1a", "2a", "2b", "3b", "4a")]
    convs += [*paths("mixed_5b", ((0, 1), (1, 2), (2, 3))), "mixed_5b.branch3.1"]
    names = {"conv2d_7b.conv": "conv_7b", "conv2d_7b.bn": "conv_7b_bn", "classif": "predictions"}
    reductions = (paths("mixed_6a", ((0, 1), (1, 3))), paths("mixed_7a", ((0, 2), (1, 2), (2, 3))), ())
    for kind, there, number, reduction in zip(
        RESIDUALS, ("repeat", "repeat_1", "repeat_2"), (10, 20, 10), reductions, strict=True
    ):
        for i in range(number):
            block = "block8" if (kind, i) == ("block8", 9) else f"{there}.{i}"
            convs += paths(block, ((b, len(branch)) for b, branch in enumerate(RESIDUALS[kind][1])))
            names[f"{block}.conv2d"] = f"{kind}_{i + 1}_conv"
        convs += reduction
    for i, path in enumerate(convs):
        count = f"_{i}" if i else ""
        names |= {f"{path}.conv": f"conv2d{count}", f"{path}.bn": f"batch_normalization{count}"}
    return names


@uf.zoo.register(
    "inception_resnet_v2",
    source="Szegedy et al. 2016: Inception-v4, Inception-ResNet and residual connections; Keras Applications",
    parameters=55_873_736,
    keras="InceptionResNetV2",
    peers={"timm": _timm},
)
def inception_resnet_v2(
    input_shape: ImageShape = (299, 299, 3),
    classes: int | None = 1000,
    classifier_activation: str | Callable[..., Any] | None = "softmax",
    like: str = "keras",
) -> uf.Model:
    """Inception-ResNet v2: inception modules as scaled residuals.

    55.9 M parameters, 13.2 G multiply-adds: ``[batch, 299, 299, 3]`` → ``[batch, classes]``. ``like="timm"`` has batch
    norm with a scale.
    """
    conv = _conv_bn(chosen(like, {"keras": "keras", "timm": "timm"}))
    image = uf.Input(input_shape, name="image")
    x = _stem(image, conv)
    branches = [
        conv(x, 96, 1),
        _chain(conv, x, (48, 1), (64, 5)),
        _chain(conv, x, (64, 1), (96, 3), (96, 3)),
        conv(_average(x, "keras"), 64, 1),
    ]
    x = layers.Concatenate(name="mixed_5b")(branches)
    for i in range(1, 11):
        x = _residual(x, conv, "block35", i)
    x = _reduced(x, conv, ((384, 3),), ((256, 1), (256, 3), (384, 3)), name="mixed_6a")
    for i in range(1, 21):
        x = _residual(x, conv, "block17", i)
    x = _reduced(
        x, conv, ((256, 1), (384, 3)), ((256, 1), (288, 3)), ((256, 1), (288, 3), (320, 3)), name="mixed_7a"
    )
    for i in range(1, 11):
        x = _residual(x, conv, "block8", i, last=i == 10)
    x = conv(x, 1536, 1, name="conv_7b")
    return uf.Model(image, head(x, classes, classifier_activation), name="inception_resnet_v2")
