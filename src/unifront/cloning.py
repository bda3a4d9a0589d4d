"""`clone_model`: a model of new layers, connected and compiled as another one is."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

from unifront import tree
from unifront.arguments import checked
from unifront.errors import ArgumentError
from unifront.functional import replay
from unifront.layers.input import Input, InputTensor
from unifront.layers.layer import Layer
from unifront.model import Model
from unifront.model_config import is_functional
from unifront.opset.tensor import Symbolic
from unifront.sequential import Sequential
from unifront.serialization import CustomObjectScope
from unifront.stepwise import COMPILED
from unifront.trained import Trained


@checked
def clone_model(
    model: Model,
    input_tensors: Any = None,
    clone_function: Callable[..., Any] | None = None,
    call_function: Callable[..., Any] | None = None,
    recursive: bool = False,
) -> Model:
    """A model of new layers, with fresh weights, connected as those of ``model``, and compiled as it is, if it is: with
    an optimizer and metrics of its own.

    Args:
        model: a functional model or a `Sequential`; of another class, one that `from_config` makes again.
        input_tensors: `Input` tensors to begin with, in the structure of the model's; new ones unless given.
        clone_function: ``(layer) -> layer``, what stands in for each layer but inputs.
        call_function: ``(layer, *args, **kwargs) -> tensors``, how each is called; of functional models only.
        recursive: whether models inside are cloned layer by layer too.

    Raises `ArgumentError` for arguments that such a model does not take. Source: ``keras.models.clone_model``.

    Example::

        again = uf.models.clone_model(model)
    """
    return _Cloning(clone_function, call_function, recursive).model(model, input_tensors)


class _Cloning:
    def __init__(self, clone: Any, call: Any, recursive: bool) -> None:
        self.clone, self.call, self.recursive = clone, call, recursive
        self.done: dict[int, Any] = {}

    def model(self, model: Model, input_tensors: Any = None) -> Model:
        if isinstance(model, Sequential):
            if self.call is not None:
                raise ArgumentError(
                    "clone_model: call_function is for functional models; Sequential only lists layers."
                )
            return compiled_as(self._sequential(model, input_tensors), model)
        if is_functional(model):
            return compiled_as(self._functional(model, input_tensors), model)
        if self.clone is not None or self.call is not None or input_tensors is not None:
            raise ArgumentError(
                "clone_model: clone_function, call_function and input_tensors are for functional models and "
                f"Sequential; {model.name!r} is a {type(model).__name__}."
            )
        with CustomObjectScope({type(model).__name__: type(model)}):
            return type(model).from_config(model.get_config())

    def layer(self, layer: Layer) -> Any:
        if id(layer) not in self.done:
            if self.recursive and isinstance(layer, Model):
                self.done[id(layer)] = _Cloning(
                    self.clone, None if isinstance(layer, Sequential) else self.call, True
                ).model(layer)
            else:
                made = (
                    self.clone(layer)
                    if self.clone is not None
                    else type(layer).from_config(layer.get_config())
                )
                self.done[id(layer)] = made
        return self.done[id(layer)]

    def _sequential(self, model: Sequential, input_tensors: Any) -> Sequential:
        given = tree.leaves(input_tensors) if input_tensors is not None else []
        if len(given) > 1 or not all(isinstance(one, InputTensor) for one in given):
            raise ArgumentError("clone_model: input_tensors of a Sequential is one uf.Input tensor.")
        source = given or ([_again(model._source)] if model._source is not None else [])
        layers = [*source, *map(self.layer, model.layers)]
        return Sequential(layers, name=model.name, trainable=model.trainable)

    def _functional(self, model: Model, input_tensors: Any) -> Model:
        if input_tensors is None:
            input_tensors = tree.map_leaves(_again, model._inputs)
        given = tree.leaves(input_tensors)
        if _shape_of(input_tensors) != _shape_of(model._inputs):
            raise ArgumentError(
                "clone_model: `input_tensors` must have the same structure as model.input, which is "
                f"{model._inputs!r}; given was {input_tensors!r}."
            )
        if len(given) != len(model.inputs) or not all(isinstance(one, Symbolic) for one in given):
            raise ArgumentError(
                f"clone_model: input_tensors are {len(model.inputs)} symbolic tensors, in the structure of the model's "
                f"inputs; not {input_tensors!r}."
            )

        def called(function: Any) -> Any:
            if not isinstance(function, Layer):
                return function
            new = self.layer(function)
            return new if self.call is None else lambda *args, **kwargs: self.call(new, *args, **kwargs)

        outputs = replay(model._calls, model.inputs, given, model.input_types, model._outputs, called)
        cls = type(model) if type(model).__init__ is Model.__init__ else Model
        return cls(input_tensors, outputs, name=model.name, trainable=model.trainable)


def _shape_of(structure: Any) -> Any:
    """A structure without its leaves; lists and tuples are alike, and so are one tensor and a list of it."""
    if isinstance(structure, dict):
        return {key: _shape_of(one) for key, one in structure.items()}
    if isinstance(structure, list | tuple):
        return [_shape_of(one) for one in structure] if len(structure) != 1 else _shape_of(structure[0])
    return None


def _again(tensor: Any) -> InputTensor:
    """A new `Input` like ``tensor``."""
    shape = tensor.layer.batch_shape
    return Input(batch_shape=shape, dtype=tensor.dtype, name=tensor.name or None, optional=tensor.optional)


_Some = TypeVar("_Some", bound=Model)


def compiled_as(made: _Some, model: Model) -> _Some:
    """``made``, compiled as ``model`` is, if it is."""
    training = model._training
    if training is None:
        return made
    if type(made).compile is not Trained.compile:
        made.compile_from_config(model.get_compile_config())
        return made
    told = {name: tree.map_leaves(_anew, getattr(training, name)) for name in COMPILED}
    made.compile(**told, backend=training.backend, remat=training.remat)
    return made


def _anew(given: Any) -> Any:
    """An object like ``given``, without its state; names and functions have none."""
    has_state = hasattr(given, "get_config") and not isinstance(given, type)
    return type(given).from_config(given.get_config()) if has_state else given
