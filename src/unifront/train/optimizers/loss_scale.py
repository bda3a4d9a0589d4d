"""Loss scaling for float16, in the graph of the step."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Self

from unifront import ops
from unifront.arguments import Positive, Size, checked
from unifront.errors import ArgumentError
from unifront.layers.initializers import Constant
from unifront.opset.tensor import is_tensor, type_of, update
from unifront.serialization import deserialize_keras_object, serialize_keras_object
from unifront.train.optimizers.numbers import HostNumber
from unifront.train.optimizers.optimizer import Optimizer
from unifront.train.optimizers.state import overwritten
from unifront.weights import Variable

UNSCALED: Mapping[str, Any] = {
    "weight_decay": None, "clipnorm": None, "global_clipnorm": None, "clipvalue": None, "use_ema": False,
    "ema_momentum": 0.99, "ema_overwrite_frequency": None, "loss_scale_factor": None,
    "gradient_accumulation_steps": None,
}  # fmt: skip
"""Arguments of the inner optimizer's, which older descriptions have at these values."""


class LossScaleOptimizer(Optimizer):
    """Scales the loss, lest gradients in float16 become zero, and unscales these (Micikevicius et al. 2018).

    A step whose gradients are not finite is left out, and the scale halved; after so many finite ones it is doubled.
    All of it is in the graph of the step: nothing waits for the device.

    Args:
        inner_optimizer: the optimizer that gets the gradients; it does the clipping, decay and averages.
        initial_scale: the first scale.
        dynamic_growth_steps: after so many finite steps in a row the scale is doubled.

    ``iterations`` counts the steps that were not left out. As in Keras.

    Example::

        optimizer = uf.optimizers.LossScaleOptimizer(uf.optimizers.Adam())
        scaled = optimizer.scale_loss(loss)
    """

    grows = True

    def __init__(
        self, inner_optimizer: Optimizer, initial_scale: float = 2.0**15, dynamic_growth_steps: int = 2000,
        name: str | None = None, **kwargs: Any,
    ) -> None:  # fmt: skip
        _refuse(kwargs)
        self._set(inner_optimizer, initial_scale, dynamic_growth_steps, name)

    @checked
    def _set(
        self,
        inner_optimizer: Optimizer,
        initial_scale: Positive,
        dynamic_growth_steps: Size,
        name: str | None,
    ) -> None:
        self.inner_optimizer = inner_optimizer
        self.outer_rate = 0.0  # in Keras's list of variables stands a rate that nothing reads
        super().__init__(0.0, name=name)
        self.initial_scale, self.dynamic_growth_steps = initial_scale, dynamic_growth_steps
        inner_optimizer.loss_scale_factor = None  # else gradients would be unscaled twice
        inner_optimizer.count_on_device()
        self._good_steps = self.add_variable((), dtype="int32", name="step_counter")
        self._scale = self.add_variable((), Constant(initial_scale), name="dynamic_scale")

    def _start(self) -> None:
        super()._start()
        self._numbers["learning_rate"] = HostNumber(
            f"{self.name}/learning_rate", "float32", self, "outer_rate"
        )

    def build(self, variables: Sequence[Variable]) -> None:
        """Make the inner optimizer's slots of ``variables``."""
        self.inner_optimizer.ready_for(variables)
        super().build(variables)

    @property
    def dynamic_scale(self) -> Variable:
        """The scale of the next step."""
        return self._scale

    @property
    def step_counter(self) -> Variable:
        """How many steps in a row were finite, since the scale was last changed."""
        return self._good_steps

    @property
    def variables(self) -> list[Variable]:
        """Its own variables, then the inner optimizer's."""
        return [*self._numbers.values(), *self._variables, *self.inner_optimizer.variables]

    def slots(self, variable: Variable) -> tuple[Variable, ...]:
        """The inner optimizer's slots of ``variable``."""
        self.ready_for([variable])
        return self.inner_optimizer.slots(variable)

    def slot(self, variable: Variable, name: str) -> Variable:
        """The inner optimizer's slot of ``variable`` called ``name``."""
        self.ready_for([variable])
        return self.inner_optimizer.slot(variable, name)

    def slot_types(self, variable: Variable) -> dict[str, tuple[int, ...]]:
        return self.inner_optimizer.slot_types(variable)

    def numbers(self) -> dict[str, Variable]:
        inner = {f"inner/{name}": variable for name, variable in self.inner_optimizer.numbers().items()}
        return {**super().numbers(), **inner}

    def scale_loss(self, loss: Any) -> Any:
        """``loss`` times the scale, to be differentiated."""
        return ops.multiply(
            loss, ops.cast(self._scale, type_of(loss).dtype) if is_tensor(loss) else self._scale
        )

    def update_pairs(self, pairs: list[tuple[Any, Variable]], examples: Any) -> None:
        scale, good = self._scale, self._good_steps

        def step() -> None:
            self.inner_optimizer.update_pairs(
                [
                    (g if overwritten(v) else ops.divide(g, ops.cast(scale, type_of(g).dtype)), v)
                    for g, v in pairs
                ],
                examples,
            )
            grows = ops.equal(good, self.dynamic_growth_steps - 1)
            update(scale, ops.where(grows, ops.multiply(scale, 2.0), scale))
            update(good, ops.where(grows, 0, ops.add(good, 1)))

        def skipped() -> None:
            update(scale, ops.multiply(scale, 0.5))
            update(good, ops.zeros_like(good))

        ops.cond(self.check_finite([gradient for gradient, _ in pairs]), step, skipped)

    def check_finite(self, grads: Sequence[Any]) -> Any:
        """Whether every gradient is finite, a boolean scalar."""
        return ops.all(ops.stack([ops.all(ops.isfinite(g)) for g in grads if g is not None]))

    @property
    def calls(self) -> int:
        """How often the inner optimizer was applied."""
        return self.inner_optimizer.calls

    @calls.setter
    def calls(self, value: int) -> None:
        self.inner_optimizer.calls = value

    @property
    def iterations(self) -> Any:
        """How many updates the inner optimizer did."""
        return self.inner_optimizer.iterations

    @iterations.setter
    def iterations(self, value: int) -> None:
        self.inner_optimizer.iterations = value

    @property
    def learning_rate(self) -> Any:
        """The inner optimizer's."""
        return self.inner_optimizer.learning_rate

    @learning_rate.setter
    def learning_rate(self, value: Any) -> None:
        self.inner_optimizer.learning_rate = value

    @property
    def schedule(self) -> Any:
        """The inner optimizer's."""
        return self.inner_optimizer.schedule

    def rate(self, step: Any, pattern: str | None = None) -> Any:
        return self.inner_optimizer.rate(step, pattern)

    def exclude_from_weight_decay(self, var_list: Any = None, var_names: Any = None) -> None:
        self.inner_optimizer.exclude_from_weight_decay(var_list, var_names)

    def finalize_variable_values(self, var_list: Sequence[Variable]) -> None:
        self.inner_optimizer.finalize_variable_values(var_list)

    def get_config(self) -> dict[str, Any]:
        return {
            "name": self.name,
            "inner_optimizer": serialize_keras_object(self.inner_optimizer),
            "initial_scale": self.initial_scale,
            "dynamic_growth_steps": self.dynamic_growth_steps,
        }

    @classmethod
    def from_config(cls, config: Mapping[str, Any], custom_objects: Mapping[str, Any] | None = None) -> Self:
        inner = config["inner_optimizer"]
        if isinstance(inner, Mapping):
            inner = deserialize_keras_object(inner, custom_objects)
        return cls(**{**config, "inner_optimizer": inner})

    def config(self) -> dict[str, Any]:
        return {
            "inner_optimizer": self.inner_optimizer, "initial_scale": self.initial_scale,
            "dynamic_growth_steps": self.dynamic_growth_steps,
        }  # fmt: skip

    def key(self) -> tuple[Any, ...]:
        return id(self), self.initial_scale, self.dynamic_growth_steps, self.inner_optimizer.key()

    def __repr__(self) -> str:
        return f"<LossScaleOptimizer({self.inner_optimizer!r})>"


def _refuse(given: dict[str, Any]) -> None:
    """Refuse what belongs to the inner optimizer."""
    if not given.pop("dynamic", True):
        raise ArgumentError(
            "LossScaleOptimizer has no dynamic=False; set `loss_scale_factor` on the `inner_optimizer` instead."
        )
    for name, default in UNSCALED.items():
        if given.pop(name, default) != default:
            raise ArgumentError(
                f"LossScaleOptimizer does not support `{name}`. Set `{name}` on the `inner_optimizer` instead."
            )
    if given:
        raise ArgumentError(
            f"LossScaleOptimizer does not support arguments: {', '.join(f'`{name}`' for name in given)}."
        )
