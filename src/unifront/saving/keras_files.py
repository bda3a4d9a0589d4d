"""Keras's files of weights: HDF5 of Keras 3 (``.weights.h5``), of Keras 1 and 2 (``.h5``), and ``.keras``.

HDF5 is read by ``h5py``. What can lead outside of the file or make more of it than is there (external and soft
links, external storage, virtual datasets) is refused, and the shape of an array is compared with the model's before any
of it is read. A file that is broken beneath that is the HDF5 library's to find.
"""

from __future__ import annotations

import io
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any, BinaryIO

import ml_dtypes
import numpy as np

from unifront.errors import ArgumentError, BackendMissing, FileFormatError
from unifront.layers.layer import Layer
from unifront.model import Model
from unifront.saving.archives import check_stored, opened
from unifront.saving.keras_tree import groups
from unifront.saving.stored import Stored
from unifront.weights import Variable

MAGIC = b"\x89HDF\r\n\x1a\n"
WEIGHTS, CONFIG = "model.weights.h5", "config.json"
"""The entries of a ``.keras`` file that are read."""
_OBJECTS, _DEPTH, _NAMES = 200_000, 64, 1_000_000
"""The most groups and arrays in a file, how deep they lie, and the most names in an attribute."""
_BESIDE = ("optimizer", "loss_tracker", "compile_metrics", "compile_loss", "metrics", "seed_generator")
"""Groups of what is trained with, not of the model."""


def h5py() -> Any:
    """The package ``h5py``; `BackendMissing` with what to type where it is not installed."""
    try:
        import h5py as package
    except ImportError as error:
        raise BackendMissing(
            "Keras's files of weights are HDF5, which the package h5py reads. Install it: "
            "pip install 'unifront[keras-files]'"
        ) from error
    return package


@contextmanager
def hdf5(source: Path | BinaryIO) -> Iterator[Any]:
    """The HDF5 file at a path or in memory."""
    with h5py().File(source, "r") as file:
        yield file


@contextmanager
def weights_file(path: Path, is_zip: bool) -> Iterator[Any]:
    """The HDF5 of a file of Keras's, which in a ``.keras`` is an entry of the zip."""
    if not is_zip:
        with hdf5(path) as file:
            yield file
        return
    with opened(path) as archive:
        names = {info.filename for info in archive.infolist()}
        if WEIGHTS not in names:
            raise FileFormatError(f"it has no {WEIGHTS}, but {', '.join(sorted(names)[:5])[:300]}")
        check_stored(archive.getinfo(WEIGHTS), path.stat().st_size, "a .keras file")
        content = io.BytesIO(archive.read(WEIGHTS))
    with hdf5(content) as file:
        yield file


def arrays(file: Any) -> dict[str, Stored]:
    """Every array in an HDF5 file, by its path."""
    package = h5py()
    found: dict[str, Stored] = {}
    count = 0

    def walk(group: Any, path: str, depth: int) -> None:
        nonlocal count
        if depth > _DEPTH:
            raise FileFormatError(f"its groups lie more than {_DEPTH} deep")
        for key in group:
            count += 1
            if count > _OBJECTS:
                raise FileFormatError(f"it has more than {_OBJECTS} groups and arrays")
            place = f"{path}/{key}" if path else key
            if not isinstance(group.get(key, getlink=True), package.HardLink):
                raise FileFormatError(f"{place[:200]} is a link, which may lead outside of the file")
            one = group[key]
            if isinstance(one, package.Group):
                walk(one, place, depth + 1)
            elif isinstance(one, package.Dataset):
                found[place] = _stored(one, place)

    walk(file, "", 0)
    return found


def _stored(dataset: Any, name: str) -> Stored:
    if dataset.is_virtual or dataset.external:
        raise FileFormatError(f"{name[:200]} keeps its numbers in another file")
    if dataset.dtype.kind == "V" and dataset.attrs.get("dtype") == "bfloat16" and dataset.dtype.itemsize == 2:
        brain = np.dtype(ml_dtypes.bfloat16)
        return Stored(name, tuple(map(int, dataset.shape)), brain, lambda: _read(dataset).view(brain))
    if dataset.shape is None or dataset.dtype.kind not in "biuf":
        raise FileFormatError(f"{name[:200]} is no array of numbers, but {str(dataset.dtype)[:80]}")
    return Stored(name, tuple(map(int, dataset.shape)), dataset.dtype, partial(_read, dataset))


def _read(dataset: Any) -> np.ndarray:
    return np.asarray(dataset[()])


# ---------------------------------------------------------------- Keras 3


def of_model(file: Any) -> dict[str, Stored]:
    """Every array in a file of Keras 3 but those of what is trained with, by its place as it is called now."""
    return {_today(name): one for name, one in arrays(file).items() if not _is_beside(name)}


def by_groups(model: Model, found: Mapping[str, Stored]) -> tuple[dict[str, Stored], list[str]]:
    """The arrays of a file of Keras 3 by the paths of the model's variables, and the names of those left over."""
    rest = dict(found)
    paths = model.variable_paths()
    given: dict[str, Stored] = {}
    for group, _, weights in groups(model):
        for number, weight in enumerate(weights):
            stored = rest.pop(f"{group}/vars/{number}" if group else f"vars/{number}", None)
            if stored is not None:
                given[paths[id(weight)]] = stored
    return given, sorted(rest)


def _today(name: str) -> str:
    """A place in a file of Keras 2.12 or before, as it is called now."""
    return name.replace("_layer_checkpoint_dependencies", "layers")


def _is_beside(name: str) -> bool:
    parts = name.split("/")
    return parts[0] in _BESIDE or "seed_generator" in parts


_OTHER_SLOTS = ("Adafactor", "LossScaleOptimizer", "MultiOptimizer")
"""Optimizers whose variables are not those of Keras's, one by one."""


def has_keras_slots(model: Model) -> bool:
    """Whether the optimizer that ``model`` is compiled with, if any, keeps the variables that Keras's keeps."""
    return not model.compiled or type(model.optimizer).__name__ not in _OTHER_SLOTS


def optimizer_variables(model: Model) -> list[Variable]:
    """The variables of the optimizer that ``model`` is compiled with, its slots made, in Keras's order.

    Raises `ArgumentError` for an optimizer that keeps others than Keras's does.
    """
    if not model.compiled or model.optimizer is None:
        return []
    optimizer = model.optimizer
    if not has_keras_slots(model):
        raise ArgumentError(
            f"{type(optimizer).__name__} keeps other slots than Keras's; save the model as .uf, or compile it anew "
            "before saving."
        )
    optimizer.build(model.trainable_weights)
    return list(optimizer.variables)


# ---------------------------------------------------------------- Keras 1 and 2


def is_legacy(file: Any) -> bool:
    """Whether an HDF5 file says the names of its layers, as those before Keras 3 do."""
    return "model_weights" in file or any(key.startswith("layer_names") for key in file.attrs)


def legacy_layers(file: Any) -> dict[str, list[Stored]]:
    """The weights of each layer that has some, in the order of a file from before Keras 3."""
    root = _group(file, "model_weights") if "model_weights" in file else file
    found: dict[str, list[Stored]] = {}
    for layer in _names(root, "layer_names"):
        group = _group(root, layer)
        weights = [_dataset(group, name, f"{layer}/{name}") for name in _names(group, "weight_names")]
        if weights:
            found[layer] = weights
    if "top_level_model_weights" in root:
        top = _group(root, "top_level_model_weights")
        weights = [_dataset(top, name, name) for name in _names(top, "weight_names")]
        if weights:
            found[""] = weights
    return found


def _names(group: Any, attribute: str) -> list[str]:
    """The texts in an attribute, which is in several parts if it is long."""
    keys = [attribute] if attribute in group.attrs else []
    while not keys or keys[-1] != attribute:
        key = f"{attribute}{len(keys)}"
        if key not in group.attrs:
            break
        keys.append(key)
    names: list[str] = []
    for key in keys:
        if group.attrs.get_id(key).get_space().get_simple_extent_npoints() > _NAMES:
            raise FileFormatError(f"its attribute {key} has more than {_NAMES} names")
        given = np.atleast_1d(group.attrs[key])
        names += [name.decode("utf-8") if isinstance(name, bytes) else str(name) for name in given.tolist()]
    return names


def _inside(group: Any, path: str) -> Any:
    """What lies at ``path`` in a group, reached by no link that could lead outside."""
    package = h5py()
    parts = [part for part in path.split("/") if part]
    if not parts or ".." in parts or "." in parts:
        raise FileFormatError(f"it speaks of a group {path[:200]!r}")
    for part in parts:
        link = group.get(part, getlink=True) if isinstance(group, package.Group) else None
        if not isinstance(link, package.HardLink):
            raise FileFormatError(f"it speaks of {path[:200]!r}, which is not in it or is a link")
        group = group[part]
    return group


def _group(file: Any, path: str) -> Any:
    found = _inside(file, path)
    if not isinstance(found, h5py().Group):
        raise FileFormatError(f"{path[:200]!r} in it is no group")
    return found


def _dataset(group: Any, path: str, name: str) -> Stored:
    found = _inside(group, path)
    if not isinstance(found, h5py().Dataset):
        raise FileFormatError(f"{name[:200]!r} in it is no array")
    return _stored(found, name)


def by_layers(model: Model, found: Mapping[str, Sequence[Stored]]) -> tuple[dict[str, Stored], list[str]]:
    """The arrays of a file from before Keras 3 by the paths of the model's variables, and the names of those left over.

    Layers are found by name; where the names are not the model's (Keras numbered them by itself), by their order.
    """
    paths = model.variable_paths()
    ours = {layer.name: _in_legacy_order(layer) for layer in model.layers}
    ours = {name: weights for name, weights in ours.items() if weights}
    top = list(model._weights)
    theirs = {name: list(weights) for name, weights in found.items()}
    if top:
        ours[""] = top
    if not set(theirs) <= set(ours) and not set(ours) <= set(theirs):
        theirs = dict(zip([*ours, *list(theirs)[len(ours) :]], theirs.values(), strict=False))
    given: dict[str, Stored] = {}
    extra: list[str] = []
    for name, stored in theirs.items():
        weights = ours.get(name, [])
        given |= {paths[id(weight)]: one for weight, one in zip(weights, stored, strict=False)}
        extra += [one.name for one in stored[len(weights) :]]
    return given, extra


def _in_legacy_order(layer: Layer) -> list[Variable]:
    """A layer's weights: those that are trainable, however frozen they are, before the others."""
    return sorted(layer.weights, key=lambda weight: not weight.trainable)
