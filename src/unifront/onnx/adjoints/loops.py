"""The rules of branches and loops, and recurrent layers as the loops that they are."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from unifront.ir.graph import Graph
from unifront.onnx.adjoints.reverse import Form, Rule, Written, backward, forward
from unifront.opset import activation as activations
from unifront.opset import comparison as c
from unifront.opset import control, creation, custom, rnn
from unifront.opset import elementwise as e
from unifront.opset import shape as s
from unifront.opset.linalg import matmul
from unifront.opset.replay import inline
from unifront.opset.spec import OpSpec
from unifront.opset.tensor import active_builder, lift, type_of


def _zeros(x: Any) -> Any:
    return creation.zeros(type_of(x).shape, type_of(x).dtype, like=x)


def _is_float(x: Any) -> bool:
    return type_of(x).dtype.is_float


def _pulled(region: Graph, operands: Sequence[Any], gradients: Sequence[Any]) -> list[Any]:
    """Of the results of ``region`` on ``operands`` the gradients given, None for none, as gradients of the operands."""
    from unifront.onnx.adjoints import forms, rules

    builder, tables = active_builder(), (rules(), forms())
    assert builder is not None
    wanted = [_is_float(x) for x in operands]
    region, tape, values = forward(region, operands, wanted, builder, tables)
    seeds: dict[Any, Any] = {}
    for value, gradient in zip(region.outputs, gradients, strict=True):
        if gradient is not None:
            seeds[value] = e.add(seeds[value], gradient) if value in seeds else gradient
    found = backward(tape, seeds, tables)
    del values
    return [
        found.get(value, _zeros(x)) if asks else None
        for value, x, asks in zip(region.inputs, operands, wanted, strict=True)
    ]


def _cond(w: Written, *gradients: Any) -> Any:
    predicate, *operands = w.operands
    given = [g if _is_float(g) else None for g in gradients]

    def branch(region: Graph) -> Callable[[], list[Any]]:
        return lambda: [one for one in _pulled(region, operands, given) if one is not None]

    found = iter(control.cond(predicate, *map(branch, w.node.regions)))
    return None, *(next(found) if _is_float(x) else None for x in operands)


def _scan(w: Written, *gradients: Any) -> Any:
    """A scan the other way round, over the states before each step, which are computed again."""
    states, sequences = w["states"], w["sequences"]
    (body,) = w.node.regions
    initial, scanned = w.operands[:states], w.operands[states : states + sequences]
    captured = w.operands[states + sequences :]

    def again(carry: list[Any], x: Any) -> tuple[list[Any], list[Any]]:
        builder = active_builder()
        assert builder is not None
        given = [lift(one, builder) for one in (*carry, *(x or ()), *captured)]
        return list(inline(body, builder, given, [])[:states]), list(carry)

    xs = list(scanned) or None
    length = None if scanned else w["length"]
    _, before = control.scan(again, list(initial), xs, length, w["reverse"])
    of_states, of_outputs = gradients[:states], gradients[states:]
    floats = [i for i in range(states) if _is_float(initial[i])]
    own = [i for i, x in enumerate(captured) if _is_float(x)]
    shown = [i for i, g in enumerate(of_outputs) if _is_float(g)]

    def step(carry: tuple[list[Any], list[Any]], parts: Any) -> Any:
        later, totals = carry
        olds, parts_of, slopes = parts
        given: list[Any] = [None] * (states + len(of_outputs))
        for i, g in zip(floats, later, strict=True):
            given[i] = g
        for i, g in zip(shown, slopes, strict=True):
            given[states + i] = g
        found = _pulled(body, [*olds, *parts_of, *captured], given)
        of_captured = found[states + sequences :]
        totals = [e.add(total, of_captured[i]) for i, total in zip(own, totals, strict=True)]
        of_parts = [one for one in found[states : states + sequences] if one is not None]
        return ([found[i] for i in floats], totals), of_parts

    start = ([of_states[i] for i in floats], [_zeros(captured[i]) for i in own])
    over = (list(before), list(scanned), [of_outputs[i] for i in shown])
    (firsts, totals), parts = control.scan(step, start, over, None, not w["reverse"])
    of_initial, of_scanned, of_captured = dict(zip(floats, firsts, strict=True)), iter(parts), iter(totals)
    return (
        *(of_initial.get(i) for i in range(states)),
        *(next(of_scanned) if _is_float(x) else None for x in scanned),
        *(next(of_captured) if _is_float(x) else None for x in captured),
    )


def _custom(w: Written, *gradients: Any) -> Any:
    """The user's gradient; what it keeps of the function is computed again."""
    builder = active_builder()
    assert builder is not None
    function, gradient = w.node.regions
    kept = inline(function, builder, [lift(x, builder) for x in w.operands], [])[w["results"] :]
    found = inline(gradient, builder, [*(lift(g, builder) for g in gradients), *kept], [])
    return *found, *(None,) * (len(w.operands) - len(found))


# ---------------------------------------------------------------- recurrent layers


def _over_time(
    cell: Callable[..., tuple[Any, ...]], x: Any, recurrent_kernel: Any, initial: Sequence[Any], lengths: Any,
    reverse: bool,
) -> tuple[Any, ...]:  # fmt: skip
    """``cell(x_t, *states) -> states`` over time, whose first state is the output; see `unifront.opset.rnn`."""
    batch, time, _ = type_of(x).shape
    units, dtype = type_of(recurrent_kernel).shape[0], type_of(x).dtype
    start = [creation.zeros((batch, units), dtype, like=x) if h is None else h for h in initial]
    steps = creation.iota((time,), 0, "int32", like=x)

    def step(states: list[Any], parts: list[Any]) -> tuple[list[Any], Any]:
        t, part = parts
        if lengths is None:
            new = list(cell(part, *states))
            return new, new[0]
        inside = s.expand_dims(c.less(t, lengths), 1)
        new = list(cell(e.where(inside, part, 0), *states))
        kept = [e.where(inside, one, old) for one, old in zip(new, states, strict=True)]
        return kept, e.where(inside, new[0], 0)

    last, outputs = control.scan(step, start, [steps, s.transpose(x, (1, 0, 2))], None, reverse)
    return s.transpose(outputs, (1, 0, 2)), *last


def _plus(x: Any, bias: Any) -> Any:
    return x if bias is None else e.add(x, bias)


def _lstm(
    x: Any, kernel: Any, recurrent_kernel: Any, bias: Any, h0: Any, c0: Any, lengths: Any, reverse: bool
) -> Any:
    def cell(part: Any, h: Any, state: Any) -> tuple[Any, Any]:
        gates = _plus(e.add(matmul(part, kernel), matmul(h, recurrent_kernel)), bias)
        i, f, g, o = s.split(gates, 4, 1)
        state = e.sigmoid(f) * state + e.sigmoid(i) * e.tanh(g)
        return e.sigmoid(o) * e.tanh(state), state

    return _over_time(cell, x, recurrent_kernel, (h0, c0), lengths, reverse)


def _gru(
    x: Any, kernel: Any, recurrent_kernel: Any, bias: Any, h0: Any, lengths: Any, reverse: bool, reset_after: bool
) -> Any:  # fmt: skip
    outer, inner = (bias, None) if bias is None or not reset_after else (bias[0], bias[1])
    last = s.split(recurrent_kernel, 3, 1)[2]

    def cell(part: Any, h: Any) -> tuple[Any]:
        xz, xr, xh = s.split(_plus(matmul(part, kernel), outer), 3, 1)
        hz, hr, hh = s.split(_plus(matmul(h, recurrent_kernel), inner), 3, 1)
        z, r = e.sigmoid(xz + hz), e.sigmoid(xr + hr)
        new = e.tanh(xh + (r * hh if reset_after else matmul(r * h, last)))
        return (z * h + (1 - z) * new,)

    return _over_time(cell, x, recurrent_kernel, (h0,), lengths, reverse)


def _simple_rnn(
    x: Any, kernel: Any, recurrent_kernel: Any, bias: Any, h0: Any, lengths: Any, reverse: bool, activation: str
) -> Any:  # fmt: skip
    curve = {"tanh": e.tanh, "relu": activations.relu}[activation]

    def cell(part: Any, h: Any) -> tuple[Any]:
        return (curve(_plus(e.add(matmul(part, kernel), matmul(h, recurrent_kernel)), bias)),)

    return _over_time(cell, x, recurrent_kernel, (h0,), lengths, reverse)


FORMS: Mapping[OpSpec, Form] = {rnn.LSTM: _lstm, rnn.GRU: _gru, rnn.SIMPLE_RNN: _simple_rnn}

TABLE: Mapping[OpSpec, Rule] = {
    control.COND: _cond,
    control.SCAN: _scan,
    custom.CUSTOM_GRADIENT: _custom,
}
