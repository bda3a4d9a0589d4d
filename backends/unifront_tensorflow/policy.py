"""What was measured on one processor and decides how steps are compiled: one object, to be replaced as a whole."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from unifront.ir.graph import Graph, Node, Op
from unifront.opset.flops import flops_of_an_example

_QUICK = """
all any argmax argmin attention batch_norm batch_norm_training broadcast_to concatenate cond constant dense dropout
einsum embedding expand_dims fill flip fold_in gradient group_norm iota layer_norm log_softmax logsumexp matmul max mean
min one_hot pad prod remat repeat reshape rms_norm slice softmax softmax_cross_entropy sparse_softmax_cross_entropy
split squeeze stack std sum take take_along_axis tile transpose unstack var
adagrad_update adam_update lion_update momentum_update rmsprop_update sgd_update
"""


@dataclass(frozen=True)
class Policy:
    """When steps are given to XLA, and when their kernels are started by one thread.

    With TensorFlow 2.21 on two cores a step of a transformer (4 blocks of width 256, 128 tokens) takes 0.86 of the time
    by XLA, and one of a small CNN 7 times, of a ConvLSTM 27 times as long: convolutions and loops lose their fast
    kernels there. XLA compiles for seconds, and anew for each size of a batch.

    A step of the MLP of benchmarks/rows.py takes 0.8 of the time when one thread starts its kernels
    (benchmarks/against.py with ``small`` 0 and as it is). The CNN on CIFAR there, of 400 million operations, took a
    tenth longer in the one trial by hand that set the bound: there the kernels are worth being run side by side.

    Args:
        quick: the operations that XLA knows and runs no slower on a CPU; elementwise ones need not be named.
        unknown: elementwise ones that XLA does not know.
        flops: how many floating-point operations of a step on one example make compiling worth its time.
        small: how many there may be for one thread to start all kernels.
    """

    quick: frozenset[str] = frozenset(_QUICK.split())
    unknown: frozenset[str] = frozenset({"i0"})
    flops: int = 10**8
    small: int = 10**7

    def suits_xla(self, graph: Graph, device: str) -> bool:
        """Whether steps of ``graph`` run faster by XLA, and none of its sizes is free but that of the batch."""
        if not device.startswith("cpu") or not all(map(self._is_quick, _nodes(graph))):
            return False
        count = flops_of_an_example(graph)
        return count is not None and count >= self.flops

    def is_small(self, graph: Graph, device: str) -> bool:
        """Whether the kernels of a step of ``graph`` are too short to be handed from thread to thread."""
        count = flops_of_an_example(graph) if device.startswith("cpu") else None
        return count is not None and count < self.small

    def _is_quick(self, node: Node) -> bool:
        types = [value.type.dtype for value in node.outputs]
        halves = any(dtype.is_float and dtype.bits < 32 for dtype in types)
        return self.knows(node.op) and not halves

    def knows(self, op: Op) -> bool:
        """Whether XLA has the operation, and is no slower in it."""
        return op.name in self.quick or (op.facts.elementwise and op.name not in self.unknown)


def _nodes(graph: Graph) -> Iterator[Node]:
    for node in graph.nodes:
        yield node
        for region in node.regions:
            yield from _nodes(region)


POLICY = Policy()
