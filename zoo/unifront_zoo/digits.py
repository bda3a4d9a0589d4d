"""The small CNN of ``unifront demo``, for scikit-learn's 8×8 digits."""

import unifront as uf
from unifront import layers


@uf.zoo.register("digits_cnn", source="unifront's demo")
def digits_cnn(classes: int = 10, dropout: float = 0.25) -> uf.Model:
    """Two convolutions with batch norm, pooling and dropout, on ``[batch, 8, 8, 1]``: logits."""
    image = uf.Input((8, 8, 1), name="image")
    x = layers.Conv2D(32, 3, padding="same", activation="relu")(image)
    x = layers.BatchNormalization(momentum=0.9)(x)
    x = layers.Conv2D(32, 3, padding="same", activation="relu")(x)
    x = layers.BatchNormalization(momentum=0.9)(x)
    x = layers.MaxPooling2D()(x)
    x = layers.Dropout(dropout)(x)
    x = layers.Flatten()(x)
    x = layers.Dense(64, activation="relu")(x)
    x = layers.Dropout(dropout)(x)
    return uf.Model(image, layers.Dense(classes)(x), name="digits")
