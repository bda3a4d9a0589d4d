"""Every operation on every backend, forward and gradient, against the NumPy reference."""

import pytest

from unifront import backends, testing

TRAINABLE = [name for name in backends.installed() if name != "numpy"]


@pytest.mark.parametrize("name", backends.installed())
def test_every_operation_has_a_row_or_a_reason(name: str) -> None:
    testing.row_or_reason(name)


@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize("case", testing.cases(), ids=str)
@pytest.mark.parametrize("name", TRAINABLE)
def test_forward(name: str, case: testing.Case, dtype: str) -> None:
    testing.check_forward(name, case.spec, case.sample, dtype)


@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize("case", testing.cases(gradient=True), ids=str)
@pytest.mark.parametrize("name", TRAINABLE)
def test_gradient(name: str, case: testing.Case, dtype: str) -> None:
    testing.check_gradient(name, case.spec, case.sample, dtype)
