"""`keras.preprocessing`: images, sequences, and datasets of folders; all of it is in `unifront.utils` too."""

from unifront.preprocessing import image, sequence
from unifront.utils import (
    image_dataset_from_directory,
    text_dataset_from_directory,
    timeseries_dataset_from_array,
)

__all__ = [
    "image",
    "image_dataset_from_directory",
    "sequence",
    "text_dataset_from_directory",
    "timeseries_dataset_from_array",
]


def __dir__() -> list[str]:
    return __all__
