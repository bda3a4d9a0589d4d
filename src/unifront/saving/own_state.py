"""What layers keep in Keras's files by themselves: `save_own_variables` and `save_assets`, and what reads them again.

A layer's class that overrides `Layer.save_own_variables` says what is in its group of the HDF5 file; one with a method
``save_assets(folder)`` has files of its own, which in a ``.keras`` file are ``assets/GROUP/…``. Source:
``keras.src.saving.saving_lib`` (Keras 3.15).
"""

from __future__ import annotations

import zipfile
from collections.abc import Iterable, Mapping
from math import prod
from pathlib import Path, PurePosixPath
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np

from unifront import ops
from unifront.errors import ArgumentError, FileFormatError
from unifront.layers.kept import has_own
from unifront.layers.layer import Layer
from unifront.saving.keras_tree import groups
from unifront.saving.stored import Stored

ASSETS = "assets/"
"""What the names of a ``.keras`` file's entries that are layers' own files begin with."""
_FILES = 10_000
"""The most of them."""


# ---------------------------------------------------------------- variables


def written(layer: Layer) -> dict[str, np.ndarray]:
    """What a layer puts into its group, by name."""
    store: dict[Any, Any] = {}
    layer.save_own_variables(store)
    found = {str(name): np.asarray(ops.convert_to_numpy(value)) for name, value in store.items()}
    for name, value in found.items():
        if value.dtype.kind not in "biufV":
            raise ArgumentError(
                f"{type(layer).__name__}.save_own_variables: {name!r} is an array of {value.dtype}; files of weights "
                "hold numbers."
            )
    return found


def parts(model: Layer, found: dict[str, Stored]) -> list[tuple[Layer, dict[str, Stored]]]:
    """The layers that read their groups themselves, and what is in these, which is taken out of ``found``."""
    own = []
    for group, layer, _ in groups(model):
        if has_own(layer, "load_own_variables"):
            before = f"{group}/vars/" if group else "vars/"
            names = [name for name in found if name.startswith(before)]
            own.append((layer, {name.removeprefix(before): found.pop(name) for name in names}))
    return own


def read(
    own: Iterable[tuple[Layer, Mapping[str, Stored]]], limit: int
) -> list[tuple[Layer, dict[str, np.ndarray]]]:
    """The arrays of those groups. What has more bytes than ``limit``, the file's, is refused before it is read."""
    total = sum(one.dtype.itemsize * prod(one.shape) for _, store in own for one in store.values())
    if total > limit:
        raise FileFormatError(f"what layers read themselves has {total} bytes, more than the file")
    return [(layer, {name: one.read() for name, one in store.items()}) for layer, store in own]


# ---------------------------------------------------------------- files


def write_assets(model: Layer, archive: zipfile.ZipFile) -> None:
    """Let layers write files of their own, and put these into the archive."""
    for group, layer, _ in groups(model):
        if has_own(layer, "save_assets"):
            with TemporaryDirectory() as folder:
                layer.save_assets(folder)  # type: ignore[attr-defined]  # its class has it
                for file in sorted(Path(folder).rglob("*")):
                    if file.is_file():
                        archive.write(file, PurePosixPath(ASSETS, group, file.relative_to(folder)).as_posix())


def check_assets(entries: Iterable[zipfile.ZipInfo], size: int) -> None:
    """Refuse files of layers that would lie elsewhere than in their folder, that are too many, or larger than theirs,
    which has ``size`` bytes."""
    entries = list(entries)
    if len(entries) > _FILES or sum(one.file_size for one in entries) > size:
        raise FileFormatError(f"the files of its layers are more than {_FILES}, or than {size} bytes")
    for one in entries:
        path = PurePosixPath(one.filename)
        if (
            ".." in path.parts
            or "\\" in one.filename
            or ":" in one.filename
            or path.as_posix() != one.filename
        ):
            raise FileFormatError(f"{one.filename[:200]} leads out of the folder that it is for")


def read_assets(model: Layer, archive: zipfile.ZipFile) -> None:
    """Give layers the files that they have written.

    Raises `FileFormatError` for a file that no layer reads.
    """
    entries = {one.filename.removeprefix(ASSETS): one for one in archive.infolist() if is_asset(one)}
    readers = {group: layer for group, layer, _ in groups(model) if has_own(layer, "load_assets")}
    for name in entries:
        if not any(name.startswith(f"{group}/" if group else "") for group in readers):
            raise FileFormatError(
                f"it holds {ASSETS}{name[:200]}, and the model has no layer there with load_assets"
            )
    if not readers:
        return
    with TemporaryDirectory() as folder:
        for one in entries.values():
            archive.extract(one, folder)
        for group, layer in readers.items():
            place = Path(folder, ASSETS, group)
            place.mkdir(parents=True, exist_ok=True)
            layer.load_assets(str(place))  # type: ignore[attr-defined]  # its class has it


def is_asset(entry: zipfile.ZipInfo) -> bool:
    """Whether an entry is a file of a layer's own; empty ones that say that there is a folder are none."""
    return entry.filename.startswith(ASSETS) and not entry.is_dir()
