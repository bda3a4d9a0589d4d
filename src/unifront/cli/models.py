"""The commands about models and backends: ``demo``, ``backends``, ``zoo``, ``summary``, ``inspect``, ``convert``."""

from __future__ import annotations

import inspect
import json
import math
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.markup import escape

import unifront as uf
from unifront.backends import default_name, get_backend, installed, is_installed, names, placement, to_install
from unifront.cli.opened import Backends, complete_model, complete_zoo, model_of
from unifront.cli.shown import Json, console, line, load_quietly, show_json, table_of
from unifront.errors import UnknownName
from unifront.summary import summary_of

commands = typer.Typer()
zoo = typer.Typer(help="The models that come with unifront.", no_args_is_help=True)
commands.add_typer(zoo, name="zoo")


@commands.command(epilog="Example: unifront demo --epochs 3 --folder digits")
def demo(
    folder: Annotated[
        Path | None, typer.Option(file_okay=False, help="Keep digits.onnx and digits.uf here.")
    ] = None,
    epochs: Annotated[int, typer.Option(min=1, help="Epochs, shared; at least one for each backend.")] = 9,
) -> None:
    """Train one model on real digits with every installed backend, and show that they agree."""
    from unifront.demo import run

    if folder is not None:
        folder.mkdir(parents=True, exist_ok=True)
    terminal = console()
    with terminal.status("Loading the installed frameworks"):
        load_quietly()
    if not run(terminal, folder, epochs):
        raise typer.Exit(1)


@commands.command("backends", epilog="Example: unifront backends --json")
def list_backends(as_json: Json = False) -> None:
    """Show which backends are installed, their versions and devices, and what to type for the rest."""
    load_quietly()
    default = default_name()
    found: dict[str, dict[str, Any]] = {}
    for name in sorted(names(), key=lambda name: name == "numpy"):
        if is_installed(name):
            backend = get_backend(name)
            found[name] = {"version": backend.version(), "devices": [*backend.devices()]}
        else:
            found[name] = {"version": None, "devices": [], "to_install": to_install(name)}
    if as_json:
        placement(default)  # the environment may hold anything
        show_json({"default": default, "backends": found})
        return
    table = table_of("backend", "version", "devices", "to install")
    for name, row in found.items():
        advice = escape(row.get("to_install", ""))
        table.add_row(name, row["version"] or "", ", ".join(row["devices"]), advice)
    console().print(table)
    placement(default)
    console().print(f"Default: {default} (UNIFRONT_BACKEND, KERAS_BACKEND or uf.set_backend change it)")


@zoo.command("list", epilog="Example: unifront zoo list 'resnet*'")
def zoo_list(
    pattern: Annotated[
        str, typer.Argument(help="Names to show, such as 'resnet*'.", autocompletion=complete_zoo)
    ] = "*",
    as_json: Json = False,
) -> None:
    """List the models of the zoo."""
    found = uf.zoo.entries(pattern)
    if not found:
        raise UnknownName("model of the zoo", pattern, uf.zoo.list())
    if as_json:
        show_json(
            [
                {
                    "name": one.name,
                    "summary": one.summary.replace("``", ""),
                    "source": one.source,
                    "parameters": one.parameters,
                }
                for one in found
            ]
        )
        return
    table = table_of("model", "what it is", "source")
    for entry in found:
        table.add_row(entry.name, escape(entry.summary.replace("``", "")), escape(entry.source))
    console().print(table)


@zoo.command("info", epilog="Example: unifront zoo info resnet50")
def zoo_info(
    name: Annotated[str, typer.Argument(help="A model of the zoo.", autocompletion=complete_zoo)],
    as_json: Json = False,
) -> None:
    """Show what a model of the zoo is, which options it takes, and whose weights it can take."""
    entries = {entry.name: entry for entry in uf.zoo.entries()}
    if name not in entries:
        raise UnknownName("model of the zoo", name, entries)
    entry = entries[name]
    options = {
        one.name: None if one.default is one.empty else one.default
        for one in inspect.signature(entry.builder).parameters.values()
        if one.kind is not one.VAR_KEYWORD
    }
    found: dict[str, Any] = {
        "name": entry.name, "summary": entry.summary.replace("``", ""), "about": inspect.getdoc(entry.builder),
        "source": entry.source, "family": entry.family, "parameters": entry.parameters,
        "keras": entry.keras, "weights_of": sorted(entry.peers), "options": options,
    }  # fmt: skip
    if as_json:
        show_json(json.loads(json.dumps(found, default=str)))
        return
    table = table_of("what", "value")
    for key in ("name", "source", "family", "parameters", "keras", "weights_of"):
        value = found[key]
        text = (
            f"{value:,}" if isinstance(value, int) else ", ".join(value) if isinstance(value, list) else value
        )
        if text:
            table.add_row({"keras": "in Keras", "weights_of": "weights of"}.get(key, key), escape(str(text)))
    terminal = console()
    terminal.print(table)
    terminal.print(escape((found["about"] or "").replace("``", "")), highlight=False)
    table = table_of("option", "default")
    for option, default in options.items():
        table.add_row(escape(option), escape(str(default)))
    terminal.print(table)


@commands.command(epilog="Example: unifront summary resnet50")
def summary(
    name: Annotated[
        str,
        typer.Argument(
            help="A model of the zoo, a .uf or .onnx file, or a recipe.", autocompletion=complete_model
        ),
    ],
    as_json: Json = False,
) -> None:
    """Show a model's layers, output types and numbers of weights."""
    model = model_of(name)
    if not as_json:
        model.summary()
        return
    found = summary_of(model)
    rows = [
        {"layer": layer, "output": output, "weights": int(own.replace(",", "")) if own[:1].isdigit() else 0}
        for layer, output, own in found.rows
    ]
    trainable = sum(math.prod(weight.shape) for weight in model.weights if weight.trains)
    show_json(
        {"name": model.name, "layers": rows, "parameters": model.count_params(), "trainable": trainable}
    )


@commands.command(
    "inspect", epilog="Example: unifront inspect resnet.onnx --backend torch --backend jax --json"
)
def inspect_file(
    name: Annotated[
        str,
        typer.Argument(
            help="A .onnx, .uf, .keras, .h5 or .safetensors file, a folder (SavedModel), or a model of the zoo.",
            autocompletion=complete_model,
        ),
    ],
    backend: Backends = None,
    as_json: Json = False,
) -> None:
    """Show what is in a model: inputs, outputs, operations, sizes, and what would not run where, and why."""
    from unifront.cli import files

    places = list(installed()) if backend is None else backend
    load_quietly([*places])
    found = files.inspected(name, model_of, places)
    if as_json:
        show_json(found)
        return
    files.show(found, console(), table_of)


@commands.command(epilog="Example: unifront convert resnet.onnx resnet.uf")
def convert(
    source: Annotated[
        str,
        typer.Argument(
            metavar="IN",
            help="A .onnx, .uf, .keras or .h5 file, a folder (SavedModel), or a model of the zoo.",
            autocompletion=complete_model,
        ),
    ],
    target: Annotated[
        Path,
        typer.Argument(
            metavar="OUT",
            help="A .onnx, .uf, .keras, .safetensors or .weights.h5 file; a folder: SavedModel.",
        ),
    ],
    weights: Annotated[
        Path | None,
        typer.Option(help="A file that the model takes its weights from: .safetensors, .uf or one of Keras."),
    ] = None,
    opset: Annotated[int | None, typer.Option(help="The version of the operator set, of .onnx.")] = None,
    dtype: Annotated[str | None, typer.Option(help="A dtype in place of float32, in .onnx.")] = None,
    as_json: Json = False,
) -> None:
    """Write a model in another format, which the ending of OUT says."""
    from unifront.cli import files

    found = files.converted(source, target, model_of, weights, {"opset": opset, "dtype": dtype})
    if as_json:
        show_json(found)
        return
    sizes = f"{found['parameters']:,} weights, {found['bytes']:,} bytes"
    line(f"{found['from']} → {found['to']} ({found['format']}): {sizes}")
