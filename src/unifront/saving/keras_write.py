"""Writing Keras 3's files: ``.weights.h5``, and ``.keras`` where Keras has every layer of the model."""

from __future__ import annotations

import io
import json
import zipfile
from collections.abc import Iterable, Iterator
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

import numpy as np

from unifront.errors import ArgumentError
from unifront.files import writing
from unifront.layers.kept import has_own
from unifront.model_config import is_functional
from unifront.paths import path_of
from unifront.saving import own_state
from unifront.saving.keras_files import CONFIG, WEIGHTS, h5py, has_keras_slots, optimizer_variables
from unifront.saving.keras_operations import in_keras_words
from unifront.saving.keras_tree import groups
from unifront.sequential import Sequential
from unifront.serialization import serialize_keras_object
from unifront.weights import Variable, together

if TYPE_CHECKING:
    from unifront.model import Model

KERAS_VERSION = "3.15.1"
"""Whose format it is."""


def save_keras_weights(model: Model, filepath: str | Path) -> None:
    """Write the weights of ``model`` as Keras's ``save_weights`` writes them (``.weights.h5``): with the slots of the
    optimizer that it is compiled with, if they are those of Keras's.

    Raises as `unifront.saving.save_weights`; `BackendMissing` without the package ``h5py``.
    """
    h5py()
    model.trace()
    slots = dict(enumerate(optimizer_variables(model))) if has_keras_slots(model) else {}
    with together([*model.weights, *slots.values()]), writing(path_of(filepath)) as file:
        _write(file, model, slots)


def save_keras(model: Model, filepath: str | Path) -> None:
    """Write ``model`` as Keras's ``save`` does: how it is made and compiled, its weights, its optimizer's slots. A
    layer that is no model may be written too.

    Classes and functions of the user's are told by their names: whoever reads the file, here or in Keras, gives them as
    ``custom_objects`` or has them registered. Raises `ArgumentError` for a model with a layer or an operation that is
    ours alone, naming it, and for one of the user's class without a `get_config`.
    """
    h5py()
    from unifront.model import Model

    is_model = hasattr(model, "trace")
    if is_model:
        model.trace()
    by_layers = not is_model or isinstance(model, Sequential) or is_functional(model)
    if not by_layers and type(model).get_config is Model.get_config:
        raise ArgumentError(
            f"{type(model).__name__} {model.name!r} is told by its graph or its code, not by layers and their "
            "connections: a .keras file needs its get_config(), with the arguments of its constructor. "
            "model.save('….uf') keeps any model."
        )
    told: dict[str, Any] = in_keras_words(serialize_keras_object(model))
    strange = next(_strange(told), None)
    if strange is not None:
        raise ArgumentError(
            f"The model {model.name!r} has {strange}, which a .keras file cannot tell. model.save('….uf') keeps any "
            "model."
        )
    slots = dict(enumerate(optimizer_variables(model))) if is_model else {}
    contents = io.BytesIO()
    with together([*model.weights, *slots.values()]):
        _write(contents, model, slots)
    about = {"keras_version": KERAS_VERSION, "date_saved": f"{datetime.now():%Y-%m-%d@%H:%M:%S}"}
    with writing(path_of(filepath)) as file, zipfile.ZipFile(file, "w") as archive:
        archive.writestr("metadata.json", json.dumps(about))
        archive.writestr(CONFIG, json.dumps(told))
        archive.writestr(WEIGHTS, contents.getvalue())
        own_state.write_assets(model, archive)


def _write(file: BinaryIO, model: Model, slots: dict[int, Variable]) -> None:
    with h5py().File(file, "w") as store:
        for group, layer, weights in groups(model):
            if has_own(layer, "save_own_variables"):
                _fill(store, group, layer.name, own_state.written(layer).items())
            else:
                _fill(store, group, layer.name, _numbered(weights))
        _fill(store, "optimizer", "", _numbered(slots.values()))


def _numbered(variables: Iterable[Variable]) -> Iterator[tuple[str, np.ndarray]]:
    return ((str(number), variable.numpy()) for number, variable in enumerate(variables))  # one at a time


def _fill(store: Any, group: str, name: str, values: Iterable[tuple[str, np.ndarray]]) -> None:
    place = None
    for key, value in values:
        if place is None:
            place = store.create_group(f"{group}/vars" if group else "vars")
            place.attrs.update({"name": name} if name else {})
        dataset = place.create_dataset(key, data=value)
        if value.dtype.name == "bfloat16":  # which HDF5 keeps as two bytes
            dataset.attrs["dtype"] = "bfloat16"


def _strange(told: Any) -> Iterator[str]:
    """What is told that is ours alone, so that nobody could give it to Keras as custom objects."""
    if isinstance(told, dict):
        module = told.get("module")
        if "class_name" in told and isinstance(module, str) and module.partition(".")[0] == "unifront":
            called = told["config"] if told["class_name"] == "function" else told["class_name"]
            yield f"{called} of {module}"
        for one in told.values():
            yield from _strange(one)
    elif isinstance(told, list | tuple):
        for one in told:
            yield from _strange(one)
