"""Arrays, devices, keys, and compiled programs."""

from __future__ import annotations

import os
from collections.abc import Callable, Hashable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import replace
from functools import cache, wraps
from itertools import chain
from typing import Any
from weakref import WeakKeyDictionary

import numpy as np
import tensorflow as tf
from tensorflow.python.autograph.core import (
    config as autograph,  # there is no public way to what is asked of these
)
from tensorflow.python.eager import context, execute
from tensorflow.python.framework.func_graph import FuncGraph

from unifront.backends import (
    Array,
    Backend,
    HostKey,
    Step,
    StepPlan,
    StepState,
    aligned_copy,
    host_free_bytes,
    live_table,
    refuse_after_fork,
    with_plain,
)
from unifront.dtypes import dtype_of, key
from unifront.errors import ArgumentError, UnknownName
from unifront.ir.dims import symbol
from unifront.ir.emit import Program, Rows, emit
from unifront.ir.graph import Graph
from unifront.ir.layouts import Storage, storage_of
from unifront.ir.types import TensorType
from unifront.opset.replay import expand
from unifront_tensorflow import lower
from unifront_tensorflow.keys import Key, key_of
from unifront_tensorflow.lower.gradient import dense_gradients
from unifront_tensorflow.policy import POLICY
from unifront_tensorflow.shapes import same, size, smallest
from unifront_tensorflow.variables import Reference


def _grow_memory() -> None:
    """Keep TensorFlow from taking whole GPUs, unless the user configured them or uses them already."""
    if "TF_FORCE_GPU_ALLOW_GROWTH" in os.environ:
        return
    for gpu in tf.config.list_physical_devices("GPU"):
        try:
            if tf.config.get_logical_device_configuration(gpu) is None:
                tf.config.experimental.set_memory_growth(gpu, True)
        except (RuntimeError, ValueError):
            return  # the devices are in use: it is too late, and not ours to say


_grow_memory()

autograph.CONVERSION_RULES = (  # what a ``tf.function`` calls of ours is not for it to rewrite
    *(autograph.DoNotConvert(name) for name in ("unifront", "unifront_tensorflow", "unifront_zoo")),
    *autograph.CONVERSION_RULES,
)


_reads: WeakKeyDictionary[Any, dict[int, tuple[tf.Variable, Callable[[], tf.Variable]]]] = WeakKeyDictionary()
"""Of functions of the user's that read weights: the leaves, and what asks a weight for the leaf that has its value."""


def _reads_of(graph: FuncGraph) -> dict[int, tuple[tf.Variable, Callable[[], tf.Variable]]]:
    found = _reads.get(graph)
    if found is None:
        reads = found = _reads[graph] = {}

        def ask() -> tf.Tensor:
            for leaf, read in list(reads.values()):
                BACKEND.read_again(leaf, read)  # where this is called in a function that is traced around
                current = read()
                if current is not leaf:  # the weight became one that is trained, and so got another leaf
                    leaf.assign(current)
            return tf.constant(0)

        graph.capture_call_time_value(ask, tf.TensorSpec((), tf.int32), default_value=tf.constant(0))
    return found


FORESEEN = frozenset(
    ["AddV2", "FloorDiv", "FloorMod", "GatherV2", "Maximum", "Minimum", "Mul", "Prod", "StridedSlice", "Sub"]
)
"""Operations by which sizes are calculated from a shape."""


def device_name(device: str | None) -> str | None:
    """TensorFlow's name of ``"cpu"`` or ``"gpu:0"``; None leaves the choice to TensorFlow."""
    if device is None:
        return None
    kind, _, number = device.partition(":")
    return f"/device:{kind.upper()}:{number or 0}"


@cache
def _short_name(device: str) -> str | None:
    """``"cpu"`` or ``"gpu:0"`` of TensorFlow's name of a device; None for no device in particular."""
    kind, _, number = device.rpartition("device:")[2].lower().partition(":")
    if not number:
        return None
    return kind if (kind, number) == ("cpu", "0") else f"{kind}:{number}"


def _count(kind: str) -> int:
    """How many (logical) devices there are; asking for their list would fix their configuration."""
    configured = map(tf.config.get_logical_device_configuration, tf.config.list_physical_devices(kind))
    return sum(1 if devices is None else len(devices) for devices in configured)


def spec_of(type_: TensorType, name: str | None = None) -> tf.TensorSpec:
    """The signature of a value: symbolic dimensions are free. Keys travel as their seeds."""
    if type_.dtype == key:
        return tf.TensorSpec((2,), tf.int32, name)
    return tf.TensorSpec(
        [dim if isinstance(dim, int) else None for dim in type_.shape], type_.dtype.name, name
    )


def flat(array: Any) -> Any:
    """A native array as the one tensor that a compiled function takes."""
    if _is_variable(array):
        return array.value()
    return array.seed if type(array) is Key else array


def _is_variable(array: Any) -> bool:
    return _is_kind_of_variable(type(array))  # type: ignore[arg-type]  # mypy takes no class for hashable


@cache  # asking each array takes microseconds
def _is_kind_of_variable(kind: Any) -> bool:
    return issubclass(kind, tf.Variable)


LARGE = 2**20
"""Bytes from which on an array is worth not being copied twice."""


def quick_call(function: Any, *, one_thread: bool = False) -> Callable[..., list[Any]]:
    """A concrete function as a callable of flat tensors, without the wrappers that take half of a short call.

    It gives a list of tensors. No gradient tape records it. By the function's name, as the wrappers call it in the end:
    as an operand of `StatefulPartitionedCall` large graphs take up to a tenth longer, and a kernel of a megabyte stays
    behind for each function.

    Args:
        one_thread: start one kernel after the other, each with the threads that it takes itself: handing small ones
            from thread to thread takes longer than they do. A function that calls others, as loops do, cannot; nor is
            it done where there are two devices: a function that is of both would wait for itself, and results are
            where TensorFlow likes to have them.
    """
    where = context.context()
    name, count = function.inference_fn.name.decode(), len(function.outputs)
    captured = function.captured_inputs
    options = where.function_call_options.as_attrs()
    one_thread = one_thread and len(tf.config.list_logical_devices()) == 1
    if one_thread and not any(map(_calls_another, function.graph.get_operations())):
        options["executor_type"] = "SINGLE_THREADED_EXECUTOR"
    attributes = tuple(chain.from_iterable(options.items()))

    def call(*tensors: Any, _alive: Any = function) -> list[Any]:
        found: list[Any] = execute.execute(name, count, [*tensors, *captured], attributes, where)
        return found

    return call


def _calls_another(operation: Any) -> bool:
    return any(attribute.type == "func" for attribute in operation.op_def.attr)


class Compiled:
    """A graph as a function, traced once, whose calls no tape records; see `unifront.backends.Compiled`."""

    def __init__(self, graph: Graph, rows: Rows, device: str | None, wrt: Sequence[str] = ()) -> None:
        self._graph, self._rows = expand(graph, rows.table), rows
        self._where, self._device = device, device_name(device)
        places = {variable.name: len(graph.inputs) + i for i, variable in enumerate(graph.variables)}
        places |= {name: i for i, name in enumerate(graph.input_names)}
        missing = [name for name in wrt if name not in places]
        if missing:
            raise UnknownName("input or variable", missing[0], places)
        self._wrt = [places[name] for name in wrt]
        self._key_outputs = [i for i, value in enumerate(graph.outputs) if value.type.dtype == key]
        self.storage = self._layouts()
        self._functions: dict[bool, Any] = {}  # by whether the variables come as `tf.Variable` objects

    def _layouts(self) -> tuple[Storage | None, ...]:
        return storage_of(self._graph, self._rows.storage)

    def _emit(self) -> Program:
        names = (variable.name for variable in self._graph.variables)
        return emit(self._graph, self._rows, stored=dict(zip(names, self.storage, strict=True)))

    @property
    def source(self) -> str:
        """The text of the function that TensorFlow traces."""
        return self._emit().source

    def __call__(self, inputs: Sequence[Array], variables: Sequence[Array]) -> tuple[Array, ...]:
        handles = bool(variables) and all(map(_is_variable, variables))
        if handles not in self._functions:
            self._functions[handles] = self._callable(self._trace(handles=handles))
        # After training they are variables; reading each one first would take longer than a small model.
        held = [variable.handle for variable in variables] if handles else map(flat, variables)
        outputs = self._functions[handles](*map(flat, inputs), *held)
        if not self._key_outputs:
            return tuple(outputs)
        return tuple(Key(o) if i in self._key_outputs else o for i, o in enumerate(outputs))

    def _callable(self, function: Any) -> Any:
        where = self._where or BACKEND.devices()[0]
        return quick_call(function, one_thread=POLICY.is_small(self._graph, where))

    def _trace(self, *, handles: bool) -> Any:
        """The concrete function of inputs and variables, or of inputs and handles of variables."""
        graph, count = self._graph, len(self._graph.inputs)
        types = [value.type for value in (*graph.inputs, *(variable.value for variable in graph.variables))]
        specs = [spec_of(type_, f"x{i}") for i, type_ in enumerate(types)]
        if handles:
            specs[count:] = [tf.TensorSpec((), tf.resource, spec.name) for spec in specs[count:]]

        def array(tensor: Any, type_: TensorType) -> Any:
            if tensor.dtype == tf.resource:
                return Reference(tensor, type_).read()
            return Key(tensor) if type_.dtype == key else tensor

        def program(*tensors: Any) -> tuple[Any, ...]:
            with tf.device(self._device):
                # Constants made while tracing are part of the function; made before, they would be arguments.
                body = _with_gradients(self._emit(), count, self._wrt)
                return tuple(flat(output) for output in body(list(map(array, tensors, types))))

        return tf.function(program, autograph=False).get_concrete_function(*specs)


class Recordable(Compiled):
    """A graph as a concrete function that tapes record; its variables lie as users see them."""

    def _layouts(self) -> tuple[Storage | None, ...]:
        return (None,) * len(self._graph.variables)

    def _callable(self, function: Any) -> Any:
        return function

    def __call__(self, inputs: Sequence[Array], variables: Sequence[Array]) -> tuple[Array, ...]:
        # Variables are read here: a tape watches those that are read where it looks, not inside of the function.
        return super().__call__(inputs, list(map(flat, variables)))


def _with_gradients(
    program: Program, inputs: int, wrt: Sequence[int]
) -> Callable[[list[Any]], tuple[Any, ...]]:
    """The program over inputs and variables in one list; with ``wrt``, followed by dense gradients."""

    def forward(arrays: list[Any]) -> tuple[Any, ...]:
        return program.function(tuple(arrays[:inputs]), tuple(arrays[inputs:]))

    def both(arrays: list[Any]) -> tuple[Any, ...]:
        sources = [arrays[i] for i in wrt]
        with tf.GradientTape(watch_accessed_variables=False) as tape:
            tape.watch(sources)
            outputs = forward(arrays)
        return (*outputs, *dense_gradients(tape, outputs[0], sources))

    return both if wrt else forward


class TensorFlowBackend(Backend):
    """Runs graphs as TensorFlow functions; keys are `Key`s."""

    name = "tensorflow"
    keeps_reading = True

    def rows(self, device: str | None = None) -> Rows:
        return _rows(self, device or self.devices()[0])

    def portable_rows(self, device: str | None = None) -> Rows:
        """Like `rows`, without those that are of one kind of device: programs of these run anywhere, and by XLA."""
        return _rows(self, device or self.devices()[0], overlays=False)

    def devices(self) -> tuple[str, ...]:
        gpus, cpus = map(_count, ("GPU", "CPU"))
        return (*(f"gpu:{i}" for i in range(gpus)), "cpu", *(f"cpu:{i}" for i in range(1, cpus)))

    def version(self) -> str:
        return str(tf.__version__)

    def profiled(self, folder: str) -> AbstractContextManager[Any]:
        return tf.profiler.experimental.Profile(folder)

    def array(self, value: np.ndarray, device: str | None = None) -> Array:
        with tf.device(device_name(device)):
            if value.nbytes < LARGE or value.dtype.kind not in "iuf":
                return tf.constant(value)
            # tf.constant copies twice: once for itself, and then as the memory of NumPy's copy is not aligned.
            return tf.identity(tf.experimental.dlpack.from_dlpack(aligned_copy(value).__dlpack__()))

    def numpy(self, array: Array) -> np.ndarray:
        if _is_variable(array):  # its own way takes three operations
            array = tf.raw_ops.ReadVariableOp(resource=array.handle, dtype=array.dtype)
        return np.asarray(array.numpy())

    def type_of(self, array: Array) -> TensorType:
        if isinstance(array, Key):
            return TensorType(key)
        shape = tuple(symbol("unknown") if dim is None else dim for dim in array.shape)
        return TensorType(dtype_of(array.dtype.name), shape)

    def key(self, seed: int, device: str | None = None) -> Key:
        return key_of(int(seed))

    def drawn_key(self, key: HostKey) -> Any:
        if tf.executing_eagerly():
            return key
        # In a function of the user's, or a map of tf.data: a constant would give each batch the same numbers.
        seed = int(key) & 0x7FFFFFFF
        return Key(tf.random.uniform((2,), -(2**31), 2**31 - 1, tf.int32, seed=seed))

    def read_again(self, leaf: tf.Variable, read: Callable[[], tf.Variable]) -> None:
        if tf.executing_eagerly():
            return
        graph = tf.compat.v1.get_default_graph()
        while isinstance(getattr(graph, "outer_graph", None), FuncGraph):  # the body of a loop or a condition
            graph = graph.outer_graph
        if isinstance(graph, FuncGraph):
            _reads_of(graph)[id(leaf)] = (leaf, read)

    def traced(self, function: Callable[..., Any], *, overwrites: bool = False) -> Callable[..., Any]:
        return tf.function(function, autograph=False)

    def foreseen(self, array: Array) -> np.ndarray | None:
        found: np.ndarray | None = tf.get_static_value(array)
        made_by = getattr(array, "op", None)
        if found is not None or made_by is None or made_by.type not in FORESEEN:
            return found
        operands = [self.foreseen(one) for one in made_by.inputs]
        if any(one is None for one in operands):
            return None
        with tf.init_scope(), tf.device("CPU"):
            names = [one.name for one in made_by.op_def.input_arg]
            given = {
                one.name: made_by.get_attr(one.name) for one in made_by.op_def.attr if one.type != "type"
            }
            made = getattr(tf.raw_ops, made_by.type)(**dict(zip(names, operands, strict=True)), **given)
        return np.asarray(made.numpy())

    def awaited(self, array: Array) -> tuple[str, tuple[int | None, ...]] | None:
        if tf.executing_eagerly() or not isinstance(array, tf.Tensor) or hasattr(array, "numpy"):
            return None
        return array.dtype.name, (None,) if array.shape.rank is None else tuple(array.shape)

    def later(
        self, function: Callable[..., Sequence[np.ndarray]], arrays: Sequence[Array],
        results: Sequence[tuple[str, tuple[int | None, ...]]],
    ) -> Sequence[Array]:  # fmt: skip
        found = tf.numpy_function(function, list(arrays), [tf.as_dtype(dtype) for dtype, _ in results])
        for one, (_, shape) in zip(found, results, strict=True):
            one.set_shape(shape)
        return list(found)

    def device_of(self, array: Array) -> str | None:
        return _short_name((array.seed if type(array) is Key else array).device)

    def free_bytes(self, device: str | None = None) -> int | None:
        # Of GPUs TensorFlow tells what it uses, not what there is.
        return host_free_bytes() if (device or self.devices()[0]).startswith("cpu") else None

    def signature(self, kind: type) -> Callable[[Array], Hashable] | None:
        if kind is not _eager_class():
            return None
        # TensorFlow's dtypes and shapes are Python objects, which take longer to make, hash and compare than all else.
        dtype_of = getattr(kind, "_datatype_enum", lambda array: array.dtype.as_datatype_enum)
        shape_of = getattr(kind, "_shape_tuple", lambda array: tuple(array.shape.as_list()))
        if len(self.devices()) == 1:
            return lambda array: (kind, dtype_of(array), shape_of(array))
        return lambda array: (kind, dtype_of(array), shape_of(array), array.device)

    def outside(self) -> AbstractContextManager[Any]:
        return tf.init_scope()

    def leaf(self, array: Array, trainable: bool, into: Array | None = None) -> tf.Variable:
        if into is None or (trainable and not into.trainable):
            if _is_variable(array) and array.trainable >= trainable:
                return array
            with tf.init_scope(), tf.device(array.device):
                return tf.Variable(array, trainable=trainable)
        if into is not array:
            into.assign(array)
        return into

    def synchronize(self, device: str | None = None) -> None:
        tf.test.experimental.sync_devices()

    def compile(self, graph: Graph, device: str | None = None) -> Compiled:
        rows = self.rows(device)
        if not any(node.regions for node in graph.nodes):  # in one of them a gradient may be asked for
            rows = _forward(rows)
        return Compiled(graph, rows, device)

    def recordable(self, graph: Graph, device: str | None = None) -> Compiled:
        return Recordable(graph, self.rows(device), device)

    def value_and_grad(self, graph: Graph, wrt: Sequence[str], device: str | None = None) -> Compiled:
        return Compiled(graph, self.rows(device), device, wrt)

    def step(self, plan: StepPlan, state: StepState, device: str | None = None) -> Step:
        from unifront_tensorflow.step import TensorFlowStep

        return TensorFlowStep(plan, state, self.rows(device), device)

    def module(
        self, training: Graph, inference: Graph, values: Mapping[str, np.ndarray], updates: Sequence[str],
        device: str | None = None,
    ) -> tf.Module:  # fmt: skip
        from unifront_tensorflow.module import GraphModule

        # It may be saved, and run elsewhere or by XLA.
        return GraphModule(training, inference, values, updates, self.portable_rows(), device)

    def weights_of(self, module: Any, given: Mapping[str, Array] | None = None) -> dict[str, np.ndarray]:
        from unifront_tensorflow.module import GraphModule

        if not isinstance(module, GraphModule):
            raise ArgumentError(
                f"Weights come back from what lower('tensorflow') gave, not from {type(module)}."
            )
        return module.weights(given)


@cache
def _rows(backend: TensorFlowBackend, device: str, overlays: bool = True) -> Rows:
    """The rows for a device; without ``overlays`` those that run on any device, and by XLA."""

    def constant(array: np.ndarray) -> Array:
        return backend.array(array, device)

    table = live_table(backend.name, lower.TABLE, device, lower.OVERLAYS if overlays else None)
    if device != backend.devices()[0]:  # where TensorFlow runs what it is not told of
        table = _On(device, table)
    return Rows(
        backend.name, table, constant, size, lower.STORAGE, lower.UNSUPPORTED, smallest, same, lower.IN_PLACE,
        Reference.read,
    )  # fmt: skip


def _forward(rows: Rows) -> Rows:
    return replace(rows, table=_Forward(rows.table))


class _Forward(Mapping[Any, Callable[..., Any]]):
    """A table for what nothing records; a row that replaced one of ours stays."""

    def __init__(self, table: Mapping[Any, Callable[..., Any]]) -> None:
        self._table = table

    def __getitem__(self, op: Any) -> Callable[..., Any]:
        row = self._table[op]
        return lower.FORWARD.get(op, row) if row is lower.TABLE.get(op) else row

    def __iter__(self) -> Iterator[Any]:
        return iter(self._table)

    def __len__(self) -> int:
        return len(self._table)


@cache
def _eager_class() -> type:
    """Of the tensors that have a value; those of a function being traced are of others."""
    with tf.init_scope():
        return type(tf.constant(0))


class _On(Mapping[Any, Callable[..., Any]]):
    """A table whose rows run on ``device``."""

    def __init__(self, device: str, table: Mapping[Any, Callable[..., Any]]) -> None:
        self._device, self._table = device, table

    def __getitem__(self, op: Any) -> Callable[..., Any]:
        return _on(self._device, self._table[op])

    def __iter__(self) -> Iterator[Any]:
        return iter(self._table)

    def __len__(self) -> int:
        return len(self._table)


def _on(device: str, row: Callable[..., Any]) -> Callable[..., Any]:
    name = device_name(device)

    @wraps(row)
    def call(*operands: Any, **attributes: Any) -> Any:
        with tf.device(name):
            return row(*operands, **attributes)

    plain = getattr(row, "plain", None)  # which `wraps` has taken along as it is
    return call if plain is None else with_plain(call, _on(device, plain))


BACKEND = TensorFlowBackend()
refuse_after_fork(BACKEND, lambda: _rows.cache_info().currsize > 0)
