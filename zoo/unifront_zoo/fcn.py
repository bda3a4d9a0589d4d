"""Fully convolutional networks on VGG-16 (Long et al. 2015): FCN-32s, FCN-16s and FCN-8s."""

from collections.abc import Callable
from typing import Any

import numpy as np

import unifront as uf
from unifront import layers
from unifront_zoo._parts import ImageShape

VGG16 = ((1, 2), (2, 2), (4, 3), (8, 3), (8, 3))
"""Filters, in units of those of the first block, and convolutions of each block."""
BORDER = 100
"""How far the paper pads the image, so that the 7×7 convolution has something to see at its edges."""


def bilinear(shape: tuple[int, ...], dtype: Any = None) -> np.ndarray:
    """The kernel ``[size, size, out, in]`` of a transposed convolution that interpolates each channel by itself."""
    size = shape[0]
    middle = (size - 1) / 2
    ramp = 1 - abs(np.arange(size) - middle) / ((size + 1) // 2)
    return np.einsum("i,j,oc->ijoc", ramp, ramp, np.eye(shape[2], shape[3])).astype("float32")


def _upsampled(x: Any, strides: int, name: str) -> Any:
    classes = x.shape[-1]
    return layers.Conv2DTranspose(
        classes, 2 * strides, strides=strides, use_bias=False, kernel_initializer=bilinear, name=name
    )(x)


def _like(x: Any, start: int, other: Any) -> Any:
    """``x`` from row and column ``start`` on, as large as ``other``."""
    rows, columns = other.shape[1:3]
    return x[:, start : start + rows, start : start + columns]


def _fcn(
    name: str, joins: int, input_shape: ImageShape, classes: int | None, classifier_activation: Any,
    filters: int, units: int, dropout: float,
) -> uf.Model:  # fmt: skip
    image = uf.Input(input_shape, name="image")
    x = layers.ZeroPadding2D(BORDER, name="border")(image)
    pools = []
    for block, (factor, convolutions) in enumerate(VGG16, 1):
        for i in range(convolutions):
            x = layers.Conv2D(
                factor * filters, 3, padding="same", activation="relu", name=f"block{block}_conv{i + 1}"
            )(x)
        # Caffe's pooling has a last window for an odd row or column
        x = layers.MaxPooling2D(2, padding="same", name=f"block{block}_pool")(x)
        pools.append(x)
    x = layers.Conv2D(units, 7, activation="relu", name="fc6")(x)
    x = layers.Dropout(dropout, name="drop6")(x)
    x = layers.Conv2D(units, 1, activation="relu", name="fc7")(x)
    x = layers.Dropout(dropout, name="drop7")(x)
    if classes is None:
        return uf.Model(image, x, name=name)
    x = layers.Conv2D(classes, 1, kernel_initializer="zeros", name="score")(x)
    # the offsets follow from the border and the kernels
    for pool, offset in ((4, 5), (3, 9))[:joins]:
        x = _upsampled(x, 2, f"upscore_pool{pool}")
        skip = layers.Conv2D(classes, 1, kernel_initializer="zeros", name=f"score_pool{pool}")(
            pools[pool - 1]
        )
        x = layers.Add(name=f"fuse_pool{pool}")([x, _like(skip, offset, x)])
    x = _like(_upsampled(x, 32 // 2**joins, "upscore"), (19, 27, 31)[joins], image)
    return uf.Model(image, layers.Activation(classifier_activation, name="predictions")(x), name=name)


def _define(name: str, joins: int, parameters: int) -> None:
    def build(
        input_shape: ImageShape = (500, 500, 3),
        classes: int | None = 21,
        classifier_activation: str | Callable[..., Any] | None = "softmax",
        filters: int = 64,
        units: int = 4096,
        dropout: float = 0.5,
    ) -> uf.Model:
        return _fcn(name, joins, input_shape, classes, classifier_activation, filters, units, dropout)

    skips = {
        0: "",
        1: ", joined by that of the fourth pooling",
        2: ", joined by those of the fourth and third pooling",
    }
    build.__name__ = build.__qualname__ = name
    build.__doc__ = f"""FCN-{name[3:]}: VGG-16 as convolutions, {parameters / 1e6:.1f} M parameters.

    Images ``[batch, height, width, 3]`` (blue, green, red, less ImageNet's mean, for Keras's VGG-16 weights) → the
    probabilities of each pixel's class ``[batch, height, width, classes]``, interpolated from a score at every 32nd
    pixel{skips[joins]}; for ``classes=None`` what is scored, ``[batch, rows, columns, 4096]`` at every 32nd pixel.

    Args:
        input_shape: height and width may be None.
        classes, classifier_activation: None leaves out the classifier, or its activation.
        filters: of the first block, by which VGG's others go.
        units: filters of the two convolutions that were VGG's dense layers.
        dropout: after each of them.
    """
    globals()[name] = uf.zoo.register(name, source="Long et al. 2015", parameters=parameters)(build)


_define("fcn32s", 0, 136_152_917)
_define("fcn16s", 1, 134_815_994)
_define("fcn8s", 2, 134_489_759)
