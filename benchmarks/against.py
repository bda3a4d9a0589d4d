"""Measures this code beside that of an earlier commit: did a row become slower?

    python benchmarks/against.py f19a5ff --rows mlp         a row that the commit has too, on all installed backends
    python benchmarks/against.py HEAD~3 --rows mlp,gru --backends torch --modes train

The files of the commit are laid out in a temporary folder. Each row on each backend has two processes, one for
either code, which take turns block by block, so that a machine whose speed changes slows both; who waits uses no
core. A ratio is that of two neighbouring blocks, this code's by the commit's, and each pair begins with the other
one. Where a process's memory and threads came to lie makes more of a difference than all blocks of it show: so this is
done again with new processes, and each two give one number, the median of their ratios. The median of these is shown
with its own uncertainty, half the distance between their quartiles by the root of their number. ✗: slower by more than
3 %, and by more than twice that uncertainty beyond it; the exit status is then 1.
"""

from __future__ import annotations

import argparse
import importlib
import importlib.util
import io
import os
import statistics
import subprocess
import sys
import tarfile
import tempfile
from collections.abc import Sequence
from contextlib import AbstractContextManager
from datetime import UTC, datetime
from itertools import product
from pathlib import Path
from typing import Any

from turns import Block, agreed, process, serve

HERE = Path(__file__).resolve().parent
LIMIT = 1.03
MODES = ("train", "infer")
SECONDS, WARM_UP = 0.3, 5


def worker(tree: Path, row: str, backend: str) -> AbstractContextManager[Block]:
    """A process of the code in ``tree``."""
    places = os.pathsep.join(str(tree / name) for name in ("src", "backends", "zoo"))
    return process([__file__, "--worker", str(tree), row, backend], {"PYTHONPATH": places})


def work(tree: Path, row: str, backend: str) -> None:
    """That process: what the code in ``tree`` has of the row."""
    sys.path[:1] = [str(tree / "benchmarks")]  # in the place of this script's own folder
    measure, rows, ours = (importlib.import_module(name) for name in ("measure", "rows", "unifront_rows"))
    contender = ours.build(rows.ROWS[row], backend, "")
    serve(lambda mode, steps: measure.block(contender, mode, steps))


def compare(
    trees: Sequence[Path], row: str, backend: str, mode: str, processes: int, pairs: int
) -> dict[str, Any]:
    """The times of both codes, a list for each process."""
    result: dict[str, Any] = {"row": row, "backend": backend, "mode": mode}
    times: dict[str, list[list[float]]] = {"before": [], "now": []}
    try:
        for _ in range(processes):
            for name, own in once(trees, row, backend, mode, pairs).items():
                times[name].append(own)
    except RuntimeError as error:
        return {**result, "failed": str(error)}
    return {**result, **times}


def once(trees: Sequence[Path], row: str, backend: str, mode: str, pairs: int) -> dict[str, list[float]]:
    """The times of two processes."""
    with worker(trees[0], row, backend) as before, worker(trees[1], row, backend) as now:
        both: dict[str, Block] = {"before": before, "now": now}
        for block in both.values():
            block(mode, WARM_UP)
        shortest = min(block(mode, WARM_UP) for block in both.values())
        steps = max(1, min(5000, round(SECONDS * 1e3 / shortest)))
        times: dict[str, list[float]] = {name: [] for name in both}
        for turn in range(pairs):
            for name in both if turn % 2 else reversed(both):
                times[name].append(both[name](mode, steps))
        return times


def cells(result: dict[str, Any]) -> list[str]:
    """One result as text, and its ratio kept in it."""
    said = [result["row"], result["backend"], result["mode"]]
    if "failed" in result:
        return [*said, "", "", "failed"]
    ratios = [
        statistics.median(now / before for before, now in zip(*own, strict=True))
        for own in zip(result["before"], result["now"], strict=True)
    ]
    median, unsure = agreed(ratios)
    result |= {"ratio": median, "uncertainty": unsure}
    times = [
        f"{statistics.median(statistics.median(own) for own in result[name]):.3g}"
        for name in ("before", "now")
    ]
    return [*said, *times, f"{median:.3f} ±{unsure:.3f}{' ✗' if median - 2 * unsure > LIMIT else ''}"]


def lay_out(commit: str, folder: Path) -> None:
    packed = subprocess.run(
        ["git", "archive", commit], cwd=HERE.parent, stdout=subprocess.PIPE, check=True
    ).stdout
    with tarfile.open(fileobj=io.BytesIO(packed)) as archive:
        archive.extractall(folder, filter="data")


def main() -> int:
    import machine
    import report
    from rows import ROWS

    description, _, _ = (__doc__ or "").partition("\n")
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("commit", help="the earlier commit")
    parser.add_argument(
        "--rows", default=",".join(row.name for row in ROWS.values() if not row.optional), help="with commas"
    )
    parser.add_argument("--backends", default="torch,jax,tensorflow", help="with commas")
    parser.add_argument("--modes", default=",".join(MODES), help="train, infer, or both")
    parser.add_argument("--processes", type=int, default=5, help="pairs of processes, at least two (5)")
    parser.add_argument("--pairs", type=int, default=9, help="pairs of blocks of each two processes (9)")
    parser.add_argument("--output", type=Path, default=HERE / "results", help="the folder for the results")
    options = parser.parse_args()
    if options.processes < 2:
        parser.error("--processes: one pair of processes has no uncertainty; give two or more")
    commit = subprocess.run(
        ["git", "rev-parse", "--short", options.commit],
        cwd=HERE.parent,
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    ).stdout.strip()
    information = {
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "machine": machine.describe(),
        "versions": machine.versions(),
        "options": {"device": "auto", "repeats": options.processes * options.pairs, "seconds": SECONDS},
    }
    lines = []
    with tempfile.TemporaryDirectory() as folder:
        lay_out(commit, Path(folder))
        installed = [name for name in options.backends.split(",") if importlib.util.find_spec(name)]
        for row, backend, mode in product(options.rows.split(","), installed, options.modes.split(",")):
            result = compare(
                (Path(folder), HERE.parent), row, backend, mode, options.processes, options.pairs
            )
            lines.append(cells(result))
            print(*lines[-1], result.get("failed", ""), flush=True)
    table = report.Table(
        f"Beside {commit}", ["row", "backend", "mode", "before ms", "now ms", "now / before"], lines
    )
    report.show(*table)
    chosen = [] if options.rows == parser.get_default("rows") else options.rows.split(",")
    name = report.file_name(information, "against", commit, *chosen)
    for path in report.write(options.output, name, information, [], [table]):
        print(f"Written: {path}")
    return int(table.missed)


if __name__ == "__main__":
    if sys.argv[1:2] == ["--worker"]:
        work(Path(sys.argv[2]), *sys.argv[3:])
        sys.exit(0)
    sys.exit(main())
