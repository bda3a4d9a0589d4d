"""A step as one function over variables, which it updates in place."""

from __future__ import annotations

import weakref
from collections.abc import Callable, Sequence
from operator import is_
from typing import Any

import numpy as np
import tensorflow as tf

from unifront.backends import Array, StepPlan, StepState
from unifront.ir.emit import Rows, emit
from unifront.opset.replay import step_program
from unifront_tensorflow.keys import Key
from unifront_tensorflow.policy import POLICY
from unifront_tensorflow.runtime import BACKEND, device_name, flat, quick_call, spec_of
from unifront_tensorflow.variables import Reference

Function = Callable[..., Any]


class TensorFlowStep:
    """A compiled plan; see `unifront.backends.Step`.

    What is in ``state.variables`` becomes `tf.Variable` objects, which the step updates in place: whoever reads
    them has the values of now. Arrays put there by others are taken over at the next step.
    """

    def __init__(self, plan: StepPlan, state: StepState, rows: Rows, device: str | None) -> None:
        self.plan, self.state = plan, state
        self._functions = _functions_of(plan, rows, device)
        self.storage = self._functions.made.program.storage
        with tf.device(device_name(device)):
            self._variables = [_variable(array) for array in state.variables]
        state.variables[:] = self._variables
        self._handles = tuple(variable.handle for variable in self._variables)
        types = [value.type.dtype for value in plan.graph.inputs[len(plan.graph.inputs) - plan.counters :]]
        self._counter_dtypes = [dtype.numpy for dtype in types]
        self._counters: dict[int, tuple[float, Any]] = {}

    def _key(self) -> tuple[Any, ...]:
        return (flat(self.state.key),) if self.plan.has_key else ()

    def __call__(self, batch: Sequence[Array], counters: Sequence[float]) -> None:
        self._adopt()
        numbers = [self._counter(i, value) for i, value in enumerate(counters)]
        outputs = self._functions.one(*batch, *self._key(), *numbers, *self._handles)
        count = self.plan.results
        for i, following in zip(self._functions.numbers_of_steps, outputs[count:], strict=True):
            self._counters[i] = (counters[i] + 1, following)
        self.state.results = tuple(outputs[:count])

    def _counter(self, i: int, value: float) -> Any:
        """A number on the device, where the expected one is kept: to put one there takes a tenth of a short step.

        Learning rates seldom change, and of a number of steps the last step has given the next.
        """
        last = self._counters.get(i)
        if last is None or last[0] != value:
            last = self._counters[i] = (value, tf.constant(value, self._counter_dtypes[i]))
        return last[1]

    def run(self, arrays: Sequence[Array], indices: np.ndarray, counters: Sequence[Sequence[float]]) -> None:
        """Runs on batches taken from ``arrays`` on the device, in one loop."""
        self._adopt()
        if not len(indices):
            return
        columns = zip(*counters, strict=True)
        numbers = [tf.constant(c, dtype) for c, dtype in zip(columns, self._counter_dtypes, strict=True)]
        rows = tf.constant(indices, tf.int64)
        self.state.results = tuple(
            self._functions.many(*arrays, *self._key(), *numbers, rows, *self._handles)
        )

    def _adopt(self) -> None:
        """Take over what somebody put into the state since the last step."""
        if not all(map(is_, self.state.variables, self._variables)):
            for variable, handle, value in zip(
                self._variables, self._handles, self.state.variables, strict=True
            ):
                if value is not variable:  # `assign` takes five times as long, for names and checks
                    tf.raw_ops.AssignVariableOp(resource=handle, value=value)
            self.state.variables[:] = self._variables


def _variable(array: Array) -> tf.Variable:
    """``array`` as a variable; one that is a variable already stays what it is."""
    return array if isinstance(array, tf.Variable) else tf.Variable(array, trainable=False)


class _Functions:
    """The functions of a plan, each traced at its first call: one step on a batch, and a loop of such steps.

    Variables come as handles, so that the functions serve any variables.
    """

    def __init__(self, plan: StepPlan, rows: Rows, device: str | None) -> None:
        where = device or BACKEND.devices()[0]
        self._jit = POLICY.suits_xla(plan.graph, where) if plan.jit is None else plan.jit
        self._small = not self._jit and POLICY.is_small(plan.graph, where)
        self._rows, self._device = BACKEND.portable_rows(device) if self._jit else rows, device_name(device)
        self.made = step_program(plan, self._rows)
        self._plan_graph, self._carry, self._results = plan.graph, plan.carry, plan.results
        self._held = [variable.value.type for variable in plan.graph.variables]
        inputs = [spec_of(value.type, f"x{i}") for i, value in enumerate(plan.graph.inputs)]
        self._batch, self._rest = inputs[: plan.batch], inputs[plan.batch :]
        self._keys = int(plan.has_key)
        counters = self._rest[self._keys :]
        self.numbers_of_steps = [i for i, spec in enumerate(counters) if spec.dtype.is_integer]
        """Which counters are whole numbers, that is, grow by one from step to step."""

    def __getattr__(self, name: str) -> Function:
        function = {"one": self._trace_one, "many": self._trace_many}[name]()
        setattr(self, name, function)
        return function

    def _trace_one(self) -> Function:
        first = len(self._batch) + self._keys

        def one(update: Function, *tensors: Any) -> Any:
            return (*update(tensors), *(tensors[first + i] + 1 for i in self.numbers_of_steps))

        return self._compiled(one, [*self._batch, *self._rest], one_thread=self._small)

    def _trace_many(self) -> Function:
        count, keys = len(self._batch), self._keys

        def many(update: Function, *tensors: Any) -> Any:
            arrays, key, numbers, indices = (
                tensors[:count], tensors[count : count + keys], tensors[count + keys : -1], tensors[-1]
            )  # fmt: skip
            steps = tf.shape(indices)[0]

            def body(i: Any, *_: Any) -> Any:
                batch = [
                    tf.ensure_shape(tf.gather(array, indices[i]), spec.shape)
                    for array, spec in zip(arrays, self._batch, strict=True)
                ]
                return (i + 1, *update((*batch, *key, *(number[i] for number in numbers))))

            results = self._plan_graph.outputs[: self._results]
            specs = [tf.TensorSpec((), tf.int32), *(spec_of(value.type, None) for value in results)]
            start = [tf.zeros([size or 0 for size in spec.shape], spec.dtype) for spec in specs]
            shapes = [spec.shape for spec in specs]
            return tf.while_loop(lambda i, *_: i < steps, body, start, shapes, parallel_iterations=1)[1:]

        whole = [tf.TensorSpec([None, *spec.shape[1:]], spec.dtype, spec.name) for spec in self._batch]
        numbers = [tf.TensorSpec((None,), spec.dtype) for spec in self._rest[keys:]]
        indices = tf.TensorSpec((None, None), tf.int64)
        return self._compiled(many, [*whole, *self._rest[:keys], *numbers, indices])

    def _compiled(self, body: Function, specs: list[tf.TensorSpec], *, one_thread: bool = False) -> Function:
        handles = [tf.TensorSpec((), tf.resource)] * len(self._held)

        update = (
            tf.function(self._update(), autograph=False, jit_compile=True) if self._jit else self._update()
        )

        def step(*tensors: Any) -> Any:
            held = tensors[len(specs) :]
            with tf.device(self._device):
                # Constants made while tracing are part of the function; made before, they would be arguments.
                return body(lambda inputs: update(inputs, held), *tensors[: len(specs)])

        function = tf.function(step, autograph=False).get_concrete_function(*specs, *handles)
        return quick_call(function, one_thread=one_thread)

    def _update(self) -> Function:
        """A function of (batch, key and counters), (handles): it updates the variables and gives the results."""
        count, key_at = self._results, len(self._batch)

        def update(inputs: Sequence[Any], handles: Sequence[Any]) -> tuple[Any, ...]:
            program = emit(self.made.graph, self._rows, carry=self._carry)  # which makes constants
            references = list(map(Reference, handles, self._held))
            given = tuple(Key(x) if self._keys and i == key_at else x for i, x in enumerate(inputs))
            # A variable that is only written is not read: the update would wait for that.
            read = zip(references, program.reads, strict=True)
            values = tuple(reference.read() if wanted else None for reference, wanted in read)
            cells = (tuple(references),) if self.made.in_place else ()
            outputs = program.function(given, values, *cells)
            for position, value in zip(self.made.carry, outputs[count:], strict=True):
                if position is not None:
                    references[position].assign(value)
            return tuple(outputs[:count])

        return update


_compiled: dict[tuple[int, str | None], _Functions] = {}


def _functions_of(plan: StepPlan, rows: Rows, device: str | None) -> _Functions:
    """The functions of ``plan``, traced once for as long as it lives: a second `fit` starts at once."""
    known = (id(plan), device)
    if known not in _compiled:
        _compiled[known] = _Functions(plan, rows, device)
        weakref.finalize(plan, _compiled.pop, known, None).atexit = False
    return _compiled[known]
