"""The classic CNNs take the weights of torch modules under torchvision's and timm's names, and give their logits."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

import unifront as uf
from tests.models import TRAINABLE
from tests.zoo.classic_judges import check_same
from tests.zoo.classic_sizes import CLASSIC
from tests.zoo.torch_classic import NETS, GoogLeNet, randomize
from tests.zoo.torch_nasnet import NASNet
from unifront.testing import difference
from unifront_zoo.googlenet import MODULES

QUICK = ("alexnet_owt", "vgg11", "squeezenet1_1")


def images(*shape: int) -> np.ndarray:
    return np.random.default_rng(1).normal(size=shape).astype("float32")


def channels_first(x: np.ndarray) -> torch.Tensor:
    return torch.from_numpy(x.transpose(0, 3, 1, 2).copy())


def said(net: nn.Module, x: np.ndarray) -> np.ndarray:
    with torch.no_grad():
        return net(channels_first(x)).numpy()


def saved(net: nn.Module, path: Path) -> Path:
    torch.save(net.state_dict(), path)
    return path


@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=[pytest.mark.slow] * (name not in QUICK)) for name in NETS]
)
def test_it_gives_what_the_torch_module_gives(tmp_path: Path, name: str) -> None:
    """Here at a size at which the pooling before the dense layers is not the identity."""
    net = randomize(NETS[name]())
    options = CLASSIC[name] | {"classifier_activation": None}
    model = uf.zoo.create(name, weights=saved(net, tmp_path / "net.pth"), **options)
    x = images(2, *options["input_shape"])
    check_same(model.predict(x, backend=TRAINABLE[-1], verbose=0), said(net, x))


@pytest.mark.parametrize(("height", "width"), [(47, 32), pytest.param(64, 51, marks=pytest.mark.slow)])
def test_nasnet_gives_what_timms_gives(tmp_path: Path, height: int, width: int) -> None:
    """At even sizes of feature maps and odd ones: what is padded does not count in poolings there."""
    net = randomize(NASNet(5, 96, 2, 8))
    options = CLASSIC["nasnet_large"] | {"num_blocks": 2, "classifier_activation": None}
    options |= {"input_shape": (height, width, 3)}
    model = uf.zoo.create("nasnet_large", weights=saved(net, tmp_path / "net.pth"), **options)
    x = images(2, height, width, 3)
    check_same(model.predict(x, backend=TRAINABLE[-1], verbose=0), said(net, x))


@pytest.mark.slow
def test_googlenet_takes_torchvisions_auxiliary_classifiers_or_leaves_them(tmp_path: Path) -> None:
    net = randomize(GoogLeNet(5, MODULES))
    path = saved(net, tmp_path / "net.pth")
    options: dict[str, Any] = {"input_shape": (67, 70, 3), "classes": 5, "classifier_activation": None}
    x = images(2, 67, 70, 3)
    with torch.no_grad():
        expected = {name: value.numpy() for name, value in net.outputs(channels_first(x)).items()}
    model = uf.zoo.create("googlenet", weights=path, aux=True, **options)
    found = model.predict(x, backend=TRAINABLE[-1], verbose=0)
    assert set(found) == set(expected)
    for name, value in expected.items():
        check_same(found[name], value)
    plain = uf.zoo.create("googlenet", weights=path, **options)
    check_same(plain.predict(x, backend=TRAINABLE[-1], verbose=0), expected["predictions"])


def test_timms_vgg_has_convolutions_for_dense_layers(tmp_path: Path) -> None:
    net = randomize(NETS["vgg11"]())
    state = net.state_dict()
    state["classifier.0.weight"] = state["classifier.0.weight"].reshape(16, 512, 7, 7)
    state["classifier.3.weight"] = state["classifier.3.weight"].reshape(16, 16, 1, 1)
    there = {"classifier.0": "pre_logits.fc1", "classifier.3": "pre_logits.fc2", "classifier.6": "head.fc"}
    renamed = {}
    for name, value in state.items():
        module, _, leaf = name.rpartition(".")
        renamed[f"{there.get(module, module)}.{leaf}"] = value
    torch.save(renamed, tmp_path / "net.pth")
    options = CLASSIC["vgg11"] | {"classifier_activation": None}
    model = uf.zoo.create("vgg11", weights=tmp_path / "net.pth", **options)
    x = images(2, *options["input_shape"])
    assert difference(model.predict(x, backend=TRAINABLE[-1], verbose=0), said(net, x)) < 1e-4


@pytest.mark.slow
def test_densenets_files_with_dots_in_names_are_taken(tmp_path: Path) -> None:
    """torchvision's published files say ``norm.1`` where its modules are called ``norm1``."""
    net = randomize(NETS["densenet121"]())
    state = {
        name.replace("norm1.", "norm.1.").replace("conv2.", "conv.2."): value
        for name, value in net.state_dict().items()
    }
    torch.save(state, tmp_path / "net.pth")
    options = CLASSIC["densenet121"] | {"classifier_activation": None}
    model = uf.zoo.create("densenet121", weights=tmp_path / "net.pth", **options)
    x = images(2, *options["input_shape"])
    check_same(model.predict(x, backend=TRAINABLE[-1], verbose=0), said(net, x))


def test_the_body_takes_a_whole_file(tmp_path: Path) -> None:
    path = saved(randomize(NETS["vgg11"]()), tmp_path / "net.pth")
    body = uf.zoo.create("vgg11", weights=path, classes=None, input_shape=(None, None, 3))
    kernel = torch.load(path)["features.0.weight"].numpy()
    np.testing.assert_array_equal(
        body.get_layer("block1_conv1").get_weights()[0], kernel.transpose(2, 3, 1, 0)
    )
