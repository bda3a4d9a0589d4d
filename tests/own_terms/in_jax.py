"""A loop, a training step, layers, a loss and a metric in JAX's own terms, as scripts for Keras on JAX have them."""

import jax
import jax.numpy as jnp
import keras
import numpy as np
from keras import layers

rng = np.random.default_rng(0)
x = rng.normal(size=(40, 8)).astype("float32")
labels = rng.integers(0, 3, 40)
y = rng.normal(size=(40, 1)).astype("float32")
results = {}


def start(model):
    """Weights of its own for each model."""
    draws = np.random.default_rng(1)
    model.set_weights([0.3 * np.abs(draws.normal(size=weight.shape)) for weight in model.get_weights()])
    return model


def classifier(cls=keras.Model):
    inputs = keras.Input((8,))
    return start(cls(inputs, layers.Dense(3)(layers.Dense(16, activation="relu")(inputs))))


def fitted(name, model, loss="mse", metrics=None):
    model.compile(keras.optimizers.SGD(0.1), loss, metrics=metrics)
    if not model.built:
        model(x[:2])
    start(model)
    history = model.fit(x, y, batch_size=16, epochs=2, shuffle=False, verbose=0).history
    results[name] = [history[key] for key in sorted(history)]
    results[f"{name}: prediction"] = model.predict(x, verbose=0).ravel().tolist()
    results[f"{name}: evaluation"] = model.evaluate(x, y, batch_size=16, verbose=0)
    results[f"{name}: weights"] = [float(weight.sum()) for weight in model.get_weights()]


# A loop by hand.
model = classifier()
loss_fn = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
accuracy = keras.metrics.SparseCategoricalAccuracy()
optimizer = keras.optimizers.Adam(1e-2)
optimizer.build(model.trainable_variables)


def loss_and_updates(trainable, others, states, inputs, targets):
    predicted, others = model.stateless_call(trainable, others, inputs, training=True)
    states = accuracy.stateless_update_state(states, targets, predicted)
    return loss_fn(targets, predicted), (others, states)


@jax.jit
def step(state, inputs, targets):
    trainable, others, slots, states = state
    differentiated = jax.value_and_grad(loss_and_updates, has_aux=True)
    (loss, (others, states)), gradients = differentiated(trainable, others, states, inputs, targets)
    trainable, slots = optimizer.stateless_apply(slots, gradients, trainable)
    return loss, (trainable, others, slots, states)


groups = (model.trainable_variables, model.non_trainable_variables, optimizer.variables, accuracy.variables)
state = tuple([variable.value for variable in group] for group in groups)
results["loop"] = []
for _ in range(2):
    for at in range(0, 40, 16):
        loss, state = step(state, x[at : at + 16], labels[at : at + 16])
        results["loop"].append(float(loss))
for group, values in zip(groups, state):
    for variable, value in zip(group, values):
        variable.assign(value)
results["loop"].append(float(accuracy.result()))
results["loop: prediction"] = np.ravel(model.predict(x, verbose=0)).tolist()


class Classifier(keras.Model):
    def loss_and_updates(self, trainable, others, inputs, targets):
        predicted, others = self.stateless_call(trainable, others, inputs, training=True)
        return self.compute_loss(inputs, targets, predicted), (predicted, others)

    def train_step(self, state, data):
        trainable, others, slots, states = state
        inputs, targets = data[:2]
        differentiated = jax.value_and_grad(self.loss_and_updates, has_aux=True)
        (loss, (predicted, others)), gradients = differentiated(trainable, others, inputs, targets)
        trainable, slots = self.optimizer.stateless_apply(slots, gradients, trainable)
        new, logs = [], {}
        for metric in self.metrics:
            own = states[len(new) : len(new) + len(metric.variables)]
            if metric.name == "loss":
                own = metric.stateless_update_state(own, loss)
            else:
                own = metric.stateless_update_state(own, targets, predicted)
            logs[metric.name] = metric.stateless_result(own)
            new += own
        return logs, (trainable, others, slots, new)

    def test_step(self, state, data):
        trainable, others, states = state
        inputs, targets = data[:2]
        predicted, others = self.stateless_call(trainable, others, inputs, training=False)
        loss = self.compute_loss(inputs, targets, predicted)
        new, logs = [], {}
        for metric in self.metrics:
            own = states[len(new) : len(new) + len(metric.variables)]
            given = (loss,) if metric.name == "loss" else (targets, predicted)
            own = metric.stateless_update_state(own, *given)
            logs[metric.name] = metric.stateless_result(own)
            new += own
        return logs, (trainable, others, new)


own = classifier(Classifier)
own.compile(keras.optimizers.Adam(1e-2), loss=loss_fn, metrics=["accuracy"])
history = own.fit(x, labels, batch_size=16, epochs=3, shuffle=False, verbose=0).history
results["step"] = [history["loss"], history["accuracy"]]
results["step: evaluation"] = own.evaluate(x, labels, batch_size=16, verbose=0)


class Gate(layers.Layer):
    def __init__(self, units):
        super().__init__()
        self.units = units

    def build(self, input_shape):
        self.w = self.add_weight(shape=(input_shape[-1], self.units), initializer="ones", name="w")
        self.b = self.add_weight(shape=(self.units,), initializer="zeros", name="b")
        self.calls = self.add_weight(shape=(), initializer="zeros", trainable=False, name="calls")

    def call(self, inputs, training=False):
        if training:
            self.calls.assign(self.calls + 1)
        hidden = jnp.matmul(inputs, self.w.value) + self.b.value
        return jax.nn.silu(hidden) * jax.nn.sigmoid(hidden)


class Network(keras.Model):
    def __init__(self):
        super().__init__()
        self.dense, self.norm = layers.Dense(6), layers.BatchNormalization()
        self.gate, self.last = Gate(4), layers.Dense(1)

    def call(self, inputs, training=False):
        hidden = self.norm(self.dense(inputs), training=training)
        hidden = jnp.reshape(jax.nn.relu(hidden), (hidden.shape[0], 6))
        return self.last(jnp.tanh(self.gate(hidden, training=training)))


inputs = keras.Input((8,))
fitted("functional", keras.Model(inputs, layers.Dense(1)(Gate(5)(inputs))))
fitted(
    "sequential",
    keras.Sequential(
        [keras.Input((8,)), layers.Dense(6), layers.Lambda(lambda x: jnp.tanh(x)), Gate(4), layers.Dense(1)]
    ),
)
fitted("subclass", Network())
fitted(
    "loss",
    keras.Sequential([keras.Input((8,)), layers.Dense(1)]),
    loss=lambda y, p: jnp.mean(jnp.abs(y - p), axis=-1),
)


def farthest(y_true, y_pred):
    return jnp.max(jnp.abs(y_true - y_pred))


fitted("metric", keras.Sequential([keras.Input((8,)), layers.Dense(1)]), metrics=[farthest])
