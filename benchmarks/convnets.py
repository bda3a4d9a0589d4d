"""The four networks of convnet-benchmarks (github.com/soumith/convnet-benchmarks) as tables, and their weights.

Its protocol: synthetic images, batches of 128 (64 for VGG-A), the time of a forward pass and of forward and backward.
The networks are those of its scripts for Torch: AlexNet with one tower ("One weird trick", Krizhevsky 2014), the fast
model of OverFeat (Sermanet et al. 2013), VGG-A (Simonyan and Zisserman 2014), and GoogLeNet (Szegedy et al. 2014), all
without dropout, local response normalization and auxiliary classifiers. ReLU follows each convolution and each dense
layer but the last.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass


@dataclass(frozen=True)
class Conv:
    """``padding`` is on each side."""

    filters: int
    size: int
    stride: int = 1
    padding: int = 0


@dataclass(frozen=True)
class Pool:
    """The largest of each window, ``stride`` 2; ``over``: the last window may hang over the end."""

    size: int
    over: bool = False


@dataclass(frozen=True)
class Inception:
    """1×1, 3×3 after a reduction, 5×5 after a reduction, and a projection of the pooled input, side by side."""

    one: int
    reduce_3: int
    three: int
    reduce_5: int
    five: int
    project: int

    def convolutions(self, channels: int) -> dict[str, tuple[int, int, int, int]]:
        """The shape of each kernel by its name."""
        return {
            "one": (1, 1, channels, self.one),
            "reduce_3": (1, 1, channels, self.reduce_3),
            "three": (3, 3, self.reduce_3, self.three),
            "reduce_5": (1, 1, channels, self.reduce_5),
            "five": (5, 5, self.reduce_5, self.five),
            "project": (1, 1, channels, self.project),
        }

    @property
    def filters(self) -> int:
        return self.one + self.three + self.five + self.project


@dataclass(frozen=True)
class Dense:
    """Of what came before, flattened."""

    units: int


Part = Conv | Pool | Inception | Dense

NETWORKS: dict[str, tuple[Part, ...]] = {
    "alexnet": (
        Conv(64, 11, 4, 2), Pool(3), Conv(192, 5, 1, 2), Pool(3),
        Conv(384, 3, 1, 1), Conv(256, 3, 1, 1), Conv(256, 3, 1, 1), Pool(3), Dense(4096), Dense(4096),
    ),
    "overfeat": (
        Conv(96, 11, 4), Pool(2), Conv(256, 5), Pool(2),
        Conv(512, 3, 1, 1), Conv(1024, 3, 1, 1), Conv(1024, 3, 1, 1), Pool(2), Dense(3072), Dense(4096),
    ),
    "vgg_a": (
        Conv(64, 3, 1, 1), Pool(2), Conv(128, 3, 1, 1), Pool(2), *[Conv(256, 3, 1, 1)] * 2, Pool(2),
        *[Conv(512, 3, 1, 1)] * 2, Pool(2), *[Conv(512, 3, 1, 1)] * 2, Pool(2), Dense(4096), Dense(4096),
    ),
    "googlenet": (
        Conv(64, 7, 2, 3), Pool(3, over=True), Conv(64, 1), Conv(192, 3, 1, 1), Pool(3, over=True),
        Inception(64, 96, 128, 16, 32, 32), Inception(128, 128, 192, 32, 96, 64), Pool(3, over=True),
        Inception(192, 96, 208, 16, 48, 64), Inception(160, 112, 224, 24, 64, 64),
        Inception(128, 128, 256, 24, 64, 64), Inception(112, 144, 288, 32, 64, 64),
        Inception(256, 160, 320, 32, 128, 128), Pool(3, over=True),
        Inception(256, 160, 320, 32, 128, 128), Inception(384, 192, 384, 48, 128, 128),
    ),
}  # fmt: skip
"""After the last part come the mean over all places, where it is no dense layer, and the logits."""


def kernels(name: str, input_shape: tuple[int, ...], classes: int) -> Iterator[tuple[str, tuple[int, ...]]]:
    """The layers with weights and the shapes of their kernels, called by their places: ``body_3``, ``body_5_three``."""
    size, _, channels = input_shape
    flat = 0
    for place, part in enumerate(NETWORKS[name]):
        layer = f"body_{place}"
        match part:
            case Conv():
                yield layer, (part.size, part.size, channels, part.filters)
                size, channels = (size + 2 * part.padding - part.size) // part.stride + 1, part.filters
            case Pool():
                size = (size - part.size + part.over) // 2 + 1
            case Inception():
                yield from ((f"{layer}_{name}", shape) for name, shape in part.convolutions(channels).items())
                channels = part.filters
            case Dense():
                yield layer, (flat or size * size * channels, part.units)
                flat = part.units
    yield "logits", (flat or channels, classes)
