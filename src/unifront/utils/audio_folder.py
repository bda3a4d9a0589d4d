"""Folders of sound as datasets."""

from __future__ import annotations

import importlib
import wave
from collections.abc import Sequence
from typing import Any

import numpy as np

from unifront.errors import ArgumentError, DataError
from unifront.utils.examples import Part, stacked
from unifront.utils.folders import Folder


def _samples(path: str) -> tuple[np.ndarray, int]:
    """The samples ``[time, channels]`` of a WAV file from -1 to 1, and how many there are in a second."""
    try:
        with wave.open(path, "rb") as file:
            width, channels, rate = file.getsampwidth(), file.getnchannels(), file.getframerate()
            raw = np.frombuffer(file.readframes(file.getnframes()), np.uint8)
    except (wave.Error, EOFError, OSError) as error:
        raise DataError(f"{path} cannot be read as a WAV file of whole numbers (PCM): {error}.") from error
    raw = raw[: len(raw) - len(raw) % (width * channels)].reshape(-1, width)
    if width == 1:  # the one width without a sign
        values = raw[:, 0].astype(np.float64) - 128
    else:
        wide = np.zeros((len(raw), 4), np.uint8)
        wide[:, 4 - width :] = raw
        values = wide.view("<i4")[:, 0] / np.float64(2 ** (8 * (4 - width)))
    return (values / 2.0 ** (8 * width - 1)).astype(np.float32).reshape(-1, channels), rate


def _resampled(samples: np.ndarray, rate: int, wanted: int) -> np.ndarray:
    if rate == wanted:
        return samples
    try:
        signal = importlib.import_module("scipy.signal")
    except ModuleNotFoundError:
        raise ArgumentError("`sampling_rate` needs SciPy: pip install scipy.") from None
    divisor = int(np.gcd(rate, wanted))
    return signal.resample_poly(samples, wanted // divisor, rate // divisor, axis=0).astype(np.float32)


def _padded(examples: Sequence[Any]) -> Any:
    """A batch of sounds, the shorter ones followed by silence."""
    if isinstance(examples[0], tuple):
        sounds, labels = zip(*examples, strict=True)
        return _padded(sounds), stacked(labels)
    channels = {len(sound[0]) for sound in examples if len(sound)}
    if len(channels) > 1:
        raise DataError(f"The sounds of a batch have {sorted(channels)} channels; one number is needed.")
    batch = np.zeros((len(examples), max(map(len, examples)), next(iter(channels), 1)), np.float32)
    for row, sound in zip(batch, examples, strict=True):
        row[: len(sound)] = sound
    return batch


def audio_dataset_from_directory(
    directory: Any,
    labels: Any = "inferred",
    label_mode: str | None = "int",
    class_names: Any = None,
    batch_size: int | None = 32,
    sampling_rate: int | None = None,
    output_sequence_length: int | None = None,
    ragged: bool = False,
    shuffle: bool = True,
    seed: int | None = None,
    validation_split: float | None = None,
    subset: str | None = None,
    follow_links: bool = False,
    verbose: bool = True,
    *,
    format: str | None = None,
) -> Any:
    """The ``.wav`` files in a folder as a dataset of batches ``[batch, time, channels]``, float32 from -1 to 1.

    Args:
        sampling_rate: samples in a second, to which sounds are brought (by SciPy); as they are unless given.
        output_sequence_length: samples of each sound, which is cut or followed by silence; the longest of a batch
            unless given.
        ragged: False only: batches are arrays.
        format: as of `image_dataset_from_directory`, whose other arguments these are too.

    Files hold whole numbers (PCM) of 8 to 32 bits. Raises `DataError` for a folder without sounds, and, when it is
    read, for a file that is none. Source: ``keras.utils.audio_dataset_from_directory``.
    """
    if ragged and output_sequence_length is not None:
        raise ArgumentError("Cannot set both `ragged` and `output_sequence_length`")
    if ragged:
        raise ArgumentError(
            "`ragged=True` is not supported: there are no ragged tensors here. Shorter sounds are followed by silence."
        )
    for name, value in (("sampling_rate", sampling_rate), ("output_sequence_length", output_sequence_length)):
        if value is not None and (not isinstance(value, int) or isinstance(value, bool)):
            raise ArgumentError(f"`{name}` should have an integer value. Received: {name}={value}")
        if value is not None and value <= 0:
            raise ArgumentError(f"`{name}` should be higher than 0. Received: {name}={value}")

    def read(path: str) -> np.ndarray:
        samples, rate = _samples(path)
        if sampling_rate is not None:
            samples = _resampled(samples, rate, sampling_rate)
        if output_sequence_length is not None:
            samples = samples[:output_sequence_length]
            samples = np.pad(samples, ((0, output_sequence_length - len(samples)), (0, 0)))
        return samples

    folder = Folder(
        ("audio files", "audio"), (".wav",), directory, labels, label_mode, class_names, batch_size, shuffle, seed,
        validation_split, subset, follow_links, format, verbose,
    )  # fmt: skip
    return folder.datasets(read, Part("float32", (output_sequence_length, None)), _padded)
