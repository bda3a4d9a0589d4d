"""What a loss is: one number for each example, weighted, and reduced to one for all."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Annotated, Any, ClassVar, Self

import numpy as np

from unifront import ops, tree
from unifront.arguments import Name, checked, meant, one_of
from unifront.dtypes import DType, DTypeLike, dtype_of, floatx, promote
from unifront.errors import ArgumentError, DTypeError, ShapeError
from unifront.layers.nesting import snake_case
from unifront.layers.own_terms import called_in_its_terms
from unifront.opset.arrays import plain_array
from unifront.opset.elementwise import floating
from unifront.opset.rules import show
from unifront.opset.tensor import on_a_framework, type_of
from unifront.serialization import deserialize_keras_object, serialize_keras_object
from unifront.trace import carried_mask

REDUCTIONS = ("sum_over_batch_size", "mean", "sum", "none", None, "mean_with_sample_weight")


def _dtype_name(given: Any) -> str | None:
    policy = getattr(given, "compute_dtype", given)
    return None if policy is None else dtype_of(policy).name


DTypeOf = Annotated[DTypeLike | None, meant(_dtype_name)]
"""A dtype in any of its spellings, or a policy, whose compute dtype counts; kept by its name."""
Reduction = Annotated[str | None, one_of(REDUCTIONS)]
"""How the losses of examples become one number."""
LossName = Name | None


class Loss:
    """A function of targets and predictions that gives one number for each example, and how they are reduced.

    Args:
        name: how logs and errors call it; after its class unless given.
        reduction: ``"sum_over_batch_size"`` or ``"mean"`` (the mean), ``"sum"``, ``"none"`` or None, or
            ``"mean_with_sample_weight"`` (the sum divided by the sum of the weights).
        dtype: what targets and predictions are cast to; that of the predictions, at least `floatx`, unless given.

    Raises `UnknownName` for a reduction that is none. A loss of your own is a function, or a subclass with a
    ``call(y_true, y_pred)`` in ``uf.ops``.

    Example::

        class Quartic(uf.losses.Loss):
            def call(self, y_true, y_pred):
                return uf.ops.mean((y_pred - y_true) ** 4, axis=-1)
    """

    keeps_targets: ClassVar[bool] = False
    """Whether `call` gets the targets as they are, rather than cast: labels, which floats may not hold."""
    lengths_differ: ClassVar[bool] = True
    """Whether targets may have other sizes than outputs, as far as is known before they are compared."""

    @checked
    def __init__(
        self, name: LossName = None, reduction: Reduction = "sum_over_batch_size", dtype: DTypeOf = None
    ) -> None:
        self.name = name or snake_case(type(self).__name__)
        self.reduction = reduction
        self._dtype: Any = dtype

    @property
    def dtype(self) -> str:
        """The name of the dtype asked for, else that of `floatx`."""
        return self._dtype or floatx().name

    def get_config(self) -> dict[str, Any]:
        """The arguments that make a loss like this one."""
        config = {"name": self.name, "reduction": self.reduction}
        return config if self._dtype is None else {**config, "dtype": self._dtype}

    @classmethod
    def from_config(cls, config: Mapping[str, Any]) -> Self:
        """A new loss from what `get_config` gave, here or in Keras."""
        return cls(**config)

    def call(self, y_true: Any, y_pred: Any) -> Any:
        """The loss of each example (or step): the last axis is reduced. Overridden by every loss."""
        raise ArgumentError(f"{type(self).__name__} does not define call().")

    def counted(self, y_true: Any, y_pred: Any, losses: Any) -> Any:
        """Which of ``losses``, which `call` gave, count at all, as booleans; None for all."""
        return None

    def classes(self, shape: Sequence[Any]) -> Any:
        """How many classes there are, where targets are their numbers and predictions of ``shape``; else None."""
        return None

    def __call__(self, y_true: Any, y_pred: Any, sample_weight: Any = None, *, mask: Any = None) -> Any:
        """The reduced loss.

        Args:
            sample_weight: ``[batch]`` or the shape of the unreduced loss; multiplies it.
            mask: boolean, the shape of the unreduced loss; steps outside it do not count, so that a mean is
                one over the steps inside. That of the predictions unless given.
        """
        mask = carried_mask(y_pred) if mask is None else mask
        y_true, y_pred = on_a_framework((y_true, y_pred))
        y_pred, y_true = _arrays(y_pred), _arrays(y_true)
        for what, y in (("predictions", y_pred), ("targets", y_true)):
            for leaf in tree.leaves(y):
                _need_real(what, type_of(leaf).dtype)
        own = self._computed_in(y_pred)
        y_pred = tree.map_leaves(lambda y: ops.cast(y, own), y_pred)
        if not self.keeps_targets:
            y_true = tree.map_leaves(lambda y: ops.cast(y, own), y_true)
        given, written = (y_true, y_pred), vars(self).get("fn")
        losses = called_in_its_terms(f"Loss {self.name!r}", self.call, given, {}, written=written)
        losses = ops.cast(losses, own)

        def factor(given: Any) -> Any:
            return None if given is None else ops.cast(_like(given, losses), own)

        if mask is not None:
            _need_real("mask", type_of(mask).dtype)
        kept = _product(
            factor(mask if type_of(losses).rank else None),  # one number for all has no steps to leave out
            factor(self.counted(y_true, y_pred, losses)),
        )
        weights = _product(factor(_arrays(sample_weight)), kept)
        if weights is not None:
            losses = ops.multiply(losses, weights)
        if self.reduction in ("none", None):
            return losses
        total = ops.sum(losses)
        if self.reduction == "sum" or 0 in type_of(losses).shape:  # of no example the mean is 0 too
            return total
        counted = weights if self.reduction == "mean_with_sample_weight" else kept
        if counted is None:
            return ops.mean(losses)
        return ops.divide_no_nan(total, ops.sum(ops.multiply(ops.ones_like(losses), counted)))

    def _computed_in(self, y_pred: Any) -> DType:
        if self._dtype is not None:
            return dtype_of(self._dtype)
        types = [type_of(leaf).dtype for leaf in tree.leaves(y_pred)]
        return promote(floatx(), *(dtype for dtype in types if dtype.is_float))

    def __repr__(self) -> str:
        arguments = {k: v for k, v in self.get_config().items() if k != "name"}
        return f"{type(self).__name__}({', '.join(f'{k}={v!r}' for k, v in arguments.items())})"


class LossFunctionWrapper(Loss):
    """A loss made of a function ``fn(y_true, y_pred, **kwargs)`` that gives one number for each example.

    Args:
        fn: gets tensors of one rank, where an axis of size one at the end tells them apart.
        kwargs: passed on to ``fn``.
    """

    @checked
    def __init__(
        self,
        fn: Callable[..., Any],
        reduction: Reduction = "sum_over_batch_size",
        name: LossName = None,
        dtype: DTypeOf = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(name or getattr(fn, "__name__", None), reduction, dtype)
        self.fn, self.kwargs = fn, kwargs

    def call(self, y_true: Any, y_pred: Any) -> Any:
        if not any(isinstance(y, list | tuple | dict) for y in (y_true, y_pred)):
            y_true, y_pred = of_one_rank(y_true, y_pred)
        return self.fn(y_true, y_pred, **self.kwargs)

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "fn": serialize_keras_object(self.fn), **self.kwargs}

    @classmethod
    def from_config(cls, config: Mapping[str, Any]) -> Self:
        return cls(**{name: deserialize_keras_object(value) for name, value in config.items()})


class StandardLoss(Loss):
    """A loss of ours: the class beside a function, with the function's further arguments as its attributes."""

    lengths_differ = False
    function: ClassVar[Callable[..., Any]]
    """``(y_true, y_pred, **arguments)`` → the loss of each example; a ``staticmethod``."""
    arguments: ClassVar[tuple[str, ...]] = ()

    def call(self, y_true: Any, y_pred: Any) -> Any:
        return type(self).function(y_true, y_pred, **{name: getattr(self, name) for name in self.arguments})

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), **{name: getattr(self, name) for name in self.arguments}}


# ---------------------------------------------------------------- targets and predictions


def _arrays(y: Any) -> Any:
    """Lists of numbers as arrays; tensors, and structures of them, as they are."""
    if isinstance(y, bool | int | float):
        return np.asarray(y, floatx().numpy if isinstance(y, float) else None)
    if isinstance(y, list | tuple) and all(isinstance(one, bool | int | float) for one in tree.leaves(y)):
        array = plain_array(y)
        if array.dtype == object:
            raise ShapeError("Lists of unequal lengths are no array: pad them to one length.")
        return array.astype(floatx().numpy) if array.dtype.kind == "f" else array
    return y


def _need_real(what: str, dtype: DType) -> None:
    if dtype.is_complex:
        raise DTypeError(f"The {what} of a loss are real numbers, not {dtype}.")


def _product(a: Any, b: Any) -> Any:
    return a if b is None else b if a is None else ops.multiply(a, b)


def _like(weight: Any, losses: Any) -> Any:
    """``weight`` with trailing axes of size one, so that it broadcasts to ``losses``."""
    missing = type_of(losses).rank - type_of(weight).rank
    for _ in range(missing):
        weight = ops.expand_dims(weight, -1)
    return weight if missing >= 0 else ops.reshape(weight, type_of(losses).shape)


def of_one_rank(y_true: Any, y_pred: Any) -> tuple[Any, Any]:
    """Both, where a last axis of size one alone tells their ranks apart: it is added to a vector, else taken away."""
    true, pred = type_of(y_true), type_of(y_pred)
    if true.rank == pred.rank + 1 and true.shape[-1] == 1:
        return (y_true, ops.expand_dims(y_pred, -1)) if pred.rank == 1 else (ops.squeeze(y_true, -1), y_pred)
    if pred.rank == true.rank + 1 and pred.shape[-1] == 1:
        return (ops.expand_dims(y_true, -1), y_pred) if true.rank == 1 else (y_true, ops.squeeze(y_pred, -1))
    return y_true, y_pred


def paired(y_true: Any, y_pred: Any) -> tuple[Any, Any]:
    """Targets and predictions as floats of one shape, in the dtype of the predictions.

    Raises `ShapeError` for shapes that differ by more than a last axis of size one, `DTypeError` for complex numbers.
    """
    y_true, y_pred = _arrays(y_true), floating(_arrays(y_pred))
    y_true, y_pred = of_one_rank(y_true, y_pred)
    true, pred = type_of(y_true), type_of(y_pred)
    _need_real("targets", true.dtype)
    _need_real("predictions", pred.dtype)
    if true.rank != pred.rank or any(
        a != b and isinstance(a, int) and isinstance(b, int)
        for a, b in zip(true.shape, pred.shape, strict=True)
    ):
        raise ShapeError(
            f"The targets have the shape {show(true.shape)}, the predictions {show(pred.shape)}; they must have the "
            "same shape."
        )
    return ops.cast(y_true, pred.dtype), y_pred


def matched(y_true: Any, y_pred: Any) -> Any:
    """``y_true`` as a float of the shape of ``y_pred``; a last axis of size one may be missing, or one too many."""
    true, pred = type_of(y_true), type_of(y_pred)
    if true.rank == pred.rank - 1 and pred.shape[-1] == 1:
        y_true = ops.expand_dims(y_true, -1)
    elif true.rank == pred.rank + 1 and true.shape[-1] == 1:
        y_true = ops.squeeze(y_true, -1)
    return paired(y_true, y_pred)[0]


def labels_of(y_true: Any, y_pred: Any, axis: int = -1) -> Any:
    """Integer labels of the shape of ``y_pred`` without the ``axis`` of the classes."""
    true, pred = type_of(y_true), type_of(y_pred)
    place = axis % pred.rank if pred.rank else 0
    wanted = (*pred.shape[:place], *pred.shape[place + 1 :])
    if true.rank == pred.rank:
        single = next((one for one in (axis, -1) if true.shape[one] == 1), None)
        if single is not None:
            y_true = ops.squeeze(y_true, single)
            true = type_of(y_true)
    if true.rank != pred.rank - 1 or any(
        a != b and isinstance(a, int) and isinstance(b, int) for a, b in zip(true.shape, wanted, strict=True)
    ):
        raise ShapeError(
            f"Integer labels of shape {show(true.shape)} do not fit predictions of shape {show(pred.shape)}: "
            f"the labels have the predictions' shape without the axis of the classes, {show(wanted)}. For one-hot "
            "targets use categorical_crossentropy."
        )
    return ops.cast(y_true, "int32")
