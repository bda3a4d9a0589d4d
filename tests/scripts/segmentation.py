"""A U-Net of separable convolutions on batches of a `PyDataset`, with a checkpoint of the best epoch."""

import os
import tempfile

import keras
import numpy as np
from keras import layers


class Pictures(keras.utils.PyDataset):
    def __init__(self, images, masks, size, **kwargs):
        super().__init__(**kwargs)
        self.images, self.masks, self.size = images, masks, size

    def __len__(self):
        return -(-len(self.images) // self.size)

    def __getitem__(self, place):
        chosen = slice(place * self.size, (place + 1) * self.size)
        return self.images[chosen], self.masks[chosen]


def get_model(size, classes):
    inputs = keras.Input(shape=(*size, 3))
    x = layers.Activation("relu")(
        layers.BatchNormalization()(layers.Conv2D(8, 3, strides=2, padding="same")(inputs))
    )
    previous = x
    for filters in (8, 16):
        for _ in range(2):
            x = layers.Activation("relu")(x)
            x = layers.BatchNormalization()(layers.SeparableConv2D(filters, 3, padding="same")(x))
        x = layers.MaxPooling2D(3, strides=2, padding="same")(x)
        residual = layers.Conv2D(filters, 1, strides=2, padding="same")(previous)
        x = previous = layers.add([x, residual])
    for filters in (16, 8, 8):
        x = layers.BatchNormalization()(
            layers.Conv2DTranspose(filters, 3, padding="same")(layers.Activation("relu")(x))
        )
        x = layers.UpSampling2D(2)(x)
        residual = layers.Conv2D(filters, 1, padding="same")(layers.UpSampling2D(2)(previous))
        x = previous = layers.add([x, residual])
    return keras.Model(inputs, layers.Conv2D(classes, 3, activation="softmax", padding="same")(x))


keras.utils.set_random_seed(0)
rng = np.random.default_rng(0)
images = rng.uniform(size=(20, 16, 16, 3)).astype("float32")
masks = (images[..., :1] > 0.5).astype("uint8") + (images[..., 1:2] > 0.8)
model = get_model((16, 16), 3)
model.compile(optimizer=keras.optimizers.Adam(1e-3), loss="sparse_categorical_crossentropy")
with tempfile.TemporaryDirectory() as folder:
    best = os.path.join(folder, "best.keras")
    history = model.fit(
        Pictures(images[:16], masks[:16], 6),
        epochs=2,
        validation_data=Pictures(images[16:], masks[16:], 4),
        callbacks=[keras.callbacks.ModelCheckpoint(best, save_best_only=True)],
        verbose=0,
    )
    again = keras.models.load_model(best)
    assert again.count_params() == model.count_params()
samples = images[:2]
