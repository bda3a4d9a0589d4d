"""Random models over the table of layers, as text that Keras and unifront both understand."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

SMOOTH = (
    "tanh",
    "sigmoid",
    "softplus",
    "softsign",
    "elu",
    "selu",
    "silu",
    "linear",
    "exponential",
    "hard_sigmoid",
)
SINGLE = ("leaky_relu", "gelu")
"""Keras on TensorFlow keeps constants of these in float32."""
ACTIVATIONS = (*SMOOTH, "relu", "relu6", "softmax", *SINGLE)


@dataclass(frozen=True)
class Program:
    """A model: ``steps`` of (layer as text, the values it takes), beginning with the inputs; the last is given.

    Args:
        inputs: the shape of each input without its batch, and below what its integers are (None: floats).
        sizes: ``inputs`` with None for sizes that may be free.
    """

    seed: int
    inputs: tuple[tuple[tuple[int, ...], int | None], ...]
    sizes: tuple[tuple[int | None, ...], ...]
    steps: tuple[tuple[str, tuple[int, ...]], ...]

    def __str__(self) -> str:
        lines = [
            f"{i} = Input({shape}{', integers' if high else ''})"
            for i, (shape, high) in enumerate(self.inputs)
        ]
        lines += [f"{len(self.inputs) + n} = {text}{takes}" for n, (text, takes) in enumerate(self.steps)]
        return f"seed {self.seed}:\n" + "\n".join(lines)

    @property
    def is_single(self) -> bool:
        """Whether Keras has constants of it in float32."""
        return any(name in text for text, _ in self.steps for name in ("LeakyReLU", *SINGLE))

    @property
    def draws(self) -> bool:
        """Whether it draws random numbers while training."""
        return any("Dropout(0.3" in text for text, _ in self.steps)

    def build(self, names: dict[str, Any], free: bool = False) -> tuple[Any, list[Any]]:
        """The model, and its layers in the order of ``steps``, made of the layers in ``names``."""
        values = []
        for (shape, high), size in zip(self.inputs, self.sizes, strict=True):
            options = {"dtype": "int32"} if high else {}
            values.append(names["Input"](size if free else shape, **options))
        inputs, layers = list(values), []
        for text, takes in self.steps:
            layers.append(eval(text, names))
            given = [values[i] for i in takes]
            values.append(layers[-1](given if len(given) > 1 else given[0]))
        return names["Model"](inputs if len(inputs) > 1 else inputs[0], values[-1]), layers

    def arrays(self, batch: int = 3) -> list[np.ndarray]:
        rng = np.random.default_rng(self.seed)
        return [
            rng.normal(size=(batch, *shape))
            if high is None
            else rng.integers(0, high, (batch, *shape)).astype(np.int32)
            for shape, high in self.inputs
        ]


def draw(seed: int, *, free: bool = False) -> Program:
    """A random program; ``free``: one whose sizes of time, height and width may be free."""
    return _Drawing(random.Random(seed), free).program(seed)


Shape = tuple[int, ...]
Choice = tuple[str, Callable[[Shape], Shape]]


class _Drawing:
    def __init__(self, rng: random.Random, free: bool) -> None:
        self.rng, self.free = rng, free
        self.inputs: list[tuple[Shape, int | None]] = []
        self.steps: list[tuple[str, tuple[int, ...]]] = []
        self.shapes: list[Shape] = []

    def program(self, seed: int) -> Program:
        rng = self.rng
        kinds = rng.choices(
            ("vector", "sequence", "words", "image", "volume"), (2, 5, 4, 4, 1), k=rng.choice((1, 1, 2))
        )
        ends = [self.branch(kind, start) for start, kind in enumerate(self.begin(kinds))]
        if rng.random() < 0.3:  # a second way from the same start
            ends.append(self.branch("", 0))
        flat = [self.flat(end) for end in ends]
        if len(flat) > 1:
            flat = [self.add("Concatenate({name})", tuple(flat), lambda *s: (sum(one[0] for one in s),))]
        self.add(f"Dense({rng.randint(1, 4)}, {{name}})", (flat[0],), lambda s: s)
        sizes = tuple(
            shape if not self.free or (len(shape) == 1 and high is None)
            else (None,) * len(shape) if high else (*(None,) * (len(shape) - 1), shape[-1])
            for shape, high in self.inputs
        )  # fmt: skip
        return Program(seed, tuple(self.inputs), sizes, tuple(self.steps))

    def begin(self, kinds: list[str]) -> list[str]:
        r = self.rng.randint
        for kind in kinds:
            shape = {
                "vector": (r(1, 6),), "sequence": (r(3, 7), r(1, 4)), "words": (r(3, 7),),
                "image": (r(4, 7), r(4, 7), r(1, 3)), "volume": (r(3, 4), r(3, 4), r(3, 4), r(1, 2)),
            }[kind]  # fmt: skip
            self.inputs.append((shape, 6 if kind == "words" else None))
            self.shapes.append(shape)
        return kinds

    def add(self, text: str, takes: tuple[int, ...], shape: Callable[..., Shape]) -> int:
        self.steps.append((text.replace("{name}", f"name='l{len(self.steps)}'"), takes))
        self.shapes.append(shape(*(self.shapes[i] for i in takes)))
        return len(self.shapes) - 1

    def branch(self, kind: str, at: int) -> int:
        """Some layers from the value ``at`` on."""
        rng = self.rng
        if self.inputs[at][1] is not None:
            mask, size = rng.random() < 0.6, rng.randint(1, 4)
            at = self.add(f"Embedding(6, {size}, mask_zero={mask}, {{name}})", (at,), lambda s: (*s, size))
        elif kind == "sequence" and rng.random() < 0.15:
            at = self.add("Masking(0.25, {name})", (at,), lambda s: s)
        for _ in range(rng.randint(1, 4)):
            before = at
            choices = list(self.choices(self.shapes[at]))
            text, shape = rng.choice(choices)
            at = self.add(text, (at,), shape)
            if self.shapes[at] == self.shapes[before] and rng.random() < 0.3:
                merge = rng.choice(("Add", "Multiply", "Average", "Maximum", "Minimum", "Subtract"))
                at = self.add(f"{merge}({{name}})", (at, before), lambda a, b: a)
        return at

    def flat(self, at: int) -> int:
        rank = len(self.shapes[at])
        if rank == 1:
            return at
        ways = [f"Global{kind}Pooling{rank - 1}D({{name}})" for kind in ("Average", "Max")]
        if rank == 2:
            ways += [f"{kind}({self.rng.randint(1, 3)}, {{name}})" for kind in ("LSTM", "GRU", "SimpleRNN")]
        way = self.rng.choice(ways if self.free else [*ways, "Flatten({name})"])

        def shape(s: Shape) -> Shape:
            if way.startswith("Flatten"):
                return (int(np.prod(s)),)
            return (s[-1],) if way.startswith("Global") else (int(way.split("(")[1].split(",")[0]),)

        return self.add(way, (at,), shape)

    def choices(self, shape: Shape) -> Iterator[Choice]:
        """Layers for a value of this shape."""
        yield from self.anywhere(shape)
        if len(shape) == 1:
            yield from self.on_vectors(shape[0])
        elif len(shape) == 2:
            yield from self.on_sequences()
        if 2 <= len(shape) <= 4:
            yield from self.on_space(len(shape) - 1, shape)

    def anywhere(self, shape: Shape) -> Iterator[Choice]:
        rng = self.rng
        act, units = rng.choice(ACTIVATIONS), rng.randint(1, 5)
        same: Callable[[Shape], Shape] = lambda s: s  # noqa: E731 a name for it makes the table below readable
        yield f"Activation({act!r}, {{name}})", same
        yield f"Dense({units}, {act!r}, use_bias={rng.random() < 0.8}, {{name}})", lambda s: (*s[:-1], units)
        yield f"LayerNormalization(epsilon=0.01, center={rng.random() < 0.5}, {{name}})", same
        yield "RMSNormalization(epsilon=0.01, {name})", same
        yield f"BatchNormalization(momentum=0.7, scale={rng.random() < 0.7}, {{name}})", same
        yield (
            f"ReLU(max_value={rng.choice((None, 0.75))}, negative_slope={rng.choice((0.0, 0.25))}, {{name}})",
            same,
        )
        yield "LeakyReLU(0.25, {name})", same
        yield "ELU(0.5, {name})", same
        yield f"Dropout({rng.choice((0.0, 0.0, 0.3))}, {{name}})", same
        if not any("Mask" in text or "mask_zero=True" in text for text, _ in self.steps):
            yield "Softmax({name})", same  # in Keras too its mask is one of elements, not of steps
        if not self.free:
            yield "PReLU({name})", same
            yield "ActivityRegularization(0.0, 0.0, {name})", same
        if shape[-1] % 2 == 0 and len(shape) > 1:
            yield "GroupNormalization(groups=2, epsilon=0.01, {name})", same

    def on_vectors(self, size: int) -> Iterator[Choice]:
        times = self.rng.randint(2, 4)
        yield f"RepeatVector({times}, {{name}})", lambda s: (times, *s)
        if size % 2 == 0:
            yield f"Reshape((2, {size // 2}), {{name}})", lambda s: (2, s[0] // 2)

    def on_sequences(self) -> Iterator[Choice]:
        rng = self.rng
        for kind in ("LSTM", "GRU", "SimpleRNN"):
            units = rng.randint(1, 4)
            options = f"{units}, return_sequences={rng.random() < 0.7}, go_backwards={rng.random() < 0.3}"
            options += f", use_bias={rng.random() < 0.8}"
            if rng.random() < 0.3:
                options += f", activation={rng.choice(('relu', 'softsign', 'tanh', 'sigmoid'))!r}"
            if kind == "GRU":
                options += f", reset_after={rng.random() < 0.6}"
            several = "return_sequences=True" in options

            def shape(s: Shape, units: int = units, several: bool = several) -> Shape:
                return (s[0], units) if several else (units,)

            yield f"{kind}({options}, {{name}})", shape
            inner, mode = (
                f"{kind}({units}, return_sequences={several})",
                rng.choice(("concat", "sum", "mul", "ave")),
            )
            factor = 2 if mode == "concat" else 1
            yield (
                f"Bidirectional({inner}, merge_mode={mode!r}, {{name}})",
                lambda s, u=units * factor, several=several: (s[0], u) if several else (u,),
            )
        units = rng.randint(1, 4)
        yield f"TimeDistributed(Dense({units}, 'tanh'), {{name}})", lambda s: (s[0], units)
        yield "SpatialDropout1D(0.0, {name})", lambda s: s
        if not self.free:
            yield "Permute((2, 1), {name})", lambda s: (s[1], s[0])

    def on_space(self, rank: int, shape: Shape) -> Iterator[Choice]:
        rng, space = self.rng, shape[:-1]
        kernel = rng.randint(1, 3)
        padding = "valid" if min(space) >= 2 * kernel and rng.random() < 0.5 else "same"
        strides = rng.choice((1, 1, 2))

        def moved(channels: int | None) -> Callable[[Shape], Shape]:
            def after(s: Shape) -> Shape:
                sizes = (n if padding == "same" else n - kernel + 1 for n in s[:-1])
                return (*(-(-n // strides) for n in sizes), s[-1] if channels is None else channels)

            return after

        options = f"strides={strides}, padding={padding!r}, {{name}}"
        filters = rng.randint(1, 4)
        yield (
            f"Conv{rank}D({filters}, {kernel}, activation={rng.choice(ACTIVATIONS[:8])!r}, {options})",
            moved(filters),
        )
        if rank < 3:
            yield f"DepthwiseConv{rank}D({kernel}, depth_multiplier=2, {options})", moved(2 * shape[-1])
            for kind in ("Max", "Average"):
                yield f"{kind}Pooling{rank}D({kernel}, {options})", moved(None)
            yield f"ZeroPadding{rank}D(1, {{name}})", lambda s: (*(n + 2 for n in s[:-1]), s[-1])
            if min(space) > 3:
                yield f"Cropping{rank}D(1, {{name}})", lambda s: (*(n - 2 for n in s[:-1]), s[-1])
            if max(space) < 8:
                yield f"UpSampling{rank}D(2, {{name}})", lambda s: (*(n * 2 for n in s[:-1]), s[-1])
        if rank == 2:
            yield f"SeparableConv2D({filters}, {kernel}, {options})", moved(filters)
            yield "SpatialDropout2D(0.0, {name})", lambda s: s
            units = rng.randint(1, 3)
            yield f"TimeDistributed(LSTM({units}), {{name}})", lambda s: (s[0], units)
