"""Functions of single numbers, or of small arrays, made into functions of arrays that broadcast."""

from __future__ import annotations

import functools
import re
from collections.abc import Callable, Collection, Sequence
from typing import Any

from unifront.errors import ArgumentError, ShapeError
from unifront.ir.dims import Dim
from unifront.opset.loops import map as over_parts
from unifront.opset.rules import broadcast, show
from unifront.opset.shape import broadcast_to, reshape
from unifront.opset.tensor import builder_for, lift, replayed, type_of

Core = tuple[str, ...]
_CORE = r"\(\s*(?:\w+(?:\s*,\s*\w+)*\s*,?)?\s*\)"
_SIGNATURE = re.compile(rf"\s*{_CORE}(?:\s*,\s*{_CORE})*\s*->\s*{_CORE}(?:\s*,\s*{_CORE})*\s*")


def vectorize(
    pyfunc: Callable[..., Any], *, excluded: Collection[int | str] | None = None, signature: str | None = None
) -> Callable[..., Any]:
    """``pyfunc`` of scalars as a function of tensors that broadcast, element by element (NumPy vectorize).

    Args:
        pyfunc: takes scalar tensors, and gives one or a tuple of them.
        excluded: arguments that it gets as they are, by position or name. Those given by name, and None, are so anyway.
        signature: of a function of arrays: ``"(m,n),(n)->(m)"`` names the sizes of the last axes of each argument and
            result; what is before them broadcasts.

    The elements are gone through one after the other, as by `map`. Raises `ArgumentError` for a signature that is none,
    `ShapeError` for tensors that do not fit it.

    Example::

        uf.ops.vectorize(lambda a, b: a + b)(np.array([1, 2, 3]), 2)  # [3, 4, 5]
    """
    if not callable(pyfunc):
        raise ArgumentError(f"vectorize: pyfunc is a function, not {pyfunc!r}.")
    cores = None if signature is None else _parsed(signature)
    left = frozenset(excluded or ())

    @functools.wraps(pyfunc)
    def vectorized(*args: Any, **kwargs: Any) -> Any:
        places = [i for i, one in enumerate(args) if i not in left and one is not None]

        def inner(*elements: Any) -> Any:
            given = dict(zip(places, elements, strict=True))
            return pyfunc(*(given.get(i, one) for i, one in enumerate(args)), **kwargs)

        if not places:
            return pyfunc(*args, **kwargs)
        if cores is not None and len(cores) != len(places):
            raise ArgumentError(
                f"vectorize: the signature {signature!r} has {len(cores)} arguments, and {len(places)} were given."
            )
        return _apply(inner, *(args[i] for i in places), cores=cores or [()] * len(places))

    return vectorized


def _parsed(signature: str) -> list[Core]:
    """The names of the last axes of each argument."""
    if not _SIGNATURE.fullmatch(signature):
        raise ArgumentError(
            f"vectorize: a signature is as '(m,n),(n)->(m)', a bracket for each argument and result, not {signature!r}."
        )
    given = signature.partition("->")[0]
    return [tuple(re.findall(r"\w+", core)) for core in re.findall(_CORE, given)]


@replayed
def _apply(function: Callable[..., Any], *tensors: Any, cores: Sequence[Core]) -> Any:
    """``function`` over what the tensors have before their last axes."""
    shapes = [tuple(type_of(one).shape) for one in tensors]
    sizes: dict[str, Dim] = {}
    for shape, core in zip(shapes, cores, strict=True):
        last = shape[len(shape) - len(core) :]
        if len(shape) < len(core) or any(
            sizes.setdefault(n, s) != s for n, s in zip(core, last, strict=True)
        ):
            raise ShapeError(
                f"vectorize: the last axes of an argument are ({', '.join(core)}); its shape is {show(shape)}, with "
                f"{', '.join(f'{name} = {size}' for name, size in sizes.items())}."
            )
    outer: tuple[Dim, ...] = ()
    for shape, core in zip(shapes, cores, strict=True):
        outer = broadcast(outer, shape[: len(shape) - len(core)])
    if not outer:
        return function(*tensors)
    count: Dim = 1
    for size in outer:
        count = count * size
    builder = builder_for(tensors)
    rows = []
    for tensor, shape, core in zip(tensors, shapes, cores, strict=True):
        own = shape[len(shape) - len(core) :]
        known = tensor if builder is None else lift(tensor, builder)  # an array alone knows no free sizes
        rows.append(reshape(broadcast_to(known, (*outer, *own)), (count, *own)))
    found = over_parts(lambda row: function(*row), rows)

    def whole(result: Any) -> Any:
        return reshape(result, (*outer, *type_of(result).shape[1:]))

    return type(found)(whole(one) for one in found) if isinstance(found, list | tuple) else whole(found)
