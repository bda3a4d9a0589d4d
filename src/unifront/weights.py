"""The weight store: each value has one home.

A `Variable` holds its value in exactly one place: host NumPy, a backend's device, or, while a compiled
training step runs, that step (a `Lease`). Whoever reads it elsewhere moves it. The canonical layout is
Keras's; a backend that keeps another one says so as a reversible `Storage`, applied when the value moves in.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from contextvars import ContextVar
from dataclasses import dataclass, field
from types import EllipsisType
from typing import Annotated, Any, Protocol
from weakref import ref

import numpy as np

from unifront.arguments import anything, checked
from unifront.backends import Array, Backend, Placement, backend_of, placement
from unifront.dtypes import DType, DTypeLike, dtype_of
from unifront.errors import DTypeError, ShapeError
from unifront.ir.layouts import Storage
from unifront.ir.types import TensorType

HOST: None = None
MOVING = threading.RLock()
"""Held while values move, so that no thread sees one half-way. Who holds a lease takes this lock before its own."""


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
        constraint: a function of the variable giving what it becomes after each update, or None.
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
        constraint: Callable[[Any], Any] | None = None,
    ) -> None:
        if not isinstance(shape, list | tuple) or not all(hasattr(size, "__index__") for size in shape):
            raise ShapeError(f"The shape of the variable {path!r} is a tuple of sizes, not {shape!r}.")
        self.path = path
        self.type = TensorType(dtype_of(dtype), tuple(int(size) for size in shape))
        self.trainable = trainable
        self.regularizer = regularizer
        self.constraint = constraint
        self.owners: tuple[Any, ...] = ()
        if not callable(initial) or isinstance(initial, type):
            self._check_initial(initial)
        self._start(initial)

    def _start(self, initial: np.ndarray | Callable[[], np.ndarray]) -> None:
        self._initial: np.ndarray | Callable[[], np.ndarray] | None = initial
        self._value: Any = None
        self._home: Placement | None = HOST
        self._storage: Storage | None = None
        self._lease: Lease | None = None
        self._readers: set[int] = set()
        self._leaf_for: bool | None = None
        self._leaves: dict[str, ref[Any]] = {}

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
        lease = self._lease
        if lease is not None:
            lease.give_back()
        if self._initial is not None:
            with MOVING:
                if self._initial is not None:
                    value = self._initial() if callable(self._initial) else self._initial
                    self._value = self.checked(value)
                    self._initial = None

    def checked(self, value: Any, copy: bool | None = True) -> np.ndarray:
        """``value`` as an array of the variable's dtype; `ShapeError` or `DTypeError` if it does not fit."""
        array = np.asarray(value)
        if array.shape != self.shape:
            raise ShapeError(
                f"{self.path} has the shape {self.shape}; a value of shape {array.shape} was given."
            )
        if array.dtype.kind not in "biufV":
            raise DTypeError(f"{self.path} holds {self.dtype}; a value of dtype {array.dtype} was given.")
        return np.array(array, self.dtype.numpy, copy=copy)

    def numpy(self) -> np.ndarray:
        """The value in the canonical layout, as a NumPy array of its own."""
        self._settle()
        with MOVING:
            if self._home is None:
                return np.array(self._value)
            with self._home.backend.outside():
                return np.array(self._home.backend.numpy(_stored(self._value, self._storage, None)))

    recorded: Callable[[Variable, Any], bool] | None = None
    """Whether a graph being traced takes an assignment; set by `unifront.opset`, which knows of graphs."""

    def assign_add(self, value: Any) -> None:
        """Add ``value``: in the graph being traced, or at once."""
        raise NotImplementedError  # defined by unifront.opset.operators, as arithmetic is

    def assign_sub(self, value: Any) -> None:
        """Take ``value`` off: in the graph being traced, or at once."""
        raise NotImplementedError  # defined by unifront.opset.operators, as arithmetic is

    def assign(self, value: Any, *, copy: bool = True) -> None:
        """Replace the value by an array of its shape, cast to its dtype.

        An array of a framework stays on its device, which becomes the home; anything else has its home on the
        host. A leaf that was given out takes the value in place, where its framework can. Without ``copy`` an array
        of NumPy of the right dtype becomes the value itself; nobody else may hold it then. While a graph is traced
        this is an update in that graph, see `unifront.opset.tensor.update`.
        """
        if self.recorded is not None and self.recorded(self, value):
            return
        backend = backend_of(value)
        if backend is not None and backend.name != "numpy" and self._take(value, backend):
            return
        checked = self.checked(value if backend is None else backend.numpy(value), copy or None)
        with MOVING:
            self._initial = None  # never made, when replaced before its first use
            self._settle()
            self._value, self._home, self._storage, self._leaf_for = checked, HOST, None, None

    def _take(self, value: Array, backend: Backend) -> bool:
        """Keep ``value`` on its own device; False if it has another type, or its device keeps no values."""
        if backend.type_of(value) != self.type:
            return False
        device = backend.device_of(value)
        if device is None:  # traced: it is written into the leaf as part of the trace
            place = self._home if self._home is not None and self._home.backend is backend else None
            place = place or Placement(backend, backend.devices()[0], backend.name)
            self.native(place)
        else:
            place = Placement(backend, device, backend.name)
            if device not in backend.devices():
                return False
        with MOVING:
            self._initial = None
            self._settle()
            self._keep_leaf(value, place)
        return True

    def retype(self, dtype: DTypeLike) -> None:
        """Hold the value in another dtype from now on."""
        value = None if self._initial is not None else self.numpy()
        self.type = self.type.with_dtype(dtype_of(dtype))
        if value is not None:
            self.assign(value)

    @property
    def value(self) -> Array:
        """The value as the framework's own training takes it, where it is, else on the default backend.

        In PyTorch a ``torch.nn.Parameter``, in TensorFlow a ``tf.Variable``, the same one as long as anybody
        holds it: gradients are found at it, and what an optimizer does to it is the variable's value. In JAX
        an array, which never changes.
        """
        overlay = _overlay.get()
        stand_in = None if overlay is None else overlay.read(self)
        if stand_in is not None:
            return stand_in
        self._settle()
        return self.native(self._home or placement())

    @property
    def trains(self) -> bool:
        """Whether optimizers change it: it is trainable, and so is every layer around it."""
        return self.trainable and all(layer.trainable for layer in self.owners)

    def native(
        self, where: str | Placement, storage: Storage | EllipsisType | None = ..., *, at_home: bool = False
    ) -> Array:
        """The value as a native array at ``where``, which becomes its home.

        Args:
            where: a backend, or a device of it. A device that keeps no values (PyTorch's ``meta``) gets a copy.
            storage: the layout that a program wants. Unless given the array is in the canonical layout, and
                a leaf that the framework's own autograd differentiates by; see `value`.
            at_home: any device of the backend will do.
        """
        as_leaf = storage is ...
        if as_leaf:
            overlay = _overlay.get()
            stand_in = None if overlay is None else overlay.read(self)
            if stand_in is not None:
                return stand_in
        place = where if isinstance(where, Placement) else placement(where)
        if at_home and self._home is not None and self._home.backend is place.backend:
            place = self._home
        self._readers.add(threading.get_ident())
        if self._lease is None and self._home == place:
            if as_leaf and self._leaf_for is not None and self._leaf_for == self.trains:
                return self._value
            if not as_leaf and self._leaf_for is None and self._storage is storage:
                return self._value
        with MOVING:
            return self._move(place, None if isinstance(storage, EllipsisType) else storage, as_leaf)

    def owned(self, where: Placement, storage: Storage | None = None) -> Array:
        """`native`, for somebody who will overwrite it: a copy, if another thread may still be using the array."""
        value = self.native(where, storage)
        if self._readers != {threading.get_ident()}:
            value = where.backend.array(where.backend.numpy(value), where.device)
        self._readers.clear()
        return value

    def _move(self, place: Placement, storage: Storage | None, as_leaf: bool) -> Array:
        self._settle()
        backend = place.backend
        with backend.outside():
            if self._home is None or self._home != place:
                value = backend.array(self.numpy(), place.device)
                if place.device not in backend.devices():  # there it would be lost
                    return backend.leaf(value, self.trains) if as_leaf else _stored(value, None, storage)
                self._value, self._home, self._storage, self._leaf_for = value, place, None, None
            elif self._leaf_for is not None and not as_leaf:
                self._value, self._leaf_for = backend.plain(self._value), None
            if self._storage is not storage:
                self._value = _stored(self._value, self._storage, storage)
                self._storage = storage
            if as_leaf and self._leaf_for != self.trains:
                self._keep_leaf(self._value, place)
        return self._value

    def _keep_leaf(self, value: Array, place: Placement) -> None:
        """Make ``value`` the leaf at ``place``: the one of before, if somebody still holds it."""
        known = self._leaves.get(str(place))
        trains = self.trains
        leaf = place.backend.leaf(value, trains, None if known is None else known())
        with suppress(TypeError):  # what takes no weak reference has nothing to keep in step
            self._leaves[str(place)] = ref(leaf)
        self._value, self._home, self._storage, self._leaf_for = leaf, place, None, trains

    def lend(self, lease: Lease) -> None:
        """Mark the value as held by ``lease`` until it gives it back with `restore`."""
        with MOVING:
            self._settle()
            self._lease = lease

    def restore(self, value: Array, place: Placement, storage: Storage | None) -> None:
        """Take the value back from a lease."""
        self._lease, self._initial, self._leaf_for = None, None, None
        self._value, self._home, self._storage = value, place, storage

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray:
        return np.asarray(self.numpy(), dtype)

    def __getstate__(self) -> dict[str, Any]:
        """What copies and pickles: the value, and no lease, leaf or device."""
        return {
            "path": self.path, "type": self.type, "trainable": self.trainable, "owners": self.owners,
            "regularizer": self.regularizer, "constraint": self.constraint, "value": self.numpy(),
        }  # fmt: skip

    def __setstate__(self, state: dict[str, Any]) -> None:
        self._start(state.pop("value"))
        vars(self).update(state)

    def __repr__(self) -> str:
        kind = "trainable" if self.trainable else "fixed"
        return f"<Variable {self.path}: {self.type} {kind}>"


def _stored(value: Array, have: Storage | None, wanted: Storage | None) -> Array:
    """``value``, which lies in the layout ``have``, in the layout ``wanted``."""
    if have is wanted:
        return value
    value = have.from_native(value) if have else value
    return wanted.to_native(value) if wanted else value


@dataclass
class Overlay:
    """Native arrays that stand for variables, by their id, in a block of eager calls, and what is assigned there.

    ``used`` holds the ids of the variables that were read.
    """

    values: dict[int, Any] = field(default_factory=dict)
    updates: dict[int, tuple[Variable, Any]] = field(default_factory=dict)
    used: set[int] = field(default_factory=set)

    def read(self, variable: Variable) -> Any:
        """What stands for ``variable``; None for the variable itself."""
        self.used.add(id(variable))
        return self.values.get(id(variable))

    def write(self, variable: Variable, value: Any) -> None:
        """Let ``value`` stand for ``variable`` from now on."""
        self.values[id(variable)] = value
        self.updates[id(variable)] = (variable, value)


_overlay: ContextVar[Overlay | None] = ContextVar("unifront_overlay", default=None)


@contextmanager
def overlaid(overlay: Overlay) -> Iterator[Overlay]:
    """A block in which eager calls read and write variables in ``overlay``."""
    token = _overlay.set(overlay)
    try:
        yield overlay
    finally:
        _overlay.reset(token)


def current_overlay() -> Overlay | None:
    """The overlay around this call."""
    return _overlay.get()


def backend_home(variable: Variable) -> Backend | None:
    """The backend that holds the variable's value; None for the host."""
    variable._settle()
    return None if variable._home is None else variable._home.backend
