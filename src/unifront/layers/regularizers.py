"""Weight penalties, under Keras's names: functions from a weight to a scalar added to the training loss."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Annotated, Any, Literal

from unifront import ops
from unifront.arguments import Amount, Check, checked, meant, within
from unifront.errors import ShapeError
from unifront.opset.tensor import type_of
from unifront.serialization import Configured, deserialize_keras_object, identified, serialize_keras_object


class Regularizer(Configured):
    """What regularizers are: callables from a weight to a scalar. Override ``__call__``."""

    def __call__(self, x: Any) -> Any:
        return 0.0


def _penalty(x: Any, l1: float, l2: float) -> Any:
    penalties = []
    if l1:
        penalties.append(ops.multiply(ops.sum(ops.abs(x)), l1))
    if l2:
        penalties.append(ops.multiply(ops.sum(ops.square(x)), l2))
    return ops.add(*penalties) if len(penalties) == 2 else penalties[0] if penalties else 0.0


def _amount(default: float) -> Check:
    number = within("[0, inf)")
    return Check(lambda value, owner: default if value is None else number.convert(value, owner))


Penalty = Annotated[float, _amount(0.01)]
"""A finite number that is not negative; None for the default, as in Keras."""
OrNone = Annotated[float, _amount(0.0)]
"""Likewise; None for none."""


@checked
@dataclass(frozen=True)
class L1L2(Regularizer):
    """``l1 * sum(|x|) + l2 * sum(x**2)``."""

    l1: OrNone = 0.0
    l2: OrNone = 0.0

    def __call__(self, x: Any) -> Any:
        return _penalty(x, self.l1, self.l2)


@checked
@dataclass(frozen=True)
class L1(Regularizer):
    """``l1 * sum(|x|)``."""

    l1: Penalty = 0.01

    def __call__(self, x: Any) -> Any:
        return _penalty(x, self.l1, 0.0)


@checked
@dataclass(frozen=True)
class L2(Regularizer):
    """``l2 * sum(x**2)``."""

    l2: Penalty = 0.01

    def __call__(self, x: Any) -> Any:
        return _penalty(x, 0.0, self.l2)


@checked
@dataclass(frozen=True)
class OrthogonalRegularizer(Regularizer):
    """``factor`` times the mean of the absolute products of different rows (or columns) of unit length.

    Raises `ShapeError` for a weight that is no matrix. Source: ``keras.regularizers.OrthogonalRegularizer``.
    """

    factor: Amount = 0.01
    mode: Literal["rows", "columns"] = "rows"

    def __call__(self, x: Any) -> Any:
        type_ = type_of(x)
        if type_.rank != 2:
            raise ShapeError(
                f"Inputs to OrthogonalRegularizer must have rank 2 (matrices); the weight is {type_}."
            )
        rows = x if self.mode == "rows" else ops.transpose(x)
        size = int(type_.shape[0 if self.mode == "rows" else 1])  # type: ignore[arg-type]  # a weight's are fixed
        squares = ops.maximum(ops.sum(ops.square(rows), axis=1, keepdims=True), 1e-12)
        unit = ops.multiply(rows, ops.rsqrt(squares))
        others = ops.subtract(1.0, ops.one_hot(ops.arange(size, like=x), size, dtype=type_.dtype))
        products = ops.multiply(ops.matmul(unit, ops.transpose(unit)), others)
        pairs = size * (size - 1) / 2.0
        return ops.multiply(ops.sum(ops.abs(products)), self.factor * 0.5 / pairs)


def _both() -> L1L2:
    return L1L2(0.01, 0.01)


l1, l2, l1_l2, orthogonal_regularizer = L1, L2, L1L2, OrthogonalRegularizer

NAMES: dict[str, Callable[..., Any]] = {
    "l1": L1, "l2": L2, "L1": L1, "L2": L2, "L1L2": L1L2,
    "OrthogonalRegularizer": OrthogonalRegularizer, "orthogonal_regularizer": OrthogonalRegularizer,
    "Regularizer": Regularizer,
}  # fmt: skip


def get(identifier: Any) -> Any:
    """The regularizer meant by a name, a description, a class of this module, a callable or None.

    Raises `UnknownName` for another name, `ArgumentError` for what is none of these.
    """
    return (
        _both()
        if isinstance(identifier, str) and identifier in ("l1_l2", "l1l2")
        else identified("regularizer", identifier, NAMES)
    )


def serialize(regularizer: Any) -> Any:
    """The regularizer as plain data."""
    return serialize_keras_object(regularizer)


def deserialize(config: Any, custom_objects: Mapping[str, Any] | None = None) -> Any:
    """The regularizer that `serialize` described."""
    return deserialize_keras_object(config, custom_objects, module_objects=NAMES)


RegularizerLike = Annotated[Any, meant(get)]
"""What `get` takes."""


def __dir__() -> list[str]:
    return [*NAMES, "deserialize", "get", "l1_l2", "serialize"]
