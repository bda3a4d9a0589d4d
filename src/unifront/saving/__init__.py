"""The ``.uf`` file: a model's graphs, weights and training state in one zip.

    manifest.json            what the file is, the inputs' structure, how the model was compiled
    layers.json              its layers: which nodes of the graphs their calls are (`unifront.saving.layout`)
    training.graph           the graphs as text (`unifront.ir.text`)
    inference.graph
    constraints.graph        what weights with a constraint become after an update
    weights.safetensors      the weights by path, in Keras's layout
    optimizer.safetensors    the optimizer's slots, ``PATH/SLOT``

The graphs are complete, so that loading needs no class and runs no code: a model with custom layers loads,
trains and exports without their source. Beside the model's outputs they give the masks of the outputs, the
losses that layers add, and the new values of statistics. Everything read is taken as hostile: nothing is
compressed, so that a small file cannot cost much; sizes are checked before anything is allocated, entries are read
in memory and never unpacked to a folder, and all that is wrong with a file becomes a `FileFormatError` that names
file and reason.
"""

from unifront.saving.named import load_model, save_model
from unifront.saving.read import load
from unifront.saving.weights import load_weights, save_weights
from unifront.saving.write import save
from unifront.serialization import (
    CustomObjectScope,
    custom_object_scope,
    deserialize_keras_object,
    get_custom_objects,
    get_registered_name,
    get_registered_object,
    register_keras_serializable,
    serialize_keras_object,
)

__all__ = [
    "CustomObjectScope", "custom_object_scope", "deserialize_keras_object", "get_custom_objects",
    "get_registered_name", "get_registered_object", "load", "load_model", "load_weights",
    "register_keras_serializable", "save", "save_model", "save_weights", "serialize_keras_object",
]  # fmt: skip


def __dir__() -> list[str]:
    return __all__
