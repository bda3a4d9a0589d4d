"""What ``Model.lower("jax")`` gives: pure functions that jit, grad, vmap and optax take."""

from functools import partial

import numpy as np
import pytest

import unifront as uf
from unifront import dtypes, layers, ops
from unifront.backends import placement
from unifront.errors import ArgumentError, ShapeError, UnknownName
from unifront.ir import graph as ir
from unifront.ir.dims import symbol
from unifront.ir.graph import Graph
from unifront.ir.types import TensorType
from unifront.opset.tensor import Builder, Traced
from unifront.testing import difference

jax = pytest.importorskip("jax")
jnp = pytest.importorskip("jax.numpy")
optax = pytest.importorskip("optax")

BACKEND = placement("jax").backend
SHAPES = {"dense/kernel": (3, 2), "dense/bias": (2,), "norm/mean": (2,)}
BOUND = {"float64": 1e-12, "float32": 1e-5}


def graph_of(dtype: str, *, training: bool, outputs: int = 1, noise: bool = False) -> Graph:
    """``tanh(x @ kernel + bias) - mean``; in training ``mean`` moves half the way to the batch's mean."""
    builder = Builder("training" if training else "inference")
    kind = dtypes.dtype_of(dtype)
    x = builder.input("x", TensorType(kind, (symbol("batch"), 3)))
    key = builder.input("key", TensorType(dtypes.key)) if training else None
    variables = [
        ir.Variable(name, builder.new(TensorType(kind, shape)), name != "norm/mean")
        for name, shape in SHAPES.items()
    ]
    kernel, bias, mean = (Traced(variable.value, builder) for variable in variables)
    hidden = ops.tanh(ops.add(ops.matmul(x, kernel), bias))
    if noise and training:
        hidden = ops.dropout(hidden, key, rate=0.5)
    results = [ops.subtract(hidden, mean), hidden][:outputs]
    if training:
        results.append(ops.multiply(ops.add(mean, ops.multiply(ops.sum(hidden, 0), 0.25)), 0.5))
    return builder.graph(results, variables=variables)


def values_of(dtype: str) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(3)
    return {name: rng.normal(size=shape).astype(dtype) for name, shape in SHAPES.items()}


def module_of(dtype: str = "float32", **options: object) -> object:
    training, inference = (graph_of(dtype, training=t, **options) for t in (True, False))
    return BACKEND.module(training, inference, values_of(dtype), ["norm/mean"])


def data_of(dtype: str = "float32") -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(5)
    return rng.normal(size=(4, 3)).astype(dtype), rng.normal(size=(4, 2)).astype(dtype)


def hand_written(values: dict[str, object], x: object) -> tuple[object, object]:
    hidden = jnp.tanh(x @ values["dense/kernel"] + values["dense/bias"])
    return hidden - values["norm/mean"], (values["norm/mean"] + hidden.sum(0) * 0.25) * 0.5


@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize("training", [False, True])
def test_apply_gives_outputs_and_new_state(dtype: str, training: bool) -> None:
    net, (x, _) = module_of(dtype), data_of(dtype)
    assert (sorted(net.params), sorted(net.state)) == (["dense/bias", "dense/kernel"], ["norm/mean"])
    out, state = net.apply(net.params, net.state, BACKEND.array(x), training=training)
    with jax.enable_x64(dtype == "float64"):
        expected, mean = map(np.asarray, hand_written(values_of(dtype), jnp.asarray(x)))
    assert str(out.dtype) == dtype
    assert difference(np.asarray(out), expected) <= BOUND[dtype]
    wanted = mean if training else values_of(dtype)["norm/mean"]
    assert difference(np.asarray(state["norm/mean"]), wanted) <= BOUND[dtype]
    np.testing.assert_array_equal(net.state["norm/mean"], values_of(dtype)["norm/mean"])


@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_a_hand_written_optax_loop_trains_it(dtype: str) -> None:
    """The same loop on the module and on hand-written JAX gives the same weights."""
    net, (x, y) = module_of(dtype), data_of(dtype)
    optimizer = optax.adam(0.05)

    def train(loss: object, params: object, state: object) -> tuple[object, object]:
        @jax.jit
        def step(params: object, state: object, slots: object) -> tuple[object, object, object]:
            gradients, state = jax.grad(loss, has_aux=True)(params, state)
            changes, slots = optimizer.update(gradients, slots, params)
            return optax.apply_updates(params, changes), state, slots

        slots = optimizer.init(params)
        for _ in range(10):
            params, state, slots = step(params, state, slots)
        return params, state

    def ours(params: object, state: object) -> tuple[object, object]:
        out, state = net.apply(params, state, x, training=True)
        return jnp.mean((out - y) ** 2), state

    def theirs(params: dict[str, object], state: dict[str, object]) -> tuple[object, object]:
        out, mean = hand_written({**params, **state}, x)
        return jnp.mean((out - y) ** 2), {"norm/mean": mean}

    with jax.enable_x64(dtype == "float64"):
        found = train(ours, net.params, net.state)
        values = jax.tree.map(jnp.asarray, values_of(dtype))
        mean = values.pop("norm/mean")
        expected = train(theirs, values, {"norm/mean": mean})
    for a, b in zip(jax.tree.leaves(found), jax.tree.leaves(expected), strict=True):
        assert a.dtype == b.dtype == np.dtype(dtype)
        assert difference(np.asarray(a), np.asarray(b)) <= BOUND[dtype]


def test_float64_keeps_its_width_under_the_users_jit_and_grad() -> None:
    net, (x, _) = module_of("float64"), data_of("float64")
    native = BACKEND.array(x)
    out, _ = jax.jit(net.apply)(net.params, net.state, native)
    assert out.dtype == np.float64
    eager, _ = net.apply(net.params, net.state, native)
    np.testing.assert_array_equal(out, eager)


def test_training_is_a_static_argument_of_jit() -> None:
    net, (x, _) = module_of(), data_of()
    apply = jax.jit(net.apply, static_argnames="training")
    for training in (True, False):
        found = apply(net.params, net.state, x, training=training)
        expected = net.apply(net.params, net.state, x, training=training)
        for a, b in zip(jax.tree.leaves(found), jax.tree.leaves(expected), strict=True):
            np.testing.assert_allclose(a, b, rtol=1e-6)
    with pytest.raises(ArgumentError, match="static_argnames"):
        jax.jit(net.apply)(net.params, net.state, x, training=True)


def test_vmap_over_models_and_over_batches() -> None:
    net, (x, _) = module_of(), data_of()
    batches = np.stack([x, 2 * x])
    out, _ = jax.vmap(partial(net.apply, net.params, net.state))(batches)
    np.testing.assert_allclose(out[1], net.apply(net.params, net.state, 2 * x)[0], rtol=1e-5)
    models = jax.tree.map(lambda value: jnp.stack([value, value + 1]), net.params)
    out, _ = jax.vmap(net.apply, in_axes=(0, None, None))(models, net.state, x)
    second = jax.tree.map(lambda value: value + 1, net.params)
    np.testing.assert_allclose(out[1], net.apply(second, net.state, x)[0], rtol=1e-5)


def test_several_outputs_are_a_tuple() -> None:
    net, (x, _) = module_of(outputs=2), data_of()
    (first, second), state = net.apply(net.params, net.state, x, training=True)
    assert first.shape == second.shape == (4, 2)
    assert sorted(state) == ["norm/mean"]


def test_a_new_batch_size_compiles_and_an_old_one_does_not() -> None:
    net, (x, _) = module_of(), data_of()
    for size in (4, 3, 4, 3):
        assert net.apply(net.params, net.state, x[:size])[0].shape == (size, 2)
    assert net._inference._cache_size() == 2


def test_its_arrays_are_its_own() -> None:
    values = values_of("float32")
    training, inference = (graph_of("float32", training=t) for t in (True, False))
    net = BACKEND.module(training, inference, values, ["norm/mean"])
    before = np.array(net.params["dense/kernel"])
    values["dense/kernel"][:] = 0
    np.testing.assert_array_equal(net.params["dense/kernel"], before)


def test_errors_say_what_to_pass() -> None:
    net, (x, _) = module_of(), data_of()
    with pytest.raises(ArgumentError, match=r"apply takes 1 inputs \(x\) after params and state, not 0"):
        net.apply(net.params, net.state)
    with pytest.raises(UnknownName, match="dense/kernel"):
        net.apply({"dense/bias": net.params["dense/bias"]}, net.state, x)


def test_randomness_takes_a_key_typed_or_raw() -> None:
    net, (x, _) = module_of(noise=True), data_of()
    with pytest.raises(ArgumentError, match=r"key=jax\.random\.key"):
        net.apply(net.params, net.state, x, training=True)
    typed, _ = net.apply(net.params, net.state, x, training=True, key=jax.random.key(1))
    raw, _ = net.apply(net.params, net.state, x, training=True, key=jax.random.PRNGKey(1))
    other, _ = net.apply(net.params, net.state, x, training=True, key=jax.random.key(2))
    np.testing.assert_array_equal(typed, raw)
    assert not np.array_equal(typed, other)


def digits() -> uf.Model:
    x = uf.Input((8, 8, 2), name="image")
    y = layers.Conv2D(4, 3, padding="same", activation="relu")(x)
    y = layers.Flatten()(layers.Dropout(0.5)(layers.MaxPooling2D()(layers.BatchNormalization()(y))))
    return uf.Model(x, layers.Dense(3)(y))


def words() -> uf.Model:
    x = uf.Input((None,), dtype="int32", name="words")
    y = layers.Embedding(11, 5, mask_zero=True)(x)
    y = layers.Bidirectional(layers.LSTM(4, return_sequences=True))(y)
    return uf.Model(x, layers.Dense(3)(layers.Dropout(0.5)(layers.GRU(4)(y))))


IMAGES = np.random.default_rng(0).normal(size=(4, 8, 8, 2)).astype("float32")
WORDS = np.array([[1, 2, 3, 0], [4, 5, 0, 0], [1, 2, 3, 4], [1, 1, 1, 0]], np.int32)
MODELS = {"digits": (digits, IMAGES), "words": (words, WORDS)}
KEY = jax.random.key(0)


def loss_of(net: object, params: object, x: object, training: bool = True) -> object:
    return jnp.mean(net.apply(params, net.state, x, training=training, key=KEY)[0] ** 2)


@pytest.mark.parametrize("name", ["digits", pytest.param("words", marks=pytest.mark.slow)])
def test_gradients_are_the_same_compiled_recomputed_and_taken_by_example(name: str) -> None:
    make, x = MODELS[name]
    net = make().lower("jax")
    expected = jax.grad(partial(loss_of, net))(net.params, x)
    compiled = jax.jit(jax.grad(partial(loss_of, net)))(net.params, x)
    again = jax.grad(jax.checkpoint(partial(loss_of, net)))(net.params, x)
    one = jax.grad(lambda params, row: loss_of(net, params, row[None], training=False))
    each = jax.vmap(one, in_axes=(None, 0))(net.params, x)
    whole = jax.grad(partial(loss_of, net, training=False))(net.params, x)
    mean = jax.tree.map(lambda gradient: gradient.mean(0), each)
    for found, wanted in ((compiled, expected), (again, expected), (mean, whole)):
        for path, gradient in found.items():
            assert difference(np.asarray(gradient), np.asarray(wanted[path])) <= 1e-4, path


@pytest.mark.parametrize("name", MODELS)
def test_a_step_may_take_the_memory_of_its_arguments(name: str) -> None:
    make, x = MODELS[name]
    net = make().lower("jax")

    def step(params: object, state: object, key: object) -> object:
        def loss(params: object) -> tuple[object, object]:
            out, new = net.apply(params, state, x, training=True, key=key)
            return jnp.mean(out**2), new

        gradients, state = jax.grad(loss, has_aux=True)(params)
        return jax.tree.map(lambda p, g: p - 0.1 * g, params, gradients), state

    donating = jax.jit(step, donate_argnums=(0, 1))
    carry = wanted = (net.params, net.state)
    for key in jax.random.split(KEY, 3):
        wanted = jax.jit(step)(*wanted, key)
    for key in jax.random.split(KEY, 3):
        carry = donating(*carry, key)
    jax.tree.map(np.testing.assert_array_equal, carry, wanted)


def test_forward_mode_and_second_derivatives() -> None:
    net = digits().lower("jax")
    loss = partial(loss_of, net, x=IMAGES, training=False)
    ones = jax.tree.map(jnp.ones_like, net.params)
    _, slope = jax.jvp(loss, (net.params,), (ones,))
    gradient = jax.grad(loss)(net.params)
    assert float(slope) == pytest.approx(sum(float(g.sum()) for g in gradient.values()), rel=1e-4)
    _, curvature = jax.jvp(jax.grad(loss), (net.params,), (ones,))
    assert all(bool(jnp.isfinite(value).all()) for value in curvature.values())


@pytest.mark.parametrize("name", MODELS)
def test_it_exports_with_a_free_batch(name: str) -> None:
    from jax import export

    make, x = MODELS[name]
    net = make().lower("jax")
    shape = export.symbolic_shape("batch, " + ", ".join(map(str, x.shape[1:])))
    infer = jax.jit(lambda x: net.apply(net.params, net.state, x)[0])
    again = export.deserialize(export.export(infer)(jax.ShapeDtypeStruct(shape, x.dtype)).serialize())
    for rows in (x, x[:3]):
        np.testing.assert_allclose(again.call(rows), infer(rows), rtol=1e-4, atol=1e-6)


def test_inputs_of_another_shape_are_refused() -> None:
    net = digits().lower("jax")
    for x in (IMAGES[0], IMAGES[..., :1]):
        with pytest.raises(ShapeError, match=r"Input 'image' is float32\[batch, 8, 8, 2\]; one of shape \("):
            net.apply(net.params, net.state, x)
