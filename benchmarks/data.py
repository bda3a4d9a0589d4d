"""How fast `fit` trains from each kind of source, beside arrays in memory: the row `cifar`.

    python benchmarks/data.py [--backend torch] [--batches 12] [--rounds 5]

Each round trains one epoch from every source in turn, so that what else the machine does meets all of them; the table
has the medians, and what part of the speed of arrays each is. What is compiled is compiled before.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable, Iterator
from typing import Any

import layer_models
import numpy as np
import rows


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


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--backend", default="torch")
    parser.add_argument("--batches", type=int, default=12)
    parser.add_argument("--rounds", type=int, default=5)
    asked = parser.parse_args()
    row = rows.ROWS["cifar"]
    pairs = row.data()
    x, y = (np.concatenate([pairs[i % len(pairs)][part] for i in range(asked.batches)]) for part in range(2))
    model = model_of(row)

    def seconds(name: str) -> float:
        options = {"verbose": 0, "backend": asked.backend}
        began = time.perf_counter()
        if name == "arrays":
            model.fit(x, y, batch_size=row.batch_size, **options)
        else:
            model.fit(SOURCES[name](x, y, row.batch_size), **options)
        return time.perf_counter() - began

    names = ["arrays", *SOURCES]
    for name in names:
        seconds(name)
    found: dict[str, list[float]] = {name: [] for name in names}
    for _ in range(asked.rounds):
        for name in names:
            found[name].append(seconds(name))
    print(
        f"{row.name}, {asked.backend}: {asked.batches} batches of {row.batch_size}, medians of {asked.rounds}"
    )
    base = statistics.median(found["arrays"])
    for name, times in found.items():
        middle = statistics.median(times)
        print(f"  {name:<11}{1e3 * middle / asked.batches:8.1f} ms a step   {base / middle:5.2f} of arrays")


if __name__ == "__main__":
    main()
