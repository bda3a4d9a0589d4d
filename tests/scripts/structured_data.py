"""Columns of a table: numbers normalized, strings and integers looked up, crossed and bucketed by `FeatureSpace`."""

import keras
import numpy as np
import tensorflow as tf
from keras.utils import FeatureSpace

keras.utils.set_random_seed(0)
rng = np.random.default_rng(0)
table = {
    "age": rng.integers(20, 80, 48),
    "pressure": rng.normal(120, 15, 48).astype("float32"),
    "kind": rng.choice(["fixed", "normal", "reversible"], 48),
    "sex": rng.integers(0, 2, 48),
}
targets = rng.integers(0, 2, 48).astype("float32")
data = tf.data.Dataset.from_tensor_slices((table, targets)).batch(16)

space = FeatureSpace(
    features={
        "age": FeatureSpace.float_discretized(num_bins=5),
        "pressure": FeatureSpace.float_normalized(),
        "kind": FeatureSpace.string_categorical(num_oov_indices=1),
        "sex": FeatureSpace.integer_categorical(num_oov_indices=0),
    },
    crosses=[FeatureSpace.cross(feature_names=("sex", "age"), crossing_dim=8)],
    output_mode="concat",
)
space.adapt(data.map(lambda x, _: x))
prepared = data.map(lambda x, y: (space(x), y))
for batch, _ in prepared.take(1):
    samples = batch.numpy()

inputs = space.get_encoded_features()
x = keras.layers.Dense(8, activation="relu")(inputs)
model = keras.Model(inputs, keras.layers.Dense(1, activation="sigmoid")(keras.layers.Dropout(0.5)(x)))
model.compile(optimizer="adam", loss="binary_crossentropy", metrics=["accuracy"])
history = model.fit(prepared, epochs=2, validation_data=prepared, verbose=0)
