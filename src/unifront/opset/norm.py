"""Normalization: by batch, layer, group, root mean square."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from unifront.arguments import Amount
from unifront.errors import ArgumentError, ShapeError
from unifront.ir import facts
from unifront.ir.types import Shape, TensorType
from unifront.opset import elementwise, reduce
from unifront.opset.elementwise import TensorLike, floating, promoted
from unifront.opset.rules import axes_in, axis_in, need_float, same_dtype, show
from unifront.opset.shape import expand_dims, reshape
from unifront.opset.spec import OpSpec, Sample, register
from unifront.opset.tensor import bind, type_of

Axes = tuple[int, ...]
Optional = TensorType | None


def _check(x: TensorType, wanted: Shape, **vectors: Optional) -> None:
    """``x`` is a float, and each vector of its dtype and of the shape ``wanted``."""
    need_float(x)
    for name, vector in vectors.items():
        if vector is None:
            continue
        same_dtype(x, vector)
        if vector.shape != wanted:
            raise ShapeError(
                f"{name} has the shape {show(vector.shape)}; "
                f"to normalize {show(x.shape)} it needs {show(wanted)}."
            )


def _others(axes: Axes, rank: int) -> Axes:
    return tuple(axis for axis in range(rank) if axis not in axes)


def _along(vector: Any, axes: Axes, rank: int) -> Any:
    """``vector`` over ``axes`` so that it broadcasts with a tensor of ``rank`` dimensions."""
    before = tuple(axis for axis in _others(axes, rank) if axis > axes[0])
    return expand_dims(vector, tuple(a - axes[0] for a in before)) if before else vector


def _scaled(x: Any, gamma: Any, beta: Any, axes: Axes) -> Any:
    rank = type_of(x).rank
    if gamma is not None:
        x = elementwise.multiply(x, _along(gamma, axes, rank))
    return x if beta is None else elementwise.add(x, _along(beta, axes, rank))


def _scaled_array(x: np.ndarray, gamma: np.ndarray | None, beta: np.ndarray | None, axes: Axes) -> np.ndarray:
    shape = [n if axis in axes else 1 for axis, n in enumerate(x.shape)]
    y = x if gamma is None else x * gamma.reshape(shape)
    return y if beta is None else y + beta.reshape(shape)


def _inverse(variance: Any, epsilon: float) -> Any:
    return elementwise.rsqrt(elementwise.add(variance, epsilon))


def _vectors(x: TensorLike, *others: TensorLike | None) -> tuple[Any, ...]:
    """The operands in the dtype in which they meet; absent ones stay absent."""
    given = iter(promoted(floating(x), *(other for other in others if other is not None)))
    return (next(given), *(None if other is None else next(given) for other in others))


def _batch_norm_rule(
    x: TensorType, mean: TensorType, variance: TensorType, gamma: Optional, beta: Optional,
    axis: int, epsilon: float,
) -> TensorType:  # fmt: skip
    axis_in(axis, x.rank)
    _check(x, (x.shape[axis],), mean=mean, variance=variance, gamma=gamma, beta=beta)
    return x


def _batch_norm_reference(
    x: np.ndarray, mean: np.ndarray, variance: np.ndarray, gamma: np.ndarray | None, beta: np.ndarray | None,
    axis: int, epsilon: float,
) -> np.ndarray:  # fmt: skip
    normal = _scaled_array(x, 1 / np.sqrt(variance + epsilon), None, (axis,))
    shift = -mean / np.sqrt(variance + epsilon)
    return _scaled_array(_scaled_array(normal, None, shift, (axis,)), gamma, beta, (axis,))


def _batch_norm_decomposed(
    x: Any, mean: Any, variance: Any, gamma: Any, beta: Any, axis: int, epsilon: float
) -> Any:
    scale = _inverse(variance, epsilon)
    scale = scale if gamma is None else elementwise.multiply(scale, gamma)
    centred = elementwise.subtract(x, _along(mean, (axis,), type_of(x).rank))
    return _scaled(centred, scale, beta, (axis,))


_BATCH_SHAPES = (
    ((2, 3, 4, 5), 3), ((3, 2, 4, 3), 1), ((4, 3), 1),
    ((2, 5, 3), 2), ((2, 2, 3, 2, 2), 4), ((2, 1, 3, 1), 3),
)  # fmt: skip


def _batch_norm_samples(rng: np.random.Generator) -> Iterator[Sample]:
    for number, (shape, axis) in enumerate((*_BATCH_SHAPES, ((0, 3), 1))):
        n = shape[axis]
        gamma, beta = rng.normal(size=n), rng.normal(size=n)
        operands = (rng.normal(size=shape), rng.normal(size=n), rng.uniform(0.5, 2, n))
        scale = (None if number == 1 else gamma, None if number in (1, 2) else beta)
        yield Sample((*operands, *scale), {"axis": axis, "epsilon": 1e-3})


BATCH_NORM = register(
    OpSpec(
        "batch_norm",
        _batch_norm_rule,
        _batch_norm_reference,
        _batch_norm_samples,
        "ONNX BatchNormalization-15, inference; Ioffe and Szegedy 2015",
        attributes={"axis": int, "epsilon": float},
        decomposition=_batch_norm_decomposed,
        facts=facts.along(facts.ALONG_AXIS, "accumulate", keeps_zeros=True, sign="any", fresh=True),
    )
)


def batch_norm(
    x: TensorLike,
    mean: TensorLike,
    variance: TensorLike,
    gamma: TensorLike | None = None,
    beta: TensorLike | None = None,
    *,
    axis: int = -1,
    epsilon: Amount = 1e-3,
) -> Any:
    """``(x - mean) / sqrt(variance + epsilon) * gamma + beta``, the statistics given (Ioffe and Szegedy 2015).

    Args:
        x: floats of any shape.
        mean, variance: one for each place along ``axis``.
        gamma, beta: likewise, or None.

    Raises `ShapeError` for vectors of another length.
    """
    position = axis_in(axis, type_of(x).rank)
    return bind(BATCH_NORM, *_vectors(x, mean, variance, gamma, beta), axis=position, epsilon=float(epsilon))


def _training_rule(
    x: TensorType, gamma: Optional, beta: Optional, axis: int, epsilon: float
) -> tuple[TensorType, ...]:
    axis_in(axis, x.rank)
    if x.rank < 2:
        raise ShapeError(f"Batch statistics need an axis besides the channels; {show(x.shape)} has none.")
    _check(x, (x.shape[axis],), gamma=gamma, beta=beta)
    statistic = x.with_shape((x.shape[axis],))
    return x, statistic, statistic


def _training_reference(
    x: np.ndarray, gamma: np.ndarray | None, beta: np.ndarray | None, axis: int, epsilon: float
) -> tuple[np.ndarray, ...]:
    others = _others((axis,), x.ndim)
    mean, variance = x.mean(axis=others), x.var(axis=others)
    return _batch_norm_reference(x, mean, variance, gamma, beta, axis, epsilon), mean, variance


def _training_decomposed(x: Any, gamma: Any, beta: Any, axis: int, epsilon: float) -> tuple[Any, ...]:
    rank = type_of(x).rank
    others = _others((axis,), rank)
    mean = reduce.mean(x, others)
    centred = elementwise.subtract(x, _along(mean, (axis,), rank))
    variance = reduce.mean(elementwise.square(centred), others)
    scale = _inverse(variance, epsilon)
    scale = scale if gamma is None else elementwise.multiply(scale, gamma)
    y = _scaled(centred, scale, beta, (axis,))
    return y, elementwise.stop_gradient(mean), elementwise.stop_gradient(variance)


def _training_samples(rng: np.random.Generator) -> Iterator[Sample]:
    for number, (shape, axis) in enumerate(_BATCH_SHAPES):
        n = shape[axis]
        scale = (
            None if number == 1 else rng.normal(size=n),
            None if number in (1, 2) else rng.normal(size=n),
        )
        yield Sample((rng.normal(size=shape) * 2 + 1, *scale), {"axis": axis, "epsilon": 1e-3})


BATCH_NORM_TRAINING = register(
    OpSpec(
        "batch_norm_training",
        _training_rule,
        _training_reference,
        _training_samples,
        "Ioffe and Szegedy 2015; ONNX BatchNormalization-15, training",
        attributes={"axis": int, "epsilon": float},
        decomposition=_training_decomposed,
        constant_results=(1, 2),
        facts=facts.along(None, "accumulate", keeps_zeros=True, sign="any", fresh=True),
    )
)


def batch_norm_training(
    x: TensorLike,
    gamma: TensorLike | None = None,
    beta: TensorLike | None = None,
    *,
    axis: int = -1,
    epsilon: Amount = 1e-3,
) -> tuple[Any, Any, Any]:
    """`batch_norm` with the statistics of ``x`` itself over all axes but ``axis``.

    Returns:
        The result, the mean and the (biased) variance. The statistics carry no gradient of their own.
    """
    position = axis_in(axis, type_of(x).rank)
    result: tuple[Any, Any, Any] = bind(
        BATCH_NORM_TRAINING, *_vectors(x, gamma, beta), axis=position, epsilon=float(epsilon)
    )
    return result


def _layer_norm_rule(
    x: TensorType, gamma: Optional, beta: Optional, axes: Axes, epsilon: float
) -> TensorType:
    if not axes or axes_in(axes, x.rank) != axes:
        raise ArgumentError(f"Normalization needs axes, counted from the front, in order; {axes} was given.")
    _check(x, tuple(x.shape[axis] for axis in axes), gamma=gamma, beta=beta)
    return x


def _layer_norm_reference(
    x: np.ndarray, gamma: np.ndarray | None, beta: np.ndarray | None, axes: Axes, epsilon: float
) -> np.ndarray:
    mean = _mean_of(x, axes)
    variance = _mean_of(np.square(x - mean), axes)
    return _scaled_array((x - mean) / np.sqrt(variance + epsilon), gamma, beta, axes)


def _layer_norm_decomposed(x: Any, gamma: Any, beta: Any, axes: Axes, epsilon: float) -> Any:
    centred = elementwise.subtract(x, reduce.mean(x, axes, keepdims=True))
    variance = reduce.mean(elementwise.square(centred), axes, keepdims=True)
    return _scaled(elementwise.multiply(centred, _inverse(variance, epsilon)), gamma, beta, axes)


_LAYER_SHAPES = (
    ((2, 5), (1,)),
    ((2, 3, 4), (1, 2)),
    ((2, 3, 4), (1,)),
    ((2, 3, 2, 2), (1, 3)),
    ((0, 3), (1,)),
    ((4,), (0,)),
)


def _layer_samples(vectors: int) -> Any:
    def samples(rng: np.random.Generator) -> Iterator[Sample]:
        for number, (shape, axes) in enumerate(_LAYER_SHAPES):
            inner = tuple(shape[axis] for axis in axes)
            scale = tuple(None if number - i in (2, 5) else rng.normal(size=inner) for i in range(vectors))
            yield Sample((rng.normal(size=shape) * 2 + 1, *scale), {"axes": axes, "epsilon": 1e-3})

    return samples


LAYER_NORM = register(
    OpSpec(
        "layer_norm",
        _layer_norm_rule,
        _layer_norm_reference,
        _layer_samples(2),
        "Ba et al. 2016; ONNX LayerNormalization-17",
        attributes={"axes": tuple, "epsilon": float},
        decomposition=_layer_norm_decomposed,
        facts=facts.along(facts.ALONG_ONE_AXIS, "accumulate", keeps_zeros=True, sign="any", fresh=True),
    )
)


def layer_norm(
    x: TensorLike,
    gamma: TensorLike | None = None,
    beta: TensorLike | None = None,
    *,
    axis: int | Sequence[int] = -1,
    epsilon: Amount = 1e-3,
) -> Any:
    """``x`` with its mean and variance over ``axis`` taken to 0 and 1, times ``gamma`` plus ``beta``.

    Args:
        x: floats of any shape.
        gamma, beta: of the sizes of ``axis``, or None.
        axis: an int or several; gamma's axes are in the order of x's.

    Raises `ShapeError` for a gamma or beta of another shape (Ba et al. 2016; ONNX LayerNormalization).
    """
    axes = axes_in(axis, type_of(x).rank)
    return bind(LAYER_NORM, *_vectors(x, gamma, beta), axes=axes, epsilon=float(epsilon))


def _mean_of(x: np.ndarray, axes: Axes) -> np.ndarray:
    """The mean with kept axes; nan, without a warning, where there is nothing."""
    return x.mean(axis=axes, keepdims=True) if x.size else np.sum(x, axis=axes, keepdims=True) * np.nan


def _rms_reference(x: np.ndarray, gamma: np.ndarray | None, axes: Axes, epsilon: float) -> np.ndarray:
    return _scaled_array(x / np.sqrt(_mean_of(np.square(x), axes) + epsilon), gamma, None, axes)


def _rms_decomposed(x: Any, gamma: Any, axes: Axes, epsilon: float) -> Any:
    squares = reduce.mean(elementwise.square(x), axes, keepdims=True)
    return _scaled(elementwise.multiply(x, _inverse(squares, epsilon)), gamma, None, axes)


RMS_NORM = register(
    OpSpec(
        "rms_norm",
        lambda x, gamma, axes, epsilon: _layer_norm_rule(x, gamma, None, axes, epsilon),
        _rms_reference,
        _layer_samples(1),
        "Zhang and Sennrich 2019; ONNX RMSNormalization-23",
        attributes={"axes": tuple, "epsilon": float},
        decomposition=_rms_decomposed,
        facts=facts.along(facts.ALONG_ONE_AXIS, "accumulate", keeps_zeros=True, sign="any", fresh=True),
    )
)


def rms_norm(
    x: TensorLike, gamma: TensorLike | None = None, *, axis: int | Sequence[int] = -1, epsilon: float = 1e-6
) -> Any:
    """``x / sqrt(mean(x**2) + epsilon) * gamma``, the mean over ``axis`` (Zhang and Sennrich 2019)."""
    axes = axes_in(axis, type_of(x).rank)
    return bind(RMS_NORM, *_vectors(x, gamma), axes=axes, epsilon=float(epsilon))


def _group_rule(
    x: TensorType, gamma: Optional, beta: Optional, groups: int, axis: int, epsilon: float
) -> TensorType:
    if axis_in(axis, x.rank) == 0:
        raise ArgumentError("group_norm cannot take the batch, axis 0, for the channels.")
    channels = x.shape[axis]
    if not isinstance(channels, int) or groups < 1 or channels % groups:
        raise ShapeError(
            f"{channels} channels (axis {axis} of {show(x.shape)}) do not fall into {groups} groups."
        )
    _check(x, (channels,), gamma=gamma, beta=beta)
    return x


def _grouped(shape: Sequence[Any], groups: int, axis: int) -> tuple[tuple[Any, ...], Axes]:
    """``shape`` with the channels split, and the axes that a group spans."""
    split = (*shape[:axis], groups, shape[axis] // groups, *shape[axis + 1 :])
    return split, tuple(a for a in range(1, len(split)) if a != axis)


def _group_reference(
    x: np.ndarray, gamma: np.ndarray | None, beta: np.ndarray | None, groups: int, axis: int, epsilon: float
) -> np.ndarray:
    split, axes = _grouped(x.shape, groups, axis)
    normal = _layer_norm_reference(x.reshape(split), None, None, axes, epsilon).reshape(x.shape)
    return _scaled_array(normal, gamma, beta, (axis,))


def _group_decomposed(x: Any, gamma: Any, beta: Any, groups: int, axis: int, epsilon: float) -> Any:
    shape = type_of(x).shape
    split, axes = _grouped(shape, groups, axis)
    normal = _layer_norm_decomposed(reshape(x, split), None, None, axes, epsilon)
    return _scaled(reshape(normal, shape), gamma, beta, (axis,))


def _group_samples(rng: np.random.Generator) -> Iterator[Sample]:
    for shape, axis, groups in (
        ((2, 3, 2, 4), 3, 2),
        ((2, 6, 3), 1, 3),
        ((3, 4), 1, 1),
        ((2, 3, 2, 2, 2), 4, 2),
    ):
        vectors = (rng.normal(size=shape[axis]), rng.normal(size=shape[axis]) if groups > 1 else None)
        yield Sample(
            (rng.normal(size=shape) * 2 + 1, *vectors), {"groups": groups, "axis": axis, "epsilon": 1e-3}
        )


GROUP_NORM = register(
    OpSpec(
        "group_norm",
        _group_rule,
        _group_reference,
        _group_samples,
        "Wu and He 2018; ONNX GroupNormalization-21",
        attributes={"groups": int, "axis": int, "epsilon": float},
        decomposition=_group_decomposed,
        facts=facts.along(None, "accumulate", keeps_zeros=True, sign="any", fresh=True),
    )
)


def group_norm(
    x: TensorLike,
    gamma: TensorLike | None = None,
    beta: TensorLike | None = None,
    *,
    groups: int = 32,
    axis: int = -1,
    epsilon: Amount = 1e-3,
) -> Any:
    """`layer_norm` over each of ``groups`` equal parts of the channels on ``axis`` (Wu and He 2018)."""
    position = axis_in(axis, type_of(x).rank)
    vectors = _vectors(x, gamma, beta)
    return bind(GROUP_NORM, *vectors, groups=int(groups), axis=position, epsilon=float(epsilon))
