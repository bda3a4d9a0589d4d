"""Text classification: is a review good or bad? Words are counted, embedded, and read by a bidirectional GRU.

    python examples/text_classification.py --backend tensorflow

The reviews are made by a little grammar in which "not" turns what follows, so that the order of words counts.
"""

from __future__ import annotations

import argparse

import numpy as np

import unifront as keras
from unifront import layers

THINGS = "film story music acting plot ending dialogue camera".split()
GOOD = "good great moving funny clever brilliant".split()
BAD = "bad dull weak boring clumsy awful".split()
FILL = "really quite very somewhat truly rather".split()


def reviews(count: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Texts of one to three sentences of one opinion, and whether it is a good one."""
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, 2, count)
    texts = []
    for label in labels:
        sentences = []
        for _ in range(rng.integers(1, 4)):
            negated = rng.random() < 0.4
            word = rng.choice(GOOD if bool(label) != negated else BAD)
            words = ["the", rng.choice(THINGS), "was", *(["not"] if negated else [])]
            sentences.append(" ".join([*words, *rng.choice(FILL, rng.integers(0, 3)), word]))
        texts.append(". ".join(sentences) + ".")
    return np.array(texts), labels.astype("float32")


def make_model(words: int, units: int) -> keras.Model:
    tokens = keras.Input(shape=(None,), dtype="int32")
    x = layers.Embedding(words, units, mask_zero=True)(tokens)
    x = layers.Bidirectional(layers.GRU(units))(x)
    x = layers.Dropout(0.2)(x)
    outputs = layers.Dense(1, activation="sigmoid")(x)
    return keras.Model(tokens, outputs)


def main(backend: str | None = None, quick: bool = False) -> list[float]:
    keras.utils.set_random_seed(0)
    texts, labels = reviews(200 if quick else 4000, seed=0)
    vectorize = layers.TextVectorization(max_tokens=100, output_sequence_length=24)
    vectorize.adapt(texts)
    model = make_model(vectorize.vocabulary_size(), 8 if quick else 32)
    model.compile(
        keras.optimizers.Adam(0.01), loss="binary_crossentropy", metrics=["accuracy"], backend=backend
    )
    history = model.fit(
        np.asarray(vectorize(texts)),
        labels,
        batch_size=50,
        epochs=3 if quick else 5,
        verbose=0 if quick else 2,
    )
    if not quick:
        test_texts, test_labels = reviews(500, seed=1)
        loss, accuracy = model.evaluate(np.asarray(vectorize(test_texts)), test_labels, verbose=0)
        print(f"on reviews it has not seen: loss {loss:.3f}, accuracy {accuracy:.1%}")
        said = ["the film was not very good.", "the plot was not dull."]
        for text, score in zip(said, model.predict(np.asarray(vectorize(said)), verbose=0), strict=True):
            print(f"{score[0]:.2f}  {text}")
    return history.history["loss"]


if __name__ == "__main__":
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--backend", help="torch, jax or tensorflow")
    parser.add_argument("--quick", action="store_true", help="a few steps on little data")
    losses = main(**vars(parser.parse_args()))
    assert losses[-1] < losses[0], losses
