"""Layers → Graph: run a function of tensors once on traced tensors and keep what it did.

A `CallContext` is what the layers of one outermost call share: whether they train, where random keys come
from, the masks that travel beside tensors, and the losses that layers add.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field, replace
from threading import RLock
from typing import Any
from weakref import ref

import numpy as np

from unifront import ops, tree
from unifront.backends import HostKey, backend_of, placement
from unifront.errors import ArgumentError
from unifront.ir.graph import Graph
from unifront.ir.types import TensorType
from unifront.ir.verify import verify
from unifront.opset.seeds import current_rng as current_rng
from unifront.opset.seeds import drawn_seed, set_fresh_key
from unifront.opset.seeds import first_key as first_key
from unifront.opset.seeds import set_rng as set_rng
from unifront.opset.tensor import (
    Builder,
    Traced,
    active_builder,
    building,
    lift,
    outermost_builder,
)  # fmt: skip
from unifront.opset.tensor import update as update
from unifront.weights import Variable


@dataclass
class CallContext:
    """What the layers of one outermost call share.

    Args:
        training: whether layers train; None leaves that to each layer's own `call`.
    """

    training: bool | None = None
    key: Any = None
    draws: int = 0
    depth: int = 0
    losses: list[Any] = field(default_factory=list)
    masks: dict[int, tuple[Any, Any]] = field(default_factory=dict)
    recorder: Any = None
    kept: dict[Any, Any] = field(default_factory=dict)
    """What layers draw once for the whole call, by keys of their own."""

    def random_key(self, seed: int | None = None) -> Any:
        """A key that no other draw of this call has; a ``seed`` gives a stream of its own."""
        key = self.own_key()
        self.draws += 1
        builder = outermost_builder()
        if builder is not None and builder.arrays is not None:
            builder.draws = True
        for data in (self.draws,) if seed is None else (self.draws, seed):
            key = key.fold_in(data) if isinstance(key, HostKey) else ops.fold_in(key, data)
        return of_turn(key)

    def own_key(self) -> Any:
        """The key that all draws of this call come from. A graph for inference gets it as an input now."""
        if self.key is None:
            builder = outermost_builder()
            if builder is None or builder.arrays is not None:  # the numbers are drawn now
                with building(None):
                    self.key = first_key(_eager_key())
            else:
                with building(builder):  # not in the branch or loop that draws first: others draw of it too
                    self.key = first_key(builder.key_input())
        return self.key

    def mask_of(self, tensor: Any) -> Any:
        """The mask that travels with ``tensor``, or None."""
        found = self.masks.get(id(tensor))
        return carried_mask(tensor) if found is None else found[1]

    def set_mask(self, tensor: Any, mask: Any) -> None:
        self.masks[id(tensor)] = (tensor, mask)  # the tensor is kept, so that its id stays its own

    def hand_over(self, result: Any) -> None:
        """Let the masks of ``result`` travel on to the next call, by the arrays or tensors themselves."""
        if self.masks:
            for leaf in tree.leaves(result):
                mask = self.masks.get(id(leaf), (None, None))[1]
                if mask is not None and (isinstance(leaf, Traced) or backend_of(leaf) is not None):
                    _carry(leaf, mask)


def of_turn(key: Any) -> Any:
    """``key``; in the body of a loop that is traced one of its own for each turn, as where Python loops."""
    loops, builder = [], active_builder()
    while builder is not None:
        if builder.loops:
            loops.append(builder)
        builder = builder.outer
    for around in reversed(loops):
        key = ops.fold_in(key, around.turn())
    return key


_carried: dict[int, tuple[ref[Any], Any]] = {}


def carried_mask(array: Any) -> Any:
    """The mask that a native array has from the call that gave it, as Keras keeps it: ``array._keras_mask``."""
    held = _carried.get(id(array)) if _carried else None
    return held[1] if held is not None else getattr(array, "_keras_mask", None)


def _carry(array: Any, mask: Any) -> None:
    try:
        array._keras_mask = mask
    except AttributeError:  # an array without attributes (NumPy): kept beside it, as long as it lives
        own = id(array)
        _carried[own] = (ref(array, lambda _: _carried.pop(own, None)), mask)


MAKING = RLock()
"""Held by whoever makes what is made once and kept: weights, graphs, programs. One for all, so that nobody waits
in a circle; a thread that holds it may take it again."""

if hasattr(
    os, "register_at_fork"
):  # held while forking, so that in the new process nobody who is not there holds it
    os.register_at_fork(before=MAKING.acquire, after_in_parent=MAKING.release, after_in_child=MAKING.release)

_context: ContextVar[CallContext | None] = ContextVar("unifront_call", default=None)
_seed: list[int] = []
_eager_draws = [0]


def set_seed(seed: int) -> None:
    """Make initial weights, shuffling, dropout and what models draw repeatable: equal seeds give equal numbers.

    Args:
        seed: a non-negative int. It applies to layers built, to training begun and to predictions from now on.

    Raises `ArgumentError` for another seed.
    """
    if not isinstance(seed, int | np.integer) or isinstance(seed, bool) or seed < 0:
        raise ArgumentError(f"A seed is a non-negative int, not {seed!r}.")
    _seed[:] = [int(seed)]
    _eager_draws[:] = [0]


@contextmanager
def seeded(seed: int | None) -> Iterator[None]:
    """A block with a seed of its own; afterwards all is drawn as if it had not been. None: no such block."""
    if seed is None:
        yield
        return
    before = list(_seed), list(_eager_draws)
    set_seed(seed)
    try:
        yield
    finally:
        _seed[:], _eager_draws[:] = before


def current_seed() -> int:
    """The seed set by `set_seed`; else one drawn once from the operating system."""
    if not _seed:
        _seed.append(drawn_seed())
    return _seed[0]


def eager_seed() -> int:
    """The seed of one call that draws outside of training: another one each time, the same after `set_seed`."""
    _eager_draws[0] += 1
    return HostKey(current_seed()).fold_in(_eager_draws[0])


def rng_state() -> tuple[int, int]:
    """The seed, and how many calls outside of training have drawn since it was set; see `restore_rng`."""
    return current_seed(), _eager_draws[0]


def restore_rng(seed: int, draws: int) -> None:
    """Go on drawing as where `rng_state` was asked."""
    set_seed(seed)
    _eager_draws[:] = [draws]


def _eager_key() -> Any:
    """The key of a call outside of training; one that each run of a framework's own graph around it draws anew."""
    backend = placement().backend
    return backend.drawn_key(HostKey(eager_seed()))


set_fresh_key(lambda: (current_context() or CallContext()).random_key())


def current_context() -> CallContext | None:
    """The context of the call that is running, if one is."""
    return _context.get()


@contextmanager
def call_context(context: CallContext) -> Iterator[CallContext]:
    """Run a block inside ``context``."""
    token = _context.set(context)
    try:
        yield context
    finally:
        _context.reset(token)


@dataclass(frozen=True)
class Tracing:
    """A graph and the live variables behind it.

    Args:
        graph: inputs as named, then ``key`` when training or if the model draws; outputs, then the new values of
            ``updates``.
        variables: one for each of ``graph.variables``.
        updates: the variables whose new values are the last outputs (batch-norm statistics).
        structure: the function's result with output numbers as leaves.
    """

    graph: Graph
    variables: tuple[Variable, ...]
    updates: tuple[Variable, ...]
    structure: Any

    @property
    def output_count(self) -> int:
        """The number of outputs without the updates."""
        return len(self.graph.outputs) - len(self.updates)


def trace(
    function: Callable[..., Any],
    inputs: Mapping[str, TensorType],
    *,
    training: bool = False,
    name: str = "model",
    output_names: Callable[[Any], tuple[str, ...]] | None = None,
) -> Tracing:
    """Trace ``function(*tensors)`` on tensors of the types ``inputs``.

    Raises what the layers raise, with the layer's path before it.
    """
    builder = Builder(name)
    tensors = [builder.input(key, type_) for key, type_ in inputs.items()]
    key = first_key(builder.key_input()) if training else None
    with call_context(CallContext(training=training, key=key)), building(builder):
        result = function(*tensors)
    outputs = [lift(leaf, builder) for leaf in tree.leaves(result)]
    count = iter(range(len(outputs)))
    names = output_names(result) if output_names else tuple(f"output_{i}" for i in range(len(outputs)))
    return finish(builder, outputs, names, tree.map_leaves(lambda _: next(count), result))


def finish(builder: Builder, outputs: list[Traced], names: tuple[str, ...], structure: Any) -> Tracing:
    """The tracing of what ``builder`` has written, its variables' updates as last outputs."""
    updates = [variable for variable, _ in builder.updates.values()]
    values = [new for _, new in builder.updates.values()]
    variables = tuple(variable for variable, _ in builder.variables.values())
    paths = _unique([variable.path for variable in variables])
    path = dict(zip(map(id, variables), paths, strict=True))
    graph = builder.graph(
        [*outputs, *values], (*names, *(f"new {path[id(variable)]}" for variable in updates))
    )
    effective = tuple(
        replace(seen, name=name, trainable=is_trainable(variable))
        for seen, name, variable in zip(graph.variables, paths, variables, strict=True)
    )
    return Tracing(verify(replace(graph, variables=effective)), variables, tuple(updates), structure)


def _unique(paths: list[str]) -> list[str]:
    """``paths`` with numbers behind the later of equal ones: layers of several models may meet in a graph."""
    taken: dict[str, None] = {}
    for path in paths:
        number, name = 0, path
        while name in taken:
            number += 1
            name = f"{path}_{number}"
        taken[name] = None
    return list(taken)


def renamed(tracing: Tracing, paths: Mapping[int, str]) -> Tracing:
    """``tracing`` with its variables (and their updates) called by ``paths``, keyed by the variable's id."""

    called = _unique([paths.get(id(variable), variable.path) for variable in tracing.variables])
    names = dict(zip(map(id, tracing.variables), called, strict=True))

    def path(variable: Variable) -> str:
        return names[id(variable)]

    graph, count = tracing.graph, tracing.output_count
    pairs = zip(graph.variables, tracing.variables, strict=True)
    named = replace(
        graph,
        variables=tuple(replace(seen, name=path(variable)) for seen, variable in pairs),
        output_names=(
            *graph.output_names[:count],
            *(f"new {path(variable)}" for variable in tracing.updates),
        ),
    )
    return replace(tracing, graph=verify(named))


def is_trainable(variable: Variable) -> bool:
    """Whether optimizers change ``variable``: it is trainable, and so is every layer around it."""
    return variable.trains
