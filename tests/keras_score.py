"""Keras's own unit tests, unedited, against unifront: runs the suite beside this repository and keeps the counts.

    python tests/keras_score.py SUITE KERAS WORK [--backends torch,jax,tensorflow] [--areas ops/numpy,layers]

SUITE is the folder of the suite (its ``run.py`` and README), KERAS an unpacked source distribution of Keras
(``pip download --no-deps --no-binary keras keras==3.15.1``), WORK an empty folder. Prints a table for each backend and
writes them to ``docs/keras-score.md``. It takes some ten minutes for each.
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]
PAGE = ROOT / "docs" / "keras-score.md"
MOVED = {"unifront.backend ": "unifront.backends ", "unifront.ops.tensor ": "unifront.opset.tensor "}
"""Modules of ours that the suite imports by names they had before."""
HEAD = """# Keras's own tests

Keras 3.15.1's unit tests, unedited, run against unifront: `make keras-score`, outside of CI. What does not apply
(Keras's internals, sparse tensors, its export formats …) is counted apart.

"""


def own_copy(suite: Path, work: Path) -> Path:
    """The suite with the names of today."""
    copy = work / "suite"
    shutil.rmtree(copy, ignore_errors=True)
    shutil.copytree(suite, copy, copy_function=shutil.copyfile)
    for file in copy.glob("*.py"):
        text = file.read_text(encoding="utf-8")
        for before, now in MOVED.items():
            text = text.replace(f"from {before}", f"from {now}")
        text = text.replace(
            '"PYTHONPATH": str(HERE)',
            '"PYTHONPATH": os.pathsep.join([str(HERE), os.environ.get("PYTHONPATH", "")])',
        )
        file.write_text(text, encoding="utf-8")
    return copy


def score(suite: Path, keras: Path, work: Path, backend: str, more: list[str]) -> str:
    """The table of one backend."""
    command = [
        sys.executable,
        str(suite / "run.py"),
        str(keras),
        str(work / backend),
        "--backend",
        backend,
        *more,
    ]
    (work / backend).mkdir(parents=True, exist_ok=True)
    environment = {"KERAS_BACKEND": "tensorflow", **os.environ}
    result = subprocess.run(command, env=environment, stdout=subprocess.PIPE, text=True, check=True)
    return result.stdout


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("suite", type=Path)
    parser.add_argument("keras", type=Path)
    parser.add_argument("work", type=Path)
    parser.add_argument("--backends", default="torch,jax,tensorflow")
    parser.add_argument("--areas", default="")
    parser.add_argument("--jobs", default="2")
    given = parser.parse_args()
    work = given.work.resolve()
    work.mkdir(parents=True, exist_ok=True)
    suite = own_copy(given.suite.resolve(), work)
    more = ["--jobs", given.jobs, *(["--areas", given.areas] if given.areas else [])]
    tables = [score(suite, given.keras.resolve(), work, one, more) for one in given.backends.split(",")]
    print("\n".join(tables))  # noqa: T201  # it is what the command is for
    if not given.areas:
        PAGE.write_text(HEAD + "\n".join(tables), encoding="utf-8")


if __name__ == "__main__":
    main()
