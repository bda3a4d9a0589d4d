"""Writes `unifront/ops`, the public face of the operations, out in full for editors and type checkers:
``python -m unifront.opset`` (or ``make ops``). A test compares the files with what this gives."""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path

from unifront.opset import FAMILIES, at_home, public_functions
from unifront.opset.namespaces import NAMES, NOT_FLAT

FACE = Path(__file__).parents[1] / "ops"
HEAD = '''"""Operations: ``uf.ops.NAME`` works on native arrays (runs at once) and symbolic tensors (adds to a graph).

Written by ``python -m unifront.opset``; the operations themselves are in `unifront.opset`, a file per family.
"""

from __future__ import annotations

from typing import Any

'''
PART = '''"""The operations that Keras has in {place}; written by ``python -m unifront.opset``."""

from __future__ import annotations
'''
TAIL = """

def __getattr__(name: str) -> Any:
    from unifront.errors import UnknownName
    from unifront.opset.namespaces import elsewhere
    from unifront.opset.spec import DEFINED

    if name in DEFINED:
        return DEFINED[name]

    raise AttributeError(elsewhere(name) or str(UnknownName("operation", name, __all__)))
"""


def _imports(found: dict[str, str], names: Iterable[str]) -> str:
    homes = sorted((found[name], _numbered(name.lower()), name) for name in names)
    return "".join(f"from unifront.opset.{family} import {name} as {name}\n" for family, _, name in homes)


def _numbered(name: str) -> list[str | int]:
    """What puts ``log2`` before ``log10``, as the linter wants it."""
    return [int(part) if part.isdigit() else part for part in re.split(r"(\d+)", name)]


def _all(names: Iterable[str]) -> str:
    shown = "".join(f'    "{name}",\n' for name in sorted(names, key=_numbered))
    return f"\n__all__ = [\n{shown}]\n" if shown else "\n__all__: list[str] = []\n"


def face() -> dict[Path, str]:
    """The text of each file of `unifront.ops`."""
    found = {name: family for family in FAMILIES for name in public_functions(family)}
    found |= {name: "at_home" for name, value in vars(at_home).items() if name in found and callable(value)}
    flat = found.keys() - NOT_FLAT
    parts = "".join(f"from unifront.ops import {namespace} as {namespace}\n" for namespace in sorted(NAMES))
    texts = {FACE / "__init__.py": HEAD + parts + _imports(found, flat) + _all([*flat, *NAMES]) + TAIL}
    for namespace, names in NAMES.items():
        here = found.keys() & names
        source = namespace in ("core", "math")
        place = f"its file ``ops/{namespace}.py``" if source else f"``keras.ops.{namespace}``"
        imports = f"\n{_imports(found, here)}" if here else ""
        texts[FACE / f"{namespace}.py"] = PART.format(place=place) + imports + _all(here)
    return texts


if __name__ == "__main__":
    for path, text in face().items():
        path.write_text(text, encoding="utf-8")
