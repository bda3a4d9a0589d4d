"""MobileNet 1 to 3 (Howard et al. 2017, Sandler et al. 2018, Howard et al. 2019).

Layers, names and order of weights are those of Keras Applications; ``like="torchvision"`` pads and normalizes as
torchvision's models do.
"""

from collections.abc import Callable
from typing import Any

import unifront as uf
from unifront import layers
from unifront_zoo._parts import ImageShape, chosen, divisible, padded


@uf.zoo.register(
    "mobilenet", source="Howard et al. 2017; Keras Applications", parameters=4_253_864, keras="MobileNet"
)
def mobilenet(
    input_shape: ImageShape = (224, 224, 3),
    alpha: float = 1.0,
    depth_multiplier: int = 1,
    dropout: float = 1e-3,
    classes: int | None = 1000,
    classifier_activation: str | Callable[..., Any] | None = "softmax",
) -> uf.Model:
    """MobileNet: depthwise and 1×1 convolutions in turn, 4.3 M parameters, 0.57 G multiply-adds.

    Images ``[batch, height, width, 3]`` in [-1, 1] → probabilities ``[batch, classes]``, or the last features
    ``[batch, height/32, width/32, 1024·alpha]`` for ``classes=None``.

    Args:
        input_shape: height and width may be None.
        alpha: the width multiplier.
        depth_multiplier: depthwise filters for each channel.
        dropout: before the classifier.
        classes, classifier_activation: None leaves out the classifier, or its activation.
    """
    image = uf.Input(input_shape, name="image")
    x = layers.Conv2D(int(32 * alpha), 3, strides=2, padding="same", use_bias=False, name="conv1")(image)
    x = layers.BatchNormalization(name="conv1_bn")(x)
    x = layers.ReLU(6.0, name="conv1_relu")(x)
    for i, filters in enumerate((64, 128, 128, 256, 256, *[512] * 6, 1024, 1024), 1):
        strides = 2 if i in {2, 4, 6, 12} else 1
        if strides == 2:
            x = layers.ZeroPadding2D(((0, 1), (0, 1)), name=f"conv_pad_{i}")(x)
        x = layers.DepthwiseConv2D(
            3, strides=strides, padding="same" if strides == 1 else "valid",
            depth_multiplier=depth_multiplier, use_bias=False, name=f"conv_dw_{i}",
        )(x)  # fmt: skip
        x = layers.BatchNormalization(name=f"conv_dw_{i}_bn")(x)
        x = layers.ReLU(6.0, name=f"conv_dw_{i}_relu")(x)
        x = layers.Conv2D(int(filters * alpha), 1, use_bias=False, name=f"conv_pw_{i}")(x)
        x = layers.BatchNormalization(name=f"conv_pw_{i}_bn")(x)
        x = layers.ReLU(6.0, name=f"conv_pw_{i}_relu")(x)
    if classes is not None:
        x = layers.GlobalAveragePooling2D(keepdims=True)(x)
        x = layers.Dropout(dropout, name="dropout")(x)
        x = layers.Conv2D(classes, 1, name="conv_preds")(x)
        x = layers.Reshape((classes,), name="reshape_2")(x)
        x = layers.Activation(classifier_activation, name="predictions")(x)
    return uf.Model(image, x, name="mobilenet")


V2_STAGES = (
    (1, 16, 1, 1),
    (6, 24, 2, 2),
    (6, 32, 3, 2),
    (6, 64, 4, 2),
    (6, 96, 3, 1),
    (6, 160, 3, 2),
    (6, 320, 1, 1),
)
"""Expansion, filters, blocks and first stride of each stage (table 2 of the paper)."""


def _v2_names(model: uf.Model) -> dict[str, str]:
    names = {"features.0.0": "Conv1", "features.0.1": "bn_Conv1"}
    parts = [("expand", "expand_BN"), ("depthwise", "depthwise_BN"), ("project", "project_BN")]
    for i in range(sum(blocks for _, _, blocks, _ in V2_STAGES)):
        block = f"block_{i}_" if i else "expanded_conv_"
        for j, (conv, norm) in enumerate(parts if i else parts[1:]):
            inner = f"features.{i + 1}.conv.{j}"
            last = conv == "project"  # the convolution stands alone, not in a group with its normalization
            names[inner if last else f"{inner}.0"] = block + conv
            names[f"features.{i + 1}.conv.{j + 1}" if last else f"{inner}.1"] = block + norm
    return names | {"features.18.0": "Conv_1", "features.18.1": "Conv_1_bn", "classifier.1": "predictions"}


@uf.zoo.register(
    "mobilenet_v2", source="Sandler et al. 2018; Keras Applications, torchvision", parameters=3_538_984,
    keras="MobileNetV2", peers={"torchvision": _v2_names},
)  # fmt: skip
def mobilenet_v2(
    input_shape: ImageShape = (224, 224, 3),
    alpha: float = 1.0,
    classes: int | None = 1000,
    classifier_activation: str | Callable[..., Any] | None = "softmax",
    like: str = "keras",
) -> uf.Model:
    """MobileNet V2: inverted residuals with linear bottlenecks, 3.5 M parameters, 0.30 G multiply-adds.

    Images ``[batch, height, width, 3]`` (in [-1, 1] for Keras's weights) → probabilities ``[batch, classes]``, or
    the last features ``[batch, height/32, width/32, 1280]`` for ``classes=None``.

    Args:
        input_shape: height and width may be None.
        alpha: the width multiplier.
        classes, classifier_activation: None leaves out the classifier, or its activation.
        like: ``"keras"``, or ``"torchvision"``: symmetric padding, epsilon 1e-5, dropout of 0.2 before the classifier.
    """
    momentum, epsilon = chosen(like, {"keras": (0.999, 1e-3), "torchvision": (0.9, 1e-5)})

    def conv(x: Any, filters: int, name: str, norm: str) -> Any:
        x = layers.Conv2D(filters, 1, use_bias=False, name=name)(x)
        return layers.BatchNormalization(momentum=momentum, epsilon=epsilon, name=norm)(x)

    def block(x: Any, expansion: int, filters: int, strides: int, name: str) -> Any:
        start, channels = x, x.shape[-1]
        if expansion > 1:
            x = conv(x, expansion * channels, f"{name}expand", f"{name}expand_BN")
            x = layers.ReLU(6.0, name=f"{name}expand_relu")(x)
        if strides == 2:
            x = padded(x, 3, like, f"{name}pad")
        x = layers.DepthwiseConv2D(
            3,
            strides=strides,
            padding="same" if strides == 1 else "valid",
            use_bias=False,
            name=f"{name}depthwise",
        )(x)
        x = layers.BatchNormalization(momentum=momentum, epsilon=epsilon, name=f"{name}depthwise_BN")(x)
        x = layers.ReLU(6.0, name=f"{name}depthwise_relu")(x)
        x = conv(x, filters, f"{name}project", f"{name}project_BN")
        return layers.Add(name=f"{name}add")([start, x]) if strides == 1 and channels == filters else x

    image = uf.Input(input_shape, name="image")
    x, padding = (image, "same") if like == "keras" else (padded(image, 3, like), "valid")
    first = divisible(32 * alpha)
    x = layers.Conv2D(first, 3, strides=2, padding=padding, use_bias=False, name="Conv1")(x)
    x = layers.BatchNormalization(momentum=momentum, epsilon=epsilon, name="bn_Conv1")(x)
    x = layers.ReLU(6.0, name="Conv1_relu")(x)
    count = 0
    for expansion, filters, blocks, strides in V2_STAGES:
        for i in range(blocks):
            name = f"block_{count}_" if count else "expanded_conv_"
            x = block(x, expansion, divisible(int(filters * alpha)), 1 if i else strides, name)
            count += 1
    x = conv(x, divisible(1280 * max(alpha, 1.0)), "Conv_1", "Conv_1_bn")
    x = layers.ReLU(6.0, name="out_relu")(x)
    if classes is not None:
        x = layers.GlobalAveragePooling2D()(x)
        x = layers.Dropout(0.2, name="dropout")(x) if like == "torchvision" else x
        x = layers.Dense(classes, activation=classifier_activation, name="predictions")(x)
    return uf.Model(image, x, name="mobilenet_v2")


V3_SMALL = (
    (16, 16, 3, 2, True, "relu"), (72, 24, 3, 2, False, "relu"), (88, 24, 3, 1, False, "relu"),
    (96, 40, 5, 2, True, "hard_swish"), (240, 40, 5, 1, True, "hard_swish"), (240, 40, 5, 1, True, "hard_swish"),
    (120, 48, 5, 1, True, "hard_swish"), (144, 48, 5, 1, True, "hard_swish"),
    (288, 96, 5, 2, True, "hard_swish"), (576, 96, 5, 1, True, "hard_swish"), (576, 96, 5, 1, True, "hard_swish"),
)  # fmt: skip
"""Expanded filters, filters, kernel, stride, squeeze and excite, activation of each block (table 2 of the paper)."""
V3_LARGE = (
    (16, 16, 3, 1, False, "relu"), (64, 24, 3, 2, False, "relu"), (72, 24, 3, 1, False, "relu"),
    (72, 40, 5, 2, True, "relu"), (120, 40, 5, 1, True, "relu"), (120, 40, 5, 1, True, "relu"),
    (240, 80, 3, 2, False, "hard_swish"), (200, 80, 3, 1, False, "hard_swish"),
    (184, 80, 3, 1, False, "hard_swish"), (184, 80, 3, 1, False, "hard_swish"),
    (480, 112, 3, 1, True, "hard_swish"), (672, 112, 3, 1, True, "hard_swish"),
    (672, 160, 5, 2, True, "hard_swish"), (960, 160, 5, 1, True, "hard_swish"), (960, 160, 5, 1, True, "hard_swish"),
)  # fmt: skip
"""The same of the larger model (table 1)."""


def _v3_names(model: uf.Model) -> dict[str, str]:
    own = {layer.name for layer in model.layers}
    names = {"features.0.0": "conv", "features.0.1": "conv_bn"}
    i = 0
    while (block := f"expanded_conv_{i}_" if i else "expanded_conv_") + "project" in own:
        i += 1
        found = [
            part for part in ("expand", "depthwise", "squeeze_excite_conv", "project") if block + part in own
        ]
        for j, part in enumerate(found):
            inner = f"features.{i}.block.{j}"
            if part == "squeeze_excite_conv":
                names |= {f"{inner}.fc1": block + part, f"{inner}.fc2": f"{block}{part}_1"}
            else:
                names |= {f"{inner}.0": block + part, f"{inner}.1": f"{block}{part}_bn"}
    names |= {f"features.{i + 1}.0": "conv_1", f"features.{i + 1}.1": "conv_1_bn"}
    return names | {"classifier.0": "conv_2", "classifier.3": "logits"}


def _v3(
    name: str, blocks: tuple[tuple[int, int, int, int, bool, str], ...], last: int, input_shape: ImageShape,
    alpha: float, minimalistic: bool, dropout_rate: float, classes: int | None, classifier_activation: Any,
    include_preprocessing: bool, like: str,
) -> uf.Model:  # fmt: skip
    momentum = chosen(like, {"keras": 0.999, "torchvision": 0.99})

    def norm(x: Any, name: str) -> Any:
        return layers.BatchNormalization(momentum=momentum, epsilon=1e-3, name=name)(x)

    def act(x: Any, activation: str) -> Any:
        return layers.Activation("relu" if minimalistic else activation)(x)

    def squeeze_excite(x: Any, name: str) -> Any:
        y = layers.GlobalAveragePooling2D(keepdims=True, name=f"{name}_avg_pool")(x)
        y = layers.Conv2D(divisible(x.shape[-1] * 0.25), 1, name=f"{name}_conv")(y)
        y = layers.ReLU(name=f"{name}_relu")(y)
        y = layers.Conv2D(x.shape[-1], 1, name=f"{name}_conv_1")(y)
        y = layers.Activation("hard_sigmoid")(y)
        return layers.Multiply(name=f"{name}_mul")([x, y])

    def block(
        x: Any,
        i: int,
        expanded: float,
        filters: int,
        kernel: int,
        strides: int,
        squeeze: bool,
        activation: str,
    ) -> Any:
        prefix, start = f"expanded_conv_{i}_" if i else "expanded_conv_", x
        if i:
            x = layers.Conv2D(divisible(expanded), 1, use_bias=False, name=f"{prefix}expand")(x)
            x = act(norm(x, f"{prefix}expand_bn"), activation)
        if strides == 2:
            x = padded(x, kernel, like, f"{prefix}depthwise_pad")
        x = layers.DepthwiseConv2D(
            kernel, strides=strides, padding="same" if strides == 1 else "valid", use_bias=False,
            name=f"{prefix}depthwise",
        )(x)  # fmt: skip
        x = act(norm(x, f"{prefix}depthwise_bn"), activation)
        if squeeze and not minimalistic:
            x = squeeze_excite(x, f"{prefix}squeeze_excite")
        x = norm(layers.Conv2D(filters, 1, use_bias=False, name=f"{prefix}project")(x), f"{prefix}project_bn")
        same = strides == 1 and start.shape[-1] == filters
        return layers.Add(name=f"{prefix}add")([start, x]) if same else x

    image = uf.Input(input_shape, name="image")
    x = layers.Rescaling(1 / 127.5, -1.0)(image) if include_preprocessing else image
    x, padding = (x, "same") if like == "keras" else (padded(x, 3, like), "valid")
    x = layers.Conv2D(16, 3, strides=2, padding=padding, use_bias=False, name="conv")(x)
    x = act(norm(x, "conv_bn"), "hard_swish")
    before = 16
    for i, (expanded, filters, kernel, strides, squeeze, activation) in enumerate(blocks):
        wide = expanded / before * x.shape[-1]  # the paper's table gives the sizes for alpha=1
        kernel = 3 if minimalistic else kernel
        x = block(x, i, wide, divisible(filters * alpha), kernel, strides, squeeze, activation)
        before = filters
    x = layers.Conv2D(divisible(x.shape[-1] * 6), 1, use_bias=False, name="conv_1")(x)
    x = act(norm(x, "conv_1_bn"), "hard_swish")
    if classes is not None:
        x = layers.GlobalAveragePooling2D(keepdims=True)(x)
        x = layers.Conv2D(divisible(last * alpha) if alpha > 1 else last, 1, name="conv_2")(x)
        x = act(x, "hard_swish")
        x = layers.Dropout(dropout_rate)(x) if dropout_rate else x
        x = layers.Conv2D(classes, 1, name="logits")(x)
        x = layers.Flatten()(x)
        x = layers.Activation(classifier_activation, name="predictions")(x)
    return uf.Model(image, x, name=name)


def _define(name: str, size: str, blocks: Any, last: int, parameters: int, flops: float) -> None:
    def build(
        input_shape: ImageShape = (224, 224, 3),
        alpha: float = 1.0,
        minimalistic: bool = False,
        dropout_rate: float = 0.2,
        classes: int | None = 1000,
        classifier_activation: str | Callable[..., Any] | None = "softmax",
        include_preprocessing: bool = True,
        like: str = "keras",
    ) -> uf.Model:
        return _v3(
            name, blocks, last, input_shape, alpha, minimalistic, dropout_rate, classes, classifier_activation,
            include_preprocessing and like == "keras", like,
        )  # fmt: skip

    build.__name__ = build.__qualname__ = name
    build.__doc__ = f"""MobileNet V3 {size}: {parameters / 1e6:.1f} M parameters, {flops} G multiply-adds.

    Images ``[batch, height, width, 3]`` in [0, 255] → probabilities ``[batch, classes]``, or the last features
    ``[batch, height/32, width/32, {6 * blocks[-1][1]}]`` for ``classes=None``.

    Args:
        input_shape: height and width may be None.
        alpha: the width multiplier.
        minimalistic: kernels of 3, ReLU, and no squeeze and excite.
        dropout_rate: before the classifier.
        classes, classifier_activation: None leaves out the classifier, or its activation.
        include_preprocessing: whether the model brings [0, 255] to [-1, 1] itself (only like Keras).
        like: ``"keras"``, or ``"torchvision"``: symmetric padding, images normalized before.
    """
    globals()[name] = uf.zoo.register(
        name, source="Howard et al. 2019; Keras Applications, torchvision", parameters=parameters,
        keras=f"MobileNetV3{size}", peers={"torchvision": _v3_names},
    )(build)  # fmt: skip


_define("mobilenet_v3_small", "Small", V3_SMALL, 1024, 2_554_968, 0.06)
_define("mobilenet_v3_large", "Large", V3_LARGE, 1280, 5_507_432, 0.22)
