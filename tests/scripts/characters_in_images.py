"""Reading words in images: convolutions, a recurrence along the width, and the CTC loss inside a layer."""

import keras
import numpy as np
from keras import layers, ops


class CTCLayer(layers.Layer):
    def call(self, y_true, y_pred):
        batch = ops.cast(ops.shape(y_true)[0], dtype="int32")
        input_length = ops.cast(ops.shape(y_pred)[1], dtype="int32") * ops.ones((batch,), dtype="int32")
        label_length = ops.cast(ops.shape(y_true)[1], dtype="int32") * ops.ones((batch,), dtype="int32")
        losses = ops.ctc_loss(
            y_true, ops.log(y_pred + keras.backend.epsilon()), label_length, input_length, mask_index=4
        )
        self.add_loss(ops.mean(losses))
        return y_pred


keras.utils.set_random_seed(0)
rng = np.random.default_rng(0)
images = rng.uniform(size=(24, 32, 8, 1)).astype("float32")
labels = rng.integers(0, 4, (24, 3)).astype("int32")

image = layers.Input(shape=(32, 8, 1), name="image", dtype="float32")
label = layers.Input(name="label", shape=(None,), dtype="int32")
x = layers.Conv2D(8, 3, activation="relu", kernel_initializer="he_normal", padding="same", name="conv")(image)
x = layers.MaxPooling2D((2, 2), name="pool")(x)
x = layers.Reshape(target_shape=(16, 4 * 8), name="columns")(x)
x = layers.Dropout(0.2)(layers.Dense(16, activation="relu", name="dense")(x))
x = layers.Bidirectional(layers.GRU(8, return_sequences=True, dropout=0.25))(x)
x = layers.Dense(5, activation="softmax", name="characters")(x)
full = keras.models.Model(inputs=[image, label], outputs=CTCLayer(name="ctc_loss")(label, x), name="ocr")
full.compile(optimizer=keras.optimizers.Adam())
history = full.fit({"image": images, "label": labels}, epochs=2, batch_size=8, verbose=0)

model = keras.models.Model(full.input[0], full.get_layer(name="characters").output)
found = model.predict(images[:4], verbose=0)
decoded, _ = ops.ctc_decode(found, sequence_lengths=np.full(4, 16), strategy="greedy", mask_index=4)
assert np.asarray(decoded[0]).shape[0] == 4
samples = images[:4]
