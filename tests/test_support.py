"""The generated pages of the docs are those of the code and of Keras; few operations are unsupported."""

import fnmatch
import inspect
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import keras
import pytest

from unifront import support
from unifront.backends import installed

DOCS = Path(__file__).parents[1] / "docs"


@pytest.mark.skipif(
    set(installed()) < {"torch", "jax", "tensorflow"}, reason="a backend of the table is not installed"
)
@pytest.mark.parametrize("name", support.PAGES)
def test_the_pages_are_current(name: str) -> None:
    assert (DOCS / name).read_text(encoding="utf-8") == support.PAGES[name](), "Run `make tables`."


@pytest.mark.parametrize("name", [name for name in installed() if name != "numpy"])
def test_few_operations_are_unsupported(name: str) -> None:
    missing = support.unsupported(name)
    assert len(missing) < 0.03 * len(support.OPS), missing


def names_of(module: Any, path: str, above: tuple[Any, ...] = ()) -> Iterator[str]:
    for name, value in inspect.getmembers(module):
        if name.startswith("_") or (path, name) == ("keras", "src"):
            continue
        if not inspect.ismodule(value):
            yield f"{path}.{name}"
        elif value.__name__.startswith("keras.") and value not in above:
            yield from names_of(value, f"{path}.{name}", (*above, module))


def test_the_list_of_names_is_the_installed_keras() -> None:
    assert keras.__version__.startswith(support.KERAS_VERSION)
    assert support.KERAS_NAMES.read_text(encoding="utf-8").split() == list(names_of(keras, "keras"))


def test_every_name_of_keras_is_there_or_has_a_reason() -> None:
    assert not [name for name, why in support.keras_names().items() if why is None]


def test_every_reason_is_needed() -> None:
    absent = [name for name, why in support.keras_names().items() if why != ""]
    idle = [pattern for pattern in support.ABSENT if not fnmatch.filter(absent, pattern)]
    assert not idle


@pytest.mark.parametrize(
    ("operator", "read", "written"),
    [
        ("Conv", "yes", "yes"),
        ("LSTM", "yes", "yes"),
        ("ImageDecoder", "files of images are decoded on the host", ""),
        ("ai.onnx.ml.TreeEnsemble", "yes", ""),
    ],
)
def test_operators_are_told(operator: str, read: str, written: str) -> None:
    (row,) = (line for line in support.compat_table().splitlines() if line.startswith(f"| `{operator}` |"))
    cells = [cell.strip() for cell in row.strip("|").split("|")]
    assert cells[2].startswith(read)
    assert cells[3] == written
