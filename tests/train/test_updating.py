"""What stands between gradient and update, judged by NumPy: groups, reductions, two applications, eager and jitted."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import unifront as uf
from tests.models import TRAINABLE
from unifront import errors, layers, ops
from unifront.backends import get_backend
from unifront.testing import assert_close

RNG = np.random.default_rng(4)
X, Y = RNG.normal(size=(12, 4)), RNG.normal(size=(12, 3))
KERNEL = RNG.normal(size=(4, 3))
CLOSE = {"float64": 1e-9}


def linear(optimizer: Any, kind: type[uf.Model] = uf.Model) -> uf.Model:
    x = uf.Input((4,), dtype="float64")
    model = kind(x, layers.Dense(3, name="out")(x))
    model.set_weights([KERNEL, np.zeros(3)])
    model.compile(optimizer, "mse")
    return model


def slopes(kernel: np.ndarray, bias: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    slope = 2 * (X @ kernel + bias - Y) / Y.size
    return X.T @ slope, slope.sum(axis=0)


def train(model: uf.Model, backend: str, epochs: int) -> list[np.ndarray]:
    model.fit(X, Y, batch_size=12, epochs=epochs, shuffle=False, verbose=0, backend=backend)
    return model.get_weights()


@pytest.mark.parametrize("backend", TRAINABLE)
def test_groups_have_rates_and_decay_of_their_own(backend: str) -> None:
    groups = {"*/bias": {"weight_decay": 0.0, "learning_rate": 0.25}, "*": {"weight_decay": 0.5}}
    found = train(linear(uf.optimizers.SGD(0.125, groups=groups)), backend, 3)
    kernel, bias = KERNEL, np.zeros(3)
    for _ in range(3):
        d_kernel, d_bias = slopes(kernel, bias)
        kernel, bias = kernel - 0.125 * 0.5 * kernel - 0.125 * d_kernel, bias - 0.25 * d_bias
    for one, expected in zip(found, (kernel, bias), strict=True):
        assert_close(one, expected, bounds=CLOSE)


@pytest.mark.parametrize("backend", TRAINABLE)
def test_a_group_has_a_schedule_of_its_own(backend: str) -> None:
    groups = {"*/bias": {"learning_rate": lambda step: 0.5 / (step + 1)}}
    _, found = train(linear(uf.optimizers.SGD(0.0, groups=groups)), backend, 3)
    bias = np.zeros(3)
    for step in range(3):
        bias = bias - 0.5 / (step + 1) * slopes(KERNEL, bias)[1]
    assert_close(found, bias, bounds=CLOSE)


def test_excluded_weights_do_not_decay() -> None:
    optimizer = uf.optimizers.SGD(0.0625, weight_decay=0.5)
    optimizer.exclude_from_weight_decay(var_names=["bias"])
    model = linear(optimizer)
    model.set_weights([KERNEL, np.ones(3)])
    _, found = train(model, TRAINABLE[0], 1)
    assert_close(found, 1 - 0.0625 * slopes(KERNEL, np.ones(3))[1], bounds=CLOSE)


@pytest.mark.parametrize(
    ("groups", "match"),
    [
        ({"*": {"rate": 1.0}}, "Unknown option of the group '\\*' of SGD 'rate'"),
        ({"*": {"weight_decay": -1}}, "SGD: weight_decay of '\\*' is a number in"),
        ({3: {}}, "groups map a pattern of paths to options"),
    ],
)
def test_groups_are_checked(groups: Any, match: str) -> None:
    with pytest.raises(errors.UnifrontError, match=match):
        uf.optimizers.SGD(groups=groups)


@pytest.mark.parametrize("backend", TRAINABLE)
def test_a_reduction_between_gradient_and_update(backend: str) -> None:
    class Reduced(uf.Model):
        def train_step(self, data: Any) -> Any:
            x, y = data

            def loss_of() -> Any:
                return self.compute_loss(x=x, y=y, y_pred=self(x, training=True))

            loss, grads = uf.value_and_grad(loss_of, wrt=self)()
            self.optimizer.apply([ops.all_reduce(g) for g in grads], self.trainable_weights)
            return {"loss": ops.all_reduce(loss)}

    found = train(linear(uf.optimizers.SGD(0.125), Reduced), backend, 2)
    for one, expected in zip(found, train(linear(uf.optimizers.SGD(0.125)), backend, 2), strict=True):
        assert_close(one, expected, bounds=CLOSE)


@pytest.mark.parametrize("backend", TRAINABLE)
def test_one_optimizer_applied_twice_in_a_step_counts_both(backend: str) -> None:
    class Twice(uf.Model):
        def train_step(self, data: Any) -> Any:
            x, y = data
            for _ in range(2):
                loss, grads = uf.value_and_grad(
                    lambda: self.compute_loss(x=x, y=y, y_pred=self(x, training=True)), wrt=self
                )()
                self.optimizer.apply(grads, self.trainable_weights)
            return {"loss": loss}

    twice, once = (
        linear(uf.optimizers.Adam(lambda step: 0.5 / (step + 1)), kind) for kind in (Twice, uf.Model)
    )
    found, expected = train(twice, backend, 3), train(once, backend, 6)
    assert twice.optimizer.iterations == once.optimizer.iterations == 6
    for one, other in zip(found, expected, strict=True):
        assert_close(one, other, bounds=CLOSE)


@pytest.mark.parametrize("backend", TRAINABLE)
def test_accumulated_batches_are_as_one_large_batch(backend: str) -> None:
    model = linear(uf.optimizers.Adam(0.125, gradient_accumulation_steps=3))
    model.fit(X, Y, batch_size=4, epochs=4, shuffle=False, verbose=0, backend=backend)
    expected = train(linear(uf.optimizers.Adam(0.125)), backend, 4)
    assert model.optimizer.iterations == 4
    for one, other in zip(model.get_weights(), expected, strict=True):
        assert_close(one, other, bounds=CLOSE)


@pytest.mark.parametrize("backend", TRAINABLE)
def test_an_eager_loop_and_a_jitted_one(backend: str) -> None:
    """The same custom loop on native arrays, as plain Python and as one program; NumPy is the judge."""
    native = get_backend(backend)
    x, y = native.array(X), native.array(Y)

    def loop(jitted: bool) -> tuple[list[np.ndarray], list[float]]:
        model, optimizer = linear("sgd"), uf.optimizers.SGD(0.125, momentum=0.5)

        def step(x: Any, y: Any) -> Any:
            loss, grads = uf.value_and_grad(lambda: ops.mean(ops.square(model(x) - y)), wrt=model)()
            optimizer.apply(grads, model.trainable_weights)
            return loss

        run = uf.jit(step) if jitted else step
        losses = [float(native.numpy(run(x, y))) for _ in range(3)]
        assert optimizer.iterations == 3
        return model.get_weights(), losses

    kernel, bias, v_kernel, v_bias, losses = KERNEL, np.zeros(3), 0.0, 0.0, []
    for _ in range(3):
        losses.append(np.square(X @ kernel + bias - Y).mean())
        d_kernel, d_bias = slopes(kernel, bias)
        v_kernel, v_bias = 0.5 * v_kernel - 0.125 * d_kernel, 0.5 * v_bias - 0.125 * d_bias
        kernel, bias = kernel + v_kernel, bias + v_bias
    for jitted in (False, True):
        with uf.backend(backend):  # the arrays are no arguments of what is differentiated
            found, own = loop(jitted)
        assert own == pytest.approx(losses, rel=1e-9)
        for one, expected in zip(found, (kernel, bias), strict=True):
            assert_close(one, expected, bounds=CLOSE)


def test_gradients_that_do_not_fit_are_refused() -> None:
    optimizer, (variable,) = uf.optimizers.SGD(), [uf.Variable.at("w", (3,), initial=np.zeros(3))]
    with pytest.raises(errors.ArgumentError, match=r"SGD\.apply: 2 gradients for 1 variables"):
        optimizer.apply([None, None], [variable])
    with pytest.raises(errors.ArgumentError, match=r"SGD\.apply: No gradients provided for any variable"):
        optimizer.apply([None], [variable])
    with pytest.raises(errors.ShapeError, match=r"SGD\.apply: w is float32\[3\], its gradient float32\[2\]"):
        optimizer.apply([np.zeros(2, np.float32)], [variable])


def test_jit_refuses_two_frameworks() -> None:
    if len(TRAINABLE) < 2:
        pytest.skip("one framework is installed")
    a, b = (get_backend(name).array(np.ones(2)) for name in TRAINABLE[:2])
    with pytest.raises(errors.ArgumentError, match="arrays of .* meet in one call"):
        uf.jit(lambda x, y: x + y)(a, b)


@pytest.mark.parametrize("backend", TRAINABLE)
def test_jit_makes_a_program_for_each_kind_of_arguments(backend: str) -> None:
    native, traced = get_backend(backend), []

    @uf.jit
    def scaled(x: Any, factor: float, *, more: Any = None) -> Any:
        traced.append(x.shape)
        return {"y": x * factor, "z": None if more is None else more + 1.0}

    x = native.array(np.arange(3.0))
    for _ in range(2):
        assert_close(native.numpy(scaled(x, 2.0)["y"]), np.arange(3.0) * 2)
    assert_close(native.numpy(scaled(x, 3.0)["y"]), np.arange(3.0) * 3)
    assert_close(native.numpy(scaled(x, 3.0, more=x)["z"]), np.arange(3.0) + 1)
    assert len(traced) == 3
