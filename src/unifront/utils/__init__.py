"""What stands around a model, as ``keras.utils``: labels, sequences, images, pictures of models."""

from unifront.config import (
    disable_interactive_logging,
    enable_interactive_logging,
    is_interactive_logging_enabled,
)
from unifront.saving import (
    CustomObjectScope,
    custom_object_scope,
    deserialize_keras_object,
    get_custom_objects,
    get_registered_name,
    get_registered_object,
    register_keras_serializable,
    serialize_keras_object,
)
from unifront.train.data import PyDataset
from unifront.train.plots import plot_confusion_matrix
from unifront.utils import bounding_boxes
from unifront.utils.arrays import (
    normalize,
    pack_x_y_sample_weight,
    pad_sequences,
    to_categorical,
    unpack_x_y_sample_weight,
)
from unifront.utils.audio_folder import audio_dataset_from_directory
from unifront.utils.downloads import get_file
from unifront.utils.feature_space import FeatureSpace
from unifront.utils.image_folder import image_dataset_from_directory
from unifront.utils.images import array_to_img, img_to_array, load_img, save_img
from unifront.utils.pictures import model_to_dot, plot_model
from unifront.utils.progbar import Progbar
from unifront.utils.splits import split_dataset
from unifront.utils.symbolic import (
    clear_session,
    get_source_inputs,
    is_keras_tensor,
    set_random_seed,
    standardize_dtype,
)
from unifront.utils.tables import table_dataset_from_directory
from unifront.utils.text_folder import text_dataset_from_directory
from unifront.utils.timeseries import timeseries_dataset_from_array

Sequence = PyDataset

__all__ = [
    "CustomObjectScope",
    "FeatureSpace",
    "Progbar",
    "PyDataset",
    "Sequence",
    "array_to_img",
    "audio_dataset_from_directory",
    "bounding_boxes",
    "clear_session",
    "custom_object_scope",
    "deserialize_keras_object",
    "disable_interactive_logging",
    "enable_interactive_logging",
    "get_custom_objects",
    "get_file",
    "get_registered_name",
    "get_registered_object",
    "get_source_inputs",
    "image_dataset_from_directory",
    "img_to_array",
    "is_interactive_logging_enabled",
    "is_keras_tensor",
    "load_img",
    "model_to_dot",
    "normalize",
    "pack_x_y_sample_weight",
    "pad_sequences",
    "plot_confusion_matrix",
    "plot_model",
    "register_keras_serializable",
    "save_img",
    "serialize_keras_object",
    "set_random_seed",
    "split_dataset",
    "standardize_dtype",
    "table_dataset_from_directory",
    "text_dataset_from_directory",
    "timeseries_dataset_from_array",
    "to_categorical",
    "unpack_x_y_sample_weight",
]  # fmt: skip


def __dir__() -> list[str]:
    return __all__
