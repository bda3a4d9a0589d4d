"""What the conformance suite's float samples do not reach: every other dtype, in TensorFlow against NumPy."""

from __future__ import annotations

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

tf = pytest.importorskip("tensorflow")

BACKEND = get_backend("tensorflow")
SPECS = sorted(ELEMENTWISE, key=lambda spec: spec.name)
NUMBERS = [dtype for dtype in ALL if dtype.kind != "k"]


def call_of(spec: OpSpec, dtype: DType) -> tuple[list[np.ndarray], dict[str, Any]] | None:
    """Operands of ``dtype`` and attributes, where the type rule takes them."""
    rng = np.random.default_rng(0)
    sample = next(iter(spec.samples(rng)))
    low = 0 if dtype.kind in "bu" or spec is OPS["power"] else -5
    operands = [rng.integers(1 if i else low, 6, 5).astype(dtype.numpy) for i in range(len(sample.operands))]
    if spec is OPS["where"]:
        operands[0] = operands[0] > 2
    whole = spec is OPS["clip"] and dtype.is_integer
    attributes = {"minimum": 1, "maximum": 3} if whole else dict(sample.attributes)
    try:
        spec.infer(*(TensorType(dtype_of(operand.dtype), (5,)) for operand in operands), **attributes)
    except DTypeError:
        return None
    return operands, attributes


CASES = [(spec, dtype) for dtype in NUMBERS for spec in SPECS if call_of(spec, dtype)]


@pytest.mark.parametrize(("spec", "dtype"), CASES, ids=lambda value: getattr(value, "name", str(value)))
def test_every_dtype_is_that_of_numpy(spec: OpSpec, dtype: DType) -> None:
    call = call_of(spec, dtype)
    assert call
    operands, attributes = call
    with np.errstate(all="ignore"):
        expected = row_of(spec)(*operands, **attributes)
    row = tf.function(lambda *tensors: BACKEND.rows().table[spec](*tensors, **attributes))
    actual = BACKEND.numpy(row(*map(BACKEND.array, operands)))
    name = dtype_of(expected.dtype).name
    wide = expected.astype(np.float64) if dtype_of(name).is_float else expected
    assert_close(actual, wide, dtype=name, what=f"{spec.name} of {dtype}")


@pytest.mark.parametrize("dtype", NUMBERS, ids=str)
def test_arrays_keep_dtype_and_value(dtype: DType) -> None:
    value = np.arange(6).reshape(2, 3).astype(dtype.numpy)
    array = BACKEND.array(value)
    value[:] = 0  # the array is a copy
    assert BACKEND.type_of(array) == TensorType(dtype, (2, 3))
    np.testing.assert_array_equal(BACKEND.numpy(array), np.arange(6).reshape(2, 3).astype(dtype.numpy))


def test_a_key_is_no_tensor_of_integers() -> None:
    key = BACKEND.key(2**63 + 5)
    assert BACKEND.type_of(key).dtype.kind == "k"
    assert BACKEND.type_of(key.seed) == TensorType(dtype_of("int32"), (2,))
    assert key.seed.numpy().tolist() == [5, -(2**31)]
