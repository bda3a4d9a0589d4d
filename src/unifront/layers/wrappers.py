"""Layers around layers."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Annotated, Any, ClassVar, Literal, Unpack

from unifront import ops, tree
from unifront.arguments import Size, checked, only
from unifront.errors import ArgumentError, ShapeError
from unifront.layers.arguments import LayerOptions
from unifront.layers.initializers import TruncatedNormal
from unifront.layers.layer import Layer, parameters
from unifront.layers.rnn import Recurrent
from unifront.opset.tensor import type_of


class Bidirectional(Layer):
    """A recurrent layer run forward, and a copy of it run backward.

    Args:
        layer: a recurrent layer that has no weights yet.
        merge_mode: how the two outputs join: "concat", "sum", "mul", "ave", or None for a pair.
        backward_layer: the layer to run backward, instead of a copy.
    """

    supports_masking = True
    merges: ClassVar[dict[str, Callable[[Any, Any], Any]]] = {
        "concat": lambda a, b: ops.concatenate([a, b], axis=-1),
        "sum": ops.add,
        "mul": ops.multiply,
        "ave": lambda a, b: ops.multiply(ops.add(a, b), 0.5),
    }

    @checked
    def __init__(
        self,
        layer: Any,
        merge_mode: Literal["concat", "sum", "mul", "ave"] | None = "concat",
        weights: Annotated[Any, only(None)] = None,
        backward_layer: Any = None,
        **options: Unpack[LayerOptions],
    ) -> None:
        super().__init__(**options)
        for one in (layer,) if backward_layer is None else (layer, backward_layer):
            if not isinstance(one, Recurrent) or one.built:
                raise ArgumentError(f"Bidirectional takes a new SimpleRNN, LSTM or GRU, not {one!r}.")
        self.merge_mode = merge_mode
        own = layer.name.removeprefix("forward_")
        forward, backward = copy.deepcopy(layer), copy.deepcopy(backward_layer or layer)
        if backward_layer is None:
            backward.go_backwards = not layer.go_backwards
        elif backward.go_backwards == layer.go_backwards:
            raise ArgumentError("Bidirectional: backward_layer is a recurrent layer that runs the other way.")
        for one, name in ((forward, f"forward_{own}"), (backward, f"backward_{own}")):
            one._name = name
            one.zero_output_for_mask = layer.return_sequences  # as Keras does
            one.keeps_positions = one is backward
        self.forward_layer, self.backward_layer = forward, backward
        self.return_sequences, self.return_state = layer.return_sequences, layer.return_state

    def told_argument(self, name: str, given: Any) -> Any:
        """The layers as they were given, which have no weights yet."""
        return given if name == "backward_layer" else super().told_argument(name, given)

    def call(self, sequences: Any, initial_state: Any = None, mask: Any = None) -> Any:
        given = None if initial_state is None else tree.leaves(initial_state)
        half = None if given is None else len(given) // 2
        mask = next((one for one in tree.leaves(mask) if one is not None), None)
        a = self.forward_layer(sequences, initial_state=None if given is None else given[:half], mask=mask)
        b = self.backward_layer(sequences, initial_state=None if given is None else given[half:], mask=mask)
        states: tuple[Any, ...] = ()
        if self.return_state:
            (a, *first), (b, *second) = a, b
            states = (*first, *second)
        output = (a, b) if self.merge_mode is None else (self.merges[self.merge_mode](a, b),)
        return (*output, *states) if len(output) + len(states) > 1 else output[0]

    def compute_mask(self, inputs: Any, mask: Any = None) -> Any:
        return super().compute_mask(inputs, mask) if self.return_sequences else None


class TimeDistributed(Layer):
    """A layer applied to every step: ``[batch, time, ...]``. Batch and time are one axis while it runs.

    The layer gets what a mask of more than ``[batch, time]`` says about its own input; a step counts for
    later layers if any part of it does.
    """

    supports_masking = True

    @checked
    def __init__(self, layer: Any, **options: Unpack[LayerOptions]) -> None:
        super().__init__(**options)
        if not isinstance(layer, Layer):
            raise ArgumentError(f"TimeDistributed takes a layer, not {layer!r}.")
        self.layer = layer

    def call(self, x: Any, mask: Any = None) -> Any:
        shape = type_of(x).shape
        if len(shape) < 3:
            raise ShapeError(f"TimeDistributed takes at least 3 dimensions; the input is {type_of(x)}.")
        options = {}
        if (
            mask is not None
            and "mask" in parameters(type(self.layer).call)
            and type_of(mask).rank == len(shape) - 1
        ):
            options["mask"] = ops.reshape(mask, (shape[0] * shape[1], *type_of(mask).shape[2:]))
        result = self.layer(ops.reshape(x, (shape[0] * shape[1], *shape[2:])), **options)

        def unfold(leaf: Any) -> Any:
            return ops.reshape(leaf, (shape[0], shape[1], *type_of(leaf).shape[1:]))

        return tree.map_leaves(unfold, result)

    def compute_mask(self, inputs: Any, mask: Any = None) -> Any:
        mask = super().compute_mask(inputs, mask)
        rank = 2 if mask is None else type_of(mask).rank
        return ops.any(mask, axis=tuple(range(2, rank))) if rank > 2 else mask


class SpectralNormalization(Layer):
    """A layer whose kernel is divided by its largest singular value while it trains (Miyato et al. 2018).

    The kernel itself is replaced, before each training call; a vector kept from call to call, ``vector_u``, comes
    closer to the singular one by power iteration. Gradients are those of the new kernel.

    Args:
        layer: a layer with a ``kernel`` or ``embeddings``.
        power_iterations: how often the vector is multiplied in a call.
    """

    kernel: Any

    @checked
    def __init__(self, layer: Any, power_iterations: Size = 1, **options: Unpack[LayerOptions]) -> None:
        super().__init__(**options)
        if not isinstance(layer, Layer):
            raise ArgumentError(f"SpectralNormalization takes a layer, not {layer!r}.")
        self.layer, self.power_iterations = layer, power_iterations

    def build(self, shape: Any) -> None:
        self.layer.build(shape)
        for name in ("kernel", "embeddings"):
            if name in vars(self.layer):
                vars(self)["kernel"] = vars(self.layer)[name]
                self._weights.append(self.kernel)  # as in Keras it is the first of this layer's own
                break
        else:
            kind = type(self.layer).__name__
            raise ArgumentError(f"{kind} object has no attribute 'kernel' nor 'embeddings'")
        size = self.kernel.shape[-1]
        start = TruncatedNormal(stddev=0.02)
        self.vector_u = self.add_weight((1, size), start, name="vector_u", trainable=False)

    def call(self, x: Any, training: bool = False) -> Any:
        if training:
            self._divide_kernel()
        return self.layer(x)

    def _divide_kernel(self) -> None:
        kernel = self.kernel
        matrix, u = ops.reshape(kernel, (-1, kernel.shape[-1])), self.vector_u
        for _ in range(self.power_iterations):
            v = ops.normalize(ops.matmul(u, ops.transpose(matrix)), axis=None)
            u = ops.normalize(ops.matmul(v, matrix), axis=None)
        largest = ops.matmul(ops.matmul(v, matrix), ops.transpose(u))
        some = ops.greater(ops.max(ops.abs(kernel)), 0.0)
        new = ops.divide(kernel, ops.where(some, ops.reshape(largest, ()), 1.0))
        # The new kernel is where gradients are taken, as in Keras, and not what it came from.
        change = ops.stop_gradient(ops.subtract(new, kernel))
        self.update(self.vector_u, ops.stop_gradient(ops.where(some, u, self.vector_u)))
        self.update(kernel, ops.add(kernel, change))
