"""Steps in a framework's own terms, as they are written for Keras on one backend: that framework runs them.

PyTorch runs them as they are (``loss.backward()``), TensorFlow in a ``tf.function`` (``tf.GradientTape``), and JAX
compiles those that take and give their state: ``train_step(state, data)``.
"""

from __future__ import annotations

import inspect
from collections.abc import Sequence
from typing import Any, Self

import numpy as np

from unifront import ops, tree
from unifront.backends import Array, Placement
from unifront.errors import ArgumentError, ShapeError
from unifront.opset.tensor import native, type_of
from unifront.trace import MAKING, CallContext, call_context
from unifront.train.eager import EagerSession
from unifront.train.hooks import built_for, defines, unpack
from unifront.train.metrics import Metric
from unifront.train.step import TracedStep
from unifront.weights import MOVING, Variable, together

TOLD = (
    "The step of {} cannot be traced, so it runs as the Python that it is, on {} alone: {} What is written in uf.ops "
    "and uf.value_and_grad is compiled, and runs on every backend."
)
"""The warning."""


def takes_state(model: Any, train: bool) -> bool:
    """Whether the model's step is one of its own, and of JAX's form, ``(state, data)``."""
    name = "train_step" if train else "test_step"
    if not defines(model, name):
        return False
    try:
        inspect.signature(getattr(model, name)).bind(None, None)
    except TypeError:
        return False
    return True


class NativeSession(EagerSession):
    """Steps by the framework of ``place``: of what it traces, Python runs once for each kind of data."""

    def __init__(self, step: TracedStep, place: Placement, *rest: Any) -> None:
        super().__init__(step, place, *rest)
        self._traced = place.backend.traced(self._arrays)
        self._structure: Any = None

    def again(self, step: TracedStep, seed: int, runs: list[int]) -> Self:
        """This session for another call of `fit` or `evaluate`: what the framework has traced stays."""
        self.step, self.runs = step, runs
        self._key = self.place.backend.key(seed, self.place.device)
        return self

    def _run(self, given: list[Array], number: Any) -> Any:
        run = self.place.backend.array(np.asarray(number), self.place.device)
        found = self._traced(given, run, self._key)
        return tree.map_leaves(lambda leaf: found[leaf] if type(leaf) is int else leaf, self._structure)

    def _arrays(self, given: list[Array], number: Array, key: Array) -> list[Array]:
        """The arrays among the logs; `_structure` says where they belong."""
        found: list[Array] = []

        def place_of(leaf: Any) -> Any:
            if leaf is None or isinstance(leaf, Metric):
                return leaf
            found.append(native(leaf, self.place.backend, self.place.device))
            return len(found) - 1

        self._structure = tree.map_leaves(place_of, self._step(given, number, key=key))
        return found


class StatelessSession(NativeSession):
    """Steps ``(state, data) -> (logs, state)``: the values of weights, optimizer and metrics go in and come out.

    As in a `Session` they are lent from one step to the next; whoever reads a variable has them given back.
    """

    def __init__(self, step: TracedStep, place: Placement, *rest: Any) -> None:
        super().__init__(step, place, *rest)
        self._traced = place.backend.traced(self._arrays, overwrites=True)
        self._variables: list[Sequence[Variable]] = []
        self._state: list[list[Array]] = []
        self._runs = False

    def _make(self, data: Any) -> None:
        """The weights, and the metrics too, whose state the first step takes."""
        super()._make(data)
        x, y, _ = unpack(data)
        compiled = self.model._compiled()
        if (
            y is not None
            and not compiled.parts
            and (compiled.loss or compiled.metrics or compiled.weighted_metrics)
        ):
            with call_context(CallContext(training=False)):
                built_for(self.model, y, self.model(x, training=False))

    def _groups(self) -> list[Sequence[Variable]]:
        model = self.model
        groups: list[Sequence[Variable]] = [model.trainable_variables, model.non_trainable_variables]
        if self.train:
            model.optimizer.ready_for(model.trainable_variables)
            groups.append(model.optimizer.variables)
        return [*groups, model.metrics_variables]

    def _lend(self) -> None:
        """Borrow the values, unless they are."""
        if self._variables:
            return
        groups = self._groups()
        with together(variable for group in groups for variable in group):
            self._variables, self._state = groups, [[] for _ in groups]
            try:
                for group, values in zip(groups, self._state, strict=True):
                    values.extend(one.lend(self, self.place, overwritten=True) for one in group)
            except BaseException:
                self.give_back()
                raise

    def give_back(self) -> None:
        """Put every value back into its variable; while a step is traced, which then overwrites them, copies."""
        with MOVING, self.place.backend.outside():
            groups, self._variables = self._variables, []
            for group, values in zip(groups, self._state, strict=False):
                for variable, value in zip(group, values, strict=False):
                    own = self.place.backend.plain(value) if self._runs else value
                    variable.restore(own, self.place, None)

    pause = close = give_back

    def _run(self, given: list[Array], number: Any) -> Any:
        # Others wait with what they read; this thread may read, and trace, while it traces.
        with MAKING, MOVING:
            self._lend()
            self._runs = True
            try:
                logs, new = self._traced(tuple(self._state), given, number, self._key)
            finally:
                self._runs = False
            self._lend()  # what was given back while it was traced
            self._state = new
        return {name: logs[name] for name in self._structure}  # JAX gives a dict by its keys

    def _arrays(self, state: Any, given: list[Array], number: Array, key: Any) -> Any:  # type: ignore[override]
        groups = self._variables
        logs, new = self._step(given, number, state, key=key)
        self._structure = list(logs)
        if [len(one) for one in new] != [len(one) for one in groups]:
            raise ArgumentError(
                f"{type(self.model).__name__}: the step takes {[len(one) for one in groups]} values as its state, and "
                f"gives {[len(one) for one in new]}."
            )
        return logs, [
            [self._fitting(variable, value) for variable, value in zip(group, values, strict=True)]
            for group, values in zip(groups, new, strict=True)
        ]

    def _fitting(self, variable: Variable, value: Any) -> Array:
        """A new value, of the variable's dtype; `ShapeError` if it is of another shape."""
        array = native(value, self.place.backend, self.place.device)
        if type_of(array).shape != variable.shape:
            raise ShapeError(
                f"{type(self.model).__name__}: {variable.path} has the shape {variable.shape}; the step gives a value "
                f"of shape {type_of(array).shape}."
            )
        return ops.cast(array, variable.dtype)
