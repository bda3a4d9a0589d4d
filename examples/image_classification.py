"""Image classification: handwritten digits, a small convolutional network, augmented images.

    python examples/image_classification.py --backend jax

Written as a script of keras.io is; only the import differs. The 1,797 digits of 8 by 8 pixels come with scikit-learn.
"""

from __future__ import annotations

import argparse

import numpy as np
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split

import unifront as keras
from unifront import layers


def load_data() -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    digits = load_digits()
    images = digits.images[..., None].astype("float32") / 16
    return train_test_split(images, digits.target.astype("int32"), test_size=0.2, random_state=0)


def make_model() -> keras.Model:
    return keras.Sequential(
        [
            keras.Input((8, 8, 1)),
            layers.RandomTranslation(0.1, 0.1),
            layers.Conv2D(16, 3, padding="same", use_bias=False),
            layers.BatchNormalization(),
            layers.Activation("relu"),
            layers.MaxPooling2D(),
            layers.Conv2D(32, 3, padding="same", activation="relu"),
            layers.GlobalAveragePooling2D(),
            layers.Dropout(0.1),
            layers.Dense(10),
        ],
        name="digits",
    )


def main(backend: str | None = None, quick: bool = False) -> list[float]:
    keras.utils.set_random_seed(1)
    x_train, x_test, y_train, y_test = load_data()
    if quick:
        x_train, y_train = x_train[:256], y_train[:256]
    model = make_model()
    model.compile(
        optimizer=keras.optimizers.Adam(0.01),
        loss=keras.losses.SparseCategoricalCrossentropy(from_logits=True),
        metrics=["accuracy"],
        backend=backend,
    )
    stop = keras.callbacks.EarlyStopping("val_loss", patience=5, restore_best_weights=True)
    history = model.fit(
        x_train, y_train, batch_size=64, epochs=3 if quick else 30, validation_data=(x_test, y_test),
        callbacks=[stop], verbose=0 if quick else 2,
    )  # fmt: skip
    if not quick:
        model.summary()
        loss, accuracy = model.evaluate(x_test, y_test, verbose=0)
        print(f"on images it has not seen: loss {loss:.3f}, accuracy {accuracy:.1%}")
    return history.history["loss"]


if __name__ == "__main__":
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--backend", help="torch, jax or tensorflow")
    parser.add_argument("--quick", action="store_true", help="a few steps on little data")
    losses = main(**vars(parser.parse_args()))
    assert losses[-1] < losses[0], losses
