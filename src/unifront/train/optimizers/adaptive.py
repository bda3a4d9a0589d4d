"""Adam and what came of it: steps by two moments of the gradients."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Annotated, Any, Unpack

from unifront import ops
from unifront.arguments import Amount, Count, Share, in_order, within
from unifront.opset.optimize import ADAM_UPDATE
from unifront.opset.powers import one_minus_power
from unifront.opset.spec import OpSpec
from unifront.train.optimizers.optimizer import (
    SHARED,
    DecayedOptions,
    LearningRate,
    Optimizer,
    OptimizerOptions,
)
from unifront.train.optimizers.state import COPY, Plan
from unifront.weights import Variable


def moments(gradient: Any, slots: Sequence[Any], beta_1: float, beta_2: float) -> tuple[Any, Any]:
    """The moving means of gradients and of their squares, with ``gradient`` taken in."""
    mean, square = slots
    return mean + (gradient - mean) * (1 - beta_1), square + (ops.square(gradient) - square) * (1 - beta_2)


def adam_change(
    mean: Any, square: Any, step: Any, rate: Any, beta_1: float, beta_2: float, epsilon: float
) -> Any:
    """What Adam takes off a weight, by the moments of this step (Kingma and Ba 2015, section 2)."""
    root = ops.sqrt(one_minus_power(beta_2, step)) if beta_2 else 1.0
    alpha = rate * root / one_minus_power(beta_1, step)
    return mean * alpha / (ops.sqrt(square) + epsilon)


class Adam(Optimizer):
    """Adam (Kingma and Ba 2015), with Keras's epsilon, which stands outside the bias correction.

    Args:
        beta_1, beta_2: the shares that the means of gradients and of their squares keep of themselves.
        amsgrad: divide by the largest mean square so far (Reddi et al. 2018).
    """

    slot_names: tuple[str, ...] = ("momentum", "velocity")
    arguments = ("beta_1", "beta_2", "epsilon", "amsgrad")

    @in_order(*SHARED)
    def __init__(
        self, learning_rate: LearningRate = 0.001, beta_1: Share = 0.9, beta_2: Share = 0.999,
        epsilon: Amount = 1e-7, amsgrad: bool = False, **options: Unpack[OptimizerOptions],
    ) -> None:  # fmt: skip
        super().__init__(learning_rate, **options)
        self.beta_1, self.beta_2, self.epsilon, self.amsgrad = beta_1, beta_2, epsilon, amsgrad
        if amsgrad:
            self.slot_names = ("momentum", "velocity", "velocity_hat")

    def slot_rounds(self) -> Sequence[Sequence[str]]:
        return self.slot_names[:2], self.slot_names[2:]

    def rule(self) -> tuple[OpSpec, Mapping[str, Any]] | None:
        if self.amsgrad:
            return None
        return ADAM_UPDATE, {"beta_1": self.beta_1, "beta_2": self.beta_2, "epsilon": self.epsilon}

    def formula(
        self, weight: Any, gradient: Any, *slots: Any, learning_rate: Any, step: Any
    ) -> tuple[Any, ...]:
        mean, square = moments(gradient, slots[:2], self.beta_1, self.beta_2)
        largest = ops.maximum(slots[2], square)
        change = adam_change(mean, largest, step, learning_rate, self.beta_1, self.beta_2, self.epsilon)
        return weight - change, mean, square, largest


class AdamW(Adam):
    """Adam with decoupled weight decay (Loshchilov and Hutter 2019)."""

    @in_order(*SHARED[1:])
    def __init__(
        self, learning_rate: LearningRate = 0.001, weight_decay: Amount = 0.004, beta_1: Share = 0.9,
        beta_2: Share = 0.999, epsilon: Amount = 1e-7, amsgrad: bool = False,
        **options: Unpack[DecayedOptions],
    ) -> None:  # fmt: skip
        super().__init__(
            learning_rate, beta_1, beta_2, epsilon, amsgrad, weight_decay=weight_decay, **options
        )


class Adamax(Optimizer):
    """Adam by the largest gradient in place of the mean square (Kingma and Ba 2015, section 7)."""

    slot_names = ("momentum", "norm")
    arguments = ("beta_1", "beta_2", "epsilon")

    @in_order(*SHARED)
    def __init__(
        self, learning_rate: LearningRate = 0.001, beta_1: Share = 0.9, beta_2: Share = 0.999,
        epsilon: Amount = 1e-7, **options: Unpack[OptimizerOptions],
    ) -> None:  # fmt: skip
        super().__init__(learning_rate, **options)
        self.beta_1, self.beta_2, self.epsilon = beta_1, beta_2, epsilon

    def formula(
        self, weight: Any, gradient: Any, *slots: Any, learning_rate: Any, step: Any
    ) -> tuple[Any, ...]:
        mean, norm = slots
        mean = mean + (gradient - mean) * (1 - self.beta_1)
        norm = ops.maximum(self.beta_2 * norm, ops.abs(gradient))
        change = learning_rate / one_minus_power(self.beta_1, step) * mean / (norm + self.epsilon)
        return weight - change, mean, norm


class Nadam(Optimizer):
    """Adam with Nesterov's momentum (Dozat 2016)."""

    slot_names = ("momentum", "velocity")
    arguments = ("beta_1", "beta_2", "epsilon")
    DECAY = 0.96
    """Of the paper's schedule of momentum."""

    @in_order(*SHARED)
    def __init__(
        self, learning_rate: LearningRate = 0.001, beta_1: Share = 0.9, beta_2: Share = 0.999,
        epsilon: Amount = 1e-7, **options: Unpack[OptimizerOptions],
    ) -> None:  # fmt: skip
        super().__init__(learning_rate, **options)
        self.beta_1, self.beta_2, self.epsilon = beta_1, beta_2, epsilon
        self._product: Variable | None = None

    def build(self, variables: Sequence[Variable]) -> None:
        """Make the slots of ``variables``, and the product of the momenta so far."""
        super().build(variables)
        if self._product is None:
            dtype = variables[0].dtype if variables else "float32"
            self._product = self.add_variable((), "ones", dtype, name="momentum_product")

    grows = True

    def _momentum(self, step: Any) -> Any:
        return self.beta_1 * (1.0 - 0.5 * ops.power(self.DECAY, step))

    def begin_update(self) -> None:
        assert self._product is not None
        step = ops.cast(ops.add(self.iterations, 1), self._product.dtype)
        self.assign(self._product, ops.multiply(self._product, self._momentum(step)))

    def formula(
        self, weight: Any, gradient: Any, *slots: Any, learning_rate: Any, step: Any
    ) -> tuple[Any, ...]:
        now, after = self._momentum(step), self._momentum(step + 1)
        product = ops.cast(self._product, step.dtype)
        mean, square = moments(gradient, slots, self.beta_1, self.beta_2)
        ahead = after * mean / (1 - product * after) + (1 - now) * gradient / (1 - product)
        root = ops.sqrt(square / one_minus_power(self.beta_2, step))
        return weight - ahead * learning_rate / (root + self.epsilon), mean, square


class Lamb(Optimizer):
    """Adam with steps as large as the weights of each variable are, for large batches (You et al. 2020)."""

    slot_names = ("momentum", "velocity")
    arguments = ("beta_1", "beta_2", "epsilon")

    @in_order(*SHARED)
    def __init__(
        self, learning_rate: LearningRate = 0.001, beta_1: Share = 0.9, beta_2: Share = 0.999,
        epsilon: Amount = 1e-7, **options: Unpack[OptimizerOptions],
    ) -> None:  # fmt: skip
        super().__init__(learning_rate, **options)
        self.beta_1, self.beta_2, self.epsilon = beta_1, beta_2, epsilon

    def formula(
        self, weight: Any, gradient: Any, *slots: Any, learning_rate: Any, step: Any
    ) -> tuple[Any, ...]:
        mean, square = moments(gradient, slots, self.beta_1, self.beta_2)
        root = ops.sqrt(square / one_minus_power(self.beta_2, step)) + self.epsilon
        change = mean / one_minus_power(self.beta_1, step) / root
        size, length = (ops.sqrt(ops.sum(ops.square(one))) for one in (weight, change))
        usable = ops.logical_and(size > 0, length > 0)
        ratio = ops.where(usable, size / ops.where(usable, length, 1.0), 1.0)
        return weight - ratio * learning_rate * change, mean, square


class ScheduleFreeAdamW(Optimizer):
    """AdamW that averages its steps in place of a falling rate (Defazio et al. 2024, arXiv:2405.15682).

    The weights are those that gradients are taken at (the paper's y), as in Keras. The slot ``momentum`` is the
    sequence of steps, z.

    Args:
        beta_1: the share of the average in the weights, in (0, 1).
        warmup_steps: steps in which the rate rises from zero.
    """

    slot_names = ("momentum", "velocity")
    arguments = ("beta_1", "beta_2", "epsilon", "warmup_steps")

    @in_order(*SHARED)
    def __init__(
        self, learning_rate: LearningRate = 0.0025, beta_1: Annotated[float, within("(0, 1)")] = 0.9,
        beta_2: Share = 0.999, epsilon: Amount = 1e-8, warmup_steps: Count = 0,
        **options: Unpack[OptimizerOptions],
    ) -> None:  # fmt: skip
        super().__init__(learning_rate, **options)
        self.beta_1, self.beta_2, self.epsilon, self.warmup_steps = beta_1, beta_2, epsilon, warmup_steps

    def slot_plan(self, variable: Variable) -> Plan:
        return {"momentum": (variable.shape, COPY), "velocity": (variable.shape, 0.0)}

    def formula(
        self, weight: Any, gradient: Any, *slots: Any, learning_rate: Any, step: Any
    ) -> tuple[Any, ...]:
        before, square = slots
        if self.warmup_steps:
            learning_rate = learning_rate * ops.minimum(step / self.warmup_steps, 1.0)
        square = square + (ops.square(gradient) - square) * (1 - self.beta_2)
        root = ops.sqrt(square / one_minus_power(self.beta_2, step)) + self.epsilon
        after = before - learning_rate * gradient / root
        average = (weight - (1 - self.beta_1) * before) / self.beta_1
        share = 1.0 / step
        average = (1 - share) * average + share * after
        return (1 - self.beta_1) * after + self.beta_1 * average, after, square
