"""`uf.distillation`: losses as Keras's on the same outputs, a step as Keras's, what is refused."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
import pytest

import unifront as uf
from unifront import layers
from unifront.backends import installed
from unifront.distillation import DistillationLoss, Distiller, FeatureDistillation, LogitsDistillation
from unifront.errors import ArgumentError, ShapeError, UnknownName
from unifront.testing import assert_close

RNG = np.random.default_rng(0)
A, B = (RNG.normal(size=(4, 3)).astype("float32") for _ in range(2))
X, Y = RNG.normal(size=(8, 4)).astype("float32"), RNG.integers(0, 3, 8)


@pytest.mark.parametrize(
    ("name", "options", "outputs"),
    [
        ("LogitsDistillation", {}, (A, B)),
        ("LogitsDistillation", {"temperature": 4.0, "loss": "mse"}, (A, B)),
        ("LogitsDistillation", {"loss": ["kl_divergence", None]}, ([A, B], [B, A])),
        ("FeatureDistillation", {}, (A, B)),
        ("FeatureDistillation", {"loss": {"a": "cosine_similarity", "b": "mae"}}, ({"a": A, "b": B}, {"a": B, "b": A})),
    ],
)  # fmt: skip
def test_losses_are_keras(name: str, options: dict[str, Any], outputs: Any) -> None:
    theirs = float(getattr(keras.distillation, name)(**options).compute_loss(*outputs))
    ours = getattr(uf.distillation, name)(**options)
    assert_close(np.float32(ours.compute_loss(*outputs)), np.float32(theirs))
    assert_close(
        np.float32(type(ours).from_config(ours.get_config()).compute_loss(*outputs)), np.float32(theirs)
    )


def models(home: Any) -> tuple[Any, Any]:
    def model(units: int) -> Any:
        dense = home.layers.Dense
        return home.Sequential(
            [home.Input((4,)), dense(units, activation="tanh", name="hidden"), dense(3, name="out")]
        )

    return model(6), model(6)


def test_a_step_is_keras_on_every_backend() -> None:
    options = {"distillation_loss_weights": [1.0, 0.5], "student_loss_weight": 0.3}

    def distiller(home: Any, weights: Any) -> Any:
        teacher, student = models(home)
        teacher.set_weights(weights[0]), student.set_weights(weights[1])
        loss = home.distillation
        both = [loss.LogitsDistillation(2.0), loss.FeatureDistillation("mse", "hidden", "hidden")]
        made = loss.Distiller(teacher, student, both, **options)
        made.compile(
            home.optimizers.SGD(0.1), loss=home.losses.SparseCategoricalCrossentropy(from_logits=True)
        )
        return made

    weights = [model.get_weights() for model in models(uf)]
    theirs = distiller(keras, weights)
    theirs.fit(X, Y, batch_size=8, epochs=2, verbose=0)
    for backend in (name for name in installed() if name != "numpy"):
        ours = distiller(uf, weights)
        history = ours.fit(X, Y, batch_size=8, epochs=2, verbose=0, backend=backend).history
        for mine, its in zip(ours.student.get_weights(), theirs.student.get_weights(), strict=True):
            np.testing.assert_allclose(mine, its, rtol=1e-4, atol=1e-5)
        for mine, its in zip(ours.teacher.get_weights(), weights[0], strict=True):
            np.testing.assert_array_equal(mine, its)
        assert history["distillation_loss"][1] < history["distillation_loss"][0]
        assert_close(
            ours.predict(X, verbose=0, backend="numpy"), ours.student.predict(X, verbose=0, backend="numpy")
        )


def test_refusals() -> None:
    teacher, student = models(uf)
    narrow = uf.Sequential([uf.Input((4,)), layers.Dense(2)])
    with pytest.raises(ShapeError, match=r"the student's outputs are .*\(2,\).*, the teacher's .*\(3,\)"):
        Distiller(teacher, narrow, LogitsDistillation())
    with pytest.raises(ArgumentError, match="2 distillation_loss_weights for 1 losses"):
        Distiller(teacher, student, LogitsDistillation(), [1.0, 2.0])
    with pytest.raises(ArgumentError, match="distillation_losses are DistillationLosses, not 'mse'"):
        Distiller(teacher, student, "mse")
    with pytest.raises(UnknownName, match="hiden.*Did you mean 'hidden'"):
        Distiller(teacher, student, FeatureDistillation("mse", "hiden"))
    with pytest.raises(ArgumentError, match="at least one loss is not None"):
        LogitsDistillation(loss=[None])
    with pytest.raises(ArgumentError, match="temperature"):
        LogitsDistillation(temperature=0)
    with pytest.raises(ArgumentError, match="student_loss_weight"):
        Distiller(teacher, student, LogitsDistillation(), student_loss_weight=1.5)
    with pytest.raises(NotImplementedError, match="override compute_loss"):
        DistillationLoss().compute_loss(A, B)
