"""Layers and blocks that are computed again for the gradient: the same numbers, fewer bytes."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import unifront as uf
from unifront import errors, layers, ops
from unifront.backends import installed, placement
from unifront.ir.emit import emit
from unifront.ir.graph import Graph
from unifront.ir.memory import peak_bytes
from unifront.opset.replay import expand
from unifront.train.step import build_step

BACKENDS = [name for name in installed() if name != "numpy"]
BLOCKS = [f"block{i}_*" for i in range(4)]
RNG = np.random.default_rng(0)
X, Y = RNG.normal(size=(32, 6, 6, 2)).astype("float32"), RNG.integers(0, 5, 32)


def conv_model(scope: uf.RematScope) -> uf.Model:
    uf.set_seed(3)
    image = uf.Input((6, 6, 2))
    with scope:
        x = layers.Conv2D(4, 3, padding="same", activation="relu", name="conv")(image)
        x = layers.BatchNormalization(name="norm")(x)
        x = layers.Dropout(0.3, name="drop")(x)
        x = layers.Flatten()(x)
        x = layers.Dense(8, activation="tanh", activity_regularizer="l2", name="hidden")(x)
    return uf.Model(image, layers.Dense(5)(x))


def trained(model: uf.Model, backend: str, **options: Any) -> tuple[list[float], list[np.ndarray]]:
    loss = uf.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(uf.optimizers.SGD(0.1, momentum=0.9), loss=loss, backend=backend, **options)
    history = model.fit(X, Y, batch_size=8, epochs=2, verbose=0, shuffle=False)
    return history.history["loss"], model.get_weights()


def assert_equal(found: Any, expected: Any) -> None:
    np.testing.assert_allclose(found[0], expected[0], rtol=1e-6)
    for ours, theirs in zip(found[1], expected[1], strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("backend", BACKENDS)
def test_layers_of_a_scope_train_alike(backend: str) -> None:
    """With dropout, running statistics and a loss that a layer adds: each is what it was without."""
    expected = trained(conv_model(uf.RematScope(None)), backend)
    scopes = [uf.RematScope("full")]
    if backend == "torch":  # the others differ in what the graph is
        scopes += [
            uf.RematScope("activations"),
            uf.RematScope("larger_than", output_size_threshold=100),
            uf.RematScope("list_of_layers", layer_names=["norm", "hidden"]),
        ]
    for scope in scopes:
        assert_equal(trained(conv_model(scope), backend), expected)


def blocks_of(graph: Graph) -> list[str]:
    body = next(node.regions[0] for node in graph.nodes if node.op.name == "gradient")
    return [node.name for node in body.nodes if node.op.name == "remat"]


def step_graph(model: uf.Model, **options: Any) -> Graph:
    loss = uf.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile("sgd", loss=loss, **options)
    types = {"x": model.inputs[0].type, "y": uf.Input((), dtype="int32").type}
    return build_step(model, (0, 1), types, train=True).plan.graph


@pytest.mark.parametrize(
    ("scope", "names"),
    [
        (uf.RematScope("full"), ["conv", "norm", "drop", "flatten", "hidden"]),
        (uf.RematScope("activations"), ["conv", "hidden"]),
        (uf.RematScope("larger_than", 100), ["conv", "norm", "drop", "flatten"]),
        (uf.RematScope("list_of_layers", layer_names=["norm"]), ["norm"]),
        (uf.RematScope(None), []),
    ],
)
def test_which_layers_a_scope_takes(scope: uf.RematScope, names: list[str]) -> None:
    assert blocks_of(step_graph(conv_model(scope))) == names


def deep_model(nested: bool = False) -> uf.Model:
    uf.set_seed(0)
    vector = uf.Input((16,))
    x = vector
    for i in range(4):
        block = [
            layer
            for j in range(3)
            for layer in (
                layers.Dense(64, activation="tanh", name=f"block{i}_dense{j}"),
                layers.Dropout(0.1, name=f"block{i}_drop{j}"),
            )
        ]
        if nested:
            x = uf.Sequential(block, name=f"block{i}")(x)
        else:
            for layer in block:
                x = layer(x)
    return uf.Model(vector, layers.Dense(5)(x))


def test_blocks_by_pattern() -> None:
    assert len(blocks_of(step_graph(deep_model(), remat=BLOCKS))) == 4
    assert blocks_of(step_graph(deep_model(nested=True), remat="block*")) == [f"block{i}" for i in range(4)]
    assert blocks_of(step_graph(deep_model(nested=True), remat="*/block2_dense*")) == [
        f"block2/block2_dense{j}" for j in range(3)
    ]
    with pytest.raises(errors.UnknownName, match=r"Unknown layer, in remat, 'blick\*'"):
        step_graph(deep_model(), remat="blick*")
    with pytest.raises(errors.ArgumentError, match="remat is 'auto', patterns"):
        deep_model().compile("sgd", remat=-1)


def test_a_budget_is_kept_with_as_few_blocks_as_do() -> None:
    plain = peak_bytes(step_graph(deep_model()))
    assert blocks_of(step_graph(deep_model(), remat=plain)) == []
    counts = []
    for share in (0.8, 0.5, 0.4):
        graph = step_graph(deep_model(), remat=int(share * plain))
        assert peak_bytes(graph) <= share * plain
        counts.append(len(blocks_of(graph)))
    assert counts == sorted(counts)
    assert peak_bytes(step_graph(deep_model(), remat="auto")) < 0.5 * plain
    with pytest.raises(errors.ArgumentError, match="keeps at least .* bytes for each example"):
        step_graph(deep_model(), remat=100)


@pytest.mark.parametrize("backend", BACKENDS)
def test_blocks_train_alike(backend: str) -> None:
    global X
    before, X = X, X.reshape(32, -1)[:, :16]
    try:
        expected = trained(deep_model(), backend)
        assert_equal(trained(deep_model(), backend, remat=BLOCKS), expected)
    finally:
        X = before


def body_of(graph: Graph, backend: str) -> tuple[Any, list[np.ndarray], int]:
    """The function of what is differentiated, arrays for it, and how many of them it is differentiated by."""
    (node,) = (node for node in graph.nodes if node.op.name == "gradient")
    rows = placement(backend).backend.rows()
    body = node.regions[0].bind_symbols({"batch": 256})
    rng = np.random.default_rng(0)
    arrays: list[Any] = []
    for value in body.inputs:
        if value.type.dtype.kind == "k":
            arrays.append(placement(backend).backend.key(uf.random_key(0)))
        elif value.type.dtype.is_float:
            arrays.append(rng.normal(size=value.type.shape).astype("float32") * 0.1)
        else:
            arrays.append(np.zeros(value.type.shape, value.type.dtype.numpy))
    return emit(expand(body, rows.table.keys()), rows).function, arrays, node.attributes["wrt"]


def torch_bytes(graph: Graph) -> int:
    """The bytes that autograd keeps."""
    import torch

    function, arrays, wrt = body_of(graph, "torch")
    given = [torch.tensor(a) if isinstance(a, np.ndarray) else a for a in arrays]
    for leaf in given[:wrt]:
        leaf.requires_grad_()
    own = {leaf.untyped_storage().data_ptr() for leaf in given if isinstance(leaf, torch.Tensor)}
    kept: dict[int, int] = {}

    def pack(tensor: Any) -> Any:
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in own:
            kept[storage.data_ptr()] = storage.nbytes()
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
        function(tuple(given), ())
    return sum(kept.values())


def jax_bytes(graph: Graph) -> int:
    """The bytes that ``jax.vjp`` keeps. On the CPU XLA computes equal things once after all, JAX's own too."""
    import jax

    function, arrays, wrt = body_of(graph, "jax")
    _, backward = jax.vjp(lambda params: function((*params, *arrays[wrt:]), ())[0], arrays[:wrt])
    kept = {id(leaf): leaf.nbytes for leaf in jax.tree.leaves(backward) if leaf.shape[:1] == (256,)}
    return sum(kept.values())


@pytest.mark.parametrize("measured", [torch_bytes, jax_bytes])
def test_fewer_bytes_are_kept(measured: Any) -> None:
    plain, blocks = step_graph(deep_model()), step_graph(deep_model(), remat=BLOCKS)
    assert peak_bytes(blocks) < 0.55 * peak_bytes(plain)
    assert measured(blocks) < 0.6 * measured(plain)


def test_eager_layers_of_a_scope_give_the_frameworks_own_gradient() -> None:
    import torch

    with uf.RematScope("full"):
        layer = layers.Dense(3, activation="tanh")
    x = torch.ones(2, 4, requires_grad=True)
    layer(x).sum().backward()
    slope = 1 - np.tanh(x.detach().numpy() @ layer.kernel.numpy()) ** 2
    np.testing.assert_allclose(x.grad.numpy(), slope @ layer.kernel.numpy().T, rtol=1e-5)


def test_masks_pass_through() -> None:
    def model(mode: str | None) -> uf.Model:
        uf.set_seed(1)
        words = uf.Input((4,), dtype="int32")
        with uf.RematScope(mode):
            x = layers.Embedding(5, 3, mask_zero=True)(words)
            x = uf.Sequential([layers.Dense(3, activation="relu"), layers.LSTM(4)])(x)
        return uf.Model(words, layers.Dense(1)(x))

    words = np.array([[1, 2, 0, 0], [3, 0, 0, 0], [4, 4, 4, 4]])
    found = []
    for mode in (None, "full"):
        one = model(mode)
        one.compile("sgd", loss="mse", backend="torch")
        found.append(one.fit(words, np.ones((3, 1), "float32"), epochs=2, verbose=0).history["loss"])
    np.testing.assert_allclose(found[0], found[1], rtol=1e-6)


def test_modes_that_there_are() -> None:
    with pytest.raises(ValueError, match="Invalid mode 'most'"):
        uf.RematScope("most")
    assert ops.sum(uf.remat(lambda x: x)(np.ones(2, "float32"))) == 2
