"""A lowered model as a ``torch.nn.Module``, used as PyTorch code uses any module."""

from __future__ import annotations

import copy
import io
import re
from typing import Any

import numpy as np
import pytest

import unifront as uf
from unifront import layers, ops
from unifront.backends import get_backend
from unifront.dtypes import float32
from unifront.dtypes import key as key_dtype
from unifront.errors import ShapeError
from unifront.ir.dims import symbol
from unifront.ir.graph import Graph
from unifront.ir.types import TensorType
from unifront.opset.tensor import Builder
from unifront.weights import Variable

torch = pytest.importorskip("torch")

SIZE, HIDDEN, CLASSES = 6, 5, 3
NAMES = ("net/one/kernel", "net/one/bias", "net/two/kernel", "net/mean", "net/forward")


def variables() -> list[Variable]:
    rng = np.random.default_rng(0)
    shapes = ((SIZE, HIDDEN), (HIDDEN,), (HIDDEN, CLASSES), (SIZE,), (CLASSES,))
    return [
        Variable.at(
            name, shape, initial=rng.normal(size=shape).astype("float32"), trainable=name != "net/mean"
        )
        for name, shape in zip(NAMES, shapes, strict=True)
    ]


def graph_of(own: list[Variable], training: bool) -> Graph:
    """Two dense layers on the input less its running mean (in training: less its own mean)."""
    builder = Builder("training" if training else "inference")
    x = builder.input("x", TensorType(float32, (symbol("batch"), SIZE)))
    if training:
        builder.input("key", TensorType(key_dtype))
    k1, b1, k2, mean, b2 = (builder.variable(variable) for variable in own)
    centre = ops.divide(ops.sum(x, 0), 4.0) if training else mean
    hidden = ops.relu(ops.dense(ops.subtract(x, centre), k1, b1))
    hidden = ops.cast(ops.multiply(hidden, np.full((HIDDEN,), 2.0, "float32")), "float32")
    outputs = [ops.dense(hidden, k2, b2)]
    if training:
        outputs.append(ops.add(ops.multiply(mean, 0.75), ops.multiply(centre, 0.25)))
    return builder.graph(outputs)


def lowered() -> Any:
    own = variables()
    values = {variable.path: variable.numpy() for variable in own}
    return get_backend("torch").module(graph_of(own, True), graph_of(own, False), values, ["net/mean"], "cpu")


class ByHand(torch.nn.Module):
    def __init__(self) -> None:
        super().__init__()
        k1, b1, k2, mean, b2 = (torch.from_numpy(variable.numpy()) for variable in variables())
        self.one, self.two = torch.nn.Linear(SIZE, HIDDEN), torch.nn.Linear(HIDDEN, CLASSES)
        self.register_buffer("mean", mean)
        with torch.no_grad():
            self.one.weight.copy_(k1.t())
            self.one.bias.copy_(b1)
            self.two.weight.copy_(k2.t())
            self.two.bias.copy_(b2)

    def forward(self, x: Any) -> Any:
        centre = x.mean(0) if self.training else self.mean
        if self.training:
            self.mean.copy_(0.75 * self.mean + 0.25 * centre)
        return self.two(torch.relu(self.one(x - centre)) * 2)


def data() -> tuple[Any, Any]:
    generator = torch.Generator().manual_seed(0)
    return torch.randn(4, SIZE, generator=generator), torch.randint(CLASSES, (4,), generator=generator)


def test_variables_are_parameters_and_buffers_under_their_paths() -> None:
    net = lowered()
    shapes = {name: tuple(parameter.shape) for name, parameter in net.named_parameters()}
    assert shapes == {
        "net.one.kernel": (SIZE, HIDDEN),
        "net.one.bias": (HIDDEN,),
        "net.two.kernel": (HIDDEN, CLASSES),
        "net.forward_": (CLASSES,),  # nn.Module has a `forward` of its own
    }
    assert [name for name, _ in net.named_buffers()] == ["net.mean"]
    assert "net.mean" in net.state_dict()
    assert "kernel=[6, 5]" in str(net)


def test_a_hand_written_loop_trains_it_like_a_hand_written_module() -> None:
    results = []
    x, y = data()
    for net in (lowered(), ByHand()):
        optimizer = torch.optim.Adam(net.parameters(), lr=0.01)
        for _ in range(10):
            optimizer.zero_grad()
            torch.nn.functional.cross_entropy(net(x), y).backward()
            optimizer.step()
        net.eval()
        results.append(net(x))
    torch.testing.assert_close(results[0], results[1], rtol=1e-5, atol=1e-6)


def test_training_writes_the_buffer_in_place_and_evaluation_does_not() -> None:
    net, (x, _) = lowered(), data()
    buffer = net.get_buffer("net.mean")
    before = buffer.clone()
    net.eval()(x)
    assert torch.equal(buffer, before)
    net.train()(x)
    torch.testing.assert_close(buffer, 0.75 * before + 0.25 * x.mean(0))
    assert net.get_buffer("net.mean") is buffer
    assert not buffer.requires_grad


def test_torchs_seed_governs_random_layers() -> None:
    x = uf.Input((20,))
    y = layers.GaussianNoise(1.0)(
        layers.SpatialDropout1D(0.5)(layers.Reshape((4, 5))(layers.Dropout(0.5)(x)))
    )
    net, ones = uf.Model(x, y).lower("torch:cpu"), torch.ones(2, 20)
    torch.manual_seed(1)
    first, second = net(ones), net(ones)
    torch.manual_seed(1)
    assert torch.equal(net(ones), first)
    assert not torch.equal(first, second)
    assert torch.equal(net.eval()(ones), ones.reshape(2, 4, 5))


def test_two_calls_before_one_backward() -> None:
    net, (x, _) = lowered(), data()
    (net(x).sum() + net(x).sum()).backward()
    assert net.get_parameter("net.one.kernel").grad is not None


def test_copies_are_apart() -> None:
    net, (x, _) = lowered().eval(), data()
    expected = net(x)
    other = copy.deepcopy(net)
    with torch.no_grad():
        for parameter in other.parameters():
            parameter.zero_()
    assert torch.equal(net(x), expected)
    assert torch.count_nonzero(other(x)) == 0


def test_the_whole_module_is_saved_and_loaded() -> None:
    net, (x, _) = lowered().eval(), data()
    file = io.BytesIO()
    torch.save(net, file)
    file.seek(0)
    again = torch.load(file, weights_only=False)
    assert torch.equal(again(x), net(x))


def test_a_state_dict_moves_the_weights() -> None:
    net, other, (x, _) = lowered().eval(), lowered().eval(), data()
    with torch.no_grad():
        net.get_parameter("net.one.kernel").mul_(2)
    other.load_state_dict(net.state_dict())
    assert torch.equal(other(x), net(x))


def test_constants_and_casts_follow_the_parameters() -> None:
    net, (x, _) = lowered().eval(), data()
    expected = net(x)
    found = net.double()(x.double())
    assert found.dtype == torch.float64
    torch.testing.assert_close(found, expected.double(), rtol=1e-5, atol=1e-6)
    assert net.half()(x.half()).dtype == torch.float16
    assert net.to("meta")(x.half().to("meta")).device.type == "meta"


def test_functional_call_and_vmap_work() -> None:
    net, (x, _) = lowered().eval(), data()
    state = {name: value.detach() for name, value in net.state_dict().items()}

    def loss(state: Any, row: Any) -> Any:
        return torch.func.functional_call(net, state, (row[None],)).sum()

    rows = torch.func.vmap(torch.func.grad(loss), in_dims=(None, 0))(state, x)
    net(x).sum().backward()
    torch.testing.assert_close(rows["net.one.kernel"].sum(0), net.get_parameter("net.one.kernel").grad)


def digits() -> uf.Model:
    x = uf.Input((8, 8, 2))
    y = layers.Conv2D(4, 3, padding="same", activation="relu")(x)
    y = layers.Flatten()(layers.Dropout(0.5)(layers.MaxPooling2D()(layers.BatchNormalization()(y))))
    return uf.Model(x, layers.Dense(3)(y))


def words() -> uf.Model:
    x = uf.Input((None,), dtype="int32")
    y = layers.Embedding(11, 5, mask_zero=True)(x)
    y = layers.Bidirectional(layers.LSTM(4, return_sequences=True))(y)
    return uf.Model(x, layers.Dense(3)(layers.Dropout(0.5)(layers.GRU(4)(y))))


MODELS = {
    "digits": (digits, lambda: torch.randn(4, 8, 8, 2, generator=torch.Generator().manual_seed(0))),
    "words": (words, lambda: torch.tensor([[1, 2, 3, 0], [4, 5, 0, 0], [1, 2, 3, 4], [1, 1, 1, 0]]).int()),
}


@pytest.mark.parametrize("name", MODELS)
def test_torchs_own_compiler_takes_it_in_one_piece(name: str) -> None:
    torch.compiler.reset()
    make, data = MODELS[name]
    net, x = make().lower("torch:cpu").train(), data()
    other = copy.deepcopy(net)
    compiled = torch.compile(net, backend="aot_eager", fullgraph=True)
    for call in (compiled, other):
        torch.manual_seed(0)
        call(x).square().sum().backward()
    for one, wanted in zip(net.parameters(), other.parameters(), strict=True):
        torch.testing.assert_close(one.grad, wanted.grad)
    for one, wanted in zip(net.buffers(), other.buffers(), strict=True):
        torch.testing.assert_close(one, wanted)


@pytest.mark.parametrize("name", MODELS)
def test_it_exports_with_a_free_batch(name: str) -> None:
    make, data = MODELS[name]
    net, x = make().lower("torch:cpu").eval(), data()
    free = ({0: torch.export.Dim("batch")},)
    exported = torch.export.export(net, (x,), dynamic_shapes=free)
    torch.testing.assert_close(exported.module()(x[:3]), net(x[:3]))
    torch.export.export(net.train(), (x,))


@pytest.mark.parametrize("dtype", ["float64", "bfloat16", "float16"])
@pytest.mark.parametrize("name", MODELS)
def test_it_trains_in_the_dtype_it_is_moved_to(name: str, dtype: str) -> None:
    make, data = MODELS[name]
    net, x = make().lower("torch:cpu"), data()
    expected = net.eval()(x).detach()
    native = getattr(torch, dtype)
    net.to(native)
    moved = x.to(native) if x.is_floating_point() else x
    torch.testing.assert_close(net(moved).float(), expected, rtol=0, atol=2e-2 * float(expected.abs().max()))
    net.train()(moved).square().sum().backward()
    for parameter in net.parameters():
        assert parameter.grad.dtype == native
        assert torch.isfinite(parameter.grad).all()


def test_frozen_parameters_get_no_gradient() -> None:
    net = digits().lower("torch:cpu").train()
    net.requires_grad_(False)
    net.dense.requires_grad_(True)
    net(MODELS["digits"][1]()).sum().backward()
    assert {name for name, p in net.named_parameters() if p.grad is not None} == {
        "dense.kernel",
        "dense.bias",
    }


def test_checkpointing_draws_the_same_numbers_again() -> None:
    from torch.utils.checkpoint import checkpoint

    x = MODELS["digits"][1]()
    net = digits().lower("torch:cpu").train()
    other = copy.deepcopy(net)
    for call in (net, lambda x: checkpoint(other, x, use_reentrant=False)):
        torch.manual_seed(0)
        call(x).square().sum().backward()
    for one, wanted in zip(net.parameters(), other.parameters(), strict=True):
        assert torch.equal(one.grad, wanted.grad)


def test_the_number_of_inputs_is_checked() -> None:
    with pytest.raises(ValueError, match=r"takes 1 inputs \(x\); 2 were given"):
        lowered()(1, 2)


@pytest.mark.parametrize("shape", [(SIZE,), (2, 1), (2, 3, SIZE)])
def test_inputs_of_another_shape_are_refused(shape: tuple[int, ...]) -> None:
    """Torch would broadcast some of them in silence."""
    with pytest.raises(
        ShapeError, match=rf"Input 'x' is float32\[batch, 6\]; one of shape {re.escape(str(shape))} was"
    ):
        lowered()(torch.zeros(shape))
