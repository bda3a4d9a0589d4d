"""A miniature GPT: a causal mask made of sizes, places and words embedded, a callback that writes text while it trains."""

import keras
import numpy as np
from keras import layers, ops

WORDS, LENGTH, WIDTH = 30, 12, 16


def causal_attention_mask(n_dest, n_src, dtype):
    i, j = ops.arange(n_dest)[:, None], ops.arange(n_src)
    return ops.reshape(ops.cast(i >= j - n_src + n_dest, dtype), [1, n_dest, n_src])


class TransformerBlock(layers.Layer):
    def __init__(self, width, heads, inner, rate=0.1):
        super().__init__()
        self.attention = layers.MultiHeadAttention(heads, width)
        self.inner = keras.Sequential([layers.Dense(inner, activation="relu"), layers.Dense(width)])
        self.norms = [layers.LayerNormalization(epsilon=1e-6), layers.LayerNormalization(epsilon=1e-6)]
        self.dropouts = [layers.Dropout(rate), layers.Dropout(rate)]

    def call(self, inputs):
        shape = ops.shape(inputs)
        mask = causal_attention_mask(shape[1], shape[1], "bool")
        found = self.dropouts[0](self.attention(inputs, inputs, attention_mask=mask))
        first = self.norms[0](inputs + found)
        return self.norms[1](first + self.dropouts[1](self.inner(first)))


class TokenAndPosition(layers.Layer):
    def __init__(self, length, words, width):
        super().__init__()
        self.words = layers.Embedding(input_dim=words, output_dim=width)
        self.places = layers.Embedding(input_dim=length, output_dim=width)

    def call(self, x):
        places = self.places(ops.arange(0, ops.shape(x)[-1], 1))
        return self.words(x) + places


class Writer(keras.callbacks.Callback):
    texts = ()

    def on_epoch_end(self, epoch, logs=None):
        said = [1, 2]
        while len(said) < 5:
            padded = np.array([said + [0] * (LENGTH - len(said))])
            scores, _ = self.model.predict(padded, verbose=0)
            best, places = ops.top_k(scores[0][len(said) - 1], k=3, sorted=True)
            assert np.asarray(best).shape == (3,)
            said.append(int(np.asarray(places)[0]))
        self.texts = (*self.texts, said)


keras.utils.set_random_seed(0)
inputs = layers.Input(shape=(LENGTH,), dtype="int32")
x = TokenAndPosition(LENGTH, WORDS, WIDTH)(inputs)
x = TransformerBlock(WIDTH, 2, 32)(x)
model = keras.Model(inputs=inputs, outputs=[layers.Dense(WORDS)(x), x])
model.compile("adam", loss=[keras.losses.SparseCategoricalCrossentropy(from_logits=True), None])
text = np.random.default_rng(0).integers(1, WORDS, (32, LENGTH + 1))
writer = Writer()
history = model.fit(text[:, :-1], text[:, 1:], batch_size=8, verbose=0, epochs=2, callbacks=[writer])
assert len(writer.texts) == 2
samples = text[:4, :-1]
