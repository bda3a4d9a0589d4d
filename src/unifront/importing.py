"""Models of other formats as models of unifront."""

from __future__ import annotations

import subprocess
import sys
import tempfile
from collections.abc import Mapping
from importlib.util import find_spec
from pathlib import Path
from typing import Annotated, Any

from unifront.arguments import Name, anything, checked
from unifront.errors import ArgumentError, BackendMissing, FileFormatError
from unifront.files import existing
from unifront.graph_model import GraphModel
from unifront.ir import passes
from unifront.onnx.load import load
from unifront.onnx.patterns import find_patterns
from unifront.opset.spec import OPS
from unifront.reference import evaluate


@checked
def from_onnx(
    model: Annotated[Any, anything],
    *,
    inputs: Annotated[Mapping[str, Any] | None, anything] = None,
    name: Name | None = None,
) -> GraphModel:
    """An ONNX model as a model that runs, trains, exports and saves on every backend.

    Floating-point initializers become weights, by their names; what a batch normalization's running statistics are
    does not train. The layers are those that the names of the nodes speak of (``encoder/0/attention``). Data keeps
    the layout of the file, channels first. In training, dropout and batch normalization do what they do in the file,
    which for most is what they do in inference.

    Args:
        model: the path of a ``.onnx`` file, its content as bytes, or an ``onnx.ModelProto``.
        inputs: what is known of inputs beyond what the file says, by their names: a shape (None or a name for a free
            size); an array that the input is to be for good, where its values decide what the graph is; a tuple of
            these for a sequence.
        name: the model's; the graph's in the file unless given.

    Raises `FileFormatError` for a broken file, naming the node and what is wrong; `UnsupportedOp` for an operator
    that unifront does not have; `ArgumentError` where it has to be told more of an input; `BackendMissing` where the
    package ``onnx`` is not installed.

        model = uf.from_onnx("resnet.onnx", inputs={"image": (None, 3, 224, 224)})
        model.fit(x_train, y_train, backend="jax")
    """
    imported = load(model, inputs, name=name or "")
    if any(not isinstance(result.value, int) for result in imported.results):
        odd = next(result.name for result in imported.results if not isinstance(result.value, int))
        raise ArgumentError(
            f"The output {odd!r} is a sequence, an optional or strings; a model's outputs are tensors. "
            "unifront.onnx.backend runs such models."
        )
    table = passes.registry(OPS, evaluate)
    patterns = passes.Pass("find_patterns", find_patterns)
    order = (*passes.standard(OPS, evaluate), patterns, table["unused_variables"])
    graph, values, _ = passes.run(imported.graph, imported.values, order)
    return GraphModel.of(graph, {seen.name: values[seen.name] for seen in graph.variables}, name=graph.name)


SAVED_MODEL = "saved_model.pb"
"""The file by which the folder of a SavedModel is known."""
SAVED_OPSET = 18
"""The operator set that a SavedModel is read through: the newest that tf2onnx 1.17 writes."""


def from_saved_model(folder: str | Path, *, signature: str = "serving_default", name: str = "") -> GraphModel:
    """A TensorFlow SavedModel as a model that runs, trains, exports and saves on every backend.

    It is read by TensorFlow and tf2onnx, in a process of their own, as ONNX; the rest is `from_onnx`. TensorFlow runs
    what is in a SavedModel while it loads: read none from people whose programs you would not run.

    Args:
        folder: of the SavedModel; ``saved_model.pb`` is in it.
        signature: the function in it to read.
        name: the model's; the folder's unless given.

    Raises `FileFormatError` for a folder that is none, or that tf2onnx does not read, with its reason;
    `BackendMissing` without the packages tensorflow and tf2onnx; and what `from_onnx` raises.
    """
    place = Path(folder)
    existing(place / SAVED_MODEL)
    for package in ("tf2onnx", "tensorflow"):
        if find_spec(package) is None:
            raise BackendMissing(
                f"{folder} is a SavedModel, which takes TensorFlow and tf2onnx to read; {package} is not installed. "
                "Install them with: pip install tensorflow tf2onnx"
            )
    with tempfile.TemporaryDirectory() as inner:
        target = Path(inner) / "model.onnx"
        arguments = ["--saved-model", str(place), "--signature_def", signature, "--opset", str(SAVED_OPSET)]
        done = subprocess.run(
            [sys.executable, "-m", "tf2onnx.convert", *arguments, "--output", str(target)],
            capture_output=True, text=True, check=False, errors="replace",
        )  # fmt: skip
        if done.returncode or not target.is_file():
            said = [line for line in done.stderr.splitlines() if line.strip()]
            raise FileFormatError(
                f"{folder}: tf2onnx cannot read this SavedModel: {said[-1] if said else 'no reason'}"
            )
        return from_onnx(target, name=name or place.resolve().name)
