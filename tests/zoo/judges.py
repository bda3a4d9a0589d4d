"""Weights of Keras models and torch modules put into models of the zoo, layer by layer, and outputs compared."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from torch import nn

import unifront as uf
from tests.models import TRAINABLE
from unifront.testing import difference


def from_keras(judge: Any, model: uf.Model) -> None:
    """Random weights into a Keras model, and the same ones into ours, by layer name; all of them."""
    rng = np.random.default_rng(0)
    ours = {layer.name: layer for layer in model.layers if layer.weights}
    theirs = {layer.name: layer for layer in judge.layers if layer.weights}
    assert list(ours) == list(theirs)
    for name, layer in theirs.items():
        values = layer.get_weights()
        if "batch_normalization" in type(layer).__name__.lower() or "BatchNorm" in type(layer).__name__:
            values = [value + 0.2 * rng.random(value.shape).astype("float32") for value in values]
        layer.set_weights(values)
        ours[name].set_weights(values)


def randomize(module: nn.Module) -> nn.Module:
    """Statistics and scales other than those at the start, so that they count; `eval` mode."""
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for part in module.modules():
            if isinstance(part, nn.BatchNorm2d):
                for value in (part.weight, part.bias, part.running_mean, part.running_var):
                    value.add_(0.2 * torch.rand(value.shape, generator=generator))
            elif isinstance(part, nn.Conv2d | nn.Linear) and part.bias is not None:
                part.bias.uniform_(-0.1, 0.1, generator=generator)
    return module.eval()


def from_torch(module: nn.Module, model: uf.Model, names: Mapping[str, str]) -> None:
    """A torch module's weights into ours by the map ``names``, which must name all modules that have any."""
    modules = {
        path: one for path, one in module.named_modules() if one.state_dict() and not list(one.children())
    }
    assert set(names) == set(modules)
    assert sorted(names.values()) == sorted(layer.name for layer in model.layers if layer.weights)
    for path, name in names.items():
        part, layer = modules[path], model.get_layer(name)
        weight = part.weight.detach().numpy()
        if isinstance(part, nn.BatchNorm2d):
            found = (
                weight,
                *(value.detach().numpy() for value in (part.bias, part.running_mean, part.running_var)),
            )
        elif isinstance(part, nn.Conv2d):
            found = (weight.transpose(2, 3, 1, 0),)
        else:
            found = (_rows_as_here(weight, model, layer).T,)
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


def assert_same_as_torch(
    module: nn.Module, model: uf.Model, shape: tuple[int, ...], *, bound: float = 1e-4
) -> None:
    """Logits (ours: a model built with ``classifier_activation=None``) of the same images of ``shape``."""
    x = np.random.default_rng(1).normal(size=shape).astype("float32")
    with torch.no_grad():
        expected = module(torch.from_numpy(x.transpose(0, 3, 1, 2).copy())).numpy()
    assert difference(model.predict(x, backend=TRAINABLE[-1], verbose=0), expected) < bound
