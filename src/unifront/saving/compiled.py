"""How a model was compiled, as JSON, and back: names and arguments of unifront's own classes, never code."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from unifront.errors import FileFormatError, UnifrontError
from unifront.train import configure, losses, metrics, optimizers, schedules

if TYPE_CHECKING:
    from unifront.model import Model

CLASS, LOST = "$class", "$lost"


def _classes(module: Any, base: type) -> dict[str, type]:
    """The classes that ``module`` (a file or a package) shows, without those made of a function."""
    return {
        name: one
        for name, one in vars(module).items()
        if isinstance(one, type)
        and issubclass(one, base)
        and one is not base
        and not name.startswith("_")
        and f"{one.__module__}.".startswith(f"{module.__name__}.")
        and one not in (losses.LossFunctionWrapper, losses.StandardLoss, metrics.MeanMetricWrapper)
    }


KNOWN = {
    f"{module.__name__.rpartition('.')[2]}.{name}": one  # ``losses.Poisson``: a metric may be called as a loss is
    for module, base in (
        (losses, losses.Loss), (metrics, metrics.Metric), (schedules, schedules.Schedule)
    )
    for name, one in _classes(module, base).items()
}  # fmt: skip
_NAMES = {one: name for name, one in KNOWN.items()}
OPTIMIZERS = _classes(optimizers, optimizers.Optimizer)


def described(model: Model) -> dict[str, Any] | None:
    """How ``model`` was compiled; None if it was not, or with an optimizer or schedule of the user's."""
    training = model._training
    if training is None:
        return None
    optimizer = training.optimizer
    if optimizer is None or OPTIMIZERS.get(type(optimizer).__name__) is not type(optimizer):
        return None
    rate = optimizer.learning_rate
    if callable(rate) and type(rate) not in _NAMES:
        return None
    return {
        "optimizer": {
            CLASS: type(optimizer).__name__,
            **optimizer.config(),
            "learning_rate": _plain(rate),
        },
        "iterations": optimizer.calls,
        **{
            part: _plain(getattr(training, part))
            for part in ("loss", "metrics", "weighted_metrics", "loss_weights")
        },
    }


def _plain(one: Any) -> Any:
    """Names and numbers as they are, our objects with their arguments; of anything else its name."""
    match one:
        case None | str() | int() | float() | np.ndarray() | np.generic():
            return one
        case list() | tuple():
            return [_plain(item) for item in one]
        case dict():
            return {name: _plain(item) for name, item in one.items()}
    name = _NAMES.get(type(one))
    if name is not None and isinstance(one, losses.Loss | metrics.Metric):
        return {CLASS: name, **one.get_config()}
    if name is not None and dataclasses.is_dataclass(one):
        return {CLASS: name, **{part: _plain(item) for part, item in vars(one).items()}}
    if (
        callable(one)
        and losses.FUNCTIONS.get(getattr(one, "__name__", "")) is not None
        and losses.get(one.__name__) is one
    ):
        return one.__name__  # a function of ours
    return {LOST: getattr(one, "__name__", type(one).__name__)}


def compile_as(model: Model, given: Any, slots: Mapping[str, np.ndarray]) -> None:
    """Compile ``model`` as ``given`` says, unless something of the user's was lost.

    Raises `FileFormatError` for what `described` would not write.
    """
    if not isinstance(given, dict):
        raise FileFormatError("what the model was compiled with is not readable")
    parts = {name: given.get(name) for name in ("loss", "metrics", "weighted_metrics", "loss_weights")}
    if any(map(_lost, parts.values())):
        return
    optimizer = _made(given.get("optimizer"), OPTIMIZERS)
    if not isinstance(optimizer, optimizers.Optimizer):
        raise FileFormatError(f"the optimizer is {str(optimizer)[:80]!r}")
    iterations = given.get("iterations")
    if type(iterations) is not int or not 0 <= iterations < 2**63:
        raise FileFormatError(f"the number of steps done is {str(iterations)[:80]}")
    optimizer.calls = iterations
    floats = [variable for variable in model.weights if variable.dtype.is_float]
    types = {f"{v.path}/{slot}": v for v in floats for slot in optimizer.all_slot_names()}
    for path, value in slots.items():
        variable = types.get(path)
        if variable is None:
            raise FileFormatError(f"the optimizer's slot {path!r} belongs to no weight")
        if (value.shape, value.dtype) != (variable.shape, variable.dtype.numpy):
            raise FileFormatError(f"the optimizer's slot {path!r} is {value.dtype}{list(value.shape)}")
    optimizer.adopt(
        (v for v in floats if any(f"{v.path}/{s}" in slots for s in optimizer.all_slot_names())), slots
    )
    rest = {name: _made(part, KNOWN) for name, part in parts.items()}
    model._training = configure(
        model, optimizer, rest["loss"], rest["metrics"], rest["loss_weights"], rest["weighted_metrics"], None
    )


def _lost(one: Any) -> bool:
    if isinstance(one, dict):
        return LOST in one or any(map(_lost, one.values()))
    return isinstance(one, list) and any(map(_lost, one))


def _made(one: Any, known: Mapping[str, type]) -> Any:
    """The objects that ``one`` describes; their classes check the arguments."""
    if isinstance(one, list):
        return [_made(item, known) for item in one]
    if not isinstance(one, dict):
        return one
    parts = {name: _made(item, KNOWN) for name, item in one.items() if name != CLASS}
    if CLASS not in one:
        return parts
    name = one[CLASS]
    if not isinstance(name, str) or name not in known:
        raise FileFormatError(f"it is compiled with {str(name)[:80]!r}, which is not known")
    try:
        return known[name](**parts)
    except UnifrontError:
        raise  # it says whose argument it is
    except (ArithmeticError, LookupError, TypeError, ValueError) as error:
        raise FileFormatError(f"the arguments of {name} do not fit: {error}") from error
