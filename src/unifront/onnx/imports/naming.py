"""From the names of nodes and initializers to the paths of layers and weights."""

from __future__ import annotations

import ast
import re
from collections.abc import Sequence
from typing import Any

from unifront.opset.tensor import current_path

_SCOPES = "pkg.torch.onnx.name_scopes"
_LAYER = "unifront.layer"
_LONGEST = 300
_MOST_DIMS = 8
_DEEPEST = 16
"""Parts of a path that count: no model of use has layers as deep in one another."""


def shown(name: object) -> str:
    """A name as errors show it: quoted, and not too long."""
    text = str(name)
    return repr(text if len(text) <= _LONGEST else f"{text[:_LONGEST]} …")


def shown_shape(dims: Sequence[Any]) -> str:
    """A shape as errors show it: not too long."""
    inner = ", ".join(map(str, dims[:_MOST_DIMS]))
    return f"[{inner}, … ({len(dims)} axes)]" if len(dims) > _MOST_DIMS else f"[{inner}]"


def _parts(path: str) -> list[str]:
    """The parts of a path, without empty ones; ``layer1/layer1.0`` (as torch.onnx writes it) is ``layer1/0``."""
    found: list[str] = []
    full = ""
    for part in path.split("/"):
        if not part:
            continue
        own = part.removeprefix(f"{full}.") if full and part.startswith(f"{full}.") else part
        full = part
        found += [one for one in own.split(".") if one]
    return found[:_DEEPEST]


def layer_of(proto: Any, number: int) -> str:
    """The path of the layer to which a node belongs.

    What unifront wrote says it, and what ``torch.onnx`` wrote says the module; else it is the name of the node
    without its last part, which is the operator.
    """
    told = {entry.key: entry.value for entry in proto.metadata_props}
    if told.get(_LAYER):
        return "/".join(_parts(told[_LAYER][:_LONGEST])) or _own(proto, number)
    if _SCOPES in told:
        modules = _modules(told[_SCOPES])
        if modules:
            return "/".join(_parts(modules[-1]))
    parts = _parts(proto.name[:_LONGEST])
    return "/".join(parts[:-1] if len(parts) > 1 else parts) or _own(proto, number)


def _own(proto: Any, number: int) -> str:
    return f"{re.sub(r'[^A-Za-z0-9_]', '_', proto.op_type[:_LONGEST])}_{number}"


def _modules(text: str) -> list[str]:
    """The modules around a node, the innermost last, from a list written as Python."""
    try:
        scopes = ast.literal_eval(text) if len(text) < 10 * _LONGEST else []
    except (ValueError, SyntaxError, RecursionError, MemoryError):
        return []
    if not isinstance(scopes, list) or not all(isinstance(scope, str) for scope in scopes):
        return []
    return [scope for scope in scopes[:-1] if scope]  # the last one is the node itself


class Names:
    """Paths of weights, each once."""

    def __init__(self) -> None:
        self._taken: set[str] = set()

    def weight(self, name: str) -> str:
        """The path of the weight called ``name``: its own, where it has several parts, else below the layer."""
        parts = _parts(name[:_LONGEST]) or ["weight"]
        path = "/".join(parts if len(parts) > 1 else [*filter(None, [current_path()]), *parts])
        found, number = path, 0
        while found in self._taken:
            number += 1
            found = f"{path}_{number}"
        self._taken.add(found)
        return found
