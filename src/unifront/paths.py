"""Paths that users give, and what the suffix of a file's name promises."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from unifront.errors import ArgumentError

KERAS = "a file of Keras 2, which unifront does not write"
FORMATS = {
    ".uf": ("a model", "model.save({!r})"),
    ".safetensors": ("weights alone", "model.save_weights({!r})"),
    ".onnx": ("an ONNX model", "model.export({!r})"),
    ".keras": ("a model in Keras's format", "model.save({!r})"),
    ".h5": (KERAS, ""),
    ".hdf5": (KERAS, ""),
    ".pt": ("a file of PyTorch", 'torch.save(model.lower("torch").state_dict(), {!r})'),
    ".pth": ("a file of PyTorch", 'torch.save(model.lower("torch").state_dict(), {!r})'),
    ".pb": ("a model of TensorFlow", 'model.export("folder", format="tf_saved_model")'),
    ".tflite": ("a model of LiteRT, which unifront does not write", ""),
    ".npy": ("an array of NumPy", "numpy.save({!r}, array)"),
    ".npz": ("arrays of NumPy", "numpy.savez({!r}, *model.get_weights())"),
    ".pkl": ("a pickle, which unifront does not write", ""),
    ".pickle": ("a pickle, which unifront does not write", ""),
}
"""What a file name's suffix promises, and the call that writes it; any other suffix promises nothing."""


def path_of(path: Any) -> Path:
    """``path`` as a `Path`; `ArgumentError` for what is no path."""
    text = os.fspath(path) if isinstance(path, str | os.PathLike) else None
    if not isinstance(text, str) or "\0" in text:
        raise ArgumentError(f"A path is a str or an os.PathLike of one, without null bytes; not {path!r}.")
    return Path(text)


def free_to_write(path: Any, overwrite: bool) -> None:
    """Raise `ArgumentError` if something is at ``path`` that shall not be overwritten."""
    if not overwrite and path_of(path).exists():
        raise ArgumentError(f"{path} is there already; overwrite=True replaces it.")


def destination(path: Any, suffix: str) -> Path:
    """The path at which a call that writes ``suffix`` is to write.

    Raises `ArgumentError` for what is no path, and for a name that promises another format, with the right call.
    """
    path = path_of(path)
    other = path.suffix.lower()
    if other in FORMATS and other != suffix:
        (_, call), (what, right) = FORMATS[suffix], FORMATS[other]
        instead = f" {right.format(str(path))} writes that." if right else ""
        own = path.name[: -len(other)].removesuffix(".weights") + suffix
        raise ArgumentError(
            f"{call.partition('(')[0]} writes {suffix} files, and {path.name!r} promises {what}.{instead} "
            f"For {FORMATS[suffix][0]}: {call.format(str(path.with_name(own)))}."
        )
    return path


def model_destination(path: Any) -> Path:
    """The path at which a whole model is to be written: ``.keras`` in Keras's format, any other as ``.uf``."""
    return destination(path, ".keras" if path_of(path).suffix.lower() == ".keras" else ".uf")


def weights_destination(path: Any) -> Path:
    """The path at which weights are to be written: ``.weights.h5`` in Keras's format, any other as ``.safetensors``."""
    path = path_of(path)
    return path if is_keras_weights(path) else destination(path, ".safetensors")


def is_keras_weights(path: Path) -> bool:
    """Whether the name promises Keras's format of weights."""
    return path.name.lower().endswith(".weights.h5")
