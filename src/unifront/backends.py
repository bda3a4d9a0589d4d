"""What a backend is, and how backends are found.

A backend is an object registered under the entry-point group ``unifront.backends``; the name of its entry
is the import name of its framework. It owns one table from operations to native callables; all else here
is moving arrays and compiling programs. Nothing in unifront knows more of a framework than this protocol.
"""

from __future__ import annotations

import os
from collections import ChainMap
from collections.abc import Callable, Hashable, Iterable, Iterator, Mapping, MutableMapping, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from contextvars import ContextVar
from dataclasses import dataclass, field
from functools import cache, cached_property
from importlib import import_module, util
from numbers import Integral
from types import ModuleType
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from unifront import arguments
from unifront.dtypes import key as key_dtype
from unifront.errors import ArgumentError, BackendMissing, ForkError, UnknownName, UnsupportedOp
from unifront.ir.emit import Rows
from unifront.ir.graph import Graph, Op
from unifront.ir.layouts import Storage
from unifront.ir.types import TensorType

if TYPE_CHECKING:
    from importlib import metadata

GROUP = "unifront.backends"
DEFAULT_VARIABLES = ("UNIFRONT_BACKEND", "KERAS_BACKEND")
"""Of the environment: the first that is set names the default; scripts for Keras set the second."""
Array = Any
"""A native array: ``torch.Tensor``, ``jax.Array``, ``tf.Tensor`` or ``numpy.ndarray``."""


@dataclass(frozen=True, eq=False)
class StepPlan:
    """A graph to be run again and again, and what it carries from one run to the next.

    Args:
        graph: inputs ``*batch[, key], *counters``; outputs ``*results, *new values``.
        carry: the positions in ``graph.variables`` of the variables that the new values replace.
        counters: how many scalars the host gives for each run (numbers of steps, learning rates).
        jit: whether a backend to which XLA is a choice compiles by it; None leaves that to the backend.
    """

    graph: Graph
    carry: tuple[int, ...]
    counters: int
    jit: bool | None = None

    @cached_property
    def has_key(self) -> bool:
        """Whether the graph takes a random key, which is the same at each run."""
        return any(value.type.dtype == key_dtype for value in self.graph.inputs)

    @cached_property
    def batch(self) -> int:
        """How many inputs are the batch."""
        return len(self.graph.inputs) - self.counters - self.has_key

    @cached_property
    def results(self) -> int:
        """How many outputs are results."""
        return len(self.graph.outputs) - len(self.carry)


@dataclass
class StepState:
    """All that runs of a plan read and change, as native arrays in the backend's layout.

    ``variables[i]`` belongs to ``plan.graph.variables[i]``; ``results`` are those of the last run.
    """

    variables: list[Array]
    key: Array = None
    results: tuple[Array, ...] = ()


class Step(Protocol):
    """A compiled plan. It reads and replaces what is in ``state``; it never waits for the device."""

    state: StepState

    def __call__(self, batch: Sequence[Array], counters: Sequence[float]) -> None:
        """One run on one batch."""

    def run(self, arrays: Sequence[Array], indices: np.ndarray, counters: Sequence[Sequence[float]]) -> None:
        """Runs on batches ``array[indices[i]]`` of arrays on the device, with ``counters[i]``; ``indices`` is
        ``[runs, batch]``."""


class Compiled(Protocol):
    """A compiled graph: ``(inputs, variables) -> outputs``, all native arrays, variables in ``storage``."""

    storage: tuple[Storage | None, ...]
    source: str

    def __call__(self, inputs: Sequence[Array], variables: Sequence[Array]) -> tuple[Array, ...]: ...


class Backend(Protocol):
    """The whole of what unifront asks of a framework."""

    name: str
    spreads: bool = False
    """Whether a program may run on several devices at once. Then wherever a device is named, several may be, with
    commas (``"cuda:0,cuda:1"``, see `Placement`): `array` gives each of them the whole, `step` and `split` a part."""
    compiles_sizes: bool = False
    """Whether `compile` compiles anew for each size that its inputs have, so that few sizes are better than many."""
    keeps_reading: bool = False
    """Whether functions that the framework traces read the leaves of weights each time they run; see `read_again`."""

    def rows(self, device: str | None = None) -> Rows:
        """The table of native callables, for constants on ``device``."""

    def devices(self) -> tuple[str, ...]:
        """Names of the devices to run on, the default one first (``("cuda:0", "cpu")``)."""

    def version(self) -> str:
        """The framework's version."""

    def array(self, value: np.ndarray, device: str | None = None) -> Array:
        """``value`` as a native array of the same dtype, copied to the device."""

    def split(self, value: np.ndarray, device: str | None = None) -> Array:
        """Like `array`, but of several devices each gets its part of the first axis, if these can be equal."""
        return self.array(value, device)

    def small(self, values: Sequence[np.ndarray], device: str | None = None) -> list[Array]:
        """Small arrays that are wanted again and again, such as the first states of metrics, see `array`."""
        return [self.array(value, device) for value in values]

    def readable(self, value: np.ndarray, device: str | None = None) -> Array:
        """``value`` as `Step.run` takes batches from it: no copy, where the device can read the host's memory."""
        return self.array(value, device)

    def numpy(self, array: Array) -> np.ndarray:
        """A native array as NumPy, waiting for it."""

    def type_of(self, array: Array) -> TensorType:
        """Dtype and shape of a native array."""

    def key(self, seed: int, device: str | None = None) -> Array:
        """A random key."""

    def drawn_key(self, key: HostKey) -> Any:
        """The key of one call: ``key``, or what each run of the framework's own graph around the call draws."""
        return key

    def read_again(self, leaf: Array, read: Callable[[], Array]) -> None:
        """Told of each leaf that is given out: where a function is traced, ``read`` is called before each of its runs,
        and what it gives is then the value of ``leaf``."""
        return None

    def traced(self, function: Callable[..., Any], *, overwrites: bool = False) -> Callable[..., Any]:
        """A function of native arrays in structures, which gives such, as the framework itself traces and runs it.

        Args:
            overwrites: it may write its results into the arrays of its first argument.
        """
        return function

    def foreseen(self, array: Array) -> np.ndarray | None:
        """The value of an `awaited` array, as far as it follows from what is known already, such as shapes."""
        return None

    def awaited(self, array: Array) -> tuple[str, tuple[int | None, ...]] | None:
        """Of an array without a value, in a function or dataset that the framework traces, the name of its dtype (or
        ``"string"``) and its sizes, None for those not known. None of one that has a value."""
        return None

    def later(
        self, function: Callable[..., Sequence[np.ndarray]], arrays: Sequence[Array],
        results: Sequence[tuple[str, tuple[int | None, ...]]],
    ) -> Sequence[Array]:  # fmt: skip
        """What a function of NumPy arrays gives, run once `awaited` arrays have values; the dtype and sizes of each."""
        raise UnsupportedOp(f"{self.name} has no arrays that have no value yet.")

    def device_of(self, array: Array) -> str | None:
        """The device of a native array, or several that hold it, with commas; None where it has none with a name here
        (it is traced, or a part of it is in another process)."""
        return self.devices()[0]

    def free_bytes(self, device: str | None = None) -> int | None:
        """How much memory of the device is free; None where it cannot tell."""
        return host_free_bytes() if device is None or device.startswith("cpu") else None

    def signature(self, kind: type) -> Callable[[Array], Hashable] | None:
        """What two arrays of the class ``kind`` have in common with which eager operations do the same: class, dtype,
        shape, and the device where there are several. None for a class whose arrays do not say (traced ones)."""
        return None

    def outside(self) -> AbstractContextManager[Any]:
        """A block whose work is no part of a trace or gradient that the framework records around it."""
        return nullcontext()

    def profiled(self, folder: str) -> AbstractContextManager[Any]:
        """A block during which the framework's profiler runs, which writes for TensorBoard into ``folder``."""
        raise UnsupportedOp(f"The backend {self.name} has no profiler.")

    def leaf(self, array: Array, trainable: bool, into: Array | None = None) -> Array:
        """A copy of ``array`` as the framework's own training takes a weight: a leaf of its autograd.

        Args:
            trainable: whether gradients are recorded for it.
            into: an earlier leaf of the weight, which takes the value in place if the framework can.
        """
        return array

    def plain(self, leaf: Array) -> Array:
        """The value of a leaf for a program: nothing is recorded for it, and it may be overwritten."""
        return leaf

    def synchronize(self, device: str | None = None) -> None:
        """Wait until the device has done all work given to it."""

    def compile(self, graph: Graph, device: str | None = None) -> Compiled:
        """``graph`` compiled as the framework does best for inference."""

    def recordable(self, graph: Graph, device: str | None = None) -> Compiled:
        """Like `compile`, but the framework's own autograd records through it, if it has one; variables come as leaves,
        in the canonical layout."""
        return self.compile(graph, device)

    def value_and_grad(self, graph: Graph, wrt: Sequence[str], device: str | None = None) -> Compiled:
        """Like `compile`, but the outputs are followed by the gradients of output 0 (a scalar) to ``wrt``."""

    def step(self, plan: StepPlan, state: StepState, device: str | None = None) -> Step:
        """``plan`` compiled, starting from ``state``."""

    def module(
        self, training: Graph, inference: Graph, values: Mapping[str, np.ndarray], updates: Sequence[str],
        device: str | None = None,
    ) -> Any:  # fmt: skip
        """The model as the framework's own kind of module; see ``Model.lower``."""

    def weights_of(self, module: Any, given: Mapping[str, Array] | None = None) -> dict[str, np.ndarray]:
        """The weights of what `module` made by their paths, as NumPy in the canonical layout.

        Args:
            given: values in place of the module's own, called and laid out as the framework's modules do it.

        Raises `ArgumentError` for another module, `UnknownName` for a weight that it has not.
        """
        raise UnsupportedOp(f"The backend {self.name!r} gives no weights back.")


def aligned_copy(value: np.ndarray) -> np.ndarray:
    """A copy that begins where frameworks want it to, so that one on the host takes it as it is: NumPy's own begin at
    any 16 bytes, and are copied once more."""
    raw = np.empty(value.nbytes + ALIGNED, np.uint8)
    start = -raw.ctypes.data % ALIGNED
    copied = raw[start : start + value.nbytes].view(value.dtype).reshape(value.shape)
    copied[...] = value
    return copied


ALIGNED = 64
"""Bytes of the widest vectors that frameworks compute with."""


def host_free_bytes() -> int | None:
    """How much memory of the machine is free; None where the operating system does not tell."""
    try:
        return os.sysconf("SC_AVPHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    except (AttributeError, ValueError, OSError):  # not on Windows and macOS
        return None


Row = Callable[..., Any]
"""What runs an operation on native arrays."""


def with_plain(row: Row, plain: Row) -> Row:
    """``row``, and with it what it comes to for operands that are plain, see `is_plain`: of these it asks nothing."""
    row.plain = plain  # type: ignore[attr-defined]  # kept by the function itself
    return row


def is_plain(type_: TensorType | None) -> bool:
    """Whether it is of an operand that frameworks differ least in: floats of 16 or 32 bits, of two to five axes."""
    return type_ is not None and type_.dtype.name in _PLAIN and 2 <= type_.rank <= 5


_PLAIN = frozenset({"float16", "bfloat16", "float32"})


class LiveRows(dict[Op, Row]):
    """Rows that may change while programs run: whoever remembers some is told, see `when_rows_change`."""


def _telling(name: str) -> Callable[..., Any]:
    change = getattr(dict, name)

    def changed(self: LiveRows, *args: Any, **kwargs: Any) -> Any:
        try:
            return change(self, *args, **kwargs)
        finally:
            for listener in _listeners:
                listener()

    return changed


for _change in ("__setitem__", "__delitem__", "__ior__", "pop", "popitem", "clear", "update", "setdefault"):
    setattr(LiveRows, _change, _telling(_change))

_listeners: list[Callable[[], None]] = []


def when_rows_change(listener: Callable[[], None]) -> None:
    """Call ``listener`` after every change of rows."""
    _listeners.append(listener)


def family_modules(package: str, folders: Iterable[str], families: Sequence[str]) -> Iterator[ModuleType]:
    """The modules of a backend's rows: those of ``package``, which lies in ``folders``, called as ``families``.

    Raises `ArgumentError` where files and families differ, for the rows of a file that nobody reads would be missed
    by nobody: their operations would run by their decompositions. Files that begin with ``_`` have no rows.
    """
    from pkgutil import iter_modules

    files = {one.name for one in iter_modules(list(folders)) if not one.name.startswith("_")}
    if without := min({*families} - files, default=""):
        raise ArgumentError(f"{package} has the family {without!r}, and no file {without}.py.")
    if unread := min(files - {*families}, default=""):
        raise ArgumentError(f"{package} has the file {unread}.py, and no family {unread!r}.")
    return (import_module(f"{package}.{family}") for family in families)


_added: dict[str, LiveRows] = {}
_KINDS = {"gpu": "cuda"}


def added_rows(place: str) -> dict[Op, Row]:
    """The rows that were added for a backend (``"torch"``) or one kind of its devices (``"torch:cuda"``), live."""
    return _added.setdefault(place, LiveRows())


def kind_of(device: str) -> str:
    """What kind of device one name, or the names of several, mean: ``"cuda"`` of ``"cuda:0,cuda:1"``."""
    return device.partition(",")[0].partition(":")[0]


def live_table(
    name: str,
    rows: MutableMapping[Op, Row],
    device: str | None,
    overlays: Mapping[str, MutableMapping[Op, Row]] | None = None,
) -> Mapping[Op, Row]:
    """The table of a backend on a device. It is no copy: a row that is added later counts.

    Args:
        rows: the backend's own, for any device.
        device: one of its devices. Rows of its kind (``"cuda"``, ``"cpu"``, ``"tpu"``) stand before the others.
        overlays: the backend's own rows for a kind of device.
    """
    kind = kind_of(device or "")
    kind = _KINDS.get(kind, kind)
    own: MutableMapping[Op, Row] = (overlays or {}).get(kind, {})
    return ChainMap(added_rows(f"{name}:{kind}"), own, added_rows(name), rows)


@dataclass(frozen=True)
class Placement:
    """A backend and where it runs: what ``backend="torch:cuda:1"`` means, or ``"jax:cuda:0,cuda:1"``.

    Of several devices each holds every weight, and a part of each batch along its first axis (data parallelism): a
    program on them computes what it computes on one. A batch that has no equal parts is held whole by each.

    Args:
        device: the name of a device, or the names of several with commas between them.
        name: of the backend.
    """

    backend: Backend = field(compare=False)
    device: str
    name: str

    @property
    def devices(self) -> tuple[str, ...]:
        """The names of its devices."""
        return tuple(self.device.split(","))

    def batch(self, value: np.ndarray) -> Array:
        """A batch as a native array: of several devices, each has its part."""
        put = self.backend.split if len(self.devices) > 1 else self.backend.array
        return put(value, self.device)

    def __str__(self) -> str:
        return f"{self.name}:{self.device}"


_default: ContextVar[str | Placement | None] = ContextVar("unifront_backend", default=None)
_process_default: list[str] = []


_BUILT_IN = {"numpy": "unifront.reference:BACKEND", "onnxruntime": "unifront.onnx.runtime:BACKEND"}
_INFERENCE_ONLY = frozenset({"onnxruntime"})
_EXTRAS = {"onnxruntime": "onnx"}
"""What is typed to install a backend, where it is not its name."""


@cache
def entry_points() -> dict[str, metadata.EntryPoint]:
    """Every registered backend by name, none imported; some are built in."""
    from importlib import metadata  # it takes longer to import than all else here

    found = {point.name: point for point in metadata.entry_points(group=GROUP)}
    return {name: metadata.EntryPoint(name, at, GROUP) for name, at in _BUILT_IN.items()} | found


def names() -> tuple[str, ...]:
    """The names of all registered backends, installed or not."""
    return tuple(entry_points())


def is_installed(name: str) -> bool:
    """Whether the framework of the backend ``name`` can be imported; imports nothing."""
    if name not in entry_points():
        raise UnknownName("backend", name, names())
    return util.find_spec(name) is not None


def installed(*, inference: bool = False) -> tuple[str, ...]:
    """The names of the backends whose framework is installed, NumPy last.

    Args:
        inference: whether those are among them that run models and no single operations: ``onnxruntime``.
    """
    found = [name for name in names() if is_installed(name) and (inference or name not in _INFERENCE_ONLY)]
    return tuple(sorted(found, key=lambda name: name == "numpy"))


def to_install(name: str) -> str:
    """What to type for the framework of the backend ``name``."""
    return f'pip install "unifront[{_EXTRAS.get(name, name)}]"'


@cache
def get_backend(name: str) -> Backend:
    """The backend called ``name``. Raises `UnknownName`, or `BackendMissing` with what to type."""
    if name not in entry_points():
        raise UnknownName("backend", name, names())
    point = entry_points()[name]
    try:
        backend: Backend = getattr(import_module(point.module), point.attr)
    except ModuleNotFoundError as error:
        raise BackendMissing(
            f"The backend {name!r} needs the package {error.name!r}, which is not installed. "
            f"Try: {to_install(name)}"
        ) from error
    return backend


def set_backend(name: str | None) -> None:
    """Make ``name`` (``"jax"``, ``"torch:cpu"``) the process's default backend; None forgets it."""
    _process_default.clear()
    if name is not None:
        _process_default.append(str(placement(name)))


@contextmanager
def use_backend(name: str | Placement) -> Iterator[Placement]:
    """A ``with`` block in which ``name`` is the default backend of this thread or task."""
    token = _default.set(name)
    try:
        yield placement(name)
    finally:
        _default.reset(token)


def chosen_around() -> str | None:
    """The default of the ``with uf.backend`` around this; None outside of one."""
    chosen = _default.get()
    return None if chosen is None else str(chosen)


def default_name() -> str:
    """The default: of ``with uf.backend``, of `set_backend`, of `DEFAULT_VARIABLES`, or the first installed."""
    chosen = _default.get() or (_process_default[-1] if _process_default else None)
    return str(chosen or next(filter(None, map(os.environ.get, DEFAULT_VARIABLES)), None) or installed()[0])


def placement(name: str | Placement | None = None) -> Placement:
    """The backend and devices meant by ``name``: ``"jax"``, ``"torch:cuda:1"``, ``"jax:cuda:0,cuda:1"`` (see
    `Placement`) or None for the default.

    Raises `ArgumentError` for a device that is not there, for one named twice, and for several where the backend
    runs on one only.
    """
    if isinstance(name, Placement):
        return name
    if not isinstance(name, str | None):
        raise ArgumentError(f"A backend is a name, such as 'torch' or 'jax:gpu:0', not {name!r}.")
    default = _default.get()
    if name is None and isinstance(default, Placement):
        return default
    head, _, device = (name or default_name()).partition(":")
    backend = get_backend(head)
    devices = backend.devices()
    if not device:
        return Placement(backend, devices[0], head)
    found = [_device_called(part.strip(), head, devices) for part in device.split(",")]
    if len(found) > 1 and not backend.spreads:
        raise ArgumentError(
            f"The backend {head!r} runs a program on one device, and {', '.join(found)} were named. "
            "Try: one of them, or the backend 'jax'."
        )
    if len(set(found)) < len(found):
        raise ArgumentError(f"{name!r} names a device twice.")
    return Placement(backend, ",".join(found), head)


def placement_on(name: str) -> Placement:
    """The default placement where it is of the backend ``name``, else that backend's own."""
    default = placement()
    return default if default.backend.name == name else placement(name)


def _device_called(given: str, backend: str, devices: Sequence[str]) -> str:
    for known in (given, f"{given}:0", given.removesuffix(":0")):
        if known in devices:
            return known
    raise ArgumentError(f"The backend {backend!r} has no device {given!r} here; it has {', '.join(devices)}.")


class HostKey(int):
    """A random key as an integer on the host: what ``uf.random_key(seed)`` gives, and what backends use whose
    generators are seeded from the host. Raises `ArgumentError` for what is no int from 0."""

    def __new__(cls, seed: int) -> HostKey:
        if isinstance(seed, bool) or not isinstance(seed, Integral) or seed < 0:
            raise ArgumentError(f"random_key: seed is an int >= 0, not {seed!r}.")
        return super().__new__(cls, seed)

    def fold_in(self, data: int) -> HostKey:
        """A new key for the stream number ``data`` (the finalizer of SplitMix64, Steele et al. 2014)."""
        mixed = (int(self) + (int(data) + 1) * 0x9E3779B97F4A7C15) & 0xFFFFFFFFFFFFFFFF
        mixed = ((mixed ^ (mixed >> 30)) * 0xBF58476D1CE4E5B9) & 0xFFFFFFFFFFFFFFFF
        mixed = ((mixed ^ (mixed >> 27)) * 0x94D049BB133111EB) & 0xFFFFFFFFFFFFFFFF
        return HostKey(mixed ^ (mixed >> 31))


def refuse_after_fork(backend: Any, was_used: Callable[[], bool]) -> None:
    """Make ``backend`` raise `ForkError` for whatever it is asked in a forked process, if ``was_used()`` then.

    For frameworks with threads of their own: a fork copies none of them, and waits for them in vain.
    """

    def fail(own: Any, name: str) -> Any:
        if name.startswith("__") or name == "name":
            return object.__getattribute__(own, name)
        raise ForkError(
            f"This process was forked from one in which {backend.name} was in use, whose threads it has not; "
            "any work here would hang. Start processes afresh, for example with "
            'multiprocessing.get_context("spawn"), or fork before the first use.'
        )

    def mark() -> None:
        if was_used():
            # Another class for the object: calls in other processes pay nothing.
            backend.__class__ = type("Forked", (type(backend),), {"__getattribute__": fail})

    if hasattr(os, "register_at_fork"):
        os.register_at_fork(after_in_child=mark)


_ALIASES = {"jaxlib": "jax"}


@cache
def _owner(kind: type) -> str | None:
    """The backend whose arrays are of the class ``kind``, or of one that it derives from: the class is of its
    framework's package, or of its own."""
    if issubclass(kind, tuple):  # torch.Size, and what functions with several results return
        return None
    packages = {point.module.partition(".")[0]: name for name, point in entry_points().items()}
    del packages["unifront"]  # NumPy's backend is built in
    for module in (base.__module__.partition(".")[0] for base in kind.__mro__):
        name = _ALIASES.get(module) or packages.get(module) or module
        if name in entry_points():
            return name
    return None


@cache
def _backend_of_kind(kind: type) -> Backend | None:
    name = _owner(kind)
    return None if name is None else get_backend(name)


def backend_of_class(kind: type) -> Backend | None:
    """The backend whose native arrays are of the class ``kind``; None for any other."""
    return _backend_of_kind(kind)


def _foreseen(value: Any) -> Any:
    backend = backend_of(value)
    found = None if backend is None else backend.foreseen(value)
    return value if found is None else found


arguments.foreseen = _foreseen


def backend_of(array: Any) -> Backend | None:
    """The backend whose native array this is; None for anything else (scalars, lists, host keys)."""
    return _backend_of_kind(type(array))  # type: ignore[arg-type]  # mypy takes no class for hashable
