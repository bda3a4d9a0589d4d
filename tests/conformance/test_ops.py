"""Every operation on every backend, forward and gradient, against the NumPy reference."""

import pytest

from unifront import backends, testing
from unifront.opset.spec import OpSpec

TRAINABLE = [name for name in backends.installed() if name != "numpy"]


@pytest.mark.parametrize("name", backends.installed())
def test_every_operation_has_a_row_or_a_reason(name: str) -> None:
    testing.row_or_reason(name)


@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize("spec", testing.operations(), ids=lambda spec: spec.name)
@pytest.mark.parametrize("name", TRAINABLE)
def test_forward(name: str, spec: OpSpec, dtype: str) -> None:
    testing.check_all(testing.check_forward, name, spec, dtype)


@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize("spec", testing.operations(gradient=True), ids=lambda spec: spec.name)
@pytest.mark.parametrize("name", TRAINABLE)
def test_gradient(name: str, spec: OpSpec, dtype: str) -> None:
    testing.check_all(testing.check_gradient, name, spec, dtype)
