"""ONNX's own interface of backends, for each backend of unifront.

    from unifront.onnx import backend

    outputs = backend.get("torch").prepare(model).run(inputs)

A model is imported for the types of the arrays that it is given; an input whose values decide what the graph is
(axes, say) for these values; and what was imported is kept.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import cache
from typing import Any

import numpy as np
import onnx
from onnx.backend.base import Backend, BackendRep, Device, DeviceType

from unifront.backends import get_backend, placement
from unifront.dtypes import dtype_of, key
from unifront.errors import ArgumentError, BackendMissing, UnifrontError
from unifront.ir.types import TensorType
from unifront.onnx.imports.values import NARROW, NeedsValue
from unifront.onnx.load import Imported, Result, load

KEPT = 16
"""How many imported forms of a model are kept."""


class Prepared(BackendRep):  # type: ignore[misc]  # onnx has no types
    """A model, ready to be run on arrays."""

    def __init__(self, model: Any, backend: str, device: str | None) -> None:
        self._model, self._place = model, placement(backend if device is None else f"{backend}:{device}")
        initialized = {one.name for one in model.graph.initializer}
        self._inputs = [one for one in model.graph.input if one.name not in initialized]
        self._fixed: set[str] = set()
        self._made: dict[Any, Callable[[Mapping[str, Any]], tuple[Any, ...]]] = {}

    def run(self, inputs: Any, **kwargs: Any) -> tuple[Any, ...]:
        """The outputs for ``inputs``: arrays in the order of the model's inputs, or a dict; lists are sequences."""
        given = dict(inputs) if isinstance(inputs, Mapping) else self._named(inputs)
        while True:
            key_ = tuple((name, _signature(value, name in self._fixed)) for name, value in given.items())
            if key_ not in self._made:
                while len(self._made) >= KEPT:
                    del self._made[next(iter(self._made))]
                told = {name: _told(value, name in self._fixed) for name, value in given.items()}
                try:
                    imported = load(self._model, told, bind_sizes=False)
                except NeedsValue as error:
                    asked = {
                        name
                        for name in given
                        if any(n == name or n.startswith(f"{name}_") for n in error.inputs)
                    }
                    if asked <= self._fixed:
                        raise
                    self._fixed |= asked
                    continue
                self._made[key_] = self._program(imported)
            return self._made[key_](given)

    def _named(self, inputs: Any) -> dict[str, Any]:
        values = list(inputs) if isinstance(inputs, list | tuple) else [inputs]
        if len(values) > len(self._inputs):
            raise ArgumentError(f"The model takes {len(self._inputs)} inputs; {len(values)} were given.")
        return {one.name: value for one, value in zip(self._inputs, values, strict=False)}

    def _program(self, imported: Imported) -> Callable[[Mapping[str, Any]], tuple[Any, ...]]:
        place = self._place
        backend, device = place.backend, place.device
        graph = imported.graph
        program = backend.compile(graph, device)
        arrays = [backend.array(imported.values[variable.name], device) for variable in graph.variables]
        weights = [
            array if storage is None else storage.to_native(array)
            for array, storage in zip(arrays, program.storage, strict=True)
        ]

        def run(given: Mapping[str, Any]) -> tuple[Any, ...]:
            flat = dict(_flat(given))
            operands = []
            for name, value in zip(graph.input_names, graph.inputs, strict=True):
                if value.type.dtype == key:
                    operands.append(backend.key(0, device))
                else:
                    operands.append(backend.array(_carried(flat[name], value.type), device))
            outputs = [backend.numpy(one) for one in program(operands, weights)]
            return tuple(_given_back(result, outputs) for result in imported.results)

        return run


def _flat(given: Mapping[str, Any]) -> Any:
    for name, value in given.items():
        if isinstance(value, list | tuple):
            yield from _flat({f"{name}_{i}": one for i, one in enumerate(value)})
        elif value is not None:
            yield name, np.asarray(value)


def _carried(array: np.ndarray, type_: TensorType) -> np.ndarray:
    return array.astype(type_.dtype.numpy) if array.dtype != type_.dtype.numpy else array


def _given_back(result: Result, outputs: Sequence[np.ndarray]) -> Any:
    def leaf(value: Any) -> Any:
        if isinstance(value, tuple):
            return [leaf(one) for one in value]
        if not isinstance(value, int):
            return value
        array = outputs[value]
        if result.element in NARROW:
            return array.astype(onnx.helper.tensor_dtype_to_np_dtype(result.element))
        return array

    return leaf(result.value)


def _is_text(array: np.ndarray) -> bool:
    return array.dtype.kind in "OUS"


def _signature(value: Any, fixed: bool) -> Any:
    if value is None:
        return None
    if isinstance(value, list | tuple):
        return tuple(_signature(one, fixed) for one in value)
    array = np.asarray(value)
    if _is_text(array):
        return ("strings", array.shape, tuple(map(str, array.flat)))
    return (array.dtype.name, array.shape, array.tobytes() if fixed else None)


def _told(value: Any, fixed: bool) -> Any:
    """What the importer is told of an input."""
    if value is None:
        return None
    if isinstance(value, list | tuple):
        return tuple(_told(one, fixed) for one in value)
    array = np.asarray(value)
    return array if fixed or _is_text(array) else array.shape


@cache
def get(name: str) -> type[Backend]:
    """The `onnx.backend.base.Backend` that runs on a backend of unifront: ``"numpy"``, ``"torch"``, ``"jax"`` …

    Its ``prepare(model, device)`` gives what runs, ``run_model`` prepares and runs, ``supports_device`` says whether
    the machine has a device (``"CPU"``, ``"CUDA:1"``). Raises `BackendMissing` with what to type.
    """
    get_backend(name)

    class UnifrontBackend(Backend):  # type: ignore[misc]  # onnx has no types
        """Runs ONNX models on one backend of unifront."""

        @classmethod
        def prepare(cls, model: Any, device: str = "CPU", **kwargs: Any) -> Prepared:
            return Prepared(model, name, _device(name, device))

        @classmethod
        def run_model(cls, model: Any, inputs: Any, device: str = "CPU", **kwargs: Any) -> tuple[Any, ...]:
            return cls.prepare(model, device, **kwargs).run(inputs)

        @classmethod
        def run_node(
            cls, node: Any, inputs: Any, device: str = "CPU", outputs_info: Any = None, **kwargs: Any
        ) -> tuple[Any, ...]:
            return cls.run_model(_alone(node, inputs, kwargs.get("opset_version")), inputs, device)

        @classmethod
        def supports_device(cls, device: str) -> bool:
            try:
                _device(name, device)
            except (ArgumentError, BackendMissing, UnifrontError, ValueError, AttributeError):
                return False
            return True

    UnifrontBackend.__name__ = UnifrontBackend.__qualname__ = f"{name.capitalize()}Backend"
    return UnifrontBackend


def _device(name: str, device: str) -> str | None:
    """A device of ONNX (``CPU``, ``CUDA:0``) as the backend calls it; None for its first."""
    wanted = Device(device)
    kind = "cpu" if wanted.type == DeviceType.CPU else "cuda"
    known = get_backend(name).devices()
    for called in (f"{kind}:{wanted.device_id}", *([kind] if wanted.device_id == 0 else [])):
        if called in known:
            return called
    raise ArgumentError(f"The backend {name!r} has no device {device!r}; it has {', '.join(known)}.")


def _alone(node: Any, inputs: Any, version: int | None) -> Any:
    """A model of one node, of the types of its inputs."""
    from unifront.onnx.imports.values import element_of

    values = [
        onnx.helper.make_tensor_value_info(n, element_of(dtype_of(np.asarray(x).dtype)), np.shape(x))
        for n, x in zip([n for n in node.input if n], inputs, strict=True)
    ]
    outputs = [onnx.helper.make_empty_tensor_value_info(n) for n in node.output if n]
    imports = [onnx.helper.make_opsetid(node.domain, version or onnx.defs.onnx_opset_version())]
    return onnx.helper.make_model(
        onnx.helper.make_graph([node], "node", values, outputs), opset_imports=imports
    )
