"""The commands of ``unifront``, with arguments and options, as Markdown."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from typer.main import get_command

from unifront.cli import app


def commands(command: Any = None, path: str = "unifront") -> Iterator[tuple[str, Any]]:
    """Every command with its path, ``unifront zoo list``."""
    command = command or get_command(app)
    for name, one in sorted(getattr(command, "commands", {}).items()):
        if hasattr(one, "commands"):
            yield from commands(one, f"{path} {name}")
        else:
            yield f"{path} {name}", one


def _parameter(one: Any) -> str:
    name = (one.metavar or one.name.upper()) if one.param_type_name == "argument" else ", ".join(one.opts)
    said = (getattr(one, "help", None) or "").strip()
    default = (
        "" if one.default in (None, False, (), []) or callable(one.default) else f" Default: `{one.default}`."
    )
    return f"- `{name}`: {said}{default}"


def page() -> str:
    """One section for each command."""
    parts = []
    for path, command in commands():
        parameters = [_parameter(one) for one in command.params if not getattr(one, "hidden", False)]
        example = (command.epilog or "").removeprefix("Example: ")
        parts += [f"### {path}", "", (command.help or "").strip(), ""]
        parts += [*parameters, ""] if parameters else []
        parts += ["```sh", example, "```", ""] if example else []
    return "\n".join(parts)
