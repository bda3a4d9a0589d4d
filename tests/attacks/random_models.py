"""Random models over the table of layers, as text that Keras and unifront both understand."""

from __future__ import annotations

import random
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from tests.attacks.random_choices import DRAWING, ONE, SEVERAL, SINGLE, Shape, choices


class Step(NamedTuple):
    """A layer as text, the values it takes, and its call as text, on ``x``, the list of these values."""

    layer: str
    takes: tuple[int, ...]
    call: str


@dataclass(frozen=True)
class Program:
    """A model: ``steps``, whose values are numbered, beginning with the inputs; the last is given.

    Args:
        inputs: the shape of each input without its batch, and below what its integers are (None: floats).
        sizes: ``inputs`` with None for sizes that may be free.
    """

    seed: int
    inputs: tuple[tuple[tuple[int, ...], int | None], ...]
    sizes: tuple[tuple[int | None, ...], ...]
    steps: tuple[Step, ...]

    def __str__(self) -> str:
        lines = [
            f"{i} = Input({shape}{', integers' if high else ''})"
            for i, (shape, high) in enumerate(self.inputs)
        ]
        lines += [
            f"{len(self.inputs) + n} = {layer}{takes}{'' if call in (ONE, SEVERAL) else f': {call}'}"
            for n, (layer, takes, call) in enumerate(self.steps)
        ]
        return f"seed {self.seed}:\n" + "\n".join(lines)

    @property
    def is_single(self) -> bool:
        """Whether Keras has constants of it in float32."""
        return any(name in step.layer for step in self.steps for name in SINGLE)

    @property
    def draws(self) -> bool:
        """Whether it draws random numbers while training."""
        return any(name in step.layer for step in self.steps for name in DRAWING)

    @property
    def kinds(self) -> set[str]:
        """The names of its layers, and of those inside."""
        return {name for step in self.steps for name in re.findall(r"\b([A-Z]\w*)\(", step.layer)}

    def build(self, names: dict[str, Any], free: bool = False) -> tuple[Any, list[Any]]:
        """The model, and its layers in the order of ``steps``, made of the layers in ``names``."""
        values = []
        for (shape, high), size in zip(self.inputs, self.sizes, strict=True):
            options = {"dtype": "int32"} if high else {}
            values.append(names["Input"](size if free else shape, **options))
        inputs, layers = list(values), []
        for layer, takes, call in self.steps:
            layers.append(eval(layer, names))
            values.append(eval(call, {"layer": layers[-1], "x": [values[i] for i in takes]}))
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


class _Drawing:
    def __init__(self, rng: random.Random, free: bool) -> None:
        self.rng, self.free = rng, free
        self.inputs: list[tuple[Shape, int | None]] = []
        self.steps: list[Step] = []
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
            flat = [
                self.add("Concatenate({name})", tuple(flat), lambda *s: (sum(one[0] for one in s),), SEVERAL)
            ]
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

    def add(self, layer: str, takes: tuple[int, ...], shape: Callable[..., Shape], call: str = ONE) -> int:
        self.steps.append(Step(layer.replace("{name}", f"name='l{len(self.steps)}'"), takes, call))
        self.shapes.append(shape(*(self.shapes[i] for i in takes)))
        return len(self.shapes) - 1

    def branch(self, kind: str, at: int) -> int:
        """Some layers from the value ``at`` on."""
        rng = self.rng
        if self.inputs[at][1] is not None:
            at = self.embedded(at)
        elif kind == "sequence" and rng.random() < 0.15:
            at = self.add("Masking(0.25, {name})", (at,), lambda s: s)
        elif kind == "vector" and rng.random() < 0.2:
            at = self.add("Discretization([-0.5, 0.0, 0.75], {name})", (at,), lambda s: s)
            at = self.embedded(at)
        for _ in range(rng.randint(1, 4)):
            before = at
            one = rng.choice(list(choices(rng, self.shapes, at, free=self.free, masked=self.is_masked)))
            at = self.add(one.layer, (at, *one.others), one.shape, one.call)
            if self.shapes[at] == self.shapes[before] and rng.random() < 0.3:
                at = self.merged(at, before)
        return at

    def embedded(self, at: int) -> int:
        rng = self.rng
        size, mask = rng.randint(1, 4), rng.random() < 0.6
        if rng.random() < 0.15:
            mode = rng.choice(("multi_hot", "count"))
            return self.add(f"CategoryEncoding(6, {mode!r}, {{name}})", (at,), lambda s: (6,))
        kind = rng.choice(("Embedding", "Embedding", "ReversibleEmbedding"))
        return self.add(f"{kind}(6, {size}, mask_zero={mask}, {{name}})", (at,), lambda s: (*s, size))

    def merged(self, at: int, before: int) -> int:
        """Two values of one shape as one."""
        rank = len(self.shapes[at])
        kinds = ["Add", "Multiply", "Average", "Maximum", "Minimum", "Subtract", "Concatenate"]
        if rank < 3 and not (self.free and rank > 1):
            kinds.append("Dot")
        kind = self.rng.choice(kinds)
        options = f"axes={rank}, normalize={self.rng.random() < 0.3}, " if kind == "Dot" else ""

        def shape(a: Shape, b: Shape) -> Shape:
            if kind == "Dot":
                return (*a[:-1], *b[:-1]) or (1,)
            return (*a[:-1], 2 * a[-1]) if kind == "Concatenate" else a

        return self.add(f"{kind}({options}{{name}})", (at, before), shape, SEVERAL)

    @property
    def is_masked(self) -> bool:
        """Whether there may be a mask."""
        return any("Mask" in step.layer or "mask_zero=True" in step.layer for step in self.steps)

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
