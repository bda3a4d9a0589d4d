"""A dense layer over any axes."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from string import ascii_letters
from typing import Annotated, Any, Unpack

import numpy as np

from unifront import ops
from unifront.arguments import Name, Real, Size, checked, only
from unifront.errors import ArgumentError, NotBuiltError, ShapeError
from unifront.layers.activations import ActivationAttribute, ActivationLike
from unifront.layers.arguments import Constraint, LayerOptions
from unifront.layers.initializers import InitializerLike, VarianceScaling
from unifront.layers.layer import Layer
from unifront.layers.lora import LowRank
from unifront.layers.quantized import Quantized
from unifront.layers.regularizers import RegularizerLike
from unifront.opset.rules import show
from unifront.opset.tensor import type_of

FORM = re.compile(r"(\.\.\.)?([a-zA-Z]+)(\.\.\.)?,([a-zA-Z]+)->(\.\.\.)?([a-zA-Z]+)(\.\.\.)?")


class EinsumDense(Quantized, LowRank, Layer):
    """``activation(einsum(equation, x, kernel) + bias)``: a dense layer over the axes that an equation names.

    Args:
        equation: as ``"ab,bc->ac"``: the labels of the input, the kernel and the output. The first and the last
            may have ``...`` at the beginning or at the end, for axes that stay as they are.
        output_shape: an int, or the sizes of the output without the batch (and without what ``...`` stands for);
            None for one that the input says.
        activation: a name or callable; None for none.
        bias_axes: the labels of the output's axes along which the bias differs; None for no bias.
        kernel_initializer, bias_initializer: see `unifront.layers.initializers`.
        kernel_regularizer, bias_regularizer, activity_regularizer: see `unifront.layers.regularizers`.
        lora_rank, lora_alpha: as for `enable_lora`, which is then called when the layer is built.
        gptq_unpacked_column_size: taken at None only.
        quantization_config: how the kernel is quantized where the dtype policy says that it is; see `quantize`.

    Raises `ArgumentError` for another equation, `ShapeError` for an input that does not fit it.

    Example::

        heads = layers.EinsumDense("abc,cde->abde", (None, 8, 16), bias_axes="de")(uf.Input((10, 32)))
    """

    activation = ActivationAttribute()

    @checked
    def __init__(
        self,
        equation: str,
        output_shape: Size | Sequence[Size | None],
        activation: ActivationLike = None,
        bias_axes: Name | None = None,
        kernel_initializer: InitializerLike = "glorot_uniform",
        bias_initializer: InitializerLike = "zeros",
        kernel_regularizer: RegularizerLike = None,
        bias_regularizer: RegularizerLike = None,
        kernel_constraint: Constraint = None,
        bias_constraint: Constraint = None,
        lora_rank: Size | None = None,
        lora_alpha: Real | None = None,
        gptq_unpacked_column_size: Annotated[Any, only(None)] = None,
        quantization_config: Any = None,
        **options: Unpack[LayerOptions],
    ) -> None:
        super().__init__(**options)
        self.equation, self.activation, self.bias_axes = equation, activation, bias_axes
        self.partial_output_shape = (output_shape,) if isinstance(output_shape, int) else tuple(output_shape)
        self.declare("kernel", kernel_initializer, kernel_regularizer, kernel_constraint)
        self.declare("bias", bias_initializer, bias_regularizer, bias_constraint)
        self.ask_lora(lora_rank, lora_alpha)
        self.ask_quantized(quantization_config)
        self.bias: Any = None

    def told_argument(self, name: str, given: Any) -> Any:
        """One size is told as Keras tells it: as a list."""
        return (
            list(self.partial_output_shape) if name == "output_shape" else super().told_argument(name, given)
        )

    def build(self, shape: Any) -> None:
        terms, free = self._terms(len(shape))
        self._x, self._w, self._y = terms
        axes: tuple[list[int], list[int]] = ([], [])  # of the kernel: what is summed over, and what is not
        for axis, label in enumerate(self._w):
            axes[label in self._y].append(axis)
        initializer = vars(self)["kernel_initializer"]
        if isinstance(initializer, VarianceScaling):
            initializer = initializer.along(*axes)
        self.kernel = self.add_declared("kernel", self._kernel_shape(shape, free), initializer=initializer)
        if self.bias_axes is not None:
            self.bias = self.add_declared("bias", self._bias_shape(free))
        self.begin_lora()
        self.begin_quantized()

    def _terms(self, rank: int) -> tuple[tuple[str, str, str], tuple[str, int]]:
        """The labels of input, kernel and output without ``...``, for which new ones stand; and these, with the
        place where they begin in the output."""
        form = FORM.fullmatch(self.equation.replace(" ", ""))
        before, x, after, w, before_y, y, after_y = form.groups() if form else [None] * 7
        if form is None or (before, after) != (before_y, after_y) or (before and after):
            raise ArgumentError(
                f"Invalid einsum equation '{self.equation}'. Equations must be in the form [X],[Y]->[Z], "
                "...[X],[Y]->...[Z], or [X]...,[Y]->[Z]...."
            )
        assert x is not None
        assert w is not None
        assert y is not None
        elided = rank - len(x)
        if elided < 0 or (elided and not (before or after)):
            raise ShapeError(f"The input has {rank} dimensions; {self.equation!r} is for {len(x)}.")
        new = "".join(label for label in ascii_letters if label not in self.equation)[:elided]
        if before:
            return (new + x, w, new + y), (new, 0)
        return (x + new, w, y + new), (new, len(y))

    def _kernel_shape(self, shape: Any, free: tuple[str, int]) -> list[int]:
        sizes = dict(zip(self._x, shape, strict=True))
        known, place = free
        named = self._y[len(known) :] if place == 0 and known else self._y[: len(self._y) - len(known)]
        from_end = place == 0 and bool(known)
        given: tuple[Any, ...] = (
            self.partial_output_shape if from_end else (shape[0], *self.partial_output_shape)
        )
        pairs = (
            zip(reversed(named), reversed(given), strict=False)
            if from_end
            else zip(named, given, strict=False)
        )
        outputs = dict(pairs)
        for label, size in outputs.items():
            if (
                label in sizes
                and isinstance(size, int)
                and isinstance(sizes[label], int)
                and size != sizes[label]
            ):
                raise ShapeError(
                    f"Input shape and output shape do not match at shared dimension '{label}'. Input shape is "
                    f"{sizes[label]}, and output shape is {size}."
                )
        for label in named:
            if label not in self._x and label not in self._w:
                raise ArgumentError(
                    f"Dimension '{label}' was specified in the output '{named}' but has no corresponding dim in "
                    f"the input spec '{self._x}' or weight spec '{self._w}'"
                )
        found = []
        for label in self._w:
            if label not in sizes and label not in self._y:
                raise ArgumentError(
                    f"Weight dimension '{label}' did not have a match in either the input spec '{self._x}' or the "
                    f"output spec '{self._y}'. For this layer, the weight must be fully specified."
                )
            size = sizes.get(label, outputs.get(label))
            if not isinstance(size, int):
                raise NotBuiltError(
                    f"The size of '{label}' in {self.equation!r} is not known: the input is {show(shape)}, the "
                    f"output_shape {self.partial_output_shape}."
                )
            found.append(size)
        self._sizes: dict[str, Any] = {**dict(zip(self._w, found, strict=True)), **sizes, **outputs}
        return found

    def _bias_shape(self, free: tuple[str, int]) -> list[int]:
        axes, named = str(self.bias_axes), "".join(label for label in self._y if label not in free[0])
        for label in axes:
            if label not in named:
                raise ArgumentError(
                    f"Bias dimension '{label}' was requested, but is not part of the output spec '{named}'"
                )
        first = min(self._y.index(label) for label in axes)
        return [self._sizes[label] if label in axes else 1 for label in self._y[first:]]

    def call(self, x: Any) -> Any:
        if self.quantization_mode is not None:
            return self._quantized_call(x)
        shared = self._shared()
        if shared is None:
            y = ops.einsum(f"{self._x},{self._w}->{self._y}", x, self.adapted(self.kernel))
            return self.activation(y if self.bias is None else ops.add(y, self.bias))
        return self.activation(self._product(x, shared))

    def _shared(self) -> int | None:
        """How many axes, the input's last and the kernel's first, a product of matrices sums over; None where it
        would be none."""
        for count in range(1, len(self._w)):
            kept, new = self._x[:-count], self._w[count:]
            if self._x[-count:] == self._w[:count] and self._y == kept + new and not set(kept) & set(self._w):
                return count
        return None

    def _product(self, x: Any, shared: int) -> Any:
        outer, sizes = type_of(x).shape[:-shared], self.kernel.shape[shared:]
        if shared > 1:
            x = ops.reshape(x, (*outer, math.prod(self.kernel.shape[:shared])))
        kernel = self.adapted(self.kernel)
        matrix = ops.reshape(kernel, (-1, math.prod(sizes))) if len(self.kernel.shape) > 2 else kernel
        fused = self.bias is not None and tuple(self.bias.shape) == tuple(sizes)
        bias = ops.reshape(self.bias, (-1,)) if fused and len(sizes) > 1 else self.bias
        y = ops.dense(x, matrix, bias if fused else None)
        if len(sizes) > 1:
            y = ops.reshape(y, (*outer, *sizes))
        return y if fused or self.bias is None else ops.add(y, self.bias)

    # ------------------------------------------------------------ quantized

    def _quantized_call(self, x: Any) -> Any:
        forward, backward = f"{self._x},{self._w}->{self._y}", f"{self._y},{self._w}->{self._x}"
        summed = tuple(i for i, label in enumerate(self._x) if label not in self._y)
        y = self.quantized_product(
            x,
            lambda given, kernel: ops.einsum(forward, given, ops.reshape(kernel, self.whole_shape)),
            lambda upstream, kernel: ops.einsum(backward, upstream, kernel),
            over=summed,
            scale_of=lambda scale: self._along(scale, self._x, self._y),
        )
        if self.lora_enabled:
            factor, _ = self._factors()
            y = ops.add(y, self.low_rank_change(ops.einsum(forward, x, factor), type_of(y).dtype))
        return self.activation(y if self.bias is None else ops.add(y, self.bias))

    def quantized_axes(self) -> tuple[int, ...]:
        return tuple(i for i, label in enumerate(self._w) if label not in self._y)

    @staticmethod
    def _along(scale: Any, own: str, wanted: str) -> Any:
        """A scale with an axis for each of the labels ``own``, those that are summed of size 1, with one for each of
        ``wanted``."""
        kept = [label for label in wanted if label in own]
        summed = [label for label in own if label not in wanted]
        turned = ops.transpose(scale, [own.index(label) for label in (*kept, *summed)])
        sizes = dict(zip(kept, type_of(turned).shape, strict=False))
        return ops.reshape(turned, [sizes.get(label, 1) for label in wanted])

    def told_scale(self, scale: Any) -> Any:
        return np.asarray(self._along(scale, self._w, self._y))

    def weight_scale(self, scale: Any) -> Any:
        if type_of(scale).rank == 1 and self.quantization_mode == "int4":  # of the columns of a matrix
            return scale
        sizes = dict(zip(self._y, type_of(scale).shape, strict=True))
        kept = [label for label in self._y if label in self._w]
        order = [kept.index(label) for label in self._w if label in kept]
        turned = ops.transpose(ops.reshape(scale, [sizes[label] for label in kept]), order)
        return ops.reshape(turned, [sizes.get(label, 1) if label in kept else 1 for label in self._w])

    def as_matrix(self, values: Any) -> Any:
        return values.reshape(math.prod(values.shape[axis] for axis in self.quantized_axes()), -1)
