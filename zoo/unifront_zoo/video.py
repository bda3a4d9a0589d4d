"""Video: C3D (Tran et al. 2015), R3D-18 and R(2+1)D-18 (Tran et al. 2018)."""

from collections.abc import Callable
from typing import Any

import unifront as uf
from unifront import layers

VideoShape = tuple[int | None, int | None, int | None, int]


@uf.zoo.register("c3d", source="Tran et al. 2015", parameters=79_991_015)
def c3d(
    input_shape: tuple[int, int, int, int] = (16, 112, 112, 3),
    classes: int | None = 487,
    classifier_activation: str | Callable[..., Any] | None = "softmax",
    units: int = 4096,
    dropout: float = 0.5,
) -> uf.Model:
    """C3D: 3×3×3 convolutions throughout, 80.0 M parameters for the 487 sports of Sports-1M, 38.5 G multiply-adds.

    Clips ``[batch, frames, height, width, 3]`` → probabilities ``[batch, classes]``, or the features of the last
    pooling ``[batch, 1, 4, 4, 512]`` for ``classes=None``.

    Args:
        input_shape: frames, height, width and channels.
        classes, classifier_activation: None leaves out the dense layers, or the last activation.
        units: of the two dense layers.
        dropout: after each of them.
    """
    clip = x = uf.Input(input_shape, name="clip")
    for i, (filters, convolutions) in enumerate(((64, 1), (128, 1), (256, 2), (512, 2), (512, 2)), 1):
        for letter in "ab"[:convolutions]:
            name = f"conv{i}{letter if convolutions > 1 else 'a'}"
            x = layers.Conv3D(filters, 3, padding="same", activation="relu", name=name)(x)
        # the first pooling keeps time, the last one keeps what is left of the borders
        size, padding = (1, 2, 2) if i == 1 else (2, 2, 2), "same" if i == 5 else "valid"
        x = layers.MaxPooling3D(size, strides=size, padding=padding, name=f"pool{i}")(x)
    if classes is not None:
        x = layers.Flatten(name="flatten")(x)
        for i in (6, 7):
            x = layers.Dense(units, activation="relu", name=f"fc{i}")(x)
            x = layers.Dropout(dropout, name=f"drop{i}")(x)
        x = layers.Dense(classes, activation=classifier_activation, name="predictions")(x)
    return uf.Model(clip, x, name="c3d")


def _norm(x: Any, name: str, relu: bool = True) -> Any:
    x = layers.BatchNormalization(momentum=0.9, epsilon=1e-5, name=name)(x)
    return layers.ReLU(name=f"{name}_relu")(x) if relu else x


def _conv(x: Any, filters: int, size: tuple[int, ...], strides: tuple[int, ...], name: str) -> Any:
    around = [one // 2 for one in size]
    if any(around):
        x = layers.ZeroPadding3D(tuple((one, one) for one in around), name=f"{name}_pad")(x)
    return layers.Conv3D(filters, size, strides=strides, use_bias=False, name=name)(x)


def _step(x: Any, filters: int, strides: int, middle: int | None, name: str) -> Any:
    """A 3×3×3 convolution; or one over space to ``middle`` channels, and one over time."""
    if middle is None:
        return _conv(x, filters, (3, 3, 3), (strides,) * 3, f"{name}_conv")
    x = _conv(x, middle, (1, 3, 3), (1, strides, strides), f"{name}_space")
    x = _norm(x, f"{name}_space_bn")
    return _conv(x, filters, (3, 1, 1), (strides, 1, 1), f"{name}_time")


def _block(x: Any, filters: int, strides: int, factored: bool, name: str) -> Any:
    start, channels = x, x.shape[-1]
    # so many that the two convolutions have about as many weights as the one
    middle = channels * filters * 27 // (channels * 9 + 3 * filters) if factored else None
    if strides > 1:
        start = _conv(x, filters, (1, 1, 1), (strides,) * 3, f"{name}_0_conv")
        start = _norm(start, f"{name}_0_bn", relu=False)
    x = _norm(_step(x, filters, strides, middle, f"{name}_1"), f"{name}_1_bn")
    x = _norm(_step(x, filters, 1, middle, f"{name}_2"), f"{name}_2_bn", relu=False)
    return layers.ReLU(name=f"{name}_relu")(layers.Add(name=f"{name}_add")([start, x]))


def _names(model: uf.Model) -> dict[str, str]:
    own = {layer.name for layer in model.layers}
    names = {"stem.0": "stem_conv", "stem.1": "stem_bn", "fc": "predictions"}
    if "stem_space" in own:
        names |= {
            "stem.0": "stem_space",
            "stem.1": "stem_space_bn",
            "stem.3": "stem_time",
            "stem.4": "stem_bn",
        }
    for stage in range(1, 5):
        for i in range(2):
            there, here = f"layer{stage}.{i}", f"layer{stage}_block{i + 1}"
            for j in (1, 2):
                names |= {f"{there}.conv{j}.0": f"{here}_{j}_conv", f"{there}.conv{j}.1": f"{here}_{j}_bn"}
                parts = {"0": "space", "1": "space_bn", "3": "time"}
                names |= {f"{there}.conv{j}.0.{k}": f"{here}_{j}_{part}" for k, part in parts.items()}
            names |= {f"{there}.downsample.0": f"{here}_0_conv", f"{there}.downsample.1": f"{here}_0_bn"}
    return {there: here for there, here in names.items() if here in own}


def _define(name: str, factored: bool, parameters: int, published: int, flops: float) -> None:
    def build(
        input_shape: VideoShape = (16, 112, 112, 3),
        classes: int | None = 400,
        classifier_activation: str | Callable[..., Any] | None = "softmax",
        width: int = 64,
    ) -> uf.Model:
        clip = uf.Input(input_shape, name="clip")
        if factored:
            x = _norm(_conv(clip, 45, (1, 7, 7), (1, 2, 2), "stem_space"), "stem_space_bn")
            x = _conv(x, width, (3, 1, 1), (1, 1, 1), "stem_time")
        else:
            x = _conv(clip, width, (3, 7, 7), (1, 2, 2), "stem_conv")
        x = _norm(x, "stem_bn")
        for stage in range(4):
            for i in range(2):
                strides, block = 2 if stage and not i else 1, f"layer{stage + 1}_block{i + 1}"
                x = _block(x, width * 2**stage, strides, factored, block)
        if classes is not None:
            x = layers.GlobalAveragePooling3D(name="avg_pool")(x)
            x = layers.Dense(classes, activation=classifier_activation, name="predictions")(x)
        return uf.Model(clip, x, name=name)

    build.__name__ = build.__qualname__ = name
    kind = (
        "R(2+1)D-18: convolutions over space and over time in turn" if factored else "R3D-18: ResNet in 3-D"
    )
    build.__doc__ = f"""{kind}, {published / 1e6:.1f} M parameters, {flops} G multiply-adds.

    Clips ``[batch, frames, height, width, 3]`` (normalized, for torchvision's weights) → probabilities
    ``[batch, classes]``, or the last features ``[batch, frames/8, height/16, width/16, 512]`` for ``classes=None``.

    Args:
        input_shape: frames, height and width may be None.
        classes, classifier_activation: None leaves out the classifier, or its activation.
        width: filters of the first stage; each later one has twice as many.
    """
    globals()[name] = uf.zoo.register(
        name, source="Tran et al. 2018; torchvision", parameters=parameters, peers={"torchvision": _names}
    )(build)


_define("r3d_18", False, 33_381_072, 33_371_472, 40.7)
_define("r2plus1d_18", True, 31_530_675, 31_505_325, 40.5)
