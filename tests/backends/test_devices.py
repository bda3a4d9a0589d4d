"""An eager call follows the device of its arrays, its weights with it. Second devices without a GPU: the host twice
in JAX and TensorFlow (in a process of its own, as they are made before the framework starts), `meta` in PyTorch."""

import os
import subprocess
import sys

import numpy as np
import pytest

import unifront as uf
from unifront import layers
from unifront.backends import get_backend, installed, placement, use_backend
from unifront.dtypes import dtype_of
from unifront.testing import assert_close

JAX = """
import jax
first, second = jax.devices()
put = lambda value, device: jax.device_put(value, device)
"""
TENSORFLOW = """
import tensorflow as tf
(cpu,) = tf.config.list_physical_devices("CPU")
tf.config.set_logical_device_configuration(cpu, [tf.config.LogicalDeviceConfiguration()] * 2)
first, second = "CPU:0", "CPU:1"
def put(value, device):
    with tf.device(device):
        return tf.constant(value)
"""
CHECKS = """
import numpy as np
import unifront as uf
from unifront import layers
from unifront.backends import get_backend
from unifront.opset.tensor import backend_of_arrays

backend = get_backend(name)
assert backend.devices() == ("cpu", "cpu:1"), backend.devices()
x = np.ones((2, 4, 4, 1), "float32")
on_first, on_second = put(x, first), put(x, second)
assert (backend.device_of(on_first), backend.device_of(on_second)) == ("cpu", "cpu:1")
model = uf.Sequential([
    uf.Input((4, 4, 1)), layers.Conv2D(2, 3), layers.BatchNormalization(), layers.Flatten(), layers.Dropout(0.5),
    layers.Dense(3),
])
expected = model(x)
for given, device in ((on_second, "cpu:1"), (on_first, "cpu"), (on_second, "cpu:1")):
    result = model(given)
    assert backend.device_of(result) == device
    assert {weight.home for weight in model.weights} == {f"{name}:{device}"}
    np.testing.assert_allclose(np.asarray(result), expected, atol=1e-6)
    assert backend.device_of(model(given, training=True)) == device  # keys, constants and statistics too
    model.weights[2].assign(np.ones(2)); model.weights[3].assign(np.zeros(2))
    model.weights[4].assign(np.zeros(2)); model.weights[5].assign(np.ones(2))
assert backend.device_of(uf.ops.add(on_second, 1)) == "cpu:1"
assert backend.device_of(uf.ops.multiply(np.ones(1, "float32"), on_second)) == "cpu:1"
assert backend.device_of(uf.ops.exp(layers.Dense(2, name="d").build((None, 3)) or on_second)) == "cpu:1"
weight = model.weights[0]
with uf.backend(f"{name}:cpu:1"):
    assert backend.device_of(uf.ops.exp(weight)) == "cpu:1"
given = put(np.full(weight.shape, 2, "float32"), second)
weight.assign(given)
assert weight.home == f"{name}:cpu:1"
for device in ("cpu:1", "cpu"):
    np.testing.assert_allclose(model.predict(x, backend=f"{name}:{device}"), model.predict(x, backend="numpy"), 1e-5)
    net = model.lower(f"{name}:{device}")
layer = layers.Dense(2)
layer(on_second)
"""
TRACED = {
    "jax": """
out = jax.jit(lambda x: layer(x))(on_second)
assert (backend.device_of(out), layer.kernel.home) == ("cpu:1", "jax:cpu:1")
spread = jax.device_put(np.ones((4, 3), "float32"), jax.sharding.NamedSharding(
    jax.make_mesh((2,), ("data",)), jax.sharding.PartitionSpec("data")))
assert backend.device_of(spread) is None
""",
    "tensorflow": """
out = tf.function(lambda x: layer(x))(on_second)
assert layer.kernel.home == "tensorflow:cpu:1"
""",
}
FIRST = {"jax": JAX, "tensorflow": TENSORFLOW}


@pytest.mark.parametrize("name", [name for name in FIRST if name in installed()])
def test_calls_follow_their_arrays_to_a_second_device(name):
    flags = {"XLA_FLAGS": "--xla_force_host_platform_device_count=2", "JAX_PLATFORMS": "cpu"}
    code = f"name = {name!r}\n{FIRST[name]}{CHECKS}{TRACED[name]}"
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, env={**os.environ, **flags}, timeout=240
    )
    assert done.returncode == 0, done.stderr[-3000:]


def test_a_device_without_values_leaves_the_weights_where_they_are():
    torch = pytest.importorskip("torch")
    model = uf.Sequential([uf.Input((4,)), layers.Dense(3), layers.BatchNormalization(), layers.Dropout(0.5)])
    before = model.get_weights()
    homes = [weight.home for weight in model.weights]
    for training in (False, True):
        result = model(torch.ones(2, 4, device="meta"), training=training)
        assert (result.device.type, tuple(result.shape)) == ("meta", (2, 3))
    assert [weight.home for weight in model.weights] == homes
    for value, weight in zip(before, model.weights, strict=True):
        assert_close(weight.numpy(), value)


def test_the_default_device_is_for_what_has_none():
    torch = pytest.importorskip("torch")
    backend = get_backend("torch")
    for place in (placement("torch:cpu"), "torch:cpu"):
        with use_backend(place) as found:
            assert found == placement("torch:cpu")
            assert uf.ops.exp(layers.Dense(1).add_weight((2,), "ones", name="w")).device.type == "cpu"
    assert backend.device_of(torch.ones(1)) == "cpu"
    assert backend.device_of(torch.ones(1, device="meta")) == "meta"


@pytest.mark.parametrize("backend", [name for name in installed() if name != "numpy"])
@pytest.mark.parametrize("dtype", ["float32", "float64", "uint8", "bool", "bfloat16", "int32"])
@pytest.mark.parametrize("shape", [(), (0, 3), (5, 7), (600, 3000)])
def test_a_native_array_is_a_copy(shape, dtype, backend):
    place = placement(backend)
    value = np.arange(np.prod(shape, dtype=int)).reshape(shape).astype(dtype_of(dtype).numpy)
    expected = value.copy()
    native = place.backend.array(value, place.device)
    value[...] = 1
    found = place.backend.numpy(native)
    assert found.dtype == expected.dtype
    np.testing.assert_array_equal(found, expected)
