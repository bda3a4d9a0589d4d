"""What a layer asks of its inputs, and the check of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Self

from unifront import tree
from unifront.arguments import shown
from unifront.dtypes import dtype_of
from unifront.errors import ArgumentError, ShapeError
from unifront.opset.rules import show
from unifront.opset.tensor import type_of


class InputSpec:
    """What one input of a layer has to be; a layer that sets ``self.input_spec`` is called on nothing else.

    Args:
        dtype: its dtype.
        shape: its sizes, None for any.
        ndim, max_ndim, min_ndim: its number of dimensions.
        axes: sizes of some axes by their numbers.
        allow_last_axis_squeeze: whether a last axis of size one may be missing, or be there beside ``shape``.
        name: of the input, where inputs are a dict.
        optional: whether it may be None.

    Source: ``keras.layers.InputSpec``.

    Example::

        layer = layers.Dense(3)
        layer.input_spec = layers.InputSpec(ndim=3, axes={-1: 8})
    """

    def __init__(
        self,
        dtype: Any = None,
        shape: Sequence[int | None] | None = None,
        ndim: int | None = None,
        max_ndim: int | None = None,
        min_ndim: int | None = None,
        axes: Mapping[Any, int] | None = None,
        allow_last_axis_squeeze: bool = False,
        name: str | None = None,
        optional: bool = False,
    ) -> None:
        self.dtype = None if dtype is None else dtype_of(dtype)
        self.shape = None if shape is None else tuple(shape)
        self.ndim = ndim if self.shape is None else len(self.shape)
        self.max_ndim, self.min_ndim = max_ndim, min_ndim
        self.allow_last_axis_squeeze, self.name, self.optional = allow_last_axis_squeeze, name, optional
        try:
            self.axes = {int(axis): size for axis, size in dict(axes or {}).items()}
        except (TypeError, ValueError):
            raise ArgumentError(
                "Argument `axes` must be a dict with integer keys. "
                f"It names sizes by axis, such as {{-1: 8}}; given was {shown(axes)}."
            ) from None
        most = (self.ndim or max_ndim or 0) - 1
        if self.axes and (self.ndim is not None or max_ndim is not None) and max(self.axes) > most:
            raise ArgumentError(f"Axis {max(self.axes)} is greater than the maximum allowed value: {most}.")

    def __repr__(self) -> str:
        told = {name: value for name, value in self.get_config().items() if value not in (None, False, {})}
        return f"InputSpec({', '.join(f'{name}={value!r}' for name, value in told.items())})"

    def get_config(self) -> dict[str, Any]:
        """The arguments to make it again with."""
        return {
            "dtype": None if self.dtype is None else self.dtype.name, "shape": self.shape, "ndim": self.ndim,
            "max_ndim": self.max_ndim, "min_ndim": self.min_ndim, "axes": self.axes,
            "allow_last_axis_squeeze": self.allow_last_axis_squeeze, "name": self.name, "optional": self.optional,
        }  # fmt: skip

    @classmethod
    def from_config(cls, config: Mapping[str, Any]) -> Self:
        """One from what `get_config` gave."""
        return cls(**config)


def check_inputs(specs: Any, inputs: Any, name: str) -> None:
    """Raise `ShapeError` or `ArgumentError` unless ``inputs`` of the layer ``name`` are what ``specs`` say."""
    wanted = tree.leaves(specs)
    if isinstance(inputs, Mapping) and all(one.name in inputs for one in wanted):
        inputs = [inputs[one.name] for one in wanted]
    given = tree.leaves(inputs)
    if len(given) != len(wanted):
        raise ArgumentError(
            f'Layer "{name}" expects {len(wanted)} input(s), but it received {len(given)} input tensors.'
        )
    for i, (x, spec) in enumerate(zip(given, wanted, strict=True)):
        if spec is not None and not (x is None and spec.optional):
            wrong = _misfit(spec, x)
            if wrong:
                raise ShapeError(
                    f"Input {i} with name {spec.name!r} of layer {name!r} is incompatible with the layer: {wrong}. "
                    f"The input is {type_of(x)}."
                )


def _misfit(spec: InputSpec, x: Any) -> str:
    found = type_of(x)
    shape = tuple(size if isinstance(size, int) else None for size in found.shape)
    rank = len(shape)
    wanted = spec.shape
    if spec.ndim is not None and not spec.allow_last_axis_squeeze and rank != spec.ndim:
        return f"expected ndim={spec.ndim}, found ndim={rank}. Full shape received: {show(found.shape)}"
    if spec.max_ndim is not None and rank > spec.max_ndim:
        return f"expected max_ndim={spec.max_ndim}, found ndim={rank}"
    if spec.min_ndim is not None and rank < spec.min_ndim:
        return (
            f"expected min_ndim={spec.min_ndim}, found ndim={rank}. Full shape received: {show(found.shape)}"
        )
    if spec.dtype is not None and found.dtype != spec.dtype:
        return f"expected dtype={spec.dtype}, found dtype={found.dtype}"
    for axis, size in spec.axes.items():
        if not -rank <= axis < rank or (size is not None and shape[axis] not in (size, None)):
            return f"expected axis {axis} of input shape to have value {size}"
    if wanted is not None and spec.allow_last_axis_squeeze:
        shape, wanted = (one[:-1] if one and one[-1] == 1 else one for one in (shape, wanted))
    if wanted is not None and (
        len(wanted) != len(shape)
        or any(a != b for a, b in zip(wanted, shape, strict=True) if None not in (a, b))
    ):
        return f"expected shape={wanted}, found shape={shape}"
    return ""
