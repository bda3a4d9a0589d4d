"""A model as a real ``torch.nn.Module``: parameters, buffers, ``state_dict``, ``.to()``, any training code.

    net = model.lower("torch")
    optimizer = torch.optim.Adam(net.parameters(), fused=True)
    torch.nn.functional.cross_entropy(net(images), labels).backward()
    optimizer.step()

Parameters are called by the model's paths, with dots (``block1.conv.kernel``), and lie in PyTorch's layouts.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import nn

from unifront.errors import ArgumentError, ShapeError
from unifront.ir.emit import Program, emit
from unifront.ir.graph import Graph, Variable
from unifront.ir.layouts import Storage, storage_of
from unifront.ir.text import parse_graph, print_graph
from unifront.opset.replay import expand
from unifront.opset.spec import OPS
from unifront_torch.dtypes import TORCH, UNIFRONT

if TYPE_CHECKING:
    from unifront_torch.runtime import TorchBackend


class Scope(nn.Module):
    """A layer's place in the tree: it only holds parameters and buffers."""

    def extra_repr(self) -> str:
        """What ``print(net)`` shows of the layer."""
        own = {**self._parameters, **self._buffers}
        return ", ".join(f"{name}={list(t.shape)}" for name, t in own.items() if t is not None)


class GraphModule(Scope):
    """See `Model.lower`. In training mode a call writes the new values of fixed variables into their buffers.

    Random layers draw from PyTorch's default generator, so ``torch.manual_seed`` governs them.
    """

    def __init__(
        self, backend: TorchBackend, training: Graph, inference: Graph, values: Mapping[str, np.ndarray],
        updates: Sequence[str], device: str | None,
    ) -> None:  # fmt: skip
        super().__init__()
        self._programs = programs = _Programs(backend, training, inference)
        self._updates = tuple(updates)
        self._outputs = len(training.outputs) - len(updates)
        self._homes: dict[str, tuple[nn.Module, str]] = {}
        for variable in programs.variables.values():
            value = backend.array(values[variable.name], device)
            layout = programs.layouts[variable.name]
            self._homes[variable.name] = self._register(
                variable, layout.to_native(value) if layout else value
            )
        floats = (v for v in programs.variables.values() if v.value.type.dtype.is_float)
        self._leader = next((v.name for v in floats), None)
        self._emit()

    def _emit(self) -> None:
        """Write both programs now: an operation without a row shows, and ``torch.compile`` finds them made."""
        for training in (True, False):
            self._programs.get(training, self._placed(()))

    def _apply(self, *args: Any, **options: Any) -> GraphModule:
        """What ``.to()``, ``.half()``, ``.cuda()`` … call."""
        super()._apply(*args, **options)
        self._emit()
        return self

    def _register(self, variable: Variable, value: torch.Tensor) -> tuple[nn.Module, str]:
        *path, leaf = (part.replace(".", "_") for part in variable.name.split("/") if part)
        module: nn.Module = self
        for part in path:
            name = part
            while not isinstance(child := module._modules.get(name), Scope):
                if not hasattr(module, name):
                    child = Scope()
                    module.add_module(name, child)
                    break
                name += "_"
            module = child
        while hasattr(module, leaf):
            leaf += "_"
        if variable.trainable and value.is_floating_point():
            module.register_parameter(leaf, nn.Parameter(value))
        else:
            module.register_buffer(leaf, value)
        return module, leaf

    def _value(self, name: str) -> torch.Tensor:
        module, leaf = self._homes[name]
        return getattr(module, leaf)

    def _placed(self, inputs: Sequence[Any]) -> tuple[torch.device, torch.dtype | None]:
        """Where the parameters are now, and in which dtype."""
        if self._leader is not None:
            leader = self._value(self._leader)
            return leader.device, leader.dtype
        tensors = (one for one in inputs if isinstance(one, torch.Tensor))
        return next((one.device for one in tensors), torch.device("cpu")), None

    def forward(self, *inputs: Any) -> Any:
        """The model's outputs: a tensor, or a tuple of them.

        Raises `ArgumentError` or `ShapeError` if the inputs are not those of the model.
        """
        types = self._programs.inputs
        if len(inputs) != len(types):
            raise ArgumentError(
                f"The model takes {len(types)} inputs ({', '.join(types)}); {len(inputs)} were given."
            )
        for (name, type_), given in zip(types.items(), inputs, strict=True):
            if not type_.admits(given.shape):
                raise ShapeError(f"Input {name!r} is {type_}; one of shape {tuple(given.shape)} was given.")
        training = self.training
        program, wanted = self._programs.get(training, self._placed(inputs))
        # No key: PyTorch's default generator.
        operands = (*inputs, None) if self._programs.takes_key[training] else inputs
        outputs = program(operands, tuple([self._value(name) for name in wanted]))
        if training and self._updates:
            with torch.no_grad():
                for name, value in zip(self._updates, outputs[self._outputs :], strict=True):
                    layout = self._programs.layouts[name]
                    self._value(name).copy_(layout.to_native(value) if layout else value)
        return outputs[0] if self._outputs == 1 else outputs[: self._outputs]


class _Programs:
    """The two graphs of a module, emitted for each device and dtype that the module is moved to.

    Copies of a module share it: it never changes but for what it has emitted.
    """

    def __init__(self, backend: TorchBackend, training: Graph, inference: Graph) -> None:
        table = backend.rows("cpu").table
        self._backend, self._given = backend, (training, inference)
        self._graphs = {True: expand(training, table), False: expand(inference, table)}
        self._emitted: dict[Any, tuple[Any, tuple[str, ...]]] = {}
        self.inputs = {name: value.type for name, value in inference.data_inputs.items()}
        self.takes_key = {True: training.takes_key, False: inference.takes_key}
        self.variables: dict[str, Variable] = {}
        self.layouts: dict[str, Storage | None] = {}
        for graph in self._graphs.values():
            for variable, layout in zip(
                graph.variables, storage_of(graph, backend.rows("cpu").storage), strict=True
            ):
                self.variables.setdefault(variable.name, variable)
                self.layouts[variable.name] = self.layouts.get(variable.name) or layout
        floats = (v.value.type.dtype for v in self.variables.values() if v.value.type.dtype.is_float)
        self._dtype = next(floats, None)

    def get(
        self, training: bool, placed: tuple[torch.device, torch.dtype | None]
    ) -> tuple[Any, tuple[str, ...]]:
        """The function of a graph, and the names of the variables it takes."""
        found = self._emitted.get((training, placed))
        if found is None:
            graph = self._graphs[training]
            found = (
                self._emit(graph, *placed).function,
                tuple(variable.name for variable in graph.variables),
            )
            self._emitted[training, placed] = found
        return found

    def _emit(self, graph: Graph, device: torch.device, dtype: torch.dtype | None) -> Program:
        rows = self._backend.rows(str(device))
        if self._dtype is not None and dtype not in (None, TORCH[self._dtype.name]):
            # After `.double()` or `.half()`: constants and casts follow the parameters.
            old, new = TORCH[self._dtype.name], dtype
            graph = _recast(graph, self._dtype.name, UNIFRONT[dtype].name)
            constant = rows.constant

            def follow(value: np.ndarray) -> torch.Tensor:
                tensor = constant(value)
                return tensor.to(new) if tensor.dtype == old else tensor

            rows = replace(rows, constant=follow)
        return emit(graph, rows, stored=self.layouts)

    def __deepcopy__(self, memo: Any) -> _Programs:
        return self

    def __reduce__(self) -> Any:
        return _read, (self._backend, *map(print_graph, self._given))


def _read(backend: TorchBackend, training: str, inference: str) -> _Programs:
    return _Programs(backend, parse_graph(training, OPS), parse_graph(inference, OPS))


def _recast(graph: Graph, old: str, new: str) -> Graph:
    """``graph`` with the dtype attributes ``old`` of its nodes replaced by ``new``."""
    return replace(
        graph,
        nodes=tuple(
            replace(
                node,
                attributes={k: new if k == "dtype" and v == old else v for k, v in node.attributes.items()},
                regions=tuple(_recast(region, old, new) for region in node.regions),
            )
            for node in graph.nodes
        ),
    )
