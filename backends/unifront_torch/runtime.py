"""Arrays, devices, keys, and compiled programs in PyTorch."""

from __future__ import annotations

import os
from collections import ChainMap
from collections.abc import Callable, Hashable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from functools import cache, lru_cache, reduce
from typing import Any

import ml_dtypes
import numpy as np
import torch

from unifront.backends import Backend, HostKey, Step, StepPlan, StepState, host_free_bytes, live_table
from unifront.dtypes import PACKED
from unifront.dtypes import key as key_dtype
from unifront.errors import ArgumentError, DTypeError, UnknownName
from unifront.ir.emit import Program, Rows, emit
from unifront.ir.graph import Graph
from unifront.ir.layouts import storage_of
from unifront.ir.types import TensorType
from unifront.opset.replay import expand
from unifront.opset.tensor import CONSTANT
from unifront_torch.dtypes import TORCH, UNIFRONT
from unifront_torch.lower import IN_PLACE, OVERLAYS, STORAGE, TABLE, UNSUPPORTED
from unifront_torch.lower._lists import LISTS
from unifront_torch.lower._over import OVER
from unifront_torch.lower.gradient import check_recording
from unifront_torch.lower.random import on as drawn_on
from unifront_torch.lower.threefry import on as words_on

Array = Any
"""A tensor, or a `HostKey`."""


_VIEWED = {"bfloat16": "int16", "float8_e4m3fn": "int8", "float8_e5m2": "int8"}
"""The dtypes that PyTorch does not exchange with NumPy, and those as whose bits they are."""
_OF_FEW_BITS = frozenset(_VIEWED) | {dtype.name for dtype in PACKED}


class TorchBackend(Backend):
    """Runs graphs as PyTorch, eagerly: one native call for each node. Keys are `HostKey`s."""

    name = "torch"

    def rows(self, device: str | None = None) -> Rows:
        return _rows(self, device or self.devices()[0])

    def devices(self) -> tuple[str, ...]:
        return _devices()

    def version(self) -> str:
        return str(torch.__version__)

    def profiled(self, folder: str) -> AbstractContextManager[Any]:
        return torch.profiler.profile(on_trace_ready=torch.profiler.tensorboard_trace_handler(folder))

    def array(self, value: np.ndarray, device: str | None = None) -> torch.Tensor:
        copy = np.array(value, order="C")
        name = copy.dtype.name
        kind = TORCH[name] if name in _OF_FEW_BITS else None  # raises for what PyTorch has not
        if kind is not None:
            tensor = torch.from_numpy(copy.view(_VIEWED[name])).view(kind)
        else:
            tensor = torch.from_numpy(copy)
        return tensor.to(device or self.devices()[0])

    def readable(self, value: np.ndarray, device: str | None = None) -> torch.Tensor:
        on_host = (device or self.devices()[0]) == "cpu" and value.dtype.name not in _OF_FEW_BITS
        fits = all(stride >= 0 and not stride % value.itemsize for stride in value.strides)
        if on_host and fits and value.flags.writeable:
            return torch.from_numpy(value)
        return self.array(value, device)

    def numpy(self, array: Array) -> np.ndarray:
        if isinstance(array, HostKey):
            raise DTypeError("A random key has no NumPy value.")
        host = array.detach().cpu()
        name = UNIFRONT[host.dtype].name if host.dtype in UNIFRONT else ""
        if name in _VIEWED:
            return host.contiguous().view(TORCH[_VIEWED[name]]).numpy().view(getattr(ml_dtypes, name))
        return host.resolve_conj().resolve_neg().numpy()

    def type_of(self, array: Array) -> TensorType:
        if isinstance(array, HostKey):
            return TensorType(key_dtype)
        return _type(array.dtype, array.shape)

    def key(self, seed: int, device: str | None = None) -> HostKey:
        return HostKey(seed)

    def device_of(self, array: Array) -> str:
        return _name_of(array.device)

    def free_bytes(self, device: str | None = None) -> int | None:
        where = device or self.devices()[0]
        if where.startswith("cuda"):
            return int(torch.cuda.mem_get_info(where)[0])
        return host_free_bytes()  # MPS shares the machine's memory

    def signature(self, kind: type) -> Callable[[torch.Tensor], Hashable] | None:
        if kind not in (torch.Tensor, torch.nn.Parameter):
            return None
        # A flag is hashed and compared quicker than a device.
        return lambda array: (kind, array.dtype, array.shape, array.is_cpu or array.device)

    @contextmanager
    def outside(self) -> Iterator[None]:
        with torch.inference_mode(False), torch.no_grad():
            yield

    def leaf(self, array: Any, trainable: bool, into: Any | None = None) -> torch.nn.Parameter:
        with self.outside():
            records = trainable and array.is_floating_point()
            if into is None:
                return torch.nn.Parameter(array.detach().clone(), requires_grad=records)
            if array.data_ptr() != into.data_ptr() or array.stride() != into.stride():
                into.copy_(array)
            return into.requires_grad_(records)

    def plain(self, leaf: torch.Tensor) -> torch.Tensor:
        return leaf.detach()

    def synchronize(self, device: str | None = None) -> None:
        kind = (device or self.devices()[0]).partition(":")[0]
        if kind == "cuda":
            torch.cuda.synchronize(device)
        elif kind == "mps":
            torch.mps.synchronize()

    def program(self, graph: Graph, device: str | None = None, *, records: bool = True) -> Program:
        """``graph`` as a Python function over PyTorch calls; operations without a row are written out.

        Args:
            records: whether autograd may record them.
        """
        rows = self.rows(device)
        # Layouts are those of the graph as given, which is where the caller looks them up.
        layouts = storage_of(graph, rows.storage)
        stored = {variable.name: layout for variable, layout in zip(graph.variables, layouts, strict=True)}
        return emit(expand(graph, rows.table), rows, stored=stored, records=records)

    def compile(self, graph: Graph, device: str | None = None) -> Inference:
        return Inference(self.program(graph, device, records=False))

    def recordable(self, graph: Graph, device: str | None = None) -> Recordable:
        rows = self.rows(device)
        canonical = dict.fromkeys(variable.name for variable in graph.variables)
        return Recordable(emit(expand(graph, rows.table), rows, stored=canonical))

    def value_and_grad(self, graph: Graph, wrt: Sequence[str], device: str | None = None) -> ValueAndGrad:
        return ValueAndGrad(graph, self.program(graph, device), wrt)

    def step(self, plan: StepPlan, state: StepState, device: str | None = None) -> Step:
        from unifront_torch.step import TorchStep

        return TorchStep(plan, state, self.rows(device))

    def module(
        self, training: Graph, inference: Graph, values: Mapping[str, np.ndarray], updates: Sequence[str],
        device: str | None = None,
    ) -> Any:  # fmt: skip
        from unifront_torch.module import GraphModule

        return GraphModule(self, training, inference, values, updates, device)

    def weights_of(self, module: Any, given: Mapping[str, Array] | None = None) -> dict[str, np.ndarray]:
        from unifront_torch.module import GraphModule

        module = getattr(module, "_orig_mod", module)  # what torch.compile wraps
        if not isinstance(module, GraphModule):
            raise ArgumentError(f"Weights come back from what lower('torch') gave, not from {type(module)}.")
        return module.weights(given)


@lru_cache(4096)
def _type(dtype: torch.dtype, shape: torch.Size) -> TensorType:
    if dtype not in UNIFRONT:
        raise DTypeError(f"unifront has no dtype for a tensor of {dtype}; cast it first.")
    return TensorType(UNIFRONT[dtype], tuple(shape))


@cache
def _name_of(device: torch.device) -> str:
    return str(device)


@cache
def _devices() -> tuple[str, ...]:
    if torch.cuda.is_available():
        return (*(f"cuda:{number}" for number in range(torch.cuda.device_count())), "cpu")
    return ("mps", "cpu") if torch.backends.mps.is_available() else ("cpu",)


@cache
def _rows(backend: TorchBackend, device: str) -> Rows:
    def constant(value: np.ndarray) -> torch.Tensor:
        return backend.array(value, device)

    table = ChainMap(
        {CONSTANT: lambda value: constant(value.numpy()), **drawn_on(device), **words_on(device)},
        live_table(backend.name, TABLE, device, OVERLAYS),  # type: ignore[arg-type]  # it is only read
    )
    return Rows(
        backend.name,
        table,
        constant,
        torch.Tensor.size,
        STORAGE,
        UNSUPPORTED,
        _smallest,
        in_place=IN_PLACE,
        batched={op: row for op, row in LISTS.items() if table.get(op) is TABLE.get(op)},
        over={op: row for op, row in OVER.items() if table.get(op) is TABLE.get(op)},
    )


def _smallest(*sizes: Any) -> Any:
    return reduce(torch.sym_min, sizes)  # sizes are symbols under `torch.export`


def _one_thread_after_fork() -> None:
    """A forked process has none of the threads that share out an operation on the CPU, and would wait for them."""
    if _rows.cache_info().currsize:
        torch.set_num_threads(1)


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_one_thread_after_fork)


class Inference:
    """A program that records nothing for gradients."""

    def __init__(self, program: Program) -> None:
        self.storage, self.source, self._function = program.storage, program.source, program.function

    def __call__(self, inputs: Sequence[Array], variables: Sequence[Array]) -> tuple[Array, ...]:
        # Not inference_mode: its tensors could never be used again where gradients are recorded.
        with torch.no_grad():
            return self._function(tuple(inputs), tuple(variables))


class Recordable:
    """A program that autograd records, as it would its operations by themselves."""

    def __init__(self, program: Program) -> None:
        self.storage, self.source, self._function = program.storage, program.source, program.function

    def __call__(self, inputs: Sequence[Array], variables: Sequence[Array]) -> tuple[Array, ...]:
        return self._function(tuple(inputs), tuple(variables))


class ValueAndGrad:
    """A program followed by the gradients of output 0; that of a variable has the variable's layout."""

    def __init__(self, graph: Graph, program: Program, wrt: Sequence[str]) -> None:
        self.storage, self.source, self._function = program.storage, program.source, program.function
        names = [*graph.input_names, *(variable.name for variable in graph.variables)]
        unknown = [name for name in wrt if name not in names]
        if unknown:
            raise UnknownName("input or variable", unknown[0], names)
        self._inputs = len(graph.inputs)
        self._positions = [names.index(name) for name in wrt]

    def __call__(self, inputs: Sequence[Array], variables: Sequence[Array]) -> tuple[Array, ...]:
        operands: list[Any] = [*inputs, *variables]
        for position in self._positions:
            operands[position] = operands[position].detach().requires_grad_()
        leaves = [operands[position] for position in self._positions]
        with torch.enable_grad():
            outputs = self._function(tuple(operands[: self._inputs]), tuple(operands[self._inputs :]))
        gradients = gradients_of(outputs[0], leaves)
        return (*(o.detach() if isinstance(o, torch.Tensor) else o for o in outputs), *gradients)


def gradients_of(loss: torch.Tensor, leaves: Sequence[torch.Tensor]) -> tuple[torch.Tensor, ...]:
    """The gradients of ``loss``; zero for what it does not depend on."""
    if not leaves:
        return ()
    if not loss.requires_grad:
        check_recording()
        return tuple(map(torch.zeros_like, leaves))
    gradients: tuple[torch.Tensor, ...] = torch.autograd.grad(
        loss, leaves, allow_unused=True, materialize_grads=True
    )
    return gradients
