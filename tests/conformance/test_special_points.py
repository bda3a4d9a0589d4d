"""Operations of single elements at the numbers where they differ: nan, infinities, zeros, the smallest and largest."""

from __future__ import annotations

import importlib
from itertools import product
from typing import Any

import ml_dtypes
import numpy as np
import pytest

from unifront.backends import installed, placement
from unifront.dtypes import dtype_of
from unifront.ir.types import TensorType
from unifront.opset.spec import OpSpec
from unifront.opset.tensor import Builder, bind
from unifront.testing import EACH, samples_of

FAMILIES = ("elementwise", "arithmetic", "special", "trigonometry", "activation", "predicates", "comparison")


def _specs() -> list[OpSpec]:
    """Operations of one or two floats, with the attributes of their first sample."""
    found: dict[str, OpSpec] = {}
    for family in FAMILIES:
        for spec in vars(importlib.import_module(f"unifront.opset.{family}")).values():
            if not isinstance(spec, OpSpec) or spec.random or spec.variadic:
                continue
            operands = samples_of(spec)[0].operands
            if len(operands) <= 2 and all(np.asarray(one).dtype.kind == "f" for one in operands):
                found[spec.name] = spec
    return list(found.values())


SPECS = _specs()
FLUSHING = {"jax", "tensorflow"}
"""Backends that take subnormal numbers for zero (XLA and TensorFlow set the processor so)."""
EXCEPTIONS: dict[tuple[str, str], str] = {
    ("arctan2", "jax"): "of two subnormal numbers XLA makes nan in float32",
    ("arctan2", "tensorflow"): "of a zero and a subnormal number it is that of two equal ones",
    ("power", "jax"): "a subnormal number to a power is neither that of itself nor that of zero",
    ("floor_divide", "tensorflow"): "what is infinite divided stays infinite, in NumPy it is nan",
    ("remainder", "torch"): "it goes by a quotient, which overflows at the largest numbers",
}
"""Operation and backend, and why the points differ there."""


def points(dtype: str) -> np.ndarray:
    info = ml_dtypes.finfo(dtype_of(dtype).numpy)
    least, most = float(info.tiny), float(info.max)
    return np.array(
        [
            np.nan,
            np.inf,
            -np.inf,
            0.0,
            -0.0,
            least / 4,
            -least / 4,
            least,
            most,
            -most,
            1.0,
            -1.0,
            0.5,
            -2.5,
            20.0,
            -100.0,
        ],
        dtype_of(dtype).numpy,
    )


def operands_of(spec: OpSpec, dtype: str) -> list[np.ndarray]:
    one = points(dtype)
    if len(samples_of(spec)[0].operands) == 1:
        return [one]
    pairs = np.array(list(product(one, one)), one.dtype)
    return [pairs[:, 0], pairs[:, 1]]


def off(found: np.ndarray, expected: np.ndarray, dtype: str) -> np.ndarray:
    """Where the numbers differ: in being nan or infinite, or by more than the bound of the dtype. What is smaller than
    the smallest normal number may be zero."""
    if found.dtype.kind == "b":
        return found != expected
    a, e = found.astype(np.float64), expected.astype(np.float64)
    least = float(ml_dtypes.finfo(dtype_of(dtype).numpy).tiny)
    with np.errstate(all="ignore"):
        near = np.abs(a - e) <= 4 * EACH[dtype] * np.abs(e) + 2 * least
    same = (np.isnan(a) & np.isnan(e)) | (a == e)
    return ~(same | (near & np.isfinite(a) & np.isfinite(e)))


def reference(spec: OpSpec, arrays: list[np.ndarray]) -> np.ndarray:
    """What the reference gives in float64, in the dtype of the arrays."""
    with np.errstate(all="ignore"):
        wide = np.asarray(
            spec.reference(*(one.astype(np.float64) for one in arrays), **samples_of(spec)[0].attributes)
        )
        return wide if wide.dtype.kind == "b" else wide.astype(arrays[0].dtype)


def flushed(array: np.ndarray) -> np.ndarray:
    """Subnormal numbers as zeros of their sign."""
    with np.errstate(invalid="ignore"):
        return np.where(
            np.abs(array) < ml_dtypes.finfo(array.dtype).tiny, np.copysign(array.dtype.type(0), array), array
        )


@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize("name", [name for name in installed() if name != "numpy"])
def test_special_points(name: str, dtype: str) -> None:
    place = placement(name)
    builder, results, given = Builder("points"), [], []
    for spec in SPECS:
        arrays = operands_of(spec, dtype)
        inputs = [
            builder.input(f"{spec.name}_{i}", TensorType(dtype_of(dtype), array.shape))
            for i, array in enumerate(arrays)
        ]
        results.append(bind(spec, *inputs, **samples_of(spec)[0].attributes))
        given += [place.backend.array(array, place.device) for array in arrays]
    outputs = place.backend.compile(builder.graph(results), place.device)(given, [])
    wrong: dict[str, Any] = {}
    for spec, output in zip(SPECS, outputs, strict=True):
        if (spec.name, name) in EXCEPTIONS:
            continue
        arrays = operands_of(spec, dtype)
        found, expected = place.backend.numpy(output), reference(spec, arrays)
        bad = off(found, expected, dtype)
        if name in FLUSHING:
            bad &= off(found, reference(spec, [flushed(one) for one in arrays]), dtype)
        if bad.any():
            at = np.argwhere(bad)[:4, 0]
            wrong[spec.name] = [(*(float(one[i]) for one in arrays), found[i], expected[i]) for i in at]
    assert not wrong, "\n".join(f"{op}: {cases}" for op, cases in wrong.items())
