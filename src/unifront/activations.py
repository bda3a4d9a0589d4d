"""Activation functions by Keras's names: those of `unifront.ops`, and what is called otherwise there."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from unifront import ops
from unifront.ops import (
    celu,
    elu,
    glu,
    hard_shrink,
    hard_sigmoid,
    hard_silu,
    hard_tanh,
    leaky_relu,
    log_sigmoid,
    log_softmax,
    relu6,
    selu,
    sigmoid,
    silu,
    soft_shrink,
    softmax,
    softplus,
    softsign,
    sparse_plus,
    sparse_sigmoid,
    sparsemax,
    squareplus,
    tanh,
    tanh_shrink,
    threshold,
)
from unifront.serialization import deserialize_keras_object, identified, serialize_keras_object

_Limit = float | None


def linear(x: Any) -> Any:
    """``x`` itself."""
    return x


def exponential(x: Any) -> Any:
    """``exp(x)``."""
    return ops.exp(x)


def gelu(x: Any, approximate: bool = False) -> Any:
    """The Gaussian error linear unit, exact unless ``approximate``; see `uf.ops.gelu`."""
    return ops.gelu(x, approximate=approximate)


def mish(x: Any) -> Any:
    """``x * tanh(softplus(x))`` (Misra 2019; ONNX Mish)."""
    return ops.multiply(x, ops.tanh(ops.softplus(x)))


def relu(x: Any, negative_slope: float = 0.0, max_value: _Limit = None, threshold: float = 0.0) -> Any:
    """``x`` from ``threshold`` on, at most ``max_value``; ``negative_slope * (x - threshold)`` below.

    Source: ``keras.activations.relu``; without arguments ONNX Relu.
    """
    if not negative_slope and not threshold:
        return ops.relu(x) if max_value is None else ops.clip(x, 0.0, float(max_value))
    low = ops.multiply(ops.subtract(x, threshold), negative_slope)
    high = x if max_value is None else ops.minimum(x, max_value)
    return ops.where(ops.greater(x, threshold), high, low)


swish, hard_swish = silu, hard_silu

NAMES: dict[str, Callable[..., Any]] = {
    "celu": celu, "elu": elu, "exponential": exponential, "gelu": gelu, "glu": glu, "hard_shrink": hard_shrink,
    "hard_sigmoid": hard_sigmoid, "hard_silu": hard_silu, "hard_swish": hard_silu, "hard_tanh": hard_tanh,
    "leaky_relu": leaky_relu, "linear": linear, "log_sigmoid": log_sigmoid, "log_softmax": log_softmax, "mish": mish,
    "relu": relu, "relu6": relu6, "selu": selu, "sigmoid": sigmoid, "silu": silu, "soft_shrink": soft_shrink,
    "softmax": softmax, "softplus": softplus, "softsign": softsign, "sparse_plus": sparse_plus,
    "sparse_sigmoid": sparse_sigmoid, "sparsemax": sparsemax, "squareplus": squareplus, "swish": silu, "tanh": tanh,
    "tanh_shrink": tanh_shrink, "threshold": threshold,
}  # fmt: skip

_NAMED: dict[int, str] = {
    **{id(function): name for name, function in reversed(NAMES.items()) if name not in ("swish", "hard_swish")},
    id(ops.relu): "relu", id(ops.exp): "exponential",
}  # fmt: skip


def name_of(activation: Callable[[Any], Any]) -> str | None:
    """The name that means the function ``activation``, if one does."""
    return _NAMED.get(id(activation))


def get(identifier: Any) -> Callable[[Any], Any]:
    """The function meant by a name, a description, a callable or None (`linear`).

    Raises `UnknownName` for another name, `ArgumentError` for what is neither, or a class (not an instance).
    """
    found = identified("activation", identifier, NAMES, makes=False, what="a name, a layer or a function")
    return linear if found is None else found


def serialize(activation: Any) -> Any:
    """The activation as plain data: its name if it is one of ours."""
    return name_of(activation) or serialize_keras_object(activation)


def deserialize(config: Any, custom_objects: Mapping[str, Any] | None = None) -> Any:
    """The activation that `serialize` described."""
    return deserialize_keras_object(config, custom_objects, module_objects=NAMES)


def __dir__() -> list[str]:
    return [*NAMES, "deserialize", "get", "serialize"]
