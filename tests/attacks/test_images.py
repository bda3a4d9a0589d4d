"""Broken image files: each is read, or refused by an error of ours that names it."""

from __future__ import annotations

import io
import random
import warnings
import zlib
from collections import Counter
from pathlib import Path

import numpy as np
import pytest

import unifront as uf
from unifront.errors import DataError
from unifront.recipes.images import check_header, pixels_of

pillow = pytest.importorskip("PIL.Image")
NOTES = {"size": [6, 6], "color": "rgb", "resize": "pad"}


def good() -> list[bytes]:
    """Files of every kind that a folder of images may hold, small, with what the formats have of their own."""
    rng = np.random.default_rng(0)
    pixels = rng.integers(0, 255, (9, 12, 4)).astype(np.uint8)
    forms = [
        ("PNG", pixels, {}), ("PNG", pixels[..., :3], {"optimize": True}), ("PNG", pixels[..., 0].astype(np.uint16) * 257, {}),
        ("JPEG", pixels[..., :3], {"quality": 60}), ("JPEG", pixels[..., :3], {"progressive": True}), ("JPEG", pixels[..., 0], {}),
        ("GIF", pixels[..., 0], {}), ("BMP", pixels[..., :3], {}), ("BMP", pixels[..., 0], {}),
    ]  # fmt: skip
    found = []
    for form, array, options in forms:
        file = io.BytesIO()
        pillow.fromarray(array).save(file, form, **options)
        found.append(file.getvalue())
    return found


def mutated(rng: random.Random, file: bytes) -> bytes:
    data = bytearray(file)
    for _ in range(rng.randint(1, 4)):
        # More often at the beginning, where the sizes are.
        if not data:
            break
        at = rng.randrange(min(len(data), rng.choice((24, 64, 10**6))))
        kind = rng.randrange(6)
        if kind == 0:
            data[at] ^= 1 << rng.randrange(8)
        elif kind == 1:
            data[at : at + 4] = rng.choice((0, 1, 2**31, 2**32 - 1, 60_000)).to_bytes(
                4, rng.choice(("big", "little"))
            )
        elif kind == 2:
            del data[at : at + rng.randint(1, 8)]
        elif kind == 3:
            data[at:at] = rng.randbytes(rng.randint(1, 8))
        elif kind == 4 and len(data) > 1:
            del data[max(at, 1) :]
        else:
            data[at : at + 2] = data[-2:]
    return bytes(data)


@pytest.mark.parametrize("count", [300, pytest.param(30_000, marks=pytest.mark.slow)])
def test_mutated_images(count: int, tmp_path: Path) -> None:
    rng, files, path = random.Random(count), good(), tmp_path / "picture.png"
    seen, refusals = Counter[str](), set[str]()
    for file in files:
        path.write_bytes(file)
        assert pixels_of(NOTES, str(path)).shape == (6, 6, 3)
    for _ in range(count):
        path.write_bytes(mutated(rng, rng.choice(files)))
        for read in (check_header, uf.utils.load_img, lambda path: pixels_of(NOTES, path)):
            try:
                with warnings.catch_warnings():
                    warnings.simplefilter("ignore")  # Pillow's, of large images and odd metadata
                    read(str(path))
                seen["read"] += 1
            except DataError as error:
                seen["refused"] += 1
                refusals.add(str(error))
    assert all(text.startswith(f"{path} cannot be read as an image: ") for text in refusals), refusals
    assert max(map(len, refusals)) < 1000
    assert min(seen["read"], seen["refused"]) > count / 4


def test_an_image_of_more_pixels_than_there_may_be(tmp_path: Path) -> None:
    """Pillow's error for it is of no class that its other errors are."""
    data = bytearray(good()[0])
    data[16:24] = (60_000).to_bytes(4, "big") * 2
    path = tmp_path / "bomb.png"
    data[29:33] = zlib.crc32(data[12:29]).to_bytes(4, "big")
    path.write_bytes(data)
    for read in (check_header, uf.utils.load_img):
        with pytest.raises(DataError, match=r"bomb\.png cannot be read as an image: .*3600000000 pixels"):
            read(str(path))
