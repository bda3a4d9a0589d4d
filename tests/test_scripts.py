"""Scripts in the manner of keras.io run by changing the import alone, and compute what they compute with Keras.

Each script of `scripts/` is written for Keras: it trains and leaves a `model`, its `history` and `samples`. It is run with
Keras as it stands and with unifront after one change, that of the word `keras` where it imports. On one backend, which changes from day to day; the
others are slow tests.
"""

from __future__ import annotations

import datetime
import os
import re
import types
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import unifront as uf
from unifront.backends import installed

SCRIPTS = sorted((Path(__file__).parent / "scripts").glob("*.py"))
TRAINING = [name for name in installed() if name != "numpy"]
DAY = int(os.environ.get("UNIFRONT_EXAMPLES_DAY", datetime.date.today().toordinal()))
RUNS = [
    pytest.param(path, backend, id=f"{path.stem}-{backend}", marks=() if of_today else pytest.mark.slow)
    for place, path in enumerate(SCRIPTS)
    for backend in TRAINING
    for of_today in [TRAINING[(DAY + place) % len(TRAINING)] == backend]
]


def with_unifront(script: str) -> str:
    changed = re.sub(r"^import keras$", "import unifront as keras", script, flags=re.MULTILINE)
    return re.sub(r"^from keras\b", "from unifront", changed, flags=re.MULTILINE)


def run(script: str, path: Path) -> dict[str, Any]:
    left = types.ModuleType(path.stem).__dict__
    exec(compile(script, path, "exec"), left)
    return left


@pytest.fixture(scope="module")
def of_keras() -> Any:
    """What a script leaves when Keras runs it, and what its model gives; each runs once."""
    pytest.importorskip("keras")
    kept: dict[Path, Any] = {}

    def left(path: Path) -> Any:
        if path not in kept:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # those of Keras are its own
                ran = run(path.read_text(encoding="utf-8"), path)
                kept[path] = (ran, ran["model"].predict(ran["samples"], verbose=0))
        return kept[path]

    return left


@pytest.mark.parametrize(("path", "backend"), RUNS)
def test_a_script_runs_by_changing_the_import_alone(path: Path, backend: str, of_keras: Any) -> None:
    theirs, expected = of_keras(path)
    script = path.read_text(encoding="utf-8")
    assert with_unifront(script) != script
    with uf.backend(backend):
        ours = run(with_unifront(script), path)
        assert type(ours["model"]).__module__.partition(".")[0] != "keras"
        losses = ours["history"].history["loss"]
        assert ours["history"].history.keys() == theirs["history"].history.keys()
        assert np.isfinite(losses).all()
        for mine, given in zip(
            uf.tree.flatten(ours["samples"]), uf.tree.flatten(theirs["samples"]), strict=True
        ):
            np.testing.assert_allclose(mine, given, rtol=1e-6, atol=1e-6)
        ours["model"].set_weights(theirs["model"].get_weights())
        given = ours["model"].predict(ours["samples"], verbose=0)
    for mine, wanted in zip(uf.tree.flatten(given), uf.tree.flatten(expected), strict=True):
        np.testing.assert_allclose(mine, wanted, rtol=1e-4, atol=1e-5)
