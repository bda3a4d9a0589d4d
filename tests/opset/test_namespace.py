"""`uf.ops` holds the public functions of every family, written out for editors."""

import pytest

from unifront import ops
from unifront.opset import FAMILIES, public_functions
from unifront.opset.__main__ import FACE, face


def test_the_face_is_current():
    assert FACE.read_text(encoding="utf-8") == face(), "Run `make ops`."


@pytest.mark.parametrize("family", FAMILIES)
def test_every_function_is_in_the_namespace(family):
    for name, value in public_functions(family).items():
        assert getattr(ops, name) is value
        assert value.__doc__, f"{name} has no docstring"


def test_an_unknown_name_is_an_error_with_a_suggestion():
    with pytest.raises(AttributeError, match=r"Unknown operation 'concatenat'\. Did you mean 'concatenate'"):
        ops.concatenat  # noqa: B018
