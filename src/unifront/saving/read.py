"""Reading ``.uf`` files, all of which are taken as hostile."""

from __future__ import annotations

import json
import zipfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from unifront import safetensors, tree
from unifront.arguments import Location, checked
from unifront.errors import FileFormatError
from unifront.files import BROKEN, existing, reason
from unifront.graph_model import GraphModel
from unifront.graph_parts import Part
from unifront.ir.graph import Graph
from unifront.ir.text import parse_graph
from unifront.ir.types import TensorType
from unifront.ir.verify import verify
from unifront.model import Model
from unifront.opset.spec import OPS
from unifront.paths import path_of
from unifront.saving import constraints, layout
from unifront.saving.archives import check_stored, opened
from unifront.saving.compiled import compile_as
from unifront.saving.keras_load import load_keras, load_legacy
from unifront.saving.kinds import HDF5, KERAS_ZIP, keras_kind
from unifront.saving.orbax import is_orbax, load_orbax
from unifront.saving.write import FORMAT, LIMITS, VALUES, VERSION, values_in

_WEIGHTS = ("weights.safetensors", "optimizer.safetensors")
_DIRECTORY = 2**16
"""The most bytes of a zip's directory, which `zipfile` reads before anybody can look at it."""
_ELSEWHERE = {
    ".uf": "uf.load reads models.",
    ".safetensors": "model.load_weights reads weights alone.",
    ".onnx": "uf.from_onnx imports ONNX models.",
}
"""What reads the file that a suffix promises."""


@checked
def load(path: Location) -> Model:
    """The model in the ``.uf`` file at ``path``, ready to run, to train on and to export; or that in one of Keras's.

    A ``.keras`` file, the ``.h5`` that Keras 2 saved, or the latest checkpoint in a folder of `OrbaxCheckpoint`, gives
    the model with its layers. No code in a file is run and
    nothing is written. A loss or metric that was a function of the user's is not in it: give it to ``compile`` again.

    Raises `FileFormatError` naming file and reason for one that is broken, hostile or from a newer version.

    Example::

        model.save("digits.uf")
        again = uf.load("digits.uf")
    """
    return load_any(path)


def load_any(
    path: str | Path, custom_objects: Mapping[str, Any] | None = None, compile: bool = True
) -> Model:
    """`load`, with classes by name and without compiling if that is not wanted (both for Keras's files)."""
    folder = path_of(path)
    if is_orbax(folder):
        return load_orbax(folder, custom_objects, compile)
    path = existing(path)
    try:
        read = {KERAS_ZIP: load_keras, HDF5: load_legacy}.get(keras_kind(path) or "")
        return _load(path) if read is None else read(path, custom_objects, compile)
    except FileFormatError as error:
        text = reason(error)
        named = "" if text.startswith(str(path)) else f"{path}: "
        raise FileFormatError(f"{named}{text}.{elsewhere(path, '.uf')}") from None
    except BROKEN as error:
        hint = elsewhere(path, ".uf")
        raise FileFormatError(f"{path} is not a valid .uf file: {reason(error)}.{hint}") from error


def elsewhere(path: Path, suffix: str) -> str:
    """What reads the format that the name of ``path`` promises, if that is not ``suffix``."""
    other = path.suffix.lower()
    return f" {_ELSEWHERE[other]}" if other in _ELSEWHERE and other != suffix else ""


@contextmanager
def _reading(what: str) -> Iterator[None]:
    """Let errors say in which part of the file they are."""
    try:
        yield
    except BROKEN as error:
        raise FileFormatError(f"{what} cannot be read: {reason(error)}") from error


@contextmanager
def _opened(path: Path) -> Iterator[zipfile.ZipFile]:
    """The zip at ``path``, with the entries that it is to have."""
    with opened(path, _DIRECTORY) as archive:
        _check_entries(archive, path.stat().st_size)
        yield archive


def _load(path: Path) -> GraphModel:
    with _opened(path) as archive:
        manifest = _manifest(archive)
        graphs = {}
        for training, name in ((True, "training"), (False, "inference")):
            with _reading(f"{name}.graph"):
                graph = verify(parse_graph(archive.read(f"{name}.graph"), OPS))
            graphs[training] = _saved(manifest.get(name), graph)
        with _reading("layers.json"):
            text = _json(archive, "layers.json")
            told, calls = layout.parse(text, {training: part.graph for training, part in graphs.items()})
        graphs = {training: replace(part, calls=calls[training]) for training, part in graphs.items()}
        with _reading("constraints.graph"):
            ruled = verify(parse_graph(archive.read("constraints.graph"), OPS))
        _check_interfaces(graphs)
        wanted = _variables(graphs)
        weights = _arrays(archive, _WEIGHTS[0], wanted)
        slots = _arrays(archive, _WEIGHTS[1])
    called = manifest.get("name")
    if not isinstance(called, str) or not called or "/" in called:
        raise FileFormatError(f"the model's name is {str(called)[:80]!r}")
    with _reading("manifest.json"):
        inputs = _structure(manifest.get("inputs"), len(graphs[False].graph.data_inputs), "inputs")
        outputs = _structure(manifest.get("outputs"), graphs[False].output_count, "outputs")
    model = GraphModel(called, graphs, weights, (inputs, outputs), told)
    for path_, variable in model.variables_by_path.items():
        variable.assign(weights[path_], copy=False)
    with _reading("constraints.graph"):
        constraints.give(ruled, model.variables_by_path)
    model.metadata = manifest.get("metadata", {})
    if not isinstance(model.metadata, dict):
        raise FileFormatError("its metadata are no dict")
    if manifest.get("compiled") is not None:
        with _reading("manifest.json"):
            compile_as(model, manifest["compiled"], slots)
    elif slots:
        raise FileFormatError("it has an optimizer's slots, but no optimizer")
    return model


def _json(archive: zipfile.ZipFile, name: str) -> str:
    text = archive.read(name)
    if values_in(text) > VALUES[name]:
        raise FileFormatError(f"it has more than {VALUES[name]} values")
    return text.decode("utf-8")


def _manifest(archive: zipfile.ZipFile) -> dict[str, Any]:
    with _reading("manifest.json"):
        manifest = json.loads(_json(archive, "manifest.json"))
    if not isinstance(manifest, dict) or manifest.get("format") != FORMAT:
        raise FileFormatError("the manifest is not that of a unifront model")
    if type(manifest.get("version")) is not int or manifest["version"] != VERSION:
        raise FileFormatError(
            f"it has version {str(manifest.get('version'))[:80]}; this unifront reads version {VERSION}. "
            "Update unifront"
        )
    _check_needs(manifest.get("needs", []))
    return manifest


def _arrays(
    archive: zipfile.ZipFile, name: str, wanted: Mapping[str, TensorType] | None = None
) -> dict[str, np.ndarray]:
    """The arrays of an entry, which are those ``wanted`` if that is known."""
    with _reading(name), archive.open(name) as file:
        found = safetensors.places(file, archive.getinfo(name).file_size)  # type: ignore[arg-type]  # as in `save`
        if wanted is not None:
            _check_weights(wanted, found)
        return safetensors.arrays(file, found)  # type: ignore[arg-type]  # as in `save`


def _check_needs(names: Any) -> None:
    if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
        raise FileFormatError("the manifest does not say which operations it needs")
    missing = [name[:80] for name in names if name not in OPS]
    if missing:
        raise FileFormatError(
            f"it needs the operation {missing[0]!r}, which its author defined and which no others can stand for. "
            "Define it by uf.ops.define first"
        )


def _check_entries(archive: zipfile.ZipFile, size: int) -> None:
    infos = archive.infolist()
    expected = (*LIMITS, *_WEIGHTS)
    if sorted(info.filename for info in infos) != sorted(expected):
        names = ", ".join(repr(info.filename[:80]) for info in infos[:8])
        raise FileFormatError(f"it holds {names or 'nothing'}; expected {', '.join(expected)}")
    for info in infos:
        check_stored(info, size, "a .uf file")
        if info.file_size > LIMITS.get(info.filename, size):
            limit = LIMITS[info.filename]
            raise FileFormatError(f"{info.filename} has {info.file_size} bytes; at most {limit} are read")
    if sum(info.file_size for info in infos) > size:
        raise FileFormatError("its entries lie one over the other")


def _saved(told: Any, graph: Graph) -> Part:
    """``graph`` and what its outputs are, checked against each other."""
    if not isinstance(told, dict):
        raise FileFormatError(f"the manifest does not say what the outputs of {graph.name!r} are")
    masks, losses, updates, penalties = (told.get(key) for key in ("masks", "losses", "updates", "penalties"))
    if type(losses) is not int or not isinstance(masks, list) or not isinstance(updates, list):
        raise FileFormatError(f"the manifest does not say what the outputs of {graph.name!r} are")
    if not 0 <= losses <= len(graph.outputs) or any(not isinstance(path, str) for path in updates):
        raise FileFormatError(f"the manifest does not fit the outputs of {graph.name!r}")
    saved = Part(graph, tuple(masks), losses, tuple(updates), penalties=_penalties(penalties, losses, graph))
    count = saved.output_count
    if (
        count < 1
        or any(type(i) is not int or not 0 <= i < count for i in masks)
        or len(set(masks)) != len(masks)
    ):
        raise FileFormatError(f"the manifest does not fit the outputs of {graph.name!r}")
    for value in graph.outputs[count + len(masks) : len(graph.outputs) - len(updates)]:
        if value.type.rank or not value.type.dtype.is_float:
            raise FileFormatError(f"a loss of {graph.name!r} is {value.type}, no number")
    types = {seen.name: seen.value.type for seen in graph.variables}
    news = graph.outputs[len(graph.outputs) - len(updates) :]
    for path, value in zip(updates, news, strict=True):
        if types.get(path) != value.type:
            raise FileFormatError(f"{graph.name!r} updates {path[:80]!r}, which is no variable of its type")
    if len(set(updates)) != len(updates):
        raise FileFormatError(f"{graph.name!r} updates a variable twice")
    return saved


def _penalties(given: Any, losses: int, graph: Graph) -> tuple[str, ...]:
    """The variables whose regularizers are the last of the losses."""
    names = {seen.name for seen in graph.variables}
    if (
        not isinstance(given, list)
        or len(given) > losses
        or any(not isinstance(path, str) or path not in names for path in given)
        or len(set(given)) != len(given)
    ):
        raise FileFormatError(f"the manifest does not fit the losses of {graph.name!r}")
    return tuple(given)


def _variables(graphs: Mapping[bool, Part]) -> dict[str, TensorType]:
    """The variables of both graphs."""
    wanted: dict[str, TensorType] = {}
    for saved in graphs.values():
        for seen in saved.graph.variables:
            if wanted.setdefault(seen.name, seen.value.type) != seen.value.type:
                raise FileFormatError(f"the graphs disagree on the type of {seen.name[:200]!r}")
    return wanted


def _check_weights(wanted: Mapping[str, TensorType], found: Mapping[str, safetensors.Place]) -> None:
    if set(wanted) != set(found):
        odd = min(set(wanted) ^ set(found))
        where = "weights, but no graph uses it" if odd in found else "graphs, but has no value"
        raise FileFormatError(f"{odd[:200]!r} is in the {where}")
    for path, type_ in wanted.items():
        if not found[path].fits(type_):
            raise FileFormatError(f"{path[:200]!r} is {found[path]}; the graph says {type_}")


def _check_interfaces(graphs: Mapping[bool, Part]) -> None:
    training, inference = graphs[True], graphs[False]
    names, types = training.graph.input_names[:-1], [value.type for value in training.graph.inputs]
    if not names or len(set(names)) != len(names):
        raise FileFormatError("the model has no inputs, or two of one name")
    if types[-1].dtype.name != "key" or any(type_.dtype.name == "key" for type_ in types[:-1]):
        raise FileFormatError("the training graph does not take one random key, last")
    draws = len(inference.graph.inputs) == len(types)  # then it takes the key too
    wanted = types if draws else types[:-1]
    if (
        inference.graph.input_names[: len(names)] != names
        or [v.type for v in inference.graph.inputs] != wanted
    ):
        raise FileFormatError("the training and the inference graph have different inputs")
    ours, others = (
        [value.type for value in saved.graph.outputs[: saved.output_count]] for saved in (training, inference)
    )
    if ours != others:
        raise FileFormatError("the training and the inference graph have different outputs")


def _structure(given: Any, count: int, what: str) -> Any:
    numbers = tree.leaves(given)
    if numbers != list(range(count)) or any(type(number) is not int for number in numbers):
        raise FileFormatError(f"the structure of the {what} is {str(given)[:80]}, for {count} {what}")
    return given
