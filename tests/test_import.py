"""Importing unifront loads no framework; every public name is there; frameworks get on in any order."""

from __future__ import annotations

import itertools
import subprocess
import sys

import pytest

import unifront as uf
from tests.models import TRAINABLE

HEAVY = ("torch", "tensorflow", "jax", "jaxlib", "keras", "onnx", "onnxruntime", "sklearn", "scipy", "pandas")
CORE = ("rich", "typer", "numpy", "ml_dtypes", "safetensors")


def run(code: str) -> str:
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=False, timeout=200
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_import_loads_nothing_heavy() -> None:
    loaded = run("import sys, unifront; print(' '.join(sys.modules))").split()
    assert not {name.partition(".")[0] for name in loaded} & {*HEAVY, *CORE}


def test_a_first_layer_needs_little_of_the_library() -> None:
    """What takes long to load and nothing asks for yet: `importlib.metadata` finds backends, the rest trains and saves."""
    loaded = set(run("import sys; from unifront import layers; layers.Dense(3); print(*sys.modules)").split())
    unused = {
        "importlib.metadata",
        "unifront.train",
        "unifront.saving",
        "unifront.onnx",
        "unifront.zoo",
        "unifront.model",
        "unifront.files",
        "unifront.layers.conv",
        "unifront.layers.preprocessing",
        "zipfile",
    }
    assert not loaded & unused
    assert "unifront.layers.core" in loaded


def test_layers_are_loaded_by_name() -> None:
    layers = uf.layers
    for name in dir(layers):
        assert getattr(layers, name) is vars(layers)[name]
    assert layers.MaxPool2D is layers.MaxPooling2D
    assert layers.preprocessing.text.TextVectorization is layers.TextVectorization
    assert not hasattr(layers, "conv.none")
    assert not hasattr(layers, "")
    with pytest.raises(
        AttributeError, match="'unifront.layers': Unknown layer 'Conv2d'. Did you mean 'Conv2D'"
    ):
        _ = layers.Conv2d


def test_building_and_running_on_numpy_loads_no_framework() -> None:
    loaded = run(
        "import sys, numpy as np, unifront as uf\n"
        "x = uf.Input((3,))\n"
        "model = uf.Model(x, uf.layers.Dense(2)(x))\n"
        "model.compile('adam', 'mse')\n"
        "model.predict(np.ones((1, 3)), backend='numpy')\n"
        "model.evaluate(np.ones((1, 3)), np.ones((1, 2)), backend='numpy')\n"
        "uf.zoo.create('lenet5').graph()\n"
        "uf.load, uf.parity, uf.callbacks\n"
        "print(' '.join(sys.modules))"
    ).split()
    assert not {name.partition(".")[0] for name in loaded} & set(HEAVY)


@pytest.mark.parametrize("name", uf.__all__)
def test_every_public_name_is_there(name: str) -> None:
    assert getattr(uf, name) is not None
    assert name in dir(uf)


def test_other_names_are_not() -> None:
    with pytest.raises(AttributeError, match="module 'unifront' has no attribute 'Modle'"):
        _ = uf.Modle


@pytest.mark.parametrize("order", [TRAINABLE], ids=" ".join)
def test_frameworks_get_on_in_one_process(order: list[str]) -> None:
    """Each is imported natively, in this order, then all train the same model."""
    imports = "; ".join(f"import {name}" for name in order)
    out = run(
        f"{imports}\n"
        "import numpy as np, unifront as uf\n"
        "x = uf.Input((3,))\n"
        "model = uf.Model(x, uf.layers.Dense(2)(x))\n"
        "model.compile('sgd', 'mse')\n"
        f"for name in {order!r}:\n"
        "    model.fit(np.ones((4, 3)), np.ones((4, 2)), verbose=0, backend=name)\n"
        "print(model.optimizer.iterations)"
    )
    assert out.split()[-1] == str(len(order))


@pytest.mark.slow
@pytest.mark.parametrize("order", list(itertools.permutations(TRAINABLE)), ids=" ".join)
def test_any_order(order: tuple[str, ...]) -> None:
    test_frameworks_get_on_in_one_process(list(order))
