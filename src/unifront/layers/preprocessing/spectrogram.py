"""Sound as spectra of short frames."""

from __future__ import annotations

import math
from typing import Any, Literal, Unpack

import numpy as np

from unifront import config, ops
from unifront.arguments import Amount, Positive, Real, Size, checked
from unifront.errors import ArgumentError, DTypeError
from unifront.layers import initializers
from unifront.layers.arguments import DataFormat, LayerOptions, check_rank
from unifront.layers.building import feature_size
from unifront.layers.layer import Layer
from unifront.layers.preprocessing.data import DataLayer
from unifront.opset.tensor import type_of


class STFTSpectrogram(Layer):
    """The short-time Fourier transform as a convolution, whose kernels are weights that may be trained.

    Args:
        mode: what is given of each frequency: ``"log"`` (of the magnitude), ``"magnitude"``, ``"psd"``, ``"real"``,
            ``"imag"``, ``"angle"``, or ``"stft"`` (real and imaginary parts).
        frame_length, frame_step: of the frames, in steps; half a frame by default.
        fft_length: the frequencies are ``fft_length // 2 + 1``; by default the power of two that holds a frame.
        window: the name of a window of SciPy's, an array, or None.
        periodic: whether the window is.
        scaling: ``"density"``, ``"spectrum"`` or None.
        padding: ``"valid"`` or ``"same"``.
        expand_dims: give channels an axis of their own, ``[batch, time, frequencies, channels]``; else they are one
            after the other in the last axis.
        data_format: ``"channels_last"`` (``[batch, time, channels]``) or ``"channels_first"``.

    Source: ``keras.layers.STFTSpectrogram``.

    Example::

        layers.STFTSpectrogram("magnitude", frame_length=8)(uf.Input((100, 1)))  # float32[batch, 24, 5]
    """

    @checked
    def __init__(
        self,
        mode: Literal["log", "magnitude", "psd", "real", "imag", "angle", "stft"] = "log",
        frame_length: Size = 256,
        frame_step: int | None = None,
        fft_length: int | None = None,
        window: Any = "hann",
        periodic: bool = False,
        scaling: Literal["density", "spectrum"] | None = "density",
        padding: Literal["valid", "same"] = "valid",
        expand_dims: bool = False,
        data_format: DataFormat = None,
        **options: Unpack[LayerOptions],
    ) -> None:
        super().__init__(**options)
        if frame_step is not None and not 1 <= frame_step <= frame_length:
            raise ArgumentError(
                "`frame_step` should be a positive integer not greater than `frame_length`. "
                f"Received frame_step={frame_step}, frame_length={frame_length}"
            )
        if fft_length is not None and fft_length < frame_length:
            raise ArgumentError(
                "`fft_length` should be not less than `frame_length`. "
                f"Received fft_length={fft_length}, frame_length={frame_length}"
            )
        self.mode, self.frame_length, self.frame_step, self.fft_length = (
            mode,
            frame_length,
            frame_step,
            fft_length,
        )
        self.window, self.periodic, self.scaling = window, periodic, scaling
        self.padding, self.expand_dims, self.data_format = padding, expand_dims, data_format
        self._step = frame_step or max(frame_length // 2, 1)
        self._frequencies = (fft_length or 2 ** math.ceil(math.log2(frame_length))) // 2 + 1
        self._initializers = {
            part: initializers.STFT(part, window, scaling, periodic) for part in ("real", "imag")
        }

    def build(self, shape: Any) -> None:
        kernel = (self.frame_length, 1, self._frequencies)
        if self.mode != "imag":
            self.real_kernel = self.add_weight(kernel, self._initializers["real"], name="real_kernel")
        if self.mode != "real":
            self.imag_kernel = self.add_weight(kernel, self._initializers["imag"], name="imag_kernel")

    def _part(self, x: Any, kernel: Any) -> Any:
        """``[batch, channels, time]`` → ``[batch, channels, frequencies, frames]``."""
        batch, channels, time = type_of(x).shape
        found = ops.conv(
            ops.reshape(x, (-1, time, 1)), kernel, strides=self._step, padding=self.padding,
            data_format="channels_last",
        )  # fmt: skip
        frames = type_of(found).shape[1]
        return ops.reshape(ops.transpose(found, (0, 2, 1)), (batch, channels, self._frequencies, frames))

    def _arranged(self, x: Any) -> Any:
        batch, channels, frequencies, frames = type_of(x).shape
        last = self.data_format == "channels_last"
        if self.expand_dims:
            return ops.transpose(x, (0, 3, 2, 1) if last else (0, 1, 3, 2))
        x = ops.reshape(x, (batch, channels * frequencies, frames))
        return ops.transpose(x, (0, 2, 1)) if last else x

    def call(self, inputs: Any) -> Any:
        check_rank(self, inputs, 3)
        if not type_of(inputs).dtype.is_float:
            raise DTypeError(
                "Invalid input type. Expected `float16`, `float32` or `float64`. "
                f"Received: input type={type_of(inputs).dtype}"
            )
        x = ops.transpose(inputs, (0, 2, 1)) if self.data_format == "channels_last" else inputs
        feature_size(type_of(x).shape, 1)  # how many channels there are has to be known
        real = self._part(x, self.real_kernel) if self.mode != "imag" else None
        imag = self._part(x, self.imag_kernel) if self.mode != "real" else None
        if self.mode in ("real", "imag"):
            return self._arranged(real if self.mode == "real" else imag)
        if self.mode == "angle":
            return self._arranged(ops.arctan2(imag, real))
        if self.mode == "stft":
            return self._arranged(ops.concatenate([real, imag], axis=2))
        power = ops.add(ops.square(real), ops.square(imag))
        if self.mode == "psd":
            # all frequencies but the first and the last stand for their negatives too
            twice = np.ones((self._frequencies, 1), type_of(power).dtype.numpy)
            twice[1:-1] = 2
            return self._arranged(ops.multiply(power, twice))
        magnitude = self._arranged(ops.sqrt(ops.maximum(power, config.epsilon())))
        return magnitude if self.mode == "magnitude" else ops.log(ops.maximum(magnitude, config.epsilon()))


class MelSpectrogram(DataLayer):
    """Sound as powers of frequency bands of the mel scale: ``[..., time]`` → ``[..., num_mel_bins, frames]``.

    Args:
        fft_length, sequence_stride, sequence_length, window: of the frames, see `uf.ops.stft`.
        sampling_rate: steps a second.
        num_mel_bins: how many bands there are, from ``min_freq`` to ``max_freq`` (half the sampling rate), in Hz.
        power_to_db: whether powers become decibels, of which those more than ``top_db`` below the highest are cut.
        mag_exp: the exponent of the magnitudes, 1 for energies, 2 for powers.
        min_power: powers are at least so much.
        ref_power: what 0 decibel is.

    Source: ``keras.layers.MelSpectrogram``; O'Shaughnessy 1987 for the scale, ``1127 * log(1 + f / 700)``.

    Example::

        layers.MelSpectrogram(num_mel_bins=64)(uf.Input((16000,)))  # float32[batch, 64, 32]
    """

    @checked
    def __init__(
        self,
        fft_length: Size = 2048,
        sequence_stride: Size = 512,
        sequence_length: Size | None = None,
        window: Any = "hann",
        sampling_rate: Positive = 16000,
        num_mel_bins: Size = 128,
        min_freq: Amount = 20.0,
        max_freq: Positive | None = None,
        power_to_db: bool = True,
        top_db: Amount = 80.0,
        mag_exp: Real = 2.0,
        min_power: Positive = 1e-10,
        ref_power: Positive = 1.0,
        **options: Unpack[LayerOptions],
    ) -> None:
        super().__init__(**options)
        self.fft_length, self.sequence_stride = fft_length, sequence_stride
        self.sequence_length = sequence_length or fft_length
        if self.fft_length < self.sequence_length:
            raise ArgumentError(
                "`fft_length` must be greater than or equal to `sequence_length`. "
                f"Received: sequence_length={self.sequence_length}, fft_length={self.fft_length}."
            )
        self.window, self.sampling_rate, self.num_mel_bins = window, sampling_rate, num_mel_bins
        self.min_freq, self.max_freq = min_freq, max_freq or int(sampling_rate / 2)
        self.power_to_db, self.top_db, self.mag_exp = power_to_db, top_db, mag_exp
        self.min_power, self.ref_power = min_power, ref_power

    def call(self, inputs: Any) -> Any:
        inner = "float64" if self.compute_dtype == "float64" else "float32"
        real, imag = ops.stft(
            ops.cast(inputs, inner), self.sequence_length, self.sequence_stride, self.fft_length, self.window
        )
        magnitude = ops.sqrt(ops.add(ops.square(real), ops.square(imag)))
        matrix = mel_matrix(
            self.num_mel_bins, self.fft_length // 2 + 1, self.sampling_rate, self.min_freq, self.max_freq
        )
        powers = ops.matmul(ops.power(magnitude, self.mag_exp), matrix.astype(inner))
        if self.power_to_db:
            powers = self._decibels(powers)
        return ops.cast(ops.swapaxes(powers, -1, -2), self.compute_dtype)

    def _decibels(self, powers: Any) -> Any:
        reference = 10.0 * math.log10(max(abs(self.ref_power), self.min_power))
        levels = ops.multiply(ops.log10(ops.maximum(powers, self.min_power)), 10.0)
        levels = ops.subtract(levels, reference)
        return ops.maximum(levels, ops.subtract(ops.max(levels), self.top_db))


def mel_matrix(bands: int, frequencies: int, sampling_rate: float, low: float, high: float) -> np.ndarray:
    """What each frequency, evenly spaced to half the sampling rate, counts in each band: ``[frequencies, bands]``.

    The bands are triangles on the mel scale whose corners are the neighbours' middles; frequency 0 counts nowhere.
    """

    def mel(hertz: Any) -> Any:
        return 1127.0 * np.log1p(np.asarray(hertz, np.float64) / 700.0)

    places = mel(np.linspace(0.0, sampling_rate / 2, frequencies))[1:, None]
    corners = np.linspace(mel(low), mel(high), bands + 2)
    left, middle, right = corners[:-2], corners[1:-1], corners[2:]
    rising, falling = (places - left) / (middle - left), (right - places) / (right - middle)
    return np.pad(np.maximum(0.0, np.minimum(rising, falling)), ((1, 0), (0, 0)))
