"""A model as a real `tf.Module`: variables, ``tf.function``, any training code, SavedModel.

    net = model.lower("tensorflow")
    with tf.GradientTape() as tape:
        loss = loss_of(labels, net(images, training=True))
    optimizer.apply(tape.gradient(loss, net.trainable_variables), net.trainable_variables)
    tf.saved_model.save(net, "folder")

Variables lie under the model's paths (``net.block1.conv.kernel``), in Keras's layouts.
A SavedModel holds inference (``loaded(images)``, Keras's ``loaded.serve(images)`` and its serving signature), and
training if it was called.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import tensorflow as tf

from unifront.errors import ArgumentError, ShapeError, UnknownName
from unifront.ir.emit import Rows, emit
from unifront.ir.graph import Graph, Variable
from unifront.opset.replay import expand
from unifront_tensorflow.keys import Key
from unifront_tensorflow.runtime import device_name, spec_of


class Scope(tf.Module):
    """A layer's place in the tree: it only holds variables."""


class GraphModule(tf.Module):
    """See `Model.lower`. With ``training=True`` a call writes the new values of fixed variables.

    Random layers draw from ``generator``, seeded by TensorFlow's global seed when the module is made.
    """

    def __init__(
        self, training: Graph, inference: Graph, values: Mapping[str, np.ndarray], updates: Sequence[str],
        rows: Rows, device: str | None,
    ) -> None:  # fmt: skip
        super().__init__()
        graphs = {True: expand(training, rows.table), False: expand(inference, rows.table)}
        known = {v.name: v for graph in graphs.values() for v in graph.variables}
        with tf.device(device_name(device)):
            named = {name: _variable(variable, values[name]) for name, variable in known.items()}
            if any(graph.inputs[-1] in graph.users() for graph in graphs.values() if graph.takes_key):
                seed = tf.random.uniform((), maxval=tf.int64.max, dtype=tf.int64)
                self.generator = tf.random.Generator.from_seed(seed)
        self._all = list(
            named.values()
        )  # first in the alphabet, so that `variables` are in the model's order
        self._paths = tuple(named)
        for name, variable in named.items():
            _place(self, name, variable)
        run = _runner(self, graphs, rows, named, updates)
        self._input_names, self._output_names = tuple(inference.data_inputs), inference.output_names
        self._specs = [
            spec_of(value.type, re.sub(r"\W", "_", name)) for name, value in inference.data_inputs.items()
        ]
        function = tf.function(run, autograph=False)
        self._concrete = _Concrete(function, self._specs)
        self._concrete[False]  # so that an operation without a row shows now, and a SavedModel can be called
        # SavedModel looks at the instance: the loaded object can be called, and has a serving signature.
        self.__dict__["__call__"] = function
        self._default_save_signature = tf.function(self._serve, input_signature=self._specs, autograph=False)
        if not hasattr(
            self, "serve"
        ):  # no layer is called so; it is what Keras calls inference in a SavedModel
            self.serve = tf.function(self._infer, input_signature=self._specs, autograph=False)

    def __call__(self, *inputs: Any, training: bool = False) -> Any:
        """The model's outputs: a tensor, or a tuple of them."""
        return self._concrete[bool(training)](*self._checked(inputs))

    def save(self, folder: str) -> None:
        """Write the module as a SavedModel, as ``tf.saved_model.save`` does."""
        tf.saved_model.save(self, folder)

    def weights(self, given: Mapping[str, Any] | None = None) -> dict[str, np.ndarray]:
        """The weights by their paths; of ``given``, by path, in place of its own."""
        own = dict(zip(self._paths, self._all, strict=True))
        for name in given or ():
            if name not in own:
                raise UnknownName("weight of the model:", name, own)
        return {name: np.asarray(value) for name, value in (own if given is None else given).items()}

    def _checked(self, inputs: Sequence[Any]) -> list[Any]:
        if len(inputs) != len(self._specs):
            names = ", ".join(self._input_names)
            raise ArgumentError(
                f"The model takes {len(self._specs)} inputs ({names}); {len(inputs)} were given."
            )
        tensors = [
            given if tf.is_tensor(given) else tf.convert_to_tensor(given, spec.dtype)
            for given, spec in zip(inputs, self._specs, strict=True)
        ]
        for tensor, spec, name in zip(tensors, self._specs, self._input_names, strict=True):
            if not spec.is_compatible_with(tensor):
                wanted = f"{spec.dtype.name} {spec.shape}"
                raise ShapeError(f"Input {name!r} is {wanted}; {tensor.dtype.name} {tensor.shape} was given.")
        return tensors

    def _infer(self, *inputs: Any) -> Any:
        return self._concrete[False](*inputs)

    def _serve(self, *inputs: Any) -> dict[str, Any]:
        outputs = self._concrete[False](*inputs)
        several = outputs if isinstance(outputs, tuple) else (outputs,)
        return dict(zip(self._output_names, several, strict=True))


class _Concrete(dict[bool, Any]):
    """The concrete function for training and for inference, each traced when it is first wanted."""

    def __init__(self, function: Any, specs: Sequence[tf.TensorSpec]) -> None:
        super().__init__()
        self._function, self._specs = function, specs

    def __missing__(self, training: bool) -> Any:
        self[training] = self._function.get_concrete_function(*self._specs, training=training)
        return self[training]


def _runner(
    module: GraphModule, graphs: Mapping[bool, Graph], rows: Rows, named: Mapping[str, tf.Variable],
    updates: Sequence[str],
) -> Any:  # fmt: skip
    """The function of the module's inputs and ``training``."""
    count = len(graphs[True].outputs) - len(updates)

    def run(*inputs: Any, training: bool = False) -> Any:
        graph = graphs[training]
        program = emit(graph, rows, stored={variable.name: None for variable in graph.variables})
        if graph.takes_key:
            inputs = (*inputs, _key(module))
        outputs = program.function(inputs, tuple(named[v.name].read_value() for v in graph.variables))
        if training:
            for name, value in zip(updates, outputs[count:], strict=True):
                named[name].assign(value)
        return outputs[0] if count == 1 else outputs[:count]

    return run


def _key(module: GraphModule) -> Key:
    generator = getattr(module, "generator", None)
    if generator is None:
        return Key(tf.zeros((2,), tf.int32))
    return Key(generator.uniform_full_int((2,), tf.int32))


def _variable(variable: Variable, value: np.ndarray) -> tf.Variable:
    name = re.sub(r"[^A-Za-z0-9_./-]", "_", variable.name)
    return tf.Variable(value, trainable=variable.trainable, name=name, dtype=value.dtype)


def _place(root: tf.Module, name: str, variable: tf.Variable) -> None:
    """Make ``variable`` an attribute of the scopes that its path names; a name that is taken gets a ``_``."""
    *path, leaf = (part for part in name.split("/") if part)
    module = root
    for part in path:
        while not isinstance(getattr(module, part, None), Scope):
            if not hasattr(module, part):
                setattr(module, part, Scope())
                break
            part += "_"
        module = getattr(module, part)
    while hasattr(module, leaf):
        leaf += "_"
    setattr(module, leaf, variable)
