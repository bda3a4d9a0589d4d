"""Every layer exported, in ONNX Runtime beside what the layer gives at once on NumPy."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest

import unifront as uf
from tests.layers import cases
from tests.layers.case import Case, apply
from tests.layers.judge import make
from tests.onnx.runtimes import check, runtime
from unifront import tree

BOUND = 1e-5
"""Of the largest number, as `unifront.Model.export` compares."""


@pytest.mark.parametrize("case", [pytest.param(one, id=str(one)) for one in cases.FIRST])
def test_every_layer_is_exported(case: Case, tmp_path: Path) -> None:
    layer, arrays = make(case, "float32")
    expected = [np.asarray(one) for one in tree.leaves(apply(case.call, layer, arrays))]
    inputs = [uf.Input(array.shape[1:], dtype=array.dtype.name) for array in arrays]
    model = uf.Model(inputs, apply(case.call, layer, inputs))
    model.export(tmp_path / "layer.onnx")
    written = onnx.load(tmp_path / "layer.onnx")
    check(written)
    for found, wanted in zip(runtime(written, arrays), expected, strict=True):
        assert (found.shape, found.dtype) == (wanted.shape, wanted.dtype)
        largest = np.abs(wanted).max(initial=1e-30)
        assert np.abs(found.astype("float64") - wanted).max(initial=0) <= BOUND * largest


@pytest.mark.parametrize("side", ["left", "right"])
def test_nan_lies_behind_all_values(side: str, tmp_path: Path) -> None:
    edges, x = np.array([-1, 0, 0, 2], "float32"), np.array([[np.nan, -np.inf, 0, 2, np.inf]], "float32")
    inputs = uf.Input((5,))
    model = uf.Model(inputs, uf.layers.Lambda(lambda x: uf.ops.searchsorted(edges, x, side))(inputs))
    model.export(tmp_path / "search.onnx")
    (found,) = runtime(onnx.load(tmp_path / "search.onnx"), [x])
    np.testing.assert_array_equal(found, np.searchsorted(edges, x, side))
