"""Where a model's names are looked up: its graph, the bodies in it, and those of functions."""

from __future__ import annotations

from collections import ChainMap
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from unifront.onnx.imports.values import Value


@dataclass(frozen=True, eq=False)
class Frame:
    """Where names are looked up: a graph, in the graph around it, or the body of a function.

    Args:
        versions: of the operator sets, by domain.
        given: the attributes of the function's call.
        made_by: for each name the operator that made it.
        done: the nodes that have been read.
    """

    values: ChainMap[str, Value]
    versions: Mapping[str, int]
    given: Mapping[str, Any]
    depth: int = 0
    made_by: dict[str, str] = field(default_factory=dict)
    done: list[Any] = field(default_factory=list)

    def inside(self) -> Frame:
        return replace(
            self, values=self.values.new_child(), depth=self.depth + 1, made_by=dict(self.made_by), done=[]
        )

    def given_to(self, proto: Any) -> Iterator[tuple[str, Any]]:
        """A node's attributes, those that are the function's taken from its call."""
        for attribute in proto.attribute:
            if not attribute.ref_attr_name:
                yield attribute.name, attribute
            elif attribute.ref_attr_name in self.given:
                yield attribute.name, self.given[attribute.ref_attr_name]


class Body:
    """The part of a ``GraphProto`` that a function's body has."""

    initializer = sparse_initializer = ()

    def __init__(self, node: Any, outputs: list[str]) -> None:
        self.node, self.output = node, [_Named(name) for name in outputs]


@dataclass(frozen=True)
class _Named:
    name: str


def versions_of(function: Any) -> dict[str, int]:
    """The versions of the operator sets that a function's body is written in, by domain."""
    return {"" if one.domain == "ai.onnx" else one.domain: one.version for one in function.opset_import}
