"""The documentation: every public name is in the reference, every page in its navigation."""

from __future__ import annotations

import importlib.util
import inspect
import re
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

import unifront as uf
from tests.documents import ROOT, blocks, read, run
from tests.test_documents import PAGES
from unifront import backends


def load(name: str) -> ModuleType:
    """A module of docs/, which is no package; they import each other by name."""
    if name in sys.modules:
        return sys.modules[name]
    spec = importlib.util.spec_from_file_location(name, ROOT / "docs" / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    sys.modules[name] = module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def reference() -> str:
    load("including")
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


# ---------------------------------------------------------------- pages

EXAMPLES = [page for page in PAGES if any(blocks(page, "python"))]


@pytest.mark.parametrize("document", EXAMPLES)
def test_the_examples_of_a_page_run_in_order(
    document: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    missing = {"torch", "jax", "tensorflow"} - set(backends.installed())
    if missing:
        pytest.skip(f"the documentation shows every backend; not installed: {', '.join(sorted(missing))}")
    for package in ("sklearn", "onnx", "onnxruntime"):
        pytest.importorskip(package)
    monkeypatch.chdir(tmp_path)
    for variable in backends.DEFAULT_VARIABLES:
        monkeypatch.delenv(variable, raising=False)
    try:
        for block, printed, output in run(document, {}):
            if output is not None:
                assert printed == output.text, (
                    f"{document}:{block.line}: run `python -m tests.documents {document}`"
                )
    finally:
        backends.set_backend(None)


def test_every_page_of_the_navigation_is_there() -> None:
    listed = re.findall(r"([\w/-]+\.md)$", read("mkdocs.yml"), re.MULTILINE)
    assert len(listed) == len(set(listed)) > 20
    assert not {f"docs/{page}" for page in listed} - set(PAGES)


def test_what_pages_include_is_there() -> None:
    for page in PAGES:
        for file, heading in re.findall(
            r"^<!-- include: ([\w./-]+)(?:#([\w-]+))? -->$", read(page), re.MULTILINE
        ):
            assert (ROOT / file).is_file(), f"{page} includes {file}"
            if heading:
                assert load("including").section(read(file), heading).strip()
