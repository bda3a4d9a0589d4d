"""What names of an ONNX model stand for, as tensors and weights of the graph that is being written."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np

from unifront import ops
from unifront.dtypes import dtype_of
from unifront.errors import UnsupportedOp
from unifront.ir.types import Shape
from unifront.onnx.imports.naming import Names
from unifront.onnx.imports.values import Narrow, Sizes, Value, Weight, is_strings
from unifront.opset.tensor import Builder, active_builder, lift
from unifront.weights import Variable

if TYPE_CHECKING:
    from unifront.onnx.imports.node import Node

MADE = 2**18
"""Elements up to which a row makes an array of sizes."""


class Lifting:
    """Puts values of a model into the graph that ``builder`` writes, each weight once."""

    def __init__(self, builder: Builder) -> None:
        self._builder = builder
        self._names = Names()
        self._key: Any = None
        self._draws = 0

    def active(self) -> Builder:
        """The builder that work belongs to: that of the branch or loop being traced, if one is."""
        return active_builder() or self._builder

    def lifted(self, weight: Value) -> Any:
        """A weight as a tensor; one of a single element is a number in a formula where no row knows it as a weight."""
        if not isinstance(weight, Weight):
            return weight
        if weight.array.size == 1 and not weight.made:
            return weight.array
        return self.laid_out(weight, None)

    def laid_out(self, value: Value, axes: tuple[int, ...] | None) -> Any:
        """See `Node.weight`."""
        if not isinstance(value, Weight):
            return value if axes is None else ops.transpose(value, axes)
        order = tuple(range(value.array.ndim)) if axes is None else axes
        if not value.made:
            array = np.ascontiguousarray(value.array.transpose(order)).reshape(
                [value.array.shape[i] for i in order]
            )
            path = self._names.weight(value.name)
            dtype = dtype_of(array.dtype)
            value.made[order] = Variable.at(
                path, array.shape, dtype, initial=array, trainable=value.trainable, scoped=False
            )
        first, variable = next(iter(value.made.items()))
        variable.trainable &= value.trainable
        if first == order:
            return lift(variable, self.active())
        return ops.transpose(lift(variable, self.active()), [first.index(axis) for axis in order])

    def derived(self, weight: Weight, number: int, change: Callable[[Any], Any]) -> Any:
        """``change`` of the part ``number`` along the first axis of a weight, as a weight of its own."""
        if weight.made:  # something else reads it as it is
            return change(ops.get_item(self.laid_out(weight, None), number))
        found = weight.parts.get(number)
        if found is None:
            array = np.ascontiguousarray(change(weight.array[number]))
            name = f"{weight.name}_{number}" if number else weight.name
            found = Variable.at(
                self._names.weight(name),
                array.shape,
                dtype_of(array.dtype),
                initial=array,
                trainable=weight.trainable,
                scoped=False,
            )
            weight.parts[number] = found
        return lift(found, self.active())

    def weight(self, name: str, array: np.ndarray) -> Any:
        """A weight that the file has as an attribute."""
        path = self._names.weight(name)
        return lift(
            Variable.at(path, array.shape, dtype_of(array.dtype), initial=array, scoped=False), self.active()
        )

    def random_key(self, node: Node) -> Any:
        """A key that no other node has."""
        if self._key is None:
            self._key = self._builder.key_input()
        self._draws += 1
        key = ops.fold_in(lift(self._key, self.active()), self._draws)
        seed = node["seed"]
        return key if seed is None else ops.fold_in(key, int(np.float32(seed).view(np.int32)) & 0x7FFFFFFF)

    def traced(self, value: Value) -> Any:
        """``value`` as a tensor of the graph."""
        if isinstance(value, Narrow):
            return self.traced(value.tensor)
        if isinstance(value, Weight):
            return self.laid_out(value, None)
        if isinstance(value, Sizes):
            flat = [
                lift(ops.full((), dim, "int64", like=self._anchor()), self.active())
                for dim in value.array.flat
            ]
            return flat[0] if value.array.ndim == 0 else ops.reshape(ops.stack(flat), value.array.shape)
        if is_strings(value):
            raise UnsupportedOp("strings are worked with on the host only, where they are known at import")
        return lift(value, self.active())

    def _anchor(self) -> Any:
        return lift(np.zeros((), np.int64), self.active())

    def lazy(self, value: Value, shape: Shape) -> Any:
        """See `Node.lazy`."""
        size = math.prod(shape)
        small = isinstance(size, int) and size <= MADE
        return value if small or not isinstance(value, np.ndarray) else self.traced(value)
