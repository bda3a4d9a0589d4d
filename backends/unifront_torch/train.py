"""The training step: forward and backward by autograd, updates by multi-tensor kernels, all in place.

A step runs eagerly, so what counts besides the kernels is Python: there is one list comprehension over the
gradients, and nothing else is done for each variable. Nothing waits for the device.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from operator import is_
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from unifront.backends import TrainPlan, TrainState, UpdateGroup
from unifront.dtypes import int64
from unifront.ir.emit import Program, Storage
from unifront.ir.graph import Graph, Value
from unifront.ir.types import TensorType
from unifront.opset import elementwise
from unifront.opset.reduce import SUM
from unifront.opset.spec import OpSpec
from unifront.opset.tensor import Builder
from unifront_torch.dtypes import TORCH
from unifront_torch.lower import MULTI_TENSOR
from unifront_torch.runtime import check_recording

if TYPE_CHECKING:
    from unifront_torch.runtime import TorchBackend

Update = Callable[[list[torch.Tensor], int, float], None]


class TorchTrainStep:
    """A `TrainStep`. What trains is updated in place; nothing in ``state`` ever requires a gradient."""

    def __init__(self, backend: TorchBackend, plan: TrainPlan, state: TrainState, device: str | None) -> None:
        program = backend.program(plan.graph, device)
        self.state, self.plan = state, plan
        self.storage, self.source, self._function = program.storage, program.source, program.function
        self._backend, self._device = backend, device
        self._replaced = [
            (position, _moved(plan.graph, value, program.storage[position]))
            for position, value in zip(plan.updates, plan.graph.outputs[2:], strict=True)
        ]
        self._transform: Callable[[list[torch.Tensor]], Sequence[torch.Tensor]] | None = None
        if plan.transform:
            layouts = [None] * len(self._layouts) if _blind(plan.transform) else self._layouts
            self._transform = _transform(backend.program(plan.transform, device), layouts)
        loss = plan.graph.outputs[0].type
        self._one = torch.ones((), dtype=TORCH[loss.dtype.name], device=device or backend.devices()[0])
        self._bind()

    @property
    def _layouts(self) -> list[Storage | None]:
        return [self.storage[position] for position in self.plan.trainable]

    def _bind(self) -> None:
        """Take up what is in ``state``: leaves for autograd and lists for the rules, sharing its memory."""
        state, trainable = self.state, self.plan.trainable
        for index, position in enumerate(trainable):
            state.variables[position] = param = _dense(state.variables[position].detach())
            state.slots[index] = tuple(_like(param, slot.detach()) for slot in state.slots[index])
        self._params = [state.variables[position] for position in trainable]
        self._leaves = [param.detach().requires_grad_() for param in self._params]
        self._operands = list(state.variables)
        for position, leaf in zip(trainable, self._leaves, strict=True):
            self._operands[position] = leaf
        self._updates: list[Update] = []
        start = 0
        for group in self.plan.groups:
            indices = range(start, start + len(group.variables))
            self._updates += self._group(group, indices)
            start = indices.stop
        self._bound, self._bound_slots = list(state.variables), list(state.slots)

    def _group(self, group: UpdateGroup, indices: Sequence[int]) -> list[Update]:
        """The updates of a group: one for each dtype, or for each variable where the rule has no row."""
        slots, kernel = self.state.slots, MULTI_TENSOR.get(group.rule)
        if kernel is None:
            return [self._generic(group, index) for index in indices]
        found: list[Update] = []
        for dtype in dict.fromkeys(self._params[index].dtype for index in indices):
            own = [index for index in indices if self._params[index].dtype == dtype]
            columns = [[slots[index][slot] for index in own] for slot in range(group.slots)]
            found.append(_MultiTensor(kernel, group, own, [self._params[index] for index in own], columns))
        return found

    def _generic(self, group: UpdateGroup, index: int) -> Update:
        variable = self.plan.graph.variables[self.plan.trainable[index]]
        builder, type_ = Builder(f"{group.rule.name}"), variable.value.type
        names = ("param", "grad", *(f"slot{number}" for number in range(group.slots)))
        operands = [builder.input(name, type_).value for name in names]
        operands.append(builder.input("iteration", TensorType(int64)).value)
        operands.append(builder.input("learning_rate", TensorType(type_.dtype)).value)
        outputs = builder.add(group.rule, operands, group.attributes, name=variable.name)
        program = self._backend.program(builder.graph(outputs), self._device)
        targets = (self._params[index], *self.state.slots[index])
        return _Generic(program, index, targets, self._layouts[index])

    def __call__(self, batch: Sequence[Any], learning_rate: float) -> None:
        state = self.state
        variables = state.variables
        if not (all(map(is_, variables, self._bound)) and all(map(is_, state.slots, self._bound_slots))):
            self._bind()  # somebody put other values into the state
        key = state.key.fold_in(state.iteration)
        with torch.enable_grad():
            loss, totals, *new = self._function((*batch, key, state.totals), tuple(self._operands))
        if loss.requires_grad:
            gradients = torch.autograd.grad(loss, self._leaves, self._one, allow_unused=True)
        else:
            check_recording()
            gradients = (None,) * len(self._leaves)
        with torch.no_grad():
            # Fused kernels walk a gradient's memory beside its parameter's: their layouts must be equal.
            grads = [
                grad if grad is not None and grad.stride() == param.stride() else _like(param, grad)
                for grad, param in zip(gradients, self._params, strict=True)
            ]
            if self._transform is not None:
                grads = list(map(_like, self._params, self._transform(grads)))
            for (position, moved), value in zip(self._replaced, new, strict=True):
                value = moved(value.detach())
                variables[position] = self._operands[position] = self._bound[position] = value
            for update in self._updates:
                update(grads, state.iteration, learning_rate)
        state.totals = totals.detach()
        state.iteration += 1

    def run(
        self, arrays: Sequence[torch.Tensor], indices: np.ndarray, learning_rate: Sequence[float]
    ) -> None:
        """Steps on batches taken from ``arrays`` on the device."""
        numbers = torch.as_tensor(indices, device=arrays[0].device)
        for rows, rate in zip(numbers.unbind(0), learning_rate, strict=True):
            self([array.index_select(0, rows) for array in arrays], rate)


@dataclass(frozen=True)
class _MultiTensor:
    """A rule's kernel for those of the trainable variables that stand at ``indices``."""

    kernel: Callable[..., None]
    group: UpdateGroup
    indices: list[int]
    params: list[torch.Tensor]
    slots: list[list[torch.Tensor]]

    def __call__(self, grads: list[torch.Tensor], iteration: int, learning_rate: float) -> None:
        own = grads if len(self.indices) == len(grads) else [grads[index] for index in self.indices]
        self.kernel(self.params, own, self.slots, iteration, learning_rate, **self.group.attributes)


@dataclass(frozen=True)
class _Generic:
    """A rule as the program of its decomposition, for one variable; it works in the canonical layout."""

    program: Program
    index: int
    targets: tuple[torch.Tensor, ...]
    layout: Storage | None

    def __call__(self, grads: list[torch.Tensor], iteration: int, learning_rate: float) -> None:
        param, *slots = self.targets
        grad = grads[self.index]
        operands = (param, grad, *slots)
        if self.layout is not None:
            operands = tuple(map(self.layout.from_native, operands))
        counters = (
            torch.full((), iteration, dtype=torch.int64, device=param.device),
            torch.full((), learning_rate, dtype=param.dtype, device=param.device),
        )
        for target, value in zip(
            self.targets, self.program.function((*operands, *counters), ()), strict=True
        ):
            target.copy_(value if self.layout is None else self.layout.to_native(value))


_ELEMENTWISE = frozenset(op for op in vars(elementwise).values() if isinstance(op, OpSpec))


def _blind(graph: Graph) -> bool:
    """Whether ``graph`` works on elements and on sums over all of them, so that their order is all one.

    Each value that is not a scalar then has its elements in the order of one input: `source` says which.
    """
    source = {value: number for number, value in enumerate(graph.inputs) if value.type.shape}
    for node in graph.nodes:
        arrays = [value for value in node.operands if value is not None and value.type.shape]
        if not arrays:
            if any(output.type.shape for output in node.outputs):
                return False
            continue
        same = {(source.get(value), value.type.shape) for value in arrays}
        if len(same) > 1 or arrays[0] not in source:
            return False
        if node.op in _ELEMENTWISE:
            source.update(dict.fromkeys(node.outputs, source[arrays[0]]))
        elif node.op is not SUM or any(output.type.shape for output in node.outputs):
            return False
    return [source.get(v) for v in graph.outputs] == [source.get(v) for v in graph.inputs]


def _transform(
    program: Program, layouts: Sequence[Storage | None]
) -> Callable[[list[torch.Tensor]], list[torch.Tensor]]:
    def transform(grads: list[torch.Tensor]) -> list[torch.Tensor]:
        pairs = zip(grads, layouts, strict=True)
        canonical = tuple(grad if layout is None else layout.from_native(grad) for grad, layout in pairs)
        changed = zip(program.function(canonical, ()), layouts, strict=True)
        return [grad if layout is None else layout.to_native(grad) for grad, layout in changed]

    return transform


def _moved(graph: Graph, value: Value, layout: Storage | None) -> Callable[[torch.Tensor], torch.Tensor]:
    """What makes an output of ``graph`` the new value of a variable."""
    producers = graph.producers()
    while (node := producers.get(value)) and len(node.operands) == 1 and node.operands[0] is not None:
        value = node.operands[0]  # perhaps a view of its operand
    shared = any(value == variable.value for variable in graph.variables)
    if layout is not None:
        return lambda native: layout.to_native(native.clone() if shared else native)
    return torch.clone if shared else _same  # what shares memory with a weight would train with it


def _same(value: torch.Tensor) -> torch.Tensor:
    return value


def _dense(tensor: torch.Tensor) -> torch.Tensor:
    """``tensor``, or a copy of it where its elements do not lie in memory without gaps or overlaps."""
    same = torch.empty_like(tensor)
    return tensor if same.stride() == tensor.stride() else same.copy_(tensor)


def _like(param: torch.Tensor, value: torch.Tensor | None) -> torch.Tensor:
    """``value`` (None: zeros) in the memory layout of ``param``; a view where only axes of size 1 differ."""
    if value is None:
        return torch.zeros_like(param)
    if value.stride() == param.stride():
        return value
    strides = zip(param.shape, param.stride(), value.stride(), strict=True)
    if all(size == 1 or wanted == found for size, wanted, found in strides):
        return value.as_strided(param.shape, param.stride())
    return torch.empty_like(param).copy_(value)
