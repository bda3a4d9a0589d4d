"""Inference, the best of all backends: is unifront's quickest as quick as anybody's?

    python benchmarks/best.py                                   the usual rows
    python benchmarks/best.py --rows cifar,lstm --processes 5

Every contender of a row (hand-written native code, Keras and unifront, on each backend) is a process of its own; they
take turns block by block, so that a machine whose speed changes slows all of them: run.py measures one backend after
the other, minutes apart. All processes are started anew a few times, as where their memory and threads come to lie
makes a difference. The ratio is that of unifront's quickest to the quickest of the others in the same turn, the
median over turns and then over the processes, with its own uncertainty, half the distance between the quartiles by
the root of their number. ✗: over 1.02, and by more than twice that uncertainty beyond it; the exit status is then 1.
"""

from __future__ import annotations

import argparse
import importlib.util
import statistics
import sys
from collections.abc import Sequence
from contextlib import ExitStack
from datetime import UTC, datetime
from operator import truediv
from pathlib import Path

import machine
import report
from contender import COLUMNS, INFERENCE_ONLY
from measure import Plan, block, build, columns_for, steps_for, trial
from rows import ROWS
from turns import agreed, process, serve

HERE = Path(__file__).resolve().parent
LIMIT = 1.02
USUAL = [row.name for row in ROWS.values() if not row.optional]
SECONDS, WARM_UP = 0.3, 3
Who = tuple[str, str]
"""A column and a backend."""


def work(row: str, backend: str, column: str) -> None:
    """The process of one contender, in the quickest of its variants."""
    (wanted,) = (one for one in columns_for(backend, extra=False) if one.name == column)
    entry = build(wanted, ROWS[row], backend, ["infer"])
    if not entry.contenders:
        sys.exit(entry.failed or entry.absent or "no variant")
    times = trial(entry.contenders, "infer", Plan())
    contender = entry.contenders[min(times, key=times.__getitem__)]
    serve(lambda mode, steps: block(contender, mode, steps))


def contenders(backends: Sequence[str] = ()) -> list[Who]:
    """On all backends, or on some. Sessions of ONNX Runtime run what unifront wrote: they are nobody else's."""
    return [
        (column.name, backend)
        for backend in backends or COLUMNS
        if importlib.util.find_spec(backend)
        for column in columns_for(backend, extra=False)
        if column.name == "unifront" or backend not in INFERENCE_ONLY
    ]


def once(row: str, turns: int, backends: Sequence[str]) -> dict[Who, list[float]]:
    """The times of new processes, a list for each."""
    with ExitStack() as stack:
        running = {
            (column, backend): stack.enter_context(
                process([__file__, "--worker", row, backend, column], {"KERAS_BACKEND": backend})
            )
            for column, backend in contenders(backends)
        }
        steps: dict[Who, int] = {}
        for who, run in list(running.items()):
            try:
                steps[who] = steps_for(run("infer", WARM_UP), SECONDS)
            except RuntimeError as error:
                print(f"{row}: {who[0]} on {who[1]}: {error}", file=sys.stderr)
                del running[who]
        times: dict[Who, list[float]] = {who: [] for who in running}
        for turn in range(turns):
            for who in running if turn % 2 else reversed(running):
                times[who].append(running[who]("infer", steps[who]))
        return times


def cells(row: str, found: list[dict[Who, list[float]]]) -> list[list[str]]:
    """Lines of a table: each contender, and unifront's best by the best of the others."""
    names = [who for who in found[0] if all(who in times for times in found)]
    median = {who: statistics.median(statistics.median(times[who]) for times in found) for who in names}
    ours = min((who for who in names if who[0] == "unifront"), key=median.__getitem__)
    theirs = min((who for who in names if who[0] != "unifront"), key=median.__getitem__)
    ratios = [statistics.median(map(truediv, times[ours], times[theirs])) for times in found]
    ratio, unsure = agreed(ratios)
    mark = " ✗" if ratio - 2 * unsure > LIMIT else ""
    said = f"{ratio:.3f} ±{unsure:.3f}{mark} of {theirs[0]} on {theirs[1]}"
    return [
        [row, backend, column, f"{median[column, backend]:.3g}", said if (column, backend) == ours else ""]
        for column, backend in sorted(names, key=median.__getitem__)
    ]


def table(
    backends: Sequence[str] = (), rows: Sequence[str] = USUAL, processes: int = 3, turns: int = 7
) -> report.Table:
    """All of it."""
    lines = []
    for row in rows:
        print(f"{row} …", flush=True)
        lines += cells(row, [once(row, turns, backends) for _ in range(processes)])
    names = ["row", "backend", "column", "ms", "best / best of the others"]
    return report.Table("Inference, the best of all backends", names, lines)


def main() -> int:
    description, _, _ = (__doc__ or "").partition("\n")
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("--rows", default=",".join(USUAL), help="with commas")
    parser.add_argument(
        "--processes", type=int, default=3, help="how often all processes are new, twice at least (3)"
    )
    parser.add_argument("--turns", type=int, default=7, help="blocks of each process (7)")
    parser.add_argument("--output", type=Path, default=HERE / "results", help="the folder for the results")
    options = parser.parse_args()
    if options.processes < 2:
        parser.error("--processes: one set of processes has no uncertainty; give two or more")
    information = {
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "machine": machine.describe(),
        "versions": machine.versions(),
        "options": {"device": "auto", "repeats": options.processes * options.turns, "seconds": SECONDS},
    }
    rows = options.rows.split(",")
    found = table((), rows, options.processes, options.turns)
    report.show(*found)
    name = report.file_name(information, "best", *([] if rows == USUAL else rows))
    for path in report.write(options.output, name, information, [], [found]):
        print(f"Written: {path}")
    return int(found.missed)


if __name__ == "__main__":
    if sys.argv[1:2] == ["--worker"]:
        work(*sys.argv[2:])
        sys.exit(0)
    sys.exit(main())
