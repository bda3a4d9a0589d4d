"""`uf.applications` beside ``keras.applications``: names, arguments, what images become, what is refused."""

from __future__ import annotations

import inspect
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from keras.src.applications import nasnet

import unifront as uf
from tests.models import TRAINABLE
from tests.train.keras_judge import keras
from unifront import applications, errors, layers
from unifront.testing import assert_close

MODULES = sorted(name for name, one in vars(keras.applications).items() if inspect.ismodule(one))
FUNCTIONS = sorted(name for name, one in vars(keras.applications).items() if inspect.isfunction(one))
MODES = ("caffe", "tf", "torch")
IMAGES = np.random.default_rng(0).uniform(0, 255, (2, 5, 4, 3)).astype("float32")


def test_the_names_are_those_of_keras() -> None:
    assert len(FUNCTIONS) >= 38
    assert [name for name in (*MODULES, *FUNCTIONS) if name not in applications.__all__] == []


@pytest.mark.parametrize("name", MODULES)
def test_a_module_has_what_keras_has_in_it(name: str) -> None:
    theirs = {one for one in vars(getattr(keras.applications, name)) if not one.startswith("_")}
    assert theirs <= {*vars(getattr(applications, name))}


@pytest.mark.parametrize("name", FUNCTIONS)
def test_arguments_are_those_of_keras(name: str) -> None:
    ours, theirs = (
        [(one.name, one.default) for one in inspect.signature(getattr(home, name)).parameters.values()]
        for home in (applications, keras.applications)
    )
    assert ours == theirs


def keras_model(name: str, **options: Any) -> Any:
    """The model of Keras, whose NASNetMobile refuses torch; what that calls does not."""
    if name != "NASNetMobile":
        return getattr(keras.applications, name)(weights=None, **options)
    own = {"penultimate_filters": 1056, "num_blocks": 4, "stem_block_filters": 32, "skip_reduction": False}
    own |= {"input_shape": (224, 224, 3), "name": "nasnet_mobile"}
    return nasnet.NASNet(weights=None, **own | options)


@pytest.mark.slow
@pytest.mark.parametrize("name", FUNCTIONS)
def test_every_model_builds_as_keras_builds_it(name: str) -> None:
    """Names and shapes of the weights, in their order, without a top and with the usual shapes."""
    body: dict[str, Any] = {"include_top": False, "pooling": "avg"}
    if name == "NASNetLarge":  # Keras leaves out layers where sizes are free, and what is left does not run
        body["input_shape"] = (331, 331, 3)
    for options in (body, {}):
        keras.utils.clear_session()  # it numbers layers without a name
        model = getattr(applications, name)(weights=None, **options)
        judge = keras_model(name, **options)
        told = [
            [(layer.name, [tuple(w.shape) for w in layer.weights]) for layer in one.layers if layer.weights]
            for one in (model, judge)
        ]
        assert told[0] == told[1]
        assert model.output_shape == judge.output_shape
        assert model.input_shape == judge.input_shape
        assert model.count_params() == judge.count_params()
        assert model.name == judge.name


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("data_format", ["channels_last", "channels_first"])
@pytest.mark.parametrize(
    "image", [IMAGES, IMAGES[0], IMAGES.astype("uint8"), IMAGES[:0]], ids=["batch", "one", "uint8", "none"]
)
def test_images_become_what_they_become_in_keras(image: np.ndarray, data_format: str, mode: str) -> None:
    if data_format == "channels_first":
        image = np.ascontiguousarray(np.moveaxis(image, -1, -3))
    before = image.copy()
    ours = applications.imagenet_utils.preprocess_input(image, data_format, mode)
    assert (image == before).all()
    theirs = keras.applications.imagenet_utils.preprocess_input(image.copy(), data_format, mode)
    assert_close(np.asarray(ours), np.asarray(theirs))


@pytest.mark.parametrize("mode", MODES)
def test_tensors_become_it_too(mode: str) -> None:
    preprocess = applications.imagenet_utils.preprocess_input
    expected = preprocess(IMAGES, mode=mode)
    x = uf.Input((None, None, 3))
    model = uf.Model(x, preprocess(x, mode=mode))
    assert_close(model.predict(IMAGES, backend=TRAINABLE[-1], verbose=0), np.asarray(expected))


@pytest.mark.parametrize("name", [name for name in MODULES if name != "imagenet_utils"])
def test_each_family_has_its_own_way(name: str) -> None:
    ours = getattr(applications, name).preprocess_input(IMAGES)
    theirs = getattr(keras.applications, name).preprocess_input(IMAGES.copy())
    assert_close(np.asarray(ours), np.asarray(theirs))


def test_predictions_are_decoded(tmp_path: Path) -> None:
    index = {str(i): [f"n{i:08}", f"thing {i}"] for i in range(1000)}
    path = tmp_path / "imagenet_class_index.json"
    path.write_text(json.dumps(index))
    scores = np.zeros((2, 1000), "float32")
    scores[0, [7, 3]] = 0.6, 0.4
    scores[1, 999] = 1.0
    decoded = applications.vgg16.decode_predictions(scores, top=2, classes=path)
    assert [one[:2] for one in decoded[0]] == [("n00000007", "thing 7"), ("n00000003", "thing 3")]
    assert decoded[0][0][2] == pytest.approx(0.6)
    assert decoded[1][0] == ("n00000999", "thing 999", 1.0)
    assert applications.imagenet_utils.decode_predictions(scores, classes=index)[1][0][1] == "thing 999"
    with pytest.raises(errors.ShapeError, match=r"takes \[samples, 1000\]; the shape \(2, 5\)"):
        applications.vgg16.decode_predictions(scores[:, :5])
    path.write_text("[1, 2]")
    with pytest.raises(errors.FileFormatError, match="is not a list of ImageNet's classes"):
        applications.vgg16.decode_predictions(scores, classes=path)


def test_without_the_names_of_classes_it_is_said_where_they_are_looked_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("KERAS_HOME", str(tmp_path))
    with pytest.raises(
        errors.ArgumentError, match=r"models/imagenet_class_index.json is not there. Give the file"
    ):
        applications.vgg16.decode_predictions(np.zeros((1, 1000)))


SMALL: dict[str, Any] = {"weights": None, "input_shape": (32, 32, 3), "alpha": 0.25}


def test_an_input_tensor_is_what_the_model_begins_with() -> None:
    image = uf.Input((32, 32, 3), name="photo")
    scaled = layers.Rescaling(1 / 127.5, offset=-1)(image)
    options = {"weights": None, "include_top": False, "alpha": 0.25}
    model = applications.MobileNet(input_tensor=scaled, pooling="max", name="body", **options)
    assert model.name == "body"
    assert model.inputs == [image]
    assert "conv_pw_13" in [layer.name for layer in model.layers]  # no model inside a model
    plain = applications.MobileNet(input_shape=(32, 32, 3), pooling="max", **options)
    plain.set_weights(model.get_weights())
    x = 30 * IMAGES.repeat(7, 1)[:, :32].repeat(8, 2)
    a, b = (
        model.predict(x, verbose=0, backend=TRAINABLE[-1]),
        plain.predict(x / 127.5 - 1, verbose=0, backend=TRAINABLE[-1]),
    )
    assert a.shape == (2, 256)
    assert_close(a, b)


REFUSED: list[tuple[dict[str, Any], type[Exception], str]] = [
    ({}, errors.ArgumentError, 'weights="imagenet" asks for a download, and unifront downloads nothing'),
    ({"weights": 3}, errors.ArgumentError, "weights is a path or None, not 3"),
    ({"weights": "nowhere.h5"}, errors.FileFormatError, "nowhere.h5: there is no such file"),
    (
        {"weights": None, "input_shape": (31, 32, 3)},
        errors.ShapeError,
        r"at least 32x32; Received: input_shape=\(31",
    ),
    (
        {"weights": None, "input_shape": (None, 32, 3)},
        errors.ShapeError,
        "you should specify a static `input_shape`",
    ),
    ({"weights": None, "input_shape": (32, 32)}, errors.ShapeError, "must be a tuple of three integers"),
    ({"weights": None, "pooling": "sum"}, errors.ArgumentError, "pooling is 'avg', 'max' or None, not 'sum'"),
    (
        {"weights": None, "input_tensor": 3},
        errors.ArgumentError,
        "input_tensor is a tensor of uf.Input, not 3",
    ),
    (
        {"wights": None},
        errors.ArgumentError,
        "ResNet50 takes include_top, weights, .*unexpected keyword argument 'wights'",
    ),
]


@pytest.mark.parametrize(("options", "kind", "message"), REFUSED)
def test_what_is_refused(options: dict[str, Any], kind: type[Exception], message: str) -> None:
    with pytest.raises(kind, match=message) as raised:
        applications.ResNet50(**options)
    assert isinstance(raised.value, ValueError)


def test_channels_first_is_made_afterwards() -> None:
    uf.config.set_image_data_format("channels_first")
    try:
        with pytest.raises(errors.ArgumentError, match="ResNet50 is made with the channels last"):
            applications.ResNet50(weights=None)
    finally:
        uf.config.set_image_data_format("channels_last")
