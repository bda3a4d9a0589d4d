"""unifront on any backend, driven as `fit` and `predict` drive it, on native arrays.

The one place that knows how a unifront step is called from outside; change it here when that changes. As with
Keras, what is measured is the step, without the data pipeline and progress bar of `fit`.
"""

from __future__ import annotations

from itertools import cycle
from typing import Any

import layer_models
import numpy as np
from contender import Contender
from rows import Row


def resnet50(uf: Any, row: Row) -> Any:
    return uf.zoo.create("resnet50", classes=row.classes, classifier_activation=None)


MODELS = {**layer_models.MODELS, "resnet50": resnet50}


class UnifrontContender(Contender):
    def __init__(self, row: Row, backend: str):
        import unifront as uf
        from unifront.backends import placement
        from unifront.train.making import step_for
        from unifront.train.session import Session, natives
        from unifront.train.sources import checked

        self.model = MODELS[row.name](uf, row)
        layer_models.assign(self.model, row)
        self.parameter_count = sum(
            int(np.prod(weight.shape)) for weight in self.model.weights if weight.trainable
        )
        self.model.compile(
            layer_models.optimizer(uf, row),
            loss=uf.losses.SparseCategoricalCrossentropy(from_logits=True),
        )
        place = placement(backend)
        training = self.model._compiled()
        batches = [checked(self.model, training, x, y, None, None) for x, y in row.data()]
        step = step_for(self.model, training, batches[0], train=True)
        self.session = Session(step, place, 0, [0])
        self.session.reset_metrics()

        traced = self.model.trace(False)
        self.program = place.backend.compile(traced.graph, place.device)
        self._native_variables = lambda: natives(traced.variables, self.program.storage, place)
        self.variables: Any = None

        data = [[self.session.put(array) for array in arrays.all] for arrays in batches]
        self.train_batches = cycle(data)
        self.infer_batches = cycle([batch[:1] for batch in data])

    def train_step(self) -> None:
        self.variables = None
        self.session.run_on(next(self.train_batches))

    def infer(self) -> None:
        if self.variables is None:
            # The session gives the weights back.
            self.variables = self._native_variables()
        (self.logits,) = self.program(next(self.infer_batches), self.variables)

    def synchronize(self) -> None:
        place = self.session.place
        place.backend.synchronize(place.device)

    def last_loss(self) -> float:
        # The mean since the last reset, so the next step is to begin anew.
        loss = float(self.session.logs()["loss"])
        self.session.reset_metrics()
        return loss

    def last_logits(self) -> np.ndarray:
        return self.session.place.backend.numpy(self.logits)


def build(row: Row, backend: str, variant: str) -> Contender:
    return UnifrontContender(row, backend)
