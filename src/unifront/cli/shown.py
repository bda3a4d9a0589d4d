"""What all commands share: tables, ``--json``, quiet loading of frameworks, and how a command fails.

A command exits with 0 if it did what was asked, with 1 after an error of unifront or of a file (one line on the
standard error), and with 2 if it was called wrongly.
"""

from __future__ import annotations

import json
import os
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from unifront.backends import get_backend, installed
from unifront.errors import UnifrontError

Json = Annotated[bool, typer.Option("--json", help="Print JSON.")]
"""The type of the parameter of a command that prints JSON if asked."""


def console() -> Console:
    """The terminal, as wide as it is now."""
    return Console()


def table_of(*columns: str, title: str | None = None) -> Table:
    """An empty table that loses nothing in a narrow terminal."""
    table = Table(title=title, title_justify="left")
    for column in columns:
        table.add_column(column, overflow="fold")
    return table


def line(text: str) -> None:
    """Print a line as it is: no markup, no colours, no line breaks."""
    console().print(escape(plain(text)), highlight=False, soft_wrap=True)


def show_json(found: Any) -> None:
    """Print plain values as JSON; not finite numbers, which JSON has not, as null."""
    sys.stdout.write(json.dumps(_finite(found), indent=2, allow_nan=False) + "\n")


def _finite(found: Any) -> Any:
    if isinstance(found, dict):
        return {key: _finite(value) for key, value in found.items()}
    if isinstance(found, list | tuple):
        return [_finite(value) for value in found]
    if isinstance(found, float) and found - found != 0:
        return None
    return found


def plain(text: str) -> str:
    """Text of a file, which may try to steer the terminal."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)


def load_quietly(wanted: Sequence[str] | None = None) -> None:
    """Load every installed backend, or those wanted; what they print meanwhile is shown only if one fails to load.

    TensorFlow writes to the process's standard error from C++ before any setting of it applies.
    """
    with _quiet_standard_error():
        for name in installed(inference=True) if wanted is None else wanted:
            get_backend(name).devices()


@contextmanager
def _quiet_standard_error() -> Iterator[None]:
    kept = os.dup(2)
    with tempfile.TemporaryFile() as printed:
        os.dup2(printed.fileno(), 2)
        try:
            yield
        except BaseException:
            printed.seek(0)
            os.write(kept, printed.read())
            raise
        finally:
            os.dup2(kept, 2)
            os.close(kept)


def guarded(run: Callable[[], object]) -> None:
    """Run the command line; errors of unifront's own and of files are one line, without a traceback."""
    try:
        run()
    except (UnifrontError, OSError) as error:
        Console(stderr=True).print(f"[red]Error:[/] {escape(str(error))}", soft_wrap=True)
        sys.exit(1)
