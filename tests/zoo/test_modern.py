"""MobileNet and what came after: sizes as published, Keras Applications and torch modules as judges."""

from __future__ import annotations

from typing import Any

import pytest

from tests.zoo.modern_judges import check_keras
from unifront import errors, zoo

FAMILIES = ("mobilenet",)
ENTRIES = [entry for entry in zoo.entries() if entry.family in FAMILIES]


@pytest.mark.parametrize("name", [entry.name for entry in ENTRIES])
def test_the_size_is_that_published(name: str) -> None:
    entry = zoo.entries(name)[0]
    assert zoo.create(name).count_params() == entry.parameters


KERAS: list[tuple[str, int, dict[str, Any]]] = [
    ("mobilenet", 32, {"alpha": 0.25, "classes": 7, "classifier_activation": "softmax"}),
    ("mobilenet_v2", 64, {"alpha": 0.35}),
    ("mobilenet_v3_small", 64, {"alpha": 0.75}),
]
KERAS_SLOWLY: list[tuple[str, int, dict[str, Any]]] = [
    ("mobilenet", 65, {"alpha": 0.5, "depth_multiplier": 2}),
    ("mobilenet_v2", 61, {"alpha": 1.4}),
    ("mobilenet_v3_small", 97, {"minimalistic": True}),
    ("mobilenet_v3_large", 64, {}),
    ("mobilenet_v3_large", 67, {"alpha": 1.25, "minimalistic": True}),
]


@pytest.mark.parametrize(
    ("name", "size", "options"),
    [*KERAS, *(pytest.param(*row, marks=pytest.mark.slow) for row in KERAS_SLOWLY)],
)
def test_it_gives_what_keras_applications_gives(name: str, size: int, options: dict[str, Any]) -> None:
    check_keras(name, size, options)


HEADLESS = [
    pytest.param(name, marks=pytest.mark.slow) for name in ("mobilenet", "mobilenet_v2", "mobilenet_v3_small")
]


@pytest.mark.parametrize("name", HEADLESS)
def test_without_its_classifier_it_is_keras_without_its_top(name: str) -> None:
    check_keras(name, 64, {"classes": None}, include_top=False)


@pytest.mark.parametrize("name", ["mobilenet_v2", "mobilenet_v3_large"])
def test_another_publisher_is_refused(name: str) -> None:
    with pytest.raises(
        errors.ArgumentError, match="like='timm': this model is built like one of 'keras', 'torchv"
    ):
        zoo.create(name, like="timm")


@pytest.mark.parametrize("name", [entry.name for entry in ENTRIES])
def test_images_of_any_size_are_taken(name: str) -> None:
    model = zoo.create(name, input_shape=(None, None, 3), classes=None)
    assert len(model.graph().outputs[0].type.shape) == 4
