"""Type checkers see a user's code as the library means it: they accept README's, strictly, and find what is wrong."""

from __future__ import annotations

import importlib.util
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.documents import ROOT, blocks

pytestmark = pytest.mark.slow  # a checker reads the whole library for each

WRONG = """
import unifront as uf
from unifront import layers

uf.Input(shap=(3,))
layers.Dense(10, activatoin="relu")
uf.Sequential([uf.Input((3,))]).fit(epochs="three")
uf.losess
uf.backend.flotax()
uf.backend(3)
"""
"""Each line but the first two is an error."""

RIGHT = """
import unifront as uf
from unifront import backend as K

with uf.backend("jax") as place:
    print(place.device, K.backend().upper(), uf.backend.result_type("int32", float).upper())
K.set_floatx("float32")
with uf.name_scope("one"):
    print(uf.random_key(0).fold_in(1))
"""

CONFIG = """
[mypy]
strict = True

[mypy-jax.*,onnx.*,onnxruntime.*,sklearn.*,tensorflow.*,torch.*]
follow_imports = skip
"""


def checked(checker: str, code: str, folder: Path) -> list[int]:
    """The numbers of the lines of ``code`` in which a checker finds errors."""
    (folder / "script.py").write_text(code, encoding="utf-8")
    paths = [str(ROOT / name) for name in ("src", "backends", "zoo")]
    if checker == "mypy":
        (folder / "mypy.ini").write_text(CONFIG, encoding="utf-8")
        command = [sys.executable, "-m", "mypy", "--no-color-output", "--hide-error-context", "script.py"]
    else:
        settings = '{"typeCheckingMode": "strict", "reportMissingTypeStubs": false, "extraPaths": %s}'
        (folder / "pyrightconfig.json").write_text(settings % str(paths).replace("'", '"'), encoding="utf-8")
        command = [sys.executable, "-m", "pyright", "--pythonpath", sys.executable, "script.py"]
    environment = {**os.environ, "MYPYPATH": os.pathsep.join(paths)}
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode in (0, 1), done.stdout + done.stderr
    return [int(line) for line in re.findall(r"script\.py:(\d+)(?::\d+)*(?::| -) error", done.stdout)]


@pytest.mark.parametrize("checker", ["mypy", "pyright"])
def test_the_code_of_the_readme_is_accepted(checker: str, tmp_path: Path) -> None:
    if not importlib.util.find_spec(checker):
        pytest.skip(f"{checker} is not installed")
    code = "\n".join(block.text for block in blocks("README.md", "python"))
    assert checked(checker, code + RIGHT, tmp_path) == []


@pytest.mark.parametrize("checker", ["mypy", "pyright"])
def test_wrong_calls_are_found(checker: str, tmp_path: Path) -> None:
    if not importlib.util.find_spec(checker):
        pytest.skip(f"{checker} is not installed")
    wrong = [
        number for number, line in enumerate(WRONG.splitlines(), 1) if line.startswith(("uf.", "layers."))
    ]
    assert sorted(set(checked(checker, WRONG, tmp_path))) == wrong


def test_every_package_says_that_it_is_typed() -> None:
    for package in (
        "src/unifront",
        *(f"backends/unifront_{name}" for name in ("torch", "tensorflow", "jax")),
    ):
        assert (ROOT / package / "py.typed").is_file()
    assert (ROOT / "zoo/unifront_zoo/py.typed").is_file()
