"""`jit`: a function of native arrays, traced once for each kind of arguments and run as one compiled program."""

from __future__ import annotations

from collections.abc import Callable, Hashable
from functools import update_wrapper
from typing import Any

from unifront import tree
from unifront.arguments import checked
from unifront.backends import backend_of, placement
from unifront.errors import ArgumentError
from unifront.opset.tensor import Tensor, active_builder, type_of
from unifront.trace import current_seed
from unifront.train.interrupts import Interrupts
from unifront.train.session import Session
from unifront.train.step import TracedStep, trace_step


class Jitted:
    """What `jit` gives: the function, and the programs made of it so far."""

    def __init__(self, function: Callable[..., Any], name: str) -> None:
        self.function, self.name = function, name
        self._steps: dict[Hashable, TracedStep] = {}
        self._sessions: dict[Hashable, Session] = {}
        self._runs = [0]
        update_wrapper(self, function)

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        given = (list(args), kwargs)
        leaves = tree.leaves(given)
        if active_builder() is not None or any(isinstance(leaf, Tensor) for leaf in leaves):
            return self.function(*args, **kwargs)  # part of the graph around it
        arrays = [leaf for leaf in leaves if backend_of(leaf) is not None]
        names = {b.name for b in map(backend_of, arrays) if b is not None}
        frameworks = sorted(names - {"numpy"})
        if len(frameworks) > 1:
            raise ArgumentError(f"{self.name}: arrays of {' and '.join(frameworks)} meet in one call.")
        place = placement(frameworks[0]) if frameworks else placement()
        count = iter(range(len(arrays)))
        numbered = tree.map_leaves(
            lambda leaf: _At(next(count)) if backend_of(leaf) is not None else leaf, given
        )
        types = tuple(map(type_of, arrays))
        key = (_frozen(numbered), types)
        if key not in self._steps:
            self._steps[key] = self._traced(numbered, types)
        session = self._sessions.get((key, str(place)))
        if session is None:
            session = Session(self._steps[key], place, current_seed(), Interrupts(), self._runs)
            self._sessions[key, str(place)] = session
        own = place.backend
        natives = [a if backend_of(a) is own else own.array(_numpy(a), place.device) for a in arrays]
        session.run_on(natives)
        results = session.results()
        session.give_back()
        return tree.map_leaves(
            lambda leaf: results[leaf] if type(leaf) is int else leaf, self._steps[key].structure
        )

    def _traced(self, numbered: Any, types: tuple[Any, ...]) -> TracedStep:
        def call(tensors: Any) -> Any:
            def leaf_of(leaf: Any) -> Any:
                return tensors[leaf.number] if isinstance(leaf, _At) else leaf

            args, kwargs = tree.map_leaves(leaf_of, numbered)
            return self.function(*args, **kwargs)

        named = {f"argument {i}": type_ for i, type_ in enumerate(types)}
        return trace_step(self.name, call, list(range(len(types))), named, training=False)


class _At:
    """Stands for the array of this number among arguments."""

    def __init__(self, number: int) -> None:
        self.number = number

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _At) and other.number == self.number

    def __hash__(self) -> int:
        return hash((_At, self.number))


def _frozen(structure: Any) -> Hashable:
    match structure:
        case list() | tuple():
            return (type(structure).__name__, *map(_frozen, structure))
        case dict():
            return ("dict", *((name, _frozen(item)) for name, item in structure.items()))
    try:
        hash(structure)
    except TypeError:
        return ("object", id(structure))
    return (type(structure).__name__, structure)


def _numpy(array: Any) -> Any:
    backend = backend_of(array)
    assert backend is not None
    return backend.numpy(array)


@checked
def jit(function: Callable[..., Any]) -> Jitted:
    """``function`` as one compiled program for each kind of arguments; the same numbers as when called as it is.

    Args:
        function: takes native arrays (of one backend; NumPy arrays go with any, or to the default backend) and
            gives tensors, in any structure of lists, tuples and dicts. What else it is given is fixed in the program.
            It may read and update variables, call layers and models, `uf.value_and_grad` and ``optimizer.apply``.

    Python in it runs once, while it is traced: what depends on a value is written with `uf.ops.cond`,
    `uf.ops.while_loop` or `uf.ops.scan`; an `ArgumentError` says where it is not.

    Example::

        step = uf.jit(lambda x: model(x))
        logits = step(x_train)
    """
    return Jitted(function, getattr(function, "__name__", type(function).__name__))


def call_now(key: Hashable, function: Callable[..., Any], arrays: list[Any]) -> Any:
    """``function(*arrays)`` compiled; the last 64 are kept by their ``key``."""
    made = _kept.get(key)
    if made is None:
        if len(_kept) >= 64:
            _kept.pop(next(iter(_kept)))
        made = _kept[key] = jit(function)
    return made(*arrays)


_kept: dict[Hashable, Jitted] = {}
