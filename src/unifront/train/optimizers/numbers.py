"""The numbers of an optimizer that the host keeps: steps done and the learning rate, readable as Keras's variables."""

from __future__ import annotations

from typing import Any, Protocol

import numpy as np

from unifront.backends import Placement, placement
from unifront.weights import MOVING, Lease, Variable


class Owner(Protocol):
    """Who has the numbers."""

    calls: int
    learning_rate: Any


class Rate(float):
    """The learning rate: a number that is also read and set as Keras's variable is."""

    _of: Owner | None = None

    @property
    def value(self) -> np.float32:
        """The number, as NumPy's: in float32, as Keras keeps it and steps of float32 take it."""
        return np.float32(self)

    def numpy(self) -> np.float32:
        """`value`."""
        return self.value

    def assign(self, value: Any) -> None:
        """Give the optimizer another rate."""
        if self._of is not None:
            self._of.learning_rate = float(value)

    def __reduce__(self) -> Any:
        return float, (float(self),)


class Count(int):
    """How many updates were done: a number that is also read and set as Keras's variable is."""

    _of: Any = None

    @property
    def value(self) -> int:
        """The number."""
        return int(self)

    def numpy(self) -> np.int64:
        """The number, as NumPy's."""
        return np.int64(self)

    def assign(self, value: Any) -> None:
        """Let the optimizer go on from another number."""
        if self._of is not None:
            self._of.iterations = int(value)

    def __reduce__(self) -> Any:
        return int, (int(self),)


class HostNumber(Variable):
    """A number of the host's in the place of a variable: kept by its owner, never on a device.

    A step gets it as an input, so that fused kernels read it without waiting for a device.

    Args:
        attribute: of ``owner`` that has the number.
    """

    def __init__(self, path: str, dtype: str, owner: Owner, attribute: str) -> None:
        self._set(path, (), dtype, initial=np.zeros(()), trainable=False, scoped=False)
        self._owner, self._attribute = owner, attribute
        self._lease: Lease | None = None

    def settle(self) -> None:
        """Have the number given back to its owner, who asks before it reads or sets it."""
        lease = self._lease
        if lease is not None:
            with MOVING:
                lease.give_back()

    def lend(self, lease: Lease, place: Placement, storage: Any = None, *, overwritten: bool) -> Any:
        with MOVING:
            value = self.native(place)
            self._lease = lease
            return value

    def restore(self, value: Any, place: Placement, storage: Any) -> None:
        self._lease = None
        number = place.backend.numpy(value)
        if number != self.numpy():  # the owner may have it in more digits
            self.assign(number)

    def numpy(self) -> np.ndarray:
        return np.asarray(getattr(self._owner, self._attribute), self.dtype.numpy)

    def assign(self, value: Any, *, copy: bool = True) -> None:
        if self.recorded is not None and self.recorded(self, value):
            return
        number = self.checked(getattr(value, "numpy", lambda: value)())
        setattr(self._owner, self._attribute, number.item())

    def native(self, where: str | Placement, storage: Any = ..., *, at_home: bool = False) -> Any:
        place = where if isinstance(where, Placement) else placement(where)
        return place.backend.array(self.numpy(), place.device)

    def __eq__(self, other: object) -> bool:
        return self is other if isinstance(other, Variable) else bool(self.numpy() == other)

    __hash__ = Variable.__hash__
