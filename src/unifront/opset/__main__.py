"""Writes `unifront/ops/__init__.py`, the public face of the operations, out in full for editors and type
checkers: ``python -m unifront.opset`` (or ``make ops``). A test compares the file with what this gives."""

from __future__ import annotations

from pathlib import Path

from unifront.opset import FAMILIES, public_functions

FACE = Path(__file__).parents[1] / "ops" / "__init__.py"
HEAD = '''"""Operations: ``uf.ops.NAME`` works on native arrays (runs at once) and symbolic tensors (adds to a graph).

Written by ``python -m unifront.opset``; the operations themselves are in `unifront.opset`, a file per family.
"""

from __future__ import annotations

from typing import Any

'''
TAIL = """

def __getattr__(name: str) -> Any:
    from unifront.errors import UnknownName
    from unifront.opset.spec import DEFINED

    if name in DEFINED:
        return DEFINED[name]

    raise AttributeError(str(UnknownName("operation", name, __all__)))
"""


def face() -> str:
    """The text of `unifront.ops`."""
    found = {name: family for family in FAMILIES for name in public_functions(family)}
    imports = [
        f"from unifront.opset.{family} import {name} as {name}\n"
        for family in FAMILIES
        for name in sorted(public_functions(family), key=str.lower)
    ]
    names = "".join(f"    {name!r},\n" for name in sorted(found)).replace("'", '"')
    return HEAD + "".join(imports) + f"\n__all__ = [\n{names}]\n" + TAIL


if __name__ == "__main__":
    FACE.write_text(face(), encoding="utf-8")
