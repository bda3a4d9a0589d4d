"""Arguments: Keras's names, order and defaults; what is refused, and how."""

from __future__ import annotations

import inspect
from inspect import Parameter
from typing import Any

import numpy as np
import pytest

import unifront as uf
from tests.layers.case import arguments
from tests.layers.judge import OURS, ask_keras
from tests.layers.keras_worker import keras_arguments, keras_positional, supports_masking
from unifront import errors, layers
from unifront.dtypes import float64
from unifront.layers import initializers, regularizers
from unifront.layers.arguments import AT_DEFAULT

LAYERS = [
    name
    for name in layers.__all__
    if isinstance(getattr(layers, name), type)
    and issubclass(getattr(layers, name), layers.Layer)
    and name not in ("Layer", "InputLayer")
]
FOREIGN = ("FlaxLayer", "JaxLayer", "TFSMLayer", "TorchModuleWrapper")
"""They hold what other frameworks make: the arguments of Keras's base classes are none of theirs, no text makes one."""
OWN = {"noise_shape", "trainable", "name", "dtype"}
"""Arguments of a base class that Keras's subclass does not pass on; harmless."""
INTERNAL = {"cell", "rank", "pool_dimensions", "pool_mode", "factor"}
"""Arguments of Keras's base classes that its layers do not take, or take no heed of."""

REQUIRED = {
    "units": 2, "filters": 2, "kernel_size": 1, "rate": 0.5, "stddev": 0.5, "axes": 1, "n": 2, "dims": (1,),
    "input_dim": 2, "output_dim": 2, "activation": "relu", "target_shape": (2,), "size": 2, "pool_size": 2,
    "output_size": 2, "equation": "ab,bc->ac", "output_shape": 2, "num_heads": 2, "key_dim": 2, "head_dim": 2,
    "num_query_heads": 2, "num_key_value_heads": 2,
    "num_tokens": 2, "bin_boundaries": [0.0], "function": abs, "layers": [], "num_bins": 2,
    "height": 2, "width": 2, "factor": 1, "height_factor": 0.5, "width_factor": 0.5, "scale": 2, "max_number": 2,
}  # fmt: skip
"""Arguments that have no default."""
WRAPPED = {
    "RNN": "LSTMCell(2)",
    "StackedRNNCells": "[LSTMCell(2), GRUCell(3)]",
    "Bidirectional": "LSTM(2)",
    "TimeDistributed": "LSTM(2)",
    "SpectralNormalization": "Dense(2)",
    "Wrapper": "Dense(2)",
    "Lambda": "abs",
    "CategoryEncoding": "2",
    "Discretization": "[0.0]",
}
"""What layers are put around."""


def same(ours: Any, theirs: Any) -> bool:
    """Equal defaults; 1 and (1, 1) mean the same."""
    if theirs is Parameter.empty or isinstance(theirs, tuple):
        return theirs is Parameter.empty or set(np.ravel(theirs)) == set(np.ravel(ours))
    return bool(ours == theirs) or str(ours).lower() == str(theirs).lower()


@pytest.mark.parametrize("name", [name for name in LAYERS if name not in ("FlaxLayer", "TFSMLayer")])
def test_arguments_and_defaults_are_keras(name: str) -> None:
    ours, theirs = arguments(getattr(layers, name)), ask_keras(keras_arguments, name)
    for argument, default in theirs.items():
        if argument in AT_DEFAULT or (argument in INTERNAL and argument not in ours):
            continue
        if name == "StringLookup" and argument in ("vocabulary_dtype",):
            continue  # of Keras's base class; strings it is
        if name == "AdditiveAttention" and argument == "score_mode":
            continue  # Keras's base class takes it, and it says nothing
        if name == "ActivityRegularization" and argument == "activity_regularizer":
            continue  # Keras's base class takes it, but Keras's layer fails when it is given
        if name.startswith("ContrastLimited") and argument == "bounding_box_format":
            continue  # it moves nothing
        assert argument in ours, f"{name} does not take {argument}"
        assert same(ours[argument], default), f"{name}: {argument} is {ours[argument]}, in Keras {default}"


@pytest.mark.parametrize("name", LAYERS)
def test_a_signature_shows_all_that_is_taken(name: str) -> None:
    """What editors and `inspect.signature` show: no argument hides in ``**options``."""
    shown = inspect.signature(getattr(layers, name)).parameters
    if name != "Pipeline":  # Keras's takes a name and no more
        assert shown.keys() >= {"name", "dtype", "trainable"}
    assert all(one.kind not in (Parameter.VAR_KEYWORD, Parameter.VAR_POSITIONAL) for one in shown.values())


def test_an_input_layer_takes_what_keras_does() -> None:
    """In Keras's order; it has no weights, so that no keywords of all layers follow."""
    assert [*inspect.signature(layers.InputLayer).parameters] == ask_keras(keras_positional, "InputLayer")
    with pytest.raises(errors.ArgumentError, match="InputLayer: sparse: True is not supported"):
        layers.InputLayer((3,), sparse=True)


@pytest.mark.parametrize("name", [name for name in LAYERS if name not in FOREIGN])
def test_masks_pass_where_they_pass_in_keras(name: str) -> None:
    required = [
        argument
        for argument, default in arguments(getattr(layers, name)).items()
        if default is Parameter.empty
    ]
    given = ", ".join(f"{argument}={REQUIRED.get(argument)!r}" for argument in required)
    if name in ("AveragePooling1D", "AveragePooling2D", "AveragePooling3D"):
        given = "pool_size=2"
    text = f"{name}({WRAPPED.get(name, given)})"
    ours = eval(text, OURS)
    passes = type(ours).compute_mask is not uf.Layer.compute_mask or ours.supports_masking
    assert passes == ask_keras(supports_masking, text) or name in (
        "Embedding",
        "ReversibleEmbedding",
        "Lambda",
    )


X = np.ones((2, 5, 3), np.float32)
IMAGE = np.ones((2, 5, 5, 3), np.float32)

REFUSED = {
    "unknown argument": (
        lambda: layers.Dense(3, activaton="relu"),
        errors.UnknownName,
        r"argument of Dense 'activaton'\. Did you mean 'activation'",
    ),
    "constraint": (
        lambda: layers.Dense(3, kernel_constraint="max_nrm"),
        errors.UnknownName,
        r"Dense: kernel_constraint: Unknown constraint 'max_nrm'\. Did you mean 'max_norm'",
    ),
    "lora": (
        lambda: layers.DepthwiseConv2D(3, lora_rank=4),
        errors.UnknownName,
        "argument of DepthwiseConv2D 'lora_rank'",
    ),
    "activation": (
        lambda: layers.Dense(3, "rellu"),
        errors.UnknownName,
        r"activation 'rellu'\. Did you mean 'relu'",
    ),
    "activation object": (
        lambda: layers.Activation(3),
        errors.ArgumentError,
        "name, a layer or a function, not 3",
    ),
    "initializer": (
        lambda: layers.Dense(3, kernel_initializer="glorot")(X),
        errors.UnknownName,
        r"initializer 'glorot'\. Did you mean 'glorot_",
    ),
    "regularizer": (
        lambda: layers.Dense(3, kernel_regularizer="l3")(X),
        errors.UnknownName,
        "regularizer 'l3'",
    ),
    "units": (lambda: layers.Dense(-1), errors.ArgumentError, "Dense: units is a positive int, not -1"),
    "units float": (
        lambda: layers.LSTM(2.5),
        errors.ArgumentError,
        r"LSTM: units is a positive int, not 2\.5",
    ),
    "filters": (
        lambda: layers.Conv1D(0, 3),
        errors.ArgumentError,
        "Conv1D: filters is a positive int, not 0",
    ),
    "kernel": (
        lambda: layers.Conv2D(4, (3, 0)),
        errors.ArgumentError,
        r"Conv2D: kernel_size .* not \(3, 0\)",
    ),
    "kernel rank": (lambda: layers.Conv2D(4, (3, 3, 3)), errors.ArgumentError, "or 2 of them"),
    "padding": (
        lambda: layers.Conv2D(4, 3, padding="sam"),
        errors.UnknownName,
        r"padding of Conv2D 'sam'\. Did you mean 'same'",
    ),
    "causal 2d": (
        lambda: layers.Conv2D(4, 3, padding="causal"),
        errors.UnknownName,
        "padding of Conv2D 'causal'",
    ),
    "causal first": (
        lambda: layers.Conv1D(4, 3, padding="causal", data_format="channels_first"),
        errors.ArgumentError,
        "causal padding needs",
    ),
    "data format": (
        lambda: layers.MaxPooling2D(data_format="channel_last"),
        errors.UnknownName,
        r"data_format of MaxPooling2D 'channel_last'\. Did you mean 'channels_last'",
    ),
    "groups": (
        lambda: layers.Conv2D(4, 3, groups=3),
        errors.ArgumentError,
        "4 filters do not divide into 3 groups",
    ),
    "strides and dilation": (
        lambda: layers.Conv2D(4, 3, strides=2, dilation_rate=2),
        errors.ArgumentError,
        "cannot both be above 1",
    ),
    "rate": (
        lambda: layers.Dropout(1.0),
        errors.ArgumentError,
        r"Dropout: rate is a number in \[0, 1\), not 1\.0",
    ),
    "noise": (lambda: layers.GaussianNoise(-1), errors.ArgumentError, "GaussianNoise: stddev is a number"),
    "momentum": (
        lambda: layers.BatchNormalization(momentum=1.5),
        errors.ArgumentError,
        r"momentum .* not 1\.5",
    ),
    "permutation": (
        lambda: layers.Permute((1, 3)),
        errors.ArgumentError,
        r"Permute: dims is an order of 1, 2 …, such as \(2, 1\), not \(1, 3\)",
    ),
    "zero padding": (
        lambda: layers.ZeroPadding2D((1, 2, 3)),
        errors.ArgumentError,
        r"or one int or pair for each of 2 axes, not \(1, 2, 3\)",
    ),
    "cropping": (
        lambda: layers.Cropping1D(3)(X),
        errors.ShapeError,
        r"cropping1d: Nothing is left of axis 1 of \(2, 5, 3\)",
    ),
    "merge mode": (
        lambda: layers.Bidirectional(layers.LSTM(2), merge_mode="cat"),
        errors.UnknownName,
        "merge_mode of Bidirectional 'cat'",
    ),
    "wrapped backward": (
        lambda: layers.Bidirectional(layers.LSTM(2), backward_layer=layers.Dense(2)),
        errors.ArgumentError,
        "takes a layer such as LSTM or RNN, not <Dense 'dense'>",
    ),
    "both forward": (
        lambda: layers.Bidirectional(layers.LSTM(2), backward_layer=layers.LSTM(2)),
        errors.ArgumentError,
        "one layer goes forward, the other backward; both have go_backwards=False",
    ),
    "wrapped": (
        lambda: layers.Bidirectional(layers.Dense(2)),
        errors.ArgumentError,
        "takes a layer such as LSTM or RNN",
    ),
    "not a layer": (
        lambda: layers.TimeDistributed(3),
        errors.ArgumentError,
        "TimeDistributed takes a layer, not 3",
    ),
    "name": (lambda: layers.Dense(3, name="a/b"), errors.ArgumentError, "non-empty string without '/'"),
    "dtype": (lambda: layers.Dense(3, dtype="float23"), errors.UnknownName, "dtype 'float23'"),
    "one to merge": (lambda: layers.Add()([X]), errors.ArgumentError, "add: Add takes a list of at least 2"),
    "merged shapes": (
        lambda: layers.Add()([X, X[:, :4]]),
        errors.ShapeError,
        r"add: .*\(2, 5, 3\) and \(2, 4, 3\)",
    ),
    "joined shapes": (
        lambda: layers.Concatenate(axis=1)([X, X[..., :2]]),
        errors.ShapeError,
        "differ elsewhere",
    ),
    "dot": (lambda: layers.Dot(axes=1)([X, X[:, :4]]), errors.ShapeError, "the sizes 5 and 4 differ"),
    "states": (
        lambda: layers.LSTM(3)(X, initial_state=[X[:, 0]]),
        errors.ArgumentError,
        "lstm: initial_state has 1 tensors; LSTM has 2 states",
    ),
    "input length": (
        lambda: layers.Embedding(2, 3, input_length=3),
        errors.ArgumentError,
        r"Embedding takes no input_length; begin the model with uf\.Input\(shape\)",
    ),
    "activation class": (
        lambda: layers.Dense(2, activation=layers.ReLU),
        errors.ArgumentError,
        "a name, a layer or a function, not <class .*ReLU",
    ),
    "kernel truth": (lambda: layers.Conv2D(2, True), errors.ArgumentError, "kernel_size .* not True"),
    "nan rate": (lambda: layers.Dropout(np.nan), errors.ArgumentError, "rate is a number .* not nan"),
    "nan epsilon": (
        lambda: layers.LayerNormalization(epsilon=np.nan),
        errors.ArgumentError,
        r"LayerNormalization: epsilon is a number in \[0, inf\), not nan",
    ),
    "momentum text": (
        lambda: layers.BatchNormalization(momentum="high"),
        errors.ArgumentError,
        r"BatchNormalization: momentum is a number in \[0, 1\], not 'high'",
    ),
    "relu": (
        lambda: layers.ReLU(-1.0),
        errors.ArgumentError,
        r"ReLU: max_value is a number in \[0, inf\], not -1\.0",
    ),
    "slope": (lambda: layers.LeakyReLU(-0.1), errors.ArgumentError, "LeakyReLU: negative_slope is a number"),
    "alpha": (
        lambda: layers.ELU(None),
        errors.ArgumentError,
        r"ELU: alpha is a number in \(-inf, inf\), not None",
    ),
    "penalty": (
        lambda: layers.ActivityRegularization("a"),
        errors.ArgumentError,
        r"ActivityRegularization: l1 is a number in \[0, inf\), not 'a'",
    ),
    "negative penalty": (
        lambda: regularizers.L2(-1),
        errors.ArgumentError,
        r"l2 is a number in \[0, inf\), not -1",
    ),
    "deviation": (
        lambda: initializers.TruncatedNormal(stddev=-1),
        errors.ArgumentError,
        r"TruncatedNormal: stddev is a number in \[0, inf\), not -1",
    ),
    "bounds": (
        lambda: initializers.RandomUniform(1, -1),
        errors.ArgumentError,
        r"RandomUniform: maxval is at least minval, 1\.0, not -1",
    ),
    "scale": (
        lambda: initializers.VarianceScaling(-1),
        errors.ArgumentError,
        r"scale is a number in \[0, inf\), not -1",
    ),
    "mode": (
        lambda: initializers.VarianceScaling(mode="fan_inn"),
        errors.UnknownName,
        r"mode of VarianceScaling 'fan_inn'\. Did you mean 'fan_in'",
    ),
    "distribution": (
        lambda: initializers.VarianceScaling(distribution="normal"),
        errors.UnknownName,
        "distribution of VarianceScaling 'normal'",
    ),
    "identity": (
        lambda: layers.Dense(2, bias_initializer="identity")(X),
        errors.ArgumentError,
        r"dense/bias: Identity needs 2 dimensions, not the shape \(2,\)",
    ),
    "seed": (
        lambda: layers.Dropout(0.5, seed="a")(X, training=True),
        errors.ArgumentError,
        "Dropout: seed is an int >= 0, not 'a'",
    ),
    "flatten data format": (
        lambda: layers.Flatten("last"),
        errors.UnknownName,
        "data_format of Flatten 'last'",
    ),
    "dropout data format": (
        lambda: layers.SpatialDropout2D(0.5, "first"),
        errors.UnknownName,
        "data_format of SpatialDropout2D 'first'",
    ),
    "shared axes": (
        lambda: layers.PReLU(shared_axes=[0])(X),
        errors.ShapeError,
        r"p_re_lu: The shared axes \(0,\) are not all axes of \(2, 5, 3\)",
    ),
    "target shape": (lambda: layers.Reshape(15), errors.ArgumentError, "Reshape: target_shape .* not 15"),
    "padding of nothing": (
        lambda: layers.ZeroPadding2D(None),
        errors.ArgumentError,
        "padding is an int >= 0, .* not None",
    ),
    "padding truth": (
        lambda: layers.ZeroPadding1D((1.5, 1)),
        errors.ArgumentError,
        r"padding is an int >= 0, .* not \(1\.5, 1\)",
    ),
    "dot axes": (lambda: layers.Dot(None), errors.ArgumentError, "axes is an int .* not None"),
    "embedding weights": (
        lambda: layers.Embedding(3, 2, weights=[np.ones((2, 3))]),
        errors.ShapeError,
        r"Embedding: weights has the shape \(2, 3\); \(3, 2\) is needed",
    ),
    "one of many": (
        lambda: layers.Add()(X),
        errors.ArgumentError,
        r"add: .* at least 2 tensors; .* \(2, 5, 3\)",
    ),
    "none to join": (
        lambda: layers.Concatenate()([]),
        errors.ArgumentError,
        "concatenate: .* at least 1 tensors",
    ),
    "three to subtract": (lambda: layers.Subtract()([X] * 3), errors.ArgumentError, "list of 2 tensors"),
    "a list for one": (
        lambda: layers.Dense(2)([X, X]),
        errors.ShapeError,
        r"dense: One tensor is needed; .* \[\(2, 5, 3\), \(2, 5, 3\)\]",
    ),
    "no tensor": (lambda: layers.Dense(2)("x"), errors.ShapeError, "dense: One tensor is needed"),
    "no argument": (
        lambda: layers.Dense(2)(),
        errors.ArgumentError,
        r"dense: Dense\.call\(x\): missing .* 'x'",
    ),
    "mask of other steps": (
        lambda: layers.LSTM(2)(X, mask=np.ones((2, 4), bool)),
        errors.ShapeError,
        r"lstm: The mask has the shape \(2, 4\); \[batch, time\] of the input is \(2, 5\)",
    ),
    "pooled mask": (
        lambda: layers.GlobalAveragePooling1D()(X, mask=np.ones((2, 3), bool)),
        errors.ShapeError,
        r"pooling1d: The mask has the shape \(2, 3\); .* \(2, 5\)",
    ),
    "reshape": (lambda: layers.Reshape((4,))(X), errors.ShapeError, r"reshape: .*\(2, 5, 3\).*\(2, 4\)"),
}


@pytest.mark.parametrize("what", REFUSED)
def test_refused(what: str) -> None:
    make, error, message = REFUSED[what]
    with pytest.raises(error, match=message):
        make()


WRONG_INPUT = {
    "Conv2D rank": (
        lambda: layers.Conv2D(2, 3),
        X,
        r"conv2d: Conv2D takes 4 dimensions, \(batch, \*spatial, channels\)",
    ),
    "LSTM rank": (lambda: layers.LSTM(2), IMAGE, r"lstm: LSTM takes \[batch, time, features\]"),
    "pooling rank": (lambda: layers.MaxPooling2D(), X, r"max_pooling2d: MaxPooling2D takes 4 dimensions"),
    "global rank": (lambda: layers.GlobalAveragePooling2D(), X, r"GlobalAveragePooling2D takes 4 dimensions"),
    "groups": (
        lambda: layers.Conv2D(4, 3, groups=2),
        IMAGE,
        "conv2d: 3 channels of the input .* into 2 groups",
    ),
    "axis": (lambda: layers.BatchNormalization(axis=4), IMAGE, "batch_normalization: axis 4 is out of range"),
    "group norm": (lambda: layers.GroupNormalization(2), IMAGE, "3 channels of the input .* into 2 groups"),
    "permute": (lambda: layers.Permute((2, 1)), IMAGE, "permute: Permute takes 3 dimensions"),
    "repeat": (lambda: layers.RepeatVector(2), X, "repeat_vector: RepeatVector takes 2 dimensions"),
    "window": (lambda: layers.MaxPooling2D(7), IMAGE, "max_pooling2d: "),
}


@pytest.mark.parametrize("what", WRONG_INPUT)
def test_inputs_of_the_wrong_form(what: str) -> None:
    make, x, message = WRONG_INPUT[what]
    with pytest.raises(errors.ShapeError, match=message):
        make()(x)
    with pytest.raises(errors.ShapeError, match=message):
        make()(uf.Input(x.shape[1:]))


@pytest.mark.parametrize(
    ("layer", "shape"),
    [
        (layers.Dense(4), (2, 3)),
        (layers.Conv2D(4, 3), (2, 5, 5, 3)),
        (layers.DepthwiseConv2D(3), (2, 5, 5, 3)),
        (layers.LSTM(4), (2, 5, 3)),
        (layers.GRU(4), (2, 5, 3)),
        (layers.SimpleRNN(4), (2, 5, 3)),
        (layers.BatchNormalization(), (2, 3)),
        (layers.LayerNormalization(), (2, 3)),
        (layers.SeparableConv2D(4, 3), (2, 5, 5, 3)),
        (layers.Bidirectional(layers.LSTM(4)), (2, 5, 3)),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, uf.Layer) else None,
)
def test_another_number_of_channels_once_built(layer: uf.Layer, shape: tuple[int, ...]) -> None:
    layer(np.ones(shape, np.float32))
    with pytest.raises(errors.ShapeError, match=f"^{layer.name}.*: .*4"):
        layer(np.ones((*shape[:-1], 4), np.float32))
    with pytest.raises(errors.ShapeError, match=f"^{layer.name}.*: .*4"):
        layer(uf.Input((*shape[1:-1], 4)))


@pytest.mark.parametrize(
    ("layer", "shape", "axis"),
    [
        (layers.Dense(4), (None,), 1),
        (layers.Conv2D(4, 3), (8, 8, None), 3),
        (layers.LSTM(4), (5, None), 2),
        (layers.BatchNormalization(), (3, None), 2),
    ],
    ids=str,
)
def test_a_size_that_weights_need_is_free(layer: uf.Layer, shape: tuple[Any, ...], axis: int) -> None:
    with pytest.raises(
        errors.NotBuiltError, match=rf"^{layer.name}: .*axis -?{axis}|^{layer.name}: .*axis -1"
    ):
        layer(uf.Input(shape))


def test_an_integer_input_becomes_a_float_where_keras_makes_it_one() -> None:
    x = np.arange(6, dtype=np.int32).reshape(2, 3)
    assert layers.Dense(2)(x).dtype == np.float32
    assert layers.LSTM(2)(x[:, :, None]).dtype == np.float32
    assert layers.ReLU()(x).dtype == np.int32
    assert layers.Flatten()(x).dtype == np.int32


def test_float_indices_are_cut_to_integers() -> None:
    layer = layers.Embedding(3, 2)
    assert np.array_equal(layer(np.array([[0.9, 2.1]])), layer(np.array([[0, 2]])))


def test_free_sizes_that_flatten_makes_of_several_are_refused_where_weights_need_them() -> None:
    with pytest.raises(
        errors.NotBuiltError, match=r"^dense: The size of axis -1 of .*batch, 3\*time.* not known"
    ):
        uf.Sequential([uf.Input(("time", 3)), layers.Flatten(), layers.Dense(2)])


def test_the_two_directions_learn_activations_of_their_own() -> None:
    layer = layers.Bidirectional(layers.SimpleRNN(2, activation=layers.PReLU()))
    layer(X)
    alphas = [weight.path for weight in layer.weights if weight.name == "alpha"]
    names = ("forward", "backward")
    assert alphas == [f"bidirectional/{name}_simple_rnn/simple_rnn_cell/activation/alpha" for name in names]


def test_classes_of_initializers_and_regularizers_stand_for_their_defaults() -> None:
    layer = layers.Dense(2, kernel_initializer=initializers.Ones, kernel_regularizer=regularizers.L2)
    layer(X)
    assert np.array_equal(layer.get_weights()[0], np.ones((3, 2)))
    assert layer.weights[0].regularizer == regularizers.get("L2") == regularizers.L2(0.01)
    named = {initializers.get(one) for one in ("glorot_normal", "GlorotNormal", initializers.GlorotNormal)}
    assert len(named) == 1


def test_identity_is_the_unit_matrix_times_its_gain() -> None:
    layer = layers.SimpleRNN(3, recurrent_initializer=initializers.Identity(0.5))
    layer(X)
    assert np.array_equal(layer.get_weights()[1], 0.5 * np.eye(3))


@pytest.mark.parametrize("distribution", ["uniform", "truncated_normal", "untruncated_normal"])
def test_variance_scaling_has_its_variance(distribution: str) -> None:
    draw = initializers.VarianceScaling(2.0, "fan_out", distribution)
    values = draw((300, 400), float64, np.random.default_rng(1))
    assert values.var() == pytest.approx(2.0 / 400, rel=0.02)
    assert values.mean() == pytest.approx(0.0, abs=1e-3)


def test_sizes_may_be_numbers_of_numpy() -> None:
    assert layers.Dense(np.int64(3))(X).shape == (2, 5, 3)
    assert layers.Conv1D(2, np.int32(3), strides=(np.int64(2),))(X).shape == (2, 2, 2)


def test_several_inputs_may_be_a_tuple() -> None:
    assert layers.Add()((X, X)).shape == X.shape
    assert layers.Concatenate()((X, X)).shape == (2, 5, 6)


@pytest.mark.parametrize("wrap", [list, tuple])
def test_an_embedding_may_begin_with_given_vectors(wrap: Any) -> None:
    vectors = np.arange(6.0).reshape(3, 2)
    layer = layers.Embedding(3, 2, weights=[vectors] if wrap is list else vectors)
    assert np.array_equal(layer(np.array([2, 0])), vectors[[2, 0]])
    assert layer.weights[0].trainable


def test_the_unknown_size_of_a_reshape_does_not_depend_on_the_batch() -> None:
    assert layers.Reshape((2, -1))(np.zeros((0, 4), np.float32)).shape == (0, 2, 2)


def test_a_mask_of_pooling_counts_steps_wherever_they_stand() -> None:
    mask = np.array([[True, True, False, False, False], [True] * 5])
    expected = np.stack([X[0, :2].mean(axis=0), X[1].mean(axis=0)])
    turned = np.moveaxis(X, 1, 2)
    layer = layers.GlobalAveragePooling1D(data_format="channels_first")
    np.testing.assert_allclose(layer(turned, mask=mask), expected)
