"""`remat`: a function whose inner values are computed again for its gradient, instead of being kept until then.

The operation ``remat`` has one region, ``(operands) -> results``, and gives what that gives.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import wraps
from typing import Any

import numpy as np

from unifront import tree
from unifront.dtypes import float64
from unifront.errors import ArgumentError
from unifront.ir import facts
from unifront.ir.graph import Graph
from unifront.ir.types import TensorType
from unifront.opset import elementwise as e
from unifront.opset import flops, linalg
from unifront.opset.arrays import native, placed
from unifront.opset.builder import Builder, Symbolic, builder_for, lift
from unifront.opset.gradient import single
from unifront.opset.regions import close_regions, refilled, tensor_leaves, trace_region
from unifront.opset.spec import OpSpec, Sample, register
from unifront.opset.tensor import is_tensor, record
from unifront.weights import Variable

Function = Callable[..., Any]


def _rule(*operands: TensorType, regions: tuple[Graph, ...] = ()) -> tuple[TensorType, ...]:
    if len(regions) != 1:
        raise ArgumentError(f"remat has 1 region; given were {len(regions)}.")
    found = tuple(value.type for value in regions[0].inputs)
    if found != operands:
        raise ArgumentError(f"remat: the region takes {list(found)}; it is given {list(operands)}.")
    return tuple(value.type for value in regions[0].outputs)


def _reference(*operands: Any, regions: tuple[Function, ...]) -> Any:
    return single(tuple(regions[0](tuple(operands), ())))


def _decomposed(*operands: Any, regions: tuple[Graph, ...]) -> Any:
    from unifront.opset.replay import inline  # which knows of every operation

    builder = builder_for(operands)
    if builder is None:
        raise ArgumentError("remat: without a row its region can be written out in a graph only.")
    return single(inline(regions[0], builder, [lift(one, builder) for one in operands], []))


def _samples(rng: np.random.Generator) -> Iterator[Sample]:
    for shapes in (((2, 3), (3, 2)), ((1, 2), (2, 1)), ((0, 2), (2, 2))):
        builder = Builder("block")
        x, w = (builder.input(f"x{i}", TensorType(float64, shape)) for i, shape in enumerate(shapes))
        y = e.tanh(linalg.matmul(x, w))
        region = builder.graph([lift(one, builder) for one in (e.multiply(y, y), y)])
        yield Sample(tuple(rng.normal(size=shape) for shape in shapes), {}, None, (region,))


REMAT = register(
    OpSpec(
        "remat", _rule, _reference, _samples,
        "Chen et al. 2016; jax.checkpoint; torch.utils.checkpoint; tf.recompute_grad", {}, variadic=True,
        decomposition=_decomposed, facts=facts.opaque("half"), flops=flops.forward,
    )
)  # fmt: skip


def remat(f: Function) -> Function:
    """``f``, whose inner values are computed again for the gradient rather than kept: less memory, more work.

    Args:
        f: a function of tensors (and of anything else), or a layer. What it takes from outside, such as weights, gets
            gradients as ever; random numbers in it are the same both times.

    Returns a function of the same arguments that gives the same. In a graph it is an operation with a body; on
    native arrays the framework's own checkpoint. Weights that ``f`` updates are updated once in a graph; eagerly a
    function may not update any. Source: ``keras.remat``; Chen et al. 2016.

    Example::

        block = uf.remat(lambda x: uf.ops.tanh(uf.ops.matmul(x, x)))
    """

    @wraps(f)
    def wrapped(*args: Any, **kwargs: Any) -> Any:
        leaves = tree.leaves([list(args), kwargs])
        if any(isinstance(leaf, Symbolic) for leaf in leaves):
            return record(wrapped, *args, **kwargs)
        tensors = [leaf for leaf in leaves if is_tensor(leaf) and not isinstance(leaf, Variable)]
        builder = builder_for(tensors)

        def call(*given: Any) -> Any:
            left = iter(given)
            args_, kwargs_ = tree.map_leaves(
                lambda leaf: next(left) if any(leaf is one for one in tensors) else leaf, [list(args), kwargs]
            )
            return f(*args_, **kwargs_)

        return _at_once(call, tensors) if builder is None else traced_remat(call, tensors, builder)

    return wrapped


def traced_remat(
    function: Function, arguments: list[Any], outer: Builder, keep: Callable[[list[TensorType]], bool] | None = None
) -> Any:  # fmt: skip
    """``function(*arguments)`` as a node of ``outer``.

    Args:
        keep: whether the body, giving results of these types, is kept; if not its nodes are added as they are.
    """
    body = trace_region("block", function, [lift(one, outer) for one in arguments], outer, updates=True)
    (region,), captured, updated = close_regions(body)
    operands = [*(lift(one, outer) for one in arguments), *captured]
    if keep is None or keep([output.type for output in body.outputs]):
        results = (
            outer.add(REMAT, [operand.value for operand in operands], {}, (region,)) if region.outputs else ()
        )
    else:
        from unifront.opset.replay import inline

        results = inline(region, outer, operands, [])
    count = len(body.outputs)
    for variable, value in zip(updated, results[count:], strict=True):
        outer.update(variable, value)
    return refilled(body.structure, results[:count])


def _at_once(function: Function, tensors: list[Any]) -> Any:
    backend, device = placed(REMAT.name, tensors)
    arrays = [native(tensor, backend, device) for tensor in tensors]
    seen: dict[str, Any] = {}

    def region(operands: tuple[Any, ...], _: tuple[Any, ...]) -> tuple[Any, ...]:
        seen["result"] = function(*operands)
        return tuple(native(one, backend, device) for one in tensor_leaves(seen["result"]))

    region.python = True  # type: ignore[attr-defined]  # unlike the function of a graph
    row = backend.rows(device).table.get(REMAT)
    if row is None:  # no gradient will be taken either
        return function(*arrays)
    found = row(*arrays, regions=(region,))
    return refilled(seen["result"], found if isinstance(found, tuple) else (found,))
