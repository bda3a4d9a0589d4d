"""ResNet version 2, 18 to 152: normalization and rectifier stand before each convolution, and the shortcut stays free.

He et al. 2016 (arXiv:1603.05027). From 50 layers on in the details of Keras Applications, where a stage is strided in
its last block; 18 and 34 in those of MXNet's Gluon, the first block strided, the image normalized before all else.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import unifront as uf
from unifront import layers
from unifront_zoo._parts import ImageShape

EPSILON, GLUON_EPSILON = 1.001e-5, 1e-5
"""Of batch normalization."""


def _bn_relu(x: Any, bn: str, relu: str, epsilon: float = EPSILON) -> Any:
    x = layers.BatchNormalization(epsilon=epsilon, name=bn)(x)
    return layers.Activation("relu", name=relu)(x)


def basic(x: Any, filters: int, strides: int, name: str) -> Any:
    """Two 3×3 convolutions, the first strided, beside a shortcut: x itself, or a projection where the sizes change."""
    active = _bn_relu(x, f"{name}_preact_bn", f"{name}_preact_relu", GLUON_EPSILON)
    shortcut = x
    if strides > 1:
        shortcut = layers.Conv2D(filters, 1, strides=strides, use_bias=False, name=f"{name}_0_conv")(active)
    x = layers.ZeroPadding2D(1, name=f"{name}_1_pad")(active)
    x = layers.Conv2D(filters, 3, strides=strides, use_bias=False, name=f"{name}_1_conv")(x)
    x = _bn_relu(x, f"{name}_1_bn", f"{name}_1_relu", GLUON_EPSILON)
    x = layers.Conv2D(filters, 3, padding="same", use_bias=False, name=f"{name}_2_conv")(x)
    return layers.Add(name=f"{name}_out")([shortcut, x])


def _shallow(image: Any, depths: tuple[int, ...]) -> Any:
    """The feature map of an image, with `basic` blocks."""
    x = layers.BatchNormalization(epsilon=GLUON_EPSILON, center=False, scale=False, name="image_bn")(image)
    x = layers.ZeroPadding2D(3, name="conv1_pad")(x)
    x = layers.Conv2D(64, 7, strides=2, use_bias=False, name="conv1_conv")(x)
    x = _bn_relu(x, "conv1_bn", "conv1_relu", GLUON_EPSILON)
    x = layers.ZeroPadding2D(1, name="pool1_pad")(x)
    x = layers.MaxPooling2D(3, strides=2, name="pool1_pool")(x)
    for stage, blocks in enumerate(depths):
        for i in range(blocks):
            x = basic(x, 64 * 2**stage, 2 if stage and not i else 1, f"conv{stage + 2}_block{i + 1}")
    return _bn_relu(x, "post_bn", "post_relu", GLUON_EPSILON)


def bottleneck(x: Any, filters: int, strides: int, project: bool, name: str) -> Any:
    """1×1, 3×3 (strided) and 1×1 convolutions beside a shortcut: a projection, or x itself, thinned if strided."""
    active = _bn_relu(x, f"{name}_preact_bn", f"{name}_preact_relu")
    shortcut = x
    if project:
        shortcut = layers.Conv2D(4 * filters, 1, strides=strides, name=f"{name}_0_conv")(active)
    elif strides > 1:
        shortcut = layers.MaxPooling2D(1, strides=strides)(x)
    x = layers.Conv2D(filters, 1, use_bias=False, name=f"{name}_1_conv")(active)
    x = _bn_relu(x, f"{name}_1_bn", f"{name}_1_relu")
    x = layers.ZeroPadding2D(1, name=f"{name}_2_pad")(x)
    x = layers.Conv2D(filters, 3, strides=strides, use_bias=False, name=f"{name}_2_conv")(x)
    x = _bn_relu(x, f"{name}_2_bn", f"{name}_2_relu")
    x = layers.Conv2D(4 * filters, 1, name=f"{name}_3_conv")(x)
    return layers.Add(name=f"{name}_out")([shortcut, x])


def _deep(image: Any, depths: tuple[int, ...]) -> Any:
    """The feature map of an image, with `bottleneck` blocks."""
    x = layers.ZeroPadding2D(3, name="conv1_pad")(image)
    x = layers.Conv2D(64, 7, strides=2, name="conv1_conv")(x)
    x = layers.ZeroPadding2D(1, name="pool1_pad")(x)
    x = layers.MaxPooling2D(3, strides=2, name="pool1_pool")(x)
    for stage, blocks in enumerate(depths):
        for i in range(blocks):
            strides = 2 if i == blocks - 1 and stage < 3 else 1
            x = bottleneck(x, 64 * 2**stage, strides, not i, f"conv{stage + 2}_block{i + 1}")
    return _bn_relu(x, "post_bn", "post_relu")


@dataclass(frozen=True)
class Model:
    """A row of the table of models.

    Args:
        body: `_shallow` or `_deep`.
        depths: the blocks of each stage.
        parameters: the weights, statistics among them.
        gflops: multiply-adds at 224×224, in thousand millions.
    """

    body: Callable[[Any, tuple[int, ...]], Any]
    depths: tuple[int, ...]
    parameters: int
    gflops: float

    @property
    def is_of_keras(self) -> bool:
        """Whether Keras Applications has it."""
        return self.body is _deep


MODELS = {
    18: Model(_shallow, (2, 2, 2, 2), 11_695_790, 1.8),
    34: Model(_shallow, (3, 4, 6, 3), 21_811_374, 3.7),
    50: Model(_deep, (3, 4, 6, 3), 25_613_800, 3.5),
    101: Model(_deep, (3, 4, 23, 3), 44_675_560, 7.2),
    152: Model(_deep, (3, 8, 36, 3), 60_380_648, 10.9),
}


def _resnet_v2(
    depth: int,
    input_shape: ImageShape,
    classes: int | None,
    classifier_activation: str | Callable[..., Any] | None,
) -> uf.Model:
    image = uf.Input(input_shape, name="image")
    x = MODELS[depth].body(image, MODELS[depth].depths)
    if classes is not None:
        x = layers.GlobalAveragePooling2D(name="avg_pool")(x)
        x = layers.Dense(classes, activation=classifier_activation, name="predictions")(x)
    return uf.Model(image, x, name=f"resnet{depth}v2")


def _define(depth: int) -> None:
    model = MODELS[depth]

    def build(
        input_shape: ImageShape = (224, 224, 3),
        classes: int | None = 1000,
        classifier_activation: str | Callable[..., Any] | None = "softmax",
    ) -> uf.Model:
        return _resnet_v2(depth, input_shape, classes, classifier_activation)

    name = f"resnet{depth}v2"
    build.__name__ = build.__qualname__ = name
    build.__doc__ = f"""ResNet-{depth}, version 2: images ``[batch, height, width, 3]`` → ``[batch, classes]``.

    {model.parameters / 1e6:.1f} million parameters; {model.gflops} thousand million multiply-adds at 224×224.

    Args:
        input_shape: height, width (None for any) and channels of an image.
        classes: how many there are; None for no head, but the feature map.
        classifier_activation: of the head; None for logits.
    """
    register = uf.zoo.register(
        name,
        source=f"He et al. 2016; {'Keras Applications' if model.is_of_keras else 'Gluon'}",
        parameters=model.parameters,
        keras=f"ResNet{depth}V2" if model.is_of_keras else None,
    )
    globals()[name] = register(build)


for _depth in MODELS:
    _define(_depth)
