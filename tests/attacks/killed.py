"""``python -m tests.attacks.killed saving|training COUNT FOLDER``: processes that save, killed at random moments.

The imports are done once; each victim is forked from here, says when it has saved once, and saves again and again
until it is killed. Then the file is read: it is whole, and all its weights are of one save. What was left hidden is
gone after one more save.
"""

from __future__ import annotations

import json
import os
import random
import signal
import sys
import time
import traceback
from pathlib import Path
from typing import Any

import numpy as np

import unifront as uf
from unifront import layers

SIZE = 300
ROUNDS = 10_000


def model_of() -> uf.Model:
    x = uf.Input((SIZE,), name="x")
    model = uf.Model(x, layers.Dense(1)(layers.Dense(SIZE)(x)), name="victim")
    model.compile(uf.optimizers.SGD(1e-5), "mse")
    return model


def numbered(model: uf.Model, number: float) -> uf.Model:
    """The same number in every weight, by which a file is known."""
    for weight in model.weights:
        weight.assign(np.full(weight.shape, number))
    return model


def save_for_ever(model: uf.Model, path: Path, start: int, begun: int) -> None:
    for number in range(start, start + ROUNDS):
        numbered(model, number).save(path)
        os.write(begun, b"x")


class Saving(uf.callbacks.Callback):
    """Saves after every batch, while the training step holds the weights."""

    def __init__(self, path: Path, begun: int) -> None:
        super().__init__()
        self.path, self.begun = path, begun

    def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
        self.model.save(self.path)
        os.write(self.begun, b"x")


def train_for_ever(model: uf.Model, path: Path, start: int, begun: int) -> None:
    numbered(model, 0.01)
    data = np.ones((64, SIZE), np.float32)
    callback = Saving(path, begun)
    options = {"batch_size": 8, "verbose": 0, "shuffle": False, "backend": "torch"}
    model.fit(data, data[:, :1], epochs=ROUNDS, callbacks=[callback], **options)


def victim(work: Any, model: uf.Model, path: Path, start: int) -> tuple[int, int]:
    """A process that works until it is killed, and a pipe on which it says whenever it has saved."""
    read, write = os.pipe()
    if (child := os.fork()) == 0:
        try:
            work(model, path, start, write)
        except BaseException:  # noqa: BLE001  # it is said by the exit code too
            traceback.print_exc()
        finally:
            os._exit(1)
    os.close(write)
    return child, read


def whole(path: Path, what: str, known: dict[str, bytes]) -> None:
    """Find which save the file is of, and keep what it holds; an error if it is of none, or of two."""
    loaded = uf.load(path)
    held = b"".join(weight.numpy().tobytes() for weight in loaded.weights)
    if what == "saving":
        (number,) = {float(value) for weight in loaded.weights for value in np.unique(weight.numpy())}
    else:  # every victim does the same steps, so that equal numbers of steps give equal weights
        number = loaded.optimizer.iterations
    assert known.setdefault(str(number), held) == held


def main(what: str, count: int, folder: Path) -> dict[str, Any]:
    path, model = folder / "m.uf", model_of()
    work = {"saving": save_for_ever, "training": train_for_ever}[what]
    numbered(model, 0).save(path)
    if what == "training":
        import torch

        torch.set_num_threads(1)  # forked processes have no threads of their parent's
    chance, faults, known, hidden = random.Random(0), [], dict[str, bytes](), 0
    for number in range(count):
        child, begun = victim(work, model, path, 1 + number * ROUNDS)
        os.read(begun, 1)
        os.close(begun)
        time.sleep(chance.uniform(0, 0.1))
        os.kill(child, signal.SIGKILL)
        _, status = os.waitpid(child, 0)
        if os.waitstatus_to_exitcode(status) != -signal.SIGKILL:
            faults.append(f"{number}: the victim ended by itself")
        try:
            whole(path, what, known)
        except Exception as error:  # noqa: BLE001  # whatever it is, it is a fault
            faults.append(f"{number}: {type(error).__name__}: {error}"[:500])
        if len(os.listdir(folder)) > 1:
            hidden += 1
            numbered(model, number).save(path)
            if os.listdir(folder) != ["m.uf"]:
                faults.append(f"{number}: {os.listdir(folder)} after the next save")
    return {"faults": faults, "killed": count, "left_hidden": hidden, "different_files": len(known)}


if __name__ == "__main__":
    print(json.dumps(main(sys.argv[1], int(sys.argv[2]), Path(sys.argv[3]))))  # noqa: T201
