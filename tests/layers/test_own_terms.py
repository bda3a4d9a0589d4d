"""Layers, losses and metrics in one framework's own terms; that they compute what Keras does is `test_own_terms.py`'s."""

from __future__ import annotations

from contextlib import nullcontext
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import unifront as uf
from unifront import layers, ops
from unifront.errors import ArgumentError, ShapeError, UnsupportedOp
from unifront.testing import GRADIENT, assert_close

torch = pytest.importorskip("torch")

X = np.random.default_rng(0).normal(size=(10, 8)).astype(np.float32)


class Tanh(uf.Layer):
    def call(self, x: Any) -> Any:
        return torch.tanh(x)


class Noisy(uf.Layer):
    """Two results, a statistic, a loss, and random numbers."""

    def __init__(self) -> None:
        super().__init__()
        self.dense, self.dropout = layers.Dense(4), layers.Dropout(0.5)
        self.count = self.add_weight((), name="count", trainable=False)

    def call(self, x: Any, scale: float = 1.0, extra: Any = None, training: bool = False) -> Any:
        y = self.dropout(self.dense(x), training=training)
        self.count.assign(self.count + 1)
        self.add_loss(torch.mean(torch.square(y)) * 0.1)
        more = 0 if extra is None else torch.sum(extra)
        return {"y": torch.relu(y) * scale + more, "sum": y.sum(dim=-1)}


def noisy() -> uf.Model:
    uf.set_seed(0)
    inputs = uf.Input((8,))
    found = Noisy()(inputs, scale=3.0, extra=inputs)
    model = uf.Model(inputs, layers.Dense(1)(Tanh()(found["y"])))
    model.compile("sgd", "mse", backend="torch")
    return model


def test_types_of_free_sizes_are_found_by_trying() -> None:
    found = Noisy()(uf.Input((8,)))
    assert {name: str(one.type) for name, one in found.items()} == {
        "y": "float32[batch, 4]",
        "sum": "float32[batch]",
    }

    class Convolution(uf.Layer):
        def build(self, shape: Any) -> None:
            self.kernel = self.add_weight((4, 3, 3, 3), name="kernel")

        def call(self, x: Any) -> Any:
            moved = x.permute(0, 3, 1, 2)
            return torch.nn.functional.conv2d(moved, self.kernel, padding=1).permute(0, 2, 3, 1)

    pictures = uf.Input((None, None, 3))
    model = uf.Model(pictures, Convolution()(pictures))
    for size in (4, 9):
        assert model.predict(np.ones((2, size, size + 1, 3)), verbose=0, backend="torch").shape == (
            2,
            size,
            size + 1,
            4,
        )


def test_it_trains_draws_counts_and_adds_its_losses() -> None:
    model = noisy()
    expected = 0.1 * np.mean(np.square(X @ model.layers[1].dense.kernel.numpy()))
    judged = model.evaluate(X, model.predict(X, verbose=0), verbose=0)
    assert_close(np.float32(judged), np.float32(expected), bounds=GRADIENT)
    first = [one.numpy() for one in model.trainable_weights]
    before = float(model.layers[1].count.numpy())
    losses = model.fit(X, np.ones((10, 1)), batch_size=5, epochs=3, shuffle=False, verbose=0).history["loss"]
    assert_close(model.layers[1].count.numpy(), np.float32(before + 6))
    assert len(set(losses)) == 3
    assert all(not np.array_equal(a, b.numpy()) for a, b in zip(first, model.trainable_weights, strict=True))


@pytest.mark.parametrize("count", [0, 1, 10])
def test_the_graph_gives_what_the_eager_call_gives(count: int) -> None:
    model = noisy()
    with uf.backend("torch"):
        eager = model(X[:count]).detach().numpy()
        hybrid = model.hybridize()(X[:count]).detach().numpy()
    model.hybridize(False)
    given = model.predict(X[:count], verbose=0)
    assert_close(given, eager, bounds=GRADIENT)
    assert_close(hybrid, eager, bounds=GRADIENT)


def test_it_is_saved_by_its_name_and_refused_elsewhere(tmp_path: Path) -> None:
    inputs = uf.Input((8,))
    model = uf.Model(inputs, layers.Dense(1)(Tanh(name="bend")(inputs)))
    model.save(tmp_path / "model.keras")
    again = uf.models.load_model(tmp_path / "model.keras", custom_objects={"Tanh": Tanh})
    assert_close(again.predict(X, verbose=0, backend="torch"), model.predict(X, verbose=0, backend="torch"))
    match = "Tanh 'bend' calls torch itself: it runs on the backend 'torch' only"
    with pytest.raises(UnsupportedOp, match=match):
        model.predict(X, verbose=0, backend="jax")
    with pytest.raises(UnsupportedOp, match=match):
        model.export(tmp_path / "model.onnx")
    with pytest.raises(UnsupportedOp, match=match):
        model.save(tmp_path / "model.uf")


def test_what_failed_leaves_nothing_behind() -> None:
    class Halfway(uf.Layer):
        def __init__(self) -> None:
            super().__init__()
            self.norm = layers.BatchNormalization(momentum=0.0)

        def call(self, x: Any, training: bool = False) -> Any:
            y = self.norm(x, training=training)
            self.add_loss(ops.mean(y) * 0.0 + 1.0)
            return torch.relu(y)

    inputs = uf.Input((8,))
    model = uf.Model(inputs, Halfway()(inputs))
    model.compile("sgd", loss=lambda y, p: ops.mean(p) * 0.0, backend="torch")
    history = model.fit(X, X, batch_size=10, verbose=0).history
    assert_close(np.float32(history["loss"]), np.float32([1.0]))
    assert_close(model.layers[1].norm.moving_mean.numpy(), X.mean(0), bounds=GRADIENT)


def test_errors_of_ones_own_operations_are_as_they_are() -> None:
    class Wrong(uf.Layer):
        def call(self, x: Any) -> Any:
            return torch.matmul(x, torch.ones(3, 3))

    with pytest.raises(ShapeError, match="matmul: the last axis of"):
        Wrong(name="wrong")(uf.Input((8,)))

    class Sliced(uf.Layer):
        def call(self, x: Any) -> Any:
            return torch.relu(x)[: x.shape[0] // 2 + 1]

    with pytest.raises(ShapeError, match="how a size of its result follows from a free one"):
        Sliced()(uf.Input((8,)))

    class OfNumpy(uf.Layer):
        def call(self, x: Any) -> Any:
            return np.exp(x)

    with pytest.raises(ArgumentError, match="numpy.exp does not take symbolic tensors"):
        OfNumpy()(uf.Input((8,)))


def test_a_weight_that_is_not_the_layers_own_is_not_taken_for_a_constant() -> None:
    other = layers.Dense(4)
    other.build((None, 8))

    class Borrows(uf.Layer):
        def call(self, x: Any) -> Any:
            return torch.nn.functional.linear(x, [other][0].kernel.value.T)

    with (
        uf.backend("torch"),
        pytest.raises(ArgumentError, match="torch.linear does not take symbolic tensors"),
    ):
        Borrows()(uf.Input((8,)))


def test_a_module_of_pytorchs_is_wrapped_where_that_is_the_backend() -> None:
    class Holds(uf.Layer):
        def __init__(self) -> None:
            super().__init__()
            self.linear = torch.nn.Linear(8, 2)

        def call(self, x: Any) -> Any:
            return torch.tanh(self.linear(x))

    with uf.backend("torch"):
        inputs = uf.Input((8,))
        model = uf.Model(inputs, Holds()(inputs))
        model.compile("sgd", "mse")
        first = model.get_weights()
        assert [one.shape for one in first] == [(2, 8), (2,)]
        model.fit(X, np.ones((10, 2)), verbose=0)
    assert not np.array_equal(first[0], model.get_weights()[0])
    with uf.backend("jax"):
        assert isinstance(Holds().linear, torch.nn.Linear)


def test_jaxs_functions_are_recognized_though_it_hides_where_they_fail() -> None:
    jax = pytest.importorskip("jax")
    functions = [
        jax.nn.relu,
        jax.numpy.tanh,
        lambda x: jax.lax.mul(x, x),
    ]  # no name of JAX's in the call itself

    class Applies(uf.Layer):
        def call(self, x: Any) -> Any:
            for function in functions:
                x = function(x)
            return x

    with uf.backend("jax"):
        inputs = uf.Input((8,))
        model = uf.Model(inputs, Applies()(inputs))
        expected = np.square(np.tanh(np.maximum(X, 0)))
        assert_close(model.predict(X, verbose=0), expected, bounds=GRADIENT)


def test_methods_of_the_frameworks_tensors_are_its_terms_too() -> None:
    with uf.backend("torch"):
        model = uf.Sequential(
            [uf.Input((8,)), layers.Dense(4), layers.Lambda(lambda x: x.clamp(min=0.0) + torch.zeros(4))]
        )
        model.compile("sgd", loss=lambda y, p: torch.nn.functional.cross_entropy(p, y.long().squeeze(-1)))
        history = model.fit(X, np.arange(10) % 4, batch_size=10, verbose=0).history
    assert model.predict(X, verbose=0, backend="torch").min() == 0.0
    assert 0.5 < history["loss"][0] < 3.0


def test_it_is_computed_again_for_the_gradient() -> None:
    found = []
    for mode in (None, "full"):
        uf.set_seed(0)
        with uf.RematScope(mode) if mode else nullcontext():
            layer = Noisy()
        inputs = uf.Input((8,))
        model = uf.Model(inputs, layers.Dense(1)(layer(inputs)["y"]))
        model.layers[1].dropout.rate = 0.0
        model.compile("sgd", "mse", backend="torch")
        model.fit(X, np.ones((10, 1)), batch_size=5, epochs=2, shuffle=False, verbose=0)
        found.append(model.get_weights())
    for one, other in zip(*found, strict=True):
        assert_close(one, other, bounds=GRADIENT)
