"""Random models, exported with random options, in ONNX Runtime and in the NumPy reference."""

from __future__ import annotations

import numpy as np
import pytest

import unifront as uf
from tests.attacks.random_layers import INSIDE, LAYERS, MERGES, WORDS, random_inputs, random_model
from tests.layers.cases import FIRST, layer_of
from tests.onnx.runtimes import RUNTIME_OPSETS, check, reference, runtime
from unifront import tree
from unifront.dtypes import float32, float64
from unifront.onnx.export import convert
from unifront.onnx.lowering import retyped
from unifront.reference import BACKEND, difference

FEW, MANY = range(12), range(12, 320)
BOUND, MARGIN = 1e-5, 10
OF_RUNTIME = {251}
"""Where ONNX Runtime itself rounds more: a group norm of 43,008 numbers that differ little. ONNX's reference evaluator, on the
same file, judges these."""


NOT_DRAWN = {"ConvLSTM3D", "Discretization", "Pipeline", "STFTSpectrogram"}
"""Layers of more axes or longer sequences than those drawn, and what gives integers."""


def test_every_layer_may_be_drawn() -> None:
    there = {layer_of(case) for case in FIRST} - {"Sequential", "(lambda a, b: Model", ""}
    assert there - {*LAYERS, *MERGES, *WORDS, *INSIDE} == NOT_DRAWN


def _in_float64(model: uf.Model, inputs: list[np.ndarray]) -> list[np.ndarray]:
    """What the model gives without rounding to float32."""
    traced = model.trace(False)
    live = zip(traced.graph.variables, traced.variables, strict=True)
    values = {seen.name: variable.numpy() for seen, variable in live}
    graph, arrays = retyped(traced.graph, values, float64, (float32,))
    wide = [array.astype("float64") if array.dtype.kind == "f" else array for array in inputs]
    return list(BACKEND.compile(graph)(wide, [arrays[seen.name] for seen in graph.variables]))


def _judge(seed: int) -> None:
    """Assert that ONNX Runtime is as near to float64 as NumPy in float32 is, to a small factor."""
    model = random_model(seed)
    r = np.random.default_rng(seed)
    options = {"optimize": bool(r.random() < 0.7), "opset": int(r.choice(RUNTIME_OPSETS))}
    exported, _ = convert(model.trace(False), **options)  # type: ignore[arg-type]
    check(exported)
    run = reference if seed in OF_RUNTIME else runtime
    for batch in (1, 3):
        inputs = random_inputs(model, batch, seed)
        given = inputs if len(inputs) > 1 else inputs[0]
        expected = tree.leaves(model.predict(given, backend="numpy"))
        wide = _in_float64(model, inputs)
        for i, (found, wanted, exact) in enumerate(zip(run(exported, inputs), expected, wide, strict=True)):
            what = f"output {i} of seed {seed}, batch {batch}, {options}\n{model.graph()}"
            assert (found.shape, found.dtype) == (wanted.shape, wanted.dtype), what
            assert difference(found, exact) <= BOUND + MARGIN * difference(wanted, exact), what


@pytest.mark.parametrize("seed", FEW)
def test_random_models(seed: int) -> None:
    _judge(seed)


@pytest.mark.slow
@pytest.mark.parametrize("seed", MANY)
def test_many_random_models(seed: int) -> None:
    _judge(seed)
