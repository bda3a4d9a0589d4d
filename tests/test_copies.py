"""Models, layers, weights, graphs and operations are copied and pickled, before their use and after it."""

import copy
import pickle
import subprocess
import sys
from threading import Barrier, Thread

import numpy as np
import pytest

import unifront as uf
from unifront import layers, ops
from unifront.backends import installed
from unifront.dtypes import ALL
from unifront.errors import UnknownName
from unifront.ir.dims import symbol
from unifront.opset.spec import OPS
from unifront.testing import assert_close
from unifront.weights import Variable

FRAMEWORKS = [name for name in installed() if name != "numpy"]
COPIES = {"deepcopy": copy.deepcopy, "pickle": lambda thing: pickle.loads(pickle.dumps(thing))}
X = np.random.default_rng(0).normal(size=(8, 5, 4)).astype("float32")
Y = X.sum(axis=(1, 2))[:, None]


@pytest.fixture(params=COPIES.values(), ids=COPIES)
def copied(request):
    return request.param


def functional():
    steps = uf.Input((None, 4), name="steps")
    x = ops.concatenate([layers.Dense(3)(steps), ops.tanh(steps)], axis=-1)
    x = layers.BatchNormalization()(layers.Dense(4, activation="relu", kernel_regularizer="l2")(x))
    return uf.Model(steps, layers.Dense(1)(layers.GlobalAveragePooling1D()(x) * 2), name="functional")


class Own(uf.Model):
    def __init__(self):
        super().__init__()
        self.blocks = [layers.Dense(4), layers.Dense(1)]

    def call(self, x):
        return ops.mean(self.blocks[1](ops.relu(self.blocks[0](x))), axis=1)


def sequential():
    nested = uf.Sequential([layers.Dense(3), layers.Dropout(0.0)])
    return uf.Sequential([nested, layers.Flatten(), layers.Dense(1)])


MODELS = {"functional": functional, "own": Own, "sequential": sequential}


@pytest.mark.parametrize("make", MODELS.values(), ids=MODELS)
@pytest.mark.parametrize("name", installed())
def test_a_model_after_its_use(name, make, copied):
    model = make()
    expected = model.predict(X, backend=name)
    other = copied(model)
    assert_close(other.predict(X, backend=name), expected)
    assert [w.path for w in other.weights] == [w.path for w in model.weights]
    assert not {id(layer) for layer in model.layers_below()} & {id(layer) for layer in other.layers_below()}
    other.set_weights([value * 0 for value in other.get_weights()])
    assert_close(model.predict(X, backend=name), expected)
    assert_close(other(X), np.zeros((8, 1), "float32"))


@pytest.mark.parametrize("name", FRAMEWORKS)
def test_a_copy_goes_on_training_with_the_same_moments(name, copied):
    uf.set_seed(0)
    model = functional()
    model.compile("adam", "mse", metrics=["mae"])
    options = {"batch_size": 4, "shuffle": False, "verbose": 0, "backend": name}
    model.fit(X, Y, **options)
    other = copied(model)
    losses = [one.fit(X, Y, epochs=2, **options).history["loss"] for one in (model, other)]
    assert losses[0] == losses[1]
    assert other.optimizer.iterations == model.optimizer.iterations == 6
    for one, twin in zip(model.get_weights(), other.get_weights(), strict=True):
        assert_close(one, twin)
    other.fit(X, Y, **options)
    assert model.optimizer.iterations == 6


@pytest.mark.parametrize("name", installed())
def test_a_layer_after_its_use(name, copied):
    layer = layers.Dense(2, kernel_initializer=layers.initializers.HeNormal())
    with uf.backend(name):
        layer(X[0])
    other = copied(layer)
    assert other.kernel.owners == (other,)
    assert other.kernel.home == "host"
    assert_close(np.asarray(other(X[0])), layer(X[0]))


def test_a_layer_before_its_use(copied):
    for layer in (layers.LSTM(2), layers.Bidirectional(layers.GRU(1)), layers.Dense(2, activation="gelu")):
        again = copied(layer)
        assert not again.built
        assert again(X).shape[-1] == 2
    table = np.eye(3, dtype="float32")
    assert_close(copied(layers.Embedding(3, 3, weights=table))(np.arange(3)), table)


def test_what_several_layers_share_stays_shared(copied):
    shared = layers.Dense(2)
    one, other = copied([uf.Sequential([uf.Input((4,)), shared]), uf.Sequential([uf.Input((4,)), shared])])
    assert one.layers[0] is other.layers[0]


def test_freezing_reaches_the_layers_of_a_copy(copied):
    model = functional()
    model.trainable = False
    model.layers[-1].trainable = True
    other = copied(model)
    assert [w.path for w in other.layers[-1].trainable_weights] == ["dense_2/kernel", "dense_2/bias"]
    assert not other.trainable_weights
    other.trainable = True
    assert len(other.trainable_weights) > len(other.layers[-1].weights)


def test_depth_is_no_matter(copied):
    x = start = uf.Input((4,))
    for _ in range(400):
        x = ops.add(x, 1)
    assert_close(copied(uf.Model(start, x))(X[0]), X[0] + 400)


def test_a_loaded_model(copied, tmp_path):
    model = functional()
    model.compile("adam", "mse")
    model.fit(X, Y, verbose=0, backend=FRAMEWORKS[0])
    model.save(tmp_path / "model.uf")
    loaded = uf.load(tmp_path / "model.uf")
    other = copied(loaded)
    assert_close(other.predict(X, backend="numpy"), loaded.predict(X, backend="numpy"))
    histories = [
        one.fit(X, Y, verbose=0, shuffle=False, backend=FRAMEWORKS[0]).history for one in (loaded, other)
    ]
    assert histories[0] == histories[1]


def test_operations_and_dtypes_are_themselves(copied):
    for thing in (*OPS.values(), *ALL):
        assert copied(thing) is thing
    assert copy.copy(OPS["add"]) is OPS["add"]


def test_an_operation_that_is_not_there_is_named():
    text = pickle.dumps(OPS["add"]).replace(b"\x03add", b"\x03adx")
    with pytest.raises(UnknownName, match="operation.*adx"):
        pickle.loads(text)


def test_graphs_and_dimensions(copied):
    graph = functional().graph(training=True)
    assert copied(graph) == graph
    assert str(copied(graph)) == str(graph)
    other = copied(graph)
    assert {id(value) for value in other.outputs} <= {id(value) for value in other.values()}
    size = (symbol("time") * 2 + 1) // 3
    assert copied(size) == size


def test_a_weight_that_was_never_used_has_the_same_first_value(copied):
    made = []
    weight = Variable.at("w", (2,), initial=lambda: made.append(1) or np.ones(2))
    assert_close(copied(weight).numpy(), np.ones(2, "float32"))
    assert made == [1]


def test_a_pickle_is_read_by_another_process(tmp_path):
    model = functional()
    expected = model.predict(X, backend="numpy")
    (tmp_path / "model.pickle").write_bytes(pickle.dumps((model, X)))
    code = (
        "import pickle, sys; model, x = pickle.load(open(sys.argv[1], 'rb')); "
        "print(repr(model.predict(x, backend='numpy').tolist()))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, tmp_path / "model.pickle"], capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    assert_close(np.float32(eval(done.stdout)), expected)


@pytest.fixture
def quick_switches():
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    yield
    sys.setswitchinterval(before)


@pytest.mark.parametrize("make", MODELS.values(), ids=MODELS)
@pytest.mark.parametrize("call", ["eager", "predict"])
def test_threads_that_use_a_model_first_all_at_once(make, call, quick_switches):
    for attempt in range(3):
        uf.set_seed(attempt)
        model, barrier, results = make(), Barrier(4), []

        def run(model=model, barrier=barrier, results=results):
            barrier.wait()
            try:
                results.append(model(X) if call == "eager" else model.predict(X, backend="numpy"))
            except Exception as error:  # noqa: BLE001  # seen below
                results.append(error)

        threads = [Thread(target=run) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(60)
        assert len(results) == 4
        uf.set_seed(attempt)
        twin = make()
        for result in results:
            assert not isinstance(result, Exception), result
            assert_close(result, twin(X))
        assert [w.path for w in model.weights] == [w.path for w in twin.weights]


@pytest.mark.parametrize("way", COPIES)
@pytest.mark.parametrize(
    "function",
    [
        lambda x: ops.reshape(x, (-1, 1, 3)), lambda x: x[:, 0], lambda x: ops.tile(x, (1, 2)), lambda x: x[..., None],
        lambda x: ops.stack([x, x]), lambda x: ops.pad(x, ((0, 0), (1, 1))), lambda x: ops.repeat(x, 2, 1),
        lambda x: ops.cumsum(x, 1), lambda x: ops.one_hot(ops.cast(x, "int32"), 3), lambda x: ops.flip(x),
    ],
)  # fmt: skip
def test_functions_between_layers_are_copied(way, function):
    image = uf.Input((3,))
    model = uf.Model(image, function(image))
    x = np.arange(6, dtype="float32").reshape(2, 3)
    np.testing.assert_array_equal(COPIES[way](model).predict(x, verbose=0), model.predict(x, verbose=0))
