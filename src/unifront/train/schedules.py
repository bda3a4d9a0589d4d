"""Learning-rate schedules: from the number of steps done to a rate, with Keras's names and formulas."""

from __future__ import annotations

import bisect
import math
from collections.abc import Sequence
from dataclasses import dataclass

from unifront.arguments import Amount, Positive, checked
from unifront.errors import ArgumentError
from unifront.serialization import Configured


class Schedule(Configured):
    """A learning rate that depends on the number of steps done.

    Raises `ArgumentError` for an argument outside its interval.
    """

    def __call__(self, step: int) -> float:
        """The rate for the step after ``step`` steps. Overridden by every schedule."""
        raise ArgumentError(f"{type(self).__name__} does not define __call__(step).")


@checked
@dataclass(frozen=True)
class ExponentialDecay(Schedule):
    """``initial * decay_rate ** (step / decay_steps)``, by whole powers if ``staircase``."""

    initial_learning_rate: Amount
    decay_steps: Positive
    decay_rate: Amount
    staircase: bool = False
    name: str | None = None

    def __call__(self, step: int) -> float:
        power = step / self.decay_steps
        return self.initial_learning_rate * self.decay_rate ** (
            math.floor(power) if self.staircase else power
        )


@checked
@dataclass(frozen=True)
class InverseTimeDecay(Schedule):
    """``initial / (1 + decay_rate * step / decay_steps)``, by whole periods if ``staircase``."""

    initial_learning_rate: Amount
    decay_steps: Positive
    decay_rate: Amount
    staircase: bool = False
    name: str | None = None

    def __call__(self, step: int) -> float:
        periods = step / self.decay_steps
        return self.initial_learning_rate / (
            1 + self.decay_rate * (math.floor(periods) if self.staircase else periods)
        )


@checked
@dataclass(frozen=True)
class CosineDecay(Schedule):
    """A linear warm-up, then half a cosine (Loshchilov and Hutter 2017).

    Args:
        initial_learning_rate: the rate at the start (of the warm-up, if there is one).
        decay_steps: steps of the decay.
        alpha: the final rate as a share of the highest.
        warmup_target: the rate at the end of the warm-up; None for no warm-up.
        warmup_steps: steps of the warm-up.
    """

    initial_learning_rate: Amount
    decay_steps: Positive
    alpha: Amount = 0.0
    warmup_target: Amount | None = None
    warmup_steps: Amount = 0
    name: str | None = None

    def __call__(self, step: int) -> float:
        top = self.initial_learning_rate if self.warmup_target is None else self.warmup_target
        if self.warmup_target is not None and step < self.warmup_steps:
            done = step / self.warmup_steps
            return self.initial_learning_rate + (top - self.initial_learning_rate) * done
        after = step - (self.warmup_steps if self.warmup_target is not None else 0)
        cosine = 0.5 * (1 + math.cos(math.pi * min(after, self.decay_steps) / self.decay_steps))
        return top * ((1 - self.alpha) * cosine + self.alpha)


@checked
@dataclass(frozen=True)
class PolynomialDecay(Schedule):
    """From the initial to the end rate by a polynomial of degree ``power``.

    Args:
        cycle: whether the rate rises again at the end, for a decay of twice, three times … ``decay_steps``.
    """

    initial_learning_rate: Amount
    decay_steps: Positive
    end_learning_rate: Amount = 1e-4
    power: Amount = 1.0
    cycle: bool = False
    name: str | None = None

    def __call__(self, step: int) -> float:
        steps = self.decay_steps * (max(1, math.ceil(step / self.decay_steps)) if self.cycle else 1)
        left = 1 - min(step, steps) / steps
        return (
            self.initial_learning_rate - self.end_learning_rate
        ) * left**self.power + self.end_learning_rate


@checked
@dataclass(frozen=True)
class PiecewiseConstantDecay(Schedule):
    """``values[i]`` up to and including step ``boundaries[i]``; the boundaries rise."""

    boundaries: Sequence[Amount]
    values: Sequence[Amount]
    name: str | None = None

    def __post_init__(self) -> None:
        if list(self.boundaries) != sorted(self.boundaries):
            raise ArgumentError(f"PiecewiseConstantDecay: boundaries rise, unlike {self.boundaries!r}.")
        if len(self.values) != len(self.boundaries) + 1:
            raise ArgumentError(
                f"PiecewiseConstantDecay takes one value more than boundaries; given were {len(self.values)} "
                f"values and {len(self.boundaries)} boundaries."
            )

    def __call__(self, step: int) -> float:
        return float(self.values[bisect.bisect_left(list(self.boundaries), step)])
