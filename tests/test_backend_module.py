"""`uf.backend` is called for a scope and has ``keras.backend``'s functions; `Function`, `KerasTensor` and what the façade shows of Keras."""

from __future__ import annotations

import sys
import types
from typing import Any

import keras
import numpy as np
import pytest

import unifront as uf
from unifront.backends import default_name, installed
from unifront.dtypes import dtype_of
from unifront.errors import ArgumentError, UnknownName
from unifront.testing import assert_close


def test_one_object_is_a_scope_and_a_namespace_however_it_is_imported() -> None:
    import unifront.backend as imported
    from unifront.backend import floatx

    assert imported is sys.modules["unifront.backend"] is uf.backend
    assert not isinstance(uf.backend, types.ModuleType)
    assert floatx() == uf.backend.floatx() == uf.config.floatx()
    name = installed()[-1]
    with uf.backend(name):
        assert default_name() == name
        assert uf.backend.backend() == name
    missing = {one for one in dir(keras.backend) if not one.startswith("_") and not hasattr(uf.backend, one)}
    assert missing == set()


@pytest.mark.parametrize(
    "dtypes",
    [("bfloat16", int), ("int32", "float32"), (int,), (float,), (int, float), ("int8", "uint8"), ("float16", float), (bool, "int8")],
)  # fmt: skip
def test_result_type_is_keras(dtypes: tuple[Any, ...]) -> None:
    theirs = [one if one is not bool else "bool" for one in dtypes]
    assert uf.backend.result_type(*dtypes) == keras.backend.result_type(*theirs)


def test_names_are_counted() -> None:
    assert [uf.backend.get_uid("own"), uf.backend.get_uid("own")] == [1, 2]


def test_a_device_is_one_of_the_default_backend() -> None:
    with uf.backend("torch"), uf.device("cpu:0") as place:
        assert (place.backend.name, place.device) == ("torch", "cpu")
    with uf.backend("numpy"), pytest.raises(ArgumentError, match="has no device 'gpu:0' here; it has cpu"):
        uf.device("gpu:0").__enter__()
    with pytest.raises(ArgumentError, match="A device is a name, .*, not 0"):
        uf.device(0).__enter__()  # type: ignore[arg-type]


def test_a_function_of_symbolic_tensors() -> None:
    x, y = uf.KerasTensor((None, 2)), uf.KerasTensor((None, 2), name="other")
    total = uf.Function([x, y], {"sum": x + y})
    given = np.ones((3, 2), "float32")
    assert_close(total([given, 2 * given])["sum"], 3 * given)
    assert isinstance(total([x, x])["sum"], uf.KerasTensor)
    assert len(total.inputs) == 2
    assert not isinstance(given, uf.KerasTensor)


def test_frameworks_dtypes_are_dtypes() -> None:
    import tensorflow as tf
    import torch

    for one in (torch.bfloat16, tf.bfloat16, "bfloat16"):
        assert dtype_of(one).name == "bfloat16"
        assert uf.ops.cast(np.ones(2, "float32"), one).dtype == "bfloat16"
        assert uf.layers.Dense(2, dtype=one).dtype == "bfloat16"
    with pytest.raises(UnknownName, match=r"Unknown dtype torch\.qint8"):
        dtype_of(torch.qint8)  # type: ignore[arg-type]
    with pytest.raises(
        ArgumentError, match="cast: dtype is a DType or a string or a type or a dtype, not 3.5"
    ):
        uf.ops.cast(np.ones(2), 3.5)


def test_a_list_of_sizes_is_one_shape() -> None:
    layer = uf.layers.LayerNormalization(axis=[1, 2])
    layer.build([5, 4, 3])
    assert layer.gamma.shape == (4, 3)


def test_a_target_that_is_no_class_is_among_none() -> None:
    scores = np.array([[0.1, 0.9], [0.8, 0.2], [0.8, 0.2]], "float32")
    assert uf.ops.in_top_k(np.array([1, 2, -1]), scores, k=2).tolist() == [True, False, False]
    row, place = uf.Input((None,)), uf.Input((), dtype="int32")
    model = uf.Model([place, row], uf.ops.in_top_k(place, row, 2))
    assert model.predict([np.array([0, 7]), np.ones((2, 4))], verbose=0).tolist() == [True, False]
