"""Folders of images as datasets."""

from __future__ import annotations

from typing import Any

import numpy as np

from unifront import ops
from unifront.errors import ArgumentError, DataError
from unifront.opset.data_format import image_data_format
from unifront.utils.examples import Part
from unifront.utils.folders import Folder
from unifront.utils.images import in_eight_bits, load_img

SUFFIXES = (".bmp", ".gif", ".jpeg", ".jpg", ".png")
CHANNELS = {"grayscale": 1, "rgb": 3, "rgba": 4}
INTERPOLATIONS = ("bilinear", "nearest", "bicubic", "area", "lanczos3", "lanczos5")


def image_dataset_from_directory(
    directory: Any,
    labels: Any = "inferred",
    label_mode: str | None = "int",
    class_names: Any = None,
    color_mode: str = "rgb",
    batch_size: int | None = 32,
    image_size: Any = (256, 256),
    shuffle: bool = True,
    seed: int | None = None,
    validation_split: float | None = None,
    subset: str | None = None,
    interpolation: str = "bilinear",
    follow_links: bool = False,
    crop_to_aspect_ratio: bool = False,
    pad_to_aspect_ratio: bool = False,
    data_format: str | None = None,
    format: str | None = None,
    verbose: bool = True,
) -> Any:
    """The images in a folder as a dataset of batches ``[batch, height, width, channels]``, float32 from 0 to 255.

    Args:
        directory: the folder; with ``labels="inferred"`` each folder in it is a class.
        labels: ``"inferred"``, None, or a list of ints, one for each file in the order of their paths.
        label_mode: ``"int"``: int32 ``[batch]``; ``"binary"``: float32 ``[batch, 1]``; ``"categorical"``: float32
            ``[batch, classes]``; None: no labels.
        class_names: the folders to take, in the order of their numbers; sorted unless given.
        color_mode: ``"grayscale"``, ``"rgb"`` or ``"rgba"``.
        batch_size: images in a batch; None: single ones.
        image_size: ``(height, width)``, or one int, to which images are resized.
        shuffle: whether images come in another order each epoch, and files are shuffled before they are split.
        seed: for that; needed where a share is split off.
        validation_split, subset: which share is held out, and what to give: ``"training"``, ``"validation"`` or
            ``"both"``, which gives a list of two.
        interpolation: one of bilinear, nearest, bicubic, area, lanczos3, lanczos5 (`uf.ops.image.resize`).
        follow_links: whether folders that links lead to are looked into.
        crop_to_aspect_ratio, pad_to_aspect_ratio: what keeps an image's proportions.
        data_format: where the channels are.
        format: None: a `uf.utils.PyDataset` of NumPy arrays; ``"tf"``: a ``tf.data.Dataset``; ``"grain"``: a
            ``grain.IterDataset``. (Keras's default is "tf".)
        verbose: whether the number of files is printed.

    The dataset has ``class_names``, ``file_paths``, ``map`` and ``take``. Pillow reads images when they are wanted.

    Raises `ArgumentError` for arguments that are none, `DataError` for a folder without images, and, when it is
    read, for a file that is no image. Source: ``keras.utils.image_dataset_from_directory``.

    Example::

        data = uf.utils.image_dataset_from_directory("flowers", image_size=(64, 64), validation_split=0.2,
                                                     subset="both", seed=0)
        model.fit(data[0], validation_data=data[1])
    """
    if color_mode not in CHANNELS:
        raise ArgumentError(
            f'`color_mode` must be one of {{"rgb", "rgba", "grayscale"}}. Received: color_mode={color_mode}'
        )
    size = (image_size, image_size) if isinstance(image_size, int) else image_size
    if not isinstance(size, list | tuple) or len(size) != 2:
        raise ArgumentError(
            f"Invalid `image_size` value. Expected a tuple of 2 integers. Received: image_size={image_size}"
        )
    height, width = size
    mode: Any = color_mode
    how = str(interpolation).lower()
    if how not in INTERPOLATIONS:
        raise ArgumentError(
            f"Argument `interpolation` should be one of {INTERPOLATIONS}. Received: interpolation={interpolation}"
        )
    if crop_to_aspect_ratio and pad_to_aspect_ratio:
        raise ArgumentError("Only one of `pad_to_aspect_ratio`, `crop_to_aspect_ratio` can be set to `True`.")
    where = data_format or image_data_format()
    if where not in ("channels_last", "channels_first"):
        raise ArgumentError(f"`data_format` is channels_last or channels_first. Received: {data_format!r}")

    def read(path: str) -> np.ndarray:
        pixels = np.asarray(in_eight_bits(load_img(path, color_mode=mode)), np.float32)
        pixels = pixels[:, :, None] if pixels.ndim == 2 else pixels
        if 0 in pixels.shape:
            raise DataError(f"{path} is an image of no pixels.")
        if pixels.shape[:2] != (height, width):
            pixels = ops.image.resize(
                pixels, (height, width), interpolation=how, crop_to_aspect_ratio=crop_to_aspect_ratio,
                pad_to_aspect_ratio=pad_to_aspect_ratio, data_format="channels_last",
            )  # fmt: skip
        return pixels.transpose(2, 0, 1) if where == "channels_first" else pixels

    folder = Folder(
        ("images", "image"), SUFFIXES, directory, labels, label_mode, class_names, batch_size, shuffle, seed,
        validation_split, subset, follow_links, format, verbose,
    )  # fmt: skip
    channels = CHANNELS[color_mode]
    shape = (channels, height, width) if where == "channels_first" else (height, width, channels)
    return folder.datasets(read, Part("float32", shape))
