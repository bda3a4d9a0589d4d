"""What `Model.train_step`, `test_step` and their like do unless they are overridden."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from unifront import ops, tree
from unifront.errors import ArgumentError
from unifront.gradients import value_and_grad
from unifront.opset.tensor import is_building, type_of
from unifront.train.arguments import takes_keyword
from unifront.train.compiled import examples_in, penalties, state_dtype, track_loss
from unifront.train.metrics.base import Metric, as_logs

if TYPE_CHECKING:
    from unifront.model import Model


def unpack(data: Any) -> tuple[Any, Any, Any]:
    """``x, y, sample_weight`` of what a step is given; None for what is not there."""
    if not isinstance(data, tuple):
        return data, None, None
    return (*data, None, None)[:3]


def pack(x: Any, y: Any = None, sample_weight: Any = None) -> Any:
    """What a step is given, as Keras packs it."""
    if sample_weight is not None:
        return x, y, sample_weight
    if y is not None:
        return x, y
    return (x,) if isinstance(x, list | tuple) else x


def train_step(model: Model, data: Any) -> dict[str, Any]:
    """Forward, loss, gradients, update, metrics."""
    x, y, weight = unpack(data)

    optimizer = model.optimizer

    def loss_of() -> Any:
        return optimizer.scale_loss(_judged(model, x, y, weight, training=True))

    weights = model.trainable_weights
    _, gradients = value_and_grad(loss_of, wrt=weights)()
    if weights:
        optimizer.ready_for(weights)
        pairs = list(zip(gradients, weights, strict=True))
        known = [pair for pair in pairs if pair[0] is not None] or pairs
        some = next(one for one in tree.leaves(x) if one is not None)
        takes = takes_keyword(optimizer.apply, "examples")  # an override may have Keras's arguments alone
        how = {"examples": examples_in(some)} if takes else {}
        optimizer.apply(*zip(*known, strict=True), **how)
    return model.get_metrics_result()


def test_step(model: Model, data: Any) -> dict[str, Any]:
    """Forward, loss, metrics."""
    x, y, weight = unpack(data)
    _judged(model, x, y, weight, training=False)
    return model.get_metrics_result()


def _judged(model: Model, x: Any, y: Any, weight: Any, *, training: bool) -> Any:
    """The loss; the metrics take in the batch."""
    predicted = model(x, training=training)
    said = takes_keyword(model.compute_loss, "training")  # older overrides do not
    how = {"training": training} if said else {}
    loss = model.compute_loss(x=x, y=y, y_pred=predicted, sample_weight=weight, **how)
    if loss is None:
        raise ArgumentError("The model was compiled without a loss; call compile(loss=...).")
    track_loss(model, loss, tree.leaves(predicted)[0])
    model.compute_metrics(x, y, predicted, weight)
    return loss


def compute_loss(model: Model, y: Any, predicted: Any, weight: Any) -> Any:
    """The total loss of a batch."""
    compiled = model._compiled()
    total: Any = None
    if compiled.loss is not None:
        _, trues, predictions = built_for(model, y, predicted)
        total = compiled.loss_of(trues, predictions, weight)
    for penalty in penalties(model):
        total = penalty if total is None else ops.add(total, ops.cast(penalty, type_of(total).dtype))
    if total is None:
        raise ArgumentError("The model was compiled without a loss; call compile(loss=...).")
    return total


def compute_metrics(model: Model, y: Any, predicted: Any, weight: Any) -> dict[str, Any]:
    """Let the metrics of `Model.compile` take in a batch."""
    compiled = model._compiled()
    if compiled.metrics is not None or compiled.weighted_metrics is not None:
        compiled.update_metrics(*built_for(model, y, predicted), weight)
    return model.get_metrics_result()


def defines(model: Model, *names: str) -> bool:
    """Whether the model's class has one of these methods of its own, rather than `Model`'s."""
    from unifront.model import Model

    return any(getattr(type(model), name) is not getattr(Model, name) for name in names)


def lacks_weights(model: Model) -> bool:
    """Whether a call has weights to make: in a layer inside, or in a `build` of the model's own."""
    return any(
        not layer.built and (layer is not model or defines(model, "build")) for layer in model.layers_below()
    )


def metrics_of(model: Model) -> dict[str, Metric]:
    """Every metric of ``model`` by what logs call it."""
    found: dict[str, Metric] = {} if model._training is None else model._training.logged()
    taken = {id(metric) for metric in found.values()}
    for value in list(vars(model).values()):
        held = value.copy() if isinstance(value, dict) else value  # another thread may be adding to it
        for one in tree.leaves(held) if isinstance(held, list | tuple | dict) else [held]:
            if isinstance(one, Metric) and id(one) not in taken:
                found[one.name] = one
                taken.add(id(one))
    return found


def metrics_result(model: Model) -> dict[str, Any]:
    """Every metric's result; while a step is traced the metrics themselves, which are read when they are wanted."""
    found = metrics_of(model)
    if is_building():
        dtype = state_dtype(model)
        for metric in found.values():
            metric.computed_in(dtype)
        return dict(found)
    logs: dict[str, Any] = {}
    for name, metric in found.items():
        logs |= as_logs(name, metric.result_of(_values(metric)))
    return logs


def _values(metric: Metric) -> dict[int, Any]:
    return {id(variable): variable.numpy() for variable in metric.variables}


def built_for(model: Model, y: Any, predicted: Any) -> tuple[Sequence[str | None], list[Any], list[Any]]:
    """The names, targets and predictions of the outputs, for which losses and metrics are ready."""
    compiled, dtype = model._compiled(), state_dtype(model)
    predictions = tree.leaves(predicted)
    names = log_names(model, predicted)
    trues = _targets(y, predicted, names)
    count = iter(range(len(predictions)))
    compiled.build(names, trues, predictions, tree.map_leaves(lambda _: next(count), predicted))
    for metric in compiled.logged().values():
        metric.computed_in(dtype)
    return names, trues, predictions


def _targets(y: Any, predicted: Any, names: Sequence[str | None]) -> list[Any]:
    """The targets in the order of the predictions."""
    if isinstance(y, Mapping) and len(names) == len(y) and all(name in y for name in names):
        return [y[name] for name in names]
    if isinstance(y, Mapping) and isinstance(predicted, Mapping) and y.keys() == predicted.keys():
        return [leaf for key, part in predicted.items() for leaf in _targets(y[key], part, ())]
    trues = tree.leaves(y)
    if len(trues) != len(tree.leaves(predicted)):
        raise ArgumentError(
            f"There are {len(trues)} targets for {len(tree.leaves(predicted))} predictions: "
            f"{', '.join(str(name) for name in names)}."
        )
    return trues


def log_names(model: Model, predicted: Any) -> Sequence[str | None]:
    """What logs call the outputs: by their keys, or by the layers they come from; None where nobody named them."""
    predictions = tree.leaves(predicted)
    if isinstance(predicted, Mapping) and len(predicted) == len(predictions):
        return [str(key) for key in predicted]
    if len(predictions) == 1 or model.outputs:
        return output_names(model, len(predictions))
    return [None] * len(predictions)


def output_names(model: Model, count: int) -> tuple[str, ...]:
    """What logs and losses call the outputs of ``model``."""
    if not model.has_free_inputs:
        traced = next(iter(model._tracings.values()), None) or model.trace(False)  # all have the same names
        if traced.output_count == count:
            return traced.graph.output_names[:count]
    return tuple(f"output_{i}" for i in range(count)) if count > 1 else ("output",)
