"""Measures the first training step, beside Keras: of ResNet-50 from the first import to the first loss, and of a small
convolutional network in a process that has trained another model already, as in a notebook.

    python benchmarks/first_step.py                   unifront and Keras on all installed backends
    python benchmarks/first_step.py --backends torch --repeats 5 --model resnet50 --size 64

Every measurement is a fresh process, which imports, builds the model, compiles it and trains on one batch of 8 images
with `fit` (``train_on_batch`` would leave out what a person waits for). The contenders take turns, and a first round,
which fills the caches of files and bytecode, is left out. Figures are medians of seconds, by the clock and of
processor time. The exit status is 1 if unifront's clock time is above Keras's.
"""

from __future__ import annotations

import argparse
import importlib
import importlib.util
import json
import os
import resource
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from typing import Any

import report

BACKENDS = ("torch", "jax", "tensorflow")
CONTENDERS = ("unifront", "keras")
BATCH, CLASSES = 8, 1000


def resnet50(api: Any, size: int) -> Any:
    home = api.zoo.create if hasattr(api, "zoo") else api.applications.ResNet50
    name = ("resnet50",) if hasattr(api, "zoo") else ()
    options = {} if hasattr(api, "zoo") else {"weights": None}
    return home(*name, classes=CLASSES, classifier_activation=None, input_shape=(size, size, 3), **options)


def small(api: Any, size: int) -> Any:
    layers = api.layers
    return api.Sequential(
        [
            api.Input((size, size, 3)),
            layers.Conv2D(16, 3, activation="relu"),
            layers.MaxPooling2D(),
            layers.Conv2D(32, 3, activation="relu"),
            layers.MaxPooling2D(),
            layers.Flatten(),
            layers.Dense(CLASSES),
        ]
    )


MODELS: dict[str, tuple[Callable[[Any, int], Any], int, str]] = {
    "resnet50": (resnet50, 224, "ResNet-50 at {}² from import to the first loss"),
    "small": (
        small,
        28,
        "A small CNN at {}², made and trained for one step where another was trained before",
    ),
}
"""How each is made, the size of its images unless given, and the table's title."""


def step(contender: str, backend: str, name: str, size: int) -> dict[str, float]:
    """Train once, in this process; of `small` what is timed comes after another model's step."""
    begin = time.perf_counter()
    import numpy as np

    api: Any = importlib.import_module(contender)
    where = {"backend": backend} if contender == "unifront" else {}
    if name == "small":
        before = api.Sequential([api.Input((2,)), api.layers.Dense(1)])
        before.compile("adam", "mse")
        before.fit(np.zeros((8, 2)), np.zeros((8, 1)), verbose=0, **where)
        begin = time.perf_counter()
    model = MODELS[name][0](api, size)
    built = time.perf_counter()
    model.compile(api.optimizers.Adam(1e-3), loss=api.losses.SparseCategoricalCrossentropy(from_logits=True))
    x = np.random.default_rng(0).standard_normal((BATCH, size, size, 3), np.float32)
    y = np.arange(BATCH, dtype=np.int32)
    history = model.fit(x, y, batch_size=BATCH, epochs=1, verbose=0, **where)
    assert np.isfinite(history.history["loss"][0])
    end = time.perf_counter()
    usage = resource.getrusage(resource.RUSAGE_SELF)
    return {"seconds": end - begin, "built": built - begin, "cpu": usage.ru_utime + usage.ru_stime}


def run(contender: str, backend: str, name: str, size: int) -> dict[str, float]:
    environment = {**os.environ, "KERAS_BACKEND": backend, "TF_CPP_MIN_LOG_LEVEL": "2"}
    command = [
        sys.executable,
        __file__,
        "--worker",
        contender,
        "--backends",
        backend,
        "--model",
        name,
        "--size",
        str(size),
    ]
    done = subprocess.run(command, env=environment, stdout=subprocess.PIPE, text=True, check=True)
    found: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    return found


def table(
    backends: Sequence[str] = BACKENDS, repeats: int = 3, name: str = "resnet50", size: int | None = None
) -> report.Table:
    """unifront and Keras on each of ``backends`` that is installed."""
    _, usual, title = MODELS[name]
    size = size or usual
    cells = []
    for backend in backends:
        if importlib.util.find_spec(backend) is None or importlib.util.find_spec("keras") is None:
            continue
        rounds: list[dict[str, Any]] = [
            {contender: run(contender, backend, name, size) for contender in CONTENDERS}
            for _ in range(repeats + 1)
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
    return report.Table(title.format(size), ["backend", *times, "ratio"], cells)


def small_table(backends: Sequence[str] = BACKENDS) -> report.Table:
    """Of the small network."""
    return table(backends, name="small")


def main() -> int:
    description, _, _ = (__doc__ or "").partition("\n")
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument(
        "--backends", default=",".join(BACKENDS), help=f"of {', '.join(BACKENDS)}; with commas"
    )
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--model", choices=MODELS, help="both unless given")
    parser.add_argument("--size", type=int, help="height and width of the images")
    parser.add_argument("--worker", help=argparse.SUPPRESS)
    options = parser.parse_args()
    backends = options.backends.split(",")
    if options.worker:
        print(json.dumps(step(options.worker, *backends, options.model, options.size)))
        return 0
    missed = False
    for name in [options.model] if options.model else MODELS:
        found = table(backends, options.repeats, name, options.size)
        report.show(*found)
        missed |= found.missed
    return int(missed)


if __name__ == "__main__":
    sys.exit(main())
