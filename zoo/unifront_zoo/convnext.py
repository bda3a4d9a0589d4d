"""ConvNeXt, tiny to xlarge (Liu et al. 2022).

Layers, names and order of weights are those of Keras Applications; torchvision's and timm's weights are for the same
model without the normalization of images before it.
"""

from collections.abc import Callable, Sequence
from typing import Any

import unifront as uf
from unifront import layers
from unifront_zoo._parts import ImageShape, LayerScale, chosen, dropped_path

MEAN, DEVIATION = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
"""ImageNet's, for each channel of images in [0, 1]."""


def _norm(name: str) -> Any:
    return layers.LayerNormalization(epsilon=1e-6, name=name)


def _block(x: Any, filters: int, drop: float, scale: float | None, name: str) -> Any:
    start = x
    x = layers.Conv2D(filters, 7, padding="same", groups=filters, name=f"{name}_depthwise_conv")(x)
    x = _norm(f"{name}_layernorm")(x)
    x = layers.Dense(4 * filters, name=f"{name}_pointwise_conv_1")(x)
    x = layers.Activation("gelu", name=f"{name}_gelu")(x)
    x = layers.Dense(filters, name=f"{name}_pointwise_conv_2")(x)
    if scale is not None:
        x = LayerScale(scale, filters, name=f"{name}_layer_scale")(x)
    return start + dropped_path(x, drop, f"{name}_stochastic_depth")


def _parts(model: uf.Model) -> tuple[str, list[int]]:
    """The prefix of the layers' names, and how many blocks each stage has."""
    own = {layer.name for layer in model.layers}
    prefix = next(name for name in own if name.endswith("_stem")).removesuffix("_stem")
    starts = [f"{prefix}_stage_{stage}_block_" for stage in range(4)]
    return prefix, [sum(f"{start}{j}_layernorm" in own for j in range(len(own))) for start in starts]


def _torchvision(model: uf.Model) -> dict[str, str]:
    prefix, depths = _parts(model)
    stem = f"{prefix}_stem/{prefix}_stem"
    names = {"features.0.0": f"{stem}_conv", "features.0.1": f"{stem}_layernorm"}
    for stage, depth in enumerate(depths):
        for j in range(depth):
            there, here = f"features.{2 * stage + 1}.{j}", f"{prefix}_stage_{stage}_block_{j}"
            parts = {
                "0": "depthwise_conv",
                "2": "layernorm",
                "3": "pointwise_conv_1",
                "5": "pointwise_conv_2",
            }
            names |= {f"{there}.block.{k}": f"{here}_{part}" for k, part in parts.items()}
            names[f"{there}.layer_scale"] = f"{here}_layer_scale"
        if stage < 3:
            down = f"{prefix}_downsampling_block_{stage}/{prefix}_downsampling"
            names[f"features.{2 * stage + 2}.0"] = f"{down}_layernorm_{stage}"
            names[f"features.{2 * stage + 2}.1"] = f"{down}_conv_{stage}"
    return names | {"classifier.0": f"{prefix}_head_layernorm", "classifier.2": f"{prefix}_head_dense"}


def _timm(model: uf.Model) -> dict[str, str]:
    prefix, depths = _parts(model)
    stem = f"{prefix}_stem/{prefix}_stem"
    names = {"stem.0": f"{stem}_conv", "stem.1": f"{stem}_layernorm"}
    for stage, depth in enumerate(depths):
        if stage:
            down = f"{prefix}_downsampling_block_{stage - 1}/{prefix}_downsampling"
            names[f"stages.{stage}.downsample.0"] = f"{down}_layernorm_{stage - 1}"
            names[f"stages.{stage}.downsample.1"] = f"{down}_conv_{stage - 1}"
        for j in range(depth):
            there, here = f"stages.{stage}.blocks.{j}", f"{prefix}_stage_{stage}_block_{j}"
            names |= {f"{there}.conv_dw": f"{here}_depthwise_conv", f"{there}.norm": f"{here}_layernorm"}
            names |= {f"{there}.mlp.fc{k}": f"{here}_pointwise_conv_{k}" for k in (1, 2)}
            names[f"{there}.gamma"] = f"{here}_layer_scale"
    return names | {"head.norm": f"{prefix}_head_layernorm", "head.fc": f"{prefix}_head_dense"}


_MODELS = {
    "tiny": ((3, 3, 9, 3), (96, 192, 384, 768), 28_589_128, 4.5),
    "small": ((3, 3, 27, 3), (96, 192, 384, 768), 50_223_688, 8.7),
    "base": ((3, 3, 27, 3), (128, 256, 512, 1024), 88_591_464, 15.4),
    "large": ((3, 3, 27, 3), (192, 384, 768, 1536), 197_767_336, 34.4),
    "xlarge": ((3, 3, 27, 3), (256, 512, 1024, 2048), 350_196_968, 60.9),
}
"""Blocks and filters of the four stages, parameters, 10⁹ multiply-adds at 224×224."""


def _define(size: str) -> None:
    own_depths, own_filters, parameters, flops = _MODELS[size]
    name = f"convnext_{size}"
    peers = {"timm": _timm} | ({} if size == "xlarge" else {"torchvision": _torchvision})

    def build(
        input_shape: ImageShape = (224, 224, 3),
        depths: Sequence[uf.zoo.Depth] = own_depths,
        projection_dims: tuple[int, ...] = own_filters,
        drop_path_rate: float = 0.0,
        layer_scale_init_value: float | None = 1e-6,
        include_preprocessing: bool = True,
        classes: int | None = 1000,
        classifier_activation: str | Callable[..., Any] | None = "softmax",
        like: str = "keras",
    ) -> uf.Model:
        normalize = chosen(like, {"keras": include_preprocessing, **dict.fromkeys(peers, False)})
        x = image = uf.Input(input_shape, name="image")
        if normalize and input_shape[-1] == 3:
            mean, variance = [255 * one for one in MEAN], [(255 * one) ** 2 for one in DEVIATION]
            x = layers.Normalization(mean=mean, variance=variance, name=f"{name}_prestem_normalization")(x)
        conv = layers.Conv2D(projection_dims[0], 4, strides=4, name=f"{name}_stem_conv")
        x = uf.Sequential([conv, _norm(f"{name}_stem_layernorm")], name=f"{name}_stem")(x)
        count, last = 0, max(sum(depths) - 1, 1)
        for stage, (depth, filters) in enumerate(zip(depths, projection_dims, strict=True)):
            if stage:
                down = _norm(f"{name}_downsampling_layernorm_{stage - 1}")
                conv = layers.Conv2D(filters, 2, strides=2, name=f"{name}_downsampling_conv_{stage - 1}")
                x = uf.Sequential([down, conv], name=f"{name}_downsampling_block_{stage - 1}")(x)
            for j in range(depth):
                drop = drop_path_rate * count / last
                x = _block(x, filters, drop, layer_scale_init_value, f"{name}_stage_{stage}_block_{j}")
                count += 1
        if classes is None:
            return uf.Model(image, _norm("layer_normalization")(x), name=name)
        x = layers.GlobalAveragePooling2D(name=f"{name}_head_gap")(x)
        x = _norm(f"{name}_head_layernorm")(x)
        x = layers.Dense(classes, activation=classifier_activation, name=f"{name}_head_dense")(x)
        return uf.Model(image, x, name=name)

    build.__name__ = build.__qualname__ = name
    build.__doc__ = f"""ConvNeXt, {size}: {parameters / 1e6:.1f} M parameters, {flops} G multiply-adds.

    Images ``[batch, height, width, 3]`` in [0, 255] → probabilities ``[batch, classes]``, or the last features
    ``[batch, height/32, width/32, {own_filters[-1]}]``, normalized, for ``classes=None``.

    Args:
        input_shape: height and width may be None.
        depths, projection_dims: blocks and filters of the stages.
        drop_path_rate: the share of samples that skip the last block in training; it grows from 0 at the first.
        layer_scale_init_value: first value of each block's scale; None leaves the scales out.
        include_preprocessing: whether the model normalizes [0, 255] itself (only like Keras).
        classes, classifier_activation: None leaves out the classifier, or its activation.
        like: ``"keras"``, or {" or ".join(f'``"{one}"``' for one in peers)}: images normalized before.
    """
    globals()[name] = uf.zoo.register(
        name, source="Liu et al. 2022; Keras Applications, torchvision, timm", parameters=parameters,
        keras=f"ConvNeXt{'XLarge' if size == 'xlarge' else size.title()}", peers=peers,
    )(build)  # fmt: skip


for _size in _MODELS:
    _define(_size)
