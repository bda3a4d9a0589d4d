"""Branches and loops: ``cond``, ``while_loop``, ``scan``.

The public functions take Python functions. While a graph is traced these become its regions: closed graphs,
into which what the functions use from outside comes as further operands, after the operands named here. On
native arrays they run as ordinary Python.

The number of operands that change is an attribute (``states``); the captured ones stand behind them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import nullcontext
from types import NoneType
from typing import Any

import numpy as np

from unifront.arguments import Count
from unifront.dtypes import bool_, float64
from unifront.errors import ArgumentError, DTypeError, ShapeError
from unifront.ir import facts
from unifront.ir.dims import Dim, DimExpr
from unifront.ir.graph import Graph
from unifront.ir.types import TensorType
from unifront.opset import comparison, elementwise, flops
from unifront.opset.elementwise import TensorLike
from unifront.opset.regions import Body, at_once, close_regions, refilled, tensor_leaves, trace_region
from unifront.opset.rules import show
from unifront.opset.shape import stack
from unifront.opset.spec import OpSpec, Sample, register
from unifront.opset.tensor import (
    Builder,
    Symbolic,
    backend_of_arrays,
    bind,
    builder_for,
    is_tensor,
    lift,
    record,
    type_of,
)

Function = Callable[..., Any]


def _types(graph: Graph) -> tuple[TensorType, ...]:
    return tuple(value.type for value in graph.outputs)


def _need_inputs(op: str, region: Graph, wanted: Sequence[TensorType | None]) -> None:
    found = tuple(value.type for value in region.inputs)
    if found != tuple(wanted):
        raise ArgumentError(
            f"{op}: the region {region.name!r} takes {list(found)}; it is given {list(wanted)}."
        )


def _need_states(op: str, found: Sequence[TensorType], wanted: Sequence[TensorType | None]) -> None:
    for i, (new, old) in enumerate(zip(found, wanted, strict=True)):
        if new != old:
            raise ArgumentError(
                f"{op}: state {i} is {old} before a step and {new} after it; a state keeps its type. "
                "Cast it, or start from the type that the body gives."
            )


def _need_predicate(op: str, predicate: TensorType) -> None:
    if predicate.dtype != bool_ or predicate.shape:
        raise DTypeError(f"{op}: the condition is {predicate}; a boolean scalar is needed.")


def _need_regions(op: str, regions: tuple[Graph, ...], count: int) -> None:
    if len(regions) != count:
        raise ArgumentError(f"{op} has {count} regions; given were {len(regions)}.")


def _cond_rule(
    predicate: TensorType, *operands: TensorType, regions: tuple[Graph, ...] = ()
) -> tuple[TensorType, ...]:
    _need_regions("cond", regions, 2)
    _need_predicate("cond", predicate)
    for region in regions:
        _need_inputs("cond", region, operands)
    then, otherwise = map(_types, regions)
    if then != otherwise:
        raise ArgumentError(
            f"cond: one branch gives {list(then)}, the other {list(otherwise)}; they must match."
        )
    return then


def _while_rule(
    *operands: TensorType, regions: tuple[Graph, ...] = (), states: int, maximum_iterations: int | None
) -> tuple[TensorType, ...]:
    _need_regions("while_loop", regions, 2)
    condition, body = regions
    for region in regions:
        _need_inputs("while_loop", region, operands)
    if len(condition.outputs) != 1:
        raise ArgumentError(f"while_loop: the condition gives {len(condition.outputs)} results, not one.")
    _need_predicate("while_loop", condition.outputs[0].type)
    if len(body.outputs) != states:
        raise ArgumentError(f"while_loop: the body gives {len(body.outputs)} of {states} states.")
    _need_states("while_loop", _types(body), operands[:states])
    return operands[:states]


def _scan_rule(
    *operands: TensorType, regions: tuple[Graph, ...] = (), states: int, sequences: int, length: Dim | None,
    reverse: bool,
) -> tuple[TensorType, ...]:  # fmt: skip
    _need_regions("scan", regions, 1)
    initial, scanned = operands[:states], operands[states : states + sequences]
    if any(type_.rank == 0 for type_ in scanned):
        raise ShapeError("scan: a sequence needs an axis 0 to scan over; one is a scalar.")
    lengths = list(
        dict.fromkeys([*(type_.shape[0] for type_ in scanned), *([] if length is None else [length])])
    )
    if len(lengths) != 1:
        found = ", ".join(show(type_.shape) for type_ in scanned)
        raise ShapeError(f"scan: the sequences {found} and the length {length} do not give one length.")
    slices = [type_.with_shape(type_.shape[1:]) for type_ in scanned]
    _need_inputs("scan", regions[0], (*initial, *slices, *operands[states + sequences :]))
    results = _types(regions[0])
    if len(results) < states:
        raise ArgumentError(f"scan: the body gives {len(results)} of {states} states.")
    _need_states("scan", results[:states], initial)
    stacked = (type_.with_shape((lengths[0], *type_.shape)) for type_ in results[states:])
    return (*initial, *stacked)


def _results(values: Sequence[Any]) -> Any:
    """Several results as a tuple, a single one as it is."""
    return tuple(values) if len(values) != 1 else values[0]


def _cond_reference(predicate: Any, *operands: Any, regions: tuple[Function, ...]) -> Any:
    return _results(regions[0 if predicate else 1](operands, ()))


def _while_reference(
    *operands: Any, regions: tuple[Function, ...], states: int, maximum_iterations: int | None
) -> Any:
    condition, body = regions
    state, captured, count = operands[:states], operands[states:], 0
    while (maximum_iterations is None or count < maximum_iterations) and condition((*state, *captured), ())[
        0
    ]:
        state, count = body((*state, *captured), ()), count + 1
    return _results(state)


def _scan_reference(
    *operands: Any,
    regions: tuple[Function, ...],
    states: int,
    sequences: int,
    length: int | None,
    reverse: bool,
) -> Any:
    state, scanned, captured = (
        operands[:states],
        operands[states : states + sequences],
        operands[states + sequences :],
    )
    steps = len(scanned[0]) if scanned else length or 0
    if steps == 0:
        empty = regions[0]((*state, *(np.zeros(s.shape[1:], s.dtype) for s in scanned), *captured), ())[
            states:
        ]
        return _results((*state, *(np.zeros((0, *np.shape(y)), y.dtype) for y in empty)))
    outputs = []
    for t in reversed(range(steps)) if reverse else range(steps):
        results = regions[0]((*state, *(s[t] for s in scanned), *captured), ())
        state = results[:states]
        outputs.append(results[states:])
    ordered = outputs[::-1] if reverse else outputs
    return _results((*state, *(np.stack(values) for values in zip(*ordered, strict=True))))


def _graph(name: str, function: Function, *types: TensorType) -> Graph:
    """A region for a sample."""
    builder = Builder(name)
    results = _tuple(function(*(builder.input(f"x{i}", type_) for i, type_ in enumerate(types))))
    return builder.graph([lift(result, builder) for result in results])


def _cond_samples(rng: np.random.Generator) -> Iterator[Sample]:
    types = (TensorType(float64, (2, 3)), TensorType(float64, (3,)))
    then = _graph("then", lambda x, y: (elementwise.multiply(x, y), y), *types)
    otherwise = _graph("else", lambda x, y: (elementwise.tanh(x), elementwise.negative(y)), *types)
    for predicate in (True, False):
        operands = (np.asarray(predicate), rng.normal(size=(2, 3)), rng.normal(size=3))
        yield Sample(operands, regions=(then, otherwise))
    single = _graph("body", elementwise.square, types[0])
    yield Sample((np.asarray(True), rng.normal(size=(2, 3))), regions=(single, single))


def _while_samples(rng: np.random.Generator) -> Iterator[Sample]:
    types = (TensorType(float64, (3,)), TensorType(float64), TensorType(float64))
    condition = _graph("condition", lambda x, total, limit: (comparison.less(total, limit),), *types)
    body = _graph(
        "body",
        lambda x, total, limit: (elementwise.tanh(elementwise.add(x, total)), elementwise.add(total, limit)),
        *types,
    )
    for start, limit, maximum in ((0.0, 0.0, None), (-3.5, 0.75, None), (-3.5, 0.75, 2)):
        operands = (rng.normal(size=3), np.asarray(start), np.asarray(limit))
        yield Sample(operands, {"states": 2, "maximum_iterations": maximum}, regions=(condition, body))


def _scan_samples(rng: np.random.Generator) -> Iterator[Sample]:
    state, weight = TensorType(float64, (2,)), TensorType(float64, (2,))

    def recur(h: Any, x: Any, w: Any) -> Any:
        h = elementwise.tanh(elementwise.add(elementwise.multiply(h, w), x))
        return h, elementwise.multiply(h, x)

    body = _graph("body", recur, state, state, weight)
    for steps, reverse in ((4, False), (3, True), (1, False), (0, False)):
        operands = (rng.normal(size=2), rng.normal(size=(steps, 2)), rng.normal(size=2))
        attributes = {"states": 1, "sequences": 1, "length": None, "reverse": reverse}
        yield Sample(operands, attributes, regions=(body,))
    counting = _graph("body", lambda h: (elementwise.multiply(h, h), h), state)
    attributes = {"states": 1, "sequences": 0, "length": 3, "reverse": False}
    yield Sample((rng.normal(size=2),), attributes, regions=(counting,))


COND = register(
    OpSpec(
        "cond", _cond_rule, _cond_reference, _cond_samples, "ONNX If; jax.lax.cond", variadic=True,
        facts=facts.opaque("half"), flops=flops.cond,
    )
)  # fmt: skip
WHILE_LOOP = register(
    OpSpec(
        "while_loop", _while_rule, _while_reference, _while_samples, "ONNX Loop; jax.lax.while_loop",
        {"states": int, "maximum_iterations": (int, NoneType)}, differentiable=False, variadic=True,
        facts=facts.opaque("half"),
    )
)  # fmt: skip
SCAN = register(
    OpSpec(
        "scan", _scan_rule, _scan_reference, _scan_samples, "ONNX Scan; jax.lax.scan",
        {"states": int, "sequences": int, "length": (int, NoneType, DimExpr), "reverse": bool}, variadic=True,
        facts=facts.opaque("half"), flops=flops.scan,
    )
)  # fmt: skip


def _tuple(result: Any) -> tuple[Any, ...]:
    return result if isinstance(result, tuple) else (result,)


def _is_symbolic(leaves: Sequence[Any]) -> bool:
    return any(isinstance(leaf, Symbolic) for leaf in leaves)


def cond(pred: TensorLike, true_fn: Function, false_fn: Function, *operands: Any) -> Any:
    """``true_fn(*operands)`` if ``pred`` holds, else ``false_fn(*operands)`` (``jax.lax.cond``; ONNX If).

    Args:
        pred: a boolean scalar.
        true_fn, false_fn: functions that give the same structure of tensors of the same types. They may update
            variables; one that the branch taken does not update keeps its value.
        operands: what they take; tensors of the trace that they use otherwise are found by themselves.

        y = uf.ops.cond(uf.ops.greater(total, 0), lambda: x * 2, lambda: x)
    """
    leaves = [pred, *tensor_leaves(list(operands))]
    if _is_symbolic(leaves):
        return record(cond, pred, true_fn, false_fn, *operands)
    builder = builder_for(leaves)
    if builder is None:
        _need_predicate("cond", type_of(pred))
        return true_fn(*operands) if bool(pred) else false_fn(*operands)
    then = trace_region("true_fn", true_fn, operands, builder, updates=True)
    otherwise = trace_region("false_fn", false_fn, operands, builder, updates=True)
    regions, captured, updated = close_regions(then, otherwise)
    results = _tuple(bind(COND, pred, *tensor_leaves(list(operands)), *captured, regions=regions))
    for variable, value in zip(updated, results[len(then.outputs) :], strict=True):
        value.builder.update(variable, value)
    return refilled(then.structure, results[: len(then.outputs)])


def _holds(condition: Any) -> bool:
    """Whether the condition of a loop holds; `ShapeError` for one that is not one value."""
    if is_tensor(condition) and type_of(condition).size != 1:
        raise ShapeError(
            f"while_loop: cond gives a boolean scalar, not a tensor of the shape {show(type_of(condition).shape)}."
        )
    return bool(condition)


def while_loop(
    cond: Function, body: Function, loop_vars: Any, maximum_iterations: Count | None = None
) -> Any:
    """``loop_vars = body(*loop_vars)`` as long as ``cond(*loop_vars)`` (Keras ops.while_loop; ONNX Loop).

    Args:
        cond: gives a boolean scalar.
        body: gives the next ``loop_vars``, of the same types.
        loop_vars: a list or tuple of tensors, or of structures of them, which the functions take each by itself; or
            one tensor or dict, which they take whole.
        maximum_iterations: an upper bound of the steps.

    JAX has no gradient of it; `scan` has one everywhere.
    """
    if not isinstance(loop_vars, list | tuple):
        return while_loop(cond, lambda value: (body(value),), (loop_vars,), maximum_iterations)[0]
    leaves = tensor_leaves(list(loop_vars))
    if _is_symbolic(leaves):
        return record(while_loop, cond, body, loop_vars, maximum_iterations)
    builder = builder_for(leaves)
    if builder is None:
        count = 0
        while (maximum_iterations is None or count < maximum_iterations) and _holds(cond(*loop_vars)):
            loop_vars, count = body(*loop_vars), count + 1
        return loop_vars
    initial = [lift(leaf, builder) for leaf in leaves]
    arguments = tuple(refilled(list(loop_vars), initial))
    condition = trace_region("cond", cond, arguments, builder, loops=True)
    step = trace_region("body", body, arguments, builder, loops=True)
    _count_turns(initial, condition, step)
    regions, captured, _ = close_regions(condition, step)
    limit = None if maximum_iterations is None else int(maximum_iterations)
    results = bind(
        WHILE_LOOP, *initial, *captured, regions=regions, states=len(initial), maximum_iterations=limit
    )
    return refilled(loop_vars, _tuple(results))


def _count_turns(initial: list[Any], *bodies: Body) -> None:
    """Where random numbers are drawn in the body of a loop, the last of ``bodies``: one more of its states, which
    ``initial`` begins, counts the turns."""
    if not any(body.builder.counts for body in bodies):
        return
    place = len(initial)
    initial.append(np.asarray(0, np.int32))
    for body in bodies:
        body.inputs.insert(place, body.builder.turn())
    step = bodies[-1]
    step.outputs.insert(place, lift(elementwise.add(step.builder.turn(), 1), step.builder))


def scan(
    f: Function,
    init: Any,
    xs: Any = None,
    length: Dim | None = None,
    reverse: bool = False,
    unroll: int | bool = 1,
) -> tuple[Any, Any]:
    """``carry, y = f(carry, x)`` for every ``x`` along axis 0 of ``xs`` (Keras ops.scan; ``jax.lax.scan``).

    Args:
        f: ``(carry, x) -> (carry, y)``; the carry keeps its structure and types.
        init: the first carry, a tensor or a structure of tensors.
        xs: a tensor or structure of tensors of one length, or None.
        length: the number of steps, where ``xs`` does not say it.
        reverse: from the last ``x`` to the first; each ``y`` stays at the position of its ``x``.
        unroll: a positive int or a boolean, as Keras takes it; how a loop is unrolled is the compiler's choice.

    Random numbers that ``f`` draws are others at each step, also where a graph is traced. Sequences whose length is not
    known yet, in a function that TensorFlow traces, are gone through by a loop of its graph.

    Returns the last carry, and the ``y`` stacked along axis 0.
    """
    if isinstance(unroll, int) and not isinstance(unroll, bool) and unroll < 1:
        raise ArgumentError(f"scan: unroll must be a positive integer or boolean, not {unroll}.")
    if xs is None and length is None:
        raise ArgumentError("scan: there is no xs to scan over and no length.")
    sequences = [] if xs is None else tensor_leaves(xs)
    leaves = [*tensor_leaves(init), *sequences]
    types = [type_of(leaf) for leaf in leaves]  # what is no tensor has none
    if any(not type_.shape for type_ in types[len(leaves) - len(sequences) :]):
        raise ShapeError("scan: a sequence needs an axis 0 to scan over; one is a scalar.")
    if _is_symbolic(leaves):
        return record(scan, f, init, xs, length, reverse)
    builder = builder_for(leaves)
    states, slices = types[: len(leaves) - len(sequences)], types[len(leaves) - len(sequences) :]
    if builder is None and all(isinstance(type_.shape[0], int) for type_ in slices):
        return _scan_now(f, init, xs, length, reverse)
    given = leaves if builder is None else [lift(leaf, builder) for leaf in leaves]
    initial, scanned = given[: len(states)], given[len(states) :]
    step = None if xs is None else refilled(xs, [type_.with_shape(type_.shape[1:]) for type_ in slices])
    arguments = [refilled(init, states)]

    def call(carry: Any, *x: Any) -> Any:
        return f(carry, *(x or (None,)))

    given_to = arguments if xs is None else [*arguments, step]
    with nullcontext() if builder is not None else backend_of_arrays(leaves):
        body = trace_region("body", call, given_to, builder, loops=True)
    count = len(initial)
    _count_turns(initial, body)
    regions, captured = at_once(body) if builder is None else close_regions(body)[:2]
    results = bind(
        SCAN, *initial, *scanned, *captured, regions=regions, states=len(initial), sequences=len(scanned),
        length=None if scanned else length, reverse=bool(reverse),
    )  # fmt: skip
    carry, y = _pair(body.structure)
    found = _tuple(results)
    return refilled(carry, found[:count]), refilled(y, found[len(initial) :])


def _pair(result: Any) -> tuple[Any, Any]:
    if not isinstance(result, tuple | list) or len(result) != 2:
        raise ArgumentError("scan: the function gives a pair, the next carry and the output of the step.")
    return result[0], result[1]


def _scan_now(f: Function, init: Any, xs: Any, length: Any, reverse: bool) -> tuple[Any, Any]:
    """`scan` on native arrays."""
    sequences = [] if xs is None else tensor_leaves(xs)
    steps = int(sequences[0].shape[0] if sequences else length or 0)
    if steps == 0:
        raise ArgumentError("scan: there are no steps to take; outside a graph it needs at least one.")
    carry, outputs = init, []
    for t in reversed(range(steps)) if reverse else range(steps):
        x = None if xs is None else refilled(xs, [leaf[t] for leaf in sequences])
        carry, y = _pair(f(carry, x))
        outputs.append(y)
    ordered = outputs[::-1] if reverse else outputs
    columns = zip(*(tensor_leaves(y) for y in ordered), strict=True)
    return carry, refilled(ordered[0], [stack(list(column)) for column in columns])
