"""Which operation runs where: by a row of its own, written out in others, or not, and why."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from unifront.backends import installed, placement
from unifront.onnx.export import OPSETS
from unifront.onnx.recurrent import TIME_MAJOR
from unifront.onnx.rows import target
from unifront.opset.spec import OPS, OpSpec

HEAD = """# Operations

What `uf.ops` is made of: every primitive operation, and how each backend runs it. **row**: the framework's own
function; *written out*: in other operations of this table; a number is a reason below why it does not run
there. Functions of `uf.ops` that are made of these are not listed: they run wherever their parts do.

Written by `make tables`; a test holds it to the code.

"""


def _tables(names: tuple[str, ...]) -> dict[str, tuple[Mapping[Any, Any], Mapping[Any, str]]]:
    found: dict[str, tuple[Mapping[Any, Any], Mapping[Any, str]]] = {}
    for name in names:
        rows = placement(name).backend.rows()
        found[name] = ({**dict.fromkeys(rows.in_place), **rows.table}, rows.reasons)
    onnx = target(OPSETS[-1])
    return {**found, "onnx": ({**dict.fromkeys(TIME_MAJOR), **onnx.table}, onnx.reasons)}


def state(op: OpSpec, table: Mapping[Any, Any], reasons: Mapping[Any, str]) -> str:
    """``"row"``, ``"written out"``, or the reason why it does not run."""
    if op in table or op.name == "constant":
        return "row"
    if op in reasons:
        return reasons[op]
    return "written out" if op.decomposition else "it has no row for it"


def unsupported(name: str) -> dict[str, str]:
    """The operations that a backend (or ``"onnx"``) does not run, with the reason of each."""
    (found,) = (one for key, one in _tables((name,) if name != "onnx" else ()).items() if key == name)
    states = {op.name: state(op, *found) for op in OPS.values()}
    return {op: why for op, why in states.items() if why not in ("row", "written out")}


def operations_table() -> str:
    """The page as Markdown."""
    names = tuple(name for name in installed() if name != "numpy")
    tables = _tables(names)
    lines = ["| operation | " + " | ".join(tables) + " | source |", "|---" * (len(tables) + 2) + "|"]
    reasons: list[str] = []

    def cell(op: OpSpec, table: Mapping[Any, Any], why: Mapping[Any, str]) -> str:
        found = state(op, table, why)
        if found in ("row", "written out"):
            return {"row": "**row**", "written out": "*written out*"}[found]
        if found not in reasons:
            reasons.append(found)
        return str(1 + reasons.index(found))

    for op in sorted(OPS.values(), key=lambda op: op.name):
        cells = " | ".join(cell(op, *tables[name]) for name in tables)
        lines.append(f"| `{op.name}` | {cells} | {op.source.replace('|', '&#124;')} |")
    counts = ", ".join(f"{name} {100 * _share(name):.1f} %" for name in tables)
    told = [f"\nOf {len(OPS)} operations there is no way to run: {counts}.\n"]
    told += [f"{number}. {why}" for number, why in enumerate(reasons, 1)]
    return HEAD + "\n".join([*lines, *told]) + "\n"


def _share(name: str) -> float:
    return len(unsupported(name)) / len(OPS)


PAGES: dict[str, Callable[[], str]] = {"operations.md": operations_table}
"""The generated pages of ``docs/``."""


def write(folder: Path) -> None:
    """Write the generated pages into ``folder``."""
    for name, page in PAGES.items():
        (folder / name).write_text(page(), encoding="utf-8")


if __name__ == "__main__":
    write(Path("docs"))
