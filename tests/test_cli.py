"""The command line: what it prints, and how it fails."""

from __future__ import annotations

import json
import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

import unifront as uf
from tests.models import MODELS, TRAINABLE
from unifront import backends, layers
from unifront.cli import app

RUNNER = CliRunner()


def output(*arguments: str) -> str:
    result = RUNNER.invoke(app, list(arguments), env={"COLUMNS": "200"}, catch_exceptions=False)
    assert result.exit_code == 0, result.output
    return result.output


def unifront(
    *arguments: str, folder: Path | None = None, environment: dict[str, str] | None = None
) -> subprocess.CompletedProcess[str]:
    variables = {name: value for name, value in os.environ.items() if name not in ("NO_COLOR", "FORCE_COLOR")}
    return subprocess.run(
        [sys.executable, "-m", "unifront.cli", *arguments],
        capture_output=True, text=True, check=False, timeout=250, cwd=folder,
        env=variables | (environment or {}),
    )  # fmt: skip


def test_version() -> None:
    assert output("--version") == f"unifront {uf.__version__}\n"


def test_help_names_the_commands() -> None:
    text = output("--help")
    for command in ("demo", "backends", "zoo", "summary", "--version"):
        assert command in text


def test_backends() -> None:
    text = output("backends")
    for name in TRAINABLE:
        native = backends.get_backend(name)
        assert name in text
        assert native.version() in text
    assert "numpy" in text
    assert "Default: " in text


def test_backends_that_are_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("unifront.cli.models.is_installed", lambda name: name in ("numpy", TRAINABLE[0]))
    text = output("backends")
    for name in TRAINABLE[1:]:
        assert f'pip install "unifront[{name}]"' in text


def test_zoo_list() -> None:
    text = output("zoo", "list")
    for name in uf.zoo.list():
        assert name in text
    assert "resnet50" in output("zoo", "list", "resnet*")
    assert "lenet" not in output("zoo", "list", "resnet*")


def test_summary_of_the_zoo_and_of_a_file(tmp_path: Path) -> None:
    text = output("summary", "lenet5")
    assert "lenet5" in text
    assert f"{uf.zoo.create('lenet5').count_params():,} weights" in text
    MODELS["mlp"]("float32")[0].save(tmp_path / "model.uf")
    text = output("summary", str(tmp_path / "model.uf"))
    assert "mlp" in text
    assert "75 weights" in text
    for row in (
        r"features \(Input\) +│ float32\[batch, 5\]",
        r"dense \(Dense\) +│ float32\[batch, 8\] +│ +48",
    ):
        assert re.search(row, text)
    (tmp_path / "model.uf").rename(tmp_path / "[red]MODEL")
    assert output("summary", str(tmp_path / "[red]MODEL")) == text


def test_names_in_a_file_do_not_steer_the_terminal(tmp_path: Path) -> None:
    x = uf.Input((2,), name="x")
    uf.Model(x, layers.Dense(1, name="\x1b[31mred\n")(x), name="[bold]a\x1b]0;title\x07").save(
        tmp_path / "odd.uf"
    )
    text = output("summary", str(tmp_path / "odd.uf"))
    assert "\x1b" not in text
    assert "\x07" not in text
    assert r"\x1b[31mred\n (Dense)" in text
    assert r"[bold]a\x1b]0;title\x07: GraphModel" in text


@pytest.mark.parametrize("arguments", [("zoo", "list"), ("summary", "lenet5"), ("backends",)])
def test_a_narrow_terminal_loses_nothing(arguments: tuple[str, ...]) -> None:
    narrow = RUNNER.invoke(app, list(arguments), env={"COLUMNS": "40"}, catch_exceptions=False).output
    assert max(map(len, narrow.splitlines())) <= 40
    wide = output(*arguments)
    assert narrow.count("…") == wide.count("…")  # of what is shown, not of the table
    letters = re.sub(r"\W", "", wide)
    assert sorted(re.sub(r"\W", "", narrow)) == sorted(letters)


def test_colours_are_for_terminals_that_want_them() -> None:
    for name, value in (("NO_COLOR", "1"), ("TERM", "dumb")):
        done = unifront("summary", "resnet51", environment={"FORCE_COLOR": "1", name: value})
        assert "\x1b[3" not in done.stderr
    assert "\x1b[31m" in unifront("summary", "resnet51", environment={"FORCE_COLOR": "1"}).stderr


@pytest.mark.parametrize(
    ("arguments", "match"),
    [
        (("summary", "resnet51"), "Error: Unknown model of the zoo 'resnet51'. Did you mean 'resnet"),
        (("summary", "missing.uf"), "Error: missing.uf: there is no such file."),
        (("summary", "nowhere/missing"), "Error: nowhere/missing: there is no such file."),
        (
            ("summary", "[red]broken.uf"),
            "Error: [red]broken.uf is not a valid .uf file: File is not a zip file.",
        ),
        (("summary", "./"), "Error: . is a folder; a file is needed."),
        (("zoo", "list", "resmet*"), "Error: Unknown model of the zoo 'resmet*'. Did you mean 'resnet"),
        (("demo", "--folder", "[red]broken.uf/x"), "Error: [Errno 20] Not a directory: '[red]broken.uf/x'"),
    ],
)
def test_errors_are_one_line(arguments: tuple[str, ...], match: str, tmp_path: Path) -> None:
    (tmp_path / "[red]broken.uf").write_bytes(b"PK, but no zip")
    done = unifront(*arguments, folder=tmp_path)
    assert done.returncode == 1
    assert match in done.stderr
    assert "Traceback" not in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1


def test_an_unknown_command_shows_the_usage() -> None:
    done = unifront("dance")
    assert done.returncode == 2
    assert "No such command 'dance'" in done.stderr


def test_a_default_that_is_no_backend() -> None:
    done = unifront("backends", environment={"UNIFRONT_BACKEND": "thorch"})
    assert done.returncode == 1
    assert "Error: Unknown backend 'thorch'. Did you mean 'torch'?" in done.stderr
    assert "Default" not in done.stdout


def test_a_reader_who_leaves_early_is_no_error() -> None:
    command = f"{shlex.quote(sys.executable)} -m unifront.cli summary resnet50 | head -1"
    done = subprocess.run(["bash", "-c", command], capture_output=True, text=True, check=False, timeout=250)
    assert done.stdout.startswith("resnet50: Model")
    assert done.stderr == ""


def test_a_full_disk_is_one_line() -> None:
    command = f"{shlex.quote(sys.executable)} -m unifront.cli summary mlp > /dev/full"
    done = subprocess.run(["bash", "-c", command], capture_output=True, text=True, check=False, timeout=250)
    assert done.returncode == 1
    assert done.stderr.splitlines() == ["Error: [Errno 28] No space left on device"]


def test_numbers_of_a_saved_model_in_a_new_process(tmp_path: Path) -> None:
    """What the demo's last part runs."""
    pytest.importorskip("sklearn")
    from unifront import demo

    model = demo.build()
    model.save(tmp_path / "digits.uf")
    done = subprocess.run(
        [sys.executable, "-m", "unifront.demo", str(tmp_path / "digits.uf")],
        capture_output=True, text=True, check=False, timeout=250,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    numbers = json.loads(done.stdout.splitlines()[-1])
    assert sorted(numbers) == sorted(backends.installed())
    _, (x, y) = demo.load_digits()
    loss, accuracy = model.evaluate(x, y, backend="numpy", batch_size=256)
    for row in numbers.values():
        assert row["loss"] == pytest.approx(loss, rel=1e-4)
        assert row["accuracy"] == pytest.approx(accuracy)
        assert row["difference"] <= 1e-5


def test_digits_are_split_once_and_for_all() -> None:
    pytest.importorskip("sklearn")
    from unifront import demo

    (x, y), (x_test, y_test) = demo.load_digits()
    assert (x.shape, x_test.shape) == ((1437, 8, 8, 1), (360, 8, 8, 1))
    assert x.dtype == np.float32
    assert 0 <= x.min() < x.max() <= 1
    assert sorted(set(y)) == sorted(set(y_test)) == list(range(10))


@pytest.mark.slow
def test_the_demo_keeps_its_promises(tmp_path: Path) -> None:
    pytest.importorskip("sklearn")
    done = unifront("demo", "--folder", str(tmp_path))
    assert done.returncode == 0, done.stdout + done.stderr
    assert "all as promised" in done.stdout
    assert sorted(path.name for path in tmp_path.iterdir()) == ["digits.onnx", "digits.uf"]
