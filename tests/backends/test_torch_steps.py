"""PyTorch's steps: their programs are written once for each plan, and forgotten with it."""

import gc

import numpy as np
import pytest

import unifront as uf
from unifront import layers

steps = pytest.importorskip("unifront_torch.step")


def test_a_second_call_writes_no_program_again(monkeypatch):
    written = []
    real = steps.step_program
    monkeypatch.setattr(steps, "step_program", lambda plan, rows: written.append(1) or real(plan, rows))
    gc.collect()
    before = len(steps._made)
    model = uf.Sequential([uf.Input((3,)), layers.Dense(2)])
    model.compile(uf.optimizers.SGD(0.1), "mse")
    x, y = np.ones((8, 3), "float32"), np.zeros((8, 2), "float32")
    losses = []
    for _ in range(3):
        model.fit(x, y, batch_size=4, verbose=0, backend="torch")
        losses.append(model.evaluate(x, y, verbose=0, backend="torch"))
    assert len(written) == 2
    assert losses[0] > losses[1] > losses[2]
    del model
    gc.collect()
    assert len(steps._made) == before


def test_two_sessions_of_one_plan_go_on_by_themselves():
    model = uf.Sequential([uf.Input((3,)), layers.Dense(2)])
    model.compile(uf.optimizers.Adam(0.1), "mse", metrics=["mae"])
    x, y = np.ones((8, 3), "float32"), np.zeros((8, 2), "float32")
    other = uf.models.clone_model(model)
    other.set_weights(model.get_weights())
    other.compile(uf.optimizers.Adam(0.1), "mse", metrics=["mae"])
    for _ in range(3):  # the sessions of `fit` and of single batches have one plan
        model.fit(x, y, batch_size=8, verbose=0, backend="torch")
        model.train_on_batch(x, y, backend="torch")
    other.fit(x, y, batch_size=8, epochs=6, shuffle=False, verbose=0, backend="torch")
    for one, another in zip(model.get_weights(), other.get_weights(), strict=True):
        np.testing.assert_allclose(one, another, rtol=1e-6)
