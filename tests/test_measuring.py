"""`uf.bench`, `unifront bench` and `unifront parity`: what they measure, print and write."""

from __future__ import annotations

import json
import math
import re
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from rich.console import Console
from typer.testing import CliRunner

import unifront as uf
from tests.models import MODELS, TRAINABLE
from unifront import errors, layers, measuring, ops, pages
from unifront.backends import added_rows, get_backend
from unifront.cli import app
from unifront.opset.activation import RELU

BACKEND = "torch" if "torch" in TRAINABLE else TRAINABLE[0]


class Tags(HTMLParser):
    """Collects text, and fails for what is not closed."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.text = ""
        self.cells: list[tuple[str, str]] = []

    def handle_starttag(self, tag: str, attrs: Any) -> None:
        assert tag not in ("script", "link", "img", "iframe")
        assert not any(value and "//" in value for name, value in attrs if name in ("src", "href"))
        if tag not in ("meta", "line", "polyline"):
            self.open.append(tag)
        if tag == "td":
            self.cells.append((dict(attrs).get("class", ""), ""))

    def handle_endtag(self, tag: str) -> None:
        if tag not in ("line", "polyline"):
            assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text += data
        if self.open and self.open[-1] == "td":
            self.cells[-1] = (self.cells[-1][0], data)


def read(path: Path) -> Tags:
    found = Tags()
    found.feed(path.read_text().removeprefix("<!doctype html>\n"))
    assert not found.open
    return found


def run(*arguments: str, code: int = 0) -> str:
    result = CliRunner().invoke(app, list(arguments), env={"COLUMNS": "150"})
    assert result.exit_code == code, result.output
    return str(result.output)


@pytest.fixture(scope="module")
def mlp(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("models") / "mlp.uf"
    MODELS["mlp"]("float32")[0].save(path)
    return path


# ---------------------------------------------------------------- bench


def test_what_takes_twice_as_long_is_said_to(monkeypatch: pytest.MonkeyPatch) -> None:
    """By a clock of the test's own; the calls take turns until each had its time."""
    order, now = [], [0.0]

    def lasts(name: str, seconds: float) -> Any:
        def call() -> None:
            order.append(name)
            now[0] += seconds

        return call

    monkeypatch.setattr(measuring.time, "perf_counter", lambda: now[0])
    calls = {"a": lasts("a", 0.01), "b": lasts("b", 0.02), "c": "it is absent"}
    found = {timing.backend: timing for timing in measuring._timed(calls, 0.5)}
    assert found["a"].median == pytest.approx(0.01)
    assert found["b"].median == pytest.approx(found["b"].first) == pytest.approx(0.02)
    assert sum(found["b"].seconds) >= 0.5
    assert found["c"].failure == "it is absent"
    assert math.isnan(found["c"].median)
    assert len(re.findall("a+b+", "".join(order))) >= 5


def test_a_model_stays_as_it_is_while_copies_are_timed() -> None:
    model, (x, _) = MODELS["cnn"]("float32")
    model.predict(x[:2], backend="numpy")
    before = [weight.numpy().copy() for weight in model.weights]
    homes = [weight.home for weight in model.weights]
    found = uf.bench(model, x[:5], backends=[BACKEND, "numpy"], train=True, seconds=0.02)
    assert [weight.home for weight in model.weights] == homes
    for weight, value in zip(model.weights, before, strict=True):
        np.testing.assert_array_equal(weight.numpy(), value)
    assert model._training is None
    rows = {(row["what"], row["backend"].partition(":")[0]): row for row in found.rows()}
    assert (found.batch, found.parameters) == (5, model.count_params())
    assert rows["predict", BACKEND]["calls"] > 0
    assert rows["predict", "numpy"]["median_ms"] > 0
    assert rows["train", BACKEND]["examples_per_second"] > 0
    assert min(row["ratio"] for row in found.rows() if not row["failure"]) == 1.0
    assert f"ms on {BACKEND}" in repr(found)


def test_outputs_that_are_no_floats_and_what_does_not_train(tmp_path: Path) -> None:
    x = uf.Input((3,), name="x")
    y = layers.Dense(2)(x)
    model = uf.Model(x, {"y": y, "best": ops.argmax(y, axis=-1)}, name="[bold]<two>")
    pytest.importorskip("onnxruntime")
    found = uf.bench(
        model, np.ones((4, 3), np.float32), backends=[BACKEND, "onnxruntime"], train=True, seconds=0.02
    )
    train = found.timings["train"]
    assert (train[0].failure, "does inference only" in train[1].failure) == ("", True)
    console = Console(record=True, width=120)
    found.print(console)
    text = console.export_text()
    assert "[bold]<two>: train, batch of 4" in text
    assert "train on onnxruntime:cpu: The backend 'onnxruntime' does inference only" in text
    found.html(tmp_path / "bench.html")
    page = read(tmp_path / "bench.html")
    assert "[bold]<two>: which backend is the fastest" in page.text
    assert f"{train[0].median * 1e3:.2f}" in page.text
    assert "does inference only" in page.text


def test_wrong_arguments() -> None:
    model, (x, _) = MODELS["mlp"]("float32")
    with pytest.raises(errors.UnknownName, match="backend 'thorch'. Did you mean 'torch'"):
        uf.bench(model, x, backends="thorch")
    with pytest.raises(errors.DataError, match=r"has the shape \(40, 4\)"):
        uf.bench(model, x[:, :4])
    with pytest.raises(errors.ArgumentError, match="model is a uf.Model, not 3"):
        uf.bench(3, x)
    with pytest.raises(errors.ArgumentError, match="seconds"):
        uf.bench(model, x, seconds=0)


def test_bench_on_the_command_line(mlp: Path, tmp_path: Path) -> None:
    arguments = ("bench", str(mlp), "--backend", BACKEND, "--seconds", "0.02", "--batch", "3")
    found = json.loads(run(*arguments, "--json", "--html", str(tmp_path / "b.html")))
    assert found["rows"][0]["calls"] > 0
    assert (found["model"], found["batch"], found["parameters"]) == ("mlp", 3, 75)
    assert found["rows"][0]["backend"].startswith(f"{BACKEND}:")
    assert read(tmp_path / "b.html").text.count("predict: a batch of 3") == 1
    text = CliRunner().invoke(app, list(arguments), env={"COLUMNS": "80"}).output
    assert "mlp: predict, batch of 3" in text
    assert re.search(r"backend +┃ median ms ┃ least ms ┃ examples/s ┃ × fastest ┃ first ms", text)


# ---------------------------------------------------------------- parity


def test_parity_on_the_command_line(mlp: Path, tmp_path: Path) -> None:
    arguments = ("parity", str(mlp), "--backend", BACKEND, "--gradients")
    found = json.loads(run(*arguments, "--json", "--html", str(tmp_path / "p.html"), "--tolerance", "1e-4"))
    assert found["backends"] == [BACKEND]
    assert found["worst_forward"] == max(
        r["differences"][BACKEND] for r in found["rows"] if r["what"] == "forward"
    )
    assert {row["path"] for row in found["rows"]} >= {"dense/kernel", "dense_1/bias", "dense"}
    page = read(tmp_path / "p.html")
    assert {shade for shade, _ in page.cells} == {"good", ""}
    assert "The largest difference is " in run(*arguments)


def test_a_difference_beyond_the_tolerance_is_a_failure(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Any
) -> None:
    x = uf.Input((3,), name="x")
    model = uf.Model(x, layers.Dense(2)(layers.ReLU(name="rectifier")(layers.Dense(4)(x))), name="planted")
    model.save(tmp_path / "planted.uf")
    right = get_backend(BACKEND).rows().table[RELU]
    monkeypatch.setitem(added_rows(BACKEND), RELU, lambda x: right(x) * 1.1)
    arguments = ["parity", str(tmp_path / "planted.uf"), "--backend", BACKEND, "--tolerance", "1e-3"]
    monkeypatch.setattr("sys.argv", ["unifront", *arguments, "--html", str(tmp_path / "p.html")])
    from unifront.cli import main

    with pytest.raises(SystemExit, match="1"):
        main()
    assert re.search(r"The backends differ by \d\.\de-0\d; 0.001 is allowed", capsys.readouterr().err)
    page = read(tmp_path / "p.html")
    assert "rectifier" in page.text
    assert "bad" in {shade for shade, _ in page.cells}


def test_data_from_files(mlp: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Any) -> None:
    x = np.random.default_rng(0).normal(size=(6, 5)).astype(np.float32)
    np.save(tmp_path / "x.npy", x)
    np.savez(tmp_path / "x.npz", features=x, more=x)
    np.save(tmp_path / "number.npy", np.float32(3))
    (tmp_path / "bad.npy").write_bytes(b"\x93NUMPY, but no more")
    np.savez(tmp_path / "other.npz", other=x)
    np.save(tmp_path / "objects.npy", np.array([{}]), allow_pickle=True)
    for name in ("x.npy", "x.npz"):
        found = json.loads(
            run(
                "bench",
                str(mlp),
                "--data",
                str(tmp_path / name),
                "--backend",
                "numpy",
                "--seconds",
                "0.01",
                "--json",
            )
        )
        assert found["batch"] == 6
    from unifront.cli import main

    for name, match in {
        "bad.npy": "bad.npy cannot be read as an array of NumPy",
        "number.npy": "number.npy is one number; its rows are to be examples",
        "objects.npy": "objects.npy cannot be read as an array of NumPy",
        "other.npz": "has the arrays other; the model's input 'features' is missing",
        "none.npz": "none.npz: there is no such file",
    }.items():
        arguments = ["parity", str(mlp), "--data", str(tmp_path / name), "--backend", BACKEND]
        monkeypatch.setattr("sys.argv", ["unifront", *arguments])
        with pytest.raises(SystemExit, match="1"):
            main()
        assert match in capsys.readouterr().err


def test_random_data_of_free_sizes_that_a_model_takes(tmp_path: Path) -> None:
    x = uf.Input((None, 4), name="x")
    y = layers.Conv1D(3, 5, strides=4)(layers.Conv1D(2, 9)(x))  # seven steps are too few
    uf.Model(x, layers.GlobalMaxPooling1D()(y), name="free").save(tmp_path / "free.uf")
    found = json.loads(run("parity", str(tmp_path / "free.uf"), "--backend", BACKEND, "--json"))
    assert found["worst_forward"] < 1e-5


# ---------------------------------------------------------------- pages


def test_text_of_a_page_is_text(tmp_path: Path) -> None:
    page = pages.Page("<script>alert(1)</script>")
    page.facts({"<b>": "</td>"})
    page.table(["<i>"], [["<script>"], [pages.Cell("&", "bad")]])
    page.bars({"<x>": 1.0, "y": 0.0}, {"<x>": "<1>", "y": "0"})
    page.text("</pre>\x1b[31m")
    page.figures(
        [
            pages.curve('"/><script>', {"<a>": [(1, 2.0), (2, 3.0)], "b": []}, "<epoch>"),
            pages.curve("", {}, ""),
        ]
    )
    page.write(tmp_path / "page.html")
    found = read(tmp_path / "page.html")
    assert found.text.count("<script>") == 4  # in the title twice
    assert "\x1b" not in found.text
    assert ("bad", "&") in found.cells
