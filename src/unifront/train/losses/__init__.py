"""Losses, with Keras's names, arguments and reductions. ``loss(y_true, y_pred)`` works on any tensors.

Each is a function, that gives the loss of each example, and a class, that also weighs and reduces.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from unifront.serialization import deserialize_keras_object, identified, serialize_keras_object
from unifront.train.losses.base import Loss as Loss
from unifront.train.losses.base import LossFunctionWrapper as LossFunctionWrapper
from unifront.train.losses.base import StandardLoss as StandardLoss
from unifront.train.losses.base import _like as _like
from unifront.train.losses.base import labels_of as labels_of
from unifront.train.losses.base import matched as matched
from unifront.train.losses.crossentropies import (
    BinaryCrossentropy,
    BinaryFocalCrossentropy,
    CategoricalCrossentropy,
    CategoricalFocalCrossentropy,
    CategoricalGeneralizedCrossEntropy,
    KLDivergence,
    Poisson,
    SparseCategoricalCrossentropy,
    binary_crossentropy,
    binary_focal_crossentropy,
    categorical_crossentropy,
    categorical_focal_crossentropy,
    categorical_generalized_cross_entropy,
    kl_divergence,
    poisson,
    sparse_categorical_crossentropy,
)
from unifront.train.losses.hinges import (
    CategoricalHinge,
    Hinge,
    SquaredHinge,
    categorical_hinge,
    hinge,
    squared_hinge,
)
from unifront.train.losses.regression import (
    CosineSimilarity,
    Huber,
    LogCosh,
    MeanAbsoluteError,
    MeanAbsolutePercentageError,
    MeanSquaredError,
    MeanSquaredLogarithmicError,
    cosine_similarity,
    huber,
    log_cosh,
    mean_absolute_error,
    mean_absolute_percentage_error,
    mean_squared_error,
    mean_squared_logarithmic_error,
)
from unifront.train.losses.structures import CTC, Circle, Dice, Tversky, circle, ctc, dice, tversky

CLASSES: tuple[type[StandardLoss], ...] = (
    MeanSquaredError, MeanAbsoluteError, MeanAbsolutePercentageError, MeanSquaredLogarithmicError, CosineSimilarity,
    Huber, LogCosh, Hinge, SquaredHinge, CategoricalHinge, KLDivergence, Poisson, BinaryCrossentropy,
    BinaryFocalCrossentropy, CategoricalCrossentropy, CategoricalFocalCrossentropy, SparseCategoricalCrossentropy,
    CategoricalGeneralizedCrossEntropy, Dice, Tversky, Circle, CTC,
)  # fmt: skip
SHORT: dict[str, Callable[..., Any]] = {
    "bce": binary_crossentropy, "kld": kl_divergence, "mae": mean_absolute_error, "mse": mean_squared_error,
    "mape": mean_absolute_percentage_error, "msle": mean_squared_logarithmic_error,
}  # fmt: skip
FUNCTIONS = {cls.function.__name__: cls for cls in CLASSES}
"""The class beside each function, by the function's name."""
NAMES: dict[str, Any] = {
    **SHORT,
    **{name.upper(): function for name, function in SHORT.items()},
    **{name: cls.function for name, cls in FUNCTIONS.items()},
    **{cls.__name__: cls for cls in CLASSES},
}
"""What each name means: of a function the function, of a class the class."""


def get(identifier: Any) -> Any:
    """The loss meant by a name, a description, a class, a `Loss` or a function; None stays None.

    The name of a function means the function, that of a class a loss with its defaults, as in Keras. Raises
    `UnknownName` for a name that is none, `ArgumentError` for anything else.

    Example::

        uf.losses.get("mse")([[0.0]], [[2.0]])  # [4.0]
    """
    return identified(
        "loss", identifier, NAMES, what="a name, a uf.losses.Loss or a function (y_true, y_pred)"
    )


def as_loss(identifier: Any) -> Loss | None:
    """What `get` finds as a `Loss`: a function with the mean over its values."""
    loss = get(identifier)
    if loss is None or isinstance(loss, Loss):
        return loss
    name = getattr(loss, "__name__", None)
    known = FUNCTIONS.get(name) if isinstance(name, str) else None
    if known is not None and known.function is loss:
        return known(name=name)
    return LossFunctionWrapper(loss, name=name)


def serialize(loss: Any) -> Any:
    """A loss or loss function as plain data. Source: ``keras.losses.serialize``."""
    return serialize_keras_object(loss)


def deserialize(name: Any, custom_objects: Mapping[str, Any] | None = None) -> Any:
    """What `serialize`, here or in Keras, described. Raises `UnknownName` for a class that is not known."""
    return deserialize_keras_object(name, custom_objects, module_objects=NAMES)


__all__ = [
    "CTC",
    "BinaryCrossentropy",
    "BinaryFocalCrossentropy",
    "CategoricalCrossentropy",
    "CategoricalFocalCrossentropy",
    "CategoricalGeneralizedCrossEntropy",
    "CategoricalHinge",
    "Circle",
    "CosineSimilarity",
    "Dice",
    "Hinge",
    "Huber",
    "KLDivergence",
    "LogCosh",
    "Loss",
    "LossFunctionWrapper",
    "MeanAbsoluteError",
    "MeanAbsolutePercentageError",
    "MeanSquaredError",
    "MeanSquaredLogarithmicError",
    "Poisson",
    "SparseCategoricalCrossentropy",
    "SquaredHinge",
    "Tversky",
    "binary_crossentropy",
    "binary_focal_crossentropy",
    "categorical_crossentropy",
    "categorical_focal_crossentropy",
    "categorical_generalized_cross_entropy",
    "categorical_hinge",
    "circle",
    "cosine_similarity",
    "ctc",
    "deserialize",
    "dice",
    "get",
    "hinge",
    "huber",
    "kl_divergence",
    "log_cosh",
    "mean_absolute_error",
    "mean_absolute_percentage_error",
    "mean_squared_error",
    "mean_squared_logarithmic_error",
    "poisson",
    "serialize",
    "sparse_categorical_crossentropy",
    "squared_hinge",
    "tversky",
]  # fmt: skip


def __dir__() -> list[str]:
    return __all__
