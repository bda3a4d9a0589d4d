"""The training step: forward, gradients and updates as one function over variables."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from operator import is_
from typing import Any

import tensorflow as tf

from unifront.backend import Array, TrainPlan, TrainState, UpdateGroup
from unifront.ir.emit import Rows, emit, storage_of
from unifront.ops.replay import expand
from unifront.ops.tensor import bind
from unifront_tensorflow.keys import Key, fold_in
from unifront_tensorflow.lower.optimize import IN_PLACE
from unifront_tensorflow.runtime import device_name, gradients, quick_call, spec_of

Update = Callable[[Sequence[Any], Any, Any, Any], Any]


class Step:
    """A compiled plan; see `unifront.backend.TrainStep`.

    The variables and slots in ``state`` become `tf.Variable` objects, which the step updates in place:
    whoever reads them has the values of now. Arrays put into ``state`` by others are taken over at the next
    step.
    """

    def __init__(self, plan: TrainPlan, state: TrainState, rows: Rows, device: str | None) -> None:
        self.plan, self.state, self._rows = plan, state, rows
        self._device = device_name(device)
        self._graph = expand(plan.graph, rows.table)
        self._transform = plan.transform and expand(plan.transform, rows.table)
        with tf.device(self._device):
            names = [variable.name for variable in self._graph.variables]
            self._variables = [_variable(a, n) for a, n in zip(state.variables, names, strict=True)]
            self._slots = [tuple(_variable(a, "slot") for a in slots) for slots in state.slots]
            self._iteration = tf.Variable(state.iteration, trainable=False, dtype=tf.int64, name="iteration")
        state.variables[:], state.slots[:] = self._variables, self._slots
        self._count = state.iteration
        self._learning_rate, self._learning_rate_tensor = float("nan"), None
        self.storage = storage_of(self._graph, rows.storage)
        inputs = self._graph.inputs
        self._batch = [spec_of(value.type, f"batch_{i}") for i, value in enumerate(inputs[:-2])]
        self._rest = [spec_of(inputs[-2].type, "key"), spec_of(inputs[-1].type, "totals")]
        self._step = self._compiled(self._one, [*self._batch, *self._rest, tf.TensorSpec((), tf.float64)])
        self._block: Callable[..., Any] | None = None

    def __call__(self, batch: Sequence[Array], learning_rate: float) -> None:
        state = self.state
        self._adopt()
        if learning_rate != self._learning_rate:
            self._learning_rate = learning_rate
            self._learning_rate_tensor = tf.constant(learning_rate, tf.float64)
        state.totals = self._step(*batch, state.key.seed, state.totals, self._learning_rate_tensor)[0]
        self._count = state.iteration = state.iteration + 1

    def run(self, arrays: Sequence[Array], indices: Array, learning_rate: Sequence[float]) -> None:
        state = self.state
        self._adopt()
        if self._block is None:
            rates, steps = tf.TensorSpec((None,), tf.float64), tf.TensorSpec((None, None), tf.int64)
            whole = [tf.TensorSpec([None, *spec.shape[1:]], spec.dtype, spec.name) for spec in self._batch]
            self._block = self._compiled(self._many, [*whole, *self._rest, rates, steps])
        rates = tf.constant(list(learning_rate), tf.float64)
        indices = tf.cast(indices, tf.int64)
        state.totals = self._block(*arrays, state.key.seed, state.totals, rates, indices)[0]
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

    def _compiled(self, body: Callable[..., Any], signature: list[tf.TensorSpec]) -> Callable[..., Any]:
        def step(*tensors: Any) -> Any:
            with tf.device(self._device):
                # Constants made while tracing are part of the function; made before, they would be arguments.
                return body(self._update(), *tensors)

        return quick_call(tf.function(step, autograph=False).get_concrete_function(*signature))

    def _one(self, update: Update, *tensors: Any) -> Any:
        *batch, seed, totals, learning_rate = tensors
        return update(batch, seed, totals, learning_rate)

    def _many(self, update: Update, *tensors: Any) -> Any:
        *arrays, seed, totals, rates, indices = tensors

        def body(i: Any, totals: Any) -> Any:
            batch = [tf.gather(array, indices[i]) for array in arrays]
            return i + 1, update(batch, seed, totals, rates[i])

        steps = tf.shape(indices)[0]
        return tf.while_loop(lambda i, _: i < steps, body, (tf.constant(0), totals), parallel_iterations=1)[1]

    def _update(self) -> Update:
        """A function of batch, seed, totals and learning rate: updates the variables, gives new totals."""
        program = emit(self._graph, self._rows).function
        transform = None if self._transform is None else emit(self._transform, self._rows).function
        groups = [(group, position) for group in self.plan.groups for position in group.variables]

        def update(batch: Sequence[Any], seed: Any, totals: Any, learning_rate: Any) -> Any:
            iteration = self._iteration.read_value()
            key = fold_in(Key(seed), iteration)
            values = [variable.read_value() for variable in self._variables]
            sources = [values[position] for _, position in groups]
            with tf.GradientTape(watch_accessed_variables=False) as tape:
                tape.watch(sources)
                loss, totals, *updated = program((*batch, key, totals), tuple(values))
            grads = gradients(tape, loss, sources)
            if transform is not None:
                grads = list(transform(tuple(grads), ()))
            for (group, position), grad, slots in zip(groups, grads, self._slots, strict=True):
                _apply(group, self._variables[position], grad, slots, iteration, learning_rate)
            for position, value in zip(self.plan.updates, updated, strict=True):
                self._variables[position].assign(value)
            self._iteration.assign_add(1)
            return totals

        return update


def _apply(
    group: UpdateGroup,
    param: tf.Variable,
    grad: Any,
    slots: Sequence[tf.Variable],
    iteration: Any,
    learning_rate: Any,
) -> None:
    rate = tf.cast(learning_rate, param.dtype)
    if group.rule in IN_PLACE and param.dtype in (tf.float32, tf.float64):
        IN_PLACE[group.rule](param, grad, slots, iteration, rate, **group.attributes)
        return
    operands = [param.read_value(), grad, *(slot.read_value() for slot in slots), iteration, rate]
    results = bind(group.rule, *operands, **group.attributes)  # type: ignore[arg-type]  # the rules are OpSpecs
    _assign((param, *slots), results if isinstance(results, tuple) else (results,))


def _assign(variables: Sequence[tf.Variable], values: Sequence[Any]) -> None:
    for variable, value in zip(variables, values, strict=True):
        if value is not variable:
            variable.assign(value)


def _variable(array: Array, name: str) -> tf.Variable:
    """``array`` as a variable; one that is a variable already stays what it is."""
    if isinstance(array, tf.Variable):
        return array
    return tf.Variable(array, trainable=False, name=name.replace("/", "_"))
