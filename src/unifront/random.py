"""Random tensors, as ``keras.random`` has them, on the default backend or in the graph that is being traced.

Every function takes a ``seed``: an int gives the same numbers at each call (on one backend; see `set_rng`), a
`SeedGenerator` others at each call, None draws from the call of the layer around or, outside of layers, from what
`uf.set_seed` began. A key of ``uf.random_key(…)`` or ``layer.random_key()`` is taken too.

Example::

    uf.random.normal((2, 3), seed=1)
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from unifront import ops
from unifront.backends import placement
from unifront.dtypes import DTypeLike, dtype_of, floatx
from unifront.errors import ArgumentError, ShapeError
from unifront.ir.dims import Dim
from unifront.opset.quantiles import normal_quantile, normal_share
from unifront.opset.rules import axis_in, dims_in, show
from unifront.opset.seeds import SeedGenerator as SeedGenerator
from unifront.opset.seeds import drawn_key
from unifront.opset.tensor import active_builder, is_building, lift, replayed, type_of

__all__ = [
    "SeedGenerator", "beta", "binomial", "categorical", "dropout", "gamma", "normal", "randint", "shuffle",
    "truncated_normal", "uniform",
]  # fmt: skip


def __dir__() -> list[str]:
    return __all__


Shape = Dim | Sequence[Dim]


def _key(seed: Any) -> Any:
    """The key of a draw that no tensor says the place of: on the default backend."""
    key = drawn_key(seed)
    if is_building() or not isinstance(key, np.ndarray):
        return key
    place = placement()
    return place.backend.array(key, place.device)


def _float(name: str, dtype: DTypeLike | None) -> str:
    chosen = floatx() if dtype is None else dtype_of(dtype)
    if not chosen.is_float:
        raise ArgumentError(
            f"`keras.random.{name}` requires a floating point `dtype`. Received: dtype={chosen.name} "
        )
    return chosen.name


def normal(
    shape: Shape, mean: Any = 0.0, stddev: Any = 1.0, dtype: DTypeLike | None = None, seed: Any = None
) -> Any:
    """Numbers of the normal distribution (keras.random.normal).

    Args:
        shape: of the result.
        mean, stddev: numbers, or tensors that broadcast to ``shape``.
        dtype: a float dtype, `floatx` unless given.
        seed: see `unifront.random`.
    """
    drawn = ops.random_normal(_key(seed), shape, dtype=_float("normal", dtype))
    return _moved(drawn, stddev, mean)


def _moved(x: Any, scale: Any, offset: Any) -> Any:
    x = x if _is(scale, 1) else ops.multiply(x, _in(scale, x))
    return x if _is(offset, 0) else ops.add(x, _in(offset, x))


def _is(value: Any, number: int) -> bool:
    return isinstance(value, int | float) and value == number


def _in(value: Any, like: Any) -> Any:
    return ops.cast(value, type_of(like).dtype) if hasattr(value, "dtype") else value


def uniform(
    shape: Shape,
    minval: Any = 0.0,
    maxval: Any = 1.0,
    dtype: DTypeLike | None = None,
    seed: Any = None,
    *,
    like: Any = None,
) -> Any:
    """Numbers drawn evenly from ``[minval, maxval)`` (keras.random.uniform); arguments as of `normal`.

    ``like``, any tensor, says on which backend and device they shall be.
    """
    key, chosen = _key(seed) if like is None else drawn_key(seed), _float("uniform", dtype)
    if isinstance(minval, int | float) and isinstance(maxval, int | float) and minval <= maxval:
        return ops.random_uniform(key, shape, float(minval), float(maxval), chosen, like=like)
    return _moved(
        ops.random_uniform(key, shape, dtype=chosen, like=like), ops.subtract(maxval, minval), minval
    )


def randint(shape: Shape, minval: Any, maxval: Any, dtype: DTypeLike = "int32", seed: Any = None) -> Any:
    """Integers drawn evenly from ``[minval, maxval)`` (keras.random.randint).

    Args:
        minval, maxval: integers, or tensors of them, less than 2**52 apart.
        dtype: an integer dtype.

    Raises `ArgumentError` for another dtype, or where there is no integer to draw.
    """
    chosen = dtype_of({int: "int32"}.get(dtype, dtype) if isinstance(dtype, type) else dtype)  # type: ignore[arg-type]
    if not chosen.is_integer:
        raise ArgumentError(
            f"`keras.random.randint` requires an integer `dtype`. Received: dtype={chosen.name} "
        )
    known = isinstance(minval, int | float) and isinstance(maxval, int | float)
    if known and not 0 < maxval - minval <= 2**52:
        raise ArgumentError(
            f"randint draws from [minval, maxval), which has 1 to 2**52 integers; given were {minval} and {maxval}."
        )
    share = ops.random_uniform(_key(seed), shape, dtype="float64")
    low, span = minval, maxval - minval
    if not known:
        low, span = ops.cast(minval, "float64"), ops.cast(span, "float64")
    return ops.cast(ops.add(ops.floor(ops.multiply(share, span)), low), chosen)


def truncated_normal(
    shape: Shape, mean: Any = 0.0, stddev: Any = 1.0, dtype: DTypeLike | None = None, seed: Any = None
) -> Any:
    """Numbers of the normal distribution within two standard deviations of its mean (keras.random.truncated_normal);
    arguments as of `normal`. They are quantiles of evenly drawn numbers."""
    chosen = _float("truncated_normal", dtype)
    own = "float64" if chosen == "float64" else "float32"
    share = ops.random_uniform(_key(seed), shape, normal_share(-2.0), normal_share(2.0), own)
    drawn = ops.cast(ops.clip(normal_quantile(share), -2.0, 2.0), chosen)
    return _moved(drawn, stddev, mean)


def categorical(logits: Any, num_samples: int, dtype: DTypeLike = "int32", seed: Any = None) -> Any:
    """Classes drawn by their logits (keras.random.categorical): ``[batch, classes]`` → ``[batch, num_samples]``.

    Args:
        logits: the logarithm of each class's probability, up to a constant.

    Raises `ShapeError` unless ``logits`` has two dimensions.
    """
    return _categorical(logits, num_samples, dtype, seed)


@replayed
def _categorical(logits: Any, num_samples: int, dtype: DTypeLike, seed: Any) -> Any:
    logits = ops.floating(logits)
    type_ = type_of(logits)
    if type_.rank != 2:
        raise ShapeError(
            f"`logits` should be a 2-D tensor with shape [batch_size, num_classes]; it is {type_}."
        )
    batch, classes = type_.shape
    own = "float64" if type_.dtype.name == "float64" else "float32"
    shape = (batch, num_samples, classes)
    # The largest of logits plus Gumbel noise is a draw (Maddison et al. 2014).
    share = ops.random_uniform(drawn_key(seed), shape, float(np.finfo(own).tiny), 1.0, own, like=logits)
    noise = ops.negative(ops.log(ops.negative(ops.log(share))))
    found = ops.argmax(ops.add(ops.expand_dims(ops.cast(logits, own), 1), noise), axis=-1)
    return ops.cast(found, dtype)


def dropout(
    inputs: Any, rate: float, noise_shape: Sequence[Dim | None] | None = None, seed: Any = None
) -> Any:
    """``inputs`` with a share ``rate`` of its elements set to zero, the others scaled up (keras.random.dropout).

    Args:
        rate: in [0, 1].
        noise_shape: the shape of the mask, broadcast to ``inputs``; None in it stands for their size.
    """
    if rate == 0:
        return inputs
    if rate == 1:
        return ops.zeros_like(inputs)
    return _dropout(inputs, rate, noise_shape, seed)


@replayed
def _dropout(inputs: Any, rate: float, noise_shape: Any, seed: Any) -> Any:
    return ops.dropout(inputs, drawn_key(seed), rate, noise_shape)


@replayed
def shuffle(x: Any, axis: int = 0, seed: Any = None) -> Any:
    """The parts of ``x`` along ``axis`` in another order (keras.random.shuffle)."""
    type_ = type_of(x)
    axis = axis_in(axis, type_.rank)
    share = ops.random_uniform(drawn_key(seed), (type_.shape[axis],), like=x)
    return ops.take(x, ops.argsort(share), axis)


def _spread(name: str, value: Any, shape: Shape, dtype: str) -> Any:
    """A parameter of a distribution as a tensor of the shape of the result."""
    value = np.asarray(value, dtype_of(dtype).numpy) if not hasattr(value, "dtype") else value
    wanted, builder = dims_in(shape), active_builder()
    if builder is not None:
        value = lift(value, builder)  # an array alone knows no free sizes
    try:
        spread = ops.broadcast_to(ops.cast(value, dtype), wanted)
    except ShapeError:
        raise ShapeError(
            f"{name} has the shape {show(type_of(value).shape)}, which does not broadcast to {show(wanted)}."
        ) from None
    if is_building() or not isinstance(spread, np.ndarray | np.generic):
        return spread
    place = placement()  # where what has no other place is drawn
    return place.backend.array(np.asarray(spread), place.device)


def _gamma(shape: Shape, alpha: Any, dtype: str, key: Any) -> Any:
    return ops.random_gamma(key, _spread("alpha", alpha, shape, dtype))


def gamma(shape: Shape, alpha: Any, dtype: DTypeLike | None = None, seed: Any = None) -> Any:
    """Numbers of the gamma distribution with the scale 1 (keras.random.gamma).

    Args:
        alpha: the shape parameter, above 0; a number, or a tensor that broadcasts to ``shape``.
    """
    return _gamma(shape, alpha, _float("gamma", dtype), _key(seed))


def binomial(
    shape: Shape, counts: Any, probabilities: Any, dtype: DTypeLike | None = None, seed: Any = None
) -> Any:
    """How many of ``counts`` trials succeed that each succeed with ``probabilities``, as floats
    (keras.random.binomial). Both are numbers, or tensors that broadcast to ``shape``."""
    chosen = _float("binomial", dtype)
    own = "float64" if chosen == "float64" else "float32"  # a half holds no large counts
    pair = (_spread(*one, shape, own) for one in (("counts", counts), ("probabilities", probabilities)))
    return ops.cast(ops.random_binomial(_key(seed), *pair), chosen)


def beta(shape: Shape, alpha: Any, beta: Any, dtype: DTypeLike | None = None, seed: Any = None) -> Any:
    """Numbers of the beta distribution, in (0, 1) (keras.random.beta): the quotients of gamma numbers.

    Args:
        alpha, beta: above 0; numbers, or tensors that broadcast to ``shape``.
    """
    chosen = _float("beta", dtype)
    own = "float64" if chosen == "float64" else "float32"
    key = _key(seed)
    a = _gamma(shape, alpha, own, ops.fold_in(key, 1))
    b = _gamma(shape, beta, own, ops.fold_in(key, 2))
    total = ops.add(a, b)
    share = ops.divide(a, ops.maximum(total, float(np.finfo(own).tiny)))
    return ops.cast(share, chosen)
