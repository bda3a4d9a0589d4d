"""The wheel, installed into an empty environment with one framework, runs the demo."""

from __future__ import annotations

import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from tests.documents import ROOT

pytestmark = pytest.mark.slow  # it installs a framework


def run(*command: str | Path, folder: Path = ROOT) -> str:
    done = subprocess.run([*map(str, command)], cwd=folder, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    return done.stdout


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("wheel")
    run(sys.executable, "-m", "pip", "wheel", "-q", "--no-deps", "-w", folder, ROOT)
    (found,) = folder.glob("unifront-*.whl")
    return found


def test_what_the_repository_has_is_in_the_wheel(wheel: Path) -> None:
    packages = {"unifront": "src", "unifront_zoo": "zoo"}
    packages |= {f"unifront_{name}": "backends" for name in ("torch", "tensorflow", "jax")}
    ours = {
        path.relative_to(ROOT / parent).as_posix()
        for package, parent in packages.items()
        for path in (ROOT / parent / package).rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }
    there = {name for name in zipfile.ZipFile(wheel).namelist() if ".dist-info/" not in name}
    assert there == ours


@pytest.mark.timeout(1800)
def test_the_demo_runs_in_an_empty_environment_with_one_framework(wheel: Path, tmp_path: Path) -> None:
    run(sys.executable, "-m", "venv", tmp_path / "empty")
    bin_ = tmp_path / "empty" / "bin"
    run(bin_ / "pip", "install", "-q", "-c", ROOT / "constraints.txt", f"{wheel}[jax,onnx,zoo]")
    said = run(bin_ / "unifront", "demo", "--epochs", "4", folder=tmp_path)
    assert "Backends: jax." in said
    assert "all as promised" in said
    said = run(bin_ / "unifront", "backends", folder=tmp_path)
    assert 'pip install "unifront[torch]"' in said.replace("\n", "")
