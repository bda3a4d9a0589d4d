"""What the conformance suite's samples do not reach: integers, booleans, halves, in JAX against NumPy."""

from typing import Any

import numpy as np
import pytest

from unifront.backends import get_backend
from unifront.dtypes import ALL, DType, dtype_of
from unifront.errors import DTypeError
from unifront.ir.types import TensorType
from unifront.opset.spec import OPS, OpSpec
from unifront.reference import row_of
from unifront.testing import ELEMENTWISE, assert_close

jax = pytest.importorskip("jax")

SPECS = sorted(ELEMENTWISE, key=lambda spec: spec.name)
OTHERS = [dtype for dtype in ALL if dtype.kind != "k" and dtype.name not in ("float32", "float64")]


def call_of(spec: OpSpec, dtype: DType) -> tuple[list[np.ndarray], dict[str, Any]] | None:
    """Operands of ``dtype`` and attributes, where the type rule takes them."""
    rng = np.random.default_rng(0)
    sample = next(iter(spec.samples(rng)))
    low = 0 if dtype.kind in "bu" or spec is OPS["power"] else -5
    operands = [
        rng.integers(1 if i else low, 6, size=5).astype(dtype.numpy) for i in range(len(sample.operands))
    ]
    if spec is OPS["where"]:
        operands[0] = operands[0] > 2
    attributes = dict(sample.attributes)
    if spec is OPS["clip"] and dtype.is_integer:
        attributes = {"minimum": 1, "maximum": 3}
    try:
        spec.infer(*(TensorType(dtype_of(operand.dtype), (5,)) for operand in operands), **attributes)
    except DTypeError:
        return None
    return operands, attributes


@pytest.mark.parametrize("dtype", OTHERS, ids=str)
def test_other_dtypes_are_those_of_numpy(dtype: DType) -> None:
    backend = get_backend("jax")
    for spec, call in ((spec, call_of(spec, dtype)) for spec in SPECS):
        if call is None:
            continue
        operands, attributes = call
        with np.errstate(all="ignore"):
            expected = row_of(spec)(*operands, **attributes)
        row = backend.rows().table[spec]
        actual = backend.numpy(row(*map(backend.array, operands), **attributes))
        name = dtype_of(expected.dtype).name
        wide = expected.astype(np.float64) if dtype_of(name).is_float else expected
        assert_close(actual, wide, dtype=name, what=f"{spec.name} of {dtype}")
