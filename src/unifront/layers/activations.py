"""Activations as layers, and as arguments of others."""

from __future__ import annotations

from typing import Annotated, Any, Unpack

from unifront import ops
from unifront.activations import get
from unifront.arguments import Amount, Real, checked, meant, within
from unifront.errors import ShapeError
from unifront.layers.arguments import Axes, Constraint, LayerOptions
from unifront.layers.building import feature_size
from unifront.layers.initializers import InitializerLike
from unifront.layers.layer import Layer
from unifront.layers.regularizers import RegularizerLike
from unifront.opset.rules import show
from unifront.opset.tensor import type_of

ActivationLike = Annotated[Any, meant(get)]
"""What `unifront.activations.get` takes."""


class ActivationAttribute:
    """An attribute that is an activation function, also where it is set after the layer was made: by whatever means
    one, None for none. What was traced before is traced again."""

    def __set_name__(self, owner: type, name: str) -> None:
        self.name = name

    def __get__(self, layer: Any, owner: type | None = None) -> Any:
        if layer is None:
            return self
        if self.name not in vars(layer):
            raise AttributeError(f"{type(layer).__name__!r} object has no attribute {self.name!r}")
        return vars(layer)[self.name]

    def __set__(self, layer: Any, value: Any) -> None:
        held, function = vars(layer), get(value)
        if self.name in held:
            held["_activations_set"] = held.get("_activations_set", 0) + 1
        held[self.name] = function


class Activation(Layer):
    """An activation function as a layer."""

    activation = ActivationAttribute()
    built_at_once = True
    supports_masking = True

    @checked
    def __init__(self, activation: ActivationLike, **options: Unpack[LayerOptions]) -> None:
        super().__init__(**options)
        self.activation = activation

    def call(self, x: Any) -> Any:
        return self.activation(x)


class ReLU(Layer):
    """``x`` above ``threshold`` (at most ``max_value``), ``negative_slope * (x - threshold)`` below."""

    built_at_once = True
    supports_masking = True

    @checked
    def __init__(
        self,
        max_value: Annotated[float, within("[0, inf]")] | None = None,
        negative_slope: Amount = 0.0,
        threshold: Amount = 0.0,
        **options: Unpack[LayerOptions],
    ) -> None:
        super().__init__(**options)
        self.max_value, self.negative_slope, self.threshold = max_value, negative_slope, threshold

    def call(self, x: Any) -> Any:
        if not self.threshold and not self.negative_slope:
            if self.max_value is None:
                return ops.relu(x)
            return ops.relu6(x) if self.max_value == 6 else ops.clip(x, 0.0, self.max_value)
        low = (
            ops.multiply(ops.subtract(x, self.threshold), self.negative_slope) if self.negative_slope else 0.0
        )
        high = x if self.max_value is None else ops.minimum(x, self.max_value)
        return ops.where(ops.less_equal(x, self.threshold), low, high)


class LeakyReLU(Layer):
    """``x`` above zero, ``negative_slope * x`` below."""

    built_at_once = True
    supports_masking = True

    @checked
    def __init__(self, negative_slope: Amount = 0.3, **options: Unpack[LayerOptions]) -> None:
        super().__init__(**options)
        self.negative_slope = negative_slope

    def call(self, x: Any) -> Any:
        return ops.leaky_relu(x, self.negative_slope)


class PReLU(Layer):
    """``x`` above zero, ``alpha * x`` below, with a learnt ``alpha`` for each feature (He et al. 2015).

    Args:
        shared_axes: axes (counted from 1) that share one ``alpha``: ``[1, 2]`` for one a channel of images.
    """

    supports_masking = True

    @checked
    def __init__(
        self,
        alpha_initializer: InitializerLike = "Zeros",
        alpha_regularizer: RegularizerLike = None,
        alpha_constraint: Constraint = None,
        shared_axes: Axes | None = None,
        **options: Unpack[LayerOptions],
    ) -> None:
        super().__init__(**options)
        self.declare("alpha", alpha_initializer, alpha_regularizer, alpha_constraint)
        self.shared_axes = (shared_axes,) if isinstance(shared_axes, int) else tuple(shared_axes or ())

    def build(self, shape: Any) -> None:
        if any(not 0 < axis < len(shape) for axis in self.shared_axes):
            raise ShapeError(
                f"The shared axes {self.shared_axes} are not all axes of {show(shape)} but batch."
            )
        sizes = [
            1 if axis in self.shared_axes else feature_size(shape, axis) for axis in range(1, len(shape))
        ]
        self.alpha = self.add_declared("alpha", sizes)

    def call(self, x: Any) -> Any:
        return ops.subtract(ops.relu(x), ops.multiply(self.alpha, ops.relu(ops.negative(x))))


class ELU(Layer):
    """``x`` above zero, ``alpha * (exp(x) - 1)`` below."""

    built_at_once = True
    supports_masking = True

    @checked
    def __init__(self, alpha: Real = 1.0, **options: Unpack[LayerOptions]) -> None:
        super().__init__(**options)
        self.alpha = alpha

    def call(self, x: Any) -> Any:
        return ops.elu(x, self.alpha)


class Softmax(Layer):
    """Softmax along ``axis`` (one or several).

    Call with ``mask``, booleans that broadcast to the input, to give probability zero where it is false.
    """

    built_at_once = True
    supports_masking = True

    @checked
    def __init__(self, axis: Axes = -1, **options: Unpack[LayerOptions]) -> None:
        super().__init__(**options)
        self.axis = axis if isinstance(axis, int) else tuple(axis)

    def call(self, x: Any, mask: Any = None) -> Any:
        return masked_softmax(x, mask, self.axis)


def masked_softmax(x: Any, mask: Any, axis: int | tuple[int, ...]) -> Any:
    """The softmax of the elements where ``mask``, which broadcasts to ``x``, is true; zero elsewhere."""
    axis = axis[0] if isinstance(axis, tuple) and len(axis) == 1 else axis
    if mask is None:
        return ops.softmax(x, axis=axis)
    counts, type_ = type_of(mask), type_of(x)
    pairs = zip(counts.shape[::-1], type_.shape[::-1], strict=False)
    if counts.rank > type_.rank or any(
        isinstance(a, int) and isinstance(b, int) and a not in (1, b) for a, b in pairs
    ):
        raise ShapeError(
            f"The `mask` must be broadcastable to `inputs`: it is {show(counts.shape)}, they are "
            f"{show(type_.shape)}. Each mask dimension must be 1 or match the corresponding input dimension."
        )
    mask = mask if counts.dtype.name == "bool" else ops.greater(mask, 0.5)
    far = -3e4 if type_.dtype.bits == 16 else -1e9  # as Keras; in every dtype's range
    return ops.where(mask, ops.softmax(ops.where(mask, x, far), axis=axis), 0.0)  # zero where none counts too
