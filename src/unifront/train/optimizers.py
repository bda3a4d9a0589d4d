"""Optimizers, with Keras's names, arguments and formulas. What they do to a weight is in `opset.optimize`.

An optimizer object keeps its slots (Adam's moments …) as variables beside the weights, so that they move with
them from backend to backend.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from fnmatch import fnmatchcase
from types import MappingProxyType
from typing import Annotated, Any, ClassVar, Self, TypedDict, Unpack

import numpy as np

from unifront.arguments import (
    Amount,
    Check,
    Default,
    Fraction,
    Positive,
    Share,
    Size,
    checked,
    convert,
    within,
)
from unifront.errors import ArgumentError, UnknownName
from unifront.opset.optimize import ADAM_UPDATE, MOMENTUM_UPDATE, RMSPROP_UPDATE, SGD_UPDATE
from unifront.opset.spec import OpSpec
from unifront.serialization import deserialize_keras_object, get_registered_object, serialize_keras_object
from unifront.train import schedules as schedules  # Keras's place for them: uf.optimizers.schedules
from unifront.train.arguments import number
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
    use_ema: Annotated[bool, Default(False)]
    ema_momentum: Annotated[Fraction, Default(0.99)]
    ema_overwrite_frequency: Size | None
    gradient_accumulation_steps: Size | None
    groups: Mapping[str, Any] | None
    name: str | None


class DecayedOptions(TypedDict, total=False):
    """Those of optimizers that name ``weight_decay`` themselves."""

    clipnorm: Positive | None
    clipvalue: Positive | None
    global_clipnorm: Positive | None
    use_ema: Annotated[bool, Default(False)]
    ema_momentum: Annotated[Fraction, Default(0.99)]
    ema_overwrite_frequency: Size | None
    gradient_accumulation_steps: Size | None
    groups: Mapping[str, Any] | None
    name: str | None


CLIPPING = ("clipnorm", "clipvalue", "global_clipnorm")
"""Arguments of which one may be given."""
AT_DEFAULT: Mapping[str, Any] = {
    "loss_scale_factor": None, "amsgrad": False, "is_legacy_optimizer": False, "jit_compile": True
}  # fmt: skip
"""What configs of Keras's hold beside our arguments, with the only values taken."""


class Rate(float):
    """A constant learning rate: a number that is also read and set as Keras's variable is."""

    _of: Optimizer | None = None

    @property
    def value(self) -> float:
        """The number."""
        return float(self)

    def numpy(self) -> np.float32:
        """The number, as NumPy's."""
        return np.float32(self)

    def assign(self, value: Any) -> None:
        """Give the optimizer another rate."""
        if self._of is not None:
            self._of.learning_rate = float(value)

    def __reduce__(self) -> Any:
        return float, (float(self),)


class Optimizer:
    """What all optimizers share.

    Args:
        learning_rate: a float, or a schedule ``step -> float``.
        weight_decay: decoupled decay per step, times the learning rate; None for none.
        clipnorm: scales each gradient to at most this norm.
        clipvalue: limits each element of the gradients.
        global_clipnorm: scales all gradients together to at most this norm.
        use_ema: keep an exponential average of each weight, taken after its update; see `finalize_variable_values`.
        ema_momentum: the share that the average keeps of itself at each step.
        ema_overwrite_frequency: every so many steps the weights become their averages; None: never.
        gradient_accumulation_steps: update only every so many calls, by the mean of their gradients.
        groups: for weights whose path fits a pattern (``"*/bias"``), their own ``learning_rate`` or
            ``weight_decay``: ``{"*/bias": {"weight_decay": 0.0}}``. The first pattern that fits counts.

    ``iterations`` counts the updates done. ``learning_rate`` may be set between steps.

    Raises `UnknownName` for an argument that the optimizer does not take, `ArgumentError` for a value outside
    its range.
    """

    slot_names: tuple[str, ...] = ()
    at_default: ClassVar[Mapping[str, Any]] = {}
    """As `AT_DEFAULT`, of this class."""

    @checked
    def __init__(
        self,
        learning_rate: LearningRate = 0.001,
        *,
        weight_decay: Amount | None = None,
        clipnorm: Positive | None = None,
        clipvalue: Positive | None = None,
        global_clipnorm: Positive | None = None,
        use_ema: bool = False,
        ema_momentum: Fraction = 0.99,
        ema_overwrite_frequency: Size | None = None,
        gradient_accumulation_steps: Size | None = None,
        groups: Mapping[str, Any] | None = None,
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
        self.use_ema, self.ema_momentum = use_ema, ema_momentum
        self.ema_overwrite_frequency = ema_overwrite_frequency
        self.gradient_accumulation_steps = gradient_accumulation_steps
        self.groups = {pattern: _group(own, pattern, given) for pattern, given in (groups or {}).items()}
        self.name = name or type(self).__name__.lower()
        self.calls = 0
        self._slots: dict[int, tuple[Variable, ...]] = {}
        self._of: dict[int, Variable] = {}

    @property
    def learning_rate(self) -> Any:
        """A float, or a schedule ``step -> float``."""
        if callable(self._learning_rate):
            return self._learning_rate
        rate = Rate(self._learning_rate)
        rate._of = self
        return rate

    @learning_rate.setter
    def learning_rate(self, value: Any) -> None:
        self._learning_rate = convert(type(self).__name__, "learning_rate", value, Check(_rate))

    def _clipping(self, name: str) -> float | None:
        return self.clipping[1] if self.clipping and self.clipping[0] == name else None

    @property
    def clipnorm(self) -> float | None:
        """What the norm of each gradient is limited to."""
        return self._clipping("clipnorm")

    @property
    def clipvalue(self) -> float | None:
        """What each element of the gradients is limited to."""
        return self._clipping("clipvalue")

    @property
    def global_clipnorm(self) -> float | None:
        """What the norm of all gradients together is limited to."""
        return self._clipping("global_clipnorm")

    @property
    def iterations(self) -> int:
        """How many updates were done; with ``gradient_accumulation_steps`` fewer than ``calls``."""
        return self.calls // (self.gradient_accumulation_steps or 1)

    @iterations.setter
    def iterations(self, value: int) -> None:
        self.calls = int(value) * (self.gradient_accumulation_steps or 1)

    def rule(self) -> tuple[OpSpec, Mapping[str, Any]]:
        """The operation that updates one weight, and its attributes. Overridden by every optimizer."""
        raise ArgumentError(f"{type(self).__name__} does not define rule().")

    def apply(self, grads: Sequence[Any], trainable_variables: Sequence[Variable]) -> None:
        """Update each variable by its gradient: in the graph being traced, or at once on native arrays.

        Args:
            grads: one for each variable, of its type; None leaves the variable alone.
            trainable_variables: the variables.

        Raises `ArgumentError` if there is no gradient at all, or not one for each variable. As in Keras.
        """
        from unifront.train.updating import apply

        apply(self, list(grads), list(trainable_variables))

    def apply_gradients(self, grads_and_vars: Iterable[tuple[Any, Variable]]) -> None:
        """`apply` for pairs ``(gradient, variable)``."""
        pairs = list(grads_and_vars)
        self.apply([gradient for gradient, _ in pairs], [variable for _, variable in pairs])

    def exclude_from_weight_decay(
        self, var_list: Sequence[Variable] | None = None, var_names: Sequence[str] | None = None
    ) -> None:
        """Weights that do not decay: those given, and those whose path holds one of the names. As in Keras."""
        patterns = [variable.path for variable in var_list or ()] + [f"*{name}*" for name in var_names or ()]
        added = {pattern: {**self.groups.get(pattern, {}), "weight_decay": 0.0} for pattern in patterns}
        self.groups = {**added, **{p: g for p, g in self.groups.items() if p not in added}}

    def finalize_variable_values(self, var_list: Sequence[Variable]) -> None:
        """With ``use_ema``: give the variables their averages. `fit` does so at its end, as Keras's does."""
        for variable in var_list if self.use_ema else ():
            if self.has_slots(variable):
                variable.assign(self.slot(variable, "average").numpy())

    def group_of(self, variable: Variable) -> tuple[str | None, Mapping[str, Any]]:
        """The pattern of ``groups`` that fits the variable's path, and what it says."""
        for pattern, given in self.groups.items():
            if fnmatchcase(variable.path, pattern):
                return pattern, given
        return None, {}

    def all_slot_names(self) -> tuple[str, ...]:
        """The names of the slots of each variable: the rule's, then those of averages and accumulation."""
        average = ("average",) if self.use_ema else ()
        accumulator = ("gradient_accumulator",) if self.gradient_accumulation_steps else ()
        return (*self.slot_names, *average, *accumulator)

    def slot(self, variable: Variable, name: str) -> Variable:
        """The slot of ``variable`` called ``name``."""
        return self.slots(variable)[self.all_slot_names().index(name)]

    def build(self, variables: Sequence[Variable]) -> None:
        """Make the slots of ``variables`` now."""
        for variable in variables:
            self.slots(variable)

    def rate(self, step: int, pattern: str | None = None) -> float:
        """The learning rate for the step after ``step`` steps, of the group called ``pattern``."""
        chosen = (
            self.groups[pattern].get("learning_rate", self.learning_rate) if pattern else self.learning_rate
        )
        return float(chosen(step) if callable(chosen) else chosen)

    def slots(self, variable: Variable) -> tuple[Variable, ...]:
        """The slots of ``variable``, made (zero) at the first call; they are called ``PATH/SLOT``."""
        if id(variable) not in self._slots:
            shape = variable.shape
            self._slots[id(variable)] = tuple(
                Variable(
                    f"{variable.path}/{name}", shape, variable.dtype,
                    initial=np.full(shape, self.initial(name), variable.dtype.numpy), trainable=False,
                )
                for name in self.all_slot_names()
            )  # fmt: skip
            self._of[id(variable)] = variable
        return self._slots[id(variable)]

    def __getstate__(self) -> dict[str, Any]:
        """What copies and pickles: variables are known by their identity, which is another in a copy."""
        pairs = [(self._of[one], own) for one, own in self._slots.items()]
        return {**vars(self), "_slots": pairs, "_of": {}}

    def __setstate__(self, state: dict[str, Any]) -> None:
        vars(self).update(state)
        self._slots = {id(variable): own for variable, own in state["_slots"]}
        self._of = {id(variable): variable for variable, _ in state["_slots"]}

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
        options: dict[str, Any] = {}
        if self.use_ema:
            options = {
                "use_ema": True, "ema_momentum": self.ema_momentum,
                "ema_overwrite_frequency": self.ema_overwrite_frequency,
            }  # fmt: skip
        if self.gradient_accumulation_steps:
            options["gradient_accumulation_steps"] = self.gradient_accumulation_steps
        if self.groups:
            options["groups"] = {pattern: dict(given) for pattern, given in self.groups.items()}
        return {
            "learning_rate": rate, "weight_decay": self.weight_decay, **clipping, **options, **self.own_config()
        }  # fmt: skip

    def own_config(self) -> dict[str, Any]:
        """The arguments that only this class takes."""
        return {}

    def get_config(self) -> dict[str, Any]:
        """All arguments that make an optimizer like this one, as plain data, under Keras's names."""
        rate = self.learning_rate
        return {
            "name": self.name,
            "learning_rate": serialize_keras_object(rate) if callable(rate) else float(rate),
            "weight_decay": self.weight_decay,
            **{name: getattr(self, name) for name in CLIPPING},
            "use_ema": self.use_ema,
            "ema_momentum": self.ema_momentum,
            "ema_overwrite_frequency": self.ema_overwrite_frequency,
            "gradient_accumulation_steps": self.gradient_accumulation_steps,
            **({"groups": dict(self.groups)} if self.groups else {}),
            **self.own_config(),
        }

    @classmethod
    def from_config(cls, config: Mapping[str, Any], custom_objects: Mapping[str, Any] | None = None) -> Self:
        """A new optimizer from what `get_config` gave, here or in Keras."""
        only = {**AT_DEFAULT, **cls.at_default}
        given = {k: v for k, v in config.items() if k not in only or v != only[k]}
        if isinstance(given.get("learning_rate"), Mapping):
            given["learning_rate"] = deserialize_keras_object(given["learning_rate"], custom_objects)
        return cls(**given)

    def __repr__(self) -> str:
        given = {"learning_rate": self.learning_rate, "weight_decay": self.weight_decay, **self.own_config()}
        given |= dict([self.clipping]) if self.clipping else {}
        text = ", ".join(f"{name}={value!r}" for name, value in given.items() if value is not None)
        return f"<{type(self).__name__}({text}) after {self.iterations} steps>"


GROUP_OPTIONS: Mapping[str, str] = {"learning_rate": "[0, inf)", "weight_decay": "[0, inf)"}
"""What a group of weights may have of its own, and in which range."""


def _group(own: str, pattern: Any, given: Any) -> dict[str, Any]:
    if not isinstance(pattern, str) or not isinstance(given, Mapping):
        raise ArgumentError(f"{own}: groups map a pattern of paths to options, not {pattern!r} to {given!r}.")
    for option, value in given.items():
        if option not in GROUP_OPTIONS:
            raise UnknownName(f"option of the group {pattern!r} of {own}", option, GROUP_OPTIONS)
        if not (option == "learning_rate" and callable(value) and not isinstance(value, type)):
            number(f"{own}: {option} of {pattern!r}", value, GROUP_OPTIONS[option])
    return dict(given)


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
    at_default = MappingProxyType({"momentum": 0.0, "centered": False})

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


def get(optimizer: Any) -> Any:
    """The optimizer meant by a name, a description or an `Optimizer`; None stays None, as in Keras."""
    if isinstance(optimizer, Mapping) and "class_name" in optimizer:
        optimizer = deserialize(optimizer)
    if isinstance(optimizer, str):
        known = NAMES.get(optimizer.lower()) or get_registered_object(optimizer)
        if known is None:
            raise UnknownName("optimizer", optimizer, NAMES)
        optimizer = known()
    if isinstance(optimizer, Optimizer | None):
        return optimizer
    raise ArgumentError(f"An optimizer is a name or a uf.optimizers.Optimizer, not {optimizer!r}.")


def serialize(optimizer: Optimizer) -> Any:
    """An optimizer as plain data. Source: ``keras.optimizers.serialize``."""
    return serialize_keras_object(optimizer)


def deserialize(config: Any, custom_objects: Mapping[str, Any] | None = None) -> Any:
    """What `serialize`, here or in Keras, described. Raises `UnknownName` for a class that is not known."""
    name = config.get("class_name") if isinstance(config, Mapping) else None
    if isinstance(name, str) and name.lower() in NAMES:  # as in Keras, whatever its case
        config = {**config, "class_name": name.lower()}
    return deserialize_keras_object(config, custom_objects, module_objects=NAMES)
