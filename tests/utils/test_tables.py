"""Folders of CSV and Parquet files as datasets: the rows that pandas reads, some at a time."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

import unifront as uf
from unifront import errors, layers
from unifront.utils import tables

pandas = pytest.importorskip("pandas")
pytest.importorskip("pyarrow")


@pytest.fixture
def frame() -> Any:
    rng = np.random.default_rng(0)
    frame = pandas.DataFrame(rng.normal(size=(50, 3)), columns=["a", "b", "price"])
    frame["count"] = np.arange(50)
    return frame


def write(frame: Any, folder: Path, form: str) -> Path:
    for i, part in enumerate((frame[:20], frame[20:])):
        target = folder / f"{i}.{form}"
        part.to_csv(target, index=False) if form == "csv" else part.to_parquet(target)
    return folder


@pytest.mark.parametrize("form", ["csv", "parquet"])
def test_rows_are_those_of_pandas(
    form: str, frame: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tables, "PIECE", 7)  # pieces, files and batches end at other rows
    data = uf.utils.table_dataset_from_directory(
        write(frame, tmp_path, form), label="price", shuffle=False, batch_size=16
    )
    batches = list(data)
    assert [len(y) for _, y in batches] == [16, 16, 16, 2]
    np.testing.assert_allclose(
        np.concatenate([x for x, _ in batches]), frame[["a", "b", "count"]], rtol=1e-15
    )
    np.testing.assert_allclose(np.concatenate([y for _, y in batches]), frame["price"], rtol=1e-15)
    if form == "parquet":
        assert len(data) == 4
    named = uf.utils.table_dataset_from_directory(
        tmp_path / f"0.{form}", label=["price"], columns=["count"], stacked=False, shuffle=False
    )
    ((x, y),) = list(named)
    np.testing.assert_array_equal(x["count"], np.arange(20))
    assert list(x) == ["count"]
    assert list(y) == ["price"]


def test_every_row_comes_once_in_another_order(frame: Any, tmp_path: Path) -> None:
    write(frame, tmp_path, "parquet")
    data = uf.utils.table_dataset_from_directory(tmp_path, columns=["count"], seed=1)
    passes = [np.concatenate(list(data))[:, 0].tolist() for _ in range(2)]
    assert [sorted(one) for one in passes] == [list(range(50))] * 2
    assert passes[0] != passes[1]


def test_a_model_trains_on_it(frame: Any, tmp_path: Path) -> None:
    frame["price"] = 2 * frame["a"] - frame["b"]
    data = uf.utils.table_dataset_from_directory(
        write(frame, tmp_path, "csv"), "price", ["a", "b"], batch_size=8
    )
    model = uf.Sequential([uf.Input((2,)), layers.Dense(1)])
    model.compile(uf.optimizers.Adam(0.1), "mse")
    history = model.fit(data, epochs=40, verbose=0, validation_data=data).history
    assert history["val_loss"][-1] < 1e-3
    assert model.predict(uf.utils.table_dataset_from_directory(tmp_path, columns=["a", "b"])).shape == (50, 1)


def test_gaps_are_nan_and_words_are_refused(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("n,word\n1,x\n,y\n")
    data = uf.utils.table_dataset_from_directory(tmp_path, columns=["n"], shuffle=False)
    np.testing.assert_array_equal(next(iter(data)), [[1], [np.nan]])
    with pytest.raises(errors.DataError, match=r"column 'word' of the table is .*encode it first"):
        next(iter(uf.utils.table_dataset_from_directory(tmp_path)))
    x = next(iter(uf.utils.table_dataset_from_directory(tmp_path, stacked=False, shuffle=False)))
    assert x["word"].tolist() == ["x", "y"]


def test_what_is_wrong_is_named(frame: Any, tmp_path: Path) -> None:
    with pytest.raises(errors.DataError, match="No tables found in directory"):
        uf.utils.table_dataset_from_directory(tmp_path)
    write(frame, tmp_path, "csv")
    with pytest.raises(errors.DataError, match="The table has no column 'cost'; it has a, b, price, count"):
        uf.utils.table_dataset_from_directory(tmp_path, "cost")
    with pytest.raises(errors.ArgumentError, match="`batch_size` is a positive int"):
        uf.utils.table_dataset_from_directory(tmp_path, batch_size=0)
    (tmp_path / "2.csv").write_text("other\n1\n")
    with pytest.raises(errors.DataError, match=r"2\.csv has the columns other; .*0\.csv has a, b"):
        uf.utils.table_dataset_from_directory(tmp_path)
    (tmp_path / "2.csv").unlink()
    (tmp_path / "3.parquet").write_bytes(b"PAR1 broken")
    with pytest.raises(errors.DataError, match=r"3\.parquet cannot be read as a table"):
        uf.utils.table_dataset_from_directory(tmp_path)
