"""Writing ``.uf`` files."""

from __future__ import annotations

import json
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from unifront import tree
from unifront.errors import ArgumentError, ParseError
from unifront.files import writing
from unifront.ir.text import parse_graph, print_graph
from unifront.layers.kept import refuse
from unifront.opset.replay import known_only
from unifront.opset.spec import OPS
from unifront.opset.tensor import Traced
from unifront.paths import model_destination
from unifront.recording import Recorder
from unifront.safetensors import Contents
from unifront.saving import constraints, layout
from unifront.saving.compiled import NUMBERS, described
from unifront.trace import Tracing, current_context, renamed, trace
from unifront.weights import together

if TYPE_CHECKING:
    from unifront.model import Model
    from unifront.weights import Variable

FORMAT, VERSION = "unifront model", 3
LIMITS = {
    "manifest.json": 4 * 2**20,
    "layers.json": 16 * 2**20,
    "training.graph": 64 * 2**20,
    "inference.graph": 64 * 2**20,
    "constraints.graph": 4 * 2**20,
}
"""The most bytes of a text."""
VALUES = {"manifest.json": 200_000, "layers.json": 1_000_000}
"""The most values (commas and brackets are counted) in a JSON text."""


def save(model: Model, path: str | Path) -> None:
    """Write ``model`` to ``path`` (``.uf``), beside it first and then renamed, so that no half file is left.

    A name that ends in ``.keras`` has Keras's own format, which Keras loads; see `unifront.saving.keras_write`.

    Weights, the optimizer's slots and its step count are kept. A loss, metric, optimizer or schedule that
    is not unifront's own is not; after loading, `Model.compile` has to be called again.

    Raises `ArgumentError` if there is no such folder, the name promises another format or a graph is too large to be
    read again, `FileWriteError` for what the operating system refuses, `NotBuiltError` before the inputs are known.
    """
    path = model_destination(path)
    if path.suffix.lower() == ".keras":
        from unifront.saving.keras_write import save_keras

        save_keras(model, path)
        return
    refuse(model, "a .uf file")
    recorders: dict[bool, Recorder] = {}
    graphs = {training: _traced(model, training, recorders) for training in (True, False)}
    written, needs = {}, set()
    for training, (traced, _) in graphs.items():
        written[training], missing = known_only(traced.graph)
        needs |= {*missing}
        if written[training] is not traced.graph:  # the calls of layers are not where they were
            recorders[training].calls.clear()
    paths = model.variable_paths()
    constrained, missing = known_only(constraints.graph_of(model.weights, paths))
    needs |= {*missing}
    live = {paths[id(v)]: v for traced, _ in graphs.values() for v in traced.variables}
    manifest: dict[str, Any] = {
        "format": FORMAT, "version": VERSION, "name": model.name,
        "inputs": model.input_structure, "outputs": graphs[False][0].structure["outputs"],
        "training": graphs[True][1], "inference": graphs[False][1], "needs": sorted(needs),
        "metadata": _metadata(model),
    }  # fmt: skip
    texts: dict[str, bytes] = {
        "layers.json": layout.dump(model, recorders, live),
        "training.graph": print_graph(written[True]).encode(),
        "inference.graph": print_graph(written[False]).encode(),
        "constraints.graph": print_graph(constrained).encode(),
    }
    with together(live.values()):  # weights, slots and the number of steps are of one step
        manifest["compiled"] = described(model)
        texts = {"manifest.json": json.dumps(manifest, indent=1, default=_plain).encode(), **texts}
        for name, text in texts.items():
            _check_readable(model, name, text)
        slots = _slots(model, paths)
        weights = {"weights.safetensors": Contents(live), "optimizer.safetensors": Contents(slots)}
        with writing(path) as file, zipfile.ZipFile(file, "w") as archive:
            for name, text in texts.items():
                archive.writestr(_info(name, len(text)), text)
            for name, contents in weights.items():
                with archive.open(_info(name, contents.size), "w") as entry:
                    contents.write(entry)  # type: ignore[arg-type]  # it is a binary file, for all that is done with it


def _check_readable(model: Model, name: str, text: bytes) -> None:
    """See to it that what is written will be read again."""
    why = ""
    if len(text) > LIMITS[name]:
        why = f"its {name} has {len(text)} bytes; at most {LIMITS[name]} are read"
    elif name.endswith(".json"):
        why = f"its {name} has more than {VALUES[name]} values" if values_in(text) > VALUES[name] else ""
    else:
        try:
            parse_graph(text, OPS)
        except ParseError as error:
            why = f"its {name} could not be read again: {str(error).rstrip('.')}"
    if why:
        raise ArgumentError(
            f"The model {model.name!r} cannot be saved: {why}. "
            "Make large constants weights: add_weight(..., trainable=False)."
        )


def values_in(text: bytes) -> int:
    """No fewer than there are values in a JSON text."""
    return 1 + sum(map(text.count, (b",", b"[", b"{")))


def _info(name: str, size: int) -> zipfile.ZipInfo:
    """An entry of one size and always the same date."""
    info = zipfile.ZipInfo(name, (1980, 1, 1, 0, 0, 0))
    info.file_size = size
    return info


def _plain(value: Any) -> Any:
    """NumPy numbers and arrays as JSON has them."""
    return value.tolist() if isinstance(value, np.ndarray | np.generic) else float(value)


def _metadata(model: Model) -> dict[str, Any]:
    """The plain data that go along with the model."""
    try:
        again = json.loads(json.dumps(model.metadata, allow_nan=False))
    except (TypeError, ValueError, RecursionError) as error:
        raise ArgumentError(
            f"The metadata of the model {model.name!r} cannot be saved: {error}. They are plain data, as JSON has them."
        ) from None
    if not isinstance(again, dict):
        raise ArgumentError(f"The metadata of the model {model.name!r} are a dict, not {model.metadata!r}.")
    return again


def _traced(model: Model, training: bool, recorders: dict[bool, Recorder]) -> tuple[Tracing, dict[str, Any]]:
    """The model's graph with its masks and losses as outputs, and which those are."""
    which: dict[str, Any] = {}
    paths = model.variable_paths()

    def call(*tensors: Any) -> Any:
        context = current_context()
        assert context is not None
        builder = tensors[0].builder
        context.recorder = recorders[training] = Recorder(builder)
        outputs = model(tree.map_leaves(lambda number: tensors[number], model.input_structure))
        leaves = tree.leaves(outputs)
        masks = {i: context.mask_of(leaf) for i, leaf in enumerate(leaves)}
        masks = {i: mask for i, mask in masks.items() if mask is not None}
        met = [(v, value) for v, value in builder.variables.values() if v.regularizer is not None]
        losses = [
            *context.losses,
            *(v.regularizer(Traced(value, builder)) for v, value in met),
        ]  # frozen ones too
        which.update(masks=list(masks), losses=len(losses), penalties=[paths[id(v)] for v, _ in met])
        return {"outputs": outputs, "masks": list(masks.values()), "losses": losses}

    def names(count: int) -> tuple[str, ...]:
        own = model.trace(training)
        first = own.graph.output_names[: own.output_count]
        others = [f"mask {i}" for i in which["masks"]] + [f"loss {i}" for i in range(which["losses"])]
        return (*first, *others)

    traced = trace(call, model.input_types, training=training, name=model.name, output_names=names)
    which["updates"] = [paths[id(variable)] for variable in traced.updates]
    return renamed(traced, paths), which


def _slots(model: Model, paths: Mapping[int, str]) -> dict[str, Variable]:
    if model._training is None:
        return {}
    optimizer = model.optimizer
    made = [v for v in model.weights if optimizer.has_slots(v)]
    numbers = {f"{NUMBERS}{name}": number for name, number in optimizer.numbers().items()}
    return {**{f"{paths[id(v)]}/{slot.name}": slot for v in made for slot in optimizer.slots(v)}, **numbers}
