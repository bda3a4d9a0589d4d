"""DenseNet-BC with 121, 161, 169 and 201 layers.

Layer names are those of Keras Applications, which has no 161.
"""

from collections.abc import Callable, Mapping
from typing import Any

import unifront as uf
from unifront import layers
from unifront_zoo._classic import head, variant
from unifront_zoo._parts import ImageShape, chosen

# Layers per block, growth rate, first filters, parameters (with batch norm's statistics), multiply-adds in billions.
MODELS = {
    "densenet121": ((6, 12, 24, 16), 32, 64, 8_062_504, 2.8),
    "densenet161": ((6, 12, 36, 24), 48, 96, 28_900_936, 7.7),
    "densenet169": ((6, 12, 32, 32), 32, 64, 14_307_880, 3.4),
    "densenet201": ((6, 12, 48, 32), 32, 64, 20_242_984, 4.3),
}
BATCH_NORM: Mapping[str, Mapping[str, float]] = {
    "keras": {"epsilon": 1.001e-5},
    "torchvision": {"epsilon": 1e-5, "momentum": 0.9},
    "timm": {"epsilon": 1e-5, "momentum": 0.9},
}


def _densenet(
    name: str,
    blocks: tuple[int, ...],
    growth: int,
    filters: int,
    input_shape: ImageShape = (224, 224, 3),
    classes: int | None = 1000,
    classifier_activation: str | Callable[..., Any] | None = "softmax",
    like: str = "keras",
) -> uf.Model:
    settings = chosen(like, BATCH_NORM)

    def bn_relu(x: Any, bn: str, relu: str) -> Any:
        return layers.Activation("relu", name=relu)(layers.BatchNormalization(**settings, name=bn)(x))

    def conv(x: Any, filters: int, size: int, name: str) -> Any:
        return layers.Conv2D(filters, size, padding="same", use_bias=False, name=name)(x)

    image = uf.Input(input_shape, name="image")
    x = layers.ZeroPadding2D(3)(image)
    x = layers.Conv2D(filters, 7, strides=2, use_bias=False, name="conv1_conv")(x)
    x = bn_relu(x, "conv1_bn", "conv1_relu")
    x = layers.ZeroPadding2D(1)(x)
    x = layers.MaxPooling2D(3, strides=2, name="pool1")(x)
    for stage, depth in enumerate(blocks, 2):
        for i in range(1, depth + 1):
            block = f"conv{stage}_block{i}"
            y = conv(bn_relu(x, f"{block}_0_bn", f"{block}_0_relu"), 4 * growth, 1, f"{block}_1_conv")
            y = conv(bn_relu(y, f"{block}_1_bn", f"{block}_1_relu"), growth, 3, f"{block}_2_conv")
            x = layers.Concatenate(name=f"{block}_concat")([x, y])
        if stage <= len(blocks):
            x = bn_relu(x, f"pool{stage}_bn", f"pool{stage}_relu")
            x = conv(x, x.shape[-1] // 2, 1, f"pool{stage}_conv")
            x = layers.AveragePooling2D(2, name=f"pool{stage}_pool")(x)
    x = bn_relu(x, "bn", "relu")
    return uf.Model(image, head(x, classes, classifier_activation), name=name)


def _torchvision(model: uf.Model) -> Mapping[str, str]:
    names = {"conv0": "conv1_conv", "norm0": "conv1_bn", "norm5": "bn"}
    for layer in model.layers:
        if not isinstance(layer, layers.Concatenate):
            continue
        block = layer.name.removesuffix("_concat")
        stage, number = block.removeprefix("conv").split("_block")
        there = f"denseblock{int(stage) - 1}.denselayer{number}"
        for dot in ("", "."):  # torchvision's files say norm.1, its modules norm1
            names |= {f"{there}.norm{dot}{i + 1}": f"{block}_{i}_bn" for i in (0, 1)}
            names |= {f"{there}.conv{dot}{i}": f"{block}_{i}_conv" for i in (1, 2)}
    for stage in (1, 2, 3):
        names |= {
            f"transition{stage}.{there}": f"pool{stage + 1}_{here}"
            for there, here in (("norm", "bn"), ("conv", "conv"))
        }
    return {f"features.{there}": here for there, here in names.items()} | {"classifier": "predictions"}


def _define(name: str) -> Any:
    *fixed, parameters, billions = MODELS[name]
    build = variant(
        _densenet, name, *fixed,
        summary=f"DenseNet-{name[-3:]}: each layer sees the features of all before it in its block.\n\n"
        f"{parameters / 1e6:.1f} M parameters, {billions} G multiply-adds: ``[batch, 224, 224, 3]`` → ``[batch, "
        "classes]``.\n``like`` chooses the epsilon and momentum of batch norm: Keras Applications' or PyTorch's.",
    )  # fmt: skip
    register = uf.zoo.register(
        name,
        source="Huang et al. 2016; Keras Applications and torchvision",
        parameters=parameters,
        keras=None if name == "densenet161" else f"DenseNet{name[-3:]}",
        peers={"torchvision": _torchvision, "timm": _torchvision},
    )
    return register(build)


densenet121, densenet161, densenet169, densenet201 = map(_define, MODELS)
