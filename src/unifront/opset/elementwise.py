"""Operations on each element: arithmetic, comparisons, activations, casts."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from typing import Any, TypeGuard

import numpy as np

from unifront.backends import Array, HostKey, backend_of
from unifront.dtypes import DType, DTypeLike, bool_, dtype_of, promote, to_float
from unifront.errors import ArgumentError, DTypeError
from unifront.ir import facts
from unifront.ir.facts import Facts
from unifront.ir.types import TensorType
from unifront.opset.rules import broadcast, need_float, same_dtype
from unifront.opset.spec import OpSpec, Sample, register
from unifront.opset.tensor import Tensor, bind, type_of
from unifront.weights import Variable

TensorLike = Tensor | Array
Function = Callable[..., Any]
SHAPES: tuple[tuple[int, ...], ...] = ((), (1,), (3,), (2, 3), (2, 0), (2, 1, 3))
PAIRS: tuple[tuple[tuple[int, ...], tuple[int, ...]], ...] = (
    ((), ()), ((3,), ()), ((2, 3), (3,)), ((2, 1, 3), (1, 4, 1)), ((0, 2), (2,)), ((2, 3), (2, 3)),
)  # fmt: skip


def cast(x: TensorLike, dtype: DTypeLike) -> Any:
    """``x`` with its elements converted to ``dtype``; floats are cut toward zero to integers, complex numbers become
    their real part.

    Raises `DTypeError` for random keys, `UnknownName` if ``dtype`` is none (NumPy astype; ONNX Cast).
    """
    target = dtype_of(dtype)
    is_tensor = isinstance(x, Tensor | Variable) or backend_of(x) is not None
    own = type_of(x).dtype if is_tensor else None
    if own == target:
        return x
    if own is not None and own.is_complex and not target.is_complex:
        from unifront.opset.complex_numbers import real

        return cast(real(x), target)
    return bind(CAST, x, dtype=target.name)


def promoted(*operands: TensorLike) -> tuple[Any, ...]:
    """The operands cast to the dtype in which they meet; Python numbers follow the others."""
    if not operands:
        return ()
    dtypes = [None if backend_of(o) is None else type_of(o).dtype for o in operands]
    if dtypes[0] is not None and dtypes.count(dtypes[0]) == len(dtypes):  # as most often
        return operands
    dtype = promote(*(o if _is_number(o) else type_of(o).dtype for o in operands))
    return tuple(_number(o, dtype) if _is_number(o) else cast(o, dtype) for o in operands)


def _is_number(operand: Any) -> TypeGuard[complex]:
    return isinstance(operand, int | float | complex) and not isinstance(operand, HostKey)


def _number(number: complex, dtype: DType) -> np.ndarray:
    try:
        with np.errstate(over="ignore"):  # a float too large is infinite, as everywhere
            return np.asarray(number, dtype.numpy)
    except OverflowError:
        raise ArgumentError(
            f"The number {number} does not fit {dtype}, the dtype of the other operands; cast them first."
        ) from None


def floating(x: TensorLike) -> Any:
    """``x`` as a float: integers and booleans become float32."""
    return cast(x, to_float(type_of(x).dtype))


_KEEPS = facts.elementwise("half", keeps_zeros=True, sign="kept", commutes=False)
_COMMUTES = facts.elementwise("half", keeps_zeros=True, sign="kept", commutes=True)
_QUOTIENT = facts.elementwise("half", keeps_zeros=False, sign="kept", commutes=False)
_SIGNED = facts.elementwise("half", keeps_zeros=True, sign="any", commutes=False)
_NOT_NEGATIVE = facts.elementwise("half", keeps_zeros=True, sign="not negative", commutes=False)
_SYMMETRIC_TEST = facts.elementwise("half", keeps_zeros=True, sign="not negative", commutes=True)
_POSITIVE = facts.elementwise("half", keeps_zeros=False, sign="not negative", commutes=False)
_WIDE = facts.elementwise("float32", keeps_zeros=True, sign="kept", commutes=False)
_WIDE_KEPT = facts.elementwise("float32", keeps_zeros=False, sign="kept", commutes=False)
_WIDE_POSITIVE = facts.elementwise("float32", keeps_zeros=False, sign="not negative", commutes=False)


def _unary_samples(low: float, high: float) -> Callable[[np.random.Generator], Iterator[Sample]]:
    def samples(rng: np.random.Generator) -> Iterator[Sample]:
        for shape in SHAPES:
            yield Sample((rng.uniform(low, high, shape),))

    return samples


def _unary(
    name: str,
    reference: Function,
    source: str,
    domain: tuple[float, float] = (-3.0, 3.0),
    *,
    facts: Facts,
    keeps_integers: bool = False,
    differentiable: bool = True,
) -> tuple[OpSpec, Function]:
    """A float operation of one operand and its public function."""

    def rule(x: TensorType) -> TensorType:
        if x.dtype.kind in "bk" or not keeps_integers:
            need_float(x)
        return x

    spec = register(
        OpSpec(
            name,
            rule,
            reference,
            _unary_samples(*domain),
            source,
            differentiable=differentiable,
            facts=facts,
        )
    )

    def function(x: TensorLike) -> Any:
        kept = keeps_integers and type_of(x).dtype.is_integer
        return bind(spec, x if kept else floating(x))

    function.__name__ = function.__qualname__ = name
    changed = "Integers keep their dtype, booleans" if keeps_integers else "Integers and booleans"
    function.__doc__ = f"""Elementwise {name.replace("_", " ")} of ``x`` ({source}).

    {changed} become float32. Raises `DTypeError` for a random key.
    """
    return spec, function


def _erf(x: np.ndarray) -> np.ndarray:
    return np.vectorize(math.erf, otypes=[np.float64])(x).astype(x.dtype)


def _sigmoid(x: np.ndarray) -> np.ndarray:
    small = np.exp(-np.abs(x))
    return np.where(x >= 0, 1 / (1 + small), small / (1 + small))


NEGATIVE, negative = _unary("negative", np.negative, "NumPy negative", keeps_integers=True, facts=_SIGNED)
ABS, abs = _unary("abs", np.abs, "NumPy abs", keeps_integers=True, facts=_NOT_NEGATIVE)
SIGN, sign = _unary("sign", np.sign, "NumPy sign", keeps_integers=True, facts=_KEEPS)
SQUARE, square = _unary("square", np.square, "NumPy square", keeps_integers=True, facts=_NOT_NEGATIVE)
EXP, exp = _unary("exp", np.exp, "NumPy exp", facts=_WIDE_POSITIVE)
EXPM1, expm1 = _unary("expm1", np.expm1, "NumPy expm1", facts=_WIDE)
LOG, log = _unary(
    "log",
    np.log,
    "NumPy log",
    (0.1, 5.0),
    facts=facts.elementwise("float32", keeps_zeros=False, sign="any", commutes=False),
)
LOG1P, log1p = _unary("log1p", np.log1p, "NumPy log1p", (-0.8, 5.0), facts=_WIDE)
SQRT, sqrt = _unary("sqrt", np.sqrt, "NumPy sqrt", (0.1, 5.0), facts=_NOT_NEGATIVE)
RSQRT, rsqrt = _unary("rsqrt", lambda x: 1 / np.sqrt(x), "1 / NumPy sqrt", (0.1, 5.0), facts=_WIDE_POSITIVE)
RECIPROCAL, reciprocal = _unary(
    "reciprocal", lambda x: 1 / x, "NumPy reciprocal", (0.3, 3.0), facts=_WIDE_KEPT
)
SIN, sin = _unary("sin", np.sin, "NumPy sin", facts=_SIGNED)
COS, cos = _unary(
    "cos", np.cos, "NumPy cos", facts=facts.elementwise("half", keeps_zeros=False, sign="any", commutes=False)
)
TAN, tan = _unary(
    "tan",
    np.tan,
    "NumPy tan",
    (-1.2, 1.2),
    facts=facts.elementwise("float32", keeps_zeros=True, sign="any", commutes=False),
)
TANH, tanh = _unary("tanh", np.tanh, "NumPy tanh", facts=_KEEPS)
SIGMOID, sigmoid = _unary("sigmoid", _sigmoid, "ONNX Sigmoid", (-6.0, 6.0), facts=_POSITIVE)
ERF, erf = _unary("erf", _erf, "ONNX Erf; C erf", facts=_KEEPS)
FLOOR, floor = _unary(
    "floor", np.floor, "NumPy floor", keeps_integers=True, differentiable=False, facts=_KEEPS
)
CEIL, ceil = _unary("ceil", np.ceil, "NumPy ceil", keeps_integers=True, differentiable=False, facts=_KEEPS)
ROUND, round = _unary(
    "round",
    np.round,
    "NumPy round (half to even)",
    keeps_integers=True,
    differentiable=False,
    facts=_KEEPS,
)
RELU, relu = _unary("relu", lambda x: np.maximum(x, 0), "ONNX Relu", keeps_integers=True, facts=_NOT_NEGATIVE)
SOFTPLUS, softplus = _unary(
    "softplus", lambda x: np.logaddexp(x, 0), "ONNX Softplus", (-6.0, 6.0), facts=_WIDE_POSITIVE
)
SOFTSIGN, softsign = _unary("softsign", lambda x: x / (1 + np.abs(x)), "ONNX Softsign", facts=_KEEPS)
SILU, silu = _unary(
    "silu", lambda x: x * _sigmoid(x), "Ramachandran et al. 2017 (Swish); ONNX Swish", facts=_KEEPS
)
SELU, selu = _unary(
    "selu",
    lambda x: 1.0507009873554805 * np.where(x > 0, x, 1.6732632423543772 * np.expm1(np.minimum(x, 0))),
    "Klambauer et al. 2017; ONNX Selu",
    facts=_KEEPS,
)
HARD_SIGMOID, hard_sigmoid = _unary(
    "hard_sigmoid",
    lambda x: np.clip(x / 6 + 0.5, 0, 1),
    "Keras 3 hard_sigmoid: relu6(x + 3) / 6",
    (-2.9, 2.9),
    facts=_POSITIVE,
)


def _gelu(x: np.ndarray, approximate: bool) -> np.ndarray:
    if approximate:
        return 0.5 * x * (1 + np.tanh(math.sqrt(2 / math.pi) * (x + 0.044715 * x**3)))
    return 0.5 * x * (1 + _erf(x / math.sqrt(2)))


GELU = register(
    OpSpec(
        "gelu",
        rule=lambda x, approximate: need_float(x),
        reference=_gelu,
        samples=lambda rng: (
            Sample((rng.normal(size=s),), {"approximate": a}) for s in SHAPES for a in (True, False)
        ),
        source="Hendrycks and Gimpel 2016; ONNX Gelu",
        attributes={"approximate": bool},
        facts=_KEEPS,
    )
)


def gelu(x: TensorLike, approximate: bool = True) -> Any:
    """Gaussian error linear unit; ``approximate``: the tanh form (Hendrycks and Gimpel 2016; ONNX Gelu)."""
    return bind(GELU, floating(x), approximate=approximate)


def _with_slope(
    name: str, attribute: str, default: float, reference: Function, source: str, facts: Facts
) -> OpSpec:
    """An activation with one float parameter."""
    return register(
        OpSpec(
            name,
            rule=lambda x, **_: need_float(x),
            reference=reference,
            # Away from the kink at zero, across which finite differences mean nothing.
            samples=lambda rng: (
                Sample((np.copysign(rng.uniform(0.1, 3, s), rng.normal(size=s)),), {attribute: v})
                for s in SHAPES
                for v in (default, 0.7)
            ),
            source=source,
            attributes={attribute: float},
            facts=facts,
        )
    )


LEAKY_RELU = _with_slope(
    "leaky_relu", "negative_slope", 0.2, lambda x, negative_slope: np.where(x > 0, x, negative_slope * x),
    "ONNX LeakyRelu",
    facts=_KEEPS,
)  # fmt: skip
ELU = _with_slope(
    "elu", "alpha", 1.0, lambda x, alpha: np.where(x > 0, x, alpha * np.expm1(np.minimum(x, 0))),
    "Clevert et al. 2015; ONNX Elu",
    facts=_KEEPS,
)  # fmt: skip


def leaky_relu(x: TensorLike, negative_slope: float = 0.2) -> Any:
    """``x`` where it is positive, else ``negative_slope * x`` (Maas et al. 2013; ONNX LeakyRelu)."""
    return bind(LEAKY_RELU, floating(x), negative_slope=float(negative_slope))


def elu(x: TensorLike, alpha: float = 1.0) -> Any:
    """``x`` where it is positive, else ``alpha * (exp(x) - 1)`` (Clevert et al. 2015; ONNX Elu)."""
    return bind(ELU, floating(x), alpha=float(alpha))


def _binary(
    name: str,
    reference: Function,
    source: str,
    *,
    facts: Facts,
    floats_only: bool = False,
    result: str = "same",
    second: tuple[float, float] = (-2.0, 2.0),
    first: tuple[float, float] = (-2.0, 2.0),
    differentiable: bool = True,
) -> tuple[OpSpec, Function]:
    """An operation of two broadcast operands of one dtype, and its public function, which promotes."""

    def rule(x: TensorType, y: TensorType) -> TensorType:
        dtype = same_dtype(x, y)
        if floats_only:
            need_float(x)
        if dtype == bool_ and result == "same":
            raise DTypeError(f"{name} does not take booleans; use logical_and, logical_or or cast.")
        return TensorType(bool_ if result == "bool" else dtype, broadcast(x.shape, y.shape, unify=True))

    def samples(rng: np.random.Generator) -> Iterator[Sample]:
        for a, b in PAIRS:
            yield Sample((rng.uniform(*first, a), rng.uniform(*second, b)))

    spec = register(
        OpSpec(name, rule, reference, samples, source, differentiable=differentiable, facts=facts)
    )

    def function(x: TensorLike, y: TensorLike) -> Any:
        x, y = promoted(x, y)
        return bind(spec, floating(x), floating(y)) if floats_only else bind(spec, x, y)

    function.__name__ = function.__qualname__ = name
    kind = "a float dtype" if floats_only else "one dtype"
    gives = " Gives booleans." if result == "bool" else ""
    refused = "a random key" if floats_only or result == "bool" else "two booleans or a random key"
    function.__doc__ = f"""Elementwise {name.replace("_", " ")} of ``x`` and ``y`` ({source}).

    The two broadcast, and are promoted to {kind}.{gives} Raises `ShapeError` if they do not broadcast,
    `DTypeError` for {refused}.
    """
    return spec, function


ADD, add = _binary("add", np.add, "NumPy add", facts=_COMMUTES)
SUBTRACT, subtract = _binary("subtract", np.subtract, "NumPy subtract", facts=_SIGNED)
MULTIPLY, multiply = _binary("multiply", np.multiply, "NumPy multiply", facts=_COMMUTES)
DIVIDE, divide = _binary(
    "divide", np.true_divide, "NumPy true_divide", floats_only=True, second=(0.5, 2.0), facts=_QUOTIENT
)
FLOOR_DIVIDE, floor_divide = _binary(
    "floor_divide",
    np.floor_divide,
    "NumPy floor_divide",
    second=(0.5, 2.0),
    differentiable=False,
    facts=_QUOTIENT,
)
REMAINDER, remainder = _binary(
    "remainder",
    np.remainder,
    "NumPy remainder (sign of the divisor)",
    second=(3.0, 4.0),
    first=(0.2, 2.5),
    facts=_QUOTIENT,
)
POWER, power = _binary("power", np.power, "NumPy power", first=(0.3, 2.0), facts=_WIDE_KEPT)
MAXIMUM, maximum = _binary("maximum", np.maximum, "NumPy maximum", facts=_COMMUTES)
MINIMUM, minimum = _binary("minimum", np.minimum, "NumPy minimum", facts=_COMMUTES)
EQUAL, equal = _binary(
    "equal",
    np.equal,
    "NumPy equal",
    result="bool",
    differentiable=False,
    facts=facts.elementwise("half", keeps_zeros=False, sign="not negative", commutes=True),
)
NOT_EQUAL, not_equal = _binary(
    "not_equal",
    np.not_equal,
    "NumPy not_equal",
    result="bool",
    differentiable=False,
    facts=_SYMMETRIC_TEST,
)
LESS, less = _binary("less", np.less, "NumPy less", result="bool", differentiable=False, facts=_NOT_NEGATIVE)
LESS_EQUAL, less_equal = _binary(
    "less_equal",
    np.less_equal,
    "NumPy less_equal",
    result="bool",
    differentiable=False,
    facts=_POSITIVE,
)
GREATER, greater = _binary(
    "greater", np.greater, "NumPy greater", result="bool", differentiable=False, facts=_NOT_NEGATIVE
)
GREATER_EQUAL, greater_equal = _binary(
    "greater_equal",
    np.greater_equal,
    "NumPy greater_equal",
    result="bool",
    differentiable=False,
    facts=_POSITIVE,
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

    def function(*operands_: TensorLike) -> Any:
        return bind(spec, *(cast(operand, "bool") for operand in operands_))

    function.__name__ = function.__qualname__ = name
    count = "two tensors, which broadcast" if operands == 2 else "one tensor"
    function.__doc__ = f"""Elementwise {name.replace("_", " ")} of {count} ({source}).

    Numbers count as true unless they are zero. Gives booleans.
    """
    return spec, function


LOGICAL_AND, logical_and = _logical(
    "logical_and", np.logical_and, "NumPy logical_and", 2, facts=_SYMMETRIC_TEST
)
LOGICAL_OR, logical_or = _logical("logical_or", np.logical_or, "NumPy logical_or", 2, facts=_SYMMETRIC_TEST)
LOGICAL_NOT, logical_not = _logical("logical_not", np.logical_not, "NumPy logical_not", 1, facts=_POSITIVE)


def _cast_samples(rng: np.random.Generator) -> Iterator[Sample]:
    for shape in SHAPES:
        for dtype in ("float64", "float32", "int32", "bool"):
            # The reference rounds to float32 as it should; finite differences in float64 see only steps.
            yield Sample(
                (rng.uniform(-3, 3, shape),), {"dtype": dtype}, wrt=None if dtype == "float64" else ()
            )


def _cast_rule(x: TensorType, dtype: str) -> TensorType:
    if "key" in (dtype, x.dtype.name):
        raise DTypeError(f"A random key cannot be cast: {x.dtype} to {dtype}.")
    return x.with_dtype(dtype)


CAST = register(
    OpSpec(
        "cast",
        rule=_cast_rule,
        reference=lambda x, dtype: x.astype(dtype_of(dtype).numpy),
        samples=_cast_samples,
        source="NumPy astype; ONNX Cast",
        attributes={"dtype": str},
        facts=_KEEPS,
    )
)


def _where_samples(rng: np.random.Generator) -> Iterator[Sample]:
    for a, b in PAIRS:
        yield Sample((rng.random(a) < 0.5, rng.normal(size=b), rng.normal(size=a)))


def _where_rule(condition: TensorType, x: TensorType, y: TensorType) -> TensorType:
    if condition.dtype != bool_:
        raise DTypeError(f"where takes a boolean condition, not {condition.dtype}.")
    return TensorType(same_dtype(x, y), broadcast(condition.shape, x.shape, y.shape, unify=True))


WHERE = register(
    OpSpec("where", _where_rule, np.where, _where_samples, "NumPy where; ONNX Where", facts=_KEEPS)
)


def where(condition: TensorLike, x: TensorLike, y: TensorLike) -> Any:
    """Elements of ``x`` where ``condition`` holds, else of ``y`` (NumPy where).

    The three broadcast; ``x`` and ``y`` are promoted to one dtype, numbers in ``condition`` count as true unless
    they are zero. Raises `ShapeError` if they do not broadcast.
    """
    x, y = promoted(x, y)
    return bind(WHERE, cast(condition, "bool"), x, y)


def _clip_rule(x: TensorType, minimum: float, maximum: float) -> TensorType:
    if x.dtype.kind in "bk":
        raise DTypeError(f"clip takes numbers, not {x.dtype}; cast it first.")
    return x


CLIP = register(
    OpSpec(
        "clip",
        rule=_clip_rule,
        reference=lambda x, minimum, maximum: np.clip(x, minimum, maximum),
        samples=lambda rng: (
            Sample((rng.normal(size=s),), {"minimum": -0.5, "maximum": 0.75}) for s in SHAPES
        ),
        source="NumPy clip; ONNX Clip",
        attributes={"minimum": (float, int), "maximum": (float, int)},
        facts=facts.elementwise(
            "half",
            keeps_zeros=lambda a: a["minimum"] <= 0 <= a["maximum"],
            sign=lambda a: "not negative" if a["minimum"] >= 0 else "any",
            commutes=False,
        ),
    )
)


def clip(x: TensorLike, minimum: float, maximum: float) -> Any:
    """``x`` limited to ``[minimum, maximum]``, Python numbers (NumPy clip). The gradient outside is zero.

    Integers stay integers between ints, and become float32 between floats. Raises `ArgumentError` if the
    minimum is above the maximum, `DTypeError` for booleans and keys.
    """
    if minimum > maximum:
        raise ArgumentError(f"clip: the minimum {minimum} is above the maximum {maximum}.")
    if isinstance(minimum, float) or isinstance(maximum, float):
        x = floating(x)
    kind = int if type_of(x).dtype.is_integer else float
    return bind(CLIP, x, minimum=kind(minimum), maximum=kind(maximum))


STOP_GRADIENT = register(
    OpSpec(
        "stop_gradient",
        rule=lambda x: x,
        reference=lambda x: x,
        samples=lambda rng: (Sample((rng.normal(size=shape),), wrt=()) for shape in SHAPES),
        source="Keras ops.stop_gradient: the identity, with gradient zero",
        differentiable=False,
        facts=_KEEPS,
    )
)


def stop_gradient(x: TensorLike) -> Any:
    """``x`` itself, through which no gradient flows (Keras ops.stop_gradient)."""
    return bind(STOP_GRADIENT, x)


def relu6(x: TensorLike) -> Any:
    """``min(max(x, 0), 6)`` (Keras relu6)."""
    return clip(x, 0.0, 6.0)
