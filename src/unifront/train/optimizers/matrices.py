"""Optimizers that look at a matrix as a whole."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from typing import Annotated, Any, Unpack

from unifront import ops
from unifront.arguments import Amount, Count, Fraction, Positive, Real, Share, checked, in_order, within
from unifront.train.optimizers.adaptive import adam_change, moments
from unifront.train.optimizers.optimizer import (
    SHARED,
    DecayedOptions,
    LearningRate,
    Optimizer,
    OptimizerOptions,
)
from unifront.train.optimizers.state import Plan
from unifront.weights import Variable


def _root_mean_square(x: Any) -> Any:
    return ops.sqrt(ops.mean(ops.square(x)))


class Adafactor(Optimizer):
    """Adam in little memory: of squared gradients of a matrix the means of rows and columns (Shazeer and Stern 2018).

    Args:
        beta_2_decay: the mean of squares forgets by ``1 - step ** beta_2_decay``.
        epsilon_1: added to squared gradients.
        epsilon_2: the least scale of a weight.
        clip_threshold: the root mean square that a step is limited to.
        relative_step: limit the rate to ``1 / sqrt(step)``; a schedule is taken as it is.
    """

    slot_names = ("rows", "columns", "velocity")
    arguments = ("beta_2_decay", "epsilon_1", "epsilon_2", "clip_threshold", "relative_step")

    @in_order(*SHARED)
    def __init__(
        self, learning_rate: LearningRate = 0.001, beta_2_decay: Annotated[float, within("(-inf, 0]")] = -0.8,
        epsilon_1: Amount = 1e-30, epsilon_2: Amount = 1e-3, clip_threshold: Positive = 1.0,
        relative_step: bool = True, **options: Unpack[OptimizerOptions],
    ) -> None:  # fmt: skip
        super().__init__(learning_rate, **options)
        self.beta_2_decay, self.epsilon_1, self.epsilon_2 = beta_2_decay, epsilon_1, epsilon_2
        self.clip_threshold, self.relative_step = clip_threshold, relative_step

    def slot_plan(self, variable: Variable) -> Plan:
        shape = variable.shape
        plan: Plan = {}
        if len(shape) >= 2:
            plan = {"rows": (shape[:-1], 0.0), "columns": ((*shape[:-2], shape[-1]), 0.0)}
        return {**plan, "velocity": (shape, 0.0)}

    def formula(
        self, weight: Any, gradient: Any, *slots: Any, learning_rate: Any, step: Any
    ) -> tuple[Any, ...]:
        slowest = 1 / ops.sqrt(step)
        if self.relative_step and self.schedule is None:
            learning_rate = ops.minimum(learning_rate, slowest)
        rate = ops.minimum(learning_rate, slowest)
        rate = ops.maximum(_root_mean_square(weight), self.epsilon_2) * rate
        forgets = ops.power(step, self.beta_2_decay)

        def moved(mean: Any, new: Any) -> Any:
            return (1 - forgets) * mean + forgets * new

        square = ops.square(gradient) + self.epsilon_1
        *factors, velocity = slots
        if factors:
            rows, columns = (
                moved(m, ops.mean(square, axis=a)) for m, a in zip(factors, (-1, -2), strict=True)
            )
            factors = [rows, columns]
            shares = ops.expand_dims(rows / ops.mean(rows, axis=-1, keepdims=True), -1)
            velocity = shares * ops.expand_dims(columns, -2)
        else:
            velocity = moved(velocity, square)
        change = gradient / ops.sqrt(velocity)
        change = change / ops.maximum(_root_mean_square(change) / self.clip_threshold, 1.0)
        return weight - rate * change, *factors, velocity


class Muon(Optimizer):
    """Momentum made orthogonal, for hidden matrices; AdamW for all else (Jordan 2024; Liu et al. 2025).

    AdamW updates what is no matrix, embeddings, and what ``exclude_layers`` names, which at least the last layer
    should be. Sources: https://kellerjordan.github.io/posts/muon, arXiv:2502.16982.

    Args:
        adam_beta_1, adam_beta_2, adam_weight_decay, epsilon: of AdamW.
        exclude_layers: regular expressions; AdamW updates the weights in whose path one is found.
        exclude_embeddings: whether AdamW updates weights with "embedding" in their path.
        muon_a, muon_b, muon_c: coefficients of the Newton-Schulz iteration.
        adam_lr_ratio: AdamW's rate as a multiple of the rate.
        momentum: the share that the momentum keeps of itself.
        ns_steps: Newton-Schulz iterations.
        nesterov: Nesterov's form of the momentum.
        rms_rate: the root mean square of a step at the rate 1, about that of Adam's; None for steps of norm 1.
    """

    slot_names = ("momentum", "velocity")
    arguments = (
        "adam_beta_1", "adam_beta_2", "adam_weight_decay", "epsilon", "exclude_layers", "exclude_embeddings",
        "muon_a", "muon_b", "muon_c", "adam_lr_ratio", "momentum", "ns_steps", "nesterov", "rms_rate",
    )  # fmt: skip

    @checked
    def __init__(
        self, learning_rate: LearningRate = 0.001, adam_beta_1: Share = 0.9, adam_beta_2: Share = 0.999,
        adam_weight_decay: Amount | None = 0.004, epsilon: Amount = 1e-7, weight_decay: Amount | None = 0.004,
        exclude_layers: Sequence[str] | None = None, exclude_embeddings: bool = True,
        muon_a: Real = 3.4445, muon_b: Real = -4.7750, muon_c: Real = 2.0315, adam_lr_ratio: Amount = 1.0,
        momentum: Fraction = 0.95, ns_steps: Count = 5, nesterov: bool = True,
        rms_rate: Amount | None = 0.2, **options: Unpack[DecayedOptions],
    ) -> None:  # fmt: skip
        super().__init__(learning_rate, weight_decay=weight_decay, **options)
        self.adam_beta_1, self.adam_beta_2, self.adam_weight_decay = (
            adam_beta_1,
            adam_beta_2,
            adam_weight_decay,
        )
        self.epsilon, self.momentum, self.ns_steps, self.nesterov = epsilon, momentum, ns_steps, nesterov
        self.exclude_layers, self.exclude_embeddings = list(exclude_layers or ()), exclude_embeddings
        self.muon_a, self.muon_b, self.muon_c = muon_a, muon_b, muon_c
        self.adam_lr_ratio, self.rms_rate = adam_lr_ratio, rms_rate

    def uses_adamw(self, variable: Variable) -> bool:
        """Whether ``variable`` is updated by AdamW."""
        if len(variable.shape) != 2 or (self.exclude_embeddings and "embedding" in variable.path.lower()):
            return True
        return any(re.search(pattern, variable.path) for pattern in self.exclude_layers)

    def slot_plan(self, variable: Variable) -> Plan:
        names = self.slot_names if self.uses_adamw(variable) else self.slot_names[:1]
        return dict.fromkeys(names, (variable.shape, 0.0))

    def decay_by_default(self, variable: Variable) -> float:
        return (self.adam_weight_decay if self.uses_adamw(variable) else self.weight_decay) or 0.0

    def formula(
        self, weight: Any, gradient: Any, *slots: Any, learning_rate: Any, step: Any
    ) -> tuple[Any, ...]:
        if len(slots) == 2:
            betas = (self.adam_beta_1, self.adam_beta_2)
            mean, square = moments(gradient, slots, *betas)
            rate = learning_rate * self.adam_lr_ratio
            return weight - adam_change(mean, square, step, rate, *betas, self.epsilon), mean, square
        momentum = slots[0] + (gradient + slots[0] * (self.momentum - 1))
        direction = gradient + self.momentum * momentum if self.nesterov else momentum
        change = self.zeropower_via_newtonschulz5(direction, self.ns_steps)
        return weight - self.lr_adjust(learning_rate * change), momentum

    def lr_adjust(self, x: Any) -> Any:
        """A step of a matrix scaled as ``rms_rate`` says (Liu et al. 2025)."""
        if self.rms_rate is None:
            return x
        return x * (math.sqrt(max(x.shape[-2], x.shape[-1])) * self.rms_rate)

    def zeropower_via_newtonschulz5(self, x: Any, steps: int) -> Any:
        """Nearly the orthogonal matrix closest to ``x``: a quintic iteration that brings singular values towards 1."""
        tall = x.shape[-2] > x.shape[-1]
        x = ops.swapaxes(x, -1, -2) if tall else x
        x = ops.divide(x, ops.add(ops.sqrt(ops.sum(ops.square(x), axis=(-2, -1), keepdims=True)), 1e-7))
        for _ in range(steps):
            product = ops.matmul(x, ops.swapaxes(x, -1, -2))
            higher = ops.add(
                ops.multiply(product, self.muon_b), ops.multiply(ops.matmul(product, product), self.muon_c)
            )
            x = ops.add(ops.multiply(x, self.muon_a), ops.matmul(higher, x))
        return ops.swapaxes(x, -1, -2) if tall else x
