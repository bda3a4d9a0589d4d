"""Layers and models as plain data: made again from it, and read by Keras as Keras's is read here."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

import unifront as uf
from tests.layers import cases, judge
from tests.layers.case import Case, apply
from tests.layers.keras_worker import keras_model, keras_reads, keras_runs
from unifront import errors, layers, tree
from unifront.models import clone_model, model_from_json
from unifront.saving import deserialize_keras_object, register_keras_serializable, serialize_keras_object
from unifront.testing import assert_close


def told(layer: Any) -> Any:
    """The description as it is after a file."""
    return json.loads(json.dumps(serialize_keras_object(layer)))


@pytest.mark.parametrize("case", [pytest.param(one, id=str(one)) for one in cases.ALL])
def test_a_layer_is_made_again(case: Case) -> None:
    layer, arrays = judge.make(case, "float32")
    again = deserialize_keras_object(told(layer))
    assert type(again) is type(layer)
    assert again.get_config() == layer.get_config()
    expected = tree.leaves(apply(case.call, layer, arrays))
    apply(case.call, again, arrays)
    again.set_weights(layer.get_weights())
    for ours, theirs in zip(tree.leaves(apply(case.call, again, arrays)), expected, strict=True):
        np.testing.assert_array_equal(ours, theirs)


UNREAD = ("Bidirectional", "Cropping1D", "SpatialDropout", "(lambda")
"""What Keras does not read: its own that take no data_format, and no trainable;
models, and in `MODELS` what stands in wrappers, are read below."""


@pytest.mark.parametrize(
    "case", [pytest.param(one, id=str(one)) for one in cases.FIRST if not one.text.startswith(UNREAD)]
)
def test_keras_reads_it(case: Case) -> None:
    layer, _ = judge.make(case, "float32")
    ours = told(layer)
    theirs = judge.ask_keras(keras_reads, ours)
    assert list(differing(ours["config"], json.loads(json.dumps(theirs["config"])))) == []
    again = deserialize_keras_object(json.loads(json.dumps(theirs)))
    assert list(differing(again.get_config(), layer.get_config())) == []


def differing(ours: Any, theirs: Any, where: str = "") -> Iterator[str]:
    """Where two configs differ in what both say. A dtype that is not said is the default; one axis may be a list."""
    if isinstance(ours, dict) and isinstance(theirs, dict):
        for key in ours.keys() & theirs.keys() - {"backward_layer", "build_config"}:
            yield from differing(ours[key], theirs[key], f"{where}/{key}")
    elif isinstance(ours, list | tuple) and isinstance(theirs, list | tuple):
        if len(ours) != len(theirs):
            yield f"{where}: {ours} {theirs}"
        for i, pair in enumerate(zip(ours, theirs, strict=False)):
            yield from differing(*pair, f"{where}/{i}")
    elif where.endswith("/axis"):
        if list(np.ravel(ours)) != list(np.ravel(theirs)):
            yield f"{where}: {ours} {theirs}"
    elif not where.endswith("/dtype") and ours != theirs:
        yield f"{where}: {ours} {theirs}"


MODELS = {
    "shared layer, operations": """
x = keras.Input((4,), name="x")
shared = layers.Dense(4, activation="tanh")
a = shared(x)
b = shared(a * 2.0 + 1.0)
model = keras.Model(x, [layers.Add()([a, b]), keras.ops.concatenate([a, b], axis=-1)[:, 1:5]])
""",
    "model inside, twice": """
i = keras.Input((4,))
inner = keras.Model(i, layers.Dense(3)(i), name="inner")
x, y = keras.Input((4,), name="x"), keras.Input((4,), name="y")
model = keras.Model({"x": x, "y": y}, {"one": inner(x), "two": layers.Subtract()([inner(y), inner(x)])})
""",
    "sequential": """
model = keras.Sequential([keras.Input((4,)), layers.Dense(3, "relu"), layers.Reshape((3, 1)), layers.LSTM(2)])
""",
    "model ends in a model": """
i = keras.Input((4,))
inner = keras.Model(i, layers.Dense(3)(i), name="inner")
x = keras.Input((4,))
model = keras.Model(x, inner(layers.Dense(4)(x)))
""",
    "recurrent, masked, wrapped": """
x = keras.Input((None,), dtype="int32")
h = layers.Embedding(9, 4, mask_zero=True)(x)
h = layers.Bidirectional(layers.GRU(3, return_sequences=True))(h)
model = keras.Model(x, layers.LSTM(2, kernel_constraint="max_norm")(layers.TimeDistributed(layers.Dense(4))(h)))
""",
}


def data(name: str, model: Any) -> list[np.ndarray]:
    rng = np.random.default_rng(0)
    shapes = [(3, *(5 if not isinstance(n, int) else n for n in one.shape[1:])) for one in model.inputs]
    if "recurrent" in name:
        return [rng.integers(0, 9, shapes[0]).astype(np.int32)]
    return [rng.normal(size=shape).astype(np.float32) for shape in shapes]


def taken(model: Any, arrays: list[np.ndarray]) -> Any:
    """``arrays`` as ``model`` takes them."""
    if isinstance(model.input_structure, dict):
        return dict(zip(model.input_structure, arrays, strict=True))
    return arrays if len(arrays) > 1 else arrays[0]


@pytest.mark.parametrize("name", MODELS)
def test_models_go_to_keras_and_back(name: str) -> None:
    names: dict[str, Any] = {"keras": uf, "layers": layers}
    exec(MODELS[name], names)
    model = names["model"]
    arrays = data(name, model)
    given = taken(model, arrays)
    expected = tree.leaves(model.predict(given, backend="numpy"))

    again = model_from_json(model.to_json())
    again.set_weights(model.get_weights())
    for ours, theirs in zip(tree.leaves(again.predict(given, backend="numpy")), expected, strict=True):
        np.testing.assert_array_equal(ours, theirs)
    assert again.to_json() == model.to_json()

    if "operations" not in name:  # which Keras has as classes of its own
        outputs = judge.ask_keras(keras_runs, model.to_json(), model.get_weights(), arrays)
        for ours, theirs in zip(outputs, expected, strict=True):
            assert_close(ours, theirs, what=f"{name}: in Keras")

    text, weights, outputs = judge.ask_keras(keras_model, MODELS[name], arrays)
    from_keras = model_from_json(text)
    from_keras.set_weights(weights)
    for ours, theirs in zip(tree.leaves(from_keras.predict(given, backend="numpy")), outputs, strict=True):
        assert_close(ours, theirs, what=f"{name}: of Keras")


@pytest.mark.parametrize("name", MODELS)
def test_models_are_cloned(name: str) -> None:
    names: dict[str, Any] = {"keras": uf, "layers": layers}
    exec(MODELS[name], names)
    model = names["model"]
    arrays = data(name, model)
    given = taken(model, arrays)
    again = clone_model(model)
    assert not {id(w) for w in again.weights} & {id(w) for w in model.weights}
    assert [w.path for w in again.weights] == [w.path for w in model.weights]
    again.set_weights(model.get_weights())
    found = [tree.leaves(one.predict(given, backend="numpy")) for one in (again, model)]
    for ours, theirs in zip(*found, strict=True):
        np.testing.assert_array_equal(ours, theirs)


def test_a_clone_is_compiled_as_the_model_with_an_optimizer_of_its_own() -> None:
    def squared(y_true: Any, y_pred: Any) -> Any:
        return uf.ops.mean(uf.ops.square(y_true - y_pred), axis=-1)

    schedule = uf.optimizers.schedules.ExponentialDecay(0.1, 5, 0.5)
    x, y = np.ones((4, 3), np.float32), np.zeros((4, 2), np.float32)
    given = uf.Input((3,))
    for model in (
        uf.Sequential([uf.Input((3,)), layers.Dense(2)]),
        uf.Model(given, layers.Dense(2)(given)),
    ):
        assert not clone_model(model).compiled
        model.compile(
            uf.optimizers.Adam(schedule), squared, metrics=["mae", uf.metrics.MeanSquaredError(name="own")]
        )
        model.fit(x, y, epochs=3, verbose=0)
        again = clone_model(model)
        assert again.optimizer is not model.optimizer
        assert again.optimizer.iterations.numpy() == 0
        again.set_weights(model.get_weights())
        assert again.evaluate(x, y, return_dict=True) == model.evaluate(x, y, return_dict=True)
        before = model.get_weights()
        again.fit(x, y, verbose=0)
        assert all(np.array_equal(a, b) for a, b in zip(before, model.get_weights(), strict=True))


def test_clone_and_call_functions_stand_in() -> None:
    x = uf.Input((4,))
    model = uf.Model(x, layers.Dense(2)(layers.Dense(3)(x)))

    def wider(layer: Any) -> Any:
        return layers.Dense.from_config({**layer.get_config(), "use_bias": False})

    def called(layer: Any, *args: Any, **kwargs: Any) -> Any:
        return layers.Dropout(0.5)(layer(*args, **kwargs))

    again = clone_model(model, clone_function=wider, call_function=called)
    assert [type(one).__name__ for one in again.layers] == [
        "InputLayer",
        "Dense",
        "Dropout",
        "Dense",
        "Dropout",
    ]
    assert len(again.weights) == 2


class Own(uf.Layer):
    """Told by the arguments of its constructor."""

    def __init__(self, units: int, inner: Any = None, **options: Any) -> None:
        super().__init__(**options)
        self.size, self.inner = units, inner

    def call(self, x: Any) -> Any:
        return x * float(self.size)


class Overriding(layers.Dense):
    """As Keras's users write it."""

    def __init__(self, units: int, factor: float = 1.0, **options: Any) -> None:
        super().__init__(units, **options)
        self.factor = factor

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "factor": self.factor}


def test_a_layer_of_ones_own_is_told_by_its_arguments() -> None:
    layer = Own(3, inner=layers.Dense(2, name="d"), name="mine", trainable=False)
    config = layer.get_config()
    assert config["units"] == 3
    assert (config["name"], config["trainable"]) == ("mine", False)
    again = Own.from_config(config)
    assert isinstance(again.inner, layers.Dense)
    assert again.get_config() == config


def test_a_config_of_ones_own_adds_to_that_of_the_base() -> None:
    layer = Overriding(3, factor=2.0, activation="relu")
    config = layer.get_config()
    assert (config["units"], config["activation"], config["factor"]) == (3, "relu", 2.0)
    assert Overriding.from_config(config).get_config() == config


def test_what_was_changed_since_is_told() -> None:
    layer = layers.Dense(3, activation="relu")
    layer.activation = layers.Dense(3, activation="tanh").activation
    assert layer.get_config()["activation"] == "tanh"


def test_classes_are_found_by_registration_or_custom_objects_only() -> None:
    description = serialize_keras_object(Own(2))
    with pytest.raises(errors.UnknownName, match=r"register_keras_serializable.*custom_objects.*'Own'"):
        deserialize_keras_object(description)
    assert isinstance(deserialize_keras_object(description, custom_objects={"Own": Own}), Own)
    with uf.saving.custom_object_scope({"Own": Own}):
        assert isinstance(deserialize_keras_object(description), Own)

    @register_keras_serializable("tests")
    class Registered(Own):
        pass

    assert isinstance(deserialize_keras_object(told(Registered(2))), Registered)
    assert told(Registered(2))["registered_name"] == "tests>Registered"


@pytest.mark.parametrize(
    ("description", "error"),
    [
        ({"class_name": "__lambda__", "config": {"value": "x"}}, "holds a Python lambda, that is code, and none is run"),
        ({"module": "os", "class_name": "function", "config": "system"}, "Unknown function"),
        ({"module": "subprocess", "class_name": "Popen", "config": {"args": "ls"}}, "Unknown class"),
        ({"module": "unifront.serialization", "class_name": "importlib", "config": {}}, "Unknown class"),
        ({"module": "keras.layers", "class_name": "importlib", "config": {}}, "Unknown class"),
        ({"module": "keras.ops", "class_name": "_home", "config": {}}, "Unknown class"),
        ({"module": "keras.layers", "class_name": "Dense", "config": [1]}, "The config of a Dense is a dict"),
        ({"module": "keras.layers", "class_name": "Dense", "config": {"unit": 1}}, "Did you mean 'units'"),
        ({"module": "keras", "class_name": "Model", "config": {"layers": 3, "input_layers": 1, "output_layers": 1}}, "has a list of layers"),
        ({"class_name": "__numpy__", "config": {"value": [1], "dtype": "object"}}, "Unknown dtype|is broken"),
    ],
)  # fmt: skip
def test_hostile_descriptions_run_nothing(description: Any, error: str) -> None:
    with pytest.raises(errors.UnifrontError, match=error):
        deserialize_keras_object(description)


@pytest.mark.parametrize(
    ("text", "error"),
    [
        ("{", "The text is no JSON"),
        ("[" * 100_000, "nests deeper"),
        ("3", "describes a int, not a model"),
        (
            '{"module": "keras.layers", "class_name": "Dense", "config": {"units": 2}}',
            "describes a Dense, not a model",
        ),
    ],
)
def test_texts_that_describe_no_model(text: str, error: str) -> None:
    with pytest.raises(errors.ArgumentError, match=error):
        model_from_json(text)


def test_circles_and_missing_layers_are_named() -> None:
    x = uf.Input((4,), name="x")
    config = json.loads(
        json.dumps(uf.Model(x, layers.Dense(2, name="a")(layers.Dense(4, name="b")(x))).get_config())
    )
    first = next(one for one in config["layers"] if one["name"] == "b")
    first["inbound_nodes"][0]["args"][0]["config"]["keras_history"] = ["a", 0, 0]
    with pytest.raises(errors.ArgumentError, match="The calls of b, a wait for tensors that no layer gives"):
        uf.Model.from_config(config)
    first["inbound_nodes"][0]["args"][0]["config"]["keras_history"] = ["c", 0, 0]
    with pytest.raises(errors.ArgumentError, match=r"Missing node: c\. The tensor \['c', 0, 0\] is named by"):
        uf.Model.from_config(config)


def test_lambdas_are_not_told() -> None:
    with pytest.raises(errors.ArgumentError, match="plain data, which holds no code"):
        serialize_keras_object(layers.Activation(lambda x: x))


@pytest.mark.parametrize("dtype", ["float16", "bfloat16", "float64", "int64", "uint8"])
def test_numbers_in_operations_keep_the_dtype_that_they_met(dtype: str) -> None:
    """Written as Python's they would be read as float32 or int32, and meet nothing."""
    given = uf.Input((2,), dtype=dtype)
    model = uf.Model(given, uf.ops.maximum(given * 2 + 1, 4))
    again = model_from_json(model.to_json())
    x = np.array([[1, 2]]).astype(model.input_types["input"].dtype.numpy)
    assert again.predict(x, verbose=0).dtype == x.dtype
    np.testing.assert_array_equal(again.predict(x, verbose=0), np.array([[4, 5]]).astype(x.dtype))
