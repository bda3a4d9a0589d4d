"""Layers that hold a module of PyTorch, a function of JAX, a SavedModel: on their backend they are what they hold."""

from __future__ import annotations

import copy
import sys
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import numpy as np
import pytest

import unifront as uf
from unifront import layers
from unifront.errors import ArgumentError, UnifrontError, UnknownName, UnsupportedOp

X = np.random.default_rng(0).normal(size=(6, 4)).astype("float32")
Y = np.random.default_rng(1).normal(size=(6, 3)).astype("float32")


def _module() -> Any:
    torch = pytest.importorskip("torch")
    torch.manual_seed(0)
    return torch.nn.Sequential(
        torch.nn.Linear(4, 8), torch.nn.BatchNorm1d(8), torch.nn.ReLU(), torch.nn.Linear(8, 3)
    )


def test_a_torch_module_trains_as_it_does_by_itself() -> None:
    torch = pytest.importorskip("torch")
    module = _module()
    judge = copy.deepcopy(module)
    layer = layers.TorchModuleWrapper(module)
    model = uf.Sequential([uf.Input((4,)), layer])
    model.compile(uf.optimizers.SGD(0.1), "mse")
    history = model.fit(X, Y, epochs=3, batch_size=6, shuffle=False, verbose=0, backend="torch")
    optimizer, losses = torch.optim.SGD(judge.parameters(), 0.1), []
    for _ in range(3):
        loss = ((judge(torch.tensor(X)) - torch.tensor(Y)) ** 2).mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    np.testing.assert_allclose(history.history["loss"], losses, rtol=1e-5)
    for name, value in judge.state_dict().items():  # the buffers too
        np.testing.assert_allclose(layer.module.state_dict()[name], value, rtol=1e-4, atol=1e-6, err_msg=name)
    assert layer.module is module
    judge.eval()
    np.testing.assert_allclose(
        model.predict(X, backend="torch", verbose=0), judge(torch.tensor(X)).detach(), rtol=1e-4, atol=1e-6
    )
    assert len(layer.trainable_weights) == 6
    assert len(layer.non_trainable_weights) == 3


def test_a_torch_module_in_eager_calls_passes_gradients() -> None:
    torch = pytest.importorskip("torch")
    layer, x = layers.TorchModuleWrapper(_module()), torch.tensor(X, requires_grad=True)
    layer(x).sum().backward()
    assert x.grad is not None
    assert float(x.grad.abs().sum()) > 0


def test_a_torch_module_of_several_inputs_and_results() -> None:
    torch = pytest.importorskip("torch")

    class Pair(torch.nn.Module):
        def forward(self, a: Any, b: Any) -> Any:
            return {"sum": a + b, "flat": a.reshape(-1)[:2]}

    a, b = uf.Input((4,)), uf.Input((4,))
    found = layers.TorchModuleWrapper(Pair())(a, b)
    assert found["sum"].shape[1:] == (4,)
    assert found["flat"].shape == (2,)
    result = uf.Model([a, b], found["sum"]).predict([X, X], backend="torch", verbose=0)
    np.testing.assert_array_equal(result, X + X)


@pytest.mark.parametrize("backend", ["jax", "tensorflow", "numpy"])
def test_elsewhere_it_says_where_it_runs(backend: str) -> None:
    model = uf.Sequential([uf.Input((4,)), layers.TorchModuleWrapper(_module(), name="held")])
    with pytest.raises(
        UnsupportedOp, match="TorchModuleWrapper 'held' holds what is torch's: it runs on .* only"
    ):
        model.predict(X, backend=backend, verbose=0)


def test_it_is_in_no_file(tmp_path: Path) -> None:
    model = uf.Sequential([uf.Input((4,)), layers.TorchModuleWrapper(_module())])
    for save in (model.save, model.export):
        with pytest.raises(UnifrontError, match="holds what is torch's"):
            save(tmp_path / ("m.uf" if save == model.save else "m.onnx"))
    assert not list(tmp_path.iterdir())
    with pytest.raises(ArgumentError, match="holds a module, which no config can tell"):
        model.get_config()


def test_what_is_no_module_is_refused() -> None:
    torch = pytest.importorskip("torch")
    with pytest.raises(ArgumentError, match="holds a torch.nn.Module, not 3"):
        layers.TorchModuleWrapper(3)
    with pytest.raises(ArgumentError, match="LazyModules are not supported"):
        layers.TorchModuleWrapper(torch.nn.LazyLinear(3))


def _dense(params: Any, state: Any, rng: Any, inputs: Any, training: bool) -> Any:
    import jax

    kept = jax.random.bernoulli(rng, 0.5, inputs.shape) if training else True
    return (inputs * kept) @ params["kernel"] + params["bias"], {"calls": state["calls"] + 1}


def _start(rng: Any, inputs: Any) -> Any:
    import jax

    kernel = jax.random.normal(rng, (inputs.shape[-1], 3))
    return {"kernel": kernel, "bias": np.zeros(3, "float32")}, {"calls": np.zeros((), "int32")}


def test_a_function_of_jax_trains_and_keeps_its_state() -> None:
    pytest.importorskip("jax")
    layer = layers.JaxLayer(_dense, _start, seed=1)
    model = uf.Sequential([uf.Input((4,)), layer])
    model.compile(uf.optimizers.SGD(0.1), "mse")
    history = model.fit(X, Y, epochs=5, batch_size=3, verbose=0, backend="jax").history["loss"]
    assert history[-1] < history[0]
    assert int(layer.state["calls"]) == 10
    expected = X @ layer.params["kernel"] + layer.params["bias"]
    np.testing.assert_allclose(model.predict(X, backend="jax", verbose=0), expected, rtol=1e-4, atol=1e-5)
    with pytest.raises(UnsupportedOp, match="runs on the backend 'jax' only"):
        model.predict(X, backend="torch", verbose=0)


def test_the_gradient_of_a_function_of_jax_is_its_own() -> None:
    pytest.importorskip("jax")
    kernel = np.random.default_rng(2).normal(size=(4, 3)).astype("float32")
    layer = layers.JaxLayer(lambda params, inputs: inputs @ params, params=kernel)
    model = uf.Sequential([uf.Input((4,)), layer])
    model.compile(uf.optimizers.SGD(1.0), "mse")
    model.fit(X, Y, batch_size=6, verbose=0, backend="jax")
    step = X.T @ (X @ kernel - Y) * 2 / Y.size
    np.testing.assert_allclose(layer.params, kernel - step, rtol=1e-4, atol=1e-5)


def test_functions_with_other_arguments_are_refused() -> None:
    with pytest.raises(UnknownName, match="argument of call_fn 'weights'"):
        layers.JaxLayer(lambda weights, inputs: inputs)
    with pytest.raises(ArgumentError, match="cannot all be `None`"):
        layers.JaxLayer(lambda params, inputs: inputs)
    with pytest.raises(ArgumentError, match="Missing required argument in `call_fn`"):
        layers.JaxLayer(lambda params: params)


class _Flax:
    """What a module of Flax does, as far as the layer asks."""

    def __call__(self, inputs: Any, training: bool) -> Any:
        raise AssertionError

    def init(self, rng: Any, inputs: Any, method: Any, training: bool) -> Any:
        return {"params": {"w": np.full(4, 2.0, "float32")}, "batch_stats": {"n": np.zeros((), "float32")}}

    def apply(self, variables: Any, inputs: Any, rngs: Any, method: Any, mutable: Any, training: bool) -> Any:
        assert mutable == ("deny", ["params"])
        return inputs * variables["params"]["w"], {
            "batch_stats": {"n": variables["batch_stats"]["n"] + training}
        }


def test_a_module_of_flax(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("jax")
    linen: Any = ModuleType("flax.linen")
    linen.DenyList = lambda names: ("deny", names)
    monkeypatch.setitem(sys.modules, "flax", SimpleNamespace(linen=linen))
    monkeypatch.setitem(sys.modules, "flax.linen", linen)
    layer = layers.FlaxLayer(_Flax())
    model = uf.Sequential([uf.Input((4,)), layer])
    np.testing.assert_allclose(model.predict(X, backend="jax", verbose=0), X * 2)
    model.compile("sgd", "mse")
    model.fit(X, X, batch_size=3, verbose=0, backend="jax")
    assert float(layer.state["batch_stats"]["n"]) == 2
    assert np.all(np.asarray(layer.params["params"]["w"]) < 2)


def test_a_saved_model(tmp_path: Path) -> None:
    tf = pytest.importorskip("tensorflow")

    class Scaled(tf.Module):
        def __init__(self) -> None:
            super().__init__()
            self.factor = tf.Variable(3.0)

        @tf.function(input_signature=[tf.TensorSpec([None, 4])])
        def serve(self, x: Any) -> Any:
            return self.factor * x

        @tf.function(input_signature=[tf.TensorSpec([None, 4])])
        def halved(self, x: Any) -> Any:
            return {"half": x / 2}

    tf.saved_model.save(Scaled(), str(tmp_path / "saved"))
    layer = layers.TFSMLayer(tmp_path / "saved")
    model = uf.Sequential([uf.Input((4,)), layer, layers.Dense(3)])
    model.compile("sgd", "mse")
    model.fit(X, Y, batch_size=3, verbose=0, backend="tensorflow")
    np.testing.assert_allclose(np.asarray(layer(tf.constant(X))), X * 3, rtol=1e-6)
    halved = layers.TFSMLayer(tmp_path / "saved", call_endpoint="halved")(uf.Input((4,)))
    assert halved["half"].shape[1:] == (4,)
    with pytest.raises(UnknownName, match="endpoint of the SavedModel 'serv'"):
        layers.TFSMLayer(tmp_path / "saved", call_endpoint="serv")
    with pytest.raises(ArgumentError, match="is no folder of a SavedModel"):
        layers.TFSMLayer(tmp_path / "other")
    with pytest.raises(UnsupportedOp, match="runs on the backend 'tensorflow' only"):
        model.predict(X, backend="torch", verbose=0)
