"""Measures the first training step of ResNet-50: from the first import to the first loss, beside Keras.

    python benchmarks/first_step.py                   unifront and Keras on all installed backends
    python benchmarks/first_step.py --backends torch --repeats 5 --size 64

Every measurement is a fresh process, which imports, builds the model, compiles it and trains on one batch of 8 images
with `fit` (``train_on_batch`` would leave out what a person waits for). The contenders take turns, and a first round,
which fills the caches of files and bytecode, is left out. Figures are medians of seconds, by the clock and of
processor time. The exit status is 1 if unifront's clock time is above Keras's.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import os
import resource
import statistics
import subprocess
import sys
import time
from collections.abc import Sequence
from typing import Any

import report

BACKENDS = ("torch", "jax", "tensorflow")
CONTENDERS = ("unifront", "keras")
BATCH, CLASSES = 8, 1000


def step(contender: str, backend: str, size: int) -> dict[str, float]:
    """Train once, in this process, in which nothing was imported yet."""
    begin = time.perf_counter()
    import numpy as np

    if contender == "unifront":
        import unifront as api

        model = api.zoo.create(
            "resnet50", classes=CLASSES, classifier_activation=None, input_shape=(size, size, 3)
        )
        where = {"backend": backend}
    else:
        import keras as api

        model = api.applications.ResNet50(
            weights=None, classes=CLASSES, classifier_activation=None, input_shape=(size, size, 3)
        )
        where = {}
    built = time.perf_counter()
    model.compile(api.optimizers.Adam(1e-3), loss=api.losses.SparseCategoricalCrossentropy(from_logits=True))
    x = np.random.default_rng(0).standard_normal((BATCH, size, size, 3), np.float32)
    y = np.arange(BATCH, dtype=np.int32)
    history = model.fit(x, y, batch_size=BATCH, epochs=1, verbose=0, **where)
    assert np.isfinite(history.history["loss"][0])
    end = time.perf_counter()
    usage = resource.getrusage(resource.RUSAGE_SELF)
    return {"seconds": end - begin, "built": built - begin, "cpu": usage.ru_utime + usage.ru_stime}


def run(contender: str, backend: str, size: int) -> dict[str, float]:
    environment = {**os.environ, "KERAS_BACKEND": backend, "TF_CPP_MIN_LOG_LEVEL": "2"}
    command = [sys.executable, __file__, "--worker", contender, "--backends", backend, "--size", str(size)]
    done = subprocess.run(command, env=environment, stdout=subprocess.PIPE, text=True, check=True)
    found: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    return found


def table(backends: Sequence[str] = BACKENDS, repeats: int = 3, size: int = 224) -> report.Table:
    """unifront and Keras on each of ``backends`` that is installed."""
    cells = []
    for backend in backends:
        if importlib.util.find_spec(backend) is None or importlib.util.find_spec("keras") is None:
            continue
        rounds: list[dict[str, Any]] = [
            {contender: run(contender, backend, size) for contender in CONTENDERS} for _ in range(repeats + 1)
        ][1:]
        median = {
            (contender, what): statistics.median(one[contender][what] for one in rounds)
            for contender in CONTENDERS
            for what in ("seconds", "built", "cpu")
        }
        ratio = statistics.median(one["unifront"]["seconds"] / one["keras"]["seconds"] for one in rounds)
        times = [f"{median[c, what]:.2f}" for what in ("seconds", "built", "cpu") for c in CONTENDERS]
        cells.append([backend, *times, f"{ratio:.2f}{' ✗' if ratio > 1 else ''}"])
    times = [f"{c} {what}" for what in ("s", "model made s", "cpu s") for c in CONTENDERS]
    return report.Table(
        f"ResNet-50 at {size}² from import to the first loss", ["backend", *times, "ratio"], cells
    )


def main() -> int:
    description, _, _ = (__doc__ or "").partition("\n")
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument(
        "--backends", default=",".join(BACKENDS), help=f"of {', '.join(BACKENDS)}; with commas"
    )
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--size", type=int, default=224, help="height and width of the images")
    parser.add_argument("--worker", help=argparse.SUPPRESS)
    options = parser.parse_args()
    backends = options.backends.split(",")
    if options.worker:
        print(json.dumps(step(options.worker, *backends, options.size)))
        return 0
    found = table(backends, options.repeats, options.size)
    report.show(*found)
    return int(found.missed)


if __name__ == "__main__":
    sys.exit(main())
