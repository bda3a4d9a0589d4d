"""`Layer`: what every layer is. It owns weights, has a `call`, and runs on native arrays or while traced."""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from functools import cache, wraps
from typing import TYPE_CHECKING, Annotated, Any
from weakref import ref
from zlib import crc32

import numpy as np

from unifront import ops, tree
from unifront.arguments import anything, checked, shown
from unifront.backends import HostKey
from unifront.dtypes import DType, dtype_of, floatx
from unifront.errors import ArgumentError, NotBuiltError, NotBuiltYet, ShapeError, UnifrontError, locate
from unifront.ir.types import Shape
from unifront.layers import initializers, regularizers
from unifront.layers.arguments import DTypeName, LayerName, refuse
from unifront.opset.rules import axis_in, show
from unifront.opset.tensor import Symbolic, backend_of_arrays, current_path, record, scope, type_of
from unifront.trace import (
    CallContext,
    call_context,
    current_context,
    current_seed,
    is_trainable,
    update,
)
from unifront.weights import Variable


class Layer:
    """A layer: weights made once by `build`, a computation written in `call`.

    Subclasses override ``__init__``, `build` (or make weights lazily with `add_weight` in it) and `call`.
    Layers set as attributes are children; they are named after the attribute. A layer called on native
    arrays (``layer(torch_tensor)``) runs as ordinary Python; called on ``uf.Input`` tensors it joins a model.

    Args:
        name: the layer's part of the paths of its weights and nodes; else its attribute's or class's name.
        dtype: of its weights and computation; by default that of its first float input, else `floatx`.
        trainable: False keeps optimizers from changing its weights, and those of the layers inside.
        activity_regularizer: a name, or a callable from an output to a scalar, which is divided by the batch
            size and added to the loss.

    Raises `UnknownName` for another argument. Constraints are taken as None only.
    """

    supports_masking = False
    autocast = True
    _is_building = False
    placed: ref[Layer] | bool | None = (
        None  # the outermost layer that settled the weights' paths; True: for good
    )
    _nameless: Variable | None = None

    def __init_subclass__(cls, **options: Any) -> None:
        super().__init_subclass__(**options)
        if "build" in vars(cls) and not getattr(cls.build, "repeatable", False):
            cls.build = _once(cls.build)  # type: ignore[method-assign]  # so that it may be called by hand

    @checked
    def __init__(
        self,
        *,
        name: LayerName = None,
        dtype: DTypeName = None,
        trainable: bool = True,
        activity_regularizer: regularizers.RegularizerLike = None,
    ) -> None:
        self._name = name
        self._dtype = None if dtype is None else dtype_of(dtype)
        self._weights: list[Variable] = []
        self._known: set[int] = set()
        self._children: dict[str, Layer] = {}
        self.trainable = trainable
        self.activity_regularizer = activity_regularizer
        self.built = False
        self.output_types: Any = None

    def take_options(self, options: dict[str, Any]) -> None:
        """Heed arguments of Keras's that signatures leave out; raise for those that there are none."""
        if "input_dim" in options and "input_shape" not in options:
            options["input_shape"] = (options.pop("input_dim"),)
        if "input_shape" in options:
            vars(self)["input_shape_given"] = options.pop("input_shape")
        refuse(type(self), options)

    def __setattr__(self, key: str, value: Any) -> None:
        if "_children" in self.__dict__:
            for name, layer in _layers_in(key, value):
                self._take_in(name, layer)
        elif isinstance(value, Layer):
            raise ArgumentError(
                f"{type(self).__name__}.__init__ sets {key!r} before calling super().__init__()."
            )
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

    def place(self, path: str) -> None:
        """Settle the paths of the weights below this layer, the first time it becomes part of a model.

        A model inside another one is part of that: its weights get new paths, which no others have.
        """
        below = {id(layer) for layer in self.layers_below()} - {id(self)}
        for place, layer in self.walk(path):
            root = layer.placed() if isinstance(layer.placed, ref) else layer.placed
            if layer.placed is None or id(root) in below:
                layer.placed = ref(self)
                for weight in layer._weights:
                    weight.path = _joined(place, weight.name)

    @property
    def name(self) -> str:
        """The layer's own part of its path."""
        return self._name or snake_case(type(self).__name__)

    @property
    def dtype(self) -> DType:
        """The dtype of weights and computation."""
        return self._dtype or floatx()

    def children(self) -> Iterator[Layer]:
        """Every child layer once, in the order they were set; lists may have grown since."""
        found: dict[int, Layer] = {}
        for key, value in vars(self).items():
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

    # ------------------------------------------------------------ weights

    @checked
    def add_weight(
        self,
        shape: Annotated[Sequence[int], anything],
        initializer: initializers.InitializerLike = "glorot_uniform",
        *,
        name: str | None = None,
        dtype: DTypeName = None,
        trainable: bool = True,
        regularizer: regularizers.RegularizerLike = None,
    ) -> Variable:
        """A new weight of this layer, called ``path/of/layer/name``.

        Args:
            shape: static sizes; `NotBuiltError` if one is symbolic or None.
            name: as no other weight of this layer; by default that of the attribute it is set as.
            initializer: a name, or a callable ``(shape, dtype, numpy Generator) -> array``.
            dtype: the layer's unless given.
            regularizer: a name, or a callable from the weight to a scalar added to the loss.
        """
        called = name or f"weight_{len(self._weights)}"
        if "/" in called or any(weight.name == called for weight in self._weights):
            raise ArgumentError(f"A weight's name is its layer's own, and without '/'; {called!r} was given.")
        if (
            not isinstance(shape, Sequence)
            or isinstance(shape, str | bytes)
            or any(isinstance(n, int | np.integer) and n < 0 for n in shape)
        ):
            raise ShapeError(f"The shape of the weight {called!r} is a tuple of sizes, not {shape!r}.")
        if any(not isinstance(size, int | np.integer) for size in shape):
            raise NotBuiltError(
                f"The weight {called!r} would have the shape {tuple(shape)}, of which a size is not known; "
                "give Input a fixed size there."
            )
        seed = current_seed()
        chosen = dtype_of(dtype) if dtype is not None else self.dtype
        path = _joined(current_path(), called)

        def initial() -> np.ndarray:
            rng = np.random.default_rng([seed, crc32(variable.path.encode())])
            try:
                return np.asarray(initializer(tuple(int(size) for size in shape), chosen, rng))
            except MemoryError:
                raise ArgumentError(
                    f"The weight {variable.path!r} of the shape {tuple(shape)} needs "
                    f"{np.prod(variable.shape, dtype=float) * chosen.bits / 8e9:.3g} GB, which is not to be had."
                ) from None
            except Exception as error:
                locate(error, variable.path)
                if isinstance(error, UnifrontError):
                    error.operation = ""  # it is not the fault of the operation that asks for the value
                raise

        variable = Variable(
            path, [int(s) for s in shape], chosen, initial=initial, trainable=trainable,
            regularizer=regularizer,
        )  # fmt: skip
        variable.owners = (self,)
        self._weights.append(variable)
        vars(self)["_nameless"] = variable if name is None else None
        return variable

    def declare(self, name: str, initializer: Any, regularizer: Any = None, constraint: Any = None) -> None:
        """Keep what a constructor was given for a weight as ``NAME_initializer`` …; see `add_declared`."""
        given = {"initializer": initializer, "regularizer": regularizer, "constraint": constraint}
        for what, value in given.items():
            setattr(self, f"{name}_{what}", value)

    def add_declared(
        self, name: str, shape: Sequence[int], *, called: str | None = None, trainable: bool = True
    ) -> Variable:
        """`add_weight` with what `declare` has kept for ``name``; the weight is ``called`` so if not the same."""
        return self.add_weight(
            shape, vars(self)[f"{name}_initializer"], name=called or name, trainable=trainable,
            regularizer=vars(self)[f"{name}_regularizer"],
        )  # fmt: skip

    @property
    def weights(self) -> list[Variable]:
        """Every weight of this layer and its children, once each."""
        found = {id(weight): weight for layer in self.layers_below() for weight in layer._weights}
        return list(found.values())

    @property
    def trainable_weights(self) -> list[Variable]:
        """The weights that optimizers change."""
        return [weight for weight in self.weights if self.trainable and is_trainable(weight)]

    @property
    def non_trainable_weights(self) -> list[Variable]:
        """The weights that optimizers leave alone: frozen ones and running statistics."""
        return [weight for weight in self.weights if not (self.trainable and is_trainable(weight))]

    def named_weights(self) -> list[tuple[str, Variable]]:
        """The weights of this layer without its children's, each with its path inside the layer."""
        return [(weight.name, weight) for weight in self._weights]

    def _made_weights(self) -> list[Variable]:
        """`weights`; `NotBuiltError` before they are made."""
        if not self.built and not self.weights:
            raise NotBuiltError(
                f"{self.name} is not built: it has no weights yet. Call it on data or on uf.Input(...), or "
                "call build(shape), to make them."
            )
        return self.weights

    def get_weights(self) -> list[np.ndarray]:
        """The values of `weights` as NumPy arrays in Keras's layout; `NotBuiltError` before they are made."""
        return [weight.numpy() for weight in self._made_weights()]

    def set_weights(self, values: Sequence[Any]) -> None:
        """Replace the values of `weights`, in their order; shapes must match.

        Raises `ArgumentError` for another number of values, `ShapeError` for one of another shape,
        `NotBuiltError` before the weights are made. Then no weight is changed.
        """
        weights = self._made_weights()
        if not isinstance(values, list | tuple):
            raise ArgumentError(f"{self.name}: values is a list of arrays, not {shown(values)}.")
        if len(values) != len(weights):
            raise ArgumentError(f"{self.name} has {len(weights)} weights; {len(values)} values were given.")
        checked = [weight.checked(value) for weight, value in zip(weights, values, strict=True)]
        for weight, value in zip(weights, checked, strict=True):
            weight.assign(value)

    def count_params(self) -> int:
        """The number of numbers in all weights; `NotBuiltError` before they are made."""
        return sum(int(np.prod(weight.shape)) for weight in self._made_weights())

    def update(self, variable: Variable, value: Any) -> None:
        """Give ``variable`` a new value as part of this call (running statistics)."""
        update(variable, value)

    def add_loss(self, loss: Any) -> None:
        """Add a scalar to the training loss of this call."""
        context = current_context()
        if context is not None:
            context.losses.append(loss)

    def random_key(self, seed: int | None = None) -> Any:
        """A fresh random key for this call; a ``seed`` (an int) gives a stream of its own."""
        if not isinstance(seed, int | np.integer | None):
            raise ArgumentError(f"{type(self).__name__}: a seed is an int or None, not {seed!r}.")
        key = (current_context() or CallContext()).random_key()
        if seed is None:
            return key
        return key.fold_in(seed) if isinstance(key, HostKey) else ops.fold_in(key, seed)

    # ------------------------------------------------------------ calling

    def build(self, *shapes: Any) -> None:
        """Make the weights, knowing the shapes of the tensors that `call` gets. Overridden where there are any.

        Runs once: before the first call, or by hand with None for free sizes, as ``layer.build((None, 4))``.
        """

    def call(self, *args: Any, **kwargs: Any) -> Any:
        """The computation. Overridden by every layer."""
        raise ArgumentError(f"{type(self).__name__} does not define call().")

    def compute_mask(self, inputs: Any, mask: Any) -> Any:
        """The mask of the output, given the mask of the input, which passes if ``supports_masking``."""
        if not self.supports_masking:
            return None
        return next((one for one in tree.leaves(mask) if one is not None), None)

    def __call__(self, *args: Any, training: bool | None = None, **kwargs: Any) -> Any:
        """Run the layer on native arrays, or add it to a graph or model; builds it at the first call.

        Args:
            args: tensors, or lists of them, as `call` takes them.
            training: whether dropout drops and batch norm learns; inherited from the call around, else False.
        """
        if "_children" not in self.__dict__:
            raise ArgumentError(f"{type(self).__name__}.__init__ does not call super().__init__().")
        given = [*args, *kwargs.values()]
        if any(isinstance(leaf, Symbolic) for leaf in tree.leaves(given)):
            extra = {} if training is None else {"training": training}
            return record(self, *args, **extra, **kwargs)
        outer = current_context()
        if outer is None:
            with call_context(CallContext(training=bool(training))) as context, backend_of_arrays(given):
                return self._run(context, args, kwargs)
        if training is None or training == outer.training:
            return self._run(outer, args, kwargs)
        before, outer.training = outer.training, training
        try:
            return self._run(outer, args, kwargs)
        finally:
            outer.training = before

    def _run(self, context: CallContext, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        with self._entered(context):
            masks = tree.map_leaves(context.mask_of, args[0]) if args else None
            takes = parameters(type(self).call)
            if "training" in takes:
                kwargs["training"] = context.training
            if "mask" in takes and kwargs.get("mask") is None:
                kwargs["mask"] = masks
            self._build_once(args, kwargs)
            args = tuple(self._cast(arg) for arg in args)
            kwargs = {key: self._cast(value) for key, value in kwargs.items()}
            result = self.call(*args, **kwargs)
            if self.activity_regularizer is not None:
                self._add_activity_losses(self.activity_regularizer, result)
            if args:
                mask = self.compute_mask(args[0], kwargs.get("mask", masks))
                if mask is not None:
                    context.set_mask(tree.leaves(result)[0], mask)
            self.output_types = tree.map_leaves(type_of, result)
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
        if self.built:
            return
        try:
            inspect.signature(self.call).bind(*args, **kwargs)
        except TypeError as error:
            signature = ", ".join(parameters(type(self).call)[1:])
            raise ArgumentError(f"{type(self).__name__}.call({signature}): {error}.") from None
        types = [type_of(leaf) for leaf in tree.leaves(args) if _is_tensor(leaf)]
        if self._dtype is None:
            self._dtype = next((type_.dtype for type_ in types if type_.dtype.is_float), None)
        shapes = [
            tree.map_leaves(lambda leaf: type_of(leaf).shape if _is_tensor(leaf) else None, arg)
            for arg in args
        ]
        self._build(shapes[: _shapes_taken(type(self).build)])

    def _build(self, shapes: Sequence[Any]) -> None:
        """Run `build` inside this layer's scope."""
        self._dtype = self.dtype
        self.children()  # names those that were appended to lists
        before = len(self._weights)
        self._is_building = True
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
            if _is_tensor(leaf) and type_of(leaf).dtype.is_float and type_of(leaf).dtype != self.dtype:
                return self._keep_mask(leaf, ops.cast(leaf, self.dtype))
            return leaf

        return tree.map_leaves(cast, arg) if type(self).autocast else arg

    @staticmethod
    def _keep_mask(before: Any, after: Any) -> Any:
        context = current_context()
        if context is not None and context.mask_of(before) is not None:
            context.set_mask(after, context.mask_of(before))
        return after

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.name!r}>"


def _layers_in(name: str, value: Any) -> Iterator[tuple[str, Layer]]:
    """Every layer in an attribute ``name``, also in lists, tuples and dicts, with what it is called there."""
    match value:
        case Layer():
            yield name, value
        case list() | tuple():
            for i, item in enumerate(value):
                yield from _layers_in(f"{name}_{i}", item)
        case dict():
            for key, item in value.items():
                yield from _layers_in(f"{name}_{key}", item)


def _joined(path: str, name: str) -> str:
    return f"{path}/{name}" if path else name


def _is_tensor(leaf: Any) -> bool:
    return hasattr(leaf, "shape") and hasattr(leaf, "dtype")


def _once(build: Callable[..., None]) -> Callable[..., None]:
    """A layer's ``build``, which may also be called by hand (Keras's layers build those inside them so)."""

    @wraps(build)
    def wrapped(layer: Layer, *shapes: Any, **named: Any) -> None:
        if named:  # as Keras's, build(input_shape=…)
            shapes = inspect.signature(build).bind(layer, *shapes, **named).args[1:]
        if layer._is_building:  # the layer's own call, or super().build
            build(layer, *shapes)
        elif not layer.built:
            with call_context(current_context() or CallContext()) as context, layer._entered(context):
                layer._build(shapes)

    return wrapped


@cache
def parameters(function: Callable[..., Any]) -> tuple[str, ...]:
    """The names of the parameters of a function, such as a layer class's ``call``."""
    return tuple(inspect.signature(function).parameters)


@cache
def _shapes_taken(build: Callable[..., Any]) -> int | None:
    """How many shapes a ``build`` takes; None for all there are."""
    kinds = [parameter.kind for parameter in inspect.signature(build).parameters.values()]
    return None if inspect.Parameter.VAR_POSITIONAL in kinds else len(kinds) - 1


def snake_case(name: str) -> str:
    """``Conv2D`` → ``conv2d``, ``GlobalMaxPooling1D`` → ``global_max_pooling1d`` (as Keras names layers)."""
    name = re.sub(r"(.)([A-Z][a-z0-9]+)", r"\1_\2", name)
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
