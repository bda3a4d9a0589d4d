"""Optimizers, with Keras's names, arguments and formulas.

An optimizer object keeps its slots (Adam's moments …) as variables beside the weights, so that they move with
them from backend to backend. What it does to a weight is an operation with kernels (`unifront.opset.optimize`), or a
formula in operations, which becomes part of the step's graph.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from unifront.errors import ArgumentError, UnknownName
from unifront.serialization import deserialize_keras_object, get_registered_object, serialize_keras_object
from unifront.train import schedules as schedules  # Keras's place for them: uf.optimizers.schedules
from unifront.train.optimizers.adaptive import Adam as Adam
from unifront.train.optimizers.adaptive import Adamax as Adamax
from unifront.train.optimizers.adaptive import AdamW as AdamW
from unifront.train.optimizers.adaptive import Lamb as Lamb
from unifront.train.optimizers.adaptive import Nadam as Nadam
from unifront.train.optimizers.adaptive import ScheduleFreeAdamW as ScheduleFreeAdamW
from unifront.train.optimizers.classic import SGD as SGD
from unifront.train.optimizers.classic import Adadelta as Adadelta
from unifront.train.optimizers.classic import Adagrad as Adagrad
from unifront.train.optimizers.classic import Ftrl as Ftrl
from unifront.train.optimizers.classic import Lion as Lion
from unifront.train.optimizers.classic import RMSprop as RMSprop
from unifront.train.optimizers.loss_scale import LossScaleOptimizer as LossScaleOptimizer
from unifront.train.optimizers.matrices import Adafactor as Adafactor
from unifront.train.optimizers.matrices import Muon as Muon
from unifront.train.optimizers.optimizer import Optimizer as Optimizer
from unifront.train.optimizers.several import MultiOptimizer as MultiOptimizer
from unifront.train.optimizers.several import OptimizerMap as OptimizerMap

CLASSES: tuple[type[Optimizer], ...] = (
    SGD, Adadelta, Adafactor, Adagrad, Adam, Adamax, AdamW, Ftrl, Lamb, Lion, LossScaleOptimizer, MultiOptimizer,
    Muon, Nadam, RMSprop, ScheduleFreeAdamW,
)  # fmt: skip
NAMES: dict[str, Callable[..., Any]] = {one.__name__.lower(): one for one in CLASSES} | {
    "optimizermap": OptimizerMap
}

__all__ = [
    "SGD", "Adadelta", "Adafactor", "Adagrad", "Adam", "AdamW", "Adamax", "Ftrl", "Lamb", "Lion",
    "LossScaleOptimizer", "MultiOptimizer", "Muon", "Nadam", "Optimizer", "OptimizerMap", "RMSprop",
    "ScheduleFreeAdamW", "deserialize", "get", "schedules", "serialize",
]  # fmt: skip


def __dir__() -> list[str]:
    return __all__


def get(identifier: Any) -> Any:
    """The optimizer meant by a name, a description or an `Optimizer`; None stays None, as in Keras."""
    optimizer = identifier
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
