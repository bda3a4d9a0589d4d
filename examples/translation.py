"""Translation with attention: dates as people write them into ISO's form (Bahdanau et al. 2015).

    python examples/translation.py --backend jax

A GRU reads "9 march 2031" letter by letter; another writes "2031-03-09" and, at each letter, attends to what was read.
"""

from __future__ import annotations

import argparse
import datetime

import numpy as np

import unifront as uf
from unifront import layers

FORMS = ("%d %B %Y", "%B %d, %Y", "%d.%m.%Y", "%a %d %b %Y")
SOURCE = {letter: i for i, letter in enumerate(" abcdefghijklmnopqrstuvwxyz0123456789.,")}
TARGET = {letter: i for i, letter in enumerate("^0123456789-")}  # ^ begins a line
LONGEST, WRITTEN = 20, 10


def dates(count: int, seed: int) -> tuple[np.ndarray, np.ndarray, list[str]]:
    """Letters read ``[count, 20]``, letters written ``[count, 11]`` behind the mark of the beginning, and the texts."""
    rng = np.random.default_rng(seed)
    days = [datetime.date.fromordinal(int(n)) for n in rng.integers(720_000, 760_000, count)]
    texts = [
        day.strftime(FORMS[form]).lower() for day, form in zip(days, rng.integers(0, 4, count), strict=True)
    ]
    read = np.array([[SOURCE[c] for c in text[:LONGEST].ljust(LONGEST)] for text in texts], "int32")
    written = np.array([[TARGET[c] for c in "^" + day.isoformat()] for day in days], "int32")
    return read, written, texts


def make_model(units: int) -> uf.Model:
    read, before = (
        uf.Input((LONGEST,), dtype="int32", name="read"),
        uf.Input((None,), dtype="int32", name="before"),
    )
    x = layers.Embedding(len(SOURCE), units)(read)
    memory = layers.Bidirectional(layers.GRU(units // 2, return_sequences=True))(x)
    state = layers.GlobalAveragePooling1D()(memory)
    y = layers.Embedding(len(TARGET), units)(before)
    y = layers.GRU(units, return_sequences=True)(y, initial_state=state)
    seen = layers.AdditiveAttention(name="attention")([y, memory])
    y = layers.Dense(units, activation="tanh")(layers.Concatenate()([y, seen]))
    return uf.Model([read, before], layers.Dense(len(TARGET))(y), name="translator")


def translate(model: uf.Model, read: np.ndarray) -> list[str]:
    """Each line written letter by letter, the likeliest each time."""
    letters = "".join(TARGET)
    before = np.zeros((len(read), 1), "int32")
    for _ in range(WRITTEN):
        logits = model.predict([read, before], verbose=0)
        before = np.concatenate([before, logits[:, -1:].argmax(-1).astype("int32")], axis=1)
    return ["".join(letters[i] for i in line[1:]) for line in before]


def main(backend: str | None = None, quick: bool = False) -> list[float]:
    uf.set_seed(0)
    read, written, _ = dates(256 if quick else 20_000, seed=0)
    model = make_model(16 if quick else 96)
    model.compile(
        uf.optimizers.Adam(0.01 if quick else 0.003, global_clipnorm=1.0),
        loss=uf.losses.SparseCategoricalCrossentropy(from_logits=True),
        metrics=["accuracy"],
        backend=backend,
    )
    history = model.fit(
        [read, written[:, :-1]],
        written[:, 1:],
        batch_size=64,
        epochs=3 if quick else 6,
        verbose=0 if quick else 2,
    )
    if not quick:
        read, written, texts = dates(200, seed=1)
        wanted = ["".join("^0123456789-"[i] for i in line[1:]) for line in written]
        found = translate(model, read)
        right = np.mean([a == b for a, b in zip(wanted, found, strict=True)])
        print(f"dates written without a mistake: {right:.1%}")
        for text, line in zip(texts[:5], found, strict=False):
            print(f"{text:>24}  {line}")
    return history.history["loss"]


if __name__ == "__main__":
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--backend", help="torch, jax or tensorflow")
    parser.add_argument("--quick", action="store_true", help="a few steps on little data")
    losses = main(**vars(parser.parse_args()))
    assert losses[-1] < losses[0], losses
