"""Every layer against Keras's, with copied weights: outputs, gradients, losses and new statistics."""

from __future__ import annotations

from typing import Any

import pytest

from tests.layers import cases, judge
from tests.layers.case import Case

SLOW_COMPILERS = {"jax", "tensorflow"}
"""Backends that compile a graph for some tenths of a second: one case of every layer, all of them in slow tests."""


def everywhere(found: list[Case], brief: set[str]) -> list[Any]:
    """Parameters: each case on each backend; on those in ``brief``, more than one of a layer is slow."""
    return [
        pytest.param(
            case, backend, id=f"{backend}-{case}",
            marks=[pytest.mark.slow] if backend in brief and case not in cases.FIRST + cases.MASKED else [],
        )
        for case in found
        for backend in judge.BACKENDS
    ]  # fmt: skip


@pytest.mark.parametrize("case", [pytest.param(one, id=str(one)) for one in cases.ALL])
def test_on_numpy(case: Case) -> None:
    judge.check_numpy(case)


@pytest.mark.parametrize(("case", "backend"), everywhere(cases.FIRST, set()))
def test_on_native_arrays_in_float32(case: Case, backend: str) -> None:
    judge.check_eager(case, backend)


@pytest.mark.parametrize(("case", "backend"), everywhere(cases.ALL, SLOW_COMPILERS))
def test_graph_and_gradients_in_float64(case: Case, backend: str) -> None:
    judge.check_graph(case, backend)
