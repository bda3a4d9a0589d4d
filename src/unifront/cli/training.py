"""The commands of training without code: ``train``, ``evaluate``, ``predict``, ``recipes``."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.markup import escape

from unifront.backends import default_name, names
from unifront.cli.opened import Backend, complete_files
from unifront.cli.shown import Json, console, line, load_quietly, plain, show_json, table_of
from unifront.errors import ArgumentError, UnknownName
from unifront.recipes.shipped import NAMES

commands = typer.Typer()
recipes = typer.Typer(help="Recipes for `unifront train` that come along.", no_args_is_help=True)
commands.add_typer(recipes, name="recipes")
SHOWN = 20
"""Predictions that are printed; `--out` writes all."""


def _complete_recipe(incomplete: str) -> list[str]:
    return [
        *(one for one in NAMES if one.startswith(incomplete)),
        *complete_files(incomplete, ".yaml", ".yml"),
    ]


def _complete_trained(incomplete: str) -> list[str]:
    return complete_files(incomplete, ".uf", ".onnx")


Trained = Annotated[
    str,
    typer.Argument(
        metavar="MODEL", help="A folder of results, or a .uf or .onnx file.", autocompletion=_complete_trained
    ),
]


@commands.command(
    epilog="Example: unifront train image-folder data.images=flowers epochs=30 --out flowers-model"
)
def train(
    recipe: Annotated[
        str,
        typer.Argument(
            help="A recipe: a .yaml file, one of `unifront recipes list`, or a folder of results.",
            autocompletion=_complete_recipe,
        ),
    ],
    overrides: Annotated[
        list[str] | None,
        typer.Argument(metavar="KEY=VALUE", help="Values in place of the recipe's: model.classes=5"),
    ] = None,
    backend: Backend = None,
    out: Annotated[
        str | None, typer.Option(help="The folder of the results; named after the recipe unless given.")
    ] = None,
    resume: Annotated[
        bool,
        typer.Option(
            "--resume", help="Go on with a training that was interrupted, or train for more epochs."
        ),
    ] = False,
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Train anew into a folder that holds results.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Train a model as a recipe says, without code."""
    from unifront.recipes import running

    if resume and overwrite:
        raise typer.BadParameter("--resume and --overwrite exclude each other.")
    _, checked = running.load(recipe, overrides or [])
    _quietly(backend or checked.backend)
    result = running.train(
        recipe,
        overrides or [],
        backend=backend,
        out=out,
        resume=resume,
        overwrite=overwrite,
        verbose=0 if as_json else 1,
    )
    last = {name: values[-1] for name, values in result.history.items() if values}
    if as_json:
        epochs = max(map(len, result.history.values()), default=0)
        told = {"folder": str(result.folder), "backend": result.backend, "epochs": epochs, "last": last}
        show_json({**told, "parameters": result.model.count_params(), "files": result.files})
        return
    line(f"{result.folder} holds {', '.join(result.files)}")
    folder = shlex.quote(str(result.folder))
    line(f"Next:  unifront evaluate {folder}")
    line(f"       unifront predict {folder} DATA")
    line(f"       unifront export {folder} {shlex.quote(f'{result.folder.resolve().name}.onnx')}")
    line(f"       unifront serve {folder}")


@commands.command(epilog="Example: unifront evaluate flowers-model more-flowers")
def evaluate(
    model: Trained,
    data: Annotated[
        list[str] | None,
        typer.Argument(
            help="Data like those it was trained on; what its recipe held out unless given. Or a .npz file."
        ),
    ] = None,
    backend: Backend = None,
    as_json: Json = False,
) -> None:
    """Say how good a trained model is: its loss and metrics."""
    from unifront.recipes import results

    _quietly(backend)
    found = results.evaluate(results.opened(model), data or [], backend)
    if as_json:
        show_json(found)
        return
    table = table_of("what", "value")
    for name, value in found.items():
        table.add_row(escape(plain(name)), f"{value:.6g}")
    console().print(table)


@commands.command(epilog="Example: unifront predict flowers-model rose.jpg tulips/ --out predictions.csv")
def predict(
    model: Trained,
    data: Annotated[
        list[str] | None,
        typer.Argument(
            help="Images or folders of them, a table, a series, a .npz file; of a text, what it begins with."
        ),
    ] = None,
    out: Annotated[Path | None, typer.Option(help="Write all to this .csv, .json or .npz file.")] = None,
    backend: Backend = None,
    length: Annotated[int, typer.Option(min=1, help="Characters to write, of a model of texts.")] = 200,
    temperature: Annotated[
        float, typer.Option(min=0.0, help="How daring it writes; 0: always the likeliest.")
    ] = 0.8,
    seed: Annotated[int, typer.Option(min=0, help="Of what it draws.")] = 0,
    as_json: Json = False,
) -> None:
    """Say what a trained model makes of data."""
    from unifront.recipes import results

    if out is not None and out.suffix.lower() not in results.FORMATS:
        raise ArgumentError(
            f"{out} is of no format that predictions are written in: {', '.join(results.FORMATS)}."
        )
    _quietly(backend)
    found = results.predict(
        results.opened(model), data or [], backend, length=length, temperature=temperature, seed=seed
    )
    if out is not None:
        results.write(found, out)
    if as_json:
        show_json({"text": found.text} if found.text is not None else found.rows)
        return
    if found.text is not None:
        console().print(
            escape("\n".join(map(plain, found.text.split("\n")))), highlight=False, soft_wrap=True
        )
        return
    _show(found.rows)
    if out is not None:
        line(f"{out} holds {len(found.rows)} prediction{'s' * (len(found.rows) != 1)}.")
    elif len(found.rows) > SHOWN:
        line(f"{len(found.rows) - SHOWN} more; --out predictions.csv writes all.")


def _quietly(backend: str | None) -> None:
    name = (backend or default_name()).partition(":")[0]
    if name in names():
        load_quietly([name])


def _show(rows: list[dict[str, Any]]) -> None:
    table = table_of(*rows[0])
    for row in rows[:SHOWN]:
        table.add_row(
            *(f"{one:.4g}" if isinstance(one, float) else escape(plain(str(one))) for one in row.values())
        )
    console().print(table)


@recipes.command("list", epilog="Example: unifront recipes list")
def list_recipes(as_json: Json = False) -> None:
    """List the recipes that come along."""
    from unifront.recipes import running, text

    found = {name: text.read(path).data.get("about", "") for name, path in running.shipped().items()}
    if as_json:
        show_json(found)
        return
    table = table_of("recipe", "what it trains")
    for name, about in found.items():
        table.add_row(name, escape(about))
    console().print(table)


@recipes.command("show", epilog="Example: unifront recipes show image-folder > flowers.yaml")
def show_recipe(
    name: Annotated[
        str, typer.Argument(help="One of `unifront recipes list`.", autocompletion=_complete_recipe)
    ],
) -> None:
    """Print a recipe, to begin one's own with."""
    from unifront.recipes import running

    known = running.shipped()
    if name not in known:
        raise UnknownName("recipe", name, known)
    typer.echo(known[name].read_text(encoding="utf-8"), nl=False)
