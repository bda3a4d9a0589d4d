"""What `Model.compile` makes: the optimizer, and how losses and metrics follow from targets and predictions."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import reduce
from typing import TYPE_CHECKING, Any

from unifront import ops
from unifront.dtypes import DType, float32, promote
from unifront.errors import ArgumentError, UnifrontError, UnknownName
from unifront.opset.tensor import active_builder, type_of
from unifront.trace import current_context, is_trainable
from unifront.train import losses, optimizers
from unifront.train.metrics import Mean, Metric
from unifront.train.metrics.registry import for_output

if TYPE_CHECKING:
    from unifront.model import Model


@dataclass(frozen=True)
class Part:
    """How one output is judged.

    Args:
        name: the output's.
        loss: None where the output has none.
        factor: of the loss in the total.
        tracker: keeps the mean of this loss, where several outputs have one.
        metrics: each with what logs call it, and whether sample weights count for it.
    """

    name: str
    loss: losses.Loss | None
    factor: Any
    tracker: Mean | None
    metrics: tuple[tuple[str, Metric, bool], ...]


@dataclass
class Compiled:
    """What `Model.compile` was given, in full, and the metrics that come of it."""

    optimizer: optimizers.Optimizer | None
    loss: Any
    metrics: Any
    loss_weights: Any
    weighted_metrics: Any
    backend: str | None
    remat: Any = None
    tracker: Mean = field(default_factory=lambda: Mean(name="loss"))
    parts: tuple[Part, ...] = ()
    _shapes: Any = None

    def build(
        self, names: Sequence[str], trues: Sequence[Any], predictions: Sequence[Any]
    ) -> tuple[Part, ...]:
        """The parts for outputs called ``names``; made anew where targets are of another kind than before."""
        shapes = tuple(
            (name, _kind(true), _kind(prediction))
            for name, true, prediction in zip(names, trues, predictions, strict=True)
        )
        if shapes != self._shapes:
            self.parts, self._shapes = self._built(names, trues, predictions), shapes
        return self.parts

    def _built(
        self, names: Sequence[str], trues: Sequence[Any], predictions: Sequence[Any]
    ) -> tuple[Part, ...]:
        chosen = per_output(self.loss, names, "loss")
        factors = per_output(self.loss_weights, names, "loss_weights")
        several = len(names) > 1
        each = sum(one is not None for one in chosen) > 1  # of one loss alone, the total says it, as in Keras
        found: list[Part] = []
        taken: list[str] = []
        for i, (name, true, prediction) in enumerate(zip(names, trues, predictions, strict=True)):
            loss = _loss_of(chosen[i])
            tracker = Mean(name=f"{name}_loss") if each and loss is not None else None
            own = []
            for attribute in ("metrics", "weighted_metrics"):
                for given in _listed(getattr(self, attribute), names, i, attribute):
                    metric = for_output(given, type_of(true).shape, type_of(prediction).shape)
                    title = _free_name(metric.name, f"{name}_" if several else "", attribute, taken)
                    taken.append(title)
                    own.append((title, metric, attribute == "weighted_metrics"))
            found.append(Part(name, loss, factors[i], tracker, tuple(own)))
        return tuple(found)

    def logged(self) -> dict[str, Metric]:
        """Every metric by what logs call it: the loss, the losses of outputs, the metrics."""
        found: dict[str, Metric] = {"loss": self.tracker}
        found |= {part.tracker.name: part.tracker for part in self.parts if part.tracker is not None}
        return found | {title: metric for part in self.parts for title, metric, _ in part.metrics}

    def loss_of(
        self, parts: Sequence[Part], trues: Sequence[Any], predictions: Sequence[Any], weight: Any
    ) -> Any:
        """The total loss of the outputs; their own are taken in by their trackers."""
        total: Any = None
        for part, true, prediction in zip(parts, trues, predictions, strict=True):
            if part.loss is None:
                continue
            with _naming(f"Loss {part.loss.name or type(part.loss).__name__} of output {part.name!r}"):
                value = part.loss(true, prediction, weight, mask=_mask_of(prediction))
                value = ops.mean(value) if type_of(value).rank else value
            if part.tracker is not None:
                part.tracker.update_state(value, sample_weight=examples_in(prediction))
            if part.factor is not None:
                value = ops.multiply(value, part.factor)
            total = value if total is None else ops.add(total, value)
        return total

    def update_metrics(
        self, parts: Sequence[Part], trues: Sequence[Any], predictions: Sequence[Any], weight: Any
    ) -> None:
        """Let every metric take in the batch."""
        for part, true, prediction in zip(parts, trues, predictions, strict=True):
            mask, detached = _mask_of(prediction), ops.stop_gradient(prediction)
            for title, metric, weighted in part.metrics:
                with _naming(f"Metric {title!r} of output {part.name!r}"):
                    counted = _weights(weight if weighted else None, mask)
                    metric.update_state(true, detached, *(() if counted is None else (counted,)))


class _SumOfLosses(losses.Loss):
    """The sum of several losses of one output."""

    def __init__(self, each: Sequence[losses.Loss]) -> None:
        super().__init__()
        self.each = tuple(each)

    def __call__(self, y_true: Any, y_pred: Any, sample_weight: Any = None, *, mask: Any = None) -> Any:
        values = (ops.mean(loss(y_true, y_pred, sample_weight, mask=mask)) for loss in self.each)
        return reduce(ops.add, values)


def _loss_of(given: Any) -> losses.Loss | None:
    """The loss of an output, which may be a list of several, to be added."""
    if not isinstance(given, list | tuple):
        return losses.as_loss(given)
    each = [loss for loss in map(losses.as_loss, given) if loss is not None]
    return None if not each else each[0] if len(each) == 1 else _SumOfLosses(each)


def track_loss(model: Model, loss: Any, example: Any) -> None:
    """Take ``loss`` into the mean that logs call "loss", each example counted once."""
    model._compiled().tracker.update_state(ops.stop_gradient(loss), sample_weight=examples_in(example))


def state_dtype(model: Model) -> DType:
    """The dtype that metrics of ``model`` add up in: float32, or float64 if the model computes in that."""
    types = model._input_types or {}
    floats = [type_.dtype for type_ in types.values() if type_.dtype.is_float]
    floats += [weight.dtype for weight in model.weights if weight.dtype.is_float]
    return promote(float32, *floats)


def penalties() -> list[Any]:
    """What layers and the regularizers of the weights met so far add to the loss of this call."""
    context, builder = current_context(), active_builder()
    found: list[Any] = []
    if context is not None:
        found, context.losses = context.losses, []
    if builder is not None:
        met = [variable for variable, _ in builder.root.variables.values()]
        found = [*found, *(v.regularizer(v) for v in met if v.regularizer is not None and is_trainable(v))]
    return found


def per_output(given: Any, names: Sequence[str], what: str) -> list[Any]:
    """``given`` (one for all, a list or a dict by output name) spread over the outputs."""
    if isinstance(given, Mapping):
        unknown = [key for key in given if key not in names]
        if unknown:
            raise UnknownName(f"output in {what}", unknown[0], names)
        return [given.get(name) for name in names]
    if isinstance(given, list | tuple):
        if len(given) != len(names):
            raise ArgumentError(
                f"{what} has {len(given)} entries; the model has {len(names)} outputs: {list(names)}."
            )
        return list(given)
    return [given] * len(names)


def _kind(tensor: Any) -> tuple[Any, ...]:
    type_ = type_of(tensor)
    return (type_.rank, type_.dtype.name, type_.shape[-1] if type_.rank else None)


def _mask_of(tensor: Any) -> Any:
    context = current_context()
    return None if context is None else context.mask_of(tensor)


def examples_in(tensor: Any) -> Any:
    """How many examples ``tensor`` holds, as a scalar."""
    return ops.full((), type_of(tensor).shape[0] if type_of(tensor).rank else 1, "float32", like=tensor)


def _weights(weight: Any, mask: Any) -> Any:
    """Sample weights and mask as one factor."""
    if mask is None:
        return weight
    mask = ops.cast(mask, "float32" if weight is None else type_of(weight).dtype)
    return mask if weight is None else ops.multiply(losses._like(weight, mask), mask)


def _free_name(called: str, output: str, attribute: str, taken: Sequence[str]) -> str:
    """``OUTPUT_NAME``, or as Keras calls a second one of that name: ``OUTPUT_weighted_NAME``, ``OUTPUT_NAME_1`` …"""
    name = f"{output}{called}"
    if name in taken and attribute == "weighted_metrics":
        name = f"{output}weighted_{called}"
    number = 0
    while (candidate := f"{name}_{number}" if number else name) in taken:
        number += 1
    return candidate


@contextmanager
def _naming(what: str) -> Iterator[None]:
    """A block whose errors begin with ``what``."""
    try:
        yield
    except UnifrontError as error:
        error.args = (f"{what}: {error.args[0]}", *error.args[1:])
        raise


def _listed(given: Any, names: Sequence[str], i: int, what: str) -> list[Any]:
    """The metrics of output ``i``: a list for one output, or a list of lists, or a dict of lists."""
    if given is None:
        return []
    if len(names) == 1 and isinstance(given, list | tuple):
        return list(given)
    one = per_output(given, names, what)[i]
    return [] if one is None else list(one) if isinstance(one, list | tuple) else [one]
