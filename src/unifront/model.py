"""`Model`: layers put together, and all that is done with the whole."""

from __future__ import annotations

import copy
import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from threading import get_ident
from typing import Annotated, Any, Literal
from weakref import ref

from unifront import tree
from unifront.arguments import Check, Count, Location, Name, Share, Size, Wrong, checked, only, shown, whole
from unifront.backends import Placement, backend_of, placement
from unifront.errors import ArgumentError, NotBuiltError, NotBuiltYet, ShapeError, UnknownName
from unifront.files import path_of
from unifront.functional import (
    calls_below,
    find_layer,
    fits,
    flatten_like,
    in_order,
    listed,
    named_types,
    numbered,
    replay,
    set_trainable,
    static_shapes,
    unlisted,
)
from unifront.ir.graph import Graph
from unifront.ir.types import TensorType
from unifront.layers.arguments import LayerName
from unifront.layers.ends import end_of
from unifront.layers.input import BATCH, Input, InputTensor
from unifront.layers.layer import Layer, snake_case
from unifront.opset.tensor import Call, Symbolic
from unifront.reference import simplified
from unifront.trace import MAKING, CallContext, Tracing, renamed, trace


def _verbose(value: Any, owner: Any) -> Any:
    if not isinstance(value, str | int) or value not in ("auto", 0, 1, 2):
        raise Wrong("'auto', 0, 1 or 2")
    return value


Verbose = Annotated[Literal["auto", 0, 1, 2], Check(_verbose)]
"""How much is printed."""


class State:
    """What building changes in layers, to be put back if it fails."""

    def __init__(self, layers: Iterable[Layer]) -> None:
        below = {id(layer): layer for layer in layers}
        self.attributes = [(layer, _copied(vars(layer))) for layer in below.values()]
        self.paths = [(weight, weight.path) for layer in below.values() for weight in layer._weights]

    def restore(self) -> None:
        """Put everything back."""
        for layer, attributes in self.attributes:
            for key in [key for key in vars(layer) if key not in attributes]:
                del vars(layer)[key]
            vars(layer).update(attributes)
        for weight, path in self.paths:
            weight.path = path


def _copied(attributes: dict[str, Any]) -> dict[str, Any]:
    """The attributes, their lists, dicts and sets as copies: they are changed in place."""
    kinds = (list, dict, set)
    return {key: value.copy() if type(value) in kinds else value for key, value in list(attributes.items())}


def _repeatable(build: Callable[..., None]) -> Callable[..., None]:
    """A ``build`` that looks at its argument each time, not only before the weights are made."""
    checked_build = checked(build)
    checked_build.repeatable = True  # type: ignore[attr-defined]
    return checked_build


class Model(Layer):
    """A model: ``Model(inputs, outputs)`` from the functional API, or a subclass with ``call``.

    Args:
        inputs: `Input` tensors: one, a list or a dict.
        outputs: tensors computed from them by layers and ``uf.ops``: one, a list or a dict.
        name: the model's name.

    Raises `ArgumentError` if an output does not come from the inputs.

    Example::

        image = uf.Input((8, 8, 1), name="image")
        model = uf.Model(image, layers.Dense(10)(layers.Flatten()(image)), name="digits")
    """

    autocast = False

    @checked
    def __init__(
        self, inputs: Any = None, outputs: Any = None, *, name: LayerName = None, trainable: bool = True
    ) -> None:
        super().__init__(name=name, trainable=trainable)
        self._input_types: dict[str, TensorType] | None = None
        self._tracings: dict[Any, Tracing] = {}
        self.input_structure: Any = None
        self._inputs: Any = None
        self._outputs: Any = None
        self._calls: list[Call] = []
        self._order: list[str | InputTensor] = []  # the names of layers, and the inputs, in Keras's order
        self._settled: int | None = (
            None  # the thread that made the weights; a failed call changes them no more
        )
        self._steps = 0  # of training, since the object was made
        self._training: Any = None
        self.stop_training = False
        self.programs: dict[Any, Any] = {}
        if inputs is not None:
            self._connect(inputs, outputs)

    # ------------------------------------------------------------ the functional API

    def _connect(self, inputs: Any, outputs: Any) -> None:
        self._inputs, self._outputs = inputs, outputs
        leaves = tree.leaves(inputs)
        if not leaves or not tree.leaves(outputs):
            raise ArgumentError(f"The model {self.name!r} needs inputs and outputs, at least one of each.")
        for leaf in leaves:
            if not isinstance(leaf, InputTensor):
                raise ArgumentError(f"The inputs of a Model are uf.Input tensors, not {leaf!r}.")
        if len({id(leaf) for leaf in leaves}) < len(leaves):
            raise ArgumentError(f"An Input is twice among the inputs of the model {self.name!r}.")
        for leaf in tree.leaves(outputs):
            if not isinstance(leaf, Symbolic):
                raise ArgumentError(
                    f"The outputs of a Model are computed from its inputs by layers; not {leaf!r}."
                )
        self._calls = list(calls_below(tree.leaves(outputs), leaves))
        layers = {
            id(call.function): call.function for call in self._calls if isinstance(call.function, Layer)
        }
        self._adopt(list(layers.values()))
        order = in_order(leaves, tree.leaves(outputs))
        self._order = [one.name if isinstance(one, Layer) else one for one in order]
        for name in self._order:
            if isinstance(name, str):  # Keras's order, in which weights are listed too
                self._children[name] = self._children.pop(name)
        self._take(inputs)
        self.built = True
        self.place("")

    def _adopt(self, layers: Sequence[Layer]) -> None:
        """Name the layers uniquely and make them children."""
        own = {id(layer): layer._name for layer in self.children()}
        taken = set(own.values())
        for layer in sorted(
            layers, key=lambda layer: layer._name is None
        ):  # names that stand are taken first
            if layer._name is not None and layer._name in taken and id(layer) not in own:
                raise ArgumentError(
                    f"Two layers of the model {self.name!r} are called {layer._name!r}; give one another name=."
                )
            base = snake_case(type(layer).__name__)
            number = 0
            while layer._name is None or (
                layer._name in taken and self._children.get(layer._name) is not layer
            ):
                candidate = base if number == 0 else f"{base}_{number}"
                number += 1
                if candidate not in taken:
                    layer._name = candidate
            taken.add(layer._name)
        for layer in layers:
            self._children[layer.name] = layer
            if not self.trainable:
                layer.trainable = False

    def call(self, *args: Any) -> Any:
        """Replay the calls of the functional API on the tensors given."""
        if self._inputs is None:
            raise ArgumentError(
                f"{type(self).__name__} does not define call() and was not given inputs and outputs."
            )
        given = flatten_like(args[0] if len(args) == 1 else args, self._inputs)
        return replay(self._calls, self.inputs, given, self.input_types, self._outputs)

    def _is_root(self) -> bool:
        return True

    def compute_mask(self, inputs: Any, mask: Any) -> Any:
        return None

    @property
    def layers(self) -> list[Layer]:
        """The layers directly in this model, in Keras's order; of a functional model also those of its inputs."""
        if not self._order:
            return list(self.children())
        return [
            self._children[one] if isinstance(one, str) else self._input_layer(one) for one in self._order
        ]

    def _input_layer(self, tensor: InputTensor) -> Layer:
        layer = tensor.layer
        if layer._name is None:
            names = zip(self.inputs, self.input_types, strict=True)
            layer._name = next(name for own, name in names if own is tensor)
        return layer

    @checked
    def get_layer(self, name: str | None = None, index: Annotated[int, whole()] | None = None) -> Layer:
        """The layer called ``name`` (one inside others by its path), or at ``index`` of `layers`.

        Raises `UnknownName` if there is none.

        Example::

            model.get_layer("dense").trainable = False
        """
        return find_layer(self, self.layers, name, index)

    def freeze(self, *patterns: str) -> None:
        """Make layers not trainable, with all inside them; the next `fit` heeds it.

        Args:
            patterns: of paths, as of a shell: ``"encoder"``, ``"encoder/*"``, ``"*norm*"``; ``*`` matches ``/``
                too. Without any the whole model is frozen.

        Raises `UnknownName` for a pattern that matches no layer.

        Example::

            model.freeze("dense*")
        """
        set_trainable(self, patterns, False)

    def unfreeze(self, *patterns: str) -> None:
        """Make layers trainable again, with all inside them; arguments as for `freeze`."""
        set_trainable(self, patterns, True)

    @property
    def inputs(self) -> list[InputTensor]:
        """The input tensors of a functional model."""
        return tree.leaves(self._inputs) if self._inputs is not None else []

    @property
    def outputs(self) -> list[Symbolic]:
        """The output tensors of a functional model."""
        return tree.leaves(self._outputs) if self._outputs is not None else []

    @end_of
    def input(self) -> Any:
        """The input tensors in the structure that the model was given; `NotBuiltError` if it has none."""
        return self._end(self._inputs)

    @end_of
    def output(self) -> Any:
        """The output tensors in the structure that the model was given; `NotBuiltError` if it has none."""
        return self._end(self._outputs)

    @property
    def input_shape(self) -> Any:
        """The input's shape, free sizes as None; a list of them for several inputs."""
        return static_shapes(tree.leaves(self.input))

    @property
    def output_shape(self) -> Any:
        """The output's shape, free sizes as None; a list of them for several outputs."""
        return static_shapes(tree.leaves(self.output))

    def _end(self, tensors: Any) -> Any:
        if tensors is None:
            raise NotBuiltYet(
                f"The model {self.name!r} has no symbolic input and output: it is not made of uf.Input tensors, or "
                "has not seen its input yet."
            )
        return tensors

    def __deepcopy__(self, memo: dict[int, Any]) -> Model:
        """A copy with layers and weights of its own. What was traced and compiled is made anew when needed."""
        for call in self._calls:  # each after those it needs, so that long models do not recurse
            copy.deepcopy(call, memo)
        if id(self) in memo:
            return memo[id(self)]
        copied = memo[id(self)] = type(self).__new__(type(self))
        state = {**Layer.__getstate__(self), "_tracings": {}, "programs": {}}
        Layer.__setstate__(copied, copy.deepcopy(state, memo))
        copied._own_paths()
        return copied

    # ------------------------------------------------------------ the graph

    @property
    def input_types(self) -> dict[str, TensorType]:
        """The name and type of each input; `NotBuiltError` before they are known."""
        if self._input_types is None:
            raise NotBuiltError(
                f"The model {self.name!r} has not seen its input yet. Begin it with uf.Input(...), "
                "call it on data, or call fit, predict or build first."
            )
        return self._input_types

    def infer_inputs(self, types: Any) -> None:
        """Fix the inputs by the types of data (one, a list or a dict; batch first) if not known yet.

        Makes the weights too. If that fails, the model is as it was, and other data may come.
        """
        if self.has_free_inputs:
            with MAKING, self._tried():
                self._take(
                    tree.map_leaves(
                        lambda type_: InputTensor(type_.with_shape((BATCH, *type_.shape[1:]))), types
                    )
                )
                self.trace()

    @contextmanager
    def _tried(self) -> Iterator[None]:
        """A block that fixes the inputs and makes weights; if it fails before a step of training, nothing is
        changed in the model and its layers. What another thread has settled meanwhile stays."""
        if self._settled is not None and not self.has_free_inputs:
            yield
            return
        with MAKING:
            before, steps, settled = State(self.layers_below()), self._steps, self._settled
        try:
            yield
        except BaseException:
            with MAKING:
                if self._steps == steps and self._settled in (settled, get_ident()):
                    before.restore()
            raise
        if self._settled is None and not self.has_free_inputs:
            self._settled = get_ident()

    def _run(self, context: CallContext, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        if self._settled is not None:
            return super()._run(context, args, kwargs)
        with MAKING:
            with self._tried():
                result = super()._run(context, args, kwargs)
            self._settled = get_ident() if self._settled is None else self._settled
        return result

    def _take(self, inputs: Any) -> None:
        keys = list(inputs) if isinstance(inputs, dict) else ()
        self.input_structure = numbered(inputs)
        self._input_types = named_types(tree.leaves(inputs), keys)  # last: by it others see that all is known

    @property
    def has_free_inputs(self) -> bool:
        """Whether the first data still decides what the inputs are."""
        return self._input_types is None

    def trainable_state(self) -> tuple[bool, ...]:
        """Which layers and weights are frozen; traces depend on it."""
        below = list(self.layers_below())
        return (*(layer.trainable for layer in below), *(weight.trainable for weight in self.weights))

    @checked
    def trace(self, training: bool = False) -> Tracing:
        """The model's graph for training or inference, with the live variables; made once and kept."""
        key = (training, self.trainable_state(), tuple(self.input_types.items()))
        if key not in self._tracings:
            with MAKING:
                if key not in self._tracings:  # by another thread, while this one waited
                    self._tracings[key] = self._traced(training)
        return self._tracings[key]

    def _traced(self, training: bool) -> Tracing:
        def call(*tensors: Any) -> Any:
            return self(tree.map_leaves(lambda number: tensors[number], self.input_structure))

        traced = trace(
            call, self.input_types, training=training, name=self.name, output_names=self._output_names
        )
        self.place("")
        named = renamed(traced, self.variable_paths())
        return replace(named, graph=simplified(named.graph))

    def variable_paths(self) -> dict[int, str]:
        """The path of each variable (by its id) inside this model."""
        found: dict[int, str] = {}
        for path, layer in self.walk():
            for name, weight in layer.named_weights():
                found.setdefault(id(weight), f"{path}/{name}" if path else name)
        return found

    def graph(self, training: bool = False) -> Graph:
        """The model as a typed graph; ``print`` it to read it."""
        return self.trace(training).graph

    def _output_names(self, result: Any) -> tuple[str, ...]:
        """What the outputs are called: by the keys of a dict, else by the layers they come from."""
        count = len(tree.leaves(result))
        if isinstance(result, dict) and len(result) == count:
            return tuple(map(str, result))
        names: list[str] = []
        for i, leaf in enumerate(self.outputs or [None] * count):
            function = leaf.call.function if leaf is not None and leaf.call else None
            base = function.name if isinstance(function, Layer) else "output"
            names.append(base if base not in names else f"{base}_{i}")
        return tuple(names) if len(names) == count else tuple(f"output_{i}" for i in range(count))

    @_repeatable
    def build(self, input_shape: Any) -> None:
        """Make the weights, for inputs of `floatx`.

        Args:
            input_shape: the input's shape, batch first and None for free sizes; for several inputs a list or
                dict of shapes.

        Example::

            model = uf.Sequential([layers.Dense(8), layers.Dense(3)])
            model.build((None, 4))
        """
        given = _inputs_of(input_shape)
        if not self.has_free_inputs:
            known, shapes = list(self.input_types.values()), [leaf.shape for leaf in tree.leaves(given)]
            if len(shapes) != len(known) or not all(
                fits(type_.shape, shape) for type_, shape in zip(known, shapes, strict=True)
            ):
                raise ShapeError(
                    f"The model {self.name!r} takes {', '.join(map(str, known))}; it cannot be built for the "
                    f"shape {input_shape}."
                )
            self.trace()
            return
        with MAKING, self._tried():
            self._take(given)
            self.trace()

    def __getstate__(self) -> dict[str, Any]:
        """What copies and pickles: layers, weights and how they are compiled; graphs and programs are made anew."""
        own = {**super().__getstate__(), "_tracings": {}, "programs": {}}
        own["_calls"] = listed(self._calls, (self._inputs, self._outputs))
        return {key: value for key, value in own.items() if key not in ("_inputs", "_outputs")}

    def __setstate__(self, state: dict[str, Any]) -> None:
        calls, (inputs, outputs) = unlisted(state["_calls"])
        super().__setstate__({**state, "_calls": calls, "_inputs": inputs, "_outputs": outputs})
        self._own_paths()

    def _own_paths(self) -> None:
        """In a copy: the weights' paths are those of this model, until it is part of another one."""
        for layer in self.layers_below():
            if layer.placed is False or isinstance(layer.placed, ref):
                layer.placed = ref(self)

    def _build_once(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        if type(self).build is Model.build:
            self.children()
            self.built = True  # the layers make their own weights
        else:
            super()._build_once(args, kwargs)

    # ------------------------------------------------------------ using it

    @checked
    def summary(
        self,
        print_fn: Callable[[str], Any] | None = None,
        *,
        line_length: Size | None = None,
        expand_nested: bool = False,
    ) -> None:
        """Print the layers, their output types and numbers of weights.

        Args:
            print_fn: gets the text instead.
            line_length: characters a line; the terminal's unless given.
            expand_nested: show the layers inside layers too, by their paths.

        Raises `NotBuiltError` before the inputs are known.
        """
        from unifront.summary import summarize

        summarize(self, print_fn, line_length, expand_nested)

    @checked
    def compile(
        self,
        optimizer: Any = "rmsprop",
        loss: Any = None,
        loss_weights: Any = None,
        metrics: Any = None,
        weighted_metrics: Any = None,
        run_eagerly: Annotated[bool, only(False)] = False,
        steps_per_execution: Annotated[int, only(1)] = 1,
        jit_compile: Annotated[str, only("auto")] = "auto",
        auto_scale_loss: Annotated[bool, only(True)] = True,
        *,
        backend: Name | None = None,
    ) -> None:
        """Choose how the model trains; names and arguments as in Keras.

        Args:
            optimizer: a name (``"sgd"``, ``"adam"``, ``"adamw"``, ``"rmsprop"``) or one of ``uf.optimizers``.
            loss: a name, one of ``uf.losses``, or a function ``(y_true, y_pred) -> per-example losses`` in
                ``uf.ops``; for several outputs a list, or a dict by the output's name.
            loss_weights: a factor for each output's loss.
            metrics: a list of names, of ``uf.metrics`` or of functions; per output like ``loss``.
            weighted_metrics: metrics that heed ``sample_weight``.
            run_eagerly, steps_per_execution, jit_compile, auto_scale_loss: Keras's, at its defaults only: steps
                are always compiled.
            backend: where `fit`, `evaluate` and `predict` run unless they are told otherwise.

        Raises `UnknownName` for a name that is none, `BackendMissing` with what to type.

        Example::

            model.compile("adam", loss="sparse_categorical_crossentropy", metrics=["accuracy"])
        """
        from unifront.train import configure

        self._training = configure(self, optimizer, loss, metrics, loss_weights, weighted_metrics, backend)

    def _compiled(self) -> Any:
        """What `compile` made; `ArgumentError` before it."""
        if self._training is None:
            raise ArgumentError(
                f"The model {self.name!r} is not compiled; call model.compile(optimizer, loss) first."
            )
        return self._training

    # ------------------------------------------------------------ one step, to be overridden

    def train_step(self, data: Any) -> dict[str, Any]:
        """One step of training, traced once into a graph and run compiled on every backend. Override it at will.

        Args:
            data: ``x``, ``(x, y)`` or ``(x, y, sample_weight)``, as given to `fit`, a batch of each.

        Returns:
            what logs show: scalars by name, or metrics, whose results of the epoch so far are shown.

        Example::

            class WithPenalty(uf.Model):
                def train_step(self, data):
                    x, y = data

                    def loss_of():
                        return self.compute_loss(x=x, y=y, y_pred=self(x, training=True))

                    loss, grads = uf.value_and_grad(loss_of, wrt=self.trainable_variables)()
                    self.optimizer.apply(grads, self.trainable_variables)
                    return {"loss": loss}
        """
        from unifront.train.hooks import train_step

        return train_step(self, data)

    def test_step(self, data: Any) -> dict[str, Any]:
        """One step of evaluation; data and result as of `train_step`."""
        from unifront.train.hooks import test_step

        return test_step(self, data)

    def predict_step(self, data: Any) -> Any:
        """The outputs for a batch of what `predict` is given."""
        from unifront.train.hooks import unpack

        return self(unpack(data)[0], training=False)

    def compute_loss(
        self,
        x: Any = None,
        y: Any = None,
        y_pred: Any = None,
        sample_weight: Any = None,
        training: bool = True,
    ) -> Any:
        """The total loss of a batch, a scalar: that of `compile`, what layers add, and what regularizers add."""
        from unifront.train.hooks import compute_loss

        return compute_loss(self, y, y_pred, sample_weight)

    def compute_metrics(self, x: Any, y: Any, y_pred: Any, sample_weight: Any = None) -> dict[str, Any]:
        """Let the metrics of `compile` take in a batch; gives `get_metrics_result`."""
        from unifront.train.hooks import compute_metrics

        return compute_metrics(self, y, y_pred, sample_weight)

    def get_metrics_result(self) -> dict[str, Any]:
        """The results of `metrics` by name: floats; while a step is traced the metrics themselves."""
        from unifront.train.hooks import metrics_result

        return metrics_result(self)

    @property
    def metrics(self) -> list[Any]:
        """The mean of the loss, the metrics of `compile` (once the data are known), those set as attributes."""
        from unifront.train.hooks import metrics_of

        return list(metrics_of(self).values())

    @checked
    def fit(
        self,
        x: Any = None,
        y: Any = None,
        batch_size: Size | None = None,
        epochs: Count = 1,
        verbose: Verbose = "auto",
        callbacks: Any = None,
        validation_split: Share = 0.0,
        validation_data: Any = None,
        shuffle: bool = True,
        class_weight: Any = None,
        sample_weight: Any = None,
        initial_epoch: Count = 0,
        steps_per_epoch: Size | None = None,
        validation_steps: Size | None = None,
        validation_batch_size: Size | None = None,
        validation_freq: Size = 1,
        *,
        backend: Name | None = None,
    ) -> Any:
        """Train; arguments and result as in Keras, and ``backend``.

        Args:
            x: an array of any framework, a list or dict of them; or an iterable of ``(x, y[, weight])``.
            y: targets likewise: integer labels ``[batch]``, or floats; not beside an iterable.
            batch_size: examples a step, 32 unless given. The last batch of an epoch may be smaller.
            epochs, initial_epoch: training ends after epoch ``epochs``, counted from ``initial_epoch``.
            verbose: 1 (or "auto") a progress bar, 2 a line an epoch, 0 silence.
            callbacks: a `uf.callbacks.Callback` or several.
            validation_split: the last share of the examples, kept for validation; or
            validation_data: ``(x, y)``, ``(x, y, sample_weight)``, or an iterable of batches.
            shuffle: whether the examples are taken in a new order each epoch.
            class_weight: a factor for the examples of each class, by its number.
            sample_weight: a factor for each example, ``[examples]``.
            steps_per_epoch: batches of an epoch; None for all.
            validation_steps, validation_batch_size, validation_freq: batches of a validation, their size, and
                the number of epochs from one validation to the next.
            backend: ``"jax"``, ``"torch:cpu"`` …; else compile's, else the default.

        Returns:
            A `History`: its ``history`` maps each loss and metric to its values, one an epoch.

        Raises `ArgumentError` before `compile`, `DataError` for data that does not fit the model,
        `NonFiniteLoss` when the loss is no number any more.

        Example::

            history = model.fit(x_train, y_train, epochs=3, backend="torch")
        """
        from unifront.train import fit

        with self._tried():
            return fit(
            self, x, y, batch_size=batch_size, epochs=epochs, verbose=verbose, callbacks=callbacks,
            validation_split=validation_split, validation_data=validation_data, shuffle=shuffle,
            class_weight=class_weight, sample_weight=sample_weight, initial_epoch=initial_epoch,
            steps_per_epoch=steps_per_epoch, validation_steps=validation_steps,
            validation_batch_size=validation_batch_size, validation_freq=validation_freq, backend=backend,
        )  # fmt: skip

    @checked
    def evaluate(
        self,
        x: Any = None,
        y: Any = None,
        batch_size: Size | None = None,
        verbose: Verbose = "auto",
        sample_weight: Any = None,
        steps: Size | None = None,
        callbacks: Annotated[Any, only(None)] = None,
        return_dict: bool = False,
        *,
        backend: Name | None = None,
    ) -> Any:
        """Loss and metrics on data; arguments as in Keras, and ``backend``.

        Args:
            x, y: as for `fit`.
            batch_size: examples a step, 32 unless given.
            verbose: taken as Keras takes it; nothing is printed.
            sample_weight: a factor for each example, ``[examples]``.
            steps: batches to look at; None for all.
            callbacks: None only.
            return_dict: whether the result is a dict.
            backend: as for `fit`.

        Returns:
            The loss; with metrics a list ``[loss, *metrics]``; with ``return_dict=True`` a dict of them.

        Raises `ArgumentError` before `compile`, `DataError` for data that does not fit the model.
        """
        from unifront.train import evaluate

        with self._tried():
            return evaluate(
            self, x, y, batch_size=batch_size, verbose=verbose, sample_weight=sample_weight, steps=steps,
            return_dict=return_dict, backend=backend,
        )  # fmt: skip

    @checked
    def predict(
        self,
        x: Any,
        batch_size: Size | None = None,
        verbose: Verbose = "auto",
        steps: Size | None = None,
        callbacks: Annotated[Any, only(None)] = None,
        *,
        backend: Name | None = None,
    ) -> Any:
        """Outputs as NumPy arrays, in the structure of the model's outputs. Needs no `compile`.

        Args:
            x: as for `fit`; an iterable gives batches of inputs.
            batch_size: examples a step, 32 unless given.
            verbose: taken as Keras takes it; nothing is printed.
            steps: batches to predict; None for all.
            callbacks: None only.
            backend: as for `fit`; NumPy serves too.

        Raises `DataError` for data that does not fit the model.
        """
        from unifront.train import predict

        with self._tried():
            return predict(self, x, batch_size=batch_size, verbose=verbose, steps=steps, backend=backend)

    @property
    def optimizer(self) -> Any:
        """The optimizer given to `compile`."""
        return self._compiled().optimizer

    @checked
    def to(self, backend: Name) -> Model:
        """Move every weight to ``backend`` (``"torch:cuda:1"``) or ``"host"``; gives the model back.

        Rarely needed: weights move by themselves to where they are used.
        """
        for variable in self.weights:
            if backend == "host":
                variable.assign(variable.numpy())
            else:
                variable.native(backend)
        return self

    @checked
    def lower(self, backend: Name | Placement | None = None) -> Any:
        """The model in the framework's own form, with copies of the weights, yours to keep.

        Args:
            backend: ``"torch"``: a ``torch.nn.Module``; ``"tensorflow"``: a ``tf.Module``; ``"jax"``: pure
                functions ``apply(params, state, …)`` with their arrays; ``"numpy"``: a function. A device may
                follow (``"torch:cuda:1"``); the default backend unless given.

        Raises `NotBuiltError` before the inputs are known, `BackendMissing` with what to type,
        `UnsupportedOp` naming the layer whose operation the backend lacks.

        Example::

            net = model.lower("torch")
            logits = net(torch.from_numpy(x_train))
        """
        place: Placement = placement(backend)
        training, inference = self.trace(True), self.trace(False)
        values = {
            seen.name: variable.numpy()
            for traced in (training, inference)
            for seen, variable in zip(traced.graph.variables, traced.variables, strict=True)
        }
        paths = self.variable_paths()
        updates = [paths[id(variable)] for variable in training.updates]
        return place.backend.module(training.graph, inference.graph, values, updates, place.device)

    @checked
    def export(self, path: Location, format: str = "onnx", **options: Any) -> None:
        """Write the inference graph as ONNX. No framework is traced, and none needs to be installed.

        Args:
            path: the file (``.onnx``).
            format: ``"onnx"``.
            options: ``opset``, ``dtype``, ``optimize``, ``external_data``, ``verify`` (run the file once beside
                NumPy, if ``onnxruntime`` is installed); see `unifront.onnx.export`.

        Raises `ExportError` naming the layer whose operation ONNX does not have, or the output that ONNX Runtime
        computes otherwise; `BackendMissing` without the package ``onnx``, `ArgumentError` for a name that promises
        another format, `FileWriteError` for what the operating system refuses.
        """
        from unifront.onnx import export

        if format != "onnx":
            raise UnknownName("export format", format, ["onnx"])
        export(self.trace(False), path, **options)

    @checked
    def save(self, path: Location) -> None:
        """Write the model, its weights and its training state to one ``.uf`` file; `uf.load` reads it.

        Raises `ArgumentError` if there is no such folder or the name promises another format, `FileWriteError` for
        what the operating system refuses (what was there before stays), `NotBuiltError` before the inputs are known.

        Example::

            model.save("digits.uf")
            again = uf.load("digits.uf")
        """
        from unifront.saving import save

        save(self, path)

    @checked
    def save_weights(self, path: Location) -> None:
        """Write the weights by their paths as safetensors. See `unifront.saving.save_weights`."""
        from unifront.saving import save_weights

        save_weights(self, path)

    def load_weights(self, source: Any) -> None:
        """Take weights back: all of them, or none. They stay the model's own, in its paths and layouts.

        Args:
            source: a file of `save_weights`; or what `lower` gave, after its training: a module, the
                ``state_dict`` of a torch module, or for JAX the dicts ``(params, state)``.

        Raises `FileFormatError` for a file that does not fit (see `unifront.saving.load_weights`); for a module
        `UnknownName` or `ArgumentError` naming the weight that is not the model's or is missing, `ShapeError`.

        Example::

            net = model.lower("torch")
            model.load_weights(net)  # after training it
        """
        from unifront.saving import load_weights

        if isinstance(source, str | bytes | os.PathLike):
            load_weights(self, path_of(source))
        else:
            self._take_back(source)

    def _take_back(self, source: Any) -> None:
        module, given = source, None
        if isinstance(source, Mapping | tuple | list):
            parts = [source] if isinstance(source, Mapping) else source
            if not all(isinstance(part, Mapping) for part in parts):
                raise ArgumentError(f"Weights are in a dict, or in several; not in {shown(source)}.")
            given = {name: value for part in parts for name, value in dict(part).items()}
        backend = backend_of(source) if given is None else backend_of(next(iter(given.values()), None))
        if backend is None or (given is None and backend.name == "numpy"):
            raise ArgumentError(f"Weights are in a file, or in what lower() gave; not in {type(source)}.")
        if given is not None:
            module = self.lower(Placement(backend, backend.devices()[-1], backend.name))
        found = backend.weights_of(module, given)
        paths = self.variable_paths()
        wanted = {paths[id(variable)]: variable for variable in self.weights}
        for name in found:
            if name not in wanted:
                raise UnknownName(f"weight of {self.name}:", name, wanted)
        needed = () if given is None else backend.weights_of(module)
        missing = [name for name in needed if name not in found]
        if missing:
            raise ArgumentError(
                f"The weights of {self.name!r} are to come back, but {missing[0]!r} is missing."
            )
        checked = {name: wanted[name].checked(value) for name, value in found.items()}
        for name, value in checked.items():
            wanted[name].assign(value)


def _inputs_of(shape: Any) -> Any:
    """An input of ``shape``, or a list or dict of them."""
    if shape is None:
        raise ShapeError("The shape to build for is a tuple of sizes, batch first, not None.")
    if isinstance(shape, dict):
        return {key: _inputs_of(one) for key, one in shape.items()}
    if isinstance(shape, list | tuple) and shape and all(isinstance(one, list | tuple) for one in shape):
        return [_inputs_of(one) for one in shape]
    return Input(batch_shape=shape)
