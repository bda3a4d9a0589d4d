"""Layers that hold a function or other layers, and the one that does nothing."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping, Sequence
from typing import Annotated, Any, Self, Unpack

import numpy as np

from unifront import tree
from unifront.arguments import anything, checked, sequence, shown
from unifront.backends import backend_of
from unifront.errors import ArgumentError
from unifront.layers.arguments import LayerName, LayerOptions
from unifront.layers.building import parameters
from unifront.layers.configs import plain, revived
from unifront.layers.layer import Layer
from unifront.opset.tensor import Symbolic
from unifront.trace import current_context


class Identity(Layer):
    """What it is given, as it is: a tensor, or a structure of them."""

    supports_masking = True

    @checked
    def __init__(self, **options: Unpack[LayerOptions]) -> None:
        super().__init__(**options)
        self.built = True

    def call(self, inputs: Any) -> Any:
        return inputs


class Lambda(Layer):
    """A function as a layer.

    It is written in `uf.ops`, or in the operators of tensors, so that it becomes part of the graph. Weights that it
    uses are not found: write a layer for these.

    Args:
        function: takes the inputs, and ``mask`` and ``training`` if it has parameters of these names.
        output_shape: taken as Keras takes it; shapes follow from the function itself.
        mask: the output's mask, or a function ``(inputs, mask) -> mask``; None for none.
        arguments: further keyword arguments of the function.

    A named function is told by its name in `get_config`, and found again if it is registered
    (`uf.saving.register_keras_serializable`). One without a name raises `ArgumentError` there, since plain data holds
    no code; a model that is saved needs neither, since its graph is what is saved.

    Example::

        double = layers.Lambda(lambda x: x * 2)
        double(np.array([1.0, 2.0]))  # [2. 4.]
    """

    runs_others = True

    @checked
    def __init__(
        self,
        function: Callable[..., Any],
        output_shape: Any = None,
        mask: Any = None,
        arguments: Mapping[str, Any] | None = None,
        **options: Unpack[LayerOptions],
    ) -> None:
        super().__init__(**options)
        if not callable(function):
            raise ArgumentError(f"Lambda: function is a function, not {shown(function)}.")
        for name, given in (("output_shape", output_shape), ("mask", mask)):
            if isinstance(given, type):
                raise ArgumentError(f"Lambda: {name} is a value or a function, not {shown(given)}.")
        for leaf in [] if callable(mask) else tree.leaves(mask):
            if leaf is not None and not isinstance(leaf, Symbolic) and not _is_numeric(leaf):
                raise ArgumentError(f"Lambda: mask is a tensor or a function, not {shown(leaf)}.")
        self.function, self.output_shape, self.mask = function, output_shape, mask
        self.arguments = dict(arguments or {})
        self.supports_masking = mask is not None
        try:
            self._takes = {"mask", "training"} & set(inspect.signature(function).parameters)
        except ValueError:  # a function written in C may have no signature
            self._takes = set()

    def call(self, inputs: Any, mask: Any = None, training: bool = False) -> Any:
        given = {"mask": mask, "training": training}
        return self.function(inputs, **self.arguments, **{name: given[name] for name in self._takes})

    def compute_mask(self, inputs: Any, mask: Any = None) -> Any:
        return self.mask(inputs, mask) if callable(self.mask) else self.mask


def _is_numeric(array: Any) -> bool:
    return backend_of(array) is not None and (not isinstance(array, np.ndarray) or array.dtype.kind in "biuf")


class Wrapper(Layer):
    """The base of layers around one other layer, which is ``layer``.

    A subclass writes `call`; the layer inside is built for the same input, unless `build` is overridden too.

    Raises `ArgumentError` for what is no layer.
    """

    @checked
    def __init__(self, layer: Any, **options: Unpack[LayerOptions]) -> None:
        super().__init__(**options)
        if not isinstance(layer, Layer):
            raise ArgumentError(
                f"Layer {shown(layer)} supplied to Wrapper isn't a supported layer type. "
                "Give it a layer, such as layers.Dense(3)."
            )
        self.layer = layer

    def build(self, shape: Any) -> None:
        self.layer.build(shape)


class Pipeline(Layer):
    """Layers one after the other, such as those that prepare data.

    Args:
        layers: a list of layers, or of descriptions of such.

    As in Keras it trains (random layers draw) unless told otherwise or inside a model that does not.

    Example::

        prepare = layers.Pipeline([layers.Rescaling(1 / 255), layers.RandomFlip("horizontal")])
        images = prepare(np.zeros((2, 8, 8, 3)))
    """

    autocast = False

    @checked
    def __init__(self, layers: Annotated[Sequence[Any], sequence(anything)], name: LayerName = None) -> None:
        super().__init__(name=name)
        self.layers = [revived(layer) for layer in layers]
        for layer in self.layers:
            if not isinstance(layer, Layer):
                raise ArgumentError(f"Pipeline: layers is a list of layers; one of them is {shown(layer)}.")

    def __call__(self, *args: Any, training: bool | None = None, **kwargs: Any) -> Any:
        symbolic = any(isinstance(leaf, Symbolic) for leaf in tree.leaves([args, kwargs]))
        if training is None and current_context() is None and not symbolic:
            training = True
        return super().__call__(*args, training=training, **kwargs)

    def told_argument(self, name: str, given: Any) -> Any:
        """The layers without what they were built for."""
        return [plain(layer) for layer in self.layers] if name == "layers" else given

    @classmethod
    def from_config(cls, config: Mapping[str, Any]) -> Self:
        """A pipeline from what `get_config` gave; `ArgumentError` without a list of layers in it."""
        if not isinstance(config.get("layers"), list | tuple):
            raise ArgumentError(
                "The config of a Pipeline must contain a `layers` key, a list of described layers; it has "
                f"{shown(config.get('layers'))}."
            )
        return super().from_config(config)

    def call(self, inputs: Any, mask: Any = None) -> Any:
        for i, layer in enumerate(self.layers):
            takes = i == 0 and mask is not None and "mask" in parameters(type(layer).call)
            inputs = layer(inputs, **({"mask": mask} if takes else {}))
        return inputs
