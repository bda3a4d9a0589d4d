"""An image classifier of patches: layers with weights of their own, attention, augmentation inside the model."""

import keras
import numpy as np
from keras import layers, ops


class Patches(layers.Layer):
    def __init__(self, size, **kwargs):
        super().__init__(**kwargs)
        self.size = size

    def call(self, images):
        patches = ops.image.extract_patches(images, size=self.size)
        batch, height, width, _ = ops.shape(images)
        places = (height // self.size) * (width // self.size)
        return ops.reshape(patches, (batch, places, patches.shape[-1]))


class Places(layers.Layer):
    def build(self, shape):
        self.table = self.add_weight(shape=(1, *shape[1:]), initializer="random_normal", name="table")

    def call(self, patches):
        return patches + self.table


def block(x, heads, units):
    y = layers.LayerNormalization(epsilon=1e-6)(x)
    x = layers.Add()([layers.MultiHeadAttention(heads, key_dim=8, dropout=0.1)(y, y), x])
    y = layers.LayerNormalization(epsilon=1e-6)(x)
    for width in units:
        y = layers.Dropout(0.1)(layers.Dense(width, activation=keras.activations.gelu)(y))
    return layers.Add()([y, x])


keras.utils.set_random_seed(3)
augmentation = keras.Sequential(
    [layers.Normalization(), layers.RandomFlip("horizontal"), layers.RandomRotation(0.02)]
)
images = np.random.default_rng(0).uniform(0, 255, (48, 16, 16, 3)).astype("float32")
labels = (images.mean((1, 2, 3)) > np.median(images.mean((1, 2, 3)))).astype("int32")
augmentation.layers[0].adapt(images)

inputs = keras.Input(shape=(16, 16, 3))
x = Patches(4)(augmentation(inputs))
x = Places()(layers.Dense(16)(x))
for _ in range(2):
    x = block(x, 2, (32, 16))
x = layers.Flatten()(layers.LayerNormalization(epsilon=1e-6)(x))
model = keras.Model(inputs, layers.Dense(2)(layers.Dropout(0.5)(x)))
model.compile(
    optimizer=keras.optimizers.AdamW(learning_rate=0.001, weight_decay=0.0001),
    loss=keras.losses.SparseCategoricalCrossentropy(from_logits=True),
    metrics=[keras.metrics.SparseCategoricalAccuracy(name="accuracy")],
)
history = model.fit(images, labels, batch_size=16, epochs=2, validation_split=0.25, verbose=0)
samples = images[:5]
