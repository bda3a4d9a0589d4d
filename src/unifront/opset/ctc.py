"""Connectionist temporal classification."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from unifront.arguments import Count
from unifront.errors import ArgumentError, DTypeError, ShapeError
from unifront.ir import facts
from unifront.ir.types import TensorType
from unifront.opset import elementwise as e
from unifront.opset import reduce
from unifront.opset.control import scan
from unifront.opset.creation import full_like, iota
from unifront.opset.elementwise import TensorLike, floating
from unifront.opset.index import take_along_axis
from unifront.opset.nn import log_softmax
from unifront.opset.rules import need_float, need_rank, show
from unifront.opset.shape import concatenate, expand_dims, reshape, squeeze, stack, transpose
from unifront.opset.slicing import get_item
from unifront.opset.spec import OpSpec, Sample, register
from unifront.opset.tensor import bind, type_of

NEVER = -1e30
"""The logarithm of the probability of what cannot be."""


def _rule(
    logits: TensorType, target: TensorType, target_length: TensorType, output_length: TensorType, blank: int
) -> TensorType:
    need_rank(need_float(logits, "output"), 3, "output")
    need_rank(target, 2, "target")
    batch, _, classes = logits.shape
    if not (target.dtype.is_integer and target_length.dtype.is_integer and output_length.dtype.is_integer):
        raise DTypeError("Targets and lengths are integers; cast them first.")
    for name, type_ in (("target_length", target_length), ("output_length", output_length)):
        if type_.shape != (batch,):
            raise ShapeError(f"{name} has the shape {show(type_.shape)}; output is {show(logits.shape)}.")
    if target.shape[0] != batch:
        raise ShapeError(f"target {show(target.shape)} has another batch than output {show(logits.shape)}.")
    if isinstance(classes, int) and blank >= classes:
        raise ArgumentError(f"The mask_index {blank} is none of {classes} classes.")
    return logits.with_shape((batch,))


def _one_loss(logits: np.ndarray, labels: np.ndarray, blank: int) -> Any:
    """Of one sequence, by the recursion of Graves et al. 2006, equations 6 and 7."""
    shifted = logits - logits.max(-1, keepdims=True)
    logarithms = shifted - np.log(np.exp(shifted).sum(-1, keepdims=True))
    path = [blank]
    for label in labels:
        path += [int(label), blank]
    alpha = np.full(len(path), -np.inf)
    alpha[0] = 0.0
    for step in logarithms:
        before, alpha = alpha, np.full(len(path), -np.inf)
        for s, label in enumerate(path):
            ways = [before[s], before[s - 1] if s else -np.inf]
            if (
                s > 1 and s % 2 and label != path[s - 2]
            ):  # odd places are labels, one of which may be the blank
                ways.append(before[s - 2])
            alpha[s] = np.logaddexp.reduce(ways) + step[label]
    return -np.logaddexp.reduce(alpha[-2:])


def _reference(
    logits: np.ndarray, target: np.ndarray, target_length: np.ndarray, output_length: np.ndarray, blank: int
) -> np.ndarray:
    rows = zip(logits, target, target_length, output_length, strict=True)
    losses = [_one_loss(x[:steps], labels[:count], blank) for x, labels, count, steps in rows]
    return np.array(losses, logits.dtype).reshape(len(logits))


def _decomposed(logits: Any, target: Any, target_length: Any, output_length: Any, blank: int) -> Any:
    dtype = type_of(logits).dtype
    if dtype.bits == 16:  # which has no number as small as `NEVER`
        wide = e.cast(logits, "float32")
        return e.cast(_decomposed(wide, target, target_length, output_length, blank), dtype)
    batch, steps, _ = type_of(logits).shape
    target = e.cast(target, "int32")
    count = type_of(target).shape[1]
    pairs = stack([full_like(target, blank), target], -1)  # a blank before each label, and one at the end
    end_blank = full_like(expand_dims(e.cast(target_length, "int32"), 1), blank)
    path = concatenate([reshape(pairs, (batch, 2 * count)), end_blank], 1)
    places = expand_dims(path, 1)
    emitted = take_along_axis(log_softmax(logits), e.add(places, iota((1, steps, 1), 0, like=logits)), 2)
    never = full_like(get_item(emitted, (slice(None), 0)), NEVER)
    width = 2 * count + 1  # 1 at least, so that there is a first column
    none, blanks = (get_item(x, (slice(None), slice(0, 1))) for x in (never, full_like(path, blank)))
    place = iota((1, width), 1, like=logits)
    first = e.where(e.equal(place, 0), 0.0, never)

    def later(x: Any, by: int) -> Any:
        return get_item(concatenate([*[none] * by, x], 1), (slice(None), slice(0, width)))

    before = get_item(concatenate([blanks, blanks, path], 1), (slice(None), slice(0, width)))
    skips = e.logical_and(e.equal(e.remainder(place, 2), 1), e.not_equal(path, before))

    def step(alpha: Any, given: Any) -> tuple[Any, Any]:
        emission, time = given
        ways = stack([alpha, later(alpha, 1), e.where(skips, later(alpha, 2), NEVER)], -1)
        new = e.maximum(e.add(reduce.logsumexp(ways, -1), emission), NEVER)
        return e.where(e.less(time, ends), new, alpha), None

    ends = expand_dims(e.cast(output_length, "int32"), 1)
    alpha, _ = scan(step, first, (transpose(emitted, (1, 0, 2)), iota((steps,), 0, like=logits)))
    last = expand_dims(e.multiply(e.cast(target_length, "int32"), 2), 1)
    end = take_along_axis(alpha, last, 1)
    label = e.where(e.greater(last, 0), take_along_axis(alpha, e.maximum(e.subtract(last, 1), 0), 1), NEVER)
    loss = e.negative(squeeze(reduce.logsumexp(concatenate([end, label], 1), 1, True), 1))
    return e.where(e.greater(loss, -NEVER / 10), float("inf"), loss)


def _samples(rng: np.random.Generator) -> Iterator[Sample]:
    def sample(
        target: list[list[int]], lengths: list[int], steps: list[int], time: int, blank: int = 0
    ) -> Sample:
        integers = (np.array(one, np.int32) for one in (target, lengths, steps))
        return Sample((rng.normal(size=(len(target), time, 4)), *integers), {"blank": blank})

    yield sample([[1, 2, 3], [2, 2, 0], [3, 0, 0]], [3, 2, 1], [5, 4, 1], 5)
    yield sample([[0, 0], [1, 2]], [2, 1], [4, 3], 4, blank=3)
    yield sample([[2]], [1], [1], 1)
    yield sample([[1, 0, 2]], [3], [5], 5)  # the blank among the labels
    yield sample([[1, 1]], [0], [3], 3)


CTC_LOSS = register(
    OpSpec(
        "ctc_loss",
        _rule,
        _reference,
        _samples,
        "Graves et al. 2006",
        attributes={"blank": int},
        decomposition=_decomposed,
        facts=facts.along(None, "float32", keeps_zeros=False, sign="not negative"),
    )
)


def ctc_loss(
    target: TensorLike,
    output: TensorLike,
    target_length: TensorLike,
    output_length: TensorLike,
    mask_index: Count = 0,
) -> Any:
    """``-log`` of the probability of the labels, over all ways to spread them over the steps (Graves et al. 2006).

    Args:
        target: integers ``(batch, labels)``.
        output: logits ``(batch, steps, classes)``; 16-bit floats are computed in float32.
        target_length, output_length: how many labels and steps of each row count, ``(batch,)``.
        mask_index: the class of the blank.

    Returns:
        ``(batch,)``; infinity where the labels do not fit into the steps.
    """
    output = floating(output)
    if type_of(output).dtype.bits == 16:
        output = e.cast(output, "float32")
    return bind(CTC_LOSS, output, target, target_length, output_length, blank=int(mask_index))
