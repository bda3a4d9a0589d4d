"""Every operation on every backend, forward and gradient, against the NumPy reference."""

from typing import Any

import pytest

from unifront import backends, testing
from unifront.opset.spec import OpSpec

TRAINABLE = [name for name in backends.installed() if name != "numpy"]
COMPILED = ("jax", "tensorflow")
DIFFERENTIABLE = testing.operations(gradient=True)


def pairs(specs: list[OpSpec]) -> list[tuple[str, OpSpec]]:
    """Each backend with the operations that it has no reason not to run in a program."""
    reasons = {name: backends.placement(name).backend.rows().reasons for name in TRAINABLE}
    return [(name, spec) for name in TRAINABLE for spec in specs if spec not in reasons[name]]


def programs(*, gradient: bool) -> list[Any]:
    """Each backend, operation and precision. Where a program is compiled at length, these are slow: values in float64
    of what has a gradient, which is judged in float64; and gradients in float32 of what has no kernel of its own there,
    for those of the operations it is made of are judged in float64 and its values in float32."""
    found = []
    for name, spec in pairs(testing.operations(gradient=gradient)):
        fused = spec.decomposition is not None and spec in backends.placement(name).backend.rows().table
        for dtype in ("float64", "float32"):
            again = not fused if gradient else spec in DIFFERENTIABLE
            slow = name in COMPILED and dtype == ("float32" if gradient else "float64") and again
            marks = [pytest.mark.slow] * slow
            found.append(pytest.param(name, spec, dtype, id=f"{name}-{spec.name}-{dtype}", marks=marks))
    return found


def called(value: object) -> str | None:
    return value.name if isinstance(value, OpSpec) else None


@pytest.mark.parametrize("name", backends.installed())
def test_every_operation_has_a_row_or_a_reason(name: str) -> None:
    testing.row_or_reason(name)


@pytest.mark.parametrize(("name", "spec", "dtype"), programs(gradient=False))
def test_forward(name: str, spec: OpSpec, dtype: str) -> None:
    testing.check_all(testing.check_forward, name, spec, dtype)


@pytest.mark.parametrize(("name", "spec", "dtype"), programs(gradient=True))
def test_gradient(name: str, spec: OpSpec, dtype: str) -> None:
    testing.check_all(testing.check_gradient, name, spec, dtype)


@pytest.mark.parametrize(("name", "spec"), pairs(testing.operations()), ids=called)
def test_other_dtypes(name: str, spec: OpSpec) -> None:
    """One sample of each, in every integer, boolean and half dtype that the type rule admits."""
    testing.check_dtypes(name, spec, testing.samples_of(spec)[:4][-1:])
