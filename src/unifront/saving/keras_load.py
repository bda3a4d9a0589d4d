"""Keras's files of whole models: ``.keras``, and the ``.h5`` of Keras 2. What they describe is made; no code is run."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from unifront.errors import FileFormatError
from unifront.files import BROKEN, reason
from unifront.layers.layer import Layer
from unifront.model import Model
from unifront.saving.archives import check_stored, opened
from unifront.saving.foreign import take_keras
from unifront.saving.keras_files import CONFIG, arrays, hdf5, is_legacy, optimizer_variables, weights_file
from unifront.saving.own_state import check_assets, is_asset, read_assets
from unifront.saving.stored import take
from unifront.saving.write import values_in
from unifront.serialization import CustomObjectScope, deserialize_keras_object

_CONFIG_LIMIT, _VALUES = 64 * 2**20, 1_000_000
"""The most bytes of a description, and the most values in it."""


def load_keras(path: Path, custom_objects: Mapping[str, Any] | None = None, compile: bool = True) -> Any:
    """The model in a ``.keras`` file, compiled as it was, with its optimizer's slots; or the layer.

    Raises `FileFormatError` for a file that is broken or whose description names what unifront does not have.
    """
    size = path.stat().st_size
    with opened(path) as archive:
        for info in archive.infolist():
            check_stored(info, size, "a .keras file")
        check_assets(filter(is_asset, archive.infolist()), size)
        if archive.getinfo(CONFIG).file_size > _CONFIG_LIMIT:
            raise FileFormatError(f"{CONFIG} has more than {_CONFIG_LIMIT} bytes")
        text = archive.read(CONFIG)
    config = config_of(text)
    if not compile:
        config.pop("compile_config", None)
    model = made(config, custom_objects)
    with weights_file(path, is_zip=True) as file:
        take_keras(path, model, file)
        if compile and isinstance(model, Model):
            _take_slots(path, model, file)
    with opened(path) as archive:
        read_assets(model, archive)
    return model


def load_legacy(path: Path, custom_objects: Mapping[str, Any] | None = None, compile: bool = True) -> Model:
    """The model in an ``.h5`` file of Keras 2 (``model.save``), not compiled, whatever ``compile`` says: how it was is
    told there in Keras 2's way. `Model.compile` is to be called for training.

    Raises `FileFormatError`, also for a file of weights alone.
    """
    with hdf5(path) as file:
        if "model_config" not in file.attrs or not is_legacy(file):
            raise FileFormatError(
                "it has the weights of a model alone: make the model, and model.load_weights takes them"
            )
        text = file.attrs["model_config"]
        model = made(config_of(text.encode() if isinstance(text, str) else bytes(text)), custom_objects)
        take_keras(path, model, file)
    return model


def config_of(text: bytes) -> dict[str, Any]:
    """The description of a model as plain data, which it is of a bounded size."""
    if len(text) > _CONFIG_LIMIT or values_in(text) > _VALUES:
        raise FileFormatError(f"its description has more than {_VALUES} values or {_CONFIG_LIMIT} bytes")
    config = json.loads(text)
    if not isinstance(config, dict):
        raise FileFormatError("its description is no model")
    return config


def made(config: dict[str, Any], custom_objects: Mapping[str, Any] | None) -> Any:
    """The model that a description tells of."""
    try:
        with CustomObjectScope(custom_objects):
            model = deserialize_keras_object(config)
            if isinstance(model, Model) and not model.has_free_inputs:
                model.trace()
    except BROKEN as error:
        raise FileFormatError(f"the model in it cannot be made: {reason(error)}") from error
    if not isinstance(model, Layer):
        raise FileFormatError(f"it describes a {type(model).__name__}, no model")
    if isinstance(model, Model) and model.has_free_inputs:
        raise FileFormatError("it does not say the shape of the model's input")
    return model


def _take_slots(path: Path, model: Model, file: Any) -> None:
    """Give the optimizer the slots in the file, if it has some."""
    found = {name: one for name, one in arrays(file).items() if name.startswith("optimizer/")}
    if found and model.compiled:
        wanted = {f"optimizer/vars/{i}": one for i, one in enumerate(optimizer_variables(model))}
        hint = " load_model(…, compile=False) leaves the optimizer's slots."
        take(
            path,
            model.name,
            wanted,
            {k: found[k] for k in wanted if k in found},
            set(found) - set(wanted),
            hint,
        )
