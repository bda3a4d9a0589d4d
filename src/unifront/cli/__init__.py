"""The command line: each module holds the commands of one kind as a Typer called ``commands``; `app` holds all."""

from __future__ import annotations

from typing import Annotated

import typer

import unifront as uf
from unifront.cli import measuring, models, serving, training
from unifront.cli.shown import console, guarded

app = typer.Typer(
    help="Write a deep-learning model once; train and run it as PyTorch, TensorFlow or JAX.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
)
for _module in (models, training, serving, measuring):
    app.add_typer(_module.commands)


def _version(wanted: bool) -> None:
    if wanted:
        console().print(f"unifront {uf.__version__}", highlight=False)
        raise typer.Exit


@app.callback()
def options(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Show the version.")
    ] = False,
) -> None:
    """Options of every command."""


def main() -> None:
    """Run the command line; errors of unifront's own and of files are one line, without a traceback."""
    guarded(app)
