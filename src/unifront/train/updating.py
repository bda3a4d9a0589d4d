"""What an optimizer does with gradients, as operations of the graph being traced: one path for every optimizer."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from typing import Any

from unifront import ops
from unifront.dtypes import DType, bool_, float32, int32, promote
from unifront.errors import ArgumentError, ShapeError
from unifront.ir.types import TensorType
from unifront.layers.constraints import constrained
from unifront.opset.protocols import dense
from unifront.opset.tensor import Builder, active_builder, type_of, update
from unifront.programs import is_awaited
from unifront.train.optimizers.optimizer import Optimizer
from unifront.train.optimizers.state import ACCUMULATOR, AVERAGE, overwritten
from unifront.weights import Variable

Pairs = list[tuple[Any, Variable]]


def apply(optimizer: Optimizer, grads: list[Any], variables: list[Variable], examples: Any = None) -> None:
    """See `Optimizer.apply`."""
    pairs = _pairs(optimizer, grads, variables)
    if not grads:
        return
    optimizer.ready_for(variables)
    if active_builder() is not None:
        optimizer.update_pairs(pairs, examples)
        return
    from unifront.train.jit import call_now

    if any(is_awaited(gradient) for gradient, _ in pairs):
        optimizer.count_for_others()
    counted = () if examples is None else (examples,)
    gradients, targets = ([*part] for part in zip(*pairs, strict=True))
    call_now(
        (Optimizer.apply, optimizer, tuple(map(id, targets)), optimizer.key()),
        lambda given, counted: optimizer.update_pairs(
            list(zip(given, targets, strict=True)), *(counted or (None,))
        ),  # it is kept: without the gradients
        [gradients, counted],
    )


def _pairs(optimizer: Optimizer, grads: list[Any], variables: list[Variable]) -> Pairs:
    """Gradients and variables, checked; without variables that have no gradient, of which a warning tells."""
    own = type(optimizer).__name__
    if len(grads) != len(variables):
        raise ArgumentError(f"{own}.apply: {len(grads)} gradients for {len(variables)} variables were given.")
    pairs = [(dense(g), v) for g, v in zip(grads, variables, strict=True) if g is not None]
    if not grads:
        return pairs
    if not pairs:
        raise ArgumentError(
            f"{own}.apply: No gradients provided for any variable, so there is nothing to update."
        )
    missing = [v.path for g, v in zip(grads, variables, strict=True) if g is None]
    if missing:
        warnings.warn(
            f"Gradients do not exist for variables {missing}, which are left as they are. Does the loss depend on "
            "them?",
            stacklevel=4,
        )
    for gradient, variable in pairs:
        found = type_of(gradient)
        if found.shape != variable.shape or not found.dtype.is_float:
            raise ShapeError(f"{own}.apply: {variable.path} is {variable.type}, its gradient {found}.")
    return pairs


def stateless_apply(
    optimizer: Optimizer, optimizer_values: list[Any], grads: list[Any], values: list[Any]
) -> tuple[list[Any], list[Any]]:
    """See `Optimizer.stateless_apply`."""
    own = type(optimizer).__name__
    if not optimizer.built:
        raise ArgumentError(
            f"To call `stateless_apply`, {own} must be built: call optimizer.build(trainable_variables) first."
        )
    slots, weights = optimizer.variables, list(optimizer._trainable_variables)
    for what, given, wanted in (
        ("optimizer_variables", optimizer_values, slots), ("trainable_variables", values, weights)
    ):  # fmt: skip
        if len(given) != len(wanted):
            raise ArgumentError(
                f"{own}.stateless_apply: {what} must be a list of tensors corresponding 1:1 to those of the optimizer; "
                f"{len(given)} were given for {len(wanted)}."
            )
    gradients, targets = ([*part] for part in zip(*_pairs(optimizer, grads, weights), strict=True))

    def function(slot_values: Any, given: Any, weight_values: Any) -> Any:
        builder = active_builder()
        assert builder is not None
        stood_in = [*slots, *weights]
        for variable, value in zip(stood_in, [*slot_values, *weight_values], strict=True):
            builder.bound[id(variable)] = ops.cast(value, variable.dtype)
        optimizer.update_pairs(list(zip(given, targets, strict=True)), None)
        found = [builder.variable(variable) for variable in stood_in]
        for variable in stood_in:
            builder.bound.pop(id(variable))
            builder.updates.pop(id(variable), None)
        return found[len(slots) :], found[: len(slots)]

    from unifront.train.jit import call_now

    ids = tuple(map(id, (*slots, *targets)))
    return call_now(
        (Optimizer.stateless_apply, optimizer, ids, optimizer.key()),
        function,
        [optimizer_values, gradients, values],
    )


# ---------------------------------------------------------------- the numbers of a step


class Clock:
    """How often an optimizer was applied, and its rate, in the graph being traced."""

    def __init__(self, optimizer: Optimizer) -> None:
        self.optimizer = optimizer
        self.steps = optimizer.gradient_accumulation_steps or 1

    def calls(self) -> Any:
        """How often it was applied before."""
        raise NotImplementedError

    def iteration(self) -> Any:
        """How many updates were done before."""
        raise NotImplementedError

    def is_update(self) -> Any:
        """Whether this call updates, a boolean scalar."""
        raise NotImplementedError

    def rate(self, pattern: str | None, dtype: DType) -> Any:
        """The learning rate of the group called ``pattern``."""
        raise NotImplementedError

    def advance(self) -> None:
        """Count this call."""


class HostClock(Clock):
    """Numbers that the host gives each run, as its kernels read them without waiting for a device.

    The counters of each call in a step are its own, so that an optimizer may be applied twice.
    """

    def __init__(self, optimizer: Optimizer, builder: Builder, call: bool) -> None:
        super().__init__(optimizer)
        done: dict[int, int] = builder.root.notes.setdefault("optimizer calls", {})
        self.builder, self.done = builder, done
        self.number = done.get(id(optimizer), 0)
        if call:
            done[id(optimizer)] = self.number + 1
            builder.root.notes.setdefault("optimizers", {})[id(optimizer)] = optimizer

    def _before(self, ahead: int) -> int:
        """How often it will have been applied before this call, ``ahead`` runs from now."""
        return self.optimizer.calls + ahead * self.done.get(id(self.optimizer), 0) + self.number

    def _counter(self, what: str, type_: TensorType, value: Any, *more: Any) -> Any:
        key = (self.optimizer.name, what, id(self.optimizer), self.number, *more)
        return self.builder.counter(key, type_, lambda ahead, done: value(self._before(ahead)))

    def calls(self) -> Any:
        return self._counter("calls", TensorType(int32), lambda before: before)

    def iteration(self) -> Any:
        return self._counter("iteration", TensorType(int32), lambda before: before // self.steps)

    def is_update(self) -> Any:
        return self._counter("is update", TensorType(bool_), lambda before: (before + 1) % self.steps == 0)

    def rate(self, pattern: str | None, dtype: DType) -> Any:
        return self._counter(
            "learning rate", TensorType(dtype), lambda before: self.optimizer.rate(before, pattern),
            pattern, dtype.name,
        )  # fmt: skip


class DeviceClock(Clock):
    """Numbers that are variables of the step: where values decide whether there is an update."""

    def calls(self) -> Any:
        builder = active_builder()
        assert builder is not None
        return builder.variable(
            self.optimizer._iterations
        )  # a tensor of the graph: a schedule reads variables at once

    def iteration(self) -> Any:
        return self.calls() if self.steps == 1 else ops.floor_divide(self.calls(), self.steps)

    def is_update(self) -> Any:
        return ops.equal(ops.remainder(ops.add(self.calls(), 1), self.steps), 0)

    def rate(self, pattern: str | None, dtype: DType) -> Any:
        optimizer, builder = self.optimizer, active_builder()
        assert builder is not None
        own = pattern is not None and "learning_rate" in optimizer.groups[pattern]
        chosen = optimizer.groups[pattern]["learning_rate"] if pattern and own else optimizer._learning_rate
        if callable(chosen):
            return ops.cast(optimizer.rate(self.calls(), pattern), dtype)
        number = optimizer._numbers["learning_rate"]
        if not own and id(number) in builder.root.bound:
            return ops.cast(number, dtype)
        if not own and optimizer._rate is not None:
            return ops.cast(builder.variable(optimizer._rate), dtype)
        key = (optimizer.name, "learning rate", id(optimizer), pattern, dtype.name)
        return builder.counter(key, TensorType(dtype), lambda ahead, done: optimizer.rate(0, pattern))

    def advance(self) -> None:
        update(self.optimizer._iterations, ops.add(self.calls(), 1))


def clock_of(optimizer: Optimizer, call: bool = False) -> Clock:
    """The clock of ``optimizer`` in the graph being traced: that of the call of `apply` around, or of the next one.

    Args:
        call: whether this begins a call of `apply`.
    """
    builder = active_builder()
    assert builder is not None
    current: dict[int, Clock] = builder.root.notes.setdefault("clocks", {})
    if not call and id(optimizer) in current:
        return current[id(optimizer)]
    if optimizer._counter is not None or id(optimizer._iterations) in builder.root.bound:
        builder.root.notes.setdefault("counted on the device", {})[id(optimizer)] = optimizer
        return DeviceClock(optimizer)
    return HostClock(optimizer, builder, call)


# ---------------------------------------------------------------- the update


class Update:
    """One call of `Optimizer.apply` in a step."""

    def __init__(self, optimizer: Optimizer) -> None:
        self.optimizer, self.clock = optimizer, clock_of(optimizer, call=True)

    def run(self, pairs: Pairs, examples: Any) -> None:
        """Gather, clip, decay, update, average, constrain."""
        optimizer = self.optimizer
        builder = active_builder()
        assert builder is not None
        clocks = builder.root.notes.setdefault("clocks", {})
        clocks[id(optimizer)] = self.clock
        try:
            self._overwrite([(g, v) for g, v in pairs if overwritten(v)])
            pairs = [(g, v) for g, v in pairs if not overwritten(v)]
            if pairs:
                self._apply(pairs, examples)
            self.clock.advance()
        finally:
            del clocks[id(optimizer)]

    def _apply(self, pairs: Pairs, examples: Any) -> None:
        optimizer = self.optimizer
        pairs = [(ops.cast(gradient, variable.dtype), variable) for gradient, variable in pairs]
        if optimizer.loss_scale_factor is not None:
            pairs = [(ops.divide(g, optimizer.loss_scale_factor), v) for g, v in pairs]
        if self.clock.steps > 1:
            self._gather(pairs, examples)
        else:
            self._update(pairs)
        if optimizer.use_ema:
            self._average()
        for _, variable in pairs:  # after the averages, as in Keras
            if variable.constraint is not None:
                update(variable, constrained(variable.constraint, variable))

    def _gather(self, pairs: Pairs, examples: Any) -> None:
        """Add the gradients up; at the last of so many calls update by their mean."""
        optimizer = self.optimizer
        sums = [optimizer.slot(variable, ACCUMULATOR) for _, variable in pairs]
        counted: Variable | None = optimizer._examples if optimizer.accumulate_examples else None
        if counted is not None:
            if examples is None:
                raise ArgumentError(
                    f"{type(optimizer).__name__} counts examples (accumulate_examples=True): pass their number, "
                    "apply(grads, variables, examples=...)."
                )
            share = ops.cast(examples, float32)
            pairs = [(ops.multiply(g, ops.cast(share, v.dtype)), v) for g, v in pairs]

        total = [ops.add(one, gradient) for one, (gradient, _) in zip(sums, pairs, strict=True)]
        count = self.clock.steps if counted is None else ops.add(counted, share)

        def last() -> None:
            self._update(
                [(ops.divide(g, _like(count, v)), v) for g, (_, v) in zip(total, pairs, strict=True)]
            )
            for one in (*sums, *([] if counted is None else [counted])):
                update(one, ops.zeros_like(one))

        def other() -> None:
            for one, value in zip(sums, total, strict=True):
                update(one, value)
            if counted is not None:
                update(counted, count)

        ops.cond(self.clock.is_update(), last, other)

    def _update(self, pairs: Pairs) -> None:
        """Clip, decay, update."""
        optimizer = self.optimizer
        if optimizer.clipping:
            clipped = clip([gradient for gradient, _ in pairs], optimizer.clipping)
            pairs = [(gradient, variable) for gradient, (_, variable) in zip(clipped, pairs, strict=True)]
        wide = promote(float32, *(variable.dtype for _, variable in pairs))
        rates = [(self._rate(variable, wide), optimizer.decay_of(variable)) for _, variable in pairs]
        if optimizer.decays_by_rule:
            for (gradient, variable), (rate, decay) in zip(pairs, rates, strict=True):
                optimizer.by_rule(gradient, variable, rate, decay)
            return
        for (_, variable), (rate, decay) in zip(pairs, rates, strict=True):
            if decay:
                taken = ops.multiply(ops.multiply(variable, decay), _like(rate, variable))
                update(variable, ops.subtract(variable, taken))
        optimizer.begin_update()
        for (gradient, variable), (rate, _) in zip(pairs, rates, strict=True):
            optimizer.update_step(gradient, variable, rate)

    def _rate(self, variable: Variable, wide: DType) -> Any:
        pattern, group = self.optimizer.group_of(variable)
        return self.clock.rate(pattern if "learning_rate" in group else None, wide)

    def _average(self) -> None:
        """Exponential averages of the new weights; the first is the weight itself. At every call, as in Keras."""
        optimizer = self.optimizer
        iteration = self.clock.iteration()
        momentum = ops.where(ops.equal(iteration, 0), 0.0, optimizer.ema_momentum)
        frequency = optimizer.ema_overwrite_frequency
        overwrite = frequency and ops.equal(ops.remainder(ops.add(iteration, 1), frequency), 0)
        for variable in optimizer._trainable_variables:
            if overwritten(variable):
                continue
            average = optimizer.slot(variable, AVERAGE)
            share = _like(momentum, variable)
            new = ops.add(ops.multiply(average, share), ops.multiply(variable, ops.subtract(1.0, share)))
            update(average, new)
            if frequency:
                update(variable, ops.where(overwrite, new, variable))

    def _overwrite(self, pairs: Pairs) -> None:
        """Let variables become their gradients; of those gathered, the largest."""
        for gradient, variable in pairs:
            if self.clock.steps == 1:
                update(variable, gradient)
                continue
            last = self.clock.is_update()
            gathered = self.optimizer.slot(variable, ACCUMULATOR)
            largest = ops.maximum(ops.cast(gradient, variable.dtype), gathered)
            update(variable, ops.where(last, largest, variable))
            update(gathered, ops.where(last, ops.zeros_like(largest), largest))


def _like(number: Any, variable: Variable) -> Any:
    return number if isinstance(number, int | float) else ops.cast(number, variable.dtype)


def clip(gradients: Sequence[Any], clipping: tuple[str, float]) -> list[Any]:
    """Gradients limited as `Optimizer` says (``clipnorm``, ``clipvalue`` or ``global_clipnorm``)."""
    kind, limit = clipping
    if kind == "clipvalue":
        return [ops.clip(gradient, -limit, limit) for gradient in gradients]

    def scaled(gradient: Any, norm: Any) -> Any:
        return ops.multiply(gradient, ops.divide(limit, ops.maximum(norm, limit)))

    squares = [ops.sum(ops.square(gradient)) for gradient in gradients]
    if kind == "clipnorm":
        return [scaled(g, ops.sqrt(s)) for g, s in zip(gradients, squares, strict=True)]
    total = squares[0]
    for square in squares[1:]:
        total = ops.add(total, square)
    return [scaled(gradient, ops.sqrt(total)) for gradient in gradients]
