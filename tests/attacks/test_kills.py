"""Whoever is killed while saving leaves the old file or the new one, and nothing that the next save does not remove."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize(
    ("what", "count"),
    [
        ("saving", 10),
        pytest.param("saving", 700, marks=[pytest.mark.slow, pytest.mark.timeout(3600)]),
        pytest.param("training", 300, marks=[pytest.mark.slow, pytest.mark.timeout(3600)]),
    ],
)
def test_killed_at_any_moment(what: str, count: int, tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "tests.attacks.killed", what, str(count), str(tmp_path)],
        cwd=ROOT, env={**os.environ, "PYTHONPATH": os.pathsep.join([str(ROOT), *sys.path])},
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-3000:]
    found = json.loads(done.stdout)
    assert found["faults"] == [], found
    assert found["killed"] == count
    # The moments were such that they tell something: some in the middle of writing, and after several saves.
    assert found["different_files"] > 3
    assert count < 100 or found["left_hidden"] > count // 100
