"""A training session: the values of a model's variables, lent to one compiled step."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from unifront.backends import Array, Placement, TrainState, TrainStep
from unifront.ir.emit import storage_of
from unifront.train.interrupts import Interrupts
from unifront.train.optimizers import Optimizer
from unifront.train.plan import Step, slot_variables
from unifront.weights import Variable

if TYPE_CHECKING:
    from collections.abc import Sequence


class Session:
    """Runs a training step on a backend. Between the first step and `give_back` it holds every value.

    Anyone who reads a variable meanwhile (a callback, a save) makes the session give the values back; the
    next step takes them again. So a value has one home at any time. ``interrupts`` wait while values move.
    """

    def __init__(
        self, step: Step, optimizer: Optimizer, place: Placement, seed: int, interrupts: Interrupts
    ) -> None:
        assert step.plan is not None
        self._held = interrupts.held
        self.step, self.optimizer, self.place = step, optimizer, place
        self.plan = step.plan
        rows = place.backend.rows(place.device)
        self.layouts = storage_of(self.plan.graph, rows.storage)
        self.variables = step.tracing.variables
        self.slots = slot_variables(step, optimizer)
        self._key = place.backend.key(seed, place.device)
        self._compiled: TrainStep | None = None
        self._lent = False

    def _take(self) -> TrainStep:
        """Borrow every value, if it is not borrowed already."""
        if self._compiled is not None and self._lent:
            return self._compiled
        with self._held():
            return self._take_all()

    def _take_all(self) -> TrainStep:
        totals = self._totals() if self._compiled is None else self._compiled.state.totals
        values = [
            v.native(self.place, layout) for v, layout in zip(self.variables, self.layouts, strict=True)
        ]
        slots = [
            tuple(slot.native(self.place, self.layouts[i]) for slot in own)
            for i, own in zip(self.plan.trainable, self.slots, strict=True)
        ]
        state = TrainState(values, slots, totals, self._key, self.optimizer.iterations)
        if self._compiled is None:
            self._compiled = self.place.backend.train_step(self.plan, state, self.place.device)
        else:
            self._compiled.state = state
        for variable in self._all():
            variable.lend(self)
        self._lent = True
        return self._compiled

    def _all(self) -> list[Variable]:
        return [*self.variables, *(slot for own in self.slots for slot in own)]

    def give_back(self) -> None:
        """Put every value back into its variable."""
        if not self._lent or self._compiled is None:
            return
        with self._held():
            self._lent = False
            state = self._compiled.state
            for variable, value, layout in zip(self.variables, state.variables, self.layouts, strict=True):
                variable.restore(value, self.place, layout)
            for i, own, values in zip(self.plan.trainable, self.slots, state.slots, strict=True):
                for slot, value in zip(own, values, strict=True):
                    slot.restore(value, self.place, self.layouts[i])
            self.optimizer.iterations = state.iteration

    def _totals(self) -> Array:
        return self.place.backend.array(self.step.no_totals(), self.place.device)

    def reset_totals(self) -> None:
        """Start the running sums again."""
        self._take().state.totals = self._totals()

    def read_totals(self) -> np.ndarray:
        """The running sums; waits for the device."""
        return self.place.backend.numpy(self._take().state.totals)

    @property
    def iteration(self) -> int:
        """Steps done by the optimizer."""
        return (
            self._compiled.state.iteration
            if self._compiled is not None and self._lent
            else self.optimizer.iterations
        )

    def run(self, arrays: Sequence[Array], indices: np.ndarray) -> None:
        """Steps on batches of arrays kept on the device; ``indices`` is ``[steps, batch]``."""
        with self._held():
            step = self._take()
            first = self.iteration
            rates = [self.optimizer.rate(first + i) for i in range(len(indices))]
            step.run(arrays, indices, rates)
            self.optimizer.iterations = step.state.iteration

    def step_on(self, batch: Sequence[Array]) -> None:
        """One step on a batch of native arrays."""
        with self._held():
            step = self._take()
            step(batch, self.optimizer.rate(self.iteration))
            self.optimizer.iterations = step.state.iteration

    def put(self, array: np.ndarray) -> Array:
        """``array`` on the device."""
        return self.place.backend.array(array, self.place.device)


def natives(variables: Sequence[Variable], layouts: Sequence[Any], place: Placement) -> tuple[Array, ...]:
    """The values of ``variables`` at ``place`` in the layouts that a compiled program wants."""
    return tuple(v.native(place, layout) for v, layout in zip(variables, layouts, strict=True))
