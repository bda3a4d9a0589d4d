"""``python -m tests.attacks.interrupted BACKEND COUNT``: Ctrl-C at random moments of `fit`, over and over.

Every step takes the same from every weight, so the weights say how many steps were done, and whether all of them were
whole. An interrupt ends `fit` with `KeyboardInterrupt`, is never swallowed and never waited for in vain; the next `fit`
goes on from there. The garbage collector runs all the time, since frameworks hang callbacks of their own on it, which
swallow what is raised there.
"""

from __future__ import annotations

import gc
import json
import os
import random
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from typing import Any

import numpy as np

import unifront as uf
from unifront import layers

RATE, ROWS, BATCH = 2.0**-20, 64, 4
SECONDS = 30
X, Y = np.ones((ROWS, 3)), np.full(ROWS, -(2.0**10))


def model_of() -> uf.Model:
    x = uf.Input((3,), dtype="float64")
    options: dict[str, Any] = {"use_bias": False, "kernel_initializer": "zeros"}
    model = uf.Model(x, layers.Add()([layers.Dense(1, **options)(x), layers.Dense(1, **options)(x)]))
    model.compile(uf.optimizers.SGD(RATE), "mae")
    return model


def whole_steps(model: uf.Model) -> int:
    (value,) = {float(number) for weight in model.get_weights() for number in weight.ravel()}
    assert value / -RATE == model.optimizer.iterations, (value / -RATE, model.optimizer.iterations)
    return model.optimizer.iterations


class Works(uf.callbacks.Callback):
    """Code of the user's at every batch."""

    def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
        sum(range(1000))


def batches() -> Iterator[Any]:
    while True:
        yield X[:BATCH], Y[:BATCH]


WAYS: dict[str, dict[str, Any]] = {
    "arrays": {"x": X, "y": Y, "batch_size": BATCH},
    "validated": {"x": X, "y": Y, "batch_size": BATCH, "validation_data": (X, Y)},
    "callbacks": {"x": X, "y": Y, "batch_size": BATCH, "callbacks": [Works()]},
    "stream": {"x": None, "steps_per_epoch": 50},
}


def interrupt_soon(delay: float, arrived: threading.Event) -> threading.Thread:
    """One SIGINT to this process after ``delay``; another end of the process if that does not help."""

    def work() -> None:
        time.sleep(delay)
        os.kill(os.getpid(), signal.SIGINT)
        if not arrived.wait(SECONDS):
            print(json.dumps({"faults": [f"no KeyboardInterrupt within {SECONDS} s"]}), flush=True)  # noqa: T201
            os._exit(1)

    thread = threading.Thread(target=work, daemon=True)
    thread.start()
    return thread


def main(backend: str, count: int) -> dict[str, Any]:
    chance, model, faults = random.Random(0), model_of(), []
    collector = threading.Thread(
        target=lambda: [time.sleep(1e-4) or gc.collect(0) for _ in iter(int, 1)], daemon=True
    )
    swallowed: list[str] = []
    sys.unraisablehook = lambda seen: swallowed.append(f"{seen.exc_type.__name__} in {seen.object}")
    for way in WAYS.values():
        model.fit(**{**way, "x": batches() if way["x"] is None else X}, verbose=0, backend=backend)
    collector.start()
    gc.set_threshold(20)
    steps = [whole_steps(model)]
    for number in range(count):
        name = list(WAYS)[number % len(WAYS)]
        way = {**WAYS[name], "x": batches() if WAYS[name]["x"] is None else X}
        arrived = threading.Event()
        thread = interrupt_soon(chance.uniform(0.0, 0.3) + 0.01, arrived)
        try:
            model.fit(**way, epochs=10**6, verbose=0, backend=backend)
            faults.append(f"{number}, {name}: fit ended")
        except KeyboardInterrupt:
            pass
        except BaseException as error:  # noqa: BLE001  # whatever it is, it is a fault
            faults.append(f"{number}, {name}: {type(error).__name__}: {error}"[:500])
        arrived.set()
        thread.join()
        if signal.getsignal(signal.SIGINT) is not signal.default_int_handler:
            faults.append(f"{number}, {name}: another handler stayed")
        steps.append(whole_steps(model))
    if steps != sorted(steps) or len(set(steps)) < count // 2:
        faults.append(f"steps done: {steps}")
    return {"faults": faults, "interrupts": count, "steps": steps[-1], "swallowed": swallowed}


def in_a_process(backend: str, count: int, environment: dict[str, str]) -> dict[str, Any]:
    """`main` in a process of its own."""
    command = [sys.executable, "-m", "tests.attacks.interrupted", backend, str(count)]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False, timeout=600)
    assert done.stdout, done.stderr[-3000:]
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return found


if __name__ == "__main__":
    print(json.dumps(main(sys.argv[1], int(sys.argv[2]))))  # noqa: T201
