"""Recurrent layers: 16-bit floats without a fused form, and what stands at masked steps."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import unifront as uf
from tests.layers.judge import BACKENDS, floatx
from unifront import layers, ops
from unifront.backends import installed, placement
from unifront.opset.tensor import type_of
from unifront.testing import assert_close
from unifront.trace import trace

UNFUSED = {
    "SimpleRNN": lambda: layers.SimpleRNN(3, activation="softsign", return_sequences=True),
    "GRU": lambda: layers.GRU(3, activation="relu", return_sequences=True),
    "LSTM": lambda: layers.LSTM(3, recurrent_activation="hard_sigmoid", return_sequences=True),
}
FUSED = {name: lambda name=name: getattr(layers, name)(3, return_sequences=True) for name in UNFUSED}


@pytest.mark.parametrize("dtype", ["bfloat16", "float16"])
@pytest.mark.parametrize("kind", UNFUSED)
@pytest.mark.parametrize("backend", installed())
def test_sixteen_bits_without_a_fused_form(backend: str, kind: str, dtype: str) -> None:
    uf.set_seed(0)
    model = uf.Sequential([uf.Input((None, 2)), UNFUSED[kind]()])
    x = np.random.default_rng(0).normal(size=(3, 5, 2)).astype("float32")
    expected = model.predict(x, backend="numpy")
    with floatx(dtype):
        half = uf.Sequential([uf.Input((None, 2)), UNFUSED[kind]()])
    half.set_weights([weight.astype(half.dtype.numpy) for weight in model.get_weights()])
    # The state is rounded at each of the five steps.
    assert_close(half.predict(x, backend=backend), expected, dtype=dtype, bounds={dtype: 0.05})


def _gradients(layer: Any, backend: str, xs: list[np.ndarray], mask: np.ndarray) -> list[list[np.ndarray]]:
    """For each input the outputs, and the gradients of their squares' sum, by one program."""

    def total(x: Any, mask: Any) -> Any:
        out = layer(x, mask=mask)
        return [ops.sum(ops.square(out)), out]

    traced = trace(total, {"x": type_of(xs[0]), "mask": type_of(mask)})
    place = placement(backend)
    names = ["x", *(variable.name for variable in traced.graph.variables)]
    program = place.backend.value_and_grad(traced.graph, names)
    values = [v.native(place, s) for v, s in zip(traced.variables, program.storage, strict=True)]
    found = [program([place.backend.array(x), place.backend.array(mask)], values) for x in xs]
    return [[place.backend.numpy(output) for output in outputs] for outputs in found]


@pytest.mark.parametrize("kind", UNFUSED)
@pytest.mark.parametrize("form", [FUSED, UNFUSED], ids=["fused", "stepwise"])
@pytest.mark.parametrize("backend", BACKENDS)
def test_what_stands_at_a_masked_step_shows_nowhere(backend: str, form: dict[str, Any], kind: str) -> None:
    rng = np.random.default_rng(1)
    mask = np.array([[True, False, True, False], [False] * 4, [True] * 4])
    x = rng.normal(size=(3, 4, 2)).astype("float32")
    uf.set_seed(0)
    layer = form[kind]()
    layer(x)
    xs = [np.where(mask[..., None], x, masked).astype("float32") for masked in (0.0, 1e6, np.nan)]
    found = _gradients(layer, backend, xs, mask)
    for clean, *others in zip(*found, strict=True):
        assert np.all(np.isfinite(clean))
        for other in others:
            np.testing.assert_array_equal(other, clean)
