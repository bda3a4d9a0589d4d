"""A model's layout changed between channels-last and channels-first, with its weights.

Every tensor of the new model stands for one of the old: as it was, or with its channels moved. A layer with a
``data_format``, an elementwise one or one with an axis takes moved tensors and is told so; before any other the
channels are moved back, so that whatever it does means the same.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Annotated, Any

from unifront import ops, tree
from unifront.activations import name_of
from unifront.arguments import checked, one_of
from unifront.errors import ArgumentError
from unifront.ir.facts import Order, inverse, to_channels_first
from unifront.layers.activations import ELU, Activation, LeakyReLU, ReLU, Softmax
from unifront.layers.core import Flatten
from unifront.layers.input import Input, InputTensor
from unifront.layers.layer import Layer
from unifront.layers.merge import Add, Average, Concatenate, Maximum, Minimum, Multiply, Subtract
from unifront.layers.normalization import (
    BatchNormalization,
    GroupNormalization,
    LayerNormalization,
    RMSNormalization,
    UnitNormalization,
)
from unifront.layers.passing import Identity
from unifront.layers.regularization import ActivityRegularization, Dropout, GaussianDropout, GaussianNoise
from unifront.model import Model
from unifront.model_config import is_functional
from unifront.opset.data_format import DATA_FORMATS
from unifront.opset.spec import OPS
from unifront.opset.tensor import Call, Symbolic, bind, type_of
from unifront.sequential import Sequential

ELEMENTWISE = (
    ELU, LeakyReLU, ReLU, Activation, Identity, Add, Average, Maximum, Minimum, Multiply, Subtract,
    ActivityRegularization, Dropout, GaussianDropout, GaussianNoise,
)  # fmt: skip
"""Layers that do the same to every element, unless an argument says otherwise."""
WITH_AXIS = (
    BatchNormalization, Concatenate, GroupNormalization, LayerNormalization, RMSNormalization, Softmax,
    UnitNormalization,
)  # fmt: skip
"""Layers with an ``axis``; the weights of one axis do not change when it moves."""


@checked
def with_data_format(model: Model, data_format: Annotated[str, one_of(DATA_FORMATS)]) -> Model:
    """A model of new layers that computes what ``model`` does on data of the other layout, with its weights.

    Args:
        model: a functional model, or a `Sequential` whose input is known.
        data_format: ``"channels_first"`` or ``"channels_last"``, which all layers that have one get.

    Returns:
        A functional model. Its inputs with channels, those that convolutions, pooling and their like see, are of the
        new layout, and so are outputs that have them still. Weights are equal, in the same order: kernels do not
        depend on the layout. Axes follow; where a layer works on axes that cannot (a `Flatten` of channels-last data,
        a `Reshape`, a `Dense` or softmax over the channels, a function of your own) a transposition stands before it.

    Raises `ArgumentError` for a model that is neither, or whose input is not known.

    Example::

        last = uf.Sequential([uf.Input((8, 8, 3)), layers.Conv2D(4, 3)])
        first = uf.models.with_data_format(last, "channels_first")
        assert first.output_shape == (None, 4, 6, 6)
    """
    if not model._calls or not (is_functional(model) or isinstance(model, Sequential)):
        raise ArgumentError(
            f"with_data_format: {model.name!r} is a {type(model).__name__} that does not say how its layers are "
            "connected. A functional model does, and a Sequential with an uf.Input."
        )
    made = _Moving(data_format, {}).model(model).model
    made.set_weights(model.get_weights())
    return made


@dataclass(frozen=True)
class _Moved:
    """A model in the new layout, and which of its inputs and outputs have moved."""

    model: Model
    inputs: Sequence[bool]
    outputs: Sequence[bool]


@dataclass
class _Moving:
    data_format: str
    made: dict[Any, Any] = field(default_factory=dict)
    """The new layers by the identity of the old ones and of what they were told."""

    def model(self, model: Model) -> _Moved:
        """``model`` in the new layout; the same one however often it is asked for."""
        if id(model) not in self.made:
            self.made[id(model)] = self._model(model)
        found: _Moved = self.made[id(model)]
        return found

    def _model(self, model: Model) -> _Moved:
        wanted = self._wanted(model)
        known: dict[tuple[int, int], tuple[Any, bool]] = {}
        for leaf in model.inputs:
            moved = _key(leaf) in wanted
            known[_key(leaf)] = (self._input(leaf, moved), moved)
        for call in model._calls:
            results, moved = self._call(call, known)
            for index, one in enumerate(tree.leaves(results)):
                known[id(call), index] = (one, moved[index] if isinstance(moved, list) else moved)

        def new(leaf: Any) -> Any:
            return known[_key(leaf)][0]

        made = Model(
            tree.map_leaves(new, model._inputs), tree.map_leaves(new, model._outputs), name=model.name,
            trainable=model.trainable,
        )  # fmt: skip
        return _Moved(
            made,
            [known[_key(one)][1] for one in model.inputs],
            [known[_key(one)][1] for one in model.outputs],
        )

    def _wanted(self, model: Model) -> set[tuple[int, int]]:
        """The tensors that layers want moved, directly or through layers that pass it on."""
        wanted: set[tuple[int, int]] = set()
        for call in reversed(model._calls):
            sources = _tensors(call)
            if isinstance(call.function, Model) and call.function._calls:
                flags = self.model(call.function).inputs
                wanted |= {_key(one) for one, flag in zip(sources, flags, strict=True) if flag}
            elif self._changes(call.function) or (
                _passes(call) and any(one[0] == id(call) for one in wanted)
            ):
                rank = max((type_of(one).rank for one in sources), default=0)
                wanted |= {_key(one) for one in sources if type_of(one).rank == rank > 2}
        return wanted

    def _changes(self, function: Any) -> bool:
        """Whether a layer has another ``data_format`` today, and may have the new one."""
        ours = isinstance(function, Layer) and type(function).__module__.startswith("unifront.")
        if not ours or not hasattr(function, "rank") or getattr(function, "padding", None) == "causal":
            return False
        plain = _is_elementwise(getattr(function, "activation", None))
        return plain and getattr(function, "data_format", self.data_format) != self.data_format

    def _input(self, leaf: InputTensor, moved: bool) -> InputTensor:
        shape = leaf.layer.batch_shape
        if moved:
            shape = tuple(shape[axis] for axis in self._order(len(shape)))
        return Input(batch_shape=shape, dtype=leaf.dtype, name=leaf.name or None)

    def _order(self, rank: int) -> Order:
        """The axes of the old layout in the order of the new one."""
        first = to_channels_first(rank)
        return first if self.data_format == "channels_first" else inverse(first)

    def _as(self, found: tuple[Any, bool], moved: bool) -> Any:
        tensor, has_moved = found
        if has_moved == moved:
            return tensor
        order = self._order(type_of(tensor).rank)
        return ops.transpose(tensor, order if moved else inverse(order))

    def _call(self, call: Call, known: dict[tuple[int, int], tuple[Any, bool]]) -> tuple[Any, Any]:
        """A call made again: its results, and whether they have moved."""
        function: Any = call.function
        sources = _tensors(call)
        if isinstance(function, Model) and function._calls:
            nested = self.model(function)
            flags = dict(zip(map(_key, sources), nested.inputs, strict=True))
            return self._again(call, nested.model, known, flags), list(nested.outputs)
        ranks = [type_of(one).rank for one in sources]
        any_moved = any(known[_key(one)][1] for one in sources)
        if self._changes(function):
            return self._moved_call(
                call, self._layer(function, {"data_format": self.data_format}), known, ranks[0]
            )
        if any_moved and isinstance(function, Flatten) and function.data_format != self.data_format:
            layer = self._layer(function, {"data_format": self.data_format})
            return self._again(call, layer, known, dict.fromkeys(map(_key, sources), True)), False
        if any_moved and _passes(call) and len(set(ranks)) == 1:
            change = {}
            if type(function) in WITH_AXIS:
                axis = function.axis if isinstance(function.axis, int) else function.axis[0]
                change = {"axis": self._order(ranks[0]).index(axis % ranks[0])}
            return self._moved_call(call, self._layer(function, change), known, ranks[0])
        return self._again(
            call, self._layer(function, {}), known, dict.fromkeys(map(_key, sources), False)
        ), False

    def _moved_call(self, call: Call, layer: Any, known: Any, rank: int) -> tuple[Any, bool]:
        results = self._again(call, layer, known, dict.fromkeys(map(_key, _tensors(call)), True))
        return results, type_of(tree.leaves(results)[0]).rank == rank

    def _again(self, call: Call, function: Any, known: Any, moved: dict[tuple[int, int], bool]) -> Any:
        def value(leaf: Any) -> Any:
            return self._as(known[_key(leaf)], moved[_key(leaf)]) if isinstance(leaf, Symbolic) else leaf

        return function(*tree.map_leaves(value, call.args), **tree.map_leaves(value, dict(call.kwargs)))

    def _layer(self, function: Any, change: dict[str, Any]) -> Any:
        """A new layer like the one that is called, but for ``change``; a function itself."""
        if not isinstance(function, Layer):
            return function
        key = (id(function), *sorted(change.items()))
        if key not in self.made:
            self.made[key] = type(function).from_config({**function.get_config(), **change})
        return self.made[key]


def _key(tensor: Symbolic) -> tuple[int, int]:
    return (id(tensor), 0) if tensor.call is None else (id(tensor.call), tensor.index)


def _tensors(call: Call) -> list[Symbolic]:
    return [one for one in tree.leaves([call.args, dict(call.kwargs)]) if isinstance(one, Symbolic)]


def _is_elementwise(activation: Any) -> bool:
    """Whether an activation is known to work element by element."""
    name = None if activation is None else name_of(activation)
    return activation is None or name == "linear" or (name in OPS and OPS[name].facts.elementwise)


def _passes(call: Call) -> bool:
    """Whether what is called may run on moved tensors, and gives such."""
    function: Any = call.function
    if function is bind:
        return OPS[call.args[0].name].facts.elementwise
    if type(function) in WITH_AXIS:
        axis = function.axis
        return isinstance(axis, int) or len(axis) == 1
    return (
        type(function) in ELEMENTWISE
        and getattr(function, "noise_shape", None) is None
        and _is_elementwise(getattr(function, "activation", None))
    )
