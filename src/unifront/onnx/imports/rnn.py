"""Recurrent networks: the fused operations where the node is what they are, else steps of a scan."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from unifront import ops
from unifront.onnx.imports.node import Node, Row
from unifront.onnx.imports.values import Weight
from unifront.opset.tensor import type_of

LSTM_GATES = (0, 2, 3, 1)
"""Input, forget, cell, output: ONNX's gates in Keras's order."""
DEFAULTS = {"RNN": ("tanh",), "GRU": ("sigmoid", "tanh"), "LSTM": ("sigmoid", "tanh", "tanh")}
GATES = {"RNN": 1, "GRU": 3, "LSTM": 4}
_ALPHA, _BETA = (
    {
        "leakyrelu": 0.01,
        "elu": 1.0,
        "hardsigmoid": 0.2,
        "thresholdedrelu": 1.0,
        "scaledtanh": 1.0,
        "affine": 1.0,
    },
    {"hardsigmoid": 0.5, "scaledtanh": 1.0, "affine": 0.0},
)
"""ONNX's defaults of the numbers that some activations take."""
ACTIVATIONS: dict[str, Callable[[Any, float, float], Any]] = {
    "tanh": lambda x, a, b: ops.tanh(x),
    "sigmoid": lambda x, a, b: ops.sigmoid(x),
    "relu": lambda x, a, b: ops.relu(x),
    "affine": lambda x, a, b: ops.add(ops.multiply(x, a), b),
    "leakyrelu": lambda x, a, b: ops.leaky_relu(x, a),
    "thresholdedrelu": lambda x, a, b: ops.where(ops.greater(x, a), x, ops.zeros_like(x)),
    "scaledtanh": lambda x, a, b: ops.multiply(ops.tanh(ops.multiply(x, b)), a),
    "hardsigmoid": lambda x, a, b: ops.clip(ops.add(ops.multiply(x, a), b), 0.0, 1.0),
    "elu": lambda x, a, b: ops.elu(x, a),
    "softsign": lambda x, a, b: ops.softsign(x),
    "softplus": lambda x, a, b: ops.softplus(x),
}


class _Direction:
    """The weights of one direction in Keras's layouts, gates in ONNX's order: of weights they are weights again."""

    def __init__(self, node: Node, kind: str, number: int, operands: list[Any]) -> None:
        kernel, recurrent, bias, states, peepholes = operands
        self.kernel = _matrix(node, kernel, number, kind)
        self.recurrent = _matrix(node, recurrent, number, kind)
        self.units = type_of(self.recurrent).shape[0]
        self._bias = None if bias is None else (node, bias, number, kind)
        self.states = [None if one is None else ops.get_item(one, number) for one in states]
        self.peepholes = (
            None if peepholes is None else ops.split(ops.get_item(node.number(peepholes), number), 3, 0)
        )
        count = len(DEFAULTS[kind])
        self.functions = _functions(node, kind)[number * count : (number + 1) * count]

    def bias(self, *, joined: bool) -> Any:
        """The biases of input and state: their sum, which is one weight then, or the two ``[2, gates * units]``."""
        if self._bias is None:
            return None
        node, bias, number, kind = self._bias

        def change(both: Any) -> Any:
            pair = ops.reshape(both, (2, -1))
            return _ordered(ops.sum(pair, 0) if joined else pair, kind)

        return _part(node, bias, number, change)


def _part(node: Node, value: Any, number: int, change: Callable[[Any], Any]) -> Any:
    """``change`` of the part of one direction; of a weight that is what the graph's weight is from then on."""
    if not isinstance(value, Weight):
        return change(ops.get_item(value, number))
    return node.importer.lifting.derived(value, number, change)


def _matrix(node: Node, value: Any, number: int, kind: str) -> Any:
    """``[gates * units, inputs]`` of one direction as ``[inputs, gates * units]``, the gates in Keras's order."""
    return _part(node, value, number, lambda w: _ordered(ops.transpose(w, (1, 0)), kind))


def _ordered(x: Any, kind: str) -> Any:
    """The gates along the last axis in Keras's order."""
    if kind != "LSTM":
        return x
    gates = ops.split(x, 4, -1)
    return ops.concatenate([gates[i] for i in LSTM_GATES], -1)


def _functions(node: Node, kind: str) -> list[tuple[str, float, float]]:
    directions = 2 if node["direction"] == "bidirectional" else 1
    names = [name.lower() for name in node["activations"] or DEFAULTS[kind] * directions]
    names = names[
        : len(DEFAULTS[kind]) * directions
    ]  # ONNX's own default of a RNN has one for a second direction
    if len(names) != len(DEFAULTS[kind]) * directions or any(name not in ACTIVATIONS for name in names):
        node.fail(f"the activations {names}")
    alphas, betas = iter(node["activation_alpha"] or ()), iter(node["activation_beta"] or ())
    return [
        (
            name,
            next(alphas, _ALPHA[name]) if name in _ALPHA else 0.0,
            next(betas, _BETA[name]) if name in _BETA else 0.0,
        )
        for name in names
    ]


def _recurrent(kind: str) -> Row:
    states = 2 if kind == "LSTM" else 1

    def row(
        node: Node, x: Any, kernel: Any, recurrent: Any, bias: Any = None, lengths: Any = None, *more: Any
    ) -> Any:
        first = [*more, *[None] * (3 - len(more))]
        initial, peepholes = (first[:2], first[2]) if kind == "LSTM" else (first[:1], None)
        batch_major = node["layout"] == 1
        if batch_major:
            initial = [None if one is None else ops.swapaxes(one, 0, 1) for one in initial]
        sequence = x if batch_major else ops.swapaxes(x, 0, 1)  # [batch, time, features]
        names = {"forward": (False,), "reverse": (True,), "bidirectional": (False, True)}
        directions = names.get(node["direction"] or "forward")
        if directions is None:
            node.fail(f"the direction {node['direction']!r}")
        outputs = []
        for number, reverse in enumerate(directions):
            own = _Direction(node, kind, number, [kernel, recurrent, bias, initial, peepholes])
            outputs.append(_run(node, kind, sequence, own, lengths, reverse))
        whole = [one[0] if batch_major else ops.swapaxes(one[0], 0, 1) for one in outputs]
        last = [_joined([one[1 + i] for one in outputs], 1 if batch_major else 0) for i in range(states)]
        # [batch, time, directions, units], or [time, directions, batch, units]; [directions, batch, units]
        return (_joined(whole, 2 if batch_major else 1), *last)

    return Row(row, weights=(1, 2, 3, 7))


def _joined(directions: list[Any], axis: int) -> Any:
    """What each direction gives along a new axis."""
    return ops.expand_dims(directions[0], axis) if len(directions) == 1 else ops.stack(directions, axis)


def _run(node: Node, kind: str, x: Any, own: _Direction, lengths: Any, reverse: bool) -> tuple[Any, ...]:
    """The outputs ``[batch, time, units]`` of one direction and the last states."""
    names = tuple(name for name, _, _ in own.functions)
    fused = own.peepholes is None and not node["clip"] and not node["input_forget"]
    lengths = None if lengths is None else ops.cast(lengths, "int32")
    given = {"lengths": lengths, "reverse": reverse}
    if fused and kind == "LSTM" and names == DEFAULTS["LSTM"]:
        return ops.lstm(x, own.kernel, own.recurrent, own.bias(joined=True), *own.states, **given)
    if fused and kind == "GRU" and names == DEFAULTS["GRU"]:
        after = node["linear_before_reset"] == 1
        bias = own.bias(joined=not after)
        return ops.gru(x, own.kernel, own.recurrent, bias, own.states[0], **given, reset_after=after)
    if fused and kind == "RNN" and names[0] in ("tanh", "relu"):
        bias, activation = own.bias(joined=True), names[0]
        return ops.simple_rnn(
            x, own.kernel, own.recurrent, bias, own.states[0], **given, activation=activation
        )
    return _stepwise(node, kind, x, own, lengths, reverse)


def _stepwise(node: Node, kind: str, x: Any, own: _Direction, lengths: Any, reverse: bool) -> tuple[Any, ...]:
    """A cell that no fused operation has, step by step."""
    type_ = type_of(x)
    batch, time, _ = type_.shape
    zeros = ops.zeros((batch, own.units), type_.dtype, like=x)
    initial = [zeros if one is None else ops.add(one, zeros) for one in own.states]
    ends = None if lengths is None else ops.reshape(lengths, (batch, 1))
    steps = ops.iota((time,), 0, "int32", like=x)
    bias = own.bias(joined=kind != "GRU")
    cell = {"LSTM": _lstm_cell, "GRU": _gru_cell, "RNN": _rnn_cell}[kind]

    def step(carry: Any, given: Any) -> Any:
        features, place = given
        new = cell(node, own, bias, features, carry)
        shown = new[0]
        if ends is not None:
            alive = ops.less(place, ends)
            new = tuple(ops.where(alive, one, old) for one, old in zip(new, carry, strict=True))
            shown = ops.where(alive, shown, ops.zeros_like(shown))
        return tuple(new), shown

    last, sequence = ops.scan(step, tuple(initial), (ops.swapaxes(x, 0, 1), steps), reverse=reverse)
    return (ops.swapaxes(sequence, 0, 1), *last)


def _activated(node: Node, own: _Direction, number: int, x: Any) -> Any:
    clip = node["clip"]
    x = ops.clip(x, -clip, clip) if clip else x
    name, alpha, beta = own.functions[number]
    return ACTIVATIONS[name](x, alpha, beta)


def _gates_of(own: _Direction, bias: Any, features: Any, h: Any) -> Any:
    gates = ops.add(ops.matmul(features, own.kernel), ops.matmul(h, own.recurrent))
    return gates if bias is None else ops.add(gates, bias)


def _rnn_cell(node: Node, own: _Direction, bias: Any, features: Any, carry: Any) -> tuple[Any, ...]:
    return (_activated(node, own, 0, _gates_of(own, bias, features, carry[0])),)


def _gru_cell(node: Node, own: _Direction, bias: Any, features: Any, carry: Any) -> tuple[Any, ...]:
    (h,) = carry
    inputs = ops.matmul(features, own.kernel)
    inputs = inputs if bias is None else ops.add(inputs, ops.get_item(bias, 0))
    kernels = ops.split(own.recurrent, 3, -1)
    biases = [0.0] * 3 if bias is None else ops.split(ops.get_item(bias, 1), 3, -1)
    zi, ri, hi = ops.split(inputs, 3, -1)
    z = _activated(node, own, 0, ops.add(ops.add(zi, ops.matmul(h, kernels[0])), biases[0]))
    r = _activated(node, own, 0, ops.add(ops.add(ri, ops.matmul(h, kernels[1])), biases[1]))
    if node["linear_before_reset"]:
        hidden = ops.multiply(r, ops.add(ops.matmul(h, kernels[2]), biases[2]))
    else:
        hidden = ops.add(ops.matmul(ops.multiply(r, h), kernels[2]), biases[2])
    new = _activated(node, own, 1, ops.add(hi, hidden))
    return (ops.add(ops.multiply(ops.subtract(1.0, z), new), ops.multiply(z, h)),)


def _lstm_cell(node: Node, own: _Direction, bias: Any, features: Any, carry: Any) -> tuple[Any, ...]:
    h, c = carry
    i, f, g, o = ops.split(_gates_of(own, bias, features, h), 4, -1)
    peep = own.peepholes  # of the input, output and forget gate
    if peep is not None:
        i, f = ops.add(i, ops.multiply(peep[0], c)), ops.add(f, ops.multiply(peep[2], c))
    i = _activated(node, own, 0, i)
    f = ops.subtract(1.0, i) if node["input_forget"] else _activated(node, own, 0, f)
    new = ops.add(ops.multiply(f, c), ops.multiply(i, _activated(node, own, 1, g)))
    o = o if peep is None else ops.add(o, ops.multiply(peep[1], new))
    return ops.multiply(_activated(node, own, 0, o), _activated(node, own, 2, new)), new


TABLE = {kind: _recurrent(kind) for kind in GATES}
