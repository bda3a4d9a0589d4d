"""What a model of a file says of its data is looked at before it is used."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import pytest

from tests.recipes.made import images, prepared
from unifront.errors import FileFormatError
from unifront.recipes.notes import checked_notes

DATA = {
    "images": "{images: pictures, image_size: 4}",
    "table": "{table: titanic, target: survived}",
    "series": "{series: airline, length: 3}",
    "text": "{text: sonnets}",
}
WRONG = {
    "images": {
        "size": [[1], [4, 0], [4, 2**40], "44", None],
        "color": ["red", ["rgb"]],
        "classes": [[], [1], "ab"],
    },
    "table": {"columns": [[], {}, [1], [{"name": "a"}]], "classes": ["ab", [1]], "missing": [1, "zero"]},
    "series": {"length": [0, -1, 1.5, True, 2**40, "3"], "columns": [[], ["a", 1]], "targets": [None]},
    "text": {"characters": ["", 3, None], "length": [None, 0], "stride": [0]},
}


@pytest.mark.parametrize("kind", DATA)
def test_notes(kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    images(tmp_path / "pictures", {"a": 1, "b": 1})
    data = prepared(f"layers: [Dense: $outputs]\ndata: {DATA[kind]}")
    notes: dict[str, Any] = {**data.notes, "task": data.task, "logits": True}
    assert checked_notes(notes, "m.uf") == notes
    wrong: dict[str, list[Any]] = {**WRONG[kind], "task": ["words", None], "logits": [1]}
    for key, values in wrong.items():
        without = {name: value for name, value in notes.items() if name != key}
        for broken in [without, *({**copy.deepcopy(notes), key: value} for value in values)]:
            with pytest.raises(
                FileFormatError, match=rf"^m\.uf: what it says of its data is broken: {key} is "
            ):
                checked_notes(broken, "m.uf")


@pytest.mark.parametrize(
    "given", [{}, {"kind": None}, {"kind": ["images"]}, {"kind": "sounds"}, {"classes": [1]}]
)
def test_models_of_other_origin_have_none(given: dict[str, Any]) -> None:
    assert checked_notes(given, "m.uf") == {}
