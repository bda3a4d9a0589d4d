"""Quantizers: floats as int8 or int4 with scales; ``keras.quantizers``.

The formulas are those of Keras 3.15 (``keras/src/quantizers/quantizers.py``): ``q = round(x * scale)``, where
``scale = limit / (max|x| + epsilon)`` over some axes, and ``q = round(x / scale) + zero`` in groups with a zero point.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any, Self

import numpy as np

from unifront import ops
from unifront.config import epsilon as default_epsilon
from unifront.dtype_policies import QUANTIZATION_MODES
from unifront.dtypes import dtype_of
from unifront.errors import ArgumentError, DTypeError, ShapeError, UnknownName
from unifront.opset.rules import axis_in
from unifront.opset.tensor import to_numpy as as_numpy
from unifront.opset.tensor import type_of
from unifront.serialization import deserialize_keras_object, get_registered_object, serialize_keras_object
from unifront.weights import Variable


def _host(x: Any) -> np.ndarray:
    return x.numpy() if isinstance(x, Variable) else as_numpy(x)


def abs_max_quantize(
    inputs: Any,
    axis: int | Sequence[int],
    value_range: tuple[int, int] = (-127, 127),
    dtype: Any = "int8",
    epsilon: float | None = None,
    to_numpy: bool = False,
) -> tuple[Any, Any]:
    """``inputs`` as integers, and their scale: ``value_range[1] / (max|inputs| + epsilon)`` over ``axis``, kept as 1.

    Args:
        inputs: floats.
        axis: over which the largest magnitude is taken.
        value_range: the least and the greatest integer.
        dtype: of the integers.
        epsilon: `uf.config.epsilon` unless given.
        to_numpy: whether to compute on the host.
    """
    small = default_epsilon() if epsilon is None else epsilon
    low, high = value_range
    if to_numpy:
        array = _host(inputs)
        axes = axis if isinstance(axis, int) else tuple(axis)
        scale = np.divide(
            high, np.max(np.abs(array), axis=axes, keepdims=True) + np.asarray(small, array.dtype)
        )
        scaled = np.clip(np.round(array * scale), low, high)
        return scaled.astype(dtype_of(dtype).numpy), scale.astype(array.dtype)
    largest = ops.max(ops.abs(inputs), axis=axis, keepdims=True)
    scale = ops.cast(ops.divide(float(high), ops.add(largest, small)), type_of(inputs).dtype)
    return ops.cast(ops.clip(ops.round(ops.multiply(inputs, scale)), float(low), float(high)), dtype), scale


def abs_max_quantize_grouped_with_zero_point(
    inputs: Any,
    block_size: int,
    value_range: tuple[int, int] = (-8, 7),
    dtype: Any = "int8",
    epsilon: float | None = None,
    to_numpy: bool = False,
) -> tuple[Any, Any, Any]:
    """A matrix as integers in groups of ``block_size`` rows, each column of a group with its scale and zero point.

    Args:
        inputs: ``[rows, columns]``; what is no array is read on the host, as weights are quantized once.
        value_range, dtype, epsilon, to_numpy: as for `abs_max_quantize`.

    Returns:
        the integers ``[rows, columns]``, the scales and the zero points ``[groups, columns]``.
    """
    small = default_epsilon() if epsilon is None else epsilon
    array = _host(inputs)
    if array.ndim != 2:
        raise ShapeError(f"Groups are made of the rows of a matrix; the input has the shape {array.shape}.")
    rows, columns = array.shape
    groups, (low, high) = math.ceil(rows / block_size), value_range
    padded = np.pad(array, ((0, groups * block_size - rows), (0, 0))).reshape(groups, block_size, columns)
    least, most = padded.min(1, keepdims=True), padded.max(1, keepdims=True)
    scale = (most - least + np.asarray(small, array.dtype)) / (high - low)
    zero = np.clip(np.round(-least / scale) + low, low, high)
    found = np.clip(np.round(padded / scale) + zero, low, high).astype(dtype_of(dtype).numpy)
    found = found.reshape(groups * block_size, columns)[:rows]
    return found, scale[:, 0].astype(array.dtype), zero[:, 0].astype(np.int8)


def pack_int4(arr: Any, axis: int = 0, dtype: str = "int8") -> tuple[np.ndarray, tuple[int, ...], int]:
    """Pairs of 4-bit integers along ``axis`` in a byte each, the first one in its lower half.

    Returns:
        the bytes, their shape, and how long the axis was. Raises `DTypeError` for another dtype than ``dtype``.
    """
    array = _host(arr)
    if dtype not in ("int8", "uint8"):
        raise ArgumentError(f"Expected dtype to be 'int8' or 'uint8', not {dtype!r}.")
    if array.dtype != dtype:
        raise DTypeError(f"Expected {dtype} tensor for packing, got {array.dtype}.")
    first = np.moveaxis(array, axis, 0)
    length = len(first)
    first = np.concatenate([first, np.zeros((length % 2, *first.shape[1:]), array.dtype)]).astype(np.uint8)
    packed = np.moveaxis((first[::2] & 15) | (first[1::2] << 4), 0, axis).astype(array.dtype)
    return np.ascontiguousarray(packed), packed.shape, length


def unpack_int4(packed: Any, orig_len: int, axis: int = 0, dtype: str = "int8") -> Any:
    """What `pack_int4` packed: ``orig_len`` integers along ``axis``; ``"int8"`` has them signed, from -8 to 7."""
    own = type_of(packed)
    if dtype not in ("int8", "uint8"):
        raise ArgumentError(f"Expected dtype to be 'int8' or 'uint8', not {dtype!r}.")
    if own.dtype.name not in ("int8", "uint8"):
        raise DTypeError(f"Expected int8 or uint8 tensor for unpacking, got {own.dtype}.")
    place = axis_in(axis, own.rank)
    mask = np.asarray(15, own.dtype.numpy)
    halves = [ops.bitwise_and(packed, mask), ops.bitwise_and(ops.right_shift(packed, 4), mask)]
    if dtype == "int8":  # 8 … 15 mean -8 … -1
        eight = np.asarray(8, own.dtype.numpy)
        halves = [ops.subtract(ops.bitwise_xor(half, eight), eight) for half in halves]
    pairs = ops.stack([ops.cast(half, dtype) for half in halves], axis=place + 1)
    whole = ops.reshape(pairs, (*own.shape[:place], 2 * own.shape[place], *own.shape[place + 1 :]))
    return ops.take(whole, np.arange(orig_len, dtype=np.int32), axis=place)


def compute_quantization_parameters(
    x: Any, *, bits: int, symmetric: bool = False, per_channel: bool = False, group_size: int = -1,
    compute_dtype: Any = "float32", epsilon: float = 0.0, signed: bool = False,
) -> tuple[Any, Any, Any]:  # fmt: skip
    """Scale and zero point of the rows of a weight ``[out, in]``, or of groups along them; and the greatest integer.

    Raises `ArgumentError` for None or nothing, `ShapeError` for less than two dimensions.
    """
    if x is None:
        raise ArgumentError("Input tensor None cannot be None.")
    shape = type_of(x).shape
    if len(shape) < 2:
        raise ShapeError(f"Input weight tensor must have a rank of at least 2, but got rank {len(shape)}.")
    if 0 in shape:
        raise ArgumentError("Input tensor 'x' cannot be empty.")
    rows, columns = int(shape[0]), int(shape[1])  # type: ignore[arg-type]  # weights have static shapes
    groups = -(-columns // group_size) if per_channel and group_size > 0 else 1
    if groups > 1:
        x = ops.reshape(ops.pad(x, [[0, 0], [0, -columns % group_size]]), (rows, groups, group_size))
    else:
        x = ops.reshape(x, (rows if per_channel else 1, -1))
    least, most = ops.min(x, axis=-1), ops.max(x, axis=-1)
    if symmetric:
        largest = ops.maximum(ops.abs(least), most)
        least, most = ops.where(ops.less(least, 0), ops.negative(largest), least), largest
    same = ops.equal(least, most)
    least, most = ops.where(same, ops.subtract(least, 1), least), ops.where(same, ops.add(most, 1), most)
    levels = 2**bits - 1
    scale = ops.divide(ops.add(ops.subtract(most, least), epsilon), float(levels))
    scale = ops.where(ops.less_equal(scale, 0), 1e-8, scale)
    least_integer = -(2 ** (bits - 1)) if signed else 0
    if symmetric:
        zero = ops.full_like(scale, (levels + 1) / 2 + least_integer)
    else:
        zero = ops.add(ops.round(ops.divide(ops.negative(least), scale)), float(least_integer))
    if signed:
        zero = ops.clip(zero, float(least_integer), float(least_integer + levels))
    if groups == 1:
        scale, zero = (ops.broadcast_to(ops.reshape(one, (-1, 1)), (rows, 1)) for one in (scale, zero))
    return (
        scale,
        ops.cast(zero, "int8" if signed else "uint8"),
        np.asarray(levels, dtype_of(compute_dtype).numpy),
    )


def quantize_with_zero_point(input_tensor: Any, scale: Any, zero: Any, maxq: Any) -> Any:
    """``round(input / scale + zero)``, from 0 to ``maxq``."""
    safe = ops.where(ops.equal(scale, 0), 1e-8, scale)
    shifted = ops.add(ops.divide(input_tensor, safe), ops.cast(zero, type_of(scale).dtype))
    return ops.clip(ops.round(shifted), 0, maxq)


def dequantize_with_zero_point(input_tensor: Any, scale: Any, zero: Any) -> Any:
    """``scale * (input - zero)``."""
    return ops.multiply(scale, ops.subtract(input_tensor, ops.cast(zero, type_of(scale).dtype)))


def _of_groups(g_idx: Any, group_axis: int, *tensors: Any) -> list[Any]:
    groups = ops.cast(g_idx, "int32")
    return [ops.take(tensor, groups, axis=group_axis) for tensor in tensors]


def quantize_with_sz_map(
    weights_matrix: Any, scale: Any, zero: Any, g_idx: Any, maxq: Any, group_axis: int = -1
) -> Any:
    """`quantize_with_zero_point` with the scale and zero point of the group ``g_idx`` of each place along an axis."""
    scales, zeros = _of_groups(g_idx, group_axis, scale, zero)
    return quantize_with_zero_point(weights_matrix, scales, zeros, maxq)


def dequantize_with_sz_map(
    weights_matrix: Any, scale: Any, zero: Any, g_idx: Any, group_axis: int = -1
) -> Any:
    """`dequantize_with_zero_point` with the scale and zero point of the group ``g_idx`` of each place along an axis."""
    return dequantize_with_zero_point(weights_matrix, *_of_groups(g_idx, group_axis, scale, zero))


def quantize_and_dequantize(inputs: Any, scale: Any, quantized_dtype: Any, compute_dtype: Any) -> Any:
    """``inputs`` divided by ``scale``, as a float8 dtype has them, and multiplied by it again."""
    import ml_dtypes

    largest = float(ml_dtypes.finfo(dtype_of(quantized_dtype).numpy).max)
    factor = ops.cast(scale, compute_dtype)
    x = ops.cast(ops.clip(ops.divide(inputs, factor), -largest, largest), quantized_dtype)
    return ops.multiply(ops.cast(x, compute_dtype), factor)


def compute_float8_scale(amax: Any, scale: Any, dtype_max: float, margin: int = 0) -> Any:
    """The scale with which numbers up to ``amax`` fill a float8 dtype; ``scale`` where that is 0 or not finite."""
    before = ops.reciprocal(scale)
    new = ops.divide(ops.divide(dtype_max, amax), 2.0**margin)
    new = ops.where(ops.greater(amax, 0.0), new, before)
    return ops.reciprocal(ops.where(ops.isfinite(amax), new, before))


def compute_float8_amax_history(x: Any, amax_history: Any) -> Any:
    """The history moved by one place, with the largest magnitude of ``x`` at its first."""
    newest = ops.cast(ops.max(ops.abs(x)), type_of(amax_history).dtype)
    return ops.scatter_update(ops.roll(amax_history, shift=-1), [[0]], ops.reshape(newest, [1]))


def fake_quant_with_min_max_vars(
    inputs: Any, min_vals: Any, max_vals: Any, num_bits: int = 8, narrow_range: bool = False, axis: int | None = None
) -> Any:  # fmt: skip
    """``inputs`` rounded to the levels that ``num_bits`` have between ``min_vals`` and ``max_vals``, as floats.

    Args:
        min_vals, max_vals: scalars, or one for each place along ``axis``; the range is moved so that 0 is a level.
        narrow_range: whether the least integer, 0, is left out.

    The gradient passes where ``inputs`` is inside; outside it goes to the end that it is cut at. Source:
    ``tf.quantization.fake_quant_with_min_max_vars``.
    """
    own = type_of(inputs)
    least, most = int(narrow_range), 2**num_bits - 1
    place = None if axis is None else axis_in(axis, own.rank)
    others = tuple(i for i in range(own.rank) if i != place)

    def along(value: Any) -> Any:
        flat = ops.reshape(ops.cast(value, "float32"), (-1,))
        return (
            flat
            if place is None
            else ops.reshape(flat, tuple(-1 if i == place else 1 for i in range(own.rank)))
        )

    @ops.custom_gradient
    def rounded(x: Any, low: Any, high: Any) -> Any:
        lower, upper = along(low), along(high)
        span = ops.subtract(upper, lower)
        scale, per_unit = ops.divide(span, float(most - least)), ops.divide(float(most - least), span)
        # Half upwards, as TensorFlow's kernel rounds.
        zero = ops.clip(ops.subtract(float(least), ops.divide(lower, scale)), float(least), float(most))
        zero = ops.floor(ops.add(zero, 0.5))
        start = ops.multiply(ops.subtract(float(least), zero), scale)
        end = ops.multiply(ops.subtract(float(most), zero), scale)
        wide = ops.cast(x, "float32")
        steps = ops.multiply(ops.subtract(ops.minimum(ops.maximum(wide, start), end), start), per_unit)
        offset = ops.floor(ops.add(ops.multiply(ops.negative(start), per_unit), 0.5))
        y = ops.multiply(ops.floor(ops.add(ops.subtract(steps, offset), 0.5)), scale)

        def gradient(upstream: Any) -> Any:
            nothing = ops.zeros_like(upstream)
            inside = ops.logical_and(ops.greater_equal(wide, start), ops.less_equal(wide, end))
            ends = (ops.less_equal(wide, start), low), (ops.greater_equal(wide, end), high)
            found = [ops.where(inside, upstream, nothing)]
            for mask, value in ends:
                part = ops.where(mask, upstream, nothing)
                shape = type_of(value).shape
                found.append(
                    ops.reshape(ops.sum(part, axis=others if place is not None and shape else None), shape)
                )
            return tuple(found)

        return ops.cast(y, own.dtype), gradient

    return rounded(inputs, min_vals, max_vals)


# ---------------------------------------------------------------- classes


class Quantizer:
    """What gives integers for floats; this one gives its input (``keras.Quantizer``)."""

    def __init__(self, output_dtype: str = "int8") -> None:
        self.output_dtype = output_dtype

    def __call__(self, x: Any) -> Any:
        return x

    def get_config(self) -> dict[str, Any]:
        """The arguments to make it again with."""
        raise ArgumentError(f"{type(self).__name__} does not implement get_config().")

    @classmethod
    def from_config(cls, config: Mapping[str, Any]) -> Self:
        """The quantizer that `get_config` described, here or in Keras."""
        return cls(**config)


class AbsMaxQuantizer(Quantizer):
    """`abs_max_quantize` with these arguments.

    Args:
        axis: over which the largest magnitude is taken, unless the call says; the last one at first.
        value_range, epsilon: as for `abs_max_quantize`.
        output_dtype: of the integers.

    Raises `ArgumentError` for a range outside int8.
    """

    def __init__(
        self,
        axis: int | Sequence[int] | None = None,
        value_range: tuple[int, int] = (-127, 127),
        epsilon: float | None = None,
        output_dtype: str = "int8",
    ) -> None:
        super().__init__(output_dtype)
        self.axis = None if axis is None else (axis,) if isinstance(axis, int) else tuple(axis)
        self.value_range = (value_range[0], value_range[1])
        self.epsilon = default_epsilon() if epsilon is None else epsilon
        if output_dtype == "int8" and (value_range[0] < -128 or value_range[1] > 127):
            raise ArgumentError(
                "Quantizer with output_dtype='int8' requires value_range to be within the interval [-128, 127]; "
                f"value_range={value_range} was given."
            )

    def __call__(self, x: Any, axis: int | Sequence[int] | None = None, to_numpy: bool = False) -> Any:
        chosen = self.axis if axis is None else axis
        return abs_max_quantize(
            x, -1 if chosen is None else chosen, self.value_range, self.output_dtype, self.epsilon, to_numpy
        )

    def get_config(self) -> dict[str, Any]:
        told = {"value_range": self.value_range, "epsilon": self.epsilon, "output_dtype": self.output_dtype}
        return told if self.axis is None else {**told, "axis": self.axis}


class QuantizationConfig:
    """How weights and activations are quantized; a base of those of each mode.

    Args:
        weight_quantizer: of weights; that of the mode unless given.
        activation_quantizer: of inputs; None leaves them floats.
    """

    def __init__(self, weight_quantizer: Any = None, activation_quantizer: Any = None) -> None:
        self.weight_quantizer, self.activation_quantizer = weight_quantizer, activation_quantizer

    @property
    def mode(self) -> str:
        """The mode it is for."""
        raise NotImplementedError("Subclasses must implement this property; QuantizationConfig has no mode.")

    def get_config(self) -> dict[str, Any]:
        """Both quantizers, described."""
        return {
            "weight_quantizer": serialize_keras_object(self.weight_quantizer),
            "activation_quantizer": serialize_keras_object(self.activation_quantizer),
        }

    @classmethod
    def from_config(cls, config: Mapping[str, Any]) -> Self:
        """The configuration that `get_config` described, here or in Keras."""
        quantizers = ("weight_quantizer", "activation_quantizer")
        return cls(**{k: get(v) if k in quantizers else v for k, v in config.items()})


def _int8_weights(config: QuantizationConfig) -> None:
    given = getattr(config.weight_quantizer, "output_dtype", "int8")
    if given != "int8":
        raise ArgumentError(
            f"{type(config).__name__} requires a weight_quantizer with output_dtype='int8', not {given!r}."
        )


class Int8QuantizationConfig(QuantizationConfig):
    """Weights and inputs as int8 (``keras.quantizers.Int8QuantizationConfig``)."""

    def __init__(self, weight_quantizer: Any = None, activation_quantizer: Any = "default") -> None:
        given = AbsMaxQuantizer() if activation_quantizer == "default" else activation_quantizer
        super().__init__(weight_quantizer, given)
        _int8_weights(self)

    @property
    def mode(self) -> str:
        return "int8"


class Int4QuantizationConfig(QuantizationConfig):
    """Weights as int4, in groups of ``block_size`` inputs with a zero point; None or -1: a scale for each output."""

    def __init__(
        self,
        weight_quantizer: Any = None,
        activation_quantizer: Any = "default",
        block_size: int | None = 128,
    ) -> None:
        given = None if activation_quantizer == "default" else activation_quantizer
        super().__init__(weight_quantizer, given)
        if block_size is not None and block_size != -1 and block_size <= 0:
            raise ArgumentError(f"block_size must be None, -1, or a positive integer, not {block_size!r}.")
        self.block_size = block_size
        if block_size not in (None, -1) and (weight_quantizer is not None or given is not None):
            raise ArgumentError(
                "Int4 sub-channel quantization (block_size > 0) does not support custom quantizers; give "
                "block_size=None, or none of them."
            )
        if weight_quantizer is not None and tuple(weight_quantizer.value_range) != (-8, 7):
            raise ArgumentError(
                "Int4QuantizationConfig requires a weight_quantizer with value_range=(-8, 7), not "
                f"{weight_quantizer.value_range}."
            )
        _int8_weights(self)

    @property
    def mode(self) -> str:
        return "int4"

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "block_size": self.block_size}

    @classmethod
    def from_config(cls, config: Mapping[str, Any]) -> Self:
        return super().from_config({"block_size": None, **config})


class Float8QuantizationConfig(QuantizationConfig):
    """Says of nothing but its mode; layers here are not trained in float8."""

    def __init__(self) -> None:
        super().__init__()

    @property
    def mode(self) -> str:
        return "float8"

    def get_config(self) -> dict[str, Any]:
        return {}


CONFIGS: dict[str, type[QuantizationConfig]] = {
    "int8": Int8QuantizationConfig, "int4": Int4QuantizationConfig, "float8": Float8QuantizationConfig
}  # fmt: skip
NAMES: dict[str, type] = {
    name: kind
    for kind in (Quantizer, AbsMaxQuantizer, QuantizationConfig, *CONFIGS.values())
    for name in (
        kind.__name__,
        "".join(f"_{c.lower()}" if c.isupper() else c for c in kind.__name__).strip("_"),
    )
}
"""Every class by its name, also in lower case."""


def get(identifier: Any, **kwargs: Any) -> Any:
    """The quantizer, or configuration, meant by a name, a class, a description, or by itself; None is None."""
    if identifier is None or (
        not isinstance(identifier, dict | str | type) and hasattr(identifier, "get_config")
    ):
        return identifier
    if isinstance(identifier, dict):
        return deserialize(identifier)
    if isinstance(identifier, str):
        found = get_registered_object(identifier, module_objects=NAMES)
        if found is None:
            raise UnknownName("quantizer", identifier, NAMES)
        identifier = found
    if not callable(identifier):
        raise ArgumentError(f"Could not interpret quantizer identifier: {identifier!r}.")
    return identifier(**kwargs) if isinstance(identifier, type) else identifier


def serialize(initializer: Any) -> Any:
    """A quantizer as plain data."""
    return serialize_keras_object(initializer)


def deserialize(config: Any, custom_objects: Mapping[str, Any] | None = None) -> Any:
    """The quantizer that `serialize` described, here or in Keras."""
    return deserialize_keras_object(config, custom_objects, module_objects=NAMES)


def validate_and_resolve_config(mode: str | None, config: Any) -> QuantizationConfig:
    """The configuration that ``mode`` or ``config`` means.

    Raises `ArgumentError` for neither, for a mode that there is none, and for two that contradict each other.
    """
    if isinstance(config, str):
        mode, config = config, None
    if mode is not None and mode not in QUANTIZATION_MODES:
        raise ArgumentError(
            f"Invalid quantization mode. Expected one of {QUANTIZATION_MODES}; mode={mode!r} was given."
        )
    if config is None:
        if mode is None:
            raise ArgumentError("You must provide either `mode` or `config` to `quantize`.")
        if mode not in CONFIGS:
            raise ArgumentError(
                f"For {mode!r} a config object is needed, and there is none here; use 'int8' or 'int4'."
            )
        return CONFIGS[mode]()
    if not isinstance(config, QuantizationConfig):
        raise ArgumentError(f"Argument `config` must be an instance of `QuantizationConfig`, not {config!r}.")
    if mode is not None and config.mode != mode:
        raise ArgumentError(f"Contradictory arguments: mode={mode!r} but config.mode={config.mode!r}.")
    return config
