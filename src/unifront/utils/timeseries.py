"""Windows of a time series as a dataset."""

from __future__ import annotations

from typing import Any

import numpy as np

from unifront.errors import ArgumentError
from unifront.train.data.arrays import to_numpy
from unifront.utils.examples import Examples, Part, check_format, in_format


def timeseries_dataset_from_array(
    data: Any,
    targets: Any,
    sequence_length: int,
    sequence_stride: int = 1,
    sampling_rate: int = 1,
    batch_size: int | None = 128,
    shuffle: bool = False,
    seed: int | None = None,
    start_index: int | None = None,
    end_index: int | None = None,
    format: str | None = None,
) -> Any:
    """Windows over an array whose first axis is time, as a dataset of batches ``[batch, sequence_length, …]``.

    Args:
        data: the series; of any framework.
        targets: ``targets[i]`` is the target of the window that begins at ``data[i]``; None: there are none.
        sequence_length: time steps of a window.
        sequence_stride: time steps from the beginning of one window to that of the next.
        sampling_rate: time steps from one within a window to the next.
        batch_size: windows in a batch; None: single ones.
        shuffle: whether windows come in another order each epoch.
        seed: for that.
        start_index, end_index: the part of ``data`` to take.
        format: as of `image_dataset_from_directory`.

    Windows are cut when they are wanted: the series is in memory once. Raises `ArgumentError` for numbers outside the
    series. Source: ``keras.utils.timeseries_dataset_from_array``.

    Example::

        windows = uf.utils.timeseries_dataset_from_array(np.arange(10), np.arange(5, 10), sequence_length=5)
    """
    series = to_numpy(data, "data")
    answers = None if targets is None else to_numpy(targets, "targets")
    _check(len(series), sequence_length, sequence_stride, sampling_rate, start_index, end_index)
    check_format(format)
    first, end = start_index or 0, len(series) if end_index is None else end_index
    count = end - first - (sequence_length - 1) * sampling_rate
    if answers is not None:
        count = min(count, len(answers) - first)
    starts = np.arange(0, max(count, 0), sequence_stride)
    span = sequence_length * sampling_rate

    def window(i: int) -> np.ndarray:
        begin = first + starts[i]
        return series[begin : begin + span : sampling_rate]

    part = Part(series.dtype.name, (sequence_length, *series.shape[1:]))
    options: dict[str, Any] = {"batch_size": batch_size, "shuffle": shuffle, "seed": seed}
    if answers is None:
        return in_format(Examples(len(starts), window, part, **options), format)
    parts = (part, Part(answers.dtype.name, answers.shape[1:]))
    return in_format(
        Examples(len(starts), lambda i: (window(i), answers[first + starts[i]]), parts, **options), format
    )


def _check(
    length: int, sequence_length: int, stride: int, rate: int, start: int | None, end: int | None
) -> None:
    if start:
        if start < 0:
            raise ArgumentError(f"`start_index` must be 0 or greater. Received: start_index={start}")
        if start >= length:
            raise ArgumentError(
                f"`start_index` must be lower than the length of the data. Received: start_index={start}, for data of "
                f"length {length}"
            )
    if end:
        if start and end <= start:
            raise ArgumentError(
                f"`end_index` must be higher than `start_index`. Received: start_index={start}, and end_index={end}"
            )
        if end >= length:
            raise ArgumentError(
                f"`end_index` must be lower than the length of the data. Received: end_index={end}, for data of length "
                f"{length}"
            )
        if end <= 0:
            raise ArgumentError(f"`end_index` must be higher than 0. Received: end_index={end}")
    if sequence_length < 1:
        raise ArgumentError(f"`sequence_length` must be higher than 0. Received: {sequence_length}")
    for name, value in (("sampling_rate", rate), ("sequence_stride", stride)):
        if value <= 0:
            raise ArgumentError(f"`{name}` must be higher than 0. Received: {name}={value}")
        if value >= length:
            raise ArgumentError(
                f"`{name}` must be lower than the length of the data. Received: {name}={value}, for data of length "
                f"{length}"
            )
