"""Gradients, and steps of optimizers, as ``ai.onnx.preview.training`` defines them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from unifront import ops
from unifront.onnx.imports.node import Node, Row
from unifront.onnx.model import reads
from unifront.opset.gradient import traced_gradient


def _each(rule: Callable[..., tuple[Any, ...]], parts: int) -> Row:
    """A rule for several tensors: operands and results stand kind by kind."""

    def row(node: Node, rate: Any, count: Any, *tensors: Any) -> Any:
        number = len(tensors) // parts
        if number * parts != len(tensors):
            node.fail(f"{len(tensors)} tensors, which are not {parts} of each")
        columns = [tensors[i * number : (i + 1) * number] for i in range(parts)]
        results = [rule(node, rate, ops.cast(count, "float32"), *one) for one in zip(*columns, strict=True)]
        return tuple(value for column in zip(*results, strict=True) for value in column)

    return Row(row)


def _regularized(node: Node, x: Any, gradient: Any) -> Any:
    return ops.add(ops.multiply(x, node["norm_coefficient"]), gradient)


def _adagrad(node: Node, rate: Any, count: Any, x: Any, gradient: Any, total: Any) -> tuple[Any, ...]:
    step = ops.divide(rate, ops.add(1.0, ops.multiply(count, node["decay_factor"])))
    gradient = _regularized(node, x, gradient)
    total = ops.add(total, ops.square(gradient))
    change = ops.divide(ops.multiply(step, gradient), ops.add(ops.sqrt(total), node["epsilon"]))
    return ops.subtract(x, change), total


def _adam(
    node: Node, rate: Any, count: Any, x: Any, gradient: Any, mean: Any, square: Any
) -> tuple[Any, ...]:
    alpha, beta = node["alpha"], node["beta"]
    gradient = _regularized(node, x, gradient)
    mean = ops.add(ops.multiply(mean, alpha), ops.multiply(gradient, 1 - alpha))
    square = ops.add(ops.multiply(square, beta), ops.multiply(ops.square(gradient), 1 - beta))
    corrected = ops.divide(
        ops.multiply(rate, ops.sqrt(ops.subtract(1.0, ops.power(beta, count)))),
        ops.subtract(1.0, ops.power(alpha, count)),
    )
    step = ops.where(ops.greater(count, 0.0), corrected, rate)
    new = ops.subtract(x, ops.divide(ops.multiply(step, mean), ops.add(ops.sqrt(square), node["epsilon"])))
    return ops.multiply(new, 1 - node["norm_coefficient_post"]), mean, square


def _momentum(node: Node, rate: Any, count: Any, x: Any, gradient: Any, velocity: Any) -> tuple[Any, ...]:
    alpha = node["alpha"]
    gradient = _regularized(node, x, gradient)
    share = ops.where(ops.greater(count, 0.0), node["beta"], 1.0)
    velocity = ops.add(ops.multiply(velocity, alpha), ops.multiply(gradient, share))
    way = velocity if node["mode"] == "standard" else ops.add(gradient, ops.multiply(velocity, alpha))
    return ops.subtract(x, ops.multiply(rate, way)), velocity


def _gradient(node: Node, *operands: Any) -> Any:
    """The gradient of (the sum of) ``y`` by ``xs``, as what was read before this node makes it of them and ``zs``."""
    names = (*node["xs"], *(node["zs"] or ()))
    if len(names) != len(operands) or len(set(names)) != len(names):
        node.fail(f"{len(operands)} operands for {len(names)} names, each of which stands for one")
    count = len(node["xs"])
    importer = node.importer
    nodes = _between(node.frame.done, node["y"], set(names))
    given = [node.traced(operand) for operand in operands]

    def loss(*values: Any) -> Any:
        y = importer.again(nodes, dict(zip(names, values, strict=True)), node.frame, node["y"])
        return ops.sum(node.traced(y))

    outer = importer.lifting.active()
    _, _, found = traced_gradient(loss, (), given[:count], given[count:], outer)
    return tuple(
        ops.zeros_like(x) if one is None else one for x, one in zip(given[:count], found, strict=True)
    )


def _between(done: Sequence[Any], y: str, known: set[str]) -> list[Any]:
    """The nodes that make ``y`` of what is ``known``, in their order; what they read besides stays as it is."""
    wanted, found = {y} - known, []
    for proto in reversed(done):
        if not wanted.isdisjoint(proto.output):
            found.append(proto)
            wanted.update(reads(proto))
            wanted -= known
    return found[::-1]


TABLE_OF = {
    "ai.onnx.preview.training": {
        "Gradient": Row(_gradient, raw=True),
        "Adagrad": _each(_adagrad, 3),
        "Adam": _each(_adam, 4),
        "Momentum": _each(_momentum, 3),
    }
}
