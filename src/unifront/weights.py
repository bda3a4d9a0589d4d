"""The weight store: each value has one home.

A `Variable` holds its value in exactly one place: host NumPy, a backend's device, or, while a compiled
training step runs, that step (a `Lease`). Whoever reads it elsewhere moves it. The canonical layout is
Keras's; a backend that keeps another one says so as a reversible `Storage`, applied when the value moves in.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Annotated, Any, Protocol

import numpy as np

from unifront.arguments import anything, checked
from unifront.backends import Array, Backend, Placement, placement
from unifront.dtypes import DType, DTypeLike, dtype_of
from unifront.errors import DTypeError, ShapeError
from unifront.ir.emit import Storage
from unifront.ir.types import TensorType

HOST: None = None


class Lease(Protocol):
    """Somebody who holds the values of variables for a while, such as a running training step."""

    def give_back(self) -> None:
        """Put every value held back into its variable."""


class Variable:
    """A weight: a path, a type, a value.

    Args:
        path: the layer path and the weight's name, ``encoder/dense/kernel``.
        shape: static shape.
        dtype: element type, float32 unless given.
        initial: a function giving the first value as NumPy (called at the first use), or the array itself.
        trainable: whether optimizers change it.
        regularizer: a function of the variable giving a scalar to add to the loss, or None.
    """

    @checked
    def __init__(
        self,
        path: str,
        shape: Annotated[Sequence[int], anything],
        dtype: Annotated[DTypeLike, anything] = "float32",
        *,
        initial: Annotated[np.ndarray | Callable[[], np.ndarray], anything],
        trainable: bool = True,
        regularizer: Callable[[Any], Any] | None = None,
    ) -> None:
        if not isinstance(shape, list | tuple) or not all(hasattr(size, "__index__") for size in shape):
            raise ShapeError(f"The shape of the variable {path!r} is a tuple of sizes, not {shape!r}.")
        self.path = path
        self.type = TensorType(dtype_of(dtype), tuple(int(size) for size in shape))
        self.trainable = trainable
        self.regularizer = regularizer
        self.owners: tuple[Any, ...] = ()
        if not callable(initial) or isinstance(initial, type):
            self._check_initial(initial)
        self._initial: np.ndarray | Callable[[], np.ndarray] | None = initial
        self._value: Any = None
        self._home: Placement | None = HOST
        self._storage: Storage | None = None
        self._lease: Lease | None = None

    def _check_initial(self, initial: Any) -> None:
        try:
            array = np.asarray(initial)
        except ValueError:
            array = np.asarray(None)
        if array.dtype.kind not in "biuf" and array.dtype.name != "bfloat16":
            raise DTypeError(f"The initial value of the variable {self.path!r} is an array of numbers.")
        if array.shape != self.type.shape:
            raise ShapeError(
                f"The variable {self.path!r} has the shape {self.type.shape}; its initial value {array.shape}."
            )

    @property
    def name(self) -> str:
        """The last part of the path."""
        return self.path.rpartition("/")[2]

    @property
    def shape(self) -> tuple[int, ...]:
        return tuple(int(size) for size in self.type.shape)  # type: ignore[arg-type]  # static by construction

    @property
    def dtype(self) -> DType:
        return self.type.dtype

    @property
    def home(self) -> str:
        """Where the value is: ``"host"``, or a placement such as ``"torch:cuda:0"``."""
        self._settle()
        return "host" if self._home is None else str(self._home)

    def _settle(self) -> None:
        if self._lease is not None:
            self._lease.give_back()
        if self._initial is not None:
            value = self._initial() if callable(self._initial) else self._initial
            self._initial = None
            self._value = self.checked(value)

    def checked(self, value: Any) -> np.ndarray:
        """``value`` as an array of the variable's dtype; `ShapeError` or `DTypeError` if it does not fit."""
        array = np.asarray(value)
        if array.shape != self.shape:
            raise ShapeError(
                f"{self.path} has the shape {self.shape}; a value of shape {array.shape} was given."
            )
        if array.dtype.kind not in "biufV":
            raise DTypeError(f"{self.path} holds {self.dtype}; a value of dtype {array.dtype} was given.")
        return np.array(array, self.dtype.numpy)

    def numpy(self) -> np.ndarray:
        """The value in the canonical layout, as a NumPy array of its own."""
        self._settle()
        if self._home is None:
            return np.array(self._value)
        value = self._storage.from_native(self._value) if self._storage else self._value
        return np.array(self._home.backend.numpy(value))

    def assign(self, value: Any) -> None:
        """Replace the value by an array of its shape, cast to its dtype. Its home becomes the host."""
        checked = self.checked(value)
        self._initial = None  # never made, when replaced before its first use
        self._settle()
        self._value, self._home, self._storage = checked, HOST, None

    def native(self, where: str | Placement, storage: Storage | None = None) -> Array:
        """The value as a native array at ``where`` in the layout ``storage``, which becomes its home."""
        place = placement(where)
        self._settle()
        if self._home is None or str(self._home) != str(place):
            self._value = place.backend.array(self.numpy(), place.device)
            self._home, self._storage = place, None
        if self._storage is not storage:
            value = self._storage.from_native(self._value) if self._storage else self._value
            self._value = storage.to_native(value) if storage else value
            self._storage = storage
        return self._value

    def lend(self, lease: Lease) -> None:
        """Mark the value as held by ``lease`` until it gives it back with `restore`."""
        self._settle()
        self._lease = lease

    def restore(self, value: Array, place: Placement, storage: Storage | None) -> None:
        """Take the value back from a lease."""
        self._lease, self._initial = None, None
        self._value, self._home, self._storage = value, place, storage

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray:
        return np.asarray(self.numpy(), dtype)

    def __repr__(self) -> str:
        kind = "trainable" if self.trainable else "fixed"
        return f"<Variable {self.path}: {self.type} {kind}>"


def backend_home(variable: Variable) -> Backend | None:
    """The backend that holds the variable's value; None for the host."""
    variable._settle()
    return None if variable._home is None else variable._home.backend
