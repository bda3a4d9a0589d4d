"""Preprocessing of numbers: what layers learn from data is judged by Keras; forms of data, errors, configs, backends."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
import pytest

import unifront as uf
from unifront import layers
from unifront.backends import installed
from unifront.errors import ArgumentError, DTypeError, NotBuiltError, ShapeError, UnknownName
from unifront.testing import assert_close

RNG = np.random.default_rng(3)
TABLE = RNG.normal(3, 2, (17, 4)).astype(np.float32)
BLOCK = RNG.normal(-1, 5, (6, 2, 3, 4)).astype(np.float32)


def host(x):
    return np.asarray(keras.ops.convert_to_numpy(x))


# ---------------------------------------------------------------- Normalization

ADAPTED = [
    ({}, TABLE),
    ({"axis": None}, TABLE),
    ({"axis": (1, 2)}, BLOCK),
    ({"axis": (3, 1)}, BLOCK),
    ({"axis": -2, "invert": True}, BLOCK),
    ({}, np.full((3, 2), 7.0, np.float32)),
    ({"axis": 0}, TABLE[:1]),
]


@pytest.mark.parametrize(("options", "data"), ADAPTED, ids=str)
def test_normalization_adapts_as_keras(options, data):
    ours, theirs = layers.Normalization(**options), keras.layers.Normalization(**options)
    ours.adapt(data)
    theirs.adapt(data)
    assert_close(ours(data), host(theirs(data)))
    for mine, other in zip(ours.get_weights()[:2], theirs.get_weights()[:2], strict=True):
        assert_close(mine, np.asarray(other))
    assert [w.name for w in ours.weights] == ["mean", "variance", "count"]
    assert ours.mean.shape == tuple(theirs.mean.shape)


def batches_of(data):
    yield from np.array_split(data, 4)


FORMS = {
    "list of arrays": lambda data: np.array_split(data, 3),
    "generator": batches_of,
    "pairs": lambda data: [(part, part[:, 0]) for part in np.array_split(data, 3)],
    "int array": lambda data: np.round(data).astype(np.int64),
    "tf.data": lambda data: __import__("tensorflow").data.Dataset.from_tensor_slices(data).batch(5),
    "tf.data of vectors": lambda data: __import__("tensorflow").data.Dataset.from_tensor_slices(data),
    "tf tensor": lambda data: __import__("tensorflow").constant(data),
    "torch tensor": lambda data: __import__("torch").tensor(data),
    "jax array": lambda data: __import__("jax").numpy.asarray(data),
    "torch DataLoader": lambda data: __import__("torch").utils.data.DataLoader(data, batch_size=5),
}


@pytest.mark.parametrize("form", FORMS)
def test_normalization_adapts_to_every_form_of_data(form):
    layer = layers.Normalization()
    layer.adapt(FORMS[form](TABLE))
    known = np.round(TABLE) if form == "int array" else TABLE
    assert_close(layer.adapt_mean.numpy(), known.mean(0))
    assert_close(layer.adapt_variance.numpy(), known.var(0))


def test_a_large_mean_costs_no_digits():
    data = np.float64(1e6) + RNG.normal(size=(1000, 2))
    layer = layers.Normalization(dtype="float64")
    layer.adapt(np.array_split(data, 7))
    assert_close(layer.adapt_variance.numpy(), data.var(0), bounds={"float64": 1e-9})


def test_adapting_again_changes_a_model_that_is_there():
    x = uf.Input((4,))
    layer = layers.Normalization()
    model = uf.Model(x, layer(x))
    assert_close(model.predict(TABLE, backend="numpy"), TABLE)
    layer.adapt(TABLE)
    for name in installed():
        assert_close(model.predict(TABLE, backend=name), (TABLE - TABLE.mean(0)) / TABLE.std(0))


def test_normalization_is_saved_with_what_it_learned(tmp_path):
    layer = layers.Normalization()
    layer.adapt(TABLE)
    model = uf.Sequential([uf.Input((4,)), layer])
    model.save(tmp_path / "model.uf")
    assert_close(uf.load(tmp_path / "model.uf").predict(TABLE), model.predict(TABLE))
    config = layers.Normalization(mean=np.array([1.0, 2.0]), variance=[1.0, 4.0]).get_config()
    assert config["mean"] == [1.0, 2.0]
    assert_close(
        layers.Normalization.from_config(config)(np.array([[1.0, 4.0]], np.float32)),
        np.array([[0, 1]], np.float32),
    )
    assert keras.layers.Normalization.from_config(config).get_config()["axis"] == (-1,)


@pytest.mark.parametrize(
    ("make", "error", "text"),
    [
        (lambda: layers.Normalization(mean=1.0), ArgumentError, "both `mean` and `variance` must be set"),
        (lambda: layers.Normalization(mean=[1.0], variance=[1.0, 2.0]), ShapeError, "must have the same shape"),
        (lambda: layers.Normalization(mean=[[1.0]], variance=[[1.0]]), ShapeError, "number of axes"),
        (lambda: layers.Normalization(axis=3).build((2, 2)), ShapeError, r"range \[-ndim, ndim\)"),
        (lambda: layers.Normalization(axis=1).build((None, None)), NotBuiltError, "must have a known shape"),
        (lambda: layers.Normalization(mean=[1.0, 2.0], variance=[1.0, 2.0]).build((2, 3)), ShapeError, "does not fit"),
        (lambda: layers.Normalization().adapt([]), ArgumentError, "empty iterable"),
        (lambda: layers.Normalization().adapt([[1.0, 2.0]]), DTypeError, "yields arrays"),
        (lambda: layers.Normalization().adapt(5), DTypeError, "Unsupported data type"),
        (lambda: layers.Normalization().adapt([TABLE, TABLE[:, :2]]), ShapeError, "an incompatible shape"),
        (lambda: layers.Normalization(mean=1.0, variance=1.0, axis=None).adapt(TABLE), ArgumentError, "nothing to adapt"),
        (lambda: layers.Normalization()(uf.Input((None,))), NotBuiltError, "must have a known shape"),
    ],
)  # fmt: skip
def test_normalization_refuses(make, error, text):
    with pytest.raises(error, match=text):
        make()


# ---------------------------------------------------------------- Discretization


@pytest.mark.parametrize("bins", [1, 2, 5, 30])
@pytest.mark.parametrize("data", [TABLE, np.arange(7.0), np.ones(4), RNG.normal(size=5000)], ids=["table", "seven", "ones", "many"])  # fmt: skip
def test_discretization_adapts_as_keras(data, bins):
    ours = layers.Discretization(num_bins=bins, epsilon=0.02)
    theirs = keras.layers.Discretization(num_bins=bins, epsilon=0.02)
    parts = np.array_split(data, 3)
    ours.adapt(parts)
    theirs.adapt(parts)
    assert_close(np.array(ours.bin_boundaries), np.array(theirs.bin_boundaries))
    again = layers.Discretization.from_config(ours.get_config())
    assert np.array_equal(again(data.astype(np.float32)), host(theirs(data)))


def test_discretization_of_unusual_numbers_as_keras():
    x = np.array([[-np.inf, np.inf, 0.0, 1.0, 1e6, -1e6]], np.float32)
    ours, theirs = (m.Discretization(bin_boundaries=[0.0, 1.0]) for m in (layers, keras.layers))
    found = ours(x)
    assert found.dtype == np.int32
    assert np.array_equal(found, host(theirs(x)))
    assert ours(x[:, :0]).shape == (1, 0)
    assert np.array_equal(ours([-1.5, 0.5]), [0, 1])


@pytest.mark.parametrize(
    ("make", "error", "text"),
    [
        (lambda: layers.Discretization(), ArgumentError, "either `num_bins` or `bin_boundaries`"),
        (lambda: layers.Discretization([0.0], 3), ArgumentError, "should not be set"),
        (lambda: layers.Discretization(num_bins=-1), ArgumentError, "greater than or equal to 0"),
        (lambda: layers.Discretization([1.0, 0.0]), ArgumentError, "ascend"),
        (lambda: layers.Discretization([0.0]).adapt(TABLE), ArgumentError, "Cannot adapt"),
        (lambda: layers.Discretization(num_bins=3)(TABLE), NotBuiltError, "adapt"),
        (lambda: layers.Discretization(num_bins=3, sparse=True), ArgumentError, "dense"),
        (lambda: layers.Discretization([0.0], output_mode="ont_hot"), UnknownName, "one_hot"),
    ],
)
def test_discretization_refuses(make, error, text):
    with pytest.raises(error, match=text):
        make()


# ---------------------------------------------------------------- CategoryEncoding

ENCODED = [
    np.array([1, 2, 3, 1]),
    np.array([[1], [2]]),
    np.array([[1, 2, 3], [0, 0, 1]]),
    np.array(2),
    np.zeros((2, 0), int),
]


@pytest.mark.parametrize("mode", ["one_hot", "multi_hot", "count"])
@pytest.mark.parametrize("x", ENCODED, ids=lambda x: str(x.shape))
def test_encoding_as_keras(x, mode):
    ours, theirs = (m.CategoryEncoding(4, mode) for m in (layers, keras.layers))
    assert_close(ours(x), host(theirs(x)))
    if x.ndim:
        assert ours(uf.Input(batch_shape=x.shape, dtype="int32")).shape == ours(x).shape


def test_weighted_counts_as_keras():
    x, weights = np.array([[0, 1, 1], [3, 3, 2]]), RNG.normal(size=(2, 3)).astype(np.float32)
    ours, theirs = (m.CategoryEncoding(4, "count")(x, count_weights=weights) for m in (layers, keras.layers))
    assert_close(ours, host(theirs))


def test_what_is_outside_counts_nowhere():
    assert np.array_equal(layers.CategoryEncoding(3, "count")(np.array([[5, -1, 2]])), [[0, 0, 1]])


@pytest.mark.parametrize(
    ("make", "error", "text"),
    [
        (lambda: layers.CategoryEncoding(), ArgumentError, "num_tokens must be set"),
        (lambda: layers.CategoryEncoding(0), ArgumentError, "must be >= 1"),
        (lambda: layers.CategoryEncoding(3, sparse=True), ArgumentError, "dense"),
        (lambda: layers.CategoryEncoding(3)([[1]], count_weights=[[1.0]]), ArgumentError, "not used"),
    ],
)
def test_encoding_refuses(make, error, text):
    with pytest.raises(error, match=text):
        make()


# ---------------------------------------------------------------- MelSpectrogram


@pytest.mark.parametrize(
    "options",
    [{}, {"sequence_length": 48, "window": "hamming", "mag_exp": 1.0}, {"power_to_db": False, "max_freq": 3000},
     {"ref_power": 0.5, "top_db": 20.0}],
    ids=str,
)  # fmt: skip
@pytest.mark.parametrize("shape", [(400,), (2, 401)], ids=str)
def test_mel_spectrogram_as_keras(options, shape):
    sound = RNG.normal(size=shape).astype(np.float32)
    sizes = {"fft_length": 64, "sequence_stride": 32, "num_mel_bins": 8, **options}
    ours, theirs = layers.MelSpectrogram(**sizes), keras.layers.MelSpectrogram(**sizes)
    expected = host(theirs(sound))
    assert_close(ours(sound), expected, bounds={"float32": 1e-4})  # decibels of Keras's float32 matrix
    if len(shape) == 2:
        x = uf.Input((None,))
        model = uf.Model(x, ours(x))
        for name in installed():
            assert_close(model.predict(sound, backend=name), expected, bounds={"float32": 1e-4})


def test_spectrograms_refuse():
    with pytest.raises(ArgumentError, match="greater than or equal"):
        layers.MelSpectrogram(fft_length=8, sequence_length=16)
    with pytest.raises(ArgumentError, match="`frame_step` should be"):
        layers.STFTSpectrogram(frame_length=8, frame_step=9)
    with pytest.raises(ArgumentError, match="`fft_length` should be"):
        layers.STFTSpectrogram(frame_length=8, fft_length=4)
    with pytest.raises(ShapeError, match="3 dimensions"):
        layers.STFTSpectrogram()(TABLE)
    with pytest.raises(DTypeError, match="Invalid input type"):
        layers.STFTSpectrogram(frame_length=8)(np.ones((1, 40, 1), np.int32))


def test_a_spectrogram_of_channels_first():
    sound = RNG.normal(size=(2, 40, 3)).astype(np.float32)
    last, first = (
        [
            layers.STFTSpectrogram(frame_length=8, data_format=where, expand_dims=wide)
            for wide in (False, True)
        ]
        for where in ("channels_last", "channels_first")
    )
    flipped = np.ascontiguousarray(sound.transpose(0, 2, 1))
    assert_close(first[0](flipped), np.asarray(last[0](sound)).transpose(0, 2, 1))
    assert_close(first[1](flipped), np.asarray(last[1](sound)).transpose(0, 3, 1, 2))


def _adapted_twice(layer: Any, data: np.ndarray, later: np.ndarray, x: np.ndarray) -> None:
    layer.adapt(data)
    model = uf.Sequential([uf.Input((1,), dtype=str(x.dtype)), layer])
    before = model.predict(x, backend="torch")
    layer.adapt(later)
    after = model.predict(x, backend="torch")
    with uf.backend("torch"):
        np.testing.assert_array_equal(after, layer(x))
    assert not np.array_equal(before, after)


def test_a_model_sees_what_was_adapted_since() -> None:
    x = np.linspace(0, 1, 20, dtype=np.float32)[:, None]
    _adapted_twice(layers.Discretization(num_bins=4), x, x * 10, x)
    _adapted_twice(layers.Normalization(), x, x * 10, x)
    ints = np.array([[1], [2], [3], [9]])
    _adapted_twice(layers.IntegerLookup(), np.array([1, 2, 3, 3]), np.array([9, 9]), ints)


def test_a_hybridized_layer_sees_what_was_adapted_since() -> None:
    x = np.linspace(0, 1, 20, dtype=np.float32)[:, None]
    layer = layers.Discretization(num_bins=4)
    layer.adapt(x)
    model = uf.Sequential([layer])
    model.hybridize()
    model(x)
    layer.adapt(x * 10)
    np.testing.assert_array_equal(model(x), layer(x))


def test_normalization_takes_inputs_of_a_higher_rank_than_it_adapted_to() -> None:
    pictures = np.random.default_rng(0).random((3, 4, 5, 2)).astype("float32")
    layer = layers.Normalization()
    layer.adapt(list(pictures))  # each of the shape (4, 5, 2)
    found = uf.ops.convert_to_numpy(layer(pictures))
    wanted = (pictures - pictures.mean((0, 1, 2))) / pictures.std((0, 1, 2))
    np.testing.assert_allclose(found, wanted, rtol=1e-4, atol=1e-5)
