"""Parts of the user's own in the ways of the guides: a cell, a metric, a schedule, an activation; saved and loaded."""

import os
import tempfile

import keras
import numpy as np
from keras import layers, ops


@keras.saving.register_keras_serializable(package="Mine")
class MinimalRNNCell(layers.Layer):
    def __init__(self, units, **kwargs):
        super().__init__(**kwargs)
        self.units = self.state_size = units

    def build(self, input_shape):
        self.kernel = self.add_weight(
            shape=(input_shape[-1], self.units), initializer="uniform", name="kernel"
        )
        self.recurrent = self.add_weight(
            shape=(self.units, self.units), initializer="uniform", name="recurrent"
        )
        self.built = True

    def call(self, inputs, states):
        output = ops.matmul(inputs, self.kernel) + ops.matmul(states[0], self.recurrent)
        return output, [output]

    def get_config(self):
        return {**super().get_config(), "units": self.units}


@keras.saving.register_keras_serializable(package="Mine")
class TruePositives(keras.metrics.Metric):
    def __init__(self, name="positives", **kwargs):
        super().__init__(name=name, **kwargs)
        self.total = self.add_variable(name="total", shape=(), initializer="zeros")

    def update_state(self, y_true, y_pred, sample_weight=None):
        found = ops.cast(ops.equal(y_true, 1) & ops.greater(y_pred, 0.5), self.dtype)
        self.total.assign_add(ops.sum(found))

    def result(self):
        return self.total


@keras.saving.register_keras_serializable(package="Mine")
class Warm(keras.optimizers.schedules.LearningRateSchedule):
    def __init__(self, rate):
        self.rate = rate

    def __call__(self, step):
        return self.rate * ops.minimum(ops.cast(step, "float32") + 1, 10.0) / 10.0

    def get_config(self):
        return {"rate": self.rate}


@keras.saving.register_keras_serializable(package="Mine")
def softened(x):
    return ops.tanh(x) + 0.1 * x


keras.utils.set_random_seed(0)
inputs = keras.Input((None, 5))
x = layers.RNN([MinimalRNNCell(8), MinimalRNNCell(4)], return_sequences=True)(inputs)
x = layers.GlobalMaxPooling1D()(layers.TimeDistributed(layers.Dense(6, activation=softened))(x))
trained = keras.Model(
    inputs, layers.Dense(1, activation="sigmoid", kernel_constraint=keras.constraints.UnitNorm())(x)
)
trained.compile(
    keras.optimizers.SGD(Warm(0.1), momentum=0.9), "binary_crossentropy", metrics=[TruePositives()]
)
series = np.random.default_rng(0).normal(size=(24, 7, 5)).astype("float32")
targets = np.random.default_rng(1).integers(0, 2, (24, 1)).astype("float32")
history = trained.fit(series, targets, epochs=2, batch_size=8, verbose=0)
with tempfile.TemporaryDirectory() as folder:
    trained.save(os.path.join(folder, "own.keras"))
    model = keras.saving.load_model(os.path.join(folder, "own.keras"))
again = keras.Model.from_config(model.get_config())
assert [w.shape for w in again.get_weights()] == [w.shape for w in model.get_weights()]
assert np.allclose(model.predict(series, verbose=0), trained.predict(series, verbose=0), atol=1e-6)
history = model.fit(series, targets, epochs=1, batch_size=8, verbose=0)
samples = series[:6]
