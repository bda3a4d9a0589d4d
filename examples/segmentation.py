"""Segmentation: which pixels are a disc, a square or background; a small U-Net (Ronneberger et al. 2015).

    python examples/segmentation.py --backend torch

The images are drawn: a disc and a square of random size, place and brightness, in noise.
"""

from __future__ import annotations

import argparse
from typing import Any

import numpy as np

import unifront as uf
from unifront import layers

SIZE, CLASSES = 32, 3


def draw(count: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Images ``[count, 32, 32, 1]`` and the class of each of their pixels ``[count, 32, 32]``."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[:SIZE, :SIZE]
    masks = np.zeros((count, SIZE, SIZE), "int32")
    for mask in masks:
        (cx, cy), radius = rng.uniform(6, SIZE - 6, 2), rng.uniform(3, 6)
        mask[(x - cx) ** 2 + (y - cy) ** 2 <= radius**2] = 1
        (cx, cy), half = rng.uniform(6, SIZE - 6, 2), rng.uniform(2, 5)
        mask[np.maximum(abs(x - cx), abs(y - cy)) <= half] = 2
    brightness = np.concatenate([np.zeros((count, 1)), rng.uniform(0.5, 1, (count, 2))], axis=1)
    images = np.take_along_axis(brightness, masks.reshape(count, -1), 1).reshape(masks.shape)
    return (images + rng.normal(0, 0.2, masks.shape)).astype("float32")[..., None], masks


def double_conv(x: Any, filters: int) -> Any:
    for _ in range(2):
        x = layers.Conv2D(filters, 3, padding="same", use_bias=False)(x)
        x = layers.BatchNormalization(momentum=0.9)(x)
        x = layers.ReLU()(x)
    return x


def unet(filters: int = 8, depth: int = 2) -> uf.Model:
    image = uf.Input((SIZE, SIZE, 1), name="image")
    x, skips = image, []
    for level in range(depth):
        x = double_conv(x, filters * 2**level)
        skips.append(x)
        x = layers.MaxPooling2D()(x)
    x = double_conv(x, filters * 2**depth)
    for level in reversed(range(depth)):
        x = layers.Conv2DTranspose(filters * 2**level, 2, strides=2)(x)
        x = double_conv(layers.Concatenate()([x, skips[level]]), filters * 2**level)
    return uf.Model(image, layers.Conv2D(CLASSES, 1, name="logits")(x), name="unet")


def main(backend: str | None = None, quick: bool = False) -> list[float]:
    uf.set_seed(0)
    x, y = draw(32 if quick else 1000, seed=0)
    model = unet(4, 1) if quick else unet()
    model.compile(
        uf.optimizers.Adam(0.01),
        loss=uf.losses.SparseCategoricalCrossentropy(from_logits=True),
        metrics=[uf.metrics.MeanIoU(CLASSES, sparse_y_pred=False, name="iou")],
        backend=backend,
    )
    history = model.fit(x, y, batch_size=16, epochs=3 if quick else 10, verbose=0 if quick else 2)
    if not quick:
        x_test, y_test = draw(200, seed=1)
        loss, iou = model.evaluate(x_test, y_test, verbose=0)
        print(f"on images it has not seen: loss {loss:.3f}, mean intersection over union {iou:.3f}")
        for row in model.predict(x_test[:1], verbose=0)[0].argmax(-1)[::2]:
            print("".join(".o#"[one] for one in row))
    return history.history["loss"]


if __name__ == "__main__":
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--backend", help="torch, jax or tensorflow")
    parser.add_argument("--quick", action="store_true", help="a few steps on little data")
    losses = main(**vars(parser.parse_args()))
    assert losses[-1] < losses[0], losses
