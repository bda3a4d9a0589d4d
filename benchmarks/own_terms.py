"""Measures training of models that are written in one framework's own terms, with Keras and with unifront.

    python benchmarks/own_terms.py                        PyTorch, TensorFlow, JAX
    python benchmarks/own_terms.py --backends torch --turns 5

The same lines run for both, with only the import changed, in processes that take turns: a model whose layers call the
framework (``layer``), and one whose ``train_step`` does (``step``). A figure is milliseconds of the clock a step of
`fit`, the median over turns.
"""

from __future__ import annotations

import argparse
import importlib
import importlib.util
import os
import statistics
import subprocess
import sys
import time
from operator import attrgetter
from typing import Any

import numpy as np
import report

BACKENDS = ("torch", "tensorflow", "jax")
STEPS, BATCH, FEATURES, CLASSES = 20, 128, 784, 10


RELU = {"torch": "relu", "tensorflow": "nn.relu", "jax": "nn.relu"}


def _torch_step(model: Any, data: Any) -> Any:
    import torch

    x, y = data
    model.zero_grad()
    predicted = model(x, training=True)
    loss = model.compute_loss(y=y, y_pred=predicted)
    loss.backward()
    weights = list(model.trainable_weights)
    with torch.no_grad():
        model.optimizer.apply([weight.value.grad for weight in weights], weights)
    return _logs(model, loss, y, predicted)


def _tensorflow_step(model: Any, data: Any) -> Any:
    import tensorflow as tf

    x, y = data
    with tf.GradientTape() as tape:
        predicted = model(x, training=True)
        loss = model.compute_loss(y=y, y_pred=predicted)
    gradients = tape.gradient(loss, model.trainable_variables)
    model.optimizer.apply(gradients, model.trainable_variables)
    return _logs(model, loss, y, predicted)


def _jax_step(model: Any, state: Any, data: Any) -> Any:
    import jax

    x, y = data
    trainable, others, of_optimizer, of_metrics = state

    def loss_of(trainable: Any, others: Any) -> Any:
        predicted, others = model.stateless_call(trainable, others, x, training=True)
        return model.compute_loss(y=y, y_pred=predicted), (predicted, others)

    (loss, (predicted, others)), gradients = jax.value_and_grad(loss_of, has_aux=True)(trainable, others)
    trainable, of_optimizer = model.optimizer.stateless_apply(of_optimizer, gradients, trainable)
    logs, found, begin = {}, [], 0
    for metric in model.metrics:
        kept = of_metrics[begin : begin + len(metric.variables)]
        begin += len(kept)
        given = (loss,) if metric.name == "loss" else (y, predicted)
        kept = metric.stateless_update_state(kept, *given)
        logs[metric.name] = metric.stateless_result(kept)
        found += kept
    return logs, (trainable, others, of_optimizer, found)


def _logs(model: Any, loss: Any, y: Any, predicted: Any) -> dict[str, Any]:
    for metric in model.metrics:
        metric.update_state(*((loss,) if metric.name == "loss" else (y, predicted)))
    return {metric.name: metric.result() for metric in model.metrics}


STEPS_OF = {"torch": _torch_step, "tensorflow": _tensorflow_step, "jax": _jax_step}


def measure(library: str, backend: str, what: str) -> float:
    """Milliseconds a step."""
    api: Any = importlib.import_module(library)
    layers, relu = api.layers, attrgetter(RELU[backend])(importlib.import_module(backend))

    class Activation(layers.Layer):  # type: ignore[misc]  # of either library
        def call(self, x: Any) -> Any:
            return relu(x)

    own_step = type("OwnStep", (api.Model,), {"train_step": STEPS_OF[backend]})
    activation, model_of = (Activation, api.Model) if what == "layer" else (layers.ReLU, own_step)
    inputs = api.Input((FEATURES,))
    hidden = inputs
    for _ in range(2):
        hidden = activation()(layers.Dense(256)(hidden))
    model = model_of(inputs, layers.Dense(CLASSES)(hidden))
    loss = api.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(api.optimizers.Adam(1e-3), loss, metrics=["accuracy"])
    rng = np.random.default_rng(0)
    x = rng.normal(size=(STEPS * BATCH, FEATURES)).astype("float32")
    y = rng.integers(0, CLASSES, STEPS * BATCH)
    times = []
    for _ in range(6):
        begin = time.perf_counter()
        model.fit(x, y, batch_size=BATCH, epochs=1, verbose=0)
        times.append((time.perf_counter() - begin) / STEPS * 1e3)
    return statistics.median(times[1:])


def table(backends: list[str], turns: int) -> report.Table:
    """Both models on each of ``backends`` that is installed."""
    rows = []
    for backend in backends:
        if importlib.util.find_spec(backend) is None:
            continue
        for what in ("layer", "step"):
            found: dict[str, list[float]] = {"unifront": [], "keras": []}
            for _ in range(turns):
                for library, times in found.items():
                    command = [sys.executable, __file__, "--worker", library, backend, what]
                    environment = {**os.environ, "KERAS_BACKEND": backend, "TF_CPP_MIN_LOG_LEVEL": "3"}
                    done = subprocess.run(
                        command, stdout=subprocess.PIPE, text=True, check=True, env=environment
                    )
                    times.append(float(done.stdout.splitlines()[-1]))
            ours, theirs = map(statistics.median, found.values())
            ratio = ours / theirs
            missed = " ✗" if ratio > report.TARGETS["unifront/keras"] else ""
            rows.append([backend, what, f"{ours:.2f}", f"{theirs:.2f}", f"{ratio:.2f}{missed}"])
    names = ["backend", "what is in its terms", "unifront ms", "keras ms", "unifront / keras"]
    return report.Table("A training step in a framework's own terms", names, rows)


def main() -> int:
    description, _, _ = (__doc__ or "").partition("\n")
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument(
        "--backends", default=",".join(BACKENDS), help=f"of {', '.join(BACKENDS)}; with commas"
    )
    parser.add_argument("--turns", type=int, default=3, help="processes of each library")
    parser.add_argument("--worker", nargs=3, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.worker:
        print(measure(*options.worker))
        return 0
    found = table(options.backends.split(","), options.turns)
    report.show(*found)
    return int(found.missed)


if __name__ == "__main__":
    sys.exit(main())
