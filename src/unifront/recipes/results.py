"""What a training gave, put to use: evaluating and predicting."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

import unifront as uf
from unifront.errors import ArgumentError, DataError, FileFormatError
from unifront.files import BROKEN, existing, reason, write_beside
from unifront.recipes import building, images, running, series, tables, texts
from unifront.recipes.data import Read
from unifront.recipes.notes import checked_notes

_AGAIN = {"images": images.again, "table": tables.again, "series": series.again, "text": texts.again}
ARRAYS = (".npz", ".npy")
FORMATS = (".csv", ".json", ".npz")


@dataclass(frozen=True)
class Trained:
    """A model, and how its data are read.

    Args:
        place: its folder or file.
        model: the model.
        notes: what its training noted of the data; empty for a model of other origin.
    """

    place: Path
    model: Any
    notes: dict[str, Any]


@dataclass(frozen=True)
class Predictions:
    """What a model says of examples.

    Args:
        rows: what it says of each, in words: the same keys in all.
        outputs: what it gives, as numbers.
        text: of a model of characters, the text with what follows.
    """

    rows: list[dict[str, Any]]
    outputs: Any
    text: str | None = None


def opened(name: str) -> Trained:
    """The model in a folder of results, or in a file."""
    place = Path(name)
    if place.is_dir():
        if not (place / running.MODEL).is_file():
            begun = (
                f" Its training is not over: unifront train {place} --resume"
                if (place / running.RECIPE).is_file()
                else ""
            )
            raise FileFormatError(f"{place} is a folder without a {running.MODEL}.{begun}")
        place = place / running.MODEL
    model = uf.from_onnx(place) if place.suffix.lower() == ".onnx" else uf.load(place)
    return Trained(Path(name), model, checked_notes(model.metadata, str(place)))


def _arrays(path: str) -> dict[str, np.ndarray]:
    file = existing(path)
    try:
        found = np.load(file, allow_pickle=False)
        if isinstance(found, np.ndarray):
            return {"x": found}
        with found:
            return {name: found[name] for name in found.files}
    except BROKEN as error:
        raise FileFormatError(f"{path} cannot be read as arrays of NumPy: {reason(error)}.") from error


def _read(trained: Trained, data: Sequence[str], targets: bool) -> Read:
    """The data, as the model takes them."""
    if len(data) == 1 and Path(data[0]).suffix.lower() in ARRAYS:
        found = _arrays(data[0])
        for name, one in found.items():
            if not one.ndim:
                raise DataError(
                    f"The array {name!r} of {data[0]} is one number; its rows are to be examples."
                )
        y = found.pop("y", None)
        if targets and y is None:
            raise DataError(f"{data[0]} has no array 'y', the targets; it has {', '.join(found)}.")
        if not found:
            raise DataError(f"{data[0]} has no array of inputs.")
        x = found["x"] if list(found) == ["x"] else found
        return Read(
            x, y if targets else None, [f"row {i + 1}" for i in range(len(next(iter(found.values()))))]
        )
    if not trained.notes:
        raise ArgumentError(
            f"{trained.place} does not say how its data are read, as models trained by `unifront train` do: give "
            "arrays in a .npz file: x (or the names of the inputs), and y to evaluate."
        )
    return _AGAIN[trained.notes["kind"]](trained.notes, data, targets)


def evaluate(trained: Trained, data: Sequence[str], backend: str | None = None) -> dict[str, float]:
    """Loss and metrics on ``data``; on what its recipe held out if none are given."""
    if data:
        read = _read(trained, data, True)
        x, y = read.x, read.y
    else:
        if not (trained.place / running.RECIPE).is_file():
            raise ArgumentError("There are data to be named: unifront evaluate MODEL DATA.")
        found, recipe = running.load(str(trained.place), in_folder=True)
        held = building.prepared(found, recipe).validation
        if held is None:
            raise ArgumentError(f"The recipe of {trained.place} holds no data out: name some.")
        x, y = held if isinstance(held, tuple) else (held, None)
    numbers = trained.model.evaluate(x, y, return_dict=True, backend=backend, verbose=0)
    return {name: float(value) for name, value in numbers.items()}


def predict(
    trained: Trained, data: Sequence[str], backend: str | None = None, *, length: int = 200,
    temperature: float = 0.8, seed: int = 0,
) -> Predictions:  # fmt: skip
    """What the model says of ``data``: files and folders; of a model of characters, what a text begins with."""
    if not data and trained.notes.get("kind") != "text":
        raise ArgumentError("There are data to be named: unifront predict MODEL DATA.")
    read = _read(trained, data, False)
    if not read.names:
        raise DataError(f"There are no examples in {', '.join(data)}.")
    notes = trained.notes

    def outputs_of(x: Any) -> Any:
        return trained.model.predict(x, backend=backend, verbose=0)

    if notes.get("kind") == "text" and not _is_arrays(data):

        def scores(x: np.ndarray) -> np.ndarray:
            found = np.asarray(outputs_of(x))
            return found if notes["logits"] else np.log(np.maximum(found, 1e-30))

        written = texts.continued(notes, scores, read.x[0], length, temperature, seed)
        return Predictions([], None, written)
    outputs = outputs_of(read.x)
    if notes.get("task") == "classes" and isinstance(outputs, np.ndarray) and outputs.ndim == 2:
        return _classes(notes, read.names, outputs)
    return Predictions(_numbers(notes, read.names, outputs), outputs)


def _is_arrays(data: Sequence[str]) -> bool:
    return len(data) == 1 and Path(data[0]).suffix.lower() in ARRAYS


def _classes(notes: dict[str, Any], names: list[str], outputs: np.ndarray) -> Predictions:
    shares = outputs.astype(np.float64)
    if notes["logits"]:
        shares = np.exp(shares - shares.max(axis=-1, keepdims=True))
        shares /= shares.sum(axis=-1, keepdims=True)
    best = shares.argmax(axis=-1)
    rows = [
        {"example": name, "class": notes["classes"][i], "probability": float(share[i])}
        for name, i, share in zip(names, best, shares, strict=True)
    ]
    return Predictions(rows, shares)


def _numbers(notes: dict[str, Any], names: list[str], outputs: Any) -> list[dict[str, Any]]:
    found = outputs
    if isinstance(found, list | tuple):
        found = {f"output {i + 1}": one for i, one in enumerate(found)}
    columns: dict[str, np.ndarray] = {}
    if notes.get("kind") == "series":
        columns = {name: outputs[0, :, i] for i, name in enumerate(notes["targets"])}
    else:
        single = notes.get("target", "output")
        for name, values in (found if isinstance(found, dict) else {single: found}).items():
            flat = np.asarray(values).reshape(len(names), -1)
            parts = [name] if flat.shape[1] == 1 else [f"{name}[{i}]" for i in range(flat.shape[1])]
            columns |= {part: flat[:, i] for i, part in enumerate(parts)}
    return [
        {"example": one, **{name: values[i].item() for name, values in columns.items()}}
        for i, one in enumerate(names)
    ]


def write(predictions: Predictions, path: Path) -> None:
    """Write predictions as CSV, JSON or arrays, as the ending says."""
    ending = path.suffix.lower()
    if predictions.text is not None:
        content = predictions.text.encode("utf-8")
    elif ending == ".csv":
        table = io.StringIO()
        rows = csv.DictWriter(table, list(predictions.rows[0]), lineterminator="\n")
        rows.writeheader()
        rows.writerows(predictions.rows)
        content = table.getvalue().encode("utf-8")
    elif ending == ".json":
        content = (json.dumps(predictions.rows, indent=1) + "\n").encode("utf-8")
    elif ending == ".npz":
        arrays = (
            predictions.outputs if isinstance(predictions.outputs, dict) else {"outputs": predictions.outputs}
        )
        names = np.array([row["example"] for row in predictions.rows], str)
        buffer = io.BytesIO()
        np.savez(buffer, allow_pickle=False, **arrays, examples=names)
        content = buffer.getvalue()
    else:
        raise ArgumentError(f"{path} is of no format that predictions are written in: {', '.join(FORMATS)}.")
    write_beside(path, lambda file: file.write(content))
