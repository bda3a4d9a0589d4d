"""The generated pages of the docs are those of the code; few operations are unsupported."""

from pathlib import Path

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
