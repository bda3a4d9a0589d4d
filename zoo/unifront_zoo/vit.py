"""Vision transformers (Dosovitskiy et al. 2021), with the weights of torchvision and timm."""

from collections.abc import Callable
from typing import Any

import unifront as uf
from unifront import layers, ops


class ClassToken(layers.Layer):
    """Puts a learned vector before a sequence: ``[batch, steps, width]`` → ``[batch, 1 + steps, width]``."""

    def build(self, shape: Any) -> None:
        self.token = self.add_weight((1, 1, shape[-1]), "zeros", name="token")

    def call(self, x: Any) -> Any:
        return ops.concatenate([ops.zeros_like(x[:, :1]) + self.token, x], axis=1)


class PositionEmbedding(layers.Layer):
    """Adds a learned vector to each step of ``[batch, steps, width]``."""

    def build(self, shape: Any) -> None:
        normal = uf.initializers.RandomNormal(stddev=0.02)
        self.embedding = self.add_weight((1, *shape[1:]), normal, name="embedding")

    def call(self, x: Any) -> Any:
        return x + self.embedding


def _block(x: Any, heads: int, hidden: int, dropout: float, attention_dropout: float, name: str) -> Any:
    width = x.shape[-1]
    y = layers.LayerNormalization(epsilon=1e-6, name=f"{name}_norm_1")(x)
    y = layers.MultiHeadAttention(heads, width // heads, dropout=attention_dropout, name=f"{name}_attention")(
        y, y
    )
    x = layers.Add(name=f"{name}_add_1")([x, layers.Dropout(dropout, name=f"{name}_drop_1")(y)])
    y = layers.LayerNormalization(epsilon=1e-6, name=f"{name}_norm_2")(x)
    y = layers.Dense(hidden, activation="gelu", name=f"{name}_dense_1")(y)
    y = layers.Dropout(dropout, name=f"{name}_drop_2")(y)
    y = layers.Dense(width, name=f"{name}_dense_2")(y)
    return layers.Add(name=f"{name}_add_2")([x, layers.Dropout(dropout, name=f"{name}_drop_3")(y)])


def _depth(model: uf.Model) -> int:
    return sum(layer.name.endswith("_attention") for layer in model.layers)


def _torchvision(model: uf.Model) -> dict[str, str]:
    names = {"conv_proj": "patches", "class_token": "class_token", "encoder.pos_embedding": "positions"}
    for i in range(_depth(model)):
        there, here = f"encoder.layers.encoder_layer_{i}", f"block{i + 1}"
        names |= {f"{there}.ln_1": f"{here}_norm_1", f"{there}.ln_2": f"{here}_norm_2"}
        names[f"{there}.self_attention"] = f"{here}_attention"
        names |= {f"{there}.mlp.0": f"{here}_dense_1", f"{there}.mlp.3": f"{here}_dense_2"}
        # as torchvision called them until 0.12, and as its files still do
        names |= {f"{there}.mlp.linear_1": f"{here}_dense_1", f"{there}.mlp.linear_2": f"{here}_dense_2"}
    return names | {"encoder.ln": "norm", "heads.head": "predictions"}


def _timm(model: uf.Model) -> dict[str, str]:
    names = {"patch_embed.proj": "patches", "cls_token": "class_token", "pos_embed": "positions"}
    for i in range(_depth(model)):
        there, here = f"blocks.{i}", f"block{i + 1}"
        names |= {f"{there}.norm1": f"{here}_norm_1", f"{there}.norm2": f"{here}_norm_2"}
        names |= {f"{there}.attn": f"{here}_attention"}
        names |= {f"{there}.mlp.fc1": f"{here}_dense_1", f"{there}.mlp.fc2": f"{here}_dense_2"}
    return names | {"norm": "norm", "head": "predictions"}


_MODELS = {
    "ti_16": (16, 192, 12, 3, 5_717_416, 1.3, ("timm",)),
    "s_16": (16, 384, 12, 6, 22_050_664, 4.6, ("timm",)),
    "b_16": (16, 768, 12, 12, 86_567_656, 17.6, ("torchvision", "timm")),
    "b_32": (32, 768, 12, 12, 88_224_232, 4.4, ("torchvision", "timm")),
    "l_16": (16, 1024, 24, 16, 304_326_632, 61.6, ("torchvision", "timm")),
    "l_32": (32, 1024, 24, 16, 306_535_400, 15.4, ("torchvision", "timm")),
    "h_14": (14, 1280, 32, 16, 632_045_800, 167.3, ("torchvision", "timm")),
}
"""Size of patches, width, depth, heads, parameters, 10⁹ multiply-adds, publishers."""


def _define(size: str) -> None:
    patch, own_width, own_depth, own_heads, parameters, flops, publishers = _MODELS[size]
    name = f"vit_{size}"

    def build(
        input_shape: tuple[int, int, int] = (224, 224, 3),
        classes: int | None = 1000,
        classifier_activation: str | Callable[..., Any] | None = "softmax",
        patch_size: int = patch,
        width: int = own_width,
        depth: uf.zoo.Depth = own_depth,
        heads: int = own_heads,
        dropout: float = 0.0,
        attention_dropout: float = 0.0,
    ) -> uf.Model:
        rows, columns = (size // patch_size if isinstance(size, int) else 0 for size in input_shape[:2])
        if (rows * patch_size, columns * patch_size) != tuple(input_shape[:2]) or not rows * columns:
            raise uf.errors.ArgumentError(
                f"{name} has an embedding for each patch of {patch_size}×{patch_size}: height and width are "
                f"multiples of {patch_size}, not {input_shape[0]} and {input_shape[1]}."
            )
        image = uf.Input(input_shape, name="image")
        x = layers.Conv2D(width, patch_size, strides=patch_size, name="patches")(image)
        x = layers.Reshape((rows * columns, width), name="sequence")(x)
        x = ClassToken(name="class_token")(x)
        x = PositionEmbedding(name="positions")(x)
        x = layers.Dropout(dropout, name="drop")(x)
        for i in range(depth):
            x = _block(x, heads, 4 * width, dropout, attention_dropout, f"block{i + 1}")
        x = layers.LayerNormalization(epsilon=1e-6, name="norm")(x)
        if classes is not None:
            x = layers.Dense(classes, activation=classifier_activation, name="predictions")(x[:, 0])
        return uf.Model(image, x, name=name)

    build.__name__ = build.__qualname__ = name
    title = size.replace("_", "/").title()
    build.__doc__ = f"""ViT-{title}: {parameters / 1e6:.1f} M parameters, {flops} G multiply-adds.

    Images ``[batch, height, width, 3]`` (normalized by ImageNet's mean and deviation for torchvision's weights, to
    [-1, 1] for most of timm's) → probabilities ``[batch, classes]``, or for ``classes=None`` the normalized sequence
    ``[batch, 1 + patches, {own_width}]``, the class token first.

    Args:
        input_shape: height and width are multiples of ``patch_size``; weights are for one size.
        classes, classifier_activation: None leaves out the classifier, or its activation.
        patch_size, width, depth, heads: the design; the hidden layers are four times as wide.
        dropout, attention_dropout: in training, of what blocks add, and of attention's weights.

    Raises `ArgumentError` for another height or width.
    """
    peers = {"torchvision": _torchvision, "timm": _timm}
    globals()[name] = uf.zoo.register(
        name, source="Dosovitskiy et al. 2021; torchvision, timm", parameters=parameters,
        peers={who: peers[who] for who in publishers},
    )(build)  # fmt: skip


for _size in _MODELS:
    _define(_size)
