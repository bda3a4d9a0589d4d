"""Which nodes of a trace each layer's call made: what a file keeps, so that its model has layers again."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from unifront import tree
from unifront.ir.graph import Node, Value
from unifront.opset.tensor import CONSTANT, Builder, Traced


@dataclass(eq=False)
class Recorded:
    """One call of ``layer``: the builder's nodes ``start`` to ``stop``, and the tensors that went in and out.

    Args:
        depth: how many recorded calls are around it.
        inputs, outputs: the traced tensors among the arguments and results.
        input_masks, output_masks: the mask of each, or None.
        losses: the scalars that the call added to the loss.
    """

    layer: Any
    depth: int
    start: int
    stop: int = 0
    inputs: tuple[Traced, ...] = ()
    input_masks: tuple[Traced | None, ...] = ()
    outputs: tuple[Traced, ...] = ()
    output_masks: tuple[Traced | None, ...] = ()
    losses: tuple[Traced, ...] = ()


@dataclass
class Recorder:
    """Notes the calls of layers in the trace of ``builder``; those inside a loop's body have traces of their own."""

    builder: Builder
    calls: list[Recorded] = field(default_factory=list)
    open: list[Recorded] = field(default_factory=list)

    def begin(self, layer: Any, arguments: Any, context: Any) -> Recorded | None:
        """Note that ``layer`` is called; None if the call belongs to another trace."""
        inputs = _traced(arguments)
        if not inputs or any(tensor.builder is not self.builder for tensor in inputs):
            return None
        call = Recorded(layer, len(self.open), len(self.builder.nodes), inputs=inputs)
        call.input_masks = tuple(map(context.mask_of, inputs))
        self.calls.append(call)
        self.open.append(call)
        call.losses = tuple(context.losses)
        return call

    def end(self, call: Recorded, result: Any, context: Any) -> None:
        """Note what the call gave."""
        del self.open[call.depth :]
        if any(tensor.builder is not self.builder for tensor in _traced(result)):  # it ran inside a body
            del self.calls[self.calls.index(call) :]
            return
        call.stop = len(self.builder.nodes)
        call.outputs = _traced(result)
        call.output_masks = tuple(map(context.mask_of, call.outputs))
        call.losses = tuple(context.losses[len(call.losses) :])

    def adopt(
        self,
        calls: Iterable[Any],
        layers: Mapping[str, Any],
        before: Sequence[int],
        known: Mapping[int, Traced],
    ) -> None:
        """Note the calls in a graph that was inlined.

        Args:
            calls: each a `unifront.graph_parts.LayerCall`.
            layers: by their paths.
            before: the builder's number of nodes before each node of the graph, and at last behind it.
            known: what the graph's values are here, by their numbers.
        """

        def here(values: Iterable[Any]) -> tuple[Any, ...]:
            return tuple(None if value is None else known.get(value.id) for value in values)

        lost: int | None = None  # the depth of a call that came to nothing; those inside it did too
        for call in calls:
            if lost is not None and call.depth > lost:
                continue
            inputs, outputs = here(call.inputs), here(call.outputs)
            lost = call.depth if None in inputs or None in outputs else None
            if lost is None:
                self.calls.append(
                    Recorded(
                        layers[call.layer], len(self.open) + call.depth, before[call.start], before[call.stop],
                        inputs, here(call.input_masks), outputs, here(call.output_masks),
                        tuple(loss for loss in here(call.losses) if loss is not None),
                    )
                )  # fmt: skip

    def numbers(self) -> tuple[dict[Value, int], list[int]]:
        """What the values are called in the finished graph, and how many nodes that are no constants come first."""
        nodes = self.builder.nodes
        constants = [node for node in nodes if node.op is CONSTANT]
        others = [node for node in nodes if node.op is not CONSTANT]
        order = [*self.builder.inputs, *(value for _, value in self.builder.variables.values())]
        order += [value for node in (*constants, *others) for value in node.outputs]
        return {value: number for number, value in enumerate(order)}, _before(nodes)


def _before(nodes: list[Node]) -> list[int]:
    counts = [0]
    for node in nodes:
        counts.append(counts[-1] + (node.op is not CONSTANT))
    return counts


def _traced(structure: Any) -> tuple[Traced, ...]:
    return tuple(leaf for leaf in tree.leaves(structure) if isinstance(leaf, Traced))


def value_number(numbers: Mapping[Value, int], tensor: Traced | None) -> int | None:
    """The number of ``tensor``'s value; None for None."""
    return None if tensor is None else numbers[tensor.value]
