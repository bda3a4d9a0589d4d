"""What a backend is: the whole of what unifront asks of a framework, and what a compiled step carries."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Protocol

import numpy as np

from unifront.backends.host import HostKey, host_free_bytes
from unifront.dtypes import key as key_dtype
from unifront.errors import UnsupportedOp
from unifront.ir.emit import Rows
from unifront.ir.graph import Graph
from unifront.ir.layouts import Storage
from unifront.ir.types import TensorType

Array = Any
"""A native array: ``torch.Tensor``, ``jax.Array``, ``tf.Tensor`` or ``numpy.ndarray``."""


@dataclass(frozen=True, eq=False)
class StepPlan:
    """A graph to be run again and again, and what it carries from one run to the next.

    Args:
        graph: inputs ``*batch[, key], *counters``; outputs ``*results, *new values``.
        carry: the positions in ``graph.variables`` of the variables that the new values replace.
        counters: how many scalars the host gives for each run (numbers of steps, learning rates).
        jit: whether a backend to which XLA is a choice compiles by it; None leaves that to the backend.
    """

    graph: Graph
    carry: tuple[int, ...]
    counters: int
    jit: bool | None = None

    @cached_property
    def has_key(self) -> bool:
        """Whether the graph takes a random key, which is the same at each run."""
        return any(value.type.dtype == key_dtype for value in self.graph.inputs)

    @cached_property
    def batch(self) -> int:
        """How many inputs are the batch."""
        return len(self.graph.inputs) - self.counters - self.has_key

    @cached_property
    def results(self) -> int:
        """How many outputs are results."""
        return len(self.graph.outputs) - len(self.carry)


@dataclass
class StepState:
    """All that runs of a plan read and change, as native arrays in the backend's layout.

    ``variables[i]`` belongs to ``plan.graph.variables[i]``; ``results`` are those of the last run.
    """

    variables: list[Array]
    key: Array = None
    results: tuple[Array, ...] = ()


class Step(Protocol):
    """A compiled plan. It reads and replaces what is in ``state``; it never waits for the device."""

    state: StepState

    def __call__(self, batch: Sequence[Array], counters: Sequence[float]) -> None:
        """One run on one batch."""

    def run(self, arrays: Sequence[Array], indices: np.ndarray, counters: Sequence[Sequence[float]]) -> None:
        """Runs on batches ``array[indices[i]]`` of arrays on the device, with ``counters[i]``; ``indices`` is
        ``[runs, batch]``."""


class Compiled(Protocol):
    """A compiled graph: ``(inputs, variables) -> outputs``, all native arrays, variables in ``storage``."""

    storage: tuple[Storage | None, ...]

    @property
    def source(self) -> str:
        """The text of the Python function that runs, or that the framework traces."""

    def __call__(self, inputs: Sequence[Array], variables: Sequence[Array]) -> tuple[Array, ...]: ...


class Backend(Protocol):
    """The whole of what unifront asks of a framework."""

    name: str
    spreads: bool = False
    """Whether a program may run on several devices at once. Then wherever a device is named, several may be, with
    commas (``"cuda:0,cuda:1"``, see `Placement`): `array` gives each of them the whole, `step` and `split` a part."""
    compiles_sizes: bool = False
    """Whether `compile` compiles anew for each size that its inputs have, so that few sizes are better than many."""
    keeps_reading: bool = False
    """Whether functions that the framework traces read the leaves of weights each time they run; see `read_again`."""

    def rows(self, device: str | None = None) -> Rows:
        """The table of native callables, for constants on ``device``."""

    def devices(self) -> tuple[str, ...]:
        """Names of the devices to run on, the default one first (``("cuda:0", "cpu")``)."""

    def version(self) -> str:
        """The framework's version."""

    def array(self, value: np.ndarray, device: str | None = None) -> Array:
        """``value`` as a native array of the same dtype, copied to the device."""

    def split(self, value: np.ndarray, device: str | None = None) -> Array:
        """Like `array`, but of several devices each gets its part of the first axis, if these can be equal."""
        return self.array(value, device)

    def small(self, values: Sequence[np.ndarray], device: str | None = None) -> list[Array]:
        """Small arrays that are wanted again and again, such as the first states of metrics, see `array`."""
        return [self.array(value, device) for value in values]

    def readable(self, value: np.ndarray, device: str | None = None) -> Array:
        """``value`` as `Step.run` takes batches from it: no copy, where the device can read the host's memory."""
        return self.array(value, device)

    def numpy(self, array: Array) -> np.ndarray:
        """A native array as NumPy, waiting for it."""

    def type_of(self, array: Array) -> TensorType:
        """Dtype and shape of a native array."""

    def key(self, seed: int, device: str | None = None) -> Array:
        """A random key."""

    def drawn_key(self, key: HostKey) -> Any:
        """The key of one call: ``key``, or what each run of the framework's own graph around the call draws."""
        return key

    def read_again(self, leaf: Array, read: Callable[[], Array]) -> None:
        """Told of each leaf that is given out: where a function is traced, ``read`` is called before each of its runs,
        and what it gives is then the value of ``leaf``."""
        return None

    def traced(self, function: Callable[..., Any], *, overwrites: bool = False) -> Callable[..., Any]:
        """A function of native arrays in structures, which gives such, as the framework itself traces and runs it.

        Args:
            overwrites: it may write its results into the arrays of its first argument.
        """
        return function

    def foreseen(self, array: Array) -> np.ndarray | None:
        """The value of an `awaited` array, as far as it follows from what is known already, such as shapes."""
        return None

    def awaited(self, array: Array) -> tuple[str, tuple[int | None, ...]] | None:
        """Of an array without a value, in a function or dataset that the framework traces, the name of its dtype (or
        ``"string"``) and its sizes, None for those not known. None of one that has a value."""
        return None

    def later(
        self, function: Callable[..., Sequence[np.ndarray]], arrays: Sequence[Array],
        results: Sequence[tuple[str, tuple[int | None, ...]]],
    ) -> Sequence[Array]:  # fmt: skip
        """What a function of NumPy arrays gives, run once `awaited` arrays have values; the dtype and sizes of each."""
        raise UnsupportedOp(f"{self.name} has no arrays that have no value yet.")

    def device_of(self, array: Array) -> str | None:
        """The device of a native array, or several that hold it, with commas; None where it has none with a name here
        (it is traced, or a part of it is in another process)."""
        return self.devices()[0]

    def free_bytes(self, device: str | None = None) -> int | None:
        """How much memory of the device is free; None where it cannot tell."""
        return host_free_bytes() if device is None or device.startswith("cpu") else None

    def signature(self, kind: type) -> Callable[[Array], Hashable] | None:
        """What two arrays of the class ``kind`` have in common with which eager operations do the same: class, dtype,
        shape, and the device where there are several. None for a class whose arrays do not say (traced ones)."""
        return None

    def outside(self) -> AbstractContextManager[Any]:
        """A block whose work is no part of a trace or gradient that the framework records around it."""
        return nullcontext()

    def profiled(self, folder: str) -> AbstractContextManager[Any]:
        """A block during which the framework's profiler runs, which writes for TensorBoard into ``folder``."""
        raise UnsupportedOp(f"The backend {self.name} has no profiler.")

    def leaf(self, array: Array, trainable: bool, into: Array | None = None) -> Array:
        """A copy of ``array`` as the framework's own training takes a weight: a leaf of its autograd.

        Args:
            trainable: whether gradients are recorded for it.
            into: an earlier leaf of the weight, which takes the value in place if the framework can.
        """
        return array

    def plain(self, leaf: Array) -> Array:
        """The value of a leaf for a program: nothing is recorded for it, and it may be overwritten."""
        return leaf

    def synchronize(self, device: str | None = None) -> None:
        """Wait until the device has done all work given to it."""

    def compile(self, graph: Graph, device: str | None = None) -> Compiled:
        """``graph`` compiled as the framework does best for inference."""

    def recordable(self, graph: Graph, device: str | None = None) -> Compiled:
        """Like `compile`, but the framework's own autograd records through it, if it has one; variables come as leaves,
        in the canonical layout."""
        return self.compile(graph, device)

    def value_and_grad(self, graph: Graph, wrt: Sequence[str], device: str | None = None) -> Compiled:
        """Like `compile`, but the outputs are followed by the gradients of output 0 (a scalar) to ``wrt``."""

    def step(self, plan: StepPlan, state: StepState, device: str | None = None) -> Step:
        """``plan`` compiled, starting from ``state``."""

    def module(
        self, training: Graph, inference: Graph, values: Mapping[str, np.ndarray], updates: Sequence[str],
        device: str | None = None,
    ) -> Any:  # fmt: skip
        """The model as the framework's own kind of module; see ``Model.lower``."""

    def weights_of(self, module: Any, given: Mapping[str, Array] | None = None) -> dict[str, np.ndarray]:
        """The weights of what `module` made by their paths, as NumPy in the canonical layout.

        Args:
            given: values in place of the module's own, called and laid out as the framework's modules do it.

        Raises `ArgumentError` for another module, `UnknownName` for a weight that it has not.
        """
        raise UnsupportedOp(f"The backend {self.name!r} gives no weights back.")
