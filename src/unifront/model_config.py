"""Models as plain data, in the form that Keras 3 gives them: layers, and how they are connected."""

from __future__ import annotations

import inspect
import itertools
import json
import operator
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from unifront import ops, tree
from unifront.arguments import checked, shown
from unifront.errors import ArgumentError, UnifrontError, UnknownName
from unifront.ir.dims import DimExpr
from unifront.layers.configs import inner, inner_from, layer_from
from unifront.layers.input import InputLayer, InputTensor
from unifront.layers.layer import Layer
from unifront.model import Model
from unifront.opset.arrays import host_array
from unifront.opset.spec import OPS, OpSpec
from unifront.opset.tensor import Call, Symbolic, bind
from unifront.sequential import Sequential
from unifront.serialization import (
    array_config,
    deserialize_keras_object,
    making,
    serialize_keras_object,
)

OPERATION = "unifront.opset"
FUNCTION = "unifront.ops"
"""The ``module`` of a call that is no layer's, in descriptions: of an operation, of a function of `unifront.ops`."""
SPACES = ("image", "linalg", "nn")
"""Namespaces in that with names of their own."""


def is_functional(model: Any) -> bool:
    """Whether ``model`` is told by its layers and their connections, not by its constructor's arguments."""
    return isinstance(model, Model) and not isinstance(model, Sequential) and model._inputs is not None


# ---------------------------------------------------------------- describing


def functional_config(model: Model) -> dict[str, Any]:
    """The config of a functional model: its layers with the calls of each, its inputs and outputs."""
    names = _Names(model)
    layers: dict[str, dict[str, Any]] = {}
    for one in model._order:
        if isinstance(one, InputTensor):
            layer = model._input_layer(one)
            layers[layer.name] = {**inner(layer), "name": layer.name, "inbound_nodes": []}
        else:
            layer = model._children[one]
            layers[one] = {**inner(layer), "name": one, "inbound_nodes": []}
    for call in model._calls:
        name = names.of(call)
        if not isinstance(call.function, Layer):
            layers[name] = {**_told_operation(call), "name": name, "inbound_nodes": []}
        args = tree.map_leaves(_told_number, call.args[1:]) if call.function is bind else call.args
        node = {
            what: serialize_keras_object(tree.map_leaves(names.tensor, given))
            for what, given in (("args", args), ("kwargs", dict(call.kwargs)))
        }
        layers[name]["inbound_nodes"].append(node)
    return {
        "name": model.name,
        "trainable": model.trainable,
        "layers": list(layers.values()),
        "input_layers": tree.map_leaves(names.end, model._inputs),
        "output_layers": tree.map_leaves(names.end, model._outputs),
    }


def _told_operation(call: Call) -> dict[str, Any]:
    name = call.args[0].name if call.function is bind else _public(call.function)
    if name is None or "regions" in call.kwargs:
        called = getattr(call.function, "__name__", repr(call.function))
        raise ArgumentError(
            f"The call of {called} between the layers of a model cannot be told as plain data. Put it into a layer, or "
            "save the model as .uf, which holds its graph."
        )
    module = OPERATION if call.function is bind else FUNCTION
    return {"module": module, "class_name": "function", "config": name, "registered_name": None}


def _told_number(operand: Any) -> Any:
    """A number that met a tensor in its dtype, with that: as Python's it would be read as float32 or int32."""
    alone = isinstance(operand, np.ndarray) and operand.ndim == 0
    return array_config(operand) if alone and host_array(operand.item()).dtype != operand.dtype else operand


def _public(function: Any) -> str | None:
    """The name under which ``function`` is in `unifront.ops`, if it is."""
    name = getattr(function, "__name__", "")
    for place in (name, *(f"{space}.{name}" for space in SPACES)):
        found = _operation_called(place)
        if found is not None and inspect.unwrap(found) is inspect.unwrap(function):
            return place
    return None


def _operation_called(place: str) -> Any:
    """The function of `unifront.ops` called so, or so in one of its namespaces (``image.resize``); None if none is."""
    space, _, name = place.rpartition(".")
    module = getattr(ops, space) if space in SPACES else ops
    return getattr(module, name) if name in module.__all__ else None


class _Names:
    """What the calls of a model are named by: the layer, or the operation and a number; and the how-manieth it is."""

    def __init__(self, model: Model) -> None:
        self._input_names = {id(leaf): model._input_layer(leaf).name for leaf in model.inputs}
        taken = {*self._input_names.values(), *model._children}
        self._names: dict[int, tuple[str, int]] = {}
        done: dict[str, int] = {}
        for call in model._calls:
            if isinstance(call.function, Layer):
                name = call.function.name
            else:
                base = call.args[0].name if call.function is bind else call.function.__name__
                name, number = base, 0
                while name in taken:
                    number += 1
                    name = f"{base}_{number}"
                taken.add(name)
            self._names[id(call)] = (name, done.get(name, 0))
            done[name] = done.get(name, 0) + 1

    def of(self, call: Call) -> str:
        return self._names[id(call)][0]

    def history(self, tensor: Any) -> list[Any]:
        """``[layer's name, number of the call, number of the result]`` (Keras)."""
        if tensor.call is None:
            return [self._input_names[id(tensor)], 0, 0]
        return [*self._names[id(tensor.call)], tensor.index]

    def end(self, tensor: Any) -> list[Any]:
        """Likewise of an input or output of the model; there Keras counts the making of a model inside as a call."""
        name, number, index = self.history(tensor)
        made = tensor.call is not None and is_functional(tensor.call.function)
        return [name, number + made, index]

    def tensor(self, leaf: Any) -> Any:
        if not isinstance(leaf, Symbolic):
            return leaf
        config = {
            "shape": [None if isinstance(dim, DimExpr) else dim for dim in leaf.shape],
            "dtype": leaf.dtype.name,
            "keras_history": self.history(leaf),
        }
        return {"class_name": "__keras_tensor__", "config": config}


def sequential_config(model: Sequential) -> dict[str, Any]:
    """The config of a `Sequential`: its layers, first that of the input if it is known."""
    source = [model._source.layer] if model._source is not None else []
    return {
        "name": model.name,
        "trainable": model.trainable,
        "layers": [inner(layer) for layer in (*source, *model.layers)],
    }


# ---------------------------------------------------------------- reading


def sequential_from(cls: type[Sequential], config: Mapping[str, Any]) -> Sequential:
    """The model that `sequential_config` described, here or in Keras."""
    with making(Sequential, config):
        made = cls(name=config.get("name"), trainable=config.get("trainable", True))
        for one in _list_of(config, "layers"):
            made.add(layer_from(one))
        shape = config.get("build_input_shape")
        if shape is not None and made._source is None:
            made.build(tuple(shape))
        return made


def functional_from(cls: type[Model], config: Mapping[str, Any]) -> Model:
    """The model that `functional_config` described, here or in Keras.

    Raises `ArgumentError` where the calls do not lead from the inputs to the outputs, or go round in circles.
    """
    with making(Model, config):
        made = _Made([_entry(one) for one in _list_of(config, "layers")])
        made.call_all()
        inputs, outputs = (made.tensors(config.get(what)) for what in ("input_layers", "output_layers"))
        more = {
            k: v for k, v in config.items() if k not in ("layers", "input_layers", "output_layers", "dtype")
        }
        return cls(inputs=inputs, outputs=outputs, **{"name": None, "trainable": True, **more})


def _list_of(config: Mapping[str, Any], what: str) -> Sequence[Any]:
    found = config.get(what)
    if not isinstance(found, list | tuple):
        raise ArgumentError(f"The config of a model has a list of {what}, not {shown(found)}.")
    return found


def _entry(one: Any) -> Mapping[str, Any]:
    if not isinstance(one, dict) or not isinstance(one.get("name"), str):
        raise ArgumentError(f"A layer of a model is described by a dict with its name, not by {shown(one)}.")
    return one


class _Made:
    """The layers of a described model, and the tensors that their calls gave so far."""

    def __init__(self, entries: Sequence[Mapping[str, Any]]) -> None:
        self.makers: dict[str, Any] = {}
        self.nodes: dict[str, list[Any]] = {}
        self.results: dict[str, list[list[Any]]] = {}
        for entry in entries:
            name = entry["name"]
            maker = _maker(entry)
            self.makers[name], self.nodes[name] = maker, list(entry.get("inbound_nodes") or ())
            self.results[name] = [[maker.output]] if isinstance(maker, InputLayer) else []

    def call_all(self) -> None:
        """Make each call as soon as there are the tensors it takes."""
        waiting = {name: nodes for name, nodes in self.nodes.items() if nodes}
        while waiting:
            before = sum(map(len, waiting.values()))
            for name, nodes in list(waiting.items()):
                while nodes and (given := self._given(nodes[0])) is not None:
                    args, kwargs = given
                    self.results[name].append(tree.leaves(self.makers[name](*args, **kwargs)))
                    nodes.pop(0)
                if not nodes:
                    del waiting[name]
            if sum(map(len, waiting.values())) == before:
                raise ArgumentError(
                    f"The calls of {', '.join(waiting)} wait for tensors that no layer gives: the model has a loop or "
                    "lacks a layer."
                )

    def _given(self, node: Any) -> tuple[Any, Any] | None:
        """Arguments of a call; None while one of its tensors is not there yet."""
        if isinstance(node, list):  # the form of Keras 2
            tensors = [_history_tensor(one[:3]) for one in node]
            options: Any = next((one[3] for one in node if len(one) > 3), {})
            node = {"args": [tensors if len(tensors) > 1 else tensors[0]], "kwargs": options}
        if not isinstance(node, dict):
            raise ArgumentError(f"A call is described by its args and kwargs, not by {shown(node)}.")
        args, kwargs = _kept_tensors(node.get("args", [])), _kept_tensors(node.get("kwargs", {}))
        kwargs = {
            name: one for name, one in kwargs.items() if one is not None or name not in ("mask", "training")
        }
        found = [self._tensor(leaf.history) for leaf in _histories([args, kwargs])]
        sized = any(isinstance(leaf, DimExpr) for leaf in tree.leaves([args, kwargs]))
        if not found and not sized:  # it would run at once, on whatever backend is the default
            raise ArgumentError(
                f"A call in a model takes a tensor of the model; that of {shown(node)} takes none."
            )
        if any(one is None for one in found):
            return None
        fill = iter(found)

        def filled(leaf: Any) -> Any:
            return next(fill) if isinstance(leaf, _History) else leaf

        return tree.map_leaves(filled, args), tree.map_leaves(filled, kwargs)

    def _tensor(self, history: Any) -> Any:
        try:
            name, number, index = history
            made = self.results.get(name)
            number, index = operator.index(number), operator.index(index)
        except (TypeError, ValueError):
            raise ArgumentError(
                f"A tensor is named by a layer of the model and two numbers, not by {shown(history)}."
            ) from None
        if made is None:
            what = shown(name).strip("'")
            raise ArgumentError(
                f"Missing node: {what}. The tensor {shown(history)} is named by a layer that there is not."
            )
        return made[number][index] if 0 <= number < len(made) and 0 <= index < len(made[number]) else None

    def tensors(self, structure: Any) -> Any:
        """The tensors that a structure of ``[name, number, number]`` means."""
        if isinstance(structure, list) and len(structure) == 3 and isinstance(structure[1], int):
            name, number, index = structure
            found = self._tensor([name, number - is_functional(self.makers.get(name)), index])
            if found is None:
                raise ArgumentError(f"No layer of the model gives the tensor {shown(structure)}.")
            return found
        if isinstance(structure, dict):
            return {key: self.tensors(one) for key, one in structure.items()}
        if isinstance(structure, list | tuple):
            return type(structure)(self.tensors(one) for one in structure)
        raise ArgumentError(f"Inputs and outputs of a model are named by layers, not by {shown(structure)}.")


class _History:
    """Stands for a tensor among the arguments of a call."""

    def __init__(self, history: Any) -> None:
        self.history = history


def _history_tensor(history: Any) -> dict[str, Any]:
    return {"class_name": "__keras_tensor__", "config": {"keras_history": history}}


def _histories(structure: Any) -> Iterator[_History]:
    return (leaf for leaf in tree.leaves(structure) if isinstance(leaf, _History))


def _kept_tensors(described: Any) -> Any:
    match described:
        case {"class_name": "__keras_tensor__", "config": dict(config)}:
            return _History(config.get("keras_history"))
        case {"class_name": str(), "config": _}:
            return deserialize_keras_object(described)
        case dict():
            return {key: _kept_tensors(one) for key, one in described.items()}
        case list() | tuple():
            return [_kept_tensors(one) for one in described]
    return described


def _maker(entry: Mapping[str, Any]) -> Callable[..., Any]:
    """The layer, or the operation, that an entry of a model describes."""
    if entry.get("module") == OPERATION:
        return _operation(entry.get("config"))
    if entry.get("module") == FUNCTION:
        return _function(entry.get("config"))
    module = str(entry.get("module"))
    if module.startswith(("keras.src.ops", "keras.ops")):
        return _keras_operation(entry)
    layer = layer_from({key: entry[key] for key in entry if key not in ("name", "inbound_nodes")}, inner_from)
    if layer._name is None:
        layer._name = entry["name"]
    return layer


def _operation(name: Any) -> Callable[..., Any]:
    if name not in OPS:
        raise UnknownName("operation", name, OPS)
    spec: OpSpec = OPS[name]

    def call(*operands: Any, **attributes: Any) -> Any:
        return bind(spec, *operands, **{key: _attribute(spec, key, one) for key, one in attributes.items()})

    return call


def _function(name: Any) -> Callable[..., Any]:
    function = _operation_called(str(name))
    if function is None:
        raise UnknownName("operation", name, ops.__all__)
    return lambda *args, **kwargs: function(
        *_keys(args), **{key: _tuples(one) for key, one in kwargs.items()}
    )


def _keys(args: Sequence[Any]) -> list[Any]:
    """JSON has lists where keys of tensors, shapes and axes are tuples; lists of tensors stay lists."""
    holds = [any(isinstance(leaf, Symbolic) for leaf in tree.leaves(arg)) for arg in args]
    return [arg if held else _tuples(arg) for arg, held in zip(args, holds, strict=True)]


def _attribute(spec: OpSpec, name: str, value: Any) -> Any:
    """JSON has lists where attributes are tuples."""
    kinds = spec.attributes.get(name)
    wants = kinds is tuple or (isinstance(kinds, tuple) and tuple in kinds)
    return _tuples(value) if wants else value


def _tuples(value: Any) -> Any:
    return tuple(map(_tuples, value)) if isinstance(value, list | tuple) else value


def _keras_operation(entry: Mapping[str, Any]) -> Callable[..., Any]:
    """The function that a class of Keras's operations (``Add``, ``GetItem``) belongs to."""
    from unifront.layers.nesting import snake_case

    cls, config = str(entry.get("class_name")), dict(entry.get("config") or {})
    if cls == "GetItem":
        return _function("get_item")
    space, name = str(entry.get("module")).rpartition(".")[2], snake_case(cls)
    function = _operation_called(f"{space}.{name}") or _operation_called(name)
    if function is None:
        raise UnknownName("operation", cls, ops.__all__)
    takes = list(inspect.signature(function).parameters)
    options = {key: _tuples(value) for key, value in config.items() if key in takes}
    first = [
        options.pop(name) for name in itertools.takewhile(options.copy().__contains__, takes)
    ]  # of an einsum
    return lambda *args, **kwargs: function(*first, *args, **{**options, **kwargs})


# ---------------------------------------------------------------- JSON


def to_json(model: Model, **options: Any) -> str:
    """See `Model.to_json`."""
    return json.dumps(serialize_keras_object(model), **options)


@checked
def model_from_json(json_string: str, custom_objects: Mapping[str, Any] | None = None) -> Model:
    """A new model, with fresh weights, from what `Model.to_json` gave, here or in Keras 3.

    Args:
        json_string: the text. It holds no code, and what it names is not imported.
        custom_objects: classes and functions by name, beside those registered.

    Raises `ArgumentError` for a text that describes no model, `UnknownName` for a class that is not known.

    Example::

        again = uf.models.model_from_json(model.to_json())
    """
    try:
        config = json.loads(json_string)
        made = deserialize_keras_object(config, custom_objects)
    except RecursionError:
        raise ArgumentError("The text nests deeper than a model does.") from None
    except ValueError as error:
        if isinstance(error, UnifrontError):
            raise
        raise ArgumentError(f"The text is no JSON: {error}.") from None
    if not isinstance(made, Model):
        raise ArgumentError(f"The text describes a {type(made).__name__}, not a model.")
    return made
