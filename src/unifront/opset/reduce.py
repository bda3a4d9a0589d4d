"""Reductions over axes: sum, mean, max, argmax and their kin."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np

from unifront.dtypes import DTypeLike, bool_, int32
from unifront.errors import DTypeError, ShapeError
from unifront.ir import facts
from unifront.ir.facts import Facts
from unifront.ir.types import TensorType
from unifront.opset import comparison
from unifront.opset import elementwise as e
from unifront.opset.casting import TensorLike, cast, floating
from unifront.opset.making import counted, kept, named, number_rule, summed
from unifront.opset.rules import axes_in, axis_in, need_float, need_order, show
from unifront.opset.shape import flatten, reshape
from unifront.opset.spec import OpSpec, Rule, Sample, register
from unifront.opset.tensor import bind, type_of

Function = Callable[..., Any]
CALLS: tuple[tuple[tuple[int, ...], tuple[int, ...], bool], ...] = (
    ((3,), (0,), False), ((2, 3), (1,), True), ((2, 3, 4), (0, 2), False), ((2, 3), (), True),
    ((), (), False), ((2, 1, 3), (0, 1, 2), True),
)  # fmt: skip
EMPTY: tuple[tuple[tuple[int, ...], tuple[int, ...], bool], ...] = (
    ((2, 0), (1,), False),
    ((0, 3), (1,), True),
)


def _extremum_rule(x: TensorType, axes: tuple[int, ...], keepdims: bool) -> TensorType:
    if 0 in [x.shape[axis] for axis in axes_in(axes, x.rank)]:
        raise ShapeError(
            f"The largest or smallest of no elements is not defined (shape {show(x.shape)}, axes {axes})."
        )
    if x.dtype.kind == "k":
        raise DTypeError("The reduction does not take key; random keys have no order.")
    return kept(need_order(x), axes, keepdims)


def _float_rule(x: TensorType, axes: tuple[int, ...], keepdims: bool) -> TensorType:
    return kept(need_float(x), axes, keepdims)


def _bool_rule(x: TensorType, axes: tuple[int, ...], keepdims: bool) -> TensorType:
    if x.dtype != bool_:
        raise DTypeError(f"The reduction takes booleans, not {x.dtype}.")
    return kept(x, axes, keepdims)


def _samples(
    draw: Function, calls: Sequence[tuple[Any, ...]]
) -> Callable[[np.random.Generator], Iterator[Sample]]:
    def samples(rng: np.random.Generator) -> Iterator[Sample]:
        for shape, axes, keepdims in calls:
            yield Sample((draw(rng, shape),), {"axes": axes, "keepdims": keepdims})

    return samples


def _normal(rng: np.random.Generator, shape: tuple[int, ...]) -> np.ndarray:
    return rng.normal(size=shape)


def _apart(rng: np.random.Generator, shape: tuple[int, ...]) -> np.ndarray:
    """Values at least 0.5 apart: no ties, and no change of order under a finite difference."""
    return rng.permutation(int(np.prod(shape))).reshape(shape) * 0.5 - 1.0


def _reduction(
    name: str,
    reference: Function,
    source: str,
    *,
    facts: Facts,
    rule: Rule = number_rule,
    convert: Function = lambda x: x,
    draw: Function = _normal,
    calls: Sequence[tuple[Any, ...]] = (*CALLS, *EMPTY),
    decomposition: Function | None = None,
    differentiable: bool = True,
    dtypes: str = "Integers and booleans become float32.",
) -> tuple[OpSpec, Function]:
    """A reduction over several axes, and its public function."""
    spec = register(
        OpSpec(
            name, rule, lambda x, axes, keepdims: reference(x, axis=axes, keepdims=keepdims),
            _samples(draw, calls), source, {"axes": tuple, "keepdims": bool}, decomposition, differentiable,
            facts=facts,
        )
    )  # fmt: skip

    def function(x: TensorLike, axis: int | Sequence[int] | None = None, keepdims: bool = False) -> Any:
        return bind(spec, convert(x), axes=axes_in(axis, type_of(x).rank), keepdims=bool(keepdims))

    function = named(function, name)
    function.__doc__ = f"""The {name} of ``x`` over ``axis`` ({source}).

    Args:
        axis: an int, several, or None for all.
        keepdims: keep these axes, 1 long.

    {dtypes}
    Raises `ShapeError` for an axis that ``x`` has not.
    """
    return spec, function


def _over(op: OpSpec, x: TensorLike, axis: int | Sequence[int] | None, keepdims: bool) -> Any:
    """A reduction over ``axis``, as users say it."""
    return bind(op, x, axes=axes_in(axis, type_of(x).rank), keepdims=bool(keepdims))


def _mean(x: np.ndarray, axis: tuple[int, ...], keepdims: bool) -> np.ndarray:
    """NumPy's, without its warning about no elements (whose mean is nan)."""
    count = np.prod([x.shape[one] for one in axis])
    with np.errstate(invalid="ignore"):
        return np.sum(x, axis=axis, keepdims=keepdims) / count


def _var(x: np.ndarray, axis: tuple[int, ...], keepdims: bool) -> np.ndarray:
    return _mean(np.square(x - _mean(x, axis, True)), axis, keepdims)


def _log_sum_exp(x: np.ndarray, axis: tuple[int, ...], keepdims: bool) -> np.ndarray:
    top = np.max(x, axis=axis, keepdims=True, initial=-np.inf)
    top = np.where(np.isfinite(top), top, 0)
    with np.errstate(divide="ignore"):  # the logarithm of no sum is -inf
        found = np.log(np.sum(np.exp(x - top), axis=axis, keepdims=True)) + top
    return found if keepdims else np.squeeze(found, axis)


def _var_written_out(x: Any, axes: tuple[int, ...], keepdims: bool) -> Any:
    return mean(e.square(e.subtract(x, mean(x, axes, True))), axes, keepdims)


def _std_written_out(x: Any, axes: tuple[int, ...], keepdims: bool) -> Any:
    return e.sqrt(var(x, axes, keepdims))


_SUMMED = "Booleans and integers of less than 32 bits become int32, unsigned ones uint32."
_BOOLEANS = "Numbers count as true unless they are zero. Gives booleans."
SUM, sum = _reduction(
    "sum",
    np.sum,
    "NumPy sum; small integers are widened to 32 bits",
    convert=summed,
    dtypes=_SUMMED,
    facts=facts.along(facts.OVER_AXES, "accumulate", keeps_zeros=True, sign="kept"),
)
PROD, _prod = _reduction(
    "prod", np.prod, "NumPy prod; small integers are widened to 32 bits", convert=summed,
    draw=lambda rng, shape: rng.uniform(0.5, 1.5, shape), dtypes=_SUMMED,
    facts=facts.along(facts.OVER_AXES, "float32", keeps_zeros=False, sign="kept"),
)  # fmt: skip
MEAN, mean = _reduction(
    "mean",
    _mean,
    "NumPy mean; of no elements nan",
    rule=_float_rule,
    convert=floating,
    facts=facts.along(facts.OVER_AXES, "accumulate", keeps_zeros=True, sign="kept"),
)
MAX, _max = _reduction(
    "max", np.max, "NumPy max; equal ones share the gradient", rule=_extremum_rule, draw=_apart,
    calls=(*CALLS, EMPTY[1]),
    facts=facts.along(facts.OVER_AXES, "half", keeps_zeros=True, sign="kept"),
)  # fmt: skip
MIN, _min = _reduction(
    "min", np.min, "NumPy min; equal ones share the gradient", rule=_extremum_rule, draw=_apart,
    calls=(*CALLS, EMPTY[1]),
    facts=facts.along(facts.OVER_AXES, "half", keeps_zeros=True, sign="kept"),
)  # fmt: skip
LOGSUMEXP, logsumexp = _reduction(
    "logsumexp",
    _log_sum_exp,
    "ONNX ReduceLogSumExp; SciPy logsumexp",
    rule=_float_rule,
    convert=floating,
    facts=facts.along(facts.OVER_AXES, "float32", keeps_zeros=False, sign="any"),
)
VAR, var = _reduction(
    "var",
    _var,
    "NumPy var with ddof 0",
    rule=_float_rule,
    convert=floating,
    decomposition=_var_written_out,
    facts=facts.along(facts.OVER_AXES, "float32", keeps_zeros=True, sign="not negative"),
)
STD, std = _reduction(
    "std", lambda x, axis, keepdims: np.sqrt(_var(x, axis, keepdims)), "NumPy std with ddof 0",
    rule=_float_rule, convert=floating, decomposition=_std_written_out,
    calls=[call for call in (*CALLS, *EMPTY) if call[1]],
    facts=facts.along(facts.OVER_AXES, "float32", keeps_zeros=True, sign="not negative"),
)  # fmt: skip


def prod(
    x: TensorLike,
    axis: int | Sequence[int] | None = None,
    keepdims: bool = False,
    dtype: DTypeLike | None = None,
) -> Any:
    """The product of ``x`` over ``axis`` (NumPy prod).

    Args:
        axis: an int, several, or None for all.
        keepdims: keep these axes, 1 long.
        dtype: in which it is computed; None: that of ``x``, of which small integers are widened as by `sum`.

    Raises `ShapeError` for an axis that ``x`` has not.
    """
    return _prod(x, axis, keepdims) if dtype is None else _over(PROD, counted(cast(x, dtype)), axis, keepdims)


def max(
    x: TensorLike,
    axis: int | Sequence[int] | None = None,
    keepdims: bool = False,
    initial: TensorLike | None = None,
) -> Any:
    """The largest of ``x`` over ``axis`` (NumPy max); equal ones share the gradient.

    Args:
        axis: an int, several, or None for all.
        keepdims: keep these axes, 1 long.
        initial: a number that the result is not below, also where there are no elements.

    The dtype stays. Raises `ShapeError` over no elements, and for an axis that ``x`` has not.
    """
    return (
        _max(x, axis, keepdims) if initial is None else _bounded(MAX, e.maximum, x, axis, keepdims, initial)
    )


def min(
    x: TensorLike,
    axis: int | Sequence[int] | None = None,
    keepdims: bool = False,
    initial: TensorLike | None = None,
) -> Any:
    """The smallest of ``x`` over ``axis`` (NumPy min); equal ones share the gradient.

    Args:
        axis: an int, several, or None for all.
        keepdims: keep these axes, 1 long.
        initial: a number that the result is not above, also where there are no elements.

    The dtype stays. Raises `ShapeError` over no elements, and for an axis that ``x`` has not.
    """
    return (
        _min(x, axis, keepdims) if initial is None else _bounded(MIN, e.minimum, x, axis, keepdims, initial)
    )


def _bounded(op: OpSpec, bound: Function, x: Any, axis: Any, keepdims: bool, initial: Any) -> Any:
    shape, dtype = type_of(x).shape, type_of(x).dtype
    axes = axes_in(axis, len(shape))
    if 0 in [shape[one] for one in axes]:  # the sum of nothing has the shape, and is zero
        return cast(e.add(_over(SUM, cast(x, int32), axes, keepdims), initial), dtype)
    return cast(bound(_over(op, x, axes, keepdims), initial), dtype)


def amax(x: TensorLike, axis: int | Sequence[int] | None = None, keepdims: bool = False) -> Any:
    """`max` by its other name (NumPy amax)."""
    return _max(x, axis, keepdims)


def amin(x: TensorLike, axis: int | Sequence[int] | None = None, keepdims: bool = False) -> Any:
    """`min` by its other name (NumPy amin)."""
    return _min(x, axis, keepdims)


def ptp(x: TensorLike, axis: int | Sequence[int] | None = None, keepdims: bool = False) -> Any:
    """The largest less the smallest of ``x`` over ``axis`` (NumPy ptp).

    Args:
        axis: an int, several, or None for all.
        keepdims: keep these axes, 1 long.

    The dtype stays; of booleans it is whether they differ. Raises `ShapeError` over no elements.
    """
    high, low = _max(x, axis, keepdims), _min(x, axis, keepdims)
    return comparison.not_equal(high, low) if type_of(x).dtype == bool_ else e.subtract(high, low)


def count_nonzero(x: TensorLike, axis: int | Sequence[int] | None = None) -> Any:
    """How many elements of ``x`` over ``axis`` are not zero, int32 (NumPy count_nonzero)."""
    return _over(SUM, cast(cast(x, bool_), int32), axis, False)


def _as_bool(x: TensorLike) -> Any:
    return e.cast(x, bool_)


def _coin(rng: np.random.Generator, shape: tuple[int, ...]) -> np.ndarray:
    return rng.random(shape) < 0.5


ALL, all = _reduction(
    "all",
    np.all,
    "NumPy all",
    rule=_bool_rule,
    convert=_as_bool,
    draw=_coin,
    differentiable=False,
    dtypes=_BOOLEANS,
    facts=facts.along(facts.OVER_AXES, "half", keeps_zeros=False, sign="not negative"),
)
ANY, any = _reduction(
    "any",
    np.any,
    "NumPy any",
    rule=_bool_rule,
    convert=_as_bool,
    draw=_coin,
    differentiable=False,
    dtypes=_BOOLEANS,
    facts=facts.along(facts.OVER_AXES, "half", keeps_zeros=True, sign="not negative"),
)


def _position_rule(x: TensorType, axis: int, keepdims: bool) -> TensorType:
    return _extremum_rule(x, (axis_in(axis, x.rank),), keepdims).with_dtype(int32)


def _position_samples(rng: np.random.Generator) -> Iterator[Sample]:
    for shape, axis, keepdims in (
        ((3,), 0, False),
        ((2, 4), 1, True),
        ((2, 5, 3), 1, False),
        ((0, 2), 1, False),
    ):
        yield Sample((rng.normal(size=shape),), {"axis": axis, "keepdims": keepdims})
    yield Sample((np.array([[1, 3, 3], [2, 0, 0]], "int32"),), {"axis": 1, "keepdims": False})


def _position(name: str, reference: Function) -> tuple[OpSpec, Function]:
    """Where the extremum along one axis is."""
    spec = register(
        OpSpec(
            name, _position_rule, lambda x, axis, keepdims: reference(x, axis=axis, keepdims=keepdims),
            _position_samples, f"NumPy {name}: the first of equal ones", {"axis": int, "keepdims": bool},
            differentiable=False,
            facts=facts.along(facts.OVER_AXIS, "half", keeps_zeros=True, sign="not negative"),
        )
    )  # fmt: skip

    def function(x: TensorLike, axis: int | None = None, keepdims: bool = False) -> Any:
        rank = type_of(x).rank
        if axis is not None:
            return bind(spec, x, axis=axis_in(axis, rank), keepdims=bool(keepdims))
        found = bind(spec, flatten(x), axis=0, keepdims=False)
        return reshape(found, (1,) * rank) if keepdims else found

    function = named(function, name)
    function.__doc__ = (
        f"The position (int32) along ``axis`` of the {name[3:]} of ``x``, the first of equal ones; None "
        f"counts through the flattened ``x`` (NumPy {name})."
    )
    return spec, function


ARGMAX, argmax = _position("argmax", np.argmax)
ARGMIN, argmin = _position("argmin", np.argmin)
