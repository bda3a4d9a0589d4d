"""Several optimizers as one: each weight has its own."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, MutableMapping, Sequence
from typing import Any, Self

from unifront.errors import ArgumentError
from unifront.serialization import deserialize_keras_object, serialize_keras_object
from unifront.train.optimizers.loss_scale import LossScaleOptimizer
from unifront.train.optimizers.numbers import HostNumber
from unifront.train.optimizers.optimizer import Optimizer
from unifront.weights import Variable


class OptimizerMap(MutableMapping[str, Optimizer]):
    """Optimizers by the path of the weight, or by a regular expression that fits all of it.

    Args:
        default_optimizer: for weights that nothing fits.
        optimizer_map: optimizers by paths and expressions.

    Raises `ArgumentError` where two expressions fit a path. Source: ``keras.optimizers.OptimizerMap``.

    Example::

        chosen = uf.optimizers.OptimizerMap(uf.optimizers.SGD(), {"encoder/.*": uf.optimizers.Adam()})
        optimizer = uf.optimizers.MultiOptimizer(chosen)
    """

    def __init__(
        self, default_optimizer: Optimizer, optimizer_map: dict[str, Optimizer] | None = None
    ) -> None:
        if not isinstance(default_optimizer, Optimizer):
            raise ArgumentError(
                f"default_optimizer must be an Optimizer: a uf.optimizers.Optimizer, not {default_optimizer!r}."
            )
        if optimizer_map is not None and not isinstance(optimizer_map, dict):
            raise ArgumentError(f"optimizer_map must be a dictionary, not {optimizer_map!r}.")
        self.default_optimizer = default_optimizer
        self._by_pattern: dict[str, Optimizer] = {}
        for key, optimizer in (optimizer_map or {}).items():
            self[key] = optimizer

    def __getitem__(self, key: str) -> Optimizer:
        if key in self._by_pattern:
            return self._by_pattern[key]
        fitting = [pattern for pattern in self._by_pattern if re.fullmatch(pattern, key)]
        if len(fitting) > 1:
            raise ArgumentError(f"Multiple optimizers assigned to variable {key}: those of {fitting}.")
        return self._by_pattern[fitting[0]] if fitting else self.default_optimizer

    def __setitem__(self, key: str, optimizer: Optimizer) -> None:
        if key in self._by_pattern:
            raise ArgumentError(
                f"'{key}' already exists in the OptimizerMap; it is {self._by_pattern[key]!r}."
            )
        if not isinstance(key, str):
            raise ArgumentError(f"key must be a string, not {key!r}.")
        if not isinstance(optimizer, Optimizer):
            raise ArgumentError(
                f"optimizer must be an Optimizer: a uf.optimizers.Optimizer, not {optimizer!r}."
            )
        _refuse(optimizer)
        self._by_pattern[key] = optimizer

    def __delitem__(self, key: str) -> None:
        del self._by_pattern[key]

    def __len__(self) -> int:
        return len(self._by_pattern)

    def __iter__(self) -> Iterator[str]:
        return iter(self._by_pattern)

    def __call__(self, variable: Variable) -> Optimizer:
        """The optimizer of ``variable``."""
        return self[variable.path]

    def get_config(self) -> dict[str, Any]:
        return {
            "default_optimizer": serialize_keras_object(self.default_optimizer),
            "optimizer_map": serialize_keras_object(self._by_pattern),
        }

    @classmethod
    def from_config(cls, config: Mapping[str, Any], custom_objects: Mapping[str, Any] | None = None) -> Self:
        default, others = (
            deserialize_keras_object(config[name], custom_objects)
            for name in ("default_optimizer", "optimizer_map")
        )
        return cls(default, others)


def _refuse(optimizer: Optimizer) -> None:
    if isinstance(optimizer, LossScaleOptimizer | MultiOptimizer):
        raise ArgumentError(
            f"optimizer cannot be {type(optimizer).__name__}: it {_WHY[type(optimizer).__name__]}."
        )


class MultiOptimizer(Optimizer):
    """Applies to each weight the optimizer that a map or a function gives for it.

    Args:
        optimizer_map: an `OptimizerMap`, or a function from a variable to its optimizer, or one optimizer for all.
        loss_scale_factor: for all of them.

    Rates are those of ``optimizers``; it has none of its own. Source: ``keras.optimizers.MultiOptimizer``.
    """

    grows = True

    def __init__(
        self, optimizer_map: Callable[[Variable], Optimizer] | Optimizer, loss_scale_factor: float | None = None,
        name: str | None = None,
    ) -> None:  # fmt: skip
        if isinstance(optimizer_map, Optimizer):
            optimizer_map = OptimizerMap(optimizer_map)
        if not callable(optimizer_map) or isinstance(optimizer_map, type):
            raise ArgumentError(
                "MultiOptimizer takes an OptimizerMap or a function from a variable to its optimizer, not "
                f"{optimizer_map!r}."
            )
        self.optimizer_map = optimizer_map
        self.optimizers: list[Optimizer] = []
        """The optimizers met so far."""
        super().__init__(0.0, loss_scale_factor=loss_scale_factor, name=name)
        if isinstance(optimizer_map, OptimizerMap):
            for optimizer in (*optimizer_map._by_pattern.values(), optimizer_map.default_optimizer):
                self._take(optimizer)

    def _take(self, optimizer: Any) -> Optimizer:
        if not isinstance(optimizer, Optimizer):
            raise ArgumentError(f"The optimizer of a variable is an Optimizer instance, not {optimizer!r}.")
        _refuse(optimizer)
        if not any(one is optimizer for one in self.optimizers):
            optimizer.loss_scale_factor = self.loss_scale_factor
            self.optimizers.append(optimizer)
        return optimizer

    def optimizer_of(self, variable: Variable) -> Optimizer:
        """The optimizer of ``variable``, asked for once."""
        if id(variable) not in self._chosen:
            self._chosen[id(variable)] = self._take(self.optimizer_map(variable))
        return self._chosen[id(variable)]

    def _start(self) -> None:
        super()._start()
        self.outer_rate = 0.0  # in Keras's list of variables stands a rate that nothing reads
        self._numbers["learning_rate"] = HostNumber(
            f"{self.name}/learning_rate", "float32", self, "outer_rate"
        )
        self._chosen: dict[int, Optimizer] = {}
        for optimizer in self.optimizers:
            self._chosen |= {id(variable): optimizer for variable in optimizer._trainable_variables}

    def __getstate__(self) -> dict[str, Any]:
        return {key: value for key, value in super().__getstate__().items() if key != "_chosen"}

    def _parts(self, variables: Sequence[Variable]) -> list[tuple[Optimizer, list[Variable]]]:
        """The optimizers of ``variables``, each with its own."""
        of = [(self.optimizer_of(variable), variable) for variable in variables]
        parts = [(one, [v for optimizer, v in of if optimizer is one]) for one in self.optimizers]
        return [(one, own) for one, own in parts if own]

    def build(self, variables: Sequence[Variable]) -> None:
        """Make the slots of ``variables``, each by its own optimizer."""
        for optimizer, own in self._parts(variables):
            optimizer.ready_for(own)
        super().build(variables)

    @property
    def variables(self) -> list[Variable]:
        """Its own, then those of its optimizers."""
        return [*self._numbers.values(), *(v for one in self.optimizers for v in one.variables)]

    def slots(self, variable: Variable) -> tuple[Variable, ...]:
        """The slots of ``variable``, of its optimizer."""
        self.ready_for([variable])
        return self.optimizer_of(variable).slots(variable)

    def slot(self, variable: Variable, name: str) -> Variable:
        """The slot of ``variable`` called ``name``, of its optimizer."""
        self.ready_for([variable])
        return self.optimizer_of(variable).slot(variable, name)

    def slot_types(self, variable: Variable) -> dict[str, tuple[int, ...]]:
        return self.optimizer_of(variable).slot_types(variable)

    def numbers(self) -> dict[str, Variable]:
        return {
            f"{i}/{name}": variable
            for i, optimizer in enumerate(self.optimizers)
            for name, variable in optimizer.numbers().items()
        }

    def resume(self, calls: int) -> None:
        super().resume(calls)
        for optimizer in self.optimizers:
            optimizer.resume(calls)

    def update_pairs(self, pairs: list[tuple[Any, Variable]], examples: Any) -> None:
        from unifront.train.updating import clock_of

        clock = clock_of(self, call=True)
        for optimizer, own in self._parts([variable for _, variable in pairs]):
            ids = {id(variable) for variable in own}
            optimizer.update_pairs([(g, v) for g, v in pairs if id(v) in ids], examples)
        clock.advance()

    def finalize_variable_values(self, var_list: Sequence[Variable]) -> None:
        for optimizer, own in self._parts(var_list):
            optimizer.finalize_variable_values(own)

    @property
    def learning_rate(self) -> Any:
        """There is none: rates are those of ``optimizers``."""
        raise _NoRate("Learning rate cannot be accessed on a MultiOptimizer. Ask each of its `optimizers`.")

    @learning_rate.setter
    def learning_rate(self, value: Any) -> None:
        raise _NoRate("Learning rate cannot be set on a MultiOptimizer. Set it on each of its `optimizers`.")

    @property
    def loss_scale_factor(self) -> float | None:
        """What `scale_loss` multiplies by; setting it sets that of every optimizer."""
        return self._loss_scale_factor

    @loss_scale_factor.setter
    def loss_scale_factor(self, value: float | None) -> None:
        self._loss_scale_factor = value
        for optimizer in self.optimizers:
            optimizer.loss_scale_factor = value

    def get_config(self) -> dict[str, Any]:
        return {
            "optimizer_map": serialize_keras_object(self.optimizer_map),
            "loss_scale_factor": self.loss_scale_factor,
            "name": self.name,
        }

    @classmethod
    def from_config(cls, config: Mapping[str, Any], custom_objects: Mapping[str, Any] | None = None) -> Self:
        chosen = config["optimizer_map"]
        if isinstance(chosen, Mapping) and "class_name" in chosen:
            chosen = deserialize_keras_object(chosen, custom_objects)
        return cls(**{**config, "optimizer_map": chosen})

    def config(self) -> dict[str, Any]:
        return {"optimizer_map": self.optimizer_map, "loss_scale_factor": self.loss_scale_factor}

    @property
    def schedule(self) -> Any:
        """None: it has no rate."""
        return None

    def key(self) -> tuple[Any, ...]:
        return id(self), self.loss_scale_factor, *(one.key() for one in self.optimizers)

    def __repr__(self) -> str:
        return f"<MultiOptimizer({', '.join(map(repr, self.optimizers))})>"


class _NoRate(ArgumentError, AttributeError):
    """As in Keras, where asking for the rate is asking for an attribute that is not there."""


_WHY = {
    "LossScaleOptimizer": "decides whether there is a step at all; put the MultiOptimizer inside it",
    "MultiOptimizer": "chooses optimizers itself",
}
