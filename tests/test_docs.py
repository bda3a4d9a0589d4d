"""The documentation: every public name is in the reference, every page in its navigation."""

from __future__ import annotations

import importlib.util
import inspect
import sys
from types import ModuleType
from typing import Any

import pytest

import unifront as uf
from tests.documents import ROOT


def load(name: str) -> ModuleType:
    """A module of docs/, which is no package."""
    spec = importlib.util.spec_from_file_location(name, ROOT / "docs" / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    sys.modules[name] = module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def reference() -> str:
    return "\n".join(page.text for page in load("reference").pages())


def told(text: str, *path: str) -> bool:
    name = ".".join(("uf", *path))
    return f"heading: {name}\n" in text or f"`{name}`" in text


def test_every_name_of_the_facade_is_in_the_reference(reference: str) -> None:
    missing = []
    for name in dir(uf):
        value = getattr(uf, name)
        if inspect.ismodule(value):
            missing += [] if f"\n# uf.{name}\n" in f"\n{reference}" else [name]
        elif name != "__version__" and not told(reference, name):
            missing.append(name)
    assert not missing


@pytest.mark.parametrize("place", [name for name in uf.__all__ if inspect.ismodule(getattr(uf, name))])
def test_every_name_of_a_namespace_is_in_the_reference(place: str, reference: str) -> None:
    module: Any = getattr(uf, place)
    keras = load("reference").KERAS
    listed = getattr(module, "__all__", [n for n in vars(module) if f"keras.{place}.{n}" in keras])
    spaces = [
        (),
        *((n,) for n in listed if inspect.ismodule(getattr(module, n))),
    ]  # uf.ops.add: in uf.ops.numpy
    missing = [
        name
        for name in listed
        if callable(getattr(module, name))
        and not any(told(reference, place, *space, name) for space in spaces)
    ]
    assert not missing
