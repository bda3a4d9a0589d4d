"""The examples in the docstrings of Keras's public classes and functions, run against unifront.

    make keras-examples                                   # on PyTorch; ARGS="--backend jax" on another
    python tests/keras_examples --backend torch --only layers.Conv --show

The examples are read from the installed Keras and run twice: with ``keras`` as Keras, and with ``keras`` as unifront.
An example counts if Keras itself runs it on that framework and nothing has to be downloaded. It passes if it runs on unifront
and prints what its docstring shows, as `outputs` compares; where Keras itself prints something else, what Keras
prints. Those that do not pass stand with their reason in ``reasons.txt``: one without a reason, or more than a tenth of
all, end the run with 1. ``--write`` keeps the counts in docs/keras-examples.md.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import subprocess
import sys
from collections import Counter, defaultdict
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE))

from outputs import agree, words  # noqa: E402

ROOT = HERE.parents[1]
WORK = ROOT / "build" / "keras-examples"
PAGE = ROOT / "docs" / "keras-examples.md"
FRAMEWORKS = ("torch", "jax", "tensorflow")
Row = dict[str, Any]
Key = tuple[str, int]


def say(text: str) -> None:
    sys.stdout.write(text + "\n")


def environment(framework: str) -> dict[str, str]:
    paths = [ROOT / "src", ROOT / "backends", ROOT / "zoo"]
    quiet = {"TF_CPP_MIN_LOG_LEVEL": "3", "CUDA_VISIBLE_DEVICES": "", "MPLBACKEND": "agg", "COLUMNS": "200"}
    return {**os.environ, **quiet, "KERAS_BACKEND": framework, "PYTHONPATH": os.pathsep.join(map(str, paths))}


def collect() -> list[Row]:
    """The examples of the installed Keras; see collect.py."""
    command = [sys.executable, str(HERE / "collect.py")]
    text = subprocess.run(
        command, env=environment("numpy"), stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, check=True
    ).stdout
    examples: list[Row] = json.loads(text)
    return examples


def run(side: str, framework: str, examples: list[Row], results: Path) -> dict[Key, Row]:
    """What became of each block. A worker that dies is started again after what it died of."""
    log = results.with_suffix(".log")
    for old in (results, log):
        old.unlink(missing_ok=True)
    file = results.with_suffix(".examples.json")
    file.write_text(json.dumps(examples))
    first = 0
    while first < len(examples):
        command = [
            sys.executable,
            str(HERE / "worker.py"),
            side,
            framework,
            str(file),
            str(results),
            str(first),
        ]
        with open(log, "a") as out:
            code = subprocess.run(command, env=environment(framework), stdout=out, stderr=out).returncode
        if code == 0:
            break
        rows = [json.loads(line) for line in results.read_text().splitlines()] if results.exists() else []
        if not rows:
            raise SystemExit(f"The worker did not start; see {log}.")
        begun = max(row["begins"] for row in rows if "begins" in row)
        if "begins" in rows[-1]:
            name = examples[begun]["name"]
            row = {
                "name": name,
                "block": rows[-1]["block"],
                "state": "failed",
                "error": f"the process died with {code}",
                "outputs": [],
            }
            with open(results, "a") as out:
                out.write(json.dumps(row) + "\n")
        first = max(begun, first) + 1  # it may have died before the first one began
    return rows_of(results)


def rows_of(results: Path) -> dict[Key, Row]:
    """The last line of each block."""
    rows = [json.loads(line) for line in results.read_text().splitlines()]
    return {(row["name"], row["block"]): row for row in rows if "name" in row}


def judged_by(framework: str, examples: list[Row], only: str) -> dict[Key, Row]:
    """What Keras itself makes of the examples; kept, as it takes minutes, until they or the stand-ins change."""
    known = json.dumps(examples) + (HERE / "standins.py").read_text()
    mark = hashlib.sha256(known.encode()).hexdigest()[:12]
    kept = WORK / f"keras-{framework}-{mark}.jsonl"
    if only and not kept.exists():
        return run("keras", framework, chosen(examples, only), WORK / f"keras-{framework}-some.jsonl")
    if not kept.exists():
        run("keras", framework, examples, kept.with_suffix(".part"))
        kept.with_suffix(".part").rename(kept)
    return rows_of(kept)


def chosen(examples: list[Row], only: str) -> list[Row]:
    return [example for example in examples if only in example["name"]]


def verdict(theirs: Row, ours: Row | None, code: str) -> tuple[str, str]:
    """``passed``, ``failed``, ``download`` or ``n/a``, and why."""
    if theirs["state"] == "download":
        return "download", ""
    if theirs["state"] == "failed":
        return "n/a", theirs["error"].partition("\n")[0]
    if ours is None:
        return "failed", "not run"
    if ours["state"] != "ok":
        return "failed", f"{ours['error']} ({ours.get('at', '')})"
    for their, our in zip(theirs["outputs"], ours["outputs"], strict=True):
        if not shown_or_printed(their, our["got"], "random" in code):
            return (
                "failed",
                f"{our['source'].strip()} gave {our['got'].strip()!r}, not {their['got'].strip()!r}",
            )
    return "passed", ""


def shown_or_printed(theirs: Row, got: str, is_random: bool) -> bool:
    """Whether ``got`` is what the docstring shows; else, where Keras itself does not print that, what Keras prints. Random
    numbers, which differ, are only counted."""
    if agree(theirs["want"], got):
        return True
    if agree(theirs["want"], theirs["got"]):
        return False
    if theirs["got"].startswith("Traceback"):
        return got.startswith("Traceback")
    return agree(theirs["got"], got) or (is_random and len(words(theirs["got"])) == len(words(got)))


def reasons() -> dict[str, str]:
    """``name of the docstring: why its examples do not pass``, a line each; ``# `` begins a comment."""
    table = {}
    for line in (HERE / "reasons.txt").read_text(encoding="utf-8").splitlines():
        if line.strip() and not line.startswith("#"):
            name, _, reason = line.partition(": ")
            table[name.strip()] = reason.strip()
    return table


def space_of(name: str) -> str:
    """The namespace a name is counted in: ``keras.layers``; ``keras`` for what stands at the top."""
    parts = name.split(".")
    return "keras" if len(parts) < 3 or parts[1][0].isupper() else ".".join(parts[:2])


def table(verdicts: dict[Key, tuple[str, str]]) -> tuple[list[str], float]:
    """The lines of the table, and the share that passed."""
    counts: dict[str, Counter[str]] = defaultdict(Counter)
    for (name, _), (state, _) in verdicts.items():
        counts[space_of(name)][state] += 1
    total = sum(counts.values(), Counter[str]())
    lines = [
        "| namespace | examples | Keras itself fails | need a download | passed | of those that count |",
        "|---|---:|---:|---:|---:|---:|",
    ]
    share = 1.0
    for space, count in [*sorted(counts.items()), ("**all**", total)]:
        left = count["passed"] + count["failed"]
        share = count["passed"] / left if left else 1.0
        of_those = f"{100 * share:.0f} %" if left else ""
        lines.append(
            f"| {space} | {sum(count.values())} | {count['n/a']} | {count['download']} | {count['passed']} | {of_those} |"
        )
    return lines, share


def main() -> int:
    parser = argparse.ArgumentParser(
        prog="keras_examples", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--backend", default="torch", choices=FRAMEWORKS)
    parser.add_argument("--only", default="", help="those whose name holds this")
    parser.add_argument("--show", action="store_true", help="print the code of what failed")
    parser.add_argument("--write", action="store_true", help="keep the counts in docs/keras-examples.md")
    given = parser.parse_args()
    WORK.mkdir(parents=True, exist_ok=True)
    everything = collect()
    theirs = judged_by(given.backend, everything, given.only)
    examples = chosen(everything, given.only)
    ours = run(
        "unifront",
        given.backend,
        examples,
        WORK / f"unifront-{given.backend}{'-some' if given.only else ''}.jsonl",
    )
    names = {example["name"] for example in examples}
    code = {example["name"]: example["blocks"] for example in examples}
    verdicts = {
        key: verdict(row, ours.get(key), json.dumps(code[key[0]]))
        for key, row in theirs.items()
        if key[0] in names
    }
    known, unexplained = reasons(), 0
    for (name, block), (state, why) in verdicts.items():
        if state == "failed":
            unexplained += name not in known
            say(f"{name} [{block}]{'' if name in known else ' (no reason given)'}: {why}")
            if given.show:
                say("    " + json.dumps(code[name][block]).replace("\\n", "\n    "))
    counted = {name for (name, _), (state, _) in verdicts.items() if state == "passed"}
    others = {name for (name, _), (state, _) in verdicts.items() if state != "passed"}
    stale = [name for name in known if name in counted - others]
    for name in stale:
        say(f"reasons.txt has a reason for {name}, which passes here.")
    lines, share = table(verdicts)
    say("\n".join(lines))
    if given.write:
        from page import write

        write(PAGE, given.backend, lines, known)
    return int(unexplained > 0 or share < 0.9)


if __name__ == "__main__":
    sys.exit(main())
