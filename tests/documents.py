"""Markdown documents as tests see them: their code blocks, and running these.

A block ``output`` behind a block ``python`` is what the latter prints; ``python -m tests.documents docs/how-it-works.md``
runs a document and writes these blocks again.
"""

from __future__ import annotations

import contextlib
import io
import linecache
import re
import sys
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


def run(document: str, names: dict[str, Any]) -> Iterator[tuple[Block, str, Block | None]]:
    """Execute a document's Python in order: each block, what it printed, and the block that says what it prints."""
    every = list(blocks(document))
    for block, after in zip(every, [*every[1:], None], strict=True):
        if block.language == "python":
            with contextlib.redirect_stdout(io.StringIO()) as printed:
                block.run(names)
            yield block, printed.getvalue(), after if after and after.language == "output" else None


def write_outputs(document: str) -> None:
    """Put what its blocks print into a document."""
    lines = read(document).splitlines(keepends=True)
    for _, printed, output in reversed(list(run(document, {}))):
        if output is not None:
            first = output.line - 1
            lines[first : first + output.text.count("\n")] = [printed]
    (ROOT / document).write_text("".join(lines), encoding="utf-8")


def links(document: str) -> Iterator[str]:
    """The targets of links to other files of this repository."""
    for target in re.findall(r"\]\(([^)]+)\)", read(document)):
        if not target.startswith(("http", "#")):
            yield target


if __name__ == "__main__":
    for name in sys.argv[1:]:
        write_outputs(name)
