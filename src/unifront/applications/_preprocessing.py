"""What images become before the trained models, and what is read from their outputs."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from unifront import ops
from unifront.backends import backend_of
from unifront.dtypes import floatx
from unifront.errors import ArgumentError, FileFormatError, ShapeError
from unifront.files import BROKEN, existing, reason
from unifront.opset.data_format import DATA_FORMATS, image_data_format
from unifront.opset.tensor import type_of

_MEAN, _DEVIATION = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
_BGR_MEAN = (103.939, 116.779, 123.68)
MODES = ("caffe", "tf", "torch")
INDEX = "imagenet_class_index.json"
_INDEX_LIMIT = 4 * 2**20


def preprocess_input(x: Any, data_format: str | None = None, mode: str = "caffe") -> Any:
    """Images with values in [0, 255] as models trained on ImageNet take them; always a new array.

    Args:
        x: an array or tensor, ``[height, width, 3]`` or with a batch before.
        data_format: where the channels are; `uf.config.image_data_format` unless given.
        mode: ``"caffe"``: blue, green, red with ImageNet's mean taken off; ``"tf"``: between -1 and 1; ``"torch"``:
            between 0 and 1, then standardized by ImageNet's mean and deviation.

    Raises `ArgumentError` for another mode or format, `ShapeError` for what is no image.
    Source: ``keras.applications.imagenet_utils.preprocess_input``.
    """
    if mode not in MODES:
        raise ArgumentError(f"mode is one of {', '.join(map(repr, MODES))}, not {mode!r}.")
    data_format = data_format or image_data_format()
    if data_format not in DATA_FORMATS:
        raise ArgumentError(
            f"data_format is one of {', '.join(map(repr, DATA_FORMATS))}, not {data_format!r}."
        )
    if not hasattr(x, "shape") or not hasattr(x, "dtype"):
        x = np.asarray(x)
    type_ = type_of(x)
    if type_.rank not in (3, 4):
        raise ShapeError(f"An image, or a batch of them, has 3 or 4 axes; {type_} was given.")
    if not type_.dtype.is_float:
        x = ops.cast(x, floatx())
    if mode == "tf":
        return ops.subtract(ops.divide(x, 127.5), 1.0)
    axis = type_.rank - 3 if data_format == "channels_first" else type_.rank - 1
    if type_.shape[axis] != 3:
        raise ShapeError(f"mode={mode!r} takes three channels; {type_} was given, {data_format}.")
    if mode == "torch":
        return _standardized(ops.divide(x, 255.0), axis, _MEAN, _DEVIATION)
    return _standardized(ops.flip(x, axis), axis, _BGR_MEAN, (1.0, 1.0, 1.0))


def _standardized(x: Any, axis: int, mean: tuple[float, ...], deviation: tuple[float, ...]) -> Any:
    type_ = type_of(x)
    shape = [3 if i == axis else 1 for i in range(type_.rank)]
    mean_, deviation_ = (np.array(one, type_.dtype.numpy).reshape(shape) for one in (mean, deviation))
    centred = ops.subtract(x, mean_)
    return centred if deviation == (1.0, 1.0, 1.0) else ops.divide(centred, deviation_)


def preprocessing(mode: str) -> Callable[..., Any]:
    """`preprocess_input` of one family of models."""

    def preprocess(x: Any, data_format: str | None = None) -> Any:
        return preprocess_input(x, data_format, mode)

    preprocess.__name__ = preprocess.__qualname__ = "preprocess_input"
    preprocess.__doc__ = (
        f'Images as these models take them: `imagenet_utils.preprocess_input` with ``mode="{mode}"``.'
    )
    return preprocess


def unchanged(x: Any, data_format: str | None = None) -> Any:
    """``x`` itself: these models scale their inputs themselves."""
    return x


def decode_predictions(
    preds: Any, top: int = 5, *, classes: str | os.PathLike[str] | Mapping[str, Any] | None = None
) -> list[list[tuple[str, str, float]]]:
    """The likeliest classes of ImageNet for each sample: ``(identifier, name, score)``, the likeliest first.

    Args:
        preds: ``[samples, 1000]``.
        top: how many.
        classes: the file ``imagenet_class_index.json``, ``{"0": [identifier, name], …}``, or what is in it. Unless
            given it is looked for where Keras keeps it, in ``~/.keras/models``.

    Raises `ShapeError` for other predictions, `ArgumentError` where there is no such file, since nothing is
    downloaded; `FileFormatError` for a broken one.
    """
    backend = backend_of(preds)
    array = np.asarray(preds if backend is None else backend.numpy(preds))
    if array.ndim != 2 or array.shape[1] != 1000:
        raise ShapeError(f"decode_predictions takes [samples, 1000]; the shape {array.shape} was given.")
    names = _class_index(classes)
    best = np.argsort(-array, axis=1, kind="stable")[:, :top]
    return [[(*names[i], float(row[i])) for i in order] for row, order in zip(array, best, strict=True)]


def _class_index(given: Any) -> list[tuple[str, str]]:
    if isinstance(given, Mapping):
        return _names(given)
    path = Path(given) if given is not None else _cache() / INDEX
    if given is None and not path.exists():
        raise ArgumentError(
            f"The names of ImageNet's classes are not part of unifront, which downloads nothing, and {path} is not "
            f"there. Give the file: decode_predictions(preds, classes={INDEX!r})."
        )
    path = existing(path)
    if path.stat().st_size > _INDEX_LIMIT:
        raise FileFormatError(f"{path} has more than {_INDEX_LIMIT} bytes: it is no list of 1000 classes.")
    try:
        return _names(json.loads(path.read_text("utf-8")))
    except BROKEN as error:
        raise FileFormatError(f"{path} is not a list of ImageNet's classes: {reason(error)}.") from error


def _cache() -> Path:
    return Path(os.environ.get("KERAS_HOME") or Path.home() / ".keras") / "models"


def _names(told: Any) -> list[tuple[str, str]]:
    found = [told[str(i)] for i in range(1000)]
    if any(len(one) != 2 or not all(isinstance(text, str) for text in one) for one in found):
        raise ArgumentError("Each class has an identifier and a name.")
    return [tuple(one) for one in found]
