"""How a model was compiled, as JSON, and back: names and arguments of unifront's own classes, never code."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from unifront.errors import FileFormatError, UnifrontError
from unifront.train import configure, losses, metrics, optimizers, schedules

if TYPE_CHECKING:
    from unifront.model import Model

CLASS, LOST = "$class", "$lost"
NUMBERS = "$optimizer/"
"""What begins the names of an optimizer's values that are of no weight."""


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
OPTIMIZERS: dict[str, type] = {one.__name__: one for one in optimizers.CLASSES}
KNOWN |= {f"optimizers.{name}": one for name, one in OPTIMIZERS.items()}
KNOWN["optimizers.OptimizerMap"] = optimizers.OptimizerMap
_NAMES = {one: name for name, one in KNOWN.items()}


def described(model: Model) -> dict[str, Any] | None:
    """How ``model`` was compiled; None if it was not, or with an optimizer or schedule of the user's."""
    training = model._training
    if training is None:
        return None
    optimizer = training.optimizer
    if optimizer is None:
        return None
    told = _plain(optimizer)
    if _lost(told):
        return None
    return {
        "optimizer": {**told, CLASS: type(optimizer).__name__},
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
    if isinstance(one, optimizers.Optimizer) and OPTIMIZERS.get(type(one).__name__) is type(one):
        config = one.config()
        if not all(map(_readable, _patterns(config))):
            return {LOST: type(one).__name__}
        return {CLASS: f"optimizers.{type(one).__name__}", **{k: _plain(v) for k, v in config.items()}}
    if type(one) is optimizers.OptimizerMap:
        parts = {"default_optimizer": one.default_optimizer, "optimizer_map": dict(one.items())}
        if not all(map(_readable, one)):
            return {LOST: "OptimizerMap"}
        return {CLASS: "optimizers.OptimizerMap", **{k: _plain(v) for k, v in parts.items()}}
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
    optimizer.resume(iterations)
    _adopt(model, optimizer, slots)
    rest = {name: _made(part, KNOWN) for name, part in parts.items()}
    model._training = configure(
        model, optimizer, rest["loss"], rest["metrics"], rest["loss_weights"], rest["weighted_metrics"], None
    )


def _patterns(arguments: Mapping[str, Any]) -> list[Any]:
    """The regular expressions among the arguments of an optimizer."""
    found = [arguments.get(name) or () for name in ("undecayed_names", "exclude_layers")]
    chosen = arguments.get("optimizer_map")
    return [pattern for one in found for pattern in one] + list(chosen if isinstance(chosen, dict) else ())


def _readable(pattern: Any) -> bool:
    """Whether a regular expression out of a file is found or not in no time, whatever it is looked for in."""
    few = isinstance(pattern, str) and len(pattern) <= 200 and sum(map(pattern.count, "*+?")) <= 4
    if not few or any(sign in pattern for sign in "({\\"):
        return False
    try:
        re.compile(pattern)
    except re.error:
        return False
    return True


def _adopt(model: Model, optimizer: Any, slots: Mapping[str, np.ndarray]) -> None:
    """Give ``optimizer`` the values that were saved of it."""
    floats = [variable for variable in model.weights if variable.dtype.is_float]
    types = {
        f"{v.path}/{slot}": (v, shape) for v in floats for slot, shape in optimizer.slot_types(v).items()
    }
    owners: dict[int, Any] = {}
    numbers: dict[str, np.ndarray] = {}
    for path, value in slots.items():
        if path.startswith(NUMBERS):
            numbers[path.removeprefix(NUMBERS)] = value
            continue
        if path not in types:
            raise FileFormatError(f"the optimizer's slot {path!r} belongs to no weight")
        variable, shape = types[path]
        if (value.shape, value.dtype) != (shape, variable.dtype.numpy):
            raise FileFormatError(f"the optimizer's slot {path!r} is {value.dtype}{list(value.shape)}")
        owners[id(variable)] = variable
    optimizer.adopt(owners.values(), slots)
    own = optimizer.numbers()
    for name, value in numbers.items():
        if name not in own:
            raise FileFormatError(f"the optimizer has no value {name!r}")
        if (value.shape, value.dtype) != (own[name].shape, own[name].dtype.numpy):
            raise FileFormatError(f"the optimizer's {name!r} is {value.dtype}{list(value.shape)}")
        own[name].assign(value)


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
    if not all(map(_readable, _patterns(parts))):
        raise FileFormatError("a pattern of weights is none that files may hold")
    if not isinstance(name, str) or name not in known:
        raise FileFormatError(f"it is compiled with {str(name)[:80]!r}, which is not known")
    try:
        return known[name](**parts)
    except UnifrontError:
        raise  # it says whose argument it is
    except (ArithmeticError, LookupError, TypeError, ValueError) as error:
        raise FileFormatError(f"the arguments of {name} do not fit: {error}") from error
