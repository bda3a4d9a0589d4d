"""Convolutional LSTMs that forecast the next frames of a film (Shi et al. 2015)."""

from collections.abc import Callable, Sequence
from typing import Any

import unifront as uf
from unifront import layers, ops


class PeepholeConvLSTM(uf.Layer):
    """An LSTM of convolutions whose gates also see the cells, channel by channel (equation 3).

    ``x[batch, time, height, width, channels]``, and perhaps the states ``h`` and ``c`` to begin from → the outputs of
    all steps, and the last ``h`` and ``c``. With ``steps`` it goes on for so many without an input: ``x`` is not read.

    Its weights are ``kernel`` (unless ``steps``), ``recurrent_kernel``, ``bias[4 * filters]`` and
    ``peephole[3, filters]``; gates are in the order i, f, c, o.
    """

    def __init__(self, filters: int, size: int, steps: int | None = None, **options: Any) -> None:
        super().__init__(**options)
        self.filters, self.size, self.steps = filters, size, steps

    def build(self, x: Any, *_: Any) -> None:
        self.kernel: Any = None
        if self.steps is None:
            self.kernel = self.add_weight(
                (self.size, self.size, x[-1], 4 * self.filters), "glorot_uniform", name="kernel"
            )
        shape = (self.size, self.size, self.filters, 4 * self.filters)
        self.recurrent_kernel = self.add_weight(shape, "orthogonal", name="recurrent_kernel")
        self.bias = self.add_weight((4 * self.filters,), "zeros", name="bias")
        self.peephole = self.add_weight((3, self.filters), "zeros", name="peephole")

    def _enter(self, x: Any) -> Any:
        """What the inputs add to the gates of all steps, time first."""
        batch, time, height, width, channels = ops.shape(x)
        frames = ops.reshape(x, (batch * time, height, width, channels))
        sums = ops.conv(frames, self.kernel, 1, "same")
        return ops.swapaxes(ops.reshape(sums, (batch, time, height, width, 4 * self.filters)), 0, 1)

    def call(self, x: Any, h: Any = None, c: Any = None) -> Any:
        if h is None:
            h = c = ops.zeros((ops.shape(x)[0], *ops.shape(x)[2:4], self.filters), self.compute_dtype, like=x)
        of_input, of_forget, of_output = (self.peephole[i] for i in range(3))

        def body(state: Any, entered: Any) -> tuple[Any, Any]:
            h, c = state
            sums = ops.conv(h, self.recurrent_kernel, 1, "same", bias=self.bias)
            i, f, g, o = ops.split(sums if entered is None else ops.add(sums, entered), 4, axis=-1)
            i = ops.sigmoid(ops.add(i, ops.multiply(of_input, c)))
            f = ops.sigmoid(ops.add(f, ops.multiply(of_forget, c)))
            c = ops.add(ops.multiply(f, c), ops.multiply(i, ops.tanh(g)))
            h = ops.multiply(ops.sigmoid(ops.add(o, ops.multiply(of_output, c))), ops.tanh(c))
            return [h, c], h

        entered = None if self.steps is not None else self._enter(x)
        (h, c), outputs = ops.scan(body, [h, c], entered, length=self.steps)
        return ops.swapaxes(outputs, 0, 1), h, c


class Patches(uf.Layer):
    """Frames as smaller ones of more channels, each a square of pixels; ``back``: such frames as they were."""

    def __init__(self, size: int, back: bool = False, **options: Any) -> None:
        super().__init__(**options)
        self.size, self.back = size, back

    def call(self, x: Any) -> Any:
        batch, time, height, width, channels = ops.shape(x)
        n = self.size
        if self.back:
            x = ops.reshape(x, (batch, time, height, width, n, n, channels // n**2))
            x = ops.transpose(x, (0, 1, 2, 4, 3, 5, 6))
            return ops.reshape(x, (batch, time, height * n, width * n, channels // n**2))
        x = ops.reshape(x, (batch, time, height // n, n, width // n, n, channels))
        x = ops.transpose(x, (0, 1, 2, 4, 3, 5, 6))
        return ops.reshape(x, (batch, time, height // n, width // n, n * n * channels))


@uf.zoo.register("conv_lstm", source="Shi et al. 2015, 3 layers on Moving MNIST", parameters=7_585_296)
def conv_lstm(
    input_shape: tuple[int | None, int, int, int] = (10, 64, 64, 1), ahead: int = 10,
    filters: Sequence[int] = (128, 64, 64), size: int = 5, patch: int = 4,
    activation: str | Callable[..., Any] | None = "sigmoid",
) -> uf.Model:  # fmt: skip
    """Frames ``[batch, time, height, width, channels]`` → the ``ahead`` next ones, ``[batch, ahead, height, …]``.

    7.6 M parameters (the paper's 7,585,296), 19.4 G multiply-adds for ten frames and ten further ones. The encoder
    reads the frames; the forecaster begins with its states, has no input, and a 1×1 convolution of all its outputs
    makes the frames, in patches of 4×4 pixels. ``activation=None`` gives logits. Train it with binary cross-entropy.

    Raises `ArgumentError` where patches do not fill the frames.
    """
    _, height, width, channels = input_shape
    if height % patch or width % patch:
        raise uf.errors.ArgumentError(
            f"conv_lstm: frames of {height}×{width} are not made of patches of {patch}×{patch}."
        )
    frames = uf.Input(("time" if input_shape[0] is None else input_shape[0], *input_shape[1:]), name="frames")
    x, states = Patches(patch, name="patches")(frames), []
    for i, count in enumerate(filters):
        x, h, c = PeepholeConvLSTM(count, size, name=f"encoder_{i + 1}")(x)
        states.append((h, c))
    outputs: list[Any] = []
    for i, (count, state) in enumerate(zip(filters, states, strict=True)):
        layer = PeepholeConvLSTM(count, size, None if i else ahead, name=f"forecaster_{i + 1}")
        outputs.append(layer(outputs[-1] if i else state[0], *state)[0])
    x = layers.Concatenate(name="outputs")(outputs)
    x = layers.Dense(channels * patch**2, activation=activation, name="predictions")(x)
    return uf.Model(frames, Patches(patch, back=True, name="frames_ahead")(x), name="conv_lstm")
