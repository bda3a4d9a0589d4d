"""Layers inside layers: how they are found, named and frozen, and where each lies."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from functools import cache
from typing import TYPE_CHECKING, Any
from weakref import ref

from unifront.arguments import part_of
from unifront.errors import locate
from unifront.layers.weighted import Weighted, _joined
from unifront.opset.tensor import current_path, scope
from unifront.trace import CallContext

if TYPE_CHECKING:
    from unifront.layers.layer import Layer


@part_of("Layer")
class Nested(Weighted):
    """What a layer does with the layers that are its attributes."""

    placed: ref[Layer] | bool | None = None
    """The outermost layer that settled the weights' paths; True: for good; False: as they were before a copy."""
    _name: str | None
    _named_by_place = False
    """Whether the name is that of the attribute which the layer was first set as."""
    _known: set[int]

    @property
    def name(self) -> str:
        """The layer's own part of its path."""
        return self._name or snake_case(type(self).__name__)

    def _take_in(self, name: str, layer: Layer) -> None:
        """Name a layer that is found below an attribute, and freeze it with this one."""
        if layer._name is None:
            layer._name, layer._named_by_place = name, True
        if id(layer) not in self._known and not self.trainable:
            layer.trainable = False
        self._known.add(id(layer))

    def children(self) -> Iterator[Layer]:
        """Every child layer once, in the order they were set; lists may have grown since."""
        found: dict[int, Layer] = {}
        held = vars(self)
        for key in self._holders():
            for name, layer in layers_in(key, held.get(key)):
                self._take_in(name, layer)
                found.setdefault(id(layer), layer)
        return iter(found.values())

    def _holders(self) -> tuple[str, ...]:
        """The attributes that can have layers in them; kept until another one is set (`_note_holder`)."""
        held = vars(self)
        names = held.get(KEPT)
        if type(names) is tuple:
            return names
        mark = held[KEPT] = object()
        found = tuple(
            key
            for key, value in list(held.items())  # another thread may be setting attributes
            if isinstance(value, HOLDERS) and key not in _OTHERWISE
        )
        if held.get(KEPT) is mark:
            held[KEPT] = found
        return found

    def _note_holder(self, key: str) -> None:
        """The attribute ``key`` was set to what can have layers in it."""
        names = vars(self).get(KEPT)
        if key not in _OTHERWISE and (type(names) is not tuple or key not in names):
            vars(self)[KEPT] = None

    def walk(self, path: str = "") -> Iterator[tuple[str, Layer]]:
        """This layer, which is at ``path``, and every layer inside it: their paths and they, once, depth first."""
        found: dict[int, tuple[str, Layer]] = {}

        def visit(layer: Layer, path: str) -> None:
            if id(layer) not in found:
                found[id(layer)] = path, layer
                for child in layer.children():
                    visit(child, _joined(path, child.name))

        this: Any = self
        visit(this, path)
        return iter(found.values())

    def layers_below(self) -> Iterator[Layer]:
        """This layer and every layer inside it, once each, depth first."""
        return (layer for _, layer in self.walk())

    def place(self, path: str, owner: Layer | None = None) -> None:
        """Settle the paths of the weights below this layer, the first time it becomes part of a model, ``owner``.

        A model inside another one is part of that: its weights get new paths, which no others have.
        """
        outermost: Any = self if owner is None else owner
        below = {id(layer) for layer in self.layers_below()} - {id(outermost)}
        for place, layer in self.walk(path):
            root = layer.placed() if isinstance(layer.placed, ref) else layer.placed
            if layer.placed is None or id(root) in below:
                layer.placed = ref(outermost)
                for weight in layer._weights:
                    weight.path = _joined(place, weight.name)

    @contextmanager
    def _entered(self, context: CallContext) -> Iterator[None]:
        """A block that is this layer's: what is made inside lies below its path, and errors name it."""
        root = context.depth == 0 and self._is_root()
        context.depth += 1
        try:
            with nullcontext() if root else scope(self.name):
                try:
                    yield
                except Exception as error:
                    locate(error, current_path() or self.name)
                    raise
        finally:
            context.depth -= 1

    def _is_root(self) -> bool:
        """Whether this layer stands at the top, so that its name is not part of paths (models)."""
        return False


HOLDERS = (Nested, list, tuple, dict)
"""Of what is in an attribute, all that `layers_in` can find a layer in; most are none of these."""

KEPT = "_holder_names"
_OTHERWISE = frozenset(
    (
        "_weights", "_first", "_built_for", "_input_types", "_tracings", "_calls", "_order", "programs", "metadata",
        "output_types",
    )
)  # fmt: skip
"""Of these holders, what a layer and a model keep for themselves; layers in them are no parts of it."""


def is_torch_module(value: Any) -> bool:
    """Whether it is a ``torch.nn.Module``, as far as can be told without PyTorch."""
    return hasattr(type(value), "named_buffers") and any(
        base.__module__ == "torch.nn.modules.module" for base in type(value).__mro__
    )


def layers_in(name: str, value: Any) -> Iterator[tuple[str, Layer]]:
    """Every layer in an attribute ``name``, also in lists, tuples and dicts, with what it is called there."""
    match value:
        case Nested():
            layer: Any = value
            yield name, layer
        case list() | tuple():
            for i, item in enumerate(list(value)):
                if isinstance(item, HOLDERS):
                    yield from layers_in(f"{name}_{i}", item)
        case dict():
            for key, item in list(value.items()):  # another thread may be filling it
                if isinstance(item, HOLDERS):
                    yield from layers_in(f"{name}_{key}", item)


@cache
def snake_case(name: str) -> str:
    """``Conv2D`` → ``conv2d``, ``ConvLSTM2D`` → ``conv_lstm2d`` (as Keras names layers)."""
    name = re.sub(r"(.)([A-Z][a-z]+)", r"\1_\2", name)
    return re.sub(r"([a-z])([A-Z])", r"\1_\2", name).lower()
