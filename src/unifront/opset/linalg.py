"""Products of matrices: matmul, dense, einsum."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from string import ascii_letters
from typing import Any

import numpy as np

from unifront.errors import ArgumentError, DTypeError, ShapeError
from unifront.ir import facts
from unifront.ir.dims import Dim
from unifront.ir.types import TensorType
from unifront.opset.elementwise import TensorLike, add, floating, multiply, promoted
from unifront.opset.rules import axis_in, broadcast, need_float, need_rank, same_dtype, show
from unifront.opset.spec import OpSpec, Sample, register
from unifront.opset.tensor import bind, type_of


def _numbers(name: str, *types: TensorType) -> None:
    if same_dtype(*types).kind in "bk":
        raise DTypeError(f"{name} takes numbers, not {types[0].dtype}; cast them first.")


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
    return TensorType(x.dtype, (*broadcast(x.shape[:-2], y.shape[:-2]), *rows, *columns))


def _matmul_samples(rng: np.random.Generator) -> Iterator[Sample]:
    for x, y in (
        ((2, 3), (3, 4)), ((3,), (3,)), ((3,), (2, 3, 1)), ((2, 2, 3), (3,)), ((2, 1, 2, 3), (3, 3, 1)),
        ((4, 2, 3), (3, 2)), ((2, 0), (0, 3)), ((0, 2, 3), (3, 1)),
    ):  # fmt: skip
        yield Sample((rng.normal(size=x), rng.normal(size=y)))


MATMUL = register(
    OpSpec(
        "matmul",
        _matmul_rule,
        np.matmul,
        _matmul_samples,
        "NumPy matmul; ONNX MatMul",
        facts=facts.product(0),
    )
)


def matmul(x: TensorLike, y: TensorLike) -> Any:
    """Matrix product: last axis of ``x`` by second last of ``y``; the other axes broadcast (NumPy matmul).

    The two are promoted to one dtype. Raises `ShapeError` if they do not fit or one is a scalar, `DTypeError` for
    booleans.
    """
    return bind(MATMUL, *promoted(x, y))


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
    return TensorType(types[0].dtype, tuple(sizes[label] for label in result))


def _einsum_samples(rng: np.random.Generator) -> Iterator[Sample]:
    for equation, *shapes in (
        ("ij,jk->ik", (2, 3), (3, 1)), ("bij,bkj->bik", (2, 3, 4), (2, 1, 4)), ("i,j->ji", (2,), (3,)),
        ("ijk->j", (2, 3, 1)), ("i,i->", (3,), (3,)), ("ab,bc,cd->ad", (2, 2), (2, 3), (3, 1)),
        ("ij,jk->ik", (2, 0), (0, 3)),
    ):  # fmt: skip
        yield Sample(tuple(rng.normal(size=shape) for shape in shapes), {"equation": equation})


EINSUM = register(
    OpSpec(
        "einsum", _einsum_rule, lambda *xs, equation: np.einsum(equation, *xs), _einsum_samples,
        "NumPy einsum; ONNX Einsum", {"equation": str}, variadic=True,
        facts=facts.product(0),
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


def einsum(equation: str, *operands: TensorLike) -> Any:
    """Sums of products named by labels: ``einsum("bij,bjk->bik", x, y)`` (NumPy einsum).

    Args:
        equation: a letter for each axis of each operand, and of the result; without ``->`` those that stand
            once, in alphabetical order. ``...`` stands for further axes.
        operands: tensors, promoted to one dtype; equal letters have equal lengths.
    """
    tensors = promoted(*operands)
    return bind(EINSUM, *tensors, equation=_written_out(equation, [type_of(x).rank for x in tensors]))


def tensordot(x: TensorLike, y: TensorLike, axes: int | Sequence[Sequence[int]] = 2) -> Any:
    """The sum of products over pairs of axes (NumPy tensordot).

    Args:
        axes: how many of the last axes of ``x`` and first of ``y``, or the axes of each.
    """
    ranks = type_of(x).rank, type_of(y).rank
    if isinstance(axes, int):
        axes = range(ranks[0] - axes, ranks[0]), range(axes)
    if len(axes) != 2:
        raise ShapeError(
            f"tensordot: axes is a number of axes, or the axes of x and those of y, not {axes!r}."
        )
    first, second = ([axis_in(axis, rank) for axis in own] for own, rank in zip(axes, ranks, strict=True))
    if len(first) != len(second):
        raise ShapeError(f"tensordot pairs axes of x with axes of y; given were {first} and {second}.")
    left, right = list(ascii_letters[: ranks[0]]), list(ascii_letters[ranks[0] : sum(ranks)])
    for a, b in zip(first, second, strict=True):
        right[b] = left[a]
    kept = [label for label in left + right if label not in [left[axis] for axis in first]]
    return einsum(f"{''.join(left)},{''.join(right)}->{''.join(kept)}", x, y)


def dot(x: TensorLike, y: TensorLike) -> Any:
    """The product over the last axis of ``x`` and the second last of ``y``; all others stay (NumPy dot)."""
    if 0 in (type_of(x).rank, type_of(y).rank):
        return multiply(x, y)
    return tensordot(x, y, [[-1], [-2 if type_of(y).rank > 1 else -1]])
