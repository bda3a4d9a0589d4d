"""Windows of a time series by `timeseries_dataset_from_array`; an LSTM; early stopping and a schedule from a plateau."""

import keras
import numpy as np

keras.utils.set_random_seed(0)
PAST, AHEAD = 24, 4
steps = np.arange(300)
features = np.stack([np.sin(steps / 9), np.cos(steps / 5), steps / 300], axis=1).astype("float32")
features = (features - features[:200].mean(0)) / features[:200].std(0)
x_train, y_train = features[:200], features[PAST + AHEAD : 200 + PAST + AHEAD, :1]


def windows(data, targets):
    return keras.utils.timeseries_dataset_from_array(
        data, targets, sequence_length=PAST // 2, sampling_rate=2, batch_size=32, shuffle=False
    )


training, validation = windows(x_train, y_train), windows(features[200:270], features[228:298, :1])
for batch, _ in training:
    samples = np.asarray(batch)[:6]
    break

inputs = keras.layers.Input(shape=(samples.shape[1], samples.shape[2]))
outputs = keras.layers.Dense(1)(keras.layers.LSTM(16)(inputs))
model = keras.Model(inputs=inputs, outputs=outputs)
model.compile(optimizer=keras.optimizers.Adam(learning_rate=0.01), loss="mse")
history = model.fit(
    training,
    epochs=3,
    validation_data=validation,
    verbose=0,
    callbacks=[
        keras.callbacks.EarlyStopping(monitor="val_loss", min_delta=0, patience=5),
        keras.callbacks.ReduceLROnPlateau(monitor="val_loss", factor=0.5, patience=1, min_lr=1e-4),
    ],
)
assert len(history.history["val_loss"]) == 3
