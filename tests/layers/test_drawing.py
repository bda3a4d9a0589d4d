"""Models that draw random numbers whether they train or not: a variational autoencoder, everywhere."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest

import unifront as uf
from tests.onnx.runtimes import check, runtime
from unifront import layers, ops
from unifront.backends import installed
from unifront.errors import ArgumentError
from unifront.testing import assert_close

BACKENDS = installed()
TRAINABLE = [name for name in BACKENDS if name != "numpy"]
DATA = np.random.default_rng(0).normal(size=(64, 6)).astype("float32")


class Sampling(uf.Layer):
    """A draw from the normal distribution with a mean and a logarithm of the variance."""

    def call(self, mean: Any, log_variance: Any) -> Any:
        noise = ops.random_normal(self.random_key(), mean.shape, dtype=mean.dtype, like=mean)
        divergence = ops.sum(ops.square(mean) + ops.exp(log_variance) - log_variance - 1, axis=-1)
        self.add_loss(ops.mean(divergence) * 0.05)
        return mean + ops.exp(log_variance * 0.5) * noise


def _autoencoder() -> uf.Model:
    x = uf.Input((6,), name="x")
    hidden = layers.Dense(16, activation="tanh", name="hidden")(x)
    code = Sampling(name="code")(layers.Dense(3, name="mean")(hidden), layers.Dense(3, name="spread")(hidden))
    model = uf.Model(x, layers.Dense(6, name="decoded")(code), name="autoencoder")
    model.compile(uf.optimizers.Adam(0.03), loss="mse")
    return model


def _again(compute: Any) -> tuple[Any, Any, Any]:
    """Two calls after a seed, and the first one after the same seed again."""
    uf.set_seed(7)
    first, second = compute(), compute()
    uf.set_seed(7)
    return first, second, compute()


def test_the_graph_takes_a_key() -> None:
    model = _autoencoder()
    for training in (False, True):
        assert model.graph(training).input_names == ("x", "key")


@pytest.mark.parametrize("backend", TRAINABLE)
def test_it_trains_and_is_evaluated(backend: str) -> None:
    uf.set_seed(1)
    model = _autoencoder()
    losses = model.fit(
        DATA, DATA, validation_data=(DATA, DATA), epochs=10, batch_size=16, verbose=0, backend=backend
    ).history
    assert losses["loss"][-1] < 0.9 * losses["loss"][0]
    assert losses["val_loss"][-1] < 0.9 * losses["val_loss"][0]
    first, second, again = _again(lambda: model.evaluate(DATA, DATA, backend=backend))
    assert first == again != second


@pytest.mark.parametrize("backend", BACKENDS)
def test_each_prediction_draws_anew_and_can_be_repeated(backend: str) -> None:
    model = _autoencoder()
    same = np.zeros((64, 6), np.float32)
    first, second, again = _again(lambda: model.predict(same, backend=backend, batch_size=16))
    assert_close(first, again)
    assert len(np.unique(np.concatenate([first, second]), axis=0)) == 128  # of each row and batch its own


def test_what_is_drawn_is_normal_everywhere() -> None:
    x = uf.Input((1,), name="x")
    model = uf.Model(x, Sampling()(x, x * 0), name="noise")
    for backend in BACKENDS:
        found = model.predict(np.full((4000, 1), 2.0, np.float32), backend=backend, batch_size=1000)
        assert abs(found.mean() - 2) < 0.1
        assert abs(found.std() - 1) < 0.1


@pytest.mark.parametrize("backend", BACKENDS)
def test_a_file_draws_the_same(backend: str, tmp_path: Path) -> None:
    model = _autoencoder()
    model.save(tmp_path / "model.uf")
    loaded = uf.load(tmp_path / "model.uf")
    assert loaded.graph().input_names == ("x", "key")
    assert list(loaded.input_types) == ["x"]
    uf.set_seed(2)
    expected = model.predict(DATA, backend=backend)
    uf.set_seed(2)
    assert_close(loaded.predict(DATA, backend=backend), expected)


def test_a_loaded_model_trains_on(tmp_path: Path) -> None:
    model = _autoencoder()
    model.fit(DATA, DATA, verbose=0, backend=TRAINABLE[0])
    model.save(tmp_path / "model.uf")
    loaded = uf.load(tmp_path / "model.uf")
    results = []
    for one in (model, loaded):
        uf.set_seed(5)
        one.fit(DATA, DATA, verbose=0, backend=TRAINABLE[0])
        results.append(one.evaluate(DATA, DATA, backend=TRAINABLE[0]))
    assert results[0] == pytest.approx(results[1], rel=1e-6)


def test_a_loaded_model_in_another_one(tmp_path: Path) -> None:
    _autoencoder().save(tmp_path / "model.uf")
    inner = uf.load(tmp_path / "model.uf")
    x = uf.Input((6,), name="x")
    outer = uf.Model(x, [inner(x), inner(x)], name="twice")
    first, second = outer.predict(DATA, backend="numpy")
    assert (first != second).all()  # keys of their own


def test_lowered_modules_draw() -> None:
    model = _autoencoder()
    torch = pytest.importorskip("torch")
    net = model.lower("torch:cpu").eval()
    given = torch.from_numpy(DATA)
    torch.manual_seed(0)
    first, second = net(given), net(given)
    torch.manual_seed(0)
    assert torch.equal(first, net(given))
    assert not torch.equal(first, second)

    jax = pytest.importorskip("jax")
    pure = model.lower("jax:cpu")
    outputs = [pure.apply(pure.params, pure.state, DATA, key=jax.random.key(n))[0] for n in (0, 1, 0)]
    assert (outputs[0] == outputs[2]).all()
    assert (outputs[0] != outputs[1]).any()
    with pytest.raises(ArgumentError, match="draws random numbers in inference"):
        pure.apply(pure.params, pure.state, DATA)

    tf = pytest.importorskip("tensorflow")
    tf.random.set_seed(0)
    module = model.lower("tensorflow:cpu")
    assert (module(DATA).numpy() != module(DATA).numpy()).any()

    run = model.lower("numpy")
    assert_close(run(DATA, key=uf.random_key(1)), run(DATA, key=uf.random_key(1)))
    with pytest.raises(ArgumentError, match="draws random numbers in inference"):
        run(DATA)


def test_saved_model_draws(tmp_path: Path) -> None:
    tf = pytest.importorskip("tensorflow")
    tf.saved_model.save(_autoencoder().lower("tensorflow:cpu"), str(tmp_path))
    loaded = tf.saved_model.load(str(tmp_path))
    assert (loaded(DATA).numpy() != loaded(DATA).numpy()).any()


def test_parity_has_nothing_to_compare() -> None:
    with pytest.raises(ArgumentError, match="draws random numbers in inference, other ones on each backend"):
        uf.parity(_autoencoder(), DATA)


@pytest.mark.parametrize("dtype", ["float32", "float64", "float16"])
def test_onnx_draws(dtype: str, tmp_path: Path) -> None:
    x = uf.Input((None, 1), name="x", dtype=dtype)
    noisy = layers.Dropout(0.25, dtype=dtype)(x + 1, training=True)

    class Noises(uf.Layer):
        def call(self, x: Any) -> Any:
            keys = self.random_key(), self.random_key()
            fixed = ops.random_uniform(keys[0], (500,), 1.0, 3.0, dtype=x.dtype)
            again = ops.random_uniform(keys[0], (500,), 1.0, 3.0, dtype=x.dtype)
            one = ops.random_normal(keys[1], (), 5.0, 0.5, dtype=x.dtype)
            return fixed, fixed - again, one, x + ops.random_normal(keys[1], x.shape, 5.0, 0.5, dtype=x.dtype)

    model = uf.Model(x, [noisy, *Noises(dtype=dtype)(x)], name="noises")
    uf.set_seed(4)
    model.export(tmp_path / "noises.onnx")
    check(onnx.load(tmp_path / "noises.onnx"))
    value = np.zeros((10, 300, 1), dtype)
    dropped, even, nothing, one, normal = results = runtime(str(tmp_path / "noises.onnx"), [value])
    assert all(result.dtype == dtype for result in results)
    assert abs((dropped == 0).mean() - 0.25) < 0.05
    assert np.unique(dropped.astype("float32").round(2)).tolist() == pytest.approx([0, 1.33], abs=0.01)
    assert 1 <= even.min() < 1.1 < 2.9 < even.max() <= 3
    assert not nothing.any()
    assert one.shape == ()
    assert 2 < one < 8
    assert abs(normal.astype("float64").mean() - 5) < 0.05
    assert abs(normal.astype("float64").std() - 0.5) < 0.05
    again = runtime(str(tmp_path / "noises.onnx"), [value])
    for result, repeated in zip(results, again, strict=True):
        assert_close(result, repeated)


def test_a_draw_in_a_loop() -> None:
    class Walk(uf.Layer):
        def call(self, x: Any) -> Any:
            def step(place: Any, move: Any) -> Any:
                new = place + move + ops.random_normal(self.random_key(), (), like=x)
                return new, new

            return ops.scan(step, ops.sum(x) * 0, x)[1]

    x = uf.Input((), name="x")
    model = uf.Model(x, Walk(name="walk")(x), name="walk")
    for backend in BACKENDS:
        first, second, again = _again(
            lambda backend=backend: model.predict(np.zeros(8, np.float32), backend=backend)
        )
        assert_close(first, again)
        assert (first != second).all()


def test_without_the_program_of_graphviz_it_is_an_import_error(tmp_path, monkeypatch):
    """As in Keras: scripts catch it and go on."""
    pytest.importorskip("graphviz")
    monkeypatch.setenv("PATH", str(tmp_path))
    image = uf.Input((3,))
    model = uf.Model(image, uf.layers.Dense(2)(image))
    with pytest.raises(ImportError, match="Graphviz's program `dot` draws the picture"):
        uf.utils.plot_model(model, tmp_path / "m.png")
