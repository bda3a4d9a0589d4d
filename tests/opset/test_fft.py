"""Fourier transforms, segments, complex numbers, derivatives along directions: NumPy, SciPy and Keras as judges."""

import numpy as np
import pytest

import unifront as uf
from unifront import ops
from unifront.backends import installed, placement
from unifront.dtypes import complex64, float32, float64, promote
from unifront.errors import ArgumentError, DTypeError, ShapeError
from unifront.testing import assert_close

RNG = np.random.default_rng(0)
TRAINABLE = [name for name in installed() if name != "numpy"]
SIGNAL = RNG.normal(size=(2, 50))


def on(name, *arrays):
    return [placement(name).backend.array(array) for array in arrays]


def at(name, array):
    return placement(name).backend.numpy(array)


@pytest.mark.parametrize("name", installed())
def test_transforms_are_numpy_s(name):
    real, imag = RNG.normal(size=(2, 3, 4, 6))
    given = on(name, real, imag)
    for ours, numpys in ((ops.fft, np.fft.fft), (ops.fft2, np.fft.fft2), (ops.ifft2, np.fft.ifft2)):
        found = [at(name, part) for part in ours(tuple(given))]
        expected = numpys(real + 1j * imag)
        assert_close(found[0] + 1j * found[1], expected, what=numpys.__name__)
    for length in (None, 3, 6, 9):
        found = [at(name, part) for part in ops.rfft(given[0], length)]
        assert_close(found[0] + 1j * found[1], np.fft.rfft(real, length))
        assert_close(at(name, ops.irfft(given, length)), np.fft.irfft(real + 1j * imag, length))


def test_sixteen_bits_and_integers():
    half = SIGNAL.astype("float16")
    assert [part.dtype.name for part in ops.rfft(half)] == ["float16"] * 2
    assert_close(np.asarray(ops.rfft(half)[0]), np.fft.rfft(half.astype("float64")).real)
    assert ops.rfft(np.arange(4))[0].dtype == np.float32


@pytest.mark.parametrize(
    ("length", "stride", "size", "window", "center"),
    [(8, 4, 8, "hann", True), (6, 3, 9, "hamming", True), (8, 2, 8, "hann", False), (5, 5, 8, None, False),
     (4, 1, 4, np.arange(1.0, 5.0), True)],
)  # fmt: skip
def test_short_transforms_are_keras_s(length, stride, size, window, center):
    keras = pytest.importorskip("keras")
    options = {"sequence_length": length, "sequence_stride": stride, "fft_length": size, "window": window}
    expected = [np.asarray(part) for part in keras.ops.stft(SIGNAL, center=center, **options)]
    back = np.asarray(keras.ops.istft(expected, center=center, **options))
    for name in installed():
        found = [at(name, part) for part in ops.stft(*on(name, SIGNAL), center=center, **options)]
        for one, other in zip(found, expected, strict=True):
            assert_close(one, other.astype("float64"), bounds={"float64": 1e-5})  # Keras's is of float32
        signal = at(name, ops.istft(on(name, *found), center=center, **options))
        inside = slice(size, -size)
        assert signal.shape == back.shape
        assert_close(signal[:, inside], back[:, inside].astype("float64"), bounds={"float64": 1e-4})


@pytest.mark.parametrize("name", TRAINABLE)
def test_a_signal_comes_back_with_gradients(name):
    (x,) = on(name, SIGNAL)

    def error(x):
        again = ops.istft(ops.stft(x, 8, 2, 8), 8, 2, 8, length=50)
        return ops.sum(ops.multiply(again, SIGNAL[::-1])), again

    (_, again), gradient = uf.value_and_grad(error, has_aux=True)(x)
    assert_close(
        at(name, again)[:, 4:-4], SIGNAL[:, 4:-4], bounds={"float64": 1e-10}
    )  # the ends are not whole
    # The identity's gradient.
    assert_close(at(name, gradient)[:, 8:-8], SIGNAL[::-1, 8:-8].copy(), bounds={"float64": 1e-10})


def test_free_sizes():
    x = uf.Input((None,), name="signal")
    outputs = [
        *ops.stft(x, 8, 4, 8),
        ops.istft(ops.stft(x, 8, 4, 8), 8, 4, 8),
        ops.extract_sequences(x, 5, 3),
    ]
    model, data = uf.Model(x, outputs), SIGNAL[:, :48].astype("float32")
    wanted = [np.asarray(one) for one in (*ops.stft(data, 8, 4, 8), data, ops.extract_sequences(data, 5, 3))]
    for name in installed():
        for found, expected in zip(model.predict(data, backend=name), wanted, strict=True):
            assert_close(found, expected)


@pytest.mark.parametrize("name", installed())
def test_segments_without_their_number(name):
    data, ids = on(name, RNG.normal(size=(5, 2)), np.array([1, 0, 1, -1, 3]))
    assert at(name, ops.segment_sum(data, ids)).shape == (4, 2)
    found = at(name, ops.segment_max(*on(name, np.array([3, 1, 2], "int32"), np.array([0, 2, 2])), 4))
    assert_close(found, np.array([3, np.iinfo("int32").min, 2, np.iinfo("int32").min], "int32"))


@pytest.mark.parametrize("name", TRAINABLE)
def test_products_of_segments_with_zeros_have_slopes(name):
    data, ids = on(name, np.array([0.0, 2.0, 3.0, 0.0, 0.0, 5.0]), np.array([0, 0, 0, 1, 1, 2]))
    _, gradient = uf.value_and_grad(lambda x: ops.sum(ops.segment_prod(x, ids, 3)))(data)
    assert_close(at(name, gradient), np.array([6.0, 0, 0, 0, 0, 1]))


@pytest.mark.parametrize("name", installed())
def test_complex_numbers(name):
    z, w = RNG.normal(size=(2, 3, 2)) @ np.array([1, 1j])
    a, b = on(name, z, w)
    for found, expected in (
        (ops.real(a), z.real), (ops.imag(a), z.imag), (ops.conj(a), z.conj()), (ops.add(a, b), z + w),
        (ops.multiply(a, 2), z * 2), (ops.subtract(a, b), z - w), (ops.multiply(a, b), z * w),
        (ops.view_as_real(a), np.stack([z.real, z.imag], -1)), (ops.view_as_complex(ops.view_as_real(a)), z),
        (ops.einsum("i,j->ij", a, b), np.outer(z, w)), (ops.cast(a, "float64"), z.real),
        (ops.imag(ops.real(a)), np.zeros(3)), (ops.angle(a), np.angle(z)), (ops.angle(ops.real(a)), np.angle(z.real)), (ops.polar(*on(name, abs(z), np.angle(z))), z),
    ):  # fmt: skip
        assert_close(at(name, found), expected)
    single = ops.view_as_complex(*on(name, np.array([[1, 2]], "float32")))
    assert at(name, single).dtype == np.complex64


@pytest.mark.parametrize("name", TRAINABLE)
def test_gradients_pass_through_complex_numbers(name):
    x = RNG.normal(size=(3, 2))

    def size(x):
        z = ops.view_as_complex(x)
        return ops.sum(ops.square(ops.view_as_real(ops.multiply(z, z))))  # |z|**4

    _, gradient = uf.value_and_grad(size)(*on(name, x))
    assert_close(at(name, gradient), 4 * x * np.sum(x**2, -1, keepdims=True), bounds={"float64": 1e-10})


def test_promotion_of_complex_numbers():
    assert promote(complex64, 1j) is complex64
    assert promote(float32, 2j) is complex64
    assert promote(float64, complex64).name == "complex128"


@pytest.mark.parametrize("name", TRAINABLE)
def test_derivatives_along_a_direction_are_jax_s(name):
    jax = pytest.importorskip("jax")
    x, t = RNG.normal(size=(2, 3)), RNG.normal(size=(2, 3))
    y, u = RNG.normal(size=3), RNG.normal(size=3)

    def ours(x, y):
        return {"product": ops.multiply(ops.sin(x), y), "sum": ops.sum(ops.square(y))}

    def theirs(x, y):
        return {"product": jax.numpy.sin(x) * y, "sum": jax.numpy.sum(y**2)}

    with jax.enable_x64(True):
        wanted = jax.jvp(theirs, (x, y), (t, u))
    found = ops.jvp(ours, on(name, x, y), on(name, t, u))
    for one, other in zip(found, wanted, strict=True):
        for key, value in other.items():
            assert_close(at(name, one[key]), np.asarray(value), bounds={"float64": 1e-10})
    value, slope, aux = ops.jvp(lambda x: (ops.square(x), "aux"), on(name, x), on(name, t), has_aux=True)
    assert aux == "aux"
    assert_close(at(name, slope), 2 * x * t)


def test_derivatives_in_a_graph():
    x = uf.Input((3,))
    _, slope = ops.jvp(ops.tanh, (x,), (ops.ones_like(x),))
    data = RNG.normal(size=(2, 3)).astype("float32")
    for name in TRAINABLE:
        assert_close(uf.Model(x, slope).predict(data, backend=name), 1 - np.tanh(data) ** 2)


@pytest.mark.parametrize("name", installed())
def test_distances_are_scipy_s(name):
    distance = pytest.importorskip("scipy.spatial.distance")
    x, y = RNG.normal(size=(3, 2)), RNG.normal(size=(4, 2))
    assert_close(at(name, ops.cdist(*on(name, x, y))), distance.cdist(x, y))


def test_the_distance_of_equal_vectors_has_a_slope():
    for name in TRAINABLE:
        _, gradient = uf.value_and_grad(lambda x: ops.sum(ops.cdist(x, x)))(*on(name, np.ones((2, 3))))
        assert_close(at(name, gradient), np.zeros((2, 3)))


def test_in_top_k():
    predictions = np.array([[0.1, 0.9, 0.8, 0.8], [0.95, 0.95, 0, 0.95], [0.1, np.nan, 0.3, 1]])
    for targets, k, expected in (
        ([1, 0, 2], 1, [True, True, False]), ([2, 2, 2], 2, [True, False, True]), ([1, 9, 1], 4, [True, False, False]),
    ):  # fmt: skip
        for name in installed():
            found = ops.in_top_k(*on(name, np.array(targets), predictions), k)
            assert_close(at(name, found), np.array(expected))


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: ops.fft(SIGNAL), ArgumentError, "a tuple of two tensors"),
        (lambda: ops.fft((SIGNAL, SIGNAL[:, 1:])), ShapeError, r"\(2, 50\) and \(2, 49\)"),
        (lambda: ops.fft((np.arange(3), np.arange(3))), ArgumentError, "a part of x is int64"),
        (lambda: ops.fft2((SIGNAL[0], SIGNAL[0])), ShapeError, "rank >= 2"),
        (lambda: ops.rfft(np.zeros((2, 0))), ShapeError, "0 samples"),
        (lambda: ops.stft(SIGNAL.astype("int32"), 2, 1, 4), DTypeError, "`float32` or `float64`"),
        (lambda: ops.stft(SIGNAL, 2, 0, 4), ArgumentError, "must be a positive integer, not 0"),
        (lambda: ops.stft(SIGNAL, 4, 1, 2), ArgumentError, "`fft_length` must equal or exceed"),
        (lambda: ops.stft(SIGNAL, 2, 1, 4, "kaiser"), ArgumentError, "'hann', 'hamming' or a tensor"),
        (lambda: ops.stft(SIGNAL, 2, 1, 4, np.ones(3)), ShapeError, "The shape of|the shape of `window`"),
        (lambda: ops.extract_sequences(SIGNAL, 51, 1), ShapeError, "a window of 51 does not fit"),
        (lambda: ops.segment_sum(SIGNAL, np.zeros(2), 1), DTypeError, "an integer, not float64"),
        (lambda: ops.segment_sum(SIGNAL, np.zeros(3, int), 1), ShapeError, "one segment for each row"),
        (lambda: ops.view_as_complex(SIGNAL), ShapeError, "the last axis is 2 long"),
        (lambda: ops.jvp(ops.sin, (SIGNAL,), (SIGNAL[0],)), ArgumentError, "the tangents have the shapes"),
        (lambda: ops.cdist(SIGNAL, SIGNAL[:, 1:]), ShapeError, "cdist: x is"),
        (lambda: ops.in_top_k(SIGNAL, SIGNAL, 1), ShapeError, "in_top_k: the targets are"),
    ],
)
def test_errors_say_what_does_not_fit(call, error, message):
    with pytest.raises(error, match=message):
        call()
