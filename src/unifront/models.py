"""Models, as ``keras.models``: made, cloned, told as JSON, saved and loaded."""

from __future__ import annotations

from unifront.cloning import clone_model
from unifront.data_format import with_data_format
from unifront.model import Model
from unifront.model_config import model_from_json
from unifront.saving import load_model, save_model
from unifront.sequential import Sequential

__all__ = [
    "Model",
    "Sequential",
    "clone_model",
    "load_model",
    "model_from_json",
    "save_model",
    "with_data_format",
]


def __dir__() -> list[str]:
    return __all__
