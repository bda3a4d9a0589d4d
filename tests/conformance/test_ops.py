"""Every operation on every backend, forward and gradient, against the NumPy reference."""

import pytest

from unifront import backends, testing
from unifront.opset.spec import OpSpec

TRAINABLE = [name for name in backends.installed() if name != "numpy"]


def pairs(specs: list[OpSpec]) -> list[tuple[str, OpSpec]]:
    """Each backend with the operations that it has no reason not to run in a program."""
    reasons = {name: backends.placement(name).backend.rows().reasons for name in TRAINABLE}
    return [(name, spec) for name in TRAINABLE for spec in specs if spec not in reasons[name]]


def called(value: object) -> str | None:
    return value.name if isinstance(value, OpSpec) else None


@pytest.mark.parametrize("name", backends.installed())
def test_every_operation_has_a_row_or_a_reason(name: str) -> None:
    testing.row_or_reason(name)


@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize(("name", "spec"), pairs(testing.operations()), ids=called)
def test_forward(name: str, spec: OpSpec, dtype: str) -> None:
    testing.check_all(testing.check_forward, name, spec, dtype)


@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize(("name", "spec"), pairs(testing.operations(gradient=True)), ids=called)
def test_gradient(name: str, spec: OpSpec, dtype: str) -> None:
    testing.check_all(testing.check_gradient, name, spec, dtype)


@pytest.mark.parametrize(("name", "spec"), pairs(testing.operations()), ids=called)
def test_other_dtypes(name: str, spec: OpSpec) -> None:
    """One sample of each, in every integer, boolean and half dtype that the type rule admits."""
    testing.check_dtypes(name, spec, testing.samples_of(spec)[:4][-1:])
