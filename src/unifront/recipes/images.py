"""Images in folders, one for each class; and the bundled digits."""

from __future__ import annotations

import importlib
import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np

import unifront as uf
from unifront import layers
from unifront.errors import ArgumentError, DataError
from unifront.recipes.data import Prepared, Read, count_classes, held_out
from unifront.recipes.schema import Images
from unifront.recipes.text import Text
from unifront.recipes.things import Maker, augmented
from unifront.utils.examples import WORKERS, Examples, Part
from unifront.utils.image_folder import CHANNELS, SUFFIXES
from unifront.utils.images import faults, load_img, why

IN_MEMORY = 2**29
"""Images of so many bytes in all are kept in memory; of more, those of a batch are read when it is due."""
BUNDLED = ("digits",)
DIGITS = [str(digit) for digit in range(10)]
_OF_DIGITS = {"size": [8, 8], "color": "grayscale"}
DEFAULT_SIZE = 224
_SPLITS = {"train", "training", "val", "valid", "validation", "test"}
_SHOWN = 3

NORMALIZATIONS: dict[str, tuple[float, Sequence[float], Sequence[float]]] = {
    "none": (1.0, (0.0,), (1.0,)),
    "unit": (1 / 255, (0.0,), (1.0,)),
    "tf": (1 / 127.5, (1.0,), (1.0,)),
    "torch": (1 / 255, (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)),
    "caffe": (1.0, (103.939, 116.779, 123.68), (1.0,)),
}
"""A factor, and the mean and deviation of what it gives: as ``keras.applications``' preprocess_input has them."""


def prepare(text: Text, given: Images, seed: int) -> Prepared:
    """The images that a recipe names."""
    if given.images in BUNDLED:
        every, labels, names, notes = _bundled(text, given)
        train, validation = held_out(labels, _share(text, given), seed)
        sets = [(every[part], labels[part]) for part in (train, validation)]
        return _prepared(text, given, sets[0], sets[1], len(train), names, notes)
    folder = _folder(text, ("data", "images"), given.images)
    names, paths, labels = files(folder)
    notes = _notes(given, names)
    paths, labels, pixels = _readable(text, given, notes, paths, labels)
    if isinstance(given.validation, str):
        other = of_classes(_folder(text, ("data", "validation"), given.validation), names)
        left, left_labels, more = _readable(text, given, notes, *other)
        pixels = {**pixels, **more} if pixels and more else {}
        order = np.random.default_rng(seed).permutation(len(paths))
        chosen = [([paths[i] for i in order], labels[order]), (left, left_labels)]
    else:
        parts = held_out(labels, given.validation, seed)
        chosen = [([paths[i] for i in part], labels[part]) for part in parts]
    sets = [
        _dataset(notes, *one, pixels, given.batch_size, seed, shuffle=i == 0) for i, one in enumerate(chosen)
    ]
    return _prepared(text, given, sets[0], sets[1], len(chosen[0][0]), names, notes)


def _bundled(text: Text, given: Images) -> tuple[np.ndarray, np.ndarray, list[str], dict[str, Any]]:
    for name in ("image_size", "color", "resize"):
        if name in given.model_fields_set:
            raise text.error(("data", name), "the bundled digits are gray, 8 x 8 pixels; leave this out.")
    pixels, labels = _digits()
    return pixels, labels, [*DIGITS], {**_notes(given, [*DIGITS]), **_OF_DIGITS}


def _digits() -> tuple[np.ndarray, np.ndarray]:
    (x, y), _ = uf.datasets.digits.load_data(test_split=0.0)
    return np.round(x[..., None] * (255 / 16)).astype(np.uint8), y.astype(np.int32)


def _share(text: Text, given: Images) -> float:
    if isinstance(given.validation, str):
        raise text.error(("data", "validation"), "of bundled images a share is held out, such as 0.2.")
    return given.validation


def _notes(given: Images, names: list[str]) -> dict[str, Any]:
    size = given.image_size or DEFAULT_SIZE
    height, width = (size, size) if isinstance(size, int) else size
    return {
        "kind": "images", "classes": names, "size": [height, width], "color": given.color,
        "resize": given.resize,
    }  # fmt: skip


def _folder(text: Text, key: tuple[str, ...], given: str) -> Path:
    folder = Path(given)
    if not folder.is_dir():
        bundled = f" Bundled: {', '.join(BUNDLED)}." if key[-1] == "images" else ""
        raise text.error(key, f"there is no folder {given!r}.{bundled}")
    return folder


def files(folder: Path) -> tuple[list[str], list[str], np.ndarray]:
    """The classes in a folder, the paths of their images, and the class of each. Raises `DataError` without two."""
    names = sorted(one.name for one in folder.iterdir() if one.is_dir() and one.name[0] != ".")
    if names and {name.lower() for name in names} <= _SPLITS:
        raise DataError(
            f"{folder} has the folders {', '.join(names)}, which look like parts of a data set, not classes. Name them "
            f"apart: data.images={folder / names[0]} data.validation={folder / names[-1]}"
        )
    if not names and (found := _images_in(folder)):
        raise DataError(
            f"{folder} has {len(found)} images, but no folders. Put those of each class into a folder called after it."
        )
    count_classes(names, f"The folder {folder}")
    return (names, *of_classes(folder, names))


def of_classes(folder: Path, names: list[str]) -> tuple[list[str], np.ndarray]:
    """The paths of the images of these classes, and the class of each."""
    found = {one.name for one in folder.iterdir() if one.is_dir() and one.name[0] != "."}
    odd = sorted(found - set(names))
    if odd:
        raise DataError(f"{folder} has a class {odd[0]!r} that is not known; known: {', '.join(names)}.")
    paths: list[str] = []
    labels: list[int] = []
    for number, name in enumerate(names):
        own = _images_in(folder / name)
        if not own:
            raise DataError(f"{folder / name} has no images ({', '.join(SUFFIXES)}).")
        paths += own
        labels += [number] * len(own)
    return paths, np.asarray(labels, np.int32)


def _images_in(folder: Path) -> list[str]:
    return sorted(
        os.path.join(root, name)
        for root, _, names in os.walk(folder)
        for name in names
        if name.lower().endswith(SUFFIXES) and name[0] != "."  # what macOS and editors put beside a file
    )


# ---------------------------------------------------------------- reading


def pixels_of(notes: dict[str, Any], path: str) -> np.ndarray:
    """An image as uint8 ``[height, width, channels]``, resized as ``notes`` say."""
    height, width = notes["size"]
    mode: Any = notes["color"]
    if notes["resize"] == "pad":
        image = load_img(path, color_mode=mode)
        if 0 in image.size:
            raise DataError(f"{path} cannot be read as an image: it has no pixels.")
        scale = min(height / image.size[1], width / image.size[0])
        inner = max(1, round(image.size[1] * scale)), max(1, round(image.size[0] * scale))
        pixels = _array(image.resize((inner[1], inner[0]), 2))  # Pillow's number of bilinear
        top, left = (height - inner[0]) // 2, (width - inner[1]) // 2
        bottom, right = height - inner[0] - top, width - inner[1] - left
        return np.pad(pixels, ((top, bottom), (left, right), (0, 0)))
    image = load_img(path, mode, (height, width), "bilinear", keep_aspect_ratio=notes["resize"] == "crop")
    return _array(image)


def check_header(path: str) -> None:
    """Raise `DataError` for what does not begin as an image."""
    pillow = importlib.import_module("PIL.Image")
    try:
        with pillow.open(path):
            pass
    except faults() as error:
        raise DataError(f"{path} cannot be read as an image: {why(error)}.") from error


def _array(image: Any) -> np.ndarray:
    if image.mode.startswith("I"):  # 16 bits of gray
        return (np.asarray(image, np.float32) / 257).round().clip(0, 255).astype(np.uint8)[:, :, None]
    pixels = np.asarray(image, np.uint8)
    return pixels[:, :, None] if pixels.ndim == 2 else pixels


def _readable(
    text: Text, given: Images, notes: dict[str, Any], paths: list[str], labels: np.ndarray
) -> tuple[list[str], np.ndarray, dict[str, np.ndarray]]:
    """The images that can be read, and their pixels if all fit into memory; those that cannot be read are left out, or
    an error."""
    kept = len(paths) * int(np.prod(_shape(notes))) <= IN_MEMORY
    pixels: dict[str, np.ndarray] = {}

    def fault(path: str) -> str:
        try:
            if kept:
                pixels[path] = pixels_of(notes, path)
            else:
                check_header(path)
        except DataError as error:
            return str(error).rstrip(".")
        return ""

    with ThreadPoolExecutor(WORKERS) as pool:
        reasons = list(pool.map(fault, paths))
    broken = [reason for reason in reasons if reason]
    if broken and not given.skip_broken:
        more = f"; and {len(broken) - _SHOWN} more" if len(broken) > _SHOWN else ""
        raise text.error(
            ("data", "images"),
            f"{len(broken)} of {len(paths)} files cannot be read: {'; '.join(broken[:_SHOWN])}{more}. "
            "data.skip_broken=true leaves them out.",
        )
    good = [i for i, reason in enumerate(reasons) if not reason]
    for number, name in enumerate(notes["classes"]):
        if not np.any(labels[good] == number):
            raise text.error(("data", "images"), f"no image of the class {name!r} can be read.")
    return [paths[i] for i in good], labels[good], pixels


def _shape(notes: dict[str, Any]) -> tuple[int, int, int]:
    height, width = notes["size"]
    return height, width, CHANNELS[notes["color"]]


def in_memory(notes: dict[str, Any], paths: Sequence[str]) -> np.ndarray:
    """Images as one array."""
    with ThreadPoolExecutor(WORKERS) as pool:
        return np.stack(list(pool.map(lambda path: pixels_of(notes, path), paths)))


def _dataset(
    notes: dict[str, Any], paths: list[str], labels: np.ndarray, pixels: dict[str, np.ndarray], batch_size: int,
    seed: int, shuffle: bool,
) -> Any:  # fmt: skip
    if not paths:
        return None
    if pixels:
        return np.stack([pixels[path] for path in paths]), labels
    return Examples(
        len(paths), lambda i: (pixels_of(notes, paths[i]), labels[i]),
        (Part("uint8", _shape(notes)), Part("int32", ())), batch_size=batch_size, shuffle=shuffle, seed=seed,
        class_names=notes["classes"], file_paths=paths,
    )  # fmt: skip


def again(notes: dict[str, Any], paths: Sequence[str], targets: bool) -> Read:
    """Images to predict, in folders or one by one; or, with ``targets``, a folder of classes to evaluate on. Bundled
    ones are called by their name."""
    if len(paths) == 1 and paths[0] in BUNDLED:
        return _bundled_again(notes, paths[0], targets)
    if targets:
        if len(paths) == 1 and not Path(paths[0]).exists():
            raise DataError(f"{paths[0]}: there is no such folder.")
        if len(paths) != 1 or not Path(paths[0]).is_dir():
            raise ArgumentError(
                f"Images are evaluated in a folder that has one of each class, which {' '.join(paths)} is not."
            )
        found, labels = of_classes(Path(paths[0]), notes["classes"])
        return Read(in_memory(notes, found), labels, found)
    every = [one for path in paths for one in (_images_in(Path(path)) if Path(path).is_dir() else [path])]
    if not every:
        raise DataError(f"There are no images in {', '.join(paths)} ({', '.join(SUFFIXES)}).")
    return Read(in_memory(notes, every), None, every)


def _bundled_again(notes: dict[str, Any], name: str, targets: bool) -> Read:
    other = {key: notes[key] for key, own in _OF_DIGITS.items() if notes[key] != own}
    if other or (targets and notes["classes"] != DIGITS):
        wanted = " ".join(f"{key}={value}" for key, value in other.items()) or ", ".join(notes["classes"])
        raise DataError(
            f"The bundled {name} are gray, 8 x 8 pixels, of the classes 0 … 9; the model is for others: {wanted}."
        )
    pixels, labels = _digits()
    return Read(pixels, labels if targets else None, [f"{name} {i + 1}" for i in range(len(pixels))])


# ---------------------------------------------------------------- before the layers


def normalized(how: str, x: Any) -> Any:
    """Pixels as `NORMALIZATIONS` says, by layers."""
    scale, mean, deviation = NORMALIZATIONS[how]
    if how == "caffe":  # blue, green, red
        x = uf.ops.flip(x, axis=-1)
    scales = [scale / one for one in deviation]
    offsets = [-one / wide for one, wide in zip(mean, list(deviation) * len(mean), strict=False)]
    single = len(scales) == len(offsets) == 1
    scales = scales * len(offsets) if len(scales) == 1 else scales
    return layers.Rescaling(scales[0], offsets[0])(x) if single else layers.Rescaling(scales, offsets)(x)


def _prepared(
    text: Text,
    given: Images,
    train: Any,
    validation: Any,
    count: int,
    names: list[str],
    notes: dict[str, Any],
) -> Prepared:
    if given.normalize in ("torch", "caffe") and notes["color"] != "rgb":
        raise text.error(
            ("data", "normalize"), f"{given.normalize} is for images in rgb, not {notes['color']}."
        )
    image = uf.Input(_shape(notes), name="image")

    def front(x: Any) -> Any:
        return normalized(given.normalize, augmented(Maker(text), given.augment, x))

    if isinstance(validation, tuple) and not len(validation[0]):
        validation = None
    return Prepared(train, validation, count, image, front, len(names), "classes", notes)
