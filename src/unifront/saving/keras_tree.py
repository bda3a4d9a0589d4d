"""Where Keras 3 keeps a model's weights in its files: in groups that follow attributes, not names.

A layer's own weights are ``GROUP/vars/0``, ``GROUP/vars/1`` …; the layers below it lie in ``GROUP/ATTRIBUTE``, those in
a list or dict in ``GROUP/ATTRIBUTE/CLASS``, ``…/CLASS_1`` …, of a model in ``layers/CLASS`` …, where CLASS is the
class's name in snake case. Source: ``keras.src.saving.saving_lib`` (Keras 3.15).
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from unifront.layers.layer import Layer
from unifront.model import Model
from unifront.model_config import is_functional
from unifront.sequential import Sequential
from unifront.serialization import Configured
from unifront.weights import Variable

_CLASSES = {"GroupQueryAttention": "GroupedQueryAttention"}
"""Classes that are called otherwise inside Keras."""
_PRIVATE = {"GroupQueryAttention": ("query_dense", "key_dense", "value_dense", "output_dense")}
"""Attributes of ours that have an underscore before them in Keras."""
_Groups = Iterator[tuple[str, Layer, list[Variable]]]


def groups(model: Layer) -> _Groups:
    """The group of each layer in ``model`` (without the last ``/vars``), the layer, and the weights in it in order."""
    for path, layer in _walk(model, "", set()):
        yield path, layer, layer._in_files()


def _walk(layer: Layer, path: str, seen: set[int]) -> Iterator[tuple[str, Layer]]:
    if id(layer) in seen:
        return
    seen.add(id(layer))
    yield path, layer
    if isinstance(layer, Model) and (isinstance(layer, Sequential) or is_functional(layer)):
        yield from _walk_list(layer.layers, _joined(path, "layers"), seen)
    yield from _walk_attributes(layer, path, seen)


def _walk_attributes(thing: Any, path: str, seen: set[int]) -> Iterator[tuple[str, Layer]]:
    private = _PRIVATE.get(type(thing).__name__, ())
    attributes = {f"_{key}" if key in private else key: value for key, value in vars(thing).items()}
    if isinstance(thing, Model):  # its layers come among its attributes, at the place of the property
        attributes["layers"] = thing.layers
    for key in sorted(attributes, key=lambda key: f"~{key}" if key.startswith("_") else key):
        if key in ("_children", "_calls", "_order"):
            continue
        value = attributes[key]
        if isinstance(value, Layer):
            yield from _walk(value, _joined(path, key), seen)
        elif isinstance(value, list | tuple | dict):
            yield from _walk_list(value, _joined(path, key), seen)


def _walk_list(container: Any, path: str, seen: set[int]) -> Iterator[tuple[str, Layer]]:
    used: dict[str, int] = {}
    for one in container.values() if isinstance(container, dict) else container:
        is_layer, is_told = isinstance(one, Layer), isinstance(one, Configured)
        if is_layer or is_told or isinstance(one, list | tuple | dict):
            name = class_name(one) if is_layer or is_told else "container"
            used[name] = used.get(name, -1) + 1
            place = _joined(path, f"{name}_{used[name]}" if used[name] else name)
            yield from (_walk if is_layer else _walk_attributes if is_told else _walk_list)(one, place, seen)


def class_name(layer: Any) -> str:
    """What Keras calls the group of a layer of this class, or of what holds some."""
    name = type(layer).__name__
    if isinstance(layer, Model) and name == "Model":
        name = "Functional"
    name = re.sub(r"(.)([A-Z][a-z]+)", r"\1_\2", re.sub(r"\W+", "", _CLASSES.get(name, name)))
    return re.sub(r"([a-z])([A-Z])", r"\1_\2", name).lower()


def _joined(path: str, name: str) -> str:
    return f"{path}/{name}" if path else name
