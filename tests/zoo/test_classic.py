"""The classic CNNs: sizes as published; Keras Applications and torch modules as judges."""

from __future__ import annotations

import inspect
from typing import Any

import numpy as np
import pytest
from keras.src.applications import nasnet

import unifront as uf
from tests.models import TRAINABLE
from tests.train.keras_judge import keras
from tests.zoo.classic_judges import check_same, from_keras, scaled
from tests.zoo.classic_sizes import CLASSIC
from unifront import errors, zoo
from unifront.testing import difference

QUICK = ("alexnet", "alexnet_owt", "overfeat", "vgg11", "vgg11_bn", "squeezenet1_1", "googlenet", "highway")
ALL = [pytest.param(name, marks=[pytest.mark.slow] * (name not in QUICK)) for name in CLASSIC]


@pytest.mark.parametrize("name", ALL)
def test_the_size_is_that_published(name: str) -> None:
    entry = zoo.entries(name)[0]
    assert entry.builder().count_params() == entry.parameters


# What torchvision tells of its models counts what is trained alone, with the auxiliary classifiers.
TRAINED = {
    "vgg11_bn": (132_868_840, {}),
    "vgg13_bn": (133_053_736, {}),
    "vgg16_bn": (138_365_992, {}),
    "vgg19_bn": (143_678_248, {}),
    "densenet161": (28_681_000, {}),
    "googlenet": (13_004_888, {"like": "torchvision", "aux": True}),
    "inception_v3": (27_161_264, {"like": "torchvision", "aux": True}),
}


@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=[pytest.mark.slow] * (name not in QUICK)) for name in TRAINED]
)
def test_as_much_is_trained_as_torchvision_says(name: str) -> None:
    count, options = TRAINED[name]
    model = zoo.create(name, **options)
    assert sum(int(np.prod(weight.shape)) for weight in model.trainable_weights) == count


def keras_model(name: str, **options: Any) -> Any:
    """The model of Keras Applications, with names counted from the start as ours are."""
    keras.backend.clear_session()
    entry = zoo.entries(name)[0]
    if not name.startswith("nasnet"):
        return getattr(keras.applications, entry.keras)(weights=None, **options)
    sizes = {  # keras.applications.NASNetMobile refuses torch, what it calls does not
        key: parameter.default
        for key, parameter in inspect.signature(entry.builder).parameters.items()
        if key in ("penultimate_filters", "num_blocks", "stem_block_filters")
    }
    return nasnet.NASNet(skip_reduction=name == "nasnet_large", weights=None, **sizes | options)


KERAS: list[tuple[str, dict[str, Any], bool]] = [
    ("vgg16", {"input_shape": (32, 32, 3)}, True),
    ("vgg19", {"input_shape": (35, 40, 3)}, True),
    ("densenet121", {"input_shape": (32, 32, 3)}, False),
    ("densenet169", {"input_shape": (33, 47, 3)}, True),
    ("densenet201", {"input_shape": (32, 32, 3)}, True),
    ("inception_v3", {"input_shape": (75, 80, 3)}, True),
    ("inception_resnet_v2", {"input_shape": (75, 80, 3)}, True),
    ("xception", {"input_shape": (71, 76, 3)}, True),
    ("nasnet_mobile", {"input_shape": (47, 32, 3), "penultimate_filters": 96, "num_blocks": 1}, False),
    ("nasnet_large", {"input_shape": (40, 35, 3), "penultimate_filters": 96, "num_blocks": 2}, True),
    ("nasnet_mobile", {"input_shape": (64, 64, 3)}, True),
    ("nasnet_large", {"input_shape": (33, 33, 3)}, True),
]


@pytest.mark.parametrize(
    ("name", "options"),
    [pytest.param(name, options, marks=[pytest.mark.slow] * slow) for name, options, slow in KERAS],
)
def test_it_gives_what_keras_applications_gives(name: str, options: dict[str, Any]) -> None:
    """Layer names, order and shapes of weights, and logits from random weights."""
    options = options | {"classes": 7, "classifier_activation": None}
    judge, model = keras_model(name, **options), zoo.create(name, **options)
    from_keras(judge, model)
    x = np.random.default_rng(1).normal(size=(2, *options["input_shape"])).astype("float32")
    check_same(model.predict(x, backend=TRAINABLE[-1], verbose=0), judge.predict(x, verbose=0))


BODIES = ["vgg16", "squeezenet1_1", "xception", "googlenet", "nasnet_mobile"]


@pytest.mark.parametrize("name", BODIES)
def test_without_classes_it_is_the_body(name: str) -> None:
    """As `include_top=False`: the same weights but the head's, and the feature map for images of any size."""
    entry = zoo.entries(name)[0]
    options = {key: CLASSIC[name][key] for key in CLASSIC[name] if key not in ("classes", "units")}
    whole, body = entry.builder(**options, classes=5), entry.builder(**options, classes=None)
    heads = {"fc1", "fc2", "predictions"}
    named = [[layer.name for layer in model.layers if layer.weights] for model in (whole, body)]
    assert [one for one in named[0] if one not in heads] == named[1]
    assert len(body.graph().outputs[0].type.shape) == 4
    free = entry.builder(**options | {"input_shape": (None, None, 3)}, classes=None)
    assert free.count_params() == body.count_params()


@pytest.mark.parametrize(
    ("name", "sizes"), [("nasnet_mobile", ((47, 32), (64, 51))), ("nasnet_large", ((35, 60),))]
)
def test_nasnet_is_the_same_with_free_sizes(name: str, sizes: tuple[tuple[int, int], ...]) -> None:
    """Odd sizes and even ones are padded differently; Keras, which judges that of fixed sizes, has no such model that runs."""
    free = zoo.create(name, **CLASSIC[name] | {"input_shape": (None, None, 3), "classes": None})
    x = np.random.default_rng(2).normal(size=(1, 64, 64, 3)).astype("float32")
    for height, width in sizes:
        fixed = zoo.create(name, **CLASSIC[name] | {"input_shape": (height, width, 3), "classes": None})
        values = [scaled(weight.shape, 9, seed) for seed, weight in enumerate(fixed.weights)]
        fixed.set_weights(values)
        free.set_weights(values)
        given = x[:, :height, :width]
        ours, theirs = (one.predict(given, backend=TRAINABLE[-1], verbose=0) for one in (free, fixed))
        assert difference(ours, theirs) < 1e-5


@pytest.mark.parametrize("name", ["googlenet", "inception_v3"])
def test_auxiliary_classifiers_are_outputs(name: str) -> None:
    """They train with weights of their own, and the predictions do not depend on them."""
    size = {"googlenet": 96, "inception_v3": 299}[name]
    model = zoo.create(name, input_shape=(size, size, 3), classes=4, aux=True, classifier_activation=None)
    assert set(model.output) == {"predictions", "aux1", "aux2"} or set(model.output) == {"predictions", "aux"}
    plain = zoo.create(name, input_shape=(size, size, 3), classes=4, classifier_activation=None)
    auxiliary = [layer for layer in model.layers if layer.name.startswith("aux") and layer.weights]
    assert auxiliary
    assert model.count_params() - sum(layer.count_params() for layer in auxiliary) == plain.count_params()


@pytest.mark.slow
def test_googlenet_trains_on_three_losses() -> None:
    model = zoo.create("googlenet", input_shape=(96, 96, 3), classes=4, aux=True, classifier_activation=None)
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(2, 96, 96, 3)).astype("float32"), np.array([0, 1])
    loss = uf.losses.SparseCategoricalCrossentropy(from_logits=True)
    weights = {"predictions": 1.0, "aux1": 0.3, "aux2": 0.3}
    model.compile("sgd", dict.fromkeys(weights, loss), loss_weights=weights)
    logs = model.fit(x, dict.fromkeys(weights, y), batch_size=2, verbose=0, backend=TRAINABLE[-1]).history
    parts = sum(weight * logs[f"{name}_loss"][0] for name, weight in weights.items())
    assert logs["loss"][0] == pytest.approx(parts, rel=1e-5)
    assert set(model.predict(x, verbose=0, backend=TRAINABLE[-1])) == set(weights)


def test_a_highway_of_hundreds_of_layers_carries_its_input() -> None:
    """With gates that are shut the input goes through; it is built and traced without recursion."""
    model = zoo.create("highway", features=6, units=6, depth=100, classes=None, transform_bias=-200.0)
    x = np.abs(np.random.default_rng(0).normal(size=(3, 6))).astype("float32")
    first = model.get_layer("plain")
    first.set_weights([np.eye(6, dtype="float32"), np.zeros(6, "float32")])
    np.testing.assert_allclose(model.predict(x, verbose=0, backend="numpy"), x, rtol=1e-6)
    assert len(model.trainable_weights) == 2 + 4 * 99


@pytest.mark.parametrize(
    ("name", "like", "known"),
    [
        ("vgg16", "torch", "'keras', 'torchvision', 'timm'"),
        ("densenet121", "torch", "'keras', 'torchvision', 'timm'"),
        ("googlenet", "keras", "'paper', 'torchvision'"),
        ("inception_v3", "caffe", "'keras', 'torchvision', 'timm'"),
        ("inception_resnet_v2", "torchvision", "'keras', 'timm'"),
        ("xception", "torchvision", "'keras', 'timm'"),
    ],
)
def test_another_publisher_is_refused(name: str, like: str, known: str) -> None:
    with pytest.raises(errors.ArgumentError, match=f"like='{like}': this model is built like one of {known}"):
        zoo.create(name, like=like)


@pytest.mark.parametrize("size", [10, 11, None])
@pytest.mark.parametrize("window", [2, 3])
def test_pooling_rounds_up_as_in_torch(size: int | None, window: int) -> None:
    import torch

    from unifront_zoo._classic import pool_up

    image = uf.Input((size, size, 2))
    model = uf.Model(image, pool_up(image, window, "pool"))
    for side in (size,) if size else (10, 11):
        x = np.abs(np.random.default_rng(0).normal(size=(2, side, side, 2))).astype("float32")
        judge = torch.nn.functional.max_pool2d(
            torch.from_numpy(x).permute(0, 3, 1, 2), window, 2, ceil_mode=True
        )
        np.testing.assert_array_equal(
            model.predict(x, verbose=0, backend="numpy"), judge.permute(0, 2, 3, 1).numpy()
        )
