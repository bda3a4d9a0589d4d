"""Calls on native arrays that were made before, run again without asking anything twice.

What a public function of operations does with native arrays depends on their dtypes and shapes, and on the values of
its other arguments. Of a call whose like was seen before, a `Recorder` notes which rows it runs on which operands. The
`Plan` made of that takes the place of the function, its checks and type rules for calls that look the same. If anything
else can have had a part in it (an array that is no operand, a value read, a key), there is no plan and the function
runs as it is written. An argument that is a weight counts as the array that it is at the time of the call.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping, Sequence
from contextvars import ContextVar
from dataclasses import dataclass, field
from functools import lru_cache
from keyword import iskeyword
from types import CodeType
from typing import Any, TypeVar

import numpy as np

from unifront.backends import backend_of_class, when_rows_change
from unifront.dtypes import DType, when_floatx_changes
from unifront.ir.graph import Op
from unifront.weights import Variable

Values = tuple[Any, ...]
Run = Callable[[Values], Any]
Function = TypeVar("Function", bound=Callable[..., Any])

_LONGEST = 12
"""Operations in a plan: more would keep too many results alive at once."""
_MOST = 1024
"""Signatures of one function that are remembered."""

_recorder: ContextVar[Recorder | None] = ContextVar("unifront_recorder", default=None)
recorder = _recorder.get
"""Who notes what is run now; None as most often."""


# ---------------------------------------------------------------- what calls look like


def _by_value(value: Any) -> Hashable:
    return type(value), value


def _float(value: float) -> Hashable:
    return float, value if value else str(value)  # 0.0 and -0.0 are equal


def _numpy_scalar(value: np.generic) -> Hashable:
    return type(value), value.tobytes()


def _several(values: Sequence[Any]) -> Hashable:
    if {*map(type, values)} == {int}:  # a shape, or axes
        return type(values), tuple(values)
    found: list[Hashable] = [type(values)]
    for value in values:
        one = _signs[type(value)](value)
        if one is None:
            return None
        found.append(one)
    return tuple(found)


def _slice(value: slice) -> Hashable:
    return slice, _several((value.start, value.stop, value.step))


def _unknown(value: Any) -> None:
    return None


_WEIGHT = "a weight"


def _weight(value: Any) -> Hashable:
    return _WEIGHT


class _Signs(dict[type, Callable[[Any], Hashable]]):
    """For each class what two arguments that are used alike have in common; None for what may not be looked at."""

    def __missing__(self, kind: type) -> Callable[[Any], Hashable]:
        """A class met for the first time: arrays are asked of their backend."""
        found: Callable[[Any], Hashable] = _unknown
        if issubclass(kind, np.generic):
            found = _numpy_scalar
        elif issubclass(kind, np.dtype):
            found = _by_value
        elif issubclass(kind, Variable):
            found = _weight
        else:
            backend = backend_of_class(kind)
            sign = None if backend is None else backend.signature(kind)
            if sign is not None:
                found = sign
                _arrays.add(kind)
        self[kind] = found
        return found


_signs = _Signs({
    bool: _by_value, int: _by_value, str: _by_value, type(None): _by_value, type(...): _by_value,
    DType: _by_value, type: _by_value, float: _float, tuple: _several, list: _several, slice: _slice,
})  # fmt: skip
_arrays: set[type] = set()


# ---------------------------------------------------------------- what they do


@dataclass(frozen=True)
class Step:
    """One row that runs: the places of its operands among all values met, and how many results it gives; None for one
    that is not in a tuple."""

    op: Op
    attributes: Mapping[str, Any]
    operands: tuple[int, ...]
    results: int | None
    row: Callable[..., Any] = field(compare=False)


@dataclass(frozen=True)
class Plan:
    """Rows to run. Values are counted: the arrays given, then ``constants``, then the results of each step.

    Args:
        arrays: where the arrays are among the arguments: ``(argument, entry of that or None)``.
        result: the place of the value to give; a tuple of places for several.
    """

    arrays: tuple[tuple[int, int | None], ...]
    constants: tuple[Any, ...] = field(compare=False)
    steps: tuple[Step, ...]
    result: int | tuple[int, ...]

    def function(self) -> Run:
        """The plan as a function of the arguments."""
        known: dict[str, Any] = {f"c{i}": value for i, value in enumerate(self.constants)}
        names = [f"a[{i}]" if entry is None else f"a[{i}][{entry}]" for i, entry in self.arrays] + [*known]
        lines = ["def run(a):"]
        for number, step in enumerate(self.steps):
            made = [f"v{len(names) + i}" for i in range(1 if step.results is None else step.results)]
            known[f"f{number}"] = step.row
            operands = [names[place] for place in step.operands]
            for i, (name, value) in enumerate(step.attributes.items()):
                known[f"k{number}_{i}"] = value
                # An unpacked dict takes longer, and is for names that only a dict can have (a user's ``lambda``).
                plain = name.isidentifier() and not iskeyword(name)
                operands.append(f"{name}=k{number}_{i}" if plain else f"**{{{name!r}: k{number}_{i}}}")
            target = made[0] if step.results is None else f"[{', '.join(made)}]"
            lines.append(f"    {target} = f{number}({', '.join(operands)})")
            names += made
        if isinstance(self.result, int):
            lines.append(f"    return {names[self.result]}")
        else:
            lines.append(f"    return ({''.join(names[place] + ', ' for place in self.result)})")
        exec(_compiled("\n".join(lines)), known)  # noqa: S102 the text is written just above, from numbers and names
        run: Run = known["run"]
        return run


@lru_cache(256)
def _compiled(source: str) -> CodeType:
    return compile(source, "<unifront remembered call>", "exec")


class Recorder:
    """Notes what a function runs that is called with ``values``."""

    def __init__(self, values: Values) -> None:
        self.arrays = tuple(_places_of_arrays(values))
        self.given = [values[i] if entry is None else values[i][entry] for i, entry in self.arrays]
        self.ok = bool(self.given)
        self._constants: list[Any] = [None]
        self._numbers: list[np.ndarray] = []
        self._steps: list[tuple[Op, Callable[..., Any], Mapping[str, Any], Sequence[Any], Any]] = []

    @property
    def ran(self) -> bool:
        """Whether a row ran."""
        return bool(self._steps)

    @property
    def is_doubtful(self) -> bool:
        """Whether one array was given twice, which cannot be told from two of its type."""
        return len(set(map(id, self.given))) < len(self.given)

    def fail(self) -> None:
        """Something happens that a plan cannot do."""
        self.ok = False

    def number(self, array: np.ndarray) -> None:
        """``array`` was made of a number that is not read from an array."""
        self._numbers.append(array)

    def operand(self, given: Any, native: Any) -> None:
        """An operand was made ``native``."""
        is_number = type(given) in (bool, int, float) or any(given is one for one in self._numbers)
        if not is_number and (
            given is native or any(native is one for one in self.given)
        ):  # the second: a weight
            return
        backend = backend_of_class(type(native)) if is_number and type(native) in _arrays else None
        if backend is not None and backend.device_of(native) is not None:  # of a trace of JAX's it is none
            self._constants.append(native)
        else:
            self.fail()

    def step(
        self,
        op: Op,
        row: Callable[..., Any],
        operands: Sequence[Any],
        attributes: Mapping[str, Any],
        result: Any,
    ) -> None:
        """A row was run."""
        self._steps.append((op, row, dict(attributes), operands, result))
        if len(self._steps) > _LONGEST:
            self.fail()

    def plan(self, result: Any) -> Plan | None:
        """What was noted, if it gives ``result`` and nothing else had a part in it."""
        if not self.ok or self.is_doubtful:
            return None
        values = [*self.given, *self._constants]
        used: set[int] = set()
        steps: list[Step] = []
        groups = [[place] for place, array in enumerate(self.given) if not isinstance(array, np.generic)]
        for op, row, attributes, operands, results in self._steps:
            places = tuple(_place(operand, values) for operand in operands)
            used.update(places)
            several = isinstance(results, tuple | list)
            steps.append(Step(op, attributes, places, len(results) if several else None, row))
            made = results if several else [results]
            groups.append([*range(len(values), len(values) + len(made))])
            values.extend(made)
        several = isinstance(result, tuple)
        given = tuple(_place(one, values) for one in (result if several else (result,)))
        used.update(given)
        # An array that is no operand, or a result that nobody uses: its values may have been read.
        if -1 in used or not all(used.intersection(group) for group in groups):
            return None
        return Plan(self.arrays, tuple(self._constants), tuple(steps), given if several else given[0])


def _place(value: Any, values: Sequence[Any]) -> int:
    """Where ``value`` was met last; -1 if it was not."""
    return next((i for i in reversed(range(len(values))) if values[i] is value), -1)


def _places_of_arrays(values: Values) -> list[tuple[int, int | None]]:
    found: list[tuple[int, int | None]] = []
    for i, value in enumerate(values):
        if type(value) in _arrays or isinstance(value, np.generic):
            found.append((i, None))
        elif type(value) in (tuple, list):
            found.extend((i, j) for j, one in enumerate(value) if type(one) in _arrays)
    return found


def value_is_read() -> None:
    """Say that what a function of operations does next depends on the values of its arrays: there is no plan of it.

    `unifront.opset.tensor.to_numpy` says so by itself; who reads a NumPy array as it is says it.
    """
    noted = recorder()
    if noted is not None:
        noted.fail()


# ---------------------------------------------------------------- functions that remember

_remembered: list[dict[Any, Any]] = []
_changes = [0]


def forget() -> None:
    """Forget all plans: the rows are others now, or a default that functions heed."""
    _changes[0] += 1
    for plans in _remembered:
        plans.clear()


when_rows_change(forget)
when_floatx_changes(forget)


def remembering(
    function: Function, read: Callable[[Values], tuple[Values, Hashable] | None] = lambda values: None
) -> Function:  # fmt: skip
    """``function``, which is not called for native arrays of whose like it was called twice before, with equal plans.

    What a plan raises nobody sees: the function is called then, for the errors that it has.

    Args:
        read: gives arguments with arrays in place of the weights among them, and what else it depends on what becomes
            of these; None where they are not to be read.
    """
    runs: dict[Any, Run | None] = {}
    once: dict[Any, Plan] = {}
    """The plans of what was called a single time."""
    _remembered.extend((once, runs))

    def call(*args: Any, **kwargs: Any) -> Any:
        if recorder() is not None:
            return function(*args, **kwargs)
        values = (*args, *kwargs.values()) if kwargs else args
        signs = [_signs[type(value)](value) for value in values]
        signature = (*kwargs, *signs) if kwargs else tuple(signs)  # no sign is a string
        try:
            run = runs[signature]
        except KeyError:
            if None in signs:
                return function(*args, **kwargs)
            if _WEIGHT not in signs:
                return record(signature, values, args, kwargs)
            found = read(values)
            if found is None:
                return function(*args, **kwargs)
            values, how = found
            signs = [_signs[type(value)](value) for value in values]
            if None in signs:
                return function(*args, **kwargs)
            alike, signature = signature, (how, *kwargs, *signs)
            if signature not in runs:
                return record(signature, values, args, kwargs, alike)
            run = runs[signature]
        except TypeError:  # not hashable after all
            return function(*args, **kwargs)
        if run is not None:
            try:
                return run(values)
            except Exception:  # noqa: BLE001  # whatever the row raised
                pass
        return function(*args, **kwargs)

    def record(
        signature: Any, values: Values, args: Values, kwargs: dict[str, Any], alike: Any = None
    ) -> Any:  # fmt: skip
        """Call the function and note what it does. If that is nothing, calls ``alike`` need no weights read."""
        changes = _changes[0]
        noted = Recorder(values)
        token = _recorder.set(noted)
        try:
            result = function(*args, **kwargs)
        finally:
            _recorder.reset(token)
        if noted.ok and noted.is_doubtful:
            return result
        plan, before = noted.plan(result), once.pop(signature, None)
        for plans in (runs, once):
            if len(plans) >= _MOST:
                plans.clear()
        if plan is None or (before is not None and plan != before):
            runs[signature if noted.ran or alike is None else alike] = None
        elif before is None:
            once[signature] = plan
        else:
            runs[signature] = plan.function()
        if changes != _changes[0]:  # in another thread, since this call began
            forget()
        return result

    return call  # type: ignore[return-value]  # called alike
