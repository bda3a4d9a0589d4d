"""The commands that compare backends: ``parity`` and ``bench``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import numpy as np
import typer

from unifront.cli.opened import Backends, complete_model, model_of
from unifront.cli.shown import Json, console, line, load_quietly, show_json
from unifront.errors import ArgumentError, FileFormatError
from unifront.files import BROKEN, existing, reason
from unifront.opset.sampling import FREE_SIZES, free_sizes, random_inputs

commands = typer.Typer()
EXAMPLES = 8
"""Of a random batch that is timed."""

Model = Annotated[
    str,
    typer.Argument(
        help="A .uf or .onnx file, a folder of a trained model, a model of the zoo.",
        autocompletion=complete_model,
    ),
]
Data = Annotated[
    str,
    typer.Option(
        help="A batch: a .npz file with an array for each input by its name, a .npy file for one input; or 'random'."
    ),
]
Batch = Annotated[
    int | None, typer.Option(min=1, help="Examples: so many of the file's first, or random ones.")
]
Html = Annotated[Path | None, typer.Option(help="Write the report here too, as one HTML file.")]


@commands.command(epilog="Example: unifront parity resnet50 --backend torch --backend jax --html parity.html")
def parity(
    model: Model,
    data: Data = "random",
    batch: Batch = None,
    backend: Backends = None,
    gradients: Annotated[bool, typer.Option("--gradients", help="Compare gradients of weights too.")] = False,
    tolerance: Annotated[
        float | None,
        typer.Option(min=0, help="Exit with 1 if a difference is larger, relative to the largest number."),
    ] = None,
    html: Html = None,
    as_json: Json = False,
) -> None:
    """Compare backends on a model, layer by layer."""
    import unifront as uf

    load_quietly(backend)
    opened = model_of(model)
    found = uf.parity(opened, _batch(opened, data, batch), backends=backend, gradients=gradients)
    if html is not None:
        found.html(html)
    worst = max(found.worst_forward, found.worst_gradient)
    if as_json:
        show_json({"model": found.model, "backends": found.backends, "worst_forward": found.worst_forward,
                   "worst_gradient": found.worst_gradient if gradients else None, "rows": found.rows()})  # fmt: skip
    else:
        found.print(console())
        line(f"The largest difference is {worst:.1e}, relative to the largest number of its layer.")
    if tolerance is not None and not worst <= tolerance:
        raise ArgumentError(f"The backends differ by {worst:.1e}; {tolerance:g} is allowed.")


@commands.command(epilog="Example: unifront bench mobilenet_v2 --batch 8 --train --html bench.html")
def bench(
    model: Model,
    data: Data = "random",
    batch: Batch = None,
    backend: Backends = None,
    train: Annotated[bool, typer.Option("--train", help="Time a step of training too.")] = False,
    seconds: Annotated[float, typer.Option(min=0.01, help="How long each backend is timed.")] = 2.0,
    html: Html = None,
    as_json: Json = False,
) -> None:
    """Show which backend is the fastest here for a model."""
    import unifront as uf

    load_quietly(backend)
    opened = model_of(model)
    x = _batch(opened, data, batch or (EXAMPLES if data == "random" else None))
    found = uf.bench(opened, x, backends=backend, train=train, seconds=seconds)
    if html is not None:
        found.html(html)
    if as_json:
        show_json(
            {"model": found.model, "batch": found.batch, "parameters": found.parameters, "rows": found.rows()}
        )
        return
    found.print(console())


def _batch(model: Any, source: str, count: int | None) -> dict[str, np.ndarray]:
    """An array for each input."""
    if source == "random":
        return _random(model, count)
    path = existing(source)
    try:
        read = np.load(path, allow_pickle=False)
        arrays = {name: read[name] for name in read} if hasattr(read, "files") else read
    except BROKEN as error:
        raise FileFormatError(f"{path} cannot be read as an array of NumPy: {reason(error)}.") from error
    names = list(model.input_types)
    if not isinstance(arrays, dict):
        if len(names) != 1:
            raise ArgumentError(
                f"{path} has one array; the model takes {', '.join(names)}, as a .npz file has them."
            )
        arrays = {names[0]: arrays}
    missing = [name for name in names if name not in arrays]
    if missing:
        raise ArgumentError(
            f"{path} has the arrays {', '.join(arrays)}; the model's input {missing[0]!r} is missing."
        )
    for name in names:
        if not arrays[name].ndim:
            raise ArgumentError(f"The array {name!r} of {path} is one number; its rows are to be examples.")
    return {name: arrays[name][:count] for name in names}


def _random(model: Any, count: int | None) -> dict[str, np.ndarray]:
    """Random numbers in the first free sizes that the model takes."""
    graph = model.trace(False).graph
    for first in FREE_SIZES:
        arrays = dict(zip(model.input_types, random_inputs(graph, first, count), strict=True))
        if not free_sizes(graph) or first == FREE_SIZES[-1]:
            return arrays
        try:
            model.predict({name: array[:1] for name, array in arrays.items()}, verbose=0, backend="numpy")
        except Exception:  # noqa: BLE001  # whatever a size that does not fit runs into
            continue
        return arrays
    raise AssertionError
