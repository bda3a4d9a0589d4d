"""Small data on disk, and recipes as text."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
from PIL import Image

from unifront.recipes import building, running, schema
from unifront.recipes.data import Prepared
from unifront.recipes.text import of_text


def images(folder: Path, classes: Mapping[str, int], sizes: tuple[tuple[int, int], ...] = ((8, 8),)) -> Path:
    """A folder of each class, of images that are brighter from class to class; of several sizes and modes."""
    rng = np.random.default_rng(0)
    for number, (name, count) in enumerate(classes.items()):
        (folder / name).mkdir(parents=True)
        for i in range(count):
            width, height = sizes[i % len(sizes)]
            pixels = rng.integers(0, 60, (height, width, 3)) + 180 * number // max(len(classes) - 1, 1)
            ending = ("png", "jpg", "bmp")[i % 3]
            Image.fromarray(pixels.astype(np.uint8)).save(folder / name / f"{i}.{ending}")
    return folder


def prepared(text: str) -> Prepared:
    """The data of a recipe."""
    found = of_text(text, "r.yaml")
    return building.prepared(found, schema.checked(found))


def build(text: str) -> object:
    """All of a recipe up to training."""
    found = of_text(text, "r.yaml")
    recipe = schema.checked(found)
    data = building.prepared(found, recipe)
    model = building.model_of(found, recipe, data, "model")
    running._compile(found, recipe, data, model, "numpy")
    running._callbacks(found, recipe, Path("out"))
    return model
