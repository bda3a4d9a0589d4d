"""`Layer`: what every layer is. It owns weights, has a `call`, and runs on native arrays or while traced."""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable, Hashable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from functools import cache, wraps
from typing import TYPE_CHECKING, Any, Self
from weakref import ref

import numpy as np

from unifront import ops, tree
from unifront.arguments import checked
from unifront.backends import HostKey, use_backend
from unifront.dtype_policies import DTypePolicy, DTypePolicyMap, chosen_policy, dtype_policy
from unifront.dtype_policies import get as policy_of
from unifront.dtypes import DType, float64
from unifront.errors import ArgumentError, NotBuiltError, NotBuiltYet, NotQuantizable, ShapeError, locate
from unifront.ir.types import Shape
from unifront.layers import regularizers
from unifront.layers.arguments import LayerName, PolicyLike, refuse
from unifront.layers.configs import Described, noting
from unifront.layers.ends import Ended, end_of
from unifront.layers.input_spec import check_inputs
from unifront.layers.remat import RematMode, applies, get_current_remat_mode, rematerialized
from unifront.layers.weighted import Weighted, _joined
from unifront.opset.rules import axis_in, show
from unifront.opset.tensor import (
    Symbolic,
    active_builder,
    autocast_dtype,
    autocasting,
    backend_of_arrays,
    builder_for,
    current_path,
    is_building,
    record,
    scope,
    type_of,
)
from unifront.programs import Hybrid, sizes_are_open
from unifront.trace import (
    MAKING,
    CallContext,
    call_context,
    current_context,
    update,
)
from unifront.weights import Overlay, Variable, overlaid


class _NoCall(ArgumentError, NotImplementedError):
    """A layer without a computation of its own; as in Keras, what is not implemented."""


class Layer(Weighted, Ended, Described):
    """A layer: weights made once by `build`, a computation written in `call`.

    Subclasses override ``__init__``, `build` (or make weights lazily with `add_weight` in it) and `call`.
    Layers set as attributes are children; they are named after the attribute. A layer called on native
    arrays (``layer(torch_tensor)``) runs as ordinary Python; called on ``uf.Input`` tensors it joins a model.

    Args:
        name: the layer's part of the paths of its weights and nodes; else its attribute's or class's name.
        dtype: of its weights and computation, or a policy that says both (``"mixed_bfloat16"``, see
            `unifront.dtype_policies`). By default what `uf.mixed_precision.set_global_policy` says; else float64 if
            its first float input is that, else `floatx`.
        autocast: whether float inputs and weights are cast to the dtype of computation (they are).
        trainable: False keeps optimizers from changing its weights, and those of the layers inside.
        activity_regularizer: a name, or a callable from an output to a scalar, which is divided by the batch
            size and added to the loss.

    Raises `UnknownName` for another argument. Constraints are taken as None only.
    """

    supports_masking = False
    autocast = True
    input_spec: Any = None
    """What the input has to be: an `InputSpec`, or a list of them."""
    notes_arguments = True
    """Whether `get_config` tells the arguments of the class's constructor."""
    built_at_once = False
    """Whether a class, having no weights and no ``build``, is built when it is made, as Keras has it."""
    autograph_info__ = None  # by this TensorFlow's AutoGraph knows what not to rewrite
    _is_building = False
    placed: ref[Layer] | bool | None = None
    """The outermost layer that settled the weights' paths; True: for good; False: as they were before a copy."""
    path: str | None = None
    """Where the layer was built, ``encoder/dense``; None before that."""
    remat_mode: RematMode | None = None
    """What the `uf.RematScope` around the making of the layer said."""
    _nameless: Variable | None = None
    _hybrid: Hybrid | None = None

    def __init_subclass__(cls, **options: Any) -> None:
        super().__init_subclass__(**options)
        if "build" in vars(cls) and not getattr(cls.build, "repeatable", False):
            cls.build = _once(cls.build)  # type: ignore[method-assign]  # so that it may be called by hand
        if "__init__" in vars(cls) and vars(cls).get("notes_arguments", True):
            cls.__init__ = noting(cls, cls.__init__)  # type: ignore[method-assign]  # for `get_config`

    @checked
    def __init__(
        self,
        *,
        name: LayerName = None,
        dtype: PolicyLike = None,
        trainable: bool = True,
        activity_regularizer: regularizers.RegularizerLike = None,
        autocast: bool = True,
    ) -> None:
        if not autocast:
            self.autocast = False
        self._name = name
        self._policy: DTypePolicy | None = chosen_policy() if dtype is None else dtype  # type: ignore[assignment]
        if get_current_remat_mode() is not None:
            self.remat_mode = get_current_remat_mode()
        self._weights: list[Variable] = []
        self._known: set[int] = set()
        self._children: dict[str, Layer] = {}
        self.trainable = trainable
        self.activity_regularizer = activity_regularizer
        self.built = self.built_at_once and type(self).build is Layer.build
        self.output_types: Any = None
        self._first: list[Symbolic] = []
        self.children()  # names those that were set before this was called

    def take_options(self, options: dict[str, Any]) -> None:
        """Heed arguments of Keras's that signatures leave out; raise for those that there are none."""
        if "input_dim" in options and "input_shape" not in options:
            options["input_shape"] = (options.pop("input_dim"),)
        if "input_shape" in options:
            vars(self)["input_shape_given"] = options.pop("input_shape")
        if "autocast" in options:
            vars(self)["autocast"] = bool(options.pop("autocast"))
        refuse(type(self), options)

    def __setattr__(self, key: str, value: Any) -> None:
        if "_children" in self.__dict__:
            for name, layer in _layers_in(key, value):
                self._take_in(name, layer)
        super().__setattr__(key, value)
        if isinstance(value, Variable) and value is self._nameless:
            value.path = _joined(value.path.rpartition("/")[0], key)
        if key == "trainable":  # as in Keras: what is inside is frozen too, so that batch norm stops learning
            for child in self.children() if "_children" in self.__dict__ else ():
                child.trainable = value

    def _take_in(self, name: str, layer: Layer) -> None:
        """Name a layer that is found below an attribute, and freeze it with this one."""
        if layer._name is None:
            layer._name = name
        if id(layer) not in self._known and not self.trainable:
            layer.trainable = False
        self._known.add(id(layer))

    if not TYPE_CHECKING:  # a checker would take any attribute for known

        def __getattr__(self, name: str) -> Any:
            """Say of weights why they are not there; whatever else is missing is missing as in Python."""
            if name.startswith("_") or hasattr(type(self), name) or self.__dict__.get("built", True):
                return object.__getattribute__(self, name)
            error = NotBuiltYet(
                f"{type(self).__name__} has no {name!r}, or not before it is built. Call it on data or on "
                "uf.Input(...), or call build(shape), to make its weights."
            )
            error.at(self.name)
            raise error

    def place(self, path: str, owner: Layer | None = None) -> None:
        """Settle the paths of the weights below this layer, the first time it becomes part of a model, ``owner``.

        A model inside another one is part of that: its weights get new paths, which no others have.
        """
        owner = self if owner is None else owner
        below = {id(layer) for layer in self.layers_below()} - {id(owner)}
        for place, layer in self.walk(path):
            root = layer.placed() if isinstance(layer.placed, ref) else layer.placed
            if layer.placed is None or id(root) in below:
                layer.placed = ref(owner)
                for weight in layer._weights:
                    weight.path = _joined(place, weight.name)

    @property
    def name(self) -> str:
        """The layer's own part of its path."""
        return self._name or snake_case(type(self).__name__)

    @property
    def dtype_policy(self) -> DTypePolicy:
        """In which dtypes the layer computes and keeps its weights."""
        policy = self._policy or dtype_policy()
        return policy[self.path] if isinstance(policy, DTypePolicyMap) and self.path else policy

    @dtype_policy.setter
    def dtype_policy(self, value: Any) -> None:
        policy = policy_of(value)
        if policy.quantization_mode is not None and self.built and self.quantization_mode is None:
            self.quantize(policy.quantization_mode)
        if isinstance(self._policy, DTypePolicyMap) and self.path:
            self._policy.pop(self.path, None)
            self._policy[self.path] = policy
        else:
            self._policy = policy

    @property
    def compute_dtype(self) -> DType:
        """The dtype that float inputs and weights are cast to, and that outputs have."""
        return self.dtype_policy.compute_dtype

    input_dtype = compute_dtype

    @property
    def quantization_mode(self) -> str | None:
        """How the weights are quantized; None if they are not."""
        return self.dtype_policy.quantization_mode

    def quantize(self, mode: str | None = None, type_check: bool = True, config: Any = None) -> None:
        """Keep weights as integers; only some layers do, see `unifront.layers.quantized`. Raises `NotQuantizable`."""
        raise NotQuantizable(f"Layer {type(self).__name__} does not have a `quantize()` method implemented.")

    @property
    def variable_dtype(self) -> DType:
        """The dtype of weights."""
        return self.dtype_policy.variable_dtype

    dtype = variable_dtype

    def children(self) -> Iterator[Layer]:
        """Every child layer once, in the order they were set; lists may have grown since."""
        found: dict[int, Layer] = {}
        for key, value in list(vars(self).items()):  # another thread may be setting attributes
            for name, layer in _layers_in(key, value):
                self._take_in(name, layer)
                found.setdefault(id(layer), layer)
        return iter(found.values())

    def walk(self, path: str = "") -> Iterator[tuple[str, Layer]]:
        """This layer, which is at ``path``, and every layer inside it: their paths and they, once, depth first."""
        seen: set[int] = set()

        def walk(layer: Layer, path: str) -> Iterator[tuple[str, Layer]]:
            if id(layer) not in seen:
                seen.add(id(layer))
                yield path, layer
                for child in layer.children():
                    yield from walk(child, _joined(path, child.name))

        return walk(self, path)

    def layers_below(self) -> Iterator[Layer]:
        """This layer and every layer inside it, once each, depth first."""
        return (layer for _, layer in self.walk())

    def update(self, variable: Variable, value: Any) -> None:
        """Give ``variable`` a new value as part of this call (running statistics)."""
        update(variable, value)

    def traced_state(self) -> Hashable:
        """What a trace of the layer takes as constants, or what stands for it; a model is traced again once it is
        another. None for none."""
        return None

    def add_loss(self, loss: Any) -> None:
        """Add a scalar to the training loss of this call."""
        context = current_context()
        if context is not None:
            context.losses.append(loss)

    @end_of
    def losses(self) -> list[Any]:
        """What layers add to the loss in this call (outside of one: in the last call of this layer), and what the
        regularizers of the trainable weights add."""
        context = current_context()
        added = vars(self).get("_added", ()) if context is None else context.losses
        return [
            *added,
            *(_penalty(weight) for weight in self.trainable_weights if weight.regularizer is not None),
        ]

    def random_key(self, seed: int | None = None) -> Any:
        """A fresh random key for this call; a ``seed`` (an int) gives a stream of its own.

        A layer may ask for it whether it trains or not (a variational autoencoder draws always). `Model.predict` and
        `Model.evaluate` take other keys for each call and batch, the same ones after `uf.set_seed`.
        """
        if not isinstance(seed, int | np.integer | None):
            raise ArgumentError(f"{type(self).__name__}: a seed is an int or None, not {seed!r}.")
        return (current_context() or CallContext()).random_key(seed)

    # ------------------------------------------------------------ calling

    def hybridize(self, active: bool = True) -> Self:
        """Run calls on native arrays as compiled programs: one for each signature (types of the arrays, masks, other
        arguments, ``training``, what is frozen). The layers inside run in the program of the one that is called.

        Args:
            active: False goes back to one operation after the other. Either way programs made so far are dropped.

        The numbers are those of eager calls, random ones too; the framework's own gradients (``.backward()``,
        ``GradientTape``, ``jax.grad``) pass through, to arguments and weights, and statistics are updated. Python in
        `call` runs when a signature is met first: attributes are read then, and what depends on a value raises
        `ArgumentError`, which names the line; it is written with ``uf.ops.cond``, ``while_loop`` or ``scan``.

        Gives the layer back.

        Example::

            model.hybridize()
            logits = model(x_train)
        """
        for layer in self.layers_below():
            vars(layer)["_hybrid"] = Hybrid() if active else None
        return self

    def build(self, *shapes: Any) -> None:
        """Make the weights, knowing the shapes of the tensors that `call` gets. Overridden where there are any.

        Runs once: before the first call, or by hand with None for free sizes, as ``layer.build((None, 4))``.
        """

    def call(self, *args: Any, **kwargs: Any) -> Any:
        """The computation. Overridden by every layer."""
        raise _NoCall(f"{type(self).__name__} does not define call().")

    def compute_mask(self, inputs: Any, mask: Any = None) -> Any:
        """The mask of the output, given the mask of the input, which passes if ``supports_masking``."""
        if not self.supports_masking:
            return None
        return next((one for one in tree.leaves(mask) if one is not None), None)

    def __call__(self, *args: Any, training: bool | None = None, **kwargs: Any) -> Any:
        """Run the layer on native arrays, or add it to a graph or model; builds it at the first call.

        Args:
            args: tensors, or lists of them, as `call` takes them.
            training: whether dropout drops and batch norm learns; inherited from the call around, else as `call`
                has it by default.
        """
        if "_children" not in self.__dict__:
            raise ArgumentError(f"{type(self).__name__}.__init__ does not call super().__init__().")
        if "inputs" in kwargs and not args and "inputs" not in parameters(type(self).call):
            args = (kwargs.pop("inputs"),)  # what Keras calls the first argument of its layers
        given = [*args, *kwargs.values()]
        if any(isinstance(leaf, Symbolic) for leaf in tree.leaves(given)):
            extra = {} if training is None else {"training": training}
            return self._noted(record(self, *args, **extra, **kwargs))
        outer = current_context()
        if outer is None:
            trains = None if training is None else bool(training)
            with call_context(CallContext(training=trains)) as context, backend_of_arrays(given):
                result = self._run(context, args, kwargs)
            context.hand_over(result)
            if context.losses or "_added" in vars(self):
                vars(self)["_added"] = context.losses
            return result
        if training is None or training == outer.training:
            return self._run(outer, args, kwargs)
        before, outer.training = outer.training, training
        try:
            return self._run(outer, args, kwargs)
        finally:
            outer.training = before

    def stateless_call(
        self,
        trainable: Sequence[Any],
        non_trainable: Sequence[Any],
        *args: Any,
        training: bool = False,
        key: Any = None,
        return_losses: bool = False,
        **kwargs: Any,
    ) -> tuple[Any, ...]:
        """The layer as a pure function of its weights, for ``jax.grad``, ``jax.jit`` and ``torch.func``.

        Args:
            trainable: a native array for each of `trainable_weights`, in their order.
            non_trainable: likewise for `non_trainable_variables`.
            args: what the layer is called on, native arrays.
            training: whether dropout drops and batch norm learns.
            key: of this call's randomness: a ``jax.random.key``, or an int. Unless given one is drawn, which
                under ``jax.jit`` is the same at every call.
            return_losses: give also the list of the losses that layers add.

        Returns:
            ``(outputs, non_trainable)``, the latter with the new values, and the losses if asked for. The
            layer's own weights stay as they are.

        Raises `NotBuiltError` before the weights are made, `ArgumentError` for another number of values.

        Example::

            params = [weight.value for weight in layer.trainable_weights]
            outputs, state = layer.stateless_call(params, state, x, training=True)
        """
        if trainable or non_trainable:
            self._made_weights()
        values: dict[int, Any] = {}
        for what, weights, given in (
            ("trainable", self.trainable_weights, trainable),
            ("non-trainable", self.non_trainable_variables, non_trainable),
        ):
            if len(weights) != len(given):
                raise ArgumentError(
                    f"{self.name} has {len(weights)} {what} weights; {len(given)} values were given."
                )
            values.update(zip(map(id, weights), given, strict=True))
        own = HostKey(int(key)) if isinstance(key, int | np.integer) else key
        context = CallContext(training=bool(training), key=own)
        with overlaid(Overlay(values)), call_context(context), backend_of_arrays([args, kwargs, trainable]):
            outputs = self._run(context, args, kwargs)
        if len(self.variables) != len(values):
            raise NotBuiltError(
                f"{self.name} had no weights before this call, which made them; call it again."
            )
        state = [values[id(weight)] for weight in self.non_trainable_variables]
        return (outputs, state, context.losses) if return_losses else (outputs, state)

    def trains_untold(self) -> bool:
        """Whether the layer trains where nobody says it: by the default that its `call` has for ``training``."""
        return _trains_untold(type(self).call)

    def _called(self, context: CallContext, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """What `call` gives, as a block that is computed again for the gradient if the layer is made so."""
        mode = self.remat_mode
        if (
            mode is None
            or context.training is False
            or context.recorder is not None
            or not applies(self, mode)
        ):
            return self.call(*args, **kwargs)
        builder = builder_for(tree.leaves([args, kwargs])) or active_builder()
        if builder is None:
            return self.call(*args, **kwargs)
        return rematerialized(self, mode, context, builder, args, kwargs)

    def _run(self, context: CallContext, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        if self.remat_mode is not None and self._hybrid is None and applies(self, self.remat_mode):
            vars(self)["_hybrid"] = Hybrid()
        if self._hybrid is not None and self._hybrid.takes(self, context, [args, kwargs]):
            return self._hybrid(self, context, args, kwargs)
        if not context.depth and sizes_are_open(context, [args, kwargs]):
            return Hybrid()(self, context, args, kwargs)
        return self.run_now(context, args, kwargs)

    def run_now(self, context: CallContext, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """The call itself, one operation after the other, on native arrays or on the tensors of a trace."""
        with self._entered(context):
            recorder = context.recorder
            recorded = recorder.begin(self, [args, kwargs], context) if recorder else None
            masks = tree.map_leaves(context.mask_of, args[0]) if args else None
            takes = parameters(type(self).call)
            if "training" in takes:
                told = context.training
                kwargs["training"] = self.trains_untold() if told is None else told
            if "mask" in takes and kwargs.get("mask") is None and takes.index("mask") > len(args):
                kwargs["mask"] = masks
            if self.input_spec is not None and args:
                check_inputs(self.input_spec, args[0], self.name)
            self._build_once(args, kwargs)
            args = tuple(self._cast(arg) for arg in args)
            kwargs = {key: self._cast(value) for key, value in kwargs.items()}
            with self._reading():
                result = self._called(context, args, kwargs)
            if self.activity_regularizer is not None:
                self._add_activity_losses(self.activity_regularizer, result)
            if args:
                mask = self.compute_mask(args[0], kwargs.get("mask", masks))
                for leaf, one in zip(tree.leaves(result), tree.leaves(mask), strict=False):
                    if one is not None:
                        context.set_mask(leaf, one)
            self.output_types = tree.map_leaves(type_of, result)
            if recorded:
                recorder.end(recorded, result, context)
            return result

    @contextmanager
    def _entered(self, context: CallContext) -> Iterator[None]:
        """A block that is this layer's: what is made inside lies below its path, and errors name it."""
        root = context.depth == 0 and self._is_root()
        context.depth += 1
        try:
            with nullcontext() if root else scope(self.name):
                try:
                    yield
                except Exception as error:
                    locate(error, current_path() or self.name)
                    raise
        finally:
            context.depth -= 1

    def _add_activity_losses(self, regularizer: Callable[[Any], Any], result: Any) -> None:
        for output in tree.leaves(result):
            type_ = type_of(output)
            loss = regularizer(output)
            if type_.rank:
                loss = ops.divide(loss, ops.full((), type_.shape[0], type_of(loss).dtype, like=output))
            self.add_loss(loss)

    def _is_root(self) -> bool:
        """Whether this layer stands at the top, so that its name is not part of paths (models)."""
        return False

    def _build_once(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        if not self.built or (self.built_at_once and self._policy is None):  # its first input says the dtype
            with MAKING:
                if not self.built or self._policy is None:  # by another thread, while this one waited
                    self._build_for(args, kwargs)

    def _build_for(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        try:
            inspect.signature(self.call).bind(*args, **kwargs)
        except TypeError as error:
            signature = ", ".join(parameters(type(self).call)[1:])
            raise ArgumentError(f"{type(self).__name__}.call({signature}): {error}.") from None
        types = [type_of(leaf) for leaf in tree.leaves(args) if _is_tensor(leaf)]
        if self._policy is None:
            first = next((type_.dtype for type_ in types if type_.dtype.is_float), None)
            if first is float64:  # whoever computes in it means it; 16 bits are asked for by a policy
                self._policy = DTypePolicy(first.name)
        shapes = [
            tree.map_leaves(lambda leaf: type_of(leaf).shape if _is_tensor(leaf) else None, arg)
            for arg in args
        ]
        self._build(shapes[: _shapes_taken(type(self).build)])

    def _build(self, shapes: Sequence[Any]) -> None:
        """Run `build` inside this layer's scope."""
        self.path = self.path or current_path()
        self._policy = self._policy or dtype_policy()
        self.children()  # names those that were appended to lists
        before = len(self._weights)
        self._is_building = True
        vars(self)["_built_for"] = tuple(shapes)
        try:
            self.build(*shapes)
        except Exception:
            del self._weights[before:]  # so that it may be tried again
            raise
        finally:
            self._is_building = False
        self.built = True

    def _cast(self, arg: Any) -> Any:
        def cast(leaf: Any) -> Any:
            if _is_tensor(leaf) and type_of(leaf).dtype.is_float and type_of(leaf).dtype != wanted:
                return self._keep_mask(leaf, ops.cast(leaf, wanted))
            return leaf

        if not self.autocast:
            return arg
        wanted = self.compute_dtype
        return tree.map_leaves(cast, arg)

    def _reading(self) -> AbstractContextManager[None]:
        """A block in which weights are read in the dtype of computation, if that is another than theirs."""
        outer, policy = autocast_dtype(), self.dtype_policy
        compute = policy.compute_dtype
        if outer is None and compute is policy.variable_dtype:  # as most often
            return nullcontext()
        wanted = compute if self.autocast and compute.is_float else None
        return nullcontext() if wanted is outer else autocasting(wanted)

    @staticmethod
    def _keep_mask(before: Any, after: Any) -> Any:
        context = current_context()
        if context is not None and context.mask_of(before) is not None:
            context.set_mask(after, context.mask_of(before))
        return after

    def __getstate__(self) -> dict[str, Any]:
        """What copies and pickles: all but the identities of the layers inside, which are others' in a copy."""
        own = {
            key: value
            for key, value in list(vars(self).items())
            if key not in ("_known", "_is_building", "_added")
        }
        return {**own, "placed": False} if isinstance(self.placed, ref) else own

    def __setstate__(self, state: dict[str, Any]) -> None:
        vars(self).update(state)
        found = (layer for key, value in state.items() for _, layer in _layers_in(key, value))
        vars(self)["_known"] = {id(layer) for layer in found}

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.name!r}>"


def _penalty(weight: Variable) -> Any:
    """What the regularizer of ``weight`` adds, computed where the weight is."""
    at = (
        nullcontext()
        if is_building() or weight.home == "host"
        else use_backend(weight.home.partition(":")[0])
    )
    with at:
        return weight.regularizer(weight) if weight.regularizer is not None else 0.0


def _layers_in(name: str, value: Any) -> Iterator[tuple[str, Layer]]:
    """Every layer in an attribute ``name``, also in lists, tuples and dicts, with what it is called there."""
    match value:
        case Layer():
            yield name, value
        case list() | tuple():
            for i, item in enumerate(list(value)):
                yield from _layers_in(f"{name}_{i}", item)
        case dict():
            for key, item in list(value.items()):  # another thread may be filling it
                yield from _layers_in(f"{name}_{key}", item)


def _is_tensor(leaf: Any) -> bool:
    return hasattr(leaf, "shape") and hasattr(leaf, "dtype")


def _is_list_of_sizes(shape: Any) -> bool:
    return (
        isinstance(shape, list) and bool(shape) and all(one is None or isinstance(one, int) for one in shape)
    )


def _once(build: Callable[..., None]) -> Callable[..., None]:
    """A layer's ``build``, which may also be called by hand (Keras's layers build those inside them so)."""

    @wraps(build)
    def wrapped(layer: Layer, *shapes: Any, **named: Any) -> None:
        if named:  # as Keras's, build(input_shape=…), whatever our parameter is called
            takes = set(named) <= set(inspect.signature(build).parameters)
            bound = inspect.signature(build).bind(layer, *shapes, **named).args[1:] if takes else ()
            shapes = bound or (*shapes, *named.values())
        shapes = tuple(tuple(one) if _is_list_of_sizes(one) else one for one in shapes)
        with MAKING:
            if layer._is_building:  # the layer's own call, or super().build
                build(layer, *shapes)
            elif not layer.built:
                with call_context(current_context() or CallContext()) as context, layer._entered(context):
                    layer._build(shapes)

    return wrapped


Layer.build = _once(Layer.build)  # type: ignore[method-assign]  # the layer is built then, though it has no weights


@cache
def parameters(function: Callable[..., Any]) -> tuple[str, ...]:
    """The names of the parameters of a function, such as a layer class's ``call``."""
    return tuple(inspect.signature(function).parameters)


@cache
def _trains_untold(call: Callable[..., Any]) -> bool:
    parameter = inspect.signature(call).parameters.get("training")
    return parameter is not None and parameter.default is True


@cache
def _shapes_taken(build: Callable[..., Any]) -> int | None:
    """How many shapes a ``build`` takes; None for all there are."""
    kinds = [parameter.kind for parameter in inspect.signature(build).parameters.values()]
    return None if inspect.Parameter.VAR_POSITIONAL in kinds else len(kinds) - 1


def snake_case(name: str) -> str:
    """``Conv2D`` → ``conv2d``, ``ConvLSTM2D`` → ``conv_lstm2d`` (as Keras names layers)."""
    name = re.sub(r"(.)([A-Z][a-z]+)", r"\1_\2", name)
    return re.sub(r"([a-z])([A-Z])", r"\1_\2", name).lower()


def feature_size(shape: Shape, axis: int = -1) -> int:
    """The static size of ``axis``.

    Raises `NotBuiltError` if it is free, `ShapeError` if there is no such axis or more than one tensor.
    """
    if not isinstance(shape, tuple):
        raise ShapeError(f"One tensor is needed; the shapes of what was given are {shape}.")
    size = shape[axis_in(axis, len(shape))]
    if not isinstance(size, int):
        raise NotBuiltError(
            f"The size of axis {axis} of the input {show(shape)} is not known; give Input a fixed size there."
        )
    return size
