"""Arrays, devices and compiled programs of JAX."""

from __future__ import annotations

from collections import ChainMap
from collections.abc import Callable, Hashable, Mapping, Sequence
from contextlib import AbstractContextManager
from functools import cache, lru_cache, partial, reduce
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from unifront.backends import (
    Array,
    Backend,
    Compiled,
    Step,
    StepPlan,
    StepState,
    aligned_copy,
    host_free_bytes,
    kind_of,
    live_table,
    refuse_after_fork,
)
from unifront.dtypes import DType, dtype_of, key
from unifront.errors import ArgumentError, UnknownName
from unifront.ir.emit import Program, Rows, emit
from unifront.ir.graph import Graph
from unifront.ir.layouts import Storage
from unifront.ir.types import TensorType
from unifront.opset.replay import expand
from unifront_jax._wide import WIDE, enable_x64, graph_is_wide, wide

Function = Callable[[tuple[Any, ...], tuple[Any, ...]], tuple[Any, ...]]


@cache
def devices_by_name() -> dict[str, Any]:
    """Every local device, the default one first: ``cuda:0`` … and ``cpu`` (further ones ``cpu:1`` …)."""
    found: dict[str, Any] = {}
    default = jax.local_devices()
    try:
        cpu = jax.local_devices(backend="cpu")
    except RuntimeError:  # the user left the CPU out of JAX_PLATFORMS
        cpu = []
    for group in (default, cpu):
        for index, device in enumerate(group):
            kind = {"gpu": "cuda"}.get(device.platform, device.platform)
            name = "cpu" if (kind, index) == ("cpu", 0) else f"{kind}:{index}"
            found.setdefault(name, device)
    return found


@cache
def _names() -> dict[Any, str]:
    """The name of each device."""
    return {device: name for name, device in reversed(devices_by_name().items())}


BATCH = "batch"
"""The axis of a mesh of devices that a batch is split over."""


@cache
def sharding_of(names: str, split: int | None = None) -> jax.sharding.NamedSharding:
    """How an array lies on devices: each has the whole of it, or its part of the axis ``split``."""
    mesh = jax.sharding.Mesh(np.array([device_of(name) for name in names.split(",")]), (BATCH,))
    axes = () if split is None else (*(None,) * split, BATCH)
    return jax.sharding.NamedSharding(mesh, jax.sharding.PartitionSpec(*axes))


def share(array: Any, names: str, axis: int) -> Any:
    """``array`` on several devices: each has its part of ``axis``, or the whole where parts would not be equal."""
    equal = array.ndim > axis and array.shape[axis] % (names.count(",") + 1) == 0
    return jax.device_put(array, sharding_of(names, axis if equal else None))


@cache
def _name_of(where: jax.Device | jax.sharding.Sharding) -> str | None:
    """The name of a device, or of several; None if some are of another process."""
    if isinstance(where, jax.Device):
        return _names().get(where)
    several = where.mesh.devices.flat if isinstance(where, jax.sharding.NamedSharding) else where.device_set
    names = [_names().get(device) for device in several]
    return None if None in names else ",".join(name for name in names if name is not None)


def device_of(name: str | None) -> Any:
    """The JAX device called ``name``, None is the default one; or how several hold an array that each has whole."""
    if name is not None and "," in name:
        return sharding_of(name)
    found = devices_by_name()
    if name is None:
        return next(iter(found.values()))
    for known in (
        name,
        f"{name}:0",
        name.removesuffix(":0"),
        name.replace("gpu", "cuda"),
        f"cuda{name[3:]}:0",
    ):
        if known in found:
            return found[known]
    raise UnknownName("JAX device", name, found)


def is_key(array: Any) -> bool:
    """Whether ``array`` is a typed key of ``jax.random.key``."""
    return bool(jnp.issubdtype(array.dtype, jax.dtypes.prng_key))


def typed_key(array: Any) -> Any:
    """``array`` as a typed key: the raw form (``jax.random.PRNGKey``) is wrapped."""
    return array if is_key(array) else jax.random.wrap_key_data(array)


def constant(value: np.ndarray) -> Any:
    """A constant of a program; scalars stay NumPy's, which JAX writes into the program as they are."""
    if value.ndim == 0:
        return value
    with wide(value.dtype.name in WIDE), jax.ensure_compile_time_eval():
        return jnp.asarray(value)


def size(array: Any, axis: int) -> int:
    """The size of an axis, which JAX always knows: a number, or while exporting a symbol."""
    return array.shape[axis]


def smallest(*sizes: Any) -> Any:
    """The smallest of several sizes, some of which may be symbols."""
    return reduce(jax.core.min_dim, sizes)


SMALL = 2**12
"""The most bytes that a program gives as constants; a call of it is quicker than a `jax.device_put` for each array."""


@lru_cache(256)
def _constants(
    values: tuple[tuple[np.dtype[Any], tuple[int, ...], bytes], ...], device: jax.Device
) -> Callable[[], tuple[Any, ...]]:
    """A program that gives arrays of their own each time, with these dtypes, shapes and bytes."""
    arrays = [np.frombuffer(content, dtype).reshape(shape) for dtype, shape, content in values]
    place = jax.sharding.SingleDeviceSharding(device)
    return jax.jit(lambda: tuple(jnp.asarray(array) for array in arrays), out_shardings=place)


@cache
def _dtype_of(dtype: Any) -> DType:
    return key if jnp.issubdtype(dtype, jax.dtypes.prng_key) else dtype_of(np.dtype(dtype))


class JaxProgram:
    """A graph under ``jax.jit``: ``(inputs, variables) -> outputs``."""

    def __init__(self, function: Function, program: Program, graph: Graph, device: str | None) -> None:
        self.storage: tuple[Storage | None, ...] = program.storage
        self.source = program.source
        keys = tuple(i for i, value in enumerate(graph.inputs) if value.type.dtype is key)
        options: dict[str, Any] = {}
        if not graph.inputs and not graph.variables:  # no operand says where it runs
            where = device_of(device)
            single = isinstance(where, jax.Device)
            options["out_shardings"] = jax.sharding.SingleDeviceSharding(where) if single else where
        self._function = jax.jit(_with_typed_keys(function, keys), **options)
        self._wide = graph_is_wide(graph)

    def __call__(self, inputs: Sequence[Array], variables: Sequence[Array]) -> tuple[Array, ...]:
        if self._wide:
            with enable_x64(True):
                return self._function(tuple(inputs), tuple(variables))
        return self._function(tuple(inputs), tuple(variables))


def _with_typed_keys(function: Function, positions: tuple[int, ...]) -> Function:
    if not positions:
        return function

    def call(inputs: tuple[Any, ...], variables: tuple[Any, ...]) -> tuple[Any, ...]:
        typed = (typed_key(value) if i in positions else value for i, value in enumerate(inputs))
        return function(tuple(typed), variables)

    return call


def gradient_function(function: Function, graph: Graph, wrt: Sequence[str]) -> Function:
    """``function``, its outputs followed by the gradients of output 0 to the named inputs and variables."""
    places = _places(graph, wrt)

    def forward(chosen: tuple[Any, ...], inputs: tuple[Any, ...], variables: tuple[Any, ...]) -> Any:
        operands = [list(inputs), list(variables)]
        for (group, index), value in zip(places, chosen, strict=True):
            operands[group][index] = value
        outputs = function(tuple(operands[0]), tuple(operands[1]))
        return outputs[0], outputs

    def call(inputs: tuple[Any, ...], variables: tuple[Any, ...]) -> tuple[Any, ...]:
        operands = (inputs, variables)
        chosen = tuple(operands[group][index] for group, index in places)
        (_, outputs), gradients = jax.value_and_grad(forward, has_aux=True)(chosen, inputs, variables)
        return (*outputs, *gradients)

    return call


def _places(graph: Graph, wrt: Sequence[str]) -> tuple[tuple[int, int], ...]:
    """Where the named values are: (0, input) or (1, variable)."""
    values = {v.name: (1, i, v.value.type) for i, v in enumerate(graph.variables)}
    named = zip(graph.input_names, graph.inputs, strict=True)
    values.update({name: (0, i, value.type) for i, (name, value) in enumerate(named)})
    found = []
    for name in wrt:
        if name not in values:
            raise UnknownName("input or variable", name, values)
        group, index, type_ = values[name]
        if not type_.dtype.is_float:
            raise ArgumentError(f"{name!r} is {type_}; a gradient is taken to floats only.")
        found.append((group, index))
    if not graph.outputs or graph.outputs[0].type.shape or not graph.outputs[0].type.dtype.is_float:
        what = graph.outputs[0].type if graph.outputs else "absent"
        raise ArgumentError(f"Output 0 of graph {graph.name!r} is {what}; a gradient needs a float scalar.")
    return tuple(found)


@cache
def _rows(name: str, device: str, *, eager: bool) -> Rows:
    from unifront_jax import lower

    table = live_table(name, lower.TABLE, device, lower.OVERLAYS)
    if not eager:
        return Rows(name, table, constant, size, lower.STORAGE, lower.UNSUPPORTED, smallest)
    used = lower.Eager(ChainMap(table, lower.OUTSIDE_JIT))  # type: ignore[arg-type]  # only read
    return Rows(name, used, constant, size, lower.STORAGE, lower.UNSUPPORTED, smallest, typed=used.typed)


def _free_bytes(device: jax.Device) -> int | None:
    if device.platform == "cpu":
        return host_free_bytes()
    known = device.memory_stats() or {}
    return known["bytes_limit"] - known["bytes_in_use"] if "bytes_limit" in known else None


@cache
def _array_class() -> type:
    """Of the arrays that have a value; those that are being traced are of others."""
    return type(jax.device_put(np.zeros((), np.float32)))


class JaxBackend(Backend):
    """Compiles with ``jax.jit``; differentiates with ``jax.value_and_grad``."""

    name = "jax"
    spreads = True
    compiles_sizes = True

    def rows(self, device: str | None = None) -> Rows:
        return _rows(self.name, device or self.devices()[0], eager=True)

    def emit(
        self, graph: Graph, stored: Mapping[str, Storage | None] | None = None, device: str | None = None
    ) -> Program:
        """``graph`` as a function of native calls, not yet compiled."""
        rows = _rows(self.name, device or self.devices()[0], eager=False)
        return emit(expand(graph, rows.table), rows, stored=stored)

    def devices(self) -> tuple[str, ...]:
        return tuple(devices_by_name())

    def version(self) -> str:
        return str(jax.__version__)

    def profiled(self, folder: str) -> AbstractContextManager[Any]:
        return jax.profiler.trace(folder)

    def array(self, value: np.ndarray, device: str | None = None) -> Array:
        value = aligned_copy(np.asarray(value))  # our own: on the CPU JAX keeps the memory it is given
        where = device_of(device) if device is not None else None
        if value.dtype.name in WIDE:
            with enable_x64(True):
                return jax.device_put(value, where)
        return jax.device_put(value, where)

    def split(self, value: np.ndarray, device: str | None = None) -> Array:
        if device is None or "," not in device:
            return self.array(value, device)
        with wide(value.dtype.name in WIDE):
            return share(aligned_copy(np.asarray(value)), device, 0)

    def small(self, values: Sequence[np.ndarray], device: str | None = None) -> list[Array]:
        where = device_of(device or self.devices()[0])
        fit = sum(value.nbytes for value in values) <= SMALL and isinstance(where, jax.Device)
        if not fit or any(value.dtype.name in WIDE for value in values):
            return [self.array(value, device) for value in values]
        return list(_constants(tuple((v.dtype, v.shape, v.tobytes()) for v in values), where)())

    def readable(self, value: np.ndarray, device: str | None = None) -> Array:
        on_host = kind_of(device or self.devices()[0]) == "cpu" and "," not in (device or "")
        return value if on_host else self.array(value, device)

    def numpy(self, array: Array) -> np.ndarray:
        return np.asarray(jax.random.key_data(array) if is_key(array) else array)

    def type_of(self, array: Array) -> TensorType:
        return TensorType(_dtype_of(array.dtype), tuple(array.shape))

    def key(self, seed: int, device: str | None = None) -> Array:
        signed = (int(seed) + 2**63) % 2**64 - 2**63
        with enable_x64(True):  # or the upper half of the seed would be cut off
            return jax.device_put(jax.random.key(signed), device_of(device))

    def traced(self, function: Callable[..., Any], *, overwrites: bool = False) -> Callable[..., Any]:
        compiled = jax.jit(function, donate_argnums=0 if overwrites else ())

        def run(*args: Any) -> Any:
            with wide(any(array.dtype.name in WIDE for array in jax.tree.leaves(args))):
                return compiled(*args)

        return run

    def device_of(self, array: Array) -> str | None:
        if isinstance(array, jax.core.Tracer):
            return None
        return _name_of(array.device)  # a device, or of several how they hold it

    def free_bytes(self, device: str | None = None) -> int | None:
        free = [_free_bytes(device_of(name)) for name in (device or self.devices()[0]).split(",")]
        return None if None in free else min(number for number in free if number is not None)

    def signature(self, kind: type) -> Callable[[Array], Hashable] | None:
        if kind is not _array_class():
            return None
        several = len(devices_by_name()) > 1

        def signature(array: Array) -> Hashable:
            try:  # a dtype's number is hashed and compared at once
                sign = (kind, array.dtype.num, array.shape)
            except AttributeError:  # a random key, whose dtype is not NumPy's
                return None
            return (*sign, array.sharding) if several else sign

        return signature

    def outside(self) -> AbstractContextManager[Any]:
        return jax.ensure_compile_time_eval()

    def leaf(self, array: Array, trainable: bool, into: Array | None = None) -> Array:
        if isinstance(array, jax.core.Tracer):
            raise ArgumentError(
                "A layer's weight would take a value that JAX is tracing, which no weight can hold. "
                "Try: outputs, state = layer.stateless_call(params, state, x, training=True)"
            )
        return self.plain(array)

    def plain(self, leaf: Array) -> Array:
        with self.outside(), wide(leaf.dtype.name in WIDE):
            return jnp.copy(leaf)  # a training step donates it

    def synchronize(self, device: str | None = None) -> None:
        where = {device_of(name) for name in (device or self.devices()[0]).split(",")}
        # The CPU runs independent programs out of order: only waiting for every result waits for them all.
        jax.block_until_ready([array for array in jax.live_arrays() if where & array.devices()])

    def compile(self, graph: Graph, device: str | None = None) -> Compiled:
        program = self.emit(graph, device=device)
        return JaxProgram(program.function, program, graph, device)

    def recordable(self, graph: Graph, device: str | None = None) -> Compiled:
        program = self.emit(graph, dict.fromkeys(v.name for v in graph.variables), device)
        return JaxProgram(program.function, program, graph, device)

    def value_and_grad(self, graph: Graph, wrt: Sequence[str], device: str | None = None) -> Compiled:
        program = self.emit(graph, device=device)
        return JaxProgram(gradient_function(program.function, graph, wrt), program, graph, device)

    def step(self, plan: StepPlan, state: StepState, device: str | None = None) -> Step:
        from unifront_jax.step import JaxStep

        device = device or self.devices()[0]
        return JaxStep(plan, state, _rows(self.name, device, eager=False), device)

    def module(
        self, training: Graph, inference: Graph, values: Mapping[str, np.ndarray], updates: Sequence[str],
        device: str | None = None,
    ) -> Any:  # fmt: skip
        from unifront_jax.module import make_module

        return make_module(
            partial(self.emit, device=device),
            lambda value: self.array(value, device),
            training,
            inference,
            values,
            updates,
        )

    def weights_of(self, module: Any, given: Mapping[str, Array] | None = None) -> dict[str, np.ndarray]:
        from unifront_jax.module import JaxModule

        if not isinstance(module, JaxModule):
            raise ArgumentError(f"Weights come back from what lower('jax') gave, not from {type(module)}.")
        return module.weights(given)


BACKEND = JaxBackend()
refuse_after_fork(BACKEND, lambda: devices_by_name.cache_info().currsize > 0)
