"""Recurrent networks over whole sequences: ``lstm``, ``gru``, ``simple_rnn``, and `with_mask`.

All take ``x[batch, time, features]`` and Keras's weights: ``kernel[features, gates * units]`` and
``recurrent_kernel[units, gates * units]``. With ``lengths`` a sequence ends early: steps at or past its
length leave the state alone and give zeros, whatever stands there (NaN too), and get no gradient. With
``reverse`` each sequence is read from its own end to its start; the output at position ``t`` stays at ``t``,
so that it is the state after reading ``t … length - 1`` (ONNX ``direction="reverse"``). The last state is
that after the last step read.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from unifront.dtypes import promote, to_float
from unifront.errors import ArgumentError, DTypeError, ShapeError
from unifront.ir import facts
from unifront.ir.types import Shape, TensorType
from unifront.opset import comparison, cumulative, elementwise, flops, index, reduce
from unifront.opset import shape as shapes
from unifront.opset.elementwise import TensorLike, cast
from unifront.opset.rules import need_float, need_rank, same_dtype, show
from unifront.opset.spec import OpSpec, Sample, register
from unifront.opset.tensor import bind, type_of

_ACTIVATIONS: dict[str, Callable[[np.ndarray], np.ndarray]] = {
    "tanh": np.tanh,
    "relu": lambda x: np.maximum(x, 0),
}

HOLD: dict[str, tuple[int, ...]] = {"lstm": (-1, 1, 0, 0), "relu": (-1,)}
"""How a fused loop that runs over padding is held there: by what is added to its gates, in saturations. An LSTM
shuts its input gate and opens its forget gate; a state made by relu is kept at zero, for it may grow without end."""

SATURATION = {"float16": 3e4, "bfloat16": 1e30, "float32": 1e30, "float64": 1e30}
"""What saturates a gate, whatever it adds up to otherwise: its sigmoid is exactly 1, of its negative 0."""


def _rule(
    gates: int, bias_rows: int | None, x: TensorType, kernel: TensorType, recurrent_kernel: TensorType,
    bias: TensorType | None, states: tuple[TensorType | None, ...], lengths: TensorType | None,
) -> tuple[TensorType, ...]:  # fmt: skip
    """Types of the sequence and the last states."""
    need_rank(need_float(x, "x"), 3, "x [batch, time, features]")
    batch, time, features = x.shape
    units = need_rank(recurrent_kernel, 2, "recurrent_kernel").shape[0]
    wanted: list[tuple[str, TensorType | None, Shape]] = [
        ("kernel", kernel, (features, gates * units)),
        ("recurrent_kernel", recurrent_kernel, (units, gates * units)),
        ("bias", bias, (gates * units,) if bias_rows is None else (bias_rows, gates * units)),
        *(("an initial state", state, (batch, units)) for state in states),
        ("lengths", lengths, (batch,)),
    ]
    for name, type_, shape in wanted:
        if type_ is not None and type_.shape != shape:
            raise ShapeError(
                f"{name} has the shape {show(type_.shape)}; with x {show(x.shape)} and {units} units "
                f"it is {show(shape)}."
            )
    same_dtype(*(t for t in (x, kernel, recurrent_kernel, bias, *states) if t is not None))
    if lengths is not None and not lengths.dtype.is_integer:
        raise DTypeError(f"lengths are {lengths.dtype}; integers are needed.")
    return (x.with_shape((batch, time, units)), *(x.with_shape((batch, units)) for _ in states))


def _reference(cell: Callable[..., tuple[np.ndarray, ...]]) -> Callable[..., tuple[np.ndarray, ...]]:
    """``cell(x_t, *states, kernel, recurrent_kernel, bias, **attributes) -> states`` over time.

    The first state is the output.
    """

    def reference(
        x: np.ndarray, kernel: Any, recurrent_kernel: Any, bias: Any, *rest: Any, reverse: bool, **attributes: Any
    ) -> tuple[np.ndarray, ...]:  # fmt: skip
        batch, time, _ = x.shape
        outputs = np.zeros((batch, time, len(recurrent_kernel)), x.dtype)
        *initial, lengths = rest
        states = [np.zeros((batch, len(recurrent_kernel)), x.dtype) if h is None else h for h in initial]
        weights = kernel, recurrent_kernel, np.zeros(1, x.dtype) if bias is None else bias
        ends = np.full(batch, time) if lengths is None else np.asarray(lengths)
        rows = np.arange(batch)
        for t in range(time):
            active = t < ends
            position = np.where(active, ends - 1 - t if reverse else t, 0)
            new = cell(x[rows, position], *states, *weights, **attributes)
            states = [np.where(active[:, None], n, h) for n, h in zip(new, states, strict=True)]
            outputs[rows[active], position[active]] = states[0][active]
        return (outputs, *states)

    return reference


def _sigmoid(x: np.ndarray) -> np.ndarray:
    return 0.5 * (1 + np.tanh(0.5 * x))


def _lstm_cell(x: Any, h: Any, c: Any, kernel: Any, recurrent_kernel: Any, bias: Any) -> tuple[Any, Any]:
    i, f, g, o = np.split(x @ kernel + h @ recurrent_kernel + bias, 4, axis=1)
    c = _sigmoid(f) * c + _sigmoid(i) * np.tanh(g)
    return _sigmoid(o) * np.tanh(c), c


def _gru_cell(x: Any, h: Any, kernel: Any, recurrent_kernel: Any, bias: Any, reset_after: bool) -> tuple[Any]:
    outer, inner = np.broadcast_to(bias, (2, kernel.shape[1])) if reset_after else (bias, 0)
    xz, xr, xh = np.split(x @ kernel + outer, 3, axis=1)
    hz, hr, hh = np.split(h @ recurrent_kernel + inner, 3, axis=1)
    z, r = _sigmoid(xz + hz), _sigmoid(xr + hr)
    last = np.split(recurrent_kernel, 3, axis=1)[2]
    return (z * h + (1 - z) * np.tanh(xh + (r * hh if reset_after else (r * h) @ last)),)


def _simple_rnn_cell(
    x: Any, h: Any, kernel: Any, recurrent_kernel: Any, bias: Any, activation: str
) -> tuple[Any]:
    return (_ACTIVATIONS[activation](x @ kernel + h @ recurrent_kernel + bias),)


def _samples(
    gates: int, states: int, attributes: dict[str, Any] | None = None, bias_rows: int | None = None
) -> Callable[[np.random.Generator], Iterator[Sample]]:
    """Lengths 0 and full, both directions, one step, one sequence, every optional operand absent.

    Past the end stands what would show anywhere else.
    """
    # batch, time, features, units, bias, initial state, lengths and what stands past them, reverse
    table: tuple[tuple[int, int, int, int, bool, bool, tuple[int, ...] | None, float, bool], ...] = (
        (3, 4, 2, 3, True, True, (4, 0, 2), np.nan, False),
        (3, 4, 2, 3, True, True, (2, 4, 0), 1e6, True),
        (2, 3, 3, 2, False, False, None, 0, False),
        (2, 3, 1, 2, True, True, None, 0, True),
        (1, 1, 2, 1, True, False, None, 0, False),
        (2, 3, 1, 2, False, False, (1, 3), np.nan, True),
    )

    def samples(rng: np.random.Generator) -> Iterator[Sample]:
        for batch, time, features, units, bias, initial, lengths, padding, reverse in table:
            bias_shape = (gates * units,) if bias_rows is None else (bias_rows, gates * units)
            x = rng.normal(size=(batch, time, features))
            if lengths is not None:
                x[np.arange(time) >= np.asarray(lengths)[:, None]] = padding
            operands = (
                x,
                rng.normal(size=(features, gates * units)),
                rng.normal(size=(units, gates * units)),
                rng.normal(size=bias_shape) if bias else None,
                *(rng.normal(size=(batch, units)) if initial else None for _ in range(states)),
                None if lengths is None else np.asarray(lengths, np.int32),
            )
            yield Sample(operands, {"reverse": reverse, **(attributes or {})})

    return samples


def _several(*generators: Callable[[np.random.Generator], Iterator[Sample]], keep: tuple[int, ...]) -> Any:
    """All samples of the first generator, and of each further one those numbered ``keep``."""

    def samples(rng: np.random.Generator) -> Iterator[Sample]:
        yield from generators[0](rng)
        for generator in generators[1:]:
            yield from (sample for i, sample in enumerate(generator(rng)) if i in keep)

    return samples


LSTM = register(
    OpSpec(
        "lstm",
        rule=lambda x, kernel, recurrent_kernel, bias, h0, c0, lengths, reverse: _rule(
            4, None, x, kernel, recurrent_kernel, bias, (h0, c0), lengths
        ),
        reference=_reference(_lstm_cell),
        samples=_samples(4, 2),
        source="Hochreiter and Schmidhuber 1997, Gers et al. 2000; Keras LSTM; ONNX LSTM",
        attributes={"reverse": bool},
        facts=facts.opaque("accumulate", fresh=True),
        flops=flops.recurrent(4, 9),
    )
)


GRU = register(
    OpSpec(
        "gru",
        rule=lambda x, kernel, recurrent_kernel, bias, h0, lengths, reverse, reset_after: _rule(
            3, 2 if reset_after else None, x, kernel, recurrent_kernel, bias, (h0,), lengths
        ),
        reference=_reference(_gru_cell),
        samples=_several(
            _samples(3, 1, {"reset_after": True}, bias_rows=2),
            _samples(3, 1, {"reset_after": False}),
            keep=(1, 2),
        ),
        source="Cho et al. 2014 (reset before the product), cuDNN's form (reset after); Keras GRU; ONNX GRU",
        attributes={"reverse": bool, "reset_after": bool},
        facts=facts.opaque("accumulate", fresh=True),
        flops=flops.recurrent(3, 8),
    )
)


def _simple_rnn_rule(
    x: Any,
    kernel: Any,
    recurrent_kernel: Any,
    bias: Any,
    h0: Any,
    lengths: Any,
    reverse: bool,
    activation: str,
) -> Any:
    if activation not in _ACTIVATIONS:
        raise ArgumentError(
            f"simple_rnn: activation is one of {', '.join(_ACTIVATIONS)}, not {activation!r}; see scan."
        )
    return _rule(1, None, x, kernel, recurrent_kernel, bias, (h0,), lengths)


SIMPLE_RNN = register(
    OpSpec(
        "simple_rnn",
        rule=_simple_rnn_rule,
        reference=_reference(_simple_rnn_cell),
        samples=_several(
            _samples(1, 1, {"activation": "tanh"}), _samples(1, 1, {"activation": "relu"}), keep=(0, 3)
        ),
        source="Elman 1990; Keras SimpleRNN; ONNX RNN",
        attributes={"reverse": bool, "activation": str},
        facts=facts.opaque("accumulate", fresh=True),
        flops=flops.recurrent(1, 1),
    )
)


def _floats(*operands: Any) -> tuple[Any, ...]:
    """The operands (None kept) cast to the float dtype in which they meet."""
    dtype = promote(*(to_float(type_of(operand).dtype) for operand in operands if operand is not None))
    return tuple(None if operand is None else cast(operand, dtype) for operand in operands)


def _lengths(lengths: Any) -> Any:
    return None if lengths is None else cast(lengths, "int32")


def lstm(
    x: TensorLike,
    kernel: TensorLike,
    recurrent_kernel: TensorLike,
    bias: TensorLike | None = None,
    h0: TensorLike | None = None,
    c0: TensorLike | None = None,
    lengths: TensorLike | None = None,
    *,
    reverse: bool = False,
) -> Any:
    """A long short-term memory over ``x``, with ``sigmoid`` gates and ``tanh`` (Keras LSTM; ONNX LSTM).

    Args:
        x: ``[batch, time, features]``.
        kernel, recurrent_kernel: ``[features, 4 * units]``, ``[units, 4 * units]``; the gates are input,
            forget, cell, output.
        bias: ``[4 * units]`` or None.
        h0, c0: ``[batch, units]``, zeros if None.
        lengths: ints ``[batch]``, how many steps of each sequence to read; None reads all.
        reverse: read from the end to the start; the output at ``t`` is still that of step ``t``.

    Returns ``(sequence[batch, time, units], h[batch, units], c[batch, units])``, all of the float dtype in which
    the operands meet. Raises `ShapeError` for a weight or state of another shape, `DTypeError` for lengths that
    are no integers.

    Example::

        sequence, h, c = uf.ops.lstm(np.ones((2, 5, 3)), np.ones((3, 16)), np.ones((4, 16)))
    """
    return bind(
        LSTM, *_floats(x, kernel, recurrent_kernel, bias, h0, c0), _lengths(lengths), reverse=bool(reverse)
    )


def gru(
    x: TensorLike,
    kernel: TensorLike,
    recurrent_kernel: TensorLike,
    bias: TensorLike | None = None,
    h0: TensorLike | None = None,
    lengths: TensorLike | None = None,
    *,
    reverse: bool = False,
    reset_after: bool = True,
) -> Any:
    """A gated recurrent unit over ``x``, with ``sigmoid`` gates and ``tanh`` (Keras GRU; ONNX GRU).

    Args:
        kernel, recurrent_kernel: ``[features, 3 * units]``, ``[units, 3 * units]``; the gates are update,
            reset, candidate.
        bias: ``[2, 3 * units]`` (input's and state's) with ``reset_after``, else ``[3 * units]``; or None.
        reset_after: apply the reset gate after the recurrent product (as cuDNN does), or before it (Cho et
            al. 2014).

    The rest is as in `lstm`. Returns ``(sequence[batch, time, units], h[batch, units])``.
    """
    operands = _floats(x, kernel, recurrent_kernel, bias, h0)
    return bind(GRU, *operands, _lengths(lengths), reverse=bool(reverse), reset_after=bool(reset_after))


def simple_rnn(
    x: TensorLike,
    kernel: TensorLike,
    recurrent_kernel: TensorLike,
    bias: TensorLike | None = None,
    h0: TensorLike | None = None,
    lengths: TensorLike | None = None,
    *,
    reverse: bool = False,
    activation: str = "tanh",
) -> Any:
    """``h = activation(x_t @ kernel + h @ recurrent_kernel + bias)`` at every step (Keras SimpleRNN).

    Args:
        kernel, recurrent_kernel: ``[features, units]``, ``[units, units]``.
        bias: ``[units]`` or None.
        activation: ``"tanh"`` or ``"relu"``; for others use `scan`.

    The rest is as in `lstm`. Returns ``(sequence[batch, time, units], h[batch, units])``.
    """
    operands = _floats(x, kernel, recurrent_kernel, bias, h0)
    return bind(SIMPLE_RNN, *operands, _lengths(lengths), reverse=bool(reverse), activation=activation)


def with_mask(
    run: Callable[[Any, Any], tuple[Any, ...]],
    x: TensorLike,
    mask: TensorLike,
    *,
    reverse: bool = False,
    zero_output: bool = False,
) -> tuple[Any, ...]:
    """A recurrent operation under a mask that may have holes, by one call of the fused operation (Keras RNN).

    A masked step keeps the state; its output repeats the one of the step read before it (zeros before the
    first), or is zeros with ``zero_output``. The steps that count are moved to the front, ``run`` reads that
    many, and its outputs are moved back.

    Args:
        run: ``(x, lengths) -> (sequence, *states)``, a partial `lstm` say, that reads in the direction
            ``reverse``.
        x: ``[batch, time, ...]``.
        mask: booleans ``[batch, time]``, true where a step counts.

    Returns what ``run`` returns.
    """

    def beside(numbers: Any, tensor: Any) -> Any:
        """``numbers[batch, time]`` with the further axes of ``tensor``."""
        return shapes.expand_dims(numbers, tuple(range(2, type_of(tensor).rank)))

    mask = cast(mask, "bool")
    order = index.argsort(cast(comparison.logical_not(mask), "int32"), axis=1)
    count = cumulative.cumsum(cast(mask, "int32"), axis=1)
    compact = index.take_along_axis(x, beside(order, x), axis=1)
    lengths = reduce.sum(cast(mask, "int32"), axis=1)
    sequence, *states = run(compact, lengths)
    # Where the output of each step stands: a masked step takes that of the step read before it.
    position = elementwise.subtract(count, cast(mask, "int32")) if reverse else elementwise.subtract(count, 1)
    exists = (
        comparison.less(position, shapes.expand_dims(lengths, -1))
        if reverse
        else comparison.greater_equal(position, 0)
    )
    # Never past the end: a masked step leaves room.
    position = beside(elementwise.maximum(position, 0), sequence)
    spread = index.take_along_axis(sequence, position, axis=1)
    shown = mask if zero_output else exists
    return (elementwise.where(beside(shown, spread), spread, 0.0), *states)
