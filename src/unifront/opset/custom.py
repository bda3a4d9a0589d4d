"""`custom_gradient`: a function whose gradient the user writes.

``custom_gradient`` has two regions. The first, ``(operands) -> (*results, *kept)``, is the function, with what its
gradient needs. The second, ``(*gradients of the results, *kept) -> gradients of the first wrt operands``, is that
gradient. The other operands, and what the function takes from outside, get none.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import wraps
from typing import Any

import numpy as np

from unifront import tree
from unifront.dtypes import float64
from unifront.errors import ArgumentError, DTypeError
from unifront.ir import facts
from unifront.ir.graph import Graph
from unifront.ir.types import TensorType
from unifront.opset import elementwise as e
from unifront.opset import flops
from unifront.opset.arrays import native, placed
from unifront.opset.builder import Builder, Symbolic, builder_for, lift
from unifront.opset.gradient import single
from unifront.opset.regions import refilled, tensor_leaves, trace_region
from unifront.opset.spec import OpSpec, Sample, register
from unifront.opset.tensor import record, type_of

Function = Callable[..., Any]


def _rule(
    *operands: TensorType, regions: tuple[Graph, ...] = (), results: int, wrt: int
) -> tuple[TensorType, ...]:
    if len(regions) != 2:
        raise ArgumentError(f"custom_gradient has 2 regions; given were {len(regions)}.")
    forward, backward = regions
    found = [value.type for value in forward.inputs]
    if found != list(operands):
        raise ArgumentError(f"custom_gradient: the function takes {found}; it is given {list(operands)}.")
    given = [value.type for value in forward.outputs]
    wanted = [value.type for value in backward.inputs]
    if not 1 <= results <= len(given) or wanted != given:
        raise ArgumentError(f"custom_gradient: the gradient takes {wanted}; it is given {given}.")
    for i, type_ in enumerate((*operands[:wrt], *given[:results])):
        if not type_.dtype.is_float:
            raise DTypeError(
                f"custom_gradient: {'operand' if i < wrt else 'a result'} is {type_}; a float is needed."
            )
    gradients = [value.type for value in backward.outputs]
    if not 0 <= wrt <= len(operands) or gradients != list(operands[:wrt]):
        raise ArgumentError(
            f"custom_gradient: the gradient gives {gradients}; {list(operands[:wrt])} are what it is taken to."
        )
    return tuple(given[:results])


def _reference(*operands: Any, regions: tuple[Function, ...], results: int, wrt: int) -> Any:
    return single(tuple(regions[0](tuple(operands), ())[:results]))


def _graph(name: str, function: Function, *types: TensorType) -> Graph:
    builder = Builder(name)
    found = function(*(builder.input(f"x{i}", type_) for i, type_ in enumerate(types)))
    return builder.graph([lift(one, builder) for one in found])


def _samples(rng: np.random.Generator) -> Iterator[Sample]:
    for shape in ((3,), (2, 3), (), (0, 2)):
        type_ = TensorType(float64, shape)
        forward = _graph("function", lambda x, y: (e.multiply(x, e.tanh(y)), x, e.tanh(y)), type_, type_)

        def slopes(g: Any, x: Any, t: Any) -> Any:
            along = e.multiply(g, x)
            return e.multiply(g, t), e.subtract(along, e.multiply(along, e.multiply(t, t)))

        backward = _graph("gradient", slopes, type_, type_, type_)
        operands = (rng.normal(size=shape), rng.normal(size=shape))
        yield Sample(operands, {"results": 1, "wrt": 2}, None, (forward, backward))


CUSTOM_GRADIENT = register(
    OpSpec(
        "custom_gradient", _rule, _reference, _samples, "jax.custom_vjp; tf.custom_gradient; torch.autograd.Function",
        {"results": int, "wrt": int}, variadic=True, facts=facts.opaque("half"), flops=flops.forward,
    )
)  # fmt: skip


def _pair(found: Any) -> tuple[Any, Function]:
    if not isinstance(found, tuple | list) or len(found) != 2 or not callable(found[1]):
        raise ArgumentError(
            "custom_gradient: the function gives a pair, its result and the function of its gradient."
        )
    return found[0], found[1]


def _gradients(grad: Function, upstream: Sequence[Any], leaves: Sequence[Any]) -> list[Any]:
    """What the user's function gives for each of ``leaves``: None counts as zeros."""
    found = grad(*upstream)
    given = tree.leaves(found)
    if len(given) != len(leaves):
        raise ArgumentError(
            f"custom_gradient: the gradient gives {len(given)} tensors for {len(leaves)} arguments."
        )
    return given


def custom_gradient(f: Function) -> Function:
    """``f`` with the gradient that it gives itself (Keras ops.custom_gradient; ``jax.custom_gradient``).

    Args:
        f: ``(*tensors) -> (result, grad)``, where ``grad(*upstream)`` gives from the gradient of each result the
            gradient of each argument: a tensor, or a list with one for each. The result is a float tensor or a
            structure of them.

    Returns a function that gives the result. It may be used as a decorator; a gradient of the gradient is that of
    ``grad``. What ``f`` takes from outside gets no gradient.

    Example::

        @uf.ops.custom_gradient
        def clipped(x):
            return x * 1.0, lambda g: uf.ops.clip(g, -1.0, 1.0)
    """

    @wraps(f)
    def wrapped(*args: Any) -> Any:
        leaves = tensor_leaves(list(args))
        if any(isinstance(leaf, Symbolic) for leaf in leaves):
            return record(wrapped, *args)
        builder = builder_for(leaves)
        return _at_once(f, args, leaves) if builder is None else _traced(f, args, leaves, builder)

    return wrapped


def _ordered(leaves: Sequence[Any]) -> list[int]:
    """The positions of the leaves, floats first."""
    return sorted(range(len(leaves)), key=lambda i: not type_of(leaves[i]).dtype.is_float)


def _traced(f: Function, args: Sequence[Any], leaves: Sequence[Any], outer: Builder) -> Any:
    lifted = [lift(leaf, outer) for leaf in leaves]
    order = _ordered(lifted)
    wrt = sum(tensor.dtype.is_float for tensor in lifted)
    seen: dict[str, Any] = {}

    def function(*given: Any) -> Any:
        seen["result"], seen["grad"] = _pair(f(*given))
        return seen["result"]

    forward = trace_region("function", function, list(refilled(list(args), lifted)), outer)
    results = [output.type for output in forward.outputs]

    def gradient(*upstream: Any) -> Any:
        found = _gradients(seen["grad"], upstream, leaves)
        floats = [found[i] for i in order[:wrt]]
        types = [lifted[i].type for i in order[:wrt]]
        return [_fitting(one, type_) for one, type_ in zip(floats, types, strict=True)]

    backward = trace_region("gradient", gradient, results, forward.builder)
    captures = backward.builder.captures
    kept = [outside for outside, _ in captures.values()]
    outside = forward.builder.captures
    captured = [one for one, _ in outside.values()]
    inputs = [forward.inputs[i] for i in order] + [inside for _, inside in outside.values()]
    forward.builder.inputs = [tensor.value for tensor in inputs]
    forward.builder.input_names = [f"x{i}" for i in range(len(inputs))]
    first = forward.builder.graph([*forward.outputs, *kept])
    backward_inputs = [*backward.inputs, *(inside for _, inside in captures.values())]
    backward.builder.inputs = [tensor.value for tensor in backward_inputs]
    backward.builder.input_names = [f"x{i}" for i in range(len(backward_inputs))]
    second = backward.builder.graph(backward.outputs)
    operands = [*(lifted[i] for i in order), *captured]
    found = outer.add(
        CUSTOM_GRADIENT,
        [operand.value for operand in operands],
        {"results": len(results), "wrt": wrt},
        (first, second),
    )
    return refilled(forward.structure, found)


def _fitting(found: Any, type_: TensorType) -> Any:
    """A gradient in the dtype and shape of what it is taken to."""
    from unifront.opset.creation import full
    from unifront.opset.shape import broadcast_to

    if found is None:
        found = full((), 0, type_.dtype)
    found = e.cast(found, type_.dtype)
    return found if type_of(found).shape == type_.shape else broadcast_to(found, type_.shape)


def _at_once(f: Function, args: Sequence[Any], leaves: Sequence[Any]) -> Any:
    backend, device = placed(CUSTOM_GRADIENT.name, leaves)
    rows = backend.rows(device)
    arrays = [native(leaf, backend, device) for leaf in leaves]
    order = _ordered(arrays)
    wrt = sum(type_of(array).dtype.is_float for array in arrays)
    types = [type_of(arrays[i]) for i in order[:wrt]]
    seen: dict[str, Any] = {}

    def forward(operands: tuple[Any, ...], _: tuple[Any, ...]) -> tuple[Any, ...]:
        given: list[Any] = [None] * len(order)
        for place, operand in zip(order, operands, strict=True):
            given[place] = operand
        seen["result"], seen["grad"] = _pair(f(*refilled(list(args), given)))
        outputs = [native(one, backend, device) for one in tensor_leaves(seen["result"])]
        seen["count"] = len(outputs)
        return tuple(outputs)

    def backward(upstream: tuple[Any, ...], _: tuple[Any, ...]) -> tuple[Any, ...]:
        found = _gradients(seen["grad"], upstream, leaves)
        fitted = (_fitting(found[i], type_) for i, type_ in zip(order[:wrt], types, strict=True))
        return tuple(native(one, backend, device) for one in fitted)

    results = rows.table[CUSTOM_GRADIENT](
        *(arrays[i] for i in order), regions=(forward, backward), results=None, wrt=wrt
    )
    found = results if isinstance(results, tuple) else (results,)
    return refilled(seen["result"], found[: seen["count"]])
