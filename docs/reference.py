"""The reference: for every namespace of unifront a page with its public names."""

from __future__ import annotations

import inspect
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from types import ModuleType
from typing import Any

from including import fenced

import unifront as uf
from unifront import keras_backend
from unifront.opset.namespaces import NAMES

KERAS = frozenset((Path(__file__).parent / "keras-names.txt").read_text(encoding="utf-8").split())
"""The public names of Keras, as ``keras.layers.Dense``."""

WHOLE: dict[str, tuple[str, ...]] = {
    "Callback": (),
    "Initializer": (),
    "Layer": (),
    "Loss": (),
    "Metric": (),
    "Model": ("Layer", "Weighted", "Ended", "Described"),
    "Optimizer": ("State",),
    "PyDataset": (),
    "Sequential": ("Model", "Trained", "Stepwise", "Portable", "Layer", "Weighted", "Ended", "Described"),
    "Variable": (),
}
"""Classes that are shown with their methods, but for those of these bases; of other classes the parameters say all."""


@dataclass(frozen=True)
class Page:
    """A page of the reference: its path below ``docs/``, its title, and its Markdown."""

    path: str
    title: str
    text: str


def public(module: ModuleType, place: str) -> dict[str, Any]:
    """The public names of a module: ``__all__``; without one, Keras's, and the functions and classes defined there."""
    names = getattr(module, "__all__", None)
    if names is None:
        names = [
            name
            for name, value in vars(module).items()
            if f"keras.{place}.{name}" in KERAS
            or f"{getattr(value, '__module__', '')}.".startswith(f"{module.__name__}.")
        ]
    names = sorted(
        (name for name in names if not name.startswith("_")), key=lambda name: (name.lower(), name)
    )
    return {name: getattr(module, name) for name in names}


@cache
def namespaces() -> Mapping[str, tuple[ModuleType, dict[str, Any]]]:
    """Every public namespace by its name behind ``uf.``, with its public names; those of ``uf`` itself under ``""``."""
    found: dict[str, tuple[ModuleType, dict[str, Any]]] = {}

    def walk(place: str, module: ModuleType) -> None:
        names = public(module, place)
        found[place] = (module, shown(names))
        for name, value in names.items():
            if inspect.ismodule(value):
                walk(f"{place}.{name}", value)

    def shown(names: dict[str, Any]) -> dict[str, Any]:
        return {
            name: value for name, value in names.items() if callable(value) and not inspect.ismodule(value)
        }

    every = {name: getattr(uf, name) for name in sorted(uf.__all__)}
    every["backend"] = keras_backend  # the namespace that is called has its functions from there
    found[""] = (uf, shown(every))
    for name, value in every.items():
        if inspect.ismodule(value):
            walk(name, value)
    return found


def objects() -> Iterator[tuple[str, str, Any]]:
    """Every public object: the module that defines it, its name there, and itself."""
    for _, names in namespaces().values():
        for value in names.values():
            yield value.__module__, value.__qualname__, value


def _methods(shown: type) -> list[str]:
    """The methods and properties of a class in `WHOLE` that say what they do."""
    if shown.__name__ not in WHOLE:
        return []
    found: dict[str, Any] = {}
    for base in shown.__mro__:
        if base.__module__.startswith("unifront") and base.__name__ not in WHOLE[shown.__name__]:
            found.update({name: value for name, value in vars(base).items() if name not in found})
    kinds = (property, classmethod, staticmethod)
    told = {name for name, value in found.items() if inspect.isfunction(value) or isinstance(value, kinds)}
    return [name for name in found if name in told and not name.startswith("_") and found[name].__doc__]


def _entries(place: str, names: Mapping[str, Any]) -> Iterator[str]:
    """One entry for each object; its further names stand below it."""
    together: dict[int, list[str]] = {}
    for name, value in names.items():
        together.setdefault(id(value), []).append(name)
    for called in together.values():
        value = names[called[0]]
        name = value.__name__ if value.__name__ in called else called[0]
        lines = [
            f"::: {value.__module__}.{value.__qualname__}",
            "    options:",
            f"      heading: {'.'.join(filter(None, ('uf', place, name)))}",
            f"      toc_label: {name}",
        ]
        if inspect.isclass(value):
            methods = _methods(value)
            lines.append(f"      members: {methods or 'false'}")
            lines += ["      inherited_members: true"] if methods else []
        others = ", ".join(
            f"`{'.'.join(filter(None, ('uf', place, other)))}`" for other in called if other != name
        )
        yield "\n".join([*lines, "", *([f"Also {others}.", ""] if others else [])])


def _head(place: str, module: ModuleType) -> str:
    said = fenced((inspect.getdoc(module) or "").strip())
    return f"# {'.'.join(filter(None, ('uf', place)))}\n\n{said}\n"


@cache
def pages() -> tuple[Page, ...]:
    """All pages of the reference, the façade first."""
    found = []
    spread = set().union(*NAMES.values())  # what `uf.ops` shows flat too has its page by namespace
    for place, (module, names) in namespaces().items():
        shown = {name: value for name, value in names.items() if place != "ops" or name not in spread}
        path = f"reference/{place.replace('.', '-') or 'index'}.md"
        text = "\n".join([_head(place, module), *_entries(place, shown)])
        found.append(Page(path, f"uf.{place}" if place else "uf", text))
    return tuple(found)
