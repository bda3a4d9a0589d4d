"""Reductions over axes: sum, mean, max, argmax and their kin."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np

from unifront.errors import DTypeError
from unifront.ir.types import TensorType
from unifront.ops.elementwise import TensorLike
from unifront.ops.rules import axes_in
from unifront.ops.spec import OpSpec, Sample, register
from unifront.ops.tensor import bind, type_of


def _rule(x: TensorType, axes: tuple[int, ...], keepdims: bool) -> TensorType:
    if x.dtype.kind in "bk":
        raise DTypeError(f"The reduction does not take {x.dtype}; cast it to a number.")
    axes_in(axes, x.rank)
    kept = [1 if axis in axes else dim for axis, dim in enumerate(x.shape) if keepdims or axis not in axes]
    return x.with_shape(tuple(kept))


def _samples(rng: np.random.Generator) -> Iterator[Sample]:
    for shape, axes in (((3,), (0,)), ((2, 3), (1,)), ((2, 3, 4), (0, 2)), ((2, 3), ()), ((), ()), ((2, 1, 3), (0, 1, 2))):
        for keepdims in (False, True):
            yield Sample((rng.normal(size=shape),), {"axes": axes, "keepdims": keepdims})


def _reduction(name: str, reference: Callable[..., Any], source: str) -> tuple[OpSpec, Callable[..., Any]]:
    """A reduction that keeps the dtype, and its public function."""
    spec = register(
        OpSpec(
            name,
            _rule,
            lambda x, axes, keepdims: reference(x, axis=axes, keepdims=keepdims),
            _samples,
            source,
            attributes={"axes": tuple, "keepdims": bool},
        )
    )

    def function(x: TensorLike, axis: int | Sequence[int] | None = None, keepdims: bool = False) -> Any:
        return bind(spec, x, axes=axes_in(axis, type_of(x).rank), keepdims=bool(keepdims))

    function.__name__ = function.__qualname__ = name
    function.__doc__ = f"The {name} of ``x`` over ``axis`` (an int, several, or None for all; {source})."
    return spec, function


SUM, sum = _reduction("sum", np.sum, "NumPy sum, without its widening of small integers")
