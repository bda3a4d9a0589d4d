"""ResNet 18 to 152, wide ResNet and ResNeXt; version 2 is in `resnet_v2`.

He et al. 2015 (arXiv:1512.03385), Zagoruyko and Komodakis 2016 (arXiv:1605.07146), Xie et al. 2017 (arXiv:1611.05431).

Two publishers differ in details, between which ``like`` chooses: Keras Applications halves the image at a block's
first 1×1 convolution, as the paper does, and its convolutions have biases; torchvision (and timm) halves it at the 3×3
convolution ("version 1.5"), without biases. The models that Keras does not have are torchvision's.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, Literal

import unifront as uf
from unifront import layers
from unifront_zoo._parts import ImageShape, chosen

Like = Literal["keras", "torchvision", "timm"]


@dataclass(frozen=True)
class Details:
    """In what publishers differ: biases of convolutions, batch normalization's epsilon, and which of a bottleneck's
    convolutions is strided."""

    bias: bool
    epsilon: float
    strided: int


DETAILS = {
    "keras": Details(True, 1.001e-5, 1),
    "torchvision": Details(False, 1e-5, 2),
    "timm": Details(False, 1e-5, 2),
}


def conv_bn(
    x: Any, filters: int, size: int, name: str, like: Details,
    strides: int = 1, groups: int = 1, activation: bool = True,
) -> Any:  # fmt: skip
    """A convolution that keeps the size but for its strides, batch normalization, and a rectifier."""
    if strides > 1 and size > 1:
        x = layers.ZeroPadding2D(size // 2, name=f"{name}_pad")(x)
    padding = "same" if strides == 1 and size > 1 else "valid"
    x = layers.Conv2D(
        filters, size, strides=strides, padding=padding, groups=groups, use_bias=like.bias, name=f"{name}_conv"
    )(x)  # fmt: skip
    x = layers.BatchNormalization(epsilon=like.epsilon, name=f"{name}_bn")(x)
    return layers.Activation("relu", name=f"{name}_relu")(x) if activation else x


def bottleneck(
    x: Any, filters: int, strides: int, project: bool, name: str, like: Details, groups: int = 1, wide: int = 1
) -> Any:  # fmt: skip
    """1×1, 3×3 (in ``groups``) and 1×1 convolutions, the inner two ``wide`` times ``filters``, beside a shortcut."""
    first, second = (strides, 1) if like.strided == 1 else (1, strides)
    shortcut = x
    if project:
        shortcut = conv_bn(x, 4 * filters, 1, f"{name}_0", like, strides, activation=False)
    x = conv_bn(x, wide * filters, 1, f"{name}_1", like, first)
    x = conv_bn(x, wide * filters, 3, f"{name}_2", like, second, groups)
    x = conv_bn(x, 4 * filters, 1, f"{name}_3", like, activation=False)
    x = layers.Add(name=f"{name}_add")([shortcut, x])
    return layers.Activation("relu", name=f"{name}_out")(x)


def basic(x: Any, filters: int, strides: int, project: bool, name: str, like: Details) -> Any:
    """Two 3×3 convolutions, the first strided, beside a shortcut."""
    shortcut = x
    if project and strides > 1:
        shortcut = conv_bn(x, filters, 1, f"{name}_0", like, strides, activation=False)
    x = conv_bn(x, filters, 3, f"{name}_1", like, strides)
    x = conv_bn(x, filters, 3, f"{name}_2", like, activation=False)
    x = layers.Add(name=f"{name}_add")([shortcut, x])
    return layers.Activation("relu", name=f"{name}_out")(x)


@dataclass(frozen=True)
class Model:
    """A row of the table of models.

    Args:
        block: `bottleneck` or `basic`.
        depths: the blocks of each stage.
        parameters: the weights, statistics among them.
        gflops: multiply-adds at 224×224, in thousand millions.
        title: what it is called in its paper.
        options: of the block.
        keras: its name in Keras Applications.
    """

    block: Callable[..., Any]
    depths: tuple[int, ...]
    parameters: int
    gflops: float
    title: str
    options: tuple[tuple[str, int], ...] = ()
    keras: str | None = None


MODELS = {
    "resnet18": Model(basic, (2, 2, 2, 2), 11_699_112, 1.8, "ResNet-18"),
    "resnet34": Model(basic, (3, 4, 6, 3), 21_814_696, 3.7, "ResNet-34"),
    "resnet50": Model(bottleneck, (3, 4, 6, 3), 25_636_712, 3.9, "ResNet-50", keras="ResNet50"),
    "resnet101": Model(bottleneck, (3, 4, 23, 3), 44_707_176, 7.6, "ResNet-101", keras="ResNet101"),
    "resnet152": Model(bottleneck, (3, 8, 36, 3), 60_419_944, 11.3, "ResNet-152", keras="ResNet152"),
    "wide_resnet50_2": Model(
        bottleneck, (3, 4, 6, 3), 68_951_464, 11.4, "Wide ResNet-50-2", (("wide", 2),)
    ),
    "wide_resnet101_2": Model(
        bottleneck, (3, 4, 23, 3), 127_024_552, 22.8, "Wide ResNet-101-2", (("wide", 2),)
    ),
    "resnext50_32x4d": Model(
        bottleneck, (3, 4, 6, 3), 25_097_128, 4.2, "ResNeXt-50 (32×4d)", (("groups", 32), ("wide", 2))
    ),
    "resnext101_32x8d": Model(
        bottleneck, (3, 4, 23, 3), 88_994_216, 16.4, "ResNeXt-101 (32×8d)", (("groups", 32), ("wide", 4))
    ),
    "resnext101_64x4d": Model(
        bottleneck, (3, 4, 23, 3), 83_658_152, 15.5, "ResNeXt-101 (64×4d)", (("groups", 64), ("wide", 4))
    ),
}  # fmt: skip


def _resnet(
    name: str, input_shape: ImageShape, classes: int | None, classifier_activation: Any, like: Details
) -> uf.Model:  # fmt: skip
    model = MODELS[name]
    image = uf.Input(input_shape, name="image")
    x = conv_bn(image, 64, 7, "conv1", like, strides=2)
    x = layers.ZeroPadding2D(1, name="pool1_pad")(x)
    x = layers.MaxPooling2D(3, strides=2, name="pool1_pool")(x)
    for stage, depth in enumerate(model.depths):
        for i in range(depth):
            strides, block = 2 if stage and not i else 1, f"conv{stage + 2}_block{i + 1}"
            x = model.block(x, 64 * 2**stage, strides, not i, block, like, **dict(model.options))
    if classes is not None:
        x = layers.GlobalAveragePooling2D(name="avg_pool")(x)
        x = layers.Dense(classes, activation=classifier_activation, name="predictions")(x)
    return uf.Model(image, x, name=name)


def torch_names(model: uf.Model) -> dict[str, str]:
    """The layers by the names of torchvision's modules, which are timm's too."""
    names = {"conv1": "conv1_conv", "bn1": "conv1_bn", "fc": "predictions"}
    for stage, block, layer in _convolutions(model):
        place, number = f"layer{stage - 1}.{block - 1}", layer[0]
        for kind, index in (("conv", 0), ("bn", 1)):
            theirs = f"downsample.{index}" if number == "0" else f"{kind}{number}"
            names[f"{place}.{theirs}"] = f"conv{stage}_block{block}_{number}_{kind}"
    own = {layer.name for layer in model.layers}
    return {path: name for path, name in names.items() if name in own}


def _convolutions(model: uf.Model) -> Iterator[tuple[int, int, str]]:
    """Stage, block and rest of the names of the convolutions in blocks."""
    for layer in model.layers:
        if layer.name.startswith("conv") and layer.name.endswith("_conv") and "_block" in layer.name:
            stage, block, rest = layer.name.removeprefix("conv").replace("block", "").split("_", 2)
            yield int(stage), int(block), rest


def _define(name: str) -> None:
    model = MODELS[name]
    usual: Like = "keras" if model.keras else "torchvision"

    def build(
        input_shape: ImageShape = (224, 224, 3),
        classes: int | None = 1000,
        classifier_activation: str | Callable[..., Any] | None = "softmax",
        like: Like = usual,
    ) -> uf.Model:
        return _resnet(name, input_shape, classes, classifier_activation, chosen(like, DETAILS))

    build.__name__ = build.__qualname__ = name
    build.__doc__ = f"""{model.title}: images ``[batch, height, width, 3]`` → probabilities ``[batch, classes]``.

    {model.parameters / 1e6:.1f} million parameters; {model.gflops} thousand million multiply-adds at 224×224.

    Args:
        input_shape: height, width (None for any) and channels of an image.
        classes: how many there are; None for no head, but the feature map.
        classifier_activation: of the head; None for logits.
        like: whose details it has, see `unifront_zoo.resnet`.
    """
    register = uf.zoo.register(
        name,
        source="He et al. 2015; Keras Applications" if model.keras else "torchvision",
        parameters=model.parameters,
        keras=model.keras,
        peers={"torchvision": torch_names, "timm": torch_names},
    )
    globals()[name] = register(build)


for _name in MODELS:
    _define(_name)
