"""Layers whose weights are quantized for inference: `quantize`, as Keras's layers have it."""

from __future__ import annotations

import math
import re
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from unifront import dtype_policies, ops
from unifront.arguments import part_of
from unifront.dtype_policies import QUANTIZATION_MODES, check_range
from unifront.errors import ArgumentError, NotBuiltError, NotQuantizable
from unifront.layers.initializers import Given
from unifront.opset.tensor import backend_of_arrays
from unifront.quantizers import (
    AbsMaxQuantizer,
    QuantizationConfig,
    abs_max_quantize_grouped_with_zero_point,
    dequantize_with_sz_map,
    get,
    pack_int4,
    unpack_int4,
    validate_and_resolve_config,
)
from unifront.serialization import serialize_keras_object
from unifront.weights import Variable

MODES = ("int8", "int4")
"""What layers are quantized to; the others of `QUANTIZATION_MODES` want training or data for calibration."""
INT4 = (-8, 7)


@part_of("Layer")
class Quantized:
    """What layers share whose largest weight may be kept as int8 or int4, with scales.

    A quantized weight takes the place of the float one under its name, and does not train; beside it there are
    ``NAME_scale``, and for groups of int4 ``NAME_zero`` and ``g_idx``. Two int4 numbers share a byte, along the last
    axis.
    """

    quantization_config: QuantizationConfig | None = None
    inputs_quantizer: Any = None
    _block_size: int | None = None
    _whole_shape: tuple[int, ...] | None = None
    """The shape of the weight before it was quantized; None: it is not."""

    if TYPE_CHECKING:
        adapted_weight: str
        name: Any
        built: bool
        dtype_policy: Any
        compute_dtype: Any
        quantization_mode: str | None
        _weights: list[Variable]

        def add_weight(self, *args: Any, **kwargs: Any) -> Variable: ...

    # ------------------------------------------------------------ what each layer says

    def quantized_axes(self) -> tuple[int, ...]:
        """The axes of the weight over which one scale holds."""
        raise NotImplementedError

    def told_scale(self, scale: np.ndarray) -> np.ndarray:
        """A scale, with ``quantized_axes`` kept as 1, as the layer keeps it."""
        return np.squeeze(scale, self.quantized_axes())

    def as_matrix(self, values: np.ndarray) -> np.ndarray:
        """The weight as the matrix whose rows int4 makes groups of: what is summed, by what is not."""
        return values

    def from_matrix(self, values: np.ndarray) -> np.ndarray:
        """What `as_matrix` gave (or scales, or zero points, of its columns), as the layer keeps it."""
        return values

    def ask_quantized(self, config: Any) -> None:
        """Keep what a constructor was given; `begin_quantized` at the end of `build` heeds it."""
        if config is not None:
            found = get(config)
            if not isinstance(found, QuantizationConfig):
                raise ArgumentError(
                    f"quantization_config is a uf.quantizers.QuantizationConfig, not {config!r}."
                )
            self.quantization_config = found

    # ------------------------------------------------------------ quantizing

    def quantize(self, mode: str | None = None, type_check: bool = True, config: Any = None) -> None:
        """Keep the weight as integers from now on. The layer computes with them, and its inputs may still be trained.

        Args:
            mode: ``"int8"`` (inputs are quantized too, and products added up in int32) or ``"int4"`` (inputs stay
                floats); that of ``config`` unless given.
            type_check: whether a subclass is refused, which may use the weight in ways of its own.
            config: a `uf.quantizers.QuantizationConfig`; for ``"int4"`` it has groups of 128 inputs by default.

        Raises `NotBuiltError` before the weight is made, `ArgumentError` the second time, for another mode, and for
        int8 where the layer computes in float16; `NotQuantizable` for a mode that wants training or calibration, and
        for a subclass. Source: ``keras.layers.Dense.quantize``.

        Example::

            layer = layers.Dense(8)
            layer.build((None, 16))
            layer.quantize("int8")
        """
        resolved = validate_and_resolve_config(mode, config)
        self._check_quantizable(resolved.mode, type_check)
        self._quantize(resolved)

    def _check_quantizable(self, mode: str, type_check: bool) -> None:
        if not self.built:
            raise NotBuiltError(
                f"{self.name}: Cannot quantize a layer that isn't yet built. Call it or build(shape) first."
            )
        if self._whole_shape is not None:
            raise ArgumentError(
                f"{self.name} is already quantized with dtype_policy={self.dtype_policy.name!r}; mode={mode!r} was "
                "given."
            )
        check_range(mode, self.compute_dtype)
        if mode not in MODES:
            raise NotQuantizable(
                f"{self.name}: layers are quantized for inference, to {' or '.join(map(repr, MODES))}, not to {mode!r}."
            )
        if type_check and "quantized_axes" not in vars(type(self)):
            raise NotQuantizable(
                f"{type(self).__name__} is a subclass that may use its weights in ways of its own; quantize(..., "
                "type_check=False) takes it as what it derives from."
            )

    def begin_quantized(self) -> None:
        """At the end of `build`: quantize the weight if the layer's policy says so."""
        mode = self.dtype_policy.quantization_mode
        if mode is None or self._whole_shape is not None:
            return
        config = self.quantization_config
        if config is None and mode == "int4":
            size = getattr(self.dtype_policy, "block_size", -1)
            config = get("Int4QuantizationConfig", block_size=None if size == -1 else size)
        resolved = validate_and_resolve_config(mode, config)
        self._check_quantizable_at_build(mode)
        self._quantize(resolved, told=self.quantization_config)

    def _check_quantizable_at_build(self, mode: str) -> None:
        if mode not in MODES:
            raise NotQuantizable(
                f"{self.name}: layers are quantized to {' or '.join(map(repr, MODES))}, not to {mode!r}."
            )

    def _quantize(self, config: QuantizationConfig, told: Any = ...) -> None:
        what = self.adapted_weight
        whole: Variable = vars(self)[what]
        self.quantization_config = config if told is ... else told
        size = getattr(config, "block_size", None)
        self._block_size = None if size == -1 else size
        made = self._int8(whole, config) if config.mode == "int8" else self._int4(whole, config)
        self._whole_shape = whole.shape
        self.inputs_quantizer = config.activation_quantizer
        self._replace(whole, made)
        if self.dtype_policy.quantization_mode is None:
            mode = (
                config.mode
                if config.mode == "int8"
                else f"int4/{-1 if self._block_size is None else self._block_size}"
            )
            vars(self)["_policy"] = dtype_policies.get(f"{mode}_from_{self.dtype_policy.name}")

    def _replace(self, whole: Variable, made: Mapping[str, np.ndarray]) -> None:
        """Put new weights, which do not train, in the place of ``whole``."""
        at = next(i for i, weight in enumerate(self._weights) if weight is whole)
        del self._weights[at]
        place = whole.path.rpartition("/")[0]
        for name, array in made.items():
            kind = array.dtype.name if array.dtype.kind == "i" or name == "g_idx" else None
            weight = self.add_weight(array.shape, Given(array), name=name, dtype=kind, trainable=False)
            weight.path = f"{place}/{name}" if place else name
            setattr(self, name, weight)

    def _int8(self, whole: Variable, config: QuantizationConfig) -> dict[str, np.ndarray]:
        quantizer = config.weight_quantizer or AbsMaxQuantizer(axis=self.quantized_axes())
        values, scale = quantizer(whole, to_numpy=True)
        return {self.adapted_weight: values, f"{self.adapted_weight}_scale": self.told_scale(scale)}

    def _int4(self, whole: Variable, config: QuantizationConfig) -> dict[str, np.ndarray]:
        what, matrix = self.adapted_weight, self.as_matrix(whole.numpy())
        if self._block_size is None:
            quantizer = config.weight_quantizer or AbsMaxQuantizer(axis=0, value_range=INT4)
            values, scale = quantizer(matrix, axis=0, to_numpy=True)
            made = {f"{what}_scale": self.from_matrix(scale)[..., 0] if self._is_turned() else scale[0]}
        else:
            values, scale, zero = abs_max_quantize_grouped_with_zero_point(
                matrix, self._block_size, to_numpy=True
            )
            groups = (np.arange(len(matrix)) // self._block_size).astype(np.float32)
            made = {
                f"{what}_scale": self.from_matrix(scale), f"{what}_zero": self.from_matrix(zero), "g_idx": groups
            }  # fmt: skip
        return {what: pack_int4(self.from_matrix(values), axis=-1)[0], **made}

    def _is_turned(self) -> bool:
        """Whether the weight lies with what is summed last."""
        return self.quantized_axes() in ((-1,), (1,))

    # ------------------------------------------------------------ computing

    def quantized_product(
        self, x: Any, product: Callable[[Any, Any], Any], back: Callable[[Any, Any], Any], **axes: Any
    ) -> Any:
        """``product(x, weight)`` with the quantized weight; its gradient is that of the weight made a float again.

        Args:
            product: of the input, as integers or floats, and the weight likewise.
            back: ``(upstream, float weight)``, the gradient of the input.
            axes: ``scale_of``, how a scale of the inputs lies along the result; ``over``, the axes that are summed;
                ``weight``, another weight as integers, and its scale.
        """
        dtype, over = self.compute_dtype, axes.get("over", -1)
        along: Callable[[Any], Any] = axes.get("scale_of", lambda scale: scale)
        other = axes.get("weight")

        def gradient(upstream: Any) -> Any:
            with backend_of_arrays([upstream]):  # eagerly it comes when the layer's call is over
                weight = (
                    self.float_weight() if other is None else ops.divide(ops.cast(other[0], dtype), other[1])
                )
                return back(upstream, weight)

        @ops.custom_gradient
        def run(given: Any) -> Any:
            if self.quantization_mode == "int4" and (
                self.inputs_quantizer is None or self._block_size is not None
            ):
                return product(given, self.float_weight()), gradient
            weight, scale = other or (
                self.integer_weight(), vars(self)[f"{self.adapted_weight}_scale"]
            )  # fmt: skip
            integers = given
            if self.inputs_quantizer is not None:
                integers, own = self.inputs_quantizer(given, axis=over)
                scale = ops.multiply(scale, along(own))
            y = ops.divide(ops.cast(product(integers, weight), dtype), scale)
            return y, gradient

        return run(x)

    def integer_weight(self) -> Any:
        """The quantized weight, one integer a number."""
        weight: Variable = vars(self)[self.adapted_weight]
        if self.quantization_mode != "int4":
            return weight
        assert self._whole_shape is not None
        columns = self._whole_shape[-1] if len(weight.shape) == len(self._whole_shape) else self._columns()
        return unpack_int4(weight, columns, axis=-1)

    @property
    def whole_shape(self) -> tuple[int, ...]:
        """The shape that the quantized weight had before."""
        assert self._whole_shape is not None
        return self._whole_shape

    def _columns(self) -> int:
        assert self._whole_shape is not None
        summed = {axis % len(self._whole_shape) for axis in self.quantized_axes()}
        return math.prod(size for axis, size in enumerate(self._whole_shape) if axis not in summed)

    def float_weight(self) -> Any:
        """The quantized weight as floats, in its own shape."""
        what, values = self.adapted_weight, self.integer_weight()
        scale: Any = vars(self)[f"{what}_scale"]
        if self.quantization_mode == "int4" and self._block_size is not None:
            zero, groups = vars(self)[f"{what}_zero"], vars(self)["g_idx"]
            found = dequantize_with_sz_map(
                ops.cast(values, self.compute_dtype), ops.cast(scale, self.compute_dtype), zero, groups,
                -1 if self._is_turned() else 0,
            )  # fmt: skip
        else:
            found = ops.divide(ops.cast(values, self.compute_dtype), self.weight_scale(scale))
        return ops.reshape(found, self.whole_shape)

    def weight_scale(self, scale: Any) -> Any:
        """The scale as it lies along the weight."""
        return ops.expand_dims(scale, -1) if self._is_turned() else scale

    # ------------------------------------------------------------ telling

    def get_config(self) -> dict[str, Any]:  # of the layer, which tells the rest
        told: dict[str, Any] = super().get_config()  # type: ignore[misc]  # of the layer
        if self.quantization_config is not None:
            told["quantization_config"] = serialize_keras_object(self.quantization_config)
        return told

    def traced_state(self) -> Any:
        """A trace has either kind of weight."""
        own = super().traced_state()  # type: ignore[misc]  # of the layer
        return (
            own if self._whole_shape is None else (own, self.dtype_policy.name, repr(self.inputs_quantizer))
        )


def quantizable(model: Any, filters: Any) -> Iterator[Any]:
    """The layers of ``model`` without others inside whose names ``filters`` are for.

    Raises `ArgumentError` for what is no filter.
    """
    if filters is not None and not isinstance(filters, str | list | tuple) and not callable(filters):
        raise ArgumentError(
            f"The `filters` argument must be a regex string, a list of them, or a callable, not {filters!r}."
        )
    patterns: Sequence[str] = (
        [filters] if isinstance(filters, str) else () if callable(filters) else filters or ()
    )
    for layer in list(model.layers_below()):
        wanted = (
            filters(layer)
            if callable(filters)
            else not patterns or any(re.search(p, layer.name) for p in patterns)
        )
        if wanted and not list(layer.children()):
            yield layer


def quantize_model(model: Any, mode: str | None, config: Any, filters: Any, type_check: bool) -> None:
    """See `Model.quantize`."""
    resolved = validate_and_resolve_config(mode, config)
    if resolved.mode not in QUANTIZATION_MODES or resolved.mode not in MODES:
        raise NotQuantizable(
            f"Models are quantized to {' or '.join(map(repr, MODES))}, not to {resolved.mode!r}."
        )
    for layer in quantizable(model, filters):
        try:
            layer.quantize(resolved.mode, type_check=type_check, config=config)
        except NotQuantizable as error:
            if isinstance(layer, Quantized):
                warnings.warn(str(error), stacklevel=3)
