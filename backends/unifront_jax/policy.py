"""What was measured on one processor and decides how steps are compiled and run: one object, replaced as a whole."""

from __future__ import annotations

from dataclasses import dataclass, field

from unifront.ir.graph import Graph


@dataclass(frozen=True)
class Policy:
    """How steps are given to XLA, and where kernels are replaced.

    Args:
        block: how many steps one compiled loop does.
        gathered: how many bytes of batches are taken out of the arrays at a time.
        slow_in_loops: operations that XLA runs slower inside a loop on a CPU. With JAX 0.10.2 on two cores a step of
            the MLP 64-128-128-10 takes 0.7 of the time in a loop, and one of a small CNN 25 times as long:
            convolutions lose their threads and fast kernels there. Recurrent layers, loops themselves, gain nothing.
        positions, multiplications: of a convolution's output; with fewer, XLA's gradient of the kernel is as quick as
            that by way of patches.
        patches: how many elements of patches are made at a time: 4 MiB of float32, which a core's caches about hold.
        places: of the window of a convolution by channel; with more, it is left to XLA.
        seen: how many elements of its results are made at a time for its kernel's gradient.
        window: the sum of a window's sizes from which a maximum is left to XLA.
    """

    block: int = 32
    gathered: int = 2**25
    slow_in_loops: frozenset[str] = field(
        default_factory=lambda: frozenset(
            {"conv", "depthwise_conv", "lstm", "gru", "simple_rnn", "scan", "while_loop"}
        )
    )
    positions: int = 128
    multiplications: int = 2**26
    patches: int = 2**20
    places: int = 128
    seen: int = 2**18
    window: int = 16

    def loops_well(self, graph: Graph, platform: str) -> bool:
        """Whether steps of ``graph`` run faster inside one compiled loop than one by one."""
        return platform != "cpu" or not self._has_slow(graph)

    def _has_slow(self, graph: Graph) -> bool:
        return any(
            node.op.name in self.slow_in_loops or any(map(self._has_slow, node.regions))
            for node in graph.nodes
        )


POLICY = Policy()
