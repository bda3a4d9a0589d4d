"""The weight store: each value has one home.

A `Variable` holds its value in exactly one place: host NumPy, a backend's device, or, while a compiled
training step runs, that step (a `Lease`). Whoever reads it elsewhere moves it. The canonical layout is
Keras's; a backend that keeps another one says so as a reversible `Storage`, applied when the value moves in.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from contextvars import ContextVar
from dataclasses import dataclass, field
from itertools import count
from types import EllipsisType
from typing import Annotated, Any, NamedTuple, Protocol, Self
from weakref import ref

import numpy as np

from unifront.arguments import anything, checked
from unifront.backends import Array, Backend, Placement, backend_of, placement
from unifront.dtypes import BY_NAME, DType, DTypeLike, dtype_of, floatx, int32
from unifront.errors import DTypeError, ShapeError
from unifront.ir.layouts import Storage
from unifront.ir.types import TensorType
from unifront.scopes import current_path

HOST: None = None
MOVING = threading.RLock()
"""Held while values move, so that no thread sees one half-way. Who holds a lease takes this lock before its own."""


class Lease(Protocol):
    """Somebody who holds the values of variables for a while, such as a running training step."""

    def give_back(self) -> None:
        """Put every value held back into its variable."""


class Held(NamedTuple):
    """A value and what is to be said of it. It is replaced whole, so that no thread sees one with the home of another.

    Args:
        value: the array; None while ``lease`` has it.
        home: where it is.
        storage: the layout it is in; None for the canonical one.
        leaf_for: as what its leaf was made, see `Variable.trains`; None: it is no leaf.
        lease: who has borrowed it.
    """

    value: Any = None
    home: Placement | None = HOST
    storage: Storage | None = None
    leaf_for: bool | None = None
    lease: Lease | None = None


_made = count()


def _free_name() -> str:
    number = next(_made)
    return f"variable_{number}" if number else "variable"


def _first_value(name: str, value: Any, dtype: DType | None) -> tuple[np.ndarray, DType]:
    """A value as NumPy, and its dtype: what has no width of its own, and NumPy's float64, becomes `floatx`."""
    backend = backend_of(value)
    given = (
        value.numpy() if isinstance(value, Variable) else value if backend is None else backend.numpy(value)
    )
    try:
        array = np.asarray(given)
    except ValueError:
        array = np.asarray(None)
    if array.dtype.kind not in "biufV" or array.dtype.name not in BY_NAME:
        raise DTypeError(f"The initial value of the variable {name!r} is an array of numbers.")
    kind = dtype_of(array.dtype)
    if dtype is None and (not hasattr(given, "dtype") or kind == "float64"):
        dtype = floatx() if kind.is_float else int32 if kind.is_integer else kind
    kind = kind if dtype is None else dtype
    return array.astype(kind.numpy), kind


class Variable:
    """A weight: a path, a type, a value (keras.Variable).

    Args:
        initializer: the first value: a number, list or array; or the name of an initializer, or one, for ``shape``.
        shape: static shape; that of the value unless given.
        dtype: element type; that of the value unless given, of Python's numbers int32 and ``floatx``.
        trainable: whether optimizers change it.
        autocast: whether layers that compute in another float dtype read it in that.
        aggregation, synchronization: how copies on several devices meet, which there are none of: kept as they are.
        name: "variable", "variable_1" … unless given. As an attribute of a layer it is one of the layer's weights.

    Raises `ShapeError` where the value has another shape, or an initializer none; `DTypeError` for what is no number.

    Example::

        count = uf.Variable(0, trainable=False)
        count.assign_add(1)
    """

    @checked
    def __init__(
        self,
        initializer: Annotated[Any, anything],
        shape: Annotated[Sequence[int] | None, anything] = None,
        dtype: Annotated[DTypeLike | None, anything] = None,
        trainable: bool = True,
        autocast: bool = True,
        aggregation: str | None = "none",
        synchronization: str | None = "auto",
        name: str | None = None,
    ) -> None:
        self.aggregation, self.synchronization = aggregation, synchronization
        self.loose, self.named = True, name is not None
        called = name or _free_name()
        if isinstance(initializer, str) or callable(initializer):
            if shape is None:
                raise ShapeError(f"The variable {called!r} has an initializer and no shape; give it one.")
            assert Variable.drawn is not None
            draw, kind = Variable.drawn(called, initializer), floatx() if dtype is None else dtype_of(dtype)
            start: Any = lambda: draw(self.shape, kind)  # noqa: E731  # called at the first use
        else:
            start, kind = _first_value(called, initializer, None if dtype is None else dtype_of(dtype))
        self._set(
            called,
            start.shape if shape is None else shape,
            kind,
            initial=start,
            trainable=trainable,
            autocast=autocast,
        )

    drawn: Callable[[str, Any], Callable[[tuple[int, ...], DType], np.ndarray]] | None = None
    """What an initializer gives for a variable called so; set by `unifront.layers.weighted`, which knows of seeds."""
    aggregation: str | None = "none"
    synchronization: str | None = "auto"
    overwrite_with_gradient = False
    loose = False
    """Whether the first layer that it is set as an attribute of takes it in as its weight."""
    named = True
    """Whether its name was chosen by who made it."""

    @classmethod
    def at(cls, path: str, shape: Sequence[int], dtype: DTypeLike = "float32", **options: Any) -> Self:
        """A weight at a path.

        Args:
            path: the layer path and the weight's name, ``encoder/dense/kernel``; within the `uf.name_scope` it is made
                in.
            shape: static shape.
            dtype: element type.
            options: ``initial``, a function giving the first value as NumPy (called at the first use), or the array
                itself; ``regularizer`` and ``constraint``, functions of the variable giving a scalar to add to the loss
                and what it becomes after each update, or None; ``scoped``, False if ``path`` is the whole path,
                wherever it is made; ``trainable`` and ``autocast``.
        """
        variable = cls.__new__(cls)
        variable._set(path, shape, dtype, **options)
        return variable

    @classmethod
    def around(cls, leaf: Array) -> Self:
        """A variable whose leaf is ``leaf``: one that a framework's own script has made, such as a ``tf.Variable``."""
        backend = backend_of(leaf)
        assert backend is not None
        type_, device = backend.type_of(leaf), backend.device_of(leaf)
        shape: Any = type_.shape  # static: it has a value
        variable = cls.at(_free_name(), shape, type_.dtype, initial=lambda: backend.numpy(leaf), scoped=False)
        place = Placement(backend, device or backend.devices()[0], backend.name)
        variable._leaves[str(place)] = ref(leaf)
        variable._held, variable._initial = Held(leaf, place, None, True), None
        return variable

    @checked
    def _set(
        self,
        path: str,
        shape: Annotated[Sequence[int], anything],
        dtype: Annotated[DTypeLike, anything] = "float32",
        *,
        initial: Annotated[np.ndarray | Callable[[], np.ndarray], anything],
        trainable: bool = True,
        autocast: bool = True,
        regularizer: Callable[[Any], Any] | None = None,
        constraint: Callable[[Any], Any] | None = None,
        scoped: bool = True,
    ) -> None:
        if not isinstance(shape, list | tuple) or not all(hasattr(size, "__index__") for size in shape):
            raise ShapeError(f"The shape of the variable {path!r} is a tuple of sizes, not {shape!r}.")
        around = current_path() if scoped else ""
        self.path = f"{around}/{path}" if around else path
        self.type = TensorType(dtype_of(dtype), tuple(int(size) for size in shape))
        self.trainable, self.autocast = trainable, autocast
        self.regularizer = regularizer
        self.constraint = constraint
        self.owners: tuple[Any, ...] = ()
        if not callable(initial) or isinstance(initial, type):
            self._check_initial(initial)
        self._start(initial)

    @property
    def ndim(self) -> int:
        """How many axes it has."""
        return len(self.shape)

    def _start(self, initial: np.ndarray | Callable[[], np.ndarray]) -> None:
        self._initial: np.ndarray | Callable[[], np.ndarray] | None = initial
        self._held = Held()
        self._readers: set[int] = set()
        self._leaves: dict[str, ref[Any]] = {}

    def _check_initial(self, initial: Any) -> None:
        try:
            array = np.asarray(initial)
        except ValueError:
            array = np.asarray(None)
        known = BY_NAME.get(array.dtype.name)
        if array.dtype.kind not in "biuf" and (known is None or known.is_complex):
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
        home = self._held.home
        return "host" if home is None else str(home)

    def is_at(self, backend: Backend, device: str | None) -> bool:
        """Whether the value is on a device of ``backend``, on this one if it is named."""
        home = self._held.home
        return home is not None and home.backend is backend and device in (None, home.device)

    def _settle(self, to_move: bool = False) -> Held:
        """What is held, here and made. Under `MOVING`, or the value may be lent at any moment.

        What is ``to_move`` is copied to its place by whoever asks: a first value is not copied before, nor kept.
        """
        with MOVING:
            lease = self._held.lease
            if lease is not None:
                lease.give_back()
            if self._initial is not None:
                if callable(self._initial):
                    self._initial = self._initial()
                held = Held(self.checked(self._initial, copy=None if to_move else True))
                if to_move:
                    return held
                self._held, self._initial = held, None
            return self._held

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
        with MOVING:
            held = self._settle()
            if held.home is None:
                return np.array(held.value)
            with held.home.backend.outside():
                return np.array(held.home.backend.numpy(_stored(held.value, held.storage, None)))

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
            self._held = Held(checked)

    def _take(self, value: Array, backend: Backend) -> bool:
        """Keep ``value`` on its own device; False if it has another type, or its device keeps no values."""
        if backend.type_of(value) != self.type:
            return False
        device = backend.device_of(value)
        if device is None:  # traced: it is written into the leaf as part of the trace
            home = self._held.home
            place = home if home is not None and home.backend is backend else None
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
        return self.native(self._held.home or placement())

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
        home = self._held.home
        if at_home and home is not None and home.backend is place.backend:
            place = home
        self._readers.add(threading.get_ident())  # before the value is read: see `lend`
        if as_leaf:
            leaf = self._leaf(place)
            if place.backend.keeps_reading:
                place.backend.read_again(leaf, lambda: self._leaf(place))
            return leaf
        held = self._held
        if held.lease is None and held.home == place and held.leaf_for is None and held.storage is storage:
            return held.value
        with MOVING:
            return self._move(place, storage, False)  # type: ignore[arg-type]  # it was given

    def _leaf(self, place: Placement) -> Array:
        """The leaf at ``place``, with the value."""
        held = self._held
        if (
            held.lease is None
            and held.home == place
            and held.leaf_for is not None
            and held.leaf_for == self.trains
        ):
            return held.value
        with MOVING:
            return self._move(place, None, True)

    def _move(self, place: Placement, storage: Storage | None, as_leaf: bool) -> Array:
        held = self._settle(to_move=True)
        self._readers.add(threading.get_ident())
        backend = place.backend
        with backend.outside():
            if held.home is None or held.home != place:
                host = held.value if held.home is None else self.numpy()
                value = backend.array(host, place.device)  # a copy
                if not set(place.devices).issubset(backend.devices()):  # there it would be lost
                    return backend.leaf(value, self.trains) if as_leaf else _stored(value, None, storage)
                held = Held(value, place)
            elif held.leaf_for is not None and not as_leaf:
                held = held._replace(value=backend.plain(held.value), leaf_for=None)
            if held.storage is not storage:
                held = held._replace(value=_stored(held.value, held.storage, storage), storage=storage)
            self._held, self._initial = held, None
            if as_leaf and held.leaf_for != self.trains:
                self._keep_leaf(held.value, place)
        return self._held.value

    def _keep_leaf(self, value: Array, place: Placement) -> None:
        """Make ``value`` the leaf at ``place``: the one of before, if somebody still holds it."""
        known = self._leaves.get(str(place))
        trains = self.trains
        leaf = place.backend.leaf(value, trains, None if known is None else known())
        with suppress(TypeError):  # what takes no weak reference has nothing to keep in step
            self._leaves[str(place)] = ref(leaf)
        self._held = Held(leaf, place, None, trains)

    def lend(
        self, lease: Lease, place: Placement, storage: Storage | None = None, *, overwritten: bool
    ) -> Array:
        """The value at ``place``, which ``lease`` holds until it gives it back with `restore`.

        Args:
            overwritten: the array will be. Then it is a copy, if another thread may still be using the value: a
                thread says so before it reads what is held, and that it is lent is said before looking who did.
        """
        with MOVING:
            value = self.native(place, storage)
            self._held = Held(None, place, storage, lease=lease)
            if overwritten:
                if self._readers != {threading.get_ident()}:
                    try:
                        value = place.backend.array(place.backend.numpy(value), place.device)
                    except BaseException:
                        self.restore(value, place, storage)
                        raise
                self._readers.clear()
            return value

    def restore(self, value: Array, place: Placement, storage: Storage | None) -> None:
        """Take the value back from a lease."""
        self._held = Held(value, place, storage)

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray:
        return np.asarray(self.numpy(), dtype)

    def __getstate__(self) -> dict[str, Any]:
        """What copies and pickles: the value, and no lease, leaf or device."""
        return {
            "path": self.path, "type": self.type, "trainable": self.trainable, "autocast": self.autocast,
            "owners": self.owners,
            "regularizer": self.regularizer, "constraint": self.constraint, "value": self.numpy(),
        }  # fmt: skip

    def __setstate__(self, state: dict[str, Any]) -> None:
        self._start(state.pop("value"))
        vars(self).update(state)

    def __repr__(self) -> str:
        kind = "trainable" if self.trainable else "fixed"
        return f"<Variable {self.path}: {self.type} {kind}>"


@contextmanager
def together(variables: Iterable[Variable]) -> Iterator[None]:
    """A block in which nobody else changes ``variables``: what is read in it is of one step, what is written too."""
    with MOVING:
        for variable in variables:
            lease = variable._held.lease
            if lease is not None:
                lease.give_back()
        yield


def canonical(value: Array, have: Storage | None) -> Array:
    """``value``, which lies in the layout ``have``, in the canonical one."""
    return _stored(value, have, None)


def _stored(value: Array, have: Storage | None, wanted: Storage | None) -> Array:
    """``value``, which lies in the layout ``have``, in the layout ``wanted``."""
    if have is wanted:
        return value
    value = have.from_native(value) if have else value
    return wanted.to_native(value) if wanted else value


@dataclass
class Overlay:
    """Native arrays that stand for variables, by their id, in a block of eager calls, and what is assigned there.

    ``used`` holds the ids of the variables that were read, unless ``is_told`` is False: nobody wants to know then.
    """

    values: dict[int, Any] = field(default_factory=dict)
    updates: dict[int, tuple[Variable, Any]] = field(default_factory=dict)
    used: set[int] = field(default_factory=set)
    is_told: bool = True

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
    home = variable._held.home
    return None if home is None else home.backend
