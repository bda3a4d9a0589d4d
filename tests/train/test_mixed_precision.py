"""Training in 16 bits with float32 weights: against PyTorch's autocast by hand, against float32, and what is kept."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import pytest
import torch
from sklearn.datasets import load_digits

import unifront as uf
from tests.train.test_remat import step_graph, torch_bytes
from unifront import layers, ops
from unifront.backends import installed
from unifront.ir import passes
from unifront.ir.memory import peak_bytes
from unifront.opset import OPS
from unifront.opset.tensor import Builder, lift

BACKENDS = [name for name in installed() if name != "numpy"]
CROSS_ENTROPY = uf.losses.SparseCategoricalCrossentropy(from_logits=True)


@contextmanager
def policy(name: str) -> Iterator[None]:
    """A block in which layers are made with the policy called ``name``."""
    uf.mixed_precision.set_global_policy(name)
    try:
        yield
    finally:
        uf.mixed_precision.set_global_policy("float32")


def digits() -> tuple[np.ndarray, np.ndarray]:
    data = load_digits()
    return (data.images[..., None] / 16).astype("float32"), data.target.astype("int32")


def mlp(name: str) -> uf.Model:
    uf.set_seed(0)
    with policy(name):
        vector = uf.Input((64,))
        hidden = layers.Dense(32, activation="relu")(vector)
        return uf.Model(vector, layers.Dense(10)(hidden))


# ---------------------------------------------------------------- against autocast by hand


@pytest.mark.parametrize(
    ("name", "dtype", "gathered"),
    [
        ("mixed_bfloat16", torch.bfloat16, 1),
        ("mixed_float16", torch.float16, 1),
        ("mixed_float16", torch.float16, 4),
    ],
)
def test_losses_of_fifty_steps_are_those_of_autocast(name: str, dtype: torch.dtype, gathered: int) -> None:
    model = mlp(name)
    images, labels = digits()
    x, y = images.reshape(-1, 64)[:800], labels[:800]
    first, second = torch.nn.Linear(64, 32), torch.nn.Linear(32, 10)
    with torch.no_grad():
        for linear, layer in zip((first, second), [one for one in model.layers if one.weights], strict=True):
            linear.weight.copy_(torch.tensor(layer.kernel.numpy().T))
            linear.bias.copy_(torch.tensor(layer.bias.numpy()))
    optimizer = torch.optim.SGD([*first.parameters(), *second.parameters()], lr=0.1)
    scaler = torch.amp.GradScaler("cpu", init_scale=2.0**15, enabled=dtype is torch.float16)
    expected = []
    for step in range(50):
        rows = slice(16 * step, 16 * step + 16)
        with torch.autocast("cpu", dtype):
            logits = second(torch.relu(first(torch.tensor(x[rows]))))
            loss = torch.nn.functional.cross_entropy(logits.float(), torch.tensor(y[rows]).long())
        scaler.scale(loss / gathered).backward()
        if (step + 1) % gathered == 0:
            scaler.step(optimizer)
            scaler.update()
            optimizer.zero_grad()
        expected.append(float(loss.detach()))

    rule = uf.optimizers.SGD(0.1, gradient_accumulation_steps=gathered if gathered > 1 else None)
    model.compile(rule, loss=CROSS_ENTROPY, backend="torch")
    losses = [
        float(model.fit(x[16 * i : 16 * i + 16], y[16 * i : 16 * i + 16], batch_size=16, verbose=0).history["loss"][0])
        for i in range(50)
    ]  # fmt: skip
    np.testing.assert_allclose(losses, expected, rtol=1e-3)
    assert losses[-1] < (0.7 if gathered == 1 else 0.95) * losses[0]


# ---------------------------------------------------------------- scaling


def test_float16_gets_a_scaled_loss_and_others_do_not() -> None:
    scaled = uf.mixed_precision.LossScaleOptimizer
    for name, wrapped in (("mixed_float16", True), ("mixed_bfloat16", False), ("float32", False)):
        model = mlp(name)
        model.compile("sgd", loss=CROSS_ENTROPY)
        assert isinstance(model.optimizer, scaled) is wrapped
    model = mlp("mixed_float16")
    model.compile("sgd", loss=CROSS_ENTROPY, auto_scale_loss=False)
    assert not isinstance(model.optimizer, scaled)
    model.compile(scaled(uf.optimizers.SGD()), loss=CROSS_ENTROPY)
    assert not isinstance(model.optimizer.inner_optimizer, scaled)


@pytest.mark.parametrize("backend", BACKENDS)
def test_a_step_that_overflows_is_left_out(backend: str) -> None:
    model = mlp("mixed_float16")
    x, y = np.ones((8, 64), "float32"), np.arange(8, dtype="int32")
    model.compile(uf.optimizers.SGD(0.1), loss=CROSS_ENTROPY, backend=backend)
    model.optimizer.dynamic_scale.assign(2.0**40)
    before = model.get_weights()
    model.fit(x, y, verbose=0)
    assert model.optimizer.dynamic_scale.numpy() == 2.0**39
    for ours, theirs in zip(model.get_weights(), before, strict=True):
        np.testing.assert_array_equal(ours, theirs)
    model.optimizer.dynamic_scale.assign(2.0**10)
    model.fit(x, y, verbose=0)
    assert any((a != b).any() for a, b in zip(model.get_weights(), before, strict=True))
    assert all(weight.dtype == "float32" for weight in model.weights)


# ---------------------------------------------------------------- accuracy


def cnn() -> uf.Model:
    """Two residual blocks."""
    image = uf.Input((8, 8, 1))
    x = layers.Conv2D(16, 3, padding="same", activation="relu")(image)
    for _ in range(2):
        y = layers.BatchNormalization(momentum=0.9)(layers.Conv2D(16, 3, padding="same")(x))
        x = layers.Activation("relu")(layers.Add()([x, y]))
    x = layers.GlobalAveragePooling2D()(layers.MaxPooling2D()(x))
    return uf.Model(image, layers.Dense(10)(x))


def lstm() -> uf.Model:
    image = uf.Input((8, 8, 1))
    x = layers.LSTM(64)(layers.Reshape((8, 8))(image))
    return uf.Model(image, layers.Dense(10, activation="softmax")(x))


@pytest.mark.slow
@pytest.mark.parametrize("name", ["mixed_bfloat16", "mixed_float16"])
@pytest.mark.parametrize("make", [cnn, lstm])
def test_digits_are_learnt_as_well_as_in_float32(make: Any, name: str) -> None:
    x, y = digits()
    order = np.random.default_rng(0).permutation(len(x))  # the last ones are of other writers
    x, y, found = x[order], y[order], {}
    backend = "torch" if make is lstm else "jax"
    for one in ("float32", name):
        right = []
        for seed in range(3):
            uf.set_seed(seed)
            with policy(one):
                model = make()
            loss = uf.losses.SparseCategoricalCrossentropy(from_logits=make is cnn)
            rate = uf.optimizers.schedules.CosineDecay(
                1e-2 if make is lstm else 5e-3, 440
            )  # else the last steps decide by chance
            model.compile(uf.optimizers.Adam(rate), loss=loss, metrics=["accuracy"], backend=backend)
            model.fit(x[:1400], y[:1400], batch_size=32, epochs=10, verbose=0)
            right.append(np.mean(np.argmax(model.predict(x[1400:], verbose=0), -1) == y[1400:]))
        found[one] = float(np.mean(right))
    assert found[name] >= found["float32"] - 0.005
    assert found[name] > 0.9


@pytest.mark.parametrize(
    "name",
    ["mixed_float16", *(pytest.param(one, marks=pytest.mark.slow) for one in ("mixed_bfloat16", "bfloat16"))],
)
def test_backends_train_alike(name: str) -> None:
    x, y = digits()
    histories = []
    for backend in BACKENDS:
        uf.set_seed(1)
        with policy(name):
            model = cnn()
        model.compile(uf.optimizers.SGD(0.05), loss=CROSS_ENTROPY, backend=backend)
        histories.append(
            model.fit(x[:256], y[:256], batch_size=64, epochs=2, shuffle=False, verbose=0).history["loss"]
        )
    for history in histories[1:]:
        np.testing.assert_allclose(history, histories[0], rtol=2e-2)


# ---------------------------------------------------------------- in the graph


def test_narrow_operations_run_in_float32_without_rounding_between_them() -> None:
    builder = Builder("chain")
    x = builder.input("x", uf.Input((3,), dtype="bfloat16").type)
    y = ops.multiply(ops.softmax(ops.exp(x)), x)
    table = passes.registry(OPS, lambda node, arrays: arrays)
    graph, _, changed = table["mixed_precision"](builder.graph([lift(y, builder)]))
    assert changed
    made = [(node.op.name, node.outputs[0].type.dtype.name) for node in graph.nodes]
    assert ("exp", "float32") in made
    assert ("softmax", "float32") in made
    assert ("multiply", "bfloat16") in made
    (exp,) = (node for node in graph.nodes if node.op.name == "exp")
    (softmax,) = (node for node in graph.nodes if node.op.name == "softmax")
    assert softmax.operands == exp.outputs
    again = table["mixed_precision"](graph)
    assert again[0] is graph


def test_activations_take_half_the_bytes() -> None:
    def model(name: str) -> uf.Model:
        uf.set_seed(0)
        with policy(name):
            vector = x = uf.Input((16,))
            for _ in range(4):
                x = layers.Dense(64, activation="relu")(x)
            return uf.Model(vector, layers.Dense(5)(x))

    plain, mixed = step_graph(model("float32")), step_graph(model("mixed_bfloat16"))
    assert peak_bytes(mixed) < 0.65 * peak_bytes(plain)
    assert torch_bytes(mixed) < 0.75 * torch_bytes(plain)


def test_a_float32_graph_is_left_as_it_is() -> None:
    graph = step_graph(mlp("float32"))
    assert all(node.op.name != "cast" for node in graph.nodes)


# ---------------------------------------------------------------- told and kept


def test_policies_are_told_and_saved(tmp_path: Any) -> None:
    layer = layers.Dense(3, dtype="mixed_bfloat16")
    assert layers.Dense.from_config(layer.get_config()).dtype_policy == layer.dtype_policy
    model = mlp("mixed_bfloat16")
    x = np.random.default_rng(0).normal(size=(4, 64)).astype("float32")
    expected = model.predict(x, verbose=0)
    assert expected.dtype.name == "bfloat16"
    model.save(tmp_path / "model.uf")
    np.testing.assert_array_equal(uf.load(tmp_path / "model.uf").predict(x, verbose=0), expected)
    copy = uf.models.clone_model(model)
    assert [one.dtype_policy.name for one in copy.layers if one.weights] == ["mixed_bfloat16"] * 2


def test_a_policy_for_one_layer() -> None:
    vector = uf.Input((4,))
    hidden = layers.Dense(3, dtype="mixed_float16")(vector)
    assert hidden.dtype == "float16"
    after = layers.Dense(2)
    assert after(hidden).dtype == "float32"
    assert after.kernel.dtype == "float32"


def test_without_autocast_weights_and_inputs_stay() -> None:
    class Plain(uf.Layer):
        def build(self, shape: Any) -> None:
            self.w = self.add_weight((2,), "ones")
            self.fixed = self.add_weight((2,), "ones", autocast=False)

        def call(self, x: Any) -> Any:
            return uf.ops.add(x, self.w), uf.ops.add(uf.ops.cast(x, "float16"), self.fixed)

    x = np.ones((1, 2), "float32")
    assert [y.dtype.name for y in Plain(dtype="mixed_float16")(x)] == ["float16", "float32"]
    assert [y.dtype.name for y in Plain(dtype="mixed_float16", autocast=False)(x)] == ["float32", "float32"]


def test_weights_read_in_a_loop_are_cast_once() -> None:
    with policy("mixed_bfloat16"):
        x = uf.Input((None, 4))
        model = uf.Model(x, layers.RNN(layers.SimpleRNNCell(3, activation="softsign"))(x))
    graph = model.trace(False).graph
    (scan,) = (node for node in graph.nodes if node.op.name == "scan")
    assert all(value.type.dtype == "float32" for value in [v.value for v in graph.variables])
    assert all(node.op.name != "cast" for node in scan.regions[0].nodes)
