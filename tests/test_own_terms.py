"""Scripts in one framework's own terms, as those for Keras on one backend are, run by changing the import alone.

Each of `own_terms/` is run in two processes, by Keras and by unifront, on the framework that ``KERAS_BACKEND`` names, and
leaves numbers: losses, metrics, predictions, weights.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from unifront.backends import DEFAULT_VARIABLES, installed

FOLDER = Path(__file__).parent / "own_terms"
TRAINING = [name for name in installed() if name != "numpy"]


def results(library: str, backend: str) -> dict[str, Any]:
    rest = {name: value for name, value in os.environ.items() if name not in DEFAULT_VARIABLES}
    paths = os.pathsep.join([str(FOLDER.parents[1]), *filter(None, sys.path)])
    done = subprocess.run(
        [sys.executable, str(FOLDER), library, f"in_{backend}"], capture_output=True, text=True, check=False,
        env={**rest, "KERAS_BACKEND": backend, "PYTHONPATH": paths}, timeout=600,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-3000:]
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return found


@pytest.mark.timeout(900)
@pytest.mark.parametrize("backend", TRAINING)
def test_it_computes_what_it_computes_with_keras(backend: str) -> None:
    pytest.importorskip("keras")
    theirs, ours = results("keras", backend), results("unifront", backend)
    assert ours.keys() == theirs.keys()
    for what, expected in theirs.items():
        mine, given = np.ravel(ours[what]), np.ravel(expected)
        scale = np.abs(given).max()
        assert mine.shape == given.shape, what
        np.testing.assert_allclose(mine, given, rtol=0, atol=1e-4 * scale, err_msg=what)
