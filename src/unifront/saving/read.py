"""Reading ``.uf`` files, all of which are taken as hostile."""

from __future__ import annotations

import json
import struct
import zipfile
import zlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from safetensors import SafetensorError

from unifront import tree
from unifront.arguments import checked
from unifront.errors import FileFormatError
from unifront.ir.graph import Graph
from unifront.ir.text import parse_graph
from unifront.ir.verify import verify
from unifront.opset.spec import OPS
from unifront.saving import tensors
from unifront.saving.compiled import compile_as
from unifront.saving.loaded import LoadedModel, Saved
from unifront.saving.write import FORMAT, LIMITS, LINES, VERSION

_WEIGHTS = ("weights.safetensors", "optimizer.safetensors")
BROKEN = (
    ArithmeticError,
    AssertionError,
    AttributeError,
    EOFError,
    LookupError,
    MemoryError,
    OSError,
    RuntimeError,
    SafetensorError,
    SyntaxError,
    TypeError,
    ValueError,
    struct.error,
    zipfile.BadZipFile,
    zlib.error,
)
"""All that reading a broken file may raise below; every error of unifront is one of them."""
_REASONS: dict[type[BaseException], str] = {
    EOFError: "it ends too early",
    MemoryError: "it does not fit into the memory",
}
_REASON_LENGTH = 600


@checked
def load(path: str | Path) -> LoadedModel:
    """The model in the ``.uf`` file at ``path``, ready to run, to train on and to export.

    No code in it is run and nothing is written. A loss or metric that was a function of the user's is not in
    the file: give it to ``compile`` again.

    Raises `FileFormatError` naming file and reason for one that is broken, hostile or from a newer version.

    Example::

        model.save("digits.uf")
        again = uf.load("digits.uf")
    """
    path = existing(path)
    try:
        return _load(path)
    except FileFormatError as error:
        raise FileFormatError(f"{path}: {reason(error)}.") from None
    except BROKEN as error:
        raise FileFormatError(f"{path} is not a valid .uf file: {reason(error)}.") from error


def existing(path: str | Path) -> Path:
    """``path``, at which there is a file: no folder, and no pipe or device, which may never end."""
    path = Path(path)
    if path.is_dir():
        raise FileFormatError(f"{path} is a folder; a file is needed.")
    if not path.is_file():
        raise FileFormatError(f"{path}: there is no such file.")
    return path


def reason(error: BaseException) -> str:
    """What ``error`` says, without a full stop, and not without end: a file may hold names of any length."""
    text = str(error).rstrip(".") or _REASONS.get(type(error), type(error).__name__)
    return text if len(text) <= _REASON_LENGTH else f"{text[:_REASON_LENGTH]} …"


@contextmanager
def _reading(what: str) -> Iterator[None]:
    """Let errors say in which part of the file they are."""
    try:
        yield
    except BROKEN as error:
        raise FileFormatError(f"{what} cannot be read: {reason(error)}") from error


def _load(path: Path) -> LoadedModel:
    with zipfile.ZipFile(path) as archive:
        _check_entries(archive, path.stat().st_size)
        with _reading("manifest.json"):
            manifest = json.loads(_text(archive, "manifest.json"))
        if not isinstance(manifest, dict) or manifest.get("format") != FORMAT:
            raise FileFormatError("the manifest is not that of a unifront model")
        if type(manifest.get("version")) is not int or manifest["version"] != VERSION:
            raise FileFormatError(
                f"it has version {str(manifest.get('version'))[:80]}; this unifront reads version {VERSION}. "
                "Update unifront"
            )
        graphs = {}
        for training, name in ((True, "training"), (False, "inference")):
            with _reading(f"{name}.graph"):
                graph = verify(parse_graph(_text(archive, f"{name}.graph"), OPS))
            graphs[training] = _saved(manifest.get(name), graph)
        arrays = []
        for name in _WEIGHTS:
            with _reading(name):
                arrays.append(tensors.parse(archive.read(name)))
    weights, slots = arrays
    _check_weights(graphs, weights)
    _check_interfaces(graphs)
    called = manifest.get("name")
    if not isinstance(called, str) or not called or "/" in called:
        raise FileFormatError(f"the model's name is {str(called)[:80]!r}")
    with _reading("manifest.json"):
        inputs = _structure(manifest.get("inputs"), len(graphs[False].graph.inputs), "inputs")
        outputs = _structure(manifest.get("outputs"), graphs[False].output_count, "outputs")
    model = LoadedModel(called, graphs, weights, (inputs, outputs))
    if manifest.get("compiled") is not None:
        with _reading("manifest.json"):
            compile_as(model, manifest["compiled"], slots)
    elif slots:
        raise FileFormatError("it has an optimizer's slots, but no optimizer")
    return model


def _check_entries(archive: zipfile.ZipFile, size: int) -> None:
    infos = archive.infolist()
    expected = (*LIMITS, *_WEIGHTS)
    if sorted(info.filename for info in infos) != sorted(expected):
        names = ", ".join(repr(info.filename[:80]) for info in infos[:8])
        raise FileFormatError(f"it holds {names or 'nothing'}; expected {', '.join(expected)}")
    for info in infos:
        if info.flag_bits & 1:
            raise FileFormatError(f"{info.filename} is encrypted")
        if info.compress_type != zipfile.ZIP_STORED or info.file_size != info.compress_size:
            raise FileFormatError(f"{info.filename} is compressed; what a .uf file holds is stored as it is")
        if info.header_offset + info.file_size > size:
            raise FileFormatError(
                f"{info.filename} is said to have {info.file_size} bytes, more than are there"
            )
        if info.file_size > LIMITS.get(info.filename, size):
            limit = LIMITS[info.filename]
            raise FileFormatError(f"{info.filename} has {info.file_size} bytes; at most {limit} are read")


def _text(archive: zipfile.ZipFile, name: str) -> str:
    text = archive.read(name).decode("utf-8")
    if sum(map(text.count, "\n\r\v\f\x1c\x1d\x1e\x85\u2028\u2029")) > LINES:
        raise FileFormatError(f"it has more than {LINES} lines")
    return text


def _saved(layout: Any, graph: Graph) -> Saved:
    """``graph`` and what its outputs are, checked against each other."""
    if not isinstance(layout, dict):
        raise FileFormatError(f"the manifest does not say what the outputs of {graph.name!r} are")
    masks, losses, updates = (layout.get(key) for key in ("masks", "losses", "updates"))
    if type(losses) is not int or not isinstance(masks, list) or not isinstance(updates, list):
        raise FileFormatError(f"the manifest does not say what the outputs of {graph.name!r} are")
    if not 0 <= losses <= len(graph.outputs) or any(not isinstance(path, str) for path in updates):
        raise FileFormatError(f"the manifest does not fit the outputs of {graph.name!r}")
    saved = Saved(graph, tuple(masks), losses, tuple(updates))
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


def _check_weights(graphs: Mapping[bool, Saved], weights: Mapping[str, np.ndarray]) -> None:
    wanted: dict[str, Any] = {}
    for saved in graphs.values():
        names = [seen.name for seen in saved.graph.variables]
        if len(set(names)) != len(names):
            raise FileFormatError("two variables of a graph have one name")
        for seen in saved.graph.variables:
            if wanted.setdefault(seen.name, seen.value.type) != seen.value.type:
                raise FileFormatError(f"the graphs disagree on the type of {seen.name!r}")
    if set(wanted) != set(weights):
        odd = sorted(set(wanted) ^ set(weights))[0]
        where = "weights, but no graph uses it" if odd in weights else "graphs, but has no value"
        raise FileFormatError(f"{odd[:200]!r} is in the {where}")
    for path, type_ in wanted.items():
        value = weights[path]
        if value.shape != type_.shape or value.dtype != type_.dtype.numpy:
            raise FileFormatError(f"{path!r} is {value.dtype}{list(value.shape)}; the graph says {type_}")


def _check_interfaces(graphs: Mapping[bool, Saved]) -> None:
    training, inference = graphs[True], graphs[False]
    names, types = inference.graph.input_names, [value.type for value in inference.graph.inputs]
    inputs = training.graph.inputs
    if not names or len(set(names)) != len(names):
        raise FileFormatError("the model has no inputs, or two of one name")
    if training.graph.input_names[:-1] != names or [value.type for value in inputs[:-1]] != types:
        raise FileFormatError("the training and the inference graph have different inputs")
    if inputs[-1].type.dtype.name != "key" or any(type_.dtype.name == "key" for type_ in types):
        raise FileFormatError("the training graph does not take one random key, last")
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
