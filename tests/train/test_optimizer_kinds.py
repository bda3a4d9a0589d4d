"""Loss scaling, several optimizers in one, optimizers of one's own, their state; schedules on numbers and tensors."""

from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import unifront as uf
from tests.models import TRAINABLE
from tests.train.keras_judge import keras, value
from unifront import errors, layers, ops
from unifront.backends import get_backend, installed
from unifront.testing import assert_close
from unifront.train import optimizers, schedules

RNG = np.random.default_rng(5)
X, Y = RNG.normal(size=(12, 4)), RNG.normal(size=(12, 3))
KERNEL = RNG.normal(size=(4, 3))
ANY = TRAINABLE[0]


def linear(optimizer: Any) -> uf.Model:
    x = uf.Input((4,), dtype="float64")
    model = uf.Model(x, layers.Dense(3, name="out")(x))
    model.set_weights([KERNEL, np.zeros(3)])
    model.compile(optimizer, "mse")
    return model


def train(optimizer: Any, backend: str = ANY, epochs: int = 3, **options: Any) -> uf.Model:
    model = linear(optimizer)
    given = {"batch_size": 4, "epochs": epochs, "shuffle": False, "verbose": 0, "backend": backend, **options}
    model.fit(X, Y, **given)
    return model


def same(one: uf.Model, other: uf.Model, bound: float = 1e-12) -> None:
    for a, b in zip(one.get_weights(), other.get_weights(), strict=True):
        assert_close(a, b, bounds={"float64": bound})


# ---------------------------------------------------------------- loss scaling


@pytest.mark.parametrize("backend", TRAINABLE)
def test_a_scaled_loss_trains_as_the_loss_itself(backend: str) -> None:
    """With a schedule, which counts on the device then, and a scale that doubles twice on the way."""
    schedule = schedules.CosineDecay(0.25, 20)
    scaled = optimizers.LossScaleOptimizer(optimizers.Adam(schedule, weight_decay=0.125), 8.0, 4)
    plain = train(optimizers.Adam(schedule, weight_decay=0.125), backend)
    same(train(scaled, backend), plain, 1e-6)  # the rate is computed on the device, in float32
    assert scaled.iterations == 9
    assert float(scaled.dynamic_scale.numpy()) == 32.0
    assert int(scaled.step_counter.numpy()) == 1


@pytest.mark.parametrize("backend", TRAINABLE)
def test_a_step_that_is_not_finite_is_left_out(backend: str) -> None:
    optimizer = optimizers.LossScaleOptimizer(optimizers.SGD(0.25, momentum=0.5), 64.0, 2)
    variable = uf.Variable.at("w", (2,), "float64", initial=np.ones(2))
    array = get_backend(backend).array
    scales, values = [], []
    for gradient in ([64.0, 0.0], [np.inf, 0.0], [np.nan, 1.0], [16.0, 0.0], [16.0, 0.0]):
        optimizer.apply([array(np.asarray(gradient))], [variable])
        scales.append(float(optimizer.dynamic_scale.numpy()))
        values.append(float(variable.numpy()[0]))
    assert scales == [64.0, 32.0, 16.0, 16.0, 32.0]
    assert values == [0.75, 0.75, 0.75, 0.375, -0.0625]
    assert optimizer.iterations == optimizer.inner_optimizer.iterations == 3


def test_what_loss_scaling_refuses() -> None:
    inner = optimizers.SGD()
    with pytest.raises(errors.ArgumentError, match="`clipnorm` on the `inner_optimizer`"):
        optimizers.LossScaleOptimizer(inner, clipnorm=1.0)
    with pytest.raises(errors.ArgumentError, match="arguments: `rate`"):
        optimizers.LossScaleOptimizer(inner, rate=1.0)
    with pytest.raises(errors.ArgumentError, match="inner_optimizer"):
        optimizers.LossScaleOptimizer("sgd")  # type: ignore[arg-type]


# ---------------------------------------------------------------- several, and batches of unequal size


def test_several_optimizers_train_each_its_own() -> None:
    chosen = optimizers.OptimizerMap(optimizers.SGD(0.125), {".*/bias": optimizers.Adam(0.25)})
    both = train(optimizers.MultiOptimizer(chosen)).get_weights()
    by_groups = train(optimizers.SGD(0.125, groups={"*/bias": {"learning_rate": 0.0}}), epochs=0)
    assert not np.allclose(both[0], by_groups.get_weights()[0])
    separate = train_apart()
    for found, expected in zip(both, separate, strict=True):
        assert_close(found, expected)


def train_apart() -> list[np.ndarray]:
    """Gradient descent on the kernel and Adam on the bias, in NumPy."""
    kernel, bias, m, v = KERNEL, np.zeros(3), np.zeros(3), np.zeros(3)
    for step in range(1, 10):
        rows = slice(4 * ((step - 1) % 3), 4 * ((step - 1) % 3) + 4)
        slope = 2 * (X[rows] @ kernel + bias - Y[rows]) / 12
        g = slope.sum(axis=0)
        m, v = 0.9 * m + 0.1 * g, 0.999 * v + 0.001 * g**2
        alpha = 0.25 * np.sqrt(1 - 0.999**step) / (1 - 0.9**step)
        kernel, bias = kernel - 0.125 * X[rows].T @ slope, bias - alpha * m / (np.sqrt(v) + 1e-7)
    return [kernel, bias]


@pytest.mark.parametrize(
    ("make", "match"),
    [
        (lambda a: optimizers.OptimizerMap("sgd"), "default_optimizer must be an Optimizer"),
        (lambda a: optimizers.OptimizerMap(a, {"x": "sgd"}), "optimizer must be an Optimizer"),
        (lambda a: optimizers.OptimizerMap(a, {"x": optimizers.LossScaleOptimizer(a)}), "cannot be LossScaleOptimizer"),
        (lambda a: optimizers.OptimizerMap(a, {"x.*": a, ".*y": a})["xy"], "Multiple optimizers assigned to variable xy"),
        (lambda a: optimizers.MultiOptimizer(3), "takes an OptimizerMap or a function"),
        (lambda a: optimizers.MultiOptimizer(optimizers.OptimizerMap(a)).learning_rate, "Ask each of its"),
        (lambda a: setattr(optimizers.SGD(schedules.CosineDecay(0.1, 3)), "learning_rate", 0.1), "made with a schedule"),
    ],
)  # fmt: skip
def test_what_is_refused(make: Any, match: str) -> None:
    with pytest.raises(errors.ArgumentError, match=match):
        make(optimizers.SGD())


def test_uneven_batches_count_by_their_examples() -> None:
    """Batches of 5, 5 and 2, gathered: the gradient of all twelve."""
    gathered = optimizers.SGD(0.25, gradient_accumulation_steps=3, accumulate_examples=True)
    uneven = train(gathered, batch_size=5, epochs=2)
    whole = train(optimizers.SGD(0.25), batch_size=12, epochs=2)
    same(uneven, whole)
    plain = train(optimizers.SGD(0.25, gradient_accumulation_steps=3), batch_size=5, epochs=2)
    assert not np.allclose(plain.get_weights()[0], whole.get_weights()[0], rtol=1e-6)
    with pytest.raises(errors.ArgumentError, match=r"pass their number, apply\(grads, variables, examples"):
        gathered.apply(
            [get_backend(ANY).array(np.ones(2))], [uf.Variable.at("v", (2,), "float64", initial=np.ones(2))]
        )


# ---------------------------------------------------------------- optimizers of one's own


class AsInKeras(optimizers.Optimizer):
    def build(self, variables: Any) -> None:
        super().build(variables)
        self.momenta = [self.add_variable_from_reference(v, name="momentum") for v in variables]

    def update_step(self, gradient: Any, variable: Any, learning_rate: Any) -> None:
        rate = ops.cast(learning_rate, variable.dtype)
        momentum = self.momenta[self._get_variable_index(variable)]
        self.assign(momentum, ops.subtract(ops.multiply(momentum, 0.5), ops.multiply(gradient, rate)))
        self.assign_add(variable, momentum)


class ByFormula(optimizers.Optimizer):
    slot_names = ("momentum",)

    def formula(
        self, weight: Any, gradient: Any, *slots: Any, learning_rate: Any, step: Any
    ) -> tuple[Any, ...]:
        momentum = 0.5 * slots[0] - learning_rate * gradient
        return weight + momentum, momentum


@pytest.mark.parametrize("options", [{}, {"weight_decay": 0.25, "clipnorm": 0.5, "use_ema": True}])
@pytest.mark.parametrize("kind", [AsInKeras, ByFormula])
def test_an_optimizer_of_ones_own_has_all_options(kind: Any, options: dict[str, Any]) -> None:
    own, known = kind(0.125, **options), optimizers.SGD(0.125, momentum=0.5, **options)
    same(train(own), train(known))
    assert [v.path for v in own.variables][2:] == [v.path for v in known.variables][2:]


def test_one_that_defines_nothing_says_so() -> None:
    with pytest.raises(errors.ArgumentError, match=r"Optimizer defines neither update_step\(gradient"):
        train(optimizers.Optimizer(0.1))


# ---------------------------------------------------------------- state


@pytest.mark.skipif("jax" not in installed(), reason="JAX's users apply so")
@pytest.mark.parametrize(
    "make", [lambda: optimizers.Nadam(0.125), lambda: optimizers.Adam(0.125, gradient_accumulation_steps=2),
             lambda: optimizers.LossScaleOptimizer(optimizers.SGD(0.125, momentum=0.5), 4.0)],
)  # fmt: skip
def test_applied_without_state_inside_jit(make: Any) -> None:
    import jax

    array = get_backend("jax").array
    variable = uf.Variable.at("w", (3,), "float32", initial=np.ones(3, np.float32))
    twin = uf.Variable.at("w", (3,), "float32", initial=np.ones(3, np.float32))
    optimizer, judge = make(), make()
    optimizer.build([variable])
    state, weights = [array(v.numpy()) for v in optimizer.variables], [array(variable.numpy())]
    step = jax.jit(optimizer.stateless_apply)
    for i in range(3):
        gradient = np.asarray([1.0, -2.0, i], np.float32)
        weights, state = step(state, [array(gradient)], weights)
        judge.apply([array(gradient)], [twin])
    assert_close(np.asarray(weights[0]), twin.numpy())
    assert int(judge._iterations.numpy()) == 3 or isinstance(judge, optimizers.LossScaleOptimizer)
    assert optimizer.calls == 0
    assert np.array_equal(variable.numpy(), np.ones(3))
    with pytest.raises(errors.ArgumentError, match="optimizer_variables must be a list of tensors"):
        optimizer.stateless_apply(state[1:], [array(gradient)], weights)


@pytest.mark.parametrize(
    "name", sorted({c.__name__ for c in optimizers.CLASSES} - {"LossScaleOptimizer", "MultiOptimizer"})
)
def test_configs_and_copies_make_the_same_optimizer(name: str) -> None:
    one = optimizers.get(name)
    config = one.get_config()
    assert optimizers.deserialize(optimizers.serialize(one)).get_config() == config
    assert pickle.loads(pickle.dumps(one)).get_config() == config
    if name == "Lamb":
        return  # Keras's own table of classes lacks it, so Keras cannot read it
    judge = keras.optimizers.deserialize(optimizers.serialize(one))
    theirs = judge.get_config()
    assert theirs.keys() == config.keys()
    for key, found in config.items():
        assert theirs[key] == (pytest.approx(found) if isinstance(found, float) else found), key


@pytest.mark.parametrize(
    "make",
    [
        lambda: optimizers.LossScaleOptimizer(optimizers.Nadam(0.125), dynamic_growth_steps=2),
        lambda: optimizers.MultiOptimizer(optimizers.OptimizerMap(optimizers.Lamb(0.1), {".*bias": optimizers.SGD(0.1)})),
        lambda: optimizers.Adafactor(schedules.OneCycle(0.1, 20)),
        lambda: optimizers.Adam(0.1, gradient_accumulation_steps=2, accumulate_examples=True, undecayed_names=["bias"],
                                weight_decay=0.25),
    ],
    ids=["scaled", "several", "factored", "gathering"],
)  # fmt: skip
def test_a_saved_optimizer_goes_on(make: Any, tmp_path: Path) -> None:
    model = train(make(), epochs=1)
    model.save(tmp_path / "model.uf")
    loaded = uf.load(tmp_path / "model.uf")
    assert loaded.optimizer.iterations == model.optimizer.iterations
    for one in (model, loaded):
        one.fit(X, Y, batch_size=4, epochs=1, shuffle=False, verbose=0, backend=ANY)
    same(loaded, model)


def test_values_go_from_one_optimizer_to_another() -> None:
    one, other, store = optimizers.Adam(0.5), optimizers.Adam(), {}
    variable = uf.Variable.at("w", (2,), "float64", initial=np.ones(2))
    one.apply([get_backend(ANY).array(np.ones(2))], [variable])
    one.save_own_variables(store)
    with pytest.warns(UserWarning, match="has not been called/built yet"):
        other.load_own_variables(store)
    other.build([variable])
    other.load_own_variables(store)
    assert (other.iterations, other.learning_rate) == (1, 0.5)
    for a, b in zip(one.variables, other.variables, strict=True):
        assert_close(a.numpy().astype(float), b.numpy().astype(float))


def test_weights_without_a_gradient_are_told_of() -> None:
    pair = [uf.Variable.at(name, (2,), "float64", initial=np.ones(2)) for name in "ab"]
    with pytest.warns(UserWarning, match=r"Gradients do not exist for variables \['b'\]"):
        optimizers.SGD(0.5).apply([get_backend(ANY).array(np.ones(2)), None], pair)
    assert [v.numpy().tolist() for v in pair] == [[0.5, 0.5], [1.0, 1.0]]


# ---------------------------------------------------------------- schedules


SCHEDULES = [
    schedules.ExponentialDecay(0.1, 7, 0.5, staircase=True),
    schedules.InverseTimeDecay(0.1, 7, 0.5),
    schedules.CosineDecay(0.01, 20, 0.2, warmup_target=0.3, warmup_steps=5),
    schedules.CosineDecayRestarts(0.1, 5),
    schedules.CosineDecayRestarts(0.1, 5, t_mul=1.0, m_mul=0.5, alpha=0.1),
    schedules.PolynomialDecay(0.1, 6, power=2.0, cycle=True),
    schedules.PiecewiseConstantDecay([3, 10], [0.3, 0.2, 0.1]),
]


@pytest.mark.parametrize("schedule", SCHEDULES, ids=lambda one: one.name)
def test_schedules_are_those_of_keras(schedule: Any) -> None:
    judge = keras.optimizers.schedules.deserialize(schedules.serialize(schedule))
    assert schedules.deserialize(keras.optimizers.schedules.serialize(judge)) == schedule
    for step in (0, 1, 4, 6, 11, 13, 29):
        assert schedule(step) == pytest.approx(float(value(judge(step))), rel=1e-5, abs=1e-8), step


def test_schedules_give_tensors_for_tensors() -> None:
    every = [*SCHEDULES, schedules.OneCycle(0.1, 20)]
    rates = uf.jit(lambda step: [one(step) for one in every])
    for step in (0, 4, 11, 29):
        found = rates(get_backend(ANY).array(np.asarray(step, np.int32)))
        for one, rate in zip(every, found, strict=True):
            assert float(get_backend(ANY).numpy(rate)) == pytest.approx(one(step), rel=1e-5, abs=1e-8), one


@pytest.mark.skipif("torch" not in installed(), reason="PyTorch is the judge")
def test_one_cycle_is_that_of_pytorch() -> None:
    import torch

    optimizer = torch.optim.SGD([torch.zeros(1)], 0.1)
    judge = torch.optim.lr_scheduler.OneCycleLR(optimizer, 0.1, total_steps=40, cycle_momentum=False)
    ours = schedules.OneCycle(0.1, 40)
    for step in range(40):
        assert ours(step) == pytest.approx(optimizer.param_groups[0]["lr"], rel=1e-12)
        optimizer.step()
        if step < 39:
            judge.step()
    assert ours(100) == ours(39)
