"""Python functions traced into the bodies of other operations: branches, loops, what is differentiated.

A body is a closed graph. What the function uses from outside comes in as further inputs behind its own, and
the new values that it gives to variables go out as further outputs behind its results.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from unifront import tree
from unifront.errors import ArgumentError
from unifront.ir.graph import Graph, Value
from unifront.ir.types import TensorType
from unifront.opset.tensor import Builder, Symbolic, Traced, building, lift, type_of
from unifront.weights import Variable


@dataclass
class Body:
    """A function traced into a graph of its own, not yet closed.

    Args:
        inputs: the function's own; what it captures is in ``builder.captures``.
        outputs: its results, without the new values of variables.
        structure: its result, as the function gave it.
        updates: the new value of each variable that it updates.
    """

    builder: Builder
    inputs: list[Traced]
    outputs: list[Traced]
    structure: Any
    updates: list[tuple[Variable, Traced]]


def trace_region(
    name: str,
    function: Callable[..., Any],
    arguments: Sequence[Any],
    outer: Builder | None,
    bound: Sequence[tuple[Variable, TensorType]] = (),
    *,
    updates: bool = False,
    loops: bool = False,
) -> Body:
    """``function`` on placeholders for the leaves of ``arguments`` (tensors and types).

    Args:
        outer: the trace around it; None for a graph that runs at once, whose inputs then go on with the arrays that it
            uses from outside (``builder.arrays``).
        bound: variables that are inputs of the body, in front of those of the arguments, rather than captured.
        updates: whether the body may give variables new values.
        loops: whether it is run again and again, see `Builder.turn`.
    """
    builder = Builder(name, outer=outer, arrays={} if outer is None else None, loops=loops)
    inputs: list[Traced] = []

    def placeholder(leaf: Any) -> Any:
        if leaf is None:  # it stands for nothing
            return None
        type_ = leaf if isinstance(leaf, TensorType) else type_of(leaf)
        inputs.append(builder.input(f"x{len(inputs)}", type_))
        return inputs[-1]

    for variable, type_ in bound:
        builder.bound[id(variable)] = placeholder(type_)
    given = [tree.map_leaves(placeholder, argument) for argument in arguments]
    with building(builder):
        result = function(*given)
    if builder.updates and not updates:
        raise ArgumentError(f"{name} gives a weight a new value, which a loop cannot carry outside.")
    leaves = tensor_leaves(result)
    if any(isinstance(leaf, Symbolic) for leaf in leaves):
        raise ArgumentError(f"{name} uses a symbolic tensor from outside; pass it as an operand.")
    new = list(builder.updates.values())
    return Body(builder, inputs, [lift(leaf, builder) for leaf in leaves], result, new)


def close_regions(*bodies: Body) -> tuple[tuple[Graph, ...], list[Traced], list[Variable]]:
    """The graphs of the bodies, what they capture, and the variables that they give new values.

    All take the same captured inputs behind their own and give new values of the same variables behind their
    results; a body that does not update one gives its value as it was.
    """
    updated = {id(variable): variable for body in bodies for variable, _ in body.updates}
    new = [[body.builder.variable(variable) for variable in updated.values()] for body in bodies]
    captured: dict[Value, Traced] = {}
    for body in bodies:
        captured.update({value: outside for value, (outside, _) in body.builder.captures.items()})
    graphs = []
    for body, values in zip(bodies, new, strict=True):
        inputs = [*body.inputs, *(body.builder.capture(outside) for outside in captured.values())]
        body.builder.inputs = [tensor.value for tensor in inputs]
        names = [f"captured_{i}" for i in range(len(captured))]
        body.builder.input_names = [*(f"x{i}" for i in range(len(body.inputs))), *names]
        graphs.append(body.builder.graph([*body.outputs, *values]))
    return tuple(graphs), list(captured.values()), list(updated.values())


def at_once(body: Body) -> tuple[tuple[Graph, ...], list[Any]]:
    """The graph of a body that is run now, and the arrays and weights that it takes behind its own inputs."""
    builder = body.builder
    arrays, weights = list((builder.arrays or {}).values()), list(builder.variables.values())
    builder.inputs = [
        *(tensor.value for tensor in body.inputs), *(tensor.value for _, tensor in arrays),
        *(value for _, value in weights),
    ]  # fmt: skip
    builder.input_names = [f"x{i}" for i in range(len(builder.inputs))]
    graph = builder.graph(body.outputs, variables=())
    return (graph,), [*(array for array, _ in arrays), *(variable for variable, _ in weights)]


def tensor_leaves(structure: Any) -> list[Any]:
    """The leaves of a structure in which None stands for nothing."""
    return [leaf for leaf in tree.leaves(structure) if leaf is not None]


def refilled(structure: Any, leaves: Sequence[Any]) -> Any:
    """``structure`` with other leaves; None stays."""
    left = iter(leaves)
    return tree.map_leaves(lambda leaf: None if leaf is None else next(left), structure)
