"""The training step: forward, gradients and updates as one function over variables."""

from __future__ import annotations

import weakref
from collections.abc import Callable, Iterator, Sequence
from itertools import chain, islice
from operator import is_
from typing import Any

import tensorflow as tf

from unifront.backends import Array, TrainPlan, TrainState, UpdateGroup
from unifront.dtypes import int64
from unifront.ir.emit import Rows, emit
from unifront.ir.types import TensorType
from unifront.opset.replay import expand
from unifront.opset.tensor import bind
from unifront_tensorflow.keys import Key, fold_in
from unifront_tensorflow.lower.optimize import IN_PLACE
from unifront_tensorflow.runtime import device_name, gradients, quick_call, spec_of
from unifront_tensorflow.variables import Reference

Function = Callable[..., Any]
ITERATION = TensorType(int64)


class Step:
    """A compiled plan; see `unifront.backends.TrainStep`.

    The variables and slots in ``state`` become `tf.Variable` objects, which the step updates in place:
    whoever reads them has the values of now. Arrays put into ``state`` by others are taken over at the next
    step.
    """

    def __init__(self, plan: TrainPlan, state: TrainState, rows: Rows, device: str | None) -> None:
        self.plan, self.state = plan, state
        self._functions = _functions_of(plan, rows, device)
        with tf.device(device_name(device)):
            self._variables = [_variable(array) for array in state.variables]
            self._slots = [tuple(_variable(array) for array in slots) for slots in state.slots]
            self._iteration = tf.Variable(state.iteration, trainable=False, dtype=tf.int64)
        state.variables[:], state.slots[:] = self._variables, self._slots
        held = [*self._variables, *chain.from_iterable(self._slots), self._iteration]
        self._handles = tuple(variable.handle for variable in held)
        self._count = state.iteration
        self._learning_rate, self._learning_rate_tensor = float("nan"), None

    def __call__(self, batch: Sequence[Array], learning_rate: float) -> None:
        state = self.state
        self._adopt()
        if learning_rate != self._learning_rate:
            self._learning_rate = learning_rate
            self._learning_rate_tensor = tf.constant(learning_rate, tf.float64)
        rest = (state.key.seed, state.totals, self._learning_rate_tensor)
        (state.totals,) = self._functions.one(*batch, *rest, *self._handles)
        self._count = state.iteration = state.iteration + 1

    def run(self, arrays: Sequence[Array], indices: Array, learning_rate: Sequence[float]) -> None:
        state = self.state
        self._adopt()
        rest = (state.key.seed, state.totals, tf.constant(list(learning_rate), tf.float64))
        indices = tf.cast(indices, tf.int64)
        (state.totals,) = self._functions.many(*arrays, *rest, indices, *self._handles)
        self._count = state.iteration = state.iteration + int(indices.shape[0])

    def _adopt(self) -> None:
        """Take over what somebody put into the state since the last step."""
        state = self.state
        if state.iteration != self._count:
            self._iteration.assign(state.iteration)
        if not all(map(is_, state.variables, self._variables)):
            _assign(self._variables, state.variables)
            state.variables[:] = self._variables
        if not all(map(is_, state.slots, self._slots)):
            for own, given in zip(self._slots, state.slots, strict=True):
                _assign(own, given)
            state.slots[:] = self._slots


def _variable(array: Array) -> tf.Variable:
    """``array`` as a variable; one that is a variable already stays what it is."""
    return array if isinstance(array, tf.Variable) else tf.Variable(array, trainable=False)


def _assign(variables: Sequence[tf.Variable], values: Sequence[Any]) -> None:
    for variable, value in zip(variables, values, strict=True):
        if value is not variable:
            variable.assign(value)


class _Functions:
    """The functions of a plan, each traced at its first call: one step on a batch, and a loop of such steps.

    Variables come as handles, so that the functions serve any variables.
    """

    def __init__(self, plan: TrainPlan, rows: Rows, device: str | None) -> None:
        self._rows, self._device = rows, device_name(device)
        self._graph = expand(plan.graph, rows.table)
        self._transform = plan.transform and expand(plan.transform, rows.table)
        self._updates = plan.updates
        self._groups = [(group, position) for group in plan.groups for position in group.variables]
        types = [variable.value.type for variable in self._graph.variables]
        slots = [types[position] for group, position in self._groups for _ in range(group.slots)]
        self._held = [*types, *slots, ITERATION]
        *batch, key, totals = self._graph.inputs
        self._batch = [spec_of(value.type, f"batch_{i}") for i, value in enumerate(batch)]
        self._rest = [spec_of(key.type, "key"), spec_of(totals.type, "totals")]

    def __getattr__(self, name: str) -> Function:
        function = {"one": self._trace_one, "many": self._trace_many}[name]()
        setattr(self, name, function)
        return function

    def _trace_one(self) -> Function:
        def one(update: Function, *tensors: Any) -> Any:
            *batch, seed, totals, learning_rate = tensors
            return update(batch, seed, totals, learning_rate)

        return self._compiled(one, [*self._batch, *self._rest, tf.TensorSpec((), tf.float64)])

    def _trace_many(self) -> Function:
        def many(update: Function, *tensors: Any) -> Any:
            *arrays, seed, totals, rates, indices = tensors
            steps = tf.shape(indices)[0]

            def body(i: Any, totals: Any) -> Any:
                batch = [tf.gather(array, indices[i]) for array in arrays]
                return i + 1, update(batch, seed, totals, rates[i])

            start = (tf.constant(0), totals)
            return tf.while_loop(lambda i, _: i < steps, body, start, parallel_iterations=1)[1]

        whole = [tf.TensorSpec([None, *spec.shape[1:]], spec.dtype, spec.name) for spec in self._batch]
        rates, indices = tf.TensorSpec((None,), tf.float64), tf.TensorSpec((None, None), tf.int64)
        return self._compiled(many, [*whole, *self._rest, rates, indices])

    def _compiled(self, body: Function, specs: list[tf.TensorSpec]) -> Function:
        handles = [tf.TensorSpec((), tf.resource)] * len(self._held)

        def step(*tensors: Any) -> Any:
            references = list(map(Reference, tensors[len(specs) :], self._held))
            with tf.device(self._device):
                # Constants made while tracing are part of the function; made before, they would be arguments.
                return body(self._update(references), *tensors[: len(specs)])

        return quick_call(tf.function(step, autograph=False).get_concrete_function(*specs, *handles))

    def _update(self, references: Sequence[Reference]) -> Function:
        """A function of batch, seed, totals and rate: it updates the variables and gives the new totals."""
        program = emit(self._graph, self._rows).function
        transform = None if self._transform is None else emit(self._transform, self._rows).function
        count, counter = len(self._graph.variables), references[-1]
        variables, slots = references[:count], list(self._slots(iter(references[count:-1])))

        def update(batch: Sequence[Any], seed: Any, totals: Any, learning_rate: Any) -> Any:
            iteration = counter.read()
            key = fold_in(Key(seed), iteration)
            values = [variable.read() for variable in variables]
            sources = [values[position] for _, position in self._groups]
            with tf.GradientTape(watch_accessed_variables=False) as tape:
                tape.watch(sources)
                loss, totals, *updated = program((*batch, key, totals), tuple(values))
            grads = gradients(tape, loss, sources)
            if transform is not None:
                grads = list(transform(tuple(grads), ()))
            for (group, position), grad, own in zip(self._groups, grads, slots, strict=True):
                _apply(group, variables[position], grad, own, iteration, learning_rate)
            for position, value in zip(self._updates, updated, strict=True):
                variables[position].assign(value)
            counter.assign(iteration + 1)
            return totals

        return update

    def _slots(self, references: Iterator[Reference]) -> Iterator[tuple[Reference, ...]]:
        for group, _ in self._groups:
            yield tuple(islice(references, group.slots))


def _apply(
    group: UpdateGroup,
    param: Reference,
    grad: Any,
    slots: Sequence[Reference],
    iteration: Any,
    learning_rate: Any,
) -> None:
    # Of 16 bits it computes in 32, as PyTorch's kernels do: squared gradients would be zero in float16.
    dtype = tf.float32 if param.dtype.size == 2 else param.dtype
    rate = tf.cast(learning_rate, dtype)
    if group.rule in IN_PLACE and dtype == param.dtype:
        IN_PLACE[group.rule](param, grad, slots, iteration, rate, **group.attributes)
        return
    values = (tf.cast(value, dtype) for value in (param.read(), grad, *(slot.read() for slot in slots)))
    results = bind(group.rule, *values, iteration, rate, **group.attributes)  # type: ignore[arg-type]  # the rules are OpSpecs
    for reference, value in zip((param, *slots), results if slots else (results,), strict=True):
        reference.assign(tf.cast(value, reference.dtype))


_compiled: dict[tuple[int, str | None], _Functions] = {}


def _functions_of(plan: TrainPlan, rows: Rows, device: str | None) -> _Functions:
    """The functions of ``plan``, traced once for as long as it lives: a second `fit` starts at once."""
    known = (id(plan), device)
    if known not in _compiled:
        _compiled[known] = _Functions(plan, rows, device)
        weakref.finalize(plan, _compiled.pop, known, None).atexit = False
    return _compiled[known]
