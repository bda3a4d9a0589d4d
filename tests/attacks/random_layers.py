"""Models drawn at random over every layer: the same seed, the same model."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

import unifront as uf
from unifront import layers
from unifront.errors import ShapeError, UnifrontError

Random = np.random.Generator
Maker = Callable[[Random, "tuple[int | None, ...]"], Any]

ACTIVATIONS = (
    "linear", "relu", "relu6", "sigmoid", "tanh", "softmax", "log_softmax", "softplus", "softsign", "silu",
    "elu", "selu", "gelu", "leaky_relu", "hard_sigmoid", "exponential",
)  # fmt: skip
UNITS, WINDOWS = (1, 2, 3, 5), (1, 2, 3, 4)


def one_of(r: Random, choices: Sequence[Any]) -> Any:
    return choices[int(r.integers(len(choices)))]


def _axes(r: Random, rank: int, choices: Sequence[int]) -> tuple[int, ...]:
    return tuple(int(n) for n in r.choice(choices, rank))


def _pairs(r: Random, rank: int) -> Any:
    pairs = tuple(_axes(r, 2, (0, 1, 2)) for _ in range(rank))
    return pairs if rank > 1 else pairs[0]


def _format(r: Random) -> str:
    return one_of(r, ("channels_last", "channels_last", "channels_last", "channels_first"))


def _conv(kind: str, rank: int) -> Maker:
    def make(r: Random, shape: Any) -> Any:
        strides, dilation = one_of(r, ((1, 1), (2, 1), (1, 2), (3, 1)))
        options: dict[str, Any] = {
            "padding": one_of(r, ("valid", "same", *(("causal",) if kind == "Conv1D" else ()))),
            "strides": strides if "Depthwise" in kind or r.random() < 0.5 else _axes(r, rank, (strides, 1)),
            "dilation_rate": dilation, "use_bias": bool(r.random() < 0.7), "data_format": _format(r),
            "activation": one_of(r, (None, None, "relu", "tanh", "gelu")),
        }  # fmt: skip
        if options["strides"] != 1 and isinstance(options["strides"], tuple):
            options["dilation_rate"] = 1
        window = _axes(r, rank, WINDOWS)
        if "Conv" in kind and "Depthwise" not in kind:
            channels = shape[0 if options["data_format"] == "channels_first" else -1]
            if kind.startswith("Conv") and channels and channels % 2 == 0 and r.random() < 0.3:
                return getattr(layers, kind)(4, window, groups=2, **options)
            return getattr(layers, kind)(one_of(r, UNITS), window, **options)
        return getattr(layers, kind)(window, depth_multiplier=one_of(r, (1, 2)), **options)

    return make


def _pool(kind: str, rank: int) -> Maker:
    def make(r: Random, shape: Any) -> Any:
        return getattr(layers, kind)(
            _axes(r, rank, WINDOWS), strides=one_of(r, (None, 1, 2, 3)),
            padding=one_of(r, ("valid", "same")), data_format=_format(r),
        )  # fmt: skip

    return make


def _global(kind: str) -> Maker:
    return lambda r, shape: getattr(layers, kind)(data_format=_format(r), keepdims=bool(r.integers(2)))


def _padding(kind: str, rank: int) -> Maker:
    formats = {"data_format": _format} if rank > 1 else {}
    return lambda r, shape: getattr(layers, kind)(
        _pairs(r, rank), **{name: draw(r) for name, draw in formats.items()}
    )


def _recurrent(kind: str) -> Maker:
    def make(r: Random, shape: Any) -> Any:
        options: dict[str, Any] = {
            "return_sequences": bool(r.integers(2)), "go_backwards": bool(r.random() < 0.3),
            "use_bias": bool(r.random() < 0.8),
        }  # fmt: skip
        if kind == "GRU":
            options["reset_after"] = bool(r.integers(2))
        if r.random() < 0.3:
            options["activation"] = one_of(r, ("relu", "sigmoid", "tanh", "softsign"))
        return getattr(layers, kind)(one_of(r, UNITS), **options)

    return make


def _bidirectional(r: Random, shape: Any) -> Any:
    inner = getattr(layers, one_of(r, ("LSTM", "GRU", "SimpleRNN")))
    sequences = bool(r.integers(2))
    merge = one_of(r, ("concat", "sum", "mul", "ave"))
    return layers.Bidirectional(inner(one_of(r, UNITS), return_sequences=sequences), merge_mode=merge)


def _over_time(r: Random, shape: Any) -> Any:
    inner = {2: ("Dense",), 3: ("Conv1D", "GlobalMaxPooling1D", "Flatten"), 4: ("Conv2D", "MaxPooling2D")}
    kind = one_of(r, inner[len(shape)])
    return layers.TimeDistributed(LAYERS[kind][1](r, shape[1:]))


def _adaptive(kind: str) -> Maker:
    return lambda r, shape: getattr(layers, kind)(one_of(r, (1, 2, 3)), data_format=_format(r))


def _attending(kind: str) -> Maker:
    """Attention of a sequence to itself."""

    def make(r: Random, shape: Any) -> Any:
        causal, bias = bool(r.integers(2)), bool(r.integers(2))
        if kind == "MultiHeadAttention":
            layer = layers.MultiHeadAttention(one_of(r, (1, 2, 3)), one_of(r, UNITS), use_bias=bias)
        elif kind == "GroupQueryAttention":
            layer = layers.GroupQueryAttention(one_of(r, UNITS), 4, one_of(r, (1, 2, 4)), use_bias=bias)
        else:
            options = {"score_mode": one_of(r, ("dot", "concat"))} if kind == "Attention" else {}
            layer = getattr(layers, kind)(use_scale=bias, **options)
            return lambda x: layer([x, x], use_causal_mask=causal)
        return lambda x: layer(x, x, use_causal_mask=causal)

    return make


CELLS = ("LSTMCell", "GRUCell", "SimpleRNNCell")


def _over_cells(r: Random, shape: Any) -> Any:
    cells = [getattr(layers, one_of(r, CELLS))(one_of(r, UNITS)) for _ in range(one_of(r, (1, 2)))]
    cell = layers.StackedRNNCells(cells) if len(cells) > 1 else cells[0]
    return layers.RNN(cell, return_sequences=bool(r.integers(2)), go_backwards=bool(r.random() < 0.3))


def _conv_lstm(rank: int) -> Maker:
    return lambda r, shape: getattr(layers, f"ConvLSTM{rank}D")(
        one_of(r, (1, 2)), _axes(r, rank, (1, 2, 3)), padding=one_of(r, ("valid", "same")),
        return_sequences=bool(r.integers(2)),
    )  # fmt: skip


def _einsum(r: Random, shape: Any) -> Any:
    axes, units = "abcd"[: len(shape)], one_of(r, UNITS)
    equation = f"...{axes},{axes[-1]}y->...{axes[:-1]}y"
    return layers.EinsumDense(
        equation, (*shape[:-1], units), bias_axes="y", activation=one_of(r, (None, "tanh"))
    )


def _spectral(r: Random, shape: Any) -> Any:
    return layers.SpectralNormalization(layers.Dense(one_of(r, UNITS)))


def _normalization(r: Random, shape: Any) -> Any:
    return layers.Normalization(mean=0.25, variance=one_of(r, (0.5, 4.0)), invert=bool(r.integers(2)))


def _prelu(r: Random, shape: Any) -> Any:
    free = [i + 1 for i, size in enumerate(shape) if size is None]
    return layers.PReLU(alpha_initializer="uniform", shared_axes=free or None)


def _transposed(rank: int) -> Maker:
    def make(r: Random, shape: Any) -> Any:
        cls = getattr(layers, f"Conv{rank}DTranspose")
        return cls(
            one_of(r, UNITS),
            one_of(r, (1, 2, 3)),
            strides=one_of(r, (1, 2)),
            padding=one_of(r, ("valid", "same")),
        )

    return make


def _reshape(r: Random, shape: Any) -> Any:
    if any(size is None for size in shape):
        return layers.Reshape((-1, shape[-1] or 1))
    sizes = [int(size) for size in r.permutation(shape)]
    while len(sizes) > 1 and r.random() < 0.3:
        sizes[:2] = [sizes[0] * sizes[1]]
    return layers.Reshape(tuple(sizes))


def _axis(r: Random, shape: Any) -> int:
    return one_of(r, [-1, -1, *(i + 1 for i, size in enumerate(shape) if size is not None)])


ANY = (1, 2, 3, 4)
LAYERS: dict[str, tuple[Sequence[int], Maker]] = {
    "Activation": (ANY, lambda r, shape: layers.Activation(one_of(r, ACTIVATIONS))),
    "ReLU": (ANY, lambda r, shape: layers.ReLU(max_value=one_of(r, (None, 0.5)), threshold=one_of(r, (0, 0.2)))),
    "LeakyReLU": (ANY, lambda r, shape: layers.LeakyReLU(negative_slope=0.2)),
    "ELU": (ANY, lambda r, shape: layers.ELU(alpha=one_of(r, (1.0, 0.7)))),
    "PReLU": (ANY, _prelu),
    "Softmax": (ANY, lambda r, shape: layers.Softmax(axis=_axis(r, shape))),
    "ActivityRegularization": (ANY, lambda r, shape: layers.ActivityRegularization(l2=0.1)),
    "Dense": (ANY, lambda r, shape: layers.Dense(one_of(r, UNITS), activation=one_of(r, (None, "relu", "tanh")))),
    "Dropout": (ANY, lambda r, shape: layers.Dropout(0.5)),
    "GaussianNoise": (ANY, lambda r, shape: layers.GaussianNoise(0.5)),
    "SpatialDropout1D": ((2,), lambda r, shape: layers.SpatialDropout1D(0.5)),
    "SpatialDropout2D": ((3,), lambda r, shape: layers.SpatialDropout2D(0.5)),
    "BatchNormalization": (ANY, lambda r, shape: layers.BatchNormalization(axis=_axis(r, shape))),
    "LayerNormalization": (ANY, lambda r, shape: layers.LayerNormalization(axis=_axis(r, shape))),
    "RMSNormalization": (ANY, lambda r, shape: layers.RMSNormalization()),
    "GroupNormalization": (ANY, lambda r, shape: layers.GroupNormalization(groups=one_of(r, (1, -1)))),
    "Flatten": (ANY, lambda r, shape: layers.Flatten()),
    "Reshape": (ANY, _reshape),
    "Permute": ((2, 3, 4), lambda r, shape: layers.Permute(tuple(1 + int(i) for i in r.permutation(len(shape))))),
    "RepeatVector": ((1,), lambda r, shape: layers.RepeatVector(3)),
    "Masking": ((2,), lambda r, shape: layers.Masking()),
    **{f"Conv{n}D": ((n + 1,), _conv(f"Conv{n}D", n)) for n in (1, 2, 3)},
    **{f"DepthwiseConv{n}D": ((n + 1,), _conv(f"DepthwiseConv{n}D", n)) for n in (1, 2)},
    "SeparableConv2D": ((3,), _conv("SeparableConv2D", 2)),
    **{
        f"{kind}Pooling{n}D": ((n + 1,), _pool(f"{kind}Pooling{n}D", n))
        for kind in ("Max", "Average") for n in (1, 2, 3)
    },
    **{
        f"Global{kind}Pooling{n}D": ((n + 1,), _global(f"Global{kind}Pooling{n}D"))
        for kind in ("Max", "Average") for n in (1, 2, 3)
    },
    **{f"ZeroPadding{n}D": ((n + 1,), _padding(f"ZeroPadding{n}D", n)) for n in (1, 2)},
    "ZeroPadding3D": ((4,), lambda r, shape: layers.ZeroPadding3D(_axes(r, 3, (0, 1, 2)))),
    **{f"Cropping{n}D": ((n + 1,), _padding(f"Cropping{n}D", n)) for n in (1, 2)},
    "UpSampling1D": ((2,), lambda r, shape: layers.UpSampling1D(one_of(r, (2, 3)))),
    "UpSampling2D": ((3,), lambda r, shape: layers.UpSampling2D(_axes(r, 2, (1, 2)), data_format=_format(r))),
    **{kind: ((2,), _recurrent(kind)) for kind in ("LSTM", "GRU", "SimpleRNN")},
    "Bidirectional": ((2,), _bidirectional),
    "TimeDistributed": ((2, 3, 4), _over_time),
    "AlphaDropout": (ANY, lambda r, shape: layers.AlphaDropout(0.5)),
    "GaussianDropout": (ANY, lambda r, shape: layers.GaussianDropout(0.5)),
    "SpatialDropout3D": ((4,), lambda r, shape: layers.SpatialDropout3D(0.5)),
    "Identity": (ANY, lambda r, shape: layers.Identity()),
    "UnitNormalization": (ANY, lambda r, shape: layers.UnitNormalization()),
    "SeparableConv1D": ((2,), _conv("SeparableConv1D", 1)),
    **{f"Conv{n}DTranspose": ((n + 1,), _transposed(n)) for n in (1, 2, 3)},
    **{
        f"Adaptive{kind}Pooling{n}D": ((n + 1,), _adaptive(f"Adaptive{kind}Pooling{n}D"))
        for kind in ("Max", "Average") for n in (1, 2, 3)
    },
    **{
        kind: ((2,), _attending(kind))
        for kind in ("MultiHeadAttention", "GroupQueryAttention", "Attention", "AdditiveAttention")
    },
    "RNN": ((2,), _over_cells),
    **{f"ConvLSTM{n}D": ((n + 2,), _conv_lstm(n)) for n in (1, 2)},
    "EinsumDense": (ANY, _einsum),
    "SpectralNormalization": (ANY, _spectral),
    "Normalization": (ANY, _normalization),
}  # fmt: skip
"""Name → the ranks (without the batch) it takes, and how to draw one."""

WORDS = ("Embedding", "ReversibleEmbedding", "CategoryEncoding")
INSIDE = (*CELLS, "StackedRNNCells")
"""Layers of words, and inside of others."""
MERGES = ("Add", "Subtract", "Multiply", "Average", "Maximum", "Minimum", "Concatenate", "Dot")
INPUTS = {1: (6,), 2: (7, 4), 3: (8, 7, 3), 4: (4, 5, 4, 2)}
"""A shape of each rank."""


def random_model(seed: int) -> uf.Model:
    """A model of two to nine layers, with merges, words, free sizes and several outputs."""
    for attempt in range(20):
        try:
            return _drawn(np.random.default_rng([seed, attempt]), f"random_{seed}")
        except UnifrontError:
            continue  # a mask that does not fit shows only when the model is whole
    raise AssertionError(f"No model was drawn for the seed {seed}.")


def _drawn(r: Random, name: str) -> uf.Model:
    inputs = [_input(r, i) for i in range(one_of(r, (1, 1, 2)))]
    tensors = [_embedded(r, x) if x.dtype.name == "int32" else x for x in inputs]
    for _ in range(int(r.integers(2, 10))):
        x = tensors[-1] if r.random() < 0.8 else one_of(r, tensors)
        try:
            tensors.append(_merged(r, x, tensors) if r.random() < 0.2 else _followed(r, x))
        except UnifrontError:
            continue  # what was drawn does not fit; another is drawn
    outputs = [tensors[-1]]
    outputs += [one_of(r, tensors)] if r.random() < 0.3 else []
    return _shaken(uf.Model(inputs, outputs, name=name), r)


def _input(r: Random, number: int) -> Any:
    if r.random() < 0.2:
        return uf.Input((None if r.random() < 0.4 else 6,), name=f"words_{number}", dtype="int32")
    shape = list(INPUTS[int(r.choice([1, 2, 3, 3, 4]))])
    if r.random() < 0.3 and len(shape) > 1:
        shape[:-1] = [None if r.random() < 0.6 else size for size in shape[:-1]]  # type: ignore[misc]
    return uf.Input(tuple(shape), name=f"x_{number}")


def _embedded(r: Random, x: Any) -> Any:
    if r.random() < 0.15:
        return layers.CategoryEncoding(9, output_mode="multi_hot")(x)
    kind = one_of(r, ("Embedding", "Embedding", "ReversibleEmbedding"))
    return getattr(layers, kind)(9, 4, mask_zero=bool(r.integers(2)))(x)


def _sizes(x: Any) -> tuple[int | None, ...]:
    return tuple(size if isinstance(size, int) else None for size in x.shape[1:])


def _followed(r: Random, x: Any) -> Any:
    fitting = [maker for ranks, maker in LAYERS.values() if len(x.shape) - 1 in ranks]
    if not fitting:
        raise ShapeError(f"No layer takes the rank of {x}.")
    return one_of(r, fitting)(r, _sizes(x))(x)


def _merged(r: Random, x: Any, tensors: list[Any]) -> Any:
    name = one_of(r, MERGES)
    same = [y for y in tensors if y.shape == x.shape]
    other = _followed(r, x) if r.random() < 0.5 or not same else one_of(r, same)
    sizes = list(zip(reversed(x.shape[1:]), reversed(other.shape[1:]), strict=False))
    if any(
        str(a) != str(b) and 1 not in (a, b) and not (isinstance(a, int) and isinstance(b, int))
        for a, b in sizes
    ):
        raise ShapeError("Data of few sizes fit where such sizes meet.")
    if name == "Dot":
        return layers.Dot(axes=-1, normalize=bool(r.integers(2)))([x, other])
    return getattr(layers, name)()([x, other])


def _shaken(model: uf.Model, r: Random) -> uf.Model:
    """The model with weights and statistics that are not those of a new one."""
    model.trace(False)
    for variable in model.weights:
        if variable.name == "moving_variance":
            variable.assign(r.uniform(0.5, 2, variable.shape))
        elif len(variable.shape) == 1:
            variable.assign(r.uniform(0.5, 1.5, variable.shape) * r.choice([-1, 1], variable.shape))
    return model


def random_inputs(model: uf.Model, batch: int, seed: int) -> list[np.ndarray]:
    """Arrays for the inputs; each free size is drawn."""
    r = np.random.default_rng([seed, batch])
    sizes: dict[str, int] = {}
    found = []
    for type_ in model.input_types.values():
        shape = [batch]
        for size in type_.shape[1:]:
            shape.append(
                size if isinstance(size, int) else sizes.setdefault(str(size), int(r.integers(11, 17)))
            )
        floats = type_.dtype.is_float
        values = r.normal(size=shape) - r.choice([0, 3]) if floats else r.integers(0, 9, shape)
        found.append(values.astype(type_.dtype.numpy))
    return found
