"""The examples of README.md run in order, as somebody would type them."""

import pytest

import unifront as uf
from tests.documents import blocks
from unifront import backends


def test_the_examples_run_in_order(monkeypatch, tmp_path):
    missing = {"torch", "jax", "tensorflow"} - set(backends.installed())
    if missing:
        pytest.skip(f"README shows every backend; not installed: {', '.join(sorted(missing))}")
    for package in ("sklearn", "onnx", "onnxruntime"):
        pytest.importorskip(package)
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("UNIFRONT_BACKEND", raising=False)
    uf.set_seed(0)  # six short epochs from other initial weights may end just below what is asked for
    names = {}
    try:
        for block in blocks("README.md", "python"):
            block.run(names)
    finally:
        backends.set_backend(None)
    logits = names["model"].predict(names["x_test"], verbose=0)
    assert (logits.argmax(-1) == names["y_test"]).mean() > 0.9
    assert (tmp_path / "digits.onnx").is_file()
