"""Two images through one encoder: a distance in a `Lambda`, a loss made by a function, several metrics."""

import keras
import numpy as np
from keras import layers, ops


def euclidean_distance(vectors):
    x, y = vectors
    squares = ops.sum(ops.square(x - y), axis=1, keepdims=True)
    return ops.sqrt(ops.maximum(squares, keras.backend.epsilon()))


def contrastive(margin=1):
    def contrastive_loss(y_true, y_pred):
        apart = ops.square(ops.maximum(margin - y_pred, 0))
        return ops.mean((1 - y_true) * ops.square(y_pred) + y_true * apart)

    return contrastive_loss


keras.utils.set_random_seed(0)
image = keras.Input((8, 8, 1))
x = layers.BatchNormalization()(image)
x = layers.Conv2D(4, (5, 5), activation="tanh")(x)
x = layers.AveragePooling2D(pool_size=(2, 2))(x)
x = layers.BatchNormalization()(layers.Flatten()(x))
encoder = keras.Model(image, layers.Dense(10, activation="tanh")(x))

input_1, input_2 = keras.Input((8, 8, 1)), keras.Input((8, 8, 1))
merged = layers.Lambda(euclidean_distance, output_shape=(1,))([encoder(input_1), encoder(input_2)])
output = layers.Dense(1, activation="sigmoid")(layers.BatchNormalization()(merged))
model = keras.Model(inputs=[input_1, input_2], outputs=output)
model.compile(loss=contrastive(margin=1), optimizer="RMSprop", metrics=["accuracy"])
pairs = np.random.default_rng(0).uniform(size=(32, 2, 8, 8, 1)).astype("float32")
labels = np.random.default_rng(1).integers(0, 2, 32).astype("float32")
x_pairs = [pairs[:, 0], pairs[:, 1]]
history = model.fit(x_pairs, labels, validation_data=(x_pairs, labels), batch_size=8, epochs=2, verbose=0)
assert len(model.evaluate(x_pairs, labels, verbose=0)) == 2
samples = [pair[:5] for pair in x_pairs]
