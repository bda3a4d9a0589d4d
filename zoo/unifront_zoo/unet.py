"""U-Net (Ronneberger et al. 2015)."""

from collections.abc import Callable
from typing import Any, Literal

import unifront as uf
from unifront import layers
from unifront_zoo._parts import ImageShape

HE = uf.initializers.HeNormal()


def _double(x: Any, filters: int, padding: str, name: str) -> Any:
    for i in (1, 2):
        x = layers.Conv2D(
            filters, 3, padding=padding, activation="relu", kernel_initializer=HE, name=f"{name}_conv{i}"
        )(x)
    return x


def _cropped(x: Any, like: Any, name: str) -> Any:
    """The middle of ``x`` of the height and width of ``like``; of free ones the first rows and columns."""
    if not all(isinstance(size, int) for size in x.shape[1:3]):
        return x[:, : like.shape[1], : like.shape[2]]
    cuts = [
        (here - there, (here - there) // 2) for here, there in zip(x.shape[1:3], like.shape[1:3], strict=True)
    ]
    borders = tuple((before, both - before) for both, before in cuts)
    return layers.Cropping2D(borders, name=name)(x) if any(both for both, _ in cuts) else x


@uf.zoo.register("unet", source="Ronneberger et al. 2015", parameters=31_030_658)
def unet(
    input_shape: ImageShape = (572, 572, 1),
    classes: int | None = 2,
    classifier_activation: str | Callable[..., Any] | None = "softmax",
    filters: int = 64,
    depth: uf.zoo.Depth = 4,
    dropout: float = 0.5,
    padding: Literal["valid", "same"] = "valid",
) -> uf.Model:
    """U-Net for segmentation: 31.0 M parameters, 168 G multiply-adds at 572×572.

    Images ``[batch, height, width, channels]`` → the probabilities of each pixel's class ``[batch, height - 184,
    width - 184, classes]``; with ``padding="same"`` of all pixels. ``classes=None`` gives the last features.

    Args:
        input_shape: each pooling halves an even height and width; with ``padding="same"`` they may be None, and
            what an image has beyond a multiple of 2^depth is then left off.
        classes, classifier_activation: None leaves out the classifier, or its activation.
        filters: of the first level; each level below has twice as many.
        depth: how many times the image is halved.
        dropout: at the end of the contracting path.
        padding: ``"valid"`` as in the paper, which crops what is joined, or ``"same"``.

    Raises `ArgumentError` for a size that does not halve evenly.
    """
    if padding == "valid" and None in input_shape:
        raise uf.errors.ArgumentError(
            'unet: a free height or width needs padding="same", which crops nothing.'
        )
    image = x = uf.Input(input_shape, name="image")
    kept = []
    for level in range(depth):
        x = _double(x, filters * 2**level, padding, f"down{level + 1}")
        if any(isinstance(size, int) and (size % 2 or size < 2) for size in x.shape[1:3]):
            raise uf.errors.ArgumentError(
                f"unet: images of {input_shape[0]}×{input_shape[1]} come to {x.shape[1]}×{x.shape[2]} at level "
                f"{level + 1}, which a pooling does not halve evenly. {_sizes(input_shape, depth, padding)}"
            )
        kept.append(x)
        x = layers.MaxPooling2D(2, name=f"down{level + 1}_pool")(x)
    x = layers.Dropout(dropout, name="drop")(_double(x, filters * 2**depth, padding, "bottom"))
    for level in reversed(range(depth)):
        name = f"up{level + 1}"
        x = layers.Conv2DTranspose(
            filters * 2**level, 2, strides=2, kernel_initializer=HE, name=f"{name}_deconv"
        )(x)
        x = layers.Concatenate(name=f"{name}_join")([_cropped(kept[level], x, f"{name}_crop"), x])
        x = _double(x, filters * 2**level, padding, name)
    if classes is not None:
        x = layers.Conv2D(classes, 1, activation=classifier_activation, name="predictions")(x)
    return uf.Model(image, x, name="unet")


def _sizes(given: ImageShape, depth: int, padding: str) -> str:
    """What sizes there are near those given."""
    # without padding, the two convolutions of each level take off 4, and those at the bottom need 5
    lost = sum(4 * 2**level for level in range(depth)) if padding == "valid" else 0
    least, step = 5 if padding == "valid" else 1, 2**depth
    near = [max(least, round(((size or 0) - lost) / step)) * step + lost for size in given[:2]]
    return f"Near them are {near[0]} and {near[1]}."
