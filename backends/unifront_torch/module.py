"""A model as a real ``torch.nn.Module``: parameters, buffers, ``state_dict``, ``.to()``, any training code.

    net = model.lower("torch")
    optimizer = torch.optim.Adam(net.parameters(), fused=True)
    torch.nn.functional.cross_entropy(net(images), labels).backward()
    optimizer.step()

Parameters are called by the model's paths, with dots (``block1.conv.kernel``), and lie in PyTorch's layouts.
"""

from __future__ import annotations

import inspect
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import cache
from keyword import iskeyword
from types import FunctionType
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import nn

from unifront.errors import ArgumentError, ShapeError, UnknownName
from unifront.ir.emit import Program, emit
from unifront.ir.graph import Graph, Variable
from unifront.ir.layouts import Storage, storage_of
from unifront.ir.text import parse_graph, print_graph
from unifront.opset.replay import expand
from unifront.opset.spec import OPS
from unifront_torch.dtypes import TORCH, UNIFRONT
from unifront_torch.parts import Hooks, Parts, has_hooks, running

if TYPE_CHECKING:
    from unifront_torch.runtime import TorchBackend


class Scope(nn.Module):
    """A layer's place in the tree, which holds its parameters and buffers.

    The model runs as one program. Only when a module in it has hooks is that layer's part called on its own.
    """

    def __init__(self, hooks: Hooks) -> None:
        super().__init__()
        self._watch = hooks

    def forward(self, *inputs: Any) -> Any:
        """The layer's part of a call of the whole model."""
        part = running.get()
        if part is None:
            raise ArgumentError(
                "A layer of a lowered model runs as a part of it, not by itself. Call the whole model, or lower "
                "a model of this layer alone."
            )
        return part(*inputs)

    def register_forward_hook(self, *args: Any, **options: Any) -> Any:
        """See ``torch.nn.Module``."""
        self._watch.any = True
        return super().register_forward_hook(*args, **options)

    def register_forward_pre_hook(self, *args: Any, **options: Any) -> Any:
        """See ``torch.nn.Module``."""
        self._watch.any = True
        return super().register_forward_pre_hook(*args, **options)

    def register_full_backward_hook(self, *args: Any, **options: Any) -> Any:
        """See ``torch.nn.Module``."""
        self._watch.any = True
        return super().register_full_backward_hook(*args, **options)

    def register_full_backward_pre_hook(self, *args: Any, **options: Any) -> Any:
        """See ``torch.nn.Module``."""
        self._watch.any = True
        return super().register_full_backward_pre_hook(*args, **options)

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
        super().__init__(Hooks())
        self._programs = programs = _Programs(backend, training, inference)
        self._updates = tuple(updates)
        self._outputs = len(training.outputs) - len(updates)
        self._homes: dict[str, tuple[nn.Module, str]] = {}
        self._scopes: dict[str, nn.Module] = {"": self}
        for variable in programs.variables.values():
            value = backend.array(values[variable.name], device)
            layout = programs.layouts[variable.name]
            self._homes[variable.name] = self._register(
                variable, layout.to_native(value) if layout else value
            )
        for name in dict.fromkeys(node.name for graph in (inference, training) for node in graph.nodes):
            self._scope(name)  # layers without weights, for hooks
        floats = (v for v in programs.variables.values() if v.value.type.dtype.is_float)
        self._leader = next((v.name for v in floats), None)
        self._emit()
        self.__class__ = _class_of(tuple(programs.inputs))

    def __reduce__(self) -> Any:
        return _bare, (tuple(self._programs.inputs),), self.__dict__

    def _emit(self) -> None:
        """Write both programs now: an operation without a row shows, and ``torch.compile`` finds them made."""
        for training in (True, False):
            self._programs.get(training, self._placed(()))

    def _apply(self, *args: Any, **options: Any) -> GraphModule:
        """What ``.to()``, ``.half()``, ``.cuda()`` … call."""
        super()._apply(*args, **options)
        self._emit()
        return self

    def _scope(self, path: str) -> nn.Module:
        """The module at ``path``, made if there is none; one whose name is taken gets a ``_``."""
        if path not in self._scopes:
            before, _, part = path.rpartition("/")
            module, name = self._scope(before), part.replace(".", "_")
            while name == "" or hasattr(module, name):
                name += "_"
            module.add_module(name, Scope(self._watch))
            self._scopes[path] = module._modules[name]
        return self._scopes[path]

    def _register(self, variable: Variable, value: torch.Tensor) -> tuple[nn.Module, str]:
        path, _, name = variable.name.strip("/").rpartition("/")
        module, leaf = self._scope(path), name.replace(".", "_")
        while hasattr(module, leaf):
            leaf += "_"
        if variable.trainable and value.is_floating_point():
            module.register_parameter(leaf, nn.Parameter(value))
        else:
            module.register_buffer(leaf, value)
        return module, leaf

    def weights(self, given: Mapping[str, Any] | None = None) -> dict[str, np.ndarray]:
        """The weights by their paths in Keras's layouts; of ``given``, a ``state_dict``, in place of its own."""
        own = self.state_dict(keep_vars=True)
        names = {id(tensor): name for name, tensor in own.items()}
        state = own if given is None else given
        unknown = [name for name in state if name not in own]
        if unknown:
            raise UnknownName("weight in the state_dict:", unknown[0], own)
        found = {}
        for path in self._homes:
            name = names[id(self._value(path))]
            if name in state:
                layout = self._programs.layouts[path]
                tensor = state[name].detach()
                found[path] = self._programs.numpy(layout.from_native(tensor) if layout else tensor)
        return found

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

    def forward(self, *inputs: Any, **named: Any) -> Any:
        """The model's outputs: a tensor, or a tuple of them. Inputs are called as in the model.

        Raises `ArgumentError` or `ShapeError` if the inputs are not those of the model.
        """
        types = self._programs.inputs
        if named:
            inputs = (*inputs, *(named.pop(name) for name in list(types)[len(inputs) :] if name in named))
        if len(inputs) != len(types) or named:
            given = len(inputs) if not named else ", ".join(named)
            raise ArgumentError(
                f"The model takes {len(types)} inputs ({', '.join(types)}); {given} were given."
            )
        for (name, type_), given in zip(types.items(), inputs, strict=True):
            if not type_.admits(given.shape):
                raise ShapeError(f"Input {name!r} is {type_}; one of shape {tuple(given.shape)} was given.")
        training = self.training
        # No key: PyTorch's default generator.
        operands = (*inputs, None) if self._programs.takes_key[training] else inputs
        if self._watch.any and (hooked := self._hooked()):
            parts = self._programs.parts(training, self._placed(inputs), self._outputs, hooked)
            outputs = parts(operands, self._value, self._scopes)
        else:
            program, wanted = self._programs.get(training, self._placed(inputs))
            outputs = program(operands, tuple([self._value(name) for name in wanted]))
        if training and self._updates:
            with torch.no_grad():
                for name, value in zip(self._updates, outputs[self._outputs :], strict=True):
                    layout = self._programs.layouts[name]
                    self._value(name).copy_(layout.to_native(value) if layout else value)
        return outputs[0] if self._outputs == 1 else outputs[: self._outputs]

    def _hooked(self) -> frozenset[str]:
        """The paths of the layers that have hooks now."""
        found = frozenset(path for path, module in self._scopes.items() if path and has_hooks(module))
        self._watch.any = bool(found)
        return found


@cache
def _class_of(names: tuple[str, ...]) -> type[GraphModule]:
    """`GraphModule` with the inputs' names in the signature of ``forward``, for ``torch.export`` to know them."""
    plain = GraphModule.forward
    forward = FunctionType(
        plain.__code__, plain.__globals__, "forward", plain.__defaults__, plain.__closure__
    )
    forward.__doc__ = plain.__doc__
    parameters = [inspect.Parameter("self", inspect.Parameter.POSITIONAL_ONLY)]
    if all(name.isidentifier() and not iskeyword(name) and name != "self" for name in names):
        kind = inspect.Parameter.POSITIONAL_OR_KEYWORD
        parameters += [inspect.Parameter(name, kind) for name in names]
        forward.__signature__ = inspect.Signature(  # type: ignore[attr-defined]  # functions may have one
            [parameters[0].replace(kind=kind), *parameters[1:]]
        )
    return type("GraphModule", (GraphModule,), {"forward": forward, "__module__": __name__})


def _bare(names: tuple[str, ...]) -> GraphModule:
    kind = _class_of(names)
    return kind.__new__(kind)


class _Programs:
    """The two graphs of a module, emitted for each device and dtype that the module is moved to.

    Copies of a module share it: it never changes but for what it has emitted.
    """

    def __init__(self, backend: TorchBackend, training: Graph, inference: Graph) -> None:
        table = backend.rows("cpu").table
        self._backend, self._given = backend, (training, inference)
        self._graphs = {True: expand(training, table), False: expand(inference, table)}
        self._emitted: dict[Any, Any] = {}
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

    def parts(
        self, training: bool, placed: tuple[torch.device, torch.dtype | None], count: int,
        paths: frozenset[str],
    ) -> Parts:  # fmt: skip
        """A graph, of ``count`` outputs, cut into the layers at ``paths`` and what is between them."""
        found = self._emitted.get((training, placed, paths))
        if found is None:
            found = Parts(
                self._graphs[training], count, paths, lambda graph: self._emit(graph, *placed).function
            )
            self._emitted[training, placed, paths] = found
        return found

    def numpy(self, tensor: torch.Tensor) -> np.ndarray:
        """A weight's value as NumPy, in its own dtype again if the module was moved to another."""
        return self._backend.numpy(tensor)

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
