"""How operations on each element are made: an `OpSpec` and its public function from a line of a table."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from typing import Any, Literal

import numpy as np

from unifront.dtypes import bool_
from unifront.errors import DTypeError
from unifront.ir import facts
from unifront.ir.facts import Facts
from unifront.ir.types import TensorType
from unifront.opset.casting import SHAPES, TensorLike, cast, floating, promoted
from unifront.opset.rules import axes_in, broadcast, need_float, need_order, same_dtype
from unifront.opset.spec import OpSpec, Sample, register
from unifront.opset.tensor import bind, type_of

Function = Callable[..., Any]
PAIRS: tuple[tuple[tuple[int, ...], tuple[int, ...]], ...] = (
    ((), ()), ((3,), ()), ((2, 3), (3,)), ((2, 1, 3), (1, 4, 1)), ((0, 2), (2,)), ((2, 3), (2, 3)),
    ((2, 1, 2, 1, 2, 1), (1, 2, 1, 2, 1, 2)),
)  # fmt: skip


KEEPS = facts.elementwise("half", keeps_zeros=True, sign="kept", commutes=False)
COMMUTES = facts.elementwise("half", keeps_zeros=True, sign="kept", commutes=True)
QUOTIENT = facts.elementwise("half", keeps_zeros=False, sign="kept", commutes=False)
SIGNED = facts.elementwise("half", keeps_zeros=True, sign="any", commutes=False)
NOT_NEGATIVE = facts.elementwise("half", keeps_zeros=True, sign="not negative", commutes=False)
SYMMETRIC_TEST = facts.elementwise("half", keeps_zeros=True, sign="not negative", commutes=True)
POSITIVE = facts.elementwise("half", keeps_zeros=False, sign="not negative", commutes=False)
WIDE = facts.elementwise("float32", keeps_zeros=True, sign="kept", commutes=False)
WIDE_KEPT = facts.elementwise("float32", keeps_zeros=False, sign="kept", commutes=False)
WIDE_POSITIVE = facts.elementwise("float32", keeps_zeros=False, sign="not negative", commutes=False)


def named(function: Function, name: str, depth: int = 2) -> Function:
    """``function`` as one called ``name`` of the module that asks the maker for it."""
    function.__name__ = function.__qualname__ = name
    function.__module__ = sys._getframe(depth).f_globals["__name__"]
    return function


def unary_samples(low: float, high: float) -> Callable[[np.random.Generator], Iterator[Sample]]:
    """Samples of one operand between ``low`` and ``high``."""

    def samples(rng: np.random.Generator) -> Iterator[Sample]:
        for shape in SHAPES:
            yield Sample((rng.uniform(low, high, shape),))

    return samples


def unary(
    name: str,
    reference: Function,
    source: str,
    domain: tuple[float, float] = (-3.0, 3.0),
    *,
    facts: Facts,
    keeps_integers: bool = False,
    of_complex: Literal["kept", "real", "refused"] = "refused",
    differentiable: bool = True,
) -> tuple[OpSpec, Function]:
    """A float operation of one operand and its public function.

    ``keeps_integers``: it takes integers too, and gives them. ``of_complex``: what it gives of complex numbers.
    """

    def rule(x: TensorType) -> TensorType:
        if x.dtype.is_complex and of_complex != "refused":
            return x if of_complex == "kept" else x.with_dtype(x.dtype.parts)
        if x.dtype.kind in "bk" or not keeps_integers:
            need_float(x)
        return need_order(x)

    spec = register(
        OpSpec(
            name,
            rule,
            reference,
            unary_samples(*domain),
            source,
            differentiable=differentiable,
            facts=facts,
        )
    )

    def of_integers(x: TensorLike) -> Any:
        return bind(spec, x if type_of(x).dtype.is_integer else floating(x))

    def of_floats(x: TensorLike) -> Any:
        return bind(spec, floating(x))

    function = named(of_integers if keeps_integers else of_floats, name)
    changed = "Integers keep their dtype, booleans" if keeps_integers else "Integers and booleans"
    function.__doc__ = f"""Elementwise {name.replace("_", " ")} of ``x`` ({source}).

    {changed} become float32. Raises `DTypeError` for a random key.
    """
    return spec, function


def binary(
    name: str,
    reference: Function,
    source: str,
    *,
    facts: Facts,
    floats_only: bool = False,
    result: str = "same",
    booleans: str = "",
    of_complex: bool = False,
    second: tuple[float, float] = (-2.0, 2.0),
    first: tuple[float, float] = (-2.0, 2.0),
    differentiable: bool = True,
) -> tuple[OpSpec, Function]:
    """An operation of two broadcast operands of one dtype, and its public function, which promotes.

    ``booleans``: what it is of them ("or", "and"); it does not take them otherwise. ``of_complex``: whether it takes
    complex numbers.
    """

    def rule(x: TensorType, y: TensorType) -> TensorType:
        dtype = same_dtype(x, y)
        if floats_only:
            need_float(x)
        if not of_complex:
            need_order(x)
        if dtype == bool_ and result == "same" and not booleans:
            raise DTypeError(f"{name} does not take booleans; use logical_and, logical_or or cast.")
        return TensorType(bool_ if result == "bool" else dtype, broadcast(x.shape, y.shape, unify=True))

    def samples(rng: np.random.Generator) -> Iterator[Sample]:
        for a, b in PAIRS:
            yield Sample((rng.uniform(*first, a), rng.uniform(*second, b)))

    spec = register(
        OpSpec(name, rule, reference, samples, source, differentiable=differentiable, facts=facts)
    )

    def of_numbers(x1: TensorLike, x2: TensorLike) -> Any:
        x1, x2 = promoted(x1, x2)
        return bind(spec, x1, x2)

    def of_floats(x1: TensorLike, x2: TensorLike) -> Any:
        x1, x2 = promoted(x1, x2)
        return bind(spec, floating(x1), floating(x2))

    function = named(of_floats if floats_only else of_numbers, name)
    kind = "a float dtype" if floats_only else "one dtype"
    gives = " Gives booleans." if result == "bool" else f" Of booleans it is {booleans}." if booleans else ""
    refused = (
        "a random key" if floats_only or result == "bool" or booleans else "two booleans or a random key"
    )
    function.__doc__ = f"""Elementwise {name.replace("_", " ")} of ``x1`` and ``x2`` ({source}).

    The two broadcast, and are promoted to {kind}.{gives} Raises `ShapeError` if they do not broadcast,
    `DTypeError` for {refused}.
    """
    return spec, function


def kept(x: TensorType, axes: tuple[int, ...], keepdims: bool) -> TensorType:
    """``x`` without ``axes``, or with them 1 long."""
    axes_in(axes, x.rank)
    left = [1 if axis in axes else dim for axis, dim in enumerate(x.shape) if keepdims or axis not in axes]
    return x.with_shape(tuple(left))


def number_rule(x: TensorType, axes: tuple[int, ...], keepdims: bool) -> TensorType:
    """The type rule of reductions of numbers."""
    if x.dtype.kind in "bk":
        raise DTypeError(f"The reduction does not take {x.dtype}; cast it to a number.")
    return kept(x, axes, keepdims)


def counted(x: TensorLike) -> Any:
    """``x``, booleans as int32."""
    return cast(x, "int32") if type_of(x).dtype == bool_ else x


_WIDE_ENOUGH = {"bool": "int32", "int8": "int32", "int16": "int32", "uint8": "uint32", "uint16": "uint32"}


def summed(x: TensorLike) -> Any:
    """``x`` in the dtype that its sums have: integers of less than 32 bits are widened."""
    wider = _WIDE_ENOUGH.get(type_of(x).dtype.name)
    return x if wider is None else cast(x, wider)
