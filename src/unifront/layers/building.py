"""How a layer is built: `build` runs once, for the first shapes that the layer meets."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Sequence
from functools import cache, wraps
from typing import TYPE_CHECKING, Any

from unifront import tree
from unifront.arguments import part_of
from unifront.dtype_policies import DTypePolicy, dtype_policy
from unifront.dtypes import float64
from unifront.errors import ArgumentError, NotBuiltError, ShapeError
from unifront.ir.dims import is_dim
from unifront.ir.types import Shape
from unifront.layers.nesting import Nested
from unifront.opset.rules import axis_in, show
from unifront.opset.tensor import current_path, type_of
from unifront.trace import MAKING, CallContext, call_context, current_context


def once(build: Callable[..., None]) -> Callable[..., None]:
    """A layer's ``build``, which may also be called by hand (Keras's layers build those inside them so)."""

    @wraps(build)
    def wrapped(layer: Built, *shapes: Any, **named: Any) -> None:
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


def _is_list_of_sizes(shape: Any) -> bool:
    return isinstance(shape, list) and bool(shape) and all(one is None or is_dim(one) for one in shape)


@part_of("Layer")
class Built(Nested):
    """What a layer does to have its weights made."""

    path: str | None = None
    """Where the layer was built, ``encoder/dense``; None before that."""
    built_at_once = False
    """Whether a class, having no weights and no ``build``, is built when it is made, as Keras has it."""
    _is_building = False
    _policy: DTypePolicy | None

    if TYPE_CHECKING:

        def call(self, *args: Any, **kwargs: Any) -> Any: ...

    @once
    def build(self, *shapes: Any) -> None:
        """Make the weights, knowing the shapes of the tensors that `call` gets. Overridden where there are any.

        Runs once: before the first call, or by hand with None for free sizes, as ``layer.build((None, 4))``.
        """

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
        types = [type_of(leaf) for leaf in tree.leaves(args) if is_tensor(leaf)]
        if self._policy is None:
            first = next((type_.dtype for type_ in types if type_.dtype.is_float), None)
            if first is float64:  # whoever computes in it means it; 16 bits are asked for by a policy
                self._policy = DTypePolicy(first.name)
        shapes = [
            tree.map_leaves(lambda leaf: type_of(leaf).shape if is_tensor(leaf) else None, arg)
            for arg in args
        ]
        self._build(shapes[: _shapes_taken(type(self).build)])

    def _build(self, shapes: Sequence[Any]) -> None:
        """Run `build` inside this layer's scope."""
        self.path = self.path or current_path()
        self._policy = self._policy or dtype_policy()
        self.children()  # names those that were appended to lists
        before = list(self._weights)
        self._is_building = True
        vars(self)["_built_for"] = tuple(shapes)
        try:
            self.build(*shapes)
        except Exception:
            self._weights[:] = before  # so that it may be tried again
            raise
        finally:
            self._is_building = False
        self.built = True


@cache
def parameters(function: Callable[..., Any]) -> tuple[str, ...]:
    """The names of the parameters of a function, such as a layer class's ``call``."""
    return tuple(inspect.signature(function).parameters)


@cache
def _shapes_taken(build: Callable[..., Any]) -> int | None:
    """How many shapes a ``build`` takes; None for all there are."""
    kinds = [parameter.kind for parameter in inspect.signature(build).parameters.values()]
    return None if inspect.Parameter.VAR_POSITIONAL in kinds else len(kinds) - 1


def is_tensor(leaf: Any) -> bool:
    """Whether ``leaf`` has a shape and a dtype, as arrays and the tensors of a trace have."""
    return hasattr(leaf, "shape") and hasattr(leaf, "dtype")


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
