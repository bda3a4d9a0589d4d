"""`uf.ops` holds the public functions of every family, and its stub tells type checkers of each."""

import ast
import importlib
from pathlib import Path

import pytest

from unifront import ops


def functions(family):
    module = importlib.import_module(f"unifront.ops.{family}")
    return {
        name: value
        for name, value in vars(module).items()
        if callable(value)
        and getattr(value, "__module__", None) == module.__name__
        and not name.startswith("_")
    }


@pytest.mark.parametrize("family", ops.FAMILIES)
def test_every_function_is_in_the_namespace_and_its_stub(family):
    tree = ast.parse(Path(ops.__file__).with_suffix(".pyi").read_text(encoding="utf-8"))
    imports = [node for node in tree.body if isinstance(node, ast.ImportFrom)]
    listed = {
        alias.asname for node in imports if node.module == f"unifront.ops.{family}" for alias in node.names
    }
    missing = [
        f"from unifront.ops.{family} import {name} as {name}"
        for name in functions(family)
        if name not in listed
    ]
    assert not missing, "Add to src/unifront/ops/__init__.pyi:\n" + "\n".join(missing)
    assert listed <= functions(family).keys()
    for name, value in functions(family).items():
        assert getattr(ops, name) is value
        assert value.__doc__, f"{name} has no docstring"


def test_an_unknown_name_is_an_error_with_a_suggestion():
    with pytest.raises(AttributeError, match=r"Unknown operation 'concatenat'\. Did you mean 'concatenate'"):
        ops.concatenat  # noqa: B018
