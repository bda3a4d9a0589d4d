"""Optimizers, with Keras's names, arguments and formulas. What they do to a weight is in `opset.optimize`.

An optimizer object keeps its slots (Adam's moments …) as variables beside the weights, so that they move with
them from backend to backend.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Annotated, Any, TypedDict, Unpack

import numpy as np

from unifront.arguments import Amount, Check, Fraction, Positive, Share, checked, convert, within
from unifront.errors import ArgumentError, UnknownName
from unifront.opset.optimize import ADAM_UPDATE, MOMENTUM_UPDATE, RMSPROP_UPDATE, SGD_UPDATE
from unifront.opset.spec import OpSpec
from unifront.train import schedules as schedules  # Keras's place for them: uf.optimizers.schedules
from unifront.train.schedules import Schedule
from unifront.weights import Variable


def _rate(value: Any, owner: Any) -> Any:
    is_schedule = callable(value) and not isinstance(value, type)
    return value if is_schedule else within("[0, inf)").convert(value, owner)


LearningRate = Annotated[float | Callable[[int], float], Check(_rate)]
"""A number, or a schedule ``step -> float``."""


class OptimizerOptions(TypedDict, total=False):
    """The keywords that every optimizer takes."""

    weight_decay: Amount | None
    clipnorm: Positive | None
    clipvalue: Positive | None
    global_clipnorm: Positive | None
    name: str | None


class DecayedOptions(TypedDict, total=False):
    """Those of optimizers that name ``weight_decay`` themselves."""

    clipnorm: Positive | None
    clipvalue: Positive | None
    global_clipnorm: Positive | None
    name: str | None


class Optimizer:
    """What all optimizers share.

    Args:
        learning_rate: a float, or a schedule ``step -> float``.
        weight_decay: decoupled decay per step, times the learning rate; None for none.
        clipnorm: scales each gradient to at most this norm.
        clipvalue: limits each element of the gradients.
        global_clipnorm: scales all gradients together to at most this norm.

    ``iterations`` counts the steps done. ``learning_rate`` may be set between steps.

    Raises `UnknownName` for an argument that the optimizer does not take, `ArgumentError` for a value outside
    its range.
    """

    slot_names: tuple[str, ...] = ()

    @checked
    def __init__(
        self,
        learning_rate: LearningRate = 0.001,
        *,
        weight_decay: Amount | None = None,
        clipnorm: Positive | None = None,
        clipvalue: Positive | None = None,
        global_clipnorm: Positive | None = None,
        name: str | None = None,
    ) -> None:
        own = type(self).__name__
        given = {"clipnorm": clipnorm, "clipvalue": clipvalue, "global_clipnorm": global_clipnorm}
        chosen = {key: value for key, value in given.items() if value is not None}
        if len(chosen) > 1:
            raise ArgumentError(f"{own}: give one of {', '.join(given)}, not {', '.join(chosen)}.")
        self.learning_rate = learning_rate
        self.weight_decay = weight_decay
        self.clipping: tuple[str, float] | None = next(iter(chosen.items()), None)
        self.name = name or type(self).__name__.lower()
        self.iterations = 0
        self._slots: dict[int, tuple[Variable, ...]] = {}
        self._of: dict[int, Variable] = {}

    @property
    def learning_rate(self) -> Any:
        """A float, or a schedule ``step -> float``."""
        return self._learning_rate

    @learning_rate.setter
    def learning_rate(self, value: Any) -> None:
        self._learning_rate = convert(type(self).__name__, "learning_rate", value, Check(_rate))

    def rule(self) -> tuple[OpSpec, Mapping[str, Any]]:
        """The operation that updates one weight, and its attributes. Overridden by every optimizer."""
        raise ArgumentError(f"{type(self).__name__} does not define rule().")

    def rate(self, step: int) -> float:
        """The learning rate for the step after ``step`` steps."""
        return float(self.learning_rate(step) if callable(self.learning_rate) else self.learning_rate)

    def slots(self, variable: Variable) -> tuple[Variable, ...]:
        """The slots of ``variable``, made (zero) at the first call; they are called ``PATH/SLOT``."""
        if id(variable) not in self._slots:
            shape = variable.shape
            self._slots[id(variable)] = tuple(
                Variable(
                    f"{variable.path}/{name}", shape, variable.dtype,
                    initial=np.full(shape, self.initial(name), variable.dtype.numpy), trainable=False,
                )
                for name in self.slot_names
            )  # fmt: skip
            self._of[id(variable)] = variable
        return self._slots[id(variable)]

    def has_slots(self, variable: Variable) -> bool:
        """Whether the slots of ``variable`` have been made."""
        return id(variable) in self._slots

    def initial(self, slot: str) -> float:
        """The value that a slot starts with."""
        return 0.0

    @property
    def variables(self) -> list[Variable]:
        """Every slot made so far."""
        return [slot for slots in self._slots.values() for slot in slots]

    def adopt(self, variables: Iterable[Variable], values: Mapping[str, np.ndarray]) -> None:
        """Set the slots of ``variables`` from ``values``, keyed ``PATH/SLOT`` (when a model is loaded)."""
        for variable in variables:
            for slot in self.slots(variable):
                if slot.path in values:
                    slot.assign(values[slot.path])

    def config(self) -> dict[str, Any]:
        """The arguments that make an optimizer like this one."""
        schedule = self.learning_rate
        rate: Any = schedule
        if isinstance(schedule, Schedule):
            rate = {"schedule": type(schedule).__name__, **vars(schedule)}
        elif callable(schedule):
            rate = self.rate(self.iterations)
        clipping = dict([self.clipping]) if self.clipping else {}
        return {"learning_rate": rate, "weight_decay": self.weight_decay, **clipping, **self.own_config()}

    def own_config(self) -> dict[str, Any]:
        """The arguments that only this class takes."""
        return {}

    def __repr__(self) -> str:
        given = {"learning_rate": self.learning_rate, "weight_decay": self.weight_decay, **self.own_config()}
        given |= dict([self.clipping]) if self.clipping else {}
        text = ", ".join(f"{name}={value!r}" for name, value in given.items() if value is not None)
        return f"<{type(self).__name__}({text}) after {self.iterations} steps>"


class SGD(Optimizer):
    """Gradient descent, with momentum and Nesterov's form (Sutskever et al. 2013)."""

    @checked
    def __init__(
        self, learning_rate: LearningRate = 0.01, momentum: Fraction = 0.0, nesterov: bool = False,
        **options: Unpack[OptimizerOptions],
    ) -> None:  # fmt: skip
        super().__init__(learning_rate, **options)
        self.momentum, self.nesterov = momentum, nesterov
        self.slot_names = ("momentum",) if momentum else ()

    def rule(self) -> tuple[OpSpec, Mapping[str, Any]]:
        decay = {"weight_decay": float(self.weight_decay or 0.0)}
        if not self.momentum:
            return SGD_UPDATE, decay
        return MOMENTUM_UPDATE, {"momentum": self.momentum, "nesterov": self.nesterov, **decay}

    def own_config(self) -> dict[str, Any]:
        return {"momentum": self.momentum, "nesterov": self.nesterov}


class Adam(Optimizer):
    """Adam (Kingma and Ba 2015), with Keras's epsilon, which stands outside the bias correction."""

    slot_names = ("momentum", "velocity")

    @checked
    def __init__(
        self, learning_rate: LearningRate = 0.001, beta_1: Share = 0.9, beta_2: Share = 0.999,
        epsilon: Amount = 1e-7, **options: Unpack[OptimizerOptions],
    ) -> None:  # fmt: skip
        super().__init__(learning_rate, **options)
        self.beta_1, self.beta_2, self.epsilon = beta_1, beta_2, epsilon

    def rule(self) -> tuple[OpSpec, Mapping[str, Any]]:
        return ADAM_UPDATE, {**self.own_config(), "weight_decay": float(self.weight_decay or 0.0)}

    def own_config(self) -> dict[str, Any]:
        return {"beta_1": self.beta_1, "beta_2": self.beta_2, "epsilon": self.epsilon}


class AdamW(Adam):
    """Adam with decoupled weight decay (Loshchilov and Hutter 2019)."""

    @checked
    def __init__(
        self, learning_rate: LearningRate = 0.001, weight_decay: Amount | None = 0.004, beta_1: Share = 0.9,
        beta_2: Share = 0.999, epsilon: Amount = 1e-7, **options: Unpack[DecayedOptions],
    ) -> None:  # fmt: skip
        super().__init__(learning_rate, beta_1, beta_2, epsilon, weight_decay=weight_decay, **options)


class RMSprop(Optimizer):
    """RMSprop (Tieleman and Hinton 2012), plain: no momentum, not centered."""

    slot_names = ("velocity",)

    @checked
    def __init__(
        self, learning_rate: LearningRate = 0.001, rho: Fraction = 0.9, epsilon: Amount = 1e-7,
        **options: Unpack[OptimizerOptions],
    ) -> None:  # fmt: skip
        super().__init__(learning_rate, **options)
        self.rho, self.epsilon = rho, epsilon

    def rule(self) -> tuple[OpSpec, Mapping[str, Any]]:
        return RMSPROP_UPDATE, {**self.own_config(), "weight_decay": float(self.weight_decay or 0.0)}

    def own_config(self) -> dict[str, Any]:
        return {"rho": self.rho, "epsilon": self.epsilon}


NAMES: dict[str, Callable[..., Optimizer]] = {"sgd": SGD, "adam": Adam, "adamw": AdamW, "rmsprop": RMSprop}


def get(optimizer: Any) -> Optimizer:
    """The optimizer meant by a name or an `Optimizer`."""
    if isinstance(optimizer, Optimizer):
        return optimizer
    if isinstance(optimizer, str) and optimizer.lower() in NAMES:
        return NAMES[optimizer.lower()]()
    if isinstance(optimizer, str):
        raise UnknownName("optimizer", optimizer, NAMES)
    raise ArgumentError(f"An optimizer is a name or a uf.optimizers.Optimizer, not {optimizer!r}.")


def clip(gradients: Sequence[Any], clipping: tuple[str, float]) -> list[Any]:
    """Gradients limited as `Optimizer` says (``clipnorm``, ``clipvalue`` or ``global_clipnorm``)."""
    from unifront import ops

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
