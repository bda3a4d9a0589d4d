"""NASNet-A, mobile and large, layer by layer those of Keras Applications.

With free sizes they are the same networks. Keras's then leave out what halves the cell before the last one, and do not
run.
"""

from collections.abc import Callable
from typing import Any

import unifront as uf
from unifront import layers, ops
from unifront_zoo._classic import variant
from unifront_zoo._parts import ImageShape, chosen


def _bn(x: Any, name: str) -> Any:
    return layers.BatchNormalization(momentum=0.9997, epsilon=1e-3, name=name)(x)


def _relu(x: Any, name: str | None = None) -> Any:
    return layers.Activation("relu", name=name)(x)


def _conv(x: Any, filters: int, name: str) -> Any:
    return layers.Conv2D(
        filters, 1, padding="same", use_bias=False, kernel_initializer="he_normal", name=name
    )(x)


def _halving(x: Any, name: str, zeros: bool) -> Callable[[type[uf.Layer], str], Any]:
    """What pools ``x`` in 3×3 windows with stride 2, by the layer's class and its part of the name.

    Args:
        zeros: whether those around ``x`` count: none above and to the left of an even size, as Keras pads. So the last
            window ends in those below whatever the size, and where one is free windows are counted from there.
    """
    sizes = x.shape[1:3]
    free = zeros and any(not isinstance(size, int) for size in sizes)
    if free:
        x = ops.flip(x, (1, 2))
    if zeros:
        rows, columns = ((1, 1) if free else (size % 2, 1) for size in sizes)
        x = layers.ZeroPadding2D((rows, columns), name=f"reduction_pad_1_{name}")(x)

    def pooled(layer: type[uf.Layer], part: str) -> Any:
        padding = "valid" if zeros else "same"
        found = layer(3, 2, padding=padding, name=f"reduction_{part}_{name}")(x)
        return ops.flip(found, (1, 2)) if free else found

    return pooled


def _separable(x: Any, filters: int, size: int, name: str, strides: int = 1) -> Any:
    """Twice: ReLU, separable convolution, batch norm; the first one may be strided."""
    x = layers.SeparableConv2D(
        filters, size, strides=strides, padding="same", use_bias=False, name=f"separable_conv_1_{name}"
    )(_relu(x))
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


def _reduction(x: Any, p: Any, filters: int, name: str, zeros: bool) -> tuple[Any, Any]:
    def halved(x: Any, size: int, part: str) -> Any:
        return _separable(x, filters, size, f"reduction_{part}_{name}", strides=2)

    p = _adjust(p, x, filters, name)
    h = _bn(_conv(_relu(x), filters, f"reduction_conv_1_{name}"), f"reduction_bn_1_{name}")
    pooled = _halving(h, name, zeros)
    x1 = layers.Add(name=f"reduction_add_1_{name}")([halved(h, 5, "left1"), halved(p, 7, "right1")])
    largest, mean = pooled(layers.MaxPooling2D, "left2"), pooled(layers.AveragePooling2D, "left3")
    x2 = layers.Add(name=f"reduction_add_2_{name}")([largest, halved(p, 7, "right2")])
    x3 = layers.Add(name=f"reduction_add3_{name}")([mean, halved(p, 5, "right3")])
    x4 = layers.Add()([x2, layers.AveragePooling2D(3, 1, padding="same", name=f"reduction_left4_{name}")(x1)])
    x5 = _separable(x1, filters, 3, f"reduction_left4_{name}")
    x5 = layers.Add(name=f"reduction_add4_{name}")([x5, pooled(layers.MaxPooling2D, "right5")])
    return layers.Concatenate(name=f"reduction_concat_{name}")([x2, x3, x4, x5]), x


def _nasnet(
    name: str,
    skip_reduction: bool,
    input_shape: ImageShape = (224, 224, 3),
    classes: int | None = 1000,
    classifier_activation: str | Callable[..., Any] | None = "softmax",
    penultimate_filters: int = 1056,
    num_blocks: uf.zoo.Depth = 4,
    stem_block_filters: int = 32,
    like: str = "keras",
) -> uf.Model:
    zeros = chosen(like, {"keras": True, "timm": False})
    filters = penultimate_filters // 24
    image = uf.Input(input_shape, name="image")
    x = layers.Conv2D(
        stem_block_filters, 3, strides=2, use_bias=False, kernel_initializer="he_normal", name="stem_conv1"
    )(image)
    x, p = _bn(x, "stem_bn1"), None
    for number, divisor in ((1, 4), (2, 2)):
        x, p = _reduction(x, p, filters // divisor, f"stem_{number}", zeros)
    for stage in range(3):
        if stage:
            x, before = _reduction(x, p, filters * 2**stage, f"reduce_{stage * num_blocks}", zeros)
            p = p if skip_reduction else before
        for i in range(num_blocks):
            x, p = _normal(x, p, filters * 2**stage, f"{stage * num_blocks + i + bool(stage)}")
    x = _relu(x)
    if classes is not None:
        x = layers.GlobalAveragePooling2D()(x)
        x = layers.Dense(classes, activation=classifier_activation, name="predictions")(x)
    return uf.Model(image, x, name=name)


_BRANCHES = {
    "reduction": {"0_left": "left1", "0_right": "right1", "1_right": "right2", "2_right": "right3", "4_left": "left4"},
    "normal": {"0_left": "left1", "0_right": "right1", "1_left": "left2", "1_right": "right2", "4_left": "left5"},
}  # fmt: skip
"""The separable convolutions of a cell: by timm's names of them, ours."""


def _of_cell(there: str, here: str, kind: str) -> dict[str, str]:
    found = {
        "conv_1x1.conv": f"{kind}_conv_1_{here}",
        "conv_1x1.bn": f"{kind}_bn_1_{here}",
        "conv_prev_1x1.conv": f"adjust_conv_projection_{here}",
        "conv_prev_1x1.bn": f"adjust_bn_{here}",
        "path_1.conv": f"adjust_conv_1_{here}",
        "path_2.conv": f"adjust_conv_2_{here}",
        "final_path_bn": f"adjust_bn_{here}",
    }
    for branch, part in _BRANCHES[kind].items():
        for n in (1, 2):
            own = f"{kind}_{part}_{here}"
            for half in ("depthwise", "pointwise"):
                found[f"comb_iter_{branch}.separable_{n}.{half}_conv2d"] = f"separable_conv_{n}_{own}"
            found[f"comb_iter_{branch}.bn_sep_{n}"] = f"separable_conv_{n}_bn_{own}"
    return {f"{there}.{module}": layer for module, layer in found.items()}


def _timm(model: uf.Model) -> dict[str, str]:
    own = {layer.name for layer in model.layers}
    blocks = sum(name.startswith("normal_conv_1_") for name in own) // 3
    cells = {"cell_stem_0": "stem_1", "cell_stem_1": "stem_2"}
    cells |= {f"reduction_cell_{i}": f"reduce_{(i + 1) * blocks}" for i in (0, 1)}
    found = {"conv0.conv": "stem_conv1", "conv0.bn": "stem_bn1", "last_linear": "predictions"}
    for there, here in cells.items():
        found |= _of_cell(there, here, "reduction")
    for i in range(3 * blocks):
        found |= _of_cell(f"cell_{i}", str(i + (i >= blocks)), "normal")
    return {there: here for there, here in found.items() if here in own}


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
    peers={"timm": _timm},
)(
    variant(
        _nasnet, "nasnet_large", True,
        summary="NASNet-A (6 @ 4032): cells found by search.\n\n88.9 M parameters, 23.8 G multiply-adds: "
        "``[batch, 331, 331, 3]`` → ``[batch, classes]``. In poolings of ``like=\"timm\"`` padding does not count.",
        input_shape=(331, 331, 3), penultimate_filters=4032, num_blocks=6, stem_block_filters=96,
    )
)  # fmt: skip
