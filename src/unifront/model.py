"""`Model`: layers put together, and all that is done with the whole."""

from __future__ import annotations

import copy
from collections.abc import Callable, Container, Hashable, Mapping, Sequence
from dataclasses import replace
from threading import get_ident
from typing import Annotated, Any
from weakref import ref

from unifront import tree
from unifront.arguments import Size, checked, only, whole
from unifront.errors import ArgumentError, NotBuiltError, NotBuiltYet, ShapeError
from unifront.free_sizes import FreeSizes
from unifront.functional import (
    begun,
    calls_below,
    check_ends,
    find_layer,
    fits,
    flatten_like,
    in_order,
    listed,
    name_apart,
    named_types,
    numbered,
    replay,
    set_trainable,
    standardized,
    static_shapes,
    unlisted,
)
from unifront.ir.dims import Dim, DimExpr
from unifront.ir.graph import Graph
from unifront.ir.types import TensorType
from unifront.layers.arguments import LayerName, PolicyLike
from unifront.layers.ends import end_of
from unifront.layers.input import BATCH, InputTensor, inputs_of
from unifront.layers.layer import Layer
from unifront.layers.quantized import quantize_model
from unifront.opset.tensor import Call, Symbolic, is_building, type_of
from unifront.portable import Portable
from unifront.reference import simplified
from unifront.restoring import Restoring
from unifront.serialization import CustomObjectScope
from unifront.stepwise import Stepwise
from unifront.trace import MAKING, CallContext, Tracing, current_rng, renamed, trace
from unifront.trained import Trained
from unifront.weights import together


def _repeatable(build: Callable[..., None]) -> Callable[..., None]:
    """A ``build`` that looks at its argument each time, not only before the weights are made."""
    checked_build = checked(build)
    checked_build.repeatable = True  # type: ignore[attr-defined]
    return checked_build


class Model(FreeSizes, Restoring, Trained, Stepwise, Portable, Layer):
    """A model: ``Model(inputs, outputs)`` from the functional API, or a subclass with ``call``.

    Args:
        inputs: `Input` tensors: one, a list or a dict. What layers gave may be among them: the part of the graph
            behind it is a model then, of the same layers.
        outputs: tensors computed from them by layers and ``uf.ops``: one, a list or a dict.
        name: the model's name.
        dtype: of a class of your own, as for `Layer`; layers have theirs.

    Its ``metadata`` is a dict of plain data, as JSON has them, that goes along in ``.uf`` files: names of classes and
    the like.

    Raises `ArgumentError` if an output does not come from the inputs.

    Example::

        image = uf.Input((8, 8, 1), name="image")
        model = uf.Model(image, layers.Dense(10)(layers.Flatten()(image)), name="digits")
    """

    autocast = False
    notes_arguments = False
    _called_on: tuple[Any] | None = None
    """The types of the arrays of a first call, where no input was said before."""

    @checked
    def __init__(
        self,
        inputs: Any = None,
        outputs: Any = None,
        *,
        name: LayerName = None,
        trainable: bool = True,
        dtype: PolicyLike = None,
    ) -> None:
        super().__init__(name=name, trainable=trainable, dtype=dtype)
        self._input_types: dict[str, TensorType] | None = None
        self._tracings: dict[Any, Tracing] = {}
        self.input_structure: Any = None
        self._inputs: Any = None
        self._outputs: Any = None
        self._calls: list[Call] = []
        self._order: list[str | InputTensor] = []  # the names of layers, and the inputs, in Keras's order
        self.programs: dict[Any, Any] = {}
        self.metadata: dict[str, Any] = {}
        if inputs is not None:
            self._connect(inputs, outputs)

    # ------------------------------------------------------------ the functional API

    def _connect(self, inputs: Any, outputs: Any) -> None:
        check_ends(self.name, tree.leaves(inputs), tree.leaves(outputs))
        inputs, outputs = self._inputs, self._outputs = begun(inputs, outputs)
        leaves = tree.leaves(inputs)
        self._calls = list(calls_below(tree.leaves(outputs), leaves))
        layers = {
            id(call.function): call.function for call in self._calls if isinstance(call.function, Layer)
        }
        self._adopt(list(layers.values()))
        order = in_order(leaves, tree.flatten(outputs))
        self._order = [one.name if isinstance(one, Layer) else one for one in order]
        for name in self._order:
            if isinstance(name, str):  # Keras's order, in which weights are listed too
                self._children[name] = self._children.pop(name)
        self._take(inputs, self._children)
        self.built = True
        self.place("")

    def _adopt(self, layers: Sequence[Layer]) -> None:
        """Name the layers uniquely and make them children."""
        name_apart(self, layers)
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
        given = flatten_like(args[0] if len(args) == 1 else args, self._inputs, list(self.input_types))
        if len(given) == len(self.input_types):
            types = self.input_types.values()
            given = [
                None if leaf is None else self._keep_mask(leaf, standardized(leaf, type_))
                for leaf, type_ in zip(given, types, strict=True)
            ]
        return replay(self._calls, self.inputs, given, self.input_types, self._outputs)

    def present(self, x: Any) -> tuple[tuple[int, ...], Any]:
        """The numbers of the optional inputs for which ``x`` has None, and what there is of ``x``."""
        if self._inputs is None or not isinstance(x, list | tuple | dict):
            return (), x
        if not any(leaf.optional for leaf in self.inputs):
            return (), x
        given = flatten_like(x, self._inputs, list(self.input_types))
        absent = tuple(i for i, part in enumerate(given) if part is None)
        if not absent or len(given) != len(self.inputs):
            return (), x
        there = [part for part in given if part is not None]
        return absent, there[0] if len(there) == 1 else there

    def without(self, absent: tuple[int, ...]) -> Model:
        """The part of the model that takes what there is, where its inputs of these numbers are None.

        Raises `ArgumentError` where one of them is not optional.
        """
        if not absent:
            return self
        key = ("without", absent)
        if key not in self.programs:
            instead = [None if i in absent else leaf for i, leaf in enumerate(self.inputs)]
            outputs = replay(self._calls, self.inputs, instead, self.input_types, self._outputs)
            self.programs[key] = Model([leaf for leaf in instead if leaf is not None], outputs)
        part: Model = self.programs[key]
        return part

    @property
    def _model(self) -> Model:
        return self

    def _is_root(self) -> bool:
        return True

    def get_config(self) -> dict[str, Any]:
        """The model as plain data, without weights: of a functional one its layers and how they are connected, of
        one of your own class the arguments of its constructor.

        Raises `ArgumentError` for a call between the layers that plain data cannot tell, such as of a lambda.
        """
        from unifront.model_config import functional_config, is_functional

        if is_functional(self) and self._told_class() is None:
            return functional_config(self)
        return super().get_config()

    def get_build_config(self) -> dict[str, Any] | None:
        """The shapes of the inputs of a model of your own class, free sizes as None; None before they are known."""
        if self._inputs is not None or self.has_free_inputs:  # told by its layers, or nothing to tell
            return super().get_build_config()
        shapes = [
            [None if isinstance(dim, DimExpr) else dim for dim in type_.shape]
            for type_ in self.input_types.values()
        ]
        return {"input_shape": tree.map_leaves(shapes.__getitem__, self.input_structure)}

    @classmethod
    def from_config(cls, config: Mapping[str, Any], custom_objects: Mapping[str, Any] | None = None) -> Any:
        """A new model from what `get_config` gave, here or in Keras; its weights are fresh.

        Args:
            custom_objects: classes and functions by name, beside those registered.

        Raises `ArgumentError` where the config describes no model, `UnknownName` for a class that is not known.
        """
        from unifront.model_config import functional_from

        with CustomObjectScope(custom_objects):
            if {"layers", "input_layers", "output_layers"} <= set(config):
                return functional_from(cls, config)
            return super().from_config(config)

    def compute_mask(self, inputs: Any, mask: Any = None) -> Any:
        return None

    @property
    def layers(self) -> list[Layer]:
        """The layers directly in this model, in Keras's order; of a functional model also those of its inputs."""
        if not self._order:
            return list(self.children())
        return [
            self._children[one] if isinstance(one, str) else self._input_layer(one) for one in self._order
        ]

    @layers.setter
    def layers(self, value: Any) -> None:
        raise AttributeError(
            "`Model.layers` attribute is reserved and should not be used; take another name."
        )

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
        return self._end("_inputs")

    @end_of
    def output(self) -> Any:
        """The output tensors in the structure that the model was given; `NotBuiltError` if it has none."""
        return self._end("_outputs")

    @property
    def input_shape(self) -> Any:
        """The input's shape, free sizes as None; a list of them for several inputs."""
        return static_shapes(tree.leaves(self.input))

    @property
    def output_shape(self) -> Any:
        """The output's shape, free sizes as None; a list of them for several outputs."""
        return static_shapes(tree.leaves(self.output))

    @property
    def output_names(self) -> list[str]:
        """What losses, metrics and dicts of targets call the outputs: the keys of a dict, else their layers' names."""
        return list(self._output_names(self._end("_outputs")))

    @property
    def operations(self) -> list[Layer]:
        """The layers, as Keras also calls them."""
        return self.layers

    def _end(self, which: str) -> Any:
        if vars(self)[which] is None and type(self).call is not Model.call:
            self._infer_from_call()
        tensors = vars(self)[which]
        if tensors is None:
            raise NotBuiltYet(
                f"The model {self.name!r} has no symbolic input and output: it is not made of uf.Input tensors, or "
                "has not seen its input yet."
            )
        return tensors

    def __deepcopy__(self, memo: dict[int, Any]) -> Model:
        """A copy with layers and weights of its own. What was traced and compiled is made anew when needed."""
        with together(self.weights):
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
        self._infer_from_call()
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
                self._seen = (tuple(type_.shape for type_ in self.input_types.values()),)

    def _run(self, context: CallContext, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        if self._settled is not None:
            result = super()._run(context, args, kwargs)
        else:
            with MAKING:
                with self._tried():
                    result = super()._run(context, args, kwargs)
                self._settled = get_ident() if self._settled is None else self._settled
        if (
            self._called_on is None
            and self.has_free_inputs
            and len(args) == 1
            and not is_building()
            and all(hasattr(leaf, "dtype") and not isinstance(leaf, Symbolic) for leaf in tree.leaves(args))
        ):
            self._called_on = (tree.map_leaves(type_of, args[0]),)
        return result

    def _infer_from_call(self) -> None:
        """Fix the inputs by what the model was called on, if it was and they are not known yet."""
        if self._called_on is not None and self.has_free_inputs:
            self.infer_inputs(self._called_on[0])

    def _take(self, inputs: Any, taken: Container[str] = ()) -> None:
        self.input_structure = numbered(inputs)
        paths = {number: path for path, number in tree.flatten_with_path(self.input_structure)}
        keys = [str(paths[number][-1]) for number in sorted(paths)] if isinstance(inputs, dict) else ()
        # Last: by it others see that all is known.
        self._input_types = named_types(tree.leaves(inputs), keys, taken)

    @property
    def has_free_inputs(self) -> bool:
        """Whether the first data still decides what the inputs are."""
        return self._input_types is None

    def trainable_state(self) -> tuple[Hashable, ...]:
        """Which layers and weights are frozen, whether draws are portable, and what layers hold as constants; traces
        depend on it."""
        below = list(self.layers_below())
        weights = {id(weight): weight.trainable for layer in below for weight in layer._weights}
        frozen = (*(layer.trainable for layer in below), *weights.values())
        held = (state for layer in below if (state := layer.traced_state()) is not None)
        return (current_rng() == "portable", *frozen, *held)

    @checked
    def trace(self, training: bool = False) -> Tracing:
        """The model's graph for training or inference, with the live variables; made once and kept."""
        return self.tracing(training)

    def tracing(self, training: bool = False, state: tuple[Hashable, ...] | None = None) -> Tracing:
        """`trace` without its checks, for calls on every batch; ``state`` is `trainable_state`, where that is known."""
        key = (training, state or self.trainable_state(), tuple(self.input_types.items()))
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

    def quantize(  # type: ignore[override]  # in the order that Keras's models have them
        self, mode: str | None = None, config: Any = None, filters: Any = None, *, type_check: bool = True
    ) -> None:
        """Keep the weights of the layers that can do so as integers, for inference; see `Dense.quantize`.

        Args:
            mode, config, type_check: as of `Dense.quantize`.
            filters: a regular expression, or several, that the names of layers are searched for, or a function of a
                layer; all of them unless given.

        Raises `NotBuiltError` before the weights are made. Source: ``keras.Model.quantize``.

        Example::

            model.quantize("int8")
        """
        quantize_model(self, mode, config, filters, type_check)
        self.programs.clear()

    def graph(self, training: bool = False) -> Graph:
        """The model as a typed graph; ``print`` it to read it."""
        return self.trace(training).graph

    def _output_names(self, result: Any) -> tuple[str, ...]:
        """What the outputs are called: by the keys of a dict, else by the layers they come from."""
        count = len(tree.leaves(result))
        if isinstance(result, dict) and len(result) == count:
            return tuple(map(str, result))
        names: list[str] = []
        for i, leaf in enumerate(tree.leaves(self._outputs) or [None] * count):
            function = leaf.call.function if leaf is not None and leaf.call else None
            base = function.name if isinstance(function, Layer) else "output"
            names.append(base if base not in names else f"{base}_{i}")
        return tuple(names) if len(names) == count else tuple(f"output_{i}" for i in range(count))

    @_repeatable
    def build(self, input_shape: Any) -> None:
        """Make the weights, for inputs of `floatx`.

        Args:
            input_shape: the input's shape, batch first and None for free sizes; for several inputs a list or
                dict of shapes. Batches may have another size than is said here, but where layers keep states.

        Example::

            model = uf.Sequential([layers.Dense(8), layers.Dense(3)])
            model.build((None, 4))
        """
        if self._is_building:  # by a build of the user's; layers make their weights when they are called
            return
        holds_states = any(getattr(layer, "stateful", False) for layer in self.layers_below())
        given = inputs_of(input_shape, free_batch=not holds_states)
        if not self.has_free_inputs:
            known, shapes = list(self.input_types.values()), [leaf.shape for leaf in tree.leaves(given)]
            if len(shapes) != len(known) or not all(
                fits(type_.shape, shape) for type_, shape in zip(known, shapes, strict=True)
            ):
                raise ShapeError(
                    f"The model {self.name!r} has already been configured to take {', '.join(map(str, known))}; it "
                    "cannot be built for the "
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
        line_length: Size | None = None,
        positions: Annotated[Any, only(None)] = None,
        print_fn: Callable[[str], Any] | None = None,
        expand_nested: bool = False,
        show_trainable: bool = False,
        layer_range: Sequence[str] | None = None,
        *,
        flops: bool = False,
    ) -> None:
        """Print the layers, their output types and numbers of weights.

        Args:
            line_length: characters a line; the terminal's unless given.
            positions: Keras's, None only: columns are as wide as what stands in them.
            print_fn: gets the text instead.
            expand_nested: show the layers inside layers too, by their paths.
            show_trainable: say of each layer whether it trains.
            layer_range: the names of the first and the last layer to show.
            flops: show how many floating-point operations each layer takes; see `count_flops`.

        Before the inputs are known layers have neither types nor weights; ``flops`` raises `NotBuiltError` then.
        """
        from unifront.summary import summarize

        summarize(
            self, print_fn, line_length, expand_nested=expand_nested, show_trainable=show_trainable,
            layer_range=layer_range, flops=flops,
        )  # fmt: skip

    def count_flops(self) -> Dim:
        """The floating-point operations of the inference on one example, counted in the model's graph.

        A product and the addition after it are two; an activation counts one an element, a sum one for each element
        that it reads; what only moves numbers counts nothing. Where sizes are free the count is an expression of
        them. Of an input with a fixed batch it is that of the batch; of a ``while_loop`` that of one turn.

        Raises `NotBuiltError` before the inputs are known.

            >>> uf.Sequential([uf.Input((3,)), uf.layers.Dense(5)]).count_flops()
            35
        """
        from unifront.summary import count_flops

        return count_flops(self)

    def _repr_html_(self) -> str:
        """What a notebook shows: the summary, and the picture where Graphviz is installed."""
        from unifront.summary import summary_html
        from unifront.utils.pictures import svg_of

        return summary_html(self) + svg_of(self)
