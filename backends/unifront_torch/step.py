"""A step: one eager program, whose gradients autograd takes and whose updates multi-tensor kernels write in place.

A step runs eagerly, so what counts besides the kernels is Python: nothing is done for each variable but by the
kernels' own lists. Nothing waits for the device.
"""

from __future__ import annotations

import weakref
from collections.abc import Sequence
from operator import is_
from typing import Any

import numpy as np
import torch

from unifront.backends import StepPlan, StepState, when_rows_change
from unifront.ir.emit import Rows
from unifront.ir.in_place import has_own_memory
from unifront.opset.replay import StepProgram, step_program
from unifront_torch.dtypes import TORCH
from unifront_torch.lower.optimize import like

_made: dict[tuple[int, int], StepProgram] = {}
when_rows_change(_made.clear)


def _program_of(plan: StepPlan, rows: Rows) -> StepProgram:
    """The program of ``plan``, written once for as long as it lives: a second `fit` starts at once."""
    known = (id(plan), id(rows))  # the rows of a device are kept for good
    found = _made.get(known)
    if found is None:
        found = _made[known] = step_program(plan, rows)
        weakref.finalize(plan, _made.pop, known, None).atexit = False
    return found


class TorchStep:
    """A compiled plan; see `unifront.backends.Step`. Nothing in ``state`` ever requires a gradient.

    What updates overwrite is changed in place. Whatever else is carried replaces the array before it; a result that
    shares memory with what is overwritten, or with the batch, is copied.
    """

    def __init__(self, plan: StepPlan, state: StepState, rows: Rows) -> None:
        made = _program_of(plan, rows)
        self.plan, self.state, self._made = plan, state, made
        self.storage, self.source, self._function = (
            made.program.storage,
            made.program.source,
            made.program.function,
        )
        places = {variable.value: i for i, variable in enumerate(made.graph.variables)}
        self._trained = [
            places[value]
            for node in made.graph.nodes
            if node.op.name == "gradient"
            for value in node.operands[: node.attributes["wrt"]]
            if value in places
        ]
        count = plan.counters
        types = [value.type for value in plan.graph.inputs[len(plan.graph.inputs) - count :]]
        # Counters stay on the host, where kernels read them without waiting; they go with any device's tensors. Updates
        # alone want numbers.
        self._counters = [torch.zeros((), dtype=TORCH[type_.dtype.name]) for type_ in types]
        tensors = {
            value for node in made.graph.nodes if node.op not in rows.in_place for value in node.operands
        }
        tensors.update(made.graph.outputs)
        values = made.graph.inputs[len(made.graph.inputs) - count :]
        self._numbers = None if tensors.intersection(values) else [type_.dtype.numpy.type for type_ in types]
        self._carried = [
            (plan.results + i, position, not has_own_memory(made.graph, made.graph.outputs[plan.results + i]))
            for i, position in enumerate(made.carry)
            if position is not None
        ]
        self._bound: list[Any] | None = None

    def _bind(self) -> list[Any]:
        """Take up what is in ``state``: leaves for autograd, and memory that kernels can walk side by side."""
        variables = self.state.variables
        for i, value in enumerate(variables):
            variables[i] = value.detach()
        seen: set[int] = set()
        for param, *slots in self._made.in_place:
            variables[param] = _dense(variables[param])
            for slot in slots:
                variables[slot] = like(variables[param], variables[slot])
            for position in (param, *slots):
                if _memory(variables[position]) in seen:  # it can be overwritten as one of them only
                    variables[position] = variables[position].clone()
                seen.add(_memory(variables[position]))
        self._operands = list(variables)
        for position in self._trained:
            self._operands[position] = variables[position].detach().requires_grad_()
        self._overwritten = {
            _memory(variables[position]) for positions in self._made.in_place for position in positions
        }
        self._overwritten.update(map(_memory, self._counters))
        self._bound = list(variables)
        return self._bound

    def __call__(self, batch: Sequence[Any], counters: Sequence[float]) -> None:
        state = self.state
        variables = state.variables
        bound = self._bound
        if bound is None or len(bound) != len(variables) or not all(map(is_, variables, bound)):
            bound = self._bind()  # somebody put other values into the state
        key = (state.key,) if self.plan.has_key else ()
        inputs = (*batch, *key, *self._counted(counters))
        with torch.no_grad():
            if self._made.in_place:
                outputs = self._function(inputs, tuple(self._operands), tuple(variables))
            else:
                outputs = self._function(inputs, tuple(self._operands))
            count = self.plan.results
            if count:
                state.results = tuple(self._own(output, batch) for output in outputs[:count])
            for place, position, may_share in self._carried:
                value = self._own(outputs[place], batch) if may_share else outputs[place]
                variables[position] = bound[position] = value
                operand = self._operands[position]
                self._operands[position] = value.detach().requires_grad_() if operand.requires_grad else value

    def _counted(self, counters: Sequence[float]) -> Sequence[Any]:
        """The counters as the program takes them."""
        if self._numbers is not None:
            return [kind(value) for kind, value in zip(self._numbers, counters, strict=True)]
        for counter, value in zip(self._counters, counters, strict=True):
            counter.fill_(value)
        return self._counters

    def _own(self, value: torch.Tensor, batch: Sequence[Any]) -> torch.Tensor:
        """``value``, or a copy of it where it shares memory with what is overwritten or with the batch."""
        memory = _memory(value)
        shares = memory in self._overwritten or any(memory == _memory(array) for array in batch)
        return value.clone() if shares else value

    def run(
        self, arrays: Sequence[torch.Tensor], indices: np.ndarray, counters: Sequence[Sequence[float]]
    ) -> None:
        """Runs on batches taken from ``arrays`` on the device."""
        numbers = torch.as_tensor(indices, device=arrays[0].device if arrays else None)
        for rows, own in zip(numbers.unbind(0), counters, strict=True):
            self([array.index_select(0, rows) for array in arrays], own)


def _memory(tensor: torch.Tensor) -> int:
    """Where the memory behind ``tensor`` begins; views share it."""
    return tensor.untyped_storage().data_ptr()


def _dense(tensor: torch.Tensor) -> torch.Tensor:
    """``tensor``, or a copy of it where its elements do not lie in memory without gaps or overlaps."""
    same = torch.empty_like(tensor)
    return tensor if same.stride() == tensor.stride() else same.copy_(tensor)
