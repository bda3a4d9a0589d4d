"""Tensor types and their text."""

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from unifront.dtypes import ALL, float16, float32
from unifront.errors import ParseError
from unifront.ir.dims import symbol
from unifront.ir.types import TensorType, parse_type, symbols_of

BATCH, TIME = symbol("batch"), symbol("time")
DIMS = st.one_of(st.integers(0, 1000), st.sampled_from([BATCH, 2 * TIME, TIME // 2 + 1, BATCH * TIME]))
TYPES = st.builds(TensorType, st.sampled_from(ALL), st.lists(DIMS, max_size=4).map(tuple))


@settings(suppress_health_check=[HealthCheck.too_slow])  # a loaded machine draws slowly
@given(TYPES)
def test_text_reads_back(type_):
    assert parse_type(str(type_)) == type_


def test_text():
    assert str(TensorType(float32, (BATCH, 8, TIME // 2))) == "float32[batch, 8, time//2]"
    assert str(TensorType(float32)) == "float32[]"


@pytest.mark.parametrize(
    "text",
    [
        "", "float32", "float33[2]", "float32[2", "float32[,]", "float32[2,,3]", "float32[-1]", "i4[2]",
        "float32[2]x", "complex65[2]", "a99999999999[2]", "Float32[2]", "float32[f()]",
    ],
)  # fmt: skip
def test_anything_else_is_refused(text):
    with pytest.raises(ParseError, match=r"is not a|negative size"):
        parse_type(text)


def test_properties():
    type_ = TensorType(float32, (BATCH, 3, 2))
    assert type_.rank == 3
    assert not type_.is_static
    assert type_.size == 6 * BATCH
    assert type_.with_shape([2]) == TensorType(float32, (2,))
    assert type_.with_dtype("float16") == TensorType(float16, (BATCH, 3, 2))
    assert TensorType(float32).size == 1
    assert TensorType(float32, (2, 0)).is_static


def test_symbols_of():
    assert symbols_of(TensorType(float32, (BATCH, 2)), TensorType(float32, (TIME // 2,))) == {"batch", "time"}
    assert symbols_of() == frozenset()


@pytest.mark.parametrize(
    ("shape", "fits"),
    [((2, 8), True), ((0, 8), True), ((2, 7), False), ((8,), False), ((2, 8, 1), False), ((), False)],
)
def test_a_type_admits_shapes_of_its_rank_and_known_sizes(shape, fits):
    assert TensorType(float32, (BATCH, 8)).admits(shape) is fits
