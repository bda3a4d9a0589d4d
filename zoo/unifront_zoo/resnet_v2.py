"""ResNet version 2, 50 to 152: normalization and rectifier stand before each convolution, and the shortcut stays free.

He et al. 2016 (arXiv:1603.05027), in the details of Keras Applications: a stage is strided in its last block.
"""

from typing import Any

import unifront as uf
from unifront import layers
from unifront_zoo._parts import ImageShape

EPSILON = 1.001e-5
"""Of batch normalization."""
DEPTHS = {50: (3, 4, 6, 3), 101: (3, 4, 23, 3), 152: (3, 8, 36, 3)}
PARAMETERS = {50: 25_613_800, 101: 44_675_560, 152: 60_380_648}
GFLOPS = {50: 3.5, 101: 7.2, 152: 10.9}


def _bn_relu(x: Any, bn: str, relu: str) -> Any:
    x = layers.BatchNormalization(epsilon=EPSILON, name=bn)(x)
    return layers.Activation("relu", name=relu)(x)


def block(x: Any, filters: int, strides: int, project: bool, name: str) -> Any:
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


def _resnet_v2(
    depth: int, input_shape: ImageShape, classes: int | None, classifier_activation: str | None
) -> uf.Model:
    image = uf.Input(input_shape, name="image")
    x = layers.ZeroPadding2D(3, name="conv1_pad")(image)
    x = layers.Conv2D(64, 7, strides=2, name="conv1_conv")(x)
    x = layers.ZeroPadding2D(1, name="pool1_pad")(x)
    x = layers.MaxPooling2D(3, strides=2, name="pool1_pool")(x)
    for stage, blocks in enumerate(DEPTHS[depth]):
        for i in range(blocks):
            strides = 2 if i == blocks - 1 and stage < 3 else 1
            x = block(x, 64 * 2**stage, strides, not i, f"conv{stage + 2}_block{i + 1}")
    x = _bn_relu(x, "post_bn", "post_relu")
    if classes is not None:
        x = layers.GlobalAveragePooling2D(name="avg_pool")(x)
        x = layers.Dense(classes, activation=classifier_activation, name="predictions")(x)
    return uf.Model(image, x, name=f"resnet{depth}v2")


def _define(depth: int) -> None:
    def build(
        input_shape: ImageShape = (224, 224, 3),
        classes: int | None = 1000,
        classifier_activation: str | None = "softmax",
    ) -> uf.Model:
        return _resnet_v2(depth, input_shape, classes, classifier_activation)

    name = f"resnet{depth}v2"
    build.__name__ = build.__qualname__ = name
    build.__doc__ = f"""ResNet-{depth}, version 2: images ``[batch, height, width, 3]`` → ``[batch, classes]``.

    {PARAMETERS[depth] / 1e6:.1f} million parameters; {GFLOPS[depth]} thousand million multiply-adds at 224×224.

    Args:
        input_shape: height, width (None for any) and channels of an image.
        classes: how many there are; None for no head, but the feature map.
        classifier_activation: of the head; None for logits.
    """
    register = uf.zoo.register(
        name,
        source="He et al. 2016; Keras Applications",
        parameters=PARAMETERS[depth],
        keras=f"ResNet{depth}V2",
    )
    globals()[name] = register(build)


for _depth in DEPTHS:
    _define(_depth)
