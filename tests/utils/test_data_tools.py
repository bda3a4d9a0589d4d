"""Windows of series, splits, progress bars, fetched files: as Keras's."""

from __future__ import annotations

import hashlib
import io
import tarfile
import zipfile
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest

import unifront as uf
from unifront import errors

# ---------------------------------------------------------------- windows

SERIES = np.arange(40.0).reshape(20, 2)
WINDOWS: dict[str, tuple[Any, dict[str, Any]]] = {
    "plain": (None, {"sequence_length": 3}),
    "targets": (SERIES[5:], {"sequence_length": 5, "batch_size": 4}),
    "strides": (None, {"sequence_length": 3, "sequence_stride": 2, "sampling_rate": 3, "batch_size": 2}),
    "part": (SERIES * 2, {"sequence_length": 2, "start_index": 3, "end_index": 15, "batch_size": 5}),
    "single": (None, {"sequence_length": 4, "batch_size": None}),
}


@pytest.mark.parametrize("case", WINDOWS)
def test_windows_are_keras(case: str) -> None:
    targets, options = WINDOWS[case]
    ours = list(uf.utils.timeseries_dataset_from_array(SERIES, targets, **options))
    theirs = list(keras.utils.timeseries_dataset_from_array(SERIES, targets, **options))
    assert len(ours) == len(theirs)
    for one, two in zip(ours, theirs, strict=True):
        for a, b in zip(*[part if targets is not None else (part,) for part in (one, two)], strict=True):
            np.testing.assert_array_equal(a, b)


def test_windows_longer_than_the_series_are_none() -> None:
    assert list(uf.utils.timeseries_dataset_from_array(SERIES, None, 50)) == []


@pytest.mark.parametrize(
    "options",
    [{"start_index": -1}, {"start_index": 20}, {"end_index": 20}, {"end_index": -1}, {"sampling_rate": 0},
     {"sequence_stride": 20}, {"sequence_length": 0}, {"start_index": 5, "end_index": 5}, {"format": "x"}],
)  # fmt: skip
def test_windows_outside_the_series(options: dict[str, Any]) -> None:
    name = list(options)[-1]
    with pytest.raises(errors.ArgumentError, match=f"`{name}`"):
        uf.utils.timeseries_dataset_from_array(SERIES, None, **{"sequence_length": 3, **options})


# ---------------------------------------------------------------- splits


@pytest.mark.parametrize(("left", "right"), [(0.8, None), (None, 3), (6, 0.25), (0.29, 0.7), (1, None)])
def test_splits_are_keras(left: Any, right: Any) -> None:
    arrays = (np.arange(20.0).reshape(10, 2), np.arange(10))
    ours = uf.utils.split_dataset(arrays, left, right)
    theirs = keras.utils.split_dataset(arrays, left, right)
    for one, two in zip(ours, theirs, strict=True):
        assert len(one) == len(two)
        for a, b in zip(one, two, strict=True):
            np.testing.assert_array_equal(a[0], b[0])
            assert a[1] == int(b[1])


def test_splits_shuffled_by_a_seed() -> None:
    one, two = [uf.utils.split_dataset(np.arange(10), 0.5, shuffle=True, seed=4) for _ in range(2)]
    assert list(one[0]) == list(two[0])
    assert sorted([*one[0], *one[1]]) == list(range(10))
    assert list(one[0]) != list(range(5))


@pytest.mark.parametrize("library", ["tensorflow", "torch"])
def test_splits_for_other_libraries(library: str) -> None:
    pytest.importorskip(library)
    rows = uf.utils.split_dataset([np.arange(10.0), np.arange(10)], 6, preferred_backend=library)
    assert [len(one) for one in rows] == [6, 4]
    assert [float(x) for x, _ in rows[1]] == [6, 7, 8, 9]


SPLITS: dict[str, tuple[Any, dict[str, Any], type[Exception], str]] = {
    "no size": ([np.ones(4)], {}, errors.ArgumentError, "At least one of the `left_size` or `right_size`"),
    "all": ([np.ones(4)], {"left_size": 4}, errors.ArgumentError, "positive integer smaller than 4"),
    "share": ([np.ones(4)], {"right_size": 1.5}, errors.ArgumentError, "float within the range"),
    "too much": ([np.ones(4)], {"left_size": 0.7, "right_size": 0.7}, errors.ArgumentError, "greater than 1"),
    "overlap": ([np.ones(4)], {"left_size": 3, "right_size": 3}, errors.ArgumentError, "smaller than the 4"),
    "empty": ([np.ones(4)], {"left_size": 0.01}, errors.ArgumentError, "left side will be empty"),
    "words": ([np.ones(4)], {"left_size": "1"}, errors.DTypeError, "Invalid `left_size` Type"),
    "lengths": ([np.ones(4), np.ones(3)], {"left_size": 1}, errors.ArgumentError, "different lengths"),
    "nothing": ([], {"left_size": 1}, errors.ArgumentError, "Received an empty list dataset"),
    "lists": ([[1, 2]], {"left_size": 1}, errors.ArgumentError, "Received: <class 'list'> at index 0"),
    "no dataset": (5, {"left_size": 1}, errors.DTypeError, "The `dataset` argument must be"),
}


@pytest.mark.parametrize("case", SPLITS)
def test_wrong_splits(case: str) -> None:
    dataset, options, error, match = SPLITS[case]
    with pytest.raises(error, match=match):
        uf.utils.split_dataset(dataset, **options)


# ---------------------------------------------------------------- the bar


@pytest.mark.parametrize(
    ("options", "shown"),
    [
        ({}, "value: 1.0000"),
        ({"stateful_metrics": ["value"]}, "value: 2.0000"),
        ({"stateless_metrics": []}, "value: 2.0000"),
    ],
)
def test_bars_average_or_show(
    options: dict[str, Any], shown: str, capsys: pytest.CaptureFixture[str]
) -> None:
    bar = uf.utils.Progbar(3, interval=0, **options)
    bar.update(1, [("value", 0.0)])
    bar.add(1, [("value", np.array(2.0))])
    assert shown in capsys.readouterr().out.split("\r")[-1]
    bar.update(3, [("value", [5.0])])
    last = capsys.readouterr().out
    assert "3/3" in last
    assert "value: 5.0000" in last
    assert last.endswith("\n")


def test_bars_of_unknown_length_and_silence(capsys: pytest.CaptureFixture[str]) -> None:
    uf.utils.Progbar(None, interval=0).update(7)
    assert "7/Unknown" in capsys.readouterr().out
    uf.utils.Progbar(0, verbose=2).update(0)
    assert capsys.readouterr().out.startswith("0/0")
    uf.utils.Progbar(1, verbose=0).update(1)
    assert capsys.readouterr().out == ""
    with pytest.raises(errors.ArgumentError, match="Only one of `stateful_metrics`"):
        uf.utils.Progbar(1, stateful_metrics=[], stateless_metrics=[])


# ---------------------------------------------------------------- files


def test_a_file_is_fetched_once(tmp_path: Path) -> None:
    source = tmp_path / "a.txt"
    source.write_text("one")
    sums = [hashlib.sha256(b"one").hexdigest(), hashlib.md5(b"one").hexdigest()]
    options: dict[str, Any] = {"origin": source.as_uri(), "cache_dir": tmp_path / "cache"}
    for total in sums:
        path = uf.utils.get_file(file_hash=total, **options)
        assert path == str(tmp_path / "cache" / "datasets" / "a.txt")
    source.write_text("two")
    assert Path(uf.utils.get_file(**options)).read_text() == "one"
    with pytest.raises(errors.DataError, match="Incomplete or corrupted file.*sha256|auto"):
        uf.utils.get_file(file_hash="0" * 64, **options)
    assert Path(path).read_text() == "one"  # what was there is there still
    assert Path(uf.utils.get_file(force_download=True, **options)).read_text() == "two"
    assert [one.name for one in Path(path).parent.iterdir()] == ["a.txt"]


def test_the_cache_folder_is_keras(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KERAS_HOME", str(tmp_path))
    (tmp_path / "datasets").mkdir()
    (tmp_path / "datasets" / "there.bin").write_bytes(b"1")
    assert uf.utils.get_file("there.bin", "http://nowhere.invalid/x") == str(
        tmp_path / "datasets" / "there.bin"
    )


@pytest.mark.parametrize("form", ["tar", "zip"])
@pytest.mark.parametrize("name", [None, "named", "named.bin"])
def test_archives_are_unpacked(form: str, name: str | None, tmp_path: Path) -> None:
    archive = tmp_path / f"data.{form}"
    if form == "tar":
        with tarfile.open(archive, "w") as tar:
            entry = tarfile.TarInfo("in/a.txt")
            entry.size = 3
            tar.addfile(entry, io.BytesIO(b"one"))
    else:
        with zipfile.ZipFile(archive, "w") as packed:
            packed.writestr("in/a.txt", "one")
    path = Path(uf.utils.get_file(name, archive.as_uri(), extract=True, cache_dir=tmp_path / "cache"))
    theirs = keras.utils.get_file(name, archive.as_uri(), extract=True, cache_dir=str(tmp_path / "cache"))
    assert str(path) == theirs
    assert (path / "in" / "a.txt").read_text() == "one"


def test_an_archive_stays_in_its_folder(tmp_path: Path) -> None:
    archive = tmp_path / "bad.tar"
    with tarfile.open(archive, "w") as tar:
        tar.addfile(tarfile.TarInfo("../out.txt"), io.BytesIO())
    with pytest.raises(errors.DataError, match="cannot be unpacked.*outside"):
        uf.utils.get_file(origin=archive.as_uri(), extract=True, cache_dir=tmp_path / "cache")
    assert not list(tmp_path.rglob("out.txt"))


WRONG_FILES: dict[str, tuple[dict[str, Any], type[Exception], str]] = {
    "no origin": ({}, errors.ArgumentError, 'specify the "origin" argument'),
    "no name": ({"origin": "http://x.invalid/"}, errors.ArgumentError, "Can't parse the file name"),
    "a path": (
        {"origin": "http://x.invalid/a", "fname": "../a"},
        errors.ArgumentError,
        "Paths are no longer",
    ),
    "nothing": (
        {"origin": "file:///nowhere/a.txt"},
        errors.DataError,
        "URL fetch failure on file.*put the file at",
    ),
}


@pytest.mark.parametrize("case", WRONG_FILES)
def test_files_that_cannot_be(case: str, tmp_path: Path) -> None:
    options, error, match = WRONG_FILES[case]
    with pytest.raises(error, match=match):
        uf.utils.get_file(cache_dir=tmp_path, **options)


# ---------------------------------------------------------------- keras.preprocessing


def test_the_names_of_preprocessing() -> None:
    for place in ("", ".image", ".sequence"):
        theirs, ours = keras.preprocessing, uf.preprocessing
        if place:
            theirs, ours = getattr(theirs, place[1:]), getattr(ours, place[1:])
        names = {name for name in dir(theirs) if not name.startswith("_")}
        assert not {name for name in names if not hasattr(ours, name)}


@pytest.mark.parametrize("size", [(4, 4), (3, 8), (8, 2)])
def test_smart_resize_is_keras(size: tuple[int, int]) -> None:
    x = np.random.default_rng(0).uniform(size=(2, 6, 9, 3)).astype("float32")
    ours = uf.preprocessing.image.smart_resize(x, size)
    theirs = np.asarray(keras.preprocessing.image.smart_resize(x, size))
    np.testing.assert_allclose(ours, theirs, atol=1e-6)
    with pytest.raises(errors.ShapeError, match="incorrect rank"):
        uf.preprocessing.image.smart_resize(x[0, 0], size)
