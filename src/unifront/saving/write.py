"""Writing ``.uf`` files."""

from __future__ import annotations

import json
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from unifront import tree
from unifront.errors import ArgumentError
from unifront.files import write_beside
from unifront.ir.text import print_graph
from unifront.opset.replay import known_only
from unifront.saving.compiled import described
from unifront.saving.tensors import dump
from unifront.trace import Tracing, current_context, renamed, trace
from unifront.train.plan import penalties

if TYPE_CHECKING:
    from unifront.model import Model

FORMAT, VERSION = "unifront model", 1
LIMITS = {"manifest.json": 4 * 2**20, "training.graph": 64 * 2**20, "inference.graph": 64 * 2**20}
"""The most bytes of a text."""
LINES = 1_000_000
"""The most lines of a text."""


def save(model: Model, path: str | Path) -> None:
    """Write ``model`` to ``path`` (``.uf``), beside it first and then renamed, so that no half file is left.

    Weights, the optimizer's slots and its step count are kept. A loss, metric, optimizer or schedule that
    is not unifront's own is not; after loading, `Model.compile` has to be called again.

    Raises `ArgumentError` if there is no such folder or a graph is too large to be read again,
    `NotBuiltError` before the inputs are known.
    """
    graphs = {training: _traced(model, training) for training in (True, False)}
    texts, needs = {}, set()
    for training, (traced, _) in graphs.items():
        written, missing = known_only(traced.graph)
        texts[training] = print_graph(written).encode()
        needs |= {*missing}
    paths = model.variable_paths()
    live = {paths[id(v)]: v for traced, _ in graphs.values() for v in traced.variables}
    manifest = {
        "format": FORMAT, "version": VERSION, "name": model.name,
        "inputs": model.input_structure, "outputs": graphs[False][0].structure["outputs"],
        "training": graphs[True][1], "inference": graphs[False][1],
        "compiled": described(model), "needs": sorted(needs),
    }  # fmt: skip
    entries: dict[str, bytes] = {
        "manifest.json": json.dumps(manifest, indent=1, default=_plain).encode(),
        "training.graph": texts[True],
        "inference.graph": texts[False],
        "weights.safetensors": dump({name: v.numpy() for name, v in live.items()}),
        "optimizer.safetensors": dump(_slots(model, paths)),
    }
    for name, limit in LIMITS.items():
        size, lines = len(entries[name]), entries[name].count(b"\n")
        if size > limit or lines > LINES:
            raise ArgumentError(
                f"The model {model.name!r} cannot be saved: its {name} has {size} bytes in {lines} lines; at most "
                f"{limit} in {LINES} are read. Make large constants weights: add_weight(..., trainable=False)."
            )
    write_beside(Path(path), lambda file: _write_zip(file, entries))


def _plain(value: Any) -> Any:
    """NumPy numbers and arrays as JSON has them."""
    return value.tolist() if isinstance(value, np.ndarray | np.generic) else float(value)


def _write_zip(file: Any, entries: Mapping[str, bytes]) -> None:
    with zipfile.ZipFile(file, "w") as archive:
        for name, content in entries.items():
            archive.writestr(zipfile.ZipInfo(name, (1980, 1, 1, 0, 0, 0)), content)


def _traced(model: Model, training: bool) -> tuple[Tracing, dict[str, Any]]:
    """The model's graph with its masks and losses as outputs, and which those are."""
    layout: dict[str, Any] = {}

    def call(*tensors: Any) -> Any:
        outputs = model(tree.map_leaves(lambda number: tensors[number], model.input_structure))
        context = current_context()
        assert context is not None
        leaves = tree.leaves(outputs)
        masks = {i: context.mask_of(leaf) for i, leaf in enumerate(leaves)}
        masks = {i: mask for i, mask in masks.items() if mask is not None}
        losses = [*context.losses, *penalties(tensors[0].builder)]
        layout.update(masks=list(masks), losses=len(losses))
        return {"outputs": outputs, "masks": list(masks.values()), "losses": losses}

    def names(count: int) -> tuple[str, ...]:
        own = model.trace(training)
        first = own.graph.output_names[: own.output_count]
        others = [f"mask {i}" for i in layout["masks"]] + [f"loss {i}" for i in range(layout["losses"])]
        return (*first, *others)

    traced = trace(call, model.input_types, training=training, name=model.name, output_names=names)
    paths = model.variable_paths()
    layout["updates"] = [paths[id(variable)] for variable in traced.updates]
    return renamed(traced, paths), layout


def _slots(model: Model, paths: Mapping[int, str]) -> dict[str, np.ndarray]:
    if model._training is None:
        return {}
    optimizer = model.optimizer
    made = [v for v in model.weights if optimizer.has_slots(v)]
    return {f"{paths[id(v)]}/{slot.name}": slot.numpy() for v in made for slot in optimizer.slots(v)}
