"""`evaluate`: one loop over batches, also for the validations of `fit`."""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING, Any

from unifront.backends import Placement, placement
from unifront.errors import ArgumentError
from unifront.train import data, limits
from unifront.train.arguments import optional
from unifront.train.callbacks import CallbackList
from unifront.train.compiled import Compiled
from unifront.train.data import Arrays, Stream
from unifront.train.interrupts import Interrupts
from unifront.train.making import call_seed, grown, listeners_of, open_session, step_for
from unifront.train.progress import CallProgress
from unifront.train.sources import Source, close, count_of, each, first_of, source_of

if TYPE_CHECKING:
    from unifront.model import Model


def evaluate(
    model: Model,
    x: Any,
    y: Any = None,
    *,
    batch_size: int | None = None,
    verbose: int | str = "auto",
    sample_weight: Any = None,
    steps: int | None = None,
    callbacks: Any = None,
    return_dict: bool = False,
    backend: str | None = None,
) -> Any:
    """Loss and metrics of ``model`` on data; arguments as in Keras, and ``backend``.

    Args:
        steps: batches to look at; None for all.
        verbose: 1 a progress bar, 2 a line, 0 silence; "auto" a bar where somebody looks at it.

    Returns:
        The loss if there are no metrics; else ``[loss, *metrics]``, or a dict with ``return_dict=True``.
    """
    training = model._compiled()
    place = placement(backend or training.backend)
    size = data.size_of_batches(model, optional("batch_size", batch_size))
    limit = optional("steps", steps)
    source = source_of(model, training, x, y, sample_weight, None, size)
    with Interrupts() as interrupts, CallProgress(verbose, f"{place.name} evaluate") as progress:
        listeners = listeners_of(model, callbacks, interrupts)
        logs = evaluated(model, training, source, size, place, limit, interrupts, listeners, progress)
    if return_dict:
        return logs
    return list(logs.values()) if len(logs) > 1 else logs["loss"]


def evaluated(
    model: Model, training: Compiled, source: Source, size: int, place: Placement, limit: int | None,
    interrupts: Interrupts, listeners: CallbackList, progress: CallProgress | None = None,
) -> dict[str, float]:  # fmt: skip
    """The loss and metrics of ``source``, of its first ``limit`` batches unless that is None."""
    if limit is None and isinstance(source, Stream) and source.is_endless:
        raise ArgumentError(f"The data is {source.kind.name} without an end: give a number of steps.")
    watchers = listeners.those_that_want("on_test_batch_begin", "on_test_batch_end")
    listeners.on_test_begin()
    with interrupts.users():
        first, batches = first_of(source, "evaluate")
    if isinstance(source, Arrays):
        batches = (source.take(slice(i, i + size)) for i in range(0, len(source), size))
    step = step_for(model, training, first, place, train=False)
    seed = call_seed(step)
    session = open_session(model, training, step, place, seed, [0], train=False)
    if isinstance(source, Stream):
        source.put = session.put
    try:
        session.reset_metrics()
        if progress is not None:
            progress.begin(limits.least(limit, count_of(source, size)))
        for number, batch in enumerate(each(itertools.islice(batches, limit), interrupts)):
            session = grown(model, training, session, batch, seed, train=False)
            data.like_the_first(session.step, batch, number)
            watchers.on_test_batch_begin(number)
            session.run_on(batch.placed or session.batch(batch.all))
            if len(watchers):
                watchers.on_test_batch_end(number, session.logs())
            if progress is not None:
                progress.advance(session.logs)
            if model.stop_evaluating:
                break
        logs = session.logs()
        if progress is not None:
            progress.end(logs)
    finally:
        close(source)
        session.close()
    listeners.on_test_end(logs)
    return logs
