"""Estimators of scikit-learn that are models: `Classifier` and `Regressor`.

They work in pipelines and searches, take string labels and class weights, give probabilities, and are reproducible by
``random_state``. `unifront.wrappers` has those of ``keras.wrappers``.
"""

from __future__ import annotations

from typing import Any, Self

import numpy as np
from sklearn.base import ClassifierMixin, RegressorMixin
from sklearn.utils.multiclass import type_of_target
from sklearn.utils.validation import check_is_fitted, column_or_1d, validate_data

from unifront import layers
from unifront.errors import ArgumentError
from unifront.model import Model
from unifront.sequential import Sequential
from unifront.trace import seeded
from unifront.train import losses
from unifront.wrappers import Estimator, fresh

__all__ = ["Classifier", "Regressor"]


def __dir__() -> list[str]:
    return __all__


def perceptron(features: int, outputs: int, hidden: Any = (64,), activation: str = "relu") -> Model:
    """Dense layers: the model that estimators train unless they are given one."""
    stack: list[Any] = [layers.Dense(width, activation=activation) for width in hidden]
    return Sequential([layers.Input((features,)), *stack, layers.Dense(outputs)])


class _Estimator(Estimator):
    """What both have in common."""

    def __init__(
        self,
        model: Any = None,
        *,
        model_kwargs: Any = None,
        optimizer: Any = "adam",
        loss: Any = None,
        metrics: Any = None,
        epochs: int = 50,
        batch_size: int = 32,
        validation_split: float = 0.0,
        class_weight: Any = None,
        callbacks: Any = None,
        verbose: Any = 0,
        backend: str | None = None,
        warm_start: bool = False,
        random_state: Any = None,
    ) -> None:
        self.model, self.model_kwargs = model, model_kwargs
        self.optimizer, self.loss, self.metrics = optimizer, loss, metrics
        self.epochs, self.batch_size, self.validation_split = epochs, batch_size, validation_split
        self.class_weight, self.callbacks, self.verbose = class_weight, callbacks, verbose
        self.backend, self.warm_start, self.random_state = backend, warm_start, random_state

    def fit(self, X: Any, y: Any, **kwargs: Any) -> Self:
        """Train.

        Args:
            X: ``[examples, features]``; more axes for a model that takes them.
            y: labels of any kind, or numbers, ``[examples]`` or ``[examples, outputs]``.
            kwargs: for `Model.fit`, such as ``sample_weight``.
        """
        X, y = self._checked(X, y)
        targets, outputs = self._encoded(y)
        with seeded(self._seed()):
            if not (self.warm_start and hasattr(self, "model_")):
                self.model_ = self._new(X, outputs)
            options = {
                "epochs": self.epochs, "batch_size": self.batch_size, "validation_split": self.validation_split,
                "class_weight": self._class_weight(), "callbacks": self.callbacks, "verbose": self.verbose,
                "backend": self.backend,
            }  # fmt: skip
            self.history_ = self.model_.fit(X, targets, **{**options, **kwargs})
        return self

    def _checked(self, X: Any, y: Any) -> tuple[np.ndarray, np.ndarray]:
        return validate_data(self, X, y, multi_output=True, allow_nd=True, dtype="numeric")

    def _seed(self) -> int | None:
        if self.random_state is None or isinstance(self.random_state, int | np.integer):
            return None if self.random_state is None else int(self.random_state)
        return int(self.random_state.randint(2**31 - 1))

    def _new(self, X: np.ndarray, outputs: int) -> Model:
        if isinstance(self.model, Model):
            made = fresh(self.model)
        else:
            make: Any = perceptron if self.model is None else self.model
            if not callable(make):
                raise ArgumentError(f"model is a Model, or a function that makes one, not {self.model!r}.")
            shape: Any = X.shape[1] if X.ndim == 2 else X.shape[1:]
            made = make(shape, outputs, **(self.model_kwargs or {}))
        if made._training is None:
            given = self.optimizer
            optimizer = type(given).from_config(given.get_config()) if hasattr(given, "get_config") else given
            made.compile(
                optimizer, self._own_loss(outputs) if self.loss is None else self.loss, metrics=self.metrics
            )
        return made

    def _own_loss(self, outputs: int) -> Any:
        return "mse"

    def _class_weight(self) -> Any:
        return self.class_weight

    def _encoded(self, y: np.ndarray) -> tuple[np.ndarray, int]:
        type_of_target(y, raise_unknown=True)
        self._rank = y.ndim
        return (y.reshape(-1, 1), 1) if y.ndim == 1 else (y, y.shape[1])

    def _outputs(self, X: Any) -> np.ndarray:
        check_is_fitted(self)
        X = validate_data(self, X, reset=False, allow_nd=True, dtype="numeric")
        return self.model_.predict(X, batch_size=self.batch_size, backend=self.backend, verbose=0)


class Classifier(ClassifierMixin, _Estimator):  # type: ignore[misc]  # scikit-learn has no types
    """A model as a classifier of scikit-learn. Labels may be of any kind; ``classes_`` are those of the last fit.

    Arguments as of `Regressor`, and: ``class_weight`` may be ``"balanced"``, or a dict by label. The model gives one
    output for each class, logits unless it is compiled with a loss of probabilities; with one output there are two
    classes.

    Example::

        from sklearn.model_selection import GridSearchCV
        from sklearn.pipeline import make_pipeline
        from sklearn.preprocessing import StandardScaler

        pipeline = make_pipeline(StandardScaler(), uf.sklearn.Classifier(epochs=20))
        search = GridSearchCV(pipeline, {"classifier__optimizer": ["adam", "sgd"]}, cv=3).fit(X, y)
    """

    classes_: np.ndarray

    def _encoded(self, y: np.ndarray) -> tuple[np.ndarray, int]:
        kind = type_of_target(y, raise_unknown=True)
        if kind not in ("binary", "multiclass"):
            raise ArgumentError(
                f"Only binary and multiclass target types are supported. Unknown label type: {kind}"
            )
        labels = column_or_1d(y, warn=True)
        classes, numbers = np.unique(labels, return_inverse=True)
        if len(classes) == 1:
            raise ArgumentError("Classifier can't train when only one class is present.")
        if self.warm_start and hasattr(self, "classes_") and not np.array_equal(classes, self.classes_):
            raise ArgumentError(
                f"warm_start goes on with the classes {self.classes_.tolist()}; y has {classes.tolist()}."
            )
        self.classes_, self._counts = classes, np.bincount(numbers)
        return numbers.astype(np.int32), len(classes)

    def _own_loss(self, outputs: int) -> Any:
        return losses.SparseCategoricalCrossentropy(from_logits=True)

    def _class_weight(self) -> Any:
        if self.class_weight is None:
            return None
        if isinstance(self.class_weight, str) and self.class_weight == "balanced":
            return dict(enumerate(self._counts.sum() / (len(self._counts) * self._counts)))
        return {i: self.class_weight.get(label, 1.0) for i, label in enumerate(self.classes_.tolist())}

    def predict_proba(self, X: Any) -> np.ndarray:
        """The probability of each class, ``[examples, classes]``, in the order of ``classes_``."""
        outputs = self._outputs(X).astype(np.float64)
        training = self.model_._compiled()
        are_logits = bool(getattr(training.loss, "from_logits", False))
        if outputs.shape[1] == 1:
            second = 1 / (1 + np.exp(-outputs)) if are_logits else outputs
            return np.concatenate([1 - second, second], axis=1)
        if are_logits:
            powers = np.exp(outputs - outputs.max(axis=1, keepdims=True))
            outputs = powers / powers.sum(axis=1, keepdims=True)
        return outputs

    def predict(self, X: Any) -> np.ndarray:
        """The class of each example."""
        chances = self.predict_proba(X)
        return self.classes_[chances.argmax(axis=1)]


class Regressor(RegressorMixin, _Estimator):  # type: ignore[misc]  # scikit-learn has no types
    """A model as a regressor of scikit-learn.

    Args:
        model: a model, of which each fit trains a copy with new weights; or a function ``(features, outputs,
            **model_kwargs)`` that makes one, where ``features`` is a number, or a shape for examples of several axes.
            Dense layers unless given, with ``hidden`` units and an ``activation``.
        model_kwargs: for that function.
        optimizer, loss, metrics: as of `Model.compile`, for a model that is not compiled.
        epochs, batch_size, validation_split, class_weight, callbacks, verbose, backend: as of `Model.fit`.
        warm_start: whether a fit goes on with the weights of the last one.
        random_state: an int makes fits reproducible.

    After a fit ``model_`` is the model, ``history_`` what its fit gave, ``n_features_in_`` the number of features.

    Example::

        uf.sklearn.Regressor(model_kwargs={"hidden": (32, 32)}, epochs=100, random_state=0).fit(X, y).predict(X)
    """

    def predict(self, X: Any) -> np.ndarray:
        """What the model says of each example, in the form of ``y``; float64, as scikit-learn has it."""
        return super().predict(X).astype(np.float64)

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.target_tags.multi_output = True
        return tags
