"""Papers that cite each other: messages along edges, summed for each paper, and the graph as weights of the model."""

import keras
import numpy as np
from keras import layers, ops

keras.utils.set_random_seed(0)
rng = np.random.default_rng(0)
PAPERS, FEATURES, CLASSES = 20, 6, 3
features = rng.normal(size=(PAPERS, FEATURES)).astype("float32")
edges = rng.integers(0, PAPERS, (60, 2)).astype("int32")
classes = rng.integers(0, CLASSES, PAPERS)


def feed_forward(units, name):
    return keras.Sequential(
        [layers.BatchNormalization(), layers.Dropout(0.2), layers.Dense(units, activation="gelu")], name=name
    )


class GraphConv(layers.Layer):
    def __init__(self, units, **kwargs):
        super().__init__(**kwargs)
        self.prepare, self.update = feed_forward(units, "prepare"), feed_forward(units, "update")

    def call(self, inputs):
        nodes, edges = inputs
        messages = self.prepare(ops.take(nodes, edges[:, 1], axis=0))
        gathered = ops.segment_sum(messages, edges[:, 0], num_segments=PAPERS)
        found = self.update(ops.concatenate([nodes, gathered], axis=1))
        return ops.nn.normalize(found, axis=-1, order=2)


class NodeClassifier(keras.Model):
    def __init__(self, features, edges, classes, units):
        super().__init__()
        self.nodes, self.edges = ops.convert_to_tensor(features), ops.convert_to_tensor(edges)
        self.before, self.after = feed_forward(units, "before"), feed_forward(units, "after")
        self.convs = [GraphConv(units, name="conv1"), GraphConv(units, name="conv2")]
        self.logits = layers.Dense(classes, name="logits")

    def call(self, indices):
        x = self.before(self.nodes)
        for conv in self.convs:
            x = conv((x, self.edges)) + x
        x = self.after(x)
        return self.logits(ops.take(x, indices, axis=0))


samples = np.arange(PAPERS)
model = NodeClassifier(features, edges, CLASSES, 8)
model.compile(
    optimizer=keras.optimizers.Adam(0.01),
    loss=keras.losses.SparseCategoricalCrossentropy(from_logits=True),
    metrics=[keras.metrics.SparseCategoricalAccuracy(name="acc")],
)
history = model.fit(samples, classes, epochs=2, batch_size=10, verbose=0)
