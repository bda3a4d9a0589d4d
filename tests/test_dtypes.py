"""Dtypes and their promotion, judged by JAX and Keras."""

import itertools

import numpy as np
import pytest

import unifront as uf
from unifront import dtypes, ops
from unifront.backends import installed, placement
from unifront.dtypes import BY_NAME, DType, dtype_of, float16, float32, int32, key, promote
from unifront.errors import ArgumentError, DTypeError, UnknownName

NUMERIC = [dtype for dtype in dtypes.ALL if dtype is not key]
PAIRS = list(itertools.combinations_with_replacement(NUMERIC, 2))


def _ids(value):
    return getattr(value, "name", str(value))


@pytest.mark.parametrize(("a", "b"), PAIRS, ids=_ids)
def test_promotion_is_jax_s(a, b):
    jax = pytest.importorskip("jax")
    with jax.enable_x64(True):
        expected = jax.numpy.promote_types(a.name, b.name).name
    if "uint64" in (a.name, b.name) and {a.kind, b.kind} == {"i", "u"}:
        # They meet in JAX's weak float, whose width is the default float's: float64 only under x64.
        expected = "float32"
    assert promote(a, b).name == promote(b, a).name == expected


@pytest.mark.parametrize("scalar", [True, 2, 2.5], ids=["bool", "int", "float"])
@pytest.mark.parametrize("dtype", [d for d in NUMERIC if d.name != "uint64"], ids=_ids)
def test_python_scalars_are_weak_as_in_keras(dtype, scalar):
    pytest.importorskip("keras")
    from keras.src.backend.common.dtypes import result_type

    # Without uint64, which Keras narrows to uint32.
    assert promote(dtype, scalar).name == result_type(dtype.name, type(scalar))


@pytest.mark.parametrize(
    ("values", "expected"), [((True,), "bool"), ((1, True), "int32"), ((1, 2.0), "float32")]
)
def test_python_scalars_alone(values, expected):
    assert promote(*values).name == expected


def test_promotion_is_associative():
    # Without uint64: with signed integers it meets in JAX's weak float, which is float32 in a result.
    narrow = [dtype for dtype in NUMERIC if dtype.name != "uint64"]
    for a, b, c in itertools.product(narrow, repeat=3):
        assert promote(promote(a, b), c) == promote(a, promote(b, c)) == promote(a, b, c)


def test_a_key_takes_no_part():
    with pytest.raises(DTypeError, match="random key takes no part"):
        promote(key, float32)
    with pytest.raises(DTypeError, match="no NumPy dtype"):
        _ = key.numpy


@pytest.mark.parametrize("value", ["float32", np.float32, np.dtype("float32"), float32, np.dtype(">f4")])
def test_dtype_of(value):
    assert dtype_of(value) is float32


def test_numpy_dtypes_come_back():
    for dtype in NUMERIC:
        assert dtype_of(dtype.numpy) is dtype is BY_NAME[dtype.name]
        assert dtype.numpy.itemsize * 8 == dtype.bits


@pytest.mark.parametrize(
    "value", ["float33", "f4", "complex256", np.clongdouble, "a9999999999", object(), []]
)
def test_unknown_dtypes_are_refused(value):
    with pytest.raises(UnknownName, match="Unknown dtype"):
        dtype_of(value)


def test_a_close_name_is_offered():
    with pytest.raises(UnknownName, match="Did you mean 'float32'"):
        dtype_of("flot32")


def test_floatx():
    assert dtypes.floatx() is float32
    try:
        dtypes.set_floatx("float16")
        assert dtypes.floatx() is float16
        with pytest.raises(DTypeError, match="floatx is a float dtype, not int32"):
            dtypes.set_floatx(int32)
    finally:
        dtypes.set_floatx("float32")


def test_to_float():
    assert dtypes.to_float(int32) is float32
    assert dtypes.to_float(float16) is float16
    assert isinstance(float16, DType)


@pytest.mark.parametrize("name", installed())
@pytest.mark.parametrize("dtype", dtypes.PACKED, ids=_ids)
def test_numbers_are_stored_in_few_bits(name, dtype):
    backend = placement(name).backend
    values = np.array([1, 3, 7, 2, 0], "float32") * (0.7 if dtype.is_float else 1)
    if name == "torch" and not dtype.is_float:
        with pytest.raises(DTypeError, match=f"'torch' has no {dtype}"):
            ops.cast(backend.array(values), dtype)
        return
    stored = values.astype(dtype.numpy)
    for array in (ops.cast(backend.array(values), dtype), backend.array(stored)):
        assert backend.type_of(array).dtype is dtype
        assert np.array_equal(backend.numpy(array), stored)
        assert np.array_equal(backend.numpy(ops.cast(array, "float32")), stored.astype("float32"))


class Stored(uf.Layer):
    """Adds a weight that is kept in few bits."""

    def __init__(self, kind, **options):
        super().__init__(**options)
        self.kind = kind

    def build(self, shape):
        self.table = self.add_weight((2, 3), "zeros", dtype=self.kind, trainable=False, name="table")

    def call(self, x):
        return x + ops.cast(self.table, "float32")


@pytest.mark.parametrize("dtype", dtypes.PACKED, ids=_ids)
def test_weights_of_few_bits_are_computed_with_and_saved(dtype, tmp_path):
    """Where a framework has no such numbers, and in files, which know floats of 8 bits only, an error says so."""
    values = (np.arange(6).reshape(2, 3) * (0.5 if dtype.is_float else 1)).astype(dtype.numpy)
    model = uf.Sequential([uf.Input((2, 3)), Stored(dtype.name)])
    model.layers[0].table.assign(values)
    x, wanted = np.ones((1, 2, 3), "float32"), 1 + values[None].astype("float32")
    for name in ("numpy", "torch", "jax", "tensorflow"):
        if name not in installed():
            continue
        if name == "torch" and not dtype.is_float:
            with pytest.raises(
                DTypeError, match=f"'torch' has no {dtype}; keep such numbers as int8 or uint8"
            ):
                model.predict(x, verbose=0, backend=name)
        else:
            assert np.array_equal(model.predict(x, verbose=0, backend=name), wanted)
    if not dtype.is_float:
        with pytest.raises(
            ArgumentError, match=f"'stored/table' is {dtype}, which files of weights do not hold"
        ):
            model.save(tmp_path / "m.uf")
        return
    model.save(tmp_path / "m.uf")
    loaded = uf.load(tmp_path / "m.uf")
    assert [weight.dtype for weight in loaded.weights] == [dtype]
    assert np.array_equal(loaded.predict(x, verbose=0, backend="numpy"), wanted)


@pytest.mark.parametrize("dtype", dtypes.PACKED, ids=_ids)
def test_stored_numbers_are_not_promoted(dtype):
    assert promote(dtype, dtype) is dtype
    for other in (float32, int32, 1, 2.5, key if dtype.is_float else float16):
        with pytest.raises(DTypeError, match="for storing numbers|random key"):
            promote(dtype, other)


@pytest.mark.parametrize("a", [*dtypes.COMPLEX], ids=_ids)
def test_promotion_of_complex_numbers_is_jax_s(a):
    jax = pytest.importorskip("jax")
    with jax.enable_x64(True):
        for b in (*NUMERIC, *dtypes.COMPLEX):
            assert promote(a, b).name == promote(b, a).name == jax.numpy.promote_types(a.name, b.name).name


@pytest.mark.parametrize("dtype", dtypes.ALL, ids=str)
def test_a_dtype_is_equal_to_its_name(dtype):
    assert dtype == dtype.name
    assert dtype.name == dtype
    assert {dtype: 1}[dtype.name] == {dtype.name: 1}[dtype] == 1
    assert dtype not in [other for other in dtypes.ALL if other is not dtype]
    assert dtype != "float"
    assert dtype != 1


def test_numpy_takes_one_for_a_dtype() -> None:
    assert np.ones(2, dtype=uf.layers.Dense(1, dtype="bfloat16").compute_dtype).dtype.name == "bfloat16"


def test_int_is_the_default_integer_as_in_keras() -> None:
    assert dtype_of("int") is int32
