"""Layers under dtype policies against Keras's: dtypes of weights and outputs, and numbers."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from functools import cache
from typing import Any

import numpy as np
import pytest

import unifront as uf
from tests.layers import cases, judge, keras_worker
from tests.layers.case import apply, with_floats
from unifront import tree
from unifront.backends import placement
from unifront.opset.tensor import type_of

POLICIES = ("mixed_bfloat16", "mixed_float16", "bfloat16")


@contextmanager
def policy(name: str) -> Iterator[None]:
    """A block in which layers are made with the policy called ``name``."""
    uf.mixed_precision.set_global_policy(name)
    try:
        yield
    finally:
        uf.mixed_precision.set_global_policy("float32")


@cache
def judged(name: str) -> list[keras_worker.Judged]:
    found: list[keras_worker.Judged] = judge.ask_keras(keras_worker.under_policy, cases.FIRST, name)
    return found


def outputs_of(case: Any, layer: Any, backend: str) -> list[Any]:
    place = placement(backend)
    arrays = [with_floats(array, "float32") for array in case.arrays()]
    with uf.backend(backend):
        given = [place.backend.array(array, place.device) for array in arrays]
        return [o for o in tree.leaves(apply(case.call, layer, given)) if o is not None]


COMPILED = [name for name in judge.BACKENDS if name == "jax"]
"""XLA compiles every operation of an eager call: slow tests."""
AT_ONCE = [name for name in judge.BACKENDS if name not in COMPILED]
EAGER_FLOAT32 = {"CategoryEncoding"}
"""Layers whose Keras eager outputs are float32, against what they promise when called on symbolic tensors."""


@pytest.mark.parametrize(
    ("name", "backends"),
    [
        (POLICIES[0], AT_ONCE),
        pytest.param(POLICIES[0], COMPILED, marks=pytest.mark.slow),
        *(pytest.param(one, judge.BACKENDS, marks=pytest.mark.slow) for one in POLICIES[1:]),
    ],
)
@pytest.mark.parametrize("number", range(len(cases.FIRST)), ids=map(str, cases.FIRST))
def test_layers_compute_as_keras_does(number: int, name: str, backends: list[str]) -> None:
    case, expected = cases.FIRST[number], judged(name)[number]
    if not expected.outputs:
        pytest.skip(f"Keras itself fails: {expected.compute_dtype}")
    if case.text.partition("(")[0] in EAGER_FLOAT32:
        expected = replace(expected, output_dtypes=[expected.compute_dtype] * len(expected.output_dtypes))
    with policy(name):
        layer = eval(case.text, judge.OURS)
        outputs_of(case, layer, "torch")
    assert layer.compute_dtype == expected.compute_dtype
    assert [str(weight.dtype) for weight in layer.weights] == expected.variable_dtypes
    layer.set_weights(expected.weights)
    for backend in backends:
        outputs = outputs_of(case, layer, backend)
        assert [str(type_of(output).dtype) for output in outputs] == expected.output_dtypes, backend
        for ours, theirs in zip(outputs, expected.outputs, strict=True):
            ours = np.asarray(placement(backend).backend.numpy(ours), theirs.dtype)
            finite = np.abs(theirs[np.isfinite(theirs)]) if theirs.dtype.kind == "f" else np.zeros(0)
            bound = 2e-2 * finite.max() if finite.size else 0.0  # that of halves, see `unifront.testing`
            np.testing.assert_allclose(ours, theirs, rtol=0, atol=bound, err_msg=backend)
