"""Recommenders over very many categories, hashed into embeddings of a fixed size (Weinberger et al. 2009)."""

from collections.abc import Sequence
from typing import Any

import unifront as uf
from unifront import layers, ops

_KNUTH = -1_640_531_527
"""2654435769, 2^32 divided by the golden ratio, as an int32 (Knuth, The Art of Computer Programming 3, 6.4)."""


def hashed(numbers: Any, buckets: int, seed: int = 0) -> Any:
    """A bucket from 1 to ``buckets - 1`` for each of ``numbers``, int32 of any shape; 0 stays 0, which is padding.

    It runs in the graph: products of 32 bits that wrap around, and shifts between them, so that near numbers fall far
    apart. Other seeds give other functions.
    """
    x = ops.bitwise_xor(ops.cast(numbers, "int32"), (seed * 0x9E3779B1 + 0x7F4A7C15) % 2**31)
    for shift in (16, 13):
        x = ops.bitwise_xor(x, ops.bitwise_and(ops.right_shift(x, shift), 2 ** (32 - shift) - 1))
        x = ops.multiply(x, ops.cast(_KNUTH, "int32"))
    x = ops.bitwise_and(ops.right_shift(x, 1), 2**31 - 1)  # not negative
    return ops.where(ops.equal(numbers, 0), 0, ops.add(ops.mod(x, buckets - 1), 1))


class HashedEmbedding(uf.Layer):
    """The sum of a vector for each hash of a number: ``[...]`` → ``[..., size]``, zeros for 0.

    With more than one hash, numbers that share a bucket of one seldom share that of another (Svenstrup et al. 2017).

    Args:
        buckets: how many vectors there are; the weight is ``embeddings[buckets, size]``.
        size: of a vector.
        hashes: how many functions.
        seed: which ones.
    """

    def __init__(self, buckets: int, size: int, hashes: int = 1, seed: int = 0, **options: Any) -> None:
        super().__init__(**options)
        self.buckets, self.size, self.hashes, self.seed = buckets, size, hashes, seed

    def build(self, shape: Any) -> None:
        self.embeddings = self.add_weight((self.buckets, self.size), "uniform", name="embeddings")

    def call(self, numbers: Any) -> Any:
        seeds = range(self.seed, self.seed + self.hashes)
        places = ops.stack([hashed(numbers, self.buckets, seed) for seed in seeds], axis=-1)
        found = ops.sum(ops.embedding(places, self.embeddings), axis=-2)
        return ops.where(ops.expand_dims(ops.equal(numbers, 0), -1), ops.zeros_like(found), found)


@uf.zoo.register("wide_deep", source="Cheng et al. 2016; hashed embeddings")
def wide_deep(
    categories: int = 26, numbers: int = 13, buckets: int = 1_000_000, embedding: int = 16, hashes: int = 2,
    hidden: Sequence[int] = (1024, 512, 256), dropout: float = 0.0,
    classes: int = 1,
) -> uf.Model:  # fmt: skip
    """Wide and deep: ``categories[batch, 26]`` of any int32 and ``numbers[batch, 13]`` → logits ``[batch, classes]``.

    18.1 M parameters, 17 M of them hashed embeddings; 1.1 M multiply-adds. The sizes are those of the Criteo data. The
    wide part is linear in the categories and in the pairs of neighbouring ones, all hashed; the deep one reads
    embeddings and numbers. Each column is hashed by itself; 0 is a missing category.
    """
    chosen = uf.Input((categories,), name="categories", dtype="int32")
    given = uf.Input((numbers,), name="numbers")
    column = uf.ops.arange(1, categories + 1, dtype="int32")
    own = ops.where(ops.equal(chosen, 0), 0, ops.bitwise_xor(chosen, ops.multiply(column, 0x01000193)))
    pairs = ops.add(ops.multiply(own[:, :-1], 31), own[:, 1:])
    wide = HashedEmbedding(buckets, classes, hashes, seed=11, name="wide")(
        ops.concatenate([own, pairs], axis=1)
    )
    x = HashedEmbedding(buckets, embedding, hashes, name="embedding")(own)
    x = ops.concatenate([layers.Flatten(name="embedded")(x), given], axis=1)
    for i, units in enumerate(hidden):
        x = layers.Dense(units, activation="relu", name=f"hidden_{i + 1}")(x)
        x = layers.Dropout(dropout, name=f"dropout_{i + 1}")(x)
    deep = layers.Dense(classes, name="predictions")(x)
    return uf.Model([chosen, given], ops.add(deep, ops.sum(wide, axis=1)), name="wide_deep")


@uf.zoo.register("sparse_autoencoder", source="Amazon DSSTNE, samples/movielens; Sedhain et al. 2015")
def sparse_autoencoder(
    items: int = 27_278, hidden: Sequence[int] = (128, 128, 128), dropout: float = 0.0
) -> uf.Model:
    """What somebody chose, item numbers padded with 0: ``[batch, count]`` → a logit for every item, ``[batch, items]``.

    7.0 M parameters, 3.5 M multiply-adds and 128 additions an item chosen. The first layer's product with the sparse
    vector of items is a sum of rows. Item ``i`` of the output is the input's number ``i + 1``. The sizes are those of
    DSSTNE's MovieLens sample. Train it with ``uf.losses.BinaryCrossentropy(from_logits=True)`` on `chosen_items`.
    """
    first, *rest = hidden
    chosen = uf.Input(("count",), name="items", dtype="int32")
    x = layers.Embedding(items + 1, first, embeddings_initializer="glorot_uniform", name="rows")(chosen)
    x = ops.sum(ops.where(ops.expand_dims(ops.equal(chosen, 0), -1), ops.zeros_like(x), x), axis=1)
    x = layers.Activation("sigmoid", name="hidden_1")(x)
    for i, units in enumerate(rest):
        x = layers.Dense(units, activation="sigmoid", name=f"hidden_{i + 2}")(x)
    x = layers.Dropout(dropout, name="dropout")(x)
    return uf.Model(chosen, layers.Dense(items, name="predictions")(x), name="sparse_autoencoder")


def chosen_items(chosen: Any, items: int) -> Any:
    """One for each item that is among ``chosen[batch, count]``, numbered from 1, else zero: ``[batch, items]``."""
    return ops.max(ops.one_hot(ops.subtract(chosen, 1), items), axis=1)
