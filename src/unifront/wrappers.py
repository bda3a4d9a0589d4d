"""Models as estimators of scikit-learn, with the names and arguments of ``keras.wrappers``.

`unifront.sklearn` has estimators that need no function written first.
"""

from __future__ import annotations

from typing import Any, Self

import numpy as np

from unifront import tree
from unifront.cloning import clone_model, compiled_as
from unifront.errors import ArgumentError, BackendMissing, NotBuiltError
from unifront.model import Model
from unifront.train.data import size_of_batches

try:
    from sklearn.base import BaseEstimator, ClassifierMixin, RegressorMixin, TransformerMixin
    from sklearn.preprocessing import OneHotEncoder
    from sklearn.utils.multiclass import type_of_target
    from sklearn.utils.validation import check_is_fitted, column_or_1d, validate_data
except ImportError as error:
    raise BackendMissing(
        "Estimators of scikit-learn need scikit-learn >= 1.6: pip install -U scikit-learn"
    ) from error

__all__ = ["SKLearnClassifier", "SKLearnRegressor", "SKLearnTransformer"]


def __dir__() -> list[str]:
    return __all__


def _in_whole_blocks(model: Model, X: np.ndarray, **options: Any) -> Any:
    """The outputs of ``model``, by batches of one size, since kernels round a row otherwise in a batch of one."""
    size = size_of_batches(model, None)
    padded = np.concatenate([X, np.repeat(X[-1:], -len(X) % size, axis=0)])
    outputs = model.predict(padded, batch_size=size, **options)
    return tree.map_leaves(lambda output: output[: len(X)], outputs)


def fresh(model: Model) -> Model:
    """A model like this one, with new weights, compiled in the same way."""
    made = clone_model(model)
    return made if made.compiled else compiled_as(made, model)


class Estimator(BaseEstimator):  # type: ignore[misc]  # scikit-learn is taken as Any
    """What the three have in common.

    Args:
        model: a compiled model, of which each fit trains a copy with new weights; or a function ``(X, y,
            **model_kwargs)`` that makes one, where ``y`` is ``[examples, outputs]``: classes with a one at theirs.
        warm_start: whether a fit goes on with the weights of the last one.
        model_kwargs: for ``model``, if it is a function.
        fit_kwargs: for `Model.fit`; what is given to ``fit`` itself comes first.

    After a fit ``model_`` is the model, ``history_`` what its fit gave, ``n_features_in_`` the number of features.
    """

    def __init__(
        self, model: Any, warm_start: bool = False, model_kwargs: Any = None, fit_kwargs: Any = None
    ) -> None:
        self.model, self.warm_start = model, warm_start
        self.model_kwargs, self.fit_kwargs = model_kwargs, fit_kwargs

    @property
    def epoch_(self) -> int:
        """How many epochs the last fit took."""
        return len(self.history_.epoch) if hasattr(self, "history_") else 0

    def _made(self, X: np.ndarray, y: np.ndarray) -> Model:
        if self.warm_start and hasattr(self, "model_"):
            return self.model_
        if isinstance(self.model, Model):
            return self.model if self.warm_start else fresh(self.model)
        if not callable(self.model):
            raise ArgumentError(f"model is a Model, or a function that makes one, not {self.model!r}.")
        return self.model(X=X, y=y, **(self.model_kwargs or {}))

    def fit(self, X: Any, y: Any, **kwargs: Any) -> Self:
        """Train.

        Args:
            X: ``[examples, features]``.
            y: targets, ``[examples]`` or ``[examples, outputs]``.
            kwargs: for `Model.fit`, such as ``sample_weight``, ``epochs``.
        """
        X, y = validate_data(self, X, y, multi_output=True)
        targets = self._targets(y)
        model = self._made(X, targets)
        if model._training is None or model._training.loss is None or model.optimizer is None:
            raise NotBuiltError("Given model needs to be compiled, and have a loss and an optimizer.")
        self.history_ = model.fit(X, targets, **{**(self.fit_kwargs or {}), **kwargs})
        self.model_ = model
        return self

    def _outputs(self, X: Any) -> np.ndarray:
        check_is_fitted(self)
        quiet = {"verbose": (self.fit_kwargs or {}).get("verbose", "auto")}
        found = _in_whole_blocks(self.model_, validate_data(self, X, reset=False), **quiet)
        return found[0] if isinstance(found, list) and len(found) == 1 else found

    def predict(self, X: Any) -> np.ndarray:
        """What the model says of each example, in the form of ``y``."""
        outputs = self._outputs(X)
        return outputs[:, 0] if self._rank == 1 and outputs.ndim == 2 and outputs.shape[1] == 1 else outputs

    def _targets(self, y: np.ndarray) -> np.ndarray:
        type_of_target(y, raise_unknown=True)
        self._rank = y.ndim
        return y.reshape(-1, 1) if y.ndim == 1 else y


class SKLearnClassifier(ClassifierMixin, Estimator):  # type: ignore[misc]
    """A model as a classifier of scikit-learn.

    Arguments as of `Estimator`: ``model``, ``warm_start``, ``model_kwargs``, ``fit_kwargs``. Labels may be strings;
    ``classes_`` are those of the last fit. Source: ``keras.wrappers.SKLearnClassifier``.

    Example::

        def network(X, y, width=32):
            model = uf.Sequential([uf.Input((X.shape[1],)), layers.Dense(width, activation="relu"),
                                   layers.Dense(y.shape[1], activation="softmax")])
            model.compile("adam", "categorical_crossentropy")
            return model

        classifier = uf.wrappers.SKLearnClassifier(network, fit_kwargs={"epochs": 20, "verbose": 0})
        classifier.fit(X, y).score(X, y)
    """

    def _targets(self, y: np.ndarray) -> np.ndarray:
        kind = type_of_target(y, raise_unknown=True)
        if kind not in ("binary", "multiclass"):
            raise ArgumentError(
                f"Only binary and multiclass target types are supported. Unknown label type: {kind}"
            )
        column = column_or_1d(y, warn=True).reshape(-1, 1)
        self._encoder = OneHotEncoder(sparse_output=False).fit(column)
        self.classes_ = np.unique(y)
        if len(self.classes_) == 1:
            raise ArgumentError("Classifier can't train when only one class is present.")
        return self._encoder.transform(column)

    def predict(self, X: Any) -> np.ndarray:
        """The class of each example."""
        outputs = self._outputs(X)
        return self.classes_[outputs.argmax(axis=1)]

    def decision_function(self, X: Any) -> np.ndarray:
        """What the model gives, ``[examples, classes]``."""
        return self._outputs(X)

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.classifier_tags.poor_score = True
        return tags


class SKLearnRegressor(RegressorMixin, Estimator):  # type: ignore[misc]
    """A model as a regressor of scikit-learn.

    Arguments as of `Estimator`: ``model``, ``warm_start``, ``model_kwargs``, ``fit_kwargs``.
    Source: ``keras.wrappers.SKLearnRegressor``.
    """

    def predict(self, X: Any) -> np.ndarray:
        """What the model says of each example, in the form of ``y``; float64, as scikit-learn has it."""
        return super().predict(X).astype(np.float64)

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.target_tags.multi_output = True
        tags.regressor_tags.poor_score = True
        return tags


class SKLearnTransformer(TransformerMixin, Estimator):  # type: ignore[misc]
    """A model as a transformer of scikit-learn: a step of a pipeline whose outputs go on to the next.

    Arguments as of `Estimator`: ``model``, ``warm_start``, ``model_kwargs``, ``fit_kwargs``.
    Source: ``keras.wrappers.SKLearnTransformer``.
    """

    def transform(self, X: Any) -> np.ndarray:
        """The outputs of the model."""
        return self._outputs(X)

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.transformer_tags.preserves_dtype = []
        return tags
