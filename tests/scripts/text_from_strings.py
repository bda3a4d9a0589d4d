"""Strings to words to a bidirectional LSTM with masks; then the layer and the model as one, on strings again."""

import keras
import numpy as np
from keras import layers

keras.utils.set_random_seed(1)
good, bad = ["fine", "great", "lovely"], ["poor", "dull", "awful"]
rng = np.random.default_rng(0)
texts, targets = [], []
for _ in range(64):
    label = int(rng.integers(2))
    words = [str(rng.choice([good, bad][1 - label])) for _ in range(rng.integers(1, 6))]
    texts.append(" ".join([*words, "a Film!", "the plot."]))
    targets.append(label)
targets = np.array(targets, "float32")

vectorize = layers.TextVectorization(max_tokens=50, output_mode="int", output_sequence_length=10)
vectorize.adapt(texts)
samples = np.asarray(vectorize(np.array(texts)))
assert vectorize.get_vocabulary()[:2] == ["", "[UNK]"]

inputs = keras.Input(shape=(None,), dtype="int64")
x = layers.Embedding(vectorize.vocabulary_size(), 8, mask_zero=True)(inputs)
x = layers.Bidirectional(layers.LSTM(8, return_sequences=True))(x)
x = layers.Bidirectional(layers.LSTM(8))(x)
model = keras.Model(inputs, layers.Dense(1, activation="sigmoid")(x))
model.compile("adam", "binary_crossentropy", metrics=["accuracy", keras.metrics.AUC(name="auc")])
history = model.fit(
    samples, targets, batch_size=16, epochs=2, validation_data=(samples[:16], targets[:16]), verbose=0
)
samples = samples[:7]
