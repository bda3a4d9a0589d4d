"""What a shell completes, and that no framework is loaded for it."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

PROGRAM = """
import sys
from unifront.cli import main
try:
    main()
finally:
    loaded = {"torch", "tensorflow", "jax", "onnx", "onnxruntime", "sklearn"} & set(sys.modules)
    print("loaded:", *sorted(loaded), file=sys.stderr)
"""


def completed(words: str, folder: Path) -> list[str]:
    """What bash is offered after ``words``."""
    variables = {
        "_UNIFRONT_COMPLETE": "complete_bash",
        "COMP_WORDS": words,
        "COMP_CWORD": str(words.count(" ")),
    }
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM.replace("main()", 'sys.argv = ["unifront"]; main()')],
        capture_output=True, text=True, check=False, timeout=60, cwd=folder, env=os.environ | variables,
    )  # fmt: skip
    assert done.stderr.splitlines()[-1] == "loaded:", done.stderr
    return done.stdout.split()


@pytest.mark.parametrize(
    ("words", "wanted"),
    [
        ("unifront inspect --backend t", ["torch", "tensorflow"]),
        ("unifront summary resnet10", ["resnet101"]),
        ("unifront summary ./bo", ["./body.uf", "./bones/"]),
        ("unifront zoo list lenet", ["lenet5"]),
        ("unifront bac", ["backends"]),
    ],
)
def test_names_are_completed_without_a_framework(words: str, wanted: list[str], tmp_path: Path) -> None:
    (tmp_path / "body.uf").touch()
    (tmp_path / "body.txt").touch()
    (tmp_path / "bones").mkdir()
    assert set(wanted) <= set(found := completed(words, tmp_path))
    assert all(word.startswith(words.split()[-1]) for word in found)
