"""The model as pure functions of JAX, for ``jax.jit``, ``jax.grad``, ``jax.vmap`` and optax."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import jax
import numpy as np

from unifront.backends import Array
from unifront.errors import ArgumentError, ShapeError, UnknownName
from unifront.ir.emit import Program
from unifront.ir.graph import Graph
from unifront.ir.layouts import Storage
from unifront.ir.types import TensorType
from unifront_jax._wide import graph_is_wide, wide
from unifront_jax.runtime import typed_key

Values = Mapping[str, Array]


class _Rest:
    """What a module is but for its weights: one object, equal to that of every copy of the module."""

    def __init__(self, values: dict[str, Any]) -> None:
        self.values = values

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Rest) and self.values["_inference"] is other.values["_inference"]

    def __hash__(self) -> int:
        return hash(self.values["_inference"])


@jax.tree_util.register_pytree_node_class
@dataclass(frozen=True, eq=False)
class JaxModule:
    """A model as pure functions; as a callable, inference with its own weights, which are its leaves as a pytree.

    Args:
        params: the weights that train, by path: a dict, for ``jax.grad`` and optax.
        state: the other ones (such as the running statistics of batch normalization), by path.
        inputs: the inputs that `apply` takes: their types by name.

    Example::

        net = model.lower("jax")
        logits, state = net.apply(net.params, net.state, x, training=True, key=jax.random.key(0))
        per_example = jax.vmap(net)(x[:, None])
    """

    params: dict[str, Array]
    state: dict[str, Array]
    inputs: dict[str, TensorType]
    source: str = field(repr=False)
    _training: Callable[..., Any] = field(repr=False)
    _inference: Callable[..., Any] = field(repr=False)
    _needs_key: Mapping[bool, bool] = field(repr=False)
    _wide: bool = field(repr=False)
    _stored: Mapping[str, Storage | None] = field(repr=False)

    def __call__(self, *inputs: Array) -> Any:
        """The outputs in inference; see `apply`."""
        return self.apply(self.params, self.state, *inputs)[0]

    def tree_flatten(self) -> tuple[Any, Any]:
        """For JAX: the weights, and the rest."""
        rest = {name: value for name, value in vars(self).items() if name not in ("params", "state")}
        return (self.params, self.state), _Rest(rest)

    @classmethod
    def tree_unflatten(cls, rest: _Rest, children: Any) -> JaxModule:
        """For JAX: the module with other weights."""
        module = object.__new__(cls)
        vars(module).update(rest.values, params=children[0], state=children[1])
        return module

    def weights(self, given: Any = None) -> dict[str, np.ndarray]:
        """The weights by their paths in Keras's layouts; of ``given``, a dict of them all, in place of its own."""
        own = {**self.params, **self.state}
        values = own if given is None else given
        found = {}
        for name, value in values.items():
            if name not in own:
                raise UnknownName("weight of the model:", name, own)
            layout = self._stored.get(name)
            with wide(self._wide):
                found[name] = np.asarray(layout.from_native(value) if layout else value)
        return found

    def apply(
        self, params: Values, state: Values, *inputs: Array, training: bool = False, key: Array | None = None
    ) -> tuple[Any, dict[str, Array]]:
        """``(outputs, new state)``: one array, or a tuple of them if the model has several outputs.

        A float64 model computes in float64 whatever the flag ``jax_enable_x64`` says; what is done with its
        results outside, and their gradients, needs ``with jax.enable_x64(True)`` as always in JAX. Recurrent
        layers have a gradient of their own, which JAX takes in reverse mode only: no `jax.jvp` of them.

        Args:
            params, state: as `params` and `state` of this object.
            inputs: one array for each of `inputs`.
            training: a Python bool, so static under ``jax.jit``.
            key: the key of this call's randomness (``jax.random.key`` or ``PRNGKey``), which a model with
                dropout needs in training, and one that draws in inference always.

        Raises:
            ArgumentError: the number of inputs does not fit, or the key is missing.
            ShapeError: an input has another rank or size than the model takes.
            UnknownName: a weight is missing from ``params`` or ``state``.
        """
        if len(inputs) != len(self.inputs):
            names = ", ".join(self.inputs)
            raise ArgumentError(
                f"apply takes {len(self.inputs)} inputs ({names}) after params and state, not {len(inputs)}."
            )
        if isinstance(training, jax.core.Tracer):
            raise ArgumentError(
                "training chooses between two programs and is a Python bool, not a traced value. "
                'Try: jax.jit(net.apply, static_argnames="training")'
            )
        for (name, type_), given in zip(self.inputs.items(), inputs, strict=True):
            if not type_.admits(np.shape(given)):
                raise ShapeError(f"Input {name!r} is {type_}; one of shape {np.shape(given)} was given.")
        with wide(self._wide):
            if key is None and self._needs_key[training]:
                what = "training" if training else "inference"
                raise ArgumentError(
                    f"The model draws random numbers in {what}. Try: apply(..., key=jax.random.key(0))"
                )
            if not training:
                return self._inference(params, state, inputs, key), dict(state)
            outputs, updates = self._training(params, state, inputs, key)
            return outputs, {**state, **updates}


def make_module(
    emit: Callable[..., Program],
    place: Callable[[np.ndarray], Array],
    training: Graph,
    inference: Graph,
    values: Mapping[str, np.ndarray],
    updates: Sequence[str],
) -> JaxModule:
    """See `unifront.backends.Backend.module`; ``place`` puts an array on the device."""
    train = emit(training)
    stored: dict[str, Storage | None] = {
        v.name: storage for v, storage in zip(training.variables, train.storage, strict=True)
    }
    infer = emit(inference, stored)
    variables = {v.name: v for graph in (inference, training) for v in graph.variables}
    is_wide = graph_is_wide(training) or graph_is_wide(inference)
    with wide(is_wide):
        arrays = {name: place(np.asarray(values[name])) for name in variables}
        for name, storage in stored.items():
            arrays[name] = storage.to_native(arrays[name]) if storage else arrays[name]
    return JaxModule(
        params={name: arrays[name] for name, v in variables.items() if v.trainable},
        state={name: arrays[name] for name, v in variables.items() if not v.trainable},
        inputs={name: value.type for name, value in inference.data_inputs.items()},
        source=infer.source,
        _training=_training_function(train, training, tuple(updates)),
        _inference=_inference_function(infer, inference),
        _needs_key={
            mode: graph.takes_key and graph.inputs[-1] in graph.users()
            for mode, graph in ((True, training), (False, inference))
        },
        _wide=is_wide,
        _stored=stored,
    )


def _weights(graph: Graph, params: Values, state: Values) -> tuple[Array, ...]:
    found = []
    for variable in graph.variables:
        holder, what = (params, "params") if variable.trainable else (state, "state")
        if variable.name not in holder:
            raise UnknownName(f"weight of the model in {what}:", variable.name, holder)
        found.append(holder[variable.name])
    return tuple(found)


def _own(key: Array | None) -> Array:
    """The key given, typed; some key for a graph that makes nothing of it."""
    return typed_key(jax.random.key(0) if key is None else key)


def _inference_function(program: Program, graph: Graph) -> Callable[..., Any]:
    def call(params: Values, state: Values, inputs: tuple[Array, ...], key: Array | None) -> Any:
        drawn = (_own(key),) if graph.takes_key else ()
        outputs = program.function((*inputs, *drawn), _weights(graph, params, state))
        return outputs[0] if len(outputs) == 1 else outputs

    return jax.jit(call)


def _training_function(program: Program, graph: Graph, updates: tuple[str, ...]) -> Callable[..., Any]:
    count = len(graph.outputs) - len(updates)

    def call(params: Values, state: Values, inputs: tuple[Array, ...], key: Array | None) -> Any:
        results = program.function((*inputs, _own(key)), _weights(graph, params, state))
        outputs = results[:count]
        changed = dict(zip(updates, results[count:], strict=True))
        return outputs[0] if count == 1 else outputs, changed

    return jax.jit(call)
