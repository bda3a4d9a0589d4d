"""What two dtypes make: Keras's result of every binary operation, for all pairs, on every backend."""

import itertools

import keras
import numpy as np
import pytest

from unifront import ops
from unifront.backends import get_backend, installed
from unifront.dtypes import BY_NAME
from unifront.errors import DTypeError, UnsupportedOp
from unifront.ir.types import TensorType
from unifront.opset.tensor import Builder

NAMES = [
    "bool",
    "int8",
    "int16",
    "int32",
    "int64",
    "uint8",
    "uint16",
    "uint32",
    "float16",
    "bfloat16",
    "float32",
    "float64",
]
PAIRS = [*itertools.combinations_with_replacement(NAMES, 2)]
OPERATIONS = [
    "add",
    "multiply",
    "maximum",
    "minimum",
    "subtract",
    "divide",
    "true_divide",
    "equal",
    "less",
    "logical_and",
    "logical_xor",
    "arctan2",
    "hypot",
    "heaviside",
    "logaddexp",
    "fmax",
    "bitwise_and",
    "bitwise_xor",
    "where",
    "power",
    "floor_divide",
    "mod",
]


def called(function, name, x, y):
    return function(True, x, y) if name == "where" else function(x, y)


def test_every_pair_has_kerass_dtype():
    wrong, found = [], 0
    for name in OPERATIONS:
        for pair in PAIRS:
            builder = Builder("pairs")
            operands = [builder.input(f"x{i}", TensorType(BY_NAME[one])) for i, one in enumerate(pair)]
            try:
                ours = called(getattr(ops, name), name, *operands).dtype.name
            except DTypeError:
                # What bits or a difference of floats and booleans would be, nobody says.
                assert name.startswith("bitwise") or pair == ("bool", "bool"), (name, pair)
                continue
            keras_operands = [keras.KerasTensor((), one) for one in pair]
            theirs = called(getattr(keras.ops, name), name, *keras_operands).dtype
            found += 1
            if name in ("hypot", "heaviside") and not any("float" in one for one in pair):
                theirs = "float32"  # as of all other functions; Keras gives bool of bool, float64 of int64
            if ours != theirs:
                wrong.append((name, pair, ours, theirs))
    assert wrong == []
    assert found > 1300


@pytest.mark.parametrize("backend", [name for name in installed() if name != "numpy"])
def test_sums_and_products_of_every_pair(backend):
    """All pairs in one program: each backend computes in the dtype that the types say."""
    place = get_backend(backend)
    builder, outputs, expected, given = Builder("pairs"), [], [], []
    for number, pair in enumerate(PAIRS):
        values = [
            np.array([1, 0, 3 % (2 if one == "bool" else 9)]).astype(BY_NAME[one].numpy) for one in pair
        ]
        operands = [
            builder.input(f"x{number}_{i}", TensorType(BY_NAME[one], (3,))) for i, one in enumerate(pair)
        ]
        for function in (ops.add, ops.maximum, ops.less, ops.divide):
            result = function(*operands)
            outputs.append(result)
            wide = [
                value.astype(result.dtype.numpy) if function is not ops.less else value for value in values
            ]
            with np.errstate(all="ignore"):
                expected.append((function.__name__, pair, getattr(np, function.__name__)(*wide)))
        given += values
    try:
        results = place.compile(builder.graph(outputs))([place.array(value) for value in given], [])
    except UnsupportedOp as error:
        pytest.skip(str(error))
    for output, result, (name, pair, wanted) in zip(outputs, results, expected, strict=True):
        array = place.numpy(result)
        assert array.dtype == output.dtype.numpy, (name, pair)
        np.testing.assert_array_equal(array.astype(float), wanted.astype(float), err_msg=f"{name} {pair}")
