"""Keras's own unit tests, unedited, against unifront: runs the suite beside this repository and keeps the counts.

    python tests/keras_score.py SUITE KERAS WORK [--backends torch,jax,tensorflow] [--areas ops/numpy,layers]
    python tests/keras_score.py SUITE KERAS WORK --kept [--write]     # what earlier runs found; runs nothing

SUITE is the folder of the suite (its ``run.py`` and README), KERAS an unpacked source distribution of Keras
(``pip download --no-deps --no-binary keras keras==3.15.1``), WORK a folder for the results. Each area's results are kept
there until it runs again, so that areas may be run one by one; the tables are of all that is kept.

What fails stands with its reason in ``keras_failures.txt``, a line ``pattern | backends | reason``; the first line that
fits counts. What fails beside it is printed and makes the exit status 1, and so is a reason that no failing test needs.
``--write`` keeps the tables in ``docs/keras-score.md``. Everything takes half an hour for each backend.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import time
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path

ROOT = Path(__file__).parents[1]
PAGE = ROOT / "docs" / "keras-score.md"
REASONS = ROOT / "tests" / "keras_failures.txt"
BACKENDS = ("torch", "jax", "tensorflow")
AREAS = (
    "layers", "ops/numpy", "ops/nn", "ops/math", "ops/core", "ops/linalg", "ops/image", "ops/einops", "losses", "metrics",
    "optimizers", "initializers", "regularizers", "constraints", "activations", "callbacks", "models", "random", "utils",
)  # fmt: skip
RENAMED = {
    "from unifront.backend ": "from unifront.backends ",
    "from unifront.ops.tensor ": "from unifront.opset.tensor ",
    "uf.Variable(name or": "uf.Variable.at(name or",  # a weight at a path; `Variable` itself takes Keras's arguments
}
"""What the suite calls by names that it had before."""
COMMITS = "commits.json"
WORDS = "words:"
"""Begins a pattern of tests of which the suite says that the right type of error was raised, in other words."""


@dataclass(frozen=True)
class Outcome:
    """What came of one test: ``passed``, ``na`` (not applicable) or ``failed``, and why."""

    test: str
    state: str
    label: str = ""
    message: str = ""

    @property
    def area(self) -> str:
        folder, _, rest = self.test.partition("/")
        return f"{folder}/{rest.partition('_test.py')[0]}" if folder == "ops" else folder

    @property
    def only_words(self) -> bool:
        return self.state == "failed" and self.label.startswith("ERROR TEXT")


@dataclass(frozen=True)
class Known:
    """A line of the reasons: the tests that it is for, on which backends, and why they fail."""

    pattern: str
    backends: tuple[str, ...]
    reason: str

    def fits(self, outcome: Outcome, backend: str) -> bool:
        if backend not in self.backends:
            return False
        if self.pattern.startswith(WORDS):
            return outcome.only_words and fnmatchcase(outcome.test, self.pattern.removeprefix(WORDS))
        return fnmatchcase(outcome.test, self.pattern)


# ---------------------------------------------------------------- running


def own_copy(suite: Path, work: Path) -> Path:
    """The suite with the names of today."""
    copy = work / "suite"
    shutil.rmtree(copy, ignore_errors=True)
    shutil.copytree(suite, copy, copy_function=shutil.copyfile)
    for file in copy.glob("*.py"):
        text = file.read_text(encoding="utf-8")
        for before, now in RENAMED.items():
            text = text.replace(before, now)
        text = text.replace(
            '"PYTHONPATH": str(HERE)',
            '"PYTHONPATH": os.pathsep.join([str(HERE), os.environ.get("PYTHONPATH", "")])',
        )
        file.write_text(text, encoding="utf-8")
    return copy


def run(
    suite: Path, keras: Path, work: Path, backend: str, areas: Sequence[str], more: Sequence[str]
) -> None:
    """Runs areas on one backend; the suite writes what came of each test into the folder of the backend."""
    folder = work / backend
    folder.mkdir(parents=True, exist_ok=True)
    command = [sys.executable, str(suite / "run.py"), str(keras), str(folder), "--backend", backend]
    command += ["--areas", ",".join(areas), *more]
    places = [str(ROOT / name) for name in ("src", "backends", "zoo")]
    environment = {"KERAS_BACKEND": "tensorflow", **os.environ, "PYTHONPATH": os.pathsep.join(places)}
    began, code = time.time(), commit()
    try:
        subprocess.run(command, env=environment, stdout=subprocess.DEVNULL, check=True)
    finally:
        keep_commit(folder / "results", code, began)


def commit() -> str:
    """The commit of the code that runs, with a + where files differ from it."""

    def git(*words: str) -> str:
        return subprocess.run(
            ["git", *words], cwd=ROOT, capture_output=True, text=True, check=True
        ).stdout.strip()

    return git("rev-parse", "--short=7", "HEAD") + "+" * bool(
        git("status", "--porcelain", "--", "src", "backends")
    )


def keep_commit(folder: Path, code: str, began: float) -> None:
    """Note beside the results which of them are of the commit ``code``: those written since ``began``."""
    kept = commits(folder)
    kept.update({file.name: code for file in folder.glob("*.jsonl") if file.stat().st_mtime >= began})
    (folder / COMMITS).write_text(json.dumps(kept, indent=0, sort_keys=True), encoding="utf-8")


def commits(folder: Path) -> dict[str, str]:
    """The commits of files of results; files of runs that kept none are not there."""
    file = folder / COMMITS
    return json.loads(file.read_text(encoding="utf-8")) if file.is_file() else {}


# ---------------------------------------------------------------- what was found


def outcomes(folder: Path, backend: str) -> list[Outcome]:
    """What is kept of a backend's tests. A test that began and has no outcome failed: a crash, or the limit of time."""
    found: dict[str, Outcome] = {}
    for file in sorted(folder.glob(f"{backend}-*.jsonl")):
        for line in file.read_text(encoding="utf-8").splitlines():
            row = json.loads(line)
            test = row["id"].rpartition("src/")[2]
            if row["state"] == "collected":
                found.setdefault(
                    test, Outcome(test, "failed", "not run", "not run: a crash, or the limit of time")
                )
            elif row["state"] == "module":
                found[test] = Outcome(test, "failed", "not imported", row["message"])
            elif row["state"] != "passed" or found[test].label == "not run":
                state = row["state"] if row["state"] in ("passed", "na") else "failed"
                found[test] = Outcome(test, state, row["label"], row.get("message", ""))
    return sorted(found.values(), key=lambda one: one.test)


def ran(folder: Path, backend: str) -> dict[str, str]:
    """The day on which each area ran last, and the commits of the code that did: several where parts ran again."""
    days: dict[str, set[str]] = defaultdict(set)
    codes: dict[str, set[str]] = defaultdict(set)
    known = commits(folder)
    for file in folder.glob(f"{backend}-*.jsonl"):
        area = file.stem.removeprefix(f"{backend}-").replace("ops.", "ops/").partition(".")[0]
        days[area].add(time.strftime("%Y-%m-%d", time.gmtime(file.stat().st_mtime)))
        codes[area].add(known.get(file.name, "?"))
    return {area: f"{min(days[area])}, {' '.join(sorted(codes[area]))}" for area in days}


def reasons(file: Path = REASONS) -> list[Known]:
    """The lines of the file of reasons."""
    found = []
    for line in file.read_text(encoding="utf-8").splitlines():
        if line and not line.startswith("#"):
            pattern, backends, reason = (part.strip() for part in line.split("|", 2))
            names = BACKENDS if backends == "all" else tuple(name.strip() for name in backends.split(","))
            found.append(Known(pattern, names, reason))
    return found


def explained(found: Iterable[Outcome], backend: str, known: Sequence[Known]) -> dict[str, Known | None]:
    """For each test that fails, the line that says why."""
    failing = (one for one in found if one.state == "failed")
    return {one.test: next((line for line in known if line.fits(one, backend)), None) for one in failing}


def stale(results: Mapping[str, Sequence[Outcome]], known: Sequence[Known]) -> list[tuple[Known, str]]:
    """Lines, with a backend, that no failing test needs although a test they are for has run there."""
    found = []
    for backend, rows in results.items():
        needed = set(explained(rows, backend, known).values())
        for line in known:
            fitting = line.pattern.startswith(WORDS) or any(line.fits(one, backend) for one in rows)
            if backend in line.backends and line not in needed and fitting:
                found.append((line, backend))
    return found


# ---------------------------------------------------------------- tables


def percent(passed: int, of: int) -> str:
    return f"{100 * passed / of:.1f} %" if of else ""


def table(
    rows: Sequence[Outcome], backend: str, known: Sequence[Known], days: Mapping[str, str]
) -> list[str]:
    """The counts of one backend, by area."""
    why = explained(rows, backend, known)
    counts: dict[str, Counter[str]] = defaultdict(Counter)
    for one in rows:
        kind = one.state
        if one.state == "failed":
            kind = "without" if why[one.test] is None else "words" if one.only_words else "reason"
        counts[one.area].update(["tests", kind])
    order = [area for area in AREAS if area in counts] + sorted(set(counts) - set(AREAS))
    total: Counter[str] = sum(counts.values(), Counter())
    lines = [
        f"| {backend} | tests | not applicable | passed | other words | fails, with a reason | without | of the applicable | run |",
        "|---|---:|---:|---:|---:|---:|---:|---:|---|",
    ]
    for area, count in [*((area, counts[area]) for area in order), ("**all**", total)]:
        left = count["tests"] - count["na"]
        cells = [count[key] for key in ("tests", "na", "passed", "words", "reason", "without")]
        day = days.get(area, "")
        lines.append(f"| {area} | {' | '.join(map(str, cells))} | {percent(count['passed'], left)} | {day} |")
    return lines


def group(label: str) -> str:
    """A reason of the suite for what is not applicable, without the names in it."""
    for begin, words in (
        ("Keras skips it", "Keras skips it on this backend"),
        ("inside Keras", "a name that Keras does not export"),
        ("needs the package", "a package that is not installed"),
    ):
        if label.startswith(begin):
            return words
    return label


def by_backend(counts: Mapping[str, Counter[str]], key: str) -> str:
    return " | ".join(str(count[key]) for count in counts.values())


def page(
    results: Mapping[str, Sequence[Outcome]], known: Sequence[Known], days: Mapping[str, Mapping[str, str]]
) -> str:
    """The page in docs/."""
    lines = HEAD.splitlines()
    for backend, rows in results.items():
        lines += ["", *table(rows, backend, known, days[backend])]
    head = [f"| {' | '.join(results)} |", f"{'---:|' * len(results)}"]
    lines += [
        "",
        "## What fails, and why",
        "",
        *WHY.splitlines(),
        "",
        f"| tests | reason {head[0]}",
        f"|---|---|{head[1]}",
    ]
    uses = {
        b: Counter(line.pattern + line.reason for line in explained(rows, b, known).values() if line)
        for b, rows in results.items()
    }
    for line in known:
        key = line.pattern + line.reason
        lines.append(f"| {shown(line.pattern)} | {line.reason} | {by_backend(uses, key)} |")
    skipped = {
        b: Counter(group(one.label) for one in rows if one.state == "na") for b, rows in results.items()
    }
    total: Counter[str] = sum(skipped.values(), Counter())
    lines += [
        "",
        "## What is not applicable",
        "",
        *NOT_APPLICABLE.splitlines(),
        "",
        f"| reason {head[0]}",
        f"|---|{head[1]}",
    ]
    lines += [f"| {label} | {by_backend(skipped, label)} |" for label, _ in total.most_common()]
    return "\n".join([*lines, ""])


def shown(pattern: str) -> str:
    """A pattern as the page shows it."""
    if pattern.startswith(WORDS):
        pattern = pattern.removeprefix(WORDS)
        return "any other" if pattern == "*" else f"`{pattern}` (words)"
    return f"`{pattern}`"


HEAD = """# Keras's own tests

Keras 3.15.1's unit tests, unedited, run against unifront: `make keras-score`, outside of CI. A test counts as applicable
unless it is about something that only Keras has, or Keras itself skips it on that backend. *Other words* are tests
that fail for this alone: the error has the type that is asked for, and unifront's text instead of Keras's (what such a test asks
after that is not reached). Each area was run on the day, and by the commit, that stand beside it: the oldest day of its parts,
and the commits of all of them, ``?`` where none was kept and ``+`` where files differed from it."""
WHY = """A line is for all tests that its pattern fits (`*` is anything) and that no line above it takes. The numbers are the tests
that fail."""
NOT_APPLICABLE = "The suite says this, not unifront. Tests, by backend:"


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("suite", type=Path)
    parser.add_argument("keras", type=Path)
    parser.add_argument("work", type=Path)
    parser.add_argument("--backends", default=",".join(BACKENDS))
    parser.add_argument("--areas", default=",".join(AREAS))
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--limit", type=int, default=3600, help="seconds for one group of files")
    parser.add_argument("--kept", action="store_true", help="run nothing: the tables of what is kept")
    parser.add_argument("--write", action="store_true", help=f"write {PAGE.relative_to(ROOT)}")
    given = parser.parse_args()
    work, backends = given.work.resolve(), given.backends.split(",")
    if not given.kept:
        work.mkdir(parents=True, exist_ok=True)
        suite = own_copy(given.suite.resolve(), work)
        more = ["--jobs", str(given.jobs), "--limit", str(given.limit)]
        for backend in backends:
            run(suite, given.keras.resolve(), work, backend, given.areas.split(","), more)
    known = reasons()
    results = {backend: outcomes(work / backend / "results", backend) for backend in backends}
    days = {backend: ran(work / backend / "results", backend) for backend in backends}
    return report(results, known, days, write=given.write)


def report(
    results: Mapping[str, Sequence[Outcome]],
    known: Sequence[Known],
    days: Mapping[str, Mapping[str, str]],
    *,
    write: bool,
) -> int:
    """Prints the tables, and what the reasons lack and have too many of; how the script ends."""
    status = 0
    for backend, rows in results.items():
        say("\n".join([*table(rows, backend, known, days[backend]), ""]))
        why = explained(rows, backend, known)
        for one in rows:
            if one.state == "failed" and why[one.test] is None:
                status = 1
                say(
                    f"no reason: {one.test} | {backend} | {' '.join(f'{one.label} {one.message}'.split())[:300]}"
                )
    for line, backend in stale(results, known):
        status = 1
        say(f"stale: {line.pattern} | {backend} | {line.reason}")
    if write:
        PAGE.write_text(page(results, known, days), encoding="utf-8")
    return status


def say(text: str) -> None:
    sys.stdout.write(text + "\n")


if __name__ == "__main__":
    sys.exit(main())
