"""Learning-rate schedules: from the number of steps done to a rate, with Keras's names and formulas.

A schedule takes a number, which gives a Python float, or a tensor of a graph being traced, which gives a tensor.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from unifront import ops
from unifront.arguments import Amount, Positive, Share, checked
from unifront.backends import backend_of
from unifront.dtypes import float32, promote
from unifront.errors import ArgumentError
from unifront.opset.tensor import Tensor, is_tensor, to_numpy, type_of
from unifront.serialization import Configured, deserialize_keras_object, serialize_keras_object
from unifront.weights import Variable

__all__ = [
    "CosineDecay", "CosineDecayRestarts", "ExponentialDecay", "InverseTimeDecay", "LearningRateSchedule", "OneCycle",
    "PiecewiseConstantDecay", "PolynomialDecay", "deserialize", "serialize",
]  # fmt: skip


def __dir__() -> list[str]:
    return __all__


class LearningRateSchedule(Configured):
    """A learning rate that depends on the number of steps done. Subclasses define ``__call__(step)``.

    Raises `ArgumentError` for an argument outside its interval. Source: ``keras.optimizers.schedules``.

    Example::

        class Halving(uf.optimizers.schedules.LearningRateSchedule):
            def __call__(self, step):
                return 0.1 * 0.5 ** (step // 100)
    """

    def __call__(self, step: Any) -> Any:
        """The rate for the step after ``step`` steps. Overridden by every schedule."""
        raise ArgumentError(f"{type(self).__name__} does not define __call__(step).")


Schedule = LearningRateSchedule


class _Numbers:
    """Arithmetic of Python's numbers."""

    floor, ceil, cos, log = math.floor, math.ceil, math.cos, math.log

    @staticmethod
    def minimum(x: float, y: float) -> float:
        return min(x, y)

    @staticmethod
    def equal(x: float, y: float) -> bool:
        return x == y

    @staticmethod
    def where(condition: bool, x: float, y: float) -> float:
        return x if condition else y

    @staticmethod
    def power(x: float, y: float) -> float:
        return float(np.power(float(x), float(y)))


class _Formula(LearningRateSchedule):
    """A schedule whose formula is written once, for numbers and tensors."""

    def __call__(self, step: Any) -> Any:
        """The rate for the step after ``step`` steps: a float, or a tensor for a tensor of a graph."""
        if isinstance(step, Tensor):
            wide = promote(float32, *([step.dtype] if step.dtype.is_float else []))
            return self._rate(ops.cast(step, wide), ops)
        if isinstance(step, Variable) or is_tensor(step):
            backend = backend_of(step)
            if (
                backend is not None and backend.device_of(step) is None
            ):  # traced by its framework: no value yet
                wide = promote(float32, *([type_of(step).dtype] if type_of(step).dtype.is_float else []))
                return self._rate(ops.cast(step, wide), ops)
            step = to_numpy(step.numpy() if isinstance(step, Variable) else step).item()
        return float(self._rate(float(step), _Numbers))

    def _rate(self, step: Any, of: Any) -> Any:
        """The rate, by the functions of ``of``."""
        raise NotImplementedError


@checked
@dataclass(frozen=True)
class ExponentialDecay(_Formula):
    """``initial * decay_rate ** (step / decay_steps)``, by whole powers if ``staircase``."""

    initial_learning_rate: Amount
    decay_steps: Positive
    decay_rate: Amount
    staircase: bool = False
    name: str | None = "ExponentialDecay"

    def _rate(self, step: Any, of: Any) -> Any:
        power = step / self.decay_steps
        return self.initial_learning_rate * of.power(
            self.decay_rate, of.floor(power) if self.staircase else power
        )


@checked
@dataclass(frozen=True)
class InverseTimeDecay(_Formula):
    """``initial / (1 + decay_rate * step / decay_steps)``, by whole periods if ``staircase``."""

    initial_learning_rate: Amount
    decay_steps: Positive
    decay_rate: Amount
    staircase: bool = False
    name: str | None = "InverseTimeDecay"

    def _rate(self, step: Any, of: Any) -> Any:
        periods = step / self.decay_steps
        return self.initial_learning_rate / (
            1 + self.decay_rate * (of.floor(periods) if self.staircase else periods)
        )


@checked
@dataclass(frozen=True)
class CosineDecay(_Formula):
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
    name: str | None = "CosineDecay"
    warmup_target: Amount | None = None
    warmup_steps: Amount = 0

    def _rate(self, step: Any, of: Any) -> Any:
        if self.warmup_target is None:
            return self.initial_learning_rate * self._share(step, of)
        done = step / max(self.warmup_steps, 1)
        rising = self.initial_learning_rate + (self.warmup_target - self.initial_learning_rate) * done
        falling = self.warmup_target * self._share(step - self.warmup_steps, of)
        return of.where(step < self.warmup_steps, rising, falling)

    def _share(self, step: Any, of: Any) -> Any:
        cosine = 0.5 * (1 + of.cos(math.pi * (of.minimum(step, self.decay_steps) / self.decay_steps)))
        return (1 - self.alpha) * cosine + self.alpha


@checked
@dataclass(frozen=True)
class CosineDecayRestarts(_Formula):
    """Half a cosine again and again, each time longer and lower (SGDR; Loshchilov and Hutter 2017).

    Args:
        first_decay_steps: steps of the first period.
        t_mul: how many times longer each period is than the one before it.
        m_mul: how many times higher it begins.
        alpha: the lowest rate as a share of the first.
    """

    initial_learning_rate: Amount
    first_decay_steps: Positive
    t_mul: Positive = 2.0
    m_mul: Amount = 1.0
    alpha: Amount = 0.0
    name: str | None = "SGDRDecay"

    def _rate(self, step: Any, of: Any) -> Any:
        done = step / self.first_decay_steps
        if self.t_mul == 1.0:
            period = of.floor(done)
            done = done - period
        else:
            period = of.floor(of.log(1.0 - done * (1.0 - self.t_mul)) / math.log(self.t_mul))
            length = of.power(self.t_mul, period)
            done = (done - (1.0 - length) / (1.0 - self.t_mul)) / length
        cosine = 0.5 * of.power(self.m_mul, period) * (1.0 + of.cos(math.pi * done))
        return self.initial_learning_rate * ((1 - self.alpha) * cosine + self.alpha)


@checked
@dataclass(frozen=True)
class PolynomialDecay(_Formula):
    """From the initial to the end rate by a polynomial of degree ``power``.

    Args:
        cycle: whether the rate rises again at the end, for a decay of twice, three times … ``decay_steps``.
    """

    initial_learning_rate: Amount
    decay_steps: Positive
    end_learning_rate: Amount = 1e-4
    power: Amount = 1.0
    cycle: bool = False
    name: str | None = "PolynomialDecay"

    def _rate(self, step: Any, of: Any) -> Any:
        if self.cycle:
            cycles = of.where(of.equal(step, 0), 1.0, of.ceil(step / self.decay_steps))
            done = step / (self.decay_steps * cycles)
        else:
            done = of.minimum(step, self.decay_steps) / self.decay_steps
        change = self.initial_learning_rate - self.end_learning_rate
        return change * of.power(1 - done, self.power) + self.end_learning_rate


@checked
@dataclass(frozen=True)
class PiecewiseConstantDecay(_Formula):
    """``values[i]`` up to and including step ``boundaries[i]``; the boundaries rise."""

    boundaries: Sequence[Amount]
    values: Sequence[Amount]
    name: str | None = "PiecewiseConstant"

    def __post_init__(self) -> None:
        if list(self.boundaries) != sorted(self.boundaries):
            raise ArgumentError(f"PiecewiseConstantDecay: boundaries rise, unlike {self.boundaries!r}.")
        if len(self.values) != len(self.boundaries) + 1:
            raise ArgumentError(
                "PiecewiseConstantDecay takes one value more than boundaries: the length of boundaries should be 1 "
                f"less than that of values; given were {len(self.values)} values and {len(self.boundaries)} boundaries."
            )

    def _rate(self, step: Any, of: Any) -> Any:
        rate: Any = self.values[-1]
        for boundary, value in zip(reversed(self.boundaries), reversed(self.values[:-1]), strict=True):
            rate = of.where(step <= boundary, value, rate)
        return rate


@checked
@dataclass(frozen=True)
class OneCycle(_Formula):
    """One rise and one longer fall, both by half a cosine (Smith 2018, arXiv:1803.09820; fastai, PyTorch's OneCycleLR).

    Args:
        maximal_learning_rate: the rate at the top.
        total_steps: steps of rise and fall together; after them the rate stays at its lowest.
        share_rising: the share of the steps in which it rises.
        initial_divisor: the top is so many times the rate at the start.
        final_divisor: the start is so many times the rate at the end.

    Example::

        uf.optimizers.SGD(uf.optimizers.schedules.OneCycle(0.1, total_steps=1000), momentum=0.9)
    """

    maximal_learning_rate: Amount
    total_steps: Positive
    share_rising: Share = 0.3
    initial_divisor: Positive = 25.0
    final_divisor: Positive = 1e4
    name: str | None = "OneCycle"

    def _rate(self, step: Any, of: Any) -> Any:
        first = self.maximal_learning_rate / self.initial_divisor
        last = first / self.final_divisor
        end = max(self.total_steps - 1, 1.0)
        top = max(self.share_rising * self.total_steps - 1, 0.0)

        def between(start: float, stop: float, done: Any) -> Any:
            return stop + (start - stop) * 0.5 * (1 + of.cos(math.pi * done))

        rising = between(first, self.maximal_learning_rate, step / max(top, 1.0))
        done = (of.minimum(step, end) - top) / max(end - top, 1.0)
        return of.where(step < top, rising, between(self.maximal_learning_rate, last, done))


def serialize(learning_rate_schedule: LearningRateSchedule) -> Any:
    """A schedule as plain data. Source: ``keras.optimizers.schedules.serialize``."""
    return serialize_keras_object(learning_rate_schedule)


def deserialize(config: Any, custom_objects: Mapping[str, Any] | None = None) -> Any:
    """What `serialize`, here or in Keras, described. Raises `UnknownName` for a class that is not known."""
    known = {
        name: one
        for name, one in globals().items()
        if isinstance(one, type) and issubclass(one, LearningRateSchedule)
    }
    return deserialize_keras_object(config, custom_objects, module_objects=known)
