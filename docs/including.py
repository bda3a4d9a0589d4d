"""Text from elsewhere as Markdown: docstrings, and what pages include of other files."""

from __future__ import annotations

import re
from pathlib import Path

ROOT = Path(__file__).parents[1]
INCLUDE = re.compile(r"^<!-- include: ([\w./-]+)(?:#([\w-]+))? -->$", re.MULTILINE)
FENCED = re.compile(r"^(```.*?^```)$", re.MULTILINE | re.DOTALL)
LINK = re.compile(r"\[([^\]]+)\]\((?!https?://|#)([^)]+)\)")


def section(text: str, slug: str) -> str:
    """What stands below a heading, without the heading, up to the next of its level or a higher one."""
    lines, fenced, level, found = text.splitlines(keepends=True), False, 0, []
    for line in lines:
        fenced ^= line.startswith("```")
        mark = re.match(r"(#+) (.+)", line) if not fenced else None
        if mark and level and len(mark[1]) <= level:
            break
        if level:
            found.append(line)
        elif mark and re.sub(r"[^\w -]", "", mark[2]).lower().replace(" ", "-") == slug:
            level = len(mark[1])
    if not level:
        raise ValueError(f"There is no heading {slug!r} to include.")
    return "".join(found)


def included(found: re.Match[str]) -> str:
    """A file of the repository, or one section of it; links to pages lead there, others to no page are text."""
    text = (ROOT / found[1]).read_text(encoding="utf-8")
    text = section(text, found[2]) if found[2] else text
    parts = FENCED.split(text)
    return "".join(part if part.startswith("```") else LINK.sub(_link, part) for part in parts)


def _link(found: re.Match[str]) -> str:
    place = found[2].removeprefix("CONTRIBUTING.md#")
    if place.startswith("adding-"):
        return f"[{found[1]}]({place}.md)"
    return f"[{found[1]}]({place.removeprefix('docs/')})" if place.startswith("docs/") else found[1]


def filled(markdown: str) -> str:
    """A page with what it includes."""
    return INCLUDE.sub(included, markdown)


CODE = re.compile(r"^Examples?::\n\n?((?:    .*\n?|\n)+)", re.MULTILINE)
LITERAL = re.compile(r"::(?=\n\n    )")


def fenced(text: str) -> str:
    """A docstring as Markdown: below ``Example::`` stands a block of Python; ``::`` before other code is a colon."""

    def block(found: re.Match[str]) -> str:
        lines = [line.removeprefix("    ") for line in found[1].strip("\n").splitlines()]
        return "\n".join(["**Example**", "", "```python", *lines, "```", ""])

    return LITERAL.sub(":", CODE.sub(block, text))
