"""Cells: what one step of a recurrent network does. `RNN` goes through sequences with any of them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Unpack

import numpy as np

from unifront import activations, ops, tree
from unifront.arguments import Size, checked, in_order, shown
from unifront.dtype_policies import DTypePolicy
from unifront.dtypes import DType
from unifront.errors import ArgumentError, ShapeError
from unifront.ir.types import Shape
from unifront.layers.activations import ActivationAttribute, ActivationLike
from unifront.layers.arguments import LayerOptions
from unifront.layers.building import feature_size, parameters
from unifront.layers.initializers import Zeros, drawn
from unifront.layers.layer import Layer
from unifront.layers.recurrent_arguments import (
    CONSTRAINTS,
    DROPOUT,
    INITIALIZERS,
    REGULARIZERS,
    WEIGHTS,
    CellOptions,
    GRUCellOptions,
    LSTMCellOptions,
)
from unifront.opset import creation
from unifront.opset.tensor import active_builder, type_of
from unifront.trace import CallContext, current_context

States = tuple[Any, ...]


class KnownCell(Layer):
    """A cell of ours, which may have a fused operation for whole sequences."""

    def is_fused(self, training: bool) -> bool:
        """Whether `fused` does what the cell does, step after step."""
        return False

    def fused(
        self, x: Any, states: Sequence[Any], lengths: Any, reverse: bool, training: bool
    ) -> tuple[Any, ...]:
        """``(sequence, *states)`` for ``x[batch, time, features]``; states that are None are zeros."""
        raise ArgumentError(f"{type(self).__name__} has no fused operation.")


class Cell(KnownCell):
    """What the cells with weights share: an input's part of the gates, and what the states make of it.

    The first part, `enter`, knows nothing of states, so that it is computed for all steps of a sequence at once.
    A subclass has ``gates`` and ``state_count``, `enter` and `advance`.
    """

    gates: ClassVar[int]
    state_count: ClassVar[int] = 1
    masks_per_gate = False
    """Whether dropout draws for each gate by itself."""
    fused_activations: ClassVar[tuple[tuple[str | None, ...], ...]] = ()
    """For which activations there is a fused operation. It counts for the class that says so, not for subclasses."""
    activation = ActivationAttribute()
    recurrent_activation: Any
    dropout: float
    recurrent_dropout: float
    bias_initializer: Any
    state_size: Any
    output_size: Any

    def __init__(self, activation: Any, recurrent_activation: Any, use_bias: bool, **options: Any) -> None:
        declared = {
            weight: [options.pop(f"{weight}_{what}") for what in ("initializer", "regularizer", "constraint")]
            for weight in WEIGHTS
        }
        dropout = {name: options.pop(name) for name in (*DROPOUT, "seed")}
        super().__init__(**options)
        self.activation, self.recurrent_activation, self.use_bias = activation, recurrent_activation, use_bias
        for weight, given in declared.items():
            self.declare(weight, *given)
        self.dropout, self.recurrent_dropout, self.seed = dropout.values()

    def enter(self, x: Any, masks: Sequence[Any] | None) -> Any:
        """The input's part of the gates, for ``x[batch, ...]`` or ``x[time, batch, ...]``. Overridden.

        ``masks`` multiply the input: one, or one of each gate.
        """
        raise ArgumentError(f"{type(self).__name__} does not define enter().")

    def advance(self, inner: Any, states: Sequence[Any], masks: Sequence[Any] | None) -> States:
        """The new states from what `enter` gave for one step; the first is the output. Overridden."""
        raise ArgumentError(f"{type(self).__name__} does not define advance().")

    def call(self, inputs: Any, states: Any, training: bool = False) -> Any:
        nested = isinstance(states, list | tuple)
        given = list(states) if nested else [states]
        if len(given) != self.state_count:
            raise ArgumentError(
                f"{type(self).__name__} has {self.state_count} states; {len(given)} were given."
            )
        entering, recurring = self.masks(inputs, given[0], training)
        new = self.advance(self.enter(inputs, entering), given, recurring)
        return new[0], (list(new) if nested else new[0])

    def state_shapes(self) -> list[Shape]:
        """The shape of each state without the batch."""
        raise ArgumentError(f"{type(self).__name__} does not define state_shapes().")

    def input_shape(self) -> Shape:
        """The shape of one step's input without the batch, once built."""
        raise ArgumentError(f"{type(self).__name__} does not define input_shape().")

    def get_initial_state(self, batch_size: Any = None) -> list[Any]:
        """Zeros for each state."""
        return self.zeros(batch_size)

    def zeros(self, batch_size: Any, like: Any = None) -> list[Any]:
        """Zeros for each state, where ``like`` is; without it and a graph NumPy's, which go with any backend's."""
        return [
            creation.zeros((batch_size, *shape), self.compute_dtype, like=like)
            for shape in self.state_shapes()
        ]

    # ------------------------------------------------------------ dropout

    def masks(self, x: Any, h: Any, training: bool) -> tuple[Any, Any]:
        """The masks of dropout for the input and the state of one step; None where there are none."""
        if not training:
            return None, None
        return self.get_dropout_mask(x), self.get_recurrent_dropout_mask(h)

    def draw_masks(self, x: Any) -> tuple[Any, Any]:
        """Draw the masks of all steps of a sequence ``x[batch, time, ...]``, before a loop over them; see `masks`."""
        self.reset_dropout_mask()
        self.reset_recurrent_dropout_mask()
        batch = type_of(x).shape[0]
        step, state = (
            ops.zeros((batch, *shape), self.compute_dtype, like=x)
            for shape in (self.input_shape(), self.state_shapes()[0])
        )
        return self.masks(step, state, True)

    def get_dropout_mask(self, step_input: Any) -> list[Any] | None:
        """The masks that multiply the input while training, the same ones for all steps; None without dropout."""
        return self._kept_masks("dropout", step_input)

    def get_recurrent_dropout_mask(self, step_input: Any) -> list[Any] | None:
        """The masks that multiply the state."""
        return self._kept_masks("recurrent_dropout", step_input)

    def reset_dropout_mask(self) -> None:
        """Draw other masks for the input from now on; otherwise those of a call stay until it ends."""
        self._forget_masks("dropout")

    def reset_recurrent_dropout_mask(self) -> None:
        """Draw other masks for the state from now on."""
        self._forget_masks("recurrent_dropout")

    def _kept_masks(self, which: str, like: Any) -> list[Any] | None:
        rate = getattr(self, which)
        if not rate:
            return None
        context = current_context() or CallContext()
        kept = context.kept.setdefault((id(self), which), {})
        found = next((kept[key] for key in _traces() if key in kept), None)
        if found is None or type_of(found[0]).shape != type_of(like).shape:
            count = self.gates if self.masks_per_gate else 1
            ones = ops.ones_like(like)
            found = [ops.dropout(ones, context.random_key(self.seed), rate=rate) for _ in range(count)]
            kept[next(_traces())] = found
        return found

    def _forget_masks(self, which: str) -> None:
        context = current_context()
        if context is not None:
            context.kept.pop((id(self), which), None)


def _traces() -> Iterator[int | None]:
    """What the traces are known by in which we are, from the innermost: what they hold may be used here."""
    builder = active_builder()
    while builder is not None:
        yield id(builder)
        builder = builder.outer
    yield None


class _DenseCell(Cell):
    """A cell whose input and state are vectors, multiplied by matrices."""

    def __init__(
        self, units: int, activation: Any, recurrent_activation: Any, use_bias: bool, **options: Any
    ) -> None:
        self.implementation = options.pop("implementation", 2)
        super().__init__(activation, recurrent_activation, use_bias, **options)
        self.units = units
        self.masks_per_gate = self.gates > 1 and (self.implementation == 1 or bool(self.recurrent_dropout))
        self.output_size = units
        self.state_size = units if self.state_count == 1 else [units] * self.state_count

    def bias_shape(self) -> tuple[int, ...]:
        """The shape of the bias."""
        return (self.gates * self.units,)

    def build(self, shape: Any) -> None:
        if len(shape) != 2:
            raise ShapeError(
                f"{type(self).__name__} takes [batch, features] at each step; the shape of one is {shape}."
            )
        size, width = feature_size(shape), self.gates * self.units
        self.kernel = self.add_declared("kernel", (size, width))
        self.recurrent_kernel = self.add_declared("recurrent", (self.units, width), called="recurrent_kernel")
        self.bias: Any = None
        if self.use_bias:
            self.bias = self.add_declared("bias", self.bias_shape(), initializer=self.initial_bias())

    def initial_bias(self) -> Any:
        """The initializer of the bias."""
        return self.bias_initializer

    def biases(self) -> tuple[Any, Any]:
        """The biases of the input's and of the state's part."""
        return self.bias, None

    def state_shapes(self) -> list[Shape]:
        return [(self.units,)] * self.state_count

    def input_shape(self) -> Shape:
        return (self.kernel.shape[0],)

    def enter(self, x: Any, masks: Sequence[Any] | None) -> Any:
        bias = self.biases()[0]
        if masks is None:
            return ops.dense(x, self.kernel, bias)
        found = _by_gate(x, masks, self.kernel, self.gates)
        return found if bias is None else ops.add(found, bias)

    def recur(self, h: Any, masks: Sequence[Any] | None) -> Any:
        """The state's part of the gates."""
        bias = self.biases()[1]
        if masks is None:
            return ops.dense(h, self.recurrent_kernel, bias) if bias is not None else ops.matmul(
                h, self.recurrent_kernel
            )  # fmt: skip
        found = _by_gate(h, masks, self.recurrent_kernel, self.gates)
        return found if bias is None else ops.add(found, bias)

    def is_fused(self, training: bool) -> bool:
        kind = type(self)
        if "fused_activations" not in vars(kind) or self.activity_regularizer is not None:
            return False
        if training and (self.recurrent_dropout or (self.dropout and self.masks_per_gate)):
            return False
        inner = self.recurrent_activation
        named = (activations.name_of(self.activation), None if inner is None else activations.name_of(inner))
        return named in self.fused_activations

    def fused(
        self, x: Any, states: Sequence[Any], lengths: Any, reverse: bool, training: bool
    ) -> tuple[Any, ...]:
        if training and self.dropout:
            batch, _, size = type_of(x).shape
            x = ops.dropout(x, self.random_key(self.seed), rate=self.dropout, noise_shape=(batch, 1, size))
        weights = (self.kernel, self.recurrent_kernel, self.bias)
        found: tuple[Any, ...] = self.operation(x, *weights, *states, lengths, reverse=reverse)
        return found

    def operation(self, *operands: Any, reverse: bool) -> Any:
        """The fused operation. Overridden where there is one."""
        raise ArgumentError(f"{type(self).__name__} has no fused operation.")


def _by_gate(x: Any, masks: Sequence[Any], kernel: Any, gates: int) -> Any:
    """``x @ kernel``, ``x`` having been multiplied by the mask there is, or by that of each gate."""
    masked = [ops.multiply(x, mask) for mask in masks]
    if len(masked) == 1:
        return ops.matmul(masked[0], kernel)
    parts = ops.split(kernel, gates, axis=-1)
    return ops.concatenate([ops.matmul(one, part) for one, part in zip(masked, parts, strict=True)], axis=-1)


class SimpleRNNCell(_DenseCell):
    """One step of `SimpleRNN`: ``h = activation(x @ kernel + h @ recurrent_kernel + bias)`` (Elman 1990).

    Called with ``inputs[batch, features]`` and ``states``, a list of ``h[batch, units]`` (or that itself); gives the
    output and the new states.

    Args:
        units: size of the state and of the output.
        activation: of the state; a name or callable.
        use_bias: whether there is a bias.
        kernel_initializer, recurrent_initializer, bias_initializer: see `unifront.layers.initializers`.
        kernel_regularizer, recurrent_regularizer, bias_regularizer: see `unifront.layers.regularizers`.
        kernel_constraint, recurrent_constraint, bias_constraint: see `unifront.layers.constraints`.
        dropout: share of the input's features dropped while training, the same for all steps.
        recurrent_dropout: the same for the state.
        seed: gives the masks of dropout a stream of their own.

    Example::

        x = layers.RNN(layers.SimpleRNNCell(8))(uf.Input((None, 4)))
    """

    gates = 1
    fused_activations = (("tanh", None), ("relu", None))

    @in_order(*INITIALIZERS, *REGULARIZERS, *CONSTRAINTS, *DROPOUT, "seed")
    def __init__(
        self,
        units: Size,
        activation: ActivationLike = "tanh",
        use_bias: bool = True,
        **options: Unpack[CellOptions],
    ) -> None:
        super().__init__(units, activation, None, use_bias, **options)

    def advance(self, inner: Any, states: Sequence[Any], masks: Sequence[Any] | None) -> States:
        return (self.activation(ops.add(inner, self.recur(states[0], masks))),)

    def operation(self, *operands: Any, reverse: bool) -> Any:
        activation: Any = activations.name_of(self.activation)
        return ops.simple_rnn(*operands, reverse=reverse, activation=activation)


class LSTMCell(_DenseCell):
    """One step of `LSTM` (Hochreiter and Schmidhuber 1997); gates in the order i, f, c, o.

    ``states`` is ``[h, c]``.

    Args:
        activation: of the cell and its output.
        recurrent_activation: of the gates.
        unit_forget_bias: start the forget gate's bias at one.
        implementation: 1 draws dropout for each gate by itself, as any recurrent dropout does.

    The other arguments are those of `SimpleRNNCell`.

    Example::

        x = layers.RNN([layers.LSTMCell(8), layers.LSTMCell(4)])(uf.Input((None, 4)))
    """

    gates = 4
    state_count = 2
    recurrent_activation = ActivationAttribute()
    fused_activations = (("tanh", "sigmoid"),)

    @in_order(*INITIALIZERS, "unit_forget_bias", *REGULARIZERS, *CONSTRAINTS, *DROPOUT, "seed")
    def __init__(
        self,
        units: Size,
        activation: ActivationLike = "tanh",
        recurrent_activation: ActivationLike = "sigmoid",
        use_bias: bool = True,
        **options: Unpack[LSTMCellOptions],
    ) -> None:
        unit_forget_bias = options.pop("unit_forget_bias")
        super().__init__(units, activation, recurrent_activation, use_bias, **options)
        self.unit_forget_bias = unit_forget_bias

    def initial_bias(self) -> Any:
        return ForgetBias(self.bias_initializer) if self.unit_forget_bias else self.bias_initializer

    def advance(self, inner: Any, states: Sequence[Any], masks: Sequence[Any] | None) -> States:
        h, c = states
        sums = ops.add(inner, self.recur(h, masks))
        return long_short_term(sums, c, self.activation, self.recurrent_activation, axis=-1)

    def operation(self, *operands: Any, reverse: bool) -> Any:
        return ops.lstm(*operands, reverse=reverse)


def long_short_term(sums: Any, c: Any, activation: Any, recurrent_activation: Any, axis: int) -> States:
    """The new ``h`` and ``c`` of an LSTM, from what its gates add up to."""
    i, f, g, o = ops.split(sums, 4, axis=axis)
    c = ops.add(
        ops.multiply(recurrent_activation(f), c), ops.multiply(recurrent_activation(i), activation(g))
    )
    return ops.multiply(recurrent_activation(o), activation(c)), c


class GRUCell(_DenseCell):
    """One step of `GRU` (Cho et al. 2014); gates in the order z, r, h.

    Args:
        recurrent_activation: of the gates.
        reset_after: apply the reset gate after the matrix product, as cuDNN does (default).
        implementation: as in `LSTMCell`.

    The other arguments are those of `SimpleRNNCell`.

    Example::

        x = layers.RNN(layers.GRUCell(8))(uf.Input((None, 4)))
    """

    gates = 3
    recurrent_activation = ActivationAttribute()
    fused_activations = (("tanh", "sigmoid"),)

    @in_order(*INITIALIZERS, *REGULARIZERS, *CONSTRAINTS, *DROPOUT, "reset_after", "seed")
    def __init__(
        self,
        units: Size,
        activation: ActivationLike = "tanh",
        recurrent_activation: ActivationLike = "sigmoid",
        use_bias: bool = True,
        **options: Unpack[GRUCellOptions],
    ) -> None:
        reset_after = options.pop("reset_after")
        super().__init__(units, activation, recurrent_activation, use_bias, **options)
        self.reset_after = reset_after

    def bias_shape(self) -> tuple[int, ...]:
        return (2, 3 * self.units) if self.reset_after else (3 * self.units,)

    def biases(self) -> tuple[Any, Any]:
        if self.bias is None or not self.reset_after:
            return self.bias, None
        outer, inner = ops.unstack(self.bias)
        return outer, inner

    def advance(self, inner: Any, states: Sequence[Any], masks: Sequence[Any] | None) -> States:
        (h,) = states
        xz, xr, xh = ops.split(inner, 3, axis=-1)
        gate = self.recurrent_activation
        if self.reset_after:
            hz, hr, hh = ops.split(self.recur(h, masks), 3, axis=-1)
            z, r = gate(ops.add(xz, hz)), gate(ops.add(xr, hr))
            new = self.activation(ops.add(xh, ops.multiply(r, hh)))
        else:
            matrices, last = ops.split(self.recurrent_kernel, [2 * self.units], axis=-1)
            *outer, kept = masks or [None]
            sums = ops.matmul(h, matrices) if masks is None else _by_gate(h, outer or [kept], matrices, 2)
            hz, hr = ops.split(sums, 2, axis=-1)
            z, r = gate(ops.add(xz, hz)), gate(ops.add(xr, hr))
            reset = ops.multiply(r, h if kept is None else ops.multiply(h, kept))
            new = self.activation(ops.add(xh, ops.matmul(reset, last)))
        return (ops.add(ops.multiply(z, h), ops.multiply(ops.subtract(1.0, z), new)),)

    def operation(self, *operands: Any, reverse: bool) -> Any:
        return ops.gru(*operands, reverse=reverse, reset_after=self.reset_after)


@dataclass(frozen=True)
class ForgetBias:
    """Ones for the forget gate, the rest as ``draw`` says."""

    draw: Callable[..., np.ndarray] | None

    def __call__(self, shape: tuple[int, ...], dtype: DType, rng: np.random.Generator) -> np.ndarray:
        units = shape[0] // 4
        first, last = (drawn(self.draw or Zeros(), (size,), dtype, rng) for size in (units, 2 * units))
        parts = [first, np.ones(units, dtype.numpy), last]
        return np.concatenate(parts)


# ---------------------------------------------------------------- any cell


def check_cell(cell: Any) -> None:
    """Raise `ArgumentError` unless ``cell`` has ``call`` and ``state_size``."""
    for name in ("call", "state_size"):
        if name not in dir(cell):
            what = f"{name}(inputs, states)" if name == "call" else "state_size, the size of each state"
            raise ArgumentError(f"A cell has {what}; {shown(cell)} has no {name}.")


def sizes_of(cell: Any) -> list[Any]:
    """The size of each state: an int, or a list of those of a cell inside."""
    sizes = cell.state_size
    if isinstance(sizes, int | np.integer) and not isinstance(sizes, bool):
        return [int(sizes)]
    if not isinstance(sizes, list | tuple):
        raise ArgumentError(
            f"The state_size of a cell is an int or a list of them; that of {shown(cell)} is {shown(sizes)}."
        )
    return list(sizes)


def output_size_of(cell: Any) -> Any:
    """How many numbers a cell gives: its ``output_size``, or the size of its first state."""
    given = getattr(cell, "output_size", None)
    return sizes_of(cell)[0] if given is None else given


def first_states(cell: Any, batch_size: Any, dtype: DType, like: Any = None) -> Any:
    """The states that a cell begins with, in its own structure; zeros where it does not say."""
    if isinstance(cell, Cell):
        return cell.zeros(batch_size, like)
    given = getattr(cell, "get_initial_state", None)
    if isinstance(cell, StackedRNNCells):
        return [first_states(one, batch_size, dtype, like) for one in cell.cells]
    if given is not None:
        return given(batch_size=batch_size)

    def zeros(size: Any) -> Any:
        sizes = size if isinstance(size, list | tuple) else (size,)
        return creation.zeros((batch_size, *sizes), dtype, like=like)

    sizes = cell.state_size
    return [zeros(size) for size in sizes] if isinstance(sizes, list | tuple) else zeros(sizes)


def run_cell(cell: Any, inputs: Any, states: Any, **options: Any) -> tuple[Any, Any]:
    """The output and the new states of one step."""
    found = cell(inputs, states, **options) if callable(cell) else cell.call(inputs, states, **options)
    if not isinstance(found, list | tuple) or len(found) != 2:
        raise ArgumentError(f"A cell gives (output, new states); {type(cell).__name__} gave {shown(found)}.")
    return found[0], found[1]


class StackedRNNCells(KnownCell):
    """Cells one on top of the other, as one cell: each gets the output of the one below.

    Args:
        cells: cells, as `RNN` takes them.

    ``states`` is a list of the states of each. Raises `ArgumentError` for what is no cell.

    Example::

        x = layers.RNN(layers.StackedRNNCells([layers.LSTMCell(8), layers.GRUCell(4)]))(uf.Input((None, 4)))
    """

    @checked
    def __init__(self, cells: Any, **options: Unpack[LayerOptions]) -> None:
        super().__init__(**options)
        if not isinstance(cells, list | tuple) or not cells:
            raise ArgumentError(f"StackedRNNCells takes a list of cells, not {shown(cells)}.")
        for cell in cells:
            check_cell(cell)
        self.cells = list(cells)

    @property
    def state_size(self) -> list[Any]:
        """The state sizes of each cell."""
        return [cell.state_size for cell in self.cells]

    @property
    def output_size(self) -> Any:
        """That of the last cell."""
        return output_size_of(self.cells[-1])

    def get_initial_state(self, batch_size: Any = None) -> list[Any]:
        """The states that each cell begins with."""
        return [first_states(cell, batch_size, self.compute_dtype) for cell in self.cells]

    def build(self, shape: Any) -> None:
        for cell in self.cells:
            build_cell(cell, shape, self.dtype_policy)
            size = output_size_of(cell)
            shape = (shape[0], *(size if isinstance(size, list | tuple) else (size,)))

    def call(self, inputs: Any, states: Any, training: bool = False, **options: Any) -> Any:
        found = []
        for cell, own in zip(self.cells, states, strict=True):
            nested = isinstance(own, list | tuple)
            if takes_training(cell):
                options["training"] = training
            inputs, new = run_cell(cell, inputs, list(own) if nested else [own], **options)
            options.pop("training", None)
            single = not nested and isinstance(new, list | tuple) and len(new) == 1
            found.append(new[0] if single else new)
        return inputs, found

    def is_fused(self, training: bool) -> bool:
        return all(isinstance(cell, KnownCell) and cell.is_fused(training) for cell in self.cells)

    def fused(
        self, x: Any, states: Sequence[Any], lengths: Any, reverse: bool, training: bool
    ) -> tuple[Any, ...]:
        rest, found = list(states), []
        for cell in self.cells:
            count = len(tree.leaves(sizes_of(cell)))
            x, *new = cell.fused(x, rest[:count], lengths, reverse, training)
            found += new
            del rest[:count]
        return (x, *found)


def build_cell(cell: Any, shape: Any, policy: DTypePolicy) -> None:
    """Make the weights of a cell for the shape of one step, unless they are made; ``policy`` is that of the layer."""
    if isinstance(cell, Layer) and not cell.built:
        if cell._policy is None:
            cell._policy = policy
        cell.build(shape)


def takes_training(cell: Any) -> bool:
    """Whether a cell that is no layer asks whether it trains."""
    return not isinstance(cell, Layer) and "training" in parameters(type(cell).call)
