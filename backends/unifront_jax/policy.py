"""What was measured on one processor and decides how steps are compiled: one object, to be replaced as a whole."""

from __future__ import annotations

from dataclasses import dataclass, field

from unifront.ir.graph import Graph


@dataclass(frozen=True)
class Policy:
    """How steps are given to XLA.

    Args:
        block: how many steps one compiled loop does.
        gathered: how many bytes of batches are taken out of the arrays at a time.
        slow_in_loops: operations that XLA runs slower inside a loop on a CPU. With JAX 0.10.2 on two cores a step of
            the MLP 64-128-128-10 takes 0.7 of the time in a loop, and one of a small CNN 25 times as long:
            convolutions lose their threads and fast kernels there. Recurrent layers, loops themselves, gain nothing.
    """

    block: int = 32
    gathered: int = 2**25
    slow_in_loops: frozenset[str] = field(
        default_factory=lambda: frozenset(
            {"conv", "depthwise_conv", "lstm", "gru", "simple_rnn", "scan", "while_loop"}
        )
    )

    def loops_well(self, graph: Graph, platform: str) -> bool:
        """Whether steps of ``graph`` run faster inside one compiled loop than one by one."""
        return platform != "cpu" or not self._has_slow(graph)

    def _has_slow(self, graph: Graph) -> bool:
        return any(
            node.op.name in self.slow_in_loops or any(map(self._has_slow, node.regions))
            for node in graph.nodes
        )


POLICY = Policy()
