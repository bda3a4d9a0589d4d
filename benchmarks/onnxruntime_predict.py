"""The backend ``onnxruntime`` beside ONNX Runtime itself, on the file that `Model.export` writes.

    python benchmarks/onnxruntime_predict.py [MODEL …]

A program is called as `predict` calls it; both take the same arrays, in turns, and the median of the ratios of the two
is shown. They should agree within 5 %.
"""

from __future__ import annotations

import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from statistics import median

import numpy as np
import onnxruntime
import report

import unifront as uf
from unifront.backends import get_backend

MODELS = {"mlp": 64, "lenet5": 32, "resnet18": 2}
SECONDS = 3.0
LIMIT = 1.05


def compared(name: str, batch: int) -> tuple[float, float, float]:
    """Milliseconds of a call of a session, of the backend's program, and their ratio."""
    model = uf.zoo.create(name)
    shape = [batch, *model.inputs[0].shape[1:]]
    x = np.random.default_rng(0).normal(size=shape).astype(np.float32)
    traced = model.trace(False)
    program = get_backend("onnxruntime").compile(traced.graph)
    weights = [variable.numpy() for variable in traced.variables]
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "model.onnx"
        model.export(path)
        session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    (given,) = (one.name for one in session.get_inputs())

    def own() -> object:
        return program((x,), weights)

    def native() -> object:
        return session.run(None, {given: x})

    np.testing.assert_allclose(np.asarray(own()[0]), native()[0], rtol=1e-4, atol=1e-5)  # type: ignore[index]
    rounds = max(1, int(0.02 / _seconds(native)))
    times = []
    until = time.perf_counter() + SECONDS
    while time.perf_counter() < until:
        times.append((_seconds(native, rounds), _seconds(own, rounds)))
    ratio = median(ours / theirs for theirs, ours in times)
    return 1e3 * median(a for a, _ in times), 1e3 * median(b for _, b in times), ratio


def _seconds(call: object, rounds: int = 1) -> float:
    start = time.perf_counter()
    for _ in range(rounds):
        call()  # type: ignore[operator]  # each is a function
    return (time.perf_counter() - start) / rounds


def table(backends: Sequence[str] = (), models: Sequence[str] = tuple(MODELS)) -> report.Table:
    """Each of ``models``; ``backends`` does not count, as it is one backend that is measured."""
    cells = []
    for name in models:
        batch = MODELS.get(name, 8)
        native, own, ratio = compared(name, batch)
        missed = " ✗" if ratio > LIMIT else ""
        cells.append([name, str(batch), f"{native:.3f}", f"{own:.3f}", f"{ratio:.3f}{missed}"])
    names = ["row", "batch", "session ms", "backend ms", "ratio"]
    return report.Table("The backend onnxruntime beside ONNX Runtime", names, cells)


if __name__ == "__main__":
    found = table(models=sys.argv[1:] or tuple(MODELS))
    report.show(*found)
    sys.exit(int(found.missed))
