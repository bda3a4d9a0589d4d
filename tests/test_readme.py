"""The examples of README.md run in order, as somebody would type them."""

from __future__ import annotations

import base64
import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import unifront as uf
from tests.documents import blocks
from tests.models import TRAINABLE
from unifront import backends
from unifront.testing import assert_close


def test_the_examples_run_in_order(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    missing = {"torch", "jax", "tensorflow"} - set(backends.installed())
    if missing:
        pytest.skip(f"README shows every backend; not installed: {', '.join(sorted(missing))}")
    for package in ("sklearn", "onnx", "onnxruntime"):
        pytest.importorskip(package)
    monkeypatch.chdir(tmp_path)
    for variable in backends.DEFAULT_VARIABLES:
        monkeypatch.delenv(variable, raising=False)
    uf.set_seed(0)  # six short epochs from other initial weights may end just below what is asked for
    names: dict[str, Any] = {}
    try:
        for block in blocks("README.md", "python"):
            block.run(names)
    finally:
        backends.set_backend(None)
    logits = names["model"].predict(names["x_test"], verbose=0)
    assert (logits.argmax(-1) == names["y_test"]).mean() > 0.9
    assert (tmp_path / "digits.onnx").is_file()


@pytest.mark.slow
@pytest.mark.timeout(1200)
@pytest.mark.parametrize("backend", TRAINABLE)
def test_images_become_a_served_model_without_code(backend: str, tmp_path: Path) -> None:
    """The commands as they stand, but for the framework, the port, and less to compute."""
    for package in ("PIL", "onnxruntime", "yaml", "pydantic", "uvicorn"):
        pytest.importorskip(package)
    import onnxruntime
    from PIL import Image

    from tests.recipes.made import images
    from tests.test_cli_serving import ask, started

    (block,) = (one for one in blocks("README.md", "sh") if "unifront serve" in one.text)
    install, train, evaluate, export, serve = block.text.splitlines()
    assert install == "pip install -e '.[torch,onnx,data,recipes,serve]'"
    assert serve == "unifront serve flowers-model --port 8080"
    sizes = ((40, 30), (24, 60), (33, 33))
    images(tmp_path / "flowers", {"rose": 12, "tulip": 12}, sizes)
    images(tmp_path / "more-flowers", {"rose": 6, "tulip": 6}, sizes)

    def run(command: str) -> Any:
        program, *words = command.split()
        assert program == "unifront"
        done = subprocess.run(
            [sys.executable, "-m", "unifront.cli", *words, "--json"],
            cwd=tmp_path, capture_output=True, text=True, check=False,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr[-3000:]
        return json.loads(done.stdout)

    assert "--backend torch" in train
    smaller = f"--backend {backend} epochs=10 data.image_size=32 data.batch_size=4"
    assert run(train.replace("--backend torch", smaller))["backend"] == backend
    assert run(evaluate)["accuracy"] == 1.0
    assert run(export)["bytes"] == (tmp_path / "flowers.onnx").stat().st_size
    picture = tmp_path / "more-flowers" / "tulip" / "2.bmp"  # square, so that nothing of it is cut off
    (row,) = run(f"unifront predict flowers-model {picture}")
    assert row["class"] == "tulip"
    pixels = np.asarray(Image.open(picture).resize((32, 32), Image.Resampling.BILINEAR), np.float32)[None]
    session = onnxruntime.InferenceSession(tmp_path / "flowers.onnx")
    (scores,) = session.run(None, {session.get_inputs()[0].name: pixels})
    assert scores.argmax() == 1
    server, said = started("flowers-model", "--backend", backend, folder=tmp_path)
    try:
        name = "/models/flowers-model"
        file = {"b64": base64.b64encode(picture.read_bytes()).decode()}
        (answer,) = ask(f"{said['url']}/v1{name}:predict", {"instances": [file]})["predictions"]
        assert np.argmax(answer) == 1
        about = ask(f"{said['url']}/v2{name}")
        assert about["parameters"]["classes"] == ["rose", "tulip"]
        tensor = {
            "name": about["inputs"][0]["name"],
            "datatype": "FP32",
            "shape": [1, 32, 32, 3],
            "data": pixels.ravel().tolist(),
        }
        (output,) = ask(f"{said['url']}/v2{name}/infer", {"inputs": [tensor]})["outputs"]
        assert_close(np.float32([output["data"]]), scores, bounds={"float32": 1e-4})
    finally:
        server.terminate()
        printed = server.communicate(timeout=60)[1].splitlines()
        # TensorFlow 2.21 prints some lines of its own, whatever level is set.
        assert [
            line for line in printed if not re.match(r"[IWE]\d{4} |WARNING: All log messages", line)
        ] == []
    assert server.returncode == 0
