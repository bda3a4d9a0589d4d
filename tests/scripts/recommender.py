"""A subclassed model of two embedding tables and their biases; a dictionary of arrays; a callback of the user's."""

import keras
import numpy as np
from keras import layers, ops

keras.utils.set_random_seed(0)
USERS, FILMS, SIZE = 12, 20, 6


class Recommender(keras.Model):
    def __init__(self, users, films, size, **kwargs):
        super().__init__(**kwargs)
        l2 = keras.regularizers.l2(1e-6)
        self.user = layers.Embedding(
            users, size, embeddings_initializer="he_normal", embeddings_regularizer=l2
        )
        self.user_bias = layers.Embedding(users, 1)
        self.film = layers.Embedding(
            films, size, embeddings_initializer="he_normal", embeddings_regularizer=l2
        )
        self.film_bias = layers.Embedding(films, 1)

    def call(self, inputs):
        user, film = inputs[:, 0], inputs[:, 1]
        product = ops.tensordot(self.user(user), self.film(film), 2)
        return ops.nn.sigmoid(product + self.user_bias(user) + self.film_bias(film))


class Stopper(keras.callbacks.Callback):
    def __init__(self):
        super().__init__()
        self.seen = []

    def on_epoch_end(self, epoch, logs=None):
        self.seen.append(sorted(logs))
        if epoch == 1:
            self.model.stop_training = True


rng = np.random.default_rng(0)
samples = np.stack([rng.integers(0, USERS, 64), rng.integers(0, FILMS, 64)], axis=1)
ratings = rng.uniform(size=(64, 1)).astype("float32")
stopper = Stopper()
model = Recommender(USERS, FILMS, SIZE)
model.compile(loss=keras.losses.BinaryCrossentropy(), optimizer=keras.optimizers.Adam(learning_rate=0.001))
history = model.fit(
    x=samples, y=ratings, batch_size=16, epochs=5, verbose=0, validation_split=0.25, callbacks=[stopper]
)
assert stopper.seen == [["loss", "val_loss"]] * 2
