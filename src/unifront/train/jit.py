"""`jit`: a function of native arrays, traced once for each kind of arguments and run as one compiled program."""

from __future__ import annotations

from collections.abc import Callable, Hashable
from functools import update_wrapper
from typing import Any

import numpy as np

from unifront import tree
from unifront.arguments import checked
from unifront.backends import Placement
from unifront.errors import ArgumentError
from unifront.opset.tensor import Tensor, active_builder
from unifront.programs import Given, Recordable, frozen, is_awaited
from unifront.trace import MAKING, current_seed
from unifront.train.interrupts import Interrupts
from unifront.train.session import Session
from unifront.train.step import TracedStep, trace_step


class Jitted:
    """What `jit` gives: the function, and the programs made of it so far."""

    def __init__(self, function: Callable[..., Any], name: str) -> None:
        self.function, self.name = function, name
        self._programs: dict[Hashable, tuple[TracedStep, Recordable, Any]] = {}
        self._sessions: dict[Hashable, Session] = {}
        self._runs = [0]
        update_wrapper(self, function)

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        leaves = tree.leaves([args, kwargs])
        if active_builder() is not None or any(isinstance(leaf, Tensor) for leaf in leaves):
            return self.function(*args, **kwargs)  # part of the graph around it
        given = Given.of(self.name, [list(args), kwargs])
        key = (frozen(given.structure), given.types)
        if key not in self._programs:
            with MAKING:
                if key not in self._programs:  # by another thread, while this one waited
                    step = self._traced(given)
                    run = Recordable(
                        step.plan.graph, step.variables, [step.variables[i] for i in step.plan.carry]
                    )
                    self._programs[key] = (step, run, given.structure)
        step, run, _ = self._programs[key]
        if _trains(step) and not any(map(is_awaited, given.arrays)):
            if given.device is None:
                raise ArgumentError(
                    f"{self.name} would update weights by values that JAX is tracing, which no weight can hold. Try: "
                    "optimizer.stateless_apply(optimizer_variables, grads, trainable_variables)"
                )
            results = self._trained(key, step, given)
        else:
            device = given.device or given.place.device
            results = run(
                given.place, given.device, [*given.natives(), *self._numbers(step, given.place, device)]
            )
        return tree.map_leaves(lambda leaf: results[leaf] if type(leaf) is int else leaf, step.structure)

    def _trained(self, key: Hashable, step: TracedStep, given: Given) -> tuple[Any, ...]:
        """The results of a run that also trains, as `fit` does: what it replaces may be overwritten in place."""
        place = (key, str(given.place))
        with MAKING:
            if place not in self._sessions:
                self._sessions[place] = Session(step, given.place, current_seed(), self._runs)
        session = self._sessions[place]
        with Interrupts():
            results = session.run_on(given.natives())
            session.give_back()
        return results

    def _numbers(self, step: TracedStep, place: Placement, device: str) -> list[Any]:
        """The key and the counters of one run."""
        with MAKING:
            done, self._runs[0] = self._runs[0], self._runs[0] + 1
        keys = [place.backend.key(current_seed(), device)] if step.plan.has_key else []
        types = [value.type for value in step.plan.graph.inputs[step.plan.batch + len(keys) :]]
        numbers = [
            place.backend.array(np.asarray(counter.value(0, done), type_.dtype.numpy), device)
            for counter, type_ in zip(step.counters, types, strict=True)
        ]
        return [*keys, *numbers]

    def _traced(self, given: Given) -> TracedStep:
        def call(tensors: Any) -> Any:
            args, kwargs = given.filled(tensors)
            return self.function(*args, **kwargs)

        named = {f"argument {i}": type_ for i, type_ in enumerate(given.types)}
        return trace_step(self.name, call, list(range(len(named))), named, training=False)


def _trains(step: TracedStep) -> bool:
    """Whether a run is a step of training: then nothing is recorded of it, and no gradient passes."""
    return bool(step.optimizers) or any(step.variables[i].trainable for i in step.plan.carry)


@checked
def jit(function: Callable[..., Any]) -> Jitted:
    """``function`` as one compiled program for each kind of arguments; the same numbers as when called as it is.

    Args:
        function: takes native arrays (of one backend; NumPy arrays go with any, or to the default backend) and
            gives tensors, in any structure of lists, tuples and dicts. What else it is given is fixed in the program.
            It may read and update variables, call layers and models, `uf.value_and_grad` and ``optimizer.apply``.

    A framework's own gradient (``.backward()``, ``GradientTape``, ``jax.grad``) passes through the results, to the
    arguments and the weights, unless the function trains: updates weights that optimizers change.

    Python in it runs once, while it is traced: what depends on a value is written with `uf.ops.cond`,
    `uf.ops.while_loop` or `uf.ops.scan`; an `ArgumentError` says where it is not.

    Example::

        step = uf.jit(lambda x: model(x))
        logits = step(x_train)
    """
    return Jitted(function, getattr(function, "__name__", type(function).__name__))


def call_now(key: tuple[Any, ...], function: Callable[..., Any], arrays: list[Any]) -> Any:
    """``function(*arrays)`` compiled; the last 64 are kept by their ``key``, the first part of which says its name."""
    made = _kept.get(key)
    if made is None:
        if len(_kept) >= 64:
            _kept.pop(next(iter(_kept)))
        made = _kept[key] = Jitted(function, key[0].__qualname__)
    return made(*arrays)


_kept: dict[Hashable, Jitted] = {}
