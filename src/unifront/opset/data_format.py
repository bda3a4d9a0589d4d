"""Where the channels of images and other data stand when nobody says it (Keras's ``image_data_format``)."""

from __future__ import annotations

from unifront.errors import UnknownName
from unifront.opset import quick

DATA_FORMATS = ("channels_last", "channels_first")

_default = [DATA_FORMATS[0]]


def image_data_format() -> str:
    """The data format of layers and operations that are told none: ``"channels_last"`` at first."""
    return _default[-1]


def set_image_data_format(data_format: str) -> None:
    """Make ``data_format`` (``"channels_last"`` or ``"channels_first"``) the one that `image_data_format` gives."""
    _default[:] = [standardize_data_format(data_format)]
    quick.forget()


def standardize_data_format(data_format: str | None) -> str:
    """``data_format`` in lower case, or the default for None; `UnknownName` for anything else."""
    if data_format is None:
        return image_data_format()
    found = str(data_format).lower()
    if found not in DATA_FORMATS:
        raise UnknownName("data_format", data_format, DATA_FORMATS)
    return found
