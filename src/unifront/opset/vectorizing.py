"""Functions of one row, of single numbers or of small arrays made into functions of many."""

from __future__ import annotations

import functools
import re
from collections.abc import Callable, Collection, Sequence
from contextlib import nullcontext
from typing import Any

from unifront.arguments import shown
from unifront.errors import ArgumentError, ShapeError
from unifront.ir.dims import Dim
from unifront.ir.graph import Graph
from unifront.opset.arrays import backend_of_arrays, native, placed
from unifront.opset.batching import Rows, needs_each_row, over_rows
from unifront.opset.control import SCAN
from unifront.opset.loops import map as over_parts
from unifront.opset.regions import Body, close_regions, refilled, tensor_leaves, trace_region
from unifront.opset.rules import broadcast, show
from unifront.opset.shape import broadcast_to, reshape
from unifront.opset.tensor import (
    Builder,
    Symbolic,
    active_builder,
    builder_for,
    lift,
    record,
    replayed,
    type_of,
)

Function = Callable[..., Any]
Core = tuple[str, ...]
_CORE = r"\(\s*(?:\w+(?:\s*,\s*\w+)*\s*,?)?\s*\)"
_SIGNATURE = re.compile(rf"\s*{_CORE}(?:\s*,\s*{_CORE})*\s*->\s*{_CORE}(?:\s*,\s*{_CORE})*\s*")


def vectorized_map(function: Function, elements: Any) -> Any:
    """``function`` of each part of ``elements`` along axis 0, stacked: of all at once (Keras ops.vectorized_map).

    Args:
        function: takes a part of ``elements`` (a tensor, or the structure of them) and gives a tensor or a structure of
            tensors. It is traced, once: it is made of operations, and does not look at values. For what does, or calls
            a framework's own functions, there is `map`.
        elements: a tensor or a structure of tensors of one length.

    Each operation that ``function`` calls becomes one on all parts (``jax.vmap``): a product of a matrix and a vector
    becomes a product of two matrices. A branch, a loop, a gradient or a scatter on what differs between the parts is
    gone through part by part, by itself. A function that draws random numbers (others for each part), gives a variable
    a new value, or makes tensors whose sizes hang on values is gone through part by part as a whole, as by `map`.

    Raises `ArgumentError` for a function that is none or elements without tensors, `ShapeError` where lengths differ.

    Example::

        uf.ops.vectorized_map(lambda row: row / uf.ops.sum(row), np.array([[1.0, 3.0], [2.0, 2.0]]))
    """
    leaves = tensor_leaves(elements)
    if not callable(function):
        raise ArgumentError(f"vectorized_map: function is a function, not {function!r}.")
    if any(isinstance(leaf, Symbolic) for leaf in leaves):
        return record(vectorized_map, function, elements)
    shapes = [type_of(leaf).shape for leaf in leaves]
    if not leaves or not all(shapes) or len({one[0] for one in shapes}) > 1:
        raise ShapeError(
            "vectorized_map: elements are tensors with an axis 0 of one length; the shapes are "
            f"{', '.join(map(show, shapes)) or 'none'}."
        )
    builder = builder_for(leaves) or active_builder()
    with nullcontext() if builder is not None else backend_of_arrays(leaves):
        found = _at_once(function, elements, leaves, shapes[0][0], builder)
    return over_parts(function, elements) if found is None else found


def _at_once(
    function: Function, elements: Any, leaves: Sequence[Any], count: Dim, builder: Builder | None
) -> Any:
    """`vectorized_map`; None where each part must be gone through by itself."""
    types = [type_of(leaf) for leaf in leaves]
    part = refilled(elements, [one.with_shape(one.shape[1:]) for one in types])
    body = trace_region("part", function, [part], builder, updates=True)
    if builder is None:
        graph, same = _graph_at_once(body, leaves)
    else:
        (graph,), captured, _ = close_regions(body)
        same, leaves = captured, [lift(leaf, builder) for leaf in leaves]
    if body.updates or body.builder.draws or needs_each_row(graph):
        return None
    values = (*graph.inputs, *(variable.value for variable in graph.variables))
    inputs = [
        Rows(value, place.type, mapped=number < len(leaves))
        for number, (value, place) in enumerate(zip((*leaves, *same), values, strict=True))
    ]
    return refilled(body.structure, over_rows(graph, inputs, count, builder))


def _graph_at_once(body: Body, leaves: Sequence[Any]) -> tuple[Graph, list[Any]]:
    """The graph of what runs now, and the arrays and weights that it takes from outside, where ``leaves`` are."""
    graph = body.builder.graph(body.outputs)
    arrays = [array for array, _ in (body.builder.arrays or {}).values()]
    weights = [variable for variable, _ in body.builder.variables.values()]
    backend, device = placed(SCAN.name, leaves)
    return graph, [native(one, backend, device) for one in (*arrays, *weights)]


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
    if excluded is not None and not (
        isinstance(excluded, set | frozenset | tuple | list)
        and all(isinstance(one, int | str) for one in excluded)
    ):
        raise ArgumentError(f"vectorize: excluded holds positions and names, not {shown(excluded)}.")
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
