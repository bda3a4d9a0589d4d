"""Tensors made of nothing but numbers and sizes, and random ones."""

from __future__ import annotations

from typing import Any

import numpy as np

from unifront import ops
from unifront.ir.dims import Dim
from unifront.onnx.imports.node import Node, Row
from unifront.onnx.imports.values import Narrow, Value, carried, carrier
from unifront.opset.tensor import type_of


def _constant(node: Node) -> Value:
    tensors = node.importer.tensors
    if node["value"] is not None:
        return carried(tensors.array(node["value"]), node["value"].data_type)
    if node["sparse_value"] is not None:
        return node["sparse_value"]
    for name, dtype in (
        ("value_float", np.float32), ("value_floats", np.float32), ("value_int", np.int64), ("value_ints", np.int64),
        ("value_string", object), ("value_strings", object),
    ):  # fmt: skip
        if node[name] is not None:
            return np.asarray(node[name], dtype)
    return node.fail("a constant without a value")


def _constant_of_shape(node: Node, shape: tuple[Dim, ...]) -> Value:
    proto = node["value"]
    value = np.zeros(1, np.float32) if proto is None else node.importer.tensors.array(proto)
    value = carried(value, 1 if proto is None else proto.data_type)
    if isinstance(value, Narrow):
        return Narrow(_filled(node, value.tensor, shape), value.element)
    return _filled(node, value, shape)


def _filled(node: Node, value: np.ndarray, shape: tuple[Dim, ...]) -> Any:
    if any(isinstance(dim, int) and dim < 0 for dim in shape):
        node.fail(f"the shape {shape} has a negative size")
    return ops.broadcast_to(node.lazy(value.reshape(()), shape), shape)


def _range(node: Node, start: Any, limit: Any, delta: Any) -> Any:
    if all(isinstance(one, np.ndarray) for one in (start, limit, delta)):
        first, last, step = (one.reshape(()).item() for one in (start, limit, delta))
        if step == 0:
            node.fail("a range with a step of 0")
        count = max(int(np.ceil((last - first) / step)), 0)
        if count > 2**16:
            positions = node.traced(np.asarray(step, start.dtype))
            steps = ops.iota((count,), 0, type_of(start).dtype, like=positions)
            return ops.add(ops.multiply(steps, positions), start)
        return (first + step * np.arange(count)).astype(start.dtype) if count else np.zeros(0, start.dtype)
    step = node.known(delta, "the step of a range").reshape(()).item()
    first, last = node.dims(start)[0], node.dims(limit)[0]
    dtype = "int64" if not isinstance(start, np.ndarray) else start.dtype
    if isinstance(step, int) and step > 0:
        return ops.arange(first, last, step, dtype, like=node.traced(limit))
    return node.fail(f"a range from {first} to {last} by {step} with a length that comes from values")


def _eye_like(node: Node, x: Any) -> Any:
    type_ = type_of(x)
    dtype = type_.dtype if node["dtype"] is None else carrier(node["dtype"])
    if type_.rank != 2:
        node.fail(f"a matrix is needed, not {type_}")
    rows, columns = type_.shape
    return ops.eye(rows, columns, node["k"] or 0, dtype, like=x)


def _key(node: Node) -> Any:
    return node.importer.lifting.random_key(node)


def _random(draw: Any, like: bool) -> Row:
    def row(node: Node, x: Any = None) -> Any:
        shape = type_of(x).shape if like else tuple(node["shape"])
        told = node["dtype"]
        dtype = (
            carrier(told) if told else type_of(x).dtype if like and type_of(x).dtype.is_float else carrier(1)
        )
        return draw(node, _key(node), shape, dtype.name)

    return Row(row)


def _normal(node: Node, key: Any, shape: Any, dtype: str) -> Any:
    return ops.random_normal(key, shape, node["mean"], node["scale"], dtype)


def _uniform(node: Node, key: Any, shape: Any, dtype: str) -> Any:
    return ops.random_uniform(key, shape, node["low"], node["high"], dtype)


def _bernoulli(node: Node, x: Any) -> Any:
    dtype = type_of(x).dtype if node["dtype"] is None else carrier(node["dtype"])
    drawn = ops.random_uniform(_key(node), type_of(x).shape, dtype="float32")
    return ops.cast(ops.less(ops.cast(drawn, "float32"), ops.cast(x, "float32")), dtype)


def _multinomial(node: Node, x: Any) -> Any:
    """Draws from unnormalized log-probabilities, by the largest of them with Gumbel noise (Gumbel 1954)."""
    batch, classes = type_of(x).shape
    count = node["sample_size"]
    uniform = ops.random_uniform(_key(node), (batch, count, classes), 1e-7, 1.0)
    noise = ops.negative(ops.log(ops.negative(ops.log(uniform))))
    drawn = ops.argmax(ops.add(ops.expand_dims(ops.cast(x, "float32"), 1), noise), -1)
    return ops.cast(drawn, carrier(node["dtype"] or 6))


TABLE = {
    "Constant": Row(_constant, raw=True),
    "ConstantOfShape": Row(_constant_of_shape, sizes=(0,)),
    "Range": Row(_range, raw=True),
    "EyeLike": Row(_eye_like),
    "RandomNormal": _random(_normal, like=False),
    "RandomUniform": _random(_uniform, like=False),
    "RandomNormalLike": _random(_normal, like=True),
    "RandomUniformLike": _random(_uniform, like=True),
    "Bernoulli": Row(_bernoulli),
    "Multinomial": Row(_multinomial),
}
