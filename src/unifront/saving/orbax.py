"""Reading the checkpoints that `unifront.callbacks.OrbaxCheckpoint` keeps in a folder."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from unifront.errors import FileFormatError
from unifront.files import BROKEN, reason
from unifront.model import Model
from unifront.saving.keras_load import config_of, made
from unifront.saving.stored import Stored, take
from unifront.train.callbacks.orbax import orbax
from unifront.weights import Variable

_VALUES, _CONFIG = "pytree", "model_config"
"""What a checkpoint holds: the values of variables by their paths, and the description of the model."""
_TRAINED, _FIXED, _SLOTS = _PARTS = ("trainable_variables", "non_trainable_variables", "optimizer_variables")


def is_orbax(path: Path) -> bool:
    """Whether there is a folder of Orbax at ``path``: one checkpoint, or numbered ones."""
    return os.path.isdir(path) and (_is_one(path) or any(_steps(path)))


def load_orbax(path: Path, custom_objects: Mapping[str, Any] | None = None, compile: bool = True) -> Model:
    """The model of the latest checkpoint in the folder, compiled as it was, with its optimizer's values.

    Raises `FileFormatError` where only weights were saved, and for what is broken.
    """
    step = _latest(path)
    found = _parts(step)
    if _CONFIG not in found:
        raise FileFormatError(
            f"{step} has no description of the model, as is so with save_weights_only=True: make the model, and "
            "model.load_weights takes the values"
        )
    try:
        told = orbax().load_checkpointables(step, {_CONFIG: None})[_CONFIG]
        text = told["config"]
    except BROKEN as error:
        raise FileFormatError(f"the description in {step} cannot be read: {reason(error)}") from error
    if not isinstance(text, str):
        raise FileFormatError(f"the description in {step} is no text")
    config = config_of(text.encode())
    if not compile:
        config.pop("compile_config", None)
    model = made(config, custom_objects)
    _take(model, step, slots=compile and model.compiled)
    return model


def load_orbax_weights(model: Model, path: Path) -> None:
    """Give ``model`` the weights of the latest checkpoint in the folder, or of the checkpoint that it is."""
    model.trace()
    _take(model, path if _is_one(path) else _latest(path), slots=False)


def _take(model: Model, step: Path, *, slots: bool) -> None:
    """Give the model, and with ``slots`` its optimizer, the values of a checkpoint; all of them or none."""
    try:
        tree = orbax().load_checkpointables(step, {_VALUES: None})[_VALUES]
        found = {name: one for part in _PARTS if part in tree for name, one in _stored(tree[part], part)}
    except BROKEN as error:
        raise FileFormatError(f"the values in {step} cannot be read: {reason(error)}") from error
    wanted = {f"{_TRAINED}/{one.path}": one for one in model.trainable_weights}
    wanted |= {f"{_FIXED}/{one.path}": one for one in model.non_trainable_weights}
    if slots:
        wanted |= {f"{_SLOTS}/{one.path}": one for one in _slots(model)}
    given = {name: found[name] for name in wanted if name in found}
    beside = set() if slots else {name for name in found if name.startswith(f"{_SLOTS}/")}
    take(step, model.name, wanted, given, set(found) - set(wanted) - beside)


def _stored(tree: Any, path: str) -> Iterator[tuple[str, Stored]]:
    """The arrays in nested dicts, by their paths."""
    if isinstance(tree, Mapping):
        for name, one in tree.items():
            yield from _stored(one, f"{path}/{name}")
    else:
        array = np.asarray(tree)
        yield path, Stored(path, array.shape, array.dtype, lambda: array)


def _slots(model: Model) -> list[Variable]:
    if model.optimizer is None:
        return []
    model.optimizer.build(model.trainable_weights)
    return list(model.optimizer.variables)


def _parts(step: Path) -> set[str]:
    return {one.name for one in step.iterdir() if one.is_dir()}


def _is_one(path: Path) -> bool:
    return (path / _VALUES).is_dir()


def _steps(path: Path) -> list[Path]:
    found = [one for one in path.iterdir() if one.name.isdigit() and _is_one(one)]
    return sorted(found, key=lambda one: int(one.name))


def _latest(path: Path) -> Path:
    steps = _steps(path)
    if not steps:
        raise FileFormatError(f"there is no checkpoint of Orbax in {path}")
    return steps[-1].absolute()
