"""ResNet 18 to 152 (He et al. 2015, version 1).

The bottleneck models (50, 101, 152) are those of Keras Applications, layer by layer and name by name, so that
its weights and outputs can be compared; 18 and 34 are built in the same way with the paper's basic block.
"""

from collections.abc import Callable
from typing import Any

import unifront as uf
from unifront import layers

EPSILON = 1.001e-5
"""Keras Applications' epsilon of batch normalization."""


def _conv_bn(x: Any, filters: int, size: int, name: str, *, strides: int = 1, relu: bool = True) -> Any:
    x = layers.Conv2D(
        filters, size, strides=strides, padding="valid" if size == 1 else "same", name=f"{name}_conv"
    )(x)
    x = layers.BatchNormalization(epsilon=EPSILON, name=f"{name}_bn")(x)
    return layers.Activation("relu", name=f"{name}_relu")(x) if relu else x


def bottleneck(x: Any, filters: int, strides: int, project: bool, name: str) -> Any:
    """1×1 (strided), 3×3 and 1×1 convolutions beside a shortcut."""
    shortcut = _conv_bn(x, 4 * filters, 1, f"{name}_0", strides=strides, relu=False) if project else x
    x = _conv_bn(x, filters, 1, f"{name}_1", strides=strides)
    x = _conv_bn(x, filters, 3, f"{name}_2")
    x = _conv_bn(x, 4 * filters, 1, f"{name}_3", relu=False)
    x = layers.Add(name=f"{name}_add")([shortcut, x])
    return layers.Activation("relu", name=f"{name}_out")(x)


def basic(x: Any, filters: int, strides: int, project: bool, name: str) -> Any:
    """Two 3×3 convolutions, the first strided, beside a shortcut."""
    project = project and (strides > 1)
    shortcut = _conv_bn(x, filters, 1, f"{name}_0", strides=strides, relu=False) if project else x
    y = x
    if strides > 1:
        y = layers.ZeroPadding2D(1, name=f"{name}_1_pad")(y)
        y = layers.Conv2D(filters, 3, strides=strides, name=f"{name}_1_conv")(y)
        y = layers.BatchNormalization(epsilon=EPSILON, name=f"{name}_1_bn")(y)
        y = layers.Activation("relu", name=f"{name}_1_relu")(y)
    else:
        y = _conv_bn(y, filters, 3, f"{name}_1")
    y = _conv_bn(y, filters, 3, f"{name}_2", relu=False)
    y = layers.Add(name=f"{name}_add")([shortcut, y])
    return layers.Activation("relu", name=f"{name}_out")(y)


def _resnet(
    name: str, block: Callable[..., Any], depths: tuple[int, ...],
    input_shape: tuple[int | None, int | None, int],
    classes: int, logits: bool,
) -> uf.Model:  # fmt: skip
    image = uf.Input(input_shape, name="image")
    x = layers.ZeroPadding2D(3, name="conv1_pad")(image)
    x = layers.Conv2D(64, 7, strides=2, name="conv1_conv")(x)
    x = layers.BatchNormalization(epsilon=EPSILON, name="conv1_bn")(x)
    x = layers.Activation("relu", name="conv1_relu")(x)
    x = layers.ZeroPadding2D(1, name="pool1_pad")(x)
    x = layers.MaxPooling2D(3, strides=2, name="pool1_pool")(x)
    for stage, depth in enumerate(depths):
        for i in range(depth):
            strides = 2 if stage and not i else 1
            x = block(x, 64 * 2**stage, strides, project=not i, name=f"conv{stage + 2}_block{i + 1}")
    x = layers.GlobalAveragePooling2D(name="avg_pool")(x)
    x = layers.Dense(classes, activation=None if logits else "softmax", name="predictions")(x)
    return uf.Model(image, x, name=name)


_MODELS = {
    "resnet18": (basic, (2, 2, 2, 2)),
    "resnet34": (basic, (3, 4, 6, 3)),
    "resnet50": (bottleneck, (3, 4, 6, 3)),
    "resnet101": (bottleneck, (3, 4, 23, 3)),
    "resnet152": (bottleneck, (3, 8, 36, 3)),
}


def _define(name: str) -> None:
    block, depths = _MODELS[name]

    def build(
        input_shape: tuple[int | None, int | None, int] = (224, 224, 3),
        classes: int = 1000,
        logits: bool = False,
    ) -> uf.Model:
        return _resnet(name, block, depths, input_shape, classes, logits)

    build.__name__ = build.__qualname__ = name
    number = name.removeprefix("resnet")
    build.__doc__ = f"ResNet-{number}: images ``[batch, height, width, 3]`` → probabilities or logits."
    globals()[name] = uf.zoo.register(name, source="He et al. 2015; Keras Applications")(build)


for _name in _MODELS:
    _define(_name)
