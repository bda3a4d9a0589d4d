"""Weights in files of others: Keras's, and state dicts under the names of torchvision's modules."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

import unifront as uf
from tests.models import TRAINABLE
from tests.train.keras_judge import keras
from unifront import errors, layers, zoo
from unifront.testing import difference


class Attention(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.qkv, self.proj = nn.Linear(8, 24), nn.Linear(8, 8)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        q, k, v = self.qkv(x).reshape(*x.shape[:2], 3, 2, 4).permute(2, 0, 3, 1, 4)
        return self.proj(nn.functional.scaled_dot_product_attention(q, k, v).transpose(1, 2).flatten(2))


class Net(nn.Module):
    """Every kind of module that image models of torchvision and timm have."""

    def __init__(self) -> None:
        super().__init__()
        self.features = nn.Sequential(
            nn.Conv2d(3, 8, 3, padding=1, bias=False),
            nn.BatchNorm2d(8),
            nn.Conv2d(8, 8, 3, groups=2),
            nn.Conv2d(8, 16, 3, groups=8),
            nn.PReLU(16),
            nn.ConvTranspose2d(16, 8, 2, stride=2),
            nn.Conv2d(8, 8, 3, groups=8, bias=False),
            nn.Conv2d(8, 6, 1),
            nn.GroupNorm(2, 6),
        )
        self.classifier = nn.Sequential(nn.Dropout(), nn.Linear(6 * 36, 8), nn.LayerNorm(8))
        self.attention = nn.MultiheadAttention(8, 2, batch_first=True)
        self.attn = Attention()
        self.mlp = nn.Conv2d(8, 8, 1)
        self.token = nn.Parameter(torch.zeros(1, 1, 8))
        self.fc = nn.Linear(8, 5)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.classifier(self.features(x).flatten(1))
        x = torch.stack([x, 2 * x, x - 1], 1) + self.token
        x = self.attention(x, x, x, need_weights=False)[0]
        x = self.mlp(self.attn(x).transpose(1, 2)[..., None])[..., 0].transpose(1, 2)
        return self.fc(x[:, 0])


class Token(layers.Layer):
    def build(self, shape: Any) -> None:
        self.add_weight((shape[-1],), name="token")

    def call(self, x: Any) -> Any:
        return x + self._weights[0]


NAMES = {
    "features.0": "conv", "features.1": "bn", "features.2": "grouped", "features.3": "depthwise",
    "features.4": "prelu", "features.5": "up", "features.6": "separable", "features.7": "separable",
    "features.8": "gn", "classifier.1": "dense", "classifier.2": "ln", "attention": "attention", "attn": "attn",
    "mlp": "mlp", "token": "token", "fc": "predictions", "aux": None,
}  # fmt: skip


def build(classes: int | None = 5, channels: int = 8) -> uf.Model:
    image = uf.Input((8, 8, 3), name="image")
    x = layers.Conv2D(channels, 3, padding="same", use_bias=False, name="conv")(image)
    x = layers.BatchNormalization(epsilon=1e-5, name="bn")(x)
    x = layers.Conv2D(8, 3, groups=2, name="grouped")(x)
    x = layers.DepthwiseConv2D(3, depth_multiplier=2, name="depthwise")(x)
    x = layers.PReLU(shared_axes=[1, 2], name="prelu")(x)
    x = layers.Conv2DTranspose(8, 2, strides=2, name="up")(x)
    x = layers.SeparableConv2D(6, 3, name="separable")(x)
    x = layers.GroupNormalization(2, epsilon=1e-5, name="gn")(x)
    x = layers.Dropout(0.5)(layers.Flatten()(x))
    x = layers.LayerNormalization(epsilon=1e-5, name="ln")(layers.Dense(8, name="dense")(x))
    x = Token(name="token")(uf.ops.stack([x, 2 * x, x - 1], 1))
    x = layers.MultiHeadAttention(2, 4, name="attention")(x, x)
    x = layers.MultiHeadAttention(2, 4, name="attn")(x, x)
    x = layers.Dense(8, name="mlp")(x)[:, 0]
    x = x if classes is None else layers.Dense(classes, name="predictions")(x)
    return uf.Model(image, x, name="net")


@pytest.fixture
def _entry(monkeypatch: pytest.MonkeyPatch) -> None:
    zoo.entries()
    entry = zoo.Entry("net", build, "tests", "this file", peers={"torchvision": lambda model: NAMES})
    monkeypatch.setitem(zoo._entries, "net", entry)


@pytest.fixture(scope="module")
def net() -> nn.Module:
    torch.manual_seed(0)
    net = Net().eval()
    with torch.no_grad():
        for value in net.state_dict().values():
            if value.is_floating_point():  # all that is zero or one would not be seen
                value.copy_(torch.rand(value.shape) * 0.6 + (0.1 if value.ndim == 1 else -0.3))
    return net


X = np.random.default_rng(0).normal(size=(2, 8, 8, 3)).astype("float32")


def torch_says(net: nn.Module) -> np.ndarray:
    with torch.no_grad():
        return net(torch.from_numpy(X.transpose(0, 3, 1, 2).copy())).numpy()


def old(state: Any, path: Path) -> None:
    torch.save(state, path, _use_new_zipfile_serialization=False)


def safetensors(state: Any, path: Path) -> None:
    from safetensors.torch import save_file

    save_file(state, path)


def wrapped(state: Any, path: Path) -> None:
    torch.save({"epoch": 3, "state_dict": {f"module.{name}": one for name, one in state.items()}}, path)


@pytest.mark.usefixtures("_entry")
@pytest.mark.parametrize("write", [torch.save, old, safetensors, wrapped])
def test_every_kind_of_torch_module_is_taken(
    tmp_path: Path, net: nn.Module, write: Callable[[Any, Path], None]
) -> None:
    path = tmp_path / "any.name"
    write(net.state_dict(), path)
    model = uf.zoo.create("net", weights=path)
    assert difference(model.predict(X, backend=TRAINABLE[-1], verbose=0), torch_says(net)) < 1e-5
    body = uf.zoo.create("net", weights=path, classes=None)
    assert "predictions" not in [layer.name for layer in body.layers]
    assert (body.get_layer("conv").get_weights()[0] == model.get_layer("conv").get_weights()[0]).all()


@pytest.mark.usefixtures("_entry")
def test_what_does_not_fit_is_told(tmp_path: Path, net: nn.Module) -> None:
    state, path = net.state_dict(), tmp_path / "net.pth"
    torch.save(state, path)
    with pytest.raises(
        errors.FileFormatError,
        match=r"net.pth does not fit the model 'net': 2 of another shape: predictions/kernel is float32\[8, 5\] there and "
        r"float32\[8, 7\] in the model, predictions/bias .*Its head has 5 classes: create\('net', classes=5, ",
    ):
        uf.zoo.create("net", weights=path, classes=7)
    with pytest.raises(
        errors.FileFormatError, match=r"conv/kernel is float32\[3, 3, 3, 8\] there and .*10\]"
    ):
        uf.zoo.create("net", weights=path, channels=10)
    torch.save(
        {name: one for name, one in state.items() if name != "mlp.weight"} | {"mlp2.w": state["token"]}, path
    )
    with pytest.raises(
        errors.FileFormatError,
        match="it lacks 1 of 42 weights: mlp/kernel; it holds 1 that the model does not have: mlp2.w",
    ):
        uf.zoo.create("net", weights=path)
    torch.save({"conv9.weight": state["token"]}, path)
    with pytest.raises(errors.FileFormatError, match="none of the modules of torchvision, but conv9.weight"):
        uf.zoo.create("net", weights=path)
    with pytest.raises(
        errors.FileFormatError, match=r"net.pth: it is a state_dict of torch's, and mlp knows no"
    ):
        uf.zoo.create("mlp", weights=path)
    with pytest.raises(errors.ArgumentError, match='weights="imagenet" asks for a download'):
        uf.zoo.create("net", weights="imagenet")
    with pytest.raises(errors.FileFormatError, match="nowhere: there is no such file"):
        uf.zoo.create("net", weights=tmp_path / "nowhere")


def test_no_weight_is_taken_where_one_does_not_fit(tmp_path: Path) -> None:
    model = uf.zoo.create("mlp")
    before = model.get_weights()
    judge = keras.Sequential([keras.Input((4,)), keras.layers.Dense(3)])
    judge.save_weights(tmp_path / "a.weights.h5")
    with pytest.raises(errors.FileFormatError, match="does not fit the model 'mlp'"):
        model.load_weights(tmp_path / "a.weights.h5")
    assert all((a == b).all() for a, b in zip(model.get_weights(), before, strict=True))


@pytest.mark.slow
def test_resnet_takes_the_files_of_keras_applications(tmp_path: Path) -> None:
    options = {"input_shape": (32, 32, 3), "classes": 10}
    judge = keras.applications.ResNet50V2(weights=None, **options)
    values = np.random.default_rng(0)
    judge.set_weights([w + 0.1 * values.random(w.shape).astype("float32") for w in judge.get_weights()])
    for name in ("r.h5", "r.weights.h5", "r.keras"):
        path = tmp_path / name
        (judge.save_weights if "weights" in name else judge.save)(path)
        model = uf.zoo.create("resnet50v2", weights=path, **options)
        for layer in judge.layers:
            ours = model.get_layer(layer.name) if layer.weights else None
            for a, b in zip(layer.get_weights(), ours.get_weights() if ours else [], strict=True):
                assert (a == b).all()
        body = uf.zoo.create("resnet50v2", weights=path, input_shape=(32, 32, 3), classes=None)
        first = body.get_layer("conv1_conv").get_weights()[0]
        assert (first == judge.get_layer("conv1_conv").get_weights()[0]).all()


def test_of_two_publishers_the_one_whose_names_are_there_is_meant() -> None:
    from unifront.saving.published import publisher_of

    found = {"stem.conv.weight": 0, "head.weight": 0}
    peers: dict[str, dict[str, str | None]] = {
        "a": {"conv": "x", "head": "y"},
        "b": {"stem.conv": "x", "head": "y"},
    }
    assert publisher_of(peers, found) == "b"
