"""A model as a page for browsers: ONNX Runtime Web runs it there, and nothing leaves the machine of who looks at it.

The page is plain files for any web server; it asks no other host. ``window.unifront`` is for scripts of one's own:
``await unifront.run({image: {data: [...], shape: [1, 8, 8, 1]}})`` gives the outputs by their names. A page
that trains has ``unifront.trainer`` too: ``await trainer.train(batch)`` is a step, and gives what it logs.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping, Sequence
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING, Any

from unifront.browser.arrays import described
from unifront.browser.training import write_training
from unifront.errors import ArgumentError, BackendMissing
from unifront.onnx import export
from unifront.paths import path_of

if TYPE_CHECKING:
    from unifront.model import Model
    from unifront.onnx.training import StepToWrite

RUNTIME = ("ort.wasm.min.mjs", "ort-wasm-simd-threaded.mjs", "ort-wasm-simd-threaded.wasm")
"""The files of the npm package onnxruntime-web that a page needs."""
OWN = ("index.html", "page.mjs", "tensors.mjs")


def write_page(
    model: Model,
    folder: Path,
    options: Mapping[str, Any],
    steps: tuple[StepToWrite, StepToWrite] | None = None,
) -> None:
    """Fill ``folder`` with the page of ``model``; see `Model.export`.

    Args:
        steps: of a page that trains: the training step, and inference from its state.
    """
    given = dict(options)
    runtime = _runtime(given.pop("runtime", None))
    labels, scale = (
        _labels(given.pop("labels", model.metadata.get("classes"))),
        given.pop("scale", 255.0 if model.metadata.get("kind") == "images" else 1.0),
    )
    if not isinstance(scale, int | float) or not 0 < scale < float("inf"):
        raise ArgumentError(
            f"scale is what the brightest pixel is to the model, a number above 0, not {scale!r}."
        )
    traced = model.trace(False)
    outputs = zip(traced.graph.output_names, traced.graph.outputs[: traced.output_count], strict=False)
    about: dict[str, Any] = {
        "name": model.name,
        "inputs": [described(name, type_) for name, type_ in model.input_types.items()],
        "outputs": [described(name, value.type) for name, value in outputs],
        "labels": labels,
        "scale": scale,
    }
    if given.pop("external_data", None):
        raise ArgumentError('export: a page has its weights in one file; external_data is for format="onnx".')
    own: tuple[str, ...] = OWN
    if steps is not None:
        about["training"] = write_training(*steps, folder, given.pop("batch_size", None), given)
        own = (*OWN, "training.mjs")
    elif "batch_size" in given:
        raise ArgumentError("export: batch_size is of a page that trains: give training=(x, y) too.")
    else:
        export(traced, folder / "model.onnx", **given)
    (folder / "model.json").write_text(json.dumps(about), encoding="utf-8")
    for name in own:
        (folder / name).write_bytes(resources.files(__name__).joinpath(name).read_bytes())
    for name in RUNTIME:
        shutil.copyfile(runtime / name, folder / name)


def _labels(given: Any) -> list[str] | None:
    if given is None:
        return None
    if isinstance(given, str) or not isinstance(given, Sequence):
        raise ArgumentError(f"labels is a list of what the classes are called, not {given!r}.")
    return [str(label) for label in given]


def _runtime(given: Any) -> Path:
    """The folder of the runtime's files."""
    near = [Path.cwd(), *Path.cwd().parents]
    roots = (
        [path_of(given)] if given is not None else [one / "node_modules" / "onnxruntime-web" for one in near]
    )
    for place in (place for root in roots for place in (root, root / "dist")):
        if all((place / name).is_file() for name in RUNTIME):
            return place
    if given is not None:
        raise ArgumentError(f"runtime: the files {', '.join(RUNTIME)} of onnxruntime-web are not in {given}.")
    raise BackendMissing(
        "A page needs the files of the npm package onnxruntime-web, which is in no node_modules here. Type "
        "npm install onnxruntime-web, or say runtime= with its folder."
    )
