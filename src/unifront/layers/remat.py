"""Layers whose inner values are computed again for the gradient: `RematScope`, as ``keras.RematScope``."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar, Token
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Self

from unifront import tree
from unifront.errors import ArgumentError
from unifront.ir.types import TensorType
from unifront.opset.remat import remat, traced_remat
from unifront.opset.tensor import Builder, is_tensor
from unifront.weights import Variable

if TYPE_CHECKING:
    from unifront.trace import CallContext

MODES = ("full", "activations", "larger_than", "list_of_layers", None)


@dataclass(frozen=True)
class RematMode:
    """What a `RematScope` says of the layers made in it."""

    mode: str | None
    output_size_threshold: int
    layer_names: tuple[str, ...]


class RematScope:
    """A block in which layers are made whose inner values are computed again for the gradient, rather than kept.

    Args:
        mode: which of them: all (``"full"``); of each the ``activation`` alone (``"activations"``); those that give
            more than ``output_size_threshold`` numbers, free sizes counted as 1 (``"larger_than"``); those called by
            one of ``layer_names`` (``"list_of_layers"``); or none (None).
        output_size_threshold: see ``mode``.
        layer_names: see ``mode``.

    It shows where layers train. On native arrays such a layer runs as a program, as if it were hybridized. Blocks of
    a model by pattern, or as many as a budget asks for: ``model.compile(remat=…)``. Source: ``keras.RematScope``.

    Raises `ArgumentError` for another mode.

    Example::

        with uf.RematScope("full"):
            hidden = layers.Dense(512, activation="relu")
    """

    def __init__(
        self,
        mode: str | None = "full",
        output_size_threshold: int = 1024,
        layer_names: Sequence[str] | None = None,
    ) -> None:
        if mode not in MODES:
            raise ArgumentError(f"Invalid mode {mode!r}. It is {', '.join(map(repr, MODES[:-1]))} or None.")
        self.mode, self.output_size_threshold = mode, output_size_threshold
        self.layer_names = list(layer_names or ())
        self._tokens: list[Token[RematMode | None]] = []

    def __enter__(self) -> Self:
        told = RematMode(self.mode, self.output_size_threshold, tuple(self.layer_names))
        self._tokens.append(_scope.set(told))
        return self

    def __exit__(self, *_: object) -> None:
        _scope.reset(self._tokens.pop())


_scope: ContextVar[RematMode | None] = ContextVar("unifront_remat", default=None)


def get_current_remat_mode() -> RematMode | None:
    """What the scope around says of layers made now; None outside of any."""
    return _scope.get()


def applies(layer: Any, mode: RematMode) -> bool:
    """Whether something of ``layer`` is computed again."""
    if mode.mode == "activations":
        return callable(getattr(layer, "activation", None))
    return mode.mode in ("full", "larger_than") or (
        mode.mode == "list_of_layers" and layer.name in mode.layer_names
    )


def rematerialized(
    layer: Any, mode: RematMode, context: CallContext, builder: Builder, args: Sequence[Any], kwargs: Any
) -> Any:
    """The call of ``layer`` in the graph that ``builder`` writes."""
    if mode.mode == "activations":
        with _activation_of(layer):
            return layer.in_its_terms(args, kwargs)
    leaves = tree.leaves([list(args), kwargs])
    tensors = [leaf for leaf in leaves if is_tensor(leaf) and not isinstance(leaf, Variable)]
    masks = {i: mask for i, one in enumerate(tensors) if (mask := context.mask_of(one)) is not None}

    def call(*given: Any) -> Any:
        inside = given[: len(tensors)]
        for i, mask in zip(masks, given[len(tensors) :], strict=True):
            context.set_mask(inside[i], mask)
        left = iter(inside)
        args_, kwargs_ = tree.map_leaves(
            lambda leaf: next(left) if any(leaf is one for one in tensors) else leaf, [list(args), kwargs]
        )
        before = len(context.losses)
        result = layer.in_its_terms(args_, kwargs_)
        losses = context.losses[before:]
        del context.losses[before:]
        return result, [context.mask_of(leaf) for leaf in tree.leaves(result)], losses

    def keep(types: list[TensorType]) -> bool:
        if mode.mode != "larger_than":
            return True
        sizes = (size if isinstance(size, int) else 1 for size in types[0].shape)
        return math.prod(sizes) > mode.output_size_threshold

    result, own, losses = traced_remat(call, [*tensors, *masks.values()], builder, keep)
    for leaf, mask in zip(tree.leaves(result), own, strict=True):
        if mask is not None:
            context.set_mask(leaf, mask)
    context.losses.extend(losses)
    return result


@contextmanager
def _activation_of(layer: Any) -> Iterator[None]:
    """A block in which the activation of ``layer`` is computed again for the gradient."""
    own: Callable[..., Any] = layer.activation
    vars(layer)["activation"] = remat(own)
    try:
        yield
    finally:
        vars(layer)["activation"] = own
