"""`RNN`: any cell gone through a sequence with, by one fused operation where the cell has one, else by a scan."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import Any, Unpack

import numpy as np

from unifront import ops, tree
from unifront.arguments import checked
from unifront.backends import HostKey
from unifront.errors import ArgumentError, ShapeError
from unifront.ir.dims import DimExpr
from unifront.layers.arguments import LayerOptions, check_mask
from unifront.layers.building import feature_size
from unifront.layers.layer import Layer
from unifront.layers.rnn_cells import (
    Cell,
    KnownCell,
    StackedRNNCells,
    build_cell,
    check_cell,
    first_states,
    output_size_of,
    run_cell,
    sizes_of,
    takes_training,
)
from unifront.opset.rules import show
from unifront.opset.tensor import building, to_numpy, type_of
from unifront.trace import CallContext, call_context, current_context
from unifront.weights import Variable

States = Sequence[Any]


class RNN(Layer):
    """A cell, applied to every step of a sequence: ``[batch, time, ...]`` → ``[batch, ...]``.

    Args:
        cell: a layer (or another object) with ``call(inputs, states) -> (output, new_states)`` and ``state_size``: an
            int, or a list of ints, one for each state. It may have ``output_size`` (else that of the first state) and
            ``get_initial_state(batch_size)`` (else states begin with zeros). Or a list of such cells, which is a
            `StackedRNNCells`.
        return_sequences: give every step's output, ``[batch, time, ...]``, not only the last one.
        return_state: also give the final states.
        go_backwards: read from the end; outputs come in the order they are made.
        stateful: begin each batch with the states that the last one ended with; see `reset_state`.
        unroll: taken as Keras takes it: it needs a static length. How loops are unrolled is the compiler's choice.
        zero_output_for_mask: masked steps give zeros instead of the output before them.

    Call with ``initial_state``, a list of the states to begin from. Steps outside the input's mask are passed over:
    states stay, outputs repeat. What a cell of yours draws at random differs from step to step.

    Raises `ArgumentError` for what is no cell, and for a stateful layer without a static batch size.

    Example::

        class Adding(uf.Layer):
            state_size = 4

            def call(self, inputs, states):
                total = states[0] + inputs
                return total, [total]

        x = layers.RNN(Adding(), return_sequences=True)(uf.Input((None, 4)))
    """

    supports_masking = True
    keeps_positions = False
    """Whether outputs read from the end lie where their inputs do."""
    input_rank: int | None = None
    """How many dimensions the input has; None for at least 3."""

    @checked
    def __init__(
        self,
        cell: Any,
        return_sequences: bool = False,
        return_state: bool = False,
        go_backwards: bool = False,
        stateful: bool = False,
        unroll: bool = False,
        zero_output_for_mask: bool = False,
        **options: Unpack[LayerOptions],
    ) -> None:
        super().__init__(**options)
        if isinstance(cell, list | tuple):
            cell = StackedRNNCells(cell)
        check_cell(cell)
        sizes_of(cell)
        self.cell = cell
        self.return_sequences, self.return_state = return_sequences, return_state
        self.go_backwards, self.stateful, self.unroll = go_backwards, stateful, unroll
        self.zero_output_for_mask = zero_output_for_mask
        self.states: Any = None

    @property
    def state_size(self) -> list[Any]:
        """The size of each state."""
        return sizes_of(self.cell)

    def build(self, sequences_shape: Any, initial_state_shape: Any = None) -> None:
        wanted = self.input_rank or max(3, len(sequences_shape))
        if len(sequences_shape) != wanted:
            form = "[batch, time, features]" if wanted == 3 else f"{wanted} dimensions, [batch, time, ...]"
            raise ShapeError(
                f"{type(self).__name__} takes {form}; the input has the shape {sequences_shape}."
            )
        if self.input_rank == 3:
            feature_size(sequences_shape)
        build_cell(self.cell, (sequences_shape[0], *sequences_shape[2:]), self.dtype_policy)
        if self.stateful:
            self._make_states(sequences_shape[0])

    # ------------------------------------------------------------ states kept

    def _make_states(self, batch: Any) -> None:
        if not isinstance(batch, int):
            raise ArgumentError(
                f"{type(self).__name__} is stateful, so the batch size must be static; give it as "
                "uf.Input(..., batch_size=...), or build the layer for a shape that says it."
            )
        number = itertools.count()

        def kept(state: Any) -> Variable:
            initial = np.asarray(to_numpy(state), self.compute_dtype.numpy)
            path = f"{self.name}/rnn_state_{next(number)}"
            return Variable.at(
                path, initial.shape, self.compute_dtype, initial=initial, trainable=False, scoped=False
            )

        with building(None):  # values, even where a graph is traced around this
            self.states = tree.map_leaves(kept, self.get_initial_state(batch))

    def named_weights(self) -> list[tuple[str, Variable]]:
        """The states that are kept, each with its name: they are no weights, but a graph has them beside these."""
        states = [] if self.states is None else tree.leaves(self.states)
        return [*super().named_weights(), *((state.name, state) for state in states)]

    def get_initial_state(self, batch_size: Any) -> list[Any]:
        """The states to begin from where none are given: a list, as the cell has them."""
        found = first_states(self.cell, batch_size, self.compute_dtype)
        return list(found) if isinstance(found, list | tuple) else [found]

    def reset_state(self) -> None:
        """Make the states that a stateful layer keeps zeros; without any nothing happens."""
        for state in [] if self.states is None else tree.leaves(self.states):
            state.assign(np.zeros(state.shape, state.dtype.numpy))

    reset_states = reset_state

    def _begin(self, x: Any, initial_state: Any) -> tuple[Any, list[Any] | None]:
        """The structure of the states; and those to begin from, None for the cell's own zeros."""
        sizes = self.state_size
        if initial_state is None and self.stateful:
            known, given = tree.leaves(self.states)[0].shape[0], type_of(x).shape[0]
            if not isinstance(given, DimExpr) and given != known:
                raise ArgumentError(
                    f"{type(self).__name__} is stateful: the batch size is that of its states, {known}, "
                    f"not {given}. A layer for another one has states of its own."
                )
            # Copies, as eager calls write into the states what gradients still need.
            initial_state = tree.map_leaves(ops.copy, self.states)
        if initial_state is None:
            return sizes, None
        states = tree.leaves(initial_state)
        if len(states) != len(tree.leaves(sizes)):
            raise ArgumentError(
                f"initial_state has {len(states)} tensors; {type(self).__name__} has "
                f"{len(tree.leaves(sizes))} states."
            )
        return sizes, [ops.cast(state, self.compute_dtype) for state in states]

    # ------------------------------------------------------------ going through

    def call(
        self, sequences: Any, initial_state: Any = None, mask: Any = None, training: bool = False
    ) -> Any:
        x, cell = sequences, self.cell
        if self.unroll and not isinstance(type_of(x).shape[1], int):
            raise ArgumentError(
                f"{type(self).__name__} cannot be unrolled: the length of its input {show(type_of(x).shape)} is "
                "free. Give Input a static one, or leave unroll at False."
            )
        structure, given = self._begin(x, initial_state)
        mask = next((one for one in tree.leaves(mask) if one is not None), None)
        fused = isinstance(cell, KnownCell) and cell.is_fused(training)
        # Our cells give their first state; so the last output is there without a sequence of them.
        short = fused or isinstance(cell, Cell)
        whole = self.return_sequences or mask is not None or not short

        def run(x: Any, lengths: Any) -> tuple[Any, ...]:
            if fused:
                states = [None] * len(tree.leaves(structure)) if given is None else given
                found: tuple[Any, ...] = cell.fused(x, states, lengths, self.go_backwards, training)
                return found
            return self._scan(x, given, lengths, training, whole)

        if mask is None:
            sequence, *states = run(x, None)
        else:
            check_mask(mask, x)
            sequence, *states = ops.with_mask(
                run, x, mask, reverse=self.go_backwards, zero_output=self.zero_output_for_mask
            )
        if self.stateful:
            for kept, new in zip(tree.leaves(self.states), states, strict=True):
                self.update(kept, ops.stop_gradient(new))
        output = self._output(sequence, states, short and (mask is None or self._shows_state(given)))
        return (output, *_filled(structure, states)) if self.return_state else output

    def _shows_state(self, given: Any) -> bool:
        """Whether the last output is the first state even if the last step is masked."""
        return given is None and not self.zero_output_for_mask

    def _output(self, sequence: Any, states: States, is_state: bool) -> Any:
        if not self.return_sequences:
            return self._first_output(states) if is_state else sequence[:, 0 if self.go_backwards else -1]
        if self.go_backwards and not self.keeps_positions:
            return ops.flip(sequence, axis=1)  # Keras gives the outputs in the order they were made
        return sequence

    def _first_output(self, states: States) -> Any:
        """The state that is the output: of several cells the first one of the last."""
        cell, rest = self.cell, list(states)
        while isinstance(cell, StackedRNNCells):
            rest = rest[len(tree.leaves(sizes_of(cell))) - len(tree.leaves(sizes_of(cell.cells[-1]))) :]
            cell = cell.cells[-1]
        return rest[0]

    def _scan(self, x: Any, given: Any, lengths: Any, training: bool, whole: bool) -> tuple[Any, ...]:
        """``(sequence, *states)`` by a scan of the cell's steps; the sequence is None unless ``whole``."""
        cell, structure = self.cell, self.state_size
        batch, time = type_of(x).shape[:2]
        initial = first_states(cell, batch, self.compute_dtype, x) if given is None else given
        states = tuple(ops.cast(state, self.compute_dtype) for state in tree.leaves(initial))
        own = isinstance(cell, Cell)
        numbers = None if own and lengths is None else ops.arange(time, dtype="int32", like=x)
        if lengths is not None:
            keep = ops.less(ops.expand_dims(numbers, 0), ops.expand_dims(lengths, 1))
            beside = ops.expand_dims(keep, tuple(range(2, type_of(x).rank)))
            # A masked NaN would show in the gradient, though not in the state.
            x = ops.where(beside, x, ops.zeros((), type_of(x).dtype, like=x))
        step: _OwnSteps | _Steps
        if own:
            step = _OwnSteps(cell, x, training)
        else:
            step = _Steps(cell, x, structure, numbers, training)
        kept = None if lengths is None else _swapped(keep)

        def body(carry: States, at: Any) -> tuple[States, Any]:
            inputs, counts = at
            output, new, losses = step(inputs, carry)
            if lengths is not None:
                new = tuple(ops.where(_beside(counts, a), a, b) for a, b in zip(new, carry, strict=True))
            return new, ((output, *losses) if whole else tuple(losses))

        final, found = ops.scan(body, states, (step.inputs, kept), reverse=self.go_backwards)
        outputs, losses = (found[0], found[1:]) if whole else (None, found)
        context = current_context()
        for loss in losses:
            if context is not None:
                context.losses.append(ops.sum(loss))
        return (None if outputs is None else _swapped(outputs), *final)

    # ------------------------------------------------------------ what it gives

    def compute_mask(self, inputs: Any, mask: Any = None) -> Any:
        output = super().compute_mask(inputs, mask) if self.return_sequences else None
        return [output, *[None] * len(self.state_size)] if self.return_state else output

    def compute_output_shape(self, sequences_shape: Any, initial_state_shape: Any = None) -> Any:
        """The shape of the output, and of the states if they are given, for an input of this shape."""
        batch, time = sequences_shape[:2]

        def shape(size: Any) -> tuple[Any, ...]:
            return (batch, *(size if isinstance(size, list | tuple) else (size,)))

        own = shape(output_size_of(self.cell))
        return self._shapes_given(
            own,
            time,
            [
                [shape(n) for n in one] if isinstance(one, list | tuple) else shape(one)
                for one in self.state_size
            ],
        )

    def _shapes_given(self, output: tuple[Any, ...], time: Any, states: Sequence[Any]) -> Any:
        found = (output[0], time, *output[1:]) if self.return_sequences else output
        return (found, *states) if self.return_state else found


class _OwnSteps:
    """The steps of a cell of ours: what inputs add to its gates is computed for all of them at once."""

    def __init__(self, cell: Cell, x: Any, training: bool) -> None:
        self.cell, self.context = cell, current_context() or CallContext()
        masks: tuple[Any, Any] = cell.draw_masks(x) if training else (None, None)
        entering, self.masks = masks
        with cell._entered(self.context):
            self.inputs = cell.enter(_swapped(x), entering)

    def __call__(self, x: Any, states: States) -> tuple[Any, tuple[Any, ...], tuple[Any, ...]]:
        with self.cell._entered(self.context):
            new = self.cell.advance(x, states, self.masks)
        return new[0], new, ()


class _Steps:
    """The steps of any cell. What it draws at random is drawn for each step, but for the dropout of cells of ours."""

    def __init__(self, cell: Any, x: Any, structure: Any, numbers: Any, training: bool) -> None:
        self.cell, self.structure = cell, structure
        self.options = {"training": training} if takes_training(cell) else {}
        self.inputs = (_swapped(x), numbers)
        self.single = not isinstance(cell.state_size, list | tuple)
        self.context = current_context() or CallContext()
        for one in cell.layers_below() if isinstance(cell, Layer) else ():
            if isinstance(one, Cell) and one.built and training:
                one.draw_masks(x)

    def __call__(self, at: Any, states: States) -> tuple[Any, tuple[Any, ...], tuple[Any, ...]]:
        x, number = at
        before = len(self.context.losses)
        with call_context(_InStep.of(self.context, number)):
            output, new = run_cell(self.cell, x, _filled(self.structure, states), **self.options)
        losses = tuple(self.context.losses[before:])
        del self.context.losses[before:]
        found = tuple(tree.leaves(new))
        if len(found) != len(states):
            raise ArgumentError(
                f"{type(self.cell).__name__} gave {len(found)} new states for its {len(states)}."
            )
        return output, found, losses


class _InStep(CallContext):
    """The context of one step: what it draws is drawn by a key of the step."""

    outer: CallContext
    number: Any

    @classmethod
    def of(cls, outer: CallContext, number: Any) -> _InStep:
        inner = cls(
            training=outer.training, depth=outer.depth, losses=outer.losses, masks=outer.masks,
            recorder=outer.recorder, kept=outer.kept,
        )  # fmt: skip
        inner.outer, inner.number = outer, number
        return inner

    def own_key(self) -> Any:
        if self.key is None:
            key = self.outer.random_key()
            self.key = key if isinstance(key, HostKey) else ops.fold_in(key, self.number)
        return self.key


def _swapped(x: Any) -> Any:
    """``x`` with batch and time changed about."""
    return ops.swapaxes(x, 0, 1)


def _beside(keep: Any, x: Any) -> Any:
    """Booleans of a batch with the further axes of ``x``."""
    return ops.expand_dims(keep, tuple(range(1, type_of(x).rank)))


def _filled(structure: Any, leaves: Sequence[Any]) -> list[Any]:
    """``leaves`` in the structure of state sizes."""
    rest = iter(leaves)
    return [
        [next(rest) for _ in tree.leaves(one)] if isinstance(one, list | tuple) else next(rest)
        for one in structure
    ]
