"""ONNX Runtime, for inference only: a session on the file that `Model.export` writes, and the backend of unifront."""

from __future__ import annotations

import tempfile
from itertools import cycle
from pathlib import Path

import layer_models
import numpy as np
import onnxruntime
from contender import Absent, Contender
from rows import Row
from unifront_rows import MODELS

import unifront as uf
from unifront.backends import get_backend


def device_name() -> str:
    return "cpu"


class OnnxRuntimeContender(Contender):
    """Runs the row's model; ``program`` by the backend, as `predict` does, else by a session of its own."""

    def __init__(self, row: Row, *, program: bool):
        model = MODELS[row.name](uf, row)
        layer_models.assign(model, row)
        traced = model.trace(False)
        self.infer_batches = cycle([x for x, _ in row.data()])
        if program:
            found = get_backend("onnxruntime").compile(traced.graph)
            weights = [variable.numpy() for variable in traced.variables]
            self._run = lambda x: found((x,), weights)[0]
            return
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "model.onnx"
            model.export(path, verify=False)
            session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
        (name,) = (one.name for one in session.get_inputs())
        self._run = lambda x: session.run(None, {name: x})[0]

    def train_step(self) -> None:
        raise Absent("ONNX Runtime does inference only")

    def infer(self) -> None:
        self.logits = self._run(next(self.infer_batches))

    def synchronize(self) -> None:
        pass  # a call waits

    def last_loss(self) -> float:
        raise Absent("ONNX Runtime does inference only")

    def last_logits(self) -> np.ndarray:
        return self.logits


def build(row: Row, backend: str, variant: str) -> Contender:
    return OnnxRuntimeContender(row, program=variant == "program")
