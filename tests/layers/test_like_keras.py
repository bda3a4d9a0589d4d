"""What layers and models do where a program written for Keras relies on it; Keras is the judge where it can be."""

from __future__ import annotations

import gc
import warnings
from collections.abc import Callable
from typing import Any

import jax.numpy as jnp
import keras
import numpy as np
import pytest
import tensorflow as tf
import torch

import unifront as uf
from tests.models import TRAINABLE
from unifront import layers, trace
from unifront.errors import ArgumentError, ShapeError
from unifront.testing import assert_close

ARRAYS: dict[str, Callable[..., Any]] = {
    "numpy": np.array, "torch": torch.tensor, "jax": jnp.array, "tensorflow": tf.constant
}  # fmt: skip
STEPS = np.array([[[0, 0], [0, 0], [1, 2], [3, 4]]], "float32")
OTHERS = np.array([[[-5, -5], [0, 0], [7, -7], [0, 0]]], "float32")


# ---------------------------------------------------------------- masks


def _merged(library: Any, kind: str, array: Callable[..., Any]) -> Any:
    masked = [library.Masking()(array(given)) for given in (STEPS, OTHERS)]
    return library.Masking()(getattr(library, kind)()(masked))


@pytest.mark.parametrize("kind", ["Maximum", "Minimum", "Multiply", "Add", "Average", "Concatenate"])
def test_a_mask_travels_with_the_array_from_one_eager_call_to_the_next(kind: str) -> None:
    expected = np.asarray(_merged(keras.layers, kind, keras.ops.array))
    for array in ARRAYS.values():
        assert_close(np.asarray(_merged(layers, kind, array)), expected)


def test_the_mean_over_time_heeds_a_mask_that_came_through_other_layers() -> None:
    masked = layers.Masking()(torch.tensor(STEPS))
    assert_close(
        layers.GlobalAveragePooling1D()(layers.Dropout(0.5)(masked)).numpy(), [[2.0, 3.0]], dtype=False
    )
    assert masked._keras_mask.tolist() == [[False, False, True, True]]


def test_a_mask_of_a_numpy_array_is_kept_no_longer_than_the_array() -> None:
    before = len(trace._carried)
    with uf.backend("numpy"):
        masked = layers.Masking()(STEPS)
    assert len(trace._carried) == before + 1
    del masked
    gc.collect()
    assert len(trace._carried) == before


def test_a_mask_given_by_hand_goes_on() -> None:
    class Through(uf.Layer):
        supports_masking = True

        def call(self, x: Any, mask: Any = None) -> Any:
            return x * 1.0

    mask = np.array([[True, False, True, True]])
    out = Through()(torch.tensor(STEPS), mask=torch.tensor(mask))
    assert_close(layers.GlobalAveragePooling1D()(out).numpy(), STEPS[:, [0, 2, 3]].mean(1))


@pytest.mark.parametrize("layer", [layers.Add(), layers.Concatenate()])
def test_masks_of_several_inputs_are_a_list(layer: Any) -> None:
    mask = np.ones((1, 4), bool)
    with pytest.raises(ArgumentError, match="`mask` should be a list"):
        layer.compute_mask([STEPS, STEPS], mask)
    with pytest.raises(ArgumentError, match="`inputs` should be a list"):
        layer.compute_mask(STEPS, [mask, mask])
    with pytest.raises(ArgumentError, match="should have the same length; they have 2 and 1"):
        layer.compute_mask([STEPS, STEPS], [mask])
    assert layer.compute_mask([STEPS, STEPS]) is None


# ---------------------------------------------------------------- built

AT_ONCE = [
    "Activation('relu')",
    "ReLU()",
    "LeakyReLU()",
    "ELU()",
    "Softmax()",
    "Dropout(0.1)",
    "SpatialDropout1D(0.1)",
    "GaussianNoise(0.1)",
    "ActivityRegularization()",
    "Masking()",
    "UnitNormalization()",
    "MaxPooling2D()",
    "GlobalAveragePooling1D()",
]


@pytest.mark.parametrize("made", [*AT_ONCE, "Flatten()", "Dense(3)", "Add()", "Layer()"])
def test_layers_without_weights_are_built_when_they_are_made(made: str) -> None:
    ours, theirs = (eval(f"library.{made}", {"library": library}) for library in (layers, keras.layers))
    assert ours.built == theirs.built == (made in AT_ONCE)


def test_a_layer_built_when_made_still_computes_in_the_dtype_of_its_first_input() -> None:
    assert layers.ReLU()(torch.ones(2, dtype=torch.float64)).dtype == torch.float64


def test_a_layer_without_weights_is_built_by_hand() -> None:
    layer = layers.Flatten()
    layer.build((None, 3))
    assert layer.built


def test_a_class_of_ones_own_with_weights_is_built_though_its_base_needs_none() -> None:
    class Scaled(layers.ReLU):
        def build(self, shape: Any) -> None:
            self.scale = self.add_weight(initializer="ones")

        def call(self, x: Any) -> Any:
            return super().call(x) * self.scale

    layer = Scaled()
    assert not layer.built
    assert layer(torch.ones(2)).tolist() == [1, 1]


@pytest.mark.parametrize("dtype", ["float32", "int32", "bool"])
def test_a_weight_without_a_shape_is_a_scalar(dtype: str) -> None:
    ours, theirs = (layer.add_weight(dtype=dtype) for layer in (uf.Layer(), keras.Layer()))
    assert ours.shape == tuple(theirs.shape) == ()
    assert ours.dtype == dtype
    if dtype != "float32":
        assert ours.numpy() == np.asarray(theirs) == 0


def test_a_name_in_the_place_of_a_shape_is_said() -> None:
    with pytest.raises(ShapeError, match="the name is a keyword argument: name='scale'"):
        uf.Layer().add_weight("scale")


# ---------------------------------------------------------------- what a functional model is called on


@pytest.mark.parametrize("array", ARRAYS.values(), ids=ARRAYS)
def test_arrays_get_the_dtype_and_rank_of_a_models_inputs(array: Callable[..., Any]) -> None:
    half, whole, column = uf.Input((2,), dtype="float16"), uf.Input((2,), dtype="int32"), uf.Input((1,))
    model = uf.Model([half, whole, column], [half + 2, whole + 2, column + 2])
    ones = array(np.ones((3, 2)))
    results = model([ones, ones, array(np.ones(3))])
    assert [str(uf.ops.convert_to_numpy(one).dtype) for one in results] == ["float16", "int32", "float32"]
    assert [tuple(one.shape) for one in results] == [(3, 2), (3, 2), (3, 1)]
    one = uf.Input((2,))
    assert tuple(uf.Model(one, one + 1)(array(np.ones((3, 2, 1)))).shape) == (3, 2)


def test_inputs_are_given_by_name_and_others_passed_over_with_a_warning() -> None:
    a, b = uf.Input((3,), name="a"), uf.Input((3,), name="b")
    model = uf.Model([a, b], a - 2 * b)
    x, y = np.ones((2, 3), "float32"), np.zeros((2, 3), "float32")
    assert_close(model({"b": x, "a": y}), model([y, x]))
    with pytest.warns(UserWarning, match="not used are 'c'"):
        model({"b": x, "a": y, "c": y})
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # what is made is no data
        model({name: uf.Input((3,)) for name in "abc"})


# ---------------------------------------------------------------- what layers and models tell of themselves


@pytest.mark.parametrize(
    ("made", "shape"),
    [
        ("Conv2D(8, 3)", (None, 28, 28, 1)), ("Add()", [(2, 3), (2, 3)]), ("Embedding(3, 4)", (None, 5)),
        ("Dense(4)", (None, None, 3)), ("Flatten()", (None, 2, 3)), ("MaxPooling1D()", (2, 7, 3)),
    ],
)  # fmt: skip
def test_the_shape_of_the_output_is_told_without_building(made: str, shape: Any) -> None:
    ours, theirs = (eval(f"library.{made}", {"library": library}) for library in (layers, keras.layers))
    assert ours.compute_output_shape(shape) == theirs.compute_output_shape(shape)
    assert not ours.weights


@pytest.mark.parametrize("mode", ["int", "one_hot", "multi_hot", "count"])
@pytest.mark.parametrize("made", ["Discretization(num_bins=4", "Discretization([0.0, 1.0]", "Hashing(5"])
def test_the_shape_of_categories_is_told_before_there_are_any(made: str, mode: str) -> None:
    ours, theirs = (
        eval(f"library.{made}, output_mode={mode!r})", {"library": library})
        for library in (layers, keras.layers)
    )
    for shape in ((2, 4), (2, 4, 1), (2, 3, 4), (6,)):
        if made.startswith("Hashing"):  # of which Keras tells another shape than it gives
            wanted = theirs(np.zeros(shape, "int32")).shape
        else:
            wanted = theirs.compute_output_shape(shape)
        assert ours.compute_output_shape(shape) == tuple(wanted), shape
    assert ours.compute_output_shape((None, 4))[0] is None


def test_the_losses_of_a_call_and_of_regularizers_are_listed() -> None:
    def made(library: Any) -> Any:
        return library.Sequential(
            [
                library.layers.ActivityRegularization(l2=0.1),
                library.layers.Dense(2, kernel_initializer="ones", kernel_regularizer="l2"),
            ]
        )

    x = np.ones((2, 3), "float32")
    ours, theirs = made(uf), made(keras)
    for _ in range(2):  # those of the last call, not of all
        ours(torch.tensor(x)), theirs(x)
        assert [one.item() for one in ours.losses] == pytest.approx([float(one) for one in theirs.losses])


def test_the_losses_are_at_hand_in_a_step_of_ones_own() -> None:
    class Own(uf.Model):
        def train_step(self, data: Any) -> Any:
            x, _ = data

            def loss_of() -> Any:
                self(x, training=True)
                return sum(self.losses)

            loss, grads = uf.value_and_grad(loss_of, wrt=self.trainable_variables)()
            self.optimizer.apply(grads, self.trainable_variables)
            return {"loss": loss}

    x = uf.Input((3,))
    dense = layers.Dense(2, kernel_initializer="ones", kernel_regularizer="l2")
    model = Own(x, layers.ActivityRegularization(l1=0.5)(dense(x)))
    model.compile("sgd")
    data = np.ones((2, 3), "float32")
    assert model.fit(data, data, verbose=0, backend="torch").history["loss"] == pytest.approx([3.06])


def test_a_model_whose_input_is_not_known_has_none() -> None:
    for library in (uf, keras):
        model = library.Sequential([library.layers.Dense(3)])
        assert not any(hasattr(model, name) for name in ("inputs", "outputs", "input_shape", "output_shape"))
        model.build((None, 2))
        assert (len(model.inputs), len(model.outputs)) == (1, 1)


@pytest.mark.parametrize(("model", "match"), [(uf.Model(), "reserved"), (uf.Sequential(), r"Use `add\(\)`")])
def test_the_layers_of_a_model_are_not_set(model: Any, match: str) -> None:
    with pytest.raises(AttributeError, match=match):
        model.layers = []


def _grown(shape: tuple[int | None, ...], options: dict[str, Any]) -> uf.Model:
    x = uf.Input(shape)
    return uf.Model(x, layers.UpSampling2D((2, 3), **options)(x))


@pytest.mark.parametrize("interpolation", ["nearest", "bilinear", "bicubic"])
@pytest.mark.parametrize("data_format", ["channels_last", "channels_first"])
def test_images_of_any_size_grow_as_in_keras(interpolation: str, data_format: str) -> None:
    free = (None, None, 3) if data_format == "channels_last" else (3, None, None)
    options: dict[str, Any] = {"interpolation": interpolation, "data_format": data_format}
    model = _grown(free, options)
    judge = keras.layers.UpSampling2D((2, 3), **options)
    for sizes in ((4, 5), (1, 7)):
        shape = (2, *sizes, 3) if data_format == "channels_last" else (2, 3, *sizes)
        image = np.random.default_rng(0).normal(size=shape).astype("float32")
        expected = _grown(shape[1:], options).predict(image, verbose=0, backend="numpy")
        if interpolation != "bicubic":  # TensorFlow's has weights of its own
            assert_close(expected, keras.ops.convert_to_numpy(judge(image)))
        for backend in TRAINABLE:
            assert_close(model.predict(image, verbose=0, backend=backend), expected)


@pytest.mark.parametrize("names", [("s", "c"), ("c", "s")])
def test_layers_of_outputs_in_a_dict_are_in_the_order_of_its_keys(names: tuple[str, str]) -> None:
    def order(kit: Any) -> list[str]:
        x = kit.Input((3,), name="x")
        made = {"s": kit.layers.Dense(2, name="s")(x), "c": kit.layers.Dense(3, name="c")(x)}
        model = kit.Model(x, {name: made[name] for name in names})
        return [layer.name for layer in model.layers] + [str(weight.shape) for weight in model.weights]

    assert order(uf) == order(keras)
