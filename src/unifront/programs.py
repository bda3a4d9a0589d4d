"""Programs that a framework's own autograd goes through: what `Layer.hybridize` and `uf.jit` run."""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from unifront import tree
from unifront.backends import Compiled, Placement, backend_of, placement
from unifront.dtypes import key as key_dtype
from unifront.errors import ArgumentError
from unifront.ir.dims import Dim, symbol
from unifront.ir.graph import Graph
from unifront.ir.layouts import RUN_ONCE
from unifront.ir.types import TensorType
from unifront.opset.tensor import (
    Builder,
    Tensor,
    Traced,
    active_builder,
    building,
    lift,
    native,
    outermost_builder,
    type_of,
    update,
)
from unifront.reference import simplified
from unifront.trace import MAKING, CallContext, call_context, finish, of_turn
from unifront.weights import Variable

if TYPE_CHECKING:
    from unifront.layers.layer import Layer


class Recordable:
    """A graph with its live variables, run on native arrays as if each operation were called by itself: gradients of
    the framework's own pass, and variables are read and updated as eager calls do it."""

    def __init__(self, graph: Graph, variables: Sequence[Variable], updates: Sequence[Variable]) -> None:
        self.graph, self.variables, self.updates = graph, tuple(variables), tuple(updates)
        self._compiled: dict[str, Compiled] = {}

    def __call__(self, place: Placement, device: str | None, inputs: Sequence[Any]) -> tuple[Any, ...]:
        """The results. ``device`` is where the weights are wanted; None takes them where they are."""
        compiled = self._compiled.get(str(place))
        if compiled is None:
            with MAKING:
                compiled = place.backend.recordable(self.graph, place.device)
                self._compiled[str(place)] = compiled
        values = [native(variable, place.backend, device) for variable in self.variables]
        outputs = compiled(inputs, values)
        count = len(outputs) - len(self.updates)
        for variable, value in zip(self.updates, outputs[count:], strict=True):
            update(variable, value)
        return outputs[:count]


@dataclass(frozen=True)
class At:
    """Stands for the array of this number among arguments."""

    number: int


@dataclass(frozen=True)
class Given:
    """The arguments of a call of a compiled function.

    Args:
        structure: the arguments, with `At` in place of arrays.
        arrays: those arrays.
        place: where the program runs.
        device: the arrays' own; None where they say none (JAX traces them).
    """

    structure: Any
    arrays: list[Any]
    place: Placement
    device: str | None

    @classmethod
    def of(cls, called: str, arguments: Any) -> Given:
        """The arguments of ``called``; `ArgumentError` where two frameworks meet."""
        arrays: list[Any] = []

        def number(leaf: Any) -> Any:
            if backend_of(leaf) is None:
                return leaf
            arrays.append(leaf)
            return At(len(arrays) - 1)

        structure = tree.map_leaves(number, arguments)
        first: dict[str, Any] = {}
        for array in arrays:
            backend = backend_of(array)
            if backend is not None and backend.name != "numpy":
                first.setdefault(backend.name, (backend, array))
        if len(first) > 1:
            raise ArgumentError(f"{called}: arrays of {' and '.join(sorted(first))} meet in one call.")
        for backend, array in first.values():
            device = backend.device_of(array)
            place = Placement(backend, device or backend.devices()[0], backend.name)
            return cls(structure, arrays, place, device)
        return cls(structure, arrays, placement(), placement().device)

    @property
    def types(self) -> tuple[TensorType, ...]:
        """The type of each array."""
        return tuple(map(type_of, self.arrays))

    def natives(self) -> list[Any]:
        """The arrays as the program's backend has them."""
        return [native(array, self.place.backend, self.device) for array in self.arrays]

    def filled(self, tensors: Sequence[Any]) -> Any:
        """The arguments with ``tensors`` for the arrays."""
        return tree.map_leaves(
            lambda leaf: tensors[leaf.number] if isinstance(leaf, At) else leaf, self.structure
        )


def frozen(structure: Any) -> Hashable:
    """``structure`` as a key: equal for what is traced alike. What is not hashable counts as the object it is."""
    match structure:
        case list() | tuple():
            return (type(structure).__name__, *map(frozen, structure))
        case dict():
            return ("dict", *((name, frozen(item)) for name, item in structure.items()))
    try:
        hash(structure)
    except TypeError:
        return ("object", id(structure))
    return (type(structure).__name__, structure)


@dataclass
class _Asking(CallContext):
    """The context of a call that is traced: its random keys become inputs, drawn anew by each call that is run."""

    asked: list[tuple[bool, int | None]] = field(default_factory=list)

    def random_key(self, seed: int | None = None) -> Any:
        return of_turn(self._ask(True, seed))

    def own_key(self) -> Any:
        if self.key is None:
            self.key = self._ask(False, None)
        return self.key

    def _ask(self, fresh: bool, seed: int | None) -> Traced:
        builder = outermost_builder()
        assert builder is not None  # this is the context of a trace
        self.asked.append((fresh, seed))
        return builder.input(f"key {len(self.asked)}", TensorType(key_dtype))


def _arrays_of_call(context: CallContext, arguments: Any) -> list[Any]:
    """The native arrays among the arguments of a call that is no part of a graph of ours; else none."""
    if active_builder() is not None or context.recorder is not None:
        return []
    leaves = [leaf for leaf in tree.leaves(arguments) if not isinstance(leaf, Variable)]
    if any(isinstance(leaf, Tensor) for leaf in leaves):
        return []
    return [leaf for leaf in leaves if backend_of(leaf) is not None]


def _are_open(arrays: Sequence[Any]) -> bool:
    return not all(isinstance(size, int) for one in arrays for size in type_of(one).shape)


def needs_graph(context: CallContext, arguments: Any, reads_values: bool) -> bool:
    """Whether a call is on arrays whose sizes are not known yet: of a function or a dataset that TensorFlow traces.

    One operation after the other cannot tell such sizes apart; a graph can, which is made for the call.

    Args:
        reads_values: whether the layer looks at values where there are some; then those must be known too.
    """
    arrays = _arrays_of_call(context, arguments)
    return _are_open(arrays) or (reads_values and any(map(is_awaited, arrays)))


def is_awaited(array: Any) -> bool:
    """Whether an array has no value yet, in a function or a dataset that its framework traces."""
    backend = backend_of(array)
    return backend is not None and backend.awaited(array) is not None


def _opened(types: Iterable[TensorType]) -> tuple[TensorType, ...]:
    """``types`` with a symbol for each size that is not known: the same one along axis 0, as of ``uf.Input``."""

    def size(number: int, axis: int, given: Dim) -> Dim:
        return given if isinstance(given, int) else symbol("batch" if not axis else f"size_{number}_{axis}")

    return tuple(
        type_.with_shape(tuple(size(number, axis, dim) for axis, dim in enumerate(type_.shape)))
        for number, type_ in enumerate(types)
    )


@dataclass(frozen=True, eq=False)
class _Hybrid:
    """One program of a hybridized layer.

    Args:
        run: inputs ``*arrays, *masks, *keys``; results ``*outputs, *masks, *losses``.
        asked: which keys it takes from the context of a call: a fresh one (of a seed), or the call's own.
        structure: what the layer gives, with numbers of results as leaves.
        masks: for each output with a mask, the numbers of both.
        losses: how many losses it adds.
        structure_given: the arguments, kept so that no other object gets the identity of one that is in a key.
    """

    run: Recordable
    asked: tuple[tuple[bool, int | None], ...]
    structure: Any
    masks: tuple[tuple[int, int], ...]
    losses: int
    structure_given: Any


@dataclass
class Hybrid:
    """The programs of one hybridized layer, one for each signature: types, masks, other arguments, training."""

    programs: dict[Hashable, _Hybrid] = field(default_factory=dict)
    layers: tuple[Layer, ...] = ()

    def takes(self, layer: Layer, context: CallContext, arguments: Any) -> bool:
        """Whether a call is compiled: on native arrays of known sizes, and not as part of a graph around it."""
        arrays = _arrays_of_call(context, arguments)
        return bool(arrays) and not _are_open(arrays)

    def __call__(self, layer: Layer, context: CallContext, args: tuple[Any, ...], kwargs: Any) -> Any:
        """The layer's call, as its program."""
        given = Given.of(layer.name, [list(args), dict(kwargs)])
        found = list(map(context.mask_of, given.arrays))
        masks = [mask for mask in found if mask is not None]
        masked = tuple(number for number, mask in enumerate(found) if mask is not None)
        types = (_opened(given.types), _opened(map(type_of, masks)))
        training = context.training
        if training is None and not any(one.trains_untold() for one in self.layers or layer.layers_below()):
            training = False
        own_key = (frozen(given.structure), types, masked, training, str(given.place))
        program = self.programs.get((own_key, self._trained()))
        if program is None:
            with MAKING:
                program = self.programs.get(
                    (own_key, self._trained())
                )  # by another thread, while this one waited
                if program is None:
                    program = self._trace(layer, context, given, types, masked)
                    self.layers = tuple(layer.layers_below())
                    self.programs[own_key, self._trained()] = program
        backend, device = given.place.backend, given.device
        keys = [context.random_key(seed) if fresh else context.own_key() for fresh, seed in program.asked]
        own = [native(one, backend, device) for one in (*masks, *keys)]
        results = program.run(given.place, device, [*given.natives(), *own])
        for output, mask in program.masks:
            context.set_mask(results[output], results[mask])
        if program.losses:
            context.losses.extend(results[-program.losses :])
        return tree.map_leaves(
            lambda leaf: results[leaf.number] if isinstance(leaf, At) else leaf, program.structure
        )

    def _trained(self) -> tuple[Any, ...]:
        """Which of the layers are not frozen: those that are compute otherwise, such as batch norm; and what they hold
        as constants."""
        return tuple([(one.trainable, one.traced_state()) for one in self.layers])

    def _trace(
        self, layer: Layer, context: CallContext, given: Given, types: Any, masked: tuple[int, ...]
    ) -> _Hybrid:
        builder = Builder(layer.name)
        tensors = [builder.input(f"argument {i}", type_) for i, type_ in enumerate(types[0])]
        asking = _Asking(training=context.training, depth=context.depth)
        for number, type_ in zip(masked, types[1], strict=True):
            asking.set_mask(tensors[number], builder.input(f"mask {number}", type_))
        args, kwargs = given.filled(tensors)
        with building(builder), call_context(asking):
            result = layer.run_now(asking, tuple(args), kwargs)
        outputs: list[Traced] = []

        def put(value: Any) -> int:
            outputs.append(lift(value, builder))
            return len(outputs) - 1

        structure = tree.map_leaves(
            lambda leaf: At(put(leaf)) if isinstance(leaf, Traced | Variable) else leaf, result
        )
        leaves = [leaf for leaf in tree.leaves(result) if isinstance(leaf, Traced | Variable)]
        masks = [(number, asking.mask_of(leaf)) for number, leaf in enumerate(leaves)]
        places = tuple((number, put(mask)) for number, mask in masks if mask is not None)
        for loss in asking.losses:
            put(loss)
        names = tuple(f"output_{i}" for i in range(len(outputs)))
        traced = finish(builder, outputs, names, None)
        run = Recordable(tidied(traced.graph), traced.variables, traced.updates)
        return _Hybrid(run, tuple(asking.asked), structure, places, len(asking.losses), given.structure)

    def __getstate__(self) -> dict[str, Any]:
        """What copies and pickles: that the layer is hybridized; programs are made anew."""
        return {"programs": {}, "layers": ()}

    def __deepcopy__(self, memo: Any) -> Hybrid:
        return Hybrid()


def tidied(graph: Graph) -> Graph:
    """``graph`` after the standard passes, and every body that it differentiates or computes again too."""
    nodes = tuple(
        replace(node, regions=tuple(map(tidied, node.regions))) if node.op.name in RUN_ONCE else node
        for node in graph.nodes
    )
    return simplified(replace(graph, nodes=nodes))
