"""A session: the values of variables, lent to one compiled step."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from typing import Any, cast

import numpy as np

from unifront.backends import Array, Placement, StepState
from unifront.backends import Step as CompiledStep
from unifront.ir.layouts import storage_of
from unifront.train.metrics.base import MetricVariable, as_logs
from unifront.train.step import TracedStep
from unifront.weights import MOVING, Variable, canonical, together


class Session:
    """Runs a traced step on a backend. Between the first run and `give_back` it holds every value.

    Anyone who reads a variable meanwhile (a callback, a save, another thread) makes the session give the values back;
    the next run takes them again. So a value has one home at any time. A reader in another thread waits for the run
    under way, and keeps what it read: the session goes on with copies. The state of a metric is of one session at a
    time; another one, such as an evaluation during training, adds up by itself.

    While the lock is held no code runs that reads a variable: who reads one holds `MOVING`, and waits for the lock.

    Args:
        runs: how many runs were done before, as the one item, which the session counts on: what the key of each run
            is made with.
    """

    def __init__(self, step: TracedStep, place: Placement, seed: int, runs: list[int]) -> None:
        self.step, self.place, self.runs = step, place, runs
        rows = place.backend.rows(place.device)
        self.layouts = storage_of(step.plan.graph, rows.storage)
        self._key = place.backend.key(seed, place.device) if step.plan.has_key else None
        self._compiled: CompiledStep | None = None
        self._lent = False
        self._lock = threading.RLock()
        self._carried = set(step.plan.carry)
        self._private: dict[int, MetricVariable] = {}
        self.resume()

    def __enter__(self) -> CompiledStep:
        """A block in which every value is borrowed, and stays so: other threads wait for them."""
        with MOVING:  # before the lock, as who reads a variable
            self._lock.acquire()
            try:
                return (self._compiled if self._lent else None) or self._take_all()
            except BaseException:
                self._lock.release()
                raise

    def __exit__(self, *_: object) -> None:
        self._lock.release()

    def _take_all(self) -> CompiledStep:
        values: list[Array] = []
        try:
            for i, (variable, layout) in enumerate(zip(self.step.variables, self.layouts, strict=True)):
                if i in self._private:
                    values.append(self._private_state(i))
                else:
                    values.append(variable.lend(self, self.place, layout, overwritten=i in self._carried))
            if self._compiled is None:
                state = StepState(values, self._key)
                self._compiled = self.place.backend.step(self.step.plan, state, self.place.device)
            else:
                self._compiled.state.variables = values
        except BaseException:
            self._restore(values)
            raise
        self._lent = True
        return self._compiled

    def _private_state(self, position: int) -> Array:
        if self._compiled is not None:
            return self._compiled.state.variables[position]
        return self.place.backend.array(self._private[position].start(), self.place.device)

    def _restore(self, values: Sequence[Array]) -> None:
        for i, value in enumerate(values):
            if i not in self._private:
                self.step.variables[i].restore(value, self.place, self.layouts[i])

    def give_back(self) -> None:
        """Put every value back into its variable."""
        with self._lock:
            if self._lent and self._compiled is not None:
                self._lent = False
                self._restore(self._compiled.state.variables)

    def resume(self) -> None:
        """Claim the state of the step's metrics, as far as no other session has it."""
        metrics = {i: cast(MetricVariable, self.step.variables[i]) for i in self.step.metric_variables}
        self._private = {i: metric for i, metric in metrics.items() if not metric.claim(self)}

    def pause(self) -> None:
        """Give back, and let others have the state of metrics; until `resume`, or for good."""
        self.give_back()
        for position in self.step.metric_variables:
            cast(MetricVariable, self.step.variables[position]).release(self)

    close = pause

    def reset_metrics(self) -> None:
        """Start every metric of the step again."""
        with self as step:
            state, backend = step.state, self.place.backend
            state.variables = list(state.variables)
            positions = self.step.metric_variables
            starts = [cast(MetricVariable, self.step.variables[position]).start() for position in positions]
            for position, value in zip(positions, backend.small(starts, self.place.device), strict=True):
                state.variables[position] = value

    def logs(self) -> dict[str, Any]:
        """What the step logs, as of the last run; waits for the device."""
        with self as step:
            state, numpy = step.state, self.place.backend.numpy
            values = {
                id(self.step.variables[i]): numpy(state.variables[i]) for i in self.step.metric_variables
            }
            results = {
                log: numpy(state.results[log]) for log in self.step.logs.values() if isinstance(log, int)
            }
        found: dict[str, Any] = {}
        for name, log in self.step.logs.items():
            found |= as_logs(name, results[log] if isinstance(log, int) else log.result_of(values))
        return found

    def values(self) -> list[tuple[Variable, np.ndarray]]:
        """The variables that the step replaces, without metrics, and their values in the layout of the step."""
        with self as step:
            numpy, metrics = self.place.backend.numpy, set(self.step.metric_variables)
            return [
                (self.step.variables[i], numpy(step.state.variables[i]))
                for i in self.step.plan.carry
                if i not in metrics
            ]

    def snapshot(self) -> list[tuple[Variable, np.ndarray]]:
        """Every variable of the step and a copy of its value, in the canonical layout."""
        with self as step, self.place.backend.outside():
            numpy, values = self.place.backend.numpy, step.state.variables
            return [
                (variable, np.array(numpy(canonical(value, layout))))
                for variable, value, layout in zip(self.step.variables, values, self.layouts, strict=True)
            ]

    def coming(self) -> tuple[Any, list[float]]:
        """The key and the counters of the next run."""
        return self._key, self._counters(0)

    def metrics(self) -> list[np.ndarray]:
        """The state of every metric of the step, for `set_metrics`."""
        with self as step:
            values, numpy = step.state.variables, self.place.backend.numpy
            return [np.array(numpy(values[position])) for position in self.step.metric_variables]

    def set_metrics(self, values: Sequence[np.ndarray]) -> None:
        """Let every metric of the step go on from these states."""
        with self as step:
            state, backend = step.state, self.place.backend
            state.variables = list(state.variables)
            for position, value in zip(self.step.metric_variables, values, strict=True):
                state.variables[position] = backend.array(value, self.place.device)

    def run(self, arrays: Sequence[Array], indices: np.ndarray) -> None:
        """Runs on batches of arrays kept on the device; ``indices`` is ``[runs, batch]``."""
        counters = [self._counters(ahead) for ahead in range(len(indices))]
        with self as step:
            step.run(arrays, indices, counters)
            self._advance(len(indices))

    def run_on(self, batch: Sequence[Array]) -> tuple[Array, ...]:
        """One run on a batch of native arrays; its results, on the device."""
        counters = self._counters(0)
        with self as step:
            step(batch, counters)
            self._advance(1)
            return step.state.results

    def _counters(self, ahead: int) -> list[float]:
        return [counter.value(ahead, self.runs[0]) for counter in self.step.counters]

    def _advance(self, count: int) -> None:
        self.runs[0] += count
        for optimizer, calls in self.step.optimizers:
            optimizer.calls += calls * count

    def free_bytes(self) -> int | None:
        """How much memory of the device is free; None where that is not known."""
        return self.place.backend.free_bytes(self.place.device)

    def put(self, array: np.ndarray) -> Array:
        """``array`` on the device."""
        return self.place.backend.array(array, self.place.device)

    def batch(self, arrays: Sequence[np.ndarray]) -> list[Array]:
        """Copies of ``arrays`` as `run_on` takes them."""
        return [self.place.backend.readable(np.array(array), self.place.device) for array in arrays]

    def put_all(self, array: np.ndarray) -> Array:
        """``array``, of which `run` takes batches, on the device; read in place where that is the host."""
        return self.place.backend.readable(array, self.place.device)


def natives(variables: Sequence[Variable], layouts: Sequence[Any], place: Placement) -> tuple[Array, ...]:
    """The values of ``variables`` at ``place`` in the layouts that a compiled program wants."""
    with together(variables):
        return tuple(v.native(place, layout) for v, layout in zip(variables, layouts, strict=True))
