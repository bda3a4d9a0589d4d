"""The rows that are measured: model, batch, weights and data, told once and without any framework.

Every contender (hand-written native code, unifront, Keras) builds the row's model from the same weights,
which are named `layer/variable` and laid out as Keras lays them out: kernels `[in, out]` and `[height, width,
in, out]`, recurrent ones `[in, gates * units]` with the gates i, f, c, o (LSTM) and z, r, h (GRU,
`reset_after`).

mlp       64-128-128-10, ReLU.
cifar     The CNN of the "deep-learning rosetta stone" (github.com/ilkarman/DeepLearningFrameworks,
          Keras_TF_CNN): four 3×3 `same` convolutions of 50, 50, 100, 100 filters, each with ReLU; after the
          second and the fourth 2×2 max pooling and dropout .25; then dense 512 with ReLU, dropout .5 and the
          10 logits: 3,441,592 parameters. Its PyTorch and Gluon notebooks write the ReLU behind the pooling,
          which computes the same; here every contender keeps the order of the Keras notebook.
gru       Its IMDB model (Tensorflow_RNN): 30,000 words of 125 numbers, length 150, one GRU of 100, 2 logits.
lstm      Two LSTM of 256 over length 100 of 64 features, 10 logits from the last step.
transformer  Four blocks of d 256, each layer norm and attention of 8 heads, then layer norm, dense 1024 with GELU and
          dense 256, both with a residual; 128 tokens of 256 numbers, their mean, 10 logits.
mobilenet_v2  MobileNet v2 (Sandler et al. 2018) of width 1 at 224×224: 17 inverted residuals, ReLU6, 1000 logits.
          Strided convolutions are padded by 1 on each side, as in PyTorch's; batch norm as for resnet50. Optional.
convlstm  Two ConvLSTM2D of 16 filters 3×3 over 8 frames of 32×32×3, 10 logits of the mean of the last state.
chain     1,000 dense layers of 8 without activation, 10 logits: what a layer costs beside its arithmetic. Their
          kernels begin as identities, so that nothing vanishes. Optional, as Keras's recursion does not reach so deep.
resnet50  ResNet-50 as Keras Applications defines it: v1, the stride in the first 1×1, biases in the
          convolutions, batch norm with epsilon 1.001e-5 and momentum .99; 224×224, 1000 logits.

alexnet, overfeat, vgg_a, googlenet  The rows `convnets`: the networks of convnet-benchmarks, in its protocol; see
          convnets.py. Their training step is plain gradient descent, whose update is next to nothing beside the two
          passes: so the figures are forward, and forward and backward. Optional; VGG-A's weights and gradients alone
          are 1 GiB, the activations of a step some 4 GiB.

Adam everywhere else, as Keras defines it (learning rate 1e-3, betas .9 and .999, epsilon 1e-7), on the mean sparse
softmax cross-entropy of the logits, in float32.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import convnets
import numpy as np

SGD_RATE = 1e-2
LEARNING_RATE, BETA_1, BETA_2, EPSILON = 1e-3, 0.9, 0.999, 1e-7
CHAIN = 1000
BATCH_NORM_EPSILON, BATCH_NORM_MOMENTUM = 1.001e-5, 0.99

# ResNet-50: per stage its name, the filters, the number of blocks and the stride of the first one.
TRANSFORMER_BLOCKS, TOKENS, WIDTH, HEADS, INNER, LAYER_NORM_EPSILON = 4, 128, 256, 8, 1024, 1e-3
# MobileNet v2: expansion, filters, number of blocks and stride of the first one.
MOBILENET_V2_STAGES = (
    (1, 16, 1, 1), (6, 24, 2, 2), (6, 32, 3, 2), (6, 64, 4, 2), (6, 96, 3, 1), (6, 160, 3, 2), (6, 320, 1, 1),
)  # fmt: skip
FRAMES, SIDE, FILTERS = 8, 32, 16
RESNET50_STAGES = (("conv2", 64, 3, 1), ("conv3", 128, 4, 2), ("conv4", 256, 6, 2), ("conv5", 512, 3, 2))


@dataclass(frozen=True)
class Weight:
    """One weight: `layer/variable`, its shape, and the row of `INITIALIZERS` that fills it."""

    name: str
    shape: tuple[int, ...]
    initializer: str = "glorot_uniform"
    trainable: bool = True


@dataclass(frozen=True)
class Row:
    """One model on one batch shape. `vocabulary` is set where the inputs are word numbers."""

    name: str
    batch_size: int
    input_shape: tuple[int, ...]
    classes: int
    weights: tuple[Weight, ...]
    dropout: tuple[float, ...] = ()
    vocabulary: int | None = None
    # So many batches are gone through in turn: one alone is soon learned by heart, and denormal gradients are
    # slow.
    batches: int = 16
    optional: bool = False
    optimizer: str = "adam"

    @property
    def parameter_count(self) -> int:
        """How many numbers are trained."""
        return sum(int(np.prod(weight.shape)) for weight in self.weights if weight.trainable)

    def values(self) -> dict[str, np.ndarray]:
        """The initial weights by name, the same at every call."""
        generator = np.random.default_rng(0)
        return {
            weight.name: INITIALIZERS[weight.initializer](generator, weight.shape).astype(np.float32)
            for weight in self.weights
        }

    def layer_values(self) -> dict[str, dict[str, np.ndarray]]:
        """The initial weights as `{layer: {variable: value}}`."""
        layers: dict[str, dict[str, np.ndarray]] = {}
        for name, value in self.values().items():
            layer, variable = name.split("/", 1)
            layers.setdefault(layer, {})[variable] = value
        return layers

    def data(self) -> list[tuple[np.ndarray, np.ndarray]]:
        """The batches: inputs (float32, or int32 words) and int32 labels."""
        generator = np.random.default_rng(1)
        shape = (self.batch_size, *self.input_shape)

        def inputs() -> np.ndarray:
            if self.vocabulary is None:
                return generator.standard_normal(shape, np.float32)
            return generator.integers(0, self.vocabulary, shape, np.int32)

        def labels() -> np.ndarray:
            return generator.integers(0, self.classes, self.batch_size, np.int32)

        return [(inputs(), labels()) for _ in range(self.batches)]


def _glorot_uniform(generator: np.random.Generator, shape: tuple[int, ...]) -> np.ndarray:
    receptive_field = int(np.prod(shape[:-2]))
    limit = np.sqrt(6 / (receptive_field * (shape[-2] + shape[-1])))
    return generator.uniform(-limit, limit, shape)


INITIALIZERS = {
    "glorot_uniform": _glorot_uniform,
    "uniform": lambda generator, shape: generator.uniform(-0.05, 0.05, shape),
    "zeros": lambda generator, shape: np.zeros(shape),
    "identity": lambda generator, shape: np.eye(*shape),
    "ones": lambda generator, shape: np.ones(shape),
}


def _kernel_and_bias(layer: str, *shape: int) -> tuple[Weight, ...]:
    # Biases are not zero, so that a contender that drops or misplaces one is found out.
    return Weight(f"{layer}/kernel", shape), Weight(f"{layer}/bias", shape[-1:], "uniform")


def _batch_norm(layer: str, channels: int) -> tuple[Weight, ...]:
    return (
        Weight(f"{layer}/gamma", (channels,), "ones"),
        Weight(f"{layer}/beta", (channels,), "uniform"),
        Weight(f"{layer}/moving_mean", (channels,), "zeros", trainable=False),
        Weight(f"{layer}/moving_variance", (channels,), "ones", trainable=False),
    )


def _recurrent(
    layer: str, features: int, units: int, gates: int, bias: tuple[int, ...]
) -> tuple[Weight, ...]:
    return (
        Weight(f"{layer}/kernel", (features, gates * units)),
        Weight(f"{layer}/recurrent_kernel", (units, gates * units)),
        Weight(f"{layer}/bias", bias, "uniform"),
    )


def resnet50_blocks() -> Iterator[tuple[str, int, int, int, bool]]:
    """The 16 bottleneck blocks: name, channels in, filters, stride, whether the shortcut is a convolution."""
    channels = 64
    for stage, filters, blocks, stride in RESNET50_STAGES:
        for index in range(blocks):
            yield f"{stage}_block{index + 1}", channels, filters, stride if index == 0 else 1, index == 0
            channels = 4 * filters


def mobilenet_v2_blocks() -> Iterator[tuple[int, int, int, int]]:
    """The 17 inverted residuals: channels in, channels inside, filters, stride."""
    channels = 32
    for expansion, filters, blocks, stride in MOBILENET_V2_STAGES:
        for index in range(blocks):
            yield channels, expansion * channels, filters, stride if index == 0 else 1
            channels = filters


def _mobilenet_v2() -> Iterator[Weight]:
    def normalized(layer: str, *shape: int, channels: int | None = None) -> Iterator[Weight]:
        yield Weight(f"{layer}_conv/kernel", shape)
        yield from _batch_norm(f"{layer}_bn", channels or shape[-1])

    yield from normalized("stem", 3, 3, 3, 32)
    for number, (channels, inner, filters, _) in enumerate(mobilenet_v2_blocks()):
        if inner != channels:
            yield from normalized(f"body_{number}_expand", 1, 1, channels, inner)
        yield from normalized(f"body_{number}_depthwise", 3, 3, inner, 1, channels=inner)
        yield from normalized(f"body_{number}_project", 1, 1, inner, filters)
    yield from normalized("head", 1, 1, 320, 1280)
    yield from _kernel_and_bias("logits", 1280, 1000)


def _transformer() -> Iterator[Weight]:
    size = WIDTH // HEADS
    for number in range(TRANSFORMER_BLOCKS):
        block = f"body_{number}"
        for norm in ("norm_1", "norm_2"):
            yield Weight(f"{block}_{norm}/gamma", (WIDTH,), "ones")
            yield Weight(f"{block}_{norm}/beta", (WIDTH,), "uniform")
        for part in ("query", "key", "value"):
            yield Weight(f"{block}_attention/{part}/kernel", (WIDTH, HEADS, size))
            yield Weight(f"{block}_attention/{part}/bias", (HEADS, size), "uniform")
        yield Weight(f"{block}_attention/attention_output/kernel", (HEADS, size, WIDTH))
        yield Weight(f"{block}_attention/attention_output/bias", (WIDTH,), "uniform")
        yield from _kernel_and_bias(f"{block}_expand", WIDTH, INNER)
        yield from _kernel_and_bias(f"{block}_project", INNER, WIDTH)
    yield from _kernel_and_bias("logits", WIDTH, 10)


def _convlstm(layer: str, channels: int) -> tuple[Weight, ...]:
    return (
        Weight(f"{layer}/kernel", (3, 3, channels, 4 * FILTERS)),
        Weight(f"{layer}/recurrent_kernel", (3, 3, FILTERS, 4 * FILTERS)),
        Weight(f"{layer}/bias", (4 * FILTERS,), "uniform"),
    )


def _resnet50() -> Iterator[Weight]:
    yield from _kernel_and_bias("conv1_conv", 7, 7, 3, 64)
    yield from _batch_norm("conv1_bn", 64)
    for block, channels, filters, _, has_shortcut in resnet50_blocks():
        convolutions = {
            "1": (1, 1, channels, filters),
            "2": (3, 3, filters, filters),
            "3": (1, 1, filters, 4 * filters),
        }
        if has_shortcut:
            convolutions["0"] = (1, 1, channels, 4 * filters)
        for part, shape in convolutions.items():
            yield from _kernel_and_bias(f"{block}_{part}_conv", *shape)
            yield from _batch_norm(f"{block}_{part}_bn", shape[-1])
    yield from _kernel_and_bias("predictions", 2048, 1000)


def _convnet(name: str, batch_size: int, size: int) -> Row:
    """A row of convnet-benchmarks."""
    shape, classes = (size, size, 3), 1000
    weights = (
        weight
        for layer, kernel in convnets.kernels(name, shape, classes)
        for weight in _kernel_and_bias(layer, *kernel)
    )
    return Row(name, batch_size, shape, classes, tuple(weights), batches=2, optional=True, optimizer="sgd")


ROWS = {
    row.name: row
    for row in (
        Row(
            "mlp",
            batch_size=32,
            input_shape=(64,),
            classes=10,
            weights=(
                *_kernel_and_bias("dense_1", 64, 128),
                *_kernel_and_bias("dense_2", 128, 128),
                *_kernel_and_bias("logits", 128, 10),
            ),
            batches=256,
        ),
        Row(
            "cifar",
            batch_size=64,
            input_shape=(32, 32, 3),
            classes=10,
            weights=(
                *_kernel_and_bias("conv_1", 3, 3, 3, 50),
                *_kernel_and_bias("conv_2", 3, 3, 50, 50),
                *_kernel_and_bias("conv_3", 3, 3, 50, 100),
                *_kernel_and_bias("conv_4", 3, 3, 100, 100),
                *_kernel_and_bias("dense", 6400, 512),
                *_kernel_and_bias("logits", 512, 10),
            ),
            dropout=(0.25, 0.25, 0.5),
        ),
        Row(
            "gru",
            batch_size=64,
            input_shape=(150,),
            vocabulary=30_000,
            classes=2,
            weights=(
                Weight("embedding/embeddings", (30_000, 125), "uniform"),
                *_recurrent("gru", 125, 100, gates=3, bias=(2, 300)),
                *_kernel_and_bias("logits", 100, 2),
            ),
        ),
        Row(
            "lstm",
            batch_size=32,
            input_shape=(100, 64),
            classes=10,
            weights=(
                *_recurrent("lstm_1", 64, 256, gates=4, bias=(1024,)),
                *_recurrent("lstm_2", 256, 256, gates=4, bias=(1024,)),
                *_kernel_and_bias("logits", 256, 10),
            ),
        ),
        Row("transformer", 16, (TOKENS, WIDTH), 10, tuple(_transformer())),
        Row(
            "convlstm",
            batch_size=8,
            input_shape=(FRAMES, SIDE, SIDE, 3),
            classes=10,
            weights=(
                *_convlstm("convlstm_1", 3),
                *_convlstm("convlstm_2", FILTERS),
                *_kernel_and_bias("logits", FILTERS, 10),
            ),
        ),
        Row(
            "mobilenet_v2",
            batch_size=8,
            input_shape=(224, 224, 3),
            classes=1000,
            weights=tuple(_mobilenet_v2()),
            batches=4,
            optional=True,
        ),
        Row(
            "chain",
            batch_size=32,
            input_shape=(8,),
            classes=10,
            weights=(
                *(
                    weight
                    for number in range(CHAIN)
                    for weight in (
                        Weight(f"hidden_{number}/kernel", (8, 8), "identity"),
                        Weight(f"hidden_{number}/bias", (8,), "uniform"),
                    )
                ),
                *_kernel_and_bias("logits", 8, 10),
            ),
            optional=True,
        ),
        Row(
            "resnet50",
            batch_size=8,
            input_shape=(224, 224, 3),
            classes=1000,
            weights=tuple(_resnet50()),
            batches=4,
            optional=True,
        ),
        _convnet("alexnet", 128, 224),
        _convnet("overfeat", 128, 231),
        _convnet("vgg_a", 64, 224),
        _convnet("googlenet", 128, 224),
    )
}
GROUPS = {"convnets": ("alexnet", "overfeat", "vgg_a", "googlenet")}
"""Names that stand for several rows."""
