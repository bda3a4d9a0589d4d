"""`train_on_batch` and `test_on_batch`: one step at a time, as Keras has them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from unifront.backends import placement
from unifront.errors import ArgumentError
from unifront.trace import current_seed
from unifront.train.interrupts import Interrupts
from unifront.train.loop import alone
from unifront.train.making import BATCH_SESSIONS, call_seed, open_session, step_for
from unifront.train.session import Session
from unifront.train.sources import checked

if TYPE_CHECKING:
    from unifront.model import Model


def run_on_batch(
    model: Model, x: Any, y: Any, weight: Any, class_weight: Any, *, train: bool, return_dict: bool,
    backend: str | None,
) -> Any:  # fmt: skip
    """One step of training or of evaluation; the logs of this batch alone, for metrics start again, as in Keras.

    The session of a step is kept, with the values it has borrowed, so that the next batch costs no more than one of
    `fit`.
    """
    training = model._compiled()
    if train and training.optimizer is None:
        raise ArgumentError("The model was compiled without an optimizer; call compile(optimizer=...).")
    if weight is not None and class_weight is not None:
        raise ArgumentError("sample_weight and class_weight are not given together; multiply them into one.")
    place = placement(backend or training.backend)
    arrays = checked(model, training, x, y, weight, class_weight)
    step = step_for(model, training, arrays, place, train=train)
    kept: dict[Any, Session] = model.programs.setdefault(BATCH_SESSIONS, {})
    key = ("eager", train, str(place)) if training.in_python(place, train) else (id(step), str(place))
    session = kept.get(key)
    if session is None:
        seed = current_seed() if train else call_seed(step)
        session = kept[key] = open_session(model, training, step, place, seed, [0], train=train)
    if training.in_python(place, train):
        session.step = step  # which only says what the data look like
    if train and training.optimizer is not None:
        session.runs[0] = training.optimizer.calls
    for other in kept.values():
        if other is not session:
            other.pause()
    with Interrupts(), alone(model):
        session.resume()
        session.reset_metrics()
        session.run_on(session.batch(arrays.all))
        logs = session.logs()
    if train:
        model._steps += 1
    if return_dict:
        return logs
    return list(logs.values()) if len(logs) > 1 else next(iter(logs.values()))
