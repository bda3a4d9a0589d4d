"""Layers judged by Keras: one text makes the layer of both, the weights are copied, and results are compared.

Keras runs in a process of its own, because its backend is chosen once for a process: here it is TensorFlow, on
which alone Keras computes in float64.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from functools import cache
from multiprocessing import get_context
from typing import Any

import numpy as np

import unifront as uf
from tests.layers import keras_worker
from tests.layers.case import Case, Verdict, apply, weighting, with_floats
from unifront import layers, ops, tree
from unifront.backends import installed, placement
from unifront.dtypes import dtype_of
from unifront.ir.types import TensorType
from unifront.testing import FORWARD, GRADIENT, assert_close
from unifront.trace import current_context, trace

BACKENDS = [name for name in installed() if name != "numpy"]
OURS = {**{name: getattr(layers, name) for name in dir(layers)}, "Input": uf.Input, "Model": uf.Model, "Sequential": uf.Sequential,
        "regularizers": uf.regularizers}  # fmt: skip


@contextmanager
def floatx(dtype: str) -> Iterator[None]:
    """A block in which our new layers are of ``dtype``."""
    before = uf.floatx()
    uf.set_floatx(dtype)
    try:
        yield
    finally:
        uf.set_floatx(before)


@cache
def _keras() -> ProcessPoolExecutor:
    return ProcessPoolExecutor(1, get_context("spawn"))


def ask_keras(function: Callable[..., Any], *arguments: Any) -> Any:
    """What a function of `tests.layers.keras_worker` gives in Keras's own process."""
    return _keras().submit(function, *arguments).result()


@cache
def keras_verdict(case: Case) -> Verdict:
    """The judge's results, in float64."""
    verdict: Verdict = ask_keras(keras_worker.verdict, case)
    return verdict


def make(case: Case, dtype: str, weights: Sequence[np.ndarray] | None = None) -> tuple[Any, list[np.ndarray]]:
    """Our layer, built on NumPy, with these weights; and the inputs."""
    arrays = [with_floats(array, dtype) for array in case.arrays()]
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
    largest = max((np.abs(slope).max(initial=0.0) for slope in expected.gradients), default=0.0)
    slopes = dict(zip(wrt, results[len(traced.graph.outputs) :], strict=True))
    for name, theirs in zip(wanted, expected.gradients, strict=True):
        if name not in slopes:
            assert not theirs.any(), f"{case}: a weight is not in the graph, but has a gradient"
            continue
        storage = storages.get(name)
        slope = storage.from_native(slopes[name]) if storage else slopes[name]
        what, found = f"{case}: gradient of {name} on {backend}", place.backend.numpy(slope)
        if np.abs(theirs).max(initial=0.0) < 1e-13 * largest:  # zero but for rounding, as of a bias of keys
            assert found.shape == theirs.shape, what
            assert np.abs(found).max(initial=0.0) <= 1e-12 * largest, what
            continue
        assert_close(found, theirs, bounds={**GRADIENT, **case.bounds}, what=what)


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
