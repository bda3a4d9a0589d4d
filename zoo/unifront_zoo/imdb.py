"""Sentiment of film reviews by one GRU."""

import unifront as uf
from unifront import layers


def gru_classifier(
    name: str,
    words: int,
    length: int | None,
    embedding: int,
    units: int,
    classes: int,
    dropout: float,
    mask: bool,
) -> uf.Model:
    """An embedding, a GRU's last state and logits, whose layers are named after their classes."""
    text = uf.Input(("time" if length is None else length,), name="words", dtype="int32")
    x = layers.Embedding(words, embedding, mask_zero=mask)(text)
    x = layers.GRU(units, dropout=dropout)(x)
    return uf.Model(text, layers.Dense(classes)(x), name=name)


@uf.zoo.register("imdb_gru", source="Cho et al. 2014; on the reviews of Maas et al. 2011")
def imdb_gru(
    words: int = 20_000, length: int | None = None, embedding: int = 128, units: int = 128, classes: int = 2,
    dropout: float = 0.2,
) -> uf.Model:  # fmt: skip
    """A GRU over word numbers, padded with 0 to any length: ``[batch, length]`` → logits ``[batch, classes]``.

    2.7 M parameters, most of them the embedding; 0.1 M multiply-adds a word. Steps of padding are passed over.
    ``uf.datasets.imdb`` and ``uf.utils.pad_sequences`` give such numbers. ``dropout`` acts on the GRU's inputs.
    """
    return gru_classifier("imdb_gru", words, length, embedding, units, classes, dropout, mask=True)


@uf.zoo.register("rosetta_imdb", source="Rosetta stone, GRU on IMDB")
def rosetta_imdb(
    words: int = 30_000, length: int = 150, embedding: int = 125, units: int = 100, classes: int = 2
) -> uf.Model:
    """The GRU of the deep-learning Rosetta stone: ``[batch, length]`` of word numbers → logits. 3.8 M parameters."""
    return gru_classifier("rosetta_imdb", words, length, embedding, units, classes, 0.0, mask=False)
