"""Steps as Python on native arrays: ``compile(run_eagerly=True)``, which prints and debuggers see into, and steps in a
framework's own terms, which that framework traces if it does such."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from unifront import ops, tree
from unifront.backends import Array, Placement, use_backend
from unifront.ir.types import TensorType
from unifront.opset.tensor import native
from unifront.trace import CallContext, call_context, first_key
from unifront.train.compiled import state_dtype
from unifront.train.hooks import defines, lacks_weights, metrics_of, unpack
from unifront.train.metrics import Metric
from unifront.train.metrics.base import as_logs
from unifront.train.session import Session
from unifront.train.step import TracedStep, trace_step
from unifront.weights import Variable

if TYPE_CHECKING:
    from unifront.model import Model


def eager_step(model: Model, structure: Any, types: Mapping[str, TensorType]) -> TracedStep:
    """What stands for the traced step: the types of its data, and what it logs as far as that is known."""
    step = trace_step(f"{model.name} step", lambda data: {}, structure, types, training=False)
    return replace(step, logs=dict(metrics_of(model)), structure=structure)


class EagerSession(Session):
    """Calls `Model.train_step` (or ``test_step``) on native arrays, where a `Session` runs a compiled program.

    Everything in them is Python then: ``print``, ``pdb`` and control flow on values work. Draws are those of the
    compiled step, so the numbers are the same. Values stay in their variables.
    """

    def __init__(
        self, step: TracedStep, place: Placement, seed: int, runs: list[int], model: Model, train: bool,
        method: Callable[[Any], Any] | None = None,
    ) -> None:  # fmt: skip
        self.step, self.place, self.runs = step, place, runs
        self.model, self.train = model, train
        self._method: Callable[..., Any] = method or (model.train_step if train else model.test_step)
        self._key = place.backend.key(seed, place.device)
        self.result: Any = {}
        self._made = False
        dtype = state_dtype(model)
        for metric in metrics_of(model).values():
            metric.computed_in(dtype)

    def run_on(self, batch: Sequence[Array]) -> tuple[Array, ...]:
        """One call of the step on a batch of native arrays."""
        wanted = self.model._input_types or {}
        names = self.step.plan.graph.input_names
        backend, device = self.place.backend, self.place.device
        given = [
            native(array if name not in wanted else ops.cast(array, wanted[name].dtype), backend, device)
            for name, array in zip(names, batch, strict=False)
        ]
        with use_backend(str(self.place)):
            self._make(self._data(given))
            self.result = self._run(given, np.int32(self.runs[0]))
        self.runs[0] += 1
        return ()

    def _data(self, given: Sequence[Array]) -> Any:
        return tree.map_leaves(lambda number: None if number is None else given[number], self.step.structure)

    def _make(self, data: Any) -> None:
        """Make the weights, by a call that is thrown away."""
        model = self.model
        if self._made:
            return
        if (defines(model, "call") or not model.has_free_inputs) and lacks_weights(model):
            with call_context(CallContext(training=False)):
                model(unpack(data)[0], training=False)
            model.place("")
        self._made = True

    def _run(self, given: list[Array], number: Any) -> Any:
        return self._step(given, number)

    def _step(self, given: list[Array], number: Any, *state: Any, key: Any = None) -> Any:
        """The logs of run ``number``."""
        key = ops.fold_in(first_key(self._key if key is None else key), number)
        with call_context(CallContext(training=self.train, key=key)):
            return self._method(*state, self._data(given))

    def run(self, arrays: Sequence[Array], indices: np.ndarray) -> None:
        for rows in indices:
            self.run_on([array[rows] for array in arrays])

    def free_bytes(self) -> int | None:
        """No memory for data: they come batch by batch, as arrays of the host."""
        return 0

    def put(self, array: np.ndarray) -> Array:
        """``array`` as it is: `run_on` puts what it takes on the device."""
        return array

    def logs(self) -> dict[str, Any]:
        found: dict[str, Any] = {}
        for name, log in self.result.items():
            if isinstance(log, Metric):
                log = log.result_of({id(variable): variable.numpy() for variable in log.variables})
            elif not isinstance(log, Mapping):
                log = ops.convert_to_numpy(log)
            found |= as_logs(name, log)
        return found

    def values(self) -> list[tuple[Variable, np.ndarray]]:
        return [(variable, variable.numpy()) for variable in self.model.weights]

    def reset_metrics(self) -> None:
        for metric in metrics_of(self.model).values():
            metric.reset_state()

    def metrics(self) -> list[np.ndarray]:
        """None: they stay in their variables."""
        return []

    def set_metrics(self, values: Sequence[np.ndarray]) -> None:
        """See `metrics`."""

    def resume(self) -> None:
        """Nothing is borrowed."""

    give_back = pause = close = resume
