"""Writes docs/keras-examples.md: the counts of each framework, and why what does not pass does not.

The counts of the frameworks that were not run now stay as they are.
"""

from __future__ import annotations

import re
from pathlib import Path

HEAD = """# Examples of Keras's docstrings

The examples in the docstrings of Keras 3.15.1's public classes and functions, run with `import keras` meaning unifront:
`make keras-examples`. They are read from the installed Keras, not copied. An example counts if Keras itself runs it on the
same framework and nothing has to be downloaded; it passes if it runs and prints what is shown (how outputs are compared:
`tests/keras_examples/outputs.py`). Many that Keras itself does not run are formulas, or parts of programs with names
that nobody defines.
"""
REASONS = """## What does not pass, and why

| examples of | reason |
|---|---|
"""


def write(page: Path, framework: str, lines: list[str], known: dict[str, str]) -> None:
    old = page.read_text(encoding="utf-8") if page.exists() else ""
    tables = dict(re.findall(r"^## On (\w+)\n\n(.*?)\n(?=\n## )", old, re.DOTALL | re.MULTILINE))
    tables[framework] = "\n".join(lines)
    parts = [HEAD, *(f"## On {name}\n\n{table}\n" for name, table in sorted(tables.items()))]
    rows = "".join(f"| `{name}` | {reason} |\n" for name, reason in sorted(known.items()))
    page.write_text("\n".join([*parts, REASONS + rows]), encoding="utf-8")
