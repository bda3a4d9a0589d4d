"""An eager call follows the device of its arrays, its weights with it. Second devices without a GPU: the host twice
in JAX and TensorFlow (in a process of its own, as they are made before the framework starts), `meta` in PyTorch."""

import os
import subprocess
import sys

import numpy as np
import pytest

import unifront as uf
from unifront import layers
from unifront.backends import backend_of, get_backend, installed, placement, use_backend
from unifront.dtypes import dtype_of
from unifront.errors import ArgumentError
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
IMPORTS = """
import numpy as np
import unifront as uf
from unifront import layers
from unifront.backends import get_backend

backend = get_backend(name)
assert backend.devices() == ("cpu", "cpu:1"), backend.devices()
"""
CHECKS = """
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
square, other = (put(np.full((4, 4), value, "float32"), second) for value in (1, 2))
for number in range(4):  # calls made again are remembered
    for result in (
        uf.ops.add(square, other), uf.ops.matmul(square, other), uf.ops.sum(square, axis=1), uf.ops.reshape(square, (2, 8)),
        uf.ops.maximum(square, other), uf.ops.relu(square),
    ):
        assert backend.device_of(result) == "cpu:1", (number, result)
assert backend.device_of(uf.ops.multiply(np.ones(1, "float32"), on_second)) == "cpu:1"
assert backend.device_of(uf.ops.exp(layers.Dense(2, name="d").build((None, 3)) or on_second)) == "cpu:1"
weight = model.weights[0]
with uf.backend(f"{name}:cpu:1"):
    assert backend.device_of(uf.ops.exp(weight)) == "cpu:1"
given = put(np.full(weight.shape, 2, "float32"), second)
weight.assign(given)
assert weight.home == f"{name}:cpu:1"
for device in ("cpu:1", "cpu"):
    on_numpy = model.predict(x, backend="numpy")  # of the order of 10, and one may be near zero
    np.testing.assert_allclose(model.predict(x, backend=f"{name}:{device}"), on_numpy, rtol=1e-5, atol=1e-5)
    net = model.lower(f"{name}:{device}")
layer = layers.Dense(2)
layer(on_second)
"""
TRACED = {
    "jax": """
out = jax.jit(lambda x: layer(x))(on_second)
assert (backend.device_of(out), layer.kernel.home) == ("cpu:1", "jax:cpu:1")
spread = jax.device_put(np.ones((4, 1), "float32"), jax.sharding.NamedSharding(
    jax.sharding.Mesh(jax.devices(), ("data",)), jax.sharding.PartitionSpec("data")))
assert backend.device_of(spread) == "cpu,cpu:1"
np.testing.assert_allclose(layer(spread), np.asarray(layer(on_first))[0, 0], atol=1e-6)
assert backend.device_of(layer(spread)) == layer.kernel.home.partition(":")[2] == "cpu,cpu:1"
""",
    "tensorflow": """
out = tf.function(lambda x: layer(x))(on_second)
assert layer.kernel.home == "tensorflow:cpu:1"
""",
}
TRAINED = """
from unifront.backends import placement

rng = np.random.default_rng(0)
images, labels = rng.random((36, 4, 4, 1)), rng.integers(0, 3, 36)

def small():
    uf.set_seed(0)
    model = uf.Sequential([
        uf.Input((4, 4, 1), dtype="float64"), layers.Conv2D(2, 3, activation="relu"), layers.BatchNormalization(),
        layers.Dropout(0.5), layers.Flatten(), layers.Dense(3),
    ])
    loss = uf.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(uf.optimizers.Adam(0.01), loss, metrics=["accuracy"])
    return model

def outcome(where):
    # 5 steps an epoch, the last of 4 examples; then predictions and an evaluation whose last batch is odd
    model, place = small(), placement(where)
    losses = model.fit(images, labels, batch_size=8, epochs=8, shuffle=False, verbose=0, backend=where).history["loss"]
    assert {str(weight.home) for weight in model.weights} == {str(place)}, model.weights[0].home
    held = [model.weights[i].native(place, ...) for i in range(2)]
    assert {device(array) for array in held} == {place.devices}
    predicted = model.predict(images, batch_size=7, backend=where)
    rated = model.evaluate(images, labels, batch_size=7, backend=where)
    one = model.train_on_batch(images[:8], labels[:8], backend=where)
    return [np.asarray(part) for part in (losses, predicted, rated, one, *model.get_weights())]

def agree(one, other):
    for part, expected in zip(one, other, strict=True):
        np.testing.assert_allclose(part, expected, rtol=1e-9, atol=1e-12)

expected = outcome(f"{name}:cpu")
agree(outcome(f"{name}:cpu:1"), expected)
model = small()  # one model's compiled step serves each device in turn
for where in ("cpu:1", "cpu", "cpu:1"):
    model.fit(images, labels, batch_size=8, epochs=1, verbose=0, backend=f"{name}:{where}")
    assert model.weights[0].home == f"{name}:{where}"
"""
SEVERAL = {
    "jax": """
agree(outcome("jax:cpu:0,cpu:1"), expected)
model = small()
for where in ("cpu", "cpu,cpu:1", "cpu:1"):
    model.fit(images, labels, batch_size=8, epochs=2, shuffle=False, verbose=0, backend=f"jax:{where}")
    assert model.weights[0].home == f"jax:{where}"
together = small()
together.fit(images, labels, batch_size=8, epochs=6, shuffle=False, verbose=0, backend="jax:cpu")
for weight, other in zip(model.get_weights(), together.get_weights(), strict=True):
    np.testing.assert_allclose(weight, other, rtol=1e-9, atol=1e-12)

place = placement("jax:cpu,cpu:1")
assert (place.devices, str(place)) == (("cpu", "cpu:1"), "jax:cpu,cpu:1")
assert placement(str(place)) == place
whole, parts, odd = backend.array(images, place.device), place.batch(images), place.batch(images[:7])
shapes = lambda array: {shard.data.shape for shard in array.addressable_shards}
assert (shapes(whole), shapes(parts), shapes(odd)) == ({(36, 4, 4, 1)}, {(18, 4, 4, 1)}, {(7, 4, 4, 1)})
assert {backend.device_of(array) for array in (whole, parts, odd)} == {place.device}
assert backend.free_bytes(place.device) > 0
backend.synchronize(place.device)
with uf.backend(place):  # eager calls, too
    np.testing.assert_allclose(uf.ops.sum(uf.ops.convert_to_tensor(images)), images.sum())
    result = model(uf.ops.convert_to_tensor(images[:4]))
assert set(result.devices()) == set(jax.devices()), result.devices()

from unifront_jax import step as steps
from unifront_jax._wide import enable_x64
import gc
gc.collect()  # the steps of models that are gone
(functions,) = [known for (_, where), known in steps._compiled.items() if "," in where]
compiled, whole = [], functions.step
object.__setattr__(functions, "step", lambda *given: compiled.append(whole.lower(*given).compile()) or whole(*given))
model.fit(images, labels, batch_size=8, epochs=1, verbose=0, backend="jax:cpu,cpu:1")
text = compiled[0].as_text()
assert "all-reduce" in text
assert "f64[4,4,4,1]" in text and "f64[8,4,4,1]" not in text  # of a batch of 8 each device computes with 4
""",
    "tensorflow": "",
}
DEVICE = {
    "jax": """
def device(array):
    return tuple(backend.device_of(shard.data) for shard in array.addressable_shards)
""",
    "tensorflow": """
def device(array):
    return (backend.device_of(array),)
""",
}
FIRST = {"jax": JAX, "tensorflow": TENSORFLOW}
SECOND_DEVICES = [name for name in FIRST if name in installed()]


def in_a_process_with_two_devices(code):
    flags = {
        "XLA_FLAGS": "--xla_force_host_platform_device_count=2", "JAX_PLATFORMS": "cpu",
        "JAX_DISABLE_MOST_OPTIMIZATIONS": "1",  # the programs are small and run once
    }  # fmt: skip
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, env={**os.environ, **flags}, timeout=240
    )
    assert done.returncode == 0, done.stderr[-3000:]


@pytest.mark.parametrize("name", SECOND_DEVICES)
def test_calls_follow_their_arrays_to_a_second_device(name):
    in_a_process_with_two_devices(f"name = {name!r}\n{FIRST[name]}{IMPORTS}{CHECKS}{TRACED[name]}")


@pytest.mark.parametrize("name", SECOND_DEVICES)
def test_training_on_a_second_device_and_on_both(name):
    in_a_process_with_two_devices(
        f"name = {name!r}\n{FIRST[name]}{IMPORTS}{DEVICE[name]}{TRAINED}{SEVERAL[name]}"
    )


@pytest.mark.parametrize("name", [name for name in installed() if name != "jax"])
def test_several_devices_where_programs_run_on_one(name, monkeypatch):
    monkeypatch.setattr(type(get_backend(name)), "devices", lambda self: ("cpu", "cpu:1"))
    with pytest.raises(
        ArgumentError, match=rf"'{name}' runs a program on one device, and cpu, cpu:1 were named"
    ):
        placement(f"{name}:cpu,cpu:1")


@pytest.mark.parametrize(
    ("given", "match"),
    [
        ("jax:cpu,cpu:0", r"'jax:cpu,cpu:0' names a device twice"),
        ("jax:cpu,cpu:7", r"'jax' has no device 'cpu:7' here; it has cpu"),
        ("jax:cpu,", r"'jax' has no device '' here; it has cpu"),
    ],
)
def test_devices_that_make_no_placement(given, match):
    pytest.importorskip("jax")
    with pytest.raises(ArgumentError, match=match):
        placement(given)


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


def test_what_torch_returns_as_a_tuple_is_no_array() -> None:
    torch = pytest.importorskip("torch")
    assert backend_of(torch.ones(2).shape) is None
    assert backend_of(torch.max(torch.ones(2, 2), 0)) is None
