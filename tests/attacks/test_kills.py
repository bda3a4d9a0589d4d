"""Whoever is killed while saving leaves the old file or the new one, and nothing that the next save does not remove;
whoever is killed while training is resumed to the bit."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.models import TRAINABLE

ROOT = Path(__file__).parents[2]


def run(attack: str, *arguments: str) -> dict[str, Any]:
    """What an attack in a process of its own found."""
    done = subprocess.run(
        [sys.executable, "-m", f"tests.attacks.{attack}", *arguments],
        cwd=ROOT, env={**os.environ, "PYTHONPATH": os.pathsep.join([str(ROOT), *sys.path])},
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-3000:]
    found: dict[str, Any] = json.loads(done.stdout)
    return found


@pytest.mark.parametrize(
    ("what", "count"),
    [
        ("saving", 20),
        pytest.param("saving", 700, marks=[pytest.mark.slow, pytest.mark.timeout(3600)]),
        pytest.param("training", 300, marks=[pytest.mark.slow, pytest.mark.timeout(3600)]),
    ],
)
def test_killed_at_any_moment(what: str, count: int, tmp_path: Path) -> None:
    found = run("killed", what, str(count), str(tmp_path))
    assert found["faults"] == [], found
    assert found["killed"] == count
    # The moments were such that they tell something: some in the middle of writing, and after several saves.
    assert found["different_files"] > 3
    assert count < 100 or found["left_hidden"] > count // 100


@pytest.mark.parametrize(
    ("backend", "count"),
    [
        ("torch", 40),
        pytest.param("torch", 800, marks=[pytest.mark.slow, pytest.mark.timeout(3600)]),
        pytest.param("jax", 200, marks=[pytest.mark.slow, pytest.mark.timeout(3600)]),
    ],
)
def test_killed_in_training_and_resumed(backend: str, count: int, tmp_path: Path) -> None:
    if backend not in TRAINABLE:
        pytest.skip(f"{backend} is not installed")
    found = run("resumed", backend, str(count), str(tmp_path))
    assert found["faults"] == [], found
    assert found["killed"] == count
    assert found["ends"] > count // 50
    assert found["places"] > 5  # different steps
    assert count < 100 or found["left_hidden"] > count // 100  # some in the middle of writing
