"""NASNet-A, mobile and large, layer by layer those of Keras Applications.

Height and width are numbers: with free ones the paths of a cell are not seen to have the same size.
"""

from typing import Any

import unifront as uf
from unifront import layers
from unifront_zoo._classic import variant
from unifront_zoo._parts import ImageShape


def _bn(x: Any, name: str) -> Any:
    return layers.BatchNormalization(momentum=0.9997, epsilon=1e-3, name=name)(x)


def _relu(x: Any, name: str | None = None) -> Any:
    return layers.Activation("relu", name=name)(x)


def _conv(x: Any, filters: int, name: str) -> Any:
    return layers.Conv2D(
        filters, 1, padding="same", use_bias=False, kernel_initializer="he_normal", name=name
    )(x)


def _pad(x: Any, size: int, name: str) -> Any:
    """Zeros before a strided convolution, one row fewer above where the height is even or free, as in Keras."""
    pairs = [(size // 2 - (not (isinstance(n, int) and n % 2)), size // 2) for n in x.shape[1:3]]
    return layers.ZeroPadding2D((pairs[0], pairs[1]), name=name)(x)


def _separable(x: Any, filters: int, size: int, name: str, strides: int = 1) -> Any:
    """Twice: ReLU, separable convolution, batch norm; the first one may be strided."""
    x, padding = _relu(x), "same"
    if strides == 2:
        x, padding = _pad(x, size, f"separable_conv_1_pad_{name}"), "valid"
    x = layers.SeparableConv2D(
        filters, size, strides=strides, padding=padding, use_bias=False, name=f"separable_conv_1_{name}"
    )(x)
    x = _relu(_bn(x, f"separable_conv_1_bn_{name}"))
    x = layers.SeparableConv2D(
        filters, size, padding="same", use_bias=False, name=f"separable_conv_2_{name}"
    )(x)
    return _bn(x, f"separable_conv_2_bn_{name}")


def _adjust(p: Any, x: Any, filters: int, name: str) -> Any:
    """What the cell before the last one gave, brought to the size of ``x`` and to ``filters``."""
    if p is None:
        return x
    if p.shape[2] != x.shape[2]:
        p = _relu(p, f"adjust_relu_1_{name}")
        first = layers.AveragePooling2D(1, 2, name=f"adjust_avg_pool_1_{name}")(p)
        first = _conv(first, filters // 2, f"adjust_conv_1_{name}")
        moved = layers.Cropping2D(((1, 0), (1, 0)))(layers.ZeroPadding2D(((0, 1), (0, 1)))(p))
        second = layers.AveragePooling2D(1, 2, name=f"adjust_avg_pool_2_{name}")(moved)
        second = _conv(second, filters // 2, f"adjust_conv_2_{name}")
        return _bn(layers.Concatenate()([first, second]), f"adjust_bn_{name}")
    if p.shape[-1] != filters:
        return _bn(_conv(_relu(p), filters, f"adjust_conv_projection_{name}"), f"adjust_bn_{name}")
    return p


def _normal(x: Any, p: Any, filters: int, name: str) -> tuple[Any, Any]:
    def average(x: Any, part: str) -> Any:
        return layers.AveragePooling2D(3, 1, padding="same", name=f"normal_{part}_{name}")(x)

    p = _adjust(p, x, filters, name)
    h = _bn(_conv(_relu(x), filters, f"normal_conv_1_{name}"), f"normal_bn_1_{name}")
    pairs = (
        lambda: (
            _separable(h, filters, 5, f"normal_left1_{name}"),
            _separable(p, filters, 3, f"normal_right1_{name}"),
        ),
        lambda: (
            _separable(p, filters, 5, f"normal_left2_{name}"),
            _separable(p, filters, 3, f"normal_right2_{name}"),
        ),
        lambda: (average(h, "left3"), p),
        lambda: (average(p, "left4"), average(p, "right4")),
        lambda: (_separable(h, filters, 3, f"normal_left5_{name}"), h),
    )
    blocks = [layers.Add(name=f"normal_add_{i}_{name}")([*pair()]) for i, pair in enumerate(pairs, 1)]
    return layers.Concatenate(name=f"normal_concat_{name}")([p, *blocks]), x


def _reduction(x: Any, p: Any, filters: int, name: str) -> tuple[Any, Any]:
    def halved(x: Any, size: int, part: str) -> Any:
        return _separable(x, filters, size, f"reduction_{part}_{name}", strides=2)

    p = _adjust(p, x, filters, name)
    h = _bn(_conv(_relu(x), filters, f"reduction_conv_1_{name}"), f"reduction_bn_1_{name}")
    padded = _pad(h, 3, f"reduction_pad_1_{name}")
    x1 = layers.Add(name=f"reduction_add_1_{name}")([halved(h, 5, "left1"), halved(p, 7, "right1")])
    pooled = layers.MaxPooling2D(3, 2, name=f"reduction_left2_{name}")(padded)
    x2 = layers.Add(name=f"reduction_add_2_{name}")([pooled, halved(p, 7, "right2")])
    pooled = layers.AveragePooling2D(3, 2, name=f"reduction_left3_{name}")(padded)
    x3 = layers.Add(name=f"reduction_add3_{name}")([pooled, halved(p, 5, "right3")])
    pooled = layers.AveragePooling2D(3, 1, padding="same", name=f"reduction_left4_{name}")(x1)
    x4 = layers.Add()([x2, pooled])
    x5 = _separable(x1, filters, 3, f"reduction_left4_{name}")
    pooled = layers.MaxPooling2D(3, 2, name=f"reduction_right5_{name}")(padded)
    x5 = layers.Add(name=f"reduction_add4_{name}")([x5, pooled])
    return layers.Concatenate(name=f"reduction_concat_{name}")([x2, x3, x4, x5]), x


def _nasnet(
    name: str,
    skip_reduction: bool,
    input_shape: ImageShape = (224, 224, 3),
    classes: int | None = 1000,
    classifier_activation: str | None = "softmax",
    penultimate_filters: int = 1056,
    num_blocks: int = 4,
    stem_block_filters: int = 32,
) -> uf.Model:
    filters = penultimate_filters // 24
    image = uf.Input(input_shape, name="image")
    x = layers.Conv2D(
        stem_block_filters, 3, strides=2, use_bias=False, kernel_initializer="he_normal", name="stem_conv1"
    )(image)
    x, p = _bn(x, "stem_bn1"), None
    for number, divisor in ((1, 4), (2, 2)):
        x, p = _reduction(x, p, filters // divisor, f"stem_{number}")
    for stage in range(3):
        if stage:
            x, before = _reduction(x, p, filters * 2**stage, f"reduce_{stage * num_blocks}")
            p = p if skip_reduction else before
        for i in range(num_blocks):
            x, p = _normal(x, p, filters * 2**stage, f"{stage * num_blocks + i + bool(stage)}")
    x = _relu(x)
    if classes is not None:
        x = layers.GlobalAveragePooling2D()(x)
        x = layers.Dense(classes, activation=classifier_activation, name="predictions")(x)
    return uf.Model(image, x, name=name)


nasnet_mobile = uf.zoo.register(
    "nasnet_mobile",
    source="Zoph et al. 2017: Learning transferable architectures, NASNet-A (4 @ 1056); Keras Applications",
    parameters=5_326_716,
    keras="NASNetMobile",
)(
    variant(
        _nasnet, "nasnet_mobile", False,
        summary="NASNet-A (4 @ 1056): cells found by search, for phones.\n\n5.3 M parameters, 0.57 G multiply-adds: "
        "``[batch, 224, 224, 3]`` → ``[batch, classes]``.",
    )
)  # fmt: skip

nasnet_large = uf.zoo.register(
    "nasnet_large",
    source="Zoph et al. 2017: Learning transferable architectures, NASNet-A (6 @ 4032); Keras Applications",
    parameters=88_949_818,
    keras="NASNetLarge",
)(
    variant(
        _nasnet, "nasnet_large", True,
        summary="NASNet-A (6 @ 4032): cells found by search.\n\n88.9 M parameters, 23.8 G multiply-adds: "
        "``[batch, 331, 331, 3]`` → ``[batch, classes]``.",
        input_shape=(331, 331, 3), penultimate_filters=4032, num_blocks=6, stem_block_filters=96,
    )
)  # fmt: skip
