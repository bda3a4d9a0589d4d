"""`Sequential`: layers one after the other."""

from __future__ import annotations

from collections.abc import Container, Mapping
from typing import Any

from unifront.arguments import checked
from unifront.errors import ArgumentError, UnifrontError
from unifront.layers.arguments import LayerName
from unifront.layers.ends import end_of
from unifront.layers.input import Input, InputLayer, InputTensor
from unifront.layers.layer import Layer
from unifront.model import Model
from unifront.opset.tensor import Symbolic
from unifront.restoring import State
from unifront.serialization import CustomObjectScope


class Sequential(Model):
    """Layers one after the other.

    Args:
        layers: layers; the first may be an `Input`. Without one the model is built at its first data.
        name: the model's name.

    Raises `ArgumentError` for what is no layer, or a layer that is in the model already.

    Example::

        model = uf.Sequential([uf.Input((4,)), layers.Dense(8, activation="relu"), layers.Dense(3)])
    """

    notes_arguments = False

    @checked
    def __init__(self, layers: Any = None, trainable: bool = True, name: LayerName = None) -> None:
        super().__init__(name=name, trainable=trainable)
        self._source: InputTensor | None = None
        self._tensors: list[Symbolic] = []  # what each layer gives, once the input is known
        if isinstance(layers, Layer | Symbolic):
            layers = [layers]
        if not isinstance(layers, list | tuple | None):
            raise ArgumentError(f"Sequential takes a list of layers, not {layers!r}.")
        for layer in layers or ():
            self.add(layer)

    def get_config(self) -> dict[str, Any]:
        """The model as plain data, without weights: its layers, the input's first if it is known."""
        from unifront.model_config import sequential_config

        return sequential_config(self) if self._told_class() is None else super().get_config()

    @classmethod
    def from_config(cls, config: Mapping[str, Any], custom_objects: Mapping[str, Any] | None = None) -> Any:
        """A new model from what `get_config` gave, here or in Keras; its weights are fresh."""
        from unifront.model_config import sequential_from

        if "layers" not in config:
            return super().from_config(config, custom_objects)
        with CustomObjectScope(custom_objects):
            return sequential_from(cls, config)

    @property
    def layers(self) -> list[Layer]:
        """The layers, as in Keras without that of the input, and without those that are attributes."""
        return list(self._children.values())

    @layers.setter
    def layers(self, value: Any) -> None:
        raise AttributeError(
            "`Sequential.layers` attribute is reserved and should not be used. Use `add()` and `pop()` to change the "
            "layers in this model."
        )

    @property
    def inputs(self) -> list[InputTensor]:
        """The input tensor; `NotBuiltError` before the input is known."""
        return [self._end("_inputs")]

    @property
    def outputs(self) -> list[Symbolic]:
        """The output tensor; `NotBuiltError` before the input is known."""
        return [self._end("_outputs")]

    @end_of
    def input(self) -> Any:
        """What the first call on symbolic tensors took, such as that in a model around this one, as in Keras; else
        the model's own input, `NotBuiltError` before it is known."""
        return Layer.input.function(self) if self._first else self._end("_inputs")

    @end_of
    def output(self) -> Any:
        """What the first call on symbolic tensors gave, else the model's own output; as `input`."""
        return Layer.output.function(self) if self._first else self._end("_outputs")

    def add(self, layer: Any) -> None:
        """Append a layer."""
        if isinstance(layer, InputLayer):
            layer = layer.output
        if isinstance(layer, InputTensor) and self._source is not None:
            raise ArgumentError(
                f"Sequential model {self.name!r} has already been configured to use the input {self._source}; another "
                f"one, {layer}, cannot be added."
            )
        if isinstance(layer, InputTensor) and not self._children:
            self._source = layer
            return
        if not isinstance(layer, Layer):
            raise ArgumentError(
                f"Only instances of Layer are added: Sequential takes layers (and first an Input), not {layer!r}."
            )
        if self._children.get(layer.name) is layer:
            raise ArgumentError(f"The layer {layer.name!r} is in {self.name!r} already.")
        before = State([self, *layer.layers_below()])
        try:
            given = vars(layer).get("input_shape_given")
            if not self._children and self._source is None:
                self._source = Input(given) if given is not None else _begun_with(layer)
            self._adopt([layer])
            if self._source is not None:
                self._put(layer)
            self._join()
        except BaseException:
            before.restore()
            raise

    def pop(self) -> Layer:
        """Remove the last layer and give it back; `ArgumentError` if there is none."""
        if not self.layers:
            raise ArgumentError(f"{self.name!r} has no layers to pop.")
        layer = self.layers[-1]
        del self._children[layer.name]
        del self._tensors[len(self.layers) :]
        self._join()
        return layer

    def _put(self, layer: Layer) -> None:
        """Call ``layer`` on what the one before it gives."""
        x = layer(self._tensors[-1] if self._tensors else self._source)
        if not isinstance(x, Symbolic):
            raise ArgumentError(f"{layer.name}: a layer of Sequential gives one tensor, not {x!r}.")
        self._tensors.append(x)
        layer.place(layer.name, self)

    def _join(self) -> None:
        """Make the model that of the layers there are now; one more costs little, however many there are."""
        self._tracings.clear()
        self.programs.clear()
        self._inputs = self._outputs = None
        self._calls = [call for tensor in self._tensors if (call := tensor.call) is not None]
        if self._source is not None and self._tensors:
            self._inputs, self._outputs = self._source, self._tensors[-1]
            super()._take(self._source)
            self.built = True

    def _take(self, inputs: Any, taken: Container[str] = ()) -> None:
        super()._take(inputs, taken)
        if self._source is not None or not isinstance(inputs, InputTensor):
            return
        ((name, type_),) = self.input_types.items()  # the first data say what the input is
        self._source = InputTensor(type_, name)
        try:
            for layer in self.layers:
                self._put(layer)
        except (
            UnifrontError
        ):  # a layer gives several tensors, so there is no end; other errors come when it runs
            self._source = None
            self._tensors.clear()
        else:
            self._join()

    def _take_anew(self, inputs: Any) -> None:
        tracings, programs = dict(self._tracings), dict(self.programs)
        for layer, tensor in zip(self.layers, self._tensors, strict=False):
            if layer._first and layer._first[0] is tensor:
                layer._first = []
        self._source = None
        self._tensors = []
        self._take(inputs)
        self._tracings |= tracings
        self.programs |= programs

    def call(self, x: Any) -> Any:
        """Each layer in turn."""
        if not self._children:
            raise ArgumentError(f"Sequential model {self.name!r} has no layers: add() some first.")
        for layer in self.layers:
            x = layer(x)
        return x


def _begun_with(layer: Layer) -> InputTensor | None:
    """An input like that of a model of one, which it then begins with."""
    if not isinstance(layer, Model) or layer._inputs is None or len(layer.inputs) != 1:
        return None
    first = layer.inputs[0]
    return Input(batch_shape=first.layer.batch_shape, dtype=first.dtype)
