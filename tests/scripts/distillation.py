"""A teacher's softened answers as a second loss: `compute_loss` overridden in a model that holds two."""

import keras
import numpy as np
from keras import layers, ops


class Distiller(keras.Model):
    def __init__(self, student, teacher):
        super().__init__()
        self.teacher, self.student = teacher, student

    def compile(self, optimizer, metrics, student_loss_fn, distillation_loss_fn, alpha=0.1, temperature=3):
        super().compile(optimizer=optimizer, metrics=metrics)
        self.student_loss_fn, self.distillation_loss_fn = student_loss_fn, distillation_loss_fn
        self.alpha, self.temperature = alpha, temperature

    def compute_loss(self, x=None, y=None, y_pred=None, sample_weight=None, allow_empty=False):
        teacher = self.teacher(x, training=False)
        distance = self.distillation_loss_fn(
            ops.softmax(teacher / self.temperature, axis=1), ops.softmax(y_pred / self.temperature, axis=1)
        )
        return (
            self.alpha * self.student_loss_fn(y, y_pred) + (1 - self.alpha) * distance * self.temperature**2
        )

    def call(self, x):
        return self.student(x)


def network(name, filters):
    return keras.Sequential(
        [
            keras.Input(shape=(8, 8, 1)),
            layers.Conv2D(filters, 3, strides=2, padding="same"),
            layers.LeakyReLU(negative_slope=0.2),
            layers.MaxPooling2D(pool_size=2, strides=1, padding="same"),
            layers.Flatten(),
            layers.Dense(3),
        ],
        name=name,
    )


keras.utils.set_random_seed(0)
images = np.random.default_rng(0).normal(size=(32, 8, 8, 1)).astype("float32")
labels = np.random.default_rng(1).integers(0, 3, 32)
teacher, student = network("teacher", 16), network("student", 4)
teacher.compile("adam", keras.losses.SparseCategoricalCrossentropy(from_logits=True), metrics=["accuracy"])
teacher.fit(images, labels, epochs=1, verbose=0)
kept = teacher.get_weights()
model = Distiller(student=student, teacher=teacher)
model.compile(
    optimizer=keras.optimizers.Adam(),
    metrics=[keras.metrics.SparseCategoricalAccuracy()],
    student_loss_fn=keras.losses.SparseCategoricalCrossentropy(from_logits=True),
    distillation_loss_fn=keras.losses.KLDivergence(),
)
teacher.trainable = False
history = model.fit(images, labels, epochs=2, verbose=0)
assert all(np.array_equal(a, b) for a, b in zip(kept, teacher.get_weights(), strict=True))
samples = images[:4]
