"""What a backend is, and how backends are found.

A backend is an object registered under the entry-point group ``unifront.backends``; the name of its entry
is the import name of its framework. It owns one table from operations to native callables; all else here
is moving arrays and compiling programs. Nothing in unifront knows more of a framework than this protocol.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from functools import cache
from importlib import import_module, metadata, util
from numbers import Integral
from typing import Any, Protocol

import numpy as np

from unifront.errors import ArgumentError, BackendMissing, UnknownName
from unifront.ir.emit import Rows, Storage
from unifront.ir.graph import Graph, Op
from unifront.ir.types import TensorType

GROUP = "unifront.backends"
DEFAULT_VARIABLE = "UNIFRONT_BACKEND"
Array = Any
"""A native array: ``torch.Tensor``, ``jax.Array``, ``tf.Tensor`` or ``numpy.ndarray``."""


@dataclass(frozen=True)
class UpdateGroup:
    """Variables that one optimizer rule updates with the same attributes.

    Args:
        rule: an operation ``(param, grad, *slots, iteration, learning_rate) -> (param, *slots)``.
        variables: positions in the plan's ``graph.variables``.
        slots: how many slots a variable has, each of the variable's type.
    """

    rule: Op
    attributes: Mapping[str, Any]
    variables: tuple[int, ...]
    slots: int


@dataclass(frozen=True)
class TrainPlan:
    """One training step, for a backend to differentiate and compile.

    Args:
        graph: inputs ``*batch, key, totals``; outputs ``loss, new totals, *new values of updates``.
            ``key`` is a random key, ``totals`` a float vector of running sums.
        updates: positions in ``graph.variables`` of the variables that outputs 2, 3, … replace.
        groups: the variables that train, and how.
        transform: a graph from all gradients (in the order of ``groups``) to the gradients to use, or None.
    """

    graph: Graph
    updates: tuple[int, ...]
    groups: tuple[UpdateGroup, ...]
    transform: Graph | None = None

    @property
    def trainable(self) -> tuple[int, ...]:
        """Positions of the variables that train, group after group."""
        return tuple(position for group in self.groups for position in group.variables)


@dataclass
class TrainState:
    """All that changes while training, as native arrays in the backend's layout.

    ``slots[i]`` belongs to the variable ``plan.trainable[i]``. ``iteration`` counts the steps done.
    """

    variables: list[Array]
    slots: list[tuple[Array, ...]]
    totals: Array
    key: Array
    iteration: int = 0


class TrainStep(Protocol):
    """A compiled plan. It reads and replaces what is in ``state``; it never waits for the device."""

    state: TrainState

    def __call__(self, batch: Sequence[Array], learning_rate: float) -> None:
        """One step on one batch."""

    def run(self, arrays: Sequence[Array], indices: np.ndarray, learning_rate: Sequence[float]) -> None:
        """Steps on batches ``array[indices[i]]`` of arrays on the device; ``indices`` is [steps, batch]."""


class Compiled(Protocol):
    """A compiled graph: ``(inputs, variables) -> outputs``, all native arrays, variables in ``storage``."""

    storage: tuple[Storage | None, ...]
    source: str

    def __call__(self, inputs: Sequence[Array], variables: Sequence[Array]) -> tuple[Array, ...]: ...


class Backend(Protocol):
    """The whole of what unifront asks of a framework."""

    name: str

    def rows(self, device: str | None = None) -> Rows:
        """The table of native callables, for constants on ``device``."""

    def devices(self) -> tuple[str, ...]:
        """Names of the devices to run on, the default one first (``("cuda:0", "cpu")``)."""

    def version(self) -> str:
        """The framework's version."""

    def array(self, value: np.ndarray, device: str | None = None) -> Array:
        """``value`` as a native array of the same dtype, copied to the device."""

    def numpy(self, array: Array) -> np.ndarray:
        """A native array as NumPy, waiting for it."""

    def type_of(self, array: Array) -> TensorType:
        """Dtype and shape of a native array."""

    def key(self, seed: int, device: str | None = None) -> Array:
        """A random key."""

    def synchronize(self, device: str | None = None) -> None:
        """Wait until the device has done all work given to it."""

    def compile(self, graph: Graph, device: str | None = None) -> Compiled:
        """``graph`` compiled as the framework does best for inference."""

    def value_and_grad(self, graph: Graph, wrt: Sequence[str], device: str | None = None) -> Compiled:
        """Like `compile`, but the outputs are followed by the gradients of output 0 (a scalar) to ``wrt``."""

    def train_step(self, plan: TrainPlan, state: TrainState, device: str | None = None) -> TrainStep:
        """``plan`` differentiated and compiled, starting from ``state``."""

    def module(
        self, training: Graph, inference: Graph, values: Mapping[str, np.ndarray], updates: Sequence[str],
        device: str | None = None,
    ) -> Any:  # fmt: skip
        """The model as the framework's own kind of module; see ``Model.lower``."""


@dataclass(frozen=True)
class Placement:
    """A backend and one of its devices: what ``backend="torch:cuda:1"`` means."""

    backend: Backend = field(compare=False)
    device: str
    name: str

    def __str__(self) -> str:
        return f"{self.name}:{self.device}"


_default: ContextVar[str | None] = ContextVar("unifront_backend", default=None)
_process_default: list[str] = []


@cache
def entry_points() -> dict[str, metadata.EntryPoint]:
    """Every registered backend by name, none imported; ``numpy`` is built in."""
    found = {point.name: point for point in metadata.entry_points(group=GROUP)}
    builtin = metadata.EntryPoint("numpy", "unifront.reference:BACKEND", GROUP)
    return {"numpy": builtin, **found}


def names() -> tuple[str, ...]:
    """The names of all registered backends, installed or not."""
    return tuple(entry_points())


def is_installed(name: str) -> bool:
    """Whether the framework of the backend ``name`` can be imported; imports nothing."""
    if name not in entry_points():
        raise UnknownName("backend", name, names())
    return util.find_spec(name) is not None


def installed() -> tuple[str, ...]:
    """The names of the backends whose framework is installed, NumPy last."""
    return tuple(sorted(filter(is_installed, names()), key=lambda name: name == "numpy"))


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
            f'Try: pip install "unifront[{name}]"'
        ) from error
    return backend


def set_backend(name: str | None) -> None:
    """Make ``name`` (``"jax"``, ``"torch:cpu"``) the process's default backend; None forgets it."""
    _process_default.clear()
    if name is not None:
        _process_default.append(str(placement(name)))


@contextmanager
def use_backend(name: str) -> Iterator[Placement]:
    """A ``with`` block in which ``name`` is the default backend of this thread or task."""
    token = _default.set(name)
    try:
        yield placement(name)
    finally:
        _default.reset(token)


def default_name() -> str:
    """The default: of ``with uf.backend``, of `set_backend`, ``UNIFRONT_BACKEND``, or the first installed."""
    chosen = _default.get() or (_process_default[-1] if _process_default else None)
    return chosen or os.environ.get(DEFAULT_VARIABLE) or installed()[0]


def placement(name: str | Placement | None = None) -> Placement:
    """The backend and device meant by ``name``: ``"jax"``, ``"torch:cuda:1"`` or None for the default."""
    if isinstance(name, Placement):
        return name
    if not isinstance(name, str | None):
        raise ArgumentError(f"A backend is a name, such as 'torch' or 'jax:gpu:0', not {name!r}.")
    head, _, device = (name or default_name()).partition(":")
    backend = get_backend(head)
    devices = backend.devices()
    if not device:
        return Placement(backend, devices[0], head)
    match = [known for known in devices if known in (device, f"{device}:0")]
    if not match:
        raise ArgumentError(
            f"The backend {head!r} has no device {device!r} here; it has {', '.join(devices)}."
        )
    return Placement(backend, match[0], head)


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


_ALIASES = {"jaxlib": "jax"}


@cache
def _owner(kind: type) -> str | None:
    """The backend whose arrays are of the class ``kind``, or of one that it derives from: the class is of its
    framework's package, or of its own."""
    packages = {point.module.partition(".")[0]: name for name, point in entry_points().items()}
    del packages["unifront"]  # NumPy's backend is built in
    for module in (base.__module__.partition(".")[0] for base in kind.__mro__):
        name = _ALIASES.get(module) or packages.get(module) or module
        if name in entry_points():
            return name
    return None


def backend_of(array: Any) -> Backend | None:
    """The backend whose native array this is; None for anything else (scalars, lists, host keys)."""
    name = _owner(type(array))  # type: ignore[arg-type]  # mypy takes no class for hashable
    return None if name is None else get_backend(name)
