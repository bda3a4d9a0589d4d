"""Arguments that many layers share, and what is checked at a call."""

from __future__ import annotations

import inspect
from collections.abc import Mapping, Sequence
from typing import Annotated, Any, TypedDict

from unifront.arguments import LARGEST, Check, Default, Wrong, convert, meant, one_of, only, shown, whole
from unifront.dtype_policies import DTypePolicy
from unifront.dtype_policies import get as policy_of
from unifront.dtypes import DType, DTypeLike, dtype_of
from unifront.errors import ArgumentError, ShapeError, UnknownName
from unifront.opset.data_format import DATA_FORMATS, image_data_format
from unifront.opset.rules import is_whole, show
from unifront.opset.tensor import type_of


def _per_axis(value: Any, owner: Any) -> tuple[int, ...]:
    values = tuple(value) if isinstance(value, list | tuple) else (value,) * owner.rank
    if len(values) != owner.rank or not all(is_whole(one) and 0 < one <= LARGEST for one in values):
        raise Wrong(f"a positive int, or {owner.rank} of them")
    return tuple(map(int, values))


def _data_format(value: Any, owner: Any) -> str:
    found: str = one_of(DATA_FORMATS).convert(image_data_format() if value is None else value, owner)
    return found


PerAxis = Annotated[int | Sequence[int], Check(_per_axis)]
"""A positive int, or one for each of the layer's spatial axes; becomes a tuple."""
DataFormat = Annotated[str | None, Check(_data_format)]
"""Where the channels are; None for what `uf.config.image_data_format` says (last at first)."""
Padding = Annotated[str, one_of(lambda owner: owner.paddings)]
"""A name among the ``paddings`` of the layer's class."""
Seed = Annotated[int, whole(0)] | None
"""What gives random numbers a stream of their own; None for none."""
Axis = Annotated[int, whole(-64, 63)]
"""An axis: no array of NumPy has more than 64."""
Axes = Axis | Sequence[Axis]
"""One axis, or several, which become a tuple."""


def _constraint(value: Any) -> Any:
    from unifront.layers.constraints import get  # which has axes from here

    return get(value)


Constraint = Annotated[Any, meant(_constraint)]
"""What a weight becomes after each update: a name or a callable, see `unifront.layers.constraints`."""


def _layer_name(value: Any) -> Any:
    if value is not None and (not isinstance(value, str) or not value or "/" in value):
        raise ArgumentError(f"A layer's name is a non-empty string without '/', not {shown(value)}.")
    return value


def _dtype(value: Any) -> DType:
    return value.compute_dtype if isinstance(value, DTypePolicy) else dtype_of(value)


LayerName = Annotated[str | None, meant(_layer_name)]
"""The name of a layer or model; None for that of its class or attribute."""
DTypeName = Annotated[DTypeLike | None, meant(lambda value: None if value is None else _dtype(value))]
"""A dtype in any of its spellings, or None."""
PolicyLike = Annotated[
    DTypeLike | DTypePolicy | None, meant(lambda value: None if value is None else policy_of(value))
]
"""A dtype, a dtype policy or its name, or None."""


class Options(TypedDict, total=False):
    """The keywords that every layer takes."""

    name: str | None
    dtype: DTypeLike | DTypePolicy | None
    trainable: Annotated[bool, Default(True)]


class LayerOptions(Options, total=False):
    """The keywords of layers that do not name ``activity_regularizer`` themselves."""

    activity_regularizer: Any


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


AT_DEFAULT: dict[str, Any] = {"autocast": True, "rms_scaling": False}
"""Keras's arguments that layers take at Keras's default only, beside the constraints; not in signatures."""


FOR_INPUT = ("batch_input_shape", "input_length")
"""Older Keras arguments of layers, which `Input` has taken over."""


def refuse(cls: type, options: Mapping[str, Any]) -> None:
    """Raise unless every one of ``options``, which no layer of the class knows, means what is done anyway."""
    for name, value in options.items():
        if name in FOR_INPUT:
            raise ArgumentError(f"{cls.__name__} takes no {name}; begin the model with uf.Input(shape).")
        if name not in AT_DEFAULT and not name.endswith("_constraint"):
            known = [one for one in inspect.signature(cls).parameters if one not in ("args", "options")]
            raise UnknownName(f"argument of {cls.__name__}", name, known)
        convert(cls.__name__, name, value, only(AT_DEFAULT.get(name)))
