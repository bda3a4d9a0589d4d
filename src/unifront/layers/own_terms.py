"""Functions in a framework's own terms, ``torch.relu(x)`` in the `call` of a layer: one operation of the graph.

What has called a framework on symbolic tensors is called again on arrays of that framework, zeros of two sizes, which
tell the types of its results and which weights it reads and updates. From then on it is an operation that this
framework's backend runs, differentiates and compiles as it is, and no other backend has.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from types import CodeType, ModuleType
from typing import Any

import numpy as np

from unifront import tree
from unifront.backends import added_rows, default_name, is_installed, placement, use_backend
from unifront.errors import DTypeError, ShapeError, UnsupportedOp
from unifront.ir import facts
from unifront.ir.dims import Dim, evaluate
from unifront.ir.types import TensorType
from unifront.opset.protocols import PACKAGES, framework_called
from unifront.opset.spec import OpSpec
from unifront.opset.tensor import (
    Builder,
    Traced,
    bind,
    builder_for,
    building,
    native,
    type_of,
    update,
)
from unifront.programs import At
from unifront.trace import CallContext, call_context, current_context
from unifront.weights import Overlay, Variable, overlaid

PROBES = (3, 5)
"""Two values that free sizes are tried with: a result's size that is the same for both is fixed, else it is a free
one's."""


def frameworks_named(function: Callable[..., Any]) -> set[str]:
    """The frameworks whose modules a function of the user's names, as ``torch`` in ``torch.no_grad()``."""
    plain = inspect.unwrap(getattr(function, "__func__", function))
    if not inspect.isfunction(plain) or str(plain.__module__).startswith("unifront."):
        return set()
    names = {name for code in _codes(plain.__code__) for name in code.co_names}
    modules = (plain.__globals__.get(name) for name in names)
    packages = {one.__name__.partition(".")[0] for one in modules if isinstance(one, ModuleType)}
    return {PACKAGES[one] for one in packages if one in PACKAGES}


def _codes(code: CodeType) -> Iterator[CodeType]:
    yield code
    for one in code.co_consts:
        if isinstance(one, CodeType):
            yield from _codes(one)


def types_by_trying(
    called: str, types: Sequence[TensorType], results: Callable[[Sequence[TensorType]], Sequence[TensorType]]
) -> tuple[TensorType, ...]:
    """The types that ``results`` gives for ``types``, of which it takes those of fixed sizes only."""
    free = sorted({symbol for type_ in types for dim in type_.shape for symbol in _symbols(dim)})
    sizes = [{symbol: probe + 2 * i for i, symbol in enumerate(free)} for probe in PROBES]
    tried = [
        results([type_.with_shape(tuple(evaluate(dim, at) for dim in type_.shape)) for type_ in types])
        for at in (sizes if free else sizes[:1])
    ]
    known = {tuple(evaluate(dim, at) for at in sizes): dim for t in types for dim in t.shape if _symbols(dim)}

    def dim(first: Any, second: Any) -> Dim:
        if first == second:
            return first
        if (first, second) not in known:
            raise ShapeError(
                f"{called}: how a size of its result follows from a free one of its input is not known ({first} and "
                f"{second} were tried out). Give the input fixed sizes."
            )
        return known[first, second]

    return tuple(
        one.with_shape(tuple(map(dim, one.shape, other.shape)))
        for one, other in zip(tried[0], tried[-1], strict=True)
    )


def _symbols(dim: Dim) -> frozenset[str]:
    return frozenset() if isinstance(dim, int) else dim.symbols()


@dataclass(eq=False)
class OwnTerms:
    """A call of ``function`` on arrays of ``framework``.

    Args:
        called: what errors call it.
        structure: args and kwargs, with `At` in place of tensors.
        training: whether layers train.
        candidates: gives the variables that it may read.
    """

    called: str
    framework: str
    function: Callable[..., Any]
    structure: Any
    training: bool | None
    candidates: Callable[[], Sequence[Variable]]
    variables: tuple[Variable, ...] = ()
    updated: tuple[Variable, ...] = ()
    results: Any = None
    losses: int = 0
    draws: bool = False
    reads_others: bool = False
    """Whether it reads variables that are no candidates, which no gradient would reach."""
    _tried: dict[tuple[TensorType, ...], tuple[TensorType, ...]] = field(default_factory=dict)

    def types(self, given: Sequence[TensorType]) -> tuple[TensorType, ...]:
        """The types of ``(*results, *losses, *updated)`` where the tensors are of the types ``given``."""
        key = tuple(given)
        if key not in self._tried:
            self._tried[key] = types_by_trying(self.called, key, self._try)
        return self._tried[key]

    def _try(self, types: Sequence[TensorType]) -> list[TensorType]:
        place = placement(self.framework)
        shapes: list[Any] = [one.shape for one in types]  # fixed
        zeros = [
            place.backend.array(np.zeros(shape, one.dtype.numpy), place.device)
            for shape, one in zip(shapes, types, strict=True)
        ]
        overlay, context = Overlay(), CallContext(training=self.training)
        found = self._run(zeros, overlay, context)
        if not self._tried:
            self.draws = context.key is not None
            self.updated = tuple(variable for variable, _ in overlay.updates.values())
            seen = overlay.used | overlay.updates.keys()
            self.variables = tuple(one for one in self.candidates() if id(one) in seen)
            self.reads_others = len(self.variables) < len(seen)
        return [type_of(one) for one in (*found, *(overlay.values[id(one)] for one in self.updated))]

    def _run(self, arrays: Sequence[Any], overlay: Overlay, context: CallContext) -> list[Any]:
        """The results and losses of a call on native arrays."""
        args, kwargs = tree.map_leaves(
            lambda leaf: arrays[leaf.number] if isinstance(leaf, At) else leaf, self.structure
        )
        found: list[Any] = []

        def place_of(leaf: Any) -> Any:
            if leaf is not None:
                found.append(leaf)
                return len(found) - 1
            return None

        with building(None), use_backend(self.framework), overlaid(overlay), call_context(context):
            self.results = tree.map_leaves(place_of, self.function(*args, **kwargs))
            self.losses = len(context.losses)
            backend = placement().backend
            return [native(one, backend) for one in (*found, *context.losses)]

    def row(self, *operands: Any, inputs: int) -> Any:
        """The operation on native arrays: ``(*inputs[, key], *variables) -> (*results, *losses, *updated)``."""
        values = operands[inputs + self.draws :]
        overlay = Overlay(dict(zip(map(id, self.variables), values, strict=True)))
        context = CallContext(training=self.training, key=operands[inputs] if self.draws else None)
        found = self._run(operands[:inputs], overlay, context)
        found += [overlay.values[id(variable)] for variable in self.updated]
        return tuple(found) if len(found) > 1 else found[0]


def _elsewhere(*operands: Any, call: OwnTerms, **attributes: Any) -> Any:
    raise UnsupportedOp(
        f"{call.called} calls {call.framework} itself: it runs on the backend {call.framework!r} only, and cannot be "
        "saved as a graph, exported, or lowered to another backend. What is written in uf.ops runs everywhere."
    )


@cache
def _operation(framework: str) -> OpSpec:
    op = OpSpec(
        f"{framework}_call",
        rule=lambda *types, call, inputs: call.types(types[:inputs]),
        reference=_elsewhere,
        samples=lambda rng: (),
        source=f"a function of the user's, in terms of {framework}",
        attributes={"call": OwnTerms, "inputs": int},
        decomposition=_elsewhere,
        variadic=True,
        facts=facts.opaque("float32"),
    )
    added_rows(framework)[op] = lambda *operands, call, inputs: call.row(*operands, inputs=inputs)
    return op


def called_in_its_terms(
    called: str, function: Callable[..., Any], args: Sequence[Any], kwargs: Mapping[str, Any],
    candidates: Callable[[], Sequence[Variable]] = tuple, written: Callable[..., Any] | None = None,
) -> Any:  # fmt: skip
    """``function(*args, **kwargs)``, by operations; where it calls a framework on symbolic tensors, as one `OwnTerms`.

    Args:
        called: what errors call it.
        candidates: gives the variables that it may read, when it has been called.
        written: the function of the user's that it runs, if it is another one.
    """
    leaves = tree.leaves([args, kwargs])
    builder = builder_for(leaves)
    if builder is None:
        return function(*args, **kwargs)
    context = current_context() or CallContext()
    undo = _undoing(builder, context)
    try:
        return function(*args, **kwargs)
    except (ShapeError, DTypeError):
        raise
    except Exception as error:
        framework = _framework(written or function, error)
        if framework is None or not is_installed(framework):
            raise
        undo()
        failed = error
    arrays: list[Any] = []

    def number(leaf: Any) -> Any:
        if not isinstance(leaf, Traced):
            return leaf
        arrays.append(leaf)
        return At(len(arrays) - 1)

    structure = tree.map_leaves(number, (tuple(args), dict(kwargs)))
    call = OwnTerms(called, framework, function, structure, context.training, candidates)
    call.types([type_of(one) for one in arrays])
    if call.reads_others:
        raise failed
    key = [context.random_key()] if call.draws else []
    made = bind(_operation(call.framework), *arrays, *key, *call.variables, call=call, inputs=len(arrays))
    found = list(made) if isinstance(made, tuple) else [made]
    count = len(found) - len(call.updated)
    for variable, value in zip(call.updated, found[count:], strict=True):
        update(variable, value)
    context.losses.extend(found[count - call.losses : count])
    return tree.map_leaves(lambda leaf: found[leaf] if type(leaf) is int else leaf, call.results)


def _framework(function: Callable[..., Any], error: BaseException) -> str | None:
    """In whose terms ``function`` is written, which raised ``error`` on symbolic tensors: of the framework that was
    called in vain, else of the one that it names; of several, of the default one."""
    called = framework_called(error)
    if called is not None:
        return None if called == "numpy" else called
    named, default = frameworks_named(function), default_name().partition(":")[0]
    return default if default in named else named.pop() if len(named) == 1 else None


def _undoing(builder: Builder, context: CallContext) -> Callable[[], None]:
    """What takes back all that a call which failed has left, but for nodes that nothing reads."""
    around: list[Builder] = [builder]
    while around[-1].outer is not None:
        around.append(around[-1].outer)
    updates = [dict(one.updates) for one in around]
    losses, draws, recorder = len(context.losses), context.draws, context.recorder
    calls = (len(recorder.calls), len(recorder.open)) if recorder else (0, 0)

    def undo() -> None:
        for one, before in zip(around, updates, strict=True):
            one.updates.clear()
            one.updates.update(before)
        del context.losses[losses:]
        context.draws = draws
        if recorder:
            del recorder.calls[calls[0] :], recorder.open[calls[1] :]

    return undo
