"""The files of a backend's rows and the families that it names are the same: a row that nobody reads is an error."""

from __future__ import annotations

from pathlib import Path

import pytest

from unifront.backends import family_modules
from unifront.errors import ArgumentError


@pytest.mark.parametrize(
    ("families", "match"),
    [
        (("shape", "elementwize"), r"own_rows has the family 'elementwize', and no file elementwize\.py"),
        (("shape",), r"own_rows has the file elementwise\.py, and no family 'elementwise'"),
    ],
)
def test_a_wrong_file_name_is_an_error(
    families: tuple[str, ...], match: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "own_rows"
    folder.mkdir()
    for name in ("__init__", "_helpers", "elementwise", "shape"):
        (folder / f"{name}.py").write_text(f"TABLE = {{'{name}': None}}")
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(ArgumentError, match=match):
        family_modules("own_rows", [str(folder)], families)
    found = family_modules("own_rows", [str(folder)], ("shape", "elementwise"))
    assert [list(module.TABLE) for module in found] == [["shape"], ["elementwise"]]
