"""No broken file does more harm than an error: thousands of them, and giants, loaded under watch."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.attacks.giants import GIANTS
from tests.attacks.watched_loads import SECONDS

ROOT = Path(__file__).parents[2]
SOME_GIANTS = ["directory", "attributes", "dim_of_many_factors", "header_of_objects"]


def loads(*arguments: object) -> dict[str, Any]:
    done = subprocess.run(
        [sys.executable, "-m", "tests.attacks.watched_loads", *map(str, arguments)],
        cwd=ROOT, env={**os.environ, "PYTHONPATH": os.pathsep.join([str(ROOT), *sys.path])},
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-3000:]
    assert done.stderr == ""
    found: dict[str, Any] = json.loads(done.stdout)
    assert found["faults"] == [], json.dumps(found["faults"], indent=1)[:10_000]
    return found


@pytest.mark.parametrize(
    ("first", "count"),
    [(0, 150), pytest.param(1_000, 200_000, marks=[pytest.mark.slow, pytest.mark.timeout(3600)])],
)
def test_mutated_files(first: int, count: int) -> None:
    counts = loads("mutations", first, count, 2)["counts"]
    assert sum(counts.values()) == count
    assert set(counts) <= {"FileFormatError", "loaded"}
    assert count * 0.01 < counts["loaded"] < count * 0.5  # else the mutations are too wild or too tame


@pytest.mark.parametrize(
    ("first", "count"),
    [(0, 2_000), pytest.param(10_000, 200_000, marks=[pytest.mark.slow, pytest.mark.timeout(7200)])],
)
def test_mutated_onnx_models(first: int, count: int) -> None:
    counts = loads("onnx", first, count, 2)["counts"]
    assert sum(counts.values()) == count
    assert set(counts) <= {
        "FileFormatError",
        "UnsupportedOp",
        "ArgumentError",
        "NeedsValue",
        "NotKnown",
        "loaded",
    }
    assert count * 0.05 < counts["loaded"] < count * 0.5  # else the mutations are too wild or too tame


@pytest.mark.parametrize(
    ("first", "count"),
    [(0, 150), pytest.param(10_000, 20_000, marks=[pytest.mark.slow, pytest.mark.timeout(3600)])],
)
def test_mutated_descriptions(first: int, count: int) -> None:
    """Of models, layers, losses … as JSON, in archives, and vocabularies."""
    counts = loads("json", first, count, 2)["counts"]
    assert sum(counts.values()) == count
    assert "foreign" not in counts
    assert count * 0.05 < counts["loaded"] < count * 0.5  # else the mutations are too wild or too tame


def test_giants_are_refused_with_little_memory() -> None:
    found = loads("giants", 60, *SOME_GIANTS)
    assert found["counts"] == {"FileFormatError": len(SOME_GIANTS)}


@pytest.mark.slow
def test_all_giants_are_refused_in_little_time() -> None:
    found = loads("giants", SECONDS)
    assert sum(found["counts"].values()) == len(GIANTS)
    assert found["counts"] == {"FileFormatError": len(GIANTS)}
