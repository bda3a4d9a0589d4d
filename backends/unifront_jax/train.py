"""The training step: forward, gradients and optimizer as one compiled function that reuses its memory."""

from __future__ import annotations

import weakref
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from unifront.backends import Array, TrainPlan, TrainState, UpdateGroup
from unifront.dtypes import float32, int32, promote
from unifront.ir.emit import Program
from unifront.ir.graph import Graph
from unifront.ir.types import TensorType
from unifront.opset.tensor import Builder
from unifront_jax._wide import graph_is_wide, wide
from unifront_jax.runtime import typed_key

Emit = Callable[[Graph], Program]
Carry = tuple[list[Any], list[tuple[Any, ...]], Any, Any]
"""What a step replaces: variables, slots, totals, iteration."""
Step = Callable[..., Carry]
BLOCK = 32
"""How many steps one compiled loop does."""
GATHERED = 2**25
"""How many bytes of batches are taken out of the arrays before the loop, rather than inside it."""
_SLOW_IN_LOOPS = ("conv_general_dilated", "scan[", "while[")


@dataclass(frozen=True)
class _Functions:
    """The compiled functions of a plan: one step on a batch, one on rows of arrays, a loop of such steps."""

    step: Step
    indexed: Any
    block: Step
    program: Program
    is_wide: bool
    uses_key: bool


_compiled: dict[int, _Functions] = {}


def _functions_of(emit: Emit, plan: TrainPlan) -> _Functions:
    """The functions of ``plan``, compiled once for as long as it lives: a second `fit` starts at once."""
    if id(plan) not in _compiled:
        program, is_wide = emit(plan.graph), graph_is_wide(plan.graph)
        with wide(is_wide):
            step = _step_of(emit, plan, program)
        one, indexed, block = (
            jax.jit(function, donate_argnums=0) for function in (step, _indexed(step), _looped(step))
        )
        uses_key = plan.graph.inputs[-2] in plan.graph.users()
        _compiled[id(plan)] = _Functions(one, indexed, block, program, is_wide, uses_key)
        weakref.finalize(plan, _compiled.pop, id(plan), None).atexit = False
    return _compiled[id(plan)]


class JaxTrainStep:
    """A compiled plan, see `unifront.backends.TrainStep`.

    The state's arrays are donated to each step: what held the old ones holds deleted arrays afterwards.
    """

    def __init__(self, emit: Emit, plan: TrainPlan, state: TrainState) -> None:
        functions = _functions_of(emit, plan)
        self._step, self._indexed, self._block = functions.step, functions.indexed, functions.block
        self.storage, self.source = functions.program.storage, functions.program.source
        self._wide, self._uses_key = functions.is_wide, functions.uses_key
        self._rate_dtype = np.float64 if self._wide else np.float32
        self._device = next(iter(state.totals.devices()))
        # A compiled identity brings a number to the device in a fifth of the time of jax.device_put.
        self._to_device = jax.jit(_identity, out_shardings=jax.sharding.SingleDeviceSharding(self._device))
        self._rate: float | None = None
        self._rate_value: Any = None
        self._loops: bool | None = None
        state.variables, state.slots, state.totals = _unshared(state)
        self.state = state
        self._key: Any = None
        self._key_data: Any = None
        self._counter: Any = None
        self._done = -1

    def __call__(self, batch: Sequence[Array], learning_rate: float) -> None:
        state = self.state
        if state.iteration != self._done or state.key is not self._key:
            self._follow(state)
        carry = (state.variables, state.slots, state.totals, self._counter)
        with wide(self._wide):
            if learning_rate != self._rate:
                self._set_rate(learning_rate)
            carry = self._step(carry, self._key_data, self._rate_value, *batch)
        state.variables, state.slots, state.totals, self._counter = carry
        self._done = state.iteration = self._done + 1

    def run(self, arrays: Sequence[Array], indices: Array, learning_rate: Sequence[float]) -> None:
        """Steps on batches ``array[indices[i]]``: `BLOCK` at a time in a compiled loop, the rest singly.

        On two cores with JAX 0.10.2, a step of the MLP 64-128-128-10 takes 0.7 of the time in a loop, and one
        of a small CNN 25 times as long: XLA's convolutions on the CPU lose their threads and fast kernels
        inside a loop. Matrix products take the same, and recurrent layers, loops themselves, gain nothing.
        """
        state = self.state
        if state.iteration != self._done or state.key is not self._key:
            self._follow(state)
        rates = np.asarray(learning_rate, self._rate_dtype)
        carry = (state.variables, state.slots, state.totals, self._counter)
        first, done = state.iteration, 0
        with wide(self._wide):
            for chosen in self._parts(carry, arrays, indices):
                count = chosen.shape[0]
                if count > 1:
                    carry = self._block(carry, self._key_data, rates[done : done + count], chosen, *arrays)
                else:
                    if learning_rate[done] != self._rate:
                        self._set_rate(learning_rate[done])
                    carry = self._indexed(carry, self._key_data, self._rate_value, chosen, *arrays)
                done += count
                # At once: the arrays before this step are gone, and an error in a later one finds these.
                state.variables, state.slots, state.totals, self._counter = carry
                self._done = state.iteration = first + done

    def _parts(self, carry: Carry, arrays: Sequence[Array], indices: Array) -> Sequence[Array]:
        """``indices`` cut into blocks of `BLOCK` rows, as long as a loop pays, and single rows."""
        steps = indices.shape[0]
        if steps == 1:
            return (indices,)
        if self._loops is None and steps >= BLOCK:
            row = jax.ShapeDtypeStruct((1, *indices.shape[1:]), indices.dtype)
            self._loops = self._loops_well(carry, self._key_data, self._rate_dtype(0), row, *arrays)
        if self._loops and steps == BLOCK:
            return (indices,)
        parts: list[Array] = _split(indices, BLOCK if self._loops else 1)
        return parts

    def _loops_well(self, *operands: Any) -> bool:
        """Whether steps run faster inside one compiled loop than one by one; see `run`."""
        if self._device.platform != "cpu":
            return True
        program = str(self._indexed.trace(*operands).jaxpr)
        return not any(slow in program for slow in _SLOW_IN_LOOPS)

    def _set_rate(self, learning_rate: float) -> None:
        self._rate = learning_rate
        self._rate_value = self._to_device(self._rate_dtype(learning_rate))

    def _follow(self, state: TrainState) -> None:
        """Take over a counter or key that was set from outside."""
        if state.key is not self._key:
            self._key = state.key
            if self._uses_key:
                self._key_data = jax.device_put(jax.random.key_data(typed_key(state.key)), self._device)
        if state.iteration != self._done:
            self._done = state.iteration
            self._counter = jax.device_put(np.int32(state.iteration), self._device)


def _identity(value: Any) -> Any:
    return value + 0


def _unshared(state: TrainState) -> tuple[list[Any], list[tuple[Any, ...]], Any]:
    """The arrays of ``state``, each an object of its own: an array can be donated once only."""
    seen: set[int] = set()

    def own(array: Any) -> Any:
        again = id(array) in seen
        seen.add(id(array))
        return jnp.copy(array) if again else array

    return (
        [own(v) for v in state.variables],
        [tuple(own(s) for s in slots) for slots in state.slots],
        own(state.totals),
    )


def _step_of(emit: Emit, plan: TrainPlan, program: Program) -> Step:
    """One step as a pure function ``(carry, key, learning rate, *batch) -> carry``."""
    forward, trainable, updates = program.function, plan.trainable, plan.updates
    transform = emit(plan.transform).function if plan.transform else None
    rules = tuple(_rules(emit, plan))

    def step(carry: Carry, key: Any, rate: Any, *batch: Any) -> Carry:
        variables, slots, totals, iteration = carry
        own = None if key is None else jax.random.fold_in(jax.random.wrap_key_data(key), iteration)
        inputs = (*batch, own, totals)

        def loss_of(params: list[Any]) -> Any:
            full = list(variables)
            for position, param in zip(trainable, params, strict=True):
                full[position] = param
            loss, *others = forward(inputs, tuple(full))
            return loss, others

        params = [variables[position] for position in trainable]
        gradients, (totals, *updated) = jax.grad(loss_of, has_aux=True)(params)
        if transform:
            gradients = transform(tuple(gradients), ())
        new, new_slots = list(variables), []
        for position, value in zip(updates, updated, strict=True):
            new[position] = value
        for position, rule, param, gradient, own in zip(
            trainable, rules, params, gradients, slots, strict=True
        ):
            new[position], *rest = rule((param, gradient, *own), iteration, rate)
            new_slots.append(tuple(rest))
        return new, new_slots, totals, iteration + 1

    return step


def _rules(emit: Emit, plan: TrainPlan) -> Iterable[Callable[..., Any]]:
    """For each trainable variable, the function of its optimizer rule."""
    for group in plan.groups:
        made: dict[TensorType, Callable[..., Any]] = {}
        for position in group.variables:
            type_ = plan.graph.variables[position].value.type
            if type_ not in made:
                made[type_] = _rule(emit, group, type_)
            yield made[type_]


def _rule(emit: Emit, group: UpdateGroup, type_: TensorType) -> Callable[..., list[Any]]:
    """``(param, gradient, *slots), iteration, rate -> [param, *slots]``.

    Of 16 bits it computes in 32, as PyTorch's kernels do: squared gradients would be zero in float16.
    """
    computed = type_.with_dtype(promote(float32, type_.dtype))
    function, dtype = emit(_rule_graph(group, computed)).function, computed.dtype.name

    def rule(arrays: tuple[Any, ...], iteration: Any, rate: Any) -> list[Any]:
        operands = (*(array.astype(dtype) for array in arrays), iteration, rate.astype(dtype))
        return [result.astype(arrays[0].dtype) for result in function(operands, ())]

    return rule


def _rule_graph(group: UpdateGroup, type_: TensorType) -> Graph:
    builder = Builder(group.rule.name)
    operands = [builder.input(f"operand_{i}", type_) for i in range(2 + group.slots)]
    operands.append(builder.input("iteration", TensorType(int32)))
    operands.append(builder.input("learning_rate", TensorType(type_.dtype)))
    return builder.graph(builder.add(group.rule, [operand.value for operand in operands], group.attributes))


def _indexed(step: Step) -> Step:
    """``step`` on the rows ``chosen[0]`` of whole arrays."""

    def call(carry: Carry, key: Any, rate: Any, chosen: Any, *arrays: Any) -> Carry:
        return step(carry, key, rate, *(jnp.take(array, chosen[0], axis=0, mode="clip") for array in arrays))

    return call


def _looped(step: Step) -> Step:
    """`_indexed` once for each row of ``chosen`` and each of ``rates``."""
    one = _indexed(step)

    def call(carry: Carry, key: Any, rates: Any, chosen: Any, *arrays: Any) -> Carry:
        def with_rows(carry: Carry, this: tuple[Any, Any]) -> tuple[Carry, None]:
            rate, row = this
            return one(carry, key, rate, row[None], *arrays), None

        def with_batch(carry: Carry, this: tuple[Any, ...]) -> tuple[Carry, None]:
            rate, *batch = this
            return step(carry, key, rate, *batch), None

        size = chosen.size * sum(array.nbytes // max(array.shape[0], 1) for array in arrays)
        if size > GATHERED:
            result: Carry = lax.scan(with_rows, carry, (rates, chosen))[0]
        else:  # one large gather is quicker than many small ones: a tenth of the MLP's step
            batches = (jnp.take(array, chosen, axis=0, mode="clip") for array in arrays)
            result = lax.scan(with_batch, carry, (rates, *batches))[0]
        return result

    return call


def _split_rows(indices: Any, block: int) -> list[Any]:
    """Blocks of ``block`` rows while there are such, then blocks of one row."""
    steps = indices.shape[0]
    whole = steps // block * block
    blocks = [indices[i : i + block] for i in range(0, whole, block)]
    return [*blocks, *(indices[i : i + 1] for i in range(whole, steps))]


_split = jax.jit(_split_rows, static_argnums=1)
