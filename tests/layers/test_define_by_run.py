"""Training as ordinary Python in a framework: its autograd, its optimizers, its debugger; no `compile`, no `lower`."""

import gc
import weakref

import numpy as np
import pytest

import unifront as uf
from unifront import layers
from unifront.backends import get_backend, installed
from unifront.errors import ArgumentError, NotBuiltError
from unifront.testing import GRADIENT, assert_close

FRAMEWORKS = [name for name in installed() if name != "numpy"]
RNG = np.random.default_rng(0)
IMAGES = RNG.normal(size=(4, 6, 6, 2)).astype("float32")


def native(name, value):
    return get_backend(name).array(np.asarray(value))


def network():
    return uf.Sequential(
        [
            uf.Input((6, 6, 2)),
            layers.Conv2D(3, 3, activation="tanh"),
            layers.BatchNormalization(),
            layers.Flatten(),
            layers.Dense(2),
        ]
    )


def torch_gradients(model, x, training):
    import torch

    given = torch.from_numpy(x).requires_grad_()
    model(given, training=training).square().sum().backward()
    found = [weight.value.grad.numpy() for weight in model.trainable_weights]
    return found, given.grad.numpy()


def tensorflow_gradients(model, x, training):
    import tensorflow as tf

    given = tf.constant(x)
    with tf.GradientTape() as tape:
        tape.watch(given)
        loss = tf.reduce_sum(tf.square(model(given, training=training)))
    values = [weight.value for weight in model.trainable_weights]
    found, to_input = tape.gradient(loss, [values, given])
    return [gradient.numpy() for gradient in found], to_input.numpy()


def jax_gradients(model, x, training):
    import jax

    values = [weight.value for weight in model.trainable_weights]
    state = [weight.value for weight in model.non_trainable_weights]

    def loss(values, x):
        outputs, new = model.stateless_call(values, state, x, training=training)
        return (outputs**2).sum(), new

    (found, to_input), new = jax.grad(loss, argnums=(0, 1), has_aux=True)(values, jax.numpy.asarray(x))
    for weight, value in zip(model.non_trainable_weights, new, strict=True):
        weight.assign(value)
    return list(map(np.asarray, found)), np.asarray(to_input)


GRADIENTS = {"torch": torch_gradients, "tensorflow": tensorflow_gradients, "jax": jax_gradients}


@pytest.mark.parametrize("training", [False, True])
def test_gradients_by_each_frameworks_own_autograd_agree(training):
    uf.set_seed(0)
    models = {name: network() for name in FRAMEWORKS}
    found = {name: GRADIENTS[name](model, IMAGES, training) for name, model in models.items()}
    judge, judge_to_input = found[FRAMEWORKS[0]]
    assert all(np.abs(gradient).max() > 1e-9 for gradient in judge)
    for name in FRAMEWORKS[1:]:
        for one, other in zip(found[name][0], judge, strict=True):
            assert np.abs(one - other).max() <= 1e-4 * max(1e-2, np.abs(other).max()), name
        assert_close(found[name][1], judge_to_input, bounds=GRADIENT)
        for one, other in zip(models[name].weights, models[FRAMEWORKS[0]].weights, strict=True):
            assert_close(one.numpy(), other.numpy())  # batch norm's statistics moved alike
    statistics = models[FRAMEWORKS[0]].non_trainable_weights
    assert (np.abs(statistics[0].numpy()).max() > 0) == training


def losses_of_torch(layer, x, steps):
    import torch

    layer(torch.from_numpy(x))  # makes the weights
    optimizer = torch.optim.SGD([weight.value for weight in layer.trainable_weights], 0.1)
    for _ in range(steps):
        optimizer.zero_grad()
        loss = layer(torch.from_numpy(x), training=True).square().mean()
        loss.backward()
        optimizer.step()
        yield float(loss.detach())


def losses_of_tensorflow(layer, x, steps):
    import tensorflow as tf

    for _ in range(steps):
        with tf.GradientTape() as tape:
            loss = tf.reduce_mean(tf.square(layer(tf.constant(x), training=True)))
        values = [weight.value for weight in layer.trainable_weights]
        for value, gradient in zip(values, tape.gradient(loss, values), strict=True):
            value.assign_sub(0.1 * gradient)
        yield float(loss)


def losses_of_jax(layer, x, steps):
    import jax

    layer(jax.numpy.asarray(x))
    params = [weight.value for weight in layer.trainable_weights]

    @jax.jit
    @jax.value_and_grad
    def loss_of(params):
        return (layer.stateless_call(params, [], x, training=True)[0] ** 2).mean()

    for _ in range(steps):
        loss, gradients = loss_of(params)
        params = [param - 0.1 * gradient for param, gradient in zip(params, gradients, strict=True)]
        yield float(loss)
    for weight, param in zip(layer.trainable_weights, params, strict=True):
        weight.assign(param)


LOSSES = {"torch": losses_of_torch, "tensorflow": losses_of_tensorflow, "jax": losses_of_jax}


def test_loops_in_each_framework_give_the_same_weights():
    x = RNG.normal(size=(8, 4)).astype("float32")
    trained = {}
    for name in FRAMEWORKS:
        uf.set_seed(0)
        layer = layers.Dense(3, name="dense")
        losses = list(LOSSES[name](layer, x, 5))
        assert losses[-1] < losses[0]
        assert layer.kernel.home == f"{name}:{get_backend(name).devices()[0]}"  # and never left it
        trained[name] = [losses, *(weight.numpy() for weight in layer.weights)]
    for name in FRAMEWORKS[1:]:
        for one, other in zip(trained[name], trained[FRAMEWORKS[0]], strict=True):
            assert_close(np.asarray(one, "float32"), np.asarray(other, "float32"))


@pytest.mark.parametrize("name", [name for name in FRAMEWORKS if name != "jax"])
def test_a_leaf_stays_the_same_object_through_fits_moves_and_assignments(name):
    x, y = RNG.normal(size=(2, 4, 3)).astype("float32")
    model = uf.Sequential([uf.Input((3,)), layers.BatchNormalization(), layers.Dense(3)])
    model(native(name, x))
    held = [weight.value for weight in model.weights]
    model.compile("adam", "mse")

    def same():
        model(native(name, x))
        for weight, leaf in zip(model.weights, held, strict=True):
            assert weight.value is leaf
            assert_close(get_backend(name).numpy(leaf), weight.numpy())

    before = model.get_weights()
    for other in (name, *(other for other in FRAMEWORKS if other != name)):
        model.fit(x, y, backend=other, verbose=0)
        same()
    assert not np.allclose(model.get_weights()[-2], before[-2])
    model.set_weights(before)
    same()
    model.predict(x, backend=name)
    same()


def test_a_leaf_that_nobody_holds_is_dropped():
    torch = pytest.importorskip("torch")
    layer = layers.Dense(2)
    layer(torch.ones(1, 3))
    leaf = weakref.ref(layer.kernel.value)
    layer.kernel.native("numpy")
    gc.collect()
    assert leaf() is None


def test_what_a_native_optimizer_did_is_seen_by_programs():
    torch = pytest.importorskip("torch")
    model = uf.Sequential([uf.Input((3,)), layers.Dense(2)])
    model(torch.ones(1, 3))
    for _ in range(2):
        with torch.no_grad():
            for weight in model.weights:
                weight.value.fill_(2.0)
        assert_close(
            model.predict(np.ones((1, 3), "float32"), backend="torch"), np.full((1, 2), 8, "float32")
        )
        with torch.no_grad():
            model.weights[1].value.fill_(0.0)
        assert_close(
            model.predict(np.ones((1, 3), "float32"), backend="torch"), np.full((1, 2), 6, "float32")
        )


def test_freezing_a_layer_stops_its_gradients():
    torch = pytest.importorskip("torch")
    layer = layers.Dense(2)
    layer(torch.ones(1, 3))
    assert layer.kernel.value.requires_grad
    layer.trainable = False
    assert not layer(torch.ones(1, 3)).requires_grad
    layer.trainable = True
    assert layer(torch.ones(1, 3)).requires_grad


def test_weights_made_in_inference_mode_train_later():
    torch = pytest.importorskip("torch")
    layer = layers.Dense(2)
    with torch.inference_mode():
        layer(torch.ones(1, 3))
    layer(torch.ones(1, 3)).sum().backward()
    assert_close(layer.kernel.value.grad.numpy(), np.ones((3, 2), "float32"))


def test_a_layer_is_built_inside_jit_and_tf_function():
    jax = pytest.importorskip("jax")
    tf = pytest.importorskip("tensorflow")
    x = np.ones((2, 3), "float32")
    for call in (jax.jit, lambda f: tf.function(f, autograph=False)):
        layer = layers.Dense(2)
        result = np.asarray(call(lambda x, layer=layer: layer(x))(x))
        assert_close(result, x @ layer.kernel.numpy())
        assert_close(np.asarray(layer(x)), result)


def test_statistics_move_inside_tf_function():
    tf = pytest.importorskip("tensorflow")
    layer, again = (layers.BatchNormalization(momentum=0.5) for _ in range(2))
    x = tf.constant([[1.0], [3.0]])
    function = tf.function(lambda x: layer(x, training=True), autograph=False)
    for _ in range(3):
        function(x)
        again(x, training=True)
        assert_close(layer.moving_mean.numpy(), again.moving_mean.numpy())
    assert_close(layer.moving_mean.numpy(), np.float32([1.75]))


def test_tf_function_of_a_model_warns_of_nothing(caplog):
    tf = pytest.importorskip("tensorflow")
    tf.get_logger().propagate = True
    model = network()
    assert tf.function(model)(tf.constant(IMAGES)).shape == (4, 2)
    assert tf.function(lambda x: uf.ops.softmax(model(x)) + uf.ops.mean(x))(tf.constant(IMAGES)).shape == (
        4,
        2,
    )
    assert not caplog.records


def test_a_traced_value_is_no_weights_value():
    jax = pytest.importorskip("jax")
    layer = layers.BatchNormalization()
    message = "batch_norm.*: A layer's weight would take a value that JAX is tracing.*layer.stateless_call"
    with pytest.raises(ArgumentError, match=message):
        jax.jit(lambda x: layer(x, training=True))(np.ones((2, 3), "float32"))
    assert_close(layer.moving_mean.numpy(), np.zeros(3, "float32"))


def test_a_jax_array_that_was_given_out_survives_training():
    jax = pytest.importorskip("jax")
    x = np.ones((4, 3), "float32")
    model = uf.Sequential([uf.Input((3,)), layers.Dense(2)])
    model(jax.numpy.asarray(x))
    held = [weight.value for weight in model.weights]
    before = [np.asarray(value) for value in held]
    model.compile("sgd", "mse")
    model.fit(x, x[:, :2], backend="jax", verbose=0)  # it donates what it is given
    for value, number in zip(held, before, strict=True):
        assert_close(np.asarray(value), number)
    given = jax.numpy.ones((3, 2))
    model.weights[0].assign(given)
    model.fit(x, x[:, :2], backend="jax", verbose=0)
    assert_close(np.asarray(given), np.ones((3, 2), "float32"))


@pytest.mark.parametrize("name", FRAMEWORKS)
def test_a_stateless_call_leaves_the_layer_as_it_is(name):
    layer = layers.BatchNormalization()
    x = native(name, np.float32([[1], [3]]))
    layer(x)
    before = layer.get_weights()
    params = [native(name, np.float32([2])), native(name, np.float32([1]))]
    state = [native(name, np.float32([0])), native(name, np.float32([1]))]
    outputs, new = layer.stateless_call(params, state, x, training=True)
    assert_close(get_backend(name).numpy(outputs), np.float32([[-1], [3]]), bounds={"float32": 1e-3})
    assert_close(get_backend(name).numpy(new[0]), np.float32([0.02]))
    for one, other in zip(layer.get_weights(), before, strict=True):
        assert_close(one, other)


def test_keys_of_a_stateless_call_are_data():
    jax = pytest.importorskip("jax")
    layer = layers.Dropout(0.5)
    call = jax.jit(lambda x, key: layer.stateless_call([], [], x, training=True, key=key)[0])
    x = np.ones(64, "float32")
    one, again, other = (np.asarray(call(x, jax.random.key(seed))) for seed in (0, 0, 1))
    assert_close(one, again)
    assert not np.array_equal(one, other)


def test_what_a_stateless_call_refuses():
    layer = layers.Dense(2, name="dense")
    with pytest.raises(NotBuiltError, match="dense had no weights before this call"):
        layer.stateless_call([], [], np.ones((1, 3)))
    layer(np.ones((1, 3), "float32"))
    with pytest.raises(ArgumentError, match="dense has 2 trainable weights; 1 values were given"):
        layer.stateless_call([np.ones((3, 2))], [], np.ones((1, 3)))
