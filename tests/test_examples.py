"""The scripts of examples/ run at small size, each on a backend that changes from day to day, and learn."""

from __future__ import annotations

import datetime
import importlib.util
import os
from pathlib import Path

import pytest

from unifront.backends import installed

FOLDER = Path(__file__).parents[1] / "examples"
SCRIPTS = sorted(path.stem for path in FOLDER.glob("*.py"))
DAY = int(os.environ.get("UNIFRONT_EXAMPLES_DAY", datetime.date.today().toordinal()))


def test_there_are_ten_of_at_most_120_lines() -> None:
    assert len(SCRIPTS) == 10
    for name in SCRIPTS:
        lines = (FOLDER / f"{name}.py").read_text(encoding="utf-8").splitlines()
        assert len(lines) <= 120, name
        assert f"python examples/{name}.py" in "\n".join(lines), f"{name} does not say how it is run"


@pytest.mark.parametrize("name", SCRIPTS)
def test_the_loss_goes_down(name: str) -> None:
    backends = [name for name in installed() if name != "numpy"]  # which does not train
    backend = backends[(DAY + SCRIPTS.index(name)) % len(backends)]
    spec = importlib.util.spec_from_file_location(f"example_{name}", FOLDER / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    losses = module.main(backend, quick=True)
    assert losses[-1] < losses[0], f"{name} on {backend}: {losses}"
