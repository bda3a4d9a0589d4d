"""Loops, training steps, layers, a loss and a metric in TensorFlow's own terms, as scripts for Keras on it have them."""

import keras
import numpy as np
import tensorflow as tf
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


# Loops by hand, as they stand and in a function that TensorFlow traces.
data = tf.data.Dataset.from_tensor_slices((x, labels)).batch(16)
loss_fn = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
for traced in (False, True):
    model = classifier()
    optimizer = keras.optimizers.Adam(1e-2)
    accuracy = keras.metrics.SparseCategoricalAccuracy()

    def step(inputs, targets):
        with tf.GradientTape() as tape:
            logits = model(inputs, training=True)
            loss = loss_fn(targets, logits)
        gradients = tape.gradient(loss, model.trainable_weights)
        optimizer.apply_gradients(zip(gradients, model.trainable_weights))
        accuracy.update_state(targets, logits)
        return loss

    run = tf.function(step) if traced else step
    results[f"loop: {traced}"] = []
    for _ in range(3):
        results[f"loop: {traced}"] += [float(run(inputs, targets)) for inputs, targets in data]
        results[f"loop: {traced}"].append(float(accuracy.result()))
        accuracy.reset_state()
        optimizer.learning_rate = 0.005
    results[f"loop: {traced}: iterations"] = int(optimizer.iterations)

# What TensorFlow has traced has the weights of today.
called = tf.function(lambda inputs: model(inputs))
results["called"] = [float(tf.reduce_sum(called(x)))]
start(model)
results["called"].append(float(tf.reduce_sum(called(x))))
model.compile("sgd", loss=loss_fn)
model.fit(x, labels, batch_size=16, epochs=2, shuffle=False, verbose=0)
results["called"] += [float(tf.reduce_sum(called(x))), float(model(x).numpy().sum())]
results["functions"] = [float(tf.reduce_mean(tf.abs(weight))) for weight in model.weights]

words = keras.Sequential(
    [keras.Input((5,), dtype="int32"), layers.Embedding(10, 4), layers.Flatten(), layers.Dense(1)]
)
start(words)
tokens = tf.constant([[1, 2, 3, 4, 4], [9, 2, 0, 0, 1]])
optimizer = keras.optimizers.SGD(
    0.1
)  # Adam of Keras on TensorFlow has other numbers where gradients are slices
for _ in range(3):
    with tf.GradientTape() as tape:
        loss = tf.reduce_sum(words(tokens) ** 2)
    optimizer.apply(tape.gradient(loss, words.trainable_weights), words.trainable_weights)
results["words"] = words(tokens).numpy().ravel().tolist()


# NumPy's arrays in a model and a loss, and gradients of what is in between, and of a variable of TensorFlow's own.
model = classifier()
logits = model(x[:5]).numpy()
results["numpy"] = [float(loss_fn(labels[:5], logits).numpy()), *logits.ravel().tolist()]
hidden = keras.Model(model.inputs, [model.layers[1].output, model.output])
with tf.GradientTape() as tape:
    middle, logits = hidden(x[:5])
    chosen = logits[:, tf.argmax(logits[0])]
results["middle"] = tape.gradient(chosen, middle).numpy().ravel().tolist()
picture = tf.Variable(x[:5])
optimizer = keras.optimizers.SGD(
    keras.optimizers.schedules.ExponentialDecay(0.1, decay_steps=2, decay_rate=0.5)
)


@tf.function
def picture_gradient(picture):
    with tf.GradientTape() as tape:
        loss = tf.reduce_sum(tf.square(hidden(picture)[0]))
    return loss, tape.gradient(loss, picture)


results["picture"] = []
for _ in range(3):
    loss, gradient = picture_gradient(picture)
    optimizer.apply_gradients([(gradient, picture)])
    results["picture"].append(float(loss))
results["picture"] += picture.numpy().ravel().tolist()


class Classifier(keras.Model):
    def train_step(self, data):
        inputs, targets = data
        with tf.GradientTape() as tape:
            predicted = self(inputs, training=True)
            loss = self.compute_loss(y=targets, y_pred=predicted)
        gradients = tape.gradient(loss, self.trainable_variables)
        self.optimizer.apply(gradients, self.trainable_variables)
        for metric in self.metrics:
            if metric.name == "loss":
                metric.update_state(loss)
            else:
                metric.update_state(targets, predicted)
        return {metric.name: metric.result() for metric in self.metrics}


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
        hidden = tf.matmul(inputs, self.w) + self.b
        return tf.nn.silu(hidden) * tf.sigmoid(hidden)


class Network(keras.Model):
    def __init__(self):
        super().__init__()
        self.dense, self.norm = layers.Dense(6), layers.BatchNormalization()
        self.gate, self.last = Gate(4), layers.Dense(1)

    def call(self, inputs, training=False):
        hidden = self.norm(self.dense(inputs), training=training)
        hidden = tf.reshape(tf.nn.relu(hidden), (tf.shape(hidden)[0], 6))
        return self.last(tf.tanh(self.gate(hidden, training=training)))


inputs = keras.Input((8,))
fitted("functional", keras.Model(inputs, layers.Dense(1)(Gate(5)(inputs))))
fitted(
    "sequential",
    keras.Sequential(
        [keras.Input((8,)), layers.Dense(6), layers.Lambda(lambda x: tf.tanh(x)), Gate(4), layers.Dense(1)]
    ),
)
fitted("subclass", Network())
fitted(
    "loss",
    keras.Sequential([keras.Input((8,)), layers.Dense(1)]),
    loss=lambda y, p: tf.reduce_mean(tf.abs(y - p), axis=-1),
)


def farthest(y_true, y_pred):
    return tf.reduce_max(tf.abs(y_true - y_pred))


fitted("metric", keras.Sequential([keras.Input((8,)), layers.Dense(1)]), metrics=[farthest])


# Triplets: the data of a step are inputs alone, three of them.
anchor, positive, negative = (keras.Input((8,), name=name) for name in ("anchor", "positive", "negative"))
embedding = start(keras.Sequential([keras.Input((8,)), layers.Dense(4)]))


class Distances(layers.Layer):
    def call(self, a, p, n):
        return tf.reduce_sum(tf.square(a - p), -1), tf.reduce_sum(tf.square(a - n), -1)


siamese = keras.Model(
    [anchor, positive, negative], Distances()(embedding(anchor), embedding(positive), embedding(negative))
)


class Triplets(keras.Model):
    def __init__(self, network):
        super().__init__()
        self.network = network
        self.tracker = keras.metrics.Mean(name="loss")

    def call(self, inputs):
        return self.network(inputs)

    @property
    def metrics(self):
        return [self.tracker]

    def distance(self, data):
        near, far = self.network(data)
        return tf.maximum(near - far + 0.5, 0.0)

    def train_step(self, data):
        with tf.GradientTape() as tape:
            loss = self.distance(data)
        gradients = tape.gradient(loss, self.network.trainable_weights)
        self.optimizer.apply_gradients(zip(gradients, self.network.trainable_weights))
        self.tracker.update_state(loss)
        return {"loss": self.tracker.result()}

    def test_step(self, data):
        self.tracker.update_state(self.distance(data))
        return {"loss": self.tracker.result()}


triplets = Triplets(siamese)
triplets.compile(optimizer=keras.optimizers.Adam(1e-3))
data = tf.data.Dataset.from_tensor_slices((x, x + 0.1 * y, x[::-1])).batch(8)
history = triplets.fit(data, epochs=2, validation_data=data, verbose=0).history
results["triplets"] = [history["loss"], history["val_loss"]]


class Gan(keras.Model):
    def __init__(self):
        super().__init__()
        self.generator = keras.Sequential([keras.Input((4,)), layers.Dense(8)])
        self.discriminator = keras.Sequential(
            [keras.Input((8,)), layers.Dense(8, activation="relu"), layers.Dense(1)]
        )
        self.g_loss, self.d_loss = keras.metrics.Mean(name="g_loss"), keras.metrics.Mean(name="d_loss")
        self.seeds = keras.random.SeedGenerator(1)

    def compile(self, g_optimizer, d_optimizer, loss):
        super().compile()
        self.g_optimizer, self.d_optimizer, self.loss_fn = g_optimizer, d_optimizer, loss

    @property
    def metrics(self):
        return [self.g_loss, self.d_loss]

    def train_step(self, real):
        count = tf.shape(real)[0]
        fake = self.generator(keras.random.normal((count, 4), seed=self.seeds))
        truth = tf.concat([tf.ones((count, 1)), tf.zeros((count, 1))], axis=0)
        truth += 0.05 * tf.random.uniform(tf.shape(truth))
        both = tf.concat([fake, real], axis=0)
        with tf.GradientTape() as tape:
            loss = self.loss_fn(truth, self.discriminator(both))
        gradients = tape.gradient(loss, self.discriminator.trainable_weights)
        self.d_optimizer.apply_gradients(zip(gradients, self.discriminator.trainable_weights))
        self.d_loss.update_state(loss)
        noise = keras.random.normal((2 * count, 4), seed=self.seeds)
        with tf.GradientTape() as tape:
            loss = self.loss_fn(tf.zeros((2 * count, 1)), self.discriminator(self.generator(noise)))
        gradients = tape.gradient(loss, self.generator.trainable_weights)
        self.g_optimizer.apply_gradients(zip(gradients, self.generator.trainable_weights))
        self.g_loss.update_state(loss)
        return {"d_loss": self.d_loss.result(), "g_loss": self.g_loss.result()}


gan = Gan()
gan.compile(
    keras.optimizers.Adam(), keras.optimizers.Adam(), keras.losses.BinaryCrossentropy(from_logits=True)
)
before = [weight.copy() for weight in gan.get_weights()]
history = gan.fit(tf.data.Dataset.from_tensor_slices(x).batch(16), epochs=2, verbose=0).history
results["gan"] = [bool(np.isfinite(history[key]).all()) for key in ("d_loss", "g_loss")]
results["gan: trained"] = [bool(np.abs(a - b).max() > 0) for a, b in zip(before, gan.get_weights())]
