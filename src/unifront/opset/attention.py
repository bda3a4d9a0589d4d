"""Attention by products of queries and keys."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import numpy as np

from unifront.arguments import Real
from unifront.errors import ArgumentError, DTypeError, ShapeError
from unifront.ir import facts
from unifront.ir.dims import Dim
from unifront.ir.types import Shape, TensorType
from unifront.opset import elementwise, flops
from unifront.opset.creation import iota
from unifront.opset.elementwise import TensorLike, floating, promoted
from unifront.opset.linalg import matmul
from unifront.opset.nn import softmax
from unifront.opset.rules import need_float, need_rank, same_dtype, show
from unifront.opset.shape import reshape, transpose
from unifront.opset.spec import OpSpec, Sample, register
from unifront.opset.tensor import bind, type_of


def masked_out(bits: int) -> float:
    """What stands for the product of a pair that does not count: its exponential is 0, unless no pair of a row
    counts. Then all are alike."""
    largest = {16: 65504.0, 32: float(np.finfo(np.float32).max), 64: float(np.finfo(np.float64).max)}
    return -0.7 * largest[bits]


def _rule(
    query: TensorType, key: TensorType, value: TensorType, bias: TensorType | None, mask: TensorType | None,
    scale: float, causal: bool,
) -> TensorType:  # fmt: skip
    for name, type_ in (("query", query), ("key", key), ("value", value)):
        need_rank(need_float(type_, name), 4, name)
    same_dtype(query, key, value)
    (batch, target, heads, size), (_, source, kept, _) = query.shape, key.shape
    if key.shape != (batch, source, kept, size) or value.shape[:3] != key.shape[:3]:
        raise ShapeError(
            f"query {show(query.shape)}, key {show(key.shape)} and value {show(value.shape)} are (batch, target, "
            "heads, size), (batch, source, heads, size) and (batch, source, heads, any size)."
        )
    if not isinstance(heads, int) or not isinstance(kept, int) or not kept or heads % kept:
        raise ShapeError(f"{heads} heads of the query do not share {kept} heads of the key.")
    whole = (batch, heads, target, source)
    for name, extra in (("bias", bias), ("mask", mask)):
        if extra is not None and not _spreads(extra.shape, whole):
            raise ShapeError(
                f"The {name} {show(extra.shape)} does not broadcast to (batch, heads, target, source), "
                f"{show(whole)}."
            )
    if bias is not None:
        same_dtype(query, bias)
    if mask is not None and mask.dtype.name != "bool":
        raise DTypeError(f"The mask is {mask.dtype}; booleans are needed.")
    return query.with_shape((batch, target, heads, value.shape[3]))


def _spreads(shape: Shape, whole: Shape) -> bool:
    """Whether ``shape`` broadcasts to ``whole``."""
    return len(shape) <= len(whole) and all(
        a in (1, b) for a, b in zip(reversed(shape), reversed(whole), strict=False)
    )


def _reference(
    query: np.ndarray, key: np.ndarray, value: np.ndarray, bias: np.ndarray | None, mask: np.ndarray | None,
    scale: float, causal: bool,
) -> np.ndarray:  # fmt: skip
    group = query.shape[2] // key.shape[2]
    key, value = np.repeat(key, group, 2), np.repeat(value, group, 2)
    logits = np.einsum("btnh,bsnh->bnts", query, key) * scale + (0 if bias is None else bias)
    counts = np.ones(logits.shape, bool) if mask is None else np.broadcast_to(mask, logits.shape)
    if causal:
        counts = counts & np.tri(*logits.shape[2:]).astype(bool)
    logits = np.where(counts, logits, masked_out(logits.dtype.itemsize * 8))
    weights = np.exp(logits - logits.max(-1, keepdims=True))
    return np.einsum("bnts,bsnh->btnh", weights / weights.sum(-1, keepdims=True), value)


def _decomposed(query: Any, key: Any, value: Any, bias: Any, mask: Any, scale: float, causal: bool) -> Any:
    (batch, target, heads, _), (_, source, kept, _) = type_of(query).shape, type_of(key).shape
    assert isinstance(heads, int)  # as the type rule has seen
    assert isinstance(kept, int)
    group, dtype = heads // kept, type_of(query).dtype

    def by_key(x: Any, size: Dim) -> Any:  # what shares a head of the key, one after the other
        return reshape(x, (batch, kept, group * target, size)) if group > 1 else x

    queries = by_key(transpose(elementwise.multiply(query, scale), (0, 2, 1, 3)), type_of(query).shape[3])
    logits = matmul(queries, transpose(key, (0, 2, 3, 1)))
    if group > 1:
        logits = reshape(logits, (batch, heads, target, source))
    weights = elementwise.cast(attention_weights(logits, bias, mask, causal), dtype)
    result = matmul(by_key(weights, source), transpose(value, (0, 2, 1, 3)))
    if group > 1:
        result = reshape(result, (batch, heads, target, type_of(value).shape[3]))
    return transpose(result, (0, 2, 1, 3))


def attention_weights(logits: Any, bias: Any, mask: Any, causal: bool) -> Any:
    """The softmax of ``logits[…, target, source]`` over the pairs that count, in float32 at least."""
    if type_of(logits).dtype.bits == 16:
        logits = elementwise.cast(logits, "float32")
    type_ = type_of(logits)
    if bias is not None:
        logits = elementwise.add(logits, elementwise.cast(bias, type_.dtype))
    counts = mask
    if causal:
        target, source = type_.shape[-2:]
        earlier = elementwise.greater_equal(
            iota((target, source), 0, "int32", like=logits), iota((target, source), 1, "int32", like=logits)
        )
        counts = earlier if mask is None else elementwise.logical_and(mask, earlier)
    if counts is not None:
        logits = elementwise.where(counts, logits, masked_out(type_.dtype.bits))
    return softmax(logits, -1)


def _samples(rng: np.random.Generator) -> Iterator[Sample]:
    def sample(
        batch: int, target: int, source: int, heads: tuple[int, int], size: int, *, out: int | None = None,
        bias: tuple[int, ...] | None = None, mask: np.ndarray | None = None, causal: bool = False,
    ) -> Sample:  # fmt: skip
        many, few = heads
        operands = (
            rng.normal(size=(batch, target, many, size)),
            rng.normal(size=(batch, source, few, size)),
            rng.normal(size=(batch, source, few, out or size)),
            None if bias is None else rng.normal(size=bias),
            mask,
        )
        return Sample(operands, {"scale": size**-0.5, "causal": causal})

    some = np.array(
        [[True, False, True], [True, True, False], [False, False, False]]
    )  # of the last none counts
    yield sample(2, 3, 4, (2, 2), 3)
    yield sample(2, 4, 3, (2, 2), 4, out=2, causal=True)
    yield sample(1, 3, 3, (4, 2), 2, causal=True)
    yield sample(1, 3, 3, (2, 1), 2, bias=(2, 3, 3), mask=some)
    yield sample(2, 3, 3, (2, 2), 4, bias=(1, 2, 1, 3), causal=True)
    yield sample(2, 2, 3, (1, 1), 1, mask=some[:2].reshape(2, 1, 1, 3))
    yield sample(1, 1, 1, (1, 1), 1, causal=True)
    yield sample(0, 2, 3, (2, 2), 4)


ATTENTION = register(
    OpSpec(
        "attention",
        _rule,
        _reference,
        _samples,
        "Vaswani et al. 2017; grouped queries: Ainslie et al. 2023; ONNX Attention-23",
        attributes={"scale": float, "causal": bool},
        decomposition=_decomposed,
        facts=facts.along(None, "accumulate", keeps_zeros=True, sign="any"),
        flops=flops.attention,
    )
)


def dot_product_attention(
    query: TensorLike,
    key: TensorLike,
    value: TensorLike,
    bias: TensorLike | None = None,
    mask: TensorLike | None = None,
    scale: Real | None = None,
    is_causal: bool = False,
    flash_attention: bool | None = None,
    attn_logits_soft_cap: Any = None,
) -> Any:
    """``softmax(query · keyᵀ * scale + bias) · value`` of each head (Vaswani et al. 2017).

    Args:
        query: floats, ``(batch, target, heads, size)``.
        key, value: ``(batch, source, heads, size)``; fewer heads, which divide the query's, are shared by as many
            of the query's that follow each other (Ainslie et al. 2023). The value's size is the result's.
        bias: what broadcasts to ``(batch, heads, target, source)``.
        mask: booleans of such a shape, true where a pair counts. Where none of a row does, the result is the
            mean of all values, as in Keras on JAX and TensorFlow.
        scale: ``1 / sqrt(size)`` unless given.
        is_causal: whether a target counts only sources up to its own place.
        flash_attention: a wish, which changes no number: each backend takes its quickest kernel for the operands.
        attn_logits_soft_cap: None only, as in Keras but on a TPU.

    Returns:
        ``(batch, target, heads, size of value)``.

    Raises `ShapeError` if the shapes do not fit.
    """
    if attn_logits_soft_cap is not None:
        raise ArgumentError(
            "attn_logits_soft_cap is only supported for JAX on TPU, where no backend of unifront uses it; leave "
            "it at None."
        )
    given = [floating(query), key, value, *([] if bias is None else [bias])]
    query, key, value, *rest = promoted(*given)
    if mask is not None:
        mask = elementwise.cast(mask, "bool")
    if type_of(query).rank != 4:
        raise ShapeError(
            f"dot_product_attention only supports 4D inputs, (batch, time, heads, size); {show(type_of(query).shape)} "
            "was given."
        )
    size = type_of(query).shape[3]
    if scale is None and not (isinstance(size, int) and size):
        raise ShapeError(f"The size of a head, {size}, must be known and not 0, or scale be given.")
    factor = float(scale) if scale is not None else 1 / math.sqrt(size)  # type: ignore[arg-type]  # an int, as said
    return bind(
        ATTENTION, query, key, value, rest[0] if rest else None, mask, scale=factor, causal=bool(is_causal)
    )
