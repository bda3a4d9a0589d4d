"""A step as one compiled function that reuses the memory of what it replaces."""

from __future__ import annotations

import weakref
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from unifront.backends import Array, StepPlan, StepState, kind_of
from unifront.ir.emit import Rows
from unifront.opset.replay import StepProgram, step_program
from unifront_jax._wide import graph_is_wide, wide
from unifront_jax.policy import POLICY
from unifront_jax.runtime import device_of, sharding_of, share, typed_key

Outcome = tuple[tuple[Any, ...], tuple[Any, ...]]
"""What a step gives: the new values of what it carries, and its results."""


@dataclass(frozen=True)
class _Functions:
    """The compiled functions of a plan: one step on a batch, and a loop of steps on a stack of batches."""

    step: Callable[..., Outcome]
    block: Callable[..., Outcome]
    made: StepProgram
    is_wide: bool


_compiled: dict[tuple[int, str], _Functions] = {}


def _functions_of(plan: StepPlan, rows: Rows, device: str, place: Any = None) -> _Functions:
    """The functions of ``plan``, compiled once for as long as it lives: a second `fit` starts at once.

    ``place`` is the one device on which it runs: said beforehand, one program serves NumPy's arrays and those that
    are there already. Several devices say where what is carried lies.
    """
    known = (id(plan), device)
    if known not in _compiled:
        made, is_wide = step_program(plan, rows), graph_is_wide(plan.graph)
        step = _step_of(plan, made)
        options: dict[str, Any] = {}
        if "," in device:
            options["out_shardings"] = sharding_of(device)
        elif place is not None:
            options["in_shardings"] = jax.sharding.SingleDeviceSharding(place)
        one, block = (jax.jit(function, donate_argnums=0, **options) for function in (step, _looped(step)))
        _compiled[known] = _Functions(one, block, made, is_wide)
        weakref.finalize(plan, _compiled.pop, known, None).atexit = False
    return _compiled[known]


class JaxStep:
    """A compiled plan, see `unifront.backends.Step`.

    The arrays that are carried are donated to each step: what held the old ones holds deleted arrays afterwards.
    """

    def __init__(self, plan: StepPlan, state: StepState, rows: Rows, device: str) -> None:
        self._device, self._several, self._platform = device, "," in device, kind_of(device)
        self._place = None if self._several else device_of(device)
        self._functions = functions = _functions_of(plan, rows, device, self._place)
        self._on_host = self._platform == "cpu"
        self.storage, self.source = functions.made.program.storage, functions.made.program.source
        self.plan, self.state = plan, state
        carried = set(plan.carry)
        self._fixed = [i for i in range(len(plan.graph.variables)) if i not in carried]
        types = [value.type.dtype for value in plan.graph.inputs[len(plan.graph.inputs) - plan.counters :]]
        self._counter_dtypes = [dtype.numpy for dtype in types]
        self._numbers: list[Any] = [None] * plan.counters
        self._values_of_numbers: list[float | None] = [None] * plan.counters
        self._seen: list[Any] = []
        self._views: list[tuple[Any, np.ndarray]] = []
        self._key: Any = None
        self._key_data: Any = None

    def _follow(self) -> None:
        """Take over a key or arrays that were set from outside; an array can be donated once only."""
        state = self.state
        if self.plan.has_key and state.key is not self._key:
            self._key, self._key_data = state.key, jax.random.key_data(typed_key(state.key))
        if self._seen is not state.variables:
            seen: set[int] = set()
            for position, array in enumerate(state.variables):
                if id(array) in seen:
                    state.variables[position] = jnp.copy(array)
                seen.add(id(array))
            self._seen = state.variables

    def _values(self) -> tuple[tuple[Any, ...], tuple[Any, ...]]:
        """What is carried, and what is not."""
        value = self.state.variables.__getitem__
        return tuple(map(value, self.plan.carry)), tuple(map(value, self._fixed))

    def _keep(self, outcome: Outcome) -> None:
        """At once: the arrays before this step are gone, and an error in a later one finds these."""
        carry, self.state.results = outcome
        for position, value in zip(self.plan.carry, carry, strict=True):
            self.state.variables[position] = value

    def __call__(self, batch: Sequence[Array], counters: Sequence[float]) -> None:
        self._follow()
        with wide(self._functions.is_wide):
            if self._several:
                batch = [share(array, self._device, 0) for array in batch]
            for i, value in enumerate(counters):
                self._count(i, value)
            self._keep(self._functions.step(*self._values(), self._key_data, self._numbers, batch))

    def _count(self, i: int, value: float) -> None:
        """Set a counter. One that stays, as a rate does, stays on the device: with each call it takes microseconds."""
        if value != self._values_of_numbers[i]:
            self._values_of_numbers[i], self._numbers[i] = value, self._counter_dtypes[i].type(value)
        elif self._place is not None and isinstance(self._numbers[i], np.generic):
            self._numbers[i] = jax.device_put(self._numbers[i], self._place)

    def run(self, arrays: Sequence[Array], indices: np.ndarray, counters: Sequence[Sequence[float]]) -> None:
        """Runs on batches ``array[indices[i]]``: `Policy.block` at a time in a compiled loop where that pays.

        The batches are taken out of the arrays by a program of their own, so that a step is compiled for the size of
        its batch, and not for the length of the data.
        """
        steps, size = indices.shape
        row_bytes = sum(array.nbytes // max(array.shape[0], 1) for array in arrays)
        most = max(POLICY.gathered // max(size * row_bytes, 1), 1)
        loops = steps >= POLICY.block and POLICY.loops_well(self._functions.made.graph, self._platform)
        whole = steps // POLICY.block * POLICY.block if loops and most >= POLICY.block else 0
        self._follow()
        with wide(self._functions.is_wide):
            for first in range(0, whole, POLICY.block):
                rows = indices[first : first + POLICY.block]
                numbers = counters[first : first + POLICY.block]
                columns = zip(*numbers, strict=True)
                stacked = tuple(np.asarray(c, d) for c, d in zip(columns, self._counter_dtypes, strict=True))
                batches = tuple(self._batch(arrays, rows))
                if self._several:
                    batches = tuple(share(array, self._device, 1) for array in batches)
                self._keep(self._functions.block(*self._values(), self._key_data, stacked, batches))
            for i in range(whole, steps):
                self(self._batch(arrays, indices[i]), counters[i])

    def _batch(self, arrays: Sequence[Array], rows: np.ndarray) -> Sequence[Any]:
        """One batch, or a stack of them. On a CPU NumPy takes it from the same memory, which is quicker than calling a
        program."""
        if not self._on_host:
            return _take(tuple(arrays), rows)
        if len(self._views) != len(arrays) or any(
            a is not b for (a, _), b in zip(self._views, arrays, strict=True)
        ):
            self._views = [(array, np.asarray(array)) for array in arrays]
        return [view[rows] for _, view in self._views]


@jax.jit
def _take(arrays: tuple[Any, ...], rows: Any) -> tuple[Any, ...]:
    return tuple(jnp.take(array, rows, axis=0, mode="clip") for array in arrays)


def _step_of(plan: StepPlan, made: StepProgram) -> Callable[..., Outcome]:
    """One step as a pure function ``(carry, fixed, key, counters, batch) -> (carry, results)``.

    It does not hold the plan, with which it is forgotten.
    """
    function, count, has_key = made.program.function, plan.results, plan.has_key
    carried, variables_count = (
        {position: i for i, position in enumerate(plan.carry)},
        len(plan.graph.variables),
    )

    def step(carry: Any, fixed: Any, key: Any, counters: Any, batch: Any) -> Outcome:
        rest = iter(fixed)
        variables = tuple(carry[carried[i]] if i in carried else next(rest) for i in range(variables_count))
        keys = (jax.random.wrap_key_data(key),) if has_key else ()
        outputs = function((*batch, *keys, *counters), variables)
        return tuple(outputs[count:]), tuple(outputs[:count])

    return step


def _looped(step: Callable[..., Outcome]) -> Callable[..., Outcome]:
    """`step` once for each of stacked counters and batches; the results are those of the last."""

    def block(carry: Any, fixed: Any, key: Any, counters: Any, batches: Any) -> Outcome:
        def one(carry: Any, this: Any) -> tuple[Any, Any]:
            return step(carry, fixed, key, *this)

        carry, results = lax.scan(one, carry, (counters, batches))
        return carry, tuple(result[-1] for result in results)

    return block
