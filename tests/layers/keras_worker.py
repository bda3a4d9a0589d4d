"""Keras's side of the comparison, which runs in a process of its own; nothing here imports Keras elsewhere."""

from __future__ import annotations

import inspect
import os
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import compress
from typing import Any

import numpy as np

from tests.layers.case import Case, Verdict, apply, arguments, random_weights, weighting, with_floats
from unifront import tree


def _keras() -> Any:
    os.environ["KERAS_BACKEND"] = "tensorflow"
    import keras

    assert keras.backend.backend() == "tensorflow"
    return keras


def _names(keras: Any) -> dict[str, Any]:
    return {
        **vars(keras.layers), "Input": keras.Input, "Model": keras.Model, "Sequential": keras.Sequential,
        "regularizers": keras.regularizers,
    }  # fmt: skip


@contextmanager
def _floatx(keras: Any, dtype: str) -> Iterator[None]:
    before = keras.config.floatx(), keras.config.dtype_policy()
    keras.config.set_floatx(dtype)
    keras.config.set_dtype_policy(dtype)
    try:
        yield
    finally:
        keras.config.set_floatx(before[0])
        keras.config.set_dtype_policy(before[1])


def verdict(case: Case) -> Verdict:
    """What Keras's layer gives, in float64."""
    keras = _keras()
    with _floatx(keras, case.judge_dtype), warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=".*does not support masking")
        layer = eval(case.judge or case.text, _names(keras))
        given = [keras.ops.convert_to_tensor(with_floats(array, case.judge_dtype)) for array in case.arrays()]
        apply(case.call, layer, given)
        names = [weight.name for weight in layer.weights]
        before = random_weights([(w.name, tuple(w.shape)) for w in layer.weights])
        layer.set_weights(before)

        def total(*tensors: Any) -> Any:
            outputs = [o for o in tree.leaves(apply(case.call, case.bound(layer), tensors)) if o is not None]
            losses = sum(layer.losses) if layer.losses else keras.ops.zeros(())
            loss = losses
            for output, weight in zip(outputs, weighting(outputs), strict=True):
                if weight is not None:
                    loss = loss + keras.ops.sum(
                        output * keras.ops.convert_to_tensor(with_floats(weight, case.judge_dtype))
                    )
            return loss, losses, outputs

        outputs, losses, gradients = _gradients(total, given, layer.trainable_weights)
        after = [keras.ops.convert_to_numpy(weight.value) for weight in layer.weights]
        floats = ["float" in str(one.dtype) for one in given]
        wanted = [*compress(given, floats), *layer.trainable_weights]
        slopes = [
            np.zeros(tuple(at.shape)) if slope is None else keras.ops.convert_to_numpy(slope)
            for slope, at in zip(gradients, wanted, strict=True)
        ]
        numbers = [np.array(keras.ops.convert_to_numpy(output)) for output in outputs]
        return Verdict(numbers, float(losses), slopes, names, before, [np.array(one) for one in after])


def _gradients(total: Any, given: list[Any], weights: list[Any]) -> tuple[Any, Any, list[Any]]:
    import tensorflow as tf

    floats = [one for one in given if one.dtype.is_floating]
    with tf.GradientTape() as tape:
        tape.watch(floats)
        loss, losses, outputs = total(*given)
    slopes = tape.gradient(loss, [*floats, *(weight.value for weight in weights)])
    return outputs, losses, [None if s is None else tf.convert_to_tensor(s) for s in slopes]


def recurrent_with_dropout(
    text: str, x: np.ndarray, masks: dict[str, np.ndarray]
) -> tuple[list[np.ndarray], np.ndarray]:
    """The weights of a recurrent layer, and its output while training with these dropout masks."""
    keras = _keras()
    with _floatx(keras, "float64"):
        layer = eval(text, _names(keras))
        layer(x)
        weights = [np.random.default_rng(2).normal(size=w.shape) for w in layer.weights]
        layer.set_weights(weights)
        cell = layer.cell
        gates = {"SimpleRNN": None, "LSTM": 4, "GRU": 3}[type(layer).__name__]
        for name, numbers in masks.items():
            if getattr(cell, name):  # Keras's SimpleRNN would take the mask nevertheless
                mask = keras.ops.convert_to_tensor(numbers)
                alone = gates is None or cell.implementation == 2
                setattr(cell, f"_{name}_mask", mask if alone else [mask] * gates)
        return weights, keras.ops.convert_to_numpy(layer(x, training=True))


def keras_arguments(name: str) -> dict[str, Any]:
    """The arguments of the layer ``name`` with their defaults."""
    return arguments(getattr(_keras().layers, name))


def supports_masking(text: str) -> bool:
    """Whether masks pass through the layer."""
    return bool(eval(text, _names(_keras())).supports_masking)


def keras_positional(name: str) -> list[str]:
    """The parameters of the layer ``name`` that stand in its signature, in order."""
    parameters = inspect.signature(getattr(_keras().layers, name)).parameters.values()
    return [one.name for one in parameters if one.kind is inspect.Parameter.POSITIONAL_OR_KEYWORD]


def keras_reads(description: dict[str, Any]) -> Any:
    """What Keras says of the object that it makes from a description of ours."""
    keras = _keras()
    made = keras.saving.deserialize_keras_object(description)
    return keras.saving.serialize_keras_object(made)


def keras_runs(text: str, weights: list[np.ndarray], arrays: list[np.ndarray]) -> list[np.ndarray]:
    """What the model that Keras makes from JSON of ours gives."""
    keras = _keras()
    model = keras.models.model_from_json(text)
    model.set_weights(weights)
    outputs = tree.leaves(model(arrays if len(arrays) > 1 else arrays[0]))
    return [np.array(keras.ops.convert_to_numpy(one)) for one in outputs]


def keras_model(text: str, arrays: list[np.ndarray]) -> tuple[str, list[np.ndarray], list[np.ndarray]]:
    """JSON, weights and outputs of a model that the statements of ``text`` make in Keras."""
    keras = _keras()
    names: dict[str, Any] = {"keras": keras, "layers": keras.layers}
    exec(text, names)
    model = names["model"]
    outputs = tree.leaves(model(arrays if len(arrays) > 1 else arrays[0]))
    return (
        model.to_json(),
        model.get_weights(),
        [np.array(keras.ops.convert_to_numpy(one)) for one in outputs],
    )


@dataclass(frozen=True)
class Judged:
    """What Keras's layer is and gives under a dtype policy: dtypes, weights, outputs in float32 and their dtypes."""

    compute_dtype: str
    variable_dtypes: list[str]
    weights: list[np.ndarray]
    outputs: list[np.ndarray]
    output_dtypes: list[str]


def under_policy(texts: Sequence[Case], policy: str) -> list[Judged]:
    """Each layer under a dtype policy; without outputs where TensorFlow has no kernel for it on CPU."""
    keras = _keras()
    keras.config.set_dtype_policy(policy)
    try:
        return [_under_policy(keras, case) for case in texts]
    finally:
        keras.config.set_dtype_policy("float32")


def _under_policy(keras: Any, case: Case) -> Judged:
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=".*does not support masking")
        given = [keras.ops.convert_to_tensor(with_floats(one, "float32")) for one in case.arrays()]
        try:
            layer = eval(case.judge or case.text, _names(keras))
            apply(case.call, layer, given)
        except Exception as error:  # noqa: BLE001  # of any kind
            return Judged(str(error)[:200], [], [], [], [])
        before = random_weights([(w.name, tuple(w.shape)) for w in layer.weights])
        layer.set_weights(before)
        outputs = [o for o in tree.leaves(apply(case.call, layer, given)) if o is not None]
    dtypes = [keras.backend.standardize_dtype(output.dtype) for output in outputs]
    pairs = zip(outputs, dtypes, strict=True)
    numbers = [np.asarray(keras.ops.cast(o, "float32") if "float" in d else o) for o, d in pairs]
    return Judged(layer.compute_dtype, [str(w.dtype) for w in layer.weights], before, numbers, dtypes)
