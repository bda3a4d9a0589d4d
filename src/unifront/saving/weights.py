"""Weights alone, as a safetensors file that other tools read too."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from unifront import safetensors
from unifront.errors import ArgumentError, FileFormatError
from unifront.files import BROKEN, existing, reason, writing
from unifront.layers.kept import refuse
from unifront.paths import is_keras_weights, path_of, weights_destination
from unifront.saving.foreign import load_foreign
from unifront.saving.keras_write import save_keras_weights
from unifront.saving.orbax import is_orbax, load_orbax_weights
from unifront.saving.read import elsewhere
from unifront.saving.stored import fitting
from unifront.weights import together

if TYPE_CHECKING:
    from unifront.model import Model
    from unifront.weights import Variable


def save_weights(model: Model, filepath: str | Path) -> None:
    """Write the weights of ``model`` by their paths, in Keras's layout, as safetensors (``.safetensors``).

    A name that ends in ``.weights.h5`` has Keras's own format, which Keras's ``load_weights`` reads.

    Raises `ArgumentError` if there is no such folder or the name promises another format, `FileWriteError` for what
    the operating system refuses, `NotBuiltError` before the inputs are known.
    """
    path = weights_destination(filepath)
    if is_keras_weights(path):
        save_keras_weights(model, path)
        return
    refuse(model, f"a {path.suffix} file")
    model.trace()
    paths = model.variable_paths()
    contents = safetensors.Contents({paths[id(variable)]: variable for variable in model.weights})
    with together(model.weights), writing(path) as file:
        contents.write(file)


def load_weights(model: Model, filepath: str | Path, *, skip_mismatch: bool = False) -> None:
    """Give ``model`` the weights in the file at ``filepath``; either all of them are taken, or none.

    Args:
        model: whose they are.
        filepath: a file of `save_weights` or of `save`, or one of Keras: ``.weights.h5`` and ``.keras``, where layers
            are found by their places in the model, or the ``.h5`` of Keras 2, where they are found by name; or a
            folder of `OrbaxCheckpoint`. What it is is seen from its content.
        skip_mismatch: pass over layers whose weights are not there, or have other shapes, and take the rest.

    Raises `FileFormatError` naming the weight that is missing, unexpected or of another shape or dtype.
    """
    folder = path_of(filepath)
    if is_orbax(folder):
        if skip_mismatch:
            raise ArgumentError(f"skip_mismatch is for files; {folder} is a folder of checkpoints.")
        load_orbax_weights(model, folder)
        return
    path = existing(filepath)
    if load_foreign(model, path, skip_mismatch=skip_mismatch):
        return
    model.trace()
    paths = model.variable_paths()
    wanted = {paths[id(variable)]: variable for variable in model.weights}
    try:
        with path.open("rb") as file:
            found = safetensors.places(file, path.stat().st_size)
            if skip_mismatch:
                wanted = fitting(wanted, lambda name: name in found and found[name].fits(wanted[name].type))
                found = {name: place for name, place in found.items() if name in wanted}
            misfit = _misfit(model, found, wanted)
            values = {} if misfit else safetensors.arrays(file, found)
    except BROKEN as error:
        hint = elsewhere(path, ".safetensors")
        raise FileFormatError(f"{path} cannot be read as safetensors: {reason(error)}.{hint}") from error
    if misfit:
        raise FileFormatError(f"{path}{misfit}.")
    with together(wanted.values()):
        for name, value in values.items():
            wanted[name].assign(value, copy=False)


def _misfit(model: Model, found: Mapping[str, safetensors.Place], wanted: Mapping[str, Variable]) -> str:
    """What is wrong with the weights that were found; nothing if they are those of ``model``."""
    missing, extra = sorted(set(wanted) - set(found)), sorted(set(found) - set(wanted))
    if missing or extra:
        lists = (("lacks", missing), ("holds", [name[:200] for name in extra]))
        parts = " and ".join(f"{verb} {', '.join(names[:5])}" for verb, names in lists if names)
        return f" does not fit the model {model.name!r}: it {parts}"
    for name, variable in wanted.items():
        if not found[name].fits(variable.type):
            return f": {name} is {found[name]}; the model has {variable.type}"
    return ""
