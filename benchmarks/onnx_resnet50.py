"""ResNet-50 through ONNX, both ways: how long export and import take, and how quick what comes of them is.

    python benchmarks/onnx_resnet50.py [--batch 8] [--turns 5] [--size 224]

- export, import: seconds of `Model.export` (with its verification, and without), and of `uf.from_onnx` of the file that
  torch.onnx wrote.
- run: milliseconds in ONNX Runtime of what unifront, torch.onnx (both exporters) and Keras (tf2onnx) write of the same
  architecture; the sessions take turns. Sessions of one file differ by up to a tenth, by where their memory lies: each
  file has three, and its time in a turn is that of the quickest. Unifront's is to be no slower than the best.
- train: milliseconds of a step of the file that torch.onnx wrote for training, imported and trained on PyTorch by
  `train_on_batch`, beside the module itself in channels-last memory with fused Adam; in turns. To be within 5 %.

Ratios are medians over turns. The exit status is 1 where one is over its target.
"""

from __future__ import annotations

import argparse
import io
import os
import sys
import tempfile
import time
import warnings
from collections.abc import Callable, Mapping, Sequence
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import replace
from pathlib import Path
from statistics import median
from typing import Any, TypeVar

os.environ.setdefault("KERAS_BACKEND", "tensorflow")  # of whose models tf2onnx writes

import native_torch
import numpy as np
import onnxruntime
import report
import torch
from rows import ROWS

import unifront as uf

LIMITS = {"export, s": 3.0, "import, s": 2.0, "run / best": 1.02, "train / native": 1.05}
OPSET = 17
SESSIONS = 3
Name = TypeVar("Name")


def seconds(call: Callable[[], object]) -> float:
    """Of one call."""
    begin = time.perf_counter()
    call()
    return time.perf_counter() - begin


def written_by_torch(module: Any, x: Any, path: Path, *, dynamo: bool, training: bool = False) -> None:
    """What ``torch.onnx.export`` makes of a module."""
    mode = torch.onnx.TrainingMode.TRAINING if training else torch.onnx.TrainingMode.EVAL
    module.train(training)
    options: dict[str, Any] = (
        {"dynamo": True, "verbose": False, "dynamic_shapes": ({0: torch.export.Dim("batch")},)}
        if dynamo
        else {
            "dynamo": False, "training": mode, "do_constant_folding": not training,
            "dynamic_axes": {"x": {0: "batch"}, "y": {0: "batch"}},
        }
    )  # fmt: skip
    with warnings.catch_warnings(), redirect_stdout(io.StringIO()), redirect_stderr(io.StringIO()):
        warnings.simplefilter("ignore")
        torch.onnx.export(
            module, (x,), str(path), input_names=["x"], output_names=["y"],
            **({} if dynamo else {"opset_version": OPSET}), **options,
        )  # fmt: skip


def written_by_keras(size: int, path: Path) -> None:
    """What tf2onnx makes of Keras's model, with logits."""
    import keras
    import tensorflow as tf
    import tf2onnx

    model = keras.applications.ResNet50(
        weights=None, classifier_activation=None, input_shape=(size, size, 3), classes=1000
    )
    function = tf.function(lambda x: model(x, training=False), autograph=False)
    with warnings.catch_warnings(), redirect_stdout(io.StringIO()), redirect_stderr(io.StringIO()):
        warnings.simplefilter("ignore")
        tf2onnx.convert.from_function(
            function, [tf.TensorSpec((None, size, size, 3), tf.float32, name="x")], opset=OPSET, output_path=str(path)
        )  # fmt: skip


def in_turns(calls: Mapping[Name, Callable[[], object]], turns: int) -> dict[Name, list[float]]:
    """Milliseconds of each call in each turn; a first turn is left out."""
    times: dict[Name, list[float]] = {name: [] for name in calls}
    for turn in range(turns + 1):
        for name, call in calls.items():
            found = 1e3 * seconds(call)
            if turn:
                times[name].append(found)
    return times


def cell(value: float, target: str) -> str:
    """A figure, marked where it is over its target."""
    return f"{value:.3g}{' ✗' if value > LIMITS[target] else ''}"


def exported(model: uf.Model, folder: Path) -> list[list[str]]:
    """Seconds to write and to read."""
    both = seconds(lambda: model.export(folder / "unifront.onnx"))
    alone = seconds(lambda: model.export(folder / "unifront.onnx", verify=False))
    read = seconds(lambda: uf.from_onnx(folder / "torch.onnx"))
    return [
        ["export with its verification, s", f"{both:.3g}", ""],
        ["export, s", f"{alone:.3g}", cell(alone, "export, s")],
        ["import of torch.onnx's file, s", f"{read:.3g}", cell(read, "import, s")],
    ]


def run(folder: Path, batch: int, size: int, turns: int) -> list[list[str]]:
    """In ONNX Runtime; images are channels last in unifront's and Keras's files, first in those of torch.onnx."""
    x = np.random.default_rng(0).normal(size=(batch, size, size, 3)).astype("float32")
    first = np.ascontiguousarray(x.transpose(0, 3, 1, 2))
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3

    def call(path: Path) -> Callable[[], object]:
        session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
        (given,) = session.get_inputs()
        array = x if given.shape[-1] == 3 else first
        return lambda: session.run(None, {given.name: array})

    names = {"unifront": "unifront", "torch.onnx": "torch", "torch.onnx, dynamo": "dynamo", "Keras": "keras"}
    calls = {
        (name, number): call(folder / f"{file}.onnx")
        for number in range(SESSIONS)
        for name, file in names.items()
    }
    each = in_turns(calls, turns)
    times = {
        name: list(map(min, zip(*(each[name, n] for n in range(SESSIONS)), strict=True))) for name in names
    }
    best = min((name for name in times if name != "unifront"), key=lambda name: median(times[name]))
    ratio = median(a / b for a, b in zip(times["unifront"], times[best], strict=True))
    rows = [[f"run: {name}, ms", f"{median(found):.4g}", ""] for name, found in times.items()]
    return [*rows, [f"run: unifront / {best}", f"{ratio:.3g}", cell(ratio, "run / best")]]


def trained(native: native_torch.TorchContender, path: Path, row: Any, turns: int) -> list[list[str]]:
    """The step of an imported model beside that of the module that was exported."""
    model = uf.from_onnx(path)
    loss = uf.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(uf.optimizers.Adam(1e-3, epsilon=1e-7), loss=loss)
    data = [(np.ascontiguousarray(x.transpose(0, 3, 1, 2)), y) for x, y in row.data()]
    number = iter(range(10**9))

    def step() -> None:
        x, y = data[next(number) % len(data)]
        model.train_on_batch(x, y, backend="torch")

    def native_step() -> None:
        native.train_step()
        native.last_loss()

    times = in_turns({"native": native_step, "imported": step}, turns)
    ratio = median(a / b for a, b in zip(times["imported"], times["native"], strict=True))
    rows = [[f"train: {name}, ms", f"{median(found):.4g}", ""] for name, found in times.items()]
    return [*rows, ["train: imported / native", f"{ratio:.3g}", cell(ratio, "train / native")]]


def table(batch: int = 8, turns: int = 5, size: int = 224) -> report.Table:
    """All of it."""
    row = replace(ROWS["resnet50"], batch_size=batch, input_shape=(size, size, 3), batches=2)
    model = uf.zoo.create("resnet50", classifier_activation=None, input_shape=(size, size, 3))
    model.trace(False)
    native = native_torch.TorchContender(row, native_torch.VARIANTS["channels_last"])
    x = torch.randn(2, 3, size, size)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        written_by_torch(native.model, x, folder / "training.onnx", dynamo=False, training=True)
        written_by_torch(native.model, x, folder / "torch.onnx", dynamo=False)
        written_by_torch(native.model, x, folder / "dynamo.onnx", dynamo=True)
        written_by_keras(size, folder / "keras.onnx")
        rows = [
            *exported(model, folder),
            *run(folder, batch, size, turns),
            *trained(native, folder / "training.onnx", row, turns),
        ]
    return report.Table(
        f"ResNet-50 through ONNX, batch {batch}, {size}²", ["what", "measured", "target"], rows
    )


def tables(backends: Sequence[str] = ()) -> report.Table:
    """`table`; ``backends`` does not count."""
    return table()


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    for option, default in (("--batch", 8), ("--turns", 5), ("--size", 224)):
        parser.add_argument(option, type=int, default=default)
    given = parser.parse_args()
    found = table(given.batch, given.turns, given.size)
    report.show(*found)
    sys.exit(int(found.missed))
