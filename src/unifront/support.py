"""Which operation runs where: by a row of its own, written out in others, or not, and why.

And which names of Keras and which operators of ONNX are there: all that the generated pages of the docs tell.
"""

from __future__ import annotations

import ast
import importlib
from collections.abc import Callable, Mapping
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

from unifront.backends import installed, placement
from unifront.onnx import imports
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
    native = sum("**row**" in line for line in lines)
    told = [
        f"\nOf {len(OPS)} operations {native} have a row somewhere; the others are composites that keep a name, for "
        f"passes and files. There is no way to run: {counts}.\n"
    ]
    told += [f"{number}. {why}" for number, why in enumerate(reasons, 1)]
    return HEAD + "\n".join([*lines, *told]) + "\n"


def _share(name: str) -> float:
    return len(unsupported(name)) / len(OPS)


# ---------------------------------------------------------------- names of Keras, operators of ONNX

KERAS_VERSION = "3.15"
KERAS_NAMES = Path(__file__).parents[2] / "docs" / "keras-names.txt"
"""Keras's public names, one a line; `tests/test_support.py` holds it to the installed Keras."""

NOT_BUILT = "not built"
ABSENT: dict[str, str] = {
    "keras.*.legacy.*": "what files and optimizers before Keras 3 want; Keras 3 itself only refuses them",
    "keras.Operation": "`uf.Layer` and `uf.ops.define` are what one derives from",
    "keras.StatelessScope": "`stateless_call` of layers and models is what it is for",
    "keras.SymbolicScope": "symbolic tensors need no scope here",
    "keras.config.*flash_attention*": "each backend takes its fastest kernel by itself",
    "keras.config.*max_*": "`fit` takes `fast_dev_run` and `limit_train_batches`",
    "keras.config.*traceback_filtering*": "tracebacks are not filtered",
    "keras.config.enable_unsafe_deserialization": "no file's code is ever run",
    "keras.config.is_nnx_enabled": "layers are no modules of Flax",
    "keras.distribution.*": "one device, but on JAX, where a backend's name may list several",
    "keras.export.ExportArchive": "not built; `export` and `lower` write one model each",
    "keras.legacy.*": "what files before Keras 3 want",
    "keras.quantizers.*Config": "calibration (AWQ, GPTQ) is not built",
    "keras.saving.KerasFileEditor": "the editor of Keras's own files is not built",
    "keras.utils.Config": NOT_BUILT,
    "keras.version": "`uf.__version__`",
    "keras.visualization.*": NOT_BUILT,
}
"""Names of Keras that are not there, by pattern, with the reason."""


def keras_names() -> dict[str, str | None]:
    """Every public name of Keras, and why it is not there; ``""`` where it is, None without a reason."""
    found: dict[str, str | None] = {}
    for name in KERAS_NAMES.read_text(encoding="utf-8").split():
        value: Any = importlib.import_module("unifront")
        try:
            for part in name.split(".")[1:]:
                value = getattr(value, part)
            found[name] = ""
        except AttributeError:
            reasons = [why for pattern, why in ABSENT.items() if fnmatchcase(name, pattern)]
            found[name] = reasons[0] if reasons else None
    return found


COMPAT = """# Names of Keras and operators of ONNX

What is there under Keras's names, and which of ONNX's operators are read and written. Written by `make tables`; a test
holds it to the code.

## Keras

Of the {all} public names of Keras {version} there are {there}, as `uf.NAME` for `keras.NAME`. That a name is
there says no more than that; the tests compare parameters and numbers of most with Keras's, not of every one.

| namespace | names | there |
|---|--:|--:|
{counts}

### Not there

| namespace | names | why |
|---|---|---|
{absent}

### There

{names}

## ONNX

`uf.from_onnx` reads an operator in every version, from the operator set in the second column on, with the meaning that
it has in that version. *body*: by the definition in other operators that ONNX gives. `model.export` writes operator
sets {first} to {last}. "written" says that the exporter has a form that uses the operator.

| operator | since | read | written |
|---|--:|---|---|
{operators}
"""


def _keras_part() -> dict[str, Any]:
    found = keras_names()
    spaces: dict[str, list[str]] = {}
    for name in found:
        spaces.setdefault(name.rpartition(".")[0], []).append(name)
    counts, names = [], []
    for space, every in sorted(spaces.items()):
        there = [name.rpartition(".")[2] for name in every if found[name] == ""]
        counts.append(f"| `{space}` | {len(every)} | {len(there)} |")
        if there:
            names.append(
                f"**{space}**: " + ", ".join(f"`{name}`" for name in sorted(there, key=str.lower)) + "\n"
            )
    missing: dict[tuple[str, str | None], list[str]] = {}
    for name, why in found.items():
        if why != "":
            missing.setdefault((name.rpartition(".")[0], why), []).append(f"`{name.rpartition('.')[2]}`")
    absent = [f"| `{space}` | {', '.join(every)} | {why} |" for (space, why), every in missing.items()]
    return {
        "all": len(found),
        "there": sum(why == "" for why in found.values()),
        "counts": "\n".join(counts),
        "absent": "\n".join(absent),
        "names": "\n".join(names),
    }


def _written_operators() -> set[str]:
    """What the exporter's code names: each string in it that is an operator's name."""
    folder = Path(imports.__file__).parents[1]
    files = [*folder.glob("*.py"), *folder.glob("rows/*.py")]
    trees = [ast.parse(file.read_text(encoding="utf-8")) for file in files]
    nodes = [node for tree in trees for node in ast.walk(tree)]
    return {node.value for node in nodes if isinstance(node, ast.Constant) and isinstance(node.value, str)}


def _operators() -> str:
    from onnx import defs

    read, reasons, written = imports.rows(), imports.reasons(), _written_operators()
    since: dict[tuple[str, str], int] = {}
    newest: dict[tuple[str, str], Any] = {}
    for schema in defs.get_all_schemas_with_history():
        key = (schema.domain, schema.name)
        since[key] = min(schema.since_version, since.get(key, schema.since_version))
        if key not in newest or schema.since_version > newest[key].since_version:
            newest[key] = schema
    lines = []
    for key in sorted({*since, *read, *reasons}):
        domain, name = key
        schema = newest.get(key)  # ONNX Runtime's own operators have none here
        by_body = schema is not None and (schema.has_function or schema.has_context_dependent_function)
        state = "yes" if key in read else reasons.get(key, "*body*" if by_body else "no: not built")
        writes = "yes" if not domain and name in written else ""
        called = f"{domain}.{name}" if domain else name
        lines.append(f"| `{called}` | {since.get(key, 1)} | {state} | {writes} |")
    return "\n".join(lines)


def compat_table() -> str:
    """The page of names and operators, as Markdown."""
    versions = {"version": KERAS_VERSION, "first": OPSETS[0], "last": OPSETS[-1]}
    return COMPAT.format(**_keras_part(), **versions, operators=_operators())


PAGES: dict[str, Callable[[], str]] = {"operations.md": operations_table, "compat.md": compat_table}
"""The generated pages of ``docs/``."""


def write(folder: Path) -> None:
    """Write the generated pages into ``folder``."""
    for name, page in PAGES.items():
        (folder / name).write_text(page(), encoding="utf-8")


if __name__ == "__main__":
    write(Path("docs"))
