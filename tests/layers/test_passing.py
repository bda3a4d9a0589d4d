"""Layers around functions and layers, input specs, merging as functions, noise: what they promise."""

from __future__ import annotations

import json

import keras
import numpy as np
import pytest

import unifront as uf
from unifront import layers
from unifront.backends import installed
from unifront.errors import ArgumentError, ShapeError, UnknownName
from unifront.testing import assert_close

X = np.random.default_rng(1).normal(size=(3, 4)).astype(np.float32)


@uf.saving.register_keras_serializable("tests")
def halved(x, by=2.0):
    return x / by


def test_lambda_is_part_of_the_graph(tmp_path):
    x = uf.Input((4,))
    model = uf.Model(x, layers.Lambda(lambda x, scale: x * scale, arguments={"scale": 3.0})(x))
    model.save(tmp_path / "model.uf")
    again = uf.load(tmp_path / "model.uf")
    for name in installed():
        assert_close(again.predict(X, backend=name), 3 * X)


def test_a_named_function_is_told_by_its_name():
    text = json.dumps(layers.serialize(layers.Lambda(halved, arguments={"by": 4.0})))
    again = layers.deserialize(json.loads(text))
    assert again.function is halved
    assert_close(again(X), X / 4)


def test_a_lambda_is_no_data():
    with pytest.raises(ArgumentError, match="holds no code"):
        layers.Lambda(lambda x: x).get_config()
    with pytest.raises(ArgumentError, match="code, and none is run"):
        layers.Lambda.from_config({"function": {"class_name": "__lambda__", "config": {"code": "4wEAAA=="}}})
    with pytest.raises(UnknownName, match="not registered"):
        layers.Lambda.from_config(
            {"function": {"class_name": "function", "module": "os", "config": "system"}}
        )


def test_lambda_gets_mask_and_training():
    def told(x, mask=None, training=None):
        return x + (1.0 if training else 0.0) + (2.0 if mask is not None else 0.0)

    layer = layers.Lambda(told)
    assert_close(layer(X), X)
    assert_close(layer(X, training=True), X + 1)
    assert_close(layer(X, mask=np.ones((3,), bool)), X + 2)


def test_wrapper_builds_what_it_wraps():
    class Twice(layers.Wrapper):
        def call(self, x):
            return self.layer(self.layer(x))

    layer = Twice(layers.Dense(4))
    assert layer(X).shape == (3, 4)
    assert layer.weights[0].path == "twice/layer/kernel"
    assert layers.deserialize(layers.serialize(layers.Wrapper(layers.Dense(4)))).layer.units == 4
    with pytest.raises(ArgumentError, match="isn't a supported layer type"):
        layers.Wrapper(2)


def test_pipeline_trains_unless_told_otherwise():
    pipeline = layers.Pipeline([layers.Dropout(0.5, seed=1), layers.Rescaling(2.0)])
    assert not np.allclose(pipeline(X), 2 * X)
    assert_close(pipeline(X, training=False), 2 * X)
    again = layers.deserialize(layers.serialize(pipeline))
    assert [type(one).__name__ for one in again.layers] == ["Dropout", "Rescaling"]
    x = uf.Input((4,))
    assert_close(uf.Model(x, pipeline(x)).predict(X), 2 * X)
    with pytest.raises(ArgumentError, match="must contain a `layers` key"):
        layers.Pipeline.from_config({"layers": None})
    with pytest.raises(ArgumentError, match="one of them is 3"):
        layers.Pipeline([3])


@pytest.mark.parametrize(
    "name", ["add", "subtract", "multiply", "average", "maximum", "minimum", "concatenate", "dot"]
)
def test_merging_as_functions(name):
    pair = [X, X[::-1].copy()]
    options = {"axes": -1} if name == "dot" else {}
    found = getattr(layers, name)(pair, **options)
    assert_close(found, np.asarray(getattr(keras.layers, name)(pair, **options)))


def test_what_noise_keeps():
    x = np.random.default_rng(0).normal(size=(400, 500)).astype(np.float32)
    alpha = layers.AlphaDropout(0.3, seed=1)(x, training=True)
    assert abs(alpha.mean() - x.mean()) < 0.01  # self-normalizing: Klambauer et al. 2017
    assert abs(alpha.std() - x.std()) < 0.01
    noisy = layers.GaussianDropout(0.3, seed=1)(np.ones_like(x), training=True)
    assert abs(noisy.mean() - 1) < 0.01
    assert abs(noisy.std() - np.sqrt(0.3 / 0.7)) < 0.01
    volume = layers.SpatialDropout3D(0.5, seed=1)(np.ones((8, 2, 3, 4, 6), np.float32), training=True)
    assert np.all(volume == volume[:, :1, :1, :1])
    assert set(np.unique(volume)) == {0.0, 2.0}
    rows = layers.AlphaDropout(0.5, noise_shape=(None, 1), seed=1)(
        np.zeros((50, 3), np.float32), training=True
    )
    assert np.all(rows == rows[:, :1])


SPECS = [
    ({"ndim": 3}, "expected ndim=3, found ndim=2"),
    ({"min_ndim": 3}, "expected min_ndim=3"),
    ({"max_ndim": 1}, "expected max_ndim=1"),
    ({"dtype": "int32"}, "expected dtype=int32"),
    ({"axes": {-1: 8}}, "expected axis -1 of input shape to have value 8"),
    ({"shape": (None, 5)}, r"expected shape=\(None, 5\)"),
]


@pytest.mark.parametrize(("spec", "text"), SPECS)
def test_a_layer_says_what_its_input_has_to_be(spec, text):
    layer = layers.Identity(name="picky")
    layer.input_spec = layers.InputSpec(**spec)
    for x in (X, uf.Input((4,))):
        with pytest.raises(ShapeError, match=f"'picky' is incompatible with the layer: {text}"):
            layer(x)
    again = layers.InputSpec.from_config(layer.input_spec.get_config())
    theirs = keras.layers.InputSpec(**spec).get_config()
    assert {name: again.get_config()[name] for name in theirs} == theirs


def test_input_specs_that_fit():
    layer = layers.Identity()
    layer.input_spec = layers.InputSpec(shape=(None, 4, 1), allow_last_axis_squeeze=True)
    assert_close(layer(X), X)
    with uf.backend("numpy"):
        assert layer(X) is X
    layer.input_spec = [layers.InputSpec(ndim=2), layers.InputSpec(ndim=1)]
    with pytest.raises(ArgumentError, match="expects 2 input"):
        layer([X])
    with pytest.raises(ArgumentError, match="integer keys"):
        layers.InputSpec(axes={"a": 1})


def test_reversible_embedding_there_and_back():
    layer = layers.ReversibleEmbedding(5, 3, mask_zero=True)
    words = np.array([[1, 4, 0]], np.int32)
    logits = layer(layer(words), reverse=True)
    table = layer.embeddings.numpy()
    assert_close(logits, table[words] @ table.T)
    x = uf.Input((None,), dtype="int32")
    pooled = layers.GlobalAveragePooling1D()(layer(x))
    assert_close(uf.Model(x, pooled).predict(words), table[[1, 4]].mean(0)[None])


def test_shapes_of_outputs_without_weights():
    layer = layers.Dense(8)
    assert layer.compute_output_shape((None, 4)) == (None, 8)
    assert not layer.built
    assert layers.Add().compute_output_shape([(None, 4), (None, 1)]) == (None, 4)


def test_a_layer_of_the_users_gets_its_mask_while_a_model_is_made():
    """As keras.io's guide to masking has it: `call` computes with the mask, which is never None."""

    class Kept(layers.Layer):
        supports_masking = True

        def call(self, x):
            return uf.ops.relu(x)

    class Share(layers.Layer):
        def call(self, x, mask=None):
            return x / uf.ops.sum(uf.ops.cast(mask, "float32"), axis=1)[:, None, None]

    words = uf.Input((None,), dtype="int32")
    x = layers.Embedding(9, 4, mask_zero=True)(words)
    model = uf.Model(words, Share()(layers.Dense(2)(Kept()(x))))
    ids = np.array([[1, 2, 0], [3, 0, 0]])
    plain = uf.Model(words, model.layers[-2].output)
    for name in installed():
        wanted = np.asarray(plain.predict(ids, backend=name)) / np.array([2, 1])[:, None, None]
        assert_close(model.predict(ids, backend=name), wanted)
    assert uf.models.clone_model(model).output.shape[-1] == 2
    with pytest.raises(TypeError):
        Share()(uf.Input((3, 2)))
