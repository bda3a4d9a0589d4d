"""The gradient of a function, as an operation with a body; and `all_reduce`, which stands behind it.

``gradient`` has one region ``(params, captured) -> (loss, *others)`` and gives ``(loss, *others, *gradients)``,
one gradient for each of the first ``wrt`` operands. The others carry no gradient inside the region's own one.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from unifront.arguments import Name
from unifront.dtypes import float64
from unifront.errors import ArgumentError, DTypeError, ShapeError
from unifront.ir import facts
from unifront.ir.graph import Graph
from unifront.ir.types import TensorType
from unifront.opset import elementwise, flops, reduce
from unifront.opset.elementwise import TensorLike
from unifront.opset.regions import close_regions, refilled, tensor_leaves, trace_region
from unifront.opset.spec import OpSpec, Sample, register
from unifront.opset.tensor import Builder, bind, lift, type_of
from unifront.weights import Overlay, Variable, current_overlay, overlaid

Function = Callable[..., Any]


def _need_loss(type_: TensorType) -> None:
    if type_.shape or not type_.dtype.is_float:
        raise ShapeError(
            f"gradient: the function gives {type_}; the gradient of a float scalar is needed. "
            "Take a mean or a sum of it."
        )


def _need_float(type_: TensorType, what: str) -> None:
    if not type_.dtype.is_float:
        raise DTypeError(f"gradient: {what} is {type_}; a gradient is taken to floats only.")


def _rule(*operands: TensorType, regions: tuple[Graph, ...] = (), wrt: int) -> tuple[TensorType, ...]:
    if len(regions) != 1:
        raise ArgumentError(f"gradient has 1 region; given were {len(regions)}.")
    (region,) = regions
    found = tuple(value.type for value in region.inputs)
    if found != operands:
        raise ArgumentError(f"gradient: the region takes {list(found)}; it is given {list(operands)}.")
    if not 0 <= wrt <= len(operands):
        raise ArgumentError(
            f"gradient: wrt is a number of operands, of which there are {len(operands)}: {wrt}."
        )
    if not region.outputs:
        raise ArgumentError("gradient: the region gives no loss.")
    _need_loss(region.outputs[0].type)
    for i, type_ in enumerate(operands[:wrt]):
        _need_float(type_, f"operand {i}")
    return (*(value.type for value in region.outputs), *operands[:wrt])


def single(results: tuple[Any, ...]) -> Any:
    """``results`` as a row gives them: one by itself."""
    return results if len(results) > 1 else results[0]


STEP = 2.0**-9
"""Relative to the larger of 1 and the element: the step of the differences, near the fifth root of the precision."""


def _reference(*operands: Any, regions: tuple[Function, ...], wrt: int) -> Any:
    """Five-point central differences in float64 (Abramowitz and Stegun 1964, 25.3.6)."""
    wide = [o.astype(np.float64) if getattr(o, "dtype", None) == np.float32 else o for o in operands]
    outputs = regions[0](tuple(operands), ())
    found = (*outputs, *(_differences(regions[0], wide, i).astype(operands[i].dtype) for i in range(wrt)))
    return single(found)


def _differences(region: Function, operands: Sequence[Any], position: int) -> np.ndarray:
    array = np.array(operands[position], np.float64)
    found = np.zeros_like(array)

    def at(index: tuple[int, ...], value: float) -> float:
        moved = array.copy()
        moved[index] = value
        given = (*operands[:position], moved, *operands[position + 1 :])
        return float(region(given, ())[0])

    for index in np.ndindex(array.shape):
        here = float(array[index])
        h = STEP * max(1.0, abs(here))
        near = at(index, here + h) - at(index, here - h)
        far = at(index, here + 2 * h) - at(index, here - 2 * h)
        found[index] = (8 * near - far) / (12 * h)
    return found


def _graph(function: Function, *types: TensorType) -> Graph:
    builder = Builder("loss")
    results = function(*(builder.input(f"x{i}", type_) for i, type_ in enumerate(types)))
    return builder.graph([lift(result, builder) for result in results])


def _samples(rng: np.random.Generator) -> Iterator[Sample]:
    def tanh_product(w: Any, b: Any, x: Any) -> Any:
        y = elementwise.tanh(elementwise.add(elementwise.multiply(x, w), b))
        return reduce.sum(elementwise.multiply(y, y)), y

    bound = {"float64": 1e-8, "float32": 1e-4}
    reason = "judged by finite differences, which are good to some nine digits"
    for shape in ((3,), (2, 3), (1,)):
        shapes = (shape[-1:], (), shape)
        types = tuple(TensorType(float64, one) for one in shapes)
        operands = tuple(rng.normal(size=one) for one in shapes)
        region = _graph(tanh_product, *types)
        yield Sample(operands, {"wrt": 2}, (), (region,), bound, reason)
    unused = _graph(
        lambda w, x: (reduce.sum(elementwise.square(x)),), TensorType(float64, (2,)), TensorType(float64)
    )
    yield Sample((rng.normal(size=2), rng.normal(size=())), {"wrt": 1}, (), (unused,), bound, reason)


GRADIENT = register(
    OpSpec(
        "gradient", _rule, _reference, _samples,
        "jax.value_and_grad; torch.autograd.grad; tf.GradientTape", {"wrt": int}, variadic=True,
        facts=facts.opaque("half"), flops=flops.gradient,
    )
)  # fmt: skip


def traced_gradient(
    function: Function,
    variables: Sequence[Variable],
    arguments: Sequence[Any],
    others: Sequence[Any],
    outer: Builder,
) -> tuple[Any, list[Any], list[Any]]:
    """``function(*arguments, *others)`` and its gradients, as a node of ``outer``.

    Args:
        function: gives a structure whose first leaf is the loss.
        variables: to differentiate by.
        arguments: structures of tensors, likewise.

    Returns:
        the function's result; the gradient of each of ``variables``, and of each leaf of ``arguments``: None where
        the function does not use it.
    """
    leaves = [lift(leaf, outer) for leaf in tensor_leaves(list(arguments))]
    outside = [outer.variable(variable) for variable in variables]
    for variable in variables:
        _need_float(variable.type, f"the variable {variable.path!r}")
    for leaf in leaves:
        _need_float(leaf.type, "an argument")
    given = refilled(list(arguments), leaves)

    def call(*params: Any) -> Any:
        return function(*params, *others)

    body = trace_region(
        "loss", call, given, outer, [(v, tensor.type) for v, tensor in zip(variables, outside, strict=True)],
        updates=True,
    )  # fmt: skip
    if not body.outputs:
        raise ArgumentError("gradient: the function gives no loss.")
    _need_loss(body.outputs[0].type)
    (region,), captured, updated = close_regions(body)
    count = len(outside) + len(leaves)
    read = {value for node in region.nodes for value in node.operands} | set(region.outputs)
    used = [i for i in range(count) if region.inputs[i] in read]
    kept = [*used, *range(count, len(region.inputs))]
    region = replace(
        region,
        inputs=tuple(region.inputs[i] for i in kept),
        input_names=tuple(region.input_names[i] for i in kept),
    ).renumbered()
    operands = [*outside, *leaves]
    results = outer.add(
        GRADIENT,
        [*(operands[i].value for i in used), *(c.value for c in captured)],
        {"wrt": len(used)},
        (region,),
    )
    own, end = len(body.outputs), len(body.outputs) + len(updated)
    for variable, value in zip(updated, results[own:end], strict=True):
        outer.update(variable, value)
    gradients: list[Any] = [None] * count
    for i, gradient in zip(used, results[end:], strict=True):
        gradients[i] = gradient
    return refilled(body.structure, results[:own]), gradients[: len(outside)], gradients[len(outside) :]


def eager_gradient(
    function: Function, row: Function, native: Callable[[Any], Any], variables: Sequence[Variable],
    arguments: Sequence[Any], others: Sequence[Any],
) -> tuple[Any, list[Any], list[Any], Overlay]:  # fmt: skip
    """`traced_gradient` on native arrays, at once: by the backend's ``row`` of `GRADIENT` and its autograd.

    The function runs as plain Python. What it assigns to variables is in the overlay, for the caller to keep.
    """
    for variable in variables:
        _need_float(variable.type, f"the variable {variable.path!r}")
    leaves = [native(leaf) for leaf in tensor_leaves(list(arguments))]
    for leaf in leaves:
        _need_float(type_of(leaf), "an argument")
    outer, overlay, seen = current_overlay(), Overlay(), {}
    if outer is not None:  # a variable is what it is in the function around this one
        overlay.values.update(outer.values)
        overlay.values.update((key, value) for key, (_, value) in outer.updates.items())
    count = len(variables)

    def region(operands: tuple[Any, ...], _: tuple[Any, ...]) -> tuple[Any, ...]:
        overlay.values.update(zip(map(id, variables), operands[:count], strict=True))
        given = refilled(list(arguments), operands[count:])
        with overlaid(overlay):
            result = function(*given, *others)
        outputs = tensor_leaves(result)
        if not outputs:
            raise ArgumentError("gradient: the function gives no loss.")
        outputs = [native(output) for output in outputs]
        _need_loss(type_of(outputs[0]))
        seen["structure"], seen["count"] = result, len(outputs)
        return (*outputs, *(native(value) for _, value in overlay.updates.values()))

    operands = [*(native(variable) for variable in variables), *leaves]
    results = row(*operands, regions=(region,), wrt=len(operands))
    results = results if isinstance(results, tuple) else (results,)
    own, end = seen["count"], seen["count"] + len(overlay.updates)
    overlay.updates = {
        key: (variable, value)
        for (key, (variable, _)), value in zip(overlay.updates.items(), results[own:end], strict=True)
    }
    gradients = list(results[end:])
    for i, variable in enumerate(variables):
        if id(variable) not in overlay.used:
            gradients[i] = None
    return refilled(seen["structure"], results[:own]), gradients[:count], gradients[count:], overlay


def _all_reduce_rule(x: TensorType, reduction: str, axis_name: str) -> TensorType:
    if reduction not in ("sum", "mean", "max", "min"):
        raise ArgumentError(f"all_reduce: reduction is 'sum', 'mean', 'max' or 'min', not {reduction!r}.")
    return x


ALL_REDUCE = register(
    OpSpec(
        "all_reduce", _all_reduce_rule, lambda x, reduction, axis_name: x,
        lambda rng: [
            Sample((rng.normal(size=(2, 3)),), {"reduction": "mean", "axis_name": "data"}),
            Sample((rng.normal(size=()),), {"reduction": "sum", "axis_name": "data"}),
        ],
        "MPI_Allreduce; torch.distributed.all_reduce; jax.lax.psum",
        {"reduction": str, "axis_name": str},
        decomposition=lambda x, reduction, axis_name: x,
        facts=facts.opaque("accumulate"),
    )
)  # fmt: skip


def all_reduce(x: TensorLike, reduction: str = "mean", axis_name: Name = "data") -> Any:
    """``x`` reduced over all devices that take part in the step; on one device ``x`` itself.

    Args:
        x: a tensor that each device has a value of its own of, such as a gradient.
        reduction: ``"sum"``, ``"mean"``, ``"max"`` or ``"min"``.
        axis_name: the axis of the mesh of devices to reduce over.

    Raises `ArgumentError` for another reduction. Source: MPI_Allreduce, ``jax.lax.psum``.
    """
    return bind(ALL_REDUCE, x, reduction=reduction, axis_name=axis_name)
