"""How fast `fit` trains from each kind of source, beside arrays in memory: the row `cifar`.

    python benchmarks/sources.py [--backends torch,jax] [--batches 12] [--rounds 5]
    python benchmarks/run.py --tables sources

Each round trains one epoch from every source in turn, so that what else the machine does meets all of them; the table
has the medians of a step, and of what part of the speed of arrays each has in its round. What is compiled is compiled
before, and the objects of that time are kept out of Python's collection of garbage: going through them takes half a
second, and falls on whichever source makes the object that is one too many.
"""

from __future__ import annotations

import argparse
import gc
import importlib.util
import json
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import layer_models
import numpy as np
import report
import rows

BACKENDS = ("torch", "jax", "tensorflow")
LIMIT = 0.9
"""What part of the speed of arrays each is to reach."""


def model_of(row: rows.Row) -> Any:
    import unifront as uf

    model = layer_models.MODELS[row.name](uf, row)
    layer_models.assign(model, row)
    model.compile(
        uf.optimizers.Adam(rows.LEARNING_RATE), uf.losses.SparseCategoricalCrossentropy(from_logits=True)
    )
    return model


def generator(x: np.ndarray, y: np.ndarray, size: int) -> Iterator[Any]:
    for start in range(0, len(x), size):
        yield x[start : start + size], y[start : start + size]


def py_dataset(x: np.ndarray, y: np.ndarray, size: int) -> Any:
    import unifront as uf

    class Batches(uf.utils.PyDataset):
        def __len__(self) -> int:
            return len(x) // size

        def __getitem__(self, i: int) -> Any:
            return x[i * size : (i + 1) * size], y[i * size : (i + 1) * size]

    return Batches()


def data_loader(x: np.ndarray, y: np.ndarray, size: int) -> Any:
    import torch
    from torch.utils.data import DataLoader, TensorDataset

    return DataLoader(TensorDataset(torch.from_numpy(x), torch.from_numpy(y)), size, shuffle=True)


def tf_data(x: np.ndarray, y: np.ndarray, size: int) -> Any:
    import tensorflow as tf

    return tf.data.Dataset.from_tensor_slices((x, y)).shuffle(len(x)).batch(size).prefetch(2)


def grain_dataset(x: np.ndarray, y: np.ndarray, size: int) -> Any:
    import grain

    class Rows:
        def __len__(self) -> int:
            return len(x)

        def __getitem__(self, i: Any) -> Any:
            return x[i], y[i]

    return grain.MapDataset.source(Rows()).shuffle(seed=0).batch(size).to_iter_dataset()


SOURCES: dict[str, Callable[[np.ndarray, np.ndarray, int], Any]] = {
    "generator": generator,
    "PyDataset": py_dataset,
    "DataLoader": data_loader,
    "tf.data": tf_data,
    "grain": grain_dataset,
}


NAMES = ("arrays", *SOURCES)


def measure(backend: str, batches: int, rounds: int) -> dict[str, list[float]]:
    """The seconds of each epoch from each source."""
    row = rows.ROWS["cifar"]
    pairs = row.data()
    x, y = (np.concatenate([pairs[i % len(pairs)][part] for i in range(batches)]) for part in range(2))
    model = model_of(row)

    def seconds(name: str) -> float:
        options = {"verbose": 0, "backend": backend}
        began = time.perf_counter()
        if name == "arrays":
            model.fit(x, y, batch_size=row.batch_size, **options)
        else:
            model.fit(SOURCES[name](x, y, row.batch_size), **options)
        return time.perf_counter() - began

    for name in NAMES:
        seconds(name)
    gc.collect()
    gc.freeze()
    found: dict[str, list[float]] = {name: [] for name in NAMES}
    for _ in range(rounds):
        for name in NAMES:
            found[name].append(seconds(name))
    return found


def table(backends: Sequence[str] = BACKENDS, batches: int = 12, rounds: int = 5) -> report.Table:
    """Every source on each of ``backends`` that is installed, in a process of its own."""
    cells = []
    for backend in backends:
        if importlib.util.find_spec(backend) is None:
            continue
        command = [
            sys.executable,
            __file__,
            "--worker",
            backend,
            "--batches",
            str(batches),
            "--rounds",
            str(rounds),
        ]
        done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
        found = json.loads(done.stdout.splitlines()[-1])
        for name, times in found.items():
            # Of neighbours in one round: what else the machine does meets both.
            share = statistics.median(a / b for a, b in zip(found["arrays"], times, strict=True))
            step = 1e3 * statistics.median(times) / batches
            cells.append([backend, name, f"{step:.1f}", f"{share:.2f}{' ✗' if share < LIMIT else ''}"])
    return report.Table(
        "fit from each kind of source", ["backend", "source", "ms a step", "of arrays' speed"], cells
    )


def main() -> int:
    description, _, _ = (__doc__ or "").partition("\n")
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument(
        "--backends", default=",".join(BACKENDS), help=f"of {', '.join(BACKENDS)}; with commas"
    )
    parser.add_argument("--batches", type=int, default=12)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--worker", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.worker:
        print(json.dumps(measure(options.worker, options.batches, options.rounds)))
        return 0
    found = table(options.backends.split(","), options.batches, options.rounds)
    report.show(*found)
    return int(found.missed)


if __name__ == "__main__":
    sys.exit(main())
