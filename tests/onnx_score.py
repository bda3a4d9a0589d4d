"""ONNX's own backend tests, run on every backend through import; `make onnx-score` keeps the counts in docs/.

    python tests/onnx_score.py [--backends numpy,torch,jax,tensorflow] [--kinds node,simple] [--match REGEX] [--write]

The cases, data and tolerances are those of the package ``onnx``, unedited. What fails stands with its reason in
``tests/onnx/failures.txt``, a line ``name | backends | reason``; what fails beside it is an error, and so is what
stands there and does not fail any more.
"""

from __future__ import annotations

import argparse
import re
import sys
import warnings
from collections.abc import Iterator, Sequence
from functools import cache
from pathlib import Path
from typing import Any

import onnx
from onnx.backend.test.loader import load_model_tests
from onnx.backend.test.runner import Runner

ROOT = Path(__file__).parents[1]
PAGE = ROOT / "docs" / "onnx-score.md"
REASONS = ROOT / "tests" / "onnx" / "failures.txt"
KINDS = ("node", "simple", "pytorch-converted", "pytorch-operator")
BACKENDS = ("numpy", "torch", "tensorflow", "jax")


@cache
def cases(kind: str, match: str = "") -> list[Any]:
    """The cases of one kind whose names match."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # NumPy's, while the cases are made
        return [case for case in load_model_tests(kind=kind) if re.search(match, case.name)]


def _loaded(folder: Path, kind: str, values: Sequence[Any]) -> list[Any]:
    found: list[Any] = []
    runner = Runner.__new__(Runner)
    for number in range(len(list(folder.glob(f"{kind}_*.pb")))):
        runner._load_proto(str(folder / f"{kind}_{number}.pb"), found, values[number].type)
    return found


def data(case: Any, model: Any) -> Iterator[tuple[list[Any], list[Any]]]:
    """The inputs and outputs of a case, as ONNX's runner has them."""
    from onnx.backend.test.runner import _normalize_tensor

    if case.data_sets is not None:
        for inputs, outputs in case.data_sets:
            yield [_normalize_tensor(x) for x in inputs], [_normalize_tensor(y) for y in outputs]
        return
    for folder in sorted(Path(case.model_dir).glob("test_data_set_*")):
        yield _loaded(folder, "input", model.graph.input), _loaded(folder, "output", model.graph.output)


def failure(case: Any, backend: str) -> str | None:
    """Why a case fails on a backend; None if it passes."""
    from unifront.onnx import backend as backends

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            model = case.model or onnx.load(Path(case.model_dir) / "model.onnx")
            prepared = backends.get(backend).prepare(model, "CPU")
            for inputs, outputs in data(case, model):
                found = list(prepared.run(inputs))
                Runner.assert_similar_outputs(outputs, found, case.rtol, case.atol, case.model_dir)
    except Exception as error:  # noqa: BLE001  # whatever it is, the case fails
        return f"{type(error).__name__}: {' '.join(str(error).split())}"
    return None


def reasons() -> dict[str, dict[str, str]]:
    """For each backend the cases that are known to fail, with the reason."""
    found: dict[str, dict[str, str]] = {backend: {} for backend in BACKENDS}
    for line in REASONS.read_text(encoding="utf-8").splitlines():
        if line and not line.startswith("#"):
            name, backends, reason = (part.strip() for part in line.split("|"))
            for backend in BACKENDS if backends == "all" else backends.split(","):
                found[backend.strip()][name] = reason
    return found


def score(
    backend: str, kinds: Sequence[str], match: str
) -> tuple[dict[str, tuple[int, int]], dict[str, str]]:
    """How many pass of how many, by kind, and what fails."""
    counts, failures = {}, {}
    for kind in kinds:
        chosen = cases(kind, match)
        failed = {case.name: why for case in chosen if (why := failure(case, backend)) is not None}
        counts[kind] = (len(chosen) - len(failed), len(chosen))
        failures.update(failed)
        print(f"{backend:>12} {kind:<20} {counts[kind][0]:>5} of {counts[kind][1]}", flush=True)  # noqa: T201
    return counts, failures


def page(counts: dict[str, dict[str, tuple[int, int]]]) -> str:
    """The page in docs/."""
    lines = [
        "# ONNX's own tests",
        "",
        f"The backend tests of onnx {onnx.__version__}, unedited and with their own tolerances, run through import on",
        "every backend: `make onnx-score`.",
        "",
        f"| suite | tests | {' | '.join(counts)} |",
        f"|---|---|{'---|' * len(counts)}",
    ]
    for kind in KINDS:
        row = [one[kind] for one in counts.values()]
        lines.append(f"| {kind} | {row[0][1]} | {' | '.join(str(passed) for passed, _ in row)} |")
    lines += ["", "What does not pass, and why:", "", "| test | backends | reason |", "|---|---|---|"]
    for line in REASONS.read_text(encoding="utf-8").splitlines():
        if line and not line.startswith("#"):
            lines.append(f"| {' | '.join(part.strip() for part in line.split('|'))} |")
    return "\n".join([*lines, ""])


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--backends", default=",".join(BACKENDS))
    parser.add_argument("--kinds", default=",".join(KINDS))
    parser.add_argument("--match", default="")
    parser.add_argument("--write", action="store_true", help=f"write {PAGE.relative_to(ROOT)}")
    given = parser.parse_args()
    known, counts, status = reasons(), {}, 0
    for backend in given.backends.split(","):
        counts[backend], failures = score(backend, given.kinds.split(","), given.match)
        for name, why in failures.items():
            if name not in known[backend]:
                status = 1
                print(f"{backend}: {name} fails, without a reason in {REASONS.name}: {why[:300]}", flush=True)  # noqa: T201
    if given.write:
        PAGE.write_text(page(counts), encoding="utf-8")
    return status


if __name__ == "__main__":
    sys.exit(main())
