"""``python -m tests.attacks.resumed BACKEND COUNT FOLDER``: training that is killed at random moments, and resumed.

The imports are done once; each victim is forked from here and trains, with a checkpoint after every step, until it is
killed or done. The next one goes on from what is there. Whoever gets to the end has to have the bits of a run that
nobody killed, in weights, slots and history, and leaves the checkpoint alone in its folder.
"""

from __future__ import annotations

import hashlib
import json
import os
import random
import select
import signal
import sys
import time
import traceback
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np

import unifront as uf
from unifront import layers
from unifront.train.checkpoint import read
from unifront.train.resume import FILE

SIZE, ROWS, EPOCHS = 48, 60, 6
RNG = np.random.default_rng(0)
X, Y = RNG.normal(size=(ROWS, SIZE)).astype(np.float32), RNG.normal(size=(ROWS, 1)).astype(np.float32)
DIGEST = 32


def model_of() -> uf.Model:
    uf.set_seed(4)
    x = uf.Input((SIZE,), name="x")
    y = layers.Dropout(0.3)(layers.Dense(SIZE, activation="relu")(x))
    model = uf.Model(x, layers.Dense(1)(layers.BatchNormalization()(y)), name="victim")
    model.compile(uf.optimizers.Adam(0.01), "mse", metrics=["mae"])
    return model


class Begun(uf.callbacks.Callback):
    """Says when the first step is done, which is when a checkpoint may be there."""

    def __init__(self, pipe: int) -> None:
        self._pipe, self._said = pipe, False

    def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
        self.say()

    def state_dict(self) -> dict[str, Any]:
        return {}  # each process says it

    def say(self) -> None:
        if not self._said:
            self._said = True
            os.write(self._pipe, b"x")


def train(backend: str, folder: Path | None, pipe: int) -> None:
    """Train to the end, and say the digest of all that came of it."""
    model = model_of()
    begun = Begun(pipe)
    callbacks = [begun, uf.callbacks.ReduceLROnPlateau("loss", patience=1, min_delta=0.1)]
    options: dict[str, Any] = {"epochs": EPOCHS, "batch_size": 8, "verbose": 0, "validation_split": 0.2}
    if folder is not None:
        options |= {"resume": folder, "save_every": 1}
    history = model.fit(X, Y, callbacks=callbacks, backend=backend, **options).history
    values = [*model.get_weights(), *(slot.numpy() for slot in model.optimizer.variables)]
    held = b"".join(value.tobytes() for value in values) + json.dumps(history).encode()
    begun.say()
    os.write(pipe, hashlib.blake2b(held, digest_size=DIGEST).digest())


def victim(backend: str, folder: Path | None) -> tuple[int, int]:
    """A process that trains, and a pipe on which it says that it does, and what came of it."""
    heard, said = os.pipe()
    if (child := os.fork()) == 0:
        try:
            train(backend, folder, said)
            os._exit(0)
        except BaseException:  # noqa: BLE001  # it is said by the exit code too
            traceback.print_exc()
        finally:
            os._exit(1)
    os.close(said)
    return child, heard


def ended(child: int, heard: int) -> tuple[int, bytes]:
    """Wait until ``child`` is done; its exit code, and what it said at last."""
    _, status = os.waitpid(child, 0)
    found = b""
    while part := os.read(heard, 2 * DIGEST):
        found += part
    os.close(heard)
    return os.waitstatus_to_exitcode(status), found


def main(backend: str, count: int, folder: Path) -> dict[str, Any]:
    framework = import_module(backend)
    if backend == "torch":
        framework.set_num_threads(1)  # forked processes have no threads of their parent's
    began = time.perf_counter()
    child, heard = victim(backend, None)
    os.read(heard, 1)
    before = time.perf_counter()
    _, whole = ended(child, heard)
    span = 1.5 * (time.perf_counter() - before) + 0.02  # keeping checkpoints takes time too
    assert len(whole) == DIGEST
    chance, faults, killed, ends, hidden = random.Random(0), [], 0, 0, 0
    places: set[int] = set()
    while killed < count or not ends:
        anew = not (folder / FILE).exists()
        child, heard = victim(backend, folder)
        os.read(heard, 1)
        before = time.perf_counter()
        is_done = killed < count and select.select([heard], [], [], chance.uniform(0, span))[0]
        if killed < count and not is_done:
            os.kill(child, signal.SIGKILL)
        code, found = ended(child, heard)
        if code == -signal.SIGKILL:
            killed += 1
            hidden += len(os.listdir(folder)) > 1
            if not killed % 50:
                print(f"{killed} kills, {ends} ends, faults: {faults}", file=sys.stderr)  # noqa: T201
            places.add(int(read(folder / FILE).state["runs"]) if (folder / FILE).exists() else 0)
            continue
        if code:
            faults.append(f"after {killed} kills: a process ended with {code}")
            break
        ends += 1
        if anew:  # whoever was first may have been held up
            span = min(span, 1.5 * (time.perf_counter() - before) + 0.02)
        if found[-DIGEST:] != whole:
            faults.append(f"after {killed} kills: other weights than without")
        if os.listdir(folder) != [FILE]:
            faults.append(f"after {killed} kills: {os.listdir(folder)}")
        (folder / FILE).unlink()
    return {
        "faults": faults, "killed": killed, "ends": ends, "left_hidden": hidden, "places": len(places),
        "seconds": time.perf_counter() - began,
    }  # fmt: skip


if __name__ == "__main__":
    print(json.dumps(main(sys.argv[1], int(sys.argv[2]), Path(sys.argv[3]))))  # noqa: T201
