"""How long the zoo takes to import, and a model of it to build, to trace and to take weights from a file.

    python benchmarks/zoo_build.py [NAME ...]

Prints seconds of processor time, which other work on the machine does not change, and of the clock. Nothing is
asserted.
"""

from __future__ import annotations

import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any


def measured(what: str, work: Callable[[], Any]) -> Any:
    processor, clock = time.process_time(), time.perf_counter()
    result = work()
    spent = time.process_time() - processor, time.perf_counter() - clock
    print(f"{what:<44} {spent[0]:8.3f} {spent[1]:8.3f}")
    return result


def main(names: list[str]) -> None:
    print(f"{'':<44} {'cpu s':>8} {'clock s':>8}")
    uf = __import__("unifront")
    measured("the first layer, with NumPy", lambda: uf.layers.Dense(1))
    measured("import unifront_zoo", lambda: __import__("unifront_zoo"))
    for name in names:
        model = measured(f"create({name!r})", lambda name=name: uf.zoo.create(name))
        measured(f"{name}: trace", model.trace)
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "w.safetensors"
            measured(f"{name}: draw its weights and save them", lambda m=model, p=path: m.save_weights(p))
            measured(f"create({name!r}, weights=…)", lambda name=name, p=path: uf.zoo.create(name, weights=p))


if __name__ == "__main__":
    main(sys.argv[1:] or ["resnet50", "mobilenet_v2"])
