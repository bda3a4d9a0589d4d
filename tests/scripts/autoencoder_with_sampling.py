"""A variational autoencoder whose two losses are added by layers, trained by `fit` with the images as their own targets."""

import keras
import numpy as np
from keras import layers, ops


class Sampling(layers.Layer):
    """Draws from a normal distribution in training and adds its distance from the standard one as a loss."""

    def __init__(self, weight=1e-3, **kwargs):
        super().__init__(**kwargs)
        self.weight = weight
        self.seed_generator = keras.random.SeedGenerator(1337)

    def call(self, inputs, training=None):
        mean, log_variance = inputs
        distance = -0.5 * (1 + log_variance - ops.square(mean) - ops.exp(log_variance))
        self.add_loss(self.weight * ops.mean(ops.sum(distance, axis=1)))
        if not training:
            return mean
        noise = keras.random.normal(shape=ops.shape(mean), seed=self.seed_generator)
        return mean + ops.exp(0.5 * log_variance) * noise


keras.utils.set_random_seed(0)
encoder_inputs = keras.Input(shape=(12, 12, 1))
x = layers.Conv2D(8, 3, activation="relu", strides=2, padding="same")(encoder_inputs)
x = layers.Conv2D(16, 3, activation="relu", strides=2, padding="same")(x)
x = layers.Dense(16, activation="relu")(layers.Flatten()(x))
mean, log_variance = layers.Dense(2, name="mean")(x), layers.Dense(2, name="log_variance")(x)
encoder = keras.Model(encoder_inputs, [mean, log_variance, Sampling()([mean, log_variance])], name="encoder")

latent = keras.Input(shape=(2,))
x = layers.Reshape((3, 3, 16))(layers.Dense(3 * 3 * 16, activation="relu")(latent))
x = layers.Conv2DTranspose(16, 3, activation="relu", strides=2, padding="same")(x)
x = layers.Conv2DTranspose(8, 3, activation="relu", strides=2, padding="same")(x)
decoder = keras.Model(
    latent, layers.Conv2DTranspose(1, 3, activation="sigmoid", padding="same")(x), name="decoder"
)

model = keras.Model(encoder_inputs, decoder(encoder(encoder_inputs)[2]), name="vae")
model.compile(optimizer=keras.optimizers.Adam(), loss="binary_crossentropy")
images = np.random.default_rng(1).uniform(size=(40, 12, 12, 1)).astype("float32")
history = model.fit(images, images, epochs=2, batch_size=8, verbose=0)
samples = images[:3]
