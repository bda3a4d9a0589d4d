"""Optimizers, losses, callbacks and layers that a recipe names, made; what is wrong is said with its place.

A thing is written as its name alone (``adam``), with the name among its arguments
(``{name: adam, learning_rate: 0.01}``), with them below it (``Conv2D: {filters: 16, kernel_size: 3}``, ``Dense: 10``),
or as Keras describes it (``{class_name: Dense, config: {units: 10}}``).
"""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cache
from typing import Any

from unifront import activations, layers
from unifront.errors import UnifrontError, UnknownName
from unifront.layers import constraints, initializers, regularizers
from unifront.layers.layer import Layer
from unifront.layers.nesting import snake_case
from unifront.recipes.text import Key, Text
from unifront.serialization import deserialize_keras_object
from unifront.train import callbacks, losses, optimizers, schedules
from unifront.train.callbacks import Callback
from unifront.train.metrics import registry

Known = Mapping[str, Callable[..., Any]]
_NOT_FROM_DATA = ("CallbackList", "LambdaCallback", "LearningRateScheduler", "Monitor")
"""Callbacks that are made of functions, or of other callbacks."""
_EPOCHS = re.compile(r"(\d+(?:\.\d+)?) epochs?")


def _classes(module: Any, base: type) -> dict[str, Callable[..., Any]]:
    return {
        name: one
        for name, one in ((name, getattr(module, name)) for name in dir(module))
        if isinstance(one, type) and issubclass(one, base) and one is not base and not name.startswith("_")
    }


@cache
def kinds() -> dict[str, Known]:
    """What each kind of thing may be, by name."""
    return {
        "layer": _classes(layers, Layer),
        "optimizer": optimizers.NAMES,
        "loss": losses.NAMES,
        "metric": registry.NAMES,
        "schedule": _classes(schedules, schedules.LearningRateSchedule),
        "callback": {
            name: one for name, one in _classes(callbacks, Callback).items() if name not in _NOT_FROM_DATA
        },
        "initializer": _classes(initializers, initializers.Initializer),
        "regularizer": _classes(regularizers, regularizers.Regularizer),
        "constraint": _classes(constraints, constraints.Constraint),
    }


_INNER = {"layer": "layer", "cell": "layer", "backward_layer": "layer", "forward_layer": "layer"}
"""Arguments that are things themselves, beside those called after initializers, regularizers, constraints."""


@dataclass(frozen=True)
class Maker:
    """Makes things of what a recipe holds.

    Args:
        text: the recipe.
        numbers: what ``$classes`` and the like stand for.
        steps: of an epoch, by which ``3 epochs`` is a number of steps.
    """

    text: Text
    numbers: Mapping[str, int] = field(default_factory=dict)
    steps: int | None = None

    def made(self, kind: str, key: Key, given: Any, **defaults: Any) -> Any:
        """The thing that ``given`` is, at ``key``; ``defaults`` are arguments that it takes unless given others.

        Raises `ArgumentError` with the place for a name that is not known, an argument that it does not take, and
        for what its constructor refuses.
        """
        if isinstance(given, dict) and "class_name" in given:
            return self._guard(key, lambda: deserialize_keras_object(given, module_objects=kinds()[kind]))
        name, at, told = self._parts(kind, key, given)
        if kind == "metric" and told is None and name in kinds()[kind]:
            return name  # a metric is called as it was asked for
        make = self._known(kind, at if at != key else (*key, "name") if "name" in _keys(given) else key, name)
        takes = _parameters(make)
        arguments: dict[str, Any] = {}
        positional: list[Any] = []
        if isinstance(told, dict):
            for one, value in told.items():
                if one not in takes:
                    raise self.text.unknown((*at, one), takes)
                arguments[one] = self.value(one, (*at, one), value)
        elif told is not None:
            positional = [self.value(next(iter(takes), ""), at, told)]
        taken = list(takes)[: len(positional)]
        more = {
            one: value for one, value in defaults.items() if one in takes and one not in (*arguments, *taken)
        }
        if kind in ("loss", "metric") and not isinstance(make, type) and not arguments:
            return name
        return self._guard(at, lambda: make(*positional, **more, **arguments))

    def _parts(self, kind: str, key: Key, given: Any) -> tuple[str, Key, Any]:
        """Name, the place of the arguments, the arguments."""
        if isinstance(given, str):
            return given, key, None
        if isinstance(given, dict) and isinstance(given.get("name"), str) and kind != "layer":
            return given["name"], key, {one: value for one, value in given.items() if one != "name"}
        if isinstance(given, dict) and len(given) == 1:
            ((name, told),) = given.items()
            return name, (*key, name), told
        raise self.text.error(
            key, f"a {kind} is a name, or a name with arguments (Name: {{argument: value}}), not {given!r}."
        )

    def _known(self, kind: str, key: Key, name: str) -> Callable[..., Any]:
        known = kinds()[kind]
        for one in (name, snake_case(name), name.lower()):
            if one in known:
                return known[one]
        alike = {one.lower().replace("_", ""): one for one in reversed(list(known))}
        found = alike.get(name.lower().replace("_", ""))
        if found is not None:
            return known[found]
        text = str(UnknownName(kind, name, known))
        raise self.text.error(key, text.partition(" Known:")[0] if "Did you mean" in text else text)

    def value(self, name: str, key: Key, value: Any) -> Any:
        """An argument, with what stands for numbers and things made."""
        if isinstance(value, str) and value.startswith("$"):
            if value[1:] not in self.numbers:
                known = ", ".join(f"${one}" for one in self.numbers) or "none"
                raise self.text.error(key, f"{value} is not known here; known: {known}.")
            return self.numbers[value[1:]]
        if isinstance(value, str) and (match := _EPOCHS.fullmatch(value)):
            if self.steps is None:
                raise self.text.error(
                    key, f"{value!r}: a number of epochs stands for steps in a schedule only."
                )
            return max(1, round(float(match[1]) * self.steps))
        kind = _INNER.get(name) or next(
            (one for one in ("initializer", "regularizer", "constraint") if name.endswith(one)), None
        )
        if kind is not None and isinstance(value, dict):
            return self.made(kind, key, value)
        if isinstance(value, list):
            return [self.value("", (*key, i), one) for i, one in enumerate(value)]
        if name == "activation" and isinstance(value, str):
            self._guard(key, lambda: activations.get(value))
        return value

    def _guard(self, key: Key, make: Callable[[], Any]) -> Any:
        try:
            return make()
        except (UnifrontError, TypeError) as error:
            raise self.text.error(key, str(error)) from error

    # ------------------------------------------------------------ what compile and fit take

    def metrics(self, given: list[Any]) -> list[Any]:
        """Metrics; ``accuracy`` as `Model.compile` knows it."""
        return [
            one
            if one in ("accuracy", "acc", "crossentropy", "ce")
            else self.made("metric", ("metrics", i), one)
            for i, one in enumerate(given)
        ]

    def layer(self, key: Key, given: Any) -> Layer:
        """A layer."""
        return self.made("layer", key, given)


def _keys(given: Any) -> Any:
    return given if isinstance(given, dict) else ()


@cache
def _parameters(make: Callable[..., Any]) -> dict[str, inspect.Parameter]:
    found = inspect.signature(make).parameters
    return {name: one for name, one in found.items() if one.kind not in (one.VAR_KEYWORD, one.VAR_POSITIONAL)}


def augmented(maker: Maker, given: list[Any], x: Any) -> Any:
    """``x`` through the layers of ``data.augment``, which do something in training alone."""
    for i, one in enumerate(given):
        x = maker.layer(("data", "augment", i), one)(x)
    return x


def built(maker: Maker, given: list[Any], x: Any) -> Any:
    """``x`` through the list ``layers``; one with ``inputs`` takes the outputs of the layers named there."""
    named: dict[str, Any] = {}
    for i, one in enumerate(given):
        key: Key = ("layers", i)
        wanted = None
        if isinstance(one, dict) and "inputs" in one and len(one) == 2:
            wanted = one["inputs"]
            one = {name: value for name, value in one.items() if name != "inputs"}
        if wanted is not None:
            names = [wanted] if isinstance(wanted, str) else wanted
            for name in names:
                if name not in named:
                    raise maker.text.error(
                        (*key, "inputs"), str(UnknownName("layer before this one", name, named))
                    )
            x = named[wanted] if isinstance(wanted, str) else [named[name] for name in names]
        layer = maker.layer(key, one)
        try:
            x = layer(x)
        except (UnifrontError, TypeError) as error:
            raise maker.text.error(key, str(error)) from error
        named[layer.name] = x
    return x
