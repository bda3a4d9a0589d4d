"""Ctrl-C at random moments of `fit`: each ends it, after a whole step."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

from tests.attacks.interrupted import in_a_process
from tests.layers.judge import BACKENDS

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize(
    ("backend", "count"),
    [("jax", 12), *(pytest.param(name, 100, marks=pytest.mark.slow) for name in BACKENDS)],
)
def test_every_interrupt_arrives_after_a_whole_step(backend: str, count: int) -> None:
    if backend not in BACKENDS:
        pytest.skip(f"{backend} is not installed")
    paths = os.pathsep.join([str(ROOT), *sys.path])
    found = in_a_process(backend, count, {**os.environ, "PYTHONPATH": paths})
    assert found["faults"] == []
    assert found["interrupts"] == count
