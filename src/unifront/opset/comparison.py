"""Comparisons, and what booleans are joined by."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from unifront.dtypes import bool_
from unifront.errors import ArgumentError, DTypeError
from unifront.ir import facts
from unifront.ir.facts import Facts
from unifront.ir.types import TensorType
from unifront.opset.casting import TensorLike, cast
from unifront.opset.making import NOT_NEGATIVE, PAIRS, POSITIVE, SYMMETRIC_TEST, binary, named
from unifront.opset.rules import broadcast
from unifront.opset.spec import OpSpec, Sample, register
from unifront.opset.tensor import bind

Function = Callable[..., Any]

EQUAL, equal = binary(
    "equal",
    np.equal,
    "NumPy equal",
    result="bool",
    of_complex=True,
    differentiable=False,
    facts=facts.elementwise("half", keeps_zeros=False, sign="not negative", commutes=True),
)
NOT_EQUAL, not_equal = binary(
    "not_equal",
    np.not_equal,
    "NumPy not_equal",
    result="bool",
    of_complex=True,
    differentiable=False,
    facts=SYMMETRIC_TEST,
)
LESS, less = binary("less", np.less, "NumPy less", result="bool", differentiable=False, facts=NOT_NEGATIVE)
LESS_EQUAL, less_equal = binary(
    "less_equal",
    np.less_equal,
    "NumPy less_equal",
    result="bool",
    differentiable=False,
    facts=POSITIVE,
)
GREATER, greater = binary(
    "greater", np.greater, "NumPy greater", result="bool", differentiable=False, facts=NOT_NEGATIVE
)
GREATER_EQUAL, greater_equal = binary(
    "greater_equal",
    np.greater_equal,
    "NumPy greater_equal",
    result="bool",
    differentiable=False,
    facts=POSITIVE,
)


def _logical(
    name: str, reference: Function, source: str, operands: int, facts: Facts
) -> tuple[OpSpec, Function]:
    """An operation on booleans."""

    def rule(*types: TensorType) -> TensorType:
        if len(types) != operands:
            raise ArgumentError(f"{name} takes {operands} operands; given were {len(types)}.")
        if any(type_.dtype != bool_ for type_ in types):
            raise DTypeError(f"{name} takes booleans, not {', '.join(type_.dtype.name for type_ in types)}.")
        return TensorType(bool_, broadcast(*(type_.shape for type_ in types), unify=True))

    def samples(rng: np.random.Generator) -> Iterator[Sample]:
        for shapes in PAIRS:
            yield Sample(tuple(rng.random(shape) < 0.5 for shape in shapes[:operands]))

    spec = register(OpSpec(name, rule, reference, samples, source, differentiable=False, facts=facts))

    def of_two(x1: TensorLike, x2: TensorLike) -> Any:
        return bind(spec, cast(x1, "bool"), cast(x2, "bool"))

    def of_one(x: TensorLike) -> Any:
        return bind(spec, cast(x, "bool"))

    function = named(of_two if operands == 2 else of_one, name)
    count = "two tensors, which broadcast" if operands == 2 else "one tensor"
    function.__doc__ = f"""Elementwise {name.replace("_", " ")} of {count} ({source}).

    Numbers count as true unless they are zero. Gives booleans.
    """
    return spec, function


LOGICAL_AND, logical_and = _logical(
    "logical_and", np.logical_and, "NumPy logical_and", 2, facts=SYMMETRIC_TEST
)
LOGICAL_OR, logical_or = _logical("logical_or", np.logical_or, "NumPy logical_or", 2, facts=SYMMETRIC_TEST)
LOGICAL_NOT, logical_not = _logical("logical_not", np.logical_not, "NumPy logical_not", 1, facts=POSITIVE)


def logical_xor(x1: TensorLike, x2: TensorLike) -> Any:
    """Whether one of ``x1`` and ``x2`` is true and the other is not (NumPy logical_xor).

    The two broadcast. Numbers count as true unless they are zero. Gives booleans.
    """
    return bind(NOT_EQUAL, cast(x1, "bool"), cast(x2, "bool"))
