"""A model as a `tf.Module`: trained, saved and loaded by plain TensorFlow."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import unifront as uf
from unifront import layers, ops
from unifront.backends import get_backend
from unifront.dtypes import float64
from unifront.dtypes import key as key_dtype
from unifront.errors import ArgumentError, ShapeError
from unifront.ir.dims import symbol
from unifront.ir.facts import opaque
from unifront.ir.graph import Graph
from unifront.ir.types import TensorType
from unifront.opset.spec import OpSpec
from unifront.opset.tensor import Builder, bind
from unifront.weights import Variable

tf = pytest.importorskip("tensorflow")

SIZE, CLASSES = 4, 3
NOISE = OpSpec(
    "noise", lambda x, key: x, lambda x, key: x, lambda rng: (), "a test", random=True, facts=opaque("half")
)


@pytest.fixture
def _noise_has_a_row(monkeypatch: pytest.MonkeyPatch) -> None:
    def row(x: Any, key: Any) -> Any:
        return x + tf.random.stateless_normal(tf.shape(x), key, dtype=x.dtype)

    monkeypatch.setitem(sys.modules["unifront_tensorflow.lower"].TABLE, NOISE, row)


def weights() -> dict[str, Variable]:
    rng = np.random.default_rng(0)
    shapes = {"head/dense/kernel": (SIZE, CLASSES), "head/dense/bias": (CLASSES,), "norm/mean": (SIZE,)}
    return {
        path: Variable.at(
            path, shape, "float64", initial=rng.normal(size=shape), trainable=path != "norm/mean"
        )
        for path, shape in shapes.items()
    }


def graph_of(variables: dict[str, Variable], *, training: bool, noise: bool = False) -> Graph:
    """Logits of centred inputs; in training the running mean moves, too."""
    builder = Builder("classifier")
    x = builder.input("image", TensorType(float64, (symbol("batch"), SIZE)))
    key = builder.input("key", TensorType(key_dtype)) if training else None
    kernel, bias, mean = (builder.variable(variable) for variable in variables.values())
    logits = ops.dense(ops.subtract(x, mean), kernel, bias)
    if not training:
        return builder.graph([logits], ["logits"])
    if noise:
        logits = bind(NOISE, logits, key)
    moved = ops.add(ops.multiply(mean, 0.9), ops.multiply(ops.mean(x, 0), 0.1))
    return builder.graph([logits, moved], ["logits", "norm/mean"])


def module_of(variables: dict[str, Variable], *, noise: bool = False) -> Any:
    return get_backend("tensorflow").module(
        graph_of(variables, training=True, noise=noise),
        graph_of(variables, training=False),
        {path: variable.numpy() for path, variable in variables.items()},
        ["norm/mean"],
    )


def logits_of(values: list[Any], x: Any) -> Any:
    kernel, bias, mean = values
    return (x - mean) @ kernel + bias


def test_variables_lie_under_their_paths_and_in_the_model_s_order() -> None:
    variables = weights()
    module = module_of(variables)
    assert isinstance(module, tf.Module)
    assert [v.name for v in module.trainable_variables] == ["head/dense/kernel:0", "head/dense/bias:0"]
    assert [v.name for v in module.non_trainable_variables] == ["norm/mean:0"]
    np.testing.assert_array_equal(module.head.dense.kernel, variables["head/dense/kernel"].numpy())


def test_a_tape_trains_it_as_hand_written_tensorflow() -> None:
    rng = np.random.default_rng(1)
    variables = weights()
    module = module_of(variables)
    values = [tf.Variable(variable.numpy()) for variable in variables.values()]
    for n in (8, 8, 5):
        x, y = tf.constant(rng.normal(size=(n, SIZE))), tf.constant(rng.integers(CLASSES, size=n))
        with tf.GradientTape() as tape:
            loss = tf.reduce_mean(tf.nn.sparse_softmax_cross_entropy_with_logits(y, module(x, training=True)))
        for variable, grad in zip(
            module.trainable_variables, tape.gradient(loss, module.trainable_variables), strict=True
        ):
            variable.assign_sub(0.1 * grad)
        with tf.GradientTape() as tape:
            wanted = tf.reduce_mean(tf.nn.sparse_softmax_cross_entropy_with_logits(y, logits_of(values, x)))
        for variable, grad in zip(values[:2], tape.gradient(wanted, values[:2]), strict=True):
            variable.assign_sub(0.1 * grad)
        values[2].assign(values[2] * 0.9 + tf.reduce_mean(x, 0) * 0.1)
        np.testing.assert_allclose(loss, wanted, rtol=1e-12)
    for actual, expected in zip(module.variables, values, strict=True):
        np.testing.assert_allclose(actual, expected, rtol=1e-12)
    np.testing.assert_allclose(module(x), logits_of(values, x), rtol=1e-12)


def test_it_works_inside_a_function_of_the_user() -> None:
    module = module_of(weights())

    @tf.function
    def gradients(x: Any) -> Any:
        with tf.GradientTape() as tape:
            loss = tf.reduce_sum(module(x, training=True) ** 2)
        return tape.gradient(loss, module.trainable_variables)

    x = tf.ones((2, SIZE), tf.float64)
    before = module.norm.mean.numpy()
    grads = gradients(x)
    np.testing.assert_allclose(module.norm.mean, before * 0.9 + 0.1, rtol=1e-12)
    kernel, bias = (variable.numpy() for variable in module.trainable_variables)
    logits = (x.numpy() - before) @ kernel + bias
    np.testing.assert_allclose(grads[1], 2 * logits.sum(0), rtol=1e-12)


LOADER = """
import sys
import numpy as np
import tensorflow as tf

folder = sys.argv[1]
x, y = np.load(folder + "/x.npy"), np.load(folder + "/y.npy")
net = tf.saved_model.load(folder + "/net")
serve = net.signatures["serving_default"]
np.testing.assert_allclose(net(tf.constant(x)), y, rtol=1e-12)
np.testing.assert_allclose(serve(image=tf.constant(x))["logits"], y, rtol=1e-12)
np.testing.assert_allclose(net(tf.constant(x[:2])), y[:2], rtol=1e-12)
assert net.head.dense.kernel.trainable
assert "unifront" not in sys.modules and "unifront_tensorflow" not in sys.modules
"""


def test_a_saved_model_runs_without_unifront(tmp_path: Path) -> None:
    module = module_of(weights())
    x = np.random.default_rng(2).normal(size=(5, SIZE))
    module(x, training=True)
    tf.saved_model.save(module, str(tmp_path / "net"))
    np.save(tmp_path / "x.npy", x)
    np.save(tmp_path / "y.npy", module(x).numpy())
    done = subprocess.run(
        [sys.executable, "-c", LOADER, str(tmp_path)], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr


def test_a_saved_model_has_the_endpoint_that_keras_calls_serve(tmp_path: Path) -> None:
    x = uf.Input((3,))
    model = uf.Model(x, {"double": x * 2.0, "mean": layers.GlobalAveragePooling1D()(x[:, :, None])})
    model.export(tmp_path / "served", format="tf_saved_model")
    data = np.random.default_rng(0).normal(size=(4, 3)).astype("float32")
    loaded = tf.saved_model.load(str(tmp_path / "served"))
    for found, wanted in zip(loaded.serve(data), (2 * data, data.mean(1, keepdims=True)), strict=True):
        np.testing.assert_allclose(found, wanted, rtol=1e-6)


@pytest.mark.usefixtures("_noise_has_a_row")
def test_noise_is_new_in_each_call_and_follows_the_global_seed() -> None:
    x = np.zeros((2, SIZE))
    runs = []
    for seed in (1, 1, 2):
        tf.random.set_seed(seed)
        module = module_of(weights(), noise=True)
        runs.append([module(x, training=True).numpy() for _ in range(2)])
    assert not np.allclose(runs[0][0], runs[0][1])
    np.testing.assert_array_equal(runs[0][1], runs[1][1])
    assert not np.allclose(runs[0][0], runs[2][0])


def test_inputs_that_do_not_fit_are_refused() -> None:
    module = module_of(weights())
    with pytest.raises(ShapeError, match=r"'image' is float64 \(None, 4\); float64 \(2, 5\) was given"):
        module(np.zeros((2, 5)))
    with pytest.raises(ArgumentError, match=r"takes 1 inputs \(image\); 2 were given"):
        module(np.zeros((2, SIZE)), np.zeros(1))


@pytest.mark.parametrize("layer", ["LSTM", "GRU", "SimpleRNN"])
def test_a_recurrent_model_is_saved_with_its_gradients(tmp_path: Path, layer: str) -> None:
    x = uf.Input((None, 5))
    net = uf.Model(x, layers.Dense(3)(getattr(layers, layer)(4)(x))).lower("tensorflow")
    tf.saved_model.save(net, str(tmp_path))
    loaded = tf.saved_model.load(str(tmp_path))
    data = tf.constant(np.random.default_rng(0).normal(size=(4, 6, 5)).astype("float32"))
    found = []
    for one in (net, loaded):
        with tf.GradientTape() as tape:
            loss = tf.reduce_sum(one(data) ** 2)
        found.append(tape.gradient(loss, one._all))
    for actual, expected in zip(*found, strict=True):
        np.testing.assert_allclose(actual, expected, rtol=1e-5)
