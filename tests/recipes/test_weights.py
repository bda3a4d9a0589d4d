"""Trained weights in recipes: taken whole, or refused; with a new head where the data have other classes."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import unifront as uf
from tests.recipes.made import build, images
from unifront.errors import ArgumentError
from unifront.recipes.bundled import sonnets

IRIS = "data: {table: iris, target: species}\n"


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_weights_of_another_architecture() -> None:
    uf.zoo.create("mlp", features=4, hidden=[8], classes=3).save_weights("mlp.safetensors")
    text = "model: {zoo: mlp, classes: 3, hidden: [4], weights: mlp.safetensors}\n" + IRIS
    with pytest.raises(ArgumentError, match=r"^r\.yaml:1: model\.weights: .*mlp\.safetensors"):
        build(text)
    with pytest.raises(
        ArgumentError, match=r"^r\.yaml:1: model\.weights: .*none\.safetensors: there is no such file"
    ):
        build(text.replace("mlp.safetensors", "none.safetensors"))
    with pytest.raises(ArgumentError, match=r"^r\.yaml:1: model\.weights: "):
        build(text.replace("mlp.safetensors", "r.txt"))
    trained = build(text.replace("[4]", "[8]"))
    assert trained.count_params() == 4 * 8 + 8 + 8 * 3 + 3


@pytest.mark.parametrize("classes", [10, 2], ids=["another head", "the same head"])
def test_a_head_for_other_classes(classes: int, here: Path) -> None:
    images(here / "pictures", {"a": 2, "b": 2})
    before = uf.zoo.create("lenet5", input_shape=(16, 16, 3), classes=classes)
    before.save_weights("lenet5.safetensors")
    model = build(
        f"model: {{zoo: lenet5, classes: {classes}, weights: lenet5.safetensors}}\n"
        "data: {images: pictures, image_size: 16, normalize: tf}"
    )
    own = {weight.path: weight.numpy() for weight in before.weights}
    found = {weight.path: weight.numpy() for weight in model.weights}
    head = [path for path in own if path.startswith("dense_2/")]
    assert len(head) == 2
    for path in own.keys() - set(head) if classes == 10 else own:
        np.testing.assert_array_equal(found[path], own[path])
    assert found["dense_2/kernel"].shape == (84, 2)
    x = np.arange(4 * 16 * 16 * 3, dtype=np.float32).reshape(4, 16, 16, 3) % 256
    if classes == 2:  # pixels are brought to -1 … 1 in the model
        np.testing.assert_allclose(
            model.predict(x, backend="numpy"),
            before.predict(x / 127.5 - 1, backend="numpy"),
            rtol=1e-4,
            atol=1e-5,
        )


def test_a_head_that_is_no_dense_layer(here: Path) -> None:
    images(here / "pictures", {"a": 2, "b": 2})
    before = uf.zoo.create("squeezenet1_1", input_shape=(32, 32, 3), classes=7)
    before.save_weights("s.safetensors")
    model = build(
        "model: {zoo: squeezenet1_1, classes: 7, weights: s.safetensors}\ndata: {images: pictures, image_size: 32}"
    )
    assert model.output_shape == (None, 2)
    own = {
        weight.path: weight.numpy() for weight in before.weights if not weight.path.startswith("predictions")
    }
    found = {weight.path: weight.numpy() for weight in model.weights}
    for path, value in own.items():
        np.testing.assert_array_equal(found[path], value)


def test_files_of_torch_and_of_keras(here: Path) -> None:
    """With a new head for the classes of the data, and the rest as it is in the file."""
    torch = pytest.importorskip("torch")
    keras = pytest.importorskip("keras")
    from tests.zoo.torch_classic import SqueezeNet

    images(here / "pictures", {"a": 2, "b": 2})
    net = SqueezeNet(7)
    torch.save(net.state_dict(), "squeezenet.pth")
    judge = keras.applications.MobileNet(weights=None, alpha=0.25, input_shape=(32, 32, 3), classes=7)
    judge.save_weights("mobilenet.weights.h5")
    for name, options, layer, kernel in (
        ("squeezenet1_1", "weights: squeezenet.pth", "conv1", net.features[0].weight.detach().numpy().T),
        (
            "mobilenet",
            "alpha: 0.25, weights: mobilenet.weights.h5",
            "conv1",
            judge.get_layer("conv1").get_weights()[0],
        ),
    ):
        model = build(
            f"model: {{zoo: {name}, classes: 7, {options}}}\ndata: {{images: pictures, image_size: 32}}"
        )
        assert model.output_shape == (None, 2)
        found = model.get_layer(layer).get_weights()[0]
        np.testing.assert_array_equal(
            found, kernel.transpose(1, 0, 2, 3) if name == "squeezenet1_1" else kernel
        )


def test_what_the_data_decide_of_a_model_of_the_zoo(here: Path) -> None:
    images(here / "pictures", {"a": 2, "b": 2})
    text = "model: {zoo: char_lstm, units: 8}\ndata: {text: sonnets}"
    assert build(text).output_shape == (None, None, len(set(sonnets())))
    text = "model: {zoo: mlp, hidden: [4, $classes]}\n" + IRIS
    assert build(text).input_types.keys() == {"sepal_length", "sepal_width", "petal_length", "petal_width"}
    text = "model: {zoo: lenet5, input_shape: [20, 12, 3]}\ndata: {images: pictures}"
    assert build(text).input_shape == (None, 20, 12, 3)
    text = "model: efficientnet_b0\ndata: {images: pictures, image_size: 32, normalize: torch}"
    for name in ("efficientnet_b0", "mobilenet_v3_small"):
        with pytest.raises(
            ArgumentError, match=rf"^r\.yaml:2: data\.normalize: {name} brings pixels to a scale of its own"
        ):
            build(text.replace("efficientnet_b0", name))
    build(text.replace("efficientnet_b0", "mobilenet_v3_small").replace(", normalize: torch", ""))


def test_the_momentum_of_batch_normalization() -> None:
    text = "layers: [{Dense: 4}, BatchNormalization, {Dense: $classes}]\n" + IRIS
    momenta = [
        [
            layer.momentum
            for layer in build(more + text).layers
            if isinstance(layer, uf.layers.BatchNormalization)
        ]
        for more in ("", "batch_norm_momentum: 0.5\n")
    ]
    assert momenta == [[0.99], [0.5]]
    with pytest.raises(ArgumentError, match=r"^r\.yaml:1: batch_norm_momentum: it is less than 1"):
        build("batch_norm_momentum: 1.0\n" + text)


NORMALIZED = {
    "unit": lambda x: x / 255,
    "tf": lambda x: x / 127.5 - 1,
    "torch": lambda x: (x / 255 - [0.485, 0.456, 0.406]) / [0.229, 0.224, 0.225],
    "caffe": lambda x: x[..., ::-1] - [103.939, 116.779, 123.68],
    "none": lambda x: x,
}


@pytest.mark.parametrize("how", NORMALIZED)
def test_pixels_are_normalized(how: str) -> None:
    from unifront.recipes.images import normalized

    image = uf.Input((2, 3, 3))
    model = uf.Model(image, normalized(how, image))
    x = np.random.default_rng(0).uniform(0, 255, (4, 2, 3, 3)).astype(np.float32)
    np.testing.assert_allclose(model.predict(x, backend="numpy"), NORMALIZED[how](x), rtol=1e-5, atol=1e-4)
