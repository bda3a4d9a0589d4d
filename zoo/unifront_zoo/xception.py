"""Xception, layer by layer that of Keras Applications."""

from collections.abc import Callable, Mapping
from typing import Any

import unifront as uf
from unifront import layers, ops
from unifront_zoo._classic import head
from unifront_zoo._parts import ImageShape, chosen


def _bn(x: Any, like: str, name: str | None = None) -> Any:
    settings = chosen(like, {"keras": {}, "timm": {"momentum": 0.9, "epsilon": 1e-5}})
    return layers.BatchNormalization(**settings, name=name)(x)


def _separable(x: Any, filters: int, name: str, like: str) -> Any:
    x = layers.SeparableConv2D(filters, 3, padding="same", use_bias=False, name=name)(x)
    return _bn(x, like, f"{name}_bn")


def _relu(x: Any, name: str) -> Any:
    return layers.Activation("relu", name=f"{name}_act")(x)


def _halved(x: Any, filters: tuple[int, int], name: str, like: str, relu: bool = True) -> Any:
    """Two separable convolutions and a pooling beside a strided 1×1 convolution."""
    shortcut = layers.Conv2D(filters[1], 1, strides=2, padding="same", use_bias=False)(x)
    shortcut = _bn(shortcut, like)
    if relu:
        x = _relu(x, f"{name}_sepconv1")
    x = _separable(x, filters[0], f"{name}_sepconv1", like)
    x = _separable(_relu(x, f"{name}_sepconv2"), filters[1], f"{name}_sepconv2", like)
    if like == "timm":
        x = ops.max_pool(x, 3, 2, padding=1)
    else:
        x = layers.MaxPooling2D(3, 2, padding="same", name=f"{name}_pool")(x)
    return layers.Add()([x, shortcut])


def _timm(model: uf.Model) -> Mapping[str, str]:
    names = {"fc": "predictions"}
    for i in (1, 2):
        names |= {f"conv{i}": f"block1_conv{i}", f"bn{i}": f"block1_conv{i}_bn"}
    for block in range(1, 13):
        for i in range(2 if block in (1, 2, 3, 12) else 3):
            at, here = 3 * i + (block > 1), f"block{block + 1}_sepconv{i + 1}"
            names |= {f"block{block}.rep.{at}.{part}": here for part in ("conv1", "pointwise")}
            names[f"block{block}.rep.{at + 1}"] = f"{here}_bn"
    for block, number in ((1, ""), (2, "_1"), (3, "_2"), (12, "_3")):
        names |= {
            f"block{block}.skip": f"conv2d{number}",
            f"block{block}.skipbn": f"batch_normalization{number}",
        }
    for i in (3, 4):
        here = f"block14_sepconv{i - 2}"
        names |= {f"conv{i}.conv1": here, f"conv{i}.pointwise": here, f"bn{i}": f"{here}_bn"}
    return names


@uf.zoo.register(
    "xception",
    source="Chollet 2016: Xception: deep learning with depthwise separable convolutions; Keras Applications",
    parameters=22_910_480,
    keras="Xception",
    peers={"timm": _timm},
)
def xception(
    input_shape: ImageShape = (299, 299, 3),
    classes: int | None = 1000,
    classifier_activation: str | Callable[..., Any] | None = "softmax",
    like: str = "keras",
) -> uf.Model:
    """Xception: inception modules carried through to depthwise separable convolutions.

    22.9 M parameters, 8.4 G multiply-adds: ``[batch, 299, 299, 3]`` → ``[batch, classes]``. ``like="timm"`` (its
    ``legacy_xception``) pools from one pixel beyond the border on all sides, and has PyTorch's batch norm.
    """
    x = image = uf.Input(input_shape, name="image")
    for name, filters, strides in (("block1_conv1", 32, 2), ("block1_conv2", 64, 1)):
        x = layers.Conv2D(filters, 3, strides=strides, use_bias=False, name=name)(x)
        x = _relu(_bn(x, like, f"{name}_bn"), name)
    x = _halved(x, (128, 128), "block2", like, relu=False)
    x = _halved(x, (256, 256), "block3", like)
    x = _halved(x, (728, 728), "block4", like)
    for block in range(5, 13):
        y = x
        for i in (1, 2, 3):
            name = f"block{block}_sepconv{i}"
            y = _separable(_relu(y, name), 728, name, like)
        x = layers.Add()([y, x])
    x = _halved(x, (728, 1024), "block13", like)
    for name, filters in (("block14_sepconv1", 1536), ("block14_sepconv2", 2048)):
        x = _relu(_separable(x, filters, name, like), name)
    return uf.Model(image, head(x, classes, classifier_activation), name="xception")
