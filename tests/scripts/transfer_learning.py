"""A frozen body of Keras Applications under augmentation and a new head; then all of it, at a small rate."""

import keras
import numpy as np

keras.utils.set_random_seed(0)
rng = np.random.default_rng(0)
images = rng.uniform(0, 255, (16, 32, 32, 3)).astype("float32")
labels = rng.integers(0, 2, (16, 1)).astype("float32")

augmentation = [keras.layers.RandomFlip("horizontal"), keras.layers.RandomRotation(0.1)]
body = keras.applications.MobileNet(weights=None, input_shape=(32, 32, 3), include_top=False, alpha=0.25)
body.trainable = False
inputs = keras.Input(shape=(32, 32, 3))
x = inputs
for layer in augmentation:
    x = layer(x)
x = keras.layers.Rescaling(scale=1 / 127.5, offset=-1)(x)
x = body(x, training=False)
x = keras.layers.GlobalAveragePooling2D()(x)
model = keras.Model(inputs, keras.layers.Dense(1)(keras.layers.Dropout(0.2)(x)))
assert len(model.trainable_weights) == 2

model.compile(
    optimizer=keras.optimizers.Adam(),
    loss=keras.losses.BinaryCrossentropy(from_logits=True),
    metrics=[keras.metrics.BinaryAccuracy()],
)
frozen = [weight.copy() for weight in body.get_weights()]
model.fit(images, labels, epochs=1, batch_size=8, verbose=0)
assert all(np.array_equal(a, b) for a, b in zip(frozen, body.get_weights(), strict=True))

body.trainable = True
model.compile(
    optimizer=keras.optimizers.Adam(1e-5),
    loss=keras.losses.BinaryCrossentropy(from_logits=True),
    metrics=[keras.metrics.BinaryAccuracy()],
)
history = model.fit(images, labels, epochs=1, batch_size=8, verbose=0)
samples = images[:3]
