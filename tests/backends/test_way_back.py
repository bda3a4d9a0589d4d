"""What `lower` gave comes back with `load_weights`; and is an ordinary module to its framework's tools."""

import copy
import io

import numpy as np
import pytest

import unifront as uf
from unifront import layers
from unifront.backends import get_backend, installed
from unifront.errors import ArgumentError, ShapeError, UnknownName
from unifront.testing import assert_close

FRAMEWORKS = [name for name in installed() if name != "numpy"]
X = np.random.default_rng(0).normal(size=(4, 6, 6, 2)).astype("float32")


def network():
    image = uf.Input((6, 6, 2), name="image")
    encoder = uf.Sequential(
        [layers.Conv2D(3, 3, activation="relu"), layers.BatchNormalization()], name="encoder"
    )
    x = layers.Dropout(0.0, name="drop")(layers.Flatten()(encoder(image)))
    return uf.Model(image, layers.Dense(2, name="head")(x), name="network")


def arrays_of(net):
    """The module's own arrays, wherever it keeps them."""
    if hasattr(net, "state_dict"):
        return net.state_dict()
    if hasattr(net, "params"):
        return (net.params, net.state)
    return dict(zip(net._paths, net._all, strict=True))


def trained(name, net):
    """``net`` after some training by its framework: here every weight grows by a half of itself and 0.1."""
    if name == "torch":
        import torch

        with torch.no_grad():
            for value in net.state_dict().values():
                value.mul_(1.5).add_(0.1)
        return net
    if name == "jax":
        import jax

        return jax.tree.map(lambda value: value * 1.5 + 0.1, net)
    for value in net.variables:
        value.assign(value * 1.5 + 0.1)
    return net


@pytest.mark.parametrize("form", [lambda net: net, arrays_of], ids=["module", "arrays"])
@pytest.mark.parametrize("name", FRAMEWORKS)
def test_trained_weights_come_back(name, form):
    model = network()
    before = model.get_weights()
    net = trained(name, model.lower(f"{name}:cpu"))
    model.load_weights(form(net))
    for weight, value in zip(model.get_weights(), before, strict=True):
        assert_close(weight, value * 1.5 + np.float32(0.1))
    result = net(get_backend(name).array(X)) if name != "torch" else net.eval()(get_backend(name).array(X))
    assert_close(model.predict(X, backend="numpy"), get_backend(name).numpy(result))


def test_what_does_not_come_back():
    torch = pytest.importorskip("torch")
    model = network()
    state = model.lower("torch:cpu").state_dict()
    before = model.get_weights()
    without = {name: value for name, value in state.items() if name != "head.bias"}
    for source, error, message in (
        (without, ArgumentError, "'head/bias' is missing"),
        (
            {**state, "tail.bias": state["head.bias"]},
            UnknownName,
            "Unknown weight in the state_dict: 'tail.bias'",
        ),
        ({**state, "head.bias": torch.ones(3)}, ShapeError, r"head/bias has the shape \(2,\); .* \(3,\)"),
        (torch.nn.Linear(2, 2), ArgumentError, "from what lower\\('torch'\\) gave, not from .*Linear"),
        (3, ArgumentError, "in a file, or in what lower"),
        ({}, ArgumentError, "in a file, or in what lower"),
    ):
        with pytest.raises(error, match=message):
            model.load_weights(source)
    for weight, value in zip(model.get_weights(), before, strict=True):
        assert_close(weight, value)


# ------------------------------------------------------------ PyTorch: hooks and export


@pytest.mark.parametrize("training", [False, True])
def test_forward_hooks_of_submodules_fire(training):
    torch = pytest.importorskip("torch")
    net, x = network().lower("torch:cpu").train(training), torch.from_numpy(X)
    expected, seen = copy.deepcopy(net)(x), []

    def note(module, inputs, output, name):
        seen.append((name, [tuple(one.shape) for one in inputs], tuple(output.shape)))

    names = ("encoder", "encoder.conv2d", "encoder.batch_normalization", "flatten", "head")
    handles = [
        net.get_submodule(name).register_forward_hook(lambda *given, name=name: note(*given, name))
        for name in names
    ]
    torch.testing.assert_close(net(x), expected)
    assert sorted(seen) == sorted(
        [
            ("encoder.conv2d", [(4, 6, 6, 2)], (4, 4, 4, 3)),
            ("encoder.batch_normalization", [(4, 4, 4, 3)], (4, 4, 4, 3)),
            ("encoder", [(4, 6, 6, 2)], (4, 4, 4, 3)),
            ("flatten", [(4, 4, 4, 3)], (4, 48)),
            ("head", [(4, 48)], (4, 2)),
        ]
    )
    assert [name for name, *_ in seen][-1] == "head"
    seen.clear()
    for handle in handles:
        handle.remove()
    net(x)
    assert not seen


def test_hooks_replace_inputs_and_outputs_and_see_gradients():
    torch = pytest.importorskip("torch")
    net, x = network().lower("torch:cpu").eval(), torch.from_numpy(X).requires_grad_()
    head = net.get_submodule("head")
    handle = head.register_forward_pre_hook(lambda module, inputs: (inputs[0] * 0,))
    torch.testing.assert_close(net(x), head.bias.expand(4, 2))
    handle.remove()
    handle = head.register_forward_hook(lambda module, inputs, output: output + 5)
    changed = net(x)
    handle.remove()
    torch.testing.assert_close(changed, net(x) + 5)
    seen = []
    net.get_submodule("encoder").register_full_backward_hook(
        lambda module, gi, go: seen.append((gi[0], go[0]))
    )
    net(x).sum().backward()
    ((to_input, to_output),) = seen
    torch.testing.assert_close(to_input, x.grad)
    assert to_output.shape == (4, 4, 4, 3)


def test_hooks_see_sizes_and_parts_of_any_model():
    torch = pytest.importorskip("torch")
    words = uf.Input((None,), dtype="int32")
    x = layers.Embedding(5, 3, mask_zero=True)(words)
    x = layers.Bidirectional(layers.LSTM(2, return_sequences=True))(x)
    model = uf.Model(words, [layers.GRU(2)(x), uf.ops.flip(x, 1)])
    net = model.lower("torch:cpu").eval()
    given = torch.tensor([[1, 2, 0], [3, 4, 1]]).int()
    expected, count = net(given), []
    for name, module in net.named_modules():
        if name:
            module.register_forward_hook(lambda *_: count.append(1))
    for one, other in zip(net(given), expected, strict=True):
        torch.testing.assert_close(one, other)
    assert len(count) >= 3


def test_without_hooks_the_model_is_one_program(monkeypatch):
    torch = pytest.importorskip("torch")
    net = network().lower("torch:cpu").eval()
    handle = net.get_submodule("head").register_forward_hook(lambda *_: None)
    net(torch.from_numpy(X))
    handle.remove()
    net(torch.from_numpy(X))
    monkeypatch.setattr(type(net), "_hooked", lambda self: pytest.fail("asked for hooks"))
    net(torch.from_numpy(X))


def test_a_layer_by_itself_says_what_it_is():
    torch = pytest.importorskip("torch")
    with pytest.raises(ArgumentError, match="runs as a part of it, not by itself"):
        network().lower("torch:cpu").get_submodule("head")(torch.ones(1, 48))


def test_torch_export_takes_dynamic_shapes_by_name():
    torch = pytest.importorskip("torch")
    net, x = network().lower("torch:cpu").eval(), torch.from_numpy(X)
    batch = torch.export.Dim("batch")
    for args, named, shapes in (
        ((x,), {}, {"image": {0: batch}}),
        ((x,), {}, ({0: batch},)),
        ((), {"image": x}, {"image": {0: batch}}),
    ):
        exported = torch.export.export(net, args, named, dynamic_shapes=shapes).module()
        few = {name: value[:3] for name, value in named.items()}
        torch.testing.assert_close(exported(*(one[:3] for one in args), **few), net(x[:3]))
    torch.testing.assert_close(net(image=x), net(x))


def test_modules_copy_and_pickle_with_their_signature():
    torch = pytest.importorskip("torch")
    net, x = network().lower("torch:cpu").eval(), torch.from_numpy(X)
    file = io.BytesIO()
    torch.save(net, file)
    file.seek(0)
    for other in (copy.deepcopy(net), torch.load(file, weights_only=False)):
        torch.testing.assert_close(other(image=x), net(x))
        other.get_submodule("head").register_forward_hook(lambda module, inputs, output: output * 0)
        assert not other(x).any()
        assert net(x).any()  # whose hooks are its own


# ------------------------------------------------------------ JAX: a pytree and a callable


def test_the_jax_module_is_a_callable_and_a_pytree():
    jax = pytest.importorskip("jax")
    net, x = network().lower("jax"), jax.numpy.asarray(X)
    expected = np.asarray(net.apply(net.params, net.state, x)[0])
    assert_close(np.asarray(net(x)), expected)
    assert_close(np.asarray(jax.jit(net)(x)), expected)
    assert_close(np.asarray(jax.vmap(net)(x[:, None]))[:, 0], expected)
    assert_close(np.asarray(jax.jit(lambda net, x: net(x))(net, x)), expected)
    batch = jax.export.symbolic_shape("batch, 6, 6, 2")
    exported = jax.export.export(jax.jit(net))(jax.ShapeDtypeStruct(batch, "float32"))
    assert_close(np.asarray(exported.call(x[:3])), expected[:3])
    leaves, structure = jax.tree.flatten(net)
    assert len(leaves) == len(net.params) + len(net.state)
    assert_close(np.asarray(jax.tree.unflatten(structure, leaves)(x)), expected)


def test_the_jax_module_is_differentiated_by_itself():
    jax = pytest.importorskip("jax")
    net, x = network().lower("jax"), jax.numpy.asarray(X)
    gradients = jax.grad(lambda net: (net(x) ** 2).sum())(net)
    by_params = jax.grad(lambda params: (net.apply(params, net.state, x)[0] ** 2).sum())(net.params)
    for name, gradient in by_params.items():
        assert_close(np.asarray(gradients.params[name]), np.asarray(gradient))
    stepped = jax.tree.map(lambda value, gradient: value - 0.01 * gradient, net, gradients)
    assert float((stepped(x) ** 2).sum()) < float((net(x) ** 2).sum())
