"""The worked examples of CONTRIBUTING.md, followed to the letter."""

import importlib.util
import os
import shutil
import subprocess
import sys
import types

import pytest

from tests.documents import ROOT, blocks

BLOCKS = {block.file: block for block in blocks("CONTRIBUTING.md") if block.file}


def run_tests(folder, *arguments, path):
    """Run pytest in a process of its own that imports from ``path`` first."""
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(map(str, path))}
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:xdist", "-p", "no:cacheprovider", *arguments]
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout[-6000:] + done.stderr[-3000:]
    return done.stdout


def insert(file, marker, text):
    """Put ``text`` into ``file`` behind the first line that begins with ``marker``, or at its end."""
    lines = file.read_text(encoding="utf-8").splitlines(keepends=True)
    place = next(i for i, line in enumerate(lines) if line.startswith(marker)) + 1 if marker else len(lines)
    file.write_text("".join([*lines[:place], text, *lines[place:]]), encoding="utf-8")


def test_adding_an_op(tmp_path):
    for folder in ("src", "backends", "zoo"):
        shutil.copytree(ROOT / folder, tmp_path / folder)  # compiled modules too
    for name in ("tests/conformance/test_ops.py", "tests/opset/test_namespace.py", "pyproject.toml"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / name, tmp_path / name)
    for name, marker in (
        ("src/unifront/opset/elementwise.py", ""),
        ("backends/unifront_torch/lower/elementwise.py", "TABLE: "),
        ("backends/unifront_jax/lower/elementwise.py", "TABLE: "),
    ):
        insert(tmp_path / name, marker, BLOCKS[name].text)
    path = [tmp_path / folder for folder in ("src", "backends", "zoo")]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(map(str, path))}
    subprocess.run([sys.executable, "-m", "unifront.opset"], cwd=tmp_path, env=environment, check=True)
    said = run_tests(tmp_path, "-k", "copysign or namespace or reason", "-rA", path=path)
    for name in ("torch", "jax", "tensorflow"):
        if importlib.util.find_spec(name):
            assert f"test_gradient[{name}-copysign-float64]" in said


def test_adding_a_layer(monkeypatch):
    module = types.ModuleType("unifront.layers.attention_pooling")
    monkeypatch.setitem(sys.modules, module.__name__, module)
    BLOCKS["src/unifront/layers/attention_pooling.py"].run(vars(module))
    names = {}
    BLOCKS["tests/layers/test_attention_pooling.py"].run(names)
    tests = [value for name, value in names.items() if name.startswith("test_")]
    assert len(tests) == 4
    for test in tests:
        test()


def test_adding_a_backend(tmp_path):
    for name in ("plain.py", "test_plain.py"):
        (tmp_path / name).write_text(BLOCKS[name].text, encoding="utf-8")
    # What pip makes of a package with this entry point.
    (entry,) = (block for block in blocks("CONTRIBUTING.md", "toml"))
    header, line = entry.text.splitlines()
    assert header == '[project.entry-points."unifront.backends"]'
    installed = tmp_path / "plain-0.1.dist-info"
    installed.mkdir()
    (installed / "METADATA").write_text(
        "Metadata-Version: 2.1\nName: plain\nVersion: 0.1\n", encoding="utf-8"
    )
    line = line.replace('"', "")
    (installed / "entry_points.txt").write_text(f"[unifront.backends]\n{line}\n", encoding="utf-8")
    path = [tmp_path, *(ROOT / folder for folder in ("src", "backends", "zoo"))]
    said = run_tests(tmp_path, "-W", "error", "-rA", path=path)
    assert "test_plain.py::test_forward[matmul-float64]" in said
    assert "test_plain.py::test_forward[softmax-float64]" in said  # by its decomposition


@pytest.mark.parametrize(
    "block", [b for b in BLOCKS.values() if b.file.startswith(("src", "backends"))], ids=str
)
def test_examples_name_files_that_are_there(block):
    new = {"src/unifront/layers/attention_pooling.py"}
    assert (ROOT / block.file).is_file() != (block.file in new)
