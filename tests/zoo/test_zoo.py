"""Every model of the zoo: it builds, trains and reads back; ResNet is that of Keras Applications."""

from __future__ import annotations

import importlib
import inspect
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch.nn import functional

import unifront as uf
from tests.models import TRAINABLE
from tests.train.keras_judge import keras
from tests.zoo.sizes import DEEP, SLOW, SMALL
from unifront import arguments, errors, tree, zoo
from unifront.ir.text import parse_graph, print_graph
from unifront.opset.spec import OPS
from unifront.testing import difference

ALL = [pytest.param(name, marks=[pytest.mark.slow] * (name in SLOW)) for name in uf.zoo.list()]


def data_for(model: uf.Model, count: int) -> tuple[Any, Any]:
    """Random inputs of the model's types (free sizes are 5), and a label for each place of its outputs."""
    rng = np.random.default_rng(0)
    found = {}
    for name, type_ in model.input_types.items():
        shape = (count, *(size if isinstance(size, int) else 5 for size in type_.shape[1:]))
        found[name] = rng.integers(0, 5, shape) if type_.dtype.is_integer else rng.normal(size=shape)
    x = {name: array.astype(model.input_types[name].dtype.numpy) for name, array in found.items()}
    outputs = model.predict(x, batch_size=4, backend=TRAINABLE[-1])
    return x, tree.map_leaves(lambda array: rng.integers(0, array.shape[-1], array.shape[:-1]), outputs)


@pytest.mark.parametrize("name", ALL)
def test_trains_two_steps(name: str) -> None:
    uf.set_seed(0)
    model = uf.zoo.create(name, **SMALL.get(name, {}))
    x, y = data_for(model, 8)
    model.compile(uf.optimizers.SGD(1e-3), uf.losses.SparseCategoricalCrossentropy(from_logits=True))
    start = model.get_weights()
    history = model.fit(x, y, batch_size=4, verbose=0, backend=TRAINABLE[-1])
    assert np.isfinite(history.history["loss"]).all()
    assert model.optimizer.iterations == 2
    assert any((a != b).any() for a, b in zip(model.get_weights(), start, strict=True))
    outputs = model.predict(x, batch_size=4, backend=TRAINABLE[-1])
    for output in tree.leaves(outputs):
        assert output.shape[0] == 8
        assert np.isfinite(output).all()


@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=[pytest.mark.slow] * (name in DEEP)) for name in uf.zoo.list()]
)
def test_entries_and_graphs(name: str) -> None:
    entry = {one.name: one for one in zoo.entries()}[name]
    assert entry.summary
    assert entry.source
    assert entry.family
    model = uf.zoo.create(name)
    assert model.count_params() > 0
    graph = model.graph()
    assert parse_graph(print_graph(graph), OPS) == graph.renumbered()
    lines: list[str] = []
    model.summary(print_fn=lines.append)
    assert model.name in "".join(lines)


@pytest.mark.parametrize(
    "name", ["ResNet50", *(pytest.param(name, marks=pytest.mark.slow) for name in ("ResNet101", "ResNet152"))]
)
def test_resnets_have_the_weights_of_keras_applications(name: str) -> None:
    judge = getattr(keras.applications, name)(weights=None)
    model = uf.zoo.create(name.lower())
    assert model.count_params() == judge.count_params()
    ours = {layer.name: [w.shape for w in layer.weights] for layer in model.layers if layer.weights}
    theirs = {layer.name: [tuple(w.shape) for w in layer.weights] for layer in judge.layers if layer.weights}
    assert ours == theirs


def test_resnet50_gives_what_keras_applications_gives() -> None:
    """Weights and statistics copied by layer name, at 64×64."""
    judge = keras.applications.ResNet50(weights=None, input_shape=(64, 64, 3), classes=10)
    model = uf.zoo.create("resnet50", input_shape=(64, 64, 3), classes=10)
    rng = np.random.default_rng(0)
    for layer in judge.layers:
        if layer.weights:
            values = layer.get_weights()
            if "bn" in layer.name:  # other statistics than at the start, so that they count
                values = [value + 0.2 * rng.random(value.shape).astype("float32") for value in values]
                layer.set_weights(values)
            model.get_layer(layer.name).set_weights(values)
    x = rng.normal(size=(2, 64, 64, 3)).astype("float32")
    expected = judge.predict(x, verbose=0)
    assert difference(model.predict(x, backend=TRAINABLE[-1]), expected) < 1e-4
    logits = uf.zoo.create("resnet50", input_shape=(64, 64, 3), classes=10, classifier_activation=None)
    logits.set_weights(model.get_weights())
    raw = logits.predict(x, backend=TRAINABLE[-1])
    assert difference(np.exp(raw) / np.exp(raw).sum(-1, keepdims=True), expected) < 1e-4


@pytest.mark.parametrize(("name", "millions"), [("resnet18", 11.7), ("resnet34", 21.8)])
def test_small_resnets_have_the_papers_size(name: str, millions: float) -> None:
    assert uf.zoo.create(name).count_params() / 1e6 == pytest.approx(millions, abs=0.1)


@pytest.mark.parametrize(
    ("name", "gluons"),
    [("resnet18v2", 11_695_796), pytest.param("resnet34v2", 21_811_380, marks=pytest.mark.slow)],
)
def test_small_resnets_of_version_2_have_the_size_of_gluons(name: str, gluons: int) -> None:
    """Gluon counts six more: the scale and the shift of its normalization of images, which stay 1 and 0."""
    assert uf.zoo.create(name).count_params() == gluons - 6 == zoo.entries(name)[0].parameters


def test_resnet18v2_gives_what_its_equations_in_torch_give() -> None:
    """Written from Gluon's BasicBlockV2: normalize, rectify, convolve; the projection is of what was rectified."""
    model = uf.zoo.create("resnet18v2", input_shape=(40, 36, 3), classes=7, classifier_activation=None)
    rng = np.random.default_rng(0)
    model.set_weights(
        [value + 0.1 * rng.random(value.shape).astype("float32") for value in model.get_weights()]
    )

    def weights(name: str) -> list[torch.Tensor]:
        return [torch.from_numpy(value) for value in model.get_layer(name).get_weights()]

    def bn_relu(x: torch.Tensor, name: str) -> torch.Tensor:
        gamma, beta, mean, variance = weights(name)
        return functional.batch_norm(x, mean, variance, gamma, beta, eps=1e-5).relu()

    def conv(x: torch.Tensor, name: str, stride: int, padding: int) -> torch.Tensor:
        (kernel,) = weights(name)
        return functional.conv2d(x, kernel.permute(3, 2, 0, 1), stride=stride, padding=padding)

    x = rng.normal(size=(2, 40, 36, 3)).astype("float32")
    y = functional.batch_norm(torch.from_numpy(x).permute(0, 3, 1, 2), *weights("image_bn"), eps=1e-5)
    y = bn_relu(conv(y, "conv1_conv", 2, 3), "conv1_bn")
    y = functional.max_pool2d(y, 3, 2, 1)
    for block in (f"conv{stage}_block{i}" for stage in (2, 3, 4, 5) for i in (1, 2)):
        stride = 2 if block.endswith("block1") and block[4] != "2" else 1
        active = bn_relu(y, f"{block}_preact_bn")
        inner = bn_relu(conv(active, f"{block}_1_conv", stride, 1), f"{block}_1_bn")
        shortcut = conv(active, f"{block}_0_conv", stride, 0) if stride > 1 else y
        y = shortcut + conv(inner, f"{block}_2_conv", 1, 1)
    kernel, bias = weights("predictions")
    expected = bn_relu(y, "post_bn").mean((2, 3)) @ kernel + bias
    assert difference(model.predict(x, verbose=0, backend=TRAINABLE[-1]), expected.numpy()) < 1e-5


def test_what_is_refused() -> None:
    with pytest.raises(
        errors.UnknownName,
        match=r"Unknown model of the zoo 'resnet51'\. Did you mean 'resnet\d+'\? Known: \d+ names\.$",
    ):
        uf.zoo.create("resnet51")
    with pytest.raises(errors.ArgumentError, match="mlp does not take 'clases'; it takes "):
        uf.zoo.create("mlp", clases=3)
    assert uf.zoo.list("nothing*") == ()

    def mlp() -> uf.Model:
        raise AssertionError

    with pytest.raises(
        errors.ArgumentError, match="The zoo has a model called 'mlp' already, from unifront_zoo"
    ):
        zoo.register("mlp", source="nobody")(mlp)
    assert uf.zoo.create("mlp").name == "mlp"


@pytest.mark.parametrize(
    ("name", "options", "match"),
    [
        ("char_gru", {"depth": "two"}, "char_gru: depth is a positive int, not 'two'"),
        ("mlp", {"hidden": 3}, "mlp: hidden is a list, not 3"),
        ("mlp", {"dropout": None}, "mlp: dropout is a number, not None"),
        ("lenet5", {"input_shape": (28, 28)}, r"lenet5: input_shape is a list of 3 entries, not \(28, 28\)"),
        ("resnet18", {"input_shape": "no"}, "resnet18: input_shape is a list, not 'no'"),
        ("resnet18", {"like": "fastai"}, "Unknown like of resnet18 'fastai'"),
        ("unet", {"padding": 3}, "Unknown padding of unet 3"),
        ("char_gru", {"depth": 10**12}, "char_gru: depth is a positive int up to 10000, not 1000000000000"),
        ("highway", {"depth": 0}, "highway: depth is a positive int, not 0"),
        ("convnext_tiny", {"depths": (1, 1, 10**12, 1)}, "convnext_tiny: depths is a list, each entry a positive int up to"),
        ("efficientnet_b0", {"depth_coefficient": 1e12}, r"depth_coefficient is a number in \(0, 100\], not"),
        ("nasnet_mobile", {"num_blocks": 10**9}, "num_blocks is a positive int up to 10000"),
    ],
)  # fmt: skip
def test_options_that_are_none(name: str, options: dict[str, Any], match: str) -> None:
    with pytest.raises(errors.UnifrontError, match=match):
        uf.zoo.create(name, **options)


def test_an_activation_may_be_a_function() -> None:
    model = uf.zoo.create("resnet18", classifier_activation=uf.activations.tanh)
    assert model.graph().nodes[-1].op.name == "tanh"


def test_every_option_of_every_model_is_checked() -> None:
    """Its default passes, and so does what tests make small models with."""
    odd = object()
    for entry in uf.zoo.entries():
        inner = entry.builder.__checked__  # type: ignore[attr-defined]
        checks = arguments._checks(inner)
        for one in inspect.signature(entry.builder).parameters.values():
            check = checks[one.name]
            for value in [] if one.default is one.empty else [one.default]:
                assert check.convert(value, inner) == value, (entry.name, one.name)
            with pytest.raises((arguments.Wrong, errors.UnknownName)):
                check.convert(odd, inner)
        for option, value in SMALL.get(entry.name, {}).items():
            checks[option].convert(value, inner)


def test_a_family_is_imported_when_a_model_of_it_is_asked_for() -> None:
    code = (
        "import sys, unifront as uf\n"
        "names = uf.zoo.list()\n"
        "assert not [name for name in sys.modules if name.startswith('unifront_zoo.')]\n"
        "uf.zoo.create('lenet5')\n"
        "print(len(names), *[name for name in sys.modules if name.startswith('unifront_zoo.')])\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == [str(len(zoo.list())), "unifront_zoo.lenet", *done.stdout.split()[2:]]
    assert len(done.stdout.split()) <= 4  # with what it is made of

    import unifront_zoo

    found: dict[str, list[str]] = {}
    for path in sorted(Path(unifront_zoo.__file__).parent.glob("[!_]*.py")):
        importlib.import_module(f"unifront_zoo.{path.stem}")
    for name, entry in sorted(zoo._entries.items()):
        if entry.builder.__module__.startswith("unifront_zoo."):
            found.setdefault(entry.family, []).append(name)
    assert {family: sorted(names) for family, names in unifront_zoo.FAMILIES.items()} == found
    with pytest.raises(AttributeError, match="no attribute 'resnt'"):
        _ = unifront_zoo.resnt
