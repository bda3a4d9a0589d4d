"""Thousands of broken ONNX files: each is imported, or is a clear error, soon and without much memory."""

from __future__ import annotations

import random
import resource
import time
from typing import Any

import pytest

import unifront as uf
from tests.attacks.broken_onnx import good, mutated
from unifront.errors import UnifrontError

SECONDS, BYTES = 2.0, 200 * 2**20


def reason(content: Any) -> str | None:
    """Why a model is not imported; None if it is."""
    try:
        uf.from_onnx(content)
    except UnifrontError as error:
        return str(error).strip()
    return None


def attack(seed: int, count: int) -> None:
    good()
    for number in range(count):
        content = mutated(random.Random(seed * 1_000_003 + number))
        before, start = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, time.process_time()
        assert reason(content) != ""
        taken = time.process_time() - start
        grown = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) * 1024
        assert taken < SECONDS, f"number {number} of seed {seed} took {taken:.1f} s"
        assert grown < BYTES, f"number {number} of seed {seed} took {grown / 2**20:.0f} MB"


def test_the_good_ones_are_good() -> None:
    """What is mutated is imported as it is, or is asked for values or shapes of its inputs."""
    found = [reason(model) for model in good()]
    assert found.count(None) >= len(found) // 2
    assert all("inputs=" in why or "outputs are tensors" in why for why in found if why is not None)


def test_broken_files() -> None:
    attack(0, 2000)


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(1, 101))
def test_many_broken_files(seed: int) -> None:
    attack(seed, 2000)
