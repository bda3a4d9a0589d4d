"""Arrays, devices, keys and compiled programs of the JAX backend."""

import os
import subprocess
import sys

import ml_dtypes
import numpy as np
import pytest

import unifront.ops as ops
from unifront import dtypes
from unifront.backends import HostKey, placement
from unifront.errors import ArgumentError, UnifrontError, UnknownName
from unifront.ir.types import TensorType
from unifront.opset.tensor import Builder

jax = pytest.importorskip("jax")
jnp = pytest.importorskip("jax.numpy")

BACKEND = placement("jax").backend


@pytest.mark.parametrize(
    "dtype", ["bool", "int8", "int32", "int64", "uint64", "float16", "bfloat16", "float32", "float64"]
)
def test_arrays_keep_dtype_and_values(dtype: str) -> None:
    numpy_dtype = np.dtype(ml_dtypes.bfloat16) if dtype == "bfloat16" else np.dtype(dtype)
    value = np.arange(6).reshape(2, 3).astype(numpy_dtype)
    native = BACKEND.array(value, "cpu")
    assert isinstance(native, jax.Array)
    assert BACKEND.type_of(native) == TensorType(dtypes.dtype_of(dtype), (2, 3))
    back = BACKEND.numpy(native)
    assert back.dtype == numpy_dtype
    np.testing.assert_array_equal(back, value)


def test_an_array_does_not_follow_the_numpy_array_it_came_from() -> None:
    value = np.zeros(4096, np.float32)
    native = BACKEND.array(value)
    value[:] = 1
    assert BACKEND.numpy(native).max() == 0


@pytest.mark.parametrize("dtype", ["float64", "float32", "int64"])
def test_operations_run_at_once_on_arrays_of_any_width(dtype: str) -> None:
    value = np.array([1, 2, 3], dtype)
    result = ops.add(BACKEND.array(value), BACKEND.array(value))
    assert result.dtype == np.dtype(dtype)
    np.testing.assert_array_equal(result, value + value)
    assert jnp.ones(()).dtype == np.float32


def test_a_cast_to_a_wide_type_widens() -> None:
    assert ops.cast(jnp.ones(3), "float64").dtype == np.float64
    assert ops.cast(jnp.ones(3), "int64").dtype == np.int64


def test_int64_is_exact_in_programs() -> None:
    builder = Builder()
    x = builder.input("x", TensorType(dtypes.int64, (1,)))
    program = BACKEND.compile(builder.graph([ops.add(x, np.array([2**40 + 1]))]))
    (result,) = program([BACKEND.array(np.array([2**50]))], [])
    assert BACKEND.numpy(result).tolist() == [2**50 + 2**40 + 1]


@pytest.mark.parametrize("seed", [0, 1, 2**31, 2**32 + 1, 2**64 - 1])
def test_keys_keep_all_bits_of_a_seed(seed: int) -> None:
    key = BACKEND.key(HostKey(seed))
    assert BACKEND.type_of(key) == TensorType(dtypes.key)
    assert BACKEND.numpy(key).tolist() == [seed >> 32, seed & 0xFFFFFFFF]
    if seed < 2**31:
        np.testing.assert_array_equal(BACKEND.numpy(key), jax.random.key_data(jax.random.key(seed)))


def test_devices() -> None:
    names = BACKEND.devices()
    assert "cpu" in names
    assert placement("jax:cpu").device == "cpu"
    assert placement("jax").device == names[0]
    with pytest.raises(UnifrontError, match="tpu:7"):
        BACKEND.array(np.zeros(1), "tpu:7")


def test_a_program_without_inputs_runs_on_its_device() -> None:
    builder = Builder()
    graph = builder.graph([ops.add(builder.constant(np.ones(3, np.float32)), 1.0)])
    (result,) = BACKEND.compile(graph, "cpu")([], [])
    np.testing.assert_array_equal(result, np.full(3, 2, np.float32))
    assert {device.platform for device in result.devices()} == {"cpu"}


def test_gradients_of_what_is_not_used_are_zero() -> None:
    builder = Builder()
    x, y = (builder.input(name, TensorType(dtypes.float32, (2,))) for name in "xy")
    program = BACKEND.value_and_grad(builder.graph([ops.sum(ops.square(x)), y]), ["y", "x"])
    arrays = [BACKEND.array(np.array(value, np.float32)) for value in ([1, 2], [3, 4])]
    found = [BACKEND.numpy(value).tolist() for value in program(arrays, [])]
    assert found == [5.0, [3.0, 4.0], [0.0, 0.0], [2.0, 4.0]]


def test_gradient_errors() -> None:
    builder = Builder()
    x = builder.input("x", TensorType(dtypes.float32, (2,)))
    n = builder.input("n", TensorType(dtypes.int32, ()))
    graph = builder.graph([ops.sum(x), x, n])
    with pytest.raises(UnknownName, match="z"):
        BACKEND.value_and_grad(graph, ["z"])
    with pytest.raises(ArgumentError, match=r"'n' is int32\[\]; a gradient is taken to floats only"):
        BACKEND.value_and_grad(graph, ["n"])
    with pytest.raises(ArgumentError, match="a gradient needs a float scalar"):
        BACKEND.value_and_grad(builder.graph([x]), ["x"])


@pytest.mark.parametrize(("given", "expected"), [(None, "false"), ("true", "true")])
def test_the_gpu_is_not_taken_whole_unless_the_user_says_so(given: str | None, expected: str) -> None:
    name = "XLA_PYTHON_CLIENT_PREALLOCATE"
    environment = {k: v for k, v in os.environ.items() if k != name} | ({name: given} if given else {})
    # JAX reads it when it first touches a device, so that it may have been imported before.
    script = f"import os, jax, unifront_jax; assert os.environ[{name!r}] == {expected!r}"
    subprocess.run([sys.executable, "-c", script], env=environment, check=True, timeout=120)


def test_synchronize_waits_for_results() -> None:
    x = BACKEND.array(np.ones((300, 300), np.float32))
    result = jax.jit(lambda x: jax.lax.fori_loop(0, 20, lambda i, y: y @ x / 300, x))(x)
    BACKEND.synchronize("cpu")
    assert result.is_ready()
