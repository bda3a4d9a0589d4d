"""Weights under the names of torch modules, as torchvision and timm publish them, for the layers of a model.

Who defines a model says which layer each module there is (`unifront.zoo.Entry.peers`); what becomes of a module's
arrays is said here, by the layer's class: convolution kernels ``OIHW`` → ``HWIO``, matrices transposed, and the matrix
behind a flattened feature map in the order of our flattening (height, width, channel), not theirs (channel first).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import numpy as np

from unifront import tree
from unifront.errors import ArgumentError, FileFormatError, UnknownName
from unifront.layers.layer import Layer
from unifront.model import Model
from unifront.opset.tensor import Call, Symbolic
from unifront.saving.stored import Stored
from unifront.weights import Variable

_BUFFERS = ("num_batches_tracked", "relative_position_index", "attn_mask")
"""What state dicts hold beside weights: counters, and tables that follow from the sizes."""
_LEAVES = {
    "weight": ("kernel", "gamma", "scale", "embeddings", "alpha"),
    "bias": ("bias", "beta"),
    "running_mean": ("moving_mean",),
    "running_var": ("moving_variance",),
}
"""What torch calls a module's arrays, and what a layer may call them."""
_PROJECTIONS = ("query_dense", "key_dense", "value_dense")
_PACKED = {"in_proj_weight": "kernel", "in_proj_bias": "bias", "qkv.weight": "kernel", "qkv.bias": "bias"}
_OUTPUT = {f"{module}.{leaf}": kind for module in ("out_proj", "proj") for leaf, kind in
           (("weight", "kernel"), ("bias", "bias"))}  # fmt: skip
"""What torch.nn.MultiheadAttention and timm's Attention call the arrays of `MultiHeadAttention`."""

Change = Callable[[np.ndarray], np.ndarray]


def layer_of(names: Mapping[str, str | None], parameter: str) -> tuple[str | None, str] | None:
    """The layer that a parameter's module is, and what the parameter is called within the module.

    The longest path that ``names`` has counts, which may be the whole name of the parameter.
    """
    path, rest = parameter, ""
    while True:
        if path in names:
            return names[path], rest
        if not path:
            return None
        path, _, last = path.rpartition(".")
        rest = f"{last}.{rest}" if rest else last


def arranged(
    model: Model, names: Mapping[str, str | None], found: Mapping[str, Stored]
) -> tuple[dict[str, Stored], list[str]]:
    """The arrays ``found`` in a file of torch modules, by the paths of the variables that they are for; and what is
    left over.

    Args:
        model: whose weights they are to be.
        names: the layer of each module; None for a module that the model does not have.
        found: the arrays by the names of torch's parameters.
    """
    given: dict[str, Stored] = {}
    extra: list[str] = []
    paths = model.variable_paths()
    layers = {layer.name: layer for layer in model.layers}
    flattened = _flattened(model)
    for name, stored in found.items():
        place = layer_of(names, name)
        if place is None:
            extra += [] if name.rpartition(".")[2] in _BUFFERS else [name]
        elif place[0] is not None and place[1].rpartition(".")[2] not in _BUFFERS:
            try:
                layer, weight = _named(model, layers, place[0])
            except UnknownName:  # as a head that this model does not have
                extra.append(name)
                continue
            whole = _one_weight(layer, weight) if not place[1] or weight else None
            parts = [(whole, _reshaped(whole))] if whole is not None else list(
                _parts(layer, place[1], stored, flattened.get(id(layer)))
            )  # fmt: skip
            for variable, change in parts:
                given[paths[id(variable)]] = stored.changed(change)
            extra += [] if parts else [name]
    return given, extra


def _named(model: Model, layers: Mapping[str, Layer], name: str) -> tuple[Layer, str]:
    """The layer called ``name``, or that of the weight ``layer/weight``, and the weight's name."""
    if name in layers:
        return layers[name], ""
    try:
        return model.get_layer(name), ""
    except UnknownName:
        layer, _, weight = name.rpartition("/")
        if not layer:
            raise
        return model.get_layer(layer), weight


def _one_weight(layer: Layer, name: str) -> Variable:
    own = [weight for weight in layer.weights if not name or weight.name == name]
    if len(own) != 1:
        raise ArgumentError(
            f"A parameter of torch's is to be {name or 'the weight'} of {layer.name!r}, which has "
            f"{', '.join(weight.name for weight in layer.weights) or 'none'}."
        )
    return own[0]


def _parts(
    layer: Layer, leaf: str, stored: Stored, flattened: tuple[int, ...] | None
) -> Iterator[tuple[Variable, Change]]:
    """The variables of ``layer`` that an array of its module is for, and how it becomes each."""
    if all(hasattr(layer, projection) for projection in _PROJECTIONS):
        yield from _attention(layer, leaf)
        return
    own = {weight.name: weight for weight in layer._weights}
    if "pointwise_kernel" in own and leaf == "weight":  # two modules of torch are one layer
        depthwise = math.prod(stored.shape) == math.prod(own["depthwise_kernel"].shape)
        variable = own["depthwise_kernel" if depthwise else "pointwise_kernel"]
        yield variable, _depthwise(variable) if depthwise else _kernel
        return
    name = next((name for name in (leaf, *_LEAVES.get(leaf, ())) if name in own), None)
    if name is None:
        return
    variable = own[name]
    if name != "kernel":
        yield variable, _reshaped(variable)
    elif type(layer).__name__.startswith("Depthwise"):
        yield variable, _depthwise(variable)
    elif type(layer).__name__.endswith("Transpose"):
        yield variable, lambda array: _spatial_first(array, 1, 0)
    elif len(variable.shape) == 2:
        yield variable, lambda array: _matrix(array, flattened)
    elif type(layer).__name__ == "EinsumDense":
        yield variable, lambda array: array.T.reshape(variable.shape)
    else:
        yield variable, lambda array: _kernel(array, len(variable.shape) - 2)


def _attention(layer: Any, leaf: str) -> Iterator[tuple[Variable, Change]]:
    def of(projection: Any, kind: str) -> Variable | None:
        return next((weight for weight in projection.weights if weight.name == kind), None)

    if leaf in _PACKED:
        for part, projection in enumerate(_PROJECTIONS):
            variable = of(getattr(layer, projection), _PACKED[leaf])
            if variable is not None:
                yield variable, _third(part, variable)
    elif leaf in _OUTPUT:
        variable = of(layer.output_dense, _OUTPUT[leaf])
        if variable is not None:
            yield variable, lambda array: array.T.reshape(variable.shape)


def _third(part: int, variable: Variable) -> Change:
    def change(array: np.ndarray) -> np.ndarray:
        rows = len(array) // 3
        return array[part * rows : (part + 1) * rows].T.reshape(variable.shape)

    return change


def _reshaped(variable: Variable) -> Change:
    """The same numbers in the same order, where the shapes differ by axes of size one alone."""

    def change(array: np.ndarray) -> np.ndarray:
        long = [[size for size in shape if size != 1] for shape in (array.shape, variable.shape)]
        return array.reshape(variable.shape) if long[0] == long[1] else array

    return change


def _spatial_first(array: np.ndarray, *last: int) -> np.ndarray:
    return array.transpose(*range(2, array.ndim), *last)


def _kernel(array: np.ndarray, spatial: int = 2) -> np.ndarray:
    """``OIHW`` → ``HWIO``; a matrix is a kernel of size one."""
    if array.ndim == 2:
        array = array.reshape(*array.shape, *(1,) * spatial)
    return _spatial_first(array, 1, 0)


def _depthwise(variable: Variable) -> Change:
    def change(array: np.ndarray) -> np.ndarray:
        *_, channels, multiplier = variable.shape
        kernel = array.reshape(channels, multiplier, *array.shape[2:]) if array.shape[1] == 1 else array
        return _spatial_first(kernel, 0, 1)

    return change


def _matrix(array: np.ndarray, flattened: tuple[int, ...] | None) -> np.ndarray:
    """``[out, in]`` → ``[in, out]``; ``in`` is in the order of a feature map ``flattened`` with channels last.

    A convolution of the whole map, of any size, is such a matrix too (timm's VGG).
    """
    matrix = array.reshape(len(array), -1)
    if flattened is not None and matrix.shape[1] == math.prod(flattened):
        *space, channels = flattened
        matrix = np.moveaxis(matrix.reshape(len(matrix), channels, *space), 1, -1).reshape(len(matrix), -1)
    return matrix.T


# ---------------------------------------------------------------- what is flattened


def _flattened(model: Model) -> dict[int, tuple[int, ...]]:
    """The sizes of the feature maps, channels last, whose flattened form layers take, by the ids of these."""
    found = {}
    for call in model._calls:
        if isinstance(call.function, Layer):
            sizes = _map_before(_tensors(call))
            if sizes is not None:
                found[id(call.function)] = sizes
    return found


def _map_before(given: list[Symbolic]) -> tuple[int, ...] | None:
    """The sizes of the feature map that was flattened to what is ``given``, if one was, perhaps through dropout."""
    while len(given) == 1 and len(given[0].shape) == 2 and given[0].call is not None:
        call, shape = given[0].call, given[0].shape
        given = _tensors(call)
        if len(given) == 1 and len(given[0].shape) > 2:
            sizes = tuple(size for size in given[0].shape[1:] if isinstance(size, int))
            if len(sizes) != len(given[0].shape) - 1 or math.prod(sizes) != shape[1]:
                return None
            if (
                getattr(call.function, "data_format", None) == "channels_first"
            ):  # a Flatten, which moves them last
                return (*sizes[1:], sizes[0])
            return None if _channels_first(given) else sizes
        if len(given) == 1 and given[0].shape != shape:
            return None
    return None


def _channels_first(given: list[Symbolic]) -> bool:
    """Whether the layers that lead to the map ``given`` have channels first."""
    while len(given) == 1 and given[0].call is not None:
        layout = getattr(given[0].call.function, "data_format", None)
        if layout is not None:
            return layout == "channels_first"
        given = _tensors(given[0].call)
    return False


def _tensors(call: Call) -> list[Symbolic]:
    return [leaf for leaf in tree.leaves([call.args, dict(call.kwargs)]) if isinstance(leaf, Symbolic)]


def publisher_of(peers: Mapping[str, Mapping[str, str | None]], found: Mapping[str, Any]) -> str:
    """Whose names the file has: of the maps by publisher, the one that knows most of its parameters.

    Raises `FileFormatError` if none knows any.
    """
    known = {who: sum(layer_of(names, name) is not None for name in found) for who, names in peers.items()}
    best = max(known, key=lambda who: known[who])
    if not known[best]:
        some = ", ".join(sorted(found)[:5])
        raise FileFormatError(
            f"it has none of the modules of {' or '.join(peers)}, but {some[:300]} …: the weights of another model"
        )
    return best
