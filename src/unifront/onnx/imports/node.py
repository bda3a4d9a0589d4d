"""One node of an ONNX model as its row sees it, and what a row is."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, NoReturn

import numpy as np

from unifront.errors import FileFormatError
from unifront.ir.dims import Dim
from unifront.ir.types import Shape
from unifront.opset.tensor import type_of

if TYPE_CHECKING:
    from unifront.onnx.imports.importer import Importer
    from unifront.onnx.imports.values import Value

ROOM = 2**22
"""Elements that the tables may have which a row makes of sizes (positions, weights), and signs that strings may."""
ALL = range(2**31)
"""All operands."""
NEEDED = object()
"""The default of an attribute that has none."""
STANDARD = 21
"""The version of the operator set whose operators those of other domains are like."""


@dataclass(frozen=True)
class Row:
    """How an operator becomes operations of unifront; the module `unifront.onnx.imports` says how one is written.

    Args:
        function: ``(node, *operands) -> value``, or a tuple of values where the operator has several results;
            `NotImplemented` for a form that the body of the operator's definition is to say.
        known: the operands that have to be known arrays: axes, say.
        sizes: the operands that are sizes: they come as tuples of dimensions, free ones too.
        weights: the operands that come as a `Weight` where they are one, for `Node.weight` to lay out.
        state: the operands that, being weights, are no trainable ones: running means.
        narrow: whether the function takes `Narrow` operands; ``"moves"``: it only moves elements, so that what comes
            out is of the first operand's type of few bits; else they come as what carries them.
        raw: whether operands come as they are: sequences, optionals, strings, sizes.
        attributes: of an operator that ONNX does not define: its attributes with their defaults; `NEEDED` where
            there is none and one has to be given.
    """

    function: Callable[..., Any]
    known: tuple[int, ...] | range = ()
    sizes: tuple[int, ...] = ()
    weights: tuple[int, ...] = ()
    state: tuple[int, ...] = ()
    narrow: bool | str = False
    raw: bool = False
    attributes: Mapping[str, Any] | None = None


@dataclass(frozen=True, eq=False)
class Node:
    """A node: its attributes, and what its row may ask.

    Args:
        version: the version of the operator set in which the operator got the meaning that it has here.
        attributes: those given, and the defaults of ONNX's own definition; read them as ``node["axis"]``, which is
            None where there is neither.
        label: what errors call it.
        outputs: for each result whether somebody may read it.
    """

    importer: Importer
    frame: Any
    proto: Any
    version: int
    attributes: Mapping[str, Any]
    label: str

    def __getitem__(self, name: str) -> Any:
        return self.attributes.get(name)

    def get(self, name: str, default: Any) -> Any:
        """An attribute of an operator that ONNX does not define."""
        return self.attributes.get(name, default)

    def standard(self, **attributes: Any) -> Node:
        """This node as one of ``ai.onnx``, which the rows of that domain take; with other attributes, too."""
        return replace(self, version=STANDARD, attributes={**self.attributes, **attributes})

    @property
    def outputs(self) -> tuple[bool, ...]:
        return tuple(bool(name) for name in self.proto.output)

    def wants(self, number: int) -> bool:
        """Whether the result ``number`` has a name."""
        return number < len(self.proto.output) and bool(self.proto.output[number])

    def fail(self, text: str) -> NoReturn:
        """`FileFormatError`, naming the node."""
        raise FileFormatError(f"{self.label}: {text}")

    def room(self, count: int) -> None:
        """`FileFormatError` for a table of more elements than a model of use has."""
        if count > ROOM:
            self.fail(f"it takes a table of {count} elements; at most {ROOM} are made")

    def known(self, value: Value, what: str = "an operand") -> np.ndarray:
        """``value`` as an array; an error that says which inputs decide it, where it is not known."""
        return self.importer.folding.known(value, f"{self.label}: {what}")

    def dims(self, value: Value, what: str = "the shape") -> tuple[Dim, ...]:
        """``value``, integers ``[n]`` or one, as dimensions."""
        return self.importer.folding.dims(value, f"{self.label}: {what}")

    def weight(self, value: Value, axes: tuple[int, ...] | None = None) -> Any:
        """A weight with its axes in the order ``axes``, laid out so once for all; other tensors are transposed."""
        return self.importer.lifting.laid_out(value, axes)

    def number(self, value: Value) -> Any:
        """An operand that may be a weight and, where it is of one element, is a number in a formula."""
        return self.importer.lifting.lifted(value)

    def graph(self, name: str, *operands: Value) -> tuple[Value, ...]:
        """The results of the body in the attribute ``name`` on ``operands``, traced where this node is."""
        return self.importer.body(self[name], operands, self.frame)

    def traced(self, value: Value) -> Any:
        """``value`` as a tensor of the graph, so that what it goes into is not computed now."""
        return self.importer.lifting.traced(value)

    def lazy(self, value: Value, shape: Shape) -> Any:
        """``value``, which is about to become as large as ``shape``; what is large is not computed at import."""
        return self.importer.lifting.lazy(value, shape)


def whole(node: Node, dim: Dim, what: str) -> int:
    """A dimension that has to be known."""
    if not isinstance(dim, int):
        node.fail(f"{what} is {dim}, which is free; give it: from_onnx(…, inputs={{name: shape}})")
    return dim


def rank(value: Value) -> int:
    """The number of axes of a tensor or array."""
    return len(value.shape) if isinstance(value, np.ndarray) else type_of(value).rank


def axis_of(node: Node, axis: int, count: int) -> int:
    """``axis`` counted from the front, of ``count`` ones."""
    if not -count <= axis < count:
        node.fail(f"the axis {axis} is not one of {count}")
    return axis % count


def axes_of(node: Node, axes: Any, count: int) -> tuple[int, ...]:
    """Several of them."""
    return tuple(axis_of(node, int(axis), count) for axis in np.ravel(axes))
