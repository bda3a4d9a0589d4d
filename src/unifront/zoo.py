"""The model zoo's registry: ``uf.zoo.list()``, ``uf.zoo.create("resnet50", classes=10)``.

Packages of models are found through the entry-point group ``unifront.zoo``; importing one registers its
models, or says by `families` which of its modules do when they are imported.
"""

from __future__ import annotations

import builtins
import fnmatch
import inspect
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from functools import cache
from importlib import import_module
from typing import Annotated, Any

from unifront.arguments import anything, checked, whole, within
from unifront.errors import ArgumentError, UnknownName
from unifront.model import Model

GROUP = "unifront.zoo"
Depth = Annotated[int, whole(1, 10_000)]
"""How many layers or blocks of a model lie behind one another: as many as are made within minutes."""
Multiple = Annotated[float, within("(0, 100]")]
"""How much of something there is for one of the model that the paper begins with."""


@dataclass(frozen=True)
class Entry:
    """A model of the zoo.

    Args:
        name: what `create` takes.
        builder: a function of keyword arguments that gives the model.
        family: the file it comes from.
        source: the paper or code that defines it.
        parameters: how many weights its defaults have, by the paper or by who publishes it.
        keras: its name in ``keras.applications``, whose layer names it then has.
        peers: by who publishes trained weights (``"torchvision"``, ``"timm"``), a function of the model that gives the
            layer's name here for each module's path there (or ``layer/weight`` for the path of one parameter); None for
            a module that the model does not have, such as a head for training alone.
    """

    name: str
    builder: Callable[..., Model]
    family: str
    source: str
    parameters: int | None = None
    keras: str | None = None
    peers: Mapping[str, Callable[[Model], Mapping[str, str | None]]] = field(default_factory=dict)

    @property
    def summary(self) -> str:
        """The first line of the builder's docstring."""
        return (inspect.getdoc(self.builder) or "").partition("\n")[0]


_entries: dict[str, Entry] = {}
_modules: dict[str, str] = {}
"""By the names of models the modules that register them, for those that `families` told."""


def families(modules: Mapping[str, Iterable[str]]) -> None:
    """Say which models each module registers: it is imported when one of them is asked for."""
    _modules.update((name, module) for module, names in modules.items() for name in names)


def register(
    name: str,
    *,
    source: str,
    parameters: int | None = None,
    keras: str | None = None,
    peers: Mapping[str, Callable[[Model], Mapping[str, str | None]]] | None = None,
) -> Callable[[Callable[..., Model]], Callable[..., Model]]:
    """A decorator that puts a builder into the zoo; `Entry` says what the arguments are. The builder's annotations are
    what its options are checked by.

    Raises `ArgumentError` for a name that is taken.
    """

    def add(builder: Callable[..., Model]) -> Callable[..., Model]:
        family = builder.__module__.rpartition(".")[2]
        builder = checked(builder)
        entry = Entry(name, builder, family, source, parameters, keras, peers or {})
        known = _entries.setdefault(name, entry)
        if known is not entry and known.builder.__module__ != builder.__module__:
            raise ArgumentError(
                f"The zoo has a model called {name!r} already, from {known.builder.__module__}."
            )
        _entries[name] = entry
        return builder

    return add


@cache
def _load() -> None:
    from importlib import metadata  # it takes longer to import than all else here

    for point in metadata.entry_points(group=GROUP):
        point.load()


def _names() -> builtins.list[str]:
    """The names of all models, in order."""
    _load()
    return sorted(_entries.keys() | _modules.keys())


def _entry(name: str) -> Entry:
    if name not in _entries:
        import_module(_modules[name])
    return _entries[name]


@checked
def entries(pattern: str = "*") -> tuple[Entry, ...]:
    """The models whose names match ``pattern`` (``"resnet*"``), by name."""
    return tuple(map(_entry, list(pattern)))


@checked
def list(pattern: str = "*") -> tuple[str, ...]:
    """The names of the models that match ``pattern``."""
    return tuple(fnmatch.filter(_names(), pattern))


@checked
def create(name: str, weights: Annotated[Any, anything] = None, **options: Any) -> Model:
    """A new model, with fresh weights or those of a file.

    Args:
        name: one of `list`.
        weights: a file that has all weights of the model: of unifront (``.uf``, ``.safetensors``), of Keras
            (``.h5`` as Keras Applications publishes them, ``.weights.h5``, ``.keras``), or a ``state_dict`` under the
            names of a publisher that the entry knows (torchvision, timm), as ``.pth`` or ``.safetensors``. The model is
            then made in that publisher's details (``like=``), unless an option says otherwise. With ``classes=None``
            the body's weights are taken and the head's left.
        options: what the model's builder takes, such as ``classes``.

    Raises `UnknownName` for another name, `ArgumentError` for an option the builder does not take, `FileFormatError`
    for a file that is broken, or whose weights are not all of the model and nothing else, with what differs.

    Example::

        model = uf.zoo.create("resnet50", weights="resnet50_weights_tf_dim_ordering_tf_kernels.h5")
    """
    known_names = _names()
    if name not in known_names:
        raise UnknownName("model of the zoo", name, known_names)
    entry = _entry(name)
    builder = entry.builder
    known = inspect.signature(builder).parameters
    odd = [option for option in options if option not in known]
    if odd:
        raise ArgumentError(f"{name} does not take {odd[0]!r}; it takes {', '.join(known)}.")
    if weights is None:
        return builder(**options)
    from unifront.saving.foreign import create_with, refuse_names

    refuse_names(str(weights))
    return create_with(name, builder, frozenset(known), options, entry.peers, weights)
