"""Random operations: same key same values, the right distributions, dropout's gradient."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest

from unifront import backends, ops, testing
from unifront.backends import HostKey, placement
from unifront.errors import ArgumentError, DTypeError, ShapeError
from unifront.ir.dims import symbol
from unifront.ir.types import TensorType
from unifront.opset.tensor import Builder

ALL = backends.installed()
TRAINABLE = [name for name in ALL if name != "numpy"]
KEY = HostKey(7)


def _numpy(name: str, array: object) -> np.ndarray:
    return placement(name).backend.numpy(array)


@pytest.mark.parametrize("name", ALL)
def test_one_key_gives_the_same_values_and_another_gives_others(name: str) -> None:
    with backends.use_backend(name):
        first, again = ops.random_normal(KEY, (4, 5)), ops.random_normal(KEY, (4, 5))
        other = ops.random_normal(ops.fold_in(KEY, 1), (4, 5))
        third = ops.random_normal(ops.fold_in(KEY, 2), (4, 5))
    assert np.array_equal(_numpy(name, first), _numpy(name, again))
    for a, b in ((first, other), (first, third), (other, third)):
        assert not np.any(_numpy(name, a) == _numpy(name, b))


@pytest.mark.parametrize("name", ALL)
def test_a_key_folded_with_a_tensor_is_the_one_folded_with_the_number(name: str) -> None:
    with backends.use_backend(name):
        number = ops.random_uniform(ops.fold_in(KEY, 5), (3,))
        data = placement(name).backend.array(np.asarray(5, np.int32))
        tensor = ops.random_uniform(ops.fold_in(KEY, data), (3,))
    assert np.array_equal(_numpy(name, number), _numpy(name, tensor))


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("name", ALL)
def test_distributions(name: str, dtype: str) -> None:
    with backends.use_backend(name):
        uniform = _numpy(name, ops.random_uniform(KEY, (20_000,), -1.0, 3.0, dtype))
        normal = _numpy(name, ops.random_normal(KEY, (20_000,), 2.0, 0.5, dtype))
        coins = _numpy(name, ops.random_bernoulli(KEY, (20_000,), 0.3))
    assert uniform.dtype == normal.dtype == np.dtype(dtype)
    assert uniform.min() >= -1
    assert uniform.max() < 3
    histogram = np.histogram(uniform, 10, (-1, 3))[0]
    assert np.abs(histogram - 2000).max() < 6 * np.sqrt(2000)
    assert abs(normal.mean() - 2) < 0.02
    assert abs(normal.std() - 0.5) < 0.02
    assert abs(np.mean(np.abs(normal - 2) < 0.5) - 0.6827) < 0.02
    assert coins.dtype == bool
    assert abs(coins.mean() - 0.3) < 0.02


@pytest.mark.parametrize("rate", [0.25, 0.4])
@pytest.mark.parametrize("name", ALL)
def test_dropout_keeps_and_scales(name: str, rate: float) -> None:
    x = np.random.default_rng(0).uniform(1, 2, (100, 200)).astype("float32")
    with backends.use_backend(name):
        native = placement(name).backend.array(x)
        y = _numpy(name, ops.dropout(native, KEY, rate))
        rows = _numpy(name, ops.dropout(native, KEY, rate, noise_shape=(None, 1)))
    kept = y != 0
    assert abs(kept.mean() - (1 - rate)) < 0.02
    assert abs(kept[:, ::2].mean() - kept[:, 1::2].mean()) < 0.03
    testing.assert_close(y[kept], x[kept].astype("float64") / (1 - rate))
    assert np.all((rows != 0).all(1) | (rows == 0).all(1))
    assert 0.3 < (rows != 0).mean() < 0.95


@pytest.mark.parametrize("rate", [0.5, 0.3])
@pytest.mark.parametrize("name", TRAINABLE)
def test_dropout_has_the_gradient_of_its_mask(name: str, rate: float) -> None:
    builder = Builder("dropout")
    batch = symbol("batch")
    x = builder.input("x", TensorType(testing.dtype_of("float64"), (batch, 30)))
    key = builder.input("key", testing.type_of(KEY))
    y = ops.dropout(x, key, rate)
    place = placement(name)
    program = place.backend.value_and_grad(builder.graph([ops.sum(ops.square(y)), y]), ["x"])
    value = np.random.default_rng(1).normal(size=(20, 30))
    _, y, gradient = program([place.backend.array(value), place.backend.key(KEY)], [])
    testing.assert_close(_numpy(name, gradient), 2 * _numpy(name, y) / (1 - rate) * (_numpy(name, y) != 0))
    assert np.any(_numpy(name, y) == 0)


def test_wrong_arguments_are_named() -> None:
    x = np.zeros((2, 3))
    with pytest.raises(ArgumentError, match=r"the rate is 1.0; it is at least 0 and less than 1"):
        ops.dropout(x, KEY, 1.0)
    with pytest.raises(ShapeError, match=r"the noise shape \(2,\) has not the rank of x \(2, 3\)"):
        ops.dropout(x, KEY, 0.5, noise_shape=(2,))
    with pytest.raises(DTypeError, match=r"The key is float64\[2, 3\]; make one with uf.random_key"):
        ops.random_uniform(x, (2,))


@pytest.mark.parametrize(
    "call",
    [
        "uf.random.normal((2,))",
        "uf.random.shuffle(np.arange(3))",
        "uf.random.dropout(np.ones(3), 0.5)",
        "uf.ops.image.elastic_transform(np.ones((1, 4, 4, 3)))",
    ],
)
def test_the_first_thing_a_process_does_may_be_a_draw(call: str) -> None:
    script = f"import numpy as np, unifront as uf; print(np.asarray({call}).shape)"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
