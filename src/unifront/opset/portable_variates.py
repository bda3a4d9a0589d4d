"""Numbers of the gamma and the binomial distribution from a portable key: the same on every backend.

They are computed in float64. What is decided in between (whether a candidate is taken) would come out otherwise only if
two numbers of float64 were equal but for the last digits in which frameworks differ; so results in float32 or less are
the same bits but for a rounding in 2**29, and those in float64 agree to the last digits.
"""

from __future__ import annotations

from typing import Any

from unifront.opset import elementwise as e
from unifront.opset import reduce
from unifront.opset.control import while_loop
from unifront.opset.creation import full, full_like, iota, zeros_like
from unifront.opset.quantiles import normal_quantile
from unifront.opset.random import fold_in
from unifront.opset.shape import expand_dims
from unifront.opset.tensor import replayed, type_of
from unifront.opset.threefry import random_bits

_HALF = 2.0**-53
"""Half of what evenly drawn numbers of float64 are apart."""
_LAST = 2**31 - 1
"""The stream of what is drawn once: no turn of a loop has this number."""
_FEW = 8
"""As many trials are drawn one by one."""


def _uniform(key: Any, shape: Any) -> Any:
    """Evenly drawn numbers between 0 and 1, neither of which comes."""
    return e.add(random_bits(key, shape, "float64"), _HALF)


@replayed
def portable_gamma(key: Any, alpha: Any) -> Any:
    """A gamma number for each of ``alpha`` (Marsaglia and Tsang 2000), in its dtype; nan below 0."""
    dtype = type_of(alpha).dtype
    return e.cast(_gamma(key, e.cast(alpha, "float64")), dtype)


def _gamma(key: Any, alpha: Any) -> Any:
    """Likewise, of float64. Candidates are drawn until each element has one that is taken, 19 of 20 at once."""
    shape = type_of(alpha).shape
    small = e.less(alpha, 1.0)
    can_be = e.greater(alpha, 0.0)
    shaped = e.where(can_be, e.where(small, e.add(alpha, 1.0), alpha), 1.0)
    d = e.subtract(shaped, 1.0 / 3.0)
    c = e.divide(1.0 / 3.0, e.sqrt(d))

    def step(turn: Any, found: Any) -> tuple[Any, Any]:
        own = fold_in(key, turn)
        x = normal_quantile(_uniform(fold_in(own, 0), shape))
        root = e.add(e.multiply(c, x), 1.0)
        v = e.multiply(e.multiply(root, root), root)
        positive = e.greater(root, 0.0)
        logarithm = e.log(e.where(positive, v, 1.0))
        bound = e.add(e.multiply(e.multiply(x, x), 0.5), e.multiply(d, e.add(e.subtract(1.0, v), logarithm)))
        taken = e.logical_and(positive, e.less(e.log(_uniform(fold_in(own, 1), shape)), bound))
        new = e.where(taken, e.multiply(d, v), -1.0)
        return e.add(turn, 1), e.where(e.less(found, 0.0), new, found)

    first = full((), 0, "int32", like=alpha)
    _, found = while_loop(
        lambda _, found: reduce.any(e.less(found, 0.0)), step, (first, full_like(alpha, -1.0))
    )
    power = e.power(
        _uniform(fold_in(key, _LAST), shape), e.divide(1.0, e.where(e.logical_and(can_be, small), alpha, 1.0))
    )
    found = e.where(small, e.multiply(found, power), found)
    none = e.where(e.equal(alpha, 0.0), 0.0, float("nan"))
    return e.where(can_be, found, none)


@replayed
def portable_binomial(key: Any, counts: Any, probabilities: Any) -> Any:
    """How many of ``counts`` trials succeed, in the dtype of ``counts``; nan where there is no such distribution.

    While there are many trials, a number of the beta distribution stands for that in the middle of them, sorted by how
    easily they succeed: it says of half of them that they do, or that they do not (Relles 1972). The last are drawn.
    """
    dtype = type_of(counts).dtype
    n, p = e.floor(e.cast(counts, "float64")), e.cast(probabilities, "float64")
    n, p = e.add(n, zeros_like(p)), e.add(p, zeros_like(n))
    shape = type_of(n).shape
    right = e.logical_and(
        e.logical_and(e.greater_equal(n, 0.0), e.less(n, 2.0**52)),
        e.logical_and(e.greater_equal(p, 0.0), e.less_equal(p, 1.0)),
    )
    n, p = e.where(right, n, 0.0), e.where(right, p, 0.0)

    def many(left: Any) -> Any:
        return e.greater(left, float(_FEW))

    def step(turn: Any, left: Any, share: Any, found: Any) -> tuple[Any, Any, Any, Any]:
        own = fold_in(key, turn)
        a = e.add(e.floor(e.multiply(left, 0.5)), 1.0)
        b = e.add(e.subtract(left, a), 1.0)
        x, y = _gamma(fold_in(own, 0), a), _gamma(fold_in(own, 1), b)
        middle = e.divide(x, e.add(x, y))
        below = e.less_equal(middle, share)  # the middle one succeeds, and all before it
        new_left = e.where(below, e.subtract(left, a), e.subtract(a, 1.0))
        above = e.subtract(1.0, middle)
        rest = e.divide(e.subtract(share, middle), e.where(e.greater(above, 0.0), above, 1.0))
        first = e.divide(share, e.where(e.greater(middle, 0.0), middle, 1.0))
        new_share = e.where(below, rest, first)
        going = many(left)
        return (
            e.add(turn, 1), e.where(going, new_left, left),
            e.where(going, e.minimum(e.maximum(new_share, 0.0), 1.0), share),
            e.where(e.logical_and(going, below), e.add(found, a), found),
        )  # fmt: skip

    start = full((), 0, "int32", like=n)
    _, left, share, found = while_loop(
        lambda turn, left, share, found: reduce.any(many(left)), step, (start, n, p, zeros_like(n))
    )
    place = e.cast(iota((*[1] * len(shape), _FEW), len(shape), like=n), "float64")
    draws = _uniform(fold_in(key, _LAST), (*shape, _FEW))
    succeed = e.logical_and(e.less(draws, expand_dims(share, -1)), e.less(place, expand_dims(left, -1)))
    found = e.add(found, reduce.sum(e.cast(succeed, "float64"), -1))
    return e.cast(e.where(right, found, float("nan")), dtype)
