"""Checks of arguments that many layers share."""

from __future__ import annotations

import inspect
import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from unifront.errors import ArgumentError, ShapeError, UnknownName
from unifront.opset.rules import show
from unifront.opset.tensor import type_of

DATA_FORMATS = ("channels_last", "channels_first")


def positive(layer: str, name: str, value: Any) -> int:
    """``value``, which must be a positive int; else `ArgumentError`."""
    if not _is_positive(value):
        raise ArgumentError(f"{layer}: {name} is a positive int, not {value!r}.")
    return int(value)


def axes_tuple(layer: str, name: str, value: int | Sequence[int], rank: int) -> tuple[int, ...]:
    """``value`` as one positive int for each of ``rank`` axes; else `ArgumentError`."""
    values = tuple(value) if isinstance(value, Sequence) else (value,) * rank
    if len(values) != rank or not all(map(_is_positive, values)):
        raise ArgumentError(f"{layer}: {name} is a positive int, or {rank} of them; not {value!r}.")
    return tuple(map(int, values))


def _is_positive(value: Any) -> bool:
    return isinstance(value, int | np.integer) and not isinstance(value, bool) and bool(value > 0)


def data_format_of(value: str | None) -> str:
    """``value``, or ``"channels_last"`` for None."""
    if value not in (None, *DATA_FORMATS):
        raise UnknownName("data_format", value, DATA_FORMATS)
    return value or "channels_last"


def rate_of(layer: str, name: str, value: Any) -> float:
    """``value``, which must be in [0, 1); else `ArgumentError`."""
    if not _is_number(value) or not 0 <= value < 1:
        raise ArgumentError(f"{layer}: {name} is a number in [0, 1), not {value!r}.")
    return float(value)


def number(layer: str, name: str, value: Any, low: float = -math.inf, high: float = math.inf) -> float:
    """``value``, which must be a number from ``low`` to ``high``; else `ArgumentError`."""
    if not _is_number(value) or not low <= value <= high:
        span = f" in [{low}, {high}]" if high < math.inf else f" >= {low}" if low > -math.inf else ""
        raise ArgumentError(f"{layer}: {name} is a number{span}, not {value!r}.")
    return float(value)


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float | np.integer | np.floating)


def check_rank(layer: Any, x: Any, rank: int) -> None:
    """Raise `ShapeError` unless ``x`` has ``rank`` dimensions."""
    if type_of(x).rank != rank:
        raise ShapeError(f"{type(layer).__name__} takes {rank} dimensions; the input is {type_of(x)}.")


def check_mask(mask: Any, x: Any, axis: int = 1) -> None:
    """Raise `ShapeError` unless ``mask`` has the batch and the steps (at ``axis``) of ``x``."""
    shape = type_of(x).shape
    given, wanted = type_of(mask).shape, (shape[0], shape[axis])
    pairs = zip(given, wanted, strict=False)
    if len(given) != 2 or any(isinstance(a, int) and isinstance(b, int) and a != b for a, b in pairs):
        raise ShapeError(
            f"The mask has the shape {show(given)}; [batch, time] of the input is {show(wanted)}."
        )


AT_DEFAULT: dict[str, Any] = {
    "autocast": True, "lora_alpha": None, "lora_rank": None, "quantization_config": None, "renorm": False,
    "renorm_clipping": None, "renorm_momentum": 0.99, "synchronized": False, "weights": None,
}  # fmt: skip
"""Keras's arguments that layers take at Keras's default only, beside the constraints."""


FOR_INPUT = ("input_shape", "batch_input_shape", "input_length")
"""Older Keras arguments of layers, which `Input` has taken over."""


def refuse(cls: type, options: Mapping[str, Any]) -> None:
    """Raise unless every one of ``options``, which no layer of the class knows, means what is done anyway."""
    if not options:
        return
    for name in options:
        if name in FOR_INPUT:
            raise ArgumentError(f"{cls.__name__} takes no {name}; begin the model with uf.Input(shape).")
    defaults = {**AT_DEFAULT, **{name: None for name in options if name.endswith("_constraint")}}
    at_default(cls.__name__, options, defaults, lambda: arguments_of(cls))


def at_default(
    what: str, options: Mapping[str, Any], defaults: Mapping[str, Any], known: Callable[[], Iterable[str]]
) -> None:
    """Raise for ``options`` beyond ``defaults``, `UnknownName`, or with another value, `ArgumentError`."""
    for name, value in options.items():
        if name not in defaults:
            raise UnknownName(f"argument of {what}", name, known())
        if value is not None and value != defaults[name]:
            raise ArgumentError(f"{what}: {name}={value!r} is not supported; leave it at {defaults[name]!r}.")


def arguments_of(cls: type) -> list[str]:
    """The names of the arguments that the constructors of a layer class take."""
    found: dict[str, None] = {}
    for base in cls.__mro__:
        if "__init__" in vars(base) and base is not object:
            parameters = list(inspect.signature(vars(base)["__init__"]).parameters.values())[1:]
            found.update(
                {p.name: None for p in parameters if p.kind not in (p.VAR_KEYWORD, p.VAR_POSITIONAL)}
            )
    return list(found)
