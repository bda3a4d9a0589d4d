"""Layers judged by Keras: one text makes the layer of both, the weights are copied, and results are compared.

Keras's backend is chosen once for the process, before Keras is first imported: TensorFlow, on
which alone it computes in float64, unless the environment says otherwise.
"""

from __future__ import annotations

import os
import warnings

os.environ.setdefault("KERAS_BACKEND", "tensorflow")

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cache, partial
from itertools import compress
from typing import Any

import keras
import numpy as np

if keras.backend.backend() != os.environ["KERAS_BACKEND"] or keras.backend.backend() != "tensorflow":
    raise RuntimeError("These tests are judged by Keras on tensorflow; run them in a process of their own: make test.")

import unifront as uf
from unifront import layers, ops, tree
from unifront.backend import installed, placement
from unifront.dtypes import dtype_of
from unifront.ir.types import TensorType
from unifront.testing import FORWARD, GRADIENT, assert_close
from unifront.trace import current_context, trace

BACKENDS = [name for name in installed() if name != "numpy"]
OURS = {**vars(layers), "Input": uf.Input, "Model": uf.Model, "Sequential": uf.Sequential,
        "regularizers": uf.regularizers}  # fmt: skip
KERAS = {**vars(keras.layers), "Input": keras.Input, "Model": keras.Model, "Sequential": keras.Sequential,
         "regularizers": keras.regularizers}  # fmt: skip


@dataclass(frozen=True)
class Ints:
    """Integer inputs below ``high``."""

    shape: tuple[int, ...]
    high: int


@dataclass(frozen=True)
class Padded:
    """Sequences whose masked steps are zeros: a row masked whole, holes, an end, and full rows."""

    shape: tuple[int, ...]
    high: int | None = None


Source = tuple[int, ...] | Ints | Padded | np.ndarray


@dataclass(frozen=True, eq=False)
class Case:
    """A layer as text, the inputs it gets, and how it is called.

    Args:
        bounds: wider bounds by dtype, with their reason beside them.
        judge: the text for Keras, where its backend on CPU lacks the form that ``text`` has.
        judge_dtype: what Keras computes in, where its backend lacks float64.
    """

    text: str
    inputs: tuple[Source, ...]
    call: str = "layer(*x)"
    training: bool = False
    bounds: dict[str, float] = field(default_factory=dict)
    judge: str | None = None
    judge_dtype: str = "float64"

    def __str__(self) -> str:
        shapes = ", ".join(
            str(getattr(source, "shape", source)).replace(" ", "").strip("()") for source in self.inputs
        )
        call = "" if self.call == "layer(*x)" else f" {self.call}"
        return f"{self.text} [{shapes}]{call}{' training' if self.training else ''}"

    def bound(self, layer: Any) -> Any:
        """The layer, training if the case says so."""
        return partial(layer, training=True) if self.training else layer

    def arrays(self) -> list[np.ndarray]:
        rng = np.random.default_rng(len(self.text))
        return [_array(source, rng) for source in self.inputs]


def case(text: str, *inputs: Source, **options: Any) -> Case:
    return Case(text, inputs, **options)


def _array(source: Source, rng: np.random.Generator) -> np.ndarray:
    match source:
        case np.ndarray():
            return source
        case Ints():
            return rng.integers(0, source.high, source.shape).astype(np.int32)
        case Padded():
            batch, time, *features = source.shape
            mask = np.ones((batch, time), bool)
            mask[0] = False
            mask[1, 1::2] = False
            mask[2, -2:] = False
            if source.high is not None:
                return np.where(mask, rng.integers(1, source.high, (batch, time)), 0).astype(np.int32)
            return rng.normal(size=source.shape) * mask.reshape(batch, time, *[1] * len(features))
    return rng.normal(size=source)


def _as(array: np.ndarray, dtype: str) -> np.ndarray:
    return array.astype(dtype) if array.dtype.kind == "f" else array


@dataclass
class Verdict:
    """What a layer gives: outputs, losses it adds, gradients of a weighted sum, weights before and after."""

    outputs: list[np.ndarray]
    losses: float
    gradients: list[np.ndarray]
    names: list[str]
    before: list[np.ndarray]
    after: list[np.ndarray]


@contextmanager
def floatx(dtype: str) -> Iterator[None]:
    """A block in which new layers of both are of ``dtype``."""
    before = keras.config.floatx(), keras.config.dtype_policy(), uf.floatx()
    keras.config.set_floatx(dtype)
    keras.config.set_dtype_policy(dtype)
    uf.set_floatx(dtype)
    try:
        yield
    finally:
        keras.config.set_floatx(before[0])
        keras.config.set_dtype_policy(before[1])
        uf.set_floatx(before[2])


def random_weights(shapes: Sequence[tuple[str, tuple[int, ...]]]) -> list[np.ndarray]:
    """Weights of a usual size; variances positive."""
    rng = np.random.default_rng(11)
    values = [rng.normal(size=shape) * 0.5 for _, shape in shapes]
    return [
        np.abs(value) + 0.5 if "variance" in name else value
        for (name, _), value in zip(shapes, values, strict=True)
    ]


def weighting(outputs: Sequence[Any]) -> list[np.ndarray | None]:
    """What each output counts in the sum whose gradient is compared; None for integers."""
    rng = np.random.default_rng(5)
    return [rng.normal(size=tuple(o.shape)) if "float" in str(o.dtype) else None for o in outputs]


def apply(text: str, layer: Any, x: Sequence[Any], **names: Any) -> Any:
    return eval(text, {"layer": layer, "x": list(x), **names})


@cache
def keras_verdict(case: Case) -> Verdict:
    """The judge's results, in float64."""
    with floatx(case.judge_dtype), warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=".*does not support masking")
        layer = eval(case.judge or case.text, KERAS)
        given = [keras.ops.convert_to_tensor(_as(array, case.judge_dtype)) for array in case.arrays()]
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
                        output * keras.ops.convert_to_tensor(_as(weight, case.judge_dtype))
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


def make(case: Case, dtype: str, weights: Sequence[np.ndarray] | None = None) -> tuple[Any, list[np.ndarray]]:
    """Our layer, built on NumPy, with these weights; and the inputs."""
    arrays = [_as(array, dtype) for array in case.arrays()]
    layer = eval(case.text, OURS)
    apply(case.call, layer, arrays)
    if weights is not None:
        layer.set_weights([weight.astype(dtype) for weight in weights])
    return layer, arrays


def check_numpy(case: Case) -> None:
    """Our layer on NumPy arrays in float64: the weights' names and order, outputs, and new statistics."""
    expected = keras_verdict(case)
    with floatx("float64"):
        layer, arrays = make(case, "float64")
        assert [weight.name for weight in layer.weights] == expected.names
        layer.set_weights(expected.before)
        outputs = tree.leaves(apply(case.call, case.bound(layer), arrays))
        check_outputs(outputs, expected.outputs, case, "numpy")
        for weight, value in zip(layer.weights, expected.after, strict=True):
            assert_close(
                weight.numpy(), value, bounds={**FORWARD, **case.bounds}, what=f"{weight.path} after"
            )


def check_eager(case: Case, backend: str) -> None:
    """Our layer on the backend's own arrays in float32."""
    expected = keras_verdict(case)
    layer, arrays = make(case, "float32", expected.before)
    place = placement(backend)
    with uf.backend(backend):
        outputs = tree.leaves(apply(case.call, case.bound(layer), [place.backend.array(a) for a in arrays]))
    check_outputs([place.backend.numpy(output) for output in outputs], expected.outputs, case, backend)


def check_outputs(outputs: Sequence[Any], expected: Sequence[np.ndarray], case: Case, backend: str) -> None:
    assert len(outputs) == len(expected)
    for i, (ours, theirs) in enumerate(zip(outputs, expected, strict=True)):
        assert_close(ours, theirs, bounds={**FORWARD, **case.bounds}, what=f"{case}: output {i} on {backend}")


def check_graph(case: Case, backend: str) -> None:
    """Our layer's graph in float64, compiled: outputs, losses, gradients, new statistics."""
    expected = keras_verdict(case)
    with floatx("float64"):
        layer, arrays = make(case, "float64", expected.before)
        types = {
            f"x{i}": TensorType(dtype_of(array.dtype), tuple(array.shape)) for i, array in enumerate(arrays)
        }
        traced = trace(lambda *tensors: _total(case, layer, tensors), types)
        place = placement(backend)
        trained = {id(weight) for weight in layer.trainable_weights}
        names = {id(v): seen.name for seen, v in zip(traced.graph.variables, traced.variables, strict=True)}
        wrt = [name for name, type_ in types.items() if type_.dtype.is_float]
        wrt += [names[key] for weight in layer.weights if (key := id(weight)) in trained and key in names]
        program = place.backend.value_and_grad(traced.graph, wrt, place.device)
        values = [v.native(place, s) for v, s in zip(traced.variables, program.storage, strict=True)]
        results = program([place.backend.array(array, place.device) for array in arrays], values)
    storages = {names[id(v)]: s for v, s in zip(traced.variables, program.storage, strict=True)}
    numbers = [place.backend.numpy(result) for result in results[: len(traced.graph.outputs)]]
    _, losses, *outputs = numbers[: traced.output_count]
    check_outputs(outputs, expected.outputs, case, backend)
    assert_close(losses, np.float64(expected.losses), bounds=FORWARD, what=f"{case}: losses on {backend}")
    new = dict(zip(map(id, traced.updates), numbers[traced.output_count :], strict=True))
    for weight, value, old in zip(layer.weights, expected.after, expected.before, strict=True):
        assert_close(new.get(id(weight), old), value, bounds=FORWARD, what=f"{weight.path} after")
    wanted = [name for name in types if types[name].dtype.is_float]
    wanted += [names.get(id(weight), "") for weight in layer.weights if id(weight) in trained]
    slopes = dict(zip(wrt, results[len(traced.graph.outputs) :], strict=True))
    for name, theirs in zip(wanted, expected.gradients, strict=True):
        if name not in slopes:
            assert not theirs.any(), f"{case}: a weight is not in the graph, but has a gradient"
            continue
        storage = storages.get(name)
        slope = storage.from_native(slopes[name]) if storage else slopes[name]
        what = f"{case}: gradient of {name} on {backend}"
        assert_close(place.backend.numpy(slope), theirs, bounds={**GRADIENT, **case.bounds}, what=what)


def _total(case: Case, layer: Any, tensors: Sequence[Any]) -> list[Any]:
    """The scalar to differentiate, the losses added, the outputs."""
    context = current_context()
    assert context is not None
    context.training = case.training
    outputs = tree.leaves(apply(case.call, layer, tensors))
    losses = np.zeros(())
    for penalty in [*context.losses, *(w.regularizer(w) for w in layer.trainable_weights if w.regularizer)]:
        losses = ops.add(losses, penalty)
    total = losses
    for output, weight in zip(outputs, weighting(outputs), strict=True):
        if weight is not None:
            total = ops.add(total, ops.sum(ops.multiply(output, weight)))
    return [total, losses, *outputs]
