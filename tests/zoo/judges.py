"""Weights of Keras models and torch modules put into models of the zoo, layer by layer, and outputs compared."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from torch import nn

import unifront as uf
from tests.models import TRAINABLE
from tests.zoo.modern_judges import check_same, drawn, fan_in, shapes


def from_keras(judge: Any, model: uf.Model) -> None:
    """Random weights into a Keras model, and the same ones into ours, by layer name; all of them."""
    assert shapes(model) == shapes(judge)
    sizes = [(tuple(weight.shape), weight.path) for weight in judge.weights]
    judge.set_weights([drawn(shape, fan_in(shape, path), i) for i, (shape, path) in enumerate(sizes)])
    for layer in judge.layers:
        if layer.weights:
            model.get_layer(layer.name).set_weights(layer.get_weights())


def randomize(module: nn.Module) -> nn.Module:
    """Weights that keep the size of what passes through, and statistics other than at the start; `eval` mode."""
    with torch.no_grad():
        for i, value in enumerate([*module.parameters(), *module.buffers()]):
            if value.dtype == torch.float32:
                shape = tuple(value.shape)
                value.copy_(torch.from_numpy(drawn(shape, math.prod(shape[1:]), i)))
    return module.eval()


def from_torch(module: nn.Module, model: uf.Model, names: Mapping[str, str | None]) -> None:
    """A torch module's weights into ours by the map ``names``, which must name all modules that have any."""
    modules = {path: one for path, one in module.named_modules() if list(one.parameters(recurse=False))}
    assert set(modules) <= set(names)
    taken = {names[path] for path in modules} - {None}
    assert taken == {layer.name for layer in model.layers if layer.weights}
    separable: dict[str, list[np.ndarray]] = {}
    for path, part in modules.items():
        name = names[path]
        if name is None:
            continue
        layer = model.get_layer(name)
        weight = part.weight.detach().numpy()
        if isinstance(part, nn.BatchNorm2d):
            found = (
                weight,
                *(value.detach().numpy() for value in (part.bias, part.running_mean, part.running_var)),
            )
        elif isinstance(layer, uf.layers.SeparableConv2D):  # two modules there
            separable.setdefault(name, []).append(
                weight.transpose(2, 3, 0, 1) if part.groups > 1 else weight.transpose(2, 3, 1, 0)
            )
            found = tuple(separable[name])
            if len(found) < 2:
                continue
        elif isinstance(part, nn.Conv2d) and isinstance(layer, uf.layers.Conv2D):
            found = (weight.transpose(2, 3, 1, 0),)
        else:
            found = (_rows_as_here(weight.reshape(len(weight), -1), model, layer).T,)
        if isinstance(part, nn.Conv2d | nn.Linear) and part.bias is not None:
            found += (part.bias.detach().numpy(),)
        layer.set_weights([value.astype("float32") for value in found])


def _rows_as_here(weight: np.ndarray, model: uf.Model, layer: Any) -> np.ndarray:
    """Columns of a dense layer behind a flatten in the order height, width, channel."""
    before = model.layers[model.layers.index(layer) - 1]
    while isinstance(before, uf.layers.Dropout):
        before = model.layers[model.layers.index(before) - 1]
    if not isinstance(before, uf.layers.Flatten):
        return weight
    height, width, channels = before.input.shape[1:]
    units = len(weight)
    return weight.reshape(units, channels, height, width).transpose(0, 2, 3, 1).reshape(units, -1)


def assert_same_as_torch(module: nn.Module, model: uf.Model, shape: tuple[int, ...]) -> None:
    """Logits (ours: a model built with ``classifier_activation=None``) of the same images of ``shape``."""
    x = np.random.default_rng(1).normal(size=shape).astype("float32")
    with torch.no_grad():
        expected = module(torch.from_numpy(x.transpose(0, 3, 1, 2).copy())).numpy()
    check_same(model.predict(x, backend=TRAINABLE[-1], verbose=0), expected)
