"""What the classic CNNs share: the head, a builder's variants, and pooling that rounds up."""

import functools
from collections.abc import Callable
from typing import Any

import unifront as uf
from unifront import layers


def head(x: Any, classes: int | None, activation: Any, dropout: float = 0.0) -> Any:
    """The mean over all places, then ``classes`` units; the feature map itself for ``classes=None``."""
    if classes is None:
        return x
    x = layers.GlobalAveragePooling2D(name="avg_pool")(x)
    if dropout:
        x = layers.Dropout(dropout, name="dropout")(x)
    return layers.Dense(classes, activation=activation, name="predictions")(x)


def resized(x: Any, size: int, name: str) -> Any:
    """Adaptive average pooling to ``size`` × ``size``, where ``x`` is not of that size already."""
    if tuple(x.shape[1:3]) == (size, size):
        return x
    return layers.AdaptiveAveragePooling2D(size, name=name)(x)


def pool_up(x: Any, size: int, name: str) -> Any:
    """Max pooling with stride 2 whose last window may hang over the end, as Caffe's and PyTorch's ``ceil_mode``.

    ``x`` is 0 or more: a window of 3 hangs over one row of zeros where the number of rows is even.
    """
    if size == 2 or all(isinstance(n, int) and n % 2 == 0 for n in x.shape[1:3]):
        return layers.MaxPooling2D(size, 2, padding="same", name=name)(x)
    if not all(isinstance(n, int) and n % 2 for n in x.shape[1:3]):
        x = layers.ZeroPadding2D(((0, 1), (0, 1)), name=f"{name}_pad")(x)
    return layers.MaxPooling2D(size, 2, name=name)(x)


def variant(
    build: Callable[..., uf.Model], *fixed: Any, summary: str, **defaults: Any
) -> Callable[..., uf.Model]:
    """``build`` with its first arguments ``fixed`` and other ``defaults``; ``fixed[0]`` is its name."""
    made = functools.partial(build, *fixed, **defaults)
    made.__module__, made.__doc__ = build.__module__, summary
    made.__name__ = made.__qualname__ = fixed[0]
    return made
