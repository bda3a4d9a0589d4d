"""The functional API: the calls noted between inputs and outputs, replayed; the layers among them."""

from __future__ import annotations

import itertools
import warnings
from collections.abc import Callable, Container, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Any

from unifront import ops, tree
from unifront.errors import ArgumentError, DataError, ShapeError, UnknownName
from unifront.ir.dims import Dim, DimExpr, symbol
from unifront.ir.types import Shape, TensorType
from unifront.layers.input import BATCH, Input, InputTensor
from unifront.layers.layer import Layer
from unifront.layers.nesting import snake_case
from unifront.opset.regions import refilled
from unifront.opset.tensor import Call, Symbolic, Tensor, type_of


def _origin(tensor: Symbolic) -> tuple[int, int]:
    """What a symbolic tensor is known by: an input by itself, another by the call that gave it and its place there."""
    return (id(tensor), 0) if tensor.call is None else (id(tensor.call), tensor.index)


def numbered(structure: Any) -> Any:
    """The same structure with the leaves numbered 0, 1, 2 …"""
    count = itertools.count()
    return tree.map_leaves(lambda _: next(count), structure)


def calls_below(outputs: Sequence[Symbolic], inputs: Sequence[Symbolic]) -> Iterator[Call]:
    """The calls that lead from the inputs to the outputs, each after those it needs; no recursion."""
    done: set[int] = set()
    given = set(map(_origin, inputs))
    stack: list[tuple[Call, bool]] = []

    def push(tensor: Symbolic) -> None:
        if _origin(tensor) in given:
            return
        if tensor.call is None:
            raise ArgumentError(
                f"An output depends on the Input {tensor.name or tensor!r}, which is not among the model's inputs."
            )
        if id(tensor.call) not in done:
            stack.append((tensor.call, False))

    for output in outputs:
        push(output)
        while stack:
            call, ready = stack.pop()
            if id(call) in done:
                continue
            if ready:
                done.add(id(call))
                yield call
                continue
            stack.append((call, True))
            for leaf in reversed(tree.leaves([call.args, dict(call.kwargs)])):
                if isinstance(leaf, Symbolic):
                    push(leaf)


@dataclass(frozen=True)
class Place:
    """A tensor in a list of calls: the ``index``-th result of the call ``number``."""

    number: int
    index: int
    type: TensorType
    name: str


Listed = tuple[list[tuple[Any, Any, Any]], Any]


def listed(calls: Sequence[Call], tensors: Any) -> Listed:
    """The calls, each after those it needs, and a structure of their tensors, without references from one to
    another: to copy or pickle, which would follow them as deep as the model is."""
    numbers = {id(call): number for number, call in enumerate(calls)}

    def place(leaf: Any) -> Any:
        if not isinstance(leaf, Symbolic) or leaf.call is None:
            return leaf
        return Place(numbers[id(leaf.call)], leaf.index, leaf.type, leaf.name)

    flat = [
        (call.function, tree.map_leaves(place, call.args), tree.map_leaves(place, dict(call.kwargs)))
        for call in calls
    ]
    return flat, tree.map_leaves(place, tensors)


def unlisted(given: Listed) -> tuple[list[Call], Any]:
    """The calls and tensors that `listed` was given."""
    calls: list[Call] = []
    known: dict[tuple[int, int], Symbolic] = {}

    def tensor(leaf: Any) -> Any:
        if not isinstance(leaf, Place):
            return leaf
        place = (leaf.number, leaf.index)
        if place not in known:
            known[place] = Symbolic(leaf.type, leaf.name, calls[leaf.number], leaf.index)
        return known[place]

    flat, tensors = given
    for function, args, kwargs in flat:
        calls.append(Call(function, tree.map_leaves(tensor, args), tree.map_leaves(tensor, kwargs)))
    return calls, tree.map_leaves(tensor, tensors)


def check_ends(model: str, inputs: Sequence[Any], outputs: Sequence[Any]) -> None:
    """Raise `ArgumentError` for what cannot be the inputs and outputs of the model called ``model``."""
    if not inputs or not outputs:
        raise ArgumentError(f"The model {model!r} needs inputs and outputs, at least one of each.")
    for leaf in inputs:
        if not isinstance(leaf, Symbolic):
            raise ArgumentError(
                f"The inputs of a Model are uf.Input tensors, or outputs of layers; not {leaf!r}."
            )
    if len({id(leaf) for leaf in inputs}) < len(inputs):
        raise ArgumentError(f"An Input is twice among the inputs of the model {model!r}.")
    for leaf in outputs:
        if not isinstance(leaf, Symbolic):
            raise ArgumentError(
                f"The outputs of a Model are computed from its inputs by layers; not {leaf!r}."
            )


def name_apart(around: Layer, layers: Sequence[Layer]) -> None:
    """Give ``layers`` without a name, or with that of an attribute of ``around``, one that no other in it has;
    `ArgumentError` for one given twice."""
    own = {id(layer): layer for layer in around.children()}
    new = [layer for layer in layers if around._children.get(layer._name or "") is not layer]
    moving = {id(layer) for layer in new}
    taken = {layer._name for key, layer in own.items() if key not in moving}

    def is_open(layer: Layer) -> bool:
        return layer._name is None or (layer._named_by_place and id(layer) in own)

    for layer in sorted(new, key=is_open):  # names that stand are taken first
        if is_open(layer):
            base = snake_case(type(layer).__name__)
            candidates = itertools.chain([base], (f"{base}_{number}" for number in itertools.count(1)))
            layer._name = next(one for one in candidates if one not in taken)
            layer._named_by_place = False
        elif layer._name in taken:
            raise ArgumentError(
                f"Two layers of the model {around.name!r} are called {layer._name!r}; give one another name=: "
                "layers of a model should have unique names."
            )
        taken.add(layer._name)


def named_types(
    inputs: Sequence[InputTensor], keys: Sequence[str] = (), taken: Container[str] = ()
) -> dict[str, TensorType]:
    """The name and type of each input; unnamed ones are called as in ``keys``, or ``input``, and numbered where another
    input, or a layer in ``taken``, is called so.

    Raises `ArgumentError` where that is a name that was given.
    """
    types: dict[str, TensorType] = {}
    for i, leaf in enumerate(inputs):
        base = name = leaf.name or (keys[i] if keys else "input")
        number = 0
        while name in types or name in taken:
            if leaf.name:
                both = "Two inputs" if name in types else "An input and a layer"
                raise ArgumentError(f"{both} are called {name!r}; give one another name=.")
            number += 1
            name = f"{base}_{number}"
        types[name] = leaf.type_as(name)
    return types


def flatten_like(given: Any, structure: Any, names: Sequence[str] = ()) -> list[Any]:
    """The leaves of ``given`` in the order of ``structure``; dicts are matched by key, else by the ``names`` of the
    inputs, lists inside by place.

    Entries of a dict that the structure has not are passed over, with a warning, as in Keras. Raises `DataError` for
    missing ones.
    """
    if isinstance(given, Mapping) and _goes_by_names(given, structure, names):
        return _values(given, names)
    if isinstance(given, Mapping) and isinstance(structure, dict):
        pairs = zip(_values(given, list(structure)), structure.values(), strict=True)
    elif are_lists(given, structure) and any(map(tree.is_nested, structure)):
        pairs = zip(given, structure, strict=True)
    else:
        check_is_dict(given, structure)
        return tree.leaves(given)
    return [
        leaf for own, part in pairs for leaf in (flatten_like(own, part) if tree.is_nested(part) else [own])
    ]


def are_lists(given: Any, structure: Any) -> bool:
    """Whether both are lists or tuples of one length."""
    return all(isinstance(one, list | tuple) for one in (given, structure)) and len(given) == len(structure)


def _goes_by_names(given: Mapping[Any, Any], structure: Any, names: Sequence[str]) -> bool:
    """Whether a dict has the names of the inputs, where their structure has no keys, or others that are not in it."""
    if not isinstance(structure, dict):
        return bool(names)
    return bool(names) and set(names) <= given.keys() and not structure.keys() <= given.keys()


def _values(given: Mapping[Any, Any], keys: Sequence[Any]) -> list[Any]:
    missing, extra = [key for key in keys if key not in given], [key for key in given if key not in keys]
    if missing:
        raise DataError(f"The inputs are a dict with the keys {sorted(keys)}; given were {sorted(given)}.")
    if extra and not any(isinstance(leaf, Tensor) for leaf in tree.leaves(given)):  # data has it, no graph
        warn_of_extra(keys, extra)
    return [given[key] for key in keys]


def check_is_dict(given: Any, structure: Any) -> None:
    """Warn where a model takes a dict of inputs and gets none, which is taken in the dict's order; raise `DataError`
    where that is not the order of the keys, by which Keras goes."""
    if not isinstance(structure, dict) or isinstance(given, Mapping):
        return
    text = (
        f"The structure of `inputs` doesn't match the expected structure: a dict with "
        f"{', '.join(map(repr, structure))}; given was a {type(given).__name__}"
    )
    if list(structure) != sorted(structure):
        raise DataError(f"{text}. Give a dict: the keys are not in their order, so a list may mean either.")
    if not any(isinstance(leaf, Tensor) for leaf in tree.leaves(given)):
        warnings.warn(f"{text}, which is taken in the order of the keys.", stacklevel=2)


def warn_of_extra(keys: Sequence[Any], extra: Sequence[Any]) -> None:
    """Warn of entries of data that a model does not take."""
    warnings.warn(
        "The structure of `inputs` doesn't match the expected structure: a dict with "
        f"{', '.join(map(repr, keys))}; not used are {', '.join(map(repr, extra))}.",
        stacklevel=2,
    )


def standardized(tensor: Any, type_: TensorType) -> Any:
    """``tensor`` as Keras gives it to an input: of its dtype, a last axis of size one added or left out."""
    given = type_of(tensor)
    if given.rank == type_.rank + 1 and given.shape[-1] == 1:
        tensor = ops.squeeze(tensor, -1)
    elif given.rank + 1 == type_.rank and type_.shape[-1] == 1:
        tensor = ops.expand_dims(tensor, -1)
    return tensor if given.dtype == type_.dtype else ops.cast(tensor, type_.dtype)


def replay(
    calls: Sequence[Call], wanted: Sequence[Symbolic], given: Sequence[Any],
    input_types: Mapping[str, TensorType], outputs: Any, instead: Callable[[Any], Any] = lambda function: function,
) -> Any:  # fmt: skip
    """Make ``calls`` again with ``given`` in the place of the inputs ``wanted``; gives what ``outputs`` are then.

    ``instead`` gives what is called in the place of a layer or function.

    Raises `ArgumentError` for another number of tensors, `ShapeError` for one that does not fit.
    """
    if len(given) != len(wanted):
        raise ArgumentError(f"The model takes {len(wanted)} inputs; {len(given)} were given.")
    pairs = list(zip(wanted, given, strict=True))
    known: dict[tuple[int, int], Any] = {_origin(leaf): value for leaf, value in pairs}
    for (name, type_), (leaf, array) in zip(input_types.items(), pairs, strict=True):
        if array is None:
            if not getattr(leaf, "optional", False):
                raise ArgumentError(
                    f"The input {name!r} is not optional, but None was given. Give a tensor, or make the input with "
                    "uf.Input(..., optional=True)."
                )
        elif not fits(type_.shape, type_of(array).shape):
            raise ShapeError(f"The input {name!r} is {type_}; {type_of(array)} was given.")
    size_of = _sizes(pairs)

    def value(leaf: Any) -> Any:
        if isinstance(leaf, DimExpr):  # an argument made of an input's shape
            return size_of(leaf)
        return known[_origin(leaf)] if isinstance(leaf, Symbolic) else leaf

    for call in calls:
        result = instead(call.function)(
            *tree.map_leaves(value, call.args), **tree.map_leaves(value, dict(call.kwargs))
        )
        for index, leaf in enumerate(tree.leaves(result)):
            known[id(call), index] = leaf
    return tree.map_leaves(value, outputs)


def fits(wanted: Shape, given: Shape) -> bool:
    """Whether the shapes are equal but for free sizes."""
    pairs = zip(wanted, given, strict=False)
    return len(wanted) == len(given) and not any(
        isinstance(a, int) and isinstance(b, int) and a != b for a, b in pairs
    )


def _sizes(pairs: Iterable[tuple[Symbolic, Any]]) -> Callable[[DimExpr], Dim]:
    """How a size in a graph is counted where others stand for some of its tensors."""
    whole: dict[DimExpr, Dim] = {}
    for leaf, value in pairs:
        if value is not None:
            both = zip(leaf.shape, type_of(value).shape, strict=False)
            whole.update((dim, size) for dim, size in both if isinstance(dim, DimExpr))
    atoms = {dim.atom: size for dim, size in whole.items() if dim.atom is not None}
    return lambda dim: whole[dim] if dim in whole else dim.substitute(atoms)


def begun(inputs: Any, outputs: Any) -> tuple[Any, Any]:
    """The inputs and outputs of a model, where tensors that calls gave are inputs of its own: the calls between are
    made again, of the same layers, from new `Input` tensors on.

    Raises `ArgumentError` where a size between them is counted from other inputs.
    """
    given = tree.leaves(inputs)
    if all(isinstance(leaf, InputTensor) for leaf in given):
        return inputs, outputs
    sizes: dict[Dim, Dim] = {}
    made = [leaf if isinstance(leaf, InputTensor) else _input_like(leaf, sizes) for leaf in given]
    calls = list(calls_below(tree.leaves(outputs), given))
    size_of = _sizes(zip(given, made, strict=True))
    known = {
        name for leaf in made for dim in leaf.shape if isinstance(dim, DimExpr) for name in dim.symbols()
    }
    for call in calls:
        for leaf in tree.leaves([call.args, dict(call.kwargs)]):
            size = size_of(leaf) if isinstance(leaf, DimExpr) else 0
            if not isinstance(size, int) and not size.symbols() <= known:
                raise ArgumentError(
                    f"The size {leaf} between these inputs and outputs is counted from another input of the graph. "
                    "Begin the model there, or take the size from a tensor in between."
                )
    types = {str(i): leaf.type for i, leaf in enumerate(given)}
    return refilled(inputs, made), replay(calls, given, made, types, outputs)


def _input_like(tensor: Symbolic, sizes: dict[Dim, Dim]) -> InputTensor:
    """An input of the type of ``tensor``, its free sizes named anew where they are counted from others (``sizes``)."""
    shape = [
        dim if isinstance(dim, int) or (len(dim.symbols()) == 1 and dim == symbol(*dim.symbols()))
        else BATCH if not axis else sizes.setdefault(dim, symbol(f"size_{len(sizes)}"))
        for axis, dim in enumerate(tensor.shape)
    ]  # fmt: skip
    return Input(batch_shape=shape, dtype=tensor.dtype)


def in_order(inputs: Sequence[InputTensor], outputs: Sequence[Symbolic]) -> list[Any]:
    """The layers and input tensors between inputs and outputs in Keras's order.

    Those with the longest way to an output come first; those with equally long ones as they are met when going
    back from the outputs (Keras 3, ``map_graph``).
    """
    met: dict[int, int] = {}
    finished: dict[int, Any] = {}
    for output in outputs:
        stack: list[tuple[Any, Iterator[Any]]] = []
        _enter(output, stack, met, finished)
        while stack:
            node, sources = stack[-1]
            source = next(sources, None)
            if source is None:
                finished[id(node)] = node
                stack.pop()
            else:
                _enter(source, stack, met, finished)
    depths: dict[int, int] = {}
    of_makers: dict[int, int] = {}
    makers: dict[int, Any] = {}
    for node in reversed(finished.values()):
        maker = _maker(node)
        depth = max(depths.get(id(node), 0), of_makers.get(id(maker), 0))
        of_makers[id(maker)], makers[id(maker)] = depth, maker
        for source in _sources(node):
            below = source if source.call is None else source.call
            depths[id(below)] = max(depth + 1, depths.get(id(below), 0))
    for leaf in inputs:  # unused ones
        if id(leaf) not in makers:
            makers[id(leaf)], of_makers[id(leaf)], met[id(leaf)] = leaf, 0, -1
    order = sorted(makers, key=lambda key: (-of_makers[key], met[key]))
    return [makers[key] for key in order if isinstance(makers[key], Layer | InputTensor)]


def _enter(
    tensor: Symbolic, stack: list[tuple[Any, Iterator[Any]]], met: dict[int, int], finished: dict[int, Any]
) -> None:
    node = tensor if tensor.call is None else tensor.call
    if id(node) not in finished:
        met.setdefault(id(_maker(node)), len(met))
        stack.append((node, iter(_sources(node))))


def _sources(node: Any) -> list[Symbolic]:
    """The symbolic tensors that a call takes, those in a dict in the order of its keys; an input takes none."""
    given = tree.flatten([node.args, dict(node.kwargs)]) if isinstance(node, Call) else []
    return [leaf for leaf in given if isinstance(leaf, Symbolic)]


def _maker(node: Any) -> Any:
    """The layer that makes a call; calls of functions are each their own."""
    return node.function if isinstance(node, Call) and isinstance(node.function, Layer) else node


def find_layer(around: Layer, layers: Sequence[Layer], name: str | None, index: int | None) -> Layer:
    """The one of ``layers`` called ``name``, or at ``index``; one inside them by its path below ``around``.

    Raises `UnknownName` if there is none.
    """
    if index is not None:
        if not -len(layers) <= index < len(layers):
            raise UnknownName(f"layer index of {around.name}", index, range(len(layers)))
        return layers[index]
    if name is not None and "/" in name:
        paths = dict(reversed(list(around.walk())))  # of several at a path the first
        if name in paths:
            return paths[name]
        raise UnknownName(f"layer of {around.name}", name, list(paths))
    for layer in (*around.children(), *layers):  # an input may be called as a layer is
        if layer.name == name:
            return layer
    raise UnknownName(f"layer of {around.name}", name, list(dict.fromkeys(layer.name for layer in layers)))


def set_trainable(around: Layer, patterns: Sequence[str], trainable: bool) -> None:
    """Freeze the layers whose paths below ``around`` match one of ``patterns``, or set them free."""
    if not patterns:
        around.trainable = trainable
    layers = dict(around.walk())
    for pattern in patterns:
        found = [path for path in layers if path and fnmatchcase(path, pattern)]
        if not found:
            raise UnknownName(f"layers of {around.name}", pattern, [path for path in layers if path])
        for path in found:
            layers[path].trainable = trainable
            while trainable and path:  # a layer around that is frozen would freeze it too
                path = path.rpartition("/")[0]
                vars(layers[path])["trainable"] = True


def static_shapes(tensors: Sequence[Symbolic]) -> Any:
    """The shapes of ``tensors`` as Keras gives them: free sizes are None, one shape stands by itself."""
    shapes = [tuple(dim if isinstance(dim, int) else None for dim in tensor.shape) for tensor in tensors]
    return shapes[0] if len(shapes) == 1 else shapes
