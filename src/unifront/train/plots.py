"""Pictures of training, by matplotlib (``pip install unifront[plots]``); and a report as one HTML file, by itself."""

from __future__ import annotations

import importlib
import io
import math
import textwrap
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from unifront.errors import ArgumentError, BackendMissing
from unifront.files import write_beside
from unifront.pages import Page, curve
from unifront.paths import path_of

if TYPE_CHECKING:
    from unifront.train.callbacks import History
    from unifront.train.habits import LearningRates


CHARACTER, NAME_WIDTH = 0.09, 24
"""About the inches of a character, and after how many of them the name of a class goes on in another line."""
ABREAST = 4
"""So many pictures stand side by side in a figure; more are in several rows."""


def _figure(count: int, size: tuple[float, float]) -> tuple[Any, Sequence[Any]]:
    """A figure of ``count`` pictures, each of the size in inches."""
    try:
        figures = importlib.import_module("matplotlib.figure")
    except ImportError as error:
        raise BackendMissing("Pictures need matplotlib: pip install unifront[plots]") from error
    rows = -(-count // ABREAST)
    columns = -(-count // rows)
    figure = figures.Figure(figsize=(size[0] * columns, size[1] * rows), layout="constrained")
    axes = figure.subplots(rows, columns, squeeze=False).ravel().tolist()
    for spare in axes[count:]:
        spare.remove()
    return figure, axes[:count]


def _saved(figure: Any, path: Any) -> Any:
    if path is not None:
        place, made = path_of(path), io.BytesIO()
        figure.savefig(made, format=place.suffix[1:] or "png", dpi=150)
        write_beside(place, lambda file: file.write(made.getvalue()))
    return figure


Line = tuple[list[int], list[float]]
"""Epochs, counted from 1, and the numbers there."""


def curves(history: History) -> dict[str, dict[str, Line]]:
    """The numbers of ``history`` by what they measure: those of training and of validation together."""
    found: dict[str, dict[str, Line]] = {}
    for name, values in history.history.items():
        numbers = [float(value) for value in values if np.ndim(value) == 0]
        if len(numbers) == len(values):
            part = "validation" if name.startswith("val_") else "training"
            found.setdefault(name.removeprefix("val_"), {})[part] = history.epochs_of(name), numbers
    return found


def plot_history(history: History, path: Any = None) -> Any:
    """See `History.plot`."""
    shown = curves(history)
    if not shown:
        raise ArgumentError("There is nothing to plot: the history has no epoch.")
    figure, axes = _figure(len(shown), (4.0, 3.0))
    for axis, (name, lines) in zip(axes, shown.items(), strict=True):
        for part, (epochs, values) in lines.items():
            axis.plot(epochs, values, label=part, marker="." if len(values) < 30 else None)
        axis.set(title=name, xlabel="epoch")
        axis.legend()
    return _saved(figure, path)


def plot_rates(found: LearningRates, path: Any = None) -> Any:
    """See `LearningRates.plot`."""
    figure, (axis,) = _figure(1, (5.0, 3.5))
    axis.plot(found.rates, found.losses)
    axis.axvline(found.suggestion, linestyle="--", label=f"suggested {found.suggestion:.2g}")
    axis.set(xscale="log", xlabel="learning rate", ylabel="loss")
    axis.legend()
    return _saved(figure, path)


def plot_confusion_matrix(
    y_true: Any, y_pred: Any, class_names: Sequence[str] | None = None, path: Any = None
) -> Any:
    """How often each class (the row) was taken for each other (the column), as a figure of matplotlib.

    Args:
        y_true: labels, ``[examples]``, or one-hot ``[examples, classes]``.
        y_pred: labels likewise, or scores ``[examples, classes]``, of which the largest counts.
        class_names: what the classes are called; else their numbers.
        path: where to save it too; the suffix says how (``.png``, ``.svg``, ``.pdf``).

    Raises `ArgumentError` for labels that do not fit each other or the names, `BackendMissing` without matplotlib.

    Example::

        uf.utils.plot_confusion_matrix(y_test, model.predict(x_test), path="confusion.png")
    """
    table = confusion(y_true, y_pred, None if class_names is None else len(class_names))
    names = list(class_names) if class_names is not None else [str(i) for i in range(len(table))]
    names = [textwrap.fill(name, NAME_WIDTH) for name in names]
    cell = max(0.45, CHARACTER * (len(str(table.max(initial=0))) + 1))
    side = max(2.2, cell * len(table))
    beside = 0.6 + CHARACTER * max(len(line) for name in names for line in name.split("\n") or [""])
    figure, (axis,) = _figure(1, (side + beside, side + beside * 0.75))
    shares = table / np.maximum(table.sum(axis=1, keepdims=True), 1)
    axis.imshow(shares, cmap="Blues", vmin=0, vmax=1)
    for i, j in np.ndindex(*table.shape) if len(table) <= 30 else ():
        color = "white" if shares[i, j] > 0.5 else "black"
        axis.text(j, i, str(table[i, j]), ha="center", va="center", color=color)
    axis.set(xlabel="predicted", ylabel="true", xticks=range(len(names)), yticks=range(len(names)))
    axis.set_xticklabels(names, rotation=45, ha="right")
    axis.set_yticklabels(names)
    return _saved(figure, path)


def confusion(y_true: Any, y_pred: Any, classes: int | None = None) -> np.ndarray:
    """The counts ``[true, predicted]``."""
    true, predicted = (_labels(one, what) for one, what in ((y_true, "y_true"), (y_pred, "y_pred")))
    if len(true) != len(predicted):
        raise ArgumentError(f"There are {len(true)} labels for {len(predicted)} predictions.")
    least = max(int(one.max(initial=-1)) + 1 for one in (true, predicted))
    count = least if classes is None else classes
    if min(true.min(initial=0), predicted.min(initial=0)) < 0 or least > count:
        raise ArgumentError(f"The labels run from 0 to {count - 1}; there are others among them.")
    return np.bincount(true * count + predicted, minlength=count * count).reshape(count, count)


def _labels(given: Any, what: str) -> np.ndarray:
    array = np.asarray(given)
    if array.ndim == 2 and array.shape[1] == 1:
        array = array[:, 0]
    if array.ndim == 2:
        return array.argmax(axis=1)
    if array.ndim != 1 or array.dtype.kind not in "iub":
        raise ArgumentError(
            f"{what} is labels [examples] of ints, or scores [examples, classes], not {array.dtype}{list(array.shape)}."
        )
    return array.astype(np.int64)


# ---------------------------------------------------------------- the report


def report(history: History, path: Any) -> None:
    """See `History.report`."""
    model, shown = history.model, curves(history)
    page = Page(model.name)
    page.facts(_facts(history))
    page.heading("Epochs")
    page.figures(_picture(name, lines) for name, lines in shown.items())
    scalars = {
        name: values
        for name, values in history.history.items()
        if values and all(np.ndim(v) == 0 for v in values)
    }
    rows = [[name, *(f"{one:.6g}" for one in (v[-1], min(v), max(v)))] for name, v in scalars.items()]
    page.table(["", "last", "least", "most"], rows)
    page.heading("Model")
    page.text(_summary(model))
    page.write(path)


def _facts(history: History) -> dict[str, Any]:
    model, params = history.model, history.params
    optimizer = model.optimizer
    return {
        "parameters": f"{sum(int(weight.type.size) for weight in model.weights):,}",
        "optimizer": repr(optimizer),
        "backend": params.get("backend", ""),
        "epochs": len(history.epoch),
        "updates": int(optimizer.iterations),
    }


def _summary(model: Any) -> str:
    lines: list[str] = []
    model.summary(print_fn=lambda text, **_: lines.append(text))
    return "\n".join(lines)


def _picture(name: str, lines: Mapping[str, Line]) -> str:
    finite = {
        part: [(epoch, value) for epoch, value in zip(*line, strict=True) if math.isfinite(value)]
        for part, line in lines.items()
    }
    return curve(name, finite, "epoch")
