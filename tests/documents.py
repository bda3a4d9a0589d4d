"""Markdown documents as tests see them: their code blocks, and running these."""

from __future__ import annotations

import linecache
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent


@dataclass(frozen=True)
class Block:
    """A fenced block: its language, its text, and the line on which the text begins."""

    document: str
    language: str
    text: str
    line: int

    @property
    def file(self) -> str:
        """The file that the first line, ``# path/of/file.py``, says the block belongs to; "" without one."""
        found = re.match(r"# ([\w./-]+\.\w+)", self.text)
        return found[1] if found else ""

    def run(self, names: dict[str, Any]) -> None:
        """Execute the block in ``names``; errors show the document's own lines."""
        file = f"<{self.document}>"
        linecache.cache[file] = (0, None, read(self.document).splitlines(keepends=True), file)
        exec(compile("\n" * (self.line - 1) + self.text, file, "exec"), names)


def read(document: str) -> str:
    return (ROOT / document).read_text(encoding="utf-8")


def blocks(document: str, language: str = "") -> Iterator[Block]:
    """The fenced blocks of a document in order, all or those of one language."""
    lines = read(document).splitlines(keepends=True)
    opened = None
    for number, line in enumerate(lines, 1):
        if opened is None and line.startswith("```"):
            opened = (line[3:].strip(), number)
        elif opened is not None and line.startswith("```"):
            kind, first = opened
            if language in ("", kind):
                yield Block(document, kind, "".join(lines[first : number - 1]), first + 1)
            opened = None
    assert opened is None, f"{document}: the block on line {opened and opened[1]} is not closed"


def links(document: str) -> Iterator[str]:
    """The targets of links to other files of this repository."""
    for target in re.findall(r"\]\(([^)]+)\)", read(document)):
        if not target.startswith(("http", "#")):
            yield target
