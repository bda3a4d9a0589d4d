"""The layers that a random model may have next, as text that Keras and unifront both understand."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

Shape = tuple[int, ...]
SMOOTH = (
    "tanh", "sigmoid", "softplus", "softsign", "elu", "selu", "silu", "linear", "exponential", "hard_sigmoid",
)  # fmt: skip
ACTIVATIONS = (*SMOOTH, "relu", "relu6", "softmax", "leaky_relu", "gelu")
SINGLE = ("leaky_relu", "gelu", "LeakyReLU", "MultiHeadAttention", "GroupQueryAttention")
"""Keras on TensorFlow keeps constants of these in float32: slopes, roots of sizes."""
DRAWING = ("Dropout(0.3", "GaussianNoise(0.3")
"""How layers begin that draw random numbers while training."""
ONE, SEVERAL = "layer(x[0])", "layer(x)"


class Choice(NamedTuple):
    """A layer as text, the shape it gives, its call as text, and the values it takes beside the first."""

    layer: str
    shape: Callable[..., Shape]
    call: str = ONE
    others: tuple[int, ...] = ()


def choices(
    rng: random.Random, shapes: Sequence[Shape], at: int, *, free: bool, masked: bool
) -> Iterator[Choice]:
    """Layers for the value ``at`` of those whose shapes these are.

    Args:
        free: whether sizes of time, height and width may be free, so that layers that must know them are left out.
        masked: whether some value may have a mask.
    """
    yield from _Choices(rng, shapes, at, free, masked).all()


class _Choices:
    def __init__(
        self, rng: random.Random, shapes: Sequence[Shape], at: int, free: bool, masked: bool
    ) -> None:
        self.rng, self.shapes, self.at, self.free, self.masked = rng, shapes, at, free, masked

    def all(self) -> Iterator[Choice]:
        shape = self.shapes[self.at]
        yield from self.anywhere(shape)
        if len(shape) == 1:
            yield from self.on_vectors(shape[0])
        elif len(shape) == 2:
            yield from self.on_sequences()
            yield from self.with_attention(shape)
            yield from self.with_cells()
        if len(shape) > 1:
            yield from self.over_time(shape)
        if 2 <= len(shape) <= 4:
            yield from self.on_space(len(shape) - 1, shape)
            yield from self.transposed(len(shape) - 1, shape)

    def anywhere(self, shape: Shape) -> Iterator[Choice]:
        rng = self.rng
        act, units = rng.choice(ACTIVATIONS), rng.randint(1, 5)
        maximum, slope = rng.choice((None, 0.75)), rng.choice((0.0, 0.25))
        same = [
            f"Activation({act!r}, {{name}})",
            f"LayerNormalization(epsilon=0.01, center={rng.random() < 0.5}, {{name}})",
            "RMSNormalization(epsilon=0.01, {name})",
            f"BatchNormalization(momentum=0.7, scale={rng.random() < 0.7}, {{name}})",
            f"ReLU(max_value={maximum}, negative_slope={slope}, {{name}})",
            "LeakyReLU(0.25, {name})",
            "ELU(0.5, {name})",
            f"{rng.choice(('', 'Gaussian', 'Alpha'))}Dropout({rng.choice((0.0, 0.0, 0.3))}, {{name}})",
            f"GaussianNoise({rng.choice((0.0, 0.0, 0.3))}, {{name}})",
            "Identity({name})",
            "UnitNormalization({name})",
            "Normalization(mean=0.25, variance=4.0, {name})",
            "Rescaling(0.5, 0.25, {name})",
        ]
        if not self.masked:
            same.append("Softmax({name})")  # in Keras too its mask is one of elements, not of steps
        if not self.free:
            same += ["PReLU({name})", "ActivityRegularization(0.0, 0.0, {name})"]
            same.append(f"LayerNormalization(axis={rng.randint(1, len(shape))}, epsilon=0.01, {{name}})")
        if shape[-1] % 2 == 0 and len(shape) > 1:
            same.append("GroupNormalization(groups=2, epsilon=0.01, {name})")
        for layer in same:
            yield Choice(layer, lambda s: s)

        def wide(s: Shape) -> Shape:
            return (*s[:-1], units)

        yield Choice(f"Dense({units}, {act!r}, use_bias={rng.random() < 0.8}, {{name}})", wide)
        axes = "abcde"[: len(shape)]
        sizes = (*((None,) * (len(shape) - 1) if self.free else shape[:-1]), units)
        yield Choice(
            f"EinsumDense('...{axes},{axes[-1]}y->...{axes[:-1]}y', {sizes}, bias_axes='y', {{name}})", wide
        )
        yield Choice(f"SpectralNormalization(Dense({units}), power_iterations=2, {{name}})", wide)

    def on_vectors(self, size: int) -> Iterator[Choice]:
        times = self.rng.randint(2, 4)
        yield Choice(f"RepeatVector({times}, {{name}})", lambda s: (times, *s))
        if size % 2 == 0:
            yield Choice(f"Reshape((2, {size // 2}), {{name}})", lambda s: (2, s[0] // 2))

    def on_sequences(self) -> Iterator[Choice]:
        rng = self.rng
        for kind in ("LSTM", "GRU", "SimpleRNN"):
            units, several = rng.randint(1, 4), rng.random() < 0.7
            options = f"{units}, return_sequences={several}, go_backwards={rng.random() < 0.3}"
            options += f", use_bias={rng.random() < 0.8}"
            if rng.random() < 0.3:
                options += f", activation={rng.choice(('relu', 'softsign', 'tanh', 'sigmoid'))!r}"
            if kind == "GRU":
                options += f", reset_after={rng.random() < 0.6}"
            yield Choice(f"{kind}({options}, {{name}})", _steps(units, several))
            inner = f"{kind}({units}, return_sequences={several})"
            mode = rng.choice(("concat", "sum", "mul", "ave"))
            yield Choice(
                f"Bidirectional({inner}, merge_mode={mode!r}, {{name}})",
                _steps(2 * units if mode == "concat" else units, several),
            )
        if not self.free:
            yield Choice("Permute((2, 1), {name})", lambda s: (s[1], s[0]))

    def with_cells(self) -> Iterator[Choice]:
        rng = self.rng
        kinds, sizes = ("LSTMCell", "GRUCell", "SimpleRNNCell"), [rng.randint(1, 3) for _ in range(2)]
        cells = [f"{rng.choice(kinds)}({size})" for size in sizes]
        listed = f"[{', '.join(cells)}]"
        for cell, units in (
            (cells[0], sizes[0]),
            (rng.choice((listed, f"StackedRNNCells({listed})")), sizes[1]),
        ):
            several = rng.random() < 0.6
            layer = f"RNN({cell}, return_sequences={several}"
            yield Choice(f"{layer}, go_backwards={rng.random() < 0.3}, {{name}})", _steps(units, several))
        yield Choice(f"Bidirectional({layer}), merge_mode='sum', {{name}})", _steps(units, several))

    def with_attention(self, shape: Shape) -> Iterator[Choice]:
        """Of the value with itself, or with another sequence."""
        rng = self.rng
        any_size = [i for i, one in enumerate(self.shapes) if len(one) == 2 and i != self.at]
        same_size = [i for i in any_size if self.shapes[i][1] == shape[1]]

        def of(layer: str, others: Sequence[int], call: str) -> Choice:
            other = (rng.choice(others),) if others and rng.random() < 0.6 else ()
            causal = ", use_causal_mask=True" if rng.random() < 0.3 else ""
            second = self.shapes[other[0]] if other else shape
            last = shape[1] if call == "x[0], {}" else second[1]
            called = f"layer({call.format(f'x[{len(other)}]')}{causal})"
            return Choice(layer, lambda s, *_: (s[0], last), called, other)

        heads, size, bias = rng.randint(1, 3), rng.randint(1, 3), rng.random() < 0.7
        yield of(f"MultiHeadAttention({heads}, {size}, use_bias={bias}, {{name}})", any_size, "x[0], {}")
        yield of(
            f"GroupQueryAttention({size + 1}, {2 * heads}, {heads}, use_bias={bias}, {{name}})",
            same_size,
            "x[0], {}",
        )
        scale, mode = rng.random() < 0.5, rng.choice(("dot", "concat"))
        yield of(f"Attention({scale}, {mode!r}, {{name}})", same_size, "[x[0], {}]")
        yield of(f"AdditiveAttention({scale}, {{name}})", same_size, "[x[0], {}]")

    def over_time(self, shape: Shape) -> Iterator[Choice]:
        rng = self.rng
        units, several = rng.randint(1, 3), rng.random() < 0.5
        inner = {
            2: (("Dense({}, 'tanh')", lambda s: (*s[:-1], units)),),
            3: (("LSTM({})", lambda s: (s[0], units)), ("Conv1D({}, 2, padding='same')", lambda s: (*s[:-1], units))),
            4: (("Conv2D({}, 2, padding='same')", lambda s: (*s[:-1], units)),),
        }.get(len(shape), ())  # fmt: skip
        for layer, after in inner:
            yield Choice(f"TimeDistributed({layer.format(units)}, {{name}})", after)
        if 3 <= len(shape) <= 4 and not self.free:
            options = f"{units}, 2, padding='same', return_sequences={several}"
            yield Choice(
                f"ConvLSTM{len(shape) - 2}D({options}, {{name}})",
                lambda s: (*(s if several else s[1:])[:-1], units),
            )

    def on_space(self, rank: int, shape: Shape) -> Iterator[Choice]:
        rng, space = self.rng, shape[:-1]
        kernel = rng.randint(1, 3)
        padding = "valid" if min(space) >= 2 * kernel and rng.random() < 0.5 else "same"
        strides = rng.choice((1, 1, 2))

        def moved(channels: int | None) -> Callable[[Shape], Shape]:
            def after(s: Shape) -> Shape:
                sizes = (n if padding != "valid" else n - kernel + 1 for n in s[:-1])
                return (*(-(-n // strides) for n in sizes), s[-1] if channels is None else channels)

            return after

        options = f"strides={strides}, padding={padding!r}, {{name}}"
        filters, act = rng.randint(1, 4), rng.choice(ACTIVATIONS[:8])
        yield Choice(f"Conv{rank}D({filters}, {kernel}, activation={act!r}, {options})", moved(filters))
        for kind in ("Max", "Average"):
            if rank == 3 and not self.free:
                continue  # TensorFlow, by which Keras judges, has none in float64
            yield Choice(f"{kind}Pooling{rank}D({kernel}, {options})", moved(None))
            if not self.free and kind == "Average":  # the gradient of Keras's other one is what lay in memory
                size = rng.randint(1, min(space))
                yield Choice(
                    f"AdaptiveAveragePooling{rank}D({size}, {{name}})", _spread(lambda n, size=size: size)
                )
        yield Choice(f"SpatialDropout{rank}D(0.0, {{name}})", lambda s: s)
        yield Choice(f"ZeroPadding{rank}D(1, {{name}})", _spread(lambda n: n + 2))
        if min(space) > 3:
            yield Choice(f"Cropping{rank}D(1, {{name}})", _spread(lambda n: n - 2))
        if max(space) < 8:
            yield Choice(f"UpSampling{rank}D(2, {{name}})", _spread(lambda n: 2 * n))
        if rank < 3:
            yield Choice(
                f"DepthwiseConv{rank}D({kernel}, depth_multiplier=2, {options})", moved(2 * shape[-1])
            )
            yield Choice(f"SeparableConv{rank}D({filters}, {kernel}, {options})", moved(filters))
        if rank == 1:
            dilated = f"padding='causal', dilation_rate={rng.randint(1, 2)}"
            yield Choice(f"Conv1D({filters}, 2, {dilated}, {{name}})", lambda s: (s[0], filters))

    def transposed(self, rank: int, shape: Shape) -> Iterator[Choice]:
        rng = self.rng
        if max(shape[:-1]) >= 8:
            return
        filters, kernel, strides = rng.randint(1, 4), rng.randint(1, 3), rng.randint(1, 2)
        padding = rng.choice(("valid", "same"))
        more = max(kernel - strides, 0) if padding == "valid" else 0
        yield Choice(
            f"Conv{rank}DTranspose({filters}, {kernel}, strides={strides}, padding={padding!r}, {{name}})",
            lambda s: (*(n * strides + more for n in s[:-1]), filters),
        )


def _steps(units: int, several: bool) -> Callable[[Shape], Shape]:
    """The shape that a recurrent layer gives."""
    return lambda s: (s[0], units) if several else (units,)


def _spread(size: Callable[[int], int]) -> Callable[[Shape], Shape]:
    """The shape with each size of time, height and width changed so."""
    return lambda s: (*map(size, s[:-1]), s[-1])
