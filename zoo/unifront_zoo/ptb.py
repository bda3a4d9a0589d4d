"""The word language models of Penn Treebank by Zaremba et al. 2014, "Recurrent neural network regularization"."""

from typing import Any

import unifront as uf
from unifront import layers


def _ptb(
    name: str,
    units: int,
    length: int | None,
    batch_size: int | None,
    words: int,
    dropout: float,
    scale: float,
) -> uf.Model:
    initializer = uf.initializers.RandomUniform(-scale, scale)
    own: dict[str, Any] = {"kernel_initializer": initializer, "bias_initializer": initializer}
    text = uf.Input((length,), batch_size=batch_size, name="words", dtype="int32")
    x = layers.Embedding(words, units, embeddings_initializer=initializer, name="embedding")(text)
    x = layers.Dropout(dropout, name="dropout")(x)
    for i in (1, 2):
        x = layers.LSTM(
            units, return_sequences=True, stateful=batch_size is not None, unit_forget_bias=False,
            recurrent_initializer=initializer, name=f"lstm_{i}", **own,
        )(x)  # fmt: skip
        x = layers.Dropout(dropout, name=f"dropout_{i}")(x)
    return uf.Model(text, layers.Dense(words, name="predictions", **own)(x), name=name)


@uf.zoo.register("ptb_small", source="Zaremba et al. 2014, non-regularized LSTM", parameters=4_651_600)
def ptb_small(
    length: int | None = 20,
    batch_size: int | None = 20,
    words: int = 10_000,
    units: int = 200,
    dropout: float = 0.0,
) -> uf.Model:
    """Two LSTMs of 200 units that say each next word: ``[batch_size, length]`` → logits ``[…, words]``.

    4.65 M parameters; 2.6 M multiply-adds a word, 53 M for 20 of them. The LSTMs are stateful: each batch goes on
    where the last one ended, so rows are as many streams of text; ``model.get_layer("lstm_1").reset_state()`` begins
    anew. With ``batch_size=None`` each batch begins with zeros. Dropout acts between layers only, never on the states.
    Weights begin evenly in ±0.1. The paper trains with SGD of rate 1, which falls from the fifth epoch on, and with
    gradients clipped to a norm of 5.
    """
    return _ptb("ptb_small", units, length, batch_size, words, dropout, 0.1)


@uf.zoo.register("ptb_medium", source="Zaremba et al. 2014, medium regularized LSTM", parameters=19_775_200)
def ptb_medium(
    length: int | None = 35,
    batch_size: int | None = 20,
    words: int = 10_000,
    units: int = 650,
    dropout: float = 0.5,
) -> uf.Model:
    """As `ptb_small`, of 650 units, with half of what goes between layers dropped; 19.8 M parameters, begun in ±0.05.

    13 M multiply-adds a word.
    """
    return _ptb("ptb_medium", units, length, batch_size, words, dropout, 0.05)


@uf.zoo.register("ptb_large", source="Zaremba et al. 2014, large regularized LSTM", parameters=66_022_000)
def ptb_large(
    length: int | None = 35,
    batch_size: int | None = 20,
    words: int = 10_000,
    units: int = 1500,
    dropout: float = 0.65,
) -> uf.Model:
    """As `ptb_small`, of 1500 units, with 65 % of what goes between layers dropped; 66 M parameters, begun in ±0.04.

    51 M multiply-adds a word.
    """
    return _ptb("ptb_large", units, length, batch_size, words, dropout, 0.04)
