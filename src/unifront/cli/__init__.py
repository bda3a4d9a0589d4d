"""The command line: ``unifront demo``, ``backends``, ``zoo list``, ``summary``, ``inspect``, ``convert``."""

from __future__ import annotations

import json
import os
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Table

import unifront as uf
from unifront.backends import default_name, get_backend, installed, is_installed, names, placement, to_install
from unifront.errors import UnifrontError, UnknownName

app = typer.Typer(
    help="Write a deep-learning model once; train and run it as PyTorch, TensorFlow or JAX.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
)
zoo_app = typer.Typer(help="The models that come with unifront.", no_args_is_help=True)
app.add_typer(zoo_app, name="zoo")


def _version(wanted: bool) -> None:
    if wanted:
        Console().print(f"unifront {uf.__version__}", highlight=False)
        raise typer.Exit


@app.callback()
def options(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Show the version.")
    ] = False,
) -> None:
    """Options of every command."""


def _table(*columns: str) -> Table:
    """An empty table that loses nothing in a narrow terminal."""
    table = Table()
    for column in columns:
        table.add_column(column, overflow="fold")
    return table


def _load_quietly(wanted: Sequence[str] | None = None) -> None:
    """Load every installed backend, or those wanted; what they print meanwhile is shown only if one fails to load.

    TensorFlow writes to the process's standard error from C++ before any setting of it applies.
    """
    kept = os.dup(2)
    with tempfile.TemporaryFile() as printed:
        os.dup2(printed.fileno(), 2)
        try:
            for name in installed(inference=True) if wanted is None else wanted:
                get_backend(name).devices()
        except BaseException:
            printed.seek(0)
            os.write(kept, printed.read())
            raise
        finally:
            os.dup2(kept, 2)
            os.close(kept)


@app.command()
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
    console = Console()
    with console.status("Loading the installed frameworks"):
        _load_quietly()
    if not run(console, folder, epochs):
        raise typer.Exit(1)


@app.command("backends")
def list_backends() -> None:
    """Show which backends are installed, their versions and devices, and what to type for the rest."""
    _load_quietly()
    table = _table("backend", "version", "devices", "to install")
    for name in sorted(names(), key=lambda name: name == "numpy"):
        if is_installed(name):
            found = get_backend(name)
            table.add_row(name, found.version(), ", ".join(found.devices()), "")
            continue
        table.add_row(name, "", "", escape(to_install(name)))
    Console().print(table)
    default = default_name()
    placement(default)  # UNIFRONT_BACKEND may hold anything
    Console().print(f"Default: {default} (UNIFRONT_BACKEND or uf.set_backend change it)")


@zoo_app.command("list")
def zoo_list(pattern: Annotated[str, typer.Argument(help="Names to show, such as 'resnet*'.")] = "*") -> None:
    """List the models of the zoo."""
    table = _table("model", "what it is", "source")
    found = uf.zoo.entries(pattern)
    if not found:
        raise UnknownName("model of the zoo", pattern, uf.zoo.list())
    for entry in found:
        table.add_row(entry.name, escape(entry.summary.replace("``", "")), escape(entry.source))
    Console().print(table)


def _model_of(name: str) -> Any:
    """The model in a file (``.uf``, ``.onnx``), or the one of the zoo with this name."""
    ending = Path(name).suffix.lower()
    if ending == ".onnx":
        return uf.from_onnx(name)
    is_file = ending in (".uf", ".safetensors") or Path(name).name != name
    return uf.load(name) if is_file else uf.zoo.create(name)


@app.command()
def summary(
    name: Annotated[str, typer.Argument(help="A model of the zoo, or a .uf or .onnx file.")],
) -> None:
    """Show a model's layers, output types and numbers of weights."""
    _model_of(name).summary()


@app.command("inspect", epilog="Example: unifront inspect resnet.onnx --backend torch --backend jax --json")
def inspect_file(
    name: Annotated[str, typer.Argument(help="A .onnx, .uf or .safetensors file, or a model of the zoo.")],
    backend: Annotated[
        list[str] | None, typer.Option(help="A backend to ask; all that are installed unless given.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Show what is in a model: inputs, outputs, operations, sizes, and what would not run where, and why."""
    from unifront.cli import files

    places = list(installed()) if backend is None else backend
    _load_quietly([*places])
    found = files.inspected(name, _model_of, places)
    if as_json:
        sys.stdout.write(json.dumps(found, indent=2) + "\n")
        return
    files.show(found, Console(), _table)


@app.command(epilog="Example: unifront convert resnet.onnx resnet.uf")
def convert(
    source: Annotated[str, typer.Argument(metavar="IN", help="A .onnx or .uf file, or a model of the zoo.")],
    target: Annotated[
        Path, typer.Argument(metavar="OUT", help="A .onnx, .uf or .safetensors file; a folder: SavedModel.")
    ],
    weights: Annotated[
        Path | None, typer.Option(help="A .safetensors file that the model takes its weights from.")
    ] = None,
    opset: Annotated[int | None, typer.Option(help="The version of the operator set, of .onnx.")] = None,
    dtype: Annotated[str | None, typer.Option(help="A dtype in place of float32, in .onnx.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Write a model in another format, which the ending of OUT says."""
    from unifront.cli import files

    found = files.converted(source, target, _model_of, weights, {"opset": opset, "dtype": dtype})
    if as_json:
        sys.stdout.write(json.dumps(found, indent=2) + "\n")
        return
    sizes = f"{found['parameters']:,} weights, {found['bytes']:,} bytes"
    text = f"{found['from']} → {found['to']} ({found['format']}): {sizes}"
    Console().print(escape(text), highlight=False, soft_wrap=True)


def main() -> None:
    """Run the command line; errors of unifront's own and of files are one line, without a traceback."""
    try:
        app()
    except (UnifrontError, OSError) as error:
        Console(stderr=True).print(f"[red]Error:[/] {escape(str(error))}", soft_wrap=True)
        sys.exit(1)
