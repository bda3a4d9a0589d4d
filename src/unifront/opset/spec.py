"""What an operation is: one object that holds its whole meaning."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import KW_ONLY, dataclass, field
from typing import Any, Self

import numpy as np

from unifront.errors import ArgumentError, GraphError, UnknownName
from unifront.ir.dims import Dim, DimExpr
from unifront.ir.facts import Facts
from unifront.ir.graph import Graph, Node
from unifront.ir.types import TensorType

Rule = Callable[..., TensorType | tuple[TensorType, ...]]


@dataclass(frozen=True)
class Sample:
    """One call to test an operation with.

    Args:
        operands: NumPy arrays, floats in float64 (the suite casts them); None for an absent operand.
        attributes: as the operation takes them.
        wrt: positions of the operands to check gradients for; None means every float operand.
        regions: bodies, for operations that have them.
        bound: a wider relative bound than the table's, per dtype name, only with ``reason``.
        reason: why the bound is wider.
    """

    operands: tuple[Any, ...]
    attributes: Mapping[str, Any] = field(default_factory=dict)
    wrt: tuple[int, ...] | None = None
    regions: tuple[Graph, ...] = ()
    bound: Mapping[str, float] = field(default_factory=dict)
    reason: str = ""


@dataclass(frozen=True, eq=False)
class OpSpec:
    """An operation.

    Args:
        name: lower-case identifier, unique; ``uf.ops.NAME`` is the public function.
        rule: the type rule: ``(*operand types, **attributes) -> type or types``. Raises `ShapeError`,
            `DTypeError` or `ArgumentError` saying what does not fit.
        reference: the NumPy meaning: ``(*arrays, **attributes) -> array or arrays``, for float64 and float32.
        samples: a generator of test calls: ``(numpy Generator) -> Sample …``, with odd and empty shapes.
        source: where the meaning is written down: an ONNX operator, a NumPy function, a paper.
        attributes: the name and Python type of each attribute (``tuple`` may hold symbolic dimensions).
        decomposition: the same meaning in other operations: ``(*tensors, **attributes) -> tensor(s)``.
        differentiable: False for operations without a useful gradient (comparisons, argmax).
        random: True if the result depends on a key, so that backends agree in distribution only.
        variadic: True if it takes any number of operands.
        facts: what passes ask of it; all of it is said, there are no defaults.
        constant_results: positions of results that carry no gradient (batch statistics).
        lanes: of an operation that works element by element on several tensors of different shapes, its sets of
            operands and results of one shape: ``(node) -> ((operand positions, result positions), …)``.
        judged: of an operation whose results are not unique (singular vectors may change their signs), what of them
            is: ``(*results) -> tensors``, in other operations. The conformance suite compares these.
        flops: how many floating-point operations a node takes, where not one an element (`unifront.opset.flops`).
    """

    name: str
    rule: Rule
    reference: Callable[..., Any]
    samples: Callable[[np.random.Generator], Iterable[Sample]]
    source: str
    attributes: Mapping[str, type | tuple[type, ...]] = field(default_factory=dict)
    decomposition: Callable[..., Any] | None = None
    differentiable: bool = True
    random: bool = False
    variadic: bool = False
    constant_results: tuple[int, ...] = ()
    lanes: Callable[[Any], Iterable[tuple[tuple[int, ...], tuple[int, ...]]]] | None = None
    judged: Callable[..., tuple[Any, ...]] | None = None
    _: KW_ONLY
    facts: Facts
    flops: Callable[[Node], Dim] | None = None

    def infer(
        self, *types: TensorType | None, regions: tuple[Graph, ...] = (), **attributes: Any
    ) -> tuple[TensorType, ...]:
        """Output types for operand types and attributes; raises as ``rule`` does, or `GraphError`.

        Attributes count axes from the front, which the passes rely on; public functions see to it.
        """
        if attributes.keys() != self.attributes.keys():
            given, known = sorted(attributes), sorted(self.attributes)
            raise GraphError(f"{self.name} takes the attributes {known}; given were {given}.")
        for name, value in attributes.items():
            wanted = self.attributes[name]
            if not isinstance(value, wanted) and not (isinstance(value, DimExpr) and wanted is int):
                shown = (
                    wanted.__name__ if isinstance(wanted, type) else " or ".join(t.__name__ for t in wanted)
                )
                raise ArgumentError(f"{self.name}: {name} is a {shown}, not {value!r}.")
            axes = value if isinstance(value, tuple) else (value,)
            if name in ("axis", "axes") and any(isinstance(axis, int) and axis < 0 for axis in axes):
                raise ArgumentError(f"{self.name}: {name} is counted from the front, unlike {value!r}.")
        extra = {"regions": regions} if regions else {}
        try:
            result = self.rule(*types, **extra, **attributes)
        except TypeError as error:
            if error.__traceback__ and error.__traceback__.tb_next is None:  # the call itself did not fit
                raise GraphError(f"{self.name}: {error}.") from error
            raise
        return (result,) if isinstance(result, TensorType) else tuple(result)

    def __copy__(self) -> Self:
        return self

    def __deepcopy__(self, memo: object) -> Self:
        return self

    def __reduce__(self) -> tuple[Callable[[str], OpSpec], tuple[str]]:
        if OPS.get(self.name) is not self:
            raise GraphError(f"{self!r} is not registered, so no other process could find it by its name.")
        return registered, (self.name,)

    def __repr__(self) -> str:
        return f"<op {self.name}>"


OPS: dict[str, OpSpec] = {}
"""Every operation by name, in the order of definition."""

DEFINED: dict[str, Callable[..., Any]] = {}
"""The functions of the operations among them that users defined, by name."""


def registered(name: str) -> OpSpec:
    """The operation called ``name``; `UnknownName` if there is none such."""
    if name not in OPS:
        raise UnknownName("operation", name, OPS)
    return OPS[name]


def register(spec: OpSpec) -> OpSpec:
    """Add ``spec`` to the table of operations and give it back."""
    if OPS.setdefault(spec.name, spec) is not spec:
        raise GraphError(f"There are two operations called {spec.name!r}.")
    return spec
