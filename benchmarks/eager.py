"""Measures operations on small native arrays: what a call of `uf.ops` costs above the framework's own.

    python benchmarks/eager.py                        all installed backends
    python benchmarks/eager.py --backends torch,numpy

Each backend runs in a process of its own. The two calls take turns, in blocks of a few hundred, and what counts is the
processor time of this thread: the figures are medians over the blocks, and the median of the differences of
neighbouring blocks. The exit status is 1 if an operation costs more than 3 µs above the native call.
"""

from __future__ import annotations

import argparse
import importlib
import importlib.util
import json
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from typing import Any

import report

LIMIT = 3.0
"""Microseconds above the native call."""
CALLS, BLOCKS = 500, 31
BACKENDS = ("torch", "jax", "tensorflow", "numpy")
Call = Callable[[], Any]


def _torch(x: Any, y: Any) -> dict[str, Call]:
    import torch

    return {
        "add": lambda: torch.add(x, y),
        "relu": lambda: torch.relu(x),
        "sum": lambda: torch.sum(x, -1),
        "matmul": lambda: torch.matmul(x, y),
        "reshape": lambda: torch.reshape(x, (2, 8)),
    }


def _jax(x: Any, y: Any) -> dict[str, Call]:
    import jax
    import jax.numpy as jnp

    return {
        "add": lambda: jnp.add(x, y),
        "relu": lambda: jax.nn.relu(x),
        "sum": lambda: jnp.sum(x, -1),
        "matmul": lambda: jnp.matmul(x, y),
        "reshape": lambda: jnp.reshape(x, (2, 8)),
    }


def _tensorflow(x: Any, y: Any) -> dict[str, Call]:
    import tensorflow as tf

    return {
        "add": lambda: tf.add(x, y),
        "relu": lambda: tf.nn.relu(x),
        "sum": lambda: tf.reduce_sum(x, -1),
        "matmul": lambda: tf.matmul(x, y),
        "reshape": lambda: tf.reshape(x, (2, 8)),
    }


def _numpy(x: Any, y: Any) -> dict[str, Call]:
    import numpy as np

    return {
        "add": lambda: np.add(x, y),
        "relu": lambda: np.maximum(x, 0),
        "sum": lambda: np.sum(x, -1),
        "matmul": lambda: np.matmul(x, y),
        "reshape": lambda: np.reshape(x, (2, 8)),
    }


NATIVE = {"torch": _torch, "jax": _jax, "tensorflow": _tensorflow, "numpy": _numpy}


def _unifront(x: Any, y: Any) -> dict[str, Call]:
    from unifront import ops

    return {
        "add": lambda: ops.add(x, y),
        "relu": lambda: ops.relu(x),
        "sum": lambda: ops.sum(x, axis=-1),
        "matmul": lambda: ops.matmul(x, y),
        "reshape": lambda: ops.reshape(x, (2, 8)),
    }


def _block(call: Call) -> float:
    """Microseconds a call."""
    begin = time.thread_time()
    for _ in range(CALLS):
        call()
    return (time.thread_time() - begin) / CALLS * 1e6


def measure(backend: str) -> list[dict[str, Any]]:
    """One result for each operation."""
    import numpy as np

    from unifront.backends import get_backend

    x, y = (get_backend(backend).array(np.full((4, 4), value, np.float32)) for value in (1.0, 2.0))
    native, ours = NATIVE[backend](x, y), _unifront(x, y)
    results = []
    for name in native:
        pairs = [(_block(native[name]), _block(ours[name])) for _ in range(BLOCKS + 2)][2:]
        results.append(
            {
                "backend": backend,
                "operation": name,
                "native": statistics.median(one for one, _ in pairs),
                "unifront": statistics.median(other for _, other in pairs),
                "above": statistics.median(other - one for one, other in pairs),
            }
        )
    return results


def table(backends: Sequence[str] = BACKENDS) -> report.Table:
    """Every operation on each of ``backends`` that is installed."""
    results = []
    for backend in backends:
        if importlib.util.find_spec(backend) is not None:
            command = [sys.executable, __file__, "--worker", backend]
            done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
            results += json.loads(done.stdout.splitlines()[-1])
    cells = [
        [
            one["backend"],
            one["operation"],
            *(f"{one[name]:.2f}" for name in ("native", "unifront")),
            f"{one['above']:.2f}{' ✗' if one['above'] > LIMIT else ''}",
        ]
        for one in results
    ]
    names = ["backend", "operation", "native µs", "unifront µs", "above µs"]
    return report.Table("Operations on native arrays, eagerly", names, cells)


def main() -> int:
    description, _, _ = (__doc__ or "").partition("\n")
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument(
        "--backends", default=",".join(BACKENDS), help=f"of {', '.join(BACKENDS)}; with commas"
    )
    parser.add_argument("--worker", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.worker:
        print(json.dumps(measure(options.worker)))
        return 0
    found = table(options.backends.split(","))
    report.show(*found)
    return int(found.missed)


if __name__ == "__main__":
    sys.exit(main())
