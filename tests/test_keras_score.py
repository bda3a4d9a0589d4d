"""How `make keras-score` counts, and that what is committed of it holds together. (Keras's tests themselves run there.)"""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from tests import keras_score
from tests.keras_score import Known, Outcome

LINES = {
    "one": [
        {"id": "keras/src/ops/nn_test.py::A::test_a", "state": "collected"},
        {"id": "keras/src/ops/nn_test.py::A::test_b", "state": "collected"},
        {"id": "keras/src/ops/nn_test.py::A::test_c", "state": "collected"},
        {"id": "keras/src/ops/nn_test.py::A::test_a", "state": "passed", "label": "", "message": ""},
        {"id": "keras/src/ops/nn_test.py::A::test_b", "state": "na", "label": "Keras skips it: no GPU", "message": ""},
    ],
    "other": [
        {"id": "keras/src/losses/losses_test.py::B::test_d", "state": "collected"},
        {"id": "keras/src/losses/losses_test.py::B::test_e", "state": "collected"},
        {"id": "keras/src/losses/losses_test.py::B::test_d", "state": "missing", "label": "ops.x", "message": "no x"},
        {"id": "keras/src/losses/losses_test.py::B::test_e", "state": "failed", "label": "ERROR TEXT: …", "message": ""},
    ],
}  # fmt: skip


@pytest.fixture
def rows(tmp_path: Path) -> list[Outcome]:
    for name, lines in LINES.items():
        text = "\n".join(map(json.dumps, lines))
        (tmp_path / f"torch-{name}.jsonl").write_text(text, encoding="utf-8")
    return keras_score.outcomes(tmp_path, "torch")


def test_every_test_that_began_is_counted_once(rows: list[Outcome]) -> None:
    states = {one.test.rpartition("::")[2]: one.state for one in rows}
    assert states == {
        "test_a": "passed",
        "test_b": "na",
        "test_c": "failed",
        "test_d": "failed",
        "test_e": "failed",
    }
    assert {one.area for one in rows} == {"ops/nn", "losses"}


def test_the_counts_by_area(rows: list[Outcome]) -> None:
    known = [Known("losses/*::test_d", ("torch",), "why"), Known("words:*", keras_score.BACKENDS, "words")]
    *_, losses, everything = keras_score.table(rows, "torch", known, {"losses": "2026-01-02"})
    assert losses == "| losses | 2 | 0 | 0 | 1 | 1 | 0 | 0.0 % | 2026-01-02 |"
    assert everything == "| **all** | 5 | 1 | 1 | 1 | 1 | 1 | 25.0 % |  |"


def test_each_area_keeps_the_day_and_the_commits_it_was_run_by(rows: list[Outcome], tmp_path: Path) -> None:
    for name, day in (
        ("torch-layers.core", 86400),
        ("torch-layers.rnn", 2 * 86400),
        ("torch-ops.nn", 3 * 86400),
    ):
        (tmp_path / f"{name}.jsonl").write_text("", encoding="utf-8")
        os.utime(tmp_path / f"{name}.jsonl", (day, day))
    keras_score.keep_commit(tmp_path, "aaaaaaa", 86400)
    keras_score.keep_commit(tmp_path, "bbbbbbb+", 2 * 86400)
    found = keras_score.ran(tmp_path, "torch")
    assert found["layers"] == "1970-01-02, aaaaaaa bbbbbbb+"
    assert found["ops/nn"] == "1970-01-04, bbbbbbb+"
    (tmp_path / keras_score.COMMITS).unlink()
    assert keras_score.ran(tmp_path, "torch")["layers"] == "1970-01-02, ?"


def test_what_has_no_reason_and_what_no_test_needs_end_the_run_with_1(
    rows: list[Outcome], capsys: pytest.CaptureFixture[str]
) -> None:
    def told(*known: Known) -> tuple[int, str]:
        status = keras_score.report({"torch": rows}, known, {"torch": {}}, write=False)
        return status, capsys.readouterr().out

    whole = Known("words:*", ("torch",), "words"), Known("*_[cd]", ("torch",), "why")
    assert told(*whole)[0] == 0
    status, out = told(whole[0])
    assert status == 1
    assert "no reason: ops/nn_test.py::A::test_c | torch" in out
    status, out = told(*whole, Known("*::test_a", ("torch",), "it passes"))
    assert status == 1
    assert "stale: *::test_a | torch | it passes" in out
    assert "stale" not in told(*whole, Known("*::test_a", ("jax",), "not of this backend"))[1]
    assert "stale" not in told(*whole, Known("models/*", ("torch",), "of an area that did not run"))[1]


def test_only_words_are_explained_by_a_line_for_words(rows: list[Outcome]) -> None:
    why = keras_score.explained(rows, "torch", [Known("words:*", ("torch",), "words")])
    assert {test.rpartition("::")[2] for test, line in why.items() if line} == {"test_e"}


def test_reasons_are_well_formed() -> None:
    known = keras_score.reasons()
    assert len({(line.pattern, line.backends) for line in known}) == len(known)
    for line in known:
        assert line.reason
        assert set(line.backends) <= set(keras_score.BACKENDS)
