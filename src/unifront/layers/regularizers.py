"""Weight penalties, under Keras's names: functions from a weight to a scalar added to the training loss."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated, Any, cast

from unifront import ops
from unifront.arguments import Amount, checked, meant
from unifront.errors import ArgumentError, UnknownName

Regularizer = Callable[[Any], Any]


@checked
@dataclass(frozen=True)
class L1L2:
    """``l1 * sum(|w|) + l2 * sum(w**2)``."""

    l1: Amount = 0.0
    l2: Amount = 0.0

    def __call__(self, weight: Any) -> Any:
        penalties = []
        if self.l1:
            penalties.append(ops.multiply(ops.sum(ops.abs(weight)), self.l1))
        if self.l2:
            penalties.append(ops.multiply(ops.sum(ops.square(weight)), self.l2))
        return ops.add(*penalties) if len(penalties) == 2 else penalties[0] if penalties else 0.0


@checked
def L1(l1: Amount = 0.01) -> L1L2:  # Keras's class names
    """``l1 * sum(|w|)``."""
    return L1L2(l1=l1)


@checked
def L2(l2: Amount = 0.01) -> L1L2:  # Keras's class names
    """``l2 * sum(w**2)``."""
    return L1L2(l2=l2)


NAMES: dict[str, Callable[[], Regularizer]] = {
    "l1": L1,
    "l2": L2,
    "l1_l2": lambda: L1L2(0.01, 0.01),
    "L1": L1,
    "L2": L2,
    "L1L2": L1L2,
}


def get(regularizer: Any) -> Regularizer | None:
    """The regularizer meant by a name, a class of this module (made with its defaults), a callable or None.

    Raises `UnknownName` for another name, `ArgumentError` for what is none of these.
    """
    if any(regularizer is made for made in NAMES.values()):
        return cast("Callable[[], Regularizer]", regularizer)()
    if regularizer is None or (callable(regularizer) and not isinstance(regularizer, type)):
        return regularizer
    if isinstance(regularizer, str) and regularizer in NAMES:
        return NAMES[regularizer]()
    if isinstance(regularizer, str):
        raise UnknownName("regularizer", regularizer, NAMES)
    raise ArgumentError(f"A regularizer is a name or a callable, not {regularizer!r}.")


RegularizerLike = Annotated[Any, meant(get)]
"""What `get` takes."""
