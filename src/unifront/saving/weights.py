"""Weights alone, as a safetensors file that other tools read too."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from unifront.errors import FileFormatError
from unifront.files import write_beside
from unifront.saving import tensors
from unifront.saving.read import BROKEN, existing, reason

if TYPE_CHECKING:
    from unifront.model import Model


def save_weights(model: Model, path: str | Path) -> None:
    """Write the weights of ``model`` by their paths, in Keras's layout, as safetensors.

    Raises `ArgumentError` if there is no such folder, `NotBuiltError` before the inputs are known.
    """
    model.trace()
    paths = model.variable_paths()
    content = tensors.dump({paths[id(variable)]: variable.numpy() for variable in model.weights})
    write_beside(Path(path), lambda file: file.write(content))


def load_weights(model: Model, path: str | Path) -> None:
    """Give ``model`` the weights in the file at ``path``; either all of them are taken, or none.

    Raises `FileFormatError` naming the weight that is missing, unexpected or of another shape or dtype.
    """
    path = existing(path)
    model.trace()
    paths = model.variable_paths()
    wanted = {paths[id(variable)]: variable for variable in model.weights}
    try:
        found = tensors.parse(path.read_bytes())
    except BROKEN as error:
        raise FileFormatError(f"{path} cannot be read as safetensors: {reason(error)}.") from error
    missing, extra = sorted(set(wanted) - set(found)), sorted(set(found) - set(wanted))
    if missing or extra:
        lists = (("lacks", missing), ("holds", [name[:200] for name in extra]))
        parts = " and ".join(f"{verb} {', '.join(names[:5])}" for verb, names in lists if names)
        raise FileFormatError(f"{path} does not fit the model {model.name!r}: it {parts}.")
    for name, variable in wanted.items():
        value = found[name]
        if value.shape != variable.shape or value.dtype != variable.dtype.numpy:
            raise FileFormatError(
                f"{path}: {name} is {value.dtype}{list(value.shape)}; the model has {variable.type}."
            )
    for name, variable in wanted.items():
        variable.assign(found[name])
