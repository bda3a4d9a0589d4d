"""Operations on native arrays: which dtype and backend they give, and what they refuse."""

import numpy as np
import pytest

import unifront as uf
from unifront import ops
from unifront.backends import get_backend, installed, use_backend
from unifront.dtypes import dtype_of
from unifront.errors import ArgumentError, DTypeError, ShapeError
from unifront.opset import at_home
from unifront.opset.spec import OPS as ops_by_name
from unifront.opset.tensor import bind, type_of
from unifront.testing import assert_close
from unifront.weights import Variable

FRAMEWORKS = [name for name in installed() if name != "numpy"]
PAIRS = [(a, b) for a in FRAMEWORKS for b in FRAMEWORKS if a < b]


def native(name, value, dtype="float32"):
    return get_backend(name).array(np.asarray(value, dtype_of(dtype).numpy))


# Beside an array of the first dtype stands the second operand.
PROMOTED = [
    ("float32", 2, "float32"),
    ("float16", 2.5, "float16"),
    ("bfloat16", 2.5, "bfloat16"),
    ("float16", True, "float16"),
    ("int32", 2.5, "float32"),
    ("uint8", 3, "uint8"),
    ("bool", 1, "int32"),
    ("float32", [1.5, 2], "float32"),
    ("float16", np.float32([1, 2]), "float32"),
    ("float32", np.float64([1, 2]), "float64"),
    ("float16", np.int64([1, 2]), "float16"),
    ("float32", np.float16(3), "float32"),
]


@pytest.mark.parametrize("name", installed())
@pytest.mark.parametrize(("dtype", "other", "expected"), PROMOTED, ids=str)
def test_dtypes_meet_as_in_the_table(name, dtype, other, expected):
    x = native(name, [1, 0], dtype)
    for result in (ops.add(x, other), ops.where([True, False], other, x), ops.stack([x, ops.add(x, other)])):
        assert type_of(result).dtype.name == expected
        assert get_backend(name).type_of(result).dtype.name == expected  # it stays where the array was


def test_numbers_and_lists_alone_are_numpy():
    for result, dtype in (
        (ops.add(1, 2), "int32"),
        (ops.exp(1), "float32"),
        (ops.abs(-3), "int32"),
        (ops.negative([1.5, 2.0]), "float32"),
        (ops.cast([1.5, 2.0], "float32"), "float32"),
    ):
        assert isinstance(result, np.ndarray)
        assert result.dtype == dtype


@pytest.mark.parametrize(("one", "other"), PAIRS)
def test_arrays_of_two_backends_are_refused(one, other):
    x, y = native(one, [1.0, 2.0]), native(other, [1.0, 2.0])
    message = f"arrays of {one} and {other} meet in one operation"
    for call in (
        lambda: ops.add(x, y),
        lambda: ops.where(ops.greater(x, 1), y, 0),
        lambda: ops.concatenate([y, x]),
        lambda: ops.dense(x, ops.stack([y, y])),
    ):
        with pytest.raises(ArgumentError, match=message):
            call()


@pytest.mark.parametrize(("one", "other"), PAIRS)
def test_the_layer_in_which_they_meet_is_named(one, other):
    class Outer(uf.Layer):
        def call(self, x):
            return ops.add(x, native(other, [1.0, 2.0]))

    with pytest.raises(ArgumentError, match=f"sums: add: arrays of {one} and {other} meet"):
        Outer(name="sums")(native(one, [[1.0, 2.0]]))


class Scale(uf.Layer):
    """Its weight meets no operand before it meets numbers."""

    def build(self, shape):
        self.scale = self.add_weight((shape[-1],), "ones", name="scale")

    def call(self, x):
        return ops.multiply(x, ops.add(ops.exp(self.scale * 0.0), [1.0, 2.0]))


@pytest.mark.parametrize("name", installed())
def test_weights_are_where_the_input_is(name):
    layer = Scale()
    with uf.backend(name):  # NumPy's arrays are the default backend's in a layer
        result = layer(native(name, [[1.0, 2.0]]))
    assert_close(get_backend(name).numpy(result), np.float32([[2, 6]]))
    assert layer.scale.home.startswith(name)


@pytest.mark.parametrize("name", installed())
def test_weights_by_themselves_are_on_the_default_backend(name):
    weight = Variable.at("w", (2,), initial=np.ones(2, "float32"))
    with uf.backend(name):
        for result in (ops.exp(weight), weight * 2, ops.add(weight, [1, 2])):
            assert get_backend(name).type_of(result).shape == (2,)
            assert weight.home.startswith(name)


def test_gradients_flow_through_arithmetic_of_weights():
    torch = pytest.importorskip("torch")
    layer = Scale()
    layer(torch.ones(1, 2))
    value = layer.scale.native("torch").requires_grad_()
    layer(torch.ones(1, 2)).sum().backward()
    assert value.grad is not None


def test_classes_derived_from_a_frameworks_are_its_own():
    torch = pytest.importorskip("torch")

    class Image(torch.Tensor):
        pass

    image = torch.ones(2).as_subclass(Image)
    assert isinstance(ops.exp(image), torch.Tensor)


X = np.ones((2, 3), "float32")


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: ops.add(X, "one"), DTypeError, "Operations take tensors, arrays and numbers, not 'one'"),
        (lambda: ops.add(X, None), DTypeError, "not None"),
        (lambda: ops.exp(1j), DTypeError, "exp: the operand is complex64; a float is needed"),
        (lambda: ops.exp([[1, 2], [3]]), DTypeError, r"not \[\[1, 2\], \[3\]\]"),
        (lambda: ops.exp(2**40), ArgumentError, "1099511627776 does not fit int32, as which Python's ints"),
        (lambda: ops.exp([1, -(2**40)]), ArgumentError, "-1099511627776 does not fit int32"),
        (
            lambda: ops.add(np.uint8([1]), 300),
            ArgumentError,
            "300 does not fit uint8, the dtype of the other",
        ),
        (lambda: ops.equal(np.uint8([1]), -1), ArgumentError, "-1 does not fit uint8"),
        (lambda: ops.add(uf.random_key(1), 1.0), DTypeError, "A random key takes no part in arithmetic"),
        (lambda: ops.sum(X, axis=1.0), ArgumentError, r"sum: axis is an int or a list, not 1\.0"),
        (lambda: ops.sum(X, axis=True), ArgumentError, "sum: axis is an int or a list, not True"),
        (
            lambda: ops.repeat(X, 1.5),
            ArgumentError,
            r"repeat: the number of repeats is an int from 0 up, not 1\.5",
        ),
        (lambda: ops.top_k(X, -1), ArgumentError, "top_k: k is an int from 0 up, not -1"),
        (lambda: ops.arange(0, 3, 0), ArgumentError, "the step is not 0"),
        (lambda: ops.full((2,), -1, "uint8"), ArgumentError, "-1 is no number that fits uint8"),
        (lambda: ops.pad(X, 1.5), ArgumentError, r"pad: pad_width is an int or a list, not 1\.5"),
        (lambda: ops.pad(X, ((1,), (2, 3))), ArgumentError, "pad_width is an int, a pair"),
        (lambda: ops.moveaxis(X, [0, 1], 0), ShapeError, "do not go to the places 0 one by one"),
        (lambda: ops.reshape(np.ones((0, 3)), (0, -1)), ShapeError, "do not divide into"),
        (lambda: ops.cond(X > 0, lambda: 1, lambda: 2), DTypeError, "a boolean scalar is needed"),
        (
            lambda: ops.random_uniform(uf.random_key(1), (2, 1.5)),
            ArgumentError,
            "each entry an int or a named dimension",
        ),
    ],
)
def test_what_is_refused(call, error, message):
    with pytest.raises(error, match=message):
        call()


def test_ints_of_numpy_are_ints():
    two, one = np.int64(2), np.int64(1)
    assert ops.sum(X, axis=one).shape == (2,)
    assert ops.sum(X, axis=[one]).shape == (2,)
    assert ops.expand_dims(X, one).shape == (2, 1, 3)
    assert len(ops.split(X, two)) == 2
    assert ops.one_hot(np.array([0]), two).shape == (1, 2)
    assert ops.top_k(X, two)[0].shape == (2, 2)
    assert ops.repeat(X, two, one).shape == (2, 6)
    assert ops.concatenate(X, one - 1).shape == (6,)  # an array is a sequence of its rows


def test_several_axes_move_as_in_numpy():
    x = np.ones((2, 3, 4, 5))
    for source, destination in ((0, -1), ([0, 1], [-1, 0]), ([3, -4, 1], [1, 0, 2])):
        assert ops.moveaxis(x, source, destination).shape == np.moveaxis(x, source, destination).shape


def test_integers_between_floats_are_floats():
    assert_close(ops.clip(np.int32([0, 1, 5]), 0.5, 2.5), np.float32([0.5, 1, 2.5]))
    assert_close(ops.clip(np.int32([0, 1, 5]), 1, 2), np.int32([1, 1, 2]))


def test_activations_take_keras_arguments():
    assert_close(ops.leaky_relu(np.array([-1.0, 2]), negative_slope=0.1), np.array([-0.1, 2]))
    assert_close(ops.elu(np.array([-1.0, 2]), alpha=0.5), np.array([0.5 * np.expm1(-1), 2]))


def test_logical_operations_take_their_number_of_operands():
    with pytest.raises(ArgumentError, match="logical_and: missing a required argument: 'x2'"):
        ops.logical_and(True)
    assert_close(ops.logical_and([1, 0], True), np.array([True, False]))


def test_a_check_that_was_passed_admits_nothing_else():
    spec = ops_by_name["sum"]
    bind(spec, X, axes=(1,), keepdims=False)
    for axes in ((1.0,), (True,)):
        try:
            expected = spec.infer(type_of(X), axes=axes, keepdims=False)
        except Exception as error:  # noqa: BLE001  # whatever it is
            with pytest.raises(type(error)):
                bind(spec, X, axes=axes, keepdims=False)
        else:
            assert type_of(bind(spec, X, axes=axes, keepdims=False)) == expected[0]
    with pytest.raises(ArgumentError, match="keepdims is a bool, not 0"):
        bind(spec, X, axes=(1,), keepdims=0)
    assert ops.add(X, X).shape == (2, 3)
    with pytest.raises(ShapeError, match="do not broadcast"):
        ops.add(X, np.ones(2, "float32"))


MAKERS = {
    "arange": lambda: ops.arange(3, dtype="float32"),
    "bartlett": lambda: ops.bartlett(3),
    "blackman": lambda: ops.blackman(3),
    "empty": lambda: 0 * ops.empty((3,)),
    "eye": lambda: ops.eye(3),
    "full": lambda: ops.full((3,), 2.0),
    "geomspace": lambda: ops.geomspace(1.0, 4.0, 3),
    "hamming": lambda: ops.hamming(3),
    "hanning": lambda: ops.hanning(3),
    "identity": lambda: ops.identity(3),
    "kaiser": lambda: ops.kaiser(3, 1.0),
    "linspace": lambda: ops.linspace(0.0, 1.0, 3),
    "logspace": lambda: ops.logspace(0.0, 1.0, 3),
    "ones": lambda: ops.ones((3,)),
    "tri": lambda: ops.tri(3),
    "zeros": lambda: ops.zeros((3,)),
}


@pytest.mark.parametrize("name", installed())
@pytest.mark.parametrize("maker", MAKERS)
def test_what_is_made_of_numbers_is_the_default_backends(name, maker):
    assert set(MAKERS) == {one for one in vars(at_home) if hasattr(vars(at_home)[one], "__wrapped__")}
    with use_backend(name):
        made, other = MAKERS[maker](), ops.convert_to_tensor(np.full(3, 2, np.float32))
        assert type(made) is type(other)
        left = made - other  # PyTorch takes no array of NumPy there
        assert type(left) is type(other)
        np.testing.assert_array_equal(ops.convert_to_numpy(left), ops.convert_to_numpy(made) - 2)


@pytest.mark.parametrize("name", installed())
def test_what_is_made_like_an_array_is_of_its_kind(name):
    x = native(name, [1.0, 2.0])
    assert type(ops.ones((2,), like=x)) is type(x)
    assert isinstance(ops.zeros((2,), like=np.ones(2)), np.ndarray)


@pytest.mark.parametrize("name", [name for name in ("torch", "jax", "tensorflow") if name in installed()])
def test_a_list_of_native_arrays_is_a_tensor_with_their_gradients(name):
    """As losses are summed up: they were read as numbers, which arrays with a gradient refuse."""

    def loss(x):
        return ops.sum([x * 2.0, ops.square(x), 1.0]) + ops.mean(ops.add([x, x * 3.0], 1.0))

    value, slope = 3.0 * 2 + 9 + 1 + 7, 2 + 6 + 2
    if name == "torch":
        torch = pytest.importorskip("torch")
        x = torch.tensor(3.0, requires_grad=True)
        found = loss(x)
        found.backward()
        found, gradient = found.detach(), x.grad
    elif name == "jax":
        jax = pytest.importorskip("jax")
        found, gradient = jax.jit(jax.value_and_grad(loss))(3.0)
    else:
        tf = pytest.importorskip("tensorflow")

        @tf.function
        def both(x):
            with tf.GradientTape() as tape:
                tape.watch(x)
                made = loss(x)
            return made, tape.gradient(made, x)

        found, gradient = both(tf.constant(3.0))
    np.testing.assert_allclose([np.asarray(found), np.asarray(gradient)], [value, slope], rtol=1e-6)


@pytest.mark.parametrize("name", [name for name in ("torch", "jax", "tensorflow") if name in installed()])
def test_lists_of_arrays_become_the_default_backends(name):
    """NumPy's too, in their dtype; beside an array of a backend they go with it."""
    with use_backend(name):
        given = [np.ones(2), np.zeros(2)]
        found, native = ops.convert_to_tensor(given), ops.ones((2,))
        assert (type(found), type_of(found).dtype.name) == (type(native), "float64")
        assert type_of(ops.convert_to_tensor(given, "float16")).dtype.name == "float16"
    both = ops.convert_to_tensor([native, [1.0, 2]])
    assert type(both) is type(native)
    np.testing.assert_array_equal(np.asarray(both), [[1, 1], [1, 2]])
