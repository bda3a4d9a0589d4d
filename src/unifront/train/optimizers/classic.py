"""Optimizers of one or two slots: gradient descent, and steps scaled by past gradients."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Annotated, Any, Unpack

from unifront import ops
from unifront.arguments import Amount, Fraction, Share, in_order, within
from unifront.opset.optimize import (
    ADAGRAD_UPDATE,
    LION_UPDATE,
    MOMENTUM_UPDATE,
    RMSPROP_UPDATE,
    SGD_UPDATE,
)
from unifront.opset.spec import OpSpec
from unifront.train.optimizers.optimizer import SHARED, LearningRate, Optimizer, OptimizerOptions

Rule = tuple[OpSpec, Mapping[str, Any]]


class SGD(Optimizer):
    """Gradient descent, with momentum and Nesterov's form (Sutskever et al. 2013)."""

    arguments = ("momentum", "nesterov")

    @in_order(*SHARED)
    def __init__(
        self, learning_rate: LearningRate = 0.01, momentum: Fraction = 0.0, nesterov: bool = False,
        **options: Unpack[OptimizerOptions],
    ) -> None:  # fmt: skip
        super().__init__(learning_rate, **options)
        self.momentum, self.nesterov = momentum, nesterov
        self.slot_names = ("momentum",) if momentum else ()

    def rule(self) -> Rule | None:
        if not self.momentum:
            return SGD_UPDATE, {}
        return MOMENTUM_UPDATE, {"momentum": self.momentum, "nesterov": self.nesterov}


class RMSprop(Optimizer):
    """Steps divided by a moving root mean square of the gradients (Tieleman and Hinton 2012).

    Args:
        rho: the share that the mean keeps of itself.
        momentum: the share that the step keeps of the one before.
        centered: divide by the estimated standard deviation instead.
    """

    arguments = ("rho", "momentum", "epsilon", "centered")

    @in_order(*SHARED)
    def __init__(
        self, learning_rate: LearningRate = 0.001, rho: Fraction = 0.9, momentum: Fraction = 0.0,
        epsilon: Amount = 1e-7, centered: bool = False, **options: Unpack[OptimizerOptions],
    ) -> None:  # fmt: skip
        super().__init__(learning_rate, **options)
        self.rho, self.momentum, self.epsilon, self.centered = rho, momentum, epsilon, centered
        more = {"momentum": momentum > 0, "average_gradient": centered}
        self.slot_names = ("velocity", *(name for name, is_there in more.items() if is_there))

    def slot_rounds(self) -> Sequence[Sequence[str]]:
        return [(name,) for name in self.slot_names]

    def rule(self) -> Rule | None:
        if len(self.slot_names) > 1:
            return None
        return RMSPROP_UPDATE, {"rho": self.rho, "epsilon": self.epsilon}

    def formula(
        self, weight: Any, gradient: Any, *slots: Any, learning_rate: Any, step: Any
    ) -> tuple[Any, ...]:
        state = dict(zip(self.slot_names, slots, strict=True))
        kept = self.rho
        state["velocity"] = kept * state["velocity"] + (1 - kept) * ops.square(gradient)
        spread = state["velocity"]
        if self.centered:
            state["average_gradient"] = kept * state["average_gradient"] + (1 - kept) * gradient
            spread = spread - ops.square(state["average_gradient"])
        change = learning_rate * gradient / ops.sqrt(spread + self.epsilon)
        if self.momentum > 0:
            change = state["momentum"] = self.momentum * state["momentum"] + change
        return (weight - change, *state.values())


class Adagrad(Optimizer):
    """Steps divided by the root of the sum of squared gradients (Duchi et al. 2011)."""

    slot_names = ("accumulator",)
    arguments = ("initial_accumulator_value", "epsilon")

    @in_order(*SHARED)
    def __init__(
        self, learning_rate: LearningRate = 0.001, initial_accumulator_value: Amount = 0.1,
        epsilon: Amount = 1e-7, **options: Unpack[OptimizerOptions],
    ) -> None:  # fmt: skip
        super().__init__(learning_rate, **options)
        self.initial_accumulator_value, self.epsilon = initial_accumulator_value, epsilon

    def initial(self, slot: str) -> float:
        return self.initial_accumulator_value

    def rule(self) -> Rule | None:
        return ADAGRAD_UPDATE, {"epsilon": self.epsilon}


class Adadelta(Optimizer):
    """Steps in the units of the weights: by the ratio of two moving root mean squares (Zeiler 2012)."""

    slot_names = ("accumulated_grad", "accumulated_delta_var")
    arguments = ("rho", "epsilon")

    @in_order(*SHARED)
    def __init__(
        self, learning_rate: LearningRate = 0.001, rho: Fraction = 0.95, epsilon: Amount = 1e-7,
        **options: Unpack[OptimizerOptions],
    ) -> None:  # fmt: skip
        super().__init__(learning_rate, **options)
        self.rho, self.epsilon = rho, epsilon

    def formula(
        self, weight: Any, gradient: Any, *slots: Any, learning_rate: Any, step: Any
    ) -> tuple[Any, ...]:
        squares, changes = slots
        squares = self.rho * squares + (1 - self.rho) * ops.square(gradient)
        change = ops.sqrt(changes + self.epsilon) * gradient / ops.sqrt(squares + self.epsilon)
        changes = self.rho * changes + (1 - self.rho) * ops.square(change)
        return weight - learning_rate * change, squares, changes


class Ftrl(Optimizer):
    """Follow the regularized leader: sparse weights by an exact L1 penalty (McMahan et al. 2013).

    Args:
        learning_rate_power: how fast the rate falls as squared gradients add up; 0 keeps it.
        l1_regularization_strength, l2_regularization_strength: penalties on the weights.
        l2_shrinkage_regularization_strength: a penalty on their size, which acts on the gradient alone.
        beta: of the paper.
    """

    slot_names = ("accumulator", "linear")
    arguments = (
        "learning_rate_power", "initial_accumulator_value", "l1_regularization_strength",
        "l2_regularization_strength", "l2_shrinkage_regularization_strength", "beta",
    )  # fmt: skip

    @in_order(*SHARED)
    def __init__(
        self, learning_rate: LearningRate = 0.001,
        learning_rate_power: Annotated[float, within("(-inf, 0]")] = -0.5,
        initial_accumulator_value: Amount = 0.1, l1_regularization_strength: Amount = 0.0,
        l2_regularization_strength: Amount = 0.0, l2_shrinkage_regularization_strength: Amount = 0.0,
        beta: Amount = 0.0, **options: Unpack[OptimizerOptions],
    ) -> None:  # fmt: skip
        super().__init__(learning_rate, **options)
        self.learning_rate_power = learning_rate_power
        self.initial_accumulator_value = initial_accumulator_value
        self.l1_regularization_strength = l1_regularization_strength
        self.l2_regularization_strength = l2_regularization_strength
        self.l2_shrinkage_regularization_strength = l2_shrinkage_regularization_strength
        self.beta = beta

    def initial(self, slot: str) -> float:
        return self.initial_accumulator_value if slot == "accumulator" else 0.0

    def formula(
        self, weight: Any, gradient: Any, *slots: Any, learning_rate: Any, step: Any
    ) -> tuple[Any, ...]:
        accumulator, linear = slots
        power, l1 = -self.learning_rate_power, self.l1_regularization_strength
        new = accumulator + ops.square(gradient)
        rise = (ops.power(new, power) - ops.power(accumulator, power)) / learning_rate
        shrunk = gradient + 2 * self.l2_shrinkage_regularization_strength * weight
        linear = linear + (shrunk - rise * weight)
        l2 = self.l2_regularization_strength + self.beta / (2.0 * learning_rate)
        quadratic = ops.power(new, power) / learning_rate + 2 * l2
        return (ops.clip(linear, -l1, l1) - linear) / quadratic, new, linear


class Lion(Optimizer):
    """Steps of one size, the sign of an interpolated momentum (Chen et al. 2023)."""

    slot_names = ("momentum",)
    arguments = ("beta_1", "beta_2")

    @in_order(*SHARED)
    def __init__(
        self, learning_rate: LearningRate = 0.001, beta_1: Annotated[float, within("(0, 1]")] = 0.9,
        beta_2: Share = 0.99, **options: Unpack[OptimizerOptions],
    ) -> None:  # fmt: skip
        super().__init__(learning_rate, **options)
        self.beta_1, self.beta_2 = beta_1, beta_2

    def rule(self) -> Rule | None:
        return LION_UPDATE, {"beta_1": self.beta_1, "beta_2": self.beta_2}
