"""Layers around layers."""

from __future__ import annotations

from typing import Any, Unpack

from unifront import ops, tree
from unifront.arguments import Size, checked, shown
from unifront.errors import ArgumentError, ShapeError
from unifront.layers.arguments import LayerOptions
from unifront.layers.building import parameters
from unifront.layers.initializers import TruncatedNormal
from unifront.layers.layer import Layer
from unifront.opset.tensor import type_of


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
            raise ArgumentError(f"TimeDistributed takes a layer, not {shown(layer)}.")
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
            raise ArgumentError(f"SpectralNormalization takes a layer, not {shown(layer)}.")
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
