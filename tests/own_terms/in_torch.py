"""Loops, a training step, layers, a loss and a metric in PyTorch's own terms, as scripts for Keras on PyTorch have them."""

import keras
import numpy as np
import torch
import torch.nn.functional as F
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
optimizer = keras.optimizers.Adam(1e-2)
loss_fn = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
accuracy = keras.metrics.SparseCategoricalAccuracy()
data = torch.utils.data.TensorDataset(torch.from_numpy(x), torch.from_numpy(labels))
results["loop"] = []
for _ in range(2):
    for inputs, targets in torch.utils.data.DataLoader(data, batch_size=16):
        logits = model(inputs, training=True)
        loss = loss_fn(targets, logits)
        model.zero_grad()
        loss.backward()
        weights = list(model.trainable_weights)
        gradients = [weight.value.grad for weight in weights]
        with torch.no_grad():
            optimizer.apply(gradients, weights)
        accuracy.update_state(targets, logits)
        results["loop"].append(float(loss.detach()))
    results["loop"].append(float(accuracy.result()))
    accuracy.reset_state()

# PyTorch's own optimizer.
model = classifier()
optimizer = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9)
for inputs, targets in torch.utils.data.DataLoader(data, batch_size=16):
    loss = F.cross_entropy(model(inputs), targets)
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
results["optimizer"] = model.predict(x, verbose=0).ravel().tolist()
results["functions"] = [float(torch.mean(torch.abs(w)).detach()) for w in model.weights]


# A network beside another one, as in deep Q-learning, and the gradient of an input.
online, target = classifier(), classifier()
optimizer = keras.optimizers.Adam(1e-2)
results["target"] = []
for _ in range(3):
    expected = 1.0 + 0.9 * torch.max(target(x), dim=1).values
    chosen = torch.sum(online(x) * F.one_hot(torch.from_numpy(labels), 3), dim=1)
    loss = keras.losses.Huber()(expected.detach(), chosen)
    online.zero_grad()
    loss.backward()
    weights = online.trainable_weights
    with torch.no_grad():
        optimizer.apply([weight.value.grad for weight in weights], weights)
    target.set_weights(online.get_weights())
    results["target"].append(float(loss.detach()))
picture = torch.tensor(x[:5], requires_grad=True)
online(picture).sum().backward()
results["input"] = picture.grad.numpy().ravel().tolist()


class Classifier(keras.Model):
    def train_step(self, data):
        inputs, targets = data
        self.zero_grad()
        predicted = self(inputs, training=True)
        loss = self.compute_loss(y=targets, y_pred=predicted)
        loss.backward()
        weights = list(self.trainable_weights)
        with torch.no_grad():
            self.optimizer.apply([weight.value.grad for weight in weights], weights)
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
        hidden = torch.matmul(inputs, self.w) + self.b
        return F.silu(hidden) * torch.sigmoid(hidden)


class Network(keras.Model):
    def __init__(self):
        super().__init__()
        self.dense, self.norm = layers.Dense(6), layers.BatchNormalization()
        self.gate, self.last = Gate(4), layers.Dense(1)
        self.linear = torch.nn.Linear(4, 4)

    def call(self, inputs, training=False):
        hidden = self.norm(self.dense(inputs), training=training)
        hidden = torch.relu(hidden).view(hidden.shape[0], -1)
        return self.last(torch.tanh(self.linear(self.gate(hidden, training=training))))


inputs = keras.Input((8,))
fitted("functional", keras.Model(inputs, layers.Dense(1)(Gate(5)(inputs))))
fitted(
    "sequential",
    keras.Sequential(
        [keras.Input((8,)), layers.Dense(6), layers.Lambda(lambda x: torch.tanh(x)), Gate(4), layers.Dense(1)]
    ),
)
fitted("subclass", Network())
fitted(
    "loss",
    keras.Sequential([keras.Input((8,)), layers.Dense(1)]),
    loss=lambda y, p: torch.mean(torch.abs(y - p), dim=-1),
)


def farthest(y_true, y_pred):
    return torch.max(torch.abs(y_true - y_pred))


fitted("metric", keras.Sequential([keras.Input((8,)), layers.Dense(1)]), metrics=[farthest])


class Gan(keras.Model):
    def __init__(self):
        super().__init__()
        self.generator = keras.Sequential([keras.Input((4,)), layers.Dense(8)])
        self.discriminator = keras.Sequential(
            [keras.Input((8,)), layers.Dense(8, activation="relu"), layers.Dense(1)]
        )
        self.g_loss, self.d_loss = keras.metrics.Mean(name="g_loss"), keras.metrics.Mean(name="d_loss")
        self.seeds = keras.random.SeedGenerator(1)
        self.built = True

    def compile(self, g_optimizer, d_optimizer, loss):
        super().compile()
        self.g_optimizer, self.d_optimizer, self.loss_fn = g_optimizer, d_optimizer, loss

    @property
    def metrics(self):
        return [self.g_loss, self.d_loss]

    def train_step(self, real):
        real = torch.as_tensor(real[0] if isinstance(real, tuple) else real)
        count = real.shape[0]
        fake = self.generator(keras.random.normal((count, 4), seed=self.seeds))
        self.zero_grad()
        truth = torch.concat([torch.ones((count, 1)), torch.zeros((count, 1))], axis=0)
        loss = self.loss_fn(truth, self.discriminator(torch.concat([fake, real], axis=0)))
        loss.backward()
        weights = self.discriminator.trainable_weights
        with torch.no_grad():
            self.d_optimizer.apply([weight.value.grad for weight in weights], weights)
        self.d_loss.update_state(loss)
        self.zero_grad()
        fake = self.generator(keras.random.normal((count, 4), seed=self.seeds))
        loss = self.loss_fn(torch.zeros((count, 1)), self.discriminator(fake))
        loss.backward()
        weights = self.generator.trainable_weights
        with torch.no_grad():
            self.g_optimizer.apply([weight.value.grad for weight in weights], weights)
        self.g_loss.update_state(loss)
        return {"d_loss": self.d_loss.result(), "g_loss": self.g_loss.result()}


gan = Gan()
gan.compile(
    keras.optimizers.Adam(), keras.optimizers.Adam(), keras.losses.BinaryCrossentropy(from_logits=True)
)
before = [weight.copy() for weight in gan.get_weights()]
history = gan.fit(x, batch_size=16, epochs=2, verbose=0).history
results["gan"] = [bool(np.isfinite(history[key]).all()) for key in ("d_loss", "g_loss")]
results["gan: trained"] = [bool(np.abs(a - b).max() > 0) for a, b in zip(before, gan.get_weights())]
