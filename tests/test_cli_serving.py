"""`unifront serve` and `unifront export`: a server as people start and stop it; models for others."""

from __future__ import annotations

import json
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from typer.testing import CliRunner

import unifront as uf
from tests.models import MODELS
from unifront.cli import app
from unifront.testing import assert_close

pytest.importorskip("uvicorn")


def ask(url: str, body: Any = None) -> Any:
    data = None if body is None else json.dumps(body).encode()
    with urllib.request.urlopen(url, data, timeout=60) as answer:
        return json.loads(answer.read())


def started(*arguments: str, folder: Path) -> tuple[subprocess.Popen[str], dict[str, Any]]:
    """A server, and what it says of itself when it is ready."""
    server = subprocess.Popen(
        [sys.executable, "-m", "unifront.cli", "serve", *arguments, "--port", "0", "--json"],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=folder,
    )  # fmt: skip
    assert server.stdout is not None
    text = ""
    while not text.endswith("\n}\n"):
        line = server.stdout.readline()
        assert line, server.communicate()[1]
        text += line
    return server, json.loads(text)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("models")
    model = MODELS["mlp"]("float32")[0]
    model.save(place / "mlp.uf")
    (place / "trained").mkdir()
    model.save(place / "trained" / "model.uf")
    pytest.importorskip("onnx")
    model.export(place / "mlp.onnx")
    return place


@pytest.fixture
def server(folder: Path) -> Iterator[tuple[subprocess.Popen[str], str]]:
    arguments = ("mlp.uf", "other=mlp.onnx", "trained", "--backend", "numpy")
    process, found = started(*arguments, folder=folder)
    assert found["models"] == {"mlp": "mlp.uf", "other": "mlp.onnx", "trained": "trained"}
    yield process, found["url"]
    if process.poll() is None:
        process.kill()
    process.communicate()


def test_a_server_from_its_start_to_its_end(server: tuple[subprocess.Popen[str], str], folder: Path) -> None:
    process, url = server
    x = np.random.default_rng(0).normal(size=(3, 5)).astype(np.float32)
    expected = uf.load(folder / "mlp.uf").predict(x, backend="numpy")
    for name in ("mlp", "other", "trained"):
        rows = ask(f"{url}/v1/models/{name}:predict", {"instances": x.tolist()})["predictions"]
        assert_close(np.array(rows, np.float32), expected)
    with pytest.raises(urllib.error.HTTPError) as refused:
        ask(f"{url}/v1/models/mlp:predict", {"instances": [[1]]})
    assert refused.value.code == 400
    refused.value.close()
    with socket.create_connection(("127.0.0.1", int(url.rpartition(":")[2]))) as half:  # and what is no HTTP
        half.sendall(b"nonsense\r\n\r\n")
        assert b"400" in half.recv(100)
    # A request under way is answered, though the server is told to stop before it has all of it.
    body = json.dumps({"instances": x.tolist()}).encode()
    head = f"POST /v1/models/mlp:predict HTTP/1.1\r\nHost: x\r\nContent-Length: {len(body)}\r\nExpect: 100-continue\r\n\r\n"
    with ExitStack() as stack:
        half = stack.enter_context(
            socket.create_connection(("127.0.0.1", int(url.rpartition(":")[2])), timeout=60)
        )
        half.sendall(head.encode())
        answer = stack.enter_context(half.makefile("rb"))
        assert answer.readline() == b"HTTP/1.1 100 Continue\r\n"  # the request is under way
        while answer.readline() != b"\r\n":
            pass
        half.sendall(body[:9])
        process.send_signal(signal.SIGTERM)
        time.sleep(0.3)
        half.sendall(body[9:])
        found = answer.read()
    assert found.startswith(b"HTTP/1.1 200 ")
    assert_close(np.array(json.loads(found.rpartition(b"\r\n")[2])["predictions"], np.float32), expected)
    out, err = process.communicate(timeout=60)
    assert (process.returncode, out, err) == (0, "", "WARNING:  Invalid HTTP request received.\n")
    with pytest.raises(OSError, match="refused"):
        ask(f"{url}/v2")


def test_a_body_that_is_too_large_ends_at_once(server: tuple[subprocess.Popen[str], str]) -> None:
    """The answer comes before the body, of which the head promises a terabyte."""
    _, url = server
    with socket.create_connection(("127.0.0.1", int(url.rpartition(":")[2])), timeout=60) as half:
        head = f"POST /v2/models/mlp/infer HTTP/1.1\r\nHost: x\r\nContent-Length: {2**40}\r\n\r\n"
        half.sendall(head.encode() + b"{")
        found = b""
        while part := half.recv(1000):
            found += part
    assert found.startswith(b"HTTP/1.1 413 ")
    assert b"The request has 1,099,511,627,776 bytes; 33,554,432 are allowed." in found
    assert ask(f"{url}/v2/health/live") == {"live": True}


@pytest.mark.parametrize(
    ("arguments", "match"),
    [
        (("mlp.uf", "mlp.onnx"), "Two models are called 'mlp': mlp.uf and mlp.onnx. Write NAME=mlp.onnx."),
        (("missing.uf",), "missing.uf: there is no such file."),
        (("a b=mlp.uf",), "letters, digits, '_', '.' and '-', not 'a b'"),
        (("mlp.uf", "--backend", "nunpy"), "Unknown backend 'nunpy'. Did you mean 'numpy'?"),
        (("mlp.uf", "--host", "256.0.0.1", "--backend", "numpy"), "Cannot listen at 256.0.0.1:8080"),
    ],
)
def test_a_server_that_does_not_start(
    folder: Path, arguments: tuple[str, ...], match: str, monkeypatch: pytest.MonkeyPatch, capsys: Any
) -> None:
    from unifront.cli import main

    monkeypatch.chdir(folder)
    monkeypatch.setattr("sys.argv", ["unifront", "serve", *arguments])
    monkeypatch.setenv("COLUMNS", "300")
    with pytest.raises(SystemExit, match="1"):
        main()
    assert match in capsys.readouterr().err


def test_a_port_that_is_taken(folder: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        done = subprocess.run(
            [sys.executable, "-m", "unifront.cli", "serve", "mlp.uf", "--backend", "numpy",
             "--port", str(taken.getsockname()[1])],
            capture_output=True, text=True, check=False, timeout=250, cwd=folder,
        )  # fmt: skip
    assert done.returncode == 1
    assert "Cannot listen at 127.0.0.1:" in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1


def test_without_its_packages_it_says_what_to_install() -> None:
    code = "import sys; sys.modules['starlette'] = None; import unifront as uf; uf.serving.Limits(); uf.serving.serve({})"
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=False, timeout=250
    )
    assert done.stderr.splitlines()[-1].endswith(
        "The server needs the package 'starlette', which is not installed: pip install \"unifront[serve]\""
    )


# ---------------------------------------------------------------- export


def run(*arguments: str) -> str:
    result = CliRunner().invoke(app, list(arguments), env={"COLUMNS": "300"}, catch_exceptions=False)
    assert result.exit_code == 0, result.output
    return str(result.output)


def test_export_as_onnx(folder: Path, tmp_path: Path) -> None:
    onnx = pytest.importorskip("onnx")
    found = json.loads(
        run(
            "export",
            str(folder / "mlp.uf"),
            str(tmp_path / "a.onnx"),
            "--opset",
            "17",
            "--dtype",
            "float16",
            "--json",
        )
    )
    proto = onnx.load(tmp_path / "a.onnx")
    assert proto.opset_import[0].version == 17
    assert found["bytes"] == (tmp_path / "a.onnx").stat().st_size
    assert found["inputs"] == {"features": "float32[batch, 5]"}
    run("export", str(folder / "mlp.uf"), str(tmp_path / "b"), "--format", "onnx")
    assert (tmp_path / "b").is_file()


def test_a_saved_model_by_name_or_by_format(folder: Path, tmp_path: Path) -> None:
    tf = pytest.importorskip("tensorflow")
    run("export", str(folder / "mlp.uf"), str(tmp_path / "served"))
    x = np.random.default_rng(0).normal(size=(3, 5)).astype(np.float32)
    signature = tf.saved_model.load(str(tmp_path / "served")).signatures["serving_default"]
    found = signature(features=tf.constant(x))
    (name,) = uf.load(folder / "mlp.uf").trace(False).graph.output_names
    assert_close(found[name].numpy(), uf.load(folder / "mlp.uf").predict(x, backend="numpy"))
