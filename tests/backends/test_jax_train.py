"""The JAX training step, judged by the same training written by hand with optax."""

import gc

import numpy as np
import pytest

from unifront import dtypes, ops
from unifront.backends import TrainPlan, TrainState, UpdateGroup, placement
from unifront.ir import graph as ir
from unifront.ir.dims import symbol
from unifront.ir.graph import Graph
from unifront.ir.types import TensorType
from unifront.opset.optimize import ADAM_UPDATE, MOMENTUM_UPDATE, SGD_UPDATE
from unifront.opset.tensor import Builder, Traced
from unifront.testing import difference

jax = pytest.importorskip("jax")
jnp = pytest.importorskip("jax.numpy")
optax = pytest.importorskip("optax")

BACKEND = placement("jax").backend
ADAM = {"beta_1": 0.9, "beta_2": 0.999, "epsilon": 1e-7, "weight_decay": 0.0}
SHAPES = {"w0": (3, 5), "b0": (5,), "w1": (5, 2), "b1": (2,), "mean": (5,)}
BOUND = {"float64": 1e-12, "float32": 2e-5}


def mlp(dtype: str, *, noise: bool = False) -> Graph:
    """``tanh(x @ w0 + b0) @ w1 + b1``, squared error; ``mean`` follows the mean of the hidden layer."""
    builder = Builder("mlp")
    kind = dtypes.dtype_of(dtype)
    batch = symbol("batch")
    x = builder.input("x", TensorType(kind, (batch, 3)))
    y = builder.input("y", TensorType(kind, (batch, 2)))
    key = builder.input("key", TensorType(dtypes.key))
    totals = builder.input("totals", TensorType(kind, (2,)))
    variables = [
        ir.Variable(name, builder.new(TensorType(kind, shape)), name != "mean")
        for name, shape in SHAPES.items()
    ]
    w0, b0, w1, b1, mean = (Traced(variable.value, builder) for variable in variables)
    hidden = ops.tanh(ops.add(ops.matmul(x, w0), b0))
    if noise:
        hidden = ops.dropout(hidden, key, rate=0.5)
    error = ops.square(ops.subtract(ops.add(ops.matmul(hidden, w1), b1), y))
    loss = ops.multiply(ops.sum(error), 0.1)
    moved = ops.add(ops.multiply(mean, 0.9), ops.multiply(ops.sum(hidden, 0), 0.01))
    return builder.graph([loss, ops.add(totals, loss), moved], variables=variables)


def plan_of(
    dtype: str, rule: object = ADAM_UPDATE, attributes: object = None, slots: int = 2, **more: object
) -> TrainPlan:
    group = UpdateGroup(rule, ADAM if attributes is None else attributes, (0, 1, 2, 3), slots)
    return TrainPlan(mlp(dtype, **more), (4,), (group,))


def values_of(dtype: str) -> list[np.ndarray]:
    rng = np.random.default_rng(3)
    return [rng.normal(size=shape).astype(dtype) for shape in SHAPES.values()]


def state_of(dtype: str, slots: int = 2, seed: int = 0) -> TrainState:
    values = values_of(dtype)
    zeros = [tuple(BACKEND.array(np.zeros_like(v)) for _ in range(slots)) for v in values[:4]]
    return TrainState(
        [BACKEND.array(v) for v in values], zeros, BACKEND.array(np.zeros(2, dtype)), BACKEND.key(seed)
    )


def data_of(dtype: str, steps: int = 10, batch: int = 4) -> list[tuple[np.ndarray, np.ndarray]]:
    rng = np.random.default_rng(5)
    return [
        (rng.normal(size=(batch, 3)).astype(dtype), rng.normal(size=(batch, 2)).astype(dtype))
        for _ in range(steps)
    ]


def by_hand(dtype: str, optimizer: object, data: list[tuple[np.ndarray, np.ndarray]]) -> list[np.ndarray]:
    """The variables after training with optax."""

    def loss(params: list[object], x: object, y: object) -> tuple[object, object]:
        w0, b0, w1, b1 = params
        hidden = jnp.tanh(x @ w0 + b0)
        return jnp.sum((hidden @ w1 + b1 - y) ** 2) * 0.1, hidden

    with jax.enable_x64(dtype == "float64"):
        *params, mean = map(jnp.asarray, values_of(dtype))
        slots = optimizer.init(params)
        for x, y in data:
            gradients, hidden = jax.grad(loss, has_aux=True)(params, x, y)
            changes, slots = optimizer.update(gradients, slots, params)
            params = optax.apply_updates(params, changes)
            mean = mean * 0.9 + hidden.sum(0) * 0.01
        return [np.asarray(v) for v in (*params, mean)]


OPTIMIZERS = {
    "sgd": (SGD_UPDATE, {"weight_decay": 0.0}, 0, lambda: optax.sgd(0.05)),
    "nesterov": (
        MOMENTUM_UPDATE, {"momentum": 0.9, "nesterov": True, "weight_decay": 0.0}, 1,
        lambda: optax.sgd(0.05, momentum=0.9, nesterov=True),
    ),
    "sgd_decay": (
        SGD_UPDATE, {"weight_decay": 0.1}, 0,
        lambda: optax.chain(optax.add_decayed_weights(0.1), optax.sgd(0.05)),
    ),
}  # fmt: skip


@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize("name", OPTIMIZERS)
def test_ten_steps_are_those_of_optax(name: str, dtype: str) -> None:
    rule, attributes, slots, optimizer = OPTIMIZERS[name]
    data = data_of(dtype)
    step = BACKEND.train_step(plan_of(dtype, rule, attributes, slots), state_of(dtype, slots))
    for batch in data:
        step([BACKEND.array(a) for a in batch], 0.05)
    for found, expected in zip(step.state.variables, by_hand(dtype, optimizer(), data), strict=True):
        assert str(found.dtype) == dtype
        assert difference(BACKEND.numpy(found), expected) <= BOUND[dtype]
    assert step.state.iteration == 10


@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_adam_follows_a_learning_rate_that_changes(dtype: str) -> None:
    rates = [0.05 * 0.9**i for i in range(10)]
    data = data_of(dtype)
    # optax adds epsilon after its bias correction; without one the two forms agree.
    step = BACKEND.train_step(plan_of(dtype, attributes={**ADAM, "epsilon": 0.0}), state_of(dtype))
    for batch, rate in zip(data, rates, strict=True):
        step([BACKEND.array(a) for a in batch], rate)

    def decreasing(count: object) -> object:
        return 0.05 * 0.9**count

    expected = by_hand(dtype, optax.adam(decreasing, eps=0.0), data)
    for found, value in zip(step.state.variables, expected, strict=True):
        assert difference(BACKEND.numpy(found), value) <= {"float64": 1e-10, "float32": 1e-4}[dtype]


@pytest.mark.parametrize(
    ("dtype", "steps", "gathered"), [("float32", 3, 0), ("float32", 70, 0), ("float64", 70, 2**25)]
)
def test_run_is_the_same_as_single_steps(
    dtype: str, steps: int, gathered: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("unifront_jax.train.GATHERED", gathered)
    rng = np.random.default_rng(7)
    x, y = rng.normal(size=(20, 3)).astype(dtype), rng.normal(size=(20, 2)).astype(dtype)
    indices = rng.integers(0, 20, (steps, 4)).astype(np.int32)
    rates = [0.01 / (1 + i) for i in range(steps)]
    single = BACKEND.train_step(plan_of(dtype), state_of(dtype))
    for row, rate in zip(indices, rates, strict=True):
        single([BACKEND.array(x[row]), BACKEND.array(y[row])], rate)
    block = BACKEND.train_step(plan_of(dtype), state_of(dtype))
    block.run([BACKEND.array(x), BACKEND.array(y)], BACKEND.array(indices), rates)
    assert block.state.iteration == single.state.iteration == steps
    for a, b in zip(block.state.variables, single.state.variables, strict=True):
        assert difference(BACKEND.numpy(a), BACKEND.numpy(b)) <= BOUND[dtype]
    assert difference(BACKEND.numpy(block.state.totals), BACKEND.numpy(single.state.totals)) <= BOUND[dtype]


def test_totals_collect_the_loss_and_can_be_reset() -> None:
    step = BACKEND.train_step(plan_of("float32"), state_of("float32"))
    batch = [BACKEND.array(a) for a in data_of("float32")[0]]
    step(batch, 0.0)
    once = BACKEND.numpy(step.state.totals)
    step(batch, 0.0)
    np.testing.assert_allclose(BACKEND.numpy(step.state.totals), 2 * once, rtol=1e-6)
    step.state.totals = BACKEND.array(np.zeros(2, np.float32))
    step(batch, 0.0)
    np.testing.assert_allclose(BACKEND.numpy(step.state.totals), once, rtol=1e-6)


def test_a_transform_changes_the_gradients() -> None:
    builder = Builder("clip")
    gradients = [
        builder.input(name, TensorType(dtypes.float64, SHAPES[name])) for name in ("w0", "b0", "w1", "b1")
    ]
    clip = builder.graph([ops.clip(gradient, -0.01, 0.01) for gradient in gradients])
    group = UpdateGroup(SGD_UPDATE, {"weight_decay": 0.0}, (0, 1, 2, 3), 0)
    step = BACKEND.train_step(TrainPlan(mlp("float64"), (4,), (group,), clip), state_of("float64", 0))
    data = data_of("float64")
    for batch in data:
        step([BACKEND.array(a) for a in batch], 0.05)
    expected = by_hand("float64", optax.chain(optax.clip(0.01), optax.sgd(0.05)), data)
    for found, value in zip(step.state.variables, expected, strict=True):
        assert difference(BACKEND.numpy(found), value) <= 1e-12


def test_two_groups_train_by_their_own_rules() -> None:
    groups = (
        UpdateGroup(SGD_UPDATE, {"weight_decay": 0.0}, (3, 1), 0),
        UpdateGroup(MOMENTUM_UPDATE, {"momentum": 0.9, "nesterov": False, "weight_decay": 0.0}, (2, 0), 1),
    )
    values = values_of("float64")
    slots = [(), (), *((BACKEND.array(np.zeros_like(values[i])),) for i in (2, 0))]
    state = state_of("float64")
    state.slots = slots
    step = BACKEND.train_step(TrainPlan(mlp("float64"), (4,), groups), state)
    data = data_of("float64")
    for batch in data:
        step([BACKEND.array(a) for a in batch], 0.05)
    optimizer = optax.multi_transform(
        {"plain": optax.sgd(0.05), "momentum": optax.sgd(0.05, momentum=0.9)},
        ["momentum", "plain", "momentum", "plain"],
    )
    for found, value in zip(step.state.variables, by_hand("float64", optimizer, data), strict=True):
        assert difference(BACKEND.numpy(found), value) <= 1e-12


def test_steps_of_one_shape_compile_once_and_hold_no_more_memory() -> None:
    step = BACKEND.train_step(plan_of("float32"), state_of("float32"))
    batch = [BACKEND.array(a) for a in data_of("float32")[0]]
    step(batch, 0.1)
    gc.collect()
    before = len(jax.live_arrays())
    for i in range(20):
        step(batch, 0.1 / (i + 1))
    gc.collect()
    assert len(jax.live_arrays()) <= before
    assert step._step._cache_size() == 1


def test_a_plan_compiles_once_and_is_forgotten_with_its_last_user() -> None:
    from unifront_jax import train

    gc.collect()
    before = len(train._compiled)
    plan = plan_of("float32")
    batch = [BACKEND.array(a) for a in data_of("float32")[0]]
    for _ in range(3):
        step = BACKEND.train_step(plan, state_of("float32"))
        step(batch, 0.1)
    assert step._step._cache_size() == 1
    assert len(train._compiled) == before + 1
    del plan, step
    gc.collect()
    assert len(train._compiled) == before


def test_blocks_of_one_shape_compile_once_and_hold_no_more_memory() -> None:
    rng = np.random.default_rng(7)
    arrays = [BACKEND.array(rng.normal(size=(20, n)).astype(np.float32)) for n in (3, 2)]
    indices = BACKEND.array(rng.integers(0, 20, (40, 4)).astype(np.int32))
    step = BACKEND.train_step(plan_of("float32"), state_of("float32"))
    step.run(arrays, indices, [0.01] * 40)
    gc.collect()
    before = len(jax.live_arrays())
    for _ in range(5):
        step.run(arrays, indices, [0.01] * 40)
    gc.collect()
    assert len(jax.live_arrays()) <= before
    assert (step._block._cache_size(), step._indexed._cache_size()) == (1, 1)


def test_an_array_that_stands_twice_in_the_state_trains() -> None:
    state = state_of("float32")
    state.slots = [(slots[0], slots[0]) for slots in state.slots]
    step = BACKEND.train_step(plan_of("float32"), state)
    data = data_of("float32")
    for batch in data:
        step([BACKEND.array(a) for a in batch], 0.05)
    other = BACKEND.train_step(plan_of("float32"), state_of("float32"))
    for batch in data:
        other([BACKEND.array(a) for a in batch], 0.05)
    for a, b in zip(step.state.variables, other.state.variables, strict=True):
        np.testing.assert_array_equal(a, b)


def test_each_iteration_draws_from_its_own_key_and_a_seed_repeats() -> None:
    batch = [BACKEND.array(a) for a in data_of("float32")[0]]

    def losses(seed: int) -> list[float]:
        step = BACKEND.train_step(plan_of("float32", noise=True), state_of("float32", seed=seed))
        found = []
        for _ in range(4):
            step.state.totals = BACKEND.array(np.zeros(2, np.float32))
            step(batch, 0.0)
            found.append(float(BACKEND.numpy(step.state.totals)[0]))
        return found

    first = losses(0)
    assert len(set(first)) > 1
    assert losses(0) == first
    assert losses(1) != first


def test_the_flag_of_the_user_stays_as_it_was() -> None:
    step = BACKEND.train_step(plan_of("float64"), state_of("float64"))
    step([BACKEND.array(a) for a in data_of("float64")[0]], 0.05)
    assert step.state.variables[0].dtype == np.float64
    assert jnp.ones(()).dtype == np.float32


@pytest.mark.skipif(jax.default_backend() != "cpu", reason="only loops on the CPU are slow")
def test_recurrent_layers_and_convolutions_do_not_run_inside_a_loop_on_the_cpu() -> None:
    rng = np.random.default_rng(7)
    arrays = [BACKEND.array(rng.normal(size=(20, n)).astype(np.float32)) for n in (3, 2)]
    indices = BACKEND.array(rng.integers(0, 20, (40, 4)).astype(np.int32))
    step = BACKEND.train_step(plan_of("float32"), state_of("float32"))
    step.run(arrays, indices, [0.01] * 40)
    assert step._loops
    step._indexed = jax.jit(
        lambda *operands: jax.lax.fori_loop(0, operands[-1].shape[0], lambda i, x: x + i, 0)
    )
    assert not step._loops_well(*arrays)
    image, kernel = jnp.ones((1, 4, 4, 1)), jnp.ones((2, 2, 1, 1))
    step._indexed = jax.jit(
        lambda x, w: jax.lax.conv_general_dilated(
            x, w, (1, 1), "SAME", dimension_numbers=("NHWC", "HWIO", "NHWC")
        )
    )
    assert not step._loops_well(image, kernel)


def test_a_run_of_no_steps_changes_nothing() -> None:
    step = BACKEND.train_step(plan_of("float32"), state_of("float32"))
    arrays = [BACKEND.array(np.ones((20, n), np.float32)) for n in (3, 2)]
    step.run(arrays, BACKEND.array(np.zeros((0, 4), np.int32)), [])
    assert step.state.iteration == 0
    for found, value in zip(step.state.variables, values_of("float32"), strict=True):
        np.testing.assert_array_equal(found, value)
