"""`uf.ops` holds the public functions of every family, written out for editors."""

import importlib

import pytest

from unifront import ops
from unifront.opset import FAMILIES, at_home, public_functions
from unifront.opset.__main__ import FACE, face
from unifront.opset.namespaces import NAMES, NOT_FLAT


def test_the_face_is_current():
    texts = face()
    assert {path: path.read_text(encoding="utf-8") for path in FACE.glob("*.py")} == texts, "Run `make ops`."


@pytest.mark.parametrize("family", FAMILIES)
def test_every_function_is_in_the_namespace(family):
    for name, value in public_functions(family).items():
        found = getattr(ops.image if name in NOT_FLAT else ops, name)
        assert found is value or (hasattr(at_home, name) and found.__wrapped__ is value)
        assert value.__doc__, f"{name} has no docstring"


@pytest.mark.parametrize("namespace", NAMES)
def test_a_namespace_is_a_module_with_its_names(namespace):
    module = importlib.import_module(f"unifront.ops.{namespace}")
    assert getattr(ops, namespace) is module
    assert namespace in ops.__all__
    for name in module.__all__:
        assert name in NAMES[namespace]
        if name not in NOT_FLAT:
            assert getattr(module, name) is getattr(ops, name)


@pytest.mark.parametrize(("name", "place"), [("random", "uf.random"), ("resize", "uf.ops.image.resize")])
def test_what_is_looked_for_here_and_is_elsewhere_says_where(name, place):
    with pytest.raises(AttributeError, match=rf"There is no uf\.ops\.{name}: .*{place}"):
        getattr(ops, name)


def test_an_unknown_name_is_an_error_with_a_suggestion():
    with pytest.raises(AttributeError, match=r"Unknown operation 'concatenat'\. Did you mean 'concatenate'"):
        ops.concatenat  # noqa: B018
