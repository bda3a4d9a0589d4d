"""Keras 3 on the backend that KERAS_BACKEND names, driven as `fit` and `predict` drive it.

The compiled train and predict functions are called in a loop, without callbacks and on native arrays: what is
measured is Keras's step, without the data pipeline and progress bar of `fit`. On JAX the state is taken out
of the model once and handed from step to step, as `fit` does within an epoch. On TensorFlow the batches come
from a Python iterator, as in `train_on_batch`; `fit`'s `tf.data` iterator puts a second `tf.function` around
the same step, which made the smallest model's step half as long again.
"""

from __future__ import annotations

from itertools import cycle
from typing import Any

import layer_models
import numpy as np
from contender import Contender
from rows import Row


def resnet50(keras: Any, row: Row) -> Any:
    return keras.applications.ResNet50(weights=None, classes=row.classes, classifier_activation=None)


MODELS = {**layer_models.MODELS, "resnet50": resnet50}


class _KerasContender(Contender):
    def __init__(self, row: Row):
        import keras

        self.model = MODELS[row.name](keras, row)
        layer_models.assign(self.model, row)
        self.parameter_count = sum(int(np.prod(weight.shape)) for weight in self.model.trainable_weights)
        self.model.compile(
            optimizer=layer_models.optimizer(keras, row),
            loss=keras.losses.SparseCategoricalCrossentropy(from_logits=True),
        )
        data = [(self.place(x), self.place(y)) for x, y in row.data()]
        # As `fit` does before its first step: builds the optimizer and the metrics.
        self.model._symbolic_build(data_batch=data[0])
        self.model.make_train_function()
        self.model.make_predict_function()
        self.train_batches = cycle(data)
        self.infer_batches = cycle([(x,) for x, _ in data])

    def place(self, array: np.ndarray) -> Any:
        """The array on the device, in the form in which Keras's data pipeline hands it over."""
        raise NotImplementedError

    def reset_metrics(self) -> None:
        self.model.reset_metrics()

    def last_loss(self) -> float:
        # Keras reports the mean since the last reset, so the next step is to begin anew.
        loss = float(self.logs["loss"])
        self.reset_metrics()
        return loss

    def last_logits(self) -> np.ndarray:
        import keras

        return keras.ops.convert_to_numpy(self.logits)


class _OnTorch(_KerasContender):
    def place(self, array: np.ndarray) -> Any:
        import torch

        return torch.from_numpy(array).to("cuda" if torch.cuda.is_available() else "cpu")

    def train_step(self) -> None:
        if not self.model.training:
            self.model.train()
        self.logs = self.model.train_function([next(self.train_batches)])

    def infer(self) -> None:
        if self.model.training:
            self.model.eval()
        self.logits = self.model.predict_function([next(self.infer_batches)])

    def synchronize(self) -> None:
        import torch

        if torch.cuda.is_available():
            torch.cuda.synchronize()


class _OnTensorflow(_KerasContender):
    def place(self, array: np.ndarray) -> Any:
        import tensorflow

        return tensorflow.constant(array)

    def train_step(self) -> None:
        self.logs = self.model.train_function(self.train_batches)

    def infer(self) -> None:
        self.logits = self.model.predict_function([next(self.infer_batches)])

    def synchronize(self) -> None:
        import tensorflow

        tensorflow.test.experimental.sync_devices()


class _OnJax(_KerasContender):
    def __init__(self, row: Row):
        super().__init__(row)
        # Trainable, other, optimizer's and metrics' variables; the steps donate them, so the model lets go of
        # them.
        self.state = self.model._get_jax_state(
            trainable_variables=True,
            non_trainable_variables=True,
            optimizer_variables=True,
            metrics_variables=True,
            purge_model_variables=True,
        )
        self.logs = self.logits = None

    def place(self, array: np.ndarray) -> Any:
        import jax

        return jax.device_put(array)

    def train_step(self) -> None:
        self.logs, self.state = self.model.train_function(self.state, self.train_batches)

    def infer(self) -> None:
        self.logits, state = self.model.predict_function(self.state[:2], self.infer_batches)
        self.state = (*state, *self.state[2:])

    def synchronize(self) -> None:
        import jax

        jax.block_until_ready((self.state, self.logs, self.logits))

    def reset_metrics(self) -> None:
        import jax

        *state, metrics = self.state
        self.state = (*state, jax.tree.map(jax.numpy.zeros_like, metrics))


CONTENDERS: dict[str, type[_KerasContender]] = {
    "torch": _OnTorch,
    "jax": _OnJax,
    "tensorflow": _OnTensorflow,
}


def build(row: Row, backend: str, variant: str) -> Contender:
    return CONTENDERS[backend](row)
