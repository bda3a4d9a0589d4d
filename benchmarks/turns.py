"""Contenders in processes of their own, which take turns block by block: who waits uses no core."""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress

Block = Callable[[str, int], float]
"""``(mode, steps)`` → milliseconds of a step."""


def serve(block: Block) -> None:
    """The process itself: runs as many steps as each line asks for, and prints the milliseconds of one."""
    for line in sys.stdin:
        mode, steps = line.split()
        print(block(mode, int(steps)), flush=True)


@contextmanager
def process(arguments: Sequence[str], environment: Mapping[str, str] | None = None) -> Iterator[Block]:
    """``python ARGUMENTS``, which ends in `serve`. A block raises `RuntimeError` if the process could not run."""
    with (
        tempfile.TemporaryFile("w+") as errors,
        subprocess.Popen(
            [sys.executable, *arguments],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=errors,
            text=True,
            env={**os.environ, "TF_CPP_MIN_LOG_LEVEL": "2", **(environment or {})},
        ) as running,
    ):
        asked, answers = running.stdin, running.stdout
        assert asked is not None
        assert answers is not None

        def block(mode: str, steps: int) -> float:
            try:
                print(mode, steps, file=asked, flush=True)
                said = answers.readline()
            except BrokenPipeError:
                said = ""
            if not said:
                with suppress(BrokenPipeError):
                    asked.close()
                errors.seek(0)
                raise RuntimeError((errors.read().strip().splitlines() or ["no message"])[-1])
            return float(said)

        yield block


def agreed(ratios: Sequence[float]) -> tuple[float, float]:
    """The median of what at least two processes say, and its uncertainty: half the distance between the quartiles by
    the root of their number."""
    first, median, third = statistics.quantiles(ratios, n=4)
    return median, (third - first) / 2 / len(ratios) ** 0.5
