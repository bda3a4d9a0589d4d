"""Products of matrices: matmul, dense, einsum."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator, Sequence
from string import ascii_letters, ascii_lowercase, ascii_uppercase
from typing import Any

import numpy as np

from unifront.arguments import shown
from unifront.dtypes import DType, bool_, int8, int32
from unifront.errors import ArgumentError, DTypeError, ShapeError
from unifront.ir import facts
from unifront.ir.dims import Dim
from unifront.ir.types import TensorType
from unifront.opset import flops
from unifront.opset.elementwise import (
    TensorLike,
    add,
    cast,
    floating,
    logical_and,
    multiply,
    negative,
    promoted,
    subtract,
)
from unifront.opset.rules import axis_in, broadcast, is_whole, need_float, need_rank, same_dtype, show
from unifront.opset.shape import moveaxis, reshape, squeeze, stack, unstack
from unifront.opset.spec import OpSpec, Sample, register
from unifront.opset.tensor import bind, replayed, type_of


def _numbers(name: str, *types: TensorType) -> None:
    if same_dtype(*types).kind in "bk":
        raise DTypeError(f"{name} takes numbers, not {types[0].dtype}; cast them first.")


def _product_dtype(x: DType) -> DType:
    """Of products summed: those of int8 need more bits, and processors make int32 of them."""
    return int32 if x == int8 else x


def _matmul_rule(x: TensorType, y: TensorType) -> TensorType:
    _numbers("matmul", x, y)
    if x.rank == 0 or y.rank == 0:
        raise ShapeError(f"matmul takes no scalars; the shapes are {show(x.shape)} and {show(y.shape)}.")
    inner = y.shape[-2] if y.rank > 1 else y.shape[0]
    if x.shape[-1] != inner:
        raise ShapeError(
            f"matmul: the last axis of {show(x.shape)} and the {'second last' if y.rank > 1 else 'only'} "
            f"axis of {show(y.shape)} have different lengths."
        )
    rows, columns = x.shape[-2:-1], y.shape[-1:] if y.rank > 1 else ()
    return TensorType(_product_dtype(x.dtype), (*broadcast(x.shape[:-2], y.shape[:-2]), *rows, *columns))


_INT8 = np.dtype(np.int8)


def _summable(x: np.ndarray) -> np.ndarray:
    return x.astype(np.int32) if x.dtype == _INT8 else x


def _matmul_samples(rng: np.random.Generator) -> Iterator[Sample]:
    for x, y in (
        ((2, 3), (3, 4)), ((3,), (3,)), ((3,), (2, 3, 1)), ((2, 2, 3), (3,)), ((2, 1, 2, 3), (3, 3, 1)),
        ((4, 2, 3), (3, 2)), ((2, 0), (0, 3)), ((0, 2, 3), (3, 1)),
    ):  # fmt: skip
        yield Sample((rng.normal(size=x), rng.normal(size=y)))
    for dtype in (np.int8, np.uint8, np.int16, np.int32, np.int64, np.uint32):
        yield Sample((rng.integers(0, 100, (2, 3)).astype(dtype), rng.integers(0, 100, (3, 2)).astype(dtype)))


MATMUL = register(
    OpSpec(
        "matmul",
        _matmul_rule,
        lambda x, y: np.matmul(_summable(x), _summable(y)),
        _matmul_samples,
        "NumPy matmul; ONNX MatMul",
        facts=facts.product(0),
        flops=flops.matmul,
    )
)


def _with_numbers(product: Callable[..., Any], operands: Sequence[Any]) -> Any:
    """``product``, of operands of one dtype; of booleans whether any product is true."""
    if type_of(operands[0]).dtype != bool_:
        return product(*operands)
    return cast(product(*(cast(operand, int32) for operand in operands)), bool_)


def _kept_narrow(found: Any, operands: Sequence[Any], given: Sequence[Any] = ()) -> Any:
    """``found`` in the dtype of the ``operands``, in which NumPy has it, unless all that was ``given`` is int8."""
    dtype = type_of(operands[0]).dtype
    return (
        found
        if dtype != int8 or (given and all(type_of(x).dtype == int8 for x in given))
        else cast(found, dtype)
    )


def matmul(x1: TensorLike, x2: TensorLike) -> Any:
    """Matrix product: last axis of ``x1`` by second last of ``x2``; the other axes broadcast (NumPy matmul).

    The two are promoted to one dtype; two of int8 give int32, booleans whether any product is true. Raises `ShapeError`
    if they do not fit or one is a scalar.
    """
    operands = promoted(x1, x2)
    found = _with_numbers(functools.partial(bind, MATMUL), operands)
    return _kept_narrow(found, operands, (x1, x2))


def _dense_rule(x: TensorType, kernel: TensorType, bias: TensorType | None) -> TensorType:
    need_float(x, "dense: the input")
    same_dtype(*(type_ for type_ in (x, kernel, bias) if type_ is not None))
    need_rank(kernel, 2, "dense: the kernel")
    if x.rank == 0 or x.shape[-1] != kernel.shape[0]:
        raise ShapeError(
            f"dense: the last axis of the input {show(x.shape)} is not as long as the first of the kernel "
            f"{show(kernel.shape)}."
        )
    if bias is not None and bias.shape != kernel.shape[1:]:
        raise ShapeError(f"dense: the bias {show(bias.shape)} does not fit the kernel {show(kernel.shape)}.")
    return x.with_shape((*x.shape[:-1], kernel.shape[1]))


def _dense(x: np.ndarray, kernel: np.ndarray, bias: np.ndarray | None) -> np.ndarray:
    return x @ kernel if bias is None else x @ kernel + bias


def _dense_samples(rng: np.random.Generator) -> Iterator[Sample]:
    for shape, units, with_bias in (
        ((2, 3), 4, True), ((5, 1), 1, False), ((3,), 2, True), ((2, 3, 4), 3, True),
        ((2, 1, 2, 3), 2, False), ((0, 3), 2, True),
    ):  # fmt: skip
        bias = rng.normal(size=units) if with_bias else None
        yield Sample((rng.normal(size=shape), rng.normal(size=(shape[-1], units)), bias))


def _dense_written_out(x: Any, kernel: Any, bias: Any) -> Any:
    product = matmul(x, kernel)
    return product if bias is None else add(product, bias)


DENSE = register(
    OpSpec(
        "dense", _dense_rule, _dense, _dense_samples, "Keras Dense; ONNX Gemm, MatMul and Add",
        decomposition=_dense_written_out,
        facts=facts.product(1),
        flops=flops.dense,
    )
)  # fmt: skip


def dense(x: TensorLike, kernel: TensorLike, bias: TensorLike | None = None) -> Any:
    """``x @ kernel + bias``, ``[..., units]``: a fully connected layer (Keras Dense; ONNX Gemm).

    Args:
        x: ``[..., in]``.
        kernel: ``[in, units]``.
        bias: ``[units]`` or None.

    They are promoted to one float dtype. Raises `ShapeError` if they do not fit.
    """
    operands = promoted(*(floating(o) for o in (x, kernel, bias) if o is not None))
    return bind(DENSE, *operands, *([None] if bias is None else []))


def _terms(equation: str) -> tuple[list[str], str]:
    """The labels of each operand and of the result, of an equation without ``...``."""
    left, arrow, result = equation.partition("->")
    terms = left.split(",")
    labels = "".join(terms)
    if not arrow or not all(label in ascii_letters for label in labels + result):
        raise ArgumentError(f"einsum: {equation!r} is no equation such as 'ij,jk->ik'.")
    if len(set(result)) < len(result) or not set(result) <= set(labels):
        raise ArgumentError(
            f"einsum: the result of {equation!r} has a label twice, or one that no operand has."
        )
    return terms, result


def _einsum_rule(*types: TensorType, equation: str) -> TensorType:
    terms, result = _terms(equation)
    _numbers("einsum", *types)
    if len(terms) != len(types):
        raise ArgumentError(f"einsum: {equation!r} is for {len(terms)} operands; given were {len(types)}.")
    sizes: dict[str, Dim] = {}
    for term, type_ in zip(terms, types, strict=True):
        need_rank(type_, len(term), f"einsum: the operand {term!r} of {equation!r}")
        for label, dim in zip(term, type_.shape, strict=True):
            if sizes.setdefault(label, dim) != dim:
                raise ShapeError(
                    f"einsum: the label {label!r} of {equation!r} is both {sizes[label]} and {dim} long."
                )
    return TensorType(_product_dtype(types[0].dtype), tuple(sizes[label] for label in result))


def _einsum_samples(rng: np.random.Generator) -> Iterator[Sample]:
    for equation, *shapes in (
        ("ij,jk->ik", (2, 3), (3, 1)), ("bij,bkj->bik", (2, 3, 4), (2, 1, 4)), ("i,j->ji", (2,), (3,)),
        ("ijk->j", (2, 3, 1)), ("i,i->", (3,), (3,)), ("ab,bc,cd->ad", (2, 2), (2, 3), (3, 1)),
        ("ij,jk->ik", (2, 0), (0, 3)),
    ):  # fmt: skip
        yield Sample(tuple(rng.normal(size=shape) for shape in shapes), {"equation": equation})
    for dtype in (np.int8, np.uint8, np.int32, np.int64):
        operands = tuple(rng.integers(0, 100, shape).astype(dtype) for shape in ((2, 3), (3, 2)))
        yield Sample(operands, {"equation": "ij,jk->ki"})


def _einsum_reference(*operands: np.ndarray, equation: str) -> np.ndarray:
    """Several operands are taken two at a time: all at once takes the product of all sizes."""
    result: np.ndarray = np.einsum(equation, *map(_summable, operands), optimize=len(operands) > 2)
    return result


EINSUM = register(
    OpSpec(
        "einsum", _einsum_rule, _einsum_reference, _einsum_samples,
        "NumPy einsum; ONNX Einsum", {"equation": str}, variadic=True,
        facts=facts.product(0, fresh=False), flops=flops.einsum,
    )
)  # fmt: skip


def _written_out(equation: str, ranks: Sequence[int]) -> str:
    """``equation`` with a result and without blanks and ``...``."""
    left, arrow, result = equation.replace(" ", "").partition("->")
    terms = left.split(",")
    if len(terms) != len(ranks):
        raise ArgumentError(f"einsum: {equation!r} is for {len(terms)} operands; given were {len(ranks)}.")
    free = [label for label in ascii_letters if label not in equation]
    hidden = [
        rank - len(term.replace("...", "")) if "..." in term else 0
        for term, rank in zip(terms, ranks, strict=True)
    ]
    most = max(hidden)
    if min(hidden) < 0 or most > len(free):
        raise ShapeError(f"einsum: the operands of ranks {list(ranks)} do not fit {equation!r}.")
    stands_for = "".join(free[:most])
    if not arrow:
        once = sorted(label for label in set(left) - set(".,") if left.count(label) == 1)
        result = ("..." if "..." in left else "") + "".join(once)
    full = [
        term.replace("...", stands_for[most - count :]) for term, count in zip(terms, hidden, strict=True)
    ]
    return f"{','.join(full)}->{result.replace('...', stands_for)}"


def _without_ones(equation: str, operands: Sequence[Any]) -> tuple[str, list[Any]]:
    """The equation, and the operands, without axes one long of labels that are longer in another operand."""
    left, _, result = equation.partition("->")
    terms = left.split(",")
    shapes = [type_of(operand).shape for operand in operands]
    if any(len(term) != len(shape) for term, shape in zip(terms, shapes, strict=True)):
        return equation, list(operands)  # the type rule says what does not fit
    long = {
        label
        for term, shape in zip(terms, shapes, strict=True)
        for label, dim in zip(term, shape, strict=True)
        if dim != 1
    }
    found, kept = [], []
    for term, shape, operand in zip(terms, shapes, operands, strict=True):
        ones = [i for i, label in enumerate(term) if shape[i] == 1 and label in long]
        found.append(squeeze(operand, ones) if ones else operand)
        kept.append("".join(label for i, label in enumerate(term) if i not in ones))
    return f"{','.join(kept)}->{result}", found


_LETTERS = ascii_uppercase + ascii_lowercase
"""In the order in which labels are sorted, so that a result without labels has its axes in the order of the numbers."""


def _from_numbers(*given: Any) -> tuple[str, tuple[Any, ...]]:
    """The subscripts in letters, and the operands, of a call in which numbers stand for axes."""
    pairs = list(zip(given[0::2], given[1::2], strict=False))
    labels = [numbers for _, numbers in pairs] + ([given[-1]] if len(given) % 2 else [])
    fit = all(isinstance(one, list | tuple) for one in labels) and bool(pairs)
    used = [number for one in labels for number in one if number is not Ellipsis] if fit else [None]
    if not all(is_whole(number) and 0 <= number < len(_LETTERS) for number in used):
        raise ArgumentError(
            "einsum takes a string of subscripts and tensors, or each tensor followed by the numbers of its axes, from "
            f"0 to {len(_LETTERS) - 1}; it was given {', '.join(map(shown, given))}."
        )
    terms = ["".join("..." if n is Ellipsis else _LETTERS[n] for n in one) for one in labels]
    result = f"->{terms.pop()}" if len(given) % 2 else ""
    return ",".join(terms) + result, tuple(operand for operand, _ in pairs)


@replayed
def einsum(subscripts: Any, *operands: Any) -> Any:
    """Sums of products named by labels: ``einsum("bij,bjk->bik", x, y)`` (NumPy einsum).

    Args:
        subscripts: a letter for each axis of each operand, and of the result; without ``->`` those that stand
            once, in alphabetical order. ``...`` stands for further axes.
        operands: tensors, promoted to one dtype, of which int8 gives int32; equal letters have equal lengths, or 1.

    NumPy's other form is taken too: each operand is followed by the numbers that stand for its axes, and the numbers
    of the result may come last, ``einsum(x, [0, 1], y, [1, 2], [0, 2])``; ``...`` is then an `Ellipsis`.
    """
    if not isinstance(subscripts, str):
        subscripts, operands = _from_numbers(subscripts, *operands)
    tensors = promoted(*operands)
    written = _written_out(subscripts, [type_of(x).rank for x in tensors])
    equation, given = _without_ones(written, tensors)
    found = _with_numbers(functools.partial(bind, EINSUM, equation=equation), given)
    return _kept_narrow(found, given, operands)


def tensordot(x1: TensorLike, x2: TensorLike, axes: int | Sequence[int] | Sequence[Sequence[int]] = 2) -> Any:
    """The sum of products over pairs of axes (NumPy tensordot).

    Args:
        axes: how many of the last axes of ``x1`` and first of ``x2``, or the axes of each, or one axis of each.
    """
    ranks = type_of(x1).rank, type_of(x2).rank
    if isinstance(axes, int):
        axes = range(ranks[0] - axes, ranks[0]), range(axes)
    if len(axes) != 2:
        raise ShapeError(
            f"tensordot: axes is a number of axes, or the axes of x1 and those of x2, not {axes!r}."
        )
    pairs = [[own] if isinstance(own, int) else own for own in axes]
    first, second = ([axis_in(axis, rank) for axis in own] for own, rank in zip(pairs, ranks, strict=True))
    if len(first) != len(second):
        raise ShapeError(f"tensordot pairs axes of x1 with axes of x2; given were {first} and {second}.")
    left, right = list(ascii_letters[: ranks[0]]), list(ascii_letters[ranks[0] : sum(ranks)])
    for a, b in zip(first, second, strict=True):
        right[b] = left[a]
    kept = [label for label in left + right if label not in [left[axis] for axis in first]]
    operands = promoted(x1, x2)
    equation = f"{''.join(left)},{''.join(right)}->{''.join(kept)}"
    return _kept_narrow(_with_numbers(functools.partial(bind, EINSUM, equation=equation), operands), operands)


def _product(x1: Any, x2: Any) -> Any:
    """Elementwise; of booleans whether both are true."""
    first, second = promoted(x1, x2)
    return logical_and(first, second) if type_of(first).dtype == bool_ else multiply(first, second)


def dot(x1: TensorLike, x2: TensorLike) -> Any:
    """The product over the last axis of ``x1`` and the second last of ``x2``; all others stay (NumPy dot)."""
    if 0 in (type_of(x1).rank, type_of(x2).rank):
        return _product(x1, x2)
    return tensordot(x1, x2, [[-1], [-2 if type_of(x2).rank > 1 else -1]])


def inner(x1: TensorLike, x2: TensorLike) -> Any:
    """The product over the last axes; all others stay (NumPy inner)."""
    if 0 in (type_of(x1).rank, type_of(x2).rank):
        return _product(x1, x2)
    return tensordot(x1, x2, [[-1], [-1]])


@replayed
def vdot(x1: TensorLike, x2: TensorLike) -> Any:
    """The product of two tensors read as vectors; of complex ones the first is conjugated (NumPy vdot)."""
    from unifront.opset.complex_numbers import conjugate

    first = conjugate(x1) if type_of(x1).dtype.is_complex else x1
    return dot(reshape(first, (-1,)), reshape(x2, (-1,)))


def cross(
    x1: TensorLike, x2: TensorLike, axisa: int = -1, axisb: int = -1, axisc: int = -1, axis: int | None = None
) -> Any:
    """The cross product of vectors of 3 or 2 elements; of two of 2 elements the scalar that stands for the third
    (NumPy cross).

    Args:
        axisa, axisb: the axis of the vectors in ``x1`` and in ``x2``.
        axisc: that of the vectors in the result.
        axis: all three of them.

    The other axes broadcast. Raises `ShapeError` for vectors of another length.
    """
    if axis is not None:
        axisa = axisb = axisc = axis
    first, second = promoted(x1, x2)
    first, second = moveaxis(first, axisa, -1), moveaxis(second, axisb, -1)
    lengths = type_of(first).shape[-1], type_of(second).shape[-1]
    if not {*lengths} <= {2, 3}:
        raise ShapeError(f"cross: vectors have 2 or 3 elements; these have {lengths[0]} and {lengths[1]}.")
    a, b = unstack(first, axis=-1), unstack(second, axis=-1)

    def minor(i: int, j: int) -> Any:
        """``a[i] b[j] - a[j] b[i]``, in which the third element of a vector of two is zero."""
        plus = multiply(a[i], b[j]) if i < len(a) and j < len(b) else None
        minus = multiply(a[j], b[i]) if j < len(a) and i < len(b) else None
        if plus is None or minus is None:
            return negative(minus) if plus is None else plus
        return subtract(plus, minus)

    if lengths == (2, 2):
        return minor(0, 1)
    return moveaxis(stack([minor(1, 2), minor(2, 0), minor(0, 1)], axis=-1), -1, axisc)
