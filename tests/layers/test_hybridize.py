"""`hybridize` and `uf.jit`: compiled calls that are eager calls in all else: numbers, gradients, state, errors."""

import copy
import inspect
import pickle
import threading

import numpy as np
import pytest

import unifront as uf
from unifront import layers, ops
from unifront.backends import get_backend, installed
from unifront.errors import ArgumentError
from unifront.testing import GRADIENT, assert_close

FRAMEWORKS = [name for name in installed() if name != "numpy"]
each = pytest.mark.parametrize("backend", FRAMEWORKS)
RNG = np.random.default_rng(0)
IMAGES = RNG.normal(size=(4, 6, 6, 2)).astype("float32")


def native(backend, value):
    return get_backend(backend).array(np.asarray(value))


def numpy(array):
    return uf.backends.backend_of(array).numpy(array)


class Net(uf.Layer):
    """Plain Python around layers; ``traced`` counts how often it ran."""

    def __init__(self):
        super().__init__()
        self.convolution = layers.Conv2D(3, 3, activation="tanh")
        self.norm = layers.BatchNormalization()
        self.dense = [layers.Dense(4, activation="relu"), layers.Dense(2)]
        self.runs = 0

    def call(self, x, scale=1.0):
        vars(self)["runs"] += 1
        y = layers_of_python(self.norm(self.convolution(x)))
        for layer in self.dense:
            y = layer(y)
        return {"y": y * scale, "size": y.shape[-1]}


def layers_of_python(y):
    return ops.reshape(y, (y.shape[0], -1)) if y.shape[1] > 1 else y


def pair():
    """A network, and a hybridized copy of it."""
    uf.set_seed(0)
    net = Net()
    net(IMAGES)
    other = copy.deepcopy(net)
    vars(net)["runs"] = vars(other)["runs"] = 0
    return net, other.hybridize()


def torch_gradients(call, net, x):
    given = native("torch", x).requires_grad_()
    call(given).square().sum().backward()
    return [given.grad, *(w.value.grad for w in net.trainable_weights)]


def tensorflow_gradients(call, net, x):
    import tensorflow as tf

    given = native("tensorflow", x)
    with tf.GradientTape() as tape:
        tape.watch(given)
        loss = tf.reduce_sum(tf.square(call(given)))
    return tape.gradient(loss, [given, *(w.value for w in net.trainable_weights)])


def jax_gradients(call, net, x):
    import jax

    def loss(x, params):
        values = {id(w): value for w, value in zip(net.trainable_weights, params, strict=True)}
        with uf.weights.overlaid(uf.weights.Overlay(values)):
            return (call(x) ** 2).sum()

    params = [w.value for w in net.trainable_weights]
    to_input, found = jax.jit(jax.grad(loss, argnums=(0, 1)))(native("jax", x), params)
    return [to_input, *found]


GRADIENTS = {"torch": torch_gradients, "tensorflow": tensorflow_gradients, "jax": jax_gradients}


@each
@pytest.mark.parametrize("way", ["hybridize", "jit"])
def test_a_frameworks_own_gradient_passes(backend, way):
    eager, hybrid = pair()
    expected = GRADIENTS[backend](lambda x: eager(x)["y"], eager, IMAGES)
    if way == "jit":
        hybrid.hybridize(active=False)
    call = (lambda x: hybrid(x)["y"]) if way == "hybridize" else uf.jit(lambda x: hybrid(x)["y"])
    found = GRADIENTS[backend](call, hybrid, IMAGES)
    assert len(found) == 9
    for one, other in zip(found, expected, strict=True):
        assert_close(numpy(one), numpy(other), bounds=GRADIENT)


@each
def test_the_numbers_and_the_statistics_are_those_of_eager_calls(backend):
    eager, hybrid = pair()
    x = native(backend, IMAGES)
    for training in (True, True, False):
        one, other = (net(x, training=training) for net in (hybrid, eager))
        assert one["size"] == other["size"] == 2
        assert_close(numpy(one["y"]), numpy(other["y"]), bounds=GRADIENT)
        for weight, expected in zip(hybrid.weights, eager.weights, strict=True):
            assert_close(weight.numpy(), expected.numpy(), bounds=GRADIENT)
    assert (eager.runs, hybrid.runs) == (3, 2)  # one program for training and one for inference


def test_numpy_runs_it_too():
    eager, hybrid = pair()
    with uf.backend("numpy"):
        assert isinstance(hybrid(IMAGES)["y"], np.ndarray)
        assert_close(hybrid(IMAGES)["y"], eager(IMAGES)["y"], bounds=GRADIENT)
    assert hybrid.runs == 1


@each
def test_there_is_a_program_for_each_signature(backend):
    _, net = pair()
    x = native(backend, IMAGES)
    for _ in range(2):
        for arguments, kwargs in (((x,), {}), ((x[:2],), {}), ((x, 2.0), {}), ((x,), {"scale": 3.0})):
            assert net(*arguments, **kwargs)["y"].shape == (len(arguments[0]), 2)
    assert net.runs == 4
    net.norm.trainable = False  # it is another computation then
    net(x)
    assert net.runs == 5
    net.hybridize()
    net(x)
    assert net.runs == 6
    net.hybridize(active=False)
    net(x), net(x)
    assert net.runs == 8


@each
def test_layers_inside_run_in_the_program_of_the_one_that_is_called(backend):
    _, net = pair()
    x = native(backend, IMAGES)
    net(x)
    assert [len(layer._hybrid.programs) for layer in net.layers_below()] == [1, 0, 0, 0, 0]
    net.convolution(x)
    assert [len(layer._hybrid.programs) for layer in net.layers_below()] == [1, 1, 0, 0, 0]


@each
def test_random_numbers_are_those_of_eager_calls_and_others_at_each(backend):
    class Noisy(uf.Layer):
        def __init__(self):
            super().__init__()
            self.drop, self.seeded = layers.Dropout(0.5), layers.Dropout(0.5, seed=7)

        def call(self, x):
            return ops.stack([self.drop(x), self.seeded(x)])

    x, found = native(backend, np.ones((4, 16), np.float32)), []
    for net in (Noisy(), Noisy().hybridize()):
        uf.set_seed(3)
        found.append([numpy(net(x, training=True)) for _ in range(3)])
    np.testing.assert_array_equal(found[0], found[1])
    assert not np.array_equal(found[1][0], found[1][1])


@each
def test_masks_and_losses_travel(backend):
    class Tagger(uf.Layer):
        def __init__(self, hybrid):
            super().__init__()
            self.words = layers.Embedding(5, 3, mask_zero=True)
            self.cells = layers.LSTM(2, return_sequences=True, activity_regularizer=uf.regularizers.L2(0.1))
            self.top = layers.LSTM(2)
            if hybrid:
                for layer in (self.words, self.cells, self.top):
                    layer.hybridize()

        def call(self, x):
            return self.top(self.cells(self.words(x)))

    tokens = native(backend, np.array([[1, 2, 0, 0], [3, 0, 0, 0]], np.int32))
    nets = []
    for hybrid in (False, True):
        uf.set_seed(0)
        nets.append(Tagger(hybrid))
        nets[-1](tokens)
    results = [net.stateless_call(*values(net), tokens, return_losses=True) for net in nets]
    for one, other in zip(
        *((numpy(outputs), *map(numpy, losses)) for outputs, _, losses in results), strict=True
    ):
        assert_close(one, other, bounds=GRADIENT)
    assert len(results[1][2]) == 1
    assert len(nets[1].cells._hybrid.programs) == 1


def values(net):
    return [w.value for w in net.trainable_weights], [w.value for w in net.non_trainable_weights]


@each
def test_unifronts_own_gradient_passes_and_nests(backend):
    layer = layers.Dense(1, activation="tanh")
    x = native(backend, RNG.normal(size=(3, 2)))
    layer(x)

    def penalty(x):
        value, slope = uf.value_and_grad(lambda x: ops.sum(ops.square(layer(x))), wrt=0)(x)
        return value + ops.sum(ops.square(slope))

    expected = uf.value_and_grad(lambda: penalty(x), wrt=layer)()
    layer.hybridize()
    found = uf.value_and_grad(lambda: penalty(x), wrt=layer)()
    for one, other in zip([found[0], *found[1]], [expected[0], *expected[1]], strict=True):
        assert_close(numpy(one), numpy(other), bounds=GRADIENT)


@each
def test_it_trains_in_a_loop_of_its_own_as_eager_calls_do(backend):
    x = native(backend, IMAGES)

    def trained(net):
        optimizer = uf.optimizers.SGD(0.1)
        step = uf.value_and_grad(lambda: ops.mean(ops.square(net(x, training=True)["y"])), wrt=net)
        with uf.backend(backend):  # the arrays are no arguments of what is differentiated
            for _ in range(3):
                optimizer.apply(step()[1], net.trainable_weights)
        return net.get_weights()

    for one, other in zip(*map(trained, pair()), strict=True):
        assert_close(one, other, bounds=GRADIENT)


def test_a_model_is_hybridized_with_all_inside_and_fit_takes_no_notice():
    uf.set_seed(0)
    model = uf.Sequential([uf.Input((3,)), layers.Dense(4, activation="relu"), layers.Dense(2)])
    x = RNG.normal(size=(8, 3)).astype("float32")
    expected = model(x)
    assert model.hybridize() is model
    assert_close(model(x), expected, bounds=GRADIENT)
    model.compile("sgd", "mse")
    model.fit(x, np.zeros((8, 2), "float32"), verbose=0)
    assert not np.allclose(model(x), expected)


def test_copies_are_hybridized_and_have_programs_of_their_own():
    layer = layers.Dense(2).hybridize()
    expected = layer(np.ones((1, 3), np.float32))
    for other in (copy.deepcopy(layer), pickle.loads(pickle.dumps(layer))):
        assert other._hybrid is not None
        assert not other._hybrid.programs
        np.testing.assert_array_equal(other(np.ones((1, 3), np.float32)), expected)
    assert len(layer._hybrid.programs) == 1


@each
def test_threads_share_programs(backend):
    eager, net = pair()
    x = native(backend, IMAGES)
    expected, found = numpy(eager(x)["y"]), []

    def work():
        found.extend(numpy(net(x)["y"]) for _ in range(5))

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(found) == 20
    assert net.runs == 1
    for one in found:
        assert_close(one, expected, bounds=GRADIENT)


def truth(x):
    return x if ops.sum(x) > 0 else -x


def length(x):
    return x * len(x)


def iteration(x):
    return [row + 1 for row in x]


def index(x):
    return [x for _ in range(ops.argmax(x[0]))]


def number(x):
    return x * float(x[0, 0])


def whole(x):
    return x * int(x[0, 0])


def array(x):
    return np.asarray(x)


def item(x):
    return x * x[0, 0].item()


VALUES = {
    truth: r"has no truth value .*uf\.ops\.cond or uf\.ops\.while_loop",
    length: r"has no length .*Use its shape",
    iteration: r"cannot be iterated .*uf\.ops\.scan",
    index: r"is no number that Python knows .*uf\.ops\.cond, uf\.ops\.while_loop or uf\.ops\.scan",
    number: "is no number that Python knows",
    whole: "is no number that Python knows",
    array: "does not take symbolic tensors",
    item: "is no number that Python knows",
}


@pytest.mark.parametrize("function", VALUES, ids=lambda function: function.__name__)
@pytest.mark.parametrize("way", ["hybridize", "jit"])
def test_what_depends_on_a_value_is_refused_with_the_line(function, way):
    class Layer(uf.Layer):
        def call(self, x):
            return function(x)

    called = Layer().hybridize() if way == "hybridize" else uf.jit(function)
    lines, start = inspect.getsourcelines(function)
    with pytest.raises(ArgumentError, match=VALUES[function]) as caught:
        called(np.ones((2, 3), np.float32))
    assert f"test_hybridize.py:{start + 1}" in str(caught.value)
    if function is not array:
        assert f"`{lines[1].strip()}`" in str(caught.value)


@each
def test_arrays_of_several_frameworks_are_refused(backend):
    other = next((name for name in FRAMEWORKS if name != backend), None)
    if other is None:
        pytest.skip("one framework is installed")
    net = layers.Add().hybridize()
    with pytest.raises(ArgumentError, match="meet in one"):
        net([native(backend, IMAGES), native(other, IMAGES)])


@each
def test_what_a_jitted_function_updates_is_updated(backend):
    count = uf.Variable.at("count", (), "float32", initial=np.zeros(()), trainable=False)

    @uf.jit
    def counted(x):
        count.assign_add(1.0)
        return x * count

    x = native(backend, np.ones(2, np.float32))
    assert [float(numpy(counted(x))[0]) for _ in range(3)] == [1.0, 2.0, 3.0]
    assert float(count.numpy()) == 3.0
