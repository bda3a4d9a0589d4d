"""Multi-layer perceptrons."""

from collections.abc import Sequence

import unifront as uf
from unifront import layers


@uf.zoo.register("mlp", source="Rumelhart et al. 1986")
def mlp(
    features: int = 64, hidden: Sequence[int] = (128, 128), classes: int = 10, dropout: float = 0.0
) -> uf.Model:
    """Dense layers with ReLU, then logits: ``[batch, features]`` → ``[batch, classes]``."""
    x = image = uf.Input((features,), name="features")
    for units in hidden:
        x = layers.Dense(units, activation="relu")(x)
        if dropout:
            x = layers.Dropout(dropout)(x)
    return uf.Model(image, layers.Dense(classes)(x), name="mlp")
