"""What all optimizers share: arguments, state, and how a step is applied, with Keras's names."""

from __future__ import annotations

import inspect
import re
import reprlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from fnmatch import fnmatchcase
from types import MappingProxyType
from typing import Annotated, Any, ClassVar, Self, TypedDict

import numpy as np

from unifront import ops
from unifront.arguments import Amount, Check, Default, Fraction, Positive, Size, checked, convert, within
from unifront.backends import backend_of
from unifront.dtypes import float32, promote
from unifront.errors import ArgumentError, UnknownName
from unifront.opset.spec import OpSpec
from unifront.opset.tensor import active_builder, bind, update
from unifront.serialization import deserialize_keras_object, serialize_keras_object
from unifront.train.arguments import number
from unifront.train.optimizers.numbers import Count, Rate
from unifront.train.optimizers.state import State
from unifront.train.schedules import LearningRateSchedule
from unifront.weights import Variable


def _rate(value: Any, owner: Any) -> Any:
    is_schedule = callable(value) and not isinstance(value, type)
    return value if is_schedule else within("[0, inf)").convert(value, owner)


LearningRate = Annotated[float | Callable[..., float], Check(_rate)]
"""A number, or a schedule ``step -> float``, or a function without arguments."""


class OptimizerOptions(TypedDict, total=False):
    """The keywords that every optimizer takes."""

    weight_decay: Amount | None
    clipnorm: Positive | None
    clipvalue: Positive | None
    global_clipnorm: Positive | None
    use_ema: Annotated[bool, Default(False)]
    ema_momentum: Annotated[Fraction, Default(0.99)]
    ema_overwrite_frequency: Size | None
    loss_scale_factor: Positive | None
    gradient_accumulation_steps: Size | None
    name: str | None
    groups: Mapping[str, Any] | None
    accumulate_examples: Annotated[bool, Default(False)]
    undecayed_names: Sequence[str] | None


class DecayedOptions(TypedDict, total=False):
    """Those of optimizers that name ``weight_decay`` themselves."""

    clipnorm: Positive | None
    clipvalue: Positive | None
    global_clipnorm: Positive | None
    use_ema: Annotated[bool, Default(False)]
    ema_momentum: Annotated[Fraction, Default(0.99)]
    ema_overwrite_frequency: Size | None
    loss_scale_factor: Positive | None
    gradient_accumulation_steps: Size | None
    name: str | None
    groups: Mapping[str, Any] | None
    accumulate_examples: Annotated[bool, Default(False)]
    undecayed_names: Sequence[str] | None


CLIPPING = ("clipnorm", "clipvalue", "global_clipnorm")
"""Arguments of which one may be given."""
SHARED = (
    "weight_decay", *CLIPPING, "use_ema", "ema_momentum", "ema_overwrite_frequency", "loss_scale_factor",
    "gradient_accumulation_steps", "name",
)  # fmt: skip
"""The keywords that may be given by position too, behind the arguments of a class, in Keras's order."""
AT_DEFAULT: Mapping[str, Any] = MappingProxyType({"is_legacy_optimizer": False, "jit_compile": True})
"""What configs of Keras's hold beside our arguments, with the only values taken."""
EXTRAS: Mapping[str, Any] = MappingProxyType(
    {"groups": {}, "accumulate_examples": False, "undecayed_names": []}
)
"""Arguments that Keras does not know; configs have them where they are not at these defaults."""
GROUP_OPTIONS: Mapping[str, str] = MappingProxyType({"learning_rate": "[0, inf)", "weight_decay": "[0, inf)"})
"""What a group of weights may have of its own, and in which range."""


class Optimizer(State):
    """What all optimizers share. Of one's own, a subclass defines `update_step` or, simpler, `formula`.

    Args:
        learning_rate: a float, or a schedule ``step -> float``, or a function without arguments.
        weight_decay: decoupled decay per step, times the learning rate; None for none.
        clipnorm: scales each gradient to at most this norm.
        clipvalue: limits each element of the gradients.
        global_clipnorm: scales all gradients together to at most this norm.
        use_ema: keep an exponential average of each weight, taken after its update; see `finalize_variable_values`.
        ema_momentum: the share that the average keeps of itself at each step.
        ema_overwrite_frequency: every so many steps the weights become their averages; None: never.
        loss_scale_factor: what `scale_loss` multiplies a loss by, and `apply` divides gradients by.
        gradient_accumulation_steps: update only every so many calls, by the mean of their gradients.
        name: after the class unless given.
        groups: for weights whose path fits a pattern (``"*/bias"``), their own ``learning_rate`` or
            ``weight_decay``: ``{"*/bias": {"weight_decay": 0.0}}``. The first pattern that fits counts.
        accumulate_examples: the mean of accumulated gradients counts each by its examples, as the gradient of one
            large batch would; for batches of unequal sizes.
        undecayed_names: regular expressions; weights in whose name one is found do not decay.

    ``iterations`` counts the updates done. ``learning_rate`` may be set between steps.

    Raises `UnknownName` for an argument that the optimizer does not take, `ArgumentError` for a value outside
    its range.

    Example::

        class Signed(uf.optimizers.Optimizer):
            slot_names = ("momentum",)

            def formula(self, weight, gradient, momentum, *, learning_rate, step):
                momentum = 0.9 * momentum + 0.1 * gradient
                return weight - learning_rate * uf.ops.sign(momentum), momentum

    or, as in Keras, by ``build``, ``add_variable_from_reference`` and ``update_step(gradient, variable,
    learning_rate)``.
    """

    arguments: ClassVar[tuple[str, ...]] = ()
    """The arguments that only this class takes: attributes of these names."""

    @checked
    def __init__(
        self,
        learning_rate: LearningRate = 0.001,
        weight_decay: Amount | None = None,
        clipnorm: Positive | None = None,
        clipvalue: Positive | None = None,
        global_clipnorm: Positive | None = None,
        use_ema: bool = False,
        ema_momentum: Fraction = 0.99,
        ema_overwrite_frequency: Size | None = None,
        loss_scale_factor: Positive | None = None,
        gradient_accumulation_steps: Size | None = None,
        name: str | None = None,
        *,
        groups: Mapping[str, Any] | None = None,
        accumulate_examples: bool = False,
        undecayed_names: Sequence[str] | None = None,
    ) -> None:
        own = type(self).__name__
        given = {"clipnorm": clipnorm, "clipvalue": clipvalue, "global_clipnorm": global_clipnorm}
        chosen = {key: value for key, value in given.items() if value is not None}
        if len(chosen) > 1:
            raise ArgumentError(
                f"{own}: Only one of `clipnorm`, `clipvalue` and `global_clipnorm` can be given, not "
                f"{', '.join(chosen)}."
            )
        super().__init__(name or _snake_case(own))
        self._learning_rate: Any = learning_rate
        self.weight_decay = weight_decay
        self.clipnorm, self.clipvalue, self.global_clipnorm = clipnorm, clipvalue, global_clipnorm
        self.use_ema, self.ema_momentum = use_ema, ema_momentum
        self.ema_overwrite_frequency = ema_overwrite_frequency
        self.loss_scale_factor = loss_scale_factor
        self.gradient_accumulation_steps = gradient_accumulation_steps
        self.groups = {pattern: _group(own, pattern, given) for pattern, given in (groups or {}).items()}
        self.accumulate_examples = accumulate_examples
        self.undecayed_names = list(undecayed_names or ())
        self._undecayed: list[Variable] = []

    # ------------------------------------------------------------ numbers

    @property
    def learning_rate(self) -> Any:
        """The rate of the next step: a float, or a tensor while a step is traced."""
        if active_builder() is not None:
            from unifront.train.updating import clock_of

            return clock_of(self).rate(None, float32)
        self._numbers["learning_rate"].settle()
        rate = Rate(self.rate(0 if self.schedule is None else self.calls))
        rate._of = self
        return rate

    @learning_rate.setter
    def learning_rate(self, value: Any) -> None:
        value = convert(type(self).__name__, "learning_rate", value, Check(_rate))
        if isinstance(self._learning_rate, LearningRateSchedule) and not callable(value):
            raise ArgumentError(
                f"{type(self).__name__} was made with a schedule, {type(self._learning_rate).__name__}, so its "
                "learning rate cannot be set to a number. Set it to another schedule, or make it with a number."
            )
        self._numbers["learning_rate"].settle()
        self._learning_rate = value
        if self._rate is not None:
            if callable(value):
                self._rate = None
            else:
                self._rate.assign(np.float32(value))

    @property
    def schedule(self) -> Any:
        """What gives the learning rate of each step, or None where it is a number."""
        return self._learning_rate if callable(self._learning_rate) else None

    def rate(self, step: Any, pattern: str | None = None) -> Any:
        """The learning rate of the call of `apply` after ``step`` others, of the group called ``pattern``."""
        chosen = self.groups[pattern].get("learning_rate") if pattern else None
        chosen = self._learning_rate if chosen is None else chosen
        if callable(chosen):
            chosen = chosen(step) if _takes_step(chosen) else chosen()
        return float(chosen) if isinstance(step, int) else chosen

    @property
    def iterations(self) -> Any:
        """How many updates were done: an int, or a tensor while a step is traced.

        With ``gradient_accumulation_steps`` fewer than ``calls``.
        """
        if active_builder() is not None:
            from unifront.train.updating import clock_of

            return clock_of(self).iteration()
        count = Count(self.calls // (self.gradient_accumulation_steps or 1))
        count._of = self
        return count

    @iterations.setter
    def iterations(self, value: int) -> None:
        self.calls = int(value) * (self.gradient_accumulation_steps or 1)

    @property
    def clipping(self) -> tuple[str, float] | None:
        """Which limit gradients have, and its value."""
        limits = [(name, getattr(self, name)) for name in CLIPPING]
        return next(((name, limit) for name, limit in limits if limit), None)

    # ------------------------------------------------------------ the rule

    def rule(self) -> tuple[OpSpec, Mapping[str, Any]] | None:
        """The operation that updates one weight, for which backends have kernels, and its attributes; None: no such."""
        return None

    def formula(
        self, weight: Any, gradient: Any, *slots: Any, learning_rate: Any, step: Any
    ) -> tuple[Any, ...]:
        """The new weight and slots, in the order of ``slot_names``; overridden by optimizers written in operations.

        Args:
            weight, gradient, slots: tensors of one float dtype, at least 32 bits wide.
            learning_rate: a scalar of that dtype.
            step: the number of this update, from 1, a scalar of that dtype.
        """
        raise ArgumentError(
            f"{type(self).__name__} defines neither update_step(gradient, variable, learning_rate) nor formula."
        )

    def update_step(self, gradient: Any, variable: Variable, learning_rate: Any) -> None:
        """Update ``variable`` and its slots by its gradient, without decay; overridden as in Keras, or by `formula`."""
        if active_builder() is None:
            from unifront.train.jit import call_now

            call_now(
                (Optimizer.update_step, self, id(variable), self.key()),
                lambda given, rate: self.update_step(given, variable, rate),
                [gradient, np.asarray(learning_rate, promote(float32, variable.dtype).numpy)],
            )
        elif self.rule() is not None:
            self.by_rule(gradient, variable, learning_rate, 0.0)
        else:
            self._by_formula(gradient, variable, learning_rate)

    @property
    def decays_by_rule(self) -> bool:
        """Whether the operation of `rule` does the decay too."""
        return type(self).update_step is Optimizer.update_step and self.rule() is not None

    def by_rule(self, gradient: Any, variable: Variable, learning_rate: Any, weight_decay: float) -> None:
        """`update_step` by the operation of `rule`."""
        found = self.rule()
        assert found is not None
        spec, attributes = found
        targets = [variable, *self._rule_slots(variable)]
        rate = ops.cast(learning_rate, promote(float32, variable.dtype))
        gradient = ops.cast(gradient, variable.dtype)
        results = bind(
            spec, variable, gradient, *targets[1:], self.iterations, rate,
            **{**attributes, "weight_decay": weight_decay},
        )  # fmt: skip
        for target, value in zip(targets, results if len(targets) > 1 else (results,), strict=True):
            update(target, value)

    def _rule_slots(self, variable: Variable) -> list[Variable]:
        return [self.slot(variable, name) for name in self.slot_plan(variable)]

    def _by_formula(self, gradient: Any, variable: Variable, learning_rate: Any) -> None:
        """`update_step` by `formula`: of 16 bits in 32, where squares of gradients would be zero."""
        wide = promote(float32, variable.dtype)
        targets = [variable, *self._rule_slots(variable)]
        given = [ops.cast(one, wide) for one in (variable, gradient, *targets[1:])]
        step = ops.cast(ops.add(self.iterations, 1), wide)
        results = self.formula(*given, learning_rate=ops.cast(learning_rate, wide), step=step)
        for target, value in zip(targets, results, strict=True):
            update(target, value)

    def begin_update(self) -> None:
        """Called once before the weights of one update, in the graph of the step."""

    def assign(self, variable: Variable, value: Any) -> None:
        """Give ``variable`` a new value, in the graph being traced or at once."""
        variable.assign(value)

    def assign_add(self, variable: Variable, value: Any) -> None:
        """Add ``value`` to ``variable``, in the graph being traced or at once."""
        variable.assign_add(value)

    def assign_sub(self, variable: Variable, value: Any) -> None:
        """Take ``value`` off ``variable``, in the graph being traced or at once."""
        variable.assign_sub(value)

    # ------------------------------------------------------------ applying

    def apply(
        self, grads: Sequence[Any], trainable_variables: Sequence[Variable] | None = None, *,
        examples: Any = None,
    ) -> None:  # fmt: skip
        """Update each variable by its gradient: in the graph being traced, or at once on native arrays.

        Args:
            grads: one for each variable, of its shape; None leaves the variable alone.
            trainable_variables: the variables, or a ``tf.Variable`` or ``torch.nn.Parameter`` of one's own; None for
                those that the optimizer was built with.
            examples: how many examples the gradients are the mean of, for ``accumulate_examples``.

        Raises `ArgumentError` if there is no gradient at all, or not one for each variable. As in Keras.
        """
        from unifront.train.updating import apply

        variables = self._meant(grads, trainable_variables)
        apply(self, list(grads), variables, examples)
        for variable, given in zip(variables, trainable_variables or (), strict=False):
            if variable is not given:
                _ = variable.value  # which writes into the leaf

    def _meant(self, grads: Sequence[Any], variables: Sequence[Variable] | None) -> list[Variable]:
        if variables is not None:
            return [one if isinstance(one, Variable) else self._around(one) for one in variables]
        if not self.built:
            raise ArgumentError(
                f"{type(self).__name__}.apply: grads without variables are for those that the optimizer was built "
                "with. Call optimizer.build(trainable_variables) first, or pass the variables."
            )
        return list(self._trainable_variables)

    def _around(self, leaf: Any) -> Variable:
        """What stands for a ``tf.Variable`` or ``torch.nn.Parameter`` of the user's own."""
        if backend_of(leaf) is None or not (hasattr(leaf, "assign") or hasattr(leaf, "grad")):
            raise ArgumentError(f"{type(self).__name__}.apply: variables are due, not {reprlib.repr(leaf)}.")
        if id(leaf) not in self._leaves:
            self._leaves[id(leaf)] = (leaf, Variable.around(leaf))
        return self._leaves[id(leaf)][1]

    def apply_gradients(self, grads_and_vars: Iterable[tuple[Any, Variable]]) -> Any:
        """`apply` for pairs ``(gradient, variable)``; the number of calls done, as in Keras."""
        pairs = list(grads_and_vars)
        self.apply([gradient for gradient, _ in pairs], [variable for _, variable in pairs])
        return self._iterations

    def stateless_apply(
        self, optimizer_variables: Sequence[Any], grads: Sequence[Any], trainable_variables: Sequence[Any]
    ) -> tuple[list[Any], list[Any]]:
        """`apply` on native arrays that stand for the variables: their new values, and the optimizer's.

        Args:
            optimizer_variables: values in the order of ``variables``.
            grads: one for each variable.
            trainable_variables: values of the variables that the optimizer was built with, in their order.

        Nothing is changed, so it runs inside ``jax.jit``. Raises `ArgumentError` before `build`, and for lists of
        another length. As in Keras.
        """
        from unifront.train.updating import stateless_apply

        return stateless_apply(self, list(optimizer_variables), list(grads), list(trainable_variables))

    def scale_loss(self, loss: Any) -> Any:
        """``loss`` times ``loss_scale_factor``, to be differentiated."""
        return loss if self.loss_scale_factor is None else loss * self.loss_scale_factor

    def update_pairs(self, pairs: list[tuple[Any, Variable]], examples: Any) -> None:
        """`apply` in the graph being traced, of gradients that were checked."""
        from unifront.train.updating import Update

        Update(self).run(pairs, examples)

    def finalize_variable_values(self, var_list: Sequence[Variable]) -> None:
        """With ``use_ema``: give the variables their averages. `fit` does so at its end, as Keras's does."""
        for variable in var_list if self.use_ema else ():
            if self.has_slots(variable) and not getattr(variable, "overwrite_with_gradient", False):
                variable.assign(self.slot(variable, "average").numpy())

    # ------------------------------------------------------------ groups of weights

    def exclude_from_weight_decay(
        self, var_list: Sequence[Variable] | None = None, var_names: Sequence[str] | None = None
    ) -> None:
        """Weights that do not decay: those given, and those whose name holds one of the regular expressions."""
        self._undecayed = list(var_list or ())
        self.undecayed_names = list(var_names or ())

    def decay_of(self, variable: Variable) -> float:
        """The decay of ``variable`` at each step, before it is multiplied by the rate."""
        if any(one is variable for one in self._undecayed) or any(
            re.search(pattern, variable.name) for pattern in self.undecayed_names
        ):
            return 0.0
        own = self.group_of(variable)[1].get("weight_decay")
        return float(self.decay_by_default(variable) if own is None else own)

    def decay_by_default(self, variable: Variable) -> float:
        """The decay of weights that no group says otherwise of."""
        return self.weight_decay or 0.0

    def group_of(self, variable: Variable) -> tuple[str | None, Mapping[str, Any]]:
        """The pattern of ``groups`` that fits the variable's path, and what it says."""
        for pattern, given in self.groups.items():
            if fnmatchcase(variable.path, pattern):
                return pattern, given
        return None, {}

    # ------------------------------------------------------------ as data

    def own_config(self) -> dict[str, Any]:
        """The arguments that only this class takes."""
        return {name: getattr(self, name) for name in self.arguments}

    def _common_config(self) -> dict[str, Any]:
        """The arguments that all optimizers take but name and rate, under Keras's names."""
        extras = {name: getattr(self, name) for name in EXTRAS}
        return {
            "weight_decay": self.weight_decay,
            **{name: getattr(self, name) for name in CLIPPING},
            "use_ema": self.use_ema,
            "ema_momentum": self.ema_momentum,
            "ema_overwrite_frequency": self.ema_overwrite_frequency,
            "loss_scale_factor": self.loss_scale_factor,
            "gradient_accumulation_steps": self.gradient_accumulation_steps,
            **{name: value for name, value in extras.items() if value != EXTRAS[name]},
        }

    def get_config(self) -> dict[str, Any]:
        """All arguments that make an optimizer like this one, as plain data, under Keras's names."""
        rate = self._learning_rate
        return {
            "name": self.name,
            "learning_rate": serialize_keras_object(rate) if callable(rate) else float(rate),
            **self._common_config(),
            **self.own_config(),
        }

    @classmethod
    def from_config(cls, config: Mapping[str, Any], custom_objects: Mapping[str, Any] | None = None) -> Self:
        """A new optimizer from what `get_config` gave, here or in Keras."""
        given = {k: v for k, v in config.items() if k not in AT_DEFAULT or v != AT_DEFAULT[k]}
        if isinstance(given.get("learning_rate"), Mapping):
            given["learning_rate"] = deserialize_keras_object(given["learning_rate"], custom_objects)
        return cls(**given)

    def config(self) -> dict[str, Any]:
        """The arguments that make an optimizer like this one, without those that are not given; a schedule as it is."""
        given = {k: v for k, v in self._common_config().items() if v is not None and v is not False}
        if not self.use_ema:
            del given["ema_momentum"]
        excluded = {v.path: {"weight_decay": 0.0} for v in self._undecayed}
        if excluded:
            given["groups"] = {**excluded, **self.groups}
        return {
            "learning_rate": self._learning_rate, **given, "weight_decay": self.weight_decay,
            **self.own_config(),
        }  # fmt: skip

    def key(self) -> tuple[Any, ...]:
        """What a traced step is known by: all but a rate that is a number, which each run asks for."""
        rest = {name: value for name, value in self.config().items() if name != "learning_rate"}
        counts = self._counter is not None, self._rate is not None
        return id(self), repr(self.schedule), repr(rest), counts

    def __repr__(self) -> str:
        given: dict[str, Any] = {"learning_rate": self._learning_rate, "weight_decay": self.weight_decay}
        given |= {**self.own_config(), **dict([self.clipping] if self.clipping else [])}
        text = ", ".join(f"{name}={value!r}" for name, value in given.items() if value is not None)
        steps = self.calls // (self.gradient_accumulation_steps or 1)
        return f"<{type(self).__name__}({text}) after {steps} steps>"


def _snake_case(name: str) -> str:
    """``LossScaleOptimizer`` → ``loss_scale_optimizer``, as Keras names objects after their class."""
    return re.sub(r"([a-z])([A-Z])", r"\1_\2", re.sub(r"(.)([A-Z][a-z0-9]+)", r"\1_\2", name)).lower()


def _takes_step(function: Any) -> bool:
    """Whether a rate is a function of the step, rather than of nothing."""
    if isinstance(function, LearningRateSchedule):
        return True
    try:
        return bool(inspect.signature(function).parameters)
    except (TypeError, ValueError):  # what tells no signature
        return True


def _group(own: str, pattern: Any, given: Any) -> dict[str, Any]:
    if not isinstance(pattern, str) or not isinstance(given, Mapping):
        raise ArgumentError(f"{own}: groups map a pattern of paths to options, not {pattern!r} to {given!r}.")
    for option, value in given.items():
        if option not in GROUP_OPTIONS:
            raise UnknownName(f"option of the group {pattern!r} of {own}", option, GROUP_OPTIONS)
        if not (option == "learning_rate" and callable(value) and not isinstance(value, type)):
            number(f"{own}: {option} of {pattern!r}", value, GROUP_OPTIONS[option])
    return dict(given)
