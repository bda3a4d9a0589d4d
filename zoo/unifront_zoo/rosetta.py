"""The CNN of the deep-learning Rosetta stone (github.com/ilkarman/DeepLearningFrameworks); its GRU is in imdb.py."""

import unifront as uf
from unifront import layers


@uf.zoo.register("rosetta_cifar", source="Rosetta stone, CNN on CIFAR-10")
def rosetta_cifar(classes: int = 10) -> uf.Model:
    """Four 3×3 convolutions, two poolings, dropout, 512 units: ``[batch, 32, 32, 3]`` → logits."""
    x = image = uf.Input((32, 32, 3), name="image")
    for filters in (50, 100):
        for _ in range(2):
            x = layers.Conv2D(filters, 3, padding="same", activation="relu")(x)
        x = layers.MaxPooling2D()(x)
        x = layers.Dropout(0.25)(x)
    x = layers.Flatten()(x)
    x = layers.Dense(512, activation="relu")(x)
    x = layers.Dropout(0.5)(x)
    return uf.Model(image, layers.Dense(classes)(x), name="rosetta_cifar")
