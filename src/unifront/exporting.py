"""Models in formats of others: the doors that `Model.export` opens, one for each format."""

from __future__ import annotations

import os
import secrets
import shutil
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from unifront.errors import ArgumentError, FileWriteError, UnifrontError, UnknownName
from unifront.paths import FORMATS as PROMISES
from unifront.paths import path_of

if TYPE_CHECKING:
    from unifront.model import Model


def export(model: Model, path: Any, format: str | None, options: Mapping[str, Any]) -> None:
    """See `Model.export`."""
    place = path_of(path)
    usual = "onnx" if place.suffix.lower() == ".onnx" else "tf_saved_model"
    chosen = usual if format is None else format
    if chosen not in FORMATS:
        raise UnknownName("export format", chosen, FORMATS)
    FORMATS[chosen](model, place, options)


def _onnx(model: Model, path: Path, options: Mapping[str, Any]) -> None:
    from unifront.onnx import export

    if options.get("training") is not None:
        from unifront.train.exported import export_step

        export_step(model, path, **options)
        return
    export(model.trace(False), path, **{name: one for name, one in options.items() if name != "training"})


def _saved_model(model: Model, folder: Path, options: Mapping[str, Any]) -> None:
    for option in options:
        raise ArgumentError(f"export: a SavedModel has no option {option!r}.")
    with new_folder(folder, "saved_model.pb", "SavedModel") as beside:
        model.lower("tensorflow").save(str(beside))  # says what to install


def _web(model: Model, folder: Path, options: Mapping[str, Any]) -> None:
    from unifront.browser import write_page

    given, steps = {name: one for name, one in options.items() if name != "training"}, None
    if options.get("training") is not None:
        from unifront.train.exported import step_and_inference

        steps = step_and_inference(model, options["training"])
    with new_folder(folder, "model.onnx", "page") as beside:
        write_page(model, beside, given, steps)


FORMATS: Mapping[str, Callable[[Model, Path, Mapping[str, Any]], None]] = {
    "onnx": _onnx,
    "tf_saved_model": _saved_model,
    "web": _web,
}
"""What writes a model in each format."""


@contextmanager
def new_folder(folder: Path, mark: str, what: str) -> Iterator[Path]:
    """A folder to fill in the block, which is at ``folder`` after it, whole; a block that raises leaves what was there.

    Args:
        mark: a file by which one that was written before is known. It is replaced; another that is not empty is not.
        what: is written, as an error calls it.

    Raises `ArgumentError` for a path at which there can be no such folder, `FileWriteError` for what the operating
    system refuses.
    """
    if folder.suffix.lower() in PROMISES:
        raise ArgumentError(
            f"A {what} is a folder, and {folder.name!r} promises {PROMISES[folder.suffix.lower()][0]}."
        )
    place = Path(os.path.realpath(folder))
    if place.exists() and not place.is_dir():
        raise ArgumentError(f"A {what} is a folder, and {folder} is a file.")
    beside = place.with_name(f".unifront-{secrets.token_hex(8)}")
    try:
        if place.is_dir() and any(place.iterdir()) and not (place / mark).is_file():
            raise ArgumentError(f"The folder {folder} is not empty; a {what} is written to a new one.")
        beside.mkdir(parents=True)
        yield beside
        if place.is_dir():
            old = beside.with_name(f"{beside.name}-old")
            place.rename(old)
            beside.rename(place)
            shutil.rmtree(old)
        else:
            beside.rename(place)
    except UnifrontError:
        raise
    except OSError as error:
        raise FileWriteError(f"Cannot write {folder}: {error.strerror or error}.") from error
    finally:
        shutil.rmtree(beside, ignore_errors=True)
