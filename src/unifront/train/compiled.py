"""What `Model.compile` makes: the optimizer, and how losses and metrics follow from targets and predictions."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Any

from unifront import ops, tree
from unifront.backends import Placement
from unifront.dtypes import DType, float32, promote
from unifront.errors import ArgumentError, UnifrontError
from unifront.layers.own_terms import called_in_its_terms
from unifront.opset.tensor import active_builder, type_of
from unifront.trace import current_context, is_trainable
from unifront.train import losses, optimizers
from unifront.train.arguments import takes_keyword
from unifront.train.metrics import Mean, Metric
from unifront.train.metrics.registry import for_output
from unifront.train.outputs import CROSSENTROPIES, losses_of, metrics_of

if TYPE_CHECKING:
    from unifront.model import Model


@dataclass(frozen=True)
class Part:
    """A loss, and of what.

    Args:
        where: the number of the output, or a structure of numbers.
        title: what logs call it.
        factor: of the loss in the total; None for 1.
        tracker: keeps the mean of this loss, where there are several.
    """

    where: Any
    title: str
    loss: losses.Loss
    factor: Any
    tracker: Mean | None


@dataclass(frozen=True)
class Watch:
    """A metric, the number of its output, what logs call it, and whether sample weights count for it."""

    output: int
    title: str
    metric: Metric
    weighted: bool


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
    run_eagerly: bool = False
    native: dict[bool, str] = field(default_factory=dict)
    """The framework in whose own terms the step of training (True), or of evaluation, was found to be written."""
    steps_per_execution: int = 1
    jit_compile: bool | str = "auto"
    tracker: Mean = field(default_factory=lambda: Mean(name="loss"))
    parts: tuple[Part, ...] = ()
    watched: tuple[Watch, ...] = ()
    _shapes: Any = None
    _standing: dict[Any, dict[int, losses.Loss]] = field(default_factory=dict)

    def in_python(self, place: Placement, train: bool) -> bool:
        """Whether steps at ``place`` run as the Python that they are written in."""
        return self.run_eagerly or self.native.get(train) == place.backend.name

    def by_output(self, structure: Any, names: Sequence[str]) -> dict[int, losses.Loss]:
        """The losses of one output each, by its number; without those that are chosen by the shapes."""
        key = (str(structure), names)
        if key not in self._standing:
            try:
                chosen = [] if self.loss is None else losses_of(self.loss, None, structure, names)
            except UnifrontError:  # said when the loss is computed, if it is
                chosen = []
            single = [
                one
                for one in chosen
                if isinstance(one.where, int) and str(one.loss).lower() not in CROSSENTROPIES
            ]
            made = {one.where: losses.as_loss(one.loss) for one in single}
            self._standing[key] = {i: found for i, found in made.items() if found is not None}
        return self._standing[key]

    def build(
        self, names: Sequence[str | None], trues: Sequence[Any], predictions: Sequence[Any], where: Any
    ) -> None:
        """Find out which losses and metrics belong to outputs called ``names``; anew where targets are of another kind
        than before.

        Args:
            where: the structure of the predictions, with their numbers as leaves.
        """
        shapes = tuple(
            (name, _kind(true), _kind(prediction))
            for name, true, prediction in zip(names, trues, predictions, strict=True)
        )
        if shapes != self._shapes:
            self.parts = self._losses(names, trues, predictions, where)
            self.watched = self._metrics(names, trues, predictions, where)
            self._shapes = shapes

    def _losses(
        self, names: Sequence[str | None], trues: Sequence[Any], predictions: Sequence[Any], where: Any
    ) -> tuple[Part, ...]:
        chosen = [] if self.loss is None else losses_of(self.loss, self.loss_weights, where, names)
        found = []
        for one in chosen:
            first = tree.leaves(one.where)[0]
            loss = _loss_for(one.loss, trues[first], predictions[first])
            title = one.title(names) or loss.name
            tracker = (
                Mean(name=f"{title}_loss") if len(chosen) > 1 else None
            )  # one alone is the total, as in Keras
            found.append(Part(one.where, title, loss, one.factor, tracker))
        return tuple(found)

    def _metrics(
        self, names: Sequence[str | None], trues: Sequence[Any], predictions: Sequence[Any], where: Any
    ) -> tuple[Watch, ...]:
        found: list[Watch] = []
        for attribute in ("metrics", "weighted_metrics"):
            for i, each in enumerate(metrics_of(getattr(self, attribute), where, names, attribute)):
                output = f"{names[i]}_" if len(names) > 1 and names[i] is not None else ""
                for given in each:
                    metric = for_output(given, type_of(trues[i]).shape, type_of(predictions[i]).shape)
                    title = _free_name(metric.name, output, attribute, [watch.title for watch in found])
                    found.append(Watch(i, title, metric, attribute == "weighted_metrics"))
        return tuple(found)

    def logged(self) -> dict[str, Metric]:
        """Every metric by what logs call it: the loss, the losses of outputs, the metrics."""
        found: dict[str, Metric] = {"loss": self.tracker}
        found |= {part.tracker.name: part.tracker for part in self.parts if part.tracker is not None}
        return found | {watch.title: watch.metric for watch in self.watched}

    def loss_of(self, trues: Sequence[Any], predictions: Sequence[Any], weight: Any) -> Any:
        """The total loss of the outputs; their own are taken in by their trackers."""
        total: Any = None
        for part in self.parts:
            true, prediction = (_filled(part.where, given) for given in (trues, predictions))
            with _naming(f"Loss {part.loss.name} of output {part.title!r}"):
                mask = _mask_of(prediction) if isinstance(part.where, int) else None
                takes = mask is not None and takes_keyword(part.loss, "mask")  # not all of users' own
                value = part.loss(
                    true, prediction, _weight_of(weight, part.where), **({"mask": mask} if takes else {})
                )
                value = ops.mean(value) if type_of(value).rank else value
            if part.tracker is not None:
                part.tracker.update_state(value, sample_weight=examples_in(tree.leaves(prediction)[0]))
            if part.factor is not None:
                value = ops.multiply(value, part.factor)
            total = value if total is None else ops.add(total, value)
        return total

    def update_metrics(
        self, names: Sequence[str | None], trues: Sequence[Any], predictions: Sequence[Any], weight: Any
    ) -> None:
        """Let every metric take in the batch."""
        masks = [_mask_of(prediction) for prediction in predictions]
        detached = [ops.stop_gradient(prediction) for prediction in predictions]
        for watch in self.watched:
            with _naming(f"Metric {watch.title!r} of output {names[watch.output] or watch.output!r}"):
                given = _weight_of(weight, watch.output) if watch.weighted else None
                counted = _weights(given, masks[watch.output])
                metric, i = watch.metric, watch.output
                if counted is not None and not metric.takes_weights:
                    if given is not None:
                        raise ArgumentError(
                            f"{type(metric).__name__}.update_state takes no sample weights; give it a third argument."
                        )
                    counted = None  # a mask alone: every step counts for it, as in Keras
                args = (trues[i], detached[i], *(() if counted is None else (counted,)))
                called = f"Metric {metric.name!r}"
                called_in_its_terms(
                    called,
                    metric.update_state,
                    args,
                    {},
                    partial(getattr, metric, "variables"),
                    vars(metric).get("fn"),
                )


def _filled(where: Any, tensors: Sequence[Any]) -> Any:
    return tree.map_leaves(lambda number: tensors[number], where)


def _weight_of(weight: Any, where: Any) -> Any:
    """The sample weights of an output: one tensor for all, or a list of one for each."""
    if not isinstance(weight, list | tuple):
        return weight
    return weight[where] if isinstance(where, int) else None


def _loss_for(given: Any, true: Any, prediction: Any) -> losses.Loss:
    """The loss that ``given`` means for an output; "crossentropy" means the one that fits the shapes, as in Keras."""
    if isinstance(given, str) and given.lower() in CROSSENTROPIES:
        given = CROSSENTROPIES[given.lower()](type_of(true).shape, type_of(prediction).shape)
    loss = losses.as_loss(given)
    assert loss is not None
    return loss


def track_loss(model: Model, loss: Any, example: Any) -> None:
    """Take ``loss`` into the mean that logs call "loss", each example counted once."""
    model._compiled().tracker.update_state(ops.stop_gradient(loss), sample_weight=examples_in(example))


def state_dtype(model: Model) -> DType:
    """The dtype that metrics of ``model`` add up in: float32, or float64 if the model computes in that."""
    types = model._input_types or {}
    floats = [type_.dtype for type_ in types.values() if type_.dtype.is_float]
    floats += [weight.dtype for weight in model.weights if weight.dtype.is_float]
    return promote(float32, *floats)


def penalties(model: Model) -> list[Any]:
    """What layers and the regularizers of the weights met so far (at once: of all) add to the loss of this call."""
    context, builder = current_context(), active_builder()
    found: list[Any] = []
    if context is not None:
        found, context.losses = context.losses, []
    met = model.weights if builder is None else [variable for variable, _ in builder.root.variables.values()]
    return [*found, *(v.regularizer(v) for v in met if v.regularizer is not None and is_trainable(v))]


def _kind(tensor: Any) -> tuple[Any, ...]:
    if tensor is None:  # an output that nothing judges has no target
        return ()
    type_ = type_of(tensor)
    last = type_.shape[-1] if type_.rank > 1 else None  # the first axis is that of the examples
    return (type_.rank, type_.dtype.name, last)


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
