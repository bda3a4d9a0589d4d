"""Saving and loading under Keras's names."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from unifront.arguments import Location, checked
from unifront.paths import free_to_write
from unifront.saving.read import load_any
from unifront.saving.write import save
from unifront.serialization import CustomObjectScope, trusting

if TYPE_CHECKING:
    from unifront.model import Model


@checked
def save_model(model: Any, filepath: Location, overwrite: bool = True, zipped: bool | None = None) -> None:
    """`Model.save`, under Keras's name. ``.uf`` and ``.keras`` files are zips, whatever ``zipped`` says.

    Raises `ArgumentError` with ``overwrite=False`` if the file is there.
    """
    given: Model = model
    free_to_write(filepath, overwrite)
    save(given, filepath)


@checked
def load_model(
    filepath: Location,
    custom_objects: Mapping[str, Any] | None = None,
    compile: bool = True,
    safe_mode: bool = True,
) -> Model:
    """`uf.load`, under Keras's name.

    Args:
        filepath: a ``.uf`` file, which needs no classes; a ``.keras`` file, or the ``.h5`` that Keras 2 saved, of
            layers that unifront has or that are given.
        custom_objects: layers, losses, metrics and the like by name.
        compile: whether the model trains on as it was saved.
        safe_mode: whether to refuse a file that names others to read, as a vocabulary may be; no code is run either
            way.
    """
    with CustomObjectScope(custom_objects), trusting(not safe_mode):
        model = load_any(filepath, custom_objects, compile)
    if not compile:
        model._training = None
    return model
