"""What an optimizer does with gradients, as operations of the graph being traced: one path for every optimizer."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from unifront import ops
from unifront.dtypes import bool_, float32, int32, promote
from unifront.errors import ArgumentError, ShapeError
from unifront.ir.types import TensorType
from unifront.layers.constraints import constrained
from unifront.opset.tensor import Builder, active_builder, bind, type_of, update
from unifront.train.optimizers import Optimizer
from unifront.weights import Variable

Pairs = list[tuple[Any, Variable]]


def apply(optimizer: Optimizer, grads: list[Any], variables: list[Variable]) -> None:
    """See `Optimizer.apply`."""
    own = type(optimizer).__name__
    if len(grads) != len(variables):
        raise ArgumentError(f"{own}.apply: {len(grads)} gradients for {len(variables)} variables were given.")
    pairs = [(g, v) for g, v in zip(grads, variables, strict=True) if g is not None]
    if not pairs:
        raise ArgumentError(f"{own}.apply: no variable has a gradient, so there is nothing to update.")
    for gradient, variable in pairs:
        if type_of(gradient) != variable.type:
            raise ShapeError(
                f"{own}.apply: {variable.path} is {variable.type}, its gradient {type_of(gradient)}."
            )
    builder = active_builder()
    if builder is None:
        from unifront.train.jit import call_now

        call_now(
            (apply, optimizer, tuple(id(variable) for _, variable in pairs), str(optimizer.config())),
            lambda *given: apply(optimizer, list(given), [variable for _, variable in pairs]),
            [gradient for gradient, _ in pairs],
        )
        return
    for _, variable in pairs:
        optimizer.slots(variable)
    call = _Call(optimizer, builder)
    steps = optimizer.gradient_accumulation_steps
    if steps is None or steps == 1:
        call.update(pairs)
        return
    sums = [optimizer.slot(variable, "gradient_accumulator") for _, variable in pairs]

    def last() -> None:
        total = [ops.add(one, gradient) for one, (gradient, _) in zip(sums, pairs, strict=True)]
        call.update([(ops.divide(g, steps), v) for g, (_, v) in zip(total, pairs, strict=True)])
        for one in sums:
            update(one, ops.zeros_like(one))

    def other() -> None:
        for one, (gradient, _) in zip(sums, pairs, strict=True):
            update(one, ops.add(one, gradient))

    ops.cond(call.is_update(steps), last, other)


class _Call:
    """One call of `apply` in a step: its counters are its own, so that an optimizer may be applied twice."""

    def __init__(self, optimizer: Optimizer, builder: Builder) -> None:
        done: dict[int, int] = builder.root.notes.setdefault("optimizer calls", {})
        self.optimizer, self.builder, self.done = optimizer, builder, done
        self.number = done.get(id(optimizer), 0)
        done[id(optimizer)] = self.number + 1
        builder.root.notes.setdefault("optimizers", {})[id(optimizer)] = optimizer

    def calls(self, ahead: int, done: int = 0) -> int:
        """How often the optimizer was applied before this call, ``ahead`` runs from now."""
        return self.optimizer.calls + ahead * self.done[id(self.optimizer)] + self.number

    def iterations(self, ahead: int, done: int = 0) -> int:
        """How many updates were done before this call."""
        return self.calls(ahead) // (self.optimizer.gradient_accumulation_steps or 1)

    def is_update(self, steps: int) -> Any:
        """Whether this call updates, a boolean scalar."""
        key = (self.optimizer.name, "is update", id(self.optimizer), self.number)
        return self.builder.counter(
            key, TensorType(bool_), lambda ahead, done: (self.calls(ahead) + 1) % steps == 0
        )

    def iteration(self) -> Any:
        """`iterations` in the graph."""
        key = (self.optimizer.name, "iteration", id(self.optimizer), self.number)
        return self.builder.counter(key, TensorType(int32), self.iterations)

    def rate(self, pattern: str | None, variables: Sequence[Variable]) -> Any:
        """The learning rate of the group called ``pattern``, in the graph."""
        dtype = promote(float32, *(variable.dtype for variable in variables))
        key = (self.optimizer.name, "learning rate", id(self.optimizer), self.number, pattern)

        def value(ahead: int, done: int) -> float:
            return self.optimizer.rate(self.iterations(ahead), pattern)

        return self.builder.counter(key, TensorType(dtype), value)

    def update(self, pairs: Pairs) -> None:
        """Clip, update, average."""
        optimizer = self.optimizer
        if optimizer.clipping:
            clipped = clip([gradient for gradient, _ in pairs], optimizer.clipping)
            pairs = [(gradient, variable) for gradient, (_, variable) in zip(clipped, pairs, strict=True)]
        variables = [variable for _, variable in pairs]
        spec, attributes = optimizer.rule()
        iteration = self.iteration()
        for gradient, variable in pairs:
            pattern, group = optimizer.group_of(variable)
            own = {k: float(v) for k, v in group.items() if k in attributes}
            rate = self.rate(pattern if "learning_rate" in group else None, variables)
            slots = optimizer.slots(variable)[: len(optimizer.slot_names)]
            results = bind(spec, variable, gradient, *slots, iteration, rate, **{**attributes, **own})
            for target, value in zip((variable, *slots), results if slots else (results,), strict=True):
                update(target, value)
        if optimizer.use_ema:
            self._average(variables, iteration)
        for variable in variables:  # after the averages, as in Keras
            if variable.constraint is not None:
                update(variable, constrained(variable.constraint, variable))

    def _average(self, variables: Sequence[Variable], iteration: Any) -> None:
        """Exponential averages of the new weights; the first is the weight itself (Keras)."""
        optimizer = self.optimizer
        momentum = ops.where(ops.equal(iteration, 0), 0.0, optimizer.ema_momentum)
        frequency = optimizer.ema_overwrite_frequency
        overwrite = frequency and ops.equal(ops.remainder(ops.add(iteration, 1), frequency), 0)
        for variable in variables:
            average = optimizer.slot(variable, "average")
            share = ops.cast(momentum, variable.dtype)
            new = ops.add(ops.multiply(average, share), ops.multiply(variable, ops.subtract(1.0, share)))
            update(average, new)
            if frequency:
                update(variable, ops.where(overwrite, new, variable))


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
