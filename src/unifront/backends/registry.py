"""How backends are found: by entry points, or by the class of an array."""

from __future__ import annotations

from functools import cache
from importlib import import_module, util
from typing import TYPE_CHECKING, Any

from unifront import arguments
from unifront.backends.protocol import Backend
from unifront.errors import BackendMissing, UnknownName

if TYPE_CHECKING:
    from importlib import metadata

GROUP = "unifront.backends"
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
