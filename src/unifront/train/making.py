"""The steps, sessions and programs of a model: what a call works with, made once and kept."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from unifront.backends import Placement, placement
from unifront.errors import ArgumentError
from unifront.layers.own_terms import frameworks_named
from unifront.opset.protocols import framework_called
from unifront.trace import MAKING, current_seed, eager_seed
from unifront.train import data
from unifront.train.callbacks import CallbackList
from unifront.train.compiled import Compiled
from unifront.train.data import Arrays
from unifront.train.eager import EagerSession, eager_step
from unifront.train.hooks import defines, lacks_weights, metrics_of, unpack
from unifront.train.interrupts import Interrupts
from unifront.train.native import TOLD, NativeSession, StatelessSession, takes_state
from unifront.train.session import Session
from unifront.train.step import TracedStep, build_step, trace_step

if TYPE_CHECKING:
    from unifront.model import Model

BATCH_SESSIONS = "sessions of single batches"
"""Among a model's programs: those of `unifront.train.batches`."""


def step_for(
    model: Model, training: Compiled, example: Arrays, place: Placement | None = None, *, train: bool
) -> TracedStep:  # fmt: skip
    """The traced step for data like ``example``; made once and kept.

    One that calls the framework of ``place`` itself, as steps written for Keras on one backend do, cannot be traced: a
    warning says so, and it runs as it is.
    """
    place = place or placement()
    state = model.trainable_state()
    types, structure = data.types_of(model, example, state)
    method = model.train_step if train else model.test_step
    if takes_state(model, train):
        if place.backend.name != "jax":
            raise ArgumentError(
                f"{type(model).__name__}.{method.__name__}(state, data) is of JAX's form; on {place.backend.name} "
                "a step takes data alone. Try: backend='jax'"
            )
        return eager_step(model, structure, types)
    if training.in_python(place, train):
        return eager_step(model, structure, types)
    how = training.optimizer and training.optimizer.key()
    key = (
        "step", train, str(structure), tuple(types.items()), state, how,
        tuple(sorted(metrics_of(model))), training.jit_compile,
    )  # fmt: skip
    with MAKING:
        if key not in model.programs:
            if example.structures is not None:
                build_weights(model, structure, types)
            try:
                model.programs[key] = build_step(model, structure, types, train=train)
            except Exception as error:
                if place.backend.name not in {framework_called(error), *frameworks_named(method)}:
                    raise
                training.native[train] = place.backend.name
                warnings.warn(TOLD.format(model.name, place.backend.name, error), stacklevel=5)
                return eager_step(model, structure, types)
    step: TracedStep = model.programs[key]
    return step


def open_session(
    model: Model, training: Compiled, step: TracedStep, place: Placement, seed: int, runs: list[int], *, train: bool
) -> Session:  # fmt: skip
    """What runs ``step``: a compiled program, or Python where the model was compiled with ``run_eagerly``."""
    for one in model.programs.get(BATCH_SESSIONS, {}).values():
        one.pause()
    stateless = takes_state(model, train)
    if stateless or (
        training.in_python(place, train) and place.backend.keeps_reading and not training.run_eagerly
    ):
        if training.optimizer is not None and not stateless:
            training.optimizer.count_for_others()  # now: it is another optimizer to what is traced
        how = training.optimizer and training.optimizer.key()
        key = ("native", train, str(place), str(step.structure), model.trainable_state(), how)
        known = model.programs.get(key)
        if known is None:
            known = (StatelessSession if stateless else NativeSession)(step, place, seed, runs, model, train)
            model.programs[key] = known
        session: NativeSession = known
        return session.again(step, seed, runs)
    if training.in_python(place, train):
        return EagerSession(step, place, seed, runs, model, train)
    return Session(step, place, seed, runs)


def grown(
    model: Model, training: Compiled, session: Session, batch: Arrays, seed: int, *, train: bool
) -> Session:  # fmt: skip
    """The session that goes on with ``batch``: ``session``, unless the sizes of inputs have become free since its step
    was traced (`Model.let_differ`), and it is for others."""
    if data.is_for(session.step, batch) or not (
        model.sizes_became_free or training.in_python(session.place, train)
    ):
        return session
    metrics = session.metrics()
    session.close()
    step = step_for(model, training, batch, session.place, train=train)
    further = open_session(model, training, step, session.place, seed, session.runs, train=train)
    further.set_metrics(metrics)
    return further


def call_seed(step: TracedStep) -> int:
    """The seed of a call outside of training: another one each time, if the step draws at all."""
    return eager_seed() if step.plan.has_key else current_seed()


def program_of(model: Model, key: tuple[Any, ...], graph: Any, place: Placement) -> Any:
    """The compiled graph at ``place``; made once and kept."""
    full = (*key, str(place))
    with MAKING:
        if full not in model.programs:
            model.programs[full] = place.backend.compile(graph, place.device)
    return model.programs[full]


def listeners_of(model: Model, callbacks: Any, interrupts: Interrupts) -> CallbackList:
    """The callbacks of an evaluation or a prediction."""
    listeners = CallbackList(callbacks)
    listeners.around = interrupts.users
    listeners.set_model(model)
    listeners.set_params({"verbose": 0, "epochs": 1, "steps": None})
    return listeners


def build_weights(model: Model, structure: Any, types: Mapping[str, Any]) -> None:
    """Make the weights of a model with a step of its own, by a call that is thrown away."""

    def call(given: Any) -> None:
        model(unpack(given)[0], training=False)

    if model.has_free_inputs and defines(model, "call") and lacks_weights(model):
        trace_step("build", call, structure, types, training=False)
        model.place("")
