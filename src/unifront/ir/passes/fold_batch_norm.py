"""Batch normalization with known statistics, taken into the convolution or dense layer before it."""

from __future__ import annotations

from collections.abc import Container
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from unifront.ir.graph import Graph, Node, Value, Variable
from unifront.ir.passes.dead_code import unused_variables, without_dead_code
from unifront.ir.passes.rewrite import Result, Rewriter, Values
from unifront.ir.types import TensorType


def fold_batch_norm(graph: Graph, values: Values) -> Result:
    """An inference graph without the batch normalizations after convolutions and dense layers; its weights.

    The statistics go into the kernel and the bias before them (a new variable where there was none), wherever
    nothing else reads the kernel, the bias or the result between. Variables that nobody reads any more go.

    Args:
        values: the value of every variable by name, in the canonical layout. They are not changed. What is
            not among them is not known, and is left as it is.
    """
    folds = _Finder(graph, values).folds()
    if not folds:
        return graph, values, False
    norms = {fold.norm.outputs[0] for fold in folds.values()}
    arrays = dict(values)
    biases: dict[Value, Variable] = {}
    added: list[Variable] = []
    first = 1 + max((value.id for value in graph.values()), default=-1)
    for result, fold in folds.items():
        bias = fold.bias
        if bias is None:
            name = _free_name(f"{fold.kernel.name.rpartition('/')[0]}/bias".lstrip("/"), arrays)
            type_ = TensorType(fold.kernel.value.type.dtype, (len(fold.scale),))
            bias = Variable(name, Value(first + len(added), type_), fold.kernel.trainable)
            added.append(bias)
        kernel, old_bias = arrays[fold.kernel.name], arrays.get(bias.name, 0)
        arrays[fold.kernel.name] = _scaled(kernel, fold.scale, fold.node.op.facts.channel_axes)
        arrays[bias.name] = ((old_bias - fold.mean) * fold.scale + fold.beta).astype(kernel.dtype)
        biases[result] = bias
    writer = Rewriter(replace(graph, variables=(*graph.variables, *added)))
    for node in graph.nodes:
        result = node.outputs[0]
        if result in folds:
            operands = (writer.operands(node)[0], folds[result].kernel.value, biases[result].value)
            (new,) = writer.add(node.op, operands, node.attributes, node.name)
            writer.replace(folds[result].norm.outputs[0], new)
        elif result not in norms:
            writer.keep(node)
    return (*unused_variables(without_dead_code(writer.finish()), arrays)[:2], True)


@dataclass(frozen=True)
class _Fold:
    """``norm`` follows ``node``: each channel of its result is ``(result - mean) * scale + beta``."""

    node: Node
    norm: Node
    kernel: Variable
    bias: Variable | None
    mean: Any
    scale: np.ndarray
    beta: Any


class _Finder:
    """Finds the batch normalizations that can go."""

    def __init__(self, graph: Graph, values: Values) -> None:
        self.graph, self.values = graph, values
        self.users, self.producers = graph.users(), graph.producers()
        self.variables = {variable.value: variable for variable in graph.variables}

    def folds(self) -> dict[Value, _Fold]:
        """Every fold, by the result of the node before the normalization."""
        found = (self.fold(node) for node in self.graph.nodes if node.op.name == "batch_norm")
        return {fold.node.outputs[0]: fold for fold in found if fold is not None}

    def fold(self, norm: Node) -> _Fold | None:
        x, *statistics = norm.operands
        node = self.producers.get(x) if x is not None and self.read_once(x) else None
        if node is None or not node.op.facts.channel_axes:
            return None
        _, kernel, bias = node.operands
        weights = [value for value in (kernel, bias) if value is not None]
        if norm.attributes["axis"] != _channel_axis(node) or not all(map(self.owned, weights)):
            return None
        mean, variance, gamma, beta = map(self.known, statistics, (0.0, 1.0, 1.0, 0.0))
        if mean is None or variance is None or gamma is None or beta is None:
            return None
        scale = gamma / np.sqrt(variance + norm.attributes["epsilon"])
        owners = [self.variables[value] for value in weights]
        return _Fold(node, norm, owners[0], owners[1] if bias is not None else None, mean, scale, beta)

    def read_once(self, value: Value) -> bool:
        return value not in self.graph.outputs and len(self.users[value]) == 1

    def owned(self, value: Value) -> bool:
        """Whether ``value`` is a variable of known value that one node alone reads."""
        return value in self.variables and self.variables[value].name in self.values and self.read_once(value)

    def known(self, value: Value | None, default: float) -> Any:
        """The number or array behind an operand, in float64; None if it hangs on the inputs."""
        if value is None:
            return default
        if value in self.variables:
            array = self.values.get(self.variables[value].name)
            return None if array is None else np.asarray(array, np.float64)
        node = self.producers.get(value)
        if node is None or node.op.name != "constant":
            return None
        return node.attributes["value"].numpy().astype(np.float64)


def _channel_axis(node: Node) -> int:
    first = node.attributes.get("data_format") == "channels_first"
    return 1 if first else node.outputs[0].type.rank - 1


def _scaled(kernel: np.ndarray, scale: np.ndarray, channel_axes: int) -> np.ndarray:
    """``kernel`` with each channel of its result multiplied."""
    return (kernel * scale.reshape(kernel.shape[-channel_axes:])).astype(kernel.dtype)


def _free_name(name: str, taken: Container[str]) -> str:
    number = 0
    while (found := f"{name}_{number}" if number else name) in taken:
        number += 1
    return found
