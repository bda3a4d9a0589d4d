"""`uf.Variable` as keras.Variable: what is made of numbers, arrays and initializers, and what layers do with it."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
import pytest

import unifront as uf
from unifront import errors, layers, ops

VALUES = [
    0,
    0.5,
    True,
    [1, 2],
    [1.5, 2],
    np.ones(2, "float32"),
    np.ones((1, 2), "float16"),
    np.zeros((0, 3), "int32"),
]


@pytest.mark.parametrize("value", VALUES, ids=repr)
@pytest.mark.parametrize("dtype", [None, "float32", "int32"])
def test_a_variable_is_that_of_keras(value: Any, dtype: str | None) -> None:
    ours, theirs = (library.Variable(value, dtype=dtype, trainable=False) for library in (uf, keras))
    assert (ours.dtype, ours.shape, ours.ndim) == (theirs.dtype, tuple(theirs.shape), theirs.ndim)
    assert ours.trainable is theirs.trainable is False
    assert (ours.aggregation, ours.synchronization) == (theirs.aggregation, theirs.synchronization)
    np.testing.assert_array_equal(ours.numpy(), keras.ops.convert_to_numpy(theirs))


def test_an_initializer_needs_a_shape() -> None:
    for given in ("zeros", uf.initializers.Zeros()):
        np.testing.assert_array_equal(uf.Variable(given, (2,)).numpy(), [0, 0])
        with pytest.raises(errors.ShapeError, match="has an initializer and no shape; give it one"):
            uf.Variable(given)
    uf.utils.set_random_seed(3)
    first = uf.Variable("random_normal", (3,), name="w").numpy()
    uf.utils.set_random_seed(3)
    np.testing.assert_array_equal(uf.Variable("random_normal", (3,), name="w").numpy(), first)


@pytest.mark.parametrize(
    ("call", "error", "text"),
    [
        (lambda: uf.Variable("no_such", (2,)), errors.UnknownName, "Unknown initializer 'no_such'"),
        (lambda: uf.Variable(None), errors.DTypeError, "is an array of numbers"),
        (lambda: uf.Variable([[1], [1, 2]]), errors.DTypeError, "is an array of numbers"),
        (lambda: uf.Variable(np.ones(2), shape=(3,)), errors.ShapeError, r"has the shape \(3,\); its initial value"),
    ],
)  # fmt: skip
def test_what_is_no_variable_is_refused(call: Any, error: type, text: str) -> None:
    with pytest.raises(error, match=text):
        call()


def counting(library: Any) -> Any:
    class Counting(library.layers.Layer):  # type: ignore[misc, name-defined]
        def __init__(self) -> None:
            super().__init__()
            self.scale = library.Variable(np.ones(2, "float32"))
            self.calls = library.Variable(0, trainable=False)
            self.shifts = [library.Variable([1.0, 2.0]), library.Variable([3.0, 4.0], name="second")]

        def call(self, x: Any) -> Any:
            self.calls.assign_add(1)
            return x * self.scale * self.shifts[0] + self.shifts[1]

    return library.Sequential([library.Input((2,)), Counting()])


def test_a_layer_takes_its_attributes_in_as_keras_does() -> None:
    found = []
    for library in (uf, keras):
        model = counting(library)
        model.compile(library.optimizers.SGD(0.1), "mse")
        model.fit(np.ones((4, 2)), np.zeros((4, 2)), batch_size=2, verbose=0)
        found.append((len(model.trainable_weights), model.get_weights()))
    assert found[0][0] == found[1][0] == 3
    for one, other in zip(found[0][1], found[1][1], strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-6)


def test_it_is_saved_and_called_by_its_attribute(tmp_path: Any) -> None:
    model = counting(uf)
    assert [weight.path for weight in model.weights] == [
        "counting/scale", "counting/shifts_0", "counting/second", "counting/calls"
    ]  # fmt: skip
    assert all(isinstance(weight, uf.Variable) for weight in model.weights)
    model.save(tmp_path / "m.uf")
    again = uf.load(tmp_path / "m.uf")
    np.testing.assert_array_equal(
        again.predict(np.ones((1, 2)), verbose=0), model.predict(np.ones((1, 2)), verbose=0)
    )


def test_by_itself_it_is_trained_by_an_optimizer() -> None:
    variables = [library.Variable(np.ones(3, "float32")) for library in (uf, keras)]
    for library, variable in zip((uf, keras), variables, strict=True):
        library.optimizers.Adam(0.1).apply_gradients([(library.ops.ones(3), variable)])
    np.testing.assert_allclose(variables[0].numpy(), keras.ops.convert_to_numpy(variables[1]), rtol=1e-6)


class OwnCall(uf.losses.Loss):
    """As keras.io's supervised contrastive loss: `__call__` itself is overridden, and knows no mask."""

    def __call__(self, labels: Any, predictions: Any, sample_weight: Any = None) -> Any:
        return ops.mean(ops.square(labels - predictions)) * 3


class PassedOn(uf.losses.MeanSquaredError):
    """One whose call takes whatever there is."""

    def __call__(self, *args: Any, **options: Any) -> Any:
        return super().__call__(*args, **options)


def test_a_loss_that_passes_on_what_it_is_given_is_given_the_mask() -> None:
    words = uf.Input((3,), dtype="int32")
    x = layers.Embedding(4, 2, mask_zero=True, embeddings_initializer="ones")(words)
    found, targets = [], np.array([[[1, 1], [2, 2], [9, 9]]])
    for loss in (uf.losses.MeanSquaredError(), PassedOn()):
        model = uf.Model(words, x)
        model.compile("sgd", loss)
        found.append(model.evaluate(np.array([[1, 2, 0]]), targets, verbose=0))
    assert found == pytest.approx([0.5, 0.5])


@pytest.mark.parametrize("masked", [True, False])
def test_a_loss_may_be_called_in_its_own_way(masked: bool) -> None:
    words = uf.Input((3,), dtype="int32")
    x = layers.Embedding(4, 2, mask_zero=masked, embeddings_initializer="ones")(words)
    model = uf.Model(words, x)
    model.compile("sgd", OwnCall())
    ids = np.array([[1, 2, 0]])
    assert model.evaluate(ids, np.zeros((1, 3, 2)), verbose=0) == pytest.approx(3.0)


def test_weights_that_train_come_first_as_in_keras() -> None:
    orders = []
    for library in (uf, keras):

        class Own(library.layers.Layer):  # type: ignore[misc, name-defined]
            def build(self, shape: Any) -> None:
                self.mean = self.add_weight(shape=(2,), name="mean", trainable=False, initializer="zeros")
                self.kernel = self.add_weight(shape=(2, 2), name="kernel")
                self.count = self.add_weight(shape=(), name="count", trainable=False, initializer="zeros")
                self.bias = self.add_weight(shape=(2,), name="bias", initializer="ones")

            def call(self, x: Any) -> Any:
                return x @ self.kernel + self.bias + self.mean

        layer = Own()
        layer.build((None, 2))
        orders.append(
            [
                (weight.name, np.shape(one))
                for weight, one in zip(layer.weights, layer.get_weights(), strict=True)
            ]
        )
    assert orders[0] == orders[1]
