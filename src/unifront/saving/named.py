"""Saving and loading under Keras's names."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from unifront.arguments import Location, checked
from unifront.errors import ArgumentError
from unifront.saving.read import load
from unifront.saving.write import save
from unifront.serialization import CustomObjectScope

if TYPE_CHECKING:
    from unifront.graph_model import GraphModel
    from unifront.model import Model


@checked
def save_model(model: Any, filepath: Location, overwrite: bool = True, zipped: bool | None = None) -> None:
    """`Model.save`, under Keras's name. A ``.uf`` file is a zip, whatever ``zipped`` says.

    Raises `ArgumentError` with ``overwrite=False`` if the file is there.
    """
    given: Model = model
    if not overwrite and filepath.exists():  # type: ignore[union-attr]  # `checked` made it a path
        raise ArgumentError(f"{filepath} is there already; overwrite=True replaces it.")
    save(given, filepath)


@checked
def load_model(
    filepath: Location,
    custom_objects: Mapping[str, Any] | None = None,
    compile: bool = True,
    safe_mode: bool = True,
) -> GraphModel:
    """`uf.load`, under Keras's name.

    Args:
        filepath: a ``.uf`` file, which needs no classes.
        custom_objects: losses, metrics and the like by name, for the model's own compilation.
        compile: whether the model trains on as it was saved.
        safe_mode: Keras's; no code is run either way.
    """
    with CustomObjectScope(custom_objects):
        model = load(filepath)
    if not compile:
        model._training = None
    return model
