"""`Input`: the symbolic tensors that models begin with."""

from __future__ import annotations

import itertools
import re
from collections.abc import Mapping, Sequence
from typing import Annotated, Any

import numpy as np

from unifront.arguments import LARGEST, anything, checked, only
from unifront.dtype_policies import DTypePolicy
from unifront.dtypes import DTypeLike, dtype_of, floatx
from unifront.errors import ArgumentError, ShapeError
from unifront.ir.dims import Dim, DimExpr, is_dim, substitute, symbol
from unifront.ir.types import TensorType
from unifront.layers.configs import revived
from unifront.layers.layer import Layer
from unifront.layers.nesting import snake_case
from unifront.opset.tensor import Symbolic

BATCH = symbol("batch")
_NO_NAME = re.compile(r"\W|^(?=\d)", re.ASCII)
_anonymous = itertools.count(1)


class InputTensor(Symbolic):
    """What `Input` gives. ``anonymous`` maps the symbols of free sizes without a name to their axes."""

    optional = False
    """Whether a call of the model may give None for it."""

    def __init__(self, type_: TensorType, name: str = "", anonymous: Mapping[str, int] | None = None) -> None:
        super().__init__(type_, name)
        self.anonymous = anonymous or {}
        self._layer: InputLayer | None = None

    @property
    def layer(self) -> InputLayer:
        """The layer that stands for this input in `Model.layers`."""
        if self._layer is None:
            self._layer = InputLayer(self)
        return self._layer

    def type_as(self, name: str) -> TensorType:
        """The type, its anonymous sizes called after ``name`` as the input is called in a model."""
        called = {old: symbol(_free(name, axis)) for old, axis in self.anonymous.items()}
        return self.type.with_shape(tuple(substitute(dim, called) for dim in self.shape))


class InputLayer(Layer):
    """The layer that stands for an input: ``Input(...)`` makes one, and ``InputLayer(...).output`` is the tensor.

    Args:
        shape, batch_size, dtype, batch_shape, name, optional: as for `Input`.
        sparse, ragged, input_tensor: Keras's, at its defaults only.

    Raises what `Input` raises.

    Example::

        model = uf.Sequential([layers.InputLayer((4,)), layers.Dense(3)])
    """

    autocast = False
    supports_masking = True
    notes_arguments = False

    @checked
    def __init__(
        self,
        shape: Any = None,
        batch_size: Annotated[int | None, anything] = None,
        dtype: Annotated[DTypeLike | None, anything] = None,
        sparse: Annotated[bool | None, only(False)] = None,
        ragged: Annotated[bool | None, only(False)] = None,
        batch_shape: Any = None,
        input_tensor: Annotated[Any, only(None)] = None,
        optional: bool = False,
        name: Annotated[str | None, anything] = None,
    ) -> None:
        super().__init__()
        own = isinstance(shape, InputTensor)
        self._tensor = (
            shape if own
            else Input(shape, batch_size, dtype, batch_shape=batch_shape, name=name, optional=optional)
        )  # fmt: skip
        self._tensor._layer = self
        self._name = (
            self._tensor.name or None
        )  # not as `Layer` checks it: an input's name is no part of paths
        self._policy = DTypePolicy(self._tensor.dtype.name)
        self.built = self.placed = True

    def get_config(self) -> dict[str, Any]:
        told = {"batch_shape": list(self.batch_shape), "dtype": self.dtype.name, "name": self.name}
        return {**told, "optional": True} if self.optional else told

    @classmethod
    def from_config(cls, config: Mapping[str, Any]) -> InputLayer:
        """The layer that `get_config` described, here or in Keras (whose inputs may be ``sparse=False``)."""
        given = {key: revived(value) for key, value in config.items() if value not in (None, False)}
        shape = given.pop("batch_shape", given.pop("batch_input_shape", None))
        return cls(batch_shape=shape, **given)

    @property
    def batch_shape(self) -> tuple[int | None, ...]:
        """The shape, free sizes as None."""
        return tuple(dim if isinstance(dim, int) else None for dim in self._tensor.shape)

    @property
    def optional(self) -> bool:
        """Whether a call of the model may give None for this input."""
        return self._tensor.optional

    @property
    def input(self) -> list[Any]:
        """Nothing, as in Keras."""
        return []

    @property
    def output(self) -> InputTensor:
        """The symbolic tensor."""
        return self._tensor

    def call(self, x: Any) -> Any:
        return x


@checked
def Input(
    shape: Annotated[Sequence[int | str | DimExpr | None] | None, anything] = None,
    batch_size: Annotated[int | None, anything] = None,
    dtype: Annotated[DTypeLike | None, anything] = None,
    sparse: Annotated[bool | None, only(False)] = None,
    ragged: Annotated[bool | None, only(False)] = None,
    batch_shape: Annotated[Sequence[int | str | DimExpr | None] | None, anything] = None,
    name: Annotated[str | None, anything] = None,
    tensor: Annotated[Any, only(None)] = None,
    optional: bool = False,
) -> InputTensor:
    """A symbolic tensor to build a model from.

    Args:
        shape: sizes without the batch axis. None or a name makes the size free: ``(None, 64)``,
            ``("time", 64)``; a name that several inputs share is the same size in all of them.
        batch_size: a fixed batch size; free unless given.
        dtype: `floatx` unless given.
        sparse, ragged: taken at None or False only: tensors are dense.
        batch_shape: the batch size and the shape in one, in place of both.
        name: how data and errors call it; ``input``, ``input_1`` … unless given.
        tensor: taken at None only; a model begins at any symbolic tensor, `uf.Model(tensor, ...)`.
        optional: whether calls of the model and `Model.predict` may give None for it, which the layers then get.
            Graphs, training and files are those of the whole model.

    Raises `ShapeError` for what is no size (an int from 0), name or None, `ArgumentError` for a name that is
    no string.

    Example::

        words = uf.Input((None,), name="words", dtype="int32")  # int32[batch, words_1]
    """
    if dtype == "string":
        raise ArgumentError(
            'Input(dtype="string"): strings are no tensors, and no part of a model. Map the layer that takes them over '
            "the data first, and give the model what it returns: model.fit(layer(texts), labels)."
        )
    if dtype is not None:
        dtype = dtype_of(dtype)
    if name is not None and not isinstance(name, str):
        raise ArgumentError(f"The name of an Input is a string, not {name!r}.")
    what = f"Input {name}" if name else "Input"
    if (shape is None) == (batch_shape is None) or (batch_shape is not None and batch_size is not None):
        raise ArgumentError(f"{what} takes a shape (and a batch_size), or else a batch_shape.")
    given = batch_shape if batch_shape is not None else shape
    if isinstance(given, str | bytes) or not isinstance(given, Sequence):
        raise ShapeError(
            f"{what}: a shape is a tuple of sizes, such as (28, 28, 1) or (None,), not {given!r}."
        )
    sizes = tuple(given) if batch_shape is not None else (batch_size, *given)
    if not sizes:
        raise ShapeError(f"{what}: a batch_shape begins with the batch's size, or None; given was ().")
    own = name or f"input{next(_anonymous)}"
    free = {axis: _free(own, axis) for axis, size in enumerate(sizes) if axis and size is None}
    dims = [
        BATCH if size is None and axis == 0 else _dim(free.get(axis, size), sizes, what)
        for axis, size in enumerate(sizes)
    ]
    anonymous = {} if name else {symbol: axis for axis, symbol in free.items()}
    tensor = InputTensor(TensorType(dtype or floatx(), tuple(dims)), name or "", anonymous)
    tensor.optional = optional
    return tensor


class _AnySymbolic(type):
    """Every symbolic tensor is an instance, whatever made it."""

    def __instancecheck__(cls, instance: Any) -> bool:
        return isinstance(instance, Symbolic)


class KerasTensor(metaclass=_AnySymbolic):
    """Any symbolic tensor, to ask for by ``isinstance``; called, it makes one (``keras.KerasTensor``).

    Args:
        shape: all sizes, the batch's too; None for a free one.
        dtype, name: as for `Input`.

    Example::

        isinstance(uf.Input((3,)) * 2, uf.KerasTensor)  # True
    """

    def __new__(cls, shape: Any, dtype: DTypeLike = "float32", *, name: str | None = None) -> Any:
        return Input(batch_shape=shape, dtype=dtype, name=name)


def inputs_of(shape: Any, *, free_batch: bool) -> Any:
    """An input of ``shape``, or a list or dict of them; ``free_batch``: whatever size the shape has there."""
    if shape is None:
        raise ShapeError("The shape to build for is a tuple of sizes, batch first, not None.")
    if isinstance(shape, dict):
        return {key: inputs_of(one, free_batch=free_batch) for key, one in shape.items()}
    if isinstance(shape, list | tuple) and shape and all(isinstance(one, list | tuple) for one in shape):
        return [inputs_of(one, free_batch=free_batch) for one in shape]
    if free_batch and isinstance(shape, list | tuple) and shape and is_dim(shape[0]):
        shape = (None, *shape[1:])
    return Input(batch_shape=shape)


def _free(name: str, axis: int) -> str:
    """What the free size at ``axis`` of the input ``name`` is called."""
    return f"{_NO_NAME.sub('_', snake_case(name))}_{axis}"


def _dim(size: Any, sizes: tuple[Any, ...], what: str) -> Dim:
    match size:
        case DimExpr():
            return size
        case str():
            return symbol(size)
        case int() | np.integer() if 0 <= size <= LARGEST and not isinstance(size, bool):
            return int(size)
    raise ShapeError(f"{what}: {size!r} in {sizes} (batch first) is not an int >= 0, a name or None.")
