"""Models, as ``keras.models``: made, cloned, told as JSON, saved and loaded."""

from __future__ import annotations

from typing import Any

from unifront.errors import ArgumentError
from unifront.files import path_of
from unifront.model import Model
from unifront.model_config import clone_model, model_from_json
from unifront.saving import load_model
from unifront.sequential import Sequential


def save_model(model: Model, filepath: Any, overwrite: bool = True) -> None:
    """`Model.save`, under Keras's name; ``overwrite=False`` raises `ArgumentError` if the file is there."""
    if not overwrite and path_of(filepath).exists():
        raise ArgumentError(f"{filepath} is there already; overwrite=True replaces it.")
    model.save(filepath)


__all__ = ["Model", "Sequential", "clone_model", "load_model", "model_from_json", "save_model"]
