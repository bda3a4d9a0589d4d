"""What the conformance suite's float samples do not reach: every other dtype, in PyTorch against NumPy."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from unifront import ops
from unifront.backends import get_backend
from unifront.dtypes import ALL, DType, dtype_of
from unifront.errors import DTypeError, UnsupportedOp
from unifront.ir.types import TensorType
from unifront.opset.spec import OPS, OpSpec
from unifront.reference import row_of
from unifront.testing import ELEMENTWISE, FORWARD, assert_close

torch = pytest.importorskip("torch")

SIZE = 5
SPECS = sorted(ELEMENTWISE, key=lambda spec: spec.name)


def accepted(spec: OpSpec, dtype: DType) -> tuple[list[TensorType], dict[str, Any]] | None:
    """Operand types of ``dtype`` and attributes, where the type rule takes them."""
    sample = next(iter(spec.samples(np.random.default_rng(0))))
    types = [TensorType(dtype, (SIZE,)) for _ in sample.operands]
    if spec is OPS["where"]:
        types[0] = TensorType(dtype_of("bool"), (SIZE,))
    attributes = dict(sample.attributes)
    if spec is OPS["clip"] and dtype.is_integer:
        attributes = {"minimum": 1, "maximum": 3}
    try:
        spec.infer(*types, **attributes)
    except DTypeError:
        return None
    return types, attributes


CASES = [(spec, dtype) for dtype in ALL if dtype.kind != "k" for spec in SPECS if accepted(spec, dtype)]


@pytest.mark.parametrize(("spec", "dtype"), CASES, ids=lambda value: getattr(value, "name", str(value)))
def test_every_dtype_is_that_of_numpy(spec: OpSpec, dtype: DType) -> None:
    found = accepted(spec, dtype)
    assert found
    types, attributes = found
    rng, backend = np.random.default_rng(0), get_backend("torch")
    low = 0 if dtype.kind in "bu" or spec is OPS["power"] else -5
    operands = [
        rng.integers(1 if i else low, 6, size=SIZE).astype(t.dtype.numpy) for i, t in enumerate(types)
    ]
    with np.errstate(all="ignore"):
        expected = row_of(spec)(*operands, **attributes)
    row = backend.rows("cpu").table[spec]
    natives = [backend.array(operand, "cpu") for operand in operands]
    if dtype.name == "uint64" and getattr(row, "__wrapped__", None):
        with pytest.raises(UnsupportedOp, match="does not compute with uint64; cast to int64"):
            row(*natives, **attributes)
        return
    actual = backend.numpy(row(*natives, **attributes))
    wide = expected.astype(np.float64) if dtype_of(expected.dtype).is_float else expected
    assert_close(actual, wide, dtype=dtype_of(expected.dtype).name, bounds=FORWARD, what=spec.name)


def test_unsigned_numbers_wrap_around() -> None:
    a, b = torch.tensor([1, 65535], dtype=torch.uint16), torch.tensor([2, 2], dtype=torch.uint16)
    assert ops.subtract(a, b).tolist() == [65535, 65533]
    assert ops.add(a, b).dtype == torch.uint16


def test_errors_of_other_dtypes_stay_torchs() -> None:
    with pytest.raises(RuntimeError, match="must match the size of tensor b"):
        get_backend("torch").rows("cpu").table[OPS["add"]](torch.zeros(2), torch.zeros(3))
